//! The JSON schema for editors, from the same tables that lint uses: completion and red lines while typing.
//!
//! Never enters: checks of relations, which JSON schema cannot say.

use serde_json::{Map, Value, json};

use crate::catalog::Catalog;
use crate::shape::core::{OPERATORS, PIPELINE, SCHEMA_FIELD};
use crate::shape::walk::{ID_CHARS_MAX, section_fields, type_fields};
use crate::shape::{Field, Kind, Section, Shape};

/// The schema of a pipeline file with the connectors of `catalog`, JSON Schema draft 7 (which the YAML language server
/// speaks).
pub fn json_schema(catalog: &dyn Catalog) -> Value {
    let mut schema = of_fields(PIPELINE.fields.iter(), catalog);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Millstream pipeline");
    let mut definitions = Map::new();
    for section in Section::ALL {
        definitions.insert(section.one().to_owned(), component(section, catalog));
    }
    definitions.insert("field".to_owned(), of_fields(SCHEMA_FIELD.fields.iter(), catalog));
    definitions.insert(
        "interpolation".to_owned(),
        json!({ "type": "string", "pattern": "\\$\\{(env|file|secret):[^}]+\\}" }),
    );
    schema["definitions"] = Value::Object(definitions);
    schema
}

fn component(section: Section, catalog: &dyn Catalog) -> Value {
    let types: Vec<&str> = match section {
        Section::Transforms => OPERATORS.iter().map(|(name, _)| *name).collect(),
        _ => catalog.types(section),
    };
    let cases: Vec<Value> = types
        .iter()
        .map(|name| {
            let own = type_fields(section, name, catalog).unwrap_or(&[]);
            let mut case = of_fields(section_fields(section).iter().chain(own), catalog);
            case["properties"]["type"] = json!({ "const": name });
            json!({ "if": { "properties": { "type": { "const": name } } }, "then": case })
        })
        .collect();
    json!({ "type": "object", "required": ["type"], "properties": { "type": { "enum": types } }, "allOf": cases })
}

fn of_fields<'a>(fields: impl Iterator<Item = &'a Field>, catalog: &dyn Catalog) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut value = of_kind(&field.kind, catalog);
        if let Value::Object(object) = &mut value {
            let doc = match field.default {
                "" => field.doc.to_owned(),
                default => format!("{} Default: {default}.", field.doc),
            };
            object.insert("description".to_owned(), json!(doc));
        }
        properties.insert(field.name.to_owned(), value);
        if field.required && !required.contains(&field.name) {
            required.push(field.name);
        }
    }
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn of_shape(shape: &Shape, catalog: &dyn Catalog) -> Value {
    of_fields(shape.fields.iter(), catalog)
}

fn of_kind(kind: &Kind, catalog: &dyn Catalog) -> Value {
    let id_pattern = format!("^[a-z_][a-z0-9_]{{0,{}}}$", ID_CHARS_MAX - 1);
    let or_variable = |value: Value| json!({ "anyOf": [value, { "$ref": "#/definitions/interpolation" }] });
    match kind {
        Kind::Text | Kind::Verbatim | Kind::Secret | Kind::Name | Kind::Sql => json!({ "type": "string" }),
        Kind::Int(low, high) => or_variable(match *high {
            i64::MAX => json!({ "type": "integer", "minimum": low }),
            _ => json!({ "type": "integer", "minimum": low, "maximum": high }),
        }),
        Kind::Bool => or_variable(json!({ "type": "boolean" })),
        Kind::Duration(..) => or_variable(json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })),
        Kind::Size(..) => or_variable(json!({ "type": "string", "pattern": "^[0-9]+(B|[kMGT]B|[KMGT]iB)$" })),
        Kind::Rate => or_variable(
            json!({ "type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})?%/[0-9]+(ms|s|m|h|d)$" }),
        ),
        Kind::Cores => or_variable(json!({ "type": "number", "minimum": 0.05, "maximum": 1_024 })),
        Kind::Instant => json!({ "type": "string", "format": "date-time" }),
        Kind::Word(words) => or_variable(json!({ "enum": words })),
        Kind::List(of, fewest) => {
            json!({ "type": "array", "minItems": fewest, "items": of_kind(of, catalog) })
        }
        Kind::Map(of) => json!({ "type": "object", "additionalProperties": of_kind(of, catalog) }),
        Kind::Ids(of) => json!({
            "type": "object",
            "propertyNames": { "pattern": id_pattern },
            "additionalProperties": of_kind(of, catalog),
        }),
        Kind::Struct(shape) => of_shape(shape, catalog),
        Kind::Either(kinds) => {
            json!({ "anyOf": kinds.iter().map(|k| of_kind(k, catalog)).collect::<Vec<_>>() })
        }
        Kind::Component(section) => json!({ "$ref": format!("#/definitions/{}", section.one()) }),
        Kind::SchemaField => json!({ "$ref": "#/definitions/field" }),
        Kind::Any => json!({}),
    }
}
