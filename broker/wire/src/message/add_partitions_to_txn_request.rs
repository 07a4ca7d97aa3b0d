//! Kafka's request `AddPartitionsToTxnRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AddPartitionsToTxnRequest`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnRequest {
    /// `Transactions`, versions 4 to 5.
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    /// `V3AndBelowTransactionalId`, versions 0 to 3; a transactional id.
    pub v3_and_below_transactional_id: String,
    /// `V3AndBelowProducerId`, versions 0 to 3; a producer id.
    pub v3_and_below_producer_id: i64,
    /// `V3AndBelowProducerEpoch`, versions 0 to 3.
    pub v3_and_below_producer_epoch: i16,
    /// `V3AndBelowTopics`, versions 0 to 3.
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnRequest, DecodeError> {
        crate::error::check_decode_version("AddPartitionsToTxnRequest", version, 0, 5)?;
        let flexible = version >= 3;
        let mut m = AddPartitionsToTxnRequest::default();
        if version >= 4 {
            m.transactions =
                r.array(true, 14, "transactions", version, AddPartitionsToTxnTransaction::decode)?;
        }
        if version <= 3 {
            m.v3_and_below_transactional_id = r.string(flexible, "v3_and_below_transactional_id")?;
        }
        if version <= 3 {
            m.v3_and_below_producer_id = r.i64("v3_and_below_producer_id")?;
        }
        if version <= 3 {
            m.v3_and_below_producer_epoch = r.i16("v3_and_below_producer_epoch")?;
        }
        if version <= 3 {
            m.v3_and_below_topics =
                r.array(flexible, 3, "v3_and_below_topics", version, AddPartitionsToTxnTopic::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AddPartitionsToTxnRequest", version, 0, 5)?;
        let flexible = version >= 3;
        if version >= 4 {
            w.array_len(true, self.transactions.len(), "transactions")?;
            for v in &self.transactions {
                v.encode(w, version)?;
            }
        } else if !self.transactions.is_empty() {
            return Err(EncodeError::absent("transactions", version));
        }
        if version <= 3 {
            w.string(flexible, &self.v3_and_below_transactional_id, "v3_and_below_transactional_id")?;
        } else if !self.v3_and_below_transactional_id.is_empty() {
            return Err(EncodeError::absent("v3_and_below_transactional_id", version));
        }
        if version <= 3 {
            w.i64(self.v3_and_below_producer_id);
        } else if self.v3_and_below_producer_id != 0 {
            return Err(EncodeError::absent("v3_and_below_producer_id", version));
        }
        if version <= 3 {
            w.i16(self.v3_and_below_producer_epoch);
        } else if self.v3_and_below_producer_epoch != 0 {
            return Err(EncodeError::absent("v3_and_below_producer_epoch", version));
        }
        if version <= 3 {
            w.array_len(flexible, self.v3_and_below_topics.len(), "v3_and_below_topics")?;
            for v in &self.v3_and_below_topics {
                v.encode(w, version)?;
            }
        } else if !self.v3_and_below_topics.is_empty() {
            return Err(EncodeError::absent("v3_and_below_topics", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnTransaction` of [`AddPartitionsToTxnRequest`], versions 4 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnTransaction {
    /// `TransactionalId`; a transactional id.
    pub transactional_id: String,
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `ProducerEpoch`.
    pub producer_epoch: i16,
    /// `VerifyOnly`.
    pub verify_only: bool,
    /// `Topics`.
    pub topics: Vec<AddPartitionsToTxnTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnTransaction {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnTransaction, DecodeError> {
        let mut m = AddPartitionsToTxnTransaction::default();
        m.transactional_id = r.string(true, "transactional_id")?;
        m.producer_id = r.i64("producer_id")?;
        m.producer_epoch = r.i16("producer_epoch")?;
        m.verify_only = r.bool("verify_only")?;
        m.topics = r.array(true, 3, "topics", version, AddPartitionsToTxnTopic::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.transactional_id, "transactional_id")?;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.bool(self.verify_only);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `AddPartitionsToTxnTopic` of [`AddPartitionsToTxnRequest`], versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnTopic, DecodeError> {
        let flexible = version >= 3;
        let mut m = AddPartitionsToTxnTopic::default();
        m.name = r.string(flexible, "name")?;
        m.partitions = r.array(flexible, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        w.string(flexible, &self.name, "name")?;
        w.array_len(flexible, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
