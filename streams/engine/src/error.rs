//! What can go wrong while a stage runs. Bad and late records are outputs and none of these; where one of these is the fault of
//! rows ([`StageError::is_of_rows`]), the rows are found, and the stage goes on without them.

use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use millstream_model::FunctionError;

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
    /// Whoever was given what came out did not take it.
    #[error("what came out of the stage was not taken")]
    NotTaken,
    /// Rows of a partition that was not assigned, or was revoked.
    #[error("rows of partition {0}, which is not assigned to this stage")]
    NotAssigned(millstream_model::KeyGroup),
    /// A function of the pipeline gave no outcome, which says nothing about rows.
    #[error(transparent)]
    Function(FunctionError),
    /// An expression failed on the data, a division by zero for example.
    #[error("computing over a batch: {0}")]
    Compute(DataFusionError),
    /// The same, where it is known which.
    #[error("computing {what}: {error}")]
    Expression {
        /// What was to be computed.
        what: String,
        /// Why it could not be.
        error: DataFusionError,
    },
    /// What was asked of a table has no answer that can be used.
    #[error("table {table}: {why}")]
    LookedUp {
        /// The table.
        table: String,
        /// What is wrong with its rows.
        why: Arc<str>,
    },
    /// A row whose result would be known by nothing.
    #[error(
        "column {0} is null, and what a FULL JOIN gives of the row is known by it; filter WHERE {0} IS NOT NULL before the join to pass such rows over"
    )]
    NoIdentity(String),
    /// A result has no place in its type.
    #[error("{what} is beyond what {kind} holds")]
    TooLarge {
        /// What.
        what: String,
        /// Its type.
        kind: String,
    },
    /// Rows that are read are more than may be held.
    #[error("{what} takes more than {} MiB; give more with --memory, or ask for another", bytes_max >> 20)]
    TooMuch {
        /// What was read.
        what: String,
        /// How much there may be.
        bytes_max: usize,
    },
    /// State that has no room in memory could not be put to a local disk, or be read from there.
    #[error(
        "state on local disk: {0}; the changelog has it too, and a stage that starts again reads it from there"
    )]
    Scratch(#[source] std::io::Error),
    /// Columns could not be put together.
    #[error("putting a batch together: {0}")]
    Arrow(ArrowError),
}

impl From<DataFusionError> for StageError {
    fn from(error: DataFusionError) -> StageError {
        of_function(&error).map_or_else(|| StageError::Compute(error), StageError::Function)
    }
}

impl From<ArrowError> for StageError {
    fn from(error: ArrowError) -> StageError {
        of_function(&error).map_or_else(|| StageError::Arrow(error), StageError::Function)
    }
}

/// What a function said, where it is behind an error.
fn of_function(error: &(dyn std::error::Error + 'static)) -> Option<FunctionError> {
    let found = std::iter::successors(Some(error), |error| error.source());
    found.filter_map(|error| error.downcast_ref::<FunctionError>()).next().cloned()
}

impl StageError {
    /// Whether rows may be to blame, so that others pass where these fail; not memory, not a disk, and not what was built wrongly.
    pub(crate) fn is_of_rows(&self) -> bool {
        let of_rows = |error: &ArrowError| {
            !matches!(
                error,
                ArrowError::IoError(..) | ArrowError::MemoryError(_) | ArrowError::SchemaError(_)
            )
        };
        match self {
            StageError::Compute(error) | StageError::Expression { error, .. } => match error.find_root() {
                DataFusionError::ResourcesExhausted(_)
                | DataFusionError::IoError(_)
                | DataFusionError::Internal(_)
                | DataFusionError::Plan(_)
                | DataFusionError::NotImplemented(_)
                | DataFusionError::SchemaError(..) => false,
                DataFusionError::ArrowError(error, _) => of_rows(error),
                _ => true,
            },
            StageError::Arrow(error) => of_rows(error),
            StageError::LookedUp { .. } | StageError::TooLarge { .. } | StageError::NoIdentity(_) => true,
            _ => false,
        }
    }

    /// Puts what was to be computed beside why it could not be.
    pub(crate) fn computing(self, what: impl FnOnce() -> String) -> StageError {
        match self {
            StageError::Compute(error) => StageError::Expression { what: what(), error },
            other => other,
        }
    }
}

/// The names and types of a schema, for error texts.
pub(crate) fn columns(schema: &arrow::datatypes::Schema) -> String {
    let columns: Vec<String> =
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    columns.join(", ")
}
