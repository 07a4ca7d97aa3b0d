//! Kafka's response `ShareGroupHeartbeatResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareGroupHeartbeatResponse`, version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupHeartbeatResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `MemberId`, may be null.
    pub member_id: Option<String>,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `HeartbeatIntervalMs`.
    pub heartbeat_interval_ms: i32,
    /// `Assignment`, may be null.
    pub assignment: Option<Assignment>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareGroupHeartbeatResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareGroupHeartbeatResponse, DecodeError> {
        crate::error::check_decode_version("ShareGroupHeartbeatResponse", version, 1, 1)?;
        let mut m = ShareGroupHeartbeatResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.member_id = r.nullable_string(true, true, "member_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.heartbeat_interval_ms = r.i32("heartbeat_interval_ms")?;
        m.assignment = if r.is_present("assignment")? { Some(Assignment::decode(r, version)?) } else { None };
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupHeartbeatResponse", version, 1, 1)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.nullable_string(true, self.member_id.as_deref(), true, "member_id")?;
        w.i32(self.member_epoch);
        w.i32(self.heartbeat_interval_ms);
        w.presence(self.assignment.is_some());
        if let Some(v) = &self.assignment {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Assignment` of [`ShareGroupHeartbeatResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Assignment {
    /// `TopicPartitions`.
    pub topic_partitions: Vec<TopicPartitions>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Assignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Assignment, DecodeError> {
        let mut m = Assignment::default();
        m.topic_partitions = r.array(true, 18, "topic_partitions", version, TopicPartitions::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.array_len(true, self.topic_partitions.len(), "topic_partitions")?;
        for v in &self.topic_partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartitions` of [`ShareGroupHeartbeatResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartitions {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicPartitions {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartitions, DecodeError> {
        let mut m = TopicPartitions::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
