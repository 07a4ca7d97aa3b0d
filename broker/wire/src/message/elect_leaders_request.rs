//! Kafka's request `ElectLeadersRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ElectLeadersRequest`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct ElectLeadersRequest {
    /// `ElectionType`, versions 1 to 2.
    pub election_type: i8,
    /// `TopicPartitions`, may be null.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// `TimeoutMs`.
    pub timeout_ms: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ElectLeadersRequest {
    fn default() -> ElectLeadersRequest {
        ElectLeadersRequest {
            election_type: 0,
            topic_partitions: Some(Vec::new()),
            timeout_ms: 60000,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ElectLeadersRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ElectLeadersRequest, DecodeError> {
        crate::error::check_decode_version("ElectLeadersRequest", version, 0, 2)?;
        let flexible = version == 2;
        let mut m = ElectLeadersRequest::default();
        if version >= 1 {
            m.election_type = r.i8("election_type")?;
        }
        m.topic_partitions =
            r.nullable_array(flexible, true, 3, "topic_partitions", version, TopicPartitions::decode)?;
        m.timeout_ms = r.i32("timeout_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ElectLeadersRequest", version, 0, 2)?;
        let flexible = version == 2;
        if version >= 1 {
            w.i8(self.election_type);
        } else if self.election_type != 0 {
            return Err(EncodeError::absent("election_type", version));
        }
        w.nullable_array_len(
            flexible,
            self.topic_partitions.as_ref().map(Vec::len),
            true,
            "topic_partitions",
        )?;
        for v in self.topic_partitions.iter().flatten() {
            v.encode(w, version)?;
        }
        w.i32(self.timeout_ms);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `TopicPartitions` of [`ElectLeadersRequest`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartitions {
    /// `Topic`; a topic name.
    pub topic: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicPartitions {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicPartitions, DecodeError> {
        let flexible = version == 2;
        let mut m = TopicPartitions::default();
        m.topic = r.string(flexible, "topic")?;
        m.partitions = r.array(flexible, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 2;
        w.string(flexible, &self.topic, "topic")?;
        w.array_len(flexible, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
