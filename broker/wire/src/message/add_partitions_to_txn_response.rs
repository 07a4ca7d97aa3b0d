//! Kafka's response `AddPartitionsToTxnResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AddPartitionsToTxnResponse`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`, versions 4 to 5, ignorable.
    pub error_code: i16,
    /// `ResultsByTransaction`, versions 4 to 5.
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    /// `ResultsByTopicV3AndBelow`, versions 0 to 3.
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnResponse, DecodeError> {
        crate::error::check_decode_version("AddPartitionsToTxnResponse", version, 0, 5)?;
        let flexible = version >= 3;
        let mut m = AddPartitionsToTxnResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if version >= 4 {
            m.error_code = r.i16("error_code")?;
        }
        if version >= 4 {
            m.results_by_transaction =
                r.array(true, 3, "results_by_transaction", version, AddPartitionsToTxnResult::decode)?;
        }
        if version <= 3 {
            m.results_by_topic_v3_and_below = r.array(
                flexible,
                3,
                "results_by_topic_v3_and_below",
                version,
                AddPartitionsToTxnTopicResult::decode,
            )?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AddPartitionsToTxnResponse", version, 0, 5)?;
        let flexible = version >= 3;
        w.i32(self.throttle_time_ms);
        if version >= 4 {
            w.i16(self.error_code);
        }
        if version >= 4 {
            w.array_len(true, self.results_by_transaction.len(), "results_by_transaction")?;
            for v in &self.results_by_transaction {
                v.encode(w, version)?;
            }
        } else if !self.results_by_transaction.is_empty() {
            return Err(EncodeError::absent("results_by_transaction", version));
        }
        if version <= 3 {
            w.array_len(flexible, self.results_by_topic_v3_and_below.len(), "results_by_topic_v3_and_below")?;
            for v in &self.results_by_topic_v3_and_below {
                v.encode(w, version)?;
            }
        } else if !self.results_by_topic_v3_and_below.is_empty() {
            return Err(EncodeError::absent("results_by_topic_v3_and_below", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnResult` of [`AddPartitionsToTxnResponse`], versions 4 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnResult {
    /// `TransactionalId`; a transactional id.
    pub transactional_id: String,
    /// `TopicResults`.
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnResult, DecodeError> {
        let mut m = AddPartitionsToTxnResult::default();
        m.transactional_id = r.string(true, "transactional_id")?;
        m.topic_results =
            r.array(true, 3, "topic_results", version, AddPartitionsToTxnTopicResult::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.transactional_id, "transactional_id")?;
        w.array_len(true, self.topic_results.len(), "topic_results")?;
        for v in &self.topic_results {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `AddPartitionsToTxnTopicResult` of [`AddPartitionsToTxnResponse`], versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnTopicResult {
    /// `Name`; a topic name.
    pub name: String,
    /// `ResultsByPartition`.
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnTopicResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnTopicResult, DecodeError> {
        let flexible = version >= 3;
        let mut m = AddPartitionsToTxnTopicResult::default();
        m.name = r.string(flexible, "name")?;
        m.results_by_partition =
            r.array(flexible, 6, "results_by_partition", version, AddPartitionsToTxnPartitionResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        w.string(flexible, &self.name, "name")?;
        w.array_len(flexible, self.results_by_partition.len(), "results_by_partition")?;
        for v in &self.results_by_partition {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnPartitionResult` of [`AddPartitionsToTxnResponse`], versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AddPartitionsToTxnPartitionResult {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `PartitionErrorCode`.
    pub partition_error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AddPartitionsToTxnPartitionResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AddPartitionsToTxnPartitionResult, DecodeError> {
        let flexible = version >= 3;
        let mut m = AddPartitionsToTxnPartitionResult::default();
        m.partition_index = r.i32("partition_index")?;
        m.partition_error_code = r.i16("partition_error_code")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        w.i32(self.partition_index);
        w.i16(self.partition_error_code);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
