//! When state of a stage goes to its scratch, and how much. Never enters: how it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_engine::error::StageError;
use millstream_engine::stage::Stage;
use millstream_engine::state::scratch::Spill;
use millstream_types::MemoryClaim;

use crate::error::WorkerError;
use crate::run::StageContext;
use crate::scratch::FileScratch;

/// So much more than what is wanted goes, of the budget, so that not every commit writes a little.
const BEYOND: u64 = 8;
/// How long nothing is tried behind a write that failed: disks that are full stay so for a while.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Spilling {
    to: Option<Spill>,
    failed: Option<Instant>,
    stage: String,
}

impl Spilling {
    pub(super) fn new(context: &StageContext) -> Spilling {
        let folder = context.scratch.clone();
        let to = folder.map(|folder| Spill::to(Arc::new(FileScratch::new(folder))));
        Spilling { to, failed: None, stage: context.stage.clone() }
    }

    /// Moves state to the scratch while the process is short of memory: what it is short by and a part more, or all that can
    /// go. Whether anything went. A disk that takes nothing leaves state in memory, and is told.
    pub(super) fn relieve(&mut self, stage: &mut Stage, state: &MemoryClaim) -> Result<bool, WorkerError> {
        let Some(spill) = &self.to else { return Ok(false) };
        let budget = state.budget();
        let waits = self.failed.is_some_and(|at| at.elapsed() < TRY_AGAIN);
        if !budget.is_short() || waits {
            return Ok(false);
        }
        let bytes = budget.short_by().saturating_add(budget.limit_bytes() / BEYOND).min(state.held());
        match stage.spill(spill, usize::try_from(bytes).unwrap_or(usize::MAX)) {
            Ok(_) => self.failed = None,
            Err(StageError::Scratch(error)) => {
                tracing::warn!(
                    stage = %self.stage,
                    "state that memory has no room for does not go to the local disk: {error}; it stays in memory. Make room there, or give the process more with --memory"
                );
                self.failed = Some(Instant::now());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}
