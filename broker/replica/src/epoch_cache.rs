//! The rules over a log's leader epochs: where an epoch ends, whether a follower's log parted from the leader's,
//! and where to cut (RP-5; KIP-101, KIP-279, KIP-320). The entries themselves belong to the log, which keeps them in
//! `leader-epoch-checkpoint`; here they are read as a slice. Never enters: the high watermark, which must never
//! decide a truncation.

use millstream_types::{LeaderEpoch, Offset};

/// An epoch's first offset, an entry of `leader-epoch-checkpoint`. A log's entries ascend in both fields.
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

/// The largest epoch that is at most `epoch`, with its end (OffsetForLeaderEpoch's answer). `None` where the log
/// knows no epoch that small.
pub fn end_of_epoch(entries: &[EpochStart], log_end: Offset, epoch: LeaderEpoch) -> Option<EpochEnd> {
    let after = entries.partition_point(|entry| entry.epoch <= epoch);
    let found = entries[..after].last()?;
    let end_offset = entries.get(after).map_or(log_end, |next| next.start_offset);
    Some(EpochEnd { epoch: found.epoch, end_offset })
}

/// The epoch of the last record, `None` for a log without one. An epoch that was begun at the log end, and has
/// written nothing yet, does not count.
pub fn last_epoch(entries: &[EpochStart], log_end: Offset) -> Option<LeaderEpoch> {
    entries.iter().rev().find(|entry| entry.start_offset < log_end).map(|entry| entry.epoch)
}

/// A leader's check of a follower's position: `None` if the follower's log is a prefix of the leader's, as far as
/// epochs can tell, else what to answer so that it truncates.
pub fn divergence(
    entries: &[EpochStart],
    log_end: Offset,
    fetch_offset: Offset,
    last_fetched_epoch: LeaderEpoch,
) -> Option<EpochEnd> {
    match end_of_epoch(entries, log_end, last_fetched_epoch) {
        Some(end) if end.epoch == last_fetched_epoch && end.end_offset >= fetch_offset => None,
        Some(end) => Some(end),
        // The leader has nothing of that age: all of it is before the leader's first entry.
        None => Some(EpochEnd {
            epoch: last_fetched_epoch,
            end_offset: entries.first().map_or(log_end, |first| first.start_offset).min(fetch_offset),
        }),
    }
}

/// Where a follower cuts after a diverging answer. It may take several rounds: each one drops at least an epoch.
pub fn truncation_point(entries: &[EpochStart], log_end: Offset, leader: EpochEnd) -> Offset {
    match end_of_epoch(entries, log_end, leader.epoch) {
        Some(own) if own.epoch == leader.epoch => own.end_offset.min(leader.end_offset),
        // The leader's epoch is unknown here: cut to the end of the last older one, and ask again from there.
        Some(own) => own.end_offset,
        None => leader.end_offset,
    }
    .min(log_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: &[EpochStart] = &[
        EpochStart { epoch: 0, start_offset: 0 },
        EpochStart { epoch: 2, start_offset: 5 },
        EpochStart { epoch: 4, start_offset: 9 },
    ];

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let end = |epoch| end_of_epoch(LEADER, 12, epoch).map(|e| (e.epoch, e.end_offset));
        assert_eq!(end(-1), None);
        assert_eq!(end(0), Some((0, 5)));
        assert_eq!(end(1), Some((0, 5)));
        assert_eq!(end(2), Some((2, 9)));
        assert_eq!(end(9), Some((4, 12)));
        assert_eq!(last_epoch(LEADER, 12), Some(4));
        assert_eq!(last_epoch(LEADER, 9), Some(2));
        assert_eq!(last_epoch(&[], 0), None);
    }

    #[test]
    fn a_follower_that_parted_is_told_where() {
        assert_eq!(divergence(LEADER, 12, 12, 4), None);
        assert_eq!(divergence(LEADER, 12, 7, 2), None);
        // Its epoch 2 went further than the leader's.
        assert_eq!(divergence(LEADER, 12, 11, 2), Some(EpochEnd { epoch: 2, end_offset: 9 }));
        // Epoch 3 never reached this leader.
        assert_eq!(divergence(LEADER, 12, 11, 3), Some(EpochEnd { epoch: 2, end_offset: 9 }));
    }

    #[test]
    fn a_follower_cuts_to_what_both_have() {
        let own = [EpochStart { epoch: 0, start_offset: 0 }, EpochStart { epoch: 3, start_offset: 4 }];
        // The leader's epoch 2 is not here: back to the end of epoch 0, then ask again.
        assert_eq!(truncation_point(&own, 8, EpochEnd { epoch: 2, end_offset: 9 }), 4);
        assert_eq!(truncation_point(&own, 8, EpochEnd { epoch: 3, end_offset: 6 }), 6);
        assert_eq!(truncation_point(&own, 8, EpochEnd { epoch: 3, end_offset: 60 }), 8);
        assert_eq!(truncation_point(&[], 8, EpochEnd { epoch: 3, end_offset: 2 }), 2);
    }
}
