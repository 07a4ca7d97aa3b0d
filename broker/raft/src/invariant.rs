//! The invariants of the quorum, as asserts that stay on in release; a message begins with the id of the invariant
//! register:
//! - RA-1: one leader for an epoch. Here: elected by a majority, and in no epoch twice; over all nodes it is the
//!   simulation's oracle that checks it.
//! - RA-2: epochs never fall.
//! - RA-3: committed metadata never changes. Here: nothing below the high watermark is cut.
//! - RA-4: vote and epoch are durable before the answer leaves. Here: the order of a step's outputs.
//!
//! Never enters: what to do about a breach. It is a bug, and the node must not go on.

use millstream_types::{LeaderEpoch, Offset};

use crate::message::{Election, ReplicaKey};
use crate::planted::{Bug, planted};

pub(crate) fn elected_once(last_led: LeaderEpoch, epoch: LeaderEpoch, majority: bool) {
    assert!(
        epoch > last_led && majority,
        "RA-1: elected in epoch {epoch} after {last_led}, by a majority: {majority}"
    );
}

pub(crate) fn epoch_rises(old: LeaderEpoch, new: LeaderEpoch) {
    assert!(new >= old, "RA-2: the epoch fell from {old} to {new}");
}

pub(crate) fn truncation_above(to: Offset, high_watermark: Offset) {
    assert!(to >= high_watermark, "RA-3: a cut to {to} below the high watermark {high_watermark}");
}

pub(crate) fn watermark_in_log(high_watermark: Offset, log_end: Offset) {
    assert!(
        high_watermark <= log_end,
        "RA-3: the high watermark {high_watermark} is beyond the log's end {log_end}"
    );
}

pub(crate) fn durable_before_sent(epoch: LeaderEpoch, durable: &Election) {
    assert!(
        planted(Bug::VoteNotPersisted) || epoch <= durable.epoch,
        "RA-4: an answer in epoch {epoch} leaves while epoch {} is on disk",
        durable.epoch
    );
}

pub(crate) fn vote_durable(epoch: LeaderEpoch, voted: Option<ReplicaKey>, durable: &Election) {
    assert!(
        planted(Bug::VoteNotPersisted) || (epoch == durable.epoch && voted == durable.voted),
        "RA-4: a vote for {voted:?} in epoch {epoch} leaves while {durable:?} is on disk"
    );
}
