//! Kafka's record `TransactionLogValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/txn.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `TransactionLogValue`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionLogValue {
    /// `ProducerId`.
    pub producer_id: i64,
    /// `PreviousProducerId`, version 1, tag 0.
    pub previous_producer_id: i64,
    /// `NextProducerId`, version 1, tag 1.
    pub next_producer_id: i64,
    /// `ProducerEpoch`.
    pub producer_epoch: i16,
    /// `NextProducerEpoch`, version 1, tag 3.
    pub next_producer_epoch: i16,
    /// `TransactionTimeoutMs`.
    pub transaction_timeout_ms: i32,
    /// `TransactionStatus`.
    pub transaction_status: i8,
    /// `TransactionPartitions`, may be null.
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    /// `TransactionLastUpdateTimestampMs`.
    pub transaction_last_update_timestamp_ms: i64,
    /// `TransactionStartTimestampMs`.
    pub transaction_start_timestamp_ms: i64,
    /// `ClientTransactionVersion`, version 1, tag 2.
    pub client_transaction_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for TransactionLogValue {
    fn default() -> TransactionLogValue {
        TransactionLogValue {
            producer_id: 0,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: 0,
            next_producer_epoch: -1,
            transaction_timeout_ms: 0,
            transaction_status: 0,
            transaction_partitions: Some(Vec::new()),
            transaction_last_update_timestamp_ms: 0,
            transaction_start_timestamp_ms: 0,
            client_transaction_version: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl TransactionLogValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TransactionLogValue, DecodeError> {
        crate::error::check_decode_version("TransactionLogValue", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = TransactionLogValue::default();
        m.producer_id = r.i64("producer_id")?;
        m.producer_epoch = r.i16("producer_epoch")?;
        m.transaction_timeout_ms = r.i32("transaction_timeout_ms")?;
        m.transaction_status = r.i8("transaction_status")?;
        m.transaction_partitions =
            r.nullable_array(flexible, true, 3, "transaction_partitions", version, PartitionsSchema::decode)?;
        m.transaction_last_update_timestamp_ms = r.i64("transaction_last_update_timestamp_ms")?;
        m.transaction_start_timestamp_ms = r.i64("transaction_start_timestamp_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 => m.previous_producer_id = r.i64("previous_producer_id")?,
                    1 => m.next_producer_id = r.i64("next_producer_id")?,
                    2 => m.client_transaction_version = r.i16("client_transaction_version")?,
                    3 => m.next_producer_epoch = r.i16("next_producer_epoch")?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("TransactionLogValue", version, 0, 1)?;
        let flexible = version == 1;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.i32(self.transaction_timeout_ms);
        w.i8(self.transaction_status);
        w.nullable_array_len(
            flexible,
            self.transaction_partitions.as_ref().map(Vec::len),
            true,
            "transaction_partitions",
        )?;
        for v in self.transaction_partitions.iter().flatten() {
            v.encode(w, version)?;
        }
        w.i64(self.transaction_last_update_timestamp_ms);
        w.i64(self.transaction_start_timestamp_ms);
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if self.previous_producer_id != -1 {
                tags.add(0, |w| {
                    w.i64(self.previous_producer_id);
                    Ok(())
                })?;
            }
            if self.next_producer_id != -1 {
                tags.add(1, |w| {
                    w.i64(self.next_producer_id);
                    Ok(())
                })?;
            }
            if self.client_transaction_version != 0 {
                tags.add(2, |w| {
                    w.i16(self.client_transaction_version);
                    Ok(())
                })?;
            }
            if self.next_producer_epoch != -1 {
                tags.add(3, |w| {
                    w.i16(self.next_producer_epoch);
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        if version != 1 && self.previous_producer_id != -1 {
            return Err(EncodeError::absent("previous_producer_id", version));
        }
        if version != 1 && self.next_producer_id != -1 {
            return Err(EncodeError::absent("next_producer_id", version));
        }
        if version != 1 && self.client_transaction_version != 0 {
            return Err(EncodeError::absent("client_transaction_version", version));
        }
        if version != 1 && self.next_producer_epoch != -1 {
            return Err(EncodeError::absent("next_producer_epoch", version));
        }
        Ok(())
    }
}

/// `PartitionsSchema` of [`TransactionLogValue`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionsSchema {
    /// `Topic`.
    pub topic: String,
    /// `PartitionIds`.
    pub partition_ids: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionsSchema {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionsSchema, DecodeError> {
        let flexible = version == 1;
        let mut m = PartitionsSchema::default();
        m.topic = r.string(flexible, "topic")?;
        m.partition_ids = r.array(flexible, 4, "partition_ids", 0, |r, _| r.i32("partition_ids"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.string(flexible, &self.topic, "topic")?;
        w.array_len(flexible, self.partition_ids.len(), "partition_ids")?;
        for v in &self.partition_ids {
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
