//! Kafka's request `TxnOffsetCommitRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `TxnOffsetCommitRequest`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequest {
    /// `TransactionalId`; a transactional id.
    pub transactional_id: String,
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `ProducerEpoch`.
    pub producer_epoch: i16,
    /// `GenerationIdOrMemberEpoch`, versions 3 to 6.
    pub generation_id_or_member_epoch: i32,
    /// `MemberId`, versions 3 to 6.
    pub member_id: String,
    /// `GroupInstanceId`, versions 3 to 6, may be null.
    pub group_instance_id: Option<String>,
    /// `Topics`.
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for TxnOffsetCommitRequest {
    fn default() -> TxnOffsetCommitRequest {
        TxnOffsetCommitRequest {
            transactional_id: String::new(),
            group_id: String::new(),
            producer_id: 0,
            producer_epoch: 0,
            generation_id_or_member_epoch: -1,
            member_id: String::new(),
            group_instance_id: None,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl TxnOffsetCommitRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TxnOffsetCommitRequest, DecodeError> {
        crate::error::check_decode_version("TxnOffsetCommitRequest", version, 0, 6)?;
        let flexible = version >= 3;
        let mut m = TxnOffsetCommitRequest::default();
        m.transactional_id = r.string(flexible, "transactional_id")?;
        m.group_id = r.string(flexible, "group_id")?;
        m.producer_id = r.i64("producer_id")?;
        m.producer_epoch = r.i16("producer_epoch")?;
        if version >= 3 {
            m.generation_id_or_member_epoch = r.i32("generation_id_or_member_epoch")?;
        }
        if version >= 3 {
            m.member_id = r.string(true, "member_id")?;
        }
        if version >= 3 {
            m.group_instance_id = r.nullable_string(true, true, "group_instance_id")?;
        }
        m.topics = r.array(flexible, 3, "topics", version, TxnOffsetCommitRequestTopic::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("TxnOffsetCommitRequest", version, 0, 6)?;
        let flexible = version >= 3;
        w.string(flexible, &self.transactional_id, "transactional_id")?;
        w.string(flexible, &self.group_id, "group_id")?;
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        if version >= 3 {
            w.i32(self.generation_id_or_member_epoch);
        } else if self.generation_id_or_member_epoch != -1 {
            return Err(EncodeError::absent("generation_id_or_member_epoch", version));
        }
        if version >= 3 {
            w.string(true, &self.member_id, "member_id")?;
        } else if !self.member_id.is_empty() {
            return Err(EncodeError::absent("member_id", version));
        }
        if version >= 3 {
            w.nullable_string(true, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        } else if self.group_instance_id.is_some() {
            return Err(EncodeError::absent("group_instance_id", version));
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

/// `TxnOffsetCommitRequestTopic` of [`TxnOffsetCommitRequest`], versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitRequestTopic {
    /// `Name`, versions 0 to 5, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 6, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TxnOffsetCommitRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TxnOffsetCommitRequestTopic, DecodeError> {
        let flexible = version >= 3;
        let mut m = TxnOffsetCommitRequestTopic::default();
        if version <= 5 {
            m.name = r.string(flexible, "name")?;
        }
        if version == 6 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions =
            r.array(flexible, 14, "partitions", version, TxnOffsetCommitRequestPartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        if version <= 5 {
            w.string(flexible, &self.name, "name")?;
        }
        if version == 6 {
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

/// `TxnOffsetCommitRequestPartition` of [`TxnOffsetCommitRequest`], versions 0 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequestPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `CommittedOffset`.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`, versions 2 to 6, ignorable.
    pub committed_leader_epoch: i32,
    /// `CommittedMetadata`, may be null.
    pub committed_metadata: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for TxnOffsetCommitRequestPartition {
    fn default() -> TxnOffsetCommitRequestPartition {
        TxnOffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl TxnOffsetCommitRequestPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TxnOffsetCommitRequestPartition, DecodeError> {
        let flexible = version >= 3;
        let mut m = TxnOffsetCommitRequestPartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.committed_offset = r.i64("committed_offset")?;
        if version >= 2 {
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
        let flexible = version >= 3;
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        if version >= 2 {
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
