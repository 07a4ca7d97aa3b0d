//! Kafka's response `DeleteAclsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DeleteAclsResponse`, versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteAclsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `FilterResults`.
    pub filter_results: Vec<DeleteAclsFilterResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteAclsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteAclsResponse, DecodeError> {
        crate::error::check_decode_version("DeleteAclsResponse", version, 1, 3)?;
        let flexible = version >= 2;
        let mut m = DeleteAclsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.filter_results = r.array(flexible, 5, "filter_results", version, DeleteAclsFilterResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteAclsResponse", version, 1, 3)?;
        let flexible = version >= 2;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.filter_results.len(), "filter_results")?;
        for v in &self.filter_results {
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

/// `DeleteAclsFilterResult` of [`DeleteAclsResponse`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAclsFilterResult {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `MatchingAcls`.
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DeleteAclsFilterResult {
    fn default() -> DeleteAclsFilterResult {
        DeleteAclsFilterResult {
            error_code: 0,
            error_message: Some(String::new()),
            matching_acls: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DeleteAclsFilterResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteAclsFilterResult, DecodeError> {
        let flexible = version >= 2;
        let mut m = DeleteAclsFilterResult::default();
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        m.matching_acls = r.array(flexible, 11, "matching_acls", version, DeleteAclsMatchingAcl::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        w.array_len(flexible, self.matching_acls.len(), "matching_acls")?;
        for v in &self.matching_acls {
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

/// `DeleteAclsMatchingAcl` of [`DeleteAclsResponse`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAclsMatchingAcl {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `ResourceType`.
    pub resource_type: i8,
    /// `ResourceName`.
    pub resource_name: String,
    /// `PatternType`.
    pub pattern_type: i8,
    /// `Principal`.
    pub principal: String,
    /// `Host`.
    pub host: String,
    /// `Operation`.
    pub operation: i8,
    /// `PermissionType`.
    pub permission_type: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DeleteAclsMatchingAcl {
    fn default() -> DeleteAclsMatchingAcl {
        DeleteAclsMatchingAcl {
            error_code: 0,
            error_message: Some(String::new()),
            resource_type: 0,
            resource_name: String::new(),
            pattern_type: 3,
            principal: String::new(),
            host: String::new(),
            operation: 0,
            permission_type: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DeleteAclsMatchingAcl {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteAclsMatchingAcl, DecodeError> {
        let flexible = version >= 2;
        let mut m = DeleteAclsMatchingAcl::default();
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(flexible, "resource_name")?;
        m.pattern_type = r.i8("pattern_type")?;
        m.principal = r.string(flexible, "principal")?;
        m.host = r.string(flexible, "host")?;
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
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        w.i8(self.resource_type);
        w.string(flexible, &self.resource_name, "resource_name")?;
        w.i8(self.pattern_type);
        w.string(flexible, &self.principal, "principal")?;
        w.string(flexible, &self.host, "host")?;
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
