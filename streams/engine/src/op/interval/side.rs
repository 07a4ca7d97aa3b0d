//! The rows of one side of a join by time that may still be met: in buckets of time, with an index by key, and in the
//! changelog. Never enters: what meets what.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, RecordBatchOptions,
    UInt32Array, new_null_array,
};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{
    DataType, Field, Int8Type, Int64Type, Schema, SchemaRef, TimestampMillisecondType, UInt32Type,
};
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashMap;
use millstream_model::{EventTime, LateRule, Watermark};

use crate::error::StageError;
use crate::op::aggregate::KEY_COLUMNS;
use crate::op::chunk::Chunk;
use crate::op::join::evaluate;
use crate::op::pane::part;
use crate::op::row_key::RowKeys;
use crate::state::Owned;

/// Batches of a bucket beyond which they are made one.
const BATCHES_MAX: usize = 64;
/// Columns of a state row before those of the stream: key group, time, number, what the row is.
const OWN_COLUMNS: usize = KEY_COLUMNS + 2;

/// What a state row is.
const ROW: i8 = 0;
const MATCHED_ROW: i8 = 1;
/// No row, but that the one of this number has found a match since.
const NOW_MATCHED: i8 = 2;

/// What is kept of one side; fixed by the query.
pub(crate) struct SidePlan {
    pub(crate) late: LateRule,
    pub(crate) schema: SchemaRef,
    /// The event time's column; it is not nullable.
    pub(crate) time: usize,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Whether rows without a match come out when none can come any more.
    pub(crate) outer: bool,
    /// Whether a row is needed only until it has found a match: it is given once, as it is.
    pub(crate) once: bool,
    /// A row at `t` meets rows of the other side from `t + from` to `t + to`, in milliseconds, both ends with them.
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Whether rows of the other side look rows up here; else there is no index, and `from` counts for nothing.
    pub(crate) is_looked_up: bool,
    /// How much event time a bucket has, in milliseconds.
    pub(crate) bucket_ms: i64,
    pub(crate) state_schema: SchemaRef,
}

impl SidePlan {
    /// The columns of state rows for those of a stream.
    pub(crate) fn state_schema(schema: &Schema) -> SchemaRef {
        let own = [
            Field::new("group", DataType::UInt32, false),
            Field::new("time", DataType::Int64, false),
            Field::new("number", DataType::Int64, false),
            Field::new("what", DataType::Int8, false),
        ];
        let columns = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Arc::new(Schema::new(own.into_iter().chain(columns).collect::<Vec<_>>()))
    }

    /// Whether it matters which rows have found a match.
    fn notes_matches(&self) -> bool {
        self.outer || self.once
    }

    fn bucket_of(&self, time: EventTime) -> i64 {
        time.div_euclid(self.bucket_ms)
    }

    /// The last time of a bucket.
    fn end_of(&self, bucket: i64) -> EventTime {
        (bucket + 1).saturating_mul(self.bucket_ms) - 1
    }

    /// Whether no row of the other side that is still to come can meet one of this time.
    fn is_over(&self, time: EventTime, other: i64) -> bool {
        Watermark::from_raw(other)
            .has_reached(time.saturating_add(self.to).saturating_add(self.late.allow_ms).saturating_add(1))
    }
}

/// Where a kept row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    bucket: i64,
    batch: u32,
    row: u32,
}

/// Rows that came together.
struct Kept {
    rows: RecordBatch,
    groups: Vec<u32>,
    times: Vec<i64>,
    numbers: Vec<i64>,
    matched: Vec<bool>,
    /// In no changelog yet.
    is_new: bool,
}

impl Kept {
    fn take(&self, places: &[u32]) -> Result<Kept, StageError> {
        fn pick<T: Copy>(from: &[T], places: &[u32]) -> Vec<T> {
            places.iter().map(|at| from[*at as usize]).collect()
        }
        Ok(Kept {
            rows: take_record_batch(&self.rows, &UInt32Array::from(places.to_vec()))?,
            groups: pick(&self.groups, places),
            times: pick(&self.times, places),
            numbers: pick(&self.numbers, places),
            matched: pick(&self.matched, places),
            is_new: self.is_new,
        })
    }
}

/// A row in the index of its bucket: time, batch and row.
type Entry = (EventTime, u32, u32);

#[derive(Default)]
struct Bucket {
    batches: Vec<Kept>,
    /// How many rows each key group has here.
    counts: BTreeMap<u32, usize>,
    /// By key group and key.
    index: HashMap<Box<[u8]>, Vec<Entry>>,
}

impl Bucket {
    /// Adds rows, those without a null in their key to the index.
    fn add(&mut self, kept: Kept, plan: &SidePlan) -> Result<(), StageError> {
        if plan.is_looked_up {
            self.add_to_index(&kept, plan)?;
        }
        for run in kept.groups.chunk_by(|a, b| a == b) {
            *self.counts.entry(run[0]).or_default() += run.len();
        }
        self.batches.push(kept);
        Ok(())
    }

    fn add_to_index(&mut self, kept: &Kept, plan: &SidePlan) -> Result<(), StageError> {
        let batch = self.batches.len() as u32;
        let keys = keys(plan, &kept.rows, &kept.groups)?;
        let keys = RowKeys::new(&keys);
        let mut key = Vec::new();
        for (row, time) in kept.times.iter().enumerate().filter(|(row, _)| !keys.any_null(*row)) {
            keys.write(row, &mut key);
            let place = (*time, batch, row as u32);
            match self.index.get_mut(key.as_slice()) {
                Some(places) => places.push(place),
                None => drop(self.index.insert(key.as_slice().into(), vec![place])),
            }
        }
        Ok(())
    }

    /// The rows that are wanted and needed, in new batches: those that are in a changelog, and those that are not.
    fn rebuilt(&self, plan: &SidePlan, wanted: impl Fn(u32) -> bool) -> Result<Bucket, StageError> {
        let mut made = Bucket::default();
        for is_new in [false, true] {
            let mut parts = Vec::new();
            for kept in self.batches.iter().filter(|kept| kept.is_new == is_new) {
                let is_kept = |at: &usize| wanted(kept.groups[*at]) && !(plan.once && kept.matched[*at]);
                let places: Vec<u32> = (0..kept.groups.len()).filter(is_kept).map(|at| at as u32).collect();
                if !places.is_empty() {
                    parts.push(kept.take(&places)?);
                }
            }
            if parts.is_empty() {
                continue;
            }
            let rows = concat_batches(&plan.schema, parts.iter().map(|part| &part.rows))?;
            let mut whole = Kept {
                rows,
                groups: Vec::new(),
                times: Vec::new(),
                numbers: Vec::new(),
                matched: Vec::new(),
                is_new,
            };
            for part in parts {
                whole.groups.extend(part.groups);
                whole.times.extend(part.times);
                whole.numbers.extend(part.numbers);
                whole.matched.extend(part.matched);
            }
            made.add(whole, plan)?;
        }
        Ok(made)
    }

    fn rows(&self) -> usize {
        self.counts.values().sum()
    }

    /// Makes one of the smaller half of the batches: each row is copied as often as its batch doubles. Places change.
    fn merge_small(&mut self, plan: &SidePlan) -> Result<(), StageError> {
        let mut sizes: Vec<usize> = self.batches.iter().map(|kept| kept.groups.len()).collect();
        sizes.sort_unstable();
        let middle = sizes[sizes.len() / 2];
        let (small, large): (Vec<Kept>, Vec<Kept>) =
            std::mem::take(&mut self.batches).into_iter().partition(|kept| kept.groups.len() <= middle);
        let merged = Bucket { batches: small, ..Bucket::default() }.rebuilt(plan, |_| true)?;
        let mut made = Bucket::default();
        large.into_iter().chain(merged.batches).try_for_each(|kept| made.add(kept, plan))?;
        *self = made;
        Ok(())
    }
}

/// The columns of a side's key, the key group before them.
pub(super) fn keys(plan: &SidePlan, rows: &RecordBatch, groups: &[u32]) -> Result<Vec<ArrayRef>, StageError> {
    let mut keys: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups.to_vec()))];
    keys.extend(evaluate(&plan.keys, rows)?);
    Ok(keys)
}

/// The rows of one side that may still be met.
pub(crate) struct Side {
    pub(crate) plan: SidePlan,
    buckets: BTreeMap<i64, Bucket>,
    /// The number of the next row.
    next: i64,
    /// Rows in a changelog that have found their first match since it was written: key group, time and number.
    now_matched: Vec<(u32, EventTime, i64)>,
    /// While state is restored: where rows are, by key group and number.
    restoring: HashMap<(u32, i64), Place>,
}

impl Side {
    pub(crate) fn new(plan: SidePlan) -> Side {
        Side { plan, buckets: BTreeMap::new(), next: 0, now_matched: Vec::new(), restoring: HashMap::new() }
    }

    /// The rows of a key whose time is in a range and that are needed, by rising buckets.
    pub(super) fn find(&mut self, key: &[u8], (from, to): (EventTime, EventTime), found: &mut Vec<Place>) {
        for (bucket, kept) in self.buckets.range_mut(self.plan.bucket_of(from)..=self.plan.bucket_of(to)) {
            let Bucket { batches, index, .. } = kept;
            let Some(places) = index.get_mut(key) else { continue };
            if self.plan.once {
                // Each is passed over once.
                places.retain(|(_, batch, row)| !batches[*batch as usize].matched[*row as usize]);
            }
            for (time, batch, row) in places {
                if (from..=to).contains(time) {
                    found.push(Place { bucket: *bucket, batch: *batch, row: *row });
                }
            }
        }
    }

    /// Whether a row of a key has its time in a range.
    pub(super) fn has(&self, key: &[u8], (from, to): (EventTime, EventTime)) -> bool {
        let mut buckets = self.buckets.range(self.plan.bucket_of(from)..=self.plan.bucket_of(to));
        buckets.any(|(_, kept)| {
            kept.index
                .get(key)
                .is_some_and(|places| places.iter().any(|(time, ..)| (from..=to).contains(time)))
        })
    }

    /// Notes that a row has found a match; gives whether it is its first.
    pub(crate) fn was_matched(&mut self, place: Place) -> bool {
        let Some(bucket) = self.buckets.get_mut(&place.bucket) else { return false };
        let kept = &mut bucket.batches[place.batch as usize];
        let row = place.row as usize;
        let is_first = !std::mem::replace(&mut kept.matched[row], true);
        if is_first && !kept.is_new {
            self.now_matched.push((kept.groups[row], kept.times[row], kept.numbers[row]));
        }
        is_first
    }

    /// The watermark of the other side at which a kept row is over.
    pub(super) fn over_at(&self, place: &Place) -> EventTime {
        let time = self.buckets[&place.bucket].batches[place.batch as usize].times[place.row as usize];
        time + self.plan.to + self.plan.late.allow_ms + 1
    }

    /// The key group of a kept row.
    pub(crate) fn group_of(&self, place: &Place) -> u32 {
        self.buckets[&place.bucket].batches[place.batch as usize].groups[place.row as usize]
    }

    /// The rows at these places.
    pub(crate) fn rows(&self, places: &[Place]) -> Result<RecordBatch, StageError> {
        let mut batches: Vec<&RecordBatch> = Vec::new();
        let mut known: HashMap<(i64, u32), usize> = HashMap::new();
        let mut at = Vec::with_capacity(places.len());
        for place in places {
            let batch = *known.entry((place.bucket, place.batch)).or_insert_with(|| {
                batches.push(&self.buckets[&place.bucket].batches[place.batch as usize].rows);
                batches.len() - 1
            });
            at.push((batch, place.row as usize));
        }
        if batches.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.plan.schema)));
        }
        Ok(interleave_record_batch(&batches, &at)?)
    }

    /// Keeps rows; whether each has found a match already is told with them. One with a null in its key meets nothing.
    pub(crate) fn keep(&mut self, chunk: &Chunk, matched: &[bool]) -> Result<(), StageError> {
        if !self.plan.outer {
            let columns = evaluate(&self.plan.keys, &chunk.batch)?;
            if columns.iter().any(|column| column.null_count() > 0) {
                let keys = RowKeys::new(&columns);
                let keep: BooleanArray = (0..chunk.rows()).map(|row| Some(!keys.any_null(row))).collect();
                // Of what is not outer nobody asks what has matched, or it comes without a match.
                let chunk = chunk.clone().filter(&keep)?;
                return self.keep_all(&chunk, &vec![false; chunk.rows()]);
            }
        }
        self.keep_all(chunk, matched)
    }

    fn keep_all(&mut self, chunk: &Chunk, matched: &[bool]) -> Result<(), StageError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let times = chunk.batch.column(self.plan.time).as_primitive::<TimestampMillisecondType>().values();
        let numbers = self.next..self.next + chunk.rows() as i64;
        self.next = numbers.end;
        let all = Kept {
            rows: chunk.batch.clone(),
            groups: chunk.groups.values().to_vec(),
            times: times.to_vec(),
            numbers: numbers.collect(),
            matched: matched.to_vec(),
            is_new: true,
        };
        self.put(all)?;
        Ok(())
    }

    /// Puts rows into their buckets; gives each that it put something into, with the number of batches that it had before.
    fn put(&mut self, all: Kept) -> Result<Vec<(i64, usize)>, StageError> {
        let mut written = Vec::new();
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in all.times.iter().enumerate() {
            places.entry(self.plan.bucket_of(*time)).or_default().push(row as u32);
        }
        let is_one = places.len() == 1;
        let mut all = Some(all);
        for (bucket, rows) in places {
            let kept = match (is_one, &all) {
                (false, Some(all)) => all.take(&rows)?,
                _ => all.take().expect("rows of one bucket are put once"),
            };
            let place = self.buckets.entry(bucket).or_default();
            written.push((bucket, place.batches.len()));
            place.add(kept, &self.plan)?;
        }
        Ok(written)
    }

    /// The rows without a match that no row of the other side can meet any more, since the last commit: `before` and `now` are
    /// the other side's watermarks.
    pub(crate) fn unmatched(&self, before: &[i64], now: &[i64]) -> Vec<Place> {
        let mut found = Vec::new();
        for (bucket, kept) in &self.buckets {
            // The earliest that a row of it can be over.
            let first = bucket.saturating_mul(self.plan.bucket_ms);
            if !kept.counts.keys().any(|group| self.plan.is_over(first, now[*group as usize])) {
                continue;
            }
            for (batch, kept) in kept.batches.iter().enumerate() {
                for row in (0..kept.groups.len()).filter(|row| !kept.matched[*row]) {
                    let (group, time) = (kept.groups[row] as usize, kept.times[row]);
                    let was_over = !kept.is_new && self.plan.is_over(time, before[group]);
                    if self.plan.is_over(time, now[group]) && !was_over {
                        found.push(Place { bucket: *bucket, batch: batch as u32, row: row as u32 });
                    }
                }
            }
        }
        found
    }

    /// Lets go of buckets whose rows nobody can meet any more, by the other side's watermarks.
    pub(crate) fn sweep(&mut self, other: &[i64]) -> Result<(), StageError> {
        let plan = &self.plan;
        let mut gone = Vec::new();
        for (bucket, kept) in &mut self.buckets {
            let end = plan.end_of(*bucket);
            let is_over = |group: u32| plan.is_over(end, other[group as usize]);
            let over: usize = kept.counts.iter().filter(|(group, _)| is_over(**group)).map(|(_, n)| n).sum();
            let rows = kept.rows();
            if over == rows {
                gone.push(*bucket);
            } else if over * 2 > rows {
                *kept = kept.rebuilt(plan, |group| !is_over(group))?;
            } else if kept.batches.len() > BATCHES_MAX {
                kept.merge_small(plan)?;
            }
        }
        gone.iter().for_each(|bucket| drop(self.buckets.remove(bucket)));
        Ok(())
    }

    /// Rows that are needed, as state rows.
    fn state_rows(&self, kept: &Kept) -> Result<RecordBatch, StageError> {
        if self.plan.once && kept.matched.contains(&true) {
            let needed = (0..).zip(&kept.matched).filter(|(_, matched)| !**matched);
            return self.state_rows(&kept.take(&needed.map(|(row, _)| row).collect::<Vec<u32>>())?);
        }
        let what = kept.matched.iter().map(|matched| if *matched { MATCHED_ROW } else { ROW });
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(kept.groups.clone())),
            Arc::new(Int64Array::from(kept.times.clone())),
            Arc::new(Int64Array::from(kept.numbers.clone())),
            Arc::new(Int8Array::from_iter_values(what)),
        ];
        columns.extend(kept.rows.columns().iter().cloned());
        Ok(RecordBatch::try_new(Arc::clone(&self.plan.state_schema), columns)?)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        let new = |bucket: &Bucket| bucket.batches.iter().any(|kept| kept.is_new);
        for bucket in self.buckets.values().filter(|bucket| new(bucket)) {
            for kept in bucket.batches.iter().filter(|kept| kept.is_new) {
                rows.push(self.state_rows(kept)?);
            }
        }
        let batches = self.buckets.values_mut().flat_map(|bucket| &mut bucket.batches);
        batches.for_each(|kept| kept.is_new = false);
        let now_matched = std::mem::take(&mut self.now_matched);
        if self.plan.notes_matches() && !now_matched.is_empty() {
            let count = now_matched.len();
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from_iter_values(now_matched.iter().map(|row| row.0))),
                Arc::new(Int64Array::from_iter_values(now_matched.iter().map(|row| row.1))),
                Arc::new(Int64Array::from_iter_values(now_matched.iter().map(|row| row.2))),
                Arc::new(Int8Array::from(vec![NOW_MATCHED; count])),
            ];
            let fields = self.plan.state_schema.fields().iter().skip(OWN_COLUMNS);
            columns.extend(fields.map(|field| new_null_array(field.data_type(), count)));
            rows.push(RecordBatch::try_new(Arc::clone(&self.plan.state_schema), columns)?);
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for bucket in self.buckets.values() {
            for kept in &bucket.batches {
                rows.push(part(&self.state_rows(kept)?, |group| wanted.has(group))?);
            }
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let groups = batch.column(0).as_primitive::<UInt32Type>().values();
        let times = batch.column(1).as_primitive::<Int64Type>().values();
        let numbers = batch.column(2).as_primitive::<Int64Type>().values();
        let what = batch.column(3).as_primitive::<Int8Type>().values();
        let wanted = |row: &u32| owned.has(groups[*row as usize]);
        let (marks, rows): (Vec<u32>, Vec<u32>) =
            (0..batch.num_rows() as u32).filter(wanted).partition(|row| what[*row as usize] == NOW_MATCHED);
        if !rows.is_empty() {
            let pick = |from: &[i64]| rows.iter().map(|row| from[*row as usize]).collect();
            let taken = take_record_batch(batch, &UInt32Array::from(rows.clone()))?;
            let columns = taken.columns()[OWN_COLUMNS..].to_vec();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let kept = Kept {
                rows: RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), columns, &options)?,
                groups: rows.iter().map(|row| groups[*row as usize]).collect(),
                times: pick(times),
                numbers: pick(numbers),
                matched: rows.iter().map(|row| what[*row as usize] == MATCHED_ROW).collect(),
                is_new: false,
            };
            let next = kept.numbers.iter().max().map_or(0, |last| last + 1);
            self.next = self.next.max(next);
            let written = self.put(kept)?;
            self.note_places(&written);
        }
        for mark in marks {
            let row = (groups[mark as usize], numbers[mark as usize]);
            // One that is gone was over.
            let Some(place) = self.restoring.get(&row) else { continue };
            if let Some(bucket) = self.buckets.get_mut(&place.bucket) {
                bucket.batches[place.batch as usize].matched[place.row as usize] = true;
            }
        }
        Ok(())
    }

    /// While state is restored: notes where rows are, of the batches of some buckets behind so many of each.
    fn note_places(&mut self, known: &[(i64, usize)]) {
        if !self.plan.notes_matches() {
            return;
        }
        for (bucket, known) in known {
            for (batch, kept) in self.buckets[bucket].batches.iter().enumerate().skip(*known) {
                for ((group, number), row) in kept.groups.iter().zip(&kept.numbers).zip(0u32..) {
                    let at = Place { bucket: *bucket, batch: batch as u32, row };
                    self.restoring.insert((*group, *number), at);
                }
            }
        }
    }

    /// After a restore.
    pub(crate) fn finish_restore(&mut self) {
        self.restoring = HashMap::new();
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        self.buckets.retain(|_, bucket| bucket.counts.keys().any(|group| !groups.has(*group)));
        for bucket in self.buckets.values_mut() {
            if bucket.counts.keys().any(|group| groups.has(*group)) {
                *bucket = bucket.rebuilt(&self.plan, |member| !groups.has(member))?;
            }
        }
        self.now_matched.retain(|row| !groups.has(row.0));
        if !self.restoring.is_empty() {
            // Places of what is left have changed.
            self.restoring.clear();
            let all: Vec<(i64, usize)> = self.buckets.keys().map(|bucket| (*bucket, 0)).collect();
            self.note_places(&all);
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> usize {
        let of = |kept: &Kept| kept.rows.get_array_memory_size() + kept.groups.len() * 21;
        let index = |bucket: &Bucket| bucket.index.len() * 64 + bucket.rows() * 16;
        self.buckets.values().map(|b| b.batches.iter().map(of).sum::<usize>() + index(b)).sum()
    }

    /// Buckets of rows.
    pub(crate) fn entries(&self) -> usize {
        self.buckets.len()
    }
}
