//! Groups that are let go of when no row has come for them for a time: a reader who keeps the last row of each key has in the end
//! what a walk over all rows gives, each judged by the watermark before it; over crashes, commits at any time, and a later run.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_model::{KeyGroup, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, Stage, StageSpec, TimeBounds};
use super::beside::{self, Beside, Walk};
use super::joins::{ALLOW_MS, DELAY_MS, Row, spec as spec_of};
use super::{lines, stores};
use crate::sql::Keep;

const KEEP_MS: i64 = 4_000;

const QUERY: &str = "SELECT s.store_id, s.big, s.n, s.v, c.city FROM
    (SELECT store_id, v > 50 AS big, count(*) AS n, sum(v) AS v FROM sales WHERE v <> 13 GROUP BY store_id, v > 50) s
    LEFT JOIN stores c ON c.store_id = s.store_id";

fn spec(partitions: u32, update_ms: i64) -> StageSpec {
    let mut spec = spec_of(partitions, QUERY, 16);
    spec.sources.truncate(1);
    spec.sources[0].watermark = WatermarkConfig { delay_ms: DELAY_MS, idle_after_ms: None, bounded: true };
    if let OperatorKind::Sql { update_ms: every, keep, .. } = &mut spec.operators[0].kind {
        (*every, *keep) = (Some(update_ms), Some(Keep::For(KEEP_MS)));
    }
    spec.operators.push(beside::operator("sales", "store_id", "at"));
    spec.outputs.insert(beside::NAME.into());
    spec
}

fn random_log(rng: &mut SeededRng, partition: u32, partitions: u32) -> Vec<Row> {
    let mut now = 1_000_000;
    let mut log = Vec::new();
    for number in 0..rng.below(120) {
        let step = if rng.chance(1, 15) { 9_000 } else { 400 };
        now += rng.below(step) as i64;
        let far = if rng.chance(1, 10) { 12_000 } else { 2 * DELAY_MS as u64 };
        log.push(Row {
            id: format!("{partition}-{number}"),
            store: format!("S{}", partition + partitions * rng.below(2) as u32),
            at: now - rng.below(far) as i64,
            v: Some(rng.below(100) as i64),
        });
    }
    log
}

/// Rows of one group that came one after the other.
struct Run {
    first: i64,
    last: i64,
    count: i64,
    sum: i64,
}

/// The row of each group, by a walk over the rows of a partition, and what the query beside has to give; how many were late. A run
/// ended at this row.
fn walked(
    (partition, end): (u32, usize),
    log: &[Row],
    (out, beside): (&mut BTreeMap<String, String>, &mut Walk),
) -> usize {
    let (mut runs, mut late, mut watermark) = (BTreeMap::<(String, bool), Vec<Run>>::new(), 0, i64::MIN);
    for (offset, row) in log.iter().enumerate() {
        let v = row.v.expect("a number");
        let before = watermark;
        if offset == end {
            beside.end(partition);
        }
        beside.row((partition, offset as i64), &row.store, row.at, before);
        watermark = watermark.max(row.at - DELAY_MS);
        if v == 13 {
            continue;
        }
        let is_open = |last: i64| before < last + KEEP_MS + 1 + ALLOW_MS;
        let of = runs.entry((row.store.clone(), v > 50)).or_default();
        let meets =
            |run: &Run| is_open(run.last) && run.first - KEEP_MS <= row.at && row.at <= run.last + KEEP_MS;
        let mut one = Run { first: row.at, last: row.at, count: 1, sum: v };
        let (met, others): (Vec<Run>, Vec<Run>) = std::mem::take(of).into_iter().partition(meets);
        *of = others;
        if met.is_empty() && !is_open(row.at) {
            late += 1;
            continue;
        }
        for run in met {
            (one.first, one.last) = (one.first.min(run.first), one.last.max(run.last));
            (one.count, one.sum) = (one.count + run.count, one.sum + run.sum);
        }
        of.push(one);
    }
    for ((store, big), runs) in runs {
        let Some(last) = runs.iter().max_by_key(|run| run.last) else { continue };
        out.insert(format!("{store}|{big}"), format!("{}|{}", last.count, last.sum));
    }
    late
}

#[derive(Default)]
struct Broker {
    changelog: Vec<Bytes>,
    offsets: BTreeMap<u32, usize>,
    kept: BTreeMap<String, String>,
    rows: usize,
    late: usize,
    beside: Beside,
}

fn check(seed: u64) -> (usize, usize, usize) {
    let mut rng = SeededRng::new(seed);
    let partitions = 1 + rng.below(3) as u32;
    let spec = spec(partitions, 1 + rng.below(60) as i64);
    let logs: Vec<Vec<Row>> = (0..partitions).map(|at| random_log(&mut rng, at, partitions)).collect();
    let start = |broker: &Broker| {
        let mut stage = Stage::build(spec.clone()).unwrap_or_else(|problems| panic!("{problems:?}"));
        stage.load_table("stores", &stores()).expect("the table");
        let groups: Vec<u32> = (0..partitions).collect();
        super::copies::give(&mut stage, &groups, broker.changelog.iter(), 0);
        (stage, broker.offsets.clone())
    };
    let commit =
        |stage: &mut Stage, at: &BTreeMap<u32, usize>, broker: &mut Broker, now, rng: &mut SeededRng| {
            let records = stage.commit(now).expect("a commit");
            broker.changelog.extend(records.into_iter().map(|record| record.entry.encode()));
            broker.offsets.clone_from(at);
            for out in stage.take_outputs().batches {
                if broker.beside.take(&out) {
                    continue;
                }
                for line in lines(&out.batch) {
                    if out.output.as_ref() == "joined.late" {
                        broker.late += 1;
                        continue;
                    }
                    let parts: Vec<&str> = line.split('|').collect();
                    broker.kept.insert(parts[..2].join("|"), parts[2..4].join("|"));
                    broker.rows += 1;
                }
            }
            super::spilling::spill(stage, rng);
        };
    let (mut broker, mut now, mut most) = (Broker::default(), 0, 0);
    let first = rng.below(3);
    let of_first = |log: &Vec<Row>| if first == 0 { log.len() } else { log.len() / 2 };
    for is_first in [true, false] {
        let of_run = |log: &Vec<Row>| if is_first { of_first(log) } else { log.len() };
        let (mut stage, mut at) = start(&broker);
        loop {
            now += rng.below(20) as i64;
            let is_left = |group: &u32| at.get(group).copied().unwrap_or(0) < of_run(&logs[*group as usize]);
            let left: Vec<u32> = (0..partitions).filter(is_left).collect();
            if left.is_empty() {
                break;
            }
            match rng.below(14) {
                0..=10 => {
                    let group = left[rng.below(left.len() as u64) as usize];
                    let offset = at.entry(group).or_default();
                    let row = logs[group as usize][*offset].json();
                    let place = (KeyGroup(group), *offset as i64);
                    stage.push_record(0, place, Some(&row), TimeBounds::default()).expect("an owned group");
                    *offset += 1;
                }
                11 | 12 => commit(&mut stage, &at, &mut broker, now, &mut rng),
                _ => (stage, at) = start(&broker),
            }
            most = most.max(stage.state_sizes()[0].1.entries);
        }
        // Partitions end one after another, and workers die between.
        let mut ended = 0;
        while ended < partitions {
            now += rng.below(20) as i64;
            match rng.below(4) {
                0 => commit(&mut stage, &at, &mut broker, now, &mut rng),
                1 if broker.offsets == at => {
                    (stage, at) = start(&broker);
                    ended = 0;
                }
                _ => {
                    stage.finish(0, KeyGroup(ended), now).expect("an end");
                    ended += 1;
                }
            }
        }
        commit(&mut stage, &at, &mut broker, now, &mut rng);
    }
    let (mut wanted, mut late, mut beside) = (BTreeMap::new(), 0, Walk::default());
    for (partition, log) in (0..partitions).zip(&logs) {
        late += walked((partition, of_first(log)), log, (&mut wanted, &mut beside));
    }
    assert_eq!(broker.beside, beside.answer(), "seed {seed}");
    assert_eq!(broker.kept, wanted, "seed {seed}");
    assert_eq!(broker.late, late, "seed {seed}");
    (broker.rows, late, most)
}

#[test]
fn groups_that_are_let_go_of_end_as_walked() {
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let (mut rows, mut late) = (0, 0);
    for seed in 0..seeds {
        let (sent, put_aside, _) = check(seed);
        rows += sent;
        late += put_aside;
    }
    assert!(rows > 1_000 && late > 20, "the worlds are too tame: {rows} rows, {late} late");
}

/// What nothing comes for is let go of, and its last row is sent before, though the interval is not over.
#[test]
fn a_silent_group_is_let_go_of() {
    let mut stage = Stage::build(spec(1, 1_000_000)).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    let push = |stage: &mut Stage, store: &str, at: i64, now: i64| -> Vec<String> {
        let row = Row { id: "r".into(), store: store.into(), at, v: Some(60) };
        let place = (KeyGroup(0), at);
        stage.push_record(0, place, Some(&row.json()), TimeBounds::default()).expect("an owned group");
        stage.commit(now).expect("a commit");
        stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)).collect()
    };
    assert_eq!(push(&mut stage, "S0", 10_000, 0).len(), 1, "the first is due");
    assert!(push(&mut stage, "S0", 10_500, 10).is_empty(), "the interval is not over");
    let over = 10_500 + KEEP_MS + 1 + ALLOW_MS + DELAY_MS;
    assert!(push(&mut stage, "S1", over - 1, 20).is_empty(), "a row for the first could still come");
    assert_eq!(stage.state_sizes()[0].1.entries, 2);
    let sent = push(&mut stage, "S1", over, 30);
    assert_eq!((sent.len(), sent[0].starts_with("S0|true|2|120")), (1, true), "{sent:?}");
    assert_eq!(stage.state_sizes()[0].1.entries, 1, "only the second is kept");
}
