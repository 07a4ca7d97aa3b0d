//! What a function OVER computes, over which rows of its key; fixed by the query. And its argument as numbers, where it is one
//! of those that can be added up. Never enters: rows of keys.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, UInt64Array, new_empty_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion_common::ScalarValue;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use crate::error::StageError;

/// The rows that a function goes over, as seen from one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// From the first of its key on, up to the row, with those that the order leaves equal to it or without.
    Ever { with_equals: bool },
    /// Those whose times are from so many milliseconds before it to so many after it.
    Time { before_ms: i64, after_ms: i64 },
    /// From so many rows before it to so many before it.
    Rows { before: u64, until: u64 },
}

/// What can be added up row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    Count,
    Sum,
    Mean,
    Least,
    Greatest,
}

/// A function. Columns are counted among those that are kept of past rows.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    RowNumber,
    Rank,
    DenseRank,
    /// The value so many rows before.
    Lag {
        value: usize,
        rows: u64,
        default: ScalarValue,
    },
    /// The value of the row of this number in the frame, from 1.
    Nth {
        value: usize,
        number: u64,
    },
    /// The value of the last row of the frame.
    Last {
        value: usize,
    },
    /// Of numbers that are kept as they are added up.
    Total {
        total: Total,
        value: Option<usize>,
        filter: Option<usize>,
    },
    /// Any other aggregate. Over a bounded frame it is computed anew for each row.
    Aggregate {
        function: Arc<AggregateFunctionExpr>,
        values: Vec<usize>,
        filter: Option<usize>,
    },
}

/// A function OVER.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) call: Call,
    pub(crate) frame: Frame,
    /// The type of what comes out.
    pub(crate) kind: DataType,
    /// The column that comes out, among the functions of the query.
    pub(crate) output: usize,
}

impl Function {
    /// The frame that counts.
    pub(crate) fn frame(&self) -> Frame {
        if self.ignores_frame() { Frame::Ever { with_equals: false } } else { self.frame }
    }

    /// Of a function that looks at one row before, how many rows before.
    pub(crate) fn rows_back(&self) -> Option<u64> {
        match self.call {
            Call::Lag { rows, .. } => Some(rows),
            _ => None,
        }
    }

    /// Whether something of each key is kept for ever, and not its rows.
    pub(crate) fn is_ever(&self) -> bool {
        match &self.call {
            Call::RowNumber | Call::Rank | Call::DenseRank => true,
            Call::Lag { .. } | Call::Last { .. } => false,
            Call::Nth { .. } | Call::Total { .. } | Call::Aggregate { .. } => {
                matches!(self.frame, Frame::Ever { .. })
            }
        }
    }

    /// Whether it is added up over a frame that moves.
    pub(crate) fn slides(&self) -> bool {
        matches!(self.call, Call::Total { .. }) && !self.is_ever()
    }

    /// For how long before a row the rows of its key are looked at, and how many rows whatever their time.
    pub(crate) fn reach(&self) -> (i64, u64) {
        match (&self.call, self.frame) {
            (Call::Lag { rows, .. }, _) => (0, *rows),
            (Call::RowNumber | Call::Rank | Call::DenseRank, _) | (_, Frame::Ever { .. }) => (0, 0),
            (_, Frame::Time { before_ms, .. }) => (before_ms.max(0), 0),
            (_, Frame::Rows { before, .. }) => (0, before),
        }
    }

    /// For how long behind a row rows are looked at.
    pub(crate) fn ahead_ms(&self) -> i64 {
        match self.frame {
            Frame::Time { after_ms, .. } if !self.ignores_frame() => after_ms.max(0),
            _ => 0,
        }
    }

    fn ignores_frame(&self) -> bool {
        matches!(self.call, Call::RowNumber | Call::Rank | Call::DenseRank | Call::Lag { .. })
    }

    /// Whether rows of equal times have the same value, so that nothing has to tell them apart.
    pub(crate) fn equals_share(&self) -> bool {
        match &self.call {
            Call::Rank | Call::DenseRank => true,
            Call::RowNumber | Call::Lag { .. } | Call::Nth { .. } | Call::Last { .. } => false,
            Call::Total { .. } | Call::Aggregate { .. } => {
                !matches!(self.frame, Frame::Rows { .. } | Frame::Ever { with_equals: false })
            }
        }
    }
}

/// A number as it is added up: whole ones, decimals and times as they are, what has a point of its own as a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Whole(i128),
    Double(f64),
}

impl Number {
    /// As bits that are kept in state rows.
    pub(crate) fn to_bits(self) -> i128 {
        match self {
            Number::Whole(value) => value,
            Number::Double(value) => i128::from(value.to_bits()),
        }
    }

    pub(crate) fn plus(self, other: Number) -> Number {
        match (self, other) {
            // A sum that has left its range stays at a mark, which no type has.
            (Number::Whole(a), Number::Whole(b)) => Number::Whole(match a.checked_add(b) {
                Some(sum) if a != i128::MIN && b != i128::MIN => sum,
                _ => i128::MIN,
            }),
            (Number::Double(a), Number::Double(b)) => Number::Double(a + b),
            _ => unreachable!("the numbers of one column are of one kind"),
        }
    }

    /// A whole number in the same order: of doubles the total order, in which no number stands apart.
    pub(crate) fn rank(self) -> i128 {
        match self {
            Number::Whole(value) => value,
            Number::Double(value) => {
                let bits = value.to_bits() as i64;
                i128::from(bits ^ (((bits >> 63) as u64) >> 1) as i64)
            }
        }
    }
}

/// The argument of a function that is added up, for the rows of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    /// The rows that count: all, where nothing is said.
    present: Option<NullBuffer>,
    values: Values,
    /// Whether they are those of the column itself.
    is_shared: bool,
}

#[derive(Clone, Debug)]
enum Values {
    /// Rows are only counted.
    None,
    Small(ScalarBuffer<i64>),
    Whole(ScalarBuffer<i128>),
    Double(ScalarBuffer<f64>),
}

/// How numbers of a type are kept, where they can be added up or compared as they are.
pub(crate) fn kept_as(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(DataType::Int64),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Some(DataType::Int64),
        DataType::Timestamp(..) => Some(DataType::Int64),
        DataType::UInt64 => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal128(..) => Some(kind.clone()),
        DataType::Float32 | DataType::Float64 => Some(DataType::Float64),
        _ => None,
    }
}

impl Numbers {
    /// The numbers of a call's argument.
    pub(crate) fn of(
        (total, value, filter): (Total, Option<usize>, Option<usize>),
        columns: &[ArrayRef],
    ) -> Result<Numbers, StageError> {
        let mut present = value.and_then(|at| columns[at].logical_nulls());
        if let Some(filter) = filter.map(|at| columns[at].as_boolean()) {
            let wanted = filter.values();
            let filter =
                NullBuffer::new(filter.nulls().map_or_else(|| wanted.clone(), |n| wanted & n.inner()));
            present = NullBuffer::union(present.as_ref(), Some(&filter));
        }
        let values = match value.filter(|_| total != Total::Count) {
            None => Values::None,
            Some(at) => {
                let column = &columns[at];
                let kind = kept_as(column.data_type()).unwrap_or(DataType::Float64);
                let column = cast(column, &kind)?;
                match kind {
                    DataType::Int64 => Values::Small(column.as_primitive::<Int64Type>().values().clone()),
                    DataType::Float64 => {
                        Values::Double(column.as_primitive::<Float64Type>().values().clone())
                    }
                    _ => Values::Whole(column.as_primitive::<Decimal128Type>().values().clone()),
                }
            }
        };
        let is_shared =
            value.is_none_or(|at| kept_as(columns[at].data_type()).as_ref() == Some(columns[at].data_type()));
        Ok(Numbers { present, values, is_shared })
    }

    /// Whether a row counts.
    #[inline]
    pub(crate) fn counts(&self, row: u32) -> bool {
        self.present.as_ref().is_none_or(|present| present.is_valid(row as usize))
    }

    #[inline]
    pub(crate) fn get(&self, row: u32) -> Number {
        match &self.values {
            Values::None => Number::Whole(0),
            Values::Small(values) => Number::Whole(i128::from(values[row as usize])),
            Values::Whole(values) => Number::Whole(values[row as usize]),
            Values::Double(values) => Number::Double(values[row as usize]),
        }
    }

    /// Bytes besides those of the column that it was made of.
    pub(crate) fn size(&self) -> usize {
        match &self.values {
            _ if self.is_shared => 0,
            Values::None => 0,
            Values::Small(values) => values.len() * 8,
            Values::Whole(values) => values.len() * 16,
            Values::Double(values) => values.len() * 8,
        }
    }
}

/// What rows that were added up come to: how many counted, and their sum, or the least or greatest of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub(crate) count: i64,
    pub(crate) number: Number,
}

/// Rows that have no value of a function, and why.
pub(crate) type Unfit = Vec<(usize, StageError)>;

/// The values of a function, as a column of its type.
pub(crate) fn column_of(
    total: Total,
    kind: &DataType,
    of: &DataType,
    sums: &[Sum],
    unfit: &mut Unfit,
) -> Result<ArrayRef, StageError> {
    if sums.is_empty() {
        return Ok(new_empty_array(kind));
    }
    if total == Total::Count {
        return Ok(Arc::new(Int64Array::from_iter_values(sums.iter().map(|sum| sum.count))));
    }
    let whole = |sum: &Sum| match sum.number {
        Number::Whole(value) => value,
        Number::Double(value) => value as i128,
    };
    let double = |sum: &Sum| match sum.number {
        Number::Whole(value) => value as f64,
        Number::Double(value) => value,
    };
    let some = |sum: &Sum| sum.count > 0;
    let mut wholes = |bounds: RangeInclusive<i128>| -> Vec<Option<i128>> {
        let each = sums.iter().enumerate().map(|(row, sum)| {
            let value = some(sum).then(|| whole(sum))?;
            let fits = bounds.contains(&value);
            if !fits {
                unfit.push((row, StageError::TooLarge { what: "sum".to_owned(), kind: kind.to_string() }));
            }
            fits.then_some(value)
        });
        each.collect()
    };
    Ok(match kind {
        DataType::Decimal128(precision, scale) if total != Total::Mean => {
            let most = 10i128.pow(u32::from(*precision)) - 1;
            let values = Decimal128Array::from(wholes(-most..=most));
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Decimal128(precision, scale) => {
            let from = if let DataType::Decimal128(_, from) = of { *from } else { *scale };
            let mut values = Vec::with_capacity(sums.len());
            for (row, sum) in sums.iter().enumerate() {
                let mean = some(sum).then(|| decimal_mean(sum, (*precision, *scale), from));
                values.push(mean.and_then(|mean| mean.map_err(|error| unfit.push((row, error))).ok()));
            }
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Float64 | DataType::Float32 => {
            let mean = |sum: &Sum| match total {
                Total::Mean => double(sum) / sum.count as f64,
                _ => double(sum),
            };
            let values: Float64Array = sums.iter().map(|sum| some(sum).then(|| mean(sum))).collect();
            cast(&values, kind)?
        }
        DataType::UInt64 => {
            let values = wholes(0..=i128::from(u64::MAX));
            Arc::new(values.into_iter().map(|value| value.map(|value| value as u64)).collect::<UInt64Array>())
        }
        _ => {
            let values = wholes(i128::from(i64::MIN)..=i128::from(i64::MAX));
            let values = values.into_iter().map(|value| value.map(|value| value as i64));
            cast(&values.collect::<Int64Array>(), kind)?
        }
    })
}

/// As the aggregate of a batch has it: so many more digits behind the point, and cut off behind them.
fn decimal_mean(sum: &Sum, (precision, scale): (u8, i8), from: i8) -> Result<i128, StageError> {
    let Number::Whole(value) = sum.number else { return Ok(0) };
    let mean = 10i128
        .checked_pow(u32::from((scale - from).unsigned_abs()))
        .filter(|_| value != i128::MIN)
        .and_then(|by| value.checked_mul(by))
        .map(|value| value / i128::from(sum.count));
    let most = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    mean.filter(|mean| mean.abs() < most).ok_or_else(|| {
        let text = format!("an average over {} rows has more than {precision} digits", sum.count);
        StageError::Compute(datafusion_common::DataFusionError::Execution(text))
    })
}
