//! Scripts: `testdata/*.txt`. A line is an event; the lines below it that begin with `=` are all that it comes to:
//! the records that are stored, then the answers, each with the number of the request it belongs to (requests are
//! numbered from 1 in each script). `~x` is the id that the coordinator may give out for a request with `id=x`. After
//! each script the coordinator is held against one that was loaded from the records.
//!
//! With `BLESS=1` in the environment the files are written anew; look at the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use millstream_group::message::{LogEntry, LogRecord, RequireStable};
use millstream_group::{Caller, Config, Coordinator, Input, Request};
use millstream_types::Uuid;
use millstream_wire::Writer;
use millstream_wire::message::join_group_request::JoinGroupRequestProtocol;
use millstream_wire::message::leave_group_request::MemberIdentity;
use millstream_wire::message::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::message::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use millstream_wire::message::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_wire::message::sync_group_request::SyncGroupRequestAssignment;
use millstream_wire::message::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_wire::message::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, SyncGroupRequest, TxnOffsetCommitRequest,
    consumer_group_heartbeat_request,
};
use millstream_wire::record::data::ConsumerProtocolSubscription;

use crate::agree;
use crate::image::Image;
use crate::show;

/// The words of a line: what, of which group, by whom, and `name=value` options.
struct Line<'a> {
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn new(text: &'a str) -> Line<'a> {
        let (options, words) = text.split_whitespace().partition::<Vec<_>, _>(|w| w.contains('='));
        Line { words, options: options.into_iter().filter_map(|w| w.split_once('=')).collect() }
    }

    fn word(&self, at: usize) -> String {
        self.words.get(at).map(|w| (*w).to_owned()).filter(|w| w != "-").unwrap_or_default()
    }

    fn number(&self, at: usize) -> i32 {
        self.words
            .get(at)
            .and_then(|w| w.parse().ok())
            .unwrap_or_else(|| panic!("a number in {:?}", self.words))
    }

    fn option(&self, name: &str) -> Option<String> {
        self.options.get(name).map(|v| (*v).to_owned())
    }

    fn option_number(&self, name: &str, default: i32) -> i32 {
        self.options.get(name).map_or(default, |v| v.parse().expect("a number"))
    }

    /// `topic/partition` or `topic/partition=offset` pairs of one option, by topic.
    fn places(&self, name: &str) -> Vec<(String, Vec<(i32, i64)>)> {
        let mut found: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
        for one in self.options.get(name).copied().unwrap_or("").split(',').filter(|t| t.contains('/')) {
            let (topic, rest) = one.split_once('/').expect("topic/partition");
            let (partition, offset) = rest.split_once(':').unwrap_or((rest, "0"));
            let pair = (partition.parse().expect("a partition"), offset.parse().expect("an offset"));
            found.entry(topic.to_owned()).or_default().push(pair);
        }
        found.into_iter().collect()
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// A consumer's metadata for JoinGroup.
pub fn metadata(topics: &[String], user_data: &str) -> Bytes {
    let mut w = Writer::new();
    w.i16(1);
    let subscription = ConsumerProtocolSubscription {
        topics: topics.to_vec(),
        user_data: Some(Bytes::copy_from_slice(user_data.as_bytes())),
        ..Default::default()
    };
    subscription.encode(&mut w, 1).expect("it can be written");
    w.into_bytes().expect("it has no file ranges")
}

fn heartbeat(line: &Line<'_>, image: &Image) -> ConsumerGroupHeartbeatRequest {
    let epoch = line.number(3);
    let full = epoch == 0 || line.options.contains_key("names") || line.options.contains_key("regex");
    let own = line.option("own").or_else(|| (epoch == 0).then(|| "-".to_owned()));
    ConsumerGroupHeartbeatRequest {
        group_id: line.word(1),
        member_id: line.word(2),
        member_epoch: epoch,
        instance_id: line.option("instance"),
        rack_id: line.option("rack"),
        rebalance_timeout_ms: if full { line.option_number("timeout", 10_000) } else { -1 },
        subscribed_topic_names: line.option("names").map(|n| list(&n)),
        subscribed_topic_regex: line.option("regex"),
        server_assignor: line.option("assignor"),
        topic_partitions: own.map(|_| {
            let places = line.places("own").into_iter();
            places
                .map(|(topic, ps)| consumer_group_heartbeat_request::TopicPartitions {
                    topic_id: millstream_group::Topics::by_name(image, &topic)
                        .map(|t| t.id)
                        .unwrap_or_default(),
                    partitions: ps.into_iter().map(|(p, _)| p).collect(),
                    ..Default::default()
                })
                .collect()
        }),
        ..Default::default()
    }
}

fn join(line: &Line<'_>) -> JoinGroupRequest {
    let topics = list(&line.option("topics").unwrap_or_else(|| "t".to_owned()));
    let data = line.option("data").unwrap_or_default();
    let protocols = list(&line.option("by").unwrap_or_else(|| "range".to_owned()));
    JoinGroupRequest {
        group_id: line.word(1),
        member_id: line.word(2),
        group_instance_id: line.option("instance"),
        session_timeout_ms: line.option_number("session", 10_000),
        rebalance_timeout_ms: line.option_number("timeout", 30_000),
        protocol_type: line.option("type").unwrap_or_else(|| "consumer".to_owned()),
        protocols: protocols
            .into_iter()
            .map(|name| JoinGroupRequestProtocol {
                name,
                metadata: metadata(&topics, &data),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn sync(line: &Line<'_>) -> SyncGroupRequest {
    let given = list(&line.option("give").unwrap_or_default());
    SyncGroupRequest {
        group_id: line.word(1),
        member_id: line.word(2),
        generation_id: line.number(3),
        group_instance_id: line.option("instance"),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some(line.option("by").unwrap_or_else(|| "range".to_owned())),
        assignments: given
            .iter()
            .filter_map(|one| one.split_once(':'))
            .map(|(member, assignment)| SyncGroupRequestAssignment {
                member_id: member.to_owned(),
                assignment: Bytes::copy_from_slice(assignment.as_bytes()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn commit(line: &Line<'_>) -> OffsetCommitRequest {
    let topic = |(name, partitions): (String, Vec<(i32, i64)>)| OffsetCommitRequestTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, committed_offset)| OffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                committed_metadata: line.option("metadata"),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: line.word(1),
        member_id: line.word(2),
        generation_id_or_member_epoch: line.number(3),
        group_instance_id: line.option("instance"),
        retention_time_ms: i64::from(line.option_number("retention", -1)),
        topics: line.places("of").into_iter().map(topic).collect(),
        ..Default::default()
    }
}

fn txn_commit(line: &Line<'_>) -> TxnOffsetCommitRequest {
    let topic = |(name, partitions): (String, Vec<(i32, i64)>)| TxnOffsetCommitRequestTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, committed_offset)| TxnOffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    TxnOffsetCommitRequest {
        group_id: line.word(1),
        member_id: line.word(2),
        generation_id_or_member_epoch: line.number(3),
        group_instance_id: line.option("instance"),
        producer_id: i64::from(line.option_number("producer", 1)),
        topics: line.places("of").into_iter().map(topic).collect(),
        ..Default::default()
    }
}

fn fetch(line: &Line<'_>) -> Request {
    let topics = line.options.contains_key("of").then(|| {
        let topic = |(name, partitions): (String, Vec<(i32, i64)>)| OffsetFetchRequestTopics {
            name,
            partition_indexes: partitions.into_iter().map(|(p, _)| p).collect(),
            ..Default::default()
        };
        line.places("of").into_iter().map(topic).collect()
    });
    let who = line.option("as");
    let (member, epoch) = who.as_deref().and_then(|w| w.split_once('/')).unzip();
    let group = OffsetFetchRequestGroup {
        group_id: line.word(1),
        member_id: member.map(str::to_owned),
        member_epoch: epoch.map_or(-1, |e| e.parse().expect("an epoch")),
        topics,
        ..Default::default()
    };
    let stable = line.words.contains(&"stable");
    Request::Fetch(group, if stable { RequireStable::Yes } else { RequireStable::No })
}

fn leave(line: &Line<'_>) -> LeaveGroupRequest {
    let members = list(&line.option("members").unwrap_or_default());
    LeaveGroupRequest {
        group_id: line.word(1),
        member_id: line.word(2),
        members: members
            .iter()
            .map(|one| {
                let (member, instance) = one.split_once(':').unwrap_or((one, ""));
                MemberIdentity {
                    member_id: if member == "-" { String::new() } else { member.to_owned() },
                    group_instance_id: Some(instance.to_owned()).filter(|i| !i.is_empty()),
                    ..Default::default()
                }
            })
            .collect(),
        ..Default::default()
    }
}

fn delete_offsets(line: &Line<'_>) -> OffsetDeleteRequest {
    let topic = |(name, partitions): (String, Vec<(i32, i64)>)| OffsetDeleteRequestTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, _)| OffsetDeleteRequestPartition { partition_index })
            .collect(),
    };
    OffsetDeleteRequest { group_id: line.word(1), topics: line.places("of").into_iter().map(topic).collect() }
}

fn request(line: &Line<'_>, image: &Image) -> Option<Request> {
    Some(match line.words[0] {
        "beat" => Request::ConsumerHeartbeat(heartbeat(line, image)),
        "join" => Request::Join(join(line)),
        "sync" => Request::Sync(sync(line)),
        "heartbeat" => Request::Heartbeat(HeartbeatRequest {
            group_id: line.word(1),
            member_id: line.word(2),
            generation_id: line.number(3),
            group_instance_id: line.option("instance"),
            ..Default::default()
        }),
        "leave" => Request::Leave(leave(line)),
        "commit" => Request::Commit(commit(line)),
        "txn-commit" => Request::TxnCommit(txn_commit(line)),
        "fetch" => fetch(line),
        "delete-offsets" => Request::DeleteOffsets(delete_offsets(line)),
        "delete" => Request::DeleteGroup(line.word(1)),
        "describe" => Request::Describe(line.word(1)),
        "describe-consumer" => Request::ConsumerDescribe(line.word(1)),
        _ => return None,
    })
}

/// What a script runs on.
struct Stage {
    coordinator: Coordinator,
    image: Image,
    log: Vec<LogEntry>,
    now: i64,
    asked: u64,
    fresh: BTreeMap<String, String>,
}

fn config() -> Config {
    Config { shards: 1, offsets_retention_ms: 1_000_000, ..Config::default() }
}

impl Stage {
    fn new() -> Stage {
        let mut coordinator = Coordinator::new(config());
        let image = Image::default();
        coordinator.step(0, &image, Input::Load { shard: 0, epoch: 0, entries: Vec::new() });
        Stage { coordinator, image, log: Vec::new(), now: 0, asked: 0, fresh: BTreeMap::new() }
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        if let Input::Marker { producer_id, commit, .. } = &input {
            self.log.push(LogEntry::Marker { producer_id: *producer_id, commit: *commit });
        }
        let outcomes = self.coordinator.step(self.now, &self.image, input);
        let mut lines = Vec::new();
        for outcome in outcomes {
            lines.extend(show::outcome(&self.image, &outcome, &self.fresh));
            let producer_id = outcome.producer.map(|(id, _)| id);
            let records = outcome.append.into_iter();
            self.log
                .extend(records.map(|(key, value)| LogEntry::Record(LogRecord { key, value, producer_id })));
        }
        lines
    }

    fn ask(&mut self, line: &Line<'_>, request: Request) -> Vec<String> {
        self.asked += 1;
        let mut id = [0xee; 16];
        id[8..].copy_from_slice(&self.asked.to_be_bytes());
        let fresh_id = Uuid(id);
        let short = line.option("id").unwrap_or_else(|| self.asked.to_string());
        self.fresh.insert(fresh_id.to_string(), format!("~{short}"));
        let default = match &request {
            Request::Join(_) | Request::Commit(_) => 9,
            Request::ConsumerHeartbeat(r) => i32::from(!r.member_id.is_empty()),
            _ => 0,
        };
        let caller = Caller {
            client_id: line.option("client").unwrap_or_else(|| "c".to_owned()),
            client_host: "/10.0.0.1".to_owned(),
            version: line.option_number("v", default) as i16,
            fresh_id,
        };
        self.step(Input::Request { token: self.asked, caller, request })
    }

    fn event(&mut self, text: &str) -> Vec<String> {
        // The ids that were given out have short names in a script.
        let mut written = text.to_owned();
        let mut longest_first: Vec<_> = self.fresh.iter().collect();
        longest_first.sort_by_key(|(_, short)| std::cmp::Reverse(short.len()));
        for (id, short) in longest_first {
            written = written.replace(short.as_str(), id);
        }
        let line = Line::new(&written);
        if let Some(ms) = line.options.get("at") {
            self.now = ms.parse().expect("milliseconds");
        }
        if let Some(request) = request(&line, &self.image) {
            return self.ask(&line, request);
        }
        match line.words[0] {
            "topic" => {
                self.image.set(line.words[1], line.number(2));
                self.step(Input::TopicsChanged)
            }
            "delete-topic" => {
                self.image.delete(line.words[1]);
                self.step(Input::TopicsChanged)
            }
            "tick" => self.step(Input::Tick),
            "expire" => self.step(Input::ExpireOffsets),
            "marker" => self.step(Input::Marker {
                shard: 0,
                producer_id: i64::from(line.number(1)),
                commit: line.words[2] == "commit",
            }),
            "reload" => {
                let mut lines = self.step(Input::Unload { shard: 0 });
                let entries = self.log.clone();
                lines.extend(self.step(Input::Load { shard: 0, epoch: 1, entries }));
                lines
            }
            "unload" => self.step(Input::Unload { shard: 0 }),
            "deadline" => vec![format!("= {:?}", self.coordinator.next_deadline())],
            "list" => {
                let row = |g: &millstream_group::message::Listed| {
                    format!("= {} {} {} {:?}", g.group_id, g.group_type, g.group_state, g.protocol_type)
                };
                self.coordinator.list().iter().map(row).collect()
            }
            other => panic!("no event is called {other}"),
        }
    }
}

fn check(name: &str, script: &str) {
    let mut stage = Stage::new();
    let mut got = String::new();
    for line in script.lines() {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(got, "{line}");
            continue;
        }
        if line.starts_with('=') {
            continue;
        }
        let _ = writeln!(got, "{line}");
        for told in stage.event(line) {
            let _ = writeln!(got, "{told}");
        }
    }
    if std::env::var_os("BLESS").is_some() {
        let path = format!("{}/tests/it/testdata/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, &got).expect("the script can be written");
        return;
    }
    assert!(got.trim() == script.trim(), "{name}: the coordinator did\n{got}");
    if !script.lines().any(|l| l == "unload") {
        agree::check(name, &config(), &stage.coordinator, stage.now, &stage.image, &stage.log);
    }
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("testdata/", stringify!($name), ".txt")));
        })*
    };
}

scripts!(
    consumer_rebalance consumer_static consumer_fencing consumer_timeouts consumer_topics consumer_crowd
    classic_rebalance classic_static classic_timeouts classic_joins
    offsets offsets_transactions offsets_expiry offsets_pinned groups
);
