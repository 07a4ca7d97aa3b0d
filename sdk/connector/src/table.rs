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

/// A foreign system that is read whole.
#[async_trait]
pub trait Table: Send {
    /// Reads it.
    async fn load(&mut self) -> Result<TableSnapshot, SourceError>;

    /// Waits until the content may have changed since the last load; for ever when it cannot. Cancel-safe.
    async fn changed(&mut self) -> Result<(), SourceError>;
}
