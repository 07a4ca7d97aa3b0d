//! `millstream-checker FILE`: judges a history of JSON lines. Exits with 0 where nothing is wrong, 1 where something is, 2
//! where the file cannot be judged. Never enters: the judging.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::Instant;

fn show_lines(path: &str, wanted: &BTreeSet<u32>) -> std::io::Result<()> {
    for (line, at) in BufReader::new(File::open(path)?).lines().zip(1..) {
        let line = line?;
        if wanted.contains(&at) {
            let shown: String = line.chars().take(400).collect();
            println!("line {at}: {shown}{}", if shown.len() < line.len() { " …" } else { "" });
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let [path] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        eprintln!("usage: millstream-checker FILE");
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    let judged = File::open(path).map_err(millstream_checker::HistoryError::from);
    let verdict = match judged.and_then(|file| millstream_checker::judge(BufReader::new(file))) {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("judging {path}: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{verdict}, judged in {} ms", begun.elapsed().as_millis());
    if verdict.is_good() {
        return ExitCode::SUCCESS;
    }
    let examples = verdict.anomalies.values().flat_map(|found| &found.examples);
    let wanted = examples.flat_map(|anomaly| anomaly.lines.iter().copied()).collect();
    if let Err(error) = show_lines(path, &wanted) {
        eprintln!("showing lines of {path}: {error}");
    }
    ExitCode::FAILURE
}
