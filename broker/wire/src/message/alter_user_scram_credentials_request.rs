//! Kafka's request `AlterUserScramCredentialsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `AlterUserScramCredentialsRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterUserScramCredentialsRequest {
    /// `Deletions`.
    pub deletions: Vec<ScramCredentialDeletion>,
    /// `Upsertions`.
    pub upsertions: Vec<ScramCredentialUpsertion>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterUserScramCredentialsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterUserScramCredentialsRequest, DecodeError> {
        crate::error::check_decode_version("AlterUserScramCredentialsRequest", version, 0, 0)?;
        let mut m = AlterUserScramCredentialsRequest::default();
        m.deletions = r.array(true, 3, "deletions", version, ScramCredentialDeletion::decode)?;
        m.upsertions = r.array(true, 9, "upsertions", version, ScramCredentialUpsertion::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AlterUserScramCredentialsRequest", version, 0, 0)?;
        w.array_len(true, self.deletions.len(), "deletions")?;
        for v in &self.deletions {
            v.encode(w, version)?;
        }
        w.array_len(true, self.upsertions.len(), "upsertions")?;
        for v in &self.upsertions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ScramCredentialDeletion` of [`AlterUserScramCredentialsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ScramCredentialDeletion {
    /// `Name`.
    pub name: String,
    /// `Mechanism`.
    pub mechanism: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ScramCredentialDeletion {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ScramCredentialDeletion, DecodeError> {
        let mut m = ScramCredentialDeletion::default();
        m.name = r.string(true, "name")?;
        m.mechanism = r.i8("mechanism")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i8(self.mechanism);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ScramCredentialUpsertion` of [`AlterUserScramCredentialsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ScramCredentialUpsertion {
    /// `Name`.
    pub name: String,
    /// `Mechanism`.
    pub mechanism: i8,
    /// `Iterations`.
    pub iterations: i32,
    /// `Salt`.
    pub salt: Bytes,
    /// `SaltedPassword`.
    pub salted_password: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ScramCredentialUpsertion {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ScramCredentialUpsertion, DecodeError> {
        let mut m = ScramCredentialUpsertion::default();
        m.name = r.string(true, "name")?;
        m.mechanism = r.i8("mechanism")?;
        m.iterations = r.i32("iterations")?;
        m.salt = r.bytes(true, "salt")?;
        m.salted_password = r.bytes(true, "salted_password")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i8(self.mechanism);
        w.i32(self.iterations);
        w.bytes(true, &self.salt, "salt")?;
        w.bytes(true, &self.salted_password, "salted_password")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
