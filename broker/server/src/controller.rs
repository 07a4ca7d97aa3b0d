//! The controller's thread: it drives the metadata log and its quorum, decides requests where this node leads, and
//! hands committed images to the broker. Decisions that come together are flushed together, and answered when they are
//! committed and this broker has taken them up. Never enters: what a request is decided to (`millstream-metadata`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use millstream_metadata::features::{METADATA_VERSION, bootstrap};
use millstream_metadata::{Changes, Controller, ControllerConfig, Decision, Loader, Provenance};
use millstream_types::{ErrorCode, LeaderEpoch, Millis, Offset, ProducerId, SeededRng};
use millstream_wire::message::{
    AllocateProducerIdsRequest, AlterConfigsRequest, AlterConfigsResponse, BrokerHeartbeatRequest,
    BrokerRegistrationRequest, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use millstream_wire::record::metadata::MetadataRecord;
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::metadata_log::{Event, MetadataLog, MetadataLogError};
use crate::rules::Rules;

/// Requests that are decided before one flush.
const TOGETHER_MAX: usize = 256;
/// How often this broker tells its controller that it is alive.
const HEARTBEAT_MS: Millis = 2_000;

type Reply = Box<dyn FnOnce(Result<(), ErrorCode>) + Send>;
type Job = Box<dyn FnOnce(Option<&mut Deciding<'_>>) -> (Vec<MetadataRecord>, Reply) + Send>;

enum Message {
    Job(Job),
    Stop(oneshot::Sender<()>),
}

/// What a job decides with.
pub struct Deciding<'a> {
    controller: &'a mut Controller,
    rng: &'a mut SeededRng,
}

impl Deciding<'_> {
    /// CreateTopics.
    pub fn create_topics(&mut self, request: CreateTopicsRequest) -> Decision<CreateTopicsResponse> {
        self.controller.create_topics(&Rules, self.rng, &request)
    }

    /// DeleteTopics.
    pub fn delete_topics(&mut self, request: DeleteTopicsRequest) -> Decision<DeleteTopicsResponse> {
        self.controller.delete_topics(&request)
    }

    /// CreatePartitions.
    pub fn create_partitions(
        &mut self,
        request: CreatePartitionsRequest,
    ) -> Decision<CreatePartitionsResponse> {
        self.controller.create_partitions(self.rng, &request)
    }

    /// AlterConfigs.
    pub fn alter_configs(&mut self, request: AlterConfigsRequest) -> Decision<AlterConfigsResponse> {
        self.controller.alter_configs(&Rules, &request)
    }

    /// IncrementalAlterConfigs.
    pub fn incremental_alter_configs(
        &mut self,
        request: IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        self.controller.incremental_alter_configs(&Rules, &request)
    }
}

/// The way to the thread.
#[derive(Clone)]
pub struct ControllerHandle {
    sender: Sender<Message>,
}

/// What the thread takes from.
pub struct ControllerInbox(Receiver<Message>);

impl ControllerHandle {
    /// The queue, before its thread runs.
    pub fn new() -> (ControllerHandle, ControllerInbox) {
        let (sender, receiver) = channel();
        (ControllerHandle { sender }, ControllerInbox(receiver))
    }

    fn send<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Deciding<'_>) -> Decision<R> + Send + 'static,
        reply: impl FnOnce(Result<R, ErrorCode>) + Send + 'static,
    ) {
        let job: Job = Box::new(move |deciding| match deciding {
            Some(deciding) => {
                let Decision { records, response } = decide(deciding);
                (records, Box::new(move |result| reply(result.map(|()| response))))
            }
            None => (Vec::new(), Box::new(move |_| reply(Err(ErrorCode::NotController)))),
        });
        let _ = self.sender.send(Message::Job(job));
    }

    /// Has a request decided; the answer comes when its records are committed and this broker has taken them up.
    ///
    /// # Errors
    /// NOT_CONTROLLER where this node does not lead the quorum, or stopped.
    pub async fn ask<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Deciding<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<R, ErrorCode> {
        let (reply, answer) = oneshot::channel();
        self.send(decide, move |result| _ = reply.send(result));
        answer.await.unwrap_or(Err(ErrorCode::NotController))
    }

    /// Asks for a block of producer ids for this broker.
    pub fn allocate_producer_ids(
        &self,
        then: impl FnOnce(Result<(ProducerId, i32), ErrorCode>) + Send + 'static,
    ) {
        self.send(
            |deciding| {
                let broker = deciding.controller.image().brokers.values().next();
                let (broker_id, broker_epoch) = broker.map_or((-1, -1), |b| (b.id.0, b.epoch));
                let request = AllocateProducerIdsRequest { broker_id, broker_epoch, ..Default::default() };
                match deciding.controller.allocate_producer_ids(&request) {
                    Ok(Decision { records, response }) => Decision { records, response: Ok(response) },
                    Err(refusal) => Decision { records: Vec::new(), response: Err(refusal.code) },
                }
            },
            move |result| {
                then(result.and_then(|r| r).map(|r| (r.producer_id_start, r.producer_id_len)));
            },
        );
    }

    /// Ends the thread, after what was decided is committed.
    pub async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::Stop(reply));
        let _ = answer.await;
    }
}

/// The thread's state before it runs: the log is open, and where this node is a quorum of one, it leads.
pub struct Boot {
    log: MetadataLog,
    loader: Loader,
    serving: Option<LeaderEpoch>,
}

impl Boot {
    /// Begins the quorum, leads it (a quorum of one elects itself within two election time-outs), and reads all that is
    /// committed: replicas are opened by what the log comes to. Its history, or an old snapshot, would have them opened
    /// for topics that are gone, and take the directories of those that came after them for strays.
    ///
    /// # Errors
    /// The metadata log's.
    pub fn begin(mut log: MetadataLog, mut loader: Loader) -> Result<Boot, MetadataLogError> {
        let mut serving = None;
        loop {
            log.tick()?;
            log.flush()?;
            for event in log.take_events() {
                match event {
                    Event::Committed(high_watermark) => {
                        log.load_committed(high_watermark, &mut loader, |_, _| ())?
                    }
                    Event::Serving(epoch) => serving = Some(epoch),
                    Event::Resigned => serving = None,
                    Event::Refused(_) => {}
                }
            }
            if serving.is_some() {
                return Ok(Boot { log, loader, serving });
            }
            let wait = log.next_deadline() - log.now();
            std::thread::sleep(Duration::from_millis(wait.clamp(1, HEARTBEAT_MS) as u64));
        }
    }

    /// The image so far.
    pub fn image(&self) -> &millstream_metadata::MetadataImage {
        self.loader.image()
    }
}

/// Everything of an image as changes to an empty one.
pub fn all_changes(image: &millstream_metadata::MetadataImage) -> Changes {
    let mut changes = Changes::default();
    for topic in image.topics.iter() {
        changes.topics_created.insert(topic.id);
        for partition in 0..topic.partitions.len() as i32 {
            changes.partitions.insert(millstream_types::TopicIdPartition { topic_id: topic.id, partition });
        }
    }
    changes
}

/// Starts the thread: it registers this broker, which is fenced until its image has read that.
///
/// # Errors
/// No thread can be started.
pub fn start(
    boot: Boot,
    broker: Arc<Broker>,
    config: ControllerConfig,
    registration: BrokerRegistrationRequest,
    inbox: ControllerInbox,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    crate::critical::spawn("controller", move || {
        let mut task = Task {
            log: boot.log,
            loader: boot.loader,
            controller: None,
            config,
            rng: SeededRng::new(crate::clock::seed()),
            waiting: VecDeque::new(),
            registration,
            broker_epoch: None,
            next_heartbeat: 0,
            next_id: 0,
            broker,
        };
        if let Some(epoch) = boot.serving {
            task.serve(epoch);
        }
        if let Err(error) = task.run(&inbox.0) {
            // Without its metadata log a broker can promise nothing: it keeps serving what it has, and says so.
            tracing::error!(%error, "the controller has stopped; nothing can be created or changed until a restart");
        }
    })
}

struct Task {
    broker: Arc<Broker>,
    log: MetadataLog,
    loader: Loader,
    controller: Option<Controller>,
    config: ControllerConfig,
    rng: SeededRng,
    /// Replies that wait for an offset to be committed.
    waiting: VecDeque<(Offset, Reply)>,
    registration: BrokerRegistrationRequest,
    broker_epoch: Option<i64>,
    next_heartbeat: Millis,
    next_id: u64,
}

impl Task {
    fn run(&mut self, inbox: &Receiver<Message>) -> Result<(), MetadataLogError> {
        self.register()?;
        self.settle()?;
        loop {
            let now = self.broker.clock.monotonic_ms();
            let controller =
                self.controller.as_ref().and_then(Controller::next_deadline).unwrap_or(Millis::MAX);
            let until = self.log.next_deadline().min(self.next_heartbeat).min(controller);
            let wait = Duration::from_millis(until.saturating_sub(now).clamp(0, HEARTBEAT_MS) as u64);
            let mut stop = None;
            match inbox.recv_timeout(wait) {
                Ok(first) => {
                    let more = std::iter::from_fn(|| inbox.try_recv().ok()).take(TOGETHER_MAX);
                    for message in std::iter::once(first).chain(more) {
                        match message {
                            Message::Job(job) => self.decide(job)?,
                            Message::Stop(reply) => stop = Some(reply),
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.log.tick()?;
            self.heartbeat()?;
            self.settle()?;
            self.log.snapshot_if_due(&self.loader)?;
            self.settle()?;
            if let Some(reply) = stop {
                self.log.close()?;
                let _ = reply.send(());
                return Ok(());
            }
        }
    }

    fn serve(&mut self, _epoch: LeaderEpoch) {
        let now = self.broker.clock.monotonic_ms();
        self.controller = Some(Controller::new(now, self.config.clone(), self.loader.image().clone()));
    }

    /// Has a new cluster begin with its features, and this broker registered.
    fn register(&mut self) -> Result<(), MetadataLogError> {
        let now = self.broker.clock.monotonic_ms();
        let Some(controller) = &self.controller else { return Ok(()) };
        if controller.image().features.is_empty() {
            self.append(bootstrap(), Box::new(|_| ()))?;
        }
        let Some(controller) = &self.controller else { return Ok(()) };
        let next = self.log.log_end();
        match controller.register_broker(now, &Rules, next, &self.registration) {
            Ok(Decision { records, response }) => {
                self.broker_epoch = Some(response.broker_epoch);
                self.broker.replicas.registered(response.broker_epoch);
                self.append(records, Box::new(|_| ()))
            }
            Err(refusal) => Err(MetadataLogError::Unreadable(format!(
                "this broker is refused by its own controller: {}",
                refusal.message
            ))),
        }
    }

    /// Tells the controller that this broker lives and how far it has read; it is unfenced by that.
    fn heartbeat(&mut self) -> Result<(), MetadataLogError> {
        let now = self.broker.clock.monotonic_ms();
        if now < self.next_heartbeat {
            return Ok(());
        }
        self.next_heartbeat = now + HEARTBEAT_MS;
        let (Some(controller), Some(broker_epoch)) = (&mut self.controller, self.broker_epoch) else {
            return Ok(());
        };
        let request = BrokerHeartbeatRequest {
            broker_id: self.broker.me.0,
            broker_epoch,
            current_metadata_offset: self.loader.image().provenance.end_offset - 1,
            ..Default::default()
        };
        match controller.heartbeat(now, &Rules, &request) {
            Ok(Decision { records, .. }) => self.append(records, Box::new(|_| ()))?,
            Err(refusal) => {
                tracing::warn!(refusal = refusal.message, "a heartbeat of this broker is refused")
            }
        }
        loop {
            let records = self.controller.as_ref().map(|c| c.tick(now, &Rules)).unwrap_or_default();
            if records.is_empty() {
                return Ok(());
            }
            self.append(records, Box::new(|_| ()))?;
        }
    }

    fn decide(&mut self, job: Job) -> Result<(), MetadataLogError> {
        let (records, reply) = match &mut self.controller {
            Some(controller) => job(Some(&mut Deciding { controller, rng: &mut self.rng })),
            None => job(None),
        };
        self.append(records, reply)
    }

    fn append(&mut self, records: Vec<MetadataRecord>, reply: Reply) -> Result<(), MetadataLogError> {
        if records.is_empty() {
            reply(Ok(()));
            return Ok(());
        }
        self.next_id += 1;
        let level = self.controller.as_ref().map_or(0, |c| c.image().feature(METADATA_VERSION));
        let now = self.broker.clock.monotonic_ms();
        self.log.propose(self.next_id, records.clone(), level)?;
        let end = self.log.log_end();
        if let Some(controller) = &mut self.controller {
            let epoch = self.log.serving().unwrap_or(-1);
            let provenance = Provenance { end_offset: end, epoch };
            controller
                .replay(now, provenance, &records)
                .map_err(|e| MetadataLogError::Unreadable(e.to_string()))?;
        }
        self.waiting.push_back((end, reply));
        Ok(())
    }

    /// Flushes, takes up what became committed, and answers.
    fn settle(&mut self) -> Result<(), MetadataLogError> {
        self.log.flush()?;
        for event in self.log.take_events() {
            match event {
                Event::Committed(high_watermark) => {
                    let broker = Arc::clone(&self.broker);
                    self.log.load_committed(high_watermark, &mut self.loader, |image, changes| {
                        broker.apply(Arc::new(image.clone()), changes);
                    })?;
                    while self.waiting.front().is_some_and(|(end, _)| *end <= high_watermark) {
                        if let Some((_, reply)) = self.waiting.pop_front() {
                            reply(Ok(()));
                        }
                    }
                    // A broker that has read its own registration is unfenced at its next heartbeat: now.
                    let me = self.loader.image().brokers.get(&self.broker.me);
                    if me.is_some_and(|b| b.fenced && Some(b.epoch) == self.broker_epoch) {
                        self.next_heartbeat = 0;
                    }
                }
                Event::Serving(epoch) => {
                    self.serve(epoch);
                    self.register()?;
                }
                Event::Resigned => {
                    self.controller = None;
                    for (_, reply) in self.waiting.drain(..) {
                        reply(Err(ErrorCode::NotController));
                    }
                }
                Event::Refused(_) => {}
            }
        }
        Ok(())
    }
}
