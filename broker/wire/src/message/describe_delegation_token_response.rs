//! Kafka's response `DescribeDelegationTokenResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `DescribeDelegationTokenResponse`, versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeDelegationTokenResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Tokens`.
    pub tokens: Vec<DescribedDelegationToken>,
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeDelegationTokenResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeDelegationTokenResponse, DecodeError> {
        crate::error::check_decode_version("DescribeDelegationTokenResponse", version, 1, 3)?;
        let flexible = version >= 2;
        let mut m = DescribeDelegationTokenResponse::default();
        m.error_code = r.i16("error_code")?;
        m.tokens = r.array(flexible, 30, "tokens", version, DescribedDelegationToken::decode)?;
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeDelegationTokenResponse", version, 1, 3)?;
        let flexible = version >= 2;
        w.i16(self.error_code);
        w.array_len(flexible, self.tokens.len(), "tokens")?;
        for v in &self.tokens {
            v.encode(w, version)?;
        }
        w.i32(self.throttle_time_ms);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribedDelegationToken` of [`DescribeDelegationTokenResponse`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribedDelegationToken {
    /// `PrincipalType`.
    pub principal_type: String,
    /// `PrincipalName`.
    pub principal_name: String,
    /// `TokenRequesterPrincipalType`, version 3.
    pub token_requester_principal_type: String,
    /// `TokenRequesterPrincipalName`, version 3.
    pub token_requester_principal_name: String,
    /// `IssueTimestamp`.
    pub issue_timestamp: i64,
    /// `ExpiryTimestamp`.
    pub expiry_timestamp: i64,
    /// `MaxTimestamp`.
    pub max_timestamp: i64,
    /// `TokenId`.
    pub token_id: String,
    /// `Hmac`.
    pub hmac: Bytes,
    /// `Renewers`.
    pub renewers: Vec<DescribedDelegationTokenRenewer>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribedDelegationToken {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribedDelegationToken, DecodeError> {
        let flexible = version >= 2;
        let mut m = DescribedDelegationToken::default();
        m.principal_type = r.string(flexible, "principal_type")?;
        m.principal_name = r.string(flexible, "principal_name")?;
        if version == 3 {
            m.token_requester_principal_type = r.string(true, "token_requester_principal_type")?;
        }
        if version == 3 {
            m.token_requester_principal_name = r.string(true, "token_requester_principal_name")?;
        }
        m.issue_timestamp = r.i64("issue_timestamp")?;
        m.expiry_timestamp = r.i64("expiry_timestamp")?;
        m.max_timestamp = r.i64("max_timestamp")?;
        m.token_id = r.string(flexible, "token_id")?;
        m.hmac = r.bytes(flexible, "hmac")?;
        m.renewers = r.array(flexible, 3, "renewers", version, DescribedDelegationTokenRenewer::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
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
        w.i64(self.issue_timestamp);
        w.i64(self.expiry_timestamp);
        w.i64(self.max_timestamp);
        w.string(flexible, &self.token_id, "token_id")?;
        w.bytes(flexible, &self.hmac, "hmac")?;
        w.array_len(flexible, self.renewers.len(), "renewers")?;
        for v in &self.renewers {
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

/// `DescribedDelegationTokenRenewer` of [`DescribeDelegationTokenResponse`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribedDelegationTokenRenewer {
    /// `PrincipalType`.
    pub principal_type: String,
    /// `PrincipalName`.
    pub principal_name: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribedDelegationTokenRenewer {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribedDelegationTokenRenewer, DecodeError> {
        let flexible = version >= 2;
        let mut m = DescribedDelegationTokenRenewer::default();
        m.principal_type = r.string(flexible, "principal_type")?;
        m.principal_name = r.string(flexible, "principal_name")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.string(flexible, &self.principal_type, "principal_type")?;
        w.string(flexible, &self.principal_name, "principal_name")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
