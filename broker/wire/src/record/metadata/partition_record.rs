//! Kafka's record `PartitionRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `PartitionRecord`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionRecord {
    /// `PartitionId`.
    pub partition_id: i32,
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Replicas`; a broker id.
    pub replicas: Vec<i32>,
    /// `Isr`.
    pub isr: Vec<i32>,
    /// `RemovingReplicas`; a broker id.
    pub removing_replicas: Vec<i32>,
    /// `AddingReplicas`; a broker id.
    pub adding_replicas: Vec<i32>,
    /// `Leader`; a broker id.
    pub leader: i32,
    /// `LeaderRecoveryState`, tag 0.
    pub leader_recovery_state: i8,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `PartitionEpoch`.
    pub partition_epoch: i32,
    /// `Directories`, versions 1 to 2.
    pub directories: Vec<Uuid>,
    /// `EligibleLeaderReplicas`, version 2, may be null, tag 1; a broker id.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// `LastKnownElr`, version 2, may be null, tag 2; a broker id.
    pub last_known_elr: Option<Vec<i32>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionRecord {
    fn default() -> PartitionRecord {
        PartitionRecord {
            partition_id: -1,
            topic_id: Uuid::ZERO,
            replicas: Vec::new(),
            isr: Vec::new(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader: -1,
            leader_recovery_state: 0,
            leader_epoch: -1,
            partition_epoch: -1,
            directories: Vec::new(),
            eligible_leader_replicas: None,
            last_known_elr: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionRecord, DecodeError> {
        crate::error::check_decode_version("PartitionRecord", version, 0, 2)?;
        let mut m = PartitionRecord::default();
        m.partition_id = r.i32("partition_id")?;
        m.topic_id = r.uuid("topic_id")?;
        m.replicas = r.array(true, 4, "replicas", 0, |r, _| r.i32("replicas"))?;
        m.isr = r.array(true, 4, "isr", 0, |r, _| r.i32("isr"))?;
        m.removing_replicas = r.array(true, 4, "removing_replicas", 0, |r, _| r.i32("removing_replicas"))?;
        m.adding_replicas = r.array(true, 4, "adding_replicas", 0, |r, _| r.i32("adding_replicas"))?;
        m.leader = r.i32("leader")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.partition_epoch = r.i32("partition_epoch")?;
        if version >= 1 {
            m.directories = r.array(true, 16, "directories", 0, |r, _| r.uuid("directories"))?;
        }
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.leader_recovery_state = r.i8("leader_recovery_state")?,
                1 if version == 2 => {
                    m.eligible_leader_replicas =
                        r.nullable_array(true, true, 4, "eligible_leader_replicas", 0, |r, _| {
                            r.i32("eligible_leader_replicas")
                        })?
                }
                2 if version == 2 => {
                    m.last_known_elr =
                        r.nullable_array(true, true, 4, "last_known_elr", 0, |r, _| r.i32("last_known_elr"))?
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("PartitionRecord", version, 0, 2)?;
        w.i32(self.partition_id);
        w.uuid(self.topic_id);
        w.array_len(true, self.replicas.len(), "replicas")?;
        for v in &self.replicas {
            w.i32(*v);
        }
        w.array_len(true, self.isr.len(), "isr")?;
        for v in &self.isr {
            w.i32(*v);
        }
        w.array_len(true, self.removing_replicas.len(), "removing_replicas")?;
        for v in &self.removing_replicas {
            w.i32(*v);
        }
        w.array_len(true, self.adding_replicas.len(), "adding_replicas")?;
        for v in &self.adding_replicas {
            w.i32(*v);
        }
        w.i32(self.leader);
        w.i32(self.leader_epoch);
        w.i32(self.partition_epoch);
        if version >= 1 {
            w.array_len(true, self.directories.len(), "directories")?;
            for v in &self.directories {
                w.uuid(*v);
            }
        } else if !self.directories.is_empty() {
            return Err(EncodeError::absent("directories", version));
        }
        let mut tags = crate::tagged::TagSet::new();
        if self.leader_recovery_state != 0 {
            tags.add(0, |w| {
                w.i8(self.leader_recovery_state);
                Ok(())
            })?;
        }
        if version == 2 && self.eligible_leader_replicas.is_some() {
            tags.add(1, |w| {
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
            tags.add(2, |w| {
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
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        if version != 2 && self.eligible_leader_replicas.is_some() {
            return Err(EncodeError::absent("eligible_leader_replicas", version));
        }
        if version != 2 && self.last_known_elr.is_some() {
            return Err(EncodeError::absent("last_known_elr", version));
        }
        Ok(())
    }
}
