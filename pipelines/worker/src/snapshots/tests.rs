//! A store as snapshots use it: what is told of one that refuses, and of objects that are not what was written.

use std::collections::BTreeMap;

use millstream_connector::async_trait;
use millstream_engine::state::snapshots::{SnapshotMark, Stored};
use millstream_types::TopicPartition;

use super::*;
use crate::savepoint::place::tests::Memory;

fn snapshots(objects: impl Objects + 'static, takes: bool) -> Snapshots {
    Snapshots::new(Box::new(objects), "memory", takes, Duration::from_secs(60))
}

/// Writes a snapshot of key groups, by the values that they have; the mark that is to name it.
pub(crate) async fn written(
    snapshots: &Snapshots,
    operator: &str,
    (at, topic_id): (&TopicPartition, &str),
    (covers, now_ms): (i64, i64),
    groups: BTreeMap<u32, Vec<Bytes>>,
) -> SnapshotMark {
    let folder = super::folder(at, topic_id);
    let numbers: Vec<u32> = groups.keys().copied().collect();
    let mut parts = Vec::new();
    for object in object::pack(groups, now_ms) {
        snapshots.write(&folder, &object.part.object, object.content).await.unwrap();
        parts.push(object.part);
    }
    let manifest = Manifest::of(object::Content {
        operator,
        topic: &at.topic,
        partition: at.partition as u32,
        covers,
        made_at_ms: now_ms,
        groups: numbers.clone(),
        marks: &[],
        parts,
        retired: BTreeMap::new(),
    });
    let (name, content) = manifest.encode();
    snapshots.write(&folder, &name, content).await.unwrap();
    let stored = Stored { manifest: format!("{folder}/{name}"), location: snapshots.url().to_owned() };
    SnapshotMark { offset: covers, groups: numbers, stored: Some(stored) }
}

/// A store that says no.
struct Refusing;

#[async_trait]
impl Objects for Refusing {
    async fn create(&self, _: &str, _: &str, _: Bytes) -> Result<bool, SinkError> {
        Err(SinkError::Setup("AccessDenied".to_owned()))
    }
    async fn overwrite(&self, _: &str, _: &str, _: Bytes) -> Result<(), SinkError> {
        Err(SinkError::Setup("AccessDenied".to_owned()))
    }
    async fn read(&self, _: &str, _: &str) -> Result<Option<Bytes>, SinkError> {
        Ok(None)
    }
    async fn list(&self, _: &str) -> Result<Vec<String>, SinkError> {
        Ok(Vec::new())
    }
    async fn remove(&self, _: &str, _: &str) -> Result<(), SinkError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_is_tried_out_and_nothing_is_left() {
    let memory = Memory::default();
    snapshots(memory.clone(), true).try_out("a").await.unwrap();
    assert!(memory.0.lock().is_empty());
    let refused = snapshots(Refusing, true).try_out("a").await.unwrap_err().to_string();
    assert!(
        refused.contains("trying out `defaults.snapshots` at memory: ") && refused.contains("AccessDenied"),
        "{refused}"
    );
    // One that is only read need not be written to.
    snapshots(Refusing, false).try_out("a").await.unwrap();
}

#[tokio::test]
async fn what_is_read_is_what_was_written_or_is_told() {
    let memory = Memory::default();
    let store = snapshots(memory.clone(), true);
    let object =
        object::pack(std::collections::BTreeMap::from([(3, vec![Bytes::from_static(b"rows")])]), 7).remove(0);
    let name = object.part.object;
    store.write("f", &name, object.content.clone()).await.unwrap();
    // The answer was lost, and it is written again.
    store.write("f", &name, object.content.clone()).await.unwrap();
    assert_eq!(store.read("f", &name).await.unwrap(), object.content);
    let wrong = |unread: Unread| match unread {
        Unread::Wrong(wrong) => wrong,
        Unread::Store(error) => panic!("{error}"),
    };
    memory.0.lock().insert(("f".to_owned(), name.clone()), Bytes::from_static(b"rot"));
    let damaged = wrong(store.read("f", &name).await.unwrap_err());
    assert!(damaged.what.contains("is damaged: its 3 bytes") && !damaged.is_missing, "{damaged:?}");
    memory.0.lock().clear();
    assert!(wrong(store.read("f", &name).await.unwrap_err()).is_missing);
}
