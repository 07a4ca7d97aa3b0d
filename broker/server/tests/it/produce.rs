//! Produce: versions, acks, producers' sequences, what is refused, and the order of answers.

use std::sync::Arc;

use bytes::Bytes;
use millstream_batch::Codec;
use millstream_testkit::records::topic;
use millstream_testkit::{InProcess, run};
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::Records;
use millstream_wire::message::{InitProducerIdRequest, ProduceRequest};

use crate::raw::{Place, Raw, batch, code, found, numbered, produce_request, texts};

async fn start() -> (InProcess, Raw, Place) {
    let broker = InProcess::start(&[]).await;
    let name = topic(&broker.cluster(), 2).await;
    let mut raw = Raw::connect(broker.address()).await;
    let place = Place::of(&mut raw, &name, 0).await;
    (broker, raw, place)
}

#[test]
fn every_version_of_produce_and_fetch_carries_the_records() {
    run(async {
        let (_broker, mut raw, place) = start().await;
        let mut expected = Vec::new();
        for version in 3..=13 {
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                // Zstd came with version 7 (KIP-110).
                if codec == Codec::Zstd && version < 7 {
                    continue;
                }
                let values = [format!("a{version}{codec:?}"), format!("b{version}{codec:?}")];
                let records = batch(
                    &[&values[0], &values[1]],
                    millstream_batch::BatchConfig { codec, ..Default::default() },
                );
                let response = raw.produce(&place, records, version).await;
                assert_eq!(code(response.error_code), ErrorCode::None, "{version} {codec:?}");
                assert_eq!(response.base_offset, expected.len() as i64, "{version}");
                expected.extend(values);
            }
        }
        for version in 4..=17 {
            let data = raw.fetch(&place, 0, version).await;
            let offsets: Vec<i64> = found(&data).into_iter().map(|(offset, _)| offset).collect();
            assert_eq!(offsets, (0..expected.len() as i64).collect::<Vec<i64>>(), "{version}");
            assert_eq!(texts(&data), expected, "{version}");
            assert_eq!(data.high_watermark, expected.len() as i64);
        }
    });
}

#[test]
fn acks_are_as_asked() {
    run(async {
        let (_broker, mut raw, place) = start().await;
        let one = || batch(&["x"], Default::default());
        // No answer to acks=0: the next answer is that of the next request.
        raw.send(&produce_request(&place, one(), 9, 0, None), 9).await;
        for acks in [1, -1] {
            let response = raw.call(&produce_request(&place, one(), 9, acks, None), 9).await;
            assert_eq!(code(response.responses[0].partition_responses[0].error_code), ErrorCode::None);
        }
        assert_eq!(found(&raw.fetch(&place, 0, 12).await).len(), 3);
        let response = raw.call(&produce_request(&place, one(), 9, 2, None), 9).await;
        let refused = response.responses[0].partition_responses[0].error_code;
        assert_eq!(code(refused), ErrorCode::InvalidRequiredAcks);
        // Who asks for no answer and is refused loses the connection.
        let nowhere = Place { partition: 77, ..place.clone() };
        raw.send(&produce_request(&nowhere, one(), 9, 0, None), 9).await;
        assert_eq!(raw.frame().await, None);
    });
}

#[test]
fn a_producers_repeats_are_answered_with_the_old_offset_also_after_a_restart() {
    run(async {
        let (mut broker, mut raw, place) = start().await;
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        let producer = raw.call(&request, 4).await;
        let (id, epoch) = (producer.producer_id, producer.producer_epoch);
        for i in 0..7 {
            let response = raw.produce(&place, numbered(&["a", "b"], (id, epoch), i * 2, false), 9).await;
            assert_eq!(
                (code(response.error_code), response.base_offset),
                (ErrorCode::None, i64::from(i) * 2)
            );
        }
        for restarted in [false, true] {
            if restarted {
                broker.restart().await;
                raw = Raw::connect(broker.address()).await;
            }
            // The last five batches are known (after a clean stop the last one, which is what Kafka's snapshot of
            // producers holds); an older one is out of order, as is one that leaves a gap.
            let fifth = if restarted { (12, ErrorCode::None, 12) } else { (4, ErrorCode::None, 4) };
            for (sequence, error, offset) in [
                (12, ErrorCode::None, 12),
                fifth,
                (2, ErrorCode::OutOfOrderSequenceNumber, -1),
                (16, ErrorCode::OutOfOrderSequenceNumber, -1),
            ] {
                let response =
                    raw.produce(&place, numbered(&["a", "b"], (id, epoch), sequence, false), 9).await;
                let got = (code(response.error_code), response.base_offset);
                // Kafka names what is older than its window DUPLICATE_SEQUENCE_NUMBER or out of order; both are refusals.
                if sequence == 2 && got.0 == ErrorCode::DuplicateSequenceNumber {
                    continue;
                }
                assert_eq!(got, (error, offset), "sequence {sequence}, restarted {restarted}");
            }
            assert_eq!(found(&raw.fetch(&place, 0, 12).await).len(), 14);
        }
        // A newer epoch begins at zero, and fences the older.
        let response = raw.produce(&place, numbered(&["c"], (id, epoch + 1), 0, false), 9).await;
        assert_eq!((code(response.error_code), response.base_offset), (ErrorCode::None, 14));
        let response = raw.produce(&place, numbered(&["d"], (id, epoch), 14, false), 9).await;
        assert_eq!(code(response.error_code), ErrorCode::InvalidProducerEpoch);
    });
}

#[test]
fn bad_batches_are_refused_and_good_ones_beside_them_kept() {
    run(async {
        let (_broker, mut raw, place) = start().await;
        let Records::Bytes(good) = batch(&["good"], Default::default()) else { unreachable!() };
        let with = |at: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[at] ^= byte;
            Records::Bytes(Bytes::from(bytes))
        };
        let cases: Vec<(&str, Records, &[ErrorCode])> = vec![
            ("a flipped bit of the value", with(good.len() - 3, 1), &[ErrorCode::CorruptMessage]),
            ("a flipped bit of the checksum", with(17, 1), &[ErrorCode::CorruptMessage]),
            (
                "a batch that is cut",
                Records::Bytes(good.slice(..good.len() - 1)),
                &[ErrorCode::CorruptMessage, ErrorCode::InvalidRecord],
            ),
            (
                "an old format",
                with(16, 3),
                &[
                    ErrorCode::UnsupportedForMessageFormat,
                    ErrorCode::InvalidRecord,
                    ErrorCode::CorruptMessage,
                ],
            ),
            (
                "no batch at all",
                Records::Bytes(Bytes::new()),
                &[ErrorCode::InvalidRecord, ErrorCode::CorruptMessage],
            ),
            (
                "two batches",
                Records::Bytes(Bytes::from([&good[..], &good[..]].concat())),
                &[ErrorCode::InvalidRecord],
            ),
            (
                "a control batch",
                batch(&["x"], millstream_batch::BatchConfig { control: true, ..Default::default() }),
                &[ErrorCode::InvalidRecord],
            ),
            (
                "a transactional batch without a transactional id",
                numbered(&["x"], (1, 0), 0, true),
                &[ErrorCode::InvalidTxnState],
            ),
            (
                "a batch that is too large",
                batch(&[&"x".repeat(2 << 20)], Default::default()),
                &[ErrorCode::MessageTooLarge],
            ),
        ];
        for (what, records, errors) in cases {
            let response = raw.produce(&place, records, 9).await;
            let error = code(response.error_code);
            assert!(errors.contains(&error), "{what}: {error:?}");
            assert_eq!(response.base_offset, -1, "{what}");
        }
        let unknown = Place { topic: Arc::from("nowhere"), id: Uuid([7; 16]), partition: 0 };
        for (version, error) in [(9, ErrorCode::UnknownTopicOrPartition), (13, ErrorCode::UnknownTopicId)] {
            let response = raw.produce(&unknown, Records::Bytes(good.clone()), version).await;
            assert_eq!(code(response.error_code), error);
        }
        // One request, two partitions, one of them unknown.
        let mut request = produce_request(&place, Records::Bytes(good.clone()), 9, -1, None);
        let mut other = request.topic_data[0].partition_data[0].clone();
        other.index = 9;
        request.topic_data[0].partition_data.push(other);
        let response = raw.call(&request, 9).await;
        let errors: Vec<ErrorCode> =
            response.responses[0].partition_responses.iter().map(|p| code(p.error_code)).collect();
        assert_eq!(errors, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
        assert_eq!(texts(&raw.fetch(&place, 0, 12).await), ["good"]);
    });
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    run(async {
        let (_broker, mut raw, place) = start().await;
        let mut sent = Vec::new();
        for i in 0..200 {
            let records = batch(&[&i.to_string()], Default::default());
            let acks = if i % 3 == 0 { 1 } else { -1 };
            sent.push(raw.send(&produce_request(&place, records, 9, acks, None), 9).await);
        }
        for (offset, sent) in sent.into_iter().enumerate() {
            let (answered, response) = raw.receive::<ProduceRequest>(9).await;
            assert_eq!(answered, sent);
            assert_eq!(response.responses[0].partition_responses[0].base_offset, offset as i64);
        }
        let values = texts(&raw.fetch(&place, 0, 12).await);
        assert_eq!(values, (0..200).map(|i| i.to_string()).collect::<Vec<_>>());
    });
}
