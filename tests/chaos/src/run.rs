//! A whole run: topics, the workers, the faults, the last reading, the verdict. Never enters: what each of them does.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream_checker::{HistoryError, Verdict, judge};
use millstream_client::admin::NewTopic;
use millstream_client::{Admin, ClientError, GroupProtocol, Isolation};
use millstream_types::{Rng, SeededRng};
use tokio::task::JoinSet;

use crate::broker::{BrokerCommand, BrokerProcess};
use crate::faults::{self, FaultPlan, FaultReport};
use crate::recorder::Recorder;
use crate::workload::Workload;
use crate::{copies, draining, group, readers, transactions, writers};

/// Against what a run goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// A cluster that runs already, `host:port`.
    Cluster(String),
    /// A broker of the run's own.
    Broker(BrokerCommand),
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Against what.
    pub target: Target,
    /// How long the load runs at least.
    pub seconds: u64,
    /// What is done to the broker.
    pub faults: FaultPlan,
    /// What chance starts from. It fixes what is sent and done to the broker, not how the processes are scheduled.
    pub seed: u64,
    /// Where the history goes.
    pub history: PathBuf,
    /// Partitions of each topic.
    pub partitions: usize,
    /// Idempotent producers.
    pub writers: u32,
    /// Transactional producers.
    pub transactional: u32,
    /// The longest pause of a producer between two operations.
    pub pace_max: Duration,
    /// Whether groups read, by both protocols, and copiers copy.
    pub groups: bool,
}

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done to the broker.
    pub faults: FaultReport,
    /// How long the load ran.
    pub load: Duration,
    /// The judge's word.
    pub verdict: Verdict,
}

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A process or a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The cluster refused what the run cannot do without.
    #[error("{what}: {source}")]
    Client {
        /// What was being done.
        what: &'static str,
        /// The error.
        source: ClientError,
    },
    /// A worker panicked: a bug of the client, of an assertion, or of this program.
    #[error("a worker ended badly: {0}")]
    Worker(#[from] tokio::task::JoinError),
    /// The history is not one.
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn during(what: &'static str) -> impl Fn(ClientError) -> RunError {
    move |source| RunError::Client { what, source }
}

/// Runs, and judges.
pub async fn run(options: &RunOptions) -> Result<Outcome, RunError> {
    let mut rng = SeededRng::new(options.seed);
    let recorder = Arc::new(Recorder::create(&options.history)?);
    let (mut broker, bootstrap) = match &options.target {
        Target::Cluster(bootstrap) => (None, bootstrap.clone()),
        Target::Broker(command) => {
            let broker = BrokerProcess::start(command.clone()).await?;
            let bootstrap = broker.address().to_owned();
            (Some(broker), bootstrap)
        }
    };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let topic = format!("chaos-{}-{nanos:x}", options.seed);
    let load = Arc::new(Workload::new(
        recorder.clone(),
        bootstrap,
        topic.as_str().into(),
        options.partitions,
        options.pace_max,
    ));
    let cluster = load.cluster(&mut rng).map_err(during("reaching the cluster"))?;
    let new = [&load.topic, &load.copies]
        .map(|topic| NewTopic::new(topic, options.partitions as i32).config("retention.ms", "-1"));
    Admin::new(&cluster).create_topics(&new).await.map_err(during("creating the topics"))?;

    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..options.writers {
        workers.spawn(writers::idempotent(load.clone(), SeededRng::new(rng.next_u64())));
    }
    for i in 0..options.transactional {
        let id = format!("{topic}-{i}");
        workers.spawn(transactions::transactional(load.clone(), id, SeededRng::new(rng.next_u64())));
    }
    for isolation in [Isolation::ReadCommitted, Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        workers.spawn(readers::watcher(load.clone(), isolation, SeededRng::new(rng.next_u64())));
    }
    for protocol in [GroupProtocol::Auto, GroupProtocol::Classic] {
        for _ in 0..if options.groups { 2 } else { 0 } {
            let name = format!("{topic}-{protocol:?}");
            workers.spawn(group::member(load.clone(), name, protocol, SeededRng::new(rng.next_u64())));
        }
    }
    for i in 0..if options.groups { 2 } else { 0 } {
        let (group, id) = (format!("{topic}-copiers"), format!("{topic}-copier-{i}"));
        workers.spawn(copies::copier(load.clone(), group, id, SeededRng::new(rng.next_u64())));
    }
    let faults = match &mut broker {
        Some(broker) => {
            let rng = SeededRng::new(rng.next_u64());
            faults::play(broker, &recorder, rng, options.faults).await?
        }
        None => FaultReport::default(),
    };
    tokio::time::sleep(Duration::from_secs(options.seconds).saturating_sub(begun.elapsed())).await;
    load.stop();
    let ran = begun.elapsed();
    while let Some(ended) = workers.join_next().await {
        ended?.map_err(during("running the load"))?;
    }
    draining::drain(&load, &mut rng).await.map_err(during("reading everything at the end"))?;
    recorder.finish()?;
    if let Some(broker) = &mut broker {
        broker.kill().await?;
    }
    let verdict = judge(BufReader::new(File::open(&options.history)?))?;
    Ok(Outcome { faults, load: ran, verdict })
}
