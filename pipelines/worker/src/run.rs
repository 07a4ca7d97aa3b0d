//! A pipeline's life: topics made, stages begun, each on a thread of its own, begun again when something passes by,
//! stopped together when one cannot go on, done when all are. Never enters: what a stage does, how a broker is started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use millstream_client::admin::NewTopic;
use millstream_client::{
    Admin, ClientError, Cluster, Consumer, ConsumerConfig, ConsumerRecords, Producer, ProducerConfig,
};
use millstream_connect::retry::{Backoff, BackoffConfig};
use millstream_connector::Period;
use millstream_engine::sql::at_rest::STACK_BYTES;
use millstream_plan::{Job, StageKind, names};
use millstream_spec::Pipeline;
use millstream_spec::ast::Limits;
use millstream_types::{Clock, CpuBudget, ErrorCode, MemoryBudget, SeededRng};
use millstream_wasm::{Engine, EngineConfig};
use tokio::sync::watch;

use crate::assemble::Parts;
use crate::bench::Bench;
use crate::connectors::{Maker, WallClock};
use crate::ends::Ends;
use crate::error::WorkerError;
use crate::formats;
use crate::functions::{self, Loaded};
use crate::ingest::{self, IngestStage};
use crate::left_open;
use crate::positions::{self, COUNTS_PARTITION};
use crate::process::{self, ProcessStage};
use crate::progress::{CPU_CLOCK, Progress, StageFigures, thread_cpu_ms};
use crate::savepoint::{self, Subject};
use crate::sink_stage::{self, SinkStage};
use crate::snapshots;
use crate::tables;
use crate::transaction::TransactionTime;

/// A transaction that a dead worker left open ends after this, unless a commit has taken longer.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// On the bench everything comes at once and the run is over soon after: a fetch that began before a seek must not hold it
/// up.
const FETCH_WAIT_ON_BENCH: Duration = Duration::from_millis(20);
/// A stage that ran this long before it failed starts with the first delay again.
const SETTLED: Duration = Duration::from_secs(30);
/// The least that a poll brings, where there is so much.
const POLL_BYTES_LEAST: usize = 64 << 10;
/// A stage takes nothing in for so long at a time, while the pipeline has used more than its share of CPU; between, it does all
/// else that it does between two batches.
const THROTTLED_AT_ONCE: Duration = Duration::from_millis(50);

/// How a pipeline is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The worker's own name, kept over restarts and different for each worker of a pipeline.
    pub instance: String,
    /// Where compiled functions are kept.
    pub cache: Option<std::path::PathBuf>,
    /// Where state goes that memory has no room for; it stays in memory where nothing is said.
    pub scratch: Option<std::path::PathBuf>,
    /// Becomes true when the run is to end.
    pub stop: watch::Receiver<bool>,
    /// What stands in for sources, tables and targets, in a test.
    pub bench: Option<Arc<Bench>>,
    /// What this process may hold.
    pub memory: MemoryBudget,
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// Whether the input was finite and is done; else it was stopped.
    pub done: bool,
    /// Each stage's last figures on this worker.
    pub stages: Vec<(String, StageFigures)>,
    /// Each stage's counts over all workers and all runs.
    pub totals: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What stages share.
#[derive(Clone)]
pub struct StageContext {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The pipeline.
    pub pipeline: String,
    /// The stage's id.
    pub stage: String,
    /// Its consumer group.
    pub group_id: String,
    /// This worker's transactional id in it.
    pub transactional_id: String,
    /// The worker's name.
    pub instance: String,
    /// The longest time between two commits.
    pub commit_interval: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where bounded topics end.
    pub ends: Arc<Ends>,
    /// What people see.
    pub progress: Arc<Progress>,
    /// What the pipeline may hold.
    pub memory: MemoryBudget,
    /// And what it may compute.
    pub cpu: CpuBudget,
    /// Where state goes that memory has no room for.
    pub scratch: Option<std::path::PathBuf>,
    /// How long its transactions may take.
    pub transaction_time: TransactionTime,
    /// How long a fetch waits at the broker for records.
    fetch_wait: Duration,
    /// How often it was asked for that what others left open is ended, since nobody was at it.
    ending: Arc<AtomicU32>,
    stop: watch::Receiver<bool>,
}

impl StageContext {
    /// Whether the run is to end.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until the run is to end.
    pub async fn stopped(&self) {
        // Without a sender nobody can say go on either.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// So many bytes of one poll; fewer where the pipeline has less than a core, so that it is held down often, and not for long.
    pub fn poll_bytes(&self, bytes: usize) -> usize {
        let millicores = self.cpu.millicores().map_or(1_000, |limit| limit.min(1_000)) as usize;
        (bytes * millicores / 1_000).max(POLL_BYTES_LEAST)
    }

    /// How long to take nothing in before all else is looked at, where the pipeline has used more than its share of CPU.
    pub fn throttled(&self) -> Option<Duration> {
        let wait = self.cpu.overdrawn()?.min(THROTTLED_AT_ONCE);
        self.progress.update(&self.stage, |figures| figures.throttled += wait);
        Some(wait)
    }

    /// Polls; while the pipeline has used more than its share of CPU, for the group alone: nothing is returned then.
    pub async fn poll(
        &self,
        consumer: &mut Consumer,
        wait: Duration,
    ) -> Result<Option<ConsumerRecords>, ClientError> {
        match self.throttled() {
            Some(throttled) => consumer.attend(throttled).await.map(|()| None),
            None => {
                let began = Instant::now();
                let records = consumer.poll(wait).await;
                self.progress.update(&self.stage, |figures| figures.waited += began.elapsed());
                records.map(Some)
            }
        }
    }

    /// The stage's member of its group: the same one after a restart, which so takes its partitions up again at once. It has the
    /// name of the transactional id, by which others know whether the worker of a transaction is in its group (`left_open`).
    pub fn member(&self) -> ConsumerConfig {
        let member_id = Some(self.transactional_id.clone());
        let fetch_wait = self.fetch_wait;
        let memory = self.memory.clone();
        ConsumerConfig { member_id, fetch_wait, memory, ..ConsumerConfig::in_group(&self.group_id) }
    }

    /// Ends what others of the stage left open that are not in its group any more, beside what goes on here: to be called when
    /// partitions come.
    pub fn end_left_open(&self) {
        if self.ending.fetch_add(1, Ordering::Relaxed) > 0 {
            // Whoever is at it begins again.
            return;
        }
        let context = self.clone();
        tokio::spawn(async move {
            loop {
                let asked = context.ending.load(Ordering::Relaxed);
                left_open::end_of_stage(&context.cluster, (&context.pipeline, &context.group_id)).await;
                let none = context.ending.compare_exchange(asked, 0, Ordering::Relaxed, Ordering::Relaxed);
                if none.is_ok() {
                    break;
                }
            }
        });
    }

    /// The stage's producer, which ends what an earlier one of this worker left open.
    pub async fn transactional_producer(&self) -> Result<Producer, WorkerError> {
        let config = ProducerConfig {
            transactional_id: Some(self.transactional_id.clone()),
            transaction_timeout: self.transaction_time.get(),
            linger: Duration::ZERO,
            buffer_bytes: 64 << 20,
            request_bytes_max: 4 << 20,
            ..ProducerConfig::default()
        };
        let producer = Producer::new(&self.cluster, config)?;
        producer.init_transactions().await?;
        Ok(producer)
    }
}

/// What a run has begun beside itself ends with it, however it ends.
struct Beside {
    halt: watch::Sender<bool>,
    following: tokio::task::AbortHandle,
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.halt.send_replace(true);
        self.following.abort();
    }
}

enum AnyStage {
    Ingest(Box<IngestStage>),
    Process(Arc<ProcessStage>),
    Sink(Box<SinkStage>),
}

/// Runs a pipeline until its input is done, it is stopped, or it fails. `begun` gets the figures to show.
pub async fn run(
    (pipeline, job): (&Pipeline, &Job),
    root: &std::path::Path,
    cluster: &Arc<Cluster>,
    options: Options,
    begun: impl FnOnce(Arc<Progress>),
) -> Result<Report, WorkerError> {
    // A test of a pipeline shows what it does, however long that takes and whatever it holds.
    let limits = if options.bench.is_some() { Limits::default() } else { pipeline.limits };
    let memory = options.memory.part(limits.memory_bytes);
    let cpu = CpuBudget::new(limits.millicores, CPU_CLOCK);
    let clock: Arc<dyn Clock> = Arc::new(WallClock::new());
    let seed = clock.wall_ms() as u64 ^ (u64::from(std::process::id()) << 44);
    let maker = Maker::new(pipeline, root, Arc::clone(&clock), seed);
    let maker =
        maker.map_err(|d| WorkerError::Setup(d.message))?.on_bench(options.bench.clone()).within(&memory);
    make_topics(cluster, job).await?;
    if options.bench.is_none() {
        let subject = Subject { pipeline, job };
        if let Some(name) = positions::restoring(cluster, &subject.positions()).await? {
            return Err(savepoint::half_restored(&job.pipeline, &name));
        }
    }
    let snapshots = snapshots::open(pipeline, &maker)?;
    if let Some(snapshots) = &snapshots {
        snapshots.try_out(&format!("{seed:016x}")).await?;
    }
    let engine = EngineConfig {
        cache_dir: options.cache.clone(),
        instances_max: functions::instances_max(pipeline, job),
        memory: memory.clone(),
        ..EngineConfig::default()
    };
    let engine = Engine::new(engine).map_err(|error| WorkerError::Setup(error.to_string()))?;
    if let Some(bench) = &options.bench {
        bench.fill_topics(pipeline, job, cluster).await?;
    }
    let progress = Progress::within(job.stages.iter().map(|s| s.id.clone()), (memory.clone(), cpu.clone()));
    // What follows tables ends with the run.
    let formats = maker.formats().map_err(formats::refused)?;
    let (tables, _followers) =
        tables::open_all((pipeline, job), &maker, &formats, cluster, &progress).await?;
    let table_columns = tables.iter().map(|(id, table)| (id.clone(), Arc::clone(&table.schema))).collect();
    let parts = Parts {
        pipeline,
        job,
        root,
        maker: &maker,
        snapshots,
        tables: &tables,
        table_columns,
        formats: &formats,
        functions: Loaded::load(pipeline, root, &engine)?,
    };
    let mut stages = Vec::new();
    let mut bounded = parts.foreign_ends();
    for stage in &job.stages {
        let made = match stage.kind {
            StageKind::Ingest => {
                let made = parts.ingest(stage, &engine)?;
                bounded &= made.is_bounded();
                AnyStage::Ingest(Box::new(made))
            }
            StageKind::Process => AnyStage::Process(Arc::new(parts.process(stage, bounded)?)),
            StageKind::Sink => AnyStage::Sink(Box::new(parts.sink(stage)?)),
        };
        stages.push((stage, made));
    }
    let fetch_wait = match &options.bench {
        Some(_) => FETCH_WAIT_ON_BENCH,
        None => ConsumerConfig::default().fetch_wait,
    };
    begun(Arc::clone(&progress));
    let ends = Ends::open(cluster, &parts.positions(), &options.instance, parts.stage_parts()).await?;
    ends.end(&parts.ending()).await?;
    let following = Arc::clone(&ends);
    let following = tokio::spawn(async move { following.follow().await });
    let (halt, halted) = watch::channel(false);
    let beside = Beside { halt, following: following.abort_handle() };
    let mut failure = None;
    let mut outer = options.stop.clone();
    let mut threads = Vec::new();
    let (ended, mut endings) = tokio::sync::mpsc::unbounded_channel();
    for (stage, made) in stages {
        let context = StageContext {
            cluster: Arc::clone(cluster),
            pipeline: job.pipeline.clone(),
            stage: stage.id.clone(),
            group_id: stage.group_id.clone(),
            transactional_id: names::transactional_id(&job.pipeline, &stage.id, &options.instance),
            instance: options.instance.clone(),
            commit_interval: Duration::from_millis(job.commit_interval_ms),
            clock: Arc::clone(&clock),
            ends: Arc::clone(&ends),
            progress: Arc::clone(&progress),
            memory: memory.clone(),
            cpu: cpu.clone(),
            scratch: options.scratch.clone(),
            transaction_time: TransactionTime::new(TRANSACTION_TIMEOUT),
            fetch_wait,
            ending: Arc::default(),
            stop: halted.clone(),
        };
        let backoff = BackoffConfig {
            initial: Period(pipeline.errors.backoff_initial_ms),
            max: Period(pipeline.errors.backoff_max_ms),
        };
        let (handle, ended) = (tokio::runtime::Handle::current(), ended.clone());
        let name = format!("stage {}", stage.id);
        let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
            let _charged = context.cpu.enter();
            let run = || handle.block_on(supervise(made, &context, Backoff::new(backoff)));
            // A panic ends the run as any other failure does: nobody waits for a stage that is gone.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
                let stage = &context.stage;
                let text =
                    format!("stage {stage} panicked, which is a fault of the program; its message is above");
                Err(WorkerError::Fatal(text))
            });
            context.progress.update(&context.stage, |figures| {
                figures.done = result.is_ok();
                figures.cpu_ms = thread_cpu_ms();
            });
            // The receiver lives as long as the run.
            let _ = ended.send(result);
        });
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                failure = Some(WorkerError::Fatal(format!("starting a thread: {error}")));
                beside.halt.send_replace(true);
                break;
            }
        }
    }
    drop(ended);
    let mut listening = true;
    loop {
        tokio::select! {
            result = endings.recv() => match result {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    beside.halt.send_replace(true);
                    failure = failure.or(Some(error));
                }
            },
            changed = outer.changed(), if listening => {
                listening = changed.is_ok();
                if *outer.borrow() {
                    beside.halt.send_replace(true);
                }
            }
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
    drop(beside);
    match failure {
        Some(error) => Err(error),
        None => {
            let stored = positions::load(cluster, &parts.positions(), &[COUNTS_PARTITION]).await?;
            let mut totals: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
            for ((stage, _), counts) in stored.counts {
                let total = totals.entry(stage).or_default();
                counts.into_iter().for_each(|(name, count)| *total.entry(name).or_default() += count);
            }
            Ok(Report { done: !*options.stop.borrow(), stages: progress.stages(), totals })
        }
    }
}

/// Runs a stage, again and again while what stops it may pass.
async fn supervise(
    mut stage: AnyStage,
    context: &StageContext,
    mut backoff: Backoff,
) -> Result<(), WorkerError> {
    let mut rng = SeededRng::new(context.clock.wall_ms() as u64);
    loop {
        let began = Instant::now();
        let result = match &mut stage {
            AnyStage::Ingest(stage) => ingest::run(stage, context).await,
            AnyStage::Process(stage) => process::run(stage, context).await,
            AnyStage::Sink(stage) => sink_stage::run(stage, context).await,
        };
        let text = match result {
            Err(WorkerError::Transient(text)) if !context.is_stopping() => text,
            Err(WorkerError::Transient(_)) => return Ok(()),
            Err(WorkerError::Paused(text)) => {
                tracing::error!(stage = %context.stage, "{text}. The stage is paused, the others go on");
                context
                    .progress
                    .update(&context.stage, |figures| figures.trouble = Some(format!("paused: {text}")));
                context.stopped().await;
                return Err(WorkerError::Fatal(format!(
                    "stage {}: stopped while it was paused: {text}",
                    context.stage
                )));
            }
            Err(error) => return Err(error.doing(&format!("stage {}", context.stage))),
            Ok(()) => return Ok(()),
        };
        if began.elapsed() > SETTLED {
            backoff.worked();
        }
        let wait = backoff.failed(None, &mut rng);
        tracing::warn!(stage = %context.stage, wait_ms = wait, "{text}; the stage begins again from what was committed");
        context.progress.update(&context.stage, |figures| figures.trouble = Some(text));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            () = context.stopped() => return Ok(()),
        }
    }
}

/// Creates the topics that are not there, and refuses those that are there and different.
pub async fn make_topics(cluster: &Arc<Cluster>, job: &Job) -> Result<(), WorkerError> {
    let admin = Admin::new(cluster);
    // A second worker that begins at the same time makes them too; what it has made is then found.
    for tries in 0..20u64 {
        let wanted = missing_topics(&admin, job).await?;
        if wanted.is_empty() {
            return Ok(());
        }
        match admin.create_topics(&wanted).await {
            Ok(_) => return Ok(()),
            Err(ClientError::Broker { code: ErrorCode::TopicAlreadyExists, .. }) => {
                tokio::time::sleep(Duration::from_millis(10 * (tries + 1))).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let text = "other workers make topics at the same time, and they do not show".to_owned();
    Err(WorkerError::Transient(text))
}

/// The topics that are not there; those that are there and different are refused.
pub async fn missing_topics(admin: &Admin, job: &Job) -> Result<Vec<NewTopic>, WorkerError> {
    let there = admin.list_topics().await?;
    let mut wanted = Vec::new();
    for topic in job.topics.values() {
        match there.get(topic.name.as_str()) {
            Some(found) if found.partition_count() as u32 == topic.partitions => {}
            Some(found) => {
                return Err(WorkerError::Setup(format!(
                    "topic {} has {} partitions and the pipeline says {}; state is kept by them, so say {} or use another name",
                    topic.name,
                    found.partition_count(),
                    topic.partitions,
                    found.partition_count()
                )));
            }
            None => {
                let mut new = NewTopic::new(&topic.name, topic.partitions as i32);
                new.replication_factor = topic.replication.map_or(-1, |n| n as i16);
                new.configs.clone_from(&topic.configs);
                wanted.push(new);
            }
        }
    }
    Ok(wanted)
}
