//! Kafka's response `ListPartitionReassignmentsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListPartitionReassignmentsResponse`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPartitionReassignmentsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `Topics`.
    pub topics: Vec<OngoingTopicReassignment>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ListPartitionReassignmentsResponse {
    fn default() -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(String::new()),
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ListPartitionReassignmentsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListPartitionReassignmentsResponse, DecodeError> {
        crate::error::check_decode_version("ListPartitionReassignmentsResponse", version, 0, 0)?;
        let mut m = ListPartitionReassignmentsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.topics = r.array(true, 3, "topics", version, OngoingTopicReassignment::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListPartitionReassignmentsResponse", version, 0, 0)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `OngoingTopicReassignment` of [`ListPartitionReassignmentsResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OngoingTopicReassignment {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<OngoingPartitionReassignment>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OngoingTopicReassignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OngoingTopicReassignment, DecodeError> {
        let mut m = OngoingTopicReassignment::default();
        m.name = r.string(true, "name")?;
        m.partitions = r.array(true, 8, "partitions", version, OngoingPartitionReassignment::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `OngoingPartitionReassignment` of [`ListPartitionReassignmentsResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OngoingPartitionReassignment {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `Replicas`; a broker id.
    pub replicas: Vec<i32>,
    /// `AddingReplicas`; a broker id.
    pub adding_replicas: Vec<i32>,
    /// `RemovingReplicas`; a broker id.
    pub removing_replicas: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OngoingPartitionReassignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<OngoingPartitionReassignment, DecodeError> {
        let mut m = OngoingPartitionReassignment::default();
        m.partition_index = r.i32("partition_index")?;
        m.replicas = r.array(true, 4, "replicas", 0, |r, _| r.i32("replicas"))?;
        m.adding_replicas = r.array(true, 4, "adding_replicas", 0, |r, _| r.i32("adding_replicas"))?;
        m.removing_replicas = r.array(true, 4, "removing_replicas", 0, |r, _| r.i32("removing_replicas"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.array_len(true, self.replicas.len(), "replicas")?;
        for v in &self.replicas {
            w.i32(*v);
        }
        w.array_len(true, self.adding_replicas.len(), "adding_replicas")?;
        for v in &self.adding_replicas {
            w.i32(*v);
        }
        w.array_len(true, self.removing_replicas.len(), "removing_replicas")?;
        for v in &self.removing_replicas {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
