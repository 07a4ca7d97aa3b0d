//! The metadata log as the quorum sees it: its ends, where each leader epoch begins, and the latest snapshot. Knows
//! whether another's log is a prefix of this one, and where this one must be cut (by epoch, never by the high
//! watermark). Never enters: records.

use millstream_types::{LeaderEpoch, Offset};

/// An epoch's first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// The offset of its first record.
    pub start_offset: Offset,
}

/// An epoch and one past its last offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// The first offset that is not of this epoch.
    pub end_offset: Offset,
}

/// A snapshot's name: it stands for all records before `end_offset`, the last of which is of `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// One past the last offset that it stands for.
    pub end_offset: Offset,
    /// The epoch of its last record.
    pub epoch: LeaderEpoch,
}

/// What a leader finds of a follower's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Its log is a prefix of this one, as far as epochs can tell.
    Prefix,
    /// The logs part.
    Diverging(EpochEnd),
    /// What it needs is no longer here.
    Snapshot(SnapshotId),
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct LogView {
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) flushed_end: Offset,
    epochs: Vec<EpochStart>,
    pub(crate) snapshot: Option<SnapshotId>,
}

impl LogView {
    pub(crate) fn new(
        log_start: Offset,
        log_end: Offset,
        epochs: Vec<EpochStart>,
        snapshot: Option<SnapshotId>,
    ) -> LogView {
        let ascending =
            epochs.windows(2).all(|w| w[0].epoch < w[1].epoch && w[0].start_offset <= w[1].start_offset);
        assert!(ascending, "RA-2: a log's leader epochs must ascend: {epochs:?}");
        assert!(
            0 <= log_start && log_start <= log_end && (log_start == 0 || snapshot.is_some()),
            "RA-3: a log from {log_start} to {log_end} without its beginning needs a snapshot"
        );
        LogView { log_start, log_end, flushed_end: log_end, epochs, snapshot }
    }

    /// The epoch of the last record, 0 for a log that never had one.
    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        let last = self.epochs.iter().rev().find(|entry| entry.start_offset < self.log_end);
        last.map(|entry| entry.epoch).or(self.snapshot.map(|id| id.epoch)).unwrap_or(0)
    }

    /// The highest epoch that the log knows of.
    pub(crate) fn highest_epoch(&self) -> LeaderEpoch {
        self.epochs.last().map_or(0, |entry| entry.epoch).max(self.snapshot.map_or(0, |id| id.epoch))
    }

    /// The largest epoch that is at most `epoch`, with its end.
    pub(crate) fn end_of_epoch(&self, epoch: LeaderEpoch) -> EpochEnd {
        let after = self.epochs.partition_point(|entry| entry.epoch <= epoch);
        if let Some(found) = self.epochs[..after].last() {
            let end_offset = self.epochs.get(after).map_or(self.log_end, |next| next.start_offset);
            return EpochEnd { epoch: found.epoch, end_offset };
        }
        match self.snapshot {
            Some(id) if id.epoch <= epoch => EpochEnd { epoch: id.epoch, end_offset: id.end_offset },
            _ => EpochEnd { epoch: 0, end_offset: self.log_start },
        }
    }

    /// The epoch of the record at `offset`, if it is here.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.epochs.partition_point(|entry| entry.start_offset <= offset);
        (offset >= self.log_start && offset < self.log_end)
            .then(|| self.epochs[..after].last().map(|entry| entry.epoch))
            .flatten()
    }

    pub(crate) fn position(&self, fetch_offset: Offset, last_fetched_epoch: LeaderEpoch) -> Position {
        if fetch_offset == 0 && self.log_start == 0 {
            return Position::Prefix;
        }
        if let Some(id) = self.snapshot {
            if fetch_offset == id.end_offset
                && last_fetched_epoch == id.epoch
                && fetch_offset >= self.log_start
            {
                return Position::Prefix;
            }
            if fetch_offset < self.log_start
                || (fetch_offset == self.log_start && last_fetched_epoch != id.epoch)
            {
                return Position::Snapshot(id);
            }
        }
        let end = self.end_of_epoch(last_fetched_epoch);
        if end.epoch == last_fetched_epoch && end.end_offset >= fetch_offset {
            return Position::Prefix;
        }
        match self.snapshot {
            // Where they part lies before the log's start: only the snapshot can tell.
            Some(id) if end.end_offset < self.log_start || end.epoch < id.epoch => Position::Snapshot(id),
            _ => Position::Diverging(end),
        }
    }

    /// Where to cut after a diverging answer.
    pub(crate) fn truncation_point(&self, leader: EpochEnd) -> Offset {
        let own = self.end_of_epoch(leader.epoch);
        let to =
            if own.epoch == leader.epoch { own.end_offset.min(leader.end_offset) } else { own.end_offset };
        to.clamp(self.log_start, self.log_end)
    }

    pub(crate) fn append(&mut self, epoch: LeaderEpoch, end_offset: Offset) {
        assert!(end_offset > self.log_end, "RA-3: an append must move the log end up from {}", self.log_end);
        assert!(
            epoch >= self.highest_epoch(),
            "RA-2: records of epoch {epoch} after {}",
            self.highest_epoch()
        );
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push(EpochStart { epoch, start_offset: self.log_end });
        }
        self.log_end = end_offset;
    }

    pub(crate) fn truncate(&mut self, to: Offset) {
        self.log_end = to;
        self.flushed_end = self.flushed_end.min(to);
        self.epochs.retain(|entry| entry.start_offset < to);
    }

    /// A snapshot stands for all before its end.
    pub(crate) fn trim(&mut self, id: SnapshotId) {
        self.snapshot = Some(id);
        self.log_start = id.end_offset;
        let first = self.epochs.partition_point(|entry| entry.start_offset <= id.end_offset);
        self.epochs.drain(..first.saturating_sub(1));
        if let Some(entry) = self.epochs.first_mut() {
            entry.start_offset = entry.start_offset.max(id.end_offset);
        }
        self.epochs.retain(|entry| entry.start_offset < self.log_end);
    }

    /// The log was begun anew behind a snapshot that was fetched.
    pub(crate) fn restart(&mut self, id: SnapshotId) {
        *self = LogView::new(id.end_offset, id.end_offset, Vec::new(), Some(id));
    }
}
