//! Tables: read whole, in the two forms in which they are used, as columns for joins and as rows by key for functions'
//! lookups (the key's text, the row as JSON). Never enters: where they come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use millstream_spec::{Diagnostic, Pipeline, ast, code};

use crate::connectors::Maker;
use crate::error::WorkerError;
use crate::schema::arrow_schema;

/// A table as it was read.
pub struct Loaded {
    /// All its rows.
    pub batch: RecordBatch,
    /// Rows by key, shared with functions.
    pub lookup: Arc<millstream_wasm::Table>,
}

/// The columns of a table: as it is, or as declared where it cannot be read now, since it may be made later.
pub async fn columns(
    pipeline: &Pipeline,
    table: &ast::Table,
    maker: &Maker<'_>,
) -> Result<SchemaRef, Box<Diagnostic>> {
    let declared = table.schema.as_ref().and_then(|s| pipeline.schemas.get(&s.value));
    match (maker.table(table)?.load().await, declared) {
        (Ok(snapshot), _) => Ok(snapshot.schema),
        (Err(_), Some(schema)) => Ok(arrow_schema(schema)),
        (Err(error), None) => {
            let help = "declare its columns with `schema`, or make the file first";
            Err(Box::new(Diagnostic::new(&code::SAMPLE, table.id.span, error.to_string()).help(help)))
        }
    }
}

/// Reads every table of the pipeline.
pub async fn load_all(
    pipeline: &Pipeline,
    maker: &Maker<'_>,
) -> Result<BTreeMap<String, Loaded>, WorkerError> {
    let mut tables = BTreeMap::new();
    for (id, table) in &pipeline.tables {
        let mut reader = maker.table(table).map_err(|d| WorkerError::Setup(d.message))?;
        let snapshot = reader.load().await?;
        let batch = concat_batches(&snapshot.schema, &snapshot.batches)?;
        let keys: Vec<&str> = table.key.iter().map(|k| k.value.as_str()).collect();
        let lookup = Arc::new(millstream_wasm::Table::new(rows(&batch, &keys)?));
        tables.insert(id.clone(), Loaded { batch, lookup });
    }
    Ok(tables)
}

/// Rows by the text of their key; the parts of a key of several columns are parted by a zero byte.
fn rows(batch: &RecordBatch, keys: &[&str]) -> Result<Vec<(Bytes, Bytes)>, WorkerError> {
    let options = FormatOptions::default();
    let columns: Result<Vec<ArrayFormatter<'_>>, _> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect();
    let columns = columns?;
    let schema = batch.schema();
    let mut places = Vec::new();
    for key in keys {
        places.push(schema.index_of(key)?);
    }
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let key: Vec<String> = places.iter().map(|p| columns[*p].value(row).to_string()).collect();
        let mut object = serde_json::Map::new();
        for (field, (column, values)) in schema.fields().iter().zip(columns.iter().zip(batch.columns())) {
            if !values.is_null(row) {
                object.insert(field.name().clone(), column.value(row).to_string().into());
            }
        }
        let value = serde_json::Value::Object(object).to_string();
        rows.push((Bytes::from(key.join("\0")), Bytes::from(value)));
    }
    Ok(rows)
}
