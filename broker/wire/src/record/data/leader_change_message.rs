//! Kafka's record `LeaderChangeMessage`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `LeaderChangeMessage`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaderChangeMessage {
    /// `Version`.
    pub version: i16,
    /// `LeaderId`; a broker id.
    pub leader_id: i32,
    /// `Voters`.
    pub voters: Vec<Voter>,
    /// `GrantingVoters`.
    pub granting_voters: Vec<Voter>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LeaderChangeMessage {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<LeaderChangeMessage, DecodeError> {
        crate::error::check_decode_version("LeaderChangeMessage", version, 0, 1)?;
        let mut m = LeaderChangeMessage::default();
        m.version = r.i16("version")?;
        m.leader_id = r.i32("leader_id")?;
        m.voters = r.array(true, 5, "voters", version, Voter::decode)?;
        m.granting_voters = r.array(true, 5, "granting_voters", version, Voter::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("LeaderChangeMessage", version, 0, 1)?;
        w.i16(self.version);
        w.i32(self.leader_id);
        w.array_len(true, self.voters.len(), "voters")?;
        for v in &self.voters {
            v.encode(w, version)?;
        }
        w.array_len(true, self.granting_voters.len(), "granting_voters")?;
        for v in &self.granting_voters {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Voter` of [`LeaderChangeMessage`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Voter {
    /// `VoterId`.
    pub voter_id: i32,
    /// `VoterDirectoryId`, version 1.
    pub voter_directory_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Voter {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Voter, DecodeError> {
        let mut m = Voter::default();
        m.voter_id = r.i32("voter_id")?;
        if version == 1 {
            m.voter_directory_id = r.uuid("voter_directory_id")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.voter_id);
        if version == 1 {
            w.uuid(self.voter_directory_id);
        } else if self.voter_directory_id != Uuid::ZERO {
            return Err(EncodeError::absent("voter_directory_id", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
