//! Transactions as the cluster knows them: which there are, who writes to a partition, and their end from outside. Never
//! enters: a producer's own transactions (`producer`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_types::{ErrorCode, TopicPartition};
use millstream_wire::message::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use millstream_wire::message::describe_transactions_request::DescribeTransactionsRequest;
use millstream_wire::message::init_producer_id_request::InitProducerIdRequest;
use millstream_wire::message::list_transactions_request::ListTransactionsRequest;

use super::Admin;
use crate::cluster::{CoordinatorKind, Purpose};
use crate::error::{ClientError, Result};

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The id.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Its state, by Kafka's name: `Ongoing`, `Empty`, …
    pub state: String,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Its state, by Kafka's name.
    pub state: String,
    /// How long one of its producer may take.
    pub timeout: Duration,
    /// The partitions that it has written to, where it is open.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A producer that a partition knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// When it wrote last, in milliseconds since 1970.
    pub last_timestamp: i64,
    /// The first offset of its open transaction in this partition.
    pub transaction_start: Option<i64>,
}

impl Admin {
    /// The transactional ids of all brokers, in these states (by Kafka's names; none: in any), of these producer ids (none: of
    /// any), with a transaction that has been open for longer than this, where it is not zero and the broker can tell (Apache
    /// Kafka 3.8). Those that this client may not describe are left out.
    pub async fn list_transactions(
        &self,
        states: &[&str],
        producer_ids: &[i64],
        open_for: Duration,
    ) -> Result<Vec<TransactionListing>> {
        let request = ListTransactionsRequest {
            state_filters: states.iter().map(|state| (*state).to_owned()).collect(),
            producer_id_filters: producer_ids.to_vec(),
            ..ListTransactionsRequest::default()
        };
        self.retrying(|| async {
            let metadata = self.cluster.refresh().await?;
            let mut found = Vec::new();
            for node in metadata.brokers.keys() {
                let conn = self.cluster.conn(*node, Purpose::Main).await?;
                let mut request = request.clone();
                if !open_for.is_zero() && conn.version_of::<ListTransactionsRequest>()? >= 1 {
                    request.duration_filter = open_for.as_millis() as i64;
                }
                let response = self.cluster.call(*node, Purpose::Main, &request).await?;
                ClientError::check("listing transactions", response.error_code)?;
                found.extend(response.transaction_states.into_iter().map(|listed| TransactionListing {
                    transactional_id: listed.transactional_id,
                    producer_id: listed.producer_id,
                    state: listed.transaction_state,
                }));
            }
            found.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
            Ok(found)
        })
        .await
    }

    /// The transaction of a transactional id.
    pub async fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription> {
        let id: Arc<str> = transactional_id.into();
        let request = DescribeTransactionsRequest {
            transactional_ids: vec![transactional_id.to_owned()],
            ..DescribeTransactionsRequest::default()
        };
        let what = format!("describing the transaction of {transactional_id}");
        let kind = CoordinatorKind::Transaction;
        self.cluster
            .call_coordinator(kind, &id, self.within(), i16::MAX, &request, |response| {
                let found = response.transaction_states.into_iter().next();
                let found =
                    found.ok_or_else(|| ClientError::state(format!("{what}: the answer is empty")))?;
                ClientError::check(&what, found.error_code)?;
                let partitions = found.topics.into_iter().flat_map(|topic| {
                    let name: Arc<str> = topic.topic.into();
                    topic.partitions.into_iter().map(move |at| TopicPartition::new(Arc::clone(&name), at))
                });
                Ok(TransactionDescription {
                    state: found.transaction_state,
                    timeout: Duration::from_millis(found.transaction_timeout_ms.max(0) as u64),
                    partitions: partitions.collect(),
                })
            })
            .await
    }

    /// The producers that the leader of a partition knows.
    pub async fn describe_producers(&self, partition: &TopicPartition) -> Result<Vec<ActiveProducer>> {
        let request = DescribeProducersRequest {
            topics: vec![TopicRequest {
                name: partition.topic.to_string(),
                partition_indexes: vec![partition.partition],
                ..TopicRequest::default()
            }],
            ..DescribeProducersRequest::default()
        };
        let what = format!("describing the producers of {partition}");
        self.know([partition]).await?;
        self.retrying(|| async {
            let metadata = self.cluster.refresh().await?;
            let leader = metadata.leader(partition).ok_or_else(|| ClientError::Broker {
                what: what.as_str().into(),
                code: ErrorCode::LeaderNotAvailable,
                message: None,
            })?;
            let response = self.cluster.call(leader.node, Purpose::Main, &request).await?;
            let mut found = Vec::new();
            for answer in response.topics.into_iter().flat_map(|topic| topic.partitions) {
                ClientError::check_with(&what, answer.error_code, answer.error_message.as_deref())?;
                found.extend(answer.active_producers.into_iter().map(|active| ActiveProducer {
                    producer_id: active.producer_id,
                    epoch: active.producer_epoch,
                    last_timestamp: active.last_timestamp,
                    transaction_start:
                        (active.current_txn_start_offset >= 0).then_some(active.current_txn_start_offset),
                }));
            }
            Ok(found)
        })
        .await
    }

    /// Ends what the producer of a transactional id has open, and takes nothing more of that producer: its next request
    /// fails with [`ClientError::Fenced`]. Done when the transaction's end is in its partitions.
    pub async fn fence_producer(&self, transactional_id: &str) -> Result<()> {
        let id: Arc<str> = transactional_id.into();
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.to_owned()),
            // Whoever uses the id next says its own; and no cluster allows less.
            transaction_timeout_ms: 1_000,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        };
        let what = format!("ending the transactions of {transactional_id}");
        let kind = CoordinatorKind::Transaction;
        self.cluster
            .call_coordinator(kind, &id, self.within(), 5, &request, |response| {
                ClientError::check(&what, response.error_code)
            })
            .await
    }
}
