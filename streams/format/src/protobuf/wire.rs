//! Protobuf's wire format: the fields of a message one after another, with their places in the record, and how keys,
//! varints and lengths are written. Never enters: what fields mean.

use super::DEPTH_MAX;
pub(super) use crate::varint::{push_varint, unzigzag, zigzag};
use crate::{BadReason, BadRecord};

pub(super) const VARINT: u8 = 0;
pub(super) const I64: u8 = 1;
pub(super) const LEN: u8 = 2;
pub(super) const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
pub(super) const I32: u8 = 5;

/// A part of a record, in bytes from its start. A record is shorter than four gibibytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    pub(super) fn of(self, record: &[u8]) -> &[u8] {
        &record[self.start as usize..self.end as usize]
    }

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A field as it stands in a record. Handed on by reference: copying it right after it was made stalls the processor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) wire: u8,
    /// The number behind the key, where it has one: a varint, or four or eight bytes.
    pub(super) raw: u64,
    /// Where the key is.
    pub(super) key: u32,
    /// The value, without its length or its end of a group.
    pub(super) value: Span,
    /// Where the next field starts.
    pub(super) next: u32,
}

pub(super) fn bad(what: impl Into<String>, at: usize) -> BadRecord {
    BadRecord { why: BadReason::Syntax(format!("not Protobuf: {}", what.into())), at }
}

/// The fields of a message, which is one part of a record or several, put together.
pub(super) struct Fields<'a> {
    record: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
    /// The record up to the end of the part that is read.
    part: &'a [u8],
    at: usize,
    found: Field,
}

impl<'a> Fields<'a> {
    pub(super) fn new(record: &'a [u8], spans: &'a [Span]) -> Fields<'a> {
        Fields { record, spans: spans.iter(), part: &[], at: 0, found: Field::default() }
    }

    /// The fields from the key at `from` on, which is in one of the parts.
    pub(super) fn from(record: &'a [u8], spans: &'a [Span], from: u32) -> Fields<'a> {
        let before = spans.partition_point(|span| span.end <= from);
        let mut fields = Fields::new(record, &spans[before..]);
        if let Some(span) = fields.spans.next() {
            (fields.part, fields.at) = (&record[..span.end as usize], from as usize);
        }
        fields
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<&Field>, BadRecord> {
        while self.at == self.part.len() {
            let Some(span) = self.spans.next() else { return Ok(None) };
            (self.part, self.at) = (&self.record[..span.end as usize], span.start as usize);
        }
        read_field(self.part, self.at, &mut self.found)?;
        self.at = self.found.next as usize;
        Ok(Some(&self.found))
    }
}

/// Puts the field at `at` into `found`.
#[inline(always)]
pub(super) fn read_field(part: &[u8], at: usize, found: &mut Field) -> Result<(), BadRecord> {
    // Most fields have a key of one byte and a value of less than 128 bytes, or a varint of one.
    let Some([key @ 8..0x80, first @ 0..0x80, ..]) = part.get(at..) else {
        return any_field(part, at, found);
    };
    let value = match key & 7 {
        LEN if usize::from(*first) <= part.len() - at - 2 => at + 2..at + 2 + usize::from(*first),
        VARINT => at + 1..at + 2,
        _ => return any_field(part, at, found),
    };
    found.number = u32::from(key >> 3);
    found.wire = key & 7;
    found.raw = u64::from(*first);
    found.key = at as u32;
    found.value = Span::new(value.start, value.end);
    found.next = value.end as u32;
    Ok(())
}

/// The same for all others, and for what is no field.
#[inline(never)]
fn any_field(part: &[u8], at: usize, found: &mut Field) -> Result<(), BadRecord> {
    let (number, wire, from) = key(part, at)?;
    let (raw, value, next) = match wire {
        GROUP => {
            let (end, next) = group(part, from, number)?;
            (0, Span::new(from, end), next)
        }
        GROUP_END => return Err(bad(format!("the end of group {number}, which was not begun"), at)),
        _ => body(part, from, wire, at)?,
    };
    *found = Field { number, wire, raw, key: at as u32, value, next: next as u32 };
    Ok(())
}

/// A key's field number and wire type, and where the value starts.
#[inline]
fn key(part: &[u8], at: usize) -> Result<(u32, u8, usize), BadRecord> {
    let mut from = at;
    let key = varint(part, &mut from)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
    let number = number.ok_or_else(|| bad(format!("field number {}", key >> 3), at))?;
    Ok((number, (key & 7) as u8, from))
}

/// A value that is no group: its number, its place, and where it ends.
#[inline]
fn body(part: &[u8], from: usize, wire: u8, key: usize) -> Result<(u64, Span, usize), BadRecord> {
    let mut at = from;
    let raw = match wire {
        VARINT => varint(part, &mut at)?,
        I64 => u64::from_le_bytes(*fixed(part, &mut at)?),
        I32 => u64::from(u32::from_le_bytes(*fixed(part, &mut at)?)),
        LEN => {
            let len = varint(part, &mut at)?;
            let left = part.len() - at;
            let Some(len) = usize::try_from(len).ok().filter(|len| *len <= left) else {
                return Err(bad(format!("a length of {len} bytes, and {left} are left"), from));
            };
            return Ok((0, Span::new(at, at + len), at + len));
        }
        _ => return Err(bad(format!("wire type {wire}"), key)),
    };
    Ok((raw, Span::new(from, at), at))
}

/// Where the values of a group end, and where the group does.
fn group(part: &[u8], from: usize, number: u32) -> Result<(usize, usize), BadRecord> {
    let mut open = [number; DEPTH_MAX];
    let mut depth = 1;
    let mut at = from;
    loop {
        if at == part.len() {
            return Err(bad(format!("group {} is not ended", open[depth - 1]), at));
        }
        let (number, wire, value) = key(part, at)?;
        match wire {
            GROUP if depth == DEPTH_MAX => {
                return Err(bad(format!("groups that are nested deeper than {DEPTH_MAX}"), at));
            }
            GROUP => {
                open[depth] = number;
                depth += 1;
                at = value;
            }
            GROUP_END if number != open[depth - 1] => {
                let open = open[depth - 1];
                return Err(bad(format!("the end of group {number} in group {open}"), at));
            }
            GROUP_END => {
                depth -= 1;
                if depth == 0 {
                    return Ok((at, value));
                }
                at = value;
            }
            _ => at = body(part, value, wire, at)?.2,
        }
    }
}

/// The varint at `at`, which is moved behind it.
#[inline]
pub(super) fn varint(part: &[u8], at: &mut usize) -> Result<u64, BadRecord> {
    match part.get(*at) {
        Some(byte) if *byte < 0x80 => {
            *at += 1;
            Ok(u64::from(*byte))
        }
        _ => long_varint(part, at),
    }
}

fn long_varint(part: &[u8], at: &mut usize) -> Result<u64, BadRecord> {
    let mut value = 0;
    for place in 0..10 {
        let Some(byte) = part.get(*at + place) else {
            return Err(bad("a varint is cut off", part.len()));
        };
        if place == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            *at += place + 1;
            return Ok(value);
        }
    }
    Err(bad("a varint of more than 64 bits", *at))
}

#[inline]
pub(super) fn fixed<'a, const N: usize>(part: &'a [u8], at: &mut usize) -> Result<&'a [u8; N], BadRecord> {
    let Some(bytes) = part.get(*at..).and_then(|rest| rest.first_chunk()) else {
        return Err(bad(format!("a number of {N} bytes is cut off"), part.len()));
    };
    *at += N;
    Ok(bytes)
}

pub(super) fn push_key(number: u32, wire: u8, out: &mut Vec<u8>) {
    push_varint(u64::from(number) << 3 | u64::from(wire), out);
}

pub(super) fn push_group_end(number: u32, out: &mut Vec<u8>) {
    push_key(number, GROUP_END, out);
}

/// Appends what `write` does, with its length before it.
pub(super) fn delimited<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let from = out.len();
    out.push(0);
    write(out)?;
    let len = out.len() - from - 1;
    if len < 0x80 {
        out[from] = len as u8;
    } else {
        let mut varint = Vec::with_capacity(10);
        push_varint(len as u64, &mut varint);
        out.splice(from..=from, varint);
    }
    Ok(())
}
