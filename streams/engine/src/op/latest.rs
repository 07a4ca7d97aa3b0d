//! Groups of rows that take the place of earlier ones: of each identity the latest row counts, and no other. What is sent for a
//! group is computed anew from its rows, so that it is what the query gives over the rows as they are now, whatever the
//! aggregates: nothing is taken back from a sum. A row may be gone, or come into another group of its key group.
//!
//! A group that has lost its last row is gone, and goes out as such with the commit that lost it, also where groups wait for their
//! time to be sent: so it need not be kept until then that it was there.
//!
//! Rows are in batches, in memory or in a scratch, with an index by identity, in memory; each group knows where its rows are. A batch
//! that has lost most of its rows, or is small, is made one with others. Never enters: when groups are sent, which the query says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, not, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use hashbrown::HashMap;

use super::again::Updates;
use super::aggregate::AggregatePlan;
use super::chunk::Chunk;
use super::faults::Faults;
use super::gone;
use super::pane::{Fired, Pane, each_result};
use super::row_key::RowKeys;
use super::stored_rows::{Merging, Standing, StoredRows, gather, going, merging};
use super::{Give, Step};
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// How many rows are added up at once.
const ROWS_AT_ONCE: usize = 65_536;
/// Of so many rows that are known one has to be in a scratch and move, for all to be walked.
const WALK: usize = 64;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    batch: u32,
    row: u32,
}

/// Rows that came together, or were made one.
struct Kept {
    rows: StoredRows,
    /// Each row's key group.
    groups: UInt32Array,
    /// Each row's group, by its number in `members`.
    of: Vec<u32>,
    /// Whether it is the latest row of its identity.
    live: Vec<bool>,
    dead: usize,
    /// In no changelog yet.
    is_new: bool,
}

impl Kept {
    fn standing(&self) -> Standing {
        let counting = self.of.len() - self.dead;
        let is_sparse = self.rows.is_sparse(counting, self.of.len());
        Standing { is_new: self.is_new, on_disk: self.rows.is_on_disk(), counting, is_sparse }
    }
}

/// Rows by identity, and their groups.
pub(crate) struct LatestGroups {
    /// What is computed over what `steps` give.
    pub(crate) plan: AggregatePlan,
    /// What is done to rows before they are grouped: conditions and columns, each row by itself.
    pub(crate) steps: Vec<Step>,
    /// The columns of rows as they are kept.
    pub(crate) schema: SchemaRef,
    /// Those of them that rows are known by.
    pub(crate) identity: Vec<usize>,
    pub(crate) state_schema: SchemaRef,
    batches: BTreeMap<u32, Kept>,
    next: u32,
    /// By key group and identity.
    index: HashMap<Box<[u8]>, Place>,
    /// The number of a group, by key group and the group's columns.
    numbers: HashMap<Box<[u8]>, u32>,
    /// Of each group where its rows are, and perhaps where some were.
    members: Vec<Vec<Place>>,
    /// How many rows each has.
    rows: Vec<u32>,
    /// Numbers that no group has any more.
    free: Vec<u32>,
    /// Groups that have changed since they were sent.
    changed: BTreeSet<u32>,
    /// Groups that have lost their last row since the last commit, with that row.
    emptied: BTreeMap<u32, Lost>,
    /// State rows that are gone, and in no changelog yet.
    gone: Vec<RecordBatch>,
}

/// A row that is gone.
struct Lost {
    row: RecordBatch,
    group: u32,
}

impl LatestGroups {
    pub(crate) fn new(
        plan: AggregatePlan,
        steps: Vec<Step>,
        schema: SchemaRef,
        identity: Vec<usize>,
    ) -> LatestGroups {
        let own = Field::new("group", DataType::UInt32, false);
        let columns = schema.fields().iter().map(|field| field.as_ref().clone());
        // Rows that are gone have their identity, and blanks.
        let gone = Field::new("gone", DataType::Boolean, false);
        let state = std::iter::once(own).chain(columns).chain([gone]);
        let state_schema = Arc::new(Schema::new(state.collect::<Vec<_>>()));
        LatestGroups {
            plan,
            steps,
            schema,
            identity,
            state_schema,
            batches: BTreeMap::new(),
            next: 0,
            index: HashMap::new(),
            numbers: HashMap::new(),
            members: Vec::new(),
            rows: Vec::new(),
            free: Vec::new(),
            changed: BTreeSet::new(),
            emptied: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// What the query groups of some rows; those that do not fulfil its conditions are gone.
    fn run_steps(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        let gone = chunk.gone.unwrap_or_else(|| gone::none(chunk.batch.num_rows()));
        let mut chunk = Chunk { gone: Some(gone), ..chunk };
        for step in &self.steps {
            chunk = step.run(chunk, &mut Vec::new())?;
        }
        Ok(chunk)
    }

    /// The same, with those of the rows that are there.
    fn run_there(&self, chunk: Chunk) -> Result<(Chunk, Chunk), StageError> {
        let grouped = self.run_steps(chunk)?;
        let there = match &grouped.gone {
            Some(gone) if gone.has_true() => grouped.clone().filter(&not(gone)?)?,
            _ => grouped.clone(),
        };
        Ok((grouped, there))
    }

    /// Computes what will be computed of some rows, so that none of them fails once it is here.
    pub(crate) fn prepare(&self, chunk: &Chunk) -> Result<(), StageError> {
        let (_, there) = self.run_there(chunk.clone())?;
        self.plan.values(&there).map(drop)
    }

    /// Takes up rows, each in place of the one before it; those that are gone take it away.
    pub(crate) fn update(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        self.put(chunk.clone(), true)
    }

    fn put(&mut self, chunk: Chunk, is_new: bool) -> Result<(), StageError> {
        let (all, groups) = (chunk.batch.clone(), chunk.groups.clone());
        let (grouped, there) = self.run_there(chunk)?;
        let gone = grouped.gone.unwrap_or_else(|| gone::none(all.num_rows()));
        let rows = if gone.has_true() { filter_record_batch(&all, &not(&gone)?)? } else { all.clone() };
        let names = self.plan.values(&there)?.groups;
        let names = RowKeys::new(&names);
        let mut known = Vec::new();
        let mut of = Vec::with_capacity(there.rows());
        for row in 0..there.rows() {
            names.write(row, &mut known);
            of.push(self.number_of(&known));
        }
        let batch = self.next;
        self.next += 1;
        let count = of.len();
        let rows = StoredRows::Memory(rows);
        let kept = Kept { rows, groups: there.groups, of, live: vec![false; count], dead: count, is_new };
        self.batches.insert(batch, kept);
        let identity = self.identity_of(&all, &groups);
        let identity = RowKeys::new(&identity);
        let (mut key, mut next, mut taken, mut lost) = (Vec::new(), 0, Vec::new(), Vec::new());
        for (row, is_gone) in gone.values().iter().enumerate() {
            identity.write(row, &mut key);
            if is_gone {
                if let Some(before) = self.index.remove(key.as_slice()) {
                    taken.push(row as u32);
                    lost.extend(self.leave(before));
                }
                continue;
            }
            let place = Place { batch, row: next };
            next += 1;
            let before = match self.index.get_mut(key.as_slice()) {
                Some(known) => Some(std::mem::replace(known, place)),
                None => {
                    self.index.insert(key.as_slice().into(), place);
                    None
                }
            };
            self.come(place);
            lost.extend(before.and_then(|before| self.leave(before)));
        }
        lost.retain(|(group, _)| self.rows[*group as usize] == 0);
        let (rows, groups_of) = self.gather(&lost.iter().map(|(_, place)| *place).collect::<Vec<_>>())?;
        let lost = lost.into_iter().enumerate();
        let emptied: BTreeMap<u32, Lost> = lost
            .map(|(at, (group, _))| (group, Lost { row: rows.slice(at, 1), group: groups_of.value(at) }))
            .collect();
        match is_new {
            true => self.emptied.extend(emptied),
            // Of those of a restore it has been told before.
            false => drop(self.let_go(&emptied)?),
        }
        if is_new && !taken.is_empty() {
            let taken = UInt32Array::from(taken);
            let groups = take(&groups, &taken, None)?.as_primitive().clone();
            self.gone.push(self.as_state(&take_record_batch(&all, &taken)?, &groups, true)?);
        }
        if count == 0 {
            self.batches.remove(&batch);
        }
        self.tidy()
    }

    /// The number of a group, by its key group and columns.
    fn number_of(&mut self, known: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(known) {
            return *number;
        }
        let number = self.free.pop().unwrap_or(self.members.len() as u32);
        if number as usize == self.members.len() {
            self.members.push(Vec::new());
            self.rows.push(0);
        }
        self.numbers.insert(known.into(), number);
        number
    }

    /// A row counts from now on.
    fn come(&mut self, place: Place) {
        let Some(kept) = self.batches.get_mut(&place.batch) else { return };
        kept.live[place.row as usize] = true;
        kept.dead -= 1;
        let group = kept.of[place.row as usize];
        self.members[group as usize].push(place);
        self.rows[group as usize] += 1;
        self.changed.insert(group);
        self.emptied.remove(&group);
    }

    /// A row counts no longer; its group and place, if that has lost its last.
    fn leave(&mut self, place: Place) -> Option<(u32, Place)> {
        let kept = self.batches.get_mut(&place.batch)?;
        if !std::mem::take(&mut kept.live[place.row as usize]) {
            return None;
        }
        kept.dead += 1;
        let group = kept.of[place.row as usize];
        self.changed.insert(group);
        let rows = &mut self.rows[group as usize];
        *rows -= 1;
        (*rows == 0).then_some((group, place))
    }

    /// The columns of identities, the key group before them.
    fn identity_of(&self, rows: &RecordBatch, groups: &UInt32Array) -> Vec<ArrayRef> {
        let columns = self.identity.iter().map(|at| Arc::clone(rows.column(*at)));
        std::iter::once(Arc::new(groups.clone()) as ArrayRef).chain(columns).collect()
    }

    /// Makes batches fewer where there are many, each row copied as often as its batch doubles, and writes those anew of which little
    /// counts.
    fn tidy(&mut self) -> Result<(), StageError> {
        let standing = self.batches.iter().map(|(number, kept)| (*number, kept.standing()));
        for Merging { set, are_many } in merging(standing) {
            let of = || set.iter().filter_map(|number| self.batches.get(number));
            let rows: usize = of().map(|kept| kept.of.len()).sum();
            // Rows in a scratch that move are found by a walk over all that are known, which few are not worth.
            let is_walk = of().any(|kept| kept.rows.is_on_disk());
            if are_many || !is_walk || rows >= self.index.len() / WALK {
                self.merge(&set)?;
            }
        }
        Ok(())
    }

    /// Makes one of several batches, which lie in one place, with what counts of them; gives its number.
    fn merge(&mut self, set: &[u32]) -> Result<Option<u32>, StageError> {
        let Some(is_new) = set.first().map(|first| self.batches[first].is_new) else { return Ok(None) };
        let compacted = set.iter().map(|number| {
            let Kept { rows, live, .. } = &self.batches[number];
            rows.compacted(|row| live[row])
        });
        let compacted: Vec<(StoredRows, Vec<u32>)> = match compacted.collect() {
            // A scratch without room: another time, and blocks of which nothing counts make some. One that cannot be read is told by who
            // needs its rows.
            Err(StageError::Scratch(_)) => {
                for number in set {
                    if let Some(Kept { rows, live, .. }) = self.batches.get_mut(number) {
                        rows.let_go(|row| live[row]);
                    }
                }
                return Ok(None);
            }
            compacted => compacted?,
        };
        let (mut groups, mut of, mut live, mut parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // By earlier batch, where each of its rows is now.
        let mut moved: HashMap<u32, Vec<u32>> = HashMap::new();
        for (number, (rows, places)) in set.iter().zip(compacted) {
            let Some(kept) = self.batches.remove(number) else { continue };
            let mut to = vec![u32::MAX; kept.of.len()];
            for place in places.iter().map(|place| *place as usize) {
                to[place] = of.len() as u32;
                groups.push(kept.groups.value(place));
                of.push(kept.of[place]);
                live.push(kept.live[place]);
            }
            moved.insert(*number, to);
            parts.push(rows);
        }
        if of.is_empty() {
            return Ok(None);
        }
        let batch = self.next;
        self.next += 1;
        let rows = StoredRows::together(&self.schema, parts)?;
        let groups = UInt32Array::from(groups);
        match rows.in_memory() {
            Some(rows) => {
                let identity = self.identity_of(rows, &groups);
                let identity = RowKeys::new(&identity);
                let mut key = Vec::new();
                for row in 0..of.len() {
                    identity.write(row, &mut key);
                    self.index.insert(key.as_slice().into(), Place { batch, row: row as u32 });
                }
            }
            // What rows are known by is not read for it.
            None => {
                for place in self.index.values_mut() {
                    if let Some(to) = moved.get(&place.batch) {
                        *place = Place { batch, row: to[place.row as usize] };
                    }
                }
            }
        }
        let counting = of.iter().zip(&live).zip(0u32..).filter(|((_, live), _)| **live);
        for ((group, _), row) in counting {
            self.members[*group as usize].push(Place { batch, row });
        }
        let dead = live.iter().filter(|live| !**live).count();
        self.batches.insert(batch, Kept { rows, groups, of, live, dead, is_new });
        Ok(Some(batch))
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free: large batches first. Small ones are made one for
    /// it.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        let batches = self.batches.iter().filter(|(_, kept)| !kept.is_new && !kept.rows.is_on_disk());
        let (mut go, small) = going(batches.map(|(at, kept)| (kept.rows.size(), *at)), spill, *bytes);
        go.extend(self.merge(&small)?);
        for at in go {
            if let Some(kept) = self.batches.get_mut(&at).filter(|_| *bytes > 0) {
                *bytes = bytes.saturating_sub(kept.rows.spill(spill)?);
            }
        }
        Ok(())
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.batches.values().map(|kept| kept.rows.disk_size()).sum()
    }

    /// Where the rows of a group are; what is gone is forgotten.
    fn rows_of(&mut self, group: u32) -> &[Place] {
        let batches = &self.batches;
        let members = &mut self.members[group as usize];
        members.retain(|place| batches.get(&place.batch).is_some_and(|kept| kept.live[place.row as usize]));
        members
    }

    /// Gives the groups that are gone; and the rows of those that have changed, when they are due.
    pub(crate) fn fire(
        &mut self,
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        if let Some(emptied) = self.take_emptied(faults)? {
            give(emptied, faults)?;
        }
        if updates == Updates::Wait || self.changed.is_empty() {
            return Ok(());
        }
        let changed = std::mem::take(&mut self.changed);
        self.rows(changed, faults, &mut |chunk, faults| {
            let gone = chunk.gone.clone().unwrap_or_else(|| gone::none(chunk.rows()));
            give(Chunk { gone: Some(gone), ..chunk }, faults)
        })
    }

    /// The groups that have lost their last row, which are forgotten.
    fn take_emptied(&mut self, faults: &mut Faults) -> Result<Option<Chunk>, StageError> {
        let emptied = std::mem::take(&mut self.emptied);
        let Some((there, mut keys)) = self.let_go(&emptied)? else { return Ok(None) };
        let rows = there.rows();
        let values = self.plan.aggregates.iter();
        let values = values.map(|column| gone::blank(&column.function.field(), rows));
        let values = values.collect::<Result<_, _>>()?;
        keys.remove(0);
        let fired = Fired { groups: there.groups, keys, values, unfit: Vec::new() };
        let chunk = self.plan.output(fired, (vec![0; rows], vec![0; rows]), faults)?;
        Ok(Some(Chunk { gone: Some(vec![true; rows].into()), ..chunk }))
    }

    /// Forgets groups that have lost their last row; what of those rows is grouped, and the columns that name the groups.
    fn let_go(
        &mut self,
        emptied: &BTreeMap<u32, Lost>,
    ) -> Result<Option<(Chunk, Vec<ArrayRef>)>, StageError> {
        if emptied.is_empty() {
            return Ok(None);
        }
        let groups = emptied.values().map(|lost| lost.group).collect();
        let rows = concat_batches(&self.schema, emptied.values().map(|lost| &lost.row))?;
        let (_, there) = self.run_there(Chunk::made(rows, groups))?;
        let keys = self.plan.values(&there)?.groups;
        let names = RowKeys::new(&keys);
        let mut known = Vec::new();
        for (row, group) in emptied.keys().enumerate() {
            names.write(row, &mut known);
            self.numbers.remove(known.as_slice());
            self.members[*group as usize] = Vec::new();
            self.changed.remove(group);
            self.free.push(*group);
        }
        Ok(Some((there, keys)))
    }

    /// The rows of all groups. Changes nothing.
    pub(crate) fn open(
        &mut self,
        mut give: impl FnMut(Chunk) -> Result<(), StageError>,
        faults: &mut Faults,
    ) -> Result<(), StageError> {
        self.rows(0..self.members.len() as u32, faults, &mut |chunk, _| give(chunk))
    }

    /// Gives the rows of some groups.
    fn rows(
        &mut self,
        groups: impl IntoIterator<Item = u32>,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let mut pane = Pane::new(&self.plan, 0)?;
        let mut places = Vec::new();
        for group in groups {
            places.extend_from_slice(self.rows_of(group));
        }
        // As they lie, so that of what is in a scratch each block is read for few portions.
        places.sort_unstable();
        places.chunks(ROWS_AT_ONCE).try_for_each(|places| self.add_up(&mut pane, places))?;
        let runs = pane.runs(&self.plan)?;
        each_result(
            &self.plan,
            &runs,
            |_| true,
            |results| {
                let rows = results.groups.len();
                give(self.plan.output(results, (vec![0; rows], vec![0; rows]), faults)?, faults)
            },
        )
    }

    /// Adds rows to their groups.
    fn add_up(&self, pane: &mut Pane, places: &[Place]) -> Result<(), StageError> {
        let (rows, groups) = self.gather(places)?;
        let (_, there) = self.run_there(Chunk::made(rows, groups))?;
        pane.update(&self.plan.values(&there)?)
    }

    fn gather(&self, places: &[Place]) -> Result<(RecordBatch, UInt32Array), StageError> {
        let (mut stores, mut known): (Vec<&StoredRows>, HashMap<u32, u32>) = Default::default();
        let (mut at, mut groups) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
        for Place { batch, row } in places {
            let kept = &self.batches[batch];
            let number = *known.entry(*batch).or_insert_with(|| {
                stores.push(&kept.rows);
                stores.len() as u32 - 1
            });
            at.push(Some((number, *row)));
            groups.push(kept.groups.value(*row as usize));
        }
        let columns = gather(&stores, &at, self.schema.fields())?;
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok((rows, groups.into()))
    }

    /// Rows as state rows.
    fn as_state(
        &self,
        rows: &RecordBatch,
        groups: &UInt32Array,
        gone: bool,
    ) -> Result<RecordBatch, StageError> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(groups.clone())];
        columns.extend(rows.columns().iter().cloned());
        columns.push(Arc::new(BooleanArray::from(vec![gone; rows.num_rows()])));
        Ok(RecordBatch::try_new(Arc::clone(&self.state_schema), columns)?)
    }

    /// Adds rows that count and are wanted, as state rows.
    fn state_rows(
        &self,
        kept: &Kept,
        wanted: impl Fn(u32) -> bool,
        all: &mut Vec<RecordBatch>,
    ) -> Result<(), StageError> {
        let is_wanted = |row: usize| kept.live[row] && wanted(kept.groups.value(row));
        kept.rows.each(is_wanted, |numbers, rows| {
            let groups = numbers.iter().map(|row| kept.groups.value(*row as usize));
            all.push(self.as_state(rows, &UInt32Array::from_iter_values(groups), false)?);
            Ok(())
        })
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        // What is gone comes first: a row that counts has come after one of its identity that went.
        let mut rows = std::mem::take(&mut self.gone);
        for kept in self.batches.values().filter(|kept| kept.is_new) {
            self.state_rows(kept, |_| true, &mut rows)?;
        }
        self.batches.values_mut().for_each(|kept| kept.is_new = false);
        Ok(concat_batches(&self.state_schema, &rows)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for kept in self.batches.values() {
            self.state_rows(kept, |group| wanted.has(group), &mut rows)?;
        }
        Ok(concat_batches(&self.state_schema, &rows)?)
    }

    /// Takes up state rows of the key groups that are owned here, later ones in place of earlier.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let rows = super::pane::part(batch, |group| owned.has(group))?;
        let groups = rows.column(0).as_primitive::<UInt32Type>().clone();
        let gone = rows.column(rows.num_columns() - 1).as_boolean().clone();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = rows.columns()[1..rows.num_columns() - 1].to_vec();
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.put(Chunk { gone: Some(gone), ..Chunk::made(rows, groups) }, false)
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        for kept in self.batches.values_mut() {
            let Kept { rows, groups: of, live, dead, .. } = kept;
            let before = *dead;
            for (live, _) in live.iter_mut().zip(of.values()).filter(|(_, group)| groups.has(**group)) {
                *dead += usize::from(std::mem::take(live));
            }
            if *dead > before {
                rows.let_go(|row| live[row]);
            }
        }
        // The key group comes first in keys: a byte that says it is no null, and its number.
        let is_gone = |key: &[u8]| {
            let number = key.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            number.is_some_and(|group| groups.has(group))
        };
        self.index.retain(|key, _| !is_gone(key));
        let LatestGroups { numbers, members, changed, rows, emptied, free, .. } = self;
        numbers.retain(|key, number| {
            let gone = is_gone(key);
            if gone {
                members[*number as usize] = Vec::new();
                changed.remove(number);
                rows[*number as usize] = 0;
                emptied.remove(number);
                free.push(*number);
            }
            !gone
        });
        self.tidy()
    }

    pub(crate) fn size(&self) -> usize {
        let of = |kept: &Kept| kept.rows.size() + kept.of.len() * 9;
        let rows: usize = self.batches.values().map(of).sum();
        let members: usize = self.members.iter().map(|places| places.capacity() * 8 + 24).sum();
        let key = |map: &HashMap<Box<[u8]>, Place>| map.capacity() * 25 + map.len() * 32;
        rows + members + key(&self.index) + self.numbers.len() * 64
    }

    /// Numbers of groups that have no row, and are not waiting to be told so.
    #[cfg(test)]
    pub(crate) fn numbers_of_none(&self) -> usize {
        let is_empty =
            |number: &&u32| self.rows[**number as usize] == 0 && !self.emptied.contains_key(*number);
        self.numbers.values().filter(is_empty).count()
    }

    /// Rows that count.
    pub(crate) fn entries(&self) -> usize {
        self.index.len()
    }
}
