//! The cluster as a client sees it: brokers, topics, leaders, coordinators, and a connection to each broker for each
//! purpose. Metadata is cached, asked for once however many want it, and asked again when it is old or was found wrong.
//! Never enters: what is sent over the connections.

mod metadata;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_net::{Connector, Stream};
use millstream_types::{ErrorCode, NodeId, Rng, SeededRng, Uuid};
use millstream_wire::Request;
use millstream_wire::message::find_coordinator_request::FindCoordinatorRequest;
use millstream_wire::message::metadata_request::{MetadataRequest, MetadataRequestTopic};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::broker_conn::{BrokerConn, ConnConfig};
use crate::config::ClientConfig;
use crate::error::{ClientError, Result};
use crate::retry::Action;

pub use metadata::{Broker, Leader, Metadata, Topic};

/// Connects by TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(Stream::connect(address))
    }
}

/// What a connection is for. A broker serves a connection's requests one after another: it may hold a fetch, or a member
/// that joins until all the others have, and what stands behind waits with it. So those have connections of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Produce, metadata, admin.
    Main,
    /// Fetches of one consumer.
    Fetch(u64),
    /// Fetches of one consumer that do not wait, beside one that does.
    FetchNow(u64),
    /// Joining, syncing and heartbeats of one consumer.
    Member(u64),
    /// Positions and transactions.
    Coordinator,
}

/// What a coordinator coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CoordinatorKind {
    /// A consumer group.
    Group,
    /// A transactional id.
    Transaction,
}

#[derive(Default)]
struct Slot {
    conn: tokio::sync::Mutex<Option<Arc<BrokerConn>>>,
}

struct State {
    metadata: Arc<Metadata>,
    /// When metadata was last brought up to date.
    refreshed: Option<Instant>,
    /// How many refreshes were begun.
    refreshes_begun: u64,
    /// The number of the last one that succeeded.
    refresh_done: u64,
    /// Topics that someone uses.
    topics: BTreeSet<Arc<str>>,
    slots: HashMap<(NodeId, Purpose), Arc<Slot>>,
    coordinators: HashMap<(CoordinatorKind, Arc<str>), NodeId>,
    rng: SeededRng,
    /// Which bootstrap address is next.
    next_bootstrap: usize,
    next_consumer: u64,
}

/// A client's view of one cluster, shared by its producers, consumers and admin.
pub struct Cluster {
    config: ClientConfig,
    connector: Arc<dyn Connector>,
    state: Mutex<State>,
    /// Held by whoever asks for metadata; the others wait and look whether it answered them too.
    refreshing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap", &self.config.bootstrap).finish_non_exhaustive()
    }
}

/// A number that differs from process to process and call to call.
fn system_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

impl Cluster {
    /// A view over TCP. Nothing is sent before something is asked for.
    pub fn new(config: ClientConfig) -> Result<Arc<Cluster>> {
        Cluster::with_connector(config, Arc::new(TcpConnector))
    }

    /// A view over connections of the caller's making: the broker in the same process, a test's proxy.
    pub fn with_connector(config: ClientConfig, connector: Arc<dyn Connector>) -> Result<Arc<Cluster>> {
        config.validate()?;
        let seed = config.seed.unwrap_or_else(system_seed);
        let state = State {
            metadata: Arc::new(Metadata::default()),
            refreshed: None,
            refreshes_begun: 0,
            refresh_done: 0,
            topics: BTreeSet::new(),
            slots: HashMap::new(),
            coordinators: HashMap::new(),
            rng: SeededRng::new(seed),
            next_bootstrap: 0,
            next_consumer: 0,
        };
        Ok(Arc::new(Cluster {
            config,
            connector,
            state: Mutex::new(state),
            refreshing: tokio::sync::Mutex::new(()),
        }))
    }

    /// The settings.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// What is known now.
    pub fn metadata(&self) -> Arc<Metadata> {
        self.state.lock().metadata.clone()
    }

    /// A random number below `bound`.
    pub(crate) fn random(&self, bound: u64) -> u64 {
        self.state.lock().rng.below(bound)
    }

    /// A random id.
    pub(crate) fn random_uuid(&self) -> Uuid {
        Uuid::random(&mut self.state.lock().rng)
    }

    /// A number for a consumer's own connections.
    pub(crate) fn new_consumer(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_consumer += 1;
        state.next_consumer
    }

    /// Closes a consumer's own connections.
    pub(crate) fn drop_consumer(&self, id: u64) {
        let own = [Purpose::Fetch(id), Purpose::FetchNow(id), Purpose::Member(id)];
        self.state.lock().slots.retain(|(_, purpose), _| !own.contains(purpose));
    }

    /// Waits after the `failures`th failure in a row.
    pub(crate) async fn pause(&self, failures: u32) {
        let pause = self.config.backoff.pause(failures, &mut self.state.lock().rng);
        sleep(pause).await;
    }

    /// Whether metadata is older than it may be.
    pub(crate) fn is_stale(&self) -> bool {
        self.state.lock().refreshed.is_none_or(|at| at.elapsed() >= self.config.metadata_max_age)
    }

    /// Adds to the topics that are kept known.
    pub(crate) fn use_topics<'a>(&self, topics: impl IntoIterator<Item = &'a Arc<str>>) {
        self.state.lock().topics.extend(topics.into_iter().cloned());
    }

    /// Asks for metadata of all topics in use. Callers that come while one asks share its answer.
    pub async fn refresh(&self) -> Result<Arc<Metadata>> {
        let seen = self.state.lock().refreshes_begun;
        let _asking = self.refreshing.lock().await;
        let (begun, topics) = {
            let mut state = self.state.lock();
            // Only one that began after this call knows the topics that this caller added.
            if state.refresh_done > seen {
                return Ok(state.metadata.clone());
            }
            state.refreshes_begun += 1;
            (state.refreshes_begun, state.topics.iter().cloned().collect::<Vec<_>>())
        };
        let request = MetadataRequest {
            topics: Some(topics.iter().map(|name| by_name(name)).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        self.ask(&request, false).await?;
        let mut state = self.state.lock();
        state.refresh_done = begun;
        state.refreshed = Some(Instant::now());
        Ok(state.metadata.clone())
    }

    /// [`Cluster::refresh`], again and again until `api_timeout` where nobody can be reached: for calls that their
    /// caller makes once.
    pub(crate) async fn refresh_in_time(&self) -> Result<Arc<Metadata>> {
        let start = Instant::now();
        let mut failures = 0;
        loop {
            match self.refresh().await {
                Err(error) if error.is_retriable() && start.elapsed() < self.config.api_timeout => {
                    failures += 1
                }
                result => return result,
            }
            self.pause(failures).await;
        }
    }

    /// Asks for all topics, whether in use or not.
    pub async fn refresh_all(&self) -> Result<Arc<Metadata>> {
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        self.ask(&request, true).await?;
        Ok(self.metadata())
    }

    /// Asks for topics by id, and keeps them known: what a KIP-848 assignment needs.
    pub(crate) async fn learn_ids(&self, ids: &[Uuid]) -> Result<Arc<Metadata>> {
        let topics = ids.iter().map(|id| MetadataRequestTopic {
            topic_id: *id,
            name: None,
            ..MetadataRequestTopic::default()
        });
        let request = MetadataRequest {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        self.ask(&request, false).await?;
        let mut state = self.state.lock();
        let names: Vec<Arc<str>> =
            ids.iter().filter_map(|id| state.metadata.names.get(id).cloned()).collect();
        state.topics.extend(names);
        Ok(state.metadata.clone())
    }

    async fn ask(&self, request: &MetadataRequest, everything: bool) -> Result<()> {
        let response = self.any_broker(request).await?;
        ClientError::check("asking for metadata", response.error_code)?;
        let mut state = self.state.lock();
        let mut metadata = (*state.metadata).clone();
        metadata.merge(&response, everything);
        state.metadata = Arc::new(metadata);
        Ok(())
    }

    /// A topic's metadata, asked for where it is not known, until `within` has passed.
    pub async fn topic(&self, name: &Arc<str>, within: Duration) -> Result<Topic> {
        if let Some(topic) = self.metadata().topics.get(name) {
            return Ok(topic.clone());
        }
        self.use_topics([name]);
        let start = Instant::now();
        let mut failures = 0;
        loop {
            match self.refresh().await {
                Ok(metadata) => {
                    if let Some(topic) = metadata.topics.get(name) {
                        return Ok(topic.clone());
                    }
                }
                Err(error) if !error.is_retriable() => return Err(error),
                Err(_) => {}
            }
            failures += 1;
            if start.elapsed() >= within {
                self.state.lock().topics.remove(name);
                let code = ErrorCode::UnknownTopicOrPartition;
                let what = format!("asking for topic {name}").into();
                return Err(ClientError::Broker { what, code, message: None });
            }
            self.pause(failures).await;
        }
    }

    /// Sends a request to some broker that can be reached.
    pub async fn any_broker<R: Request>(&self, request: &R) -> Result<R::Response> {
        let mut last = None;
        let brokers: Vec<NodeId> = self.metadata().brokers.keys().copied().collect();
        if !brokers.is_empty() {
            let start = self.random(brokers.len() as u64) as usize;
            for i in 0..brokers.len() {
                match self.call(brokers[(start + i) % brokers.len()], Purpose::Main, request).await {
                    Err(error @ (ClientError::Connection { .. } | ClientError::Timeout { .. })) => {
                        last = Some(error);
                    }
                    result => return result,
                }
            }
        }
        // The brokers that are known are gone, or none is known yet.
        for _ in 0..self.config.bootstrap.len() {
            let address: Arc<str> = {
                let mut state = self.state.lock();
                let at = state.next_bootstrap % self.config.bootstrap.len();
                state.next_bootstrap += 1;
                self.config.bootstrap[at].as_str().into()
            };
            let result = match self.open(address).await {
                Ok(conn) => conn.call(request).await,
                Err(error) => Err(error),
            };
            match result {
                Err(error @ (ClientError::Connection { .. } | ClientError::Timeout { .. })) => {
                    last = Some(error)
                }
                result => return result,
            }
        }
        Err(last.expect("a validated config has a bootstrap address"))
    }

    async fn open(&self, address: Arc<str>) -> Result<BrokerConn> {
        let config = ConnConfig {
            client_id: self.config.client_id.as_str().into(),
            request_timeout: self.config.request_timeout,
            connect_timeout: self.config.connect_timeout,
        };
        let within = config.connect_timeout;
        let connecting = async {
            let stream = self.connector.connect(&address).await.map_err(|error| ClientError::Connection {
                address: address.clone(),
                reason: error.to_string().into(),
            })?;
            BrokerConn::open(stream, address.clone(), config).await
        };
        match tokio::time::timeout(within, connecting).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout {
                what: format!("connecting to {address}").into(),
                timeout_ms: within.as_millis() as u64,
            }),
        }
    }

    /// The connection to a broker, made where there is none.
    pub async fn conn(&self, node: NodeId, purpose: Purpose) -> Result<Arc<BrokerConn>> {
        let slot = self.state.lock().slots.entry((node, purpose)).or_default().clone();
        let mut held = slot.conn.lock().await;
        let address = self.metadata().brokers.get(&node).map(|broker| broker.address.clone());
        if let Some(conn) = held.as_ref().filter(|conn| !conn.is_closed()) {
            // A broker that came back elsewhere is asked at its new address.
            if address.as_ref().is_none_or(|address| address == conn.address()) {
                return Ok(conn.clone());
            }
        }
        *held = None;
        let address = address.ok_or_else(|| ClientError::Connection {
            address: format!("broker {node}").into(),
            reason: "it is not in the cluster's metadata".into(),
        })?;
        let conn = Arc::new(self.open(address).await?);
        *held = Some(conn.clone());
        Ok(conn)
    }

    /// Sends a request to a broker and waits for the answer.
    pub async fn call<R: Request>(&self, node: NodeId, purpose: Purpose, request: &R) -> Result<R::Response> {
        self.conn(node, purpose).await?.call(request).await
    }

    /// The broker that coordinates a group or transactional id. Tries until `within` has passed.
    pub async fn coordinator(
        &self,
        kind: CoordinatorKind,
        id: &Arc<str>,
        within: Duration,
    ) -> Result<NodeId> {
        if let Some(node) = self.state.lock().coordinators.get(&(kind, id.clone())) {
            return Ok(*node);
        }
        let start = Instant::now();
        let mut failures = 0;
        loop {
            match self.find_coordinator(kind, id).await {
                Ok(node) => return Ok(node),
                Err(error) if !error.is_retriable() || start.elapsed() >= within => return Err(error),
                Err(_) => failures += 1,
            }
            self.pause(failures).await;
        }
    }

    async fn find_coordinator(&self, kind: CoordinatorKind, id: &Arc<str>) -> Result<NodeId> {
        if self.metadata().brokers.is_empty() {
            self.refresh().await?;
        }
        let key_type = match kind {
            CoordinatorKind::Group => 0,
            CoordinatorKind::Transaction => 1,
        };
        let brokers: Vec<NodeId> = self.metadata().brokers.keys().copied().collect();
        let mut last = None;
        let start = self.random(brokers.len().max(1) as u64) as usize;
        for i in 0..brokers.len() {
            let node = brokers[(start + i) % brokers.len()];
            match self.ask_coordinator(node, key_type, id).await {
                Ok((found, address)) => {
                    let mut state = self.state.lock();
                    if !state.metadata.brokers.contains_key(&found) {
                        let mut metadata = (*state.metadata).clone();
                        metadata.brokers.insert(found, Broker { node: found, address, rack: None });
                        state.metadata = Arc::new(metadata);
                    }
                    state.coordinators.insert((kind, id.clone()), found);
                    return Ok(found);
                }
                Err(error) if error.action() == Action::RefreshMetadata => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        self.refresh().await?;
        Err(last.unwrap_or_else(|| ClientError::Connection {
            address: "the cluster".into(),
            reason: "it has no broker that is up".into(),
        }))
    }

    async fn ask_coordinator(&self, node: NodeId, key_type: i8, id: &Arc<str>) -> Result<(NodeId, Arc<str>)> {
        let conn = self.conn(node, Purpose::Main).await?;
        let version = conn.version_up_to::<FindCoordinatorRequest>(6)?;
        let what = format!("finding the coordinator of {id}");
        let mut request = FindCoordinatorRequest { key_type, ..FindCoordinatorRequest::default() };
        if version >= 4 {
            request.coordinator_keys = vec![id.to_string()];
        } else {
            request.key = id.to_string();
        }
        let response =
            conn.send_version(&request, version).await?.await_answer(self.config.request_timeout).await?;
        if version < 4 {
            ClientError::check_with(&what, response.error_code, response.error_message.as_deref())?;
            let address = format!("{}:{}", response.host, response.port).into();
            return Ok((NodeId(response.node_id), address));
        }
        let Some(found) = response.coordinators.first() else {
            return Err(ClientError::state(format!("{what}: the answer is empty")));
        };
        ClientError::check_with(&what, found.error_code, found.error_message.as_deref())?;
        Ok((NodeId(found.node_id), format!("{}:{}", found.host, found.port).into()))
    }

    /// Forgets who coordinates, so that it is asked again.
    pub(crate) fn forget_coordinator(&self, kind: CoordinatorKind, id: &Arc<str>) {
        self.state.lock().coordinators.remove(&(kind, id.clone()));
    }

    /// Sends a request to a coordinator and hands its answer to `check`, again and again while `check` (or the connection)
    /// fails with what is worth another attempt, until `within` has passed.
    pub(crate) async fn call_coordinator<R: Request, T>(
        &self,
        kind: CoordinatorKind,
        id: &Arc<str>,
        within: Duration,
        max_version: i16,
        request: &R,
        mut check: impl FnMut(R::Response) -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        let mut failures = 0;
        loop {
            let left = within.saturating_sub(start.elapsed());
            let attempt = async {
                let node = self.coordinator(kind, id, left).await?;
                let conn = self.conn(node, Purpose::Coordinator).await?;
                let version = conn.version_up_to::<R>(max_version)?;
                let timeout = self.config.request_timeout;
                check(conn.send_version(request, version).await?.await_answer(timeout).await?)
            };
            let error = match attempt.await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error.action() {
                Action::FindCoordinator | Action::RefreshMetadata => self.forget_coordinator(kind, id),
                Action::Retry => {}
                _ => return Err(error),
            }
            if start.elapsed() >= within {
                return Err(error);
            }
            failures += 1;
            self.pause(failures).await;
        }
    }
}

fn by_name(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() }
}
