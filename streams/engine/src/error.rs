//! What can go wrong while a stage runs. None of these is a verdict on a record: bad and late records are outputs.

use arrow::error::ArrowError;
use datafusion_common::DataFusionError;

/// Why a stage cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A column type that an operator cannot keep as state or compare.
    #[error("operator {operator}: {what}")]
    Unsupported {
        /// The operator's id.
        operator: String,
        /// What it cannot do, and what to use instead.
        what: String,
    },
    /// A query joins a table that has not been loaded.
    #[error(
        "operator {operator} reads table {table}, which is not loaded yet; load it before the first rows"
    )]
    TableMissing {
        /// The operator's id.
        operator: String,
        /// The table's name.
        table: String,
    },
    /// A table, or a batch of input, has other columns than the stage was built for.
    #[error("{what}: expected columns {expected}, found {found}")]
    Schema {
        /// What was handed over.
        what: String,
        /// The columns that the stage was built for.
        expected: String,
        /// The columns that came.
        found: String,
    },
    /// State in the changelog that this stage cannot take up.
    #[error("restoring operator {operator}: {what}")]
    State {
        /// The operator's id.
        operator: String,
        /// What is wrong with it.
        what: String,
    },
    /// A name that the stage does not have.
    #[error("{kind} {name} is unknown; there are: {known}")]
    Unknown {
        /// What kind of thing was named.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Rows were to be joined with tables that had not been asked for their keys.
    #[error(
        "rows were to be run whose tables have not been asked; this is a fault of whoever runs the stage"
    )]
    NotAsked,
    /// Rows of a partition that was not assigned, or was revoked.
    #[error("rows of partition {0}, which is not assigned to this stage")]
    NotAssigned(millstream_model::KeyGroup),
    /// An expression failed on the data, a division by zero for example.
    #[error("computing over a batch: {0}")]
    Compute(#[from] DataFusionError),
    /// State that has no room in memory could not be put to a local disk, or be read from there.
    #[error(
        "state on local disk: {0}; the changelog has it too, and a stage that starts again reads it from there"
    )]
    Scratch(#[source] std::io::Error),
    /// Columns could not be put together.
    #[error("putting a batch together: {0}")]
    Arrow(#[from] ArrowError),
}

/// The names and types of a schema, for error texts.
pub(crate) fn columns(schema: &arrow::datatypes::Schema) -> String {
    let columns: Vec<String> =
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    columns.join(", ")
}
