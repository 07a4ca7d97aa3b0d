//! Kafka's record `ConsumerProtocolSubscription`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `ConsumerProtocolSubscription`, versions 0 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerProtocolSubscription {
    /// `Topics`.
    pub topics: Vec<String>,
    /// `UserData`, may be null.
    pub user_data: Option<Bytes>,
    /// `OwnedPartitions`, versions 1 to 3, ignorable.
    pub owned_partitions: Vec<TopicPartition>,
    /// `GenerationId`, versions 2 to 3, ignorable.
    pub generation_id: i32,
    /// `RackId`, version 3, may be null, ignorable.
    pub rack_id: Option<String>,
}

impl Default for ConsumerProtocolSubscription {
    fn default() -> ConsumerProtocolSubscription {
        ConsumerProtocolSubscription {
            topics: Vec::new(),
            user_data: None,
            owned_partitions: Vec::new(),
            generation_id: -1,
            rack_id: None,
        }
    }
}

impl ConsumerProtocolSubscription {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerProtocolSubscription, DecodeError> {
        crate::error::check_decode_version("ConsumerProtocolSubscription", version, 0, 3)?;
        let mut m = ConsumerProtocolSubscription::default();
        m.topics = r.array(false, 2, "topics", 0, |r, _| r.string(false, "topics"))?;
        m.user_data = r.nullable_bytes(false, true, "user_data")?;
        if version >= 1 {
            m.owned_partitions = r.array(false, 6, "owned_partitions", version, TopicPartition::decode)?;
        }
        if version >= 2 {
            m.generation_id = r.i32("generation_id")?;
        }
        if version == 3 {
            m.rack_id = r.nullable_string(false, true, "rack_id")?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerProtocolSubscription", version, 0, 3)?;
        w.array_len(false, self.topics.len(), "topics")?;
        for v in &self.topics {
            w.string(false, v, "topics")?;
        }
        w.nullable_bytes(false, self.user_data.as_ref(), true, "user_data")?;
        if version >= 1 {
            w.array_len(false, self.owned_partitions.len(), "owned_partitions")?;
            for v in &self.owned_partitions {
                v.encode(w, version)?;
            }
        }
        if version >= 2 {
            w.i32(self.generation_id);
        }
        if version == 3 {
            w.nullable_string(false, self.rack_id.as_deref(), true, "rack_id")?;
        }
        Ok(())
    }
}

/// `TopicPartition` of [`ConsumerProtocolSubscription`], versions 1 to 3.
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
