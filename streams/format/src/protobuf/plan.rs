//! How the messages of one type are read into the columns of one object: which field goes to which column, and how its
//! values do. Made once; what no value could fit is found here. Never enters: bytes.

use std::collections::HashMap;

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::DEPTH_MAX;
use super::kind::{Scalar, Shape, fields_for, type_name, wire_type};
use super::wire;
use crate::column::Column;
use crate::object::Object;

/// Stands for no slot, and for no oneof.
pub(super) const NONE: u16 = u16::MAX;
/// Field numbers below this are looked up by place, the others by search.
const NEAR: u32 = 256;

/// How a message is read.
pub(super) struct Plan {
    /// One for each declared column.
    pub(super) slots: Vec<Slot>,
    near: Vec<Route>,
    far: HashMap<u32, Route>,
    /// The slots of each oneof's members.
    pub(super) oneofs: Vec<Vec<u16>>,
    /// The slots in the order of their fields' numbers, and those without a field.
    pub(super) order: Vec<u16>,
    pub(super) without: Vec<u16>,
}

/// Where the values of a field number go.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) slot: u16,
    pub(super) oneof: u16,
    /// The wire type of a value, for a member of a oneof that has no column.
    pub(super) wire: u8,
    /// The slot's place in the order of numbers.
    pub(super) rank: u16,
}

impl Route {
    const NOWHERE: Route = Route { slot: NONE, oneof: NONE, wire: wire::LEN, rank: 0 };
}

/// How one column is filled; nothing where the message has no field for it.
pub(super) struct Slot {
    pub(super) source: Option<Source>,
}

/// A field that fills a column.
pub(super) struct Source {
    pub(super) number: u32,
    /// The wire type of a value.
    pub(super) wire: u8,
    /// Whether several values may stand in one length.
    pub(super) packable: bool,
    pub(super) repeated: bool,
    pub(super) take: Take,
    pub(super) absent: Absent,
    /// Whether a text without characters counts as absent.
    pub(super) empty_is_absent: bool,
}

/// How one value is read.
pub(super) enum Take {
    Scalar(Scalar),
    Wrapped(Scalar),
    Timestamp,
    Date,
    DecimalText,
    DecimalBytes,
    Struct(Plan),
}

/// What an absent field is.
pub(super) enum Absent {
    Null,
    /// This value: its number, or its bytes.
    Default(u64, Box<[u8]>),
    /// A message without fields, as the value in a map's entry.
    Empty,
}

/// A column that no value of its field could fill.
pub(super) struct Misfit {
    /// The column's dotted path.
    pub(super) column: String,
    /// What the column wants, for the sentence "column x is not …".
    pub(super) expected: &'static str,
    /// What is wrong, for a person.
    pub(super) text: String,
}

impl Plan {
    /// How `message` is read into the columns of `object`.
    pub(super) fn new(message: &MessageDescriptor, object: &Object) -> Result<Plan, Misfit> {
        plan(message, object, 0)
    }

    #[inline]
    pub(super) fn route(&self, number: u32) -> Route {
        match self.near.get(number as usize) {
            Some(route) => *route,
            None if self.far.is_empty() => Route::NOWHERE,
            None => self.far.get(&number).copied().unwrap_or(Route::NOWHERE),
        }
    }

    /// The first required column that the message has no field for, and the message.
    pub(super) fn unfilled<'o>(
        &self,
        message: &MessageDescriptor,
        object: &'o Object,
    ) -> Option<(&'o str, MessageDescriptor)> {
        for (slot, declared) in self.slots.iter().zip(&object.declared) {
            let Some(source) = &slot.source else {
                if declared.required {
                    return Some((&declared.path, message.clone()));
                }
                continue;
            };
            let column = match &declared.column {
                Column::List { item, .. } => item,
                column => column,
            };
            if let (Take::Struct(plan), Column::Struct { object, .. }) = (&source.take, column)
                && let Some(Kind::Message(inner)) = message.get_field(source.number).map(|f| f.kind())
                && let Some(found) = plan.unfilled(&inner, object)
            {
                return Some(found);
            }
        }
        None
    }
}

fn plan(message: &MessageDescriptor, object: &Object, depth: usize) -> Result<Plan, Misfit> {
    let columns: Vec<&str> = object.declared.iter().map(|declared| declared.name.as_ref()).collect();
    let fields = fields_for(message, &columns);
    let mut plan = Plan {
        slots: Vec::new(),
        near: Vec::new(),
        far: HashMap::new(),
        oneofs: Vec::new(),
        order: Vec::new(),
        without: Vec::new(),
    };
    let mut routes: HashMap<u32, Route> = HashMap::new();
    for (place, (field, declared)) in fields.iter().zip(&object.declared).enumerate() {
        let misfit = |text: String| Misfit {
            column: declared.path.to_string(),
            expected: declared.column.expected(),
            text,
        };
        if depth == DEPTH_MAX || place == usize::from(NONE) {
            return Err(misfit(format!("column {} is nested too deep or too far behind", declared.path)));
        }
        let Some(field) = field else {
            plan.slots.push(Slot { source: None });
            plan.without.push(place as u16);
            continue;
        };
        let source = source(field, &declared.column, depth)?.ok_or_else(|| {
            misfit(format!(
                "column {} is of type {}, and field {} of message {} is of type {}",
                declared.path,
                type_of(&declared.column),
                field.name(),
                message.full_name(),
                type_name(field)
            ))
        })?;
        routes.insert(field.number(), Route { slot: place as u16, ..Route::NOWHERE });
        plan.slots.push(Slot { source: Some(source) });
    }
    let mut numbers: Vec<u32> = routes.keys().copied().collect();
    numbers.sort_unstable();
    for (rank, number) in numbers.into_iter().enumerate() {
        let route = routes.entry(number).or_insert(Route::NOWHERE);
        route.rank = rank as u16;
        plan.order.push(route.slot);
    }
    for oneof in message.oneofs() {
        let routed = oneof.fields().filter_map(|f| routes.get(&f.number()));
        let slots: Vec<u16> = routed.map(|route| route.slot).collect();
        if slots.is_empty() || oneof.fields().count() < 2 {
            continue;
        }
        for field in oneof.fields() {
            let nowhere = Route { wire: wire_type(&field), ..Route::NOWHERE };
            routes.entry(field.number()).or_insert(nowhere).oneof = plan.oneofs.len() as u16;
        }
        plan.oneofs.push(slots);
    }
    let near = routes.keys().filter(|n| **n < NEAR).max().map_or(0, |n| *n as usize + 1);
    plan.near = vec![Route::NOWHERE; near];
    for (number, route) in routes {
        match plan.near.get_mut(number as usize) {
            Some(place) => *place = route,
            None => drop(plan.far.insert(number, route)),
        }
    }
    Ok(plan)
}

/// How a field fills a column; nothing if it cannot.
fn source(field: &FieldDescriptor, column: &Column, depth: usize) -> Result<Option<Source>, Misfit> {
    let repeated = field.cardinality() == Cardinality::Repeated;
    let one = match column {
        Column::List { item, .. } if repeated => item.as_ref(),
        Column::List { .. } => return Ok(None),
        _ if repeated => return Ok(None),
        column => column,
    };
    let Some(take) = take(field, one, depth)? else { return Ok(None) };
    let (wire, text) = (wire_type(field), matches!(take, Take::Scalar(Scalar::Text)));
    let in_map = field.parent_message().is_map_entry();
    let implicit = in_map || !field.supports_presence();
    let text_is_value = matches!(column, Column::Text(_) | Column::Bytes(_));
    let explicit = field.field_descriptor_proto().default_value.is_some();
    let absent = match &take {
        Take::Scalar(scalar) if explicit || implicit && (text_is_value || !text) => {
            default(scalar, &field.default_value())
        }
        _ if in_map => Absent::Empty,
        _ => Absent::Null,
    };
    let packable = repeated && matches!(take, Take::Scalar(_)) && wire != wire::LEN;
    let empty_is_absent = implicit && !repeated && text && !text_is_value;
    Ok(Some(Source { number: field.number(), wire, packable, repeated, take, absent, empty_is_absent }))
}

fn take(field: &FieldDescriptor, column: &Column, depth: usize) -> Result<Option<Take>, Misfit> {
    if let Column::Struct { object, .. } = column {
        return Ok(match field.kind() {
            Kind::Message(message) => Some(Take::Struct(plan(&message, object, depth + 1)?)),
            _ => None,
        });
    }
    Ok(match (Shape::of(field.kind()), column) {
        (Shape::Scalar(scalar), column) if fits(&scalar, column) => Some(Take::Scalar(scalar)),
        (Shape::Wrapped(scalar), column) if fits(&scalar, column) => Some(Take::Wrapped(scalar)),
        (Shape::Timestamp, Column::Instant(_) | Column::Micros(_)) => Some(Take::Timestamp),
        (Shape::Date, Column::Date(_)) => Some(Take::Date),
        (Shape::DecimalText, Column::Decimal { .. }) => Some(Take::DecimalText),
        (Shape::DecimalBytes, Column::Decimal { .. }) => Some(Take::DecimalBytes),
        _ => None,
    })
}

/// Whether values of a type may fit a column.
fn fits(scalar: &Scalar, column: &Column) -> bool {
    let (small, large) = (scalar.is_integer32(), scalar.is_integer64());
    let text = matches!(scalar, Scalar::Text);
    match column {
        Column::Text(_) => text || matches!(scalar, Scalar::Enum(_)),
        Column::Bool(_) => matches!(scalar, Scalar::Bool),
        Column::Int32(_) | Column::Int64(_) => small || large || matches!(scalar, Scalar::Enum(_)),
        Column::Float(_) => small || matches!(scalar, Scalar::Float | Scalar::Double),
        Column::Decimal { .. } => text || small || large,
        Column::Instant(_) | Column::Micros(_) => text || large,
        Column::Date(_) => text || scalar.is_signed32(),
        Column::Bytes(_) => text || matches!(scalar, Scalar::Bytes),
        Column::Struct { .. } | Column::List { .. } => false,
    }
}

/// A default value, as its number on the wire or its bytes.
fn default(scalar: &Scalar, value: &Value) -> Absent {
    let signed = |value: i64| match scalar {
        Scalar::Sint32 | Scalar::Sint64 => wire::zigzag(value),
        _ => value as u64,
    };
    let number = match value {
        Value::Bool(v) => u64::from(*v),
        Value::I32(v) | Value::EnumNumber(v) => signed(i64::from(*v)),
        Value::I64(v) => signed(*v),
        Value::U32(v) => u64::from(*v),
        Value::U64(v) => *v,
        Value::F32(v) => u64::from(v.to_bits()),
        Value::F64(v) => v.to_bits(),
        Value::String(text) => return Absent::Default(0, text.as_bytes().into()),
        Value::Bytes(bytes) => return Absent::Default(0, bytes.as_ref().into()),
        _ => return Absent::Null,
    };
    Absent::Default(number, Box::default())
}

/// A column's type, as schemas name it.
fn type_of(column: &Column) -> String {
    let name = match column {
        Column::Text(_) => "string",
        Column::Bool(_) => "boolean",
        Column::Int32(_) => "int32",
        Column::Int64(_) => "int64",
        Column::Float(_) => "float64",
        Column::Decimal { precision, scale, .. } => return format!("decimal({precision}, {scale})"),
        Column::Instant(_) => "timestamp in milliseconds",
        Column::Micros(_) => "timestamp in microseconds",
        Column::Date(_) => "date",
        Column::Bytes(_) => "bytes",
        Column::Struct { .. } => "struct",
        Column::List { item, .. } => return format!("list of {}", type_of(item)),
    };
    name.to_owned()
}
