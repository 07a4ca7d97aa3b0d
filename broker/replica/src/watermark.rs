//! The high watermark and the last stable offset: this file is the only writer of both (RP-2, TX-4).
//! The last stable offset is the high watermark, or the first unstable offset (the first record of the oldest
//! transaction that is open, or whose marker is not committed; the log knows it) if that is smaller.
//! Never enters: who is in sync; that is `leader.rs`, which brings a candidate.

use millstream_types::Offset;

use crate::invariant;
use crate::message::LogEnds;

/// A partition's two watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    high_watermark: Offset,
    first_unstable: Option<Offset>,
}

impl Watermarks {
    /// From the checkpoint, put between the log's ends: a checkpoint is written now and then, so it may lie before
    /// the log's start, and after a crash beyond its end.
    pub(crate) fn new(checkpoint: Offset, ends: &LogEnds) -> Watermarks {
        Watermarks {
            high_watermark: checkpoint.clamp(ends.log_start, ends.log_end),
            first_unstable: ends.first_unstable,
        }
    }

    /// One past the last committed record.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// One past the last record that `read_committed` may see.
    pub fn last_stable_offset(&self) -> Offset {
        self.first_unstable.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// A leader found `candidate` to be in every in-sync replica. A smaller one than now is no news: a replica that
    /// joins the ISR may be behind what is known to be committed only in the leader's view of it. Returns whether
    /// the high watermark rose.
    pub(crate) fn lead(&mut self, candidate: Offset) -> bool {
        let new = candidate.max(self.high_watermark);
        invariant::high_watermark_rises(self.high_watermark, new);
        std::mem::replace(&mut self.high_watermark, new) < new
    }

    /// A follower heard the leader's high watermark; what it has not got yet is not committed for it. It never
    /// falls here, since an answer may be late.
    pub(crate) fn follow(&mut self, leaders: Offset, log_end: Offset) -> bool {
        let new = leaders.min(log_end).max(self.high_watermark);
        std::mem::replace(&mut self.high_watermark, new) < new
    }

    /// The log was cut, or begun anew, and now spans these offsets. Below the high watermark that happens only after
    /// an unclean election.
    pub(crate) fn truncated(&mut self, ends: &LogEnds) {
        *self = Watermarks::new(self.high_watermark, ends);
    }

    /// The log start rose; what is deleted was committed, or the follower starts anew behind it.
    pub(crate) fn log_start_rose(&mut self, log_start: Offset) {
        self.high_watermark = self.high_watermark.max(log_start);
    }

    /// The log's first unstable offset now. It comes together with the log end that it belongs to, or what a
    /// transaction has just begun to write would be stable for a moment.
    pub(crate) fn set_first_unstable(&mut self, first: Option<Offset>) {
        let before = self.last_stable_offset();
        self.first_unstable = first;
        invariant::last_stable_offset_rises(before, self.last_stable_offset());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stable_offset_is_the_smaller_of_both() {
        let ends =
            |log_end, first_unstable| LogEnds { log_start: 3, log_end, flushed_end: 3, first_unstable };
        let mut marks = Watermarks::new(100, &ends(10, None));
        assert_eq!((marks.high_watermark(), marks.last_stable_offset()), (10, 10));
        marks.set_first_unstable(Some(11));
        assert!(marks.lead(20));
        assert!(!marks.lead(15));
        assert_eq!((marks.high_watermark(), marks.last_stable_offset()), (20, 11));
        marks.truncated(&ends(5, None));
        assert_eq!((marks.high_watermark(), marks.last_stable_offset()), (5, 5));
    }
}
