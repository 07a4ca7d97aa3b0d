//! Kafka's record `StreamsGroupMemberMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupMemberMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupMemberMetadataValue {
    /// `InstanceId`, may be null.
    pub instance_id: Option<String>,
    /// `RackId`, may be null.
    pub rack_id: Option<String>,
    /// `ClientId`.
    pub client_id: String,
    /// `ClientHost`.
    pub client_host: String,
    /// `RebalanceTimeoutMs`.
    pub rebalance_timeout_ms: i32,
    /// `TopologyEpoch`.
    pub topology_epoch: i32,
    /// `ProcessId`.
    pub process_id: String,
    /// `UserEndpoint`, may be null.
    pub user_endpoint: Option<Endpoint>,
    /// `ClientTags`.
    pub client_tags: Vec<KeyValue>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for StreamsGroupMemberMetadataValue {
    fn default() -> StreamsGroupMemberMetadataValue {
        StreamsGroupMemberMetadataValue {
            instance_id: Some(String::new()),
            rack_id: Some(String::new()),
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topology_epoch: 0,
            process_id: String::new(),
            user_endpoint: None,
            client_tags: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl StreamsGroupMemberMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<StreamsGroupMemberMetadataValue, DecodeError> {
        crate::error::check_decode_version("StreamsGroupMemberMetadataValue", version, 0, 0)?;
        let mut m = StreamsGroupMemberMetadataValue::default();
        m.instance_id = r.nullable_string(true, true, "instance_id")?;
        m.rack_id = r.nullable_string(true, true, "rack_id")?;
        m.client_id = r.string(true, "client_id")?;
        m.client_host = r.string(true, "client_host")?;
        m.rebalance_timeout_ms = r.i32("rebalance_timeout_ms")?;
        m.topology_epoch = r.i32("topology_epoch")?;
        m.process_id = r.string(true, "process_id")?;
        m.user_endpoint =
            if r.is_present("user_endpoint")? { Some(Endpoint::decode(r, version)?) } else { None };
        m.client_tags = r.array(true, 3, "client_tags", version, KeyValue::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupMemberMetadataValue", version, 0, 0)?;
        w.nullable_string(true, self.instance_id.as_deref(), true, "instance_id")?;
        w.nullable_string(true, self.rack_id.as_deref(), true, "rack_id")?;
        w.string(true, &self.client_id, "client_id")?;
        w.string(true, &self.client_host, "client_host")?;
        w.i32(self.rebalance_timeout_ms);
        w.i32(self.topology_epoch);
        w.string(true, &self.process_id, "process_id")?;
        w.presence(self.user_endpoint.is_some());
        if let Some(v) = &self.user_endpoint {
            v.encode(w, version)?;
        }
        w.array_len(true, self.client_tags.len(), "client_tags")?;
        for v in &self.client_tags {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Endpoint` of [`StreamsGroupMemberMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Endpoint {
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
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `KeyValue` of [`StreamsGroupMemberMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct KeyValue {
    /// `Key`.
    pub key: String,
    /// `Value`.
    pub value: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl KeyValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<KeyValue, DecodeError> {
        let mut m = KeyValue::default();
        m.key = r.string(true, "key")?;
        m.value = r.string(true, "value")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.key, "key")?;
        w.string(true, &self.value, "value")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
