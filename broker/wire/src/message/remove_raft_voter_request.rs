//! Kafka's request `RemoveRaftVoterRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `RemoveRaftVoterRequest`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoveRaftVoterRequest {
    /// `ClusterId`, may be null.
    pub cluster_id: Option<String>,
    /// `VoterId`.
    pub voter_id: i32,
    /// `VoterDirectoryId`.
    pub voter_directory_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for RemoveRaftVoterRequest {
    fn default() -> RemoveRaftVoterRequest {
        RemoveRaftVoterRequest {
            cluster_id: Some(String::new()),
            voter_id: 0,
            voter_directory_id: Uuid::ZERO,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl RemoveRaftVoterRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RemoveRaftVoterRequest, DecodeError> {
        crate::error::check_decode_version("RemoveRaftVoterRequest", version, 0, 0)?;
        let mut m = RemoveRaftVoterRequest::default();
        m.cluster_id = r.nullable_string(true, true, "cluster_id")?;
        m.voter_id = r.i32("voter_id")?;
        m.voter_directory_id = r.uuid("voter_directory_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RemoveRaftVoterRequest", version, 0, 0)?;
        w.nullable_string(true, self.cluster_id.as_deref(), true, "cluster_id")?;
        w.i32(self.voter_id);
        w.uuid(self.voter_directory_id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
