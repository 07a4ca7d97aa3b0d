//! Fetching ahead: one task that keeps a fetch under way at each broker that leads partitions of ours with room in their
//! buffers, and looks positions up where they are not known. While a fetch waits at a broker for records, another, that does
//! not wait and has a connection of its own, serves partitions that may have some: those that were sought, assigned or
//! resumed meanwhile, or had no room when it began. Owns what is visible under read_committed.
//! Never enters: the group's state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_batch::{Codec, ControlRecord, Decompressor, batches};
use millstream_types::{ErrorCode, NodeId, TopicPartition};
use millstream_wire::Records as WireRecords;
use millstream_wire::message::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use millstream_wire::message::fetch_response::{AbortedTransaction, PartitionData};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::Core;
use super::offsets;
use super::positions::{FetchTarget, Fetched, Start};
use super::records::FetchedBatch;
use crate::cluster::{Metadata, Purpose};
use crate::config::{Isolation, OffsetReset, OutOfRange};
use crate::error::{ClientError, Result};
use crate::retry::Action;

/// The fewest bytes that a fetch asks for in all: there is always room for something.
const FETCH_BYTES_MIN: usize = 256 << 10;
/// The fewest bytes that it asks for of one partition. A broker gives the first of an answer a larger batch all the same, and only that one:
/// most batches fit into this, so that an answer has those of several.
const PARTITION_BYTES_MIN: usize = 32 << 10;
/// How long a partition rests after a failed fetch.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Runs until the consumer is closed. Fetches that are under way then are given up: a broker that stops waits for them.
pub(crate) async fn run(core: Arc<Core>) {
    let busy: Arc<Mutex<HashSet<(NodeId, bool)>>> = Arc::default();
    let mut fetches = JoinSet::new();
    loop {
        while fetches.try_join_next().is_some() {}
        let notified = core.wake_fetcher.notified();
        if core.is_closed() {
            return;
        }
        offsets::look_up(&core);
        let now = Instant::now();
        let config = &core.config;
        let targets = {
            let positions = core.positions.lock();
            positions.fetchable(now, config.prefetch_partition_bytes, config.prefetch_bytes, config.isolation)
        };
        let metadata = core.cluster.metadata();
        let mut by_node: BTreeMap<NodeId, Vec<(FetchTarget, i32)>> = BTreeMap::new();
        let mut leaderless = false;
        for target in targets {
            match metadata.leader(&target.partition) {
                Some(leader) => by_node.entry(leader.node).or_default().push((target, leader.epoch)),
                None => leaderless = true,
            }
        }
        for (node, mut targets) in by_node {
            let waits = !busy.lock().contains(&(node, true));
            if !waits {
                targets.retain(|(target, _)| !target.at_end);
            }
            if targets.is_empty() || !busy.lock().insert((node, waits)) {
                continue;
            }
            {
                let mut positions = core.positions.lock();
                targets.retain(|(target, _)| positions.begin_fetch(target));
            }
            if targets.is_empty() {
                busy.lock().remove(&(node, waits));
                continue;
            }
            let (core, busy) = (core.clone(), busy.clone());
            fetches.spawn(async move {
                fetch(&core, (node, waits), &targets).await;
                busy.lock().remove(&(node, waits));
                core.wake_fetcher.notify_one();
            });
        }
        if leaderless || core.cluster.is_stale() {
            core.refresh_soon();
        }
        // Woken by polls, seeks, assignments and fetches that end; the pause only serves partitions that rest.
        let _ = tokio::time::timeout(RETRY_PAUSE, notified).await;
    }
}

/// Fetches once from a broker, and waits there for records or not.
async fn fetch(core: &Arc<Core>, (node, waits): (NodeId, bool), targets: &[(FetchTarget, i32)]) {
    match try_fetch(core, (node, waits), targets).await {
        Ok(()) => {}
        Err(error) => {
            tracing::debug!(%error, broker = %node, "fetching failed");
            let at = Instant::now() + RETRY_PAUSE;
            let mut positions = core.positions.lock();
            for (target, _) in targets {
                positions.fetch_failed(target, at);
            }
            if error.is_retriable() {
                core.refresh_soon();
            } else {
                positions.error.get_or_insert(error);
                core.data.notify_one();
            }
        }
    }
}

async fn try_fetch(
    core: &Arc<Core>,
    (node, waits): (NodeId, bool),
    targets: &[(FetchTarget, i32)],
) -> Result<()> {
    let config = &core.config;
    let metadata = core.cluster.metadata();
    let purpose = if waits { Purpose::Fetch(core.id) } else { Purpose::FetchNow(core.id) };
    let conn = core.cluster.conn(node, purpose).await?;
    let with_ids = targets.iter().all(|(target, _)| !metadata.topic_id(&target.partition.topic).is_zero());
    let version = conn.version_up_to::<FetchRequest>(if with_ids { i16::MAX } else { 12 })?;
    let (room, share) = {
        let positions = core.positions.lock();
        (positions.room(config.prefetch_bytes), positions.share(config.prefetch_bytes))
    };
    let at_most = |bytes: usize, least: usize| i32::try_from(bytes.max(least)).unwrap_or(i32::MAX);
    let partition_max_bytes = config.partition_bytes_max.min(at_most(share, PARTITION_BYTES_MIN));
    // In the order of the targets, which a broker fills its answer in: a topic may come more than once.
    let mut topics: Vec<(&Arc<str>, Vec<FetchPartition>)> = Vec::new();
    for (target, leader_epoch) in targets {
        let partition = FetchPartition {
            partition: target.partition.partition,
            current_leader_epoch: if version >= 9 { *leader_epoch } else { -1 },
            fetch_offset: target.offset,
            partition_max_bytes,
            ..FetchPartition::default()
        };
        match topics.last_mut() {
            Some((topic, partitions)) if **topic == target.partition.topic => partitions.push(partition),
            _ => topics.push((&target.partition.topic, vec![partition])),
        }
    }
    let request = FetchRequest {
        max_wait_ms: if waits { config.fetch_wait.as_millis().min(i32::MAX as u128) as i32 } else { 0 },
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_bytes_max.min(at_most(room, FETCH_BYTES_MIN)),
        isolation_level: config.isolation.code(),
        session_id: 0,
        session_epoch: -1,
        topics: topics
            .into_iter()
            .map(|(topic, partitions)| FetchTopic {
                topic: if version >= 13 { String::new() } else { topic.to_string() },
                topic_id: if version >= 13 { metadata.topic_id(topic) } else { millstream_types::Uuid::ZERO },
                partitions,
                ..FetchTopic::default()
            })
            .collect(),
        rack_id: core.cluster.config().rack.clone(),
        ..FetchRequest::default()
    };
    let timeout = config.fetch_wait + core.cluster.config().request_timeout;
    let response = conn.send_version(&request, version).await?.await_answer(timeout).await?;
    ClientError::check("fetching", response.error_code)?;
    let mut answers: HashMap<TopicPartition, PartitionData> = HashMap::new();
    for topic in response.responses {
        let Some(name) = name_of(&metadata, &topic.topic, topic.topic_id) else { continue };
        for data in topic.partitions {
            answers.insert(TopicPartition::new(name.clone(), data.partition_index), data);
        }
    }
    let mut scratch = Decompressor::new(config.batch_uncompressed_bytes_max);
    // Where something was known to be there and nothing came, for whatever reason: not at once again.
    let came =
        |data: &PartitionData| matches!(&data.records, Some(WireRecords::Bytes(bytes)) if !bytes.is_empty());
    let rest = (!waits && !answers.values().any(came)).then(|| Instant::now() + RETRY_PAUSE);
    let mut something = false;
    for (target, _) in targets {
        match answers.remove(&target.partition) {
            Some(data) => something |= take_in(core, target, data, rest, &mut scratch),
            None => core.positions.lock().fetch_failed(target, Instant::now() + RETRY_PAUSE),
        }
    }
    if something {
        core.data.notify_one();
    }
    Ok(())
}

fn name_of(metadata: &Metadata, name: &str, id: millstream_types::Uuid) -> Option<Arc<str>> {
    if name.is_empty() { metadata.names.get(&id).cloned() } else { Some(name.into()) }
}

/// Takes in one partition's part of an answer. Returns whether there is something to poll.
/// Where nothing came that should have, it rests until `rest`.
fn take_in(
    core: &Arc<Core>,
    target: &FetchTarget,
    data: PartitionData,
    rest: Option<Instant>,
    scratch: &mut Decompressor,
) -> bool {
    let what = || format!("fetching {}", target.partition);
    let Some(code) = ErrorCode::from_code(data.error_code) else {
        return fail(core, target, ClientError::UnknownCode { what: what().into(), code: data.error_code });
    };
    match crate::retry::action(code) {
        Action::Proceed => {}
        Action::ResetOffset => {
            out_of_range(core, target);
            return true;
        }
        Action::Retry | Action::RefreshMetadata | Action::FindCoordinator => {
            core.positions.lock().fetch_failed(target, Instant::now() + RETRY_PAUSE);
            core.refresh_soon();
            return false;
        }
        _ => {
            let message = None;
            return fail(core, target, ClientError::Broker { what: what().into(), code, message });
        }
    }
    let bytes = match &data.records {
        Some(WireRecords::Bytes(bytes)) => bytes.clone(),
        _ => Bytes::new(),
    };
    let aborted = data.aborted_transactions.unwrap_or_default();
    match open_batches(core, target, &bytes, &aborted, scratch) {
        Ok((batches, next_fetch)) => {
            let became = batches.iter().map(|batch| batch.payload.len()).sum();
            let mut positions = core.positions.lock();
            positions.opened(bytes.len(), became);
            positions.fetched(
                target,
                Fetched {
                    batches,
                    next_fetch,
                    high_watermark: data.high_watermark,
                    last_stable_offset: data.last_stable_offset,
                    log_start_offset: data.log_start_offset,
                    rest,
                },
            )
        }
        Err(source) => fail(core, target, ClientError::Batch { partition: target.partition.clone(), source }),
    }
}

fn fail(core: &Core, target: &FetchTarget, error: ClientError) -> bool {
    let mut positions = core.positions.lock();
    positions.fetch_failed(target, Instant::now() + Duration::from_secs(1));
    if positions.is_current(&target.partition, target.number) {
        positions.error.get_or_insert(error);
    }
    true
}

fn out_of_range(core: &Core, target: &FetchTarget) {
    let mut positions = core.positions.lock();
    if !positions.is_current(&target.partition, target.number) {
        return;
    }
    // What was fetched before is still good: the position is only lost when the application has come this far.
    let start = match core.config.out_of_range {
        OutOfRange::Nearest => Start::OutOfRange(target.offset),
        OutOfRange::Reset | OutOfRange::Fail => Start::Reset,
    };
    let fails = match core.config.out_of_range {
        OutOfRange::Nearest => false,
        OutOfRange::Reset => core.config.offset_reset == OffsetReset::None,
        OutOfRange::Fail => true,
    };
    if fails {
        let partition = target.partition.clone();
        positions.error.get_or_insert(ClientError::OffsetOutOfRange { partition, offset: target.offset });
        positions.fetch_failed(target, Instant::now() + Duration::from_secs(1));
        return;
    }
    tracing::warn!(partition = %target.partition, offset = target.offset, "the position is outside of the log");
    positions.restart(&target.partition, start);
    core.wake_fetcher.notify_one();
}

/// Opens the batches of an answer, and says which are visible and where the next fetch begins.
fn open_batches(
    core: &Core,
    target: &FetchTarget,
    bytes: &Bytes,
    aborted: &[AbortedTransaction],
    scratch: &mut Decompressor,
) -> Result<(Vec<FetchedBatch>, i64), millstream_batch::BatchError> {
    let committed_only = core.config.isolation == Isolation::ReadCommitted;
    let mut filter = AbortFilter::new(aborted);
    let mut opened = Vec::new();
    let mut next = target.offset;
    for batch in batches(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            // The broker cuts its answer at a number of bytes: the last batch may be a part of one.
            Err(millstream_batch::BatchError::Torn { .. }) if !opened.is_empty() || next > target.offset => {
                break;
            }
            Err(error) => return Err(error),
        };
        let header = *batch.header();
        if header.last_offset() < target.offset {
            continue;
        }
        if core.config.check_crcs {
            batch.check_crc()?;
        }
        let hidden = committed_only && filter.hides(&batch, scratch)?;
        let visible = !header.attributes.is_control() && !hidden;
        let payload = match header.attributes.codec()? {
            _ if !visible => Bytes::new(),
            Codec::None => bytes.slice_ref(batch.payload()),
            codec => scratch.decompress_owned(codec, batch.payload())?,
        };
        if visible && core.config.check_records {
            // Checked here, once, so that an application that walks the records meets no surprise in the middle.
            for record in millstream_batch::Records::new(&header, &payload) {
                record?;
            }
        }
        next = header.next_offset();
        opened.push(FetchedBatch { header, payload, from: target.offset, visible });
    }
    Ok((opened, next))
}

/// Which transactional batches were aborted (KIP-98): the broker lists the aborted transactions that reach into an
/// answer by their first offsets, and each ends at its abort marker.
struct AbortFilter<'a> {
    to_come: Vec<&'a AbortedTransaction>,
    open: BTreeSet<i64>,
}

impl<'a> AbortFilter<'a> {
    fn new(aborted: &'a [AbortedTransaction]) -> AbortFilter<'a> {
        let mut to_come: Vec<&AbortedTransaction> = aborted.iter().collect();
        to_come.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        AbortFilter { to_come, open: BTreeSet::new() }
    }

    fn hides(
        &mut self,
        batch: &millstream_batch::BatchView<'_>,
        scratch: &mut Decompressor,
    ) -> Result<bool, millstream_batch::BatchError> {
        let header = *batch.header();
        while self.to_come.last().is_some_and(|aborted| aborted.first_offset <= header.last_offset()) {
            if let Some(aborted) = self.to_come.pop() {
                self.open.insert(aborted.producer_id);
            }
        }
        if header.attributes.is_control() {
            if let Some(record) = batch.records(scratch)?.next()
                && let ControlRecord::Abort(_) = ControlRecord::parse(&record?)?
            {
                self.open.remove(&header.producer_id);
            }
            return Ok(true);
        }
        Ok(header.attributes.is_transactional() && self.open.contains(&header.producer_id))
    }
}
