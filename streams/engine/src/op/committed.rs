//! A pane's committed runs, and how they are made fewer: few at once in the commit that finds them many, more in a thread beside the
//! stage, which goes on meanwhile. Runs never change, so the thread reads them as they were; what became of their key groups
//! until it is done is made up for then. Rows of key groups that have gone are let go of likewise: a stage that gives half of a large state away
//! would wait for the other half to be copied. Never enters: what state rows mean (`pane`).

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use millstream_types::CpuBudget;

use super::aggregate::AggregatePlan;
use super::pane::merged_to;
use super::run::{Run, add_to};
use crate::error::StageError;

/// How many runs a pane keeps before some are made one.
const RUNS_MAX: usize = if cfg!(test) { 3 } else { 8 };
/// And before a commit waits for that, since threads do not keep up.
const RUNS_LIMIT: usize = 4096;
/// From how many rows on runs are merged, and purged, beside the stage: for as many a commit takes some 20 ms, by the 0.85 s that 2.7
/// million took (docs/internals/measurements.md).
const BESIDE_ROWS_MIN: usize = if cfg!(test) { 6 } else { 65_536 };

/// How many merges are made beside stages now, in this process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// See the module.
#[derive(Default)]
pub(crate) struct Committed {
    runs: Vec<Run>,
    merging: Option<Merging>,
}

/// A merge beside the stage.
struct Merging {
    /// Of these runs: how many lie before them, and how many of them there still are.
    from: usize,
    count: usize,
    /// A bit for each key group that was let go of since.
    gone: Vec<u64>,
    thread: JoinHandle<Result<Run, StageError>>,
    /// In tests a merge is done when it is asked for the second time, however the threads run.
    #[cfg(test)]
    is_asked: std::cell::Cell<bool>,
}

/// A place among the merges that may be made at once: half as many as there are processors.
struct Slot;

impl Slot {
    fn take() -> Option<Slot> {
        let max = thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1));
        let more = |now: usize| (now < max || cfg!(test)).then_some(now + 1);
        UNDER_WAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Merging {
    /// Makes one run of several beside the stage; nothing where there are as many merges as may be.
    fn begin(
        runs: &[Run],
        from: usize,
        merge: impl FnOnce(&[Run]) -> Result<Run, StageError> + Send + 'static,
    ) -> Option<Merging> {
        let slot = Slot::take()?;
        let runs = runs.to_vec();
        let count = runs.len();
        let cpu = CpuBudget::of_thread();
        let merge = move || {
            let _slot = slot;
            cpu.run(|| merge(&runs))
        };
        let thread = thread::Builder::new().name("merge".to_owned()).spawn(merge).ok()?;
        Some(Merging {
            from,
            count,
            gone: Vec::new(),
            thread,
            #[cfg(test)]
            is_asked: std::cell::Cell::new(false),
        })
    }

    fn is_over(&self) -> bool {
        #[cfg(test)]
        return self.is_asked.replace(true);
        #[cfg(not(test))]
        self.thread.is_finished()
    }
}

/// One run of several.
fn merge(plan: &AggregatePlan, runs: &[Run], pane: i64) -> Result<Run, StageError> {
    let to = runs.iter().find_map(Run::spilled);
    merged_to(plan, runs, pane, |_| true, to)
}

impl Committed {
    /// The runs, in their order.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The same, to be moved to a scratch.
    pub(crate) fn runs_mut(&mut self) -> &mut [Run] {
        &mut self.runs
    }

    pub(crate) fn push(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(crate) fn clear(&mut self) {
        (self.runs, self.merging) = (Vec::new(), None);
    }

    /// Lets go of the rows of some key groups, by a bit for each.
    pub(crate) fn forget(&mut self, gone: &[u64]) -> Result<(), StageError> {
        let under = self.merging.as_ref().map_or(0..0, |merging| merging.from..merging.from + merging.count);
        let (mut before, mut count) = (0, 0);
        for (at, run) in std::mem::take(&mut self.runs).into_iter().enumerate() {
            let kept = match run.rows() >= BESIDE_ROWS_MIN {
                true => run.without_later(gone)?,
                false => run.without(gone)?,
            };
            let Some(run) = kept else { continue };
            self.runs.push(run);
            before += usize::from(at < under.start);
            count += usize::from(under.contains(&at));
        }
        if let Some(merging) = &mut self.merging {
            (merging.from, merging.count) = (before, count);
            add_to(&mut merging.gone, gone);
        }
        Ok(())
    }

    /// Puts what was merged beside the stage in the place of its runs, if that is over.
    pub(crate) fn take_in(&mut self) -> Result<(), StageError> {
        let Some(merging) = self.merging.take_if(|merging| merging.is_over()) else { return Ok(()) };
        let Merging { from, count, gone, thread, .. } = merging;
        // Had the stage merged, the panic would be its own.
        let merged = match thread.join().unwrap_or_else(|panic| resume_unwind(panic)) {
            // A scratch without room: another time.
            Err(StageError::Scratch(_)) => return Ok(()),
            merged => merged?.without(&gone)?,
        };
        self.runs.splice(from..from + count, merged);
        Ok(())
    }

    /// Makes runs fewer where there are many.
    pub(crate) fn make_fewer(&mut self, plan: &AggregatePlan, pane: i64) -> Result<(), StageError> {
        if self.merging.is_some() {
            return Ok(());
        }
        if self.runs.len() <= RUNS_MAX {
            if let Some(at) = self.runs.iter().position(|run| matches!(run, Run::Partial(_))) {
                self.merging = Merging::begin(&self.runs[at..=at], at, |runs| runs[0].purged());
            }
            return Ok(());
        }
        let (from, rows) = self.mergeable();
        if rows >= BESIDE_ROWS_MIN {
            let plan = plan.clone();
            self.merging = Merging::begin(&self.runs[from..], from, move |runs| merge(&plan, runs, pane));
            if self.merging.is_some() || self.runs.len() < RUNS_LIMIT {
                return Ok(());
            }
        }
        self.merge_from(plan, from, pane)
    }

    /// The same, all of it now.
    pub(crate) fn make_fewer_now(&mut self, plan: &AggregatePlan, pane: i64) -> Result<(), StageError> {
        if self.runs.len() <= RUNS_MAX || self.merging.is_some() {
            return Ok(());
        }
        let (from, _) = self.mergeable();
        self.merge_from(plan, from, pane)
    }

    /// The last runs, from one on, that are not much larger than those behind them, so that each row is merged a number of times
    /// that is logarithmic in the number of commits; and their rows.
    fn mergeable(&self) -> (usize, usize) {
        let mut from = self.runs.len() - 1;
        let mut rows = self.runs[from].rows();
        while from > 0 && (self.runs[from - 1].rows() <= 2 * rows || from >= RUNS_MAX) {
            from -= 1;
            rows += self.runs[from].rows();
        }
        (from, rows)
    }

    fn merge_from(&mut self, plan: &AggregatePlan, from: usize, pane: i64) -> Result<(), StageError> {
        let merged = match merge(plan, &self.runs[from..], pane) {
            // A scratch without room: another time.
            Err(StageError::Scratch(_)) => return Ok(()),
            merged => merged?,
        };
        self.runs.truncate(from);
        self.runs.push(merged);
        Ok(())
    }
}
