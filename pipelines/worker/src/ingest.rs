//! The ingest stage: reads the splits whose partition of the splits topic this worker owns, checks records, and commits
//! records, dead letters, positions and the splits' offsets in one broker transaction (WK-1). The offset itself says
//! nothing; committing it as this member is what fences an owner that was replaced. Never enters: Arrow, except where a
//! sink reads what ingest gives.

pub mod check;
mod commit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Admin, CommitPolicy, Consumer, ConsumerConfig, OffsetReset, Producer};
use millstream_connect::rate::RateGuard;
use millstream_connector::{Position, ReadLimit, ReadState, Source, SourceRecord, Split};
use millstream_format::{Decoder, Encoder};
use millstream_types::MemoryClaim;
use millstream_types::hash::partition_for_key;
use tokio::task::JoinHandle;

use self::check::{Checker, Unchecked};
use crate::error::WorkerError;
use crate::formats::Written;
use crate::group_events::{GroupEvent, GroupEvents};
use crate::lanes::{self, Current, Lane, ReadBatch};
use crate::outbox::{self, DeadLetters};
use crate::positions::{self, COUNTS_PARTITION};
use crate::progress::thread_cpu_ms;
use crate::run::StageContext;

/// The fewest bytes of one read of one split. Small, since what lies ahead of other lanes is held in memory.
const READ_BYTES: usize = 8 << 10;
/// Bytes that go through the function together, about.
const ROUND_BYTES: usize = 1 << 20;
/// A commit comes early when this much was read since the last one.
const COMMIT_BYTES: u64 = 24 << 20;
/// And when this much was, while the process is short of memory.
const COMMIT_BYTES_SHORT: u64 = 4 << 20;
/// How long to wait where nothing can be read.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// A topic that ingest writes.
pub enum IngestOutput {
    /// Each record as it is.
    Json {
        /// The topic.
        topic: Arc<str>,
        /// Its partitions.
        partitions: u32,
        /// The field that chooses the partition.
        key: Option<String>,
        /// The most bytes that its batches have.
        bytes_max: usize,
    },
    /// Each record in the topic's own format.
    Rows {
        /// The topic.
        topic: Arc<str>,
        /// Its partitions.
        partitions: u32,
        /// The field that chooses the partition.
        key: Option<String>,
        /// The most bytes that its batches have.
        bytes_max: usize,
        /// Makes columns of records.
        decoder: Box<Decoder>,
        /// How they are written.
        written: Box<Written>,
        /// What writes them, once the stage has begun.
        encoder: Option<Box<Encoder>>,
        /// Of the records in the decoder: the time, and the partition of one without a key.
        waiting: Vec<(i64, u32)>,
    },
    /// Columns, for sinks.
    Arrow {
        /// The topic.
        topic: Arc<str>,
        /// Its partitions.
        partitions: u32,
        /// Makes columns of records.
        decoder: Box<Decoder>,
    },
}

/// What the stage is made of.
pub struct IngestStage {
    /// Sources by id.
    pub sources: Vec<(Arc<str>, Box<dyn Source>)>,
    /// What checks records.
    pub checker: Checker,
    /// What it writes.
    pub outputs: Vec<IngestOutput>,
    /// Where dead letters go; nowhere where bad records are dropped.
    pub dead_letters: Option<DeadLetters>,
    /// Whether a bad record stops the pipeline.
    pub stop_on_bad: bool,
    /// The share of bad records above which it does not go on, rather than empty itself into the dead letters.
    pub rate: Option<RateGuard>,
    /// Whether it then waits for a person while the other stages go on, where its input has no end; else the run ends.
    pub pauses: bool,
    /// The splits topic.
    pub splits: Arc<str>,
    /// The positions topic.
    pub positions: Arc<str>,
    /// The partitions of both.
    pub split_partitions: u32,
}

impl IngestStage {
    /// Whether every source ends.
    pub fn is_bounded(&self) -> bool {
        self.sources.iter().all(|(_, source)| source.capabilities().bounded)
    }
}

struct SplitState {
    source: usize,
    split: Split,
    partition: u32,
    position: Option<Position>,
}

/// A commit that is under way.
struct Flight {
    task: JoinHandle<Result<(), WorkerError>>,
    /// Where splits stand once it is done.
    moved: BTreeMap<usize, Position>,
    /// Behind which nothing is left then.
    level: i64,
    /// The bytes of what it emits, about.
    bytes: usize,
}

struct Ingest<'a> {
    stage: &'a mut IngestStage,
    context: &'a StageContext,
    producer: Arc<Producer>,
    group: GroupEvents,
    flight: Option<Flight>,
    owned: BTreeSet<u32>,
    stored: positions::Stored,
    splits: Vec<SplitState>,
    lanes: Vec<Lane>,
    /// Whether each source has been seen whole.
    complete: Vec<bool>,
    counts: BTreeMap<String, u64>,
    read_since: u64,
    /// What was read and is not committed.
    memory: MemoryClaim,
    bytes_read: u64,
    rounds: u32,
    /// Nothing came in the last round.
    quiet: bool,
}

/// Runs the stage until its input has ended, or it is told to stop.
pub async fn run(stage: &mut IngestStage, context: &StageContext) -> Result<(), WorkerError> {
    let producer = context.transactional_producer().await?;
    let admin = Admin::new(&context.cluster);
    let (mut topics, mut written_to) = (Vec::new(), Vec::new());
    for output in &mut stage.outputs {
        match output {
            IngestOutput::Rows { topic, written, encoder, bytes_max, .. } => {
                *encoder = Some(Box::new(written.open().await?));
                *bytes_max = outbox::batch_bytes_max(&admin, topic).await;
                written_to.push((Arc::clone(topic), *bytes_max));
            }
            IngestOutput::Json { topic, bytes_max, .. } => {
                *bytes_max = outbox::batch_bytes_max(&admin, topic).await;
                topics.push((Arc::clone(topic), *bytes_max));
            }
            // About as large as the record.
            IngestOutput::Arrow { topic, .. } => {
                topics.push((Arc::clone(topic), outbox::batch_bytes_max(&admin, topic).await));
            }
        }
    }
    stage.checker.goes_to(topics, written_to);
    let config = ConsumerConfig {
        commit: CommitPolicy::Manual,
        offset_reset: OffsetReset::Earliest,
        ..context.member()
    };
    let mut consumer = Consumer::new(&context.cluster, config)?;
    let group = GroupEvents::default();
    consumer.set_listener(Box::new(group.clone()));
    consumer.subscribe([Arc::clone(&stage.splits)]).await?;
    let stored = positions::load(&context.cluster, &stage.positions, &[COUNTS_PARTITION]).await?;
    let counts = stored.counts.get(&(context.stage.clone(), context.instance.clone())).cloned();
    let complete = vec![false; stage.sources.len()];
    let mut ingest = Ingest {
        stage,
        context,
        producer: Arc::new(producer),
        group: group.clone(),
        flight: None,
        owned: BTreeSet::new(),
        stored: positions::Stored::default(),
        splits: Vec::new(),
        lanes: Vec::new(),
        complete,
        counts: counts.unwrap_or_default(),
        read_since: 0,
        memory: context.memory.claim("read"),
        bytes_read: 0,
        rounds: 0,
        quiet: false,
    };
    ingest.show();
    let ended = ingest.work(&mut consumer).await;
    if ended.is_err()
        && let Err(error) = ingest.settle().await
    {
        // The commit that was under way is known before its member leaves; what stopped the stage came first.
        tracing::debug!(stage = %context.stage, %error, "the last commit did not count either");
    }
    ended?;
    consumer.close().await?;
    ingest.producer.close(Duration::from_secs(5)).await;
    Ok(())
}

impl Ingest<'_> {
    /// Reads and commits until there is no more, or it is told to stop.
    async fn work(&mut self, consumer: &mut Consumer) -> Result<(), WorkerError> {
        let mut last_commit = Instant::now();
        loop {
            let waits = self.owned.is_empty() || self.is_read();
            let throttled = self.context.throttled();
            let wait = throttled.unwrap_or(if waits { Duration::from_millis(50) } else { Duration::ZERO });
            let began = Instant::now();
            consumer.poll(wait).await?;
            let waited = if throttled.is_none() { began.elapsed() } else { Duration::ZERO };
            let events = self.group.take();
            if !events.is_empty() {
                self.settle().await?;
                self.follow(events).await?;
            }
            if self.context.is_stopping() {
                self.settle().await?;
                self.commit(consumer).await?;
                self.settle().await?;
                return Ok(());
            }
            let read = throttled.is_none() && self.read_round().await?;
            let idle = throttled.is_none() && !read;
            let began = Instant::now();
            if self.flight.as_ref().is_some_and(|flight| flight.task.is_finished()) {
                self.settle().await?;
            }
            // Reading goes on while a commit is under way, until there is enough for the next.
            let full = self.read_since >= self.commit_bytes() || idle;
            if full || (self.flight.is_none() && last_commit.elapsed() >= self.context.commit_interval) {
                self.settle().await?;
                self.commit(consumer).await?;
                last_commit = Instant::now();
            }
            if idle {
                self.settle().await?;
                self.say_level(self.emitted_level()).await?;
            }
            let committing = began.elapsed();
            self.context.progress.update(&self.context.stage, |figures| {
                figures.waited += waited;
                figures.committing += committing;
            });
            if self.is_read() {
                self.context.ends.mark(&self.context.stage, &self.owned).await?;
            }
            if self.context.ends.is_whole(&self.context.stage) {
                return Ok(());
            }
            if idle {
                self.wait_for_more().await?;
            }
        }
    }

    /// How much is read before a commit; while memory is short, less.
    fn commit_bytes(&self) -> u64 {
        if self.memory.is_short() { COMMIT_BYTES_SHORT } else { COMMIT_BYTES }
    }

    /// Takes partitions over and gives them up.
    async fn follow(&mut self, events: Vec<GroupEvent>) -> Result<(), WorkerError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut begun_anew = false;
        for event in events {
            match event {
                GroupEvent::Assigned(partitions) => {
                    self.owned.extend(partitions.iter().map(|p| p.partition as u32));
                    self.context.end_left_open();
                }
                GroupEvent::Gone(partitions) => {
                    // What was read of them and not committed is read again by their next owner.
                    self.owned.retain(|o| !partitions.iter().any(|p| p.partition as u32 == *o));
                    begun_anew = true;
                }
            }
        }
        if begun_anew {
            self.splits.clear();
            self.lanes.clear();
            self.read_since = 0;
        }
        let owned: Vec<u32> = self.owned.iter().copied().collect();
        self.stored = positions::load(&self.context.cluster, &self.stage.positions, &owned).await?;
        self.discover().await
    }

    /// Finds splits of the owned partitions.
    async fn discover(&mut self) -> Result<(), WorkerError> {
        if self.owned.is_empty() {
            return Ok(());
        }
        for at in 0..self.stage.sources.len() {
            let (id, source) = &mut self.stage.sources[at];
            let known = self.stored.positions.get(id.as_ref()).cloned().unwrap_or_default();
            let bounded = source.capabilities().bounded;
            let found = source.discover(&known).await?;
            self.complete[at] = found.complete;
            let there: BTreeSet<_> =
                self.splits.iter().filter(|s| s.source == at).map(|s| s.split.id.clone()).collect();
            let single = found.complete && found.splits.len() == 1;
            let mut by_lane: BTreeMap<String, usize> = BTreeMap::new();
            for split in found.splits {
                let partition = partition_for_key(&split.route, self.stage.split_partitions as i32) as u32;
                if there.contains(&split.id) || !self.owned.contains(&partition) {
                    continue;
                }
                let position = known.get(&split.id).cloned();
                let name = match (bounded, split.label.rsplit_once('/')) {
                    (true, Some((folder, _))) => folder.to_owned(),
                    _ => split.id.to_string(),
                };
                let lane = *by_lane.entry(name).or_insert_with(|| {
                    self.lanes.push(Lane::new(at, bounded, !bounded && single));
                    self.lanes.len() - 1
                });
                self.lanes[lane].waiting.push_back(self.splits.len());
                self.splits.push(SplitState { source: at, split, partition, position });
            }
        }
        let total = self.splits.iter().filter_map(|s| s.split.size_bytes).sum();
        self.context.progress.set_bytes(self.bytes_read, total);
        Ok(())
    }

    /// Says what was read and is not committed.
    fn note_memory(&self) {
        let held: usize = self.lanes.iter().map(Lane::held_bytes).sum();
        let in_flight = self.flight.as_ref().map_or(0, |flight| flight.bytes);
        self.memory.set((in_flight + held) as u64);
    }

    /// Opens a lane's next split where none is open.
    async fn open_next(&mut self, lane: usize) -> Result<(), WorkerError> {
        while self.lanes[lane].current.is_none() {
            let Some(next) = self.lanes[lane].waiting.pop_front() else { return Ok(()) };
            let split = &self.splits[next];
            let (id, source) = &mut self.stage.sources[split.source];
            let state = self.stored.state_of(id, &split.split.id);
            let reader = source.open(&split.split.id, split.position.as_ref(), state).await?;
            let position = split.position.clone();
            self.lanes[lane].current = Some(Current { split: next, reader, position });
        }
        Ok(())
    }

    /// Reads the lanes that are behind, and those that are unbounded, and checks what came. False where nothing did.
    async fn read_round(&mut self) -> Result<bool, WorkerError> {
        let open =
            |at: &usize| !self.lanes[*at].is_read() && (!self.lanes[*at].idle || self.lanes[*at].waits);
        let candidates = (0..self.lanes.len()).filter(open);
        let reads = lanes::next_reads(&self.lanes, candidates, ROUND_BYTES, READ_BYTES);
        let mut read: Vec<Unchecked> = Vec::new();
        let mut starts: Vec<(usize, Option<Position>)> = Vec::new();
        let mut ended = false;
        for (lane, max_bytes) in reads {
            self.open_next(lane).await?;
            let Some(mut current) = self.lanes[lane].current.take() else { continue };
            // A reader that waits does so only where nothing else is to be done.
            let wait_ms = if self.quiet && read.is_empty() { IDLE_WAIT.as_millis() as u64 } else { 0 };
            let limit = ReadLimit { max_bytes, wait_ms, ..ReadLimit::default() };
            let batch = current.reader.read(limit).await?;
            let size: usize = batch.records.iter().map(|r| r.value.len() + 1).sum();
            self.bytes_read += size as u64;
            self.read_since += size as u64;
            let start = current.position.replace(batch.next_position.clone());
            let split = current.split;
            self.lanes[lane].idle = batch.state == ReadState::Idle && !self.lanes[lane].bounded;
            ended |= batch.state == ReadState::End;
            if batch.state != ReadState::End {
                self.lanes[lane].current = Some(current);
            }
            let moved = start.as_ref() != Some(&batch.next_position)
                && self.splits[split].position.as_ref() != Some(&batch.next_position);
            if !batch.records.is_empty() || moved {
                let source = Arc::clone(&self.stage.sources[self.splits[split].source].0);
                starts.push((split, start));
                read.push(Unchecked { lane, source, batch });
            }
        }
        let now = self.context.clock.wall_ms();
        let lanes = &self.lanes;
        let checked = self.stage.checker.check(&read, now, |lane| lanes[lane].clock)?;
        for ((from, (items, clock)), (split, start)) in read.iter().zip(checked).zip(starts) {
            let lane = &mut self.lanes[from.lane];
            lane.moved(clock, from.batch.records.iter().map(|r| r.value.len() as u64 + 1).sum());
            lane.held.push_back(ReadBatch {
                split,
                start,
                bytes: from.batch.records.iter().map(|r| r.value.len()).sum(),
                next: from.batch.next_position.clone(),
                ends: from.batch.records.iter().map(SourceRecord::record_end).collect(),
                items: items.into(),
            });
        }
        self.note_memory();
        self.rounds += 1;
        self.quiet = read.is_empty() && !ended;
        if self.rounds.is_multiple_of(16) {
            let (_, total) = self.context.progress.bytes();
            self.context.progress.set_bytes(self.bytes_read, total);
        }
        Ok(!read.is_empty() || ended)
    }

    /// Whether nothing will ever come any more for what this worker owns, and all of it is committed.
    fn is_read(&self) -> bool {
        !self.owned.is_empty()
            && self.complete.iter().all(|c| *c)
            && self.stage.is_bounded()
            && self.lanes.iter().all(Lane::is_done)
            && self.flight.is_none()
    }

    /// Waits until a source may have more.
    async fn wait_for_more(&mut self) -> Result<(), WorkerError> {
        let mut look = false;
        for at in 0..self.stage.sources.len() {
            let source = &mut self.stage.sources[at].1;
            if source.capabilities().bounded || self.lanes.iter().any(|l| l.source == at && l.waits) {
                continue;
            }
            if let Ok(changes) = tokio::time::timeout(IDLE_WAIT, source.changed()).await {
                let changes = changes?;
                look |= changes.discover;
                for lane in self.lanes.iter_mut().filter(|l| l.source == at) {
                    let of = |split: usize| changes.readable.contains(&self.splits[split].split.id);
                    lane.idle &= !lane.current.as_ref().is_some_and(|c| of(c.split));
                }
            }
        }
        if look {
            self.discover().await?;
        }
        Ok(())
    }

    fn show(&self) {
        let (_, total) = self.context.progress.bytes();
        self.context.progress.set_bytes(self.bytes_read, total);
        self.context.progress.update(&self.context.stage, |figures| {
            figures.counts = self.counts.clone();
            figures.taken = self.counts.get("read").copied().unwrap_or(0);
            figures.cpu_ms = thread_cpu_ms();
        });
    }
}
