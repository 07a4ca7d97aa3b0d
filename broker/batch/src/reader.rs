//! Walking bytes batch by batch, and a batch record by record. An uncompressed batch is read where it lies; a compressed
//! one is decompressed into one buffer that its caller keeps for the next. Never enters: what offsets are served
//! (`millstream-replica`), which transactions are visible.

use crate::compress::{Codec, Decompressor};
use crate::error::BatchError;
use crate::header::{self, BatchHeader, HEADER_BYTES, TimestampType};
use crate::record::{Base, RecordView};
use crate::varint::Cursor;

/// One whole batch within bytes.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch in front of `bytes`; what follows it is left alone. The checksum is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let need = header.size_in_bytes();
        match bytes.get(..need) {
            Some(bytes) => Ok(BatchView { header, bytes }),
            None => Err(BatchError::Torn { have: bytes.len(), need }),
        }
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: records, compressed where the batch has a codec.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Checks the checksum.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        header::check_crc(&self.header, self.bytes)
    }

    /// The records, read in place or from `scratch`'s buffer.
    pub fn records<'s>(&self, scratch: &'s mut Decompressor) -> Result<Records<'s>, BatchError>
    where
        'a: 's,
    {
        let bytes = match self.header.attributes.codec()? {
            Codec::None => self.payload(),
            codec => scratch.decompress(codec, self.payload())?,
        };
        Ok(Records::new(&self.header, bytes))
    }
}

/// The batches within bytes, one after another. A torn or invalid one ends the walk with its error; [`Batches::position`]
/// then says how many bytes are whole batches.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

/// Walks the batches of `bytes`. Checksums are not looked at.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, position: 0, failed: false }
}

impl Batches<'_> {
    /// Bytes of the batches given so far.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() || self.failed {
            return None;
        }
        let batch = BatchView::parse(rest);
        match &batch {
            Ok(batch) => self.position += batch.bytes.len(),
            Err(_) => self.failed = true,
        }
        Some(batch)
    }
}

/// The records of one batch, in order. An error ends the walk.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    base: Base,
    index: usize,
    count: usize,
}

impl<'a> Records<'a> {
    /// The records of a batch with `header`, of which `bytes` are the uncompressed payload.
    pub fn new(header: &BatchHeader, bytes: &'a [u8]) -> Records<'a> {
        let append_time = (header.attributes.timestamp_type() == TimestampType::LogAppendTime)
            .then_some(header.max_timestamp);
        let base = Base { offset: header.base_offset, timestamp: header.base_timestamp, append_time };
        let count = usize::try_from(header.record_count).unwrap_or(0);
        Records { cursor: Cursor::new(bytes), base, index: 0, count }
    }

    /// Uncompressed bytes that were not read yet.
    pub fn bytes_left(&self) -> usize {
        self.cursor.left()
    }

    /// The next record with its offset delta.
    #[inline]
    pub(crate) fn next_with_delta(&mut self) -> Option<Result<(RecordView<'a>, i32), BatchError>> {
        if self.index == self.count {
            let left = self.cursor.left();
            // Said once: the cursor is emptied.
            self.cursor = Cursor::empty();
            return (left > 0).then_some(Err(BatchError::RecordsRemain(left)));
        }
        let index = self.index;
        self.index += 1;
        let record = RecordView::read(&mut self.cursor, self.base);
        Some(record.map_err(|reason| {
            self.count = self.index;
            self.cursor = Cursor::empty();
            BatchError::Record { index, reason }
        }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_with_delta().map(|result| result.map(|(record, _)| record))
    }
}
