//! Who votes for whom (KIP-595, pre-vote KIP-996). A vote binds: at most one in an epoch, for a candidate whose log
//! is at least as long, and it is on disk before the answer leaves (RA-1, RA-4). Never enters: time-outs.

use millstream_types::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::message::{ReplicaKey, Request, ResponseBody};
use crate::planted::{Bug, planted};
use crate::quorum::{Quorum, Sent};
use crate::state::Role;

impl Quorum {
    pub(crate) fn send_votes(&mut self, pre_vote: bool) {
        for to in self.others() {
            let request = Request::Vote {
                epoch: self.election.epoch,
                candidate: self.config.me,
                voter: Some(self.config.voters.key(to)),
                last_epoch: self.log.last_epoch(),
                last_offset: self.log.log_end,
                pre_vote,
            };
            self.send(to, Sent::Vote { to, pre_vote }, request);
        }
    }

    pub(crate) fn vote_requested(
        &mut self,
        id: u64,
        epoch: LeaderEpoch,
        candidate: ReplicaKey,
        voter: Option<ReplicaKey>,
        log: (LeaderEpoch, Offset),
        pre_vote: bool,
    ) {
        let refused = ResponseBody::Vote { granted: false };
        let me = self.config.me;
        let other_me = |key: ReplicaKey| {
            key.id != me.id || !key.directory_id.is_zero() && key.directory_id != me.directory_id
        };
        if voter.is_some_and(other_me) {
            return self.reply(id, ErrorCode::InvalidVoterKey, refused);
        }
        if epoch < self.election.epoch {
            return self.reply(id, ErrorCode::FencedLeaderEpoch, refused);
        }
        self.learn(epoch, None);
        let own = (self.log.last_epoch(), self.log.log_end);
        let as_long = log >= own || planted(Bug::VoteForShorterLog);
        let granted = self.is_voter() && as_long && self.may_vote_for(candidate, pre_vote);
        if granted && !pre_vote {
            if self.election.voted.is_none() {
                self.election.voted = Some(candidate);
                self.persist();
            }
            self.vote_is_durable(candidate);
            // A vote given is a reason to wait for its outcome.
            let deadline = self.election_deadline();
            match &mut self.role {
                Role::Unattached(state) => state.deadline = deadline,
                Role::Prospective(_) => self.become_unattached(epoch),
                _ => {}
            }
        }
        self.reply(id, ErrorCode::None, ResponseBody::Vote { granted });
    }

    /// The rules by role, for a candidate of this epoch.
    fn may_vote_for(&self, candidate: ReplicaKey, pre_vote: bool) -> bool {
        if pre_vote {
            return match &self.role {
                Role::Unattached(_) | Role::Prospective(_) | Role::Candidate(_) | Role::Resigned(_) => true,
                // A leader that works stays.
                Role::Follower(follower) => !follower.has_fetched,
                Role::Leader(_) => false,
            };
        }
        let free =
            self.election.leader.is_none() && self.election.voted.is_none_or(|voted| voted == candidate);
        free && matches!(self.role, Role::Unattached(_) | Role::Prospective(_))
    }

    pub(crate) fn vote_answered(&mut self, from: NodeId, pre_vote: bool, epoch: LeaderEpoch, granted: bool) {
        if epoch != self.election.epoch {
            return;
        }
        let majority = self.config.voters.majority();
        let voters = self.config.voters.len();
        match &mut self.role {
            Role::Prospective(state) if pre_vote && granted => {
                state.granted.insert(from);
                if state.granted.len() >= majority {
                    self.become_candidate();
                }
            }
            Role::Candidate(state) if !pre_vote && granted => {
                state.granted.insert(from);
                if state.granted.len() >= majority {
                    self.become_leader();
                }
            }
            Role::Candidate(state) if !pre_vote => {
                state.rejected.insert(from);
                if state.rejected.len() > voters - majority {
                    // Lost. Waiting a while, at random, keeps two candidates from losing together again.
                    let deadline = self.election_deadline();
                    if let Role::Candidate(state) = &mut self.role {
                        state.deadline = state.deadline.min(deadline);
                    }
                }
            }
            _ => {}
        }
    }
}
