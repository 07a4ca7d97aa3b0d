//! A bounded cursor over one frame. Every length and count is checked against the bytes that are left, and the
//! memory that the values will take against a budget, before anything is allocated; so a frame of n bytes costs at
//! most a fixed multiple of n. How deep values nest is fixed by the schemas, which hold no structure in itself (the
//! generator refuses one). Never enters: which fields a message has.
//!
//! `Bytes` and record values are slices of the input, not copies, and keep the whole frame in memory while they
//! live; whoever keeps one for long copies it first.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::records::Records;
use crate::tagged::TaggedFields;
use bytes::Bytes;
use millstream_types::{Uuid, limits};

/// How many bytes of memory a byte of input may cost in decoded values. Kafka's own messages stay below 30 (an
/// array of one-byte strings); a frame made to cost more is refused.
pub const MEMORY_FACTOR: usize = 32;
/// What every reader may use besides.
pub const MEMORY_FLOOR: usize = 64 * 1024;

/// The most tagged fields that one structure may have (Kafka 4.4.0's own bound).
pub const TAGGED_FIELDS_MAX: usize = 10_000;

/// A cursor over the bytes of one frame.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
    end: usize,
    memory_used: usize,
    memory_max: usize,
}

impl Reader {
    /// A cursor at the start of `bytes`, which may use [`MEMORY_FACTOR`] times their length and [`MEMORY_FLOOR`].
    pub fn new(bytes: Bytes) -> Reader {
        let end = bytes.len();
        let memory_max = end.saturating_mul(MEMORY_FACTOR).saturating_add(MEMORY_FLOOR);
        Reader { bytes, at: 0, end, memory_used: 0, memory_max }
    }

    /// The same, with another bound on the memory that decoded values may take, in bytes.
    pub fn with_memory_max(bytes: Bytes, memory_max: usize) -> Reader {
        Reader { memory_max, ..Reader::new(bytes) }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Refuses bytes that are left over.
    pub fn expect_end(&self, what: &'static str) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::Trailing, what, left as i64, 0)),
        }
    }

    #[cold]
    pub(crate) fn error(
        &self,
        kind: DecodeErrorKind,
        what: &'static str,
        value: i64,
        bound: i64,
    ) -> DecodeError {
        DecodeError { kind, what, value, bound, at: self.at }
    }

    fn need(&self, n: usize, what: &'static str) -> Result<(), DecodeError> {
        if n <= self.remaining() {
            return Ok(());
        }
        Err(self.error(DecodeErrorKind::Truncated, what, n as i64, self.remaining() as i64))
    }

    fn charge(&mut self, bytes: usize, what: &'static str) -> Result<(), DecodeError> {
        let used = self.memory_used.saturating_add(bytes);
        if used > self.memory_max {
            return Err(self.error(DecodeErrorKind::Memory, what, used as i64, self.memory_max as i64));
        }
        self.memory_used = used;
        Ok(())
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        self.need(N, what)?;
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        Ok(out)
    }

    /// One byte, true unless it is 0 (as Kafka reads it).
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.i8(what)? != 0)
    }

    /// A signed byte.
    pub fn i8(&mut self, what: &'static str) -> Result<i8, DecodeError> {
        self.fixed(what).map(i8::from_be_bytes)
    }

    /// Two bytes, big-endian, signed.
    pub fn i16(&mut self, what: &'static str) -> Result<i16, DecodeError> {
        self.fixed(what).map(i16::from_be_bytes)
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.fixed(what).map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian, signed.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.fixed(what).map(i32::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.fixed(what).map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian, signed.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.fixed(what).map(i64::from_be_bytes)
    }

    /// Eight bytes, big-endian, IEEE 754.
    pub fn f64(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        self.fixed(what).map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, what: &'static str) -> Result<Uuid, DecodeError> {
        self.fixed(what).map(Uuid)
    }

    /// An unsigned varint of at most 32 bits: seven bits a byte, lowest first.
    pub fn uvarint(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for i in 0..5 {
            let byte = self.bytes[..self.end].get(self.at + i).copied();
            let Some(byte) = byte else {
                return Err(self.error(
                    DecodeErrorKind::Truncated,
                    what,
                    i as i64 + 1,
                    self.remaining() as i64,
                ));
            };
            if i == 4 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::Varint, what, 0, 5))
    }

    /// A signed varint of at most 32 bits, in zigzag form.
    pub fn varint(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        let raw = self.uvarint(what)?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A signed varint of at most 64 bits, in zigzag form.
    pub fn varlong(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let mut value = 0u64;
        for i in 0..10 {
            let Some(byte) = self.bytes[..self.end].get(self.at + i).copied() else {
                return Err(self.error(
                    DecodeErrorKind::Truncated,
                    what,
                    i as i64 + 1,
                    self.remaining() as i64,
                ));
            };
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.at += i + 1;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.error(DecodeErrorKind::Varint, what, 0, 10))
    }

    /// The length that stands before a value: `None` for null. Checked against `max` only.
    fn length(
        &mut self,
        compact: bool,
        short: bool,
        max: usize,
        what: &'static str,
    ) -> Result<Option<usize>, DecodeError> {
        let start = self.at;
        let length = if compact {
            i64::from(self.uvarint(what)?) - 1
        } else if short {
            self.i16(what)?.into()
        } else {
            self.i32(what)?.into()
        };
        match length {
            -1 => Ok(None),
            0.. if length <= max as i64 => Ok(Some(length as usize)),
            _ => {
                let error = self.error(DecodeErrorKind::Length, what, length, max as i64);
                Err(DecodeError { at: start, ..error })
            }
        }
    }

    fn null(&self, what: &'static str) -> DecodeError {
        self.error(DecodeErrorKind::Null, what, -1, 0)
    }

    /// A string, compact or with two bytes of length.
    pub fn string(&mut self, compact: bool, what: &'static str) -> Result<String, DecodeError> {
        self.nullable_string(compact, false, what)?.ok_or_else(|| self.null(what))
    }

    /// A string or, where `null` says that it may stand, null.
    pub fn nullable_string(
        &mut self,
        compact: bool,
        null: bool,
        what: &'static str,
    ) -> Result<Option<String>, DecodeError> {
        let Some(length) = self.length(compact, true, limits::STRING_BYTES_MAX, what)? else {
            return if null { Ok(None) } else { Err(self.null(what)) };
        };
        self.need(length, what)?;
        let text = match std::str::from_utf8(&self.bytes[self.at..self.at + length]) {
            Ok(text) => text,
            Err(e) => {
                return Err(self.error(DecodeErrorKind::Utf8, what, length as i64, e.valid_up_to() as i64));
            }
        };
        let text = text.to_owned();
        self.charge(length, what)?;
        self.at += length;
        Ok(Some(text))
    }

    /// Bytes, compact or with four bytes of length; a slice of the input.
    pub fn bytes(&mut self, compact: bool, what: &'static str) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(compact, false, what)?.ok_or_else(|| self.null(what))
    }

    /// Bytes or, where `null` says that it may stand, null.
    pub fn nullable_bytes(
        &mut self,
        compact: bool,
        null: bool,
        what: &'static str,
    ) -> Result<Option<Bytes>, DecodeError> {
        match self.length(compact, false, i32::MAX as usize, what)? {
            Some(length) => self.raw(length, what).map(Some),
            None if null => Ok(None),
            None => Err(self.null(what)),
        }
    }

    /// Record batches, which a decoder never opens; a slice of the input.
    pub fn records(
        &mut self,
        compact: bool,
        null: bool,
        what: &'static str,
    ) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes(compact, null, what)?.map(Records::Bytes))
    }

    /// The next `length` bytes, a slice of the input.
    pub fn raw(&mut self, length: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        self.need(length, what)?;
        let slice = self.bytes.slice(self.at..self.at + length);
        self.at += length;
        Ok(slice)
    }

    /// Whether the structure behind this byte is there or null.
    pub fn is_present(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.i8(what)? >= 0)
    }

    /// The same for a structure in a tagged field, where Kafka marks it with a varint.
    pub fn tagged_is_present(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.uvarint(what)? > 0)
    }

    /// An array whose elements take at least `element_min` bytes each (never 0); `read` gets `version`.
    pub fn array<T>(
        &mut self,
        compact: bool,
        element_min: usize,
        what: &'static str,
        version: i16,
        read: fn(&mut Reader, i16) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(compact, false, element_min, what, version, read)?.ok_or_else(|| self.null(what))
    }

    /// An array or, where `null` says that it may stand, null.
    pub fn nullable_array<T>(
        &mut self,
        compact: bool,
        null: bool,
        element_min: usize,
        what: &'static str,
        version: i16,
        read: fn(&mut Reader, i16) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(compact, null, element_min, size_of::<T>(), what)? else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            out.push(read(self, version)?);
        }
        Ok(Some(out))
    }

    /// An element count that the bytes left and the memory left can hold.
    fn count(
        &mut self,
        compact: bool,
        null: bool,
        element_min: usize,
        element_size: usize,
        what: &'static str,
    ) -> Result<Option<usize>, DecodeError> {
        let start = self.at;
        let Some(count) = self.length(compact, false, i32::MAX as usize, what)? else {
            return if null { Ok(None) } else { Err(self.null(what)) };
        };
        let max = (self.remaining() / element_min.max(1)).min(limits::ARRAY_ELEMENTS_MAX);
        if count > max {
            let error = self.error(DecodeErrorKind::Length, what, count as i64, max as i64);
            return Err(DecodeError { at: start, ..error });
        }
        self.charge(count.saturating_mul(element_size), what)?;
        Ok(Some(count))
    }

    /// The tagged fields at a structure's end, all of them unknown.
    pub fn unknown_tagged_fields(&mut self) -> Result<TaggedFields, DecodeError> {
        self.tagged_fields(&mut |_, _| Ok(false))
    }

    /// The tagged fields at a structure's end. `known` reads the ones it knows, from a reader that ends where the
    /// field does, and says false of the rest, which are kept. Kafka takes them in any order, and so does this.
    pub fn tagged_fields(
        &mut self,
        known: &mut dyn FnMut(&mut Reader, u32) -> Result<bool, DecodeError>,
    ) -> Result<TaggedFields, DecodeError> {
        const WHAT: &str = "tagged fields";
        let count = self.uvarint(WHAT)? as usize;
        // A tagged field takes at least a byte of tag and one of size.
        let max = (self.remaining() / 2).min(TAGGED_FIELDS_MAX);
        if count > max {
            return Err(self.error(DecodeErrorKind::Length, WHAT, count as i64, max as i64));
        }
        let mut unknown = TaggedFields::default();
        for _ in 0..count {
            let tag = self.uvarint(WHAT)?;
            let size = self.uvarint(WHAT)? as usize;
            self.need(size, WHAT)?;
            let outer = std::mem::replace(&mut self.end, self.at + size);
            let start = self.at;
            let is_known = known(self, tag)?;
            if is_known {
                self.expect_end("a tagged field")?;
            } else {
                self.charge(size_of::<(u32, Bytes)>(), WHAT)?;
                let value = self.bytes.slice(start..start + size);
                unknown.insert(tag, value);
            }
            self.at = start + size;
            self.end = outer;
        }
        Ok(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Writer;

    #[test]
    fn varints_come_back_at_every_edge() {
        let mut edges: Vec<i64> =
            (0..64).flat_map(|bit| [1i64 << bit, (1i64 << bit).wrapping_sub(1)]).collect();
        edges.extend(edges.clone().iter().map(|n| n.wrapping_neg()));
        for n in edges {
            let mut w = Writer::new();
            w.varlong(n);
            w.varint(n as i32);
            w.uvarint(n as u32);
            let mut r = Reader::new(w.into_bytes().unwrap());
            assert_eq!(r.varlong("n").unwrap(), n);
            assert_eq!(r.varint("n").unwrap(), n as i32);
            assert_eq!(r.uvarint("n").unwrap(), n as u32);
            r.expect_end("n").unwrap();
        }
        let mut r = Reader::new(Bytes::from_static(&[0xff; 9]));
        assert_eq!(r.varlong("n").unwrap_err().kind, DecodeErrorKind::Truncated);
        let mut r =
            Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]));
        assert_eq!(r.varlong("n").unwrap_err().kind, DecodeErrorKind::Varint);
    }

    #[test]
    fn lengths_below_null_and_strings_that_are_no_text_are_errors() {
        let mut r = Reader::new(Bytes::from_static(&[0xff, 0xfe, 0, 0]));
        assert_eq!(r.string(false, "s").unwrap_err().kind, DecodeErrorKind::Length);
        let mut r = Reader::new(Bytes::from_static(&[0xff, 0xff]));
        assert_eq!(r.string(false, "s").unwrap_err().kind, DecodeErrorKind::Null);
        let mut r = Reader::new(Bytes::from_static(&[0, 2, b'a', 0xff]));
        let error = r.string(false, "s").unwrap_err();
        assert_eq!((error.kind, error.value, error.bound), (DecodeErrorKind::Utf8, 2, 1));
        let mut r = Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe, 0]));
        assert_eq!(r.bytes(false, "b").unwrap_err().kind, DecodeErrorKind::Length);
    }
}
