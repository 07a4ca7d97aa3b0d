//! Kafka's request `BrokerRegistrationRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `BrokerRegistrationRequest`, versions 0 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerRegistrationRequest {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `ClusterId`.
    pub cluster_id: String,
    /// `IncarnationId`.
    pub incarnation_id: Uuid,
    /// `Listeners`.
    pub listeners: Vec<Listener>,
    /// `Features`.
    pub features: Vec<Feature>,
    /// `Rack`, may be null.
    pub rack: Option<String>,
    /// `IsMigratingZkBroker`, versions 1 to 4.
    pub is_migrating_zk_broker: bool,
    /// `LogDirs`, versions 2 to 4, ignorable.
    pub log_dirs: Vec<Uuid>,
    /// `PreviousBrokerEpoch`, versions 3 to 4, ignorable.
    pub previous_broker_epoch: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for BrokerRegistrationRequest {
    fn default() -> BrokerRegistrationRequest {
        BrokerRegistrationRequest {
            broker_id: 0,
            cluster_id: String::new(),
            incarnation_id: Uuid::ZERO,
            listeners: Vec::new(),
            features: Vec::new(),
            rack: Some(String::new()),
            is_migrating_zk_broker: false,
            log_dirs: Vec::new(),
            previous_broker_epoch: -1,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl BrokerRegistrationRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<BrokerRegistrationRequest, DecodeError> {
        crate::error::check_decode_version("BrokerRegistrationRequest", version, 0, 4)?;
        let mut m = BrokerRegistrationRequest::default();
        m.broker_id = r.i32("broker_id")?;
        m.cluster_id = r.string(true, "cluster_id")?;
        m.incarnation_id = r.uuid("incarnation_id")?;
        m.listeners = r.array(true, 7, "listeners", version, Listener::decode)?;
        m.features = r.array(true, 6, "features", version, Feature::decode)?;
        m.rack = r.nullable_string(true, true, "rack")?;
        if version >= 1 {
            m.is_migrating_zk_broker = r.bool("is_migrating_zk_broker")?;
        }
        if version >= 2 {
            m.log_dirs = r.array(true, 16, "log_dirs", 0, |r, _| r.uuid("log_dirs"))?;
        }
        if version >= 3 {
            m.previous_broker_epoch = r.i64("previous_broker_epoch")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("BrokerRegistrationRequest", version, 0, 4)?;
        w.i32(self.broker_id);
        w.string(true, &self.cluster_id, "cluster_id")?;
        w.uuid(self.incarnation_id);
        w.array_len(true, self.listeners.len(), "listeners")?;
        for v in &self.listeners {
            v.encode(w, version)?;
        }
        w.array_len(true, self.features.len(), "features")?;
        for v in &self.features {
            v.encode(w, version)?;
        }
        w.nullable_string(true, self.rack.as_deref(), true, "rack")?;
        if version >= 1 {
            w.bool(self.is_migrating_zk_broker);
        } else if self.is_migrating_zk_broker {
            return Err(EncodeError::absent("is_migrating_zk_broker", version));
        }
        if version >= 2 {
            w.array_len(true, self.log_dirs.len(), "log_dirs")?;
            for v in &self.log_dirs {
                w.uuid(*v);
            }
        }
        if version >= 3 {
            w.i64(self.previous_broker_epoch);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Listener` of [`BrokerRegistrationRequest`], versions 0 to 4.
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

/// `Feature` of [`BrokerRegistrationRequest`], versions 0 to 4.
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
