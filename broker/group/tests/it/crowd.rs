//! A seeded crowd of members of the consumer protocol: they join, beat, leave, die and come back; answers are lost,
//! requests arrive twice and commits late; topics grow, go and are made again; and the coordinator is unloaded at any
//! moment, with what was not yet committed lost, and loaded from its log, which a cleaner may have been at.
//!
//! Checked at every step: GR-1 as clients see it (one reads on until it has let go of what it must give up), GR-2 (a
//! commit is not taken from who no longer has the partition), that the log tells the same story as memory. Checked
//! in the end: once it is quiet, all partitions are read and the group is stable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_group::message::{LogEntry, LogRecord};
use millstream_group::{Answer, Caller, Config, Coordinator, Input, Outcome, Request, Token, Topics};
use millstream_types::{ErrorCode, Millis, Rng, SeededRng, Uuid};
use millstream_wire::message::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::message::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, OffsetCommitRequest,
    consumer_group_heartbeat_request,
};

use crate::agree;
use crate::image::Image;

const NAMES: [&str; 3] = ["t", "u", "v"];

type Place = (Uuid, i32);

#[derive(Default)]
struct Client {
    id: String,
    instance: Option<String>,
    names: Vec<String>,
    regex: Option<String>,
    epoch: i32,
    /// What it reads.
    owned: BTreeSet<Place>,
    /// What it was told to read; it reads what is new of it at once, and lets go of the rest when it gets to it.
    target: BTreeSet<Place>,
    /// What it last said that it owned.
    said: Option<BTreeSet<Place>>,
    /// The heartbeat that it waits for.
    asked: Option<Token>,
    next_beat: Millis,
    /// It says everything again.
    full: bool,
    /// It wants other topics, and has not said so yet.
    resubscribed: bool,
    /// It is gone, and reads nothing.
    dead: bool,
    /// It stood still so long that it may have been taken out: it does not count as a reader until it hears again.
    stalled: bool,
}

struct World {
    now: Millis,
    image: Image,
    config: Config,
    coordinator: Coordinator,
    committed: Vec<LogEntry>,
    /// Outcomes whose records are appended, and not committed.
    appended: VecDeque<Outcome>,
    clients: Vec<Client>,
    next_token: Token,
    late: Vec<(usize, OffsetCommitRequest)>,
    lossy: bool,
    made: u64,
    moved: u64,
    loads: u64,
    taken: u64,
}

fn request_of(client: &Client) -> ConsumerGroupHeartbeatRequest {
    let says = client.full || client.said.as_ref() != Some(&client.owned);
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &client.owned {
        topics.entry(*topic).or_default().push(*partition);
    }
    let full = client.full || client.epoch == 0;
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: client.id.clone(),
        member_epoch: client.epoch,
        instance_id: client.instance.clone(),
        rebalance_timeout_ms: if full { 60_000 } else { -1 },
        subscribed_topic_names: full.then(|| client.names.clone()),
        subscribed_topic_regex: client.regex.clone().filter(|_| full),
        topic_partitions: says.then(|| {
            let all = topics.into_iter();
            all.map(|(topic_id, partitions)| consumer_group_heartbeat_request::TopicPartitions {
                topic_id,
                partitions,
                ..Default::default()
            })
            .collect()
        }),
        ..Default::default()
    }
}

impl World {
    fn new() -> World {
        let config = Config { shards: 1, consumer_session_timeout_ms: 10_000, ..Config::default() };
        let mut image = Image::default();
        image.set("t", 4);
        image.set("u", 1);
        let mut coordinator = Coordinator::new(config.clone());
        coordinator.step(0, &image, Input::Load { shard: 0, epoch: 0, entries: Vec::new() });
        World {
            now: 0,
            image,
            config,
            coordinator,
            committed: Vec::new(),
            appended: VecDeque::new(),
            clients: Vec::new(),
            next_token: 0,
            late: Vec::new(),
            lossy: true,
            made: 0,
            moved: 0,
            loads: 0,
            taken: 0,
        }
    }

    fn step(&mut self, input: Input) -> Vec<Answer> {
        let outcomes = self.coordinator.step(self.now, &self.image, input);
        let answers = outcomes.iter().flat_map(|o| o.answers.iter().map(|(_, a)| a.clone())).collect();
        self.appended.extend(outcomes);
        answers
    }

    fn ask(&mut self, request: Request) -> (Token, Vec<Answer>) {
        self.next_token += 1;
        let token = self.next_token;
        let caller = Caller { client_id: "c".to_owned(), version: 10, ..Caller::default() };
        (token, self.step(Input::Request { token, caller, request }))
    }

    fn log(&self) -> Vec<LogEntry> {
        let records = self.appended.iter().flat_map(|o| o.append.iter());
        let tail = records
            .map(|(key, value)| LogRecord { key: key.clone(), value: value.clone(), producer_id: None })
            .map(LogEntry::Record);
        self.committed.iter().cloned().chain(tail).collect()
    }

    /// Some of what was appended is committed, and its answers leave.
    fn commit(&mut self, count: usize, rng: &mut SeededRng) {
        for outcome in self.appended.drain(..count).collect::<Vec<_>>() {
            let records = outcome.append.into_iter();
            let records = records.map(|(key, value)| LogRecord { key, value, producer_id: None });
            self.committed.extend(records.map(LogEntry::Record));
            for (token, answer) in outcome.answers {
                let lost = self.lossy && rng.chance(1, 10);
                let Some(at) = self.clients.iter().position(|c| c.asked == Some(token)) else { continue };
                if let Answer::ConsumerHeartbeat(answer) = answer
                    && !lost
                {
                    self.hear(at, answer);
                }
            }
        }
    }

    fn hear(&mut self, at: usize, answer: ConsumerGroupHeartbeatResponse) {
        let now = self.now;
        let client = &mut self.clients[at];
        client.asked = None;
        let error = ErrorCode::from_code(answer.error_code).expect("a code of Kafka's");
        match error {
            ErrorCode::None => {
                assert!(answer.member_epoch > 0, "a member is told an epoch that it can name");
                client.epoch = answer.member_epoch;
                client.full = false;
                client.stalled = false;
                client.next_beat = now + Millis::from(answer.heartbeat_interval_ms);
                if let Some(assignment) = answer.assignment {
                    let all = assignment.topic_partitions.iter();
                    client.target = all.flat_map(|t| t.partitions.iter().map(|p| (t.topic_id, *p))).collect();
                    let news: Vec<Place> = client.target.difference(&client.owned).copied().collect();
                    self.moved += news.len() as u64;
                    client.owned.extend(news);
                }
            }
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                client.epoch = 0;
                client.full = true;
                client.stalled = false;
                client.owned.clear();
                client.target.clear();
                client.said = None;
                client.next_beat = now + 100;
            }
            ErrorCode::UnreleasedInstanceId => client.next_beat = now + 1_000,
            ErrorCode::FencedInstanceId => client.dead = true,
            other => panic!("a member is refused with {other}: {:?}", answer.error_message),
        }
        self.check_owners();
    }

    fn check_owners(&self) {
        let mut readers: BTreeMap<Place, &str> = BTreeMap::new();
        for client in self.clients.iter().filter(|c| !c.dead && !c.stalled) {
            for place in &client.owned {
                if let Some(other) = readers.insert(*place, &client.id) {
                    panic!("GR-1: {other} and {} read {place:?}", client.id);
                }
            }
        }
    }

    fn beat(&mut self, at: usize, rng: &mut SeededRng) {
        let client = &mut self.clients[at];
        // Where no answer came, it says everything again.
        client.full |= client.asked.is_some() || std::mem::take(&mut client.resubscribed);
        let request = request_of(client);
        client.next_beat = self.now + 2_000;
        if request.topic_partitions.is_some() {
            client.said = Some(client.owned.clone());
        }
        let (token, _) = self.ask(Request::ConsumerHeartbeat(request.clone()));
        self.clients[at].asked = Some(token);
        if self.lossy && rng.chance(1, 10) {
            self.ask(Request::ConsumerHeartbeat(request));
        }
    }

    fn leave(&mut self, at: usize, epoch: i32) {
        let client = &mut self.clients[at];
        client.dead = true;
        let mut request = request_of(client);
        request.member_epoch = epoch;
        self.ask(Request::ConsumerHeartbeat(request));
    }

    fn join(&mut self, rng: &mut SeededRng) {
        self.made += 1;
        let instance = rng.chance(1, 3).then(|| format!("i{}", rng.below(3)));
        let taken = self.clients.iter().any(|c| !c.dead && c.instance.is_some() && c.instance == instance);
        let mut client = Client {
            id: format!("m{}", self.made),
            instance: instance.filter(|_| !taken),
            next_beat: self.now,
            full: true,
            ..Client::default()
        };
        Self::subscribe(&mut client, rng);
        self.clients.push(client);
    }

    fn subscribe(client: &mut Client, rng: &mut SeededRng) {
        let chosen = NAMES.iter().filter(|_| rng.chance(2, 3));
        client.names = chosen.map(|n| (*n).to_owned()).collect();
        client.regex = Some(if rng.chance(1, 5) { "[tv].*" } else { "" }.to_owned());
        client.resubscribed = true;
    }

    fn place(&self, rng: &mut SeededRng) -> Option<(usize, Place)> {
        let all: Vec<(usize, Place)> = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, c)| !c.dead && c.epoch > 0)
            .flat_map(|(at, c)| c.owned.iter().map(move |p| (at, *p)))
            .collect();
        (!all.is_empty()).then(|| all[rng.below(all.len() as u64) as usize])
    }

    /// A client's commit for something that it reads.
    fn commit_of(&self, at: usize, (topic, partition): Place) -> Option<OffsetCommitRequest> {
        Some(OffsetCommitRequest {
            group_id: "g".to_owned(),
            member_id: self.clients[at].id.clone(),
            generation_id_or_member_epoch: self.clients[at].epoch,
            topics: vec![OffsetCommitRequestTopic {
                name: self.image.by_id(topic)?.name.to_string(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: self.now,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        })
    }

    /// A commit arrives, perhaps late: by now another may have the partition.
    fn deliver_commit(&mut self, at: usize, request: OffsetCommitRequest) {
        let topic = &request.topics[0];
        let partition = topic.partitions[0].partition_index;
        let Some(id) = self.image.by_name(&topic.name).map(|t| t.id) else { return };
        let (_, answers) = self.ask(Request::Commit(request));
        let Some(Answer::Commit(answer)) = answers.first() else { panic!("a commit is answered") };
        if answer.topics[0].partitions[0].error_code != 0 {
            return;
        }
        self.taken += 1;
        let readers = self.clients.iter().enumerate().filter(|(_, c)| !c.dead && !c.stalled);
        for (other, client) in readers {
            assert!(
                other == at || !client.owned.contains(&(id, partition)),
                "GR-2: a commit of {} is taken for what {} reads",
                self.clients[at].id,
                client.id
            );
        }
    }

    /// The coordinator is gone at some record, and another reads the log.
    fn crash(&mut self, rng: &mut SeededRng) {
        self.loads += 1;
        let kept = rng.below(self.appended.len() as u64 + 1) as usize;
        self.commit(kept, rng);
        self.appended.clear();
        self.committed = agree::compacted(&self.committed, rng);
        self.coordinator.step(self.now, &self.image, Input::Unload { shard: 0 });
        let entries = self.committed.clone();
        let load = Input::Load { shard: 0, epoch: self.loads as i32, entries };
        self.step(load);
    }

    fn churn(&mut self, rng: &mut SeededRng) {
        let at = (!self.clients.is_empty()).then(|| rng.below(self.clients.len() as u64) as usize);
        let at = at.filter(|&at| !self.clients[at].dead);
        match (rng.below(40), at) {
            (0 | 1, _) if self.clients.iter().filter(|c| !c.dead).count() < 7 => self.join(rng),
            (2, Some(at)) => self.leave(at, -1),
            (3, Some(at)) if self.clients[at].instance.is_some() && self.clients[at].epoch > 0 => {
                self.leave(at, -2);
            }
            (4, Some(at)) => self.clients[at].dead = true,
            (5, Some(at)) => Self::subscribe(&mut self.clients[at], rng),
            (6, Some(at)) => {
                self.clients[at].stalled = true;
                self.clients[at].asked = None;
                self.clients[at].full = true;
                self.clients[at].next_beat = self.now + 15_000;
            }
            (7, _) => {
                let name = NAMES[rng.below(3) as usize];
                match rng.below(3) {
                    0 => self.image.delete(name),
                    _ => self.image.set(name, 1 + rng.below(8) as i32),
                }
                self.step(Input::TopicsChanged);
            }
            (8, _) if rng.chance(1, 3) => self.crash(rng),
            (9..=12, _) => {
                if let Some((at, place)) = self.place(rng)
                    && let Some(request) = self.commit_of(at, place)
                {
                    self.late.push((at, request));
                }
            }
            (13..=15, _) if !self.late.is_empty() => {
                let at = rng.below(self.late.len() as u64) as usize;
                let (client, request) = self.late.swap_remove(at);
                self.deliver_commit(client, request);
            }
            _ => {}
        }
    }

    /// What happens by itself as time goes by.
    fn pass(&mut self, rng: &mut SeededRng) {
        self.now += rng.below(150) as Millis;
        if self.coordinator.next_deadline().is_some_and(|at| at <= self.now) {
            self.step(Input::Tick);
        }
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.dead {
                continue;
            }
            if client.owned != client.target && !client.stalled && rng.chance(1, 2) {
                client.owned = client.target.clone();
            }
            if client.next_beat <= self.now {
                self.beat(at, rng);
            }
        }
        let count = rng.below(self.appended.len() as u64 + 1) as usize;
        self.commit(count, rng);
        self.check_owners();
    }

    fn check_quiet(&self) {
        let mut wanted: BTreeSet<Place> = BTreeSet::new();
        let mut read: BTreeSet<Place> = BTreeSet::new();
        for client in self.clients.iter().filter(|c| !c.dead) {
            read.extend(&client.owned);
            let by_regex = |name: &str| {
                client.regex.as_deref() == Some("[tv].*") && (name.starts_with('t') || name.starts_with('v'))
            };
            for topic in self.image.all() {
                if client.names.iter().any(|n| **n == *topic.name) || by_regex(&topic.name) {
                    wanted.extend((0..topic.partitions).map(|p| (topic.id, p)));
                }
            }
        }
        assert_eq!(read, wanted, "what is read (left) is not what is subscribed to (right)");
        let state = self.coordinator.list().first().map(|g| g.group_state.clone());
        let members = self.clients.iter().any(|c| !c.dead);
        let expected = if members { "Stable" } else { "Empty" };
        assert!(state.is_none_or(|s| s == expected), "the group is not {expected}");
        assert!(!members || self.coordinator.next_deadline().is_some());
    }
}

fn check(seed: u64) -> [u64; 3] {
    let mut rng = SeededRng::new(seed);
    let mut world = World::new();
    for round in 0..600 {
        world.churn(&mut rng);
        world.pass(&mut rng);
        if round % 50 == 0 {
            let log = agree::compacted(&world.log(), &mut rng);
            agree::check("in the midst", &world.config, &world.coordinator, world.now, &world.image, &log);
        }
    }
    // Nothing more happens; whoever is gone is found out.
    world.lossy = false;
    for _ in 0..500 {
        world.pass(&mut rng);
    }
    world.check_quiet();
    agree::check("in the end", &world.config, &world.coordinator, world.now, &world.image, &world.log());
    [world.moved, world.loads, world.taken]
}

/// The seeds of a run: so many, or those of `SEEDS=from..to` in the environment.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return 0..count };
    let (from, to) = text.split_once("..").expect("SEEDS=from..to");
    from.parse().expect("a seed")..to.parse().expect("a seed")
}

#[test]
fn a_crowd_of_members_keeps_the_invariants() {
    let seeds = seeds(300);
    let few = seeds.clone().count() as u64;
    let mut done = [0; 3];
    for seed in seeds {
        let Ok(one) = std::panic::catch_unwind(|| check(seed)) else { panic!("seed {seed} fails") };
        done.iter_mut().zip(one).for_each(|(sum, n)| *sum += n);
    }
    // The crowd did something: otherwise the checks above checked nothing.
    let [moved, loads, taken] = done;
    let enough = moved > 20 * few && loads > few / 2 && taken > 5 * few;
    assert!(enough || few == 1, "{moved} partitions moved, {loads} loads, {taken} commits");
}
