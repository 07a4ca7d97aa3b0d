//! The scanner: one pass over a record's bytes, in the key order of the record before. It checks JSON's whole grammar,
//! skipped values included, and gives up with [`Miss`] on whatever it does not understand: wrong records, but also
//! escaped keys, repeated keys, exponents and very deep values, which may be right.

use wide::u8x16;

use super::scalar;
use crate::column::Column;
use crate::object::{KEYS_MAX, Object, Other, Target};

/// The scanner gave up; what it wrote is to be rolled back and the record read by `serde_json`.
#[derive(Debug)]
pub(super) struct Miss;

/// How many undeclared keys may still be learnt, over all shapes of a decoder: hostile input cannot grow it.
pub(super) struct Budget(u32);

impl Default for Budget {
    fn default() -> Budget {
        Budget(4_096)
    }
}

/// How deep a value that the schema does not name may be nested before the scanner leaves it to `serde_json`.
const DEPTH_MAX: u32 = 64;
/// How many steps ahead a key is looked for before it is parsed.
const LOOK_AHEAD: usize = 4;

/// Scans a whole record, which is UTF-8, into the columns of `root`.
pub(super) fn record(root: &mut Object, bytes: &[u8], budget: &mut Budget) -> Result<(), Miss> {
    if root.declared.len() > KEYS_MAX {
        return Err(Miss);
    }
    let scanner = Scanner { bytes };
    let start = scanner.blank(0);
    if scanner.byte(start) != b'{' {
        return Err(Miss);
    }
    let end = scanner.object(root, start, &mut budget.0, 0)?;
    if scanner.blank(end) == scanner.bytes.len() { Ok(()) } else { Err(Miss) }
}

/// Which of 16 bytes are below 0x20, `"` or `\`: a bit each, the lowest for the first.
#[inline(always)]
fn specials(bytes: [u8; 16]) -> u32 {
    let bytes = u8x16::new(bytes);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let quote = bytes.simd_eq(u8x16::splat(b'"'));
    let slash = bytes.simd_eq(u8x16::splat(b'\\'));
    (control | quote | slash).to_bitmask()
}

/// Whether all bytes are ASCII. `slice::is_ascii` looks at the last 31 one by one, which of a short record are a part of it.
#[inline(always)]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<16>() else { return bytes.is_ascii() };
    let blocks = bytes.as_chunks::<16>().0.iter().chain([last]);
    blocks.fold(u8x16::ZERO, |any, block| any | u8x16::new(*block)).to_bitmask() == 0
}

struct Scanner<'a> {
    bytes: &'a [u8],
}

/// Powers of ten.
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// How many of the eight bytes of a word are digits before the first that is none; the first byte is the lowest.
#[inline(always)]
fn digits(word: u64) -> usize {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    // A carry runs upwards, behind the first byte that is none.
    let other = ((word & HIGH) ^ ZEROS) | ((word.wrapping_add(0x0606_0606_0606_0606) & HIGH) ^ ZEROS);
    (other.trailing_zeros() / 8) as usize
}

/// The value of the first digits of a word, one to eight of them: pairs, fours and eights at once.
#[inline(always)]
fn value_of(word: u64, count: usize) -> u64 {
    let word = (word << (8 * (8 - count))) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (word.wrapping_mul(10 * 0x100 + 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 * 0x1_0000 + 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32
}

impl Scanner<'_> {
    /// The byte at a place; 0, which no value starts with, behind the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        if at < self.bytes.len() { self.bytes[at] } else { 0 }
    }

    /// The first place from `at` on that is not white space.
    #[inline(always)]
    fn blank(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
        }
        at
    }

    /// The first quote, backslash or control character from `at` on, or the end.
    #[inline(always)]
    fn plain(&self, mut at: usize) -> usize {
        while let Some(block) = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
            let found = specials(*block);
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
            at += 16;
        }
        let left = self.bytes.len().saturating_sub(at);
        if let Some(last) = self.bytes.last_chunk::<16>() {
            let found = (specials(*last) | 1 << 16) >> (16 - left);
            return at + found.trailing_zeros() as usize;
        }
        while at < self.bytes.len() && !matches!(self.bytes[at], b'"' | b'\\' | 0..0x20) {
            at += 1;
        }
        at
    }

    /// The end of a string whose body starts at `at` (its closing quote), and whether it has escapes. Each escape is
    /// checked for its form, not for what it stands for.
    #[inline(always)]
    fn string(&self, at: usize) -> Result<(usize, bool), Miss> {
        let end = self.plain(at);
        match self.byte(end) {
            b'"' => Ok((end, false)),
            b'\\' => self.escaped(end),
            _ => Err(Miss),
        }
    }

    fn escaped(&self, mut at: usize) -> Result<(usize, bool), Miss> {
        loop {
            match self.byte(at) {
                b'"' => return Ok((at, true)),
                b'\\' => match self.byte(at + 1) {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                    b'u' => {
                        scalar::hex4(&self.bytes[at + 2..]).ok_or(Miss)?;
                        at += 6;
                    }
                    _ => return Err(Miss),
                },
                _ => return Err(Miss),
            }
            at = self.plain(at);
        }
    }

    /// The end of a number that starts at `at`, and whether it is an integer.
    #[inline(always)]
    fn number(&self, mut at: usize) -> Result<(usize, bool), Miss> {
        if self.byte(at) == b'-' {
            at += 1;
        }
        match self.byte(at) {
            b'0' => at += 1,
            b'1'..=b'9' => at = self.digits(at + 1),
            _ => return Err(Miss),
        }
        let mut integer = true;
        if self.byte(at) == b'.' {
            integer = false;
            let end = self.digits(at + 1);
            if end == at + 1 {
                return Err(Miss);
            }
            at = end;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            integer = false;
            at += 1;
            if matches!(self.byte(at), b'+' | b'-') {
                at += 1;
            }
            let end = self.digits(at);
            if end == at {
                return Err(Miss);
            }
            at = end;
        }
        Ok((at, integer))
    }

    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    }

    #[inline(always)]
    fn word(&self, at: usize, word: &[u8]) -> Result<usize, Miss> {
        if self.bytes[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Miss) }
    }

    /// An object from its `{` on; returns the place behind its `}`.
    fn object(&self, object: &mut Object, at: usize, budget: &mut u32, depth: u32) -> Result<usize, Miss> {
        let mut seen: u64 = 0;
        let mut step = 0;
        let mut at = at + 1;
        let first = self.blank(at);
        if self.byte(first) == b'}' {
            at = first + 1;
        } else {
            loop {
                let (target, value) = self.key(object, at, &mut step, budget)?;
                at = match target {
                    Some(Target::Declared(i)) => {
                        let bit = 1u64 << i;
                        if seen & bit != 0 {
                            return Err(Miss);
                        }
                        seen |= bit;
                        let declared = &mut object.declared[usize::from(i)];
                        match self.usual(&mut declared.column, value) {
                            Some(end) => end,
                            None => {
                                self.declared(&mut declared.column, declared.required, value, budget, depth)?
                            }
                        }
                    }
                    // `serde_json` says which.
                    Some(Target::Other(_)) | None if object.frozen => return Err(Miss),
                    Some(Target::Other(i)) => {
                        self.other(&mut object.others[usize::from(i)], value, budget, depth)?
                    }
                    None => self.skip(value, depth)?,
                };
                let mut behind = self.byte(at);
                if !matches!(behind, b',' | b'}') {
                    at = self.blank(at);
                    behind = self.byte(at);
                }
                at += 1;
                match behind {
                    b',' => {}
                    b'}' => break,
                    _ => return Err(Miss),
                }
            }
        }
        let all = if object.declared.len() == 64 { u64::MAX } else { (1u64 << object.declared.len()) - 1 };
        let mut missing = all & !seen;
        while missing != 0 {
            let declared = &mut object.declared[missing.trailing_zeros() as usize];
            if declared.required {
                return Err(Miss);
            }
            declared.column.push_null();
            missing &= missing - 1;
        }
        Ok(at)
    }

    /// A key from behind its `{` or `,`: what it stands for, and where its value starts. `step` is the place in the
    /// learnt order, and moves on.
    #[inline(always)]
    fn key(
        &self,
        object: &mut Object,
        at: usize,
        step: &mut usize,
        budget: &mut u32,
    ) -> Result<(Option<Target>, usize), Miss> {
        if let Some(known) = object.steps.get(*step)
            && let Some(value) = known.matches(self.bytes, at)
        {
            *step += 1;
            return Ok((Some(known.target), value));
        }
        self.later_key(object, at, step, budget)
    }

    /// A key that is not the next of the learnt order.
    #[inline(never)]
    fn later_key(
        &self,
        object: &mut Object,
        at: usize,
        step: &mut usize,
        budget: &mut u32,
    ) -> Result<(Option<Target>, usize), Miss> {
        for (i, known) in object.steps.iter().enumerate().skip(*step + 1).take(LOOK_AHEAD - 1) {
            if let Some(value) = known.matches(self.bytes, at) {
                *step = i + 1;
                return Ok((Some(known.target), value));
            }
        }
        self.new_key(object, at, step, budget)
    }

    #[cold]
    fn new_key(
        &self,
        object: &mut Object,
        at: usize,
        step: &mut usize,
        budget: &mut u32,
    ) -> Result<(Option<Target>, usize), Miss> {
        let open = self.blank(at);
        if self.byte(open) != b'"' {
            return Err(Miss);
        }
        let (close, escaped) = self.string(open + 1)?;
        let colon = self.blank(close + 1);
        if escaped || self.byte(colon) != b':' {
            return Err(Miss);
        }
        let value = self.blank(colon + 1);
        let target = object.learn(&self.bytes[open + 1..close], &self.bytes[at..value], *step, budget);
        *step += usize::from(target.is_some());
        Ok((target, value))
    }

    /// A declared value of a usual kind in its usual form, into its column.
    #[inline(always)]
    fn usual(&self, column: &mut Column, at: usize) -> Option<usize> {
        match column {
            Column::Text(text) if self.byte(at) == b'"' => {
                let end = self.plain(at + 1);
                if self.byte(end) != b'"' {
                    return None;
                }
                text.push(&self.bytes[at + 1..end]);
                Some(end + 1)
            }
            Column::Int64(values) => {
                let (end, value) = self.short_integer(at)?;
                values.push(value);
                Some(end)
            }
            Column::Instant(values) => {
                let (end, value) = self.short_integer(at)?;
                if !millstream_model::time::in_range(value) {
                    return None;
                }
                values.push(value);
                Some(end)
            }
            _ => None,
        }
    }

    /// A declared value, into its column.
    fn declared(
        &self,
        column: &mut Column,
        required: bool,
        at: usize,
        budget: &mut u32,
        depth: u32,
    ) -> Result<usize, Miss> {
        if self.byte(at) == b'n' {
            let end = self.word(at, b"null")?;
            if required {
                return Err(Miss);
            }
            column.push_null();
            return Ok(end);
        }
        match column {
            Column::Text(text) => {
                let (end, escaped) = self.body(at)?;
                if escaped {
                    text.push_escaped(&self.bytes[at + 1..end]).ok_or(Miss)?;
                } else {
                    text.push(&self.bytes[at + 1..end]);
                }
                Ok(end + 1)
            }
            Column::Instant(values) => {
                if self.byte(at) == b'"' {
                    let (end, escaped) = self.body(at)?;
                    if escaped {
                        return Err(Miss);
                    }
                    values.push(scalar::instant(&self.bytes[at + 1..end]).ok_or(Miss)?);
                    Ok(end + 1)
                } else {
                    let (end, value) = self.integer(at)?;
                    if !millstream_model::time::in_range(value) {
                        return Err(Miss);
                    }
                    values.push(value);
                    Ok(end)
                }
            }
            Column::Micros(values) if self.byte(at) != b'"' => {
                let (end, value) = self.integer(at)?;
                values.push(Some(value).filter(|v| scalar::micros_in_range(*v)).ok_or(Miss)?);
                Ok(end)
            }
            Column::Micros(values) => {
                let (end, body) = self.unescaped(at)?;
                values.push(scalar::instant_micros(body).ok_or(Miss)?);
                Ok(end)
            }
            Column::Date(values) => {
                let (end, body) = self.unescaped(at)?;
                values.push(scalar::date(body).ok_or(Miss)?);
                Ok(end)
            }
            Column::Bytes(values) => {
                let (end, body) = self.unescaped(at)?;
                values.push(&scalar::base64(body).ok_or(Miss)?);
                Ok(end)
            }
            Column::Decimal { values, precision, scale } => {
                let (end, value) = self.decimal(at, *precision, *scale)?;
                values.push(value);
                Ok(end)
            }
            Column::Int32(values) => {
                let (end, value) = self.integer(at)?;
                values.push(i32::try_from(value).map_err(|_| Miss)?);
                Ok(end)
            }
            Column::Int64(values) => {
                let (end, value) = self.integer(at)?;
                values.push(value);
                Ok(end)
            }
            Column::Float(values) => {
                let (end, _) = self.number(at)?;
                let text = std::str::from_utf8(&self.bytes[at..end]).map_err(|_| Miss)?;
                values.push(scalar::double(text).ok_or(Miss)?);
                Ok(end)
            }
            Column::Bool(values) => {
                let (word, value): (&[u8], bool) =
                    if self.byte(at) == b't' { (b"true", true) } else { (b"false", false) };
                let end = self.word(at.min(self.bytes.len()), word)?;
                values.push(value);
                Ok(end)
            }
            Column::Struct { object, rows, nulls, .. } => {
                if self.byte(at) != b'{' || object.declared.len() > KEYS_MAX {
                    return Err(Miss);
                }
                let end = self.object(object, at, budget, depth + 1)?;
                Column::struct_done(rows, nulls);
                Ok(end)
            }
            Column::List { item, item_nullable, items, ends, nulls, read, .. } => {
                if self.byte(at) != b'[' {
                    return Err(Miss);
                }
                let mut at = self.blank(at + 1);
                if self.byte(at) == b']' {
                    at += 1;
                } else {
                    loop {
                        at = self.declared(item, !*item_nullable, at, budget, depth + 1)?;
                        *items += i32::from(*read);
                        at = self.blank(at);
                        match self.byte(at) {
                            b',' => at = self.blank(at + 1),
                            b']' => break,
                            _ => return Err(Miss),
                        }
                    }
                    at += 1;
                }
                if *read {
                    Column::list_done(*items, ends, nulls);
                }
                Ok(at)
            }
        }
    }

    /// A string from its opening quote on: the place of the closing one.
    #[inline(always)]
    fn body(&self, at: usize) -> Result<(usize, bool), Miss> {
        if self.byte(at) == b'"' { self.string(at + 1) } else { Err(Miss) }
    }

    /// A string without escapes: the place behind its closing quote, and its body.
    fn unescaped(&self, at: usize) -> Result<(usize, &[u8]), Miss> {
        match self.body(at)? {
            (end, false) => Ok((end + 1, &self.bytes[at + 1..end])),
            (_, true) => Err(Miss),
        }
    }

    /// One of up to 16 digits is read eight at a time; the others by the exact general rule.
    #[inline(always)]
    fn integer(&self, at: usize) -> Result<(usize, i64), Miss> {
        if let Some(short) = self.short_integer(at) {
            return Ok(short);
        }
        let (end, integer) = self.number(at)?;
        if !integer {
            return Err(Miss);
        }
        Ok((end, scalar::integer(&self.bytes[at..end]).ok_or(Miss)?))
    }

    #[inline(always)]
    fn short_integer(&self, at: usize) -> Option<(usize, i64)> {
        let negative = self.byte(at) == b'-';
        let first = at + usize::from(negative);
        let (mut count, mut value) = self.eight(first)?;
        if count == 8
            && let Some((more, low)) = self.eight(first + 8)
        {
            (count, value) = (8 + more, value * POWERS[more] + low);
        }
        let end = first + count;
        let behind = self.byte(end);
        let is_whole = count > 0 && !behind.is_ascii_digit() && !matches!(behind, b'.' | b'e' | b'E');
        let is_short = is_whole && (self.bytes[first] != b'0' || count == 1);
        is_short.then_some((end, if negative { -value } else { value }))
    }

    /// The digits that stand at a place, up to eight: how many, and their value. Nothing close to the end.
    #[inline(always)]
    fn eight(&self, at: usize) -> Option<(usize, i64)> {
        let word = u64::from_le_bytes(*self.bytes.get(at..)?.first_chunk::<8>()?);
        let count = digits(word);
        Some((count, if count == 0 { 0 } else { value_of(word, count) as i64 }))
    }

    /// A decimal without exponent that fits 18 digits is read here; the others by the exact general rule.
    #[inline(always)]
    fn decimal(&self, start: usize, precision: u8, scale: i8) -> Result<(usize, i128), Miss> {
        let negative = self.byte(start) == b'-';
        let whole = start + usize::from(negative);
        let mut at = whole;
        let mut value: i64 = 0;
        while self.byte(at).is_ascii_digit() {
            value = value.wrapping_mul(10).wrapping_add(i64::from(self.bytes[at] - b'0'));
            at += 1;
        }
        let whole_digits = at - whole;
        if whole_digits == 0 || (whole_digits > 1 && self.bytes[whole] == b'0') {
            return Err(Miss);
        }
        let mut fraction = 0;
        if self.byte(at) == b'.' {
            at += 1;
            let first = at;
            while self.byte(at).is_ascii_digit() {
                value = value.wrapping_mul(10).wrapping_add(i64::from(self.bytes[at] - b'0'));
                at += 1;
            }
            fraction = at - first;
            if fraction == 0 {
                return Err(Miss);
            }
        }
        let scale_digits = scale as usize;
        let plain = fraction <= scale_digits
            && whole_digits + scale_digits <= 18.min(usize::from(precision))
            && !matches!(self.byte(at), b'e' | b'E');
        if !plain {
            let (end, _) = self.number(start)?;
            return Ok((end, scalar::decimal(&self.bytes[start..end], precision, scale).ok_or(Miss)?));
        }
        let value = i128::from(value * POWERS[scale_digits - fraction]);
        Ok((at, if negative { -value } else { value }))
    }

    /// An undeclared value. Objects in it, also those in a list, get a learnt shape of their own: comparing keys with
    /// what came before costs less than scanning them.
    fn other(&self, other: &mut Other, at: usize, budget: &mut u32, depth: u32) -> Result<usize, Miss> {
        match self.byte(at) {
            b'{' | b'[' if depth < DEPTH_MAX => {
                let shape = other.shape.get_or_insert_with(Box::default);
                self.shaped(shape, at, budget, depth + 1)
            }
            _ => self.skip(at, depth),
        }
    }

    fn shaped(&self, shape: &mut Object, at: usize, budget: &mut u32, depth: u32) -> Result<usize, Miss> {
        match self.byte(at) {
            b'{' => self.object(shape, at, budget, depth),
            b'[' if depth < DEPTH_MAX => self.list(at, |at| self.shaped(shape, at, budget, depth + 1)),
            _ => self.skip(at, depth),
        }
    }

    /// A list from its `[` on, each item by `item`; returns the place behind its `]`.
    #[inline(always)]
    fn list(&self, at: usize, mut item: impl FnMut(usize) -> Result<usize, Miss>) -> Result<usize, Miss> {
        let mut at = self.blank(at + 1);
        if self.byte(at) == b']' {
            return Ok(at + 1);
        }
        loop {
            at = self.blank(item(at)?);
            match self.byte(at) {
                b',' => at = self.blank(at + 1),
                b']' => return Ok(at + 1),
                _ => return Err(Miss),
            }
        }
    }

    /// Any value, grammar only.
    fn skip(&self, at: usize, depth: u32) -> Result<usize, Miss> {
        match self.byte(at) {
            b'"' => Ok(self.string(at + 1)?.0 + 1),
            b'-' | b'0'..=b'9' => Ok(self.number(at)?.0),
            b't' => self.word(at, b"true"),
            b'f' => self.word(at, b"false"),
            b'n' => self.word(at, b"null"),
            b'[' if depth < DEPTH_MAX => self.list(at, |at| self.skip(at, depth + 1)),
            b'{' if depth < DEPTH_MAX => {
                let mut at = self.blank(at + 1);
                if self.byte(at) == b'}' {
                    return Ok(at + 1);
                }
                loop {
                    let (close, _) = self.body(at)?;
                    at = self.blank(close + 1);
                    if self.byte(at) != b':' {
                        return Err(Miss);
                    }
                    at = self.blank(self.skip(self.blank(at + 1), depth + 1)?);
                    match self.byte(at) {
                        b',' => at = self.blank(at + 1),
                        b'}' => return Ok(at + 1),
                        _ => return Err(Miss),
                    }
                }
            }
            _ => Err(Miss),
        }
    }
}
