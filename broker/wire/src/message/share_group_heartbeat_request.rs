//! Kafka's request `ShareGroupHeartbeatRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ShareGroupHeartbeatRequest`, version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupHeartbeatRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `MemberId`.
    pub member_id: String,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `SubscribedTopicNames`, may be null; a topic name.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareGroupHeartbeatRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareGroupHeartbeatRequest, DecodeError> {
        crate::error::check_decode_version("ShareGroupHeartbeatRequest", version, 1, 1)?;
        let mut m = ShareGroupHeartbeatRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.member_id = r.string(true, "member_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.subscribed_topic_names = r.nullable_array(true, true, 1, "subscribed_topic_names", 0, |r, _| {
            r.string(true, "subscribed_topic_names")
        })?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupHeartbeatRequest", version, 1, 1)?;
        w.string(true, &self.group_id, "group_id")?;
        w.string(true, &self.member_id, "member_id")?;
        w.i32(self.member_epoch);
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.nullable_array_len(
            true,
            self.subscribed_topic_names.as_ref().map(Vec::len),
            true,
            "subscribed_topic_names",
        )?;
        for v in self.subscribed_topic_names.iter().flatten() {
            w.string(true, v, "subscribed_topic_names")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
