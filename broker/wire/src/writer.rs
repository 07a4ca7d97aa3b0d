//! Values out: a buffer of the writer's own, cut where bytes of somebody else's follow, so that records go from the
//! log to the socket without a copy. Never enters: which fields a message has, and sockets.

use crate::error::{EncodeError, EncodeErrorKind};
use crate::records::Records;
use crate::tagged::{TagSet, TaggedFields};
use bytes::{BufMut, Bytes, BytesMut};
use millstream_types::{Uuid, limits};

/// Bytes of at least this many become a segment of their own; fewer are cheaper to copy than to send apart.
pub const SEGMENT_BYTES_MIN: usize = 4 * 1024;

/// A piece of an encoded frame, to be sent in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file: see [`Records::External`].
    External {
        /// The range's number.
        slot: u32,
        /// How many bytes it has.
        len: u32,
    },
}

impl Segment {
    /// How many bytes it takes on the wire.
    pub fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::External { len, .. } => *len as usize,
        }
    }

    /// Whether it takes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

enum Part {
    Own(BytesMut),
    Shared(Bytes),
    External { slot: u32, len: u32 },
}

/// Builds the segments of one frame.
#[derive(Default)]
pub struct Writer {
    parts: Vec<Part>,
    tail: BytesMut,
    /// The bytes of `parts`.
    before: usize,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// An empty one with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer { tail: BytesMut::with_capacity(capacity), ..Writer::default() }
    }

    /// How many bytes have been written, file ranges included.
    pub fn len(&self) -> usize {
        self.before + self.tail.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The segments, none of them empty.
    pub fn finish(mut self) -> Vec<Segment> {
        self.cut();
        self.parts
            .into_iter()
            .map(|part| match part {
                Part::Own(bytes) => Segment::Bytes(bytes.freeze()),
                Part::Shared(bytes) => Segment::Bytes(bytes),
                Part::External { slot, len } => Segment::External { slot, len },
            })
            .collect()
    }

    /// Everything in one piece; an error where a file range is among it.
    pub fn into_bytes(self) -> Result<Bytes, EncodeError> {
        if self.parts.is_empty() {
            return Ok(self.tail.freeze());
        }
        let total = self.len();
        let mut out = BytesMut::with_capacity(total);
        for segment in self.finish() {
            match segment {
                Segment::Bytes(bytes) => out.extend_from_slice(&bytes),
                Segment::External { len, .. } => {
                    let kind = EncodeErrorKind::External;
                    return Err(EncodeError { kind, what: "records", value: len.into(), bound: 0 });
                }
            }
        }
        Ok(out.freeze())
    }

    /// Ends the buffer in hand, so that something else can follow it.
    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.before += self.tail.len();
            let tail = self.tail.split();
            self.parts.push(Part::Own(tail));
        }
    }

    /// Writes `value` over the four bytes at the start of the frame, which [`Writer::i32`] has put there.
    pub(crate) fn patch_i32_at_start(&mut self, value: i32) {
        let first = match self.parts.first_mut() {
            Some(Part::Own(bytes)) => bytes,
            Some(_) => panic!("a frame starts with bytes of the writer's own"),
            None => &mut self.tail,
        };
        first[..4].copy_from_slice(&value.to_be_bytes());
    }

    /// One byte, 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.tail.put_u8(value.into());
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    /// Two bytes, big-endian, signed.
    pub fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        self.tail.put_u16(value);
    }

    /// Four bytes, big-endian, signed.
    pub fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        self.tail.put_u32(value);
    }

    /// Eight bytes, big-endian, signed.
    pub fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// Eight bytes, big-endian, IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.tail.put_f64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.tail.put_slice(&value.0);
    }

    /// An unsigned varint: seven bits a byte, lowest first.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.tail.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.tail.put_u8(value as u8);
    }

    /// A signed varint in zigzag form.
    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// A signed varint of 64 bits in zigzag form.
    pub fn varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        while raw >= 0x80 {
            self.tail.put_u8(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.tail.put_u8(raw as u8);
    }

    /// Bytes as they are; many become a segment of their own.
    pub fn raw(&mut self, bytes: &Bytes) {
        if bytes.len() < SEGMENT_BYTES_MIN {
            self.tail.put_slice(bytes);
            return;
        }
        self.cut();
        self.before += bytes.len();
        self.parts.push(Part::Shared(bytes.clone()));
    }

    /// Bytes as they are, copied.
    pub fn slice(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    /// The byte that says whether a structure follows or is null.
    pub fn presence(&mut self, present: bool) {
        self.i8(if present { 1 } else { -1 });
    }

    /// The same for a structure in a tagged field, where Kafka marks it with a varint.
    pub fn tagged_presence(&mut self, present: bool) {
        self.uvarint(present.into());
    }

    fn length(
        &mut self,
        compact: bool,
        short: bool,
        length: usize,
        max: usize,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        if length > max {
            let (value, bound) = (length as i64, max as i64);
            return Err(EncodeError { kind: EncodeErrorKind::TooLong, what, value, bound });
        }
        match (compact, short) {
            (true, _) => self.uvarint(length as u32 + 1),
            (false, true) => self.i16(length as i16),
            (false, false) => self.i32(length as i32),
        }
        Ok(())
    }

    fn null(
        &mut self,
        compact: bool,
        short: bool,
        allowed: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        if !allowed {
            return Err(EncodeError { kind: EncodeErrorKind::Null, what, value: -1, bound: 0 });
        }
        match (compact, short) {
            (true, _) => self.uvarint(0),
            (false, true) => self.i16(-1),
            (false, false) => self.i32(-1),
        }
        Ok(())
    }

    /// A string, compact or with two bytes of length.
    pub fn string(&mut self, compact: bool, value: &str, what: &'static str) -> Result<(), EncodeError> {
        self.length(compact, true, value.len(), limits::STRING_BYTES_MAX, what)?;
        self.tail.put_slice(value.as_bytes());
        Ok(())
    }

    /// A string or, where `null` says that it may stand, null.
    pub fn nullable_string(
        &mut self,
        compact: bool,
        value: Option<&str>,
        null: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(compact, value, what),
            None => self.null(compact, true, null, what),
        }
    }

    /// Bytes, compact or with four bytes of length.
    pub fn bytes(&mut self, compact: bool, value: &Bytes, what: &'static str) -> Result<(), EncodeError> {
        self.length(compact, false, value.len(), i32::MAX as usize, what)?;
        self.raw(value);
        Ok(())
    }

    /// Bytes or, where `null` says that it may stand, null.
    pub fn nullable_bytes(
        &mut self,
        compact: bool,
        value: Option<&Bytes>,
        null: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.bytes(compact, value, what),
            None => self.null(compact, false, null, what),
        }
    }

    /// Record batches, in memory or in a file.
    pub fn records(
        &mut self,
        compact: bool,
        value: Option<&Records>,
        null: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        match value {
            Some(Records::Bytes(bytes)) => self.bytes(compact, bytes, what),
            Some(&Records::External { slot, len }) => {
                self.length(compact, false, len as usize, i32::MAX as usize, what)?;
                if len > 0 {
                    self.cut();
                    self.before += len as usize;
                    self.parts.push(Part::External { slot, len });
                }
                Ok(())
            }
            None => self.null(compact, false, null, what),
        }
    }

    /// The count before an array's elements.
    pub fn array_len(&mut self, compact: bool, count: usize, what: &'static str) -> Result<(), EncodeError> {
        self.length(compact, false, count, limits::ARRAY_ELEMENTS_MAX, what)
    }

    /// The count before an array's elements or, where `null` says that it may stand, null.
    pub fn nullable_array_len(
        &mut self,
        compact: bool,
        count: Option<usize>,
        null: bool,
        what: &'static str,
    ) -> Result<(), EncodeError> {
        match count {
            Some(count) => self.array_len(compact, count, what),
            None => self.null(compact, false, null, what),
        }
    }

    /// The tagged fields at the end of a structure whose schema names none.
    pub fn unknown_tagged_fields(&mut self, fields: &TaggedFields) -> Result<(), EncodeError> {
        self.uvarint(fields.len() as u32);
        for (tag, value) in fields.iter() {
            self.tagged_field(*tag, value)?;
        }
        Ok(())
    }

    /// The tagged fields at a structure's end.
    pub(crate) fn tagged_fields(&mut self, known: TagSet, unknown: &TaggedFields) -> Result<(), EncodeError> {
        let fields = known.merge(unknown)?;
        self.uvarint(fields.len() as u32);
        for (tag, value) in &fields {
            self.tagged_field(*tag, value)?;
        }
        Ok(())
    }

    fn tagged_field(&mut self, tag: u32, value: &Bytes) -> Result<(), EncodeError> {
        if value.len() > i32::MAX as usize {
            let (value, bound) = (value.len() as i64, i32::MAX.into());
            return Err(EncodeError { kind: EncodeErrorKind::TooLong, what: "tagged fields", value, bound });
        }
        self.uvarint(tag);
        self.uvarint(value.len() as u32);
        self.raw(value);
        Ok(())
    }
}
