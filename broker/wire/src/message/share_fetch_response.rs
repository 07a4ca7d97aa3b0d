//! Kafka's response `ShareFetchResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::records::Records;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareFetchResponse`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareFetchResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `AcquisitionLockTimeoutMs`.
    pub acquisition_lock_timeout_ms: i32,
    /// `Responses`.
    pub responses: Vec<ShareFetchableTopicResponse>,
    /// `NodeEndpoints`.
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareFetchResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareFetchResponse, DecodeError> {
        crate::error::check_decode_version("ShareFetchResponse", version, 1, 2)?;
        let mut m = ShareFetchResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.acquisition_lock_timeout_ms = r.i32("acquisition_lock_timeout_ms")?;
        m.responses = r.array(true, 18, "responses", version, ShareFetchableTopicResponse::decode)?;
        m.node_endpoints = r.array(true, 11, "node_endpoints", version, NodeEndpoint::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareFetchResponse", version, 1, 2)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.i32(self.acquisition_lock_timeout_ms);
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

/// `ShareFetchableTopicResponse` of [`ShareFetchResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareFetchableTopicResponse {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareFetchableTopicResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareFetchableTopicResponse, DecodeError> {
        let mut m = ShareFetchableTopicResponse::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 22, "partitions", version, PartitionData::decode)?;
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

/// `PartitionData` of [`ShareFetchResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `AcknowledgeErrorCode`.
    pub acknowledge_error_code: i16,
    /// `AcknowledgeErrorMessage`, may be null.
    pub acknowledge_error_message: Option<String>,
    /// `CurrentLeader`.
    pub current_leader: LeaderIdAndEpoch,
    /// `Records`.
    pub records: Option<Records>,
    /// `AcquiredRecords`.
    pub acquired_records: Vec<AcquiredRecords>,
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
        m.acknowledge_error_code = r.i16("acknowledge_error_code")?;
        m.acknowledge_error_message = r.nullable_string(true, true, "acknowledge_error_message")?;
        m.current_leader = LeaderIdAndEpoch::decode(r, version)?;
        m.records = r.records(true, false, "records")?;
        m.acquired_records = r.array(true, 19, "acquired_records", version, AcquiredRecords::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.i16(self.acknowledge_error_code);
        w.nullable_string(
            true,
            self.acknowledge_error_message.as_deref(),
            true,
            "acknowledge_error_message",
        )?;
        self.current_leader.encode(w, version)?;
        w.records(true, self.records.as_ref(), false, "records")?;
        w.array_len(true, self.acquired_records.len(), "acquired_records")?;
        for v in &self.acquired_records {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `LeaderIdAndEpoch` of [`ShareFetchResponse`], versions 1 to 2.
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

/// `AcquiredRecords` of [`ShareFetchResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AcquiredRecords {
    /// `FirstOffset`.
    pub first_offset: i64,
    /// `LastOffset`.
    pub last_offset: i64,
    /// `DeliveryCount`.
    pub delivery_count: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AcquiredRecords {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<AcquiredRecords, DecodeError> {
        let mut m = AcquiredRecords::default();
        m.first_offset = r.i64("first_offset")?;
        m.last_offset = r.i64("last_offset")?;
        m.delivery_count = r.i16("delivery_count")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i64(self.first_offset);
        w.i64(self.last_offset);
        w.i16(self.delivery_count);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `NodeEndpoint` of [`ShareFetchResponse`], versions 1 to 2.
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
