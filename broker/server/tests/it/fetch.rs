//! Fetch: waiting, sessions, limits, and what is refused.

use millstream_testkit::records::{topic, topic_named};
use millstream_testkit::{InProcess, run};
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::message::FetchRequest;
use millstream_wire::message::fetch_request::ForgottenTopic;

use crate::raw::{Place, Raw, batch, code, fetch_request, fetch_topic, found, texts};

#[test]
fn a_waiting_fetch_is_woken_by_the_append_that_satisfies_it() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let name = topic(&broker.cluster(), 1).await;
        let (mut reader, mut writer) =
            (Raw::connect(broker.address()).await, Raw::connect(broker.address()).await);
        let place = Place::of(&mut reader, &name, 0).await;
        let one = || batch(&["here it is"], Default::default());
        let size = one().len() as i32;
        for (round, batches) in [1, 3].into_iter().enumerate() {
            let start = reader.fetch(&place, 0, 17).await.high_watermark;
            // Without the wake-up the answer would come after ten minutes, and the test would have hung.
            let request = FetchRequest {
                max_wait_ms: 600_000,
                min_bytes: size * batches,
                ..fetch_request(&place, start, 17)
            };
            reader.send(&request, 17).await;
            for _ in 0..batches {
                writer.produce(&place, one(), 9).await;
            }
            let (_, response) = reader.receive::<FetchRequest>(17).await;
            let data = &response.responses[0].partitions[0];
            assert_eq!(texts(data).len(), batches as usize, "round {round}");
        }
        // A topic that is deleted under a waiting fetch wakes it too.
        let end = reader.fetch(&place, 0, 17).await.high_watermark;
        let request = FetchRequest { max_wait_ms: 600_000, ..fetch_request(&place, end, 17) };
        reader.send(&request, 17).await;
        millstream_client::Admin::new(&broker.cluster()).delete_topics(&[&name]).await.unwrap();
        let (_, response) = reader.receive::<FetchRequest>(17).await;
        let error = code(response.responses[0].partitions[0].error_code);
        let gone =
            [ErrorCode::UnknownTopicId, ErrorCode::UnknownTopicOrPartition, ErrorCode::NotLeaderOrFollower];
        assert!(gone.contains(&error), "{error:?}");
    });
}

#[test]
fn a_first_batch_is_given_whole_or_not_at_all() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let name = topic(&broker.cluster(), 3).await;
        let mut raw = Raw::connect(broker.address()).await;
        let first = Place::of(&mut raw, &name, 0).await;
        let places: Vec<Place> = (0..3).map(|partition| Place { partition, ..first.clone() }).collect();
        let large = "x".repeat(10_000);
        for place in &places {
            raw.produce(place, batch(&[&large], Default::default()), 9).await;
        }
        for version in [4, 12, 17] {
            let request = FetchRequest {
                max_bytes: 15_000,
                topics: places.iter().map(|p| fetch_topic(p, 0, version)).collect(),
                ..fetch_request(&first, 0, version)
            };
            let answer = raw.call(&request, version).await;
            let found: Vec<usize> =
                answer.responses.iter().flat_map(|t| &t.partitions).map(|p| texts(p).len()).collect();
            assert_eq!(found, [1, 0, 0], "{version}");
        }
    });
}

#[test]
fn a_session_tells_only_what_is_new() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let name = topic(&broker.cluster(), 3).await;
        let mut raw = Raw::connect(broker.address()).await;
        let first = Place::of(&mut raw, &name, 0).await;
        let places: Vec<Place> = (0..3).map(|partition| Place { partition, ..first.clone() }).collect();
        for version in [7, 12, 13, 17] {
            let full = FetchRequest {
                session_epoch: 0,
                topics: places.iter().map(|p| fetch_topic(p, 0, version)).collect(),
                ..fetch_request(&first, 0, version)
            };
            let begun = raw.call(&full, version).await;
            let told: usize = begun.responses.iter().map(|t| t.partitions.len()).sum();
            assert_eq!((told, code(begun.error_code)), (3, ErrorCode::None), "{version}");
            assert_ne!(begun.session_id, 0);
            let next = |epoch: i32| FetchRequest {
                session_id: begun.session_id,
                session_epoch: epoch,
                topics: Vec::new(),
                ..fetch_request(&first, 0, version)
            };
            let records = || batch(&["x"], Default::default());
            let base = raw.produce(&places[1], records(), 9).await.base_offset;
            let answer = raw.call(&next(1), version).await;
            let told: Vec<i32> = answer
                .responses
                .iter()
                .flat_map(|t| t.partitions.iter().map(|p| p.partition_index))
                .filter(|p| *p == 1)
                .collect();
            assert_eq!(told, [1], "{version}");
            // From here on partition 1 is read from its end.
            let mut on = next(2);
            on.topics =
                vec![fetch_topic(&places[0], base + 1, version), fetch_topic(&places[1], base + 1, version)];
            on.topics[0].partitions[0].fetch_offset = raw.fetch(&places[0], 0, 12).await.high_watermark;
            raw.call(&on, version).await;
            let quiet = raw.call(&next(3), version).await;
            assert_eq!(quiet.responses, [], "{version}");
            let mut forget = next(4);
            forget.forgotten_topics_data = vec![ForgottenTopic {
                topic: if version < 13 { name.to_string() } else { String::new() },
                topic_id: if version < 13 { Uuid::ZERO } else { first.id },
                partitions: vec![1],
                ..Default::default()
            }];
            raw.call(&forget, version).await;
            raw.produce(&places[1], records(), 9).await;
            assert_eq!(raw.call(&next(5), version).await.responses, [], "{version}");
            let wrong = raw.call(&next(9), version).await;
            assert_eq!(code(wrong.error_code), ErrorCode::InvalidFetchSessionEpoch);
            let mut lost = next(1);
            lost.session_id = begun.session_id.wrapping_add(1).max(1);
            assert_eq!(code(raw.call(&lost, version).await.error_code), ErrorCode::FetchSessionIdNotFound);
        }
    });
}

#[test]
fn limits_hold_and_the_first_batch_always_comes() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let name = millstream_testkit::records::unique("segments");
        // Small segments, so that a read meets their borders.
        let made = millstream_client::admin::NewTopic::new(&name, 1).config("segment.bytes", "1048576");
        topic_named(&broker.cluster(), made).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name.into(), 0).await;
        let text = |i: usize| format!("{i:04}").repeat(25_000);
        for i in 0..40 {
            let response = raw.produce(&place, batch(&[&text(i)], Default::default()), 9).await;
            assert_eq!(code(response.error_code), ErrorCode::None);
        }
        let mut small = fetch_request(&place, 3, 17);
        small.max_bytes = 1;
        small.topics[0].partitions[0].partition_max_bytes = 1;
        let response = raw.call(&small, 17).await;
        assert_eq!(texts(&response.responses[0].partitions[0]), [text(3)]);
        // By whole reads from end to end, across the segments' borders, byte by byte the same.
        let mut at = 0;
        while at < 40 {
            let got = found(&raw.fetch(&place, at, 17).await);
            assert!(!got.is_empty(), "at {at}");
            let from = at;
            for (offset, value) in got.into_iter().filter(|(offset, _)| *offset >= from) {
                assert_eq!((offset, &value), (at, &text(at as usize)));
                at += 1;
            }
        }
        for (offset, error) in
            [(41, ErrorCode::OffsetOutOfRange), (-5, ErrorCode::OffsetOutOfRange), (40, ErrorCode::None)]
        {
            assert_eq!(code(raw.fetch(&place, offset, 17).await.error_code), error, "{offset}");
        }
        let mut newer = fetch_request(&place, 0, 17);
        newer.topics[0].partitions[0].current_leader_epoch = 1_000;
        let response = raw.call(&newer, 17).await;
        assert_eq!(code(response.responses[0].partitions[0].error_code), ErrorCode::UnknownLeaderEpoch);
        let unknown = Place { id: Uuid([9; 16]), ..place.clone() };
        assert_eq!(code(raw.fetch(&unknown, 0, 17).await.error_code), ErrorCode::UnknownTopicId);
        let follower = FetchRequest {
            replica_state: millstream_wire::message::fetch_request::ReplicaState {
                replica_id: 1,
                ..Default::default()
            },
            ..fetch_request(&place, 0, 17)
        };
        // CVE-2018-1288: nobody fetches as a follower who is not one.
        assert_eq!(code(raw.call(&follower, 17).await.error_code), ErrorCode::ClusterAuthorizationFailed);
    });
}
