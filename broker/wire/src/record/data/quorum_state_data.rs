//! Kafka's record `QuorumStateData`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `QuorumStateData`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumStateData {
    /// `ClusterId`, version 0.
    pub cluster_id: String,
    /// `LeaderId`.
    pub leader_id: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `VotedId`.
    pub voted_id: i32,
    /// `VotedDirectoryId`, version 1.
    pub voted_directory_id: Uuid,
    /// `AppliedOffset`, version 0.
    pub applied_offset: i64,
    /// `CurrentVoters`, version 0, may be null.
    pub current_voters: Option<Vec<Voter>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for QuorumStateData {
    fn default() -> QuorumStateData {
        QuorumStateData {
            cluster_id: String::new(),
            leader_id: -1,
            leader_epoch: -1,
            voted_id: -1,
            voted_directory_id: Uuid::ZERO,
            applied_offset: 0,
            current_voters: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl QuorumStateData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<QuorumStateData, DecodeError> {
        crate::error::check_decode_version("QuorumStateData", version, 0, 1)?;
        let mut m = QuorumStateData::default();
        if version == 0 {
            m.cluster_id = r.string(true, "cluster_id")?;
        }
        m.leader_id = r.i32("leader_id")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.voted_id = r.i32("voted_id")?;
        if version == 1 {
            m.voted_directory_id = r.uuid("voted_directory_id")?;
        }
        if version == 0 {
            m.applied_offset = r.i64("applied_offset")?;
        }
        if version == 0 {
            m.current_voters = r.nullable_array(true, true, 5, "current_voters", version, Voter::decode)?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("QuorumStateData", version, 0, 1)?;
        if version == 0 {
            w.string(true, &self.cluster_id, "cluster_id")?;
        } else if !self.cluster_id.is_empty() {
            return Err(EncodeError::absent("cluster_id", version));
        }
        w.i32(self.leader_id);
        w.i32(self.leader_epoch);
        w.i32(self.voted_id);
        if version == 1 {
            w.uuid(self.voted_directory_id);
        } else if self.voted_directory_id != Uuid::ZERO {
            return Err(EncodeError::absent("voted_directory_id", version));
        }
        if version == 0 {
            w.i64(self.applied_offset);
        } else if self.applied_offset != 0 {
            return Err(EncodeError::absent("applied_offset", version));
        }
        if version == 0 {
            w.nullable_array_len(true, self.current_voters.as_ref().map(Vec::len), true, "current_voters")?;
            for v in self.current_voters.iter().flatten() {
                v.encode(w, version)?;
            }
        } else if self.current_voters.as_ref().is_none_or(|v| !v.is_empty()) {
            return Err(EncodeError::absent("current_voters", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Voter` of [`QuorumStateData`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Voter {
    /// `VoterId`.
    pub voter_id: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Voter {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Voter, DecodeError> {
        let mut m = Voter::default();
        m.voter_id = r.i32("voter_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.voter_id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
