//! What a stage costs, per row and core: the store-invoice stage from JSON to committed state, and its parts; and a
//! windowed aggregation over rows that are columns already. CPU time of this thread.
//!
//! `cargo bench -p millstream-engine --bench stage [-- <records>]`

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use millstream_engine::stage::{
    OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec, TableSpec, TimeBounds,
};
use millstream_format::Decoder;
use millstream_model::{KeyGroup, LateRule, LateThen, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

const STORES: u64 = 400;
/// Rows between commits: about a second's.
const COMMIT_ROWS: usize = 50_000;
const REVENUE: &str =
    "SELECT i.store_id, s.city, i.window_start, i.window_end, COUNT(*) AS invoices, SUM(i.total) AS revenue
    FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') AS i JOIN stores AS s ON s.store_id = i.store_id
    GROUP BY i.store_id, s.city, i.window_start, i.window_end";

fn schema() -> SchemaRef {
    let money = || DataType::Decimal128(18, 2);
    let line = Fields::from(vec![
        Field::new("sku", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("qty", DataType::Int32, false),
        Field::new("unit_price", money(), false),
        Field::new("discount", money(), false),
        Field::new("tax", money(), false),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("invoice_id", DataType::Utf8, false),
        Field::new("store_id", DataType::Utf8, false),
        Field::new("counter_id", DataType::Int32, false),
        Field::new("issued_at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("currency", DataType::Utf8, false),
        Field::new("customer_id", DataType::Utf8, true),
        Field::new("payment_method", DataType::Utf8, false),
        Field::new(
            "lines",
            DataType::List(Arc::new(Field::new("item", DataType::Struct(line), false))),
            false,
        ),
        Field::new("total", money(), false),
    ]))
}

/// Invoice `i` of a run in which 500 are issued a second, up to 90 s out of order; one in 200 repeats an earlier one.
fn invoice(rng: &mut SeededRng, i: usize) -> (u32, Vec<u8>) {
    let store = rng.below(STORES);
    let at = i as i64 * 2 + 90_000 - rng.below(90_000) as i64;
    let (seconds, millis) = (at / 1_000, at % 1_000);
    let mut cents = 0;
    let mut lines = Vec::new();
    for _ in 0..1 + rng.below(8) {
        let (qty, price) = (1 + rng.below(5), 100 + rng.below(50_000));
        cents += qty * price;
        let sku = rng.below(20_000);
        lines.push(format!(
            r#"{{"sku":"K-{sku:05}","name":"tea {} g","qty":{qty},"unit_price":{}.{:02},"discount":0.0,"tax":0.00}}"#,
            sku % 1_000,
            price / 100,
            price % 100
        ));
    }
    let text = format!(
        r#"{{"invoice_id":"S{store:03}-1-{i:08}","store_id":"S{store:03}","counter_id":1,"issued_at":"2026-03-{:02}T{:02}:{:02}:{:02}.{millis:03}Z","currency":"INR","customer_id":"C{}","payment_method":"card","lines":[{}],"total":{}.{:02}}}"#,
        1 + seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        rng.below(90_000),
        lines.join(","),
        cents / 100,
        cents % 100
    );
    (store as u32, text.into_bytes())
}

fn stores() -> RecordBatch {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..STORES).map(|i| format!("S{i:03}"))));
    let cities: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..STORES).map(|i| format!("city {}", i % 40))));
    RecordBatch::try_from_iter([("store_id", ids), ("city", cities)]).expect("a table")
}

fn stage(operators: &[&str], outputs: &[&str], partitions: u32, batch_rows: usize) -> Stage {
    let all = [
        OperatorSpec {
            id: "unique-1".into(),
            name: "unique".into(),
            inputs: vec!["invoices".into()],
            kind: OperatorKind::Dedupe {
                key: vec!["store_id".into(), "invoice_id".into()],
                within_ms: 48 * 3_600_000,
                late_by_ms: None,
            },
        },
        OperatorSpec {
            id: "revenue-1".into(),
            name: "revenue".into(),
            inputs: vec![
                if operators.contains(&"unique") { "unique" } else { "invoices" }.into(),
                "stores".into(),
            ],
            kind: OperatorKind::Sql {
                sql: if operators.contains(&"unique") {
                    REVENUE.into()
                } else {
                    REVENUE.replace("(unique", "(invoices")
                },
                late: LateRule { allow_ms: 600_000, updates: false, then: LateThen::DeadLetter },
                update_ms: None,
                keep: None,
            },
        },
    ];
    let mut stage = Stage::build(StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "invoices".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: Some("issued_at".into()),
            watermark: WatermarkConfig { delay_ms: 120_000, idle_after_ms: Some(30_000), bounded: false },
            partitioned_by: Some(vec!["store_id".into()]),
            latest_by: None,
        }],
        key_groups: partitions,
        changelog_partitions: partitions.min(16),
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: BTreeMap::new(),
        operators: all.into_iter().filter(|o| operators.contains(&o.name.as_str())).collect(),
        outputs: outputs.iter().map(|o| (*o).to_owned()).collect::<BTreeSet<_>>(),
        batch_rows,
    })
    .expect("the stage of the example");
    stage.load_table("stores", &stores()).expect("the table");
    for group in 0..partitions {
        stage.assign(KeyGroup(group), 0);
    }
    stage
}

/// Rows of so many keys in order, 1,000 a second of event time, through windows; a commit each second.
fn overlapping(from: &str, count: usize, keys: u64) -> f64 {
    const GROUPS: u32 = 64;
    let fields = [("store_id", DataType::Utf8), ("total", DataType::Int64)];
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut columns: Vec<Field> =
        fields.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect();
    columns.push(Field::new("at", time, false));
    let schema: SchemaRef = Arc::new(Schema::new(columns));
    let sql = format!(
        "SELECT store_id, window_start, window_end, count(*) AS n, sum(total) AS total FROM {from} GROUP BY store_id, window_start, window_end"
    );
    let mut stage = Stage::build(StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "sales".into(),
            schema: Arc::clone(&schema),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: Some("at".into()),
            watermark: WatermarkConfig { delay_ms: 1_000, idle_after_ms: None, bounded: false },
            partitioned_by: Some(vec!["store_id".into()]),
            latest_by: None,
        }],
        key_groups: GROUPS,
        changelog_partitions: 4,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "sums-1".into(),
            name: "sums".into(),
            inputs: vec!["sales".into()],
            kind: OperatorKind::Sql { sql, late: LateRule::default(), update_ms: None, keep: None },
        }],
        outputs: BTreeSet::from(["sums".to_owned()]),
        batch_rows: 8_192,
    })
    .expect("a stage");
    (0..GROUPS).for_each(|group| stage.assign(KeyGroup(group), 0));
    let mut rng = SeededRng::new(3);
    let mut seconds = Vec::new();
    for second in 0..count / 1_000 {
        let mut parts: Vec<(Vec<String>, Vec<i64>, Vec<i64>)> = vec![Default::default(); GROUPS as usize];
        for at in 0..1_000 {
            let store = rng.below(keys);
            let (stores, totals, times) = &mut parts[(store % u64::from(GROUPS)) as usize];
            stores.push(format!("S{store:03}"));
            totals.push(rng.below(10_000) as i64);
            times.push(second as i64 * 1_000 + at);
        }
        let batch = |(stores, totals, times): (Vec<String>, Vec<i64>, Vec<i64>)| {
            let times = TimestampMillisecondArray::from(times).with_timezone("UTC");
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from(stores)),
                Arc::new(Int64Array::from(totals)),
                Arc::new(times),
            ];
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows")
        };
        seconds.push(parts.into_iter().map(batch).collect::<Vec<_>>());
    }
    let start = cpu_ns();
    for second in &seconds {
        for (group, batch) in second.iter().enumerate() {
            stage.push_batch(0, (KeyGroup(group as u32), 0), batch).expect("an assigned partition");
        }
        stage.turn(0).expect("a turn");
        black_box(stage.commit(0).expect("a commit"));
        black_box(stage.take_outputs());
    }
    (cpu_ns() - start) as f64 / count as f64
}

/// Nanoseconds that this thread has run, as the kernel counts them.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel with schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

/// Runs the records through, partition by partition in runs of `run` records, as fetches bring them.
fn from_json(
    mut stage: Stage,
    records: &[(u32, Vec<u8>)],
    partitions: u32,
    run: usize,
) -> (f64, usize, Stage) {
    // What a fetch brings is in the order of its partitions.
    let fetches: Vec<Vec<(u32, &[u8])>> = records
        .chunks(run * STORES as usize)
        .map(|fetch| {
            let mut fetch: Vec<_> =
                fetch.iter().map(|(store, value)| (store % partitions, value.as_slice())).collect();
            fetch.sort_by_key(|(group, _)| *group);
            fetch
        })
        .collect();
    let start = cpu_ns();
    let (mut since, mut changelog) = (0, 0);
    for fetch in fetches {
        for (group, value) in &fetch {
            stage
                .push_record(0, (KeyGroup(*group), 0), Some(value), TimeBounds::default())
                .expect("an assigned partition");
            if stage.is_full() {
                stage.turn(0).expect("a turn");
            }
        }
        since += fetch.len();
        if since >= COMMIT_ROWS {
            since = 0;
            changelog +=
                stage.commit(0).expect("a commit").iter().map(|r| r.entry.encode().len()).sum::<usize>();
            black_box(stage.take_outputs());
        }
    }
    changelog += stage.commit(0).expect("a commit").iter().map(|r| r.entry.encode().len()).sum::<usize>();
    let ns = (cpu_ns() - start) as f64 / records.len() as f64;
    (ns, changelog / records.len(), stage)
}

/// Rows that take the place of each other through a condition, of which every `apart`th record says that one is gone.
fn revised(records: &[(u32, Vec<u8>)], apart: usize) -> f64 {
    let mut stage = Stage::build(StageSpec {
        id: "revised".into(),
        sources: vec![SourceSpec {
            name: "invoices".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: None,
            watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
            partitioned_by: Some(vec!["store_id".into()]),
            latest_by: Some(vec!["store_id".into(), "invoice_id".into()]),
        }],
        key_groups: 1,
        changelog_partitions: 1,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "large-1".into(),
            name: "large".into(),
            inputs: vec!["invoices".into()],
            kind: OperatorKind::Sql {
                sql:
                    "SELECT store_id, invoice_id, issued_at, currency, total FROM invoices WHERE total > 1000"
                        .into(),
                late: LateRule::default(),
                update_ms: None,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["large".to_owned()]),
        batch_rows: 8_192,
    })
    .expect("a stage");
    stage.assign(KeyGroup(0), 0);
    let gone = |at: usize| format!(r#"{{"store_id":"S{:03}","invoice_id":"{at}"}}"#, at % 400);
    let gone: Vec<Vec<u8>> = (0..records.len()).map(|at| gone(at).into_bytes()).collect();
    let start = cpu_ns();
    for (at, (_, value)) in records.iter().enumerate() {
        let place = (KeyGroup(0), at as i64);
        if at % apart == apart - 1 {
            let bad = stage.push_gone(0, place, &gone[at]).expect("an assigned partition");
            assert_eq!(bad, None);
        } else {
            stage.push_record(0, place, Some(value), TimeBounds::default()).expect("an assigned partition");
        }
        if stage.is_full() {
            stage.turn(0).expect("a turn");
            black_box(stage.take_outputs());
        }
    }
    stage.turn(0).expect("a turn");
    black_box(stage.take_outputs());
    (cpu_ns() - start) as f64 / records.len() as f64
}

/// Rows that are columns already, through the windowed aggregation alone.
fn from_columns(batches: &[(u32, RecordBatch)], partitions: u32, rows: usize) -> f64 {
    let mut stage = stage(&["revenue"], &["revenue"], partitions, 8_192);
    // The stage reads only what its query does.
    let read = stage.read_schema(0);
    let batches: Vec<(u32, RecordBatch)> = batches
        .iter()
        .map(|(group, batch)| {
            let columns: Vec<usize> =
                read.fields().iter().map(|f| batch.schema().index_of(f.name()).expect("a column")).collect();
            (*group, batch.project(&columns).expect("columns"))
        })
        .collect();
    let start = cpu_ns();
    let mut since = 0;
    for (group, batch) in &batches {
        stage.push_batch(0, (KeyGroup(*group), 0), batch).expect("an assigned partition");
        since += batch.num_rows();
        if stage.is_full() {
            stage.turn(0).expect("a turn");
        }
        if since >= COMMIT_ROWS * 10 {
            since = 0;
            black_box(stage.commit(0).expect("a commit"));
            black_box(stage.take_outputs());
        }
    }
    black_box(stage.commit(0).expect("a commit"));
    (cpu_ns() - start) as f64 / rows as f64
}

fn main() {
    // `cargo test` runs benchmarks once to see that they work; a few records do for that.
    let testing = !std::env::args().any(|a| a == "--bench");
    let asked = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let count: usize = asked.unwrap_or(if testing { 2_000 } else { 300_000 });
    let mut rng = SeededRng::new(7);
    let mut records: Vec<(u32, Vec<u8>)> = Vec::with_capacity(count);
    for i in 0..count {
        let again = i > 1_000 && rng.chance(1, 200);
        let record =
            if again { records[i - 1 - rng.below(1_000) as usize].clone() } else { invoice(&mut rng, i) };
        records.push(record);
    }
    let bytes = records.iter().map(|(_, r)| r.len()).sum::<usize>() / records.len();
    println!("{count} invoices of {bytes} B from {STORES} stores, 8,192 rows a turn; CPU ns a record");
    for (name, partitions, operators, outputs) in [
        ("decode all columns", 600, &[][..], &["invoices"][..]),
        ("decode, dedupe", 600, &["unique"], &["unique"]),
        ("decode, dedupe, revenue", 600, &["unique", "revenue"], &["unique", "revenue"]),
        ("decode, dedupe, revenue, 16 partitions", 16, &["unique", "revenue"], &["unique", "revenue"]),
        ("decode four columns, revenue", 600, &["revenue"], &["revenue"]),
    ] {
        let (ns, changelog, stage) =
            from_json(stage(operators, outputs, partitions, 8_192), &records, partitions, 20);
        print!("{name:<42}{ns:>8.0}   changelog {changelog} B");
        for (name, size) in stage.state_sizes() {
            print!("   {name}: {} entries, {} KiB", size.entries, size.bytes / 1_024);
        }
        println!();
    }
    for (what, apart) in
        [("none", usize::MAX), ("one in 100", 100), ("one in ten", 10), ("every other one", 2)]
    {
        println!("rows that take the place of each other, {what} gone {:>8.0}", revised(&records, apart));
    }
    let mut decoder = Decoder::json(&schema(), &[0, 1, 2, 3, 4, 5, 6, 7, 8]).expect("a schema");
    for rows in [20, 1_000, 8_192] {
        let mut batches = Vec::new();
        for chunk in records.chunks(rows) {
            for (_, record) in chunk {
                decoder.push(record).expect("a good record");
            }
            batches.push((batches.len() as u32 % 600, decoder.finish()));
        }
        let ns = from_columns(&batches, 600, records.len());
        println!(
            "aggregation, batches of {rows:<5} rows of 600 partitions {ns:>6.0} ns a row, {:.1} M rows/s",
            1_000.0 / ns
        );
    }
    let count = if testing { 4_000 } else { 1_000_000 };
    println!(
        "{count} rows of 400 keys, 64 partitions, 1,000 a second, a commit each second; a result for each key and window"
    );
    for (overlap, from) in [
        (1, "TUMBLE(sales, at, INTERVAL '1 second')"),
        (5, "HOP(sales, at, INTERVAL '1 second', INTERVAL '5 seconds')"),
        (60, "HOP(sales, at, INTERVAL '1 second', INTERVAL '60 seconds')"),
        (300, "HOP(sales, at, INTERVAL '1 second', INTERVAL '300 seconds')"),
        (1_000, "HOP(sales, at, INTERVAL '1 second', INTERVAL '1000 seconds')"),
        (300, "CUMULATE(sales, at, INTERVAL '1 second', INTERVAL '300 seconds')"),
    ] {
        println!(
            "windows overlapping {overlap:<6}{:>8.0} ns a row   {from}",
            overlapping(from, count, STORES)
        );
    }
    println!("{count} rows of random keys, as above; a result for each session");
    for keys in [100, 10_000, 1_000_000] {
        // About as long as it takes that a key comes again: some rows begin a session, some go on with one.
        let gap = keys / 1_000 + 1;
        let from = format!("SESSION(sales, at, INTERVAL '{gap} seconds', store_id)");
        println!("sessions of {keys:<9} keys {:>8.0} ns a row   {from}", overlapping(&from, count, keys));
    }
}
