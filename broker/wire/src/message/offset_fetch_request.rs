//! Kafka's request `OffsetFetchRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `OffsetFetchRequest`, versions 1 to 10.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchRequest {
    /// `GroupId`, versions 1 to 7; a group id.
    pub group_id: String,
    /// `Topics`, versions 1 to 7, may be null in versions 2 to 7.
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// `Groups`, versions 8 to 10.
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// `RequireStable`, versions 7 to 10.
    pub require_stable: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetFetchRequest {
    fn default() -> OffsetFetchRequest {
        OffsetFetchRequest {
            group_id: String::new(),
            topics: Some(Vec::new()),
            groups: Vec::new(),
            require_stable: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetFetchRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchRequest, DecodeError> {
        crate::error::check_decode_version("OffsetFetchRequest", version, 1, 10)?;
        let flexible = version >= 6;
        let mut m = OffsetFetchRequest::default();
        if version <= 7 {
            m.group_id = r.string(flexible, "group_id")?;
        }
        if version <= 7 {
            m.topics = r.nullable_array(
                flexible,
                version >= 2,
                3,
                "topics",
                version,
                OffsetFetchRequestTopic::decode,
            )?;
        }
        if version >= 8 {
            m.groups = r.array(true, 3, "groups", version, OffsetFetchRequestGroup::decode)?;
        }
        if version >= 7 {
            m.require_stable = r.bool("require_stable")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("OffsetFetchRequest", version, 1, 10)?;
        let flexible = version >= 6;
        if version <= 7 {
            w.string(flexible, &self.group_id, "group_id")?;
        } else if !self.group_id.is_empty() {
            return Err(EncodeError::absent("group_id", version));
        }
        if version <= 7 {
            w.nullable_array_len(flexible, self.topics.as_ref().map(Vec::len), version >= 2, "topics")?;
            for v in self.topics.iter().flatten() {
                v.encode(w, version)?;
            }
        } else if self.topics.as_ref().is_none_or(|v| !v.is_empty()) {
            return Err(EncodeError::absent("topics", version));
        }
        if version >= 8 {
            w.array_len(true, self.groups.len(), "groups")?;
            for v in &self.groups {
                v.encode(w, version)?;
            }
        } else if !self.groups.is_empty() {
            return Err(EncodeError::absent("groups", version));
        }
        if version >= 7 {
            w.bool(self.require_stable);
        } else if self.require_stable {
            return Err(EncodeError::absent("require_stable", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `OffsetFetchRequestTopic` of [`OffsetFetchRequest`], versions 1 to 7.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchRequestTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `PartitionIndexes`.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetFetchRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchRequestTopic, DecodeError> {
        let flexible = version >= 6;
        let mut m = OffsetFetchRequestTopic::default();
        m.name = r.string(flexible, "name")?;
        m.partition_indexes =
            r.array(flexible, 4, "partition_indexes", 0, |r, _| r.i32("partition_indexes"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
        w.string(flexible, &self.name, "name")?;
        w.array_len(flexible, self.partition_indexes.len(), "partition_indexes")?;
        for v in &self.partition_indexes {
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

/// `OffsetFetchRequestGroup` of [`OffsetFetchRequest`], versions 8 to 10.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestGroup {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `MemberId`, versions 9 to 10, may be null, ignorable.
    pub member_id: Option<String>,
    /// `MemberEpoch`, versions 9 to 10, ignorable.
    pub member_epoch: i32,
    /// `Topics`, may be null.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetFetchRequestGroup {
    fn default() -> OffsetFetchRequestGroup {
        OffsetFetchRequestGroup {
            group_id: String::new(),
            member_id: None,
            member_epoch: -1,
            topics: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetFetchRequestGroup {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchRequestGroup, DecodeError> {
        let mut m = OffsetFetchRequestGroup::default();
        m.group_id = r.string(true, "group_id")?;
        if version >= 9 {
            m.member_id = r.nullable_string(true, true, "member_id")?;
        }
        if version >= 9 {
            m.member_epoch = r.i32("member_epoch")?;
        }
        m.topics = r.nullable_array(true, true, 3, "topics", version, OffsetFetchRequestTopics::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.group_id, "group_id")?;
        if version >= 9 {
            w.nullable_string(true, self.member_id.as_deref(), true, "member_id")?;
        }
        if version >= 9 {
            w.i32(self.member_epoch);
        }
        w.nullable_array_len(true, self.topics.as_ref().map(Vec::len), true, "topics")?;
        for v in self.topics.iter().flatten() {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `OffsetFetchRequestTopics` of [`OffsetFetchRequest`], versions 8 to 10.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetFetchRequestTopics {
    /// `Name`, versions 8 to 9, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 10, ignorable.
    pub topic_id: Uuid,
    /// `PartitionIndexes`.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OffsetFetchRequestTopics {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetFetchRequestTopics, DecodeError> {
        let mut m = OffsetFetchRequestTopics::default();
        if version <= 9 {
            m.name = r.string(true, "name")?;
        }
        if version == 10 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partition_indexes = r.array(true, 4, "partition_indexes", 0, |r, _| r.i32("partition_indexes"))?;
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
        w.array_len(true, self.partition_indexes.len(), "partition_indexes")?;
        for v in &self.partition_indexes {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
