//! Columns that the file names against the schema that reaches them: keys, watermarks.

use super::Check;
use crate::ast::{FieldType, Operator, Schema, Target, Watermark};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::span::Spanned;
use crate::suggest::nearest;

pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    for table in pipeline.tables.values() {
        if let Some(schema) = check.flow.schema(&table.id.value) {
            keys(schema, &table.key, "a table's key", out);
        }
    }
    for transform in pipeline.transforms.values() {
        let Some(input) = transform.inputs.first() else { continue };
        let Some(schema) = check.flow.schema(&input.value) else { continue };
        match &transform.op {
            Operator::Dedupe(dedupe) => keys(schema, &dedupe.key, "dedupe's key", out),
            Operator::Topic(op) => topic(check, schema, &op.topic, op.watermark.as_ref(), out),
            _ => {}
        }
    }
    for source in pipeline.sources.values() {
        let Some(schema) = check.flow.schema(&source.id.value) else { continue };
        if let Some(read) = &source.topic {
            topic(check, schema, &read.topic, read.watermark.as_ref(), out);
        }
    }
    for sink in pipeline.sinks.values() {
        let Target::Topic(written) = &sink.target else { continue };
        for schema in sink.inputs.iter().filter_map(|input| check.flow.schema(&input.value)) {
            topic(check, schema, written, None, out);
        }
    }
}

/// A topic's key and watermark, against the columns of what is in it.
fn topic(
    check: &Check<'_>,
    schema: &Schema,
    name: &Spanned<String>,
    watermark: Option<&Watermark>,
    out: &mut Diagnostics,
) {
    if let Some(topic) = check.pipeline.topics.get(&name.value) {
        keys(schema, &topic.key, "the topic's key", out);
    }
    if let Some(watermark) = watermark
        && let Some(field) = column(schema, &watermark.column, "the watermark", out)
        && !matches!(field.data_type, FieldType::TimestampMs | FieldType::TimestampUs)
    {
        let message = format!(
            "the watermark is over {:?}, which is a {}; event time is a timestamp_ms or timestamp_us",
            watermark.column.value,
            field.data_type.describe()
        );
        out.push(
            Diagnostic::new(&code::COLUMN_TYPE, watermark.column.span, message)
                .related(field.name.span, "declared here"),
        );
    }
}

fn keys(schema: &Schema, key: &[Spanned<String>], what: &str, out: &mut Diagnostics) {
    for name in key {
        let Some(field) = column(schema, name, what, out) else { continue };
        if matches!(field.data_type, FieldType::List(_) | FieldType::Struct(_) | FieldType::Float(_)) {
            let message = format!(
                "{what} names {:?}, a {}, which cannot be a key",
                name.value,
                field.data_type.describe()
            );
            out.push(
                Diagnostic::new(&code::COLUMN_TYPE, name.span, message)
                    .related(field.name.span, "declared here"),
            );
        } else if !field.required {
            let message = format!("{what} names {:?}, which may be absent", name.value);
            out.push(
                Diagnostic::new(&code::KEY_NOT_REQUIRED, name.span, message)
                    .related(field.name.span, "add `required: true` here"),
            );
        }
    }
}

fn column<'a>(
    schema: &'a Schema,
    name: &Spanned<String>,
    what: &str,
    out: &mut Diagnostics,
) -> Option<&'a crate::ast::SchemaField> {
    let field = schema.field(&name.value);
    if field.is_none() && !name.value.is_empty() {
        let near = nearest(&name.value, schema.fields.iter().map(|f| f.name.value.as_str()));
        let message =
            format!("{what} names {:?}, which the schema {:?} does not have", name.value, schema.id.value);
        out.push(
            Diagnostic::new(&code::UNKNOWN_COLUMN, name.span, message)
                .suggest(near)
                .related(schema.id.span, "the schema"),
        );
    }
    field
}
