//! Kafka's record `ConsumerGroupRegularExpressionKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `ConsumerGroupRegularExpressionKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupRegularExpressionKey {
    /// `GroupId`.
    pub group_id: String,
    /// `RegularExpression`.
    pub regular_expression: String,
}

impl ConsumerGroupRegularExpressionKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupRegularExpressionKey, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupRegularExpressionKey", version, 0, 0)?;
        let mut m = ConsumerGroupRegularExpressionKey::default();
        m.group_id = r.string(false, "group_id")?;
        m.regular_expression = r.string(false, "regular_expression")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupRegularExpressionKey", version, 0, 0)?;
        w.string(false, &self.group_id, "group_id")?;
        w.string(false, &self.regular_expression, "regular_expression")?;
        Ok(())
    }
}
