//! A file's schema as Arrow columns. Never enters: decoding.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use millstream_spec::ast::{self, FieldType, SchemaField};

/// The Arrow columns of a schema.
pub fn arrow_schema(schema: &ast::Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields.iter().map(field).collect::<Vec<Field>>()))
}

fn field(field: &SchemaField) -> Field {
    Field::new(&field.name.value, data_type(&field.data_type), !field.required)
}

/// The Arrow type of a type.
pub fn data_type(kind: &FieldType) -> DataType {
    match kind {
        FieldType::String => DataType::Utf8,
        FieldType::Bool => DataType::Boolean,
        FieldType::Int(bits) if *bits <= 32 => DataType::Int32,
        FieldType::Int(_) => DataType::Int64,
        FieldType::Float(_) => DataType::Float64,
        FieldType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
        FieldType::TimestampMs => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        FieldType::TimestampUs => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        FieldType::Date => DataType::Date32,
        FieldType::Bytes => DataType::Binary,
        FieldType::List(item) => DataType::List(Arc::new(self::field(item))),
        FieldType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect::<Fields>()),
    }
}
