//! Kafka's record `TopicRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `TopicRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicRecord {
    /// `Name`; a topic name.
    pub name: String,
    /// `TopicId`.
    pub topic_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicRecord, DecodeError> {
        crate::error::check_decode_version("TopicRecord", version, 0, 0)?;
        let mut m = TopicRecord::default();
        m.name = r.string(true, "name")?;
        m.topic_id = r.uuid("topic_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("TopicRecord", version, 0, 0)?;
        w.string(true, &self.name, "name")?;
        w.uuid(self.topic_id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
