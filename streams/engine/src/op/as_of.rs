//! Rows of a stream with what other streams said last of their key, as of the row's time. A row waits until the other streams'
//! watermarks have passed its time, and meets in each the version of its key that is the latest then: so neither the pace at
//! which streams are read nor the batches change what comes out. Versions are kept while a row that wants them may come; the
//! latest of a key for ever, or as long as the query says.
//!
//! The rows that wait are one side of a join by time ([`super::interval`]), which nobody looks anything up in.

mod versions;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use datafusion_physical_expr::PhysicalExpr;
use millstream_model::Watermark;

use super::chunk::Chunk;
use super::faults::{Fault, Faults, evaluate_fit};
use super::interval::{Place, Side};
use super::row_key::RowKeys;
use super::{Give, Step, run_behind};
use crate::error::StageError;
use crate::sql::query::least;
pub(crate) use versions::{Versions, VersionsPlan};

/// Of each of several streams, its key groups' watermarks.
type Watermarks<'a> = [Cow<'a, [i64]>];

/// One of the other streams.
pub(crate) struct Lookup {
    /// The event time's column among the columns that go in.
    pub(crate) time: usize,
    /// The columns of the key, over the columns that go in.
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// A row at `t` meets the latest version at `t - back_ms` or before.
    pub(crate) back_ms: i64,
    /// The columns that go in, then those of the version.
    pub(crate) schema: SchemaRef,
    /// What is done behind.
    pub(crate) then: Vec<Step>,
}

impl Lookup {
    /// Adds to each row the columns of its version, or nulls. Rows for which something cannot be computed are put among the faults.
    fn run(
        &self,
        mut chunk: Chunk,
        versions: &Versions,
        faults: &mut Faults,
    ) -> Result<Vec<Chunk>, StageError> {
        let (columns, fit) = evaluate_fit(&self.keys, &chunk.batch, |row, error| {
            let error = error.computing(|| "a key".to_owned());
            faults.push(Fault { row: chunk.batch.slice(row, 1), error });
        })?;
        if let Some(fit) = fit {
            chunk = chunk.filter(&fit)?;
        }
        let times = chunk.batch.column(self.time).as_primitive::<TimestampMillisecondType>().values();
        let mut keys: Vec<ArrayRef> = vec![Arc::new(chunk.groups.clone())];
        keys.extend(columns);
        let keys = RowKeys::new(&keys);
        let mut key = Vec::new();
        let found = times.iter().enumerate().map(|(row, time)| {
            if keys.any_null(row) {
                return None;
            }
            keys.write(row, &mut key);
            versions.as_of(&key, time.saturating_sub(self.back_ms))
        });
        let found: Vec<_> = found.collect();
        let mut columns = chunk.batch.columns().to_vec();
        columns.extend(versions.columns(&found)?);
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        run_behind(&self.then, vec![Chunk { batch, ..chunk }], faults)
    }
}

/// What is looked up for the rows of the first branch, in each of the others, in their order.
pub(crate) struct AsOfJoin {
    pub(crate) lookups: Vec<Lookup>,
}

impl AsOfJoin {
    /// The time up to which, and not with it, every version that a row wants is known, by the other streams' watermarks.
    fn known_to<'a>(&self, others: &'a Watermarks<'a>) -> Cow<'a, [i64]> {
        let shifted = others.iter().zip(&self.lookups).map(|(watermarks, lookup)| match lookup.back_ms {
            0 => Cow::Borrowed(watermarks.as_ref()),
            back => watermarks.iter().map(|at| shift(*at, back)).collect(),
        });
        match shifted.collect::<Vec<_>>().as_slice() {
            [only] => only.clone(),
            several => Cow::Owned(least(several).into_owned()),
        }
    }

    /// With a commit: gives the rows whose versions are known by now. The watermarks are those of the other streams.
    pub(crate) fn fire(
        &self,
        (waiting, versions): (&mut Side, &[&Versions]),
        (before, now): (&Watermarks<'_>, &Watermarks<'_>),
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let ended = |group: usize| now.iter().any(|of| of[group] == Watermark::END.to_raw());
        let (before, known) = (self.known_to(before), self.known_to(now));
        let places = waiting.unmatched(&before, &known);
        let beside = versions.iter().map(|versions| versions.row_bytes()).sum();
        let portions: Vec<&[Place]> = waiting.portions(&places, beside).collect();
        for places in portions {
            // At the end of bounded input rows come out before their time. That they have is kept with them, and no watermark is
            // raised for it: versions that a later run brings are in time for later rows.
            for place in places {
                if ended(waiting.group_of(place) as usize) {
                    waiting.was_matched(*place);
                }
            }
            let groups = UInt32Array::from_iter_values(places.iter().map(|place| waiting.group_of(place)));
            let mut chunks = vec![Chunk::made(waiting.rows(places)?, groups)];
            for (lookup, versions) in self.lookups.iter().zip(versions) {
                let mut found = Vec::new();
                for chunk in chunks {
                    found.extend(lookup.run(chunk, versions, faults)?);
                }
                chunks = found;
            }
            chunks.into_iter().try_for_each(|chunk| give(chunk, faults))?;
        }
        Ok(())
    }

    /// Lets go of rows that have met their versions, and of versions that nothing will meet any more.
    pub(crate) fn sweep(
        &self,
        waiting: &mut Side,
        versions: &mut [&mut Versions],
        own: &[i64],
        others: &Watermarks<'_>,
    ) -> Result<(), StageError> {
        let known_to = self.known_to(others);
        waiting.sweep(&known_to)?;
        let allow = waiting.plan.late.allow_ms;
        // No row before this waits, or comes.
        let first: Vec<i64> =
            own.iter().zip(known_to.iter()).map(|(a, b)| shift(*(a.min(b)), -allow)).collect();
        for (versions, lookup) in versions.iter_mut().zip(&self.lookups) {
            let first: Vec<i64> = first.iter().map(|at| shift(*at, -lookup.back_ms)).collect();
            versions.sweep(&first)?;
        }
        Ok(())
    }
}

/// A watermark so many milliseconds later; one that says nothing, or all, stays.
fn shift(watermark: i64, by_ms: i64) -> i64 {
    match watermark {
        i64::MIN | i64::MAX => watermark,
        at => at.saturating_add(by_ms),
    }
}
