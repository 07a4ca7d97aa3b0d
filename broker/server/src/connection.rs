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

use millstream_net::send::send;
use millstream_net::{BytePermit, FrameError, FrameReader, OutSegment, Stream};
use millstream_types::limits::PRE_AUTH_REQUEST_BYTES_MAX;

use crate::broker::Broker;
use crate::dispatch::{Client, dispatch};
use crate::metrics::Metrics;

/// Requests of one connection that may be under way.
const PIPELINE_MAX: usize = 64;
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

async fn run(
    broker: &Arc<Broker>,
    stream: &mut Stream,
    peer: &str,
    stop: &mut tokio::sync::watch::Receiver<bool>,
) -> Result<(), Ended> {
    let idle = Duration::from_millis(broker.config.number("connections.max.idle.ms") as u64);
    let request_max = broker.config.number("socket.request.max.bytes") as usize;
    let mut client = Client::new(peer);
    // The first request names a client; until then its bytes are bounded as a stranger's.
    let mut reader = FrameReader::new(PRE_AUTH_REQUEST_BYTES_MAX.min(request_max));
    let mut known = false;
    let mut pending: VecDeque<Pending> = VecDeque::new();
    let mut blocking: Option<(Beginning, Option<BytePermit>)> = None;
    let mut out: VecDeque<OutSegment> = VecDeque::new();
    let mut ended = false;
    loop {
        // Begin what has been read.
        while blocking.is_none() && pending.len() < PIPELINE_MAX && !ended {
            let Some(frame) = reader.take_buffered()? else { break };
            if !known {
                known = true;
                reader.set_bound(request_max);
            }
            // Small requests cost the budget less than they would to count.
            let permit = if frame.len() > 4096 { Some(broker.budget.take(frame.len()).await) } else { None };
            match dispatch(broker, &mut client, frame) {
                Begun::Ready(segments) => {
                    pending.push_back(Pending { slot: Slot::Ready(segments), _permit: permit })
                }
                Begun::Later(answer) => {
                    pending.push_back(Pending { slot: Slot::Later(answer), _permit: permit })
                }
                Begun::Blocking(future) => blocking = Some((future, permit)),
                Begun::Close => return Err(Ended::Malformed),
            }
        }
        // Write what is ready, in order.
        let mut bytes = 0;
        while let Some(Pending { slot: Slot::Ready(_), .. }) = pending.front() {
            if let Some(Pending { slot: Slot::Ready(segments), .. }) = pending.pop_front() {
                bytes += segments.iter().map(OutSegment::len).sum::<usize>();
                out.extend(segments);
            }
            if bytes >= WRITE_BYTES {
                send(stream, &mut out).await?;
                bytes = 0;
            }
        }
        if !out.is_empty() {
            send(stream, &mut out).await?;
            // More requests may stand in the buffer that there was no room for.
            if blocking.is_none() && !ended {
                continue;
            }
        }
        if pending.is_empty() && blocking.is_none() && ended {
            return Ok(());
        }
        let may_read = blocking.is_none() && pending.len() < PIPELINE_MAX && !ended;
        tokio::select! {
            biased;
            segments = front(&mut pending) => {
                if let Some(first) = pending.front_mut() {
                    first.slot = Slot::Ready(segments);
                }
            }
            (begun, permit) = begin(&mut blocking) => {
                blocking = None;
                match begun {
                    Begun::Ready(segments) => pending.push_back(Pending { slot: Slot::Ready(segments), _permit: permit }),
                    Begun::Later(answer) => pending.push_back(Pending { slot: Slot::Later(answer), _permit: permit }),
                    Begun::Blocking(future) => blocking = Some((future, permit)),
                    Begun::Close => return Err(Ended::Malformed),
                }
            }
            more = reader.fill(stream), if may_read => ended = !more?,
            _ = stop.changed() => ended = true,
            () = tokio::time::sleep(idle), if may_read && pending.is_empty() => return Ok(()),
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
