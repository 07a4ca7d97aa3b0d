//! What can be wrong with a batch, and the Kafka error code that a broker answers for each. Never enters: what a caller
//! does about it.

use millstream_types::ErrorCode;
use thiserror::Error;

use crate::compress::Codec;

/// Why bytes are not a batch that may be read or appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("reading a record batch: {have} bytes are there, {need} are needed")]
    Torn {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the batch needs, as far as it can be told.
        need: usize,
    },
    /// The length field is below a header's own size.
    #[error("reading a record batch: its length field is {0}, the least is 49")]
    Length(i32),
    /// A batch of an older (0, 1) or unknown record format.
    #[error("reading a record batch: record format {0} is not supported, only 2 is; upgrade the client")]
    UnsupportedMagic(i8),
    /// The checksum does not match the bytes.
    #[error("reading a record batch: its checksum is {stored:#010x}, its bytes give {computed:#010x}")]
    Crc {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The batch is above what the topic takes.
    #[error(
        "appending a record batch: it has {size} bytes, at most {max} are taken; raise max.message.bytes or send less"
    )]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// The codec's number is none of Kafka's.
    #[error("reading a record batch: compression codec {0} is unknown, those known are 0 to 4")]
    UnknownCodec(u8),
    /// The compressed bytes are not what the codec writes.
    #[error("decompressing {codec}: {reason}")]
    Decompress {
        /// The codec.
        codec: Codec,
        /// The codec's own words.
        reason: String,
    },
    /// The records are larger than the bound once decompressed.
    #[error("decompressing {codec}: the records have more than {max} bytes, the bound for one batch")]
    UncompressedTooLarge {
        /// The codec.
        codec: Codec,
        /// The bound.
        max: usize,
    },
    /// Compression failed: the codec is out of memory, or its level was refused.
    #[error("compressing with {codec}: {reason}")]
    Compress {
        /// The codec.
        codec: Codec,
        /// The codec's own words.
        reason: String,
    },
    /// A record's own structure is wrong.
    #[error("reading record {index} of a batch: {reason}")]
    Record {
        /// The record's place in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        reason: RecordError,
    },
    /// Bytes follow the last record.
    #[error("reading a record batch: {0} bytes follow its last record")]
    RecordsRemain(usize),
    /// Bytes follow the batch where exactly one was expected.
    #[error(
        "appending a record batch: {0} bytes follow it; a produce request has one batch for each partition"
    )]
    NotOneBatch(usize),
    /// The record count is not what the offsets say, or is not positive.
    #[error(
        "appending a record batch: {count} records are declared, the offsets span {span}; both have to be equal"
    )]
    Count {
        /// The header's record count.
        count: i32,
        /// Last offset delta plus one.
        span: i64,
    },
    /// A client may not write control records.
    #[error("appending a record batch: clients cannot write control records")]
    Control,
    /// Producer id, epoch and sequence do not go together.
    #[error(
        "appending a record batch: producer id {producer_id}, epoch {producer_epoch} and sequence {base_sequence} \
         do not go together"
    )]
    Producer {
        /// The producer id.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// The first sequence number.
        base_sequence: i32,
    },
    /// A transactional batch without a producer id.
    #[error("appending a record batch: it is transactional and has no producer id")]
    TransactionalWithoutProducer,
    /// A client set the log append time itself.
    #[error("appending a record batch: its timestamp type is LogAppendTime, which only a broker sets")]
    LogAppendTimeFromClient,
    /// A timestamp lies outside of the topic's bounds.
    #[error("appending record {index} of a batch: timestamp {timestamp} is not between {least} and {most}")]
    Timestamp {
        /// The record's place in the batch, from 0.
        index: usize,
        /// The record's timestamp, in milliseconds since 1970.
        timestamp: i64,
        /// The least that is taken.
        least: i64,
        /// The most that is taken.
        most: i64,
    },
    /// More bytes or records than a batch's own fields can hold.
    #[error("building a record batch: {0}")]
    Build(&'static str),
    /// A control record's key or value is too short or of an unknown kind.
    #[error("reading a control record: {0}")]
    ControlRecord(&'static str),
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A field reaches beyond the record, or the record beyond the batch.
    #[error("a field reaches beyond its end")]
    Short,
    /// A varint of more than five (or ten) bytes.
    #[error("a varint is too long")]
    Varint,
    /// A length below -1, or below 0 where null is not allowed.
    #[error("a length is negative")]
    NegativeLength,
    /// More headers are declared than bytes are left for them.
    #[error("its header count does not fit in it")]
    HeaderCount,
    /// The fields end before the record does.
    #[error("bytes follow its last field")]
    Trailing,
    /// An offset delta is not the record's place.
    #[error("its offset delta is {0}, it has to be its place in the batch")]
    OffsetDelta(i32),
    /// A compacted topic's record has no key.
    #[error("it has no key, and its topic is compacted")]
    NoKey,
}

impl BatchError {
    /// The error code that a broker answers to a produce request with such a batch (Kafka's `LogValidator`).
    pub fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::Torn { .. } | BatchError::Length(_) | BatchError::Crc { .. } => {
                ErrorCode::CorruptMessage
            }
            BatchError::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
            BatchError::TooLarge { .. } | BatchError::UncompressedTooLarge { .. } => {
                ErrorCode::MessageTooLarge
            }
            BatchError::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
            BatchError::LogAppendTimeFromClient | BatchError::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            BatchError::Decompress { .. } => ErrorCode::CorruptMessage,
            BatchError::Compress { .. } | BatchError::Build(_) => ErrorCode::UnknownServerError,
            BatchError::Record { .. }
            | BatchError::RecordsRemain(_)
            | BatchError::NotOneBatch(_)
            | BatchError::Count { .. }
            | BatchError::Control
            | BatchError::Producer { .. }
            | BatchError::TransactionalWithoutProducer
            | BatchError::ControlRecord(_) => ErrorCode::InvalidRecord,
        }
    }

    /// The place of the record that is at fault, where one is; a produce response names it (KIP-467).
    pub fn record_index(&self) -> Option<usize> {
        match self {
            BatchError::Record { index, .. } | BatchError::Timestamp { index, .. } => Some(*index),
            _ => None,
        }
    }
}
