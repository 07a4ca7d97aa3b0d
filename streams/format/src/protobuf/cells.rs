//! Columns of a batch as messages are written from them: one value at a time, whatever type of array it is in. Never
//! enters: fields.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::json;

/// A column of a batch.
pub(super) struct Cells {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Bool(ArrayRef),
    Int(ScalarBuffer<i64>),
    Unsigned(ScalarBuffer<u64>),
    Double(ScalarBuffer<f64>),
    Decimal(ScalarBuffer<i128>, u8, i8),
    Date(ScalarBuffer<i32>),
    Instant(ScalarBuffer<i64>, TimeUnit),
    Text(ArrayRef),
    LargeText(ArrayRef),
    Bytes(ArrayRef),
    List(OffsetBuffer<i32>, Box<Cells>),
    Struct(Vec<Cells>),
}

/// A value of a column that is no list and no struct.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Double(f64),
    /// An integer of `10^-scale`, its precision and its scale.
    Decimal(i128, u8, i8),
    /// Days since 1970.
    Date(i32),
    /// Units since 1970.
    Instant(i64, TimeUnit),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn whole<T: ArrowPrimitiveType>(array: &ArrayRef) -> ScalarBuffer<T::Native> {
    array.as_primitive::<T>().values().clone()
}

fn widened<T: ArrowPrimitiveType, W>(array: &ArrayRef) -> ScalarBuffer<W>
where
    T::Native: Into<W>,
    W: arrow::datatypes::ArrowNativeType,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.values().iter().map(|value| (*value).into()).collect()
}

impl Cells {
    /// The values of a column, which is of a type that [`super::encode`] lets pass.
    pub(super) fn new(array: &ArrayRef) -> Cells {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bool(array.clone()),
            DataType::Int8 => Values::Int(widened::<Int8Type, _>(array)),
            DataType::Int16 => Values::Int(widened::<Int16Type, _>(array)),
            DataType::Int32 => Values::Int(widened::<Int32Type, _>(array)),
            DataType::Int64 => Values::Int(whole::<Int64Type>(array)),
            DataType::UInt8 => Values::Int(widened::<UInt8Type, _>(array)),
            DataType::UInt16 => Values::Int(widened::<UInt16Type, _>(array)),
            DataType::UInt32 => Values::Int(widened::<UInt32Type, _>(array)),
            DataType::UInt64 => Values::Unsigned(whole::<UInt64Type>(array)),
            DataType::Float32 => Values::Double(widened::<Float32Type, _>(array)),
            DataType::Float64 => Values::Double(whole::<Float64Type>(array)),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal(whole::<Decimal128Type>(array), *precision, *scale)
            }
            DataType::Date32 => Values::Date(whole::<Date32Type>(array)),
            DataType::Timestamp(unit, _) => {
                let values = match unit {
                    TimeUnit::Second => whole::<TimestampSecondType>(array),
                    TimeUnit::Millisecond => whole::<TimestampMillisecondType>(array),
                    TimeUnit::Microsecond => whole::<TimestampMicrosecondType>(array),
                    TimeUnit::Nanosecond => whole::<TimestampNanosecondType>(array),
                };
                Values::Instant(values, *unit)
            }
            DataType::Utf8 => Values::Text(array.clone()),
            DataType::LargeUtf8 => Values::LargeText(array.clone()),
            DataType::Binary => Values::Bytes(array.clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(list.offsets().clone(), Box::new(Cells::new(list.values())))
            }
            DataType::Struct(_) => {
                Values::Struct(array.as_struct().columns().iter().map(Cells::new).collect())
            }
            other => panic!("a column of type {other} to Protobuf: the writer refuses it"),
        };
        Cells { nulls: array.logical_nulls(), values }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// A value; null for lists and structs too.
    pub(super) fn cell(&self, row: usize) -> Cell<'_> {
        if self.is_null(row) {
            return Cell::Null;
        }
        match &self.values {
            Values::Null | Values::List(..) | Values::Struct(_) => Cell::Null,
            Values::Bool(values) => Cell::Bool(values.as_boolean().value(row)),
            Values::Int(values) => Cell::Int(values[row]),
            Values::Unsigned(values) => Cell::Unsigned(values[row]),
            Values::Double(values) => Cell::Double(values[row]),
            Values::Decimal(values, precision, scale) => Cell::Decimal(values[row], *precision, *scale),
            Values::Date(values) => Cell::Date(values[row]),
            Values::Instant(values, unit) => Cell::Instant(values[row], *unit),
            Values::Text(values) => Cell::Text(values.as_string::<i32>().value(row)),
            Values::LargeText(values) => Cell::Text(values.as_string::<i64>().value(row)),
            Values::Bytes(values) => Cell::Bytes(values.as_binary::<i32>().value(row)),
        }
    }

    /// The items of a list, and which of them are a row's; none of what is no list.
    pub(super) fn items(&self, row: usize) -> (&Cells, std::ops::Range<usize>) {
        match &self.values {
            Values::List(offsets, items) => (items, offsets[row] as usize..offsets[row + 1] as usize),
            _ => (self, 0..0),
        }
    }

    /// The columns of a struct; none of what is no struct.
    pub(super) fn columns(&self) -> &[Cells] {
        match &self.values {
            Values::Struct(columns) => columns,
            _ => &[],
        }
    }
}

impl Cell<'_> {
    /// Appends a value that has a form in text: a decimal, a date, a time, or text.
    pub(super) fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
            Cell::Bytes(bytes) => out.extend_from_slice(bytes),
            Cell::Decimal(value, _, scale) => {
                json::decimal(*value, usize::try_from(*scale).unwrap_or(0), out)
            }
            Cell::Date(day) => json::date(i64::from(*day), out),
            Cell::Instant(at, unit) => {
                let (nanos, digits) = match unit {
                    TimeUnit::Second => (1_000_000_000, 0),
                    TimeUnit::Millisecond => (1_000_000, 3),
                    TimeUnit::Microsecond => (1_000, 6),
                    TimeUnit::Nanosecond => (1, 9),
                };
                json::instant(i128::from(*at) * nanos, digits, out);
            }
            _ => {}
        }
    }
}

/// For a person; text and bytes are cut.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("null"),
            Cell::Bool(value) => write!(f, "{value}"),
            Cell::Int(value) => write!(f, "{value}"),
            Cell::Unsigned(value) => write!(f, "{value}"),
            Cell::Double(value) => write!(f, "{value:?}"),
            Cell::Text(text) => write!(f, "{:?}", text.chars().take(60).collect::<String>()),
            Cell::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Cell::Decimal(..) | Cell::Date(_) | Cell::Instant(..) => {
                let mut text = Vec::new();
                self.write_text(&mut text);
                f.write_str(&String::from_utf8_lossy(&text))
            }
        }
    }
}
