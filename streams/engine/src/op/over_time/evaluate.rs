//! The values of functions OVER for rows that come out, key by key: each row's frame among its key's rows, and what they come to.
//! Never enters: which rows come out, and when.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::filter;
use datafusion_common::ScalarValue;
use datafusion_expr::Accumulator;

use super::ever::Ever;
use super::function::{Call, Frame, Function, Number, Sum, Unfit, column_of};
use super::past::{Batches, Entry, Key, Past, Sorted, is_greatest, number_of};
use super::slide::Slide;
use crate::error::StageError;

/// The values of a function, by the places of rows.
enum Found {
    Counts(Vec<u64>),
    Sums(Vec<Sum>),
    /// Batches and rows of them.
    Places(Vec<Option<(u32, u32)>>),
    Scalars(Vec<ScalarValue>),
}

impl Found {
    fn new(function: &Function, rows: usize) -> Result<Found, StageError> {
        Ok(match &function.call {
            Call::RowNumber | Call::Rank | Call::DenseRank => Found::Counts(vec![0; rows]),
            Call::Total { .. } => Found::Sums(vec![Sum { count: 0, number: Number::Whole(0) }; rows]),
            Call::Nth { .. } if function.is_ever() => Found::scalars(function, rows)?,
            Call::Lag { .. } | Call::Nth { .. } | Call::Last { .. } => Found::Places(vec![None; rows]),
            Call::Aggregate { .. } => Found::scalars(function, rows)?,
        })
    }

    fn scalars(function: &Function, rows: usize) -> Result<Found, StageError> {
        Ok(Found::Scalars(vec![ScalarValue::try_from(&function.kind)?; rows]))
    }
}

/// Rows of one key that come out together: their numbers there, and their places.
struct Run<'a> {
    first: u64,
    places: &'a [u32],
}

impl Run<'_> {
    fn rows(&self) -> impl Iterator<Item = (u64, usize)> {
        (self.first..).zip(self.places.iter().map(|place| *place as usize))
    }

    fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    /// The places of some of its rows.
    fn places(&self, from: u64, to: u64) -> impl Iterator<Item = usize> {
        let rows = (from - self.first) as usize..(to - self.first) as usize;
        self.places[rows].iter().map(|place| *place as usize)
    }

    /// Its rows in groups of those that have the same frame, each with the number behind its last.
    fn groups<'k>(&self, key: &'k Key, with_equals: bool) -> impl Iterator<Item = (u64, u64)> + use<'k> {
        let (mut at, end) = (self.first, self.end());
        std::iter::from_fn(move || {
            if at == end {
                return None;
            }
            let from = at;
            at += 1;
            while with_equals && at < end && key.entry(at).is_equal() {
                at += 1;
            }
            Some((from, at))
        })
    }
}

/// The numbers of the first row of a row's frame, and behind its last.
fn frame_of(frame: Frame, key: &Key, row: u64) -> (u64, u64) {
    match frame {
        Frame::Time { before_ms, after_ms } => {
            let time = key.entry(row).time;
            let start = key.first_from(time.saturating_sub(before_ms));
            (start, key.first_behind(time.saturating_add(after_ms)).max(start))
        }
        Frame::Rows { before, until } => {
            let start = row.saturating_sub(before).max(key.base);
            (start, (row + 1).saturating_sub(until).max(start))
        }
        // Only its last row is asked for.
        Frame::Ever { with_equals } => {
            let mut end = row + 1;
            while with_equals && end < key.end() && key.entry(end).is_equal() {
                end += 1;
            }
            (row, end)
        }
    }
}

/// Makes a slide go to a row's frame, from where it stands.
fn slide_to(slide: &mut Slide, function: (usize, &Function), key: &Key, batches: &Batches, row: u64) {
    let (start, end) = match function.1.frame {
        Frame::Time { before_ms, after_ms } => {
            let time = key.entry(row).time;
            let (first, last) = (time.saturating_sub(before_ms), time.saturating_add(after_ms));
            let (mut start, mut end) = (slide.start.max(key.base), slide.end.max(key.base));
            while start < key.end() && key.entry(start).time < first {
                start += 1;
            }
            while end < key.end() && key.entry(end).time <= last {
                end += 1;
            }
            (start, end)
        }
        other => frame_of(other, key, row),
    };
    slide.go((start, end), is_greatest(function.1), number_of(key, batches, function.0));
}

/// What an aggregate says of the rows from one number to another, of values that begin at a number.
struct Values {
    from: u64,
    columns: Vec<ArrayRef>,
    filter: Option<ArrayRef>,
}

impl Values {
    fn of(
        (values, filter): (&[usize], Option<usize>),
        key: &Key,
        batches: &Batches,
        (from, to): (u64, u64),
    ) -> Result<Values, StageError> {
        let rows = (from - key.base) as usize..(to - key.base) as usize;
        let entries: Vec<Entry> = key.rows.range(rows).copied().collect();
        let column = |at: usize| batches.gather(at, entries.iter().copied());
        let columns: Result<_, _> = values.iter().map(|at| column(*at)).collect();
        Ok(Values { from, columns: columns?, filter: filter.map(column).transpose()? })
    }

    fn add(&self, to: &mut dyn Accumulator, (start, end): (u64, u64)) -> Result<(), StageError> {
        let (offset, rows) = ((start - self.from) as usize, (end - start) as usize);
        let slice = |column: &ArrayRef| column.slice(offset, rows);
        let mut columns: Vec<ArrayRef> = self.columns.iter().map(slice).collect();
        if let Some(wanted) = self.filter.as_ref().map(slice) {
            for column in &mut columns {
                *column = filter(column, wanted.as_boolean())?;
            }
        }
        Ok(to.update_batch(&columns)?)
    }
}

impl Past {
    /// The values of the functions for rows that come out, and so are in the order of their keys; each key's are those that come
    /// next in it. `rows` is how many there are.
    pub(super) fn evaluate(
        &mut self,
        sorted: &Sorted,
        rows: usize,
        unfit: &mut Unfit,
    ) -> Result<Vec<ArrayRef>, StageError> {
        let functions = self.plan.functions.iter().map(|function| Found::new(function, rows));
        let mut found: Vec<Found> = functions.collect::<Result<_, _>>()?;
        let has_ever = self.plan.has_ever();
        let mut from = 0;
        for run in sorted.keys.chunk_by(|a, b| a == b) {
            let (at, places) = (run[0], &sorted.order[from..from + run.len()]);
            from += run.len();
            let mut key = std::mem::take(&mut self.keys[at as usize]);
            let run = Run { first: key.next, places };
            let result = self.run(&mut key, &run, &mut found);
            key.next = run.end();
            let last = key.entry(key.next - 1).time;
            if has_ever && !std::mem::replace(&mut key.touched, true) {
                self.touched.push(at);
            }
            self.keys[at as usize] = key;
            result?;
            self.prune_later(at, last);
        }
        let functions = self.plan.functions.iter().zip(found);
        let columns = functions
            .map(|(function, found)| self.column(function, found, unfit))
            .collect::<Result<_, _>>()?;
        self.prune_noted();
        Ok(columns)
    }

    /// The functions of one key.
    fn run(&self, key: &mut Key, run: &Run<'_>, found: &mut [Found]) -> Result<(), StageError> {
        let (mut slides, mut evers) = (std::mem::take(&mut key.slides), std::mem::take(&mut key.evers));
        let (mut next_slide, mut next_ever) = (slides.iter_mut(), evers.iter_mut());
        let mut result = Ok(());
        for (at, (function, found)) in self.plan.functions.iter().zip(found).enumerate() {
            let done = if function.is_ever() {
                let ever = next_ever.next().expect("a function that is for ever has a state");
                self.ever((at, function), key, run, ever, found)
            } else if function.slides() {
                let slide = next_slide.next().expect("a function that slides has a state");
                if let Found::Sums(sums) = found {
                    for (row, place) in run.rows() {
                        slide_to(slide, (at, function), key, &self.batches, row);
                        sums[place] = slide.sum();
                    }
                }
                Ok(())
            } else {
                self.bounded(function, key, run, found)
            };
            result = result.and(done);
        }
        (key.slides, key.evers) = (slides, evers);
        result
    }

    /// A function whose frame begins with the key's first row.
    fn ever(
        &self,
        (at, function): (usize, &Function),
        key: &Key,
        run: &Run<'_>,
        ever: &mut Ever,
        found: &mut Found,
    ) -> Result<(), StageError> {
        let with_equals = match &function.call {
            Call::Rank | Call::DenseRank => true,
            Call::RowNumber => false,
            _ => matches!(function.frame, Frame::Ever { with_equals: true }),
        };
        let whole = match (&function.call, &*ever) {
            (Call::Aggregate { values, filter, .. }, Ever::Any(_)) => {
                Some(Values::of((values, *filter), key, &self.batches, (run.first, run.end()))?)
            }
            _ => None,
        };
        let number = number_of(key, &self.batches, at);
        for (from, to) in run.groups(key, with_equals) {
            match (&mut *ever, &mut *found) {
                (Ever::Count(count), Found::Counts(counts)) => {
                    let value = *count as u64 + 1;
                    run.places(from, to).for_each(|place| counts[place] = value);
                    *count += if matches!(function.call, Call::DenseRank) { 1 } else { (to - from) as i64 };
                }
                (Ever::Sum(sum), Found::Sums(sums)) => {
                    if let Call::Total { total, .. } = function.call {
                        (from..to).filter_map(&number).for_each(|number| Ever::add(sum, total, number));
                    }
                    run.places(from, to).for_each(|place| sums[place] = *sum);
                }
                (Ever::Nth(count, value), Found::Scalars(scalars)) => {
                    if let Call::Nth { value: column, number } = function.call {
                        // The row of this number may be among these.
                        let nth = number.checked_sub(*count as u64 + 1).map(|more| from + more);
                        if let Some(nth) = nth.filter(|nth| *nth < to) {
                            let entry = key.entry(nth);
                            let column = &self.batches.get(entry.batch()).columns[column];
                            *value = ScalarValue::try_from_array(column, entry.row as usize)?;
                        }
                    }
                    *count += (to - from) as i64;
                    run.places(from, to).for_each(|place| scalars[place] = value.clone());
                }
                (Ever::Any(accumulator), Found::Scalars(scalars)) => {
                    if let Some(values) = &whole {
                        values.add(accumulator.as_mut(), (from, to))?;
                    }
                    let value = accumulator.evaluate()?;
                    run.places(from, to).for_each(|place| scalars[place] = value.clone());
                }
                _ => unreachable!("what is found is of the function's kind"),
            }
        }
        Ok(())
    }

    /// A function that looks at kept rows.
    fn bounded(
        &self,
        function: &Function,
        key: &Key,
        run: &Run<'_>,
        found: &mut Found,
    ) -> Result<(), StageError> {
        let place_of = |row: u64| {
            let entry = key.entry(row);
            (entry.batch(), entry.row)
        };
        match (&function.call, found) {
            (Call::Lag { rows, .. }, Found::Places(places)) => {
                for (row, place) in run.rows() {
                    places[place] = row.checked_sub(*rows).filter(|at| *at >= key.base).map(place_of);
                }
            }
            (Call::Nth { number, .. }, Found::Places(places)) => {
                for (row, place) in run.rows() {
                    let (start, end) = frame_of(function.frame, key, row);
                    let at = start.saturating_add(number - 1);
                    places[place] = (at < end).then(|| place_of(at));
                }
            }
            (Call::Last { .. }, Found::Places(places)) => {
                for (row, place) in run.rows() {
                    let (start, end) = frame_of(function.frame, key, row);
                    places[place] = (start < end).then(|| place_of(end - 1));
                }
            }
            (Call::Aggregate { function: aggregate, values, filter }, Found::Scalars(scalars)) => {
                let frames: Vec<(u64, u64)> =
                    run.rows().map(|(row, _)| frame_of(function.frame, key, row)).collect();
                let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(()) };
                let whole = (first.0, last.1.max(first.0));
                let values = Values::of((values, *filter), key, &self.batches, whole)?;
                let mut known: Option<((u64, u64), ScalarValue)> = None;
                for ((_, place), frame) in run.rows().zip(frames) {
                    let value = match known.take() {
                        Some((of, value)) if of == frame => value,
                        _ => {
                            let mut accumulator = aggregate.create_accumulator()?;
                            values.add(accumulator.as_mut(), frame)?;
                            accumulator.evaluate()?
                        }
                    };
                    scalars[place] = value.clone();
                    known = Some((frame, value));
                }
            }
            _ => unreachable!("what is found is of the function's kind"),
        }
        Ok(())
    }

    /// What was found, as the function's column.
    fn column(&self, function: &Function, found: Found, unfit: &mut Unfit) -> Result<ArrayRef, StageError> {
        let kept = |at: usize| self.plan.schema.field(self.plan.kept[at]).data_type();
        Ok(match (found, &function.call) {
            (Found::Counts(counts), _) => Arc::new(UInt64Array::from(counts)),
            (Found::Sums(sums), Call::Total { total, value, .. }) => {
                let of = value.map_or(&function.kind, kept);
                column_of(*total, &function.kind, of, &sums, unfit)?
            }
            (Found::Places(places), Call::Lag { value, default, .. }) => {
                self.batches.pick(*value, &places, Some(default.to_array_of_size(1)?))?
            }
            (Found::Places(places), Call::Nth { value, .. } | Call::Last { value }) => {
                let none = ScalarValue::try_from(kept(*value))?.to_array_of_size(1)?;
                self.batches.pick(*value, &places, Some(none))?
            }
            (Found::Scalars(scalars), _) => ScalarValue::iter_to_array(scalars)?,
            _ => unreachable!("what is found is of the function's kind"),
        })
    }
}
