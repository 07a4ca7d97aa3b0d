//! A batch as the host wrote it, read in place: the left side of the packed layout. The host is trusted to have
//! written what the layout says; anything else is a panic, which the host sees as a trap.

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its headers, in their order; a name may come twice.
    pub headers: Headers<'a>,
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name.
    pub name: &'a str,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record: an iterator.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    left: u32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut cursor = Cursor { bytes: self.bytes, at: 0 };
        let name_length = cursor.u32() as usize;
        let value_length = cursor.i32();
        let name = std::str::from_utf8(cursor.take(name_length)).expect("a header's name is UTF-8");
        let value = cursor.take_nullable(value_length);
        self.bytes = &self.bytes[cursor.at..];
        Some(Header { name, value })
    }
}

/// The records of a batch: an iterator.
pub(crate) struct Records<'a> {
    left: u32,
    cursor: Cursor<'a>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(batch: &'a [u8]) -> Records<'a> {
        let mut cursor = Cursor { bytes: batch, at: 0 };
        Records { left: cursor.u32(), cursor }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn no_headers() -> Headers<'static> {
        Headers { left: 0, bytes: &[] }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        self.left = self.left.checked_sub(1)?;
        let cursor = &mut self.cursor;
        let offset = cursor.i64();
        let timestamp_ms = cursor.i64();
        let partition = cursor.i32();
        let key_length = cursor.i32();
        let value_length = cursor.i32();
        let header_count = cursor.u32();
        let key = cursor.take_nullable(key_length);
        let value = cursor.take_nullable(value_length);
        let start = cursor.at;
        for _ in 0..header_count {
            let name_length = cursor.u32() as usize;
            let value_length = cursor.i32();
            cursor.take(name_length);
            cursor.take_nullable(value_length);
        }
        let headers = Headers { left: header_count, bytes: &cursor.bytes[start..cursor.at] };
        Some(Message { key, value, timestamp_ms, partition, offset, headers })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..][..length];
        self.at += length;
        taken
    }

    fn take_nullable(&mut self, length: i32) -> Option<&'a [u8]> {
        usize::try_from(length).ok().map(|length| self.take(length))
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        *self.take(N).first_chunk().expect("take gives as many bytes as asked")
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }

    fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }
}
