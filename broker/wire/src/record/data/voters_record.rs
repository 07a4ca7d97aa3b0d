//! Kafka's record `VotersRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `VotersRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct VotersRecord {
    /// `Version`.
    pub version: i16,
    /// `Voters`.
    pub voters: Vec<Voter>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl VotersRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<VotersRecord, DecodeError> {
        crate::error::check_decode_version("VotersRecord", version, 0, 0)?;
        let mut m = VotersRecord::default();
        m.version = r.i16("version")?;
        m.voters = r.array(true, 27, "voters", version, Voter::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("VotersRecord", version, 0, 0)?;
        w.i16(self.version);
        w.array_len(true, self.voters.len(), "voters")?;
        for v in &self.voters {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Voter` of [`VotersRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Voter {
    /// `VoterId`; a broker id.
    pub voter_id: i32,
    /// `VoterDirectoryId`.
    pub voter_directory_id: Uuid,
    /// `Endpoints`.
    pub endpoints: Vec<Endpoint>,
    /// `KRaftVersionFeature`.
    pub k_raft_version_feature: KRaftVersionFeature,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Voter {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<Voter, DecodeError> {
        let mut m = Voter::default();
        m.voter_id = r.i32("voter_id")?;
        m.voter_directory_id = r.uuid("voter_directory_id")?;
        m.endpoints = r.array(true, 5, "endpoints", version, Endpoint::decode)?;
        m.k_raft_version_feature = KRaftVersionFeature::decode(r, version)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.voter_id);
        w.uuid(self.voter_directory_id);
        w.array_len(true, self.endpoints.len(), "endpoints")?;
        for v in &self.endpoints {
            v.encode(w, version)?;
        }
        self.k_raft_version_feature.encode(w, version)?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Endpoint` of [`VotersRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Endpoint {
    /// `Name`.
    pub name: String,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Endpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Endpoint, DecodeError> {
        let mut m = Endpoint::default();
        m.name = r.string(true, "name")?;
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `KRaftVersionFeature` of [`VotersRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct KRaftVersionFeature {
    /// `MinSupportedVersion`.
    pub min_supported_version: i16,
    /// `MaxSupportedVersion`.
    pub max_supported_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl KRaftVersionFeature {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<KRaftVersionFeature, DecodeError> {
        let mut m = KRaftVersionFeature::default();
        m.min_supported_version = r.i16("min_supported_version")?;
        m.max_supported_version = r.i16("max_supported_version")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i16(self.min_supported_version);
        w.i16(self.max_supported_version);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
