//! Kafka's response `CreateTopicsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `CreateTopicsResponse`, versions 2 to 7.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreateTopicsResponse {
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `Topics`.
    pub topics: Vec<CreatableTopicResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreateTopicsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreateTopicsResponse, DecodeError> {
        crate::error::check_decode_version("CreateTopicsResponse", version, 2, 7)?;
        let flexible = version >= 5;
        let mut m = CreateTopicsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.topics = r.array(flexible, 6, "topics", version, CreatableTopicResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("CreateTopicsResponse", version, 2, 7)?;
        let flexible = version >= 5;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `CreatableTopicResult` of [`CreateTopicsResponse`], versions 2 to 7.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatableTopicResult {
    /// `Name`; a topic name.
    pub name: String,
    /// `TopicId`, version 7, ignorable.
    pub topic_id: Uuid,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null, ignorable.
    pub error_message: Option<String>,
    /// `TopicConfigErrorCode`, versions 5 to 7, tag 0, ignorable.
    pub topic_config_error_code: i16,
    /// `NumPartitions`, versions 5 to 7, ignorable.
    pub num_partitions: i32,
    /// `ReplicationFactor`, versions 5 to 7, ignorable.
    pub replication_factor: i16,
    /// `Configs`, versions 5 to 7, may be null, ignorable.
    pub configs: Option<Vec<CreatableTopicConfigs>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for CreatableTopicResult {
    fn default() -> CreatableTopicResult {
        CreatableTopicResult {
            name: String::new(),
            topic_id: Uuid::ZERO,
            error_code: 0,
            error_message: Some(String::new()),
            topic_config_error_code: 0,
            num_partitions: -1,
            replication_factor: -1,
            configs: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl CreatableTopicResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatableTopicResult, DecodeError> {
        let flexible = version >= 5;
        let mut m = CreatableTopicResult::default();
        m.name = r.string(flexible, "name")?;
        if version == 7 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        if version >= 5 {
            m.num_partitions = r.i32("num_partitions")?;
        }
        if version >= 5 {
            m.replication_factor = r.i16("replication_factor")?;
        }
        if version >= 5 {
            m.configs = r.nullable_array(true, true, 6, "configs", version, CreatableTopicConfigs::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 => m.topic_config_error_code = r.i16("topic_config_error_code")?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 5;
        w.string(flexible, &self.name, "name")?;
        if version == 7 {
            w.uuid(self.topic_id);
        }
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        if version >= 5 {
            w.i32(self.num_partitions);
        }
        if version >= 5 {
            w.i16(self.replication_factor);
        }
        if version >= 5 {
            w.nullable_array_len(true, self.configs.as_ref().map(Vec::len), true, "configs")?;
            for v in self.configs.iter().flatten() {
                v.encode(w, version)?;
            }
        }
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if self.topic_config_error_code != 0 {
                tags.add(0, |w| {
                    w.i16(self.topic_config_error_code);
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `CreatableTopicConfigs` of [`CreateTopicsResponse`], versions 5 to 7.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatableTopicConfigs {
    /// `Name`.
    pub name: String,
    /// `Value`, may be null.
    pub value: Option<String>,
    /// `ReadOnly`.
    pub read_only: bool,
    /// `ConfigSource`, ignorable.
    pub config_source: i8,
    /// `IsSensitive`.
    pub is_sensitive: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for CreatableTopicConfigs {
    fn default() -> CreatableTopicConfigs {
        CreatableTopicConfigs {
            name: String::new(),
            value: Some(String::new()),
            read_only: false,
            config_source: -1,
            is_sensitive: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl CreatableTopicConfigs {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<CreatableTopicConfigs, DecodeError> {
        let mut m = CreatableTopicConfigs::default();
        m.name = r.string(true, "name")?;
        m.value = r.nullable_string(true, true, "value")?;
        m.read_only = r.bool("read_only")?;
        m.config_source = r.i8("config_source")?;
        m.is_sensitive = r.bool("is_sensitive")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.nullable_string(true, self.value.as_deref(), true, "value")?;
        w.bool(self.read_only);
        w.i8(self.config_source);
        w.bool(self.is_sensitive);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
