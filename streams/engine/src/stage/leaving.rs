//! Rows that leave an operator: out of the stage, and through the operators behind it. Where a commit gives much, what comes out is
//! handed out while it does. Never enters: what fires, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pass::reason_of;
use super::{Failed, FailedAt, Operator, OperatorCounts, OutputBatch, Outputs, Running};
use crate::batch_ipc::bytes_of;
use crate::error::StageError;
use crate::op::Give;
use crate::op::chunk::Chunk;
use crate::op::faults::{Fault, Faults};

/// About how many bytes of rows wait before they are handed out; few in tests, whose worlds are small.
const WAITING_BYTES: usize = if cfg!(test) { 1 << 10 } else { 4 << 20 };

/// Takes what came out.
pub(super) type Take<'a> = &'a mut (dyn FnMut(Outputs) -> Result<(), StageError> + 'a);

/// What leaves the stage.
pub(super) struct Leaving<'a, 't> {
    out: &'a mut Outputs,
    bytes: usize,
    take: Option<Take<'t>>,
}

impl<'a, 't> Leaving<'a, 't> {
    /// Goes to `out`, from where `take`, if there is one, has it as soon as there is some.
    pub(super) fn new(out: &'a mut Outputs, take: Option<Take<'t>>) -> Leaving<'a, 't> {
        Leaving { out, bytes: 0, take }
    }

    fn push(&mut self, rows: OutputBatch) -> Result<(), StageError> {
        let bytes = if self.take.is_some() { bytes_of(&rows.batch) } else { 0 };
        self.out.batches.push(rows);
        self.waits(bytes)
    }

    /// Rows of an operator for which something could not be computed, of which none is left in `faults`.
    pub(super) fn fail_rows(&mut self, step: &Arc<str>, faults: &mut Faults) -> Result<(), StageError> {
        for Fault { row, error } in faults.drain(..) {
            let bytes = bytes_of(&row);
            self.out.failed.push(Failed {
                step: Arc::clone(step),
                what: FailedAt::Row(row),
                reason: reason_of(&error),
                error: error.to_string(),
            });
            self.waits(bytes)?;
        }
        Ok(())
    }

    /// So many bytes more wait.
    fn waits(&mut self, bytes: usize) -> Result<(), StageError> {
        let Some(take) = &mut self.take else { return Ok(()) };
        self.bytes += bytes;
        if self.bytes < WAITING_BYTES {
            return Ok(());
        }
        self.bytes = 0;
        take(std::mem::take(self.out))
    }
}

/// An operator that gives rows of its state, and those behind it.
pub(super) struct Giver<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) wanted: bool,
    pub(super) counts: &'a mut OperatorCounts,
    /// Which node it is.
    pub(super) node: usize,
    pub(super) behind: &'a mut [Operator],
}

impl Giver<'_> {
    /// Lets it work, and counts how long it did: what those behind it do with what it gives, and whoever takes what comes out, is
    /// not its own.
    pub(super) fn timed(
        &mut self,
        leaving: &mut Leaving<'_, '_>,
        work: impl FnOnce(Give<'_>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let (began, mut of_others) = (Instant::now(), Duration::ZERO);
        let name = self.name;
        let done = work(&mut |chunk, faults| {
            let began = Instant::now();
            leaving.fail_rows(name, faults)?;
            let given = self.hand_on(chunk, leaving);
            of_others += began.elapsed();
            given
        });
        self.counts.busy += began.elapsed().saturating_sub(of_others);
        done
    }

    /// Rows that it gives, with a commit or before: out, if wanted, and through the operators behind it.
    pub(super) fn hand_on(&mut self, chunk: Chunk, leaving: &mut Leaving<'_, '_>) -> Result<(), StageError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        self.counts.rows_out += chunk.rows() as u64;
        if self.wanted {
            leaving.push(OutputBatch::made(Arc::clone(self.name), &chunk))?;
        }
        let (mut node, mut rest) = (self.node, &mut *self.behind);
        while let Some((operator, behind)) = rest.split_first_mut() {
            node += 1;
            // Behind one that has windows are queries without any, groups that want none, joins that are kept up to date, and what is divided.
            if let Running::Sql { query, .. } = &mut operator.running {
                // A union may read it more than once.
                let began = Instant::now();
                let inputs = operator.inputs.iter().enumerate().filter(|(_, input)| **input == self.node);
                let (mut given, mut faults) = (Vec::new(), Faults::new());
                for (branch, _) in inputs {
                    operator.counts.take(&chunk);
                    match query.is_windowed() {
                        true => given.extend(query.hold_behind(branch, chunk.clone(), &mut faults)?),
                        false => given.extend(query.run_behind(branch, chunk.clone(), &mut faults)?),
                    }
                }
                operator.counts.busy += began.elapsed();
                leaving.fail_rows(&operator.name, &mut faults)?;
                let Operator { name, wanted, counts, .. } = operator;
                let mut next = Giver { name, wanted: *wanted, counts, node, behind: &mut *behind };
                given.into_iter().try_for_each(|chunk| next.hand_on(chunk, leaving))?;
            }
            rest = behind;
        }
        Ok(())
    }
}
