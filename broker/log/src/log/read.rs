//! Reading: where bytes lie, for sendfile, or the bytes themselves. A read near the log's end touches no file but the
//! one it serves. Never enters: which offsets a reader may see (the bound comes in), how bytes leave.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use millstream_disk::{DiskError, DiskFile};
use millstream_types::Offset;

use super::{Located, Log};
use crate::error::LogError;
use crate::segment::Segment;
use crate::txn_index::{self, AbortedTxn};

/// A range of a `.log` file. The file stays readable for as long as the slice is held, even when its segment is
/// deleted; only a truncation can take bytes away under it.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file; `fd()` is what sendfile takes.
    pub file: Arc<dyn DiskFile>,
    /// The first byte.
    pub position: u64,
    /// How many bytes.
    pub len: usize,
}

impl FileSlice {
    /// Reads the bytes.
    pub fn read(&self) -> Result<Bytes, DiskError> {
        let mut bytes = BytesMut::zeroed(self.len);
        let n = self.file.read_at(&mut bytes, self.position)?;
        bytes.truncate(n);
        Ok(bytes.freeze())
    }
}

/// How much a read may give.
#[derive(Clone, Copy, Debug)]
pub struct ReadBound {
    /// At most this many bytes. The last batch may be cut, which readers expect; the first one never is: where it has
    /// more bytes, there is nothing (Kafka's answer since Fetch 3), or all of it with `min_one_batch`.
    pub bytes_max: usize,
    /// Nothing at or behind this offset: the high watermark, the last stable offset, or the log end.
    pub upper_bound: Offset,
    /// Whether the first batch is given whole though it has more bytes than `bytes_max`.
    pub min_one_batch: bool,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct LogRead {
    /// The batches, from the one that holds the offset on; `None` where nothing is below the bound.
    pub slice: Option<FileSlice>,
    /// The base offset of the first batch, which may lie before the offset that was asked for.
    pub first_batch_offset: Option<Offset>,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// The log end offset.
    pub log_end_offset: Offset,
}

impl Log {
    /// Finds batches from `offset` on. They come from one segment, so a read may give less than there is.
    ///
    /// # Errors
    /// An offset before the log's start or behind its end, or a disk that refuses.
    pub fn read(&self, offset: Offset, bound: &ReadBound) -> Result<LogRead, LogError> {
        self.check_usable()?;
        let (log_start, log_end) = (self.log_start, self.log_end);
        if offset < log_start || offset > log_end {
            return Err(LogError::OutOfRange { offset, log_start, log_end });
        }
        let mut found = LogRead {
            slice: None,
            first_batch_offset: None,
            log_start_offset: log_start,
            log_end_offset: log_end,
        };
        let upper = bound.upper_bound.min(log_end);
        if offset >= upper {
            return Ok(found);
        }
        let from = self.segments.range(..=offset).next_back().map_or(0, |(base, _)| *base);
        for (base, segment) in self.segments.range(from..) {
            if *base >= upper {
                break;
            }
            let Some(first) = self.locate(segment, offset)? else { continue };
            let end = self.end_below(segment, upper)?;
            if first.position >= end {
                break;
            }
            let want = match bound.min_one_batch {
                true => (bound.bytes_max as u64).max(first.size),
                false => bound.bytes_max as u64,
            };
            let len = usize::try_from((end - first.position).min(want)).unwrap_or(usize::MAX);
            if len as u64 >= first.size {
                let file = segment.file(&*self.disk)?;
                found.slice = Some(FileSlice { file, position: first.position, len });
                found.first_batch_offset = Some(first.base_offset);
            }
            break;
        }
        Ok(found)
    }

    /// The first batch of a segment whose last offset is at or behind `offset`.
    pub(super) fn locate(&self, segment: &Segment, offset: Offset) -> Result<Option<Located>, LogError> {
        if segment.is_active()
            && let Some(oldest) = self.tail.front()
            && offset >= oldest.base_offset
        {
            let at = self.tail.partition_point(|b| b.last_offset < offset);
            return Ok(self.tail.get(at).copied());
        }
        Ok(segment.locate(&*self.disk, offset)?)
    }

    /// Where the batches of a segment end that lie wholly below `upper`.
    fn end_below(&self, segment: &Segment, upper: Offset) -> Result<u64, LogError> {
        if upper >= segment.next_offset {
            return Ok(segment.size);
        }
        Ok(self.locate(segment, upper)?.map_or(segment.size, |batch| batch.position))
    }

    /// The aborted transactions that a read_committed reader of `offset..upper_bound` has to know.
    pub fn aborted_transactions(&self, offset: Offset, upper_bound: Offset) -> Vec<AbortedTxn> {
        let mut found = Vec::new();
        let from = self.segments.range(..=offset).next_back().map_or(0, |(base, _)| *base);
        for segment in self.segments.range(from..).map(|(_, s)| s) {
            if txn_index::collect(&segment.aborted, offset, upper_bound, &mut found) {
                break;
            }
        }
        found
    }
}
