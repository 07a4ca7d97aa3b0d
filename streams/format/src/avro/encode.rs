//! Columns into records of Avro, by a schema that is given or derived from them. A value that the schema has no form for
//! is told, with its column; of times, what is below the schema's unit is cut off. Never enters: schemas' JSON.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float64Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt64Type,
};

use super::AvroForm;
use super::schema::{AvroSchema, Decimal, Definition, FieldNode, Node, Nulls, Whole, derived};
use crate::FormatError;
use crate::decimal::{rescaled, shortest};
use crate::varint::{push_varint, zigzag};

/// Writes rows of some columns.
pub(crate) struct AvroWriter {
    text: String,
    root: Vec<Part>,
}

/// A field of a record in the schema's order.
enum Part {
    /// A column's value.
    Column(usize, Target),
    /// No column has it: the branch of a null in its union, or a null itself.
    Absent(Option<usize>),
}

/// How a column's values are written.
struct Target {
    /// In a union: the branch of nulls, where there is one, and that of values.
    union: Option<(Option<usize>, usize)>,
    kind: Kind,
}

enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    /// As many to the second.
    Instant(i64),
    Text,
    Bytes,
    Decimal(Decimal, Option<usize>),
    Fixed(usize),
    Enum(HashMap<String, i64>),
    Array(Box<Target>),
    Record(Vec<Part>),
}

fn refused(text: String) -> FormatError {
    FormatError::Form(text)
}

fn misfit(path: &str, field: &Field, what: &str) -> FormatError {
    refused(format!(
        "column {path}, of type {}, is not written to {what} of the Avro schema",
        field.data_type()
    ))
}

/// Finds how columns are written by a schema.
fn parts(
    schema: &AvroSchema,
    fields: &[FieldNode],
    columns: &Fields,
    path: &str,
    depth: usize,
) -> Result<Vec<Part>, FormatError> {
    let named = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(extra) = columns.iter().find(|c| !fields.iter().any(|f| f.name == *c.name())) {
        let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        return Err(refused(format!(
            "the Avro schema has no field for column {}; it has {}",
            named(extra.name()),
            known.join(", ")
        )));
    }
    let part = |field: &FieldNode| match columns.iter().position(|c| *c.name() == field.name) {
        Some(at) => {
            Ok(Part::Column(at, target(schema, &field.node, &columns[at], &named(&field.name), depth + 1)?))
        }
        None => match &field.node {
            Node::Null => Ok(Part::Absent(None)),
            Node::Union(branches) if branches.iter().any(|b| matches!(b, Node::Null)) => {
                Ok(Part::Absent(branches.iter().position(|b| matches!(b, Node::Null))))
            }
            _ => Err(refused(format!(
                "field {} of the Avro schema has no column and cannot be null; select it, or make it a union with null",
                named(&field.name)
            ))),
        },
    };
    fields.iter().map(part).collect()
}

fn target(
    schema: &AvroSchema,
    node: &Node,
    column: &Field,
    path: &str,
    depth: usize,
) -> Result<Target, FormatError> {
    match node {
        Node::Union(branches) => {
            let null = branches.iter().position(|b| matches!(b, Node::Null));
            if *column.data_type() == DataType::Null
                && let Some(null) = null
            {
                return Ok(Target { union: Some((Some(null), null)), kind: Kind::Null });
            }
            // The plainest: text before an enum, bytes before a fixed, a number before a decimal.
            let fits = branches
                .iter()
                .enumerate()
                .filter_map(|(at, branch)| Some((at, kind(schema, branch, column, path, depth).ok()?)))
                .min_by_key(|(_, kind)| matches!(kind, Kind::Enum(_) | Kind::Fixed(_) | Kind::Decimal(..)));
            let (at, kind) = fits.ok_or_else(|| misfit(path, column, "any branch of its union"))?;
            Ok(Target { union: Some((null, at)), kind })
        }
        node => Ok(Target { union: None, kind: kind(schema, node, column, path, depth)? }),
    }
}

fn kind(
    schema: &AvroSchema,
    node: &Node,
    column: &Field,
    path: &str,
    depth: usize,
) -> Result<Kind, FormatError> {
    use DataType as D;
    let of = column.data_type();
    let small = matches!(of, D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16);
    let text = matches!(of, D::Utf8 | D::LargeUtf8);
    Ok(match (node, of) {
        (Node::Null, D::Null) => Kind::Null,
        (Node::Boolean, D::Boolean) => Kind::Boolean,
        (Node::Int(Whole::Number), _) if small => Kind::Int,
        (Node::Long(Whole::Number), D::Int64 | D::UInt32) => Kind::Long,
        (Node::Long(Whole::Number), _) if small => Kind::Long,
        (Node::Int(Whole::Date), D::Date32) => Kind::Int,
        (Node::Long(Whole::Instant(per_second)), D::Timestamp(_, _)) => Kind::Instant(*per_second),
        (Node::Float, D::Float32) => Kind::Float,
        (Node::Double, D::Float32 | D::Float64) => Kind::Double,
        (Node::Double, _) if small => Kind::Double,
        (Node::Text, _) if text => Kind::Text,
        (Node::Bytes(None), D::Binary) => Kind::Bytes,
        (Node::Bytes(Some(decimal)), D::Decimal128(_, 0..) | D::UInt64) if decimal.scale <= 38 => {
            Kind::Decimal(*decimal, None)
        }
        (Node::Bytes(Some(decimal)), of) if of.is_integer() && decimal.scale <= 38 => {
            Kind::Decimal(*decimal, None)
        }
        (Node::Array(item), D::List(field)) => {
            Kind::Array(Box::new(target(schema, item, field, path, depth + 1)?))
        }
        (Node::Named(name), of) => match (schema.definition(name), of) {
            (Definition::Record(fields), D::Struct(columns)) if depth < 64 => {
                Kind::Record(parts(schema, fields, columns, path, depth)?)
            }
            (Definition::Enum(symbols), _) if text => {
                Kind::Enum(symbols.iter().enumerate().map(|(at, s)| (s.clone(), at as i64)).collect())
            }
            (Definition::Fixed { size, decimal: Some(decimal), .. }, D::Decimal128(_, 0..))
                if decimal.scale <= 38 =>
            {
                Kind::Decimal(*decimal, Some(*size))
            }
            (Definition::Fixed { size, .. }, D::Binary) => Kind::Fixed(*size),
            _ => return Err(misfit(path, column, name)),
        },
        _ => return Err(misfit(path, column, "its type")),
    })
}

impl AvroWriter {
    pub(crate) fn new(form: &AvroForm, name: &str, columns: &Schema) -> Result<AvroWriter, FormatError> {
        let text = match &form.schema {
            Some(text) => text.to_string(),
            None => {
                let nulls = if form.registry.is_some() { Nulls::OfColumns } else { Nulls::Everywhere };
                derived(name, columns, nulls)?
            }
        };
        let schema = AvroSchema::parse(&text, &[])?;
        let root = parts(&schema, schema.record()?, columns.fields(), "", 0)?;
        Ok(AvroWriter { text, root })
    }

    /// The schema, as JSON.
    pub(crate) fn schema_text(&self) -> &str {
        &self.text
    }

    pub(crate) fn rows(&self, batch: &RecordBatch) -> AvroRows<'_> {
        let names: Vec<String> = batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
        AvroRows { fields: fields(&self.root, batch.columns(), &names) }
    }
}

/// The rows of a batch.
pub(crate) struct AvroRows<'a> {
    fields: Vec<Cells<'a>>,
}

/// The values of one field.
enum Cells<'a> {
    Absent(Option<usize>),
    Column { target: &'a Target, name: String, nulls: Option<NullBuffer>, values: Values<'a> },
}

enum Values<'a> {
    Null,
    Boolean(ArrayRef),
    Whole(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    /// With how many there are to the second.
    Instant(Vec<i64>, i64),
    Text(ArrayRef),
    Bytes(ArrayRef),
    /// With their scale.
    Decimal(Vec<i128>, u32),
    List(Vec<i32>, Box<Cells<'a>>),
    Record(Vec<Cells<'a>>),
}

fn fields<'a>(parts: &'a [Part], columns: &[ArrayRef], names: &[String]) -> Vec<Cells<'a>> {
    let cells = |part: &'a Part| match part {
        Part::Absent(branch) => Cells::Absent(*branch),
        Part::Column(at, target) => cells(target, &names[*at], &columns[*at]),
    };
    parts.iter().map(cells).collect()
}

fn cells<'a>(target: &'a Target, name: &str, array: &ArrayRef) -> Cells<'a> {
    let to = |kind: DataType| cast(array, &kind).expect("numbers that are widened");
    let values = match (&target.kind, array.data_type()) {
        (Kind::Null, _) | (_, DataType::Null) => Values::Null,
        (Kind::Boolean, _) => Values::Boolean(array.clone()),
        (Kind::Int, DataType::Date32) => {
            Values::Whole(array.as_primitive::<Date32Type>().values().iter().map(|d| i64::from(*d)).collect())
        }
        (Kind::Int | Kind::Long, _) => {
            Values::Whole(to(DataType::Int64).as_primitive::<Int64Type>().values().to_vec())
        }
        (Kind::Float, _) => {
            Values::Float(array.as_primitive::<arrow::datatypes::Float32Type>().values().to_vec())
        }
        (Kind::Double, _) => {
            Values::Double(to(DataType::Float64).as_primitive::<Float64Type>().values().to_vec())
        }
        (Kind::Instant(_), DataType::Timestamp(unit, _)) => match unit {
            TimeUnit::Second => {
                Values::Instant(array.as_primitive::<TimestampSecondType>().values().to_vec(), 1)
            }
            TimeUnit::Millisecond => {
                Values::Instant(array.as_primitive::<TimestampMillisecondType>().values().to_vec(), 1_000)
            }
            TimeUnit::Microsecond => {
                Values::Instant(array.as_primitive::<TimestampMicrosecondType>().values().to_vec(), 1_000_000)
            }
            TimeUnit::Nanosecond => Values::Instant(
                array.as_primitive::<TimestampNanosecondType>().values().to_vec(),
                1_000_000_000,
            ),
        },
        (Kind::Decimal(..), DataType::Decimal128(_, scale)) => Values::Decimal(
            array.as_primitive::<Decimal128Type>().values().to_vec(),
            u32::try_from(*scale).unwrap_or(0),
        ),
        (Kind::Decimal(..), DataType::UInt64) => {
            let values = array.as_primitive::<UInt64Type>().values().iter();
            Values::Decimal(values.map(|v| i128::from(*v)).collect(), 0)
        }
        (Kind::Decimal(..), _) => {
            let whole = to(DataType::Int64);
            let values = whole.as_primitive::<Int64Type>().values().iter();
            Values::Decimal(values.map(|v| i128::from(*v)).collect(), 0)
        }
        (Kind::Text | Kind::Enum(_), _) => Values::Text(to(DataType::Utf8)),
        (Kind::Bytes | Kind::Fixed(_), _) => Values::Bytes(array.clone()),
        (Kind::Array(item), _) => {
            let list = array.as_list::<i32>();
            Values::List(list.offsets().to_vec(), Box::new(cells(item, name, list.values())))
        }
        (Kind::Record(parts), _) => {
            let record = array.as_struct();
            let names: Vec<String> = record.fields().iter().map(|f| format!("{name}.{}", f.name())).collect();
            Values::Record(fields(parts, record.columns(), &names))
        }
        (Kind::Instant(_), other) => panic!("a column of type {other} as an instant: `kind` refuses it"),
    };
    Cells::Column { target, name: name.to_owned(), nulls: array.logical_nulls(), values }
}

fn long(value: i64, out: &mut Vec<u8>) {
    push_varint(zigzag(value), out);
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

impl AvroRows<'_> {
    /// Appends a row; the error says which value the schema does not allow.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.fields.iter().try_for_each(|cells| cells.write(row, out))
    }
}

impl Cells<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let (target, name, nulls, values) = match self {
            Cells::Absent(branch) => {
                if let Some(branch) = branch {
                    long(*branch as i64, out);
                }
                return Ok(());
            }
            Cells::Column { target, name, nulls, values } => (target, name, nulls, values),
        };
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) || matches!(values, Values::Null) {
            match (&target.union, &target.kind) {
                (Some((Some(null), _)), _) => long(*null as i64, out),
                (None, Kind::Null) => {}
                _ => {
                    return Err(format!("column {name} is null, and its field of the Avro schema cannot be"));
                }
            }
            return Ok(());
        }
        if let Some((_, branch)) = target.union {
            long(branch as i64, out);
        }
        match (values, &target.kind) {
            (Values::Boolean(values), _) => out.push(u8::from(values.as_boolean().value(row))),
            (Values::Whole(values), _) => long(values[row], out),
            (Values::Float(values), _) => out.extend_from_slice(&values[row].to_le_bytes()),
            (Values::Double(values), _) => out.extend_from_slice(&values[row].to_le_bytes()),
            (Values::Instant(values, from), Kind::Instant(to)) => {
                let at = i128::from(values[row]) * i128::from(*to);
                let at = at.div_euclid(i128::from(*from));
                let at = i64::try_from(at).map_err(|_| {
                    format!("column {name}: the instant {} does not fit the Avro schema's unit", values[row])
                })?;
                long(at, out);
            }
            (Values::Text(values), Kind::Enum(symbols)) => {
                let text = values.as_string::<i32>().value(row);
                let symbol = symbols.get(text).ok_or_else(|| {
                    format!("column {name}: {text:?} is no symbol of the Avro schema's enum")
                })?;
                long(*symbol, out);
            }
            (Values::Text(values), _) => sized(values.as_string::<i32>().value(row).as_bytes(), out),
            (Values::Bytes(values), Kind::Fixed(size)) => {
                let bytes = values.as_binary::<i32>().value(row);
                if bytes.len() != *size {
                    return Err(format!(
                        "column {name}: {} bytes, and the Avro schema has {size}",
                        bytes.len()
                    ));
                }
                out.extend_from_slice(bytes);
            }
            (Values::Bytes(values), _) => sized(values.as_binary::<i32>().value(row), out),
            (Values::Decimal(values, scale), Kind::Decimal(decimal, fixed)) => {
                // The scale was looked at when the schema was matched.
                let (precision, of) = (decimal.precision.min(38) as u8, decimal.scale as i8);
                let value = rescaled(values[row], i64::from(*scale), precision, of).ok_or_else(|| {
                    format!(
                        "column {name}: {}e-{scale} does not fit decimal({}, {}) of the Avro schema",
                        values[row], decimal.precision, decimal.scale
                    )
                })?;
                let (bytes, from) = shortest(value);
                match fixed {
                    None => sized(&bytes[from..], out),
                    Some(size) => {
                        let short = &bytes[from..];
                        let fill = size.checked_sub(short.len()).ok_or_else(|| {
                            format!("column {name}: {}e-{scale} does not fit {size} bytes", values[row])
                        })?;
                        out.extend(std::iter::repeat_n(if value < 0 { 0xff } else { 0 }, fill));
                        out.extend_from_slice(short);
                    }
                }
            }
            (Values::List(offsets, item), _) => {
                let (from, to) = (offsets[row], offsets[row + 1]);
                if to > from {
                    long(i64::from(to - from), out);
                    (from..to).try_for_each(|row| item.write(row as usize, out))?;
                }
                out.push(0);
            }
            (Values::Record(cells), _) => cells.iter().try_for_each(|cells| cells.write(row, out))?,
            (Values::Instant(..) | Values::Decimal(..) | Values::Null, _) => {
                unreachable!("values were made for their kind")
            }
        }
        Ok(())
    }
}
