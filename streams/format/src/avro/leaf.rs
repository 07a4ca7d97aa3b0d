//! Single values of Avro into columns, where no digit is lost; numbers and texts of Arrow go by the same rules. Never enters: lists, records, where a value stands.

use super::schema::{Decimal, Whole};
use crate::column::Column;
use crate::decimal::{rescaled, unscaled};
use crate::json::scalar;

pub(crate) fn push_whole(value: i64, whole: Whole, column: &mut Column) -> Option<()> {
    match (whole, column) {
        (Whole::Instant(per_second), Column::Instant(values)) => {
            let millis = value.div_euclid(per_second / 1_000);
            values.push(Some(millis).filter(|at| millstream_model::time::in_range(*at))?);
        }
        (Whole::Instant(1_000), Column::Micros(values)) => {
            values.push(value.checked_mul(1_000).filter(|at| scalar::micros_in_range(*at))?);
        }
        (Whole::Instant(per_second), Column::Micros(values)) => {
            let micros = value.div_euclid(per_second / 1_000_000);
            values.push(Some(micros).filter(|at| scalar::micros_in_range(*at))?);
        }
        (Whole::Number | Whole::Date, Column::Date(values)) => {
            values.push(i32::try_from(value).ok().filter(|day| scalar::date_in_range(*day))?);
        }
        (Whole::Number, Column::Instant(values)) => {
            values.push(Some(value).filter(|at| millstream_model::time::in_range(*at))?);
        }
        (Whole::Number, Column::Micros(values)) => {
            values.push(Some(value).filter(|at| scalar::micros_in_range(*at))?);
        }
        (_, Column::Int32(values)) => values.push(i32::try_from(value).ok()?),
        (_, Column::Int64(values)) => values.push(value),
        // Above 2^53 not every number has a double.
        (Whole::Number, Column::Float(values)) if (value as f64) as i128 == i128::from(value) => {
            values.push(value as f64);
        }
        (Whole::Number, Column::Decimal { values, precision, scale }) => {
            values.push(rescaled(i128::from(value), 0, *precision, *scale)?);
        }
        _ => return None,
    }
    Some(())
}

pub(super) fn push_bytes(bytes: &[u8], decimal: Option<Decimal>, column: &mut Column) -> Option<()> {
    match (column, decimal) {
        (Column::Bytes(values), _) => values.push(bytes),
        (Column::Text(values), None) => {
            std::str::from_utf8(bytes).ok()?;
            values.push(bytes);
        }
        (Column::Decimal { values, precision, scale }, Some(of)) => {
            values.push(rescaled(unscaled(bytes)?, i64::from(of.scale), *precision, *scale)?);
        }
        _ => return None,
    }
    Some(())
}

pub(crate) fn push_text(text: &[u8], column: &mut Column) -> Option<()> {
    match column {
        Column::Text(values) | Column::Bytes(values) => values.push(text),
        Column::Instant(values) => values.push(scalar::instant(text)?),
        Column::Micros(values) => values.push(scalar::instant_micros(text)?),
        Column::Date(values) => values.push(scalar::date(text)?),
        Column::Decimal { values, precision, scale } if scalar::is_number(text) => {
            values.push(scalar::decimal(text, *precision, *scale)?);
        }
        _ => return None,
    }
    Some(())
}

/// Sixteen bytes as a UUID is written.
pub(super) fn uuid_text(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}
