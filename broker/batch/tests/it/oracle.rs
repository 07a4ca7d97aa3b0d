//! The same records through ours and through the crate `kafka-protocol`, both ways, for every codec. That crate drops
//! duplicate header keys, so keys are distinct here; `model` covers duplicates.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use millstream_batch::{
    BatchBuilder, BatchConfig, BatchView, Codec, Decompressor, HeaderView, Limits, RecordRef,
    validate_for_append,
};
use millstream_types::{Rng, SeededRng};

fn theirs(codec: Codec) -> Compression {
    match codec {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

fn bytes(rng: &mut SeededRng, most: u64) -> Option<Bytes> {
    if rng.chance(1, 8) {
        return None;
    }
    let len = rng.below(most + 1);
    // Half of it repeats, so that every codec has something to find.
    Some((0..len).map(|i| if i % 2 == 0 { rng.next_u64() as u8 } else { (i / 50) as u8 }).collect())
}

fn records(rng: &mut SeededRng, count: u64) -> Vec<Record> {
    let base = rng.below(1 << 40) as i64;
    (0..count)
        .map(|i| Record {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: 12,
            producer_epoch: 3,
            timestamp_type: TimestampType::Creation,
            offset: i as i64,
            sequence: 100 + i as i32,
            timestamp: base + rng.below(1 << 20) as i64 - if i == 0 { 0 } else { 1 << 19 },
            key: bytes(rng, 20),
            value: bytes(rng, 3_000),
            headers: (0..rng.below(4))
                .map(|h| (StrBytes::from_string(format!("h{h}")), bytes(rng, 30)))
                .collect::<IndexMap<_, _>>(),
        })
        .collect()
}

fn build_ours(codec: Codec, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchConfig {
        codec,
        batch_bytes_max: usize::MAX,
        partition_leader_epoch: 0,
        producer_id: 12,
        producer_epoch: 3,
        base_sequence: 100,
        transactional: true,
        ..BatchConfig::default()
    });
    for record in records {
        let headers: Vec<HeaderView<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| HeaderView { key: key.as_bytes(), value: value.as_deref() })
            .collect();
        let record = RecordRef {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        builder.append(&record).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn theirs_reads_ours_and_ours_reads_theirs() {
    for codec in Codec::ALL {
        for seed in 0..40 {
            let mut rng = SeededRng::new(seed);
            let count = 1 + rng.below(60);
            let records = records(&mut rng, count);

            let ours = build_ours(codec, &records);
            let read = RecordBatchDecoder::decode_all(&mut ours.clone()).unwrap();
            assert_eq!(read.len(), 1, "{codec}, seed {seed}");
            assert_eq!(read[0].compression, theirs(codec));
            assert_eq!(read[0].records, records, "{codec}, seed {seed}");

            let mut encoded = BytesMut::new();
            let options = RecordEncodeOptions { version: 2, compression: theirs(codec) };
            RecordBatchEncoder::encode(&mut encoded, records.iter(), &options).unwrap();
            let limits = Limits { now_ms: 1 << 41, batch_bytes_max: usize::MAX, ..Limits::default() };
            let summary = validate_for_append(&encoded, &limits).unwrap();
            assert_eq!((summary.producer_id, summary.base_sequence), (12, 100));
            assert_eq!(summary.last_sequence, 99 + records.len() as i32);
            assert_eq!(Some(summary.max_timestamp), records.iter().map(|r| r.timestamp).max());
            let batch = BatchView::parse(&encoded).unwrap();
            let mut scratch = Decompressor::new(1 << 24);
            let mut seen = 0;
            for (read, record) in batch.records(&mut scratch).unwrap().zip(&records) {
                let read = read.unwrap();
                assert_eq!((read.offset, read.timestamp), (record.offset, record.timestamp));
                assert_eq!((read.key, read.value), (record.key.as_deref(), record.value.as_deref()));
                let headers: Vec<(&[u8], Option<&[u8]>)> = read.headers.map(|h| (h.key, h.value)).collect();
                let expected: Vec<(&[u8], Option<&[u8]>)> =
                    record.headers.iter().map(|(k, v)| (k.as_bytes(), v.as_deref())).collect();
                assert_eq!(headers, expected);
                seen += 1;
            }
            assert_eq!(seen, records.len());
        }
    }
}
