//! The JSON Schema of rows, for a schema registry. Never enters: checking records against one.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 7) of the objects that rows with these columns are.
pub(crate) fn json_schema(name: &str, columns: &Schema) -> String {
    let mut schema = object(columns.fields());
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(name));
    Value::Object(schema).to_string()
}

fn object(fields: &Fields) -> Map<String, Value> {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name().clone(), property(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|f| !f.is_nullable()).map(|f| f.name().as_str()).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(field: &Field) -> Value {
    let of = |kind: &str| json!({ "type": kind });
    let schema = match field.data_type() {
        DataType::Null => return of("null"),
        DataType::Boolean => of("boolean"),
        kind if kind.is_integer() => of("integer"),
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _) => of("number"),
        DataType::Date32 => json!({ "type": "string", "format": "date" }),
        DataType::Timestamp(_, _) => json!({ "type": "string", "format": "date-time" }),
        DataType::Binary => json!({ "type": "string", "contentEncoding": "base64" }),
        DataType::List(item) => json!({ "type": "array", "items": property(item) }),
        DataType::Struct(fields) => Value::Object(object(fields)),
        _ => of("string"),
    };
    match field.is_nullable() {
        true => json!({ "oneOf": [{ "type": "null" }, schema] }),
        false => schema,
    }
}
