//! What a function keeps of each key for ever, where its frame begins with the key's first row: counts and sums, and not the
//! rows. It changes with each row that comes out, and is a state row of its key. Never enters: where rows are.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type};
use datafusion_common::ScalarValue;
use datafusion_expr::Accumulator;

use super::function::{Call, Function, Number, Sum, Total};
use crate::error::StageError;

/// See the module.
#[derive(Debug)]
pub(crate) enum Ever {
    Count(i64),
    Sum(Sum),
    /// How many rows there were, and the value of the one of the wanted number.
    Nth(i64, ScalarValue),
    Any(Box<dyn Accumulator>),
}

/// How sums are written: whole numbers as they are, doubles by their bits.
const SUM: DataType = DataType::Decimal128(38, 0);

impl Ever {
    /// Of no rows.
    pub(crate) fn new(function: &Function, doubles: bool) -> Result<Ever, StageError> {
        Ok(match &function.call {
            Call::Total { .. } => Ever::Sum(Sum {
                count: 0,
                number: if doubles { Number::Double(0.0) } else { Number::Whole(0) },
            }),
            Call::Nth { .. } => Ever::Nth(0, ScalarValue::try_from(&function.kind)?),
            Call::Aggregate { function, .. } => Ever::Any(function.create_accumulator()?),
            _ => Ever::Count(0),
        })
    }

    /// The columns of state rows.
    pub(crate) fn fields(function: &Function, name: &str) -> Result<Vec<Field>, StageError> {
        let field = |part: &str, kind: DataType| Field::new(format!("{name}_{part}"), kind, true);
        Ok(match &function.call {
            Call::Total { .. } => vec![field("count", DataType::Int64), field("sum", SUM)],
            Call::Nth { .. } => vec![field("count", DataType::Int64), field("value", function.kind.clone())],
            Call::Aggregate { function, .. } => {
                let fields = function.state_fields()?;
                let fields = fields.iter().enumerate();
                fields.map(|(at, kept)| field(&at.to_string(), kept.data_type().clone())).collect()
            }
            _ => vec![field("count", DataType::Int64)],
        })
    }

    /// Adds a row that counts.
    pub(crate) fn add(sum: &mut Sum, total: Total, number: Number) {
        let first = sum.count == 0;
        sum.count += 1;
        sum.number = match total {
            Total::Count => sum.number,
            Total::Sum | Total::Mean => sum.number.plus(number),
            Total::Least if first || number.rank() < sum.number.rank() => number,
            Total::Greatest if first || number.rank() > sum.number.rank() => number,
            Total::Least | Total::Greatest => sum.number,
        };
    }

    /// The values of its columns.
    pub(crate) fn state(&mut self) -> Result<Vec<ScalarValue>, StageError> {
        let count = |count: i64| ScalarValue::Int64(Some(count));
        Ok(match self {
            Ever::Count(rows) => vec![count(*rows)],
            Ever::Sum(sum) => {
                vec![count(sum.count), ScalarValue::Decimal128(Some(sum.number.to_bits()), 38, 0)]
            }
            Ever::Nth(rows, value) => vec![count(*rows), value.clone()],
            Ever::Any(accumulator) => accumulator.state()?,
        })
    }

    /// What it was when these columns were written, in a row of theirs.
    pub(crate) fn take_up(
        function: &Function,
        doubles: bool,
        columns: &[ArrayRef],
        row: usize,
    ) -> Result<Ever, StageError> {
        let count = || columns[0].as_primitive::<Int64Type>().value(row);
        Ok(match Ever::new(function, doubles)? {
            Ever::Count(_) => Ever::Count(count()),
            Ever::Sum(_) => {
                let bits = columns[1].as_primitive::<Decimal128Type>().value(row);
                let number =
                    if doubles { Number::Double(f64::from_bits(bits as u64)) } else { Number::Whole(bits) };
                Ever::Sum(Sum { count: count(), number })
            }
            Ever::Nth(..) => Ever::Nth(count(), ScalarValue::try_from_array(&columns[1], row)?),
            Ever::Any(mut accumulator) => {
                let state: Vec<ArrayRef> = columns.iter().map(|column| column.slice(row, 1)).collect();
                accumulator.merge_batch(&state)?;
                Ever::Any(accumulator)
            }
        })
    }

    /// Bytes besides its own.
    pub(crate) fn size(&self) -> usize {
        match self {
            Ever::Count(_) | Ever::Sum(_) => 0,
            Ever::Nth(_, value) => value.size().saturating_sub(size_of::<ScalarValue>()),
            Ever::Any(accumulator) => accumulator.size(),
        }
    }
}

/// State values of several keys as columns.
pub(crate) fn columns_of(fields: &[Field], rows: Vec<Vec<ScalarValue>>) -> Result<Vec<ArrayRef>, StageError> {
    let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(rows.len()); fields.len()];
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let column = |(field, values): (&Field, Vec<ScalarValue>)| -> Result<ArrayRef, StageError> {
        Ok(match (field.data_type(), values.first()) {
            (kind, None) => arrow::array::new_empty_array(kind),
            // The most of it, made without a look at each value's type.
            (DataType::Int64, _) => {
                let values = values.iter().map(|value| match value {
                    ScalarValue::Int64(value) => *value,
                    _ => None,
                });
                std::sync::Arc::new(values.collect::<Int64Array>())
            }
            (DataType::Decimal128(precision, scale), Some(ScalarValue::Decimal128(..))) => {
                let values = values.iter().map(|value| match value {
                    ScalarValue::Decimal128(value, ..) => *value,
                    _ => None,
                });
                let values: Decimal128Array = values.collect();
                std::sync::Arc::new(values.with_precision_and_scale(*precision, *scale)?)
            }
            _ => ScalarValue::iter_to_array(values)?,
        })
    };
    fields.iter().zip(columns).map(column).collect()
}

/// Whether this aggregate keeps something for ever whose size does not grow with the rows.
pub(crate) fn is_bounded(function: &str) -> bool {
    matches!(
        function,
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "stddev"
            | "stddev_pop"
            | "var"
            | "var_pop"
            | "corr"
            | "bit_and"
            | "bit_or"
            | "bit_xor"
            | "bool_and"
            | "bool_or"
    )
}
