//! Kafka's request `DescribeShareGroupOffsetsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeShareGroupOffsetsRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeShareGroupOffsetsRequest {
    /// `Groups`.
    pub groups: Vec<DescribeShareGroupOffsetsRequestGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeShareGroupOffsetsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeShareGroupOffsetsRequest, DecodeError> {
        crate::error::check_decode_version("DescribeShareGroupOffsetsRequest", version, 0, 1)?;
        let mut m = DescribeShareGroupOffsetsRequest::default();
        m.groups = r.array(true, 3, "groups", version, DescribeShareGroupOffsetsRequestGroup::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeShareGroupOffsetsRequest", version, 0, 1)?;
        w.array_len(true, self.groups.len(), "groups")?;
        for v in &self.groups {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribeShareGroupOffsetsRequestGroup` of [`DescribeShareGroupOffsetsRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeShareGroupOffsetsRequestGroup {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `Topics`, may be null.
    pub topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeShareGroupOffsetsRequestGroup {
    fn default() -> DescribeShareGroupOffsetsRequestGroup {
        DescribeShareGroupOffsetsRequestGroup {
            group_id: String::new(),
            topics: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeShareGroupOffsetsRequestGroup {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<DescribeShareGroupOffsetsRequestGroup, DecodeError> {
        let mut m = DescribeShareGroupOffsetsRequestGroup::default();
        m.group_id = r.string(true, "group_id")?;
        m.topics = r.nullable_array(
            true,
            true,
            3,
            "topics",
            version,
            DescribeShareGroupOffsetsRequestTopic::decode,
        )?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.group_id, "group_id")?;
        w.nullable_array_len(true, self.topics.as_ref().map(Vec::len), true, "topics")?;
        for v in self.topics.iter().flatten() {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribeShareGroupOffsetsRequestTopic` of [`DescribeShareGroupOffsetsRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeShareGroupOffsetsRequestTopic {
    /// `TopicName`; a topic name.
    pub topic_name: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeShareGroupOffsetsRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        _version: i16,
    ) -> Result<DescribeShareGroupOffsetsRequestTopic, DecodeError> {
        let mut m = DescribeShareGroupOffsetsRequestTopic::default();
        m.topic_name = r.string(true, "topic_name")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic_name, "topic_name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
