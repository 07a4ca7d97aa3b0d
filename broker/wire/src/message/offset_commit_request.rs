//! Kafka's request `OffsetCommitRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `OffsetCommitRequest`, versions 2 to 10.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `GenerationIdOrMemberEpoch`, ignorable.
    pub generation_id_or_member_epoch: i32,
    /// `MemberId`, ignorable.
    pub member_id: String,
    /// `GroupInstanceId`, versions 7 to 10, may be null.
    pub group_instance_id: Option<String>,
    /// `RetentionTimeMs`, versions 2 to 4, ignorable.
    pub retention_time_ms: i64,
    /// `Topics`.
    pub topics: Vec<OffsetCommitRequestTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetCommitRequest {
    fn default() -> OffsetCommitRequest {
        OffsetCommitRequest {
            group_id: String::new(),
            generation_id_or_member_epoch: -1,
            member_id: String::new(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetCommitRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetCommitRequest, DecodeError> {
        crate::error::check_decode_version("OffsetCommitRequest", version, 2, 10)?;
        let flexible = version >= 8;
        let mut m = OffsetCommitRequest::default();
        m.group_id = r.string(flexible, "group_id")?;
        m.generation_id_or_member_epoch = r.i32("generation_id_or_member_epoch")?;
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 7 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        if version <= 4 {
            m.retention_time_ms = r.i64("retention_time_ms")?;
        }
        m.topics = r.array(flexible, 3, "topics", version, OffsetCommitRequestTopic::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("OffsetCommitRequest", version, 2, 10)?;
        let flexible = version >= 8;
        w.string(flexible, &self.group_id, "group_id")?;
        w.i32(self.generation_id_or_member_epoch);
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 7 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        } else if self.group_instance_id.is_some() {
            return Err(EncodeError::absent("group_instance_id", version));
        }
        if version <= 4 {
            w.i64(self.retention_time_ms);
        }
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
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

/// `OffsetCommitRequestTopic` of [`OffsetCommitRequest`], versions 2 to 10.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetCommitRequestTopic {
    /// `Name`, versions 2 to 9, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 10, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<OffsetCommitRequestPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetCommitRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetCommitRequestTopic, DecodeError> {
        let flexible = version >= 8;
        let mut m = OffsetCommitRequestTopic::default();
        if version <= 9 {
            m.name = r.string(flexible, "name")?;
        }
        if version == 10 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions = r.array(flexible, 14, "partitions", version, OffsetCommitRequestPartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 8;
        if version <= 9 {
            w.string(flexible, &self.name, "name")?;
        }
        if version == 10 {
            w.uuid(self.topic_id);
        }
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

/// `OffsetCommitRequestPartition` of [`OffsetCommitRequest`], versions 2 to 10.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `CommittedOffset`.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`, versions 6 to 10, ignorable.
    pub committed_leader_epoch: i32,
    /// `CommittedMetadata`, may be null.
    pub committed_metadata: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetCommitRequestPartition {
    fn default() -> OffsetCommitRequestPartition {
        OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetCommitRequestPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetCommitRequestPartition, DecodeError> {
        let flexible = version >= 8;
        let mut m = OffsetCommitRequestPartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.committed_offset = r.i64("committed_offset")?;
        if version >= 6 {
            m.committed_leader_epoch = r.i32("committed_leader_epoch")?;
        }
        m.committed_metadata = r.nullable_string(flexible, true, "committed_metadata")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 8;
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        if version >= 6 {
            w.i32(self.committed_leader_epoch);
        }
        w.nullable_string(flexible, self.committed_metadata.as_deref(), true, "committed_metadata")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
