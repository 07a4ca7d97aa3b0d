//! Brokers, topics and leaders, as the last answers showed them. Owns how an answer is taken in: a leader is never set back
//! to an earlier term. Never enters: asking.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_types::{ErrorCode, NodeId, TopicPartition, Uuid};
use millstream_wire::message::metadata_response::MetadataResponse;

/// A partition's leader and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The broker.
    pub node: NodeId,
    /// Its term, or -1 where the broker does not say.
    pub epoch: i32,
}

/// A topic as metadata shows it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// The topic's id; zero from brokers before 2.8.
    pub id: Uuid,
    /// Whether it is the broker's own.
    pub internal: bool,
    /// The leader of each partition, by index; `None` where there is none now.
    pub leaders: Vec<Option<Leader>>,
}

impl Topic {
    /// How many partitions it has.
    pub fn partition_count(&self) -> i32 {
        self.leaders.len() as i32
    }
}

/// A broker as metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub node: NodeId,
    /// `host:port`.
    pub address: Arc<str>,
    /// Its rack.
    pub rack: Option<String>,
}

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The brokers that are up.
    pub brokers: BTreeMap<NodeId, Broker>,
    /// The topics that were asked for.
    pub topics: BTreeMap<Arc<str>, Topic>,
    /// Names by id.
    pub names: HashMap<Uuid, Arc<str>>,
}

impl Metadata {
    /// A partition's leader, where there is one.
    pub fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        let topic = self.topics.get(&partition.topic)?;
        topic.leaders.get(usize::try_from(partition.partition).ok()?).copied().flatten()
    }

    /// A topic's id; zero where it is not known.
    pub fn topic_id(&self, topic: &str) -> Uuid {
        self.topics.get(topic).map_or(Uuid::ZERO, |topic| topic.id)
    }

    pub(super) fn merge(&mut self, response: &MetadataResponse, everything: bool) {
        self.cluster_id.clone_from(&response.cluster_id);
        if !response.brokers.is_empty() {
            self.brokers = response
                .brokers
                .iter()
                .map(|broker| {
                    let address = format!("{}:{}", broker.host, broker.port).into();
                    let node = NodeId(broker.node_id);
                    (node, Broker { node, address, rack: broker.rack.clone() })
                })
                .collect();
        }
        if everything {
            self.topics.clear();
            self.names.clear();
        }
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            let name: Arc<str> = name.as_str().into();
            let gone = matches!(
                ErrorCode::from_code(topic.error_code),
                Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
            );
            if gone {
                if let Some(old) = self.topics.remove(&name) {
                    self.names.remove(&old.id);
                }
                continue;
            }
            if topic.error_code != 0 {
                continue;
            }
            let count = topic.partitions.iter().map(|p| p.partition_index + 1).max().unwrap_or(0).max(0);
            let mut leaders = vec![None; count as usize];
            let before = self.topics.get(&name).filter(|old| old.id == topic.topic_id);
            for partition in &topic.partitions {
                let Ok(index) = usize::try_from(partition.partition_index) else { continue };
                let mut leader = (partition.leader_id >= 0)
                    .then_some(Leader { node: NodeId(partition.leader_id), epoch: partition.leader_epoch });
                // An answer that was under way when a newer one came must not set the leader back.
                if let (Some(new), Some(Some(old))) = (leader, before.and_then(|t| t.leaders.get(index)))
                    && new.epoch >= 0
                    && new.epoch < old.epoch
                {
                    leader = Some(*old);
                }
                leaders[index] = leader;
            }
            if !topic.topic_id.is_zero() {
                self.names.insert(topic.topic_id, name.clone());
            }
            self.topics.insert(name, Topic { id: topic.topic_id, internal: topic.is_internal, leaders });
        }
    }
}
