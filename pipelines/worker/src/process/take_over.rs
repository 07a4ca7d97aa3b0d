//! Key groups that come and go. What comes is read from the changelogs beside the work on what is here, a part of the
//! groups at a time, and each part is begun as soon as it is restored; what goes is committed first. Never enters: what
//! state is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_client::ConsumerHandle;
use millstream_model::KeyGroup;
use millstream_types::{MemoryClaim, TopicPartition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Driver;
use super::commit::MaySnapshot;
use crate::error::WorkerError;
use crate::restore::{self, Fetched};

/// How many parts are read at once; each is in memory whole until it is restored.
const AT_ONCE: usize = 2;

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
    fetched: Result<Fetched, WorkerError>,
    _room: Option<OwnedSemaphorePermit>,
    _memory: MemoryClaim,
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
            return self.begin(consumer, Fetched::none(found));
        }
        for groups in restore::parts(&found, self.changelogs.topics()) {
            let number = self.restoring.next;
            self.restoring.next += 1;
            self.restoring.begun.extend(groups.iter().map(|group| (*group, number)));
            let (cluster, room) = (Arc::clone(&self.context.cluster), Arc::clone(&self.restoring.room));
            let topics = self.changelogs.topics().clone();
            let memory = self.context.memory.claim("restored");
            self.restoring.readings.spawn(async move {
                let room = room.acquire_owned().await.ok();
                let fetched = restore::fetch(&cluster, &topics, groups).await;
                memory.set(fetched.as_ref().map_or(0, |fetched| fetched.bytes));
                Reading { number, fetched, _room: room, _memory: memory }
            });
        }
        // One at a time: what is here already goes on in between.
        let Some(read) = self.restoring.readings.try_join_next() else { return Ok(()) };
        let reading = read.map_err(|error| WorkerError::Fatal(format!("reading changelogs: {error}")))?;
        let waits = |group: &u32| self.restoring.begun.get(group) == Some(&reading.number);
        if !self.restoring.begun.keys().any(waits) {
            // All of it was given up meanwhile; whether it could be read is nobody's concern.
            return Ok(());
        }
        let mut fetched = reading.fetched?;
        fetched.groups.retain(waits);
        self.restoring.begun.retain(|_, of| *of != reading.number);
        self.begin(consumer, fetched)
    }

    /// Restores key groups, and reads on behind their positions.
    fn begin(&mut self, consumer: &ConsumerHandle, fetched: Fetched) -> Result<(), WorkerError> {
        let groups = fetched.groups.clone();
        if groups.is_empty() {
            return Ok(());
        }
        let now = self.now();
        fetched.restore(&mut self.stage, &mut self.changelogs, now)?;
        let setup = Arc::clone(&self.setup);
        let all: Vec<TopicPartition> = groups.iter().flat_map(|group| setup.partitions(*group)).collect();
        self.coming.retain(|partition| !groups.contains(&(partition.partition as u32)));
        self.owned.extend(groups);
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
        self.stage.revoke(gone)?;
        self.note_state()?;
        Ok(())
    }
}
