//! Kafka's record `StreamsGroupTargetAssignmentMemberValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupTargetAssignmentMemberValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupTargetAssignmentMemberValue {
    /// `ActiveTasks`.
    pub active_tasks: Vec<TaskIds>,
    /// `StandbyTasks`.
    pub standby_tasks: Vec<TaskIds>,
    /// `WarmupTasks`.
    pub warmup_tasks: Vec<TaskIds>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StreamsGroupTargetAssignmentMemberValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<StreamsGroupTargetAssignmentMemberValue, DecodeError> {
        crate::error::check_decode_version("StreamsGroupTargetAssignmentMemberValue", version, 0, 0)?;
        let mut m = StreamsGroupTargetAssignmentMemberValue::default();
        m.active_tasks = r.array(true, 3, "active_tasks", version, TaskIds::decode)?;
        m.standby_tasks = r.array(true, 3, "standby_tasks", version, TaskIds::decode)?;
        m.warmup_tasks = r.array(true, 3, "warmup_tasks", version, TaskIds::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupTargetAssignmentMemberValue", version, 0, 0)?;
        w.array_len(true, self.active_tasks.len(), "active_tasks")?;
        for v in &self.active_tasks {
            v.encode(w, version)?;
        }
        w.array_len(true, self.standby_tasks.len(), "standby_tasks")?;
        for v in &self.standby_tasks {
            v.encode(w, version)?;
        }
        w.array_len(true, self.warmup_tasks.len(), "warmup_tasks")?;
        for v in &self.warmup_tasks {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TaskIds` of [`StreamsGroupTargetAssignmentMemberValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TaskIds {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TaskIds {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TaskIds, DecodeError> {
        let mut m = TaskIds::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.subtopology_id, "subtopology_id")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
