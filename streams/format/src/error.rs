//! Why a record is refused, and why a schema or a format is.

use std::fmt;

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// What is wrong with it.
    pub why: BadReason,
    /// Where in the record, in bytes from its start; its length if the fault shows only at its end.
    pub at: usize,
}

/// What may be wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadReason {
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// It is not one value of the format, or has something behind it. The text says what.
    Syntax(String),
    /// A required field is absent or null. The path is dotted: `lines.qty`.
    Missing(String),
    /// A field that the schema does not name, where its contract freezes columns. The path is dotted.
    Unknown(String),
    /// A field is there and is not what the schema says.
    WrongType {
        /// The field's dotted path.
        field: String,
        /// What the schema wants, in words.
        expected: &'static str,
    },
}

impl BadRecord {
    /// The reason as one word for counting, of a record of `format`.
    pub fn word(&self, format: &str) -> String {
        match self.why {
            BadReason::Unknown(_) => "unknown_column".to_owned(),
            _ => format!("malformed_{format}"),
        }
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            BadReason::NotUtf8 => write!(f, "not UTF-8")?,
            BadReason::Syntax(what) => f.write_str(what)?,
            BadReason::Missing(field) => write!(f, "required field {field} is missing")?,
            BadReason::Unknown(field) => {
                write!(f, "field {field} is not declared, and the schema's contract freezes its columns")?
            }
            BadReason::WrongType { field, expected } => write!(f, "field {field} is not {expected}")?,
        }
        write!(f, " (at byte {})", self.at)
    }
}

impl std::error::Error for BadRecord {}

/// What makes a column of a type of it that can be decoded: ranks and counts have none.
fn in_sql(field: &str, found: &str) -> String {
    match found {
        "UInt8" | "UInt16" | "UInt32" | "UInt64" => format!(": CAST({field} AS BIGINT)"),
        _ => String::new(),
    }
}

/// Why a schema cannot be decoded into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A column type that no decoder fills.
    #[error(
        "field {field}: type {found} cannot be decoded; use utf8, boolean, int32, int64, float64, decimal128, date32, binary, a timestamp in milliseconds or microseconds UTC, a struct or a list{}",
        in_sql(field, found)
    )]
    Type {
        /// The field's dotted path.
        field: String,
        /// The type found there.
        found: String,
    },
    /// A name appears twice among siblings.
    #[error("field {field} is declared twice")]
    Twice {
        /// The field's dotted path.
        field: String,
    },
    /// A column to be read that the schema does not have.
    #[error("column {index} is to be read, but the schema has {columns}")]
    NoColumn {
        /// What was asked for.
        index: usize,
        /// How many there are.
        columns: usize,
    },
}

/// Why records of a format cannot be read into columns, or written from them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The columns.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The format and the columns, or the format's own schema. The text says what, and what to do.
    #[error("{0}")]
    Form(String),
}
