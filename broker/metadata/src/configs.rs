//! Settings of topics, brokers and groups: changing them, and which value holds. What settings exist, and which
//! values they take, comes in as [`ConfigRules`]: a topic's are the log's, a broker's the server's, a group's the
//! coordinator's. Never enters: any setting's meaning, except the few that `controller.rs` needs for elections.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::ErrorCode;
use millstream_wire::message::alter_configs_request::AlterConfigsRequest;
use millstream_wire::message::alter_configs_response::{self, AlterConfigsResponse};
use millstream_wire::message::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_wire::message::incremental_alter_configs_response::{self, IncrementalAlterConfigsResponse};
use millstream_wire::record::metadata::{ClearElrRecord, ConfigRecord, MetadataRecord};

use crate::controller::{Controller, Decision};
use crate::error::{Refusal, refuse};
use crate::image::{ConfigMap, ConfigResource, MetadataImage, ResourceType};

/// What is known of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConfigDefinition {
    /// Its built-in default; `None` for none.
    pub default: Option<String>,
    /// Whether it is a list separated by commas, so that an element can be appended or taken out.
    pub is_list: bool,
    /// Whether its value is never shown.
    pub is_sensitive: bool,
    /// The broker setting that a topic's falls back to, if its name is another (`retention.ms` to
    /// `log.retention.ms`).
    pub broker_synonym: Option<String>,
}

/// The settings that exist, and their bounds.
pub trait ConfigRules {
    /// The names of a kind's settings, ascending.
    fn names(&self, kind: ResourceType) -> Vec<String>;

    /// What is known of a setting, `None` if there is no such one.
    fn definition(&self, kind: ResourceType, name: &str) -> Option<ConfigDefinition>;

    /// Whether a resource may have these as its own settings, all together; else what is wrong, for a person.
    fn validate(&self, resource: &ConfigResource, settings: &ConfigMap) -> Result<(), String>;
}

/// Where a value comes from, by Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// The topic's own.
    DynamicTopic = 1,
    /// The broker's own, set while it runs.
    DynamicBroker = 2,
    /// For all brokers, set while they run.
    DynamicDefaultBroker = 3,
    /// The broker's file.
    StaticBroker = 4,
    /// Built in.
    Default = 5,
    /// The group's own.
    Group = 8,
}

/// A setting with the value that holds, and those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its name.
    pub name: String,
    /// The value that holds.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether the value is not to be shown.
    pub is_sensitive: bool,
    /// Every place that names it, the one that holds first: the name there, the value, the place.
    pub synonyms: Vec<(String, Option<String>, ConfigSource)>,
}

/// Every setting of a resource as it holds on the broker `broker`, whose file has `static_configs`.
pub fn resolve(
    image: &MetadataImage,
    rules: &dyn ConfigRules,
    resource: &ConfigResource,
    broker: i32,
    static_configs: &ConfigMap,
) -> Vec<Resolved> {
    let own = image.configs.get(resource);
    let per_broker = image.config(ResourceType::Broker, &broker.to_string());
    let all_brokers = image.config(ResourceType::Broker, "");
    let mut out = Vec::new();
    for name in rules.names(resource.kind) {
        let Some(definition) = rules.definition(resource.kind, &name) else { continue };
        let broker_name = definition.broker_synonym.clone().unwrap_or_else(|| name.clone());
        let mut synonyms = Vec::new();
        let mut add = |map: Option<&ConfigMap>, name: &String, source| {
            if let Some(value) = map.and_then(|map| map.get(name)) {
                synonyms.push((name.clone(), Some(value.clone()), source));
            }
        };
        match resource.kind {
            ResourceType::Topic => add(own.map(|map| &**map), &name, ConfigSource::DynamicTopic),
            ResourceType::Group => add(own.map(|map| &**map), &name, ConfigSource::Group),
            _ => {}
        }
        if matches!(resource.kind, ResourceType::Topic | ResourceType::Broker) {
            add(per_broker.map(|map| &**map), &broker_name, ConfigSource::DynamicBroker);
            add(all_brokers.map(|map| &**map), &broker_name, ConfigSource::DynamicDefaultBroker);
        }
        add(Some(static_configs), &broker_name, ConfigSource::StaticBroker);
        if let Some(default) = &definition.default {
            synonyms.push((broker_name, Some(default.clone()), ConfigSource::Default));
        }
        let (value, source) = synonyms
            .first()
            .map_or((None, ConfigSource::Default), |(_, value, source)| (value.clone(), *source));
        out.push(Resolved { name, value, source, is_sensitive: definition.is_sensitive, synonyms });
    }
    out
}

/// A ConfigRecord for a resource.
pub(crate) fn config_record(resource: &ConfigResource, name: &str, value: Option<String>) -> MetadataRecord {
    ConfigRecord {
        resource_type: resource.kind as i8,
        resource_name: resource.name.to_string(),
        name: name.to_owned(),
        value,
        ..Default::default()
    }
    .into()
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Controller {
    /// A resource that may have settings of its own, if it exists.
    fn config_resource(&self, kind: i8, name: &str) -> Result<ConfigResource, Refusal> {
        let Some(kind) = ResourceType::from_wire(kind) else {
            return refuse(ErrorCode::InvalidRequest, format!("{kind} is no type of a resource"));
        };
        match kind {
            ResourceType::Topic if self.image().topics.by_name(name).is_none() => {
                refuse(ErrorCode::UnknownTopicOrPartition, format!("the topic \"{name}\" does not exist"))
            }
            ResourceType::Broker if !name.is_empty() => match name.parse::<i32>() {
                Ok(id) if id >= 0 => Ok(ConfigResource::new(kind, name)),
                _ => refuse(ErrorCode::InvalidRequest, format!("\"{name}\" is no broker's id")),
            },
            ResourceType::Group if name.is_empty() => {
                refuse(ErrorCode::InvalidRequest, "the default of all groups cannot be set")
            }
            ResourceType::BrokerLogger => refuse(
                ErrorCode::InvalidRequest,
                "log levels belong to the broker itself, not to the cluster",
            ),
            _ => Ok(ConfigResource::new(kind, name)),
        }
    }

    fn alter_value(
        &self,
        rules: &dyn ConfigRules,
        kind: ResourceType,
        now: &ConfigMap,
        change: &AlterableConfig,
    ) -> Result<Option<String>, Refusal> {
        let name = &change.name;
        match (change.config_operation, &change.value) {
            (DELETE, _) => Ok(None),
            (SET | APPEND | SUBTRACT, None) => {
                refuse(ErrorCode::InvalidRequest, format!("the setting {name} has no value"))
            }
            (SET, Some(value)) => Ok(Some(value.clone())),
            (operation @ (APPEND | SUBTRACT), Some(value)) => {
                let definition = rules.definition(kind, name).unwrap_or_default();
                if !definition.is_list {
                    return refuse(
                        ErrorCode::InvalidConfig,
                        format!(
                            "the setting {name} is no list, so nothing can be added to it or taken from it"
                        ),
                    );
                }
                let before = now.get(name).cloned().or(definition.default).unwrap_or_default();
                let mut items: Vec<&str> =
                    before.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
                for item in value.split(',').map(str::trim).filter(|s| !s.is_empty()) {
                    items.retain(|have| operation == APPEND || *have != item);
                    if operation == APPEND && !items.contains(&item) {
                        items.push(item);
                    }
                }
                Ok(Some(items.join(",")))
            }
            (other, _) => refuse(ErrorCode::InvalidRequest, format!("{other} is no operation on a setting")),
        }
    }

    /// The records that take a resource from its settings now to `new`, after a check of the whole.
    fn change_settings(
        &self,
        rules: &dyn ConfigRules,
        resource: &ConfigResource,
        new: &ConfigMap,
        touched: &BTreeSet<String>,
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        if let Some(unknown) = touched
            .iter()
            .find(|name| new.contains_key(*name) && rules.definition(resource.kind, name).is_none())
        {
            return refuse(ErrorCode::InvalidConfig, format!("there is no setting {unknown}"));
        }
        if let Err(message) = rules.validate(resource, new) {
            return refuse(ErrorCode::InvalidConfig, message);
        }
        let empty = ConfigMap::new();
        let old = self.image().configs.get(resource).map_or(&empty, |map| map);
        let changed = touched.iter().filter(|name| old.get(*name) != new.get(*name));
        let mut records: Vec<MetadataRecord> =
            changed.clone().map(|name| config_record(resource, name, new.get(name).cloned())).collect();
        let all = resource.kind == ResourceType::Broker && resource.name.is_empty();
        if self.elr_enabled()
            && (resource.kind == ResourceType::Topic || all)
            && changed.clone().any(|name| name == "min.insync.replicas")
        {
            // Who was eligible was so by the old minimum: with a smaller one something may be committed without
            // them (KIP-966). The empty name stands for all topics.
            let topic_name = resource.name.to_string();
            records.push(ClearElrRecord { topic_name, ..Default::default() }.into());
        }
        Ok(records)
    }

    fn incremental(
        &self,
        rules: &dyn ConfigRules,
        request: &AlterConfigsResource,
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        let resource = self.config_resource(request.resource_type, &request.resource_name)?;
        let mut new = self.image().configs.get(&resource).map(|map| (**map).clone()).unwrap_or_default();
        let mut touched = BTreeSet::new();
        for change in &request.configs {
            if !touched.insert(change.name.clone()) {
                return refuse(
                    ErrorCode::InvalidRequest,
                    format!("the setting {} is named twice", change.name),
                );
            }
            match self.alter_value(rules, resource.kind, &new, change)? {
                Some(value) => _ = new.insert(change.name.clone(), value),
                None => _ = new.remove(&change.name),
            }
        }
        self.change_settings(rules, &resource, &new, &touched)
    }

    /// IncrementalAlterConfigs: each resource by itself, all of its changes or none.
    pub fn incremental_alter_configs(
        &self,
        rules: &dyn ConfigRules,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        let mut decision =
            Decision { records: Vec::new(), response: IncrementalAlterConfigsResponse::default() };
        let twice = twice(request.resources.iter().map(|r| (r.resource_type, r.resource_name.as_str())));
        for resource in &request.resources {
            let result = match twice.contains(&(resource.resource_type, resource.resource_name.as_str())) {
                true => refuse(ErrorCode::InvalidRequest, "the resource is named twice in the request"),
                false => self.incremental(rules, resource),
            };
            let mut response = incremental_alter_configs_response::AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            };
            match result {
                Ok(records) if request.validate_only => drop(records),
                Ok(records) => decision.records.extend(records),
                Err(refusal) => {
                    response.error_code = refusal.code.code();
                    response.error_message = Some(refusal.message);
                }
            }
            decision.response.responses.push(response);
        }
        decision
    }

    /// AlterConfigs: each resource gets exactly the settings that are named; others are removed.
    pub fn alter_configs(
        &self,
        rules: &dyn ConfigRules,
        request: &AlterConfigsRequest,
    ) -> Decision<AlterConfigsResponse> {
        let mut decision = Decision { records: Vec::new(), response: AlterConfigsResponse::default() };
        let twice = twice(request.resources.iter().map(|r| (r.resource_type, r.resource_name.as_str())));
        for resource in &request.resources {
            let key = (resource.resource_type, resource.resource_name.as_str());
            let mut new = ConfigMap::new();
            let mut result = self.config_resource(key.0, key.1);
            for config in &resource.configs {
                let value = config.value.clone().unwrap_or_default();
                if config.value.is_none() {
                    result =
                        refuse(ErrorCode::InvalidConfig, format!("the setting {} has no value", config.name));
                } else if new.insert(config.name.clone(), value).is_some() {
                    result = refuse(
                        ErrorCode::InvalidConfig,
                        format!("the setting {} is named twice", config.name),
                    );
                }
            }
            if twice.contains(&key) {
                result = refuse(ErrorCode::InvalidRequest, "the resource is named twice in the request");
            }
            let result = result.and_then(|resource| {
                let old = self.image().configs.get(&resource).map(|map| map.keys().cloned().collect());
                let mut touched: BTreeSet<String> = old.unwrap_or_default();
                touched.extend(new.keys().cloned());
                self.change_settings(rules, &resource, &new, &touched)
            });
            let mut response = alter_configs_response::AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            };
            match result {
                Ok(records) if request.validate_only => drop(records),
                Ok(records) => decision.records.extend(records),
                Err(refusal) => {
                    response.error_code = refusal.code.code();
                    response.error_message = Some(refusal.message);
                }
            }
            decision.response.responses.push(response);
        }
        decision
    }
}

/// What a request names more than once.
pub(crate) fn twice<K: Ord + Copy>(keys: impl Iterator<Item = K>) -> BTreeSet<K> {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key).collect()
}
