//! Kafka's request `ShareFetchRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareFetchRequest`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareFetchRequest {
    /// `GroupId`, may be null; a group id.
    pub group_id: Option<String>,
    /// `MemberId`, may be null.
    pub member_id: Option<String>,
    /// `ShareSessionEpoch`.
    pub share_session_epoch: i32,
    /// `MaxWaitMs`.
    pub max_wait_ms: i32,
    /// `MinBytes`.
    pub min_bytes: i32,
    /// `MaxBytes`.
    pub max_bytes: i32,
    /// `MaxRecords`.
    pub max_records: i32,
    /// `BatchSize`.
    pub batch_size: i32,
    /// `ShareAcquireMode`, version 2, ignorable.
    pub share_acquire_mode: i8,
    /// `IsRenewAck`, version 2.
    pub is_renew_ack: bool,
    /// `Topics`.
    pub topics: Vec<FetchTopic>,
    /// `ForgottenTopicsData`.
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ShareFetchRequest {
    fn default() -> ShareFetchRequest {
        ShareFetchRequest {
            group_id: None,
            member_id: Some(String::new()),
            share_session_epoch: 0,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 0x7fffffff,
            max_records: 0,
            batch_size: 0,
            share_acquire_mode: 0,
            is_renew_ack: false,
            topics: Vec::new(),
            forgotten_topics_data: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ShareFetchRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareFetchRequest, DecodeError> {
        crate::error::check_decode_version("ShareFetchRequest", version, 1, 2)?;
        let mut m = ShareFetchRequest::default();
        m.group_id = r.nullable_string(true, true, "group_id")?;
        m.member_id = r.nullable_string(true, true, "member_id")?;
        m.share_session_epoch = r.i32("share_session_epoch")?;
        m.max_wait_ms = r.i32("max_wait_ms")?;
        m.min_bytes = r.i32("min_bytes")?;
        m.max_bytes = r.i32("max_bytes")?;
        m.max_records = r.i32("max_records")?;
        m.batch_size = r.i32("batch_size")?;
        if version == 2 {
            m.share_acquire_mode = r.i8("share_acquire_mode")?;
        }
        if version == 2 {
            m.is_renew_ack = r.bool("is_renew_ack")?;
        }
        m.topics = r.array(true, 18, "topics", version, FetchTopic::decode)?;
        m.forgotten_topics_data =
            r.array(true, 18, "forgotten_topics_data", version, ForgottenTopic::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareFetchRequest", version, 1, 2)?;
        w.nullable_string(true, self.group_id.as_deref(), true, "group_id")?;
        w.nullable_string(true, self.member_id.as_deref(), true, "member_id")?;
        w.i32(self.share_session_epoch);
        w.i32(self.max_wait_ms);
        w.i32(self.min_bytes);
        w.i32(self.max_bytes);
        w.i32(self.max_records);
        w.i32(self.batch_size);
        if version == 2 {
            w.i8(self.share_acquire_mode);
        }
        if version == 2 {
            w.bool(self.is_renew_ack);
        } else if self.is_renew_ack {
            return Err(EncodeError::absent("is_renew_ack", version));
        }
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.array_len(true, self.forgotten_topics_data.len(), "forgotten_topics_data")?;
        for v in &self.forgotten_topics_data {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `FetchTopic` of [`ShareFetchRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchTopic {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<FetchPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FetchTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchTopic, DecodeError> {
        let mut m = FetchTopic::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 6, "partitions", version, FetchPartition::decode)?;
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

/// `FetchPartition` of [`ShareFetchRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `AcknowledgementBatches`.
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FetchPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchPartition, DecodeError> {
        let mut m = FetchPartition::default();
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

/// `AcknowledgementBatch` of [`ShareFetchRequest`], versions 1 to 2.
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

/// `ForgottenTopic` of [`ShareFetchRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ForgottenTopic {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ForgottenTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ForgottenTopic, DecodeError> {
        let mut m = ForgottenTopic::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
