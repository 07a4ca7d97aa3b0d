//! Values of arrays into columns, where no digit is lost: numbers, times and texts by the rules of the other formats. Never
//! enters: buffers that are too short, which no array has.

use std::ops::Range;

use super::array::{Array, Cells, bit, chunk};
use super::body::Grown;
use super::schema::{Int, Kind};
use crate::avro::{Whole, push_text, push_whole};
use crate::column::Column;
use crate::decimal::rescaled;

/// Why values are no rows.
pub(super) enum Fault {
    /// A row of the array, and what of it: `required field a.b is missing`.
    Row(usize, String),
    Other(String),
}

impl From<String> for Fault {
    fn from(text: String) -> Fault {
        Fault::Other(text)
    }
}

/// Where values go.
pub(super) struct To<'c> {
    pub(super) column: &'c mut Column,
    pub(super) required: bool,
    pub(super) path: &'c str,
}

/// About how many bytes a column takes for a row, texts and items apart.
pub(super) fn width(column: &Column) -> usize {
    match column {
        Column::Bool(_) => 2,
        Column::Int32(_) | Column::Date(_) | Column::Text(_) | Column::Bytes(_) | Column::List { .. } => 5,
        Column::Decimal { .. } => 17,
        Column::Struct { object, .. } => 1 + object.declared.iter().map(|d| width(&d.column)).sum::<usize>(),
        _ => 9,
    }
}

/// Appends values of an array; `row` is the one that all of them belong to, where they are items of its list.
pub(super) fn push(
    array: &Array<'_>,
    places: Range<usize>,
    to: To<'_>,
    row: Option<usize>,
    grown: &mut Grown,
) -> Result<(), Fault> {
    let To { column, required, path } = to;
    // What is in structs and dictionaries counts where it is taken.
    let own = match (&array.cells, &*column) {
        (Cells::Dictionary(..), _) => 0,
        (_, Column::Struct { .. }) => 1,
        (_, column) => width(column),
    };
    grown.add(own.saturating_mul(places.len()))?;
    for place in places {
        let row = row.unwrap_or(place);
        if array.is_null(place) {
            if required {
                return Err(Fault::Row(row, format!("required field {path} is missing")));
            }
            grown.add(width(column) - own)?;
            column.push_null();
            continue;
        }
        let wrong = |column: &Column| Fault::Row(row, format!("field {path} is not {}", column.expected()));
        match (&array.cells, &mut *column) {
            (Cells::Dictionary(of, places, values), column) => {
                let found = whole(*of, places, place).and_then(|at| values.find(usize::try_from(at).ok()?));
                let Some((values, at)) = found else {
                    let why =
                        format!("field {path} is a value that is not in its dictionary of {}", values.len);
                    return Err(Fault::Row(row, why));
                };
                push(values, at..at + 1, To { column, required, path }, Some(row), grown)?;
            }
            (Cells::Struct(parts), Column::Struct { object, rows, nulls, .. }) => {
                for declared in &mut object.declared {
                    let part = parts.iter().find(|(name, _)| *name == declared.name.as_ref());
                    let to = To {
                        column: &mut declared.column,
                        required: declared.required,
                        path: &declared.path,
                    };
                    match part {
                        Some((_, part)) => push(part, place..place + 1, to, Some(row), grown)?,
                        None if to.required => {
                            return Err(Fault::Row(row, format!("required field {} is missing", to.path)));
                        }
                        None => {
                            grown.add(width(to.column))?;
                            to.column.push_null();
                        }
                    }
                }
                Column::struct_done(rows, nulls);
            }
            (
                Cells::List(_, values) | Cells::FixedList(_, values),
                Column::List { item, item_nullable, items, ends, nulls, read, .. },
            ) => {
                let of = match &array.cells {
                    Cells::List(ends, _) => ends.of(place, values.len),
                    Cells::FixedList(size, _) => Some(place * size..(place + 1) * size),
                    _ => None,
                };
                let Some(of) = of else { return Err(outside(path)) };
                let count = of.len();
                push(values, of, To { column: item, required: !*item_nullable, path }, Some(row), grown)?;
                if *read {
                    *items += i32::try_from(count).map_err(|_| outside(path))?;
                    Column::list_done(*items, ends, nulls);
                }
            }
            (Cells::Bytes { text, ends, bytes }, column) => {
                let value = ends.of(place, bytes.len()).and_then(|of| bytes.get(of));
                let value = value.ok_or_else(|| outside(path))?;
                grown.add(value.len())?;
                push_bytes(value, *text, column).ok_or_else(|| wrong(column))?;
            }
            (Cells::Views { text, views, bytes }, column) => {
                let value = view(views, bytes, place).ok_or_else(|| outside(path))?;
                grown.add(value.len())?;
                push_bytes(value, *text, column).ok_or_else(|| wrong(column))?;
            }
            (Cells::Fixed(Kind::FixedBytes(_), width, bytes), column) => {
                let value = bytes.get(place * width..(place + 1) * width).ok_or_else(|| outside(path))?;
                grown.add(value.len())?;
                push_bytes(value, false, column).ok_or_else(|| wrong(column))?;
            }
            (Cells::Fixed(kind, _, bytes), column) => {
                push_fixed(*kind, bytes, place, column).ok_or_else(|| wrong(column))?;
            }
            (Cells::Bool(bits), Column::Bool(values)) => values.push(bit(bits, place)),
            (_, column) => return Err(wrong(column)),
        }
    }
    Ok(())
}

fn outside(path: &str) -> Fault {
    Fault::Other(format!("field {path} has a value that lies outside of its buffers"))
}

/// A text, or bytes that are one in a column of text.
fn push_bytes(value: &[u8], is_text: bool, column: &mut Column) -> Option<()> {
    if is_text || matches!(column, Column::Text(_)) {
        std::str::from_utf8(value).ok()?;
    }
    match column {
        Column::Text(values) | Column::Bytes(values) => values.push(value),
        column if is_text => push_text(value, column)?,
        _ => return None,
    }
    Some(())
}

/// The bytes of a view: twelve of them in it, or where it says.
fn view<'v>(views: &'v [u8], bytes: &'v [super::body::Bytes<'_>], place: usize) -> Option<&'v [u8]> {
    let view = views.get(place.checked_mul(16)?..)?.get(..16)?;
    let word = |at: usize| Some(u32::from_le_bytes(*view.get(at..)?.first_chunk()?) as usize);
    let length = word(0)?;
    match length {
        0..=12 => view.get(4..4 + length),
        _ => bytes.get(word(8)?)?.get(word(12)?..)?.get(..length),
    }
}

/// An integer; nothing where it is above those of 64 bits with a sign.
fn whole(of: Int, bytes: &[u8], place: usize) -> Option<i64> {
    Some(match (of.bytes, of.signed) {
        (1, true) => i64::from(i8::from_le_bytes(chunk(bytes, place)?)),
        (1, false) => i64::from(u8::from_le_bytes(chunk(bytes, place)?)),
        (2, true) => i64::from(i16::from_le_bytes(chunk(bytes, place)?)),
        (2, false) => i64::from(u16::from_le_bytes(chunk(bytes, place)?)),
        (4, true) => i64::from(i32::from_le_bytes(chunk(bytes, place)?)),
        (4, false) => i64::from(u32::from_le_bytes(chunk(bytes, place)?)),
        (_, true) => i64::from_le_bytes(chunk(bytes, place)?),
        (_, false) => i64::try_from(u64::from_le_bytes(chunk(bytes, place)?)).ok()?,
    })
}

/// A value of fixed width.
fn push_fixed(kind: Kind, bytes: &[u8], place: usize, column: &mut Column) -> Option<()> {
    match (kind, column) {
        // The one integer that 64 bits with a sign do not hold.
        (Kind::Int(Int { bytes: 8, signed: false }), Column::Decimal { values, precision, scale }) => {
            let value = u64::from_le_bytes(chunk(bytes, place)?);
            values.push(rescaled(i128::from(value), 0, *precision, *scale)?);
        }
        (Kind::Int(of), column) => push_whole(whole(of, bytes, place)?, Whole::Number, column)?,
        (Kind::Date32, column) => {
            push_whole(i64::from(i32::from_le_bytes(chunk(bytes, place)?)), Whole::Date, column)?;
        }
        (Kind::Date64, column) => {
            let millis = i64::from_le_bytes(chunk(bytes, place)?);
            push_whole(millis.div_euclid(86_400_000), Whole::Date, column)?;
        }
        (Kind::Timestamp(per_second), column) => {
            let value = i64::from_le_bytes(chunk(bytes, place)?);
            match per_second {
                1 => push_whole(value.checked_mul(1_000)?, Whole::Instant(1_000), column)?,
                _ => push_whole(value, Whole::Instant(per_second), column)?,
            }
        }
        (Kind::Float(width), Column::Float(values)) => {
            let value = match width {
                2 => half(u16::from_le_bytes(chunk(bytes, place)?)),
                4 => f64::from(f32::from_le_bytes(chunk(bytes, place)?)),
                _ => f64::from_le_bytes(chunk(bytes, place)?),
            };
            values.push(Some(value).filter(|value| value.is_finite())?);
        }
        (Kind::Decimal(width, from), Column::Decimal { values, precision, scale }) => {
            let value = match width {
                4 => i128::from(i32::from_le_bytes(chunk(bytes, place)?)),
                8 => i128::from(i64::from_le_bytes(chunk(bytes, place)?)),
                16 => i128::from_le_bytes(chunk(bytes, place)?),
                _ => {
                    let all: [u8; 32] = chunk(bytes, place)?;
                    let value = i128::from_le_bytes(*all.first_chunk()?);
                    // Above are nothing but copies of its sign.
                    let sign = if value < 0 { 0xff } else { 0 };
                    Some(value).filter(|_| all[16..].iter().all(|byte| *byte == sign))?
                }
            };
            values.push(rescaled(value, i64::from(from), *precision, *scale)?);
        }
        _ => return None,
    }
    Some(())
}

/// A float of 16 bits: a sign, five bits of an exponent, ten of a fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1_024.0);
    let value = match exponent {
        0 => fraction * 2f64.powi(-14),
        0x1f => return if fraction == 0.0 { f64::INFINITY } else { f64::NAN },
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -value } else { value }
}
