//! One node: what the server's threads do, one step at a time, by whoever calls. Each actor (a directory's flusher, the
//! controller, the two coordinators, housekeeping) has a queue and a step of its own, so that the simulator may order
//! them as it likes. Everything that decides, and the log, is the real thing; what is written anew here is the order of
//! steps, after the server's files of the same names. Never enters: what clients want, what may be believed of answers.

mod controller;
mod coordinator_log;
mod groups;
mod metadata_log;
mod partition;
mod replicas;
mod txns;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use millstream_disk::Disk;
use millstream_disk::faulty::{Faults, Faulty};
use millstream_disk::sim::SimDisk;
use millstream_log::{DirIdentity, FlushTicket, Log, LogConfig, LogDir, flush_all};
use millstream_metadata::MetadataImage;
use millstream_replica::FlushMode;
use millstream_types::topic::CONSUMER_OFFSETS;
use millstream_types::{Clock, ErrorCode, Millis, NodeId, Offset, Rng, SeededRng, TopicPartition, Uuid};

use crate::clock::SimClock;
use crate::plant::Bug;
pub use controller::ControlRequest;
pub use groups::caller;
pub use partition::{Fetched, Partition, Place};
pub use txns::{MarkerPlace, Produce};

/// This node's id.
pub const ME: NodeId = NodeId(1);
/// Partitions of each coordinator's topic.
pub const SHARDS: i32 = 2;
/// How long what could not be done waits before it is tried again.
const RETRY_MS: Millis = 100;

/// The node cannot go on: its metadata log's disk refuses, or holds what it should not.
#[derive(Clone, Debug)]
pub struct Stopped(pub String);

/// Who waits at a partition.
#[derive(Clone, Debug)]
pub enum Waiter {
    /// A client's produce.
    Produce(Box<Awaited>),
    /// The group coordinator's shard.
    GroupShard(i32),
    /// The transaction coordinator's shard.
    TxnShard(i32),
    /// A marker.
    Marker(Box<MarkerPlace>),
    /// The loading of a shard whose partition does not serve yet (RP-4).
    Lead(Place, i32),
}

/// A produce that was appended and waits.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// The client's name for it.
    pub op: u64,
    /// The partition.
    pub place: Place,
    /// The first record's offset.
    pub base_offset: Offset,
    /// Where it ends.
    pub end_offset: Offset,
    /// Whether it was there before.
    pub duplicate: bool,
}

/// An answer that leaves the node.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Of a produce: the first offset, and whether it was there before.
    Produce(u64, Result<(Offset, bool), ErrorCode>),
    /// Of the group coordinator.
    Group(u64, Box<millstream_group::Answer>),
    /// Of the transaction coordinator.
    Txn(u64, millstream_txn::Answer),
    /// Of the controller; the code of the one topic that was asked for.
    Control(u64, ErrorCode),
}

type Effects = partition::Effects<Waiter>;

#[derive(Default)]
struct FlushQueue {
    now: Vec<Place>,
    later: Vec<Place>,
    next_interval: Millis,
    in_flight: Option<(Vec<Place>, Vec<FlushTicket>)>,
}

/// What can take a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A directory's flusher.
    Flusher(usize),
    /// The controller.
    Controller,
    /// The group coordinator.
    Groups,
    /// The transaction coordinator.
    Txns,
    /// Retention, checkpoints, compaction.
    Housekeeping,
}

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The log directories.
    pub dirs: usize,
    /// For what the node itself leaves to chance.
    pub seed: u64,
    /// A planted bug.
    pub plant: Option<Bug>,
}

/// What a node did that a run counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Segments that retention took away.
    pub retained: u64,
    /// Compactions put in place.
    pub compacted: u64,
    /// Snapshots of the metadata.
    pub snapshots: u64,
    /// Markers that were written.
    pub markers: u64,
    /// Markers that were there before.
    pub markers_repeated: u64,
    /// Markers tried again.
    pub markers_retried: u64,
    /// Flushes that failed.
    pub flushes_failed: u64,
    /// Flushes of more than one partition.
    pub flushed_together: u64,
    /// Shards that went back to their log because an append failed.
    pub reloads: u64,
    /// Shards that had to wait until their log was served.
    pub loads_waited: u64,
    /// Logs of earlier topics of a name that were in the way at a start.
    pub in_the_way: u64,
}

/// See the module.
pub struct Node {
    clock: Arc<SimClock>,
    rng: SeededRng,
    plant: Option<Bug>,
    dirs: Vec<LogDir>,
    /// Faults to plan, for each directory.
    pub faults: Vec<Faults>,
    partitions: BTreeMap<Place, Partition<Waiter>>,
    names: BTreeMap<Arc<str>, Uuid>,
    found: BTreeMap<TopicPartition, (usize, Log)>,
    doomed: Vec<(Millis, usize, PathBuf)>,
    next_dir: usize,
    flush: Vec<FlushQueue>,
    fx: Effects,
    image: Arc<MetadataImage>,
    control: controller::Task,
    groups: groups::Task,
    txns: txns::Task,
    housekeeping: Housekeeping,
    /// Answers that leave.
    pub replies: Vec<Reply>,
    /// What happened.
    pub counts: Counts,
}

#[derive(Default)]
struct Housekeeping {
    next: Millis,
    checkpoint: Millis,
    retention: Millis,
}

/// Where a directory is.
pub fn dir_path(dir: usize) -> PathBuf {
    PathBuf::from(format!("/d{dir}"))
}

impl Node {
    /// Opens everything on a disk, whose directories are there.
    ///
    /// # Errors
    /// The disk refuses, or holds what it should not.
    pub fn start(disk: &SimDisk, clock: Arc<SimClock>, setup: &Setup) -> Result<Node, Stopped> {
        let mut rng = SeededRng::new(setup.seed);
        let stopped = |e: millstream_log::LogError| Stopped(e.to_string());
        let mut dirs = Vec::new();
        let mut faults = Vec::new();
        for i in 0..setup.dirs {
            let plan = Faults::default();
            let faulty: Arc<dyn Disk> = Arc::new(Faulty::new(Arc::new(disk.clone()), plan.clone()));
            let new_directory_id = Uuid::random(&mut rng);
            let cluster_id = Some("sim".to_owned());
            let identity = DirIdentity { cluster_id, node_id: ME, new_directory_id };
            dirs.push(LogDir::open_on(faulty, &dir_path(i), identity).map_err(stopped)?);
            faults.push(plan);
        }
        let seed = rng.next_u64();
        let opened = metadata_log::MetadataLog::open(&dirs[0], ME, Arc::clone(&clock), seed, setup.plant)?;
        let mut control = controller::Task::new(opened, &dirs, rng.next_u64());
        if setup.plant != Some(Bug::HistoryCarriedOut) {
            control.begin(&clock)?;
        }
        control.was_clean(dirs.iter().all(LogDir::was_clean));
        let now = clock.monotonic_ms();
        let boot_image = Arc::new(control.image().clone());
        let mut node = Node {
            rng,
            plant: setup.plant,
            faults,
            partitions: BTreeMap::new(),
            names: BTreeMap::new(),
            found: BTreeMap::new(),
            doomed: Vec::new(),
            next_dir: 0,
            flush: (0..dirs.len()).map(|_| FlushQueue::default()).collect(),
            fx: Effects::default(),
            image: Arc::new(MetadataImage::default()),
            control,
            groups: groups::Task::new(setup.plant),
            txns: txns::Task::new(now, setup.plant),
            housekeeping: Housekeeping { next: now, checkpoint: now, retention: now },
            replies: Vec::new(),
            counts: Counts::default(),
            clock,
            dirs,
        };
        // As at the server's start: what is on the disks, then the image of the newest snapshot, then the quorum.
        for dir in 0..node.dirs.len() {
            for partition in node.dirs[dir].partitions().map_err(stopped)? {
                let id = boot_image.topics.by_name(&partition.topic).map_or(Uuid::ZERO, |t| t.id);
                let wall = node.clock.wall_ms();
                let config = Arc::new(LogConfig::default());
                // One that cannot be opened is offline; the oracle misses what it held.
                if let Ok(log) = node.dirs[dir].open_log(partition.clone(), id, config, wall) {
                    node.found.insert(partition, (dir, log));
                }
            }
            for path in node.dirs[dir].doomed().map_err(stopped)? {
                node.doomed.push((now, dir, path));
            }
        }
        let changes = controller::all_changes(&boot_image);
        node.apply(boot_image, &changes)?;
        if setup.plant != Some(Bug::CheckpointsOutliveTopics) {
            // What is left of topics that are gone must not speak for new ones of their names.
            node.checkpoint();
        }
        node.control_register()?;
        node.after()?;
        Ok(node)
    }

    /// The two clocks: wall and monotonic.
    fn now(&self) -> (Millis, Millis) {
        (self.clock.wall_ms(), self.clock.monotonic_ms())
    }

    /// The image that requests are answered from.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Whether this node is registered and may be asked.
    pub fn is_active(&self) -> bool {
        self.image.is_active(ME)
    }

    /// The partitions that are open, by place.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition<Waiter>> {
        self.partitions.values()
    }

    /// Whether a partition's directory is online.
    pub fn is_online(&self, partition: &Partition<Waiter>) -> bool {
        self.dirs[partition.dir].health().is_online()
    }

    /// A partition by its topic's name.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Partition<Waiter>> {
        let id = self.names.get(topic)?;
        self.partitions.get(&(*id, partition))
    }

    /// Who has something to do now.
    pub fn ready(&self) -> Vec<Actor> {
        let now = self.clock.monotonic_ms();
        let mut ready = Vec::new();
        for (i, queue) in self.flush.iter().enumerate() {
            let later = !queue.later.is_empty() && queue.next_interval <= now;
            if queue.in_flight.is_some() || !queue.now.is_empty() || later {
                ready.push(Actor::Flusher(i));
            }
        }
        if self.control.is_ready(now) {
            ready.push(Actor::Controller);
        }
        if self.groups.is_ready(now) {
            ready.push(Actor::Groups);
        }
        if self.txns.is_ready(now) {
            ready.push(Actor::Txns);
        }
        if self.housekeeping.next <= now {
            ready.push(Actor::Housekeeping);
        }
        ready
    }

    /// When somebody has something to do, if nothing comes.
    pub fn next_deadline(&self) -> Millis {
        let later = self.flush.iter().filter(|q| !q.later.is_empty()).map(|q| q.next_interval);
        let own = [self.control.next_deadline(), self.txns.next_deadline(), self.housekeeping.next];
        let groups = self.groups.next_deadline();
        later.chain(own).chain(groups).min().unwrap_or(Millis::MAX)
    }

    /// Lets an actor take one step.
    ///
    /// # Errors
    /// The metadata log's; the node is to be started again.
    pub fn step(&mut self, actor: Actor) -> Result<(), Stopped> {
        match actor {
            Actor::Flusher(dir) => self.flush_step(dir),
            Actor::Controller => self.control_step()?,
            Actor::Groups => self.groups_step(),
            Actor::Txns => self.txns_step(),
            Actor::Housekeeping => self.housekeeping_step(),
        }
        self.after()
    }

    /// Hands on what the step left: flushes to queue, waiters to tell.
    fn after(&mut self) -> Result<(), Stopped> {
        for (place, mode) in std::mem::take(&mut self.fx.dirty) {
            let Some(partition) = self.partitions.get(&place) else { continue };
            let queue = &mut self.flush[partition.dir];
            let list = match mode {
                FlushMode::BeforeAck => &mut queue.now,
                FlushMode::Interval => &mut queue.later,
            };
            if !list.contains(&place) {
                list.push(place);
            }
        }
        for waiter in std::mem::take(&mut self.fx.wake) {
            match waiter {
                Waiter::Produce(awaited) => self.acknowledge(&awaited),
                Waiter::GroupShard(shard) => self.groups.committed(shard),
                Waiter::TxnShard(shard) => self.txns.committed(shard),
                Waiter::Marker(place) => self.txns.marker_committed(*place),
                Waiter::Lead(place, shard) => self.lead_again(place, shard),
            }
        }
        Ok(())
    }

    /// A flush in two steps, so that appends and faults come between.
    fn flush_step(&mut self, dir: usize) {
        let now = self.clock.monotonic_ms();
        let queue = &mut self.flush[dir];
        if let Some((places, tickets)) = queue.in_flight.take() {
            let disk = Arc::clone(self.dirs[dir].disk());
            let mut result = flush_all(&*disk, &tickets);
            if result.is_err() {
                self.counts.flushes_failed += 1;
                if self.plant == Some(Bug::FlushTriedAgain) {
                    result = Ok(());
                }
            }
            self.counts.flushed_together += u64::from(places.len() > 1);
            for (place, ticket) in places.into_iter().zip(tickets) {
                if let Some(partition) = self.partitions.get_mut(&place) {
                    partition.complete_flush(now, ticket, &result, &mut self.fx);
                }
            }
            return;
        }
        let mut batch = std::mem::take(&mut queue.now);
        if queue.next_interval <= now {
            batch.append(&mut queue.later);
            queue.next_interval = now + 1_000;
        }
        let (mut places, mut tickets) = (Vec::new(), Vec::new());
        for place in batch {
            if places.contains(&place) {
                continue;
            }
            let Some(partition) = self.partitions.get_mut(&place) else { continue };
            if let Ok(Some(ticket)) = partition.begin_flush() {
                tickets.push(ticket);
                places.push(place);
            }
        }
        if !tickets.is_empty() {
            self.flush[dir].in_flight = Some((places, tickets));
        }
    }

    fn housekeeping_step(&mut self) {
        let (wall, now) = self.now();
        self.housekeeping.next = now + 500;
        self.remove_doomed(now);
        if now - self.housekeeping.checkpoint >= 5_000 {
            self.housekeeping.checkpoint = now;
            self.checkpoint();
        }
        if now - self.housekeeping.retention >= 3_000 {
            self.housekeeping.retention = now;
            for partition in self.partitions.values_mut() {
                let retained = partition.change(now, &mut self.fx, |log, bounds| {
                    let retained = log.apply_retention(wall, bounds.high_watermark)?;
                    log.delete_due_files(wall)?;
                    Ok::<_, millstream_log::LogError>(retained)
                });
                self.counts.retained += retained.map_or(0, |r| r.segments as u64);
                let compacted = partition.change(now, &mut self.fx, |log, bounds| {
                    let Some(plan) = log.plan_compaction(wall, bounds.high_watermark)? else {
                        return Ok(false);
                    };
                    let output = plan.run(wall, 1 << 20)?;
                    Ok::<_, millstream_log::LogError>(log.install_compaction(output, wall)?.is_some())
                });
                self.counts.compacted += u64::from(compacted.unwrap_or(false));
            }
        }
    }

    /// A shard's partition serves now, or was disturbed: its coordinator looks again.
    fn lead_again(&mut self, place: Place, shard: i32) {
        let Some(partition) = self.partitions.get(&place) else { return };
        if partition.replica.check_leader(None).is_err() {
            return;
        }
        let epoch = Some(partition.replica.leader_epoch());
        if &*partition.name.topic == CONSUMER_OFFSETS {
            self.groups.led(shard, place, epoch);
        } else {
            self.txns.led(shard, place, epoch);
        }
    }

    /// Whether a shard has to wait until all that its log holds is committed: what is appended is committed later, and
    /// memory would never hear of it (RP-4). It is led again then.
    fn lead_later(&mut self, place: Place, shard: i32) -> bool {
        let Some(partition) = self.partitions.get_mut(&place) else { return false };
        let bounds = partition.replica.bounds();
        let led = partition.replica.check_leader(None).is_ok() && !partition.log.is_failed();
        if !led || bounds.high_watermark >= bounds.log_end {
            return false;
        }
        let serves = partition.replica.check_serving(None).is_ok();
        match self.plant {
            Some(Bug::LoadGivenUp) if !serves => return true,
            Some(Bug::LoadedTooEarly) if serves => return false,
            _ => {}
        }
        self.counts.loads_waited += 1;
        let who = Waiter::Lead(place, shard);
        if let Some(waiter) = partition.wait_for_commit(who, bounds.log_end, &mut self.fx) {
            self.fx.wake.push(waiter);
        }
        true
    }

    fn acknowledge(&mut self, awaited: &Awaited) {
        let code = match self.partitions.get(&awaited.place) {
            None => ErrorCode::UnknownTopicOrPartition,
            Some(partition) => partition.acknowledge(millstream_replica::Acks::All, awaited.end_offset),
        };
        let result = if code.is_none() { Ok((awaited.base_offset, awaited.duplicate)) } else { Err(code) };
        self.replies.push(Reply::Produce(awaited.op, result));
    }

    /// DeleteRecords: moves a partition's start up to `to`, the new start.
    ///
    /// # Errors
    /// As the server answers it.
    pub fn delete_records(&mut self, topic: &str, partition: i32, to: Offset) -> Result<Offset, ErrorCode> {
        let now = self.clock.monotonic_ms();
        let id = self.names.get(topic).copied().ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let found = self.partitions.get_mut(&(id, partition));
        let found = found.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        found.replica.check_leader(None)?;
        if !found.log.config().cleanup_policy.delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let result = found.change(now, &mut self.fx, |log, bounds| {
            log.advance_log_start(to, bounds.high_watermark).map_err(|e| e.error_code())?;
            Ok(log.log_start_offset())
        });
        let _ = self.after();
        result
    }

    /// Stops cleanly: everything flushed, the directories marked.
    ///
    /// # Errors
    /// The metadata log's disk.
    pub fn stop(mut self) -> Result<(), Stopped> {
        self.control_step()?;
        self.control_close()?;
        for dir in 0..self.dirs.len() {
            let queue = &mut self.flush[dir];
            queue.next_interval = 0;
            while self.flush[dir].in_flight.is_some()
                || !self.flush[dir].now.is_empty()
                || !self.flush[dir].later.is_empty()
            {
                self.flush[dir].next_interval = 0;
                self.flush_step(dir);
                self.after()?;
            }
        }
        self.close_dirs();
        Ok(())
    }
}

/// A queue of an actor.
type Inbox<M> = VecDeque<M>;
