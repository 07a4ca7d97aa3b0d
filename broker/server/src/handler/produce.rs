//! Produce: every partition's batch is checked and appended at once, in the request's order; the answer waits for what
//! `acks` asks for. A transactional batch of a partition that is new to its transaction first asks the transaction
//! coordinator (KIP-890), and holds the connection's next request up until it has been appended.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use millstream_batch::{BatchHeader, Decompressor, Depth, KeyRule, Origin};
use millstream_log::{AppendInfo, AppendOrigin, CheckedBatch};
use millstream_replica::Acks;
use millstream_txn::{Answer, Input, Partitions, Version};
use millstream_types::ErrorCode;
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::topic::is_internal;
use millstream_wire::Records;
use millstream_wire::message::ProduceRequest;
use millstream_wire::message::produce_request::PartitionProduceData;
use millstream_wire::message::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::handler::replica;
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::waiter::{Wait, Waiter};

/// A partition whose acknowledgement is awaited: where in the answer, which replica, and up to which offset.
type Awaited = (usize, usize, Arc<Partition>, i64);

thread_local! {
    /// Room to decompress into, one for each thread that serves connections.
    static SCRATCH: Mutex<Decompressor> = Mutex::new(Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX));
}

/// Serves Produce.
pub fn begin(broker: &Arc<Broker>, cx: Context, mut request: ProduceRequest) -> Begun {
    let Ok(acks) = Acks::from_wire(request.acks) else {
        return cx.ready(&refuse_all(&request, ErrorCode::InvalidRequiredAcks));
    };
    if let Some(id) = request.transactional_id.clone()
        && let Some((producer, partitions)) = new_to_transaction(broker, &request)
    {
        let broker = Arc::clone(broker);
        // Versions before 12 add their partitions by request; theirs are only verified.
        let version = if cx.version >= 12 { Version::V2 } else { Version::V1 };
        return Begun::Blocking(Box::pin(async move {
            let ask = broker.transactions.ask(move |token| Input::AddPartitions {
                token,
                transactional_id: id,
                producer_id: producer.0,
                producer_epoch: producer.1,
                version,
                partitions,
                verify_only: version == Version::V1,
            });
            match ask.await {
                Some(Answer::Partitions { error: ErrorCode::None, refused }) => {
                    append_all(&broker, cx, &mut request, acks, &refused)
                }
                Some(Answer::Partitions { error, .. }) => cx.ready(&refuse_all(&request, for_produce(error))),
                _ => cx.ready(&refuse_all(&request, ErrorCode::NotEnoughReplicas)),
            }
        }));
    }
    append_all(broker, cx, &mut request, acks, &Partitions::new())
}

/// What a producer is told when its transaction's coordinator refuses: codes that a produce knows.
fn for_produce(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::NotCoordinator
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::ConcurrentTransactions => ErrorCode::NotEnoughReplicas,
        other => other,
    }
}

/// The producer, and the partitions of a transactional request that have no open transaction of it.
fn new_to_transaction(broker: &Broker, request: &ProduceRequest) -> Option<((i64, i16), Partitions)> {
    let image = broker.image();
    let mut producer = None;
    let mut new = Partitions::new();
    for topic in &request.topic_data {
        for p in &topic.partition_data {
            let Some(bytes) = p.records.as_ref().and_then(|r| r.as_bytes()) else { continue };
            let Ok(header) = BatchHeader::parse(bytes) else { continue };
            if !header.attributes.is_transactional() {
                continue;
            }
            let Ok(found) = replica(broker, &image, &topic.name, topic.topic_id, p.index) else { continue };
            producer.get_or_insert((header.producer_id, header.producer_epoch));
            if !found.look(|log, _| log.has_ongoing_txn(header.producer_id, header.producer_epoch)) {
                new.entry(found.name.topic.to_string()).or_default().insert(p.index);
            }
        }
    }
    if new.is_empty() { None } else { producer.map(|p| (p, new)) }
}

fn append_all(
    broker: &Arc<Broker>,
    cx: Context,
    request: &mut ProduceRequest,
    acks: Acks,
    refused: &Partitions,
) -> Begun {
    let image = broker.image();
    let mut answer = ProduceResponse::default();
    let mut awaited: Vec<Awaited> = Vec::new();
    let mut named = std::collections::HashSet::new();
    let in_transaction = request.transactional_id.is_some();
    for (t, topic) in request.topic_data.iter_mut().enumerate() {
        let mut responses = Vec::with_capacity(topic.partition_data.len());
        for (p, data) in topic.partition_data.iter_mut().enumerate() {
            Metrics::add(&broker.metrics.produce_requests, 1);
            let mut response =
                PartitionProduceResponse { index: data.index, base_offset: -1, ..Default::default() };
            let found = replica(broker, &image, &topic.name, topic.topic_id, data.index);
            let result = found.and_then(|found| {
                // Two batches for one partition in a request have no order that a client could know.
                if !named.insert((found.topic_id, data.index)) {
                    return Err(ErrorCode::InvalidRequest);
                }
                if refused.get(&*found.name.topic).is_some_and(|ps| ps.contains(&data.index)) {
                    return Err(ErrorCode::TransactionAbortable);
                }
                let (info, end) = append(broker, &cx, &found, data, in_transaction, acks)?;
                Ok((found, info, end))
            });
            match result {
                Ok((found, info, end)) => {
                    response.base_offset = info.first_offset;
                    response.log_append_time_ms = info.append_time;
                    // Versions before 5 have no field for it; -1 is its default there.
                    response.log_start_offset = if cx.version >= 5 { info.log_start_offset } else { -1 };
                    awaited.push((t, p, found, end));
                }
                Err(error) => {
                    Metrics::add(&broker.metrics.failed_produce_requests, 1);
                    response.error_code = error.code();
                    response.log_start_offset = -1;
                }
            }
            responses.push(response);
        }
        answer.responses.push(TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: responses,
            ..Default::default()
        });
    }
    if acks == Acks::None {
        // There is no answer; a client that is refused learns it by its connection's end, as in Kafka.
        let failed = answer.responses.iter().flat_map(|t| &t.partition_responses).any(|p| p.error_code != 0);
        return if failed { Begun::Close } else { Begun::Ready(Vec::new()) };
    }
    let waiter = Waiter::new(0);
    let mut partitions = Vec::new();
    for (_, _, partition, end) in &awaited {
        if partition.wait_for_ack(&waiter, acks, *end) {
            partitions.push(Arc::clone(partition));
        }
    }
    if partitions.is_empty() {
        acknowledge(&mut answer, &awaited, acks);
        return cx.ready(&answer);
    }
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let wait = Wait::new(waiter, partitions, Arc::clone(&broker.timer), timeout);
    cx.later(async move {
        wait.await;
        acknowledge(&mut answer, &awaited, acks);
        answer
    })
}

/// Fills in what became of each append that was awaited.
fn acknowledge(answer: &mut ProduceResponse, awaited: &[Awaited], acks: Acks) {
    for (t, p, partition, end) in awaited {
        let error = partition.acknowledge(acks, *end);
        if !error.is_none() {
            let response = &mut answer.responses[*t].partition_responses[*p];
            response.error_code = error.code();
            response.base_offset = -1;
        }
    }
}

fn append(
    broker: &Broker,
    cx: &Context,
    partition: &Arc<Partition>,
    data: &mut PartitionProduceData,
    in_transaction: bool,
    acks: Acks,
) -> Result<(AppendInfo, i64), ErrorCode> {
    if is_internal(&partition.name.topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let Some(Records::Bytes(bytes)) = data.records.take() else { return Err(ErrorCode::InvalidRecord) };
    let now = (broker.clock.wall_ms(), broker.clock.monotonic_ms());
    let mut limits = partition.look(|log, _| log.config().limits(now.0, Origin::Client));
    // Batches of this process were made by `millstream-batch`: its records are not decompressed to be looked at again,
    // unless the topic asks what only they can tell.
    if cx.in_process && limits.keys == KeyRule::Optional && limits.timestamp_before_ms_max == i64::MAX {
        limits.depth = Depth::Header;
    }
    // Offsets and the epoch are patched into the batch: in place, where it is alone in a frame of its own.
    let mut own = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let size = own.len() as u64;
    SCRATCH.with(|scratch| {
        let mut scratch = scratch.lock();
        let checked = CheckedBatch::check(&mut own, &limits, &mut scratch).map_err(|e| e.error_code())?;
        if checked.summary().transactional && !in_transaction {
            return Err(ErrorCode::InvalidTxnState);
        }
        let records = checked.summary().record_count;
        let produced = partition.append(now, checked, acks, AppendOrigin::Client).map_err(|error| {
            let code = error.error_code();
            if code == ErrorCode::KafkaStorageError {
                tracing::error!(partition = %partition.name, %error, "an append failed");
            }
            code
        })?;
        Metrics::add(&broker.metrics.messages_in, u64::try_from(records).unwrap_or(0));
        Metrics::add(&broker.metrics.bytes_in, size);
        Ok((produced.info, produced.end_offset))
    })
}

fn refuse_all(request: &ProduceRequest, error: ErrorCode) -> ProduceResponse {
    let refused = |p: &PartitionProduceData| PartitionProduceResponse {
        index: p.index,
        error_code: error.code(),
        base_offset: -1,
        log_start_offset: -1,
        ..Default::default()
    };
    let topics = request.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_responses: topic.partition_data.iter().map(refused).collect(),
        ..Default::default()
    });
    ProduceResponse { responses: topics.collect(), ..Default::default() }
}
