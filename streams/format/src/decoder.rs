//! One decoder for every format: the columns that are filled, and the format's own reader. Never enters: how a format's
//! values are read.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::avro::AvroReader;
use crate::csv::CsvReader;
use crate::ipc::ArrowReader;
use crate::json::Json;
use crate::object::Object;
use crate::protobuf::ProtobufReader;
use crate::registered::unframed;
use crate::{BadReason, BadRecord, Format, FormatError, SchemaError, raw};

/// The longest record, in bytes. Far above what a broker accepts; it keeps Arrow's 32-bit offsets in their range.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// Decodes records of one format and schema into batches.
pub struct Decoder {
    format: &'static str,
    root: Object,
    read: Vec<usize>,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    reader: Reader,
}

enum Reader {
    Json(Json),
    /// JSON behind a registry's frame, which says nothing that the reader needs.
    FramedJson(Json),
    Csv(CsvReader),
    Raw,
    Avro(Box<AvroReader>),
    Protobuf(Box<ProtobufReader>),
    Arrow(ArrowReader),
}

impl Decoder {
    /// A decoder for records of `format` with the columns `schema`, which stores the columns `read` (indexes into the
    /// schema, in the order in which batches shall have them). A field that is not nullable is required.
    pub fn new(format: &Format, schema: &Schema, read: &[usize]) -> Result<Decoder, FormatError> {
        let columns = schema.fields().len();
        if let Some(&index) = read.iter().find(|i| **i >= columns) {
            return Err(SchemaError::NoColumn { index, columns }.into());
        }
        let root = Object::declared(schema.fields(), "", &|i| read.contains(&i))?;
        let reader = match format {
            Format::Json => Reader::Json(Json::default()),
            Format::RegisteredJson => Reader::FramedJson(Json::default()),
            Format::Csv(form) => Reader::Csv(CsvReader::new(form, schema)?),
            Format::Raw => {
                raw::check(schema)?;
                Reader::Raw
            }
            Format::Avro(form) => Reader::Avro(Box::new(AvroReader::new(form, schema, &root)?)),
            Format::Protobuf(form) => Reader::Protobuf(Box::new(ProtobufReader::new(form, &root)?)),
            Format::Arrow => Reader::Arrow(ArrowReader),
        };
        let fields: Vec<Field> = read.iter().map(|i| schema.field(*i).clone()).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Decoder { format: format.name(), root, read: read.to_vec(), schema, rows: 0, bytes: 0, reader })
    }

    /// A decoder for records of JSON.
    pub fn json(schema: &Schema, read: &[usize]) -> Result<Decoder, FormatError> {
        Decoder::new(&Format::Json, schema, read)
    }

    /// The same, but where `frozen` fields of records that the schema does not name make them bad. Of JSON only: the error says so.
    pub fn freeze(mut self, frozen: bool) -> Result<Decoder, FormatError> {
        if !frozen {
            return Ok(self);
        }
        if !matches!(self.reader, Reader::Json(_) | Reader::FramedJson(_)) {
            let text = format!(
                "columns of {} cannot be frozen: a contract judges records of JSON; elsewhere the schema, or the registry's rule of compatibility, does",
                self.format
            );
            return Err(FormatError::Form(text));
        }
        self.root.freeze();
        Ok(self)
    }

    /// The name of the format that it reads.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Appends a record as a row, one of Arrow as all of its rows, which may be none; or refuses it and leaves the columns
    /// as they were. The caller takes the batch before
    /// [`Decoder::input_bytes`] passes a gibibyte.
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        if record.len() > RECORD_BYTES_MAX {
            let text = format!("a record of {} bytes: the most is {RECORD_BYTES_MAX}", record.len());
            return Err(BadRecord { why: BadReason::Syntax(text), at: 0 });
        }
        assert!(self.bytes <= 1 << 30, "a batch of more than 1 GiB of records: finish it first");
        let root = &mut self.root;
        let mut rows = 1;
        let done = match &mut self.reader {
            Reader::Json(json) => json.read(root, record, self.rows),
            Reader::FramedJson(json) => unframed(record).and_then(|(_, value)| {
                let moved = |bad: BadRecord| BadRecord { at: bad.at + record.len() - value.len(), ..bad };
                json.read(root, value, self.rows).map_err(moved)
            }),
            Reader::Csv(csv) => csv.read(root, record),
            Reader::Raw => raw::read(root, record),
            Reader::Avro(avro) => avro.read(root, record).map(|grown| self.bytes += grown),
            Reader::Protobuf(protobuf) => {
                protobuf.read(root, record, self.rows).map(|grown| self.bytes += grown)
            }
            Reader::Arrow(arrow) => arrow.read(root, record).map(|read| {
                rows = read.rows;
                self.bytes += read.grown;
            }),
        };
        match done {
            Ok(()) => {
                self.rows += rows;
                self.bytes += record.len();
                Ok(())
            }
            Err(bad) => {
                self.root.truncate(self.rows);
                Err(bad)
            }
        }
    }

    /// As [`Decoder::push`], of a record that may have no value. In raw topics that is a null; other formats have no row
    /// for it.
    #[inline]
    pub fn push_value(&mut self, value: Option<&[u8]>) -> Result<(), BadRecord> {
        if let Some(value) = value {
            return self.push(value);
        }
        let missing = |what: &str| BadRecord { why: BadReason::Missing(what.to_owned()), at: 0 };
        match (&self.reader, self.root.declared.as_mut_slice()) {
            (Reader::Raw, [declared]) if !declared.required => {
                declared.column.push_null();
                self.rows += 1;
                Ok(())
            }
            (Reader::Raw, [declared]) => Err(missing(&declared.path)),
            _ => {
                let text = "a record without a value; where it is to take a row away, say `upsert: true` at the source, or read the topic as a table";
                Err(BadRecord { why: BadReason::Syntax(text.to_owned()), at: 0 })
            }
        }
    }

    /// Rows since the last batch.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of good records since the last batch, with those that columns got beyond them (names of enums, defaults, what was
    /// compressed or a dictionary's).
    #[inline]
    pub fn input_bytes(&self) -> usize {
        self.bytes
    }

    /// How many records of JSON the scanner has left to `serde_json` since the decoder was made, good or bad.
    pub fn slow_records(&self) -> u64 {
        match &self.reader {
            Reader::Json(json) | Reader::FramedJson(json) => json.slow_records(),
            _ => 0,
        }
    }

    /// Takes the rows as a batch; the decoder is empty afterwards and keeps what it learnt about records.
    pub fn finish(&mut self) -> RecordBatch {
        let mut all: Vec<Option<ArrayRef>> = self.root.take_columns();
        let columns: Vec<ArrayRef> =
            self.read.iter().map(|i| all[*i].take().expect("a column that is read is stored")).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .expect("columns were made for the schema")
    }
}
