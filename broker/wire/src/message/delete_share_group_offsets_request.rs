//! Kafka's request `DeleteShareGroupOffsetsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DeleteShareGroupOffsetsRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteShareGroupOffsetsRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `Topics`.
    pub topics: Vec<DeleteShareGroupOffsetsRequestTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteShareGroupOffsetsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteShareGroupOffsetsRequest, DecodeError> {
        crate::error::check_decode_version("DeleteShareGroupOffsetsRequest", version, 0, 0)?;
        let mut m = DeleteShareGroupOffsetsRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.topics = r.array(true, 2, "topics", version, DeleteShareGroupOffsetsRequestTopic::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteShareGroupOffsetsRequest", version, 0, 0)?;
        w.string(true, &self.group_id, "group_id")?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DeleteShareGroupOffsetsRequestTopic` of [`DeleteShareGroupOffsetsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteShareGroupOffsetsRequestTopic {
    /// `TopicName`; a topic name.
    pub topic_name: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteShareGroupOffsetsRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<DeleteShareGroupOffsetsRequestTopic, DecodeError> {
        let mut m = DeleteShareGroupOffsetsRequestTopic::default();
        m.topic_name = r.string(true, "topic_name")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic_name, "topic_name")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
