//! The 61 bytes in front of every batch: parsing them, and patching them in place. Owns where each field lies. The base
//! offset, the length, the partition leader epoch and the magic lie outside of the checksum, so a leader stamps them
//! freely; every patch of what lies inside adjusts the checksum by its difference (BA-2).
//! Never enters: records, compression, which patch a broker applies when.

use millstream_types::ids::NO_SEQUENCE;
use millstream_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::compress::Codec;
use crate::crc;
use crate::error::BatchError;

/// Bytes of a batch's header.
pub const HEADER_BYTES: usize = 61;
/// Bytes in front of what the length field counts: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// The only record format that is served.
pub const MAGIC: i8 = 2;
/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// Who set the timestamps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer, for each record.
    CreateTime,
    /// The broker: every record has the batch's largest timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The codec's number, 0 to 7, of which 0 to 4 are known.
    pub fn codec_id(self) -> u8 {
        (self.0 & Self::CODEC) as u8
    }

    /// The codec.
    pub fn codec(self) -> Result<Codec, BatchError> {
        Codec::from_id(self.codec_id()).ok_or(BatchError::UnknownCodec(self.codec_id()))
    }

    /// Who set the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds a control record.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which on tombstones may go (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Attributes {
        Attributes(self.0 & !Self::CODEC | i16::from(codec.id()))
    }

    /// These attributes with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Attributes {
        self.with(Self::LOG_APPEND_TIME, kind == TimestampType::LogAppendTime)
    }

    /// These attributes, transactional or not.
    #[must_use]
    pub fn with_transactional(self, on: bool) -> Attributes {
        self.with(Self::TRANSACTIONAL, on)
    }

    /// These attributes, of a control batch or not.
    #[must_use]
    pub fn with_control(self, on: bool) -> Attributes {
        self.with(Self::CONTROL, on)
    }

    /// These attributes, with a delete horizon or not.
    #[must_use]
    pub fn with_delete_horizon(self, on: bool) -> Attributes {
        self.with(Self::DELETE_HORIZON, on)
    }

    fn with(self, bit: i16, on: bool) -> Attributes {
        Attributes(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// A batch's header, by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset; in a compacted log, what it was.
    pub base_offset: Offset,
    /// Bytes of the batch behind this field: [`BatchHeader::size_in_bytes`] less 12.
    pub batch_length: i32,
    /// The term of the leader that appended the batch, or -1.
    pub partition_leader_epoch: LeaderEpoch,
    /// The record format, 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last offset less the base offset; kept by compaction, so it may exceed the record count.
    pub last_offset_delta: i32,
    /// The timestamp that record timestamps are relative to, or the delete horizon, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The largest timestamp of the batch, in milliseconds since 1970, or -1.
    pub max_timestamp: i64,
    /// The producer, or -1.
    pub producer_id: ProducerId,
    /// The producer's epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// How many records the batch holds.
    pub record_count: i32,
}

fn at<const N: usize>(bytes: &[u8; HEADER_BYTES], from: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[from..from + N]);
    field
}

impl BatchHeader {
    /// Reads the header in front of `bytes`. The batch's body need not be there; the checksum is not looked at.
    ///
    /// # Errors
    /// `Torn` where fewer than 61 bytes are there, `UnsupportedMagic` for another record format (told from 17 bytes
    /// on), `Length` for a length field below the least.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        if let Some(magic) = bytes.get(MAGIC_AT).map(|byte| *byte as i8).filter(|magic| *magic != MAGIC) {
            return Err(BatchError::UnsupportedMagic(magic));
        }
        let fixed: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or(BatchError::Torn { have: bytes.len(), need: HEADER_BYTES })?;
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(at(fixed, 0)),
            batch_length: i32::from_be_bytes(at(fixed, LENGTH_AT)),
            partition_leader_epoch: i32::from_be_bytes(at(fixed, LEADER_EPOCH_AT)),
            magic: MAGIC,
            crc: u32::from_be_bytes(at(fixed, CRC_AT)),
            attributes: Attributes(i16::from_be_bytes(at(fixed, ATTRIBUTES_AT))),
            last_offset_delta: i32::from_be_bytes(at(fixed, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(at(fixed, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(at(fixed, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(at(fixed, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(at(fixed, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(at(fixed, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(at(fixed, RECORD_COUNT_AT)),
        };
        if header.batch_length < (HEADER_BYTES - LOG_OVERHEAD) as i32 {
            return Err(BatchError::Length(header.batch_length));
        }
        Ok(header)
    }

    /// The header's 61 bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |from: usize, field: &[u8]| bytes[from..from + field.len()].copy_from_slice(field);
        put(0, &self.base_offset.to_be_bytes());
        put(LENGTH_AT, &self.batch_length.to_be_bytes());
        put(LEADER_EPOCH_AT, &self.partition_leader_epoch.to_be_bytes());
        put(MAGIC_AT, &self.magic.to_be_bytes());
        put(CRC_AT, &self.crc.to_be_bytes());
        put(ATTRIBUTES_AT, &self.attributes.0.to_be_bytes());
        put(LAST_OFFSET_DELTA_AT, &self.last_offset_delta.to_be_bytes());
        put(BASE_TIMESTAMP_AT, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP_AT, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID_AT, &self.producer_id.to_be_bytes());
        put(PRODUCER_EPOCH_AT, &self.producer_epoch.to_be_bytes());
        put(BASE_SEQUENCE_AT, &self.base_sequence.to_be_bytes());
        put(RECORD_COUNT_AT, &self.record_count.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch, header included.
    pub fn size_in_bytes(&self) -> usize {
        LOG_OVERHEAD + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// The last record's offset; in a compacted log, what it was.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    /// The last record's sequence number, or -1 where the batch has no sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            increment_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// Whether an idempotent or transactional producer sent the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// The delete horizon (KIP-534), in milliseconds since 1970, where the batch has one.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}

/// The sequence number `increment` (0 or more) behind `sequence`: they run from 0 to 2^31 - 1 and around.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    (i64::from(sequence) + i64::from(increment)).rem_euclid(1 << 31) as i32
}

/// The sequence number `decrement` (0 or more) in front of `sequence`.
pub fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    (i64::from(sequence) - i64::from(decrement)).rem_euclid(1 << 31) as i32
}

/// The checksum that the bytes of one whole batch give.
///
/// # Panics
/// Where `batch` is shorter than a header: the caller has parsed it.
pub fn compute_crc(batch: &[u8]) -> u32 {
    crc::crc32c(&batch[ATTRIBUTES_AT..])
}

/// Checks the checksum of one whole batch.
pub fn check_crc(header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
    let computed = compute_crc(batch);
    if computed == header.crc { Ok(()) } else { Err(BatchError::Crc { stored: header.crc, computed }) }
}

/// Sets the base offset. Outside of the checksum.
pub fn set_base_offset(batch: &mut [u8], base_offset: Offset) {
    batch[..LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
}

/// Sets the partition leader epoch. Outside of the checksum.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&epoch.to_be_bytes());
}

/// Sets the last offset so that the batch ends at `last_offset`, by moving its base offset: what a leader does that
/// appends a batch whose deltas it has checked. Outside of the checksum.
pub fn set_last_offset(batch: &mut [u8], last_offset: Offset) {
    let delta = i32::from_be_bytes(at(header_of(batch), LAST_OFFSET_DELTA_AT));
    set_base_offset(batch, last_offset.saturating_sub(i64::from(delta)));
}

/// Sets the last offset delta, and the checksum with it.
pub fn set_last_offset_delta(batch: &mut [u8], delta: i32) {
    patch(batch, |header| {
        header[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&delta.to_be_bytes());
    });
}

/// Sets the largest timestamp and the timestamp type, and the checksum with them.
pub fn set_max_timestamp(batch: &mut [u8], kind: TimestampType, max_timestamp: i64) {
    patch(batch, |header| {
        let attributes = Attributes(i16::from_be_bytes(at(header, ATTRIBUTES_AT))).with_timestamp_type(kind);
        header[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.0.to_be_bytes());
        header[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&max_timestamp.to_be_bytes());
    });
}

/// Makes `append_time` (milliseconds since 1970) the timestamp of every record of the batch
/// (`message.timestamp.type=LogAppendTime`), and sets the checksum.
pub fn set_log_append_time(batch: &mut [u8], append_time: i64) {
    set_max_timestamp(batch, TimestampType::LogAppendTime, append_time);
}

/// Sets producer id, epoch and first sequence number, and the checksum with them: a client does so when it gives a
/// batch that was built before its producer id was known, or sends it again under another epoch.
pub fn set_producer(
    batch: &mut [u8],
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: i32,
    transactional: bool,
) {
    patch(batch, |header| {
        let attributes =
            Attributes(i16::from_be_bytes(at(header, ATTRIBUTES_AT))).with_transactional(transactional);
        header[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.0.to_be_bytes());
        header[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&id.to_be_bytes());
        header[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&epoch.to_be_bytes());
        header[BASE_SEQUENCE_AT..RECORD_COUNT_AT].copy_from_slice(&base_sequence.to_be_bytes());
    });
}

fn header_of(batch: &[u8]) -> &[u8; HEADER_BYTES] {
    batch.first_chunk().expect("BA-1: a batch is patched after its header was parsed")
}

fn patch(batch: &mut [u8], change: impl FnOnce(&mut [u8; HEADER_BYTES])) {
    let rest = batch.len() - HEADER_BYTES.min(batch.len());
    let header: &mut [u8; HEADER_BYTES] =
        batch.first_chunk_mut().expect("BA-1: a batch is patched after its header was parsed");
    let before = crc::crc32c(&header[ATTRIBUTES_AT..]);
    change(header);
    let after = crc::crc32c(&header[ATTRIBUTES_AT..]);
    let whole = u32::from_be_bytes(at(header, CRC_AT));
    let crc = crc::replace_prefix(whole, before, after, rest);
    header[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchHeader {
        BatchHeader {
            base_offset: 1 << 40,
            batch_length: 49 + 5,
            partition_leader_epoch: 7,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes(0),
            last_offset_delta: 4,
            base_timestamp: 1_000,
            max_timestamp: 1_004,
            producer_id: 9,
            producer_epoch: 3,
            base_sequence: i32::MAX - 1,
            record_count: 5,
        }
    }

    fn batch() -> Vec<u8> {
        let mut bytes = sample().to_bytes().to_vec();
        bytes.extend_from_slice(b"abcde");
        let crc = compute_crc(&bytes);
        bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn a_header_comes_back_from_its_bytes() {
        let header = sample();
        assert_eq!(BatchHeader::parse(&header.to_bytes()), Ok(header));
        assert_eq!(header.size_in_bytes(), 66);
        assert_eq!(header.next_offset(), (1 << 40) + 5);
        assert_eq!(header.last_sequence(), 2);
    }

    #[test]
    fn other_formats_and_lengths_are_refused() {
        for magic in [0u8, 1, 3, 255] {
            let mut bytes = batch();
            bytes[MAGIC_AT] = magic;
            assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::UnsupportedMagic(magic as i8)));
            // An old message set may be shorter than a header of ours.
            assert_eq!(BatchHeader::parse(&bytes[..17]), Err(BatchError::UnsupportedMagic(magic as i8)));
        }
        assert_eq!(BatchHeader::parse(&batch()[..60]), Err(BatchError::Torn { have: 60, need: 61 }));
        for length in [48i32, 0, -1, i32::MIN] {
            let mut bytes = batch();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Length(length)));
        }
    }

    #[test]
    fn patches_keep_the_checksum_right_and_damage_visible() {
        type Patch = fn(&mut [u8]);
        let patches: [(&str, Patch); 6] = [
            ("base offset", |b| set_base_offset(b, 77)),
            ("leader epoch", |b| set_partition_leader_epoch(b, 8)),
            ("last offset", |b| set_last_offset(b, 104)),
            ("last offset delta", |b| set_last_offset_delta(b, 9)),
            ("append time", |b| set_log_append_time(b, 1 << 41)),
            ("producer", |b| set_producer(b, 5, 6, 7, true)),
        ];
        for (name, patch) in patches {
            let mut good = batch();
            patch(&mut good);
            assert_eq!(check_crc(&BatchHeader::parse(&good).unwrap(), &good), Ok(()), "{name}");
            let mut bad = batch();
            bad[63] ^= 1;
            patch(&mut bad);
            assert!(check_crc(&BatchHeader::parse(&bad).unwrap(), &bad).is_err(), "BA-2: {name}");
        }
        let mut bytes = batch();
        set_last_offset(&mut bytes, 104);
        assert_eq!(BatchHeader::parse(&bytes).unwrap().base_offset, 100);
    }

    #[test]
    fn sequences_wrap_as_kafkas_do() {
        assert_eq!(increment_sequence(i32::MAX, 0), i32::MAX);
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 5, 10), 4);
        assert_eq!(decrement_sequence(0, 1), i32::MAX);
        assert_eq!(decrement_sequence(4, 10), i32::MAX - 5);
    }
}
