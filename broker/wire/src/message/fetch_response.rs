//! Kafka's response `FetchResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::records::Records;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `FetchResponse`, versions 4 to 18.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchResponse {
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`, versions 7 to 18, ignorable.
    pub error_code: i16,
    /// `SessionId`, versions 7 to 18.
    pub session_id: i32,
    /// `Responses`.
    pub responses: Vec<FetchableTopicResponse>,
    /// `NodeEndpoints`, versions 16 to 18, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FetchResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchResponse, DecodeError> {
        crate::error::check_decode_version("FetchResponse", version, 4, 18)?;
        let flexible = version >= 12;
        let mut m = FetchResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if version >= 7 {
            m.error_code = r.i16("error_code")?;
        }
        if version >= 7 {
            m.session_id = r.i32("session_id")?;
        }
        m.responses = r.array(flexible, 3, "responses", version, FetchableTopicResponse::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 if version >= 16 => {
                        m.node_endpoints =
                            r.array(true, 11, "node_endpoints", version, NodeEndpoint::decode)?
                    }
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FetchResponse", version, 4, 18)?;
        let flexible = version >= 12;
        w.i32(self.throttle_time_ms);
        if version >= 7 {
            w.i16(self.error_code);
        }
        if version >= 7 {
            w.i32(self.session_id);
        } else if self.session_id != 0 {
            return Err(EncodeError::absent("session_id", version));
        }
        w.array_len(flexible, self.responses.len(), "responses")?;
        for v in &self.responses {
            v.encode(w, version)?;
        }
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if version >= 16 && !self.node_endpoints.is_empty() {
                tags.add(0, |w| {
                    w.array_len(true, self.node_endpoints.len(), "node_endpoints")?;
                    for v in &self.node_endpoints {
                        v.encode(w, version)?;
                    }
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        if version < 16 && !self.node_endpoints.is_empty() {
            return Err(EncodeError::absent("node_endpoints", version));
        }
        Ok(())
    }
}

/// `FetchableTopicResponse` of [`FetchResponse`], versions 4 to 18.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchableTopicResponse {
    /// `Topic`, versions 4 to 12, ignorable; a topic name.
    pub topic: String,
    /// `TopicId`, versions 13 to 18, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FetchableTopicResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FetchableTopicResponse, DecodeError> {
        let flexible = version >= 12;
        let mut m = FetchableTopicResponse::default();
        if version <= 12 {
            m.topic = r.string(flexible, "topic")?;
        }
        if version >= 13 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions = r.array(flexible, 30, "partitions", version, PartitionData::decode)?;
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

/// `PartitionData` of [`FetchResponse`], versions 4 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `HighWatermark`.
    pub high_watermark: i64,
    /// `LastStableOffset`, ignorable.
    pub last_stable_offset: i64,
    /// `LogStartOffset`, versions 5 to 18, ignorable.
    pub log_start_offset: i64,
    /// `DivergingEpoch`, versions 12 to 18, tag 0.
    pub diverging_epoch: EpochEndOffset,
    /// `CurrentLeader`, versions 12 to 18, tag 1.
    pub current_leader: LeaderIdAndEpoch,
    /// `SnapshotId`, versions 12 to 18, tag 2.
    pub snapshot_id: SnapshotId,
    /// `AbortedTransactions`, may be null, ignorable.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// `PreferredReadReplica`, versions 11 to 18; a broker id.
    pub preferred_read_replica: i32,
    /// `Records`, may be null.
    pub records: Option<Records>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionData {
    fn default() -> PartitionData {
        PartitionData {
            partition_index: 0,
            error_code: 0,
            high_watermark: 0,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: EpochEndOffset::default(),
            current_leader: LeaderIdAndEpoch::default(),
            snapshot_id: SnapshotId::default(),
            aborted_transactions: Some(Vec::new()),
            preferred_read_replica: -1,
            records: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let flexible = version >= 12;
        let mut m = PartitionData::default();
        m.partition_index = r.i32("partition_index")?;
        m.error_code = r.i16("error_code")?;
        m.high_watermark = r.i64("high_watermark")?;
        m.last_stable_offset = r.i64("last_stable_offset")?;
        if version >= 5 {
            m.log_start_offset = r.i64("log_start_offset")?;
        }
        m.aborted_transactions = r.nullable_array(
            flexible,
            true,
            16,
            "aborted_transactions",
            version,
            AbortedTransaction::decode,
        )?;
        if version >= 11 {
            m.preferred_read_replica = r.i32("preferred_read_replica")?;
        }
        m.records = r.records(flexible, true, "records")?;
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 => m.diverging_epoch = EpochEndOffset::decode(r, version)?,
                    1 => m.current_leader = LeaderIdAndEpoch::decode(r, version)?,
                    2 => m.snapshot_id = SnapshotId::decode(r, version)?,
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
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.i64(self.high_watermark);
        w.i64(self.last_stable_offset);
        if version >= 5 {
            w.i64(self.log_start_offset);
        }
        w.nullable_array_len(
            flexible,
            self.aborted_transactions.as_ref().map(Vec::len),
            true,
            "aborted_transactions",
        )?;
        for v in self.aborted_transactions.iter().flatten() {
            v.encode(w, version)?;
        }
        if version >= 11 {
            w.i32(self.preferred_read_replica);
        } else if self.preferred_read_replica != -1 {
            return Err(EncodeError::absent("preferred_read_replica", version));
        }
        w.records(flexible, self.records.as_ref(), true, "records")?;
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if self.diverging_epoch != EpochEndOffset::default() {
                tags.add(0, |w| {
                    self.diverging_epoch.encode(w, version)?;
                    Ok(())
                })?;
            }
            if self.current_leader != LeaderIdAndEpoch::default() {
                tags.add(1, |w| {
                    self.current_leader.encode(w, version)?;
                    Ok(())
                })?;
            }
            if self.snapshot_id != SnapshotId::default() {
                tags.add(2, |w| {
                    self.snapshot_id.encode(w, version)?;
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        if version < 12 && self.diverging_epoch != EpochEndOffset::default() {
            return Err(EncodeError::absent("diverging_epoch", version));
        }
        if version < 12 && self.current_leader != LeaderIdAndEpoch::default() {
            return Err(EncodeError::absent("current_leader", version));
        }
        if version < 12 && self.snapshot_id != SnapshotId::default() {
            return Err(EncodeError::absent("snapshot_id", version));
        }
        Ok(())
    }
}

/// `EpochEndOffset` of [`FetchResponse`], versions 12 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// `Epoch`.
    pub epoch: i32,
    /// `EndOffset`.
    pub end_offset: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for EpochEndOffset {
    fn default() -> EpochEndOffset {
        EpochEndOffset { epoch: -1, end_offset: -1, unknown_tagged_fields: TaggedFields::default() }
    }
}

impl EpochEndOffset {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<EpochEndOffset, DecodeError> {
        let mut m = EpochEndOffset::default();
        m.epoch = r.i32("epoch")?;
        m.end_offset = r.i64("end_offset")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        w.i64(self.end_offset);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `LeaderIdAndEpoch` of [`FetchResponse`], versions 12 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> LeaderIdAndEpoch {
        LeaderIdAndEpoch { leader_id: -1, leader_epoch: -1, unknown_tagged_fields: TaggedFields::default() }
    }
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

/// `SnapshotId` of [`FetchResponse`], versions 12 to 18.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotId {
    /// `EndOffset`.
    pub end_offset: i64,
    /// `Epoch`.
    pub epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for SnapshotId {
    fn default() -> SnapshotId {
        SnapshotId { end_offset: -1, epoch: -1, unknown_tagged_fields: TaggedFields::default() }
    }
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

/// `AbortedTransaction` of [`FetchResponse`], versions 4 to 18.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AbortedTransaction {
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `FirstOffset`.
    pub first_offset: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AbortedTransaction {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AbortedTransaction, DecodeError> {
        let flexible = version >= 12;
        let mut m = AbortedTransaction::default();
        m.producer_id = r.i64("producer_id")?;
        m.first_offset = r.i64("first_offset")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 12;
        w.i64(self.producer_id);
        w.i64(self.first_offset);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `NodeEndpoint` of [`FetchResponse`], versions 16 to 18.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeEndpoint {
    /// `NodeId`; a broker id.
    pub node_id: i32,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: i32,
    /// `Rack`, may be null.
    pub rack: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl NodeEndpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<NodeEndpoint, DecodeError> {
        let mut m = NodeEndpoint::default();
        m.node_id = r.i32("node_id")?;
        m.host = r.string(true, "host")?;
        m.port = r.i32("port")?;
        m.rack = r.nullable_string(true, true, "rack")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.node_id);
        w.string(true, &self.host, "host")?;
        w.i32(self.port);
        w.nullable_string(true, self.rack.as_deref(), true, "rack")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
