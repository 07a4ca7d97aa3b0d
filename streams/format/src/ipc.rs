//! Records of Arrow: each is an IPC stream of any number of rows. Read by our own code behind verified flatbuffers: the
//! reader of arrow-ipc takes lengths and types from the bytes on trust, and panics or allocates by them. Every length is
//! held against the bytes that are there, texts are checked to be UTF-8, and what a record grows to is bounded by its size.
//! Written by arrow-ipc. Columns and fields meet by name. Never enters: Arrow's files, tensors, big-endian bodies.

mod array;
mod body;
mod push;
mod reader;
mod schema;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

pub(crate) use reader::ArrowReader;

/// The most rows of a record.
pub const ROWS_MAX: usize = 1 << 20;

/// Appends rows as a stream of one batch, uncompressed (the log compresses).
pub fn write(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut writer = StreamWriter::try_new_with_options(out, &batch.schema(), options)?;
    writer.write(batch)?;
    writer.finish()
}
