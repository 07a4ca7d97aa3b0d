//! Kafka's response `ProduceResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ProduceResponse`, versions 3 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProduceResponse {
    /// `Responses`.
    pub responses: Vec<TopicProduceResponse>,
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `NodeEndpoints`, versions 10 to 13, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ProduceResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ProduceResponse, DecodeError> {
        crate::error::check_decode_version("ProduceResponse", version, 3, 13)?;
        let flexible = version >= 9;
        let mut m = ProduceResponse::default();
        m.responses = r.array(flexible, 3, "responses", version, TopicProduceResponse::decode)?;
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 if version >= 10 => {
                        m.node_endpoints =
                            r.array(true, 11, "node_endpoints", version, NodeEndpoint::decode)?
                    }
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ProduceResponse", version, 3, 13)?;
        let flexible = version >= 9;
        w.array_len(flexible, self.responses.len(), "responses")?;
        for v in &self.responses {
            v.encode(w, version)?;
        }
        w.i32(self.throttle_time_ms);
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if version >= 10 && !self.node_endpoints.is_empty() {
                tags.add(0, |w| {
                    w.array_len(true, self.node_endpoints.len(), "node_endpoints")?;
                    for v in &self.node_endpoints {
                        v.encode(w, version)?;
                    }
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        if version < 10 && !self.node_endpoints.is_empty() {
            return Err(EncodeError::absent("node_endpoints", version));
        }
        Ok(())
    }
}

/// `TopicProduceResponse` of [`ProduceResponse`], versions 3 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicProduceResponse {
    /// `Name`, versions 3 to 12, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 13, ignorable.
    pub topic_id: Uuid,
    /// `PartitionResponses`.
    pub partition_responses: Vec<PartitionProduceResponse>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicProduceResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicProduceResponse, DecodeError> {
        let flexible = version >= 9;
        let mut m = TopicProduceResponse::default();
        if version <= 12 {
            m.name = r.string(flexible, "name")?;
        }
        if version == 13 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partition_responses =
            r.array(flexible, 22, "partition_responses", version, PartitionProduceResponse::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        if version <= 12 {
            w.string(flexible, &self.name, "name")?;
        }
        if version == 13 {
            w.uuid(self.topic_id);
        }
        w.array_len(flexible, self.partition_responses.len(), "partition_responses")?;
        for v in &self.partition_responses {
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

/// `PartitionProduceResponse` of [`ProduceResponse`], versions 3 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionProduceResponse {
    /// `Index`.
    pub index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `BaseOffset`.
    pub base_offset: i64,
    /// `LogAppendTimeMs`, ignorable.
    pub log_append_time_ms: i64,
    /// `LogStartOffset`, versions 5 to 13, ignorable.
    pub log_start_offset: i64,
    /// `RecordErrors`, versions 8 to 13, ignorable.
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// `ErrorMessage`, versions 8 to 13, may be null, ignorable.
    pub error_message: Option<String>,
    /// `CurrentLeader`, versions 10 to 13, tag 0.
    pub current_leader: LeaderIdAndEpoch,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionProduceResponse {
    fn default() -> PartitionProduceResponse {
        PartitionProduceResponse {
            index: 0,
            error_code: 0,
            base_offset: 0,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: LeaderIdAndEpoch::default(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionProduceResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionProduceResponse, DecodeError> {
        let flexible = version >= 9;
        let mut m = PartitionProduceResponse::default();
        m.index = r.i32("index")?;
        m.error_code = r.i16("error_code")?;
        m.base_offset = r.i64("base_offset")?;
        m.log_append_time_ms = r.i64("log_append_time_ms")?;
        if version >= 5 {
            m.log_start_offset = r.i64("log_start_offset")?;
        }
        if version >= 8 {
            m.record_errors =
                r.array(flexible, 6, "record_errors", version, BatchIndexAndErrorMessage::decode)?;
        }
        if version >= 8 {
            m.error_message = r.nullable_string(flexible, true, "error_message")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 if version >= 10 => m.current_leader = LeaderIdAndEpoch::decode(r, version)?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        w.i32(self.index);
        w.i16(self.error_code);
        w.i64(self.base_offset);
        w.i64(self.log_append_time_ms);
        if version >= 5 {
            w.i64(self.log_start_offset);
        }
        if version >= 8 {
            w.array_len(flexible, self.record_errors.len(), "record_errors")?;
            for v in &self.record_errors {
                v.encode(w, version)?;
            }
        }
        if version >= 8 {
            w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        }
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if version >= 10 && self.current_leader != LeaderIdAndEpoch::default() {
                tags.add(0, |w| {
                    self.current_leader.encode(w, version)?;
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        if version < 10 && self.current_leader != LeaderIdAndEpoch::default() {
            return Err(EncodeError::absent("current_leader", version));
        }
        Ok(())
    }
}

/// `BatchIndexAndErrorMessage` of [`ProduceResponse`], versions 8 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct BatchIndexAndErrorMessage {
    /// `BatchIndex`.
    pub batch_index: i32,
    /// `BatchIndexErrorMessage`, may be null.
    pub batch_index_error_message: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl BatchIndexAndErrorMessage {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<BatchIndexAndErrorMessage, DecodeError> {
        let flexible = version >= 9;
        let mut m = BatchIndexAndErrorMessage::default();
        m.batch_index = r.i32("batch_index")?;
        m.batch_index_error_message = r.nullable_string(flexible, true, "batch_index_error_message")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        w.i32(self.batch_index);
        w.nullable_string(
            flexible,
            self.batch_index_error_message.as_deref(),
            true,
            "batch_index_error_message",
        )?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `LeaderIdAndEpoch` of [`ProduceResponse`], versions 10 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> LeaderIdAndEpoch {
        LeaderIdAndEpoch { leader_id: -1, leader_epoch: -1, unknown_tagged_fields: TaggedFields::default() }
    }
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

/// `NodeEndpoint` of [`ProduceResponse`], versions 10 to 13.
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
