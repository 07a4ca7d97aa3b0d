//! Kafka's request `DeleteGroupsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DeleteGroupsRequest`, versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteGroupsRequest {
    /// `GroupsNames`; a group id.
    pub groups_names: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteGroupsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteGroupsRequest, DecodeError> {
        crate::error::check_decode_version("DeleteGroupsRequest", version, 0, 3)?;
        let flexible = version >= 2;
        let mut m = DeleteGroupsRequest::default();
        m.groups_names = r.array(flexible, 1, "groups_names", i16::from(flexible), |r, f| {
            r.string(f != 0, "groups_names")
        })?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteGroupsRequest", version, 0, 3)?;
        let flexible = version >= 2;
        w.array_len(flexible, self.groups_names.len(), "groups_names")?;
        for v in &self.groups_names {
            w.string(flexible, v, "groups_names")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
