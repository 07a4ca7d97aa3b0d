//! What `millstream test` prints: a line for each case, under a failed one what was wanted, where, and what is there; for
//! programs one JSON value. Never enters: finding it out.

use std::fmt::Write as _;
use std::path::Path;

use crate::render::counted;

/// Something that is not as a case expects.
#[derive(Debug, serde::Serialize)]
pub struct Fault {
    /// `file:line:column` of what the case says.
    pub at: String,
    /// What was wanted and is not so.
    pub text: String,
    /// Rows that are there, a bounded number of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// How many rows are there, where rows were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
}

/// What became of a case.
#[derive(Debug, serde::Serialize)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Whether everything is as expected.
    pub passed: bool,
    /// How long it took.
    pub seconds: f64,
    /// What is not.
    pub faults: Vec<Fault>,
}

/// A case as lines.
pub fn case_text(case: &CaseResult) -> String {
    let word = if case.passed { "ok    " } else { "FAILED" };
    let mut text = format!("{word}  {}  {:.1} s\n", case.name, case.seconds);
    for fault in &case.faults {
        let _ = writeln!(text, "  {}: {}", fault.at, fault.text);
        let Some(rows) = fault.rows else { continue };
        match rows {
            0 => text.push_str("    no rows are there\n"),
            _ => {
                let _ = writeln!(text, "    {} there:", counted(rows as u64, "row"));
            }
        }
        for row in &fault.found {
            let _ = writeln!(text, "      {row}");
        }
        if rows > fault.found.len() {
            let _ = writeln!(text, "      and {} more", rows - fault.found.len());
        }
    }
    text
}

/// The last line.
pub fn closing_text(cases: &[CaseResult]) -> String {
    let failed = cases.iter().filter(|case| !case.passed).count();
    format!("{} passed, {failed} failed\n", cases.len() - failed)
}

/// All of it, for programs.
pub fn json(file: &Path, cases: &[CaseResult]) -> serde_json::Value {
    let failed = cases.iter().filter(|case| !case.passed).count();
    serde_json::json!({
        "file": file.display().to_string(),
        "tests": cases,
        "passed": cases.len() - failed,
        "failed": failed,
    })
}
