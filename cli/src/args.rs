//! Every command and option, as types. The help that users read is the documentation of these fields.

use std::path::PathBuf;

/// A stream-processing platform with connectors, in one file.
#[derive(Debug, clap::Parser)]
#[command(name = "millstream", version, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write a folder with a pipeline that runs, has tests, and is meant to be changed
    ///
    /// The folder's name is the pipeline's: lower-case letters, digits and `-`. Overwrites nothing. Prints what to run next.
    #[command(after_help = "Example: millstream new orders --from file --to parquet")]
    New(New),
    /// Run a pipeline, with its broker where the file says `embedded`
    ///
    /// Ends with 0 when a finite input is done, 1 on a failure, 2 where the file has faults.
    #[command(
        after_help = "Example: millstream run pipeline.yaml --data /var/lib/millstream --set topics.invoices.partitions=60"
    )]
    Run(Run),
    /// Run several pipelines in one process, each within its own limits
    ///
    /// Each *.yaml and *.yml of a folder is a pipeline; one that is faulty or fails leaves the others alone, and is tried
    /// again. The folder is watched: a file that comes is begun, a good edit takes over at a commit, a faulty one or one
    /// that does not begin leaves the version before, and what goes is stopped at a commit. `limits: { memory, cpu }` in a
    /// file says what its pipeline may hold and compute. Runs until SIGINT or SIGTERM, which stop all at a commit; ends with 0 where all ran as their files say, else 1.
    #[command(
        after_help = "Example: millstream worker pipelines/ --data /var/lib/millstream --metrics 127.0.0.1:9100"
    )]
    Worker(Worker),
    /// Run a pipeline and its broker while you work on it
    ///
    /// Kafka clients may talk to the broker. The pipeline's file, its modules and its tables are watched: a new version that
    /// is good takes the place of the one that runs, at a commit; of one with faults you are told, and the one before goes
    /// on. Runs until SIGINT or SIGTERM, which end it with 0.
    #[command(after_help = "Example: millstream dev pipeline.yaml --listen 127.0.0.1:9092")]
    Dev(Dev),
    /// Find every fault of a pipeline file, with its place
    ///
    /// Ends with 0 where there is none, else 2.
    #[command(after_help = "Example: millstream validate pipeline.yaml --format json")]
    Validate(Validate),
    /// Show what a pipeline becomes: stages, topics, groups, state, promises
    #[command(after_help = "Example: millstream plan pipeline.yaml")]
    Plan(Plan),
    /// Show what a pipeline becomes, and what the engine runs for each operator
    ///
    /// What `plan` shows, then of each query its logical plan, the steps that rows go through, what is kept for how long
    /// and what becomes of late rows.
    #[command(after_help = "Example: millstream explain pipeline.yaml")]
    Explain(Explain),
    /// Ask what a pipeline keeps, in SQL: open windows and sessions, groups, tables
    ///
    /// Reads what is committed, from the pipeline's topics: whether it runs or not, on whatever workers, and without being
    /// seen by them. Without SQL, shows what there is to ask. With --listen, answers clients of PostgreSQL until SIGINT or
    /// SIGTERM, which end it with 0. Ends with 1 where it cannot be done, 2 where the SQL or the file has faults.
    #[command(
        after_help = "Example: millstream query pipeline.yaml \"SELECT store_id, SUM(revenue) FROM revenue GROUP BY 1\"\n         millstream query pipeline.yaml --listen 127.0.0.1:5433    then: psql -h 127.0.0.1 -p 5433"
    )]
    Query(Query),
    /// Run the tests that a pipeline file holds
    ///
    /// Each case runs the pipeline itself on a broker of its own in a temporary folder; its rows stand in for sources and
    /// tables, files in that folder for every target. Ends with 0 where all cases hold, 1 where one does not, 2 where the
    /// file has faults or no such case.
    #[command(after_help = "Example: millstream test pipeline.yaml --filter crash")]
    Test(Test),
    /// Run one case of a file's tests, as the process that its scenario lets die
    #[command(hide = true)]
    RunCase(RunCase),
    /// Take and put back savepoints: all that a pipeline has come to, under a name, outside of its cluster
    #[command(subcommand)]
    Savepoint(crate::pipeline::savepoint::Savepoint),
    /// Make input to try a pipeline on
    #[command(subcommand)]
    Generate(Generate),
    /// Run a broker that Kafka's clients talk to
    ///
    /// Prints `ready HOST:PORT` on standard output when clients may connect. SIGTERM and SIGINT stop it cleanly. It logs
    /// to standard error; MILLSTREAM_LOG sets the level (error, warn, info, debug, trace). Ends with 0 after a clean stop,
    /// 1 where it cannot start, 2 where a setting is not taken.
    Broker(crate::cmd::broker::Broker),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(crate::cmd::topic::Topic),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(crate::cmd::group::Group),
    /// Write lines to a topic
    ///
    /// Each line of standard input becomes a record's value, without its line end (\n or \r\n). Ends with 0 when every
    /// record was acknowledged; with 1, and how many were, when one was not.
    Produce(crate::cmd::produce::Produce),
    /// Read records of a topic
    ///
    /// Prints until it is stopped (SIGINT or SIGTERM, which end it with 0), has printed --count records, or, with
    /// --until-end, has read what was there when it started.
    Consume(crate::cmd::consume::Consume),
    /// Write what a topic holds, as a file that a pipeline's tests replay
    ///
    /// Prints each record as a line of JSON: partition, offset, timestamp, key, value and headers, bytes that are no text in
    /// base64. Reads what is committed and is there when it starts, and ends. A test names the file:
    /// `inputs: { sales: { recording: fixtures/sales.jsonl } }`.
    Record(crate::cmd::record::Record),
    /// Print a shell's completion of this command
    Completion(crate::cmd::completion::Completion),
}

/// What can be made.
#[derive(Debug, clap::Subcommand)]
pub enum Generate {
    /// Invoices of a chain of stores, as files
    ///
    /// Writes DIR/stores.csv, DIR/stores/<store>/inbox/*.jsonl and, last, DIR/expected.json with what a correct
    /// pipeline must find in them. The same options give the same bytes.
    #[command(after_help = "Example: millstream generate invoices --n 300000 --seed 1 --dir demo/input")]
    Invoices(Invoices),
}

/// Options of `generate invoices`.
#[derive(Clone, Debug, clap::Args)]
pub struct Invoices {
    /// How many lines to write, the bad and the repeated ones included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub n: u64,
    /// The same seed gives the same files
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The folder to write; it must be empty or not there yet
    #[arg(long)]
    pub dir: PathBuf,
    /// How many stores
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub stores: u32,
}

/// Options of `new`.
#[derive(Clone, Debug, clap::Args)]
pub struct New {
    /// The folder to write
    pub name: PathBuf,
    /// Where its records come from
    #[arg(long, value_enum)]
    pub from: NewFrom,
    /// Where its rows go
    #[arg(long, value_enum)]
    pub to: NewTo,
}

/// Where records of a new pipeline come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum NewFrom {
    /// Lines of files; some are written too
    File,
    /// Requests to an address of this machine
    HttpServer,
}

/// Where rows of a new pipeline go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NewTo {
    /// Parquet files in a folder
    Parquet,
    /// A table of a SQLite database
    Sqlite,
}

/// Options of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The pipeline's file
    pub file: PathBuf,
    /// Where the embedded broker and compiled functions are kept [default: .millstream beside the file]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Let Kafka clients talk to the embedded broker
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// A setting of the embedded broker, by Kafka's names; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub broker_set: Vec<String>,
    /// Serve the figures of stages and of the embedded broker at http://HOST:PORT/metrics, as Prometheus reads them
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// Hold about this much at most: commit earlier and fetch less ahead when it is short, such as 512MiB [default: half of
    /// what the machine or its control group gives]
    #[arg(long, value_name = "SIZE", value_parser = crate::pipeline::limit::size)]
    pub memory: Option<u64>,
    /// This worker's name: kept over restarts, its own among the pipeline's workers
    #[arg(long, default_value = "0")]
    pub instance: String,
}

/// Options of `worker`.
#[derive(Clone, Debug, clap::Args)]
pub struct Worker {
    /// Folders of pipelines' files, and files
    #[arg(required = true, value_name = "FOLDER|FILE")]
    pub paths: Vec<PathBuf>,
    /// Where the embedded broker and compiled functions are kept [default: .millstream in the folder, or beside the file]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Change a value of every file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Let Kafka clients talk to the embedded broker, which all files share that say `embedded`
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// A setting of the embedded broker, by Kafka's names; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub broker_set: Vec<String>,
    /// Serve the figures of files, pipelines, stages and of the embedded broker at http://HOST:PORT/metrics, as Prometheus
    /// reads them
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// Hold about this much at most, all pipelines together, such as 2GiB [default: half of what the machine or its control
    /// group gives]
    #[arg(long, value_name = "SIZE", value_parser = crate::pipeline::limit::size)]
    pub memory: Option<u64>,
    /// This worker's name: kept over restarts, its own among the workers of its pipelines
    #[arg(long, default_value = "0")]
    pub instance: String,
    /// Run what is there now, and look at no file again; ends when all input is done
    #[arg(long)]
    pub no_watch: bool,
}

/// Options of `dev`.
#[derive(Clone, Debug, clap::Args)]
pub struct Dev {
    /// The pipeline's file
    pub file: PathBuf,
    /// Where the embedded broker and compiled functions are kept [default: .millstream beside the file]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the embedded broker listens [default: 127.0.0.1:9092, or the next port that is free]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// A setting of the embedded broker, by Kafka's names; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub broker_set: Vec<String>,
    /// Hold about this much at most: commit earlier and fetch less ahead when it is short, such as 512MiB [default: half of
    /// what the machine or its control group gives]
    #[arg(long, value_name = "SIZE", value_parser = crate::pipeline::limit::size)]
    pub memory: Option<u64>,
}

/// Options of `validate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Validate {
    /// The pipeline's file
    pub file: PathBuf,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// How faults are printed
    #[arg(long, value_enum, default_value_t = ValidateFormat::Text)]
    pub format: ValidateFormat,
}

/// How faults are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ValidateFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code review tools
    Sarif,
}

/// Options of `plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// The pipeline's file
    pub file: PathBuf,
    /// Where it ran before, to show what becomes of that [default: .millstream beside the file]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}

/// Options of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Explain {
    /// What is explained
    #[command(flatten)]
    pub plan: Plan,
    /// Ask a running worker, at its `--metrics`, for what operators hold and do now; once for each worker
    #[arg(long, value_name = "HOST:PORT")]
    pub worker: Vec<String>,
}

/// Options of `query`.
#[derive(Clone, Debug, clap::Args)]
pub struct Query {
    /// The pipeline's file
    pub file: PathBuf,
    /// The question; several are separated by semicolons. Without one, what there is to ask is shown
    #[arg(conflicts_with = "listen")]
    pub sql: Option<String>,
    /// How answers are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: QueryFormat,
    /// Answer clients of PostgreSQL here, who need no password; port 0 takes a free one. Prints `ready HOST:PORT`
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Let --listen be an address that others than this machine can reach: all who reach it may ask, unencrypted
    #[arg(long, requires = "listen")]
    pub allow_remote: bool,
    /// Where the pipeline's broker is, where the file says `embedded` and it runs with --listen
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "data")]
    pub bootstrap: Option<String>,
    /// Where the embedded broker was kept, of a pipeline that does not run [default: .millstream beside the file]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Hold about this much at most, what is read and what a question needs, such as 512MiB [default: half of what the machine
    /// or its control group gives]
    #[arg(long, value_name = "SIZE", value_parser = crate::pipeline::limit::size)]
    pub memory: Option<u64>,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum QueryFormat {
    /// For people
    #[default]
    Table,
    /// A list of objects
    Json,
    /// With a line of names
    Csv,
}

/// Options of `test`.
#[derive(Clone, Debug, clap::Args)]
pub struct Test {
    /// The pipeline's file
    pub file: PathBuf,
    /// Only cases with this in their names
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: crate::render::Format,
}

/// Options of `run-case`, which `test` starts.
#[derive(Clone, Debug, clap::Args)]
pub struct RunCase {
    /// The pipeline's file
    pub file: PathBuf,
    /// The case's name
    #[arg(long)]
    pub case: String,
    /// The case's folder
    #[arg(long)]
    pub folder: PathBuf,
    /// Where compiled functions are kept
    #[arg(long)]
    pub functions: PathBuf,
    /// Change a value of the file; may be given many times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}
