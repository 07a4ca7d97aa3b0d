//! Random bytes of a message, written straight from the fact tables: an encoder apart from the generated one, with
//! no structures in between. Owns the canonical form: tagged fields only where they are not at their default, in
//! the order of their tags.

use crate::table::{Field, Message, Type, parse};
use millstream_types::{Rng, SeededRng};

/// Every message of a table.
pub fn table(text: &str) -> Vec<Message> {
    parse(text).expect("the committed tables can be read")
}

/// The versions that a message has.
pub fn versions(message: &Message) -> std::ops::RangeInclusive<i16> {
    message.versions.lo..=message.versions.hi
}

/// How large random values get.
#[derive(Clone, Copy)]
pub struct Size {
    /// The most elements of an array.
    pub elements: u64,
    /// The most bytes of a string or byte field.
    pub bytes: u64,
    /// Whether tagged fields that no schema names stand at the end of some structures.
    pub unknown_tags: bool,
}

/// Random bytes of `message` in `version`, in the form that every encoder has to give.
pub fn bytes(message: &Message, version: i16, rng: &mut SeededRng, size: Size) -> Vec<u8> {
    let mut out = Vec::new();
    let mut g = Random { message, version, rng, size };
    g.structure(&message.name, 0, &mut out);
    out
}

struct Random<'a> {
    message: &'a Message,
    version: i16,
    rng: &'a mut SeededRng,
    size: Size,
}

/// How a value stands where it stands.
#[derive(Clone, Copy)]
struct Place {
    /// Whether a structure has a mark in front, that says whether it is null.
    marked: bool,
    tagged: bool,
    flexible: bool,
    null: bool,
}

pub fn uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Random<'_> {
    fn flexible(&self) -> bool {
        self.message.flexible.contains(self.version)
    }

    fn structure(&mut self, name: &str, depth: u64, out: &mut Vec<u8>) {
        let structure = self.message.structure(name).clone();
        let here = |f: &&Field| f.versions.contains(self.version);
        let fields: Vec<&Field> = structure.fields.iter().filter(here).collect();
        for field in fields.iter().filter(|f| f.tag.is_none()) {
            self.value(field, depth, out);
        }
        if !self.flexible() {
            return;
        }
        let mut tags: Vec<(u64, Vec<u8>)> = Vec::new();
        for field in fields.iter().filter(|f| f.tag.is_some()) {
            let mut value = Vec::new();
            self.value(field, depth, &mut value);
            if value != self.default(field) {
                tags.push((field.tag.unwrap().into(), value));
            }
        }
        if self.size.unknown_tags && self.rng.chance(1, 4) {
            let mut value = Vec::new();
            let length = self.rng.below(6);
            self.fill(length, &mut value);
            tags.push((1_000 + self.rng.below(100_000), value));
        }
        tags.sort();
        uvarint(tags.len() as u64, out);
        for (tag, value) in tags {
            uvarint(tag, out);
            uvarint(value.len() as u64, out);
            out.extend(value);
        }
    }

    /// What a field at its default looks like on the wire.
    fn default(&self, field: &Field) -> Vec<u8> {
        let nullable = field.nullable.contains(self.version);
        let given = field.default.as_deref();
        if nullable && given == Some("null") {
            return match field.kind {
                Type::Struct(_) if field.tag.is_none() => vec![0xff],
                _ => vec![0],
            };
        }
        let number = |size: usize| -> Vec<u8> {
            let value: i64 = match given {
                None => 0,
                Some(text) => match text.strip_prefix("0x") {
                    Some(hex) => i64::from_str_radix(hex, 16).unwrap(),
                    None => text.parse().unwrap(),
                },
            };
            value.to_be_bytes()[8 - size..].to_vec()
        };
        match &field.kind {
            Type::Bool => vec![u8::from(given == Some("true"))],
            Type::Int8 => number(1),
            Type::Int16 | Type::Uint16 => number(2),
            Type::Int32 | Type::Uint32 => number(4),
            Type::Int64 | Type::Float64 => number(8),
            Type::Uuid => vec![0; 16],
            Type::String | Type::Bytes | Type::Records | Type::Array(_) => vec![1],
            Type::Struct(name) => {
                let mut out = if nullable { vec![1] } else { Vec::new() };
                for inner in &self.message.structure(name).fields {
                    if inner.versions.contains(self.version) && inner.tag.is_none() {
                        out.extend(self.default(inner));
                    }
                }
                out.push(0);
                out
            }
        }
    }

    fn fill(&mut self, length: u64, out: &mut Vec<u8>) {
        out.extend((0..length).map(|_| self.rng.next_u64() as u8));
    }

    fn length(&mut self, flexible: bool, short: bool, length: Option<u64>, out: &mut Vec<u8>) {
        match (flexible, short) {
            (true, _) => uvarint(length.map_or(0, |l| l + 1), out),
            (false, true) => out.extend(length.map_or(-1, |l| l as i16).to_be_bytes()),
            (false, false) => out.extend(length.map_or(-1, |l| l as i32).to_be_bytes()),
        }
    }

    fn value(&mut self, field: &Field, depth: u64, out: &mut Vec<u8>) {
        let flexible = self.flexible() && !field.never_flexible;
        let null = field.nullable.contains(self.version) && self.rng.chance(1, 4);
        let place = Place {
            marked: field.nullable.contains(self.version),
            tagged: field.tag.is_some(),
            flexible,
            null,
        };
        self.typed(&field.kind, place, depth, out);
    }

    fn typed(&mut self, kind: &Type, place: Place, depth: u64, out: &mut Vec<u8>) {
        let Place { flexible, null, .. } = place;
        let special = self.rng.chance(1, 4);
        match kind {
            Type::Bool => out.push(self.rng.below(2) as u8),
            Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64 => {
                let size = match kind {
                    Type::Int8 => 1,
                    Type::Int16 | Type::Uint16 => 2,
                    Type::Int32 | Type::Uint32 => 4,
                    _ => 8,
                };
                let value = if special { -1i64 } else { self.rng.next_u64() as i64 };
                out.extend(&value.to_be_bytes()[8 - size..]);
            }
            Type::Float64 => out.extend((self.rng.next_u64() as i32 as f64 / 3.0).to_be_bytes()),
            Type::Uuid => self.fill(16, out),
            Type::String => {
                if null {
                    return self.length(flexible, true, None, out);
                }
                let mut text = String::new();
                for _ in 0..self.rng.below(self.size.bytes + 1) {
                    let c = char::from_u32(self.rng.below(0x300) as u32 + 1).unwrap();
                    text.push(c);
                }
                self.length(flexible, true, Some(text.len() as u64), out);
                out.extend(text.as_bytes());
            }
            Type::Bytes | Type::Records => {
                if null {
                    return self.length(flexible, false, None, out);
                }
                let length = self.rng.below(self.size.bytes + 1);
                self.length(flexible, false, Some(length), out);
                self.fill(length, out);
            }
            Type::Struct(name) => {
                if place.marked {
                    // In a tagged field the mark is a varint.
                    out.push(if !null {
                        1
                    } else if place.tagged {
                        0
                    } else {
                        0xff
                    });
                }
                if !null {
                    self.structure(name, depth + 1, out);
                }
            }
            Type::Array(element) => {
                if null {
                    return self.length(flexible, false, None, out);
                }
                // Fewer elements further in, so that the whole stays small.
                let count = self.rng.below(self.size.elements / (depth + 1) + 2);
                self.length(flexible, false, Some(count), out);
                for _ in 0..count {
                    let place = Place { marked: false, tagged: false, flexible, null: false };
                    self.typed(element, place, depth + 1, out);
                }
            }
        }
    }
}
