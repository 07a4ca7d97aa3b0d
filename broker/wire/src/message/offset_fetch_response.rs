//! Kafka's response `OffsetFetchResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `OffsetFetchResponse`, versions 1 to 10.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponse {
    /// `ThrottleTimeMs`, versions 3 to 10, ignorable.
    pub throttle_time_ms: i32,
    /// `Topics`, versions 1 to 7.
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// `ErrorCode`, versions 2 to 7, ignorable.
    pub error_code: i16,
    /// `Groups`, versions 8 to 10.
    pub groups: Vec<OffsetFetchResponseGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetFetchResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchResponse, DecodeError> {
        crate::error::check_decode_version("OffsetFetchResponse", version, 1, 10)?;
        let flexible = version >= 6;
        let mut m = OffsetFetchResponse::default();
        if version >= 3 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        if version <= 7 {
            m.topics = r.array(flexible, 3, "topics", version, OffsetFetchResponseTopic::decode)?;
        }
        if (2..=7).contains(&version) {
            m.error_code = r.i16("error_code")?;
        }
        if version >= 8 {
            m.groups = r.array(true, 5, "groups", version, OffsetFetchResponseGroup::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("OffsetFetchResponse", version, 1, 10)?;
        let flexible = version >= 6;
        if version >= 3 {
            w.i32(self.throttle_time_ms);
        }
        if version <= 7 {
            w.array_len(flexible, self.topics.len(), "topics")?;
            for v in &self.topics {
                v.encode(w, version)?;
            }
        } else if !self.topics.is_empty() {
            return Err(EncodeError::absent("topics", version));
        }
        if (2..=7).contains(&version) {
            w.i16(self.error_code);
        }
        if version >= 8 {
            w.array_len(true, self.groups.len(), "groups")?;
            for v in &self.groups {
                v.encode(w, version)?;
            }
        } else if !self.groups.is_empty() {
            return Err(EncodeError::absent("groups", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `OffsetFetchResponseTopic` of [`OffsetFetchResponse`], versions 1 to 7.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponseTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<OffsetFetchResponsePartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetFetchResponseTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchResponseTopic, DecodeError> {
        let flexible = version >= 6;
        let mut m = OffsetFetchResponseTopic::default();
        m.name = r.string(flexible, "name")?;
        m.partitions = r.array(flexible, 16, "partitions", version, OffsetFetchResponsePartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
        w.string(flexible, &self.name, "name")?;
        w.array_len(flexible, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `OffsetFetchResponsePartition` of [`OffsetFetchResponse`], versions 1 to 7.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `CommittedOffset`.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`, versions 5 to 7, ignorable.
    pub committed_leader_epoch: i32,
    /// `Metadata`, may be null.
    pub metadata: Option<String>,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetFetchResponsePartition {
    fn default() -> OffsetFetchResponsePartition {
        OffsetFetchResponsePartition {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetFetchResponsePartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchResponsePartition, DecodeError> {
        let flexible = version >= 6;
        let mut m = OffsetFetchResponsePartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.committed_offset = r.i64("committed_offset")?;
        if version >= 5 {
            m.committed_leader_epoch = r.i32("committed_leader_epoch")?;
        }
        m.metadata = r.nullable_string(flexible, true, "metadata")?;
        m.error_code = r.i16("error_code")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        if version >= 5 {
            w.i32(self.committed_leader_epoch);
        }
        w.nullable_string(flexible, self.metadata.as_deref(), true, "metadata")?;
        w.i16(self.error_code);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `OffsetFetchResponseGroup` of [`OffsetFetchResponse`], versions 8 to 10.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponseGroup {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `Topics`.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetFetchResponseGroup {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchResponseGroup, DecodeError> {
        let mut m = OffsetFetchResponseGroup::default();
        m.group_id = r.string(true, "group_id")?;
        m.topics = r.array(true, 3, "topics", version, OffsetFetchResponseTopics::decode)?;
        m.error_code = r.i16("error_code")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.group_id, "group_id")?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.i16(self.error_code);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `OffsetFetchResponseTopics` of [`OffsetFetchResponse`], versions 8 to 10.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchResponseTopics {
    /// `Name`, versions 8 to 9, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 10, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetFetchResponseTopics {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchResponseTopics, DecodeError> {
        let mut m = OffsetFetchResponseTopics::default();
        if version <= 9 {
            m.name = r.string(true, "name")?;
        }
        if version == 10 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions = r.array(true, 20, "partitions", version, OffsetFetchResponsePartitions::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if version <= 9 {
            w.string(true, &self.name, "name")?;
        }
        if version == 10 {
            w.uuid(self.topic_id);
        }
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `OffsetFetchResponsePartitions` of [`OffsetFetchResponse`], versions 8 to 10.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartitions {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `CommittedOffset`.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`, ignorable.
    pub committed_leader_epoch: i32,
    /// `Metadata`, may be null.
    pub metadata: Option<String>,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetFetchResponsePartitions {
    fn default() -> OffsetFetchResponsePartitions {
        OffsetFetchResponsePartitions {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetFetchResponsePartitions {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<OffsetFetchResponsePartitions, DecodeError> {
        let mut m = OffsetFetchResponsePartitions::default();
        m.partition_index = r.i32("partition_index")?;
        m.committed_offset = r.i64("committed_offset")?;
        m.committed_leader_epoch = r.i32("committed_leader_epoch")?;
        m.metadata = r.nullable_string(true, true, "metadata")?;
        m.error_code = r.i16("error_code")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i64(self.committed_offset);
        w.i32(self.committed_leader_epoch);
        w.nullable_string(true, self.metadata.as_deref(), true, "metadata")?;
        w.i16(self.error_code);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
