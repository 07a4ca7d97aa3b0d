//! Kafka's response `ShareAcknowledgeResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareAcknowledgeResponse`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareAcknowledgeResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `AcquisitionLockTimeoutMs`, version 2, ignorable.
    pub acquisition_lock_timeout_ms: i32,
    /// `Responses`.
    pub responses: Vec<ShareAcknowledgeTopicResponse>,
    /// `NodeEndpoints`.
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareAcknowledgeResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareAcknowledgeResponse, DecodeError> {
        crate::error::check_decode_version("ShareAcknowledgeResponse", version, 1, 2)?;
        let mut m = ShareAcknowledgeResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        if version == 2 {
            m.acquisition_lock_timeout_ms = r.i32("acquisition_lock_timeout_ms")?;
        }
        m.responses = r.array(true, 18, "responses", version, ShareAcknowledgeTopicResponse::decode)?;
        m.node_endpoints = r.array(true, 11, "node_endpoints", version, NodeEndpoint::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareAcknowledgeResponse", version, 1, 2)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        if version == 2 {
            w.i32(self.acquisition_lock_timeout_ms);
        }
        w.array_len(true, self.responses.len(), "responses")?;
        for v in &self.responses {
            v.encode(w, version)?;
        }
        w.array_len(true, self.node_endpoints.len(), "node_endpoints")?;
        for v in &self.node_endpoints {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ShareAcknowledgeTopicResponse` of [`ShareAcknowledgeResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareAcknowledgeTopicResponse {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareAcknowledgeTopicResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareAcknowledgeTopicResponse, DecodeError> {
        let mut m = ShareAcknowledgeTopicResponse::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 17, "partitions", version, PartitionData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `PartitionData` of [`ShareAcknowledgeResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `CurrentLeader`.
    pub current_leader: LeaderIdAndEpoch,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let mut m = PartitionData::default();
        m.partition_index = r.i32("partition_index")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.current_leader = LeaderIdAndEpoch::decode(r, version)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        self.current_leader.encode(w, version)?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `LeaderIdAndEpoch` of [`ShareAcknowledgeResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaderIdAndEpoch {
    /// `LeaderId`.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LeaderIdAndEpoch {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<LeaderIdAndEpoch, DecodeError> {
        let mut m = LeaderIdAndEpoch::default();
        m.leader_id = r.i32("leader_id")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `NodeEndpoint` of [`ShareAcknowledgeResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeEndpoint {
    /// `NodeId`; a broker id.
    pub node_id: i32,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: i32,
    /// `Rack`, may be null.
    pub rack: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl NodeEndpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<NodeEndpoint, DecodeError> {
        let mut m = NodeEndpoint::default();
        m.node_id = r.i32("node_id")?;
        m.host = r.string(true, "host")?;
        m.port = r.i32("port")?;
        m.rack = r.nullable_string(true, true, "rack")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.string(true, &self.host, "host")?;
        w.i32(self.port);
        w.nullable_string(true, self.rack.as_deref(), true, "rack")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
