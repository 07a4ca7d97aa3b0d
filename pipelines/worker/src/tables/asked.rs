//! A table of a database that is asked for the rows of keys: keys as JSON, rows from JSON. Never enters: which keys, and for how long
//! what was found counts.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_connector::Lookup;
use millstream_engine::stage::lookups::LookupSpec;
use millstream_format::{Decoder, Encoder, Format};
use tokio::sync::Mutex;

use crate::error::WorkerError;

/// How many keys are asked for at once.
const KEYS_MAX: usize = 4_096;

/// See the module. Clones ask over the same connection.
#[derive(Clone)]
pub struct AskedTable {
    id: Arc<str>,
    schema: SchemaRef,
    spec: LookupSpec,
    lookup: Arc<Mutex<Box<dyn Lookup>>>,
}

impl AskedTable {
    /// A table with these columns.
    pub(super) fn new(
        id: &str,
        schema: &SchemaRef,
        spec: LookupSpec,
        lookup: Box<dyn Lookup>,
    ) -> Result<AskedTable, WorkerError> {
        let lookup = Arc::new(Mutex::new(lookup));
        Ok(AskedTable { id: id.into(), schema: Arc::clone(schema), spec, lookup })
    }

    /// By what it is asked, and how long that counts.
    pub fn spec(&self) -> &LookupSpec {
        &self.spec
    }

    /// The rows of some keys.
    pub async fn find(&self, keys: &RecordBatch) -> Result<RecordBatch, WorkerError> {
        let bad = |what: String| WorkerError::Fatal(format!("table {}: {what}", self.id));
        let columns: Vec<usize> = (0..self.schema.fields().len()).collect();
        let mut decoder =
            Decoder::new(&Format::Json, &self.schema, &columns).map_err(|error| bad(error.to_string()))?;
        let mut lookup = self.lookup.lock().await;
        // No text of a database has a NUL: nothing has such a key.
        let keys = filter_record_batch(keys, &without_nul(keys))?;
        for at in (0..keys.num_rows()).step_by(KEYS_MAX) {
            let part = keys.slice(at, KEYS_MAX.min(keys.num_rows() - at));
            for row in lookup.find(&json(&part).map_err(bad)?).await? {
                // What is in the row is nobody's business here.
                decoder.push(row.as_bytes()).map_err(|error| {
                    let name = |column: &String| format!("{column} {}", value_of(&row, column));
                    let key = self.spec.key.iter().map(name).collect::<Vec<_>>().join(", ");
                    bad(format!("the row of {key} does not have the declared columns: {error}"))
                })?;
            }
        }
        Ok(decoder.finish())
    }
}

/// The value of a column of a row that cannot be read otherwise.
fn value_of(row: &str, column: &str) -> String {
    let object: Option<serde_json::Value> = serde_json::from_str(row).ok();
    object.and_then(|object| object.get(column).map(ToString::to_string)).unwrap_or_else(|| "?".to_owned())
}

/// Which rows have no NUL in a text.
fn without_nul(rows: &RecordBatch) -> BooleanArray {
    let texts: Vec<_> = rows.columns().iter().filter_map(|column| column.as_string_opt::<i32>()).collect();
    let is_clean = |row| texts.iter().all(|texts| !texts.value(row).as_bytes().contains(&0));
    (0..rows.num_rows()).map(|row| Some(is_clean(row))).collect()
}

/// Rows as an array of objects.
fn json(rows: &RecordBatch) -> Result<String, String> {
    let schema: &Schema = &rows.schema();
    let encoder = Encoder::new(&Format::Json, "key", schema).map_err(|error| error.to_string())?;
    let (encoded, mut text, mut record) = (encoder.rows(rows), String::from("["), Vec::new());
    for row in 0..rows.num_rows() {
        record.clear();
        encoded.write(row, &mut record)?;
        if row > 0 {
            text.push(',');
        }
        text.push_str(std::str::from_utf8(&record).map_err(|error| error.to_string())?);
    }
    text.push(']');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};
    use millstream_connector::{SourceError, async_trait};

    use super::*;

    /// Has a row for each key, and a bad one for those above a hundred thousand.
    struct Doubles(Arc<AtomicUsize>);

    #[async_trait]
    impl Lookup for Doubles {
        async fn find(&mut self, keys: &str) -> Result<Vec<String>, SourceError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let keys: Vec<serde_json::Value> = serde_json::from_str(keys).expect("an array");
            let row = |key: &serde_json::Value| {
                let n = key["n"].as_i64().expect("a number");
                let twice = if n > 100_000 { "\"?\"".to_owned() } else { (n * 2).to_string() };
                format!(r#"{{"n":{n},"of":{},"twice":{twice}}}"#, key["of"])
            };
            Ok(keys.iter().map(row).collect())
        }
    }

    fn keys(numbers: Vec<i64>) -> RecordBatch {
        let of: ArrayRef = Arc::new(StringArray::from(vec!["a \"quoted\" name"; numbers.len()]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        RecordBatch::try_from_iter([("n", numbers), ("of", of)]).expect("keys")
    }

    #[tokio::test]
    async fn keys_are_asked_for_in_parts_and_rows_have_the_declared_columns() {
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        let schema = Arc::new(Schema::new(vec![
            field("n", DataType::Int64),
            field("of", DataType::Utf8),
            field("twice", DataType::Int64),
        ]));
        let asked = Arc::new(AtomicUsize::new(0));
        let spec = LookupSpec { key: vec!["n".into(), "of".into()], keep_ms: 1, keys_max: 1 };
        let lookup = Box::new(Doubles(Arc::clone(&asked)));
        let table = AskedTable::new("doubles", &schema, spec, lookup).expect("a table");
        let rows = table.find(&keys((0..10_000).collect())).await.expect("rows");
        assert_eq!((rows.num_rows(), asked.load(Ordering::Relaxed)), (10_000, 3));
        let error = table.find(&keys(vec![100_001])).await.expect_err("a row that does not fit");
        assert!(
            error
                .to_string()
                .contains("table doubles: the row of n 100001, of \"a \\\"quoted\\\" name\" does not have"),
            "{error}"
        );
        let of: ArrayRef = Arc::new(StringArray::from(vec!["a\0b", "\\u0000"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let keys = RecordBatch::try_from_iter([("n", numbers), ("of", of)]).expect("keys");
        assert_eq!(table.find(&keys).await.expect("rows").num_rows(), 1, "a NUL is in no database");
    }
}
