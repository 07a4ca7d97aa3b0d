//! Functions OVER a stream in drawn worlds: rows out of order within the delay and beyond, equal times, commits at any place,
//! crashes, moved key groups, snapshots, a run that ends and one that goes on. What was committed in the end is what DataFusion's
//! batch engine gives for the same query over the rows that were in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use millstream_model::{KeyGroup, LateRule, LateThen, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, OperatorSpec, Running, SourceSpec, Stage, StageSpec, TimeBounds};
use super::beside::{self, Beside, Walk};
use super::lists::batch_answer;
use super::{batch, lines, refusal};
use crate::op::aggregate::Aggregation;
use crate::state::ChangelogEntry;
use millstream_format::{Decoder, Format};

const DELAY_MS: i64 = 1_000;
const OPERATOR: &str = "over-1";

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("user_id", DataType::Utf8, false),
        Field::new("at", time, false),
        Field::new("kind", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("w", DataType::Float64, true),
        Field::new("amount", DataType::Decimal128(18, 2), false),
    ]))
}

fn spec(partitions: u32, query: &str, allow_ms: i64, batch_rows: usize) -> StageSpec {
    StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "payments".into(),
            schema: schema(),
            frozen: false,
            format: Format::Json,
            event_time: Some("at".into()),
            watermark: WatermarkConfig { delay_ms: DELAY_MS, idle_after_ms: Some(1), bounded: true },
            partitioned_by: Some(vec!["user_id".into()]),
            latest_by: None,
        }],
        key_groups: partitions,
        changelog_partitions: partitions,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: OPERATOR.into(),
            name: "seen".into(),
            inputs: vec!["payments".into()],
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule { allow_ms, updates: false, then: LateThen::DeadLetter },
                update_ms: None,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["seen".to_owned()]),
        batch_rows,
    }
}

#[derive(Clone, Debug)]
struct Row {
    id: String,
    user: String,
    at: i64,
    kind: Option<u64>,
    v: Option<i64>,
}

impl Row {
    fn json(&self) -> Bytes {
        let v = self.v.map_or("null".to_owned(), |v| v.to_string());
        let w = self.v.filter(|v| v % 3 > 0).map_or("null".to_owned(), |v| (v as f64 / 4.0).to_string());
        let kind = self.kind.map_or("null".to_owned(), |kind| format!("\"k{kind}\""));
        let amount = self.v.unwrap_or(7) * 25;
        let money = format!("{}.{:02}", amount / 100, amount % 100);
        format!(
            r#"{{"id":"{}","user_id":"{}","at":{},"kind":{kind},"v":{v},"w":{w},"amount":{money}}}"#,
            self.id, self.user, self.at
        )
        .into()
    }
}

/// A query, and what the reference has to know of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) query: String,
    /// Which rows are taken, where not all are.
    pub(super) filter: Option<String>,
}

fn pick<'a>(rng: &mut SeededRng, from: &[&'a str]) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

/// A frame by how many rows it has.
pub(super) fn frame_of_rows(rng: &mut SeededRng) -> String {
    match rng.below(4) {
        0 => String::new(),
        1 => " ROWS UNBOUNDED PRECEDING".to_owned(),
        2 => format!(" ROWS BETWEEN {} PRECEDING AND CURRENT ROW", rng.below(5)),
        _ => {
            let until = rng.below(3);
            format!(" ROWS BETWEEN {} PRECEDING AND {until} PRECEDING", until + rng.below(4))
        }
    }
}

/// A window over which it matters which of two rows of one time comes first; its rows are told apart by their ids.
fn ordered_call(rng: &mut SeededRng, key: &str) -> String {
    let frame = frame_of_rows(rng);
    let over = format!("OVER (PARTITION BY {key} ORDER BY at, id{frame})");
    let plain = format!("OVER (PARTITION BY {key} ORDER BY at, id)");
    let ever = if frame.contains("BETWEEN") { &plain } else { &over };
    match rng.below(12) {
        0 => format!("row_number() {plain}"),
        1 => format!("lag(id) {plain}"),
        2 => format!("lag(v, {}, -1) {plain}", rng.below(4)),
        3 => format!("first_value(id) {over}"),
        4 => format!("last_value(v) {over}"),
        5 => format!("nth_value(id, {}) {over}", 1 + rng.below(3)),
        6 => format!("bool_or(v > 90) {ever}"),
        7 => format!("round(var_pop(v) {ever}, 6)"),
        8 => format!("rank() OVER (PARTITION BY {key} ORDER BY at, v DESC NULLS LAST)"),
        9 => format!("dense_rank() OVER (PARTITION BY {key} ORDER BY at, v)"),
        10 => format!("sum(v) OVER (PARTITION BY {key} ORDER BY at, v)"),
        _ => format!("{} {over}", total(rng)),
    }
}

/// What can be added up.
fn total(rng: &mut SeededRng) -> String {
    let argument = ["v", "amount", "w", "at", "kind", "v * 2"];
    let of_numbers = ["v", "amount", "w", "v + 1"];
    let text = match rng.below(6) {
        0 => "count(*)".to_owned(),
        1 => format!("count({})", pick(rng, &argument)),
        2 => format!("sum({})", pick(rng, &of_numbers)),
        3 => format!("avg({})", pick(rng, &["amount", "w"])),
        4 => format!("min({})", pick(rng, &argument)),
        _ => format!("max({})", pick(rng, &argument)),
    };
    let filter = if rng.chance(1, 4) { " FILTER (WHERE v % 2 = 0)" } else { "" };
    format!("{text}{filter}")
}

/// A frame by the times of its rows.
pub(super) fn frame_of_times(rng: &mut SeededRng) -> String {
    let mut span = |longest: u64| 250 * rng.below(longest) as i64;
    let (long, short, longer) = (span(60), span(8), span(200));
    let seconds = |ms: i64| format!("INTERVAL '{} milliseconds'", ms);
    match rng.below(9) {
        0 | 1 => format!(" RANGE BETWEEN {} PRECEDING AND CURRENT ROW", seconds(longer)),
        2 => format!(" RANGE BETWEEN {} PRECEDING AND CURRENT ROW", seconds(long)),
        3 => format!(" RANGE BETWEEN {} PRECEDING AND {} FOLLOWING", seconds(long), seconds(short)),
        4 => format!(" RANGE BETWEEN CURRENT ROW AND {} FOLLOWING", seconds(short)),
        5 => {
            let (from, to) = (seconds(long + short), seconds(short));
            format!(" RANGE BETWEEN {from} PRECEDING AND {to} PRECEDING")
        }
        6 => {
            let (from, to) = (seconds(short), seconds(long + short));
            format!(" RANGE BETWEEN {from} FOLLOWING AND {to} FOLLOWING")
        }
        7 => String::new(),
        _ => " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
    }
}

/// A window over the rows of a time before and behind.
fn timed_call(rng: &mut SeededRng, key: &str) -> String {
    let frame = frame_of_times(rng);
    let over = format!("OVER (PARTITION BY {key} ORDER BY at{frame})");
    match rng.below(12) {
        0 => format!("rank() OVER (PARTITION BY {key} ORDER BY at)"),
        1 => format!("dense_rank() OVER (PARTITION BY {key} ORDER BY at)"),
        2 => format!("first_value(at) {over}"),
        3 => format!("last_value(at) {over}"),
        4 if frame.contains("INTERVAL") => format!("median(v) {over}"),
        5 if frame.contains("INTERVAL") => format!("count(DISTINCT v) {over}"),
        _ => format!("{} {over}", total(rng)),
    }
}

fn random_query(rng: &mut SeededRng) -> Asked {
    let mut calls = Vec::new();
    for at in 0..1 + rng.below(4) {
        let key = pick(rng, &["user_id", "user_id", "user_id, kind", "v % 3, user_id"]);
        let text = if rng.chance(1, 2) { ordered_call(rng, key) } else { timed_call(rng, key) };
        calls.push(format!("{text} AS x{at}"));
    }
    let filtered = rng.chance(1, 4);
    let from = if filtered { "payments WHERE v > 20" } else { "payments" };
    let select = format!("SELECT id, user_id, at, v, {} FROM {from}", calls.join(", "));
    let query = match rng.below(5) {
        0 => {
            let alert = "count(*) OVER (PARTITION BY user_id ORDER BY at RANGE BETWEEN INTERVAL '5 seconds' PRECEDING AND CURRENT ROW)";
            let select = select.replacen("SELECT id", &format!("SELECT {alert} AS recent, id"), 1);
            format!("SELECT id, recent, x0, upper(user_id) AS u FROM ({select}) WHERE recent > 3")
        }
        1 => format!("{select} QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY at, id) <= 3"),
        _ => select,
    };
    Asked { query, filter: filtered.then(|| "v > 20".to_owned()) }
}

type Logs = Vec<Vec<Row>>;

fn random_logs(rng: &mut SeededRng) -> Logs {
    let partitions = 1 + rng.below(4) as usize;
    // Coarse times are often equal.
    let grain = [1, 250, 1_000][rng.below(3) as usize];
    let mut log_of = |partition: usize| {
        let mut now = 1_000_000 + rng.below(3) as i64 * 50_000;
        let count = if rng.chance(1, 6) { 0 } else { rng.below(150) };
        let mut log = Vec::new();
        for i in 0..count {
            let step = if rng.chance(1, 40) { 30_000 } else { 400 };
            now += rng.below(step) as i64;
            let far = if rng.chance(1, 15) { 30_000 } else { DELAY_MS as u64 };
            log.push(Row {
                id: format!("{partition}-{i}"),
                user: format!("U{}", partition + partitions * rng.below(3) as usize),
                at: (now - rng.below(far) as i64).div_euclid(grain) * grain,
                kind: (!rng.chance(1, 6)).then(|| rng.below(2)),
                v: (!rng.chance(1, 7)).then(|| rng.below(100) as i64),
            });
        }
        log
    };
    (0..partitions).map(&mut log_of).collect()
}

/// What was committed.
#[derive(Default)]
struct Broker {
    changelog: Vec<(u32, Bytes)>,
    offsets: BTreeMap<u32, usize>,
    given: Vec<String>,
    late: BTreeSet<(u32, i64)>,
    beside: Beside,
    snapshots: usize,
}

struct Worker {
    stage: Stage,
    position: BTreeMap<u32, usize>,
}

struct World {
    logs: Logs,
    ends: Vec<usize>,
    query: String,
    allow_ms: i64,
    broker: Broker,
}

impl World {
    fn worker(&self, rng: &mut SeededRng, groups: &[u32]) -> Worker {
        let batch_rows = 1 + rng.below(80) as usize;
        let mut spec = spec(self.logs.len() as u32, &self.query, self.allow_ms, batch_rows);
        spec.operators.push(beside::operator("payments", "user_id", "at"));
        spec.outputs.insert(beside::NAME.into());
        let stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{}: {problems:?}", self.query));
        let mut worker = Worker { stage, position: BTreeMap::new() };
        self.restore(&mut worker, groups);
        worker
    }

    fn restore(&self, worker: &mut Worker, groups: &[u32]) {
        let changelog = self.broker.changelog.iter().map(|(_, value)| value);
        super::copies::give(&mut worker.stage, groups, changelog, 0);
        for group in groups {
            let at = self.broker.offsets.get(group).copied().unwrap_or(0);
            worker.position.insert(*group, at);
        }
    }

    fn commit(&mut self, worker: &mut Worker, rng: &mut SeededRng) {
        for record in worker.stage.commit(0).expect("a commit") {
            self.broker.changelog.push((record.partition, record.entry.encode()));
        }
        if rng.chance(1, 4) {
            let partition = rng.below(self.logs.len() as u64) as u32;
            let groups = worker.stage.groups_of(partition);
            let operator = [OPERATOR, beside::ID][rng.below(2) as usize];
            let records = worker.stage.snapshot(operator, partition, groups).expect("a snapshot");
            if matches!(records.first().map(|r| &r.entry), Some(ChangelogEntry::Reset { .. })) {
                // There is one key group to each partition: what came before is void, and may be deleted or not.
                if rng.chance(2, 3) {
                    let is_void = |value: &Bytes| {
                        let entry = ChangelogEntry::decode(value).expect("a record of ours");
                        entry.operator().is_none_or(|of| of == operator)
                    };
                    self.broker.changelog.retain(|(of, value)| *of != partition || !is_void(value));
                }
                self.broker.snapshots += 1;
            }
            let records = records.into_iter().map(|record| (record.partition, record.entry.encode()));
            self.broker.changelog.extend(records);
        }
        super::spilling::spill(&mut worker.stage, rng);
        self.broker.offsets.extend(worker.position.iter().map(|(group, at)| (*group, *at)));
        for out in worker.stage.take_outputs().batches {
            if self.broker.beside.take(&out) {
                continue;
            }
            match out.output.as_ref() {
                "seen" => self.broker.given.extend(lines(&out.batch)),
                "seen.late" => {
                    let offsets = out.offsets.expect("a late row has an origin");
                    for (group, offset) in out.groups.values().iter().zip(offsets.values()) {
                        assert!(self.broker.late.insert((*group, *offset)), "{group} {offset} is late twice");
                    }
                }
                other => panic!("rows of {other}"),
            }
        }
    }
}

/// Runs workers over what there is of the logs, to its end.
fn run(rng: &mut SeededRng, world: &mut World) {
    let mut workers: Vec<Worker> = (0..1 + rng.below(2)).map(|_| world.worker(rng, &[])).collect();
    for group in 0..world.logs.len() as u32 {
        let at = rng.below(workers.len() as u64) as usize;
        world.restore(&mut workers[at], &[group]);
    }
    let left = |worker: &Worker, world: &World| -> Vec<u32> {
        let open = worker.position.iter().filter(|(group, at)| **at < world.ends[**group as usize]);
        open.map(|(group, _)| *group).collect()
    };
    while workers.iter().any(|worker| !left(worker, world).is_empty()) {
        let at = rng.below(workers.len() as u64) as usize;
        let worker = &mut workers[at];
        match rng.below(20) {
            0..=12 => {
                let open = left(worker, world);
                if open.is_empty() {
                    continue;
                }
                let group = open[rng.below(open.len() as u64) as usize];
                for _ in 0..1 + rng.below(30) {
                    let at = worker.position[&group];
                    let Some(row) = world.logs[group as usize][..world.ends[group as usize]].get(at) else {
                        break;
                    };
                    let place = (KeyGroup(group), at as i64);
                    worker
                        .stage
                        .push_record(0, place, Some(&row.json()), TimeBounds::default())
                        .expect("an owned group");
                    worker.position.insert(group, at + 1);
                    if worker.stage.is_full() {
                        worker.stage.turn(0).expect("a turn");
                    }
                }
            }
            13 => worker.stage.turn(0).expect("a turn"),
            14..=17 => world.commit(worker, rng),
            18 => {
                // A crash, or a transaction that was aborted.
                let groups: Vec<u32> = worker.position.keys().copied().collect();
                *worker = world.worker(rng, &groups);
            }
            _ => {
                // A key group moves to another worker, or away and back.
                world.commit(worker, rng);
                let Some(group) = worker.position.keys().next().copied() else { continue };
                worker.stage.revoke([KeyGroup(group)]).expect("a revocation");
                worker.position.remove(&group);
                let to = rng.below(workers.len() as u64) as usize;
                world.restore(&mut workers[to], &[group]);
            }
        }
    }
    for mut worker in workers {
        for group in worker.position.keys().copied().collect::<Vec<_>>() {
            worker.stage.finish(0, KeyGroup(group), 0).expect("an end");
        }
        world.commit(&mut worker, rng);
    }
}

/// For how long behind a row the frames look that are left of a query.
fn ahead_ms(query: &str) -> i64 {
    let stage =
        Stage::build(spec(1, query, 0, 10)).unwrap_or_else(|problems| panic!("{query}: {problems:?}"));
    let Running::Sql { query, .. } = &stage.operators[0].running else { return 0 };
    let ahead = query.aggregates().map(|aggregate| match aggregate {
        Aggregation::Over(over) => over.ahead_ms,
        _ => panic!("functions OVER a stream"),
    });
    ahead.max().unwrap_or(0)
}

/// The rows that are in time, as a table, and those that are late: by the rows before them in their partition, and in a later run
/// by what had come out at the end of the one before; and what the query beside has to give.
fn reference(
    logs: &Logs,
    ends: &[Vec<usize>],
    asked: &Asked,
    allow_ms: i64,
) -> (RecordBatch, BTreeSet<(u32, i64)>, Beside) {
    let columns: Vec<usize> = (0..schema().fields().len()).collect();
    let decoder = || Decoder::json(&schema(), &columns).expect("a schema");
    let taken: Option<BTreeSet<String>> = asked.filter.as_ref().map(|filter| {
        let mut all = decoder();
        logs.iter().flatten().for_each(|row| all.push(&row.json()).expect("a good record"));
        let query = format!("SELECT id FROM payments WHERE {filter}");
        batch_answer(&query, &[("payments", all.finish())]).into_iter().collect()
    });
    let mut decoder = decoder();
    let (mut late, mut beside, ahead_ms) = (BTreeSet::new(), Walk::default(), ahead_ms(&asked.query));
    for (partition, log) in logs.iter().enumerate() {
        let (mut watermark, mut came_out, mut ended) = (i64::MIN, i64::MIN, i64::MIN);
        for (offset, row) in log.iter().enumerate() {
            if ends.iter().any(|ends| ends[partition] == offset) {
                ended = came_out;
                beside.end(partition as u32);
            }
            beside.row((partition as u32, offset as i64), &row.user, row.at, watermark);
            if taken.as_ref().is_none_or(|taken| taken.contains(&row.id)) {
                if watermark.max(ended) > row.at.saturating_add(allow_ms) {
                    late.insert((partition as u32, offset as i64));
                } else {
                    decoder.push(&row.json()).expect("a good record");
                    came_out = came_out.max(row.at + ahead_ms + allow_ms + 1);
                }
            }
            watermark = watermark.max(row.at - DELAY_MS);
        }
    }
    (decoder.finish(), late, beside.answer())
}

/// How many rows came out, how many were late, and how many snapshots there were.
fn check(seed: u64) -> [usize; 3] {
    let mut rng = SeededRng::new(seed);
    let logs = random_logs(&mut rng);
    let asked = random_query(&mut rng);
    let found = check_asked(seed, &mut rng, logs, &asked);
    found.unwrap_or_else(|problem| panic!("seed {seed}: {}: {problem}", asked.query))
}

/// One query in a world of its own; the reason where it is refused.
pub(super) fn check_drawn(seed: u64, asked: &Asked) -> Result<usize, String> {
    let mut rng = SeededRng::new(seed);
    let logs = random_logs(&mut rng);
    check_asked(seed, &mut rng, logs, asked).map(|found| found[0])
}

fn check_asked(seed: u64, rng: &mut SeededRng, logs: Logs, asked: &Asked) -> Result<[usize; 3], String> {
    refusal(spec(1, &asked.query, 0, 10))?;
    let allow_ms = [0, 0, 700][rng.below(3) as usize];
    let whole: Vec<usize> = logs.iter().map(Vec::len).collect();
    let mut world = World {
        ends: whole.clone(),
        logs: logs.clone(),
        query: asked.query.clone(),
        allow_ms,
        broker: Broker::default(),
    };
    let mut ends = Vec::new();
    // Runs over a part of the input may come first.
    for _ in 0..rng.below(3) {
        let from = ends.last().cloned().unwrap_or_else(|| vec![0; logs.len()]);
        let more =
            |(log, from): (&Vec<Row>, &usize)| from + rng.below((log.len() - from) as u64 + 1) as usize;
        world.ends = logs.iter().zip(&from).map(more).collect();
        ends.push(world.ends.clone());
        run(rng, &mut world);
        world.ends.clone_from(&whole);
    }
    run(rng, &mut world);
    let (table, late, beside) = reference(&logs, &ends, asked, allow_ms);
    let mut given = world.broker.given;
    given.sort_unstable();
    assert_eq!(world.broker.late, late, "seed {seed}: {}", asked.query);
    assert_eq!(world.broker.beside, beside, "seed {seed}: beside {}", asked.query);
    let wanted = batch_answer(&asked.query, &[("payments", table)]);
    if let Some(apart) = batch::apart(&given, &wanted) {
        panic!("seed {seed}: allow {allow_ms}: {}\n{apart}", asked.query);
    }
    Ok([given.len(), late.len(), world.broker.snapshots])
}

#[test]
fn functions_over_a_stream_give_the_batch_answer() {
    let first = std::env::var("MILLSTREAM_SEED").ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(75);
    let range = first.map_or(0..seeds, |first| first..first + 1);
    let read = super::spilling::rows_read();
    let found = range.map(check).fold([0; 3], |sum, one| [0, 1, 2].map(|at| sum[at] + one[at]));
    if first.is_none() {
        let read = super::spilling::rows_read() - read;
        assert!(read > 500, "{read} rows were taken from scratches");
        assert!(found[0] > 1_500 && found[1] > 25 && found[2] > 50, "{found:?}: the worlds are too tame");
    }
}

/// A stage over one partition.
fn stage(query: &str, allow_ms: i64) -> Stage {
    let spec = spec(1, query, allow_ms, 10);
    let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{query}: {problems:?}"));
    stage.assign(KeyGroup(0), 0);
    stage
}

/// What comes out with a commit behind one row: the name of the output, and its columns.
fn given(stage: &mut Stage, (id, at, v): (&str, i64, i64)) -> Vec<String> {
    let row = Row { id: id.into(), user: "U0".into(), at, kind: None, v: Some(v) };
    stage
        .push_record(0, (KeyGroup(0), at), Some(&row.json()), TimeBounds::default())
        .expect("an owned group");
    stage.commit(0).expect("a commit");
    let out = stage.take_outputs().batches;
    out.iter()
        .flat_map(|out| lines(&out.batch).into_iter().map(|line| format!("{}: {line}", out.output)))
        .collect()
}

/// A row comes once the watermark has passed its time and what its frames hold behind it, by the allowance, and not before; one
/// that is later than that is put aside, and changes nothing.
#[test]
fn a_row_comes_when_all_that_its_frames_hold_is_there() {
    let frame = "RANGE BETWEEN INTERVAL '2 seconds' PRECEDING AND INTERVAL '1 second' FOLLOWING";
    let query =
        format!("SELECT id, sum(v) OVER (PARTITION BY user_id ORDER BY at {frame}) AS s FROM payments");
    let mut stage = stage(&query, 500);
    let none: [&str; 0] = [];
    assert_eq!(given(&mut stage, ("a", 10_000, 1)), none);
    // Until a row of 11,000 can come no more, which may be late by the allowance.
    let last = 11_000 + 500 + DELAY_MS;
    assert_eq!(given(&mut stage, ("b", last, 2)), none);
    assert_eq!(given(&mut stage, ("c", 11_000, 4)), none);
    assert_eq!(given(&mut stage, ("d", last + 1, 8)), ["seen: a|5"]);
    // The watermark is 11,501 now.
    assert_eq!(given(&mut stage, ("e", 11_001, 16)), none);
    assert_eq!(stage.counts()[0].1.late, 0);
    assert_eq!(given(&mut stage, ("f", 11_000, 32)).len(), 1, "it is put aside");
    assert_eq!(stage.counts()[0].1.late, 1);
}

/// The first row of each key by time, which is one state row of each for ever.
#[test]
fn the_first_row_of_a_key_by_time_is_given_once() {
    let query =
        "SELECT id FROM payments QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY at, id) = 1";
    let mut stage = stage(query, 0);
    let mut all = Vec::new();
    for (id, at) in
        [("second", 10_500), ("first", 10_000), ("third", 20_000), ("fourth", 400_000), ("fifth", 900_000)]
    {
        all.extend(given(&mut stage, (id, at, 1)));
    }
    assert_eq!(all, ["seen: first"]);
    // The key, and the bucket of the row that waits.
    assert_eq!(stage.state_sizes()[0].1.entries, 2);
    let description = stage.describe();
    let kept = &description.operators[0].state[0].kept;
    assert!(kept.contains("one state row of each user_id for ever"), "{kept}");
}

/// What no frame reaches any more goes, keys with it; the level lies behind the watermark by what rows wait for.
#[test]
fn what_no_row_looks_at_any_more_is_let_go() {
    let frame = "RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND INTERVAL '3 seconds' FOLLOWING";
    let query = format!(
        "SELECT user_id, id, count(*) OVER (PARTITION BY user_id, id ORDER BY at {frame}) AS n FROM payments"
    );
    let mut stage = stage(&query, 500);
    for i in 0..2_000 {
        given(&mut stage, (&format!("r{i}"), 100_000 + 100 * i, 1));
    }
    // Ten seconds of keys, and those of the rows that wait with their buckets: not two thousand.
    let size = stage.state_sizes()[0].1;
    assert!(size.entries < 250, "{size:?}");
    let watermark = 100_000 + 100 * 1_999 - DELAY_MS;
    assert_eq!(stage.level_of("seen"), watermark - 3_000 - 500);
}

/// An aggregate that cannot be taken off again, over a frame that moves; DataFusion's batch engine does not run these.
#[test]
fn aggregates_that_cannot_be_taken_off_are_computed_anew() {
    let frame = "RANGE BETWEEN INTERVAL '2 seconds' PRECEDING AND CURRENT ROW";
    let query = format!(
        "SELECT id, bool_or(v > 50) OVER (PARTITION BY user_id ORDER BY at {frame}) AS high, max(id) FILTER (WHERE v < 9) OVER (PARTITION BY user_id ORDER BY at {frame}) AS low FROM payments"
    );
    let mut stage = stage(&query, 0);
    let mut all = Vec::new();
    for (id, at, v) in [
        ("a", 1_000, 60),
        ("b", 2_000, 5),
        ("c", 3_000, 10),
        ("d", 4_000, 4),
        ("e", 4_001, 7),
        ("f", 9_000, 80),
    ] {
        all.extend(given(&mut stage, (id, at, v)));
    }
    assert_eq!(
        all,
        ["seen: a|true|", "seen: b|true|b", "seen: c|true|b", "seen: d|false|d", "seen: e|false|e"]
    );
}

/// Rows of one time that nothing in the query tells apart are in the order of their columns, whichever came first.
#[test]
fn rows_of_one_time_are_in_the_order_of_their_columns() {
    let query = "SELECT id, lag(id) OVER (PARTITION BY user_id ORDER BY at) AS before FROM payments";
    for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
        let mut stage = stage(query, 0);
        for id in order {
            given(&mut stage, (id, 5_000, 1));
        }
        let mut all = given(&mut stage, ("later", 9_000, 1));
        all.sort_unstable();
        assert_eq!(all, ["seen: a|", "seen: b|a", "seen: c|b"], "{order:?}");
    }
}

/// Rows that are sent again have no place behind these.
#[test]
fn rows_that_come_once_are_not_sent_again() {
    let query = "SELECT id, count(*) OVER (PARTITION BY user_id ORDER BY at) AS n FROM payments";
    for (updates, update_ms) in [(true, None), (false, Some(10))] {
        let mut spec = spec(1, query, 0, 10);
        if let OperatorKind::Sql { late, update_ms: every, .. } = &mut spec.operators[0].kind {
            (late.updates, *every) = (updates, update_ms);
        }
        let problems = Stage::build(spec).err().expect("it is refused");
        assert!(format!("{problems:?}").contains("OVER (…) gives each row of a stream once"), "{problems:?}");
    }
}

/// Streams that are put together are one: a row waits for both, by the one that is behind.
#[test]
fn rows_of_streams_put_together_wait_for_both() {
    let query = "SELECT id, count(*) OVER (PARTITION BY user_id ORDER BY at, id) AS n FROM
        (SELECT id, user_id, at FROM payments UNION ALL SELECT id, user_id, at FROM refunds)";
    let mut spec = spec(1, query, 0, 10);
    let refunds = SourceSpec { name: "refunds".into(), ..spec.sources[0].clone() };
    spec.sources.push(refunds);
    spec.operators[0].inputs.push("refunds".into());
    let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.assign(KeyGroup(0), 0);
    let mut push = |source: usize, id: &str, at: i64| -> Vec<String> {
        let row = Row { id: id.into(), user: "U0".into(), at, kind: None, v: None };
        stage
            .push_record(source, (KeyGroup(0), at), Some(&row.json()), TimeBounds::default())
            .expect("an owned group");
        stage.commit(0).expect("a commit");
        stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(push(0, "b", 20_000), none);
    assert_eq!(push(0, "c", 60_000), none);
    assert_eq!(push(1, "a", 10_000), none);
    assert_eq!(push(1, "d", 30_000), ["a|1", "b|2"]);
}
