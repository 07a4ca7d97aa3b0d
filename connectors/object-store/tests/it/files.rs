//! When files roll, how many are open, what is left behind, and what the settings refuse.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{Change, CrashPoints, Sink, SinkBatch, SinkError};
use millstream_object_store::{ObjectStoreSink, ObjectStoreSinkConfig, read_folder, schema};
use millstream_types::{Rng, SeededRng, TopicPartition};

use crate::faults::rows;
use crate::suite::files_in;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("unique", partition)
}

fn sink(root: &std::path::Path, clock: &Arc<HandClock>, more: &str, crash: CrashPoints) -> ObjectStoreSink {
    let config = format!(r#"{{"url":"lake","partition_by":["day(at)"]{more}}}"#);
    let config: ObjectStoreSinkConfig = serde_json::from_str(&config).unwrap();
    ObjectStoreSink::new(config, root, context(clock, crash)).unwrap()
}

fn batch(from: i64, n: i64) -> SinkBatch {
    SinkBatch::one_row_each(rows(from, n), Change::Upsert, from)
}

#[tokio::test]
async fn a_folder_is_read_back_as_others_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let count = || read_folder(&lake).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(count(), 0, "there is no folder");
    let mut sink = sink(folder.path(), &HandClock::new(0), "", CrashPoints::none());
    sink.open(&[tp(0)]).await.unwrap();
    sink.stage(&tp(0), batch(0, 5)).await.unwrap();
    assert_eq!(count(), 0, "nothing is committed");
    sink.commit(&[(tp(0), 5)].into()).await.unwrap();
    assert_eq!(count(), 5);
    std::fs::write(lake.join("broken.parquet"), "no such thing").unwrap();
    let error = read_folder(&lake).unwrap_err();
    assert!(error.to_string().contains("broken.parquet"), "{error}");
}

#[tokio::test]
async fn files_roll_by_interval_idleness_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let clock = HandClock::new(1_000_000);
    let roll = r#","roll":{"size":"20KiB","interval":"10m","idle":"2m"},"format":{"compression":"none"}"#;
    let mut sink = sink(folder.path(), &clock, roll, CrashPoints::none());
    sink.open(&[tp(0), tp(1)]).await.unwrap();
    sink.stage(&tp(0), batch(0, 3)).await.unwrap();
    assert_eq!(sink.due(1_000_000 + 119_999), []);
    assert_eq!(sink.due(1_000_000 + 120_000), [tp(0)], "idle");
    for minute in 1..10 {
        clock.advance(60_000);
        sink.stage(&tp(0), batch(minute * 3, 3)).await.unwrap();
        assert_eq!(sink.due(1_000_000 + minute * 60_000), []);
    }
    clock.advance(60_000);
    sink.stage(&tp(0), batch(30, 3)).await.unwrap();
    assert_eq!(sink.due(1_600_000), [tp(0)], "old");
    let mut rng = SeededRng::new(1);
    let noise: Vec<i64> = (0..20_000).map(|_| rng.next_u64() as i64).collect();
    let n = noise.len() as i64;
    let big = RecordBatch::try_new(
        rows(0, 1).schema(),
        vec![Arc::new(Int64Array::from(noise)), rows(0, 1).column(1).slice(0, 1)]
            .into_iter()
            .enumerate()
            .map(|(i, column)| {
                if i == 0 {
                    column
                } else {
                    arrow_select::concat::concat(&vec![column.as_ref(); n as usize]).unwrap()
                }
            })
            .collect(),
    )
    .unwrap();
    sink.stage(&tp(1), SinkBatch::one_row_each(big, Change::Upsert, 0)).await.unwrap();
    assert_eq!(sink.due(1_600_000), [tp(0), tp(1)], "large");
    sink.commit(&[(tp(0), 33), (tp(1), n)].into()).await.unwrap();
    assert_eq!(sink.due(9_000_000), []);
    let names: Vec<String> = files_in(&folder.path().join("lake")).into_iter().map(|file| file.0).collect();
    assert_eq!(names[0], "at_day=1970-01-01/unique-0-00000000000000000000-0000.parquet");
    assert_eq!(names.len(), 9 + 1, "{names:?}");
}

#[tokio::test]
async fn open_files_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path(), &HandClock::new(0), r#","max_open_files":2"#, CrashPoints::none());
    sink.open(&[tp(0), tp(1)]).await.unwrap();
    // 25 days at once, and then some of them again.
    sink.stage(&tp(0), batch(0, 100)).await.unwrap();
    sink.stage(&tp(1), batch(0, 8)).await.unwrap();
    sink.stage(&tp(0), batch(100, 1)).await.unwrap();
    sink.commit(&[(tp(0), 101), (tp(1), 8)].into()).await.unwrap();
    let names = files_in(&folder.path().join("lake"));
    assert_eq!(names.len(), 25 + 1 + 2);
}

#[tokio::test]
async fn a_new_schema_is_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let config: ObjectStoreSinkConfig = serde_json::from_str(r#"{"url":"lake"}"#).unwrap();
    let context = context(&HandClock::new(0), CrashPoints::none());
    let mut sink = ObjectStoreSink::new(config, folder.path(), context).unwrap();
    sink.open(&[tp(0)]).await.unwrap();
    sink.stage(&tp(0), batch(0, 2)).await.unwrap();
    let other = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    let other =
        RecordBatch::try_new(Arc::new(other), vec![Arc::new(Int64Array::from(vec![None, Some(1)]))]).unwrap();
    sink.stage(&tp(0), SinkBatch::one_row_each(other, Change::Upsert, 2)).await.unwrap();
    sink.stage(&tp(0), batch(4, 2)).await.unwrap();
    sink.commit(&[(tp(0), 6)].into()).await.unwrap();
    let names: Vec<String> = files_in(&folder.path().join("lake")).into_iter().map(|file| file.0).collect();
    let expected: Vec<String> = (0..3).map(|seq| format!("unique-0-{:020}-{seq:04}.parquet", 0)).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn what_a_dead_owner_put_aside_is_swept_when_nobody_can_commit_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = HandClock::new(0);
    let aside = folder.path().join("lake/_millstream/aside");
    let count = || std::fs::read_dir(&aside).unwrap().count();
    let mut dead = sink(folder.path(), &clock, "", CrashPoints::none());
    dead.open(&[tp(0)]).await.unwrap();
    dead.stage(&tp(0), batch(0, 8)).await.unwrap();
    drop(dead);
    assert_eq!(count(), 2);
    let mut next = sink(folder.path(), &clock, "", CrashPoints::none());
    next.open(&[tp(0)]).await.unwrap();
    assert_eq!(count(), 2, "it may only be slow");
    next.stage(&tp(0), batch(0, 4)).await.unwrap();
    next.commit(&[(tp(0), 4)].into()).await.unwrap();
    next.open(&[tp(0)]).await.unwrap();
    assert_eq!(count(), 0, "its offset is taken");
    // Let go in good order: nothing stays.
    next.stage(&tp(0), batch(4, 4)).await.unwrap();
    assert_eq!(count(), 1);
    next.close(&[tp(0)]).await.unwrap();
    assert_eq!(count(), 0);
}

#[tokio::test]
async fn many_commits_are_found_from_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    let clock = HandClock::new(0);
    let mut sink = sink(folder.path(), &clock, "", CrashPoints::none());
    sink.open(&[tp(0)]).await.unwrap();
    for i in 0..130 {
        sink.stage(&tp(0), batch(i, 1)).await.unwrap();
        sink.commit(&[(tp(0), i + 1)].into()).await.unwrap();
    }
    let own = folder.path().join("lake/_millstream/suite/under_test/unique-0");
    let floor = std::fs::read_to_string(own.join("floor")).unwrap();
    assert_eq!(floor, format!("unique-0-{:020}", 127));
    assert_eq!(sink.open(&[tp(0)]).await.unwrap()[&tp(0)], Some(130));
    // Entries are never deleted: the oldest is still a fence.
    assert!(own.join(format!("unique-0-{:020}", 0)).exists());
}

#[tokio::test]
async fn what_the_settings_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let make = |json: &str| {
        let config = serde_json::from_str(json).unwrap();
        ObjectStoreSink::new(config, folder.path(), context(&HandClock::new(0), CrashPoints::none()))
    };
    for (json, said) in [
        (r#"{"url":"ftp://a/b"}"#, "none of s3 and file"),
        (r#"{"url":"file://a/b"}"#, "three slashes"),
        (r#"{"url":"s3:///b"}"#, "no bucket"),
        (r#"{"url":"a","partition_by":["week(at)"]}"#, "neither a column nor"),
    ] {
        match make(json) {
            Err(SinkError::Setup(what)) => assert!(what.contains(said), "{what}"),
            Err(other) => panic!("{json}: {other}"),
            Ok(_) => panic!("{json} was taken"),
        }
    }
    let mut sink = make(r#"{"url":"a","partition_by":["day(n)"]}"#).unwrap();
    sink.open(&[tp(0)]).await.unwrap();
    assert!(matches!(sink.stage(&tp(0), batch(0, 1)).await, Err(SinkError::Setup(_))));
    for (json, said) in [
        (r#"{"url":"a","part_size":"1MiB"}"#, "5MiB to"),
        (r#"{"url":"a","roll":{"sizes":"1MiB"}}"#, "unknown field `sizes`"),
        (r#"{"url":"a","format":{"type":"orc"}}"#, "parquet"),
    ] {
        let error = serde_json::from_str::<ObjectStoreSinkConfig>(json).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let fields = schema().fields;
    assert!(fields.iter().any(|field| field.name == "roll"));
}
