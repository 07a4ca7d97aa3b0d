//! What a topic's records are written in, as a pipeline says it. Never enters: reading and writing them.

use std::fmt;

use crate::avro::AvroForm;
use crate::csv::CsvForm;
use crate::protobuf::ProtobufForm;

/// The format of a topic's values.
#[derive(Clone, Debug, Default)]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// One JSON object behind the frame of a schema registry.
    RegisteredJson,
    /// One line of CSV, its columns in the order of the schema.
    Csv(CsvForm),
    /// The bytes themselves, in one column.
    Raw,
    /// One Avro record.
    Avro(AvroForm),
    /// One Protobuf message.
    Protobuf(ProtobufForm),
    /// An IPC stream of Arrow: any number of rows.
    Arrow,
}

impl Format {
    /// Its name in a pipeline's file.
    pub fn name(&self) -> &'static str {
        match self {
            Format::Json | Format::RegisteredJson => "json",
            Format::Csv(_) => "csv",
            Format::Raw => "raw",
            Format::Avro(_) => "avro",
            Format::Protobuf(_) => "protobuf",
            Format::Arrow => "arrow",
        }
    }

    /// Whether its records are JSON, with a registry's frame or without.
    pub fn is_json(&self) -> bool {
        matches!(self, Format::Json | Format::RegisteredJson)
    }

    /// Whether its records are read by the order of their columns: nothing in them, and no schema, says their names.
    pub fn is_positional(&self) -> bool {
        match self {
            Format::Csv(_) => true,
            Format::Avro(form) => form.schema.is_none() && form.registry.is_none(),
            Format::Json | Format::RegisteredJson | Format::Raw | Format::Protobuf(_) | Format::Arrow => {
                false
            }
        }
    }

    /// Whether its records have a schema registry's frame.
    pub fn is_registered(&self) -> bool {
        match self {
            Format::RegisteredJson => true,
            Format::Avro(form) => form.registry.is_some(),
            Format::Protobuf(form) => form.registry.is_some(),
            Format::Json | Format::Csv(_) | Format::Raw | Format::Arrow => false,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if self.is_registered() { f.write_str(" with a schema registry") } else { Ok(()) }
    }
}
