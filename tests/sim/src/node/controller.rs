//! The controller's steps, after the server's `controller.rs`: requests decided together, flushed once, answered when
//! they are committed and this node has taken them up. Never enters: what a request is decided to.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_log::{LogConfig, LogDir};
use millstream_metadata::features::{METADATA_VERSION, bootstrap};
use millstream_metadata::{
    Changes, ConfigDefinition, ConfigMap, ConfigResource, ConfigRules, Controller, ControllerConfig,
    Decision, Loader, MetadataImage, Provenance, ResourceType,
};
use millstream_types::{Clock, ErrorCode, Millis, Offset, ProducerId, SeededRng, TopicIdPartition, Uuid};
use millstream_wire::message::broker_registration_request::Listener;
use millstream_wire::message::{
    AllocateProducerIdsRequest, BrokerHeartbeatRequest, BrokerRegistrationRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteTopicsRequest,
};
use millstream_wire::record::metadata::MetadataRecord;

use super::metadata_log::{Event, MetadataLog};
use super::{Inbox, ME, Node, Reply, Stopped};
use crate::clock::SimClock;

const HEARTBEAT_MS: Millis = 2_000;

/// A request to the controller, of one topic.
#[derive(Clone, Debug)]
pub enum ControlRequest {
    /// CreateTopics.
    Create(CreateTopicsRequest),
    /// DeleteTopics.
    Delete(DeleteTopicsRequest),
    /// CreatePartitions.
    Grow(CreatePartitionsRequest),
    /// A block of producer ids, for this node's transaction coordinator.
    ProducerIds,
}

enum Then {
    Nothing,
    Answer(u64, ErrorCode),
    ProducerIds(ProducerId, i32),
}

/// What the controller keeps.
pub(super) struct Task {
    log: MetadataLog,
    loader: Loader,
    controller: Option<Controller>,
    rng: SeededRng,
    inbox: Inbox<(u64, ControlRequest)>,
    waiting: VecDeque<(Offset, Then)>,
    registration: BrokerRegistrationRequest,
    broker_epoch: i64,
    next_heartbeat: Millis,
    next_id: u64,
    /// The committed records, by where they end (RA-3).
    committed: Vec<(Offset, String)>,
}

impl Task {
    pub(super) fn new((log, loader): (MetadataLog, Loader), dirs: &[LogDir], seed: u64) -> Task {
        let mut rng = SeededRng::new(seed);
        let registration = BrokerRegistrationRequest {
            broker_id: ME.0,
            cluster_id: "sim".to_owned(),
            incarnation_id: Uuid::random(&mut rng),
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                host: "localhost".to_owned(),
                port: 9092,
                ..Default::default()
            }],
            features: millstream_metadata::brokers::supported_features(),
            log_dirs: dirs.iter().map(|d| d.identity().directory_id).collect(),
            ..Default::default()
        };
        Task {
            log,
            loader,
            controller: None,
            rng,
            inbox: Inbox::new(),
            waiting: VecDeque::new(),
            registration,
            broker_epoch: -1,
            next_heartbeat: 0,
            next_id: 0,
            committed: Vec::new(),
        }
    }

    /// Whether every directory was stopped cleanly: the registration then names the one before.
    pub(super) fn was_clean(&mut self, clean: bool) {
        let previous = self.loader.image().brokers.get(&ME).filter(|_| clean);
        self.registration.previous_broker_epoch = previous.map_or(-1, |b| b.epoch);
    }

    /// Begins the quorum, leads it, and reads all that is committed, before anything of it is taken up.
    pub(super) fn begin(&mut self, clock: &SimClock) -> Result<(), Stopped> {
        loop {
            self.log.tick()?;
            self.log.flush()?;
            let mut serving = false;
            for event in self.log.take_events() {
                match event {
                    Event::Committed(high_watermark) => {
                        let committed = &mut self.committed;
                        self.log.load_committed(high_watermark, &mut self.loader, |end, records, _, _| {
                            committed.push((end, format!("{records:?}")));
                        })?;
                    }
                    Event::Serving => serving = true,
                    Event::Resigned => {}
                }
            }
            if serving {
                let config = ControllerConfig { cluster_id: "sim".to_owned(), ..ControllerConfig::default() };
                let image = self.loader.image().clone();
                self.controller = Some(Controller::new(clock.monotonic_ms(), config, image));
                return Ok(());
            }
            clock.pass((self.log.next_deadline() - clock.monotonic_ms()).max(1));
        }
    }

    pub(super) fn image(&self) -> &MetadataImage {
        self.loader.image()
    }

    pub(super) fn broker_epoch(&self) -> i64 {
        self.broker_epoch
    }

    pub(super) fn is_ready(&self, now: Millis) -> bool {
        !self.inbox.is_empty() || self.next_deadline() <= now
    }

    pub(super) fn next_deadline(&self) -> Millis {
        let controller = self.controller.as_ref().and_then(Controller::next_deadline).unwrap_or(Millis::MAX);
        self.log.next_deadline().min(self.next_heartbeat).min(controller)
    }
}

/// Everything of an image as changes to an empty one.
pub(super) fn all_changes(image: &MetadataImage) -> Changes {
    let mut changes = Changes::default();
    for topic in image.topics.iter() {
        changes.topics_created.insert(topic.id);
        for partition in 0..topic.partitions.len() as i32 {
            changes.partitions.insert(TopicIdPartition { topic_id: topic.id, partition });
        }
    }
    changes
}

impl Node {
    /// Asks the controller.
    pub fn control(&mut self, id: u64, request: ControlRequest) {
        self.control.inbox.push_back((id, request));
    }

    /// The committed metadata that was seen since the last call: where each batch ends, and what it says.
    pub fn take_committed_metadata(&mut self) -> Vec<(Offset, String)> {
        std::mem::take(&mut self.control.committed)
    }

    pub(super) fn control_step(&mut self) -> Result<(), Stopped> {
        while let Some((id, request)) = self.control.inbox.pop_front() {
            self.control_decide(id, request)?;
        }
        self.control.log.tick()?;
        self.control_heartbeat()?;
        self.control_settle()?;
        self.control.log.snapshot_if_due(&self.control.loader)?;
        self.counts.snapshots = self.control.log.snapshots_made;
        self.control_settle()
    }

    pub(super) fn control_close(&mut self) -> Result<(), Stopped> {
        self.control.log.close()
    }

    fn control_decide(&mut self, id: u64, request: ControlRequest) -> Result<(), Stopped> {
        let Some(controller) = &self.control.controller else {
            match request {
                ControlRequest::ProducerIds => self.txns.no_producer_ids(self.clock.monotonic_ms()),
                _ => self.replies.push(Reply::Control(id, ErrorCode::NotController)),
            }
            return Ok(());
        };
        let code =
            |code: Option<i16>| code.and_then(ErrorCode::from_code).unwrap_or(ErrorCode::UnknownServerError);
        let (records, then) = match request {
            ControlRequest::Create(request) => {
                let Decision { records, response } =
                    controller.create_topics(&TopicRules, &mut self.control.rng, &request);
                (records, Then::Answer(id, code(response.topics.first().map(|t| t.error_code))))
            }
            ControlRequest::Delete(request) => {
                let Decision { records, response } = controller.delete_topics(&request);
                (records, Then::Answer(id, code(response.responses.first().map(|t| t.error_code))))
            }
            ControlRequest::Grow(request) => {
                let Decision { records, response } =
                    controller.create_partitions(&mut self.control.rng, &request);
                (records, Then::Answer(id, code(response.results.first().map(|t| t.error_code))))
            }
            ControlRequest::ProducerIds => {
                let epoch = controller.image().brokers.get(&ME).map_or(-1, |b| b.epoch);
                let request =
                    AllocateProducerIdsRequest { broker_id: ME.0, broker_epoch: epoch, ..Default::default() };
                match controller.allocate_producer_ids(&request) {
                    Ok(Decision { records, response }) => {
                        (records, Then::ProducerIds(response.producer_id_start, response.producer_id_len))
                    }
                    Err(_) => {
                        self.txns.no_producer_ids(self.clock.monotonic_ms());
                        return Ok(());
                    }
                }
            }
        };
        self.control_append(records, then)
    }

    fn control_append(&mut self, records: Vec<MetadataRecord>, then: Then) -> Result<(), Stopped> {
        if records.is_empty() {
            self.control_then(then);
            return Ok(());
        }
        let now = self.clock.monotonic_ms();
        let task = &mut self.control;
        task.next_id += 1;
        let level = task.controller.as_ref().map_or(0, |c| c.image().feature(METADATA_VERSION));
        task.log.propose(task.next_id, records.clone(), level)?;
        let end = task.log.log_end();
        if let Some(controller) = &mut task.controller {
            let provenance = Provenance { end_offset: end, epoch: task.log.serving().unwrap_or(-1) };
            let replayed = controller.replay(now, provenance, &records);
            replayed.unwrap_or_else(|e| panic!("RA-3: the controller cannot take up its own records: {e}"));
        }
        task.waiting.push_back((end, then));
        Ok(())
    }

    fn control_then(&mut self, then: Then) {
        match then {
            Then::Nothing => {}
            Then::Answer(id, code) => self.replies.push(Reply::Control(id, code)),
            Then::ProducerIds(first, count) => self.txns.producer_ids(first, count),
        }
    }

    pub(super) fn control_register(&mut self) -> Result<(), Stopped> {
        let now = self.clock.monotonic_ms();
        let Some(controller) = &self.control.controller else { return Ok(()) };
        if controller.image().features.is_empty() {
            self.control_append(bootstrap(), Then::Nothing)?;
        }
        let Some(controller) = &self.control.controller else { return Ok(()) };
        let next = self.control.log.log_end();
        match controller.register_broker(now, &TopicRules, next, &self.control.registration) {
            Ok(Decision { records, response }) => {
                self.control.broker_epoch = response.broker_epoch;
                self.registered(response.broker_epoch);
                self.control_append(records, Then::Nothing)
            }
            Err(refusal) => panic!("a broker is refused by its own controller: {}", refusal.message),
        }
    }

    fn control_heartbeat(&mut self) -> Result<(), Stopped> {
        let now = self.clock.monotonic_ms();
        let task = &mut self.control;
        if now < task.next_heartbeat {
            return Ok(());
        }
        task.next_heartbeat = now + HEARTBEAT_MS;
        let Some(controller) = &mut task.controller else { return Ok(()) };
        let request = BrokerHeartbeatRequest {
            broker_id: ME.0,
            broker_epoch: task.broker_epoch,
            current_metadata_offset: task.loader.image().provenance.end_offset - 1,
            ..Default::default()
        };
        if let Ok(Decision { records, .. }) = controller.heartbeat(now, &TopicRules, &request) {
            self.control_append(records, Then::Nothing)?;
        }
        loop {
            let records = self.control.controller.as_ref().map(|c| c.tick(now, &TopicRules));
            let records = records.unwrap_or_default();
            if records.is_empty() {
                return Ok(());
            }
            self.control_append(records, Then::Nothing)?;
        }
    }

    fn control_settle(&mut self) -> Result<(), Stopped> {
        self.control.log.flush()?;
        for event in self.control.log.take_events() {
            match event {
                Event::Committed(high_watermark) => self.control_committed(high_watermark)?,
                Event::Serving => {
                    let now = self.clock.monotonic_ms();
                    let config =
                        ControllerConfig { cluster_id: "sim".to_owned(), ..ControllerConfig::default() };
                    let image = self.control.loader.image().clone();
                    self.control.controller = Some(Controller::new(now, config, image));
                    self.control_register()?;
                }
                Event::Resigned => {
                    self.control.controller = None;
                    while let Some((_, then)) = self.control.waiting.pop_front() {
                        match then {
                            Then::Answer(id, _) => {
                                self.control_then(Then::Answer(id, ErrorCode::NotController))
                            }
                            Then::ProducerIds(..) => self.txns.no_producer_ids(self.clock.monotonic_ms()),
                            Then::Nothing => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn control_committed(&mut self, high_watermark: Offset) -> Result<(), Stopped> {
        let mut images = Vec::new();
        let task = &mut self.control;
        let committed = &mut task.committed;
        task.log.load_committed(high_watermark, &mut task.loader, |end, records, image, changes| {
            committed.push((end, format!("{records:?}")));
            if let Some(changes) = changes {
                images.push((Arc::new(image.clone()), changes.clone()));
            }
        })?;
        for (image, changes) in images {
            self.apply(image, &changes)?;
        }
        while self.control.waiting.front().is_some_and(|(end, _)| *end <= high_watermark) {
            if let Some((_, then)) = self.control.waiting.pop_front() {
                self.control_then(then);
            }
        }
        let me = self.control.loader.image().brokers.get(&ME);
        if me.is_some_and(|b| b.fenced && b.epoch == self.control.broker_epoch) {
            self.control.next_heartbeat = 0;
        }
        Ok(())
    }
}

/// The settings of topics.
struct TopicRules;

impl ConfigRules for TopicRules {
    fn names(&self, _: ResourceType) -> Vec<String> {
        millstream_log::config::DEFINITIONS.iter().map(|d| d.name.to_owned()).collect()
    }

    fn definition(&self, _: ResourceType, name: &str) -> Option<ConfigDefinition> {
        let found = millstream_log::config::DEFINITIONS.iter().find(|d| d.name == name)?;
        Some(ConfigDefinition {
            default: LogConfig::default().get(found.name),
            is_list: found.name == "cleanup.policy",
            is_sensitive: false,
            broker_synonym: found.broker_name.map(str::to_owned),
        })
    }

    fn validate(&self, _: &ConfigResource, settings: &ConfigMap) -> Result<(), String> {
        let pairs = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        LogConfig::from_pairs(pairs).map(|_| ()).map_err(|e| e.to_string())
    }
}
