//! Kafka's request `ConsumerGroupDescribeRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ConsumerGroupDescribeRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupDescribeRequest {
    /// `GroupIds`; a group id.
    pub group_ids: Vec<String>,
    /// `IncludeAuthorizedOperations`.
    pub include_authorized_operations: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupDescribeRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupDescribeRequest, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupDescribeRequest", version, 0, 1)?;
        let mut m = ConsumerGroupDescribeRequest::default();
        m.group_ids = r.array(true, 1, "group_ids", 0, |r, _| r.string(true, "group_ids"))?;
        m.include_authorized_operations = r.bool("include_authorized_operations")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupDescribeRequest", version, 0, 1)?;
        w.array_len(true, self.group_ids.len(), "group_ids")?;
        for v in &self.group_ids {
            w.string(true, v, "group_ids")?;
        }
        w.bool(self.include_authorized_operations);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
