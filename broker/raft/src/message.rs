//! What goes into and comes out of a [`Quorum`](crate::Quorum): plain values. A shell turns the requests and
//! responses into the wire's (Vote 52, BeginQuorumEpoch 53, EndQuorumEpoch 54, Fetch 1, FetchSnapshot 59), and
//! checks the cluster's id on the way in. Never enters: rules.

use bytes::Bytes;
use millstream_types::{ErrorCode, LeaderEpoch, Millis, NodeId, Offset, Uuid};

use crate::log_view::{EpochEnd, EpochStart, SnapshotId};

/// A replica of the metadata log: a node with the directory that the log lies in. A node that lost its disk is
/// another replica, and must not vote with what it no longer remembers (KIP-853).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The node.
    pub id: NodeId,
    /// Its directory; [`Uuid::ZERO`] where it is not known.
    pub directory_id: Uuid,
}

/// What a quorum's member remembers through a crash: the content of `quorum-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Election {
    /// The epoch; it never falls (RA-2).
    pub epoch: LeaderEpoch,
    /// The leader of the epoch, once known.
    pub leader: Option<NodeId>,
    /// Whom this replica voted for in the epoch.
    pub voted: Option<ReplicaKey>,
}

/// A request between members. Every one of them carries its sender's idea of the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// "Vote for me", or with `pre_vote` "would you?" (KIP-996).
    Vote {
        /// The candidate's epoch; for a pre-vote the one that it is in, not the next.
        epoch: LeaderEpoch,
        /// Who asks.
        candidate: ReplicaKey,
        /// Whom it asks; a replica that is another by now refuses. `None` below version 1.
        voter: Option<ReplicaKey>,
        /// The epoch of the candidate's last record.
        last_epoch: LeaderEpoch,
        /// The candidate's log end.
        last_offset: Offset,
        /// Whether the vote would not bind.
        pre_vote: bool,
    },
    /// "I lead this epoch."
    BeginEpoch {
        /// The leader.
        leader: NodeId,
        /// Its epoch.
        epoch: LeaderEpoch,
    },
    /// "I no longer lead this epoch."
    EndEpoch {
        /// Who led.
        leader: NodeId,
        /// The epoch.
        epoch: LeaderEpoch,
        /// Who should stand first, best first.
        preferred: Vec<NodeId>,
    },
    /// "Send me what follows", which says too that all before is flushed here.
    Fetch {
        /// Who asks.
        replica: ReplicaKey,
        /// The epoch that it believes in.
        epoch: LeaderEpoch,
        /// Its log end.
        fetch_offset: Offset,
        /// The epoch of its last record, 0 for an empty log.
        last_fetched_epoch: LeaderEpoch,
        /// The high watermark that it knows (KIP-1166); [`Offset::MAX`] where the version has none.
        high_watermark: Offset,
        /// How long the answer may wait for something new.
        max_wait_ms: Millis,
    },
    /// "Send me a piece of this snapshot."
    FetchSnapshot {
        /// Who asks.
        replica: ReplicaKey,
        /// The epoch that it believes in.
        epoch: LeaderEpoch,
        /// Which.
        id: SnapshotId,
        /// From which byte on.
        position: u64,
    },
}

/// Consecutive records of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The first record's offset.
    pub base_offset: Offset,
    /// One past the last record's offset.
    pub end_offset: Offset,
    /// The epoch of the leader that wrote them.
    pub epoch: LeaderEpoch,
    /// The batch as it lies in the log; opaque here.
    pub bytes: Bytes,
}

/// The answer to a request. `epoch` and `leader` are the answerer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What went wrong, [`ErrorCode::None`] for nothing.
    pub error: ErrorCode,
    /// The answerer's epoch.
    pub epoch: LeaderEpoch,
    /// The leader that the answerer knows.
    pub leader: Option<NodeId>,
    /// What belongs to the kind of request.
    pub body: ResponseBody,
}

/// See [`Response`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// To a vote request.
    Vote {
        /// Whether it was granted.
        granted: bool,
    },
    /// To BeginEpoch, EndEpoch, and to whatever failed.
    Empty,
    /// To a fetch.
    Fetch {
        /// The leader's high watermark.
        high_watermark: Offset,
        /// Where the logs part, instead of records.
        diverging: Option<EpochEnd>,
        /// The snapshot to fetch instead, since what was asked for is no longer in the log.
        snapshot: Option<SnapshotId>,
        /// What follows.
        batches: Vec<Batch>,
    },
    /// To a fetch of a snapshot.
    Snapshot {
        /// Which.
        id: SnapshotId,
        /// Its size in all.
        size: u64,
        /// Where `bytes` belong.
        position: u64,
        /// The piece.
        bytes: Bytes,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed; nothing else. The first step of a quorum's life is this.
    Tick,
    /// A request came; `id` is the shell's, and comes back with the answer.
    Request {
        /// For the answer.
        id: u64,
        /// What came.
        request: Request,
    },
    /// An answer to a request that was sent with this id.
    Response {
        /// The id of [`Output::Send`].
        id: u64,
        /// What came.
        response: Response,
    },
    /// The request with this id did not go out, or its connection broke.
    Failed {
        /// The id of [`Output::Send`].
        id: u64,
    },
    /// Append this to the metadata log, if this node leads `epoch`.
    Propose {
        /// The shell's, for [`Output::Refused`].
        id: u64,
        /// The epoch in which the records were decided.
        epoch: LeaderEpoch,
        /// How many offsets the batch takes.
        records: u32,
        /// The batch; its base offset and epoch are set by whoever writes it.
        bytes: Bytes,
    },
    /// The flush of this ticket is done, and with it those of earlier tickets.
    Flushed {
        /// The ticket of [`Output::Flush`].
        ticket: u64,
    },
    /// The shell has made a snapshot of committed records, durably.
    SnapshotMade {
        /// Its name.
        id: SnapshotId,
    },
    /// The snapshot that was fetched is complete, checked and durable, and the log was begun anew behind it; or it
    /// was found bad and is gone.
    SnapshotInstalled {
        /// Its name.
        id: SnapshotId,
        /// Whether it is good.
        good: bool,
    },
    /// Give up leadership, if it is held, in order.
    Resign,
}

/// What to do. The outputs of a step are done in their order, and each is finished before the next begins: above
/// all nothing goes out before a [`Output::Persist`] in front of it is on disk (RA-4). Only [`Output::Flush`] may
/// go on by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write `quorum-state`, durably.
    Persist(Election),
    /// Send a request to a member; its answer comes back with this id.
    Send {
        /// For the answer.
        id: u64,
        /// To whom.
        to: NodeId,
        /// What.
        request: Request,
    },
    /// Answer the request with this id.
    Reply {
        /// The id of [`Input::Request`].
        id: u64,
        /// What.
        response: Response,
    },
    /// Answer the fetch with this id: whole batches from `from` on, as many as fit, none if there are none.
    ReplyRecords {
        /// The id of [`Input::Request`].
        id: u64,
        /// The first offset that is asked for.
        from: Offset,
        /// The answer, whose batches are to be filled in.
        response: Response,
    },
    /// Answer the fetch of a snapshot with this id: bytes from `position` on (POSITION_OUT_OF_RANGE beyond its size).
    ReplySnapshot {
        /// The id of [`Input::Request`].
        id: u64,
        /// Which snapshot.
        snapshot: SnapshotId,
        /// From which byte on.
        position: u64,
        /// The answer, whose size and bytes are to be filled in.
        response: Response,
    },
    /// Append to the log.
    Append(Batch),
    /// Append a LeaderChange control record, one offset, as the first of this epoch.
    AppendLeaderChange {
        /// Its offset.
        base_offset: Offset,
        /// The epoch.
        epoch: LeaderEpoch,
        /// All voters.
        voters: Vec<ReplicaKey>,
        /// Those who voted for the leader.
        granting: Vec<ReplicaKey>,
    },
    /// Flush the log, then tell with [`Input::Flushed`]. May go on while other outputs are done.
    Flush {
        /// For the report.
        ticket: u64,
        /// One past the last record that it must cover.
        up_to: Offset,
    },
    /// Cut the log to end at this offset, its leader epochs too.
    Truncate {
        /// The new end.
        to: Offset,
    },
    /// Delete the log, and older snapshots, before this offset, which a snapshot ends at.
    Trim {
        /// The new log start.
        log_start: Offset,
    },
    /// Write a piece of a snapshot that is being fetched; position 0 begins it anew.
    WriteSnapshot {
        /// Which.
        id: SnapshotId,
        /// Where.
        position: u64,
        /// What.
        bytes: Bytes,
    },
    /// All pieces are there: check it, make it durable, begin the log anew at its end (its leader epochs too), and
    /// tell with [`Input::SnapshotInstalled`] before any other input.
    InstallSnapshot {
        /// Which.
        id: SnapshotId,
    },
    /// The leader, or the epoch, is another; `None` while there is no leader.
    LeaderChanged {
        /// The epoch.
        epoch: LeaderEpoch,
        /// Its leader.
        leader: Option<NodeId>,
    },
    /// This node leads, and its epoch's start is committed: it may serve (RP-4).
    Serving {
        /// The epoch.
        epoch: LeaderEpoch,
        /// The offset of its LeaderChange record.
        epoch_start: Offset,
    },
    /// This node led, and does not any more: drop what was decided and not committed.
    Resigned {
        /// The epoch that it led.
        epoch: LeaderEpoch,
    },
    /// All before this offset is committed (RA-3).
    Committed {
        /// The high watermark.
        high_watermark: Offset,
    },
    /// A proposal was not appended.
    Refused {
        /// The id of [`Input::Propose`].
        id: u64,
        /// The leader that is known.
        leader: Option<NodeId>,
    },
}

/// What a node finds when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The content of `quorum-state`; the default where there is none yet.
    pub election: Election,
    /// The first offset of the log.
    pub log_start: Offset,
    /// One past the last record that recovery kept; all of it flushed.
    pub log_end: Offset,
    /// The log's leader epochs.
    pub epochs: Vec<EpochStart>,
    /// The latest snapshot. Where `log_start` is above 0 it ends there, or later.
    pub snapshot: Option<SnapshotId>,
}

/// A replica in the answer to DescribeQuorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// The replica.
    pub key: ReplicaKey,
    /// Its log end as of its last fetch, -1 if it has not fetched.
    pub log_end: Offset,
    /// When it fetched last, -1 for never.
    pub last_fetch_ms: Millis,
    /// When it was last level with the leader, -1 for never.
    pub last_caught_up_ms: Millis,
}

/// The answer to DescribeQuorum; voters and observers only from a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The leader.
    pub leader: Option<NodeId>,
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The voters.
    pub voters: Vec<ReplicaState>,
    /// The other replicas that fetch.
    pub observers: Vec<ReplicaState>,
}
