//! Kafka's record `AbortedTxn`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `AbortedTxn`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AbortedTxn {
    /// `ProducerId`.
    pub producer_id: i64,
    /// `FirstOffset`.
    pub first_offset: i64,
    /// `LastOffset`.
    pub last_offset: i64,
    /// `LastStableOffset`.
    pub last_stable_offset: i64,
}

impl AbortedTxn {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AbortedTxn, DecodeError> {
        crate::error::check_decode_version("AbortedTxn", version, 0, 0)?;
        let mut m = AbortedTxn::default();
        m.producer_id = r.i64("producer_id")?;
        m.first_offset = r.i64("first_offset")?;
        m.last_offset = r.i64("last_offset")?;
        m.last_stable_offset = r.i64("last_stable_offset")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AbortedTxn", version, 0, 0)?;
        w.i64(self.producer_id);
        w.i64(self.first_offset);
        w.i64(self.last_offset);
        w.i64(self.last_stable_offset);
        Ok(())
    }
}
