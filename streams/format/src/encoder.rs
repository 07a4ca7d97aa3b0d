//! One encoder for every format: from rows of columns to the bytes of records, and the schema that a registry is to know
//! before. Never enters: how a format's values are written; keys, topics.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::avro::{AvroRows, AvroWriter};
use crate::csv::CsvForm;
use crate::json::{self, JsonRows};
use crate::protobuf::{ProtobufRows, ProtobufWriter};
use crate::registered::{SchemaType, frame};
use crate::{Format, FormatError, csv, ipc, raw};

/// Writes rows of some columns in a format.
pub struct Encoder {
    writer: Writer,
    /// The schema that is to be registered, where records have frames.
    schema: Option<(SchemaType, String)>,
    /// Its id, once it is.
    id: Option<u32>,
}

enum Writer {
    Json,
    Csv(CsvForm),
    Raw,
    Avro(AvroWriter),
    Protobuf(Box<ProtobufWriter>),
    Arrow,
}

impl Encoder {
    /// An encoder for rows with these columns; what is derived from them has the name `name`, as far as the format
    /// allows. The error names the first column that has no form.
    pub fn new(format: &Format, name: &str, columns: &Schema) -> Result<Encoder, FormatError> {
        let (writer, schema) = match format {
            Format::Json | Format::RegisteredJson => {
                json::check(columns).map_err(FormatError::Form)?;
                let text = || (SchemaType::Json, json::json_schema(name, columns));
                (Writer::Json, format.is_registered().then(text))
            }
            Format::Csv(form) => {
                csv::check(form, columns)?;
                json::check(columns).map_err(FormatError::Form)?;
                (Writer::Csv(form.clone()), None)
            }
            Format::Raw => {
                raw::check(columns)?;
                (Writer::Raw, None)
            }
            Format::Avro(form) => {
                let writer = AvroWriter::new(form, name, columns)?;
                let text = || (SchemaType::Avro, writer.schema_text().to_owned());
                let schema = format.is_registered().then(text);
                (Writer::Avro(writer), schema)
            }
            Format::Protobuf(form) => {
                let writer = ProtobufWriter::new(form, name, columns)?;
                let text = || (SchemaType::Protobuf, writer.schema_text().to_owned());
                let schema = format.is_registered().then(text);
                (Writer::Protobuf(Box::new(writer)), schema)
            }
            // What is put aside is JSON.
            Format::Arrow => {
                json::check(columns).map_err(FormatError::Form)?;
                (Writer::Arrow, None)
            }
        };
        Ok(Encoder { writer, schema, id: None })
    }

    /// The schema that a registry is to know before rows are written: its language and its text.
    pub fn to_register(&self) -> Option<(SchemaType, &str)> {
        self.schema.as_ref().map(|(kind, text)| (*kind, text.as_str()))
    }

    /// Whether a record takes many rows ([`ipc::write`]). Each alone is then one, too.
    pub fn is_of_many(&self) -> bool {
        matches!(self.writer, Writer::Arrow)
    }

    /// Takes the id under which the registry knows the schema.
    pub fn set_id(&mut self, id: u32) {
        self.id = Some(id);
    }

    /// The rows of a batch that has the encoder's columns.
    ///
    /// # Panics
    /// Where the schema is to be registered and its id is not known.
    pub fn rows(&self, batch: &RecordBatch) -> EncodedRows<'_> {
        assert!(
            self.schema.is_none() || self.id.is_some(),
            "rows are written before their schema is registered"
        );
        let rows = match &self.writer {
            Writer::Json => Rows::Json(JsonRows::new(batch)),
            Writer::Csv(form) => Rows::Csv(form, JsonRows::new(batch)),
            Writer::Raw => Rows::Raw(batch.clone()),
            Writer::Avro(writer) => Rows::Avro(writer.rows(batch)),
            Writer::Protobuf(writer) => Rows::Protobuf(writer.rows(batch)),
            Writer::Arrow => Rows::Arrow(batch.clone()),
        };
        EncodedRows { rows, id: self.id }
    }
}

/// The rows of a batch, to be written one at a time.
pub struct EncodedRows<'a> {
    rows: Rows<'a>,
    id: Option<u32>,
}

enum Rows<'a> {
    Json(JsonRows),
    Csv(&'a CsvForm, JsonRows),
    Raw(RecordBatch),
    Avro(AvroRows<'a>),
    Protobuf(ProtobufRows<'a>),
    Arrow(RecordBatch),
}

impl EncodedRows<'_> {
    /// Appends a row as a record's value; nothing for a record without one. The error says which value the format's schema
    /// does not allow; what was appended is then to be thrown away.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<Option<()>, String> {
        if let Some(id) = self.id {
            frame(id, out);
        }
        match &self.rows {
            Rows::Json(rows) => rows.write(row, out),
            Rows::Csv(form, rows) => csv::write(form, rows, row, out),
            Rows::Raw(batch) => return Ok(raw::write(batch, row, out)),
            Rows::Avro(rows) => rows.write(row, out)?,
            Rows::Protobuf(rows) => rows.write(row, out)?,
            Rows::Arrow(batch) => ipc::write(&batch.slice(row, 1), out).map_err(|error| error.to_string())?,
        }
        Ok(Some(()))
    }
}
