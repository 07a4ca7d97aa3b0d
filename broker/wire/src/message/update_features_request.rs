//! Kafka's request `UpdateFeaturesRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `UpdateFeaturesRequest`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateFeaturesRequest {
    /// `timeoutMs`.
    pub timeout_ms: i32,
    /// `FeatureUpdates`.
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// `ValidateOnly`, versions 1 to 2.
    pub validate_only: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for UpdateFeaturesRequest {
    fn default() -> UpdateFeaturesRequest {
        UpdateFeaturesRequest {
            timeout_ms: 60000,
            feature_updates: Vec::new(),
            validate_only: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl UpdateFeaturesRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<UpdateFeaturesRequest, DecodeError> {
        crate::error::check_decode_version("UpdateFeaturesRequest", version, 0, 2)?;
        let mut m = UpdateFeaturesRequest::default();
        m.timeout_ms = r.i32("timeout_ms")?;
        m.feature_updates = r.array(true, 5, "feature_updates", version, FeatureUpdateKey::decode)?;
        if version >= 1 {
            m.validate_only = r.bool("validate_only")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("UpdateFeaturesRequest", version, 0, 2)?;
        w.i32(self.timeout_ms);
        w.array_len(true, self.feature_updates.len(), "feature_updates")?;
        for v in &self.feature_updates {
            v.encode(w, version)?;
        }
        if version >= 1 {
            w.bool(self.validate_only);
        } else if self.validate_only {
            return Err(EncodeError::absent("validate_only", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `FeatureUpdateKey` of [`UpdateFeaturesRequest`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureUpdateKey {
    /// `Feature`.
    pub feature: String,
    /// `MaxVersionLevel`.
    pub max_version_level: i16,
    /// `AllowDowngrade`, version 0.
    pub allow_downgrade: bool,
    /// `UpgradeType`, versions 1 to 2.
    pub upgrade_type: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for FeatureUpdateKey {
    fn default() -> FeatureUpdateKey {
        FeatureUpdateKey {
            feature: String::new(),
            max_version_level: 0,
            allow_downgrade: false,
            upgrade_type: 1,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl FeatureUpdateKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FeatureUpdateKey, DecodeError> {
        let mut m = FeatureUpdateKey::default();
        m.feature = r.string(true, "feature")?;
        m.max_version_level = r.i16("max_version_level")?;
        if version == 0 {
            m.allow_downgrade = r.bool("allow_downgrade")?;
        }
        if version >= 1 {
            m.upgrade_type = r.i8("upgrade_type")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.feature, "feature")?;
        w.i16(self.max_version_level);
        if version == 0 {
            w.bool(self.allow_downgrade);
        } else if self.allow_downgrade {
            return Err(EncodeError::absent("allow_downgrade", version));
        }
        if version >= 1 {
            w.i8(self.upgrade_type);
        } else if self.upgrade_type != 1 {
            return Err(EncodeError::absent("upgrade_type", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
