//! Kafka's request `ListConfigResourcesRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListConfigResourcesRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListConfigResourcesRequest {
    /// `ResourceTypes`, version 1.
    pub resource_types: Vec<i8>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListConfigResourcesRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListConfigResourcesRequest, DecodeError> {
        crate::error::check_decode_version("ListConfigResourcesRequest", version, 0, 1)?;
        let mut m = ListConfigResourcesRequest::default();
        if version == 1 {
            m.resource_types = r.array(true, 1, "resource_types", 0, |r, _| r.i8("resource_types"))?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListConfigResourcesRequest", version, 0, 1)?;
        if version == 1 {
            w.array_len(true, self.resource_types.len(), "resource_types")?;
            for v in &self.resource_types {
                w.i8(*v);
            }
        } else if !self.resource_types.is_empty() {
            return Err(EncodeError::absent("resource_types", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
