//! Kafka's record `TransactionLogKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/txn.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `TransactionLogKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TransactionLogKey {
    /// `TransactionalId`.
    pub transactional_id: String,
}

impl TransactionLogKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TransactionLogKey, DecodeError> {
        crate::error::check_decode_version("TransactionLogKey", version, 0, 0)?;
        let mut m = TransactionLogKey::default();
        m.transactional_id = r.string(false, "transactional_id")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("TransactionLogKey", version, 0, 0)?;
        w.string(false, &self.transactional_id, "transactional_id")?;
        Ok(())
    }
}
