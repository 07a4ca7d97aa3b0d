//! Consumer groups, decided without being done: the classic protocol, the consumer protocol of KIP-848, and the
//! offsets of both. [`Coordinator::step`] takes an [`Input`] and returns [`Outcome`]s: records for
//! `__consumer_offsets`, and answers that leave once those are committed.
//!
//! What a shell must do, in this order:
//! 1. append an outcome's records to its shard's partition of `__consumer_offsets`, as one batch (a transactional
//!    one where it names a producer), in the order of the outcomes;
//! 2. when the partition's high watermark has passed everything appended to that shard so far, send the answers (an
//!    outcome without records waits too: it may speak of state that is not yet committed);
//! 3. where an append fails, unload the shard ([`Input::Unload`]), answer what waits with
//!    COORDINATOR_NOT_AVAILABLE, and load it again from the log.
//!
//! The shell also does what needs more than groups: topic ids to names and back, UNKNOWN_TOPIC_OR_PARTITION and
//! authorization before a request comes here; and forms of old versions after an answer leaves (JoinGroup below 7 has
//! `""` where an answer says `None` for the protocol's name; OffsetFetch below 8 has one group, below 2 no error of
//! its own; DescribeGroups below 6 has no GROUP_ID_NOT_FOUND). It sends [`Input::TopicsChanged`] with every new
//! image: it is by that that new and deleted topics are seen.
//!
//! Not here: groups whose members speak both protocols (a group changes its protocol when it has no members), rack
//! awareness, share and streams groups, whose records are passed over and counted.
//!
//! Invariants: GR-1, a partition has at most one owner in a group (asserted where ownership is taken); GR-2, an offset
//! is taken only from who owned the partition in that epoch. Never enters: sockets, clocks, and where a log starts
//! (a pinned offset leaves as such and the shell puts the log's start in).

pub mod assignor;
pub mod baseline;
pub mod classic;
pub mod consumer;
pub mod coordinator;
pub mod describe;
pub mod message;
pub mod offsets;
pub mod record;
mod shard;
mod stored;

pub use coordinator::Coordinator;
pub use message::{
    Answer, Caller, Config, Input, LOG_START, LogRecord, Outcome, Request, Token, TopicView, Topics,
};
