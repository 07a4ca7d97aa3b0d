//! Key groups that come and go. What comes is read from the changelogs beside the work on what is here, a part of the
//! groups at a time, and each part is begun as soon as it is restored; what goes is committed first. Never enters: what
//! state is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Cluster, ConsumerHandle};
use millstream_engine::state::copy::{CopiedPart, Place};
use millstream_model::KeyGroup;
use millstream_types::{MemoryClaim, TopicPartition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Driver;
use super::commit::MaySnapshot;
use crate::error::WorkerError;
use crate::restore::{self, Fetched};
use crate::snapshots::reading::Marked;
use crate::standby::Held;

/// How many parts are read at once; each is in memory whole until it is restored.
const AT_ONCE: usize = 2;

/// For how long key groups are taken over before what is here goes on.
const AT_A_TIME: Duration = Duration::from_millis(100);

/// What is being read of changelogs.
pub(super) struct Restoring {
    /// The reading that each key group waits for. One that was given up meanwhile waits for none: what is read of it is old.
    begun: BTreeMap<u32, u64>,
    next: u64,
    readings: JoinSet<Reading>,
    room: Arc<Semaphore>,
}

/// What was read, with the room and the memory that it takes until it is restored.
struct Reading {
    number: u64,
    came: Result<Came, WorkerError>,
    _room: Option<OwnedSemaphorePermit>,
    _memory: MemoryClaim,
}

/// State of key groups, on its way to the stage.
enum Came {
    /// Read from the changelogs.
    Read(Fetched),
    /// From a copy that was here; and which of its key groups a store has, by the partition of their changelog.
    Copied(CopiedPart, BTreeMap<Place, BTreeSet<u32>>),
}

impl Came {
    fn bytes(&self) -> u64 {
        match self {
            Came::Read(fetched) => fetched.bytes,
            Came::Copied(part, _) => part.bytes().values().sum::<usize>() as u64,
        }
    }

    fn retain(&mut self, waits: impl Fn(&u32) -> bool) {
        match self {
            Came::Read(fetched) => fetched.groups.retain(waits),
            Came::Copied(part, stored) => {
                stored.values_mut().for_each(|groups| groups.retain(&waits));
                part.retain(waits);
            }
        }
    }
}

impl Restoring {
    /// Nothing is being read.
    pub(super) fn new() -> Restoring {
        Restoring {
            begun: BTreeMap::new(),
            next: 0,
            readings: JoinSet::new(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Whether key groups wait to be restored.
    pub(super) fn is_busy(&self) -> bool {
        !self.begun.is_empty()
    }
}

/// Which of these key groups have state in a store, by the partition of their changelog.
async fn stored(
    cluster: &Arc<Cluster>,
    topics: &BTreeMap<String, (Arc<str>, u32)>,
    groups: &BTreeSet<u32>,
    marked: &Marked,
) -> Result<BTreeMap<Place, BTreeSet<u32>>, WorkerError> {
    let mut found = BTreeMap::new();
    for (operator, of) in topics {
        let stored = marked.stored(cluster, &restore::partitions_of(groups, of)).await?;
        let by_place = stored.into_iter().map(|(at, of)| ((operator.clone(), at.partition as u32), of));
        found.extend(by_place);
    }
    Ok(found)
}

impl Driver {
    /// Begins to restore the key groups of which all partitions came, and takes over what has been read.
    pub(super) fn take_over(&mut self, consumer: &ConsumerHandle) -> Result<(), WorkerError> {
        let setup = Arc::clone(&self.setup);
        let is_new = |group: &u32| {
            !self.restoring.begun.contains_key(group)
                && setup.partitions(*group).all(|p| self.coming.contains(&p))
        };
        let found: BTreeSet<u32> = self.coming.iter().map(|p| p.partition as u32).filter(is_new).collect();
        if self.changelogs.topics().is_empty() {
            return self.begin(consumer, Came::Read(Fetched::none(found)));
        }
        let marked = self.changelogs.marked();
        let parts = restore::parts(&found, self.changelogs.topics()).into_iter().flat_map(|groups| {
            // What there is a copy of comes from it, the rest is read.
            let copied = self.standby.covers(&groups);
            let read: BTreeSet<u32> = groups.difference(&copied).copied().collect();
            [(copied, true), (read, false)]
        });
        let parts: Vec<(BTreeSet<u32>, bool)> = parts.filter(|(groups, _)| !groups.is_empty()).collect();
        for (groups, is_copied) in parts {
            let copy = is_copied.then(|| self.standby.take(groups.clone()));
            let number = self.restoring.next;
            self.restoring.next += 1;
            self.restoring.begun.extend(groups.iter().map(|group| (*group, number)));
            let (cluster, room) = (Arc::clone(&self.context.cluster), Arc::clone(&self.restoring.room));
            let (topics, marked) = (self.changelogs.topics().clone(), marked.clone());
            let memory = self.context.memory.claim("restored");
            self.restoring.readings.spawn(async move {
                let copied = match copy {
                    // One that cannot be trusted does not come.
                    Some(copy) => copy.await.ok(),
                    None => None,
                };
                let (came, room) = match copied {
                    Some(part) => {
                        let stored = stored(&cluster, &topics, part.groups(), &marked).await;
                        (stored.map(|stored| Came::Copied(part, stored)), None)
                    }
                    None => {
                        let room = room.acquire_owned().await.ok();
                        (restore::fetch(&cluster, &topics, groups, &marked).await.map(Came::Read), room)
                    }
                };
                memory.set(came.as_ref().map_or(0, Came::bytes));
                Reading { number, came, _room: room, _memory: memory }
            });
        }
        // Some at a time: what is here already goes on in between.
        let began = Instant::now();
        while began.elapsed() < AT_A_TIME
            && let Some(read) = self.restoring.readings.try_join_next()
        {
            self.take_read(consumer, read)?;
        }
        Ok(())
    }

    /// Takes over what was read for key groups that still wait for it.
    fn take_read(
        &mut self,
        consumer: &ConsumerHandle,
        read: Result<Reading, tokio::task::JoinError>,
    ) -> Result<(), WorkerError> {
        let reading = read.map_err(|error| WorkerError::Fatal(format!("reading changelogs: {error}")))?;
        let waits = |group: &u32| self.restoring.begun.get(group) == Some(&reading.number);
        if !self.restoring.begun.keys().any(waits) {
            // All of it was given up meanwhile; whether it could be read is nobody's concern.
            return Ok(());
        }
        let mut came = reading.came?;
        came.retain(waits);
        self.restoring.begun.retain(|_, of| *of != reading.number);
        self.begin(consumer, came)
    }

    /// Says which key groups are here or are coming.
    pub(super) fn tell_standby(&self, consumer: &ConsumerHandle) {
        let coming = self.coming.iter().map(|partition| partition.partition as u32).collect();
        let member = consumer.group_metadata().ok().map(|member| member.member_id.to_string());
        self.standby.holds(Held { owned: self.owned.clone(), coming, member });
    }

    /// Restores key groups, and reads on behind their positions.
    fn begin(&mut self, consumer: &ConsumerHandle, came: Came) -> Result<(), WorkerError> {
        let groups = match &came {
            Came::Read(fetched) => fetched.groups.clone(),
            Came::Copied(part, _) => part.groups().clone(),
        };
        if groups.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let (began, count, bytes) = (Instant::now(), groups.len() as u64, came.bytes());
        let is_copied = matches!(came, Came::Copied(..));
        match came {
            Came::Read(fetched) => fetched.restore(&mut self.stage, &mut self.changelogs, now)?,
            // It holds state, and hardly any changes: it is no reason to write that anew.
            Came::Copied(part, stored) => {
                for ((operator, partition), groups) in stored {
                    self.changelogs.read_stored(&operator, partition, (0, groups));
                }
                self.stage.take_up(part, now)?;
            }
        }
        tracing::debug!(
            stage = %self.context.stage, key_groups = count, is_copied, bytes,
            ms = began.elapsed().as_millis(), "took key groups over"
        );
        self.context.progress.update(&self.context.stage, |figures| {
            *(if is_copied { &mut figures.groups_copied } else { &mut figures.groups_read }) += count;
        });
        let setup = Arc::clone(&self.setup);
        let all: Vec<TopicPartition> = groups.iter().flat_map(|group| setup.partitions(*group)).collect();
        self.resume(&groups, now);
        self.coming.retain(|partition| !groups.contains(&(partition.partition as u32)));
        self.owned.extend(groups);
        self.tell_standby(consumer);
        self.note_state()?;
        consumer.resume(&all);
        Ok(())
    }

    /// Commits, and lets go of partitions.
    pub(super) async fn give_up(
        &mut self,
        consumer: &ConsumerHandle,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), WorkerError> {
        self.commit(consumer, MaySnapshot::No).await?;
        let setup = Arc::clone(&self.setup);
        let mut gone = Vec::new();
        for partition in partitions {
            let group = partition.partition as u32;
            self.finished.retain(|(_, of)| *of != group);
            self.restoring.begun.remove(&group);
            if !self.owned.remove(&group) {
                self.coming.remove(partition);
                continue;
            }
            gone.push(KeyGroup(group));
            // What is left of it waits for the rest to come back, or to be given up too.
            let left: Vec<TopicPartition> =
                setup.partitions(group).filter(|other| !partitions.contains(other)).collect();
            consumer.pause(&left);
            self.coming.extend(left);
        }
        self.changelogs.revoked(&gone);
        // Its state, which may be large, goes when others need not wait for it any more.
        self.stage.close(gone);
        self.tell_standby(consumer);
        self.note_state()?;
        Ok(())
    }
}
