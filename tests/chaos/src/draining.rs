//! The end of a run: waits until no transaction is open, reads everything that is committed, and then every partition as it
//! lies in the log, control records too. Never enters: writing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_batch::{Decompressor, batches};
use millstream_checker::history::Stretch;
use millstream_checker::{Function, Line, Stage};
use millstream_client::cluster::Purpose;
use millstream_client::{ClientError, Cluster, Consumer, ConsumerConfig, Isolation, OffsetReset, Result};
use millstream_types::{SeededRng, TopicPartition};
use millstream_wire::Records;
use millstream_wire::message::fetch_request::{FetchPartition, FetchRequest, FetchTopic};

use crate::workload::{Workload, value_of};

/// How long the last transactions may take to end, and the reading of everything.
const WITHIN: Duration = Duration::from_secs(120);

fn stuck(what: String) -> ClientError {
    ClientError::Timeout { what: what.into(), timeout_ms: WITHIN.as_millis() as u64 }
}

fn reader(cluster: &Arc<Cluster>, isolation: Isolation) -> Result<Consumer> {
    let offset_reset = OffsetReset::Earliest;
    Consumer::new(cluster, ConsumerConfig { isolation, offset_reset, ..ConsumerConfig::default() })
}

async fn ends(consumer: &Consumer, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>> {
    let ends = consumer.end_offsets(partitions).await?;
    Ok(ends.into_iter().map(|(partition, end)| (partition, end.offset)).collect())
}

/// Reads all there is, twice.
pub(crate) async fn drain(load: &Workload, rng: &mut SeededRng) -> Result<()> {
    let cluster = load.cluster(rng)?;
    let partitions = load.partitions();
    let begun = Instant::now();
    let mut committed = reader(&cluster, Isolation::ReadCommitted)?;
    let uncommitted = reader(&cluster, Isolation::ReadUncommitted)?;
    let ends = loop {
        let stable = ends(&committed, &partitions).await?;
        let all = ends(&uncommitted, &partitions).await?;
        if stable == all {
            break all;
        }
        if begun.elapsed() > WITHIN {
            return Err(stuck(format!("ending the last transactions (stable {stable:?}, ends {all:?})")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let process = load.recorder.process();
    let offsets = load.names.iter().map(|name| (name.as_str(), 0)).collect();
    load.recorder.write(Line { offsets, ..Line::new(0, process, Function::Assign, Stage::Ok) });
    committed.assign(partitions.clone()).await?;
    while partitions.iter().any(|p| committed.position(p).is_none_or(|at| at < ends[p])) {
        if begun.elapsed() > WITHIN {
            return Err(stuck(format!("reading to {ends:?} (at {:?})", committed.positions())));
        }
        let polls = load.polled(&committed.poll(Duration::from_millis(300)).await?)?;
        if !polls.is_empty() {
            load.recorder.write(Line { polls, ..Line::new(0, process, Function::Poll, Stage::Ok) });
        }
    }
    let offsets = ends.iter().map(|(partition, end)| (load.name(partition), *end)).collect();
    load.recorder.write(Line { offsets, ..Line::new(0, process, Function::Drain, Stage::Ok) });
    for partition in &partitions {
        log(load, &cluster, partition, ends[partition]).await?;
    }
    committed.close().await?;
    uncommitted.close().await
}

/// Writes down a partition's log up to `end`.
async fn log(load: &Workload, cluster: &Arc<Cluster>, partition: &TopicPartition, end: i64) -> Result<()> {
    let process = load.recorder.process();
    let leader = cluster.metadata().leader(partition);
    let node = leader.map(|leader| leader.node).ok_or_else(|| stuck(format!("{partition} has no leader")))?;
    let conn = cluster.conn(node, Purpose::Main).await?;
    // The last version that knows topics by name.
    let version = conn.version_up_to::<FetchRequest>(12)?;
    let mut next = 0;
    let batch_error = |source| ClientError::Batch { partition: partition.clone(), source };
    let mut scratch = Decompressor::new(16 * 1024 * 1024);
    while next < end {
        let request = FetchRequest {
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: 4 * 1024 * 1024,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: partition.topic.to_string(),
                partitions: vec![FetchPartition {
                    partition: partition.partition,
                    fetch_offset: next,
                    partition_max_bytes: 1024 * 1024,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let response =
            conn.send_version(&request, version).await?.await_answer(Duration::from_secs(10)).await?;
        let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let bytes = match data.and_then(|data| data.records) {
            Some(Records::Bytes(bytes)) => bytes,
            _ => return Err(stuck(format!("reading the log of {partition} from {next} on"))),
        };
        let name = load.name(partition);
        let mut stretch =
            Stretch { partition: name, from: next, next, records: Vec::new(), control: Vec::new() };
        for batch in batches(&bytes) {
            // The broker cuts its answer at a number of bytes.
            let Ok(batch) = batch else { break };
            batch.check_crc().map_err(batch_error)?;
            let control = batch.header().attributes.is_control();
            for record in batch.records(&mut scratch).map_err(batch_error)? {
                let record = record.map_err(batch_error)?;
                if record.offset < next {
                    continue;
                }
                if control {
                    stretch.control.push(record.offset);
                } else {
                    stretch.records.push((record.offset, value_of(&record)));
                }
            }
            stretch.next = batch.header().next_offset();
        }
        if stretch.next == next {
            return Err(stuck(format!("reading the log of {partition} from {next} on")));
        }
        next = stretch.next;
        let line = Line::new(0, process, Function::Log, Stage::Ok);
        load.recorder.write(Line { log: Some(stretch), ..line });
    }
    Ok(())
}
