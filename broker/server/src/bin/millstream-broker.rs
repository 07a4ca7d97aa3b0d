//! `millstream-broker`: the broker alone, for machines that run no pipelines. Takes what `millstream broker` takes.

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: millstream-broker --listen HOST:PORT --data DIR [--set KEY=VALUE ...]";

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut listen = None;
    let mut data = None;
    let mut settings = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--listen", Some(value)) => listen = Some(value),
            ("--data", Some(value)) => data = Some(PathBuf::from(value)),
            ("--set", Some(value)) => settings.push(value),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match (listen, data) {
        (Some(listen), Some(data)) => millstream_server::command::run(&listen, data, &settings),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
