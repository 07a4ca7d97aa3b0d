//! Streams joined in one stage, in the same small world: two sources with partitions of their own, read at any pace, one or
//! two workers, commits, crashes, moved key groups. What was committed in the end must be what DataFusion's batch engine
//! gives for the rows that were in time, each judged by its own source alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use millstream_model::watermark::CaughtUp;
use millstream_model::{KeyGroup, LateRule, LateThen, Watermark, WatermarkConfig, Window, Windows};
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, OperatorSpec, Restore, SourceSpec, Stage, StageSpec, TimeBounds};
use super::{lines, stores};
use crate::state::ChangelogEntry;

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

const QUERIES: &[&str] = &[
    "SELECT a.store_id, a.id, b.id AS other, a.window_start, b.window_end FROM {sales} AS a JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.window_start = b.window_start AND a.window_end = b.window_end",
    "SELECT a.store_id, a.id, b.id AS other, a.window_end FROM {sales} AS a LEFT JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.v > b.v",
    "SELECT coalesce(a.store_id, b.store_id) AS store_id, coalesce(a.window_start, b.window_start) AS window_start, a.n, a.v, b.n AS other
     FROM (SELECT store_id, window_start, count(*) AS n, sum(v) AS v FROM {sales} GROUP BY store_id, window_start) a
     FULL JOIN (SELECT store_id, window_start, count(*) AS n FROM {returns} WHERE v < 70 GROUP BY store_id, window_start) b
     ON a.store_id = b.store_id AND a.window_start = b.window_start WHERE coalesce(a.n, 0) + coalesce(b.n, 0) > 1",
    "SELECT b.store_id, b.id, a.n, c.most, s.city FROM
     (SELECT store_id, window_end, count(*) AS n FROM {sales} GROUP BY store_id, window_end) a
     RIGHT JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end
     LEFT JOIN (SELECT store_id, window_end, max(v) AS most FROM {returns} GROUP BY store_id, window_end) c
     ON c.store_id = b.store_id AND c.window_end = b.window_end LEFT JOIN stores s ON s.store_id = b.store_id",
    "SELECT a.store_id, a.window_end, a.id, b.v, rank() OVER (PARTITION BY a.store_id, a.window_end ORDER BY b.v DESC) AS place
     FROM {sales} AS a JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end WHERE a.v > 20",
    "SELECT a.store_id, a.id, b.id AS other FROM {sales} AS a JOIN {sales} AS b
     ON a.store_id = b.store_id AND a.v = b.v AND a.window_start = b.window_start AND a.id < b.id",
    "SELECT store_id, window_end, count(*) AS n, sum(v) AS v, max(id) AS id FROM {both} GROUP BY store_id, window_end",
    "SELECT a.store_id, a.window_end, a.n, b.id FROM
     (SELECT store_id, window_end, count(DISTINCT v) AS n FROM {both} WHERE v < 80 GROUP BY store_id, window_end) a
     LEFT JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end",
    "SELECT a.store_id, a.window_end, a.of, a.g, a.n, b.id FROM
     (SELECT store_id, window_end, v % 3 AS of, grouping(v % 3) AS g, count(*) AS n FROM {sales} GROUP BY store_id, window_end, ROLLUP (v % 3)) a
     LEFT JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.n = b.v % 5",
];

/// Both streams put together.
const BOTH: &str = "(SELECT * FROM sales UNION ALL SELECT * FROM returns )";

/// Without windows: rows whose times are near each other.
const NEAR: &[&str] = &[
    "SELECT a.store_id, a.id, b.id AS other, a.at FROM {sales} AS a JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.at BETWEEN b.at - INTERVAL '2 seconds' AND b.at + INTERVAL '1 second'",
    "SELECT a.store_id, a.id, b.id AS other, b.v FROM {sales} AS a LEFT JOIN {returns} AS b
     ON a.store_id = b.store_id AND b.at >= a.at AND b.at < a.at + INTERVAL '3 seconds' AND a.v > b.v",
    "SELECT coalesce(a.store_id, b.store_id) AS store_id, a.id, b.id AS other FROM (SELECT * FROM {sales} WHERE v < 60) a
     FULL JOIN {returns} AS b ON a.store_id = b.store_id AND a.at <= b.at AND a.at >= b.at - INTERVAL '5 seconds'",
    "SELECT b.store_id, a.id, b.id AS other, s.city FROM {sales} AS a RIGHT JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.at BETWEEN b.at + INTERVAL '1 second' AND b.at + INTERVAL '4 seconds'
     JOIN stores s ON s.store_id = b.store_id WHERE b.v < 90",
    "SELECT a.store_id, a.id, b.id AS other FROM {sales} AS a JOIN {sales} AS b
     ON a.store_id = b.store_id AND b.at > a.at AND b.at <= a.at + INTERVAL '20 seconds' WHERE a.v = b.v",
    "SELECT a.store_id, a.id, b.id AS other, b.at - a.at AS apart FROM {sales} AS a LEFT JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.v = b.v AND b.at BETWEEN a.at - INTERVAL '1 minute' AND a.at - INTERVAL '1 second'",
    "SELECT a.store_id, a.id, b.store_id AS store, b.id AS other FROM {sales} AS a FULL JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.v % 9 = b.v % 9 AND a.at BETWEEN b.at - INTERVAL '1 second' AND b.at + INTERVAL '1 second'",
];

/// A query of the two streams.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) query: &'static str,
    /// What asks a batch engine for the same, where that is another text.
    pub(super) batch: Option<&'static str>,
    pub(super) in_windows: bool,
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
                    at: now - back as i64,
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
        format: millstream_format::Format::Json,
        event_time: Some("at".into()),
        watermark: WatermarkConfig { delay_ms: DELAY_MS, idle_after_ms: Some(1), bounded: true },
        partitioned_by: Some(vec!["store_id".into()]),
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
        tables: BTreeMap::from([("stores".to_owned(), stores().schema())]),
        operators: vec![OperatorSpec {
            id: OPERATOR.into(),
            name: "joined".into(),
            inputs: reads.chain(["stores"]).map(str::to_owned).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule { allow_ms: ALLOW_MS, updates: false, then: LateThen::DeadLetter },
                update_ms: None,
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
}

struct Worker {
    stage: Stage,
    owned: BTreeSet<u32>,
    position: BTreeMap<(usize, u32), usize>,
}

struct World {
    logs: Logs,
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
        let mut restore = Restore::new(groups.iter().map(|group| KeyGroup(*group)));
        for (_, value) in &self.broker.changelog {
            restore.apply(&mut worker.stage, value).expect("a record of ours");
        }
        restore.finish(&mut worker.stage, 0).expect("a restore");
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
            let records = worker.stage.snapshot(OPERATOR, partition, groups).expect("a snapshot");
            let is_whole = matches!(
                records.first().map(|r| &r.entry),
                Some(ChangelogEntry::Reset { groups, .. }) if groups.len() == 1
            );
            if is_whole {
                // There is one key group to each partition: what came before is void.
                self.broker.changelog.retain(|(of, _)| *of != partition);
            }
            let records = records.into_iter().map(|record| (record.partition, record.entry.encode()));
            self.broker.changelog.extend(records);
        }
        super::spilling::spill(&mut worker.stage, rng);
        self.broker.offsets.extend(worker.position.iter().map(|(place, at)| (*place, *at)));
        for out in worker.stage.take_outputs().batches {
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

/// The rows of a source that are in time, as a table with a row for each window that takes it, or once where there are none;
/// and those that are late.
fn in_time(
    logs: &[Vec<Row>],
    source: usize,
    windows: Option<Windows>,
) -> (RecordBatch, BTreeSet<(String, u32, i64)>) {
    let (mut rows, mut bounds, mut late) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (partition, log) in logs.iter().enumerate() {
        let mut watermark = i64::MIN;
        for (offset, row) in log.iter().enumerate() {
            let takers: Vec<Window> = match windows {
                Some(windows) => windows.of_slice(windows.slice_of(row.at), i64::MIN).collect(),
                // It stands for the instant itself.
                None => vec![Window { start: row.at, end: row.at + 1 }],
            };
            let takers: Vec<Window> =
                takers.into_iter().filter(|window| window.end + ALLOW_MS > watermark).collect();
            watermark = watermark.max(row.at - DELAY_MS);
            if takers.is_empty() {
                late.insert((NAMES[source].to_owned(), partition as u32, offset as i64));
            }
            for window in takers {
                rows.push(row);
                bounds.push(window);
            }
        }
    }
    let times =
        |at: Vec<i64>| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(at).with_timezone("UTC")) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.id))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.store))),
        times(rows.iter().map(|row| row.at).collect()),
        Arc::new(rows.iter().map(|row| row.v).collect::<Int64Array>()),
        times(bounds.iter().map(|window| window.start).collect()),
        times(bounds.iter().map(|window| window.end).collect()),
    ];
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    for name in ["window_start", "window_end"] {
        fields.push(Field::new(name, schema().field(2).data_type().clone(), false));
    }
    (RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("rows with windows"), late)
}

fn batch_answer(query: &str, tables: &[RecordBatch; 2]) -> Vec<String> {
    use datafusion::prelude::{SessionConfig, SessionContext};
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let context = SessionContext::new_with_config(config);
    let mut sql = query.to_owned();
    for (name, table) in NAMES.iter().zip(tables) {
        context.register_batch(*name, table.clone()).expect("a table");
        sql = sql.replace(&format!("{{{name}}}"), name);
    }
    sql = sql.replace("{both}", BOTH);
    context.register_batch("stores", stores()).expect("a table");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let batches =
        runtime.block_on(async { context.sql(&sql).await.expect("a plan").collect().await.expect("rows") });
    let mut lines: Vec<String> = batches.iter().flat_map(lines).collect();
    lines.sort_unstable();
    lines
}

/// Runs one world to its end; returns how many rows came out and how many were late, by query.
pub(super) fn check(seed: u64, cases: &[Case]) -> (usize, usize, usize) {
    let mut rng = SeededRng::new(seed);
    let partitions = 1 + rng.below(4) as usize;
    let logs = random_logs(&mut rng, partitions);
    let at = rng.below(cases.len() as u64) as usize;
    let Case { query: text, batch, in_windows } = cases[at];
    let (cut, windows) = CUTS[rng.below(CUTS.len() as u64) as usize];
    let (cut, windows) = if in_windows { (cut, Some(windows())) } else { ("{from}", None) };
    let mut query = text.to_owned();
    for name in NAMES {
        query = query.replace(&format!("{{{name}}}"), &cut.replace("{from}", name));
    }
    query = query.replace("{both}", &cut.replace("{from}", BOTH));
    let spec = spec(partitions as u32, &query, 1 + rng.below(60) as usize);
    let mut world = World { logs, spec, broker: Broker::default() };
    let mut workers: Vec<Worker> = (0..1 + rng.below(2)).map(|_| world.worker(&[])).collect();
    for group in 0..partitions as u32 {
        let at = rng.below(workers.len() as u64) as usize;
        world.restore(&mut workers[at], &[group]);
    }
    let left = |worker: &Worker, world: &World| -> Vec<(usize, u32)> {
        let is_left = |(source, group): &(usize, u32)| {
            worker.position[&(*source, *group)] < world.logs[*source][*group as usize].len()
        };
        let places = worker.owned.iter().flat_map(|group| [(0, *group), (1, *group)]);
        places.filter(is_left).collect()
    };
    while workers.iter().any(|worker| !left(worker, &world).is_empty()) {
        let at = rng.below(workers.len() as u64) as usize;
        let worker = &mut workers[at];
        match rng.below(20) {
            0..=11 => {
                let open = left(worker, &world);
                if open.is_empty() {
                    continue;
                }
                let (source, group) = open[rng.below(open.len() as u64) as usize];
                for _ in 0..1 + rng.below(10) {
                    let position = worker.position[&(source, group)];
                    let Some(row) = world.logs[source][group as usize].get(position) else { break };
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
                let open = left(worker, &world);
                for group in worker.owned.clone() {
                    for source in (0..NAMES.len()).filter(|source| !open.contains(&(*source, group))) {
                        worker.stage.finish(source, KeyGroup(group), 0).expect("an end");
                    }
                }
            }
            14..=16 => world.commit(worker, &mut rng),
            17 | 18 => {
                let groups: Vec<u32> = worker.owned.iter().copied().collect();
                *worker = world.worker(&groups);
            }
            _ => {
                world.commit(worker, &mut rng);
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
        world.commit(&mut worker, &mut rng);
        let open: usize = worker.stage.state_sizes().iter().map(|(_, size)| size.entries).sum();
        assert!(open == 0 || windows.is_none(), "seed {seed}: windows are open after the end");
    }
    let (sales, late_sales) = in_time(&world.logs[0], 0, windows);
    let (returns, late_returns) = in_time(&world.logs[1], 1, windows);
    let mut late: BTreeSet<_> = late_sales.into_iter().chain(late_returns).collect();
    late.retain(|(source, ..)| world.spec.operators[0].inputs.contains(source));
    // Conditions go below the windows: what they take away is not late.
    if !text.contains("WHERE v <") && !text.contains("WHERE a.v") && !text.contains("WHERE b.v <") {
        // A stream that is read twice has each of its late rows put aside once.
        assert_eq!(world.broker.late, late, "seed {seed}: {query}");
    }
    world.broker.joined.sort_unstable();
    let answer = batch_answer(batch.unwrap_or(text), &[sales, returns]);
    let lines = |lines: &[String]| lines.join("\n");
    assert!(
        world.broker.joined == answer,
        "seed {seed}: {query}\n{}\nwanted\n{}",
        lines(&world.broker.joined),
        lines(&answer)
    );
    (at, answer.len(), world.broker.late.len())
}

#[test]
fn joins_give_the_batch_answer_however_their_topics_are_read() {
    let case = |in_windows: bool| move |query: &&'static str| Case { query, batch: None, in_windows };
    let cases: Vec<Case> = QUERIES.iter().map(case(true)).chain(NEAR.iter().map(case(false))).collect();
    check_all(&cases);
}

/// Runs many worlds.
pub(super) fn check_all(cases: &[Case]) {
    let seeds = std::env::var("MILLSTREAM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(100.max(16 * cases.len() as u64));
    let (mut rows, mut late) = (vec![0; cases.len()], 0);
    for seed in 0..seeds {
        let (query, given, put_aside) = check(seed, cases);
        rows[query] += given;
        late += put_aside;
    }
    assert!(rows.iter().all(|n| *n > 10) && late > 10, "the worlds are too tame: {rows:?}, {late} late");
}

/// A topic that is silent follows the other for what joins it, and for nothing else: a query over it alone goes by itself.
#[test]
fn a_silent_topic_moves_only_what_joins_it() {
    let query = QUERIES[0]
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
        let query = NEAR[0].replace("{sales}", "sales").replace("{returns}", "returns");
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
    let query = NEAR[1].replace("{sales}", "sales").replace("{returns}", "returns");
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
        let mut spec = spec(1, &NEAR[0].replace("{sales}", "sales").replace("{returns}", "returns"), 10);
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
