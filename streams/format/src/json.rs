//! JSON records to columns: a column scanner that remembers the previous record's key order, and `serde_json`
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

mod rows;
pub(crate) mod scalar;
mod scan;
mod schema;
mod slow;
#[cfg(test)]
mod tests;
mod values;

pub use rows::{JsonRows, check};
pub(crate) use rows::{date, decimal, instant};
pub(crate) use schema::json_schema;
pub use values::JsonValues;

use crate::object::Object;
use crate::{BadReason, BadRecord};
use scan::Budget;

fn text(record: &[u8]) -> Result<&str, BadRecord> {
    std::str::from_utf8(record).map_err(|e| BadRecord { why: BadReason::NotUtf8, at: e.valid_up_to() })
}

/// What reads records of JSON.
#[derive(Default)]
pub(crate) struct Json {
    budget: Budget,
    slow: u64,
}

impl Json {
    /// Reads a record into the columns of `root`, which hold `rows` rows. After an error they may hold a part of it.
    #[inline]
    pub(crate) fn read(&mut self, root: &mut Object, record: &[u8], rows: usize) -> Result<(), BadRecord> {
        // Several times as fast as a look for UTF-8, and most are.
        if !scan::is_ascii(record) {
            text(record)?;
        }
        if scan::record(root, record, &mut self.budget).is_err() {
            self.slow += 1;
            root.truncate(rows);
            slow::record(root, text(record)?)?;
        }
        Ok(())
    }

    /// How many records the scanner has left to `serde_json`, good or bad.
    pub(crate) fn slow_records(&self) -> u64 {
        self.slow
    }
}
