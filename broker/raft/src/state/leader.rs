//! Leader: answers fetches, knows how far each voter has come, and commits what a majority has flushed, from its own
//! epoch's start on. Resigns when no majority fetches any more (check-quorum): then another may lead already.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_types::{ErrorCode, LeaderEpoch, Millis, NodeId, Offset};

use crate::log_view::{Position, SnapshotId};
use crate::message::{Batch, Output, ReplicaKey, ReplicaState, Request, Response, ResponseBody};
use crate::planted::{Bug, planted};
use crate::quorum::{Quorum, Sent};
use crate::state::Role;

/// The most observers that are remembered, for DescribeQuorum only.
const OBSERVERS_MAX: usize = 1_000;
/// An observer that has not fetched for this long is forgotten.
const OBSERVER_SESSION_MS: Millis = 300_000;

/// How far a replica has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Its end; `None` until it has fetched in this epoch.
    pub(crate) end: Option<Offset>,
    fetched_ms: Option<Millis>,
    caught_up_ms: Option<Millis>,
    /// The leader's end at its last fetch.
    leader_end: Offset,
    /// When to tell it again that this epoch has begun; it stops being told when it fetches.
    begin_at: Millis,
}

/// A fetch that waits for something new.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) id: u64,
    replica: ReplicaKey,
    from: Offset,
    known_high_watermark: Offset,
    deadline: Millis,
}

#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) epoch_start: Offset,
    pub(crate) serving: bool,
    /// Since when this role is held.
    since: Millis,
    voters: BTreeMap<NodeId, Progress>,
    observers: BTreeMap<ReplicaKey, Progress>,
    pub(crate) parked: Vec<Parked>,
    /// When a piece of the snapshot was last asked for.
    snapshot_fetched_ms: Option<Millis>,
}

impl Leader {
    pub(crate) fn new(now: Millis, epoch: LeaderEpoch, epoch_start: Offset, others: Vec<NodeId>) -> Leader {
        let progress = Progress { begin_at: now, ..Progress::default() };
        Leader {
            epoch,
            epoch_start,
            serving: false,
            since: now,
            voters: others.into_iter().map(|id| (id, progress)).collect(),
            observers: BTreeMap::new(),
            parked: Vec::new(),
            snapshot_fetched_ms: None,
        }
    }
}

impl Quorum {
    fn check_quorum_ms(&self) -> Millis {
        self.config.fetch_timeout_ms + self.config.fetch_timeout_ms / 2
    }

    /// The time by which a majority must have fetched again: that of the voter that completes it.
    fn quorum_deadline(&self, leader: &Leader) -> Millis {
        let mut heard: Vec<Millis> =
            leader.voters.values().map(|p| p.fetched_ms.unwrap_or(leader.since)).collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        // This node itself is one of the majority.
        match (self.config.voters.majority() - 1).checked_sub(1).and_then(|at| heard.get(at)) {
            Some(heard) => heard + self.check_quorum_ms(),
            None => Millis::MAX,
        }
    }

    pub(crate) fn leader_deadline(&self, leader: &Leader) -> Millis {
        let begin = leader.voters.values().filter(|p| p.fetched_ms.is_none()).map(|p| p.begin_at).min();
        let parked = leader.parked.iter().map(|parked| parked.deadline).min();
        self.quorum_deadline(leader).min(begin.unwrap_or(Millis::MAX)).min(parked.unwrap_or(Millis::MAX))
    }

    pub(crate) fn poll_leader(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        if self.now >= self.quorum_deadline(leader) {
            return self.become_resigned();
        }
        let (now, again) = (self.now, self.now + self.config.fetch_timeout_ms / 2);
        let Role::Leader(leader) = &mut self.role else { return };
        let mut tell = Vec::new();
        for (id, progress) in &mut leader.voters {
            if progress.fetched_ms.is_none() && progress.begin_at <= now {
                progress.begin_at = again;
                tell.push(*id);
            }
        }
        let (me, epoch) = (self.config.me.id, leader.epoch);
        for to in tell {
            self.send(to, Sent::BeginEpoch { to }, Request::BeginEpoch { leader: me, epoch });
        }
        self.answer_parked();
    }

    pub(crate) fn begin_answered(&mut self, from: NodeId, heard: bool) {
        let (now, config) = (self.now, &self.config);
        let pause = if heard { config.fetch_timeout_ms / 2 } else { config.retry_backoff_ms };
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.voters.get_mut(&from)
        {
            progress.begin_at = now + pause;
        }
    }

    pub(crate) fn propose(&mut self, id: u64, epoch: LeaderEpoch, records: u32, bytes: Bytes) {
        let leads = matches!(&self.role, Role::Leader(leader) if leader.epoch == epoch);
        if !leads || records == 0 {
            let leader = self.leader_and_epoch().0;
            return self.push(Output::Refused { id, leader });
        }
        let base_offset = self.log.log_end;
        let end_offset = base_offset + Offset::from(records);
        self.log.append(epoch, end_offset);
        self.push(Output::Append(Batch { base_offset, end_offset, epoch, bytes }));
        self.flush();
    }

    pub(crate) fn update_high_watermark(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let (epoch, epoch_start, serving) = (leader.epoch, leader.epoch_start, leader.serving);
        let own = if planted(Bug::CountUnflushed) { self.log.log_end } else { self.log.flushed_end };
        let me = self.config.me.id;
        let end = |id| if id == me { Some(own) } else { leader.voters.get(&id).and_then(|p| p.end) };
        let candidate = self.config.voters.majority_offset(end);
        // What earlier leaders wrote is committed with the first record of this epoch, not before: a majority that
        // has it may still be outvoted (Raft, figure 8).
        if candidate > epoch_start {
            self.commit(candidate);
        }
        if !serving && self.high_watermark > epoch_start {
            if let Role::Leader(leader) = &mut self.role {
                leader.serving = true;
            }
            if !planted(Bug::ServeBeforeEpochStart) {
                self.push(Output::Serving { epoch, epoch_start });
            }
        }
    }

    pub(crate) fn fetch_requested(
        &mut self,
        id: u64,
        replica: ReplicaKey,
        epoch: LeaderEpoch,
        (from, last_epoch): (Offset, LeaderEpoch),
        known_high_watermark: Offset,
        max_wait_ms: Millis,
    ) {
        if !matches!(self.role, Role::Leader(_)) {
            return self.reply(id, ErrorCode::NotLeaderOrFollower, ResponseBody::Empty);
        }
        if epoch != self.election.epoch {
            let fenced = epoch < self.election.epoch;
            let error = if fenced { ErrorCode::FencedLeaderEpoch } else { ErrorCode::UnknownLeaderEpoch };
            return self.reply(id, error, ResponseBody::Empty);
        }
        let (diverging, snapshot) = match self.log.position(from, last_epoch) {
            Position::Prefix => (None, None),
            Position::Diverging(end) => (Some(end), None),
            Position::Snapshot(id) => (None, Some(id)),
        };
        if diverging.is_some() || snapshot.is_some() || from > self.log.log_end || from < 0 {
            let high_watermark = self.high_watermark;
            let body = ResponseBody::Fetch { high_watermark, diverging, snapshot, batches: Vec::new() };
            let bad = diverging.is_none() && snapshot.is_none();
            let error = if bad { ErrorCode::OffsetOutOfRange } else { ErrorCode::None };
            self.heard(replica, None);
            return self.reply(id, error, body);
        }
        self.heard(replica, Some(from));
        self.update_high_watermark();
        let deadline = self.now + max_wait_ms.clamp(0, self.config.fetch_max_wait_ms);
        if let Role::Leader(leader) = &mut self.role {
            // A replica asks for one thing at a time; an older question of its has lost its asker.
            let old = leader.parked.iter().position(|parked| parked.replica == replica);
            let parked = Parked { id, replica, from, known_high_watermark, deadline };
            let before = match old {
                Some(at) => Some(std::mem::replace(&mut leader.parked[at], parked)),
                None => {
                    leader.parked.push(parked);
                    None
                }
            };
            if let Some(before) = before {
                self.reply_records(before.id, before.from);
            }
        }
        self.answer_parked();
    }

    /// Notes a fetch. Without an end the logs did not agree: it lives, and has nothing that counts.
    fn heard(&mut self, replica: ReplicaKey, end: Option<Offset>) {
        let (now, log_end, is_voter) = (self.now, self.log.log_end, self.config.voters.contains(replica));
        let Role::Leader(leader) = &mut self.role else { return };
        let progress = match leader.voters.get_mut(&replica.id) {
            Some(progress) if is_voter => progress,
            _ => {
                leader
                    .observers
                    .retain(|_, p| p.fetched_ms.is_some_and(|ms| now - ms <= OBSERVER_SESSION_MS));
                if leader.observers.len() >= OBSERVERS_MAX && !leader.observers.contains_key(&replica) {
                    return;
                }
                leader.observers.entry(replica).or_default()
            }
        };
        if let Some(end) = end {
            if end >= log_end {
                progress.caught_up_ms = Some(now);
            } else if end >= progress.leader_end && progress.fetched_ms.is_some() {
                progress.caught_up_ms = progress.caught_up_ms.max(progress.fetched_ms);
            }
            progress.end = Some(end);
        }
        progress.leader_end = log_end;
        progress.fetched_ms = Some(now);
    }

    /// Answers the fetches that have something new, or have waited long enough.
    fn answer_parked(&mut self) {
        let (now, log_end, high_watermark) = (self.now, self.log.log_end, self.high_watermark);
        let Role::Leader(leader) = &mut self.role else { return };
        let ready =
            |p: &Parked| p.from < log_end || p.known_high_watermark < high_watermark || p.deadline <= now;
        let (answer, wait) = std::mem::take(&mut leader.parked).into_iter().partition(ready);
        leader.parked = wait;
        let answer: Vec<Parked> = answer;
        for parked in answer {
            self.reply_records(parked.id, parked.from);
        }
    }

    fn reply_records(&mut self, id: u64, from: Offset) {
        let high_watermark = self.high_watermark;
        let body =
            ResponseBody::Fetch { high_watermark, diverging: None, snapshot: None, batches: Vec::new() };
        let response: Response = self.answer(ErrorCode::None, body);
        self.push(Output::ReplyRecords { id, from, response });
    }

    pub(crate) fn snapshot_requested(
        &mut self,
        id: u64,
        epoch: LeaderEpoch,
        snapshot: SnapshotId,
        position: u64,
    ) {
        let now = self.now;
        if let Role::Leader(leader) = &mut self.role
            && self.log.snapshot == Some(snapshot)
        {
            leader.snapshot_fetched_ms = Some(now);
        }
        let error = match &self.role {
            Role::Leader(leader) if epoch < leader.epoch => ErrorCode::FencedLeaderEpoch,
            Role::Leader(leader) if epoch > leader.epoch => ErrorCode::UnknownLeaderEpoch,
            Role::Leader(_) if self.log.snapshot == Some(snapshot) => {
                let body = ResponseBody::Snapshot { id: snapshot, size: 0, position, bytes: Bytes::new() };
                let response = self.answer(ErrorCode::None, body);
                return self.push(Output::ReplySnapshot { id, snapshot, position, response });
            }
            Role::Leader(_) => ErrorCode::SnapshotNotFound,
            _ => ErrorCode::NotLeaderOrFollower,
        };
        self.reply(id, error, ResponseBody::Empty);
    }

    /// Whether a replica is fetching the snapshot: a newer one now would make it begin again, perhaps for ever.
    pub(crate) fn snapshot_is_being_fetched(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => {
                leader.snapshot_fetched_ms.is_some_and(|then| self.now - then <= self.config.fetch_timeout_ms)
            }
            _ => false,
        }
    }

    pub(crate) fn snapshot_made(&mut self, id: SnapshotId) {
        assert!(
            id.end_offset <= self.high_watermark,
            "RA-3: a snapshot up to {} of a log committed up to {}",
            id.end_offset,
            self.high_watermark
        );
        if id.end_offset > self.log.log_start {
            self.log.trim(id);
            self.push(Output::Trim { log_start: id.end_offset });
        }
    }

    /// Gives leadership up in order: the others learn at once, and who is furthest stands first.
    pub(crate) fn resign(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let epoch = leader.epoch;
        let mut preferred: Vec<(Offset, NodeId)> =
            leader.voters.iter().map(|(id, p)| (p.end.unwrap_or(-1), *id)).collect();
        preferred.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let preferred: Vec<NodeId> = preferred.into_iter().map(|(_, id)| id).collect();
        self.become_resigned();
        for to in self.others() {
            let leader = self.config.me.id;
            let request = Request::EndEpoch { leader, epoch, preferred: preferred.clone() };
            self.send(to, Sent::EndEpoch, request);
        }
    }

    pub(crate) fn describe_replicas(&self, leader: &Leader) -> (Vec<ReplicaState>, Vec<ReplicaState>) {
        let state = |key, p: &Progress| ReplicaState {
            key,
            log_end: p.end.unwrap_or(-1),
            last_fetch_ms: p.fetched_ms.unwrap_or(-1),
            last_caught_up_ms: p.caught_up_ms.unwrap_or(-1),
        };
        let me = ReplicaState {
            key: self.config.me,
            log_end: self.log.log_end,
            last_fetch_ms: self.now,
            last_caught_up_ms: self.now,
        };
        let mut voters: Vec<ReplicaState> =
            leader.voters.iter().map(|(id, p)| state(self.config.voters.key(*id), p)).collect();
        voters.push(me);
        voters.sort_unstable_by_key(|replica| replica.key.id);
        (voters, leader.observers.iter().map(|(key, p)| state(*key, p)).collect())
    }
}
