//! Kafka's record `RegisterControllerRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `RegisterControllerRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RegisterControllerRecord {
    /// `ControllerId`.
    pub controller_id: i32,
    /// `IncarnationId`.
    pub incarnation_id: Uuid,
    /// `ZkMigrationReady`.
    pub zk_migration_ready: bool,
    /// `EndPoints`.
    pub end_points: Vec<ControllerEndpoint>,
    /// `Features`.
    pub features: Vec<ControllerFeature>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl RegisterControllerRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RegisterControllerRecord, DecodeError> {
        crate::error::check_decode_version("RegisterControllerRecord", version, 0, 0)?;
        let mut m = RegisterControllerRecord::default();
        m.controller_id = r.i32("controller_id")?;
        m.incarnation_id = r.uuid("incarnation_id")?;
        m.zk_migration_ready = r.bool("zk_migration_ready")?;
        m.end_points = r.array(true, 7, "end_points", version, ControllerEndpoint::decode)?;
        m.features = r.array(true, 6, "features", version, ControllerFeature::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RegisterControllerRecord", version, 0, 0)?;
        w.i32(self.controller_id);
        w.uuid(self.incarnation_id);
        w.bool(self.zk_migration_ready);
        w.array_len(true, self.end_points.len(), "end_points")?;
        for v in &self.end_points {
            v.encode(w, version)?;
        }
        w.array_len(true, self.features.len(), "features")?;
        for v in &self.features {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ControllerEndpoint` of [`RegisterControllerRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ControllerEndpoint {
    /// `Name`.
    pub name: String,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// `SecurityProtocol`.
    pub security_protocol: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ControllerEndpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ControllerEndpoint, DecodeError> {
        let mut m = ControllerEndpoint::default();
        m.name = r.string(true, "name")?;
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.security_protocol = r.i16("security_protocol")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.i16(self.security_protocol);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ControllerFeature` of [`RegisterControllerRecord`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ControllerFeature {
    /// `Name`.
    pub name: String,
    /// `MinSupportedVersion`.
    pub min_supported_version: i16,
    /// `MaxSupportedVersion`.
    pub max_supported_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ControllerFeature {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ControllerFeature, DecodeError> {
        let mut m = ControllerFeature::default();
        m.name = r.string(true, "name")?;
        m.min_supported_version = r.i16("min_supported_version")?;
        m.max_supported_version = r.i16("max_supported_version")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i16(self.min_supported_version);
        w.i16(self.max_supported_version);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
