//! Kafka's response `ApiVersionsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ApiVersionsResponse`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiVersionsResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ApiKeys`.
    pub api_keys: Vec<ApiVersion>,
    /// `ThrottleTimeMs`, versions 1 to 5, ignorable.
    pub throttle_time_ms: i32,
    /// `SupportedFeatures`, versions 3 to 5, tag 0, ignorable.
    pub supported_features: Vec<SupportedFeatureKey>,
    /// `FinalizedFeaturesEpoch`, versions 3 to 5, tag 1, ignorable.
    pub finalized_features_epoch: i64,
    /// `FinalizedFeatures`, versions 3 to 5, tag 2, ignorable.
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// `ZkMigrationReady`, versions 3 to 5, tag 3, ignorable.
    pub zk_migration_ready: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ApiVersionsResponse {
    fn default() -> ApiVersionsResponse {
        ApiVersionsResponse {
            error_code: 0,
            api_keys: Vec::new(),
            throttle_time_ms: 0,
            supported_features: Vec::new(),
            finalized_features_epoch: -1,
            finalized_features: Vec::new(),
            zk_migration_ready: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ApiVersionsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ApiVersionsResponse, DecodeError> {
        crate::error::check_decode_version("ApiVersionsResponse", version, 0, 5)?;
        let flexible = version >= 3;
        let mut m = ApiVersionsResponse::default();
        m.error_code = r.i16("error_code")?;
        m.api_keys = r.array(flexible, 6, "api_keys", version, ApiVersion::decode)?;
        if version >= 1 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 => {
                        m.supported_features =
                            r.array(true, 6, "supported_features", version, SupportedFeatureKey::decode)?
                    }
                    1 => m.finalized_features_epoch = r.i64("finalized_features_epoch")?,
                    2 => {
                        m.finalized_features =
                            r.array(true, 6, "finalized_features", version, FinalizedFeatureKey::decode)?
                    }
                    3 => m.zk_migration_ready = r.bool("zk_migration_ready")?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ApiVersionsResponse", version, 0, 5)?;
        let flexible = version >= 3;
        w.i16(self.error_code);
        w.array_len(flexible, self.api_keys.len(), "api_keys")?;
        for v in &self.api_keys {
            v.encode(w, version)?;
        }
        if version >= 1 {
            w.i32(self.throttle_time_ms);
        }
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if !self.supported_features.is_empty() {
                tags.add(0, |w| {
                    w.array_len(true, self.supported_features.len(), "supported_features")?;
                    for v in &self.supported_features {
                        v.encode(w, version)?;
                    }
                    Ok(())
                })?;
            }
            if self.finalized_features_epoch != -1 {
                tags.add(1, |w| {
                    w.i64(self.finalized_features_epoch);
                    Ok(())
                })?;
            }
            if !self.finalized_features.is_empty() {
                tags.add(2, |w| {
                    w.array_len(true, self.finalized_features.len(), "finalized_features")?;
                    for v in &self.finalized_features {
                        v.encode(w, version)?;
                    }
                    Ok(())
                })?;
            }
            if self.zk_migration_ready {
                tags.add(3, |w| {
                    w.bool(self.zk_migration_ready);
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

/// `ApiVersion` of [`ApiVersionsResponse`], versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ApiVersion {
    /// `ApiKey`.
    pub api_key: i16,
    /// `MinVersion`.
    pub min_version: i16,
    /// `MaxVersion`.
    pub max_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ApiVersion {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ApiVersion, DecodeError> {
        let flexible = version >= 3;
        let mut m = ApiVersion::default();
        m.api_key = r.i16("api_key")?;
        m.min_version = r.i16("min_version")?;
        m.max_version = r.i16("max_version")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        w.i16(self.api_key);
        w.i16(self.min_version);
        w.i16(self.max_version);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `SupportedFeatureKey` of [`ApiVersionsResponse`], versions 3 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SupportedFeatureKey {
    /// `Name`.
    pub name: String,
    /// `MinVersion`.
    pub min_version: i16,
    /// `MaxVersion`.
    pub max_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SupportedFeatureKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<SupportedFeatureKey, DecodeError> {
        let mut m = SupportedFeatureKey::default();
        m.name = r.string(true, "name")?;
        m.min_version = r.i16("min_version")?;
        m.max_version = r.i16("max_version")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i16(self.min_version);
        w.i16(self.max_version);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `FinalizedFeatureKey` of [`ApiVersionsResponse`], versions 3 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FinalizedFeatureKey {
    /// `Name`.
    pub name: String,
    /// `MaxVersionLevel`.
    pub max_version_level: i16,
    /// `MinVersionLevel`.
    pub min_version_level: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FinalizedFeatureKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<FinalizedFeatureKey, DecodeError> {
        let mut m = FinalizedFeatureKey::default();
        m.name = r.string(true, "name")?;
        m.max_version_level = r.i16("max_version_level")?;
        m.min_version_level = r.i16("min_version_level")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.i16(self.max_version_level);
        w.i16(self.min_version_level);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
