//! A table of a database that is asked for the rows of keys: keys as JSON, rows from JSON. Never enters: which keys, and for how long
//! what was found counts.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_connector::{Lookup, SourceError};
use millstream_engine::stage::lookups::{LookupSpec, Unfit};
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

    /// The rows of some keys, and those that cannot be used.
    pub async fn find(&self, keys: &RecordBatch) -> Result<Found, WorkerError> {
        let bad = |what: String| WorkerError::Fatal(format!("table {}: {what}", self.id));
        let decoder = |schema: &Schema| {
            let columns: Vec<usize> = (0..schema.fields().len()).collect();
            Decoder::new(&Format::Json, schema, &columns).map_err(|error| bad(error.to_string()))
        };
        let mut key_decoder = decoder(&keys.schema())?;
        let mut lookup = self.lookup.lock().await;
        let (mut rows, mut unfit) = (Vec::new(), UnfitKeys::default());
        // No text of a database has a NUL: nothing has such a key.
        let keys = filter_record_batch(keys, &without_nul(keys))?;
        let parts = (0..keys.num_rows()).step_by(KEYS_MAX);
        let mut left: Vec<RecordBatch> =
            parts.map(|at| keys.slice(at, KEYS_MAX.min(keys.num_rows() - at))).collect();
        while let Some(part) = left.pop() {
            let (asked, without_form) = json(&part).map_err(bad)?;
            without_form.into_iter().for_each(|(row, why)| unfit.push(part.slice(row, 1), why));
            let found = match lookup.find(&asked).await {
                // One of the keys is to blame.
                Err(SourceError::Data(_)) if part.num_rows() > 1 => {
                    left.extend(halves(&part));
                    continue;
                }
                Err(SourceError::Data(why)) => {
                    unfit.push(part, why);
                    continue;
                }
                found => found?,
            };
            let mut decoder = decoder(&self.schema)?;
            let (mut of_part, mut unnamed) = (Vec::new(), None);
            for row in found {
                let Err(error) = decoder.push(row.as_bytes()) else { continue };
                let name = |column: &String| format!("{column} {}", value_of(&row, column));
                let key = self.spec.key.iter().map(name).collect::<Vec<_>>().join(", ");
                let why = format!("the row of {key} does not have the declared columns: {error}");
                match key_decoder.push(row.as_bytes()) {
                    Ok(()) => of_part.push((key_decoder.finish(), why)),
                    Err(_) => unnamed = Some(why),
                }
            }
            match unnamed {
                // Its key is not of the declared type either: it is found by who asks for it.
                Some(_) if part.num_rows() > 1 => left.extend(halves(&part)),
                Some(why) => unfit.push(part, why),
                None => {
                    rows.push(decoder.finish());
                    of_part.into_iter().for_each(|(key, why)| unfit.push(key, why));
                }
            }
        }
        Ok(Found { rows: concat_batches(&self.schema, &rows)?, unfit: unfit.of(&keys.schema())? })
    }
}

/// What a table has for keys.
pub struct Found {
    /// Rows.
    pub rows: RecordBatch,
    /// Keys of which what it has cannot be used.
    pub unfit: Unfit,
}

#[derive(Default)]
struct UnfitKeys {
    keys: Vec<RecordBatch>,
    why: Vec<String>,
}

impl UnfitKeys {
    fn push(&mut self, key: RecordBatch, why: String) {
        self.keys.push(key);
        self.why.push(why);
    }

    fn of(self, schema: &SchemaRef) -> Result<Unfit, WorkerError> {
        Ok(Unfit { keys: concat_batches(schema, &self.keys)?, why: self.why })
    }
}

fn halves(rows: &RecordBatch) -> [RecordBatch; 2] {
    let half = rows.num_rows() / 2;
    [rows.slice(half, rows.num_rows() - half), rows.slice(0, half)]
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

/// Rows as an array of objects, and those that have no form there.
fn json(rows: &RecordBatch) -> Result<(String, Vec<(usize, String)>), String> {
    let schema: &Schema = &rows.schema();
    let encoder = Encoder::new(&Format::Json, "key", schema).map_err(|error| error.to_string())?;
    let (encoded, mut text, mut record) = (encoder.rows(rows), String::from("["), Vec::new());
    let mut without_form = Vec::new();
    for row in 0..rows.num_rows() {
        record.clear();
        if let Err(why) = encoded.write(row, &mut record) {
            without_form.push((row, why));
            continue;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(std::str::from_utf8(&record).map_err(|error| error.to_string())?);
    }
    text.push(']');
    Ok((text, without_form))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type};
    use millstream_connector::async_trait;

    use super::*;

    /// Has a row for each key, and a bad one for those above a hundred thousand.
    struct Doubles(Arc<AtomicUsize>);

    #[async_trait]
    impl Lookup for Doubles {
        async fn find(&mut self, keys: &str) -> Result<Vec<String>, SourceError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let keys: Vec<serde_json::Value> = serde_json::from_str(keys).expect("an array");
            let is_out = |key: &serde_json::Value| key["n"].as_i64().is_some_and(|n| n < 0);
            if keys.iter().any(is_out) {
                return Err(SourceError::Data("below nothing".to_owned()));
            }
            let row = |key: &serde_json::Value| {
                let n = key["n"].as_i64().expect("a number");
                if n == 100_007 {
                    return r#"{"n":100007.0,"of":"a","twice":1}"#.to_owned();
                }
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
        let found = table.find(&keys((0..10_000).collect())).await.expect("rows");
        assert_eq!((found.rows.num_rows(), asked.load(Ordering::Relaxed)), (10_000, 3));
        assert!(found.unfit.why.is_empty());
        // Keys with a row that does not fit, with one whose key does not, and that cannot be asked for, among others.
        let found = table.find(&keys(vec![1, 100_001, 2, -7, 3, 100_007, 4])).await.expect("rows");
        let unfit: BTreeMap<i64, String> = found
            .unfit
            .keys
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .copied()
            .zip(found.unfit.why)
            .collect();
        let mut rows = found.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        rows.sort_unstable();
        assert_eq!(rows, [1, 2, 3, 4]);
        assert_eq!(unfit.keys().copied().collect::<Vec<_>>(), [-7, 100_001, 100_007]);
        assert!(
            unfit[&100_001].starts_with("the row of n 100001, of \"a \\\"quoted\\\" name\" does not have"),
            "{unfit:?}"
        );
        assert_eq!(unfit[&-7], "below nothing");
        let of: ArrayRef = Arc::new(StringArray::from(vec!["a\0b", "\\u0000"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let keys = RecordBatch::try_from_iter([("n", numbers), ("of", of)]).expect("keys");
        let found = table.find(&keys).await.expect("rows");
        assert_eq!(found.rows.num_rows(), 1, "a NUL is in no database");
    }
}
