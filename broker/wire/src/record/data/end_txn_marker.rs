//! Kafka's record `EndTxnMarker`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `EndTxnMarker`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndTxnMarker {
    /// `CoordinatorEpoch`.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EndTxnMarker, DecodeError> {
        crate::error::check_decode_version("EndTxnMarker", version, 0, 0)?;
        let mut m = EndTxnMarker::default();
        m.coordinator_epoch = r.i32("coordinator_epoch")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("EndTxnMarker", version, 0, 0)?;
        w.i32(self.coordinator_epoch);
        Ok(())
    }
}
