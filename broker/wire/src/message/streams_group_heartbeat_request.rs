//! Kafka's request `StreamsGroupHeartbeatRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupHeartbeatRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupHeartbeatRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `MemberId`.
    pub member_id: String,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `EndpointInformationEpoch`.
    pub endpoint_information_epoch: i32,
    /// `InstanceId`, may be null.
    pub instance_id: Option<String>,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `RebalanceTimeoutMs`.
    pub rebalance_timeout_ms: i32,
    /// `Topology`, may be null.
    pub topology: Option<Topology>,
    /// `ActiveTasks`, may be null.
    pub active_tasks: Option<Vec<TaskIds>>,
    /// `StandbyTasks`, may be null.
    pub standby_tasks: Option<Vec<TaskIds>>,
    /// `WarmupTasks`, may be null.
    pub warmup_tasks: Option<Vec<TaskIds>>,
    /// `ProcessId`, may be null.
    pub process_id: Option<String>,
    /// `UserEndpoint`, may be null.
    pub user_endpoint: Option<Endpoint>,
    /// `ClientTags`, may be null.
    pub client_tags: Option<Vec<KeyValue>>,
    /// `TaskOffsets`, may be null.
    pub task_offsets: Option<Vec<TaskOffset>>,
    /// `TaskEndOffsets`, may be null.
    pub task_end_offsets: Option<Vec<TaskOffset>>,
    /// `ShutdownApplication`.
    pub shutdown_application: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for StreamsGroupHeartbeatRequest {
    fn default() -> StreamsGroupHeartbeatRequest {
        StreamsGroupHeartbeatRequest {
            group_id: String::new(),
            member_id: String::new(),
            member_epoch: 0,
            endpoint_information_epoch: 0,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            topology: None,
            active_tasks: None,
            standby_tasks: None,
            warmup_tasks: None,
            process_id: None,
            user_endpoint: None,
            client_tags: None,
            task_offsets: None,
            task_end_offsets: None,
            shutdown_application: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl StreamsGroupHeartbeatRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<StreamsGroupHeartbeatRequest, DecodeError> {
        crate::error::check_decode_version("StreamsGroupHeartbeatRequest", version, 0, 1)?;
        let mut m = StreamsGroupHeartbeatRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.member_id = r.string(true, "member_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.endpoint_information_epoch = r.i32("endpoint_information_epoch")?;
        m.instance_id = r.nullable_string(true, true, "instance_id")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.rebalance_timeout_ms = r.i32("rebalance_timeout_ms")?;
        m.topology = if r.is_present("topology")? { Some(Topology::decode(r, version)?) } else { None };
        m.active_tasks = r.nullable_array(true, true, 3, "active_tasks", version, TaskIds::decode)?;
        m.standby_tasks = r.nullable_array(true, true, 3, "standby_tasks", version, TaskIds::decode)?;
        m.warmup_tasks = r.nullable_array(true, true, 3, "warmup_tasks", version, TaskIds::decode)?;
        m.process_id = r.nullable_string(true, true, "process_id")?;
        m.user_endpoint =
            if r.is_present("user_endpoint")? { Some(Endpoint::decode(r, version)?) } else { None };
        m.client_tags = r.nullable_array(true, true, 3, "client_tags", version, KeyValue::decode)?;
        m.task_offsets = r.nullable_array(true, true, 14, "task_offsets", version, TaskOffset::decode)?;
        m.task_end_offsets =
            r.nullable_array(true, true, 14, "task_end_offsets", version, TaskOffset::decode)?;
        m.shutdown_application = r.bool("shutdown_application")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupHeartbeatRequest", version, 0, 1)?;
        w.string(true, &self.group_id, "group_id")?;
        w.string(true, &self.member_id, "member_id")?;
        w.i32(self.member_epoch);
        w.i32(self.endpoint_information_epoch);
        w.nullable_string(true, self.instance_id.as_deref(), true, "instance_id")?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.i32(self.rebalance_timeout_ms);
        w.presence(self.topology.is_some());
        if let Some(v) = &self.topology {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.active_tasks.as_ref().map(Vec::len), true, "active_tasks")?;
        for v in self.active_tasks.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.standby_tasks.as_ref().map(Vec::len), true, "standby_tasks")?;
        for v in self.standby_tasks.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.warmup_tasks.as_ref().map(Vec::len), true, "warmup_tasks")?;
        for v in self.warmup_tasks.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_string(true, self.process_id.as_deref(), true, "process_id")?;
        w.presence(self.user_endpoint.is_some());
        if let Some(v) = &self.user_endpoint {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.client_tags.as_ref().map(Vec::len), true, "client_tags")?;
        for v in self.client_tags.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.task_offsets.as_ref().map(Vec::len), true, "task_offsets")?;
        for v in self.task_offsets.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.task_end_offsets.as_ref().map(Vec::len), true, "task_end_offsets")?;
        for v in self.task_end_offsets.iter().flatten() {
            v.encode(w, version)?;
        }
        w.bool(self.shutdown_application);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Topology` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Topology {
    /// `Epoch`.
    pub epoch: i32,
    /// `Subtopologies`.
    pub subtopologies: Vec<Subtopology>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Topology {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Topology, DecodeError> {
        let mut m = Topology::default();
        m.epoch = r.i32("epoch")?;
        m.subtopologies = r.array(true, 8, "subtopologies", version, Subtopology::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.epoch);
        w.array_len(true, self.subtopologies.len(), "subtopologies")?;
        for v in &self.subtopologies {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Subtopology` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Subtopology {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `SourceTopics`; a topic name.
    pub source_topics: Vec<String>,
    /// `SourceTopicRegex`.
    pub source_topic_regex: Vec<String>,
    /// `StateChangelogTopics`.
    pub state_changelog_topics: Vec<TopicInfo>,
    /// `RepartitionSinkTopics`; a topic name.
    pub repartition_sink_topics: Vec<String>,
    /// `RepartitionSourceTopics`.
    pub repartition_source_topics: Vec<TopicInfo>,
    /// `CopartitionGroups`.
    pub copartition_groups: Vec<CopartitionGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Subtopology {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Subtopology, DecodeError> {
        let mut m = Subtopology::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.source_topics = r.array(true, 1, "source_topics", 0, |r, _| r.string(true, "source_topics"))?;
        m.source_topic_regex =
            r.array(true, 1, "source_topic_regex", 0, |r, _| r.string(true, "source_topic_regex"))?;
        m.state_changelog_topics = r.array(true, 9, "state_changelog_topics", version, TopicInfo::decode)?;
        m.repartition_sink_topics =
            r.array(true, 1, "repartition_sink_topics", 0, |r, _| r.string(true, "repartition_sink_topics"))?;
        m.repartition_source_topics =
            r.array(true, 9, "repartition_source_topics", version, TopicInfo::decode)?;
        m.copartition_groups = r.array(true, 4, "copartition_groups", version, CopartitionGroup::decode)?;
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
        w.array_len(true, self.source_topic_regex.len(), "source_topic_regex")?;
        for v in &self.source_topic_regex {
            w.string(true, v, "source_topic_regex")?;
        }
        w.array_len(true, self.state_changelog_topics.len(), "state_changelog_topics")?;
        for v in &self.state_changelog_topics {
            v.encode(w, version)?;
        }
        w.array_len(true, self.repartition_sink_topics.len(), "repartition_sink_topics")?;
        for v in &self.repartition_sink_topics {
            w.string(true, v, "repartition_sink_topics")?;
        }
        w.array_len(true, self.repartition_source_topics.len(), "repartition_source_topics")?;
        for v in &self.repartition_source_topics {
            v.encode(w, version)?;
        }
        w.array_len(true, self.copartition_groups.len(), "copartition_groups")?;
        for v in &self.copartition_groups {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `CopartitionGroup` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CopartitionGroup {
    /// `SourceTopics`.
    pub source_topics: Vec<i16>,
    /// `SourceTopicRegex`.
    pub source_topic_regex: Vec<i16>,
    /// `RepartitionSourceTopics`.
    pub repartition_source_topics: Vec<i16>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CopartitionGroup {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<CopartitionGroup, DecodeError> {
        let mut m = CopartitionGroup::default();
        m.source_topics = r.array(true, 2, "source_topics", 0, |r, _| r.i16("source_topics"))?;
        m.source_topic_regex =
            r.array(true, 2, "source_topic_regex", 0, |r, _| r.i16("source_topic_regex"))?;
        m.repartition_source_topics =
            r.array(true, 2, "repartition_source_topics", 0, |r, _| r.i16("repartition_source_topics"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.array_len(true, self.source_topics.len(), "source_topics")?;
        for v in &self.source_topics {
            w.i16(*v);
        }
        w.array_len(true, self.source_topic_regex.len(), "source_topic_regex")?;
        for v in &self.source_topic_regex {
            w.i16(*v);
        }
        w.array_len(true, self.repartition_source_topics.len(), "repartition_source_topics")?;
        for v in &self.repartition_source_topics {
            w.i16(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `KeyValue` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
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

/// `TopicInfo` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
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

/// `Endpoint` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
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

/// `TaskOffset` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
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

/// `TaskIds` of [`StreamsGroupHeartbeatRequest`], versions 0 to 1.
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
