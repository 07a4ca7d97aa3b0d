//! Kafka's request `ControllerRegistrationRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ControllerRegistrationRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ControllerRegistrationRequest {
    /// `ControllerId`.
    pub controller_id: i32,
    /// `IncarnationId`.
    pub incarnation_id: Uuid,
    /// `ZkMigrationReady`.
    pub zk_migration_ready: bool,
    /// `Listeners`.
    pub listeners: Vec<Listener>,
    /// `Features`.
    pub features: Vec<Feature>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ControllerRegistrationRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ControllerRegistrationRequest, DecodeError> {
        crate::error::check_decode_version("ControllerRegistrationRequest", version, 0, 0)?;
        let mut m = ControllerRegistrationRequest::default();
        m.controller_id = r.i32("controller_id")?;
        m.incarnation_id = r.uuid("incarnation_id")?;
        m.zk_migration_ready = r.bool("zk_migration_ready")?;
        m.listeners = r.array(true, 7, "listeners", version, Listener::decode)?;
        m.features = r.array(true, 6, "features", version, Feature::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ControllerRegistrationRequest", version, 0, 0)?;
        w.i32(self.controller_id);
        w.uuid(self.incarnation_id);
        w.bool(self.zk_migration_ready);
        w.array_len(true, self.listeners.len(), "listeners")?;
        for v in &self.listeners {
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

/// `Listener` of [`ControllerRegistrationRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Listener {
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

impl Listener {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Listener, DecodeError> {
        let mut m = Listener::default();
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

/// `Feature` of [`ControllerRegistrationRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Feature {
    /// `Name`.
    pub name: String,
    /// `MinSupportedVersion`.
    pub min_supported_version: i16,
    /// `MaxSupportedVersion`.
    pub max_supported_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Feature {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Feature, DecodeError> {
        let mut m = Feature::default();
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
