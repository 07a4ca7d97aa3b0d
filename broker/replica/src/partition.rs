//! One partition on one node: its role, its log's ends, its watermarks. The switch between roles follows the leader
//! epochs of the metadata.
//!
//! Legal transitions (by [`Partition::apply`], only to a higher leader epoch, or from `Stopped`):
//! - `Stopped -> Leader`, `Follower -> Leader`, `Leader -> Leader` (elected again): the metadata names this node.
//! - `Stopped -> Follower`, `Leader -> Follower`, `Follower -> Follower`: it names another, or none.
//! - `Leader -> Stopped`, `Follower -> Stopped`: this node is no replica any more.
//!
//! Keeps RP-2 (with `watermark.rs`), RP-3 and RP-4. Never enters: the log, the network.

use millstream_types::{ErrorCode, LeaderEpoch, Millis, NodeId, Offset};

use crate::epoch_cache::{self, EpochStart};
use crate::follower::{FetchAnswer, Follower, FollowerAction, NextFetch};
use crate::invariant;
use crate::isr::AfterRefusal;
use crate::leader::Leader;
use crate::message::{
    Acks, AlterIsr, AlterIsrAnswer, BrokerStanding, FetchOutcome, FlushMode, FollowerFetch, LogEnds,
    PartitionMeta, Progress, ReadAs, ReplicaConfig, RoleChange,
};
use crate::planted::{Bug, planted};
use crate::purgatory::{Bound, Bounds, WaitFor};
use crate::watermark::Watermarks;

/// What this node is to the partition.
#[derive(Clone, Debug)]
enum Role {
    Stopped,
    Leader(Leader),
    Follower(Follower),
}

/// One partition's replication state on one node.
#[derive(Clone, Debug)]
pub struct Partition {
    me: NodeId,
    broker_epoch: i64,
    config: ReplicaConfig,
    ends: LogEnds,
    watermarks: Watermarks,
    role: Role,
    /// The highest leader epoch that was applied.
    leader_epoch: LeaderEpoch,
}

impl Partition {
    /// A partition of the broker `me` whose log was just opened. `broker_epoch` is that of the present registration,
    /// -1 before it is known; `checkpoint` is the high watermark that was last written down, or 0.
    pub fn new(
        me: NodeId,
        broker_epoch: i64,
        config: ReplicaConfig,
        ends: LogEnds,
        checkpoint: Offset,
    ) -> Partition {
        invariant::ends_in_order(&ends);
        let watermarks = Watermarks::new(checkpoint, &ends);
        Partition { me, broker_epoch, config, ends, watermarks, role: Role::Stopped, leader_epoch: -1 }
    }

    /// This broker has registered, with this epoch. Until then it leads nothing.
    pub fn registered(&mut self, broker_epoch: i64) {
        self.broker_epoch = broker_epoch;
    }

    /// Takes new settings; they hold from the next call on.
    pub fn configure(&mut self, config: ReplicaConfig) {
        self.config = config;
    }

    /// Where the partition stands.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            log_end: self.ends.log_end,
            flushed_end: self.ends.flushed_end,
            high_watermark: self.watermarks.high_watermark(),
            last_stable_offset: self.watermarks.last_stable_offset(),
        }
    }

    /// What the high watermark's checkpoint should hold.
    pub fn checkpoint(&self) -> Offset {
        self.watermarks.high_watermark()
    }

    /// The watermarks.
    pub fn watermarks(&self) -> &Watermarks {
        &self.watermarks
    }

    /// The highest leader epoch seen, -1 before the first metadata.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The leader's state, if this node leads.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::Stopped => None,
        }
    }

    /// Whom this node follows, [`NodeId::NONE`] for nobody yet; `None` if it does not follow.
    pub fn following(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => Some(follower.leader),
            Role::Leader(_) | Role::Stopped => None,
        }
    }

    /// Whether this node leads and the ISR is below `min.insync.replicas` (a metric).
    pub fn is_under_min_isr(&self) -> bool {
        self.leader().is_some_and(|leader| leader.under_min_isr(&self.config))
    }

    /// Takes up the metadata of the partition. An older leader epoch changes nothing. Metadata that calls this
    /// broker the leader by an earlier registration makes it follow nobody, until newer comes: it must not write
    /// again into an epoch of which it may have lost records that others have (RP-1).
    pub fn apply(&mut self, now: Millis, meta: &PartitionMeta) -> (RoleChange, Progress) {
        let change = self.switch(now, meta);
        let progress = self.advance(now, None);
        (change, progress)
    }

    fn switch(&mut self, now: Millis, meta: &PartitionMeta) -> RoleChange {
        let stopped = matches!(self.role, Role::Stopped);
        if meta.leader_epoch < self.leader_epoch {
            return RoleChange::Unchanged;
        }
        if !meta.replicas.contains(&self.me) {
            self.leader_epoch = meta.leader_epoch;
            self.role = Role::Stopped;
            return if stopped { RoleChange::Unchanged } else { RoleChange::Stopped };
        }
        if meta.leader_epoch == self.leader_epoch && !stopped {
            if let Role::Leader(leader) = &mut self.role {
                leader.update(self.me, now, meta);
            }
            return RoleChange::Unchanged;
        }
        self.leader_epoch = meta.leader_epoch;
        let mut leader = meta.leader;
        if leader == self.me && meta.leader_broker_epoch != self.broker_epoch && !planted(Bug::LeadEpochTwice)
        {
            leader = NodeId::NONE;
        }
        if leader == self.me {
            let epoch_start = self.ends.log_end;
            self.role = Role::Leader(Leader::new(self.me, now, meta, epoch_start));
            return RoleChange::BecameLeader { epoch: meta.leader_epoch, epoch_start };
        }
        self.role = Role::Follower(Follower { leader, epoch: meta.leader_epoch });
        RoleChange::BecameFollower { leader, epoch: meta.leader_epoch }
    }

    /// This node's replica is taken down, for now or for ever (its topic was deleted, its disk went offline).
    pub fn stop(&mut self) {
        self.role = Role::Stopped;
    }

    /// What the metadata says of a broker that has a replica here.
    pub fn broker_standing(&mut self, node: NodeId, standing: BrokerStanding) {
        if let Role::Leader(leader) = &mut self.role {
            leader.set_standing(node, standing);
        }
    }

    /// Whether this node leads, in the epoch that a request claims to know. Errors: NOT_LEADER_OR_FOLLOWER,
    /// FENCED_LEADER_EPOCH (the claim is old), UNKNOWN_LEADER_EPOCH (it is ahead of us).
    pub fn check_leader(&self, claimed: Option<LeaderEpoch>) -> Result<&Leader, ErrorCode> {
        if let Some(claimed) = claimed {
            if claimed < self.leader_epoch {
                return Err(ErrorCode::FencedLeaderEpoch);
            }
            if claimed > self.leader_epoch {
                return Err(ErrorCode::UnknownLeaderEpoch);
            }
        }
        self.leader().ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// Whether a produce may be appended, and the leader epoch to stamp on its batches. Errors:
    /// NOT_LEADER_OR_FOLLOWER; NOT_ENOUGH_REPLICAS for `acks=all` below the minimum.
    pub fn check_append(&self, acks: Acks) -> Result<LeaderEpoch, ErrorCode> {
        let leader = self.check_leader(None)?;
        if acks == Acks::All && leader.under_min_isr(&self.config) && !planted(Bug::AckBeforeMinIsr) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(leader.epoch())
    }

    /// What a produce whose last record lies before `end_offset` waits for; `None` for `acks=0`.
    pub fn wait_for(&self, acks: Acks, end_offset: Offset) -> Option<WaitFor> {
        let bound = match (acks, self.config.flush_mode) {
            (Acks::None, _) => return None,
            (Acks::Leader, FlushMode::BeforeAck) => Bound::FlushedEnd,
            (Acks::Leader, FlushMode::Interval) => Bound::LogEnd,
            (Acks::All, _) => Bound::HighWatermark,
        };
        Some(WaitFor::Offset { bound, offset: end_offset })
    }

    /// The answer to a produce with `acks=all` that came out of the purgatory (RP-3). Errors:
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND, NOT_LEADER_OR_FOLLOWER.
    pub fn acknowledge(&self, end_offset: Offset) -> Result<(), ErrorCode> {
        let leader = self.check_leader(None)?;
        invariant::acknowledged_is_committed(end_offset, self.watermarks.high_watermark());
        if leader.under_min_isr(&self.config) && !planted(Bug::AckBeforeMinIsr) {
            return Err(ErrorCode::NotEnoughReplicasAfterAppend);
        }
        Ok(())
    }

    /// The leader appended; its log ends at `log_end` now, and its first unstable offset is this.
    pub fn appended(&mut self, now: Millis, log_end: Offset, first_unstable: Option<Offset>) -> Progress {
        self.log_grew(log_end, first_unstable);
        self.advance(now, None)
    }

    fn log_grew(&mut self, log_end: Offset, first_unstable: Option<Offset>) {
        assert!(log_end >= self.ends.log_end, "LG-1: an append moved the log end down to {log_end}");
        self.ends.log_end = log_end;
        self.watermarks.set_first_unstable(first_unstable);
    }

    /// An fsync covered all before `flushed_end`. A late report of a smaller end changes nothing.
    pub fn flushed(&mut self, now: Millis, flushed_end: Offset) -> Progress {
        self.ends.flushed_end = self.ends.flushed_end.max(flushed_end.min(self.ends.log_end));
        self.advance(now, None)
    }

    /// The log's first unstable offset rose, because a marker has become committed. Ask the log after each
    /// [`Progress::high_watermark_rose`].
    pub fn first_unstable(&mut self, now: Millis, first: Option<Offset>) -> Progress {
        self.watermarks.set_first_unstable(first);
        self.advance(now, None)
    }

    /// The log start rose (retention, DeleteRecords). On a leader that happens below the high watermark only.
    pub fn log_start_rose(&mut self, now: Millis, log_start: Offset) -> Progress {
        self.ends.log_start = self.ends.log_start.max(log_start);
        invariant::ends_in_order(&self.ends);
        self.watermarks.log_start_rose(self.ends.log_start);
        self.advance(now, None)
    }

    /// Whether the leader's epoch start is committed, so that it may tell clients its end, and coordinators may load
    /// from it (RP-4). Errors: as [`Partition::check_leader`]; OFFSET_NOT_AVAILABLE until then.
    pub fn check_serving(&self, claimed: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        let leader = self.check_leader(claimed)?;
        if self.watermarks.high_watermark() < leader.epoch_start() && !planted(Bug::ServeBeforeEpochStart) {
            return Err(ErrorCode::OffsetNotAvailable);
        }
        Ok(())
    }

    /// How far a client may read, which is also the end that ListOffsets tells. Errors: as
    /// [`Partition::check_serving`] for consumers, as [`Partition::check_leader`] for replicas.
    pub fn readable_end(&self, as_: ReadAs, claimed: Option<LeaderEpoch>) -> Result<Offset, ErrorCode> {
        if as_ == ReadAs::Replica {
            self.check_leader(claimed)?;
            return Ok(self.ends.log_end);
        }
        self.check_serving(claimed)?;
        if let Some(leader) = self.leader()
            && !planted(Bug::ServeBeforeEpochStart)
        {
            invariant::epoch_start_committed(leader.epoch_start(), self.watermarks.high_watermark());
        }
        Ok(match as_ {
            ReadAs::Committed => self.watermarks.last_stable_offset(),
            ReadAs::Uncommitted | ReadAs::Replica => self.watermarks.high_watermark(),
        })
    }

    /// A follower fetched. Its position counts only if the epoch of its last record agrees with the log's `epochs`.
    /// Errors: as [`Partition::check_leader`]; NOT_LEADER_OR_FOLLOWER for a stranger or a zombie;
    /// OFFSET_OUT_OF_RANGE beyond the log end in a request without epochs.
    pub fn fetched(
        &mut self,
        now: Millis,
        fetch: &FollowerFetch,
        epochs: &[EpochStart],
    ) -> Result<FetchOutcome, ErrorCode> {
        if !self.check_leader(fetch.current_leader_epoch)?.knows(fetch) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if fetch.fetch_offset < self.ends.log_start {
            return Ok(FetchOutcome::OutOfRange);
        }
        if let Some(epoch) = fetch.last_fetched_epoch
            && let Some(end) = epoch_cache::divergence(epochs, self.ends.log_end, fetch.fetch_offset, epoch)
            && !(planted(Bug::FetchByOffsetAlone) && fetch.fetch_offset <= self.ends.log_end)
        {
            return Ok(FetchOutcome::Diverging(end));
        }
        if fetch.fetch_offset > self.ends.log_end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let mut alter_isr = None;
        if let Role::Leader(leader) = &mut self.role {
            leader.fetched(now, fetch, self.ends.log_end);
            alter_isr = leader.expand(fetch.replica, self.watermarks.high_watermark());
        }
        Ok(FetchOutcome::Accepted(self.advance(now, alter_isr)))
    }

    /// Time passed: followers that lag leave the ISR.
    pub fn tick(&mut self, now: Millis) -> Progress {
        let mut alter_isr = None;
        if let Role::Leader(leader) = &mut self.role {
            alter_isr = leader.recovered().or_else(|| leader.shrink(self.me, now, &self.ends, &self.config));
        }
        self.advance(now, alter_isr)
    }

    /// When [`Partition::tick`] is next of use; `None` for never, without another event.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.leader().and_then(|leader| leader.next_deadline(&self.config))
    }

    /// The controller answered an [`AlterIsr`].
    pub fn alter_isr_answer(&mut self, now: Millis, answer: &AlterIsrAnswer) -> Progress {
        let mut again: Option<AlterIsr> = None;
        if let Role::Leader(leader) = &mut self.role {
            match answer {
                AlterIsrAnswer::Accepted(meta) if meta.leader_epoch == leader.epoch() => {
                    leader.update(self.me, now, meta);
                }
                AlterIsrAnswer::Accepted(_) => {}
                AlterIsrAnswer::Refused(code) => {
                    if let AfterRefusal::Again(request) = leader.isr.refused(*code) {
                        again = Some(request);
                    }
                }
            }
        }
        self.advance(now, again)
    }

    /// What a follower does next; a leader has nothing to fetch.
    pub fn next_fetch(&self, epochs: &[EpochStart]) -> NextFetch {
        match &self.role {
            Role::Follower(follower) => follower.next_fetch(&self.ends, epochs, &self.config),
            Role::Leader(_) | Role::Stopped => NextFetch::NoLeader,
        }
    }

    /// What a follower does with the leader's answer. An answer that comes after a change of role is of no use.
    pub fn fetch_answer(&self, answer: &FetchAnswer, epochs: &[EpochStart]) -> FollowerAction {
        match &self.role {
            Role::Follower(follower) => {
                let action = follower.answer(answer, &self.ends, epochs);
                if matches!(action, FollowerAction::Truncate { .. }) && planted(Bug::TruncateToHighWatermark)
                {
                    return FollowerAction::Truncate { to: self.watermarks.high_watermark() };
                }
                action
            }
            Role::Leader(_) | Role::Stopped => FollowerAction::Retry,
        }
    }

    /// A follower appended what the leader sent (or nothing), and heard the leader's high watermark.
    pub fn appended_from_leader(
        &mut self,
        now: Millis,
        log_end: Offset,
        first_unstable: Option<Offset>,
        leaders_high_watermark: Offset,
    ) -> Progress {
        assert!(
            self.following().is_some(),
            "RP-5: records of a leader reached a replica that does not follow"
        );
        self.log_grew(log_end, first_unstable);
        let rose = self.watermarks.follow(leaders_high_watermark, log_end);
        let mut progress = self.advance(now, None);
        progress.high_watermark_rose |= rose;
        progress
    }

    /// A follower's log was cut or begun anew, as [`FollowerAction`] asked. `ends` is the log as it is now.
    pub fn log_cut(&mut self, ends: LogEnds) -> Progress {
        assert!(self.leader().is_none(), "RP-5: a leader's log was cut to {}", ends.log_end);
        invariant::ends_in_order(&ends);
        self.ends = ends;
        self.watermarks.truncated(&ends);
        Progress { bounds: self.bounds(), high_watermark_rose: false, alter_isr: None }
    }

    /// Lets the leader's high watermark follow what is known, and reports where all stands.
    fn advance(&mut self, now: Millis, alter_isr: Option<AlterIsr>) -> Progress {
        let mut rose = false;
        if let Role::Leader(leader) = &self.role
            && let Some(candidate) = leader.candidate(now, &self.ends, &self.config)
        {
            rose = self.watermarks.lead(candidate);
            if rose && !planted(Bug::HighWatermarkFromOneFollower) {
                leader.check_members(self.watermarks.high_watermark(), &self.ends, &self.config);
            }
        }
        Progress { bounds: self.bounds(), high_watermark_rose: rose, alter_isr }
    }
}
