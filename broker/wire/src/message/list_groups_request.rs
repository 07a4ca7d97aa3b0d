//! Kafka's request `ListGroupsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListGroupsRequest`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListGroupsRequest {
    /// `StatesFilter`, versions 4 to 5.
    pub states_filter: Vec<String>,
    /// `TypesFilter`, version 5.
    pub types_filter: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListGroupsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListGroupsRequest, DecodeError> {
        crate::error::check_decode_version("ListGroupsRequest", version, 0, 5)?;
        let flexible = version >= 3;
        let mut m = ListGroupsRequest::default();
        if version >= 4 {
            m.states_filter = r.array(true, 1, "states_filter", 0, |r, _| r.string(true, "states_filter"))?;
        }
        if version == 5 {
            m.types_filter = r.array(true, 1, "types_filter", 0, |r, _| r.string(true, "types_filter"))?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListGroupsRequest", version, 0, 5)?;
        let flexible = version >= 3;
        if version >= 4 {
            w.array_len(true, self.states_filter.len(), "states_filter")?;
            for v in &self.states_filter {
                w.string(true, v, "states_filter")?;
            }
        } else if !self.states_filter.is_empty() {
            return Err(EncodeError::absent("states_filter", version));
        }
        if version == 5 {
            w.array_len(true, self.types_filter.len(), "types_filter")?;
            for v in &self.types_filter {
                w.string(true, v, "types_filter")?;
            }
        } else if !self.types_filter.is_empty() {
            return Err(EncodeError::absent("types_filter", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
