//! How far each worker of an ingest stage has come in event time. Files are read in the order of event time by each worker
//! for itself; of two workers that replay a folder one is soon hours ahead, and rows of both come to the same partition.
//! So each says, in marks of the positions topic, the level behind which it has nothing left; each record carries the
//! least level of the workers it does not come from (`HEADER`), and raises no watermark further than that. Nobody waits
//! for anybody, and a replay of the topic years later finds the same bounds.
//!
//! Stages that run operators do the same, with levels of the watermarks that they go by. What they say has a second use: whoever reads
//! a topic to where it ended when a level was known has read all that lies before it (`process/lift.rs`), in a stream that pauses too.
//!
//! A level belongs to partitions of the splits topic, so that one whose owner died stays where it is until its next owner
//! has come further. Nothing is known of a partition before its owner's first mark, and watermarks wait for it.
//! Never enters: reading and writing marks, which `ends.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The header of a record that comes to a partition which other workers write too: eight bytes, big-endian, the event
/// time in milliseconds that the others have come to.
pub const HEADER: &str = "millstream.level";

/// A level is said again this often, for workers that came later.
const REPEAT_EVERY: Duration = Duration::from_millis(500);
/// And this often where one worker has all parts: nobody's rows wait for its word.
const REPEAT_ALONE_EVERY: Duration = Duration::from_secs(5);

/// How far a worker has come in its parts of a stage, in milliseconds of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// Every record that it will emit lies at or behind this; `i64::MAX` where there is nothing to wait for.
    pub level: i64,
    /// How far the furthest of its parts has come: what holds for all of them where there is nothing to wait for, since what is idle has
    /// been read to its end.
    pub reached: i64,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq, Clone)]
pub struct Level {
    /// The end of the marks' partition before this was said.
    pub as_of: i64,
    /// Every record that it will emit lies at or behind this event time, in milliseconds.
    pub level: i64,
    /// See [`Came`]; the level where it is not said.
    #[serde(default)]
    pub reached: Option<i64>,
    /// Of these partitions of the splits topic, or these key groups.
    pub parts: BTreeSet<u32>,
}

/// What is known of one stage's levels.
#[derive(Debug, Default)]
pub struct Levels {
    known: BTreeMap<u32, Came>,
    said: Option<(Came, BTreeSet<u32>, Instant)>,
}

impl Levels {
    /// Takes what a worker said. The last word on a partition counts.
    pub fn take(&mut self, said: &Level) {
        let came = Came { level: said.level, reached: said.reached.unwrap_or(said.level) };
        self.known.extend(said.parts.iter().map(|part| (*part, came)));
    }

    /// What the workers that own the other partitions have come to; nothing where `owned` are all of `parts`, or where
    /// the others bring nothing more.
    pub fn of_others(&self, owned: &BTreeSet<u32>, parts: u32) -> Option<i64> {
        let others = (0..parts).filter(|part| !owned.contains(part));
        let level = |part| self.known.get(&part).map_or(i64::MIN, |came| came.level);
        others.map(level).min().filter(|level| *level < i64::MAX)
    }

    /// What all partitions together have come to; nothing while that is not known of one.
    pub fn of_all(&self, parts: u32) -> Option<i64> {
        let came: Option<Vec<Came>> = (0..parts).map(|part| self.known.get(&part).copied()).collect();
        let came = came?;
        match came.iter().map(|came| came.level).min()? {
            i64::MAX => came.iter().map(|came| came.reached).max(),
            level => Some(level),
        }
    }

    /// Whether this has to be said: it is new, or was said a while ago.
    pub fn is_due(&self, came: Came, owned: &BTreeSet<u32>, parts: u32) -> bool {
        let repeat = if owned.len() as u32 >= parts { REPEAT_ALONE_EVERY } else { REPEAT_EVERY };
        match &self.said {
            Some((said, of, at)) => *said != came || of != owned || at.elapsed() >= repeat,
            None => true,
        }
    }

    /// It was said.
    pub fn was_said(&mut self, came: Came, owned: &BTreeSet<u32>) {
        self.said = Some((came, owned.clone(), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_others_counts_and_the_last_word_on_a_partition() {
        let mut levels = Levels::default();
        let say = |level: i64, parts: &[u32]| Level {
            as_of: 0,
            level,
            reached: None,
            parts: parts.iter().copied().collect(),
        };
        let mine = BTreeSet::from([0]);
        assert_eq!(levels.of_others(&mine, 1), None);
        assert_eq!(levels.of_others(&mine, 3), Some(i64::MIN));
        levels.take(&say(50, &[1]));
        assert_eq!(levels.of_others(&mine, 3), Some(i64::MIN), "nothing is known of partition 2");
        levels.take(&say(70, &[2]));
        assert_eq!(levels.of_others(&mine, 3), Some(50));
        // Partition 1 has another owner, which begins further back.
        levels.take(&say(40, &[1, 2]));
        assert_eq!(levels.of_others(&mine, 3), Some(40));
        levels.take(&say(i64::MAX, &[1, 2]));
        assert_eq!(levels.of_others(&mine, 3), None);
    }

    #[test]
    fn what_all_have_come_to_is_the_least_and_of_idle_ones_the_furthest() {
        let mut levels = Levels::default();
        let say = |level, reached, parts: [u32; 2]| Level {
            as_of: 0,
            level,
            reached: Some(reached),
            parts: parts.into(),
        };
        assert_eq!(levels.of_all(0), None);
        levels.take(&say(50, 60, [0, 1]));
        assert_eq!(levels.of_all(4), None, "nothing is known of partitions 2 and 3");
        levels.take(&say(i64::MAX, 90, [2, 3]));
        assert_eq!(levels.of_all(4), Some(50));
        levels.take(&say(i64::MAX, 60, [0, 1]));
        assert_eq!(levels.of_all(4), Some(90), "nobody holds anything back");
        levels.take(&say(i64::MAX, i64::MAX, [2, 3]));
        assert_eq!(levels.of_all(4), Some(i64::MAX), "what has ended brings nothing");
    }

    #[test]
    fn a_level_is_said_when_it_is_new() {
        let mut levels = Levels::default();
        let mine = BTreeSet::from([0]);
        let came = |level| Came { level, reached: level };
        assert!(levels.is_due(came(5), &mine, 2));
        levels.was_said(came(5), &mine);
        assert!(!levels.is_due(came(5), &mine, 2));
        assert!(levels.is_due(came(6), &mine, 2) && levels.is_due(came(5), &BTreeSet::new(), 2));
    }
}
