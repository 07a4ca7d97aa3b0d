//! Kafka's response `DescribeConfigsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeConfigsResponse`, versions 1 to 4.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeConfigsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `Results`.
    pub results: Vec<DescribeConfigsResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeConfigsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeConfigsResponse, DecodeError> {
        crate::error::check_decode_version("DescribeConfigsResponse", version, 1, 4)?;
        let flexible = version == 4;
        let mut m = DescribeConfigsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.results = r.array(flexible, 7, "results", version, DescribeConfigsResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeConfigsResponse", version, 1, 4)?;
        let flexible = version == 4;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.results.len(), "results")?;
        for v in &self.results {
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

/// `DescribeConfigsResult` of [`DescribeConfigsResponse`], versions 1 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsResult {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `ResourceType`.
    pub resource_type: i8,
    /// `ResourceName`.
    pub resource_name: String,
    /// `Configs`.
    pub configs: Vec<DescribeConfigsResourceResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeConfigsResult {
    fn default() -> DescribeConfigsResult {
        DescribeConfigsResult {
            error_code: 0,
            error_message: Some(String::new()),
            resource_type: 0,
            resource_name: String::new(),
            configs: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeConfigsResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeConfigsResult, DecodeError> {
        let flexible = version == 4;
        let mut m = DescribeConfigsResult::default();
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(flexible, "resource_name")?;
        m.configs = r.array(flexible, 9, "configs", version, DescribeConfigsResourceResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 4;
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        w.i8(self.resource_type);
        w.string(flexible, &self.resource_name, "resource_name")?;
        w.array_len(flexible, self.configs.len(), "configs")?;
        for v in &self.configs {
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

/// `DescribeConfigsResourceResult` of [`DescribeConfigsResponse`], versions 1 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsResourceResult {
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
    /// `Synonyms`, ignorable.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// `ConfigType`, versions 3 to 4, ignorable.
    pub config_type: i8,
    /// `Documentation`, versions 3 to 4, may be null, ignorable.
    pub documentation: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeConfigsResourceResult {
    fn default() -> DescribeConfigsResourceResult {
        DescribeConfigsResourceResult {
            name: String::new(),
            value: Some(String::new()),
            read_only: false,
            config_source: -1,
            is_sensitive: false,
            synonyms: Vec::new(),
            config_type: 0,
            documentation: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeConfigsResourceResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeConfigsResourceResult, DecodeError> {
        let flexible = version == 4;
        let mut m = DescribeConfigsResourceResult::default();
        m.name = r.string(flexible, "name")?;
        m.value = r.nullable_string(flexible, true, "value")?;
        m.read_only = r.bool("read_only")?;
        m.config_source = r.i8("config_source")?;
        m.is_sensitive = r.bool("is_sensitive")?;
        m.synonyms = r.array(flexible, 4, "synonyms", version, DescribeConfigsSynonym::decode)?;
        if version >= 3 {
            m.config_type = r.i8("config_type")?;
        }
        if version >= 3 {
            m.documentation = r.nullable_string(flexible, true, "documentation")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 4;
        w.string(flexible, &self.name, "name")?;
        w.nullable_string(flexible, self.value.as_deref(), true, "value")?;
        w.bool(self.read_only);
        w.i8(self.config_source);
        w.bool(self.is_sensitive);
        w.array_len(flexible, self.synonyms.len(), "synonyms")?;
        for v in &self.synonyms {
            v.encode(w, version)?;
        }
        if version >= 3 {
            w.i8(self.config_type);
        }
        if version >= 3 {
            w.nullable_string(flexible, self.documentation.as_deref(), true, "documentation")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribeConfigsSynonym` of [`DescribeConfigsResponse`], versions 1 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsSynonym {
    /// `Name`.
    pub name: String,
    /// `Value`, may be null.
    pub value: Option<String>,
    /// `Source`.
    pub source: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeConfigsSynonym {
    fn default() -> DescribeConfigsSynonym {
        DescribeConfigsSynonym {
            name: String::new(),
            value: Some(String::new()),
            source: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeConfigsSynonym {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeConfigsSynonym, DecodeError> {
        let flexible = version == 4;
        let mut m = DescribeConfigsSynonym::default();
        m.name = r.string(flexible, "name")?;
        m.value = r.nullable_string(flexible, true, "value")?;
        m.source = r.i8("source")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 4;
        w.string(flexible, &self.name, "name")?;
        w.nullable_string(flexible, self.value.as_deref(), true, "value")?;
        w.i8(self.source);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
