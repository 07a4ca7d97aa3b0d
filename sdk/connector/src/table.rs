//! Tables: input that is read whole and looked up. A table has versions; a worker loads the newest, and again when it
//! changes. Never enters: what a change means for rows that were joined before (it means nothing: they stay).

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{SourceError, async_trait};

/// A table as it was when read.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Tells one content from another; for change detection and the lock file.
    pub version: String,
}

/// A foreign table that is asked for the rows of keys, as they come.
#[async_trait]
pub trait Lookup: Send {
    /// The rows of some keys, each as a JSON object with the table's columns. `keys` is a JSON array of objects with the columns
    /// of the key, each key once and none with a null. [`SourceError::Data`] where some of the keys cannot be asked for: the caller
    /// asks for fewer at a time until it has found them.
    async fn find(&mut self, keys: &str) -> Result<Vec<String>, SourceError>;
}

/// A foreign system that is read whole.
#[async_trait]
pub trait Table: Send {
    /// Reads it.
    async fn load(&mut self) -> Result<TableSnapshot, SourceError>;

    /// Waits until the content may have changed since the last load; for ever when it cannot. Cancel-safe.
    async fn changed(&mut self) -> Result<(), SourceError>;
}
