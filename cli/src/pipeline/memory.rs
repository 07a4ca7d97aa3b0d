//! What ran last, noted beside the broker's data, and what an edit would do to it. Never enters: deciding that
//! (`millstream_plan::diff`).

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use millstream_plan::{Change, Job, Lock, diff};

fn file(job: &Job, data: &Path) -> PathBuf {
    data.join(format!("{}.plan.lock", job.pipeline))
}

/// Notes what runs, for the next plan to compare with.
pub fn note(job: &Job, data: &Path) {
    // What cannot be read is told where somebody asks for it.
    let before = before(job, data).ok().flatten();
    let (path, text) = (file(job, data), Lock::after(job, before.as_ref()).to_string());
    // Put in its place whole: it is written while the pipeline runs, which may be killed at any time.
    let aside = path.with_extension("lock.new");
    // A pipeline on a cluster has no broker that would have made the folder.
    let written = std::fs::create_dir_all(data)
        .and_then(|()| std::fs::write(&aside, text))
        .and_then(|()| std::fs::rename(&aside, &path));
    if let Err(error) = written {
        tracing::warn!(%error, "the plan that ran could not be noted");
    }
}

/// What ran last.
fn before(job: &Job, data: &Path) -> Result<Option<Lock>, String> {
    let path = file(job, data);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("reading {}: {error}", path.display())),
    };
    Lock::parse(&before).map(Some).map_err(|error| format!("reading {}: {error}", path.display()))
}

/// The operators that would not keep what they had when this last ran.
pub fn operators_changed(job: &Job, data: &Path) -> Result<Vec<String>, String> {
    let Some(before) = before(job, data)? else { return Ok(Vec::new()) };
    let is_other = |change: &Change| {
        matches!(
            change,
            Change::Anew(..)
                | Change::Filled(..)
                | Change::GoesOn(_)
                | Change::AddedState(_)
                | Change::RemovedState(_)
        )
    };
    Ok(diff(&before, job).iter().filter(|change| is_other(change)).map(ToString::to_string).collect())
}

/// What would become of what ran last, a line each; empty where nothing has run.
pub fn changes(job: &Job, data: &Path) -> Result<String, String> {
    let Some(before) = before(job, data)? else { return Ok(String::new()) };
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
