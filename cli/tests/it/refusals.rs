//! Files with faults from the outside: `validate` and `run` name each with its place, and end with 2 before anything runs;
//! and functions that loop, trap and grow cost their own record only.

#[path = "../../../streams/wasm/tests/it/guests.rs"]
#[expect(dead_code, reason = "its components are for the host's own tests")]
mod guests;

use std::path::Path;
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(arguments).current_dir(folder).output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

/// Orders of two columns into a table.
const ORDERS: &str = r#"version: 1
name: orders
schemas:
  order:
    fields:
      id: { type: string, required: true }
      n:  { type: int32, required: true }
topics:
  sold: { partitions: 2, key: id }
sources:
  inbox: { type: file, path: "*.jsonl", watch: false, schema: order }
transforms:
  published: { type: topic, inputs: [inbox], topic: sold }
sinks:
  rows: { type: sqlite, inputs: [published], path: out.db, table: orders, mode: insert }
"#;

/// What `validate` prints of a text, and that `run` refuses it in the same words.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("p.yaml"), text).expect("it is written");
    let (code, out, err) = run(folder.path(), &["validate", "p.yaml"]);
    assert_eq!(code, 2, "{out}{err}");
    // Each ends with a line of its own.
    let faults = |out: &str, err: &str| match format!("{out}{err}").split_once("\nmillstream: ") {
        Some((faults, _)) => faults.to_owned(),
        None => panic!("no last line: {out}{err}"),
    };
    let told = faults(&out, &err);
    let (code, out, err) = run(folder.path(), &["run", "p.yaml"]);
    assert_eq!((code, faults(&out, &err)), (2, told.clone()), "run says something else");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "a refused file leaves nothing behind: {left:?}");
    told
}

#[test]
fn every_fault_has_its_place_and_nothing_runs() {
    let text = ORDERS.replace("partitions: 2", "partitons: 2").replace("type: sqlite", "type: sqlight");
    let told = refused(&text);
    for part in ["p.yaml:9:11: error[", "did you mean", "p.yaml:15:17: error[MS0107]"] {
        assert!(told.contains(part), "no {part} in\n{told}");
    }
}

#[test]
fn faults_are_there_for_programs_too() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("p.yaml"), ORDERS.replace("partitions: 2", "partitons: 2"))
        .expect("it is written");
    let (code, out, _) = run(folder.path(), &["validate", "p.yaml", "--format", "json"]);
    assert_eq!(code, 2);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let text = json.to_string();
    for part in ["\"line\":9", "\"column\":11", "MS0"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    std::fs::write(folder.path().join("p.yaml"), ORDERS).expect("it is written");
    let (code, out, err) = run(folder.path(), &["validate", "p.yaml", "--format", "json"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn shapes_that_no_stage_runs_are_faults_of_the_file() {
    let two_keys = ORDERS.replace("key: id }", "key: [id, n] }");
    let told = refused(&two_keys);
    assert!(told.contains("p.yaml:9:36: error[MS0108]: a topic with a key of several columns"), "{told}");
    let sql_first = ORDERS.replace(
        "  published: { type: topic, inputs: [inbox]",
        "  large: { type: sql, inputs: [inbox], sql: \"SELECT id, n FROM inbox WHERE n > 1\" }\n  published: { type: topic, inputs: [large]",
    );
    let told = refused(&sql_first);
    assert!(told.contains("p.yaml:13:3: error[MS0108]: \"large\", of type sql, before a topic"), "{told}");
}

/// A function's module, its name, and the types of a call, each at its place.
#[test]
fn columns_that_a_sink_cannot_take_are_told_before_anything_runs() {
    let text = ORDERS
        .replace("n:  { type: int32, required: true }", "n:  { type: list, items: { type: int32 } }")
        + "  files: { type: object_store, inputs: [published], url: out, partition_by: [n] }\n";
    let told = refused(&text);
    for part in [
        "p.yaml:15:34: error[",
        "writing to orders: column \"n\" has the type List",
        "p.yaml:16:41: error[",
        "cannot be made of the column \"n\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn functions_are_checked_before_anything_runs() {
    let text = ORDERS.replace(
        "transforms:\n",
        "functions:\n  upper: { module: gone.wasm, arguments: [int64], returns: int64 }\n  doubled: { module: gone.wasm, arguments: [int64], returns: int64 }\n\
         transforms:\n  twice: { type: map, inputs: [published], columns: { id: upper(id), n: \"1 + doubled(id)\" } }\n",
    );
    let told = refused(&text.replace("inputs: [published], path", "inputs: [twice], path"));
    for part in [
        "p.yaml:13:3: error[MS1102]: \"upper\" is the name of a function, or a form like one, that SQL has",
        "p.yaml:14:22: error[MS1101]: reading the function ",
        "p.yaml:16:78: error[MS1002]: there is no doubled(Utf8): doubled does not take these types",
        "help: doubled takes (Int64); change a type with CAST(… AS …)",
    ] {
        assert!(told.contains(part), "no {part} in\n{told}");
    }
}

/// Products that are replaced and go, into what is put behind it.
const PRODUCTS: &str = r#"version: 1
name: shop
schemas:
  product:
    fields:
      id:       { type: string, required: true }
      category: { type: string, required: true }
topics:
  products: { partitions: 2, key: id }
  compacted: { partitions: 2, key: category, cleanup: compact }
  divided: { partitions: 2, key: n }
sources:
  products: { type: topic, topic: products, schema: product, upsert: true }
transforms:
  placed: { type: sql, inputs: [products], emit: { on_update: 1s }, sql: "SELECT id, category, COUNT(*) AS n FROM products GROUP BY id, category" }
  chosen: { type: sql, inputs: [products], sql: "SELECT id, category FROM products WHERE category <> 'x'" }
  unnamed: { type: sql, inputs: [products], emit: { on_update: 1s }, sql: "SELECT id AS category, COUNT(*) AS n FROM products GROUP BY id, category" }
  all_of_them: { type: sql, inputs: [one], emit: { on_update: 1s }, sql: "SELECT 'all' AS id, COUNT(*) AS n FROM one" }
  one: { type: topic, inputs: [chosen], topic: one }
"#;

#[test]
fn rows_that_go_are_found_again_behind_queries() {
    let topics = PRODUCTS.replace("sources:", "  one: { partitions: 1, key: id }\nsources:");
    let sinks = r#"sinks:
  by_part: { type: sqlite, inputs: [placed], path: a.db, table: a, mode: upsert, key: [id] }
  by_more: { type: sqlite, inputs: [chosen], path: a.db, table: b, mode: upsert, key: [category, id] }
  by_nobody: { type: sqlite, inputs: [unnamed], path: a.db, table: c, mode: upsert, key: [category] }
  compacted: { type: topic, inputs: [placed], topic: compacted }
  divided: { type: topic, inputs: [placed], topic: divided }
  fitting: { type: sqlite, inputs: [placed], path: a.db, table: d, mode: upsert, key: [category, id] }
  always: { type: sqlite, inputs: [all_of_them], path: a.db, table: e, mode: upsert, key: [id] }
"#;
    let told = refused(&format!("{topics}{sinks}"));
    for part in [
        "rows of \"placed\" are known by id, category, and may go; the sink \"by_part\" would look for them by id",
        "help: say `key: [id, category]`",
        "rows of \"chosen\" are known by id, and may go; the sink \"by_more\" would look for them by category, id",
        "rows of \"unnamed\" may go, and what they are known by does not all come out of it",
        "rows of \"placed\" are known by id, category, and the topic \"compacted\" is compacted",
        "rows of \"placed\" are known by id, category, and may go; the topic \"divided\" is keyed by n",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert_eq!(told.matches("error[").count(), 5, "{told}");
    // Rows that stay are read by all that they are known by: in a topic of the pipeline's own, not one that is compacted by less.
    let stay = topics.replace("upsert: true", "upsert: false");
    let told = refused(&format!(
        "{stay}  carried: {{ type: topic, inputs: [placed], topic: compacted }}\nsinks:\n  all_rows: {{ type: sqlite, inputs: [all_of_them], path: a.db, table: e, mode: upsert, key: [id] }}\n"
    ));
    assert!(told.contains("the topic \"compacted\" is compacted"), "{told}");
    // A sink that reads the topic of others, and one that reads a topic of the pipeline's own.
    let sinks = r#"sinks:
  straight: { type: sqlite, inputs: [products], path: a.db, table: a, mode: upsert, key: [category] }
  carried: { type: sqlite, inputs: [one], path: a.db, table: b, mode: upsert, key: [id, category] }
"#;
    let told = refused(&format!("{topics}{sinks}"));
    for part in
        ["rows of \"products\" are known by id, and may go", "rows of \"one\" are known by id, and may go"]
    {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn a_table_behind_groups_is_compared_by_its_key() {
    let text = |on: &str| {
        let topics = PRODUCTS.replace(
            "sources:",
            "  named: { partitions: 1, key: id }\n  one: { partitions: 1, key: id }\nsources:",
        );
        let tables =
            "tables:\n  names: { type: topic, topic: named, key: [id], schema: product }\ntransforms:";
        format!(
            r#"{}  with_names: {{ type: sql, inputs: [products, names], emit: {{ on_update: 1s }}, sql: "SELECT g.id, g.n, t.category FROM (SELECT id, COUNT(*) AS n FROM products GROUP BY id) AS g LEFT JOIN names AS t ON {on}" }}
sinks:
  rows: {{ type: sqlite, inputs: [with_names], path: a.db, table: a, mode: upsert, key: [id] }}
"#,
            topics.replace("transforms:", tables)
        )
    };
    let told = refused(&text("t.category = g.id"));
    for part in
        ["p.yaml:24:", "several rows of names may match", "told apart by id too", "group by id as well"]
    {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("p.yaml"), text("t.id = g.id")).expect("it is written");
    let (code, out, err) = run(folder.path(), &["validate", "p.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn a_function_that_loops_traps_or_grows_costs_its_record_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let guest = wat::parse_str(guests::plain()).expect("a guest");
    std::fs::write(folder.path().join("guest.wasm"), guest).expect("it is written");
    let text = ORDERS
        .replace("transforms:\n", "transforms:\n  checked: { type: wasm, inputs: [inbox], module: guest.wasm, output: order, limits: { memory: 4MiB, fuel: 2000000 } }\n")
        .replace("inputs: [inbox], topic", "inputs: [checked], topic")
        .replace("  sold: { partitions: 2, key: id }\n", "  sold: { partitions: 2, key: id }\n  refused: { partitions: 1 }\n")
        + r#"errors: { data: { action: dead_letter, topic: refused, on_exceed: continue } }
tests:
  - name: hostile records
    inputs:
      inbox: ['{"id":"a","n":1}', "l", '{"id":"b","n":2}', "t", "g", '{"id":"c","n":3}', "r", '{"id":"d","n":4}']
    expect:
      rows: { count: 4, unique_by: [id] }
      refused:
        rows:
          - { reason: function_fuel, step: checked, payload: "l", origin: "inbox:2" }
          - { reason: function_trap, step: checked, payload: "t", origin: "inbox:4" }
          - { reason: function_memory, step: checked, payload: "g", origin: "inbox:5" }
          - { reason: function_trap, step: checked, payload: "r", origin: "inbox:7" }
        match: subset
        count: 4
"#;
    std::fs::write(folder.path().join("p.yaml"), text).expect("it is written");
    let (code, out, err) = run(folder.path(), &["test", "p.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn too_many_bad_records_of_live_input_pause_the_stage_and_not_the_run() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().expect("a folder");
    let text = ORDERS.replace("watch: false", "watch: true")
        + "errors: { data: { action: dead_letter, max_rate: 5%/1m, on_exceed: pause } }\n";
    std::fs::write(folder.path().join("p.yaml"), text).expect("it is written");
    std::fs::write(folder.path().join("a.jsonl"), "nonsense\n".repeat(200)).expect("it is written");
    let mut child = Command::new(BINARY)
        .args(["run", "p.yaml"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut lines = said.map(|line| line.expect("UTF-8"));
    let said = lines.find(|line| line.contains("max_rate")).expect("it says why before it ends");
    assert!(said.contains("is paused, the others go on"), "{said}");
    assert!(child.try_wait().expect("a child").is_none(), "the run has ended");
    let stop = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(stop.success());
    let last = lines.last().expect("it says how it ended");
    assert!(last.contains("stopped while it was paused"), "{last}");
    assert_eq!(child.wait().expect("an end").code(), Some(1), "it did not do what it was to");
}
