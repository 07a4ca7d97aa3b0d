//! Kafka's request `CreateDelegationTokenRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `CreateDelegationTokenRequest`, versions 1 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateDelegationTokenRequest {
    /// `OwnerPrincipalType`, version 3, may be null.
    pub owner_principal_type: Option<String>,
    /// `OwnerPrincipalName`, version 3, may be null.
    pub owner_principal_name: Option<String>,
    /// `Renewers`.
    pub renewers: Vec<CreatableRenewers>,
    /// `MaxLifetimeMs`.
    pub max_lifetime_ms: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for CreateDelegationTokenRequest {
    fn default() -> CreateDelegationTokenRequest {
        CreateDelegationTokenRequest {
            owner_principal_type: Some(String::new()),
            owner_principal_name: Some(String::new()),
            renewers: Vec::new(),
            max_lifetime_ms: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl CreateDelegationTokenRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreateDelegationTokenRequest, DecodeError> {
        crate::error::check_decode_version("CreateDelegationTokenRequest", version, 1, 3)?;
        let flexible = version >= 2;
        let mut m = CreateDelegationTokenRequest::default();
        if version == 3 {
            m.owner_principal_type = r.nullable_string(true, true, "owner_principal_type")?;
        }
        if version == 3 {
            m.owner_principal_name = r.nullable_string(true, true, "owner_principal_name")?;
        }
        m.renewers = r.array(flexible, 3, "renewers", version, CreatableRenewers::decode)?;
        m.max_lifetime_ms = r.i64("max_lifetime_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("CreateDelegationTokenRequest", version, 1, 3)?;
        let flexible = version >= 2;
        if version == 3 {
            w.nullable_string(true, self.owner_principal_type.as_deref(), true, "owner_principal_type")?;
        } else if self.owner_principal_type.as_ref().is_none_or(|v| !v.is_empty()) {
            return Err(EncodeError::absent("owner_principal_type", version));
        }
        if version == 3 {
            w.nullable_string(true, self.owner_principal_name.as_deref(), true, "owner_principal_name")?;
        } else if self.owner_principal_name.as_ref().is_none_or(|v| !v.is_empty()) {
            return Err(EncodeError::absent("owner_principal_name", version));
        }
        w.array_len(flexible, self.renewers.len(), "renewers")?;
        for v in &self.renewers {
            v.encode(w, version)?;
        }
        w.i64(self.max_lifetime_ms);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `CreatableRenewers` of [`CreateDelegationTokenRequest`], versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatableRenewers {
    /// `PrincipalType`.
    pub principal_type: String,
    /// `PrincipalName`.
    pub principal_name: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreatableRenewers {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatableRenewers, DecodeError> {
        let flexible = version >= 2;
        let mut m = CreatableRenewers::default();
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
