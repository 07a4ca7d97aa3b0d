//! Kafka's record `DefaultPrincipalData`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DefaultPrincipalData`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DefaultPrincipalData {
    /// `Type`.
    pub type_: String,
    /// `Name`.
    pub name: String,
    /// `TokenAuthenticated`.
    pub token_authenticated: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DefaultPrincipalData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DefaultPrincipalData, DecodeError> {
        crate::error::check_decode_version("DefaultPrincipalData", version, 0, 0)?;
        let mut m = DefaultPrincipalData::default();
        m.type_ = r.string(true, "type")?;
        m.name = r.string(true, "name")?;
        m.token_authenticated = r.bool("token_authenticated")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DefaultPrincipalData", version, 0, 0)?;
        w.string(true, &self.type_, "type")?;
        w.string(true, &self.name, "name")?;
        w.bool(self.token_authenticated);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
