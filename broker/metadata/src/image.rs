//! The cluster's metadata at one offset of its log: immutable, cheap to clone and to share between threads. A new
//! one is made from the last by a [`MetadataDelta`](crate::MetadataDelta). Never enters: requests, decisions, time.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_types::{LeaderEpoch, NodeId, Offset, ProducerId, Uuid};
use millstream_wire::record::metadata::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, RegisterControllerRecord,
    UserScramCredentialRecord,
};

use crate::shard_map::{ShardKey, ShardMap, shard_of_text};

/// A replica that is in no known log directory yet (Kafka's `DirectoryId.UNASSIGNED`).
pub const DIRECTORY_UNASSIGNED: Uuid = Uuid([0; 16]);

/// Up to where an image has read the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Provenance {
    /// One past the last offset that it contains; a snapshot of it has this as its end offset.
    pub end_offset: Offset,
    /// The epoch of the last record.
    pub epoch: LeaderEpoch,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartitionImage {
    /// All replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The in-sync ones.
    pub isr: Vec<NodeId>,
    /// Replicas that a reassignment takes away when it ends.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Vec<NodeId>,
    /// Left the ISR while nothing could be committed without them: electable without loss (KIP-966).
    pub eligible_leader_replicas: Vec<NodeId>,
    /// The last leader of a partition that has none, when nobody is eligible.
    pub last_known_elr: Vec<NodeId>,
    /// Each replica's log directory, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    /// The leader, [`NodeId::NONE`] for none.
    pub leader: Option<NodeId>,
    /// Whether the leader was elected uncleanly and has not said that it has recovered.
    pub recovering: bool,
    /// Rises with each change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Rises with each change.
    pub partition_epoch: i32,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// Its partitions, by index.
    pub partitions: Vec<Arc<PartitionImage>>,
}

/// All topics.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicsImage {
    pub(crate) by_id: ShardMap<Uuid, Arc<TopicImage>>,
    pub(crate) by_name: ShardMap<Arc<str>, Uuid>,
}

impl TopicsImage {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// By id.
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.by_id.get(&id)
    }

    /// By name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_id.get(self.by_name.get(&Arc::from(name))?)
    }

    /// A partition by its topic's id.
    pub fn partition(&self, id: Uuid, partition: i32) -> Option<&Arc<PartitionImage>> {
        self.by_id.get(&id)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// All of them, by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_id.iter().map(|(_, topic)| topic)
    }
}

/// An address that a broker or controller listens at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// The host that is told to others.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Kafka's number: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Its id.
    pub id: NodeId,
    /// Its epoch: the offset of its registration.
    pub epoch: i64,
    /// Its process, by the id that it drew at start.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// The levels that it supports for each feature, lowest and highest.
    pub features: BTreeMap<String, (i16, i16)>,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is kept from leading and from the ISR: not heard of, or not caught up.
    pub fenced: bool,
    /// Whether it is going down, and gives its leaderships away.
    pub in_controlled_shutdown: bool,
    /// Its log directories that are online.
    pub log_dirs: Vec<Uuid>,
    /// Those that take no new partitions.
    pub cordoned_log_dirs: Vec<Uuid>,
}

impl BrokerImage {
    /// Whether it may lead, and be in an ISR.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Its endpoint of a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }
}

/// What a configuration belongs to, by Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A broker by its id, or all by the empty name.
    Broker = 4,
    /// A broker's log levels; never stored.
    BrokerLogger = 8,
    /// A subscription of client metrics.
    ClientMetrics = 16,
    /// A group.
    Group = 32,
}

impl ResourceType {
    /// By its number on the wire.
    pub fn from_wire(number: i8) -> Option<ResourceType> {
        use ResourceType::*;
        [Topic, Broker, BrokerLogger, ClientMetrics, Group].into_iter().find(|kind| *kind as i8 == number)
    }
}

/// A resource that has a configuration of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    /// What it is.
    pub kind: ResourceType,
    /// Its name; empty for the default of all brokers.
    pub name: Arc<str>,
}

impl ConfigResource {
    /// The resource `name` of a kind.
    pub fn new(kind: ResourceType, name: &str) -> ConfigResource {
        ConfigResource { kind, name: name.into() }
    }
}

impl ShardKey for ConfigResource {
    fn shard(&self) -> usize {
        shard_of_text(&self.name)
    }
}

/// A resource's own settings.
pub type ConfigMap = BTreeMap<String, String>;

/// An entity that a client quota is for: pairs of its type and its name, none for the default.
pub type QuotaEntity = Vec<(String, Option<String>)>;

/// The whole. Its fields are read freely; only a delta makes a changed one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MetadataImage {
    /// Up to where it has read.
    pub provenance: Provenance,
    /// Finalized feature levels, `metadata.version` among them.
    pub features: Arc<BTreeMap<String, i16>>,
    /// Registered brokers.
    pub brokers: Arc<BTreeMap<NodeId, Arc<BrokerImage>>>,
    /// Registered controllers, as their records say.
    pub controllers: Arc<BTreeMap<i32, RegisterControllerRecord>>,
    /// Topics and partitions.
    pub topics: TopicsImage,
    /// Settings.
    pub configs: ShardMap<ConfigResource, Arc<ConfigMap>>,
    /// The first producer id that no block has.
    pub next_producer_id: ProducerId,
    /// SCRAM credentials by user and mechanism.
    pub scram: Arc<BTreeMap<(String, i8), UserScramCredentialRecord>>,
    /// Access control entries by id.
    pub acls: Arc<BTreeMap<Uuid, AccessControlEntryRecord>>,
    /// Client quotas by entity and key.
    pub quotas: Arc<BTreeMap<(QuotaEntity, String), ClientQuotaRecord>>,
    /// Delegation tokens by id.
    pub delegation_tokens: Arc<BTreeMap<String, DelegationTokenRecord>>,
}

impl MetadataImage {
    /// The settings of a resource, if it has any.
    pub fn config(&self, kind: ResourceType, name: &str) -> Option<&Arc<ConfigMap>> {
        self.configs.get(&ConfigResource::new(kind, name))
    }

    /// Whether a broker is registered and may lead.
    pub fn is_active(&self, broker: NodeId) -> bool {
        self.brokers.get(&broker).is_some_and(|broker| broker.is_active())
    }

    /// A feature's finalized level, 0 if it has none.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }
}
