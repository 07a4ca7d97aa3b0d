//! Copiers: each reads a part of the topic as a member of a group, sends a copy of every record, and commits copies and
//! positions in one transaction (KIP-447). What fails is begun again from what was committed. Never enters: other writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_checker::{Function, Line, Stage};
use millstream_client::{
    CommitPolicy, Consumer, ConsumerConfig, ConsumerHandle, ConsumerRecords, Isolation, OffsetAndMetadata,
    OffsetReset, Producer, ProducerConfig, Result,
};
use millstream_types::{Rng, SeededRng};

use crate::group::{Positions, Told};
use crate::transactions::init;
use crate::workload::{Planned, Workload, value_of};

/// Copies until the run stops; no transaction of its id is open when this returns.
pub(crate) async fn copier(load: Arc<Workload>, group: String, id: String, mut rng: SeededRng) -> Result<()> {
    loop {
        let stopped = load.is_stopped();
        let cluster = load.cluster(&mut rng)?;
        let config = ProducerConfig { transactional_id: Some(id.clone()), ..load.producer_config(&mut rng) };
        let producer = Producer::new(&cluster, config)?;
        init(&producer).await?;
        if stopped {
            producer.close(Duration::from_secs(1)).await;
            return Ok(());
        }
        let config = ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            offset_reset: OffsetReset::Earliest,
            commit: CommitPolicy::Manual,
            session_timeout: Duration::from_secs(8),
            heartbeat_interval: Duration::from_millis(500),
            fetch_wait: Duration::from_millis(200),
            poll_bytes_max: 2_000 + rng.below(30_000) as usize,
            ..ConsumerConfig::in_group(&group)
        };
        let mut consumer = Consumer::new(&cluster, config)?;
        let process = load.recorder.process();
        let told = Told { load: load.clone(), process, positions: Positions::default() };
        consumer.set_listener(Box::new(told));
        let line = Line::new(0, process, Function::Subscribe, Stage::Ok);
        load.recorder.write(Line { group: Some(&group), ..line });
        if let Err(error) = consumer.subscribe([load.topic.clone()]).await {
            tracing::debug!(%error, "subscribing failed");
            continue;
        }
        let until = Instant::now() + Duration::from_millis(4_000 + rng.below(20_000));
        while Instant::now() < until && !load.is_stopped() {
            let records = match consumer.poll(Duration::from_millis(300)).await {
                Ok(records) => records,
                Err(error) => {
                    tracing::debug!(%error, "a copier's poll failed");
                    break;
                }
            };
            if !records.is_empty()
                && !copy(&load, &producer, &consumer.handle(), process, &records, &mut rng).await?
            {
                break;
            }
        }
        // A member that goes without a word keeps its partitions for a session, which every start of the broker begins anew.
        if rng.below(8) > 0
            && let Err(error) = consumer.close().await
        {
            tracing::debug!(%error, "leaving the group failed");
        }
    }
}

/// One transaction. Returns whether producer and consumer may go on.
async fn copy(
    load: &Workload,
    producer: &Producer,
    consumer: &ConsumerHandle,
    process: u32,
    records: &ConsumerRecords,
    rng: &mut SeededRng,
) -> Result<bool> {
    let polls = load.polled(records)?;
    load.recorder.write(Line { polls, ..Line::new(0, process, Function::Poll, Stage::Ok) });
    let (mut plan, mut copies, mut positions) = (Vec::new(), Vec::new(), BTreeMap::new());
    for part in &records.partitions {
        for record in part.records() {
            let value = load.recorder.value();
            copies.push((value, value_of(&record?)));
            plan.push(Planned { partition: load.partitions_in + part.partition.partition as usize, value });
        }
        positions.insert(part.partition.clone(), OffsetAndMetadata::new(part.next_offset));
    }
    let group = consumer.group_metadata()?;
    let offsets = positions.iter().map(|(partition, at)| (load.name(partition), at.offset)).collect();
    let commit = rng.below(10) > 0;
    let line = Line::new(0, process, Function::Txn, Stage::Invoke);
    let (sends, group_id) = (load.invoked(&plan), Some(&*group.group_id));
    load.recorder.write(Line { sends, copies, offsets, group: group_id, commit: Some(commit), ..line });
    let ended = |stage, sends, note: Option<String>| {
        load.recorder.write(Line { sends, note, ..Line::new(0, process, Function::Txn, stage) });
    };
    if let Err(error) = producer.begin_transaction() {
        ended(Stage::Fail, Vec::new(), Some(error.to_string()));
        return Ok(false);
    }
    let mut deliveries = Vec::new();
    for planned in &plan {
        deliveries.push(load.send(producer, *planned).await);
    }
    let taken = deliveries.iter().all(Result::is_ok);
    let positioned = producer.send_offsets_to_transaction(&positions, &group).await;
    if !commit || !taken || positioned.is_err() {
        let aborted = producer.abort_transaction().await;
        let error = positioned.err().or(aborted.err());
        ended(Stage::Fail, Vec::new(), error.map(|error| error.to_string()));
        // The positions of the consumer are ahead of what is committed.
        return Ok(false);
    }
    load.recorder.write(Line::new(0, process, Function::End, Stage::Invoke));
    match producer.commit_transaction().await {
        Ok(()) => {
            let (sends, failed) = load.outcomes(&plan, deliveries).await;
            load.recorder.acknowledge(sends.len() as u64);
            ended(Stage::Ok, sends, failed.map(|error| error.to_string()));
            Ok(true)
        }
        Err(error) => {
            ended(Stage::Info, Vec::new(), Some(error.to_string()));
            Ok(false)
        }
    }
}
