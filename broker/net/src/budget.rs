//! The bytes that requests under way may hold, over all connections of a broker. Waiting for a permit is what makes
//! a broker that is full stop reading from its sockets. Never enters: counting by request.

use std::sync::Arc;

use millstream_types::{MemoryBudget, MemoryClaim};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are given in steps of this many bytes, since a semaphore counts in 32 bits.
const STEP: usize = 256;

/// A number of bytes shared by all who hold a clone.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    semaphore: Arc<Semaphore>,
    steps: u32,
    claim: Arc<MemoryClaim>,
}

/// Bytes taken from a [`ByteBudget`]; they go back when this is dropped.
#[derive(Debug)]
pub struct BytePermit {
    permit: OwnedSemaphorePermit,
    claim: Arc<MemoryClaim>,
}

impl BytePermit {
    fn new(permit: OwnedSemaphorePermit, claim: &Arc<MemoryClaim>) -> BytePermit {
        claim.grow((permit.num_permits() * STEP) as u64);
        BytePermit { permit, claim: Arc::clone(claim) }
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.claim.shrink((self.permit.num_permits() * STEP) as u64);
    }
}

impl ByteBudget {
    /// A budget of `bytes`, at least one request of 256 bytes. What is taken is claimed of `memory` as `requests`.
    pub fn new(bytes: usize, memory: &MemoryBudget) -> ByteBudget {
        let steps = u32::try_from((bytes / STEP).max(1)).unwrap_or(u32::MAX >> 3).min(u32::MAX >> 3);
        let claim = Arc::new(memory.claim("requests"));
        ByteBudget { semaphore: Arc::new(Semaphore::new(steps as usize)), steps, claim }
    }

    fn steps_of(&self, bytes: usize) -> u32 {
        // A request above the whole budget takes all of it, and so runs alone.
        u32::try_from(bytes.div_ceil(STEP)).unwrap_or(u32::MAX).clamp(1, self.steps)
    }

    /// Waits until `bytes` are free and takes them.
    pub async fn take(&self, bytes: usize) -> BytePermit {
        match Arc::clone(&self.semaphore).acquire_many_owned(self.steps_of(bytes)).await {
            Ok(permit) => BytePermit::new(permit, &self.claim),
            Err(_) => unreachable!("the semaphore of a byte budget is never closed"),
        }
    }

    /// Takes `bytes` if they are free now.
    pub fn try_take(&self, bytes: usize) -> Option<BytePermit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(self.steps_of(bytes)).ok()?;
        Some(BytePermit::new(permit, &self.claim))
    }

    /// Bytes that are free now, to the step of 256.
    pub fn free(&self) -> usize {
        self.semaphore.available_permits() * STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_when_a_permit_goes() {
        let budget = ByteBudget::new(1024, &MemoryBudget::unlimited());
        let first = budget.try_take(600);
        assert!(first.is_some());
        assert!(budget.try_take(600).is_none());
        drop(first);
        assert_eq!(budget.free(), 1024);
        assert!(budget.try_take(1_000_000).is_some(), "a request above the budget runs alone");
    }
}
