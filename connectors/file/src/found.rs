//! Which files there are, and which of them are which splits. A split's id is `<path when first seen>@<hash of the
//! head>`; a file whose name changed keeps the id under which it was first read, as long as the old name no longer
//! holds it and its bytes before the known position are the same. Splits with one head have one route, hence one owner,
//! who knows all their positions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use glob::{MatchOptions, Pattern};
use millstream_connector::{Position, SourceError, Split, SplitId};
use serde::{Deserialize, Serialize};

use crate::error::source_error;
use crate::fingerprint;

/// Where a file was read to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePosition {
    /// Version of this shape.
    pub v: u8,
    /// The next byte to read.
    pub offset: u64,
    /// Lines before it.
    pub lines: u64,
    /// [`fingerprint::tail`] at `offset`.
    pub tail: String,
}

/// A file that matches and has a settled head.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub label: Arc<str>,
    pub head: String,
    pub size: u64,
}

/// The settled head of the file at a path, with the device, inode and size for which it holds: appending keeps it.
pub type Heads = BTreeMap<PathBuf, (u64, u64, u64, String)>;

/// Every file that matches now, in name order. Files that vanish meanwhile are left out.
pub fn scan(root: &Path, pattern: &str, finite: bool, heads: &mut Heads) -> Result<Vec<Found>, SourceError> {
    let full = full_pattern(root, pattern);
    // As in a shell: `*` stays within one folder and does not match hidden files.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob::glob_with(&full, options)
        .map_err(|error| SourceError::Setup(format!("reading the path {pattern}: {error}")))?;
    let mut found = Vec::new();
    let mut seen_now = Heads::new();
    for path in paths {
        let path = match path {
            Ok(path) => path,
            Err(error) if error.error().kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(source_error("looking into", error.path(), error.error())),
        };
        let doing = |error: &std::io::Error| source_error("reading the beginning of", &path, error);
        let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let meta = match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => continue,
            Err(error) if gone(&error) => continue,
            Err(error) => return Err(doing(&error)),
        };
        let cached = heads
            .get(&path)
            .filter(|seen| (seen.0, seen.1) == (meta.dev(), meta.ino()) && seen.2 <= meta.len());
        let head = match cached {
            Some(seen) => Some(seen.3.clone()),
            None => match File::open(&path).and_then(|file| fingerprint::head(&file, finite)) {
                Ok(head) => head,
                Err(error) if gone(&error) => continue,
                Err(error) => return Err(doing(&error)),
            },
        };
        if let Some(head) = head {
            // In finite input a head may be shorter than it will be: nothing is kept of it.
            if !finite {
                seen_now.insert(path.clone(), (meta.dev(), meta.ino(), meta.len(), head.clone()));
            }
            let label = path.strip_prefix(root).unwrap_or(&path).display().to_string().into();
            found.push(Found { path, label, head, size: meta.len() });
        }
    }
    *heads = seen_now;
    Ok(found)
}

/// The pattern from the root of the file system; the pipeline's own folder is taken literally.
fn full_pattern(root: &Path, pattern: &str) -> String {
    if pattern.starts_with('/') {
        return pattern.to_owned();
    }
    format!("{}/{pattern}", Pattern::escape(&root.display().to_string()))
}

/// The deepest folder that holds everything a pattern can match.
pub fn watched_folder(root: &Path, pattern: &str) -> PathBuf {
    let parts: Vec<&str> = pattern.split('/').collect();
    let folders = &parts[..parts.len() - 1];
    let literal: PathBuf = folders.iter().take_while(|part| !part.contains(['*', '?', '['])).collect();
    // An absolute pattern begins with an empty part.
    if pattern.starts_with('/') { Path::new("/").join(literal) } else { root.join(literal) }
}

/// The head's hash in a split's id.
fn head_of(id: &SplitId) -> Option<&str> {
    id.0.rsplit_once('@').map(|(_, head)| head)
}

/// Names the files: each of `found` with its split. `known` are the positions of splits read before.
pub fn name_splits(found: Vec<Found>, known: &BTreeMap<SplitId, Position>) -> Vec<(Split, Found)> {
    let own = |file: &Found| SplitId::new(format!("{}@{}", file.label, file.head));
    let mut taken: BTreeSet<SplitId> = found.iter().map(own).filter(|id| known.contains_key(id)).collect();
    let mut named = Vec::with_capacity(found.len());
    for file in found {
        let plain = own(&file);
        let id = if known.contains_key(&plain) {
            plain
        } else {
            let renamed = known
                .iter()
                .filter(|(id, _)| head_of(id) == Some(file.head.as_str()) && !taken.contains(*id))
                .find(|(_, position)| reaches(&file.path, position));
            renamed.map_or(plain, |(id, _)| id.clone())
        };
        taken.insert(id.clone());
        let split = Split {
            id,
            route: Bytes::copy_from_slice(file.head.as_bytes()),
            label: Arc::clone(&file.label),
            size_bytes: Some(file.size),
        };
        named.push((split, file));
    }
    named.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    named
}

/// Whether a file has the bytes that a position was read to.
fn reaches(path: &Path, position: &Position) -> bool {
    let Ok(position) = position.read::<FilePosition>() else { return false };
    let Ok(file) = File::open(path) else { return false };
    fingerprint::tail(&file, position.offset).is_ok_and(|tail| tail.as_deref() == Some(&position.tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watched_folder_holds_all_matches() {
        for (root, pattern, folder) in [
            ("/data", "stores/*/inbox/*.jsonl", "/data/stores"),
            ("/data", "a.jsonl", "/data"),
            ("/data", "*.jsonl", "/data"),
            ("/data", "x/[ab]/c/*.jsonl", "/data/x"),
            ("/data", "/var/in/x?.log", "/var/in"),
            ("/da[t]a*", "in/*", "/da[t]a*/in"),
        ] {
            assert_eq!(watched_folder(Path::new(root), pattern), Path::new(folder), "{root} {pattern}");
        }
    }
}
