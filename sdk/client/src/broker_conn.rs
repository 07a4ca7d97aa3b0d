//! One connection to one broker: requests go out one after another without waiting for answers, and answers come back
//! in the same order (Kafka's rule), matched by correlation id. Everything that waits is bounded: the requests under way
//! by a count, each by a time-out, an answer by its size. A connection on which anything went wrong is closed; its
//! requests fail, and a new one is made by `cluster`.
//! Never enters: which broker leads what, retries.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millstream_net::{FrameReader, Stream};
use millstream_types::ErrorCode;
use millstream_types::limits::REQUEST_BYTES_MAX;
use millstream_wire::frame::{decode_body, decode_response_header, encode_request, peek_correlation_id};
use millstream_wire::message::api_versions_request::ApiVersionsRequest;
use millstream_wire::message::api_versions_response::ApiVersionsResponse;
use millstream_wire::{ApiKey, DecodeError, Message, Reader, Request, Segment};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::error::{ClientError, Result};

/// Requests under way on one connection before the next sender waits.
const IN_FLIGHT_MAX: usize = 64;

/// What a broker can do.
#[derive(Clone, Debug, Default)]
pub struct BrokerVersions {
    ranges: BTreeMap<i16, (i16, i16)>,
    features: BTreeMap<String, i16>,
}

impl BrokerVersions {
    fn new(response: &ApiVersionsResponse) -> BrokerVersions {
        let ranges = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        let features = response.finalized_features.iter().map(|f| (f.name.clone(), f.max_version_level));
        BrokerVersions { ranges: ranges.collect(), features: features.collect() }
    }

    /// The highest version that both sides know, at most `most`.
    pub fn common(&self, api: ApiKey, most: i16) -> Option<i16> {
        let (min, max) = *self.ranges.get(&api.code())?;
        let version = max.min(most).min(api.max_version());
        (version >= min.max(api.min_version())).then_some(version)
    }

    /// The level at which a feature is switched on in the cluster; 0 where it is not.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    fn theirs(&self, api: ApiKey) -> String {
        self.ranges.get(&api.code()).map_or("none".to_owned(), |(min, max)| format!("{min} to {max}"))
    }
}

/// A request on its way out.
struct Outgoing {
    segments: Vec<Segment>,
    pending: Option<Pending>,
}

/// A request whose answer is awaited.
struct Pending {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
}

struct Shared {
    address: Arc<str>,
    closed: AtomicBool,
    /// Tells both tasks to end.
    stop: watch::Sender<bool>,
    pending: Mutex<VecDeque<Pending>>,
}

impl Shared {
    fn error(&self, reason: impl std::fmt::Display) -> ClientError {
        ClientError::Connection { address: self.address.clone(), reason: reason.to_string().into() }
    }

    /// Closes the connection and fails what waits on it.
    fn close(&self, reason: &str) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let waiting = std::mem::take(&mut *self.pending.lock());
        for pending in waiting {
            let _ = pending.answer.send(Err(self.error(reason)));
        }
        self.stop.send_replace(true);
    }
}

/// How a connection introduces itself, and how long it waits.
#[derive(Clone, Debug)]
pub struct ConnConfig {
    /// The `client.id` of every request.
    pub client_id: Arc<str>,
    /// How long an answer may take where the request does not say (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long connecting and ApiVersions may take together.
    pub connect_timeout: Duration,
}

/// A connection. Dropping it closes it.
pub struct BrokerConn {
    shared: Arc<Shared>,
    config: ConnConfig,
    outgoing: mpsc::Sender<Outgoing>,
    permits: Arc<Semaphore>,
    next_id: AtomicI32,
    versions: BrokerVersions,
}

impl std::fmt::Debug for BrokerConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerConn").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl Drop for BrokerConn {
    fn drop(&mut self) {
        self.shared.close("the connection is no longer used");
    }
}

impl BrokerConn {
    /// Takes a stream to a broker over and asks what it can do.
    pub async fn open(stream: Stream, address: Arc<str>, config: ConnConfig) -> Result<BrokerConn> {
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            address,
            closed: AtomicBool::new(false),
            stop,
            pending: Mutex::new(VecDeque::new()),
        });
        let (read, write) = tokio::io::split(stream);
        let (outgoing, queue) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::spawn(write_loop(write, queue, stopped.clone(), shared.clone()));
        tokio::spawn(read_loop(read, stopped, shared.clone()));
        let mut conn = BrokerConn {
            shared,
            config,
            outgoing,
            permits: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            next_id: AtomicI32::new(0),
            versions: BrokerVersions::default(),
        };
        conn.versions = conn.ask_versions().await?;
        Ok(conn)
    }

    async fn ask_versions(&self) -> Result<BrokerVersions> {
        let request = ApiVersionsRequest {
            client_software_name: "millstream".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let mut version = ApiKey::ApiVersions.max_version();
        loop {
            let response = self.send_version(&request, version).await?.answer_as_versions().await?;
            match ErrorCode::from_code(response.error_code) {
                Some(ErrorCode::None) => return Ok(BrokerVersions::new(&response)),
                // An older broker answers in version 0 and says what it knows (KIP-511).
                Some(ErrorCode::UnsupportedVersion) => {
                    let known = BrokerVersions::new(&response);
                    let next = known.common(ApiKey::ApiVersions, version - 1).unwrap_or(0);
                    if version == 0 {
                        ClientError::check("asking for API versions", response.error_code)?;
                    }
                    version = next;
                }
                _ => ClientError::check("asking for API versions", response.error_code)?,
            }
        }
    }

    /// `host:port`.
    pub fn address(&self) -> &Arc<str> {
        &self.shared.address
    }

    /// What the broker can do.
    pub fn versions(&self) -> &BrokerVersions {
        &self.versions
    }

    /// Whether nothing more can be sent.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// The version in which a request of this kind is sent.
    pub fn version_of<R: Request>(&self) -> Result<i16> {
        self.version_up_to::<R>(i16::MAX)
    }

    /// The version in which a request of this kind is sent, where it may be `most` at the highest.
    pub fn version_up_to<R: Request>(&self, most: i16) -> Result<i16> {
        let api = R::API_KEY;
        self.versions.common(api, most).ok_or_else(|| ClientError::Unsupported {
            api,
            address: self.shared.address.clone(),
            theirs: self.versions.theirs(api).into(),
            ours: format!("{} to {}", api.min_version(), api.max_version().min(most)).into(),
        })
    }

    /// Sends a request in the highest common version and waits for its answer.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response> {
        let version = self.version_of::<R>()?;
        self.send_version(request, version).await?.await_answer(self.config.request_timeout).await
    }

    /// [`BrokerConn::call`] with its own time-out: for requests that the broker holds.
    pub async fn call_within<R: Request>(&self, request: &R, timeout: Duration) -> Result<R::Response> {
        let version = self.version_of::<R>()?;
        self.send_version(request, version).await?.await_answer(timeout).await
    }

    /// Sends a request in `version`. When this returns, its place in the order is fixed; the answer comes later.
    pub async fn send_version<R: Request>(&self, request: &R, version: i16) -> Result<Answer<R>> {
        let permit = self.permit().await?;
        let correlation_id = self.next_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let segments = encode_request(correlation_id, Some(&self.config.client_id), request, version)?;
        let (answer, receiver) = oneshot::channel();
        let pending = Pending { correlation_id, answer, _permit: permit };
        self.push(Outgoing { segments, pending: Some(pending) }).await?;
        Ok(Answer { receiver, version, shared: self.shared.clone(), request: PhantomData })
    }

    /// Sends a request that is never answered: Produce with acks=0.
    pub async fn send_unanswered<R: Request>(&self, request: &R, version: i16) -> Result<()> {
        let correlation_id = self.next_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let segments = encode_request(correlation_id, Some(&self.config.client_id), request, version)?;
        self.push(Outgoing { segments, pending: None }).await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        if self.is_closed() {
            return Err(self.shared.error("the connection was closed"));
        }
        self.permits.clone().acquire_owned().await.map_err(|_| self.shared.error("the connection was closed"))
    }

    async fn push(&self, outgoing: Outgoing) -> Result<()> {
        self.outgoing.send(outgoing).await.map_err(|_| self.shared.error("the connection was closed"))
    }
}

/// An answer that is awaited.
pub struct Answer<R> {
    receiver: oneshot::Receiver<Result<Bytes>>,
    version: i16,
    shared: Arc<Shared>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Answer<R> {
    /// Waits for the answer. A time-out closes the connection: what comes behind a lost answer cannot be trusted to be
    /// soon either, and the broker may be gone without a word.
    pub async fn await_answer(self, timeout: Duration) -> Result<R::Response> {
        let Answer { receiver, version, shared, .. } = self;
        let frame = Self::frame(receiver, &shared, timeout).await?;
        decode::<R::Response>(frame, version).map_err(|source| {
            shared.close("an answer could not be read");
            ClientError::Decode { address: shared.address.clone(), source }
        })
    }

    async fn frame(
        receiver: oneshot::Receiver<Result<Bytes>>,
        shared: &Shared,
        timeout: Duration,
    ) -> Result<Bytes> {
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(_)) => Err(shared.error("the connection was closed")),
            Err(_) => {
                shared.close("an answer did not come in time");
                let timeout_ms = timeout.as_millis() as u64;
                Err(ClientError::Timeout {
                    what: format!("{} to {}", R::NAME, shared.address).into(),
                    timeout_ms,
                })
            }
        }
    }
}

impl Answer<ApiVersionsRequest> {
    /// The answer to ApiVersions, which is of version 0 where the broker does not know the request's.
    async fn answer_as_versions(self) -> Result<ApiVersionsResponse> {
        let Answer { receiver, version, shared, .. } = self;
        let frame = Self::frame(receiver, &shared, Duration::from_secs(30)).await?;
        decode::<ApiVersionsResponse>(frame.clone(), version)
            .or_else(|error| {
                let old = decode::<ApiVersionsResponse>(frame, 0).map_err(|_| error)?;
                if old.error_code == ErrorCode::UnsupportedVersion.code() { Ok(old) } else { Err(error) }
            })
            .map_err(|source| ClientError::Decode { address: shared.address.clone(), source })
    }
}

fn decode<M: Message>(frame: Bytes, version: i16) -> Result<M, DecodeError> {
    let mut reader = Reader::new(frame);
    decode_response_header(&mut reader, M::API_KEY, version)?;
    decode_body(&mut reader, version)
}

async fn write_loop(
    mut write: tokio::io::WriteHalf<Stream>,
    mut queue: mpsc::Receiver<Outgoing>,
    mut stopped: watch::Receiver<bool>,
    shared: Arc<Shared>,
) {
    let reason = tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => "the connection was closed".to_owned(),
        reason = write_requests(&mut write, &mut queue, &shared) => reason,
    };
    shared.close(&reason);
    // What was queued, or slipped in between closing and here.
    queue.close();
    while let Ok(outgoing) = queue.try_recv() {
        if let Some(pending) = outgoing.pending {
            let _ = pending.answer.send(Err(shared.error(&reason)));
        }
    }
    for pending in std::mem::take(&mut *shared.pending.lock()) {
        let _ = pending.answer.send(Err(shared.error(&reason)));
    }
    let _ = write.shutdown().await;
}

async fn write_requests(
    write: &mut tokio::io::WriteHalf<Stream>,
    queue: &mut mpsc::Receiver<Outgoing>,
    shared: &Shared,
) -> String {
    while let Some(Outgoing { segments, pending }) = queue.recv().await {
        if let Some(pending) = pending {
            // Before the bytes: the answer may be back before the write returns.
            shared.pending.lock().push_back(pending);
        }
        for segment in &segments {
            let result = match segment {
                Segment::Bytes(bytes) => write.write_all(bytes).await,
                Segment::External { .. } => Err(std::io::Error::other("a request holds a range of a file")),
            };
            if let Err(error) = result {
                return format!("writing failed: {error}");
            }
        }
        if queue.is_empty()
            && let Err(error) = write.flush().await
        {
            return format!("writing failed: {error}");
        }
    }
    "the connection is no longer used".to_owned()
}

async fn read_loop(
    mut read: tokio::io::ReadHalf<Stream>,
    mut stopped: watch::Receiver<bool>,
    shared: Arc<Shared>,
) {
    let reason = tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => "the connection was closed".to_owned(),
        reason = read_answers(&mut read, &shared) => reason,
    };
    shared.close(&reason);
}

/// Room that is made for an answer by its size alone: what a fetch asks for at most. Memory that is not written to costs nothing.
const ANSWER_ROOM_BYTES: usize = 64 * 1024 * 1024;
/// Memory of answers that is kept for the next, of a connection whose answers are large.
const ANSWER_REUSED_BYTES: usize = 8 * 1024 * 1024;

async fn read_answers(read: &mut tokio::io::ReadHalf<Stream>, shared: &Shared) -> String {
    let mut frames =
        FrameReader::new(REQUEST_BYTES_MAX).trusting(ANSWER_ROOM_BYTES).reusing(ANSWER_REUSED_BYTES);
    loop {
        let frame = match frames.next(read).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the broker closed the connection".to_owned(),
            Err(error) => return error.to_string(),
        };
        let id = match peek_correlation_id(&frame) {
            Ok(id) => id,
            Err(error) => return error.to_string(),
        };
        let Some(pending) = shared.pending.lock().pop_front() else {
            return format!("an answer with correlation id {id} came to no request");
        };
        if pending.correlation_id != id {
            let expected = pending.correlation_id;
            let reason = format!("an answer has correlation id {id}, the next one is {expected}");
            let _ = pending.answer.send(Err(shared.error(&reason)));
            return reason;
        }
        let _ = pending.answer.send(Ok(frame));
    }
}
