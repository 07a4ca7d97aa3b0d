//! What went in against what came out, from the counts that travel in the commits themselves and so hold over crashes
//! and restarts. Never enters: counting.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use millstream_worker::Report;

/// The reconciliation of a run.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in report.totals.values().flatten() {
        *all.entry(name).or_default() += count;
    }
    let of = |prefix: &str| -> Vec<(&str, u64)> {
        all.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?, *v))).collect()
    };
    let ingest = report.stages.first().and_then(|(id, _)| report.totals.get(id));
    let read = ingest.and_then(|c| c.get("read")).copied().unwrap_or(0);
    let _ = writeln!(text, "{}", if report.done { "done" } else { "stopped" });
    let _ = writeln!(text, "read                     {read:>12}");
    let mut rejected = 0;
    for (reason, count) in of("rejected.") {
        rejected += count;
        let _ = writeln!(text, "  rejected {reason:<15} {count:>10}");
    }
    for (reason, count) in of("unfit.") {
        let _ = writeln!(text, "  rows failed {reason:<18} {count:>7}");
    }
    let (mut repeated, mut conflicting) = (0, 0);
    for (step, count) in of("repeated.") {
        repeated += count;
        let _ = writeln!(text, "  repeats dropped by {step:<6} {count:>9}");
    }
    for (step, count) in of("conflicting.") {
        conflicting += count;
        let _ = writeln!(text, "  conflicting repeats {step:<6} {count:>8}");
    }
    for (step, count) in of("written.") {
        let _ = writeln!(text, "rows of {step:<16} {count:>12}");
    }
    for (step, count) in of("discarded.") {
        let _ = writeln!(text, "rows of {step:<16} {count:>12}  forgotten");
    }
    for (step, count) in of("late.") {
        let _ = writeln!(text, "late rows of {step:<11} {count:>12}");
    }
    // Where all that is read goes through one dedupe, each record is a row of it, a repeat, or rejected. Its rows are
    // counted where they are written; where they are not, what is left of those that went in.
    if let ([(step, into)], true) = (of("into.").as_slice(), report.done) {
        // Rows that came too late to be judged.
        let late = all.get(format!("late.{step}").as_str()).copied().unwrap_or(0);
        let written = all.get(format!("written.{step}").as_str()).copied();
        let unique = written.unwrap_or(into.saturating_sub(repeated + conflicting + late));
        let rejected = rejected + conflicting + late;
        let right = read == unique + repeated + rejected;
        let verdict = if right { "holds" } else { "DOES NOT HOLD" };
        let _ = writeln!(
            text,
            "read {read} = unique {unique} + repeats {repeated} + rejected {rejected} : {verdict}"
        );
    }
    text.push_str("seconds of each stage: its own CPU, waiting for input, committing\n");
    for (id, figures) in &report.stages {
        let (cpu, waited) = (figures.cpu_ms as f64 / 1e3, figures.waited.as_secs_f64());
        let committing = figures.committing.as_secs_f64();
        let _ =
            writeln!(text, "  {id:<20} {cpu:8.2} {waited:8.2} {committing:8.2}  {} commits", figures.commits);
    }
    text
}
