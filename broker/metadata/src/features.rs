//! Feature levels: what this version supports, what a new cluster begins with, and which form a record takes at a
//! level of `metadata.version`. Never enters: what a feature does.

use std::collections::BTreeMap;

use millstream_types::ErrorCode;
use millstream_wire::message::update_features_request::UpdateFeaturesRequest;
use millstream_wire::message::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};
use millstream_wire::record::metadata::{FeatureLevelRecord, MetadataRecord};

use crate::controller::{Controller, Decision};
use crate::error::{Refusal, refuse};

/// The feature that says how metadata records are written; finalized before any other.
pub const METADATA_VERSION: &str = "metadata.version";
/// Eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";
/// Consumer groups of the new protocol (KIP-848).
pub const GROUP_VERSION: &str = "group.version";
/// Transactions with an epoch for each (KIP-890); clients choose by it.
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// A feature, and the levels that this version supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supported {
    /// Its name.
    pub name: &'static str,
    /// The lowest level that is supported; for the others 0 (absent) is too.
    pub min: i16,
    /// The highest level that is supported.
    pub max: i16,
}

/// The metadata version of 4.0, below which partitions lack fields that this version writes.
pub const METADATA_VERSION_MIN: i16 = 25;
/// The metadata version of 4.4 (4.4-IV2).
pub const METADATA_VERSION_MAX: i16 = 33;

/// Every feature that this version knows, `metadata.version` first.
pub const SUPPORTED: [Supported; 4] = [
    Supported { name: METADATA_VERSION, min: METADATA_VERSION_MIN, max: METADATA_VERSION_MAX },
    Supported { name: ELIGIBLE_LEADER_REPLICAS, min: 0, max: 1 },
    Supported { name: GROUP_VERSION, min: 0, max: 1 },
    Supported { name: TRANSACTION_VERSION, min: 0, max: 2 },
];

/// The records that a new cluster's log begins with.
pub fn bootstrap() -> Vec<MetadataRecord> {
    SUPPORTED.iter().map(|feature| level(feature.name, feature.max)).collect()
}

fn level(name: &str, feature_level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }.into()
}

/// The version to write a record in at a level of `metadata.version`: the highest that every node at that level
/// reads. The two registration records got cordoned directories (KIP-1066) after 4.2.
pub fn record_version(record: &MetadataRecord, metadata_version: i16) -> i16 {
    const CORDONED_DIRS: i16 = 30;
    match record {
        MetadataRecord::RegisterBroker(_) if metadata_version < CORDONED_DIRS => 3,
        MetadataRecord::BrokerRegistrationChange(_) if metadata_version < CORDONED_DIRS => 2,
        other => other.max_version(),
    }
}

impl Controller {
    /// UpdateFeatures: all of the request's updates, or none (as in Kafka since version 2 of the request).
    pub fn update_features(&self, request: &UpdateFeaturesRequest) -> Decision<UpdateFeaturesResponse> {
        let mut levels = BTreeMap::new();
        let mut response = UpdateFeaturesResponse::default();
        for update in &request.feature_updates {
            // Version 0 says with a flag what later ones say with a type.
            let may_downgrade =
                update.allow_downgrade || update.upgrade_type == 2 || update.upgrade_type == 3;
            let checked = match levels.contains_key(&update.feature) {
                true => refuse(
                    ErrorCode::InvalidRequest,
                    format!("the feature {} is named twice", update.feature),
                ),
                false => self.check_level(&update.feature, update.max_version_level, may_downgrade),
            };
            let mut result = UpdatableFeatureResult { feature: update.feature.clone(), ..Default::default() };
            match checked {
                Ok(()) => {
                    levels.insert(update.feature.clone(), update.max_version_level);
                }
                Err(refusal) => {
                    result.error_code = refusal.code.code();
                    result.error_message = Some(refusal.message.clone());
                    if response.error_code == 0 {
                        response.error_code = refusal.code.code();
                        response.error_message = Some(refusal.message);
                    }
                }
            }
            response.results.push(result);
        }
        if response.error_code != 0 || request.validate_only {
            return Decision { records: Vec::new(), response };
        }
        let first = levels.remove(METADATA_VERSION).map(|to| level(METADATA_VERSION, to));
        let others = levels.iter().map(|(name, to)| level(name, *to));
        Decision { records: first.into_iter().chain(others).collect(), response }
    }

    fn check_level(&self, name: &str, to: i16, may_downgrade: bool) -> Result<(), Refusal> {
        let Some(supported) = SUPPORTED.iter().find(|feature| feature.name == name) else {
            return refuse(ErrorCode::InvalidUpdateVersion, format!("the feature {name} is not known here"));
        };
        if to < supported.min || to > supported.max {
            return refuse(
                ErrorCode::InvalidUpdateVersion,
                format!("{name} can be set to {} up to {}, not to {to}", supported.min, supported.max),
            );
        }
        let now = self.image().feature(name);
        if to < now && !may_downgrade {
            return refuse(
                ErrorCode::InvalidUpdateVersion,
                format!("{name} is at {now}; going back to {to} must be asked for as a downgrade"),
            );
        }
        for broker in self.image().brokers.values() {
            let (min, max) = broker.features.get(name).copied().unwrap_or((0, 0));
            if to != 0 && !(min..=max).contains(&to) {
                return refuse(
                    ErrorCode::InvalidUpdateVersion,
                    format!("broker {} supports {name} from {min} to {max} only, not {to}", broker.id),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::MetadataDelta;
    use crate::image::MetadataImage;

    #[test]
    fn levels_of_a_later_version_are_not_read() {
        let image = MetadataImage::default();
        let read = |name: &str, feature_level| MetadataDelta::new(&image).apply(&level(name, feature_level));
        for record in bootstrap() {
            assert_eq!(MetadataDelta::new(&image).apply(&record), Ok(()));
        }
        for (name, wrong) in [
            (METADATA_VERSION, METADATA_VERSION_MAX + 1),
            (METADATA_VERSION, METADATA_VERSION_MIN - 1),
            (TRANSACTION_VERSION, 3),
            ("teleport.version", 1),
        ] {
            let error = read(name, wrong).expect_err("a level that is not supported").to_string();
            assert!(error.contains(name) && error.contains("start the version that finalized it"), "{error}");
        }
        assert_eq!(read("teleport.version", 0), Ok(()), "a feature that is gone asks for nothing");
    }
}
