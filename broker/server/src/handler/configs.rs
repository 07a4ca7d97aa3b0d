//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use std::sync::Arc;

use millstream_metadata::{ConfigMap, ConfigResource, ConfigSource, ResourceType, resolve};
use millstream_types::ErrorCode;
use millstream_wire::message::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_wire::message::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use crate::broker::Broker;
use crate::config::SETTINGS;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::rules::Rules;

/// Kafka's number for a type that is not told.
const TYPE_UNKNOWN: i8 = 0;

/// Serves DescribeConfigs.
pub fn describe(broker: &Arc<Broker>, cx: Context, request: DescribeConfigsRequest) -> Begun {
    let image = broker.image();
    let file: ConfigMap = SETTINGS
        .iter()
        .filter_map(|s| {
            let (value, is_set) = broker.config.text(s.name);
            is_set.then(|| (s.name.to_owned(), value.to_owned()))
        })
        .collect();
    let mut answer = DescribeConfigsResponse::default();
    for wanted in &request.resources {
        let mut row = DescribeConfigsResult {
            resource_type: wanted.resource_type,
            resource_name: wanted.resource_name.clone(),
            ..Default::default()
        };
        let kind = ResourceType::from_wire(wanted.resource_type);
        let refusal = match kind {
            Some(ResourceType::Topic) if image.topics.by_name(&wanted.resource_name).is_none() => Some((
                ErrorCode::UnknownTopicOrPartition,
                format!("topic {} is not there", wanted.resource_name),
            )),
            Some(ResourceType::Broker)
                if !wanted.resource_name.is_empty() && wanted.resource_name != broker.me.to_string() =>
            {
                let told = format!("ask broker {} itself; this is {}", wanted.resource_name, broker.me);
                Some((ErrorCode::InvalidRequest, told))
            }
            Some(ResourceType::Topic | ResourceType::Broker) => None,
            _ => Some((
                ErrorCode::InvalidRequest,
                "settings are those of topics (2) and brokers (4)".to_owned(),
            )),
        };
        if let Some((error, message)) = refusal {
            row.error_code = error.code();
            row.error_message = Some(message);
            answer.results.push(row);
            continue;
        }
        let resource = ConfigResource::new(kind.unwrap_or(ResourceType::Topic), &wanted.resource_name);
        let asked = wanted.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
        for found in resolve(&image, &Rules, &resource, broker.me.0, &file) {
            if asked.is_some_and(|keys| !keys.contains(&found.name)) {
                continue;
            }
            let own = matches!(
                (resource.kind, found.source),
                (ResourceType::Topic, ConfigSource::DynamicTopic)
                    | (
                        ResourceType::Broker,
                        ConfigSource::DynamicBroker | ConfigSource::DynamicDefaultBroker
                    )
            );
            row.configs.push(DescribeConfigsResourceResult {
                name: found.name.clone(),
                value: found.value.clone().filter(|_| !found.is_sensitive),
                // Broker settings take effect at a restart in this version, but for those of topics.
                read_only: resource.kind == ResourceType::Broker && !own,
                config_source: found.source as i8,
                is_sensitive: found.is_sensitive,
                synonyms: if request.include_synonyms {
                    found.synonyms.iter().map(synonym).collect()
                } else {
                    Vec::new()
                },
                config_type: TYPE_UNKNOWN,
                ..Default::default()
            });
        }
        answer.results.push(row);
    }
    cx.ready(&answer)
}

fn synonym((name, value, source): &(String, Option<String>, ConfigSource)) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: name.clone(),
        value: value.clone(),
        source: *source as i8,
        ..Default::default()
    }
}

/// Serves AlterConfigs.
pub fn alter(broker: &Arc<Broker>, cx: Context, request: AlterConfigsRequest) -> Begun {
    let broker = Arc::clone(broker);
    cx.later(async move {
        let asked = broker.controller.ask(move |c| c.alter_configs(request)).await;
        asked.unwrap_or_else(|_| AlterConfigsResponse::default())
    })
}

/// Serves IncrementalAlterConfigs.
pub fn incremental_alter(
    broker: &Arc<Broker>,
    cx: Context,
    request: IncrementalAlterConfigsRequest,
) -> Begun {
    let broker = Arc::clone(broker);
    cx.later(async move {
        let asked = broker.controller.ask(move |c| c.incremental_alter_configs(request)).await;
        asked.unwrap_or_else(|_| IncrementalAlterConfigsResponse::default())
    })
}
