//! Kafka's request `WriteTxnMarkersRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `WriteTxnMarkersRequest`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WriteTxnMarkersRequest {
    /// `Markers`.
    pub markers: Vec<WritableTxnMarker>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WriteTxnMarkersRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WriteTxnMarkersRequest, DecodeError> {
        crate::error::check_decode_version("WriteTxnMarkersRequest", version, 1, 2)?;
        let mut m = WriteTxnMarkersRequest::default();
        m.markers = r.array(true, 17, "markers", version, WritableTxnMarker::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("WriteTxnMarkersRequest", version, 1, 2)?;
        w.array_len(true, self.markers.len(), "markers")?;
        for v in &self.markers {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `WritableTxnMarker` of [`WriteTxnMarkersRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WritableTxnMarker {
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `ProducerEpoch`.
    pub producer_epoch: i16,
    /// `TransactionResult`.
    pub transaction_result: bool,
    /// `Topics`.
    pub topics: Vec<WritableTxnMarkerTopic>,
    /// `CoordinatorEpoch`.
    pub coordinator_epoch: i32,
    /// `TransactionVersion`, version 2, ignorable.
    pub transaction_version: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WritableTxnMarker {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WritableTxnMarker, DecodeError> {
        let mut m = WritableTxnMarker::default();
        m.producer_id = r.i64("producer_id")?;
        m.producer_epoch = r.i16("producer_epoch")?;
        m.transaction_result = r.bool("transaction_result")?;
        m.topics = r.array(true, 3, "topics", version, WritableTxnMarkerTopic::decode)?;
        m.coordinator_epoch = r.i32("coordinator_epoch")?;
        if version == 2 {
            m.transaction_version = r.i8("transaction_version")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i64(self.producer_id);
        w.i16(self.producer_epoch);
        w.bool(self.transaction_result);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.i32(self.coordinator_epoch);
        if version == 2 {
            w.i8(self.transaction_version);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `WritableTxnMarkerTopic` of [`WriteTxnMarkersRequest`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WritableTxnMarkerTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `PartitionIndexes`.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WritableTxnMarkerTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<WritableTxnMarkerTopic, DecodeError> {
        let mut m = WritableTxnMarkerTopic::default();
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
