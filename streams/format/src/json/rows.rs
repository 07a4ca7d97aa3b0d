//! Columns to JSON records, in the forms that [`crate::json`] reads back: decimals with all their digits, timestamps
//! in ISO 8601 with `Z`, bytes as base64, nulls as `null`. A double that JSON has no number for (NaN, infinities) is
//! `null`. Never enters: topics.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, PrimitiveArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether records can be made of a schema; the error names the first column that has no form in JSON.
pub fn check(schema: &Schema) -> Result<(), String> {
    schema.fields().iter().try_for_each(|field| check_field(field))
}

fn check_field(field: &Field) -> Result<(), String> {
    match field.data_type() {
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Date32
        | DataType::Binary => Ok(()),
        DataType::Decimal128(_, scale) if *scale >= 0 => Ok(()),
        DataType::Timestamp(_, _) => Ok(()),
        kind if kind.is_integer() || matches!(kind, DataType::Float32 | DataType::Float64) => Ok(()),
        DataType::List(item) => check_field(item),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_field(field)),
        other => Err(format!(
            "column {} is of type {other}, which has no form in JSON; cast it, as in CAST({} AS VARCHAR)",
            field.name(),
            field.name()
        )),
    }
}

/// A batch whose rows are written as JSON objects.
pub struct JsonRows {
    columns: Vec<(Vec<u8>, Column)>,
}

struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(ArrayRef),
    Integer(Vec<i128>),
    Double(Vec<f64>),
    Decimal(Vec<i128>, usize),
    /// Days since 1970.
    Date(Vec<i32>),
    /// Nanoseconds since 1970, and how many digits of the second are shown.
    Instant(Vec<i128>, usize),
    Text(ArrayRef),
    LargeText(ArrayRef),
    Bytes(ArrayRef),
    List(Vec<i32>, Box<Column>),
    Struct(Vec<(Vec<u8>, Column)>),
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> &PrimitiveArray<T> {
    array.as_primitive::<T>()
}

fn integers<T: ArrowPrimitiveType>(array: &ArrayRef, times: i128) -> Vec<i128>
where
    T::Native: Into<i128>,
{
    numbers::<T>(array).values().iter().map(|value| (*value).into() * times).collect()
}

impl Column {
    fn new(array: &ArrayRef) -> Column {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.clone()),
            DataType::Int8 => Values::Integer(integers::<Int8Type>(array, 1)),
            DataType::Int16 => Values::Integer(integers::<Int16Type>(array, 1)),
            DataType::Int32 => Values::Integer(integers::<Int32Type>(array, 1)),
            DataType::Int64 => Values::Integer(integers::<Int64Type>(array, 1)),
            DataType::UInt8 => Values::Integer(integers::<UInt8Type>(array, 1)),
            DataType::UInt16 => Values::Integer(integers::<UInt16Type>(array, 1)),
            DataType::UInt32 => Values::Integer(integers::<UInt32Type>(array, 1)),
            DataType::UInt64 => Values::Integer(integers::<UInt64Type>(array, 1)),
            DataType::Float32 => {
                Values::Double(numbers::<Float32Type>(array).values().iter().map(|v| f64::from(*v)).collect())
            }
            DataType::Float64 => Values::Double(numbers::<Float64Type>(array).values().to_vec()),
            DataType::Decimal128(_, scale) => {
                Values::Decimal(numbers::<Decimal128Type>(array).values().to_vec(), *scale as usize)
            }
            DataType::Date32 => Values::Date(numbers::<Date32Type>(array).values().to_vec()),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => Values::Instant(integers::<TimestampSecondType>(array, 1_000_000_000), 0),
                TimeUnit::Millisecond => {
                    Values::Instant(integers::<TimestampMillisecondType>(array, 1_000_000), 3)
                }
                TimeUnit::Microsecond => {
                    Values::Instant(integers::<TimestampMicrosecondType>(array, 1_000), 6)
                }
                TimeUnit::Nanosecond => Values::Instant(integers::<TimestampNanosecondType>(array, 1), 9),
            },
            DataType::Utf8 => Values::Text(array.clone()),
            DataType::LargeUtf8 => Values::LargeText(array.clone()),
            DataType::Binary => Values::Bytes(array.clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(list.offsets().to_vec(), Box::new(Column::new(list.values())))
            }
            DataType::Struct(fields) => {
                Values::Struct(named(fields.iter().map(|f| f.name().as_str()), array.as_struct().columns()))
            }
            other => panic!("a column of type {other} to JSON: `check` refuses it"),
        };
        Column { nulls: array.logical_nulls(), values }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(values) => {
                let text: &[u8] = if values.as_boolean().value(row) { b"true" } else { b"false" };
                out.extend_from_slice(text);
            }
            Values::Integer(values) => integer(values[row], out),
            Values::Double(values) if values[row].is_finite() => {
                use std::io::Write;
                let _ = write!(out, "{:?}", values[row]);
            }
            Values::Double(_) => out.extend_from_slice(b"null"),
            Values::Decimal(values, scale) => decimal(values[row], *scale, out),
            Values::Date(values) => {
                out.push(b'"');
                date(i64::from(values[row]), out);
                out.push(b'"');
            }
            Values::Instant(values, digits) => {
                out.push(b'"');
                instant(values[row], *digits, out);
                out.push(b'"');
            }
            Values::Text(values) => text(string::<i32>(values, row), out),
            Values::LargeText(values) => text(string::<i64>(values, row), out),
            Values::Bytes(values) => {
                out.push(b'"');
                out.extend_from_slice(STANDARD.encode(values.as_binary::<i32>().value(row)).as_bytes());
                out.push(b'"');
            }
            Values::List(offsets, item) => {
                out.push(b'[');
                for (place, row) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    item.write(row as usize, out);
                }
                out.push(b']');
            }
            Values::Struct(columns) => object(columns, row, out),
        }
    }
}

fn string<O: OffsetSizeTrait>(values: &ArrayRef, row: usize) -> &str {
    values.as_string::<O>().value(row)
}

/// Columns with the text that stands before each of their values.
fn named<'a>(names: impl Iterator<Item = &'a str>, arrays: &[ArrayRef]) -> Vec<(Vec<u8>, Column)> {
    let key = |name: &str| {
        let mut key = Vec::new();
        text(name, &mut key);
        key.push(b':');
        key
    };
    names.zip(arrays).map(|(name, array)| (key(name), Column::new(array))).collect()
}

fn object(columns: &[(Vec<u8>, Column)], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (key, column)) in columns.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        column.write(row, out);
    }
    out.push(b'}');
}

impl JsonRows {
    /// The rows of a batch, whose schema [`check`] has passed.
    pub fn new(batch: &RecordBatch) -> JsonRows {
        let schema = batch.schema();
        JsonRows { columns: named(schema.fields().iter().map(|f| f.name().as_str()), batch.columns()) }
    }

    /// Appends one row as an object on one line.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        object(&self.columns, row, out);
    }

    /// Appends the values of one row as a list, in the order of the columns.
    pub fn write_values(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (place, (_, column)) in self.columns.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            column.write(row, out);
        }
        out.push(b']');
    }

    /// How many columns there are.
    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Appends a column's value as plain text, as in a record's key: text as it is, anything else as in the object;
    /// `false` for null, and for what JSON has no number for.
    pub fn write_plain(&self, column: usize, row: usize, out: &mut Vec<u8>) -> bool {
        let column = &self.columns[column].1;
        if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return false;
        }
        match &column.values {
            Values::Text(values) => out.extend_from_slice(string::<i32>(values, row).as_bytes()),
            Values::LargeText(values) => out.extend_from_slice(string::<i64>(values, row).as_bytes()),
            Values::Instant(values, digits) => instant(values[row], *digits, out),
            Values::Date(values) => date(i64::from(values[row]), out),
            Values::Bytes(values) => {
                out.extend_from_slice(STANDARD.encode(values.as_binary::<i32>().value(row)).as_bytes());
            }
            Values::Null => return false,
            Values::Double(values) if !values[row].is_finite() => return false,
            _ => column.write(row, out),
        }
        true
    }
}

fn integer(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    digits(value.unsigned_abs(), 1, out);
}

/// The digits of a number, with zeros before it up to `least`.
fn digits(mut value: u128, least: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 40];
    let mut at = text.len();
    // Most numbers fit in 64 bits, which divide several times faster.
    while value > u128::from(u64::MAX) {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    let mut small = value as u64;
    while small > 0 {
        at -= 1;
        text[at] = b'0' + (small % 10) as u8;
        small /= 10;
    }
    out.extend_from_slice(&text[at.min(text.len() - least)..]);
}

/// A decimal with all its digits.
pub(crate) fn decimal(value: i128, scale: usize, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let from = out.len();
    digits(value.unsigned_abs(), scale + 1, out);
    if scale > 0 {
        let point = out.len() - scale;
        debug_assert!(point > from);
        out.insert(point, b'.');
    }
}

/// A day as `2026-01-31`, by the proleptic Gregorian calendar.
pub(crate) fn date(days: i64, out: &mut Vec<u8>) {
    // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year < 0 {
        out.push(b'-');
    }
    digits(u128::from(year.unsigned_abs()), 4, out);
    out.push(b'-');
    digits(month as u128, 2, out);
    out.push(b'-');
    digits(day as u128, 2, out);
}

/// An instant as `2026-01-31T10:00:00.000Z`.
pub(crate) fn instant(nanos: i128, fraction: usize, out: &mut Vec<u8>) {
    const DAY: i128 = 86_400_000_000_000;
    date(nanos.div_euclid(DAY) as i64, out);
    let of_day = nanos.rem_euclid(DAY) as u64;
    let seconds = of_day / 1_000_000_000;
    for (sign, part) in [(b'T', seconds / 3_600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
        out.push(sign);
        digits(u128::from(part), 2, out);
    }
    if fraction > 0 {
        out.push(b'.');
        let shown = of_day % 1_000_000_000 / 10u64.pow(9 - fraction as u32);
        digits(u128::from(shown), fraction, out);
    }
    out.push(b'Z');
}

fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = value.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => {
                out.extend_from_slice(&bytes[from..at]);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[b'0' + (byte >> 4), b"0123456789abcdef"[usize::from(byte & 15)]]);
                from = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(escape);
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
        StructArray, TimestampMillisecondArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::Decoder;

    fn lines(batch: &RecordBatch) -> Vec<String> {
        check(&batch.schema()).expect("columns that have a form");
        let rows = JsonRows::new(batch);
        let line = |row| {
            let mut out = Vec::new();
            rows.write(row, &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        (0..batch.num_rows()).map(line).collect()
    }

    #[test]
    fn rows_are_written_as_they_are_read() {
        let item = |n: i64| Some(vec![Some(n), None]);
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(
            Arc::new(Field::new("x", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
        )]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("t", Arc::new(StringArray::from(vec![Some("a\"\\\n\u{1}é"), None]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            ("i", Arc::new(Int64Array::from(vec![i64::MIN, 0]))),
            ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 7]))),
            ("f", Arc::new(Float64Array::from(vec![1e300, f64::NAN]))),
            (
                "d",
                Arc::new(
                    Decimal128Array::from(vec![-5, 12_345_678_901_234_567_890_123])
                        .with_precision_and_scale(38, 2)
                        .unwrap(),
                ),
            ),
            (
                "at",
                Arc::new(TimestampMillisecondArray::from(vec![1_767_225_599_999, -1]).with_timezone("UTC")),
            ),
            ("day", Arc::new(Date32Array::from(vec![20_513, -719_469]))),
            ("l", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![item(3), None]))),
            ("s", nested),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(
            lines(&batch),
            [
                r#"{"t":"a\"\\\n\u0001é","b":true,"i":-9223372036854775808,"u":18446744073709551615,"f":1e300,"d":-0.05,"at":"2025-12-31T23:59:59.999Z","day":"2026-03-01","l":[3,null],"s":{"x":1}}"#,
                r#"{"t":null,"b":false,"i":0,"u":7,"f":null,"d":123456789012345678901.23,"at":"1969-12-31T23:59:59.999Z","day":"0000-02-29","l":null,"s":{"x":null}}"#,
            ]
        );
    }

    #[test]
    fn a_column_without_a_form_is_refused_by_name() {
        let schema = Schema::new(vec![Field::new("long", DataType::Duration(TimeUnit::Millisecond), true)]);
        assert!(check(&schema).unwrap_err().starts_with("column long is of type Duration(ms)"));
    }

    type Row = (Option<String>, i64, Option<bool>, i128, i64, f64);

    proptest! {
        /// What the encoder writes, the decoder reads back as the same columns.
        #[test]
        fn rows_come_back(
            rows in proptest::collection::vec(
                (any::<Option<String>>(), any::<i64>(), any::<Option<bool>>(), -10i128.pow(30)..10i128.pow(30),
                 -2_000_000_000_000i64..32_000_000_000_000, any::<f64>().prop_filter("a number", |f| f.is_finite())),
                1..20,
            ),
        ) {
            let column = |f: &dyn Fn(&Row) -> i64| -> Vec<i64> { rows.iter().map(f).collect() };
            let decimals = Decimal128Array::from_iter_values(rows.iter().map(|r| r.3));
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("t", Arc::new(rows.iter().map(|r| r.0.clone()).collect::<StringArray>()) as ArrayRef, true),
                ("i", Arc::new(Int64Array::from(column(&|r| r.1))) as ArrayRef, true),
                ("b", Arc::new(rows.iter().map(|r| r.2).collect::<BooleanArray>()) as ArrayRef, true),
                ("d", Arc::new(decimals.with_precision_and_scale(38, 6).unwrap()) as ArrayRef, true),
                ("at", Arc::new(TimestampMillisecondArray::from(column(&|r| r.4)).with_timezone("UTC")) as ArrayRef, true),
                ("f", Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.5))) as ArrayRef, true),
            ]).unwrap();
            let mut decoder = Decoder::json(&batch.schema(), &[0, 1, 2, 3, 4, 5]).unwrap();
            for line in lines(&batch) {
                decoder.push(line.as_bytes()).unwrap_or_else(|bad| panic!("{line}: {bad}"));
            }
            prop_assert_eq!(decoder.finish(), batch);
        }
    }
}
