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
