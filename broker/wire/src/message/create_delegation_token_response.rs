//! Kafka's response `CreateDelegationTokenResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `CreateDelegationTokenResponse`, versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreateDelegationTokenResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `PrincipalType`.
    pub principal_type: String,
    /// `PrincipalName`.
    pub principal_name: String,
    /// `TokenRequesterPrincipalType`, version 3.
    pub token_requester_principal_type: String,
    /// `TokenRequesterPrincipalName`, version 3.
    pub token_requester_principal_name: String,
    /// `IssueTimestampMs`.
    pub issue_timestamp_ms: i64,
    /// `ExpiryTimestampMs`.
    pub expiry_timestamp_ms: i64,
    /// `MaxTimestampMs`.
    pub max_timestamp_ms: i64,
    /// `TokenId`.
    pub token_id: String,
    /// `Hmac`.
    pub hmac: Bytes,
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreateDelegationTokenResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreateDelegationTokenResponse, DecodeError> {
        crate::error::check_decode_version("CreateDelegationTokenResponse", version, 1, 3)?;
        let flexible = version >= 2;
        let mut m = CreateDelegationTokenResponse::default();
        m.error_code = r.i16("error_code")?;
        m.principal_type = r.string(flexible, "principal_type")?;
        m.principal_name = r.string(flexible, "principal_name")?;
        if version == 3 {
            m.token_requester_principal_type = r.string(true, "token_requester_principal_type")?;
        }
        if version == 3 {
            m.token_requester_principal_name = r.string(true, "token_requester_principal_name")?;
        }
        m.issue_timestamp_ms = r.i64("issue_timestamp_ms")?;
        m.expiry_timestamp_ms = r.i64("expiry_timestamp_ms")?;
        m.max_timestamp_ms = r.i64("max_timestamp_ms")?;
        m.token_id = r.string(flexible, "token_id")?;
        m.hmac = r.bytes(flexible, "hmac")?;
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("CreateDelegationTokenResponse", version, 1, 3)?;
        let flexible = version >= 2;
        w.i16(self.error_code);
        w.string(flexible, &self.principal_type, "principal_type")?;
        w.string(flexible, &self.principal_name, "principal_name")?;
        if version == 3 {
            w.string(true, &self.token_requester_principal_type, "token_requester_principal_type")?;
        } else if !self.token_requester_principal_type.is_empty() {
            return Err(EncodeError::absent("token_requester_principal_type", version));
        }
        if version == 3 {
            w.string(true, &self.token_requester_principal_name, "token_requester_principal_name")?;
        } else if !self.token_requester_principal_name.is_empty() {
            return Err(EncodeError::absent("token_requester_principal_name", version));
        }
        w.i64(self.issue_timestamp_ms);
        w.i64(self.expiry_timestamp_ms);
        w.i64(self.max_timestamp_ms);
        w.string(flexible, &self.token_id, "token_id")?;
        w.bytes(flexible, &self.hmac, "hmac")?;
        w.i32(self.throttle_time_ms);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
