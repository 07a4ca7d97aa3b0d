//! PostgreSQL as a sink: rows by COPY, upserted by key, in one transaction with `_millstream_offsets`, whose rows move by
//! compare-and-set (CN-1); and as a table that is asked for the rows of keys. Owns SQL text, PostgreSQL's types and error codes, the connection. Never enters: change data
//! capture, the worker.

pub mod config;
mod connection;
mod copy_text;
pub mod error;
mod lookup;
mod offsets;
mod sink;
mod statements;
mod tls;

pub use config::{PostgresSinkConfig, PostgresTableConfig, schema, table_schema};
pub use lookup::PostgresLookup;
pub use sink::PostgresSink;
