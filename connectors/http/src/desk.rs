//! Where the server's tasks and the reader meet: units wait here to be read, then to be committed, and whoever asked waits
//! for the outcome. Behind a plain lock, held for no await.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use millstream_connector::StateEntry;
use millstream_types::Millis;
use tokio::sync::{Notify, oneshot};

use crate::answer::Outcome;
use crate::ledger::{Admission, Ledger};
use crate::request::Unit;

/// The meeting place.
pub struct Desk {
    inner: Mutex<Inner>,
    /// A unit came.
    pub arrived: Notify,
    in_flight: Arc<AtomicU64>,
    max_in_flight: u64,
}

struct Inner {
    ledger: Ledger,
    waiting: VecDeque<Held>,
    /// Read, in order, not yet committed.
    read: VecDeque<Held>,
    /// About to be committed, with what became of them.
    leaving: Vec<(Held, Outcome)>,
    asking: HashMap<u64, Vec<oneshot::Sender<Outcome>>>,
    next_unit: u64,
    /// Records read since the reader was opened.
    sequence: u64,
    stopping: bool,
}

struct Held {
    id: u64,
    unit: Unit,
    /// The number of its first record, once read.
    first: u64,
    _bytes: Arc<Reserved>,
}

/// Bytes of the budget; given back when dropped.
pub struct Reserved {
    in_flight: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a request gets for a unit.
#[derive(Debug)]
pub enum Ticket {
    /// The outcome comes when it is committed; an error when the reader is gone.
    Wait(oneshot::Receiver<Outcome>),
    /// The outcome of the first time.
    Repeat(Outcome),
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source is stopping.
    Stopping,
    /// A key names another content.
    Conflict,
}

/// Units that were read.
pub struct Taken {
    /// The first record's number since the reader was opened.
    pub first_sequence: u64,
    /// The records.
    pub records: Vec<Bytes>,
    /// The number after the last.
    pub next_sequence: u64,
}

/// Tombstones of one commit at most.
const FORGET_MAX: usize = 10_000;

impl Desk {
    /// An empty desk over what is remembered.
    pub fn new(ledger: Ledger, max_in_flight: u64) -> Desk {
        Desk {
            inner: Mutex::new(Inner {
                ledger,
                waiting: VecDeque::new(),
                read: VecDeque::new(),
                leaving: Vec::new(),
                asking: HashMap::new(),
                next_unit: 0,
                sequence: 0,
                stopping: false,
            }),
            arrived: Notify::new(),
            in_flight: Arc::default(),
            max_in_flight,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }

    /// Takes bytes of the budget; `None` when there are not so many.
    pub fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let taken = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(bytes).filter(|after| *after <= self.max_in_flight)
        });
        taken.ok().map(|_| Reserved { in_flight: Arc::clone(&self.in_flight), bytes })
    }

    /// Hands in a request's units: all of them, or none.
    pub fn submit(&self, units: Vec<Unit>, bytes: Reserved, now: Millis) -> Result<Vec<Ticket>, Refusal> {
        let mut inner = self.lock();
        if inner.stopping {
            return Err(Refusal::Stopping);
        }
        let conflict = |unit: &Unit| inner.ledger.admit(unit.key, unit.content, now) == Admission::Conflict;
        if units.iter().any(conflict) {
            return Err(Refusal::Conflict);
        }
        let bytes = Arc::new(bytes);
        let mut tickets = Vec::with_capacity(units.len());
        for unit in units {
            // Asked again for each: a request may hold the same record twice.
            let id = match inner.ledger.admit(unit.key, unit.content, now) {
                Admission::Repeat(outcome) => {
                    tickets.push(Ticket::Repeat(outcome));
                    continue;
                }
                Admission::Pending(id) => id,
                Admission::New | Admission::Conflict => {
                    let id = inner.next_unit;
                    inner.next_unit += 1;
                    inner.ledger.begin(unit.key, unit.content, id);
                    inner.waiting.push_back(Held { id, unit, first: 0, _bytes: Arc::clone(&bytes) });
                    id
                }
            };
            let (answer, wait) = oneshot::channel();
            inner.asking.entry(id).or_default().push(answer);
            tickets.push(Ticket::Wait(wait));
        }
        drop(inner);
        self.arrived.notify_one();
        Ok(tickets)
    }

    /// Takes whole units, the first one whatever its size: a unit is never in two commits.
    pub fn take(&self, max_records: usize, max_bytes: usize) -> Taken {
        let mut inner = self.lock();
        let first_sequence = inner.sequence;
        let mut records: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = inner.waiting.front() {
            let size: usize = next.unit.records.iter().map(Bytes::len).sum();
            let full = records.len() + next.unit.records.len() > max_records || bytes + size > max_bytes;
            if full && !records.is_empty() {
                break;
            }
            bytes += size;
            let mut held = inner.waiting.pop_front().expect("it is there");
            held.first = inner.sequence;
            inner.sequence += held.unit.records.len() as u64;
            records.extend(held.unit.records.iter().cloned());
            inner.read.push_back(held);
        }
        Taken { first_sequence, records, next_sequence: inner.sequence }
    }

    /// Units before `next_sequence` are about to be committed; what to store with them. `rejected` are numbers of records and
    /// reasons.
    pub fn leave(&self, next_sequence: u64, rejected: &[(u64, &str)], now: Millis) -> Vec<StateEntry> {
        let mut inner = self.lock();
        // Forgotten before remembered: a key whose time was over may be in use again in this very commit, and of two
        // entries with one key the later counts.
        let (mut entries, early) = inner.ledger.forget(now, FORGET_MAX);
        if early > 0 {
            tracing::warn!(
                early,
                kept = inner.ledger.len(),
                "idempotency keys forgotten before their time; raise `remember_max`"
            );
        }
        while inner.read.front().is_some_and(|held| held.first < next_sequence) {
            let held = inner.read.pop_front().expect("it is there");
            let records = held.unit.records.len() as u64;
            let own = held.first..held.first + records;
            let rejected = rejected.iter().filter(|(sequence, _)| own.contains(sequence));
            let outcome = Outcome {
                records: records as u32,
                rejected: rejected
                    .map(|(at, reason)| ((at - held.first) as u32, (*reason).to_owned()))
                    .collect(),
            };
            entries.extend(inner.ledger.entry(held.unit.key, held.unit.content, &outcome, now));
            inner.leaving.push((held, outcome));
        }
        entries
    }

    /// They were committed: remembers them, and answers whoever asked.
    pub fn done(&self, now: Millis) {
        let mut inner = self.lock();
        for (held, outcome) in std::mem::take(&mut inner.leaving) {
            for answer in inner.asking.remove(&held.id).unwrap_or_default() {
                // A peer that has gone away asks again.
                let _ = answer.send(outcome.clone());
            }
            inner.ledger.settled(held.unit.key, held.unit.content, held.id, outcome, now);
        }
    }

    /// Takes nothing new from now on.
    pub fn stop(&self) {
        self.lock().stopping = true;
    }

    /// The reader is gone: whoever waits is told so.
    pub fn abandon(&self) {
        let mut inner = self.lock();
        inner.stopping = true;
        inner.asking.clear();
        inner.waiting.clear();
        inner.read.clear();
        inner.leaving.clear();
    }
}
