//! What becomes of one file of a worker, whatever becomes of the others:
//!
//! ```text
//! waiting --a good version, whose name nobody else has--> running --its input is done--> waiting, done
//! running --a good version--> stopping --committed--> running          running --a faulty one--> running, behind its file
//! running, never begun --failed--> running the one before, behind; where there is none: failed
//! running --failed--> failed --a while, longer each time--> running
//! any --the file is gone--> stopping --committed--> waiting, gone      any --SIGINT, SIGTERM--> stopped
//! ```
//! Never enters: how versions are judged and run (`version.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::Cluster;
use millstream_spec::ast::Broker;
use millstream_worker::progress::Progress;
use millstream_worker::{Opened, WorkerError};
use parking_lot::Mutex;
use tokio::sync::watch as flag;

use super::Site;
use super::names::{self, Said, Taken};
use crate::metrics::FileFigures;
use crate::pipeline::version::{self, Ended, PANICKED, Place, Versions, guarded, is_good};
use crate::pipeline::watch::Watch;
use crate::pipeline::{embedded, failed, memory, opened, reconcile};

/// The first wait before a version that failed is begun again, and the longest.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(300);
/// A version that ran this long before it failed waits as little as the first time.
const SETTLED: Duration = Duration::from_secs(60);
/// A file that is not there may be between two versions, as editors write them.
const GONE_AFTER: Duration = Duration::from_millis(250);

/// The wait behind so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    WAIT_MAX.min(WAIT_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)))
}

const FENCED: &str = "failed; it waits for a change of its file";

/// What is new about a file.
enum News {
    /// A version that can run.
    Version(Box<Opened>),
    Gone,
}

/// A file of a worker.
pub struct Hosted {
    site: Arc<Site>,
    file: PathBuf,
    /// As people named it.
    shown: String,
    versions: Versions,
    /// Files that have changed, until that was judged.
    unjudged: Vec<PathBuf>,
    /// A good version whose name is another file's.
    refused: Option<Box<Opened>>,
    /// Whose, as it was told last.
    told: Option<Taken>,
    freed: flag::Receiver<u64>,
    /// The way to a cluster outside, by its address.
    outside: Option<(String, Arc<Cluster>)>,
    /// Failures in a row.
    failures: u32,
    /// Whether what begins next takes the place of what ran.
    swaps: bool,
    /// Figures stay when a run is over.
    last: Arc<Mutex<Option<Arc<Progress>>>>,
}

/// Says a file's names before any file runs.
pub fn say_names(site: &Site, file: &Path) {
    let said = || {
        let opened = millstream_worker::open(file, &site.options.set).ok()?;
        site.names.say(file, &names::of(&opened))
    };
    // Whoever looks after the file tells of it.
    let _ = catch_unwind(AssertUnwindSafe(said));
}

impl Hosted {
    /// Nothing runs yet.
    pub fn new(site: Arc<Site>, file: PathBuf) -> Hosted {
        let watch = (!site.options.no_watch).then(Watch::new);
        let mut versions = Versions::new(&file, &site.options.set, watch);
        let (shown, freed) = (file.display().to_string(), site.names.freed());
        versions.voice.of = format!("{shown}: ");
        let (unjudged, last) = (Vec::new(), Arc::default());
        Hosted {
            site,
            file,
            shown,
            versions,
            unjudged,
            refused: None,
            told: None,
            freed,
            outside: None,
            failures: 0,
            swaps: false,
            last,
        }
    }

    /// Until the command is to end, or nothing can come any more.
    pub async fn run(&mut self) {
        let mut next = self.first().await;
        let mut before: Option<Box<Opened>> = None;
        // A version that failed, and when it is begun again.
        let mut again: Option<(Box<Opened>, Instant)> = None;
        loop {
            let Some(version) = next.take() else {
                let at = again.as_ref().map(|(_, at)| *at);
                if at.is_none() && self.site.options.no_watch {
                    return;
                }
                let mut stop = self.site.stop.clone();
                tokio::select! {
                    news = self.news() => match news {
                        News::Version(version) => (next, again, self.failures) = (Some(version), None, 0),
                        News::Gone => again = None,
                    },
                    () = until(at) => next = again.take().and_then(|(version, _)| self.if_claimed(version)),
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                continue;
            };
            let began = Instant::now();
            match self.version(&version).await {
                Ended::Stopped(report) => {
                    if let Some(report) = report {
                        self.versions.voice.say(&reconcile::text(&report));
                    }
                    return self.is("stopped");
                }
                Ended::Told { begun, word, error } => {
                    if let Some(error) = &error {
                        self.failed(error);
                    }
                    match word {
                        // It would throw out the other, which would do the same.
                        News::Version(_) if matches!(error, Some(WorkerError::Fenced(_))) => {
                            before = None;
                            self.is("failed");
                            self.versions.voice.say(FENCED);
                        }
                        News::Version(other) => {
                            if begun {
                                (before, self.swaps) = (Some(version), true);
                            }
                            (next, self.failures) = (Some(other), 0);
                        }
                        News::Gone => (before, self.swaps) = (None, false),
                    }
                }
                Ended::Done(report) => {
                    (before, self.failures) = (None, 0);
                    self.is("done");
                    self.versions.voice.say(&reconcile::text(&report));
                }
                Ended::Failed { begun, error } => {
                    self.failed(&error);
                    if let Some(old) = before.take().filter(|_| !begun) {
                        self.swaps = false;
                        self.versions.voice.say("the new version did not start; the one before goes on");
                        self.figures(|file| (file.rollbacks, file.is_behind) = (file.rollbacks + 1, true));
                        next = self.if_claimed(old);
                        continue;
                    }
                    self.is("failed");
                    self.failures = if began.elapsed() > SETTLED { 1 } else { self.failures + 1 };
                    if *self.site.stop.borrow() {
                        return;
                    }
                    let wait = wait_after(self.failures);
                    // Begun again, it would throw out the other, which would do the same.
                    if matches!(error, WorkerError::Fenced(_)) {
                        self.versions.voice.say(FENCED);
                        continue;
                    }
                    self.versions.voice.say(&format!(
                        "failed; it begins again in {} s from what was committed, or with a change of its file",
                        wait.as_secs()
                    ));
                    again = Some((version, Instant::now() + wait));
                }
            }
        }
    }

    /// The version that is there when the file is first looked at, where it can run.
    async fn first(&mut self) -> Option<Box<Opened>> {
        self.is("waiting");
        // A change while it is read is another version.
        self.versions.follow_file();
        let found = guarded(opened(&self.file, &self.site.options.set)).await;
        let found = found.unwrap_or_else(|| Err(failed(PANICKED.to_owned())));
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                self.versions.voice.complain(&failure.text);
                self.is("faulty");
                return None;
            }
        };
        self.versions.follow(&found);
        if !is_good(&found) {
            self.versions.voice.complain("it has faults and is not run");
            self.is("faulty");
            return None;
        }
        self.if_claimed(Box::new(found))
    }

    /// Waits for what is new. Cancel-safe: a change that was not judged to the end is judged again.
    async fn news(&mut self) -> News {
        loop {
            let version = if self.unjudged.is_empty() {
                tokio::select! {
                    changed = self.versions.changed() => {
                        self.unjudged = changed;
                        continue;
                    }
                    _ = self.freed.changed(), if self.refused.is_some() => self.refused.take(),
                }
            } else {
                if !self.file.exists() {
                    tokio::time::sleep(GONE_AFTER).await;
                }
                if !self.file.exists() {
                    self.unjudged.clear();
                    self.versions.voice.say("its file is gone; its topics and state stay");
                    self.refused = None;
                    let _ = self.site.names.say(&self.file, &Said::new());
                    self.figures(|file| (file.state, file.is_behind) = ("gone", false));
                    return News::Gone;
                }
                let changed = self.unjudged.clone();
                self.told = None;
                let version = self.versions.look(&changed).await;
                self.unjudged.clear();
                if version.is_none() {
                    self.stays("faulty");
                }
                version
            };
            if let Some(version) = version.and_then(|version| self.if_claimed(version)) {
                self.figures(|file| file.is_behind = false);
                return News::Version(version);
            }
        }
    }

    /// A version that was refused or has faults leaves alone what runs.
    fn stays(&mut self, state: &'static str) {
        let mut runs = false;
        self.figures(|file| {
            (runs, file.is_behind) = (file.state == "running", true);
            if matches!(file.state, "waiting" | "gone" | "faulty" | "refused") {
                (file.state, file.is_behind) = (state, false);
            }
        });
        if runs {
            self.versions.voice.say("goes on as it was");
        }
    }

    /// A good version, if its names are this file's; else it waits for that.
    fn if_claimed(&mut self, version: Box<Opened>) -> Option<Box<Opened>> {
        self.refused = None;
        self.freed.mark_unchanged();
        let Some(taken) = self.site.names.say(&self.file, &names::of(&version)) else {
            self.told = None;
            return Some(version);
        };
        // A file that is gone runs until its commit: it has got another name.
        if taken.file.exists() && self.told.as_ref() != Some(&taken) {
            self.versions.voice.complain(&format!(
                "{} at {} is the one at {} too: they would take from each other, so give one of them another name",
                taken.what, taken.here, taken.there
            ));
            self.stays("refused");
            self.told = Some(taken);
        }
        self.refused = Some(version);
        None
    }

    /// Runs a version until something ends it.
    async fn version(&mut self, version: &Opened) -> Ended<News> {
        let Some((pipeline, job)) = &version.parts else {
            let error = WorkerError::Setup("there is no pipeline".to_owned());
            return Ended::Failed { begun: false, error };
        };
        let name = pipeline.name.value.clone();
        self.versions.voice.of = format!("{name}: ");
        self.figures(|file| file.pipeline.clone_from(&name));
        let cluster = match self.cluster(&pipeline.broker).await {
            Ok(cluster) => cluster,
            Err(text) => return Ended::Failed { begun: false, error: WorkerError::Setup(text) },
        };
        let before = self.versions.runs(job);
        if before.is_none() {
            match memory::changes(job, &self.site.data) {
                Ok(changes) => self.versions.voice.say(changes.trim()),
                Err(text) => self.versions.voice.complain(&text),
            }
        }
        self.site.names.runs(&self.file, &names::of(version));
        let site = Arc::clone(&self.site);
        let swaps = self.swaps;
        let (last, voice, shown) = (Arc::clone(&self.last), self.versions.voice.clone(), self.shown.clone());
        let begun = |progress: Arc<Progress>| {
            site.figures.pipeline_is(&name, &progress);
            site.figures.file(&shown, |file| {
                file.state = "running";
                file.swaps += u64::from(swaps);
            });
            *last.lock() = Some(progress);
            voice.say(&format!("running ({shown})"));
        };
        let place = Place {
            data: &site.data,
            instance: &site.options.instance,
            memory: &site.memory,
            cluster: &cluster,
            stop: site.stop.clone(),
        };
        let told = async {
            let news = self.news().await;
            self.versions.voice.say("stopping at a commit");
            news
        };
        let ended = version::run(version, place, begun, told).await;
        match &ended {
            Ended::Failed { begun: false, .. } | Ended::Told { begun: false, .. } => {
                self.versions.did_not_begin(before);
            }
            _ => self.swaps = false,
        }
        self.is("waiting");
        if matches!(ended, Ended::Told { word: News::Gone, .. }) {
            *self.last.lock() = None;
            self.versions.voice.say("stopped");
            self.is("gone");
        }
        site.names.ran(&self.file);
        ended
    }

    /// The way to the pipeline's topics.
    async fn cluster(&mut self, broker: &Broker) -> Result<Arc<Cluster>, String> {
        let Broker::Cluster(cluster) = broker else { return self.site.embedded().await };
        let hosts: Vec<&str> = cluster.bootstrap.iter().map(|b| b.value.as_str()).collect();
        let hosts = hosts.join(",");
        if let Some((_, known)) = self.outside.as_ref().filter(|(known, _)| *known == hosts) {
            return Ok(Arc::clone(known));
        }
        let cluster = Arc::clone(embedded::Broker::outside(&hosts)?.cluster());
        self.outside = Some((hosts, Arc::clone(&cluster)));
        Ok(cluster)
    }

    fn failed(&self, error: &WorkerError) {
        self.versions.voice.complain(&error.to_string());
        self.figures(|file| file.failures += 1);
    }

    fn is(&self, state: &'static str) {
        self.figures(|file| file.state = state);
    }

    fn figures(&self, change: impl FnOnce(&mut FileFigures)) {
        self.site.figures.file(&self.shown, change);
    }
}

/// Waits for a time; without one, for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_minutes() {
        let waits: Vec<u64> = (1..=10).map(|failures| wait_after(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(wait_after(u32::MAX), WAIT_MAX);
    }
}
