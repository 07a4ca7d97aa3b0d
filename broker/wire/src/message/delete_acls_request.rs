//! Kafka's request `DeleteAclsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DeleteAclsRequest`, versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteAclsRequest {
    /// `Filters`.
    pub filters: Vec<DeleteAclsFilter>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteAclsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteAclsRequest, DecodeError> {
        crate::error::check_decode_version("DeleteAclsRequest", version, 1, 3)?;
        let flexible = version >= 2;
        let mut m = DeleteAclsRequest::default();
        m.filters = r.array(flexible, 8, "filters", version, DeleteAclsFilter::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteAclsRequest", version, 1, 3)?;
        let flexible = version >= 2;
        w.array_len(flexible, self.filters.len(), "filters")?;
        for v in &self.filters {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DeleteAclsFilter` of [`DeleteAclsRequest`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAclsFilter {
    /// `ResourceTypeFilter`.
    pub resource_type_filter: i8,
    /// `ResourceNameFilter`, may be null.
    pub resource_name_filter: Option<String>,
    /// `PatternTypeFilter`.
    pub pattern_type_filter: i8,
    /// `PrincipalFilter`, may be null.
    pub principal_filter: Option<String>,
    /// `HostFilter`, may be null.
    pub host_filter: Option<String>,
    /// `Operation`.
    pub operation: i8,
    /// `PermissionType`.
    pub permission_type: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DeleteAclsFilter {
    fn default() -> DeleteAclsFilter {
        DeleteAclsFilter {
            resource_type_filter: 0,
            resource_name_filter: Some(String::new()),
            pattern_type_filter: 3,
            principal_filter: Some(String::new()),
            host_filter: Some(String::new()),
            operation: 0,
            permission_type: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DeleteAclsFilter {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteAclsFilter, DecodeError> {
        let flexible = version >= 2;
        let mut m = DeleteAclsFilter::default();
        m.resource_type_filter = r.i8("resource_type_filter")?;
        m.resource_name_filter = r.nullable_string(flexible, true, "resource_name_filter")?;
        m.pattern_type_filter = r.i8("pattern_type_filter")?;
        m.principal_filter = r.nullable_string(flexible, true, "principal_filter")?;
        m.host_filter = r.nullable_string(flexible, true, "host_filter")?;
        m.operation = r.i8("operation")?;
        m.permission_type = r.i8("permission_type")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.i8(self.resource_type_filter);
        w.nullable_string(flexible, self.resource_name_filter.as_deref(), true, "resource_name_filter")?;
        w.i8(self.pattern_type_filter);
        w.nullable_string(flexible, self.principal_filter.as_deref(), true, "principal_filter")?;
        w.nullable_string(flexible, self.host_filter.as_deref(), true, "host_filter")?;
        w.i8(self.operation);
        w.i8(self.permission_type);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
