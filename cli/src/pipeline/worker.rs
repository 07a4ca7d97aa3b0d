//! `millstream worker`: several pipelines in one process, each with a thread that looks after it (`worker/hosted.rs`). Files
//! come, change and go while it runs. What they share: the embedded broker, the names, the process's memory, the figures.
//! Never enters: what becomes of one pipeline, how its versions are run (`version.rs`).

mod hosted;
mod names;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use millstream_client::Cluster;
use millstream_query::STACK_BYTES;
use millstream_types::MemoryBudget;
use tokio::sync::{Mutex, mpsc, watch as flag};

use self::hosted::Hosted;
use self::names::Names;
use super::version::{PANICKED, Voice};
use super::watch::{Folders, pipelines_of};
use super::{embedded, failed, limit, runtime, usage};
use crate::args::Worker;
use crate::exit::Failure;
use crate::metrics::{self, Figures};

/// What the pipelines of a process share.
struct Site {
    options: Worker,
    data: PathBuf,
    memory: MemoryBudget,
    figures: Figures,
    names: Names,
    stop: flag::Receiver<bool>,
    /// The broker of this process, once a pipeline wants it.
    broker: Mutex<Option<embedded::Broker>>,
}

impl Site {
    /// The broker of this process; it is started for whoever is the first to ask.
    async fn embedded(&self) -> Result<Arc<Cluster>, String> {
        let mut broker = self.broker.lock().await;
        if broker.is_none() {
            let Worker { listen, broker_set, .. } = &self.options;
            let started =
                embedded::Broker::start(listen.clone(), self.data.clone(), broker_set, &self.memory).await?;
            if let Some(inside) = started.inside() {
                self.figures.broker_is(inside);
            }
            if let Some(address) = started.address() {
                Voice::default().say(&format!("ready {address}"));
            }
            *broker = Some(started);
        }
        Ok(Arc::clone(broker.as_ref().expect("it was started above").cluster()))
    }
}

/// The folders among what was named, and all pipelines' files.
fn places(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, BTreeSet<PathBuf>), Failure> {
    let (mut folders, mut files) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let failed = |error: std::io::Error| usage(format!("reading {}: {error}", path.display()));
        match std::fs::metadata(path).map_err(failed)?.is_dir() {
            true => {
                files.extend(pipelines_of(path).map_err(failed)?);
                folders.push(path.clone());
            }
            false => drop(files.insert(path.clone())),
        }
    }
    Ok((folders, files))
}

/// Where the data are, where nothing is said: as of `run`, beside the pipelines.
fn data_beside(path: &Path) -> PathBuf {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    folder.unwrap_or(Path::new("")).join(".millstream")
}

/// Runs until it is stopped; where nothing is watched, until all input is done.
pub fn command(options: Worker) -> Result<(), Failure> {
    crate::cmd::log_from("warn");
    let (folders, files) = places(&options.paths)?;
    if files.is_empty() && options.no_watch {
        return Err(usage(
            "there is no *.yaml or *.yml among what was named, and --no-watch waits for none".to_owned(),
        ));
    }
    let first = options.paths.first().ok_or_else(|| usage("name a folder or a file".to_owned()))?;
    let data = std::path::absolute(options.data.clone().unwrap_or_else(|| data_beside(first)));
    let data = data.map_err(|error| failed(format!("finding --data: {error}")))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let memory = limit::budget(options.memory);
        let figures = Figures::default();
        figures.memory_is(&memory);
        if let Some(at) = &options.metrics {
            let at = metrics::serve(at, figures.clone()).await.map_err(failed)?;
            Voice::default().say(&format!("metrics {at}"));
        }
        let (stop, stopped) = flag::channel(false);
        tokio::spawn(async move {
            embedded::stop_asked().await;
            let _ = stop.send(true);
            // A second signal ends at once; what was not committed is done again by the next run.
            embedded::stop_asked().await;
            std::process::exit(130);
        });
        let (names, broker) = (Names::default(), Mutex::default());
        let site = Arc::new(Site { options, data, memory, figures, names, stop: stopped, broker });
        if site.options.listen.is_some() {
            site.embedded().await.map_err(failed)?;
        }
        // Of those that are there at the beginning, none has its names before the others.
        std::thread::scope(|scope| {
            let say = || files.iter().for_each(|file| hosted::say_names(&site, file));
            thread("names").spawn_scoped(scope, say).map(drop)
        })
        .map_err(|error| failed(format!("starting a thread: {error}")))?;
        let (ended, mut all_ended) = mpsc::channel::<()>(1);
        let mut threads = Vec::new();
        for file in &files {
            threads.extend(begin(&site, file, &ended));
        }
        if files.is_empty() {
            Voice::default().say(&format!("waiting for *.yaml in {}", site.options.paths[0].display()));
        }
        let mut stop = site.stop.clone();
        match site.options.no_watch {
            true => drop(ended),
            false => {
                let mut folders = Folders::new(folders, files);
                loop {
                    tokio::select! {
                        came = folders.came() => {
                            for file in came {
                                threads.extend(begin(&site, &file, &ended));
                            }
                        }
                        _ = stop.wait_for(|stop| *stop) => break,
                    }
                }
                drop(ended);
            }
        }
        // Each has the sender until it ends.
        let _ = all_ended.recv().await;
        for thread in threads {
            let _ = thread.join();
        }
        if let Some(broker) = site.broker.lock().await.take() {
            broker.stop().await;
        }
        match site.figures.behind().as_slice() {
            [] => Ok(()),
            behind => Err(failed(format!("not all ran as their files say: {}", behind.join(", ")))),
        }
    })
}

/// Begins to look after a file, on a thread of its own: what it does between runs, SQL planned and functions compiled, keeps nobody else waiting.
/// Nothing where there is no thread for it.
fn begin(site: &Arc<Site>, file: &Path, ended: &mpsc::Sender<()>) -> Option<JoinHandle<()>> {
    let shown = file.display().to_string();
    let is_failed = |site: &Site, shown: &str, text: &str| {
        Voice::default().complain(&format!("{shown}: {text}"));
        site.figures.file(shown, |file| file.state = "failed");
    };
    let (beside, of, file, ended) = (Arc::clone(site), shown.clone(), file.to_owned(), ended.clone());
    let runtime = tokio::runtime::Handle::current();
    let name = format!("file {}", file.file_name().unwrap_or_default().to_string_lossy());
    let begun = thread(&name).spawn(move || {
        let mut hosted = Hosted::new(Arc::clone(&beside), file);
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(hosted.run()))).is_err() {
            is_failed(&beside, &of, &format!("what looks after it is gone: {PANICKED}"));
        }
        drop(ended);
    });
    begun.map_err(|error| is_failed(site, &shown, &format!("starting a thread: {error}"))).ok()
}

/// One on which SQL is planned, one call deep for each operator.
fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES)
}
