//! Kafka's request `DescribeTopicPartitionsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeTopicPartitionsRequest`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsRequest {
    /// `Topics`.
    pub topics: Vec<TopicRequest>,
    /// `ResponsePartitionLimit`.
    pub response_partition_limit: i32,
    /// `Cursor`, may be null.
    pub cursor: Option<Cursor>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeTopicPartitionsRequest {
    fn default() -> DescribeTopicPartitionsRequest {
        DescribeTopicPartitionsRequest {
            topics: Vec::new(),
            response_partition_limit: 2000,
            cursor: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeTopicPartitionsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeTopicPartitionsRequest, DecodeError> {
        crate::error::check_decode_version("DescribeTopicPartitionsRequest", version, 0, 0)?;
        let mut m = DescribeTopicPartitionsRequest::default();
        m.topics = r.array(true, 2, "topics", version, TopicRequest::decode)?;
        m.response_partition_limit = r.i32("response_partition_limit")?;
        m.cursor = if r.is_present("cursor")? { Some(Cursor::decode(r, version)?) } else { None };
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeTopicPartitionsRequest", version, 0, 0)?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.i32(self.response_partition_limit);
        w.presence(self.cursor.is_some());
        if let Some(v) = &self.cursor {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicRequest` of [`DescribeTopicPartitionsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicRequest {
    /// `Name`; a topic name.
    pub name: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicRequest, DecodeError> {
        let mut m = TopicRequest::default();
        m.name = r.string(true, "name")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Cursor` of [`DescribeTopicPartitionsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Cursor {
    /// `TopicName`; a topic name.
    pub topic_name: String,
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Cursor {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Cursor, DecodeError> {
        let mut m = Cursor::default();
        m.topic_name = r.string(true, "topic_name")?;
        m.partition_index = r.i32("partition_index")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic_name, "topic_name")?;
        w.i32(self.partition_index);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
