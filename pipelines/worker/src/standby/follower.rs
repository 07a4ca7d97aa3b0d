//! What follows changelogs for a stage's copies, in a task of its own: it reads, gives copies to the stage, looks at the stage's
//! group for what is to be kept, and lets go of copies when memory is short. Never enters: who keeps what (`choice`), what records
//! mean (`millstream_engine`).
//!
//! A copy is thrown away where it cannot be said that nothing is missing in it: what was to be read next has been deleted, the
//! topic is another of the same name, or a record was not understood. It is then read anew while it is wanted.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use millstream_client::{Admin, ClientError, Consumer, ConsumerRecords, OutOfRange};
use millstream_engine::error::StageError;
use millstream_engine::state::copy::{CopiedPart, StateCopy};
use millstream_types::{ErrorCode, MemoryClaim, TopicPartition, Uuid};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::choice::{Owners, Split, wanted};
use super::{Followed, Order, Shared};
use crate::error::WorkerError;
use crate::restore::{self, BEGINS, is_of_other_definition};
use crate::snapshots::reading::{Layered, Marked};

/// How often the group is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a poll waits.
const POLL_WAIT: Duration = Duration::from_millis(500);
/// And while somebody waits: a poll says nothing of markers, which are the end of what was committed.
const POLL_WAIT_ASKED: Duration = Duration::from_millis(5);
/// How many records a copy may lack when it is first offered.
const LAG_READY: i64 = 16;
/// How long a copy that is asked for, or a warm start, may stand still: then the stage goes on without. An open transaction of a
/// worker that died ends within this.
const STALL_MAX: Duration = Duration::from_secs(15);
/// How long nothing is read behind a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a warm start begins copies again that were cut beneath it.
const TRIES_MAX: u32 = 5;
/// How many copies begin at once: what a store has of each is in memory twice for a moment.
const AT_ONCE: usize = 2;
/// How long what memory had no room for, or could not be begun, is not read again.
const NO_ROOM_FOR: Duration = Duration::from_secs(60);

/// Whether other workers run a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// They do, and this one is not among them.
    Run,
    /// None does; or this worker's own partitions wait for it.
    None,
}

/// Looks at a stage's group before this worker joins it as a member of this id. What cannot be looked at holds nobody up.
pub(super) async fn others(followed: &Followed, own: Option<&str>) -> Others {
    match members(followed).await {
        Ok(Some((_, members)))
            if !members.is_empty() && members.iter().all(|(id, _)| Some(id.as_str()) != own) =>
        {
            Others::Run
        }
        Ok(_) => Others::None,
        Err(error) => {
            tracing::warn!(stage = %followed.stage, "joins without having read state before: looking at its group: {error}");
            Others::None
        }
    }
}

/// Members of a group with what they have.
type Members = Vec<(String, BTreeSet<TopicPartition>)>;

/// Whether a stage's group is at rest, and its members; nothing where there is no such group.
async fn members(followed: &Followed) -> Result<Option<(bool, Members)>, WorkerError> {
    match Admin::new(&followed.cluster).describe_group(&followed.group_id).await {
        Ok(group) => {
            let members = group.members.into_iter().map(|member| (member.member_id, member.assignment));
            Ok(Some((group.state == "Stable", members.collect())))
        }
        Err(ClientError::Broker { code: ErrorCode::GroupIdNotFound, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A copy of key groups of one class.
struct Class {
    copy: StateCopy,
    /// Whether it has come to the end of what it follows once: before, it is not offered.
    is_ready: bool,
    /// The topics as they were when it was begun.
    ids: BTreeMap<Arc<str>, Uuid>,
    /// What lies in a store and comes among the records that are to be read, by partition.
    layers: BTreeMap<TopicPartition, Layered>,
}

/// What a copy begins with.
struct Beginning {
    ids: BTreeMap<Arc<str>, Uuid>,
    /// Where each partition is read from.
    from: BTreeMap<TopicPartition, i64>,
    layers: BTreeMap<TopicPartition, Layered>,
}

impl Class {
    /// Takes in what a store has of a partition, as far as it comes before the record at an offset.
    fn insert(&mut self, operator: &str, partition: &TopicPartition, offset: i64) -> Result<(), StageError> {
        let Some(layered) = self.layers.get_mut(partition) else { return Ok(()) };
        for value in layered.before(offset) {
            self.copy.apply((operator, partition.partition as u32), &value)?;
        }
        if layered.bytes() == 0 {
            self.layers.remove(partition);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.copy.size() + self.layers.values().map(Layered::bytes).sum::<usize>()
    }
}

/// A stage waits for key groups.
struct Waiting {
    groups: BTreeSet<u32>,
    ends: BTreeMap<TopicPartition, i64>,
    reply: oneshot::Sender<CopiedPart>,
    at: BTreeMap<TopicPartition, i64>,
    since: Instant,
}

/// A stage waits until all there is has been read.
struct WarmUp {
    /// The ends are to be asked for, once all copies have begun.
    is_new: bool,
    ends: BTreeMap<TopicPartition, i64>,
    /// What has come since the first reading is read before it joins too.
    is_second: bool,
    tries: u32,
    at: BTreeMap<TopicPartition, i64>,
    since: Instant,
    reply: oneshot::Sender<()>,
}

/// Where a copy of key groups begins, as a restore would.
async fn beginning(followed: &Followed, groups: &BTreeSet<u32>) -> Result<Beginning, WorkerError> {
    let cluster = &followed.cluster;
    // First of all: one that is made anew from here on is another.
    let metadata = cluster.refresh().await?;
    let topics = followed.changelogs.values().map(|(topic, _)| Arc::clone(topic));
    let ids = topics.map(|topic| (Arc::clone(&topic), metadata.topic_id(&topic))).collect();
    let of = |(operator, of)| (operator, restore::partitions_of(groups, of));
    let wanted: Vec<(&String, BTreeMap<TopicPartition, Vec<u32>>)> =
        followed.changelogs.iter().map(of).collect();
    let all: Vec<TopicPartition> = wanted.iter().flat_map(|(_, parts)| parts.keys().cloned()).collect();
    // Before the marks: of what lies before these, marks that are there by then say where it is. The owners go on meanwhile, so what
    // is deleted from here on must be read before that, or the copy is begun again.
    let mut from = restore::starts(cluster, &all).await?;
    let marked = Marked::new(Arc::clone(&followed.positions), followed.snapshots.clone());
    let mut layers = BTreeMap::new();
    for (operator, parts) in wanted {
        for (at, layered) in marked.layers(cluster, operator, &parts).await? {
            let start = from.entry(at.clone()).or_default();
            *start = layered.from.unwrap_or(0).max(*start);
            layers.insert(at, layered);
        }
    }
    Ok(Beginning { ids, from, layers })
}

/// See the module.
pub(super) struct Follower {
    followed: Followed,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
    split: Split,
    /// By partition of a changelog: the operator's id.
    operators: BTreeMap<Arc<str>, String>,
    consumer: Option<Consumer>,
    classes: BTreeMap<u32, Class>,
    /// The copies that begin, by class: the number of their reading, and their key groups.
    begun: BTreeMap<u32, (u64, BTreeSet<u32>)>,
    next: u64,
    beginnings: JoinSet<(u32, u64, Result<Beginning, WorkerError>)>,
    room: Arc<Semaphore>,
    waiting: Vec<Waiting>,
    warm_up: Option<WarmUp>,
    memory: MemoryClaim,
    /// What memory had no room for, or could not be begun.
    no_room: BTreeMap<u32, Instant>,
    next_look: Instant,
    dropped: u64,
}

impl Follower {
    pub(super) fn new(
        followed: Followed,
        shared: Arc<Shared>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Follower {
        let classes = restore::classes(&followed.changelogs);
        let split = Split { key_groups: followed.key_groups, classes };
        let operators =
            followed.changelogs.iter().map(|(id, (topic, _))| (Arc::clone(topic), id.clone())).collect();
        let memory = followed.memory.claim("standby");
        Follower {
            followed,
            shared,
            orders,
            split,
            operators,
            consumer: None,
            classes: BTreeMap::new(),
            begun: BTreeMap::new(),
            next: 0,
            beginnings: JoinSet::new(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Vec::new(),
            warm_up: None,
            memory,
            no_room: BTreeMap::new(),
            next_look: Instant::now() + LOOK_EVERY,
            dropped: 0,
        }
    }

    /// Follows for as long as copies are wanted.
    pub(super) async fn run(mut self) {
        loop {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(stage = %self.followed.stage, "following changelogs for standby copies: {error}");
                    if let Err(error) = self.begin_again().await {
                        tracing::debug!(stage = %self.followed.stage, %error, "standby copies are thrown away");
                        self.classes.clear();
                        self.consumer = None;
                    }
                    // Whoever waits restores instead.
                    self.waiting.retain(|waiting| {
                        let of = waiting.groups.first().map(|group| self.split.class(*group));
                        of.is_some_and(|class| self.classes.contains_key(&class))
                    });
                    self.note();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Does what is next; whether there is anything left to do.
    async fn turn(&mut self) -> Result<bool, WorkerError> {
        let mut orders = Vec::new();
        let (mut read, mut begins) = (None, None);
        let is_asked = !self.waiting.is_empty() || self.warm_up.is_some();
        let wait = if is_asked { POLL_WAIT_ASKED } else { POLL_WAIT };
        let polled = async {
            match &mut self.consumer {
                Some(consumer) => consumer.poll(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = self.orders.recv() => match order {
                Some(order) => orders.push(order),
                None => return Ok(false),
            },
            records = polled => read = Some(records?),
            Some(begun) = self.beginnings.join_next() => begins = Some(begun),
            () = self.shared.give_way.notified() => self.give_way(),
            () = tokio::time::sleep_until(self.next_look) => {}
        }
        while let Ok(order) = self.orders.try_recv() {
            orders.push(order);
        }
        if let Some(records) = read {
            self.take_in(&records);
        }
        if let Some(begins) = begins {
            match begins {
                Ok((number, reading, beginning)) => self.begin(number, reading, beginning).await?,
                Err(error) => {
                    // Nobody says of which class it was, and nothing waits for it.
                    self.begun.clear();
                    return Err(WorkerError::Fatal(format!("beginning a standby copy: {error}")));
                }
            }
        }
        self.insert();
        self.obey(orders).await?;
        self.give();
        self.warm().await?;
        if self.memory.is_short() {
            self.give_way();
        }
        if Instant::now() >= self.next_look && self.warm_up.is_none() {
            self.next_look = Instant::now() + LOOK_EVERY;
            self.look().await?;
        } else if self.warm_up.is_some() {
            self.next_look = Instant::now() + LOOK_EVERY;
        }
        self.note();
        // A warm start that is over, where nothing more is wanted.
        let has_any = !self.classes.is_empty() || !self.begun.is_empty();
        Ok(self.followed.copies > 0 || self.warm_up.is_some() || has_any)
    }

    /// The partitions of changelogs that have key groups of a class.
    fn partitions(&self, class: u32) -> BTreeSet<TopicPartition> {
        let of = |(topic, partitions): &(Arc<str>, u32)| {
            let (topic, partitions) = (Arc::clone(topic), *partitions);
            let groups = self.split.groups(class);
            groups.map(move |group| TopicPartition::new(Arc::clone(&topic), (group % partitions) as i32))
        };
        self.followed.changelogs.values().flat_map(of).collect()
    }

    /// Adds what was read to the copies.
    fn take_in(&mut self, records: &ConsumerRecords) {
        let mut broken = BTreeSet::new();
        for part in &records.partitions {
            let at = part.partition.partition as u32;
            let Some(operator) = self.operators.get(&part.partition.topic) else { continue };
            let number = self.split.class(at);
            let Some(class) = self.classes.get_mut(&number) else { continue };
            for record in part.records() {
                // The consumer is behind it by now: a copy that lacks it is none.
                let record = match record {
                    Ok(record) => record,
                    Err(error) => {
                        tracing::warn!(stage = %self.followed.stage, at = %part.partition, %error, "a standby copy is thrown away");
                        broken.insert(number);
                        break;
                    }
                };
                if let Err(error) = class.insert(operator, &part.partition, record.offset) {
                    tracing::warn!(stage = %self.followed.stage, at = %part.partition, %error, "a standby copy is thrown away");
                    broken.insert(number);
                    break;
                }
                if record.key == Some(BEGINS) {
                    class.copy.begin_anew((operator, at));
                    continue;
                }
                let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                // The plan told of it, and so did the worker that has it.
                if is_of_other_definition(operator, &value) {
                    continue;
                }
                if let Err(error) = class.copy.apply((operator, at), &value) {
                    tracing::warn!(stage = %self.followed.stage, at = %part.partition, offset = record.offset, %error,
                        "a standby copy is thrown away");
                    broken.insert(number);
                    break;
                }
            }
        }
        broken.into_iter().for_each(|class| self.let_go(class));
    }

    /// Takes in what a store has, as far as all records before it have been read.
    fn insert(&mut self) {
        if self.classes.values().all(|class| class.layers.is_empty()) {
            return;
        }
        let at = self.consumer.as_ref().map(|consumer| consumer.positions()).unwrap_or_default();
        let mut broken = Vec::new();
        for (number, class) in &mut self.classes {
            let parts: Vec<TopicPartition> = class.layers.keys().cloned().collect();
            for part in parts {
                let (Some(at), Some(operator)) = (at.get(&part), self.operators.get(&part.topic)) else {
                    continue;
                };
                if let Err(error) = class.insert(operator, &part, *at) {
                    tracing::warn!(stage = %self.followed.stage, at = %part, %error, "a standby copy is thrown away");
                    broken.push(*number);
                    break;
                }
            }
        }
        broken.into_iter().for_each(|class| self.let_go(class));
    }

    /// Begins what the stage has asked for.
    async fn obey(&mut self, orders: Vec<Order>) -> Result<(), WorkerError> {
        let mut asked = Vec::new();
        for order in orders {
            match order {
                Order::Give { groups, reply } => asked.push((groups, reply)),
                Order::WarmUp(reply) => {
                    tracing::info!(stage = %self.followed.stage, "reads the stage's state before it joins the other workers");
                    let (ends, at, since) = (BTreeMap::new(), BTreeMap::new(), Instant::now());
                    self.classes.clear();
                    self.begun.clear();
                    let (is_new, is_second, tries) = (true, true, 0);
                    self.warm_up = Some(WarmUp { is_new, ends, is_second, tries, at, since, reply });
                }
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        // As a restore does: to the end that is there now that the key groups are assigned.
        let class_of = |groups: &BTreeSet<u32>| groups.first().map(|group| self.split.class(*group));
        let classes: BTreeSet<u32> = asked.iter().filter_map(|(groups, _)| class_of(groups)).collect();
        let parts: BTreeSet<TopicPartition> =
            classes.iter().flat_map(|class| self.partitions(*class)).collect();
        let ids = self.followed.cluster.refresh().await?;
        let all: Vec<TopicPartition> = parts.into_iter().collect();
        let ends = restore::ends(&self.followed.cluster, &all).await?;
        for class in classes {
            let is_same = |class: &Class| class.ids.iter().all(|(topic, id)| ids.topic_id(topic) == *id);
            if self.classes.get(&class).is_some_and(|class| !is_same(class)) {
                tracing::warn!(stage = %self.followed.stage, "a changelog was made anew: its standby copies are thrown away");
                self.let_go(class);
            }
        }
        for (groups, reply) in asked {
            let Some(number) = groups.first().map(|group| self.split.class(*group)) else { continue };
            let has = |class: &Class| class.copy.groups().is_superset(&groups);
            if !self.classes.get(&number).is_some_and(has) {
                // Without an answer the stage restores.
                continue;
            }
            let of = self.partitions(number);
            let ends = ends.iter().filter(|(at, _)| of.contains(*at)).map(|(at, end)| (at.clone(), *end));
            self.waiting.push(Waiting {
                groups,
                ends: ends.collect(),
                reply,
                at: BTreeMap::new(),
                since: Instant::now(),
            });
        }
        Ok(())
    }

    /// Whether these partitions have been read to these ends.
    fn has_read(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        let at = self.consumer.as_ref().map(|consumer| consumer.positions()).unwrap_or_default();
        ends.iter().all(|(partition, end)| *end <= 0 || at.get(partition).is_some_and(|at| at >= end))
    }

    /// Gives what has been read to its end.
    fn give(&mut self) {
        let at = self.consumer.as_ref().map(|consumer| consumer.positions()).unwrap_or_default();
        for mut waiting in std::mem::take(&mut self.waiting) {
            if waiting.ends.keys().any(|partition| waiting.at.get(partition) != at.get(partition)) {
                (waiting.at, waiting.since) = (at.clone(), Instant::now());
            }
            let number = waiting.groups.first().map_or(0, |group| self.split.class(*group));
            if !self.has_read(&waiting.ends) {
                if waiting.since.elapsed() < STALL_MAX {
                    self.waiting.push(waiting);
                } else {
                    tracing::warn!(stage = %self.followed.stage, "a standby copy does not come to its end; it is restored instead");
                }
                continue;
            }
            let Some(class) = self.classes.get_mut(&number) else { continue };
            match class.copy.take(&waiting.groups) {
                Ok(part) => {
                    // One that has given up meanwhile wants it no more, and the state is read again.
                    let _ = waiting.reply.send(part);
                    if class.copy.groups().is_empty() {
                        self.let_go(number);
                    }
                }
                Err(error) => {
                    tracing::warn!(stage = %self.followed.stage, %error, "a standby copy is thrown away");
                    self.let_go(number);
                }
            }
        }
    }

    /// Goes on with a warm start.
    async fn warm(&mut self) -> Result<(), WorkerError> {
        if self.warm_up.as_ref().is_none_or(|warm_up| warm_up.reply.is_closed()) {
            self.warm_up = None;
            return Ok(());
        }
        let is_missing = |class: &u32| {
            let is_known = self.classes.contains_key(class) || self.begun.contains_key(class);
            !is_known && !self.no_room.contains_key(class)
        };
        let missing: Vec<u32> =
            (0..self.split.classes.min(self.split.key_groups)).filter(is_missing).collect();
        if !missing.is_empty() && self.warm_up.as_ref().is_some_and(|warm_up| warm_up.tries < TRIES_MAX) {
            let new = missing.into_iter().map(|class| (class, self.split.groups(class).collect())).collect();
            if let Some(warm_up) = &mut self.warm_up {
                (warm_up.tries, warm_up.is_new) = (warm_up.tries + 1, true);
            }
            self.follow(new).await?;
        }
        if !self.begun.is_empty() {
            return Ok(());
        }
        if self.warm_up.as_ref().is_some_and(|warm_up| warm_up.is_new) {
            let ends = self.stable_ends().await?;
            if let Some(warm_up) = &mut self.warm_up {
                (warm_up.ends, warm_up.is_second, warm_up.is_new) = (ends, false, false);
                warm_up.since = Instant::now();
            }
        }
        let Some(mut warm_up) = self.warm_up.take() else { return Ok(()) };
        let at = self.consumer.as_ref().map(|consumer| consumer.positions()).unwrap_or_default();
        if at != warm_up.at {
            (warm_up.at, warm_up.since) = (at, Instant::now());
        }
        // What memory had no room for is waited for no more.
        let followed = self.all_partitions();
        warm_up.ends.retain(|partition, _| followed.contains(partition));
        if self.has_read(&warm_up.ends) {
            if warm_up.is_second {
                let groups: usize = self.classes.values().map(|class| class.copy.groups().len()).sum();
                tracing::info!(
                    stage = %self.followed.stage, key_groups = groups, bytes = self.memory.held(),
                    "has read the stage's state, and joins"
                );
                self.classes.values_mut().for_each(|class| class.is_ready = true);
                self.note();
                let _ = warm_up.reply.send(());
                return Ok(());
            }
            warm_up.is_second = true;
            // An error must not lose it.
            self.warm_up = Some(warm_up);
            let ends = self.stable_ends().await?;
            if let Some(warm_up) = &mut self.warm_up {
                warm_up.ends = ends;
            }
            return Ok(());
        } else if warm_up.since.elapsed() > STALL_MAX {
            tracing::warn!(stage = %self.followed.stage, "changelogs do not come to their ends; joins with what was read of them");
            let _ = warm_up.reply.send(());
            return Ok(());
        }
        self.warm_up = Some(warm_up);
        Ok(())
    }

    /// The partitions of what there is.
    fn all_partitions(&self) -> BTreeSet<TopicPartition> {
        self.classes.keys().flat_map(|class| self.partitions(*class)).collect()
    }

    async fn stable_ends(&mut self) -> Result<BTreeMap<TopicPartition, i64>, WorkerError> {
        let all: Vec<TopicPartition> = self.all_partitions().into_iter().collect();
        restore::stable_ends(&self.followed.cluster, &all).await
    }

    /// Looks at who has what, and keeps what it is this worker's part to keep. While the group divides its partitions anew, what there
    /// is stays: it may be assigned.
    async fn look(&mut self) -> Result<(), WorkerError> {
        let held = self.shared.held.lock().clone();
        let (Some(me), Some((true, members))) = (held.member, members(&self.followed).await?) else {
            return Ok(());
        };
        let of_input = |assignment: BTreeSet<TopicPartition>| -> BTreeSet<u32> {
            let of = assignment.into_iter().filter(|partition| partition.topic == self.followed.input);
            of.map(|partition| partition.partition as u32).collect()
        };
        let owners: Owners = members.into_iter().map(|(id, has)| (id, of_input(has))).collect();
        let owned: BTreeSet<u32> = owners.values().flatten().copied().collect();
        let mine = owners.get(&me);
        let here: BTreeSet<u32> = held.owned.union(&held.coming).copied().collect();
        if owned.len() < self.split.key_groups as usize || mine.is_none_or(|mine| *mine != here) {
            return Ok(());
        }
        let mut wanted_of: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for group in wanted(&owners, &me, self.followed.copies, self.split) {
            wanted_of.entry(self.split.class(group)).or_default().insert(group);
        }
        let waited_for = self.waited_for();
        let mut gone = Vec::new();
        for (number, class) in self.classes.iter_mut().filter(|(number, _)| !waited_for.contains(*number)) {
            match wanted_of.get(number) {
                None => gone.push(*number),
                // One that lacks some is read anew below.
                Some(groups) => class.copy.keep(groups)?,
            }
        }
        gone.into_iter().for_each(|class| self.let_go(class));
        self.begun.retain(|number, _| wanted_of.contains_key(number) || waited_for.contains(number));
        self.no_room.retain(|_, since| since.elapsed() < NO_ROOM_FOR);
        let is_new = |(class, groups): &(u32, BTreeSet<u32>)| {
            let has = self.classes.get(class).is_some_and(|class| class.copy.groups().is_superset(groups))
                || self.begun.get(class).is_some_and(|(_, begun)| begun.is_superset(groups));
            !has && !waited_for.contains(class) && !self.no_room.contains_key(class)
        };
        let new: BTreeMap<u32, BTreeSet<u32>> = wanted_of.into_iter().filter(is_new).collect();
        if !new.is_empty() && !self.memory.is_short() {
            let groups: usize = new.values().map(BTreeSet::len).sum();
            tracing::info!(stage = %self.followed.stage, key_groups = groups, "begins to keep standby copies");
            self.follow(new).await?;
        }
        self.assign().await
    }

    /// Begins copies of these key groups, by class, as a restore begins: with what the store has, then from where the changelogs are
    /// read. What the store has is read beside.
    async fn follow(&mut self, new: BTreeMap<u32, BTreeSet<u32>>) -> Result<(), WorkerError> {
        for (class, groups) in new {
            // It lacks some.
            self.let_go(class);
            let (followed, room, reading) = (self.followed.clone(), Arc::clone(&self.room), self.next);
            self.next += 1;
            self.begun.insert(class, (reading, groups.clone()));
            self.beginnings.spawn(async move {
                let _room = room.acquire_owned().await.ok();
                (class, reading, beginning(&followed, &groups).await)
            });
        }
        self.assign().await
    }

    /// What a copy begins with has been read.
    async fn begin(
        &mut self,
        number: u32,
        reading: u64,
        beginning: Result<Beginning, WorkerError>,
    ) -> Result<(), WorkerError> {
        // Another was begun in its place, or it is not wanted any more.
        if self.begun.get(&number).is_none_or(|(of, _)| *of != reading) {
            return Ok(());
        }
        let Some((_, groups)) = self.begun.remove(&number) else { return Ok(()) };
        let Beginning { ids, from, layers } = match beginning {
            Ok(beginning) => beginning,
            Err(error) => {
                tracing::warn!(
                    stage = %self.followed.stage, key_groups = groups.len(), %error, again_in_s = NO_ROOM_FOR.as_secs(),
                    "standby copies could not be begun; who is assigned their key groups restores them"
                );
                self.no_room.insert(number, Instant::now());
                return Ok(());
            }
        };
        self.classes.insert(number, Class { copy: StateCopy::new(groups), is_ready: false, ids, layers });
        let assigned = self.assign().await;
        let placed = assigned.and_then(|()| match &self.consumer {
            Some(consumer) => {
                Ok(from.iter().try_for_each(|(partition, offset)| consumer.seek(partition, *offset))?)
            }
            None => Ok(()),
        });
        if placed.is_err() {
            // It would be read from anywhere.
            self.let_go(number);
        }
        placed
    }

    /// Reads the partitions of what there is, and no others.
    async fn assign(&mut self) -> Result<(), WorkerError> {
        let all = self.all_partitions();
        if all.is_empty() {
            if let Some(consumer) = self.consumer.take() {
                consumer.close().await?;
            }
            return Ok(());
        }
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            // What was deleted before it was read may be missing: it is begun again.
            none => none.insert(restore::consumer(&self.followed.cluster, OutOfRange::Fail)?),
        };
        if consumer.assignment() != all {
            consumer.assign(all).await?;
        }
        Ok(())
    }

    /// After a failure: copies of which nothing is missing go on, the others are thrown away.
    async fn begin_again(&mut self) -> Result<(), WorkerError> {
        let Some(consumer) = self.consumer.take() else { return Ok(()) };
        let at = consumer.positions();
        drop(consumer);
        let all: Vec<TopicPartition> = at.keys().cloned().collect();
        let starts = restore::starts(&self.followed.cluster, &all).await?;
        let ends = restore::ends(&self.followed.cluster, &all).await?;
        let ids = self.followed.cluster.refresh().await?;
        let is_whole = |partition: &TopicPartition| {
            let (at, start) = (at.get(partition), starts.get(partition));
            at.is_some_and(|at| start.is_some_and(|start| start <= at))
                && at.is_some_and(|at| ends.get(partition).is_some_and(|end| at <= end))
        };
        let gone: Vec<u32> = (self.classes.iter())
            .filter(|(number, class)| {
                let is_same = class.ids.iter().all(|(topic, id)| ids.topic_id(topic) == *id);
                !is_same || class.ids.is_empty() || !self.partitions(**number).iter().all(is_whole)
            })
            .map(|(number, _)| *number)
            .collect();
        gone.into_iter().for_each(|class| self.let_go(class));
        self.assign().await?;
        let Some(consumer) = &self.consumer else { return Ok(()) };
        for partition in consumer.assignment() {
            if let Some(at) = at.get(&partition) {
                consumer.seek(&partition, *at)?;
            }
        }
        Ok(())
    }

    /// Memory is short: the largest copies go, until it is not, but for those that a stage waits for.
    fn give_way(&mut self) {
        let (waited_for, mut gone) = (self.waited_for(), 0);
        loop {
            self.memory.set(self.size());
            if !self.memory.is_short() {
                break;
            }
            let all = self.classes.iter().map(|(number, class)| (number, class.size()));
            let largest =
                all.filter(|(number, _)| !waited_for.contains(*number)).max_by_key(|(_, size)| *size);
            let Some(number) = largest.map(|(number, _)| *number) else { break };
            gone += self.classes.get(&number).map_or(0, |class| class.copy.groups().len());
            self.no_room.insert(number, Instant::now());
            self.let_go(number);
        }
        if gone > 0 {
            self.dropped += gone as u64;
            tracing::warn!(
                stage = %self.followed.stage, key_groups = gone,
                "memory is short: standby copies go first, and key groups that come are restored. Give the process more with --memory, or \
                 keep fewer with `defaults.standby`"
            );
        }
    }

    /// The classes that a stage waits for, or will ask for: it is being given them.
    fn waited_for(&self) -> BTreeSet<u32> {
        let coming = self.shared.held.lock().coming.clone();
        let groups = self.waiting.iter().flat_map(|waiting| &waiting.groups).chain(&coming);
        groups.map(|group| self.split.class(*group)).collect()
    }

    /// Lets go of a copy. Its partitions are read until the next look, for nothing.
    fn let_go(&mut self, class: u32) {
        self.classes.remove(&class);
    }

    fn size(&self) -> u64 {
        self.classes.values().map(|class| class.size() as u64).sum()
    }

    /// Says what there is.
    fn note(&mut self) {
        let bytes = self.size();
        self.memory.set(bytes);
        if let Some(consumer) = &self.consumer {
            let is_read = |number: u32| {
                self.partitions(number).iter().all(|at| consumer.lag(at).is_some_and(|lag| lag <= LAG_READY))
            };
            let waits = self.classes.iter().filter(|(_, class)| !class.is_ready).map(|(number, _)| *number);
            let ready: Vec<u32> = waits.filter(|number| is_read(*number)).collect();
            for number in ready {
                self.classes.entry(number).and_modify(|class| class.is_ready = true);
            }
        }
        let ready = self.classes.values().filter(|class| class.is_ready);
        let covered: BTreeSet<u32> = ready.flat_map(|class| class.copy.groups()).copied().collect();
        let key_groups = covered.len() as u64;
        self.shared.has_any.store(!self.classes.is_empty(), Ordering::Relaxed);
        *self.shared.covered.lock() = covered;
        let dropped = self.dropped;
        self.followed.progress.update(&self.followed.stage, |figures| {
            figures.standby_bytes = bytes;
            figures.standby_key_groups = key_groups;
            figures.standby_dropped = dropped;
        });
    }
}
