//! ListOffsets and OffsetForLeaderEpoch.

use millstream_testkit::records::topic;
use millstream_testkit::{InProcess, run};
use millstream_types::ErrorCode;
use millstream_wire::message::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_wire::message::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use millstream_wire::message::{ListOffsetsRequest, OffsetForLeaderEpochRequest};

use crate::raw::{Place, Raw, batch, batch_at, code, found};

pub async fn list(raw: &mut Raw, place: &Place, timestamp: i64, isolation: i8, version: i16) -> (i64, i64) {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation,
        topics: vec![ListOffsetsTopic {
            name: place.topic.to_string(),
            partitions: vec![ListOffsetsPartition {
                partition_index: place.partition,
                timestamp,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let row = raw.call(&request, version).await.topics[0].partitions[0].clone();
    assert_eq!(code(row.error_code), ErrorCode::None, "{timestamp}");
    (row.timestamp, row.offset)
}

#[test]
fn offsets_are_found_by_time_and_by_name_in_every_version() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let name = topic(&broker.cluster(), 1).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name, 0).await;
        for version in 1..=10 {
            assert_eq!(list(&mut raw, &place, -1, 0, version).await, (-1, 0), "{version}");
            assert_eq!(list(&mut raw, &place, 5, 0, version).await, (-1, -1), "{version}");
        }
        // Timestamps 1000, 1001, 1002 in each of three batches.
        for _ in 0..3 {
            raw.produce(&place, batch_at(1_000, &["a", "b", "c"], Default::default()), 9).await;
        }
        for version in 1..=10 {
            for isolation in [0, 1] {
                // The isolation level came with version 2.
                let isolation = if version < 2 { 0 } else { isolation };
                let mut at = async |timestamp| list(&mut raw, &place, timestamp, isolation, version).await;
                assert_eq!(at(-1).await, (-1, 9), "{version}");
                assert_eq!(at(-2).await, (-1, 0), "{version}");
                assert_eq!(at(0).await, (1_000, 0), "{version}");
                assert_eq!(at(1_001).await, (1_001, 1), "{version}");
                assert_eq!(at(1_002).await, (1_002, 2), "{version}");
                assert_eq!(at(1_003).await, (-1, -1), "{version}");
                if version >= 7 {
                    assert_eq!(at(-3).await, (1_002, 2), "{version}");
                }
                if version >= 8 {
                    assert_eq!(at(-4).await, (-1, 0), "{version}");
                }
                if version >= 9 {
                    assert_eq!(at(-5).await, (-1, -1), "{version}");
                }
            }
        }
        assert_eq!(found(&raw.fetch(&place, 0, 12).await).len(), 9);
    });
}

#[test]
fn an_epochs_end_is_told() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        let name = topic(&broker.cluster(), 1).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name, 0).await;
        raw.produce(&place, batch(&["a", "b"], Default::default()), 9).await;
        broker.restart().await;
        raw = Raw::connect(broker.address()).await;
        raw.produce(&place, batch(&["c"], Default::default()), 9).await;
        let ask = |epoch: i32| OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![OffsetForLeaderTopic {
                topic: place.topic.to_string(),
                partitions: vec![OffsetForLeaderPartition {
                    partition: 0,
                    leader_epoch: epoch,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        for version in 2..=4 {
            let mut end = async |epoch| {
                let row = raw.call(&ask(epoch), version).await.topics[0].partitions[0].clone();
                assert_eq!(code(row.error_code), ErrorCode::None);
                (row.leader_epoch, row.end_offset)
            };
            let (first, at) = end(0).await;
            assert_eq!((first, at), (0, 2), "{version}");
            let last = end(1_000_000).await;
            assert_eq!(last, (-1, -1), "an epoch that never was, version {version}");
        }
    });
}
