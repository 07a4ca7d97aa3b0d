//! `millstream generate invoices`: a chain of stores and a day of its invoices, with the faults that real ones have,
//! and the counts that a correct pipeline must find. Integers only, so that a seed gives the same bytes on every
//! machine. Never enters: the check itself; the counts come from what was meant to be written, and a recount reads
//! the files alone (`tests/e2e/recount.py`).

mod catalogue;
mod clock;
mod day;
mod expected;
mod files;
mod invoice;

use crate::args::Invoices;
use crate::exit::{Exit, Failure};
use std::path::Path;

pub use expected::Expected;

/// The options of one run, apart from where it writes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Lines to write.
    pub lines: u64,
    /// Fixes all chance.
    pub seed: u64,
    /// How many stores there are.
    pub stores: u32,
}

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The folder holds something already.
    #[error("generating invoices: {0} is not empty; name an empty folder or remove it first")]
    NotEmpty(String),
    /// The system refused.
    #[error("generating invoices: writing {path}: {source}")]
    Write {
        /// The file or folder.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
}

/// The command: writes the files and says what is in them.
pub fn command(options: &Invoices) -> Result<(), Failure> {
    let settings = Settings { lines: options.n, seed: options.seed, stores: options.stores };
    let expected = invoices(&settings, &options.dir).map_err(|error| Failure {
        exit: match error {
            GenerateError::NotEmpty(_) => Exit::Usage,
            GenerateError::Write { .. } => Exit::Failure,
        },
        text: error.to_string(),
    })?;
    println!("{}", expected.summary(&options.dir));
    Ok(())
}

/// Writes the files into `dir` and returns what a correct pipeline must find in them.
pub fn invoices(settings: &Settings, dir: &Path) -> Result<Expected, GenerateError> {
    let mut files = files::Files::create(dir, settings.stores)?;
    let mut day = day::Day::new(*settings);
    files.write("stores.csv", day.stores_csv().as_bytes())?;
    let mut line = Vec::with_capacity(4096);
    for _ in 0..settings.lines {
        line.clear();
        let place = day.next_line(&mut line);
        line.push(b'\n');
        files.append(place, &line)?;
    }
    files.finish()?;
    let expected = day.expected();
    files.write("expected.json", expected.to_json().as_bytes())?;
    Ok(expected)
}
