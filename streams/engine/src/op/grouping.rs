//! `GROUPING SETS`: each row is in one group of every set of keys, with nulls in place of the keys that the set does not hold. The
//! set's number stands behind the keys, so that a key that is null is told from one that the set does not hold, and so that
//! state, restores and results need to know nothing of sets. Never enters: which sets a query may have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Field, UInt64Type};
use datafusion_common::{Result as DataFusionResult, ScalarValue};

/// One set of keys.
#[derive(Clone, Debug)]
pub(crate) struct GroupingSet {
    /// Which of the aggregation's keys it holds.
    pub(crate) keys: Vec<bool>,
    /// Which bounds of the window it holds.
    pub(crate) window_start: bool,
    pub(crate) window_end: bool,
    /// What tells its groups from those of other sets; `GROUPING()` is computed from it.
    pub(crate) number: u64,
}

/// The sets of an aggregation; none where there is but one, which has no number.
#[derive(Clone, Debug)]
pub(crate) struct GroupingSets {
    pub(crate) sets: Vec<GroupingSet>,
    /// The type of their numbers.
    number: DataType,
}

/// A bound of windows.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    Start,
    End,
}

impl GroupingSets {
    /// No sets.
    pub(crate) fn none() -> GroupingSets {
        GroupingSets { sets: Vec::new(), number: DataType::UInt8 }
    }

    /// Sets with numbers of this type; an error where one does not fit.
    pub(crate) fn new(sets: Vec<GroupingSet>, number: DataType) -> DataFusionResult<GroupingSets> {
        let all = GroupingSets { sets, number };
        all.sets.iter().try_for_each(|set| all.scalar(set).map(drop))?;
        Ok(all)
    }

    /// The column of their numbers, where they have any.
    pub(crate) fn field(&self) -> Option<Field> {
        (!self.sets.is_empty()).then(|| Field::new("set", self.number.clone(), false))
    }

    fn scalar(&self, set: &GroupingSet) -> DataFusionResult<ScalarValue> {
        ScalarValue::UInt64(Some(set.number)).cast_to(&self.number)
    }

    /// The columns that name the groups of rows, once for each set; `columns` are the key group, the keys, and the operator's own.
    pub(crate) fn groups_of(&self, columns: &[ArrayRef]) -> DataFusionResult<Vec<Vec<ArrayRef>>> {
        if self.sets.is_empty() {
            return Ok(vec![columns.to_vec()]);
        }
        let of_set = |set: &GroupingSet| {
            let (group, keys) = (&columns[..1], &columns[1..]);
            let (keys, own) = keys.split_at(set.keys.len());
            let key = |(column, held): (&ArrayRef, &bool)| match held {
                true => Arc::clone(column),
                false => new_null_array(column.data_type(), column.len()),
            };
            let mut groups = group.to_vec();
            groups.extend(keys.iter().zip(&set.keys).map(key));
            groups.push(self.scalar(set)?.to_array_of_size(columns[0].len())?);
            groups.extend(own.iter().cloned());
            Ok(groups)
        };
        self.sets.iter().map(of_set).collect()
    }

    /// A bound of the windows of results, null in those of sets that do not hold it. `keys` are the results' keys.
    pub(crate) fn bound(&self, bound: Bound, at: ArrayRef, keys: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        let holds = |set: &GroupingSet| match bound {
            Bound::Start => set.window_start,
            Bound::End => set.window_end,
        };
        let without: Vec<u64> = self.sets.iter().filter(|set| !holds(set)).map(|set| set.number).collect();
        let Some(first) = self.sets.first().filter(|_| !without.is_empty()) else { return Ok(at) };
        let numbers = cast(&keys[first.keys.len()], &DataType::UInt64)?;
        let numbers = numbers.as_primitive::<UInt64Type>().values();
        let gone: BooleanArray = numbers.iter().map(|number| Some(without.contains(number))).collect();
        Ok(nullif(&at, &gone)?)
    }
}
