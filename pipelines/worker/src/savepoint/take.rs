//! Taking a savepoint: what a pipeline that stands still keeps is read, and written to a place. Nothing of the pipeline is changed.
//! Never enters: putting it back (`put_back.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_client::{Admin, Cluster, OutOfRange, RecordRef};
use millstream_engine::state::ChangelogEntry;
use millstream_plan::Lock;
use millstream_types::TopicPartition;

use super::content::{Naming, Writer};
use super::manifest::{Content, Kind, Manifest, Reader, SavedPartition, SavedTopic, check_name};
use super::place::{IfThere, Place};
use super::still;
use super::subject::{Subject, all_of};
use crate::error::WorkerError;
use crate::positions;
use crate::restore::{self, BEGINS, ToEnds, is_of_other_definition};
use crate::snapshots::Snapshots;
use crate::snapshots::reading::{Layered, Marked, groups_of};

/// How a savepoint is taken.
#[derive(Clone, Copy, Debug)]
pub struct TakeOptions {
    /// What becomes of one that has the name.
    pub if_there: IfThere,
    /// How long to wait for the pipeline to stand still.
    pub wait: Duration,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// A number that no other creation has.
    pub attempt: u64,
}

/// Takes a savepoint of a pipeline that stands still. What of its state is in a store of snapshots is copied from there.
pub async fn take(
    subject: Subject<'_>,
    cluster: &Arc<Cluster>,
    place: &Place,
    (name, snapshots): (&str, Option<&Arc<Snapshots>>),
    options: TakeOptions,
) -> Result<Manifest, WorkerError> {
    check_name(name).map_err(WorkerError::Setup)?;
    if options.if_there == IfThere::Refuse && place.find(name).await?.is_some() {
        return Err(place.is_there(name));
    }
    let there = Admin::new(cluster).list_topics().await?;
    has_run(subject, |topic| there.get(topic).map(|topic| topic.partition_count() as u32))?;
    if let Some(other) = positions::restoring(cluster, &subject.positions()).await? {
        return Err(super::half_restored(&subject.job.pipeline, &other));
    }
    let copied = subject.copied(|_| true);
    let ends = still::wait(cluster, subject.job, &copied, options.wait).await?;
    let mut naming = Naming::new(name, options.attempt);
    let mut state = BTreeMap::new();
    let marked = Marked::new(subject.positions(), snapshots.cloned());
    for (operator, (topic, partitions)) in subject.changelogs() {
        let from = part(&ends, &topic, partitions);
        let counts = (subject.key_groups_of(&operator), partitions);
        let groups = groups_of(from.keys().cloned(), counts);
        let mut layers = marked.layers(cluster, &operator, &groups).await?;
        let of = (operator.as_str(), &from, &mut layers, options.now_ms);
        let found = changelog(cluster, place, &mut naming, of).await?;
        state.insert(operator, found);
    }
    let topic = subject.positions();
    let partitions = subject.job.topics.get(topic.as_ref()).map_or(1, |topic| topic.partitions);
    let stored = kept(cluster, &part(&ends, &topic, partitions)).await?;
    let positions = write_positions(place, &mut naming, &stored).await?;
    let mut topics = Vec::new();
    for (topic, id, kind, partitions) in subject.read() {
        let broker_id = there.get(&topic).map(|topic| topic.id.to_string()).unwrap_or_default();
        let (partitions, content) =
            read_topic(subject, cluster, (place, &mut naming), (&topic, kind, partitions)).await?;
        topics.push(SavedTopic { id, name: topic.to_string(), broker_id, kind, partitions, content });
    }
    // Whoever was begun meanwhile has committed something, or is a member.
    let now = still::wait(cluster, subject.job, &copied, Duration::ZERO).await?;
    if now != ends {
        return Err(WorkerError::Setup(format!(
            "pipeline {} was run while its savepoint was taken; stop it, and take it again",
            subject.job.pipeline
        )));
    }
    let manifest = Manifest {
        name: name.to_owned(),
        pipeline: subject.job.pipeline.clone(),
        taken_at_ms: options.now_ms,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan: Lock::of(subject.job).to_string(),
        state,
        positions,
        topics,
    };
    place.publish(&manifest, options.if_there).await?;
    Ok(manifest)
}

/// Refuses a pipeline that has not run as its file is now.
fn has_run(subject: Subject<'_>, partitions: impl Fn(&str) -> Option<u32>) -> Result<(), WorkerError> {
    for topic in subject.job.topics.values() {
        let why = match partitions(&topic.name) {
            None => "which is not there".to_owned(),
            Some(found) if found != topic.partitions => format!("which has {found} partitions"),
            Some(_) => continue,
        };
        return Err(WorkerError::Setup(format!(
            "pipeline {} has not run as its file says now: it has the topic {} of {} partitions, {why}. A savepoint is taken of a pipeline that \
             has run; take it with the file as it ran",
            subject.job.pipeline, topic.name, topic.partitions
        )));
    }
    Ok(())
}

/// A topic's part of what is known of partitions.
fn part(
    ends: &BTreeMap<TopicPartition, i64>,
    topic: &Arc<str>,
    partitions: u32,
) -> BTreeMap<TopicPartition, i64> {
    let of = all_of(topic, partitions).into_iter();
    of.filter_map(|at| ends.get(&at).map(|end| (at, *end))).collect()
}

/// Copies what an operator keeps. What it kept in another definition means nothing to this one.
async fn changelog(
    cluster: &Arc<Cluster>,
    place: &Place,
    naming: &mut Naming,
    (operator, ends, layers, now_ms): (
        &str,
        &BTreeMap<TopicPartition, i64>,
        &mut BTreeMap<TopicPartition, Layered>,
        i64,
    ),
) -> Result<Content, WorkerError> {
    // First where each partition begins: what lies before the last beginning is void.
    let mut begins: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut own, mut others) = (0u64, 0u64);
    restore::read_until(cluster, ends, |partition, record| {
        let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
        if record.key == Some(BEGINS) {
            begins.insert(partition, record.offset + 1);
            (own, others) = (0, 0);
        } else if is_of_other_definition(operator, &value) {
            others += 1;
        } else if !matches!(ChangelogEntry::decode(&value), Ok(ChangelogEntry::Watermarks { .. })) {
            own += 1;
        }
        Ok(())
    })
    .await?;
    let is_stored = layers.values().any(|layered| layered.is_ours);
    if own == 0 && others > 0 && !is_stored {
        return Err(WorkerError::Setup(format!(
            "operator {operator} has state of another definition alone: the file was edited and has not run since. Take the savepoint \
             with the file as it ran, or run it first"
        )));
    }
    let mut writer = Writer::default();
    let mut wanted = restore::consumer(cluster, OutOfRange::Nearest)?;
    wanted.assign(ends.iter().filter(|(_, end)| **end > 0).map(|(at, _)| at.clone())).await?;
    // What lies before a snapshot in the store is in it.
    for (at, from) in layers.iter().filter_map(|(at, layered)| Some((at, layered.from?))) {
        let begin = begins.entry(at.partition).or_default();
        *begin = from.max(*begin);
    }
    for (partition, from) in &begins {
        if let Some((at, _)) = ends.iter().find(|(at, end)| at.partition == *partition && **end > 0) {
            wanted.seek(at, *from)?;
        }
    }
    let stored = |writer: &mut Writer, partition: i32, values: Vec<Bytes>| {
        values.into_iter().try_for_each(|value| {
            let record = RecordRef { timestamp: now_ms, value: Some(&value), ..RecordRef::default() };
            writer.append(partition as u32, &record)
        })
    };
    let mut reading = ToEnds::new(ends);
    while let Some(records) = reading.next(&mut wanted).await? {
        for part in &records.partitions {
            let mut layered = layers.get_mut(&part.partition);
            for record in part.records() {
                let record = record?;
                if let Some(layered) = &mut layered {
                    stored(&mut writer, part.partition.partition, layered.before(record.offset))?;
                }
                let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                let is_before =
                    begins.get(&part.partition.partition).is_some_and(|from| record.offset < *from);
                if !is_before && !is_of_other_definition(operator, &value) {
                    writer.take(part.partition.partition as u32, &record)?;
                }
            }
        }
        writer.flush(place, naming).await?;
    }
    wanted.close().await?;
    for (at, layered) in layers.iter_mut() {
        stored(&mut writer, at.partition, layered.before(i64::MAX))?;
        writer.flush(place, naming).await?;
    }
    writer.finish(place, naming).await
}

/// What the positions topic keeps, by partition and key.
pub(super) type Kept = BTreeMap<(u32, Bytes), (i64, Bytes)>;

/// Of the positions topic what is to be kept: not the marks of runs, nor those of snapshots, which name offsets.
pub(super) async fn kept(
    cluster: &Arc<Cluster>,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Result<Kept, WorkerError> {
    let mut found = all_kept(cluster, ends).await?;
    found.retain(|(_, key), _| positions::is_position(key));
    Ok(found)
}

/// All that the positions topic keeps.
pub(super) async fn all_kept(
    cluster: &Arc<Cluster>,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Result<Kept, WorkerError> {
    let mut found = Kept::new();
    restore::read_until(cluster, ends, |partition, record| {
        let key = (partition as u32, Bytes::copy_from_slice(record.key.unwrap_or_default()));
        match record.value {
            Some(value) => found.insert(key, (record.timestamp, Bytes::copy_from_slice(value))),
            None => found.remove(&key),
        };
        Ok(())
    })
    .await?;
    Ok(found)
}

async fn write_positions(place: &Place, naming: &mut Naming, stored: &Kept) -> Result<Content, WorkerError> {
    let mut writer = Writer::default();
    for ((partition, key), (timestamp, value)) in stored {
        let record = RecordRef { timestamp: *timestamp, key: Some(key), value: Some(value), headers: &[] };
        writer.append(*partition, &record)?;
        writer.flush(place, naming).await?;
    }
    writer.finish(place, naming).await
}

/// Notes where stages stand in a topic, and copies what they have not read, where the pipeline writes it.
async fn read_topic(
    subject: Subject<'_>,
    cluster: &Arc<Cluster>,
    (place, naming): (&Place, &mut Naming),
    (topic, kind, partitions): (&Arc<str>, Kind, u32),
) -> Result<(Vec<SavedPartition>, Content), WorkerError> {
    let all = all_of(topic, partitions);
    let starts = restore::starts(cluster, &all).await?;
    let ends = restore::ends(cluster, &all).await?;
    let admin = Admin::new(cluster);
    let mut saved: Vec<SavedPartition> = Vec::new();
    for at in &all {
        let told = |of: &BTreeMap<TopicPartition, i64>| of.get(at).copied();
        let (Some(_), Some(end)) = (told(&starts), told(&ends)) else {
            return Err(WorkerError::Transient(format!(
                "asking where {at} begins and ends: it was not told"
            )));
        };
        saved.push(SavedPartition { end, readers: BTreeMap::new() });
    }
    for stage in subject.readers(topic) {
        let committed = admin.list_group_offsets(&stage.group_id, Some(&all)).await?;
        for (at, saved) in all.iter().zip(&mut saved) {
            let start = starts.get(at).copied().unwrap_or(0);
            // Who has never been there begins with what there is.
            let offset = committed.get(at).map_or(start, |committed| committed.offset);
            // What is gone of the pipeline's own was read, or is lost already.
            let offset = if kind == Kind::Outside { offset } else { offset.max(start) };
            saved.readers.insert(stage.id.clone(), Reader { offset, before: 0 });
        }
    }
    if kind == Kind::Outside {
        return Ok((saved, Content::default()));
    }
    let mut froms = BTreeMap::new();
    for (at, saved) in all.iter().zip(&saved) {
        let from = saved.readers.values().map(|reader| reader.offset).min();
        froms.extend(from.filter(|from| *from < saved.end).map(|from| (at.clone(), from)));
    }
    let ends: BTreeMap<TopicPartition, i64> =
        ends.into_iter().filter(|(at, _)| froms.contains_key(at)).collect();
    let content = in_flight(cluster, (place, naming), (&froms, &ends), &mut saved).await?;
    Ok((saved, content))
}

/// Copies what lies between offsets and ends, and notes how many records lie before each reader.
async fn in_flight(
    cluster: &Arc<Cluster>,
    (place, naming): (&Place, &mut Naming),
    (froms, ends): (&BTreeMap<TopicPartition, i64>, &BTreeMap<TopicPartition, i64>),
    saved: &mut [SavedPartition],
) -> Result<Content, WorkerError> {
    let mut writer = Writer::default();
    if froms.is_empty() {
        return Ok(Content::default());
    }
    // Where readers stand, of each partition, in order; those that a record has passed are gone.
    let mut stands: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for at in froms.keys() {
        let readers = saved[at.partition as usize].readers.values();
        stands.insert(at.partition, readers.map(|reader| reader.offset).collect());
    }
    let mut consumer = restore::consumer(cluster, OutOfRange::Fail)?;
    consumer.assign(froms.keys().cloned()).await?;
    froms.iter().try_for_each(|(at, from)| consumer.seek(at, *from))?;
    let mut reading = ToEnds::new(ends);
    while let Some(records) = reading.next(&mut consumer).await? {
        for part in &records.partitions {
            let partition = part.partition.partition;
            for record in part.records() {
                let record = record?;
                if froms.get(&part.partition).is_none_or(|from| record.offset < *from) {
                    continue;
                }
                // Those for whom this is the first record.
                let begin = stands.get_mut(&partition).map(|stands| {
                    let behind = stands.split_off(&(record.offset + 1));
                    std::mem::replace(stands, behind)
                });
                let begin = begin.unwrap_or_default();
                if !begin.is_empty() {
                    writer.cut(partition as u32)?;
                    let before = writer.count(partition as u32);
                    let readers = saved[partition as usize].readers.values_mut();
                    readers
                        .filter(|reader| begin.contains(&reader.offset))
                        .for_each(|reader| reader.before = before);
                }
                writer.take(partition as u32, &record)?;
            }
        }
        writer.flush(place, naming).await?;
    }
    consumer.close().await?;
    // Who stands behind the last record.
    for at in froms.keys() {
        let partition = &mut saved[at.partition as usize];
        let left = stands.remove(&at.partition).unwrap_or_default();
        let all = writer.count(at.partition as u32);
        for reader in partition.readers.values_mut().filter(|reader| left.contains(&reader.offset)) {
            reader.before = all;
        }
    }
    writer.finish(place, naming).await
}
