//! Kafka's response `DescribeQuorumResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `DescribeQuorumResponse`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeQuorumResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, version 2, may be null, ignorable.
    pub error_message: Option<String>,
    /// `Topics`.
    pub topics: Vec<TopicData>,
    /// `Nodes`, version 2.
    pub nodes: Vec<Node>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeQuorumResponse {
    fn default() -> DescribeQuorumResponse {
        DescribeQuorumResponse {
            error_code: 0,
            error_message: Some(String::new()),
            topics: Vec::new(),
            nodes: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeQuorumResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeQuorumResponse, DecodeError> {
        crate::error::check_decode_version("DescribeQuorumResponse", version, 0, 2)?;
        let mut m = DescribeQuorumResponse::default();
        m.error_code = r.i16("error_code")?;
        if version == 2 {
            m.error_message = r.nullable_string(true, true, "error_message")?;
        }
        m.topics = r.array(true, 3, "topics", version, TopicData::decode)?;
        if version == 2 {
            m.nodes = r.array(true, 6, "nodes", version, Node::decode)?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeQuorumResponse", version, 0, 2)?;
        w.i16(self.error_code);
        if version == 2 {
            w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        }
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if version == 2 {
            w.array_len(true, self.nodes.len(), "nodes")?;
            for v in &self.nodes {
                v.encode(w, version)?;
            }
        } else if !self.nodes.is_empty() {
            return Err(EncodeError::absent("nodes", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicData` of [`DescribeQuorumResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicData {
    /// `TopicName`; a topic name.
    pub topic_name: String,
    /// `Partitions`.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicData, DecodeError> {
        let mut m = TopicData::default();
        m.topic_name = r.string(true, "topic_name")?;
        m.partitions = r.array(true, 25, "partitions", version, PartitionData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic_name, "topic_name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `PartitionData` of [`DescribeQuorumResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, version 2, may be null, ignorable.
    pub error_message: Option<String>,
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `HighWatermark`.
    pub high_watermark: i64,
    /// `CurrentVoters`.
    pub current_voters: Vec<ReplicaState>,
    /// `Observers`.
    pub observers: Vec<ReplicaState>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionData {
    fn default() -> PartitionData {
        PartitionData {
            partition_index: 0,
            error_code: 0,
            error_message: Some(String::new()),
            leader_id: 0,
            leader_epoch: 0,
            high_watermark: 0,
            current_voters: Vec::new(),
            observers: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let mut m = PartitionData::default();
        m.partition_index = r.i32("partition_index")?;
        m.error_code = r.i16("error_code")?;
        if version == 2 {
            m.error_message = r.nullable_string(true, true, "error_message")?;
        }
        m.leader_id = r.i32("leader_id")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.high_watermark = r.i64("high_watermark")?;
        m.current_voters = r.array(true, 13, "current_voters", version, ReplicaState::decode)?;
        m.observers = r.array(true, 13, "observers", version, ReplicaState::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        if version == 2 {
            w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        }
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.i64(self.high_watermark);
        w.array_len(true, self.current_voters.len(), "current_voters")?;
        for v in &self.current_voters {
            v.encode(w, version)?;
        }
        w.array_len(true, self.observers.len(), "observers")?;
        for v in &self.observers {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Node` of [`DescribeQuorumResponse`], version 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Node {
    /// `NodeId`; a broker id.
    pub node_id: i32,
    /// `Listeners`.
    pub listeners: Vec<Listener>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Node {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Node, DecodeError> {
        let mut m = Node::default();
        m.node_id = r.i32("node_id")?;
        m.listeners = r.array(true, 5, "listeners", version, Listener::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.array_len(true, self.listeners.len(), "listeners")?;
        for v in &self.listeners {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Listener` of [`DescribeQuorumResponse`], version 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Listener {
    /// `Name`.
    pub name: String,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Listener {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Listener, DecodeError> {
        let mut m = Listener::default();
        m.name = r.string(true, "name")?;
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ReplicaState` of [`DescribeQuorumResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// `ReplicaId`; a broker id.
    pub replica_id: i32,
    /// `ReplicaDirectoryId`, version 2.
    pub replica_directory_id: Uuid,
    /// `LogEndOffset`.
    pub log_end_offset: i64,
    /// `LastFetchTimestamp`, versions 1 to 2, ignorable.
    pub last_fetch_timestamp: i64,
    /// `LastCaughtUpTimestamp`, versions 1 to 2, ignorable.
    pub last_caught_up_timestamp: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ReplicaState {
    fn default() -> ReplicaState {
        ReplicaState {
            replica_id: 0,
            replica_directory_id: Uuid::ZERO,
            log_end_offset: 0,
            last_fetch_timestamp: -1,
            last_caught_up_timestamp: -1,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ReplicaState {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ReplicaState, DecodeError> {
        let mut m = ReplicaState::default();
        m.replica_id = r.i32("replica_id")?;
        if version == 2 {
            m.replica_directory_id = r.uuid("replica_directory_id")?;
        }
        m.log_end_offset = r.i64("log_end_offset")?;
        if version >= 1 {
            m.last_fetch_timestamp = r.i64("last_fetch_timestamp")?;
        }
        if version >= 1 {
            m.last_caught_up_timestamp = r.i64("last_caught_up_timestamp")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.replica_id);
        if version == 2 {
            w.uuid(self.replica_directory_id);
        } else if self.replica_directory_id != Uuid::ZERO {
            return Err(EncodeError::absent("replica_directory_id", version));
        }
        w.i64(self.log_end_offset);
        if version >= 1 {
            w.i64(self.last_fetch_timestamp);
        }
        if version >= 1 {
            w.i64(self.last_caught_up_timestamp);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
