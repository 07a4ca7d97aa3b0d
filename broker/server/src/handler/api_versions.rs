//! ApiVersions: what this broker serves, and the feature levels that make clients choose their protocols by.

use std::sync::Arc;

use millstream_metadata::features::SUPPORTED;
use millstream_types::ErrorCode;
use millstream_wire::message::ApiVersionsRequest;
use millstream_wire::message::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::{Context, SERVED};

fn served() -> Vec<ApiVersion> {
    let row = |(api, low, high): &(millstream_wire::ApiKey, i16, i16)| ApiVersion {
        api_key: api.code(),
        min_version: *low,
        max_version: *high,
        ..Default::default()
    };
    SERVED.iter().map(row).collect()
}

/// KIP-511: a client names its software, and what is no name is refused.
fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

/// Serves ApiVersions.
pub fn begin(broker: &Arc<Broker>, cx: Context, request: ApiVersionsRequest) -> Begun {
    if cx.version >= 3
        && !(is_name(&request.client_software_name) && is_name(&request.client_software_version))
    {
        let error_code = ErrorCode::InvalidRequest.code();
        return cx.ready(&ApiVersionsResponse { error_code, ..Default::default() });
    }
    let mut answer = ApiVersionsResponse { api_keys: served(), ..Default::default() };
    if cx.version >= 3 {
        let image = broker.image();
        answer.supported_features = SUPPORTED
            .iter()
            // A client of version 3 cannot read a feature whose lowest level is 0 (KAFKA-17011).
            .filter(|f| cx.version >= 4 || f.min > 0)
            .map(|f| SupportedFeatureKey {
                name: f.name.to_owned(),
                min_version: f.min,
                max_version: f.max,
                ..Default::default()
            })
            .collect();
        answer.finalized_features_epoch = image.provenance.end_offset;
        answer.finalized_features = image
            .features
            .iter()
            .filter(|(_, level)| **level > 0)
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.clone(),
                max_version_level: *level,
                min_version_level: *level,
                ..Default::default()
            })
            .collect();
    }
    cx.ready(&answer)
}

/// The answer to a version that is not known here: in version 0, so that any client reads it.
pub fn unsupported(cx: &Context) -> Begun {
    let cx = Context { version: 0, ..cx.clone() };
    let error_code = ErrorCode::UnsupportedVersion.code();
    cx.ready(&ApiVersionsResponse { error_code, api_keys: served(), ..Default::default() })
}
