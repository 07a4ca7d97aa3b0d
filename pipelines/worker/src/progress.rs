//! What people see while a pipeline runs: counts of every stage, kept by the stages, read by whoever draws. Never enters:
//! drawing on a terminal (the command line's), decisions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream_types::cpu::CpuClock;
use millstream_types::{CpuBudget, MemoryBudget};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// One stage's figures.
#[derive(Clone, Debug, Default)]
pub struct StageFigures {
    /// Records or rows taken in and committed, over all runs.
    pub taken: u64,
    /// Commits of this run.
    pub commits: u64,
    /// Records that wait in its input, where that is known.
    pub lag: Option<u64>,
    /// The least watermark, in milliseconds since 1970, where there is one.
    pub watermark: Option<i64>,
    /// Named counts, over all runs: reasons, repeats, late rows.
    pub counts: BTreeMap<String, u64>,
    /// CPU that the stage's own thread has used, in milliseconds.
    pub cpu_ms: u64,
    /// How long it waited for input.
    pub waited: Duration,
    /// How long it took nothing in, since the pipeline had used more CPU than its share.
    pub throttled: Duration,
    /// How long its commits took, in all.
    pub committing: Duration,
    /// Whether it has done everything there is to do.
    pub done: bool,
    /// Its operators' figures, in the order in which rows go through them.
    pub operators: Vec<(String, OperatorFigures)>,
    /// Key groups that it took over in this run from copies that were here, and by reading changelogs.
    pub groups_copied: u64,
    /// See `groups_copied`.
    pub groups_read: u64,
    /// Bytes of standby copies of key groups that others have, about.
    pub standby_bytes: u64,
    /// How many key groups they are of.
    pub standby_key_groups: u64,
    /// Copies of key groups that were let go of in this run, for want of memory.
    pub standby_dropped: u64,
    /// What it last had to begin again for.
    pub trouble: Option<String>,
    /// What went to a store of snapshots.
    pub snapshots: SnapshotFigures,
}

/// Snapshots of a stage's state in an object store, in this run, on this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFigures {
    /// Those that count.
    pub taken: u64,
    /// How often one could not be written.
    pub failures: u64,
    /// Bytes that were written for those that count.
    pub bytes: u64,
    /// When the last one came to count, in milliseconds since 1970.
    pub last_at_ms: Option<i64>,
}

/// An operator's figures in this run, on this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorFigures {
    /// Rows that went in.
    pub rows_in: u64,
    /// In how many batches.
    pub batches_in: u64,
    /// Bytes of their columns, about.
    pub bytes_in: u64,
    /// How long it has worked.
    pub busy: Duration,
    /// The least watermark of the sources whose rows reach it, in milliseconds since 1970, where there is one.
    pub watermark: Option<i64>,
    /// Rows that came out.
    pub rows_out: u64,
    /// Rows that were late, wherever they went.
    pub late: u64,
    /// Bytes of its state in memory, about.
    pub state_bytes: u64,
    /// Bytes of its state on the local disk.
    pub state_disk_bytes: u64,
    /// What its state has of keys, windows, sessions or versions.
    pub state_entries: u64,
}

/// A table's figures, where a stage joins it or functions look it up.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableFigures {
    /// Rows that it has now, as far as they are wanted.
    pub rows: u64,
    /// Rows that came, were replaced or taken away; of a file, how often it was read.
    pub changes: u64,
    /// Records that were no rows.
    pub bad: u64,
}

/// All stages' figures.
#[derive(Debug, Default)]
pub struct Progress {
    stages: Mutex<BTreeMap<String, StageFigures>>,
    order: Mutex<Vec<String>>,
    /// By stage and table.
    tables: Mutex<BTreeMap<(String, String), TableFigures>>,
    bytes_read: AtomicU64,
    bytes_total: AtomicU64,
    /// What the pipeline may hold, and compute.
    pub memory: MemoryBudget,
    /// See `memory`.
    pub cpu: CpuBudget,
}

impl Progress {
    /// Nothing yet.
    pub fn new(stages: impl IntoIterator<Item = String>) -> Arc<Progress> {
        Progress::within(stages, (MemoryBudget::default(), CpuBudget::default()))
    }

    /// Nothing yet, of a pipeline with budgets of its own.
    pub fn within(
        stages: impl IntoIterator<Item = String>,
        (memory, cpu): (MemoryBudget, CpuBudget),
    ) -> Arc<Progress> {
        let order: Vec<String> = stages.into_iter().collect();
        let all = order.iter().map(|id| (id.clone(), StageFigures::default())).collect();
        let (stages, order) = (Mutex::new(all), Mutex::new(order));
        Arc::new(Progress { stages, order, memory, cpu, ..Progress::default() })
    }

    /// Changes a stage's figures.
    pub fn update(&self, stage: &str, change: impl FnOnce(&mut StageFigures)) {
        if let Some(figures) = self.stages.lock().get_mut(stage) {
            change(figures);
        }
    }

    /// Changes the figures of a table in a stage.
    pub fn table(&self, stage: &str, table: &str, change: impl FnOnce(&mut TableFigures)) {
        change(self.tables.lock().entry((stage.to_owned(), table.to_owned())).or_default());
    }

    /// The tables' figures, by stage and table.
    pub fn tables(&self) -> BTreeMap<(String, String), TableFigures> {
        self.tables.lock().clone()
    }

    /// The stages' figures, in the order of the flow.
    pub fn stages(&self) -> Vec<(String, StageFigures)> {
        let stages = self.stages.lock();
        let order = self.order.lock();
        order.iter().filter_map(|id| Some((id.clone(), stages.get(id)?.clone()))).collect()
    }

    /// Tells how many bytes were read, and how many there are in all; 0 where that is not known.
    pub fn set_bytes(&self, read: u64, total: u64) {
        self.bytes_read.store(read, Ordering::Relaxed);
        self.bytes_total.store(total, Ordering::Relaxed);
    }

    /// Bytes read, and bytes in all.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_read.load(Ordering::Relaxed), self.bytes_total.load(Ordering::Relaxed))
    }
}

/// CPU that the calling thread has used, in milliseconds.
pub fn thread_cpu_ms() -> u64 {
    (CPU_CLOCK.thread)().as_millis() as u64
}

/// The system's clocks.
pub const CPU_CLOCK: CpuClock =
    CpuClock { now: || read_clock(ClockId::Monotonic), thread: || read_clock(ClockId::ThreadCPUTime) };

fn read_clock(id: ClockId) -> Duration {
    Duration::try_from(clock_gettime(id)).unwrap_or_default()
}
