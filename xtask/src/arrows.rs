//! The arrow test: which crate of ours may depend on which, and which external crates only one room may link.
//! `docs/internals/arrows.tsv` is the law; this reads it and every manifest of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// One crate's row of the table.
struct Row {
    uses: BTreeSet<String>,
    uses_in_tests: BTreeSet<String>,
    owns: BTreeSet<String>,
}

/// The room of a package: `millstream-wire` is `wire`, the binary's package `millstream` is `cli`.
fn room(package: &str) -> Option<&str> {
    match package {
        "millstream" => Some("cli"),
        "xtask" => Some("xtask"),
        _ => package.strip_prefix("millstream-"),
    }
}

fn words(cell: Option<&&str>) -> BTreeSet<String> {
    cell.map(|cell| cell.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

fn table(text: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let row =
            Row { uses: words(cells.get(1)), uses_in_tests: words(cells.get(2)), owns: words(cells.get(3)) };
        rows.insert(cells[0].trim().to_owned(), row);
    }
    rows
}

/// Every fault at once, one a line, or nothing.
pub fn check(root: &Path) -> Result<(), String> {
    let path = root.join("docs/internals/arrows.tsv");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
    let rows = table(&text);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("running cargo metadata: {e}"))?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|e| {
        format!("reading cargo metadata: {e}: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(from) = room(name) else {
            faults.push(format!("{name}: a crate of ours is called millstream-<room>"));
            continue;
        };
        let Some(row) = rows.get(from) else {
            faults.push(format!("{name}: no row for `{from}` in docs/internals/arrows.tsv"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let only_tests = dependency["kind"].as_str() == Some("dev");
            match room(to) {
                Some(to) if to != from => {
                    let allowed = row.uses.contains(to) || (only_tests && row.uses_in_tests.contains(to));
                    if !allowed {
                        faults.push(format!("{from} -> {to}: not an arrow of docs/internals/arrows.tsv"));
                    }
                }
                Some(_) => {}
                None => {
                    for (owner, other) in &rows {
                        let owned = other.owns.iter().any(|o| to == o || to.starts_with(&format!("{o}-")));
                        if owned && owner != from && !only_tests {
                            faults.push(format!("{from} -> {to}: only {owner} may link it"));
                        }
                    }
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}
