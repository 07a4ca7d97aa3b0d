//! Kafka's request `FetchRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `FetchRequest`, versions 4 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchRequest {
    /// `ClusterId`, versions 12 to 18, may be null, tag 0, ignorable.
    pub cluster_id: Option<String>,
    /// `ReplicaId`, versions 4 to 14; a broker id.
    pub replica_id: i32,
    /// `ReplicaState`, versions 15 to 18, tag 1.
    pub replica_state: ReplicaState,
    /// `MaxWaitMs`.
    pub max_wait_ms: i32,
    /// `MinBytes`.
    pub min_bytes: i32,
    /// `MaxBytes`, ignorable.
    pub max_bytes: i32,
    /// `IsolationLevel`, ignorable.
    pub isolation_level: i8,
    /// `SessionId`, versions 7 to 18, ignorable.
    pub session_id: i32,
    /// `SessionEpoch`, versions 7 to 18, ignorable.
    pub session_epoch: i32,
    /// `Topics`.
    pub topics: Vec<FetchTopic>,
    /// `ForgottenTopicsData`, versions 7 to 18.
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// `RackId`, versions 11 to 18, ignorable.
    pub rack_id: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for FetchRequest {
    fn default() -> FetchRequest {
        FetchRequest {
            cluster_id: None,
            replica_id: -1,
            replica_state: ReplicaState::default(),
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 0x7fffffff,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
            topics: Vec::new(),
            forgotten_topics_data: Vec::new(),
            rack_id: String::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl FetchRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchRequest, DecodeError> {
        crate::error::check_decode_version("FetchRequest", version, 4, 18)?;
        let flexible = version >= 12;
        let mut m = FetchRequest::default();
        if version <= 14 {
            m.replica_id = r.i32("replica_id")?;
        }
        m.max_wait_ms = r.i32("max_wait_ms")?;
        m.min_bytes = r.i32("min_bytes")?;
        m.max_bytes = r.i32("max_bytes")?;
        m.isolation_level = r.i8("isolation_level")?;
        if version >= 7 {
            m.session_id = r.i32("session_id")?;
        }
        if version >= 7 {
            m.session_epoch = r.i32("session_epoch")?;
        }
        m.topics = r.array(flexible, 3, "topics", version, FetchTopic::decode)?;
        if version >= 7 {
            m.forgotten_topics_data =
                r.array(flexible, 3, "forgotten_topics_data", version, ForgottenTopic::decode)?;
        }
        if version >= 11 {
            m.rack_id = r.string(flexible, "rack_id")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 => m.cluster_id = r.nullable_string(true, true, "cluster_id")?,
                    1 if version >= 15 => m.replica_state = ReplicaState::decode(r, version)?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FetchRequest", version, 4, 18)?;
        let flexible = version >= 12;
        if version <= 14 {
            w.i32(self.replica_id);
        } else if self.replica_id != -1 {
            return Err(EncodeError::absent("replica_id", version));
        }
        w.i32(self.max_wait_ms);
        w.i32(self.min_bytes);
        w.i32(self.max_bytes);
        w.i8(self.isolation_level);
        if version >= 7 {
            w.i32(self.session_id);
        }
        if version >= 7 {
            w.i32(self.session_epoch);
        }
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if version >= 7 {
            w.array_len(flexible, self.forgotten_topics_data.len(), "forgotten_topics_data")?;
            for v in &self.forgotten_topics_data {
                v.encode(w, version)?;
            }
        } else if !self.forgotten_topics_data.is_empty() {
            return Err(EncodeError::absent("forgotten_topics_data", version));
        }
        if version >= 11 {
            w.string(flexible, &self.rack_id, "rack_id")?;
        }
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if self.cluster_id.is_some() {
                tags.add(0, |w| {
                    w.nullable_string(true, self.cluster_id.as_deref(), true, "cluster_id")?;
                    Ok(())
                })?;
            }
            if version >= 15 && self.replica_state != ReplicaState::default() {
                tags.add(1, |w| {
                    self.replica_state.encode(w, version)?;
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        if version < 15 && self.replica_state != ReplicaState::default() {
            return Err(EncodeError::absent("replica_state", version));
        }
        Ok(())
    }
}

/// `ReplicaState` of [`FetchRequest`], versions 15 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// `ReplicaId`; a broker id.
    pub replica_id: i32,
    /// `ReplicaEpoch`.
    pub replica_epoch: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ReplicaState {
    fn default() -> ReplicaState {
        ReplicaState { replica_id: -1, replica_epoch: -1, unknown_tagged_fields: TaggedFields::default() }
    }
}

impl ReplicaState {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ReplicaState, DecodeError> {
        let mut m = ReplicaState::default();
        m.replica_id = r.i32("replica_id")?;
        m.replica_epoch = r.i64("replica_epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.replica_id);
        w.i64(self.replica_epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `FetchTopic` of [`FetchRequest`], versions 4 to 18.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchTopic {
    /// `Topic`, versions 4 to 12, ignorable; a topic name.
    pub topic: String,
    /// `TopicId`, versions 13 to 18, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<FetchPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FetchTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchTopic, DecodeError> {
        let flexible = version >= 12;
        let mut m = FetchTopic::default();
        if version <= 12 {
            m.topic = r.string(flexible, "topic")?;
        }
        if version >= 13 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions = r.array(flexible, 16, "partitions", version, FetchPartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 12;
        if version <= 12 {
            w.string(flexible, &self.topic, "topic")?;
        }
        if version >= 13 {
            w.uuid(self.topic_id);
        }
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

/// `FetchPartition` of [`FetchRequest`], versions 4 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchPartition {
    /// `Partition`.
    pub partition: i32,
    /// `CurrentLeaderEpoch`, versions 9 to 18, ignorable.
    pub current_leader_epoch: i32,
    /// `FetchOffset`.
    pub fetch_offset: i64,
    /// `LastFetchedEpoch`, versions 12 to 18.
    pub last_fetched_epoch: i32,
    /// `LogStartOffset`, versions 5 to 18, ignorable.
    pub log_start_offset: i64,
    /// `PartitionMaxBytes`.
    pub partition_max_bytes: i32,
    /// `ReplicaDirectoryId`, versions 17 to 18, tag 0, ignorable.
    pub replica_directory_id: Uuid,
    /// `HighWatermark`, version 18, tag 1, ignorable.
    pub high_watermark: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for FetchPartition {
    fn default() -> FetchPartition {
        FetchPartition {
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 0,
            replica_directory_id: Uuid::ZERO,
            high_watermark: 9_223_372_036_854_775_807,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl FetchPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchPartition, DecodeError> {
        let flexible = version >= 12;
        let mut m = FetchPartition::default();
        m.partition = r.i32("partition")?;
        if version >= 9 {
            m.current_leader_epoch = r.i32("current_leader_epoch")?;
        }
        m.fetch_offset = r.i64("fetch_offset")?;
        if version >= 12 {
            m.last_fetched_epoch = r.i32("last_fetched_epoch")?;
        }
        if version >= 5 {
            m.log_start_offset = r.i64("log_start_offset")?;
        }
        m.partition_max_bytes = r.i32("partition_max_bytes")?;
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 if version >= 17 => m.replica_directory_id = r.uuid("replica_directory_id")?,
                    1 if version == 18 => m.high_watermark = r.i64("high_watermark")?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 12;
        w.i32(self.partition);
        if version >= 9 {
            w.i32(self.current_leader_epoch);
        }
        w.i64(self.fetch_offset);
        if version >= 12 {
            w.i32(self.last_fetched_epoch);
        } else if self.last_fetched_epoch != -1 {
            return Err(EncodeError::absent("last_fetched_epoch", version));
        }
        if version >= 5 {
            w.i64(self.log_start_offset);
        }
        w.i32(self.partition_max_bytes);
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if version >= 17 && self.replica_directory_id != Uuid::ZERO {
                tags.add(0, |w| {
                    w.uuid(self.replica_directory_id);
                    Ok(())
                })?;
            }
            if version == 18 && self.high_watermark != 9_223_372_036_854_775_807 {
                tags.add(1, |w| {
                    w.i64(self.high_watermark);
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `ForgottenTopic` of [`FetchRequest`], versions 7 to 18.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ForgottenTopic {
    /// `Topic`, versions 7 to 12, ignorable; a topic name.
    pub topic: String,
    /// `TopicId`, versions 13 to 18, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ForgottenTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ForgottenTopic, DecodeError> {
        let flexible = version >= 12;
        let mut m = ForgottenTopic::default();
        if version <= 12 {
            m.topic = r.string(flexible, "topic")?;
        }
        if version >= 13 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions = r.array(flexible, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 12;
        if version <= 12 {
            w.string(flexible, &self.topic, "topic")?;
        }
        if version >= 13 {
            w.uuid(self.topic_id);
        }
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
