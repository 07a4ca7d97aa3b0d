//! What ran last, noted beside the broker's data, and what an edit would do to it. Never enters: deciding that
//! (`millstream_plan::diff`).

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use millstream_plan::{Job, Lock, diff};

fn file(job: &Job, data: &Path) -> PathBuf {
    data.join(format!("{}.plan.lock", job.pipeline))
}

/// Notes what has run, for the next plan to compare with.
pub fn note(job: &Job, data: &Path) {
    // A pipeline on a cluster has no broker that would have made the folder.
    let written = std::fs::create_dir_all(data)
        .and_then(|()| std::fs::write(file(job, data), Lock::of(job).to_string()));
    if let Err(error) = written {
        tracing::warn!(%error, "the plan that ran could not be noted");
    }
}

/// What would become of what ran last, a line each; empty where nothing has run.
pub fn changes(job: &Job, data: &Path) -> Result<String, String> {
    let path = file(job, data);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(format!("reading {}: {error}", path.display())),
    };
    let before = Lock::parse(&before).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let mut text = String::from("\nsince it last ran\n");
    let changes = diff(&before, job);
    for change in &changes {
        let _ = writeln!(text, "  {change}");
    }
    if changes.is_empty() {
        text.push_str("  nothing has changed\n");
    }
    Ok(text)
}
