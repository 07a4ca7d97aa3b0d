//! Rows for which something cannot be computed, behind state and before it: which they are, that each comes once, and that the
//! others come out as if they had not been there.

use super::super::LOOKUP_FAILED;
use super::super::lookups::{LookupSpec, Unfit};
use super::*;
use arrow::array::AsArray;
use arrow::datatypes::Int32Type;

fn sales() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("qty", DataType::Int32, true),
        Field::new("big", DataType::Int64, true),
        Field::new("price", DataType::Decimal128(38, 0), true),
        Field::new("items", DataType::new_list(DataType::Int32, true), true),
    ]))
}

/// A stage of two sources with the same columns and one query.
pub(super) fn stage_of(sql: &str, batch_rows: usize) -> Stage {
    stage_with(sql, batch_rows, LateRule { then: LateThen::DeadLetter, ..LateRule::default() }, None)
}

fn stage_with(sql: &str, batch_rows: usize, late: LateRule, update_ms: Option<i64>) -> Stage {
    let spec = spec_with(sql, batch_rows, late, update_ms);
    let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{sql}: {problems:?}"));
    stage.assign(KeyGroup(0), 0);
    stage
}

pub(super) fn spec_with(sql: &str, batch_rows: usize, late: LateRule, update_ms: Option<i64>) -> StageSpec {
    let reads = |name: &&str| sql.contains(*name);
    let names: Vec<&str> = ["sales", "returns"].into_iter().filter(reads).collect();
    let source = |name: &&str| SourceSpec {
        name: (*name).to_owned(),
        schema: sales(),
        frozen: false,
        format: millstream_format::Format::Json,
        event_time: Some("at".into()),
        watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
        partitioned_by: Some(vec!["id".into()]),
        latest_by: None,
    };
    let mut inputs: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    inputs.extend(sql.contains("stores").then(|| "stores".to_owned()));
    StageSpec {
        id: "stage".into(),
        sources: names.iter().map(source).collect(),
        key_groups: 1,
        changelog_partitions: 1,
        tables: BTreeMap::from([("stores".to_owned(), TableSpec::new(stores().schema(), ["store_id"]))]),
        functions: super::functions::all(),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs,
            kind: OperatorKind::Sql { sql: sql.to_owned(), late, update_ms, keep: None },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows,
    }
}

/// What came of a stage: rows, offsets of records that failed, and rows that failed, as their values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Came {
    pub(super) rows: Vec<String>,
    pub(super) records: Vec<i64>,
    pub(super) failed: Vec<String>,
}

pub(super) fn push(stage: &mut Stage, source: usize, offset: i64, record: &str) {
    stage
        .push_record(source, (KeyGroup(0), offset), Some(record.as_bytes()), TimeBounds::default())
        .expect("an assigned partition");
    let rejected = &stage.out.rejected;
    assert!(rejected.is_empty(), "{rejected:?}");
    if stage.is_full() {
        stage.turn(0).expect("a turn");
    }
}

pub(super) fn take(stage: &mut Stage, came: &mut Came) {
    let outputs = stage.take_outputs();
    came.rows
        .extend(outputs.batches.iter().filter(|o| o.output.as_ref() == "out").flat_map(|o| lines(&o.batch)));
    for failed in outputs.failed {
        assert_eq!(failed.step.as_ref(), "out");
        match failed.what {
            FailedAt::Record { offset, .. } => came.records.push(offset),
            FailedAt::Row(row) => {
                came.failed.extend(lines(&row).into_iter().map(|line| format!("{line}: {}", failed.error)));
            }
        }
    }
}

pub(super) fn end(mut stage: Stage, mut came: Came) -> Came {
    for source in 0..stage.sources.len() {
        stage.finish(source, KeyGroup(0), 0).expect("an end");
    }
    stage.commit(0).expect("a commit");
    take(&mut stage, &mut came);
    came.rows.sort_unstable();
    came.failed.sort_unstable();
    came
}

/// Runs records, each with its source, a batch of so many at a time.
fn run(sql: &str, batch_rows: usize, records: &[(usize, String)]) -> Came {
    let (mut stage, mut came) = (stage_of(sql, batch_rows), Came::default());
    for (offset, (source, record)) in records.iter().enumerate() {
        push(&mut stage, *source, offset as i64, record);
    }
    stage.turn(0).expect("a turn");
    take(&mut stage, &mut came);
    end(stage, came)
}

fn sale(id: &str, at: i64, rest: &str) -> String {
    format!(r#"{{"id":"{id}","at":{at}{rest}}}"#)
}

fn qty(id: &str, at: i64, qty: i64) -> (usize, String) {
    (0, sale(id, at, &format!(r#","qty":{qty}"#)))
}

/// Every way in which a row before state can fail, in one batch and row by row.
#[test]
fn records_before_state_fail_alone_however_they_are_batched() {
    let records: Vec<_> = (0..50).map(|i| qty(&format!("S{}", i % 3), 1_000 + i, i % 7)).collect();
    let bad: Vec<i64> = (0..50).filter(|i| i % 7 == 0).collect();
    for sql in [
        "SELECT id, 100 / qty AS x FROM sales",
        "SELECT id FROM sales WHERE 100 / qty > 0",
        "SELECT id, 9223372036854775000 + (CASE WHEN qty = 0 THEN 9223372036854775000 ELSE qty END) AS x FROM sales",
        "SELECT id FROM sales WHERE (CASE WHEN qty = 0 THEN 9223372036854775000 ELSE qty END) * 12 > 5",
        "SELECT id, window_end, sum(-9223372036854775000 - (CASE WHEN qty = 0 THEN 9223372036854775000 ELSE 0 END)) AS n
         FROM TUMBLE(sales, at, INTERVAL '1 millisecond') GROUP BY id, window_end",
        "SELECT id, CAST(CASE WHEN qty = 0 THEN 'never' ELSE '2026-01-01T00:00:00Z' END AS TIMESTAMP) AS x FROM sales",
        "SELECT id, CAST(1e37 AS DECIMAL(38, 0)) * (CASE WHEN qty = 0 THEN 1000 ELSE 1 END) AS x FROM sales",
        "SELECT id, CAST(CASE WHEN qty = 0 THEN '?' ELSE '7' END AS INT) AS x FROM sales",
        "SELECT id, divided(qty) AS x, divided(qty + 0) AS y FROM sales",
        "SELECT id FROM sales WHERE divided(qty) > 0",
        "SELECT s.id, t.city FROM sales s JOIN stores t ON t.store_id = s.id AND divided(s.qty) > length(t.city)",
        "SELECT s.id, t.city FROM sales s JOIN stores t ON t.store_id = CAST(divided(s.qty) AS VARCHAR)",
        "SELECT id, window_end, sum(divided(qty)) AS n FROM TUMBLE(sales, at, INTERVAL '1 second') GROUP BY id, window_end",
        "SELECT id, window_end, divided(qty) AS k, count(*) AS n FROM HOP(sales, at, INTERVAL '1 second', INTERVAL '3 seconds')
         GROUP BY id, window_end, divided(qty)",
        "SELECT s.id, t.city FROM sales s LEFT JOIN stores t ON t.store_id = s.id AND 10 / s.qty > length(t.city)",
        "SELECT s.id, t.city FROM sales s JOIN stores t ON t.store_id = CAST(100 / s.qty AS VARCHAR)",
        "SELECT id, window_end, sum(100 / qty) AS n FROM TUMBLE(sales, at, INTERVAL '1 second') GROUP BY id, window_end",
        "SELECT id, window_end, 100 / qty AS k, count(*) AS n FROM HOP(sales, at, INTERVAL '1 second', INTERVAL '3 seconds')
         GROUP BY id, window_end, 100 / qty",
        "SELECT id, window_end, count(*) FILTER (WHERE 100 / qty > 20) AS n FROM SESSION(sales, at, INTERVAL '1 second', id)
         GROUP BY id, window_end",
    ] {
        let mut loaded = Vec::new();
        for batch_rows in [1, 4, 1_000] {
            let (mut stage, mut came) = (stage_of(sql, batch_rows), Came::default());
            if sql.contains("stores") {
                stage.load_table("stores", &stores()).expect("a table");
            }
            for (offset, (_, record)) in records.iter().enumerate() {
                push(&mut stage, 0, offset as i64, record);
            }
            stage.turn(0).expect("a turn");
            take(&mut stage, &mut came);
            let came = end(stage, came);
            assert_eq!(came.records, bad, "{sql}");
            assert!(came.failed.is_empty(), "{sql}: {came:?}");
            loaded.push(came.rows);
        }
        // As if the bad ones had not been there.
        let mut stage = stage_of(sql, 1_000);
        if sql.contains("stores") {
            stage.load_table("stores", &stores()).expect("a table");
        }
        for (offset, (_, record)) in records.iter().enumerate().filter(|(i, _)| i % 7 != 0) {
            push(&mut stage, 0, offset as i64, record);
        }
        let alone = end(stage, Came::default());
        assert!(alone.records.is_empty(), "{sql}");
        assert!(loaded.iter().all(|rows| *rows == alone.rows), "{sql}: {loaded:?}");
    }
}

/// One of its items is bad: nothing of the record comes out, and it is told once.
#[test]
fn a_record_of_many_rows_fails_whole_and_once() {
    let sql = "SELECT id, 12 / item AS x FROM (SELECT id, unnest(items) AS item FROM sales)";
    let list = |id: &str, items: &str| (0, sale(id, 1_000, &format!(r#","items":{items}"#)));
    let records = [list("a", "[1,2]"), list("b", "[3,0,4,0]"), list("c", "[6]"), list("d", "[0]")];
    for batch_rows in [1, 100] {
        let came = run(sql, batch_rows, &records);
        assert_eq!((came.rows, came.records), (vec!["a|12".into(), "a|6".into(), "c|2".into()], vec![1, 3]));
    }
}

/// A batch of nothing else costs about as much as its rows one by one.
#[test]
fn a_batch_of_bad_records_only_is_looked_through() {
    let records: Vec<_> = (0..3_000).map(|i| qty("a", 1_000 + i, 0)).collect();
    let came = run("SELECT id, 100 / qty AS x FROM sales", 10_000, &records);
    assert_eq!((came.rows.len(), came.records.len()), (0, 3_000));
}

/// What windows give is computed with behind them: the row fails, the rest of the window comes out.
#[test]
fn rows_behind_windows_fail_alone() {
    let records: Vec<_> = [("a", 1), ("a", 2), ("b", 0), ("c", 3), ("c", -3), ("d", 5)]
        .into_iter()
        .map(|(id, n)| qty(id, 1_000, n))
        .collect();
    let windowed = "SELECT id, window_end, sum(qty) AS n FROM TUMBLE(sales, at, INTERVAL '5 seconds') GROUP BY id, window_end";
    for (sql, rows, failed) in [
        (format!("SELECT id, 30 / n AS x FROM ({windowed})"), vec!["a|10", "d|6"], 2),
        (
            format!("{windowed} HAVING 30 / sum(qty) > 5"),
            vec!["a|1970-01-01T00:00:05Z|3", "d|1970-01-01T00:00:05Z|5"],
            2,
        ),
        (
            format!(
                "SELECT id, n, row_number() OVER (PARTITION BY window_end, id ORDER BY 30 / n) AS r FROM ({windowed})"
            ),
            vec!["a|3|1", "d|5|1"],
            2,
        ),
        (
            format!("SELECT id, n, max(30 / n) OVER (PARTITION BY window_end, id) AS most FROM ({windowed})"),
            vec!["a|3|10", "d|5|6"],
            2,
        ),
    ] {
        let came = run(&sql, 100, &records);
        assert_eq!(came.rows, rows, "{sql}");
        assert_eq!((came.failed.len(), came.records.len()), (failed, 0), "{sql}: {came:?}");
        let is_told =
            |of: &str| came.failed.iter().any(|line| line.starts_with(of) && line.contains("ivide by zero"));
        assert!(is_told("b|") && is_told("c|"), "{sql}: {:?}", came.failed);
    }
}

/// Sums that leave their type, by rows, by slices that are put together, and by a restore in between.
#[test]
fn a_sum_beyond_its_type_is_no_row() {
    let digits = "9".repeat(38);
    let cases = [
        ("big", i64::MAX.to_string(), "1".to_owned(), "Int64"),
        ("big", (i64::MIN + 1).to_string(), "-2".to_owned(), "Int64"),
        ("price", digits.clone(), "1".to_owned(), "Decimal128(38, 0)"),
        ("price", digits.clone(), digits.clone(), "Decimal128(38, 0)"),
        ("price", format!("-{digits}"), format!("-{digits}"), "Decimal128(38, 0)"),
    ];
    for (column, one, other, kind) in cases {
        for windows in [
            "TUMBLE(sales, at, INTERVAL '6 seconds')",
            "HOP(sales, at, INTERVAL '1 second', INTERVAL '6 seconds')",
        ] {
            let sql = format!(
                "SELECT id, sum({column}) AS total, count(*) AS n FROM {windows} GROUP BY id, window_end"
            );
            let record =
                |id: &str, at: i64, value: &str| (0, sale(id, at, &format!(r#","{column}":{value}"#)));
            let records = [
                record("a", 6_000, &one),
                record("b", 6_000, "7"),
                record("a", 9_000, &other),
                record("a", 10_000, &other),
            ];
            let came = run(&sql, 1, &records);
            assert!(came.rows.contains(&"b|7|1".to_owned()), "{came:?}");
            assert!(
                came.rows
                    .iter()
                    .all(|row| !row.ends_with("|2") && !row.ends_with("|3") || !row.contains(&one))
            );
            let told: Vec<&String> = came.failed.iter().filter(|line| line.contains("||3:")).collect();
            assert!(!told.is_empty(), "{sql}: {came:?}");
            assert!(
                told.iter().all(|line| line.ends_with(&format!("is beyond what {kind} holds"))),
                "{told:?}"
            );
        }
    }
}

/// What a group gave before is gone when what it gives now cannot be computed, and is there again when it can. Windows that are not over
/// leave what they sent before.
#[test]
fn a_result_that_cannot_be_computed_is_gone() {
    let of_groups = "(SELECT id, sum(qty) AS n, sum(big) AS total FROM sales GROUP BY id)";
    let of_windows = "(SELECT id, window_end, sum(qty) AS n, sum(big) AS total FROM TUMBLE(sales, at, INTERVAL '6 seconds') GROUP BY id, window_end)";
    let most = i64::MAX;
    for (what, records, rows) in [
        (
            "30 / n AS x",
            [r#","qty":3"#.to_owned(), r#","qty":-3"#.into(), r#","qty":5"#.into()],
            ["a|10", "a|6"],
        ),
        (
            "total",
            [format!(r#","big":{most}"#), r#","big":1"#.into(), r#","big":-1"#.into()],
            ["a|9223372036854775807", ""],
        ),
    ] {
        for (from, is_known) in [(of_groups, true), (of_windows, false)] {
            let sql = format!("SELECT id, {what} FROM {from}");
            let late = LateRule { then: LateThen::DeadLetter, ..LateRule::default() };
            let mut stage = stage_with(&sql, 1, late, Some(1));
            let mut told = Vec::new();
            for (step, record) in records.iter().enumerate() {
                let now = 10 * step as i64;
                push(&mut stage, 0, step as i64, &sale("a", 1_000, record));
                stage.commit(now).expect("a commit");
                let outputs = stage.take_outputs();
                for out in outputs.batches.iter().filter(|out| out.output.as_ref() == "out") {
                    let is_gone = |row| out.gone.as_ref().map(|gone| gone.value(row));
                    told.extend(
                        lines(&out.batch).into_iter().enumerate().map(|(row, line)| (line, is_gone(row))),
                    );
                }
                told.extend(outputs.failed.into_iter().map(|failed| (failed.error, None)));
            }
            let gone =
                told.iter().filter(|(line, gone)| *gone == Some(true) && line.starts_with("a|")).count();
            assert_eq!(gone > 0, is_known, "{sql}: {told:?}");
            assert_eq!(told[0], (rows[0].to_owned(), is_known.then_some(false)), "{sql}: {told:?}");
            if !rows[1].is_empty() {
                assert_eq!(
                    told.last(),
                    Some(&(rows[1].to_owned(), is_known.then_some(false))),
                    "{sql}: {told:?}"
                );
            }
            assert!(
                told.iter().any(|(line, _)| line.contains("ivide by zero") || line.contains("is beyond")),
                "{told:?}"
            );
        }
    }
}

/// The same over the rows of a key, as far back as the query says.
#[test]
fn a_sum_over_rows_beyond_its_type_is_no_row() {
    let digits = "9".repeat(38);
    let most = i64::MAX.to_string();
    for (column, value) in [("big", &most), ("price", &digits)] {
        for frame in [
            "",
            " RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW",
            " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        ] {
            let sql = format!(
                "SELECT id, sum({column}) OVER (PARTITION BY id ORDER BY at{frame}) AS total FROM sales"
            );
            let record =
                |id: &str, at: i64, value: &str| (0, sale(id, at, &format!(r#","{column}":{value}"#)));
            let records =
                [record("a", 1, value), record("b", 2, "7"), record("a", 3, value), record("b", 4, "-9")];
            let came = run(&sql, 2, &records);
            assert_eq!(came.rows, [format!("a|{value}"), "b|-2".to_owned(), "b|7".to_owned()], "{sql}");
            assert!(matches!(came.failed.as_slice(), [one] if one.contains("sum")), "{sql}: {came:?}");
        }
    }
}

/// And over the rows of windows that are over, of all of a partition and as it runs; a negative that has no place in its type.
#[test]
fn a_sum_over_the_rows_of_a_window_beyond_its_type_is_no_row() {
    let digits = "9".repeat(38);
    let most = i64::MAX.to_string();
    for (column, value) in [("big", &most), ("price", &digits)] {
        for order in ["", " ORDER BY n"] {
            let sql = format!(
                "SELECT id, n, sum(most) OVER (PARTITION BY window_end, id{order}) AS total FROM (
                 SELECT id, qty AS n, window_end, max({column}) AS most FROM TUMBLE(sales, at, INTERVAL '6 seconds') GROUP BY id, qty, window_end)"
            );
            let record = |id: &str, qty: i64, value: &str| {
                (0, sale(id, 1_000, &format!(r#","qty":{qty},"{column}":{value}"#)))
            };
            // A total of amounts that is beyond is none of the sums of b.
            let records = [
                record("a", 1, value),
                record("a", 2, "1"),
                record("b", 1, value),
                record("b", 2, &format!("-{value}")),
                record("c", 1, "7"),
            ];
            let came = run(&sql, 10, &records);
            let first = if order.is_empty() { "0" } else { value };
            assert_eq!(came.rows, [format!("b|1|{first}"), "b|2|0".to_owned(), "c|1|7".to_owned()], "{sql}");
            assert_eq!(came.failed.len(), 2, "{came:?}");
            assert!(came.failed.iter().all(|line| line.starts_with("a|") && line.contains("is beyond what")));
        }
    }
    let record = |value: i64| (0, sale("a", 1_000, &format!(r#","big":{value}"#)));
    let came = run("SELECT id, -big AS turned FROM sales", 10, &[record(i64::MIN), record(-7)]);
    assert_eq!(
        (came.rows.as_slice(), came.records.as_slice()),
        (["a|7".to_owned()].as_slice(), [0].as_slice())
    );
}

/// An average has four digits more behind its point than what it is of.
#[test]
fn an_average_that_does_not_fit_is_no_row_and_others_are() {
    let digits = "9".repeat(38);
    let record = |id: &str, value: &str| (0, sale(id, 1_000, &format!(r#","price":{value}"#)));
    let sql = "SELECT id, avg(price) AS mean, count(*) AS n FROM TUMBLE(sales, at, INTERVAL '6 seconds') GROUP BY id, window_end";
    let records = [record("a", "3"), record("b", &digits), record("c", "4"), record("a", "4")];
    let came = run(sql, 10, &records);
    assert_eq!(came.rows, ["a|3.5000|2", "c|4.0000|1"]);
    assert!(
        matches!(came.failed.as_slice(), [one] if one.starts_with("b|") && one.contains("||1: computing avg")),
        "{came:?}"
    );
}

/// A pair whose condition cannot be computed is told; of its rows it is not said that they have no match.
#[test]
fn pairs_fail_alone() {
    let rows = [
        (0, sale("a", 1_000, r#","qty":1"#)),
        (1, sale("a", 1_000, r#","qty":0"#)),
        (1, sale("a", 1_000, r#","qty":2"#)),
        (0, sale("b", 1_000, r#","qty":3"#)),
        (1, sale("b", 1_000, r#","qty":0"#)),
        (0, sale("c", 1_000, r#","qty":4"#)),
    ];
    let near = "s.at BETWEEN r.at - INTERVAL '2 seconds' AND r.at + INTERVAL '2 seconds'";
    let window = "s.window_start = r.window_start AND s.window_end = r.window_end";
    let streams = [
        ("sales", "returns", near),
        ("TUMBLE(sales, at, INTERVAL '5 seconds')", "TUMBLE(returns, at, INTERVAL '5 seconds')", window),
    ];
    for (sales, returns, when) in streams {
        for (select, rows_wanted) in [
            (
                "SELECT s.id, s.qty, r.qty AS back FROM {s} s LEFT JOIN {r} r ON s.id = r.id AND {w} AND 10 / (r.qty * s.qty) > 1",
                vec!["a|1|2", "c|4|"],
            ),
            (
                "SELECT s.id, s.qty FROM {s} s LEFT SEMI JOIN {r} r ON s.id = r.id AND {w} AND 10 / (r.qty * s.qty) > 1",
                vec!["a|1"],
            ),
            (
                "SELECT s.id, s.qty FROM {s} s LEFT ANTI JOIN {r} r ON s.id = r.id AND {w} AND 10 / (r.qty * s.qty) > 1",
                vec!["c|4"],
            ),
        ] {
            let sql = select.replace("{s}", sales).replace("{r}", returns).replace("{w}", when);
            for batch_rows in [1, 100] {
                // Whichever of a pair comes first.
                for order in [rows.to_vec(), rows.iter().rev().cloned().collect()] {
                    let came = run(&sql, batch_rows, &order);
                    assert_eq!(came.rows, rows_wanted, "{sql}");
                    assert_eq!((came.failed.len(), came.records.len()), (2, 0), "{sql}: {came:?}");
                }
            }
        }
    }
}

/// A row that a table's row cannot be used for fails with the table's name; others go on, and so do later ones.
#[test]
fn a_row_that_asks_for_a_row_that_does_not_fit_fails() {
    let sql = "SELECT s.id, t.city FROM sales s LEFT JOIN stores t ON t.store_id = s.id";
    let (mut stage, mut came) = (stage_of(sql, 100), Came::default());
    stage
        .ask("stores", LookupSpec { key: vec!["store_id".into()], keep_ms: 1_000, keys_max: 100 })
        .expect("a join by key");
    for (now, is_bad) in [(0, true), (500, true), (2_000, false)] {
        for (offset, id) in ["S1", "S2", "S1", "S9"].into_iter().enumerate() {
            push(&mut stage, 0, now + offset as i64, &sale(id, 1_000, ""));
        }
        while let Some(wanted) = stage.wanted(now).expect("keys") {
            stage.answer(&wanted, &stores(), now).expect("rows");
            let keys = RecordBatch::try_from_iter([(
                "store_id",
                Arc::new(StringArray::from(if is_bad { vec!["S1"] } else { vec![] })) as ArrayRef,
            )]);
            let why = if is_bad { vec!["too long".to_owned()] } else { vec![] };
            stage
                .refuse(&wanted, &Unfit { keys: keys.expect("keys"), why })
                .expect("a key that was asked for");
        }
        stage.turn(now).expect("a turn");
    }
    let told: Vec<_> = stage.out.failed.iter().map(|failed| (failed.reason, failed.error.as_str())).collect();
    assert_eq!(told, vec![(LOOKUP_FAILED, "table stores: too long"); 4]);
    take(&mut stage, &mut came);
    assert_eq!(came.records, [0, 2, 500, 502]);
    assert_eq!(came.rows.len(), 2 + 2 + 4);
}

/// Records that fail on their way to a look-up ask for nothing, and are told when they are run.
#[test]
fn records_that_fail_before_a_look_up_do_not_ask() {
    let sql = "SELECT s.id, t.city FROM (SELECT id, 100 / qty AS x FROM sales) s
               LEFT JOIN stores t ON t.store_id = concat(s.id, CAST(10 / (s.x - 50) AS VARCHAR))";
    for batch_rows in [1, 100] {
        let (mut stage, mut came) = (stage_of(sql, batch_rows), Came::default());
        let spec = LookupSpec { key: vec!["store_id".into()], keep_ms: 1_000, keys_max: 100 };
        stage.ask("stores", spec).expect("a join by key");
        let mut asked = Vec::new();
        for (offset, n) in [1, 0, 2, 0, 1, 4].into_iter().enumerate() {
            stage
                .push_record(
                    0,
                    (KeyGroup(0), offset as i64),
                    Some(qty("S", 1_000, n).1.as_bytes()),
                    TimeBounds::default(),
                )
                .expect("an assigned partition");
            if batch_rows == 1 || offset == 5 {
                while let Some(wanted) = stage.wanted(0).expect("keys") {
                    asked.extend(lines(&wanted.keys));
                    stage.answer(&wanted, &stores(), 0).expect("rows");
                }
                stage.turn(0).expect("a turn");
            }
        }
        take(&mut stage, &mut came);
        assert_eq!(
            (came.rows.as_slice(), came.records.as_slice()),
            (&["S|city 0"; 3].map(str::to_owned)[..], &[1, 2, 3][..])
        );
        assert_eq!(asked, ["S0"], "each once, and none of a record that fails");
    }
}

/// A row of a table for which what the query asks of it cannot be computed changes nothing.
#[test]
fn a_row_of_a_table_that_fails_changes_nothing() {
    let sql = "SELECT s.id, t.n FROM sales s JOIN (SELECT store_id, 100 / (length(city) - 1) AS n FROM stores) t ON t.store_id = s.id";
    let mut stage = stage_of(sql, 100);
    let table = |rows: &[(&str, &str)]| {
        let column = |at: fn(&(&str, &str)) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(at)))
        };
        let columns =
            [("store_id", column(|row| row.0.to_owned())), ("city", column(|row| row.1.to_owned()))];
        RecordBatch::try_from_iter(columns).expect("a table")
    };
    stage.load_table("stores", &table(&[])).expect("a table");
    let ids = |ids: &[&str]| ids.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect::<Vec<_>>();
    stage
        .change_table("stores", &table(&[("a", "xx"), ("b", "xxx"), ("c", "x")]), &ids(&["1", "2", "3"]), &[])
        .expect("rows");
    stage
        .change_table("stores", &table(&[("a", "x"), ("b", "xxxxx")]), &ids(&["1", "2"]), &[])
        .expect("rows");
    let unfit: Vec<(usize, String)> =
        stage.take_unfit().into_iter().map(|unfit| (unfit.row, unfit.table)).collect();
    assert_eq!(unfit, [(2, "stores".to_owned()), (0, "stores".to_owned())]);
    ["a", "b", "c"].iter().for_each(|id| push(&mut stage, 0, 0, &sale(id, 1_000, "")));
    let came = end(stage, Came::default());
    assert_eq!(came.rows, ["a|100", "b|25"]);
}

/// What was tried of a record that failed is not remembered: when it comes again, put right, it is no repeat.
#[test]
fn a_record_that_failed_is_no_repeat_of_its_better_self() {
    let fails = "SELECT total, store_id, issued_at, invoice_id, qty, 100 / (qty - 5) AS other FROM unique";
    for batch_rows in [1, 100] {
        let mut stage =
            Stage::build(chained(spec(1, 1, &tumbling(0), None, batch_rows), Some(fails))).expect("a stage");
        stage.load_table("stores", &stores()).expect("the table");
        stage.assign(KeyGroup(0), 0);
        let invoice = |qty: i64| Invoice {
            id: "1".into(),
            store: "S0".into(),
            at: 1_000_000,
            qty: Some(qty),
            cents: 100,
        };
        for (offset, qty) in [5, 5, 4, 4, 5].into_iter().enumerate() {
            let value = invoice(qty).json();
            stage
                .push_record(0, (KeyGroup(0), offset as i64), Some(&value), TimeBounds::default())
                .expect("a group");
            if stage.is_full() {
                stage.turn(0).expect("a turn");
            }
        }
        stage.turn(0).expect("a turn");
        let outputs = stage.take_outputs();
        let offsets: Vec<i64> = outputs
            .failed
            .iter()
            .map(|failed| match failed.what {
                FailedAt::Record { offset, .. } => offset,
                FailedAt::Row(_) => panic!("a row"),
            })
            .collect();
        assert_eq!(offsets, [0, 1]);
        let rows = |name: &str| -> Vec<&RecordBatch> {
            outputs.batches.iter().filter(|out| out.output.as_ref() == name).map(|out| &out.batch).collect()
        };
        let unique: Vec<Option<i32>> = rows("unique")
            .iter()
            .flat_map(|batch| batch.column(3).as_primitive::<Int32Type>().iter())
            .collect();
        assert_eq!(unique, [Some(4)]);
        assert_eq!(rows("unique.conflicting").iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
        assert_eq!(stage.counts()[0].1.repeated, 1);
        assert_eq!(stage.counts()[0].1.rows_in, 3, "what failed did not come in");
    }
}

#[test]
fn marks_are_found_in_sums_of_parts() {
    // State rows of a sum that is beyond its type stay so, whatever is added to them.
    let sql =
        "SELECT id, sum(big) AS total FROM TUMBLE(sales, at, INTERVAL '6 seconds') GROUP BY id, window_end";
    let mut stage = stage_of(sql, 1);
    let record = |offset: i64, value: i64| sale("a", 6_000 + offset, &format!(r#","big":{value}"#));
    for (offset, value) in [i64::MAX, 1, -5, i64::MIN + 9, -9].into_iter().enumerate() {
        push(&mut stage, 0, offset as i64, &record(offset as i64, value));
        stage.commit(0).expect("a commit");
    }
    let came = end(stage, Came::default());
    assert_eq!((came.rows.len(), came.failed.len()), (0, 1), "{came:?}");
}
