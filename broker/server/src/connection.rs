//! One connection: requests are read, begun in order, and answered in order. A request is begun by [`dispatch`], which
//! fixes its place (an append is done, a wait is entered); its answer may come later, while the next request is begun
//! already. What is under way is bounded in number, by this connection, and in bytes, by the broker's budget. Never
//! enters: what a request means.
//!
//! [`dispatch`]: crate::dispatch::dispatch

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_auth::Listener;
use millstream_net::send::send;
use millstream_net::{BytePermit, FrameError, FrameReader, OutSegment, Stream};

use crate::broker::Broker;
use crate::dispatch::{Client, dispatch};
use crate::metrics::Metrics;

/// Requests of one connection that may be under way.
const PIPELINE_MAX: usize = 64;
/// Requests up to this size are not counted in the budget: counting costs more than they hold.
const UNCOUNTED_BYTES_MAX: usize = 4096;
/// A frame above this many bytes is counted in the budget before it is read.
const LARGE_BYTES: usize = 64 * 1024;
/// How long a large frame may take, beyond what its size allows it.
const LARGE_TIME: Duration = Duration::from_secs(30);
/// The slowest that a large frame may come.
const LARGE_BYTES_PER_SECOND: usize = 256 * 1024;
/// How long a stop waits for answers that are under way.
const STOP_TIME: Duration = Duration::from_millis(500);
/// Bytes of requests after which a connection lets others run. A socket that always has more is else served for as long as
/// the runtime's own budget of reads lasts, which is a hundred large requests, while other connections stand.
const TURN_BYTES: usize = 512 * 1024;
/// Bytes of answers that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Answers that wait for requests which stand in the socket already: those are begun first, and all leave together.
const GATHERED_MAX: usize = 8;

/// An answer to come, as segments to write; none for a request that is not answered (acks=0).
pub type Answering = Pin<Box<dyn Future<Output = Vec<OutSegment>> + Send>>;

/// A request that has not begun yet.
pub type Beginning = Pin<Box<dyn Future<Output = Begun> + Send>>;

/// What became of a request that was begun.
pub enum Begun {
    /// Its answer is here.
    Ready(Vec<OutSegment>),
    /// Its answer comes later; the next request may begin.
    Later(Answering),
    /// It has not begun yet (it waits for a coordinator, or a topic is being made): no other may begin before it has.
    Blocking(Beginning),
    /// The connection is to be closed: the request could not be read.
    Close,
}

enum Slot {
    Ready(Vec<OutSegment>),
    Later(Answering),
}

struct Pending {
    slot: Slot,
    _permit: Option<BytePermit>,
}

/// Serves a connection until it ends. Errors of the peer end it quietly; `stop` ends it after what was begun.
///
/// `stop` comes first, since it is dropped last: when the stop's last receiver is gone, so is what held the broker.
pub async fn serve(mut stop: tokio::sync::watch::Receiver<bool>, broker: Arc<Broker>, mut stream: Stream) {
    Metrics::add(&broker.metrics.connections, 1);
    let peer = stream.peer();
    if let Err(error) = run(&broker, &mut stream, &peer, &mut stop).await {
        Metrics::add(&broker.metrics.request_errors, 1);
        tracing::debug!(peer, %error, "a connection was closed");
    }
    Metrics::sub(&broker.metrics.connections, 1);
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("writing to the connection: {0}")]
    Write(#[from] std::io::Error),
    #[error("a request could not be read")]
    Malformed,
    #[error("a large request came too slowly")]
    Slow,
}

/// The listener that a stream came by.
fn door(stream: &Stream) -> Listener {
    match stream {
        Stream::Tcp(_) => Listener::plaintext(),
        Stream::InProcess(_) => Listener::in_process(),
    }
}

/// A request that waits for the broker's budget: its frame, and the permit to come.
type Held = (Bytes, Pin<Box<dyn Future<Output = BytePermit> + Send>>);

struct Connection<'a> {
    broker: &'a Arc<Broker>,
    client: Client,
    reader: FrameReader,
    pending: VecDeque<Pending>,
    blocking: Option<(Beginning, Option<BytePermit>)>,
    held: Option<Held>,
    large: Option<Counted>,
    out: VecDeque<OutSegment>,
    /// Bytes of requests begun in this turn.
    turn_bytes: usize,
    ended: bool,
}

async fn run(
    broker: &Arc<Broker>,
    stream: &mut Stream,
    peer: &str,
    stop: &mut tokio::sync::watch::Receiver<bool>,
) -> Result<(), Ended> {
    let idle = Duration::from_millis(broker.config.number("connections.max.idle.ms") as u64);
    let request_max = broker.config.number("socket.request.max.bytes") as usize;
    let mut c = Connection {
        broker,
        client: Client::new(peer, door(stream)),
        // On a listener without authentication nobody is a stranger, and a first request may be a large one; what large
        // ones hold is bounded by the budget, which counts them before they are read.
        reader: FrameReader::new(request_max),
        pending: VecDeque::new(),
        blocking: None,
        held: None,
        large: None,
        out: VecDeque::new(),
        turn_bytes: 0,
        ended: false,
    };
    let mut stop_by = Instant::now();
    loop {
        if let Err(error) = c.begin_buffered() {
            c.write_ready(stream).await?;
            return Err(error);
        }
        if c.may_gather()
            && let Some(more) = at_once(read_more(&mut c.reader, stream, c.broker, &mut c.large)).await
        {
            match more {
                Ok(true) => continue,
                // Nothing more comes; what was asked before is answered first.
                ended => {
                    c.write_ready(stream).await?;
                    return ended.map(|_| ());
                }
            }
        }
        if c.write_ready(stream).await? {
            // There is room for requests that stand in the buffer.
            continue;
        }
        if c.ended && c.pending.is_empty() && c.blocking.is_none() {
            return Ok(());
        }
        if c.turn_bytes >= TURN_BYTES {
            c.turn_bytes = 0;
            tokio::task::yield_now().await;
        }
        let may_read = c.may_begin();
        let is_idle = may_read && c.pending.is_empty();
        tokio::select! {
            biased;
            segments = front(&mut c.pending) => {
                if let Some(first) = c.pending.front_mut() {
                    first.slot = Slot::Ready(segments);
                }
            }
            (begun, permit) = begin(&mut c.blocking) => {
                c.blocking = None;
                c.take(begun, permit)?;
            }
            (frame, permit) = admitted(&mut c.held) => {
                c.held = None;
                let begun = dispatch(c.broker, &mut c.client, frame);
                c.take(begun, Some(permit))?;
            }
            more = read_more(&mut c.reader, stream, c.broker, &mut c.large), if may_read => {
                if !more? {
                    // Everything that was sent has begun; nobody is there to be answered.
                    return Ok(());
                }
            }
            _ = stop.changed(), if !c.ended => {
                c.ended = true;
                stop_by = Instant::now() + STOP_TIME;
            }
            // A fetch may wait for hours: it is not answered.
            () = tokio::time::sleep_until(stop_by.into()), if c.ended => return Ok(()),
            () = tokio::time::sleep(idle), if is_idle => return Ok(()),
        }
    }
}

impl Connection<'_> {
    fn may_begin(&self) -> bool {
        self.blocking.is_none() && self.held.is_none() && self.pending.len() < PIPELINE_MAX && !self.ended
    }

    /// Whether an answer that is ready waits for what can be read without waiting: large requests come one by one, and an
    /// answer to each would wake its client for each.
    fn may_gather(&self) -> bool {
        matches!(self.pending.front(), Some(Pending { slot: Slot::Ready(_), .. }))
            && self.pending.len() < GATHERED_MAX
            && self.turn_bytes < TURN_BYTES
            && self.may_begin()
    }

    /// Begins what has been read.
    fn begin_buffered(&mut self) -> Result<(), Ended> {
        while self.may_begin() {
            let Some(frame) = self.reader.take_buffered()? else { return Ok(()) };
            self.turn_bytes += frame.len();
            let mut permit = self.large.take().map(|counted| counted.permit);
            if permit.is_none() && frame.len() > UNCOUNTED_BYTES_MAX {
                permit = self.broker.budget.try_take(frame.len());
                if permit.is_none() {
                    // Others, and this connection's own requests, give bytes back; they go on meanwhile.
                    let budget = self.broker.budget.clone();
                    let len = frame.len();
                    self.held = Some((frame, Box::pin(async move { budget.take(len).await })));
                    return Ok(());
                }
            }
            let begun = dispatch(self.broker, &mut self.client, frame);
            self.take(begun, permit)?;
        }
        Ok(())
    }

    fn take(&mut self, begun: Begun, permit: Option<BytePermit>) -> Result<(), Ended> {
        match begun {
            Begun::Ready(segments) => {
                self.pending.push_back(Pending { slot: Slot::Ready(segments), _permit: permit });
            }
            Begun::Later(answer) => {
                self.pending.push_back(Pending { slot: Slot::Later(answer), _permit: permit })
            }
            Begun::Blocking(future) => self.blocking = Some((future, permit)),
            Begun::Close => return Err(Ended::Malformed),
        }
        Ok(())
    }

    /// Writes the answers that are due and ready, in order; whether there were any.
    async fn write_ready(&mut self, stream: &mut Stream) -> Result<bool, Ended> {
        let mut any = false;
        let mut bytes = 0;
        while self.pending.front().is_some_and(|p| matches!(p.slot, Slot::Ready(_))) {
            if let Some(Pending { slot: Slot::Ready(segments), .. }) = self.pending.pop_front() {
                any = true;
                bytes += segments.iter().map(OutSegment::len).sum::<usize>();
                self.out.extend(segments);
            }
            if bytes >= WRITE_BYTES {
                send(stream, &mut self.out).await?;
                bytes = 0;
            }
        }
        if !self.out.is_empty() {
            send(stream, &mut self.out).await?;
        }
        Ok(any)
    }
}

/// What a future gives without waiting.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// The budget's bytes for a large frame that is being read, and until when it has to be whole.
struct Counted {
    permit: BytePermit,
    deadline: Instant,
}

/// Reads more; `false` at the end of the stream. A large frame has its bytes taken from the budget before they are
/// read, and is given up where it comes too slowly: others wait for those bytes.
async fn read_more(
    reader: &mut FrameReader,
    stream: &mut Stream,
    broker: &Broker,
    large: &mut Option<Counted>,
) -> Result<bool, Ended> {
    if large.is_none()
        && let Some(bytes) = reader.unfinished()?.filter(|bytes| *bytes > LARGE_BYTES)
    {
        let permit = broker.budget.take(bytes).await;
        let time = LARGE_TIME + Duration::from_secs((bytes / LARGE_BYTES_PER_SECOND) as u64);
        *large = Some(Counted { permit, deadline: Instant::now() + time });
        reader.make_room()?;
    }
    match large {
        None => Ok(reader.fill(stream).await?),
        Some(counted) => {
            let filled = tokio::time::timeout_at(counted.deadline.into(), reader.fill(stream));
            Ok(filled.await.map_err(|_| Ended::Slow)??)
        }
    }
}

/// The answer that is due first, once it is there; never where none is awaited.
async fn front(pending: &mut VecDeque<Pending>) -> Vec<OutSegment> {
    match pending.front_mut() {
        Some(Pending { slot: Slot::Later(answer), .. }) => answer.await,
        _ => std::future::pending().await,
    }
}

async fn begin(blocking: &mut Option<(Beginning, Option<BytePermit>)>) -> (Begun, Option<BytePermit>) {
    match blocking {
        Some((future, permit)) => (future.as_mut().await, permit.take()),
        None => std::future::pending().await,
    }
}

async fn admitted(held: &mut Option<Held>) -> (Bytes, BytePermit) {
    match held {
        Some((frame, permit)) => {
            let permit = permit.as_mut().await;
            (frame.clone(), permit)
        }
        None => std::future::pending().await,
    }
}
