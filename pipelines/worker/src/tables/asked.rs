//! A table of a database that is asked for the rows of keys: keys as JSON, rows from JSON. Never enters: which keys, and for how long
//! what was found counts.

use std::sync::Arc;

use arrow::array::RecordBatch;
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
        for at in (0..keys.num_rows()).step_by(KEYS_MAX) {
            let part = keys.slice(at, KEYS_MAX.min(keys.num_rows() - at));
            for row in lookup.find(&json(&part).map_err(bad)?).await? {
                decoder.push(row.as_bytes()).map_err(|error| {
                    bad(format!("a row does not have the declared columns: {error}; the row: {row}"))
                })?;
            }
        }
        Ok(decoder.finish())
    }
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
            error.to_string().contains("table doubles: a row does not have the declared columns"),
            "{error}"
        );
    }
}
