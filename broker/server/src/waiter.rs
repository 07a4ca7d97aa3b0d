//! One request that waits at one or more partitions: how many of its waits are open, what it gained, and whom to
//! wake. The partitions hold it by a token; the request's future holds it here, with its time-out. Never enters: what
//! is waited for (`millstream_replica::purgatory`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::partition::Partition;
use crate::timer::{Timer, TimerKey};

static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

#[derive(Default)]
struct State {
    /// Waits that were not satisfied yet.
    open: usize,
    /// Bytes that satisfied waits gained.
    gained: u64,
    /// Whether a partition was taken away under the request: it is to look again.
    disturbed: bool,
    waker: Option<Waker>,
}

/// See the module.
pub struct Waiter {
    /// What partitions know it by.
    pub token: u64,
    /// Bytes after which the request is answered though waits are open; 0 where all have to be satisfied.
    bytes_wanted: u64,
    state: Mutex<State>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// All that was waited for is there, or enough of it.
    Satisfied,
    /// The time ran out.
    TimedOut,
}

impl Waiter {
    /// A request with no waits yet.
    pub fn new(bytes_wanted: u64) -> Arc<Waiter> {
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
        Arc::new(Waiter { token, bytes_wanted, state: Mutex::new(State::default()) })
    }

    /// A request whose one wait wakes `waker`, without a future.
    pub fn with_waker(waker: Waker) -> Arc<Waiter> {
        let waiter = Waiter::new(0);
        waiter.state.lock().waker = Some(waker);
        waiter
    }

    /// One more wait is open.
    pub fn opened(&self) {
        self.state.lock().open += 1;
    }

    /// One wait is satisfied; returns whom to wake, outside of every lock.
    pub fn satisfied(&self, bytes_gained: u64) -> Option<Waker> {
        let mut state = self.state.lock();
        state.open = state.open.saturating_sub(1);
        state.gained += bytes_gained;
        if self.is_done(&state) { state.waker.take() } else { None }
    }

    /// A partition of the request changed hands or went.
    pub fn disturb(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.open = state.open.saturating_sub(1);
        state.disturbed = true;
        state.waker.take()
    }

    fn is_done(&self, state: &State) -> bool {
        state.disturbed || state.open == 0 || (self.bytes_wanted > 0 && state.gained >= self.bytes_wanted)
    }
}

/// Waits until the waiter is done or `timeout` has passed. What is still open at its partitions is taken back when
/// this is dropped.
pub struct Wait {
    waiter: Arc<Waiter>,
    partitions: Vec<Arc<Partition>>,
    timer: Arc<Timer>,
    deadline: Instant,
    armed: Option<TimerKey>,
}

impl Wait {
    /// A wait of `waiter` at `partitions`.
    pub fn new(
        waiter: Arc<Waiter>,
        partitions: Vec<Arc<Partition>>,
        timer: Arc<Timer>,
        timeout: Duration,
    ) -> Wait {
        Wait { waiter, partitions, timer, deadline: Instant::now() + timeout, armed: None }
    }
}

impl Future for Wait {
    type Output = Waited;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited> {
        {
            let mut state = self.waiter.state.lock();
            if self.waiter.is_done(&state) {
                return Poll::Ready(Waited::Satisfied);
            }
            state.waker = Some(cx.waker().clone());
        }
        let now = Instant::now();
        if now >= self.deadline {
            return Poll::Ready(Waited::TimedOut);
        }
        // A waker may change between polls, so the time-out is armed anew with each.
        if let Some(key) = self.armed.take() {
            self.timer.cancel(key);
        }
        let left = (self.deadline - now).as_millis() as u64;
        self.armed = Some(self.timer.arm(left, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(key) = self.armed.take() {
            self.timer.cancel(key);
        }
        for partition in &self.partitions {
            partition.cancel(self.waiter.token);
        }
    }
}
