//! Records of Avro into columns: one pass over a record's bytes by the plan of its writer's schema. Never enters: how a
//! schema is matched with the columns, single values.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::datatypes::Schema;

use super::AvroForm;
use super::leaf::{push_bytes, push_text, push_whole, uuid_text};
use super::plan::{Plan, Record, Type, plan, registered};
use super::schema::{AvroSchema, Nulls, derived};
use crate::column::Column;
use crate::object::Object;
use crate::registered::{FRAME_BYTES, unframed};
use crate::varint::unzigzag;
use crate::{BadReason, BadRecord, FormatError, Schemas};

/// How deep values may be nested.
const DEPTH_MAX: u32 = 64;
/// What an item without bytes (a null) takes in columns, about.
const EMPTY_ITEM_BYTES: usize = 16;
/// How often the bytes of a record its columns may grow beyond them, and how much they may in any case.
const GROWTH_MAX: usize = 16;
const GROWTH_LEAST: usize = 64 << 10;
/// How many schemas a reader keeps; a topic whose records name more is read slowly.
const PLANS_MAX: usize = 1_000;

/// Reads records into columns.
pub(crate) struct AvroReader {
    /// The one schema of records without frames.
    plain: Option<Plan>,
    registry: Option<Arc<Schemas>>,
    /// By a registry's ids: what is read of a schema, or why nothing is.
    plans: HashMap<u32, Result<Plan, String>>,
}

impl AvroReader {
    pub(crate) fn new(form: &AvroForm, columns: &Schema, root: &Object) -> Result<AvroReader, FormatError> {
        let plain = match (&form.registry, &form.schema) {
            (Some(_), _) => None,
            (None, Some(text)) => {
                let plan = plan(&AvroSchema::parse(text, &[])?, root)?;
                let required = |at: &&usize| root.declared[**at].required;
                if let Some(at) = plan.root.absent.iter().find(required) {
                    let name = &root.declared[*at].name;
                    let text = format!("column {name} is required, and the Avro schema has no such field");
                    return Err(FormatError::Form(text));
                }
                Some(plan)
            }
            (None, None) => {
                let text = derived("row", columns, Nulls::Everywhere)?;
                Some(plan(&AvroSchema::parse(&text, &[])?, root)?)
            }
        };
        Ok(AvroReader { plain, registry: form.registry.clone(), plans: HashMap::new() })
    }

    /// Reads a record, and says by how many bytes its columns grew beyond its own.
    pub(crate) fn read(&mut self, root: &mut Object, record: &[u8]) -> Result<usize, BadRecord> {
        let (plan, from) = match (&self.plain, &self.registry) {
            (Some(plan), _) => (plan, 0),
            (None, Some(registry)) => {
                let (id, _) = unframed(record)?;
                if self.plans.len() >= PLANS_MAX && !self.plans.contains_key(&id) {
                    self.plans.clear();
                }
                let known = match self.plans.entry(id) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => match registered(registry, id, root) {
                        Some(planned) => new.insert(planned),
                        None => {
                            return Err(syntax(format!("its schema, id {id}, was not asked for"), 1));
                        }
                    },
                };
                match known {
                    Ok(plan) => (&*plan, FRAME_BYTES),
                    Err(why) => return Err(syntax(why.clone(), 1)),
                }
            }
            (None, None) => unreachable!("a reader has a schema or a registry"),
        };
        let mut input = Input { bytes: record, at: from, passed: &plan.passed, grown: 0 };
        input.record(&plan.root, root, 0)?;
        if input.at < record.len() {
            let text = format!("{} bytes behind the Avro record", record.len() - input.at);
            return Err(syntax(text, input.at));
        }
        Ok(input.grown)
    }
}

fn syntax(text: String, at: usize) -> BadRecord {
    BadRecord { why: BadReason::Syntax(text), at }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    passed: &'a [Type],
    /// Bytes of columns for which the record has none: items without bytes, names of symbols.
    grown: usize,
}

/// Where a value goes.
struct Target<'c> {
    column: &'c mut Column,
    required: bool,
    path: &'c str,
}

impl<'a> Input<'a> {
    fn end(&self) -> BadRecord {
        syntax("the Avro record ends in the middle of a value".to_owned(), self.bytes.len())
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadRecord> {
        let bytes = self.at.checked_add(len).and_then(|end| self.bytes.get(self.at..end));
        let bytes = bytes.ok_or_else(|| self.end())?;
        self.at += len;
        Ok(bytes)
    }

    /// Notes that columns grow by what the record does not have: by so much at most.
    fn grow(&mut self, bytes: usize, at: usize) -> Result<(), BadRecord> {
        self.grown += bytes;
        let most = (self.bytes.len() * GROWTH_MAX).max(GROWTH_LEAST);
        if self.grown <= most {
            return Ok(());
        }
        let text =
            format!("values that would take more than {most} bytes, of a record of {}", self.bytes.len());
        Err(syntax(text, at))
    }

    /// A zig-zag varint.
    #[inline]
    fn long(&mut self) -> Result<i64, BadRecord> {
        let from = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else { return Err(self.end()) };
            self.at += 1;
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(unzigzag(value));
            }
        }
        Err(syntax("a number of more than 64 bits".to_owned(), from))
    }

    /// The bytes of a value that says its length.
    #[inline]
    fn sized(&mut self) -> Result<&'a [u8], BadRecord> {
        let from = self.at;
        let len = self.long()?;
        match usize::try_from(len) {
            Ok(len) => self.take(len),
            Err(_) => Err(syntax(format!("a length of {len}"), from)),
        }
    }

    fn record(&mut self, plan: &Record, object: &mut Object, depth: u32) -> Result<(), BadRecord> {
        for (to, kind) in &plan.fields {
            let target = to.map(|at| {
                let declared = &mut object.declared[at];
                Target { column: &mut declared.column, required: declared.required, path: &declared.path }
            });
            self.value(kind, target, depth)?;
        }
        for at in &plan.absent {
            let declared = &mut object.declared[*at];
            if declared.required {
                return Err(BadRecord { why: BadReason::Missing(declared.path.to_string()), at: self.at });
            }
            declared.column.push_null();
        }
        Ok(())
    }

    fn value(&mut self, kind: &Type, target: Option<Target<'_>>, depth: u32) -> Result<(), BadRecord> {
        if depth > DEPTH_MAX {
            return Err(syntax(format!("values nested more than {DEPTH_MAX} deep"), self.at));
        }
        let kind = match kind {
            Type::Union(branches) => {
                let from = self.at;
                let branch = self.long()?;
                let known = usize::try_from(branch).ok().and_then(|at| branches.get(at));
                known.ok_or_else(|| {
                    syntax(format!("branch {branch} of a union of {}", branches.len()), from)
                })?
            }
            other => other,
        };
        match target {
            None => self.pass(kind, depth),
            Some(target) => self.fill(kind, target, depth),
        }
    }

    /// Passes over a value.
    fn pass(&mut self, kind: &Type, depth: u32) -> Result<(), BadRecord> {
        match kind {
            Type::Null => {}
            Type::Boolean => drop(self.take(1)?),
            Type::Whole(_) | Type::Enum(_) => drop(self.long()?),
            Type::Float => drop(self.take(4)?),
            Type::Double => drop(self.take(8)?),
            Type::Bytes(_) | Type::Text => drop(self.sized()?),
            Type::Fixed { size, .. } => drop(self.take(*size)?),
            Type::Array(item) => self.items(|input| input.value(item, None, depth + 1))?,
            Type::Map { value, .. } => self.items(|input| {
                input.sized()?;
                input.value(value, None, depth + 1)
            })?,
            Type::Union(_) => self.value(kind, None, depth + 1)?,
            Type::Record(record) => self.record(record, &mut Object::default(), depth + 1)?,
            Type::Passed(number) => {
                let passed = self.passed;
                self.value(&passed[*number], None, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The items of an array or a map, block by block.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), BadRecord>) -> Result<(), BadRecord> {
        loop {
            let mut left = self.long()?;
            if left == 0 {
                return Ok(());
            }
            if left < 0 {
                // The size of the block in bytes, for those who skip it.
                self.long()?;
                left = left
                    .checked_neg()
                    .ok_or_else(|| syntax("a block of too many items".to_owned(), self.at))?;
            }
            for _ in 0..left {
                let from = self.at;
                item(self)?;
                if self.at == from {
                    self.grow(EMPTY_ITEM_BYTES, from)?;
                }
            }
        }
    }

    fn fill(&mut self, kind: &Type, target: Target<'_>, depth: u32) -> Result<(), BadRecord> {
        let from = self.at;
        let Target { column, required, path } = target;
        let wrong = |column: &Column| {
            let why = BadReason::WrongType { field: path.to_owned(), expected: column.expected() };
            BadRecord { why, at: from }
        };
        let done = match (kind, &mut *column) {
            (Type::Null, column) => {
                if required {
                    return Err(BadRecord { why: BadReason::Missing(path.to_owned()), at: from });
                }
                column.push_null();
                Some(())
            }
            (Type::Boolean, Column::Bool(values)) => match self.take(1)? {
                [value @ (0 | 1)] => {
                    values.push(*value == 1);
                    Some(())
                }
                _ => None,
            },
            (Type::Whole(whole), column) => {
                let value = self.long()?;
                push_whole(value, *whole, column)
            }
            (Type::Float, Column::Float(values)) => {
                let bytes = self.take(4)?.try_into().expect("four bytes");
                Some(f64::from(f32::from_le_bytes(bytes))).filter(|v| v.is_finite()).map(|v| values.push(v))
            }
            (Type::Double, Column::Float(values)) => {
                let bytes = self.take(8)?.try_into().expect("eight bytes");
                Some(f64::from_le_bytes(bytes)).filter(|v| v.is_finite()).map(|v| values.push(v))
            }
            (Type::Bytes(decimal), column) => {
                let bytes = self.sized()?;
                push_bytes(bytes, *decimal, column)
            }
            (Type::Fixed { size, decimal, uuid }, column) => {
                let bytes = self.take(*size)?;
                match column {
                    Column::Text(values) if *uuid => {
                        values.push(uuid_text(bytes).as_bytes());
                        Some(())
                    }
                    column => push_bytes(bytes, *decimal, column),
                }
            }
            (Type::Text, column) => {
                let bytes = self.sized()?;
                if let Err(error) = std::str::from_utf8(bytes) {
                    let at = self.at - bytes.len() + error.valid_up_to();
                    return Err(BadRecord { why: BadReason::NotUtf8, at });
                }
                push_text(bytes, column)
            }
            (Type::Enum(symbols), Column::Text(values)) => {
                let index = self.long()?;
                let symbol = usize::try_from(index).ok().and_then(|at| symbols.get(at));
                let text = || syntax(format!("symbol {index} of an enum of {}", symbols.len()), from);
                let symbol = symbol.ok_or_else(text)?.as_bytes();
                self.grow(symbol.len(), from)?;
                values.push(symbol);
                Some(())
            }
            (Type::Record(record), Column::Struct { object, rows, nulls, .. }) => {
                self.record(record, object, depth + 1)?;
                Column::struct_done(rows, nulls);
                Some(())
            }
            (Type::Array(kind), Column::List { item, item_nullable, items, ends, nulls, read, .. }) => {
                let required = !*item_nullable;
                self.items(|input| {
                    input.value(kind, Some(Target { column: item, required, path }), depth + 1)?;
                    *items += i32::from(*read);
                    Ok(())
                })?;
                if *read {
                    Column::list_done(*items, ends, nulls);
                }
                Some(())
            }
            (
                Type::Map { value, places: Some(places) },
                Column::List { item, items, ends, nulls, read, .. },
            ) => {
                let Column::Struct { object, rows, nulls: entry_nulls, .. } = item.as_mut() else {
                    return Err(wrong(column));
                };
                self.items(|input| {
                    for (place, kind) in [(places.0, &Type::Text), (places.1, value.as_ref())] {
                        let declared = &mut object.declared[place];
                        let target = Target {
                            column: &mut declared.column,
                            required: declared.required,
                            path: &declared.path,
                        };
                        input.value(kind, Some(target), depth + 1)?;
                    }
                    Column::struct_done(rows, entry_nulls);
                    *items += i32::from(*read);
                    Ok(())
                })?;
                if *read {
                    Column::list_done(*items, ends, nulls);
                }
                Some(())
            }
            _ => None,
        };
        done.ok_or_else(|| wrong(column))
    }
}
