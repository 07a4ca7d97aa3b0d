//! Kafka's request `ApiVersionsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ApiVersionsRequest`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiVersionsRequest {
    /// `ClientSoftwareName`, versions 3 to 5, ignorable.
    pub client_software_name: String,
    /// `ClientSoftwareVersion`, versions 3 to 5, ignorable.
    pub client_software_version: String,
    /// `ClusterId`, version 5, may be null, ignorable.
    pub cluster_id: Option<String>,
    /// `NodeId`, version 5, ignorable.
    pub node_id: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ApiVersionsRequest {
    fn default() -> ApiVersionsRequest {
        ApiVersionsRequest {
            client_software_name: String::new(),
            client_software_version: String::new(),
            cluster_id: None,
            node_id: -1,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ApiVersionsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ApiVersionsRequest, DecodeError> {
        crate::error::check_decode_version("ApiVersionsRequest", version, 0, 5)?;
        let flexible = version >= 3;
        let mut m = ApiVersionsRequest::default();
        if version >= 3 {
            m.client_software_name = r.string(true, "client_software_name")?;
        }
        if version >= 3 {
            m.client_software_version = r.string(true, "client_software_version")?;
        }
        if version == 5 {
            m.cluster_id = r.nullable_string(true, true, "cluster_id")?;
        }
        if version == 5 {
            m.node_id = r.i32("node_id")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ApiVersionsRequest", version, 0, 5)?;
        let flexible = version >= 3;
        if version >= 3 {
            w.string(true, &self.client_software_name, "client_software_name")?;
        }
        if version >= 3 {
            w.string(true, &self.client_software_version, "client_software_version")?;
        }
        if version == 5 {
            w.nullable_string(true, self.cluster_id.as_deref(), true, "cluster_id")?;
        }
        if version == 5 {
            w.i32(self.node_id);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
