//! Scripts: each file of `testdata/` drives one controller, line by line; lines that begin with `=` hold what it
//! decided. After each line the committed image that a loader reads must equal the controller's own.
//! `UPDATE_TESTDATA=1 cargo test -p millstream-metadata` writes the answers anew, for a person to read in the diff.

use std::collections::BTreeMap;
use std::fmt::Write;

use millstream_types::{ErrorCode, NodeId, SeededRng, Uuid};
use millstream_wire::message::{
    allocate_producer_ids_request::*, alter_configs_request, alter_partition_request,
    broker_heartbeat_request::*, broker_registration_request, create_partitions_request::*,
    create_topics_request::*, delete_topics_request::*, elect_leaders_request::*,
    incremental_alter_configs_request::*, unregister_broker_request::*, update_features_request::*,
};
use millstream_wire::record::metadata::MetadataRecord;

use crate::*;

/// A few settings, enough for the rules.
pub(crate) struct TestRules;

impl ConfigRules for TestRules {
    fn names(&self, kind: ResourceType) -> Vec<String> {
        let names: &[&str] = match kind {
            ResourceType::Topic => {
                &["cleanup.policy", "min.insync.replicas", "retention.ms", "unclean.leader.election.enable"]
            }
            ResourceType::Broker => &["log.retention.ms", "min.insync.replicas"],
            _ => &["consumer.session.timeout.ms"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn definition(&self, kind: ResourceType, name: &str) -> Option<ConfigDefinition> {
        self.names(kind).iter().find(|known| *known == name)?;
        let default = match name {
            "cleanup.policy" => "delete",
            "min.insync.replicas" => "1",
            "unclean.leader.election.enable" => "false",
            _ => "604800000",
        };
        Some(ConfigDefinition {
            default: Some(default.to_owned()),
            is_list: name == "cleanup.policy",
            is_sensitive: false,
            broker_synonym: (name == "retention.ms").then(|| "log.retention.ms".to_owned()),
        })
    }

    fn validate(&self, resource: &ConfigResource, settings: &ConfigMap) -> Result<(), String> {
        match settings.get("min.insync.replicas").map(|text| text.parse::<i32>()) {
            Some(Err(_)) => Err(format!("min.insync.replicas of {} is no number", resource.name)),
            Some(Ok(..1)) => Err(format!("min.insync.replicas of {} must be 1 or more", resource.name)),
            _ => Ok(()),
        }
    }
}

struct Script {
    controller: Controller,
    loader: Loader,
    rng: SeededRng,
    next_offset: i64,
    now: i64,
    names: BTreeMap<Uuid, String>,
}

struct Line<'a> {
    command: &'a str,
    args: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Line<'a> {
        let mut words = text.split_whitespace();
        let command = words.next().unwrap_or("");
        Line { command, args: words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect() }
    }

    fn has(&self, key: &str) -> bool {
        self.args.contains_key(key)
    }

    fn text(&self, key: &str) -> &'a str {
        self.args.get(key).unwrap_or_else(|| panic!("{} needs {key}=", self.command))
    }

    fn opt(&self, key: &str) -> Option<i64> {
        self.args.get(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{key}={text} is no number")))
    }

    fn int(&self, key: &str) -> i64 {
        self.opt(key).unwrap_or_else(|| panic!("{} needs {key}=", self.command))
    }

    fn list(&self, key: &str) -> Vec<i32> {
        ints(self.args.get(key).copied().unwrap_or(""))
    }
}

fn ints(text: &str) -> Vec<i32> {
    text.split(',').filter(|item| !item.is_empty()).map(|item| item.parse().expect("a number")).collect()
}

pub(crate) fn id(number: i64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Uuid(bytes)
}

impl Script {
    fn new() -> Script {
        let config = ControllerConfig { cluster_id: "c".to_owned(), ..Default::default() };
        Script {
            controller: Controller::new(0, config, MetadataImage::default()),
            loader: Loader::default(),
            rng: SeededRng::new(1),
            next_offset: 0,
            now: 0,
            names: BTreeMap::new(),
        }
    }

    fn topic_id(&self, name: &str) -> Uuid {
        self.controller.image().topics.by_name(name).map_or(id(999), |topic| topic.id)
    }

    /// A record in a few words.
    fn show(&mut self, record: &MetadataRecord) -> String {
        let nodes = |ids: &[i32]| format!("{ids:?}").replace(' ', "");
        match record {
            MetadataRecord::Topic(r) => {
                self.names.insert(r.topic_id, r.name.clone());
                format!("Topic {}", r.name)
            }
            MetadataRecord::Partition(r) => format!(
                "Partition {}-{} replicas {} isr {} leader {}",
                self.names[&r.topic_id],
                r.partition_id,
                nodes(&r.replicas),
                nodes(&r.isr),
                r.leader
            ),
            MetadataRecord::PartitionChange(r) => {
                let mut out = format!("Change {}-{}", self.names[&r.topic_id], r.partition_id);
                if r.leader != -2 {
                    write!(out, " leader {}", r.leader).unwrap();
                }
                if r.leader_recovery_state != -1 {
                    write!(out, " recovering {}", r.leader_recovery_state).unwrap();
                }
                let lists = [
                    ("isr", &r.isr),
                    ("elr", &r.eligible_leader_replicas),
                    ("last known", &r.last_known_elr),
                ];
                for (what, ids) in lists {
                    if let Some(ids) = ids {
                        write!(out, " {what} {}", nodes(ids)).unwrap();
                    }
                }
                out
            }
            MetadataRecord::RemoveTopic(r) => format!("RemoveTopic {}", self.names[&r.topic_id]),
            MetadataRecord::Config(r) => {
                format!("Config {}:{} {} = {:?}", r.resource_type, r.resource_name, r.name, r.value)
            }
            MetadataRecord::RegisterBroker(r) => {
                format!("RegisterBroker {} epoch {} fenced {}", r.broker_id, r.broker_epoch, r.fenced)
            }
            MetadataRecord::UnregisterBroker(r) => format!("UnregisterBroker {}", r.broker_id),
            MetadataRecord::BrokerRegistrationChange(r) => format!(
                "BrokerChange {} fenced {} shutdown {}",
                r.broker_id, r.fenced, r.in_controlled_shutdown
            ),
            MetadataRecord::ClearElr(r) => format!("ClearElr {}", r.topic_name),
            MetadataRecord::FeatureLevel(r) => format!("Feature {} {}", r.name, r.feature_level),
            MetadataRecord::ProducerIds(r) => format!("ProducerIds next {}", r.next_producer_id),
            other => format!("{other:?}"),
        }
    }

    fn commit(&mut self, records: &[MetadataRecord]) -> String {
        let mut out = String::new();
        for record in records {
            writeln!(out, "{}", self.show(record)).unwrap();
            // What goes to disk comes back as it was.
            let version = features::record_version(record, 33);
            let bytes = record.encode(version).unwrap();
            assert_eq!(MetadataRecord::decode(bytes).unwrap(), (record.clone(), version));
        }
        if !records.is_empty() {
            self.next_offset += records.len() as i64;
            let provenance = Provenance { end_offset: self.next_offset, epoch: 1 };
            let changes = self.controller.replay(self.now, provenance, records).unwrap();
            assert_eq!(self.loader.load(self.next_offset, 1, records).unwrap(), Some(changes));
            assert!(*self.loader.image() == *self.controller.image(), "loader and controller differ");
        }
        out
    }

    fn decided<R>(&mut self, decision: Decision<R>, show: impl FnOnce(&R) -> String) -> String {
        let records = self.commit(&decision.records);
        format!("{records}{}", show(&decision.response))
    }

    fn maybe<R>(&mut self, result: Result<Decision<R>, Refusal>, show: impl FnOnce(&R) -> String) -> String {
        match result {
            Ok(decision) => self.decided(decision, show),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn run(&mut self, line: &Line<'_>) -> String {
        let rules = &TestRules;
        self.now = line.opt("at").unwrap_or(self.now);
        let now = self.now;
        let error = |code: i16, message: &Option<String>| match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => "ok".to_owned(),
            code => format!("{}: {}", code.unwrap().name(), message.as_deref().unwrap_or("")),
        };
        match line.command {
            "bootstrap" => self.commit(&features::bootstrap()),
            "register" => {
                let number = line.int("id");
                let request = broker_registration_request::BrokerRegistrationRequest {
                    broker_id: number as i32,
                    cluster_id: line.args.get("cluster").copied().unwrap_or("c").to_owned(),
                    incarnation_id: id(line.opt("incarnation").unwrap_or(number * 10)),
                    listeners: vec![broker_registration_request::Listener {
                        name: "PLAINTEXT".to_owned(),
                        host: "h".to_owned(),
                        port: 9092,
                        ..Default::default()
                    }],
                    features: if line.has("old") { Vec::new() } else { brokers::supported_features() },
                    rack: line.args.get("rack").map(|rack| (*rack).to_owned()),
                    log_dirs: vec![id(1000 + line.opt("dir").unwrap_or(number))],
                    previous_broker_epoch: line.opt("previous").unwrap_or(-1),
                    ..Default::default()
                };
                let result = self.controller.register_broker(now, rules, self.next_offset, &request);
                self.maybe(result, |r| format!("epoch {}", r.broker_epoch))
            }
            "heartbeat" => {
                let broker = self.controller.image().brokers.get(&NodeId(line.int("id") as i32));
                let current = broker.map_or(0, |broker| broker.epoch);
                let request = BrokerHeartbeatRequest {
                    broker_id: line.int("id") as i32,
                    broker_epoch: line.opt("epoch").unwrap_or(current),
                    current_metadata_offset: line.opt("offset").unwrap_or(self.next_offset),
                    want_fence: line.has("want_fence"),
                    want_shut_down: line.has("want_shut_down"),
                    ..Default::default()
                };
                let result = self.controller.heartbeat(now, rules, &request);
                self.maybe(result, |r| {
                    format!(
                        "caught up {} fenced {} shut down {}",
                        r.is_caught_up, r.is_fenced, r.should_shut_down
                    )
                })
            }
            "tick" => {
                let records = self.controller.tick(now, rules);
                let shown = self.commit(&records);
                format!("{shown}next {:?}", self.controller.next_deadline())
            }
            "unregister" => {
                let request =
                    UnregisterBrokerRequest { broker_id: line.int("id") as i32, ..Default::default() };
                let result = self.controller.unregister_broker(rules, &request);
                self.maybe(result, |_| "ok".to_owned())
            }
            "create" => {
                let mut topic = CreatableTopic {
                    name: line.text("name").to_owned(),
                    num_partitions: line.opt("partitions").unwrap_or(-1) as i32,
                    replication_factor: line.opt("rf").unwrap_or(-1) as i16,
                    ..Default::default()
                };
                if let Some(assign) = line.args.get("assign") {
                    let parts = assign.split('/').enumerate();
                    topic.assignments = parts
                        .map(|(at, ids)| CreatableReplicaAssignment {
                            partition_index: at as i32 + line.opt("first").unwrap_or(0) as i32,
                            broker_ids: ints(ids),
                            ..Default::default()
                        })
                        .collect();
                }
                if let Some((name, value)) = line.args.get("set").and_then(|pair| pair.split_once(':')) {
                    topic.configs.push(CreatableTopicConfig {
                        name: name.to_owned(),
                        value: Some(value.to_owned()),
                        ..Default::default()
                    });
                }
                let topics = vec![topic; line.opt("times").unwrap_or(1) as usize];
                let validate_only = line.has("validate_only");
                let request = CreateTopicsRequest { topics, validate_only, ..Default::default() };
                let decision = self.controller.create_topics(rules, &mut self.rng, &request);
                self.decided(decision, |r| {
                    let shown = r.topics.iter().map(|t| match t.error_code {
                        0 => format!("ok {} partitions rf {}", t.num_partitions, t.replication_factor),
                        code => error(code, &t.error_message),
                    });
                    shown.collect::<Vec<_>>().join("; ")
                })
            }
            "delete" => {
                let mut state = DeleteTopicState {
                    name: line.args.get("name").map(|name| (*name).to_owned()),
                    ..Default::default()
                };
                if let Some(name) = line.args.get("id_of") {
                    state.topic_id = self.topic_id(name);
                }
                let request = DeleteTopicsRequest { topics: vec![state], ..Default::default() };
                let decision = self.controller.delete_topics(&request);
                self.decided(decision, |r| error(r.responses[0].error_code, &r.responses[0].error_message))
            }
            "grow" => {
                let assignments = line.args.get("assign").map(|assign| {
                    let parts = assign.split('/').filter(|part| !part.is_empty());
                    parts
                        .map(|ids| CreatePartitionsAssignment { broker_ids: ints(ids), ..Default::default() })
                        .collect()
                });
                let topic = CreatePartitionsTopic {
                    name: line.text("name").to_owned(),
                    count: line.int("count") as i32,
                    assignments,
                    ..Default::default()
                };
                let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
                let decision = self.controller.create_partitions(&mut self.rng, &request);
                self.decided(decision, |r| error(r.results[0].error_code, &r.results[0].error_message))
            }
            "alter" => {
                let resource = AlterConfigsResource {
                    resource_type: line.opt("type").unwrap_or(2) as i8,
                    resource_name: line.text("name").to_owned(),
                    configs: vec![AlterableConfig {
                        name: line.text("key").to_owned(),
                        config_operation: line.opt("op").unwrap_or(0) as i8,
                        value: line.args.get("value").map(|value| (*value).to_owned()),
                        ..Default::default()
                    }],
                    ..Default::default()
                };
                let request =
                    IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
                let decision = self.controller.incremental_alter_configs(rules, &request);
                self.decided(decision, |r| error(r.responses[0].error_code, &r.responses[0].error_message))
            }
            "replace" => {
                let resource = alter_configs_request::AlterConfigsResource {
                    resource_type: 2,
                    resource_name: line.text("name").to_owned(),
                    configs: vec![alter_configs_request::AlterableConfig {
                        name: line.text("key").to_owned(),
                        value: Some(line.text("value").to_owned()),
                        ..Default::default()
                    }],
                    ..Default::default()
                };
                let request = alter_configs_request::AlterConfigsRequest {
                    resources: vec![resource],
                    ..Default::default()
                };
                let decision = self.controller.alter_configs(rules, &request);
                self.decided(decision, |r| error(r.responses[0].error_code, &r.responses[0].error_message))
            }
            "resolve" => {
                let resource = ConfigResource::new(ResourceType::Topic, line.text("name"));
                let all = resolve(self.controller.image(), rules, &resource, 1, &ConfigMap::new());
                let shown = all
                    .iter()
                    .map(|r| format!("{}={} {:?}", r.name, r.value.as_deref().unwrap_or(""), r.source));
                shown.collect::<Vec<_>>().join("; ")
            }
            "isr" => {
                let topic = line.text("topic");
                let at = line.opt("partition").unwrap_or(0) as i32;
                let state =
                    self.controller.partition_state(self.topic_id(topic), at).cloned().unwrap_or_default();
                let new_isr_with_epochs =
                    line.list("isr").into_iter().map(|broker_id| alter_partition_request::BrokerState {
                        broker_id,
                        broker_epoch: line.opt("member_epoch").unwrap_or(-1),
                        ..Default::default()
                    });
                let by = self.controller.image().brokers.get(&NodeId(line.int("by") as i32));
                let request = alter_partition_request::AlterPartitionRequest {
                    broker_id: line.int("by") as i32,
                    broker_epoch: line.opt("epoch").unwrap_or(by.map_or(-1, |broker| broker.epoch)),
                    topics: vec![alter_partition_request::TopicData {
                        topic_id: self.topic_id(topic),
                        partitions: vec![alter_partition_request::PartitionData {
                            partition_index: at,
                            leader_epoch: line.opt("le").unwrap_or(state.leader_epoch.into()) as i32,
                            partition_epoch: line.opt("pe").unwrap_or(state.partition_epoch.into()) as i32,
                            new_isr_with_epochs: new_isr_with_epochs.collect(),
                            leader_recovery_state: line.opt("recovering").unwrap_or(0) as i8,
                            ..Default::default()
                        }],
                        ..Default::default()
                    }],
                    ..Default::default()
                };
                let decision = self.controller.alter_partition(rules, &request);
                self.decided(decision, |r| match r.topics.first() {
                    None => error(r.error_code, &None),
                    Some(topic) => {
                        let p = &topic.partitions[0];
                        match p.error_code {
                            0 => format!(
                                "leader {} le {} isr {:?} pe {}",
                                p.leader_id, p.leader_epoch, p.isr, p.partition_epoch
                            ),
                            code => error(code, &None),
                        }
                    }
                })
            }
            "elect" => {
                let topic_partitions = line.args.get("topic").map(|topic| {
                    let partitions = line.list("partitions");
                    vec![TopicPartitions { topic: (*topic).to_owned(), partitions, ..Default::default() }]
                });
                let election_type = line.int("type") as i8;
                let request = ElectLeadersRequest { election_type, topic_partitions, ..Default::default() };
                let decision = self.controller.elect_leaders(rules, &request);
                self.decided(decision, |r| {
                    let all = r.replica_election_results.iter().flat_map(|t| &t.partition_result);
                    let shown =
                        all.map(|p| format!("{} {}", p.partition_id, error(p.error_code, &p.error_message)));
                    shown.collect::<Vec<_>>().join("; ")
                })
            }
            "producer_ids" => {
                let request = AllocateProducerIdsRequest {
                    broker_id: line.int("id") as i32,
                    broker_epoch: line.int("epoch"),
                    ..Default::default()
                };
                let result = self.controller.allocate_producer_ids(&request);
                self.maybe(result, |r| format!("from {} count {}", r.producer_id_start, r.producer_id_len))
            }
            "feature" => {
                let update = FeatureUpdateKey {
                    feature: line.text("name").to_owned(),
                    max_version_level: line.int("level") as i16,
                    upgrade_type: line.opt("type").unwrap_or(1) as i8,
                    ..Default::default()
                };
                let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
                let decision = self.controller.update_features(&request);
                self.decided(decision, |r| error(r.error_code, &r.error_message))
            }
            "new_controller" => {
                let (config, image) = (self.controller.config.clone(), self.loader.image().clone());
                self.controller = Controller::new(now, config, image);
                "ok".to_owned()
            }
            "state" => {
                let p = self
                    .controller
                    .partition_state(self.topic_id(line.text("topic")), 0)
                    .expect("a partition");
                format!(
                    "leader {:?} le {} pe {} isr {:?} elr {:?} last {:?} recovering {}",
                    p.leader.map(|n| n.0),
                    p.leader_epoch,
                    p.partition_epoch,
                    p.isr,
                    p.eligible_leader_replicas,
                    p.last_known_elr,
                    p.recovering
                )
                .replace("NodeId", "")
            }
            other => panic!("no command {other}"),
        }
    }
}

fn check(path: &std::path::Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut script = Script::new();
    let mut actual = String::new();
    for line in text.lines().filter(|line| !line.starts_with('=')) {
        writeln!(actual, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            for answer in script.run(&Line::parse(line)).lines() {
                writeln!(actual, "= {answer}").unwrap();
            }
        }
    }
    if std::env::var_os("UPDATE_TESTDATA").is_some() {
        std::fs::write(path, &actual).unwrap();
    } else {
        for (at, (expected, got)) in text.lines().zip(actual.lines()).enumerate() {
            assert_eq!(expected, got, "{}:{}", path.display(), at + 1);
        }
        assert_eq!(text, actual, "{}", path.display());
    }
}

#[test]
fn scripts_give_what_they_hold() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "scripts are missing");
    for path in paths {
        check(&path);
    }
}
