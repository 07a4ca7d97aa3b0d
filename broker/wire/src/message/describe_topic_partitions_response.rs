//! Kafka's response `DescribeTopicPartitionsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `DescribeTopicPartitionsResponse`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeTopicPartitionsResponse {
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `Topics`.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// `NextCursor`, may be null.
    pub next_cursor: Option<Cursor>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeTopicPartitionsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeTopicPartitionsResponse, DecodeError> {
        crate::error::check_decode_version("DescribeTopicPartitionsResponse", version, 0, 0)?;
        let mut m = DescribeTopicPartitionsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.topics = r.array(true, 26, "topics", version, DescribeTopicPartitionsResponseTopic::decode)?;
        m.next_cursor = if r.is_present("next_cursor")? { Some(Cursor::decode(r, version)?) } else { None };
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeTopicPartitionsResponse", version, 0, 0)?;
        w.i32(self.throttle_time_ms);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.presence(self.next_cursor.is_some());
        if let Some(v) = &self.next_cursor {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribeTopicPartitionsResponseTopic` of [`DescribeTopicPartitionsResponse`], version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Name`, may be null; a topic name.
    pub name: Option<String>,
    /// `TopicId`, ignorable.
    pub topic_id: Uuid,
    /// `IsInternal`, ignorable.
    pub is_internal: bool,
    /// `Partitions`.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// `TopicAuthorizedOperations`.
    pub topic_authorized_operations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeTopicPartitionsResponseTopic {
    fn default() -> DescribeTopicPartitionsResponseTopic {
        DescribeTopicPartitionsResponseTopic {
            error_code: 0,
            name: Some(String::new()),
            topic_id: Uuid::ZERO,
            is_internal: false,
            partitions: Vec::new(),
            topic_authorized_operations: -2_147_483_648,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeTopicPartitionsResponseTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeTopicPartitionsResponseTopic, DecodeError> {
        let mut m = DescribeTopicPartitionsResponseTopic::default();
        m.error_code = r.i16("error_code")?;
        m.name = r.nullable_string(true, true, "name")?;
        m.topic_id = r.uuid("topic_id")?;
        m.is_internal = r.bool("is_internal")?;
        m.partitions =
            r.array(true, 20, "partitions", version, DescribeTopicPartitionsResponsePartition::decode)?;
        m.topic_authorized_operations = r.i32("topic_authorized_operations")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.nullable_string(true, self.name.as_deref(), true, "name")?;
        w.uuid(self.topic_id);
        w.bool(self.is_internal);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.i32(self.topic_authorized_operations);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribeTopicPartitionsResponsePartition` of [`DescribeTopicPartitionsResponse`], version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`, ignorable.
    pub leader_epoch: i32,
    /// `ReplicaNodes`; a broker id.
    pub replica_nodes: Vec<i32>,
    /// `IsrNodes`; a broker id.
    pub isr_nodes: Vec<i32>,
    /// `EligibleLeaderReplicas`, may be null; a broker id.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// `LastKnownElr`, may be null; a broker id.
    pub last_known_elr: Option<Vec<i32>>,
    /// `OfflineReplicas`, ignorable; a broker id.
    pub offline_replicas: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeTopicPartitionsResponsePartition {
    fn default() -> DescribeTopicPartitionsResponsePartition {
        DescribeTopicPartitionsResponsePartition {
            error_code: 0,
            partition_index: 0,
            leader_id: 0,
            leader_epoch: -1,
            replica_nodes: Vec::new(),
            isr_nodes: Vec::new(),
            eligible_leader_replicas: None,
            last_known_elr: None,
            offline_replicas: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeTopicPartitionsResponsePartition {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        _version: i16,
    ) -> Result<DescribeTopicPartitionsResponsePartition, DecodeError> {
        let mut m = DescribeTopicPartitionsResponsePartition::default();
        m.error_code = r.i16("error_code")?;
        m.partition_index = r.i32("partition_index")?;
        m.leader_id = r.i32("leader_id")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.replica_nodes = r.array(true, 4, "replica_nodes", 0, |r, _| r.i32("replica_nodes"))?;
        m.isr_nodes = r.array(true, 4, "isr_nodes", 0, |r, _| r.i32("isr_nodes"))?;
        m.eligible_leader_replicas =
            r.nullable_array(true, true, 4, "eligible_leader_replicas", 0, |r, _| {
                r.i32("eligible_leader_replicas")
            })?;
        m.last_known_elr =
            r.nullable_array(true, true, 4, "last_known_elr", 0, |r, _| r.i32("last_known_elr"))?;
        m.offline_replicas = r.array(true, 4, "offline_replicas", 0, |r, _| r.i32("offline_replicas"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.i32(self.partition_index);
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.array_len(true, self.replica_nodes.len(), "replica_nodes")?;
        for v in &self.replica_nodes {
            w.i32(*v);
        }
        w.array_len(true, self.isr_nodes.len(), "isr_nodes")?;
        for v in &self.isr_nodes {
            w.i32(*v);
        }
        w.nullable_array_len(
            true,
            self.eligible_leader_replicas.as_ref().map(Vec::len),
            true,
            "eligible_leader_replicas",
        )?;
        for v in self.eligible_leader_replicas.iter().flatten() {
            w.i32(*v);
        }
        w.nullable_array_len(true, self.last_known_elr.as_ref().map(Vec::len), true, "last_known_elr")?;
        for v in self.last_known_elr.iter().flatten() {
            w.i32(*v);
        }
        w.array_len(true, self.offline_replicas.len(), "offline_replicas")?;
        for v in &self.offline_replicas {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Cursor` of [`DescribeTopicPartitionsResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Cursor {
    /// `TopicName`; a topic name.
    pub topic_name: String,
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Cursor {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Cursor, DecodeError> {
        let mut m = Cursor::default();
        m.topic_name = r.string(true, "topic_name")?;
        m.partition_index = r.i32("partition_index")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic_name, "topic_name")?;
        w.i32(self.partition_index);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
