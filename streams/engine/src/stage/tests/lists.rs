//! Lists whose items become rows, and streams put together by UNION ALL: what comes out is what DataFusion's batch engine gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use millstream_model::{KeyGroup, LateRule, LateThen, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec, TableSpec, TimeBounds};
use super::{batch, lines, stores};
use millstream_format::Decoder;

/// Queries, each with what asks a batch engine for the same.
const QUERIES: &[(&str, &str)] = &[
    (
        "SELECT id, line['sku'] AS sku, line['qty'] AS qty FROM (SELECT id, unnest(lines) AS line FROM sales)",
        "SELECT id, line['sku'] AS sku, line['qty'] AS qty FROM (SELECT id, unnest(lines) AS line FROM sales)",
    ),
    (
        "SELECT id, tag, line['sku'] AS sku FROM (SELECT id, unnest(tags) AS tag, unnest(lines) AS line FROM sales WHERE id <> 'r3') WHERE tag <> 'b'",
        "SELECT id, tag, line['sku'] AS sku FROM (SELECT id, unnest(tags) AS tag, unnest(lines) AS line FROM sales WHERE id <> 'r3') WHERE tag <> 'b'",
    ),
    (
        "SELECT store_id, sku, window_end, sum(qty) AS qty, count(*) AS n FROM TUMBLE((SELECT store_id, at, line['sku'] AS sku, line['qty'] AS qty
         FROM (SELECT store_id, at, unnest(lines) AS line FROM sales)), at, INTERVAL '4 seconds') GROUP BY store_id, sku, window_end",
        "SELECT store_id, sku, window_end, sum(qty) AS qty, count(*) AS n FROM (SELECT store_id,
         date_bin(INTERVAL '4 seconds', at, TIMESTAMP '1970-01-01T00:00:00Z') + INTERVAL '4 seconds' AS window_end, line['sku'] AS sku, line['qty'] AS qty
         FROM (SELECT store_id, at, unnest(lines) AS line FROM sales)) GROUP BY store_id, sku, window_end",
    ),
    (
        "SELECT i.id, i.line['sku'] AS sku, s.city FROM (SELECT id, store_id, unnest(lines) AS line FROM sales) AS i JOIN stores AS s ON s.store_id = i.store_id",
        "SELECT i.id, i.line['sku'] AS sku, s.city FROM (SELECT id, store_id, unnest(lines) AS line FROM sales) AS i JOIN stores AS s ON s.store_id = i.store_id",
    ),
    (
        "SELECT id FROM sales WHERE store_id IN (SELECT store_id FROM stores WHERE city <> 'city 1') AND id <> 'r2'",
        "SELECT id FROM sales WHERE store_id IN (SELECT store_id FROM stores WHERE city <> 'city 1') AND id <> 'r2'",
    ),
    (
        "SELECT a.id, a.store_id FROM sales a WHERE NOT EXISTS (SELECT 1 FROM stores s WHERE s.store_id = a.store_id AND s.city = 'city 2')",
        "SELECT a.id, a.store_id FROM sales a WHERE NOT EXISTS (SELECT 1 FROM stores s WHERE s.store_id = a.store_id AND s.city = 'city 2')",
    ),
    (
        "SELECT store_id, window_end, count(*) AS n FROM TUMBLE((SELECT a.store_id, a.at FROM sales a LEFT ANTI JOIN stores s ON s.store_id = a.store_id AND s.city = 'city 0'), at, INTERVAL '4 seconds') GROUP BY store_id, window_end",
        "SELECT store_id, date_bin(INTERVAL '4 seconds', at, TIMESTAMP '1970-01-01T00:00:00Z') + INTERVAL '4 seconds' AS window_end, count(*) AS n
         FROM (SELECT a.store_id, a.at FROM sales a LEFT ANTI JOIN stores s ON s.store_id = a.store_id AND s.city = 'city 0') GROUP BY 1, 2",
    ),
    (
        "SELECT a.id, a.store_id FROM sales a WHERE EXISTS (SELECT 1 FROM stores s WHERE s.city = concat('city ', length(a.id) % 3) AND s.store_id > a.store_id)",
        "SELECT a.id, a.store_id FROM sales a WHERE EXISTS (SELECT 1 FROM stores s WHERE s.city = concat('city ', length(a.id) % 3) AND s.store_id > a.store_id)",
    ),
    (
        "SELECT a.id, a.store_id FROM sales a WHERE NOT EXISTS (SELECT 1 FROM stores s WHERE s.city = concat('city ', length(a.id) % 3) AND s.store_id < a.store_id)",
        "SELECT a.id, a.store_id FROM sales a WHERE NOT EXISTS (SELECT 1 FROM stores s WHERE s.city = concat('city ', length(a.id) % 3) AND s.store_id < a.store_id)",
    ),
    (
        "SELECT a.id, s.store_id AS other FROM sales a LEFT JOIN stores s ON s.city = concat('city ', length(a.id) % 3) AND s.store_id < a.store_id",
        "SELECT a.id, s.store_id AS other FROM sales a LEFT JOIN stores s ON s.city = concat('city ', length(a.id) % 3) AND s.store_id < a.store_id",
    ),
    ("SELECT id, sku, qty FROM (SELECT id, unnest(head) FROM sales) AS t(id, sku, qty)", "SELECT id, sku, qty FROM (SELECT id, unnest(head) FROM sales) AS t(id, sku, qty)"),
];

pub(super) fn schema() -> SchemaRef {
    let of =
        Fields::from(vec![Field::new("sku", DataType::Utf8, true), Field::new("qty", DataType::Int64, true)]);
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("store_id", DataType::Utf8, false),
        Field::new("at", time, false),
        Field::new("lines", list(DataType::Struct(of.clone())), true),
        Field::new("tags", list(DataType::Utf8), true),
        Field::new("head", DataType::Struct(of), true),
    ]))
}

fn item(rng: &mut SeededRng) -> String {
    let qty = if rng.chance(1, 6) { "null".to_owned() } else { rng.below(9).to_string() };
    if rng.chance(1, 8) { "null".to_owned() } else { format!(r#"{{"sku":"k{}","qty":{qty}}}"#, rng.below(4)) }
}

fn list(rng: &mut SeededRng, mut item: impl FnMut(&mut SeededRng) -> String) -> String {
    if rng.chance(1, 6) {
        return "null".to_owned();
    }
    let items: Vec<String> = (0..rng.below(4)).map(|_| item(rng)).collect();
    format!("[{}]", items.join(","))
}

pub(super) fn record(rng: &mut SeededRng, number: u64) -> String {
    let lines = list(rng, item);
    let tags = list(rng, |rng| {
        if rng.chance(1, 5) {
            "null".to_owned()
        } else {
            format!("\"{}\"", ["a", "b", "c"][rng.below(3) as usize])
        }
    });
    let (at, store, head) = (1_000 * number, rng.below(3), item(rng));
    format!(
        r#"{{"id":"r{number}","store_id":"S{store}","at":{at},"lines":{lines},"tags":{tags},"head":{head}}}"#
    )
}

fn spec(query: &str, streams: &[&str], batch_rows: usize) -> StageSpec {
    let source = |name: &&str| SourceSpec {
        name: (*name).into(),
        schema: schema(),
        frozen: false,
        format: millstream_format::Format::Json,
        event_time: Some("at".into()),
        watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
        partitioned_by: Some(vec!["store_id".into()]),
        latest_by: None,
    };
    StageSpec {
        id: "stage".into(),
        sources: streams.iter().map(source).collect(),
        key_groups: 1,
        changelog_partitions: 1,
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: streams.iter().map(|name| (*name).to_owned()).chain(["stores".to_owned()]).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule { allow_ms: 0, updates: false, then: LateThen::DeadLetter },
                update_ms: None,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows,
    }
}

pub(super) fn batch_answer(query: &str, tables: &[(&str, RecordBatch)]) -> Vec<String> {
    batch::answer(query, tables).unwrap_or_else(|problem| panic!("{}{query}: {problem}", batch::NO_ANSWER))
}

/// Runs a query over records of these streams; how many rows came out.
fn check(seed: u64, (query, batch): (&str, &str), streams: &[&str]) -> usize {
    let mut rng = SeededRng::new(seed);
    let spec = spec(query, streams, 1 + rng.below(40) as usize);
    let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{query}: {problems:?}"));
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    let mut decoders: Vec<Decoder> =
        streams.iter().map(|_| Decoder::json(&schema(), &[0, 1, 2, 3, 4, 5]).expect("a schema")).collect();
    let mut found = Vec::new();
    let mut take = |stage: &mut Stage| {
        stage.commit(0).expect("a commit");
        for out in stage.take_outputs().batches {
            assert_eq!(out.output.as_ref(), "out", "seed {seed}");
            found.extend(lines(&out.batch));
        }
    };
    for number in 0..rng.below(60) {
        let source = rng.below(streams.len() as u64) as usize;
        let record = record(&mut rng, number);
        decoders[source].push(record.as_bytes()).expect("a good record");
        let place = (KeyGroup(0), number as i64);
        stage
            .push_record(source, place, Some(record.as_bytes()), TimeBounds::default())
            .expect("an owned group");
        if rng.chance(1, 10) {
            take(&mut stage);
        }
    }
    for source in 0..streams.len() {
        stage.finish(source, KeyGroup(0), 0).expect("an end");
    }
    take(&mut stage);
    found.sort_unstable();
    let tables: Vec<(&str, RecordBatch)> =
        streams.iter().copied().zip(decoders.iter_mut().map(Decoder::finish)).collect();
    // The batch engine is built without the functions over lists that this form comes with.
    let mut plain = batch.to_owned();
    for field in ["sku", "qty"] {
        for of in ["i.line", "line"] {
            plain = plain.replace(&format!("{of}['{field}']"), &format!("get_field({of}, '{field}')"));
        }
    }
    let wanted = batch_answer(&plain, &tables);
    assert_eq!(found, wanted, "seed {seed}: {query}");
    found.len()
}

#[test]
fn items_of_lists_are_those_of_the_batch_answer() {
    for (query, batch) in QUERIES {
        let rows: usize = (0..40).map(|seed| check(seed, (query, batch), &["sales"])).sum();
        assert!(rows > 100, "{query}: {rows} rows");
    }
}

/// Two streams put together, each query with what asks a batch engine for the same.
const UNIONS: &[(&str, &str)] = &[
    (
        "SELECT id, at FROM sales UNION ALL SELECT id, at FROM returns",
        "SELECT id, at FROM sales UNION ALL SELECT id, at FROM returns",
    ),
    (
        "SELECT id, what, s.city FROM (SELECT id, store_id, 1 AS what FROM sales WHERE id <> 'r5'
         UNION ALL SELECT id, store_id, 2 FROM returns UNION ALL SELECT store_id, store_id AS store, 3 FROM sales) u
         JOIN stores s ON s.store_id = u.store_id WHERE what <> 3 OR id <> 'S1'",
        "SELECT id, what, s.city FROM (SELECT id, store_id, 1 AS what FROM sales WHERE id <> 'r5'
         UNION ALL SELECT id, store_id, 2 FROM returns UNION ALL SELECT store_id, store_id AS store, 3 FROM sales) u
         JOIN stores s ON s.store_id = u.store_id WHERE what <> 3 OR id <> 'S1'",
    ),
    (
        "SELECT store_id, window_end, sum(n) AS n FROM TUMBLE((SELECT store_id, at, 1 AS n FROM sales
         UNION ALL SELECT store_id, at, -1 AS n FROM returns), at, INTERVAL '4 seconds') GROUP BY store_id, window_end",
        "SELECT store_id, date_bin(INTERVAL '4 seconds', at, TIMESTAMP '1970-01-01T00:00:00Z') + INTERVAL '4 seconds' AS window_end, sum(n) AS n
         FROM (SELECT store_id, at, 1 AS n FROM sales UNION ALL SELECT store_id, at, -1 AS n FROM returns) GROUP BY store_id, window_end",
    ),
    (
        "SELECT a.store_id, a.n, b.most, a.window_end FROM (SELECT store_id, window_end, count(*) AS n
         FROM TUMBLE((SELECT store_id, at FROM returns UNION ALL SELECT store_id, at FROM sales), at, INTERVAL '4 seconds')
         GROUP BY store_id, window_end) a LEFT JOIN (SELECT store_id, window_end, max(id) AS most
         FROM TUMBLE(sales, at, INTERVAL '4 seconds') GROUP BY store_id, window_end) b ON a.store_id = b.store_id AND a.window_end = b.window_end",
        "SELECT a.store_id, a.n, b.most, a.window_end FROM (SELECT store_id, window_end, count(*) AS n
         FROM (SELECT store_id, date_bin(INTERVAL '4 seconds', at, TIMESTAMP '1970-01-01T00:00:00Z') + INTERVAL '4 seconds' AS window_end FROM
         (SELECT store_id, at FROM returns UNION ALL SELECT store_id, at FROM sales)) GROUP BY store_id, window_end) a
         LEFT JOIN (SELECT store_id, window_end, max(id) AS most
         FROM (SELECT *, date_bin(INTERVAL '4 seconds', at, TIMESTAMP '1970-01-01T00:00:00Z') + INTERVAL '4 seconds' AS window_end FROM sales)
         GROUP BY store_id, window_end) b ON a.store_id = b.store_id AND a.window_end = b.window_end",
    ),
];

#[test]
fn streams_put_together_are_those_of_the_batch_answer() {
    for (query, batch) in UNIONS {
        let rows: usize = (0..40).map(|seed| check(seed, (query, batch), &["sales", "returns"])).sum();
        assert!(rows > 100, "{query}: {rows} rows");
    }
}

/// A record that is late is put aside once, however many items it has.
#[test]
fn a_late_record_with_many_items_is_put_aside_once() {
    let mut stage = Stage::build(spec(QUERIES[2].0, &["sales"], 10)).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    for (offset, at) in [(0, 60_000), (1, 1_000)] {
        let items = r#"{"sku":"a","qty":1},{"sku":"b","qty":1}"#;
        let record =
            format!(r#"{{"id":"r","store_id":"S0","at":{at},"lines":[{items}],"tags":[],"head":null}}"#);
        stage
            .push_record(0, (KeyGroup(0), offset), Some(record.as_bytes()), TimeBounds::default())
            .expect("an owned group");
    }
    stage.turn(0).expect("a turn");
    let late: Vec<usize> = stage.take_outputs().batches.iter().map(|out| out.batch.num_rows()).collect();
    assert_eq!(late, [1]);
    assert_eq!(stage.counts()[0].1.late, 1);
}

/// Rows that come when their windows are over are put together with others, as often as the union reads them.
#[test]
fn what_windows_give_is_put_together_with_others() {
    let union = "SELECT store_id, n FROM hourly UNION ALL SELECT store_id, -1 AS n FROM sales UNION ALL SELECT store_id, 10 * n FROM hourly";
    let mut spec = spec(union, &["sales"], 10);
    let hourly = OperatorSpec {
        id: "hourly-1".into(),
        name: "hourly".into(),
        inputs: vec!["sales".into()],
        kind: OperatorKind::Sql {
            sql: "SELECT store_id, count(*) AS n FROM TUMBLE(sales, at, INTERVAL '1 hour') GROUP BY store_id, window_end".into(),
            late: LateRule { allow_ms: 0, updates: false, then: LateThen::DeadLetter },
            update_ms: None,
            keep: None,
        },
    };
    spec.operators.insert(0, hourly);
    spec.operators[1].inputs.insert(0, "hourly".into());
    let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    for offset in 0..3 {
        let record =
            format!(r#"{{"id":"r","store_id":"S0","at":{offset},"lines":[],"tags":[],"head":null}}"#);
        stage
            .push_record(0, (KeyGroup(0), offset), Some(record.as_bytes()), TimeBounds::default())
            .expect("an owned group");
    }
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    stage.commit(0).expect("a commit");
    let mut found: Vec<String> =
        stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)).collect();
    found.sort_unstable();
    assert_eq!(found, ["S0|-1", "S0|-1", "S0|-1", "S0|3", "S0|30"]);
}

/// Streams whose keys differ are put together, and not grouped: equal rows would lie in several partitions.
#[test]
fn a_union_of_streams_with_other_keys_is_not_grouped() {
    let both = "(SELECT store_id, id, at FROM {a} UNION ALL SELECT store_id, id, at FROM {b})";
    for (a, b) in [("sales", "returns"), ("returns", "sales")] {
        let both = both.replace("{a}", a).replace("{b}", b);
        let query = format!(
            "SELECT store_id, count(*) AS n FROM TUMBLE({both}, at, INTERVAL '1 hour') GROUP BY store_id, window_end"
        );
        let mut spec = spec(&query, &["sales", "returns"], 10);
        spec.key_groups = 2;
        spec.sources[1].partitioned_by = Some(vec!["store_id".into(), "id".into()]);
        let problems = Stage::build(spec).err().unwrap_or_else(|| panic!("{query} runs"));
        assert!(
            format!("{problems:?}").contains("are not among what the query does group by, or not the same"),
            "{problems:?}"
        );
    }
}
