//! One value as text: as it is read by people, and as JSON, which has lists and records too. Never enters: whole answers.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The value as text without quotes; lists and records as JSON. Nothing of a null.
pub(crate) fn text(column: &dyn Array, row: usize) -> Result<Option<String>, ArrowError> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Ok(None);
    }
    if column.data_type().is_nested() {
        let mut out = String::new();
        json(column, row, &mut out)?;
        return Ok(Some(out));
    }
    Ok(Some(plain(column, row)?))
}

fn plain(column: &dyn Array, row: usize) -> Result<String, ArrowError> {
    let options = FormatOptions::new();
    ArrayFormatter::try_new(column, &options)?.value(row).try_to_string()
}

/// Adds the value as JSON: numbers with all of their digits, times and what JSON has no type for as strings.
pub(crate) fn json(column: &dyn Array, row: usize, out: &mut String) -> Result<(), ArrowError> {
    if column.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match column.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::List(_) => list(column.as_list::<i32>().value(row).as_ref(), out)?,
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row).as_ref(), out)?,
        DataType::FixedSizeList(..) => list(column.as_fixed_size_list().value(row).as_ref(), out)?,
        DataType::Struct(fields) => {
            out.push('{');
            for (at, (field, values)) in fields.iter().zip(column.as_struct().columns()).enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                string(field.name(), out);
                out.push(':');
                json(values, row, out)?;
            }
            out.push('}');
        }
        kind => {
            let text = plain(column, row)?;
            // No number of JSON is infinite, or none.
            let is_number = kind.is_numeric()
                && !text.contains(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E');
            match is_number || kind == &DataType::Boolean {
                true => out.push_str(&text),
                false => string(&text, out),
            }
        }
    }
    Ok(())
}

fn list(items: &dyn Array, out: &mut String) -> Result<(), ArrowError> {
    out.push('[');
    for at in 0..items.len() {
        out.push_str(if at > 0 { "," } else { "" });
        json(items, at, out)?;
    }
    out.push(']');
    Ok(())
}

/// Adds a string of JSON.
pub(crate) fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
