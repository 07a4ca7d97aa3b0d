//! The group coordinator's steps, after the server's `group_task.rs`. Never enters: what a group decides.

use std::sync::Arc;

use millstream_group::message::{LogEntry, LogRecord};
use millstream_group::{
    Answer, Caller, Config, Coordinator, Input, Outcome, Request, Token, TopicView, Topics,
};
use millstream_metadata::{MetadataImage, TopicImage};
use millstream_types::{Clock, ErrorCode, LeaderEpoch, Millis, ProducerId, Rng, SeededRng, Uuid};

use super::coordinator_log::{CoordinatorLog, Replayed, replay};
use super::partition::Place;
use super::{Inbox, Node, Reply, SHARDS, Waiter};
use crate::plant::Bug;

enum Message {
    Request(Token, Caller, Box<Request>),
    Lead(i32, Place, LeaderEpoch),
    Resign(i32),
    Marker(i32, ProducerId, bool),
    Committed(i32),
    TopicsChanged,
}

/// What the coordinator's thread keeps.
pub(super) struct Task {
    core: Coordinator,
    log: CoordinatorLog<Vec<(Token, Answer)>>,
    inbox: Inbox<Message>,
    plant: Option<Bug>,
}

impl Task {
    pub(super) fn new(plant: Option<Bug>) -> Task {
        let config = Config {
            shards: SHARDS,
            initial_rebalance_delay_ms: 500,
            consumer_session_timeout_ms: 10_000,
            ..Config::default()
        };
        let mut log = CoordinatorLog::new();
        log.answers_early = plant == Some(Bug::CoordinatorAnswersEarly);
        Task { core: Coordinator::new(config), log, inbox: Inbox::new(), plant }
    }

    pub(super) fn is_ready(&self, now: Millis) -> bool {
        !self.inbox.is_empty() || self.core.next_deadline().is_some_and(|d| d <= now)
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.core.next_deadline()
    }

    pub(super) fn led(&mut self, shard: i32, place: Place, epoch: Option<LeaderEpoch>) {
        self.inbox.push_back(match epoch {
            Some(epoch) => Message::Lead(shard, place, epoch),
            None => Message::Resign(shard),
        });
    }

    pub(super) fn committed(&mut self, shard: i32) {
        self.inbox.push_back(Message::Committed(shard));
    }

    pub(super) fn marker(&mut self, shard: i32, producer: ProducerId, commit: bool) {
        self.inbox.push_back(Message::Marker(shard, producer, commit));
    }

    pub(super) fn topics_changed(&mut self) {
        self.inbox.push_back(Message::TopicsChanged);
    }
}

struct ImageTopics(Arc<MetadataImage>);

fn view(topic: &TopicImage) -> TopicView {
    TopicView { name: Arc::clone(&topic.name), id: topic.id, partitions: topic.partitions.len() as i32 }
}

impl Topics for ImageTopics {
    fn by_name(&self, name: &str) -> Option<TopicView> {
        self.0.topics.by_name(name).map(|t| view(t))
    }
    fn by_id(&self, id: Uuid) -> Option<TopicView> {
        self.0.topics.by_id(id).map(|t| view(t))
    }
    fn all(&self) -> Vec<TopicView> {
        let own = self.0.topics.iter().filter(|t| !millstream_types::topic::is_internal(&t.name));
        own.map(|t| view(t)).collect()
    }
}

impl Node {
    /// Asks the group coordinator.
    pub fn group(&mut self, token: u64, caller: Caller, request: Request) {
        self.groups.inbox.push_back(Message::Request(token, caller, Box::new(request)));
    }

    pub(super) fn groups_step(&mut self) {
        if let Some(message) = self.groups.inbox.pop_front() {
            self.groups_take(message);
        }
        let now = self.clock.monotonic_ms();
        if self.groups.core.next_deadline().is_some_and(|d| d <= now) {
            self.groups_input(Input::Tick);
        }
    }

    fn groups_take(&mut self, message: Message) {
        match message {
            Message::Request(token, caller, request) => {
                self.groups_input(Input::Request { token, caller, request: *request });
            }
            Message::Lead(shard, place, epoch) => self.groups_lead(shard, place, epoch),
            Message::Resign(shard) => {
                self.groups_input(Input::Unload { shard });
                for answers in self.groups.log.resign(shard) {
                    self.groups_refuse(answers, ErrorCode::NotCoordinator);
                }
            }
            Message::Marker(shard, producer_id, commit) => {
                self.groups_input(Input::Marker { shard, producer_id, commit });
            }
            Message::Committed(shard) => {
                let place = self.groups.log.place(shard);
                let partition = place.and_then(|place| self.partitions.get_mut(&place));
                let Some(partition) = partition else { return };
                let who = Waiter::GroupShard(shard);
                for answers in self.groups.log.committed(shard, partition, who, &mut self.fx) {
                    self.groups_send(answers);
                }
            }
            Message::TopicsChanged => self.groups_input(Input::TopicsChanged),
        }
    }

    fn group_entries(&self, place: Place) -> Result<Vec<LogEntry>, ErrorCode> {
        let partition = self.partitions.get(&place).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let replayed = replay(partition)?;
        let entries = replayed.into_iter().filter_map(|replayed| match replayed {
            Replayed::Record(key, value, producer_id) => {
                Some(LogEntry::Record(LogRecord { key, value, producer_id }))
            }
            Replayed::Marker(..) if self.groups.plant == Some(Bug::MarkersNotLoaded) => None,
            Replayed::Marker(producer_id, commit) => Some(LogEntry::Marker { producer_id, commit }),
        });
        Ok(entries.collect())
    }

    fn groups_lead(&mut self, shard: i32, place: Place, epoch: LeaderEpoch) {
        if self.lead_later(place, shard) {
            return;
        }
        let Ok(entries) = self.group_entries(place) else { return };
        let Some(partition) = self.partitions.get(&place) else { return };
        self.groups.log.lead(shard, partition);
        self.groups_input(Input::Load { shard, epoch, entries });
    }

    fn groups_input(&mut self, input: Input) {
        let topics = ImageTopics(Arc::clone(&self.image));
        let now = self.clock.monotonic_ms();
        for outcome in self.groups.core.step(now, &topics, input) {
            self.groups_carry_out(outcome);
        }
    }

    fn groups_carry_out(&mut self, outcome: Outcome) {
        let Outcome { shard, append, producer, answers } = outcome;
        let now = self.now();
        let place = self.groups.log.place(shard);
        let mut partition = place.and_then(|place| self.partitions.get_mut(&place));
        if !append.is_empty() {
            let result = match &mut partition {
                None => Err(ErrorCode::NotCoordinator),
                Some(p) => self.groups.log.append(now, shard, p, &append, producer, &mut self.fx),
            };
            if result.is_err() {
                self.groups_refuse(answers, ErrorCode::CoordinatorNotAvailable);
                self.groups_reload(shard);
                return;
            }
        }
        if answers.is_empty() {
            return;
        }
        let who = Waiter::GroupShard(shard);
        if let Some(answers) = self.groups.log.when_committed(shard, partition, answers, who, &mut self.fx) {
            self.groups_send(answers);
        }
    }

    fn groups_reload(&mut self, shard: i32) {
        let Some(place) = self.groups.log.place(shard) else { return };
        self.counts.reloads += 1;
        let topics = ImageTopics(Arc::clone(&self.image));
        let now = self.clock.monotonic_ms();
        for outcome in self.groups.core.step(now, &topics, Input::Unload { shard }) {
            self.groups_refuse(outcome.answers, ErrorCode::CoordinatorNotAvailable);
        }
        for answers in self.groups.log.resign(shard) {
            self.groups_refuse(answers, ErrorCode::CoordinatorNotAvailable);
        }
        let epoch = self.partitions.get(&place).map_or(-1, |p| p.replica.leader_epoch());
        self.groups_lead(shard, place, epoch);
    }

    fn groups_send(&mut self, answers: Vec<(Token, Answer)>) {
        self.replies.extend(answers.into_iter().map(|(token, answer)| Reply::Group(token, Box::new(answer))));
    }

    fn groups_refuse(&mut self, answers: Vec<(Token, Answer)>, error: ErrorCode) {
        self.groups_send(answers.into_iter().map(|(token, _)| (token, Answer::Refused(error))).collect());
    }

    /// Whether a coordinator that is loaded from the logs now says of its groups what this one says; `None` where
    /// something is under way, so that they may differ.
    ///
    /// # Errors
    /// What differs.
    pub fn groups_match_log(&self) -> Option<Result<(), String>> {
        if !self.groups.inbox.is_empty() || !self.txns.is_idle() {
            return None;
        }
        let mut fresh = Task::new(None).core;
        let now = self.clock.monotonic_ms();
        let topics = ImageTopics(Arc::clone(&self.image));
        for (shard, place) in self.groups.log.led() {
            let partition = self.partitions.get(&place)?;
            if !self.groups.log.is_settled(shard, partition) {
                return None;
            }
            let entries = self.group_entries(place).ok()?;
            fresh.step(now, &topics, Input::Load { shard, epoch: 0, entries });
        }
        let mut own = self.groups.core.clone();
        let names = |core: &Coordinator| {
            let mut names: Vec<String> = core.list().into_iter().map(|l| l.group_id).collect();
            names.sort();
            names
        };
        // Groups that live in memory alone have nothing in the log, and nothing to lose.
        let loaded = names(&fresh);
        let missing: Vec<String> = loaded.iter().filter(|n| !names(&own).contains(n)).cloned().collect();
        if !missing.is_empty() {
            return Some(Err(format!("groups {missing:?} are in the log and not in memory")));
        }
        for group_id in names(&own) {
            let offsets = |core: &mut Coordinator| {
                let request = Request::Fetch(
                    millstream_wire::message::offset_fetch_request::OffsetFetchRequestGroup {
                        group_id: group_id.clone(),
                        member_epoch: -1,
                        topics: None,
                        ..Default::default()
                    },
                    millstream_group::message::RequireStable::Yes,
                );
                let input = Input::Request { token: 1, caller: caller(&mut SeededRng::new(1), 9), request };
                let outcomes = core.step(now, &topics, input);
                outcomes
                    .into_iter()
                    .flat_map(|o| o.answers)
                    .map(|(_, a)| format!("{a:?}"))
                    .collect::<Vec<_>>()
            };
            let (own, loaded) = (offsets(&mut own), offsets(&mut fresh));
            if own != loaded {
                return Some(Err(format!(
                    "offsets of {group_id}: {own:?} in memory, {loaded:?} from the log"
                )));
            }
        }
        Some(Ok(()))
    }
}

/// A caller of a request version, with a member id of its own.
pub fn caller(rng: &mut dyn Rng, version: i16) -> Caller {
    Caller {
        client_id: "sim".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        version,
        fresh_id: Uuid::random(rng),
    }
}
