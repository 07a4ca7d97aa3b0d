//! Kafka's request `CreateAclsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `CreateAclsRequest`, versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreateAclsRequest {
    /// `Creations`.
    pub creations: Vec<AclCreation>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreateAclsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreateAclsRequest, DecodeError> {
        crate::error::check_decode_version("CreateAclsRequest", version, 1, 3)?;
        let flexible = version >= 2;
        let mut m = CreateAclsRequest::default();
        m.creations = r.array(flexible, 8, "creations", version, AclCreation::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("CreateAclsRequest", version, 1, 3)?;
        let flexible = version >= 2;
        w.array_len(flexible, self.creations.len(), "creations")?;
        for v in &self.creations {
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

/// `AclCreation` of [`CreateAclsRequest`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct AclCreation {
    /// `ResourceType`.
    pub resource_type: i8,
    /// `ResourceName`.
    pub resource_name: String,
    /// `ResourcePatternType`.
    pub resource_pattern_type: i8,
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

impl Default for AclCreation {
    fn default() -> AclCreation {
        AclCreation {
            resource_type: 0,
            resource_name: String::new(),
            resource_pattern_type: 3,
            principal: String::new(),
            host: String::new(),
            operation: 0,
            permission_type: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl AclCreation {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AclCreation, DecodeError> {
        let flexible = version >= 2;
        let mut m = AclCreation::default();
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(flexible, "resource_name")?;
        m.resource_pattern_type = r.i8("resource_pattern_type")?;
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
        w.i8(self.resource_type);
        w.string(flexible, &self.resource_name, "resource_name")?;
        w.i8(self.resource_pattern_type);
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
