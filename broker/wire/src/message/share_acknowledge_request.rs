//! Kafka's request `ShareAcknowledgeRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareAcknowledgeRequest`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareAcknowledgeRequest {
    /// `GroupId`, may be null; a group id.
    pub group_id: Option<String>,
    /// `MemberId`, may be null.
    pub member_id: Option<String>,
    /// `ShareSessionEpoch`.
    pub share_session_epoch: i32,
    /// `IsRenewAck`, version 2.
    pub is_renew_ack: bool,
    /// `Topics`.
    pub topics: Vec<AcknowledgeTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ShareAcknowledgeRequest {
    fn default() -> ShareAcknowledgeRequest {
        ShareAcknowledgeRequest {
            group_id: None,
            member_id: Some(String::new()),
            share_session_epoch: 0,
            is_renew_ack: false,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ShareAcknowledgeRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareAcknowledgeRequest, DecodeError> {
        crate::error::check_decode_version("ShareAcknowledgeRequest", version, 1, 2)?;
        let mut m = ShareAcknowledgeRequest::default();
        m.group_id = r.nullable_string(true, true, "group_id")?;
        m.member_id = r.nullable_string(true, true, "member_id")?;
        m.share_session_epoch = r.i32("share_session_epoch")?;
        if version == 2 {
            m.is_renew_ack = r.bool("is_renew_ack")?;
        }
        m.topics = r.array(true, 18, "topics", version, AcknowledgeTopic::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareAcknowledgeRequest", version, 1, 2)?;
        w.nullable_string(true, self.group_id.as_deref(), true, "group_id")?;
        w.nullable_string(true, self.member_id.as_deref(), true, "member_id")?;
        w.i32(self.share_session_epoch);
        if version == 2 {
            w.bool(self.is_renew_ack);
        } else if self.is_renew_ack {
            return Err(EncodeError::absent("is_renew_ack", version));
        }
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `AcknowledgeTopic` of [`ShareAcknowledgeRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AcknowledgeTopic {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<AcknowledgePartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AcknowledgeTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AcknowledgeTopic, DecodeError> {
        let mut m = AcknowledgeTopic::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 6, "partitions", version, AcknowledgePartition::decode)?;
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

/// `AcknowledgePartition` of [`ShareAcknowledgeRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AcknowledgePartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `AcknowledgementBatches`.
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AcknowledgePartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AcknowledgePartition, DecodeError> {
        let mut m = AcknowledgePartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.acknowledgement_batches =
            r.array(true, 18, "acknowledgement_batches", version, AcknowledgementBatch::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.array_len(true, self.acknowledgement_batches.len(), "acknowledgement_batches")?;
        for v in &self.acknowledgement_batches {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `AcknowledgementBatch` of [`ShareAcknowledgeRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AcknowledgementBatch {
    /// `FirstOffset`.
    pub first_offset: i64,
    /// `LastOffset`.
    pub last_offset: i64,
    /// `AcknowledgeTypes`.
    pub acknowledge_types: Vec<i8>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AcknowledgementBatch {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<AcknowledgementBatch, DecodeError> {
        let mut m = AcknowledgementBatch::default();
        m.first_offset = r.i64("first_offset")?;
        m.last_offset = r.i64("last_offset")?;
        m.acknowledge_types = r.array(true, 1, "acknowledge_types", 0, |r, _| r.i8("acknowledge_types"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i64(self.first_offset);
        w.i64(self.last_offset);
        w.array_len(true, self.acknowledge_types.len(), "acknowledge_types")?;
        for v in &self.acknowledge_types {
            w.i8(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
