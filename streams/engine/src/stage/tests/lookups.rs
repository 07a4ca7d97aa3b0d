//! Tables that are asked by key: what comes out is what comes out of the same tables loaded whole, however rows are batched, and
//! however few keys are kept; and what is asked is asked once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use millstream_model::{KeyGroup, LateRule, LateThen, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::lookups::{LookupSpec, Wanted};
use super::super::{OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec, TableSpec, TimeBounds};
use super::lists::{record, schema};
use super::{lines, stores};
use crate::error::StageError;

/// Of each city but one.
fn cities() -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["city 0", "city 2"]));
    let lands: ArrayRef = Arc::new(StringArray::from(vec!["north", "south"]));
    RecordBatch::try_from_iter([("city", names), ("land", lands)]).expect("a table")
}

/// Queries, each over what one before it gives, or the stream.
const QUERIES: &[&[&str]] = &[
    &["SELECT s.id, s.store_id, t.city FROM sales s JOIN stores t ON t.store_id = s.store_id"],
    &[
        "SELECT s.id, t.city FROM sales s LEFT JOIN stores t ON t.store_id = s.store_id AND t.city <> 'city 1'",
    ],
    &[
        "SELECT s.id, c.land FROM sales s JOIN stores t ON t.store_id = s.store_id LEFT JOIN cities c ON t.city = c.city",
    ],
    &["SELECT s.id FROM sales s WHERE s.store_id IN (SELECT store_id FROM stores WHERE city = 'city 2')"],
    &["SELECT s.id FROM sales s WHERE NOT EXISTS (SELECT 1 FROM stores t WHERE t.store_id = s.store_id)"],
    &[
        "SELECT id, upper(store_id) AS store_id, at FROM sales WHERE id <> 'r3'",
        "SELECT s.id, t.city FROM first s JOIN stores t ON t.store_id = s.store_id",
    ],
    &["SELECT t.city, window_start, count(*) AS n FROM TUMBLE(sales, at, INTERVAL '5 seconds') s
         JOIN stores t ON t.store_id = s.store_id GROUP BY t.city, window_start, window_end, s.store_id"],
];
const NAMES: [&str; 2] = ["first", "second"];

fn tables() -> [(&'static str, &'static str, RecordBatch); 2] {
    [("stores", "store_id", stores()), ("cities", "city", cities())]
}

fn spec(queries: &[&str], batch_rows: usize) -> StageSpec {
    let operator = |(at, sql): (usize, &&str)| OperatorSpec {
        id: format!("{}-1", NAMES[at]),
        name: NAMES[at].to_owned(),
        inputs: vec![["sales", "first"][at].to_owned(), "stores".to_owned(), "cities".to_owned()],
        kind: OperatorKind::Sql {
            sql: (*sql).to_owned(),
            late: LateRule { then: LateThen::DeadLetter, ..LateRule::default() },
            update_ms: None,
            keep: None,
        },
    };
    StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "sales".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: Some("at".into()),
            watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
            partitioned_by: Some(vec!["store_id".into()]),
            latest_by: None,
        }],
        key_groups: 3,
        changelog_partitions: 1,
        tables: tables()
            .map(|(name, key, rows)| (name.to_owned(), TableSpec::new(rows.schema(), [key])))
            .into(),
        functions: BTreeMap::new(),
        operators: queries.iter().enumerate().map(operator).collect(),
        outputs: BTreeSet::from([NAMES[queries.len() - 1].to_owned()]),
        batch_rows,
    }
}

fn stage(queries: &[&str], batch_rows: usize) -> Stage {
    let mut stage = Stage::build(spec(queries, batch_rows)).unwrap_or_else(|p| panic!("{queries:?}: {p:?}"));
    (0..3).for_each(|group| stage.assign(KeyGroup(group), 0));
    stage
}

fn asking(queries: &[&str], batch_rows: usize, (keep_ms, keys_max): (i64, usize)) -> Stage {
    let mut stage = stage(queries, batch_rows);
    for (name, key, _) in tables() {
        let spec = LookupSpec { key: vec![key.to_owned()], keep_ms, keys_max };
        stage.ask(name, spec).unwrap_or_else(|why| panic!("{queries:?}: {why:?}"));
    }
    stage
}

/// The rows of a table whose key is asked for.
fn found(wanted: &Wanted) -> RecordBatch {
    let (_, key, table) = tables().into_iter().find(|table| table.0 == wanted.table).expect("a table");
    let asked: BTreeSet<&str> = wanted.keys.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(asked.len(), wanted.keys.num_rows(), "a key is asked for once");
    assert_eq!(wanted.keys.schema().field(0).name(), key);
    let keys = table.column_by_name(key).expect("its key").as_string::<i32>().clone();
    let rows = (0..table.num_rows() as u32).filter(|row| asked.contains(keys.value(*row as usize)));
    take_record_batch(&table, &UInt32Array::from_iter_values(rows)).expect("rows")
}

/// Answers whatever is wanted; how many keys that was of each table.
fn answer(stage: &mut Stage, now: i64, asked: &mut BTreeMap<String, usize>) {
    while let Some(wanted) = stage.wanted(now).expect("keys") {
        stage.answer(&wanted, &found(&wanted), now).expect("rows of these keys");
        *asked.entry(wanted.table).or_default() += wanted.keys.num_rows();
    }
}

fn take(stage: &mut Stage, into: &mut Vec<String>) {
    into.extend(stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)));
}

fn check(seed: u64) {
    let mut rng = SeededRng::new(seed);
    let queries = QUERIES[rng.below(QUERIES.len() as u64) as usize];
    let keys_max = 1 + rng.below(8) as usize;
    let mut loaded = stage(queries, 10);
    tables().iter().for_each(|(name, _, rows)| loaded.load_table(name, rows).expect("a table"));
    let mut asking = asking(queries, 1 + rng.below(30) as usize, (1 + rng.below(100) as i64, keys_max));
    let (mut wanted, mut given) = (Vec::new(), Vec::new());
    let mut now = 0;
    for number in 0..rng.below(120) {
        let text = record(&mut rng, number).replace("\"S2\"", ["\"S2\"", "\"S9\""][rng.below(2) as usize]);
        let at = (KeyGroup(rng.below(3) as u32), number as i64);
        for stage in [&mut loaded, &mut asking] {
            stage.push_record(0, at, Some(text.as_bytes()), TimeBounds::default()).expect("an owned group");
        }
        now += rng.below(10) as i64;
        if asking.is_full() {
            answer(&mut asking, now, &mut BTreeMap::new());
            asking.turn(now).expect("a turn");
        }
        if rng.chance(1, 10) {
            answer(&mut asking, now, &mut BTreeMap::new());
            asking.commit(now).expect("a commit");
            take(&mut asking, &mut given);
            // One row for each key: those of the last turn, or as many as are kept.
            let kept = tables().map(|(name, ..)| asking.table_rows(name));
            assert!(kept.iter().all(|kept| *kept <= keys_max.max(30)), "seed {seed}: {kept:?}");
        }
    }
    for group in 0..3 {
        answer(&mut asking, now, &mut BTreeMap::new());
        asking.finish(0, KeyGroup(group), now).expect("an end");
        loaded.finish(0, KeyGroup(group), now).expect("an end");
    }
    answer(&mut asking, now, &mut BTreeMap::new());
    asking.commit(now).expect("a commit");
    loaded.commit(now).expect("a commit");
    take(&mut asking, &mut given);
    take(&mut loaded, &mut wanted);
    given.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(given, wanted, "seed {seed}: {queries:?}");
}

#[test]
fn tables_that_are_asked_give_what_tables_that_are_loaded_do() {
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    (0..seeds).for_each(check);
}

fn push(stage: &mut Stage, stores: &[&str]) {
    for store in stores {
        let text = format!(r#"{{"id":"r","store_id":"{store}","at":1000}}"#);
        let at = (KeyGroup(0), 0);
        stage.push_record(0, at, Some(text.as_bytes()), TimeBounds::default()).expect("an owned group");
    }
}

#[test]
fn a_key_is_asked_for_once_while_it_is_kept_also_if_there_is_no_row() {
    let mut stage = asking(QUERIES[0], 100, (60_000, 100));
    let mut asks = |stores: &[&str], now: i64| {
        let mut asked = BTreeMap::new();
        push(&mut stage, stores);
        answer(&mut stage, now, &mut asked);
        stage.commit(now).expect("a commit");
        asked.into_values().sum::<usize>()
    };
    assert_eq!(asks(&["S1", "S9", "S1", "S2"], 0), 3);
    assert_eq!(asks(&["S9", "S2", "S3"], 59_999), 1);
    assert_eq!(asks(&["S1", "S9", "S3"], 60_000), 2);
}

/// What is known of a key is replaced when it is asked for again.
#[test]
fn the_row_of_a_key_is_as_the_table_had_it_last() {
    let mut stage = asking(QUERIES[0], 100, (1_000, 100));
    let mut rows = Vec::new();
    for (now, city) in [(0, Some("Pune")), (500, Some("Agra")), (1_000, Some("Goa")), (2_000, None)] {
        push(&mut stage, &["S1"]);
        while let Some(wanted) = stage.wanted(now).expect("keys") {
            let of = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
            let (ids, cities) = (city.map_or(vec![], |_| vec!["S1"]), city.map_or(vec![], |city| vec![city]));
            let found = RecordBatch::try_from_iter([("store_id", of(ids)), ("city", of(cities))]);
            stage.answer(&wanted, &found.expect("rows"), now).expect("a row of this key");
        }
        stage.commit(now).expect("a commit");
        take(&mut stage, &mut rows);
    }
    assert_eq!(rows, ["r|S1|Pune", "r|S1|Pune", "r|S1|Goa"]);
}

#[test]
fn rows_are_not_run_before_their_tables_are_asked() {
    let mut stage = asking(QUERIES[0], 100, (1_000, 100));
    push(&mut stage, &["S1"]);
    assert!(matches!(stage.turn(0), Err(StageError::NotAsked)));
    let mut stage = asking(QUERIES[0], 100, (1_000, 100));
    push(&mut stage, &["S1"]);
    let wanted = stage.wanted(0).expect("keys").expect("a key");
    assert!(matches!(stage.commit(0), Err(StageError::NotAsked)));
    // Rows that nobody asked for are passed over.
    stage.answer(&wanted, &stores(), 0).expect("a row of this key, among others");
    assert_eq!(stage.table_rows("stores"), 1);
    assert!(stage.wanted(0).expect("keys").is_none());
    stage.commit(0).expect("a commit");
    let mut rows = Vec::new();
    take(&mut stage, &mut rows);
    assert_eq!(rows, ["r|S1|city 1"]);
}

#[test]
fn joins_that_cannot_ask_are_refused_with_the_reason() {
    for (queries, operator, part) in [
        (
            &["SELECT s.id, t.n FROM sales s JOIN (SELECT store_id, count(*) OVER () AS n FROM stores) t ON t.store_id = s.store_id"][..],
            "",
            "",
        ),
        (
            &["SELECT s.id, t.city FROM sales s JOIN (SELECT upper(store_id) AS k, city FROM stores) t ON t.k = s.store_id"],
            "first",
            "write ON stores.store_id = …",
        ),
        (
            &["SELECT s.id, t.store_id FROM sales s JOIN stores t ON t.city = s.store_id"],
            "first",
            "write ON stores.store_id = …",
        ),
        (
            &["SELECT w.n, t.city FROM (SELECT store_id, count(*) AS n FROM TUMBLE(sales, at, INTERVAL '1 minute')
               GROUP BY store_id, window_start, window_end) w JOIN stores t ON t.store_id = w.store_id"],
            "first",
            "publish the results",
        ),
        (
            &[
                "SELECT store_id, count(*) AS n FROM TUMBLE(sales, at, INTERVAL '1 minute') GROUP BY store_id, window_start, window_end",
                "SELECT s.n, t.city FROM first s JOIN stores t ON t.store_id = s.store_id",
            ],
            "second",
            "publish the results",
        ),
    ] {
        let Ok(mut stage) = Stage::build(spec(queries, 10)) else {
            assert_eq!(operator, "", "{queries:?}");
            continue;
        };
        let spec = LookupSpec { key: vec!["store_id".to_owned()], keep_ms: 1, keys_max: 1 };
        let (at, why) = stage.ask("stores", spec).expect_err("a join that cannot ask");
        assert!(at == operator && why.contains(part), "{queries:?}: {at}: {why}");
    }
}
