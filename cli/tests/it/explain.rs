//! `millstream explain` from the outside: what `plan` prints, and then what the engine runs.

use std::path::Path;
use std::process::Command;

fn run(folder: &Path, verb: &str) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args([verb, "p.yaml", "--set", "topics.sold.partitions=3"])
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    (output.status.code().expect("it exits"), String::from_utf8(output.stdout).expect("it prints UTF-8"))
}

#[test]
fn operators_are_shown_as_they_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = crate::case_files::SALES.trim_end_matches("tests:\n");
    std::fs::write(folder.path().join("p.yaml"), text).expect("it is written");
    let (code, plan) = run(folder.path(), "plan");
    assert_eq!(code, 0);
    let (code, explained) = run(folder.path(), "explain");
    assert_eq!(code, 0);
    let operators = explained.strip_prefix(&plan).expect("it begins with the plan");
    assert!(plan.contains("web -> published -> once -> sums -> rows: exactly_once"), "{plan}");
    for block in [
        r#"
operators of stage published
  decodes id Utf8, store Utf8, at Timestamp(ms, "UTC"), total Decimal128(18, 2), note Utf8 or null
  watermark of each partition: the greatest at less 1s; a partition that waits longer than 1m holds nothing back
"#,
        r#" <- published
    runs
      1. dedupe: drop rows whose store, id came within 1 h of at before; put those with other content aside
    state
      by store, id in each of 3 key groups
      holds a hash of the key, a hash of the content, and at: 33 bytes a row
      kept until the watermark is 2 h past at (1 h + 1 h for late rows)
      changelog sales-once-state, 3 partitions, in each commit's transaction
    late: rows more than 1 h behind the watermark are put aside
"#,
        r#" <- once
    logical plan
      Filter: once.total > Decimal128(10.00,18,2)
        TableScan: once projection=[id, total]
    runs
      1. scan: id, total
      2. filter: total > 10.00
    state: none
    gives id Utf8, total Decimal128(18, 2)
"#,
        r#"
    runs
      1. scan: store, at, total
      2. window: tumbling, 1 min, by at
      3. project: store, total, window_start, window_end
      4. join: table stores by hash (inner), as it is when a row comes, on store = stores.store
      5. project: store, total, window_start, window_end, city
      6. aggregate: count(1), sum(total) by store, city and window; fires once, when the watermark reaches window_end
      7. project: store, city, window_start, count(Int64(1)) AS sales, sum(s.total) AS total
    state
      by store, city, window in each of 3 key groups
      holds count_0_0 Int64, sum_1_0 Decimal128(28, 2)
      kept until the window fires: the watermark is 1 min past its start
      changelog sales-sums-state, 3 partitions, in each commit's transaction
    late: rows of windows that have ended by the watermark go to the dead letters
"#,
    ] {
        assert!(operators.contains(block), "{operators}\n-- lacks\n{block}");
    }
}

#[test]
fn functions_are_shown_with_who_calls_them() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/examples/reorder-proposals");
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["explain", "pipeline.yaml", "--data", "/nonexistent"])
        .current_dir(example)
        .output()
        .expect("the binary starts");
    let text = String::from_utf8(output.stdout).expect("it prints UTF-8");
    for block in [
        "    calls reorder_quantity\n",
        "\nfunctions\n  reorder_quantity(int64, decimal(18,2), string) -> int64 by reorder_quantity.wasm, sha256 ",
        "\nfunction reorder_quantity(int64, decimal(18,2), string) -> int64\n  module reorder_quantity.wasm, sha256 ",
        "\n  called by proposal\n  limits: 64 MiB of memory, 100000000 units of fuel a call\n",
        ": reorder_quantity(",
    ] {
        assert!(text.contains(block), "no {block:?} in\n{text}");
    }
}
