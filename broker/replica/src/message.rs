//! What goes into and comes out of a [`Partition`](crate::Partition): plain values. Never enters: rules.

use millstream_types::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::epoch_cache::EpochEnd;
use crate::purgatory::Bounds;

/// What counts as an end when the high watermark is computed (`flush.mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Flushed ends: an acknowledged record survives a loss of power. The default.
    BeforeAck,
    /// Log ends, as Kafka: the log is flushed at intervals, and replication carries the promise.
    Interval,
}

/// The settings of one partition's replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// `flush.mode`.
    pub flush_mode: FlushMode,
    /// `min.insync.replicas`: fewer in-sync replicas than this (or than there are replicas, if those are fewer)
    /// refuse `acks=all` and hold the high watermark (KIP-966). At least 1.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`: a follower that has not been level with the leader for longer leaves the ISR.
    pub replica_lag_time_max_ms: i64,
}

impl Default for ReplicaConfig {
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            flush_mode: FlushMode::BeforeAck,
            min_insync_replicas: 1,
            replica_lag_time_max_ms: 30_000,
        }
    }
}

/// Where this replica's own log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnds {
    /// The first offset that is still there.
    pub log_start: Offset,
    /// One past the last record appended.
    pub log_end: Offset,
    /// One past the last record that an fsync has covered; never above `log_end`.
    pub flushed_end: Offset,
    /// The first record of the oldest transaction that is open, or whose marker is not committed.
    pub first_unstable: Option<Offset>,
}

/// Whether a leader came from an unclean election whose data loss is still to be told (`LeaderRecoveryState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderRecovery {
    /// Elected from the ISR or from the eligible leader replicas.
    Recovered,
    /// Elected uncleanly; nobody may join the ISR until the leader has said that it has recovered.
    Recovering,
}

/// The cluster metadata of one partition, as its image has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMeta {
    /// The leader, or [`NodeId::NONE`].
    pub leader: NodeId,
    /// The leader's broker epoch in the same image, -1 without a leader. A broker that has restarted meets metadata
    /// from before, which calls it the leader of an epoch that it led with records it may have lost since.
    pub leader_broker_epoch: i64,
    /// Rises by one with each change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Rises by one with each change of the partition; AlterPartition compares it.
    pub partition_epoch: i32,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// See [`LeaderRecovery`].
    pub leader_recovery: LeaderRecovery,
}

/// What [`Partition::apply`](crate::Partition::apply) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleChange {
    /// The metadata was not newer, or changed nothing but the ISR.
    Unchanged,
    /// This node leads from here on. The log's leader-epoch file gets `(epoch, epoch_start)` before any append.
    BecameLeader {
        /// The leader epoch to stamp on batches.
        epoch: LeaderEpoch,
        /// The log end at this moment: what must be committed before the leader serves (RP-4).
        epoch_start: Offset,
    },
    /// This node follows, and fetches from `leader` (none to fetch from if it is [`NodeId::NONE`]).
    BecameFollower {
        /// Whom to fetch from.
        leader: NodeId,
        /// The leader epoch to send along.
        epoch: LeaderEpoch,
    },
    /// This node has no replica of the partition any more.
    Stopped,
}

/// A producer's `acks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 0: no answer.
    None,
    /// 1: the leader has it (flushed, with [`FlushMode::BeforeAck`]).
    Leader,
    /// -1: every in-sync replica has it, and they are at least `min.insync.replicas`.
    All,
}

impl Acks {
    /// Reads the wire's number; [`ErrorCode::InvalidRequiredAcks`] for any but -1, 0 and 1.
    pub fn from_wire(acks: i16) -> Result<Acks, ErrorCode> {
        match acks {
            -1 => Ok(Acks::All),
            0 => Ok(Acks::None),
            1 => Ok(Acks::Leader),
            _ => Err(ErrorCode::InvalidRequiredAcks),
        }
    }
}

/// Who reads, which decides how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAs {
    /// A consumer at `read_uncommitted`: up to the high watermark.
    Uncommitted,
    /// A consumer at `read_committed`: up to the last stable offset.
    Committed,
    /// A follower: up to the log end.
    Replica,
}

/// A follower's fetch of one partition, as it reaches the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The follower.
    pub replica: NodeId,
    /// Its broker epoch, -1 where the request's version has none.
    pub broker_epoch: i64,
    /// The leader epoch that it believes in; `None` where the request's version has none.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Its log end: all before it is in its log (and flushed, with [`FlushMode::BeforeAck`]).
    pub fetch_offset: Offset,
    /// The epoch of its last record; `None` if its log is empty or the version has none.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What a leader answers to a follower's fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// Send records from `fetch_offset` on, as far as there are any.
    Accepted(Progress),
    /// The logs differ: send this instead of records, and the follower truncates (KIP-595's DivergingEpoch).
    Diverging(EpochEnd),
    /// `fetch_offset` lies before the leader's log start: OFFSET_OUT_OF_RANGE.
    OutOfRange,
}

/// Whether a broker may be in an ISR, from the cluster metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerStanding {
    /// Its broker epoch; a fetch with an older one is a zombie's.
    pub broker_epoch: i64,
    /// Registered, not fenced, not shutting down.
    pub in_service: bool,
}

/// A member of a proposed ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsrMember {
    /// The broker.
    pub node: NodeId,
    /// The broker epoch in which it was seen in sync (KIP-903), -1 if unknown.
    pub broker_epoch: i64,
}

/// A leader's wish to change the ISR: one partition of an AlterPartition request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterIsr {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that the change starts from.
    pub partition_epoch: i32,
    /// The whole new ISR, ascending.
    pub new_isr: Vec<IsrMember>,
    /// What to set the recovery state to.
    pub leader_recovery: LeaderRecovery,
}

/// The controller's answer to an [`AlterIsr`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterIsrAnswer {
    /// The partition as it now is.
    Accepted(PartitionMeta),
    /// The error, of the request or of the partition. A shell that cannot reach the controller repeats the request
    /// itself, after a pause.
    Refused(ErrorCode),
}

/// What moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where all stands now; for [`Purgatory::advance`](crate::Purgatory::advance).
    pub bounds: Bounds,
    /// Whether the high watermark rose.
    pub high_watermark_rose: bool,
    /// Send this to the controller.
    pub alter_isr: Option<AlterIsr>,
}
