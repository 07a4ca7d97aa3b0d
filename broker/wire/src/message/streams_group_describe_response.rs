//! Kafka's response `StreamsGroupDescribeResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupDescribeResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupDescribeResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `Groups`.
    pub groups: Vec<DescribedGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StreamsGroupDescribeResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<StreamsGroupDescribeResponse, DecodeError> {
        crate::error::check_decode_version("StreamsGroupDescribeResponse", version, 0, 1)?;
        let mut m = StreamsGroupDescribeResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.groups = r.array(true, 20, "groups", version, DescribedGroup::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupDescribeResponse", version, 0, 1)?;
        w.i32(self.throttle_time_ms);
        w.array_len(true, self.groups.len(), "groups")?;
        for v in &self.groups {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribedGroup` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
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
    /// `Topology`, may be null.
    pub topology: Option<Topology>,
    /// `Members`.
    pub members: Vec<Member>,
    /// `AuthorizedOperations`.
    pub authorized_operations: i32,
    /// `TopologyDescription`, version 1, may be null.
    pub topology_description: Option<TopologyDescription>,
    /// `TopologyDescriptionStatus`, version 1.
    pub topology_description_status: i8,
    /// `AssignorName`, version 1, may be null, ignorable.
    pub assignor_name: Option<String>,
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
            topology: None,
            members: Vec::new(),
            authorized_operations: -2_147_483_648,
            topology_description: None,
            topology_description_status: 0,
            assignor_name: None,
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
        m.topology = if r.is_present("topology")? { Some(Topology::decode(r, version)?) } else { None };
        m.members = r.array(true, 28, "members", version, Member::decode)?;
        m.authorized_operations = r.i32("authorized_operations")?;
        if version == 1 {
            m.topology_description = if r.is_present("topology_description")? {
                Some(TopologyDescription::decode(r, version)?)
            } else {
                None
            };
        }
        if version == 1 {
            m.topology_description_status = r.i8("topology_description_status")?;
        }
        if version == 1 {
            m.assignor_name = r.nullable_string(true, true, "assignor_name")?;
        }
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
        w.presence(self.topology.is_some());
        if let Some(v) = &self.topology {
            v.encode(w, version)?;
        }
        w.array_len(true, self.members.len(), "members")?;
        for v in &self.members {
            v.encode(w, version)?;
        }
        w.i32(self.authorized_operations);
        if version == 1 {
            w.presence(self.topology_description.is_some());
            if let Some(v) = &self.topology_description {
                v.encode(w, version)?;
            }
        } else if self.topology_description.is_some() {
            return Err(EncodeError::absent("topology_description", version));
        }
        if version == 1 {
            w.i8(self.topology_description_status);
        } else if self.topology_description_status != 0 {
            return Err(EncodeError::absent("topology_description_status", version));
        }
        if version == 1 {
            w.nullable_string(true, self.assignor_name.as_deref(), true, "assignor_name")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Topology` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Topology {
    /// `Epoch`.
    pub epoch: i32,
    /// `Subtopologies`, may be null.
    pub subtopologies: Option<Vec<Subtopology>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Topology {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Topology, DecodeError> {
        let mut m = Topology::default();
        m.epoch = r.i32("epoch")?;
        m.subtopologies = r.nullable_array(true, true, 6, "subtopologies", version, Subtopology::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        w.nullable_array_len(true, self.subtopologies.as_ref().map(Vec::len), true, "subtopologies")?;
        for v in self.subtopologies.iter().flatten() {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Subtopology` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Subtopology {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `SourceTopics`; a topic name.
    pub source_topics: Vec<String>,
    /// `RepartitionSinkTopics`; a topic name.
    pub repartition_sink_topics: Vec<String>,
    /// `StateChangelogTopics`.
    pub state_changelog_topics: Vec<TopicInfo>,
    /// `RepartitionSourceTopics`.
    pub repartition_source_topics: Vec<TopicInfo>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Subtopology {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Subtopology, DecodeError> {
        let mut m = Subtopology::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.source_topics = r.array(true, 1, "source_topics", 0, |r, _| r.string(true, "source_topics"))?;
        m.repartition_sink_topics =
            r.array(true, 1, "repartition_sink_topics", 0, |r, _| r.string(true, "repartition_sink_topics"))?;
        m.state_changelog_topics = r.array(true, 9, "state_changelog_topics", version, TopicInfo::decode)?;
        m.repartition_source_topics =
            r.array(true, 9, "repartition_source_topics", version, TopicInfo::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.subtopology_id, "subtopology_id")?;
        w.array_len(true, self.source_topics.len(), "source_topics")?;
        for v in &self.source_topics {
            w.string(true, v, "source_topics")?;
        }
        w.array_len(true, self.repartition_sink_topics.len(), "repartition_sink_topics")?;
        for v in &self.repartition_sink_topics {
            w.string(true, v, "repartition_sink_topics")?;
        }
        w.array_len(true, self.state_changelog_topics.len(), "state_changelog_topics")?;
        for v in &self.state_changelog_topics {
            v.encode(w, version)?;
        }
        w.array_len(true, self.repartition_source_topics.len(), "repartition_source_topics")?;
        for v in &self.repartition_source_topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Member` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Member {
    /// `MemberId`.
    pub member_id: String,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `InstanceId`, may be null.
    pub instance_id: Option<String>,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `ClientId`.
    pub client_id: String,
    /// `ClientHost`.
    pub client_host: String,
    /// `TopologyEpoch`.
    pub topology_epoch: i32,
    /// `ProcessId`.
    pub process_id: String,
    /// `UserEndpoint`, may be null.
    pub user_endpoint: Option<Endpoint>,
    /// `ClientTags`.
    pub client_tags: Vec<KeyValue>,
    /// `TaskOffsets`.
    pub task_offsets: Vec<TaskOffset>,
    /// `TaskEndOffsets`.
    pub task_end_offsets: Vec<TaskOffset>,
    /// `Assignment`.
    pub assignment: Assignment,
    /// `TargetAssignment`.
    pub target_assignment: Assignment,
    /// `IsClassic`.
    pub is_classic: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Member {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Member, DecodeError> {
        let mut m = Member::default();
        m.member_id = r.string(true, "member_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.instance_id = r.nullable_string(true, true, "instance_id")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.client_id = r.string(true, "client_id")?;
        m.client_host = r.string(true, "client_host")?;
        m.topology_epoch = r.i32("topology_epoch")?;
        m.process_id = r.string(true, "process_id")?;
        m.user_endpoint =
            if r.is_present("user_endpoint")? { Some(Endpoint::decode(r, version)?) } else { None };
        m.client_tags = r.array(true, 3, "client_tags", version, KeyValue::decode)?;
        m.task_offsets = r.array(true, 14, "task_offsets", version, TaskOffset::decode)?;
        m.task_end_offsets = r.array(true, 14, "task_end_offsets", version, TaskOffset::decode)?;
        m.assignment = Assignment::decode(r, version)?;
        m.target_assignment = Assignment::decode(r, version)?;
        m.is_classic = r.bool("is_classic")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.member_id, "member_id")?;
        w.i32(self.member_epoch);
        w.nullable_string(true, self.instance_id.as_deref(), true, "instance_id")?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.string(true, &self.client_id, "client_id")?;
        w.string(true, &self.client_host, "client_host")?;
        w.i32(self.topology_epoch);
        w.string(true, &self.process_id, "process_id")?;
        w.presence(self.user_endpoint.is_some());
        if let Some(v) = &self.user_endpoint {
            v.encode(w, version)?;
        }
        w.array_len(true, self.client_tags.len(), "client_tags")?;
        for v in &self.client_tags {
            v.encode(w, version)?;
        }
        w.array_len(true, self.task_offsets.len(), "task_offsets")?;
        for v in &self.task_offsets {
            v.encode(w, version)?;
        }
        w.array_len(true, self.task_end_offsets.len(), "task_end_offsets")?;
        for v in &self.task_end_offsets {
            v.encode(w, version)?;
        }
        self.assignment.encode(w, version)?;
        self.target_assignment.encode(w, version)?;
        w.bool(self.is_classic);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Endpoint` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Endpoint {
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Endpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Endpoint, DecodeError> {
        let mut m = Endpoint::default();
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TaskOffset` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TaskOffset {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `Partition`.
    pub partition: i32,
    /// `Offset`.
    pub offset: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TaskOffset {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TaskOffset, DecodeError> {
        let mut m = TaskOffset::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.partition = r.i32("partition")?;
        m.offset = r.i64("offset")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.subtopology_id, "subtopology_id")?;
        w.i32(self.partition);
        w.i64(self.offset);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Assignment` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Assignment {
    /// `ActiveTasks`.
    pub active_tasks: Vec<TaskIds>,
    /// `StandbyTasks`.
    pub standby_tasks: Vec<TaskIds>,
    /// `WarmupTasks`.
    pub warmup_tasks: Vec<TaskIds>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Assignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Assignment, DecodeError> {
        let mut m = Assignment::default();
        m.active_tasks = r.array(true, 3, "active_tasks", version, TaskIds::decode)?;
        m.standby_tasks = r.array(true, 3, "standby_tasks", version, TaskIds::decode)?;
        m.warmup_tasks = r.array(true, 3, "warmup_tasks", version, TaskIds::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
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

/// `TaskIds` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
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

/// `KeyValue` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct KeyValue {
    /// `Key`.
    pub key: String,
    /// `Value`.
    pub value: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl KeyValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<KeyValue, DecodeError> {
        let mut m = KeyValue::default();
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

/// `TopicInfo` of [`StreamsGroupDescribeResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicInfo {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: i32,
    /// `ReplicationFactor`.
    pub replication_factor: i16,
    /// `TopicConfigs`.
    pub topic_configs: Vec<KeyValue>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicInfo {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicInfo, DecodeError> {
        let mut m = TopicInfo::default();
        m.name = r.string(true, "name")?;
        m.partitions = r.i32("partitions")?;
        m.replication_factor = r.i16("replication_factor")?;
        m.topic_configs = r.array(true, 3, "topic_configs", version, KeyValue::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i32(self.partitions);
        w.i16(self.replication_factor);
        w.array_len(true, self.topic_configs.len(), "topic_configs")?;
        for v in &self.topic_configs {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopologyDescription` of [`StreamsGroupDescribeResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescription {
    /// `Subtopologies`.
    pub subtopologies: Vec<TopologyDescriptionSubtopology>,
    /// `GlobalStores`.
    pub global_stores: Vec<TopologyDescriptionGlobalStore>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopologyDescription {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopologyDescription, DecodeError> {
        let mut m = TopologyDescription::default();
        m.subtopologies =
            r.array(true, 3, "subtopologies", version, TopologyDescriptionSubtopology::decode)?;
        m.global_stores =
            r.array(true, 15, "global_stores", version, TopologyDescriptionGlobalStore::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.array_len(true, self.subtopologies.len(), "subtopologies")?;
        for v in &self.subtopologies {
            v.encode(w, version)?;
        }
        w.array_len(true, self.global_stores.len(), "global_stores")?;
        for v in &self.global_stores {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopologyDescriptionSubtopology` of [`StreamsGroupDescribeResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescriptionSubtopology {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `Nodes`.
    pub nodes: Vec<TopologyDescriptionNode>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopologyDescriptionSubtopology {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopologyDescriptionSubtopology, DecodeError> {
        let mut m = TopologyDescriptionSubtopology::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.nodes = r.array(true, 7, "nodes", version, TopologyDescriptionNode::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.subtopology_id, "subtopology_id")?;
        w.array_len(true, self.nodes.len(), "nodes")?;
        for v in &self.nodes {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopologyDescriptionNode` of [`StreamsGroupDescribeResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescriptionNode {
    /// `Name`.
    pub name: String,
    /// `NodeType`.
    pub node_type: i8,
    /// `SourceTopics`; a topic name.
    pub source_topics: Vec<String>,
    /// `SinkTopic`, may be null; a topic name.
    pub sink_topic: Option<String>,
    /// `Stores`.
    pub stores: Vec<String>,
    /// `Successors`.
    pub successors: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopologyDescriptionNode {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopologyDescriptionNode, DecodeError> {
        let mut m = TopologyDescriptionNode::default();
        m.name = r.string(true, "name")?;
        m.node_type = r.i8("node_type")?;
        m.source_topics = r.array(true, 1, "source_topics", 0, |r, _| r.string(true, "source_topics"))?;
        m.sink_topic = r.nullable_string(true, true, "sink_topic")?;
        m.stores = r.array(true, 1, "stores", 0, |r, _| r.string(true, "stores"))?;
        m.successors = r.array(true, 1, "successors", 0, |r, _| r.string(true, "successors"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i8(self.node_type);
        w.array_len(true, self.source_topics.len(), "source_topics")?;
        for v in &self.source_topics {
            w.string(true, v, "source_topics")?;
        }
        w.nullable_string(true, self.sink_topic.as_deref(), true, "sink_topic")?;
        w.array_len(true, self.stores.len(), "stores")?;
        for v in &self.stores {
            w.string(true, v, "stores")?;
        }
        w.array_len(true, self.successors.len(), "successors")?;
        for v in &self.successors {
            w.string(true, v, "successors")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopologyDescriptionGlobalStore` of [`StreamsGroupDescribeResponse`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopologyDescriptionGlobalStore {
    /// `Source`.
    pub source: TopologyDescriptionNode,
    /// `Processor`.
    pub processor: TopologyDescriptionNode,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopologyDescriptionGlobalStore {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopologyDescriptionGlobalStore, DecodeError> {
        let mut m = TopologyDescriptionGlobalStore::default();
        m.source = TopologyDescriptionNode::decode(r, version)?;
        m.processor = TopologyDescriptionNode::decode(r, version)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.source.encode(w, version)?;
        self.processor.encode(w, version)?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
