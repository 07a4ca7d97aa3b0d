//! The active controller: requests in, records and a response out. It decides on an image of its own, which runs
//! ahead of the committed one by what it has decided and the quorum has not committed yet. So the shell appends a
//! decision's records to the metadata log, calls [`Controller::replay`] at once, and answers when they are
//! committed; if leadership is lost it drops the controller, and with it what was never committed.
//!
//! Begun only when the quorum's leader has committed its epoch start (RP-4), from the committed image.
//!
//! Soft state, never in the log: when each broker was last heard. Never enters: authorization, request versions,
//! sockets, the log.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{ErrorCode, Millis, NodeId, Uuid};
use millstream_wire::record::metadata::MetadataRecord;

use crate::brokers::Heartbeat;
use crate::configs::ConfigRules;
use crate::delta::{Changes, MetadataDelta};
use crate::error::{ApplyError, Refusal, refuse};
use crate::features::ELIGIBLE_LEADER_REPLICAS;
use crate::image::{BrokerImage, MetadataImage, Provenance, ResourceType};

/// The settings of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// The cluster's id, which a broker that registers must name.
    pub cluster_id: String,
    /// `num.partitions`, for topics that name no count.
    pub default_partitions: i32,
    /// `default.replication.factor`, for topics that name none.
    pub default_replication_factor: i16,
    /// `broker.session.timeout.ms`: a broker that was not heard of for longer is fenced.
    pub session_timeout_ms: Millis,
}

impl Default for ControllerConfig {
    fn default() -> ControllerConfig {
        ControllerConfig {
            cluster_id: String::new(),
            default_partitions: 1,
            default_replication_factor: 1,
            session_timeout_ms: 9_000,
        }
    }
}

/// Records to append as one batch, all or none, and the answer to give when they are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    /// What to append. Empty: answer at once.
    pub records: Vec<MetadataRecord>,
    /// What to answer.
    pub response: R,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(crate) config: ControllerConfig,
    image: MetadataImage,
    pub(crate) heartbeats: BTreeMap<NodeId, Heartbeat>,
    /// Topic names that `.` and `_` make alike in metrics, by the name with `_` for `.`.
    pub(crate) alike: BTreeMap<String, BTreeSet<String>>,
}

/// A name with `_` for `.`, or nothing if it has neither.
pub(crate) fn alike_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

impl Controller {
    /// Begins to lead with the committed image. Brokers that are not fenced get a whole session from `now`.
    pub fn new(now: Millis, config: ControllerConfig, image: MetadataImage) -> Controller {
        let mut alike: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for topic in image.topics.iter() {
            if let Some(key) = alike_key(&topic.name) {
                alike.entry(key).or_default().insert(topic.name.to_string());
            }
        }
        let heartbeats = image.brokers.keys().map(|id| (*id, Heartbeat::unheard(now))).collect();
        Controller { config, image, heartbeats, alike }
    }

    /// The image with all decisions so far, committed or not. Not for answering reads.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Takes new settings; they hold from the next call on.
    pub fn configure(&mut self, config: ControllerConfig) {
        self.config = config;
    }

    /// Applies records that were appended to the log, and now end before `provenance`'s offset.
    pub fn replay(
        &mut self,
        now: Millis,
        provenance: Provenance,
        records: &[MetadataRecord],
    ) -> Result<Changes, ApplyError> {
        let mut delta = MetadataDelta::new(&self.image);
        for record in records {
            delta.apply(record)?;
        }
        let (image, changes) = delta.finish(provenance);
        for topic in changes.topics_created.iter().filter_map(|id| image.topics.by_id(*id)) {
            if let Some(key) = alike_key(&topic.name) {
                self.alike.entry(key).or_default().insert(topic.name.to_string());
            }
        }
        for topic in changes.topics_deleted.values() {
            if let Some(key) = alike_key(&topic.name)
                && let Some(names) = self.alike.get_mut(&key)
                && image.topics.by_name(&topic.name).is_none()
            {
                names.remove(&*topic.name);
                if names.is_empty() {
                    self.alike.remove(&key);
                }
            }
        }
        for id in &changes.brokers {
            match image.brokers.contains_key(id) {
                true => _ = self.heartbeats.entry(*id).or_insert(Heartbeat::unheard(now)),
                false => _ = self.heartbeats.remove(id),
            }
        }
        self.image = image;
        Ok(changes)
    }

    /// The broker `id` in `epoch`. Errors: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH.
    pub(crate) fn check_broker(&self, id: i32, epoch: i64) -> Result<&BrokerImage, Refusal> {
        match self.image.brokers.get(&NodeId(id)) {
            None => refuse(ErrorCode::BrokerIdNotRegistered, format!("broker {id} is not registered")),
            Some(broker) if broker.epoch != epoch => refuse(
                ErrorCode::StaleBrokerEpoch,
                format!("broker {id} is registered with epoch {}, not {epoch}", broker.epoch),
            ),
            Some(broker) => Ok(broker),
        }
    }

    /// Whether eligible leader replicas are kept.
    pub(crate) fn elr_enabled(&self) -> bool {
        self.image.feature(ELIGIBLE_LEADER_REPLICAS) > 0
    }

    /// A topic's setting as it holds: its own, or the brokers' default, or the built-in one.
    pub(crate) fn topic_setting(&self, rules: &dyn ConfigRules, topic: &str, name: &str) -> Option<String> {
        if let Some(value) = self.image.config(ResourceType::Topic, topic).and_then(|map| map.get(name)) {
            return Some(value.clone());
        }
        let definition = rules.definition(ResourceType::Topic, name);
        let synonym = definition.as_ref().and_then(|d| d.broker_synonym.as_deref()).unwrap_or(name);
        let broker_default = self.image.config(ResourceType::Broker, "").and_then(|map| map.get(synonym));
        broker_default.cloned().or_else(|| definition.and_then(|d| d.default))
    }

    /// A topic's `min.insync.replicas`, at least 1.
    pub(crate) fn min_isr(&self, rules: &dyn ConfigRules, topic: &str) -> usize {
        let text = self.topic_setting(rules, topic, "min.insync.replicas");
        text.and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    }

    /// Whether a topic allows a leader that may lack committed records.
    pub(crate) fn unclean_allowed(&self, rules: &dyn ConfigRules, topic: &str) -> bool {
        self.topic_setting(rules, topic, "unclean.leader.election.enable").as_deref() == Some("true")
    }

    /// The directory of a new replica on `broker`, if there is no choice.
    pub(crate) fn default_directory(&self, broker: NodeId) -> Uuid {
        match self.image.brokers.get(&broker).map(|broker| broker.log_dirs.as_slice()) {
            Some([only]) => *only,
            _ => crate::image::DIRECTORY_UNASSIGNED,
        }
    }
}
