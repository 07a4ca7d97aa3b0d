//! Kafka's record `ConsumerGroupTargetAssignmentMemberValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ConsumerGroupTargetAssignmentMemberValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// `TopicPartitions`.
    pub topic_partitions: Vec<TopicPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupTargetAssignmentMemberValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<ConsumerGroupTargetAssignmentMemberValue, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupTargetAssignmentMemberValue", version, 0, 0)?;
        let mut m = ConsumerGroupTargetAssignmentMemberValue::default();
        m.topic_partitions = r.array(true, 18, "topic_partitions", version, TopicPartition::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupTargetAssignmentMemberValue", version, 0, 0)?;
        w.array_len(true, self.topic_partitions.len(), "topic_partitions")?;
        for v in &self.topic_partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartition` of [`ConsumerGroupTargetAssignmentMemberValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartition {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartition, DecodeError> {
        let mut m = TopicPartition::default();
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
