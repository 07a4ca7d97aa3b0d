//! What the validator refuses, and with which code; one case a line.

use bytes::Bytes;
use millstream_batch::header::{self, BatchHeader};
use millstream_batch::{
    Append, BatchBuilder, BatchConfig, BatchError, Codec, Depth, KeyRule, Limits, RecordRef, TimestampType,
    validate_for_append,
};
use millstream_types::ErrorCode;

pub fn batch(config: BatchConfig, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(config);
    for value in values {
        let record = RecordRef { timestamp: 1_000, key: Some(b"k"), value: Some(value), headers: &[] };
        assert!(matches!(builder.append(&record), Ok(Append::Added { .. })));
    }
    builder.build().unwrap()
}

fn idempotent() -> BatchConfig {
    BatchConfig { producer_id: 5, producer_epoch: 0, base_sequence: 0, ..BatchConfig::default() }
}

/// A good batch with its header changed, and the checksum made right again.
fn with_header(change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut bytes = batch(idempotent(), &[b"a", b"b", b"c"]).to_vec();
    let mut header = BatchHeader::parse(&bytes).unwrap();
    change(&mut header);
    bytes[..61].copy_from_slice(&header.to_bytes());
    header.crc = header::compute_crc(&bytes);
    bytes[..61].copy_from_slice(&header.to_bytes());
    bytes
}

#[test]
fn the_validator_refuses_what_kafka_refuses() {
    let limits = Limits::default();
    let check = |name: &str, bytes: &[u8], limits: &Limits, code: ErrorCode| {
        let result = validate_for_append(bytes, limits);
        let got = result.as_ref().map_or_else(BatchError::error_code, |_| ErrorCode::None);
        assert_eq!(got, code, "{name}: {result:?}");
    };
    use ErrorCode as E;
    check("good", &with_header(|_| ()), &limits, E::None);
    check("empty", b"", &limits, E::CorruptMessage);
    check("magic 1", &with_header(|h| h.magic = 1), &limits, E::UnsupportedForMessageFormat);
    check("count above span", &with_header(|h| h.record_count = 4), &limits, E::InvalidRecord);
    check("span above count", &with_header(|h| h.last_offset_delta = 3), &limits, E::InvalidRecord);
    check(
        "both wrong",
        &with_header(|h| (h.last_offset_delta, h.record_count) = (3, 4)),
        &limits,
        E::InvalidRecord,
    );
    check(
        "fewer than are there",
        &with_header(|h| (h.last_offset_delta, h.record_count) = (1, 2)),
        &limits,
        E::InvalidRecord,
    );
    check(
        "negative count",
        &with_header(|h| (h.last_offset_delta, h.record_count) = (-1, 0)),
        &limits,
        E::InvalidRecord,
    );
    check(
        "control",
        &with_header(|h| h.attributes = h.attributes.with_control(true)),
        &limits,
        E::InvalidRecord,
    );
    check("no sequence", &with_header(|h| h.base_sequence = -1), &limits, E::InvalidRecord);
    check("no epoch", &with_header(|h| h.producer_epoch = -1), &limits, E::InvalidRecord);
    check(
        "transactional without id",
        &with_header(|h| (h.producer_id, h.attributes) = (-1, h.attributes.with_transactional(true))),
        &limits,
        E::InvalidRecord,
    );
    check(
        "sequence without id, as some clients send",
        &with_header(|h| h.producer_id = -1),
        &limits,
        E::None,
    );
    check(
        "append time from a client",
        &with_header(|h| h.attributes = h.attributes.with_timestamp_type(TimestampType::LogAppendTime)),
        &limits,
        E::InvalidTimestamp,
    );
    check("codec 5", &with_header(|h| h.attributes.0 |= 5), &limits, E::UnsupportedCompressionType);
    check("codec 1 over plain bytes", &with_header(|h| h.attributes.0 |= 1), &limits, E::CorruptMessage);
    let good = with_header(|_| ());
    let two = [&good[..], &good[..]].concat();
    check("two batches", &two, &limits, E::InvalidRecord);
    let small = Limits { batch_bytes_max: good.len() - 1, ..limits.clone() };
    check("too large", &good, &small, E::MessageTooLarge);
    let late = Limits { now_ms: 2_000, timestamp_before_ms_max: 999, ..limits.clone() };
    check("too old", &good, &late, E::InvalidTimestamp);
    let just = Limits { now_ms: 2_000, timestamp_before_ms_max: 1_000, ..limits.clone() };
    check("just old enough", &good, &just, E::None);
    let early = Limits { now_ms: 0, timestamp_after_ms_max: 999, ..limits.clone() };
    check("too far ahead", &good, &early, E::InvalidTimestamp);
    let broker_time = Limits { timestamp_type: TimestampType::LogAppendTime, ..early };
    check("the broker sets the time", &good, &broker_time, E::None);
}

#[test]
fn a_compacted_topic_needs_keys() {
    let mut builder = BatchBuilder::new(BatchConfig::default());
    builder.append(&RecordRef { timestamp: 0, key: Some(b"k"), value: None, headers: &[] }).unwrap();
    builder.append(&RecordRef { timestamp: 0, key: None, value: None, headers: &[] }).unwrap();
    let bytes = builder.build().unwrap();
    let limits = Limits { keys: KeyRule::Required, ..Limits::default() };
    let error = validate_for_append(&bytes, &limits).unwrap_err();
    assert_eq!((error.error_code(), error.record_index()), (ErrorCode::InvalidRecord, Some(1)));
    assert!(validate_for_append(&bytes, &Limits::default()).is_ok());
}

#[test]
fn a_wrong_largest_timestamp_is_found_and_can_be_patched() {
    let mut bytes = with_header(|header| header.max_timestamp = 999_999);
    let summary = validate_for_append(&bytes, &Limits::default()).unwrap();
    assert!(summary.max_timestamp_differs && summary.max_timestamp == 1_000);
    header::set_max_timestamp(&mut bytes, TimestampType::CreateTime, summary.max_timestamp);
    assert!(!validate_for_append(&bytes, &Limits::default()).unwrap().max_timestamp_differs);
    // Header depth believes the header.
    let shallow = Limits { depth: Depth::Header, ..Limits::default() };
    let wrong = with_header(|header| header.max_timestamp = 999_999);
    assert_eq!(validate_for_append(&wrong, &shallow).unwrap().max_timestamp, 999_999);
}

#[test]
fn a_batch_is_full_at_its_bound_and_takes_one_record_however_large() {
    for codec in Codec::ALL {
        let config = BatchConfig { codec, batch_bytes_max: 1_000, ..BatchConfig::default() };
        let mut builder = BatchBuilder::new(config.clone());
        let value = [7u8; 100];
        let record = RecordRef { timestamp: 0, key: None, value: Some(&value), headers: &[] };
        let mut count = 0;
        while builder.append(&record).unwrap() != Append::Full {
            count += 1;
        }
        assert_eq!(count, (1_000 - 61) / 109, "{codec}");
        assert_eq!(builder.record_count(), count);
        assert!(builder.build().unwrap().len() <= 1_000);
        // Where a batch is known to halve, twice as much goes in.
        let mut halving = BatchBuilder::new(config.clone()).with_expected_ratio(0.5);
        let mut more = 0;
        while halving.append(&record).unwrap() != Append::Full {
            more += 1;
        }
        assert_eq!(more, if codec == Codec::None { count } else { 2 * count + 1 }, "{codec}");
        let large = [0u8; 5_000];
        let mut single = BatchBuilder::new(config);
        let large = RecordRef { timestamp: 0, key: None, value: Some(&large), headers: &[] };
        assert_eq!(single.append(&large), Ok(Append::Added { offset_delta: 0 }));
        assert_eq!(single.append(&record), Ok(Append::Full));
    }
}
