//! Kafka's record `RemoveAccessControlEntryRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `RemoveAccessControlEntryRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RemoveAccessControlEntryRecord {
    /// `Id`.
    pub id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl RemoveAccessControlEntryRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RemoveAccessControlEntryRecord, DecodeError> {
        crate::error::check_decode_version("RemoveAccessControlEntryRecord", version, 0, 0)?;
        let mut m = RemoveAccessControlEntryRecord::default();
        m.id = r.uuid("id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RemoveAccessControlEntryRecord", version, 0, 0)?;
        w.uuid(self.id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
