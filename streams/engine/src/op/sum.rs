//! Sums that know when they have no place in their type. A sum of whole numbers or decimals that leaves its range stays at a mark
//! which no sum has that fits, in state rows too, so that the group is found when its result is wanted: DataFusion's own sums go
//! round, and give a wrong number. Decimals whose sum fits their storage and not their precision are found the same way. Never
//! enters: what becomes of such a group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use datafusion_expr::GroupsAccumulator;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use crate::error::StageError;

/// The marks. Of whole numbers without a sign the greatest is one by itself: it grows no further.
const BEYOND_I64: i64 = i64::MIN;
const BEYOND_I128: i128 = i128::MIN;

fn is_sum(function: &AggregateFunctionExpr) -> bool {
    function.fun().name() == "sum" && !function.is_distinct()
}

/// The accumulator of a sum, where it is one of these.
pub(crate) fn accumulator(function: &AggregateFunctionExpr) -> Option<Box<dyn GroupsAccumulator>> {
    if !is_sum(function) {
        return None;
    }
    let kind = function.field().data_type().clone();
    Some(match kind {
        DataType::Int64 => Box::new(PrimitiveGroupsAccumulator::<Int64Type, _>::new(&kind, |sum, value| {
            *sum = match sum.checked_add(value) {
                Some(sum_with) if *sum != BEYOND_I64 && value != BEYOND_I64 => sum_with,
                _ => BEYOND_I64,
            }
        })),
        DataType::UInt64 => {
            Box::new(PrimitiveGroupsAccumulator::<UInt64Type, _>::new(&kind, |sum, value| {
                *sum = sum.saturating_add(value);
            }))
        }
        DataType::Decimal128(..) => {
            Box::new(PrimitiveGroupsAccumulator::<Decimal128Type, _>::new(&kind, |sum, value| {
                *sum = match sum.checked_add(value) {
                    Some(sum_with) if *sum != BEYOND_I128 && value != BEYOND_I128 => sum_with,
                    _ => BEYOND_I128,
                }
            }))
        }
        _ => return None,
    })
}

/// The groups whose sum is beyond its type; nothing where there are none.
pub(crate) fn beyond(function: &AggregateFunctionExpr, sums: &ArrayRef) -> Option<BooleanArray> {
    if !is_sum(function) {
        return None;
    }
    let beyond: Vec<bool> = match sums.data_type() {
        DataType::Int64 => {
            sums.as_primitive::<Int64Type>().values().iter().map(|sum| *sum == BEYOND_I64).collect()
        }
        DataType::UInt64 => {
            sums.as_primitive::<UInt64Type>().values().iter().map(|sum| *sum == u64::MAX).collect()
        }
        DataType::Decimal128(precision, _) => {
            let end = 10u128.pow(u32::from(*precision));
            let values = sums.as_primitive::<Decimal128Type>().values();
            values.iter().map(|sum| sum.unsigned_abs() >= end).collect()
        }
        _ => return None,
    };
    // What lies under a null is nothing.
    let beyond = beyond.into_iter().enumerate().map(|(group, beyond)| beyond && sums.is_valid(group));
    let beyond: BooleanArray = beyond.map(Some).collect();
    (beyond.true_count() > 0).then_some(beyond)
}

/// A type in which no sum of values of this one goes round.
pub(crate) fn wide(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            Some(DataType::Decimal128(38, 0))
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            Some(DataType::Decimal128(38, 0))
        }
        DataType::Decimal128(_, scale) => Some(DataType::Decimal256(76, *scale)),
        _ => None,
    }
}

/// Whether the sum of any of some rows fits, since that of all their amounts does. Cheap.
pub(crate) fn fits_in_all(
    arguments: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
) -> Result<bool, StageError> {
    let Some(argument) = arguments.first() else { return Ok(true) };
    let values = argument.evaluate(rows)?.into_array(rows.num_rows())?;
    let values = match values.data_type() {
        DataType::Decimal128(..) | DataType::UInt64 => values,
        _ => cast(&values, &DataType::Int64)?,
    };
    let total = |amounts: &mut dyn Iterator<Item = u128>| amounts.fold(0u128, u128::saturating_add);
    Ok(match values.data_type() {
        DataType::UInt64 => {
            let values = values.as_primitive::<UInt64Type>();
            total(&mut values.iter().flatten().map(u128::from)) <= u128::from(u64::MAX)
        }
        DataType::Decimal128(precision, _) => {
            // As DataFusion's sums have it.
            let end = 10u128.pow(u32::from(*precision + 10).min(38));
            total(&mut values.as_primitive::<Decimal128Type>().iter().flatten().map(i128::unsigned_abs)) < end
        }
        _ => {
            let values = values.as_primitive::<Int64Type>();
            total(&mut values.iter().flatten().map(|value| value.unsigned_abs().into())) <= i64::MAX as u128
        }
    })
}

/// Whether sums are those in the wider type.
pub(crate) fn is_same(sums: &ArrayRef, wide: &ArrayRef) -> Result<bool, StageError> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let fitting = cast_with_options(wide, sums.data_type(), &options)?;
    Ok(fitting.null_count() == wide.null_count() && fitting.as_ref() == sums.as_ref())
}
