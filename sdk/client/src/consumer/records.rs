//! What a poll returns: batches of records for each partition, in the bytes that came from the broker (uncompressed ones)
//! or that a batch was decompressed into. Records are views; nothing is copied until someone asks. Never enters:
//! positions.

use bytes::Bytes;
use millstream_batch::{BatchHeader, RecordView, Records};
use millstream_types::TopicPartition;

use crate::error::{ClientError, Result};

/// A batch as it was fetched.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    pub(crate) header: BatchHeader,
    /// The records, uncompressed.
    pub(crate) payload: Bytes,
    /// The first offset that is wanted: a batch is fetched whole, and a position may lie inside.
    pub(crate) from: i64,
    /// Whether the application sees it: control batches and aborted ones only move the position.
    pub(crate) visible: bool,
}

impl FetchedBatch {
    /// The header as the broker sent it.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records' bytes, uncompressed and without header; records below [`FetchedBatch::first_offset`] included.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The first offset that the application has not seen yet.
    pub fn first_offset(&self) -> i64 {
        self.from.max(self.header.base_offset)
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// The records from [`FetchedBatch::first_offset`] on.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView<'_>, millstream_batch::BatchError>> {
        let from = self.from;
        Records::new(&self.header, &self.payload)
            .filter(move |record| record.as_ref().map_or(true, |record| record.offset >= from))
    }
}

/// One partition's part of a poll.
#[derive(Clone, Debug)]
pub struct PartitionRecords {
    /// The partition.
    pub partition: TopicPartition,
    /// Its batches, in order.
    pub batches: Vec<FetchedBatch>,
    /// The offset to go on from when these are processed.
    pub next_offset: i64,
    /// The leader epoch of the last batch, to commit with the position; -1 if none.
    pub leader_epoch: i32,
    /// The end of what every in-sync replica has, when the last of these was fetched.
    pub high_watermark: i64,
    /// The first offset of an open transaction, or the high watermark, then.
    pub last_stable_offset: i64,
}

impl PartitionRecords {
    /// The records of all batches.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView<'_>>> {
        self.batches.iter().flat_map(FetchedBatch::records).map(|record| {
            record.map_err(|source| ClientError::Batch { partition: self.partition.clone(), source })
        })
    }
}

/// What a poll returns.
#[derive(Clone, Debug, Default)]
pub struct ConsumerRecords {
    /// Partitions that have something new. One may come without batches, where only its position moved.
    pub partitions: Vec<PartitionRecords>,
}

impl ConsumerRecords {
    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|partition| partition.batches.is_empty())
    }

    /// How many records there are. Walks them.
    pub fn count(&self) -> usize {
        let batches = self.partitions.iter().flat_map(|partition| &partition.batches);
        batches.map(|batch| batch.records().count()).sum()
    }
}
