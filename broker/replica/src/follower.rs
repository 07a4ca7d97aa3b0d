//! A follower's side of one partition: where to fetch from, when a flush must come first, and where to cut when the
//! leader's epochs differ (RP-5). Never enters: the appending and cutting itself, which the log does.

use millstream_types::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::epoch_cache::{self, EpochEnd, EpochStart};
use crate::invariant;
use crate::message::{FlushMode, LogEnds, ReplicaConfig};

/// A follower's state for one leader epoch.
#[derive(Clone, Debug)]
pub struct Follower {
    pub(crate) leader: NodeId,
    pub(crate) epoch: LeaderEpoch,
}

/// What a follower does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextFetch {
    /// Nobody leads: wait for metadata.
    NoLeader,
    /// Flush the log first: under [`FlushMode::BeforeAck`] a fetch says that all before its offset is flushed.
    Flush,
    /// Fetch from `leader`.
    Fetch {
        /// The leader.
        leader: NodeId,
        /// Our leader epoch, so that a leader that is ahead or behind says so.
        current_leader_epoch: LeaderEpoch,
        /// Our log end.
        fetch_offset: Offset,
        /// The epoch of our last record, `None` for an empty log.
        last_fetched_epoch: Option<LeaderEpoch>,
        /// Our log start, for the leader's view of what may be deleted.
        log_start: Offset,
    },
}

/// The leader's answer to a follower's fetch, without the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    /// The epoch that the fetch was sent in.
    pub sent_in_epoch: LeaderEpoch,
    /// Its error, [`ErrorCode::None`] for none.
    pub error: ErrorCode,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The leader's log start.
    pub log_start: Offset,
    /// Where the logs part.
    pub diverging: Option<EpochEnd>,
}

/// What a follower does with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerAction {
    /// Append the records that came, if any, at the log end; then report it with
    /// [`Partition::appended_from_leader`](crate::Partition::appended_from_leader), with this high watermark.
    Append {
        /// The leader's high watermark.
        leaders_high_watermark: Offset,
        /// Delete what lies before, if our log start is smaller.
        leaders_log_start: Offset,
    },
    /// Cut the log to end at `to`, its leader-epoch file too, durably; then
    /// [`Partition::log_cut`](crate::Partition::log_cut). Drop records that came along.
    Truncate {
        /// The new log end.
        to: Offset,
    },
    /// Delete the whole log and begin at `at`: the leader no longer has what would follow ours. Then
    /// [`Partition::log_cut`](crate::Partition::log_cut).
    StartOver {
        /// The new log's start and end.
        at: Offset,
    },
    /// The answer is of no use: of an older epoch, or an error that a retry after a pause cures.
    Retry,
    /// The leader has another epoch than we: wait for metadata, and then fetch again.
    AwaitMetadata,
    /// The leader's log start is needed: ask it (ListOffsets, earliest), then give the answer again with
    /// `log_start` filled and [`ErrorCode::OffsetOutOfRange`].
    AskLogStart,
}

impl Follower {
    pub(crate) fn next_fetch(
        &self,
        ends: &LogEnds,
        epochs: &[EpochStart],
        config: &ReplicaConfig,
    ) -> NextFetch {
        if self.leader == NodeId::NONE {
            return NextFetch::NoLeader;
        }
        if config.flush_mode == FlushMode::BeforeAck && ends.flushed_end < ends.log_end {
            return NextFetch::Flush;
        }
        NextFetch::Fetch {
            leader: self.leader,
            current_leader_epoch: self.epoch,
            fetch_offset: ends.log_end,
            last_fetched_epoch: epoch_cache::last_epoch(epochs, ends.log_end),
            log_start: ends.log_start,
        }
    }

    pub(crate) fn answer(
        &self,
        answer: &FetchAnswer,
        ends: &LogEnds,
        epochs: &[EpochStart],
    ) -> FollowerAction {
        if answer.sent_in_epoch != self.epoch {
            return FollowerAction::Retry;
        }
        match answer.error {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange if answer.log_start > ends.log_end => {
                return FollowerAction::StartOver { at: answer.log_start };
            }
            // With epochs in each fetch a leader answers out of range only below its log start.
            ErrorCode::OffsetOutOfRange if answer.log_start < 0 => return FollowerAction::AskLogStart,
            ErrorCode::FencedLeaderEpoch
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId => return FollowerAction::AwaitMetadata,
            _ => return FollowerAction::Retry,
        }
        if let Some(leader) = answer.diverging {
            let to = epoch_cache::truncation_point(epochs, ends.log_end, leader);
            invariant::truncation_by_epoch(answer.sent_in_epoch, self.epoch, to, ends.log_end);
            return FollowerAction::Truncate { to: to.max(ends.log_start) };
        }
        FollowerAction::Append {
            leaders_high_watermark: answer.high_watermark,
            leaders_log_start: answer.log_start,
        }
    }
}
