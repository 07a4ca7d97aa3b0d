//! `millstream dev`: a pipeline and its broker while somebody works on it. The broker stays; the pipeline's file, its
//! modules and its tables are watched. A new version that is good takes the place of the one that runs, at a commit; one
//! with faults is told of, and the one before goes on.
//!
//! ```text
//! waiting --a good version--> running --done, failed--> waiting        any --SIGINT, SIGTERM--> stopped
//! running --a good version--> stopping --committed--> running          running --a faulty one--> running
//! running, never begun --failed--> running the one before, where there is one
//! ```
//! Never enters: how changes are found (`watch.rs`) and versions are judged and run (`version.rs`), what a pipeline does.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use millstream_spec::ast::Broker;
use millstream_types::MemoryBudget;
use millstream_worker::progress::Progress;
use millstream_worker::{Opened, WorkerError};
use parking_lot::Mutex;
use tokio::sync::watch as flag;

use super::version::{self, Ended, Place, Versions, is_good};
use super::watch::Watch;
use super::{embedded, failed, limit, live, opened, reconcile, runtime, usage};
use crate::args::Dev;
use crate::exit::Failure;

/// Where the broker listens, where nothing is said; then the ports above, until one is free.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 9092;
const PORTS_TRIED: u16 = 20;

/// What is drawn of a version that has begun, and from which figures.
type Picture = Arc<Mutex<Option<(Arc<Progress>, live::Live)>>>;

struct Development<'a> {
    options: &'a Dev,
    data: &'a Path,
    memory: MemoryBudget,
    broker: &'a embedded::Broker,
    versions: Versions,
    stop: flag::Receiver<bool>,
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
        let versions = Versions::new(&options.file, &options.set, Some(Watch::new()));
        let mut development =
            Development { options, data: &data, memory, broker: &broker, versions, stop: stopped };
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

impl Development<'_> {
    async fn run(&mut self, first: Opened) {
        self.versions.follow(&first);
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
                Ended::Stopped(_) => return,
                Ended::Told { begun, word: other, error } => {
                    if begun {
                        before = Some(version);
                    }
                    if let Some(error) = &error {
                        eprintln!("millstream: {error}");
                    }
                    // Begun at once, it would throw out the other, which would do the same.
                    next = Some(other).filter(|_| !matches!(error, Some(WorkerError::Fenced(_))));
                }
                Ended::Done(report) => print!("{}", reconcile::text(&report)),
                Ended::Failed { begun, error } => {
                    eprintln!("millstream: {error}");
                    next = before.take().filter(|_| !begun);
                    if next.is_some() {
                        println!("the new version did not start; the one before goes on");
                    }
                }
            }
        }
    }

    /// Waits for a version that can run; nothing where the command is to end.
    async fn wait(&mut self) -> Option<Box<Opened>> {
        loop {
            tokio::select! {
                changed = self.versions.changed() => {
                    if let Some(version) = self.versions.look(&changed).await {
                        return Some(version);
                    }
                }
                _ = self.stop.changed() => return None,
            }
        }
    }

    /// Runs a version until something ends it.
    async fn version(&mut self, version: &Opened) -> Ended<Box<Opened>> {
        let (name, before) = match &version.parts {
            Some((pipeline, job)) => (pipeline.name.value.clone(), self.versions.runs(job)),
            None => Default::default(),
        };
        let shown = Picture::default();
        let begun = |figures: Arc<Progress>| {
            println!("running {name}");
            let live = live::Live::new(&name);
            live.begin(Arc::clone(&figures));
            *shown.lock() = Some((figures, live));
        };
        let versions = &mut self.versions;
        let told = async {
            loop {
                let changed = versions.changed().await;
                // What is printed stands above the picture, not in it.
                if let Some((_, live)) = shown.lock().as_ref() {
                    live.end();
                }
                if let Some(other) = versions.look(&changed).await {
                    println!("stopping {name} at a commit");
                    return other;
                }
                println!("{name} goes on as it was");
                if let Some((figures, live)) = shown.lock().as_mut() {
                    *live = live::Live::new(&name);
                    live.begin(Arc::clone(figures));
                }
            }
        };
        let place = Place {
            data: self.data,
            instance: "0",
            memory: &self.memory,
            cluster: self.broker.cluster(),
            stop: self.stop.clone(),
        };
        let ended = version::run(version, place, begun, told).await;
        if let Some((_, live)) = shown.lock().as_ref() {
            live.end();
        }
        if matches!(ended, Ended::Failed { begun: false, .. } | Ended::Told { begun: false, .. }) {
            self.versions.did_not_begin(before);
        }
        ended
    }
}
