//! A writer's schema matched with the columns, by names: which column takes each value, and what is passed over. Never
//! enters: the bytes of records.

use std::collections::HashMap;

use super::schema::{AvroSchema, Decimal, Definition, FieldNode, Node, Whole};
use crate::column::Column;
use crate::object::Object;
use crate::{FormatError, SchemaType, Schemas};

/// How many types a schema may have, those in unions of unions counted each time.
const TYPES_MAX: usize = 100_000;

/// What is read of one writer's schema.
pub(super) struct Plan {
    pub(super) root: Record,
    /// Types that are passed over, by the number in [`Type::Passed`].
    pub(super) passed: Vec<Type>,
}

pub(super) struct Record {
    /// The writer's fields in order: the column that takes it, and its type.
    pub(super) fields: Vec<(Option<usize>, Type)>,
    /// Columns that the writer does not have.
    pub(super) absent: Vec<usize>,
}

pub(super) enum Type {
    Null,
    Boolean,
    Whole(Whole),
    Float,
    Double,
    Bytes(Option<Decimal>),
    Text,
    Fixed {
        size: usize,
        decimal: Option<Decimal>,
        uuid: bool,
    },
    Enum(Vec<String>),
    Array(Box<Type>),
    /// Of a list of keys and values their places in it.
    Map {
        value: Box<Type>,
        places: Option<(usize, usize)>,
    },
    Union(Vec<Type>),
    Record(Record),
    Passed(usize),
}

/// Matches a schema with columns.
struct Planner<'a> {
    schema: &'a AvroSchema,
    passed: Vec<Type>,
    /// Numbers of named types that are passed over.
    numbers: HashMap<&'a str, usize>,
    /// Those of them that are not matched yet: a chain of them may be long.
    waiting: Vec<(usize, &'a [FieldNode])>,
    /// How many types were matched.
    types: usize,
}

impl<'a> Planner<'a> {
    fn record(&mut self, fields: &'a [FieldNode], object: &Object) -> Record {
        let place = |name: &str| object.declared.iter().position(|d| d.name.as_ref() == name);
        let mut absent: Vec<usize> = (0..object.declared.len()).collect();
        let mut planned = Vec::with_capacity(fields.len());
        for field in fields {
            // A column is filled once, also where a faulty schema names a field twice.
            let to = place(&field.name).filter(|at| absent.contains(at));
            absent.retain(|at| Some(*at) != to);
            planned.push((to, self.node(&field.node, to.map(|at| &object.declared[at].column))));
        }
        Record { fields: planned, absent }
    }

    fn node(&mut self, node: &'a Node, column: Option<&Column>) -> Type {
        self.types += 1;
        if self.types > TYPES_MAX {
            // Refused in the end.
            return Type::Null;
        }
        match node {
            Node::Null => Type::Null,
            Node::Boolean => Type::Boolean,
            Node::Int(whole) | Node::Long(whole) => Type::Whole(*whole),
            Node::Float => Type::Float,
            Node::Double => Type::Double,
            Node::Bytes(decimal) => Type::Bytes(*decimal),
            Node::Text => Type::Text,
            Node::Union(branches) => {
                Type::Union(branches.iter().map(|node| self.node(node, column)).collect())
            }
            Node::Array(item) => {
                let to = match column {
                    Some(Column::List { item, .. }) => Some(item.as_ref()),
                    _ => None,
                };
                Type::Array(Box::new(self.node(item, to)))
            }
            Node::Map(value) => {
                let entry = match column {
                    Some(Column::List { item, .. }) => match item.as_ref() {
                        Column::Struct { object, .. } => entry_of(object).map(|places| (object, places)),
                        _ => None,
                    },
                    _ => None,
                };
                let to = entry.map(|(object, (_, value))| &object.declared[value].column);
                Type::Map { value: Box::new(self.node(value, to)), places: entry.map(|(_, places)| places) }
            }
            Node::Named(name) => self.named(name, column),
        }
    }

    fn named(&mut self, name: &'a str, column: Option<&Column>) -> Type {
        match (self.schema.definition(name), column) {
            (Definition::Enum(symbols), _) => Type::Enum(symbols.clone()),
            (Definition::Fixed { size, decimal, uuid }, _) => {
                Type::Fixed { size: *size, decimal: *decimal, uuid: *uuid }
            }
            (Definition::Record(fields), Some(Column::Struct { object, .. })) => {
                Type::Record(self.record(fields, object))
            }
            (Definition::Record(fields), _) => {
                // A record may hold itself, so what is passed over has a number before it is known.
                if let Some(number) = self.numbers.get(name) {
                    return Type::Passed(*number);
                }
                let number = self.passed.len();
                self.numbers.insert(name, number);
                self.passed.push(Type::Null);
                self.waiting.push((number, fields));
                Type::Passed(number)
            }
        }
    }
}

/// The places of the key and the value in an object that is a map's entry.
fn entry_of(object: &Object) -> Option<(usize, usize)> {
    let place = |name: &str| object.declared.iter().position(|d| d.name.as_ref() == name);
    let (key, value) = (place("key")?, place("value")?);
    (object.declared.len() == 2).then_some((key, value))
}

pub(super) fn plan(schema: &AvroSchema, root: &Object) -> Result<Plan, FormatError> {
    let mut planner =
        Planner { schema, passed: Vec::new(), numbers: HashMap::new(), waiting: Vec::new(), types: 0 };
    let root = planner.record(schema.record()?, root);
    while let Some((number, fields)) = planner.waiting.pop() {
        planner.passed[number] = Type::Record(planner.record(fields, &Object::default()));
    }
    match planner.types {
        ..=TYPES_MAX => Ok(Plan { root, passed: planner.passed }),
        types => {
            Err(FormatError::Form(format!("the Avro schema has {types} types: the most is {TYPES_MAX}")))
        }
    }
}

/// What is read of a registry's schema, or why nothing is; nothing where it was not fetched.
pub(super) fn registered(registry: &Schemas, id: u32, root: &Object) -> Option<Result<Plan, String>> {
    Some(match registry.get(id)? {
        Err(why) => Err(format!("its schema, id {id}: {why}")),
        Ok(schema) if schema.kind != SchemaType::Avro => Err(format!(
            "its schema, id {id}, is of type {}, and the topic's format is avro",
            schema.kind.name()
        )),
        Ok(schema) => AvroSchema::parse(&schema.text, &schema.references)
            .and_then(|schema| plan(&schema, root))
            .map_err(|error| format!("its schema, id {id}: {error}")),
    })
}
