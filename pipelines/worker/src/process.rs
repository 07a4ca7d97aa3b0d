//! A process stage: reads its topic as a member of its group, read committed, runs the engine over all its partitions
//! together, and commits rows, dead letters, state and offsets in one broker transaction (WK-1). A partition that comes is
//! restored from the changelogs before its first record; one that goes is committed before it is given up. Never enters:
//! what operators do.

mod align;
mod aside;
mod commit;
mod lift;
mod outgoing;
mod plain;
mod rows;
mod spilling;
mod tables;
mod take_over;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_client::consumer::ListenerFuture;
use millstream_client::{
    Admin, Assignor, BatchError, ClientError, CommitPolicy, Consumer, ConsumerConfig, ConsumerHandle,
    ConsumerRecords, Isolation, OffsetReset, Producer, RebalanceListener, RecordView,
};
use millstream_connect::rate::RateGuard;
use millstream_engine::stage::{OperatorKind, SourceSpec, Stage, StageSpec, TimeBounds};
use millstream_model::watermark::CaughtUp;
use millstream_model::{KeyGroup, Watermark};
use millstream_spec::catalog::Delivery;
use millstream_types::{MemoryClaim, TopicPartition};
use tokio::sync::Mutex;

use crate::changelog::Changelogs;
use crate::error::WorkerError;
use crate::formats::{Fetcher, Written};
use crate::gone::{self, GoneReader};
use crate::levels;
use crate::outbox::{self, Away, DeadLetters, Outbox};
use crate::positions::{self, COUNTS_PARTITION};
use crate::progress::{OperatorFigures, thread_cpu_ms};
use crate::run::StageContext;
use crate::snapshots::Snapshots;
use crate::snapshots::taking::Taking;
use crate::standby::{Begins, Followed, Standby};
use crate::tables::TableRows;
use commit::MaySnapshot;
use lift::{Lifting, Resumed};
use outgoing::Outgoing;
use plain::Plain;
use rows::WaitingRows;
use spilling::Spilling;
use tables::Tables;
use take_over::Restoring;

/// How long a poll waits for records.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// And how long while partitions are being restored, which may be ready any time.
const RESTORING_WAIT: Duration = Duration::from_millis(5);
/// How often to look whether inputs have ended, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A commit comes early when this much was read since the last one.
const COMMIT_BYTES: usize = 32 << 20;
/// And when this much was, while the process is short of memory.
const COMMIT_BYTES_SHORT: usize = 4 << 20;
/// How many commits a run that ends makes at most for snapshots that are due.
const LAST_COMMITS_MAX: usize = 10_000;

/// A topic that the stage reads; the engine's source of the same place.
#[derive(Clone, Debug)]
pub struct ProcessInput {
    /// The topic.
    pub topic: Arc<str>,
    /// Where others write it, and state is kept by it: the column that its records' keys are of.
    pub keyed_by: Option<String>,
    /// How far event time may lie ahead of when its record was written, in milliseconds.
    pub ahead_ms: Option<i64>,
    /// What fetches the schemas that its records name, where they do.
    pub fetcher: Option<Arc<Fetcher>>,
    /// The columns of its records' keys.
    pub key: Vec<String>,
}

/// Where an operator's rows go.
#[derive(Clone, Debug)]
pub struct ProcessOutput {
    /// The operator, or the source, by name.
    pub from: String,
    /// The topic.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: u32,
    /// How its records are written.
    pub form: Form,
    /// Whether they are in the commit's transaction, or go before it or after it.
    pub delivery: Delivery,
    /// The columns that its rows are known by, where they take the place of each other.
    pub known_by: Option<Vec<String>>,
    /// Whether records of the topic can say that a row is gone. Where not, the one that was written before stays: that is only so of
    /// results that cannot be computed, of streams whose rows do not go otherwise.
    pub lets_go: bool,
}

/// How rows are written.
#[derive(Clone, Debug)]
pub enum Form {
    /// Batches of columns, in the partition of their key group.
    Columns,
    /// A record for each row, or for many where the format takes them.
    Records {
        /// The column that is the record's key, and chooses its partition.
        key: Option<String>,
        /// Whether a stage of the pipeline keeps event time by it, and wants to know how far rows have come.
        levels: bool,
        /// How its values are written.
        written: Written,
    },
}

/// What the stage is made of.
pub struct ProcessStage {
    /// For the engine.
    pub spec: StageSpec,
    /// Tables by name.
    pub tables: BTreeMap<String, TableRows>,
    /// The topics that it reads, in the order of the spec's sources.
    pub inputs: Vec<ProcessInput>,
    /// What it writes.
    pub outputs: Vec<ProcessOutput>,
    /// Whose rows are counted and forgotten.
    pub discards: Vec<String>,
    /// Changelogs by operator id, with their partitions.
    pub changelogs: BTreeMap<String, (Arc<str>, u32)>,
    /// How many bytes of changes a changelog's partition has before its state is written anew.
    pub snapshot_after: u64,
    /// Where snapshots of state go, unless into the changelogs.
    pub snapshots: Option<Arc<Snapshots>>,
    /// How many workers that do not own a key group keep a copy of its state.
    pub standby: u32,
    /// Whether a worker that comes to others reads state before it joins them.
    pub warm_start: bool,
    /// Where dead letters go.
    pub dead_letters: Option<DeadLetters>,
    /// Whether a bad record stops the pipeline.
    pub stop_on_bad: bool,
    /// How many of the records may be bad, where it matters.
    pub rate: Option<RateGuard>,
    /// Whether the stage waits for a person when more are; else it ends.
    pub pauses: bool,
    /// Where late rows of an operator go that do not go there: by its name, a topic and its partitions.
    pub late_topics: BTreeMap<String, (Arc<str>, u32)>,
    /// The positions topic, where counts go.
    pub positions: Arc<str>,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where event time stands when the input has ended; nothing for the end of time.
    pub event_time_at_end: Option<i64>,
    /// Whether the stage has begun before.
    pub begun: AtomicBool,
}

impl ProcessStage {
    /// The place of a topic among the inputs.
    fn input_of(&self, topic: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.topic.as_ref() == topic)
    }

    /// The partition of a topic that a key group's rows are in.
    fn partition(&self, input: usize, group: u32) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.inputs[input].topic), group as i32)
    }

    /// What standby copies are of.
    fn followed(&self, context: &StageContext) -> Followed {
        Followed {
            cluster: Arc::clone(&context.cluster),
            stage: context.stage.clone(),
            group_id: context.group_id.clone(),
            memory: context.memory.clone(),
            progress: Arc::clone(&context.progress),
            changelogs: self.changelogs.clone(),
            positions: Arc::clone(&self.positions),
            snapshots: self.snapshots.clone(),
            input: self.inputs.first().map_or_else(|| Arc::from(""), |input| Arc::clone(&input.topic)),
            key_groups: self.spec.key_groups,
            copies: self.standby,
            warm_start: self.warm_start,
        }
    }

    /// The partitions of a key group, of all topics.
    fn partitions(&self, group: u32) -> impl Iterator<Item = TopicPartition> + '_ {
        (0..self.inputs.len()).map(move |input| self.partition(input, group))
    }
}

struct Driver {
    setup: Arc<ProcessStage>,
    context: StageContext,
    stage: Stage,
    producer: Producer,
    plain: Plain,
    /// Partitions that were assigned and are not restored yet. A key group waits until its partitions of all topics are here.
    coming: BTreeSet<TopicPartition>,
    restoring: Restoring,
    owned: BTreeSet<u32>,
    /// Next offsets that are processed and not committed.
    moved: BTreeMap<TopicPartition, i64>,
    out: Outgoing,
    /// What reads which row a record without a value takes away, by input, where rows take the place of each other.
    gone: Vec<Option<GoneReader>>,
    rate: Option<RateGuard>,
    /// Records that were read since the last commit.
    taken: u64,
    /// The engine's counts that are counted already.
    counted: BTreeMap<String, u64>,
    bytes_since: usize,
    /// What was read since the last commit, and what operators keep.
    read: MemoryClaim,
    state: MemoryClaim,
    spilling: Spilling,
    /// Inputs, and their key groups, that have been read to their end.
    finished: BTreeSet<(usize, u32)>,
    /// Inputs, with key groups, that wait for others.
    ahead: BTreeSet<(usize, u32)>,
    lifting: BTreeMap<(usize, u32), Lifting>,
    /// Of a stage without state: how far partitions that were assigned had come, by their positions.
    resumed: BTreeMap<TopicPartition, Resumed>,
    changelogs: Changelogs,
    standby: Standby,
    lost: Option<WorkerError>,
    /// A commit has failed, after which nothing here counts.
    has_failed: bool,
}

/// Commits what is to be given up before it goes.
struct GiveUp(Arc<Mutex<Driver>>);

impl RebalanceListener for GiveUp {
    fn assigned<'a>(
        &'a mut self,
        consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        Box::pin(async move {
            let mut driver = self.0.lock().await;
            if driver.setup.inputs.len() > 1 || !driver.setup.changelogs.is_empty() {
                // Nothing is read of a key group before all of it is here.
                consumer.pause(partitions);
            }
            if let Err(error) = driver.find_resumed(consumer, partitions).await {
                driver.lost = Some(error);
            }
            driver.coming.extend(partitions.iter().cloned());
            driver.context.end_left_open();
            driver.tell_standby(consumer);
        })
    }

    fn revoked<'a>(
        &'a mut self,
        consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        Box::pin(async move {
            let mut driver = self.0.lock().await;
            if let Err(error) = driver.give_up(consumer, partitions).await {
                driver.lost = Some(error);
            }
        })
    }

    fn lost<'a>(&'a mut self, _: &'a ConsumerHandle, _: &'a BTreeSet<TopicPartition>) -> ListenerFuture<'a> {
        Box::pin(async {
            let text = "this worker was taken out of the group; it joins again".to_owned();
            self.0.lock().await.lost = Some(WorkerError::Transient(text));
        })
    }
}

/// Runs the stage until its input has ended, or it is told to stop.
pub async fn run(setup: &Arc<ProcessStage>, context: &StageContext) -> Result<(), WorkerError> {
    let mut stage = Stage::build(setup.spec.clone()).map_err(|problems| {
        WorkerError::Setup(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    // It ends what an earlier one of this worker left open, which may be in a table's topic.
    let producer = context.transactional_producer().await?;
    let mut tables = Tables::open(setup, context, &mut stage).await?;
    let stored = positions::load(&context.cluster, &setup.positions, &[COUNTS_PARTITION]).await?;
    let counts = stored.counts.get(&(context.stage.clone(), context.instance.clone())).cloned();
    let operators = setup.spec.operators.iter();
    let deduped = operators.filter(|operator| {
        let of_source = |source: &SourceSpec| operator.inputs == [source.name.as_str()];
        matches!(operator.kind, OperatorKind::Dedupe { .. }) && setup.spec.sources.iter().any(of_source)
    });
    let mut encoders = Vec::new();
    for output in &setup.outputs {
        encoders.push(match &output.form {
            Form::Records { written, .. } => Some(written.open().await?),
            Form::Columns => None,
        });
    }
    let mut gone = Vec::new();
    for (source, input) in setup.spec.sources.iter().zip(&setup.inputs) {
        let reader = |known_by: &Vec<String>| GoneReader::new(&source.schema, known_by, &input.key);
        gone.push(source.latest_by.as_ref().map(reader).transpose()?);
    }
    let (admin, mut takes) = (Admin::new(&context.cluster), Vec::new());
    for output in &setup.outputs {
        takes.push(outbox::takes(&admin, &output.topic).await);
    }
    let begins = match setup.begun.swap(true, Ordering::Relaxed) {
        false => Begins::First,
        true => Begins::Again,
    };
    let standby = Standby::open(setup.followed(context), context, begins).await;
    let away = context.scratch.clone().map(|folder| Arc::new(Away::new(folder, &context.memory)));
    let driver = Arc::new(Mutex::new(Driver {
        setup: Arc::clone(setup),
        context: context.clone(),
        stage,
        producer,
        plain: Plain::open(setup, context)?,
        coming: BTreeSet::new(),
        restoring: Restoring::new(),
        owned: BTreeSet::new(),
        moved: BTreeMap::new(),
        out: Outgoing {
            setup: Arc::clone(setup),
            context: context.clone(),
            encoders,
            takes,
            rows: setup.outputs.iter().map(|_| WaitingRows::default()).collect(),
            outbox: Outbox::new(away.clone()),
            away,
            made: 0,
            bad: 0,
            told: HashSet::new(),
            results: 0,
            counts: counts.unwrap_or_default(),
            deduped: deduped.map(|operator| operator.name.clone()).collect(),
        },
        gone,
        rate: setup.rate.clone(),
        taken: 0,
        counted: BTreeMap::new(),
        bytes_since: 0,
        read: context.memory.claim("read"),
        state: context.memory.claim("state"),
        spilling: Spilling::new(context),
        finished: BTreeSet::new(),
        ahead: BTreeSet::new(),
        lifting: BTreeMap::new(),
        resumed: BTreeMap::new(),
        changelogs: Changelogs::new(
            setup.changelogs.clone(),
            Arc::clone(&setup.positions),
            &context.instance,
            setup.spec.key_groups,
            setup.snapshot_after,
            begins == Begins::Again,
        )
        .stored(&context.stage, setup.snapshots.as_ref(), |snapshots| {
            let (positions, progress) = (Arc::clone(&setup.positions), Arc::clone(&context.progress));
            Taking::new(snapshots, positions, &context.stage, progress, context.memory.claim("snapshots"))
        }),
        standby,
        lost: None,
        has_failed: false,
    }));
    driver.lock().await.show(None);
    let config = ConsumerConfig {
        commit: CommitPolicy::Manual,
        offset_reset: OffsetReset::Earliest,
        isolation: Isolation::ReadCommitted,
        prefetch_bytes: 16 << 20,
        poll_bytes_max: context.poll_bytes(8 << 20),
        // Each is looked at below.
        check_records: false,
        ..context.member()
    };
    let config = if setup.inputs.len() > 1 { together(config) } else { config };
    let mut consumer = Consumer::new(&context.cluster, config)?;
    consumer.set_listener(Box::new(GiveUp(Arc::clone(&driver))));
    consumer.subscribe(setup.inputs.iter().map(|input| Arc::clone(&input.topic))).await?;
    let mut last_commit = Instant::now();
    let mut last_look = Instant::now();
    let mut wait = POLL_WAIT;
    loop {
        let polled = context.poll(&mut consumer, wait).await?;
        let is_throttled = polled.is_none();
        let records = polled.unwrap_or_default();
        fetch(setup, &records).await?;
        let mut driver = driver.lock().await;
        if let Some(error) = driver.lost.take() {
            return Err(error);
        }
        let waits = last_look.elapsed() < LOOK_EVERY && last_commit.elapsed() < context.commit_interval;
        if is_throttled && waits && !context.is_stopping() && !driver.has_more_to_do() {
            // What is done while nothing is taken in has to cost less than the share, or it would never end.
            continue;
        }
        driver.stage.let_go()?;
        driver.take_over(&consumer)?;
        // A poll that hardly waited says little.
        let quiet = records.is_empty() && wait == POLL_WAIT && !is_throttled;
        wait = if driver.restoring.is_busy() { RESTORING_WAIT } else { POLL_WAIT };
        tables.change(context, &mut driver.stage)?;
        driver.process(&records).await?;
        driver.send_early().await?;
        driver.align(&consumer);
        if quiet || last_look.elapsed() >= LOOK_EVERY {
            last_look = Instant::now();
            driver.lift(&consumer).await?;
            driver.look(&consumer)?;
            let Driver { changelogs, owned, .. } = &mut *driver;
            changelogs.look(&context.cluster, owned).await;
        }
        let stopping = context.is_stopping();
        let due = last_commit.elapsed() >= context.commit_interval || driver.is_full();
        let mut committing = Duration::ZERO;
        if due || quiet || stopping {
            let began = Instant::now();
            // Nothing is written anew while key groups stand still.
            let may = if driver.restoring.is_busy() { MaySnapshot::No } else { MaySnapshot::Yes };
            driver.commit(&consumer, may).await?;
            last_commit = Instant::now();
            committing = began.elapsed();
            // What has been finished is committed now.
            context.ends.mark(&context.stage, &driver.finished_groups()).await?;
            // Said by a quiet worker too: others wait for its word.
            if let Some(came) = driver.level_to_say() {
                driver.late_arrived().await;
                context.ends.say_level(&context.stage, came, &driver.owned).await?;
            }
        }
        context.progress.update(&context.stage, |figures| figures.committing += committing);
        let is_whole = context.ends.is_whole(&context.stage);
        // The next run begins with the state, not with its changes.
        for _ in 0..LAST_COMMITS_MAX {
            if !is_whole || stopping || driver.owned.is_empty() || !driver.changelogs.has_more().await {
                break;
            }
            driver.commit(&consumer, MaySnapshot::Yes).await?;
        }
        if stopping || is_whole {
            break;
        }
    }
    // The driver is given up with its listener; partitions were committed just now.
    consumer.close().await?;
    let mut driver = driver.lock().await;
    driver.changelogs.close().await;
    driver.plain.close().await;
    driver.producer.close(Duration::from_secs(5)).await;
    Ok(())
}

/// Fetches the schemas that records name, before they are read.
async fn fetch(setup: &ProcessStage, records: &ConsumerRecords) -> Result<(), WorkerError> {
    for part in &records.partitions {
        let input = setup.input_of(&part.partition.topic).map(|at| &setup.inputs[at]);
        if let Some(fetcher) = input.and_then(|input| input.fetcher.as_ref()) {
            fetcher.fetch(part.records().filter_map(|record| record.ok()?.value)).await?;
        }
    }
    Ok(())
}

/// Partitions of the same number go to the same member, of all topics.
fn together(config: ConsumerConfig) -> ConsumerConfig {
    let range = Assignor::Range;
    ConsumerConfig { remote_assignor: Some(range.name().to_owned()), assignors: vec![range], ..config }
}

/// How far the partition's other writers had come, where the record says so.
fn level_of(record: &RecordView<'_>) -> Option<i64> {
    let level = record.headers.find_last(levels::HEADER)?;
    Some(i64::from_be_bytes(level.value?.try_into().ok()?))
}

impl Driver {
    fn now(&self) -> i64 {
        self.context.clock.monotonic_ms()
    }

    /// Whether partitions have come that are not taken over yet, or a commit is to come early.
    fn has_more_to_do(&self) -> bool {
        !self.coming.is_empty() || self.restoring.is_busy() || self.is_full()
    }

    /// Whether enough was read for a commit; while memory is short, less is.
    fn is_full(&self) -> bool {
        let enough = if self.read.is_short() { COMMIT_BYTES_SHORT } else { COMMIT_BYTES };
        self.bytes_since >= enough
    }

    /// The key groups that have been read to their end, of all topics.
    fn finished_groups(&self) -> BTreeSet<u32> {
        let inputs = 0..self.setup.inputs.len();
        let is_finished = |group: &&u32| inputs.clone().all(|at| self.finished.contains(&(at, **group)));
        self.owned.iter().filter(is_finished).copied().collect()
    }

    /// Runs what was polled, whole: dead letters find their payload among these records.
    async fn process(&mut self, records: &ConsumerRecords) -> Result<(), WorkerError> {
        let mut taken = 0u64;
        for part in &records.partitions {
            let group = KeyGroup(part.partition.partition as u32);
            let Some(input) = self.setup.input_of(&part.partition.topic) else { continue };
            // What others append behind the end that was agreed on is for the next run.
            if self.finished.contains(&(input, group.0)) {
                continue;
            }
            for batch in &part.batches {
                self.bytes_since += batch.payload().len();
                let mut rest = batch.records();
                loop {
                    let Some(record) = self.push_rows((input, group), &mut rest, &mut taken)? else {
                        if !self.stage.is_full() {
                            break;
                        }
                        self.run_rows(Some(records)).await?;
                        continue;
                    };
                    if let (Some(column), None) = (&self.setup.inputs[input].keyed_by, record.key) {
                        let error = format!(
                            "the topic is keyed by {column}, and the record has no key: it could lie in any partition, apart from others of its {column}"
                        );
                        let step = self.setup.spec.sources[input].name.clone();
                        self.out.count_bad("rejected.no_key");
                        self.out.letter(
                            Some(records),
                            (input, group.0, record.offset),
                            &step,
                            ("no_key".to_owned(), error),
                        )?;
                        continue;
                    }
                    if let (None, Some(gone)) = (record.value, &self.gone[input]) {
                        let bad = match gone.object(&record) {
                            Ok(known) => {
                                let bad = self.stage.push_gone(input, (group, record.offset), &known)?;
                                bad.map(|why| gone::not_known(&known, &why))
                            }
                            Err(error) => Some(error),
                        };
                        if let Some(error) = bad {
                            let source = &self.setup.spec.sources[input];
                            let (step, reason) =
                                (source.name.clone(), format!("malformed_{}", source.format.name()));
                            self.out.count_bad(&format!("rejected.{reason}"));
                            let place = (input, group.0, record.offset);
                            self.out.letter(Some(records), place, &step, (reason, error))?;
                        }
                        if self.stage.is_full() {
                            self.run_rows(Some(records)).await?;
                        }
                    }
                }
            }
            self.moved.insert(part.partition.clone(), part.next_offset);
            let yes = part.next_offset >= part.last_stable_offset;
            self.stage.caught_up(input, group, if yes { CaughtUp::Yes } else { CaughtUp::No });
        }
        self.run_rows(Some(records)).await?;
        self.read.set(self.bytes_since as u64);
        if taken > 0 {
            *self.out.counts.entry("read".to_owned()).or_default() += taken;
            self.taken += taken;
        }
        Ok(())
    }

    /// Pushes records until enough rows wait, none is left, or one comes that is no row: without a key, or of one that is gone.
    /// Apart from what awaits, since this is what each record costs.
    fn push_rows<'a>(
        &mut self,
        (input, group): (usize, KeyGroup),
        records: &mut impl Iterator<Item = Result<RecordView<'a>, BatchError>>,
        taken: &mut u64,
    ) -> Result<Option<RecordView<'a>>, WorkerError> {
        let ProcessInput { keyed_by, ahead_ms, .. } = &self.setup.inputs[input];
        let (wants_key, has_gone) = (keyed_by.is_some(), self.gone[input].is_some());
        let mut before = self.stage.rows_waiting();
        while !self.stage.is_full() {
            let Some(record) = records.next() else { return Ok(None) };
            let record = record.map_err(|source| ClientError::Batch {
                partition: self.setup.partition(input, group.0),
                source,
            })?;
            *taken += 1;
            if (wants_key && record.key.is_none()) || (has_gone && record.value.is_none()) {
                return Ok(Some(record));
            }
            let ahead = ahead_ms.filter(|_| record.timestamp >= 0);
            let latest = ahead.map(|ahead| record.timestamp.saturating_add(ahead));
            let bounds = TimeBounds { others_at: level_of(&record), latest };
            self.stage.push_record(input, (group, record.offset), record.value, bounds)?;
            // Those that are bad are held against all: of a record with many rows, each.
            let waiting = self.stage.rows_waiting();
            *taken += (waiting - before).saturating_sub(1) as u64;
            before = waiting;
        }
        Ok(None)
    }

    /// Partitions that have been read to their end, where it is known; and those that wait for more.
    fn look(&mut self, consumer: &ConsumerHandle) -> Result<(), WorkerError> {
        let now = self.now();
        let setup = Arc::clone(&self.setup);
        let mut finish = Vec::new();
        for (input, ProcessInput { topic, .. }) in setup.inputs.iter().enumerate() {
            let ends = self.context.ends.of(topic);
            let positions = if ends.is_some() { consumer.positions() } else { BTreeMap::new() };
            let at_end = |partition: &TopicPartition, end: i64| {
                end == 0 || positions.get(partition).is_some_and(|at| *at >= end)
            };
            for group in &self.owned {
                let partition = setup.partition(input, *group);
                match &ends {
                    Some(_) if self.finished.contains(&(input, *group)) => {}
                    Some(ends) if at_end(&partition, ends[*group as usize]) => finish.push((input, *group)),
                    Some(_) => {}
                    None if consumer.lag(&partition) == Some(0) => {
                        self.stage.caught_up(input, KeyGroup(*group), CaughtUp::Yes);
                    }
                    None => {}
                }
            }
        }
        for (input, group) in finish {
            let key_group = KeyGroup(group);
            match setup.event_time_at_end {
                Some(at) => self.stage.raise_watermark(input, key_group, Watermark::at(at), now)?,
                None => self.stage.finish(input, key_group, now)?,
            }
            self.finished.insert((input, group));
        }
        let owned = self.owned.iter().flat_map(|group| setup.partitions(*group));
        let lag = owned.filter_map(|partition| consumer.lag(&partition)).sum::<i64>().max(0) as u64;
        self.show(Some(lag));
        Ok(())
    }

    /// Says what operators keep in memory; when that is more than there is room for, some of it goes to the scratch first. Behind a
    /// commit.
    fn note_state(&mut self) -> Result<(), WorkerError> {
        let kept = |stage: &Stage| stage.state_sizes().iter().map(|(_, size)| size.bytes as u64).sum();
        self.state.set(kept(&self.stage));
        // Copies of what others have go first; state goes to the scratch where that is not enough by the next commit.
        if self.state.is_short() && self.standby.gives_way() {
            return Ok(());
        }
        if self.spilling.relieve(&mut self.stage, &self.state)? {
            self.state.set(kept(&self.stage));
        }
        Ok(())
    }

    fn show(&self, lag: Option<u64>) {
        let watermark = self.stage.least_watermark();
        self.context.progress.update(&self.context.stage, |figures| {
            figures.counts = self.out.counts.clone();
            figures.taken = self.out.counts.get("read").copied().unwrap_or(0);
            figures.lag = lag;
            figures.watermark = known(watermark);
            figures.cpu_ms = thread_cpu_ms();
            figures.operators = self.operator_figures();
        });
    }

    fn operator_figures(&self) -> Vec<(String, OperatorFigures)> {
        let each = self.stage.counts().into_iter().zip(self.stage.state_sizes());
        let each = each.zip(self.stage.operator_watermarks());
        let figures = each.map(|(((name, counts), (_, state)), watermark)| {
            let figures = OperatorFigures {
                rows_in: counts.rows_in,
                batches_in: counts.batches_in,
                bytes_in: counts.bytes_in,
                busy: counts.busy,
                watermark: known(watermark),
                rows_out: counts.rows_out,
                late: counts.late,
                state_bytes: state.bytes as u64,
                state_disk_bytes: state.disk_bytes,
                state_entries: state.entries as u64,
            };
            (name.to_owned(), figures)
        });
        figures.collect()
    }
}

/// A watermark that means an instant.
fn known(watermark: Watermark) -> Option<i64> {
    (watermark != Watermark::NONE && watermark != Watermark::END).then(|| watermark.to_raw())
}
