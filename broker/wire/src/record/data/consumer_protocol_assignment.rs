//! Kafka's record `ConsumerProtocolAssignment`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `ConsumerProtocolAssignment`, versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerProtocolAssignment {
    /// `AssignedPartitions`.
    pub assigned_partitions: Vec<TopicPartition>,
    /// `UserData`, may be null.
    pub user_data: Option<Bytes>,
}

impl ConsumerProtocolAssignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerProtocolAssignment, DecodeError> {
        crate::error::check_decode_version("ConsumerProtocolAssignment", version, 0, 3)?;
        let mut m = ConsumerProtocolAssignment::default();
        m.assigned_partitions = r.array(false, 6, "assigned_partitions", version, TopicPartition::decode)?;
        m.user_data = r.nullable_bytes(false, true, "user_data")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerProtocolAssignment", version, 0, 3)?;
        w.array_len(false, self.assigned_partitions.len(), "assigned_partitions")?;
        for v in &self.assigned_partitions {
            v.encode(w, version)?;
        }
        w.nullable_bytes(false, self.user_data.as_ref(), true, "user_data")?;
        Ok(())
    }
}

/// `TopicPartition` of [`ConsumerProtocolAssignment`], versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartition {
    /// `Topic`; a topic name.
    pub topic: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
}

impl TopicPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartition, DecodeError> {
        let mut m = TopicPartition::default();
        m.topic = r.string(false, "topic")?;
        m.partitions = r.array(false, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(false, &self.topic, "topic")?;
        w.array_len(false, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        Ok(())
    }
}
