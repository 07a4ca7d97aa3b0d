//! Kafka's request `ListPartitionReassignmentsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListPartitionReassignmentsRequest`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPartitionReassignmentsRequest {
    /// `TimeoutMs`.
    pub timeout_ms: i32,
    /// `Topics`, may be null.
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ListPartitionReassignmentsRequest {
    fn default() -> ListPartitionReassignmentsRequest {
        ListPartitionReassignmentsRequest {
            timeout_ms: 60000,
            topics: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ListPartitionReassignmentsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListPartitionReassignmentsRequest, DecodeError> {
        crate::error::check_decode_version("ListPartitionReassignmentsRequest", version, 0, 0)?;
        let mut m = ListPartitionReassignmentsRequest::default();
        m.timeout_ms = r.i32("timeout_ms")?;
        m.topics =
            r.nullable_array(true, true, 3, "topics", version, ListPartitionReassignmentsTopics::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListPartitionReassignmentsRequest", version, 0, 0)?;
        w.i32(self.timeout_ms);
        w.nullable_array_len(true, self.topics.as_ref().map(Vec::len), true, "topics")?;
        for v in self.topics.iter().flatten() {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ListPartitionReassignmentsTopics` of [`ListPartitionReassignmentsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListPartitionReassignmentsTopics {
    /// `Name`; a topic name.
    pub name: String,
    /// `PartitionIndexes`.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListPartitionReassignmentsTopics {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ListPartitionReassignmentsTopics, DecodeError> {
        let mut m = ListPartitionReassignmentsTopics::default();
        m.name = r.string(true, "name")?;
        m.partition_indexes = r.array(true, 4, "partition_indexes", 0, |r, _| r.i32("partition_indexes"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.array_len(true, self.partition_indexes.len(), "partition_indexes")?;
        for v in &self.partition_indexes {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
