//! One of the streams that a stage reads: what waits of it, its decoder, and the watermark of each of its partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch, interleave};
use arrow::datatypes::{Field, SchemaRef, TimestampMillisecondType};
use millstream_model::{EventTime, KeyGroup, SourceWatermarks, Watermark};
use millstream_types::Millis;

use super::{RejectedRecord, Rejection, TimeBounds};
use crate::error::{StageError, columns};
use crate::op::chunk::{Chunk, retain};
use crate::op::gone::blank;
use millstream_format::{BadRecord, Decoder};

/// What is known of an event time from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// How far a row may raise its partition's watermark at most.
    raises_to: EventTime,
    /// The latest that it may have.
    latest: EventTime,
}

impl Bounds {
    const NONE: Bounds = Bounds { raises_to: EventTime::MAX, latest: EventTime::MAX };
}

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
    /// The greatest event times that were held back as of the last commit, raw.
    pub(super) held_committed: Vec<i64>,
    /// Of the rows waiting: key group and offset.
    pub(super) groups: Vec<u32>,
    pub(super) offsets: Vec<i64>,
    /// What bounds their event times, for so many neighbours each.
    pub(super) bounds: Vec<(usize, Bounds)>,
    /// Which are gone, where any may be.
    pub(super) gone: Vec<bool>,
    /// Where each row takes the place of the one before it that is known by the same: makes columns of what rows that are gone were
    /// known by.
    pub(super) known: Option<Decoder>,
    pub(super) waiting: Vec<RecordBatch>,
}

impl Source {
    /// The same watermarks, of what has ended that from before its end: what is kept of it.
    pub(super) fn before_ends(&self, watermarks: &[i64]) -> Vec<i64> {
        let of = |(group, at): (usize, &i64)| match *at == Watermark::END.to_raw() {
            true => self.clocks.before_end(KeyGroup(group as u32)).to_raw().max(self.committed[group]),
            false => *at,
        };
        watermarks.iter().enumerate().map(of).collect()
    }

    pub(super) fn assign(&mut self, group: KeyGroup, now: Millis) {
        let restored = Watermark::from_raw(self.committed[group.0 as usize]);
        self.promised[group.0 as usize] = restored.to_raw();
        self.followed[group.0 as usize] = self.followed_committed[group.0 as usize];
        self.clocks.assign(group, restored, now);
        self.clocks.hold(group, self.held_committed[group.0 as usize]);
    }

    pub(super) fn revoke(&mut self, group: KeyGroup) {
        self.clocks.revoke(group);
        for of in [
            &mut self.committed,
            &mut self.promised,
            &mut self.followed,
            &mut self.followed_committed,
            &mut self.held_committed,
        ] {
            of[group.0 as usize] = Watermark::NONE.to_raw();
        }
    }

    /// Takes a record, which has a row or, in Arrow, any number; says what is wrong with it.
    #[inline]
    pub(super) fn push_record(
        &mut self,
        group: KeyGroup,
        offset: i64,
        value: Option<&[u8]>,
        bounds: TimeBounds,
    ) -> Result<Option<RejectedRecord>, StageError> {
        // Most come behind others of their partition.
        if self.groups.last() != Some(&group.0) && !self.clocks.has(group) {
            return Err(StageError::NotAssigned(group));
        }
        let before = self.decoder.rows();
        match self.decoder.push_value(value) {
            Ok(()) => {
                let rows = self.decoder.rows() - before;
                let raises_to = bounds.others_at.unwrap_or(EventTime::MAX);
                let bounds = Bounds { raises_to, latest: bounds.latest.unwrap_or(EventTime::MAX) };
                self.note((group, offset), (rows, bounds), false);
                Ok(None)
            }
            Err(why) => {
                let source = Arc::clone(&self.name);
                Ok(Some(RejectedRecord { source, group, offset, why: Rejection::Bad(why) }))
            }
        }
    }

    /// Takes word that a row is gone: what it is known by, as a JSON object; says what is wrong with it.
    pub(super) fn push_gone(
        &mut self,
        group: KeyGroup,
        offset: i64,
        known: &[u8],
    ) -> Result<Option<BadRecord>, StageError> {
        if !self.clocks.has(group) {
            return Err(StageError::NotAssigned(group));
        }
        let Some(decoder) = &mut self.known else {
            let what = format!("a row of {} that is gone", self.name);
            return Err(StageError::Schema {
                what,
                expected: columns(&self.schema),
                found: "none".to_owned(),
            });
        };
        if let Err(bad) = decoder.push(known) {
            return Ok(Some(bad));
        }
        self.note((group, offset), (1, Bounds::NONE), true);
        Ok(None)
    }

    /// Notes what is known of rows beside their columns.
    #[inline]
    fn note(&mut self, (group, offset): (KeyGroup, i64), (rows, bounds): (usize, Bounds), gone: bool) {
        if rows == 0 {
            return;
        }
        self.groups.extend(std::iter::repeat_n(group.0, rows));
        self.offsets.extend(std::iter::repeat_n(offset, rows));
        match self.bounds.last_mut() {
            Some((of, last)) if *last == bounds => *of += rows,
            _ => self.bounds.push((rows, bounds)),
        }
        if self.known.is_some() {
            self.gone.extend(std::iter::repeat_n(gone, rows));
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
        self.add(group, offset, batch)
    }

    fn add(&mut self, group: KeyGroup, offset: i64, batch: &RecordBatch) -> Result<(), StageError> {
        // Records that wait in the decoders came first.
        self.take_decoded()?;
        self.note((group, offset), (batch.num_rows(), Bounds::NONE), false);
        self.waiting.push(batch.clone());
        Ok(())
    }

    /// Makes columns of the records that the decoders hold: rows, and what rows that are gone were known by, in the order in which they
    /// came.
    fn take_decoded(&mut self) -> Result<(), StageError> {
        let (here, away) = (self.decoder.rows(), self.known.as_ref().map_or(0, Decoder::rows));
        let Some(known) = self.known.as_mut().filter(|_| away > 0) else {
            if here > 0 {
                let decoded = self.decoder.finish();
                self.waiting.push(decoded);
            }
            return Ok(());
        };
        let (decoded, known) = (self.decoder.finish(), known.finish());
        // Each row's place: among those that are there, or those that are gone.
        let mut next = [0, 0];
        let places = self.gone[self.gone.len() - here - away..].iter().map(|gone| {
            let of = usize::from(*gone);
            next[of] += 1;
            (of, next[of] - 1)
        });
        let places: Vec<(usize, usize)> = places.collect();
        let column = |(field, here): (&Arc<Field>, &ArrayRef)| -> Result<ArrayRef, StageError> {
            let away = match known.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => blank(field, away)?,
            };
            Ok(interleave(&[here.as_ref(), away.as_ref()], &places)?)
        };
        let columns = self.schema.fields().iter().zip(decoded.columns()).map(column);
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.waiting.push(batch);
        Ok(())
    }

    /// The bytes of records that wait to become columns.
    #[inline]
    pub(super) fn input_bytes(&self) -> usize {
        self.decoder.input_bytes() + self.known.as_ref().map_or(0, Decoder::input_bytes)
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
        self.take_decoded()?;
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
        let gone = std::mem::take(&mut self.gone);
        let watermarks = self.observe((&groups, &bounds), (&batch, &gone), now);
        let rows = groups.len() as u32;
        let chunk = Chunk {
            batch,
            groups: UInt32Array::from(groups),
            watermarks: Int64Array::from(watermarks),
            origin: UInt32Array::from_iter_values(0..rows),
            panes: None,
            gone: self.known.is_some().then(|| gone.into()),
        };
        Ok(Some((chunk, Int64Array::from(std::mem::take(&mut self.offsets)))))
    }

    /// Takes out what has a later event time than it may have.
    fn in_bounds(
        &mut self,
        batch: RecordBatch,
        rejected: &mut Vec<RejectedRecord>,
    ) -> Result<RecordBatch, StageError> {
        let Some(time) = self.time else { return Ok(batch) };
        let times = batch.column(time).as_primitive::<TimestampMillisecondType>().values();
        let mut first = 0;
        let mut are_within = true;
        for (rows, bounds) in &self.bounds {
            let of = first..first + rows;
            are_within &=
                bounds.latest == EventTime::MAX || times[of].iter().all(|time| *time <= bounds.latest);
            first += rows;
        }
        if are_within {
            return Ok(batch);
        }
        let mut keep = Vec::with_capacity(batch.num_rows());
        for (rows, Bounds { latest, .. }) in &mut self.bounds {
            let first = keep.len();
            for row in first..first + *rows {
                keep.push(times[row] <= *latest);
                if times[row] > *latest {
                    *rows -= 1;
                    let (group, offset) = (KeyGroup(self.groups[row]), self.offsets[row]);
                    let why = Rejection::TooFarAhead { time: times[row], latest: *latest };
                    rejected.push(RejectedRecord { source: Arc::clone(&self.name), group, offset, why });
                }
            }
        }
        retain(&mut self.groups, keep.iter().copied());
        retain(&mut self.offsets, keep.iter().copied());
        retain(&mut self.gone, keep.iter().copied());
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// The watermark before each row, raw; the partitions' clocks go on.
    fn observe(
        &mut self,
        (groups, bounds): (&[u32], &[(usize, Bounds)]),
        (batch, gone): (&RecordBatch, &[bool]),
        now: Millis,
    ) -> Vec<i64> {
        let mut watermarks = Vec::with_capacity(groups.len());
        let times =
            self.time.map(|i| batch.column(i).as_primitive::<TimestampMillisecondType>().values().clone());
        let mut row = 0;
        let mut bounds = bounds.iter().copied();
        let mut bound = (0, EventTime::MAX);
        for run in groups.chunk_by(|a, b| a == b) {
            let clock = self.clocks.reading(KeyGroup(run[0]), now);
            let end = row + run.len();
            let Some(times) = &times else {
                watermarks.extend(std::iter::repeat_n(clock.watermark().to_raw(), run.len()));
                row = end;
                continue;
            };
            while row < end {
                while bound.0 <= row {
                    let (rows, of) = bounds.next().unwrap_or((end - row, Bounds::NONE));
                    bound = (bound.0 + rows, of.raises_to);
                }
                let to = end.min(bound.0);
                if gone.get(row..to).is_none_or(|gone| gone.iter().all(|gone| !gone)) {
                    clock.observe_all(&times[row..to], bound.1, &mut watermarks);
                } else {
                    for at in row..to {
                        watermarks.push(clock.watermark().to_raw());
                        // One that is gone has no time.
                        if !gone[at] {
                            clock.observe_held(times[at], bound.1);
                        }
                    }
                }
                row = to;
            }
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

    /// What was promised of a key group at the last commit, for itself or for what joins this source with others, raw.
    fn promised(&self, group: KeyGroup, joins: bool) -> i64 {
        let promised = self.promised[group.0 as usize];
        if joins { promised.max(self.followed_committed[group.0 as usize]) } else { promised }
    }

    /// Every key group's greatest event time that is held back; what was before, where none is.
    pub(super) fn held(&self) -> Vec<i64> {
        let mut held = self.held_committed.clone();
        for group in self.clocks.partitions() {
            let at = &mut held[group.0 as usize];
            *at = self.clocks.held(group).unwrap_or(*at);
        }
        held
    }

    /// A key group's watermark for what joins this source with others, raw.
    pub(super) fn joined(&self, group: KeyGroup) -> i64 {
        self.clocks.of(group).to_raw().max(self.followed[group.0 as usize])
    }
}

/// The event time that the rows of some sources have come to together as of the last commit; the end of time when there is
/// nothing to wait for. A key group counts where one of its partitions is awaited, or has come further since; it has
/// come as far as the least of its partitions.
pub(super) fn level(sources: &[&Source]) -> i64 {
    let joins = sources.len() > 1;
    let promised = |source: &Source, group: KeyGroup| source.promised(group, joins);
    let now =
        |source: &Source, group| if joins { source.joined(group) } else { source.clocks.of(group).to_raw() };
    let holding = sources.iter().flat_map(|source| source.clocks.awaited());
    let came_on = sources.iter().flat_map(|source| {
        source.clocks.partitions().filter(|group| now(source, *group) > promised(source, *group))
    });
    let waited_for: BTreeSet<KeyGroup> = holding.chain(came_on).collect();
    let of = |group: KeyGroup| sources.iter().map(|source| promised(source, group)).min();
    waited_for.into_iter().filter_map(of).min().unwrap_or(i64::MAX)
}

/// The event time that the furthest rows of some sources have come to together as of the last commit, where they have not ended. It
/// holds for all where there is nothing to wait for.
pub(super) fn reached(sources: &[&Source]) -> i64 {
    let joins = sources.len() > 1;
    let furthest = |source: &&Source| {
        let all = source.clocks.partitions().map(|group| source.promised(group, joins));
        all.filter(|at| *at != Watermark::END.to_raw()).max().unwrap_or(Watermark::END.to_raw())
    };
    sources.iter().map(furthest).min().unwrap_or(Watermark::END.to_raw())
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
