//! Files: a watched or finite set of files of lines as a source, and CSV files as tables. Owns what a file is (its
//! content's beginning, not its name or inode), where its lines end, and how a CSV column gets its type.
//!
//! Never enters: what a line means (it is bytes, perhaps not even UTF-8), a Kafka client, DataFusion. Kept here: CN-1, a
//! line is either before the committed position or read again.

pub mod config;
mod error;
mod fingerprint;
mod found;
mod infer;
mod lines;
mod reader;
mod source;
mod table;

pub use config::{FileSourceConfig, FileTableConfig, source_schema, table_schema};
pub use source::FileSource;
pub use table::FileTable;
