//! The thread of the group coordinator: requests and shard changes in by a queue, records to `__consumer_offsets`,
//! answers out when they are committed. A thread of its own, since an append may block in write-back. Never enters:
//! what a group decides (`millstream-group`).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use millstream_group::message::{LogEntry, LogRecord};
use millstream_group::{Answer, Caller, Coordinator, Input, Outcome, Request, Token, TopicView, Topics};
use millstream_metadata::MetadataImage;
use millstream_types::{ErrorCode, LeaderEpoch, Millis, ProducerId, Uuid};
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::coordinator_log::{CoordinatorLog, Replayed, is_behind, replay, when_serving};
use crate::partition::Partition;

/// The longest the thread sleeps without looking at time-outs, in milliseconds.
const SLEEP_MS_MAX: Millis = 500;

enum Message {
    Request { caller: Caller, request: Box<Request>, reply: oneshot::Sender<Answer> },
    List(oneshot::Sender<Vec<millstream_group::message::Listed>>),
    Lead { shard: i32, epoch: LeaderEpoch, partition: Arc<Partition> },
    Resign { shard: i32 },
    Marker { shard: i32, producer_id: ProducerId, commit: bool },
    Committed(i32),
    TopicsChanged,
    Stop,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Groups {
    sender: Sender<Message>,
}

/// What the thread takes from; given to [`Groups::start`] once the broker stands.
pub struct GroupsInbox(Receiver<Message>);

impl Groups {
    /// The queue, before its thread runs.
    pub fn new() -> (Groups, GroupsInbox) {
        let (sender, receiver) = channel();
        (Groups { sender }, GroupsInbox(receiver))
    }

    /// Starts the thread.
    pub fn start(
        &self,
        broker: Arc<Broker>,
        config: millstream_group::Config,
        inbox: GroupsInbox,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let sender = self.sender.clone();
        crate::critical::spawn("groups", move || {
            let own = sender.clone();
            let notify = move |shard| _ = sender.send(Message::Committed(shard));
            let task = Task {
                sender: own,
                core: Coordinator::new(config),
                log: CoordinatorLog::new(Arc::new(notify)),
                replies: std::collections::BTreeMap::new(),
                next_token: 0,
                expired_ms: broker.clock.wall_ms(),
                broker,
            };
            task.run(&inbox.0);
        })
    }

    /// Asks the coordinator; NOT_COORDINATOR where it has stopped.
    pub async fn ask(&self, caller: Caller, request: Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::Request { caller, request: Box::new(request), reply });
        answer.await.unwrap_or(Answer::Refused(ErrorCode::NotCoordinator))
    }

    /// Every group of the shards that are led here.
    pub async fn list(&self) -> Vec<millstream_group::message::Listed> {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::List(reply));
        answer.await.unwrap_or_default()
    }

    /// This broker leads a shard.
    pub fn lead(&self, shard: i32, epoch: LeaderEpoch, partition: Arc<Partition>) {
        let _ = self.sender.send(Message::Lead { shard, epoch, partition });
    }

    /// It no longer does.
    pub fn resign(&self, shard: i32) {
        let _ = self.sender.send(Message::Resign { shard });
    }

    /// A transaction's marker is committed in a shard's log.
    pub fn marker(&self, shard: i32, producer_id: ProducerId, commit: bool) {
        let _ = self.sender.send(Message::Marker { shard, producer_id, commit });
    }

    /// The image's topics changed.
    pub fn topics_changed(&self) {
        let _ = self.sender.send(Message::TopicsChanged);
    }

    /// Ends the thread; what waits is refused.
    pub fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }
}

struct ImageTopics(Arc<MetadataImage>);

impl ImageTopics {
    fn view(topic: &millstream_metadata::TopicImage) -> TopicView {
        TopicView { name: Arc::clone(&topic.name), id: topic.id, partitions: topic.partitions.len() as i32 }
    }
}

impl Topics for ImageTopics {
    fn by_name(&self, name: &str) -> Option<TopicView> {
        self.0.topics.by_name(name).map(|t| Self::view(t))
    }

    fn by_id(&self, id: Uuid) -> Option<TopicView> {
        self.0.topics.by_id(id).map(|t| Self::view(t))
    }

    fn all(&self) -> Vec<TopicView> {
        let names = self.0.topics.iter().filter(|t| !millstream_types::topic::is_internal(&t.name));
        names.map(|t| Self::view(t)).collect()
    }
}

struct Task {
    broker: Arc<Broker>,
    core: Coordinator,
    log: CoordinatorLog<Vec<(Token, Answer)>>,
    replies: std::collections::BTreeMap<Token, oneshot::Sender<Answer>>,
    next_token: Token,
    expired_ms: Millis,
    sender: Sender<Message>,
}

impl Task {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            // Deadlines of members are counted on the monotonic clock, so a jump of the wall expires nobody.
            let now = self.broker.clock.monotonic_ms();
            let until = self.core.next_deadline().unwrap_or(Millis::MAX).min(now + SLEEP_MS_MAX);
            let message = match inbox.recv_timeout(Duration::from_millis((until - now).max(0) as u64)) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
            };
            if let Some(message) = message {
                self.take(message);
            }
            let now = self.broker.clock.monotonic_ms();
            if self.core.next_deadline().is_some_and(|d| d <= now) {
                self.step(Input::Tick);
            }
            let wall = self.broker.clock.wall_ms();
            if wall - self.expired_ms >= self.broker.config.number("offsets.retention.check.interval.ms") {
                self.expired_ms = wall;
                self.step(Input::ExpireOffsets);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Request { caller, request, reply } => {
                self.next_token += 1;
                let token = self.next_token;
                self.replies.insert(token, reply);
                self.step(Input::Request { token, caller, request: *request });
            }
            Message::List(reply) => _ = reply.send(self.core.list()),
            Message::Lead { shard, epoch, partition } => self.lead(shard, epoch, partition),
            Message::Resign { shard } => {
                self.step(Input::Unload { shard });
                for answers in self.log.resign(shard) {
                    self.refuse(answers, ErrorCode::NotCoordinator);
                }
            }
            Message::Marker { shard, producer_id, commit } => {
                self.step(Input::Marker { shard, producer_id, commit });
            }
            Message::Committed(shard) => {
                if let Some((epoch, partition)) = self.log.lead_again(shard) {
                    self.lead(shard, epoch, partition);
                }
                for answers in self.log.committed(shard) {
                    self.send(answers);
                }
            }
            Message::TopicsChanged => self.step(Input::TopicsChanged),
            Message::Stop => {}
        }
    }

    fn lead(&mut self, shard: i32, epoch: LeaderEpoch, partition: Arc<Partition>) {
        if is_behind(&partition) {
            let sender = self.sender.clone();
            let again = Arc::clone(&partition);
            when_serving(&partition, move || {
                let _ = sender.send(Message::Lead { shard, epoch, partition: Arc::clone(&again) });
            });
            return;
        }
        if !self.log.may_lead(shard, epoch, &partition) {
            return;
        }
        let mut entries = Vec::new();
        let read = replay(&partition, |replayed| {
            entries.push(match replayed {
                Replayed::Record { key, value, producer_id } => LogEntry::Record(LogRecord {
                    key: Bytes::copy_from_slice(key),
                    value: value.map(Bytes::copy_from_slice),
                    producer_id,
                }),
                Replayed::Marker { producer_id, commit } => LogEntry::Marker { producer_id, commit },
            });
        });
        if let Err(error) = read {
            tracing::error!(shard, %error, "a shard of __consumer_offsets cannot be loaded");
            return;
        }
        self.log.lead(shard, partition);
        self.step(Input::Load { shard, epoch, entries });
    }

    /// Time for the core: requests carry wall time into records (commit times), so the core lives on the wall clock
    /// for those, and on a monotonic one for deadlines. Both are one value to it: the monotonic clock set to the
    /// wall once at start, so that it never jumps.
    fn now(&self) -> Millis {
        self.broker.clock.monotonic_ms()
    }

    fn step(&mut self, input: Input) {
        let topics = ImageTopics(self.broker.image());
        let outcomes = self.core.step(self.now(), &topics, input);
        for outcome in outcomes {
            self.carry_out(outcome);
        }
    }

    fn carry_out(&mut self, outcome: Outcome) {
        let Outcome { shard, append, producer, answers } = outcome;
        if !append.is_empty() {
            let now = (self.broker.clock.wall_ms(), self.broker.clock.monotonic_ms());
            if let Err(error) = self.log.append(now, shard, &append, producer) {
                tracing::warn!(shard, %error, "a record of a group cannot be stored; its shard is loaded again");
                self.refuse(answers, ErrorCode::CoordinatorNotAvailable);
                self.reload(shard);
                return;
            }
        }
        if answers.is_empty() {
            return;
        }
        if let Some(answers) = self.log.when_committed(shard, answers) {
            self.send(answers);
        }
    }

    /// What memory knows of a shard is ahead of its log: it goes back to the log.
    fn reload(&mut self, shard: i32) {
        let Some(partition) = self.log.partition(shard).cloned() else { return };
        let topics = ImageTopics(self.broker.image());
        for outcome in self.core.step(self.now(), &topics, Input::Unload { shard }) {
            self.refuse(outcome.answers, ErrorCode::CoordinatorNotAvailable);
        }
        for answers in self.log.resign(shard) {
            self.refuse(answers, ErrorCode::CoordinatorNotAvailable);
        }
        let epoch = partition.look(|_, replica| replica.leader_epoch());
        self.lead(shard, epoch, partition);
    }

    fn send(&mut self, answers: Vec<(Token, Answer)>) {
        for (token, answer) in answers {
            if let Some(reply) = self.replies.remove(&token) {
                let _ = reply.send(answer);
            }
        }
    }

    fn refuse(&mut self, answers: Vec<(Token, Answer)>, error: ErrorCode) {
        for (token, _) in answers {
            if let Some(reply) = self.replies.remove(&token) {
                let _ = reply.send(Answer::Refused(error));
            }
        }
    }
}
