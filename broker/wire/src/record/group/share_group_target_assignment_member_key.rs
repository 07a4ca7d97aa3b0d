//! Kafka's record `ShareGroupTargetAssignmentMemberKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `ShareGroupTargetAssignmentMemberKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupTargetAssignmentMemberKey {
    /// `GroupId`.
    pub group_id: String,
    /// `MemberId`.
    pub member_id: String,
}

impl ShareGroupTargetAssignmentMemberKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareGroupTargetAssignmentMemberKey, DecodeError> {
        crate::error::check_decode_version("ShareGroupTargetAssignmentMemberKey", version, 0, 0)?;
        let mut m = ShareGroupTargetAssignmentMemberKey::default();
        m.group_id = r.string(false, "group_id")?;
        m.member_id = r.string(false, "member_id")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupTargetAssignmentMemberKey", version, 0, 0)?;
        w.string(false, &self.group_id, "group_id")?;
        w.string(false, &self.member_id, "member_id")?;
        Ok(())
    }
}
