//! Avro schemas: from their JSON to a tree whose names are resolved, and from columns to their JSON. Logical types that
//! do not fit what they stand on are ignored, as the specification wants. Never enters: records.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::{Value, json};

use crate::FormatError;

/// A schema with everything that it names.
#[derive(Debug)]
pub(super) struct AvroSchema {
    pub(super) root: Node,
    named: HashMap<String, Definition>,
}

/// A type as it stands in a schema.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int(Whole),
    Long(Whole),
    Float,
    Double,
    Bytes(Option<Decimal>),
    Text,
    Array(Box<Node>),
    Map(Box<Node>),
    Union(Vec<Node>),
    /// A record, an enum or a fixed, by its full name.
    Named(String),
}

/// What an int or a long stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    Number,
    /// Days since 1970.
    Date,
    /// Time since 1970, in this many to the second.
    Instant(i64),
}

/// A decimal's digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) precision: u32,
    pub(super) scale: u32,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Definition {
    Record(Vec<FieldNode>),
    Enum(Vec<String>),
    Fixed { size: usize, decimal: Option<Decimal>, uuid: bool },
}

/// A record's field.
#[derive(Debug)]
pub(super) struct FieldNode {
    pub(super) name: String,
    pub(super) node: Node,
}

fn refused(text: String) -> FormatError {
    FormatError::Form(text)
}

impl AvroSchema {
    /// Reads a schema; those that it refers to come first.
    pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<AvroSchema, FormatError> {
        let mut parser = Parser { named: HashMap::new(), open: Vec::new() };
        let mut names = Vec::new();
        for (name, text) in references {
            let value =
                json_of(text).map_err(|e| refused(format!("the schema {name}, which it refers to, {e}")))?;
            names.push(parser.node(&value, "")?);
        }
        let value = json_of(text).map_err(|e| refused(format!("the Avro schema {e}")))?;
        names.push(parser.node(&value, "")?);
        let root = names.pop().unwrap_or(Node::Null);
        Ok(AvroSchema { root, named: parser.named })
    }

    /// What a name of this schema stands for.
    pub(super) fn definition(&self, name: &str) -> &Definition {
        // Names were resolved when the schema was read.
        &self.named[name]
    }

    /// The fields of the record that the schema is.
    pub(super) fn record(&self) -> Result<&[FieldNode], FormatError> {
        if let Node::Named(name) = &self.root
            && let Definition::Record(fields) = self.definition(name)
        {
            return Ok(fields);
        }
        Err(refused("the Avro schema is no record; rows are records".to_owned()))
    }
}

fn json_of(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        // A registry writes a primitive schema as a bare word too.
        Err(_) if text.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') => {
            Ok(Value::from(text.trim()))
        }
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

struct Parser {
    named: HashMap<String, Definition>,
    /// Records that are being read, which may hold themselves.
    open: Vec<String>,
}

impl Parser {
    fn node(&mut self, value: &Value, space: &str) -> Result<Node, FormatError> {
        match value {
            Value::String(word) => self.word(word, space),
            Value::Array(branches) => {
                let branches: Result<Vec<Node>, _> = branches.iter().map(|v| self.node(v, space)).collect();
                Ok(Node::Union(branches?))
            }
            Value::Object(map) => self.complex(map, space),
            other => Err(refused(format!("the Avro schema has {other} where a type belongs"))),
        }
    }

    /// A primitive type, or one that was defined before: of the space that the name stands in, or of none.
    fn word(&self, word: &str, space: &str) -> Result<Node, FormatError> {
        if let Some(node) = primitive(word) {
            return Ok(node);
        }
        let is_known = |name: &String| self.named.contains_key(name) || self.open.contains(name);
        let name = [qualified(word, space), word.to_owned()].into_iter().find(is_known);
        let refuse =
            || refused(format!("the Avro schema names the type {word:?}, which it does not define before"));
        name.map(Node::Named).ok_or_else(refuse)
    }

    fn complex(&mut self, map: &serde_json::Map<String, Value>, space: &str) -> Result<Node, FormatError> {
        let part = |key: &str| {
            map.get(key)
                .ok_or_else(|| refused(format!("a type of the Avro schema has no {key:?}: {}", cut(map))))
        };
        let kind = part("type")?;
        let logical = map.get("logicalType").and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| map.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let decimal = || {
            let precision = number("precision").filter(|p| *p > 0)?;
            let scale = number("scale").unwrap_or(0);
            (logical == "decimal" && scale <= precision).then_some(Decimal { precision, scale })
        };
        let Some(word) = kind.as_str() else { return self.node(kind, space) };
        match word {
            "array" => Ok(Node::Array(Box::new(self.node(part("items")?, space)?))),
            "map" => Ok(Node::Map(Box::new(self.node(part("values")?, space)?))),
            "record" | "error" | "enum" | "fixed" => {
                let (name, inner) = full_name(map, space).ok_or_else(|| {
                    refused(format!("a {word} of the Avro schema has no name: {}", cut(map)))
                })?;
                let definition = match word {
                    "enum" => {
                        let symbols = part("symbols")?.as_array().into_iter().flatten();
                        let symbols: Option<Vec<String>> =
                            symbols.map(|symbol| symbol.as_str().map(str::to_owned)).collect();
                        let refuse = || refused(format!("the enum {name} has a symbol that is no text"));
                        Definition::Enum(symbols.ok_or_else(refuse)?)
                    }
                    "fixed" => {
                        let size = part("size")?.as_u64().and_then(|n| usize::try_from(n).ok());
                        let size = size.filter(|n| *n <= crate::decoder::RECORD_BYTES_MAX);
                        let size = size.ok_or_else(|| {
                            refused(format!("the fixed {name} has no size that a record holds"))
                        })?;
                        Definition::Fixed { size, decimal: decimal(), uuid: logical == "uuid" && size == 16 }
                    }
                    _ => {
                        self.open.push(name.clone());
                        let mut fields = Vec::new();
                        for field in part("fields")?.as_array().into_iter().flatten() {
                            let (Some(of), Some(kind)) =
                                (field.get("name").and_then(Value::as_str), field.get("type"))
                            else {
                                return Err(refused(format!(
                                    "a field of {name} has no name or no type: {field}"
                                )));
                            };
                            fields.push(FieldNode { name: of.to_owned(), node: self.node(kind, &inner)? });
                        }
                        self.open.pop();
                        Definition::Record(fields)
                    }
                };
                if self.named.insert(name.clone(), definition).is_some() {
                    return Err(refused(format!("the Avro schema defines {name:?} twice")));
                }
                Ok(Node::Named(name))
            }
            _ => Ok(match (primitive(word), logical) {
                (Some(Node::Int(_)), "date") => Node::Int(Whole::Date),
                (Some(Node::Long(_)), "timestamp-millis" | "local-timestamp-millis") => {
                    Node::Long(Whole::Instant(1_000))
                }
                (Some(Node::Long(_)), "timestamp-micros" | "local-timestamp-micros") => {
                    Node::Long(Whole::Instant(1_000_000))
                }
                (Some(Node::Long(_)), "timestamp-nanos" | "local-timestamp-nanos") => {
                    Node::Long(Whole::Instant(1_000_000_000))
                }
                (Some(Node::Bytes(_)), _) => Node::Bytes(decimal()),
                (Some(node), _) => node,
                (None, _) => self.word(word, space)?,
            }),
        }
    }
}

fn cut(map: &serde_json::Map<String, Value>) -> String {
    let text = Value::Object(map.clone()).to_string();
    text.chars().take(80).collect()
}

fn primitive(word: &str) -> Option<Node> {
    Some(match word {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int(Whole::Number),
        "long" => Node::Long(Whole::Number),
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes(None),
        "string" => Node::Text,
        _ => return None,
    })
}

fn qualified(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

/// A definition's full name, and the space of what is inside it.
fn full_name(map: &serde_json::Map<String, Value>, space: &str) -> Option<(String, String)> {
    let name = map.get("name").and_then(Value::as_str).filter(|name| !name.is_empty())?;
    let space = map.get("namespace").and_then(Value::as_str).unwrap_or(space);
    let full = qualified(name, space);
    let inner = full.rsplit_once('.').map_or(String::new(), |(space, _)| space.to_owned());
    Some((full, inner))
}

/// Whether Avro takes a text as a name.
fn is_name(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name that Avro takes, as near to `text` as can be.
fn name_near(text: &str) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if is_name(&name) { name } else { format!("_{name}") }
}

/// Which fields of a derived schema may be null.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// Those whose columns may be: for a registry, which readers ask.
    OfColumns,
    /// All: where records do not say how they were written, writer and reader need not agree on what is required.
    Everywhere,
}

/// The schema of rows with these columns.
pub(super) fn derived(name: &str, columns: &Schema, nulls: Nulls) -> Result<String, FormatError> {
    Ok(record(&name_near(name), columns.fields(), nulls)?.to_string())
}

/// A record by its full name; those inside are in its space, so that no two are called the same.
fn record(name: &str, fields: &Fields, nulls: Nulls) -> Result<Value, FormatError> {
    let mut list = Vec::new();
    for field in fields {
        if !is_name(field.name()) {
            return Err(refused(format!(
                "column {} has a name that Avro does not take (letters, digits and _, no digit first); rename it with AS",
                field.name()
            )));
        }
        let kind = node(&format!("{name}.{}", field.name()), field, nulls)?;
        let mut entry = json!({ "name": field.name(), "type": kind });
        if field.is_nullable() || nulls == Nulls::Everywhere {
            entry["default"] = Value::Null;
        }
        list.push(entry);
    }
    Ok(json!({ "type": "record", "name": name, "fields": list }))
}

fn node(name: &str, field: &Field, nulls: Nulls) -> Result<Value, FormatError> {
    let logical = |base: &str, kind: &str| json!({ "type": base, "logicalType": kind });
    let kind = match field.data_type() {
        DataType::Null => return Ok(json!("null")),
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            json!("int")
        }
        DataType::Int64 | DataType::UInt32 => json!("long"),
        DataType::UInt64 => json!({ "type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0 }),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        DataType::Date32 => logical("int", "date"),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) => {
            logical("long", "timestamp-millis")
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => logical("long", "timestamp-micros"),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => logical("long", "timestamp-nanos"),
        DataType::Utf8 | DataType::LargeUtf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::List(item) => json!({ "type": "array", "items": node(name, item, nulls)? }),
        DataType::Struct(fields) => record(name, fields, nulls)?,
        other => {
            return Err(refused(format!(
                "column {} is of type {other}, which has no form in Avro; cast it, as in CAST({} AS VARCHAR)",
                field.name(),
                field.name()
            )));
        }
    };
    let nullable = field.is_nullable() || nulls == Nulls::Everywhere;
    Ok(if nullable { json!(["null", kind]) } else { kind })
}
