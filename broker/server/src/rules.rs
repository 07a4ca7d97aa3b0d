//! Which settings topics, brokers and groups have, for the controller and DescribeConfigs: topics' from
//! `millstream-log`, where they are defined, the broker's from `config.rs`. Never enters: their values.

use millstream_log::LogConfig;
use millstream_metadata::{ConfigDefinition, ConfigMap, ConfigResource, ConfigRules, ResourceType};

use crate::config::{SETTINGS, TOPIC_DEFAULTS};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules;

impl ConfigRules for Rules {
    fn names(&self, kind: ResourceType) -> Vec<String> {
        let mut names: Vec<String> = match kind {
            ResourceType::Topic => {
                millstream_log::config::DEFINITIONS.iter().map(|d| d.name.to_owned()).collect()
            }
            ResourceType::Broker => {
                let defaults = TOPIC_DEFAULTS.iter().map(|(name, _)| *name);
                SETTINGS.iter().map(|s| s.name).chain(defaults).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        names.sort();
        names.dedup();
        names
    }

    fn definition(&self, kind: ResourceType, name: &str) -> Option<ConfigDefinition> {
        match kind {
            ResourceType::Topic => {
                let found = millstream_log::config::DEFINITIONS.iter().find(|d| d.name == name)?;

                Some(ConfigDefinition {
                    default: LogConfig::default().get(found.name),
                    is_list: found.name == "cleanup.policy",
                    is_sensitive: false,
                    broker_synonym: found.broker_name.map(str::to_owned),
                })
            }
            ResourceType::Broker => {
                let own = SETTINGS.iter().find(|s| s.name == name).map(|s| s.default.to_owned());
                let topic = || {
                    let (_, topic) = TOPIC_DEFAULTS.iter().find(|(key, _)| *key == name)?;
                    LogConfig::default().get(topic)
                };
                let default = own.or_else(topic)?;
                Some(ConfigDefinition { default: Some(default), ..ConfigDefinition::default() })
            }
            _ => None,
        }
    }

    fn validate(&self, resource: &ConfigResource, settings: &ConfigMap) -> Result<(), String> {
        match resource.kind {
            ResourceType::Topic => {
                let pairs = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                LogConfig::from_pairs(pairs).map(|_| ()).map_err(|e| e.to_string())
            }
            ResourceType::Broker => {
                let mut config = crate::config::Config::default();
                settings
                    .iter()
                    .try_for_each(|(name, value)| config.set(name, value))
                    .map_err(|e| e.to_string())
            }
            _ => Err("this kind of resource has no settings in this version".to_owned()),
        }
    }
}
