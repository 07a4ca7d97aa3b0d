//! SQLite as a sink: rows inserted or upserted by key, in one transaction with `_millstream_offsets`, whose rows move
//! by compare-and-set (CN-1). Owns SQL text and SQLite's types. Never enters: the worker, other databases.

pub mod config;
pub mod error;
mod offsets;
mod read_back;
mod sink;
mod statements;

pub use config::{SqliteSinkConfig, schema};
pub use read_back::{Row, SqlValue, read_table};
pub use sink::SqliteSink;
