//! Kafka's request `FetchSnapshotRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `FetchSnapshotRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchSnapshotRequest {
    /// `ClusterId`, may be null, tag 0.
    pub cluster_id: Option<String>,
    /// `ReplicaId`; a broker id.
    pub replica_id: i32,
    /// `MaxBytes`.
    pub max_bytes: i32,
    /// `Topics`.
    pub topics: Vec<TopicSnapshot>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for FetchSnapshotRequest {
    fn default() -> FetchSnapshotRequest {
        FetchSnapshotRequest {
            cluster_id: None,
            replica_id: -1,
            max_bytes: 0x7fffffff,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl FetchSnapshotRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchSnapshotRequest, DecodeError> {
        crate::error::check_decode_version("FetchSnapshotRequest", version, 0, 1)?;
        let mut m = FetchSnapshotRequest::default();
        m.replica_id = r.i32("replica_id")?;
        m.max_bytes = r.i32("max_bytes")?;
        m.topics = r.array(true, 3, "topics", version, TopicSnapshot::decode)?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.cluster_id = r.nullable_string(true, true, "cluster_id")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FetchSnapshotRequest", version, 0, 1)?;
        w.i32(self.replica_id);
        w.i32(self.max_bytes);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        let mut tags = crate::tagged::TagSet::new();
        if self.cluster_id.is_some() {
            tags.add(0, |w| {
                w.nullable_string(true, self.cluster_id.as_deref(), true, "cluster_id")?;
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicSnapshot` of [`FetchSnapshotRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicSnapshot {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<PartitionSnapshot>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicSnapshot {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicSnapshot, DecodeError> {
        let mut m = TopicSnapshot::default();
        m.name = r.string(true, "name")?;
        m.partitions = r.array(true, 30, "partitions", version, PartitionSnapshot::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `PartitionSnapshot` of [`FetchSnapshotRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionSnapshot {
    /// `Partition`.
    pub partition: i32,
    /// `CurrentLeaderEpoch`.
    pub current_leader_epoch: i32,
    /// `SnapshotId`.
    pub snapshot_id: SnapshotId,
    /// `Position`.
    pub position: i64,
    /// `ReplicaDirectoryId`, version 1, tag 0, ignorable.
    pub replica_directory_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionSnapshot {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionSnapshot, DecodeError> {
        let mut m = PartitionSnapshot::default();
        m.partition = r.i32("partition")?;
        m.current_leader_epoch = r.i32("current_leader_epoch")?;
        m.snapshot_id = SnapshotId::decode(r, version)?;
        m.position = r.i64("position")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 if version == 1 => m.replica_directory_id = r.uuid("replica_directory_id")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition);
        w.i32(self.current_leader_epoch);
        self.snapshot_id.encode(w, version)?;
        w.i64(self.position);
        let mut tags = crate::tagged::TagSet::new();
        if version == 1 && self.replica_directory_id != Uuid::ZERO {
            tags.add(0, |w| {
                w.uuid(self.replica_directory_id);
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `SnapshotId` of [`FetchSnapshotRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SnapshotId {
    /// `EndOffset`.
    pub end_offset: i64,
    /// `Epoch`.
    pub epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SnapshotId {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<SnapshotId, DecodeError> {
        let mut m = SnapshotId::default();
        m.end_offset = r.i64("end_offset")?;
        m.epoch = r.i32("epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i64(self.end_offset);
        w.i32(self.epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
