//! Kafka's response `DescribeUserScramCredentialsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeUserScramCredentialsResponse`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeUserScramCredentialsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `Results`.
    pub results: Vec<DescribeUserScramCredentialsResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeUserScramCredentialsResponse {
    fn default() -> DescribeUserScramCredentialsResponse {
        DescribeUserScramCredentialsResponse {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(String::new()),
            results: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeUserScramCredentialsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeUserScramCredentialsResponse, DecodeError> {
        crate::error::check_decode_version("DescribeUserScramCredentialsResponse", version, 0, 0)?;
        let mut m = DescribeUserScramCredentialsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.results = r.array(true, 6, "results", version, DescribeUserScramCredentialsResult::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeUserScramCredentialsResponse", version, 0, 0)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.array_len(true, self.results.len(), "results")?;
        for v in &self.results {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribeUserScramCredentialsResult` of [`DescribeUserScramCredentialsResponse`], version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeUserScramCredentialsResult {
    /// `User`.
    pub user: String,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `CredentialInfos`.
    pub credential_infos: Vec<CredentialInfo>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeUserScramCredentialsResult {
    fn default() -> DescribeUserScramCredentialsResult {
        DescribeUserScramCredentialsResult {
            user: String::new(),
            error_code: 0,
            error_message: Some(String::new()),
            credential_infos: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeUserScramCredentialsResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeUserScramCredentialsResult, DecodeError> {
        let mut m = DescribeUserScramCredentialsResult::default();
        m.user = r.string(true, "user")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.credential_infos = r.array(true, 6, "credential_infos", version, CredentialInfo::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.user, "user")?;
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.array_len(true, self.credential_infos.len(), "credential_infos")?;
        for v in &self.credential_infos {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `CredentialInfo` of [`DescribeUserScramCredentialsResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CredentialInfo {
    /// `Mechanism`.
    pub mechanism: i8,
    /// `Iterations`.
    pub iterations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CredentialInfo {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<CredentialInfo, DecodeError> {
        let mut m = CredentialInfo::default();
        m.mechanism = r.i8("mechanism")?;
        m.iterations = r.i32("iterations")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i8(self.mechanism);
        w.i32(self.iterations);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
