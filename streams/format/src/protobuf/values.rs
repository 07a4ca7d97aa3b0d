//! One value of a field, as columns take it: what stands on the wire to a value of a type, and a value into a column.
//! Never enters: where values are in a record.

use std::io::Write;

use super::kind::{Names, Scalar};
use super::wire::unzigzag;
use crate::column::Column;
use crate::decimal::rescaled;
use crate::json::scalar as text;

/// A value that is no message.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Int(i64),
    /// An integer that is larger than those of 64 bits with a sign.
    Large(u64),
    Enum(i32, &'a Names),
    Bool(bool),
    Double(f64),
    /// UTF-8.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// An integer of `10^-scale`.
    Decimal(i128, i64),
    /// Seconds since 1970 and nanoseconds behind them.
    Time(i64, i64),
    /// A year, a month and a day.
    Day(i32, i32, i32),
}

/// A value from its number on the wire or its bytes; where its text is not UTF-8.
#[inline]
pub(super) fn value<'a>(scalar: &'a Scalar, raw: u64, bytes: &'a [u8]) -> Result<Value<'a>, usize> {
    Ok(match scalar {
        Scalar::Int32 | Scalar::Sfixed32 => Value::Int(i64::from(raw as u32 as i32)),
        Scalar::Uint32 | Scalar::Fixed32 => Value::Int(i64::from(raw as u32)),
        Scalar::Sint32 => Value::Int(unzigzag(u64::from(raw as u32))),
        Scalar::Int64 | Scalar::Sfixed64 => Value::Int(raw as i64),
        Scalar::Sint64 => Value::Int(unzigzag(raw)),
        Scalar::Uint64 | Scalar::Fixed64 => match i64::try_from(raw) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::Large(raw),
        },
        Scalar::Bool => Value::Bool(raw != 0),
        Scalar::Float => Value::Double(f64::from(f32::from_bits(raw as u32))),
        Scalar::Double => Value::Double(f64::from_bits(raw)),
        Scalar::Enum(names) => Value::Enum(raw as u32 as i32, names),
        Scalar::Bytes => Value::Bytes(bytes),
        Scalar::Text => match std::str::from_utf8(bytes) {
            Ok(_) => Value::Text(bytes),
            Err(error) => return Err(error.valid_up_to()),
        },
    })
}

/// Puts a value into a column, or nothing if it does not fit. `grown` counts the bytes of names, which may be many more
/// than the number has in the record.
#[inline]
pub(super) fn put(column: &mut Column, value: Value<'_>, grown: &mut usize) -> Option<()> {
    match (column, value) {
        (Column::Text(values), Value::Text(bytes)) => values.push(bytes),
        (Column::Text(values), Value::Enum(number, names)) => {
            let mut digits = [0; 11];
            let name = match names.name(number) {
                Some(name) => name.as_bytes(),
                None => decimal_digits(number, &mut digits),
            };
            *grown += name.len();
            values.push(name);
        }
        (Column::Bool(values), Value::Bool(value)) => values.push(value),
        (Column::Int32(values), Value::Int(value)) => values.push(i32::try_from(value).ok()?),
        (Column::Int32(values), Value::Enum(number, _)) => values.push(number),
        (Column::Int64(values), Value::Int(value)) => values.push(value),
        (Column::Int64(values), Value::Enum(number, _)) => values.push(i64::from(number)),
        (Column::Float(values), Value::Double(value)) if value.is_finite() => values.push(value),
        (Column::Float(values), Value::Int(value)) => values.push(value as f64),
        (Column::Decimal { values, precision, scale }, value) => values.push(match value {
            Value::Text(digits) if text::is_number(digits) => text::decimal(digits, *precision, *scale)?,
            Value::Int(value) => rescaled(i128::from(value), 0, *precision, *scale)?,
            Value::Large(value) => rescaled(i128::from(value), 0, *precision, *scale)?,
            Value::Decimal(unscaled, of) => rescaled(unscaled, of, *precision, *scale)?,
            _ => return None,
        }),
        (Column::Instant(values), value) => {
            let at = match value {
                Value::Text(iso) => text::instant(iso)?,
                Value::Int(millis) => millis,
                Value::Time(seconds, nanos) => seconds.checked_mul(1_000)?.checked_add(nanos / 1_000_000)?,
                _ => return None,
            };
            values.push(Some(at).filter(|at| millstream_model::time::in_range(*at))?);
        }
        (Column::Micros(values), value) => {
            let at = match value {
                Value::Text(iso) => text::instant_micros(iso)?,
                Value::Int(micros) => micros,
                Value::Time(seconds, nanos) => seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)?,
                _ => return None,
            };
            values.push(Some(at).filter(|at| text::micros_in_range(*at))?);
        }
        (Column::Date(values), value) => values.push(match value {
            Value::Text(iso) => text::date(iso)?,
            Value::Int(days) => i32::try_from(days).ok().filter(|day| text::date_in_range(*day))?,
            Value::Day(year, month, day) => day_of(year, month, day)?,
            _ => return None,
        }),
        (Column::Bytes(values), Value::Bytes(bytes) | Value::Text(bytes)) => values.push(bytes),
        _ => return None,
    }
    Some(())
}

fn decimal_digits(number: i32, digits: &mut [u8; 11]) -> &[u8] {
    let mut left = &mut digits[..];
    // The longest number has as many digits and a sign.
    let _ = write!(left, "{number}");
    let unused = left.len();
    &digits[..11 - unused]
}

fn day_of(year: i32, month: i32, day: i32) -> Option<i32> {
    if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut iso = [0; 10];
    write!(&mut iso[..], "{year:04}-{month:02}-{day:02}").ok()?;
    text::date(&iso)
}
