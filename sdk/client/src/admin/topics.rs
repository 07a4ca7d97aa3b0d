//! Topics, their partitions, configs and records. Never enters: groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_types::{NodeId, TopicPartition, Uuid};
use millstream_wire::message::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use millstream_wire::message::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use millstream_wire::message::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use millstream_wire::message::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use millstream_wire::message::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_wire::message::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::Admin;
use crate::cluster::{Purpose, Topic};
use crate::config::Isolation;
use crate::consumer::offsets::{self, ListedOffset};
use crate::error::{ClientError, Result};

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the broker's default.
    pub partitions: i32,
    /// How many replicas; -1 for the broker's default.
    pub replication_factor: i16,
    /// The brokers of each partition, where the cluster is not to choose.
    pub assignments: BTreeMap<i32, Vec<NodeId>>,
    /// Its configs.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's default replication factor.
    pub fn new(name: &str, partitions: i32) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions,
            replication_factor: -1,
            assignments: BTreeMap::new(),
            configs: BTreeMap::new(),
        }
    }

    /// The same with a config.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> NewTopic {
        self.configs.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A topic, as metadata shows it.
pub type TopicDescription = Topic;

/// What has configs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker; `None` is the default for all.
    Broker(Option<NodeId>),
    /// A consumer group.
    Group(String),
}

impl ConfigResource {
    fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) => 4,
            ConfigResource::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name) | ConfigResource::Group(name) => name.clone(),
            ConfigResource::Broker(node) => node.map(|node| node.to_string()).unwrap_or_default(),
        }
    }
}

/// A config and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` where it is secret or has none.
    pub value: Option<String>,
    /// Kafka's number of the source: 1 topic, 2 broker, 3 default of all brokers, 4 static, 5 built in, 8 group.
    pub source: i8,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Whether its value is not shown.
    pub sensitive: bool,
}

/// A change of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Set it.
    Set(String, String),
    /// Take it away, so that the default counts.
    Delete(String),
    /// Add to a list.
    Append(String, String),
    /// Take from a list.
    Subtract(String, String),
}

impl Admin {
    /// Creates topics. The first one that fails makes the call fail; the others may have been created.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<BTreeMap<String, Uuid>> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(to_wire).collect(),
            timeout_ms: self.timeout_ms(),
            ..CreateTopicsRequest::default()
        };
        self.any(&request, |response| {
            let mut ids = BTreeMap::new();
            for topic in response.topics {
                let what = format!("creating topic {}", topic.name);
                ClientError::check_with(&what, topic.error_code, topic.error_message.as_deref())?;
                ids.insert(topic.name, topic.topic_id);
            }
            Ok(ids)
        })
        .await
    }

    /// Deletes topics by name.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<()> {
        let node = self.some_broker().await?;
        let conn = self.cluster.conn(node, Purpose::Main).await?;
        let version = conn.version_of::<DeleteTopicsRequest>()?;
        let mut request =
            DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..DeleteTopicsRequest::default() };
        if version >= 6 {
            let by_name = |name: &&str| DeleteTopicState {
                name: Some((*name).to_owned()),
                ..DeleteTopicState::default()
            };
            request.topics = names.iter().map(by_name).collect();
        } else {
            request.topic_names = names.iter().map(|name| (*name).to_owned()).collect();
        }
        self.any(&request, |response| {
            for topic in response.responses {
                let what = format!("deleting topic {}", topic.name.unwrap_or_default());
                ClientError::check_with(&what, topic.error_code, topic.error_message.as_deref())?;
            }
            Ok(())
        })
        .await
    }

    async fn some_broker(&self) -> Result<NodeId> {
        if self.cluster.metadata().brokers.is_empty() {
            self.cluster.refresh().await?;
        }
        let metadata = self.cluster.metadata();
        metadata.brokers.keys().next().copied().ok_or_else(|| ClientError::state("the cluster has no broker"))
    }

    /// Raises a topic's partition count to `count`.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<()> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: topic.to_owned(),
                count,
                assignments: None,
                ..CreatePartitionsTopic::default()
            }],
            timeout_ms: self.timeout_ms(),
            ..CreatePartitionsRequest::default()
        };
        self.any(&request, |response| {
            for result in response.results {
                let what = format!("adding partitions to {}", result.name);
                ClientError::check_with(&what, result.error_code, result.error_message.as_deref())?;
            }
            Ok(())
        })
        .await
    }

    /// All topics by name.
    pub async fn list_topics(&self) -> Result<BTreeMap<Arc<str>, TopicDescription>> {
        Ok(self.retrying(|| self.cluster.refresh_all()).await?.topics.clone())
    }

    /// One topic; an error where it does not exist.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription> {
        let name: Arc<str> = name.into();
        let all = self.list_topics().await?;
        all.get(&name).cloned().ok_or_else(|| ClientError::Broker {
            what: format!("describing topic {name}").into(),
            code: millstream_types::ErrorCode::UnknownTopicOrPartition,
            message: None,
        })
    }

    /// The configs of a resource.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name(),
                configuration_keys: None,
                ..DescribeConfigsResource::default()
            }],
            ..DescribeConfigsRequest::default()
        };
        let what = format!("describing the configs of {resource:?}");
        let check = |response: millstream_wire::message::DescribeConfigsResponse| {
            let mut entries = Vec::new();
            for result in response.results {
                ClientError::check_with(&what, result.error_code, result.error_message.as_deref())?;
                entries.extend(result.configs.into_iter().map(|config| ConfigEntry {
                    name: config.name,
                    value: config.value,
                    source: config.config_source,
                    read_only: config.read_only,
                    sensitive: config.is_sensitive,
                }));
            }
            Ok(entries)
        };
        match resource {
            // A broker knows its own configs only.
            ConfigResource::Broker(Some(node)) => {
                self.some_broker().await?;
                self.retrying(|| async { check(self.cluster.call(*node, Purpose::Main, &request).await?) })
                    .await
            }
            _ => self.any(&request, check).await,
        }
    }

    /// Changes configs of a resource, and leaves the others as they are.
    pub async fn alter_configs(&self, resource: &ConfigResource, changes: &[ConfigOp]) -> Result<()> {
        let change = |change: &ConfigOp| {
            let (name, config_operation, value) = match change {
                ConfigOp::Set(name, value) => (name, 0, Some(value)),
                ConfigOp::Delete(name) => (name, 1, None),
                ConfigOp::Append(name, value) => (name, 2, Some(value)),
                ConfigOp::Subtract(name, value) => (name, 3, Some(value)),
            };
            AlterableConfig {
                name: name.clone(),
                config_operation,
                value: value.cloned(),
                ..AlterableConfig::default()
            }
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name(),
                configs: changes.iter().map(change).collect(),
                ..AlterConfigsResource::default()
            }],
            ..IncrementalAlterConfigsRequest::default()
        };
        let what = format!("changing the configs of {resource:?}");
        self.any(&request, |response| {
            for result in response.responses {
                ClientError::check_with(&what, result.error_code, result.error_message.as_deref())?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes the records before an offset of each partition (-1: all up to the high watermark); returns the new log start
    /// offsets.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.know(before.keys()).await?;
        self.retrying(|| async {
            let metadata = self.cluster.refresh().await?;
            let mut by_node: BTreeMap<NodeId, BTreeMap<&Arc<str>, Vec<DeleteRecordsPartition>>> =
                BTreeMap::new();
            for (partition, offset) in before {
                let leader = metadata.leader(partition).ok_or_else(|| ClientError::Broker {
                    what: format!("deleting records of {partition}").into(),
                    code: millstream_types::ErrorCode::LeaderNotAvailable,
                    message: None,
                })?;
                by_node.entry(leader.node).or_default().entry(&partition.topic).or_default().push(
                    DeleteRecordsPartition {
                        partition_index: partition.partition,
                        offset: *offset,
                        ..DeleteRecordsPartition::default()
                    },
                );
            }
            let mut low = BTreeMap::new();
            for (node, topics) in by_node {
                let topics = topics.into_iter().map(|(name, partitions)| DeleteRecordsTopic {
                    name: name.to_string(),
                    partitions,
                    ..DeleteRecordsTopic::default()
                });
                let request = DeleteRecordsRequest {
                    topics: topics.collect(),
                    timeout_ms: self.timeout_ms(),
                    ..DeleteRecordsRequest::default()
                };
                for topic in self.cluster.call(node, Purpose::Main, &request).await?.topics {
                    for p in topic.partitions {
                        let partition = TopicPartition::new(topic.name.as_str(), p.partition_index);
                        ClientError::check(&format!("deleting records of {partition}"), p.error_code)?;
                        low.insert(partition, p.low_watermark);
                    }
                }
            }
            Ok(low)
        })
        .await
    }

    /// Offsets by timestamp (milliseconds since 1970; -2 for the first, -1 for the end).
    pub async fn list_offsets(
        &self,
        isolation: Isolation,
        timestamp: i64,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        self.know(partitions).await?;
        offsets::list_offsets(&self.cluster, isolation, timestamp, partitions).await
    }

    pub(super) async fn know<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        for partition in partitions {
            self.cluster.topic(&partition.topic, self.within()).await?;
        }
        Ok(())
    }
}

fn to_wire(topic: &NewTopic) -> CreatableTopic {
    let by_hand = !topic.assignments.is_empty();
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: if by_hand { -1 } else { topic.partitions },
        replication_factor: if by_hand { -1 } else { topic.replication_factor },
        assignments: topic
            .assignments
            .iter()
            .map(|(partition_index, brokers)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: brokers.iter().map(|node| node.0).collect(),
                ..CreatableReplicaAssignment::default()
            })
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.clone(),
                value: Some(value.clone()),
                ..CreatableTopicConfig::default()
            })
            .collect(),
        ..CreatableTopic::default()
    }
}
