//! Resigned: led this epoch, and will not lead it again, because it was asked to stop, lost its followers, or has
//! restarted. Grants no binding vote in the epoch; goes on to the next when nobody else did.

use millstream_types::Millis;

use crate::quorum::Quorum;
use crate::state::Role;

#[derive(Clone, Debug)]
pub(crate) struct Resigned {
    pub(crate) deadline: Millis,
}

impl Quorum {
    pub(crate) fn poll_resigned(&mut self) {
        let Role::Resigned(state) = &self.role else { return };
        if self.now >= state.deadline {
            self.become_unattached(self.election.epoch + 1);
        }
    }
}
