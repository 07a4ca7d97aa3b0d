//! Kafka's request `AddOffsetsToTxnRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AddOffsetsToTxnRequest`, versions 0 to 4.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddOffsetsToTxnRequest {
    /// `TransactionalId`; a transactional id.
    pub transactional_id: String,
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `ProducerEpoch`.
    pub producer_epoch: i16,
    /// `GroupId`; a group id.
    pub group_id: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddOffsetsToTxnRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddOffsetsToTxnRequest, DecodeError> {
        crate::error::check_decode_version("AddOffsetsToTxnRequest", version, 0, 4)?;
        let flexible = version >= 3;
        let mut m = AddOffsetsToTxnRequest::default();
        m.transactional_id = r.string(flexible, "transactional_id")?;
        m.producer_id = r.i64("producer_id")?;
        m.producer_epoch = r.i16("producer_epoch")?;
        m.group_id = r.string(flexible, "group_id")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AddOffsetsToTxnRequest", version, 0, 4)?;
        let flexible = version >= 3;
        w.string(flexible, &self.transactional_id, "transactional_id")?;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.string(flexible, &self.group_id, "group_id")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
