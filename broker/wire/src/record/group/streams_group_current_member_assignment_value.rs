//! Kafka's record `StreamsGroupCurrentMemberAssignmentValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupCurrentMemberAssignmentValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupCurrentMemberAssignmentValue {
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `PreviousMemberEpoch`.
    pub previous_member_epoch: i32,
    /// `State`.
    pub state: i8,
    /// `ActiveTasks`.
    pub active_tasks: Vec<TaskIds>,
    /// `StandbyTasks`.
    pub standby_tasks: Vec<TaskIds>,
    /// `WarmupTasks`.
    pub warmup_tasks: Vec<TaskIds>,
    /// `ActiveTasksPendingRevocation`.
    pub active_tasks_pending_revocation: Vec<TaskIds>,
    /// `StandbyTasksPendingRevocation`.
    pub standby_tasks_pending_revocation: Vec<TaskIds>,
    /// `WarmupTasksPendingRevocation`.
    pub warmup_tasks_pending_revocation: Vec<TaskIds>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StreamsGroupCurrentMemberAssignmentValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<StreamsGroupCurrentMemberAssignmentValue, DecodeError> {
        crate::error::check_decode_version("StreamsGroupCurrentMemberAssignmentValue", version, 0, 0)?;
        let mut m = StreamsGroupCurrentMemberAssignmentValue::default();
        m.member_epoch = r.i32("member_epoch")?;
        m.previous_member_epoch = r.i32("previous_member_epoch")?;
        m.state = r.i8("state")?;
        m.active_tasks = r.array(true, 3, "active_tasks", version, TaskIds::decode)?;
        m.standby_tasks = r.array(true, 3, "standby_tasks", version, TaskIds::decode)?;
        m.warmup_tasks = r.array(true, 3, "warmup_tasks", version, TaskIds::decode)?;
        m.active_tasks_pending_revocation =
            r.array(true, 3, "active_tasks_pending_revocation", version, TaskIds::decode)?;
        m.standby_tasks_pending_revocation =
            r.array(true, 3, "standby_tasks_pending_revocation", version, TaskIds::decode)?;
        m.warmup_tasks_pending_revocation =
            r.array(true, 3, "warmup_tasks_pending_revocation", version, TaskIds::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupCurrentMemberAssignmentValue", version, 0, 0)?;
        w.i32(self.member_epoch);
        w.i32(self.previous_member_epoch);
        w.i8(self.state);
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
        w.array_len(true, self.active_tasks_pending_revocation.len(), "active_tasks_pending_revocation")?;
        for v in &self.active_tasks_pending_revocation {
            v.encode(w, version)?;
        }
        w.array_len(true, self.standby_tasks_pending_revocation.len(), "standby_tasks_pending_revocation")?;
        for v in &self.standby_tasks_pending_revocation {
            v.encode(w, version)?;
        }
        w.array_len(true, self.warmup_tasks_pending_revocation.len(), "warmup_tasks_pending_revocation")?;
        for v in &self.warmup_tasks_pending_revocation {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TaskIds` of [`StreamsGroupCurrentMemberAssignmentValue`], version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskIds {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// `AssignmentEpochs`, may be null, tag 0.
    pub assignment_epochs: Option<Vec<i32>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for TaskIds {
    fn default() -> TaskIds {
        TaskIds {
            subtopology_id: String::new(),
            partitions: Vec::new(),
            assignment_epochs: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl TaskIds {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TaskIds, DecodeError> {
        let mut m = TaskIds::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => {
                    m.assignment_epochs =
                        r.nullable_array(true, true, 4, "assignment_epochs", 0, |r, _| {
                            r.i32("assignment_epochs")
                        })?
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.subtopology_id, "subtopology_id")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        let mut tags = crate::tagged::TagSet::new();
        if self.assignment_epochs.as_ref().is_none_or(|v| !v.is_empty()) {
            tags.add(0, |w| {
                w.nullable_array_len(
                    true,
                    self.assignment_epochs.as_ref().map(Vec::len),
                    true,
                    "assignment_epochs",
                )?;
                for v in self.assignment_epochs.iter().flatten() {
                    w.i32(*v);
                }
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}
