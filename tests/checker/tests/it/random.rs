//! Random histories of a cluster that does everything right, with aborts, lost answers, rebalances and readers that start
//! anywhere; and the same with one fault put in.

use std::collections::BTreeMap;

use millstream_checker::history::Stretch;
use millstream_checker::{Function, Kind, Line, Stage, judge};
use millstream_types::{Rng, SeededRng};

const NAMES: [&str; 3] = ["t-0", "t-1", "t-2"];

/// What lies at an offset; `value` is `None` in a control record.
#[derive(Clone, Copy)]
struct Entry {
    value: Option<u64>,
    visible: bool,
}

/// The world: logs, and the history that is written about them.
struct World {
    rng: SeededRng,
    logs: [Vec<Entry>; 3],
    lines: Vec<Line<'static>>,
    next_value: u64,
    next_process: u32,
}

impl World {
    fn line(&mut self, process: u32, f: Function, stage: Stage) -> &mut Line<'static> {
        let time = self.lines.len() as u64;
        self.lines.push(Line::new(time, process, f, stage));
        self.lines.last_mut().expect("just pushed")
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.rng.below(one_in) == 0
    }

    fn process(&mut self) -> u32 {
        self.next_process += 1;
        self.next_process
    }

    /// Sends or a transaction, with its end. `process` stays the same where its outcome is known.
    fn write(&mut self, process: u32) -> u32 {
        let txn = self.chance(2);
        let commits = !self.chance(4);
        let known = !self.chance(6);
        let happens = known || self.chance(2);
        let count = 1 + self.rng.below(5);
        let mut sends = Vec::new();
        for _ in 0..count {
            self.next_value += 1;
            sends.push((self.rng.below(3) as usize, self.next_value));
        }
        let f = if txn { Function::Txn } else { Function::Send };
        let invoke = self.line(process, f, Stage::Invoke);
        invoke.sends = sends.iter().map(|(at, value)| (NAMES[*at], *value, None)).collect();
        invoke.commit = txn.then_some(commits);
        if txn && commits {
            self.line(process, Function::End, Stage::Invoke);
        }
        let mut answered = Vec::new();
        let visible = !txn || (commits && happens);
        for (at, value) in &sends {
            // What is lost on the way is not there; a transaction has all of its records before it ends.
            let there = txn || happens || self.chance(2);
            let offset = self.logs[*at].len() as i64;
            if there {
                self.logs[*at].push(Entry { value: Some(*value), visible });
            }
            let told = if !known && !txn {
                None
            } else if !txn && self.chance(9) {
                Some(-1)
            } else {
                Some(offset)
            };
            answered.push((NAMES[*at], *value, told.filter(|_| there)));
        }
        if txn {
            let mut touched: Vec<usize> = sends.iter().map(|(at, _)| *at).collect();
            touched.sort_unstable();
            touched.dedup();
            for at in touched {
                self.logs[at].push(Entry { value: None, visible: false });
            }
        }
        let stage = match (known, txn && !commits) {
            (true, false) => Stage::Ok,
            (true, true) => Stage::Fail,
            (false, _) => Stage::Info,
        };
        self.line(process, f, stage).sends = answered;
        if known { process } else { self.process() }
    }

    /// What a reader that stands at `position` is given next, up to `most` offsets on.
    fn read(&self, at: usize, position: &mut usize, most: usize) -> Vec<(i64, u64)> {
        let end = (*position + most).min(self.logs[at].len());
        let range = *position..end;
        *position = end.max(*position);
        let entries = range.map(|offset| (offset as i64, self.logs[at][offset]));
        entries.filter(|(_, e)| e.visible).filter_map(|(offset, e)| Some((offset, e.value?))).collect()
    }

    fn poll(&mut self, process: u32, positions: &mut [usize; 3], most: usize) {
        let mut polls = Vec::new();
        for at in 0..3 {
            let records = self.read(at, &mut positions[at], most);
            if !records.is_empty() {
                polls.push((NAMES[at], records));
            }
        }
        self.line(process, Function::Poll, Stage::Ok).polls = polls;
    }
}

/// A history of a cluster without faults.
fn good(seed: u64) -> World {
    let (logs, lines) = (Default::default(), Vec::new());
    let mut world = World { rng: SeededRng::new(seed), logs, lines, next_value: 0, next_process: 100 };
    let mut writers = [1, 2, 3];
    let mut positions = [[0usize; 3]; 2];
    let (mut group_at, mut committed) = ([0usize; 3], [0usize; 3]);
    let mut member = 20;
    for reader in [10, 11] {
        world.line(reader, Function::Assign, Stage::Ok).offsets = NAMES.iter().map(|n| (*n, 0)).collect();
    }
    world.line(member, Function::Subscribe, Stage::Ok).group = Some("g");
    for _ in 0..20 + world.rng.below(60) {
        match world.rng.below(10) {
            0..5 => {
                let who = world.rng.below(3) as usize;
                writers[who] = world.write(writers[who]);
            }
            5..7 => {
                let who = world.rng.below(2) as usize;
                if world.chance(6) {
                    let starts: Vec<usize> =
                        (0..3).map(|at| world.rng.below(world.logs[at].len() as u64 + 1) as usize).collect();
                    positions[who].copy_from_slice(&starts);
                    let offsets = NAMES.iter().zip(&starts).map(|(n, s)| (*n, *s as i64)).collect();
                    world.line(10 + who as u32, Function::Assign, Stage::Ok).offsets = offsets;
                }
                let most = 1 + world.rng.below(8) as usize;
                world.poll(10 + who as u32, &mut positions[who], most);
            }
            7..9 => {
                let most = 1 + world.rng.below(8) as usize;
                world.poll(member, &mut group_at, most);
                if !world.chance(3) {
                    committed = group_at;
                    let offsets = NAMES.iter().zip(&committed).map(|(n, c)| (*n, *c as i64)).collect();
                    world.line(member, Function::Commit, Stage::Ok).offsets = offsets;
                }
            }
            _ => {
                // The member is replaced: the next one begins at what was committed.
                group_at = committed;
                member = world.process();
                world.line(member, Function::Subscribe, Stage::Ok).group = Some("g");
            }
        }
    }
    let offsets: Vec<(&'static str, i64)> = NAMES.iter().map(|n| (*n, 0)).collect();
    world.line(90, Function::Assign, Stage::Ok).offsets = offsets;
    world.poll(90, &mut [0; 3], usize::MAX / 2);
    let ends = (0..3).map(|at| (NAMES[at], world.logs[at].len() as i64)).collect();
    world.line(90, Function::Drain, Stage::Ok).offsets = ends;
    for (at, name) in NAMES.into_iter().enumerate() {
        let log = world.logs[at].clone();
        let of = |control: bool| {
            log.iter()
                .enumerate()
                .filter(move |(_, e)| e.value.is_none() == control)
                .map(|(i, e)| (i as i64, e.value))
        };
        let stretch = Stretch {
            partition: name,
            from: 0,
            next: log.len() as i64,
            records: of(false).filter_map(|(offset, value)| Some((offset, value?))).collect(),
            control: of(true).map(|(offset, _)| offset).collect(),
        };
        world.line(91, Function::Log, Stage::Ok).log = Some(stretch);
    }
    world
}

fn text(lines: &[Line<'_>]) -> String {
    lines.iter().map(|line| line.to_json() + "\n").collect()
}

#[test]
fn good_random_histories_raise_no_alarm() {
    let mut seen = [0; 4];
    for seed in 0..800 {
        let world = good(seed);
        let verdict = judge(text(&world.lines).as_bytes()).expect("a history");
        assert!(verdict.is_good(), "seed {seed}: {verdict}");
        seen[0] += verdict.committed;
        seen[1] += verdict.aborted;
        seen[2] += verdict.indefinite;
        seen[3] += verdict.visible;
    }
    assert!(seen.iter().all(|count| *count > 1_000), "too little happens: {seen:?}");
}

/// Puts one fault into a history, where it has a place for it; says what has to be found.
fn spoil(world: &mut World, fault: usize) -> Option<Kind> {
    let readers = |line: &Line<'_>| line.f == Function::Poll;
    let records_of = |world: &World| -> BTreeMap<u64, usize> {
        let mut reads = BTreeMap::new();
        for line in world.lines.iter().filter(|line| readers(line)) {
            for (_, value) in line.polls.iter().flat_map(|(_, records)| records) {
                *reads.entry(*value).or_default() += 1;
            }
        }
        reads
    };
    let acknowledged: Vec<u64> = world
        .lines
        .iter()
        .filter(|line| line.stage == Stage::Ok)
        .flat_map(|line| line.sends.iter().map(|(_, value, _)| *value))
        .collect();
    let pick = |world: &mut World, from: &[u64]| match from.len() {
        0 => None,
        n => Some(from[world.rng.below(n as u64) as usize]),
    };
    match fault {
        // An acknowledged record is gone for everybody.
        0 => {
            let plain: Vec<u64> = world
                .lines
                .iter()
                .filter(|line| line.f == Function::Send && line.stage == Stage::Ok)
                .flat_map(|line| line.sends.iter().map(|(_, value, _)| *value))
                .collect();
            let gone = pick(world, &plain)?;
            for line in &mut world.lines {
                for (_, records) in &mut line.polls {
                    records.retain(|(_, value)| *value != gone);
                }
            }
            Some(Kind::LostWrite)
        }
        // A part of a committed transaction is gone.
        1 => {
            let parts: Vec<u64> = world
                .lines
                .iter()
                .filter(|line| line.f == Function::Txn && line.stage == Stage::Ok && line.sends.len() > 1)
                .flat_map(|line| line.sends.iter().map(|(_, value, _)| *value))
                .collect();
            let gone = pick(world, &parts)?;
            for line in &mut world.lines {
                for (_, records) in &mut line.polls {
                    records.retain(|(_, value)| *value != gone);
                }
            }
            Some(Kind::TornTransaction)
        }
        // One reader is not given what others are.
        2 => {
            let many: Vec<u64> =
                records_of(world).into_iter().filter(|(_, reads)| *reads > 1).map(|(v, _)| v).collect();
            let left_out = pick(world, &many)?;
            let last = world.lines.iter_mut().find(|line| line.process == 90 && line.f == Function::Poll)?;
            for (_, records) in &mut last.polls {
                records.retain(|(_, value)| *value != left_out);
            }
            // The first and the last record of a poll are left out between polls, the others within one.
            Some(Kind::PollSkip)
        }
        // An aborted record is read.
        3 => {
            let aborted: Vec<(&'static str, u64, Option<i64>)> = world
                .lines
                .iter()
                .filter(|line| line.f == Function::Txn && line.stage == Stage::Fail)
                .flat_map(|line| line.sends.clone())
                .collect();
            let (name, value, offset) = *aborted.first()?;
            world.next_process += 1;
            let process = world.next_process;
            world.line(process, Function::Poll, Stage::Ok).polls = vec![(name, vec![(offset?, value)])];
            Some(Kind::AbortedRead)
        }
        // A record lies there twice.
        4 => {
            let value = pick(world, &acknowledged)?;
            let at = world.rng.below(3) as usize;
            let end = world.logs[at].len() as i64;
            world.line(95, Function::Poll, Stage::Ok).polls = vec![(NAMES[at], vec![(end + 5, value)])];
            Some(Kind::Duplicate)
        }
        // An offset had another value for somebody.
        _ => {
            let line = world.lines.iter_mut().find(|line| line.process == 91 && line.f == Function::Log)?;
            let record = line.log.as_mut()?.records.first_mut()?;
            record.1 += 1_000_000;
            Some(Kind::InconsistentOffsets)
        }
    }
}

#[test]
fn a_fault_put_into_a_good_history_is_found() {
    for fault in 0..6 {
        let mut tried = 0;
        for seed in 0..100 {
            let mut world = good(10_000 + seed);
            let Some(kind) = spoil(&mut world, fault) else { continue };
            tried += 1;
            let verdict = judge(text(&world.lines).as_bytes()).expect("a history");
            let found = |kind| verdict.anomalies.contains_key(&kind);
            let found = match kind {
                Kind::PollSkip => found(Kind::PollSkip) || found(Kind::InternalPollSkip),
                // All parts of a transaction may have been the one.
                Kind::TornTransaction => found(Kind::TornTransaction) || found(Kind::LostWrite),
                kind => found(kind),
            };
            assert!(found, "seed {seed}, fault {fault}: {kind} is not in {verdict}");
        }
        assert!(tried > 40, "fault {fault} found a place in {tried} of 100 histories");
    }
}
