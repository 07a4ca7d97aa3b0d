//! The tests of this crate as data: broken files with what is said about them beside, scalars' places, fuzz smoke.
//! `UPDATE_EXPECT=1 cargo test -p millstream-spec` writes the expectations anew; the diff is then read by a person.
#![allow(clippy::disallowed_methods, reason = "tests read their data from files")]

mod broken;
mod example;
mod fuzz;
mod pages;
mod places;
mod recordings;
mod values;

use std::path::{Path, PathBuf};

use millstream_spec::catalog::standard;
use millstream_spec::{Capabilities, FixedReader, Outcome, Policy, Request, load};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A small world: some variables, one secret file, one file too long.
fn reader() -> FixedReader {
    let mut reader = FixedReader::default();
    for (name, value) in [
        ("PORT", "8085"),
        ("EMPTY", ""),
        ("DSN", "postgres://app:hunter2@db/warehouse"),
        ("BAD_DSN", "oracle://app:hunter2@db/warehouse"),
        ("DIGITS", "12345"),
        ("TOKEN", "hunter2"),
        ("WORD", "many"),
        ("TRUE", "true"),
    ] {
        reader.env.insert(name.to_owned(), value.to_owned());
    }
    reader.files.insert("/run/secrets/dsn".to_owned(), "postgres://app:hunter2@db/warehouse\n".to_owned());
    reader.files.insert("/run/secrets/long".to_owned(), "x".repeat(65 * 1024));
    reader
}

/// What a test may read: some of that world.
fn policy() -> Policy {
    let mut policy = Policy::local();
    policy.env.0 = ["PORT", "EMPTY", "DSN", "BAD_DSN", "DIGITS", "TOKEN", "WORD", "TRUE", "NOT_SET*"]
        .map(str::to_owned)
        .to_vec();
    policy.files.0 = vec!["/run/secrets/*".to_owned()];
    policy
}

fn load_text(file: &str, text: &str, overrides: &[String]) -> Outcome {
    load(&Request {
        file,
        text,
        overrides,
        catalog: &standard::catalog(),
        capabilities: &Capabilities::this_version(),
        reader: &reader(),
        policy: &policy(),
    })
}

/// Compares with a file, or writes it where `UPDATE_EXPECT` is set.
fn expect_file(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, actual).map_err(|e| format!("{}: {e}", path.display()))?;
        return Ok(());
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    Err(format!("{} differs\n--- expected\n{expected}\n--- actual\n{actual}", path.display()))
}
