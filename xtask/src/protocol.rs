//! `cargo xtask protocol`: makes the Rust of `broker/wire` from its fact tables. Owns the way from the tables to
//! the files; with `--check` it compares and writes nothing, and a test does the same. Never enters: hand-written
//! files of that crate, which stay as they are.

mod files;
mod names;
mod rust;
mod table;

use files::{Files, Tables};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The tables that there are.
const TABLES: [&str; 9] =
    ["request", "response", "header", "metadata", "remote_log", "group", "share", "txn", "data"];

/// The directories that hold generated files and nothing else.
const OWN: [&str; 8] = [
    "message",
    "record/metadata",
    "record/remote_log",
    "record/group",
    "record/share",
    "record/txn",
    "record/data",
    "",
];

/// Runs the command: writes the files, or with `--check` says which differ.
pub fn run(args: &[String]) -> Result<(), String> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask protocol [--check]".to_owned()),
    };
    let source = crate::root().join("broker/wire/src");
    let made = generate()?;
    let mut stale = Vec::new();
    for (path, text) in &made {
        let path = source.join(path);
        if fs::read_to_string(&path).ok().as_ref() == Some(text) {
            continue;
        }
        if !check {
            fs::create_dir_all(path.parent().expect("a file has a directory")).map_err(|e| e.to_string())?;
            fs::write(&path, text).map_err(|e| format!("writing {}: {e}", path.display()))?;
        }
        stale.push(path);
    }
    for directory in OWN.iter().filter(|d| !d.is_empty()) {
        for entry in fs::read_dir(source.join(directory)).into_iter().flatten() {
            let name = entry.map_err(|e| e.to_string())?.file_name().to_string_lossy().into_owned();
            if !made.contains_key(&format!("{directory}/{name}")) {
                let path = source.join(directory).join(name);
                if !check {
                    fs::remove_file(&path).map_err(|e| format!("removing {}: {e}", path.display()))?;
                }
                stale.push(path);
            }
        }
    }
    if check && !stale.is_empty() {
        let names: Vec<String> = stale.iter().map(|p| p.display().to_string()).collect();
        return Err(format!("not what the tables give (run `cargo xtask protocol`): {}", names.join(", ")));
    }
    Ok(())
}

fn generate() -> Result<Files, String> {
    let mut tables = Tables::new();
    for name in TABLES {
        let path = crate::root().join(format!("broker/wire/schema/{name}.txt"));
        let text = fs::read_to_string(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
        tables.insert(name.to_owned(), table::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    format(files::all(&tables))
}

/// Formats every file as `cargo fmt` would: in one run of rustfmt, in a directory of their own.
fn format(files: Files) -> Result<Files, String> {
    let directory = std::env::temp_dir().join(format!("millstream-protocol-{}", std::process::id()));
    let result = format_in(&directory, files);
    let _ = fs::remove_dir_all(&directory);
    result
}

fn format_in(directory: &Path, files: Files) -> Result<Files, String> {
    for (path, text) in &files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).map_err(|e| e.to_string())?;
        fs::write(&path, text).map_err(|e| format!("writing {}: {e}", path.display()))?;
    }
    let output = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(crate::root().join("rustfmt.toml"))
        .args(files.keys().map(|path| directory.join(path)))
        .output()
        .map_err(|e| format!("running rustfmt: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "rustfmt refuses the generated code: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let read = |path: String| {
        let text = fs::read_to_string(directory.join(&path)).map_err(|e| format!("reading {path}: {e}"))?;
        Ok((path, text))
    };
    files.into_keys().map(read).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_code_is_what_the_tables_give() {
        if let Err(error) = super::run(&["--check".to_owned()]) {
            panic!("{error}");
        }
    }
}
