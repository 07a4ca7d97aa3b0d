//! Kafka's request `UpdateRaftVoterRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `UpdateRaftVoterRequest`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRaftVoterRequest {
    /// `ClusterId`, may be null.
    pub cluster_id: Option<String>,
    /// `CurrentLeaderEpoch`.
    pub current_leader_epoch: i32,
    /// `VoterId`.
    pub voter_id: i32,
    /// `VoterDirectoryId`.
    pub voter_directory_id: Uuid,
    /// `Listeners`.
    pub listeners: Vec<Listener>,
    /// `KRaftVersionFeature`.
    pub k_raft_version_feature: KRaftVersionFeature,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for UpdateRaftVoterRequest {
    fn default() -> UpdateRaftVoterRequest {
        UpdateRaftVoterRequest {
            cluster_id: Some(String::new()),
            current_leader_epoch: 0,
            voter_id: 0,
            voter_directory_id: Uuid::ZERO,
            listeners: Vec::new(),
            k_raft_version_feature: KRaftVersionFeature::default(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl UpdateRaftVoterRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<UpdateRaftVoterRequest, DecodeError> {
        crate::error::check_decode_version("UpdateRaftVoterRequest", version, 0, 0)?;
        let mut m = UpdateRaftVoterRequest::default();
        m.cluster_id = r.nullable_string(true, true, "cluster_id")?;
        m.current_leader_epoch = r.i32("current_leader_epoch")?;
        m.voter_id = r.i32("voter_id")?;
        m.voter_directory_id = r.uuid("voter_directory_id")?;
        m.listeners = r.array(true, 5, "listeners", version, Listener::decode)?;
        m.k_raft_version_feature = KRaftVersionFeature::decode(r, version)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("UpdateRaftVoterRequest", version, 0, 0)?;
        w.nullable_string(true, self.cluster_id.as_deref(), true, "cluster_id")?;
        w.i32(self.current_leader_epoch);
        w.i32(self.voter_id);
        w.uuid(self.voter_directory_id);
        w.array_len(true, self.listeners.len(), "listeners")?;
        for v in &self.listeners {
            v.encode(w, version)?;
        }
        self.k_raft_version_feature.encode(w, version)?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Listener` of [`UpdateRaftVoterRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Listener {
    /// `Name`.
    pub name: String,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Listener {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Listener, DecodeError> {
        let mut m = Listener::default();
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

/// `KRaftVersionFeature` of [`UpdateRaftVoterRequest`], version 0.
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
