//! Columns to messages: what is found out once about a schema, and how a row is written. Fields are written in the order
//! of their numbers, and those without presence only where they are not the default. Never enters: the forms of single
//! values.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Fields, Schema};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::cells::{Cell, Cells};
use super::derive::{derive, no_form};
use super::frames;
use super::kind::{Shape, fields_for, type_name, wire_type};
use super::scalars::{field, push, push_known, takes};
use super::schema::ProtobufSchema;
use super::wire::{GROUP, LEN, delimited, push_group_end, push_key};
use super::{DEPTH_MAX, ProtobufForm};
use crate::FormatError;

/// Writes rows of some columns as messages.
pub(crate) struct ProtobufWriter {
    text: String,
    message: Message,
    /// What stands behind a registry's frame and before the message.
    header: Vec<u8>,
}

/// How a message is written from columns.
struct Message {
    /// In the order of their numbers.
    fields: Vec<Field>,
}

struct Field {
    number: u32,
    wire: u8,
    /// The column's place among those of the row or the struct, and its dotted path.
    column: usize,
    path: String,
    /// The field's type, for errors.
    kind: String,
    label: Label,
    /// The oneof that it is a member of.
    oneof: Option<Box<str>>,
    put: Put,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// Left out where it is null or the default.
    Implicit,
    /// Left out where it is null.
    Optional,
    Required,
    Repeated,
    Packed,
}

enum Put {
    /// Nothing: a column without a type.
    Nothing,
    One(Shape),
    Struct(Message),
}

impl ProtobufWriter {
    pub(crate) fn new(
        form: &ProtobufForm,
        name: &str,
        columns: &Schema,
    ) -> Result<ProtobufWriter, FormatError> {
        let derived;
        let schema = match (&form.schema, &form.registry) {
            (Some(schema), _) => schema.as_ref(),
            (None, Some(_)) => {
                let text = derive(name, columns)?;
                derived =
                    ProtobufSchema::compile("columns.proto", &text, None, &|_| None).map_err(|error| {
                        FormatError::Form(format!("the message that is made for the columns: {error}"))
                    })?;
                &derived
            }
            (None, None) => {
                let text = "records of Protobuf are written by their message: give `schema: file.proto`, or a schema registry";
                return Err(FormatError::Form(text.to_owned()));
            }
        };
        let message = message(schema.descriptor(), columns.fields(), "", 0).map_err(FormatError::Form)?;
        let header = match form.registry {
            Some(_) => frames::indexes(schema.descriptor()),
            None => Vec::new(),
        };
        Ok(ProtobufWriter { text: schema.text().to_owned(), message, header })
    }

    /// The text of the message's file.
    pub(crate) fn schema_text(&self) -> &str {
        &self.text
    }

    /// The rows of a batch that has the writer's columns.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> ProtobufRows<'_> {
        ProtobufRows { writer: self, columns: batch.columns().iter().map(Cells::new).collect() }
    }
}

/// How columns are written as a message; the error is for a person.
fn message(
    message: &MessageDescriptor,
    columns: &Fields,
    path: &str,
    depth: usize,
) -> Result<Message, String> {
    let name = message.full_name();
    if depth == DEPTH_MAX {
        return Err(format!("column {path} is nested deeper than {DEPTH_MAX}"));
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
    let mut fields: Vec<Field> = Vec::new();
    for (place, (column, found)) in columns.iter().zip(fields_for(message, &names)).enumerate() {
        let path = if path.is_empty() { column.name().clone() } else { format!("{path}.{}", column.name()) };
        let Some(found) = found else {
            let has: Vec<String> = message.fields().map(|f| f.name().to_owned()).collect();
            return Err(format!(
                "column {path} has no field in message {name}, which has {}",
                has.join(", ")
            ));
        };
        if let Some(other) = fields.iter().find(|f| f.number == found.number()) {
            return Err(format!(
                "columns {} and {path} are both field {} of {name}",
                other.path,
                found.name()
            ));
        }
        let put = put(&found, column.data_type(), &path, depth)?;
        fields.push(Field {
            number: found.number(),
            wire: wire_type(&found),
            column: place,
            path,
            kind: type_name(&found),
            label: match found.cardinality() {
                Cardinality::Required => Label::Required,
                Cardinality::Repeated if found.is_packed() => Label::Packed,
                Cardinality::Repeated => Label::Repeated,
                Cardinality::Optional if found.supports_presence() => Label::Optional,
                Cardinality::Optional => Label::Implicit,
            },
            oneof: found.containing_oneof().filter(|oneof| !oneof.is_synthetic()).map(|o| o.name().into()),
            put,
        });
    }
    fields.sort_by_key(|field| field.number);
    let lacking =
        message.fields().find(|f| f.is_required() && !fields.iter().any(|w| w.number == f.number()));
    match lacking {
        Some(field) => Err(format!("field {} of message {name} is required and has no column", field.name())),
        None => Ok(Message { fields }),
    }
}

/// How the values of a column, or of its lists, are written to a field.
fn put(field: &FieldDescriptor, column: &DataType, path: &str, depth: usize) -> Result<Put, String> {
    let repeated = field.cardinality() == Cardinality::Repeated;
    let refused = || {
        let (message, kind) = (field.parent_message().full_name(), type_name(field));
        format!(
            "column {path} is of type {column}, and field {} of {message} is of type {kind}",
            field.name()
        )
    };
    let one = match column {
        DataType::Null => return Ok(Put::Nothing),
        DataType::List(item) if repeated => match item.data_type() {
            DataType::Null => return Ok(Put::Nothing),
            DataType::List(_) => return Err(no_form(path, column)),
            one => one,
        },
        DataType::List(_) => return Err(refused()),
        _ if repeated => return Err(refused()),
        one => one,
    };
    if let DataType::Struct(fields) = one {
        return match field.kind() {
            Kind::Message(inner) => message(&inner, fields, path, depth + 1).map(Put::Struct),
            _ => Err(refused()),
        };
    }
    let shape = Shape::of(field.kind());
    if takes(&shape, one) { Ok(Put::One(shape)) } else { Err(refused()) }
}

/// The rows of a batch, to be written one at a time.
pub(crate) struct ProtobufRows<'a> {
    writer: &'a ProtobufWriter,
    columns: Vec<Cells>,
}

impl ProtobufRows<'_> {
    /// Appends a row as a message, behind a registry's frame with the place of the message in its file. The error names
    /// the column and the value that does not fit; what was appended is then to be thrown away.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&self.writer.header);
        self.writer.message.write(&self.columns, row, out)
    }
}

impl Message {
    fn write(&self, columns: &[Cells], row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        for (place, field) in self.fields.iter().enumerate() {
            let cells = &columns[field.column];
            if cells.is_null(row) {
                if field.label == Label::Required {
                    return Err(format!("column {} is null, and its field is required", field.path));
                }
                continue;
            }
            if field.oneof.is_some() {
                let written = |f: &&Field| f.oneof == field.oneof && !columns[f.column].is_null(row);
                if let Some(other) = self.fields[..place].iter().find(written) {
                    return Err(format!(
                        "columns {} and {} both have a value, and only one of a oneof may",
                        other.path, field.path
                    ));
                }
            }
            field.write(cells, row, out)?;
        }
        Ok(())
    }
}

impl Field {
    fn write(&self, cells: &Cells, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self.label {
            Label::Required | Label::Optional => self.keyed(cells, row, out),
            Label::Implicit => match &self.put {
                Put::One(Shape::Scalar(scalar)) => {
                    let cell = cells.cell(row);
                    field(self.number, self.wire, out, |out| push(scalar, cell, out))
                        .ok_or_else(|| self.refused(cell))
                }
                _ => self.keyed(cells, row, out),
            },
            Label::Repeated => {
                let (items, rows) = cells.items(row);
                for row in rows {
                    self.no_null(items, row)?;
                    self.keyed(items, row, out)?;
                }
                Ok(())
            }
            Label::Packed => {
                let (items, rows) = cells.items(row);
                let Put::One(Shape::Scalar(scalar)) = &self.put else { return self.nulls_only(items, rows) };
                if rows.is_empty() {
                    return Ok(());
                }
                push_key(self.number, LEN, out);
                delimited(out, |out| {
                    for row in rows {
                        self.no_null(items, row)?;
                        let cell = items.cell(row);
                        push(scalar, cell, out).ok_or_else(|| self.refused(cell))?;
                    }
                    Ok(())
                })
            }
        }
    }

    /// Appends a value with its key.
    fn keyed(&self, cells: &Cells, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        push_key(self.number, self.wire, out);
        match &self.put {
            Put::Nothing => self.no_null(cells, row),
            Put::Struct(message) if self.wire == GROUP => {
                message.write(cells.columns(), row, out)?;
                push_group_end(self.number, out);
                Ok(())
            }
            Put::Struct(message) => delimited(out, |out| message.write(cells.columns(), row, out)),
            Put::One(shape) => {
                let cell = cells.cell(row);
                let done = match shape {
                    Shape::Scalar(scalar) => push(scalar, cell, out),
                    shape => delimited(out, |out| push_known(shape, cell, out).ok_or(())).ok(),
                };
                done.ok_or_else(|| self.refused(cell))
            }
        }
    }

    fn refused(&self, cell: Cell<'_>) -> String {
        format!("column {}: {cell} does not fit a field of type {}", self.path, self.kind)
    }

    fn no_null(&self, items: &Cells, row: usize) -> Result<(), String> {
        if items.is_null(row) {
            return Err(format!(
                "column {}: an item of the list is null, and no repeated field has nulls",
                self.path
            ));
        }
        Ok(())
    }

    fn nulls_only(&self, items: &Cells, mut rows: std::ops::Range<usize>) -> Result<(), String> {
        rows.try_for_each(|row| self.no_null(items, row))
    }
}
