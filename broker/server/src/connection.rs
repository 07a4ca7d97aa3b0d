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
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_net::send::send;
use millstream_net::{BytePermit, FrameError, FrameReader, OutSegment, Stream};

use crate::broker::Broker;
use crate::dispatch::{Client, dispatch};
use crate::metrics::Metrics;

/// Requests of one connection that may be under way.
const PIPELINE_MAX: usize = 64;
/// Requests up to this many bytes are not counted in the budget.
const UNCOUNTED_BYTES: usize = 4096;
/// A frame above this many bytes is counted in the budget before it is read.
const LARGE_BYTES: usize = 64 * 1024;
/// How long a large frame may take, beyond what its size allows it.
const LARGE_TIME: Duration = Duration::from_secs(30);
/// The slowest that a large frame may come.
const LARGE_BYTES_PER_SECOND: usize = 256 * 1024;
/// How long a stop waits for answers that are under way.
const STOP_TIME: Duration = Duration::from_millis(500);
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

async fn run(
    broker: &Arc<Broker>,
    stream: &mut Stream,
    peer: &str,
    stop: &mut tokio::sync::watch::Receiver<bool>,
) -> Result<(), Ended> {
    let idle = Duration::from_millis(broker.config.number("connections.max.idle.ms") as u64);
    let request_max = broker.config.number("socket.request.max.bytes") as usize;
    let mut client = Client::new(peer);
    // On a listener without authentication nobody is a stranger, and a first request may be a large one; what large
    // ones hold is bounded by the budget, which counts them before they are read.
    let mut reader = FrameReader::new(request_max);
    let mut pending: VecDeque<Pending> = VecDeque::new();
    let mut blocking: Option<(Beginning, Option<BytePermit>)> = None;
    let mut out: VecDeque<OutSegment> = VecDeque::new();
    let mut ended = false;
    let mut stop_by = Instant::now();
    // A frame that the budget had no room for, and the room of the large one that is being read.
    let mut refused: Option<Bytes> = None;
    let mut large: Option<Counted> = None;
    loop {
        // Begin what has been read.
        while blocking.is_none() && pending.len() < PIPELINE_MAX && !ended {
            let next = match refused.take() {
                Some(frame) => Some(frame),
                None => reader.take_buffered()?,
            };
            let Some(frame) = next else { break };
            let permit = match large.take() {
                Some(counted) => Some(counted.permit),
                // Small requests cost the budget less than they would to count.
                None if frame.len() <= UNCOUNTED_BYTES => None,
                None => match broker.budget.try_take(frame.len()) {
                    Some(permit) => Some(permit),
                    None if pending.is_empty() => Some(broker.budget.take(frame.len()).await),
                    // Answers that are ready hold bytes of the budget too: they are written first.
                    None => {
                        refused = Some(frame);
                        break;
                    }
                },
            };
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
        let may_read = blocking.is_none() && refused.is_none() && pending.len() < PIPELINE_MAX && !ended;
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
            more = read_more(&mut reader, stream, broker, &mut large), if may_read => {
                if !more? {
                    // Everything that was sent has begun; nobody is there to be answered.
                    return Ok(());
                }
            }
            _ = stop.changed(), if !ended => {
                ended = true;
                stop_by = Instant::now() + STOP_TIME;
            }
            // A fetch may wait for hours: it is not answered.
            () = tokio::time::sleep_until(stop_by.into()), if ended => return Ok(()),
            () = tokio::time::sleep(idle), if may_read && pending.is_empty() => return Ok(()),
        }
    }
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
