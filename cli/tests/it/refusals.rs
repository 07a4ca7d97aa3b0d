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
