//! Leader epochs and the offset at which each began (KIP-101, KIP-279, KIP-320), kept in `leader-epoch-checkpoint`.
//! The batches carry the same epochs, so what a crash takes from the file is found again by recovery. Never enters: who
//! leads.

use millstream_types::{LeaderEpoch, Offset};

/// An epoch and its first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// The first offset appended under it.
    pub start_offset: Offset,
}

/// The epochs of one log; both epochs and offsets rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// No epochs.
    pub fn new() -> EpochCache {
        EpochCache::default()
    }

    /// The epochs in a checkpoint's entries, or what is wrong with them.
    pub fn parse(lines: &[String]) -> Result<EpochCache, String> {
        let mut cache = EpochCache::new();
        for line in lines {
            let mut fields = line.split_whitespace();
            let entry = (|| {
                let epoch = fields.next()?.parse().ok()?;
                let start_offset = fields.next()?.parse().ok()?;
                fields.next().is_none().then_some(EpochEntry { epoch, start_offset })
            })();
            let entry = entry.ok_or_else(|| format!("\"{line}\" is not an epoch and an offset"))?;
            let rises = cache
                .entries
                .last()
                .is_none_or(|l| entry.epoch > l.epoch && entry.start_offset > l.start_offset);
            if !rises || entry.epoch < 0 || entry.start_offset < 0 {
                return Err(format!("\"{line}\" does not rise over the line before it"));
            }
            cache.entries.push(entry);
        }
        Ok(cache)
    }

    /// The entries of the checkpoint.
    pub fn lines(&self) -> Vec<String> {
        self.entries.iter().map(|e| format!("{} {}", e.epoch, e.start_offset)).collect()
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The latest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|e| e.epoch)
    }

    /// Notes that `epoch` begins at `start_offset`, if it is not known yet. Entries that contradict it, of later epochs
    /// or offsets, are dropped, as Kafka does. Whether anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch < 0 || self.latest() == Some(epoch) {
            return false;
        }
        self.entries.retain(|e| e.epoch < epoch && e.start_offset < start_offset);
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The largest epoch at or below `epoch`, and the offset behind its last record (OffsetForLeaderEpoch). `None`
    /// where `epoch` is above all that are known, or below.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch == latest {
            return Some((epoch, log_end));
        }
        if epoch > latest || epoch < 0 {
            return None;
        }
        let above = self.entries.partition_point(|e| e.epoch <= epoch);
        let next = self.entries.get(above)?;
        match above.checked_sub(1) {
            Some(at) => Some((self.entries[at].epoch, next.start_offset)),
            // Older than all that are known: the log began with a later epoch, and diverges from its start.
            None => Some((epoch, next.start_offset)),
        }
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let at = self.entries.partition_point(|e| e.start_offset <= offset);
        at.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// Drops epochs that began at or behind `end`. Whether anything changed.
    pub fn truncate_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.start_offset < end);
        self.entries.len() != before
    }

    /// Drops epochs that ended at or before `start`; the one that `start` lies in then begins there. Whether anything
    /// changed.
    pub fn truncate_start(&mut self, start: Offset) -> bool {
        let keep = self.entries.partition_point(|e| e.start_offset <= start);
        let Some(first) = keep.checked_sub(1) else { return false };
        let changed = first > 0 || self.entries[first].start_offset < start;
        self.entries.drain(..first);
        self.entries[0].start_offset = start;
        changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::new();
        entries.iter().for_each(|(e, o)| assert!(cache.assign(*e, *o)));
        cache
    }

    #[test]
    fn ends_are_kafkas() {
        let c = cache(&[(2, 10), (4, 20), (7, 50)]);
        for (epoch, expected) in [
            (0, Some((0, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (4, Some((4, 50))),
            (6, Some((4, 50))),
            (7, Some((7, 99))),
            (8, None),
            (-1, None),
        ] {
            assert_eq!(c.end_offset_for(epoch, 99), expected, "{epoch}");
        }
        assert_eq!(EpochCache::new().end_offset_for(0, 5), None);
        assert_eq!([9, 10, 19, 20, 1000].map(|o| c.epoch_at(o)), [None, Some(2), Some(2), Some(4), Some(7)]);
    }

    #[test]
    fn a_later_leader_overrules() {
        let mut c = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(!c.assign(3, 25), "known");
        assert!(c.assign(4, 10));
        assert_eq!(c.entries(), cache(&[(1, 0), (4, 10)]).entries());
    }

    #[test]
    fn both_ends_are_cut() {
        let mut c = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(c.truncate_end(20));
        assert!(!c.truncate_end(20));
        assert_eq!(c.latest(), Some(2));
        assert!(c.truncate_start(15));
        assert_eq!(c.entries(), cache(&[(2, 15)]).entries());
        assert!(!c.truncate_start(5));
        assert_eq!(EpochCache::parse(&c.lines()).unwrap(), c);
        for bad in [vec!["1"], vec!["1 2 3"], vec!["x 1"], vec!["2 1", "1 2"], vec!["-1 0"]] {
            let bad: Vec<String> = bad.into_iter().map(str::to_owned).collect();
            assert!(EpochCache::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
