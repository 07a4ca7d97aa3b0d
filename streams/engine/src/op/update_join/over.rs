//! Functions OVER rows that take the place of each other, kept up to date (ADR 0084): ranks, shares and neighbours among the latest rows
//! of each key, and with a condition on them the first n. With a sending, the rows of each key of which one has changed are computed as
//! they were at the last one and as they are now, and the difference goes out, as of a join (UJ-3). The cost goes with the rows of the
//! keys that have changed. Never enters: how rows are kept (`side`).

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};

use super::difference::Before;
use super::side::{AsOf, group_in};
use super::{UpdateSide, Updates};
use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::op::faults::{Fault, Faults};
use crate::op::stored_rows::Portion;
use crate::op::{Give, Step, run_behind};

/// See the module.
pub(crate) struct UpdateOver {
    /// The functions, and what is done behind them to what comes out, row by row.
    pub(crate) steps: Vec<Step>,
    /// The columns that what these give is known by.
    pub(crate) identity: Vec<usize>,
}

impl UpdateOver {
    /// Gives what has changed in what comes out since the last sending, when it is due. All rows of key groups that were restored since
    /// are sent once more.
    pub(crate) fn fire(
        &self,
        side: &mut UpdateSide,
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        if updates == Updates::Wait {
            return Ok(());
        }
        let restored = side.restored().clone();
        if !restored.is_empty() {
            for rows in side.by_group(Some(&restored)).into_values() {
                self.differing(side, rows, Sent::All, faults, give)?;
            }
        }
        let (mut rows, now) = side.changes(&restored);
        rows.extend(now);
        self.differing(side, rows, Sent::Changed, faults, give)?;
        side.settle()
    }

    /// What comes out now, all of it. Changes nothing.
    pub(crate) fn open(
        &self,
        side: &UpdateSide,
        give: &mut dyn FnMut(Chunk) -> Result<(), StageError>,
        faults: &mut Faults,
    ) -> Result<(), StageError> {
        let keys = keys_of(side, side.by_group(None).into_values().flatten());
        self.each(side, &keys, AsOf::Now, faults, &mut |chunk, _| give(chunk))
    }

    /// Gives how what the keys of some rows gave differs from what they give, and tells what cannot be computed and could, or was
    /// another row.
    fn differing(
        &self,
        side: &UpdateSide,
        rows: Vec<u32>,
        sent: Sent,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let (mut was, mut told) = (Vec::new(), Faults::new());
        // Where all is as it was, nothing is gone.
        let is_same = sent == Sent::All && rows.iter().all(|row| side.is_same(*row));
        let keys = keys_of(side, rows.into_iter());
        if !is_same {
            self.each(side, &keys, AsOf::LastSent, &mut told, &mut |chunk, _| {
                was.push(chunk);
                Ok(())
            })?;
        }
        let mut before = Before::new(&was, &self.identity);
        let mut found = Faults::new();
        self.each(side, &keys, AsOf::Now, &mut found, &mut |chunk, _| {
            let differs = before.differs(chunk, sent == Sent::All)?;
            differs.into_iter().try_for_each(|chunk| give(chunk, faults))
        })?;
        if sent == Sent::Changed && !told.is_empty() {
            let content = |fault: &Fault| format!("{:?} {}", fault.row.columns(), fault.error);
            let told: HashSet<String> = told.iter().map(content).collect();
            found.retain(|fault| !told.contains(&content(fault)));
        }
        faults.extend(found);
        before.gone()?.into_iter().try_for_each(|chunk| give(chunk, faults))
    }

    /// What the rows of keys give, in portions of whole keys, each of one key group.
    fn each(
        &self,
        side: &UpdateSide,
        keys: &BTreeSet<&[u8]>,
        as_of: AsOf,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let most = Portion::rows_of(side.row_bytes());
        let mut rows: Vec<u32> = Vec::new();
        let mut keys = keys.iter().peekable();
        while let Some(key) = keys.next() {
            rows.extend(side.of_key(key).iter().filter(|row| side.is(**row, as_of)));
            let goes_on = keys.peek().is_some_and(|next| group_in(next) == group_in(key));
            if rows.len() < most && goes_on {
                continue;
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let schema = Arc::clone(&side.plan.joined);
            let batch = RecordBatch::try_new_with_options(schema, side.joined(&rows)?, &options)?;
            let chunk = Chunk::made(batch, side.groups(&rows));
            rows.clear();
            for chunk in run_behind(&self.steps, vec![chunk], faults)? {
                give(chunk, faults)?;
            }
        }
        Ok(())
    }
}

/// Which rows go out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// All of them: of key groups that were restored.
    All,
    /// Those that are new or others.
    Changed,
}

/// The keys of some rows.
fn keys_of(side: &UpdateSide, rows: impl Iterator<Item = u32>) -> BTreeSet<&[u8]> {
    rows.filter_map(|row| side.key_of(row)).collect()
}
