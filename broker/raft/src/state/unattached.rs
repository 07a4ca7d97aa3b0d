//! Unattached: no leader is known. A voter waits for its election time-out; every member asks around for a leader.
//! Whether it has voted in this epoch is in the election state.

use millstream_types::{Millis, Rng};

use crate::quorum::Quorum;
use crate::state::Role;

#[derive(Clone, Debug)]
pub(crate) struct Unattached {
    pub(crate) deadline: Millis,
    pub(crate) find_leader_at: Millis,
}

impl Quorum {
    pub(crate) fn poll_unattached(&mut self) {
        let Role::Unattached(state) = &self.role else { return };
        if self.now >= state.deadline {
            if self.is_voter() {
                return self.become_prospective();
            }
            let deadline = self.election_deadline();
            if let Role::Unattached(state) = &mut self.role {
                state.deadline = deadline;
            }
        }
        self.look_for_leader();
    }

    /// Fetches from a voter by chance: whoever is not the leader answers who is.
    fn look_for_leader(&mut self) {
        // A fetch says what is flushed, also to a leader that was not known to be one.
        if self.log.flushed_end < self.log.log_end {
            return;
        }
        let others = self.others();
        let wait = self.config.fetch_timeout_ms;
        let Role::Unattached(state) = &mut self.role else { return };
        if self.now < state.find_leader_at {
            return;
        }
        state.find_leader_at = self.now + wait;
        if others.is_empty() {
            return;
        }
        let to = others[self.rng.below(others.len() as u64) as usize];
        self.send_fetch(to, 0);
    }
}
