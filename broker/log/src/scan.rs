//! Walking the batches of a `.log` file: headers only, in small reads, or whole batches with their checksums. A length
//! that reaches behind the end ends the walk; nothing is allocated beyond the bytes that are there. Never enters: what
//! an end before the end means.

use std::sync::Arc;

use millstream_batch::header::{HEADER_BYTES, check_crc};
use millstream_batch::{BatchHeader, BatchView};
use millstream_disk::{DiskError, DiskFile};
use millstream_types::Offset;

/// Bytes read at once when only headers are wanted: more than an index interval.
const HEADER_READ_BYTES: usize = 8 << 10;
/// Bytes read at once when whole batches are wanted.
const BATCH_READ_BYTES: usize = 1 << 20;

/// A window of a file that moves forward.
#[derive(Debug)]
struct Window {
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    at: u64,
    end: u64,
    read_bytes: usize,
}

impl Window {
    /// The bytes `position..position + len`, or fewer where the end is nearer.
    fn get(&mut self, position: u64, len: usize) -> Result<&[u8], DiskError> {
        let len = len.min(usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX));
        let inside = position >= self.at && position + len as u64 <= self.at + self.buffer.len() as u64;
        if !inside {
            let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
            self.buffer.resize(len.max(self.read_bytes).min(left), 0);
            let n = self.file.read_at(&mut self.buffer, position)?;
            self.buffer.truncate(n);
            self.at = position;
        }
        let from = (position - self.at) as usize;
        Ok(&self.buffer[from..(from + len).min(self.buffer.len())])
    }
}

/// Walks headers. A header that does not parse, or whose batch reaches behind the end, ends the walk.
#[derive(Debug)]
pub(crate) struct HeaderScan {
    window: Window,
    position: u64,
}

impl HeaderScan {
    pub fn new(file: Arc<dyn DiskFile>, from: u64, end: u64) -> HeaderScan {
        let window = Window { file, buffer: Vec::new(), at: 0, end, read_bytes: HEADER_READ_BYTES };
        HeaderScan { window, position: from }
    }

    /// The next batch's position and header.
    pub fn next_header(&mut self) -> Result<Option<(u64, BatchHeader)>, DiskError> {
        let position = self.position;
        let end = self.window.end;
        if position >= end {
            return Ok(None);
        }
        let Ok(header) = BatchHeader::parse(self.window.get(position, HEADER_BYTES)?) else {
            return Ok(None);
        };
        if position + header.size_in_bytes() as u64 > end {
            return Ok(None);
        }
        self.position = position + header.size_in_bytes() as u64;
        Ok(Some((position, header)))
    }

    /// Goes to `position`; what was read stays read.
    pub fn rewind(&mut self, position: u64) {
        self.position = position;
    }

    /// The whole batch at `position`, of which the header was given.
    pub fn batch(&mut self, position: u64, header: &BatchHeader) -> Result<Vec<u8>, DiskError> {
        Ok(self.window.get(position, header.size_in_bytes())?.to_vec())
    }
}

/// Walks whole batches, each with its checksum checked and its offsets rising (LG-1, LG-2). The walk ends at the first
/// that is not good.
#[derive(Debug)]
pub(crate) struct BatchScan {
    window: Window,
    position: u64,
    /// The least offset that the next batch may begin at.
    least: Offset,
    /// Whether it may begin behind that.
    gaps: bool,
}

impl BatchScan {
    pub fn new(file: Arc<dyn DiskFile>, from: u64, end: u64, least: Offset, gaps: bool) -> BatchScan {
        let window = Window { file, buffer: Vec::new(), at: 0, end, read_bytes: BATCH_READ_BYTES };
        BatchScan { window, position: from, least, gaps }
    }

    /// The next batch with its position.
    pub fn next_batch(&mut self) -> Result<Option<(u64, BatchView<'_>)>, DiskError> {
        let position = self.position;
        if position >= self.window.end {
            return Ok(None);
        }
        let Ok(header) = BatchHeader::parse(self.window.get(position, HEADER_BYTES)?) else {
            return Ok(None);
        };
        let size = header.size_in_bytes();
        let follows = header.base_offset == self.least || (self.gaps && header.base_offset > self.least);
        let rises = follows && header.last_offset_delta >= 0;
        if position + size as u64 > self.window.end || !rises || header.last_offset() == i64::MAX {
            return Ok(None);
        }
        let bytes = self.window.get(position, size)?;
        if bytes.len() < size || check_crc(&header, bytes).is_err() {
            return Ok(None);
        }
        self.position = position + size as u64;
        self.least = header.next_offset();
        // Parsed a moment ago from the same bytes; a file that changes under us ends the walk.
        Ok(BatchView::parse(bytes).ok().map(|batch| (position, batch)))
    }
}
