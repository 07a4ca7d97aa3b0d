//! Kafka's record `ShareGroupStatePartitionMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareGroupStatePartitionMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupStatePartitionMetadataValue {
    /// `InitializingTopics`.
    pub initializing_topics: Vec<TopicPartitionsInfo>,
    /// `InitializedTopics`.
    pub initialized_topics: Vec<TopicPartitionsInfo>,
    /// `DeletingTopics`.
    pub deleting_topics: Vec<TopicInfo>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareGroupStatePartitionMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<ShareGroupStatePartitionMetadataValue, DecodeError> {
        crate::error::check_decode_version("ShareGroupStatePartitionMetadataValue", version, 0, 0)?;
        let mut m = ShareGroupStatePartitionMetadataValue::default();
        m.initializing_topics =
            r.array(true, 19, "initializing_topics", version, TopicPartitionsInfo::decode)?;
        m.initialized_topics =
            r.array(true, 19, "initialized_topics", version, TopicPartitionsInfo::decode)?;
        m.deleting_topics = r.array(true, 18, "deleting_topics", version, TopicInfo::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupStatePartitionMetadataValue", version, 0, 0)?;
        w.array_len(true, self.initializing_topics.len(), "initializing_topics")?;
        for v in &self.initializing_topics {
            v.encode(w, version)?;
        }
        w.array_len(true, self.initialized_topics.len(), "initialized_topics")?;
        for v in &self.initialized_topics {
            v.encode(w, version)?;
        }
        w.array_len(true, self.deleting_topics.len(), "deleting_topics")?;
        for v in &self.deleting_topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartitionsInfo` of [`ShareGroupStatePartitionMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartitionsInfo {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `TopicName`.
    pub topic_name: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicPartitionsInfo {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartitionsInfo, DecodeError> {
        let mut m = TopicPartitionsInfo::default();
        m.topic_id = r.uuid("topic_id")?;
        m.topic_name = r.string(true, "topic_name")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.string(true, &self.topic_name, "topic_name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicInfo` of [`ShareGroupStatePartitionMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicInfo {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `TopicName`.
    pub topic_name: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicInfo {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicInfo, DecodeError> {
        let mut m = TopicInfo::default();
        m.topic_id = r.uuid("topic_id")?;
        m.topic_name = r.string(true, "topic_name")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.string(true, &self.topic_name, "topic_name")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
