//! The invariants of one partition's replication, as asserts that stay on in release. A message begins with the id
//! of the invariant register:
//! - RP-1: (partition, offset) has one value for ever once below the high watermark. It follows from RP-2 and RP-5;
//!   the simulation's oracle checks it over several replicas.
//! - RP-2: the high watermark never falls on a leader, and never passes the smallest end of the ISR (flushed ends
//!   under [`FlushMode::BeforeAck`](crate::FlushMode)).
//! - RP-3: when `acks=all` is answered, every ISR member has the record, and they are at least
//!   `min.insync.replicas`.
//! - RP-4: a leader serves only after its epoch's start is committed.
//! - RP-5: a follower truncates only by leader epoch.
//!
//! Never enters: what to do about a breach. It is a bug, and the process must not go on acknowledging.

use millstream_types::{LeaderEpoch, Offset};

use crate::message::LogEnds;

/// A log's ends are in order.
pub(crate) fn ends_in_order(ends: &LogEnds) {
    assert!(
        0 <= ends.log_start && ends.log_start <= ends.log_end && ends.flushed_end <= ends.log_end,
        "LG-1: a log's ends must ascend: {ends:?}"
    );
}

/// RP-2, first half.
pub(crate) fn high_watermark_rises(old: Offset, new: Offset) {
    assert!(new >= old, "RP-2: a leader's high watermark fell from {old} to {new}");
}

/// TX-4: what a reader at `read_committed` has seen stays stable.
pub(crate) fn last_stable_offset_rises(old: Offset, new: Offset) {
    assert!(new >= old, "TX-4: the last stable offset fell from {old} to {new}");
}

/// RP-2, second half; `end` is a member's flushed or log end, as the flush mode says.
pub(crate) fn high_watermark_below(new: Offset, end: Offset, whose: i32) {
    assert!(new <= end, "RP-2: the high watermark {new} passes the end {end} of ISR member {whose}");
}

/// RP-3, at the moment of the answer.
pub(crate) fn acknowledged_is_committed(required: Offset, high_watermark: Offset) {
    assert!(
        required <= high_watermark,
        "RP-3: acks=all for offsets below {required} was to be answered at high watermark {high_watermark}"
    );
}

/// RP-4, at a read for a client.
pub(crate) fn epoch_start_committed(epoch_start: Offset, high_watermark: Offset) {
    assert!(
        epoch_start <= high_watermark,
        "RP-4: a leader serves at high watermark {high_watermark}, before its epoch's start {epoch_start} is committed"
    );
}

/// RP-5: a truncation came from a diverging answer of the present leader, and cuts, never grows.
pub(crate) fn truncation_by_epoch(
    answer_epoch: LeaderEpoch,
    epoch: LeaderEpoch,
    to: Offset,
    log_end: Offset,
) {
    assert!(
        answer_epoch == epoch && to <= log_end,
        "RP-5: truncation to {to} of a log that ends at {log_end}, on an answer of epoch {answer_epoch} in epoch {epoch}"
    );
}
