//! A seeded crowd of members of the classic protocol, dynamic and static, in a coordinator that is unloaded at any
//! moment: they join, sync, beat, leave, die and come back; answers are lost.
//!
//! Checked at every step: GR-1 (no two members of one generation have one partition, and nobody reads what another
//! reads who was not left behind), GR-2 (no commit of a generation that is over is taken), that log and memory tell
//! one story. Checked in the end: once it is quiet the group is stable and all partitions are read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use millstream_group::message::{LogEntry, LogRecord};
use millstream_group::{Answer, Caller, Config, Coordinator, Input, Outcome, Request, Token};
use millstream_types::{ErrorCode, Millis, Rng, SeededRng, Uuid};
use millstream_wire::message::join_group_request::JoinGroupRequestProtocol;
use millstream_wire::message::leave_group_request::MemberIdentity;
use millstream_wire::message::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::message::sync_group_request::SyncGroupRequestAssignment;
use millstream_wire::message::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};

use crate::agree;
use crate::image::Image;
use crate::script::metadata;

const PARTITIONS: i32 = 7;

/// What a client is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It wants to join.
    #[default]
    Joining,
    /// It joined, and syncs.
    Syncing,
    /// It reads.
    Reading,
    /// It is gone.
    Gone,
}

#[derive(Default)]
struct Client {
    id: String,
    instance: Option<String>,
    generation: i32,
    phase: Phase,
    /// What it gives to whom, where it leads.
    plan: Vec<SyncGroupRequestAssignment>,
    owned: BTreeSet<i32>,
    asked: Option<Token>,
    next_step: Millis,
    /// It was told nothing for a while, and does not count as a reader until it hears again.
    stalled: bool,
}

struct World {
    now: Millis,
    image: Image,
    config: Config,
    coordinator: Coordinator,
    committed: Vec<LogEntry>,
    appended: VecDeque<Outcome>,
    clients: Vec<Client>,
    next_token: Token,
    lossy: bool,
    generations: u64,
    taken: u64,
    loads: u64,
}

/// A leader deals the partitions out.
fn deal(answer: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    let members = answer.members.len().max(1) as i32;
    let dealt = answer.members.iter().enumerate().map(|(i, m)| SyncGroupRequestAssignment {
        member_id: m.member_id.clone(),
        assignment: Bytes::from(
            (0..PARTITIONS).filter(|p| p % members == i as i32).map(|p| p as u8).collect::<Vec<_>>(),
        ),
        ..Default::default()
    });
    dealt.collect()
}

impl World {
    fn new() -> World {
        let config = Config { shards: 1, initial_rebalance_delay_ms: 1_000, ..Config::default() };
        let mut image = Image::default();
        image.set("t", PARTITIONS);
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
            lossy: true,
            generations: 0,
            taken: 0,
            loads: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let outcomes = self.coordinator.step(self.now, &self.image, input);
        self.appended.extend(outcomes);
    }

    fn ask(&mut self, request: Request) -> Token {
        self.next_token += 1;
        let mut id = [1; 16];
        id[8..].copy_from_slice(&self.next_token.to_be_bytes());
        let caller =
            Caller { client_id: "c".to_owned(), version: 9, fresh_id: Uuid(id), ..Caller::default() };
        self.step(Input::Request { token: self.next_token, caller, request });
        self.next_token
    }

    fn commit(&mut self, count: usize, rng: &mut SeededRng) {
        for outcome in self.appended.drain(..count).collect::<Vec<_>>() {
            let records = outcome.append.into_iter();
            let records = records.map(|(key, value)| LogRecord { key, value, producer_id: None });
            self.committed.extend(records.map(LogEntry::Record));
            for (token, answer) in outcome.answers {
                let lost = self.lossy && rng.chance(1, 12);
                if let Some(at) = self.clients.iter().position(|c| c.asked == Some(token))
                    && !lost
                {
                    self.hear(at, answer);
                }
            }
        }
        self.check_owners();
    }

    fn hear(&mut self, at: usize, answer: Answer) {
        let client = &mut self.clients[at];
        if client.phase == Phase::Gone {
            return;
        }
        client.asked = None;
        client.next_step = self.now + 50;
        let error = match &answer {
            Answer::Join(a) => a.error_code,
            Answer::Sync(a) => a.error_code,
            Answer::Heartbeat(a) => a.error_code,
            Answer::Refused(error) => error.code(),
            other => panic!("a member is answered {other:?}"),
        };
        let error = ErrorCode::from_code(error).expect("a code of Kafka's");
        match (error, answer) {
            (ErrorCode::None, Answer::Join(answer)) => {
                client.id.clone_from(&answer.member_id);
                client.generation = answer.generation_id;
                client.phase = Phase::Syncing;
                let leads = answer.leader == answer.member_id && !answer.skip_assignment;
                client.plan = if leads { deal(&answer) } else { Vec::new() };
                self.generations += u64::from(leads);
            }
            (ErrorCode::None, Answer::Sync(answer)) => {
                client.owned = answer.assignment.iter().map(|p| i32::from(*p)).collect();
                client.phase = Phase::Reading;
                client.stalled = false;
                client.next_step = self.now + 1_000;
            }
            (ErrorCode::None, _) => {
                client.stalled = false;
                client.next_step = self.now + 1_000;
            }
            (ErrorCode::MemberIdRequired, Answer::Join(answer)) => client.id = answer.member_id,
            (ErrorCode::RebalanceInProgress, _) => client.rejoin(),
            (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration, _) => {
                client.rejoin();
                client.generation = -1;
                client.id = String::new();
            }
            (ErrorCode::FencedInstanceId, _) => client.go(),
            (ErrorCode::NotCoordinator, _) => client.next_step = self.now + 200,
            (other, answer) => panic!("a member is refused with {other}: {answer:?}"),
        }
    }

    fn check_owners(&self) {
        let mut readers: BTreeMap<i32, &Client> = BTreeMap::new();
        for client in self.clients.iter().filter(|c| c.phase == Phase::Reading && !c.stalled) {
            for partition in &client.owned {
                if let Some(other) = readers.insert(*partition, client) {
                    panic!(
                        "GR-1: {} in {} and {} in {} read {partition}",
                        other.id, other.generation, client.id, client.generation
                    );
                }
            }
        }
    }

    fn advance(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let (group_id, member_id) = ("g".to_owned(), client.id.clone());
        let group_instance_id = client.instance.clone();
        client.next_step = self.now + if client.phase == Phase::Joining { 7_000 } else { 2_000 };
        let request = match client.phase {
            Phase::Gone => return,
            Phase::Joining => Request::Join(JoinGroupRequest {
                group_id,
                member_id,
                group_instance_id,
                session_timeout_ms: 6_000,
                rebalance_timeout_ms: 15_000,
                protocol_type: "consumer".to_owned(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "range".to_owned(),
                    metadata: metadata(&["t".to_owned()], ""),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            Phase::Syncing => Request::Sync(SyncGroupRequest {
                group_id,
                member_id,
                group_instance_id,
                generation_id: client.generation,
                assignments: client.plan.clone(),
                ..Default::default()
            }),
            Phase::Reading => Request::Heartbeat(HeartbeatRequest {
                group_id,
                member_id,
                group_instance_id,
                generation_id: client.generation,
                ..Default::default()
            }),
        };
        let token = self.ask(request);
        self.clients[at].asked = Some(token);
    }

    fn join(&mut self, rng: &mut SeededRng) {
        let instance = rng.chance(1, 3).then(|| format!("i{}", rng.below(3)));
        let living = |c: &&Client| c.phase != Phase::Gone && c.instance.is_some();
        let taken = self.clients.iter().filter(living).any(|c| c.instance == instance);
        self.clients.push(Client {
            instance: instance.filter(|_| !taken),
            next_step: self.now,
            ..Client::default()
        });
    }

    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.go();
        let identity = MemberIdentity {
            member_id: client.id.clone(),
            group_instance_id: client.instance.clone(),
            ..Default::default()
        };
        let members = vec![identity];
        self.ask(Request::Leave(LeaveGroupRequest {
            group_id: "g".to_owned(),
            members,
            ..Default::default()
        }));
    }

    /// A commit, now and then of a member that was left behind.
    fn commit_offset(&mut self, at: usize) {
        let client = &self.clients[at];
        let Some(partition) = client.owned.first().copied() else { return };
        let (id, generation) = (client.id.clone(), client.generation);
        let request = Request::Commit(OffsetCommitRequest {
            group_id: "g".to_owned(),
            member_id: client.id.clone(),
            group_instance_id: client.instance.clone(),
            generation_id_or_member_epoch: generation,
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: self.now,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        });
        self.ask(request);
        let answers = self.appended.back().map(|o| o.answers.clone()).unwrap_or_default();
        let Some((_, Answer::Commit(answer))) = answers.first() else { return };
        if answer.topics[0].partitions[0].error_code == 0 {
            self.taken += 1;
            let mut reading = self.clients.iter().filter(|c| c.phase == Phase::Reading && !c.stalled);
            let other = reading.find(|c| c.owned.contains(&partition) && c.id != id);
            let other = other.map(|c| &c.id);
            assert_eq!(other, None, "GR-2: a commit of {id} in {generation} is taken for what another reads");
        }
    }

    fn crash(&mut self, rng: &mut SeededRng) {
        self.loads += 1;
        let kept = rng.below(self.appended.len() as u64 + 1) as usize;
        self.commit(kept, rng);
        self.appended.clear();
        self.committed = agree::compacted(&self.committed, rng);
        self.coordinator.step(self.now, &self.image, Input::Unload { shard: 0 });
        let entries = self.committed.clone();
        self.step(Input::Load { shard: 0, epoch: self.loads as i32, entries });
    }

    fn churn(&mut self, rng: &mut SeededRng) {
        let at = (!self.clients.is_empty()).then(|| rng.below(self.clients.len() as u64) as usize);
        let at = at.filter(|&at| self.clients[at].phase != Phase::Gone);
        match (rng.below(60), at) {
            (0 | 1, _) if self.clients.iter().filter(|c| c.phase != Phase::Gone).count() < 6 => {
                self.join(rng);
            }
            (2, Some(at)) if !self.clients[at].id.is_empty() => self.leave(at),
            (3, Some(at)) => {
                // Gone without a word; a static member soon comes back under a new id.
                let instance = self.clients[at].instance.clone();
                self.clients[at].go();
                if instance.is_some() && rng.chance(2, 3) {
                    let next_step = self.now + 300;
                    self.clients.push(Client { instance, next_step, ..Client::default() });
                }
            }
            (4, Some(at)) => {
                let client = &mut self.clients[at];
                client.stalled = true;
                client.asked = None;
                client.next_step = self.now + 15_000;
            }
            (5, _) if rng.chance(1, 3) => self.crash(rng),
            (6..=12, Some(at)) => self.commit_offset(at),
            _ => {}
        }
    }

    fn pass(&mut self, rng: &mut SeededRng) {
        self.now += rng.below(150) as Millis;
        if self.coordinator.next_deadline().is_some_and(|at| at <= self.now) {
            self.step(Input::Tick);
        }
        for at in 0..self.clients.len() {
            if self.clients[at].next_step <= self.now {
                self.advance(at);
            }
        }
        let count = rng.below(self.appended.len() as u64 + 1) as usize;
        self.commit(count, rng);
    }

    fn check_quiet(&self) {
        let living: Vec<&Client> = self.clients.iter().filter(|c| c.phase != Phase::Gone).collect();
        let read: BTreeSet<i32> = living.iter().flat_map(|c| c.owned.iter().copied()).collect();
        let wanted = if living.is_empty() { 0 } else { PARTITIONS };
        assert_eq!(read, (0..wanted).collect(), "what is read (left) is not what there is (right)");
        let state = self.coordinator.list().first().map(|g| g.group_state.clone());
        let expected = if living.is_empty() { "Empty" } else { "Stable" };
        assert!(state.is_none_or(|s| s == expected), "the group is not {expected}");
        assert!(living.iter().all(|c| c.phase == Phase::Reading), "not all members read");
    }
}

impl Client {
    /// It gives all up, and joins again.
    fn rejoin(&mut self) {
        self.phase = Phase::Joining;
        self.owned.clear();
        self.stalled = false;
    }

    fn go(&mut self) {
        self.phase = Phase::Gone;
        self.owned.clear();
        self.asked = None;
    }
}

fn check(seed: u64) -> [u64; 3] {
    let mut rng = SeededRng::new(seed);
    let mut world = World::new();
    for round in 0..1_600 {
        world.churn(&mut rng);
        world.pass(&mut rng);
        if round % 200 == 0 {
            let tail = world.appended.iter().flat_map(|o| o.append.iter());
            let tail = tail.map(|(key, value)| LogRecord {
                key: key.clone(),
                value: value.clone(),
                producer_id: None,
            });
            let log: Vec<LogEntry> =
                world.committed.iter().cloned().chain(tail.map(LogEntry::Record)).collect();
            agree::check("in the midst", &world.config, &world.coordinator, world.now, &world.image, &log);
        }
    }
    world.lossy = false;
    for _ in 0..900 {
        world.pass(&mut rng);
    }
    world.check_quiet();
    [world.generations, world.loads, world.taken]
}

#[test]
fn a_crowd_of_classic_members_keeps_the_invariants() {
    let seeds = crate::crowd::seeds(200);
    let few = seeds.clone().count() as u64;
    let mut done = [0; 3];
    for seed in seeds {
        let Ok(one) = std::panic::catch_unwind(|| check(seed)) else { panic!("seed {seed} fails") };
        done.iter_mut().zip(one).for_each(|(sum, n)| *sum += n);
    }
    let [generations, loads, taken] = done;
    let enough = generations > 10 * few && loads > few / 2 && taken > 5 * few;
    assert!(enough || few == 1, "{generations} generations, {loads} loads, {taken} commits");
}
