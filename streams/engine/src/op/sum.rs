//! Sums that know when they have no place in their type. A sum of whole numbers or decimals that leaves its range stays at a mark
//! which no sum has that fits, in state rows too, so that the group is found when its result is wanted: DataFusion's own sums go
//! round, and give a wrong number. Decimals whose sum fits their storage and not their precision are found the same way. Never
//! enters: what becomes of such a group.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use datafusion_expr::GroupsAccumulator;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

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
