//! The text of a .proto file for columns, where none is given: one message, its fields in the order of the columns. Never
//! enters: compiling it, records.

use std::collections::HashSet;
use std::fmt::Write;

use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::FormatError;

/// The deepest nesting of messages in a file, as the compilers have it.
const NESTED_MAX: usize = 30;

/// The file, with a message named after `name`. The error names the first column that has no form.
pub(super) fn derive(name: &str, columns: &Schema) -> Result<String, FormatError> {
    let mut body = String::new();
    let imports = message(&type_name(name), columns.fields(), "", 0, &mut body).map_err(FormatError::Form)?;
    let imports = if imports { "import \"google/protobuf/timestamp.proto\";\n\n" } else { "" };
    Ok(format!("syntax = \"proto3\";\n\n{imports}{body}"))
}

/// Appends a message; says whether it has timestamps.
fn message(name: &str, fields: &Fields, path: &str, depth: usize, out: &mut String) -> Result<bool, String> {
    if depth == NESTED_MAX {
        return Err(format!("column {path} is nested deeper than {NESTED_MAX}"));
    }
    let indent = "  ".repeat(depth);
    let mut timestamps = false;
    // Fields and messages of a message share their names.
    let mut taken: HashSet<String> = fields.iter().map(|field| field.name().clone()).collect();
    let mut lines = String::new();
    let _ = writeln!(out, "{indent}message {name} {{");
    for (place, field) in fields.iter().enumerate() {
        let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
        if !is_identifier(field.name()) {
            return Err(format!(
                "column {path} has a name that no field of Protobuf may have (letters, digits and _); rename it, as in SELECT … AS {}",
                identifier(field.name())
            ));
        }
        let (label, one) = match field.data_type() {
            DataType::List(item) => ("repeated ", item),
            _ => ("", field),
        };
        let (label, kind) = match one.data_type() {
            DataType::Struct(fields) => {
                let mut kind = type_name(field.name());
                while !taken.insert(kind.clone()) {
                    kind.push('_');
                }
                timestamps |= message(&kind, fields, &path, depth + 1, out)?;
                (label, kind)
            }
            DataType::Timestamp(_, _) => {
                timestamps = true;
                (label, ".google.protobuf.Timestamp".to_owned())
            }
            _ => {
                let optional = label.is_empty() && field.is_nullable();
                (if optional { "optional " } else { label }, scalar(one, &path)?.to_owned())
            }
        };
        // The numbers from 19,000 to 19,999 are Protobuf's own.
        let number = if place < 18_999 { place + 1 } else { place + 1_001 };
        let _ = writeln!(lines, "{indent}  {label}{kind} {} = {number};", field.name());
    }
    let _ = writeln!(out, "{lines}{indent}}}");
    Ok(timestamps)
}

fn scalar(field: &Field, path: &str) -> Result<&'static str, String> {
    Ok(match field.data_type() {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Date32 => "string",
        DataType::Decimal128(_, scale) if *scale >= 0 => "string",
        DataType::Binary => "bytes",
        other => return Err(no_form(path, other)),
    })
}

/// Why a column cannot be written.
pub(super) fn no_form(path: &str, kind: &DataType) -> String {
    match kind {
        DataType::Null => format!("column {path} has no type; CAST it to one"),
        DataType::List(_) => format!(
            "column {path} is a list of lists, which has no form in Protobuf; put the inner one into a struct"
        ),
        other => format!(
            "column {path} is of type {other}, which has no form in Protobuf; cast it, as in CAST({path} AS VARCHAR)"
        ),
    }
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name like this one that a field may have.
fn identifier(name: &str) -> String {
    let kept: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if is_identifier(&kept) { kept } else { format!("c_{kept}") }
}

/// A name of a message in camel case.
fn type_name(name: &str) -> String {
    let mut camel = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        camel += &first.to_ascii_uppercase();
        camel += rest;
    }
    match camel.chars().next() {
        None => "Record".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("M{camel}"),
        Some(_) => camel,
    }
}
