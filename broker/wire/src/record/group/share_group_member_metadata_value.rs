//! Kafka's record `ShareGroupMemberMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ShareGroupMemberMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareGroupMemberMetadataValue {
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `ClientId`.
    pub client_id: String,
    /// `ClientHost`.
    pub client_host: String,
    /// `SubscribedTopicNames`.
    pub subscribed_topic_names: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ShareGroupMemberMetadataValue {
    fn default() -> ShareGroupMemberMetadataValue {
        ShareGroupMemberMetadataValue {
            rack_id: Some(String::new()),
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ShareGroupMemberMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareGroupMemberMetadataValue, DecodeError> {
        crate::error::check_decode_version("ShareGroupMemberMetadataValue", version, 0, 0)?;
        let mut m = ShareGroupMemberMetadataValue::default();
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.client_id = r.string(true, "client_id")?;
        m.client_host = r.string(true, "client_host")?;
        m.subscribed_topic_names =
            r.array(true, 1, "subscribed_topic_names", 0, |r, _| r.string(true, "subscribed_topic_names"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupMemberMetadataValue", version, 0, 0)?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.string(true, &self.client_id, "client_id")?;
        w.string(true, &self.client_host, "client_host")?;
        w.array_len(true, self.subscribed_topic_names.len(), "subscribed_topic_names")?;
        for v in &self.subscribed_topic_names {
            w.string(true, v, "subscribed_topic_names")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
