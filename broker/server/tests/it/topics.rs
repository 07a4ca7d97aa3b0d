//! Topics: made, grown, configured, emptied, deleted and made again.

use std::time::Duration;

use millstream_client::admin::{ConfigOp, ConfigResource, NewTopic};
use millstream_client::{Admin, Isolation};
use millstream_testkit::records::{fill, filled, topic_named, unique, values};
use millstream_testkit::{InProcess, run};
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::message::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use millstream_wire::message::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_wire::message::{CreateTopicsRequest, DeleteRecordsRequest};

use crate::raw::{Place, Raw, batch, code, texts};

#[test]
fn what_cannot_be_made_is_refused_with_kafkas_codes() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let mut raw = Raw::connect(broker.address()).await;
        let wanted =
            |name: &str, partitions: i32, factor: i16, config: Option<(&str, &str)>| CreatableTopic {
                name: name.to_owned(),
                num_partitions: partitions,
                replication_factor: factor,
                configs: config
                    .into_iter()
                    .map(|(name, value)| CreatableTopicConfig {
                        name: name.to_owned(),
                        value: Some(value.to_owned()),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            };
        let cases = [
            (wanted("good", 3, 1, None), ErrorCode::None),
            (wanted("good", 3, 1, None), ErrorCode::TopicAlreadyExists),
            (wanted("defaults", -1, -1, Some(("retention.ms", "1000"))), ErrorCode::None),
            (wanted("none", 0, 1, None), ErrorCode::InvalidPartitions),
            (wanted("far", 1, 3, None), ErrorCode::InvalidReplicationFactor),
            (wanted("bad name", 1, 1, None), ErrorCode::InvalidTopicException),
            (wanted("..", 1, 1, None), ErrorCode::InvalidTopicException),
            (wanted(&"x".repeat(250), 1, 1, None), ErrorCode::InvalidTopicException),
            (wanted("odd", 1, 1, Some(("retention.ms", "soon"))), ErrorCode::InvalidConfig),
            (wanted("odd", 1, 1, Some(("no.such.setting", "1"))), ErrorCode::InvalidConfig),
        ];
        for (topic, error) in cases {
            let request =
                CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
            let answer = raw.call(&request, 7).await;
            let name = &answer.topics[0].name;
            assert_eq!(code(answer.topics[0].error_code), error, "{name}");
            assert_eq!(answer.topics[0].topic_id == Uuid::ZERO, error != ErrorCode::None, "{name}");
        }
        let request = CreateTopicsRequest {
            topics: vec![wanted("only-asked", 1, 1, None)],
            timeout_ms: 30_000,
            validate_only: true,
            ..Default::default()
        };
        assert_eq!(code(raw.call(&request, 7).await.topics[0].error_code), ErrorCode::None);
        for version in 2..=7 {
            let name = format!("version-{version}");
            let request = CreateTopicsRequest {
                topics: vec![wanted(&name, 1, 1, None)],
                timeout_ms: 30_000,
                ..Default::default()
            };
            assert_eq!(code(raw.call(&request, version).await.topics[0].error_code), ErrorCode::None);
        }
        let there = Admin::new(&broker.cluster()).list_topics().await.unwrap();
        assert!(there.contains_key("good") && !there.contains_key("only-asked"));
    });
}

#[test]
fn a_topic_that_is_made_again_is_another_one() {
    run(async {
        let mut broker = InProcess::start(&["log.segment.delete.delay.ms=0"]).await;
        let cluster = broker.cluster();
        let admin = Admin::new(&cluster);
        let name: std::sync::Arc<str> = unique("again").into();
        topic_named(&cluster, NewTopic::new(&name, 2)).await;
        fill(&cluster, &name, 0..50).await;
        let mut raw = Raw::connect(broker.address()).await;
        let old = Place::of(&mut raw, &name, 0).await;
        admin.delete_topics(&[&name]).await.unwrap();
        assert_eq!(code(raw.fetch(&old, 0, 17).await.error_code), ErrorCode::UnknownTopicId);
        topic_named(&cluster, NewTopic::new(&name, 2)).await;
        let new = Place::of(&mut raw, &name, 0).await;
        assert_ne!(old.id, new.id);
        // Whoever still names the old id is told, and does not write into the new topic.
        let refused = raw.produce(&old, batch(&["x"], Default::default()), 13).await;
        assert_eq!(code(refused.error_code), ErrorCode::UnknownTopicId);
        for restarted in [false, true] {
            if restarted {
                broker.restart().await;
                raw = Raw::connect(broker.address()).await;
            }
            assert_eq!(texts(&raw.fetch(&new, 0, 17).await), [""; 0]);
        }
        raw.produce(&new, batch(&["first"], Default::default()), 13).await;
        assert_eq!(texts(&raw.fetch(&new, 0, 17).await), ["first"]);
    });
}

#[test]
fn partitions_and_settings_change_and_stay() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        let cluster = broker.cluster();
        let admin = Admin::new(&cluster);
        let name: std::sync::Arc<str> = unique("grown").into();
        topic_named(&cluster, NewTopic::new(&name, 2).config("segment.bytes", "2097152")).await;
        fill(&cluster, &name, 0..100).await;
        admin.create_partitions(&name, 5).await.unwrap();
        let fewer = admin.create_partitions(&name, 3).await.unwrap_err();
        assert_eq!(fewer.code(), Some(ErrorCode::InvalidPartitions));
        let topic = ConfigResource::Topic(name.to_string());
        let set = |name: &str, value: &str| ConfigOp::Set(name.to_owned(), value.to_owned());
        admin.alter_configs(&topic, &[set("retention.ms", "123456")]).await.unwrap();
        let odd = admin.alter_configs(&topic, &[set("retention.ms", "never")]).await.unwrap_err();
        assert_eq!(odd.code(), Some(ErrorCode::InvalidConfig));
        for restarted in [false, true] {
            if restarted {
                broker.restart().await;
            }
            let cluster = broker.cluster();
            let admin = Admin::new(&cluster);
            assert_eq!(admin.describe_topic(&name).await.unwrap().partition_count(), 5);
            let all = admin.describe_configs(&topic).await.unwrap();
            let value = |name: &str| {
                all.iter().find(|c| c.name == name).and_then(|c| c.value.clone()).unwrap_or_default()
            };
            assert_eq!(
                (value("retention.ms").as_str(), value("segment.bytes").as_str()),
                ("123456", "2097152")
            );
            assert_eq!(value("cleanup.policy"), "delete");
            assert_eq!(values(&cluster, &name, Isolation::ReadUncommitted).await, filled(0..100));
        }
    });
}

#[test]
fn deleted_records_stay_deleted() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        let cluster = broker.cluster();
        let name = millstream_testkit::records::topic(&cluster, 1).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name, 0).await;
        for i in 0..10 {
            raw.produce(&place, batch(&[&i.to_string()], Default::default()), 9).await;
        }
        let ask = |offset: i64| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: name.to_string(),
                partitions: vec![DeleteRecordsPartition { partition_index: 0, offset, ..Default::default() }],
                ..Default::default()
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let cases = [
            (0, 4, ErrorCode::None, 4),
            (1, 2, ErrorCode::None, 4),
            (2, 11, ErrorCode::OffsetOutOfRange, -1),
            (2, -7, ErrorCode::OffsetOutOfRange, -1),
            (2, 7, ErrorCode::None, 7),
        ];
        for (version, offset, error, low) in cases {
            let row = raw.call(&ask(offset), version).await.topics[0].partitions[0].clone();
            assert_eq!((code(row.error_code), row.low_watermark), (error, low), "{offset}");
        }
        for restarted in [false, true] {
            if restarted {
                broker.restart().await;
                raw = Raw::connect(broker.address()).await;
            }
            assert_eq!(code(raw.fetch(&place, 6, 17).await.error_code), ErrorCode::OffsetOutOfRange);
            assert_eq!(texts(&raw.fetch(&place, 7, 17).await), ["7", "8", "9"]);
            assert_eq!(crate::offsets::list(&mut raw, &place, -2, 0, 7).await, (-1, 7));
        }
        let row = raw.call(&ask(-1), 2).await.topics[0].partitions[0].clone();
        assert_eq!((code(row.error_code), row.low_watermark), (ErrorCode::None, 10));
        raw.produce(&place, batch(&["next"], Default::default()), 9).await;
        assert_eq!(texts(&raw.fetch(&place, 10, 17).await), ["next"]);
    });
}

#[test]
fn retention_by_size_removes_the_oldest_segments() {
    run(async {
        let broker = InProcess::start(&["log.retention.check.interval.ms=20"]).await;
        let cluster = broker.cluster();
        let name: std::sync::Arc<str> = unique("short").into();
        // By size alone: the records' times lie far back.
        let made = NewTopic::new(&name, 1)
            .config("segment.bytes", "1048576")
            .config("retention.bytes", "2000000")
            .config("retention.ms", "-1");
        topic_named(&cluster, made).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name, 0).await;
        let text = "x".repeat(500_000);
        for _ in 0..20 {
            raw.produce(&place, batch(&[&text], Default::default()), 9).await;
        }
        loop {
            let (_, start) = crate::offsets::list(&mut raw, &place, -2, 0, 7).await;
            if start >= 12 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(texts(&raw.fetch(&place, 19, 17).await), [text]);
    });
}
