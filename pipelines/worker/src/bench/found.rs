//! Values as they were found in a topic or a target, of any encoding, and their text. Numbers keep their digits, since
//! money must stay exact. Never enters: what was wanted (`judge.rs`).

use std::fmt::Write as _;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use millstream_connector::cell::{self, Cell};
use millstream_sqlite::SqlValue;
use serde_json::value::RawValue;

/// A row: its columns, as they came.
pub type Row = Vec<(String, Found)>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, in digits.
    Number(String),
    /// Text.
    Text(String),
    /// Bytes, as hexadecimal digits.
    Bytes(String),
    /// An instant, in microseconds since 1970.
    Time(i64),
    /// A day, counted from 1970-01-01.
    Date(i32),
    /// A number of a SQLite table, which has no truth values and no times.
    SqlNumber(String),
    /// Text of a SQLite table, which has no decimals and no times, or of a record's key.
    SqlText(String),
    /// A list.
    List(Vec<Found>),
    /// A mapping.
    Map(Row),
}

/// How deep nested values are looked into; deeper ones stay text.
const DEPTH_MAX: usize = 64;

impl Found {
    /// A value of JSON text.
    pub fn of_json(text: &RawValue) -> Found {
        json(text, 0)
    }

    /// A value of a column.
    pub fn of_column(column: &dyn Array, row: usize) -> Found {
        if column.is_null(row) {
            return Found::Null;
        }
        let items = |values: &dyn Array| (0..values.len()).map(|i| Found::of_column(values, i)).collect();
        match column.data_type() {
            DataType::List(_) => Found::List(items(&column.as_list::<i32>().value(row))),
            DataType::LargeList(_) => Found::List(items(&column.as_list::<i64>().value(row))),
            DataType::Struct(fields) => {
                let columns = column.as_struct().columns().iter();
                let named = fields.iter().zip(columns);
                Found::Map(named.map(|(f, c)| (f.name().clone(), Found::of_column(c, row))).collect())
            }
            kind if cell::is_supported(kind) => match cell::cell(column, row) {
                Cell::Null => Found::Null,
                Cell::Boolean(value) => Found::Bool(value),
                Cell::Integer(value) => Found::Number(value.to_string()),
                Cell::Float(value) => Found::Number(value.to_string()),
                Cell::Decimal { unscaled, scale } => Found::Number(cell::decimal_text(unscaled, scale)),
                Cell::Text(text) => Found::Text(text.to_owned()),
                Cell::Bytes(bytes) => Found::Bytes(hexadecimal(bytes)),
                Cell::Timestamp(micros) => Found::Time(micros),
                Cell::Date(days) => Found::Date(days),
            },
            kind => Found::Text(format!("a value of the type {kind}")),
        }
    }

    /// A value of a SQLite table.
    pub fn of_sql(value: SqlValue) -> Found {
        match value {
            SqlValue::Null => Found::Null,
            SqlValue::Integer(value) => Found::SqlNumber(value.to_string()),
            SqlValue::Real(value) => Found::SqlNumber(value.to_string()),
            SqlValue::Text(text) => Found::SqlText(text),
            SqlValue::Blob(bytes) => Found::Bytes(hexadecimal(&bytes)),
        }
    }

    /// As JSON on one line.
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Found::Null => "null".to_owned(),
            Found::Bool(value) => value.to_string(),
            Found::Number(number) | Found::SqlNumber(number) => number.clone(),
            Found::Text(value) | Found::SqlText(value) | Found::Bytes(value) => text(value),
            Found::Time(micros) => text(&cell::timestamp_text(*micros)),
            Found::Date(days) => text(&cell::date_text(*days)),
            Found::List(items) => {
                let items: Vec<String> = items.iter().map(Found::to_json).collect();
                format!("[{}]", items.join(","))
            }
            Found::Map(columns) => row_json(columns),
        }
    }
}

/// A row as JSON on one line.
pub fn row_json(row: &Row) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in row.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}:{}", serde_json::Value::from(name.as_str()), value.to_json());
    }
    text + "}"
}

/// The rows of a batch.
pub fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let row = |at: usize| {
        let columns = schema.fields().iter().zip(batch.columns());
        columns.map(|(field, column)| (field.name().clone(), Found::of_column(column, at))).collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The row of a record of JSON; one that is no object is a row of one column, `value`.
pub fn row_of_json(record: &[u8]) -> Row {
    match serde_json::from_slice::<Box<RawValue>>(record).map(|raw| Found::of_json(&raw)) {
        Ok(Found::Map(columns)) => columns,
        Ok(other) => vec![("value".to_owned(), other)],
        Err(_) => {
            vec![("value".to_owned(), Found::Text(String::from_utf8_lossy(record).into_owned()))]
        }
    }
}

fn json(raw: &RawValue, depth: usize) -> Found {
    let text = raw.get();
    let plain = || Found::Text(text.to_owned());
    if depth > DEPTH_MAX {
        return plain();
    }
    match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str::<std::collections::BTreeMap<String, Box<RawValue>>>(text)
            .map_or_else(
                |_| plain(),
                |map| Found::Map(map.into_iter().map(|(name, raw)| (name, json(&raw, depth + 1))).collect()),
            ),
        Some(b'[') => serde_json::from_str::<Vec<Box<RawValue>>>(text).map_or_else(
            |_| plain(),
            |items| Found::List(items.iter().map(|raw| json(raw, depth + 1)).collect()),
        ),
        Some(b'"') => serde_json::from_str(text).map_or_else(|_| plain(), Found::Text),
        Some(b'n') => Found::Null,
        Some(b't') => Found::Bool(true),
        Some(b'f') => Found::Bool(false),
        _ => Found::Number(text.to_owned()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, StringArray, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn values_of_all_encodings_have_one_text() {
        let record =
            br#" {"b": 120.50, "a":[1,{"x":null}], "t":"\u00e9", "n":9007199254740993.25, "f":false}"#;
        assert_eq!(
            row_json(&row_of_json(record)),
            r#"{"a":[1,{"x":null}],"b":120.50,"f":false,"n":9007199254740993.25,"t":"é"}"#
        );
        assert_eq!(row_json(&row_of_json(b"7")), r#"{"value":7}"#);
        assert_eq!(row_json(&row_of_json(b"{\"a\":")), r#"{"value":"{\"a\":"}"#);
        let money = Decimal128Array::from(vec![Some(12_050), None]).with_precision_and_scale(18, 2).unwrap();
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(StringArray::from(vec!["A", "B"])) as ArrayRef),
            ("at", Arc::new(TimestampMillisecondArray::from(vec![0, 250])) as ArrayRef),
            ("total", Arc::new(money) as ArrayRef),
        ]);
        let texts: Vec<String> = rows_of(&batch.unwrap()).iter().map(row_json).collect();
        assert_eq!(
            texts,
            [
                r#"{"id":"A","at":"1970-01-01T00:00:00.000Z","total":120.50}"#,
                r#"{"id":"B","at":"1970-01-01T00:00:00.250Z","total":null}"#
            ]
        );
    }
}
