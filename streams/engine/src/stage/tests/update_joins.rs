//! Joins that are kept up to date (ADR 0072): what a reader has who puts each row in the place of the one with its identity, and takes
//! away those that are gone, is with every sending what DataFusion's batch engine gives over the latest rows; over insertions, changes
//! and deletions on both sides, commits that send and that do not, crashes, snapshots and moved key groups. And nothing is sent that
//! has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use millstream_model::{KeyGroup, LateRule, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::pass::Input;
use super::super::view::{Kept, View};
use super::super::{
    FailedAt, OperatorKind, OperatorSpec, Outputs, Restore, SourceSpec, Stage, StageSpec, TableSpec,
};
use super::lists::batch_answer;
use super::{batch, lines, refusal, spilling, stores};
use crate::op::chunk::Chunk;

/// Queries over `a` and `b`, whose rows are known by p and id; `{kind}` is any kind of join that runs, of these.
const QUERIES: &[(&str, &[&str])] = &[
    // By the same key.
    (
        "SELECT a.p, a.id, a.v, b.v AS w FROM a {kind} JOIN b ON a.p = b.p AND a.id = b.id",
        &["", "LEFT"],
    ),
    (
        "SELECT b.p, b.id, a.k, b.v AS w FROM a RIGHT JOIN b ON a.p = b.p AND a.id = b.id AND (a.v < b.v OR b.v IS NULL)",
        &[""],
    ),
    (
        "SELECT COALESCE(b.id, a.id) AS id, coalesce(a.p, b.p) AS p, a.v, b.v AS w, a.k FROM a FULL JOIN b ON a.id = b.id AND a.p = b.p",
        &[""],
    ),
    (
        "SELECT coalesce(a.id, b.id) AS key, coalesce(a.p, b.p) AS p, a.v + b.v AS v FROM a FULL JOIN b ON a.id = b.id AND a.p = b.p
         WHERE a.v > 3 OR b.v < 6",
        &[""],
    ),
    // Many to one.
    (
        "SELECT a.p, a.id, a.v, b.k AS name, b.v AS w FROM a {kind} JOIN b ON a.p = b.p AND a.k = b.id",
        &["", "LEFT"],
    ),
    (
        "SELECT a.p, a.id, b.v AS w FROM a {kind} JOIN b ON a.p = b.p AND a.k = b.id AND b.v > a.v",
        &["", "LEFT"],
    ),
    // And the other way round.
    ("SELECT b.p, b.id, a.v FROM a {kind} JOIN b ON a.p = b.p AND a.id = b.k AND a.v <> 4", &["RIGHT"]),
    // Many to many.
    ("SELECT a.p, a.id, b.id AS other, a.v + b.v AS v FROM a JOIN b ON a.p = b.p AND a.k = b.k", &[""]),
    ("SELECT a.id, b.p, b.id AS other FROM a JOIN b ON a.p = b.p AND a.v + b.v > 9", &[""]),
    // Conditions and columns before the join, and behind it.
    (
        "SELECT x.p, x.id, x.big, b.id AS other, b.v > x.v AS more FROM (SELECT p, id, k, v, v > 4 AS big FROM a WHERE v <> 7) x
         JOIN b ON x.p = b.p AND x.k = b.k WHERE b.v > 1 AND x.v + b.v <> 6",
        &[""],
    ),
    (
        "SELECT a.p, a.id, b.v IS NULL AS alone FROM a LEFT JOIN (SELECT p, id, v FROM b WHERE v > 3) b ON a.p = b.p AND a.k = b.id
         WHERE a.v > 2 AND coalesce(b.v, 0) <> 5",
        &[""],
    ),
    // A table behind it.
    (
        "SELECT j.id, j.w, s.city, j.p FROM (SELECT a.p, a.id, b.v + 1 AS w FROM a LEFT JOIN b ON a.p = b.p AND a.id = b.id WHERE a.v <> 5) j
         LEFT JOIN stores s ON s.store_id = j.p",
        &[""],
    ),
    // Rows of one side alone.
    (
        "SELECT p, id, v FROM a WHERE {kind} (SELECT 1 FROM b WHERE b.p = a.p AND b.k = a.k AND b.v > a.v)",
        &["EXISTS", "NOT EXISTS"],
    ),
    ("SELECT b.id, b.p, b.v > 3 AS large FROM b WHERE {kind} (SELECT 1 FROM a WHERE a.p = b.p AND a.k = b.id)", &["EXISTS", "NOT EXISTS"]),
    // Functions OVER the rows of one stream: the first of each key, ranks among all, by keys that may be null or may change.
    (
        "SELECT p, id, v, place FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY p ORDER BY v DESC, id) AS place FROM a) WHERE place <= 2",
        &[""],
    ),
    (
        "SELECT id, p, k FROM (SELECT *, {kind}() OVER (PARTITION BY p, k ORDER BY v) AS place FROM a WHERE v <> 5) WHERE place < 3 AND v > 1",
        &["RANK", "DENSE_RANK"],
    ),
    (
        "SELECT p, id, v * 100 / SUM(v) OVER (PARTITION BY k, p) AS share, LAG(id) OVER (PARTITION BY p ORDER BY v, id) AS before FROM a WHERE v > 0",
        &[""],
    ),
    (
        "SELECT t.id, t.place, s.city, t.p FROM (SELECT p, id, v, RANK() OVER (PARTITION BY p ORDER BY v) AS place FROM a) t
         LEFT JOIN stores s ON s.store_id = t.p WHERE t.place <= 3",
        &[""],
    ),
    (
        "SELECT p, id, RANK() OVER (PARTITION BY p ORDER BY v) AS place, COUNT(v) OVER (PARTITION BY p, k) AS n, v > AVG(v) OVER (PARTITION BY k, p) AS above FROM a",
        &[""],
    ),
    (
        "SELECT * FROM (SELECT p, id, n, RANK() OVER (PARTITION BY p ORDER BY n DESC) AS m FROM (SELECT p, id, 2 * DENSE_RANK() OVER (PARTITION BY p ORDER BY v) AS n FROM a WHERE k <> '')) WHERE n < 7",
        &[""],
    ),
    // With itself.
    ("SELECT a.p, a.id, o.v AS parent FROM a LEFT JOIN a AS o ON o.p = a.p AND o.id = a.k", &[""]),
];

/// Groups of what comes out of each.
const SUMS: &str = "SELECT p, count(*) AS n FROM out GROUP BY p";

const STREAMS: [&str; 2] = ["a", "b"];

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("p", DataType::Utf8, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn spec(query: &str, partitions: u32, update_ms: Option<i64>) -> StageSpec {
    let source = |name: &str| SourceSpec {
        name: name.into(),
        schema: schema(),
        frozen: false,
        format: millstream_format::Format::Json,
        event_time: None,
        watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
        partitioned_by: (partitions > 1).then(|| vec!["p".into()]),
        latest_by: Some(vec!["p".into(), "id".into()]),
    };
    let streams = if query.contains(" b ") || query.contains(" b)") { 2 } else { 1 };
    StageSpec {
        id: "stage".into(),
        sources: STREAMS[..streams].iter().map(|name| source(name)).collect(),
        key_groups: partitions,
        changelog_partitions: 1 + (partitions - 1) / 2,
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: STREAMS[..streams].iter().chain(&["stores"]).map(|name| (*name).to_owned()).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule::default(),
                update_ms,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows: 20,
    }
}

/// With groups of what comes out.
fn with_sums(mut spec: StageSpec, update_ms: i64) -> StageSpec {
    spec.operators.push(OperatorSpec {
        id: "sums-1".into(),
        name: "sums".into(),
        inputs: vec!["out".into()],
        kind: OperatorKind::Sql {
            sql: SUMS.to_owned(),
            late: LateRule::default(),
            update_ms: Some(update_ms),
            keep: None,
        },
    });
    spec.outputs.insert("sums".to_owned());
    spec
}

/// A row's k and v.
type Values = (Option<String>, Option<i64>);

/// What a record says of an identity, the p and id: its row, or that it is gone.
#[derive(Clone, Debug)]
struct Event {
    id: (String, String),
    row: Option<Values>,
}

fn batch(rows: &[(&(String, String), &Values)]) -> RecordBatch {
    let text = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows.len()).map(of).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|row| Some(rows[row].0.0.clone())),
        text(&|row| Some(rows[row].0.1.clone())),
        text(&|row| rows[row].1.0.clone()),
        Arc::new(rows.iter().map(|row| row.1.1).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(schema(), columns).expect("rows")
}

/// Gives rows to a stage as a source would: what is gone has its identity alone.
fn push(stage: &mut Stage, at: usize, group: u32, events: &[Event], first: usize) {
    let none: Values = (None, None);
    let rows: Vec<_> = events.iter().map(|event| (&event.id, event.row.as_ref().unwrap_or(&none))).collect();
    let whole = batch(&rows);
    let read = stage.read_schema(at);
    let columns: Vec<usize> =
        read.fields().iter().map(|field| whole.schema().index_of(field.name()).expect("a column")).collect();
    let batch = whole.project(&columns).expect("columns");
    let groups = UInt32Array::from(vec![group; events.len()]);
    let mut chunk = Chunk::made(batch.clone(), groups.clone());
    chunk.origin = UInt32Array::from_iter_values(0..events.len() as u32);
    let gone: BooleanArray = events.iter().map(|event| Some(event.row.is_none())).collect();
    // Where all are there, it need not be said.
    chunk.gone = (gone.true_count() > 0 || events.len().is_multiple_of(2)).then_some(gone);
    let offsets = Int64Array::from_iter_values((0..events.len()).map(|row| (first + row) as i64));
    let input = Input { at, source: STREAMS[at].into(), batch, groups, offsets };
    stage.pass(&input, chunk, &mut None).expect("rows of an owned group");
}

/// What is committed.
#[derive(Default)]
struct Broker {
    changelog: Vec<Bytes>,
    offsets: BTreeMap<(usize, u32), usize>,
    /// By operator, key group and identity, the row that a reader has.
    kept: BTreeMap<(String, u32, String), String>,
    rows: usize,
    gone: usize,
}

struct Worker {
    stage: Stage,
    owned: BTreeSet<u32>,
    /// Restored since the last sending.
    fresh: BTreeSet<u32>,
    at: BTreeMap<(usize, u32), usize>,
    sent_at: Option<i64>,
}

struct World {
    query: String,
    spec: StageSpec,
    logs: BTreeMap<(usize, u32), Vec<Event>>,
    broker: Broker,
    seed: u64,
}

impl World {
    fn worker(&self, groups: &BTreeSet<u32>) -> Worker {
        let mut stage =
            Stage::build(self.spec.clone()).unwrap_or_else(|problems| panic!("{}: {problems:?}", self.query));
        stage.load_table("stores", &stores()).expect("the table");
        let mut worker = Worker {
            stage,
            owned: BTreeSet::new(),
            fresh: BTreeSet::new(),
            at: BTreeMap::new(),
            sent_at: None,
        };
        self.restore(&mut worker, groups);
        worker
    }

    fn restore(&self, worker: &mut Worker, groups: &BTreeSet<u32>) {
        let mut restore = Restore::new(groups.iter().map(|group| KeyGroup(*group)));
        for value in &self.broker.changelog {
            restore.apply(&mut worker.stage, value).expect("a record of ours");
        }
        restore.finish(&mut worker.stage, 0).expect("a restore");
        worker.owned.extend(groups);
        worker.fresh.extend(groups);
        for (place, offset) in self.broker.offsets.iter().filter(|(place, _)| groups.contains(&place.1)) {
            worker.at.insert(*place, *offset);
        }
    }

    fn commit(&mut self, worker: &mut Worker, now: i64, every: i64, rng: &mut SeededRng) {
        let records = worker.stage.commit(now).expect("a commit");
        self.broker.changelog.extend(records.into_iter().map(|record| record.entry.encode()));
        if rng.chance(1, 5) {
            let partition = rng.below(u64::from(self.spec.changelog_partitions)) as u32;
            let mut groups = worker.stage.groups_of(partition);
            groups.retain(|_| rng.chance(3, 4));
            let operator = ["out-1", "sums-1"][rng.below(2) as usize];
            let records = worker.stage.snapshot(operator, partition, groups).expect("a snapshot");
            self.broker.changelog.extend(records.into_iter().map(|record| record.entry.encode()));
        }
        spilling::spill(&mut worker.stage, rng);
        self.broker.offsets.extend(worker.at.iter().map(|(place, offset)| (*place, *offset)));
        let is_due = worker.sent_at.is_none_or(|at| now - at >= every);
        let outputs = worker.stage.take_outputs();
        // Groups that are empty go at once.
        let early = outputs.batches.iter().any(|out| out.output.as_ref() == "out");
        assert!(is_due || !early, "seed {}: sent before it was due", self.seed);
        self.take(outputs, worker);
        if is_due {
            worker.sent_at = Some(now);
            worker.fresh.clear();
            if rng.chance(1, 3) {
                self.check(&worker.owned);
            }
        }
    }

    /// A reader takes what is sent.
    fn take(&mut self, outputs: Outputs, worker: &Worker) {
        let (seed, query) = (self.seed, &self.query);
        assert!(outputs.failed.is_empty(), "seed {seed}: {:?}", outputs.failed);
        for out in outputs.batches {
            let known = worker.stage.latest_by(&out.output).expect("rows that take the place of each other");
            let gone = out.gone.as_ref().expect("rows say which are gone");
            let columns: Vec<usize> =
                known.iter().map(|name| out.batch.schema().index_of(name).expect("a column")).collect();
            let ids = lines(&out.batch.project(&columns).expect("columns"));
            for (row, (id, line)) in ids.into_iter().zip(lines(&out.batch)).enumerate() {
                let group = out.groups.value(row);
                let before = self.broker.kept.remove(&(out.output.to_string(), group, id.clone()));
                let of_join = out.output.as_ref() == "out";
                if gone.value(row) {
                    self.broker.gone += 1;
                    assert!(
                        before.is_some() || !of_join,
                        "seed {seed}: {query}: {id} is gone, and was never there"
                    );
                    continue;
                }
                let is_new = before.as_ref() != Some(&line) || !of_join;
                assert!(
                    is_new || worker.fresh.contains(&group),
                    "seed {seed}: {query}: {line} is sent again"
                );
                self.broker.kept.insert((out.output.to_string(), group, id), line);
                self.broker.rows += 1;
            }
        }
    }

    /// Who asks what the join keeps finds what readers have.
    fn look(&self) {
        let mut view = View::new(self.spec.clone()).expect("a view");
        view.load_table("stores", &stores()).expect("the table");
        for value in &self.broker.changelog {
            view.apply(value).expect("a record of ours");
        }
        assert_eq!(view.readable()[0].kept, Ok(Kept::Pairs));
        let mut found: Vec<String> =
            view.rows("out", usize::MAX).expect("rows").iter().flat_map(lines).collect();
        found.sort_unstable();
        let mut kept: Vec<String> = self
            .broker
            .kept
            .iter()
            .filter(|((of, ..), _)| of == "out")
            .map(|(_, line)| line.clone())
            .collect();
        kept.sort_unstable();
        assert_eq!(found, kept, "seed {}: {}", self.seed, self.query);
    }

    /// What readers have of some key groups is what a batch gives over the latest rows.
    fn check(&self, groups: &BTreeSet<u32>) {
        let tables: Vec<(&str, RecordBatch)> = (0..self.spec.sources.len())
            .map(|source| {
                let mut latest: BTreeMap<&(String, String), &Values> = BTreeMap::new();
                for group in groups {
                    let read = self.broker.offsets.get(&(source, *group)).copied().unwrap_or(0);
                    for event in self.logs.get(&(source, *group)).into_iter().flat_map(|log| &log[..read]) {
                        match &event.row {
                            Some(row) => drop(latest.insert(&event.id, row)),
                            None => drop(latest.remove(&event.id)),
                        }
                    }
                }
                (STREAMS[source], batch(&latest.into_iter().collect::<Vec<_>>()))
            })
            .collect();
        let sums = SUMS.replace("FROM out", &format!("FROM ({}) AS out", self.query));
        for (operator, query) in [("out", &self.query), ("sums", &sums)] {
            let kept = self.broker.kept.iter();
            let kept = kept.filter(|((of, group, _), _)| of == operator && groups.contains(group));
            let mut kept: Vec<String> = kept.map(|(_, line)| line.clone()).collect();
            kept.sort_unstable();
            if let Some(apart) = batch::apart(&kept, &batch_answer(query, &tables)) {
                panic!("seed {}: {query}\n{apart}", self.seed);
            }
        }
    }
}

fn events(rng: &mut SeededRng, partitions: u32) -> BTreeMap<(usize, u32), Vec<Event>> {
    let mut logs: BTreeMap<(usize, u32), Vec<Event>> = BTreeMap::new();
    let ids = 2 + rng.below(8);
    for _ in 0..rng.below(200) {
        let store = rng.below(4) as u32;
        let id = (format!("S{store}"), format!("i{}", rng.below(ids)));
        let k = (!rng.chance(1, 8)).then(|| format!("i{}", rng.below(ids.min(5))));
        let v = (!rng.chance(1, 10)).then(|| rng.below(9) as i64);
        let row = (!rng.chance(1, 4)).then_some((k, v));
        logs.entry((rng.below(2) as usize, store % partitions)).or_default().push(Event { id, row });
    }
    logs
}

fn check(seed: u64) -> (usize, usize) {
    let mut rng = SeededRng::new(seed);
    let (query, kinds) = QUERIES[rng.below(QUERIES.len() as u64) as usize];
    let query = query.replace("{kind}", kinds[rng.below(kinds.len() as u64) as usize]);
    check_query(seed, &mut rng, query).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"))
}

/// How many rows were sent, and how many were gone; the reason where the query is refused.
pub(super) fn check_query(seed: u64, rng: &mut SeededRng, query: String) -> Result<(usize, usize), String> {
    let partitions = 1 + rng.below(4) as u32;
    let every = 1 + rng.below(60) as i64;
    let spec = with_sums(spec(&query, partitions, Some(every)), every);
    refusal(spec.clone())?;
    let mut logs = events(rng, partitions);
    logs.retain(|place, _| place.0 < spec.sources.len());
    let mut world = World { query, spec, logs, broker: Broker::default(), seed };
    let all: BTreeSet<u32> = (0..partitions).collect();
    let (first, second) = all.iter().copied().partition(|_| rng.chance(1, 2));
    let mut workers = [world.worker(&first), world.worker(&second)];
    let mut now = 0;
    loop {
        now += rng.below(20) as i64;
        let at = rng.below(2) as usize;
        let left = |worker: &Worker, world: &World| -> Vec<(usize, u32)> {
            let is_left = |place: &(usize, u32)| {
                worker.owned.contains(&place.1)
                    && worker.at.get(place).copied().unwrap_or(0) < world.logs[place].len()
            };
            world.logs.keys().copied().filter(is_left).collect()
        };
        if workers.iter().all(|worker| left(worker, &world).is_empty()) {
            break;
        }
        match rng.below(16) {
            0..=8 => {
                let open = left(&workers[at], &world);
                let Some(place) = open.get(rng.below(open.len().max(1) as u64) as usize) else { continue };
                let log = &world.logs[place];
                let from = workers[at].at.get(place).copied().unwrap_or(0);
                let to = (from + 1 + rng.below(6) as usize).min(log.len());
                push(&mut workers[at].stage, place.0, place.1, &log[from..to], from);
                workers[at].at.insert(*place, to);
            }
            9..=12 => world.commit(&mut workers[at], now, every, rng),
            13 => {
                let owned = workers[at].owned.clone();
                workers[at] = world.worker(&owned);
            }
            14 => {
                // A crash just behind a commit, which perhaps sent nothing.
                world.commit(&mut workers[at], now, every, rng);
                let owned = workers[at].owned.clone();
                workers[at] = world.worker(&owned);
            }
            _ => {
                // A key group moves, or away and back.
                world.commit(&mut workers[at], now, every, rng);
                let worker = &mut workers[at];
                let Some(group) = worker.owned.pop_first() else { continue };
                worker.stage.revoke([KeyGroup(group)]).expect("a revocation");
                worker.fresh.remove(&group);
                worker.at.retain(|place, _| place.1 != group);
                let to = rng.below(2) as usize;
                world.restore(&mut workers[to], &BTreeSet::from([group]));
            }
        }
    }
    for worker in &mut workers {
        world.commit(worker, now + every, every, rng);
    }
    world.check(&all);
    world.look();
    Ok((world.broker.rows, world.broker.gone))
}

#[test]
fn every_sending_is_the_batch_answer_over_the_latest_rows() {
    let seeds: usize = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let (mut rows, mut gone, read) = (0, 0, spilling::rows_read());
    for seed in 0..seeds {
        let (sent, taken) = check(seed as u64);
        rows += sent;
        gone += taken;
    }
    assert!(
        rows > 20 * seeds && gone > 2 * seeds,
        "{rows} rows and {gone} that went: the worlds are too tame"
    );
    let read = spilling::rows_read() - read;
    assert!(read > 10 * seeds, "{read} rows were looked up in scratches");
}

fn event(p: &str, id: &str, row: Option<(Option<&str>, Option<i64>)>) -> Event {
    Event { id: (p.into(), id.into()), row: row.map(|(k, v)| (k.map(str::to_owned), v)) }
}

fn started(query: &str) -> Stage {
    let mut stage = Stage::build(spec(query, 1, Some(10))).unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    stage
}

/// The rows of a sending; those that are gone begin with a minus.
fn sent(stage: &mut Stage, now: i64) -> (Vec<String>, Vec<(bool, String)>) {
    stage.commit(now).expect("a commit");
    let outputs = stage.take_outputs();
    let of = |out: super::super::OutputBatch| -> Vec<String> {
        let gone = out.gone.expect("rows say which are gone");
        let rows = lines(&out.batch).into_iter().enumerate();
        rows.map(|(row, line)| if gone.value(row) { format!("-{line}") } else { line }).collect()
    };
    let failed = outputs.failed.into_iter();
    let failed = failed.map(|failed| (matches!(failed.what, FailedAt::Row(_)), failed.error)).collect();
    let mut rows: Vec<String> = outputs.batches.into_iter().flat_map(of).collect();
    rows.sort_unstable();
    (rows, failed)
}

/// A row of the one side is sent with all that it meets, and nothing else is.
#[test]
fn a_change_on_either_side_sends_what_it_meets() {
    let mut stage = started("SELECT a.p, a.id, a.v, b.v AS w FROM a LEFT JOIN b ON a.p = b.p AND a.k = b.id");
    let orders: Vec<Event> = (0..4)
        .map(|at| event("S", &format!("o{at}"), Some((Some(["x", "y"][at % 2]), Some(at as i64)))))
        .collect();
    push(&mut stage, 0, 0, &orders, 0);
    push(&mut stage, 1, 0, &[event("S", "x", Some((None, Some(10))))], 0);
    assert_eq!(sent(&mut stage, 0).0, ["S|o0|0|10", "S|o1|1|", "S|o2|2|10", "S|o3|3|"]);
    push(&mut stage, 1, 0, &[event("S", "x", Some((None, Some(11))))], 1);
    assert!(sent(&mut stage, 9).0.is_empty(), "it is not due");
    assert_eq!(sent(&mut stage, 10).0, ["S|o0|0|11", "S|o2|2|11"]);
    // The name of x is not read, and so nothing has changed; nor by what was taken back before it was sent.
    push(
        &mut stage,
        1,
        0,
        &[event("S", "x", Some((Some("name"), Some(11)))), event("S", "y", Some((None, Some(1))))],
        2,
    );
    push(&mut stage, 1, 0, &[event("S", "y", None)], 4);
    assert!(sent(&mut stage, 20).0.is_empty());
    push(&mut stage, 0, 0, &[event("S", "o0", None), event("S", "o1", Some((Some("x"), Some(1))))], 4);
    push(&mut stage, 1, 0, &[event("S", "x", None), event("S", "x", Some((None, Some(11))))], 5);
    assert_eq!(sent(&mut stage, 30).0, ["-S|o0|0|11", "S|o1|1|11"]);
    push(&mut stage, 1, 0, &[event("S", "x", None)], 7);
    assert_eq!(sent(&mut stage, 40).0, ["S|o1|1|", "S|o2|2|"]);
    let sizes = stage.state_sizes()[0].1.entries;
    assert_eq!(sizes, 3, "what is gone is kept no longer");
    let told = &stage.describe().operators[0];
    let join = "join: the latest rows of both (left), on p = p and k = id; what comes out is known by p, id, and goes when it is no more";
    assert!(told.steps.iter().any(|step| step == join), "{:?}", told.steps);
    assert_eq!(told.state[1].key, ["p", "id"], "{told:?}");
    assert_eq!((told.state[1].kept.as_str(), &told.late), ("until it is gone", &None));
}

/// The first of each key: what enters, what leaves, and what another place makes another row; nothing else is sent.
#[test]
fn the_first_of_each_key_come_and_go() {
    let mut stage = started(
        "SELECT p, id, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY p, k ORDER BY v DESC) AS place FROM a) WHERE place <= 2",
    );
    let row = |id: &str, k: Option<&str>, v: i64| event("S", id, Some((k, Some(v))));
    let first: Vec<Event> = (1..=4).map(|v| row(&format!("x{v}"), Some("x"), v)).collect();
    push(&mut stage, 0, 0, &first, 0);
    push(&mut stage, 0, 0, &[row("n1", None, 1), row("n2", None, 2), row("n3", None, 3)], 4);
    assert_eq!(sent(&mut stage, 0).0, ["S|n2|2", "S|n3|3", "S|x3|3", "S|x4|4"], "nulls are a key");
    // Behind the first two nothing is to be seen; nor is a change of places among them.
    push(&mut stage, 0, 0, &[row("x1", Some("x"), 2)], 7);
    assert!(sent(&mut stage, 10).0.is_empty());
    push(&mut stage, 0, 0, &[row("x3", Some("x"), 9)], 8);
    assert_eq!(sent(&mut stage, 20).0, ["S|x3|9"]);
    push(&mut stage, 0, 0, &[row("x1", Some("x"), 5), row("y", Some("x"), 7), event("S", "y", None)], 9);
    assert_eq!(sent(&mut stage, 30).0, ["-S|x4|4", "S|x1|5"]);
    // One goes, and the next takes its place; one moves to another key.
    push(&mut stage, 0, 0, &[event("S", "x3", None), row("x4", None, 8)], 12);
    assert_eq!(sent(&mut stage, 40).0, ["-S|n2|2", "-S|x3|9", "S|x2|2", "S|x4|8"]);
    // Without keys, all rows are one.
    let mut all = started("SELECT p, id, ROW_NUMBER() OVER (ORDER BY v DESC) AS place FROM a");
    push(&mut all, 0, 0, &[row("a", None, 1), row("b", Some("x"), 2)], 0);
    assert_eq!(sent(&mut all, 0).0, ["S|a|2", "S|b|1"]);
    let told = &stage.describe().operators[0];
    let over = "over: the latest rows of each key of which one has changed; what comes out is known by p, id, and goes when it is no more";
    assert!(told.steps.iter().any(|step| step == over), "{:?}", told.steps);
    assert_eq!((told.state[0].key.len(), told.state[0].kept.as_str()), (2, "until it is gone"));
}

/// A function that cannot be computed for a row leaves it out, and it comes when it can be.
#[test]
fn rows_that_cannot_be_ranked_are_told() {
    let mut stage = started("SELECT p, id, RANK() OVER (PARTITION BY p ORDER BY 10 / v) AS place FROM a");
    let row = |id: &str, v: i64| event("S", id, Some((None, Some(v))));
    push(&mut stage, 0, 0, &[row("a", 1), row("b", 0), row("c", 5)], 0);
    let (rows, failed) = sent(&mut stage, 0);
    assert_eq!(rows, ["S|a|2", "S|c|1"]);
    assert!(matches!(failed.as_slice(), [(true, error)] if error.contains("zero")), "{failed:?}");
    push(&mut stage, 0, 0, &[row("b", 10), row("a", 0)], 3);
    let (rows, failed) = sent(&mut stage, 10);
    assert_eq!(rows, ["-S|a|2", "S|b|1", "S|c|2"]);
    assert_eq!(failed.len(), 1);
    // It is told once.
    push(&mut stage, 0, 0, &[row("c", 20)], 5);
    assert_eq!(sent(&mut stage, 20), (vec!["S|b|2".to_owned(), "S|c|1".to_owned()], Vec::new()));
}

#[test]
fn functions_over_latest_rows_that_do_not_run_are_refused_with_a_form_that_does() {
    for (query, reason) in [
        (
            "SELECT p, RANK() OVER (PARTITION BY p ORDER BY v) AS n FROM a",
            "before it by id of a, which is not",
        ),
        (
            "SELECT p, id, n, RANK() OVER (PARTITION BY p, j ORDER BY n) AS m FROM (SELECT p, id, upper(j) AS j, RANK() OVER (PARTITION BY p, j ORDER BY v) AS n FROM (SELECT p, id, v, lower(k) AS j FROM a))",
            "by columns that are computed in between",
        ),
        (
            "SELECT p, n, RANK() OVER (PARTITION BY p ORDER BY n) AS m FROM (SELECT p, id, COUNT(*) AS n FROM a GROUP BY p, id)",
            "OVER (…) goes over groups of a in one query",
        ),
        (
            "SELECT p, max(n) AS n FROM (SELECT p, id, RANK() OVER (PARTITION BY p ORDER BY v) AS n FROM a) GROUP BY p",
            "grouped",
        ),
    ] {
        let problems = Stage::build(spec(query, 1, Some(10))).err().unwrap_or_else(|| panic!("{query} runs"));
        assert!(format!("{problems:?}").contains(reason), "{query}: {problems:?}");
    }
    let query = "SELECT p, id, RANK() OVER (PARTITION BY k ORDER BY v) AS n FROM a";
    let problems = Stage::build(spec(query, 1, None)).err().expect("it is not said how often");
    assert!(format!("{problems:?}").contains("emit: { on_update: 1s }"), "{problems:?}");
    let problems = Stage::build(spec(query, 2, Some(10))).err().expect("keys lie apart");
    assert!(format!("{problems:?}").contains("partition by p too"), "{problems:?}");
}

/// Rows of both sides lie in the scratch, are found there, and leave it when they are gone.
#[test]
fn rows_lie_in_the_scratch_until_they_are_gone() {
    let query =
        "SELECT a.p, a.id, a.v, b.v AS w FROM a LEFT JOIN b ON a.p = b.p AND a.k = b.id AND a.v <> b.v";
    let (mut in_memory, mut spilled) = (started(query), started(query));
    let scratch = Arc::<spilling::MemoryScratch>::default();
    let rows = |v: i64| -> Vec<Event> {
        let row = |n: i64| event("S", &format!("i{n}"), Some((Some(&format!("i{}", n / 10)), Some(n * v))));
        (0..300).map(row).collect()
    };
    let change = |stage: &mut Stage, now: i64| -> Vec<String> {
        push(stage, 1, 0, &rows(now)[..20], now as usize);
        let (rows, failed) = sent(stage, now);
        assert!(failed.is_empty(), "{failed:?}");
        rows
    };
    for stage in [&mut in_memory, &mut spilled] {
        push(stage, 0, 0, &rows(1), 0);
        push(stage, 1, 0, &rows(2), 0);
        assert_eq!(sent(stage, 0).0.len(), 300);
    }
    let before = spilled.state_sizes()[0].1.bytes;
    spilled.spill(&spilling::small(Arc::clone(&scratch)), usize::MAX).expect("room");
    let size = spilled.state_sizes()[0].1;
    assert!(size.bytes < before && size.disk_bytes > 5_000, "{before} {size:?}");
    for now in [10, 20] {
        let changed = change(&mut spilled, now);
        assert_eq!(changed, change(&mut in_memory, now));
        assert!(changed.len() > 100, "{}", changed.len());
    }
    let gone: Vec<Event> = rows(0).into_iter().map(|event| Event { row: None, ..event }).collect();
    for stage in [&mut in_memory, &mut spilled] {
        (0..2).for_each(|source| push(stage, source, 0, &gone, 1_000));
        assert_eq!(sent(stage, 30).0.len(), 300);
    }
    assert_eq!((spilled.state_sizes()[0].1.disk_bytes, spilled.state_sizes()[0].1.entries), (0, 0));
}

/// What lies in the scratch in many batches is made one there, and each row is still found where it is: replaced, taken away, counted.
#[test]
fn batches_in_the_scratch_are_made_one() {
    let query = "SELECT a.p, a.id, a.v, b.v AS w FROM a LEFT JOIN b ON a.p = b.p AND a.k = b.id";
    let stage = || {
        let spec = with_sums(spec(query, 1, Some(10)), 10);
        let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
        stage.load_table("stores", &stores()).expect("the table");
        stage.assign(KeyGroup(0), 0);
        stage
    };
    let (mut in_memory, mut spilled) = (stage(), stage());
    let scratch = Arc::<spilling::MemoryScratch>::default();
    let mut on_disk = 0;
    for round in 0..30i64 {
        let event = |n: i64| {
            let (p, id) = (format!("S{}", n % 3), format!("i{}", (round * 7 + n * 3) % 60));
            let row = ((round + n) % 4 != 0).then(|| (Some(format!("i{}", n % 5)), Some(round * n % 11)));
            Event { id: (p, id), row }
        };
        let sent_of = |stage: &mut Stage| {
            (0..2).for_each(|source| {
                push(stage, source, 0, &(0..12).map(|n| event(n + source as i64)).collect::<Vec<_>>(), 0);
            });
            sent(stage, 10 * round)
        };
        assert_eq!(sent_of(&mut spilled), sent_of(&mut in_memory), "round {round}");
        spilled.spill(&spilling::small(Arc::clone(&scratch)), usize::MAX).expect("room");
        let sizes = spilled.state_sizes();
        on_disk += usize::from(sizes.iter().all(|(_, size)| size.disk_bytes > 1_000));
    }
    assert!(on_disk > 20, "{on_disk} rounds");
}

/// Rows for which something cannot be computed are told, and what they gave before is taken back or stays as ADR 0067 says.
#[test]
fn what_cannot_be_computed_is_told() {
    let mut stage = started(
        "SELECT a.p, a.id, b.id AS other, 10 / b.v AS q FROM a JOIN b ON a.p = b.p AND 10 / (a.v - b.v) > 0",
    );
    let a = |v| event("S", "a", Some((None, Some(v))));
    let b = |id, v| event("S", id, Some((None, Some(v))));
    push(&mut stage, 0, 0, &[a(5)], 0);
    push(&mut stage, 1, 0, &[b("b1", 1), b("b5", 5), b("b0", 0)], 0);
    let (rows, failed) = sent(&mut stage, 0);
    assert_eq!(rows, ["S|a|b1|10"]);
    assert_eq!(failed.len(), 2, "the condition of one, the column of another: {failed:?}");
    assert!(failed.iter().all(|(is_row, error)| *is_row && error.contains("zero")), "{failed:?}");
    // The pair of b1 cannot be computed any more, and that of b5 can.
    push(&mut stage, 0, 0, &[a(6)], 1);
    push(&mut stage, 1, 0, &[b("b1", 6)], 3);
    let (rows, failed) = sent(&mut stage, 10);
    assert_eq!((rows, failed.len()), (vec!["-S|a|b1|10".to_owned(), "S|a|b5|2".to_owned()], 2));
    // What fails before state is a record that was never there.
    let mut stage = started("SELECT a.p, a.id, b.id AS other FROM a JOIN b ON a.p = b.p AND 10 / a.v = b.v");
    push(&mut stage, 1, 0, &[b("b", 10), b("c", 5)], 0);
    push(&mut stage, 0, 0, &[a(1), a(0), event("S", "c", Some((None, Some(2))))], 0);
    let outputs = stage.take_outputs();
    assert_eq!(outputs.failed.len(), 1);
    assert!(matches!(outputs.failed[0].what, FailedAt::Record { offset: 1, .. }), "{:?}", outputs.failed);
}

/// Of a FULL JOIN, rows that would be known by nothing are told by their records.
#[test]
fn rows_without_identity_are_told() {
    let query = "SELECT coalesce(a.k, b.k) AS k, a.v, b.v AS w FROM a FULL JOIN b ON a.k = b.k";
    let mut spec = spec(query, 1, Some(10));
    spec.sources.iter_mut().for_each(|source| source.latest_by = Some(vec!["k".into()]));
    let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.assign(KeyGroup(0), 0);
    push(
        &mut stage,
        0,
        0,
        &[event("S", "a", Some((None, Some(1)))), event("S", "b", Some((Some("x"), Some(2))))],
        0,
    );
    let outputs = stage.take_outputs();
    assert!(outputs.failed[0].error.contains("column k is null"), "{:?}", outputs.failed);
    assert!(matches!(outputs.failed[0].what, FailedAt::Record { offset: 0, .. }), "{:?}", outputs.failed);
    assert_eq!(sent(&mut stage, 0).0, ["x|2|"]);
}

/// What comes out would be known by nothing, or would have to be computed in another way.
#[test]
fn what_does_not_run_is_refused_with_a_form_that_does() {
    let on = "ON a.p = b.p AND a.k = b.k";
    for (query, reason) in [
        (format!("SELECT a.p, a.id, b.v FROM a JOIN b {on}"), "by id of b, which is not among its columns"),
        (format!("SELECT a.p, b.id, b.v FROM a JOIN b {on}"), "by id of a"),
        (format!("SELECT a.p, upper(a.id) AS id, b.id AS other FROM a JOIN b {on}"), "by id of a"),
        (format!("SELECT a.p, a.id, b.id AS other FROM a LEFT JOIN b {on}"), "rows of b are known by id"),
        (format!("SELECT b.p, a.id, b.id AS other FROM a RIGHT JOIN b {on}"), "rows of a are known by id"),
        (
            "SELECT coalesce(a.p, b.p) AS p, coalesce(a.id, b.id) AS id FROM a FULL JOIN b ON a.p = b.p AND a.id = b.id AND a.v < b.v".to_owned(),
            "a FULL JOIN compares more than",
        ),
        (
            format!("SELECT coalesce(a.p, b.p) AS p, a.id, b.id AS other FROM a FULL JOIN b {on}"),
            "rows of b are known by id",
        ),
        (
            "SELECT a.p, a.id FROM a FULL JOIN b ON a.p = b.p AND a.id = b.id".to_owned(),
            "by COALESCE(a.p, b.p), which is not among",
        ),
        (
            format!(
                "SELECT j.p, j.id, j.other, s.city FROM (SELECT a.p, a.id, b.id AS other FROM a JOIN b {on}) j JOIN stores s ON s.store_id = j.p"
            ),
            "a table without a match would have to take rows back",
        ),
        (
            format!(
                "SELECT j.p, j.id, j.other, s.store_id FROM (SELECT a.p, a.id, b.id AS other FROM a JOIN b {on}) j LEFT JOIN stores s ON s.city = j.p"
            ),
            "several rows of stores may match one of these",
        ),
        (
            format!(
                "SELECT j.p, count(*) AS n FROM (SELECT a.p, a.id, b.id AS other FROM a JOIN b {on}) j GROUP BY j.p"
            ),
            "the result of a join is grouped",
        ),
        (
            format!(
                "SELECT a.p, a.id, b.id AS other, c.id AS third FROM a JOIN b {on} JOIN a c ON a.p = c.p"
            ),
            "a join of a and their join with another stream",
        ),
        (
            "SELECT a.p, a.id, g.n FROM a JOIN (SELECT p, count(*) AS n FROM b GROUP BY p) g ON a.p = g.p"
                .to_owned(),
            "groups of b and their join",
        ),
    ] {
        let problems =
            Stage::build(spec(&query, 1, Some(10))).err().unwrap_or_else(|| panic!("{query} runs"));
        assert!(format!("{problems:?}").contains(reason), "{query}: {problems:?}");
    }
    let query = "SELECT a.p, a.id, b.v FROM a JOIN b ON a.p = b.p AND a.id = b.id";
    let problems = Stage::build(spec(query, 1, None)).err().expect("it is not said how often");
    assert!(format!("{problems:?}").contains("emit: { on_update: 1s }"), "{problems:?}");
    let mut plain = spec(query, 1, Some(10));
    plain.sources[1].latest_by = None;
    let problems = Stage::build(plain).err().expect("rows of b stand for themselves");
    assert!(format!("{problems:?}").contains("those of b stand for themselves"), "{problems:?}");
    let problems =
        Stage::build(spec("SELECT a.p, a.id, b.id AS other FROM a JOIN b ON a.k = b.k", 2, Some(10)));
    assert!(format!("{:?}", problems.err().expect("keys lie apart")).contains("partitioned by p"));
}
