//! `cargo xtask`: what the project checks and makes of itself. Owns the list of commands; each has a file.

mod protocol;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some("protocol") => protocol::run(&args[1..]),
        _ => Err("usage: cargo xtask protocol [--check]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
