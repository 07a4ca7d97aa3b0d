//! The order in which bounded input is read. Files of one folder are a lane and are read one after another, by name. A
//! lane's clock is the greatest event time that it has shown; the lane that is behind is read next, and a commit emits
//! only what lies at or before the clock of the lane that is furthest behind. So records of all lanes reach a topic in
//! the order of their lanes' clocks, each lane's own order kept (WK-2): which rows are late depends on the input alone,
//! neither on speed nor on where commits fell. What was read and lies ahead is held back, and the position that is
//! committed for its split is the one before it.
//!
//! Unbounded input is emitted as it comes: its lanes hold nothing back. Never enters: reading, positions' meaning.

use std::collections::VecDeque;

use bytes::Bytes;
use millstream_connect::dead_letter::DeadLetter;
use millstream_connector::{Position, RecordEnd, SplitReader};

/// A record that was checked.
#[derive(Debug)]
pub struct Item {
    /// Its lane's clock when its record was read: the same for all that became of the record, so that they go together.
    pub clock: i64,
    /// Its place in its batch as it was read.
    pub index: u32,
    /// What became of it.
    pub what: What,
}

/// What became of a record.
#[derive(Debug)]
pub enum What {
    /// It goes on.
    Good {
        /// The payload.
        value: Bytes,
        /// Its event time, or the time when it came.
        timestamp: i64,
    },
    /// It does not; with its number in its split.
    Bad(u64, Box<DeadLetter>),
}

/// Records of one read, and the positions around them.
#[derive(Debug)]
pub struct ReadBatch {
    /// Whose.
    pub split: usize,
    /// Before the first that is not emitted yet.
    pub start: Option<Position>,
    /// Behind the last.
    pub next: Position,
    /// Bytes of those that are not emitted yet, about.
    pub bytes: usize,
    /// The ends of those that were read, behind `start`.
    pub ends: VecDeque<RecordEnd>,
    /// What is not emitted yet, indexed from `start`.
    pub items: VecDeque<Item>,
}

/// A split that is being read.
pub struct Current {
    /// Which.
    pub split: usize,
    /// Its reader.
    pub reader: Box<dyn SplitReader>,
    /// Behind what was read last.
    pub position: Option<Position>,
}

/// Splits that are read one after another.
pub struct Lane {
    /// The source's number.
    pub source: usize,
    /// Whether it ends.
    pub bounded: bool,
    /// Splits that were not begun.
    pub waiting: VecDeque<usize>,
    /// The one that is being read.
    pub current: Option<Current>,
    /// The greatest event time so far.
    pub clock: i64,
    /// Its clock after its first read.
    pub began: i64,
    /// Bytes read since then.
    pub bytes: u64,
    /// What was read and not emitted.
    pub held: VecDeque<ReadBatch>,
    /// Nothing to read for now, and its source tells when there may be more.
    pub idle: bool,
    /// Whether its reader waits by itself for what comes.
    pub waits: bool,
}

/// How far a split was emitted.
#[derive(Debug)]
pub enum Advance {
    /// To this position.
    To(usize, Position),
    /// So many records behind `from`, the last of which ends at `end`. `lane` holds the rest.
    Part { lane: usize, split: usize, from: Option<Position>, records: u32, end: RecordEnd },
}

impl Lane {
    /// A lane of which nothing was read.
    pub fn new(source: usize, bounded: bool, waits: bool) -> Lane {
        Lane {
            source,
            bounded,
            waiting: VecDeque::new(),
            current: None,
            clock: i64::MIN,
            began: i64::MIN,
            bytes: 0,
            held: VecDeque::new(),
            idle: false,
            waits,
        }
    }

    /// Notes that `bytes` were read, which moved the clock to `clock`.
    pub fn moved(&mut self, clock: i64, bytes: u64) {
        self.clock = clock;
        if self.began == i64::MIN {
            self.began = clock;
        } else {
            self.bytes += bytes;
        }
    }

    /// Bytes for each millisecond of event time; nothing before there were two reads.
    fn density(&self) -> Option<f64> {
        let span = self.clock.saturating_sub(self.began);
        (self.bytes > 0 && span > 0).then(|| self.bytes as f64 / span as f64)
    }

    /// Whether everything was read.
    pub fn is_read(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// The bytes of what was read and not emitted.
    pub fn held_bytes(&self) -> usize {
        self.held.iter().map(|batch| batch.bytes).sum()
    }

    /// The clock of the first record that was read and not emitted.
    pub fn first_held(&self) -> Option<i64> {
        self.held.iter().find_map(|batch| batch.items.front()).map(|item| item.clock)
    }

    /// Whether everything was read and emitted.
    pub fn is_done(&self) -> bool {
        self.is_read() && self.held.is_empty()
    }

    /// Takes out what lies at or before `level`.
    pub fn emit(&mut self, lane: usize, level: i64, items: &mut Vec<Item>, advances: &mut Vec<Advance>) {
        while let Some(batch) = self.held.front_mut() {
            let ready = match self.bounded {
                true => batch.items.iter().take_while(|item| item.clock <= level).count(),
                false => batch.items.len(),
            };
            let before = batch.items.len().max(1);
            items.extend(batch.items.drain(..ready));
            batch.bytes = batch.bytes * batch.items.len() / before;
            let Some(first) = batch.items.front() else {
                let batch = self.held.pop_front().expect("it is the front");
                advances.push(Advance::To(batch.split, batch.next));
                continue;
            };
            let records = first.index;
            if let Some(end) = batch.ends.drain(..records as usize).next_back() {
                let (split, from) = (batch.split, batch.start.clone());
                advances.push(Advance::Part { lane, split, from, records, end });
                batch.items.iter_mut().for_each(|item| item.index -= records);
            }
            return;
        }
    }
}

/// What is read next, so that all bounded lanes come to about the same clock: lanes that are behind, with the bytes that
/// each is likely to need, about `round` in all and at least `least` each. A lane of many records gets many bytes; were
/// all given the same, the others would run ahead of it and be held in memory.
pub fn next_reads(
    lanes: &[Lane],
    candidates: impl Iterator<Item = usize>,
    round: usize,
    least: usize,
) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = candidates.collect();
    order.sort_by_key(|at| if lanes[*at].bounded { lanes[*at].clock } else { i64::MIN });
    let bounded = || order.iter().map(|at| &lanes[*at]).filter(|lane| lane.bounded);
    let density: f64 = bounded().filter_map(Lane::density).sum();
    let first = bounded().map(|lane| lane.clock).min().unwrap_or(i64::MIN);
    // The time that all of them together need a round's bytes for.
    let span = if density > 0.0 { (round as f64 / density).min(1e15) as i64 } else { 0 };
    let target = first.saturating_add(span);
    let mut reads = Vec::new();
    let mut bytes = 0;
    for at in order {
        let lane = &lanes[at];
        let wanted = match lane.density() {
            _ if !lane.bounded => least,
            Some(density) => (density * target.saturating_sub(lane.clock).max(0) as f64) as usize,
            None => least,
        };
        if bytes >= round || (lane.bounded && lane.clock > target) {
            break;
        }
        let wanted = wanted.clamp(least, round);
        bytes += wanted;
        reads.push((at, wanted));
    }
    reads
}

/// The clock of the lane that is furthest behind, of those that may still bring something.
pub fn level<'a>(lanes: impl Iterator<Item = &'a Lane>) -> i64 {
    lanes.filter(|lane| lane.bounded && !lane.is_read()).map(|lane| lane.clock).min().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(split: usize, clocks: &[i64]) -> ReadBatch {
        let items = clocks.iter().enumerate().map(|(index, clock)| Item {
            clock: *clock,
            index: index as u32,
            what: What::Good { value: Bytes::new(), timestamp: *clock },
        });
        ReadBatch {
            split,
            start: None,
            next: Position(Bytes::from(format!("end of {split}"))),
            bytes: 10 * clocks.len(),
            ends: (1..=clocks.len() as u64).map(|place| RecordEnd { place, end: 10 * place }).collect(),
            items: items.collect(),
        }
    }

    fn lane(clock: i64, waiting: &[usize], held: Vec<ReadBatch>) -> Lane {
        Lane {
            waiting: waiting.iter().copied().collect(),
            clock,
            held: held.into(),
            ..Lane::new(0, true, false)
        }
    }

    #[test]
    fn what_lies_ahead_of_the_slowest_lane_is_held_back() {
        let mut lanes = [
            lane(30, &[9], vec![batch(0, &[10, 20]), batch(1, &[20, 30, 30])]),
            lane(20, &[8], vec![batch(2, &[20])]),
        ];
        let level = level(lanes.iter());
        assert_eq!(level, 20);
        let (mut items, mut advances) = (Vec::new(), Vec::new());
        for (i, lane) in lanes.iter_mut().enumerate() {
            lane.emit(i, level, &mut items, &mut advances);
        }
        assert_eq!(items.iter().map(|i| i.clock).collect::<Vec<_>>(), [10, 20, 20, 20]);
        assert!(matches!(
            advances.as_slice(),
            [
                Advance::To(0, _),
                Advance::Part { lane: 0, split: 1, records: 1, end: RecordEnd { place: 1, end: 10 }, .. },
                Advance::To(2, _)
            ]
        ));
        // What is left counts from the new start.
        assert_eq!((lanes[0].held[0].ends[0].place, lanes[0].held[0].items[0].index), (2, 0));
        assert!(lanes[1].held.is_empty());
        assert_eq!((lanes[0].held_bytes(), lanes[1].held_bytes()), (20, 0));
    }

    #[test]
    fn lanes_come_forward_together_however_unequal() {
        // Bytes for each millisecond of four lanes: one has most.
        let density = [100.0, 10.0, 1.0, 0.1];
        let mut lanes: Vec<Lane> = density.iter().map(|_| lane(i64::MIN, &[1], Vec::new())).collect();
        let mut ahead = 0.0f64;
        for round in 0..300 {
            let reads = next_reads(&lanes, 0..lanes.len(), 100_000, 1_000);
            assert!(!reads.is_empty());
            for (at, bytes) in reads {
                let clock = lanes[at].clock.max(0) + (bytes as f64 / density[at]) as i64;
                lanes[at].moved(clock, bytes as u64);
            }
            let level = level(lanes.iter());
            if round > 10 && level > i64::MIN {
                let held = |(lane, density): (&Lane, &f64)| (lane.clock - level) as f64 * density;
                ahead = ahead.max(lanes.iter().zip(&density).map(held).sum());
            }
        }
        assert!(ahead < 250_000.0, "{ahead} bytes are held");
        // All lanes but the densest would be done long before it, were all read alike.
        assert!(lanes[0].clock > 200_000, "{}", lanes[0].clock);
    }

    #[test]
    fn lanes_that_are_read_hold_nothing_back() {
        let lanes = [lane(5, &[], vec![batch(0, &[5])]), lane(7, &[1], Vec::new())];
        assert_eq!(level(lanes.iter()), 7);
        assert_eq!(level(lanes[..1].iter()), i64::MAX);
    }
}
