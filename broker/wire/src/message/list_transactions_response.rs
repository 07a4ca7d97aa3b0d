//! Kafka's response `ListTransactionsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListTransactionsResponse`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListTransactionsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `UnknownStateFilters`.
    pub unknown_state_filters: Vec<String>,
    /// `TransactionStates`.
    pub transaction_states: Vec<TransactionState>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListTransactionsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListTransactionsResponse, DecodeError> {
        crate::error::check_decode_version("ListTransactionsResponse", version, 0, 2)?;
        let mut m = ListTransactionsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.unknown_state_filters =
            r.array(true, 1, "unknown_state_filters", 0, |r, _| r.string(true, "unknown_state_filters"))?;
        m.transaction_states = r.array(true, 11, "transaction_states", version, TransactionState::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListTransactionsResponse", version, 0, 2)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.array_len(true, self.unknown_state_filters.len(), "unknown_state_filters")?;
        for v in &self.unknown_state_filters {
            w.string(true, v, "unknown_state_filters")?;
        }
        w.array_len(true, self.transaction_states.len(), "transaction_states")?;
        for v in &self.transaction_states {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TransactionState` of [`ListTransactionsResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TransactionState {
    /// `TransactionalId`; a transactional id.
    pub transactional_id: String,
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `TransactionState`.
    pub transaction_state: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TransactionState {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TransactionState, DecodeError> {
        let mut m = TransactionState::default();
        m.transactional_id = r.string(true, "transactional_id")?;
        m.producer_id = r.i64("producer_id")?;
        m.transaction_state = r.string(true, "transaction_state")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.transactional_id, "transactional_id")?;
        w.i64(self.producer_id);
        w.string(true, &self.transaction_state, "transaction_state")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
