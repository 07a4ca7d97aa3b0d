//! Kafka's record `ControlRecordTypeSchema`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `ControlRecordTypeSchema`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ControlRecordTypeSchema {
    /// `Type`.
    pub type_: i16,
}

impl ControlRecordTypeSchema {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ControlRecordTypeSchema, DecodeError> {
        crate::error::check_decode_version("ControlRecordTypeSchema", version, 0, 0)?;
        let mut m = ControlRecordTypeSchema::default();
        m.type_ = r.i16("type")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ControlRecordTypeSchema", version, 0, 0)?;
        w.i16(self.type_);
        Ok(())
    }
}
