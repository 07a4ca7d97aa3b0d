//! Groups that are kept up to date without windows: what a reader has who keeps the last row of each key is, when the input has ended,
//! what DataFusion's batch engine gives; over crashes, commits at any time, and a later run over more input.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream_model::{KeyGroup, LateRule, LateThen, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::{
    OperatorKind, OperatorSpec, Running, SourceSpec, Stage, StageSpec, TableSpec, TimeBounds,
};
use super::lists::{batch_answer, record, schema};
use super::{batch, lines, refusal, stores};
use crate::op::aggregate::Aggregation;
use crate::sql::Keep;
use millstream_format::Decoder;

/// Streams that are joined for ever, in a step of their own that groups read.
const PAIRS: &str = "SELECT a.store_id, a.id, b.id AS other FROM sales AS a JOIN returns AS b ON a.store_id = b.store_id AND a.id < b.id";

/// Groups in a step of their own, whose rows take the place of each other in the groups that read them.
const TOTALS: &str = "SELECT store_id, id <> 'r4' AS other, sku, sum(qty) AS qty, count(*) AS n FROM
    (SELECT store_id, id, get_field(line, 'sku') AS sku, get_field(line, 'qty') AS qty FROM
     (SELECT store_id, id, unnest(lines) AS line FROM sales)) AS i GROUP BY store_id, id <> 'r4', sku";

/// Over sales that take the place of earlier ones of their store and id, or are gone; rows leave their groups, and groups go.
const REVISED: &[(&str, usize)] = &[
    (
        "SELECT store_id, count(*) AS n, max(at) AS last, min(at) AS first, min(tags) AS tags FROM sales WHERE id <> 'r4' GROUP BY store_id",
        1,
    ),
    (
        "SELECT sku, store_id, count(*) AS n, sum(qty) AS qty, min(id) AS first FROM
         (SELECT id, store_id, get_field(head, 'sku') AS sku, get_field(head, 'qty') AS qty FROM sales) i GROUP BY store_id, sku",
        2,
    ),
    (
        "SELECT store_id, 10 / (count(*) - count(*) + 1) AS ten, count(*) AS n FROM sales WHERE 100 / (get_field(head, 'qty') + 1) < 30 GROUP BY store_id",
        1,
    ),
    (
        "SELECT get_field(head, 'qty') AS qty, upper(id) AS name, id, store_id FROM sales WHERE get_field(head, 'qty') > 3 AND id <> 'r5'",
        4,
    ),
    ("SELECT store_id, n * 2 AS twice FROM (SELECT store_id, count(*) AS n FROM sales GROUP BY store_id) WHERE n % 3 <> 0", 1),
    (
        "SELECT store_id, kinds, count(*) AS n FROM (SELECT store_id, id, get_field(head, 'sku') = 'k1' AS kinds FROM sales WHERE get_field(head, 'qty') > 2) i
         GROUP BY store_id, kinds HAVING count(*) > 1",
        2,
    ),
];

/// Queries, with how many of their first columns name a row.
const QUERIES: &[(&str, usize)] = &[
    ("SELECT store_id, count(*) AS n, max(id) AS last, min(at) AS first FROM sales GROUP BY store_id", 1),
    (
        "SELECT s.city, i.store_id, i.sku, sum(i.qty) AS qty, avg(i.qty) AS mean, count(DISTINCT i.qty) AS kinds FROM
         (SELECT store_id, get_field(line, 'sku') AS sku, get_field(line, 'qty') AS qty FROM (SELECT store_id, unnest(lines) AS line FROM sales)) i
         JOIN stores s ON s.store_id = i.store_id GROUP BY s.city, i.store_id, i.sku",
        3,
    ),
    ("SELECT DISTINCT store_id, id <> 'r4' AS other FROM sales WHERE id <> 'r7'", 2),
    ("SELECT store_id FROM sales UNION SELECT store_id FROM returns", 1),
    (
        "SELECT store_id, n * 2 AS twice FROM (SELECT store_id, count(*) AS n FROM
         (SELECT store_id FROM returns UNION ALL SELECT store_id FROM sales) GROUP BY store_id)",
        1,
    ),
    (
        "SELECT store_id, id <> 'r4' AS other, grouping(id <> 'r4') AS g, count(*) AS n, max(id) AS last FROM sales
         GROUP BY store_id, ROLLUP (id <> 'r4')",
        3,
    ),
    ("SELECT store_id, other, count(*) AS n, max(id) AS last FROM pairs WHERE id <> 'r4' GROUP BY store_id, other", 2),
    ("SELECT store_id, avg(qty) AS mean, max(n) AS most, min(qty) AS least, count(*) AS n FROM totals GROUP BY store_id", 1),
    (
        "SELECT t.store_id, t.sku, t.total * 2 AS twice, s.city FROM
         (SELECT store_id, sku, sum(qty) + max(n) AS total FROM totals WHERE sku <> 'a' AND NOT other GROUP BY store_id, sku) t
         LEFT JOIN stores s ON s.store_id = t.store_id",
        2,
    ),
    (
        "SELECT s.city, t.store_id, t.ten FROM stores s RIGHT JOIN (SELECT store_id, 10 / count(*) AS ten FROM totals WHERE qty % 3 = 1 GROUP BY store_id) t ON s.store_id = t.store_id",
        2,
    ),
    ("SELECT store_id, count(*) AS n FROM sales GROUP BY store_id HAVING count(*) % 4 <> 1", 1),
    ("SELECT n, store_id, count(*) AS skus, sum(qty) AS qty FROM totals WHERE qty % 3 <> 1 GROUP BY store_id, n", 2),
    ("SELECT store_id, most, n FROM (SELECT store_id, max(qty) AS most, count(*) AS n FROM totals WHERE n > 1 GROUP BY store_id) WHERE most % 2 = 0", 1),
];

/// Queries with results that cannot be computed, in which the row that was given before is gone; and what asks a batch engine for the
/// others.
const FAILING: &[(&str, usize, &str)] = &[
    (
        "SELECT store_id, 12 / (n % 3) AS x FROM (SELECT store_id, count(*) AS n FROM sales GROUP BY store_id)",
        1,
        "SELECT store_id, 12 / (n % 3) AS x FROM (SELECT store_id, count(*) AS n FROM sales GROUP BY store_id) WHERE n % 3 <> 0",
    ),
    (
        "SELECT store_id, n FROM (SELECT store_id, count(*) AS n FROM sales GROUP BY store_id) WHERE 12 / (n % 3) > 6",
        1,
        "SELECT store_id, n FROM (SELECT store_id, count(*) AS n FROM sales GROUP BY store_id) WHERE n % 3 = 1",
    ),
    (
        "SELECT store_id, sum(CASE WHEN id < 'r5' THEN 9223372036854775800 ELSE 1 END) AS total FROM sales GROUP BY store_id",
        1,
        "SELECT store_id, 9223372036854775800 * few + n - few AS total FROM
         (SELECT store_id, count(*) AS n, count(*) FILTER (WHERE id < 'r5') AS few FROM sales GROUP BY store_id) WHERE few = 0 OR few = 1 AND n < 9",
    ),
    (
        "SELECT store_id, sum(x) AS x, count(*) AS n FROM (SELECT store_id, 12 / (n % 3) AS x FROM totals) GROUP BY store_id",
        1,
        "SELECT store_id, sum(x) AS x, count(*) AS n FROM (SELECT store_id, 12 / (n % 3) AS x FROM totals WHERE n % 3 <> 0) GROUP BY store_id",
    ),
];

const STREAMS: [&str; 2] = ["sales", "returns"];

pub(super) fn spec(query: &str, partitions: u32, update_ms: i64) -> StageSpec {
    let source = |name: &str| SourceSpec {
        name: name.into(),
        schema: schema(),
        frozen: false,
        format: millstream_format::Format::Json,
        event_time: None,
        watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
        partitioned_by: Some(vec!["store_id".into()]),
        latest_by: None,
    };
    let pairs = query.contains("pairs").then(|| OperatorSpec {
        id: "pairs-1".into(),
        name: "pairs".into(),
        inputs: STREAMS.map(str::to_owned).into(),
        kind: OperatorKind::Sql {
            sql: PAIRS.to_owned(),
            late: LateRule::default(),
            update_ms: None,
            keep: Some(Keep::ForEver),
        },
    });
    let totals = query.contains("totals").then(|| OperatorSpec {
        id: "totals-1".into(),
        name: "totals".into(),
        inputs: vec!["sales".into()],
        kind: OperatorKind::Sql {
            sql: TOTALS.to_owned(),
            late: LateRule::default(),
            // It sends less often than what reads it, or more.
            update_ms: Some(1 + update_ms * 7 % 40),
            keep: None,
        },
    });
    let reads = STREAMS.into_iter().chain(["pairs", "totals"]).filter(|name| query.contains(name));
    StageSpec {
        id: "stage".into(),
        sources: STREAMS.map(source).into(),
        key_groups: partitions,
        changelog_partitions: partitions,
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: BTreeMap::new(),
        operators: Vec::from_iter(pairs.into_iter().chain(totals).chain([OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: reads.chain(["stores"]).map(str::to_owned).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule { allow_ms: 0, updates: false, then: LateThen::DeadLetter },
                update_ms: Some(update_ms),
                keep: None,
            },
        }])),
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows: 20,
    }
}

/// What is committed.
#[derive(Default)]
struct Broker {
    changelog: Vec<Bytes>,
    offsets: BTreeMap<(usize, u32), usize>,
    /// The last row of each key.
    kept: BTreeMap<String, String>,
    rows: usize,
}

/// A query, and what the rig has to know of it.
pub(super) struct Case {
    pub(super) query: String,
    /// How many of its first columns name a row.
    pub(super) keys: usize,
    /// Whether sales take the place of each other.
    pub(super) revised: bool,
}

fn check(seed: u64) -> usize {
    let mut rng = SeededRng::new(seed);
    let failing = FAILING.iter().map(|(query, keys, _)| (*query, *keys));
    let all: Vec<(&str, usize)> = QUERIES.iter().chain(REVISED).copied().chain(failing).collect();
    let (query, keys) = all[rng.below(all.len() as u64) as usize];
    let revised = REVISED.iter().any(|(of, _)| *of == query);
    let case = Case { query: query.to_owned(), keys, revised };
    check_case(seed, &mut rng, &case).unwrap_or_else(|problem| panic!("seed {seed}: {query}: {problem}"))
}

/// How many rows were sent; the reason where the query is refused.
pub(super) fn check_case(seed: u64, rng: &mut SeededRng, case: &Case) -> Result<usize, String> {
    let Case { query, keys, revised } = case;
    let (query, keys, revised) = (query.as_str(), *keys, *revised);
    let partitions = 1 + rng.below(3) as u32;
    let mut spec = spec(query, partitions, 1 + rng.below(50) as i64);
    if query.contains("FROM sales WHERE get_field(head, 'qty') > 3") {
        let OperatorKind::Sql { update_ms, .. } = &mut spec.operators[0].kind else {
            panic!("it is a query")
        };
        *update_ms = None;
    }
    spec.sources[0].latest_by = revised.then(|| vec!["store_id".into(), "id".into()]);
    refusal(spec.clone())?;
    let mut logs: BTreeMap<(usize, u32), Vec<String>> = BTreeMap::new();
    // Where rows of a store are in any partition, it has groups in each.
    let apart = rng.chance(1, 3);
    for number in 0..rng.below(150) {
        let text = record(rng, if revised { number % 40 } else { number });
        // The store says which partition it is in.
        let store = text.find("\"S").map_or(0, |at| u32::from(text.as_bytes()[at + 2] - b'0'));
        let text = if revised && rng.chance(1, 4) { format!("-{text}") } else { text };
        let partition = if apart { rng.below(u64::from(partitions)) as u32 } else { store % partitions };
        logs.entry((rng.below(2) as usize, partition)).or_default().push(text);
    }
    let mut broker = Broker::default();
    let (mut now, ends) = (0, [rng.below(2), 1]);
    // Two runs: the first over a part of the input, as it may be.
    for end in ends {
        let of_run = |log: &Vec<String>| if end == 0 { log.len() / 2 } else { log.len() };
        let start = |broker: &Broker| {
            let mut stage =
                Stage::build(spec.clone()).unwrap_or_else(|problems| panic!("{query}: {problems:?}"));
            stage.load_table("stores", &stores()).expect("the table");
            let groups: Vec<u32> = (0..partitions).collect();
            super::copies::give(&mut stage, &groups, broker.changelog.iter(), 0);
            (stage, broker.offsets.clone())
        };
        let (mut stage, mut at) = start(&broker);
        assert_eq!(numbers_of_none(&stage), 0, "seed {seed}: {query}");
        let commit = |stage: &mut Stage,
                      at: &BTreeMap<(usize, u32), usize>,
                      broker: &mut Broker,
                      now: i64,
                      rng: &mut SeededRng| {
            let records = stage.commit(now).expect("a commit");
            broker.changelog.extend(records.into_iter().map(|record| record.entry.encode()));
            broker.offsets.clone_from(at);
            for out in stage.take_outputs().batches {
                let replaced = stage.latest_by(&out.output);
                assert_eq!(out.gone.is_some(), replaced.is_some(), "{query}");
                for (row, line) in lines(&out.batch).into_iter().enumerate() {
                    let gone = out.gone.as_ref().is_some_and(|gone| gone.value(row));
                    let key = match &replaced {
                        // What a row is known by, by name: of one that is gone nothing else means anything.
                        Some(known) => {
                            let part = known
                                .iter()
                                .map(|name| out.batch.schema().index_of(name).expect("it comes out"));
                            let part = out.batch.project(&part.collect::<Vec<_>>()).expect("columns");
                            lines(&part.slice(row, 1)).remove(0)
                        }
                        None => line.split('|').take(keys).collect::<Vec<_>>().join("|"),
                    };
                    let of = if apart { format!("{}: ", out.groups.value(row)) } else { String::new() };
                    let (key, line) = (of.clone() + &key, of + &line);
                    match gone {
                        true => broker.kept.remove(&key),
                        false => broker.kept.insert(key, line),
                    };
                    broker.rows += 1;
                }
            }
            assert_eq!(numbers_of_none(stage), 0, "seed {seed}: {query}");
            super::spilling::spill(stage, rng);
        };
        loop {
            now += rng.below(20) as i64;
            let left: Vec<(usize, u32)> = logs
                .iter()
                .filter(|(place, log)| at.get(*place).copied().unwrap_or(0) < of_run(log))
                .map(|(place, _)| *place)
                .collect();
            if left.is_empty() {
                break;
            }
            match rng.below(12) {
                0..=8 => {
                    let place = left[rng.below(left.len() as u64) as usize];
                    let offset = at.entry(place).or_default();
                    let text = &logs[&place][*offset];
                    let group = (KeyGroup(place.1), *offset as i64);
                    let given = match text.strip_prefix('-') {
                        Some(text) if place.0 == 0 => {
                            stage.push_gone(0, group, text.as_bytes()).map(|bad| assert_eq!(bad, None))
                        }
                        rest => {
                            let text = rest.unwrap_or(text);
                            stage.push_record(place.0, group, Some(text.as_bytes()), TimeBounds::default())
                        }
                    };
                    given.expect("an owned group");
                    *offset += 1;
                }
                9 | 10 => commit(&mut stage, &at, &mut broker, now, rng),
                _ => {
                    (stage, at) = start(&broker);
                    assert_eq!(numbers_of_none(&stage), 0, "seed {seed}: {query}");
                }
            }
        }
        for source in 0..STREAMS.len() {
            (0..partitions).for_each(|group| stage.finish(source, KeyGroup(group), now).expect("an end"));
        }
        commit(&mut stage, &at, &mut broker, now, rng);
    }
    let tables = |of_partition: Option<u32>| -> Vec<(&str, RecordBatch)> {
        let table = |(source, name): (usize, &&'static str)| {
            let mut decoder = Decoder::json(&schema(), &[0, 1, 2, 3, 4, 5]).expect("a schema");
            let is_of = |(of, partition): &(usize, u32)| {
                *of == source && of_partition.is_none_or(|wanted| wanted == *partition)
            };
            for ((of, _), log) in logs.iter().filter(|(place, _)| is_of(place)) {
                // `"id":"r7","store_id":"S1"`: what a record is known by.
                let known = |text: &str| text.trim_start_matches('-').split(',').take(2).collect::<String>();
                let is_last = |at: usize| log[at + 1..].iter().all(|later| known(later) != known(&log[at]));
                let records = log
                    .iter()
                    .enumerate()
                    .filter(|(at, text)| !revised || *of != 0 || is_last(*at) && !text.starts_with('-'));
                records.for_each(|(_, text)| {
                    decoder.push(text.trim_start_matches('-').as_bytes()).expect("a good record");
                });
            }
            (*name, decoder.finish())
        };
        STREAMS.iter().enumerate().map(table).collect()
    };
    let mut kept: Vec<String> = broker.kept.into_values().collect();
    kept.sort_unstable();
    let query = FAILING.iter().find(|(of, ..)| *of == query).map_or(query, |(.., answer)| *answer);
    let query = query.replace("FROM pairs", &format!("FROM ({PAIRS}) AS pairs"));
    let query = query.replace("FROM totals", &format!("FROM ({TOTALS}) AS totals"));
    let answer = match apart {
        false => batch_answer(&query, &tables(None)),
        true => (0..partitions)
            .flat_map(|of| {
                batch_answer(&query, &tables(Some(of))).into_iter().map(move |line| format!("{of}: {line}"))
            })
            .collect(),
    };
    if let Some(apart) = batch::apart(&kept, &answer) {
        panic!("seed {seed}: {query}\n{apart}");
    }
    Ok(broker.rows)
}

/// Numbers that are kept of groups that are gone.
fn numbers_of_none(stage: &Stage) -> usize {
    let queries = stage.operators.iter().filter_map(|operator| match &operator.running {
        Running::Sql { query, .. } => Some(query),
        _ => None,
    });
    let latest = queries.flat_map(|query| query.aggregates()).filter_map(|aggregate| match aggregate {
        Aggregation::Latest(latest) => Some(latest.numbers_of_none()),
        _ => None,
    });
    latest.sum()
}

/// A record as a row.
pub(super) fn decoded(text: &str) -> RecordBatch {
    let mut decoder = Decoder::json(&schema(), &[0, 1, 2, 3, 4, 5]).expect("a schema");
    decoder.push(text.as_bytes()).expect("a good record");
    decoder.finish()
}

#[test]
fn groups_end_as_the_batch_answer() {
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let read = super::spilling::rows_read();
    let rows: usize = (0..seeds).map(check).sum();
    let read = super::spilling::rows_read() - read;
    assert!(
        rows > 1_000 && read > 500,
        "{rows} rows, {read} looked up in scratches: the worlds are too tame"
    );
}

/// Behind groups that are sent again, nothing that would have to take rows back.
#[test]
fn what_would_take_rows_back_is_refused() {
    let groups = "(SELECT store_id, count(*) AS n, last_value(tags ORDER BY at) AS ids FROM sales GROUP BY store_id) g";
    for (query, reason) in [
        (
            format!("SELECT g.store_id, s.city FROM {groups} JOIN stores s ON s.store_id = g.store_id"),
            "a table without a match",
        ),
        (
            format!(
                "SELECT g.store_id, s.city FROM {groups} LEFT JOIN stores s ON s.store_id = g.store_id AND s.city <> concat('city ', g.n)"
            ),
            "a table without a match",
        ),
        (
            format!(
                "SELECT g.store_id, s.store_id AS other FROM {groups} LEFT JOIN stores s ON s.city = concat('city ', g.n % 3)"
            ),
            "several rows of stores may match one of these: they are told apart by store_id too",
        ),
        (
            format!(
                "SELECT g.store_id, s.x FROM {groups} LEFT JOIN (SELECT upper(store_id) AS store_id, city AS x FROM stores) s ON s.store_id = g.store_id"
            ),
            "several rows of stores may match",
        ),
        (format!("SELECT store_id, unnest(ids) AS id FROM {groups}"), "items that are gone"),
        ("SELECT store_id FROM sales".to_owned(), "this query has neither"),
    ] {
        let problems = Stage::build(spec(&query, 1, 10)).err().unwrap_or_else(|| panic!("{query} runs"));
        assert!(format!("{problems:?}").contains(reason), "{query}: {problems:?}");
    }
}

/// Of a table behind groups one row at most is looked up for each.
#[test]
fn a_table_behind_groups_is_looked_up_by_its_key() {
    let groups = "(SELECT store_id, count(*) AS n FROM sales GROUP BY store_id) g";
    let stage = |on: &str| {
        let query = format!("SELECT g.store_id, s.city FROM {groups} LEFT JOIN stores s ON {on}");
        let mut spec = spec(&query, 1, 10);
        spec.tables =
            BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id", "city"]))]);
        Stage::build(spec).map(drop)
    };
    for on in [
        "s.store_id = g.store_id AND s.city = concat('city ', g.n)",
        // All rows that are looked at have this.
        "s.store_id = g.store_id AND s.city = 'city 1'",
        "s.store_id = g.store_id AND 'city 1' = s.city",
    ] {
        stage(on).unwrap_or_else(|problems| panic!("{on}: {problems:?}"));
    }
    let problems = stage("s.store_id = g.store_id").expect_err("a store may have several rows");
    let told = format!("{problems:?}");
    assert!(told.contains("told apart by city too") && told.contains("group by city as well"), "{told}");
}
