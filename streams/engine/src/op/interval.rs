//! Rows of two streams joined when their times are near each other. A row meets those of the other side that came before it, and
//! is kept for those that may still come: until the other side's watermark has passed the last time that it could be met at.
//! So every pair is found once, by whichever of its rows comes second, and neither the pace at which the streams are read nor
//! the batches change what comes out; a row is late by its own stream's watermark alone.
//!
//! Of a semi join a row of the side that is given comes out with its first match, and of an anti join when none can come any more;
//! in neither is it needed once it has a match.
//!
//! Rows are kept in buckets of time, each with an index by key, and go away bucket by bucket.

mod side;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{and, not};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use datafusion_physical_expr::PhysicalExpr;
use millstream_model::{LateRule, Watermark};

use super::Give;
use super::chunk::{Chunk, retain};
use super::faults::{Fault, Faults, true_of};
use super::join_kind::JoinKind;
use super::row_key::RowKeys;
use super::stored_rows::row_bytes;
use crate::error::StageError;
use side::keys;
pub(crate) use side::{FOR_EVER, Place, Side, SidePlan};

/// How many pairs are looked at, and given, at once.
const PAIRS_MAX: usize = 65_536;

/// What both sides share.
pub(crate) struct IntervalJoin {
    pub(crate) kind: JoinKind,
    /// What rows that meet have to fulfil too, over the columns of both.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of both, the left ones first, as pairs have them.
    pub(crate) both: SchemaRef,
}

impl IntervalJoin {
    /// Runs rows of one side that are in time, `left` or not: those that they meet come out, those that may still be met are kept.
    /// Pairs whose condition cannot be computed are put among the faults. One row may meet very many: they are given some at a time.
    pub(crate) fn push(
        &self,
        (own, other): (&mut Side, &mut Side),
        is_left: bool,
        chunk: Chunk,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let times = own.plan.times(&chunk.batch);
        let keys = keys(&own.plan, &chunk.batch, chunk.groups.values())?;
        let keys = RowKeys::new(&keys);
        let mut matched = vec![false; chunk.rows()];
        let mut found = Found { give, faults };
        // Whether a row that comes is only asked whether it has a match.
        let one_will_do = own.plan.once && self.filter.is_none();
        let (mut key, mut own_rows, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate().filter(|(row, _)| !keys.any_null(*row)) {
            keys.write(row, &mut key);
            let range = (time.saturating_add(own.plan.from), time.saturating_add(own.plan.to));
            if one_will_do {
                matched[row] = other.has(&key, range);
                continue;
            }
            other.find(&key, range, &mut places);
            own_rows.resize(places.len(), row as u32);
            if places.len() >= PAIRS_MAX {
                self.meet(&chunk, (&mut own_rows, &mut places), other, is_left, &mut matched, &mut found)?;
            }
        }
        self.meet(&chunk, (&mut own_rows, &mut places), other, is_left, &mut matched, &mut found)?;
        if !own.plan.once {
            match own.may_be_met(&chunk, &times) {
                Some(needed) => {
                    let needed = chunk.filter(&needed)?;
                    own.keep(&needed, &vec![false; needed.rows()])?;
                }
                None => own.keep(&chunk, &matched)?,
            }
            return Ok(());
        }
        // A row that has found its match has been given, or never is: it need not be kept.
        let matched = BooleanArray::from(matched);
        let mut needed = not(&matched)?;
        if let Some(met) = own.may_be_met(&chunk, &times) {
            needed = and(&needed, &met)?;
        }
        let alone = chunk.clone().filter(&needed)?;
        own.keep(&alone, &vec![false; alone.rows()])?;
        if matches!(self.kind, JoinKind::Semi(_)) && matched.true_count() > 0 {
            found.give(chunk.filter(&matched)?)?;
        }
        Ok(())
    }

    /// Takes note of what has found a match by pairs that fulfil the condition, and gives what comes out by that: the pairs, or the
    /// rows of the other side that it is the first match of.
    fn meet(
        &self,
        chunk: &Chunk,
        (own_rows, places): (&mut Vec<u32>, &mut Vec<Place>),
        other: &mut Side,
        is_left: bool,
        matched: &mut [bool],
        found: &mut Found<'_>,
    ) -> Result<(), StageError> {
        let (own_rows, places) = (std::mem::take(own_rows), std::mem::take(places));
        // One row alone may meet very many, and they may be large.
        let portions: Vec<&[Place]> = other.portions(&places, row_bytes(&chunk.batch)).collect();
        let mut rest = own_rows.as_slice();
        for places in portions {
            let (own_rows, behind) = rest.split_at(places.len());
            rest = behind;
            let (mut own_rows, mut places) = (own_rows.to_vec(), places.to_vec());
            let mut rows = None;
            if self.filter.is_some() || self.kind.given().is_none() {
                rows = Some(self.rows(chunk, &own_rows, &other.rows(&places)?, is_left)?);
            }
            if let (Some(pairs), Some(filter)) = (&mut rows, &self.filter) {
                let mut unknown = Vec::new();
                let keep = &true_of(filter, &pairs.batch, |pair, error| {
                    let error = error.computing(|| format!("the condition {filter}"));
                    found.faults.push(Fault { row: pairs.batch.slice(pair, 1), error });
                    unknown.push(pair);
                })?;
                // Of rows whose match is not known it is not said that they have none.
                for pair in unknown.into_iter().filter(|_| !matches!(self.kind, JoinKind::Semi(_))) {
                    matched[own_rows[pair] as usize] = true;
                    if other.plan.outer || other.plan.once {
                        other.was_matched(places[pair]);
                    }
                }
                *pairs = pairs.clone().filter(keep)?;
                retain(&mut own_rows, keep.values().iter());
                retain(&mut places, keep.values().iter());
            }
            own_rows.iter().for_each(|row| matched[*row as usize] = true);
            if other.plan.outer || other.plan.once {
                places.retain(|place| other.was_matched(*place));
            }
            if self.kind.given().is_none() {
                rows.filter(|rows| rows.rows() > 0).map_or(Ok(()), |rows| found.give(rows))?;
            } else if matches!(self.kind, JoinKind::Semi(_)) && other.plan.once && !places.is_empty() {
                found.give(as_they_are(other, &places)?)?;
            }
        }
        Ok(())
    }

    /// The columns of both sides.
    fn rows(
        &self,
        chunk: &Chunk,
        own: &[u32],
        other: &RecordBatch,
        is_left: bool,
    ) -> Result<Chunk, StageError> {
        let own = chunk.take(&UInt32Array::from(own.to_vec()))?;
        let (own_columns, other) = (own.batch.columns().to_vec(), other.columns().to_vec());
        let columns = if is_left { [own_columns, other].concat() } else { [other, own_columns].concat() };
        let options = RecordBatchOptions::new().with_row_count(Some(own.rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.both), columns, &options)?;
        Ok(Chunk { batch, ..own })
    }

    /// With a commit: gives the rows of a side that found no match and can find none any more. The watermarks are the other side's.
    pub(crate) fn fire(
        &self,
        side: &Side,
        is_left: bool,
        (before, now): (&[i64], &[i64]),
        fired_at: &mut [i64],
        mut give: impl FnMut(Chunk) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        if !side.plan.outer {
            return Ok(());
        }
        let places = side.unmatched(before, now);
        for place in &places {
            let at = &mut fired_at[side.group_of(place) as usize];
            *at = side.over_at(place).max(*at);
        }
        // Some at a time: what lies in a scratch is read for it.
        side.portions(&places, 0).try_for_each(|places| give(self.unmatched(side, is_left, places)?))
    }

    /// Rows of a side that have no match, as they are given.
    fn unmatched(&self, side: &Side, is_left: bool, places: &[Place]) -> Result<Chunk, StageError> {
        let alone = as_they_are(side, places)?;
        if self.kind.given().is_some() {
            return Ok(alone);
        }
        let Chunk { batch: rows, groups, .. } = alone;
        let others = self.both.fields().len() - rows.num_columns();
        let others = match is_left {
            true => &self.both.fields()[rows.num_columns()..],
            false => &self.both.fields()[..others],
        };
        let nulls: Vec<ArrayRef> =
            others.iter().map(|f| new_null_array(f.data_type(), places.len())).collect();
        let own = rows.columns().to_vec();
        let columns = if is_left { [own, nulls].concat() } else { [nulls, own].concat() };
        Ok(Chunk::made(RecordBatch::try_new(Arc::clone(&self.both), columns)?, groups))
    }
}

/// Takes what comes out of rows that are pushed, and the pairs of which it is not known.
struct Found<'a> {
    give: Give<'a>,
    faults: &'a mut Faults,
}

impl Found<'_> {
    fn give(&mut self, rows: Chunk) -> Result<(), StageError> {
        (self.give)(rows, self.faults)
    }
}

/// Kept rows, by their places.
fn as_they_are(side: &Side, places: &[Place]) -> Result<Chunk, StageError> {
    let groups = UInt32Array::from_iter_values(places.iter().map(|place| side.group_of(place)));
    Ok(Chunk::made(side.rows(places)?, groups))
}

/// The rows that are not late.
pub(crate) fn in_time(
    time: usize,
    rule: &LateRule,
    chunk: Chunk,
    late: &mut Vec<u32>,
) -> Result<Chunk, StageError> {
    let times = chunk.batch.column(time).as_primitive::<TimestampMillisecondType>().values();
    let before = late.len();
    let mut keep = Vec::with_capacity(chunk.rows());
    for (row, (time, watermark)) in times.iter().zip(chunk.watermarks.values()).enumerate() {
        let is_late =
            Watermark::from_raw(*watermark).has_reached(time.saturating_add(rule.allow_ms).saturating_add(1));
        keep.push(!is_late);
        if is_late {
            late.push(chunk.origin.value(row));
        }
    }
    if late.len() == before { Ok(chunk) } else { chunk.filter(&BooleanArray::from(keep)) }
}
