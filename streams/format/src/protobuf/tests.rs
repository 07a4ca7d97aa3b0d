//! Protobuf by hand and against `prost-reflect`, which encodes and decodes without our code.

mod damage;
mod edges;
mod frames;
mod made;
mod random;
mod schemas;
mod write;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float64Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};

use super::wire::{GROUP, LEN, VARINT, push_group_end, push_key, push_varint};
use super::{ProtobufForm, ProtobufSchema};
use crate::{BadRecord, Decoder, Format};

fn compiled(text: &str, message: Option<&str>) -> ProtobufSchema {
    ProtobufSchema::compile("t.proto", text, message, &|_| None).expect("a file that compiles")
}

/// Plain records of a message.
fn plain(text: &str, message: Option<&str>) -> Format {
    Format::Protobuf(ProtobufForm { schema: Some(Arc::new(compiled(text, message))), registry: None })
}

/// Records of the message M of a file of proto3 with these declarations.
fn proto3(body: &str) -> Format {
    plain(&format!("syntax = \"proto3\"; {body}"), Some("M"))
}

fn proto2(body: &str) -> Format {
    plain(&format!("syntax = \"proto2\"; {body}"), Some("M"))
}

fn decoder(format: &Format, schema: &Schema) -> Decoder {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    Decoder::new(format, schema, &all).expect("a schema that can be decoded")
}

/// One record, as [`printed`] shows its columns; why it is refused.
fn read(format: &Format, columns: &[Field], record: &[u8]) -> Result<String, BadRecord> {
    let schema = Schema::new(columns.to_vec());
    let mut decoder = decoder(format, &schema);
    let done = decoder.push(record);
    let mut nobody = Decoder::new(format, &schema, &[]).expect("a schema that can be decoded");
    assert_eq!(nobody.push(record), done, "what is read changed the verdict");
    done.map(|()| row(&decoder.finish(), 0))
}

fn says(format: &Format, columns: &[Field], record: &[u8]) -> String {
    read(format, columns, record).expect_err("a bad record").to_string()
}

fn null(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn must(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

fn list(name: &str, kind: DataType) -> Field {
    null(name, DataType::List(Arc::new(Field::new("item", kind, false))))
}

fn object(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn money() -> DataType {
    DataType::Decimal128(18, 2)
}

/// Fields, one behind the other.
fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn v(number: u32, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    push_key(number, VARINT, &mut out);
    push_varint(value as u64, &mut out);
    out
}

fn len(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    push_key(number, LEN, &mut out);
    push_varint(bytes.as_ref().len() as u64, &mut out);
    out.extend_from_slice(bytes.as_ref());
    out
}

fn fixed(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_key(number, if bytes.len() == 4 { super::wire::I32 } else { super::wire::I64 }, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn group(number: u32, inside: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    push_key(number, GROUP, &mut out);
    out.extend(inside);
    push_group_end(number, &mut out);
    out
}

fn seeds() -> u64 {
    // More seeds for a longer hunt: MILLSTREAM_SEEDS=5000.
    std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// A row of a batch as text.
fn row(batch: &RecordBatch, row: usize) -> String {
    let cells: Vec<String> = batch.columns().iter().map(|c| printed(c.as_ref(), row)).collect();
    cells.join(" ")
}

fn printed(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Utf8 => format!("{:?}", array.as_string::<i32>().value(row)),
        DataType::Binary => format!("{:02x?}", array.as_binary::<i32>().value(row)),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().value(row).to_string()
        }
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Struct(_) => {
            let cells: Vec<String> =
                array.as_struct().columns().iter().map(|c| printed(c.as_ref(), row)).collect();
            format!("{{{}}}", cells.join(" "))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let cells: Vec<String> = (0..items.len()).map(|i| printed(items.as_ref(), i)).collect();
            format!("[{}]", cells.join(" "))
        }
        other => panic!("no column of type {other} is decoded"),
    }
}
