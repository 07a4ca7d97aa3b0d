//! Kafka's record `StreamsGroupMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupMetadataValue {
    /// `Epoch`.
    pub epoch: i32,
    /// `MetadataHash`.
    pub metadata_hash: i64,
    /// `ValidatedTopologyEpoch`, tag 0.
    pub validated_topology_epoch: i32,
    /// `LastAssignmentConfigs`, may be null, tag 1.
    pub last_assignment_configs: Option<Vec<LastAssignmentConfig>>,
    /// `StoredDescriptionTopologyEpoch`, tag 2.
    pub stored_description_topology_epoch: i32,
    /// `FailedDescriptionTopologyEpoch`, tag 3.
    pub failed_description_topology_epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for StreamsGroupMetadataValue {
    fn default() -> StreamsGroupMetadataValue {
        StreamsGroupMetadataValue {
            epoch: 0,
            metadata_hash: 0,
            validated_topology_epoch: -1,
            last_assignment_configs: Some(Vec::new()),
            stored_description_topology_epoch: -1,
            failed_description_topology_epoch: -1,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl StreamsGroupMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<StreamsGroupMetadataValue, DecodeError> {
        crate::error::check_decode_version("StreamsGroupMetadataValue", version, 0, 0)?;
        let mut m = StreamsGroupMetadataValue::default();
        m.epoch = r.i32("epoch")?;
        m.metadata_hash = r.i64("metadata_hash")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.validated_topology_epoch = r.i32("validated_topology_epoch")?,
                1 => {
                    m.last_assignment_configs = r.nullable_array(
                        true,
                        true,
                        3,
                        "last_assignment_configs",
                        version,
                        LastAssignmentConfig::decode,
                    )?
                }
                2 => m.stored_description_topology_epoch = r.i32("stored_description_topology_epoch")?,
                3 => m.failed_description_topology_epoch = r.i32("failed_description_topology_epoch")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupMetadataValue", version, 0, 0)?;
        w.i32(self.epoch);
        w.i64(self.metadata_hash);
        let mut tags = crate::tagged::TagSet::new();
        if self.validated_topology_epoch != -1 {
            tags.add(0, |w| {
                w.i32(self.validated_topology_epoch);
                Ok(())
            })?;
        }
        if self.last_assignment_configs.as_ref().is_none_or(|v| !v.is_empty()) {
            tags.add(1, |w| {
                w.nullable_array_len(
                    true,
                    self.last_assignment_configs.as_ref().map(Vec::len),
                    true,
                    "last_assignment_configs",
                )?;
                for v in self.last_assignment_configs.iter().flatten() {
                    v.encode(w, version)?;
                }
                Ok(())
            })?;
        }
        if self.stored_description_topology_epoch != -1 {
            tags.add(2, |w| {
                w.i32(self.stored_description_topology_epoch);
                Ok(())
            })?;
        }
        if self.failed_description_topology_epoch != -1 {
            tags.add(3, |w| {
                w.i32(self.failed_description_topology_epoch);
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `LastAssignmentConfig` of [`StreamsGroupMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LastAssignmentConfig {
    /// `Key`.
    pub key: String,
    /// `Value`.
    pub value: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LastAssignmentConfig {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<LastAssignmentConfig, DecodeError> {
        let mut m = LastAssignmentConfig::default();
        m.key = r.string(true, "key")?;
        m.value = r.string(true, "value")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.key, "key")?;
        w.string(true, &self.value, "value")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
