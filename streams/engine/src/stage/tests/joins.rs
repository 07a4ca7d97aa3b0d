//! Streams joined in one stage, in the same small world: two sources with partitions of their own, read at any pace, one or
//! two workers, commits, crashes, moved key groups. What was committed in the end must be what DataFusion's batch engine
//! gives for the rows that were in time, each judged by its own source alone.

mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use millstream_model::watermark::CaughtUp;
use millstream_model::{KeyGroup, LateRule, LateThen, Watermark, WatermarkConfig, Windows};
use millstream_types::{Rng, SeededRng};

use super::super::{
    OperatorKind, OperatorSpec, Restore, SourceSpec, Stage, StageSpec, TableSpec, TimeBounds,
};
use super::beside::{self, Beside};
use super::{batch, lines, refusal, spilling, stores};
use crate::sql::Keep;
use crate::state::ChangelogEntry;
use answer::Answer;
pub(super) use answer::{ALL, Alone, Closes, Held, all, alone, alone_of};

pub(super) const DELAY_MS: i64 = 1_000;
pub(super) const ALLOW_MS: i64 = 1_500;
const OPERATOR: &str = "joined-1";
const NAMES: [&str; 2] = ["sales", "returns"];

type Cut = (&'static str, fn() -> Windows);

/// Window functions over a stream, and what they stand for.
const CUTS: &[Cut] = &[
    ("TUMBLE({from}, at, INTERVAL '4 seconds')", || Windows::tumble(4_000).expect("a size")),
    ("HOP({from}, at, INTERVAL '2 seconds', INTERVAL '5 seconds')", || {
        Windows::hop(2_000, 5_000).expect("a size")
    }),
];

/// Over windows, with the rows that their windows hold.
const QUERIES: &[(&str, Held)] = &[
    (
        "SELECT a.store_id, a.id, b.id AS other, a.window_start, b.window_end FROM {sales} AS a JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.window_start = b.window_start AND a.window_end = b.window_end",
        ALL,
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, a.window_end FROM {sales} AS a LEFT JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.v > b.v",
        ALL,
    ),
    (
        "SELECT coalesce(a.store_id, b.store_id) AS store_id, coalesce(a.window_start, b.window_start) AS window_start, a.n, a.v, b.n AS other
     FROM (SELECT store_id, window_start, count(*) AS n, sum(v) AS v FROM {sales} GROUP BY store_id, window_start) a
     FULL JOIN (SELECT store_id, window_start, count(*) AS n FROM {returns} WHERE v < 70 GROUP BY store_id, window_start) b
     ON a.store_id = b.store_id AND a.window_start = b.window_start WHERE coalesce(a.n, 0) + coalesce(b.n, 0) > 1",
        [all, |row| row.v.is_some_and(|v| v < 70)],
    ),
    (
        "SELECT b.store_id, b.id, a.n, c.most, s.city FROM
     (SELECT store_id, window_end, count(*) AS n FROM {sales} GROUP BY store_id, window_end) a
     RIGHT JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end
     LEFT JOIN (SELECT store_id, window_end, max(v) AS most FROM {returns} GROUP BY store_id, window_end) c
     ON c.store_id = b.store_id AND c.window_end = b.window_end LEFT JOIN stores s ON s.store_id = b.store_id",
        ALL,
    ),
    (
        "SELECT a.store_id, a.window_end, a.id, b.v, rank() OVER (PARTITION BY a.store_id, a.window_end ORDER BY b.v DESC) AS place
     FROM {sales} AS a JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end WHERE a.v > 20",
        [|row| row.v.is_some_and(|v| v > 20), all],
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other FROM {sales} AS a JOIN {sales} AS b
     ON a.store_id = b.store_id AND a.v = b.v AND a.window_start = b.window_start AND a.id < b.id",
        ALL,
    ),
    (
        "SELECT store_id, window_end, count(*) AS n, sum(v) AS v, max(id) AS id FROM {both} GROUP BY store_id, window_end",
        ALL,
    ),
    (
        "SELECT a.store_id, a.window_end, a.n, b.id FROM
     (SELECT store_id, window_end, count(DISTINCT v) AS n FROM {both} WHERE v < 80 GROUP BY store_id, window_end) a
     LEFT JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end",
        [|row| row.v.is_some_and(|v| v < 80), all],
    ),
    (
        "SELECT a.store_id, a.window_end, a.of, a.g, a.n, b.id FROM
     (SELECT store_id, window_end, v % 3 AS of, grouping(v % 3) AS g, count(*) AS n FROM {sales} GROUP BY store_id, window_end, ROLLUP (v % 3)) a
     LEFT JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.n = b.v % 5",
        ALL,
    ),
];

/// Both streams put together.
const BOTH: &str = "(SELECT * FROM sales UNION ALL SELECT * FROM returns )";

/// Without windows: rows whose times are near each other, with those that come without a match.
const NEAR: &[(&str, &[Alone])] = &[
    (
        "SELECT a.store_id, a.id, b.id AS other, a.at FROM {sales} AS a JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.at BETWEEN b.at - INTERVAL '2 seconds' AND b.at + INTERVAL '1 second'",
        &[],
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, b.v FROM {sales} AS a LEFT JOIN {returns} AS b
     ON a.store_id = b.store_id AND b.at >= a.at AND b.at < a.at + INTERVAL '3 seconds' AND a.v > b.v",
        &[alone(0, 1, 2, 2_999)],
    ),
    (
        "SELECT coalesce(a.store_id, b.store_id) AS store_id, a.id, b.id AS other FROM (SELECT * FROM {sales} WHERE v < 60) a
     FULL JOIN {returns} AS b ON a.store_id = b.store_id AND a.at <= b.at AND a.at >= b.at - INTERVAL '5 seconds'",
        &[alone(0, 1, 2, 5_000), alone(1, 2, 1, 0)],
    ),
    (
        "SELECT b.store_id, a.id, b.id AS other, s.city FROM {sales} AS a RIGHT JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.at BETWEEN b.at + INTERVAL '1 second' AND b.at + INTERVAL '4 seconds'
     JOIN stores s ON s.store_id = b.store_id WHERE b.v < 90",
        &[alone(1, 2, 1, 4_000)],
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other FROM {sales} AS a JOIN {sales} AS b
     ON a.store_id = b.store_id AND b.at > a.at AND b.at <= a.at + INTERVAL '20 seconds' WHERE a.v = b.v",
        &[],
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, b.at - a.at AS apart FROM {sales} AS a LEFT JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.v = b.v AND b.at BETWEEN a.at - INTERVAL '1 minute' AND a.at - INTERVAL '1 second'",
        &[alone(0, 1, 2, -1_000)],
    ),
    (
        "SELECT a.store_id, a.id, b.store_id AS store, b.id AS other FROM {sales} AS a FULL JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.v % 9 = b.v % 9 AND a.at BETWEEN b.at - INTERVAL '1 second' AND b.at + INTERVAL '1 second'",
        &[alone(0, 1, 3, 1_000), alone(1, 3, 1, 1_000)],
    ),
];

/// Without a bound of time, or with one on one side: the query, what asks a batch engine for the same where that is another text,
/// how long rows are kept, of which sources rows are late (what the other keeps for ever is met by the latest row), and what comes
/// alone.
type Kept = (&'static str, Option<&'static str>, Keep, [bool; 2], &'static [Alone]);

const KEPT: &[Kept] = &[
    (
        "SELECT a.store_id, a.id, b.id AS other FROM {sales} AS a JOIN {returns} AS b ON a.store_id = b.store_id AND a.v = b.v",
        None,
        Keep::ForEver,
        [false, false],
        &[],
    ),
    (
        "SELECT a.store_id, a.id, a.at, b.id AS other, b.at AS other_at FROM {sales} AS a LEFT JOIN {returns} AS b
         ON a.store_id = b.store_id AND a.v > b.v",
        Some(
            "SELECT a.store_id, a.id, a.at, b.id AS other, b.at AS other_at FROM {sales} AS a LEFT JOIN {returns} AS b
             ON a.store_id = b.store_id AND a.v > b.v AND a.at BETWEEN b.at - INTERVAL '3 seconds' AND b.at + INTERVAL '3 seconds'",
        ),
        Keep::For(3_000),
        [true, true],
        &[alone(0, 1, 3, 3_000)],
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, b.at - a.at AS apart FROM {sales} AS a JOIN {returns} AS b
         ON a.store_id = b.store_id AND a.v = b.v AND b.at >= a.at",
        None,
        Keep::ForEver,
        [true, false],
        &[],
    ),
    (
        "SELECT b.store_id, a.id, b.id AS other FROM {sales} AS a RIGHT JOIN {returns} AS b
         ON a.store_id = b.store_id AND a.v = b.v AND b.at > a.at + INTERVAL '1 second'",
        None,
        Keep::ForEver,
        [true, false],
        &[alone(1, 2, 1, -1_001)],
    ),
    (
        "SELECT a.store_id, a.id FROM {sales} AS a WHERE EXISTS
         (SELECT 1 FROM {returns} AS b WHERE b.store_id = a.store_id AND b.v = a.v)",
        None,
        Keep::ForEver,
        [false, false],
        &[],
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, s.city FROM {sales} AS a JOIN {sales} AS b ON a.store_id = b.store_id AND a.v = b.v + 1
         LEFT JOIN stores s ON s.store_id = a.store_id",
        None,
        Keep::ForEver,
        [false, false],
        &[],
    ),
];

/// A query of the two streams.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) query: &'static str,
    /// What asks a batch engine for the same, where that is another text.
    pub(super) batch: Option<&'static str>,
    pub(super) in_windows: bool,
    pub(super) keep: Option<Keep>,
    /// Of which sources rows are late.
    pub(super) judged: [bool; 2],
    /// What the end of a run closes for it.
    pub(super) closes: Closes,
    /// Where it is known: conditions on the rows of each source, which take them out before they can be late.
    pub(super) below: Option<[&'static str; 2]>,
}

impl Case {
    pub(super) fn new(query: &'static str) -> Case {
        let closes = Closes::Nothing;
        Case { query, batch: None, in_windows: false, keep: None, judged: [true, true], closes, below: None }
    }

    /// Of windows that hold the rows for which this is so, of each source.
    pub(super) fn windows(query: &'static str, held: Held) -> Case {
        Case { in_windows: true, closes: Closes::Windows(held), ..Case::new(query) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) store: String,
    pub(super) at: i64,
    pub(super) v: Option<i64>,
}

impl Row {
    pub(super) fn json(&self) -> Bytes {
        let v = self.v.map_or("null".to_owned(), |v| v.to_string());
        format!(r#"{{"id":"{}","store_id":"{}","at":{},"v":{v}}}"#, self.id, self.store, self.at).into()
    }
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("store_id", DataType::Utf8, false),
        Field::new("at", time, false),
        Field::new("v", DataType::Int64, true),
    ]))
}

/// By source and partition.
type Logs = [Vec<Vec<Row>>; 2];

fn random_logs(rng: &mut SeededRng, partitions: usize) -> Logs {
    // Coarse times often lie just on a bound.
    let grain = [1, 250][rng.below(2) as usize];
    [0, 1].map(|source| {
        let mut log_of = |partition: usize| {
            // Mostly at the same time: what never meets shows little.
            let apart = if rng.chance(1, 4) { rng.below(3) as i64 * 20_000 } else { 0 };
            let mut now = 1_000_000 + apart;
            let count = if rng.chance(1, 6) { 0 } else { rng.below(150) };
            let mut log = Vec::new();
            for i in 0..count {
                let step = if rng.chance(1, 60) { 9_000 } else { 300 };
                now += rng.below(step) as i64;
                let far = if rng.chance(1, 12) { 30_000 } else { 2 * DELAY_MS as u64 };
                let back = rng.below(far);
                log.push(Row {
                    id: format!("{source}-{partition}-{i}"),
                    store: format!("S{}", partition + partitions * rng.below(2) as usize),
                    at: (now - back as i64) / grain * grain,
                    v: (!rng.chance(1, 8)).then(|| rng.below(100) as i64),
                });
            }
            log
        };
        (0..partitions).map(&mut log_of).collect()
    })
}

pub(super) fn spec(partitions: u32, query: &str, batch_rows: usize) -> StageSpec {
    let source = |name: &str| SourceSpec {
        name: name.into(),
        schema: schema(),
        frozen: false,
        format: millstream_format::Format::Json,
        event_time: Some("at".into()),
        watermark: WatermarkConfig { delay_ms: DELAY_MS, idle_after_ms: Some(1), bounded: true },
        partitioned_by: Some(vec!["store_id".into()]),
        latest_by: None,
    };
    let reads = NAMES.into_iter().filter(|name| {
        query.contains(&format!("({name}"))
            || query.contains(&format!("FROM {name} "))
            || query.contains(&format!("JOIN {name} "))
    });
    StageSpec {
        id: "stage".into(),
        sources: NAMES.map(source).into(),
        key_groups: partitions,
        changelog_partitions: partitions,
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: OPERATOR.into(),
            name: "joined".into(),
            inputs: reads.chain(["stores"]).map(str::to_owned).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule { allow_ms: ALLOW_MS, updates: false, then: LateThen::DeadLetter },
                update_ms: None,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["joined".to_owned()]),
        batch_rows,
    }
}

/// What was committed.
#[derive(Default)]
struct Broker {
    changelog: Vec<(u32, Bytes)>,
    offsets: BTreeMap<(usize, u32), usize>,
    joined: Vec<String>,
    late: BTreeSet<(String, u32, i64)>,
    beside: Beside,
}

struct Worker {
    stage: Stage,
    owned: BTreeSet<u32>,
    position: BTreeMap<(usize, u32), usize>,
}

struct World {
    logs: Logs,
    /// How much of each log there is by now.
    ends: Ends,
    in_windows: bool,
    spec: StageSpec,
    broker: Broker,
}

impl World {
    fn worker(&self, groups: &[u32]) -> Worker {
        let mut stage = Stage::build(self.spec.clone()).unwrap_or_else(|problems| panic!("{problems:?}"));
        stage.load_table("stores", &stores()).expect("the table");
        let mut worker = Worker { stage, owned: BTreeSet::new(), position: BTreeMap::new() };
        self.restore(&mut worker, groups);
        worker
    }

    fn restore(&self, worker: &mut Worker, groups: &[u32]) {
        let changelog = self.broker.changelog.iter().map(|(_, value)| value);
        super::copies::give(&mut worker.stage, groups, changelog, 0);
        for group in groups {
            worker.owned.insert(*group);
            for source in 0..NAMES.len() {
                let at = self.broker.offsets.get(&(source, *group)).copied().unwrap_or(0);
                worker.position.insert((source, *group), at);
            }
        }
    }

    fn commit(&mut self, worker: &mut Worker, rng: &mut SeededRng) {
        for record in worker.stage.commit(0).expect("a commit") {
            self.broker.changelog.push((record.partition, record.entry.encode()));
        }
        if rng.chance(1, 4) {
            let partition = rng.below(u64::from(self.spec.changelog_partitions)) as u32;
            let groups = worker.stage.groups_of(partition);
            let operator = [OPERATOR, beside::ID][rng.below(2) as usize];
            let records = worker.stage.snapshot(operator, partition, groups).expect("a snapshot");
            let is_whole = matches!(
                records.first().map(|r| &r.entry),
                Some(ChangelogEntry::Reset { groups, .. }) if groups.len() == 1
            );
            if is_whole {
                // There is one key group to each partition: what came before is void.
                let is_void = |value: &Bytes| {
                    let entry = ChangelogEntry::decode(value).expect("a record of ours");
                    entry.operator().is_none_or(|of| of == operator)
                };
                self.broker.changelog.retain(|(of, value)| *of != partition || !is_void(value));
            }
            let records = records.into_iter().map(|record| (record.partition, record.entry.encode()));
            self.broker.changelog.extend(records);
        }
        spilling::spill(&mut worker.stage, rng);
        self.broker.offsets.extend(worker.position.iter().map(|(place, at)| (*place, *at)));
        for out in worker.stage.take_outputs().batches {
            if self.broker.beside.take(&out) {
                continue;
            }
            match out.output.as_ref() {
                "joined" => self.broker.joined.extend(lines(&out.batch)),
                "joined.late" => {
                    let source = out.source.expect("a late row is a row of a source").to_string();
                    let offsets = out.offsets.expect("a late row has an origin");
                    for (group, offset) in out.groups.values().iter().zip(offsets.values()) {
                        let is_new = self.broker.late.insert((source.clone(), *group, *offset));
                        assert!(is_new, "{source} {group} {offset} is put aside twice");
                    }
                }
                other => panic!("rows of {other}"),
            }
        }
    }
}

/// What there is of each log, by source and partition.
type Ends = [Vec<usize>; 2];

/// Runs workers over what there is of the logs, to its end.
fn run(seed: u64, rng: &mut SeededRng, world: &mut World) {
    let mut workers: Vec<Worker> = (0..1 + rng.below(2)).map(|_| world.worker(&[])).collect();
    for group in 0..world.spec.key_groups {
        let at = rng.below(workers.len() as u64) as usize;
        world.restore(&mut workers[at], &[group]);
    }
    let left = |worker: &Worker, world: &World| -> Vec<(usize, u32)> {
        let is_left = |(source, group): &(usize, u32)| {
            worker.position[&(*source, *group)] < world.ends[*source][*group as usize]
        };
        let places = worker.owned.iter().flat_map(|group| [(0, *group), (1, *group)]);
        places.filter(is_left).collect()
    };
    while workers.iter().any(|worker| !left(worker, world).is_empty()) {
        let at = rng.below(workers.len() as u64) as usize;
        let worker = &mut workers[at];
        match rng.below(20) {
            0..=11 => {
                let open = left(worker, world);
                if open.is_empty() {
                    continue;
                }
                let (source, group) = open[rng.below(open.len() as u64) as usize];
                for _ in 0..1 + rng.below(10) {
                    let position = worker.position[&(source, group)];
                    let there = &world.logs[source][group as usize][..world.ends[source][group as usize]];
                    let Some(row) = there.get(position) else { break };
                    let place = (KeyGroup(group), position as i64);
                    worker
                        .stage
                        .push_record(source, place, Some(&row.json()), TimeBounds::default())
                        .expect("an owned group");
                    worker.position.insert((source, group), position + 1);
                    if worker.stage.is_full() {
                        worker.stage.turn(0).expect("a turn");
                    }
                }
            }
            12 => worker.stage.turn(0).expect("a turn"),
            13 => {
                // One source may end long before the other.
                let open = left(worker, world);
                for group in worker.owned.clone() {
                    for source in (0..NAMES.len()).filter(|source| !open.contains(&(*source, group))) {
                        worker.stage.finish(source, KeyGroup(group), 0).expect("an end");
                    }
                }
            }
            14..=16 => world.commit(worker, rng),
            17 | 18 => {
                let groups: Vec<u32> = worker.owned.iter().copied().collect();
                *worker = world.worker(&groups);
            }
            _ => {
                world.commit(worker, rng);
                let Some(group) = worker.owned.first().copied() else { continue };
                worker.stage.revoke([KeyGroup(group)]).expect("a revocation");
                worker.owned.remove(&group);
                worker.position.retain(|(_, of), _| *of != group);
                let to = rng.below(workers.len() as u64) as usize;
                world.restore(&mut workers[to], &[group]);
            }
        }
    }
    for mut worker in workers {
        for group in worker.owned.clone() {
            for source in 0..NAMES.len() {
                worker.stage.finish(source, KeyGroup(group), 0).expect("an end");
            }
        }
        world.commit(&mut worker, rng);
        let open: usize = worker.stage.state_sizes().iter().map(|(_, size)| size.entries).sum();
        assert!(open == 0 || !world.in_windows, "seed {seed}: windows are open after the end");
    }
}

/// What comes of one world.
#[derive(Default)]
pub(super) struct Found {
    query: usize,
    given: usize,
    late: usize,
    /// Of the late ones, those that are so by what the end of an earlier run closed.
    ended: usize,
    /// How many rows were read by number from scratches.
    read: usize,
}

/// Runs one world to its end, in one run or several.
pub(super) fn check(seed: u64, cases: &[Case]) -> Found {
    let read = spilling::rows_read();
    let mut rng = SeededRng::new(seed);
    let partitions = 1 + rng.below(4) as usize;
    let logs = random_logs(&mut rng, partitions);
    let at = rng.below(cases.len() as u64) as usize;
    let found = check_case(seed, &mut rng, logs, &cases[at]);
    let found = found.unwrap_or_else(|problem| panic!("seed {seed}: {}: {problem}", cases[at].query));
    Found { query: at, read: spilling::rows_read() - read, ..found }
}

/// One query in a world of its own; the reason where it is refused.
pub(super) fn check_drawn(seed: u64, case: &Case) -> Result<usize, String> {
    let mut rng = SeededRng::new(seed);
    let partitions = 1 + rng.below(4) as usize;
    let logs = random_logs(&mut rng, partitions);
    check_case(seed, &mut rng, logs, case).map(|found| found.given)
}

fn check_case(seed: u64, rng: &mut SeededRng, logs: Logs, case: &Case) -> Result<Found, String> {
    let partitions = logs[0].len();
    let Case { query: text, in_windows, keep, .. } = *case;
    let (cut, windows) = CUTS[rng.below(CUTS.len() as u64) as usize];
    let (cut, windows) = if in_windows { (cut, Some(windows())) } else { ("{from}", None) };
    let mut query = text.to_owned();
    for name in NAMES {
        query = query.replace(&format!("{{{name}}}"), &cut.replace("{from}", name));
    }
    query = query.replace("{both}", &cut.replace("{from}", BOTH));
    let mut spec = spec(partitions as u32, &query, 1 + rng.below(60) as usize);
    if let OperatorKind::Sql { keep: kept, .. } = &mut spec.operators[0].kind {
        *kept = keep;
    }
    refusal(spec.clone())?;
    let reads = NAMES.map(|name| spec.operators[0].inputs.iter().any(|input| input == name));
    let has_beside = rng.chance(1, 2);
    if has_beside {
        spec.operators.push(beside::operator("sales", "store_id", "at"));
        spec.outputs.insert(beside::NAME.into());
    }
    let whole: Ends = logs.each_ref().map(|logs| logs.iter().map(Vec::len).collect());
    let mut answer = Answer::new(case, windows, reads, &logs);
    let mut world = World { logs, ends: whole.clone(), spec, in_windows, broker: Broker::default() };
    // Runs over a part of the input may come first.
    for _ in 0..rng.below(3) {
        let from = answer.last_ends(partitions);
        for source in 0..NAMES.len() {
            for partition in 0..partitions {
                let (from, to) = (from[source][partition], whole[source][partition]);
                world.ends[source][partition] = from + rng.below((to - from) as u64 + 1) as usize;
            }
        }
        run(seed, rng, &mut world);
        answer.end(&world.logs, world.ends.clone());
    }
    world.ends = whole;
    run(seed, rng, &mut world);
    let [sales, returns] = [0, 1].map(|source| answer.in_time(&world.logs, &world.ends, source));
    let late: BTreeSet<_> =
        [&sales, &returns].into_iter().flat_map(|rows| rows.late.iter().cloned()).collect();
    // Conditions go below the windows: what they take away is not late.
    let unknown = case.below.is_none();
    if !unknown || !text.contains("WHERE v <") && !text.contains("WHERE a.v") && !text.contains("WHERE b.v <")
    {
        // A stream that is read twice has each of its late rows put aside once.
        assert_eq!(world.broker.late, late, "seed {seed}: {query}");
    }
    world.broker.joined.sort_unstable();
    let wanted = answer.wanted(&world.logs, &world.ends);
    if let Some(apart) = batch::apart(&world.broker.joined, &wanted) {
        panic!("seed {seed}: {query}\n{apart}");
    }
    if has_beside {
        assert_eq!(world.broker.beside, answer.beside(&world.logs[0]), "seed {seed}: beside {query}");
    }
    let ended = sales.ended + returns.ended;
    Ok(Found { given: wanted.len(), late: world.broker.late.len(), ended, ..Found::default() })
}

#[test]
fn joins_give_the_batch_answer_however_their_topics_are_read() {
    let windows = |(query, held): &(&'static str, Held)| Case::windows(query, *held);
    let near = |(query, alone): &(&'static str, &'static [Alone])| Case {
        closes: Closes::Matches(alone),
        ..Case::new(query)
    };
    check_all(&QUERIES.iter().map(windows).chain(NEAR.iter().map(near)).collect::<Vec<_>>());
}

#[test]
fn joins_without_bounds_give_the_batch_answer() {
    let case = |(query, batch, keep, judged, alone): &Kept| Case {
        batch: *batch,
        closes: Closes::Matches(alone),
        keep: Some(*keep),
        judged: *judged,
        ..Case::new(query)
    };
    check_all(&KEPT.iter().map(case).collect::<Vec<_>>());
}

/// Runs many worlds.
pub(super) fn check_all(cases: &[Case]) {
    let seeds = std::env::var("MILLSTREAM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(70.max(10 * cases.len() as u64));
    let (mut rows, mut read, mut late, mut ended) = (vec![0; cases.len()], vec![0; cases.len()], 0, 0);
    for seed in 0..seeds {
        let found = check(seed, cases);
        rows[found.query] += found.given;
        read[found.query] += found.read;
        late += found.late;
        ended += found.ended;
    }
    let closes = cases.iter().any(|case| matches!(case.closes, Closes::Windows(_)));
    assert!(
        rows.iter().all(|n| *n > 5) && late > 5 && (ended > 5 || !closes),
        "the worlds are too tame: {rows:?}, {late} late, {ended} of them by the end of a run"
    );
    let by_row = cases.iter().zip(&read).filter(|(case, _)| !case.in_windows);
    assert!(by_row.clone().all(|(_, n)| *n > 5), "rows are hardly looked up in scratches: {read:?}");
}

/// A topic that is silent follows the other for what joins it, and for nothing else: a query over it alone goes by itself.
#[test]
fn a_silent_topic_moves_only_what_joins_it() {
    let query = QUERIES[0]
        .0
        .replace("{sales}", &CUTS[0].0.replace("{from}", "sales"))
        .replace("{returns}", &CUTS[0].0.replace("{from}", "returns"));
    let mut spec = spec(1, &query, 100);
    for source in &mut spec.sources {
        source.watermark = WatermarkConfig { delay_ms: 0, idle_after_ms: Some(50), bounded: false };
    }
    spec.operators.push(OperatorSpec {
        id: "alone-1".into(),
        name: "alone".into(),
        inputs: vec!["sales".into()],
        kind: OperatorKind::Sql {
            sql: "SELECT store_id, window_end, count(*) AS n FROM TUMBLE(sales, at, INTERVAL '4 seconds') GROUP BY store_id, window_end".into(),
            late: LateRule { allow_ms: ALLOW_MS, updates: false, then: LateThen::DeadLetter },
            update_ms: None,
            keep: None,
        },
    });
    let mut stage = Stage::build(spec).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    for (source, at, now) in [(0, 1_000, 0), (1, 1_000, 0), (1, 30_000, 100), (0, 2_000, 110)] {
        let row = Row { id: "r".into(), store: "S0".into(), at, v: None };
        stage
            .push_record(source, (KeyGroup(0), at), Some(&row.json()), TimeBounds::default())
            .expect("an owned group");
        stage.caught_up(source, KeyGroup(0), CaughtUp::Yes);
        stage.commit(now).expect("a commit");
    }
    let late: Vec<(&str, u64)> = stage.counts().iter().map(|(name, counts)| (*name, counts.late)).collect();
    assert_eq!(late, [("joined", 1), ("alone", 0)]);
}

/// Rows are not kept for a topic that has ended while the other goes on; in a run that ends as a whole they are, for the next.
#[test]
fn nothing_is_kept_for_a_topic_that_has_ended() {
    for (bounded, kept) in [(false, 0), (true, 1)] {
        let query = NEAR[0].0.replace("{sales}", "sales").replace("{returns}", "returns");
        let mut spec = spec(1, &query, 100);
        spec.sources.iter_mut().for_each(|source| source.watermark.bounded = bounded);
        let mut stage = Stage::build(spec).expect("a stage");
        stage.load_table("stores", &stores()).expect("the table");
        stage.assign(KeyGroup(0), 0);
        stage.finish(0, KeyGroup(0), 0).expect("an end");
        let row = Row { id: "r".into(), store: "S0".into(), at: 50_000, v: None };
        stage
            .push_record(1, (KeyGroup(0), 0), Some(&row.json()), TimeBounds::default())
            .expect("an owned group");
        stage.commit(0).expect("a commit");
        assert_eq!(stage.state_sizes()[0].1.entries, kept, "bounded: {bounded}");
    }
}

/// A row waits for its match as long as one within the allowance may come, and not longer.
#[test]
fn a_row_without_a_match_waits_for_late_ones() {
    let query = NEAR[1].0.replace("{sales}", "sales").replace("{returns}", "returns");
    let mut stage = Stage::build(spec(1, &query, 10)).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    let mut push = |source: usize, id: &str, at: i64, v: i64| -> Vec<String> {
        let row = Row { id: id.into(), store: "S0".into(), at, v: Some(v) };
        let place = (KeyGroup(0), at);
        stage.push_record(source, place, Some(&row.json()), TimeBounds::default()).expect("an owned group");
        stage.commit(0).expect("a commit");
        stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)).collect()
    };
    assert!(push(0, "a", 10_000, 50).is_empty() && push(0, "b", 10_000, 60).is_empty());
    // The last time that a match may have is 12,999; it may be late by the allowance.
    let last = 12_999 + ALLOW_MS + DELAY_MS;
    assert!(push(1, "later", last, 0).is_empty());
    assert_eq!(push(1, "late", 12_999, 55), ["S0|b|late|55"]);
    assert_eq!(push(1, "too late", last + 1, 0), ["S0|a||"]);
    assert_eq!(push(1, "gone", 12_999, 1).len(), 1, "it is put aside");
}

/// The watermarks of another set of topics say nothing: the stage that reads this one begins anew.
#[test]
fn watermarks_of_another_stage_are_passed_over() {
    let build = |id: &str| {
        let mut spec = spec(1, &NEAR[0].0.replace("{sales}", "sales").replace("{returns}", "returns"), 10);
        spec.id = id.into();
        let mut stage = Stage::build(spec).expect("a stage");
        stage.load_table("stores", &stores()).expect("the table");
        stage
    };
    let mut before = build("returns+sales");
    before.assign(KeyGroup(0), 0);
    for source in [0, 1] {
        let row = Row { id: "r".into(), store: "S0".into(), at: 50_000, v: None };
        let place = (KeyGroup(0), 0);
        before.push_record(source, place, Some(&row.json()), TimeBounds::default()).expect("an owned group");
    }
    let records = before.commit(0).expect("a commit");
    for (id, known) in
        [("returns+sales", Watermark::at(50_000 - DELAY_MS)), ("clicks+sales", Watermark::NONE)]
    {
        let mut stage = build(id);
        let mut restore = Restore::new([KeyGroup(0)]);
        for record in &records {
            restore.apply(&mut stage, &record.entry.encode()).expect("a record of ours");
        }
        restore.finish(&mut stage, 0).expect("a restore");
        assert_eq!(stage.watermark(KeyGroup(0)), known, "{id}");
    }
}

/// What a key group still waits for is in the level, though one of its partitions never had a record.
#[test]
fn the_level_waits_for_key_groups_with_an_empty_partition() {
    let query = QUERIES[1]
        .0
        .replace("{sales}", &CUTS[0].0.replace("{from}", "sales"))
        .replace("{returns}", &CUTS[0].0.replace("{from}", "returns"));
    let mut stage = Stage::build(spec(2, &query, 100)).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    (0..2).for_each(|group| stage.assign(KeyGroup(group), 0));
    for (source, group, at) in [(0, 0, 10_000), (0, 1, 90_000), (1, 1, 95_000)] {
        let row = Row { id: "r".into(), store: format!("S{group}"), at, v: None };
        let place = (KeyGroup(group), 0);
        stage.push_record(source, place, Some(&row.json()), TimeBounds::default()).expect("an owned group");
    }
    stage.caught_up(1, KeyGroup(0), CaughtUp::Yes);
    stage.commit(0).expect("a commit");
    assert_eq!(stage.level_of("joined"), i64::MIN, "returns of the first group may still come");
    stage.finish(1, KeyGroup(0), 0).expect("an end");
    stage.commit(0).expect("a commit");
    let size = 4_000;
    assert_eq!(stage.level_of("joined"), 10_000 - DELAY_MS - ALLOW_MS - size);
}

/// A source that has nothing to say holds no join back for longer than its idle time; nor does a partition of it that never
/// had a record. What comes later is judged by what was promised meanwhile.
#[test]
fn a_source_that_is_idle_follows_the_other() {
    let query = QUERIES[1]
        .0
        .replace("{sales}", &CUTS[0].0.replace("{from}", "sales"))
        .replace("{returns}", &CUTS[0].0.replace("{from}", "returns"));
    let mut spec = spec(2, &query, 100);
    for source in &mut spec.sources {
        source.watermark = WatermarkConfig { delay_ms: 0, idle_after_ms: Some(50), bounded: false };
    }
    let mut stage = Stage::build(spec).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    (0..2).for_each(|group| stage.assign(KeyGroup(group), 0));
    let row = |at: i64| Row { id: format!("r{at}"), store: "S0".into(), at, v: Some(1) }.json();
    let mut offset = 0;
    let mut push = |stage: &mut Stage, source: usize, group: u32, at: i64| {
        offset += 1;
        stage
            .push_record(source, (KeyGroup(group), offset), Some(&row(at)), TimeBounds::default())
            .expect("an owned group");
    };
    push(&mut stage, 1, 0, 1_000);
    for (source, group) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        stage.caught_up(source, KeyGroup(group), CaughtUp::Yes);
    }
    for at in [1_000, 9_000] {
        push(&mut stage, 0, 0, at);
        push(&mut stage, 0, 1, at);
    }
    let fired = |stage: &mut Stage, now: i64| -> usize {
        stage.commit(now).expect("a commit");
        stage.take_outputs().batches.iter().map(|out| out.batch.num_rows()).sum()
    };
    assert_eq!(fired(&mut stage, 10), 0, "returns may still come");
    push(&mut stage, 0, 0, 9_100);
    push(&mut stage, 0, 1, 9_100);
    assert_eq!(fired(&mut stage, 70), 2, "the first window of both partitions");
    push(&mut stage, 1, 0, 2_000);
    stage.turn(90).expect("a turn");
    let late: Vec<String> = stage.take_outputs().batches.iter().map(|out| out.output.to_string()).collect();
    assert_eq!(late, ["joined.late"]);
}
