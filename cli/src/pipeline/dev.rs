//! `millstream dev`: a pipeline and its broker while somebody works on it. The broker stays; the pipeline's file, its
//! modules and its tables are watched. A new version that is good takes the place of the one that runs, at a commit; one
//! with faults is told of, and the one before goes on.
//!
//! ```text
//! waiting --a good version--> running --done, failed--> waiting        any --SIGINT, SIGTERM--> stopped
//! running --a good version--> stopping --committed--> running          running --a faulty one--> running
//! running, never begun --failed--> running the one before, where there is one
//! ```
//! Never enters: how changes are found (`dev/watch.rs`), what a pipeline does.

mod watch;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_plan::{Change, Lock, diff};
use millstream_spec::ast::{Broker, Operator, Pipeline};
use millstream_spec::render;
use millstream_types::MemoryBudget;
use millstream_worker::progress::Progress;
use millstream_worker::{Opened, Options, Report};
use parking_lot::Mutex;
use tokio::sync::watch as flag;

use super::{embedded, failed, limit, live, memory, opened, reconcile, runtime, usage};
use crate::args::Dev;
use crate::exit::Failure;

/// Where the broker listens, where nothing is said; then the ports above, until one is free.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 9092;
const PORTS_TRIED: u16 = 20;

/// How a version's run ended.
enum Ended {
    /// The command is to end.
    Stopped,
    /// Another version takes its place.
    Replaced(Box<Opened>),
    /// Its input is done.
    Done(Report),
    /// It failed; whether it had begun.
    Failed { begun: bool, text: String },
}

/// What is drawn of a version that has begun, and from which figures.
type Picture = Arc<Mutex<Option<(Arc<Progress>, live::Live)>>>;

struct Development<'a> {
    options: &'a Dev,
    data: &'a Path,
    memory: MemoryBudget,
    broker: &'a embedded::Broker,
    watch: watch::Watch,
    stop: flag::Receiver<bool>,
    /// What ran last.
    lock: Option<Lock>,
}

/// Runs until it is stopped.
pub fn command(options: &Dev) -> Result<(), Failure> {
    crate::cmd::log_from("warn");
    let runtime = runtime()?;
    let first = runtime.block_on(opened(&options.file, &options.set))?;
    let data = options.data.clone().unwrap_or_else(|| first.root.join(".millstream"));
    runtime.block_on(async {
        let memory = limit::budget(options.memory);
        let broker = start(options, &first, &data, &memory).await?;
        let (stop, stopped) = flag::channel(false);
        tokio::spawn(async move {
            embedded::stop_asked().await;
            let _ = stop.send(true);
            // A second signal ends at once; what was not committed is done again by the next run.
            embedded::stop_asked().await;
            std::process::exit(130);
        });
        let watch = watch::Watch::new();
        let mut development =
            Development { options, data: &data, memory, broker: &broker, watch, stop: stopped, lock: None };
        development.run(first).await;
        drop(development);
        broker.stop().await;
        Ok(())
    })
}

/// The broker that the file asks for, and where it listens.
async fn start(
    options: &Dev,
    first: &Opened,
    data: &Path,
    memory: &MemoryBudget,
) -> Result<embedded::Broker, Failure> {
    // A file with faults says nothing yet; most have their broker in the process.
    let asked = first.parts.as_ref().map_or(&Broker::Embedded, |(pipeline, _)| &pipeline.broker);
    if let Broker::Cluster(cluster) = asked {
        if options.listen.is_some() {
            return Err(usage("--listen is the embedded broker's, and the file names a cluster".to_owned()));
        }
        let hosts: Vec<&str> = cluster.bootstrap.iter().map(|b| b.value.as_str()).collect();
        println!("the pipeline's topics are on {}", hosts.join(","));
        return embedded::Broker::outside(&hosts.join(",")).map_err(failed);
    }
    let listen = match &options.listen {
        Some(listen) => listen.clone(),
        None => free_address()?,
    };
    let broker = embedded::Broker::start(Some(listen), data.to_owned(), &options.broker_set, memory).await;
    let broker = broker.map_err(failed)?;
    println!("ready {}", broker.address().unwrap_or_default());
    Ok(broker)
}

/// The first free port from [`PORT`] on.
fn free_address() -> Result<String, Failure> {
    let last = PORT + PORTS_TRIED - 1;
    for port in PORT..=last {
        match std::net::TcpListener::bind((HOST, port)) {
            Ok(_) if port == PORT => return Ok(format!("{HOST}:{port}")),
            Ok(_) => {
                println!("port {PORT} is taken; the broker listens on {port}");
                return Ok(format!("{HOST}:{port}"));
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(failed(format!("listening on {HOST}:{port}: {error}"))),
        }
    }
    Err(failed(format!(
        "the ports {PORT} to {last} of {HOST} are all taken; say --listen {HOST}:0 for any that is free"
    )))
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
fn is_good(opened: &Opened) -> bool {
    let shown = render::text(&opened.diagnostics, &opened.sources);
    if !shown.is_empty() {
        eprintln!("{}", shown.trim_end());
    }
    opened.parts.is_some() && !opened.diagnostics.has_errors()
}

impl Development<'_> {
    async fn run(&mut self, first: Opened) {
        self.follow(&first);
        let mut next = is_good(&first).then(|| Box::new(first));
        let mut before: Option<Box<Opened>> = None;
        loop {
            let Some(version) = next.take() else {
                println!("waiting for a change of {}", self.options.file.display());
                match self.wait().await {
                    Some(version) => next = Some(version),
                    None => return,
                }
                continue;
            };
            match self.version(&version).await {
                Ended::Stopped => return,
                Ended::Replaced(other) => (before, next) = (Some(version), Some(other)),
                Ended::Done(report) => print!("{}", reconcile::text(&report)),
                Ended::Failed { begun, text } => {
                    eprintln!("millstream: {text}");
                    next = before.take().filter(|_| !begun);
                    if next.is_some() {
                        println!("the new version did not start; the one before goes on");
                    }
                }
            }
        }
    }

    fn follow(&mut self, version: &Opened) {
        let pipeline = version.parts.as_ref().map(|(pipeline, _)| pipeline);
        self.watch.follow(files(&self.options.file, &version.root, pipeline));
    }

    /// Waits for a version that can run; nothing where the command is to end.
    async fn wait(&mut self) -> Option<Box<Opened>> {
        loop {
            tokio::select! {
                changed = self.watch.changed() => {
                    if let Some(version) = self.look(&changed).await {
                        return Some(version);
                    }
                }
                _ = self.stop.changed() => return None,
            }
        }
    }

    /// The version after a change, where it can run.
    async fn look(&mut self, changed: &[PathBuf]) -> Option<Box<Opened>> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("changed: {}", changed.iter().map(name).collect::<Vec<_>>().join(", "));
        match opened(&self.options.file, &self.options.set).await {
            Ok(version) if is_good(&version) => {
                self.follow(&version);
                let (_, job) = version.parts.as_ref()?;
                let lock = self.lock.as_ref().filter(|lock| lock.pipeline == job.pipeline);
                let changes = lock.map_or_else(Vec::new, |lock| diff(lock, job));
                for change in &changes {
                    println!("  {change}");
                }
                // The topics are there, and keep the partitions that they have.
                let fixed =
                    |change: &&Change| matches!(change, Change::GrownTopic(..) | Change::ShrunkTopic(..));
                if changes.iter().any(|change| fixed(&change)) {
                    eprintln!(
                        "millstream: the partitions of a topic that is there stay as they are; give the topic another \
                         name, or start again with another --data"
                    );
                    return None;
                }
                Some(Box::new(version))
            }
            Ok(_) => None,
            Err(failure) => {
                eprintln!("millstream: {}", failure.text);
                None
            }
        }
    }

    /// Runs a version until something ends it.
    async fn version(&mut self, version: &Opened) -> Ended {
        let Some((pipeline, job)) = &version.parts else {
            return Ended::Failed { begun: false, text: "there is no pipeline".to_owned() };
        };
        let lock_before = self.lock.replace(Lock::of(job));
        let (halt, halted) = flag::channel(false);
        let worker = Options {
            instance: "0".to_owned(),
            cache: Some(self.data.join("functions")),
            scratch: Some(self.data.join("state")),
            stop: halted,
            bench: None,
            memory: self.memory.clone(),
        };
        let name = pipeline.name.value.clone();
        let shown = Picture::default();
        let (begins, drawn) = (Arc::clone(&shown), name.clone());
        let begun = move |figures: Arc<Progress>| {
            println!("running {drawn}");
            let live = live::Live::new(&drawn);
            live.begin(Arc::clone(&figures));
            *begins.lock() = Some((figures, live));
        };
        let running =
            millstream_worker::run((pipeline, job), &version.root, self.broker.cluster(), worker, begun);
        tokio::pin!(running);
        let mut other = None;
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                changed = self.watch.changed(), if other.is_none() => {
                    // What is printed stands above the picture, not in it.
                    if let Some((_, live)) = shown.lock().as_ref() {
                        live.end();
                    }
                    other = self.look(&changed).await;
                    match (&other, shown.lock().as_mut()) {
                        (Some(_), _) => println!("stopping {name} at a commit"),
                        (None, Some((figures, live))) => {
                            println!("{name} goes on as it was");
                            *live = live::Live::new(&name);
                            live.begin(Arc::clone(figures));
                        }
                        (None, None) => println!("{name} goes on as it was"),
                    }
                    if other.is_some() {
                        let _ = halt.send(true);
                    }
                }
                _ = self.stop.changed() => {
                    let _ = halt.send(true);
                }
            }
        };
        let begun = shown.lock().as_ref().map(|(_, live)| live.end()).is_some();
        match ended {
            Ok(_) if *self.stop.borrow() => Ended::Stopped,
            Ok(report) => {
                memory::note(job, self.data);
                match other {
                    Some(other) => Ended::Replaced(other),
                    None => Ended::Done(report),
                }
            }
            Err(error) => match other {
                // Its successor may be the cure.
                Some(other) => Ended::Replaced(other),
                None => {
                    if !begun {
                        self.lock = lock_before;
                    }
                    Ended::Failed { begun, text: error.to_string() }
                }
            },
        }
    }
}
