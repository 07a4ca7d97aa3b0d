//! `millstream test` from the outside: cases that hold, the same cases made wrong, workers that die at every kind of point,
//! and files with faults. Nothing here has a target, a broker or a port: a case that reached for one would fail.

use std::path::Path;
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

/// A pipeline whose targets and listener cannot be reached; the tests of each case are put behind it.
pub const SALES: &str = r#"version: 1
name: sales
broker: { bootstrap: ["203.0.113.1:9092"] }
schemas:
  sale:
    fields:
      id:    { type: string, required: true }
      store: { type: string, required: true }
      at:    { type: timestamp_ms, required: true }
      total: { type: decimal, precision: 18, scale: 2, required: true }
      note:  { type: string }
  store:
    fields:
      store: { type: string, required: true }
      city:  { type: string, required: true }
      since: { type: int32 }
topics:
  sold: { partitions: 2, replication: 3, key: store }
  refused: { partitions: 2, replication: 3 }
sources:
  web: { type: http_server, listen: "203.0.113.1:80", path: /v1/sales, schema: sale }
tables:
  stores: { type: file, path: stores.csv, key: [store], schema: store }
transforms:
  published: { type: topic, inputs: [web], topic: sold, watermark: { column: at, delay: 1s } }
  once: { type: dedupe, inputs: [published], key: [store, id], within: 1h }
  sums:
    type: sql
    inputs: [once, stores]
    sql: |
      SELECT s.store, t.city, s.window_start, COUNT(*) AS sales, SUM(s.total) AS total
      FROM TUMBLE(once, at, INTERVAL '1 minute') AS s
      JOIN stores AS t ON t.store = s.store
      GROUP BY s.store, t.city, s.window_start, s.window_end
  moving:
    type: sql
    inputs: [once]
    sql: |
      SELECT store, window_end, COUNT(*) AS sales, SUM(total) AS total
      FROM HOP(once, at, INTERVAL '1 minute', INTERVAL '3 minutes') GROUP BY store, window_end
  large:
    type: sql
    inputs: [once]
    sql: SELECT id, total FROM once WHERE total > 10
sinks:
  files: { type: object_store, inputs: [once], url: "s3://nowhere/sales", partition_by: [store] }
  rows: { type: postgres, inputs: [sums], dsn: "postgres://nobody@203.0.113.1/sales", table: app.sums, key: [store, window_start] }
errors:
  data: { action: dead_letter, topic: refused }
tests:
"#;

fn sale(id: &str, minute: u32, total: &str) -> String {
    format!(
        "'{{\"id\":\"{id}\",\"store\":\"S1\",\"at\":\"2026-01-01T10:{minute:02}:00Z\",\"total\":{total}}}'"
    )
}

/// Runs `test` over a text; returns its exit code, output and errors, the folder's path taken out.
fn run(text: &str, options: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("p.yaml"), text).expect("it is written");
    std::fs::write(folder.path().join("stores.csv"), "store,city,since\nS1,Pune,2020\n")
        .expect("it is written");
    run_in(folder.path(), options)
}

fn run_in(folder: &Path, options: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY)
        .args(["test", "p.yaml"])
        .args(options)
        .current_dir(folder)
        .env_remove("INVOICES_DIR")
        .output()
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

/// The lines of a result without the seconds, which differ.
fn untimed(out: &str) -> String {
    let line = |line: &str| match line.strip_suffix(" s").and_then(|line| line.rsplit_once("  ")) {
        Some((line, _)) => line.to_owned(),
        None => line.to_owned(),
    };
    out.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn cases_that_hold_pass() {
    let (a, b, c) = (sale("A", 0, "5"), sale("B", 0, "7.50"), sale("C", 3, "20"));
    let tests = format!(
        r#"
  - name: all windows fire when the input ends
    inputs: {{ web: [{a}, {b}, {a}, {c}] }}
    expect:
      sums:
        rows:
          - {{ store: S1, city: Pune, window_start: "2026-01-01T15:30:00+05:30", sales: 2, total: 12.5 }}
          - {{ store: S1, city: Pune, window_start: 1767261780000, sales: 1, total: 20 }}
      moving:
        rows:
          - {{ store: S1, window_end: "2026-01-01T10:01:00Z", sales: 2, total: 12.5 }}
          - {{ store: S1, window_end: "2026-01-01T10:02:00Z", sales: 2, total: 12.5 }}
          - {{ store: S1, window_end: "2026-01-01T10:03:00Z", sales: 2, total: 12.5 }}
          - {{ store: S1, window_end: "2026-01-01T10:04:00Z", sales: 1, total: 20 }}
          - {{ store: S1, window_end: "2026-01-01T10:05:00Z", sales: 1, total: 20 }}
          - {{ store: S1, window_end: "2026-01-01T10:06:00Z", sales: 1, total: 20 }}
      rows: {{ rows: [{{ store: S1, total: 12.50 }}], match: subset, count: 2, unique_by: [store, window_start] }}
      files: {{ count: 3, unique_by: [id] }}
      sold: {{ count: 4 }}
      published: {{ rows: [{{ id: C, total: 20.0 }}], match: subset }}
      refused: {{ rows: [] }}
  - name: a window that ends after the watermark stays open
    inputs: {{ web: [{a}, {c}] }}
    advance_watermark: "2026-01-01T10:03:30Z"
    expect: {{ sums: {{ rows: [{{ store: S1, sales: 1, total: 5 }}], match: subset, count: 1 }} }}
  - name: rows without a topic are seen, and a table is replaced
    inputs:
      web: [{a}, {c}]
      stores: [{{ store: S1, city: "Pune, \"old\" town", since: ~ }}]
    expect:
      large: {{ rows: [{{ id: C, total: 20 }}] }}
      sums: {{ rows: [{{ city: "Pune, \"old\" town" }}], match: subset }}
  - name: a record is taken as it came
    inputs:
      web:
        - |
          {{
            "id": "D", "store": "S1", "at": 1767261600000, "total": 1.00 }}
        - {{ id: E, store: S1, at: 1767261600000, total: 1 }}
        - '{{"store":"S1","id":"F"'
        - '{{"id":"G"'
        - {{ id: H, store: true }}
    expect:
      files: {{ rows: [{{ id: D, store: S1, at: "2026-01-01T10:00:00Z", total: 1 }}, {{ id: E }}], match: subset, count: 2 }}
      refused:
        rows:
          - {{ reason: malformed_json, step: published, payload: '{{"store":"S1","id":"F"' }}
          - {{ reason: malformed_json, step: web, origin: "web:4", payload: '{{"id":"G"' }}
          - {{ reason: no_key, step: web, origin: "web:5", error: 'it has no plain field "store", which chooses its partition' }}
        match: subset
        count: 3
  - name: no rows at all
    inputs: {{}}
    expect: {{ files: {{ count: 0 }}, rows: {{ rows: [] }} }}
"#
    );
    let (code, out, err) = run(&format!("{SALES}{tests}"), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("5 passed, 0 failed\n") && !out.contains("FAILED"), "{out}");
}

#[test]
fn fields_that_a_frozen_schema_does_not_name_are_refused() {
    let text = r#"
version: 1
name: drift
broker: embedded
schemas:
  sale:
    contract: { columns: freeze }
    fields: { id: { type: string, required: true }, total: { type: int64 } }
topics: { sold: { partitions: 2, key: id }, all: { partitions: 1 }, refused: { partitions: 1 } }
sources:
  web: { type: http_server, listen: "203.0.113.1:80", path: /v1/sales, schema: sale }
  told: { type: topic, topic: all, schema: sale }
transforms:
  published: { type: topic, inputs: [web], topic: sold }
  large: { type: sql, inputs: [published], sql: SELECT id FROM published WHERE total > 10 }
sinks:
  out: { type: object_store, inputs: [large], url: "s3://nowhere/a" }
  rows: { type: object_store, inputs: [told], url: "s3://nowhere/b" }
errors: { data: { action: dead_letter, topic: refused } }
tests:
  - name: drift
    inputs:
      web: ['{"id":"a","total":11}', '{"id":"b","total":12,"tax":1}', '{"id":"c","total":"13"}', '{"id":"d","total":14}']
      told: ['{"id":"e","tax":{"of":1}}', '{"id":"f"}']
    expect:
      out: { rows: [{ id: a }, { id: d }] }
      rows: { rows: [{ id: f }], match: subset, count: 1 }
      refused:
        rows:
          - { reason: unknown_column, error: "field tax is not declared, and the schema's contract freezes its columns (at byte 27)" }
          - { reason: malformed_json, payload: '{"id":"c","total":"13"}' }
          - { reason: unknown_column, payload: '{"id":"e","tax":{"of":1}}' }
        match: subset
        count: 3
"#;
    // Nobody reads the topic that records are passed on to.
    let passed_on = r#"
version: 1
name: gate
broker: embedded
schemas:
  sale:
    contract: { columns: freeze }
    fields: { id: { type: string, required: true }, total: { type: int64 } }
topics: { passed: { partitions: 1 }, refused: { partitions: 1 } }
sources:
  gate: { type: http_server, listen: "203.0.113.1:81", path: /v1/sales, schema: sale }
sinks:
  onward: { type: topic, inputs: [gate], topic: passed }
errors: { data: { action: dead_letter, topic: refused } }
tests:
  - name: drift at the door
    inputs:
      gate: ['{"id":"g"}', '{"id":"h","tax":1}', '{"total":1}']
    expect:
      passed: { rows: [{ id: g }] }
      refused:
        rows:
          - { reason: unknown_column, payload: '{"id":"h","tax":1}' }
          - { reason: malformed_json, payload: '{"total":1}' }
        match: subset
        count: 2
"#;
    for text in [text, passed_on] {
        let (code, out, err) = run(text, &[]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.ends_with("1 passed, 0 failed\n"), "{out}");
    }
}

#[test]
fn large_records_and_empty_tables_have_a_rule() {
    let large = "x".repeat(900 << 10);
    let text = format!(
        r#"
version: 1
name: bad-input
broker: embedded
schemas:
  sale:
    fields:
      id:    {{ type: string, required: true }}
      store: {{ type: string, required: true }}
      at:    {{ type: timestamp_ms, required: true }}
      note:  {{ type: string }}
      total: {{ type: int64 }}
  store: {{ fields: {{ store: {{ type: string, required: true }}, city: {{ type: string }} }} }}
topics:
  sold: {{ partitions: 2, key: store }}
  places: {{ partitions: 1, key: store }}
  refused: {{ partitions: 1 }}
sources:
  told: {{ type: topic, topic: sold, schema: sale, watermark: {{ column: at, delay: 1s }} }}
tables:
  stores: {{ type: topic, topic: places, key: [store], schema: store }}
transforms:
  met: {{ type: sql, inputs: [told, stores], sql: "SELECT t.id, s.city FROM told AS t JOIN stores AS s ON s.store = t.store" }}
  seen: {{ type: sql, inputs: [told, stores], sql: "SELECT t.id, s.city FROM told AS t LEFT JOIN stores AS s ON s.store = t.store" }}
  longest:
    type: sql
    inputs: [told]
    sql: |
      SELECT store, window_end, COUNT(*) AS n, MAX(character_length(note)) AS longest, SUM(total + 1) AS total
      FROM TUMBLE(told, at, INTERVAL '1 minute') GROUP BY store, window_end
sinks:
  a: {{ type: object_store, inputs: [met], url: "s3://nowhere/a" }}
  b: {{ type: object_store, inputs: [seen], url: "s3://nowhere/b" }}
  c: {{ type: object_store, inputs: [longest], url: "s3://nowhere/c" }}
errors: {{ data: {{ action: dead_letter, topic: refused }} }}
tests:
  - name: no table, a large record, and a number too large
    inputs:
      told:
        - {{ id: a, store: S1, at: "2026-01-01T10:00:00Z", note: small, total: 1 }}
        - {{ id: b, store: S1, at: "2026-01-01T10:00:01Z", note: {large}, total: 2 }}
        - {{ id: c, store: S1, at: "2026-01-01T10:00:02Z", note: small, total: 9223372036854775807 }}
      stores: []
    expect:
      a: {{ rows: [] }}
      b: {{ rows: [{{ id: a }}, {{ id: b }}] }}
      c: {{ rows: [{{ store: S1, n: 2, longest: 921600, total: 5 }}], match: subset }}
      refused: {{ rows: [{{ reason: failed_expression, step: longest }}], match: subset, count: 1 }}
"#
    );
    let (code, out, err) = run(&text, &[]);
    assert_eq!(code, 0, "{}{err}", &out[..out.len().min(4_000)]);
    assert!(out.ends_with("1 passed, 0 failed\n"), "{}", &out[..out.len().min(4_000)]);
}

#[test]
fn a_worker_that_dies_anywhere_leaves_one_copy() {
    let (a, b, c) = (sale("A", 0, "5"), sale("B", 0, "7.50"), sale("C", 3, "20"));
    let points = [
        "web.before_stage",
        "web.after_commit",
        "published.after_stage",
        "sums.before_commit",
        "once.after_commit",
        "files.before_stage",
        "files.after_stage",
        "files.after_commit",
        "rows.before_commit",
        "rows.after_commit",
    ];
    let mut text = SALES.to_owned();
    for point in points {
        text += &format!(
            r#"  - name: {point}
    inputs: {{ web: [{a}, {b}, {c}] }}
    scenario: {{ fail_at: {point} }}
    expect:
      files: {{ count: 3, unique_by: [id] }}
      rows: {{ rows: [{{ sales: 2, total: 12.5 }}, {{ sales: 1, total: 20 }}], match: subset, count: 2 }}
      sold: {{ count: 3 }}
"#
        );
    }
    text += &format!(
        r#"  - name: what is left where nobody comes back
    inputs: {{ web: [{a}] }}
    scenario: {{ fail_at: files.before_commit, restart: false }}
    expect: {{ files: {{ count: 0 }}, sold: {{ count: 1 }} }}
"#
    );
    let (code, out, err) = run(&text, &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("11 passed, 0 failed\n"), "{out}");
}

#[test]
fn a_case_that_does_not_hold_says_where_and_what_is_there() {
    let (a, c) = (sale("A", 0, "5"), sale("C", 3, "20"));
    let tests = format!(
        r#"  - name: wrong rows
    inputs: {{ web: [{a}, {c}] }}
    expect:
      large: {{ rows: [{{ id: C, total: 20.01 }}] }}
      files: {{ count: 1 }}
  - name: too many rows
    inputs: {{ web: [{a}, {c}] }}
    expect: {{ large: {{ rows: [] }} }}
  - name: a point that nothing reaches
    inputs: {{}}
    scenario: {{ fail_at: rows.before_commit }}
    expect: {{ rows: {{ count: 0 }} }}
  - name: a table that cannot be read
    inputs: {{ stores: [{{ store: S1, city: ~ }}] }}
    expect: {{ rows: {{ count: 0 }} }}
"#
    );
    let text = format!("{SALES}{tests}");
    let (code, out, err) = run(&text, &[]);
    assert!(code == 1 && err.ends_with("millstream: 4 of 4 tests failed\n"), "{out}{err}");
    let lines =
        |name: &str| SALES.lines().count() + tests.lines().position(|line| line.contains(name)).unwrap() + 1;
    let (rows, count, extra) = (lines("20.01"), lines("count: 1"), lines("large: { rows: []"));
    let (point, table) = (lines("name: a point"), lines("name: a table"));
    let expected = format!(
        r#"FAILED  wrong rows
  p.yaml:{rows}:23: large: no row is {{"id":"C","total":20.01}}
    1 row there:
      {{"id":"C","total":20.00}}
  p.yaml:{count}:7: files: 1 row wanted, 2 are there
    2 rows there:
      {{"id":"A","store":"S1","at":"2026-01-01T10:00:00.000Z","total":5.00,"note":null}}
      {{"id":"C","store":"S1","at":"2026-01-01T10:03:00.000Z","total":20.00,"note":null}}
FAILED  too many rows
  p.yaml:{extra}:15: large: 0 rows wanted, and 1 is beside them; `match: subset` lets others be there
    1 row there:
      {{"id":"C","total":20.00}}
FAILED  a point that nothing reaches
  p.yaml:{point}:11: the worker was to die at rows.before_commit, which it never reached
FAILED  a table that cannot be read
  p.yaml:{table}:11: "#
    );
    assert!(untimed(&out).starts_with(&expected), "{out}\n-- wanted\n{expected}");
    assert!(out.ends_with("0 passed, 4 failed\n"), "{out}");

    let (code, out, _) = run(&text, &["--filter", "too many", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("it prints JSON");
    assert_eq!((code, &json["passed"], &json["failed"]), (1, &0.into(), &1.into()));
    assert_eq!(json["tests"][0]["faults"][0]["at"], format!("p.yaml:{extra}:15"));
    assert_eq!(json["tests"][0]["faults"][0]["found"][0], r#"{"id":"C","total":20.00}"#);
}

#[test]
fn files_with_faults_run_nothing() {
    let lines = SALES
        .replace(r#"type: http_server, listen: "203.0.113.1:80", path: /v1/sales"#, "type: file, path: in/*");
    let spare = SALES.replace("topics:\n", "topics:\n  spare: { partitions: 1 }\n");
    let case = |inputs: &str, rest: &str| format!("  - {{ name: t, inputs: {inputs}, {rest} }}\n");
    let count = "expect: { rows: { count: 0 } }";
    let cases = [
        (SALES, case("{ wep: [] }", count), "MS0701", "did you mean"),
        (SALES, case("{}", "expect: { rows: {} }"), "MS0702", "nothing is expected of \"rows\""),
        (SALES, case("{}", "expect: { rows: { count: -1 } }"), "MS01", "count"),
        (SALES, case("{ web: [7] }", count), "MS0704", "a row here is"),
        (SALES, case("{ stores: [{ store: [1] }] }", count), "MS0706", "a list or a mapping"),
        (&lines, case("{ web: [\"a\\nb\"] }", count), "MS0706", "holds a line break"),
        (&spare, case("{}", "expect: { spare: { count: 0 } }"), "MS0707", "nothing in the pipeline writes"),
        (
            SALES,
            case("{}", &format!("scenario: {{ fail_at: stores.before_stage }}, {count}")),
            "MS0703",
            "stores",
        ),
        (
            SALES,
            case("{}", &format!("scenario: {{ fail_at: rows.befor_commit }}, {count}")),
            "MS0703",
            "before_commit",
        ),
    ];
    for (file, tests, fault, text) in cases {
        let (code, out, err) = run(&format!("{file}{tests}"), &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{tests}{err}");
        assert!(err.contains(&format!("error[{fault}")) && err.contains(text), "{tests}{err}");
    }
    for (text, filter, said) in [
        (SALES.trim_end_matches("tests:\n").to_owned(), "", "p.yaml has no tests; write some under `tests:`"),
        (format!("{SALES}{}", case("{}", count)), "x", "none of the 1 tests of p.yaml has \"x\" in its name"),
    ] {
        let (code, out, err) = run(&text, &["--filter", filter]);
        assert!(code == 2 && out.is_empty() && err.contains(said), "{out}{err}");
    }
}

/// Filters, columns and conditions of sinks, before windows and behind them.
#[test]
fn short_forms_are_queries() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("p.yaml"), SHORT_FORMS).expect("it is written");
    let (code, out, err) = run_in(folder.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    for (right, wrong, place) in [
        ("total > 0 AND", "totl > 0 AND", "p.yaml:19:50: error[MS1002]: column 'totl' not found"),
        ("total > 10", "totale > 10", "p.yaml:28:19: error[MS1002]: column 'totale' not found"),
        ("label = 'large'", "lable = 'x'", "p.yaml:38:65: error[MS1002]: column 'lable' not found"),
        ("n < 2", "n < < 2", "p.yaml:40:67: error[MS1001]: syntax"),
    ] {
        assert_eq!(SHORT_FORMS.matches(right).count(), 1, "{right}");
        std::fs::write(folder.path().join("p.yaml"), SHORT_FORMS.replace(right, wrong))
            .expect("it is written");
        let (code, _, err) = run_in(folder.path(), &[]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(place) && err.contains("1 error"), "{err}");
    }
}

const SHORT_FORMS: &str = r#"version: 1
name: filters
broker: embedded
schemas:
  sale:
    fields:
      store: { type: string, required: true }
      at: { type: timestamp_ms, required: true }
      total: { type: int64, required: true }
topics:
  sales: { partitions: 2, key: store }
  large: { partitions: 1, key: shop }
  sums: { partitions: 1 }
  quiet: { partitions: 1 }
  late: { partitions: 1 }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 0s } }
transforms:
  good: { type: filter, inputs: [sales], where: "total > 0 AND store <> 'x'" }
  shaped:
    type: map
    inputs: [good]
    columns:
      shop: store
      at: at
      cents: "total * 100"
      label: |
        CASE WHEN total > 10
          THEN 'large' ELSE 'small' END
  sums:
    type: sql
    inputs: [shaped]
    sql: |
      SELECT shop, window_start, COUNT(*) AS n, SUM(cents) AS cents
      FROM TUMBLE(shaped, at, INTERVAL '1 hour') GROUP BY shop, window_start
    late: { allow: 1m, then: topic, topic: late }
sinks:
  large: { type: topic, inputs: [shaped], topic: large, where: "label = 'large'" }
  summed: { type: topic, inputs: [sums], topic: sums }
  quiet: { type: topic, inputs: [sums], topic: quiet, where: "n < 2" }
  stored: { type: sql_database, dsn: "sqlite:stored.db", table: sales, key: [store, at], inputs: [sales] }
tests:
  - name: all of it
    inputs:
      sales:
        - { store: a, at: "2026-01-01T10:00:00Z", total: 1 }
        - { store: a, at: "2026-01-01T10:01:00Z", total: 20 }
        - { store: b, at: "2026-01-01T10:01:00Z", total: 5 }
        - { store: b, at: "2026-01-01T10:01:00Z", total: -5 }
        - { store: x, at: "2026-01-01T10:01:00Z", total: 5 }
    expect:
      good: { count: 3 }
      stored: { count: 4 }
      shaped: { rows: [{ shop: a, cents: 100, label: small, at: "2026-01-01T10:00:00Z" }], match: subset }
      large: { rows: [{ shop: a, cents: 2000, label: large, at: "2026-01-01T10:01:00Z" }] }
      summed: { rows: [{ shop: a, n: 2, cents: 2100, window_start: "2026-01-01T10:00:00Z" }, { shop: b, n: 1, cents: 500, window_start: "2026-01-01T10:00:00Z" }] }
      quiet: { rows: [{ shop: b, n: 1, cents: 500, window_start: "2026-01-01T10:00:00Z" }] }
  - name: a late row, as it came
    inputs:
      sales:
        - { store: a, at: "2026-01-01T10:00:00Z", total: 1 }
        - { store: a, at: "2026-01-01T12:00:00Z", total: 2 }
        - '{"store":"a","at":"2026-01-01T10:01:00Z","total":3,"note":"late"}'
    expect:
      late: { rows: [{ store: a, at: "2026-01-01T10:01:00Z", total: 3, note: late }] }
      dead_letters: { count: 0 }
      summed: { count: 2 }
"#;

/// So do those of the pipelines from topics to topics, and one of each fails when it is made wrong.
#[test]
fn the_tests_of_pipelines_over_topics_hold() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/examples");
    let folder = tempfile::tempdir().expect("a folder");
    for (name, right, other, last) in [
        ("click-sessions", "visits: 2, pages: 3", "visits: 2, pages: 3", "2 passed, 0 failed\n"),
        ("click-sessions", "visits: 2, pages: 3", "visits: 3, pages: 3", "1 passed, 1 failed\n"),
        ("top-sellers", "place: 3, share: 0.2", "place: 3, share: 0.2", "1 passed, 0 failed\n"),
        ("top-sellers", "place: 3, share: 0.2", "place: 4, share: 0.2", "0 passed, 1 failed\n"),
        ("card-alerts", "last_hour: 1150.00", "last_hour: 1150.00", "1 passed, 0 failed\n"),
        ("card-alerts", "last_hour: 1150.00", "last_hour: 1150.01", "0 passed, 1 failed\n"),
        ("reorder-proposals", "sold: 13, shipped: 10", "sold: 13, shipped: 10", "2 passed, 0 failed\n"),
        ("reorder-proposals", "sold: 13, shipped: 10", "sold: 13, shipped: 9", "1 passed, 1 failed\n"),
        ("reorder-proposals", "qty: 12, cost: 144.00", "qty: 7, cost: 84.00", "1 passed, 1 failed\n"),
        ("reorder-proposals", "terms: by the truck", "terms: packs of 2", "1 passed, 1 failed\n"),
        (
            "attributed-clicks",
            "10:00:05Z\", clicked_at: null",
            "10:00:05Z\", clicked_at: null",
            "1 passed, 0 failed\n",
        ),
        (
            "attributed-clicks",
            "10:00:05Z\", clicked_at: null",
            "10:00:06Z\", clicked_at: null",
            "0 passed, 1 failed\n",
        ),
        ("activity", "views: 2, searches: 1", "views: 2, searches: 1", "1 passed, 0 failed\n"),
        ("activity", "views: 2, searches: 1", "views: 2, searches: 2", "0 passed, 1 failed\n"),
        ("auctions", "mean_price: 17.50", "mean_price: 17.50", "2 passed, 0 failed\n"),
        ("auctions", "bids: 1, highest: 3.00", "bids: 3, highest: 12.00", "1 passed, 1 failed\n"),
        ("customer-orders", "orders: 2, total: 19.50", "orders: 2, total: 19.50", "2 passed, 0 failed\n"),
        (
            "customer-orders",
            "order_id: 12, total: 98.00, name",
            "order_id: 12, total: 99.00, name",
            "1 passed, 1 failed\n",
        ),
        ("shop-shelves", "price: 1.20, qty: 7", "price: 1.20, qty: 7", "2 passed, 0 failed\n"),
        ("shop-shelves", "price: 1.20, qty: 7", "price: 1.20, qty: 6", "1 passed, 1 failed\n"),
        ("priced-sales", "discount: 40.00", "discount: 40.00", "1 passed, 0 failed\n"),
        ("priced-sales", "discount: 40.00", "discount: 40.01", "0 passed, 1 failed\n"),
        ("price-requests", "total: 13.50", "total: 13.50", "3 passed, 0 failed\n"),
        ("price-requests", "total: 13.50", "total: 13.51", "2 passed, 1 failed\n"),
        ("order-notices", "Dear Ben", "Dear Ben", "3 passed, 0 failed\n"),
        ("order-notices", "Dear Ben", "Dear Bea", "2 passed, 1 failed\n"),
        ("order-notices", "order_id: o8", "order_id: o9", "2 passed, 1 failed\n"),
    ] {
        let text = std::fs::read_to_string(examples.join(name).join("pipeline.yaml")).expect("it is there");
        assert_eq!(text.matches(right).count(), 1, "{right}");
        std::fs::write(folder.path().join("p.yaml"), text.replace(right, other)).expect("it is written");
        for module in std::fs::read_dir(examples.join(name)).expect("it is there").flatten() {
            if module.path().extension().is_some_and(|ending| ending == "wasm") {
                std::fs::copy(module.path(), folder.path().join(module.file_name())).expect("it is copied");
            }
        }
        let fixtures = std::fs::read_dir(examples.join(name).join("fixtures")).into_iter().flatten();
        for fixture in fixtures.map(|fixture| fixture.expect("it is there")) {
            std::fs::create_dir_all(folder.path().join("fixtures")).expect("it is made");
            let copy = folder.path().join("fixtures").join(fixture.file_name());
            std::fs::copy(fixture.path(), copy).expect("it is copied");
        }
        let (_, out, err) = run_in(folder.path(), &[]);
        assert!(out.ends_with(last), "{name}: {out}{err}");
    }
}

/// The example's own tests hold, and none of them holds when what it expects is made wrong.
#[test]
fn rows_that_are_replaced_go_again() {
    let text = r#"version: 1
name: shop
broker: { bootstrap: ["203.0.113.1:9092"] }
schemas:
  product:
    fields:
      id:       { type: int64, required: true }
      category: { type: string, required: true }
      price:    { type: decimal, precision: 12, scale: 2, required: true }
topics:
  products: { partitions: 3, key: id }
  by_id:    { partitions: 2, key: id, cleanup: compact }
  by_class: { partitions: 2, key: category }
  counted:  { partitions: 2, key: category, cleanup: compact }
sources:
  products: { type: topic, topic: products, schema: product, upsert: true }
transforms:
  dear:    { type: sql, inputs: [products], sql: "SELECT id, price FROM products WHERE price > 10" }
  copied:  { type: topic, inputs: [products], topic: by_id }
  placed:  { type: sql, inputs: [products], emit: { on_update: 10ms }, sql: "SELECT id, category, COUNT(*) AS n, SUM(price) AS total FROM products GROUP BY id, category" }
  carried: { type: topic, inputs: [placed], topic: by_class }
  counts:  { type: sql, inputs: [carried], emit: { on_update: 10ms }, sql: "SELECT category, SUM(n) AS n, SUM(total) AS total FROM carried GROUP BY category" }
  many:    { type: sql, inputs: [counts], sql: "SELECT category, n FROM counts WHERE n > 1" }
sinks:
  dear_rows:   { type: postgres, inputs: [dear], dsn: "postgres://nobody@203.0.113.1/x", table: dear, mode: upsert, key: [id] }
  count_rows:  { type: postgres, inputs: [counts], dsn: "postgres://nobody@203.0.113.1/x", table: counts, mode: upsert, key: [category] }
  many_rows:   { type: sqlite, inputs: [many], path: x.db, table: many, mode: upsert, key: [category] }
  cheap:       { type: sqlite, inputs: [copied], path: x.db, table: cheap, mode: upsert, key: [id], where: "price < 10" }
  all_of_them: { type: sqlite, inputs: [copied], path: x.db, table: all_of_them, mode: upsert, key: [id] }
  counted:     { type: topic, inputs: [counts], topic: counted }
tests:
  - name: rows move and go
    inputs:
      products:
        - { id: 1, category: a, price: 12 }
        - { id: 2, category: a, price: 2 }
        - { id: 3, category: b, price: 20 }
        - { id: 1, category: b, price: 9 }
        - { gone: { id: 3 } }
        - { gone: { id: 7 } }
        - { id: 4, category: c, price: 30 }
        - { gone: { id: 4 } }
        - { id: 5, category: b, price: 30 }
    expect:
      all_of_them: { rows: [{ id: 1, category: b, price: 9 }, { id: 2, category: a, price: 2 }, { id: 5, category: b, price: 30 }] }
      cheap: { rows: [{ id: 1, category: b, price: 9 }, { id: 2, category: a, price: 2 }] }
      dear_rows: { rows: [{ id: 5, price: 30 }] }
      count_rows: { rows: [{ category: a, n: 1, total: 2 }, { category: b, n: 2, total: 39 }] }
      many_rows: { rows: [{ category: b, n: 2 }] }
      # What came out, row by row.
      dear: { rows: [{ id: 1, price: 12 }, { gone: { id: 1 } }, { gone: { id: 7 } }], match: subset }
      # And what the records say, by key or by header.
      by_id: { rows: [{ gone: { id: 3 } }, { gone: { id: 4 } }, { id: 5, category: b, price: 30 }], match: subset, count: 9 }
      by_class: { rows: [{ gone: { id: 1, category: a } }, { id: 1, category: b, n: 1, total: 9 }], match: subset }
  - name: what names no row goes to the dead letters
    inputs: { products: [{ id: 1, category: a, price: 12 }, { gone: { id: seven } }, { gone: { id: 1 } }] }
    expect:
      dead_letters: { rows: [{ reason: malformed_json, step: products }], match: subset, count: 1 }
      all_of_them: { rows: [] }
      by_id: { rows: [{ id: 1, category: a, price: 12 }, { gone: { id: 1 } }] }
  - name: a worker dies while rows go
    inputs: { products: [{ id: 1, category: a, price: 12 }, { id: 1, category: b, price: 2 }, { id: 2, category: c, price: 3 }, { gone: { id: 2 } }] }
    scenario: { fail_at: all_of_them.after_stage }
    expect:
      all_of_them: { rows: [{ id: 1, category: b, price: 2 }] }
      dear_rows: { rows: [] }
      count_rows: { rows: [{ category: b, n: 1, total: 2 }] }
"#;
    let (code, out, err) = run(text, &[]);
    assert_eq!(code, 0, "{out}{err}");
    // A test that says otherwise does not hold.
    let wrong = text.replacen("dear_rows: { rows: [{ id: 5, price: 30 }] }", "dear_rows: { count: 2 }", 1);
    let (code, out, err) = run(&wrong, &["--filter", "move"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("dear_rows"), "{out}");
    let nameless = text.replacen("{ gone: { id: 7 } }", "{ gone: { category: b } }", 1);
    let (code, out, err) = run(&nameless, &[]);
    assert_eq!(code, 2, "{out}{err}");
    assert!(format!("{out}{err}").contains("is not named by its topic's key: id is missing"), "{out}{err}");
    let named_by_more = text.replacen("{ gone: { id: 7 } }", "{ gone: { id: 7, category: b } }", 1);
    let (code, out, err) = run(&named_by_more, &[]);
    assert_eq!(code, 2, "{out}{err}");
    assert!(format!("{out}{err}").contains("and category would not be looked at"), "{out}{err}");
}

#[test]
fn the_examples_tests_hold_and_fail_when_they_are_made_wrong() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/examples/store-invoices");
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = "check_invoice.wasm";
    std::fs::copy(example.join(wasm), folder.path().join(wasm)).expect("it is copied");
    let text = std::fs::read_to_string(example.join("pipeline.yaml")).expect("it is there");
    std::fs::write(folder.path().join("p.yaml"), &text).expect("it is written");
    let (code, out, err) = run_in(folder.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("4 passed, 0 failed\n"), "{out}");

    let mut wrong = text;
    for (right, other) in [
        ("revenue: 120.50 }", "revenue: 120.51 }"),
        ("{ reason: bad_total }", "{ reason: bad_sum }"),
        ("unique: { count: 1,", "unique: { count: 2,"),
        ("lake: { count: 1,", "lake: { count: 2,"),
    ] {
        assert_eq!(wrong.matches(right).count(), 1, "{right}");
        wrong = wrong.replace(right, other);
    }
    std::fs::write(folder.path().join("p.yaml"), &wrong).expect("it is written");
    let (code, out, _) = run_in(folder.path(), &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.ends_with("0 passed, 4 failed\n"), "{out}");
    for said in [
        r#"revenue: no row has {"store_id":"S1","city":"Pune","invoices":1,"revenue":120.51}"#,
        r#"dead_letter: no row has {"reason":"bad_sum"}"#,
        "unique: 2 rows wanted, 1 is there",
        "lake: 2 rows wanted, 1 is there",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}

/// A recording has the records of its topic as they were: in the topic's format, in its partition, in the topic's order.
#[test]
fn recordings_are_replayed_as_they_were() {
    let pipeline = |input: &str, expect: &str| {
        format!(
            r#"version: 1
name: recorded
schema_registry: {{ url: "http://203.0.113.1/" }}
schemas:
  sale: {{ fields: {{ id: {{ type: string, required: true }}, n: {{ type: int64, required: true }}, at: {{ type: timestamp_ms, required: true }} }} }}
topics:
  sales: {{ partitions: 2, key: id, format: csv }}
  framed: {{ partitions: 2, key: id, format: {{ type: avro, registry: true }} }}
  shown: {{ partitions: 1 }}
sources:
  sales: {{ type: topic, topic: sales, schema: sale, watermark: {{ column: at, delay: 0s }} }}
  framed: {{ type: topic, topic: framed, schema: sale }}
transforms:
  sums:
    type: sql
    inputs: [sales]
    sql: SELECT id, window_start, SUM(n) AS n FROM TUMBLE(sales, at, INTERVAL '1 minute') GROUP BY id, window_start
  large: {{ type: filter, inputs: [framed], where: "n > 0" }}
sinks:
  shown: {{ type: topic, inputs: [sums], topic: shown }}
  more: {{ type: blackhole, inputs: [large] }}
tests:
  - name: it
    inputs: {{ {input} }}
    expect: {{ {expect} }}
"#
        )
    };
    let folder = tempfile::tempdir().expect("a folder");
    // Time turns back within partition 1: the row of 10:00 is late behind that of 10:05, as it was then. Its key is of
    // partition 0 by its hash or not: it stays where it was.
    let line = |partition: u32, offset: u32, timestamp: u32, id: &str, value: &str| {
        format!(
            "{{\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp},\"key\":\"{id}\",\"value\":\"{value}\"}}\n"
        )
    };
    let text = line(1, 1, 10, "a", "a,2,2026-01-01T10:00:00Z")
        + &line(1, 0, 20, "a", "a,1,2026-01-01T10:05:00Z")
        + &line(0, 3, 5, "b", "b,4,2026-01-01T10:00:00Z")
        + &line(0, 4, 30, "b", "b,8,2026-01-01T10:00:30Z");
    std::fs::write(folder.path().join("sales.jsonl"), &text).expect("it is written");
    std::fs::write(folder.path().join("far.jsonl"), line(2, 0, 0, "a", "x")).expect("it is written");
    let ran = |input: &str, expect: &str| {
        std::fs::write(folder.path().join("p.yaml"), pipeline(input, expect)).expect("it is written");
        run_in(folder.path(), &[])
    };
    let sums = "{ id: a, n: 1, window_start: \"2026-01-01T10:05:00Z\" }";
    let both =
        format!("sums: {{ rows: [{sums}, {{ id: b, n: 12, window_start: \"2026-01-01T10:00:00Z\" }}] }}");
    for (input, expect) in [
        (
            "sales: { recording: sales.jsonl }",
            format!(
                "{both}, dead_letters: {{ count: 1, rows: [{{ reason: late, origin: sales-1@1 }}], match: subset }}"
            ),
        ),
        (
            "sales: { recording: sales.jsonl, to: \"1970-01-01T00:00:00.006Z\" }",
            "sums: { rows: [{ id: b, n: 4, window_start: \"2026-01-01T10:00:00Z\" }] }".to_owned(),
        ),
        ("sales: { recording: sales.jsonl, limit: 2 }", "sums: { count: 2 }".to_owned()),
    ] {
        let (code, out, err) = ran(input, &expect);
        assert_eq!((code, err.as_str()), (0, ""), "{input}: {out}");
    }
    for (input, said) in [
        ("sales: { recording: none.jsonl }", "p.yaml:24:35: error[MS0709]: reading the recording none.jsonl"),
        (
            "sales: { recording: far.jsonl }",
            "far.jsonl:1:1: error[MS0709]: the record is of partition 2, and the topic \"sales\" has 2",
        ),
        ("framed: { recording: sales.jsonl }", "its Avro records name schemas in a registry"),
    ] {
        let (code, _, err) = ran(input, "sums: { count: 0 }");
        assert_eq!(code, 2, "{input}: {err}");
        assert!(err.contains(said), "{input}: {err}");
    }
}
