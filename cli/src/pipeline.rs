//! The commands about a pipeline file: `new`, `run`, `worker`, `dev`, `validate`, `plan`, `explain`, `query`, `test`, `savepoint`. Each opens the file the same way; `run` starts the
//! broker inside this process where the file says `embedded`. Never enters: what a pipeline does (`millstream-worker`).

pub mod dev;
mod embedded;
pub mod explain;
pub mod limit;
mod live;
mod memory;
pub mod new;
pub mod query;
mod reconcile;
pub mod savepoint;
pub mod test;
mod version;
mod watch;
pub mod worker;

use std::path::Path;

use millstream_plan::Job;
use millstream_spec::Pipeline;
use millstream_spec::ast::Broker;
use millstream_spec::render;
use millstream_types::MemoryBudget;
use millstream_worker::{Opened, Options, WorkerError};

use crate::args::{Plan, Run, Validate, ValidateFormat};
use crate::exit::{Exit, Failure};
use crate::metrics::{self, Figures};
use crate::render::{Stopped, print};

fn usage(text: String) -> Failure {
    Failure { exit: Exit::Usage, text }
}

fn failed(text: String) -> Failure {
    Failure { exit: Exit::Failure, text }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    built.map_err(|error| failed(format!("starting {threads} threads: {error}")))
}

/// Opens a file and checks all its parts.
fn open(runtime: &tokio::runtime::Runtime, file: &Path, sets: &[String]) -> Result<Opened, Failure> {
    runtime.block_on(opened(file, sets))
}

/// Opens a file and checks all its parts.
async fn opened(file: &Path, sets: &[String]) -> Result<Opened, Failure> {
    let opened = millstream_worker::open(file, sets);
    let mut opened = opened.map_err(|error| usage(format!("reading {}: {error}", file.display())))?;
    millstream_worker::validate::parts(&mut opened).await;
    Ok(opened)
}

/// The faults on standard error; an exit where there are errors.
fn refuse_faults(opened: &Opened) -> Result<(), Failure> {
    let shown = render::text(&opened.diagnostics, &opened.sources);
    if !shown.is_empty() {
        eprintln!("{}", shown.trim_end());
    }
    match opened.diagnostics.has_errors() {
        true => Err(usage("the pipeline has faults and was not run".to_owned())),
        false => Ok(()),
    }
}

/// `millstream validate`: 0 where the file is good, 2 where it is not.
pub fn validate(options: &Validate) -> Result<(), Failure> {
    let runtime = runtime()?;
    let opened = open(&runtime, &options.file, &options.set)?;
    let shown = match options.format {
        ValidateFormat::Text => render::text(&opened.diagnostics, &opened.sources),
        ValidateFormat::Json => render::json(&opened.diagnostics, &opened.sources),
        ValidateFormat::Sarif => render::sarif(&opened.diagnostics, &opened.sources),
    };
    if !shown.is_empty() {
        say(&format!("{}\n", shown.trim_end()))?;
    }
    match opened.diagnostics.has_errors() {
        true => Err(usage(format!("{} has faults", options.file.display()))),
        false => Ok(()),
    }
}

/// `millstream plan`: stages, topics, groups, state, and what an edit would do to what has run.
pub fn plan(options: &Plan) -> Result<(), Failure> {
    let runtime = runtime()?;
    let opened = open(&runtime, &options.file, &options.set)?;
    refuse_faults(&opened)?;
    let Some((_, job)) = &opened.parts else { return Err(usage("there is no pipeline".to_owned())) };
    say(&format!("{}\n", planned(options, &opened, job)?.trim_end()))
}

/// Prints to standard output, as far as it is read.
fn say(text: &str) -> Result<(), Failure> {
    match print(text.as_bytes()) {
        Ok(()) | Err(Stopped::ReaderGone) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// The plan, and what it does to what ran last.
fn planned(options: &Plan, opened: &Opened, job: &Job) -> Result<String, Failure> {
    let data = options.data.clone().unwrap_or_else(|| opened.root.join(".millstream"));
    Ok(millstream_plan::explain(job) + &memory::changes(job, &data).map_err(failed)?)
}

/// The broker that a file names: started in this process, or reached outside.
async fn broker(
    pipeline: &Pipeline,
    listen: Option<String>,
    data: &Path,
    settings: &[String],
    memory: &MemoryBudget,
) -> Result<embedded::Broker, Failure> {
    let broker = match &pipeline.broker {
        Broker::Embedded => embedded::Broker::start(listen, data.to_owned(), settings, memory).await,
        Broker::Cluster(cluster) => {
            let hosts: Vec<&str> = cluster.bootstrap.iter().map(|b| b.value.as_str()).collect();
            embedded::Broker::outside(&hosts.join(","))
        }
    };
    broker.map_err(failed)
}

/// `millstream run`.
pub fn run(options: &Run) -> Result<(), Failure> {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .try_init();
    let runtime = runtime()?;
    let opened = open(&runtime, &options.file, &options.set)?;
    refuse_faults(&opened)?;
    let Some((pipeline, job)) = &opened.parts else { return Err(usage("there is no pipeline".to_owned())) };
    let data = options.data.clone().unwrap_or_else(|| opened.root.join(".millstream"));
    runtime.block_on(async {
        let memory = limit::budget(options.memory);
        let figures = Figures::default();
        figures.memory_is(&memory);
        if let Some(at) = &options.metrics {
            println!("metrics {}", metrics::serve(at, figures.clone()).await.map_err(failed)?);
        }
        let broker = broker(pipeline, options.listen.clone(), &data, &options.broker_set, &memory).await?;
        if let Some(broker) = broker.inside() {
            figures.broker_is(broker);
        }
        if let Some(address) = broker.address() {
            println!("ready {address}");
        }
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            embedded::stop_asked().await;
            let _ = stop.send(true);
            // A second signal ends at once; what was not committed is done again by the next run.
            embedded::stop_asked().await;
            std::process::exit(130);
        });
        let worker = Options {
            instance: options.instance.clone(),
            cache: Some(data.join("functions")),
            scratch: Some(data.join("state")),
            stop: stopped,
            bench: None,
            memory,
        };
        let live = live::Live::new(&pipeline.name.value);
        let shown = live.clone();
        let name = pipeline.name.value.clone();
        let ended = millstream_worker::run(
            (pipeline, job),
            &opened.root,
            broker.cluster(),
            worker,
            move |progress| {
                figures.pipeline_is(&name, &progress);
                shown.begin(progress);
            },
        )
        .await;
        live.end();
        let result = match ended {
            Ok(report) => {
                print!("{}", reconcile::text(&report));
                memory::note(job, &data);
                Ok(())
            }
            Err(WorkerError::Setup(text)) => Err(failed(text)),
            Err(error) => Err(failed(error.to_string())),
        };
        broker.stop().await;
        result
    })
}
