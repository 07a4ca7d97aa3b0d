//! Prospective: would like to stand for election, and asks first whether a majority would have it (KIP-996), so that
//! a member that was cut off does not drive the epoch up and unseat a leader that works.

use std::collections::BTreeSet;

use millstream_types::{Millis, NodeId};

use crate::quorum::Quorum;
use crate::state::Role;

#[derive(Clone, Debug)]
pub(crate) struct Prospective {
    pub(crate) granted: BTreeSet<NodeId>,
    pub(crate) deadline: Millis,
}

impl Quorum {
    pub(crate) fn poll_prospective(&mut self) {
        let Role::Prospective(state) = &self.role else { return };
        if self.now < state.deadline {
            return;
        }
        let epoch = self.election.epoch;
        match self.election.leader.filter(|leader| *leader != self.config.me.id) {
            Some(leader) => self.become_follower(epoch, leader),
            None => self.become_unattached(epoch),
        }
    }
}
