//! A run: the node, its disk and clocks, the clients, and a seed that orders all of it. After every event the oracle
//! looks; at the end faults stop, everything must come to rest within [`REST_MS`], and the whole is checked. Never
//! enters: how the node works, what clients want.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use millstream_disk::Disk;
use millstream_disk::sim::SimDisk;
use millstream_group::Request;
use millstream_txn::{Input, TxnState, Version};
use millstream_types::topic::{CONSUMER_OFFSETS, TRANSACTION_STATE, is_internal};
use millstream_types::{Clock, Millis, Rng, SeededRng, Uuid};

use crate::clock::SimClock;
use crate::members::{Classic, Generations, Member};
use crate::node::{Node, Place, Produce, Reply, Setup, caller, dir_path};
use crate::oracle::{OffsetKey, Oracle};
use crate::plant::Bug;
use crate::producers::{Idempotent, Transactional, Zombie};

/// Events of a run, before it comes to rest.
pub const EVENTS: usize = 1_500;
/// How long the node may take to come to rest without faults, in simulated milliseconds.
pub const REST_MS: Millis = 120_000;
/// When every run begins.
const START_MS: Millis = 1_750_000_000_000;

/// A request under way.
#[derive(Clone, Debug)]
pub enum Op {
    /// InitProducerId without a transactional id.
    InitIdempotent(usize),
    /// An idempotent produce: who, where, and its first sequence number.
    Idempotent(usize, Place, i32),
    /// InitProducerId of a transactional producer.
    InitTransactional(usize),
    /// AddPartitionsToTxn.
    Added(usize, (String, i32)),
    /// A produce in a transaction.
    InTransaction(usize, Vec<u64>),
    /// TxnOffsetCommit.
    TxnOffset(usize, OffsetKey, i64),
    /// EndTxn.
    End(usize, bool),
    /// A produce of a producer that was replaced.
    Zombie,
    /// Its EndTxn.
    ZombieEnd,
    /// ConsumerGroupHeartbeat, and when it was sent.
    Heartbeat(usize, Millis),
    /// A member leaves.
    Left(String),
    /// OffsetCommit, and whether it must be refused.
    Commit(OffsetKey, i64, bool),
    /// OffsetFetch.
    Fetch(OffsetKey),
    /// JoinGroup.
    Join(usize),
    /// SyncGroup of a generation.
    Sync(usize, i32),
    /// Heartbeat.
    ClassicHeartbeat(usize),
    /// A topic is made, deleted or given partitions.
    Control,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each mark was passed.
    pub marks: BTreeMap<&'static str, u64>,
    /// Simulated milliseconds.
    pub simulated_ms: Millis,
    /// Faults that were injected.
    pub faults: u64,
    /// Every event, a line each.
    pub trace: String,
}

/// See the module.
pub struct World {
    pub(crate) rng: SeededRng,
    pub(crate) clock: Arc<SimClock>,
    disk: SimDisk,
    setup: Setup,
    pub(crate) node: Option<Node>,
    pub(crate) oracle: Oracle,
    pub(crate) ops: BTreeMap<u64, Op>,
    pub(crate) lost_ops: BTreeMap<u64, Op>,
    pub(crate) next: u64,
    pub(crate) idempotent: Vec<Idempotent>,
    pub(crate) transactional: Vec<Transactional>,
    pub(crate) zombies: Vec<Zombie>,
    pub(crate) armed_zombies: Vec<Zombie>,
    pub(crate) producer_ids: BTreeSet<i64>,
    pub(crate) members: Vec<Member>,
    pub(crate) classics: Vec<Classic>,
    pub(crate) generations: Generations,
    /// The clients' own time, which only passes.
    pub(crate) time: Millis,
    power_at: Option<u64>,
    full_until: Option<Millis>,
    restart_at: Option<Millis>,
    report: Report,
}

/// Runs a seed.
///
/// # Errors
/// What was violated, with the last events.
pub fn run(seed: u64, events: usize, plant: Option<Bug>) -> Result<Report, String> {
    let mut world = World::new(seed, plant);
    let result = world.all(events);
    let World { report, time, .. } = world;
    match result {
        Ok(()) => Ok(Report { simulated_ms: time, ..report }),
        Err(what) => Err(format!("seed={seed}: {what}\nevents:\n{}", report.trace)),
    }
}

impl World {
    fn new(seed: u64, plant: Option<Bug>) -> World {
        let mut rng = SeededRng::new(seed);
        let disk = SimDisk::new();
        let dirs = 1 + rng.below(2) as usize;
        for dir in 0..dirs {
            disk.create_dir(&dir_path(dir)).expect("an empty disk takes a directory");
        }
        disk.sync_dir(std::path::Path::new("/")).expect("an empty disk is synced");
        World {
            clock: Arc::new(SimClock::new(START_MS)),
            setup: Setup { dirs, seed: rng.next_u64(), plant },
            disk,
            node: None,
            oracle: Oracle::default(),
            ops: BTreeMap::new(),
            lost_ops: BTreeMap::new(),
            next: 0,
            idempotent: vec![Idempotent::default(); 2],
            transactional: vec![
                Transactional::new("x0", Version::V2),
                Transactional::new("x1", Version::V2),
                Transactional::new("x2", Version::V1),
            ],
            zombies: Vec::new(),
            armed_zombies: Vec::new(),
            producer_ids: BTreeSet::new(),
            members: vec![Member::default(); 3],
            classics: vec![Classic::default(); 2],
            generations: Generations::new(),
            time: 0,
            power_at: None,
            full_until: None,
            restart_at: None,
            report: Report::default(),
            rng,
        }
    }

    /// Counts a mark.
    pub fn mark(&mut self, name: &'static str) {
        *self.report.marks.entry(name).or_default() += 1;
    }

    fn log(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.report.trace, "{} {} {what}", self.time, self.clock.wall_ms());
    }

    /// A number that is used once.
    pub fn unique(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Notes a request under way.
    pub fn begin(&mut self, op: Op) -> u64 {
        let id = self.unique();
        self.ops.insert(id, op);
        id
    }

    /// Asks the transaction coordinator.
    pub fn txn_input(&mut self, input: Input) {
        self.log(format_args!("txn {input:?}"));
        if let Some(node) = &mut self.node {
            node.txn(input);
        }
    }

    /// Asks the group coordinator.
    pub fn group_request(&mut self, op: u64, version: i16, request: Request) {
        let asked = self.ops.get(&op).cloned();
        self.log(format_args!("group {op} {asked:?}"));
        let caller = caller(&mut self.rng, version);
        if let Some(node) = &mut self.node {
            node.group(op, caller, request);
        }
    }

    /// Produces.
    pub fn produce(&mut self, produce: Produce) {
        let (op, topic, partition) = (produce.op, produce.topic.clone(), produce.place.1);
        let asked = self.ops.get(&op).cloned();
        self.log(format_args!("produce {op} to {topic}-{partition} {asked:?}"));
        if let Some(node) = &mut self.node {
            node.produce(produce);
        }
    }

    /// A topic's id.
    pub fn topic_id(&self, topic: &str) -> Option<Uuid> {
        self.node.as_ref()?.image().topics.by_name(topic).map(|t| t.id)
    }

    /// A topic's name.
    pub fn topic_name(&self, id: Uuid) -> Option<String> {
        self.node.as_ref()?.image().topics.by_id(id).map(|t| t.name.to_string())
    }

    /// How many partitions a topic has.
    pub fn partition_count(&self, topic: &str) -> i32 {
        let node = self.node.as_ref();
        let topic = node.and_then(|node| node.image().topics.by_name(topic).map(|t| t.partitions.len()));
        topic.unwrap_or(0) as i32
    }

    fn pick(&mut self, wanted: impl Fn(&str) -> bool) -> Option<(String, Place)> {
        let node = self.node.as_ref()?;
        let all: Vec<(String, Place)> = node
            .partitions()
            .filter(|p| !is_internal(&p.name.topic) && wanted(&p.name.topic))
            .map(|p| (p.name.topic.to_string(), p.place))
            .collect();
        if all.is_empty() {
            return None;
        }
        let at = self.rng.below(all.len() as u64) as usize;
        all.get(at).cloned()
    }

    /// A partition of any client's topic.
    pub fn any_place(&mut self) -> Option<(String, Place)> {
        self.pick(|_| true)
    }

    /// A partition of a topic that is not compacted.
    pub fn any_plain_place(&mut self) -> Option<(String, Place)> {
        self.pick(|topic| topic != "compacted")
    }

    fn all(&mut self, events: usize) -> Result<(), String> {
        for _ in 0..events {
            self.event()?;
            self.glance()?;
        }
        self.rest()
    }

    fn event(&mut self) -> Result<(), String> {
        if self.node.is_none() {
            return self.start();
        }
        if self.restart_at.is_some_and(|at| at <= self.time) {
            return self.crash("the directory that failed is taken out");
        }
        if self.full_until.is_some_and(|at| at <= self.time) {
            self.full_until = None;
            self.disk.set_capacity(u64::MAX);
            self.log(format_args!("there is space again"));
        }
        match self.rng.below(1_000) {
            0..600 => self.step()?,
            600..900 => self.client()?,
            900..988 => self.pass(),
            988..992 => self.topics(),
            992..1_000 => self.fault()?,
            _ => {}
        }
        self.power()
    }

    /// Lets someone of the node's actors take a step.
    fn step(&mut self) -> Result<(), String> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let ready = node.ready();
        if ready.is_empty() {
            self.pass();
            return Ok(());
        }
        let actor = ready[self.rng.below(ready.len() as u64) as usize];
        let stepped = node.step(actor);
        let changes = self.disk.changes();
        self.log(format_args!("{actor:?} changes={changes}"));
        if let Err(why) = stepped {
            self.mark("the metadata log's disk refused");
            self.log(format_args!("{}", why.0));
            return self.crash("the node stopped itself");
        }
        if self.power_is_gone() {
            return self.power();
        }
        self.answers()
    }

    fn power_is_gone(&self) -> bool {
        self.power_at.is_some_and(|at| self.disk.changes() >= at)
    }

    /// What was answered after the power went did not leave.
    fn power(&mut self) -> Result<(), String> {
        if self.power_is_gone() {
            self.mark("the power went in the middle of a write");
            return self.crash("the power went");
        }
        self.answers()
    }

    fn answers(&mut self) -> Result<(), String> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let replies = std::mem::take(&mut node.replies);
        for (end, records) in node.take_committed_metadata() {
            self.oracle.metadata_committed(end, records)?;
        }
        for reply in replies {
            self.log(format_args!("{reply:?}"));
            match reply {
                Reply::Produce(op, result) => match self.ops.remove(&op) {
                    Some(Op::Idempotent(who, place, sequence)) => {
                        self.idempotent_answered((who, place, sequence), op, result)?;
                    }
                    Some(Op::InTransaction(who, ids)) => self.written(who, &ids, result)?,
                    Some(Op::Zombie) => match result {
                        Ok((offset, _)) => return Err(format!("TX-3: a zombie wrote at {offset}")),
                        Err(_) => self.mark("a zombie's write was refused"),
                    },
                    other => return Err(format!("{op} {other:?} was answered as a produce")),
                },
                Reply::Txn(op, answer) => match self.ops.remove(&op) {
                    Some(Op::InitIdempotent(who)) => self.idempotent_inited(who, &answer)?,
                    Some(asked) => self.transactional_answered(asked, answer)?,
                    None => return Err(format!("{op} was answered twice")),
                },
                Reply::Group(op, answer) => match self.ops.remove(&op) {
                    Some(asked) => self.group_answered(op, asked, *answer)?,
                    None => return Err(format!("{op} was answered twice")),
                },
                Reply::Control(op, _) => _ = self.ops.remove(&op),
            }
        }
        Ok(())
    }

    fn pass(&mut self) {
        let until = self.node.as_ref().map_or(Millis::MAX, Node::next_deadline);
        let now = self.clock.monotonic_ms();
        let ms = match self.rng.below(12) {
            0 => 5_000 + self.rng.below(20_000) as Millis,
            1..4 => (until - now).clamp(0, 60_000),
            _ => 1 + self.rng.below(300) as Millis,
        };
        self.time += ms;
        self.clock.pass(ms);
    }

    fn client(&mut self) -> Result<(), String> {
        if !self.node.as_ref().is_some_and(Node::is_active) {
            return Ok(());
        }
        if self.topic_id(CONSUMER_OFFSETS).is_none() || self.topic_id("t0").is_none() {
            self.topics();
            return Ok(());
        }
        match self.rng.below(20) {
            0..6 => {
                let who = self.rng.below(self.idempotent.len() as u64) as usize;
                self.idempotent_acts(who, true);
            }
            6..13 => {
                let who = self.rng.below(self.transactional.len() as u64) as usize;
                self.transactional_acts(who, false)?;
            }
            13..16 => {
                let who = self.rng.below(self.members.len() as u64) as usize;
                self.member_acts(who);
            }
            16 | 17 => {
                let who = self.rng.below(self.classics.len() as u64) as usize;
                self.classic_acts(who);
            }
            18 => self.zombie_acts(),
            _ => {
                let keys = self.oracle.offset_keys();
                if !keys.is_empty() {
                    let key = keys[self.rng.below(keys.len() as u64) as usize].clone();
                    self.look_up(key);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        let ms = 10 + self.rng.below(3_000) as Millis;
        self.time += ms;
        self.clock.pass(ms);
        self.clock.restart();
        if self.rng.chance(1, 6) {
            // The power goes again while it recovers.
            let after = 1 + self.rng.below(30);
            self.disk.stop_after(after);
            self.power_at = Some(self.disk.changes() + after);
        }
        self.setup.seed = self.rng.next_u64();
        let before = self.clock.monotonic_ms();
        let started = Node::start(&self.disk, Arc::clone(&self.clock), &self.setup);
        self.time += self.clock.monotonic_ms() - before;
        match started {
            Ok(node) => {
                self.node = Some(node);
                self.mark("the node started");
                let changes = self.disk.changes();
                self.log(format_args!("started, changes={changes}"));
                self.power()
            }
            Err(_) if self.power_is_gone() => {
                self.mark("the power went during recovery");
                self.crash("the power went during recovery")
            }
            Err(why) => Err(format!("the node cannot start: {}", why.0)),
        }
    }

    fn glance(&mut self) -> Result<(), String> {
        let Some(node) = &self.node else { return Ok(()) };
        for p in node.partitions() {
            self.oracle.glance(p)?;
        }
        if self.rng.chance(1, 12) {
            let count = node.partitions().count() as u64;
            if count > 0 {
                let at = self.rng.below(count) as usize;
                let p =
                    node.partitions().nth(at).filter(|p| !is_internal(&p.name.topic) && node.is_online(p));
                let looked = p.map(|p| self.oracle.look(p)).transpose()?.unwrap_or_default();
                if looked.aborted_passed_over > 0 {
                    self.mark("a reader passed over an aborted transaction");
                }
                if looked.open_transaction {
                    self.mark("a reader met an open transaction");
                }
            }
        }
        if self.rng.chance(1, 40) {
            self.coordinators()?;
        }
        Ok(())
    }

    /// What the coordinators hold in memory is what their logs say.
    fn coordinators(&mut self) -> Result<(), String> {
        let Some(node) = &self.node else { return Ok(()) };
        let (groups, txns) = (node.groups_match_log(), node.txns_match_log());
        if let Some(result) = groups {
            result?;
            self.mark("the groups were held against their log");
        }
        if let Some(result) = txns {
            result?;
            self.mark("the transactions were held against their log");
        }
        Ok(())
    }

    /// No more faults: everything comes to rest, and the whole is checked.
    fn rest(&mut self) -> Result<(), String> {
        self.log(format_args!("rest"));
        if self.power_at.is_some() || self.restart_at.is_some() || self.rng.chance(1, 2) {
            self.crash("the last crash")?;
        }
        self.disk.set_capacity(u64::MAX);
        let until = self.time + REST_MS;
        loop {
            if self.time > until {
                return Err(self.unrest());
            }
            if self.node.is_none() {
                self.start()?;
                if self.power_at.take().is_some() {
                    self.crash("the power went")?;
                }
                continue;
            }
            for _ in 0..20 {
                self.step()?;
            }
            for who in 0..self.idempotent.len() {
                self.idempotent_acts(who, false);
            }
            for who in 0..self.transactional.len() {
                self.transactional_acts(who, true)?;
            }
            self.answers()?;
            self.time += 50;
            self.clock.pass(50);
            if self.is_at_rest() {
                break;
            }
        }
        self.glance()?;
        self.last_look()
    }

    fn unrest(&self) -> String {
        let mut what = format!("nothing came to rest within {REST_MS} ms: {:?}", self.ops);
        let Some(node) = &self.node else { return what };
        let _ =
            write!(what, "; active {}; {:?}; {}", node.is_active(), node.counts, node.tell_transactions());
        for t in node.transactions() {
            let _ = write!(what, "; {} {:?}", t.transactional_id, t.state);
        }
        for p in node.partitions() {
            let bounds = p.replica.bounds();
            if bounds.last_stable_offset != bounds.log_end {
                let _ = write!(what, "; {} stands at {bounds:?} and holds {}", p.name, Oracle::tell(p));
            }
        }
        for (i, p) in self.idempotent.iter().enumerate().filter(|(_, p)| !p.is_quiet()) {
            let _ = write!(what, "; {i} waits: {p:?}");
        }
        for t in self.transactional.iter().filter(|t| !t.is_quiet()) {
            let _ = write!(what, "; {t:?}");
        }
        what
    }

    fn is_at_rest(&self) -> bool {
        let Some(node) = &self.node else { return false };
        let ended =
            |state| matches!(state, TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort);
        node.is_active()
            && self.ops.is_empty()
            && self.idempotent.iter().all(Idempotent::is_quiet)
            && (self.topic_id(TRANSACTION_STATE).is_none()
                || self.transactional.iter().all(Transactional::is_quiet))
            && node.transactions().iter().all(|t| ended(t.state))
            && node.partitions().all(|p| {
                let bounds = p.replica.bounds();
                bounds.high_watermark == bounds.log_end && bounds.last_stable_offset == bounds.log_end
            })
    }

    fn last_look(&mut self) -> Result<(), String> {
        let Some(node) = &self.node else { return Ok(()) };
        for p in node.partitions().filter(|p| !is_internal(&p.name.topic)) {
            self.oracle.look(p)?;
        }
        let own = node.partitions().filter(|p| !is_internal(&p.name.topic));
        let whole = self.oracle.whole_or_not_at_all(own)?;
        let (metadata_end, counts) = (node.image().provenance.end_offset, node.counts);
        if whole > 0 {
            self.mark("a transaction of several records was whole at the end");
        }
        if metadata_end < self.oracle.metadata_end() {
            return Err(format!(
                "RA-3: the metadata ends at {metadata_end}, and {} was committed",
                self.oracle.metadata_end()
            ));
        }
        for (mark, count) in [
            ("retention took segments away", counts.retained),
            ("a log was compacted", counts.compacted),
            ("a snapshot of the metadata was made", counts.snapshots),
            ("markers were written", counts.markers),
            ("a marker was there before", counts.markers_repeated),
            ("one flush served several partitions", counts.flushed_together),
        ] {
            *self.report.marks.entry(mark).or_default() += count;
        }
        self.coordinators()
    }
}
