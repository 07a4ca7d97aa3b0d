//! Kafka's record `RemoveDelegationTokenRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `RemoveDelegationTokenRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RemoveDelegationTokenRecord {
    /// `TokenId`.
    pub token_id: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl RemoveDelegationTokenRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RemoveDelegationTokenRecord, DecodeError> {
        crate::error::check_decode_version("RemoveDelegationTokenRecord", version, 0, 0)?;
        let mut m = RemoveDelegationTokenRecord::default();
        m.token_id = r.string(true, "token_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RemoveDelegationTokenRecord", version, 0, 0)?;
        w.string(true, &self.token_id, "token_id")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
