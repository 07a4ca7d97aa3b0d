//! What a stage costs beside DataFusion's own batch engine: the same query over the same columns, in batches of 8,192 rows of one
//! partition. Ours comes with watermarks, a commit each 250,000 rows and the changelog's records; DataFusion's has a plan that is
//! made beforehand, and gives its rows once. CPU time of this thread, of both; how many rows came out is held against each other.
//!
//! `cargo bench -p millstream-engine --bench batch [-- <rows> [<query>...]]`

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_engine::sql::Keep;
use millstream_engine::stage::{OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec};
use millstream_format::Format;
use millstream_model::{KeyGroup, LateRule, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

const BATCH_ROWS: usize = 8_192;
const COMMIT_BATCHES: usize = 32;
/// Bids in a second of event time, so that a window of ten seconds has 100,000.
const PER_SECOND: usize = 10_000;

/// A query, as a stream asks it and as a batch engine does.
struct Query {
    name: &'static str,
    streaming: &'static str,
    batch: &'static str,
    /// Whether results replace each other, and how often they are sent, in milliseconds; a commit is a second.
    update_ms: Option<i64>,
}

const QUERIES: [Query; 10] = [
    Query {
        name: "computed",
        streaming: "SELECT auction, bidder, CAST(0.908 * price AS DECIMAL(23, 3)) AS euros, at, extra FROM bid",
        batch: "SELECT auction, bidder, CAST(0.908 * price AS DECIMAL(23, 3)) AS euros, at, extra FROM bid",
        update_ms: None,
    },
    Query {
        name: "filter",
        streaming: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
        batch: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
        update_ms: None,
    },
    Query {
        name: "tumble",
        streaming: "SELECT auction, window_start, COUNT(*) AS n, SUM(price) AS total, MAX(bidder) AS last
            FROM TUMBLE(bid, at, INTERVAL '10 seconds') GROUP BY auction, window_start, window_end",
        batch: "SELECT auction, date_bin(INTERVAL '10 seconds', at) AS window_start, COUNT(*) AS n, SUM(price) AS total, MAX(bidder) AS last
            FROM bid GROUP BY auction, date_bin(INTERVAL '10 seconds', at)",
        update_ms: None,
    },
    Query {
        name: "hop, rank",
        streaming: "SELECT auction, n, window_start FROM (
            SELECT *, RANK() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS place FROM (
            SELECT auction, COUNT(*) AS n, window_start, window_end
            FROM HOP(bid, at, INTERVAL '2 seconds', INTERVAL '10 seconds') GROUP BY auction, window_start, window_end))
            WHERE place = 1",
        batch: "SELECT auction, n, window_start FROM (
            SELECT *, RANK() OVER (PARTITION BY window_start ORDER BY n DESC) AS place FROM (
            SELECT auction, COUNT(*) AS n, window_start FROM (
            SELECT auction, date_bin(INTERVAL '2 seconds', at) - back AS window_start FROM bid CROSS JOIN (
            SELECT * FROM (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'), (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS v (back)))
            GROUP BY auction, window_start))
            WHERE place = 1",
        update_ms: None,
    },
    Query {
        name: "tumble, joined",
        streaming: "SELECT b.auction, b.price, b.bidder, b.at, b.extra FROM TUMBLE(bid, at, INTERVAL '10 seconds') AS b
            JOIN (SELECT window_start, window_end, MAX(price) AS highest FROM TUMBLE(bid, at, INTERVAL '10 seconds')
            GROUP BY window_start, window_end) AS m
            ON b.window_start = m.window_start AND b.window_end = m.window_end AND b.price = m.highest",
        batch: "SELECT b.auction, b.price, b.bidder, b.at, b.extra FROM (
            SELECT *, date_bin(INTERVAL '10 seconds', at) AS window_start FROM bid) AS b
            JOIN (SELECT date_bin(INTERVAL '10 seconds', at) AS window_start, MAX(price) AS highest FROM bid
            GROUP BY date_bin(INTERVAL '10 seconds', at)) AS m ON b.window_start = m.window_start AND b.price = m.highest",
        update_ms: None,
    },
    Query {
        name: "sessions",
        streaming: "SELECT bidder, window_start, COUNT(*) AS n FROM SESSION(bid, at, INTERVAL '10 seconds', bidder)
            GROUP BY bidder, window_start, window_end",
        batch: "SELECT bidder, MIN(at) AS window_start, COUNT(*) AS n FROM (
            SELECT bidder, at, SUM(begins) OVER (PARTITION BY bidder ORDER BY at) AS session FROM (
            SELECT bidder, at, CASE WHEN at - LAG(at) OVER (PARTITION BY bidder ORDER BY at) <= INTERVAL '10 seconds' THEN 0 ELSE 1 END AS begins
            FROM bid)) GROUP BY bidder, session",
        update_ms: None,
    },
    Query {
        name: "join by time",
        streaming: "SELECT a.id, b.bidder, b.price FROM auction AS a JOIN bid AS b
            ON a.id = b.auction AND b.at BETWEEN a.at AND a.at + INTERVAL '10 seconds'",
        batch: "SELECT a.id, b.bidder, b.price FROM auction AS a JOIN bid AS b
            ON a.id = b.auction AND b.at BETWEEN a.at AND a.at + INTERVAL '10 seconds'",
        update_ms: None,
    },
    Query {
        name: "join for ever",
        streaming: "SELECT a.id, b.bidder, b.price FROM auction AS a JOIN bid AS b ON a.id = b.auction WHERE a.category = 3",
        batch: "SELECT a.id, b.bidder, b.price FROM auction AS a JOIN bid AS b ON a.id = b.auction WHERE a.category = 3",
        update_ms: None,
    },
    Query {
        name: "groups",
        streaming: "SELECT auction, COUNT(*) AS n, SUM(price) AS total FROM bid GROUP BY auction",
        batch: "SELECT auction, COUNT(*) AS n, SUM(price) AS total FROM bid GROUP BY auction",
        // At the end only: it is the longest that may be.
        update_ms: Some(31_556_952_000_000),
    },
    Query {
        name: "groups, updated",
        streaming: "SELECT auction, COUNT(*) AS n, SUM(price) AS total FROM bid GROUP BY auction",
        batch: "SELECT auction, COUNT(*) AS n, SUM(price) AS total FROM bid GROUP BY auction",
        update_ms: Some(1_000),
    },
];

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn bids() -> SchemaRef {
    let number = DataType::Int64;
    schema(&[
        ("auction", number.clone()),
        ("bidder", number.clone()),
        ("price", number),
        ("at", time()),
        ("extra", DataType::Utf8),
    ])
}

fn auctions() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("category", DataType::Int64), ("at", time())])
}

/// Bids, half of them for an auction in a hundred, and an auction for each fifteen of them.
fn worlds(count: usize) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
    let mut rng = SeededRng::new(5);
    let (mut all_bids, mut all_auctions) = (Vec::new(), Vec::new());
    for from in (0..count).step_by(BATCH_ROWS) {
        let rows = from..(from + BATCH_ROWS).min(count);
        let at = |row: usize| (row * 1_000 / PER_SECOND) as i64;
        let (mut auction, mut bidder, mut price) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.clone() {
            let last = (row / 15) as u64;
            auction.push(match rng.chance(1, 2) {
                true => last / 100 * 100,
                false => last - rng.below(100.min(last + 1)),
            } as i64);
            bidder.push(rng.below(1 + row as u64 / 45) as i64);
            price.push(100 + rng.below(1_000_000) as i64);
        }
        let extra = rows.clone().map(|row| format!("{row:060}"));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(auction)),
            Arc::new(Int64Array::from(bidder)),
            Arc::new(Int64Array::from(price)),
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.clone().map(at)).with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values(extra)),
        ];
        all_bids.push(RecordBatch::try_new(bids(), columns).expect("bids"));
        let opened = rows.filter(|row| row % 15 == 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(opened.clone().map(|row| row as i64 / 15))),
            Arc::new(Int64Array::from_iter_values(opened.clone().map(|row| row as i64 / 15 % 5))),
            Arc::new(TimestampMillisecondArray::from_iter_values(opened.map(at)).with_timezone("UTC")),
        ];
        all_auctions.push(RecordBatch::try_new(auctions(), columns).expect("auctions"));
    }
    (all_bids, all_auctions)
}

/// Nanoseconds that this thread has run, as the kernel counts them: up to when it gave way last, or some milliseconds ago.
fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel with schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

fn streamed(query: &Query, bids_in: &[RecordBatch], auctions_in: &[RecordBatch]) -> (u64, usize) {
    let reads_auctions = query.streaming.contains("auction AS");
    let source = |name: &str, schema: SchemaRef| SourceSpec {
        name: name.into(),
        schema,
        frozen: false,
        format: Format::Json,
        event_time: Some("at".into()),
        watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
        // One partition has all rows of every key.
        partitioned_by: None,
        latest_by: None,
    };
    let mut sources = vec![source("bid", bids())];
    if reads_auctions {
        sources.push(source("auction", auctions()));
    }
    let inputs = sources.iter().map(|source| source.name.clone()).collect();
    let mut stage = Stage::build(StageSpec {
        id: "stage".into(),
        sources,
        key_groups: 1,
        changelog_partitions: 1,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "result-1".into(),
            name: "result".into(),
            inputs,
            kind: OperatorKind::Sql {
                sql: query.streaming.into(),
                late: LateRule::default(),
                update_ms: query.update_ms,
                keep: (query.name == "join for ever").then_some(Keep::ForEver),
            },
        }],
        outputs: BTreeSet::from(["result".to_owned()]),
        batch_rows: BATCH_ROWS,
    })
    .expect("a stage");
    let group = KeyGroup(0);
    stage.assign(group, 0);
    // The stage reads only what its query does.
    let read = |source: usize, batch: &RecordBatch| {
        let read = stage.read_schema(source);
        let places = read.fields().iter().map(|f| batch.schema().index_of(f.name()).expect("a column"));
        batch.project(&places.collect::<Vec<_>>()).expect("columns")
    };
    let bids_in: Vec<RecordBatch> = bids_in.iter().map(|batch| read(0, batch)).collect();
    let auctions_in: Vec<RecordBatch> = match reads_auctions {
        true => auctions_in.iter().map(|batch| read(1, batch)).collect(),
        false => Vec::new(),
    };
    let start = cpu_ns();
    let mut rows = 0;
    // Whoever runs a stage takes what comes out of each turn, as a batch engine's caller takes each batch.
    let mut take = |stage: &mut Stage| {
        let outputs = black_box(stage.take_outputs());
        rows += outputs.batches.iter().map(|given| given.batch.num_rows()).sum::<usize>();
    };
    let commit = |stage: &mut Stage, now| drop(black_box(stage.commit(now).expect("a commit")));
    let mut now = 0;
    for (at, batch) in bids_in.iter().enumerate() {
        if let Some(auctions) = auctions_in.get(at) {
            stage.push_batch(1, (group, at as i64), auctions).expect("an assigned partition");
        }
        stage.push_batch(0, (group, at as i64), batch).expect("an assigned partition");
        if stage.is_full() {
            stage.turn(now).expect("a turn");
            take(&mut stage);
        }
        if at % COMMIT_BATCHES == COMMIT_BATCHES - 1 {
            // Results that replace each other are sent with each commit.
            now += 1_000;
            commit(&mut stage, now);
            take(&mut stage);
        }
    }
    stage.finish(0, group, now).expect("an end");
    if reads_auctions {
        stage.finish(1, group, now).expect("an end");
    }
    stage.turn(now + 1_000).expect("a turn");
    for at in [now + 1_000, now + 2_000] {
        commit(&mut stage, at);
        take(&mut stage);
    }
    (cpu_ns() - start, rows)
}

async fn batched(query: &Query, bids_in: &[RecordBatch], auctions_in: &[RecordBatch]) -> (u64, usize) {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    for (name, schema, batches) in [("bid", bids(), bids_in), ("auction", auctions(), auctions_in)] {
        let table = MemTable::try_new(schema, vec![batches.to_vec()]).expect("a table");
        context.register_table(name, Arc::new(table)).expect("a new name");
    }
    let plan = context.sql(query.batch).await.expect("a query").create_physical_plan().await.expect("a plan");
    let start = cpu_ns();
    let mut rows = execute_stream(plan, context.task_ctx()).expect("a stream");
    let mut count = 0;
    while let Some(batch) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
        count += black_box(batch.expect("rows")).num_rows();
    }
    (cpu_ns() - start, count)
}

fn main() {
    // `cargo test` runs benchmarks once to see that they work; a few rows do for that.
    let testing = !std::env::args().any(|a| a == "--bench");
    let asked = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let count: usize = asked.unwrap_or(if testing { 40_000 } else { 2_000_000 });
    let only: Vec<String> =
        std::env::args().skip(1).filter(|a| QUERIES.iter().any(|q| q.name == a.as_str())).collect();
    let (bids_in, auctions_in) = worlds(count);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!("{count} bids, CPU ns of each; the least of three runs");
    for query in QUERIES.iter().filter(|query| only.is_empty() || only.iter().any(|o| o == query.name)) {
        let (mut ours, mut theirs) = (u64::MAX, u64::MAX);
        for _ in 0..if testing { 1 } else { 3 } {
            let (ns, rows) = streamed(query, &bids_in, &auctions_in);
            ours = ours.min(ns);
            let (ns, batch_rows) = runtime.block_on(batched(query, &bids_in, &auctions_in));
            theirs = theirs.min(ns);
            let agree = if query.update_ms.is_some() { rows >= batch_rows } else { rows == batch_rows };
            assert!(agree, "{}: {rows} rows, and {batch_rows} of DataFusion", query.name);
        }
        let each = |ns: u64| ns as f64 / count as f64;
        println!(
            "{:<16}{:>8.0}{:>8.0} of DataFusion{:>7.2} times",
            query.name,
            each(ours),
            each(theirs),
            ours as f64 / theirs as f64
        );
    }
}
