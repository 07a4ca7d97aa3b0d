//! A broker's life: what is started, in which order, and how it is stopped. Ready means: the log directories are
//! recovered, the metadata quorum is led, this broker is registered and unfenced, and the listener takes connections.
//! Never enters: what any part does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_log::LogError;
use millstream_log::log_dir::{DirIdentity, Loading, LogDir, load_all};
use millstream_metadata::{ControllerConfig, MetadataImage};
use millstream_net::listen::{SocketBuffers, accept, listen, raise_open_files_limit};
use millstream_net::{ByteBudget, Stream};
use millstream_raft::{ReplicaKey, VoterSet};
use millstream_types::{Clock, MemoryBudget, NodeId, SeededRng, TopicPartition, Uuid};
use millstream_wire::message::BrokerRegistrationRequest;
use millstream_wire::message::broker_registration_request::Listener;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::broker::{Broker, LISTENER};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::connection::serve;
use crate::controller::{Boot, ControllerHandle, all_changes};
use crate::fetch_session::FetchSessions;
use crate::flusher::Flusher;
use crate::group_task::Groups;
use crate::metadata_log::{MetadataLog, MetadataLogError};
use crate::metrics::Metrics;
use crate::replicas::{Dir, Replicas};
use crate::timer::Timer;
use crate::txn_task::Transactions;

/// The longest that a start waits for partitions that cannot be served.
const SERVING_MAX: Duration = Duration::from_secs(5);
/// How long a stop waits for its connections to end.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener.
    #[error("listening on {address}: {source}; is another broker running there?")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A log directory.
    #[error("opening the log directory {dir}: {source}")]
    LogDir {
        /// The directory.
        dir: String,
        /// What is wrong.
        source: LogError,
    },
    /// The metadata log.
    #[error(transparent)]
    Metadata(#[from] MetadataLogError),
    /// A thread or the timer.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The broker never became ready.
    #[error("the broker did not become active; see the log above for why")]
    NotActive,
}

/// Where a broker listens and keeps its data.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// `host:port`; port 0 takes a free one. `None` for no socket: connections come from inside the process.
    pub listen: Option<String>,
    /// The data directory, used where `log.dirs` is not set.
    pub data: PathBuf,
    /// Settings.
    pub config: Config,
    /// What this process may hold, of which requests claim a part.
    pub memory: MemoryBudget,
}

/// A running broker.
pub struct Node {
    broker: Arc<Broker>,
    address: Option<String>,
    stop: watch::Sender<bool>,
    flushers: Vec<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    housekeeping_stop: Arc<AtomicBool>,
}

/// The name that clients are told where the listener is bound to every address.
fn advertised_host(host: &str) -> String {
    match host {
        "0.0.0.0" | "::" | "[::]" | "" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

fn split(address: &str) -> (String, u16) {
    match address.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().unwrap_or(0)),
        None => (address.to_owned(), 0),
    }
}

impl Node {
    /// Starts a broker; call it inside a tokio runtime. It serves when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(options: NodeOptions) -> Result<Node, StartError> {
        let config = options.config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        if let Err(error) = raise_open_files_limit() {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
        let bytes = |name: &str| usize::try_from(config.number(name)).ok();
        let buffers = SocketBuffers {
            send: bytes("socket.send.buffer.bytes"),
            receive: bytes("socket.receive.buffer.bytes"),
        };
        // The socket first: a port that is taken is found out before anything is written.
        let listener = match &options.listen {
            Some(address) => Some(
                listen(address, buffers)
                    .map_err(|source| StartError::Listen { address: address.clone(), source })?,
            ),
            None => None,
        };
        let address = match (&listener, &options.listen) {
            (Some(listener), Some(asked)) => {
                let port = listener.local_addr().map_or(0, |a| a.port());
                Some(format!("{}:{port}", split(asked).0))
            }
            _ => None,
        };
        let advertised = match config.text("advertised.listeners") {
            (text, true) => split(text.rsplit_once("://").map_or(text, |(_, rest)| rest)),
            _ => {
                let (host, port) = address.as_deref().map_or((String::new(), 0), split);
                (advertised_host(&host), port)
            }
        };
        let started = tokio::task::spawn_blocking(move || {
            Started::open(config, &options.data, clock, advertised, &options.memory)
        });
        let started = started.await.map_err(|e| std::io::Error::other(e.to_string()))??;
        started.run(listener, address).await
    }

    /// `host:port` that it listens on.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// What the parts share; for whoever runs inside the same process.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// A connection from inside the process; it behaves as one by TCP.
    pub fn connect(&self) -> Stream {
        let (theirs, ours) = Stream::pair();
        tokio::spawn(serve(self.stop.subscribe(), Arc::clone(&self.broker), ours));
        theirs
    }

    /// Stops: no more connections, coordinators ended, everything flushed, the directories marked as clean.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if tokio::time::timeout(STOP_MAX, self.stop.closed()).await.is_err() {
            tracing::warn!("connections are still open after {STOP_MAX:?}; the broker stops all the same");
        }
        self.broker.groups.stop();
        self.broker.transactions.stop();
        self.housekeeping_stop.store(true, Ordering::Release);
        self.broker.controller.stop().await;
        let broker = self.broker;
        let (flushers, threads) = (self.flushers, self.threads);
        let closing = tokio::task::spawn_blocking(move || {
            for dir in broker.replicas.dirs() {
                dir.flusher.stop();
            }
            for thread in flushers.into_iter().chain(threads) {
                thread.thread().unpark();
                let _ = thread.join();
            }
            let epoch = broker.image().brokers.get(&broker.me).map_or(-1, |b| b.epoch);
            broker.replicas.close(epoch);
            broker.timer.stop();
        });
        let _ = closing.await;
    }
}

/// Everything opened, nothing served yet.
struct Started {
    broker: Arc<Broker>,
    boot: Boot,
    image: MetadataImage,
    flushers: Vec<JoinHandle<()>>,
    groups: crate::group_task::GroupsInbox,
    transactions: crate::txn_task::TransactionsInbox,
    controller: crate::controller::ControllerInbox,
    directory_ids: Vec<Uuid>,
    /// The epoch of the last registration, where every directory was stopped cleanly under it; else -1.
    previous_epoch: i64,
}

impl Started {
    fn open(
        config: Config,
        data: &std::path::Path,
        clock: Arc<dyn Clock>,
        advertised: (String, u16),
        memory: &MemoryBudget,
    ) -> Result<Started, StartError> {
        let me = NodeId(config.number("node.id") as i32);
        let mut rng = SeededRng::new(crate::clock::seed());
        let paths: Vec<PathBuf> = match config.text("log.dirs") {
            (dirs, true) if !dirs.is_empty() => dirs.split(',').map(|d| PathBuf::from(d.trim())).collect(),
            _ => vec![data.to_owned()],
        };
        let mut dirs: Vec<LogDir> = Vec::new();
        for path in paths {
            // A single broker whose directory is new begins a cluster; further directories belong to the first's.
            let is_new = !path.join("meta.properties").exists();
            let cluster_id = match dirs.first() {
                Some(first) => Some(first.identity().cluster_id.clone()),
                None => is_new.then(|| Uuid::random(&mut rng).to_string()),
            };
            let new_directory_id = Uuid::random(&mut rng);
            let identity = DirIdentity { cluster_id, node_id: me, new_directory_id };
            let opened = LogDir::open(&path, identity)
                .map_err(|source| StartError::LogDir { dir: path.display().to_string(), source })?;
            dirs.push(opened);
        }
        let cluster_id = dirs[0].identity().cluster_id.clone();
        let key = ReplicaKey { id: me, directory_id: dirs[0].identity().directory_id };
        let voters = VoterSet::of_ids([me.0]);
        let snapshot_after = config.number("metadata.log.max.record.bytes.between.snapshots") as u64;
        let (log, loader) = MetadataLog::open(&dirs[0], key, voters, Arc::clone(&clock), snapshot_after)?;
        let boot = Boot::begin(log, loader)?;
        let image = boot.image().clone();
        let lookup = |partition: &TopicPartition| {
            let topic = image.topics.by_name(&partition.topic)?;
            Some((topic.id, Arc::new(millstream_log::LogConfig::default())))
        };
        let loading = Loading {
            dirs: &dirs,
            threads_per_dir: config.number("num.recovery.threads.per.data.dir") as usize,
            lookup: &lookup,
            now: clock.wall_ms(),
        };
        let loaded = load_all(&loading)
            .map_err(|source| StartError::LogDir { dir: dirs[0].path().display().to_string(), source })?;
        let mut found = Vec::new();
        for one in loaded {
            match one.log {
                Ok(log) => found.push((one.dir, log)),
                Err(error) => {
                    tracing::error!(partition = %one.partition, %error, "a log cannot be opened; its replica is offline");
                }
            }
        }
        let clean = dirs.iter().all(LogDir::was_clean);
        let previous = image.brokers.get(&me).filter(|_| clean);
        let previous_epoch = previous.map_or(-1, |broker| broker.epoch);
        let directory_ids = dirs.iter().map(|d| d.identity().directory_id).collect();
        let mut flushers = Vec::new();
        let mut with_flushers = Vec::new();
        for (i, dir) in dirs.into_iter().enumerate() {
            let (flusher, thread) =
                Flusher::start(&i.to_string(), Arc::clone(dir.disk()), Arc::clone(&clock))?;
            flushers.push(thread);
            with_flushers.push(Dir { dir, flusher });
        }
        let lag = config.number("replica.lag.time.max.ms");
        let replicas = Replicas::new(me, with_flushers, found, Arc::clone(&clock), lag);
        let (controller, controller_inbox) = ControllerHandle::new();
        let (groups, groups_inbox) = Groups::new();
        let (transactions, transactions_inbox) = Transactions::new();
        let broker = Arc::new(Broker {
            me,
            cluster_id,
            budget: ByteBudget::new(config.request_bytes(), memory),
            sessions: FetchSessions::new(config.number("max.incremental.fetch.session.cache.slots") as usize),
            config,
            clock,
            timer: Timer::start()?,
            replicas,
            controller,
            groups,
            transactions,
            metrics: Metrics::default(),
            advertised,
            image: RwLock::new(Arc::new(MetadataImage::default())),
            image_changed: watch::Sender::new(0),
            applying: Mutex::new(()),
            rng: Mutex::new(rng),
        });
        Ok(Started {
            broker,
            boot,
            image,
            flushers,
            groups: groups_inbox,
            transactions: transactions_inbox,
            controller: controller_inbox,
            directory_ids,
            previous_epoch,
        })
    }

    async fn run(self, listener: Option<TcpListener>, address: Option<String>) -> Result<Node, StartError> {
        let broker = self.broker;
        let config = &broker.config;
        let mut threads = Vec::new();
        let shards_of = |topic: &str, setting: &str| {
            // The number of partitions is fixed once the topic exists, whatever the setting says now.
            let there = self.image.topics.by_name(topic).map(|t| t.partitions.len() as i32);
            there.unwrap_or(config.number(setting) as i32)
        };
        let groups = millstream_group::Config {
            shards: shards_of(millstream_types::topic::CONSUMER_OFFSETS, "offsets.topic.num.partitions"),
            session_timeout_ms_min: config.number("group.min.session.timeout.ms") as i32,
            session_timeout_ms_max: config.number("group.max.session.timeout.ms") as i32,
            initial_rebalance_delay_ms: config.number("group.initial.rebalance.delay.ms") as i32,
            members_max: config.number("group.max.size") as usize,
            consumer_session_timeout_ms: config.number("group.consumer.session.timeout.ms") as i32,
            consumer_heartbeat_interval_ms: config.number("group.consumer.heartbeat.interval.ms") as i32,
            metadata_bytes_max: config.number("offset.metadata.max.bytes") as usize,
            offsets_retention_ms: config.number("offsets.retention.minutes") * 60_000,
            pin_new_partitions: config.flag("offsets.pin.new.partitions"),
        };
        threads.push(broker.groups.start(Arc::clone(&broker), groups, self.groups)?);
        let transactions = millstream_txn::Config {
            timeout_ms_max: config.number("transaction.max.timeout.ms") as i32,
            id_expiration_ms: config.number("transactional.id.expiration.ms"),
            shards: shards_of(
                millstream_types::topic::TRANSACTION_STATE,
                "transaction.state.log.num.partitions",
            ),
        };
        threads.push(broker.transactions.start(Arc::clone(&broker), transactions, self.transactions)?);
        // What the log already says, before anything new.
        let changes = all_changes(&self.image);
        broker.apply(Arc::new(self.image), &changes);
        // What is left of topics that are gone must not speak for new ones of their names.
        broker.replicas.checkpoint();
        for stray in broker.replicas.strays() {
            tracing::warn!(partition = %stray, "a directory belongs to no topic; it is left alone");
        }
        let registration = BrokerRegistrationRequest {
            broker_id: broker.me.0,
            cluster_id: broker.cluster_id.clone(),
            incarnation_id: broker.fresh_id(),
            listeners: vec![Listener {
                name: LISTENER.to_owned(),
                host: broker.advertised.0.clone(),
                port: broker.advertised.1,
                security_protocol: 0,
                ..Default::default()
            }],
            features: millstream_metadata::brokers::supported_features(),
            rack: Some(config.text("broker.rack").0.to_owned()).filter(|r| !r.is_empty()),
            log_dirs: self.directory_ids,
            previous_broker_epoch: self.previous_epoch,
            ..Default::default()
        };
        let controller = ControllerConfig {
            cluster_id: broker.cluster_id.clone(),
            default_partitions: config.number("num.partitions") as i32,
            default_replication_factor: config.number("default.replication.factor") as i16,
            ..ControllerConfig::default()
        };
        threads.push(crate::controller::start(
            self.boot,
            Arc::clone(&broker),
            controller,
            registration,
            self.controller,
        )?);
        let housekeeping_stop = Arc::new(AtomicBool::new(false));
        threads.push(crate::housekeeping::start(Arc::clone(&broker), Arc::clone(&housekeeping_stop))?);
        if config.flag("log.cleaner.enable") {
            threads.push(crate::cleaner::start(Arc::clone(&broker), Arc::clone(&housekeeping_stop))?);
        }
        active(&broker).await?;
        serving(&broker).await;
        let (stop, stopping) = watch::channel(false);
        if let Some(listener) = listener {
            tokio::spawn(accept_all(stopping, Arc::clone(&broker), listener));
        }
        Ok(Node { broker, address, stop, flushers: self.flushers, threads, housekeeping_stop })
    }
}

/// Waits until this broker serves every partition that it leads: a client that connects at once is not sent away. One
/// that cannot be served (its disk is offline) does not hold up the others for ever.
async fn serving(broker: &Arc<Broker>) {
    let until = tokio::time::Instant::now() + SERVING_MAX;
    let serves = |image: &MetadataImage| {
        image.topics.iter().all(|topic| {
            topic.partitions.iter().enumerate().all(|(i, state)| {
                let Some(replica) = broker.partition(topic.id, i as i32) else { return true };
                state.leader.is_some_and(|l| l != broker.me)
                    || replica.look(|_, r| r.check_serving(None)).is_ok()
            })
        })
    };
    while !serves(&broker.image()) && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the image says that this broker is registered and not fenced.
async fn active(broker: &Arc<Broker>) -> Result<(), StartError> {
    let mut changed = broker.image_changed.subscribe();
    let wait = async {
        while !broker.image().is_active(broker.me) {
            if changed.changed().await.is_err() {
                return false;
            }
        }
        true
    };
    match tokio::time::timeout(Duration::from_secs(60), wait).await {
        Ok(true) => Ok(()),
        _ => Err(StartError::NotActive),
    }
}

// The receiver comes first, since it is dropped last: when the stop's last receiver is gone, so is what held the broker.
async fn accept_all(mut stopping: watch::Receiver<bool>, broker: Arc<Broker>, listener: TcpListener) {
    let connections = stopping.clone();
    loop {
        tokio::select! {
            (socket, _) = accept(&listener) => {
                tokio::spawn(serve(connections.clone(), Arc::clone(&broker), Stream::Tcp(socket)));
            }
            _ = stopping.changed() => return,
        }
    }
}
