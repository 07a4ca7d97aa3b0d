//! Kafka's request `StreamsGroupTopologyDescriptionUpdateRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupTopologyDescriptionUpdateRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupTopologyDescriptionUpdateRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `MemberId`.
    pub member_id: String,
    /// `TopologyEpoch`.
    pub topology_epoch: i32,
    /// `TopologyDescription`.
    pub topology_description: TopologyDescription,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StreamsGroupTopologyDescriptionUpdateRequest {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<StreamsGroupTopologyDescriptionUpdateRequest, DecodeError> {
        crate::error::check_decode_version("StreamsGroupTopologyDescriptionUpdateRequest", version, 0, 0)?;
        let mut m = StreamsGroupTopologyDescriptionUpdateRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.member_id = r.string(true, "member_id")?;
        m.topology_epoch = r.i32("topology_epoch")?;
        m.topology_description = TopologyDescription::decode(r, version)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupTopologyDescriptionUpdateRequest", version, 0, 0)?;
        w.string(true, &self.group_id, "group_id")?;
        w.string(true, &self.member_id, "member_id")?;
        w.i32(self.topology_epoch);
        self.topology_description.encode(w, version)?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopologyDescription` of [`StreamsGroupTopologyDescriptionUpdateRequest`], version 0.
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

/// `TopologyDescriptionSubtopology` of [`StreamsGroupTopologyDescriptionUpdateRequest`], version 0.
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

/// `TopologyDescriptionNode` of [`StreamsGroupTopologyDescriptionUpdateRequest`], version 0.
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

/// `TopologyDescriptionGlobalStore` of [`StreamsGroupTopologyDescriptionUpdateRequest`], version 0.
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
