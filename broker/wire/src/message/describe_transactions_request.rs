//! Kafka's request `DescribeTransactionsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeTransactionsRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeTransactionsRequest {
    /// `TransactionalIds`; a transactional id.
    pub transactional_ids: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeTransactionsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeTransactionsRequest, DecodeError> {
        crate::error::check_decode_version("DescribeTransactionsRequest", version, 0, 0)?;
        let mut m = DescribeTransactionsRequest::default();
        m.transactional_ids =
            r.array(true, 1, "transactional_ids", 0, |r, _| r.string(true, "transactional_ids"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeTransactionsRequest", version, 0, 0)?;
        w.array_len(true, self.transactional_ids.len(), "transactional_ids")?;
        for v in &self.transactional_ids {
            w.string(true, v, "transactional_ids")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
