//! How results are printed: tables for people, JSON for programs. A reader that goes away (`| head`) ends a command
//! quietly. Never enters: errors, which go to standard error.

use std::io::{self, Write};

use crate::exit::{Exit, Failure};

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON value
    Json,
}

/// Why a command did not run to its end.
#[derive(Debug)]
pub enum Stopped {
    /// Nobody reads standard output any more; nothing is wrong.
    ReaderGone,
    /// It failed.
    Failed(Failure),
}

impl Stopped {
    /// What was asked makes no sense.
    pub fn usage(text: impl Into<String>) -> Stopped {
        Stopped::Failed(Failure { exit: Exit::Usage, text: text.into() })
    }

    /// It could not be done.
    pub fn failure(text: impl Into<String>) -> Stopped {
        Stopped::Failed(Failure { exit: Exit::Failure, text: text.into() })
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped::Failed(failure)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stopped::ReaderGone,
            _ => Stopped::failure(format!("writing to standard output: {error}")),
        }
    }
}

/// Writes one line of JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), Stopped> {
    let mut text =
        serde_json::to_vec(value).map_err(|error| Stopped::failure(format!("writing JSON: {error}")))?;
    text.push(b'\n');
    print(&text)
}

/// Writes text, and all of it before this returns.
pub fn print(text: &[u8]) -> Result<(), Stopped> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(())
}

/// `1 record`, `2 records`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A table: columns in capitals over rows, numbers to the right.
pub fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |at: usize| rows.iter().filter_map(move |row| row.get(at));
    let widths: Vec<usize> = (columns.iter().enumerate())
        .map(|(at, name)| {
            cells(at).map(|cell| cell.chars().count()).max().unwrap_or(0).max(name.chars().count())
        })
        .collect();
    let is_number = |cell: &String| cell == "-" || cell.parse::<i64>().is_ok();
    let numeric: Vec<bool> =
        (0..columns.len()).map(|at| !rows.is_empty() && cells(at).all(is_number)).collect();
    let mut text = String::new();
    let heads: Vec<String> = columns.iter().map(|name| name.to_uppercase()).collect();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            let (before, after) = if numeric[at] { (pad.as_str(), "") } else { ("", pad.as_str()) };
            line.extend([before, cell, after, "  "]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn numbers_stand_to_the_right() {
        let row = |name: &str, count: &str| vec![name.to_owned(), count.to_owned()];
        let text = table(&["name", "count"], &[row("a", "5"), row("longer", "-"), row("b", "1234567")]);
        assert_eq!(text, "NAME      COUNT\na             5\nlonger        -\nb       1234567\n");
        assert_eq!(table(&["name"], &[]), "NAME\n");
    }
}
