//! Arrays of a batch: their buffers, long enough for the rows that they are said to have. What a value's bytes are is
//! looked at when it is taken. Never enters: columns.

use std::collections::HashMap;
use std::rc::Rc;

use super::body::{Body, Bytes, Grown};
use super::schema::{Dictionary, Field, Int, Kind};

/// An array.
pub(super) struct Array<'a> {
    pub(super) len: usize,
    /// A bit for each value that is there; nothing where all are.
    valid: Option<Bytes<'a>>,
    pub(super) cells: Cells<'a>,
}

/// Values.
pub(super) enum Cells<'a> {
    Null,
    Bool(Bytes<'a>),
    /// Of one width, which goes with their kind.
    Fixed(Kind, usize, Bytes<'a>),
    Bytes {
        text: bool,
        ends: Ends<'a>,
        bytes: Bytes<'a>,
    },
    Views {
        text: bool,
        views: Bytes<'a>,
        bytes: Vec<Bytes<'a>>,
    },
    List(Ends<'a>, Box<Array<'a>>),
    FixedList(usize, Box<Array<'a>>),
    /// By name.
    Struct(Vec<(&'a str, Array<'a>)>),
    Dictionary(Int, Bytes<'a>, Values<'a>),
    /// What no column takes.
    Other,
}

/// Where values end, from where the one before them does.
pub(super) struct Ends<'a> {
    wide: bool,
    bytes: Bytes<'a>,
}

impl Ends<'_> {
    fn at(&self, place: usize) -> Option<usize> {
        match self.wide {
            true => usize::try_from(i64::from_le_bytes(chunk(&self.bytes, place)?)).ok(),
            false => usize::try_from(i32::from_le_bytes(chunk(&self.bytes, place)?)).ok(),
        }
    }

    /// The range of a value within so many; nothing where it lies outside.
    pub(super) fn of(&self, row: usize, within: usize) -> Option<std::ops::Range<usize>> {
        let (from, to) = (self.at(row)?, self.at(row + 1)?);
        (from <= to && to <= within).then_some(from..to)
    }
}

/// The values of a dictionary: what its batches have, one behind the other.
#[derive(Clone, Default)]
pub(super) struct Values<'a> {
    /// Each with the place of its first value.
    parts: Vec<(usize, Rc<Array<'a>>)>,
    pub(super) len: usize,
    /// How many dictionaries its values lie in, one in the other.
    depth: usize,
}

/// How many dictionaries lie in each other at most. One that is replaced may lie in the one that replaces it, and that without end.
const DEPTH_MAX: usize = 16;

impl<'a> Values<'a> {
    pub(super) fn push(&mut self, more: Array<'a>) -> Result<(), String> {
        let len = self.len.checked_add(more.len).ok_or("a dictionary without end")?;
        self.depth = self.depth.max(more.depth());
        if self.depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} dictionaries lie in each other"));
        }
        self.parts.push((self.len, Rc::new(more)));
        self.len = len;
        Ok(())
    }

    /// The array that a value is in, and its place there.
    pub(super) fn find(&self, place: usize) -> Option<(&Array<'a>, usize)> {
        let behind = self.parts.partition_point(|(first, _)| *first <= place);
        let (first, part) = self.parts.get(behind.checked_sub(1)?)?;
        (place - first < part.len).then_some((part.as_ref(), place - first))
    }
}

/// The dictionaries of a stream, by id.
pub(super) type Dictionaries<'a> = HashMap<i64, Values<'a>>;

/// A value of so many bytes.
pub(super) fn chunk<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place.checked_mul(N)?..)?.first_chunk().copied()
}

pub(super) fn bit(bits: &[u8], place: usize) -> bool {
    bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

impl<'a> Array<'a> {
    pub(super) fn is_null(&self, place: usize) -> bool {
        matches!(self.cells, Cells::Null) || self.valid.as_ref().is_some_and(|valid| !bit(valid, place))
    }

    fn depth(&self) -> usize {
        match &self.cells {
            Cells::Dictionary(_, _, values) => 1 + values.depth,
            Cells::List(_, items) | Cells::FixedList(_, items) => items.depth(),
            Cells::Struct(parts) => parts.iter().map(|(_, part)| part.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Takes the next array of a batch, which a column of the stream's schema describes.
    pub(super) fn read(
        field: &Field<'a>,
        body: &mut Body<'a>,
        dictionaries: &Dictionaries<'a>,
        grown: &mut Grown,
    ) -> Result<Array<'a>, String> {
        Array::read_as((field, field.dictionary), body, dictionaries, grown)
    }

    /// The same of a column's values, or of their places in its dictionary.
    pub(super) fn read_as(
        (field, dictionary): (&Field<'a>, Option<Dictionary>),
        body: &mut Body<'a>,
        dictionaries: &Dictionaries<'a>,
        grown: &mut Grown,
    ) -> Result<Array<'a>, String> {
        let short = |what: &str| format!("column {} has fewer {what} than rows", field.name);
        if dictionary.is_none() && !field.is_taken() {
            pass_over(field, body)?;
            return Ok(Array { len: usize::MAX, valid: None, cells: Cells::Other });
        }
        let (len, has_nulls) = body.node()?;
        if let (Kind::Null, None) = (field.kind, dictionary) {
            return Ok(Array { len, valid: None, cells: Cells::Null });
        }
        let valid = body.buffer(grown)?;
        let valid = has_nulls.then_some(valid);
        if valid.as_ref().is_some_and(|valid| valid.len() < len.div_ceil(8)) {
            return Err(short("bits that say which are null"));
        }
        let cells = match (dictionary, field.kind) {
            (Some(of), _) => {
                let places =
                    sized(body.buffer(grown)?, len, of.place.bytes).ok_or_else(|| short("values"))?;
                // One whose values are all null may have none.
                Cells::Dictionary(of.place, places, dictionaries.get(&of.id).cloned().unwrap_or_default())
            }
            (None, Kind::Bytes { text, wide }) => {
                let ends = ends(body.buffer(grown)?, len, wide).ok_or_else(|| short("ends of values"))?;
                Cells::Bytes { text, ends, bytes: body.buffer(grown)? }
            }
            (None, Kind::View { text }) => {
                let count = body.view_buffers()?;
                let views = sized(body.buffer(grown)?, len, 16).ok_or_else(|| short("views"))?;
                let bytes = (0..count).map(|_| body.buffer(grown)).collect::<Result<_, _>>()?;
                Cells::Views { text, views, bytes }
            }
            (None, Kind::Bool) => {
                let bits = body.buffer(grown)?;
                if bits.len() < len.div_ceil(8) {
                    return Err(short("values"));
                }
                Cells::Bool(bits)
            }
            (None, Kind::List { .. } | Kind::Map) => {
                let wide = field.kind == Kind::List { wide: true };
                let ends = ends(body.buffer(grown)?, len, wide).ok_or_else(|| short("ends of values"))?;
                let mut items = Array::read(&field.children[0], body, dictionaries, grown)?;
                if let (Kind::Map, Cells::Struct(parts)) = (field.kind, &mut items.cells) {
                    // Their names are anything.
                    parts.iter_mut().zip(["key", "value"]).for_each(|(part, name)| part.0 = name);
                }
                Cells::List(ends, Box::new(items))
            }
            (None, Kind::FixedList(size)) => {
                let items = Array::read(&field.children[0], body, dictionaries, grown)?;
                if len.checked_mul(size).is_none_or(|wanted| items.len < wanted) {
                    return Err(short("values"));
                }
                Cells::FixedList(size, Box::new(items))
            }
            (None, Kind::Struct) => {
                let mut parts = Vec::with_capacity(field.children.len());
                for child in &field.children {
                    let part = Array::read(child, body, dictionaries, grown)?;
                    if part.len < len {
                        return Err(short("values"));
                    }
                    parts.push((child.name, part));
                }
                Cells::Struct(parts)
            }
            (None, kind) => {
                let width = match kind {
                    Kind::Int(int) => int.bytes,
                    Kind::Float(bytes) | Kind::Decimal(bytes, _) | Kind::FixedBytes(bytes) => bytes,
                    Kind::Date32 => 4,
                    _ => 8,
                };
                let values = sized(body.buffer(grown)?, len, width).ok_or_else(|| short("values"))?;
                Cells::Fixed(kind, width, values)
            }
        };
        Ok(Array { len, valid, cells })
    }
}

fn sized(bytes: Bytes<'_>, len: usize, width: usize) -> Option<Bytes<'_>> {
    len.checked_mul(width).filter(|wanted| *wanted <= bytes.len())?;
    Some(bytes)
}

/// Without values there may be no ends.
fn ends(bytes: Bytes<'_>, len: usize, wide: bool) -> Option<Ends<'_>> {
    let wanted = if len == 0 { 0 } else { len.checked_add(1)? };
    Some(Ends { wide, bytes: sized(bytes, wanted, if wide { 8 } else { 4 })? })
}

/// Passes an array over.
pub(super) fn pass_over(field: &Field<'_>, body: &mut Body<'_>) -> Result<(), String> {
    body.node()?;
    if field.dictionary.is_some() {
        return body.skip(2);
    }
    let buffers = match field.kind {
        Kind::Null | Kind::RunEnds => 0,
        Kind::FixedList(_) | Kind::Struct => 1,
        Kind::Bytes { .. } => 3,
        Kind::View { .. } => 2 + body.view_buffers()?,
        Kind::Union { dense } => 1 + usize::from(dense) + usize::from(body.is_v4),
        Kind::Other(_, buffers) => buffers,
        _ => 2,
    };
    body.skip(buffers)?;
    field.children.iter().try_for_each(|child| pass_over(child, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list may have its own dictionary's id for its items: each that replaces it lies in the one before.
    #[test]
    fn dictionaries_do_not_lie_in_each_other_without_end() {
        let place = Int { bytes: 1, signed: true };
        let mut values = Values::default();
        let mut refused = None;
        for at in 0..1_000 {
            let cells = Cells::Dictionary(place, Bytes::from(vec![0]), values);
            let items = Box::new(Array { len: 1, valid: None, cells });
            values = Values::default();
            if let Err(why) = values.push(Array { len: 1, valid: None, cells: Cells::FixedList(1, items) }) {
                refused = Some((at, why));
                break;
            }
        }
        assert_eq!(refused, Some((DEPTH_MAX, "more than 16 dictionaries lie in each other".to_owned())));
    }
}
