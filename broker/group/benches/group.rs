//! What a group of 600 members on 600 partitions costs its coordinator, and how long a moved partition pauses:
//! `cargo bench -p millstream-group`. Members are played in virtual time (they beat when they are told to, and each
//! answer takes 2 ms); what is measured in real time is the coordinator alone. Figures go to
//! docs/internals/measurements.md with the machine and the profile that gave them.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
// A benchmark is a shell: it may read a clock.
#[allow(clippy::disallowed_types)]
use std::time::Instant;

use millstream_group::assignor::{self, Assignment, Member};
use millstream_group::{Answer, Caller, Config, Coordinator, Input, Request, TopicView, Topics};
use millstream_types::Uuid;
use millstream_wire::message::consumer_group_heartbeat_request::TopicPartitions;
use millstream_wire::message::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

const MEMBERS: usize = 600;
const PARTITIONS: i32 = 600;
const ANSWER_MS: i64 = 2;

/// The best of several rounds, in seconds: other processes only ever make a round slower.
#[allow(clippy::disallowed_types)]
fn best_of<T>(rounds: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

struct OneTopic(TopicView);

impl Topics for OneTopic {
    fn by_name(&self, name: &str) -> Option<TopicView> {
        (*self.0.name == *name).then(|| self.0.clone())
    }

    fn by_id(&self, id: Uuid) -> Option<TopicView> {
        (self.0.id == id).then(|| self.0.clone())
    }

    fn all(&self) -> Vec<TopicView> {
        vec![self.0.clone()]
    }
}

/// A member, as a client of Kafka 4.4 behaves: it lets go at once, and says so with its next heartbeat.
#[derive(Clone, Default)]
struct Client {
    id: String,
    epoch: i32,
    owned: BTreeSet<i32>,
    said: BTreeSet<i32>,
    next_beat: i64,
    dead: bool,
}

struct World {
    now: i64,
    topics: OneTopic,
    coordinator: Coordinator,
    clients: Vec<Client>,
    /// Real seconds in the coordinator.
    spent: f64,
    beats: u64,
    /// When each partition was last read by nobody, and the longest that one was.
    unread_since: BTreeMap<i32, i64>,
    longest_pause: i64,
}

impl World {
    fn new() -> World {
        let topics =
            OneTopic(TopicView { name: "invoices".into(), id: Uuid([7; 16]), partitions: PARTITIONS });
        let mut coordinator = Coordinator::new(Config { shards: 1, ..Config::default() });
        coordinator.step(0, &topics, Input::Load { shard: 0, epoch: 0, entries: Vec::new() });
        World {
            now: 0,
            topics,
            coordinator,
            clients: Vec::new(),
            spent: 0.0,
            beats: 0,
            unread_since: BTreeMap::new(),
            longest_pause: 0,
        }
    }

    #[allow(clippy::disallowed_types)]
    fn step(&mut self, input: Input) -> Option<ConsumerGroupHeartbeatResponse> {
        let start = Instant::now();
        let outcomes = self.coordinator.step(self.now, &self.topics, input);
        black_box(self.coordinator.next_deadline());
        self.spent += start.elapsed().as_secs_f64();
        outcomes.into_iter().flat_map(|o| o.answers).find_map(|(_, answer)| match answer {
            Answer::ConsumerHeartbeat(answer) => Some(answer),
            _ => None,
        })
    }

    fn join(&mut self, at: i64) {
        let id = format!("member-{:04}", self.clients.len());
        self.clients.push(Client { id, next_beat: at, ..Client::default() });
    }

    fn beat(&mut self, at: usize) {
        let topic_id = self.topics.0.id;
        let client = &mut self.clients[at];
        let joins = client.epoch == 0;
        let says = joins || client.said != client.owned;
        let partitions: Vec<i32> = client.owned.iter().copied().collect();
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: client.id.clone(),
            member_epoch: client.epoch,
            rebalance_timeout_ms: if joins { 300_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec!["invoices".to_owned()]),
            topic_partitions: says.then(|| {
                let all = TopicPartitions { topic_id, partitions, ..Default::default() };
                if joins { Vec::new() } else { vec![all] }
            }),
            ..Default::default()
        };
        client.said = client.owned.clone();
        self.beats += 1;
        let caller = Caller { client_id: "c".to_owned(), version: 1, ..Caller::default() };
        let request = Request::ConsumerHeartbeat(request);
        let answer = self.step(Input::Request { token: 0, caller, request }).expect("an answer");
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        let heard = self.now + ANSWER_MS;
        let client = &mut self.clients[at];
        client.epoch = answer.member_epoch;
        client.next_beat = heard + i64::from(answer.heartbeat_interval_ms);
        let Some(assignment) = answer.assignment else { return };
        let target: BTreeSet<i32> =
            assignment.topic_partitions.iter().flat_map(|t| t.partitions.iter().copied()).collect();
        for lost in client.owned.difference(&target) {
            self.unread_since.insert(*lost, heard);
        }
        for gained in target.difference(&client.owned) {
            if let Some(since) = self.unread_since.remove(gained) {
                self.longest_pause = self.longest_pause.max(heard - since);
            }
        }
        if client.owned != target {
            client.owned = target;
            // The client says what it let go of, and what it took, as soon as it did.
            client.next_beat = client.next_beat.min(heard + 1);
        }
    }

    /// Plays until `until`, or until all is read by somebody and nothing moves.
    fn play(&mut self, until: i64, stop_when_settled: bool) {
        let mut beats: BTreeSet<(i64, usize)> =
            self.clients.iter().enumerate().filter(|(_, c)| !c.dead).map(|(i, c)| (c.next_beat, i)).collect();
        while let Some((at, i)) = beats.pop_first() {
            let tick = self.coordinator.next_deadline().filter(|tick| *tick <= at);
            self.now = tick.unwrap_or(at).max(self.now);
            if self.now > until {
                return;
            }
            if tick.is_some() {
                self.step(Input::Tick);
                beats.insert((at, i));
                continue;
            }
            self.beat(i);
            beats.insert((self.clients[i].next_beat, i));
            if stop_when_settled && self.beats.is_multiple_of(64) && self.is_settled() {
                return;
            }
        }
    }

    fn is_settled(&self) -> bool {
        let read: usize = self.clients.iter().filter(|c| !c.dead).map(|c| c.owned.len()).sum();
        read == PARTITIONS as usize && self.coordinator.list()[0].group_state == "Stable"
    }

    fn measure(&mut self, what: &str, until: i64, stop_when_settled: bool) {
        let (start, beats, spent) = (self.now, self.beats, self.spent);
        self.longest_pause = 0;
        self.play(until, stop_when_settled);
        let (beats, spent) = (self.beats - beats, self.spent - spent);
        println!(
            "{what}: {} ms of virtual time, {beats} heartbeats, {:.1} ms of CPU, {:.2} us a heartbeat, longest pause {} ms",
            self.now - start,
            spent * 1e3,
            spent * 1e6 / beats.max(1) as f64,
            self.longest_pause
        );
    }
}

fn assignments() {
    let topics: BTreeMap<Uuid, i32> =
        (0..10).map(|n| (Uuid([n; 16]), if n == 0 { PARTITIONS } else { 60 })).collect();
    let one: BTreeMap<Uuid, i32> = topics.iter().take(1).map(|(t, n)| (*t, *n)).collect();
    let ids: Vec<String> = (0..=MEMBERS).map(|i| format!("member-{i:04}")).collect();
    let member = |i: usize, of: &BTreeSet<Uuid>, current: Assignment| Member {
        id: &ids[i],
        topics: of.clone(),
        current,
        ..Default::default()
    };
    let all: BTreeSet<Uuid> = one.keys().copied().collect();
    let fresh: Vec<Member<'_>> = (0..MEMBERS).map(|i| member(i, &all, Assignment::new())).collect();
    for name in ["uniform", "range"] {
        let first = best_of(20, || assignor::assign(name, &fresh, &one));
        let targets = assignor::assign(name, &fresh, &one);
        let held = |i: usize| targets.get(i).cloned().unwrap_or_default();
        let again: Vec<Member<'_>> = (0..MEMBERS).map(|i| member(i, &all, held(i))).collect();
        let more: Vec<Member<'_>> = (0..=MEMBERS).map(|i| member(i, &all, held(i))).collect();
        let fewer: Vec<Member<'_>> = (1..MEMBERS).map(|i| member(i, &all, held(i))).collect();
        let same = best_of(20, || assignor::assign(name, &again, &one));
        let joined = best_of(20, || assignor::assign(name, &more, &one));
        let left = best_of(20, || assignor::assign(name, &fewer, &one));
        let [first, same, joined, left] = [first, same, joined, left].map(|s| s * 1e3);
        println!(
            "assign {name} {MEMBERS} x {PARTITIONS}: {first:.3} ms first, {same:.3} ms again, {joined:.3} ms with one more, {left:.3} ms with one less"
        );
    }
    // Members that subscribe to different topics: the first to all, the others to the large one and one more.
    let mixed: Vec<Member<'_>> = (0..MEMBERS)
        .map(|i| {
            let of = topics.keys().copied().enumerate();
            let wanted = of.filter(|(n, _)| *n == 0 || i == 0 || i % 10 == *n).map(|(_, t)| t).collect();
            member(i, &wanted, Assignment::new())
        })
        .collect();
    let took = best_of(5, || assignor::assign("uniform", &mixed, &topics));
    println!("assign uniform, different subscriptions, 10 topics, 1140 partitions: {:.3} ms", took * 1e3);
}

fn many_groups() {
    let topics = OneTopic(TopicView { name: "invoices".into(), id: Uuid([7; 16]), partitions: 8 });
    let mut coordinator = Coordinator::new(Config::default());
    for shard in 0..50 {
        coordinator.step(0, &topics, Input::Load { shard, epoch: 0, entries: Vec::new() });
    }
    let beat = |coordinator: &mut Coordinator, now: i64, n: i64, epoch: i32| {
        let joins = epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: format!("group-{n}"),
            member_id: "m".to_owned(),
            member_epoch: epoch,
            rebalance_timeout_ms: if joins { 300_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec!["invoices".to_owned()]),
            topic_partitions: joins.then(Vec::new),
            ..Default::default()
        };
        let caller = Caller { version: 1, ..Caller::default() };
        let request = Request::ConsumerHeartbeat(request);
        black_box(coordinator.step(now, &topics, Input::Request { token: 0, caller, request }));
        black_box(coordinator.next_deadline());
    };
    (0..10_000).for_each(|n| beat(&mut coordinator, n, n, 0));
    let round = best_of(5, || (0..10_000).for_each(|n| beat(&mut coordinator, 20_000, n, 1)));
    println!("10,000 groups of one member: {:.2} us a heartbeat with the next deadline", round * 1e6 / 1e4);
    let changed = best_of(5, || coordinator.step(20_000, &topics, Input::TopicsChanged));
    println!("10,000 groups of one member: {:.2} ms when topics changed, none of theirs", changed * 1e3);
}

fn main() {
    assignments();
    let mut world = World::new();
    (0..MEMBERS).for_each(|i| world.join(i as i64));
    world.measure("600 members join within 600 ms", 60_000, true);
    world.measure("one minute of a steady group", world.now + 60_000, false);
    // It is found out by its session; what it read waits that long.
    world.clients[17].dead = true;
    world.measure("one member dies, until its partition is read", world.now + 120_000, true);
    world.measure("a moment of quiet", world.now + 5_000, false);
    let now = world.now;
    world.join(now);
    world.measure("another joins", world.now + 60_000, true);
    many_groups();
}
