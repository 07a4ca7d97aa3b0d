//! Values of columns as fields have them: which types of columns go to which types of fields, and how one value is
//! written. Never enters: keys, messages of the user.

use std::convert::Infallible;

use arrow::datatypes::{DataType, TimeUnit};

use super::cells::Cell;
use super::kind::{Scalar, Shape};
use super::wire::{LEN, VARINT, delimited, push_key, push_varint, zigzag};
use crate::decimal::shortest;
use crate::json;
use crate::json::scalar::date_in_range;

/// Whether columns of a type may be written to fields of a shape.
pub(super) fn takes(shape: &Shape, column: &DataType) -> bool {
    let scalar = match shape {
        Shape::Scalar(scalar) | Shape::Wrapped(scalar) => scalar,
        Shape::Timestamp => return matches!(column, DataType::Timestamp(_, _)),
        Shape::Date => return *column == DataType::Date32,
        Shape::DecimalText | Shape::DecimalBytes => return is_decimal(column),
        Shape::Message => return false,
    };
    let integer = scalar.is_integer32() || scalar.is_integer64();
    let text = matches!(scalar, Scalar::Text);
    match column {
        DataType::Boolean => matches!(scalar, Scalar::Bool),
        DataType::Int64 | DataType::UInt64 => integer || matches!(scalar, Scalar::Enum(_)),
        kind if kind.is_integer() => integer || matches!(scalar, Scalar::Enum(_) | Scalar::Double),
        DataType::Float32 | DataType::Float64 => matches!(scalar, Scalar::Float | Scalar::Double),
        DataType::Utf8 | DataType::LargeUtf8 => text || matches!(scalar, Scalar::Enum(_)),
        DataType::Binary => text || matches!(scalar, Scalar::Bytes),
        DataType::Date32 => text || scalar.is_signed32(),
        DataType::Timestamp(unit, _) => text || (scalar.is_integer64() && *unit != TimeUnit::Nanosecond),
        kind => is_decimal(kind) && (text || integer),
    }
}

fn is_decimal(column: &DataType) -> bool {
    matches!(column, DataType::Decimal128(_, scale) if *scale >= 0)
}

/// Appends a value of a type that [`takes`] lets pass, with its length where it has one; nothing if it does not fit.
pub(super) fn push(scalar: &Scalar, cell: Cell<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (scalar, cell) {
        (Scalar::Bool, Cell::Bool(value)) => out.push(u8::from(value)),
        (Scalar::Double, Cell::Double(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Scalar::Double, Cell::Int(value)) => out.extend_from_slice(&(value as f64).to_le_bytes()),
        (Scalar::Float, Cell::Double(value)) => {
            let nearest = value as f32;
            if value.is_finite() && !nearest.is_finite() {
                return None;
            }
            out.extend_from_slice(&nearest.to_le_bytes());
        }
        (Scalar::Enum(names), Cell::Text(name)) => push_varint(i64::from(names.number(name)?) as u64, out),
        (Scalar::Enum(names), cell) => {
            let number = i32::try_from(integer(cell)?).ok().filter(|number| names.takes(*number))?;
            push_varint(i64::from(number) as u64, out);
        }
        (Scalar::Text, Cell::Bytes(bytes)) if std::str::from_utf8(bytes).is_err() => return None,
        (Scalar::Text, Cell::Text(text)) => push_bytes(text.as_bytes(), out),
        (Scalar::Text | Scalar::Bytes, Cell::Bytes(bytes)) => push_bytes(bytes, out),
        (Scalar::Text, cell @ (Cell::Decimal(..) | Cell::Date(_) | Cell::Instant(..))) => {
            delimited_always(out, |out| cell.write_text(out));
        }
        (scalar, cell) => push_integer(scalar, integer(cell)?, out)?,
    }
    Some(())
}

/// The integer that a value is: itself, days or units since 1970, a decimal without digits behind the point.
fn integer(cell: Cell<'_>) -> Option<i128> {
    Some(match cell {
        Cell::Int(value) => i128::from(value),
        Cell::Unsigned(value) => i128::from(value),
        Cell::Date(days) => i128::from(days),
        // Epoch milliseconds are the coarsest that are read.
        Cell::Instant(at, TimeUnit::Second) => i128::from(at) * 1_000,
        Cell::Instant(at, _) => i128::from(at),
        Cell::Decimal(value, _, scale) => {
            let one = 10i128.checked_pow(u32::try_from(scale).ok()?)?;
            if value % one != 0 {
                return None;
            }
            value / one
        }
        _ => return None,
    })
}

fn push_integer(scalar: &Scalar, value: i128, out: &mut Vec<u8>) -> Option<()> {
    match scalar {
        Scalar::Int32 => push_varint(i64::from(i32::try_from(value).ok()?) as u64, out),
        Scalar::Int64 => push_varint(i64::try_from(value).ok()? as u64, out),
        Scalar::Uint32 => push_varint(u64::from(u32::try_from(value).ok()?), out),
        Scalar::Uint64 => push_varint(u64::try_from(value).ok()?, out),
        Scalar::Sint32 => push_varint(zigzag(i64::from(i32::try_from(value).ok()?)), out),
        Scalar::Sint64 => push_varint(zigzag(i64::try_from(value).ok()?), out),
        Scalar::Fixed32 => out.extend_from_slice(&u32::try_from(value).ok()?.to_le_bytes()),
        Scalar::Sfixed32 => out.extend_from_slice(&i32::try_from(value).ok()?.to_le_bytes()),
        Scalar::Fixed64 => out.extend_from_slice(&u64::try_from(value).ok()?.to_le_bytes()),
        Scalar::Sfixed64 => out.extend_from_slice(&i64::try_from(value).ok()?.to_le_bytes()),
        _ => return None,
    }
    Some(())
}

/// Appends the fields of a well-known message; nothing if the value does not fit.
pub(super) fn push_known(shape: &Shape, cell: Cell<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (shape, cell) {
        (Shape::Wrapped(scalar), cell) => field(1, scalar.wire(), out, |out| push(scalar, cell, out)),
        (Shape::Timestamp, Cell::Instant(at, unit)) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            let seconds = at.div_euclid(per_second);
            let nanos = at.rem_euclid(per_second) * (1_000_000_000 / per_second);
            let millis = seconds.checked_mul(1_000)?;
            Some(millis).filter(|millis| millstream_model::time::in_range(*millis))?;
            number(1, seconds, out);
            number(2, nanos, out);
            Some(())
        }
        (Shape::Date, Cell::Date(days)) if date_in_range(days) => {
            let mut iso = Vec::with_capacity(10);
            json::date(i64::from(days), &mut iso);
            for (place, digits) in iso.split(|byte| *byte == b'-').enumerate() {
                let part = digits.iter().fold(0, |part, digit| part * 10 + i64::from(digit - b'0'));
                number(place as u32 + 1, part, out);
            }
            Some(())
        }
        (Shape::DecimalText, cell @ Cell::Decimal(..)) => field(1, LEN, out, |out| {
            delimited_always(out, |out| cell.write_text(out));
            Some(())
        }),
        (Shape::DecimalBytes, Cell::Decimal(value, precision, scale)) => {
            let (bytes, from) = shortest(value);
            push_key(1, LEN, out);
            push_bytes(&bytes[from..], out);
            number(2, i64::from(precision), out);
            number(3, i64::from(scale), out);
            Some(())
        }
        _ => None,
    }
}

/// Appends a field without presence: its key and what `write` appends, unless that is the default, which is all zeros.
pub(super) fn field(
    number: u32,
    wire: u8,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let start = out.len();
    push_key(number, wire, out);
    let from = out.len();
    write(out)?;
    if out[from..].iter().all(|byte| *byte == 0) {
        out.truncate(start);
    }
    Some(())
}

fn number(number: u32, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        push_key(number, VARINT, out);
        push_varint(value as u64, out);
    }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn delimited_always(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let done: Result<(), Infallible> = delimited(out, |out| {
        write(out);
        Ok(())
    });
    match done {
        Ok(()) => {}
    }
}
