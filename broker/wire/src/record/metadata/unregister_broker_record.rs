//! Kafka's record `UnregisterBrokerRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `UnregisterBrokerRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct UnregisterBrokerRecord {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `BrokerEpoch`.
    pub broker_epoch: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl UnregisterBrokerRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<UnregisterBrokerRecord, DecodeError> {
        crate::error::check_decode_version("UnregisterBrokerRecord", version, 0, 0)?;
        let mut m = UnregisterBrokerRecord::default();
        m.broker_id = r.i32("broker_id")?;
        m.broker_epoch = r.i64("broker_epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("UnregisterBrokerRecord", version, 0, 0)?;
        w.i32(self.broker_id);
        w.i64(self.broker_epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
