//! JSON records to Arrow columns: a column scanner that remembers the previous record's key order, and `serde_json`
//! for whatever the scanner does not understand. Both fill the same columns; the scanner never refuses a record, it
//! only gives up on it, so every verdict on a bad record is `serde_json`'s grammar and our leaf rules.
//!
//! A record is one JSON object in UTF-8 with nothing but white space around it. The verdict on it depends on the
//! schema and never on which columns are read: a declared field that nobody reads is parsed and checked, not stored.
//! - The last of several equal keys counts, as in `serde_json::Value`.
//! - Integers are written without fraction or exponent. Decimals are exact: more digits than the scale are refused
//!   unless they are zeros; `88.5`, `88.50` and `8.85e1` are one value. Timestamps are ISO 8601 with an offset, or
//!   epoch milliseconds; digits below the millisecond are cut off.
//! - Inside a value that the schema does not name only the grammar counts. So, unlike `serde_json::Value`, such a value
//!   may be the number 1e400, may hold half a surrogate pair as `\ud800`, and may be nested 200 deep: none of them is
//!   ever turned into a value here. In a declared field the first two are refused, and depth is the schema's.

mod column;
mod object;
mod scalar;
mod scan;
mod slow;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::decode::{BadReason, BadRecord, SchemaError};
use object::Object;
use scan::Budget;

/// The longest record, in bytes. Far above what a broker accepts; it keeps Arrow's 32-bit offsets in their range.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// Decodes JSON records of one schema into batches.
pub struct JsonDecoder {
    root: Object,
    read: Vec<usize>,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    budget: Budget,
    slow: u64,
}

impl JsonDecoder {
    /// A decoder for records of `schema` that stores the columns `read` (indexes into the schema, in the order in
    /// which batches shall have them). A field that is not nullable is required.
    pub fn new(schema: &Schema, read: &[usize]) -> Result<JsonDecoder, SchemaError> {
        let columns = schema.fields().len();
        if let Some(&index) = read.iter().find(|i| **i >= columns) {
            return Err(SchemaError::NoColumn { index, columns });
        }
        let root = Object::declared(schema.fields(), "", &|i| read.contains(&i))?;
        let fields: Vec<Field> = read.iter().map(|i| schema.field(*i).clone()).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(JsonDecoder {
            root,
            read: read.to_vec(),
            schema,
            rows: 0,
            bytes: 0,
            budget: Budget::default(),
            slow: 0,
        })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Appends a record as a row, or refuses it and leaves the columns as they were. The caller takes the batch before
    /// [`JsonDecoder::input_bytes`] passes a gibibyte.
    pub fn push(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        if record.len() > RECORD_BYTES_MAX {
            let text = format!("a record of {} bytes: the most is {RECORD_BYTES_MAX}", record.len());
            return Err(BadRecord { why: BadReason::Syntax(text), at: 0 });
        }
        assert!(self.bytes <= 1 << 30, "a batch of more than 1 GiB of JSON: finish it first");
        let text = match std::str::from_utf8(record) {
            Ok(text) => text,
            Err(e) => return Err(BadRecord { why: BadReason::NotUtf8, at: e.valid_up_to() }),
        };
        if scan::record(&mut self.root, text, &mut self.budget).is_err() {
            self.slow += 1;
            self.root.truncate(self.rows);
            if let Err(bad) = slow::record(&mut self.root, text) {
                self.root.truncate(self.rows);
                return Err(bad);
            }
        }
        self.rows += 1;
        self.bytes += record.len();
        Ok(())
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of good records since the last batch.
    pub fn input_bytes(&self) -> usize {
        self.bytes
    }

    /// How many records the scanner has left to `serde_json` since the decoder was made, good or bad.
    pub fn slow_records(&self) -> u64 {
        self.slow
    }

    /// Takes the rows as a batch; the decoder is empty afterwards and keeps what it learnt about key order.
    pub fn finish(&mut self) -> RecordBatch {
        let mut all: Vec<Option<ArrayRef>> = self.root.take_columns();
        let columns: Vec<ArrayRef> =
            self.read.iter().map(|i| all[*i].take().expect("a column that is read is stored")).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .expect("columns were made for the schema")
    }
}
