//! Kafka's record `AccessControlEntryRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `AccessControlEntryRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AccessControlEntryRecord {
    /// `Id`.
    pub id: Uuid,
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

impl AccessControlEntryRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AccessControlEntryRecord, DecodeError> {
        crate::error::check_decode_version("AccessControlEntryRecord", version, 0, 0)?;
        let mut m = AccessControlEntryRecord::default();
        m.id = r.uuid("id")?;
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(true, "resource_name")?;
        m.pattern_type = r.i8("pattern_type")?;
        m.principal = r.string(true, "principal")?;
        m.host = r.string(true, "host")?;
        m.operation = r.i8("operation")?;
        m.permission_type = r.i8("permission_type")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AccessControlEntryRecord", version, 0, 0)?;
        w.uuid(self.id);
        w.i8(self.resource_type);
        w.string(true, &self.resource_name, "resource_name")?;
        w.i8(self.pattern_type);
        w.string(true, &self.principal, "principal")?;
        w.string(true, &self.host, "host")?;
        w.i8(self.operation);
        w.i8(self.permission_type);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
