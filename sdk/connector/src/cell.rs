//! One value of a column, for sinks that write row by row, and UTC text of times. Owns which Arrow types a SQL sink
//! takes. Never enters: a database's own types and quoting.

use std::fmt::Write as _;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_schema::{DataType, Schema, TimeUnit};

use crate::SinkError;

/// A value, borrowed from its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A truth value.
    Boolean(bool),
    /// Any integer type.
    Integer(i128),
    /// Either float type.
    Float(f64),
    /// An exact decimal: `unscaled` divided by ten to the `scale`.
    Decimal {
        /// The digits.
        unscaled: i128,
        /// How many of them stand after the point.
        scale: i8,
    },
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A time, in microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// A day, counted from 1970-01-01.
    Date(i32),
}

/// A column that no SQL sink takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "column \"{column}\" has the type {data_type}, which a table cannot hold; leave it out, or turn it into text"
)]
pub struct UnsupportedColumn {
    /// Its name.
    pub column: String,
    /// Its type.
    pub data_type: String,
}

/// Whether [`cell`] takes a type.
pub fn is_supported(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Null | Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => true,
        Float32 | Float64 | Decimal128(_, _) | Date32 | Timestamp(_, _) => true,
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary => true,
        Dictionary(key, value) => **key == Int32 && **value == Utf8,
        _ => false,
    }
}

/// Checks every column of rows, so that [`cell`] may be called for all of them.
pub fn check_columns(columns: &Schema) -> Result<(), UnsupportedColumn> {
    for field in columns.fields() {
        if !is_supported(field.data_type()) {
            return Err(UnsupportedColumn {
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            });
        }
    }
    Ok(())
}

/// Checks the columns of rows for a table of this name that finds them by these: that each can be written, and none of `key` is missing.
pub fn check_table(columns: &Schema, table: &str, key: &[String]) -> Result<(), SinkError> {
    let refuse = |what: String| SinkError::Setup(format!("writing to {table}: {what}"));
    check_columns(columns).map_err(|error| refuse(error.to_string()))?;
    match key.iter().find(|key| columns.field_with_name(key).is_err()) {
        Some(key) => Err(refuse(format!("the rows have no column \"{key}\", which `key` names"))),
        None => Ok(()),
    }
}

/// The value at `row` of a column that [`check_columns`] has passed; others panic.
pub fn cell(column: &dyn Array, row: usize) -> Cell<'_> {
    use DataType::*;
    if column.is_null(row) {
        return Cell::Null;
    }
    let int = |value: i128| Cell::Integer(value);
    match column.data_type() {
        Null => Cell::Null,
        Boolean => Cell::Boolean(column.as_boolean().value(row)),
        Int8 => int(column.as_primitive::<Int8Type>().value(row).into()),
        Int16 => int(column.as_primitive::<Int16Type>().value(row).into()),
        Int32 => int(column.as_primitive::<Int32Type>().value(row).into()),
        Int64 => int(column.as_primitive::<Int64Type>().value(row).into()),
        UInt8 => int(column.as_primitive::<UInt8Type>().value(row).into()),
        UInt16 => int(column.as_primitive::<UInt16Type>().value(row).into()),
        UInt32 => int(column.as_primitive::<UInt32Type>().value(row).into()),
        UInt64 => int(column.as_primitive::<UInt64Type>().value(row).into()),
        Float32 => Cell::Float(column.as_primitive::<Float32Type>().value(row).into()),
        Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(row)),
        Decimal128(_, scale) => {
            Cell::Decimal { unscaled: column.as_primitive::<Decimal128Type>().value(row), scale: *scale }
        }
        Date32 => Cell::Date(column.as_primitive::<Date32Type>().value(row)),
        Timestamp(unit, _) => Cell::Timestamp(timestamp_micros(column, *unit, row)),
        Utf8 => Cell::Text(column.as_string::<i32>().value(row)),
        LargeUtf8 => Cell::Text(column.as_string::<i64>().value(row)),
        Utf8View => Cell::Text(column.as_string_view().value(row)),
        Binary => Cell::Bytes(column.as_binary::<i32>().value(row)),
        LargeBinary => Cell::Bytes(column.as_binary::<i64>().value(row)),
        Dictionary(_, _) => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let key = dictionary.keys().value(row);
            Cell::Text(dictionary.values().as_string::<i32>().value(key as usize))
        }
        other => panic!("a cell of the type {other}, which the check of columns refuses"),
    }
}

/// A timestamp of any unit in microseconds, rounded towards the past, saturating.
pub fn timestamp_micros(column: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000),
        TimeUnit::Millisecond => {
            column.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1_000)
        }
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000),
    }
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian; Hinnant's `civil_from_days`).
pub fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

/// `2026-03-02`.
pub fn date_text(days: i32) -> String {
    let (year, month, day) = civil(days.into());
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-03-02T10:15:30.250Z`, with six digits after the point where three do not hold the value.
pub fn timestamp_text(micros: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    let (year, month, day) = civil(micros.div_euclid(DAY));
    let rest = micros.rem_euclid(DAY);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    let result = if fraction % 1_000 == 0 {
        write!(text, "{:03}Z", fraction / 1_000)
    } else {
        write!(text, "{fraction:06}Z")
    };
    result.expect("writing to a string");
    text
}

/// `-12.05`; every digit of the scale is written, so equal values of one column have equal text.
pub fn decimal_text(unscaled: i128, scale: i8) -> String {
    if scale <= 0 {
        return format!(
            "{unscaled}{}",
            if unscaled == 0 { String::new() } else { "0".repeat(-scale as usize) }
        );
    }
    let scale = scale as usize;
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_text() {
        for (unscaled, scale, text) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (8_850, 2, "88.50"),
            (-123, 0, "-123"),
            (12, -3, "12000"),
            (i128::MIN, 1, "-17014118346046923173168730371588410572.8"),
        ] {
            assert_eq!(decimal_text(unscaled, scale), text);
        }
    }

    #[test]
    fn times_are_utc_text() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_772_446_530_250_000, "2026-03-02T10:15:30.250Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (-2_208_988_800_000_000, "1900-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp_text(micros), text);
        }
        assert_eq!(date_text(20_514), "2026-03-02");
    }
}
