//! The rows of a window as they are, kept until it fires: one side of a join of two windows whose rows nothing groups.
//! Panes are those of aggregates over windows ([`PaneKey`]), and so is when they fire; late rows have been taken out by the
//! window step before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, UInt32Type};
use millstream_model::{EventTime, LateRule, Watermark, Window, Windows};

use super::Give;
use super::aggregate::KEY_COLUMNS;
use super::chunk::Chunk;
use super::faults::Faults;
use super::pane::{members_in, members_of, part, spill_runs};
use super::run::Run;
use super::windowed::{PaneKey, windows_over};
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// Batches of so many rows are not copied into larger ones.
const LARGE_ROWS: usize = 1_024;
/// How many committed batches a pane has before they are made one.
const COMMITTED_BATCHES_MAX: usize = 64;

/// Where a column of the rows comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowColumn {
    WindowStart,
    WindowEnd,
    /// This column of state rows.
    Kept(usize),
}

/// What is kept of rows; fixed by the query.
pub(crate) struct RowsPlan {
    pub(crate) late: LateRule,
    pub(crate) windows: Windows,
    pub(crate) key_groups: u32,
    /// Key group, pane, and the columns that are no bounds of a window.
    pub(crate) state_schema: SchemaRef,
    pub(crate) output: Vec<RowColumn>,
    pub(crate) schema: SchemaRef,
}

struct Pane {
    /// In a committed transaction, and not yet in one.
    committed: Vec<Run>,
    pending: Vec<RecordBatch>,
    /// A bit for each key group that has rows here.
    members: Vec<u64>,
}

/// In which of a pane's layers rows are put.
#[derive(Clone, Copy)]
enum Layer {
    Committed,
    Pending,
}

impl Pane {
    fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Gives the rows of the key groups that are wanted, some at a time.
    fn each(
        &self,
        wanted: impl Fn(u32) -> bool,
        mut give: impl FnMut(&RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        self.committed.iter().try_for_each(|run| run.each(&wanted, &mut give))?;
        self.pending.iter().try_for_each(|rows| give(&part(rows, &wanted)?))
    }

    fn size(&self) -> usize {
        let pending = self.pending.iter().map(RecordBatch::get_array_memory_size);
        self.committed.iter().map(Run::size).sum::<usize>() + pending.sum::<usize>()
    }

    fn put(&mut self, rows: RecordBatch, layer: Layer) {
        for group in rows.column(0).as_primitive::<UInt32Type>().values() {
            self.members[*group as usize / 64] |= 1 << (group % 64);
        }
        match layer {
            Layer::Committed => self.committed.push(Run::Memory(rows)),
            Layer::Pending => self.pending.push(rows),
        }
    }

    /// Makes one of the committed rows that are in memory, and leaves what is in a scratch as it is.
    fn merge(&mut self, plan: &RowsPlan) -> Result<(), StageError> {
        let (mut kept, mut rows) = (Vec::new(), Vec::new());
        for run in self.committed.drain(..) {
            match run {
                Run::Memory(part) => rows.push(part),
                Run::Partial(_) | Run::Disk(_) => kept.push(run),
            }
        }
        kept.push(Run::Memory(concat_batches(&plan.state_schema, &rows)?));
        self.committed = kept;
        Ok(())
    }

    /// Lets go of the rows of these key groups, which rise.
    fn drop_groups(&mut self, gone: &[u32]) -> Result<(), StageError> {
        let is_gone = members_in(gone);
        let wanted = |group: u32| gone.binary_search(&group).is_err();
        self.members.iter_mut().zip(&is_gone).for_each(|(here, gone)| *here &= !gone);
        if self.members.iter().all(|word| *word == 0) {
            (self.committed, self.pending) = (Vec::new(), Vec::new());
            return Ok(());
        }
        for run in std::mem::take(&mut self.committed) {
            self.committed.extend(run.without(&is_gone)?);
        }
        for batch in &mut self.pending {
            *batch = part(batch, wanted)?;
        }
        self.pending.retain(|batch| batch.num_rows() > 0);
        Ok(())
    }
}

/// See the module.
pub(crate) struct WindowRows {
    pub(crate) plan: RowsPlan,
    panes: BTreeMap<i64, Pane>,
}

impl WindowRows {
    pub(crate) fn new(plan: RowsPlan) -> WindowRows {
        WindowRows { plan, panes: BTreeMap::new() }
    }

    /// Adds rows to their panes.
    pub(crate) fn update(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        let panes = chunk.panes.as_ref().expect("rows are kept behind a window");
        if chunk.rows() == 0 {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(chunk.groups.clone()), Arc::new(panes.clone())];
        let kept = self.plan.output.iter().zip(chunk.batch.columns());
        let kept = kept.filter(|(column, _)| matches!(column, RowColumn::Kept(_)));
        columns.extend(kept.map(|(_, values)| Arc::clone(values)));
        let rows = RecordBatch::try_new(Arc::clone(&self.plan.state_schema), columns)?;
        self.put(rows, Layer::Pending)
    }

    fn pane(&mut self, key: i64) -> &mut Pane {
        let words = self.plan.key_groups.div_ceil(64) as usize;
        let empty = || Pane { committed: Vec::new(), pending: Vec::new(), members: vec![0; words] };
        self.panes.entry(key).or_insert_with(empty)
    }

    /// Puts state rows into their panes.
    fn put(&mut self, rows: RecordBatch, layer: Layer) -> Result<(), StageError> {
        let panes = rows.column(1).as_primitive::<Int64Type>().values().clone();
        let Some(first) = panes.first().copied() else { return Ok(()) };
        if panes.iter().all(|pane| *pane == first) {
            self.pane(first).put(rows, layer);
            return Ok(());
        }
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, pane) in panes.iter().enumerate() {
            places.entry(*pane).or_default().push(row as u32);
        }
        for (pane, places) in places {
            let rows = take_record_batch(&rows, &UInt32Array::from(places))?;
            self.pane(pane).put(rows, layer);
        }
        Ok(())
    }

    /// The key groups that have rows in some pane, rising.
    fn members(&self) -> Vec<u32> {
        let mut members = vec![0; self.plan.key_groups.div_ceil(64) as usize];
        for pane in self.panes.values() {
            members.iter_mut().zip(&pane.members).for_each(|(all, here)| *all |= here);
        }
        members_of(&members).collect()
    }

    /// The rows of every window that is over for its key group at these watermarks and was not at those before.
    pub(crate) fn fire(
        &mut self,
        before: &[i64],
        watermarks: &[i64],
        fired_at: &mut [i64],
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let (windows, late) = (self.plan.windows, &self.plan.late);
        let members = self.members();
        let keys = self.panes.keys().copied();
        for window in windows_over(keys, (windows, late), &members, before, watermarks) {
            let is_due = |group: u32| {
                let at = |of: &[i64]| Watermark::from_raw(of[group as usize]);
                late.fires_between(window.end, at(before), at(watermarks))
            };
            let (mut small, mut small_rows) = (Vec::new(), 0);
            for pane in self.of_window(window) {
                let due: Vec<u32> = members_of(&pane.members).filter(|group| is_due(*group)).collect();
                for group in &due {
                    let at = &mut fired_at[*group as usize];
                    *at = late.fires_at(window.end).max(*at);
                }
                pane.each(is_due, |rows| {
                    match rows.num_rows() {
                        0 => {}
                        // What is large goes on as it is.
                        LARGE_ROWS.. => return give(self.output(rows, window)?, faults),
                        _ => small.push(rows.clone()),
                    }
                    small_rows += rows.num_rows();
                    if small_rows >= LARGE_ROWS {
                        let rows = concat_batches(&self.plan.state_schema, &std::mem::take(&mut small))?;
                        small_rows = 0;
                        give(self.output(&rows, window)?, faults)?;
                    }
                    Ok(())
                })?;
            }
            if !small.is_empty() {
                let rows = concat_batches(&self.plan.state_schema, &small)?;
                give(self.output(&rows, window)?, faults)?;
            }
        }
        self.forget_over(watermarks, |_| true)
    }

    /// The panes that hold rows of a window.
    fn of_window(&self, window: Window) -> impl Iterator<Item = &Pane> {
        let windows = self.plan.windows;
        let slices = (window.start..window.end).step_by(windows.slice_ms() as usize).map(PaneKey::Slice);
        // Tumbling windows have slices only, whose numbers those of whole windows would be.
        let own = (!windows.is_tumbling()).then_some(PaneKey::Whole(window.end));
        slices.chain(own).filter_map(move |key| self.panes.get(&key.to_raw(windows)))
    }

    fn output(&self, rows: &RecordBatch, window: Window) -> Result<Chunk, StageError> {
        let count = rows.num_rows();
        let instants = |at: EventTime| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from(vec![at; count]).with_timezone("UTC"))
        };
        let columns = self.plan.output.iter().map(|column| match column {
            RowColumn::WindowStart => instants(window.start),
            RowColumn::WindowEnd => instants(window.end),
            RowColumn::Kept(at) => Arc::clone(rows.column(*at)),
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns.collect())?;
        Ok(Chunk::made(batch, rows.column(0).as_primitive::<UInt32Type>().clone()))
    }

    /// Lets go of what no window needs any more at these watermarks, of some key groups.
    fn forget_over(&mut self, watermarks: &[i64], of: impl Fn(u32) -> bool) -> Result<(), StageError> {
        let (windows, late) = (self.plan.windows, &self.plan.late);
        for (raw, pane) in &mut self.panes {
            let last = PaneKey::from_raw(*raw, windows).last_window(windows);
            let is_over = |group: u32| {
                of(group) && late.fired(last.end, Watermark::from_raw(watermarks[group as usize]))
            };
            let gone: Vec<u32> = members_of(&pane.members).filter(|group| is_over(*group)).collect();
            if !gone.is_empty() {
                pane.drop_groups(&gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        Ok(())
    }

    /// What came since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for pane in self.panes.values_mut() {
            rows.extend(pane.pending.iter().cloned());
            pane.committed.extend(pane.pending.drain(..).map(Run::Memory));
            let in_memory = pane.committed.iter().filter(|run| matches!(run, Run::Memory(_))).count();
            if in_memory > COMMITTED_BATCHES_MAX {
                pane.merge(&self.plan)?;
            }
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&mut self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let mut all = Vec::new();
        for pane in self.panes.values() {
            pane.each(
                |group| wanted.has(group),
                |rows| {
                    all.push(rows.clone());
                    Ok(())
                },
            )?;
        }
        Ok(concat_batches(&self.plan.state_schema, &all)?)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        self.put(part(batch, |group| owned.has(group))?, Layer::Committed)
    }

    /// After a restore: drops windows that had fired for the restored key groups at these watermarks.
    pub(crate) fn finish_restore(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
        self.forget_over(watermarks, |group| restored.has(group))
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        for pane in self.panes.values_mut() {
            let gone: Vec<u32> = members_of(&pane.members).filter(|member| groups.has(*member)).collect();
            if !gone.is_empty() {
                pane.drop_groups(&gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        Ok(())
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free: first what is asked for last.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        let mut panes = self.panes.values_mut().rev();
        panes.try_for_each(|pane| spill_runs(&mut pane.committed, &[], spill, bytes))
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.panes.values().flat_map(|pane| &pane.committed).map(Run::disk_size).sum()
    }

    pub(crate) fn size(&self) -> usize {
        self.panes.values().map(Pane::size).sum()
    }

    /// Open windows, or slices of them.
    pub(crate) fn entries(&self) -> usize {
        self.panes.len()
    }

    /// The columns that are kept.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &str> {
        self.plan.state_schema.fields().iter().skip(KEY_COLUMNS).map(|field| field.name().as_str())
    }
}
