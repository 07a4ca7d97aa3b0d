//! Kafka's record `StreamsGroupTopologyValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupTopologyValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupTopologyValue {
    /// `Epoch`.
    pub epoch: i32,
    /// `Subtopologies`.
    pub subtopologies: Vec<Subtopology>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StreamsGroupTopologyValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<StreamsGroupTopologyValue, DecodeError> {
        crate::error::check_decode_version("StreamsGroupTopologyValue", version, 0, 0)?;
        let mut m = StreamsGroupTopologyValue::default();
        m.epoch = r.i32("epoch")?;
        m.subtopologies = r.array(true, 8, "subtopologies", version, Subtopology::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupTopologyValue", version, 0, 0)?;
        w.i32(self.epoch);
        w.array_len(true, self.subtopologies.len(), "subtopologies")?;
        for v in &self.subtopologies {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Subtopology` of [`StreamsGroupTopologyValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Subtopology {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `SourceTopics`.
    pub source_topics: Vec<String>,
    /// `SourceTopicRegex`.
    pub source_topic_regex: Vec<String>,
    /// `StateChangelogTopics`.
    pub state_changelog_topics: Vec<TopicInfo>,
    /// `RepartitionSinkTopics`.
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

/// `CopartitionGroup` of [`StreamsGroupTopologyValue`], version 0.
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

/// `TopicConfig` of [`StreamsGroupTopologyValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicConfig {
    /// `key`.
    pub key: String,
    /// `value`.
    pub value: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicConfig {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicConfig, DecodeError> {
        let mut m = TopicConfig::default();
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

/// `TopicInfo` of [`StreamsGroupTopologyValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicInfo {
    /// `Name`.
    pub name: String,
    /// `Partitions`.
    pub partitions: i32,
    /// `ReplicationFactor`.
    pub replication_factor: i16,
    /// `TopicConfigs`.
    pub topic_configs: Vec<TopicConfig>,
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
        m.topic_configs = r.array(true, 3, "topic_configs", version, TopicConfig::decode)?;
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
