//! The rows of one side of a join by time that may still be met: in buckets of time, and in the changelog. Never enters: what meets
//! what; how a bucket keeps its rows, in memory and in a scratch (`bucket`).

mod bucket;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, RecordBatchOptions,
    UInt32Array, new_null_array,
};
use arrow::compute::{concat_batches, take_record_batch};
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
use crate::op::row_key::RowKeys;
use crate::op::stored_rows::{At, Portion, StoredRows, gather};
use crate::state::Owned;
use crate::state::scratch::Spill;
use bucket::{Bucket, Facts};

/// A bound of time that none is beyond: rows are met at any time, and kept for ever. Sums with it stay within bounds.
pub(crate) const FOR_EVER: i64 = i64::MAX / 4;
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
    /// The event time's column; it is not nullable. `None` where rows of both sides are kept for ever.
    pub(crate) time: Option<usize>,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Whether rows without a match come out when none can come any more.
    pub(crate) outer: bool,
    /// Whether a row is needed only until it has found a match: it is given once, as it is.
    pub(crate) once: bool,
    /// A row at `t` meets rows of the other side from `t + from` to `t + to`, in milliseconds, both ends with them;
    /// [`FOR_EVER`] where there is no bound.
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

    /// The event times of rows of the side.
    pub(crate) fn times(&self, rows: &RecordBatch) -> Vec<EventTime> {
        match self.time {
            Some(at) => rows.column(at).as_primitive::<TimestampMillisecondType>().values().to_vec(),
            None => vec![0; rows.num_rows()],
        }
    }

    /// These columns as rows.
    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, StageError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Whether rows are let go of when the other side's watermark has passed them: else they are kept for ever.
    pub(crate) fn lets_go(&self) -> bool {
        self.to < FOR_EVER
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
    /// How far the other side had come, by key group, when all that had been read of it had met what was here.
    other_at: Vec<i64>,
}

impl Side {
    pub(crate) fn new(plan: SidePlan) -> Side {
        let (buckets, restoring) = (BTreeMap::new(), HashMap::new());
        Side { plan, buckets, next: 0, now_matched: Vec::new(), restoring, other_at: Vec::new() }
    }

    /// Notes how far the other side has come, of which all that was read has met what is here.
    pub(crate) fn note_other(&mut self, watermarks: &[i64]) {
        self.other_at.clear();
        self.other_at.extend_from_slice(watermarks);
    }

    /// Which rows may be met by rows that are still to come: the others need not be kept at all. Nothing where all may, or where
    /// one comes out when nothing has met it.
    pub(super) fn may_be_met(&self, chunk: &Chunk, times: &[EventTime]) -> Option<BooleanArray> {
        if self.plan.outer || !self.plan.lets_go() || self.other_at.is_empty() {
            return None;
        }
        let rows = chunk.groups.values().iter().zip(times);
        let is_over = |(group, time): (&u32, &i64)| self.plan.is_over(*time, self.other_at[*group as usize]);
        rows.clone().any(is_over).then(|| rows.map(|row| Some(!is_over(row))).collect())
    }

    /// The rows of a key whose time is in a range and that are needed, by rising buckets.
    pub(super) fn find(&mut self, key: &[u8], (from, to): (EventTime, EventTime), found: &mut Vec<Place>) {
        let plan = &self.plan;
        for (bucket, kept) in self.buckets.range_mut(plan.bucket_of(from)..=plan.bucket_of(to)) {
            let bucket = *bucket;
            kept.find(key, (from, to), plan, |batch, row| found.push(Place { bucket, batch, row }));
        }
    }

    /// Whether a row of a key has its time in a range.
    pub(super) fn has(&self, key: &[u8], (from, to): (EventTime, EventTime)) -> bool {
        let mut buckets = self.buckets.range(self.plan.bucket_of(from)..=self.plan.bucket_of(to));
        buckets.any(|(_, kept)| kept.has(key, (from, to)))
    }

    /// Notes that a row has found a match; gives whether it is its first.
    pub(crate) fn was_matched(&mut self, place: Place) -> bool {
        let Some(bucket) = self.buckets.get_mut(&place.bucket) else { return false };
        let kept = &mut bucket.batches[place.batch as usize];
        let row = place.row as usize;
        let is_first = kept.was_matched(row, &self.plan);
        if is_first && !kept.is_new {
            let Facts { groups, times, numbers, .. } = &kept.facts;
            self.now_matched.push((groups[row], times[row], numbers[row]));
        }
        is_first
    }

    /// The watermark of the other side at which a kept row is over.
    pub(crate) fn over_at(&self, place: &Place) -> EventTime {
        self.time_of(place) + self.plan.to + self.plan.late.allow_ms + 1
    }

    /// The event time of a kept row.
    pub(crate) fn time_of(&self, place: &Place) -> EventTime {
        self.buckets[&place.bucket].batches[place.batch as usize].facts.times[place.row as usize]
    }

    /// The key group of a kept row.
    pub(crate) fn group_of(&self, place: &Place) -> u32 {
        self.buckets[&place.bucket].batches[place.batch as usize].facts.groups[place.row as usize]
    }

    /// About how many bytes a kept row has.
    pub(crate) fn row_bytes(&self, place: &Place) -> usize {
        self.buckets[&place.bucket].batches[place.batch as usize].row_bytes
    }

    /// Places, so many at once that their rows, and so many bytes beside each, do not take much.
    pub(crate) fn portions<'a>(
        &self,
        places: &'a [Place],
        beside: usize,
    ) -> impl Iterator<Item = &'a [Place]> {
        let mut portion = Portion::default();
        places.chunk_by(move |_, next| !portion.is_over(1, self.row_bytes(next) + beside))
    }

    /// The rows at these places.
    pub(crate) fn rows(&self, places: &[Place]) -> Result<RecordBatch, StageError> {
        let mut stores: Vec<&StoredRows> = Vec::new();
        let mut known: HashMap<(i64, u32), u32> = HashMap::new();
        let at = |place: &Place| {
            let store = *known.entry((place.bucket, place.batch)).or_insert_with(|| {
                stores.push(&self.buckets[&place.bucket].batches[place.batch as usize].rows);
                stores.len() as u32 - 1
            });
            Some((store, place.row))
        };
        let at: Vec<Option<At>> = places.iter().map(at).collect();
        self.plan.batch(gather(&stores, &at, self.plan.schema.fields())?, places.len())
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
        let numbers = self.next..self.next + chunk.rows() as i64;
        self.next = numbers.end;
        let facts = Facts {
            groups: chunk.groups.values().to_vec(),
            times: self.plan.times(&chunk.batch),
            numbers: numbers.collect(),
            matched: matched.to_vec(),
        };
        self.put(&chunk.batch, facts, true)?;
        Ok(())
    }

    /// Puts rows into their buckets; gives each that it put something into, with the number of batches that it had before.
    fn put(
        &mut self,
        rows: &RecordBatch,
        facts: Facts,
        is_new: bool,
    ) -> Result<Vec<(i64, usize)>, StageError> {
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in facts.times.iter().enumerate() {
            places.entry(self.plan.bucket_of(*time)).or_default().push(row as u32);
        }
        let known = |buckets: &BTreeMap<i64, Bucket>, bucket: &i64| {
            buckets.get(bucket).map_or(0, |bucket| bucket.batches.len())
        };
        let written = places.keys().map(|bucket| (*bucket, known(&self.buckets, bucket))).collect();
        if let Some((bucket, _)) = places.first_key_value().filter(|_| places.len() == 1) {
            let place = self.buckets.entry(*bucket).or_default();
            place.add(rows.clone(), facts, is_new, &self.plan)?;
            return Ok(written);
        }
        for (bucket, places) in places {
            let (of, place) = (facts.of(&places), self.buckets.entry(bucket).or_default());
            place.add(take_record_batch(rows, &UInt32Array::from(places))?, of, is_new, &self.plan)?;
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
                for row in kept.unmatched() {
                    let (group, time) = (kept.facts.groups[row] as usize, kept.facts.times[row]);
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
        let (mut gone, mut moved) = (Vec::new(), false);
        for (bucket, kept) in &mut self.buckets {
            let end = plan.end_of(*bucket);
            let is_over = |group: u32| plan.is_over(end, other[group as usize]);
            let over: usize = kept.counts.iter().filter(|(group, _)| is_over(**group)).map(|(_, n)| n).sum();
            let rows = kept.rows();
            if over == rows {
                gone.push(*bucket);
                continue;
            }
            if over * 2 > rows {
                kept.let_go(plan, is_over);
            }
            moved |= kept.tidy(plan)?;
        }
        gone.iter().for_each(|bucket| drop(self.buckets.remove(bucket)));
        if moved {
            self.note_moved();
        }
        Ok(())
    }

    /// Rows as state rows.
    fn state_rows(&self, rows: &RecordBatch, facts: Facts) -> Result<RecordBatch, StageError> {
        let what = facts.matched.iter().map(|matched| if *matched { MATCHED_ROW } else { ROW });
        let what = Int8Array::from_iter_values(what);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(facts.groups)),
            Arc::new(Int64Array::from(facts.times)),
            Arc::new(Int64Array::from(facts.numbers)),
            Arc::new(what),
        ];
        columns.extend(rows.columns().iter().cloned());
        Ok(RecordBatch::try_new(Arc::clone(&self.plan.state_schema), columns)?)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        let all = self.buckets.values().flat_map(|bucket| &bucket.batches);
        for kept in all.filter(|kept| kept.is_new) {
            kept.each(
                &self.plan,
                |_| true,
                |facts, part| {
                    rows.push(self.state_rows(part, facts)?);
                    Ok(())
                },
            )?;
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
        for kept in self.buckets.values().flat_map(|bucket| &bucket.batches) {
            kept.each(
                &self.plan,
                |group| wanted.has(group),
                |facts, part| {
                    rows.push(self.state_rows(part, facts)?);
                    Ok(())
                },
            )?;
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
            let facts = Facts {
                groups: rows.iter().map(|row| groups[*row as usize]).collect(),
                times: pick(times),
                numbers: pick(numbers),
                matched: rows.iter().map(|row| what[*row as usize] == MATCHED_ROW).collect(),
            };
            let next = facts.numbers.iter().max().map_or(0, |last| last + 1);
            self.next = self.next.max(next);
            let written = self.put(&self.plan.batch(columns, rows.len())?, facts, false)?;
            self.note_places(&written);
        }
        for mark in marks {
            let row = (groups[mark as usize], numbers[mark as usize]);
            // One that is gone was over.
            let Some(place) = self.restoring.get(&row) else { continue };
            if let Some(bucket) = self.buckets.get_mut(&place.bucket) {
                bucket.batches[place.batch as usize].was_matched(place.row as usize, &self.plan);
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
                let Facts { groups, numbers, .. } = &kept.facts;
                for ((group, number), row) in groups.iter().zip(numbers).zip(0u32..) {
                    let at = Place { bucket: *bucket, batch: batch as u32, row };
                    self.restoring.insert((*group, *number), at);
                }
            }
        }
    }

    /// Places have changed, perhaps while state is restored.
    fn note_moved(&mut self) {
        if !self.restoring.is_empty() {
            self.restoring.clear();
            let all: Vec<(i64, usize)> = self.buckets.keys().map(|bucket| (*bucket, 0)).collect();
            self.note_places(&all);
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
                bucket.let_go(&self.plan, |member| groups.has(member));
                bucket.tidy(&self.plan)?;
            }
        }
        self.now_matched.retain(|row| !groups.has(row.0));
        self.note_moved();
        Ok(())
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free: first what is let go of last.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        let mut buckets = self.buckets.values_mut().rev();
        let spilled = buckets.try_for_each(|bucket| bucket.spill(&self.plan, spill, bytes));
        self.note_moved();
        spilled
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.buckets.values().map(Bucket::disk_size).sum()
    }

    pub(crate) fn size(&self) -> usize {
        self.buckets.values().map(Bucket::size).sum()
    }

    /// Buckets of rows.
    pub(crate) fn entries(&self) -> usize {
        self.buckets.len()
    }
}
