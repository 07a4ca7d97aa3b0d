//! The stage in a small simulated world: partitions of records, one or two workers, commits, crashes, moved
//! partitions. What was committed in the end must be what a batch gives: repeats and late rows by a reference written
//! row by row, aggregates by DataFusion's batch engine on the same SQL (SM-2, SM-3). One `check()` over many seeds.

mod as_of;
mod batch;
mod beside;
mod copies;
mod divide;
mod edges;
mod failing;
mod functions;
mod grammar;
mod groups;
mod joins;
mod kept;
mod lists;
mod lookups;
mod over_time;
mod portions;
mod reference;
mod semi;
mod spilling;
mod stored;
mod update_joins;
mod updates;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use millstream_model::{
    KeyGroup, LateRule, LateThen, Sessions, WatermarkConfig, Window, WindowError, Windows,
};
use millstream_types::{Rng, SeededRng};

use super::{
    FAILED_EXPRESSION, FailedAt, OperatorKind, OperatorSpec, Outputs, Restore, SourceSpec, Stage,
    StageProblem, StageSpec, TableSpec, TimeBounds,
};
use crate::state::ChangelogEntry;
use crate::state::snapshots::{SnapshotMark, deletable_below};
use beside::Beside;
use grammar::Rows;
use millstream_format::Decoder;
use reference::{batch_answer, reference};

const DELAY_MS: i64 = 2_000;
const WITHIN_MS: i64 = 60_000;
const ALLOW_MS: i64 = 3_000;
/// The size of tumbling windows.
const SIZE_MS: i64 = 5_000;
/// How many stores the table knows; worlds have more.
const STORES: usize = 7;
const OPERATORS: [&str; 3] = ["unique-1", "revenue-1", beside::ID];

/// A window function, and the windows that it stands for.
type Cut = (&'static str, fn() -> Result<Windows, WindowError>);

const CUTS: &[Cut] = &[
    ("TUMBLE(unique, issued_at, INTERVAL '5 seconds')", || Windows::tumble(SIZE_MS)),
    ("HOP(unique, issued_at, INTERVAL '2 seconds', INTERVAL '6 seconds')", || Windows::hop(2_000, 6_000)),
    // Slices of half a second, 9 to a window, which is no whole number of slides.
    ("HOP(unique, issued_at, INTERVAL '2 seconds', INTERVAL '4.5 seconds')", || Windows::hop(2_000, 4_500)),
    ("HOP(unique, issued_at, INTERVAL '20 seconds', INTERVAL '10 minutes')", || {
        Windows::hop(20_000, 600_000)
    }),
    ("CUMULATE(unique, issued_at, INTERVAL '3 seconds', INTERVAL '15 seconds')", || {
        Windows::cumulate(3_000, 15_000)
    }),
];

/// Queries over a cut. Those that group by `window_start` alone do not run over CUMULATE.
const QUERIES: &[&str] = &[
    "SELECT i.store_id, s.city, i.window_start, i.window_end, COUNT(*) AS invoices, SUM(i.total) AS revenue
     FROM {cut} AS i JOIN stores AS s ON s.store_id = i.store_id
     GROUP BY i.store_id, s.city, i.window_start, i.window_end",
    "SELECT store_id, window_end, min(total) AS low, max(total) AS high, avg(total) AS mean, count(qty) AS n,
     count(DISTINCT qty) AS kinds, sum(qty) FILTER (WHERE qty > 3) AS many, min(invoice_id) AS first
     FROM {cut} GROUP BY store_id, window_end HAVING count(*) > 1",
    "SELECT i.store_id, i.window_end, count(*) AS n, max(i.window_start) AS start,
     count(*) FILTER (WHERE i.issued_at >= i.window_end - INTERVAL '1 second') AS last_second
     FROM {cut} AS i GROUP BY i.store_id, i.window_end",
    "SELECT i.store_id, i.invoice_id, i.window_start, i.window_end FROM {cut} AS i WHERE i.qty > 2",
    "SELECT i.store_id, i.qty, i.window_start, median(i.total) AS m, first_value(i.invoice_id ORDER BY i.invoice_id) AS a,
     count(*) * 2 AS twice, bool_or(i.qty > 4) AS any_many
     FROM {cut} AS i LEFT JOIN stores s ON s.store_id = i.store_id
     WHERE i.total > 20 GROUP BY i.store_id, i.qty, i.window_start",
    "SELECT DISTINCT store_id, qty, window_start FROM {cut}",
    "SELECT store_id, qty, window_end, n, place, of_all, before FROM (
       SELECT *, rank() OVER (PARTITION BY store_id, window_end ORDER BY n DESC) AS place,
       sum(n) OVER (PARTITION BY window_end, store_id) AS of_all,
       lag(n) OVER (PARTITION BY store_id, window_end ORDER BY qty NULLS FIRST) AS before
       FROM (SELECT store_id, qty, window_end, count(*) AS n FROM {cut} GROUP BY store_id, qty, window_end))
     WHERE place <= 2",
    "SELECT store_id, qty, window_end, n, dense_rank() OVER (PARTITION BY store_id, window_end ORDER BY n) AS place
     FROM (SELECT store_id, qty, window_end, count(*) AS n FROM {cut} GROUP BY store_id, qty, window_end HAVING count(*) > 4)",
    "SELECT store_id, qty, window_end, sum(total) AS total FROM {cut} GROUP BY store_id, qty, window_end
     QUALIFY row_number() OVER (PARTITION BY store_id, window_end ORDER BY sum(total) DESC, qty) <= 3",
    "SELECT store_id, qty, total > 50 AS large, window_end, grouping(qty, total > 50) AS level, count(*) AS n, count(DISTINCT qty) AS kinds,
     median(total) AS m, max(invoice_id) AS id FROM {cut} GROUP BY store_id, window_end, ROLLUP (qty, total > 50)",
    "SELECT store_id, qty, window_start, window_end, count(*) AS n, sum(total) AS revenue, grouping(qty) AS g
     FROM {cut} GROUP BY GROUPING SETS ((store_id, qty, window_start, window_end), (window_end, store_id), (store_id, window_end))",
    "SELECT store_id, city, qty, window_end, n, start, rank() OVER (PARTITION BY store_id, window_end, level ORDER BY n DESC) AS place FROM
     (SELECT i.store_id, s.city, i.qty, i.window_end, grouping(s.city, i.qty) AS level, count(*) FILTER (WHERE i.qty > 1) AS n,
      max(i.window_start) AS start FROM {cut} AS i LEFT JOIN stores AS s ON s.store_id = i.store_id
      GROUP BY i.store_id, i.window_end, CUBE (s.city, i.qty) HAVING count(*) > 1)",
    "SELECT store_id, window_end, array_agg(invoice_id ORDER BY invoice_id DESC) AS ids, array_agg(DISTINCT qty ORDER BY qty) AS kinds,
     string_agg(invoice_id, ', ' ORDER BY issued_at, invoice_id) AS text, string_agg(DISTINCT store_id, '+' ORDER BY store_id) AS stores,
     sum(DISTINCT qty) AS apart, avg(DISTINCT total) AS mean, median(DISTINCT qty) AS middle,
     percentile_cont(0.9) WITHIN GROUP (ORDER BY total) AS high FROM {cut} GROUP BY store_id, window_end",
    // No number is a key as any other: 0 / 0; and so is what is beyond all.
    "SELECT store_id, CAST(qty AS DOUBLE) / CAST(0 AS DOUBLE) AS ratio, window_end, count(*) AS n, count(DISTINCT CAST(qty AS DOUBLE) / 0e0) AS kinds,
     max(CAST(qty AS DOUBLE) / CAST(0 AS DOUBLE)) AS most FROM {cut} GROUP BY store_id, CAST(qty AS DOUBLE) / CAST(0 AS DOUBLE), window_end",
    // What is a whole number of half cents is rounded up or down as sums come; a little more lies on no bound.
    "SELECT store_id, qty, window_end, round(covar_samp(qty, total), 4) AS a, round(covar_pop(total, qty), 4) AS b, regr_count(qty, total) AS c,
     round(regr_slope(total, qty), 4) AS d, round(regr_avgx(total, qty), 4) AS e, round(regr_syy(total, qty) + 0.00301, 2) AS f, round(var(total) + 0.00301, 2) AS g,
     round(stddev(qty), 4) AS h, round(corr(total, CAST(right(invoice_id, 1) AS INT)), 4) AS i FROM {cut} GROUP BY store_id, qty, window_end",
    // Every partition has rows of every key: its first character is that of its invoices, and tells a batch engine its groups.
    "SELECT min(left(invoice_id, 1)) AS partition, qty, window_start, window_end, count(*) AS n, sum(total) AS revenue
     FROM {cut} GROUP BY left(invoice_id, 1), qty, window_start, window_end",
    "SELECT max(left(invoice_id, 1)) AS partition, qty, total > 50 AS large, window_end, count(DISTINCT qty) AS kinds, median(total) AS m
     FROM {cut} GROUP BY left(invoice_id, 1), qty, total > 50, window_end HAVING count(*) > 1",
];

/// Rows are kept by their partition, where no column says which it is.
const PARTITION: &str = "GROUP BY left(invoice_id, 1), ";

/// Queries that can send rows again, by their place, with how many of their first columns name a row.
const UPDATING: &[(usize, usize)] = &[(0, 4), (2, 2), (4, 3), (5, 3), (9, 5), (12, 2), (15, 4)];

/// Sessions: how the query has them, their gap, and the key of an invoice there; no key where the query leaves it out.
type SessionCut = (&'static str, i64, fn(&Invoice) -> Option<String>);

const SESSION_CUTS: &[SessionCut] = &[
    ("SESSION(unique, issued_at, INTERVAL '1 second', store_id)", 1_000, |i| Some(i.store.clone())),
    ("SESSION(unique, issued_at, INTERVAL '2.5 seconds', store_id, qty)", 2_500, |i| {
        Some(format!("{} {:?}", i.store, i.qty))
    }),
    (
        "SESSION((SELECT * FROM unique WHERE total > 20), issued_at, INTERVAL '8 seconds', qty, store_id)",
        8_000,
        |i| (i.cents > 2_000).then(|| format!("{} {:?}", i.store, i.qty)),
    ),
];

/// Queries over sessions.
const SESSION_QUERIES: &[&str] = &[
    "SELECT store_id, qty, window_start, window_end, count(*) AS n, sum(total) AS revenue, min(issued_at) AS first,
     max(issued_at) AS last FROM {cut} GROUP BY store_id, qty, window_start, window_end",
    "SELECT a.store_id, a.n, a.m, a.kinds, a.high, a.window_end - a.window_start AS long, s.city FROM (
       SELECT store_id, qty, window_end, window_start, count(*) AS n, median(total) AS m, max(total) AS high,
       count(DISTINCT total) AS kinds, first_value(invoice_id ORDER BY invoice_id) AS one, bool_or(total > 50) AS large
       FROM {cut} WHERE store_id <> 'S3' GROUP BY store_id, qty, window_start, window_end) AS a
     JOIN stores AS s ON s.store_id = a.store_id WHERE a.n > 1",
    "SELECT store_id, qty, total > 40 AS large, window_start, window_end, count(*) AS n, avg(total) AS mean,
     sum(qty) FILTER (WHERE total < 60) AS some, max(invoice_id) AS id
     FROM {cut} GROUP BY store_id, qty, total > 40, window_start, window_end",
    "SELECT store_id, qty, total > 40 AS large, window_start, window_end, grouping(total > 40) AS g, count(*) AS n, sum(total) AS revenue
     FROM {cut} GROUP BY GROUPING SETS ((store_id, qty, window_start, window_end), (qty, store_id, total > 40, window_end))",
];

/// One of the queries over tumbling windows.
fn tumbling(query: usize) -> String {
    QUERIES[query].replace("{cut}", CUTS[0].0)
}

/// A query of the rig.
#[derive(Clone, Debug)]
struct Asked {
    text: String,
    cut: String,
    /// What stands for the cut where the rows are at rest, with their windows.
    at_rest: String,
    by: By,
    /// Of a query that sends rows again: how many columns name a row.
    keys: Option<usize>,
    /// Whether windows that have not fired send too, and whether those that have do until they close.
    early: bool,
    again: bool,
    /// A query before the windows which cannot be computed for rows whose `qty` is 5.
    fails: Option<&'static str>,
    /// Of a query that was drawn: what the batch engine says of each row.
    rows: Option<Rc<Rows>>,
}

/// Such queries.
const FAILING: &[&str] = &[
    "SELECT total, store_id, issued_at, invoice_id, qty, note, paid, weight, delta, tags, 100 / (qty - 5) AS other FROM unique WHERE total >= 0",
    "SELECT total, store_id, issued_at, invoice_id, qty, note, paid, weight, delta, tags FROM unique WHERE qty IS NULL OR 100 / (qty - 5) < 1000",
    "SELECT total, store_id, issued_at, invoice_id, qty, note, paid, weight, delta, tags,
     CAST(CASE WHEN qty = 5 THEN 'five' ELSE '5' END AS INT) AS other FROM unique",
    "SELECT u.total, u.store_id, u.issued_at, u.invoice_id, u.qty, u.note, u.paid, u.weight, u.delta, u.tags, s.city FROM unique AS u
     LEFT JOIN stores AS s ON s.store_id = concat('S', CAST(10 / (u.qty - 5) AS VARCHAR))",
];

#[derive(Clone, Debug)]
enum By {
    Windows(Windows),
    Sessions(Sessions, fn(&Invoice) -> Option<String>),
}

impl Asked {
    fn new(text: impl Into<String>, cut: impl Into<String>, by: By) -> Asked {
        Asked {
            text: text.into(),
            cut: cut.into(),
            at_rest: "windowed".to_owned(),
            by,
            keys: None,
            early: false,
            again: false,
            fails: None,
            rows: None,
        }
    }

    fn any(rng: &mut SeededRng) -> Asked {
        if rng.chance(1, 3) {
            let (cut, gap, key) = SESSION_CUTS[rng.below(SESSION_CUTS.len() as u64) as usize];
            let text = SESSION_QUERIES[rng.below(SESSION_QUERIES.len() as u64) as usize];
            let by = By::Sessions(Sessions::new(gap).expect("a good gap"), key);
            return Asked::new(text, cut, by);
        }
        loop {
            let (cut, windows) = CUTS[rng.below(CUTS.len() as u64) as usize];
            let query = rng.below(QUERIES.len() as u64) as usize;
            let text = QUERIES[query];
            let windows = windows().expect("good spans");
            let keys = UPDATING.iter().find(|(at, _)| *at == query).map(|(_, keys)| *keys);
            let (early, again) = (rng.chance(1, 2), rng.chance(1, 2));
            let keys = keys.filter(|_| early || again);
            let (early, again) = (early && keys.is_some(), again && keys.is_some());
            if windows.start_is_unique() || text.contains("window_end") {
                return Asked { keys, early, again, ..Asked::new(text, cut, By::Windows(windows)) };
            }
        }
    }

    fn sql(&self) -> String {
        self.text.replace("{cut}", &self.cut).replace(PARTITION, "GROUP BY ")
    }

    /// Whether its windows fire; rows are never late for the others.
    fn fires(&self) -> bool {
        self.text.contains("GROUP BY") || self.text.contains("SELECT DISTINCT")
    }

    /// Whether a row comes to the windows: a filter below them takes it out before it can be late.
    fn is_judged(&self, invoice: &Invoice) -> bool {
        match &self.rows {
            Some(rows) => rows.judges(invoice),
            None => !self.text.contains("i.total > 20") || invoice.cents > 2_000,
        }
    }

    /// Whether a row counts in a window that takes it: a filter may drop it, or an inner join that finds no store for it. It is
    /// judged by its windows all the same, and alone in one it makes it give nothing.
    fn holds(&self, invoice: &Invoice, window: Window) -> bool {
        let is_known = || invoice.store[1..].parse::<usize>().expect("a number") < STORES;
        match &self.rows {
            Some(rows) => rows.counts(invoice, window),
            None => self.is_judged(invoice) && (!self.text.contains("i JOIN stores") || is_known()),
        }
    }

    /// The key of its session; nothing where a filter takes it out before.
    fn session_key(&self, invoice: &Invoice) -> Option<String> {
        match (&self.rows, &self.by) {
            (Some(rows), _) => rows.session_key(invoice),
            // A filter on the keys of sessions goes below them.
            (None, By::Sessions(..)) if self.text.contains("'S3'") && invoice.store == "S3" => None,
            (None, By::Sessions(_, key)) => key(invoice),
            (None, By::Windows(_)) => None,
        }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("invoice_id", DataType::Utf8, false),
        Field::new("store_id", DataType::Utf8, false),
        Field::new("issued_at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("qty", DataType::Int32, true),
        Field::new("total", DataType::Decimal128(18, 2), false),
        Field::new("note", DataType::Utf8, true),
        Field::new("paid", DataType::Boolean, true),
        Field::new("weight", DataType::Float64, true),
        Field::new("delta", DataType::Int64, true),
        Field::new("tags", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), true),
    ]))
}

fn decoder() -> Decoder {
    let columns: Vec<usize> = (0..schema().fields().len()).collect();
    Decoder::json(&schema(), &columns).expect("a schema")
}

fn stores() -> RecordBatch {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..7).map(|i| format!("S{i}"))));
    let cities: ArrayRef = Arc::new(StringArray::from_iter_values((0..7).map(|i| format!("city {}", i % 3))));
    RecordBatch::try_from_iter([("store_id", ids), ("city", cities)]).expect("a table")
}

fn spec(
    partitions: u32,
    changelog_partitions: u32,
    query: &str,
    update_ms: Option<i64>,
    batch_rows: usize,
) -> StageSpec {
    StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "invoices".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: Some("issued_at".into()),
            watermark: WatermarkConfig { delay_ms: DELAY_MS, idle_after_ms: Some(1), bounded: true },
            partitioned_by: Some(vec!["store_id".into()]),
            latest_by: None,
        }],
        key_groups: partitions,
        changelog_partitions,
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: BTreeMap::new(),
        operators: vec![
            OperatorSpec {
                id: OPERATORS[0].into(),
                name: "unique".into(),
                inputs: vec!["invoices".into()],
                kind: OperatorKind::Dedupe {
                    key: vec!["store_id".into(), "invoice_id".into()],
                    within_ms: WITHIN_MS,
                    late_by_ms: None,
                },
            },
            OperatorSpec {
                id: OPERATORS[1].into(),
                name: "revenue".into(),
                inputs: vec!["unique".into(), "stores".into()],
                kind: OperatorKind::Sql {
                    sql: query.to_owned(),
                    late: LateRule { allow_ms: ALLOW_MS, updates: false, then: LateThen::DeadLetter },
                    update_ms,
                    keep: None,
                },
            },
        ],
        outputs: BTreeSet::from(["unique".to_owned(), "revenue".to_owned()]),
        batch_rows,
    }
}

/// With a query before the windows, which renames what it does not need to, and one behind them.
fn chained(mut spec: StageSpec, fails: Option<&str>) -> StageSpec {
    let query = |name: &str, input: &str, sql: &str| OperatorSpec {
        id: format!("{name}-1"),
        name: name.into(),
        inputs: vec![input.into()],
        kind: OperatorKind::Sql { sql: sql.into(), late: LateRule::default(), update_ms: None, keep: None },
    };
    let mut windows = spec.operators.pop().expect("the windows");
    windows.inputs[0] = "kept".into();
    if let OperatorKind::Sql { sql, .. } = &mut windows.kind {
        *sql = sql.replace("unique", "kept");
    }
    let kept = "SELECT total, store_id, issued_at, invoice_id, qty, note, paid, weight, delta, tags, upper(store_id) AS other FROM unique WHERE total >= 0";
    let mut kept = query("kept", "unique", fails.unwrap_or(kept));
    kept.inputs.push("stores".into());
    spec.operators.push(kept);
    spec.operators.push(windows);
    spec.operators.push(query("seen", "revenue", "SELECT * FROM revenue"));
    spec.outputs.insert("seen".into());
    spec
}

/// A record as the generator made it.
#[derive(Clone, Debug)]
struct Invoice {
    id: String,
    store: String,
    at: i64,
    qty: Option<i64>,
    cents: i64,
}

impl Invoice {
    /// What no other that counts has.
    fn name(&self) -> (&str, &str, i64) {
        (&self.store, &self.id, self.at)
    }

    fn json(&self) -> Bytes {
        let qty = self.qty.map_or("null".to_owned(), |q| q.to_string());
        let total = format!("{}.{:02}", self.cents / 100, self.cents % 100);
        let mut seed = self.id.bytes().fold(self.cents as u64, |seed, byte| seed * 131 + u64::from(byte));
        seed += self.store.len() as u64;
        let rng = &mut SeededRng::new(seed);
        let or_null =
            |rng: &mut SeededRng, text: String| if rng.chance(1, 6) { "null".to_owned() } else { text };
        let word = |rng: &mut SeededRng| format!("\"{}\"", WORDS[rng.below(WORDS.len() as u64) as usize]);
        let note = word(rng);
        let note = or_null(rng, note);
        let paid = rng.chance(1, 2).to_string();
        let paid = or_null(rng, paid);
        // Sums of quarters are exact, in any order.
        let weight = (rng.below(200) as f64 - 100.0) / 4.0;
        let weight = or_null(rng, weight.to_string());
        let span = [5, 2_000][rng.below(2) as usize];
        let delta = rng.below(span) as i64 - span as i64 / 2;
        let delta = or_null(rng, delta.to_string());
        let count = rng.below(4);
        let tags: Vec<String> = (0..count).map(|_| word(rng)).collect();
        let tags = or_null(rng, format!("[{}]", tags.join(",")));
        let (id, store, at) = (&self.id, &self.store, self.at);
        format!(
            r#"{{"invoice_id":"{id}","store_id":"{store}","issued_at":{at},"qty":{qty},"total":{total},"note":{note},"paid":{paid},"weight":{weight},"delta":{delta},"tags":{tags}}}"#
        )
        .into()
    }
}

/// What notes and tags say, as JSON has it.
const WORDS: &[&str] = &[
    "a",
    "b",
    "ab",
    "",
    "Ä ö",
    "100%",
    "a_b",
    "o'x",
    "日本",
    " pad ",
    "say \\\"q\\\"",
    "back\\\\slash",
    "S1",
];

/// The records of each partition: `None` is one that is no JSON.
type Logs = Vec<Vec<Option<Invoice>>>;

/// Records in order up to twice the delay, a few of them hours late; repeats, some of them with other content; stores
/// that share a partition; partitions of very different times, one of them perhaps empty.
fn random_logs(rng: &mut SeededRng) -> Logs {
    let partitions = 1 + rng.below(6) as usize;
    // Coarse times often lie just on a bound.
    let grain = if rng.chance(1, 2) { 500 } else { 1 };
    let mut logs: Logs = Vec::new();
    for partition in 0..partitions {
        let mut now = 1_000_000 + rng.below(3) as i64 * 3_600_000;
        let mut log: Vec<Option<Invoice>> = Vec::new();
        let count = if rng.chance(1, 6) { 0 } else { rng.below(200) };
        for i in 0..count {
            let step = if rng.chance(1, 30) { 40_000 } else { 600 };
            now += rng.below(step) as i64;
            let known: Vec<Invoice> = log.iter().flatten().cloned().collect();
            if rng.chance(1, 12) && !known.is_empty() {
                let mut again = known[rng.below(known.len() as u64) as usize].clone();
                if rng.chance(1, 4) {
                    again.cents += 1;
                }
                if rng.chance(1, 4) {
                    again.at = now / grain * grain;
                }
                log.push(Some(again));
                continue;
            }
            if rng.chance(1, 40) {
                log.push(None);
                continue;
            }
            let back = if rng.chance(1, 25) { rng.below(200_000) } else { rng.below(2 * DELAY_MS as u64) };
            log.push(Some(Invoice {
                id: format!("{partition}-{i}"),
                store: format!("S{}", partition + partitions * rng.below(2) as usize),
                at: (now - back as i64) / grain * grain,
                qty: (!rng.chance(1, 8)).then(|| rng.below(6) as i64),
                cents: rng.below(10_000) as i64,
            }));
        }
        logs.push(log);
    }
    logs
}

/// What the stage gives for the records, by rules applied to one record after the other.
#[derive(Debug, Default)]
struct Expected {
    unique: Vec<Invoice>,
    /// With the windows that take them.
    on_time: Vec<(Invoice, Vec<Window>)>,
    /// Rows that only some of their windows took.
    partly: usize,
    /// Rows that came when a window which takes them had ended.
    behind: usize,
    /// Sessions that became one by a row, and rows that a session would have taken had it not fired.
    joined: usize,
    missed: usize,
    late: BTreeSet<(u32, i64)>,
    conflicting: BTreeSet<(u32, i64)>,
    too_late: BTreeSet<(u32, i64)>,
    rejected: BTreeSet<(u32, i64)>,
    /// Records for which a query cannot be computed.
    failed: BTreeSet<(u32, i64)>,
    /// Rows that are late by what the end of an earlier run closed, and not by their watermark.
    ended: usize,
    beside: Beside,
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: &ArrayRef, row| match column.as_string_opt::<i32>() {
        // It is no null.
        Some(text) if text.is_valid(row) && text.value(row).is_empty() => "''".to_owned(),
        _ => array_value_to_string(column, row).expect("a printable value"),
    };
    let line = |row| batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

/// What has been committed to topics.
#[derive(Default)]
struct Broker {
    /// By operator and partition; what lies below `cut` was deleted.
    changelog: BTreeMap<(String, u32), Changelog>,
    changelog_partitions: u32,
    /// How often a changelog was cut.
    cuts: usize,
    offsets: BTreeMap<u32, usize>,
    unique: Vec<String>,
    revenue: Vec<String>,
    seen: Vec<String>,
    beside: Beside,
    aside: BTreeMap<String, Vec<(u32, i64)>>,
}

#[derive(Default)]
struct Changelog {
    records: Vec<Bytes>,
    cut: usize,
    marks: Vec<SnapshotMark>,
    store: stored::Store,
}

struct Worker {
    stage: Stage,
    stored: stored::Taking,
    owned: BTreeSet<u32>,
    position: BTreeMap<u32, usize>,
}

struct World {
    logs: Vec<Vec<Bytes>>,
    /// How much of each log there is by now, and was at the end of each run before.
    ends: Vec<usize>,
    runs: Vec<Vec<usize>>,
    broker: Broker,
    query: String,
    update_ms: Option<i64>,
    again: bool,
    /// Whether queries without state stand before and behind the windows.
    chained: bool,
    fails: Option<&'static str>,
    /// How many of four snapshots go to a store outside of the changelog.
    stored: u64,
    now: i64,
    standby: copies::Follower,
}

impl World {
    fn stage(&self, rng: &mut SeededRng) -> Stage {
        let spec = self.spec(1 + rng.below(100) as usize);
        let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
        stage.load_table("stores", &stores()).expect("the table");
        stage
    }

    fn spec(&self, batch_rows: usize) -> StageSpec {
        let partitions = (self.logs.len() as u32, self.broker.changelog_partitions);
        let mut spec = spec(partitions.0, partitions.1, &self.query, self.update_ms, batch_rows);
        // What does not ask for the store has no column that the topic is divided by.
        if !self.query.contains("store_id") {
            spec.sources[0].partitioned_by = None;
        }
        if let OperatorKind::Sql { late, .. } = &mut spec.operators[1].kind {
            late.updates = self.again;
        }
        let mut spec = if self.chained { chained(spec, self.fails) } else { spec };
        spec.operators.push(beside::operator("unique", "store_id", "issued_at"));
        spec.outputs.insert(beside::NAME.into());
        spec
    }

    fn worker(&self, rng: &mut SeededRng) -> Worker {
        let (owned, position) = (BTreeSet::new(), BTreeMap::new());
        Worker { stage: self.stage(rng), stored: stored::Taking::default(), owned, position }
    }

    /// Gives partitions to a worker, by their changelog.
    fn restore(&mut self, worker: &mut Worker, groups: &[u32]) {
        let left = self.standby.give(&mut worker.stage, groups, &self.broker, self.now);
        let mut restore = Restore::new(left.iter().map(|g| KeyGroup(*g)));
        for ((_, partition), changelog) in &self.broker.changelog {
            let of = left.iter().copied().filter(|g| g % self.broker.changelog_partitions == *partition);
            for value in changelog.read(of) {
                restore.apply(&mut worker.stage, &value).expect("a record of ours");
            }
        }
        restore.finish(&mut worker.stage, self.now).expect("a restore");
        for group in groups {
            worker.owned.insert(*group);
            worker.position.insert(*group, self.broker.offsets.get(group).copied().unwrap_or(0));
        }
    }

    fn commit(&mut self, worker: &mut Worker, rng: &mut SeededRng) {
        let records = worker.stage.commit(self.now).expect("a commit");
        self.publish(worker, rng);
        for record in records {
            if let ChangelogEntry::State { operator, .. } = &record.entry {
                record.groups.iter().for_each(|group| worker.stored.held.changed(operator, group.0));
            }
            // Watermarks go with any of them.
            let any = OPERATORS[rng.below(3) as usize];
            let operator = record.entry.operator().unwrap_or(any);
            self.changelog(operator, record.partition).records.push(record.entry.encode());
        }
        if rng.chance(1 + self.stored, 3 + self.stored) {
            match rng.below(4) < self.stored {
                true => self.store(worker, rng),
                false => self.snapshot(worker, rng),
            }
        }
        for group in &worker.owned {
            self.broker.offsets.insert(*group, worker.position[group]);
        }
        let outputs = worker.stage.take_outputs();
        self.take(outputs);
        self.standby.change(self.logs.len() as u32, rng);
        if rng.chance(1, 2) {
            self.standby.follow(&self.broker, || rng.chance(7, 8));
        }
        spilling::spill(&mut worker.stage, rng);
    }

    fn changelog(&mut self, operator: &str, partition: u32) -> &mut Changelog {
        self.broker.changelog.entry((operator.to_owned(), partition)).or_default()
    }

    /// A snapshot of what a worker has in one partition of a changelog, which is then cut as far as it may be.
    fn snapshot(&mut self, worker: &mut Worker, rng: &mut SeededRng) {
        let partitions = self.broker.changelog_partitions;
        let partition = rng.below(u64::from(partitions)) as u32;
        let operator = OPERATORS[rng.below(3) as usize];
        let key_groups = self.logs.len() as u32;
        // All of its key groups, or some.
        let mut groups = worker.stage.groups_of(partition);
        groups.retain(|_| rng.chance(3, 4));
        let records = worker.stage.snapshot(operator, partition, groups).expect("a snapshot");
        let changelog = self.changelog(operator, partition);
        let Some(ChangelogEntry::Reset { groups, .. }) = records.first().map(|r| r.entry.clone()) else {
            return;
        };
        let offset = changelog.records.len() as i64;
        let groups = groups.iter().map(|g| g.0).collect();
        changelog.marks.push(SnapshotMark { offset, groups, stored: None });
        changelog.records.extend(records.iter().map(|record| record.entry.encode()));
        let cut = deletable_below(changelog.marks.clone(), (partition, partitions), key_groups) as usize;
        if cut > changelog.cut {
            changelog.cut = cut;
            self.broker.cuts += 1;
        }
    }

    fn take(&mut self, outputs: Outputs) {
        for rejected in outputs.rejected {
            self.broker.aside.entry("rejected".into()).or_default().push((rejected.group.0, rejected.offset));
        }
        for failed in outputs.failed {
            assert_eq!(
                (failed.step.as_ref(), failed.reason),
                ("kept", FAILED_EXPRESSION),
                "{}",
                failed.error
            );
            let FailedAt::Record { group, offset, .. } = failed.what else {
                panic!("a row: {}", failed.error)
            };
            self.broker.aside.entry("failed".into()).or_default().push((group.0, offset));
        }
        for out in outputs.batches {
            if self.broker.beside.take(&out) {
                continue;
            }
            match out.output.as_ref() {
                "unique" => self.broker.unique.extend(lines(&out.batch)),
                "revenue" => self.broker.revenue.extend(lines(&out.batch)),
                "seen" => self.broker.seen.extend(lines(&out.batch)),
                aside => {
                    let offsets = out.offsets.expect("a row put aside has an origin");
                    let origins = out.groups.values().iter().copied().zip(offsets.values().iter().copied());
                    self.broker.aside.entry(aside.to_owned()).or_default().extend(origins);
                }
            }
        }
    }
}

/// The watermark that each invoice came behind, where it came first.
fn behind_by(logs: &Logs) -> BTreeMap<(&str, &str, i64), i64> {
    let mut behind = BTreeMap::new();
    for log in logs {
        let mut watermark = i64::MIN;
        for invoice in log.iter().flatten() {
            behind.entry(invoice.name()).or_insert(watermark);
            watermark = watermark.max(invoice.at - DELAY_MS);
        }
    }
    behind
}

/// What readers who keep the last row of each key have as of a commit: of windows that have ended, where they send again with each
/// commit, and of those that have closed, is what a batch gives over the rows so far. At the end of a run, of all windows.
fn check_so_far(seed: u64, asked: &Asked, logs: &Logs, world: &World, all: bool) {
    let broker = &world.broker;
    let of = |group: usize| broker.offsets.get(&(group as u32)).copied().unwrap_or(0);
    let so_far: Logs = logs.iter().enumerate().map(|(group, log)| log[..of(group)].to_vec()).collect();
    let times = so_far.iter().map(|log| log.iter().flatten().map(|invoice| invoice.at).max());
    let watermarks: Vec<i64> = times.map(|at| at.map_or(i64::MIN, |at| at - DELAY_MS)).collect();
    let keys = asked.keys.expect("rows that are sent again");
    let key = |line: &str| line.split('|').take(keys).map(str::to_owned).collect::<Vec<_>>();
    let last: BTreeMap<_, _> = broker.revenue.iter().map(|line| (key(line), line)).collect();
    let on_time = reference(&so_far, &world.runs, asked).on_time;
    let over = |lag: i64| -> Vec<(Invoice, Vec<Window>)> {
        let of = |(invoice, windows): &(Invoice, Vec<Window>)| {
            let store: usize = invoice.store[1..].parse().expect("a number");
            let watermark = watermarks[store % logs.len()];
            let windows = windows.iter().filter(|w| all || w.end + lag <= watermark).copied();
            (invoice.clone(), windows.collect())
        };
        on_time.iter().map(of).collect()
    };
    let exact = if asked.early { ALLOW_MS } else { 0 };
    for line in batch_answer(asked, &over(exact)) {
        let found = last.get(&key(&line)).map(|line| line.as_str());
        assert_eq!(found, Some(line.as_str()), "seed {seed}: as of a commit, {watermarks:?}, {asked:?}");
    }
    if exact > 0 {
        // A group that begins with a late row waits for the interval.
        let mut came = over(0);
        let behind = behind_by(&so_far);
        for (invoice, windows) in &mut came {
            windows.retain(|window| behind[&invoice.name()] < window.end);
        }
        let missing = batch_answer(asked, &came).into_iter().find(|line| !last.contains_key(&key(line)));
        assert_eq!(missing, None, "seed {seed}: a window has ended, and its row is missing");
    }
}

/// Runs workers over what there is of the logs. How often it was looked at what had been sent.
fn run(seed: u64, rng: &mut SeededRng, world: &mut World, asked: &Asked, logs: &Logs) -> usize {
    let mut looked = 0;
    let mut workers = Vec::new();
    for _ in 0..1 + rng.below(2) {
        workers.push(world.worker(rng));
    }
    for group in 0..world.logs.len() as u32 {
        let at = rng.below(workers.len() as u64) as usize;
        world.restore(&mut workers[at], &[group]);
    }
    let mut following = view::Following::new(world);
    let left = |worker: &Worker, world: &World| -> Vec<u32> {
        worker.owned.iter().copied().filter(|g| worker.position[g] < world.ends[*g as usize]).collect()
    };
    while workers.iter().any(|w| !left(w, world).is_empty()) {
        world.now += rng.below(50) as i64;
        let at = rng.below(workers.len() as u64) as usize;
        let worker = &mut workers[at];
        match rng.below(20) {
            0..=13 => {
                let open = left(worker, world);
                if open.is_empty() {
                    continue;
                }
                let group = open[rng.below(open.len() as u64) as usize];
                for _ in 0..1 + rng.below(40) {
                    let position = worker.position[&group];
                    let there = &world.logs[group as usize][..world.ends[group as usize]];
                    let Some(value) = there.get(position) else { break };
                    worker
                        .stage
                        .push_record(
                            0,
                            (KeyGroup(group), position as i64),
                            Some(value),
                            TimeBounds::default(),
                        )
                        .expect("an assigned partition");
                    worker.position.insert(group, position + 1);
                    if worker.stage.is_full() {
                        worker.stage.turn(world.now).expect("a turn");
                    }
                }
            }
            14 => worker.stage.turn(world.now).expect("a turn"),
            15..=17 => {
                world.commit(worker, rng);
                if asked.again && rng.chance(1, 2) {
                    check_so_far(seed, asked, logs, world, false);
                    looked += 1;
                }
                if rng.chance(1, 8) {
                    view::look(seed, asked, logs, world, &mut following);
                }
            }
            18 => {
                // A crash, or a transaction that was aborted: all since the last commit is gone.
                let groups: Vec<u32> = worker.owned.iter().copied().collect();
                let mut fresh = world.worker(rng);
                world.restore(&mut fresh, &groups);
                *worker = fresh;
            }
            _ => {
                // A partition moves to another worker, or away and back.
                world.commit(worker, rng);
                let Some(group) = worker.owned.first().copied() else { continue };
                match rng.chance(1, 2) {
                    true => worker.stage.revoke([KeyGroup(group)]).expect("a revocation"),
                    // What it had goes with what is done next.
                    false => worker.stage.close([KeyGroup(group)]),
                }
                worker.owned.remove(&group);
                worker.stored.revoke(group);
                let to = rng.below(workers.len() as u64) as usize;
                world.restore(&mut workers[to], &[group]);
            }
        }
    }
    for mut worker in workers {
        for group in worker.owned.clone() {
            worker.stage.finish(0, KeyGroup(group), world.now).expect("an end");
        }
        world.commit(&mut worker, rng);
        let open: Vec<_> = worker
            .stage
            .state_sizes()
            .iter()
            .filter(|(name, _)| *name == "revenue")
            .map(|(_, s)| s.entries)
            .collect();
        assert!(
            asked.again || open.iter().all(|windows| *windows == 0),
            "seed {seed}: windows are open after the end"
        );
    }
    if asked.again {
        check_so_far(seed, asked, logs, world, true);
    }
    looked
}

/// Runs one world to its end; returns how many rows each rule had: unique, late, conflicting, too late, results, late
/// for some of their windows; how often a changelog was cut; sessions joined, and rows that came behind their session; rows that
/// were sent before the last of their key; rows that came when their window had ended, and how often it was looked at what had been
/// sent by then; records for which a query could not be computed; rows that were late by the end of an earlier run alone, and those
/// that were so for the query beside.
fn check(seed: u64) -> [usize; 15] {
    let mut rng = SeededRng::new(seed);
    let logs = random_logs(&mut rng);
    let asked = Asked::any(&mut rng);
    check_asked(seed, &mut rng, &logs, asked).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"))
}

/// Whether a stage can be built; why it is refused.
fn refusal(spec: StageSpec) -> Result<(), String> {
    let told = |problems: Vec<StageProblem>| {
        let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        messages.join("; ")
    };
    Stage::build(spec).map(drop).map_err(told)
}

/// Of one query over these records; the reason where it is refused.
fn check_asked(seed: u64, rng: &mut SeededRng, logs: &Logs, mut asked: Asked) -> Result<[usize; 15], String> {
    let is_chained = rng.chance(1, 2);
    if is_chained && rng.chance(2, 3) {
        asked.fails = Some(FAILING[rng.below(FAILING.len() as u64) as usize]);
    }
    let bytes = logs.iter().map(|log| {
        let record =
            |r: &Option<Invoice>| r.as_ref().map_or(Bytes::from_static(b"{\"invoice_id\":"), Invoice::json);
        log.iter().map(record).collect()
    });
    let changelog_partitions = 1 + rng.below(logs.len() as u64) as u32;
    // Due with most commits, or with few.
    let longest = if rng.chance(1, 2) { 100 } else { 2_000 };
    let update_ms = asked.early.then(|| 1 + rng.below(longest) as i64);
    let mut world = World {
        logs: bytes.collect(),
        ends: logs.iter().map(Vec::len).collect(),
        runs: Vec::new(),
        broker: Broker { changelog_partitions, ..Broker::default() },
        query: asked.sql(),
        update_ms,
        again: asked.again,
        chained: is_chained,
        fails: asked.fails,
        stored: [0, 2, 4][rng.below(3) as usize],
        now: 0,
        standby: copies::Follower::default(),
    };
    refusal(world.spec(10))?;
    let mut looked = 0;
    // Runs over a part of the input may come first.
    for _ in 0..rng.below(3) {
        let from = world.runs.last().cloned().unwrap_or_else(|| vec![0; logs.len()]);
        let more =
            |(log, from): (&Vec<Bytes>, &usize)| from + rng.below((log.len() - from) as u64 + 1) as usize;
        world.ends = world.logs.iter().zip(&from).map(more).collect();
        looked += run(seed, rng, &mut world, &asked, logs);
        world.runs.push(world.ends.clone());
        world.ends = world.logs.iter().map(Vec::len).collect();
    }
    looked += run(seed, rng, &mut world, &asked, logs);
    let expected = reference(logs, &world.runs, &asked);
    let rows =
        [expected.unique.len(), expected.late.len(), expected.conflicting.len(), expected.too_late.len()];
    let (results, cuts) = (world.broker.revenue.len(), world.broker.cuts);
    let given = !world.broker.revenue.is_empty();
    assert_eq!(!world.broker.seen.is_empty(), world.chained && given, "seed {seed}: rows behind windows");
    let answer = compare(seed, &asked, &expected, world.broker);
    Ok([
        rows[0],
        rows[1],
        rows[2],
        rows[3],
        results,
        expected.partly,
        cuts,
        expected.joined,
        expected.missed,
        results - answer,
        expected.behind,
        looked,
        expected.failed.len(),
        expected.ended,
        expected.beside.late.len(),
    ])
}

/// How many rows the answer has.
fn compare(seed: u64, asked: &Asked, expected: &Expected, mut broker: Broker) -> usize {
    let origins = |broker: &mut Broker, name: &str| -> BTreeSet<(u32, i64)> {
        let found = broker.aside.remove(name).unwrap_or_default();
        let set: BTreeSet<(u32, i64)> = found.iter().copied().collect();
        assert_eq!(set.len(), found.len(), "seed {seed}: {name} has a row twice");
        set
    };
    assert_eq!(origins(&mut broker, "rejected"), expected.rejected, "seed {seed}");
    assert_eq!(origins(&mut broker, "failed"), expected.failed, "seed {seed}: {asked:?}");
    assert_eq!(origins(&mut broker, "unique.conflicting"), expected.conflicting, "seed {seed}");
    assert_eq!(origins(&mut broker, "unique.late"), expected.too_late, "seed {seed}");
    assert_eq!(origins(&mut broker, "revenue.late"), expected.late, "seed {seed}: {asked:?}");
    let mut unique: Vec<String> = broker.unique;
    unique.sort_unstable();
    let mut decoder = decoder();
    for invoice in &expected.unique {
        decoder.push(&invoice.json()).expect("a good record");
    }
    let mut wanted = lines(&decoder.finish());
    wanted.sort_unstable();
    assert_eq!(unique, wanted, "seed {seed}");
    assert!(broker.seen.is_empty() || broker.seen == broker.revenue, "seed {seed}: rows behind windows");
    assert_eq!(broker.beside, expected.beside, "seed {seed}: the query beside");
    if let Some(keys) = asked.keys {
        if asked.text == QUERIES[0] {
            // What a window holds only grows.
            let mut counts: BTreeMap<Vec<&str>, u64> = BTreeMap::new();
            for line in &broker.revenue {
                let cells: Vec<&str> = line.split('|').collect();
                let count: u64 = cells[keys].parse().expect("a count");
                let before = counts.insert(cells[..keys].to_vec(), count).unwrap_or(0);
                assert!(before <= count, "seed {seed}: {line} after {before}");
            }
        }
        // Each row takes the place of the one before it.
        let key = |line: &String| line.split('|').take(keys).map(str::to_owned).collect::<Vec<_>>();
        let last: BTreeMap<_, _> = broker.revenue.into_iter().map(|line| (key(&line), line)).collect();
        broker.revenue = last.into_values().collect();
    }
    broker.revenue.sort_unstable();
    if let Some(apart) = batch::apart(&broker.revenue, &batch_answer(asked, &expected.on_time)) {
        panic!("seed {seed}: {asked:?}\n{apart}");
    }
    broker.revenue.len()
}

#[test]
fn any_split_interleaving_crash_and_move_gives_the_batch_answer() {
    // More seeds for a longer hunt: MILLSTREAM_SEEDS=5000. One that failed: MILLSTREAM_SEED=297.
    let number = |name| std::env::var(name).ok().and_then(|n: String| n.parse::<u64>().ok());
    if let Some(seed) = number("MILLSTREAM_SEED") {
        check(seed);
        return;
    }
    let mut rows = [0; 15];
    for seed in 0..number("MILLSTREAM_SEEDS").unwrap_or(80) {
        for (sum, n) in rows.iter_mut().zip(check(seed)) {
            *sum += n;
        }
    }
    assert!(rows.iter().all(|n| *n > 5), "the worlds are too tame to show anything: {rows:?}");
    assert!(spilling::BLOCKS.load(std::sync::atomic::Ordering::Relaxed) > 500, "hardly anything was spilled");
    stored::is_wild();
    let taken = copies::TAKEN.load(std::sync::atomic::Ordering::Relaxed);
    assert!(taken > 250, "{taken} key groups came from copies");
    let stored = copies::FROM_STORE.load(std::sync::atomic::Ordering::Relaxed);
    assert!(stored > 25, "{stored} copies began with what is stored outside of a changelog");
    let open = view::OPEN.load(std::sync::atomic::Ordering::Relaxed);
    assert!(open > 500, "{open} rows were read of what was open");
}
