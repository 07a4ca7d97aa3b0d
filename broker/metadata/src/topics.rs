//! Topics: creation, deletion, growth. Errors and their codes are Kafka's, topic by topic. Never enters: what the
//! settings of a topic mean, or what becomes of a deleted topic's files.

use std::collections::BTreeSet;

use millstream_types::{ErrorCode, NodeId, Rng, Uuid, topic};
use millstream_wire::message::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use millstream_wire::message::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use millstream_wire::message::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use millstream_wire::message::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use millstream_wire::message::delete_topics_request::DeleteTopicsRequest;
use millstream_wire::message::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use millstream_wire::record::metadata::{MetadataRecord, PartitionRecord, RemoveTopicRecord, TopicRecord};

use crate::configs::{ConfigRules, ConfigSource, config_record, twice};
use crate::controller::{Controller, Decision, alike_key};
use crate::error::{Refusal, refuse};
use crate::image::{ConfigMap, ConfigResource, ResourceType, TopicImage};
use crate::placement::{PlacementSpec, UsableBroker, place};
use crate::snapshot::ids;

/// The most partitions that one request may make: its records are one batch.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// Topics that a request has made so far, which are not in the image yet.
#[derive(Default)]
struct Made {
    alike: BTreeSet<String>,
    partitions: usize,
}

impl Made {
    fn count(&mut self, partitions: usize) -> Result<(), Refusal> {
        self.partitions = self.partitions.saturating_add(partitions);
        if self.partitions > PARTITIONS_PER_REQUEST_MAX {
            return refuse(
                ErrorCode::PolicyViolation,
                format!(
                    "the request makes {} partitions and more; a request can make {PARTITIONS_PER_REQUEST_MAX}",
                    self.partitions
                ),
            );
        }
        Ok(())
    }
}

impl Controller {
    /// CreateTopics. Each topic by itself, with all its partitions and settings or not at all.
    pub fn create_topics(
        &self,
        rules: &dyn ConfigRules,
        rng: &mut dyn Rng,
        request: &CreateTopicsRequest,
    ) -> Decision<CreateTopicsResponse> {
        let mut decision = Decision { records: Vec::new(), response: CreateTopicsResponse::default() };
        let twice = twice(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut named = BTreeSet::new();
        let mut made = Made::default();
        for creatable in &request.topics {
            if !named.insert(creatable.name.as_str()) {
                continue;
            }
            let result = match twice.contains(creatable.name.as_str()) {
                true => refuse(ErrorCode::InvalidRequest, "the topic is named twice in the request"),
                false => self.create_topic(rules, rng, creatable, &mut made),
            };
            decision.response.topics.push(match result {
                Ok((records, response)) => {
                    if !request.validate_only {
                        decision.records.extend(records);
                    }
                    response
                }
                Err(refusal) => CreatableTopicResult {
                    name: creatable.name.clone(),
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message),
                    num_partitions: -1,
                    replication_factor: -1,
                    ..Default::default()
                },
            });
        }
        decision
    }

    fn check_name(&self, name: &str, made: &Made) -> Result<(), Refusal> {
        if let Err(error) = topic::validate_name(name) {
            return refuse(
                ErrorCode::InvalidTopicException,
                format!("the name \"{name}\" is not valid: {error}"),
            );
        }
        if name == topic::CLUSTER_METADATA {
            return refuse(ErrorCode::InvalidRequest, format!("the topic {name} is the cluster's own"));
        }
        if self.image().topics.by_name(name).is_some() {
            return refuse(ErrorCode::TopicAlreadyExists, format!("the topic \"{name}\" exists already"));
        }
        if let Some(key) = alike_key(name) {
            let other = self.alike.get(&key).and_then(|names| names.first().cloned());
            if let Some(other) = other.or_else(|| made.alike.get(&key).cloned()) {
                return refuse(
                    ErrorCode::InvalidTopicException,
                    format!(
                        "\"{name}\" and the topic \"{other}\" would be one in metrics, where '.' and '_' are alike"
                    ),
                );
            }
        }
        Ok(())
    }

    fn create_topic(
        &self,
        rules: &dyn ConfigRules,
        rng: &mut dyn Rng,
        creatable: &CreatableTopic,
        made: &mut Made,
    ) -> Result<(Vec<MetadataRecord>, CreatableTopicResult), Refusal> {
        let name = &creatable.name;
        self.check_name(name, made)?;
        let mut settings = ConfigMap::new();
        for config in &creatable.configs {
            let Some(value) = &config.value else {
                return refuse(ErrorCode::InvalidConfig, format!("the setting {} has no value", config.name));
            };
            if settings.insert(config.name.clone(), value.clone()).is_some() {
                return refuse(
                    ErrorCode::InvalidConfig,
                    format!("the setting {} is named twice", config.name),
                );
            }
            if rules.definition(ResourceType::Topic, &config.name).is_none() {
                return refuse(
                    ErrorCode::InvalidConfig,
                    format!("there is no topic setting {}", config.name),
                );
            }
        }
        let resource = ConfigResource::new(ResourceType::Topic, name);
        if let Err(message) = rules.validate(&resource, &settings) {
            return refuse(ErrorCode::InvalidConfig, message);
        }
        let replicas = match creatable.assignments.is_empty() {
            true => self.place_topic(rng, creatable, made)?,
            false => self.assigned(creatable, made)?,
        };
        let topic_id = Uuid::random(rng);
        let head = TopicRecord { name: name.clone(), topic_id, ..Default::default() };
        let mut records = vec![head.into()];
        records
            .extend(settings.iter().map(|(key, value)| config_record(&resource, key, Some(value.clone()))));
        for (index, replicas) in replicas.iter().enumerate() {
            records.push(self.new_partition(topic_id, index, replicas)?);
        }
        made.alike.extend(alike_key(name));
        let response = CreatableTopicResult {
            name: name.clone(),
            topic_id,
            num_partitions: replicas.len() as i32,
            replication_factor: replicas.first().map_or(-1, |first| first.len() as i16),
            configs: Some(self.effective_configs(rules, name, &settings)),
            ..Default::default()
        };
        Ok((records, response))
    }

    fn place_topic(
        &self,
        rng: &mut dyn Rng,
        creatable: &CreatableTopic,
        made: &mut Made,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let count = match creatable.num_partitions {
            -1 => self.config.default_partitions,
            count => count,
        };
        if count < 1 {
            return refuse(
                ErrorCode::InvalidPartitions,
                format!("the number of partitions is {count}; it must be 1 or more, or -1 for the default"),
            );
        }
        let factor = match creatable.replication_factor {
            -1 => self.config.default_replication_factor,
            factor => factor,
        };
        let partitions = count as usize;
        made.count(partitions)?;
        let spec = PlacementSpec { start_partition: 0, partitions, replication_factor: factor };
        place(spec, &self.usable_brokers(), rng)
    }

    fn usable_brokers(&self) -> Vec<UsableBroker> {
        let usable = |broker: &std::sync::Arc<crate::image::BrokerImage>| UsableBroker {
            id: broker.id,
            rack: broker.rack.clone(),
            fenced: !broker.is_active(),
        };
        self.image().brokers.values().map(usable).collect()
    }

    /// The replicas of a topic whose maker has chosen them.
    fn assigned(&self, creatable: &CreatableTopic, made: &mut Made) -> Result<Vec<Vec<NodeId>>, Refusal> {
        if creatable.num_partitions != -1 || creatable.replication_factor != -1 {
            return refuse(
                ErrorCode::InvalidRequest,
                "replicas were assigned by hand, so the number of partitions and the replication factor must be -1",
            );
        }
        made.count(creatable.assignments.len())?;
        let mut out: Vec<Option<Vec<NodeId>>> = vec![None; creatable.assignments.len()];
        for assignment in &creatable.assignments {
            let slot = usize::try_from(assignment.partition_index).ok().and_then(|at| out.get_mut(at));
            let Some(slot @ None) = slot else {
                return refuse(
                    ErrorCode::InvalidReplicaAssignment,
                    format!(
                        "partition {} is out of order: partitions count up from 0",
                        assignment.partition_index
                    ),
                );
            };
            let factor = creatable.assignments[0].broker_ids.len();
            *slot =
                Some(self.check_assignment(assignment.partition_index, &assignment.broker_ids, factor)?);
        }
        Ok(out.into_iter().flatten().collect())
    }

    fn check_assignment(
        &self,
        partition: i32,
        brokers: &[i32],
        factor: usize,
    ) -> Result<Vec<NodeId>, Refusal> {
        let code = ErrorCode::InvalidReplicaAssignment;
        if brokers.is_empty() {
            return refuse(code, format!("partition {partition} is assigned to no broker"));
        }
        if brokers.len() != factor {
            let count = brokers.len();
            return refuse(
                code,
                format!(
                    "partition {partition} is assigned to {count} brokers, others to {factor}; all must be alike"
                ),
            );
        }
        if let Some(id) = twice(brokers.iter().copied()).first() {
            return refuse(code, format!("partition {partition} is assigned to broker {id} twice"));
        }
        if let Some(id) = brokers.iter().find(|id| !self.image().brokers.contains_key(&NodeId(**id))) {
            return refuse(
                code,
                format!("partition {partition} is assigned to broker {id}, which is not registered"),
            );
        }
        Ok(brokers.iter().copied().map(NodeId).collect())
    }

    /// A new partition: those of its replicas that are up are in sync, and the first of them leads.
    fn new_partition(
        &self,
        topic_id: Uuid,
        index: usize,
        replicas: &[NodeId],
    ) -> Result<MetadataRecord, Refusal> {
        let isr: Vec<NodeId> =
            replicas.iter().copied().filter(|node| self.image().is_active(*node)).collect();
        let Some(leader) = isr.first() else {
            return refuse(
                ErrorCode::InvalidReplicaAssignment,
                format!(
                    "all brokers of partition {index} are fenced or shutting down; try again when one is up"
                ),
            );
        };
        Ok(PartitionRecord {
            partition_id: index as i32,
            topic_id,
            replicas: ids(replicas),
            isr: ids(&isr),
            leader: leader.0,
            leader_recovery_state: 0,
            leader_epoch: 0,
            partition_epoch: 0,
            directories: replicas.iter().map(|node| self.default_directory(*node)).collect(),
            ..Default::default()
        }
        .into())
    }

    fn effective_configs(
        &self,
        rules: &dyn ConfigRules,
        topic: &str,
        settings: &ConfigMap,
    ) -> Vec<CreatableTopicConfigs> {
        let names = rules.names(ResourceType::Topic).into_iter();
        names
            .map(|name| {
                let sensitive = rules.definition(ResourceType::Topic, &name).is_some_and(|d| d.is_sensitive);
                let own = settings.get(&name);
                let value = own.cloned().or_else(|| self.topic_setting(rules, topic, &name));
                let source = if own.is_some() { ConfigSource::DynamicTopic } else { ConfigSource::Default };
                CreatableTopicConfigs {
                    name,
                    value: value.filter(|_| !sensitive),
                    read_only: false,
                    config_source: source as i8,
                    is_sensitive: sensitive,
                    ..Default::default()
                }
            })
            .collect()
    }

    /// DeleteTopics, by name or by id.
    pub fn delete_topics(&self, request: &DeleteTopicsRequest) -> Decision<DeleteTopicsResponse> {
        let by_old_names = request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::ZERO));
        let by_state = request.topics.iter().map(|state| (state.name.clone(), state.topic_id));
        let mut decision = Decision { records: Vec::new(), response: DeleteTopicsResponse::default() };
        let mut gone = BTreeSet::new();
        for (name, id) in by_old_names.chain(by_state) {
            let mut response = DeletableTopicResult {
                name: name.clone(),
                topic_id: id,
                error_code: 0,
                ..Default::default()
            };
            let found = self.topic_to_delete(name.as_deref(), id).and_then(|topic| {
                if !gone.insert(topic.id) {
                    return refuse(ErrorCode::InvalidRequest, "the topic is named twice in the request");
                }
                Ok(topic)
            });
            match found {
                Ok(topic) => {
                    response.name = Some(topic.name.to_string());
                    response.topic_id = topic.id;
                    let record = RemoveTopicRecord { topic_id: topic.id, ..Default::default() };
                    decision.records.push(record.into());
                }
                Err(refusal) => {
                    response.error_code = refusal.code.code();
                    response.error_message = Some(refusal.message);
                }
            }
            decision.response.responses.push(response);
        }
        decision
    }

    fn topic_to_delete(&self, name: Option<&str>, id: Uuid) -> Result<&TopicImage, Refusal> {
        let topics = &self.image().topics;
        match (name, id.is_zero()) {
            (Some(_), false) => refuse(ErrorCode::InvalidRequest, "give a topic's name or its id, not both"),
            (None, true) => refuse(ErrorCode::InvalidRequest, "give a topic's name or its id"),
            (Some(name), true) => match topics.by_name(name) {
                Some(topic) => Ok(topic),
                None => {
                    refuse(ErrorCode::UnknownTopicOrPartition, format!("the topic \"{name}\" does not exist"))
                }
            },
            (None, false) => match topics.by_id(id) {
                Some(topic) => Ok(topic),
                None => refuse(ErrorCode::UnknownTopicId, format!("no topic has the id {id}")),
            },
        }
    }

    /// CreatePartitions: a topic's new number of partitions, the new ones placed or assigned.
    pub fn create_partitions(
        &self,
        rng: &mut dyn Rng,
        request: &CreatePartitionsRequest,
    ) -> Decision<CreatePartitionsResponse> {
        let mut decision = Decision { records: Vec::new(), response: CreatePartitionsResponse::default() };
        let twice = twice(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut named = BTreeSet::new();
        let mut made = Made::default();
        for grown in &request.topics {
            if !named.insert(grown.name.as_str()) {
                continue;
            }
            let result = match twice.contains(grown.name.as_str()) {
                true => refuse(ErrorCode::InvalidRequest, "the topic is named twice in the request"),
                false => self.grow_topic(rng, grown, &mut made),
            };
            let mut response = CreatePartitionsTopicResult { name: grown.name.clone(), ..Default::default() };
            match result {
                Ok(records) if request.validate_only => drop(records),
                Ok(records) => decision.records.extend(records),
                Err(refusal) => {
                    response.error_code = refusal.code.code();
                    response.error_message = Some(refusal.message);
                }
            }
            decision.response.results.push(response);
        }
        decision
    }

    fn grow_topic(
        &self,
        rng: &mut dyn Rng,
        grown: &CreatePartitionsTopic,
        made: &mut Made,
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        let Some(topic) = self.image().topics.by_name(&grown.name) else {
            let message = format!("the topic \"{}\" does not exist", grown.name);
            return refuse(ErrorCode::UnknownTopicOrPartition, message);
        };
        let now = topic.partitions.len();
        let wanted = usize::try_from(grown.count).unwrap_or(0);
        if wanted <= now {
            return refuse(
                ErrorCode::InvalidPartitions,
                format!("the topic has {now} partition(s) already, so {} is no growth", grown.count),
            );
        }
        let partitions = wanted - now;
        made.count(partitions)?;
        let factor = topic.partitions.first().map_or(1, |first| first.replicas.len());
        let replicas = match &grown.assignments {
            None => {
                let spec =
                    PlacementSpec { start_partition: now, partitions, replication_factor: factor as i16 };
                place(spec, &self.usable_brokers(), rng)?
            }
            Some(assignments) if assignments.len() != partitions => {
                return refuse(
                    ErrorCode::InvalidReplicaAssignment,
                    format!(
                        "{partitions} partition(s) are to be added, but {} are assigned",
                        assignments.len()
                    ),
                );
            }
            Some(assignments) => {
                let check = |(at, assignment): (usize, &_)| {
                    let assignment: &millstream_wire::message::create_partitions_request::CreatePartitionsAssignment =
                        assignment;
                    self.check_assignment((now + at) as i32, &assignment.broker_ids, factor)
                };
                assignments.iter().enumerate().map(check).collect::<Result<_, _>>()?
            }
        };
        let add = |(at, replicas): (usize, &Vec<NodeId>)| self.new_partition(topic.id, now + at, replicas);
        replicas.iter().enumerate().map(add).collect()
    }
}
