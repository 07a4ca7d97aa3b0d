//! One of the streams that a stage reads: what waits of it, its decoder, and the watermark of each of its partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use millstream_model::{EventTime, KeyGroup, SourceWatermarks, Watermark};
use millstream_types::Millis;

use super::{RejectedRecord, Rejection, TimeBounds};
use crate::error::{StageError, columns};
use crate::op::chunk::{Chunk, retain};
use millstream_format::Decoder;

pub(super) struct Source {
    pub(super) name: Arc<str>,
    /// Whether its rows leave the stage as they are.
    pub(super) wanted: bool,
    pub(super) decoder: Decoder,
    /// The columns that are decoded.
    pub(super) schema: SchemaRef,
    /// The event time's column in the decoded batches.
    pub(super) time: Option<usize>,
    pub(super) clocks: SourceWatermarks,
    /// Watermarks as of the last commit, raw.
    pub(super) committed: Vec<i64>,
    /// The same, but the end of time where input has ended.
    pub(super) promised: Vec<i64>,
    /// For what joins it with others: how far those had come while it was idle, as of now and of the last commit, raw.
    pub(super) followed: Vec<i64>,
    pub(super) followed_committed: Vec<i64>,
    /// Of the rows waiting: key group and offset.
    pub(super) groups: Vec<u32>,
    pub(super) offsets: Vec<i64>,
    /// How far a row may raise its partition's watermark at most.
    pub(super) bounds: Vec<i64>,
    /// The latest event time that each may have.
    pub(super) latest: Vec<i64>,
    pub(super) waiting: Vec<RecordBatch>,
}

impl Source {
    pub(super) fn assign(&mut self, group: KeyGroup, now: Millis) {
        let restored = Watermark::from_raw(self.committed[group.0 as usize]);
        self.promised[group.0 as usize] = restored.to_raw();
        self.followed[group.0 as usize] = self.followed_committed[group.0 as usize];
        self.clocks.assign(group, restored, now);
    }

    pub(super) fn revoke(&mut self, group: KeyGroup) {
        self.clocks.revoke(group);
        for of in [&mut self.committed, &mut self.promised, &mut self.followed, &mut self.followed_committed]
        {
            of[group.0 as usize] = Watermark::NONE.to_raw();
        }
    }

    /// Takes a record; says what is wrong with it.
    pub(super) fn push_record(
        &mut self,
        group: KeyGroup,
        offset: i64,
        value: Option<&[u8]>,
        bounds: TimeBounds,
    ) -> Result<Option<RejectedRecord>, StageError> {
        if !self.clocks.has(group) {
            return Err(StageError::NotAssigned(group));
        }
        match self.decoder.push_value(value) {
            Ok(()) => {
                self.groups.push(group.0);
                self.offsets.push(offset);
                self.bounds.push(bounds.others_at.unwrap_or(EventTime::MAX));
                self.latest.push(bounds.latest.unwrap_or(EventTime::MAX));
                Ok(None)
            }
            Err(why) => {
                let source = Arc::clone(&self.name);
                Ok(Some(RejectedRecord { source, group, offset, why: Rejection::Bad(why) }))
            }
        }
    }

    /// Takes rows that are columns already.
    pub(super) fn push_batch(
        &mut self,
        group: KeyGroup,
        offset: i64,
        batch: &RecordBatch,
    ) -> Result<(), StageError> {
        if !self.clocks.has(group) {
            return Err(StageError::NotAssigned(group));
        }
        let found = batch.schema();
        let same = found.fields().len() == self.schema.fields().len()
            && found
                .fields()
                .iter()
                .zip(self.schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !same {
            let what = format!("a batch of {}", self.name);
            return Err(StageError::Schema { what, expected: columns(&self.schema), found: columns(&found) });
        }
        // Records that wait in the decoder came first.
        if self.decoder.rows() > 0 {
            let decoded = self.decoder.finish();
            self.waiting.push(decoded);
        }
        self.groups.extend(std::iter::repeat_n(group.0, batch.num_rows()));
        self.offsets.extend(std::iter::repeat_n(offset, batch.num_rows()));
        self.bounds.extend(std::iter::repeat_n(EventTime::MAX, batch.num_rows()));
        self.latest.extend(std::iter::repeat_n(EventTime::MAX, batch.num_rows()));
        self.waiting.push(batch.clone());
        Ok(())
    }

    /// The rows that wait, as one chunk, with each row's offset. Those of the far future are rejected.
    pub(super) fn gather(
        &mut self,
        now: Millis,
        rejected: &mut Vec<RejectedRecord>,
    ) -> Result<Option<(Chunk, Int64Array)>, StageError> {
        if self.groups.is_empty() {
            return Ok(None);
        }
        if self.decoder.rows() > 0 {
            let decoded = self.decoder.finish();
            self.waiting.push(decoded);
        }
        let batch = match self.waiting.len() {
            1 => self.waiting.remove(0),
            _ => concat_batches(&self.schema, &std::mem::take(&mut self.waiting))?,
        };
        let batch = self.in_bounds(batch, rejected)?;
        if self.groups.is_empty() {
            return Ok(None);
        }
        let groups = std::mem::take(&mut self.groups);
        let bounds = std::mem::take(&mut self.bounds);
        let watermarks = self.observe((&groups, &bounds), &batch, now);
        let rows = groups.len() as u32;
        let chunk = Chunk {
            batch,
            groups: UInt32Array::from(groups),
            watermarks: Int64Array::from(watermarks),
            origin: UInt32Array::from_iter_values(0..rows),
            panes: None,
        };
        Ok(Some((chunk, Int64Array::from(std::mem::take(&mut self.offsets)))))
    }

    /// Takes out what has a later event time than it may have.
    fn in_bounds(
        &mut self,
        batch: RecordBatch,
        rejected: &mut Vec<RejectedRecord>,
    ) -> Result<RecordBatch, StageError> {
        let latest = std::mem::take(&mut self.latest);
        let Some(time) = self.time else { return Ok(batch) };
        let times = batch.column(time).as_primitive::<TimestampMillisecondType>().values();
        if times.iter().zip(&latest).all(|(time, latest)| time <= latest) {
            return Ok(batch);
        }
        let mut keep = Vec::with_capacity(batch.num_rows());
        for (row, (time, latest)) in times.iter().zip(&latest).enumerate() {
            keep.push(time <= latest);
            if time > latest {
                let (group, offset) = (KeyGroup(self.groups[row]), self.offsets[row]);
                let why = Rejection::TooFarAhead { time: *time, latest: *latest };
                rejected.push(RejectedRecord { source: Arc::clone(&self.name), group, offset, why });
            }
        }
        retain(&mut self.groups, keep.iter().copied());
        retain(&mut self.offsets, keep.iter().copied());
        retain(&mut self.bounds, keep.iter().copied());
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// The watermark before each row, raw; the partitions' clocks go on.
    fn observe(&mut self, (groups, bounds): (&[u32], &[i64]), batch: &RecordBatch, now: Millis) -> Vec<i64> {
        let mut watermarks = Vec::with_capacity(groups.len());
        let times =
            self.time.map(|i| batch.column(i).as_primitive::<TimestampMillisecondType>().values().clone());
        let mut row = 0;
        for run in groups.chunk_by(|a, b| a == b) {
            let clock = self.clocks.reading(KeyGroup(run[0]), now);
            match &times {
                Some(times) => {
                    let rows = row..row + run.len();
                    for (time, bound) in times[rows.clone()].iter().zip(&bounds[rows]) {
                        watermarks.push(clock.watermark().to_raw());
                        clock.observe(*time.min(bound));
                    }
                }
                None => watermarks.extend(std::iter::repeat_n(clock.watermark().to_raw(), run.len())),
            }
            row += run.len();
        }
        watermarks
    }

    /// Every key group's watermark, raw.
    pub(super) fn watermarks(&self) -> Vec<i64> {
        let mut watermarks = vec![Watermark::NONE.to_raw(); self.committed.len()];
        for group in self.clocks.partitions() {
            watermarks[group.0 as usize] = self.clocks.of(group).to_raw();
        }
        watermarks
    }

    /// A key group's watermark for what joins this source with others, raw.
    pub(super) fn joined(&self, group: KeyGroup) -> i64 {
        self.clocks.of(group).to_raw().max(self.followed[group.0 as usize])
    }
}

/// The event time that the rows of some sources have come to together as of the last commit; the end of time when there is
/// nothing to wait for. A key group counts where one of its partitions holds it back, or has come further since; it has
/// come as far as the least of its partitions.
pub(super) fn level(sources: &[&Source]) -> i64 {
    let joins = sources.len() > 1;
    let promised = |source: &Source, group: KeyGroup| match source.promised[group.0 as usize] {
        promised if joins => promised.max(source.followed_committed[group.0 as usize]),
        promised => promised,
    };
    let now =
        |source: &Source, group| if joins { source.joined(group) } else { source.clocks.of(group).to_raw() };
    let holding = sources.iter().flat_map(|source| source.clocks.holding());
    let came_on = sources.iter().flat_map(|source| {
        source.clocks.partitions().filter(|group| now(source, *group) > promised(source, *group))
    });
    let waited_for: BTreeSet<KeyGroup> = holding.chain(came_on).collect();
    let of = |group: KeyGroup| sources.iter().map(|source| promised(source, group)).min();
    waited_for.into_iter().filter_map(of).min().unwrap_or(i64::MAX)
}

/// Lets time pass for all sources of a stage. For what joins several, one that is idle as a whole follows the others, and so
/// does each partition that is idle without ever having had a record: what they are joined with would wait for them. What
/// joins nothing goes by its own source.
pub(super) fn tick(sources: &mut [Source], now: Millis) {
    sources.iter_mut().for_each(|source| source.clocks.tick(now));
    if sources.len() < 2 {
        return;
    }
    let present =
        |source: &Source| source.clocks.holding().map(|group| source.clocks.of(group).to_raw()).min();
    let furthest = |source: &Source| -> Option<i64> {
        let ended = Watermark::END.to_raw();
        source.clocks.partitions().map(|group| source.joined(group)).filter(|at| *at != ended).max()
    };
    // Where nothing holds anything back, all that was promised holds, since everything has been read.
    let reached = sources.iter().filter_map(present).min();
    let Some(reached) = reached.or_else(|| sources.iter().filter_map(furthest).max()) else { return };
    for source in sources {
        let to = present(source).unwrap_or(reached);
        for group in source.clocks.idle() {
            let followed = &mut source.followed[group.0 as usize];
            *followed = to.max(*followed);
        }
    }
}

/// The greater of two watermarks for each key group.
pub(super) fn greater(own: &[i64], followed: &[i64]) -> Vec<i64> {
    own.iter().zip(followed).map(|(own, followed)| *own.max(followed)).collect()
}
