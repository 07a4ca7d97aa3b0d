//! One file being encoded: rows in, bytes of Parquet out as row groups end. An encoder cannot be resumed after a crash,
//! which is why a partition's files close together. Never enters: where the bytes go.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::config::{Compression, FormatConfig};

/// A column whose values repeat seldom stops being a dictionary at this size. The default of 1 MiB is kept for each column of
/// each open file, and a column of ids reaches it without having saved a byte.
const DICTIONARY_BYTES_MAX: usize = 128 << 10;

/// A column's page is compressed at this size. Until then it is kept plain, for each column of each open file; the default is
/// 1 MiB.
const PAGE_BYTES: usize = 128 << 10;

/// A file being encoded.
pub struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    rows: u64,
}

impl Encoder {
    /// An encoder of rows with this schema.
    pub fn new(schema: SchemaRef, format: &FormatConfig) -> Result<Encoder, ParquetError> {
        let compression = match format.compression {
            Compression::Zstd => parquet::basic::Compression::ZSTD(ZstdLevel::try_new(1)?),
            Compression::Snappy => parquet::basic::Compression::SNAPPY,
            Compression::None => parquet::basic::Compression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_max_row_group_row_count(Some(format.row_group_rows as usize))
            .set_created_by("millstream".to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(&schema), Some(properties))?;
        Ok(Encoder { writer, schema, rows: 0 })
    }

    /// The schema of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes rows in.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        self.rows += rows.num_rows() as u64;
        self.writer.write(rows)
    }

    /// Ends the row group, to give its memory back.
    pub fn end_row_group(&mut self) -> Result<(), ParquetError> {
        self.writer.flush()
    }

    /// Rows taken in.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of memory that the open row group holds.
    pub fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    /// The file's size so far: written, and estimated of the open row group.
    pub fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Takes out the bytes that are final.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Ends the file; the rest of its bytes.
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        self.writer.into_inner()
    }
}
