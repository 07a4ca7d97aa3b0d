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
use millstream_connector::{Position, SplitReader};

/// A record that was checked.
#[derive(Debug)]
pub struct Item {
    /// Its lane's clock when it was read.
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
    /// How many were read, behind `start`.
    pub records: u32,
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
    /// So many records behind `from`; the position is to be found by reading them again. `lane` holds the rest.
    Part { lane: usize, split: usize, from: Option<Position>, records: u32 },
}

impl Lane {
    /// Whether everything was read.
    pub fn is_read(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
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
            items.extend(batch.items.drain(..ready));
            let Some(first) = batch.items.front() else {
                let batch = self.held.pop_front().expect("it is the front");
                advances.push(Advance::To(batch.split, batch.next));
                continue;
            };
            let records = first.index;
            if records > 0 {
                advances.push(Advance::Part { lane, split: batch.split, from: batch.start.clone(), records });
                batch.records -= records;
                batch.items.iter_mut().for_each(|item| item.index -= records);
            }
            return;
        }
    }
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
            records: clocks.len() as u32,
            items: items.collect(),
        }
    }

    fn lane(clock: i64, waiting: &[usize], held: Vec<ReadBatch>) -> Lane {
        Lane {
            source: 0,
            bounded: true,
            waiting: waiting.iter().copied().collect(),
            current: None,
            clock,
            held: held.into(),
            idle: false,
            waits: false,
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
            [Advance::To(0, _), Advance::Part { lane: 0, split: 1, records: 1, .. }, Advance::To(2, _)]
        ));
        // What is left counts from the new start.
        assert_eq!((lanes[0].held[0].records, lanes[0].held[0].items[0].index), (2, 0));
        assert!(lanes[1].held.is_empty());
    }

    #[test]
    fn lanes_that_are_read_hold_nothing_back() {
        let lanes = [lane(5, &[], vec![batch(0, &[5])]), lane(7, &[1], Vec::new())];
        assert_eq!(level(lanes.iter()), 7);
        assert_eq!(level(lanes[..1].iter()), i64::MAX);
    }
}
