//! The coordinator's step: shards that are loaded and unloaded, requests handed to the file that knows them, topics
//! that change, time. Every change of what is stored goes through [`Coordinator::emit`], which writes the record and
//! applies it as a load would, so that memory and log tell one story.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::hash::coordinator_partition;
use millstream_types::{ErrorCode, Millis, ProducerId, Uuid};
use millstream_wire::record::group::OffsetCommitKey;

use crate::message::{Answer, Caller, Config, Input, LogEntry, LogRecord, Outcome, Request, Token, Topics};
use crate::offsets::Committed;
use crate::record::Entry;
use crate::shard::{Batch, Group, Kind, Shard};

/// The group coordinator of one broker.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(crate) config: Config,
    pub(crate) shards: BTreeMap<i32, Shard>,
    /// Topics of the newest image that was announced: what it no longer has was deleted.
    topics: BTreeSet<Uuid>,
    /// Records of loaded shards that could not be read (a type from a newer version, or damage inside a good batch).
    unread: u64,
}

impl Coordinator {
    /// A coordinator that leads no shard yet.
    pub fn new(config: Config) -> Coordinator {
        assert!(config.shards > 0, "a coordinator has at least one shard");
        Coordinator { config, shards: BTreeMap::new(), topics: BTreeSet::new(), unread: 0 }
    }

    /// The shard (partition of `__consumer_offsets`) of a group.
    pub fn shard_of(&self, group_id: &str) -> i32 {
        coordinator_partition(group_id, self.config.shards)
    }

    /// Records of loaded shards that could not be read.
    pub fn unread_records(&self) -> u64 {
        self.unread
    }

    /// Takes an event; the outcomes are to be carried out in order.
    pub fn step(&mut self, now: Millis, topics: &dyn Topics, input: Input) -> Vec<Outcome> {
        match input {
            Input::Load { shard, epoch: _, entries } => {
                self.load(now, shard, entries);
                Vec::new()
            }
            Input::Unload { shard } => self.unload(shard),
            Input::Request { token, caller, request } => self.request(now, topics, token, &caller, request),
            Input::Marker { shard, producer_id, commit } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.end_transaction(producer_id, commit);
                }
                Vec::new()
            }
            Input::TopicsChanged => self.topics_changed(now, topics),
            Input::Tick => self.tick(now, topics),
            Input::ExpireOffsets => self.expire_offsets(now, topics),
        }
    }

    /// When [`Input::Tick`] has something to do; a tick before that does nothing, and now and then one does nothing
    /// but find out the next time.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.shards.values().filter_map(Shard::next_wake).min()
    }

    pub(crate) fn group(&self, group_id: &str) -> Option<&Group> {
        self.shards.get(&self.shard_of(group_id))?.groups.get(group_id)
    }

    /// The group, made where there is none.
    pub(crate) fn group_mut(&mut self, group_id: &str) -> &mut Group {
        let shard = self.shard_of(group_id);
        let groups = &mut self.shards.entry(shard).or_default().groups;
        if !groups.contains_key(group_id) {
            groups.insert(group_id.to_owned(), Group::default());
        }
        groups.get_mut(group_id).unwrap_or_else(|| unreachable!("the group was just put there"))
    }

    /// Has a group looked at by a tick no later than `at`.
    pub(crate) fn arm(&mut self, group_id: &str, at: Millis) {
        let shard = self.shard_of(group_id);
        if let Some(shard) = self.shards.get_mut(&shard) {
            shard.arm(group_id, at);
        }
    }

    /// Stores a record and does what it says.
    pub(crate) fn emit(&mut self, batch: &mut Batch, entry: Entry) {
        batch.append(&entry);
        self.shards.entry(batch.shard()).or_default().apply(entry, None);
    }

    /// Stores a record as part of a producer's open transaction.
    pub(crate) fn emit_in_transaction(&mut self, batch: &mut Batch, entry: Entry, producer: ProducerId) {
        batch.append(&entry);
        self.shards.entry(batch.shard()).or_default().apply(entry, Some(producer));
    }

    /// Takes the interests of a group of the consumer protocol into its baseline.
    pub(crate) fn pin(&mut self, group_id: &str, topics: &dyn Topics, batch: &mut Batch) {
        if !self.config.pin_new_partitions {
            return;
        }
        let Some(group) = self.group(group_id) else { return };
        let Kind::Consumer(consumer) = &group.kind else { return };
        let mut baseline = group.baseline.clone();
        let mut changed = false;
        for interest in consumer.interests() {
            changed |= baseline.subscribe_to(interest, topics);
        }
        if changed {
            self.emit(batch, Entry::Baseline(group_id.to_owned(), Some(baseline)));
        }
    }

    /// Takes names into a group's baseline.
    pub(crate) fn pin_names(
        &mut self,
        group_id: &str,
        names: &BTreeSet<String>,
        topics: &dyn Topics,
        batch: &mut Batch,
    ) {
        let names = || names.iter().map(String::as_str);
        let Some(group) = self.group(group_id) else { return };
        if self.config.pin_new_partitions && group.baseline.lacks(names(), topics) {
            let mut baseline = group.baseline.clone();
            baseline.subscribe(names(), topics);
            self.emit(batch, Entry::Baseline(group_id.to_owned(), Some(baseline)));
        }
    }

    fn load(&mut self, now: Millis, shard: i32, entries: Vec<LogEntry>) {
        let mut loaded = Shard::default();
        for entry in entries {
            match entry {
                LogEntry::Record(LogRecord { key, value, producer_id }) => {
                    let known = Entry::decode(key, value).is_ok_and(|entry| loaded.apply(entry, producer_id));
                    self.unread += u64::from(!known);
                }
                LogEntry::Marker { producer_id, commit } => loaded.end_transaction(producer_id, commit),
            }
        }
        let session = Millis::from(self.config.consumer_session_timeout_ms);
        let ids: Vec<String> = loaded.groups.keys().cloned().collect();
        for id in ids {
            let Some(group) = loaded.groups.get_mut(&id) else { continue };
            // Members get a whole session to be heard of again: the time that the shard was away is not theirs.
            let due = match &mut group.kind {
                Kind::Consumer(group) => {
                    group.loaded(now, session);
                    Some(now)
                }
                Kind::Classic(group) => {
                    group.loaded(now);
                    group.next_deadline()
                }
                Kind::Offsets => None,
            };
            if let Some(due) = due {
                loaded.arm(&id, due);
            }
        }
        self.shards.insert(shard, loaded);
    }

    fn unload(&mut self, shard: i32) -> Vec<Outcome> {
        let mut batch = Batch::new(shard);
        if let Some(loaded) = self.shards.remove(&shard) {
            for group in loaded.groups.into_values() {
                if let Kind::Classic(mut group) = group.kind {
                    for token in group.take_waiting() {
                        batch.reply(token, Answer::Refused(ErrorCode::NotCoordinator));
                    }
                }
            }
        }
        batch.finish().into_iter().collect()
    }

    fn request(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: Request,
    ) -> Vec<Outcome> {
        let group_id = group_of(&request);
        let shard = self.shard_of(group_id);
        if !self.shards.contains_key(&shard) {
            let batch = Batch::new(shard);
            return vec![batch.answer(token, Answer::Refused(ErrorCode::NotCoordinator))];
        }
        vec![match request {
            Request::Join(request) => self.join(now, topics, token, caller, request),
            Request::Sync(request) => self.sync(now, token, &request),
            Request::Heartbeat(request) => self.heartbeat(now, token, &request),
            Request::Leave(request) => self.leave_group(now, topics, token, &request),
            Request::ConsumerHeartbeat(request) => {
                self.consumer_heartbeat(now, topics, token, caller, &request)
            }
            Request::Commit(request) => self.commit(now, topics, token, caller, &request),
            Request::TxnCommit(request) => self.txn_commit(now, topics, token, &request),
            Request::Fetch(request, stable) => self.fetch(topics, token, &request, stable),
            Request::DeleteOffsets(request) => self.delete_offsets(topics, token, &request),
            Request::DeleteGroup(group) => self.delete_group(token, &group),
            Request::Describe(group) => self.describe(token, &group),
            Request::ConsumerDescribe(group) => self.consumer_describe(topics, token, &group),
        }]
    }

    fn topics_changed(&mut self, now: Millis, topics: &dyn Topics) -> Vec<Outcome> {
        let there: BTreeSet<Uuid> = topics.all().into_iter().map(|t| t.id).collect();
        let gone: BTreeSet<Uuid> = self.topics.difference(&there).copied().collect();
        self.topics = there;
        let mut outcomes = Vec::new();
        for (shard, group_id) in self.group_ids() {
            let mut batch = Batch::new(shard);
            if !gone.is_empty() {
                self.topics_deleted(&group_id, &gone, &mut batch);
            }
            if self.group(&group_id).is_some_and(|g| matches!(g.kind, Kind::Consumer(_))) {
                self.topics_changed_for(now, &group_id, topics, &mut batch);
            }
            outcomes.extend(batch.finish());
        }
        outcomes
    }

    fn tick(&mut self, now: Millis, topics: &dyn Topics) -> Vec<Outcome> {
        let due: Vec<String> = self.shards.values_mut().flat_map(|s| s.take_due(now)).collect();
        let mut outcomes = Vec::new();
        for group_id in due {
            outcomes.extend(match self.group(&group_id).map(|g| &g.kind) {
                Some(Kind::Consumer(_)) => self.tick_consumer(now, &group_id, topics),
                Some(Kind::Classic(_)) => self.tick_classic(now, &group_id),
                Some(Kind::Offsets) | None => None,
            });
        }
        outcomes
    }

    /// Every group, with its shard.
    pub(crate) fn group_ids(&self) -> Vec<(i32, String)> {
        let shards = self.shards.iter();
        shards.flat_map(|(shard, s)| s.groups.keys().map(move |id| (*shard, id.clone()))).collect()
    }

    /// Removes what is left of a group without offsets.
    pub(crate) fn forget(&mut self, group_id: &str, batch: &mut Batch) {
        let Some(group) = self.group(group_id) else { return };
        let has_baseline = !group.baseline.is_empty();
        match &group.kind {
            Kind::Classic(_) => self.emit(batch, crate::classic::group_entry(group_id, None)),
            Kind::Consumer(consumer) => {
                let members = consumer.members.keys();
                let entries: Vec<Entry> = members
                    .flat_map(|id| crate::consumer::entries::member_tombstones(group_id, id))
                    .chain(crate::consumer::entries::group_tombstones(group_id))
                    .collect();
                for entry in entries {
                    self.emit(batch, entry);
                }
            }
            Kind::Offsets => {}
        }
        if has_baseline {
            self.emit(batch, Entry::Baseline(group_id.to_owned(), None));
        }
        let shard = self.shard_of(group_id);
        if let Some(loaded) = self.shards.get_mut(&shard) {
            loaded.remove(group_id);
        }
    }
}

fn group_of(request: &Request) -> &str {
    match request {
        Request::Join(r) => &r.group_id,
        Request::Sync(r) => &r.group_id,
        Request::Heartbeat(r) => &r.group_id,
        Request::Leave(r) => &r.group_id,
        Request::ConsumerHeartbeat(r) => &r.group_id,
        Request::Commit(r) => &r.group_id,
        Request::TxnCommit(r) => &r.group_id,
        Request::Fetch(r, _) => &r.group_id,
        Request::DeleteOffsets(r) => &r.group_id,
        Request::DeleteGroup(id) | Request::Describe(id) | Request::ConsumerDescribe(id) => id,
    }
}

/// The record of a committed offset, or of its removal.
pub(crate) fn offset_entry(group: &str, topic: &str, partition: i32, value: Option<&Committed>) -> Entry {
    let key = OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition };
    Entry::Kafka(key.into(), value.map(|v| v.to_value().into()))
}
