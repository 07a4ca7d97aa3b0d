//! One record, as a view into bytes: nothing is copied, headers are walked only when asked for, and duplicate header
//! keys stay. Owns the layout of a record. Never enters: compression, batches.

use std::borrow::Cow;

use millstream_types::Offset;

use crate::error::RecordError;
use crate::varint::{Cursor, put_varint, put_varlong, varint_len, varlong_len};

/// A record's header: a key, which may repeat, and a value, which may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// The key, UTF-8 if its producer keeps to the rules.
    pub key: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

impl<'a> HeaderView<'a> {
    /// The key as text; bytes that are not UTF-8 are replaced, as Java's clients do.
    pub fn key_str(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of a record, in order. They were checked when the record was read, so walking them cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// How many are left.
    count: usize,
    cursor: Cursor<'a>,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const fn empty() -> Headers<'static> {
        Headers { count: 0, cursor: Cursor::empty() }
    }

    /// The last header with `key`, which is the one that counts by Kafka's convention.
    #[inline]
    pub fn find_last(&self, key: &str) -> Option<HeaderView<'a>> {
        if self.count == 0 {
            return None;
        }
        self.filter(|header| header.key == key.as_bytes()).last()
    }

    /// The headers' bytes as they stand in the record, behind their count.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.cursor.rest()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = HeaderView<'a>;

    fn next(&mut self) -> Option<HeaderView<'a>> {
        if self.count == 0 {
            return None;
        }
        self.count -= 1;
        let key = self.cursor.sized().ok()?;
        let value = self.cursor.nullable().ok()?;
        Some(HeaderView { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// A record within the bytes of its batch (or of the buffer that the batch was decompressed into).
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp, in milliseconds since 1970, or -1.
    pub timestamp: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, which a compacted topic reads as a deletion.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Headers<'a>,
}

/// What a record is relative to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) offset: Offset,
    pub(crate) timestamp: i64,
    /// The timestamp of every record, where the broker set it.
    pub(crate) append_time: Option<i64>,
}

impl<'a> RecordView<'a> {
    /// Reads the record in front of `cursor` and steps over it; its offset delta comes along.
    #[inline(always)]
    pub(crate) fn read(cursor: &mut Cursor<'a>, base: Base) -> Result<(RecordView<'a>, i32), RecordError> {
        let mut body = Cursor::new(cursor.sized()?);
        let _attributes = body.u8()?;
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = body.nullable()?;
        let value = body.nullable()?;
        let count = usize::try_from(body.varint()?).map_err(|_| RecordError::HeaderCount)?;
        // A header has two lengths of at least a byte each.
        if count > body.left() / 2 {
            return Err(RecordError::HeaderCount);
        }
        let headers = Headers { count, cursor: body };
        for _ in 0..count {
            body.sized()?;
            body.nullable()?;
        }
        if body.left() > 0 {
            return Err(RecordError::Trailing);
        }
        let timestamp = base.append_time.unwrap_or(base.timestamp.wrapping_add(timestamp_delta));
        let offset = base.offset.saturating_add(i64::from(offset_delta));
        Ok((RecordView { offset, timestamp, key, value, headers }, offset_delta))
    }
}

/// What is written in front of a record's key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deltas {
    pub(crate) timestamp: i64,
    pub(crate) offset: i32,
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(i32::try_from(bytes.len()).unwrap_or(i32::MAX)) + bytes.len())
}

/// Bytes of a record's body: what its length field says.
pub(crate) fn body_len(
    deltas: Deltas,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: HeaderSource<'_>,
) -> usize {
    1 + varlong_len(deltas.timestamp)
        + varint_len(deltas.offset)
        + nullable_len(key)
        + nullable_len(value)
        + headers.len()
}

/// Headers to write: given one by one, or copied from a record that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeaderSource<'a> {
    Given(&'a [HeaderView<'a>]),
    Copied(Headers<'a>),
}

impl HeaderSource<'_> {
    fn len(&self) -> usize {
        match self {
            HeaderSource::Given(headers) => {
                let each =
                    |header: &HeaderView<'_>| nullable_len(Some(header.key)) + nullable_len(header.value);
                varint_len(headers.len() as i32) + headers.iter().map(each).sum::<usize>()
            }
            HeaderSource::Copied(headers) => varint_len(headers.count as i32) + headers.raw().len(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            HeaderSource::Given(headers) => {
                put_varint(out, headers.len() as i32);
                for header in *headers {
                    put_nullable(out, Some(header.key));
                    put_nullable(out, header.value);
                }
            }
            HeaderSource::Copied(headers) => {
                put_varint(out, headers.count as i32);
                out.extend_from_slice(headers.raw());
            }
        }
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a record whose body has `body_len` bytes.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    body_len: i32,
    deltas: Deltas,
    (key, value): (Option<&[u8]>, Option<&[u8]>),
    headers: HeaderSource<'_>,
) {
    put_varint(out, body_len);
    out.push(0);
    put_varlong(out, deltas.timestamp);
    put_varint(out, deltas.offset);
    put_nullable(out, key);
    put_nullable(out, value);
    headers.put(out);
}
