//! Kafka's record `RemoveUserScramCredentialRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `RemoveUserScramCredentialRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RemoveUserScramCredentialRecord {
    /// `Name`.
    pub name: String,
    /// `Mechanism`.
    pub mechanism: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl RemoveUserScramCredentialRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RemoveUserScramCredentialRecord, DecodeError> {
        crate::error::check_decode_version("RemoveUserScramCredentialRecord", version, 0, 0)?;
        let mut m = RemoveUserScramCredentialRecord::default();
        m.name = r.string(true, "name")?;
        m.mechanism = r.i8("mechanism")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RemoveUserScramCredentialRecord", version, 0, 0)?;
        w.string(true, &self.name, "name")?;
        w.i8(self.mechanism);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
