//! Kafka's record `PartitionChangeRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `PartitionChangeRecord`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionChangeRecord {
    /// `PartitionId`.
    pub partition_id: i32,
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Isr`, may be null, tag 0; a broker id.
    pub isr: Option<Vec<i32>>,
    /// `Leader`, tag 1; a broker id.
    pub leader: i32,
    /// `Replicas`, may be null, tag 2; a broker id.
    pub replicas: Option<Vec<i32>>,
    /// `RemovingReplicas`, may be null, tag 3; a broker id.
    pub removing_replicas: Option<Vec<i32>>,
    /// `AddingReplicas`, may be null, tag 4; a broker id.
    pub adding_replicas: Option<Vec<i32>>,
    /// `LeaderRecoveryState`, tag 5.
    pub leader_recovery_state: i8,
    /// `Directories`, versions 1 to 2, may be null, tag 8.
    pub directories: Option<Vec<Uuid>>,
    /// `EligibleLeaderReplicas`, version 2, may be null, tag 6; a broker id.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// `LastKnownElr`, version 2, may be null, tag 7; a broker id.
    pub last_known_elr: Option<Vec<i32>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionChangeRecord {
    fn default() -> PartitionChangeRecord {
        PartitionChangeRecord {
            partition_id: -1,
            topic_id: Uuid::ZERO,
            isr: None,
            leader: -2,
            replicas: None,
            removing_replicas: None,
            adding_replicas: None,
            leader_recovery_state: -1,
            directories: None,
            eligible_leader_replicas: None,
            last_known_elr: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionChangeRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionChangeRecord, DecodeError> {
        crate::error::check_decode_version("PartitionChangeRecord", version, 0, 2)?;
        let mut m = PartitionChangeRecord::default();
        m.partition_id = r.i32("partition_id")?;
        m.topic_id = r.uuid("topic_id")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.isr = r.nullable_array(true, true, 4, "isr", 0, |r, _| r.i32("isr"))?,
                1 => m.leader = r.i32("leader")?,
                2 => m.replicas = r.nullable_array(true, true, 4, "replicas", 0, |r, _| r.i32("replicas"))?,
                3 => {
                    m.removing_replicas =
                        r.nullable_array(true, true, 4, "removing_replicas", 0, |r, _| {
                            r.i32("removing_replicas")
                        })?
                }
                4 => {
                    m.adding_replicas = r.nullable_array(true, true, 4, "adding_replicas", 0, |r, _| {
                        r.i32("adding_replicas")
                    })?
                }
                5 => m.leader_recovery_state = r.i8("leader_recovery_state")?,
                6 if version == 2 => {
                    m.eligible_leader_replicas =
                        r.nullable_array(true, true, 4, "eligible_leader_replicas", 0, |r, _| {
                            r.i32("eligible_leader_replicas")
                        })?
                }
                7 if version == 2 => {
                    m.last_known_elr =
                        r.nullable_array(true, true, 4, "last_known_elr", 0, |r, _| r.i32("last_known_elr"))?
                }
                8 if version >= 1 => {
                    m.directories =
                        r.nullable_array(true, true, 16, "directories", 0, |r, _| r.uuid("directories"))?
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("PartitionChangeRecord", version, 0, 2)?;
        w.i32(self.partition_id);
        w.uuid(self.topic_id);
        let mut tags = crate::tagged::TagSet::new();
        if self.isr.is_some() {
            tags.add(0, |w| {
                w.nullable_array_len(true, self.isr.as_ref().map(Vec::len), true, "isr")?;
                for v in self.isr.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        if self.leader != -2 {
            tags.add(1, |w| {
                w.i32(self.leader);
                Ok(())
            })?;
        }
        if self.replicas.is_some() {
            tags.add(2, |w| {
                w.nullable_array_len(true, self.replicas.as_ref().map(Vec::len), true, "replicas")?;
                for v in self.replicas.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        if self.removing_replicas.is_some() {
            tags.add(3, |w| {
                w.nullable_array_len(
                    true,
                    self.removing_replicas.as_ref().map(Vec::len),
                    true,
                    "removing_replicas",
                )?;
                for v in self.removing_replicas.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        if self.adding_replicas.is_some() {
            tags.add(4, |w| {
                w.nullable_array_len(
                    true,
                    self.adding_replicas.as_ref().map(Vec::len),
                    true,
                    "adding_replicas",
                )?;
                for v in self.adding_replicas.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        if self.leader_recovery_state != -1 {
            tags.add(5, |w| {
                w.i8(self.leader_recovery_state);
                Ok(())
            })?;
        }
        if version == 2 && self.eligible_leader_replicas.is_some() {
            tags.add(6, |w| {
                w.nullable_array_len(
                    true,
                    self.eligible_leader_replicas.as_ref().map(Vec::len),
                    true,
                    "eligible_leader_replicas",
                )?;
                for v in self.eligible_leader_replicas.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        if version == 2 && self.last_known_elr.is_some() {
            tags.add(7, |w| {
                w.nullable_array_len(
                    true,
                    self.last_known_elr.as_ref().map(Vec::len),
                    true,
                    "last_known_elr",
                )?;
                for v in self.last_known_elr.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        if version >= 1 && self.directories.is_some() {
            tags.add(8, |w| {
                w.nullable_array_len(true, self.directories.as_ref().map(Vec::len), true, "directories")?;
                for v in self.directories.iter().flatten() {
                    w.uuid(*v);
                }
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        if version != 2 && self.eligible_leader_replicas.is_some() {
            return Err(EncodeError::absent("eligible_leader_replicas", version));
        }
        if version != 2 && self.last_known_elr.is_some() {
            return Err(EncodeError::absent("last_known_elr", version));
        }
        if version < 1 && self.directories.is_some() {
            return Err(EncodeError::absent("directories", version));
        }
        Ok(())
    }
}
