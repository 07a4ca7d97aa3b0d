//! Kafka's request `DescribeGroupsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeGroupsRequest`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeGroupsRequest {
    /// `Groups`; a group id.
    pub groups: Vec<String>,
    /// `IncludeAuthorizedOperations`, versions 3 to 6.
    pub include_authorized_operations: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeGroupsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeGroupsRequest, DecodeError> {
        crate::error::check_decode_version("DescribeGroupsRequest", version, 0, 6)?;
        let flexible = version >= 5;
        let mut m = DescribeGroupsRequest::default();
        m.groups = r.array(flexible, 1, "groups", i16::from(flexible), |r, f| r.string(f != 0, "groups"))?;
        if version >= 3 {
            m.include_authorized_operations = r.bool("include_authorized_operations")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeGroupsRequest", version, 0, 6)?;
        let flexible = version >= 5;
        w.array_len(flexible, self.groups.len(), "groups")?;
        for v in &self.groups {
            w.string(flexible, v, "groups")?;
        }
        if version >= 3 {
            w.bool(self.include_authorized_operations);
        } else if self.include_authorized_operations {
            return Err(EncodeError::absent("include_authorized_operations", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
