//! What a stream said of each key, and when: the versions that a row may still ask for, with an index by key, and in the
//! changelog. Never enters: who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType, UInt32Type};
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use millstream_model::{EventTime, LateRule};

use crate::error::StageError;
use crate::op::aggregate::KEY_COLUMNS;
use crate::op::chunk::Chunk;
use crate::op::join::evaluate;
use crate::op::pane::part;
use crate::op::row_key::RowKeys;
use crate::op::stored_rows::{At, Standing, StoredRows, gather, going, merging};
use crate::state::Owned;
use crate::state::scratch::Spill;

/// Columns of a state row before those of the stream: key group, time, number.
const OWN_COLUMNS: usize = KEY_COLUMNS + 1;

/// What is kept of a stream; fixed by the query.
pub(crate) struct VersionsPlan {
    pub(crate) late: LateRule,
    pub(crate) schema: SchemaRef,
    /// The event time's column; it is not nullable.
    pub(crate) time: usize,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// How long before the time asked for a version may be, in milliseconds, where there is a bound.
    pub(crate) within_ms: Option<i64>,
    pub(crate) state_schema: SchemaRef,
}

impl VersionsPlan {
    /// The columns of state rows for those of a stream.
    pub(crate) fn state_schema(schema: &Schema) -> SchemaRef {
        let own = [
            Field::new("group", DataType::UInt32, false),
            Field::new("time", DataType::Int64, false),
            Field::new("number", DataType::Int64, false),
        ];
        let columns = schema.fields().iter().map(|field| field.as_ref().clone());
        Arc::new(Schema::new(own.into_iter().chain(columns).collect::<Vec<_>>()))
    }
}

/// Rows that came together, or were made one.
struct Batch {
    rows: StoredRows,
    groups: Vec<u32>,
    times: Vec<i64>,
    numbers: Vec<i64>,
    /// Of each row the key that it is a version of; `GONE` where it is none any more.
    keys: Vec<u32>,
    live: usize,
    /// In no changelog yet.
    is_new: bool,
}

impl Batch {
    fn standing(&self) -> Standing {
        let is_sparse = self.rows.is_sparse(self.live, self.groups.len());
        let on_disk = self.rows.is_on_disk();
        Standing { is_new: self.is_new, on_disk, counting: self.live, is_sparse }
    }
}

const GONE: u32 = u32::MAX;

/// One version. Of two of the same time the one that was read later counts, so they are in the order of time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    time: EventTime,
    number: i64,
    batch: u32,
    row: u32,
}

/// Where a version's row is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    batch: u32,
    row: u32,
}

#[derive(Default)]
struct Key {
    bytes: Box<[u8]>,
    group: u32,
    versions: Vec<Version>,
}

/// The versions of a stream's keys.
pub(crate) struct Versions {
    pub(crate) plan: VersionsPlan,
    batches: BTreeMap<u32, Batch>,
    next_batch: u32,
    /// By key group and key.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    keys: Vec<Key>,
    key_bytes: usize,
    free: Vec<u32>,
    /// Of each key group, keys by the time asked for from which on they have a version too many.
    due: BTreeMap<u32, BTreeSet<(EventTime, u32)>>,
    /// The number of the next row.
    next: i64,
}

impl Versions {
    pub(crate) fn new(plan: VersionsPlan) -> Versions {
        Versions {
            plan,
            batches: BTreeMap::new(),
            next_batch: 0,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            key_bytes: 0,
            free: Vec::new(),
            due: BTreeMap::new(),
            next: 0,
        }
    }

    /// The latest version of a key at this time or before, if it is recent enough.
    pub(super) fn as_of(&self, key: &[u8], time: EventTime) -> Option<Place> {
        let versions = &self.keys[self.find(key)? as usize].versions;
        let at = versions.partition_point(|version| version.time <= time).checked_sub(1)?;
        let found = versions[at];
        let is_recent = self.plan.within_ms.is_none_or(|within| found.time >= time.saturating_sub(within));
        is_recent.then_some(Place { batch: found.batch, row: found.row })
    }

    /// The columns of the rows at these places, nulls where there is none.
    pub(super) fn columns(&self, places: &[Option<Place>]) -> Result<Vec<ArrayRef>, StageError> {
        let mut stores: Vec<&StoredRows> = Vec::new();
        let mut known: HashMap<u32, u32> = HashMap::new();
        let at = |place: &Option<Place>| -> Option<At> {
            let Place { batch, row } = (*place)?;
            let store = *known.entry(batch).or_insert_with(|| {
                stores.push(&self.batches[&batch].rows);
                stores.len() as u32 - 1
            });
            Some((store, row))
        };
        let at: Vec<Option<At>> = places.iter().map(at).collect();
        gather(&stores, &at, self.plan.schema.fields())
    }

    /// Takes up rows, in the order in which they are in their partitions; those with a null in their key are asked for by
    /// nobody.
    pub(crate) fn add(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let times = chunk.batch.column(self.plan.time).as_primitive::<TimestampMillisecondType>().values();
        let numbers = self.next..self.next + chunk.rows() as i64;
        self.next = numbers.end;
        let groups = chunk.groups.values().to_vec();
        self.put(chunk.batch.clone(), groups, times.to_vec(), numbers.collect(), true)
    }

    fn put(
        &mut self,
        rows: RecordBatch,
        groups: Vec<u32>,
        times: Vec<i64>,
        numbers: Vec<i64>,
        is_new: bool,
    ) -> Result<(), StageError> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups.clone()))];
        columns.extend(evaluate(&self.plan.keys, &rows)?);
        let of_rows = RowKeys::new(&columns);
        let batch = self.next_batch;
        self.next_batch += 1;
        let mut keys = vec![GONE; groups.len()];
        let (mut bytes, mut live, mut touched) = (Vec::new(), 0, BTreeSet::new());
        for row in (0..groups.len()).filter(|row| !of_rows.any_null(*row)) {
            of_rows.write(row, &mut bytes);
            let key = self.key_of(&bytes, groups[row]);
            let version = Version { time: times[row], number: numbers[row], batch, row: row as u32 };
            if touched.insert(key) {
                self.not_due(key);
            }
            self.keys[key as usize].versions.push(version);
            keys[row] = key;
            live += 1;
        }
        for key in touched {
            let versions = &mut self.keys[key as usize].versions;
            // What came behind a later one, and what is restored, in time that is linear in what is there.
            if !versions.is_sorted() {
                versions.sort();
            }
            self.note_due(key);
        }
        let rows = StoredRows::Memory(rows);
        self.batches.insert(batch, Batch { rows, groups, times, numbers, keys, live, is_new });
        Ok(())
    }

    /// The place of a key among the keys; a new one where it is new.
    fn key_of(&mut self, bytes: &[u8], group: u32) -> u32 {
        if let Some(key) = self.find(bytes) {
            return key;
        }
        let made = Key { bytes: bytes.into(), group, versions: Vec::with_capacity(1) };
        let key = match self.free.pop() {
            Some(key) => {
                self.keys[key as usize] = made;
                key
            }
            None => {
                self.keys.push(made);
                (self.keys.len() - 1) as u32
            }
        };
        self.key_bytes += bytes.len();
        let Versions { index, hasher, keys, .. } = self;
        index.insert_unique(hasher.hash_one(bytes), key, |at| hasher.hash_one(&*keys[*at as usize].bytes));
        key
    }

    fn find(&self, bytes: &[u8]) -> Option<u32> {
        let is = |at: &u32| *self.keys[*at as usize].bytes == *bytes;
        self.index.find(self.hasher.hash_one(bytes), is).copied()
    }

    /// The time asked for from which on the first version of a key is met by nobody.
    fn due_of(&self, key: u32) -> Option<EventTime> {
        let versions = &self.keys[key as usize].versions;
        let replaced = versions.get(1).map(|next| next.time);
        let old = versions.first().zip(self.plan.within_ms);
        let old = old.map(|(first, within)| first.time.saturating_add(within).saturating_add(1));
        replaced.into_iter().chain(old).min()
    }

    fn not_due(&mut self, key: u32) {
        if let (Some(due), group) = (self.due_of(key), self.keys[key as usize].group) {
            let of_group = self.due.entry(group).or_default();
            of_group.remove(&(due, key));
            if of_group.is_empty() {
                self.due.remove(&group);
            }
        }
    }

    fn note_due(&mut self, key: u32) {
        if let (Some(due), group) = (self.due_of(key), self.keys[key as usize].group) {
            self.due.entry(group).or_default().insert((due, key));
        }
    }

    /// Lets go of versions that nothing meets any more: `first` is, of each key group, the earliest time that is still asked
    /// for.
    pub(super) fn sweep(&mut self, first: &[EventTime]) -> Result<(), StageError> {
        let mut over: Vec<(u32, EventTime)> = Vec::new();
        for (group, due) in &self.due {
            let first = first[*group as usize];
            over.extend(due.range(..=(first, u32::MAX)).map(|(_, key)| (*key, first)));
        }
        for (key, first) in over {
            self.not_due(key);
            let versions = &mut self.keys[key as usize].versions;
            // All but the last of those that are not later, and all that are too old.
            let replaced = versions.partition_point(|version| version.time <= first).saturating_sub(1);
            let oldest = self.plan.within_ms.map_or(EventTime::MIN, |within| first.saturating_sub(within));
            let old = versions.partition_point(|version| version.time < oldest);
            let gone: Vec<Version> = versions.drain(..replaced.max(old)).collect();
            versions.shrink_to(2 * versions.len());
            gone.into_iter().for_each(|version| self.let_go(version));
            match self.keys[key as usize].versions.is_empty() {
                true => self.remove_key(key),
                false => self.note_due(key),
            }
        }
        self.tidy()
    }

    fn let_go(&mut self, version: Version) {
        let Some(batch) = self.batches.get_mut(&version.batch) else { return };
        batch.keys[version.row as usize] = GONE;
        batch.live -= 1;
    }

    fn remove_key(&mut self, key: u32) {
        let gone = std::mem::take(&mut self.keys[key as usize]);
        self.key_bytes -= gone.bytes.len();
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(&*gone.bytes), |at| *at == key) {
            entry.remove();
        }
        self.free.push(key);
    }

    /// About how many bytes a version has.
    pub(super) fn row_bytes(&self) -> usize {
        let of = |batch: &Batch| (batch.rows.row_bytes().saturating_mul(batch.live), batch.live);
        let sums = self.batches.values().map(of);
        let (bytes, rows) = sums.fold((0usize, 0), |sum, of| (sum.0.saturating_add(of.0), sum.1 + of.1));
        bytes / rows.max(1)
    }

    /// Keeps batches few, and mostly of rows that are versions still: each row is copied as often as its batch doubles.
    fn tidy(&mut self) -> Result<(), StageError> {
        self.batches.retain(|_, batch| batch.live > 0);
        let standing = self.batches.iter().map(|(at, batch)| (*at, batch.standing()));
        for merging in merging(standing) {
            self.merge(&merging.set)?;
        }
        Ok(())
    }

    /// Makes one batch of the versions in several, which lie in one place; gives its number.
    fn merge(&mut self, parts: &[u32]) -> Result<Option<u32>, StageError> {
        let Some(is_new) = parts.first().map(|first| self.batches[first].is_new) else { return Ok(None) };
        let compacted = parts.iter().map(|part| {
            let Batch { rows, keys, .. } = &self.batches[part];
            rows.compacted(|row| keys[row] != GONE)
        });
        let compacted: Vec<(StoredRows, Vec<u32>)> = match compacted.collect() {
            // A scratch without room: another time, and blocks of which nothing counts make some. One that cannot be read is told by who
            // needs its rows.
            Err(StageError::Scratch(_)) => {
                for part in parts {
                    if let Some(Batch { rows, keys, .. }) = self.batches.get_mut(part) {
                        rows.let_go(|row| keys[row] != GONE);
                    }
                }
                return Ok(None);
            }
            compacted => compacted?,
        };
        let (mut groups, mut times, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        let (mut numbers, mut keys) = (Vec::new(), Vec::new());
        for (part, (rows, left)) in parts.iter().zip(compacted) {
            let batch = &self.batches[part];
            groups.extend(left.iter().map(|row| batch.groups[*row as usize]));
            times.extend(left.iter().map(|row| batch.times[*row as usize]));
            numbers.extend(left.iter().map(|row| batch.numbers[*row as usize]));
            keys.extend(left.iter().map(|row| batch.keys[*row as usize]));
            stored.push(rows);
        }
        let rows = StoredRows::together(&self.plan.schema, stored)?;
        let at = self.next_batch;
        self.next_batch += 1;
        let mut live = 0;
        for (row, key) in keys.iter().enumerate().filter(|(_, key)| **key != GONE) {
            let versions = &mut self.keys[*key as usize].versions;
            let place = versions.partition_point(|v| (v.time, v.number) < (times[row], numbers[row]));
            (versions[place].batch, versions[place].row) = (at, row as u32);
            live += 1;
        }
        parts.iter().for_each(|part| drop(self.batches.remove(part)));
        self.batches.insert(at, Batch { rows, groups, times, numbers, keys, live, is_new });
        Ok(Some(at))
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free: large batches first. Small ones are made one for
    /// it.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        let batches = self.batches.iter().filter(|(_, batch)| !batch.is_new && !batch.rows.is_on_disk());
        let (mut go, small) = going(batches.map(|(at, batch)| (batch.rows.size(), *at)), spill, *bytes);
        go.extend(self.merge(&small)?);
        for at in go {
            if let Some(batch) = self.batches.get_mut(&at).filter(|_| *bytes > 0) {
                *bytes = bytes.saturating_sub(batch.rows.spill(spill)?);
            }
        }
        Ok(())
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.batches.values().map(|batch| batch.rows.disk_size()).sum()
    }

    /// Adds the versions of a batch as state rows, of some key groups.
    fn state_rows(
        &self,
        batch: &Batch,
        wanted: impl Fn(u32) -> bool,
        all: &mut Vec<RecordBatch>,
    ) -> Result<(), StageError> {
        let is_wanted = |row: usize| batch.keys[row] != GONE && wanted(batch.groups[row]);
        batch.rows.each(is_wanted, |left, rows| {
            let pick =
                |from: &[i64]| Int64Array::from_iter_values(left.iter().map(|row| from[*row as usize]));
            let groups = left.iter().map(|row| batch.groups[*row as usize]);
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from_iter_values(groups)),
                Arc::new(pick(&batch.times)),
                Arc::new(pick(&batch.numbers)),
            ];
            columns.extend(rows.columns().iter().cloned());
            all.push(RecordBatch::try_new(Arc::clone(&self.plan.state_schema), columns)?);
            Ok(())
        })
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for batch in self.batches.values().filter(|batch| batch.is_new) {
            self.state_rows(batch, |_| true, &mut rows)?;
        }
        self.batches.values_mut().for_each(|batch| batch.is_new = false);
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for batch in self.batches.values() {
            self.state_rows(batch, |group| wanted.has(group), &mut rows)?;
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let batch = part(batch, |group| owned.has(group))?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let groups = batch.column(0).as_primitive::<UInt32Type>().values().to_vec();
        let times = batch.column(1).as_primitive::<Int64Type>().values().to_vec();
        let numbers = batch.column(2).as_primitive::<Int64Type>().values().to_vec();
        let columns = batch.columns()[OWN_COLUMNS..].to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), columns, &options)?;
        let next = numbers.iter().max().map_or(0, |last| last + 1);
        self.next = self.next.max(next);
        self.put(rows, groups, times, numbers, false)
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        let of = |key: &u32| {
            let known = &self.keys[*key as usize];
            !known.versions.is_empty() && groups.has(known.group)
        };
        let gone: Vec<u32> = (0..self.keys.len() as u32).filter(of).collect();
        for key in gone {
            self.not_due(key);
            let versions = std::mem::take(&mut self.keys[key as usize].versions);
            versions.into_iter().for_each(|version| self.let_go(version));
            self.remove_key(key);
        }
        for batch in self.batches.values_mut() {
            let Batch { rows, keys, .. } = batch;
            rows.let_go(|row| keys[row] != GONE);
        }
        self.tidy()
    }

    pub(crate) fn size(&self) -> usize {
        let of = |batch: &Batch| batch.rows.size() + batch.groups.len() * 24;
        let batches: usize = self.batches.values().map(of).sum();
        let versions: usize = self.batches.values().map(|batch| batch.live).sum();
        batches + self.key_bytes + self.keys.len() * (size_of::<Key>() + 8) + versions * size_of::<Version>()
    }

    /// Versions of keys.
    pub(crate) fn entries(&self) -> usize {
        self.batches.values().map(|batch| batch.live).sum()
    }
}
