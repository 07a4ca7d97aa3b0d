//! Kafka's request `MetadataRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `MetadataRequest`, versions 0 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRequest {
    /// `Topics`, may be null in versions 1 to 13.
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// `AllowAutoTopicCreation`, versions 4 to 13.
    pub allow_auto_topic_creation: bool,
    /// `IncludeClusterAuthorizedOperations`, versions 8 to 10.
    pub include_cluster_authorized_operations: bool,
    /// `IncludeTopicAuthorizedOperations`, versions 8 to 13.
    pub include_topic_authorized_operations: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MetadataRequest {
    fn default() -> MetadataRequest {
        MetadataRequest {
            topics: Some(Vec::new()),
            allow_auto_topic_creation: true,
            include_cluster_authorized_operations: false,
            include_topic_authorized_operations: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl MetadataRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MetadataRequest, DecodeError> {
        crate::error::check_decode_version("MetadataRequest", version, 0, 13)?;
        let flexible = version >= 9;
        let mut m = MetadataRequest::default();
        m.topics =
            r.nullable_array(flexible, version >= 1, 2, "topics", version, MetadataRequestTopic::decode)?;
        if version >= 4 {
            m.allow_auto_topic_creation = r.bool("allow_auto_topic_creation")?;
        }
        if (8..=10).contains(&version) {
            m.include_cluster_authorized_operations = r.bool("include_cluster_authorized_operations")?;
        }
        if version >= 8 {
            m.include_topic_authorized_operations = r.bool("include_topic_authorized_operations")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("MetadataRequest", version, 0, 13)?;
        let flexible = version >= 9;
        w.nullable_array_len(flexible, self.topics.as_ref().map(Vec::len), version >= 1, "topics")?;
        for v in self.topics.iter().flatten() {
            v.encode(w, version)?;
        }
        if version >= 4 {
            w.bool(self.allow_auto_topic_creation);
        } else if !self.allow_auto_topic_creation {
            return Err(EncodeError::absent("allow_auto_topic_creation", version));
        }
        if (8..=10).contains(&version) {
            w.bool(self.include_cluster_authorized_operations);
        } else if self.include_cluster_authorized_operations {
            return Err(EncodeError::absent("include_cluster_authorized_operations", version));
        }
        if version >= 8 {
            w.bool(self.include_topic_authorized_operations);
        } else if self.include_topic_authorized_operations {
            return Err(EncodeError::absent("include_topic_authorized_operations", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `MetadataRequestTopic` of [`MetadataRequest`], versions 0 to 13.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRequestTopic {
    /// `TopicId`, versions 10 to 13, ignorable.
    pub topic_id: Uuid,
    /// `Name`, may be null in versions 10 to 13; a topic name.
    pub name: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MetadataRequestTopic {
    fn default() -> MetadataRequestTopic {
        MetadataRequestTopic {
            topic_id: Uuid::ZERO,
            name: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl MetadataRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MetadataRequestTopic, DecodeError> {
        let flexible = version >= 9;
        let mut m = MetadataRequestTopic::default();
        if version >= 10 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.name = r.nullable_string(flexible, version >= 10, "name")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        if version >= 10 {
            w.uuid(self.topic_id);
        }
        w.nullable_string(flexible, self.name.as_deref(), version >= 10, "name")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
