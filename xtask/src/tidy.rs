//! The header test: every Rust file begins with a `//!` header that says what it owns, and no file has a name that
//! says nothing.

use std::path::{Path, PathBuf};

const NAMES_THAT_SAY_NOTHING: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager"];
const FOLDERS_LEFT_OUT: &[&str] = &["target", ".git", "node_modules", "testdata"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !FOLDERS_LEFT_OUT.contains(&name.as_str()) && !name.starts_with("target-") {
                rust_files(&path, found)?;
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Every fault at once, one a line, or nothing.
pub fn check(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    rust_files(root, &mut files).map_err(|e| format!("listing {}: {e}", root.display()))?;
    files.sort();
    let mut faults = Vec::new();
    for path in files {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|e| format!("reading {shown}: {e}"))?;
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
        if !first.is_some_and(|line| line.starts_with("//!")) {
            faults.push(format!("{shown}: the file does not begin with a //! header"));
        }
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if NAMES_THAT_SAY_NOTHING.contains(&stem.as_str()) {
            faults.push(format!("{shown}: `{stem}` says nothing about what is in it"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}
