//! The versions of a pipeline's file: opened, judged and planned when the file, its modules or its tables change, and run, one
//! at a time, until something ends it. What `dev` and `worker` have in common. Never enters: which version runs next.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use millstream_client::Cluster;
use millstream_plan::{Change, Job, Lock, diff};
use millstream_spec::ast::{Operator, Pipeline};
use millstream_spec::render;
use millstream_types::MemoryBudget;
use millstream_worker::progress::Progress;
use millstream_worker::{Opened, Options, Report, WorkerError};
use tokio::sync::watch as flag;

use super::watch::Watch;
use super::{memory, opened};

/// How people are told: each line begins with whose it is, where there are several.
#[derive(Clone, Default)]
pub struct Voice {
    /// In front of each line.
    pub of: String,
}

impl Voice {
    /// On standard output.
    pub fn say(&self, text: &str) {
        let lines: Vec<String> = text.lines().map(|line| format!("{}{line}\n", self.of)).collect();
        // Where nobody reads any more, what runs goes on.
        let _ = std::io::stdout().write_all(lines.concat().as_bytes());
    }

    /// On standard error.
    pub fn complain(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "millstream: {}{text}", self.of);
    }
}

/// A file's versions.
pub struct Versions {
    file: PathBuf,
    set: Vec<String>,
    /// Where people hear of it.
    pub voice: Voice,
    watch: Option<Watch>,
    /// What ran last.
    lock: Option<Lock>,
}

/// Where a version runs.
pub struct Place<'a> {
    /// The broker's data, compiled functions, and what state memory has no room for.
    pub data: &'a Path,
    /// The worker's name.
    pub instance: &'a str,
    /// What the process may hold.
    pub memory: &'a MemoryBudget,
    /// The pipeline's topics.
    pub cluster: &'a Arc<Cluster>,
    /// Becomes true when the command is to end.
    pub stop: flag::Receiver<bool>,
}

/// How a version's run ended.
pub enum Ended<T> {
    /// The command is to end; what was done, where it had begun.
    Stopped(Option<Report>),
    /// It was told to end, and has: at a commit, unless it had not begun, or failed on the way there.
    Told { begun: bool, word: T, error: Option<WorkerError> },
    /// Its input is done.
    Done(Report),
    /// It failed; whether it had begun.
    Failed { begun: bool, error: WorkerError },
}

/// The files whose change makes another version.
fn files(file: &Path, root: &Path, parts: Option<&Pipeline>) -> Vec<PathBuf> {
    let mut files = vec![std::path::absolute(file).unwrap_or_else(|_| file.to_owned())];
    let Some(pipeline) = parts else { return files };
    let modules = pipeline.transforms.values().filter_map(|transform| match &transform.op {
        Operator::Wasm(wasm) => Some(root.join(&wasm.module.value)),
        _ => None,
    });
    files.extend(modules);
    files.extend(pipeline.functions.values().map(|function| root.join(&function.wasm.module.value)));
    let tables = pipeline.tables.values().filter(|table| table.type_name.value == "file");
    files.extend(tables.filter_map(|table| Some(root.join(table.config.text("path")?.value))));
    files
}

/// Prints faults and warnings; whether it can run.
pub fn is_good(opened: &Opened) -> bool {
    let shown = render::text(&opened.diagnostics, &opened.sources);
    if !shown.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", shown.trim_end());
    }
    opened.parts.is_some() && !opened.diagnostics.has_errors()
}

/// What is told of work that panicked.
pub const PANICKED: &str = "it panicked, which is a fault of the program; its message is above";

/// Does some work; nothing where it panicked, which ends no other.
pub async fn guarded<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

impl Versions {
    /// Those of a file, with values of it changed; watched or not.
    pub fn new(file: &Path, set: &[String], watch: Option<Watch>) -> Versions {
        Versions { file: file.to_owned(), set: set.to_owned(), voice: Voice::default(), watch, lock: None }
    }

    /// Watches the files that this version is made of.
    pub fn follow(&mut self, version: &Opened) {
        let pipeline = version.parts.as_ref().map(|(pipeline, _)| pipeline);
        if let Some(watch) = &mut self.watch {
            watch.follow(files(&self.file, &version.root, pipeline));
        }
    }

    /// Watches the file alone, of which there is no version.
    pub fn follow_file(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.follow(files(&self.file, Path::new(""), None));
        }
    }

    /// Waits for a change of what is watched. Cancel-safe.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => pending().await,
        }
    }

    /// The version after a change, where it can run.
    pub async fn look(&mut self, changed: &[PathBuf]) -> Option<Box<Opened>> {
        let judged = guarded(self.judge(changed)).await;
        judged.unwrap_or_else(|| {
            self.voice.complain(PANICKED);
            None
        })
    }

    async fn judge(&mut self, changed: &[PathBuf]) -> Option<Box<Opened>> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.voice.say(&format!("changed: {}", changed.iter().map(name).collect::<Vec<_>>().join(", ")));
        match opened(&self.file, &self.set).await {
            Ok(version) if is_good(&version) => {
                self.follow(&version);
                let (_, job) = version.parts.as_ref()?;
                let lock = self.lock.as_ref().filter(|lock| lock.pipeline == job.pipeline);
                let changes = lock.map_or_else(Vec::new, |lock| diff(lock, job));
                for change in &changes {
                    self.voice.say(&format!("  {change}"));
                }
                // The topics are there, and keep the partitions that they have.
                let fixed =
                    |change: &&Change| matches!(change, Change::GrownTopic(..) | Change::ShrunkTopic(..));
                if changes.iter().any(|change| fixed(&change)) {
                    self.voice.complain(
                        "the partitions of a topic that is there stay as they are; give the topic another name, or \
                         start again with another --data",
                    );
                    return None;
                }
                Some(Box::new(version))
            }
            Ok(_) => None,
            Err(failure) => {
                self.voice.complain(&failure.text);
                None
            }
        }
    }

    /// A version of this plan is to run; what ran before it.
    pub fn runs(&mut self, job: &Job) -> Option<Lock> {
        let lock = Lock::after(job, self.lock.as_ref());
        self.lock.replace(lock)
    }

    /// That version did not begin.
    pub fn did_not_begin(&mut self, before: Option<Lock>) {
        self.lock = before;
    }
}

/// Runs a version until its input is done, it fails, the command is to end, or `told` says that it is to.
pub async fn run<T>(
    version: &Opened,
    place: Place<'_>,
    begun: impl FnOnce(Arc<Progress>),
    told: impl Future<Output = T>,
) -> Ended<T> {
    let Some((pipeline, job)) = &version.parts else {
        let error = WorkerError::Setup("there is no pipeline".to_owned());
        return Ended::Failed { begun: false, error };
    };
    let (halt, halted) = flag::channel(false);
    let worker = Options {
        instance: place.instance.to_owned(),
        cache: Some(place.data.join("functions")),
        scratch: Some(place.data.join("state")),
        stop: halted,
        bench: None,
        memory: place.memory.clone(),
    };
    let has_begun = Cell::new(false);
    let begins = |figures| {
        has_begun.set(true);
        // From here on it may leave something behind, however it ends.
        memory::note(job, place.data);
        begun(figures);
    };
    let running = millstream_worker::run((pipeline, job), &version.root, place.cluster, worker, begins);
    // What goes wrong before stages have threads of their own ends this pipeline, and no other.
    let mut running = pin!(guarded(running));
    let mut told = pin!(told);
    let (mut word, mut stop) = (None, place.stop);
    let mut stopping = *stop.borrow();
    let ended = loop {
        if stopping || word.is_some() {
            if !has_begun.get() {
                // It may wait for a broker or a database for ever, and has nothing to bring to a commit.
                break None;
            }
            let _ = halt.send(true);
        }
        tokio::select! {
            ended = &mut running => {
                break Some(ended.unwrap_or_else(|| Err(WorkerError::Fatal(PANICKED.to_owned()))));
            }
            said = &mut told, if word.is_none() && !stopping => word = Some(said),
            _ = stop.wait_for(|stop| *stop), if !stopping => stopping = true,
        }
    };
    match (ended, word) {
        (None, None) => Ended::Stopped(None),
        (None, Some(_)) if stopping => Ended::Stopped(None),
        (Some(Ok(report)), _) if stopping => Ended::Stopped(Some(report)),
        // Its successor may be the cure of what it failed by.
        (ended, Some(word)) => {
            let error = ended.and_then(Result::err);
            Ended::Told { begun: has_begun.get(), word, error }
        }
        (Some(Ok(report)), None) => Ended::Done(report),
        (Some(Err(error)), None) => Ended::Failed { begun: has_begun.get(), error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_ends_alone() {
        assert_eq!(guarded(async { 1 }).await, Some(1));
        let panics = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "a fault of the program");
        };
        assert_eq!(guarded(panics).await, None);
    }
}
