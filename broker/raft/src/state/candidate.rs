//! Candidate: has voted for itself in a new epoch, and asks for the others' votes.

use std::collections::BTreeSet;

use millstream_types::{Millis, NodeId};

use crate::quorum::Quorum;
use crate::state::Role;

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) granted: BTreeSet<NodeId>,
    pub(crate) rejected: BTreeSet<NodeId>,
    pub(crate) deadline: Millis,
}

impl Quorum {
    pub(crate) fn poll_candidate(&mut self) {
        let Role::Candidate(state) = &self.role else { return };
        if self.now >= state.deadline {
            self.become_prospective();
        }
    }
}
