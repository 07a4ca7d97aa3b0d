//! The rows of each key that its next rows still look at, in the order of their times, as columns that rows of many keys
//! share; where each key's frames stand; and what is kept of it for ever. Never enters: rows that wait, changelogs.
//!
//! Rows come here in the order of their times, when the watermark has passed them. Of equal times those are first that the
//! query's further order says, then those whose columns are first, so that no batch and no replay changes it (SM-3).

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::row::{RowConverter, SortField};
use hashbrown::{DefaultHashBuilder, HashTable};
use millstream_model::EventTime;

use super::ever::{Ever, columns_of};
use super::function::{Call, Function, Numbers};
use super::slide::Slide;
use crate::error::StageError;

/// How many neighbours in time are made one; few where they are tested, so that it happens.
const NEIGHBOURS: usize = if cfg!(test) { 3 } else { 8 };
/// Batches beyond which neighbours are made one whatever their sizes.
const BATCHES_MAX: usize = 256;
/// Batches of so many rows are not copied into larger ones.
const LARGE_ROWS: usize = 65_536;

/// Functions over the same keys in the same order; fixed by the query.
pub(crate) struct PastPlan {
    /// The columns of the key, and those by which rows of equal times are in order, of the rows that come.
    pub(crate) keys: Vec<usize>,
    pub(crate) order: Vec<(usize, SortOptions)>,
    pub(crate) functions: Vec<Function>,
    /// The columns that are kept of past rows.
    pub(crate) kept: Vec<usize>,
    /// Of each function, whether it adds up doubles.
    pub(crate) doubles: Vec<bool>,
    /// The columns of the rows that come.
    pub(crate) schema: SchemaRef,
}

impl PastPlan {
    /// For how long before a row rows are looked at, and how many whatever their time.
    pub(crate) fn reach(&self) -> (i64, u64) {
        let reaches = self.functions.iter().map(Function::reach);
        reaches.fold((0, 0), |(ms, rows), (more_ms, more)| (ms.max(more_ms), rows.max(more)))
    }

    /// Whether something is kept of each key for ever.
    pub(crate) fn has_ever(&self) -> bool {
        self.functions.iter().any(Function::is_ever)
    }

    /// The columns of what is kept for ever, by function.
    pub(crate) fn ever_fields(&self, name: &str) -> Result<Vec<Vec<Field>>, StageError> {
        let functions = self.functions.iter().enumerate().filter(|(_, function)| function.is_ever());
        functions.map(|(at, function)| Ever::fields(function, &format!("{name}_{at}"))).collect()
    }

    /// The columns of the key.
    pub(crate) fn key_fields(&self) -> impl Iterator<Item = &Arc<Field>> {
        self.keys.iter().map(|at| &self.schema.fields()[*at])
    }
}

/// Where a past row is. The last bit of `batch` says that the order leaves the row equal to the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) time: EventTime,
    batch: u32,
    pub(super) row: u32,
}

const EQUAL: u32 = 1 << 31;

impl Entry {
    pub(super) fn batch(self) -> u32 {
        self.batch & !EQUAL
    }

    pub(super) fn is_equal(self) -> bool {
        self.batch & EQUAL != 0
    }
}

/// Rows that came together. The key of a row that is gone is `GONE`.
pub(super) struct Batch {
    pub(super) columns: Vec<ArrayRef>,
    /// Of each function that adds up what it adds.
    pub(super) numbers: Vec<Option<Numbers>>,
    keys: Vec<u32>,
    times: Vec<EventTime>,
    live: usize,
    /// The last time of each key group.
    last: BTreeMap<u32, EventTime>,
    /// Whether its keys were told that it is too old.
    is_old: bool,
}

const GONE: u32 = u32::MAX;

/// Batches by their places.
pub(super) struct Batches {
    all: Vec<Option<Batch>>,
    free: Vec<u32>,
}

impl Batches {
    #[inline]
    pub(super) fn get(&self, at: u32) -> &Batch {
        self.all[at as usize].as_ref().expect("a row's batch is there as long as the row is")
    }

    fn put(&mut self, batch: Batch) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.all[at as usize] = Some(batch);
                at
            }
            None => {
                self.all.push(Some(batch));
                self.all.len() as u32 - 1
            }
        }
    }

    fn let_go(&mut self, entry: Entry) {
        let at = entry.batch();
        let Some(batch) = &mut self.all[at as usize] else { return };
        batch.keys[entry.row as usize] = GONE;
        batch.live -= 1;
        if batch.live == 0 {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: u32) -> Option<Batch> {
        self.free.push(at);
        self.all[at as usize].take()
    }

    /// The values of a column for some rows.
    pub(super) fn gather(
        &self,
        column: usize,
        entries: impl ExactSizeIterator<Item = Entry> + Clone,
    ) -> Result<ArrayRef, StageError> {
        let first = entries.clone().next().map(Entry::batch);
        if let Some(only) = first.filter(|first| entries.clone().all(|entry| entry.batch() == *first)) {
            let rows = UInt32Array::from_iter_values(entries.map(|entry| entry.row));
            return Ok(take(&self.get(only).columns[column], &rows, None)?);
        }
        let places = entries.map(|entry| Some((entry.batch(), entry.row)));
        self.pick(column, &places.collect::<Vec<_>>(), None)
    }

    /// The values of a column for some rows, and another value where there is none.
    pub(super) fn pick(
        &self,
        column: usize,
        places: &[Option<(u32, u32)>],
        other: Option<ArrayRef>,
    ) -> Result<ArrayRef, StageError> {
        let kind = self.all.iter().flatten().next().map(|batch| batch.columns[column].data_type().clone());
        let other = match (other, kind) {
            (Some(other), _) => other,
            (None, Some(kind)) => new_null_array(&kind, 1),
            (None, None) => new_null_array(&DataType::Null, 1),
        };
        let mut arrays: Vec<&dyn Array> = vec![other.as_ref()];
        let mut known: Vec<u32> = vec![0; self.all.len()];
        let at: Vec<(usize, usize)> = places
            .iter()
            .map(|place| match place {
                None => (0, 0),
                Some((batch, row)) => {
                    let known = &mut known[*batch as usize];
                    if *known == 0 {
                        *known = arrays.len() as u32;
                        arrays.push(self.get(*batch).columns[column].as_ref());
                    }
                    (*known as usize, *row as usize)
                }
            })
            .collect();
        Ok(interleave(&arrays, &at)?)
    }
}

/// A key.
#[derive(Default)]
pub(super) struct Key {
    bytes: Box<[u8]>,
    group: u32,
    pub(super) rows: VecDeque<Entry>,
    /// The number of the first row that is kept, and of the first that has not come out.
    pub(super) base: u64,
    pub(super) next: u64,
    pub(super) slides: Box<[Slide]>,
    pub(super) evers: Box<[Ever]>,
    /// What is kept for ever has changed since it was written.
    pub(super) touched: bool,
}

impl Key {
    pub(super) fn entry(&self, row: u64) -> Entry {
        self.rows[(row - self.base) as usize]
    }

    /// The number behind the last row that is known.
    pub(super) fn end(&self) -> u64 {
        self.base + self.rows.len() as u64
    }

    /// The number of the first row of this time or later.
    pub(super) fn first_from(&self, time: EventTime) -> u64 {
        self.base + self.rows.partition_point(|entry| entry.time < time) as u64
    }

    /// The number of the first row that is later than this.
    pub(super) fn first_behind(&self, time: EventTime) -> u64 {
        self.base + self.rows.partition_point(|entry| entry.time <= time) as u64
    }
}

/// Rows brought into the order of their keys.
pub(super) struct Sorted {
    /// The rows' places, those of a key together and in its order.
    pub(super) order: Vec<u32>,
    /// The key of each row in that order, and whether the order leaves it equal to the one before it.
    pub(super) keys: Vec<u32>,
    is_equal: Vec<bool>,
}

/// Rows that have come out and are kept: the key and the time of each, and the columns that are kept.
pub(super) struct PastRows {
    pub(super) keys: Vec<u32>,
    pub(super) times: Vec<EventTime>,
    pub(super) columns: Vec<ArrayRef>,
}

/// See the module.
pub(crate) struct Past {
    pub(crate) plan: PastPlan,
    ever_fields: Vec<Vec<Field>>,
    converter: RowConverter,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub(super) keys: Vec<Key>,
    free: Vec<u32>,
    bytes: usize,
    pub(super) batches: Batches,
    /// Keys whose state for ever has changed since it was written.
    pub(super) touched: Vec<u32>,
    /// Keys with rows that nothing looks at any more, and up to when.
    over: Vec<(u32, EventTime)>,
}

fn converter(kinds: impl Iterator<Item = (DataType, SortOptions)>) -> Result<RowConverter, StageError> {
    let fields = kinds.map(|(kind, options)| SortField::new_with_options(kind, options));
    Ok(RowConverter::new(fields.collect())?)
}

impl Past {
    pub(crate) fn new(plan: PastPlan) -> Result<Past, StageError> {
        let keys = plan.key_fields().map(|field| field.data_type().clone());
        let kinds = std::iter::once(DataType::UInt32).chain(keys);
        Ok(Past {
            converter: converter(kinds.map(|kind| (kind, SortOptions::default())))?,
            ever_fields: plan.ever_fields("")?,
            plan,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            batches: Batches { all: Vec::new(), free: Vec::new() },
            touched: Vec::new(),
            over: Vec::new(),
        })
    }

    /// The key of each row; a new one where it is new.
    fn keys_of(&mut self, groups: &[u32], columns: Vec<ArrayRef>) -> Result<Vec<u32>, StageError> {
        let mut all: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups.to_vec()))];
        all.extend(columns);
        let rows = self.converter.convert_columns(&all)?;
        let mut found = Vec::with_capacity(groups.len());
        for (row, group) in rows.iter().zip(groups) {
            let bytes = row.as_ref();
            let hash = self.hasher.hash_one(bytes);
            let known = self.index.find(hash, |at| *self.keys[*at as usize].bytes == *bytes).copied();
            found.push(match known {
                Some(key) => key,
                None => self.new_key(hash, bytes, *group)?,
            });
        }
        Ok(found)
    }

    fn new_key(&mut self, hash: u64, bytes: &[u8], group: u32) -> Result<u32, StageError> {
        let evers = self.plan.functions.iter().zip(&self.plan.doubles).filter(|(f, _)| f.is_ever());
        let evers: Result<Vec<Ever>, StageError> = evers.map(|(f, doubles)| Ever::new(f, *doubles)).collect();
        let slides =
            self.plan.functions.iter().zip(&self.plan.doubles).filter_map(|(f, doubles)| match f.call {
                Call::Total { total, .. } if f.slides() => Some(Slide::new(total, *doubles, 0)),
                _ => None,
            });
        let made = Key {
            bytes: bytes.into(),
            group,
            slides: slides.collect(),
            evers: evers?.into(),
            ..Key::default()
        };
        self.bytes += bytes.len();
        let key = match self.free.pop() {
            Some(key) => {
                self.keys[key as usize] = made;
                key
            }
            None => {
                self.keys.push(made);
                self.keys.len() as u32 - 1
            }
        };
        let Past { index, hasher, keys, .. } = self;
        index.insert_unique(hash, key, |at| hasher.hash_one(&*keys[*at as usize].bytes));
        Ok(key)
    }

    fn remove_key(&mut self, key: u32) {
        let gone = std::mem::take(&mut self.keys[key as usize]);
        self.bytes -= gone.bytes.len();
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(&*gone.bytes), |at| *at == key) {
            entry.remove();
        }
        gone.rows.into_iter().for_each(|entry| self.batches.let_go(entry));
        self.free.push(key);
    }

    /// Brings rows, which rise by their times, into the order of their keys. The rows are whole: `None` for rows that were kept,
    /// whose order is as it was.
    pub(super) fn sort(
        &mut self,
        groups: &[u32],
        times: &[EventTime],
        keys: Vec<ArrayRef>,
        rows: Option<&RecordBatch>,
    ) -> Result<Sorted, StageError> {
        let of_rows = self.keys_of(groups, keys)?;
        let mut packed: Vec<u64> =
            of_rows.iter().zip(0u64..).map(|(key, row)| u64::from(*key) << 32 | row).collect();
        packed.sort_unstable();
        let mut order: Vec<u32> = packed.iter().map(|packed| *packed as u32).collect();
        let keys: Vec<u32> = packed.iter().map(|packed| (packed >> 32) as u32).collect();
        let same = |a: usize, b: usize, order: &[u32]| {
            keys[a] == keys[b] && times[order[a] as usize] == times[order[b] as usize]
        };
        let mut is_equal: Vec<bool> = (0..order.len()).map(|at| at > 0 && same(at - 1, at, &order)).collect();
        if let Some(rows) = rows.filter(|_| is_equal.contains(&true)) {
            self.sort_equals(rows, &mut order, &mut is_equal)?;
        }
        Ok(Sorted { order, keys, is_equal })
    }

    /// Puts rows of one key and time into their order.
    fn sort_equals(
        &self,
        rows: &RecordBatch,
        order: &mut [u32],
        is_equal: &mut [bool],
    ) -> Result<(), StageError> {
        let plan = &self.plan;
        let ties_matter = plan.functions.iter().any(|function| !function.equals_share());
        if !ties_matter && plan.order.is_empty() {
            return Ok(());
        }
        // Those that have an equal, in runs.
        let runs: Vec<(usize, usize)> = runs_of(is_equal).collect();
        let places = runs.iter().flat_map(|(from, to)| &order[*from..*to]).copied();
        let places = UInt32Array::from_iter_values(places);
        let of = |columns: Vec<(usize, SortOptions)>| -> Result<Option<_>, StageError> {
            if columns.is_empty() {
                return Ok(None);
            }
            let kinds = columns.iter().map(|(at, options)| (rows.column(*at).data_type().clone(), *options));
            let converter = converter(kinds)?;
            let values: Result<Vec<ArrayRef>, _> =
                columns.iter().map(|(at, _)| take(rows.column(*at), &places, None)).collect();
            Ok(Some((converter.convert_columns(&values?)?, converter)))
        };
        let first = of(plan.order.clone())?;
        let then = of((0..rows.num_columns()).map(|at| (at, SortOptions::default())).collect())?;
        let mut from = 0;
        for (start, end) in runs {
            let count = end - start;
            let by = |at: &usize| {
                let row = from + at;
                let first = first.as_ref().map(|(rows, _)| rows.row(row));
                (first, then.as_ref().map(|(rows, _)| rows.row(row)))
            };
            let mut sorted: Vec<usize> = (0..count).collect();
            sorted.sort_by(|a, b| by(a).cmp(&by(b)));
            let before: Vec<u32> = order[start..end].to_vec();
            for (at, from) in sorted.iter().enumerate() {
                order[start + at] = before[*from];
                is_equal[start + at] = at > 0 && by(&sorted[at - 1]).0 == by(from).0;
            }
            from += count;
        }
        Ok(())
    }

    /// Adds rows behind those of their keys.
    pub(super) fn append(
        &mut self,
        sorted: &Sorted,
        groups: &[u32],
        times: &[EventTime],
        columns: Vec<ArrayRef>,
    ) -> Result<(), StageError> {
        let mut keys = vec![GONE; times.len()];
        for (key, row) in sorted.keys.iter().zip(&sorted.order) {
            keys[*row as usize] = *key;
        }
        let mut last: BTreeMap<u32, EventTime> = BTreeMap::new();
        for (group, time) in groups.iter().zip(times) {
            let known = last.entry(*group).or_insert(*time);
            *known = (*known).max(*time);
        }
        let numbers = self.numbers(&columns)?;
        let live = keys.len();
        let batch = Batch { columns, numbers, keys, times: times.to_vec(), live, last, is_old: false };
        let batch = self.batches.put(batch);
        for ((key, row), is_equal) in sorted.keys.iter().zip(&sorted.order).zip(&sorted.is_equal) {
            let batch = if *is_equal { batch | EQUAL } else { batch };
            let entry = Entry { time: times[*row as usize], batch, row: *row };
            self.keys[*key as usize].rows.push_back(entry);
        }
        Ok(())
    }

    /// What the functions add up, of columns that are kept.
    fn numbers(&self, columns: &[ArrayRef]) -> Result<Vec<Option<Numbers>>, StageError> {
        let of = |function: &Function| match function.call {
            Call::Total { total, value, filter } => Numbers::of((total, value, filter), columns).map(Some),
            _ => Ok(None),
        };
        self.plan.functions.iter().map(of).collect()
    }

    /// Notes that the next row of a key is of this time or later. What is found of rows is read before they go.
    pub(super) fn prune_later(&mut self, key: u32, time: EventTime) {
        self.over.push((key, time));
    }

    pub(super) fn prune_noted(&mut self) {
        for (key, time) in std::mem::take(&mut self.over) {
            self.prune(key, time);
        }
    }

    /// Lets go of rows of a key that no row of this time or later looks at; of the key, when nothing is left of it.
    pub(super) fn prune(&mut self, at: u32, time: EventTime) {
        let (reach_ms, reach_rows) = self.plan.reach();
        let plan = &self.plan;
        let key = &mut self.keys[at as usize];
        let oldest = time.saturating_sub(reach_ms);
        let most = key.next.saturating_sub(reach_rows).max(key.base);
        let mut base = key.base;
        while base < most && key.entry(base).time < oldest {
            base += 1;
        }
        if base > key.base {
            let sliding = plan.functions.iter().enumerate().filter(|(_, function)| function.slides());
            let mut slides = std::mem::take(&mut key.slides);
            for (slide, (function, plan)) in slides.iter_mut().zip(sliding) {
                if slide.start < base {
                    let greatest = is_greatest(plan);
                    slide.go((base, slide.end), greatest, number_of(key, &self.batches, function));
                }
            }
            key.slides = slides;
            for entry in key.rows.drain(..(base - key.base) as usize) {
                self.batches.let_go(entry);
            }
            key.base = base;
            if key.rows.len() * 4 < key.rows.capacity() && key.rows.capacity() > 16 {
                key.rows.shrink_to(key.rows.len() * 2);
            }
        }
        if key.rows.is_empty() && key.evers.is_empty() {
            self.remove_key(at);
        }
    }

    /// Lets go of rows that are too old for their key groups: `from` gives the earliest time that a row may still have.
    pub(super) fn sweep(&mut self, from: impl Fn(u32) -> EventTime) -> Result<(), StageError> {
        let (reach_ms, _) = self.plan.reach();
        for at in 0..self.batches.all.len() {
            let Some(batch) = &mut self.batches.all[at] else { continue };
            let is_old = |(group, last): (&u32, &EventTime)| *last < from(*group).saturating_sub(reach_ms);
            if batch.is_old || !batch.last.iter().all(is_old) {
                continue;
            }
            batch.is_old = true;
            let mut keys: Vec<u32> = batch.keys.iter().copied().filter(|key| *key != GONE).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                self.prune(key, from(self.keys[key as usize].group));
            }
        }
        self.tidy()
    }

    /// Keeps batches few, and mostly of rows that are there still: neighbours in time of about the same size are made one, so that
    /// each row is copied seldom, and none is kept long for what came much later.
    fn tidy(&mut self) -> Result<(), StageError> {
        for is_old in [false, true] {
            let mut all: Vec<(Option<EventTime>, u32, usize)> = Vec::new();
            let mut sparse = Vec::new();
            for (batch, at) in self.batches.all.iter().zip(0u32..) {
                let Some(batch) = batch.as_ref().filter(|batch| batch.is_old == is_old) else { continue };
                all.push((batch.last.values().max().copied(), at, batch.live));
                if batch.live * 2 < batch.keys.len() {
                    sparse.push(at);
                }
            }
            all.sort_unstable();
            let many = all.len() > BATCHES_MAX;
            let tier = |live: usize| match live {
                LARGE_ROWS.. => None,
                _ if many => Some(0),
                live => Some(live.max(1).ilog2() / 3),
            };
            let mut merged: Vec<u32> = Vec::new();
            for run in all.chunk_by(|a, b| tier(a.2) == tier(b.2)) {
                if tier(run[0].2).is_none() {
                    continue;
                }
                for parts in run.chunks_exact(NEIGHBOURS) {
                    let parts: Vec<u32> = parts.iter().map(|part| part.1).collect();
                    self.merge(&parts, is_old)?;
                    merged.extend(parts);
                }
            }
            sparse.retain(|at| !merged.contains(at));
            sparse.iter().try_for_each(|at| self.merge(&[*at], is_old))?;
        }
        Ok(())
    }

    /// Makes one batch of the rows that are left of several.
    fn merge(&mut self, parts: &[u32], is_old: bool) -> Result<(), StageError> {
        if parts.is_empty() {
            return Ok(());
        }
        let (mut keys, mut times, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut last: BTreeMap<u32, EventTime> = BTreeMap::new();
        for part in parts {
            let batch = self.batches.get(*part);
            for row in (0..batch.keys.len()).filter(|row| batch.keys[*row] != GONE) {
                keys.push(batch.keys[row]);
                times.push(batch.times[row]);
                places.push((*part, row as u32));
            }
            for (group, time) in &batch.last {
                let known = last.entry(*group).or_insert(*time);
                *known = (*known).max(*time);
            }
        }
        let from: Vec<Option<(u32, u32)>> = places.iter().copied().map(Some).collect();
        let columns: Result<Vec<ArrayRef>, StageError> =
            (0..self.plan.kept.len()).map(|column| self.batches.pick(column, &from, None)).collect();
        let columns = columns?;
        let numbers = self.numbers(&columns)?;
        let live = keys.len();
        let made = self.batches.put(Batch { columns, numbers, keys, times, live, last, is_old });
        // Where each row has gone, by its batch and its place there.
        let mut moved: BTreeMap<u32, Vec<u32>> =
            parts.iter().map(|part| (*part, vec![GONE; self.batches.get(*part).keys.len()])).collect();
        for ((batch, from), to) in places.into_iter().zip(0u32..) {
            if let Some(moved) = moved.get_mut(&batch) {
                moved[from as usize] = to;
            }
        }
        let of = self.batches.get(made);
        let mut rows: Vec<(u32, EventTime)> = of.keys.iter().copied().zip(of.times.iter().copied()).collect();
        rows.sort_unstable();
        rows.dedup();
        // Rows of one key and time lie together, and are looked at once.
        for (key, time) in rows {
            let key = &mut self.keys[key as usize];
            let first = key.rows.partition_point(|entry| entry.time < time);
            for entry in key.rows.range_mut(first..).take_while(|entry| entry.time == time) {
                if let Some(moved) = moved.get(&entry.batch()) {
                    entry.row = moved[entry.row as usize];
                    entry.batch = made | (entry.batch & EQUAL);
                }
            }
        }
        parts.iter().for_each(|part| drop(self.batches.remove(*part)));
        Ok(())
    }

    /// The keys that are there, of some key groups, in the order of their values: a table's order depends on its history, state
    /// does not.
    pub(super) fn keys_in(&self, wanted: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut keys: Vec<u32> = self.index.iter().copied().collect();
        keys.retain(|key| wanted(self.keys[*key as usize].group));
        keys.sort_unstable_by_key(|key| &self.keys[*key as usize].bytes);
        keys
    }

    /// The key groups and the columns of some keys.
    pub(super) fn key_columns(&self, keys: &[u32]) -> Result<(Vec<u32>, Vec<ArrayRef>), StageError> {
        let groups = keys.iter().map(|key| self.keys[*key as usize].group).collect();
        let parser = self.converter.parser();
        let rows = keys.iter().map(|key| parser.parse(&self.keys[*key as usize].bytes));
        let mut columns = self.converter.convert_rows(rows)?;
        columns.remove(0);
        Ok((groups, columns))
    }

    /// The rows of some keys that have come out and are kept.
    pub(super) fn past_rows(&self, keys: &[u32]) -> Result<PastRows, StageError> {
        let (mut of, mut times, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for at in keys {
            let key = &self.keys[*at as usize];
            for entry in key.rows.iter().take((key.next - key.base) as usize) {
                of.push(*at);
                times.push(entry.time);
                places.push(Some((entry.batch(), entry.row)));
            }
        }
        let column = |(column, at): (usize, &usize)| {
            let none = new_null_array(self.plan.schema.field(*at).data_type(), 1);
            self.batches.pick(column, &places, Some(none))
        };
        let columns = self.plan.kept.iter().enumerate().map(column).collect::<Result<_, _>>()?;
        Ok(PastRows { keys: of, times, columns })
    }

    /// How many columns there are of what is kept for ever.
    pub(super) fn ever_columns(&self) -> usize {
        self.ever_fields.iter().map(Vec::len).sum()
    }

    /// What is kept of some keys for ever, as columns.
    pub(super) fn ever_state(&mut self, keys: &[u32]) -> Result<Vec<ArrayRef>, StageError> {
        let mut columns = Vec::new();
        for (at, fields) in self.ever_fields.iter().enumerate() {
            let states: Result<Vec<_>, StageError> =
                keys.iter().map(|key| self.keys[*key as usize].evers[at].state()).collect();
            columns.extend(columns_of(fields, states?)?);
        }
        Ok(columns)
    }

    /// Keys whose state for ever has changed since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().for_each(|key| self.keys[*key as usize].touched = false);
        touched
    }

    /// What is kept of some keys for ever is this.
    pub(super) fn take_up_ever(
        &mut self,
        groups: &[u32],
        keys: Vec<ArrayRef>,
        columns: &[ArrayRef],
    ) -> Result<(), StageError> {
        let keys = self.keys_of(groups, keys)?;
        let functions = self.plan.functions.iter().zip(&self.plan.doubles).filter(|(f, _)| f.is_ever());
        let mut from = 0;
        for (at, ((function, doubles), fields)) in functions.zip(&self.ever_fields).enumerate() {
            let columns = &columns[from..from + fields.len()];
            from += fields.len();
            for (row, key) in keys.iter().enumerate() {
                let ever = Ever::take_up(function, *doubles, columns, row)?;
                self.keys[*key as usize].evers[at] = ever;
            }
        }
        Ok(())
    }

    /// After a restore: the rows up to a time have come out, of some key groups.
    pub(super) fn came_out(&mut self, of: impl Fn(u32) -> bool, to: impl Fn(u32) -> EventTime) {
        for at in self.keys_in(of) {
            let key = &mut self.keys[at as usize];
            key.next = key.first_behind(to(key.group));
            let next = to(key.group).saturating_add(1);
            self.prune(at, next);
        }
    }

    /// Lets go of key groups.
    pub(super) fn forget(&mut self, gone: impl Fn(u32) -> bool) {
        for key in self.keys_in(gone) {
            self.remove_key(key);
        }
        let Past { touched, keys, .. } = self;
        touched.retain(|key| keys[*key as usize].touched);
    }

    pub(crate) fn size(&self) -> usize {
        let of_key = |key: &Key| {
            let slides: usize = key.slides.iter().map(|slide| size_of::<Slide>() + slide.size()).sum();
            let evers: usize = key.evers.iter().map(|ever| size_of::<Ever>() + ever.size()).sum();
            key.rows.capacity() * size_of::<Entry>() + slides + evers
        };
        let of_batch = |batch: &Batch| {
            let columns: usize = batch.columns.iter().map(|column| column.get_array_memory_size()).sum();
            let numbers: usize = batch.numbers.iter().flatten().map(Numbers::size).sum();
            columns + numbers + batch.keys.len() * 12
        };
        let keys: usize = self.keys.iter().map(of_key).sum();
        let batches: usize = self.batches.all.iter().flatten().map(of_batch).sum();
        self.keys.len() * size_of::<Key>() + self.index.capacity() * 5 + self.bytes + keys + batches
    }

    /// How many keys something is kept of.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

/// Runs of equals: each from the first that has an equal behind it to the last.
fn runs_of(is_equal: &[bool]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = at + is_equal[at..].iter().position(|is_equal| *is_equal)?;
        let more = is_equal[first..].iter().take_while(|is_equal| **is_equal).count();
        at = first + more;
        Some((first - 1, at))
    })
}

pub(super) fn is_greatest(function: &Function) -> bool {
    matches!(function.call, Call::Total { total: super::function::Total::Greatest, .. })
}

/// What a function adds for a row of a key, by its number.
pub(super) fn number_of<'a>(
    key: &'a Key,
    batches: &'a Batches,
    function: usize,
) -> impl Fn(u64) -> Option<super::function::Number> + 'a {
    move |row| {
        let entry = key.entry(row);
        let numbers = batches.get(entry.batch()).numbers[function].as_ref()?;
        numbers.counts(entry.row).then(|| numbers.get(entry.row))
    }
}
