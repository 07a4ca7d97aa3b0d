//! Functions OVER the rows of a stream in the order of their event time. A row waits until the watermark has passed its time,
//! and what its frames hold behind it; then all rows that come before it in its key are known, and it comes out once, with
//! values that no later row changes: so the order in which rows came, the batches and the commits change nothing (SM-3).
//!
//! The rows that wait are one side of a join by time ([`super::interval`]), which nobody looks anything up in. Of rows that have
//! come out stays what the next ones look at, by key ([`past`]); of frames that begin with a key's first row counts and sums
//! stay for ever ([`ever`]). The changelog has each row as it comes, and what is kept of a key for ever when it changes: which
//! rows had come out is told by the watermark that is written with them.

mod evaluate;
mod ever;
mod function;
mod past;
mod slide;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema, SchemaRef, UInt32Type};
use millstream_model::{EventTime, LateRule, Watermark};

use super::Give;
use super::chunk::Chunk;
use super::faults::{Faults, tell};
use super::interval::{Place, Side, SidePlan, in_time};
use super::pane::part;
use super::stored_rows::Portion;
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;
pub(crate) use ever::is_bounded;
use function::Unfit;
pub(crate) use function::{Call, Frame, Function, Total, kept_as};
use past::Sorted;
pub(crate) use past::{Past, PastPlan};

/// How much event time a bucket of waiting rows has.
const BUCKET_MS: i64 = 1_000;
/// Columns of a state row before those of the stream: key group, time, number, what the row is.
const OWN_COLUMNS: usize = 4;
/// What a state row is, besides a row that came: a row that has come out, or what is kept of a key for ever; of the first of
/// several keys, and of each further one two numbers later.
const PAST: i8 = 8;
const EVER: i8 = 9;
/// How many keys rows are divided by, at most.
pub(crate) const KEYS_MAX: usize = 16;

/// What goes out and is kept; fixed by the query.
pub(crate) struct OverPlan {
    pub(crate) late: LateRule,
    /// The event time's column among the rows that come; it is not nullable.
    pub(crate) time: usize,
    /// The columns of the rows that come: those of the query, then those that functions are computed from.
    pub(crate) rows: SchemaRef,
    /// How many of them come out; behind them the functions' values.
    pub(crate) passed: usize,
    pub(crate) schema: SchemaRef,
    pub(crate) key_groups: u32,
}

/// See the module.
pub(crate) struct OverTime {
    pub(crate) plan: OverPlan,
    /// For how long behind a row frames look.
    pub(crate) ahead_ms: i64,
    waiting: Side,
    pub(crate) pasts: Vec<Past>,
    state_schema: SchemaRef,
    /// The watermarks by which rows came out last.
    reached: Vec<i64>,
    /// Of each key group, the time up to which rows have come out: at the end of input that of the last row.
    out_to: Vec<EventTime>,
}

/// A watermark so many milliseconds later; one that says nothing, or all, stays.
fn later(watermark: i64, by_ms: i64) -> i64 {
    match watermark {
        i64::MIN | i64::MAX => watermark,
        at => at.saturating_add(by_ms),
    }
}

/// Rows that wait no longer, in the order of their times.
struct Taken {
    rows: RecordBatch,
    groups: Vec<u32>,
    times: Vec<EventTime>,
}

impl OverTime {
    pub(crate) fn new(plan: OverPlan, parts: Vec<PastPlan>) -> Result<OverTime, StageError> {
        let functions = parts.iter().flat_map(|part| &part.functions);
        let ahead_ms = functions.map(Function::ahead_ms).max().unwrap_or(0);
        let side = SidePlan {
            late: plan.late.clone(),
            schema: Arc::clone(&plan.rows),
            time: Some(plan.time),
            keys: Vec::new(),
            outer: false,
            once: false,
            is_looked_up: false,
            from: 0,
            to: ahead_ms,
            bucket_ms: BUCKET_MS.max(ahead_ms / 64),
            state_schema: SidePlan::state_schema(&plan.rows),
        };
        let mut fields: Vec<Arc<Field>> = side.state_schema.fields().to_vec();
        for (at, part) in parts.iter().enumerate() {
            let key = |(of, field): (usize, &Arc<Field>)| {
                Arc::new(Field::new(format!("over_{at}_key_{of}"), field.data_type().clone(), true))
            };
            fields.extend(part.key_fields().enumerate().map(key));
            fields.extend(part.ever_fields(&format!("over_{at}"))?.into_iter().flatten().map(Arc::new));
        }
        let count = plan.key_groups as usize;
        Ok(OverTime {
            ahead_ms,
            waiting: Side::new(side),
            pasts: parts.into_iter().map(Past::new).collect::<Result<_, _>>()?,
            state_schema: Arc::new(Schema::new(fields)),
            reached: vec![Watermark::NONE.to_raw(); count],
            out_to: vec![EventTime::MIN; count],
            plan,
        })
    }

    pub(crate) fn state_schema(&self) -> &SchemaRef {
        &self.state_schema
    }

    /// Takes up rows; the places in the stage's input of those that are late are added to `late`.
    pub(crate) fn update(&mut self, chunk: &Chunk, late: &mut Vec<u32>) -> Result<(), StageError> {
        let chunk = in_time(self.plan.time, &self.plan.late, chunk.clone(), late)?;
        self.waiting.keep(&chunk, &vec![false; chunk.rows()])
    }

    /// The time up to which no row waits at a watermark.
    fn out_to(&self, watermark: i64) -> EventTime {
        match watermark {
            i64::MIN | i64::MAX => watermark,
            at => at.saturating_sub(self.ahead_ms).saturating_sub(self.plan.late.allow_ms).saturating_sub(1),
        }
    }

    /// Gives the rows whose time, and what their frames hold behind it, the watermarks have passed since the last call. `fired_at` is
    /// raised to the watermark at which the last of them is over.
    pub(crate) fn fire(
        &mut self,
        watermarks: &[i64],
        fired_at: &mut [i64],
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let before = std::mem::replace(&mut self.reached, watermarks.to_vec());
        let due = self.waiting.unmatched(&before, watermarks);
        if self.ahead_ms > 0 {
            let shifted = |of: &[i64]| of.iter().map(|at| later(*at, self.ahead_ms)).collect::<Vec<_>>();
            let known = self.waiting.unmatched(&shifted(&before), &shifted(watermarks));
            for places in self.parts(known) {
                let taken = self.take(&places)?;
                self.append(&taken)?;
            }
        }
        for places in self.parts(due) {
            for place in &places {
                let at = &mut fired_at[self.waiting.group_of(place) as usize];
                *at = self.waiting.over_at(place).max(*at);
            }
            let taken = self.take(&places)?;
            let sorted = match self.ahead_ms {
                0 => self.append(&taken)?,
                _ => self.sort(&taken)?,
            };
            give(self.output(&taken, &sorted, faults)?, faults)?;
            for (group, time) in taken.groups.iter().zip(&taken.times) {
                let out_to = &mut self.out_to[*group as usize];
                *out_to = (*out_to).max(*time);
            }
        }
        for (group, watermark) in watermarks.iter().enumerate() {
            // What ends may go on with a later run, whose rows look at these.
            if *watermark != Watermark::END.to_raw() {
                self.out_to[group] = self.out_to[group].max(self.out_to(*watermark));
            }
        }
        self.sweep_past()
    }

    fn sweep_past(&mut self) -> Result<(), StageError> {
        let out_to = &self.out_to;
        self.pasts
            .iter_mut()
            .try_for_each(|past| past.sweep(|group| out_to[group as usize].saturating_add(1)))
    }

    /// Places by rising times, so many at once that rows of equal times are together.
    fn parts(&self, places: Vec<Place>) -> Vec<Vec<Place>> {
        let mut timed: Vec<(EventTime, Place)> =
            places.into_iter().map(|place| (self.waiting.time_of(&place), place)).collect();
        timed.sort_unstable();
        let mut portion = Portion::default();
        let mut parts: Vec<Vec<Place>> = Vec::new();
        for run in timed.chunk_by(|a, b| a.0 == b.0) {
            let bytes = self.waiting.row_bytes(&run[0].1);
            let run = run.iter().map(|(_, place)| *place);
            let is_over = portion.is_over(run.len(), bytes);
            match parts.last_mut().filter(|_| !is_over) {
                Some(part) => part.extend(run),
                None => parts.push(run.collect()),
            }
        }
        parts
    }

    fn take(&self, places: &[Place]) -> Result<Taken, StageError> {
        Ok(Taken {
            rows: self.waiting.rows(places)?,
            groups: places.iter().map(|place| self.waiting.group_of(place)).collect(),
            times: places.iter().map(|place| self.waiting.time_of(place)).collect(),
        })
    }

    /// Brings rows into the order of the keys of each part.
    fn sort(&mut self, taken: &Taken) -> Result<Vec<Sorted>, StageError> {
        let Taken { rows, groups, times } = taken;
        let of = |past: &mut Past| {
            let keys = past.plan.keys.iter().map(|at| Arc::clone(rows.column(*at))).collect();
            past.sort(groups, times, keys, Some(rows))
        };
        self.pasts.iter_mut().map(of).collect()
    }

    /// Adds rows to their keys; gives their order.
    fn append(&mut self, taken: &Taken) -> Result<Vec<Sorted>, StageError> {
        let all = self.sort(taken)?;
        for (past, sorted) in self.pasts.iter_mut().zip(&all) {
            let kept = past.plan.kept.iter().map(|at| Arc::clone(taken.rows.column(*at))).collect();
            past.append(sorted, &taken.groups, &taken.times, kept)?;
        }
        Ok(all)
    }

    /// Rows with the values of their functions; those of which one has none are put among the faults.
    fn output(&mut self, taken: &Taken, sorted: &[Sorted], faults: &mut Faults) -> Result<Chunk, StageError> {
        let mut unfit = Unfit::new();
        let count = taken.times.len();
        let mut values: Vec<(usize, ArrayRef)> = Vec::new();
        for (past, sorted) in self.pasts.iter_mut().zip(sorted) {
            let places: Vec<usize> = past.plan.functions.iter().map(|function| function.output).collect();
            values.extend(places.into_iter().zip(past.evaluate(sorted, count, &mut unfit)?));
        }
        values.sort_unstable_by_key(|(at, _)| *at);
        let columns = taken.rows.columns()[..self.plan.passed].iter().cloned();
        let columns = columns.chain(values.into_iter().map(|(_, column)| column)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        let chunk = Chunk::made(batch, UInt32Array::from(taken.groups.clone()));
        if unfit.is_empty() {
            return Ok(chunk);
        }
        let keep = tell(&chunk.batch, unfit, faults);
        chunk.filter(&keep)
    }

    /// State rows of one kind: their own columns, and others by their places.
    fn state_rows(
        &self,
        (what, groups, times): (i8, Vec<u32>, Vec<i64>),
        columns: impl Iterator<Item = (usize, ArrayRef)>,
    ) -> Result<RecordBatch, StageError> {
        let count = groups.len();
        let fields = self.state_schema.fields();
        let mut all: Vec<ArrayRef> =
            fields.iter().map(|field| new_null_array(field.data_type(), count)).collect();
        all[0] = Arc::new(UInt32Array::from(groups));
        all[1] = Arc::new(Int64Array::from(times));
        all[2] = Arc::new(Int64Array::from_iter_values(0..count as i64));
        all[3] = Arc::new(Int8Array::from(vec![what; count]));
        columns.for_each(|(at, column)| all[at] = column);
        Ok(RecordBatch::try_new(Arc::clone(&self.state_schema), all)?)
    }

    /// Where the columns of a part's keys begin, and those of what is kept for ever.
    fn columns_of(&self, part: usize) -> (usize, usize) {
        let mut at = OWN_COLUMNS + self.plan.rows.fields().len();
        for past in &self.pasts[..part] {
            at += past.plan.keys.len() + past.ever_columns();
        }
        (at, at + self.pasts[part].plan.keys.len())
    }

    /// Rows of the side that waits, with the columns that they have not.
    fn widened(&self, rows: &RecordBatch) -> Result<RecordBatch, StageError> {
        let mut columns = rows.columns().to_vec();
        let more = self.state_schema.fields().iter().skip(columns.len());
        columns.extend(more.map(|field| new_null_array(field.data_type(), rows.num_rows())));
        Ok(RecordBatch::try_new(Arc::clone(&self.state_schema), columns)?)
    }

    /// What is kept of some keys of a part for ever.
    fn ever_rows(&mut self, part: usize, keys: &[u32]) -> Result<RecordBatch, StageError> {
        let (groups, columns) = self.pasts[part].key_columns(keys)?;
        let evers = self.pasts[part].ever_state(keys)?;
        let (from, ever_from) = self.columns_of(part);
        let columns = (from..).zip(columns).chain((ever_from..).zip(evers));
        let times = vec![0; groups.len()];
        self.state_rows((EVER + 2 * part as i8, groups, times), columns)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let came = self.waiting.delta()?;
        let mut all = vec![self.widened(&came)?];
        for part in 0..self.pasts.len() {
            let keys = self.pasts[part].take_touched();
            if !keys.is_empty() {
                all.push(self.ever_rows(part, &keys)?);
            }
        }
        // What has come out was written; the past has what is needed of it.
        self.waiting.sweep(&self.reached)?;
        Ok(concat_batches(&self.state_schema, &all)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&mut self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let waiting = self.waiting.all(wanted)?;
        let groups = waiting.column(0).as_primitive::<UInt32Type>().values();
        let times = waiting.column(1).as_primitive::<Int64Type>().values();
        let waits = groups.iter().zip(times).map(|(group, time)| Some(*time > self.out_to[*group as usize]));
        let mut all = vec![self.widened(&filter_record_batch(&waiting, &waits.collect())?)?];
        for part in 0..self.pasts.len() {
            let keys = self.pasts[part].keys_in(|group| wanted.has(group));
            let rows = self.pasts[part].past_rows(&keys)?;
            let (groups, columns) = self.pasts[part].key_columns(&rows.keys)?;
            let from = self.columns_of(part).0;
            let kept = self.pasts[part].plan.kept.iter().map(|at| OWN_COLUMNS + at).zip(rows.columns);
            let columns = kept.chain((from..).zip(columns));
            all.push(self.state_rows((PAST + 2 * part as i8, groups, rows.times), columns)?);
            if self.pasts[part].plan.has_ever() {
                all.push(self.ever_rows(part, &keys)?);
            }
        }
        Ok(concat_batches(&self.state_schema, &all)?)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let batch = part(batch, |group| owned.has(group))?;
        let what = batch.column(3).as_primitive::<Int8Type>().values();
        let of = |wanted: &dyn Fn(i8) -> bool| -> Result<Option<RecordBatch>, StageError> {
            let rows = (0u32..).zip(what).filter(|(_, what)| wanted(**what)).map(|(row, _)| row);
            let rows = UInt32Array::from_iter_values(rows);
            if rows.is_empty() { Ok(None) } else { Ok(Some(take_record_batch(&batch, &rows)?)) }
        };
        if let Some(rows) = of(&|what| what < PAST)? {
            let own: Vec<usize> = (0..OWN_COLUMNS + self.plan.rows.fields().len()).collect();
            self.waiting.restore(&rows.project(&own)?, owned)?;
        }
        for at in 0..self.pasts.len() {
            let (keys_from, ever_from) = self.columns_of(at);
            let keys = |rows: &RecordBatch| rows.columns()[keys_from..ever_from].to_vec();
            let groups = |rows: &RecordBatch| rows.column(0).as_primitive::<UInt32Type>().values().to_vec();
            let past = &mut self.pasts[at];
            if let Some(rows) = of(&|what| what == PAST + 2 * at as i8)? {
                let times = rows.column(1).as_primitive::<Int64Type>().values().to_vec();
                let sorted = past.sort(&groups(&rows), &times, keys(&rows), None)?;
                let kept = past.plan.kept.iter().map(|at| Arc::clone(rows.column(OWN_COLUMNS + at)));
                let kept = kept.collect();
                past.append(&sorted, &groups(&rows), &times, kept)?;
            }
            if let Some(rows) = of(&|what| what == EVER + 2 * at as i8)? {
                let columns = &rows.columns()[ever_from..ever_from + past.ever_columns()];
                past.take_up_ever(&groups(&rows), keys(&rows), columns)?;
            }
        }
        Ok(())
    }

    /// After a restore: by the key groups' watermarks it is known which rows had come out.
    pub(crate) fn finish_restore(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
        let mut known = vec![Watermark::NONE.to_raw(); watermarks.len()];
        for group in restored.iter().map(|group| group.0 as usize) {
            known[group] = later(watermarks[group], self.ahead_ms);
            self.reached[group] = watermarks[group];
            self.out_to[group] = self.out_to(watermarks[group]);
        }
        let none = vec![Watermark::NONE.to_raw(); watermarks.len()];
        for places in self.parts(self.waiting.unmatched(&none, &known)) {
            let taken = self.take(&places)?;
            self.append(&taken)?;
        }
        let out_to = &self.out_to;
        for past in &mut self.pasts {
            past.came_out(|group| restored.has(group), |group| out_to[group as usize]);
        }
        self.sweep_past()
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        for group in groups.iter().map(|group| group.0 as usize) {
            (self.reached[group], self.out_to[group]) = (Watermark::NONE.to_raw(), EventTime::MIN);
        }
        self.pasts.iter_mut().for_each(|past| past.forget(|group| groups.has(group)));
        self.waiting.forget(groups)
    }

    /// Moves rows that wait and are committed to a scratch, until so many bytes of memory are free.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        self.waiting.spill(spill, bytes)
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.waiting.disk_size()
    }

    pub(crate) fn size(&self) -> usize {
        self.waiting.size() + self.pasts.iter().map(Past::size).sum::<usize>()
    }

    /// Keys, and buckets of rows that wait.
    pub(crate) fn entries(&self) -> usize {
        self.waiting.entries() + self.pasts.iter().map(Past::len).sum::<usize>()
    }
}

/// Whether the columns of a key, and of whatever may tell rows apart, can be put in order.
pub(crate) fn has_order(kinds: impl Iterator<Item = DataType>) -> bool {
    let fields: Vec<arrow::row::SortField> = kinds.map(arrow::row::SortField::new).collect();
    arrow::row::RowConverter::supports_fields(&fields)
}
