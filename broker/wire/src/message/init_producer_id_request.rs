//! Kafka's request `InitProducerIdRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `InitProducerIdRequest`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct InitProducerIdRequest {
    /// `TransactionalId`, may be null; a transactional id.
    pub transactional_id: Option<String>,
    /// `TransactionTimeoutMs`.
    pub transaction_timeout_ms: i32,
    /// `ProducerId`, versions 3 to 6; a producer id.
    pub producer_id: i64,
    /// `ProducerEpoch`, versions 3 to 6.
    pub producer_epoch: i16,
    /// `Enable2Pc`, version 6.
    pub enable2_pc: bool,
    /// `KeepPreparedTxn`, version 6.
    pub keep_prepared_txn: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for InitProducerIdRequest {
    fn default() -> InitProducerIdRequest {
        InitProducerIdRequest {
            transactional_id: Some(String::new()),
            transaction_timeout_ms: 0,
            producer_id: -1,
            producer_epoch: -1,
            enable2_pc: false,
            keep_prepared_txn: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl InitProducerIdRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<InitProducerIdRequest, DecodeError> {
        crate::error::check_decode_version("InitProducerIdRequest", version, 0, 6)?;
        let flexible = version >= 2;
        let mut m = InitProducerIdRequest::default();
        m.transactional_id = r.nullable_string(flexible, true, "transactional_id")?;
        m.transaction_timeout_ms = r.i32("transaction_timeout_ms")?;
        if version >= 3 {
            m.producer_id = r.i64("producer_id")?;
        }
        if version >= 3 {
            m.producer_epoch = r.i16("producer_epoch")?;
        }
        if version == 6 {
            m.enable2_pc = r.bool("enable2_pc")?;
        }
        if version == 6 {
            m.keep_prepared_txn = r.bool("keep_prepared_txn")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("InitProducerIdRequest", version, 0, 6)?;
        let flexible = version >= 2;
        w.nullable_string(flexible, self.transactional_id.as_deref(), true, "transactional_id")?;
        w.i32(self.transaction_timeout_ms);
        if version >= 3 {
            w.i64(self.producer_id);
        } else if self.producer_id != -1 {
            return Err(EncodeError::absent("producer_id", version));
        }
        if version >= 3 {
            w.i16(self.producer_epoch);
        } else if self.producer_epoch != -1 {
            return Err(EncodeError::absent("producer_epoch", version));
        }
        if version == 6 {
            w.bool(self.enable2_pc);
        } else if self.enable2_pc {
            return Err(EncodeError::absent("enable2_pc", version));
        }
        if version == 6 {
            w.bool(self.keep_prepared_txn);
        } else if self.keep_prepared_txn {
            return Err(EncodeError::absent("keep_prepared_txn", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
