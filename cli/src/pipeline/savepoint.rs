//! `millstream savepoint`: create, list, show, restore, delete. Starts the embedded broker for as long as the command takes, where
//! the file says `embedded`. Never enters: what a savepoint holds, and how it is put back (`millstream_worker::savepoint`).

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_connector::Period;
use millstream_plan::Job;
use millstream_spec::Pipeline;
use millstream_types::Clock;
use millstream_worker::savepoint::manifest::Kind;
use millstream_worker::savepoint::{
    self, IfThere, Manifest, OnGap, Place, PutBackOptions, Subject, TakeOptions, open_place,
};
use millstream_worker::{Opened, WorkerError};

use super::{embedded, failed, limit, memory, refuse_faults, runtime, usage};
use crate::cmd::log_from;
use crate::cmd::place::show_time as when;
use crate::exit::Failure;
use crate::render::{self, Format, Stopped};

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Savepoint {
    /// Copy all that a pipeline has come to: state, positions, what is between its stages
    ///
    /// The pipeline has to stand still: its workers are stopped. Nothing of it is changed. What the file's topics hold is not copied,
    /// but for what its own stages have not read yet.
    #[command(
        after_help = "Example: millstream savepoint create pipeline.yaml before-the-move --to s3://backups/orders"
    )]
    Create(Create),
    /// List savepoints
    #[command(after_help = "Example: millstream savepoint list pipeline.yaml")]
    List(List),
    /// Show what a savepoint holds
    #[command(after_help = "Example: millstream savepoint show pipeline.yaml before-the-move")]
    Show(Show),
    /// Put a pipeline back to where it was
    ///
    /// The savepoint is checked whole and what it will do is told before anything is touched; it is done whole or not at all.
    /// Targets of sinks are not set back. A command that died is told by the next `run`; done again, it is completed.
    #[command(
        after_help = "Examples: millstream savepoint restore pipeline.yaml before-the-move\n          millstream savepoint restore pipeline.yaml before-the-move --set name=trial --yes"
    )]
    Restore(Restore),
    /// Delete a savepoint
    #[command(after_help = "Example: millstream savepoint delete pipeline.yaml before-the-move")]
    Delete(Delete),
}

/// Which pipeline, and where its savepoints are.
#[derive(Clone, Debug, clap::Args)]
pub struct Of {
    /// The pipeline's file
    pub file: PathBuf,
    /// Where savepoints are: s3://BUCKET/FOLDER (with AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL), file:///FOLDER or
    /// a folder [default: savepoints in the folder of --data]
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Where the embedded broker is kept [default: .millstream beside the file]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}

/// How the cluster is reached.
#[derive(Clone, Debug, clap::Args)]
pub struct Still {
    /// How long to wait for workers that have just been stopped
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = wait)]
    pub wait: Duration,
    /// A setting of the embedded broker, by Kafka's names; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub broker_set: Vec<String>,
}

/// Options of `savepoint create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Which pipeline
    #[command(flatten)]
    pub of: Of,
    /// The savepoint's name
    pub name: String,
    /// Take the place of one that has the name
    #[arg(long)]
    pub replace: bool,
    /// The cluster
    #[command(flatten)]
    pub still: Still,
}

/// Options of `savepoint list`.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// Which pipeline
    #[command(flatten)]
    pub of: Of,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `savepoint show`.
#[derive(Clone, Debug, clap::Args)]
pub struct Show {
    /// Which pipeline
    #[command(flatten)]
    pub of: Of,
    /// The savepoint's name
    pub name: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `savepoint restore`.
#[derive(Clone, Debug, clap::Args)]
pub struct Restore {
    /// Which pipeline
    #[command(flatten)]
    pub of: Of,
    /// The savepoint's name
    #[arg(required_unless_present = "give_up")]
    pub name: Option<String>,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
    /// What to do where a topic of others does not have what is to be read of it any more
    #[arg(long, value_enum, default_value_t)]
    pub on_gap: Gap,
    /// Leave a savepoint whose restore died, and go on from where the pipeline was before
    #[arg(long, conflicts_with_all = ["name", "yes"])]
    pub give_up: bool,
    /// The cluster
    #[command(flatten)]
    pub still: Still,
}

/// What to do about a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Gap {
    /// Say what is missing, and touch nothing
    #[default]
    Stop,
    /// Go on with what there is
    Skip,
}

/// Options of `savepoint delete`.
#[derive(Clone, Debug, clap::Args)]
pub struct Delete {
    /// Which pipeline
    #[command(flatten)]
    pub of: Of,
    /// The savepoint's name
    pub name: String,
}

fn wait(text: &str) -> Result<Duration, String> {
    let period = Period::parse(text).ok_or_else(|| format!("\"{text}\" is no time such as 30s or 2m"))?;
    Ok(Duration::from_millis(period.0))
}

/// A file that was read, and where its savepoints are.
struct Subjected {
    opened: Opened,
    data: PathBuf,
    url: String,
}

impl Of {
    fn open(&self) -> Result<Subjected, Failure> {
        let opened = millstream_worker::open(&self.file, &self.set);
        let opened = opened.map_err(|error| usage(format!("reading {}: {error}", self.file.display())))?;
        refuse_faults(&opened)?;
        let data = self.data.clone().unwrap_or_else(|| opened.root.join(".millstream"));
        let url = match &self.to {
            Some(url) if url.contains("://") => url.clone(),
            // From where the command is typed, not from the file.
            Some(folder) => whole(Path::new(folder))?,
            None => whole(&data.join("savepoints"))?,
        };
        Ok(Subjected { opened, data, url })
    }
}

fn whole(folder: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(folder);
    let path = path.map_err(|error| usage(format!("reading the folder {}: {error}", folder.display())))?;
    Ok(path.display().to_string())
}

impl Subjected {
    fn parts(&self) -> Result<(&Pipeline, &Job), Failure> {
        let parts = self.opened.parts.as_ref().ok_or_else(|| usage("there is no pipeline".to_owned()))?;
        Ok((&parts.0, &parts.1))
    }

    fn subject(&self) -> Result<Subject<'_>, Failure> {
        let (pipeline, job) = self.parts()?;
        Ok(Subject { pipeline, job })
    }

    fn place(&self) -> Result<Place, Failure> {
        let (pipeline, _) = self.parts()?;
        let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        open_place(pipeline, &self.opened.root, &self.url, setting).map_err(told)
    }

    async fn broker(&self, still: &Still) -> Result<embedded::Broker, Failure> {
        let (pipeline, _) = self.parts()?;
        let memory = limit::budget(None);
        super::broker(pipeline, None, &self.data, &still.broker_set, &memory).await
    }
}

fn told(error: WorkerError) -> Failure {
    failed(error.to_string())
}

/// Runs a verb.
pub fn command(verb: &Savepoint) -> Result<(), Failure> {
    log_from("warn");
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        match verb {
            Savepoint::Create(options) => create(options).await.map_err(Stopped::Failed),
            Savepoint::List(options) => list(options).await,
            Savepoint::Show(options) => show(options).await,
            Savepoint::Restore(options) => restore(options).await.map_err(Stopped::Failed),
            Savepoint::Delete(options) => delete(options).await.map_err(Stopped::Failed),
        }
    });
    match done {
        Ok(()) | Err(Stopped::ReaderGone) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

async fn create(options: &Create) -> Result<(), Failure> {
    let opened = options.of.open()?;
    let (subject, place) = (opened.subject()?, opened.place()?);
    let changed = memory::operators_changed(subject.job, &opened.data).map_err(failed)?;
    if !changed.is_empty() {
        return Err(failed(format!(
            "the file was edited since the pipeline last ran: {}. Take the savepoint with the file as it ran, or run it first",
            changed.join("; ")
        )));
    }
    let broker = opened.broker(&options.still).await?;
    let now_ms = millstream_worker::savepoint::clock().wall_ms();
    let take = TakeOptions {
        if_there: if options.replace { IfThere::Replace } else { IfThere::Refuse },
        wait: options.still.wait,
        now_ms,
        attempt: ((now_ms as u64) << 22) | u64::from(std::process::id()),
    };
    let snapshots = savepoint::open_snapshots(subject.pipeline, &opened.opened.root).map_err(told);
    let taken = match snapshots {
        Ok(snapshots) => {
            let what = (options.name.as_str(), snapshots.as_ref());
            savepoint::take(subject, broker.cluster(), &place, what, take).await.map_err(told)
        }
        Err(failure) => Err(failure),
    };
    broker.stop().await;
    println!("{} in {}", summary(&taken?), place.url());
    Ok(())
}

/// One line of a savepoint.
fn summary(manifest: &Manifest) -> String {
    format!(
        "savepoint {} of pipeline {}: {} records of state of {} operators, {} in flight, {} bytes",
        manifest.name,
        manifest.pipeline,
        manifest.state_records(),
        manifest.state.len(),
        manifest.in_flight(),
        manifest.bytes()
    )
}

#[derive(serde::Serialize)]
struct Listed {
    name: String,
    pipeline: String,
    taken_at: String,
    bytes: u64,
}

async fn list(options: &List) -> Result<(), Stopped> {
    let place = options.of.open()?.place()?;
    let mut rows = Vec::new();
    let mut damaged = Vec::new();
    for name in place.names().await.map_err(told)? {
        match place.read(&name).await {
            Ok(found) => rows.push(Listed {
                taken_at: when(found.taken_at_ms),
                bytes: found.bytes(),
                name,
                pipeline: found.pipeline,
            }),
            Err(WorkerError::Setup(text)) => damaged.push(text),
            Err(error) => return Err(told(error).into()),
        }
    }
    match options.format {
        Format::Json => render::json(&rows)?,
        Format::Text => {
            let cells = |row: &Listed| {
                vec![row.name.clone(), row.pipeline.clone(), row.taken_at.clone(), row.bytes.to_string()]
            };
            let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
            render::print(render::table(&["name", "pipeline", "taken at", "bytes"], &cells).as_bytes())?;
        }
    }
    match damaged.is_empty() {
        true => Ok(()),
        false => Err(Stopped::failure(damaged.join("\n"))),
    }
}

async fn show(options: &Show) -> Result<(), Stopped> {
    let place = options.of.open()?.place()?;
    let manifest = place.read(&options.name).await.map_err(told)?;
    match options.format {
        Format::Json => render::json(&manifest),
        Format::Text => render::print(shown(&manifest).as_bytes()),
    }
}

fn shown(manifest: &Manifest) -> String {
    let mut text = summary(manifest);
    let _ = writeln!(text, "\ntaken at {}, by version {}", when(manifest.taken_at_ms), manifest.version);
    for (operator, content) in &manifest.state {
        let _ = writeln!(text, "state {operator}: {} records, {} bytes", content.count(), content.bytes());
    }
    let _ = writeln!(text, "positions: {} records", manifest.positions.count());
    for topic in &manifest.topics {
        let whose = match topic.kind {
            Kind::Between => "written and read by the pipeline",
            Kind::Outside => "written by others, not copied",
            Kind::ToSinks => "on the way to sinks",
        };
        let _ = writeln!(
            text,
            "topic {}, {whose}: {} partitions, {} records in flight",
            topic.name,
            topic.partitions.len(),
            topic.content.count()
        );
    }
    text
}

async fn restore(options: &Restore) -> Result<(), Failure> {
    let opened = options.of.open()?;
    let (subject, place) = (opened.subject()?, opened.place()?);
    if let (Some(name), false) = (&options.name, options.give_up) {
        // What is not there needs no broker.
        place.read(name).await.map_err(told)?;
    }
    let broker = opened.broker(&options.still).await?;
    let done = match &options.name {
        Some(name) if !options.give_up => put_back(subject, &place, (&broker, name), options).await,
        _ => give_up(subject, &broker).await,
    };
    broker.stop().await;
    if done? {
        memory::note(subject.job, &opened.data);
    }
    Ok(())
}

/// Whether it was done.
async fn put_back(
    subject: Subject<'_>,
    place: &Place,
    (broker, name): (&embedded::Broker, &str),
    options: &Restore,
) -> Result<bool, Failure> {
    let on_gap = match options.on_gap {
        Gap::Stop => OnGap::Stop,
        Gap::Skip => OnGap::Skip,
    };
    let how = PutBackOptions { on_gap, wait: options.still.wait };
    let ready = savepoint::prepare(subject, broker.cluster(), place, name, how).await.map_err(told)?;
    println!("{}, taken at {}", summary(ready.manifest()), when(ready.manifest().taken_at_ms));
    for line in ready.told() {
        println!("  {line}");
    }
    println!("  what pipeline {} keeps now is replaced", subject.job.pipeline);
    if !options.yes && !agreed()? {
        ready.leave().await;
        return Err(failed("nothing was changed".to_owned()));
    }
    let done = ready.carry_out().await.map_err(told)?;
    println!("pipeline {} is put back to savepoint {}", subject.job.pipeline, done.name);
    Ok(true)
}

async fn give_up(subject: Subject<'_>, broker: &embedded::Broker) -> Result<bool, Failure> {
    let name = savepoint::give_up(subject, broker.cluster()).await.map_err(told)?;
    let pipeline = &subject.job.pipeline;
    match name {
        Some(name) => println!("savepoint {name} is given up: pipeline {pipeline} is where it was before"),
        None => println!("no savepoint of pipeline {pipeline} was begun to be put back"),
    }
    Ok(false)
}

/// Asks on a terminal; without one `--yes` is to be said.
fn agreed() -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(usage("nobody can be asked whether to go on; say --yes. Nothing was changed".to_owned()));
    }
    print!("Go on? [y/N] ");
    let mut line = String::new();
    let asked = std::io::stdout().flush().and_then(|()| input.lock().read_line(&mut line));
    asked.map_err(|error| failed(format!("asking whether to go on: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

async fn delete(options: &Delete) -> Result<(), Failure> {
    let place = options.of.open()?.place()?;
    let files = place.delete(&options.name).await.map_err(told)?;
    println!("deleted savepoint {}, {}", options.name, render::counted(files as u64, "file"));
    Ok(())
}
