//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn: handed to the transaction coordinator. DescribeTransactions,
//! ListTransactions, DescribeProducers: what tools see of them.

use std::sync::Arc;

use millstream_txn::{Answer, Input, Partitions, Token, TxnState, Version};
use millstream_types::hash::coordinator_partition;
use millstream_types::topic::CONSUMER_OFFSETS;
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::message::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use millstream_wire::message::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use millstream_wire::message::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use millstream_wire::message::describe_transactions_response::{TopicData, TransactionState};
use millstream_wire::message::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse, list_transactions_response,
};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::handler::replica;

/// A fenced producer's code: older clients know INVALID_PRODUCER_EPOCH alone (KIP-588).
fn fenced(error: ErrorCode, new_from: i16, version: i16) -> i16 {
    match error {
        ErrorCode::ProducerFenced if version < new_from => ErrorCode::InvalidProducerEpoch.code(),
        error => error.code(),
    }
}

/// Serves InitProducerId.
pub fn init_producer_id(broker: &Arc<Broker>, cx: Context, request: InitProducerIdRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.blocking(async move {
        let ask = broker.transactions.ask(move |token| Input::InitProducerId {
            token,
            transactional_id: request.transactional_id,
            timeout_ms: request.transaction_timeout_ms,
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
        });
        match ask.await {
            Some(Answer::ProducerId { error, producer_id, producer_epoch }) => InitProducerIdResponse {
                error_code: fenced(error, 4, version),
                producer_id,
                producer_epoch,
                ..Default::default()
            },
            _ => InitProducerIdResponse {
                error_code: ErrorCode::CoordinatorNotAvailable.code(),
                producer_epoch: -1,
                ..Default::default()
            },
        }
    })
}

fn partitions_of(topics: &[AddPartitionsToTxnTopic]) -> Partitions {
    let mut all = Partitions::new();
    for topic in topics {
        all.entry(topic.name.clone()).or_default().extend(topic.partitions.iter().copied());
    }
    all
}

/// Asks the coordinator to add, or only to verify; the rows of the answer.
async fn add(
    broker: &Broker,
    topics: Vec<AddPartitionsToTxnTopic>,
    code: impl Fn(ErrorCode) -> i16,
    ask: impl FnOnce(Token, Partitions) -> Input + Send + 'static,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let partitions = partitions_of(&topics);
    let image = broker.image();
    let exists = |topic: &str, p: i32| {
        let known = image.topics.by_name(topic);
        known.is_some_and(|t| usize::try_from(p).is_ok_and(|p| p < t.partitions.len()))
    };
    let all_there = partitions.iter().all(|(topic, ps)| ps.iter().all(|p| exists(topic, *p)));
    let (error, refused) = if all_there {
        match broker.transactions.ask(move |token| ask(token, partitions)).await {
            Some(Answer::Partitions { error, refused }) => (error, refused),
            _ => (ErrorCode::CoordinatorNotAvailable, Partitions::new()),
        }
    } else {
        // All or none: what is there is not attempted (Kafka's OPERATION_NOT_ATTEMPTED).
        (ErrorCode::OperationNotAttempted, Partitions::new())
    };
    let row = |topic: &AddPartitionsToTxnTopic, p: i32| {
        let outside = refused.get(&topic.name).is_some_and(|ps| ps.contains(&p));
        let error = match error {
            ErrorCode::OperationNotAttempted if !exists(&topic.name, p) => ErrorCode::UnknownTopicOrPartition,
            ErrorCode::None if outside => ErrorCode::TransactionAbortable,
            error => error,
        };
        AddPartitionsToTxnPartitionResult {
            partition_index: p,
            partition_error_code: code(error),
            ..Default::default()
        }
    };
    topics
        .iter()
        .map(|topic| AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: topic.partitions.iter().map(|p| row(topic, *p)).collect(),
            ..Default::default()
        })
        .collect()
}

/// Serves AddPartitionsToTxn.
pub fn add_partitions(broker: &Arc<Broker>, cx: Context, request: AddPartitionsToTxnRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.blocking(async move {
        let mut answer = AddPartitionsToTxnResponse::default();
        if version < 4 {
            let (id, producer) = (
                request.v3_and_below_transactional_id,
                (request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
            );
            let ask = move |token, partitions| Input::AddPartitions {
                token,
                transactional_id: id,
                producer_id: producer.0,
                producer_epoch: producer.1,
                version: Version::V1,
                partitions,
                verify_only: false,
            };
            let code = |error| fenced(error, 2, version);
            answer.results_by_topic_v3_and_below = add(&broker, request.v3_and_below_topics, code, ask).await;
            return answer;
        }
        for transaction in request.transactions {
            let id = transaction.transactional_id.clone();
            let producer = (transaction.producer_id, transaction.producer_epoch);
            let verify_only = transaction.verify_only;
            let ask = move |token, partitions| Input::AddPartitions {
                token,
                transactional_id: id,
                producer_id: producer.0,
                producer_epoch: producer.1,
                version: if version >= 5 { Version::V2 } else { Version::V1 },
                partitions,
                verify_only,
            };
            let topic_results = add(&broker, transaction.topics, |error| error.code(), ask).await;
            answer.results_by_transaction.push(AddPartitionsToTxnResult {
                transactional_id: transaction.transactional_id,
                topic_results,
                ..Default::default()
            });
        }
        answer
    })
}

/// Serves AddOffsetsToTxn: the group's partition of `__consumer_offsets` takes part.
pub fn add_offsets(broker: &Arc<Broker>, cx: Context, request: AddOffsetsToTxnRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.blocking(async move {
        let shards = broker.image().topics.by_name(CONSUMER_OFFSETS).map_or(0, |t| t.partitions.len() as i32);
        if shards == 0 {
            let error_code = ErrorCode::CoordinatorNotAvailable.code();
            return AddOffsetsToTxnResponse { error_code, ..Default::default() };
        }
        let shard = coordinator_partition(&request.group_id, shards);
        let ask = broker.transactions.ask(move |token| Input::AddPartitions {
            token,
            transactional_id: request.transactional_id,
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
            version: Version::V1,
            partitions: Partitions::from([(CONSUMER_OFFSETS.to_owned(), [shard].into())]),
            verify_only: false,
        });
        let error = match ask.await {
            Some(Answer::Partitions { error, .. }) => error,
            _ => ErrorCode::CoordinatorNotAvailable,
        };
        AddOffsetsToTxnResponse { error_code: fenced(error, 2, version), ..Default::default() }
    })
}

/// Serves EndTxn.
pub fn end(broker: &Arc<Broker>, cx: Context, request: EndTxnRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.blocking(async move {
        let ask = broker.transactions.ask(move |token| Input::EndTxn {
            token,
            transactional_id: request.transactional_id,
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
            commit: request.committed,
            version: if version >= 5 { Version::V2 } else { Version::V1 },
        });
        match ask.await {
            Some(Answer::End { error, producer_id, producer_epoch }) => EndTxnResponse {
                error_code: fenced(error, 2, version),
                producer_id: if version >= 5 { producer_id } else { -1 },
                producer_epoch: if version >= 5 { producer_epoch } else { -1 },
                ..Default::default()
            },
            _ => {
                EndTxnResponse { error_code: ErrorCode::CoordinatorNotAvailable.code(), ..Default::default() }
            }
        }
    })
}

/// Serves DescribeTransactions.
pub fn describe(broker: &Arc<Broker>, cx: Context, request: DescribeTransactionsRequest) -> Begun {
    let broker = Arc::clone(broker);
    cx.later(async move {
        let mut answer = DescribeTransactionsResponse::default();
        for transactional_id in request.transactional_ids {
            let row = match broker.transactions.describe(transactional_id.clone()).await {
                Ok(found) => TransactionState {
                    transactional_id,
                    transaction_state: found.state.name().to_owned(),
                    transaction_timeout_ms: found.timeout_ms,
                    transaction_start_time_ms: found.start_ms,
                    producer_id: found.producer_id,
                    producer_epoch: found.producer_epoch,
                    topics: found
                        .partitions
                        .into_iter()
                        .map(|(topic, ps)| TopicData {
                            topic,
                            partitions: ps.into_iter().collect(),
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                },
                Err(error) => {
                    TransactionState { error_code: error.code(), transactional_id, ..Default::default() }
                }
            };
            answer.transaction_states.push(row);
        }
        answer
    })
}

/// Serves ListTransactions.
pub fn list(broker: &Arc<Broker>, cx: Context, request: ListTransactionsRequest) -> Begun {
    let broker = Arc::clone(broker);
    cx.later(async move {
        let states: Vec<TxnState> =
            request.state_filters.iter().filter_map(|s| TxnState::from_name(s)).collect();
        let unknown = request.state_filters.iter().filter(|s| TxnState::from_name(s).is_none());
        let now = broker.clock.monotonic_ms();
        let mut answer = ListTransactionsResponse {
            unknown_state_filters: unknown.cloned().collect(),
            ..Default::default()
        };
        for found in broker.transactions.list().await {
            let open_ms = if found.start_ms < 0 { 0 } else { now - found.start_ms };
            let wanted = (request.state_filters.is_empty() || states.contains(&found.state))
                && (request.producer_id_filters.is_empty()
                    || request.producer_id_filters.contains(&found.producer_id))
                && (request.duration_filter < 0 || open_ms > request.duration_filter);
            if wanted {
                answer.transaction_states.push(list_transactions_response::TransactionState {
                    transactional_id: found.transactional_id,
                    producer_id: found.producer_id,
                    transaction_state: found.state.name().to_owned(),
                    ..Default::default()
                });
            }
        }
        answer
    })
}

/// Serves DescribeProducers.
pub fn describe_producers(broker: &Arc<Broker>, cx: Context, request: DescribeProducersRequest) -> Begun {
    let image = broker.image();
    let mut answer = DescribeProducersResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for partition_index in &topic.partition_indexes {
            let mut row = PartitionResponse { partition_index: *partition_index, ..Default::default() };
            match replica(broker, &image, &topic.name, Uuid::ZERO, *partition_index) {
                Ok(partition) => {
                    row.active_producers = partition.look(|log, _| {
                        let states = log.producers().entries().iter();
                        let state =
                            |(id, p): (&i64, &millstream_log::producer_state::ProducerEntry)| ProducerState {
                                producer_id: *id,
                                producer_epoch: i32::from(p.epoch),
                                last_sequence: p.last_sequence(),
                                last_timestamp: p.last_timestamp,
                                coordinator_epoch: p.coordinator_epoch,
                                current_txn_start_offset: p.txn_first_offset.unwrap_or(-1),
                                ..Default::default()
                            };
                        states.map(state).collect()
                    });
                }
                Err(error) => row.error_code = error.code(),
            }
            partitions.push(row);
        }
        let name = topic.name.clone();
        answer.topics.push(TopicResponse { name, partitions, ..Default::default() });
    }
    cx.ready(&answer)
}
