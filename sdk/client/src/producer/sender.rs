//! Sends what the accumulator gives out: one task that drains it, and for each broker a lane that keeps requests in
//! order. Answers are handled where they come in; what they mean is `retry`'s table. Never enters: what is in a batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use millstream_batch::{Codec, Compressor, header};
use millstream_types::{ErrorCode, NodeId, TopicPartition, Uuid};
use millstream_wire::Records;
use millstream_wire::message::init_producer_id_request::InitProducerIdRequest;
use millstream_wire::message::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use millstream_wire::message::produce_response::{PartitionProduceResponse, ProduceResponse};
use tokio::sync::mpsc;

use crate::broker_conn::Answer;
use crate::cluster::{Metadata, Purpose};
use crate::config::Acks;
use crate::error::{ClientError, Result};
use crate::producer::Inner;
use crate::producer::accumulator::{Appended, DrainContext, Drained, Identity, Payload, Sending};
use crate::retry::Action;

/// Drains the accumulator until the producer is closed and everything has an outcome.
pub(crate) async fn run(inner: Arc<Inner>) {
    // Lanes hold at most in_flight_max requests each: the accumulator gives out no more.
    let mut lanes: HashMap<NodeId, mpsc::UnboundedSender<Vec<Sending>>> = HashMap::new();
    let mut failures = 0u32;
    loop {
        let notified = inner.wake.notified();
        if let Err(error) = ensure_identity(&inner).await {
            failures += 1;
            if !error.is_retriable() || (inner.accumulator.lock().closed && failures > 20) {
                inner.fail_everything(&error);
            } else if inner.accumulator.lock().is_overdue() {
                // Nothing goes out without a producer id, so what waits too long is given up here.
                inner.fail_everything(&error);
            }
            inner.cluster.pause(failures).await;
            if !inner.accumulator.lock().is_empty() {
                continue;
            }
        } else {
            failures = 0;
        }
        let metadata = inner.cluster.metadata();
        let (drained, done) = {
            let add_partitions = inner.transaction.as_ref().is_some_and(|txn| txn.adds_partitions());
            let mut accumulator = inner.accumulator.lock();
            let context = DrainContext { now: Instant::now(), metadata: &metadata, add_partitions };
            let drained = accumulator.drain(&context);
            (drained, accumulator.closed && accumulator.is_empty())
        };
        let Drained { requests, next, leaderless, to_add, expired } = drained;
        for batch in expired {
            let timeout_ms = inner.config.delivery_timeout.as_millis() as u64;
            let error = ClientError::Timeout { what: "delivering a record".into(), timeout_ms };
            // Before the outcome is told, which a commit waits for: a transaction that lost a record is not committed (TX-2).
            inner.fail_transaction(error.clone());
            inner.release(batch, Err(error));
        }
        for (node, sendings) in requests {
            let lane = lanes.entry(node).or_insert_with(|| {
                let (lane, queue) = mpsc::unbounded_channel();
                tokio::spawn(run_lane(inner.clone(), node, queue));
                lane
            });
            if lane.send(sendings).is_err() {
                unreachable!("a lane runs as long as its sender");
            }
        }
        if !to_add.is_empty() {
            match inner.add_partitions(&to_add).await {
                Ok(()) => continue,
                Err(error) => inner.fail_transaction(error),
            }
        }
        if leaderless || inner.cluster.is_stale() || inner.take_refresh_wanted() {
            let failed = inner.cluster.refresh().await.is_err();
            if leaderless || failed {
                inner.cluster.pause(1).await;
            }
            continue;
        }
        if done {
            return;
        }
        match next {
            Some(at) => {
                let _ = tokio::time::timeout_at(at.into(), notified).await;
            }
            None => notified.await,
        }
    }
}

/// Gets a producer id where one is needed: none yet, or its epochs are used up.
async fn ensure_identity(inner: &Inner) -> Result<()> {
    if !inner.config.idempotence || inner.transaction.is_some() {
        return Ok(());
    }
    {
        let accumulator = inner.accumulator.lock();
        if accumulator.identity().is_some() || accumulator.is_empty() {
            return Ok(());
        }
    }
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    let response = inner.cluster.any_broker(&request).await?;
    ClientError::check("asking for a producer id", response.error_code)?;
    let identity = Identity { id: response.producer_id, epoch: response.producer_epoch };
    let mut accumulator = inner.accumulator.lock();
    accumulator.adopt_identity(identity);
    Ok(())
}

/// Sends requests to one broker, in order.
async fn run_lane(inner: Arc<Inner>, node: NodeId, mut queue: mpsc::UnboundedReceiver<Vec<Sending>>) {
    let mut compressor = Compressor::default();
    while let Some(sendings) = queue.recv().await {
        // Building compresses: for large batches that is milliseconds, which other tasks of this thread wait for.
        let mut built = Vec::with_capacity(sendings.len());
        for mut sending in sendings {
            match build(&inner, &mut sending, &mut compressor) {
                Ok(()) => built.push(sending),
                Err(error) => give_up(&inner, sending, error),
            }
        }
        let sendings = built;
        let parts = sendings
            .iter()
            .map(|sending| {
                let Payload::Built(bytes) = &sending.batch.payload else {
                    unreachable!("it was built above")
                };
                (sending.partition.clone(), bytes.clone())
            })
            .collect();
        match send(&inner, node, parts).await {
            Ok(Some(sent)) => {
                let inner = inner.clone();
                tokio::spawn(async move {
                    let result = sent.answer.await_answer(inner.cluster.config().request_timeout).await;
                    handle(&inner, node, sendings, &sent.metadata, result);
                });
            }
            Ok(None) => {
                // acks=0: what was written counts.
                inner.accumulator.lock().request_done(node);
                for sending in sendings {
                    succeed(&inner, sending, Appended { base_offset: -1, append_time: -1 });
                }
                inner.wake.notify_one();
            }
            Err(error) => handle(&inner, node, sendings, &inner.cluster.metadata(), Err(error)),
        }
    }
}

/// Makes the batch's bytes, with its producer's stamp.
fn build(inner: &Inner, sending: &mut Sending, compressor: &mut Compressor) -> Result<()> {
    let batch = &mut sending.batch;
    if let Payload::Open(_) = &batch.payload {
        let empty = Payload::Built(Bytes::new());
        let Payload::Open(builder) = std::mem::replace(&mut batch.payload, empty) else {
            unreachable!("it was looked at above");
        };
        let bytes = builder
            .build_with(compressor)
            .map_err(|source| ClientError::Batch { partition: sending.partition.clone(), source })?;
        batch.payload = Payload::Built(bytes);
    }
    let Payload::Built(bytes) = &mut batch.payload else { unreachable!("it was built above") };
    if let Some((identity, sequence)) = batch.stamp {
        // Not a copy, unless an earlier attempt's frame still holds the bytes.
        let taken = std::mem::take(bytes);
        let mut own = taken.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        header::set_producer(&mut own, identity.id, identity.epoch, sequence, inner.transaction.is_some());
        *bytes = own.freeze();
    }
    Ok(())
}

struct Sent {
    answer: Answer<ProduceRequest>,
    /// What the topics' ids meant when it was sent.
    metadata: Arc<Metadata>,
}

/// Writes a request; `None` where no answer comes.
async fn send(inner: &Inner, node: NodeId, parts: Vec<(TopicPartition, Bytes)>) -> Result<Option<Sent>> {
    let conn = inner.cluster.conn(node, Purpose::Main).await?;
    let metadata = inner.cluster.metadata();
    let mut topics: BTreeMap<&Arc<str>, Vec<PartitionProduceData>> = BTreeMap::new();
    let mut with_ids = true;
    for (partition, bytes) in &parts {
        with_ids &= !metadata.topic_id(&partition.topic).is_zero();
        topics.entry(&partition.topic).or_default().push(PartitionProduceData {
            index: partition.partition,
            records: Some(Records::Bytes(bytes.clone())),
            ..PartitionProduceData::default()
        });
    }
    let transactional = inner.transaction.as_ref();
    let most = match transactional {
        // From version 12 on, producing adds the partition to the transaction: only where v2 is on (KIP-890).
        Some(txn) if !txn.is_v2() => 11,
        _ if with_ids => 13,
        _ => 12,
    };
    let version = conn.version_up_to::<ProduceRequest>(most)?;
    let request = ProduceRequest {
        transactional_id: transactional.map(|txn| txn.id().to_string()),
        acks: inner.config.acks.code(),
        timeout_ms: inner.cluster.config().request_timeout.as_millis().min(i32::MAX as u128) as i32,
        topic_data: topics
            .into_iter()
            .map(|(topic, partition_data)| TopicProduceData {
                name: if version >= 13 { String::new() } else { topic.to_string() },
                topic_id: if version >= 13 { metadata.topic_id(topic) } else { Uuid::ZERO },
                partition_data,
                ..TopicProduceData::default()
            })
            .collect(),
        ..ProduceRequest::default()
    };
    if inner.config.acks == Acks::None {
        conn.send_unanswered(&request, version).await?;
        return Ok(None);
    }
    Ok(Some(Sent { answer: conn.send_version(&request, version).await?, metadata }))
}

/// Sorts an answer, or its absence, to the batches that wait for it.
fn handle(
    inner: &Inner,
    node: NodeId,
    sendings: Vec<Sending>,
    metadata: &Metadata,
    result: Result<ProduceResponse>,
) {
    inner.accumulator.lock().request_done(node);
    match result {
        Ok(response) => {
            let mut answers: HashMap<TopicPartition, PartitionProduceResponse> = HashMap::new();
            for topic in response.responses {
                let name = match metadata.names.get(&topic.topic_id) {
                    Some(name) if topic.name.is_empty() => name.clone(),
                    _ => Arc::from(topic.name.as_str()),
                };
                for partition in topic.partition_responses {
                    answers.insert(TopicPartition::new(name.clone(), partition.index), partition);
                }
            }
            for sending in sendings {
                match answers.remove(&sending.partition) {
                    Some(answer) => handle_partition(inner, sending, &answer),
                    None => {
                        let text = format!("producing to {}: the answer leaves it out", sending.partition);
                        give_up(inner, sending, ClientError::state(text));
                    }
                }
            }
        }
        Err(error) => {
            for sending in sendings {
                failed(inner, sending, error.clone());
            }
        }
    }
    inner.wake.notify_one();
}

fn handle_partition(inner: &Inner, sending: Sending, answer: &PartitionProduceResponse) {
    let what = || format!("producing to {}", sending.partition);
    match ErrorCode::from_code(answer.error_code) {
        Some(ErrorCode::None) => {
            let append_time = answer.log_append_time_ms;
            succeed(inner, sending, Appended { base_offset: answer.base_offset, append_time });
        }
        // The broker has it, from an attempt whose answer was lost.
        Some(ErrorCode::DuplicateSequenceNumber) => {
            succeed(inner, sending, Appended { base_offset: -1, append_time: -1 });
        }
        _ => {
            let records = answer.record_errors.iter().filter_map(|e| e.batch_index_error_message.as_deref());
            let message = answer.error_message.as_deref().or_else(|| records.into_iter().next());
            let error = ClientError::check_with(&what(), answer.error_code, message)
                .expect_err("a code other than 0 is an error");
            failed(inner, sending, error);
        }
    }
}

fn succeed(inner: &Inner, sending: Sending, appended: Appended) {
    inner.accumulator.lock().succeeded(sending.queue, &sending.batch);
    inner.release(sending.batch, Ok(appended));
}

/// Sends a batch again, or gives it up.
fn failed(inner: &Inner, sending: Sending, error: ClientError) {
    let behind_another = || inner.accumulator.lock().has_predecessor(sending.queue, &sending.batch);
    let again = match error.action() {
        Action::Retry | Action::RefreshMetadata | Action::FindCoordinator => true,
        // It came before one that is to be sent again.
        Action::AbortTransaction => {
            error.code() == Some(ErrorCode::OutOfOrderSequenceNumber) && behind_another()
        }
        _ => false,
    };
    let in_time = sending.batch.created.elapsed() < inner.config.delivery_timeout;
    let wanted = inner.transaction.as_ref().is_none_or(|txn| txn.takes_records());
    if !(again && in_time && wanted) {
        return give_up(inner, sending, error);
    }
    if error.action() == Action::RefreshMetadata {
        inner.want_refresh();
    }
    tracing::debug!(partition = %sending.partition, %error, attempt = sending.batch.attempts, "sending again");
    let backoff = inner.cluster.config().backoff;
    let chance = inner.cluster.random(u64::MAX);
    let pause = |failures| backoff.pause(failures, &mut millstream_types::SeededRng::new(chance));
    inner.accumulator.lock().retry(sending.queue, sending.batch, pause);
}

fn give_up(inner: &Inner, sending: Sending, error: ClientError) {
    inner.accumulator.lock().gave_up(sending.queue, &sending.batch);
    if inner.transaction.is_some() {
        inner.fail_transaction(error.clone());
    }
    inner.release(sending.batch, Err(error));
}

/// A prebuilt batch's record count, checked to be one that a broker takes from a producer.
pub(crate) fn check_prebuilt(
    bytes: &Bytes,
) -> Result<millstream_batch::BatchHeader, millstream_batch::BatchError> {
    let view = millstream_batch::BatchView::parse(bytes)?;
    let header = *view.header();
    if view.bytes().len() != bytes.len() {
        return Err(millstream_batch::BatchError::NotOneBatch(bytes.len() - view.bytes().len()));
    }
    let span = i64::from(header.last_offset_delta) + 1;
    if i64::from(header.record_count) != span || span < 1 {
        return Err(millstream_batch::BatchError::Count { count: header.record_count, span });
    }
    let _: Codec = header.attributes.codec()?;
    Ok(header)
}
