//! Offsets by timestamp (ListOffsets). Never enters: the special timestamps, which name ends that others know.

use std::sync::Arc;

use millstream_batch::{BatchView, Decompressor};
use millstream_disk::DiskFile;
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::{LeaderEpoch, Millis, Offset};

use super::Log;
use crate::error::LogError;
use crate::scan::HeaderScan;
use crate::segment::Segment;
use crate::time_index;

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its timestamp.
    pub timestamp: Millis,
    /// Its offset.
    pub offset: Offset,
    /// The leader epoch of its batch, or -1.
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// The first record whose timestamp is at or behind `timestamp`, at or behind the log's start.
    ///
    /// # Errors
    /// A disk that refuses, or a batch that cannot be opened.
    pub fn offset_for_timestamp(&self, timestamp: Millis) -> Result<Option<TimestampOffset>, LogError> {
        self.check_usable()?;
        for segment in self.segments.values() {
            if segment.max_timestamp < timestamp || segment.next_offset <= self.log_start {
                continue;
            }
            if let Some(found) = self.search(segment, timestamp)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp of the log (ListOffsets' MAX_TIMESTAMP, KIP-734).
    ///
    /// # Errors
    /// As [`Log::offset_for_timestamp`].
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        let largest = self.segments.values().map(|s| s.max_timestamp).max().unwrap_or(-1);
        if largest < 0 { Ok(None) } else { self.offset_for_timestamp(largest) }
    }

    fn search(&self, segment: &Segment, timestamp: Millis) -> Result<Option<TimestampOffset>, LogError> {
        let times = segment.times(&*self.disk)?;
        let from = time_index::offset_before(&times, segment.base, timestamp).max(self.log_start);
        let Some(start) = segment.locate(&*self.disk, from)? else { return Ok(None) };
        let file: Arc<dyn DiskFile> = segment.file(&*self.disk)?;
        let mut scan = HeaderScan::new(file, start.position, segment.size);
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        while let Some((position, header)) = scan.next_header()? {
            if header.max_timestamp < timestamp {
                continue;
            }
            let bytes = scan.batch(position, &header)?;
            let view = BatchView::parse(&bytes)?;
            view.check_crc()?;
            for record in view.records(&mut scratch)? {
                let record = record?;
                if record.offset >= self.log_start && record.timestamp >= timestamp {
                    return Ok(Some(TimestampOffset {
                        timestamp: record.timestamp,
                        offset: record.offset,
                        leader_epoch: header.partition_leader_epoch,
                    }));
                }
            }
        }
        Ok(None)
    }
}
