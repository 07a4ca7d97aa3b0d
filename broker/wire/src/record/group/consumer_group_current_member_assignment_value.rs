//! Kafka's record `ConsumerGroupCurrentMemberAssignmentValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ConsumerGroupCurrentMemberAssignmentValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `PreviousMemberEpoch`.
    pub previous_member_epoch: i32,
    /// `State`.
    pub state: i8,
    /// `AssignedPartitions`.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// `PartitionsPendingRevocation`.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupCurrentMemberAssignmentValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<ConsumerGroupCurrentMemberAssignmentValue, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupCurrentMemberAssignmentValue", version, 0, 0)?;
        let mut m = ConsumerGroupCurrentMemberAssignmentValue::default();
        m.member_epoch = r.i32("member_epoch")?;
        m.previous_member_epoch = r.i32("previous_member_epoch")?;
        m.state = r.i8("state")?;
        m.assigned_partitions = r.array(true, 18, "assigned_partitions", version, TopicPartitions::decode)?;
        m.partitions_pending_revocation =
            r.array(true, 18, "partitions_pending_revocation", version, TopicPartitions::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupCurrentMemberAssignmentValue", version, 0, 0)?;
        w.i32(self.member_epoch);
        w.i32(self.previous_member_epoch);
        w.i8(self.state);
        w.array_len(true, self.assigned_partitions.len(), "assigned_partitions")?;
        for v in &self.assigned_partitions {
            v.encode(w, version)?;
        }
        w.array_len(true, self.partitions_pending_revocation.len(), "partitions_pending_revocation")?;
        for v in &self.partitions_pending_revocation {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartitions` of [`ConsumerGroupCurrentMemberAssignmentValue`], version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// `AssignmentEpochs`, may be null, tag 0.
    pub assignment_epochs: Option<Vec<i32>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for TopicPartitions {
    fn default() -> TopicPartitions {
        TopicPartitions {
            topic_id: Uuid::ZERO,
            partitions: Vec::new(),
            assignment_epochs: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl TopicPartitions {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartitions, DecodeError> {
        let mut m = TopicPartitions::default();
        m.topic_id = r.uuid("topic_id")?;
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
        w.uuid(self.topic_id);
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
