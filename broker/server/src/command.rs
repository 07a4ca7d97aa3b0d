//! What `millstream broker` does: settings from `key=value` pairs, a runtime, a node that runs until it is told to stop.
//! Prints `ready HOST:PORT` once it serves. Never enters: the parsing of the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use millstream_types::MemoryBudget;

use crate::broker::Broker;
use crate::config::Config;
use crate::node::{Node, NodeOptions};

/// Bad settings or arguments.
const USAGE: u8 = 2;

/// Runs a broker until SIGTERM or SIGINT; the exit code is 0 after a clean stop, 1 where it could not start, 2 where a
/// setting is not taken.
pub fn run(listen: &str, data: PathBuf, settings: &[String]) -> ExitCode {
    run_with(listen, data, settings, async |_| Ok(()))
}

/// [`run`], with something to do once the broker serves and before that is told; a text of its own where it cannot.
pub fn run_with(
    listen: &str,
    data: PathBuf,
    settings: &[String],
    begun: impl AsyncFnOnce(&Arc<Broker>) -> Result<(), String>,
) -> ExitCode {
    let config = match Config::from_pairs(settings) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            return ExitCode::from(USAGE);
        }
    };
    let threads = match usize::try_from(config.number("worker.threads")) {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(2, usize::from),
        Ok(threads) => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("starting {threads} threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let options =
            NodeOptions { listen: Some(listen.to_owned()), data, config, memory: MemoryBudget::unlimited() };
        let node = match Node::start(options).await {
            Ok(node) => node,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        if let Err(error) = begun(node.broker()).await {
            eprintln!("{error}");
            node.stop().await;
            return ExitCode::FAILURE;
        }
        println!("ready {}", node.address().unwrap_or_default());
        stop_asked().await;
        node.stop().await;
        ExitCode::SUCCESS
    })
}

async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without signals the process runs until it is killed.
        _ => std::future::pending().await,
    }
}
