//! Kafka's record `RemotePartitionDeleteMetadataRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/remote_log.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `RemotePartitionDeleteMetadataRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RemotePartitionDeleteMetadataRecord {
    /// `TopicIdPartition`.
    pub topic_id_partition: TopicIdPartitionEntry,
    /// `BrokerId`.
    pub broker_id: i32,
    /// `EventTimestampMs`.
    pub event_timestamp_ms: i64,
    /// `RemotePartitionDeleteState`.
    pub remote_partition_delete_state: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl RemotePartitionDeleteMetadataRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RemotePartitionDeleteMetadataRecord, DecodeError> {
        crate::error::check_decode_version("RemotePartitionDeleteMetadataRecord", version, 0, 0)?;
        let mut m = RemotePartitionDeleteMetadataRecord::default();
        m.topic_id_partition = TopicIdPartitionEntry::decode(r, version)?;
        m.broker_id = r.i32("broker_id")?;
        m.event_timestamp_ms = r.i64("event_timestamp_ms")?;
        m.remote_partition_delete_state = r.i8("remote_partition_delete_state")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RemotePartitionDeleteMetadataRecord", version, 0, 0)?;
        self.topic_id_partition.encode(w, version)?;
        w.i32(self.broker_id);
        w.i64(self.event_timestamp_ms);
        w.i8(self.remote_partition_delete_state);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicIdPartitionEntry` of [`RemotePartitionDeleteMetadataRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicIdPartitionEntry {
    /// `Name`.
    pub name: String,
    /// `Id`.
    pub id: Uuid,
    /// `Partition`.
    pub partition: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicIdPartitionEntry {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicIdPartitionEntry, DecodeError> {
        let mut m = TopicIdPartitionEntry::default();
        m.name = r.string(true, "name")?;
        m.id = r.uuid("id")?;
        m.partition = r.i32("partition")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.uuid(self.id);
        w.i32(self.partition);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
