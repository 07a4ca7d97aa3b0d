//! Kafka's record `UserScramCredentialRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `UserScramCredentialRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct UserScramCredentialRecord {
    /// `Name`.
    pub name: String,
    /// `Mechanism`.
    pub mechanism: i8,
    /// `Salt`.
    pub salt: Bytes,
    /// `StoredKey`.
    pub stored_key: Bytes,
    /// `ServerKey`.
    pub server_key: Bytes,
    /// `Iterations`.
    pub iterations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl UserScramCredentialRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<UserScramCredentialRecord, DecodeError> {
        crate::error::check_decode_version("UserScramCredentialRecord", version, 0, 0)?;
        let mut m = UserScramCredentialRecord::default();
        m.name = r.string(true, "name")?;
        m.mechanism = r.i8("mechanism")?;
        m.salt = r.bytes(true, "salt")?;
        m.stored_key = r.bytes(true, "stored_key")?;
        m.server_key = r.bytes(true, "server_key")?;
        m.iterations = r.i32("iterations")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("UserScramCredentialRecord", version, 0, 0)?;
        w.string(true, &self.name, "name")?;
        w.i8(self.mechanism);
        w.bytes(true, &self.salt, "salt")?;
        w.bytes(true, &self.stored_key, "stored_key")?;
        w.bytes(true, &self.server_key, "server_key")?;
        w.i32(self.iterations);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
