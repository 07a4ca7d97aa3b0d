//! Kafka's response `DescribeTransactionsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeTransactionsResponse`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeTransactionsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `TransactionStates`.
    pub transaction_states: Vec<TransactionState>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeTransactionsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeTransactionsResponse, DecodeError> {
        crate::error::check_decode_version("DescribeTransactionsResponse", version, 0, 0)?;
        let mut m = DescribeTransactionsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.transaction_states = r.array(true, 28, "transaction_states", version, TransactionState::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeTransactionsResponse", version, 0, 0)?;
        w.i32(self.throttle_time_ms);
        w.array_len(true, self.transaction_states.len(), "transaction_states")?;
        for v in &self.transaction_states {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TransactionState` of [`DescribeTransactionsResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TransactionState {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `TransactionalId`; a transactional id.
    pub transactional_id: String,
    /// `TransactionState`.
    pub transaction_state: String,
    /// `TransactionTimeoutMs`.
    pub transaction_timeout_ms: i32,
    /// `TransactionStartTimeMs`.
    pub transaction_start_time_ms: i64,
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `ProducerEpoch`.
    pub producer_epoch: i16,
    /// `Topics`.
    pub topics: Vec<TopicData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TransactionState {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TransactionState, DecodeError> {
        let mut m = TransactionState::default();
        m.error_code = r.i16("error_code")?;
        m.transactional_id = r.string(true, "transactional_id")?;
        m.transaction_state = r.string(true, "transaction_state")?;
        m.transaction_timeout_ms = r.i32("transaction_timeout_ms")?;
        m.transaction_start_time_ms = r.i64("transaction_start_time_ms")?;
        m.producer_id = r.i64("producer_id")?;
        m.producer_epoch = r.i16("producer_epoch")?;
        m.topics = r.array(true, 3, "topics", version, TopicData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.string(true, &self.transactional_id, "transactional_id")?;
        w.string(true, &self.transaction_state, "transaction_state")?;
        w.i32(self.transaction_timeout_ms);
        w.i64(self.transaction_start_time_ms);
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicData` of [`DescribeTransactionsResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicData {
    /// `Topic`; a topic name.
    pub topic: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicData, DecodeError> {
        let mut m = TopicData::default();
        m.topic = r.string(true, "topic")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic, "topic")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
