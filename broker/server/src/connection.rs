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
use std::time::Duration;

use bytes::Bytes;
use millstream_net::send::send;
use millstream_net::{BytePermit, FrameError, FrameReader, OutSegment, Stream};
use millstream_types::limits::PRE_AUTH_REQUEST_BYTES_MAX;

use crate::broker::Broker;
use crate::dispatch::{Client, dispatch};
use crate::metrics::Metrics;

/// Requests of one connection that may be under way.
const PIPELINE_MAX: usize = 64;
/// Requests up to this size are not counted in the budget: counting costs more than they hold.
const UNCOUNTED_BYTES_MAX: usize = 4096;
/// Bytes of answers that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

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
pub async fn serve(broker: Arc<Broker>, mut stream: Stream, mut stop: tokio::sync::watch::Receiver<bool>) {
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
}

/// A request that waits for the broker's budget: its frame, and the permit to come.
type Held = (Bytes, Pin<Box<dyn Future<Output = BytePermit> + Send>>);

struct Connection<'a> {
    broker: &'a Arc<Broker>,
    client: Client,
    reader: FrameReader,
    request_max: usize,
    pending: VecDeque<Pending>,
    blocking: Option<(Beginning, Option<BytePermit>)>,
    held: Option<Held>,
    out: VecDeque<OutSegment>,
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
        client: Client::new(peer),
        // Until the first request has named a client its bytes are bounded as a stranger's.
        reader: FrameReader::new(PRE_AUTH_REQUEST_BYTES_MAX.min(request_max)),
        request_max,
        pending: VecDeque::new(),
        blocking: None,
        held: None,
        out: VecDeque::new(),
        ended: false,
    };
    loop {
        c.begin_buffered()?;
        if c.write_ready(stream).await? {
            // There is room for requests that stand in the buffer.
            continue;
        }
        if c.ended && c.pending.is_empty() && c.blocking.is_none() {
            return Ok(());
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
            more = c.reader.fill(stream), if may_read => c.ended = !more?,
            _ = stop.changed() => c.ended = true,
            () = tokio::time::sleep(idle), if is_idle => return Ok(()),
        }
    }
}

impl Connection<'_> {
    fn may_begin(&self) -> bool {
        self.blocking.is_none() && self.held.is_none() && self.pending.len() < PIPELINE_MAX && !self.ended
    }

    /// Begins what has been read.
    fn begin_buffered(&mut self) -> Result<(), Ended> {
        while self.may_begin() {
            let Some(frame) = self.reader.take_buffered()? else { return Ok(()) };
            self.reader.set_bound(self.request_max);
            let mut permit = None;
            if frame.len() > UNCOUNTED_BYTES_MAX {
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
