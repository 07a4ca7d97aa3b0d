//! Kafka's request `VoteRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `VoteRequest`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct VoteRequest {
    /// `ClusterId`, may be null.
    pub cluster_id: Option<String>,
    /// `VoterId`, versions 1 to 2, ignorable; a broker id.
    pub voter_id: i32,
    /// `Topics`.
    pub topics: Vec<TopicData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for VoteRequest {
    fn default() -> VoteRequest {
        VoteRequest {
            cluster_id: None,
            voter_id: -1,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl VoteRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<VoteRequest, DecodeError> {
        crate::error::check_decode_version("VoteRequest", version, 0, 2)?;
        let mut m = VoteRequest::default();
        m.cluster_id = r.nullable_string(true, true, "cluster_id")?;
        if version >= 1 {
            m.voter_id = r.i32("voter_id")?;
        }
        m.topics = r.array(true, 3, "topics", version, TopicData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("VoteRequest", version, 0, 2)?;
        w.nullable_string(true, self.cluster_id.as_deref(), true, "cluster_id")?;
        if version >= 1 {
            w.i32(self.voter_id);
        }
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicData` of [`VoteRequest`], versions 0 to 2.
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

/// `PartitionData` of [`VoteRequest`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ReplicaEpoch`.
    pub replica_epoch: i32,
    /// `ReplicaId`; a broker id.
    pub replica_id: i32,
    /// `ReplicaDirectoryId`, versions 1 to 2, ignorable.
    pub replica_directory_id: Uuid,
    /// `VoterDirectoryId`, versions 1 to 2, ignorable.
    pub voter_directory_id: Uuid,
    /// `LastOffsetEpoch`.
    pub last_offset_epoch: i32,
    /// `LastOffset`.
    pub last_offset: i64,
    /// `PreVote`, version 2.
    pub pre_vote: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let mut m = PartitionData::default();
        m.partition_index = r.i32("partition_index")?;
        m.replica_epoch = r.i32("replica_epoch")?;
        m.replica_id = r.i32("replica_id")?;
        if version >= 1 {
            m.replica_directory_id = r.uuid("replica_directory_id")?;
        }
        if version >= 1 {
            m.voter_directory_id = r.uuid("voter_directory_id")?;
        }
        m.last_offset_epoch = r.i32("last_offset_epoch")?;
        m.last_offset = r.i64("last_offset")?;
        if version == 2 {
            m.pre_vote = r.bool("pre_vote")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i32(self.replica_epoch);
        w.i32(self.replica_id);
        if version >= 1 {
            w.uuid(self.replica_directory_id);
        }
        if version >= 1 {
            w.uuid(self.voter_directory_id);
        }
        w.i32(self.last_offset_epoch);
        w.i64(self.last_offset);
        if version == 2 {
            w.bool(self.pre_vote);
        } else if self.pre_vote {
            return Err(EncodeError::absent("pre_vote", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
