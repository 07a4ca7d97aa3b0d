//! Kafka's request `ConsumerGroupHeartbeatRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ConsumerGroupHeartbeatRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroupHeartbeatRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `MemberId`.
    pub member_id: String,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `InstanceId`, may be null.
    pub instance_id: Option<String>,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `RebalanceTimeoutMs`.
    pub rebalance_timeout_ms: i32,
    /// `SubscribedTopicNames`, may be null; a topic name.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// `SubscribedTopicRegex`, version 1, may be null.
    pub subscribed_topic_regex: Option<String>,
    /// `ServerAssignor`, may be null.
    pub server_assignor: Option<String>,
    /// `TopicPartitions`, may be null.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ConsumerGroupHeartbeatRequest {
    fn default() -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: String::new(),
            member_id: String::new(),
            member_epoch: 0,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            subscribed_topic_names: None,
            subscribed_topic_regex: None,
            server_assignor: None,
            topic_partitions: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ConsumerGroupHeartbeatRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupHeartbeatRequest, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupHeartbeatRequest", version, 0, 1)?;
        let mut m = ConsumerGroupHeartbeatRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.member_id = r.string(true, "member_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.instance_id = r.nullable_string(true, true, "instance_id")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.rebalance_timeout_ms = r.i32("rebalance_timeout_ms")?;
        m.subscribed_topic_names = r.nullable_array(true, true, 1, "subscribed_topic_names", 0, |r, _| {
            r.string(true, "subscribed_topic_names")
        })?;
        if version == 1 {
            m.subscribed_topic_regex = r.nullable_string(true, true, "subscribed_topic_regex")?;
        }
        m.server_assignor = r.nullable_string(true, true, "server_assignor")?;
        m.topic_partitions =
            r.nullable_array(true, true, 18, "topic_partitions", version, TopicPartitions::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupHeartbeatRequest", version, 0, 1)?;
        w.string(true, &self.group_id, "group_id")?;
        w.string(true, &self.member_id, "member_id")?;
        w.i32(self.member_epoch);
        w.nullable_string(true, self.instance_id.as_deref(), true, "instance_id")?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.i32(self.rebalance_timeout_ms);
        w.nullable_array_len(
            true,
            self.subscribed_topic_names.as_ref().map(Vec::len),
            true,
            "subscribed_topic_names",
        )?;
        for v in self.subscribed_topic_names.iter().flatten() {
            w.string(true, v, "subscribed_topic_names")?;
        }
        if version == 1 {
            w.nullable_string(true, self.subscribed_topic_regex.as_deref(), true, "subscribed_topic_regex")?;
        } else if self.subscribed_topic_regex.is_some() {
            return Err(EncodeError::absent("subscribed_topic_regex", version));
        }
        w.nullable_string(true, self.server_assignor.as_deref(), true, "server_assignor")?;
        w.nullable_array_len(true, self.topic_partitions.as_ref().map(Vec::len), true, "topic_partitions")?;
        for v in self.topic_partitions.iter().flatten() {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartitions` of [`ConsumerGroupHeartbeatRequest`], versions 0 to 1.
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
