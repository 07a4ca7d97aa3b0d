//! One side of a join that is kept up to date: of each identity its latest row, and until the next sending the row that it had at
//! the last one. A row is *sent* when it was its identity's at the last sending, and *current* when it is now; rows that are
//! neither are let go of. Never enters: the other side, what comes out; how it is kept in a changelog, which `changelog` says.

mod changelog;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use hashbrown::HashMap;

use super::by_key::{ByKey, NONE};
use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::op::join::evaluate;
use crate::op::row_key::RowKeys;
use crate::op::stored_rows::{At, Standing, StoredRows, gather, going, merging};
use crate::state::Owned;
use crate::state::scratch::Spill;
pub(crate) use plan::UpdateSidePlan;

/// Rows that came together, or were made one.
struct Kept {
    rows: StoredRows,
    /// Each row's number; none of those that are gone.
    numbers: Vec<u32>,
    dead: usize,
    /// In no changelog yet.
    is_new: bool,
}

impl Kept {
    fn standing(&self) -> Standing {
        let counting = self.numbers.len() - self.dead;
        let is_sparse = self.rows.is_sparse(counting, self.numbers.len());
        Standing { is_new: self.is_new, on_disk: self.rows.is_on_disk(), counting, is_sparse }
    }
}

/// What is known of a row besides its columns.
#[derive(Clone, Copy)]
struct Row {
    batch: u32,
    at: u32,
    group: u32,
    /// Where it is among the rows of its key; none with a null in it, where nulls do not meet.
    list: u32,
    at_list: u32,
    sent: bool,
    current: bool,
    /// How many rows of the other side it met at the last sending, where somebody asks.
    matches: u32,
}

/// The numbers of an identity's rows.
#[derive(Clone, Copy)]
struct Known {
    sent: u32,
    current: u32,
}

/// As of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    LastSent,
    Now,
}

/// See the module.
pub(crate) struct UpdateSide {
    pub(crate) plan: UpdateSidePlan,
    batches: BTreeMap<u32, Kept>,
    next: u32,
    /// The batch that rows are put in just now: it stays while nothing in it counts.
    filling: Option<u32>,
    rows: Vec<Row>,
    /// Numbers of rows that are gone.
    free: Vec<u32>,
    by_key: ByKey,
    /// By key group and identity.
    index: HashMap<Box<[u8]>, Known>,
    /// Identities whose row is not the one that was sent; perhaps twice, perhaps gone.
    changed: Vec<Box<[u8]>>,
    /// Key groups that were restored since the last sending: all of their rows are sent once more.
    fresh: BTreeSet<u32>,
    /// What the changelog has to be told: identities that have no row any more, with the batch that says how they are written;
    /// and the key groups that were sent.
    gone: Vec<(Box<[u8]>, u32, u32)>,
    gone_batches: Vec<RecordBatch>,
    told: BTreeSet<u32>,
}

impl UpdateSide {
    pub(crate) fn new(plan: UpdateSidePlan) -> UpdateSide {
        UpdateSide {
            plan,
            batches: BTreeMap::new(),
            next: 0,
            filling: None,
            rows: Vec::new(),
            free: Vec::new(),
            by_key: ByKey::default(),
            index: HashMap::new(),
            changed: Vec::new(),
            fresh: BTreeSet::new(),
            gone: Vec::new(),
            gone_batches: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// What is kept of rows: those that are there and fulfil the query's conditions, each with its place among those given.
    fn run_steps(&self, chunk: &Chunk) -> Result<Chunk, StageError> {
        let all: BooleanArray = match &chunk.gone {
            Some(gone) => gone.values().iter().map(|gone| Some(!gone)).collect(),
            None => vec![true; chunk.rows()].into(),
        };
        let mut given = Chunk::made(chunk.batch.clone(), chunk.groups.clone());
        given.origin = UInt32Array::from_iter_values(0..chunk.rows() as u32);
        given = given.filter(&all)?;
        for step in &self.plan.steps {
            given = step.run(given, &mut Vec::new())?;
        }
        if !self.plan.dropped.is_empty() {
            let mut columns = given.batch.columns().to_vec();
            for at in &self.plan.dropped {
                columns.push(take(chunk.batch.column(*at), &given.origin, None)?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(given.rows()));
            let schema = Arc::clone(&self.plan.schema);
            given.batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        }
        Ok(given)
    }

    /// Computes what will be computed of some rows, so that none of them fails once it is here.
    pub(crate) fn prepare(&self, chunk: &Chunk) -> Result<(), StageError> {
        let kept = self.run_steps(chunk)?;
        evaluate(&self.plan.keys, &kept.batch)?;
        if self.plan.wants_identity {
            for column in &self.plan.identity {
                if kept.batch.column(*column).null_count() > 0 {
                    return Err(StageError::NoIdentity(kept.batch.schema().field(*column).name().clone()));
                }
            }
        }
        Ok(())
    }

    /// Takes up rows, each in place of the one before it; one that is gone, or does not fulfil the conditions any more, takes it away.
    pub(crate) fn update(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        let kept = self.run_steps(chunk)?;
        let known = identity_of(&chunk.batch, &self.plan.known_by, &chunk.groups);
        let known = RowKeys::new(&known);
        // The rows in their order; which of them are kept.
        let mut next_kept = kept.origin.values().iter().copied().peekable();
        let (mut id, mut gone) = (Vec::new(), Vec::new());
        let keys = self.keys_of(&kept)?;
        let keys = RowKeys::new(&keys);
        let batch = self.begin(kept.batch.clone(), true);
        let mut taken = 0;
        for row in 0..chunk.rows() as u32 {
            known.write(row as usize, &mut id);
            match next_kept.next_if_eq(&row) {
                Some(_) => {
                    self.put(&id, (batch, taken), kept.groups.value(taken as usize), &keys);
                    taken += 1;
                }
                None if self.take_away(&id) => gone.push((id.as_slice().into(), row)),
                None => {}
            }
        }
        self.finish(batch);
        self.note_gone(chunk, gone)?;
        self.tidy()
    }

    /// The keys that rows are joined on, the key group before them.
    fn keys_of(&self, kept: &Chunk) -> Result<Vec<ArrayRef>, StageError> {
        let columns = evaluate(&self.plan.keys, &kept.batch)?;
        Ok(std::iter::once(Arc::new(kept.groups.clone()) as ArrayRef).chain(columns).collect())
    }

    /// Begins a batch, of which no row counts yet.
    fn begin(&mut self, rows: RecordBatch, is_new: bool) -> u32 {
        let number = self.next;
        self.next += 1;
        self.filling = Some(number);
        let count = rows.num_rows();
        let rows = StoredRows::Memory(rows);
        self.batches.insert(number, Kept { numbers: vec![NONE; count], dead: count, rows, is_new });
        number
    }

    /// All rows of a batch are in it: it goes, if nothing in it counts.
    fn finish(&mut self, batch: u32) {
        self.filling = None;
        if self.batches.get(&batch).is_some_and(|kept| kept.dead == kept.numbers.len()) {
            self.batches.remove(&batch);
        }
    }

    /// Makes a row of a batch its identity's.
    fn put(&mut self, id: &[u8], (batch, at): (u32, u32), group: u32, keys: &RowKeys<'_>) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row {
                batch: 0,
                at: 0,
                group: 0,
                list: NONE,
                at_list: 0,
                sent: false,
                current: false,
                matches: 0,
            });
            self.rows.len() as u32 - 1
        });
        let (mut list, mut at_list) = (NONE, 0);
        if self.plan.nulls_meet || !keys.any_null(at as usize) {
            let mut key = Vec::new();
            keys.write(at as usize, &mut key);
            (list, at_list) = self.by_key.add(&key, number);
        }
        self.rows[number as usize] =
            Row { batch, at, group, list, at_list, sent: false, current: true, matches: 0 };
        if let Some(kept) = self.batches.get_mut(&batch) {
            kept.numbers[at as usize] = number;
            kept.dead -= 1;
        }
        let before = match self.index.get_mut(id) {
            Some(known) => {
                let before = *known;
                known.current = number;
                before
            }
            None => {
                self.index.insert(id.into(), Known { sent: NONE, current: number });
                self.changed.push(id.into());
                return;
            }
        };
        if before.sent == before.current {
            self.changed.push(id.into());
        }
        self.replaced(before.current);
    }

    /// Takes an identity's row away; whether it had one.
    fn take_away(&mut self, id: &[u8]) -> bool {
        let Some(known) = self.index.get_mut(id) else { return false };
        let before = *known;
        if before.current == NONE {
            return false;
        }
        known.current = NONE;
        if before.sent == NONE {
            self.index.remove(id);
        } else if before.sent == before.current {
            self.changed.push(id.into());
        }
        self.replaced(before.current);
        true
    }

    /// A row is its identity's no more.
    fn replaced(&mut self, number: u32) {
        if number == NONE {
            return;
        }
        let row = &mut self.rows[number as usize];
        row.current = false;
        if !row.sent {
            self.remove(number);
        }
    }

    /// Lets go of a row.
    fn remove(&mut self, number: u32) {
        let row = self.rows[number as usize];
        if row.list != NONE
            && let Some(moved) = self.by_key.remove(row.list, row.at_list)
        {
            self.rows[moved as usize].at_list = row.at_list;
        }
        if let Some(kept) = self.batches.get_mut(&row.batch) {
            kept.numbers[row.at as usize] = NONE;
            kept.dead += 1;
            if kept.dead == kept.numbers.len() && self.filling != Some(row.batch) {
                self.batches.remove(&row.batch);
            }
        }
        self.free.push(number);
    }

    /// About how many bytes a row has.
    pub(super) fn row_bytes(&self) -> usize {
        let of =
            |batch: &Kept| (batch.rows.row_bytes().saturating_mul(batch.numbers.len()), batch.numbers.len());
        let sums = self.batches.values().map(of);
        let (bytes, rows) = sums.fold((0usize, 0), |sum, of| (sum.0.saturating_add(of.0), sum.1 + of.1));
        bytes / rows.max(1)
    }

    /// The columns of some rows that are joined; nulls for none.
    pub(super) fn joined(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>, StageError> {
        self.columns(numbers, self.plan.joined.fields().len())
    }

    /// The first columns of some rows; nulls for none.
    fn columns(&self, numbers: &[u32], count: usize) -> Result<Vec<ArrayRef>, StageError> {
        let (mut stores, mut known): (Vec<&StoredRows>, HashMap<u32, u32>) = Default::default();
        let place = |number: &u32| -> Option<At> {
            let row = self.rows.get(*number as usize)?;
            let store = *known.entry(row.batch).or_insert_with(|| {
                stores.push(&self.batches[&row.batch].rows);
                stores.len() as u32 - 1
            });
            Some((store, row.at))
        };
        let places: Vec<Option<At>> = numbers.iter().map(place).collect();
        gather(&stores, &places, &self.plan.schema.fields().iter().take(count).cloned().collect())
    }

    /// The key groups of some rows.
    pub(super) fn groups(&self, numbers: &[u32]) -> UInt32Array {
        numbers.iter().map(|number| self.group_of(*number)).collect()
    }

    pub(super) fn group_of(&self, number: u32) -> u32 {
        self.rows[number as usize].group
    }

    /// How many rows of the other side a row met at the last sending.
    pub(super) fn matches(&mut self, number: u32) -> &mut u32 {
        &mut self.rows[number as usize].matches
    }

    /// Whether a row counts.
    pub(super) fn is(&self, number: u32, as_of: AsOf) -> bool {
        let row = &self.rows[number as usize];
        match as_of {
            AsOf::LastSent => row.sent,
            AsOf::Now => row.current,
        }
    }

    /// Whether a row is what it was at the last sending.
    pub(super) fn is_same(&self, number: u32) -> bool {
        let row = &self.rows[number as usize];
        row.sent && row.current
    }

    /// The key that a row is joined on, its key group before it; nothing where there is a null in it and nulls do not meet.
    pub(super) fn key_of(&self, number: u32) -> Option<&[u8]> {
        let list = self.rows[number as usize].list;
        (list != NONE).then(|| self.by_key.key(list))
    }

    /// The rows of a key, among them some that do not count.
    pub(super) fn of_key(&self, key: &[u8]) -> &[u32] {
        self.by_key.of(key)
    }

    /// The rows that have been replaced since the last sending, and those that have come, of key groups that were not restored.
    pub(super) fn changes(&self, restored: &BTreeSet<u32>) -> (Vec<u32>, Vec<u32>) {
        let (mut before, mut now) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for id in &self.changed {
            let Some(known) = self.index.get(id) else { continue };
            let any = if known.current == NONE { known.sent } else { known.current };
            if known.sent == known.current || restored.contains(&self.group_of(any)) || !seen.insert(any) {
                continue;
            }
            before.extend(Some(known.sent).filter(|number| *number != NONE));
            now.extend(Some(known.current).filter(|number| *number != NONE));
        }
        (before, now)
    }

    /// The key groups that were restored since the last sending.
    pub(super) fn restored(&self) -> &BTreeSet<u32> {
        &self.fresh
    }

    /// The rows of some key groups, by key group; all where none are named.
    pub(super) fn by_group(&self, of: Option<&BTreeSet<u32>>) -> BTreeMap<u32, Vec<u32>> {
        let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for number in self.batches.values().flat_map(|kept| &kept.numbers).filter(|number| **number != NONE) {
            let group = self.group_of(*number);
            if of.is_none_or(|of| of.contains(&group)) {
                found.entry(group).or_default().push(*number);
            }
        }
        found
    }

    /// Everything has been sent: what is current is what was sent.
    pub(super) fn settle(&mut self) -> Result<(), StageError> {
        self.fresh.clear();
        for id in std::mem::take(&mut self.changed) {
            self.settle_one(&id);
        }
        self.tidy()
    }

    fn settle_one(&mut self, id: &[u8]) {
        let Some(known) = self.index.get_mut(id) else { return };
        let before = *known;
        if before.sent == before.current {
            return;
        }
        known.sent = before.current;
        if before.current == NONE {
            self.index.remove(id);
        } else {
            self.rows[before.current as usize].sent = true;
        }
        if before.sent != NONE {
            let row = &mut self.rows[before.sent as usize];
            row.sent = false;
            self.told.insert(row.group);
            self.remove(before.sent);
        } else {
            self.told.insert(self.group_of(before.current));
        }
    }

    /// Makes batches fewer where there are many, each row copied as often as its batch doubles, and writes those anew of which little
    /// counts.
    fn tidy(&mut self) -> Result<(), StageError> {
        let standing = self.batches.iter().map(|(number, kept)| (*number, kept.standing()));
        for merging in merging(standing) {
            self.merge(&merging.set)?;
        }
        Ok(())
    }

    /// Makes one of several batches, which lie in one place, with what counts of them; gives its number.
    fn merge(&mut self, set: &[u32]) -> Result<Option<u32>, StageError> {
        let Some(is_new) = set.first().map(|first| self.batches[first].is_new) else { return Ok(None) };
        let compacted = set.iter().map(|number| {
            let Kept { rows, numbers, .. } = &self.batches[number];
            rows.compacted(|row| numbers[row] != NONE)
        });
        let compacted: Vec<(StoredRows, Vec<u32>)> = match compacted.collect() {
            // A scratch without room: another time, and blocks of which nothing counts make some. One that cannot be read is told by who
            // needs its rows.
            Err(StageError::Scratch(_)) => {
                for number in set {
                    if let Some(Kept { rows, numbers, .. }) = self.batches.get_mut(number) {
                        rows.let_go(|row| numbers[row] != NONE);
                    }
                }
                return Ok(None);
            }
            compacted => compacted?,
        };
        let (mut numbers, mut parts) = (Vec::new(), Vec::new());
        for (batch, (rows, places)) in set.iter().zip(compacted) {
            let of = &self.batches[batch].numbers;
            numbers.extend(places.iter().map(|place| of[*place as usize]));
            parts.push(rows);
        }
        let rows = StoredRows::together(&self.plan.schema, parts)?;
        set.iter().for_each(|batch| drop(self.batches.remove(batch)));
        if numbers.is_empty() {
            return Ok(None);
        }
        let batch = self.next;
        self.next += 1;
        for (number, at) in numbers.iter().zip(0u32..).filter(|(number, _)| **number != NONE) {
            let row = &mut self.rows[*number as usize];
            (row.batch, row.at) = (batch, at);
        }
        let dead = numbers.iter().filter(|number| **number == NONE).count();
        self.batches.insert(batch, Kept { rows, numbers, dead, is_new });
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

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        let is_gone = |id: &[u8]| group_in(id).is_some_and(|group| groups.has(group));
        self.index.retain(|id, _| !is_gone(id));
        self.changed.retain(|id| !is_gone(id));
        self.gone.retain(|(id, ..)| !is_gone(id));
        self.fresh.retain(|group| !groups.has(*group));
        self.told.retain(|group| !groups.has(*group));
        let all = self.batches.values().flat_map(|kept| &kept.numbers).filter(|number| **number != NONE);
        let gone: Vec<u32> = all.copied().filter(|number| groups.has(self.group_of(*number))).collect();
        gone.into_iter().for_each(|number| self.remove(number));
        for kept in self.batches.values_mut() {
            let Kept { rows, numbers, .. } = kept;
            rows.let_go(|row| numbers[row] != NONE);
        }
        self.tidy()
    }

    /// Bytes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let of = |kept: &Kept| kept.rows.size() + kept.numbers.len() * 4;
        let rows = self.batches.values().map(of).sum::<usize>() + self.rows.capacity() * size_of::<Row>();
        let index = self.index.capacity() * 25 + self.index.len() * 32;
        rows + index + self.by_key.size() + self.changed.len() * 48
    }

    /// Identities.
    pub(crate) fn entries(&self) -> usize {
        self.index.len()
    }
}

/// The columns of identities, the key group before them.
fn identity_of(rows: &RecordBatch, columns: &[usize], groups: &UInt32Array) -> Vec<ArrayRef> {
    let columns = columns.iter().map(|at| Arc::clone(rows.column(*at)));
    std::iter::once(Arc::new(groups.clone()) as ArrayRef).chain(columns).collect()
}

/// The key group of an identity or a key: it comes first, a byte that says that it is no null, and its number.
pub(super) fn group_in(id: &[u8]) -> Option<u32> {
    let bytes: [u8; 4] = id.get(1..5)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// So many neighbours at once.
pub(super) fn portions(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(most).map(move |from| from..(from + most).min(count))
}
