//! What a broker checks before it appends a batch (Kafka's `LogValidator` and `ProduceRequest.validateRecords`):
//! checksum, length, counts, offsets, timestamps, producer fields, and the records' own structure. Offsets, leader epoch
//! and append time are the caller's to patch in afterwards. Never enters: sequence numbers against what came before
//! (`millstream-log`'s producer state), permissions.

use millstream_types::limits::{BATCH_UNCOMPRESSED_BYTES_MAX, MESSAGE_BYTES_DEFAULT};
use millstream_types::{Millis, ProducerEpoch, ProducerId};

use crate::compress::{Codec, Decompressor};
use crate::error::{BatchError, RecordError};
use crate::header::{BatchHeader, NO_TIMESTAMP, TimestampType};
use crate::reader::BatchView;

/// How deep a batch is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Header and checksum only: for batches of our own process.
    Header,
    /// Every record's structure, offset and timestamp, compressed ones too: what Kafka does for clients.
    Records,
}

/// Who hands the batch in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client's produce request.
    Client,
    /// A coordinator or the quorum of this process, which writes control records.
    Internal,
}

/// Whether records need a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// They may do without.
    Optional,
    /// They must have one: the topic is compacted.
    Required,
}

/// What a topic takes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest batch, in bytes (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// The most bytes of a batch's records once decompressed.
    pub uncompressed_bytes_max: usize,
    /// How deep to look.
    pub depth: Depth,
    /// Who hands the batch in.
    pub origin: Origin,
    /// Whether records need a key.
    pub keys: KeyRule,
    /// Wall time, in milliseconds since 1970.
    pub now_ms: Millis,
    /// The topic's `message.timestamp.type`; under `LogAppendTime` the records' own timestamps are not looked at.
    pub timestamp_type: TimestampType,
    /// How far a timestamp may lie behind `now_ms` (`message.timestamp.before.max.ms`).
    pub timestamp_before_ms_max: i64,
    /// How far a timestamp may lie ahead of `now_ms` (`message.timestamp.after.max.ms`).
    pub timestamp_after_ms_max: i64,
}

impl Default for Limits {
    /// Kafka 4.4.0's defaults, with a clock at 0 (timestamps up to an hour after 1970-01-01): a caller that checks
    /// timestamps sets `now_ms`.
    fn default() -> Limits {
        Limits {
            batch_bytes_max: MESSAGE_BYTES_DEFAULT,
            uncompressed_bytes_max: BATCH_UNCOMPRESSED_BYTES_MAX,
            depth: Depth::Records,
            origin: Origin::Client,
            keys: KeyRule::Optional,
            now_ms: 0,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_ms_max: i64::MAX,
            timestamp_after_ms_max: 3_600_000,
        }
    }
}

/// What an append needs to know of a batch that was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// Bytes of the batch.
    pub size: usize,
    /// How many records it holds.
    pub record_count: i32,
    /// The last offset less the first.
    pub last_offset_delta: i32,
    /// The codec.
    pub codec: Codec,
    /// The largest timestamp: of the records where they were looked at, else the header's.
    pub max_timestamp: i64,
    /// Whether the header's largest timestamp is another, so that the caller patches it
    /// (`header::set_max_timestamp`), as Kafka does.
    pub max_timestamp_differs: bool,
    /// The producer, or -1.
    pub producer_id: ProducerId,
    /// The producer's epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// The last record's sequence number, or -1.
    pub last_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch holds control records.
    pub control: bool,
}

/// Checks that `bytes` are exactly one batch that `limits` take.
///
/// # Errors
/// The first fault found; [`BatchError::error_code`] is what a broker answers.
pub fn validate_for_append(bytes: &[u8], limits: &Limits) -> Result<BatchSummary, BatchError> {
    validate_with(bytes, limits, &mut Decompressor::new(limits.uncompressed_bytes_max))
}

/// [`validate_for_append`] with a decompressor that is kept from batch to batch; its bound is the one that counts.
pub fn validate_with(
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Decompressor,
) -> Result<BatchSummary, BatchError> {
    let batch = BatchView::parse(bytes)?;
    let header = *batch.header();
    let size = header.size_in_bytes();
    if bytes.len() > size {
        return Err(BatchError::NotOneBatch(bytes.len() - size));
    }
    if size > limits.batch_bytes_max {
        return Err(BatchError::TooLarge { size, max: limits.batch_bytes_max });
    }
    batch.check_crc()?;
    let codec = header.attributes.codec()?;
    check_header(&header, limits)?;
    let max_timestamp = match limits.depth {
        Depth::Header => {
            check_timestamp(0, header.max_timestamp, limits)?;
            header.max_timestamp
        }
        Depth::Records => check_records(&batch, limits, scratch)?,
    };
    Ok(BatchSummary {
        size,
        record_count: header.record_count,
        last_offset_delta: header.last_offset_delta,
        codec,
        max_timestamp,
        max_timestamp_differs: max_timestamp != header.max_timestamp,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        transactional: header.attributes.is_transactional(),
        control: header.attributes.is_control(),
    })
}

fn check_header(header: &BatchHeader, limits: &Limits) -> Result<(), BatchError> {
    let span = i64::from(header.last_offset_delta) + 1;
    if span <= 0 || i64::from(header.record_count) != span {
        return Err(BatchError::Count { count: header.record_count, span });
    }
    let producer = BatchError::Producer {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    };
    match limits.origin {
        Origin::Internal => {}
        Origin::Client if header.attributes.is_control() => return Err(BatchError::Control),
        Origin::Client if header.attributes.timestamp_type() == TimestampType::LogAppendTime => {
            return Err(BatchError::LogAppendTimeFromClient);
        }
        Origin::Client => {
            // Without a producer id, epoch and sequence mean nothing: there are clients that leave them at 0.
            if header.has_producer_id() && (header.producer_epoch < 0 || header.base_sequence < 0) {
                return Err(producer);
            }
        }
    }
    if header.attributes.is_transactional() && !header.has_producer_id() {
        return Err(BatchError::TransactionalWithoutProducer);
    }
    Ok(())
}

/// Walks the records and returns the largest timestamp.
fn check_records(
    batch: &BatchView<'_>,
    limits: &Limits,
    scratch: &mut Decompressor,
) -> Result<i64, BatchError> {
    let mut records = batch.records(scratch)?;
    let mut max_timestamp = NO_TIMESTAMP;
    let mut index = 0usize;
    while let Some(record) = records.next_with_delta() {
        let (record, delta) = record?;
        if usize::try_from(delta) != Ok(index) {
            return Err(BatchError::Record { index, reason: RecordError::OffsetDelta(delta) });
        }
        if limits.keys == KeyRule::Required && record.key.is_none() && !batch.header().attributes.is_control()
        {
            return Err(BatchError::Record { index, reason: RecordError::NoKey });
        }
        check_timestamp(index, record.timestamp, limits)?;
        max_timestamp = max_timestamp.max(record.timestamp);
        index += 1;
    }
    Ok(max_timestamp)
}

fn check_timestamp(index: usize, timestamp: i64, limits: &Limits) -> Result<(), BatchError> {
    if limits.timestamp_type == TimestampType::LogAppendTime
        || limits.origin == Origin::Internal
        || timestamp == NO_TIMESTAMP
    {
        return Ok(());
    }
    let least = limits.now_ms.saturating_sub(limits.timestamp_before_ms_max);
    let most = limits.now_ms.saturating_add(limits.timestamp_after_ms_max);
    if (least..=most).contains(&timestamp) {
        Ok(())
    } else {
        Err(BatchError::Timestamp { index, timestamp, least, most })
    }
}
