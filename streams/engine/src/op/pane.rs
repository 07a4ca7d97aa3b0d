//! A pane's groups, of every key group together, in three layers: a live table that rows are added to, state rows
//! that left the live table and are not committed yet, and state rows that are. A state row is a group's key and its
//! accumulators' state; state rows of the same group are merged. The layers make a commit cost what changed since the
//! last one, and let a key group leave without the others being touched. Committed rows may go to a scratch: then they are
//! merged portion by portion.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array, new_empty_array,
    new_null_array,
};
use arrow::compute::{concat, concat_batches, filter_record_batch, nullif};
use arrow::datatypes::UInt32Type;
use datafusion_expr::{EmitTo, GroupsAccumulator};

use super::again::Groups;
use super::aggregate::{AggregateColumn, AggregatePlan, Values};
use super::chunk::constant_i64;
use super::committed::Committed;
use super::faults::by_parts;
use super::group_index::{GroupIndex, STRANGER};
use super::group_sieve::GroupSieve;
use super::run::{Portions, Run, RunWriter};
use super::sum;
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// Groups and their accumulators.
struct Table {
    groups: GroupIndex,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    indices: Vec<usize>,
}

impl Table {
    fn new(plan: &AggregatePlan) -> Result<Table, StageError> {
        let groups = GroupIndex::new(&plan.group_schema);
        let accumulators: Result<_, _> = plan.all_aggregates().map(|a| a.accumulator()).collect();
        Ok(Table { groups, accumulators: accumulators?, indices: Vec::new() })
    }

    /// Merges state rows in; their columns are those of the state schema. Where groups were named beforehand, those of others are
    /// passed over.
    fn merge(&mut self, plan: &AggregatePlan, rows: &RecordBatch) -> Result<(), StageError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.groups.intern(&plan.group_columns(rows), &mut self.indices)?;
        let (mut rows, count) = (rows, self.groups.len());
        let wanted;
        if self.indices.contains(&STRANGER) {
            let keep: BooleanArray = self.indices.iter().map(|group| Some(*group != STRANGER)).collect();
            wanted = filter_record_batch(rows, &keep)?;
            self.indices.retain(|group| *group != STRANGER);
            if self.indices.is_empty() {
                return Ok(());
            }
            rows = &wanted;
        }
        let mut at = plan.state_from();
        for (accumulator, aggregate) in self.accumulators.iter_mut().zip(plan.all_aggregates()) {
            let state = &rows.columns()[at..at + aggregate.state_columns];
            accumulator.merge_batch(state, &self.indices, count)?;
            at += aggregate.state_columns;
        }
        Ok(())
    }

    /// Takes everything out as state rows of a pane.
    fn state(&mut self, plan: &AggregatePlan, pane: i64) -> Result<RecordBatch, StageError> {
        let rows = self.groups.len();
        if rows == 0 {
            // Some accumulators cannot say what nothing is.
            return Ok(RecordBatch::new_empty(plan.state_schema.clone()));
        }
        let mut groups = self.groups.take(rows)?.into_iter();
        let mut columns: Vec<ArrayRef> = groups.next().into_iter().collect();
        columns.push(constant_i64(pane, rows));
        columns.extend(groups);
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(RecordBatch::try_new(plan.state_schema.clone(), columns)?)
    }

    /// Takes everything out as results: the group columns, then a column for each aggregate.
    fn evaluate(&mut self, plan: &AggregatePlan) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), StageError> {
        let is_empty = self.groups.is_empty();
        let groups = self.groups.take(0)?;
        if is_empty {
            // Some accumulators cannot say what nothing is.
            return Ok((groups, plan.all_aggregates().map(|a| new_empty_array(&a.kind())).collect()));
        }
        let values: Result<Vec<ArrayRef>, _> =
            self.accumulators.iter_mut().map(|a| a.evaluate(EmitTo::All)).collect();
        Ok((groups, values?))
    }

    /// The same as the results of a window, with the groups that have none.
    fn results(&mut self, plan: &AggregatePlan) -> Result<Fired, StageError> {
        let mut unfit = Vec::new();
        let (groups, mut values) = match plan.aggregates.iter().any(AggregateColumn::may_fail) {
            false => self.evaluate(plan)?,
            true => self.evaluate_fit(plan, &mut unfit)?,
        };
        for (values, aggregate) in values.iter_mut().zip(&plan.aggregates) {
            let Some(beyond) = sum::beyond(&aggregate.function, values) else { continue };
            let too_large = || StageError::TooLarge {
                what: aggregate.function.name().to_owned(),
                kind: aggregate.kind().to_string(),
            };
            unfit.extend(
                (0..beyond.len()).filter(|group| beyond.value(*group)).map(|group| (group, too_large())),
            );
            *values = nullif(values, &beyond)?;
        }
        let mut groups = groups.into_iter();
        let key_groups = groups.next().expect("the key group is the first group column");
        let groups_of = key_groups.as_primitive::<UInt32Type>().clone();
        Ok(Fired { groups: groups_of, keys: groups.collect(), values, unfit })
    }

    /// As [`Table::evaluate`], where an aggregate may have no result: where it has none for some group, those are found, and have a
    /// null.
    fn evaluate_fit(
        &mut self,
        plan: &AggregatePlan,
        unfit: &mut Vec<(usize, StageError)>,
    ) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), StageError> {
        let state = self.state(plan, 0)?;
        let table_of = |rows: Range<usize>| -> Result<Table, StageError> {
            let mut table = Table::new(plan)?;
            table.merge(plan, &state.slice(rows.start, rows.len()))?;
            Ok(table)
        };
        let mut failed = BTreeSet::new();
        let mut attempt =
            |rows: Range<usize>| table_of(rows.clone())?.evaluate(plan).map(|values| (rows.start, values));
        let mut parts = Vec::new();
        let mut note = |group, _| failed.extend([group]);
        by_parts(0..state.num_rows(), &mut attempt, &mut note, &mut parts)?;
        for group in failed {
            let mut table = table_of(group..group + 1)?;
            let groups = table.groups.take(0)?;
            let mut values = Vec::new();
            for (accumulator, aggregate) in table.accumulators.iter_mut().zip(plan.all_aggregates()) {
                values.push(match accumulator.evaluate(EmitTo::All).map_err(StageError::from) {
                    Ok(value) => value,
                    Err(error) => {
                        unfit.push((group, error.computing(|| aggregate.function.name().to_owned())));
                        new_null_array(&aggregate.kind(), 1)
                    }
                });
            }
            parts.push((group, (groups, values)));
        }
        parts.sort_by_key(|(first, _)| *first);
        if parts.is_empty() {
            return self.evaluate(plan);
        }
        let columns = |of: &dyn Fn(usize) -> Vec<ArrayRef>| -> Result<Vec<ArrayRef>, StageError> {
            let all: Vec<Vec<ArrayRef>> = (0..parts.len()).map(of).collect();
            let column = |at: usize| {
                let parts: Vec<&dyn Array> = all.iter().map(|columns| columns[at].as_ref()).collect();
                Ok(concat(&parts)?)
            };
            (0..all[0].len()).map(column).collect()
        };
        Ok((columns(&|part| parts[part].1.0.clone())?, columns(&|part| parts[part].1.1.clone())?))
    }

    fn size(&self) -> usize {
        self.groups.size() + self.accumulators.iter().map(|a| a.size()).sum::<usize>()
    }
}

pub(crate) struct Pane {
    /// Its number, which its state rows have.
    key: i64,
    live: Table,
    pending: Vec<RecordBatch>,
    committed: Committed,
    /// A bit for each key group that has rows here.
    members: Vec<u64>,
}

/// The results of a window that has fired.
pub(crate) struct Fired {
    pub(crate) groups: UInt32Array,
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) values: Vec<ArrayRef>,
    /// The groups that have no result, by their place, with the reason.
    pub(crate) unfit: Vec<(usize, StageError)>,
}

/// The sum of parts of several panes.
pub(crate) struct Sum {
    table: Table,
    /// Where groups were named beforehand.
    sieve: Option<GroupSieve>,
}

impl Sum {
    /// Of nothing yet.
    pub(crate) fn new(plan: &AggregatePlan) -> Result<Sum, StageError> {
        Ok(Sum { table: Table::new(plan)?, sieve: None })
    }

    /// Of nothing yet, and later of these groups alone.
    pub(crate) fn of(plan: &AggregatePlan, groups: &Groups) -> Result<Sum, StageError> {
        let (mut table, mut sieve) = (Table::new(plan)?, GroupSieve::new(groups.len()));
        for columns in groups.parts() {
            table.groups.intern(columns, &mut table.indices)?;
            sieve.add(columns)?;
        }
        table.groups.only_these();
        Ok(Sum { table, sieve: Some(sieve) })
    }

    /// Adds state rows.
    pub(crate) fn merge(&mut self, plan: &AggregatePlan, rows: &RecordBatch) -> Result<(), StageError> {
        let Some(sieve) = &self.sieve else { return self.table.merge(plan, rows) };
        let rows = filter_record_batch(rows, &sieve.pass(&plan.group_columns(rows))?)?;
        self.table.merge(plan, &rows)
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.groups.is_empty()
    }

    /// The results.
    pub(crate) fn into_results(mut self, plan: &AggregatePlan) -> Result<Fired, StageError> {
        self.table.results(plan)
    }
}

/// Gives the sums of what runs hold of the key groups that are wanted, each of some of the groups: of all, where nothing is in a
/// scratch.
fn each_sum(
    plan: &AggregatePlan,
    runs: &[Run],
    wanted: impl Fn(u32) -> bool,
    mut give: impl FnMut(Sum) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let wanted = |_: usize, group: u32| wanted(group);
    let portions = Portions::new(runs, &plan.placed_by, wanted)?;
    for range in portions.ranges() {
        let mut sum = Sum::new(plan)?;
        portions.each(&range, wanted, |_, rows| sum.merge(plan, rows))?;
        if !sum.is_empty() {
            give(sum)?;
        }
    }
    Ok(())
}

/// Gives the results of the groups of some runs, of key groups that are wanted, in portions.
pub(crate) fn each_result(
    plan: &AggregatePlan,
    runs: &[Run],
    wanted: impl Fn(u32) -> bool,
    mut give: impl FnMut(Fired) -> Result<(), StageError>,
) -> Result<(), StageError> {
    each_sum(plan, runs, wanted, |sum| give(sum.into_results(plan)?))
}

/// One run of several, of key groups that are wanted, with a state row for each group: in the scratch, if one of them is and it
/// takes more. Its rows say that they are of this pane.
pub(crate) fn merged(
    plan: &AggregatePlan,
    runs: &[Run],
    pane: i64,
    wanted: impl Fn(u32) -> bool,
) -> Result<Run, StageError> {
    match runs.iter().find_map(Run::spilled) {
        None => merged_to(plan, runs, pane, &wanted, None),
        Some(spill) => match merged_to(plan, runs, pane, &wanted, Some(spill)) {
            Err(StageError::Scratch(_)) => merged_to(plan, runs, pane, &wanted, None),
            merged => merged,
        },
    }
}

/// The same, to a scratch or in memory.
pub(crate) fn merged_to(
    plan: &AggregatePlan,
    runs: &[Run],
    pane: i64,
    wanted: impl Fn(u32) -> bool,
    to: Option<&Spill>,
) -> Result<Run, StageError> {
    let mut writer = to.map(RunWriter::new);
    let mut parts = Vec::new();
    each_sum(plan, runs, wanted, |mut sum| {
        let rows = sum.table.state(plan, pane)?;
        match &mut writer {
            Some(writer) => writer.add(&rows, &plan.placed_by)?,
            None => parts.push(rows),
        }
        Ok(())
    })?;
    Ok(match (writer, parts.as_slice()) {
        (Some(writer), _) => writer.finish(),
        (None, [whole]) => Run::Memory(whole.clone()),
        (None, parts) => Run::Memory(concat_batches(&plan.state_schema, parts)?),
    })
}

/// Whether state rows are in a committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Committed,
    Pending,
}

impl Pane {
    pub(crate) fn new(plan: &AggregatePlan, key: i64) -> Result<Pane, StageError> {
        let members = vec![0; plan.key_groups.div_ceil(64) as usize];
        Ok(Pane {
            key,
            live: Table::new(plan)?,
            pending: Vec::new(),
            committed: Committed::default(),
            members,
        })
    }

    /// The pane of this number, made where there is none.
    pub(crate) fn at<'a>(
        panes: &'a mut BTreeMap<i64, Pane>,
        plan: &AggregatePlan,
        key: i64,
    ) -> Result<&'a mut Pane, StageError> {
        match panes.entry(key) {
            Entry::Occupied(pane) => Ok(pane.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Pane::new(plan, key)?)),
        }
    }

    /// Adds rows.
    pub(crate) fn update(&mut self, rows: &Values) -> Result<(), StageError> {
        self.add_members(rows.groups[0].as_primitive::<UInt32Type>());
        let live = &mut self.live;
        for groups in rows.by_set()? {
            live.groups.intern(&groups, &mut live.indices)?;
            for (accumulator, (values, filter)) in live.accumulators.iter_mut().zip(&rows.arguments) {
                accumulator.update_batch(values, &live.indices, filter.as_ref(), live.groups.len())?;
            }
        }
        Ok(())
    }

    fn add_members(&mut self, groups: &UInt32Array) {
        for group in groups.values() {
            self.members[*group as usize / 64] |= 1 << (group % 64);
        }
    }

    /// Adds the key groups that have rows here to a set.
    pub(crate) fn mark_members(&self, set: &mut [u64]) {
        set.iter_mut().zip(&self.members).for_each(|(all, here)| *all |= here);
    }

    /// Whether a key group has rows here.
    pub(crate) fn has_member(&self, group: u32) -> bool {
        self.members[group as usize / 64] & 1 << (group % 64) != 0
    }

    /// The key groups that have rows here.
    pub(crate) fn members(&self) -> impl Iterator<Item = u32> + '_ {
        members_of(&self.members)
    }

    /// Moves the live table's groups to the pending state rows.
    fn settle(&mut self, plan: &AggregatePlan) -> Result<(), StageError> {
        if !self.live.groups.is_empty() {
            let rows = self.live.state(plan, self.key)?;
            self.pending.push(rows);
        }
        Ok(())
    }

    /// Takes up state rows that are committed.
    pub(crate) fn restore(&mut self, rows: RecordBatch) {
        self.add_members(rows.column(0).as_primitive::<UInt32Type>());
        self.committed.push(Run::Memory(rows));
    }

    /// Takes up state rows of another pane.
    pub(crate) fn put(&mut self, rows: RecordBatch, layer: Layer) {
        match layer {
            Layer::Committed => self.restore(rows),
            Layer::Pending => {
                self.add_members(rows.column(0).as_primitive::<UInt32Type>());
                self.pending.push(rows);
            }
        }
    }

    /// Lets go of these key groups, in rising order, and gives the runs in which their rows are, among others.
    pub(crate) fn take(
        &mut self,
        plan: &AggregatePlan,
        gone: &[u32],
    ) -> Result<Vec<(Layer, Run)>, StageError> {
        self.settle(plan)?;
        let committed = self.committed.runs().iter().map(|run| (Layer::Committed, run.clone()));
        let pending = self.pending.iter().map(|rows| (Layer::Pending, Run::Memory(rows.clone())));
        let taken = committed.chain(pending).collect();
        self.forget(plan, gone)?;
        Ok(taken)
    }

    /// Gives the results of these key groups, in portions; they leave the pane.
    pub(crate) fn fire(
        &mut self,
        plan: &AggregatePlan,
        due: &[u32],
        mut give: impl FnMut(Fired) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let all = self.members().eq(due.iter().copied());
        if all && self.pending.is_empty() && self.committed.runs().is_empty() {
            self.members.fill(0);
            return give(self.live.results(plan)?);
        }
        each_result(plan, &self.runs(plan)?, |group| due.binary_search(&group).is_ok(), give)?;
        self.forget(plan, due)
    }

    /// Everything that is here, as runs.
    pub(crate) fn runs(&mut self, plan: &AggregatePlan) -> Result<Vec<Run>, StageError> {
        self.settle(plan)?;
        let pending = self.pending.iter().map(|rows| Run::Memory(rows.clone()));
        Ok(self.committed.runs().iter().cloned().chain(pending).collect())
    }

    /// Lets go of key groups, in rising order.
    pub(crate) fn forget(&mut self, plan: &AggregatePlan, gone: &[u32]) -> Result<(), StageError> {
        if self.members().eq(gone.iter().copied()) {
            self.members.fill(0);
            self.pending.clear();
            self.committed.clear();
            if !self.live.groups.is_empty() {
                self.live = Table::new(plan)?;
            }
            return Ok(());
        }
        self.settle(plan)?;
        let kept: Result<Vec<RecordBatch>, StageError> = (self.pending.iter())
            .map(|rows| part(rows, |group| gone.binary_search(&group).is_err()))
            .collect();
        self.pending = kept?.into_iter().filter(|rows| rows.num_rows() > 0).collect();
        let is_gone = members_in(gone);
        self.committed.forget(&is_gone)?;
        self.members.iter_mut().zip(is_gone).for_each(|(here, gone)| *here &= !gone);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.iter().all(|word| *word == 0)
    }

    /// What the next delta has, as state rows.
    pub(crate) fn fresh(&mut self, plan: &AggregatePlan) -> Result<&[RecordBatch], StageError> {
        self.settle(plan)?;
        Ok(&self.pending)
    }

    /// What changed since the last call, as state rows; from now on they count as committed.
    pub(crate) fn delta(&mut self, plan: &AggregatePlan) -> Result<Vec<RecordBatch>, StageError> {
        self.settle(plan)?;
        let fresh = std::mem::take(&mut self.pending);
        self.committed.take_in()?;
        fresh.iter().for_each(|rows| self.committed.push(Run::Memory(rows.clone())));
        self.committed.make_fewer(plan, self.key)?;
        Ok(fresh)
    }

    /// Merges committed runs where there are many, as they come from a changelog.
    pub(crate) fn settle_runs(&mut self, plan: &AggregatePlan) -> Result<(), StageError> {
        self.committed.make_fewer_now(plan, self.key)
    }

    /// What is committed of these key groups, as state rows, one for each of its groups.
    pub(crate) fn all(&self, plan: &AggregatePlan, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let mut parts = Vec::new();
        each_sum(
            plan,
            self.committed.runs(),
            |group| wanted.has(group),
            |mut sum| {
                parts.push(sum.table.state(plan, self.key)?);
                Ok(())
            },
        )?;
        Ok(concat_batches(&plan.state_schema, &parts)?)
    }

    /// Moves committed rows to a scratch, until so many bytes of memory are free.
    pub(crate) fn spill(
        &mut self,
        plan: &AggregatePlan,
        spill: &Spill,
        bytes: &mut usize,
    ) -> Result<(), StageError> {
        spill_runs(self.committed.runs_mut(), &plan.placed_by, spill, bytes)
    }

    pub(crate) fn size(&self) -> usize {
        let pending = self.pending.iter().map(|rows| rows.get_array_memory_size());
        self.live.size() + pending.sum::<usize>() + self.committed.runs().iter().map(Run::size).sum::<usize>()
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.committed.runs().iter().map(Run::disk_size).sum()
    }
}

/// Moves runs to a scratch, until so many bytes of memory are free. Those that the scratch does not take stay as they are.
pub(crate) fn spill_runs(
    runs: &mut [Run],
    placed_by: &[usize],
    spill: &Spill,
    bytes: &mut usize,
) -> Result<(), StageError> {
    for run in runs {
        let size = run.size();
        if *bytes > 0 && matches!(run, Run::Partial(_)) {
            *run = run.purged()?;
        }
        let Run::Memory(rows) = run else { continue };
        if *bytes > 0 && size >= spill.part_bytes_min {
            let mut writer = RunWriter::new(spill);
            writer.add(rows, placed_by)?;
            *run = writer.finish();
            *bytes = bytes.saturating_sub(size.saturating_sub(run.size()));
        }
    }
    Ok(())
}

/// A set of key groups, which rise: a bit for each.
pub(crate) fn members_in(groups: &[u32]) -> Vec<u64> {
    let mut set = vec![0; groups.last().map_or(0, |last| *last as usize / 64 + 1)];
    groups.iter().for_each(|group| set[*group as usize / 64] |= 1 << (group % 64));
    set
}

/// The key groups of a set, rising.
pub(crate) fn members_of(set: &[u64]) -> impl Iterator<Item = u32> + '_ {
    set.iter().enumerate().flat_map(|(i, word)| {
        (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| i as u32 * 64 + bit)
    })
}

/// The state rows whose key group is wanted.
pub(crate) fn part(rows: &RecordBatch, wanted: impl Fn(u32) -> bool) -> Result<RecordBatch, StageError> {
    let groups = rows.column(0).as_primitive::<UInt32Type>().values();
    let mut keep = BooleanBufferBuilder::new(groups.len());
    // Neighbours are often of one.
    groups.chunk_by(|a, b| a == b).for_each(|run| keep.append_n(run.len(), wanted(run[0])));
    let keep = BooleanArray::new(keep.finish(), None);
    if keep.true_count() == keep.len() { Ok(rows.clone()) } else { Ok(filter_record_batch(rows, &keep)?) }
}
