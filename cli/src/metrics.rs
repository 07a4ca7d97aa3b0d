//! `--metrics HOST:PORT`: what a process counts, at `/metrics`, in the text format that Prometheus reads. Never enters:
//! counting (`millstream_server::metrics`, `millstream_worker::progress`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use millstream_server::Broker;
use millstream_types::MemoryBudget;
use millstream_worker::progress::{OperatorFigures, Progress, StageFigures, TableFigures};
use parking_lot::Mutex;

use crate::pipeline::limit::resident_bytes;

/// The type of what is served.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted in this process. Nothing is kept alive by it.
#[derive(Clone, Default)]
pub struct Figures {
    broker: Arc<Mutex<Weak<Broker>>>,
    pipelines: Arc<Mutex<BTreeMap<String, Weak<Progress>>>>,
    files: Arc<Mutex<BTreeMap<String, FileFigures>>>,
    memory: Arc<Mutex<Option<MemoryBudget>>>,
}

/// What became of a file that `millstream worker` looks after.
#[derive(Clone, Debug, Default)]
pub struct FileFigures {
    /// The name in it, once it was read.
    pub pipeline: String,
    /// `waiting`, `running`, `done`, `failed`, `faulty`, `refused` (its name is another's), `gone`, `stopped`.
    pub state: &'static str,
    /// Whether the version in the file is another than the one that runs or ran, since it cannot.
    pub is_behind: bool,
    /// How often a version failed.
    pub failures: u64,
    /// How often another version took its place.
    pub swaps: u64,
    /// And how often the one before came back.
    pub rollbacks: u64,
}

impl FileFigures {
    fn is_well(&self) -> bool {
        !self.is_behind && !matches!(self.state, "failed" | "faulty" | "refused")
    }
}

impl Figures {
    /// Shows a broker's.
    pub fn broker_is(&self, broker: &Arc<Broker>) {
        *self.broker.lock() = Arc::downgrade(broker);
    }

    /// Shows a pipeline's, in place of those that it had.
    pub fn pipeline_is(&self, name: &str, progress: &Arc<Progress>) {
        let mut pipelines = self.pipelines.lock();
        pipelines.retain(|_, progress| progress.strong_count() > 0);
        pipelines.insert(name.to_owned(), Arc::downgrade(progress));
    }

    /// Changes what became of a file.
    pub fn file(&self, file: &str, change: impl FnOnce(&mut FileFigures)) {
        change(self.files.lock().entry(file.to_owned()).or_default());
    }

    /// The files that do not run as they say, and why.
    pub fn behind(&self) -> Vec<String> {
        let files = self.files.lock();
        let behind = files.iter().filter(|(_, figures)| !figures.is_well());
        let why = |figures: &FileFigures| match figures.state {
            state @ ("failed" | "faulty" | "refused") => state,
            _ => "an earlier version",
        };
        behind.map(|(file, figures)| format!("{file} ({})", why(figures))).collect()
    }

    /// Shows what parts of the process hold.
    pub fn memory_is(&self, memory: &MemoryBudget) {
        *self.memory.lock() = Some(memory.clone());
    }

    /// All of them as they are now.
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(broker) = self.broker.lock().upgrade() {
            for (name, meaning, value) in broker.metrics.all() {
                head(&mut text, name, meaning);
                let _ = writeln!(text, "{name} {value}");
            }
        }
        let pipelines = self.pipelines.lock();
        let running =
            pipelines.iter().filter_map(|(name, progress)| Some((name.as_str(), progress.upgrade()?)));
        let running: Vec<Running<'_>> = running.collect();
        if !running.is_empty() {
            stages(&mut text, &running);
            budgets(&mut text, &running);
        }
        files(&mut text, &self.files.lock());
        if let Some(memory) = self.memory.lock().as_ref() {
            held(&mut text, memory);
        }
        text
    }
}

/// What parts of the process say that they hold, what they may hold in all, and what it has in memory.
fn held(text: &mut String, memory: &MemoryBudget) {
    let name = "millstream_memory_bytes";
    head(text, name, "Bytes that parts of the process hold, by kind.");
    for (kind, bytes) in memory.claimed() {
        let _ = writeln!(text, "{name}{{kind=\"{kind}\"}} {bytes}");
    }
    let name = "millstream_memory_limit_bytes";
    head(text, name, "Bytes that they may hold in all.");
    let _ = writeln!(text, "{name} {}", memory.limit_bytes());
    if let Some(bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        head(text, name, "Bytes that the process has in memory.");
        let _ = writeln!(text, "{name} {bytes}");
    }
}

fn head(text: &mut String, name: &str, meaning: &str) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
}

/// A figure of a stage: its name, its meaning, and how it is read.
type Figure = (&'static str, &'static str, fn(&StageFigures) -> Option<f64>);

const FIGURES: &[Figure] = &[
    ("millstream_stage_records_total", "Records or rows taken in and committed, over all runs.", |f| {
        Some(f.taken as f64)
    }),
    ("millstream_stage_commits_total", "Commits of this run.", |f| Some(f.commits as f64)),
    ("millstream_stage_lag_records", "Records that wait in the stage's input.", |f| f.lag.map(|n| n as f64)),
    ("millstream_stage_watermark_seconds", "The least watermark, in seconds since 1970.", |f| {
        f.watermark.map(|ms| ms as f64 / 1e3)
    }),
    ("millstream_stage_cpu_seconds_total", "CPU of the stage's own thread.", |f| Some(f.cpu_ms as f64 / 1e3)),
    ("millstream_stage_waiting_seconds_total", "Time spent waiting for input.", |f| {
        Some(f.waited.as_secs_f64())
    }),
    (
        "millstream_stage_throttled_seconds_total",
        "Time that the stage took nothing in, since the pipeline had used more CPU than its limit.",
        |f| Some(f.throttled.as_secs_f64()),
    ),
    ("millstream_stage_committing_seconds_total", "Time spent committing.", |f| {
        Some(f.committing.as_secs_f64())
    }),
    (
        "millstream_stage_key_groups_copied_total",
        "Key groups that the stage took over in this run from copies that were here.",
        |f| Some(f.groups_copied as f64),
    ),
    (
        "millstream_stage_key_groups_read_total",
        "Key groups that it took over in this run by reading their changelogs.",
        |f| Some(f.groups_read as f64),
    ),
    (
        "millstream_stage_standby_bytes",
        "Bytes of copies of key groups that other workers have, about.",
        |f| Some(f.standby_bytes as f64),
    ),
    ("millstream_stage_standby_key_groups", "Key groups that these copies are of.", |f| {
        Some(f.standby_key_groups as f64)
    }),
    (
        "millstream_stage_standby_dropped_total",
        "Key groups whose copies were let go of in this run, for want of memory.",
        |f| Some(f.standby_dropped as f64),
    ),
    ("millstream_stage_done", "1 where the stage has done everything there is to do.", |f| {
        Some(f64::from(u8::from(f.done)))
    }),
    (
        "millstream_stage_snapshots_total",
        "Snapshots of state in an object store that came to count, in this run.",
        |f| Some(f.snapshots.taken as f64),
    ),
    (
        "millstream_stage_snapshot_failures_total",
        "How often one could not be written, in this run: the changelog grows meanwhile.",
        |f| Some(f.snapshots.failures as f64),
    ),
    ("millstream_stage_snapshot_bytes_total", "Bytes that were written for them, in this run.", |f| {
        Some(f.snapshots.bytes as f64)
    }),
    ("millstream_stage_snapshot_seconds", "When the last one came to count, in seconds since 1970.", |f| {
        f.snapshots.last_at_ms.map(|ms| ms as f64 / 1e3)
    }),
];

/// A figure of an operator: its name, its meaning, and how it is read.
type OperatorFigure = (&'static str, &'static str, fn(&OperatorFigures) -> Option<f64>);

const OPERATOR_FIGURES: &[OperatorFigure] = &[
    ("millstream_operator_rows_in_total", "Rows that went into an operator, in this run.", |f| {
        Some(f.rows_in as f64)
    }),
    (
        "millstream_operator_batches_in_total",
        "Batches that they came in: rows for each is their size.",
        |f| Some(f.batches_in as f64),
    ),
    ("millstream_operator_bytes_in_total", "Bytes of their columns, about.", |f| Some(f.bytes_in as f64)),
    (
        "millstream_operator_busy_seconds_total",
        "Time that it worked, without those behind it: at one second for each second it is what holds its stage back.",
        |f| Some(f.busy.as_secs_f64()),
    ),
    ("millstream_operator_rows_out_total", "Rows that came out of it, in this run.", |f| {
        Some(f.rows_out as f64)
    }),
    ("millstream_operator_late_rows_total", "Rows that were late for it, in this run.", |f| {
        Some(f.late as f64)
    }),
    (
        "millstream_operator_watermark_seconds",
        "The least watermark of what it reads, in seconds since 1970: the clock less this is its lag.",
        |f| f.watermark.map(|ms| ms as f64 / 1e3),
    ),
    ("millstream_operator_state_bytes", "Bytes of its state in memory, about.", |f| {
        Some(f.state_bytes as f64)
    }),
    (
        "millstream_operator_state_disk_bytes",
        "Bytes of its state on the local disk, for want of room in memory.",
        |f| Some(f.state_disk_bytes as f64),
    ),
    (
        "millstream_operator_state_entries",
        "What its state has: keys, windows or slices of them, sessions, versions.",
        |f| Some(f.state_entries as f64),
    ),
];

/// A figure of a table in a stage: its name, its meaning, and how it is read.
type TableFigure = (&'static str, &'static str, fn(&TableFigures) -> u64);

const TABLE_FIGURES: &[TableFigure] = &[
    ("millstream_table_rows", "Rows of a table that a stage joins, or functions look up.", |f| f.rows),
    (
        "millstream_table_changes_total",
        "Rows that came, were replaced or taken away; of a file, how often it was read; of a database, keys it was asked for.",
        |f| f.changes,
    ),
    ("millstream_table_bad_records_total", "Records of a table's topic that were no rows of it.", |f| f.bad),
];

/// A pipeline by name, and its figures.
type Running<'a> = (&'a str, Arc<Progress>);

/// A label's value: names are of letters, digits, - and _; reasons come from functions, files from people.
fn quoted(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn stages(text: &mut String, running: &[Running<'_>]) {
    let of = |(pipeline, progress): &Running<'_>| -> Vec<(String, StageFigures)> {
        let stages = progress.stages().into_iter();
        stages
            .map(|(stage, figures)| (format!("pipeline=\"{pipeline}\",stage=\"{stage}\""), figures))
            .collect()
    };
    let stages: Vec<(String, StageFigures)> = running.iter().flat_map(of).collect();
    for (name, meaning, read) in FIGURES {
        head(text, name, meaning);
        for (of, figures) in &stages {
            if let Some(value) = read(figures) {
                let _ = writeln!(text, "{name}{{{of}}} {value}");
            }
        }
    }
    let name = "millstream_stage_counts_total";
    head(
        text,
        name,
        "What became of records and rows, over all runs: rejected by reason, repeated, late, written.",
    );
    for (of, figures) in &stages {
        for (what, count) in &figures.counts {
            let _ = writeln!(text, "{name}{{{of},what=\"{}\"}} {count}", quoted(what));
        }
    }
    for (name, meaning, read) in OPERATOR_FIGURES {
        head(text, name, meaning);
        for (of, figures) in &stages {
            for (operator, figures) in &figures.operators {
                if let Some(value) = read(figures) {
                    let _ = writeln!(text, "{name}{{{of},operator=\"{operator}\"}} {value}");
                }
            }
        }
    }
    for (name, meaning, read) in TABLE_FIGURES {
        head(text, name, meaning);
        for (pipeline, progress) in running {
            for ((stage, table), figures) in progress.tables() {
                let of = format!("pipeline=\"{pipeline}\",stage=\"{stage}\",table=\"{table}\"");
                let _ = writeln!(text, "{name}{{{of}}} {}", read(&figures));
            }
        }
    }
}

/// A figure of a pipeline: its name, its meaning, and how it is read.
type PipelineFigure = (&'static str, &'static str, fn(&Progress) -> Option<f64>);

const PIPELINE_FIGURES: &[PipelineFigure] = &[
    ("millstream_input_bytes", "Bytes that were read of bounded input.", |p| Some(p.bytes().0 as f64)),
    ("millstream_input_bytes_known", "Bytes of bounded input, as far as they are known.", |p| {
        Some(p.bytes().1 as f64)
    }),
    (
        "millstream_pipeline_cpu_seconds_total",
        "CPU of the pipeline's stages and of what works beside them, in this run: what `limits: { cpu }` holds down.",
        |p| Some(p.cpu.used().as_secs_f64()),
    ),
    ("millstream_pipeline_cpu_limit_cores", "Cores that it may use over time, where it says so.", |p| {
        p.cpu.millicores().map(|limit| limit as f64 / 1e3)
    }),
    (
        "millstream_pipeline_memory_limit_bytes",
        "Bytes that the pipeline may hold: its own limit, or the process's.",
        |p| Some(p.memory.limit_bytes() as f64),
    ),
];

/// What each pipeline has and may have.
fn budgets(text: &mut String, running: &[Running<'_>]) {
    for (name, meaning, read) in PIPELINE_FIGURES {
        head(text, name, meaning);
        for (pipeline, progress) in running {
            if let Some(value) = read(progress) {
                let _ = writeln!(text, "{name}{{pipeline=\"{pipeline}\"}} {value}");
            }
        }
    }
    let name = "millstream_pipeline_memory_bytes";
    head(text, name, "Bytes that parts of the pipeline hold, by kind; millstream_memory_bytes has them too.");
    for (pipeline, progress) in running {
        for (kind, bytes) in progress.memory.claimed() {
            let _ = writeln!(text, "{name}{{pipeline=\"{pipeline}\",kind=\"{kind}\"}} {bytes}");
        }
    }
}

/// A figure of a file: its name, its meaning, and how it is read.
type FileFigure = (&'static str, &'static str, fn(&FileFigures) -> u64);

const FILE_FIGURES: &[FileFigure] = &[
    (
        "millstream_worker_file_behind",
        "1 where the version in the file cannot run, and an earlier one does, or did.",
        |f| u64::from(f.is_behind),
    ),
    ("millstream_worker_failures_total", "How often a version of the file failed.", |f| f.failures),
    ("millstream_worker_swaps_total", "How often another version took its place at a commit.", |f| f.swaps),
    (
        "millstream_worker_rollbacks_total",
        "How often the one before came back, since the new one did not begin.",
        |f| f.rollbacks,
    ),
];

/// What became of files.
fn files(text: &mut String, files: &BTreeMap<String, FileFigures>) {
    if files.is_empty() {
        return;
    }
    let of = |file: &str, figures: &FileFigures| {
        format!("file=\"{}\",pipeline=\"{}\"", quoted(file), figures.pipeline)
    };
    let name = "millstream_worker_file_state";
    head(text, name, "1 for the state that a pipeline's file is in.");
    for (file, figures) in files {
        let _ = writeln!(text, "{name}{{{},state=\"{}\"}} 1", of(file, figures), figures.state);
    }
    for (name, meaning, read) in FILE_FIGURES {
        head(text, name, meaning);
        for (file, figures) in files {
            let _ = writeln!(text, "{name}{{{}}} {}", of(file, figures), read(figures));
        }
    }
}

/// Serves them until the process ends; the address that it serves at.
pub async fn serve(at: &str, figures: Figures) -> Result<std::net::SocketAddr, String> {
    let failed =
        |error: std::io::Error| format!("serving metrics at {at}: {error}; --metrics takes HOST:PORT");
    let listener = tokio::net::TcpListener::bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shown = move || async move { ([(CONTENT_TYPE, TEXT_FORMAT)], figures.text()) };
    let routes = Router::new().route("/metrics", get(shown));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::warn!(%address, %error, "metrics are not served any more");
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_by_name_and_reasons_are_quoted() {
        let progress = Progress::new(["ingest".to_owned()]);
        progress.update("ingest", |figures| {
            figures.taken = 7;
            figures.counts.insert("rejected.a \"b\"".to_owned(), 2);
            let busy = std::time::Duration::from_millis(1_500);
            let operator =
                OperatorFigures { batches_in: 3, busy, watermark: None, ..OperatorFigures::default() };
            figures.operators.push(("sums".to_owned(), operator));
        });
        let figures = Figures::default();
        assert_eq!(figures.text(), "");
        figures.pipeline_is("orders", &progress);
        let text = figures.text();
        for line in [
            "# TYPE millstream_stage_records_total counter",
            "millstream_stage_records_total{pipeline=\"orders\",stage=\"ingest\"} 7",
            "millstream_stage_counts_total{pipeline=\"orders\",stage=\"ingest\",what=\"rejected.a \\\"b\\\"\"} 2",
            "# TYPE millstream_stage_done gauge",
            "millstream_operator_batches_in_total{pipeline=\"orders\",stage=\"ingest\",operator=\"sums\"} 3",
            "millstream_operator_busy_seconds_total{pipeline=\"orders\",stage=\"ingest\",operator=\"sums\"} 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("millstream_operator_watermark_seconds{"), "{text}");
    }

    #[test]
    fn several_pipelines_and_their_files_are_told_apart() {
        let (figures, whole) = (Figures::default(), MemoryBudget::new(1_000));
        let progress = |limit: Option<u64>, millicores: Option<u64>| {
            let clock = millstream_worker::progress::CPU_CLOCK;
            let cpu = millstream_types::CpuBudget::new(millicores, clock);
            Progress::within(["ingest".to_owned()], (whole.part(limit), cpu))
        };
        let (orders, returns) = (progress(Some(100), Some(1_500)), progress(None, None));
        let held = orders.memory.claim("read");
        held.set(7);
        figures.pipeline_is("orders", &orders);
        figures.pipeline_is("returns", &returns);
        figures.file("p/orders.yaml", |file| (file.pipeline, file.state) = ("orders".to_owned(), "running"));
        assert_eq!(figures.behind(), Vec::<String>::new());
        figures.file("p/orders.yaml", |file| (file.is_behind, file.rollbacks) = (true, 1));
        figures.file("p/broken.yaml", |file| file.state = "faulty");
        let text = figures.text();
        for line in [
            "millstream_stage_done{pipeline=\"orders\",stage=\"ingest\"} 0",
            "millstream_stage_done{pipeline=\"returns\",stage=\"ingest\"} 0",
            "millstream_pipeline_cpu_limit_cores{pipeline=\"orders\"} 1.5",
            "millstream_pipeline_memory_limit_bytes{pipeline=\"orders\"} 100",
            "millstream_pipeline_memory_limit_bytes{pipeline=\"returns\"} 1000",
            "millstream_pipeline_memory_bytes{pipeline=\"orders\",kind=\"read\"} 7",
            "millstream_worker_file_state{file=\"p/orders.yaml\",pipeline=\"orders\",state=\"running\"} 1",
            "millstream_worker_file_behind{file=\"p/orders.yaml\",pipeline=\"orders\"} 1",
            "millstream_worker_rollbacks_total{file=\"p/orders.yaml\",pipeline=\"orders\"} 1",
            "millstream_worker_file_state{file=\"p/broken.yaml\",pipeline=\"\",state=\"faulty\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("millstream_pipeline_cpu_limit_cores{pipeline=\"returns\"}"), "{text}");
        // Each name once, with all that has it below.
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let names: std::collections::BTreeSet<&&str> = heads.iter().collect();
        assert_eq!(names.len(), heads.len(), "{text}");
        assert_eq!(figures.behind(), ["p/broken.yaml (faulty)", "p/orders.yaml (an earlier version)"]);
    }
}
