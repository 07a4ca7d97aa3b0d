//! How far each worker of an ingest stage has come in event time. Files are read in the order of event time by each worker
//! for itself; of two workers that replay a folder one is soon hours ahead, and rows of both come to the same partition.
//! So each says, in marks of the positions topic, the level behind which it has nothing left; each record carries the
//! least level of the workers it does not come from (`HEADER`), and raises no watermark further than that. Nobody waits
//! for anybody, and a replay of the topic years later finds the same bounds.
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

/// What a worker says.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq, Clone)]
pub struct Level {
    /// The end of the marks' partition before this was said.
    pub as_of: i64,
    /// Every record that it will emit lies at or behind this event time, in milliseconds.
    pub level: i64,
    /// Of these partitions of the splits topic.
    pub parts: BTreeSet<u32>,
}

/// What is known of one stage's levels.
#[derive(Debug, Default)]
pub struct Levels {
    known: BTreeMap<u32, i64>,
    said: Option<(i64, BTreeSet<u32>, Instant)>,
}

impl Levels {
    /// Takes what a worker said. The last word on a partition counts.
    pub fn take(&mut self, said: &Level) {
        self.known.extend(said.parts.iter().map(|part| (*part, said.level)));
    }

    /// What the workers that own the other partitions have come to; nothing where `owned` are all of `parts`, or where
    /// the others bring nothing more.
    pub fn of_others(&self, owned: &BTreeSet<u32>, parts: u32) -> Option<i64> {
        let others = (0..parts).filter(|part| !owned.contains(part));
        others.map(|part| self.known.get(&part).copied().unwrap_or(i64::MIN)).min().filter(|l| *l < i64::MAX)
    }

    /// Whether this has to be said: it is new, or was said a while ago.
    pub fn is_due(&self, level: i64, owned: &BTreeSet<u32>) -> bool {
        match &self.said {
            Some((said, of, at)) => *said != level || of != owned || at.elapsed() >= REPEAT_EVERY,
            None => true,
        }
    }

    /// It was said.
    pub fn was_said(&mut self, level: i64, owned: &BTreeSet<u32>) {
        self.said = Some((level, owned.clone(), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_others_counts_and_the_last_word_on_a_partition() {
        let mut levels = Levels::default();
        let say =
            |level: i64, parts: &[u32]| Level { as_of: 0, level, parts: parts.iter().copied().collect() };
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
    fn a_level_is_said_when_it_is_new() {
        let mut levels = Levels::default();
        let mine = BTreeSet::from([0]);
        assert!(levels.is_due(5, &mine));
        levels.was_said(5, &mine);
        assert!(!levels.is_due(5, &mine));
        assert!(levels.is_due(6, &mine) && levels.is_due(5, &BTreeSet::new()));
    }
}
