//! Kafka's record `RegisterBrokerRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `RegisterBrokerRecord`, versions 0 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterBrokerRecord {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `IsMigratingZkBroker`, versions 2 to 4.
    pub is_migrating_zk_broker: bool,
    /// `IncarnationId`.
    pub incarnation_id: Uuid,
    /// `BrokerEpoch`.
    pub broker_epoch: i64,
    /// `EndPoints`.
    pub end_points: Vec<BrokerEndpoint>,
    /// `Features`.
    pub features: Vec<BrokerFeature>,
    /// `Rack`, may be null.
    pub rack: Option<String>,
    /// `Fenced`.
    pub fenced: bool,
    /// `InControlledShutdown`, versions 1 to 4.
    pub in_controlled_shutdown: bool,
    /// `LogDirs`, versions 3 to 4, tag 0.
    pub log_dirs: Vec<Uuid>,
    /// `CordonedLogDirs`, version 4, may be null, tag 1.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for RegisterBrokerRecord {
    fn default() -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: 0,
            is_migrating_zk_broker: false,
            incarnation_id: Uuid::ZERO,
            broker_epoch: 0,
            end_points: Vec::new(),
            features: Vec::new(),
            rack: Some(String::new()),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl RegisterBrokerRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RegisterBrokerRecord, DecodeError> {
        crate::error::check_decode_version("RegisterBrokerRecord", version, 0, 4)?;
        let mut m = RegisterBrokerRecord::default();
        m.broker_id = r.i32("broker_id")?;
        if version >= 2 {
            m.is_migrating_zk_broker = r.bool("is_migrating_zk_broker")?;
        }
        m.incarnation_id = r.uuid("incarnation_id")?;
        m.broker_epoch = r.i64("broker_epoch")?;
        m.end_points = r.array(true, 7, "end_points", version, BrokerEndpoint::decode)?;
        m.features = r.array(true, 6, "features", version, BrokerFeature::decode)?;
        m.rack = r.nullable_string(true, true, "rack")?;
        m.fenced = r.bool("fenced")?;
        if version >= 1 {
            m.in_controlled_shutdown = r.bool("in_controlled_shutdown")?;
        }
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 if version >= 3 => {
                    m.log_dirs = r.array(true, 16, "log_dirs", 0, |r, _| r.uuid("log_dirs"))?
                }
                1 if version == 4 => {
                    m.cordoned_log_dirs =
                        r.nullable_array(true, true, 16, "cordoned_log_dirs", 0, |r, _| {
                            r.uuid("cordoned_log_dirs")
                        })?
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RegisterBrokerRecord", version, 0, 4)?;
        w.i32(self.broker_id);
        if version >= 2 {
            w.bool(self.is_migrating_zk_broker);
        } else if self.is_migrating_zk_broker {
            return Err(EncodeError::absent("is_migrating_zk_broker", version));
        }
        w.uuid(self.incarnation_id);
        w.i64(self.broker_epoch);
        w.array_len(true, self.end_points.len(), "end_points")?;
        for v in &self.end_points {
            v.encode(w, version)?;
        }
        w.array_len(true, self.features.len(), "features")?;
        for v in &self.features {
            v.encode(w, version)?;
        }
        w.nullable_string(true, self.rack.as_deref(), true, "rack")?;
        w.bool(self.fenced);
        if version >= 1 {
            w.bool(self.in_controlled_shutdown);
        } else if self.in_controlled_shutdown {
            return Err(EncodeError::absent("in_controlled_shutdown", version));
        }
        let mut tags = crate::tagged::TagSet::new();
        if version >= 3 && !self.log_dirs.is_empty() {
            tags.add(0, |w| {
                w.array_len(true, self.log_dirs.len(), "log_dirs")?;
                for v in &self.log_dirs {
                    w.uuid(*v);
                }
                Ok(())
            })?;
        }
        if version == 4 && self.cordoned_log_dirs.is_some() {
            tags.add(1, |w| {
                w.nullable_array_len(
                    true,
                    self.cordoned_log_dirs.as_ref().map(Vec::len),
                    true,
                    "cordoned_log_dirs",
                )?;
                for v in self.cordoned_log_dirs.iter().flatten() {
                    w.uuid(*v);
                }
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        if version < 3 && !self.log_dirs.is_empty() {
            return Err(EncodeError::absent("log_dirs", version));
        }
        if version != 4 && self.cordoned_log_dirs.is_some() {
            return Err(EncodeError::absent("cordoned_log_dirs", version));
        }
        Ok(())
    }
}

/// `BrokerEndpoint` of [`RegisterBrokerRecord`], versions 0 to 4.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct BrokerEndpoint {
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

impl BrokerEndpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<BrokerEndpoint, DecodeError> {
        let mut m = BrokerEndpoint::default();
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

/// `BrokerFeature` of [`RegisterBrokerRecord`], versions 0 to 4.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct BrokerFeature {
    /// `Name`.
    pub name: String,
    /// `MinSupportedVersion`.
    pub min_supported_version: i16,
    /// `MaxSupportedVersion`.
    pub max_supported_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl BrokerFeature {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<BrokerFeature, DecodeError> {
        let mut m = BrokerFeature::default();
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
