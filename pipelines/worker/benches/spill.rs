//! What state costs that is partly on a local disk: rows of many keys through windows, sessions and groups, in memory and within
//! budgets. CPU time of this thread, and how long it took; each case in a process of its own, for its memory.
//!
//! `cargo bench -p millstream-worker --bench spill [-- <keys>]`

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millstream_engine::stage::{OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec};
use millstream_engine::state::scratch::Spill;
use millstream_model::{KeyGroup, LateRule, WatermarkConfig};
use millstream_types::{Rng, SeededRng};
use millstream_worker::scratch::FileScratch;

const GROUPS: u32 = 64;
/// Rows between commits.
const COMMIT_ROWS: u64 = 256 * 1_024;

const FORMS: [(&str, &str); 3] = [
    (
        "windows",
        "SELECT k, window_start, window_end, count(*) AS n, sum(v) AS v FROM TUMBLE(rows, at, INTERVAL '1 day')
         GROUP BY k, window_start, window_end",
    ),
    (
        "sessions",
        "SELECT k, window_start, window_end, count(*) AS n, sum(v) AS v FROM SESSION(rows, at, INTERVAL '1 day', k)
         GROUP BY k, window_start, window_end",
    ),
    ("groups", "SELECT k, count(*) AS n, sum(v) AS v FROM rows GROUP BY k"),
];

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("v", DataType::Int64, false),
        Field::new("at", time, false),
    ]))
}

fn stage(form: &str, sql: &str) -> Stage {
    let update_ms = (form == "groups").then_some(60_000);
    let mut stage = Stage::build(StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "rows".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: Some("at".into()),
            watermark: WatermarkConfig { delay_ms: 1_000, idle_after_ms: None, bounded: true },
            partitioned_by: Some(vec!["k".into()]),
            latest_by: None,
        }],
        key_groups: GROUPS,
        changelog_partitions: 16,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: vec!["rows".into()],
            kind: OperatorKind::Sql { sql: sql.to_owned(), late: LateRule::default(), update_ms, keep: None },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows: 8_192,
    })
    .expect("a stage");
    (0..GROUPS).for_each(|group| stage.assign(KeyGroup(group), 0));
    stage
}

/// Rows of random keys, by key group.
fn rows(rng: &mut SeededRng, count: u64, keys: u64, from: u64) -> Vec<RecordBatch> {
    let mut parts: Vec<(Vec<String>, Vec<i64>, Vec<i64>)> = vec![Default::default(); GROUPS as usize];
    for row in 0..count {
        let key = rng.below(keys);
        let (texts, values, times) = &mut parts[(key % u64::from(GROUPS)) as usize];
        texts.push(format!("C{key:08}"));
        values.push(rng.below(10_000) as i64);
        times.push(((from + row) / 1_000) as i64);
    }
    let batch = |(texts, values, times): (Vec<String>, Vec<i64>, Vec<i64>)| {
        let times = TimestampMillisecondArray::from(times).with_timezone("UTC");
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(texts)), Arc::new(Int64Array::from(values)), Arc::new(times)];
        RecordBatch::try_new(schema(), columns).expect("rows")
    };
    parts.into_iter().map(batch).collect()
}

/// One case: prints its line.
fn run(form: &str, keys: u64, budget_mib: usize) {
    let sql = FORMS.iter().find(|(name, _)| *name == form).expect("a form").1;
    let folder = std::env::temp_dir().join("millstream-bench-spill");
    let spill = Spill::to(Arc::new(FileScratch::new(folder)));
    let budget = budget_mib << 20;
    let mut stage = stage(form, sql);
    let mut rng = SeededRng::new(3);
    let count = keys * 2;
    let (mut cpu, mut took, mut most, mut most_disk) = (0, 0, 0, 0);
    let mut from = 0;
    while from < count {
        let batches = rows(&mut rng, COMMIT_ROWS.min(count - from), keys, from);
        from += COMMIT_ROWS;
        let (began, at) = (cpu_ns(), Instant::now());
        for part in 0..32 {
            for (group, batch) in batches.iter().enumerate() {
                let size = batch.num_rows().div_ceil(32);
                let first = (part * size).min(batch.num_rows());
                let batch = batch.slice(first, size.min(batch.num_rows() - first));
                stage.push_batch(0, (KeyGroup(group as u32), 0), &batch).expect("an assigned partition");
            }
            stage.turn(0).expect("a turn");
        }
        black_box(stage.commit(0).expect("a commit"));
        let sizes = |stage: &Stage| {
            let sizes = stage.state_sizes();
            (
                sizes.iter().map(|s| s.1.bytes).sum::<usize>(),
                sizes.iter().map(|s| s.1.disk_bytes).sum::<u64>(),
            )
        };
        let (bytes, _) = sizes(&stage);
        if budget > 0 && bytes > budget {
            stage.spill(&spill, bytes - budget + budget / 8).expect("room");
        }
        cpu += cpu_ns() - began;
        took += at.elapsed().as_nanos();
        let (bytes, disk) = sizes(&stage);
        (most, most_disk) = (bytes.max(most), disk.max(most_disk));
    }
    black_box(stage.take_outputs());
    let held = status("VmHWM");
    let (began, at) = (cpu_ns(), Instant::now());
    for group in 0..GROUPS {
        stage.finish(0, KeyGroup(group), 0).expect("an end");
    }
    black_box(stage.commit(60_000).expect("a commit"));
    let (fire_cpu, fire_took) = (cpu_ns() - began, at.elapsed().as_nanos());
    let results: usize = stage.take_outputs().batches.iter().map(|out| out.batch.num_rows()).sum();
    let each = |ns: f64| ns / count as f64;
    println!(
        "{form:<9} {keys:>9} keys {:>9}   {:>6.0} ns CPU, {:>6.0} ns a row   state {:>5} MiB and {:>5} MiB on disk, resident {:>5} MiB   {results} results in {:.1} s ({:.1} s CPU), resident {} MiB",
        if budget == 0 { "in memory".to_owned() } else { format!("{budget_mib} MiB") },
        each(cpu as f64),
        each(took as f64),
        most >> 20,
        most_disk >> 20,
        held >> 10,
        fire_took as f64 / 1e9,
        fire_cpu as f64 / 1e9,
        status("VmHWM") >> 10,
    );
}

/// A figure of this process, in KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a Linux kernel");
    let line = text.lines().find(|line| line.starts_with(name)).expect("a figure");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Nanoseconds that this thread has run, as the kernel counts them.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel with schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [form, keys, budget] = args.as_slice() {
        return run(form, keys.parse().expect("a number"), budget.parse().expect("MiB"));
    }
    // `cargo test` runs benchmarks once to see that they work; few keys do for that.
    let testing = !std::env::args().any(|a| a == "--bench");
    let keys = args.first().map_or(if testing { "20000" } else { "10000000" }, String::as_str);
    let budgets: &[&str] = if testing { &["0", "1"] } else { &["0", "2048", "1024", "512"] };
    println!(
        "two rows of each key on average, 64 key groups, a commit each {COMMIT_ROWS} rows; then the end"
    );
    let program = std::env::current_exe().expect("this program");
    for (form, _) in FORMS {
        for budget in budgets {
            let status = std::process::Command::new(&program).args([form, keys, budget]).status();
            assert!(status.expect("a process").success(), "{form} {keys} {budget}");
        }
    }
}
