//! Kafka's response `FetchSnapshotResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::records::Records;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `FetchSnapshotResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchSnapshotResponse {
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Topics`.
    pub topics: Vec<TopicSnapshot>,
    /// `NodeEndpoints`, version 1, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FetchSnapshotResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchSnapshotResponse, DecodeError> {
        crate::error::check_decode_version("FetchSnapshotResponse", version, 0, 1)?;
        let mut m = FetchSnapshotResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.topics = r.array(true, 3, "topics", version, TopicSnapshot::decode)?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 if version == 1 => {
                    m.node_endpoints = r.array(true, 8, "node_endpoints", version, NodeEndpoint::decode)?
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FetchSnapshotResponse", version, 0, 1)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        let mut tags = crate::tagged::TagSet::new();
        if version == 1 && !self.node_endpoints.is_empty() {
            tags.add(0, |w| {
                w.array_len(true, self.node_endpoints.len(), "node_endpoints")?;
                for v in &self.node_endpoints {
                    v.encode(w, version)?;
                }
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        if version != 1 && !self.node_endpoints.is_empty() {
            return Err(EncodeError::absent("node_endpoints", version));
        }
        Ok(())
    }
}

/// `TopicSnapshot` of [`FetchSnapshotResponse`], versions 0 to 1.
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
        m.partitions = r.array(true, 37, "partitions", version, PartitionSnapshot::decode)?;
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

/// `PartitionSnapshot` of [`FetchSnapshotResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionSnapshot {
    /// `Index`.
    pub index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `SnapshotId`.
    pub snapshot_id: SnapshotId,
    /// `CurrentLeader`, tag 0.
    pub current_leader: LeaderIdAndEpoch,
    /// `Size`.
    pub size: i64,
    /// `Position`.
    pub position: i64,
    /// `UnalignedRecords`.
    pub unaligned_records: Option<Records>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionSnapshot {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionSnapshot, DecodeError> {
        let mut m = PartitionSnapshot::default();
        m.index = r.i32("index")?;
        m.error_code = r.i16("error_code")?;
        m.snapshot_id = SnapshotId::decode(r, version)?;
        m.size = r.i64("size")?;
        m.position = r.i64("position")?;
        m.unaligned_records = r.records(true, false, "unaligned_records")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.current_leader = LeaderIdAndEpoch::decode(r, version)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.index);
        w.i16(self.error_code);
        self.snapshot_id.encode(w, version)?;
        w.i64(self.size);
        w.i64(self.position);
        w.records(true, self.unaligned_records.as_ref(), false, "unaligned_records")?;
        let mut tags = crate::tagged::TagSet::new();
        if self.current_leader != LeaderIdAndEpoch::default() {
            tags.add(0, |w| {
                self.current_leader.encode(w, version)?;
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `SnapshotId` of [`FetchSnapshotResponse`], versions 0 to 1.
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

/// `LeaderIdAndEpoch` of [`FetchSnapshotResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaderIdAndEpoch {
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LeaderIdAndEpoch {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<LeaderIdAndEpoch, DecodeError> {
        let mut m = LeaderIdAndEpoch::default();
        m.leader_id = r.i32("leader_id")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `NodeEndpoint` of [`FetchSnapshotResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeEndpoint {
    /// `NodeId`; a broker id.
    pub node_id: i32,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl NodeEndpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<NodeEndpoint, DecodeError> {
        let mut m = NodeEndpoint::default();
        m.node_id = r.i32("node_id")?;
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
