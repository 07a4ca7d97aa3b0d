//! Building a batch record by record. Uncompressed batches are written where they stay; compressed ones are compressed
//! once, when they are built. Owns: what makes a batch full. Never enters: when a batch is sent (`millstream-client`'s
//! accumulator) or which offsets it gets (the leader patches them).

use bytes::Bytes;
use millstream_types::ids::{NO_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::compress::{Codec, Compressor, Level};
use crate::error::BatchError;
use crate::header::{
    self, Attributes, BatchHeader, HEADER_BYTES, LOG_OVERHEAD, MAGIC, NO_TIMESTAMP, TimestampType,
};
use crate::record::{Deltas, HeaderSource, HeaderView, RecordView, body_len, put_record};
use crate::varint::varint_len;

/// Bytes that an empty batch has room for.
const CAPACITY_AT_FIRST: usize = 16 << 10;

/// A record to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordRef<'a> {
    /// Milliseconds since 1970, or -1.
    pub timestamp: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys may repeat.
    pub headers: &'a [HeaderView<'a>],
}

/// What a batch is to be.
#[derive(Clone, Debug)]
pub struct BatchConfig {
    /// The codec.
    pub codec: Codec,
    /// The codec's level.
    pub level: Level,
    /// The size at which the batch is full, in bytes. One record is always taken, however large.
    pub batch_bytes_max: usize,
    /// The first offset; 0 from a producer, since the leader gives offsets.
    pub base_offset: Offset,
    /// The leader's term, or -1.
    pub partition_leader_epoch: LeaderEpoch,
    /// Who sets the timestamps.
    pub timestamp_type: TimestampType,
    /// The producer, or -1.
    pub producer_id: ProducerId,
    /// The producer's epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch holds control records.
    pub control: bool,
    /// The time from which on tombstones of the batch may go, in milliseconds since 1970 (KIP-534).
    pub delete_horizon_ms: Option<i64>,
}

impl Default for BatchConfig {
    /// Uncompressed, no producer, full at 16 KiB (`batch.size`' default).
    fn default() -> BatchConfig {
        BatchConfig {
            codec: Codec::None,
            level: Level::Default,
            batch_bytes_max: 16_384,
            base_offset: 0,
            partition_leader_epoch: NO_LEADER_EPOCH,
            timestamp_type: TimestampType::CreateTime,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            delete_horizon_ms: None,
        }
    }
}

/// What became of a record that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is in the batch, this far behind the base offset.
    Added {
        /// The record's offset less the base offset.
        offset_delta: i32,
    },
    /// It would make the batch too large; nothing was changed.
    Full,
}

/// A batch that is being filled.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    config: BatchConfig,
    /// Room for the header, then records.
    buffer: Vec<u8>,
    record_count: i32,
    last_offset_delta: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    /// How much of its size a batch keeps when compressed, as the caller has seen it; 1 where nothing is known.
    expected_ratio: f64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(config: BatchConfig) -> BatchBuilder {
        // Many batches may be open at a time, most of which stay small.
        let mut buffer = Vec::with_capacity(HEADER_BYTES + config.batch_bytes_max.min(CAPACITY_AT_FIRST));
        buffer.resize(HEADER_BYTES, 0);
        let base_timestamp = config.delete_horizon_ms;
        BatchBuilder {
            config,
            buffer,
            record_count: 0,
            last_offset_delta: -1,
            base_timestamp,
            max_timestamp: NO_TIMESTAMP,
            expected_ratio: 1.0,
        }
    }

    /// Tells what part of its size a batch of such records keeps when compressed (0 to 1.05), so that a compressed batch
    /// is filled up to its bound and not to a fraction of it. Without this, the uncompressed size counts.
    #[must_use]
    pub fn with_expected_ratio(mut self, ratio: f64) -> BatchBuilder {
        if self.config.codec != Codec::None {
            self.expected_ratio = ratio.clamp(0.01, 1.05);
        }
        self
    }

    /// How many records are in the batch.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether no record is in the batch.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes of the batch, header included, before compression.
    pub fn uncompressed_size(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that the built batch is expected to have.
    pub fn estimated_size(&self) -> usize {
        HEADER_BYTES + self.compressed_estimate(self.buffer.len() - HEADER_BYTES)
    }

    fn compressed_estimate(&self, bytes: usize) -> usize {
        if self.expected_ratio == 1.0 { bytes } else { (bytes as f64 * self.expected_ratio) as usize }
    }

    /// The most bytes that a record of these sizes adds to a batch, before compression.
    pub fn record_bytes_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[HeaderView<'_>]) -> usize {
        let deltas = Deltas { timestamp: i64::MIN, offset: i32::MIN };
        body_len(deltas, key, value, HeaderSource::Given(headers)) + 5
    }

    /// Appends a record behind the last one.
    pub fn append(&mut self, record: &RecordRef<'_>) -> Result<Append, BatchError> {
        let delta =
            self.last_offset_delta.checked_add(1).ok_or(BatchError::Build("its offsets exceed 2^31"))?;
        self.put(record.timestamp, delta, (record.key, record.value), HeaderSource::Given(record.headers))
    }

    /// Appends a record at `offset`, which lies behind the last one's: what compaction does, where offsets have gaps.
    pub fn append_at(&mut self, offset: Offset, record: &RecordRef<'_>) -> Result<Append, BatchError> {
        let delta = self.delta_of(offset)?;
        self.put(record.timestamp, delta, (record.key, record.value), HeaderSource::Given(record.headers))
    }

    /// Appends a record that was read, at its own offset, headers as they are.
    pub fn append_view(&mut self, record: &RecordView<'_>) -> Result<Append, BatchError> {
        let delta = self.delta_of(record.offset)?;
        self.put(record.timestamp, delta, (record.key, record.value), HeaderSource::Copied(record.headers))
    }

    fn delta_of(&self, offset: Offset) -> Result<i32, BatchError> {
        let delta = offset.checked_sub(self.config.base_offset).and_then(|delta| i32::try_from(delta).ok());
        match delta {
            Some(delta) if delta > self.last_offset_delta => Ok(delta),
            _ => Err(BatchError::Build(
                "a record's offset is not behind the last one's, within 2^31 of the base",
            )),
        }
    }

    fn put(
        &mut self,
        timestamp: i64,
        offset_delta: i32,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: HeaderSource<'_>,
    ) -> Result<Append, BatchError> {
        let base = self.base_timestamp.unwrap_or(timestamp);
        let deltas = Deltas { timestamp: timestamp.wrapping_sub(base), offset: offset_delta };
        let body = body_len(deltas, key, value, headers);
        let body_len =
            i32::try_from(body).map_err(|_| BatchError::Build("a record has more than 2^31 bytes"))?;
        let bytes = varint_len(body_len) + body;
        let payload = self.buffer.len() - HEADER_BYTES + bytes;
        if self.record_count > 0
            && HEADER_BYTES + self.compressed_estimate(payload) > self.config.batch_bytes_max
        {
            return Ok(Append::Full);
        }
        // A reader opens no more than this; a batch that is larger could be written and never read.
        if payload > BATCH_UNCOMPRESSED_BYTES_MAX {
            return match self.record_count {
                0 => Err(BatchError::UncompressedTooLarge {
                    codec: self.config.codec,
                    max: BATCH_UNCOMPRESSED_BYTES_MAX,
                }),
                _ => Ok(Append::Full),
            };
        }
        if payload > i32::MAX as usize - HEADER_BYTES {
            return Err(BatchError::Build("it has more than 2^31 bytes"));
        }
        self.buffer.reserve(bytes);
        put_record(&mut self.buffer, body_len, deltas, (key, value), headers);
        self.base_timestamp = Some(base);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.record_count += 1;
        self.last_offset_delta = offset_delta;
        Ok(Append::Added { offset_delta })
    }

    /// The finished batch.
    ///
    /// # Errors
    /// `Compress`, where the codec fails.
    pub fn build(self) -> Result<Bytes, BatchError> {
        self.build_with(&mut Compressor::default())
    }

    /// [`BatchBuilder::build`] with a compressor that is kept from batch to batch.
    pub fn build_with(self, compressor: &mut Compressor) -> Result<Bytes, BatchError> {
        let BatchBuilder { config, buffer, record_count, last_offset_delta, .. } = self;
        let mut batch = match config.codec {
            Codec::None => buffer,
            codec => {
                let mut out = Vec::with_capacity(HEADER_BYTES + (buffer.len() / 2).max(64));
                out.resize(HEADER_BYTES, 0);
                compressor.compress(codec, config.level, &buffer[HEADER_BYTES..], &mut out)?;
                drop(buffer);
                // What is built may wait long for its sending.
                out.shrink_to_fit();
                out
            }
        };
        let length = i32::try_from(batch.len() - LOG_OVERHEAD)
            .map_err(|_| BatchError::Build("it has more than 2^31 bytes"))?;
        let mut header = BatchHeader {
            base_offset: config.base_offset,
            batch_length: length,
            partition_leader_epoch: config.partition_leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default()
                .with_codec(config.codec)
                .with_timestamp_type(config.timestamp_type)
                .with_transactional(config.transactional)
                .with_control(config.control)
                .with_delete_horizon(config.delete_horizon_ms.is_some()),
            last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: self.max_timestamp,
            producer_id: config.producer_id,
            producer_epoch: config.producer_epoch,
            base_sequence: config.base_sequence,
            record_count,
        };
        batch[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        header.crc = header::compute_crc(&batch);
        batch[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        Ok(Bytes::from(batch))
    }
}
