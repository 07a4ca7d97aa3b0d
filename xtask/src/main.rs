//! `cargo xtask`: what the project checks and makes of itself. Owns the command line; each command is a module.
//! Never enters: product code.

mod arrows;
mod protocol;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND
  tidy                 arrows between crates, a header on every file
  protocol [--check]   make broker/wire's generated code from its tables, or check that it is fresh";

/// The workspace's root, from where this crate stands in it: cargo says so when it runs this, whose build may be of another checkout
/// with the same target folder.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("tidy") => arrows::check(&root()).and_then(|()| tidy::check(&root())),
        Some("protocol") => protocol::run(&arguments[1..]),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_depend_only_where_the_arrows_allow() {
        if let Err(faults) = arrows::check(&root()) {
            panic!("{faults}");
        }
    }

    #[test]
    fn every_file_has_a_header_and_no_forbidden_name() {
        if let Err(faults) = tidy::check(&root()) {
            panic!("{faults}");
        }
    }
}
