//! The command line: arguments in, text and an exit code out. One file holds each command; what a command does lives
//! in the crate that does it. Never enters: anything that a program would want to call without a person before it.

pub mod args;
pub mod cmd;
pub mod exit;
pub mod generate;
mod metrics;
pub mod pipeline;
pub mod render;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that the arguments name and returns what the process ends with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match args::Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help goes to standard output and ends with 0, as does the version; the rest is bad usage.
            let _ = error.print();
            return if error.use_stderr() { exit::Exit::Usage.into() } else { exit::Exit::Done.into() };
        }
    };
    let outcome = match parsed.command {
        args::Command::New(options) => pipeline::new::command(&options),
        args::Command::Run(options) => pipeline::run(&options),
        args::Command::Worker(options) => pipeline::worker::command(options),
        args::Command::Dev(options) => pipeline::dev::command(&options),
        args::Command::Validate(options) => pipeline::validate(&options),
        args::Command::Plan(options) => pipeline::plan(&options),
        args::Command::Explain(options) => pipeline::explain::command(&options),
        args::Command::Query(options) => pipeline::query::command(options),
        args::Command::Test(options) => pipeline::test::command(&options),
        args::Command::RunCase(options) => pipeline::test::run_case(&options),
        args::Command::Savepoint(verb) => pipeline::savepoint::command(&verb),
        args::Command::Generate(args::Generate::Invoices(options)) => generate::command(&options),
        args::Command::Broker(options) => return cmd::broker::command(options),
        args::Command::Topic(verb) => cmd::topic::command(verb),
        args::Command::Group(verb) => cmd::group::command(verb),
        args::Command::Produce(options) => cmd::produce::command(options),
        args::Command::Consume(options) => cmd::consume::command(options),
        args::Command::Record(options) => cmd::record::command(options),
        args::Command::Completion(options) => cmd::completion::command(&options),
    };
    match outcome {
        Ok(()) => exit::Exit::Done.into(),
        Err(failure) => {
            eprintln!("millstream: {}", failure.text);
            failure.exit.into()
        }
    }
}
