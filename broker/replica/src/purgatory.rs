//! Requests that wait at one partition, as data: which became answerable when the log's ends and the watermarks
//! moved. Tokens are the shell's; it also keeps the time-outs, and [`Purgatory::cancel`]s what runs out of time.
//!
//! A waiting produce names an end and an offset that the end must reach. A waiting fetch names the bound that it
//! reads up to and how many bytes beyond the present bound it wants. A fetch over several partitions waits at each
//! with one byte wanted, is told of every gain, and sums them itself. Nothing is found by a scan of all that waits:
//! waits are ordered by what they wait for.
//!
//! Never enters: clocks, connections, records.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_types::Offset;

/// Where a partition stands: the four ends that something can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// One past the last record.
    pub log_end: Offset,
    /// One past the last flushed record.
    pub flushed_end: Offset,
    /// One past the last committed record.
    pub high_watermark: Offset,
    /// One past the last record that `read_committed` may see.
    pub last_stable_offset: Offset,
}

/// Which of the [`Bounds`] a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// The log end: followers' fetches, and `acks=1` with `flush.mode=interval`.
    LogEnd,
    /// The flushed end: `acks=1` with `flush.mode=before_ack`.
    FlushedEnd,
    /// The high watermark: `acks=all`, and fetches at `read_uncommitted`.
    HighWatermark,
    /// The last stable offset: fetches at `read_committed`.
    LastStableOffset,
}

impl Bounds {
    /// One of the four.
    pub fn get(&self, bound: Bound) -> Offset {
        match bound {
            Bound::LogEnd => self.log_end,
            Bound::FlushedEnd => self.flushed_end,
            Bound::HighWatermark => self.high_watermark,
            Bound::LastStableOffset => self.last_stable_offset,
        }
    }
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// `bound` reaches `offset` (a produce).
    Offset {
        /// The bound.
        bound: Bound,
        /// One past the last offset that must be covered.
        offset: Offset,
    },
    /// `bytes` more bytes lie below `bound` than now (a fetch); at least 1.
    Bytes {
        /// The bound that the fetch reads up to.
        bound: Bound,
        /// How many more bytes it wants.
        bytes: u64,
    },
}

/// A request that has become answerable, and is out of the purgatory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Satisfied {
    /// The shell's token.
    pub token: u64,
    /// What it waited for.
    pub wait: WaitFor,
    /// For a fetch, the bytes gained since it began to wait here.
    pub bytes_gained: u64,
}

/// The most entries of the byte ledger; beyond, neighbours are joined, which makes a fetch wait up to one joined
/// stretch longer, never shorter.
const LEDGER_ENTRIES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
enum Key {
    Offset(Bound, Offset),
    Bytes { bound: Bound, at: u64, since: u64 },
}

/// What waits at one partition.
#[derive(Clone, Debug)]
pub struct Purgatory {
    bounds: Bounds,
    offsets: BTreeSet<(Bound, Offset, u64)>,
    bytes: BTreeSet<(Bound, u64, u64)>,
    waits: BTreeMap<u64, (WaitFor, Key)>,
    /// `(end offset, bytes from the beginning to there)` of appended batches above the lowest bound.
    ledger: VecDeque<(Offset, u64)>,
    /// The bytes below the ledger's first entry, and in all.
    base_bytes: u64,
    total_bytes: u64,
}

impl Purgatory {
    /// With nothing waiting, at a partition that stands at `bounds`.
    pub fn new(bounds: Bounds) -> Purgatory {
        Purgatory {
            bounds,
            offsets: BTreeSet::new(),
            bytes: BTreeSet::new(),
            waits: BTreeMap::new(),
            ledger: VecDeque::new(),
            base_bytes: 0,
            total_bytes: 0,
        }
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// A batch of `bytes` bytes was appended and ends before `end_offset`. Call it before [`Purgatory::advance`].
    pub fn appended(&mut self, end_offset: Offset, bytes: u64) {
        self.total_bytes += bytes;
        if self.ledger.len() >= LEDGER_ENTRIES_MAX {
            let mut keep = true;
            self.ledger.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.ledger.push_back((end_offset, self.total_bytes));
    }

    /// The bytes that lie below `offset`, counted from when this purgatory began.
    fn bytes_below(&self, offset: Offset) -> u64 {
        let after = self.ledger.partition_point(|(end, _)| *end <= offset);
        after.checked_sub(1).map_or(self.base_bytes, |at| self.ledger[at].1)
    }

    /// Lets `token` wait, or answers at once if the offset is reached already. A token waits here for one thing at
    /// a time.
    pub fn wait(&mut self, token: u64, wait: WaitFor) -> Option<Satisfied> {
        assert!(!self.waits.contains_key(&token), "token {token} waits at this partition already");
        let key = match wait {
            WaitFor::Offset { bound, offset } => {
                if self.bounds.get(bound) >= offset {
                    return Some(Satisfied { token, wait, bytes_gained: 0 });
                }
                self.offsets.insert((bound, offset, token));
                Key::Offset(bound, offset)
            }
            WaitFor::Bytes { bound, bytes } => {
                let since = self.bytes_below(self.bounds.get(bound));
                let at = since.saturating_add(bytes.max(1));
                self.bytes.insert((bound, at, token));
                Key::Bytes { bound, at, since }
            }
        };
        self.waits.insert(token, (wait, key));
        None
    }

    /// Takes `token` out, if it waits here.
    pub fn cancel(&mut self, token: u64) -> bool {
        match self.waits.remove(&token) {
            Some((_, Key::Offset(bound, offset))) => self.offsets.remove(&(bound, offset, token)),
            Some((_, Key::Bytes { bound, at, .. })) => self.bytes.remove(&(bound, at, token)),
            None => false,
        }
    }

    /// Takes everything out: the replica's role changed, or its topic went. Ascending tokens.
    pub fn drain(&mut self) -> Vec<u64> {
        self.offsets.clear();
        self.bytes.clear();
        std::mem::take(&mut self.waits).into_keys().collect()
    }

    /// The log was cut or begun anew: bytes are counted afresh. Nothing may wait (see [`Purgatory::drain`]).
    pub fn reset(&mut self, bounds: Bounds) {
        assert!(self.waits.is_empty(), "a log was cut under {} waiting requests", self.waits.len());
        *self = Purgatory::new(bounds);
    }

    /// The partition moved to `bounds`: what became answerable, produces first, each in the order of its offsets.
    pub fn advance(&mut self, bounds: Bounds) -> Vec<Satisfied> {
        let mut out = Vec::new();
        if bounds == self.bounds {
            return out;
        }
        let before = std::mem::replace(&mut self.bounds, bounds);
        let all = [Bound::LogEnd, Bound::FlushedEnd, Bound::HighWatermark, Bound::LastStableOffset];
        for bound in all.into_iter().filter(|bound| before.get(*bound) < bounds.get(*bound)) {
            let reached = bounds.get(bound);
            while let Some(&(at_bound, offset, token)) = self.offsets.range((bound, Offset::MIN, 0)..).next()
                && at_bound == bound
                && offset <= reached
            {
                self.take(token, 0, &mut out);
            }
        }
        for bound in all.into_iter().filter(|bound| before.get(*bound) < bounds.get(*bound)) {
            let below = self.bytes_below(bounds.get(bound));
            while let Some(&(at_bound, at, token)) = self.bytes.range((bound, 0, 0)..).next()
                && at_bound == bound
                && at <= below
            {
                self.take(token, below, &mut out);
            }
        }
        self.trim();
        out
    }

    fn take(&mut self, token: u64, below: u64, out: &mut Vec<Satisfied>) {
        if let Some((wait, key)) = self.waits.get(&token).copied() {
            self.cancel(token);
            let bytes_gained = match key {
                Key::Offset(..) => 0,
                Key::Bytes { since, .. } => below - since,
            };
            out.push(Satisfied { token, wait, bytes_gained });
        }
    }

    /// Forgets the ledger below the lowest bound.
    fn trim(&mut self) {
        let lowest = self.bounds.last_stable_offset.min(self.bounds.flushed_end);
        while let Some(&(end, bytes)) = self.ledger.front()
            && end <= lowest
        {
            self.base_bytes = bytes;
            self.ledger.pop_front();
        }
    }
}
