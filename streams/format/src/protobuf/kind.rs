//! What the types of fields are to columns: numbers and text, and the well-known messages that stand for one value.
//! Never enters: columns, bytes.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax};

use super::wire;

/// A type that is no message.
#[derive(Clone)]
pub(super) enum Scalar {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Float,
    Double,
    Text,
    Bytes,
    Enum(Arc<Names>),
}

/// The names of an enum's numbers.
pub(super) struct Names {
    /// By number; of aliases the first.
    named: Vec<(i32, Box<str>)>,
    numbers: HashMap<Box<str>, i32>,
    /// Whether other numbers are no values of it (proto2).
    closed: bool,
}

impl Names {
    fn new(of: &EnumDescriptor) -> Names {
        let mut named: Vec<(i32, Box<str>)> = Vec::new();
        let mut numbers = HashMap::new();
        for value in &of.enum_descriptor_proto().value {
            let (number, name) = (value.number(), value.name());
            named.push((number, name.into()));
            numbers.insert(name.into(), number);
        }
        // Stable, so that the first of equal numbers stays the first.
        named.sort_by_key(|(number, _)| *number);
        named.dedup_by_key(|(number, _)| *number);
        Names { named, numbers, closed: of.parent_file().syntax() == Syntax::Proto2 }
    }

    pub(super) fn name(&self, number: i32) -> Option<&str> {
        let at = self.named.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.named[at].1)
    }

    /// The number of a name; of a number as text too, if the enum takes other numbers.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        match self.numbers.get(name) {
            Some(number) => Some(*number),
            None => name.parse().ok().filter(|number| self.takes(*number) && number.to_string() == name),
        }
    }

    pub(super) fn takes(&self, number: i32) -> bool {
        !self.closed || self.name(number).is_some()
    }
}

impl Scalar {
    /// The scalar type of a field, or the type of its messages.
    pub(super) fn of(kind: Kind) -> Result<Scalar, MessageDescriptor> {
        Ok(match kind {
            Kind::Int32 => Scalar::Int32,
            Kind::Int64 => Scalar::Int64,
            Kind::Uint32 => Scalar::Uint32,
            Kind::Uint64 => Scalar::Uint64,
            Kind::Sint32 => Scalar::Sint32,
            Kind::Sint64 => Scalar::Sint64,
            Kind::Fixed32 => Scalar::Fixed32,
            Kind::Fixed64 => Scalar::Fixed64,
            Kind::Sfixed32 => Scalar::Sfixed32,
            Kind::Sfixed64 => Scalar::Sfixed64,
            Kind::Bool => Scalar::Bool,
            Kind::Float => Scalar::Float,
            Kind::Double => Scalar::Double,
            Kind::String => Scalar::Text,
            Kind::Bytes => Scalar::Bytes,
            Kind::Enum(of) => Scalar::Enum(Arc::new(Names::new(&of))),
            Kind::Message(message) => return Err(message),
        })
    }

    /// The wire type of one value.
    pub(super) fn wire(&self) -> u8 {
        match self {
            Scalar::Fixed32 | Scalar::Sfixed32 | Scalar::Float => wire::I32,
            Scalar::Fixed64 | Scalar::Sfixed64 | Scalar::Double => wire::I64,
            Scalar::Text | Scalar::Bytes => wire::LEN,
            _ => wire::VARINT,
        }
    }

    pub(super) fn is_integer32(&self) -> bool {
        matches!(self, Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 | Scalar::Uint32 | Scalar::Fixed32)
    }

    pub(super) fn is_integer64(&self) -> bool {
        matches!(self, Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 | Scalar::Uint64 | Scalar::Fixed64)
    }

    /// Whether days may be written so.
    pub(super) fn is_signed32(&self) -> bool {
        matches!(self, Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32)
    }
}

/// What a field's value is to a column that is no struct.
pub(super) enum Shape {
    Scalar(Scalar),
    /// google.protobuf.StringValue and its like: a message around one value.
    Wrapped(Scalar),
    /// google.protobuf.Timestamp.
    Timestamp,
    /// google.type.Date.
    Date,
    /// google.type.Decimal.
    DecimalText,
    /// confluent.type.Decimal.
    DecimalBytes,
    /// Any other message.
    Message,
}

impl Shape {
    pub(super) fn of(kind: Kind) -> Shape {
        let message = match Scalar::of(kind) {
            Ok(scalar) => return Shape::Scalar(scalar),
            Err(message) => message,
        };
        // A message that only has the name of a well-known one is any message.
        let has = |kinds: &[Kind]| {
            let numbers = 1..=kinds.len() as u32;
            let fields: Option<Vec<_>> = numbers.map(|number| message.get_field(number)).collect();
            let single = |field: &FieldDescriptor| field.cardinality() == Cardinality::Optional;
            fields.is_some_and(|fields| {
                fields.iter().zip(kinds).all(|(field, kind)| single(field) && field.kind() == *kind)
            })
        };
        let wrapped = |kind: Kind| match Scalar::of(kind.clone()) {
            Ok(scalar) if has(&[kind]) => Shape::Wrapped(scalar),
            _ => Shape::Message,
        };
        match message.full_name() {
            "google.protobuf.DoubleValue" => wrapped(Kind::Double),
            "google.protobuf.FloatValue" => wrapped(Kind::Float),
            "google.protobuf.Int64Value" => wrapped(Kind::Int64),
            "google.protobuf.UInt64Value" => wrapped(Kind::Uint64),
            "google.protobuf.Int32Value" => wrapped(Kind::Int32),
            "google.protobuf.UInt32Value" => wrapped(Kind::Uint32),
            "google.protobuf.BoolValue" => wrapped(Kind::Bool),
            "google.protobuf.StringValue" => wrapped(Kind::String),
            "google.protobuf.BytesValue" => wrapped(Kind::Bytes),
            "google.protobuf.Timestamp" if has(&[Kind::Int64, Kind::Int32]) => Shape::Timestamp,
            "google.type.Date" if has(&[Kind::Int32, Kind::Int32, Kind::Int32]) => Shape::Date,
            "google.type.Decimal" if has(&[Kind::String]) => Shape::DecimalText,
            "confluent.type.Decimal" if has(&[Kind::Bytes, Kind::Uint32, Kind::Int32]) => Shape::DecimalBytes,
            _ => Shape::Message,
        }
    }
}

/// A field's type as its file has it.
pub(super) fn type_name(field: &FieldDescriptor) -> String {
    let one = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let of = |name| entry.get_field_by_name(name).map_or_else(String::new, |f| type_name(&f));
            return format!("map<{}, {}>", of("key"), of("value"));
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        kind => format!("{kind:?}"),
    };
    if field.cardinality() == Cardinality::Repeated { format!("repeated {one}") } else { one }
}

/// The wire type of one value of a field.
pub(super) fn wire_type(field: &FieldDescriptor) -> u8 {
    match Scalar::of(field.kind()) {
        Ok(scalar) => scalar.wire(),
        Err(_) if field.is_group() => wire::GROUP,
        Err(_) => wire::LEN,
    }
}

/// The field for each column: the one of its name; else the one with this name in JSON, unless that has a column of its
/// own name.
pub(super) fn fields_for(message: &MessageDescriptor, columns: &[&str]) -> Vec<Option<FieldDescriptor>> {
    let other = |column: &str| {
        message.get_field_by_json_name(column).filter(|field| !columns.contains(&field.name()))
    };
    columns.iter().map(|column| message.get_field_by_name(column).or_else(|| other(column))).collect()
}
