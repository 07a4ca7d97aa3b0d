//! Parquet files in an object store or a folder, by day or another part of a column, each row exactly once (CN-1).
//!
//! How: rows are encoded into files that nobody sees yet (an S3 multipart upload that is not completed; a local file
//! under another name). A commit of a partition closes all its files together and creates one entry, named by the
//! offset at which the partition stood, which names the files and the next offset. Creating an object that exists
//! fails, so of two owners at one offset one loses. Only then do the files appear, and whoever opens the partition next
//! carries out what an entry promises.
//!
//! Never enters: other formats' tables (Delta, Iceberg), DataFusion, the worker.

pub mod config;
mod encoder;
mod entry;
mod error;
mod journal;
mod partition_by;
mod read_back;
mod sink;
pub mod store;

pub use config::{ObjectStoreSinkConfig, schema};
pub use entry::{Entry, FilePlace, Staged};
pub use read_back::{ReadBackError, read_folder};
pub use sink::ObjectStoreSink;
