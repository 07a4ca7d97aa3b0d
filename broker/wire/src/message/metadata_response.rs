//! Kafka's response `MetadataResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `MetadataResponse`, versions 0 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataResponse {
    /// `ThrottleTimeMs`, versions 3 to 13, ignorable.
    pub throttle_time_ms: i32,
    /// `Brokers`.
    pub brokers: Vec<MetadataResponseBroker>,
    /// `ClusterId`, versions 2 to 13, may be null, ignorable.
    pub cluster_id: Option<String>,
    /// `ControllerId`, versions 1 to 13, ignorable; a broker id.
    pub controller_id: i32,
    /// `Topics`.
    pub topics: Vec<MetadataResponseTopic>,
    /// `ClusterAuthorizedOperations`, versions 8 to 10.
    pub cluster_authorized_operations: i32,
    /// `ErrorCode`, version 13, ignorable.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MetadataResponse {
    fn default() -> MetadataResponse {
        MetadataResponse {
            throttle_time_ms: 0,
            brokers: Vec::new(),
            cluster_id: None,
            controller_id: -1,
            topics: Vec::new(),
            cluster_authorized_operations: -2_147_483_648,
            error_code: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl MetadataResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MetadataResponse, DecodeError> {
        crate::error::check_decode_version("MetadataResponse", version, 0, 13)?;
        let flexible = version >= 9;
        let mut m = MetadataResponse::default();
        if version >= 3 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        m.brokers = r.array(flexible, 10, "brokers", version, MetadataResponseBroker::decode)?;
        if version >= 2 {
            m.cluster_id = r.nullable_string(flexible, true, "cluster_id")?;
        }
        if version >= 1 {
            m.controller_id = r.i32("controller_id")?;
        }
        m.topics = r.array(flexible, 8, "topics", version, MetadataResponseTopic::decode)?;
        if (8..=10).contains(&version) {
            m.cluster_authorized_operations = r.i32("cluster_authorized_operations")?;
        }
        if version == 13 {
            m.error_code = r.i16("error_code")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("MetadataResponse", version, 0, 13)?;
        let flexible = version >= 9;
        if version >= 3 {
            w.i32(self.throttle_time_ms);
        }
        w.array_len(flexible, self.brokers.len(), "brokers")?;
        for v in &self.brokers {
            v.encode(w, version)?;
        }
        if version >= 2 {
            w.nullable_string(flexible, self.cluster_id.as_deref(), true, "cluster_id")?;
        }
        if version >= 1 {
            w.i32(self.controller_id);
        }
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if (8..=10).contains(&version) {
            w.i32(self.cluster_authorized_operations);
        } else if self.cluster_authorized_operations != -2_147_483_648 {
            return Err(EncodeError::absent("cluster_authorized_operations", version));
        }
        if version == 13 {
            w.i16(self.error_code);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `MetadataResponseBroker` of [`MetadataResponse`], versions 0 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MetadataResponseBroker {
    /// `NodeId`; a broker id.
    pub node_id: i32,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: i32,
    /// `Rack`, versions 1 to 13, may be null, ignorable.
    pub rack: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl MetadataResponseBroker {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MetadataResponseBroker, DecodeError> {
        let flexible = version >= 9;
        let mut m = MetadataResponseBroker::default();
        m.node_id = r.i32("node_id")?;
        m.host = r.string(flexible, "host")?;
        m.port = r.i32("port")?;
        if version >= 1 {
            m.rack = r.nullable_string(flexible, true, "rack")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        w.i32(self.node_id);
        w.string(flexible, &self.host, "host")?;
        w.i32(self.port);
        if version >= 1 {
            w.nullable_string(flexible, self.rack.as_deref(), true, "rack")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `MetadataResponseTopic` of [`MetadataResponse`], versions 0 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataResponseTopic {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Name`, may be null in versions 12 to 13; a topic name.
    pub name: Option<String>,
    /// `TopicId`, versions 10 to 13, ignorable.
    pub topic_id: Uuid,
    /// `IsInternal`, versions 1 to 13, ignorable.
    pub is_internal: bool,
    /// `Partitions`.
    pub partitions: Vec<MetadataResponsePartition>,
    /// `TopicAuthorizedOperations`, versions 8 to 13.
    pub topic_authorized_operations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MetadataResponseTopic {
    fn default() -> MetadataResponseTopic {
        MetadataResponseTopic {
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

impl MetadataResponseTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MetadataResponseTopic, DecodeError> {
        let flexible = version >= 9;
        let mut m = MetadataResponseTopic::default();
        m.error_code = r.i16("error_code")?;
        m.name = r.nullable_string(flexible, version >= 12, "name")?;
        if version >= 10 {
            m.topic_id = r.uuid("topic_id")?;
        }
        if version >= 1 {
            m.is_internal = r.bool("is_internal")?;
        }
        m.partitions = r.array(flexible, 18, "partitions", version, MetadataResponsePartition::decode)?;
        if version >= 8 {
            m.topic_authorized_operations = r.i32("topic_authorized_operations")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        w.i16(self.error_code);
        w.nullable_string(flexible, self.name.as_deref(), version >= 12, "name")?;
        if version >= 10 {
            w.uuid(self.topic_id);
        }
        if version >= 1 {
            w.bool(self.is_internal);
        }
        w.array_len(flexible, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        if version >= 8 {
            w.i32(self.topic_authorized_operations);
        } else if self.topic_authorized_operations != -2_147_483_648 {
            return Err(EncodeError::absent("topic_authorized_operations", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `MetadataResponsePartition` of [`MetadataResponse`], versions 0 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataResponsePartition {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`, versions 7 to 13, ignorable.
    pub leader_epoch: i32,
    /// `ReplicaNodes`; a broker id.
    pub replica_nodes: Vec<i32>,
    /// `IsrNodes`; a broker id.
    pub isr_nodes: Vec<i32>,
    /// `OfflineReplicas`, versions 5 to 13, ignorable; a broker id.
    pub offline_replicas: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MetadataResponsePartition {
    fn default() -> MetadataResponsePartition {
        MetadataResponsePartition {
            error_code: 0,
            partition_index: 0,
            leader_id: 0,
            leader_epoch: -1,
            replica_nodes: Vec::new(),
            isr_nodes: Vec::new(),
            offline_replicas: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl MetadataResponsePartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MetadataResponsePartition, DecodeError> {
        let flexible = version >= 9;
        let mut m = MetadataResponsePartition::default();
        m.error_code = r.i16("error_code")?;
        m.partition_index = r.i32("partition_index")?;
        m.leader_id = r.i32("leader_id")?;
        if version >= 7 {
            m.leader_epoch = r.i32("leader_epoch")?;
        }
        m.replica_nodes = r.array(flexible, 4, "replica_nodes", 0, |r, _| r.i32("replica_nodes"))?;
        m.isr_nodes = r.array(flexible, 4, "isr_nodes", 0, |r, _| r.i32("isr_nodes"))?;
        if version >= 5 {
            m.offline_replicas =
                r.array(flexible, 4, "offline_replicas", 0, |r, _| r.i32("offline_replicas"))?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        w.i16(self.error_code);
        w.i32(self.partition_index);
        w.i32(self.leader_id);
        if version >= 7 {
            w.i32(self.leader_epoch);
        }
        w.array_len(flexible, self.replica_nodes.len(), "replica_nodes")?;
        for v in &self.replica_nodes {
            w.i32(*v);
        }
        w.array_len(flexible, self.isr_nodes.len(), "isr_nodes")?;
        for v in &self.isr_nodes {
            w.i32(*v);
        }
        if version >= 5 {
            w.array_len(flexible, self.offline_replicas.len(), "offline_replicas")?;
            for v in &self.offline_replicas {
                w.i32(*v);
            }
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
