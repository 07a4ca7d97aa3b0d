//! Kafka's record `RemoteLogSegmentMetadataSnapshotRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/remote_log.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;
use millstream_types::Uuid;

/// Kafka's `RemoteLogSegmentMetadataSnapshotRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RemoteLogSegmentMetadataSnapshotRecord {
    /// `SegmentId`.
    pub segment_id: Uuid,
    /// `StartOffset`.
    pub start_offset: i64,
    /// `EndOffset`.
    pub end_offset: i64,
    /// `BrokerId`.
    pub broker_id: i32,
    /// `MaxTimestampMs`.
    pub max_timestamp_ms: i64,
    /// `EventTimestampMs`.
    pub event_timestamp_ms: i64,
    /// `SegmentLeaderEpochs`.
    pub segment_leader_epochs: Vec<SegmentLeaderEpochEntry>,
    /// `SegmentSizeInBytes`.
    pub segment_size_in_bytes: i32,
    /// `CustomMetadata`, may be null.
    pub custom_metadata: Option<Bytes>,
    /// `RemoteLogSegmentState`.
    pub remote_log_segment_state: i8,
    /// `TxnIndexEmpty`, tag 0.
    pub txn_index_empty: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl RemoteLogSegmentMetadataSnapshotRecord {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<RemoteLogSegmentMetadataSnapshotRecord, DecodeError> {
        crate::error::check_decode_version("RemoteLogSegmentMetadataSnapshotRecord", version, 0, 0)?;
        let mut m = RemoteLogSegmentMetadataSnapshotRecord::default();
        m.segment_id = r.uuid("segment_id")?;
        m.start_offset = r.i64("start_offset")?;
        m.end_offset = r.i64("end_offset")?;
        m.broker_id = r.i32("broker_id")?;
        m.max_timestamp_ms = r.i64("max_timestamp_ms")?;
        m.event_timestamp_ms = r.i64("event_timestamp_ms")?;
        m.segment_leader_epochs =
            r.array(true, 13, "segment_leader_epochs", version, SegmentLeaderEpochEntry::decode)?;
        m.segment_size_in_bytes = r.i32("segment_size_in_bytes")?;
        m.custom_metadata = r.nullable_bytes(true, true, "custom_metadata")?;
        m.remote_log_segment_state = r.i8("remote_log_segment_state")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.txn_index_empty = r.bool("txn_index_empty")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RemoteLogSegmentMetadataSnapshotRecord", version, 0, 0)?;
        w.uuid(self.segment_id);
        w.i64(self.start_offset);
        w.i64(self.end_offset);
        w.i32(self.broker_id);
        w.i64(self.max_timestamp_ms);
        w.i64(self.event_timestamp_ms);
        w.array_len(true, self.segment_leader_epochs.len(), "segment_leader_epochs")?;
        for v in &self.segment_leader_epochs {
            v.encode(w, version)?;
        }
        w.i32(self.segment_size_in_bytes);
        w.nullable_bytes(true, self.custom_metadata.as_ref(), true, "custom_metadata")?;
        w.i8(self.remote_log_segment_state);
        let mut tags = crate::tagged::TagSet::new();
        if self.txn_index_empty {
            tags.add(0, |w| {
                w.bool(self.txn_index_empty);
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `SegmentLeaderEpochEntry` of [`RemoteLogSegmentMetadataSnapshotRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SegmentLeaderEpochEntry {
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `Offset`.
    pub offset: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SegmentLeaderEpochEntry {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<SegmentLeaderEpochEntry, DecodeError> {
        let mut m = SegmentLeaderEpochEntry::default();
        m.leader_epoch = r.i32("leader_epoch")?;
        m.offset = r.i64("offset")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.leader_epoch);
        w.i64(self.offset);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
