//! A change of an image: records go in one after another, and a new image comes out, together with what changed.
//! The same records on the same image give the same image, wherever it is done: controllers and brokers both run
//! this. Never enters: decisions; a record is a fact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_types::{NodeId, TopicIdPartition, Uuid};
use millstream_wire::record::metadata::{
    BrokerRegistrationChangeRecord, MetadataRecord, PartitionChangeRecord, PartitionRecord,
    RegisterBrokerRecord,
};

use crate::error::ApplyError;
use crate::features::SUPPORTED;
use crate::image::{
    BrokerImage, ConfigResource, DIRECTORY_UNASSIGNED, Endpoint, MetadataImage, PartitionImage, Provenance,
    ResourceType, TopicImage,
};

/// `leader` of a partition change that keeps the leader.
pub const NO_LEADER_CHANGE: i32 = -2;

/// What is different between two images.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Changes {
    /// Topics that are new.
    pub topics_created: BTreeSet<Uuid>,
    /// Topics that went, as they were.
    pub topics_deleted: BTreeMap<Uuid, Arc<TopicImage>>,
    /// Partitions that are new or changed, of topics that exist.
    pub partitions: BTreeSet<TopicIdPartition>,
    /// Brokers that came, went or changed.
    pub brokers: BTreeSet<NodeId>,
    /// Resources whose settings changed.
    pub configs: BTreeSet<ConfigResource>,
    /// Features whose level changed.
    pub features: BTreeSet<String>,
    /// Anything of: SCRAM credentials, access control entries, quotas, tokens, controllers.
    pub security: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct MetadataDelta {
    next: MetadataImage,
    changes: Changes,
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn leader(record: &'static str, id: i32) -> Result<Option<NodeId>, ApplyError> {
    match id {
        -1 => Ok(None),
        0.. => Ok(Some(NodeId(id))),
        _ => Err(ApplyError::Field { record, field: "leader", value: id.into() }),
    }
}

fn recovering(record: &'static str, state: i8) -> Result<bool, ApplyError> {
    match state {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ApplyError::Field { record, field: "leader_recovery_state", value: state.into() }),
    }
}

/// A partition as its record says.
fn partition_image(record: &PartitionRecord) -> Result<PartitionImage, ApplyError> {
    const NAME: &str = "PartitionRecord";
    let mut directories = record.directories.clone();
    directories.resize(record.replicas.len(), DIRECTORY_UNASSIGNED);
    Ok(PartitionImage {
        replicas: nodes(&record.replicas),
        isr: nodes(&record.isr),
        removing_replicas: nodes(&record.removing_replicas),
        adding_replicas: nodes(&record.adding_replicas),
        eligible_leader_replicas: nodes(record.eligible_leader_replicas.as_deref().unwrap_or(&[])),
        last_known_elr: nodes(record.last_known_elr.as_deref().unwrap_or(&[])),
        directories,
        leader: leader(NAME, record.leader)?,
        recovering: recovering(NAME, record.leader_recovery_state)?,
        leader_epoch: record.leader_epoch,
        partition_epoch: record.partition_epoch,
    })
}

/// A partition after a change: both epochs rise as Kafka's `PartitionRegistration.merge` has it.
pub(crate) fn merge(
    old: &PartitionImage,
    record: &PartitionChangeRecord,
) -> Result<PartitionImage, ApplyError> {
    const NAME: &str = "PartitionChangeRecord";
    let mut new = old.clone();
    let set = |field: &mut Vec<NodeId>, ids: &Option<Vec<i32>>| {
        if let Some(ids) = ids {
            *field = nodes(ids);
        }
    };
    set(&mut new.replicas, &record.replicas);
    set(&mut new.isr, &record.isr);
    set(&mut new.removing_replicas, &record.removing_replicas);
    set(&mut new.adding_replicas, &record.adding_replicas);
    set(&mut new.eligible_leader_replicas, &record.eligible_leader_replicas);
    set(&mut new.last_known_elr, &record.last_known_elr);
    new.directories = match &record.directories {
        Some(directories) => directories.clone(),
        // A replica keeps its directory where it stands in the list.
        None => new
            .replicas
            .iter()
            .map(|node| {
                let at = old.replicas.iter().position(|other| other == node);
                at.and_then(|at| old.directories.get(at).copied()).unwrap_or(DIRECTORY_UNASSIGNED)
            })
            .collect(),
    };
    new.directories.resize(new.replicas.len(), DIRECTORY_UNASSIGNED);
    if record.leader != NO_LEADER_CHANGE {
        new.leader = leader(NAME, record.leader)?;
        new.leader_epoch = old.leader_epoch.saturating_add(1);
    }
    if record.leader_recovery_state != -1 {
        new.recovering = recovering(NAME, record.leader_recovery_state)?;
    }
    new.partition_epoch = old.partition_epoch.saturating_add(1);
    Ok(new)
}

impl MetadataDelta {
    /// A delta that changes nothing yet.
    pub fn new(base: &MetadataImage) -> MetadataDelta {
        MetadataDelta { next: base.clone(), changes: Changes::default() }
    }

    /// The image as it would be now.
    pub fn image(&self) -> &MetadataImage {
        &self.next
    }

    /// What changed so far.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The new image, read up to `provenance`.
    pub fn finish(mut self, provenance: Provenance) -> (MetadataImage, Changes) {
        self.next.provenance = provenance;
        (self.next, self.changes)
    }

    /// Applies one record. After an error the delta is of no use. Transactions are [`Loader`](crate::Loader)'s.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::FeatureLevel(r) => {
                let supported = SUPPORTED.iter().find(|feature| feature.name == r.name);
                let supported = supported.map(|feature| (feature.min, feature.max));
                let fits = |(min, max): (i16, i16)| (min..=max).contains(&r.feature_level);
                if r.feature_level != 0 && !supported.is_some_and(fits) {
                    return Err(ApplyError::Feature {
                        name: r.name.clone(),
                        level: r.feature_level,
                        supported,
                    });
                }
                let features = Arc::make_mut(&mut self.next.features);
                match r.feature_level {
                    0 => features.remove(&r.name),
                    level => features.insert(r.name.clone(), level),
                };
                self.changes.features.insert(r.name.clone());
            }
            MetadataRecord::RegisterBroker(r) => self.register_broker(r),
            MetadataRecord::UnregisterBroker(r) => {
                self.broker("UnregisterBrokerRecord", r.broker_id, r.broker_epoch, |_| {})?;
                Arc::make_mut(&mut self.next.brokers).remove(&NodeId(r.broker_id));
            }
            MetadataRecord::FenceBroker(r) => {
                self.broker("FenceBrokerRecord", r.id, r.epoch, |broker| broker.fenced = true)?;
            }
            MetadataRecord::UnfenceBroker(r) => {
                self.broker("UnfenceBrokerRecord", r.id, r.epoch, |broker| broker.fenced = false)?;
            }
            MetadataRecord::BrokerRegistrationChange(r) => self.change_broker(r)?,
            MetadataRecord::Topic(r) => {
                let name: Arc<str> = r.name.as_str().into();
                if self.next.topics.by_name.get(&name).is_some()
                    || self.next.topics.by_id(r.topic_id).is_some()
                {
                    return Err(ApplyError::TopicExists(r.name.clone()));
                }
                self.next.topics.by_name.insert(name.clone(), r.topic_id);
                let topic = TopicImage { name, id: r.topic_id, partitions: Vec::new() };
                self.next.topics.by_id.insert(r.topic_id, Arc::new(topic));
                self.changes.topics_created.insert(r.topic_id);
            }
            MetadataRecord::RemoveTopic(r) => self.remove_topic(r.topic_id)?,
            MetadataRecord::Partition(r) => self.add_partition(r)?,
            MetadataRecord::PartitionChange(r) => {
                const NAME: &str = "PartitionChangeRecord";
                self.partition(NAME, r.topic_id, r.partition_id, |old| merge(old, r))?;
            }
            MetadataRecord::ClearElr(r) => self.clear_elr(&r.topic_name)?,
            MetadataRecord::Config(r) => {
                const NAME: &str = "ConfigRecord";
                let Some(kind) = ResourceType::from_wire(r.resource_type) else {
                    let value = r.resource_type.into();
                    return Err(ApplyError::Field { record: NAME, field: "resource_type", value });
                };
                let resource = ConfigResource::new(kind, &r.resource_name);
                let mut map = self.next.configs.get(&resource).map(|map| (**map).clone()).unwrap_or_default();
                match &r.value {
                    Some(value) => map.insert(r.name.clone(), value.clone()),
                    None => map.remove(&r.name),
                };
                if map.is_empty() {
                    self.next.configs.remove(&resource);
                } else {
                    self.next.configs.insert(resource.clone(), Arc::new(map));
                }
                self.changes.configs.insert(resource);
            }
            MetadataRecord::ProducerIds(r) => {
                if r.next_producer_id < self.next.next_producer_id {
                    return Err(ApplyError::Field {
                        record: "ProducerIdsRecord",
                        field: "next_producer_id",
                        value: r.next_producer_id,
                    });
                }
                self.next.next_producer_id = r.next_producer_id;
            }
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
            MetadataRecord::BeginTransaction(_) => {
                return Err(ApplyError::Transaction("BeginTransactionRecord"));
            }
            MetadataRecord::EndTransaction(_) => return Err(ApplyError::Transaction("EndTransactionRecord")),
            MetadataRecord::AbortTransaction(_) => {
                return Err(ApplyError::Transaction("AbortTransactionRecord"));
            }
            other => return self.apply_security(other),
        }
        Ok(())
    }

    fn apply_security(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        self.changes.security = true;
        let next = &mut self.next;
        match record {
            MetadataRecord::RegisterController(r) => {
                Arc::make_mut(&mut next.controllers).insert(r.controller_id, r.clone());
            }
            MetadataRecord::UnregisterController(r) => {
                Arc::make_mut(&mut next.controllers).remove(&r.controller_id);
            }
            MetadataRecord::UserScramCredential(r) => {
                Arc::make_mut(&mut next.scram).insert((r.name.clone(), r.mechanism), r.clone());
            }
            MetadataRecord::RemoveUserScramCredential(r) => {
                Arc::make_mut(&mut next.scram).remove(&(r.name.clone(), r.mechanism));
            }
            MetadataRecord::AccessControlEntry(r) => {
                Arc::make_mut(&mut next.acls).insert(r.id, r.clone());
            }
            MetadataRecord::RemoveAccessControlEntry(r) => {
                Arc::make_mut(&mut next.acls).remove(&r.id);
            }
            MetadataRecord::DelegationToken(r) => {
                Arc::make_mut(&mut next.delegation_tokens).insert(r.token_id.clone(), r.clone());
            }
            MetadataRecord::RemoveDelegationToken(r) => {
                Arc::make_mut(&mut next.delegation_tokens).remove(&r.token_id);
            }
            MetadataRecord::ClientQuota(r) => {
                let mut entity: Vec<_> =
                    r.entity.iter().map(|e| (e.entity_type.clone(), e.entity_name.clone())).collect();
                entity.sort();
                let quotas = Arc::make_mut(&mut next.quotas);
                match r.remove {
                    true => quotas.remove(&(entity, r.key.clone())),
                    false => quotas.insert((entity, r.key.clone()), r.clone()),
                };
            }
            // The enum grows with the wire's schemas; what is not handled above must not be skipped in silence.
            other => return Err(ApplyError::UnknownRecord(other.record_type())),
        }
        Ok(())
    }

    fn register_broker(&mut self, r: &RegisterBrokerRecord) {
        let broker = BrokerImage {
            id: NodeId(r.broker_id),
            epoch: r.broker_epoch,
            incarnation_id: r.incarnation_id,
            endpoints: r
                .end_points
                .iter()
                .map(|e| Endpoint {
                    name: e.name.clone(),
                    host: e.host.clone(),
                    port: e.port,
                    security_protocol: e.security_protocol,
                })
                .collect(),
            features: r
                .features
                .iter()
                .map(|f| (f.name.clone(), (f.min_supported_version, f.max_supported_version)))
                .collect(),
            rack: r.rack.clone(),
            fenced: r.fenced,
            in_controlled_shutdown: r.in_controlled_shutdown,
            log_dirs: r.log_dirs.clone(),
            cordoned_log_dirs: r.cordoned_log_dirs.clone().unwrap_or_default(),
        };
        self.changes.brokers.insert(broker.id);
        Arc::make_mut(&mut self.next.brokers).insert(broker.id, Arc::new(broker));
    }

    fn change_broker(&mut self, r: &BrokerRegistrationChangeRecord) -> Result<(), ApplyError> {
        const NAME: &str = "BrokerRegistrationChangeRecord";
        for (field, value) in [("fenced", r.fenced), ("in_controlled_shutdown", r.in_controlled_shutdown)] {
            if !(-1..=1).contains(&value) {
                return Err(ApplyError::Field { record: NAME, field, value: value.into() });
            }
        }
        self.broker(NAME, r.broker_id, r.broker_epoch, |broker| {
            match r.fenced {
                1 => broker.fenced = true,
                -1 => broker.fenced = false,
                _ => {}
            }
            if r.in_controlled_shutdown == 1 {
                broker.in_controlled_shutdown = true;
            }
            if !r.log_dirs.is_empty() {
                broker.log_dirs.clone_from(&r.log_dirs);
            }
            if let Some(cordoned) = &r.cordoned_log_dirs {
                broker.cordoned_log_dirs.clone_from(cordoned);
            }
        })
    }

    fn broker(
        &mut self,
        record: &'static str,
        id: i32,
        epoch: i64,
        change: impl FnOnce(&mut BrokerImage),
    ) -> Result<(), ApplyError> {
        let brokers = Arc::make_mut(&mut self.next.brokers);
        match brokers.get_mut(&NodeId(id)) {
            Some(broker) if broker.epoch == epoch => change(Arc::make_mut(broker)),
            _ => return Err(ApplyError::NoSuchBroker { record, broker: id, epoch }),
        }
        self.changes.brokers.insert(NodeId(id));
        Ok(())
    }

    fn remove_topic(&mut self, topic_id: Uuid) -> Result<(), ApplyError> {
        let Some(topic) = self.next.topics.by_id.remove(&topic_id) else {
            return Err(ApplyError::NoSuchTopic { record: "RemoveTopicRecord", topic_id });
        };
        self.next.topics.by_name.remove(&topic.name);
        let resource = ConfigResource { kind: ResourceType::Topic, name: topic.name.clone() };
        if self.next.configs.remove(&resource).is_some() {
            self.changes.configs.insert(resource);
        }
        let all =
            TopicIdPartition { topic_id, partition: 0 }..=TopicIdPartition { topic_id, partition: i32::MAX };
        let gone: Vec<_> = self.changes.partitions.range(all).copied().collect();
        for partition in gone {
            self.changes.partitions.remove(&partition);
        }
        if !self.changes.topics_created.remove(&topic_id) {
            self.changes.topics_deleted.insert(topic_id, topic);
        }
        Ok(())
    }

    fn add_partition(&mut self, r: &PartitionRecord) -> Result<(), ApplyError> {
        const NAME: &str = "PartitionRecord";
        let topic_id = r.topic_id;
        let Some(topic) = self.next.topics.by_id.get_mut(&topic_id) else {
            return Err(ApplyError::NoSuchTopic { record: NAME, topic_id });
        };
        let count = topic.partitions.len();
        let image = Arc::new(partition_image(r)?);
        let partitions = &mut Arc::make_mut(topic).partitions;
        match usize::try_from(r.partition_id) {
            Ok(at) if at < count => partitions[at] = image,
            Ok(at) if at == count => partitions.push(image),
            _ => {
                return Err(ApplyError::NoSuchPartition {
                    record: NAME,
                    topic_id,
                    partition: r.partition_id,
                    count,
                });
            }
        }
        self.changes.partitions.insert(TopicIdPartition { topic_id, partition: r.partition_id });
        Ok(())
    }

    fn partition(
        &mut self,
        record: &'static str,
        topic_id: Uuid,
        partition: i32,
        change: impl FnOnce(&PartitionImage) -> Result<PartitionImage, ApplyError>,
    ) -> Result<(), ApplyError> {
        let Some(topic) = self.next.topics.by_id.get_mut(&topic_id) else {
            return Err(ApplyError::NoSuchTopic { record, topic_id });
        };
        let count = topic.partitions.len();
        let at = usize::try_from(partition).ok().filter(|at| *at < count);
        let Some(at) = at else {
            return Err(ApplyError::NoSuchPartition { record, topic_id, partition, count });
        };
        let image = Arc::new(change(&topic.partitions[at])?);
        Arc::make_mut(topic).partitions[at] = image;
        self.changes.partitions.insert(TopicIdPartition { topic_id, partition });
        Ok(())
    }

    /// The empty name means every topic.
    fn clear_elr(&mut self, name: &str) -> Result<(), ApplyError> {
        let ids: Vec<Uuid> = match name {
            "" => self.next.topics.iter().map(|topic| topic.id).collect(),
            name => self.next.topics.by_name(name).map(|topic| topic.id).into_iter().collect(),
        };
        for topic_id in ids {
            let count = self.next.topics.by_id(topic_id).map_or(0, |topic| topic.partitions.len());
            for partition in 0..count as i32 {
                let old = self.next.topics.partition(topic_id, partition);
                if old.is_some_and(|p| !p.eligible_leader_replicas.is_empty() || !p.last_known_elr.is_empty())
                {
                    self.partition("ClearElrRecord", topic_id, partition, |old| {
                        let mut new = old.clone();
                        new.eligible_leader_replicas.clear();
                        new.last_known_elr.clear();
                        new.partition_epoch = new.partition_epoch.saturating_add(1);
                        Ok(new)
                    })?;
                }
            }
        }
        Ok(())
    }
}
