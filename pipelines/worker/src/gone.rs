//! Rows that are gone, on their way through topics. Batches of columns are cut so that a record's rows are all there or all gone, told
//! by a header; where rows are records, one that is gone has no value, and is known by the record's key, or by a header where that is not
//! all that it is known by. Never enters: why a row is gone (the engine), what a sink's target does about it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, make_array, new_null_array,
};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, SortField};
use millstream_client::{HeaderView, RecordView};
use millstream_connector::sink::Change;
use millstream_format::{BadRecord, Decoder, Format, json};

use crate::error::WorkerError;

/// The header of a record of columns whose rows are gone.
const CHANGE: &str = "millstream-change";
const DELETE: &[u8] = b"delete";
/// The header of a record without a value whose key is not what its row is known by: these columns, as a JSON object.
pub const ROW: &str = "millstream-row";

/// And what tells people of such a record the columns that its rows are known by: their names, as a JSON list.
const KNOWN_BY: &str = "millstream-known-by";

/// The headers of a record whose rows are all gone, with [`names`] of what they are known by.
pub fn headers(names: &[u8]) -> [HeaderView<'_>; 2] {
    let header = |key: &'static str, value| HeaderView { key: key.as_bytes(), value: Some(value) };
    [header(CHANGE, DELETE), header(KNOWN_BY, names)]
}

/// Names of columns, for [`headers`].
pub fn names(known_by: &[String]) -> Vec<u8> {
    serde_json::Value::from(known_by).to_string().into_bytes()
}

/// The rows of a record of columns, of which all are gone: what they are known by.
pub fn known(record: &RecordView<'_>, rows: &RecordBatch) -> Result<RecordBatch, WorkerError> {
    let names = record.headers.find_last(KNOWN_BY).and_then(|header| header.value).unwrap_or_default();
    let names: Vec<String> = serde_json::from_slice(names).map_err(|error| {
        WorkerError::Fatal(format!("a record's header {KNOWN_BY} is no list of columns: {error}"))
    })?;
    let places: Result<Vec<usize>, ArrowError> =
        names.iter().map(|name| rows.schema_ref().index_of(name)).collect();
    Ok(rows.project(&places?)?)
}

/// What the rows of a record of columns do.
pub fn change_of(record: &RecordView<'_>) -> Result<Change, WorkerError> {
    match record.headers.find_last(CHANGE).map(|header| header.value.unwrap_or_default()) {
        None => Ok(Change::Upsert),
        Some(DELETE) => Ok(Change::Delete),
        Some(other) => Err(WorkerError::Fatal(format!(
            "a record's header {CHANGE} is {:?}, which this version does not know: a later one wrote it, and reads it",
            other.escape_ascii().to_string()
        ))),
    }
}

/// Cuts rows so that those which are gone stand apart. Rows that are known by the same keep their order, others need none: so there are
/// as few parts as the row has that comes and goes most. Of each part, whether its rows are gone, and which they are.
pub fn apart(
    batch: &RecordBatch,
    gone: &BooleanArray,
    known_by: &[String],
) -> Result<Vec<(bool, UInt32Array)>, ArrowError> {
    let columns = columns(batch, known_by)?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    // A group of all rows is known by nothing.
    let rows = if columns.is_empty() { None } else { Some(converter.convert_columns(&columns)?) };
    let mut last: HashMap<Option<Row<'_>>, usize> = HashMap::new();
    let mut parts: Vec<Vec<u32>> = Vec::new();
    for row in 0..batch.num_rows() {
        // Parts of rows that are there and of rows that are gone take turns.
        let turn = usize::from(gone.value(row));
        let known = rows.as_ref().map(|rows| rows.row(row));
        let part = match last.entry(known) {
            Entry::Occupied(mut before) => {
                let part = before.get() + (before.get() + turn) % 2;
                *before.get_mut() = part;
                part
            }
            Entry::Vacant(first) => *first.insert(turn),
        };
        if parts.len() <= part {
            parts.resize_with(part + 1, Vec::new);
        }
        parts[part].push(row as u32);
    }
    let parts = parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    Ok(parts.map(|(at, rows)| (at % 2 == 1, UInt32Array::from(rows))).collect())
}

fn columns(batch: &RecordBatch, names: &[String]) -> Result<Vec<ArrayRef>, ArrowError> {
    names.iter().map(|name| Ok(Arc::clone(batch.column(batch.schema_ref().index_of(name)?)))).collect()
}

/// Reads which row a record without a value takes away.
pub struct GoneReader {
    /// The columns that rows are known by.
    known: SchemaRef,
    /// The one that is the record's key, where it is all of them.
    is_key: bool,
    decoder: Decoder,
}

impl GoneReader {
    /// For records of a topic with the key `key` whose rows have the columns of `schema`, and are known by `known_by`.
    pub fn new(schema: &Schema, known_by: &[String], key: &[String]) -> Result<GoneReader, WorkerError> {
        let places: Result<Vec<usize>, ArrowError> =
            known_by.iter().map(|name| schema.index_of(name)).collect();
        let known = Arc::new(schema.project(&places?)?);
        let all: Vec<usize> = (0..known.fields().len()).collect();
        let decoder = Decoder::new(&Format::Json, &known, &all).map_err(|error| {
            WorkerError::Setup(format!("rows known by {}, which may go: {error}", known_by.join(", ")))
        })?;
        Ok(GoneReader { is_key: !known_by.is_empty() && known_by == key, known, decoder })
    }

    /// The row's columns that it is known by, or why the record does not say which it is.
    pub fn read(&mut self, record: &RecordView<'_>) -> Result<RecordBatch, String> {
        let object = self.object(record)?;
        self.decode(&object)
    }

    fn decode(&mut self, object: &[u8]) -> Result<RecordBatch, String> {
        self.decoder.push(object).map_err(|why| not_known(object, &why))?;
        Ok(self.decoder.finish())
    }

    /// The same as a JSON object, as the record has it: whether it is what the columns want is not looked at.
    pub fn object(&self, record: &RecordView<'_>) -> Result<Vec<u8>, String> {
        self.object_of(record.key, record.headers.find_last(ROW).and_then(|header| header.value))
    }

    fn object_of(&self, key: Option<&[u8]>, told: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let names = || self.known.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        match (told, key) {
            (Some(told), _) => Ok(told.to_vec()),
            (None, Some(key)) if self.is_key => {
                let field = self.known.field(0);
                let value = in_json(key, field.data_type());
                let value = value.ok_or_else(|| {
                    format!(
                        "it has no value, and its key is no text: which {} is gone is not known",
                        field.name()
                    )
                })?;
                Ok(format!("{{{}:{value}}}", quoted(field.name())).into_bytes())
            }
            (None, None) if self.is_key => {
                Err(format!("it has neither value nor key: which {} is gone is not known", names()))
            }
            (None, _) => Err(format!(
                "it has no value, and no header {ROW} that says which row is gone, by {}",
                names()
            )),
        }
    }
}

/// Of a record without a value: that what it says is gone is no row.
pub fn not_known(object: &[u8], why: &BadRecord) -> String {
    let text = String::from_utf8_lossy(object);
    format!("it has no value, and which row is gone, {text}, is not known: {why}")
}

/// The text of a record's key as a value of JSON.
fn in_json(key: &[u8], kind: &DataType) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary);
    let is_plain = || {
        serde_json::from_str::<&serde_json::value::RawValue>(text)
            .is_ok_and(|_| text != "null" && !text.starts_with(['"', '{', '[']))
    };
    Some(if !is_text && is_plain() { text.to_owned() } else { quoted(text) })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether records of a topic with this key can say that a row is gone that is known by these columns: of such a row nothing else is
/// known. The one group of all rows is known by nothing, and nothing says that it is gone.
pub fn can_be_told(schema: &Schema, known_by: &[String], key: &[String]) -> bool {
    let is_known = !known_by.is_empty() && key.iter().all(|column| known_by.contains(column));
    is_known && (known_by.len() == key.len() || check(schema, known_by).is_ok())
}

/// Whether rows that are known by these columns can be named in a header.
pub fn check(schema: &Schema, known_by: &[String]) -> Result<(), String> {
    let fields = known_by.iter().filter_map(|name| schema.field_with_name(name).ok().cloned());
    json::check(&Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows of which only some columns are known, with all columns of `schema`: others are null or, where they may not be, empty.
pub fn with_all_columns(schema: &SchemaRef, known: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let rows = known.num_rows();
    let column = |field: &arrow::datatypes::FieldRef| match known.column_by_name(field.name()) {
        Some(column) => Ok(Arc::clone(column)),
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
        None => {
            let empty =
                new_null_array(field.data_type(), rows).to_data().into_builder().nulls(None).build()?;
            Ok(make_array(empty))
        }
    };
    let columns: Result<Vec<ArrayRef>, ArrowError> = schema.fields().iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options)
}

#[cfg(test)]
mod tests;
