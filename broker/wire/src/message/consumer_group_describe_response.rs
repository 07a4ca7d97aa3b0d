//! Kafka's response `ConsumerGroupDescribeResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ConsumerGroupDescribeResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupDescribeResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `Groups`.
    pub groups: Vec<DescribedGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupDescribeResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupDescribeResponse, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupDescribeResponse", version, 0, 1)?;
        let mut m = ConsumerGroupDescribeResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.groups = r.array(true, 20, "groups", version, DescribedGroup::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupDescribeResponse", version, 0, 1)?;
        w.i32(self.throttle_time_ms);
        w.array_len(true, self.groups.len(), "groups")?;
        for v in &self.groups {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribedGroup` of [`ConsumerGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `GroupState`.
    pub group_state: String,
    /// `GroupEpoch`.
    pub group_epoch: i32,
    /// `AssignmentEpoch`.
    pub assignment_epoch: i32,
    /// `AssignorName`.
    pub assignor_name: String,
    /// `Members`.
    pub members: Vec<Member>,
    /// `AuthorizedOperations`.
    pub authorized_operations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribedGroup {
    fn default() -> DescribedGroup {
        DescribedGroup {
            error_code: 0,
            error_message: None,
            group_id: String::new(),
            group_state: String::new(),
            group_epoch: 0,
            assignment_epoch: 0,
            assignor_name: String::new(),
            members: Vec::new(),
            authorized_operations: -2_147_483_648,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribedGroup {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribedGroup, DecodeError> {
        let mut m = DescribedGroup::default();
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.group_id = r.string(true, "group_id")?;
        m.group_state = r.string(true, "group_state")?;
        m.group_epoch = r.i32("group_epoch")?;
        m.assignment_epoch = r.i32("assignment_epoch")?;
        m.assignor_name = r.string(true, "assignor_name")?;
        m.members = r.array(true, 16, "members", version, Member::decode)?;
        m.authorized_operations = r.i32("authorized_operations")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.string(true, &self.group_id, "group_id")?;
        w.string(true, &self.group_state, "group_state")?;
        w.i32(self.group_epoch);
        w.i32(self.assignment_epoch);
        w.string(true, &self.assignor_name, "assignor_name")?;
        w.array_len(true, self.members.len(), "members")?;
        for v in &self.members {
            v.encode(w, version)?;
        }
        w.i32(self.authorized_operations);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Member` of [`ConsumerGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// `MemberId`.
    pub member_id: String,
    /// `InstanceId`, may be null.
    pub instance_id: Option<String>,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `ClientId`.
    pub client_id: String,
    /// `ClientHost`.
    pub client_host: String,
    /// `SubscribedTopicNames`; a topic name.
    pub subscribed_topic_names: Vec<String>,
    /// `SubscribedTopicRegex`, may be null.
    pub subscribed_topic_regex: Option<String>,
    /// `Assignment`.
    pub assignment: Assignment,
    /// `TargetAssignment`.
    pub target_assignment: Assignment,
    /// `MemberType`, version 1, ignorable.
    pub member_type: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for Member {
    fn default() -> Member {
        Member {
            member_id: String::new(),
            instance_id: None,
            rack_id: None,
            member_epoch: 0,
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: Vec::new(),
            subscribed_topic_regex: None,
            assignment: Assignment::default(),
            target_assignment: Assignment::default(),
            member_type: -1,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl Member {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Member, DecodeError> {
        let mut m = Member::default();
        m.member_id = r.string(true, "member_id")?;
        m.instance_id = r.nullable_string(true, true, "instance_id")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.client_id = r.string(true, "client_id")?;
        m.client_host = r.string(true, "client_host")?;
        m.subscribed_topic_names =
            r.array(true, 1, "subscribed_topic_names", 0, |r, _| r.string(true, "subscribed_topic_names"))?;
        m.subscribed_topic_regex = r.nullable_string(true, true, "subscribed_topic_regex")?;
        m.assignment = Assignment::decode(r, version)?;
        m.target_assignment = Assignment::decode(r, version)?;
        if version == 1 {
            m.member_type = r.i8("member_type")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.member_id, "member_id")?;
        w.nullable_string(true, self.instance_id.as_deref(), true, "instance_id")?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.i32(self.member_epoch);
        w.string(true, &self.client_id, "client_id")?;
        w.string(true, &self.client_host, "client_host")?;
        w.array_len(true, self.subscribed_topic_names.len(), "subscribed_topic_names")?;
        for v in &self.subscribed_topic_names {
            w.string(true, v, "subscribed_topic_names")?;
        }
        w.nullable_string(true, self.subscribed_topic_regex.as_deref(), true, "subscribed_topic_regex")?;
        self.assignment.encode(w, version)?;
        self.target_assignment.encode(w, version)?;
        if version == 1 {
            w.i8(self.member_type);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartitions` of [`ConsumerGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartitions {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `TopicName`; a topic name.
    pub topic_name: String,
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
        m.topic_name = r.string(true, "topic_name")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.string(true, &self.topic_name, "topic_name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Assignment` of [`ConsumerGroupDescribeResponse`], versions 0 to 1.
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
        m.topic_partitions = r.array(true, 19, "topic_partitions", version, TopicPartitions::decode)?;
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
