//! The quorum's state machine: one member, sans I/O. [`Quorum::step`] takes what happened and returns what to do.
//!
//! Legal transitions, and what triggers them (KIP-595, KIP-996); an observer is only ever Unattached or Follower:
//! - Unattached -> Unattached: a higher epoch, or a binding vote given. -> Prospective: the election time-out.
//!   -> Follower: a leader of the same or a higher epoch.
//! - Prospective -> Candidate: a majority would vote for it (at once where it is the only voter).
//!   -> Unattached: a higher epoch; or time-out without a known leader. -> Follower: a leader; or time-out with a
//!   known leader, who is then given another chance.
//! - Candidate -> Leader: a majority voted for it. -> Prospective: the election time-out, or lost.
//!   -> Unattached: a higher epoch. -> Follower: a leader.
//! - Leader -> Unattached: a higher epoch. -> Follower: a leader of a higher epoch. -> Resigned: asked to, or no
//!   majority has fetched for a while (check-quorum).
//! - Follower -> Follower: a leader of a higher epoch. -> Unattached: a higher epoch.
//!   -> Prospective: nothing heard of the leader for the fetch time-out.
//! - Resigned -> Unattached: a higher epoch, or the election time-out (then in the next epoch). -> Follower: a
//!   leader of a higher epoch.
//!
//! Keeps RA-1 to RA-4, see [`invariant`](crate::invariant). Never enters: sockets, files, clocks, records' bytes
//! (they pass through unread).

use std::collections::BTreeMap;

use millstream_types::{ErrorCode, LeaderEpoch, Millis, NodeId, Offset, Rng, SeededRng};

use crate::invariant;
use crate::log_view::LogView;
use crate::message::{
    Description, Election, Input, Output, Recovered, ReplicaKey, Request, Response, ResponseBody,
};
use crate::planted::{Bug, planted};
use crate::state::Role;
use crate::state::candidate::Candidate;
use crate::state::follower::Follower;
use crate::state::leader::Leader;
use crate::state::prospective::Prospective;
use crate::state::resigned::Resigned;
use crate::state::unattached::Unattached;
use crate::voters::VoterSet;

/// The settings of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    /// This replica.
    pub me: ReplicaKey,
    /// The voters. A node that is not among them is an observer.
    pub voters: VoterSet,
    /// `controller.quorum.election.timeout.ms`: an election may take up to twice this.
    pub election_timeout_ms: Millis,
    /// `controller.quorum.fetch.timeout.ms`: a follower that heard nothing of its leader for longer stands for
    /// election; a leader that no majority fetched from for half as much again resigns.
    pub fetch_timeout_ms: Millis,
    /// How long a leader holds a fetch that finds nothing new.
    pub fetch_max_wait_ms: Millis,
    /// `controller.quorum.retry.backoff.ms`: the pause before a request is repeated.
    pub retry_backoff_ms: Millis,
    /// For the spread of time-outs; each member has another.
    pub seed: u64,
}

impl QuorumConfig {
    /// Kafka's defaults, for `me` among `voters`.
    pub fn new(me: ReplicaKey, voters: VoterSet, seed: u64) -> QuorumConfig {
        QuorumConfig {
            me,
            voters,
            election_timeout_ms: 1_000,
            fetch_timeout_ms: 2_000,
            fetch_max_wait_ms: 500,
            retry_backoff_ms: 20,
            seed,
        }
    }
}

/// What an outstanding request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Vote { to: NodeId, pre_vote: bool },
    BeginEpoch { to: NodeId },
    EndEpoch,
    Fetch { to: NodeId },
    FetchSnapshot,
}

/// One member of the quorum.
#[derive(Clone, Debug)]
pub struct Quorum {
    pub(crate) config: QuorumConfig,
    pub(crate) now: Millis,
    pub(crate) rng: SeededRng,
    pub(crate) election: Election,
    /// What was last given out to be persisted.
    persisted: Election,
    pub(crate) log: LogView,
    pub(crate) high_watermark: Offset,
    pub(crate) role: Role,
    /// Requests that wait for an answer, of the present role; an answer to any other is ignored.
    pub(crate) sent: BTreeMap<u64, Sent>,
    next_id: u64,
    /// Flushes under way: the ticket and what it covers.
    flushes: BTreeMap<u64, Offset>,
    /// The highest epoch that this member has led (RA-1).
    last_led: LeaderEpoch,
    started: bool,
    out: Vec<Output>,
}

impl Quorum {
    /// A member that begins with what it found on its disk. The first step is [`Input::Tick`].
    pub fn new(now: Millis, config: QuorumConfig, recovered: Recovered) -> Quorum {
        assert!(!config.voters.is_empty(), "a quorum needs a voter");
        let log = LogView::new(recovered.log_start, recovered.log_end, recovered.epochs, recovered.snapshot);
        let mut election = recovered.election;
        if log.highest_epoch() > election.epoch {
            // The log heard of an epoch that `quorum-state` did not, so nothing was promised in it.
            election = Election { epoch: log.highest_epoch(), leader: None, voted: None };
        }
        let mut rng = SeededRng::new(config.seed);
        // Who led when it stopped must not lead that epoch again: it may have lost what it had not flushed.
        let led = election.leader == Some(config.me.id);
        let deadline =
            now + config.election_timeout_ms + rng.below(config.election_timeout_ms as u64) as Millis;
        let role = match led {
            true => Role::Resigned(Resigned { deadline }),
            false => Role::Unattached(Unattached { deadline, find_leader_at: now }),
        };
        Quorum {
            now,
            rng,
            persisted: recovered.election,
            election,
            high_watermark: log.log_start,
            log,
            role,
            sent: BTreeMap::new(),
            next_id: 1,
            flushes: BTreeMap::new(),
            last_led: if led { recovered.election.epoch } else { 0 },
            started: false,
            out: Vec::new(),
            config,
        }
    }

    /// Takes what happened, and returns what to do, in order. `now` is of a clock that does not fall.
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        let before = self.persisted;
        if !self.started {
            self.started = true;
            self.start();
        }
        match input {
            Input::Tick => {}
            Input::Request { id, request } => self.request(id, request),
            Input::Response { id, response } => self.response(id, response),
            Input::Failed { id } => self.failed(id),
            Input::Propose { id, epoch, records, bytes } => self.propose(id, epoch, records, bytes),
            Input::Flushed { ticket } => self.flushed(ticket),
            Input::SnapshotMade { id } => self.snapshot_made(id),
            Input::SnapshotInstalled { id, good } => self.snapshot_installed(id, good),
            Input::Resign => self.resign(),
        }
        self.poll();
        self.check(before);
        std::mem::take(&mut self.out)
    }

    /// A quorum of one need not wait for anybody; and a snapshot that was not followed up by a trim is now.
    fn start(&mut self) {
        if let Some(id) = self.log.snapshot
            && id.end_offset > self.log.log_start
        {
            assert!(id.end_offset <= self.log.log_end, "RA-3: the snapshot {id:?} ends beyond the log");
            self.log.trim(id);
            self.high_watermark = id.end_offset;
            self.push(Output::Trim { log_start: id.end_offset });
        }
        if self.is_voter() && self.config.voters.len() == 1 {
            self.become_candidate();
        }
    }

    fn poll(&mut self) {
        match &self.role {
            Role::Unattached(_) => self.poll_unattached(),
            Role::Prospective(_) => self.poll_prospective(),
            Role::Candidate(_) => self.poll_candidate(),
            Role::Leader(_) => self.poll_leader(),
            Role::Follower(_) => self.poll_follower(),
            Role::Resigned(_) => self.poll_resigned(),
        }
    }

    /// When [`Input::Tick`] is next of use. Never later than what matters next; after each step ask again.
    pub fn next_deadline(&self) -> Millis {
        match &self.role {
            Role::Unattached(state) => state.deadline.min(state.find_leader_at),
            Role::Prospective(state) => state.deadline,
            Role::Candidate(state) => state.deadline,
            Role::Leader(state) => self.leader_deadline(state),
            Role::Follower(state) => self.follower_deadline(state),
            Role::Resigned(state) => state.deadline,
        }
    }

    /// RA-4 over the order of a step's outputs; `before` is what was on disk when it began.
    fn check(&self, before: Election) {
        let mut durable = before;
        for output in &self.out {
            match output {
                Output::Persist(election) => durable = *election,
                Output::Reply { response, .. } => invariant::durable_before_sent(response.epoch, &durable),
                Output::Send { request: Request::Vote { epoch, pre_vote: false, .. }, .. } => {
                    invariant::vote_durable(*epoch, Some(self.config.me), &durable);
                }
                _ => {}
            }
        }
        invariant::watermark_in_log(self.high_watermark, self.log.log_end);
    }

    // ---- What the states share.

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push(output);
    }

    /// Gives the election state out to be persisted, if it is not what is persisted already. Two in a row are one.
    pub(crate) fn persist(&mut self) {
        if self.election == self.persisted || planted(Bug::VoteNotPersisted) && self.election.leader.is_none()
        {
            return;
        }
        invariant::epoch_rises(self.persisted.epoch, self.election.epoch);
        self.persisted = self.election;
        if let Some(Output::Persist(last)) = self.out.last_mut() {
            *last = self.election;
        } else {
            self.out.push(Output::Persist(self.election));
        }
    }

    pub(crate) fn vote_is_durable(&self, candidate: ReplicaKey) {
        invariant::vote_durable(self.election.epoch, Some(candidate), &self.persisted);
    }

    pub(crate) fn send(&mut self, to: NodeId, kind: Sent, request: Request) {
        let id = self.next_id;
        self.next_id += 1;
        self.sent.insert(id, kind);
        self.out.push(Output::Send { id, to, request });
    }

    pub(crate) fn answer(&self, error: ErrorCode, body: ResponseBody) -> Response {
        let (leader, epoch) = self.leader_and_epoch();
        Response { error, epoch, leader, body }
    }

    pub(crate) fn reply(&mut self, id: u64, error: ErrorCode, body: ResponseBody) {
        let response = self.answer(error, body);
        self.out.push(Output::Reply { id, response });
    }

    pub(crate) fn is_voter(&self) -> bool {
        self.config.voters.contains(self.config.me)
    }

    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.config.voters.ids().filter(|id| *id != self.config.me.id).collect()
    }

    /// A time-out between one and two election time-outs from now.
    pub(crate) fn election_deadline(&mut self) -> Millis {
        let spread = self.rng.below(self.config.election_timeout_ms.max(1) as u64) as Millis;
        self.now + self.config.election_timeout_ms + spread
    }

    /// Asks for a flush of all that is in the log.
    pub(crate) fn flush(&mut self) {
        let (ticket, up_to) = (self.next_id, self.log.log_end);
        self.next_id += 1;
        self.flushes.insert(ticket, up_to);
        self.out.push(Output::Flush { ticket, up_to });
    }

    fn flushed(&mut self, ticket: u64) {
        // A ticket from before a truncation is gone: what it covered is not what is there now.
        let Some(end) = self.flushes.get(&ticket).copied() else { return };
        self.flushes.retain(|other, _| *other > ticket);
        self.log.flushed_end = self.log.flushed_end.max(end);
        self.update_high_watermark();
    }

    pub(crate) fn drop_flushes(&mut self) {
        self.flushes.clear();
    }

    pub(crate) fn truncate(&mut self, to: Offset) {
        let to = if planted(Bug::TruncateToHighWatermark) { self.high_watermark } else { to };
        invariant::truncation_above(to, self.high_watermark);
        self.log.truncate(to);
        self.flushes.clear();
        self.out.push(Output::Truncate { to });
        if self.log.flushed_end < self.log.log_end {
            self.flush();
        }
    }

    /// Raises the high watermark to `offset`, never down.
    pub(crate) fn commit(&mut self, offset: Offset) {
        let offset = offset.min(self.log.log_end);
        if offset > self.high_watermark {
            self.high_watermark = offset;
            self.out.push(Output::Committed { high_watermark: offset });
        }
    }

    /// Leaves the present role. A leader's waiting fetches are told, and its decisions are void.
    fn leave(&mut self, next: Role) {
        self.sent.clear();
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, next) {
            self.out.push(Output::Resigned { epoch: leader.epoch });
            for parked in leader.parked {
                self.reply(parked.id, ErrorCode::NotLeaderOrFollower, ResponseBody::Empty);
            }
        }
    }

    fn set_epoch(&mut self, epoch: LeaderEpoch) {
        invariant::epoch_rises(self.election.epoch, epoch);
        if epoch > self.election.epoch {
            self.election = Election { epoch, leader: None, voted: None };
        }
    }

    fn announce(&mut self) {
        let (epoch, leader) = (self.election.epoch, self.election.leader);
        self.out.push(Output::LeaderChanged { epoch, leader });
    }

    // ---- Transitions.

    pub(crate) fn become_unattached(&mut self, epoch: LeaderEpoch) {
        let news = epoch > self.election.epoch;
        self.set_epoch(epoch);
        self.persist();
        let deadline = self.election_deadline();
        let find_leader_at = self.now + self.config.retry_backoff_ms;
        self.leave(Role::Unattached(Unattached { deadline, find_leader_at }));
        if news {
            self.announce();
        }
    }

    pub(crate) fn become_prospective(&mut self) {
        if self.config.voters.len() == 1 {
            return self.become_candidate();
        }
        let deadline = self.election_deadline();
        self.leave(Role::Prospective(Prospective { granted: [self.config.me.id].into(), deadline }));
        self.send_votes(true);
    }

    pub(crate) fn become_candidate(&mut self) {
        self.set_epoch(self.election.epoch + 1);
        self.election.voted = Some(self.config.me);
        self.persist();
        let deadline = self.election_deadline();
        let granted = [self.config.me.id].into();
        self.leave(Role::Candidate(Candidate { granted, rejected: Default::default(), deadline }));
        if self.config.voters.majority() == 1 {
            return self.become_leader();
        }
        self.announce();
        self.send_votes(false);
    }

    pub(crate) fn become_leader(&mut self) {
        let Role::Candidate(candidate) = &self.role else { return };
        let granted = candidate.granted.clone();
        let epoch = self.election.epoch;
        invariant::elected_once(self.last_led, epoch, self.config.voters.is_majority(&granted));
        self.last_led = epoch;
        self.election.leader = Some(self.config.me.id);
        self.persist();
        let epoch_start = self.log.log_end;
        let leader = Leader::new(self.now, epoch, epoch_start, self.others());
        self.leave(Role::Leader(leader));
        self.announce();
        self.log.append(epoch, epoch_start + 1);
        self.out.push(Output::AppendLeaderChange {
            base_offset: epoch_start,
            epoch,
            voters: self.config.voters.ids().map(|id| self.config.voters.key(id)).collect(),
            granting: granted.iter().map(|id| self.config.voters.key(*id)).collect(),
        });
        self.flush();
        if planted(Bug::ServeBeforeEpochStart) {
            self.out.push(Output::Serving { epoch, epoch_start });
        }
    }

    pub(crate) fn become_follower(&mut self, epoch: LeaderEpoch, leader: NodeId) {
        self.set_epoch(epoch);
        self.election.leader = Some(leader);
        self.persist();
        let follower = Follower::new(self.now, leader, self.config.fetch_timeout_ms);
        self.leave(Role::Follower(follower));
        self.announce();
        if planted(Bug::TruncateToHighWatermark) && self.high_watermark < self.log.log_end {
            self.truncate(self.high_watermark);
        }
    }

    pub(crate) fn become_resigned(&mut self) {
        let deadline = self.election_deadline();
        self.leave(Role::Resigned(Resigned { deadline }));
    }

    /// Takes up what another member knows of the epoch and its leader. Returns whether that changed anything here,
    /// so that the rest of its message is out of date.
    pub(crate) fn learn(&mut self, epoch: LeaderEpoch, leader: Option<NodeId>) -> bool {
        let leader = leader.filter(|id| *id != self.config.me.id && self.config.voters.get(*id).is_some());
        if epoch > self.election.epoch {
            match leader {
                Some(leader) => self.become_follower(epoch, leader),
                None => self.become_unattached(epoch),
            }
            return true;
        }
        let open = matches!(self.role, Role::Unattached(_) | Role::Prospective(_) | Role::Candidate(_));
        if epoch == self.election.epoch
            && open
            && let Some(leader) = leader
        {
            self.become_follower(epoch, leader);
            return true;
        }
        false
    }

    fn request(&mut self, id: u64, request: Request) {
        match request {
            Request::Vote { epoch, candidate, voter, last_epoch, last_offset, pre_vote } => {
                let log = (last_epoch, last_offset);
                self.vote_requested(id, epoch, candidate, voter, log, pre_vote);
            }
            Request::BeginEpoch { leader, epoch } => {
                if epoch < self.election.epoch {
                    return self.reply(id, ErrorCode::FencedLeaderEpoch, ResponseBody::Empty);
                }
                self.learn(epoch, Some(leader));
                self.reply(id, ErrorCode::None, ResponseBody::Empty);
            }
            Request::EndEpoch { leader, epoch, preferred } => {
                if epoch < self.election.epoch {
                    return self.reply(id, ErrorCode::FencedLeaderEpoch, ResponseBody::Empty);
                }
                self.learn(epoch, Some(leader));
                self.leader_ended(leader, &preferred);
                self.reply(id, ErrorCode::None, ResponseBody::Empty);
            }
            Request::Fetch {
                replica,
                epoch,
                fetch_offset,
                last_fetched_epoch,
                high_watermark,
                max_wait_ms,
            } => {
                let position = (fetch_offset, last_fetched_epoch);
                self.fetch_requested(id, replica, epoch, position, high_watermark, max_wait_ms);
            }
            Request::FetchSnapshot { epoch, id: snapshot, position, .. } => {
                self.snapshot_requested(id, epoch, snapshot, position);
            }
        }
    }

    fn response(&mut self, id: u64, response: Response) {
        let Some(sent) = self.sent.remove(&id) else { return };
        if self.learn(response.epoch, response.leader) {
            return;
        }
        match (sent, response.body) {
            (Sent::Vote { to, pre_vote }, ResponseBody::Vote { granted }) => {
                self.vote_answered(to, pre_vote, response.epoch, granted);
            }
            (Sent::Vote { .. } | Sent::EndEpoch, _) => {}
            (Sent::BeginEpoch { to }, _) => self.begin_answered(to, response.error == ErrorCode::None),
            (Sent::Fetch { to }, body) => self.fetch_answered(to, response.error, body),
            (Sent::FetchSnapshot, body) => self.snapshot_answered(response.error, body),
        }
    }

    fn failed(&mut self, id: u64) {
        match self.sent.remove(&id) {
            Some(Sent::Fetch { .. } | Sent::FetchSnapshot) => self.retry_fetch(),
            Some(Sent::BeginEpoch { to }) => self.begin_answered(to, false),
            Some(Sent::Vote { .. } | Sent::EndEpoch) | None => {}
        }
    }

    // ---- What the shell may ask.

    /// The epoch, and its leader if known.
    pub fn leader_and_epoch(&self) -> (Option<NodeId>, LeaderEpoch) {
        (self.election.leader.filter(|_| !matches!(self.role, Role::Resigned(_))), self.election.epoch)
    }

    /// The epoch in which this node leads and may serve: the epoch's start is committed (RP-4).
    pub fn serving(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Leader(leader) if leader.serving => Some(leader.epoch),
            _ => None,
        }
    }

    /// One past the last record in the log: the offset that the next proposal gets.
    pub fn log_end(&self) -> Offset {
        self.log.log_end
    }

    /// The first offset in the log.
    pub fn log_start(&self) -> Offset {
        self.log.log_start
    }

    /// One past the last committed record.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The name that a snapshot of all records before `end_offset` has; `None` if it is not committed, or before
    /// the log's start, or if another replica is fetching the present snapshot (ask again later).
    pub fn snapshot_id(&self, end_offset: Offset) -> Option<crate::SnapshotId> {
        if end_offset > self.high_watermark
            || end_offset <= self.log.log_start
            || self.snapshot_is_being_fetched()
        {
            return None;
        }
        let epoch = self.log.epoch_at(end_offset - 1)?;
        Some(crate::SnapshotId { end_offset, epoch })
    }

    /// For DescribeQuorum.
    pub fn describe(&self) -> Description {
        let (leader, epoch) = self.leader_and_epoch();
        let (voters, observers) = match &self.role {
            Role::Leader(state) => self.describe_replicas(state),
            _ => (Vec::new(), Vec::new()),
        };
        Description { leader, epoch, high_watermark: self.high_watermark, voters, observers }
    }
}
