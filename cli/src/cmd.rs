//! The commands of the broker: one file each, with the options it takes and what it prints. What they share is here: the
//! log, and a runtime that ends when the command has. Never enters: what a broker or a client does.

pub mod broker;
pub mod completion;
pub mod consume;
pub mod group;
pub mod place;
pub mod produce;
pub mod reach;
pub mod record;
pub mod topic;

use crate::exit::{Exit, Failure};
use crate::render::Stopped;

/// Sends what the crates log to standard error, as `MILLSTREAM_LOG` says (`info`, `millstream_client=debug`, …), or from
/// `level` on where it says nothing.
pub(crate) fn log_from(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    // A log that is there already stays: a program may have called this library before.
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr);
    let _ = log.try_init();
}

/// Runs a command that talks to a broker.
fn run<F>(work: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Stopped>>,
{
    log_from("warn");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
            |error| Failure { exit: Exit::Failure, text: format!("starting two threads: {error}") },
        )?;
    let result = runtime.block_on(work);
    // A thread may still wait for a line of standard input that nobody types.
    runtime.shutdown_background();
    match result {
        Ok(()) | Err(Stopped::ReaderGone) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// Splits `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is not KEY=VALUE")),
    }
}
