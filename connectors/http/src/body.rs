//! A row as the body of a request: a JSON object of its columns, nested ones too. Decimals and times are text, so that no
//! digit is lost; a column that is null is null. Never enters: which columns there are.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_connector::cell::{self, Cell};
use serde_json::Value;

/// How deep a value may be nested.
const DEPTH_MAX: usize = 32;

/// The first column that has no form in JSON.
pub fn check(columns: &Schema) -> Result<(), String> {
    let fields = columns.fields().iter();
    let bad = fields.into_iter().find(|field| !is_supported(field.data_type(), 0));
    bad.map_or(Ok(()), |field| {
        Err(format!(
            "column \"{}\" has the type {}, which has no form in JSON; leave it out, or turn it into text",
            field.name(),
            field.data_type()
        ))
    })
}

fn is_supported(data_type: &DataType, depth: usize) -> bool {
    match data_type {
        _ if depth > DEPTH_MAX => false,
        DataType::List(item) | DataType::LargeList(item) => is_supported(item.data_type(), depth + 1),
        DataType::Struct(fields) => fields.iter().all(|field| is_supported(field.data_type(), depth + 1)),
        other => cell::is_supported(other),
    }
}

/// A row of a batch that [`check`] has passed.
pub fn body(rows: &RecordBatch, row: usize) -> String {
    let fields = rows.schema_ref().fields().iter().zip(rows.columns());
    let object = fields.map(|(field, column)| (field.name().clone(), value(column.as_ref(), row)));
    Value::Object(object.collect()).to_string()
}

/// The value of a column as text, for the name of a request; none where it is null.
pub(crate) fn text(rows: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = rows.column_by_name(column)?;
    match value(column.as_ref(), row) {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let items = |items: &dyn Array| Value::Array((0..items.len()).map(|at| value(items, at)).collect());
    match column.data_type() {
        DataType::List(_) => return items(column.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => return items(column.as_list::<i64>().value(row).as_ref()),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let object = columns.map(|(field, column)| (field.name().clone(), value(column.as_ref(), row)));
            return Value::Object(object.collect());
        }
        _ => {}
    }
    match cell::cell(column, row) {
        Cell::Null => Value::Null,
        Cell::Boolean(value) => value.into(),
        Cell::Integer(value) => match i64::try_from(value) {
            Ok(value) => value.into(),
            Err(_) => u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from),
        },
        // Infinities and what is no number have no form.
        Cell::Float(value) => serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number),
        Cell::Decimal { unscaled, scale } => cell::decimal_text(unscaled, scale).into(),
        Cell::Text(text) => text.into(),
        Cell::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Cell::Timestamp(micros) => cell::timestamp_text(micros).into(),
        Cell::Date(days) => cell::date_text(days).into(),
    }
}
