//! Kafka's request `DeleteTopicsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `DeleteTopicsRequest`, versions 1 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteTopicsRequest {
    /// `Topics`, version 6.
    pub topics: Vec<DeleteTopicState>,
    /// `TopicNames`, versions 1 to 5, ignorable; a topic name.
    pub topic_names: Vec<String>,
    /// `TimeoutMs`.
    pub timeout_ms: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteTopicsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteTopicsRequest, DecodeError> {
        crate::error::check_decode_version("DeleteTopicsRequest", version, 1, 6)?;
        let flexible = version >= 4;
        let mut m = DeleteTopicsRequest::default();
        if version == 6 {
            m.topics = r.array(true, 18, "topics", version, DeleteTopicState::decode)?;
        }
        if version <= 5 {
            m.topic_names = r.array(flexible, 1, "topic_names", i16::from(flexible), |r, f| {
                r.string(f != 0, "topic_names")
            })?;
        }
        m.timeout_ms = r.i32("timeout_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteTopicsRequest", version, 1, 6)?;
        let flexible = version >= 4;
        if version == 6 {
            w.array_len(true, self.topics.len(), "topics")?;
            for v in &self.topics {
                v.encode(w, version)?;
            }
        } else if !self.topics.is_empty() {
            return Err(EncodeError::absent("topics", version));
        }
        if version <= 5 {
            w.array_len(flexible, self.topic_names.len(), "topic_names")?;
            for v in &self.topic_names {
                w.string(flexible, v, "topic_names")?;
            }
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

/// `DeleteTopicState` of [`DeleteTopicsRequest`], version 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteTopicState {
    /// `Name`, may be null; a topic name.
    pub name: Option<String>,
    /// `TopicId`.
    pub topic_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteTopicState {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<DeleteTopicState, DecodeError> {
        let mut m = DeleteTopicState::default();
        m.name = r.nullable_string(true, true, "name")?;
        m.topic_id = r.uuid("topic_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.nullable_string(true, self.name.as_deref(), true, "name")?;
        w.uuid(self.topic_id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
