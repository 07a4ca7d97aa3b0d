//! Kafka's response `ElectLeadersResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ElectLeadersResponse`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ElectLeadersResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`, versions 1 to 2.
    pub error_code: i16,
    /// `ReplicaElectionResults`.
    pub replica_election_results: Vec<ReplicaElectionResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ElectLeadersResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ElectLeadersResponse, DecodeError> {
        crate::error::check_decode_version("ElectLeadersResponse", version, 0, 2)?;
        let flexible = version == 2;
        let mut m = ElectLeadersResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if version >= 1 {
            m.error_code = r.i16("error_code")?;
        }
        m.replica_election_results =
            r.array(flexible, 3, "replica_election_results", version, ReplicaElectionResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ElectLeadersResponse", version, 0, 2)?;
        let flexible = version == 2;
        w.i32(self.throttle_time_ms);
        if version >= 1 {
            w.i16(self.error_code);
        } else if self.error_code != 0 {
            return Err(EncodeError::absent("error_code", version));
        }
        w.array_len(flexible, self.replica_election_results.len(), "replica_election_results")?;
        for v in &self.replica_election_results {
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

/// `ReplicaElectionResult` of [`ElectLeadersResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReplicaElectionResult {
    /// `Topic`; a topic name.
    pub topic: String,
    /// `PartitionResult`.
    pub partition_result: Vec<PartitionResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ReplicaElectionResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ReplicaElectionResult, DecodeError> {
        let flexible = version == 2;
        let mut m = ReplicaElectionResult::default();
        m.topic = r.string(flexible, "topic")?;
        m.partition_result = r.array(flexible, 8, "partition_result", version, PartitionResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 2;
        w.string(flexible, &self.topic, "topic")?;
        w.array_len(flexible, self.partition_result.len(), "partition_result")?;
        for v in &self.partition_result {
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

/// `PartitionResult` of [`ElectLeadersResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionResult {
    /// `PartitionId`.
    pub partition_id: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionResult {
    fn default() -> PartitionResult {
        PartitionResult {
            partition_id: 0,
            error_code: 0,
            error_message: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionResult, DecodeError> {
        let flexible = version == 2;
        let mut m = PartitionResult::default();
        m.partition_id = r.i32("partition_id")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 2;
        w.i32(self.partition_id);
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
