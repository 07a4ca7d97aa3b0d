//! Kafka's request `EndQuorumEpochRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `EndQuorumEpochRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndQuorumEpochRequest {
    /// `ClusterId`, may be null.
    pub cluster_id: Option<String>,
    /// `Topics`.
    pub topics: Vec<TopicData>,
    /// `LeaderEndpoints`, version 1, ignorable.
    pub leader_endpoints: Vec<LeaderEndpoint>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl EndQuorumEpochRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EndQuorumEpochRequest, DecodeError> {
        crate::error::check_decode_version("EndQuorumEpochRequest", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = EndQuorumEpochRequest::default();
        m.cluster_id = r.nullable_string(flexible, true, "cluster_id")?;
        m.topics = r.array(flexible, 3, "topics", version, TopicData::decode)?;
        if version == 1 {
            m.leader_endpoints = r.array(true, 5, "leader_endpoints", version, LeaderEndpoint::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("EndQuorumEpochRequest", version, 0, 1)?;
        let flexible = version == 1;
        w.nullable_string(flexible, self.cluster_id.as_deref(), true, "cluster_id")?;
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if version == 1 {
            w.array_len(true, self.leader_endpoints.len(), "leader_endpoints")?;
            for v in &self.leader_endpoints {
                v.encode(w, version)?;
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

/// `TopicData` of [`EndQuorumEpochRequest`], versions 0 to 1.
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
        let flexible = version == 1;
        let mut m = TopicData::default();
        m.topic_name = r.string(flexible, "topic_name")?;
        m.partitions = r.array(flexible, 14, "partitions", version, PartitionData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.string(flexible, &self.topic_name, "topic_name")?;
        w.array_len(flexible, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
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

/// `PartitionData` of [`EndQuorumEpochRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `PreferredSuccessors`, version 0, ignorable.
    pub preferred_successors: Vec<i32>,
    /// `PreferredCandidates`, version 1, ignorable.
    pub preferred_candidates: Vec<ReplicaInfo>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let flexible = version == 1;
        let mut m = PartitionData::default();
        m.partition_index = r.i32("partition_index")?;
        m.leader_id = r.i32("leader_id")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        if version == 0 {
            m.preferred_successors =
                r.array(false, 4, "preferred_successors", 0, |r, _| r.i32("preferred_successors"))?;
        }
        if version == 1 {
            m.preferred_candidates =
                r.array(true, 21, "preferred_candidates", version, ReplicaInfo::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.i32(self.partition_index);
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        if version == 0 {
            w.array_len(false, self.preferred_successors.len(), "preferred_successors")?;
            for v in &self.preferred_successors {
                w.i32(*v);
            }
        }
        if version == 1 {
            w.array_len(true, self.preferred_candidates.len(), "preferred_candidates")?;
            for v in &self.preferred_candidates {
                v.encode(w, version)?;
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

/// `ReplicaInfo` of [`EndQuorumEpochRequest`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReplicaInfo {
    /// `CandidateId`; a broker id.
    pub candidate_id: i32,
    /// `CandidateDirectoryId`.
    pub candidate_directory_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ReplicaInfo {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ReplicaInfo, DecodeError> {
        let mut m = ReplicaInfo::default();
        m.candidate_id = r.i32("candidate_id")?;
        m.candidate_directory_id = r.uuid("candidate_directory_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.candidate_id);
        w.uuid(self.candidate_directory_id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `LeaderEndpoint` of [`EndQuorumEpochRequest`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaderEndpoint {
    /// `Name`.
    pub name: String,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LeaderEndpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<LeaderEndpoint, DecodeError> {
        let mut m = LeaderEndpoint::default();
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
