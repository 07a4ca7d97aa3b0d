//! The ingest stage: reads the splits whose partition of the splits topic this worker owns, checks records, and commits
//! records, dead letters, positions and the splits' offsets in one broker transaction (WK-1). The offset itself says
//! nothing; committing it as this member is what fences an owner that was replaced. Never enters: Arrow, except where a
//! sink reads what ingest gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{
    CommitPolicy, Consumer, ConsumerConfig, HeaderView, OffsetAndMetadata, OffsetReset, Producer, RecordRef,
};
use millstream_connect::rate::{RateGuard, Verdict};
use millstream_connector::{
    Position, ReadLimit, ReadState, RecordEnd, Rejected, Source, SourceRecord, Split,
};
use millstream_engine::batch_ipc;
use millstream_engine::decode::json::JsonDecoder;
use millstream_engine::state::RECORD_BYTES_MAX;
use millstream_types::TopicPartition;
use millstream_types::hash::partition_for_key;
use tokio::task::JoinHandle;

use crate::error::WorkerError;
use crate::group_events::{GroupEvent, GroupEvents};
use crate::ingest_check::{Checker, Unchecked};
use crate::json_key;
use crate::lanes::{self, Advance, Current, Item, Lane, ReadBatch, What};
use crate::levels;
use crate::outbox::{DeadLetters, Outbox};
use crate::positions::{self, COUNTS_PARTITION};
use crate::progress::thread_cpu_ms;
use crate::run::StageContext;
use crate::transaction::Transaction;

/// The fewest bytes of one read of one split. Small, since what lies ahead of other lanes is held in memory.
const READ_BYTES: usize = 8 << 10;
/// Bytes that go through the function together, about.
const ROUND_BYTES: usize = 1 << 20;
/// A commit comes early when this much was read since the last one.
const COMMIT_BYTES: u64 = 24 << 20;
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
    },
    /// Columns, for sinks.
    Arrow {
        /// The topic.
        topic: Arc<str>,
        /// Its partitions.
        partitions: u32,
        /// Makes columns of records.
        decoder: Box<JsonDecoder>,
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
    /// The share of bad records above which the pipeline ends rather than emptying itself into the dead letters.
    pub rate: Option<RateGuard>,
    /// The splits topic.
    pub splits: Arc<str>,
    /// The positions topic.
    pub positions: Arc<str>,
    /// The partitions of both.
    pub split_partitions: u32,
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
    bytes_read: u64,
    rounds: u32,
    /// Nothing came in the last round.
    quiet: bool,
}

/// Runs the stage until its input has ended, or it is told to stop.
pub async fn run(stage: &mut IngestStage, context: &StageContext) -> Result<(), WorkerError> {
    let producer = context.transactional_producer().await?;
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
            let wait = if waits { Duration::from_millis(50) } else { Duration::ZERO };
            let began = Instant::now();
            consumer.poll(wait).await?;
            let waited = began.elapsed();
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
            let read = self.read_round().await?;
            let began = Instant::now();
            if self.flight.as_ref().is_some_and(|flight| flight.task.is_finished()) {
                self.settle().await?;
            }
            // Reading goes on while a commit is under way, until there is enough for the next.
            let full = self.read_since >= COMMIT_BYTES || !read;
            if full || (self.flight.is_none() && last_commit.elapsed() >= self.context.commit_interval) {
                self.settle().await?;
                self.commit(consumer).await?;
                last_commit = Instant::now();
            }
            if !read {
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
            if !read {
                self.wait_for_more().await?;
            }
        }
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
                next: from.batch.next_position.clone(),
                ends: from.batch.records.iter().map(SourceRecord::record_end).collect(),
                items: items.into(),
            });
        }
        self.rounds += 1;
        self.quiet = read.is_empty() && !ended;
        if self.rounds.is_multiple_of(16) {
            let (_, total) = self.context.progress.bytes();
            self.context.progress.set_bytes(self.bytes_read, total);
        }
        Ok(!read.is_empty() || ended)
    }

    /// Begins to commit what may go, in one transaction. No other is under way.
    async fn commit(&mut self, consumer: &Consumer) -> Result<(), WorkerError> {
        let level = lanes::level(self.lanes.iter());
        let (mut items, mut advances) = (Vec::new(), Vec::new());
        let mut rejected: BTreeMap<usize, Vec<Rejected>> = BTreeMap::new();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let before = items.len();
            lane.emit(at, level, &mut items, &mut advances);
            let Some(current) = lane.current.as_ref().filter(|_| !lane.bounded) else { continue };
            for item in &items[before..] {
                if let What::Bad(sequence, letter) = &item.what {
                    let reason = letter.reason.as_str().into();
                    rejected.entry(current.split).or_default().push(Rejected { sequence: *sequence, reason });
                }
            }
        }
        self.read_since = 0;
        if advances.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        self.watch_rate(&items)?;
        items.sort_by_key(|item: &Item| item.clock);
        let now = self.context.clock.wall_ms();
        let mut outbox = Outbox::default();
        let others = match self.has_levels() {
            true => self.context.ends.level_of_others(&self.context.stage, &self.owned),
            // Nobody says one, and a bound that never rises would keep every window open.
            false => None,
        };
        let others = others.map(i64::to_be_bytes);
        let others = others.as_ref().map(|at| HeaderView { key: levels::HEADER.as_bytes(), value: Some(at) });
        for item in &items {
            self.emit(&mut outbox, item, others.as_slice())?;
        }
        self.emit_columns(&mut outbox, now)?;
        // The last position of each split; what lies in between was emitted too.
        let mut moved: BTreeMap<usize, Position> = BTreeMap::new();
        for advance in advances {
            match advance {
                Advance::To(split, position) => drop(moved.insert(split, position)),
                Advance::Part { lane, split, from, records, end } => {
                    let position = self.position_behind(split, from.as_ref(), records, end).await?;
                    if let Some(batch) = self.lanes[lane].held.front_mut() {
                        batch.start = Some(position.clone());
                    }
                    moved.insert(split, position);
                }
            }
        }
        let mut touched = BTreeSet::from([]);
        for (split, position) in &moved {
            let state = &self.splits[*split];
            let id = &self.stage.sources[state.source].0;
            let place = (id.as_ref(), &state.split.id);
            positions::write_position(
                &mut outbox,
                &self.stage.positions,
                state.partition,
                now,
                place,
                position,
            )?;
            touched.insert(state.partition);
        }
        for lane in &mut self.lanes {
            let Some(current) = &mut lane.current else { continue };
            let Some(position) = moved.get(&current.split) else { continue };
            let state = &self.splits[current.split];
            let id = &self.stage.sources[state.source].0;
            let rejected = rejected.remove(&current.split).unwrap_or_default();
            for entry in current.reader.delta(position, &rejected)? {
                let place = (id.as_ref(), &state.split.id);
                positions::write_state(
                    &mut outbox,
                    &self.stage.positions,
                    state.partition,
                    now,
                    place,
                    &entry,
                )?;
            }
        }
        let who = (self.context.stage.as_str(), self.context.instance.as_str());
        positions::write_counts(&mut outbox, &self.stage.positions, now, who, &self.counts)?;
        let offsets = touched.iter().map(|partition| {
            let partition = TopicPartition::new(Arc::clone(&self.stage.splits), *partition as i32);
            (partition, OffsetAndMetadata::new(0))
        });
        let transaction = Transaction {
            stage: self.context.stage.clone(),
            outbox,
            offsets: offsets.collect(),
            consumer: consumer.handle(),
        };
        tracing::debug!(stage = %self.context.stage, items = items.len(), build_ms = began.elapsed().as_millis(), "built");
        let held = self.group.hold().await;
        let producer = Arc::clone(&self.producer);
        let task = tokio::spawn(async move {
            let committed = transaction.commit(&producer).await;
            drop(held);
            committed
        });
        self.flight = Some(Flight { task, moved, level: self.emitted_level() });
        Ok(())
    }

    /// Waits for the commit that is under way, and tells those who wait for it.
    async fn settle(&mut self) -> Result<(), WorkerError> {
        let Some(Flight { task, moved, level }) = self.flight.take() else { return Ok(()) };
        task.await.map_err(|error| WorkerError::Fatal(format!("committing: {error}")))??;
        for lane in &mut self.lanes {
            let Some(current) = &mut lane.current else { continue };
            if let Some(position) = moved.get(&current.split) {
                current.reader.ack(position).await?;
            }
        }
        for (split, position) in moved {
            self.splits[split].position = Some(position);
        }
        self.say_level(level).await?;
        self.context.progress.update(&self.context.stage, |figures| figures.commits += 1);
        self.show();
        Ok(())
    }

    /// Ends the run where too many records are bad: nothing of this commit is written, and the next run reads it again.
    fn watch_rate(&mut self, items: &[Item]) -> Result<(), WorkerError> {
        let Some(guard) = &mut self.stage.rate else { return Ok(()) };
        let bad = items.iter().filter(|item| matches!(item.what, What::Bad(..))).count() as u64;
        match guard.seen(self.context.clock.monotonic_ms(), items.len() as u64, bad) {
            Verdict::Go => Ok(()),
            Verdict::Over { bad, all } => Err(WorkerError::Fatal(format!(
                "{bad} of the last {all} records are bad, which is above `errors: data: max_rate`; nothing more is read \
                 until a person has looked: correct the input or the rate and run again, or say `on_exceed: continue`"
            ))),
        }
    }

    /// Puts one record where it goes.
    fn emit(
        &mut self,
        outbox: &mut Outbox,
        item: &Item,
        headers: &[HeaderView<'_>],
    ) -> Result<(), WorkerError> {
        let mut count = |name: &str| match self.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(name.to_owned(), 1)),
        };
        count("read");
        let (value, timestamp) = match &item.what {
            What::Good { value, timestamp } => (value, *timestamp),
            What::Bad(_, letter) => {
                count(&format!("rejected.{}", letter.reason));
                if self.stage.stop_on_bad {
                    let text = format!(
                        "{}: {}; `errors: data: action: stop` says to stop",
                        letter.reason, letter.error
                    );
                    return Err(WorkerError::Fatal(text));
                }
                return match &self.stage.dead_letters {
                    Some(to) => outbox.append_dead_letter(to, letter),
                    None => Ok(()),
                };
            }
        };
        count("good");
        for output in &mut self.stage.outputs {
            match output {
                IngestOutput::Json { topic, partitions, key } => {
                    let key = match key {
                        Some(name) => Some(json_key::field(value, name).ok_or_else(|| {
                            WorkerError::Fatal(format!(
                                "a record for topic {topic} has no plain field {name:?}, which chooses its partition"
                            ))
                        })?),
                        None => None,
                    };
                    let partition = match key {
                        Some(key) => partition_for_key(key, *partitions as i32) as u32,
                        None => self.rounds % *partitions,
                    };
                    let record = RecordRef { timestamp, key, value: Some(value), headers };
                    outbox.append(topic, partition, &record)?;
                }
                IngestOutput::Arrow { topic, decoder, .. } => {
                    // It passed every check, and a sink cannot take it: the schema or a check is wrong.
                    decoder.push(value).map_err(|bad| {
                        WorkerError::Fatal(format!(
                            "a record for topic {topic} passed its checks and does not fit the sink's columns: {bad}; \
                             nothing of this commit is written; correct the columns or the check and run again"
                        ))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Puts the columns of this commit into the topics of sinks.
    fn emit_columns(&mut self, outbox: &mut Outbox, now: i64) -> Result<(), WorkerError> {
        for output in &mut self.stage.outputs {
            let IngestOutput::Arrow { topic, partitions, decoder } = output else { continue };
            if decoder.rows() == 0 {
                continue;
            }
            let rows = decoder.finish();
            for (at, record) in batch_ipc::encode(&rows, RECORD_BYTES_MAX)?.iter().enumerate() {
                outbox.append_value(topic, (self.rounds + at as u32) % *partitions, now, record)?;
            }
        }
        Ok(())
    }

    /// The position some records behind another, the last of which ends at `end`; where the source cannot say it,
    /// found by reading them again.
    async fn position_behind(
        &mut self,
        split: usize,
        from: Option<&Position>,
        records: u32,
        end: RecordEnd,
    ) -> Result<Position, WorkerError> {
        let state = &self.splits[split];
        let (id, source) = &mut self.stage.sources[state.source];
        if let Some(position) = source.position_behind(&state.split.id, from, end).await? {
            return Ok(position);
        }
        let mut reader = source.open(&state.split.id, from, Vec::new()).await?;
        let mut left = records as usize;
        loop {
            let limit = ReadLimit { max_bytes: ROUND_BYTES, max_records: left, wait_ms: 0 };
            let batch = reader.read(limit).await?;
            let read = batch.records.len();
            if read > left || (read < left && batch.state != ReadState::More) {
                return Err(WorkerError::Transient(format!(
                    "reading {records} records of {id} {} again gave others; the input changed while it was read",
                    state.split.label
                )));
            }
            left -= read;
            if left == 0 {
                return Ok(batch.next_position);
            }
        }
    }

    /// Whether lanes' clocks are event times: a function gives those, and bounded input is read by them.
    fn has_levels(&self) -> bool {
        self.stage.checker.function.is_some()
            && self.stage.sources.iter().any(|(_, source)| source.capabilities().bounded)
    }

    /// Says how far this worker has come.
    async fn say_level(&self, level: i64) -> Result<(), WorkerError> {
        match self.has_levels() {
            true => self.context.ends.say_level(&self.context.stage, level, &self.owned).await,
            false => Ok(()),
        }
    }

    /// What will be emitted lies at or behind this event time.
    fn emitted_level(&self) -> i64 {
        let bounded = |at: usize| self.stage.sources[at].1.capabilities().bounded;
        if (0..self.complete.len()).any(|at| bounded(at) && !self.complete[at]) {
            return i64::MIN;
        }
        let held = self.lanes.iter().filter(|lane| lane.bounded).filter_map(Lane::first_held);
        held.min().unwrap_or(i64::MAX).min(lanes::level(self.lanes.iter()))
    }

    /// Whether nothing will ever come any more for what this worker owns, and all of it is committed.
    fn is_read(&self) -> bool {
        !self.owned.is_empty()
            && self.complete.iter().all(|c| *c)
            && self.stage.sources.iter().all(|(_, s)| s.capabilities().bounded)
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
