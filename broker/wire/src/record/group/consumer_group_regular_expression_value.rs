//! Kafka's record `ConsumerGroupRegularExpressionValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ConsumerGroupRegularExpressionValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupRegularExpressionValue {
    /// `Topics`.
    pub topics: Vec<String>,
    /// `Version`.
    pub version: i64,
    /// `Timestamp`.
    pub timestamp: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupRegularExpressionValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupRegularExpressionValue, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupRegularExpressionValue", version, 0, 0)?;
        let mut m = ConsumerGroupRegularExpressionValue::default();
        m.topics = r.array(true, 1, "topics", 0, |r, _| r.string(true, "topics"))?;
        m.version = r.i64("version")?;
        m.timestamp = r.i64("timestamp")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupRegularExpressionValue", version, 0, 0)?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            w.string(true, v, "topics")?;
        }
        w.i64(self.version);
        w.i64(self.timestamp);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
