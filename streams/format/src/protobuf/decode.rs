//! Messages to columns. A message is gone through once, for where the values of its fields are; then each declared column
//! is filled from there, so that the order of fields is free. Of repeated values only the first and the last place are
//! kept, and what lies between is gone through again: nothing is kept that grows with the record, except for the parts of
//! messages that are merged. Never enters: what a value is.

use super::kind::Scalar;
use super::plan::{Absent, NONE, Plan, Source, Take};
use super::values::{Value, put, value};
use super::wire::{self, Field, Fields, LEN, Span, fixed, varint};
use crate::column::Column;
use crate::decimal::unscaled;
use crate::object::{Declared, Object};
use crate::{BadReason, BadRecord};

/// How many bytes the names of enums and the defaults in a record may take, for each of its own bytes, above a mebibyte,
/// and in all. The last keeps Arrow's offsets in their range.
const GROWN_PER_BYTE: usize = 16;
const GROWN_MIN: usize = 1 << 20;
const GROWN_MAX: usize = 512 << 20;

/// Where a field's values are.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    count: u32,
    /// The key of the first value.
    first: u32,
    /// The last value: its number, and its place.
    raw: u64,
    value: Span,
    /// Where the last value ends.
    end: u32,
    /// One more than where the key of a value of another wire type is; zero for none.
    unfit: u32,
}

/// A record that is read.
pub(super) struct Reading<'r> {
    pub(super) record: &'r [u8],
    /// One for each slot of the messages that are being read, the outer ones first.
    pub(super) seen: &'r mut Vec<Seen>,
    /// The bytes of text that columns got without their being in the record: names of enums, defaults.
    pub(super) grown: usize,
}

/// What one value of a column is read by, and the column's name.
pub(super) struct Leaf<'a> {
    pub(super) take: &'a Take,
    pub(super) path: &'a str,
}

impl Source {
    #[inline]
    pub(super) fn fits(&self, wire: u8) -> bool {
        wire == self.wire || (self.packable && wire == LEN)
    }
}

impl Reading<'_> {
    /// Reads a message, put together from its parts, into a row of `object`; after an error it may hold a part of it.
    pub(super) fn message(
        &mut self,
        plan: &Plan,
        object: &mut Object,
        spans: &[Span],
    ) -> Result<(), BadRecord> {
        let base = self.seen.len();
        self.seen.resize(base + plan.slots.len(), Seen::default());
        let mut fields = Fields::new(self.record, spans);
        while let Some(field) = fields.next()? {
            let route = plan.route(field.number);
            if route.slot == NONE && route.oneof == NONE {
                continue;
            }
            let source = plan.slots.get(usize::from(route.slot)).and_then(|slot| slot.source.as_ref());
            match source {
                Some(source) if !source.fits(field.wire) => {
                    self.seen[base + usize::from(route.slot)].unfit = field.key + 1;
                    continue;
                }
                None if field.wire != route.wire => continue,
                _ => {}
            }
            // The last member of a oneof that was written is the only one.
            if let Some(members) = plan.oneofs.get(usize::from(route.oneof)) {
                for slot in members.iter().filter(|slot| **slot != route.slot) {
                    self.seen[base + usize::from(*slot)] = Seen::default();
                }
            }
            if source.is_some() {
                let seen = &mut self.seen[base + usize::from(route.slot)];
                if seen.count == 0 {
                    seen.first = field.key;
                }
                seen.count += 1;
                (seen.raw, seen.value, seen.end) = (field.raw, field.value, field.next);
            }
        }
        let end = spans.last().map_or(0, |span| span.end as usize);
        for (place, (slot, declared)) in plan.slots.iter().zip(&mut object.declared).enumerate() {
            let seen = self.seen[base + place];
            match &slot.source {
                Some(source) => self.column(source, declared, seen, spans, end)?,
                None => absent(declared, end)?,
            }
        }
        self.seen.truncate(base);
        Ok(())
    }

    /// Fills a column for one row.
    #[inline]
    pub(super) fn column(
        &mut self,
        source: &Source,
        declared: &mut Declared,
        seen: Seen,
        spans: &[Span],
        end: usize,
    ) -> Result<(), BadRecord> {
        if seen.count == 0 && seen.unfit > 0 {
            let why = wrong(&declared.path, &declared.column);
            return Err(BadRecord { why, at: seen.unfit as usize - 1 });
        }
        let leaf = Leaf { take: &source.take, path: &declared.path };
        if source.repeated {
            return self.list(source, &leaf, &mut declared.column, seen, spans);
        }
        if seen.count == 0 || (source.empty_is_absent && seen.value.is_empty()) {
            let at = Span::new(end, end);
            return match (&source.absent, &source.take) {
                (Absent::Null, _) => absent(declared, end),
                (Absent::Default(raw, bytes), Take::Scalar(scalar)) => {
                    self.grow(bytes.len(), end)?;
                    self.scalar(scalar, &mut declared.column, leaf.path, *raw, bytes, at)
                }
                (Absent::Default(..) | Absent::Empty, _) => self.one(&leaf, &mut declared.column, &[at]),
            };
        }
        match &source.take {
            Take::Scalar(scalar) => {
                let bytes = seen.value.of(self.record);
                self.scalar(scalar, &mut declared.column, leaf.path, seen.raw, bytes, seen.value)
            }
            _ if seen.count == 1 => self.one(&leaf, &mut declared.column, &[seen.value]),
            _ => {
                let mut parts = Vec::new();
                self.each(source, seen, spans, |_, field| {
                    if !field.value.is_empty() || field.key == seen.first {
                        parts.push(field.value);
                    }
                    Ok(())
                })?;
                self.one(&leaf, &mut declared.column, &parts)
            }
        }
    }

    /// Goes through the values of a field again.
    fn each(
        &mut self,
        source: &Source,
        seen: Seen,
        spans: &[Span],
        mut with: impl FnMut(&mut Self, &Field) -> Result<(), BadRecord>,
    ) -> Result<(), BadRecord> {
        if seen.count == 0 {
            return Ok(());
        }
        let mut fields = Fields::from(self.record, spans, seen.first);
        while let Some(field) = fields.next()? {
            if field.number == source.number && source.fits(field.wire) {
                with(self, field)?;
            }
            if field.next == seen.end {
                break;
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        source: &Source,
        leaf: &Leaf<'_>,
        column: &mut Column,
        seen: Seen,
        spans: &[Span],
    ) -> Result<(), BadRecord> {
        let Column::List { item, items, ends, nulls, read, .. } = column else {
            return Err(BadRecord { why: wrong(leaf.path, column), at: seen.first as usize });
        };
        self.each(source, seen, spans, |reading, field| {
            match &source.take {
                Take::Scalar(scalar) if field.wire != source.wire => {
                    *items += reading.packed(scalar, leaf.path, item, field.value)? * i32::from(*read);
                    return Ok(());
                }
                Take::Scalar(scalar) => {
                    let bytes = field.value.of(reading.record);
                    reading.scalar(scalar, item, leaf.path, field.raw, bytes, field.value)?;
                }
                _ => reading.one(leaf, item, &[field.value])?,
            }
            *items += i32::from(*read);
            Ok(())
        })?;
        if *read {
            Column::list_done(*items, ends, nulls);
        }
        Ok(())
    }

    /// Numbers without keys, one behind the other; how many there are.
    pub(super) fn packed(
        &mut self,
        scalar: &Scalar,
        path: &str,
        item: &mut Column,
        all: Span,
    ) -> Result<i32, BadRecord> {
        let part = &self.record[..all.end as usize];
        let mut at = all.start as usize;
        let mut count = 0;
        while at < part.len() {
            let from = at;
            let raw = match scalar.wire() {
                wire::I32 => u64::from(u32::from_le_bytes(*fixed(part, &mut at)?)),
                wire::I64 => u64::from_le_bytes(*fixed(part, &mut at)?),
                _ => varint(part, &mut at)?,
            };
            self.scalar(scalar, item, path, raw, &[], Span::new(from, at))?;
            count += 1;
        }
        Ok(count)
    }

    /// A value that is no message, at `at`.
    #[inline]
    pub(super) fn scalar(
        &mut self,
        scalar: &Scalar,
        column: &mut Column,
        path: &str,
        raw: u64,
        bytes: &[u8],
        at: Span,
    ) -> Result<(), BadRecord> {
        let not_utf8 = |valid: usize| BadRecord { why: BadReason::NotUtf8, at: at.start as usize + valid };
        let is_text = matches!(column, Column::Text(_) | Column::Bytes(_));
        let value = match scalar {
            // What is a number, a time or a date is ASCII; the rest is looked at only if it is refused.
            Scalar::Text if !is_text => Value::Text(bytes),
            scalar => value(scalar, raw, bytes).map_err(not_utf8)?,
        };
        let grown = self.grown;
        if put(column, value, &mut self.grown).is_none() {
            if matches!(scalar, Scalar::Text) {
                std::str::from_utf8(bytes).map_err(|error| not_utf8(error.valid_up_to()))?;
            }
            return Err(BadRecord { why: wrong(path, column), at: at.start as usize });
        }
        if self.grown > grown { self.grow(0, at.start as usize) } else { Ok(()) }
    }

    /// A value that is a message, in one part or several, at least one.
    pub(super) fn one(
        &mut self,
        leaf: &Leaf<'_>,
        column: &mut Column,
        spans: &[Span],
    ) -> Result<(), BadRecord> {
        let at = spans.first().copied().unwrap_or_default();
        let found = match leaf.take {
            Take::Struct(plan) => {
                if let Column::Struct { object, rows, nulls, .. } = column {
                    self.message(plan, object, spans)?;
                    Column::struct_done(rows, nulls);
                    return Ok(());
                }
                None
            }
            Take::Wrapped(scalar) | Take::Scalar(scalar) => {
                let [part] = self.parts(spans, [scalar.wire()])?;
                let bytes = part.value.of(self.record);
                let place = if part.value.is_empty() { at } else { part.value };
                return self.scalar(scalar, column, leaf.path, part.raw, bytes, place);
            }
            Take::Timestamp => {
                let [seconds, nanos] = self.parts(spans, [wire::VARINT; 2])?;
                let nanos = i64::from(nanos.raw as u32 as i32);
                let valid = (0..1_000_000_000).contains(&nanos);
                valid.then_some(Value::Time(seconds.raw as i64, nanos))
            }
            Take::Date => {
                let [year, month, day] = self.parts(spans, [wire::VARINT; 3])?.map(|p| p.raw as u32 as i32);
                Some(Value::Day(year, month, day))
            }
            Take::DecimalText => {
                let [part] = self.parts(spans, [LEN])?;
                return self.scalar(
                    &Scalar::Text,
                    column,
                    leaf.path,
                    0,
                    part.value.of(self.record),
                    part.value,
                );
            }
            Take::DecimalBytes => {
                let [number, _, scale] = self.parts(spans, [LEN, wire::VARINT, wire::VARINT])?;
                let number = unscaled(number.value.of(self.record));
                number.map(|number| Value::Decimal(number, i64::from(scale.raw as u32 as i32)))
            }
        };
        let done = found.and_then(|value| put(column, value, &mut self.grown));
        done.ok_or_else(|| BadRecord { why: wrong(leaf.path, column), at: at.start as usize })
    }

    /// The last values of a well-known message's fields 1, 2, …, which have these wire types; zero, or no bytes, for those
    /// that are absent.
    fn parts<const N: usize>(&self, spans: &[Span], wires: [u8; N]) -> Result<[Part; N], BadRecord> {
        let start = spans.first().copied().unwrap_or_default().start;
        let mut parts = [Part { raw: 0, value: Span { start, end: start } }; N];
        let mut fields = Fields::new(self.record, spans);
        while let Some(field) = fields.next()? {
            let place = field.number as usize - 1;
            if wires.get(place) == Some(&field.wire) {
                parts[place] = Part { raw: field.raw, value: field.value };
            }
        }
        Ok(parts)
    }

    /// Counts bytes that are in no record, and refuses too many.
    fn grow(&mut self, bytes: usize, at: usize) -> Result<(), BadRecord> {
        self.grown += bytes;
        let most = (self.record.len() * GROWN_PER_BYTE).clamp(GROWN_MIN, GROWN_MAX);
        if self.grown > most {
            let text = format!("the names of enums and the defaults in it have more than {most} bytes");
            return Err(BadRecord { why: BadReason::Syntax(text), at });
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Part {
    raw: u64,
    value: Span,
}

/// A null, if the column takes one.
pub(super) fn absent(declared: &mut Declared, end: usize) -> Result<(), BadRecord> {
    if declared.required {
        return Err(BadRecord { why: BadReason::Missing(declared.path.to_string()), at: end });
    }
    declared.column.push_null();
    Ok(())
}

fn wrong(path: &str, column: &Column) -> BadReason {
    BadReason::WrongType { field: path.to_owned(), expected: column.expected() }
}
