//! Kafka's record `ConsumerGroupMemberMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `ConsumerGroupMemberMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroupMemberMetadataValue {
    /// `InstanceId`, may be null.
    pub instance_id: Option<String>,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `ClientId`.
    pub client_id: String,
    /// `ClientHost`.
    pub client_host: String,
    /// `SubscribedTopicNames`.
    pub subscribed_topic_names: Vec<String>,
    /// `SubscribedTopicRegex`, may be null.
    pub subscribed_topic_regex: Option<String>,
    /// `RebalanceTimeoutMs`.
    pub rebalance_timeout_ms: i32,
    /// `ServerAssignor`, may be null.
    pub server_assignor: Option<String>,
    /// `ClassicMemberMetadata`, may be null, tag 0.
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ConsumerGroupMemberMetadataValue {
    fn default() -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: Some(String::new()),
            rack_id: Some(String::new()),
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: Vec::new(),
            subscribed_topic_regex: Some(String::new()),
            rebalance_timeout_ms: -1,
            server_assignor: Some(String::new()),
            classic_member_metadata: Some(ClassicMemberMetadata::default()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ConsumerGroupMemberMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupMemberMetadataValue, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupMemberMetadataValue", version, 0, 0)?;
        let mut m = ConsumerGroupMemberMetadataValue::default();
        m.instance_id = r.nullable_string(true, true, "instance_id")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.client_id = r.string(true, "client_id")?;
        m.client_host = r.string(true, "client_host")?;
        m.subscribed_topic_names =
            r.array(true, 1, "subscribed_topic_names", 0, |r, _| r.string(true, "subscribed_topic_names"))?;
        m.subscribed_topic_regex = r.nullable_string(true, true, "subscribed_topic_regex")?;
        m.rebalance_timeout_ms = r.i32("rebalance_timeout_ms")?;
        m.server_assignor = r.nullable_string(true, true, "server_assignor")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => {
                    m.classic_member_metadata = if r.tagged_is_present("classic_member_metadata")? {
                        Some(ClassicMemberMetadata::decode(r, version)?)
                    } else {
                        None
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupMemberMetadataValue", version, 0, 0)?;
        w.nullable_string(true, self.instance_id.as_deref(), true, "instance_id")?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.string(true, &self.client_id, "client_id")?;
        w.string(true, &self.client_host, "client_host")?;
        w.array_len(true, self.subscribed_topic_names.len(), "subscribed_topic_names")?;
        for v in &self.subscribed_topic_names {
            w.string(true, v, "subscribed_topic_names")?;
        }
        w.nullable_string(true, self.subscribed_topic_regex.as_deref(), true, "subscribed_topic_regex")?;
        w.i32(self.rebalance_timeout_ms);
        w.nullable_string(true, self.server_assignor.as_deref(), true, "server_assignor")?;
        let mut tags = crate::tagged::TagSet::new();
        if self.classic_member_metadata.as_ref() != Some(&ClassicMemberMetadata::default()) {
            tags.add(0, |w| {
                w.tagged_presence(self.classic_member_metadata.is_some());
                if let Some(v) = &self.classic_member_metadata {
                    v.encode(w, version)?;
                }
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ClassicMemberMetadata` of [`ConsumerGroupMemberMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClassicMemberMetadata {
    /// `SessionTimeoutMs`.
    pub session_timeout_ms: i32,
    /// `SupportedProtocols`.
    pub supported_protocols: Vec<ClassicProtocol>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ClassicMemberMetadata {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ClassicMemberMetadata, DecodeError> {
        let mut m = ClassicMemberMetadata::default();
        m.session_timeout_ms = r.i32("session_timeout_ms")?;
        m.supported_protocols = r.array(true, 3, "supported_protocols", version, ClassicProtocol::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.session_timeout_ms);
        w.array_len(true, self.supported_protocols.len(), "supported_protocols")?;
        for v in &self.supported_protocols {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ClassicProtocol` of [`ConsumerGroupMemberMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClassicProtocol {
    /// `Name`.
    pub name: String,
    /// `Metadata`.
    pub metadata: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ClassicProtocol {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ClassicProtocol, DecodeError> {
        let mut m = ClassicProtocol::default();
        m.name = r.string(true, "name")?;
        m.metadata = r.bytes(true, "metadata")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.bytes(true, &self.metadata, "metadata")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
