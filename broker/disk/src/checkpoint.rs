//! Kafka's small text files: a line with the version (0), a line with the count, then one entry a line, its fields
//! apart by a space (`CheckpointFile`). Replaced through [`crate::durable`]. Never enters: what the fields mean.

use std::path::Path;

use crate::disk::read_file;
use crate::{Disk, DiskError, durable};

/// The version that all of Kafka's checkpoint files carry.
pub const VERSION: u32 = 0;
/// The longest such file that is read, in bytes; a million partitions with long names stay below it.
pub const BYTES_MAX: u64 = 256 << 20;

/// The bytes of a checkpoint with these entries.
pub fn format<I>(entries: I) -> Vec<u8>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut count = 0u64;
    let mut body = String::new();
    for entry in entries {
        assert!(!entry.as_ref().contains('\n'), "a checkpoint's entry is one line");
        body.push_str(entry.as_ref());
        body.push('\n');
        count += 1;
    }
    format!("{VERSION}\n{count}\n{body}").into_bytes()
}

/// Replaces the checkpoint at `path`; durable when this returns.
pub fn write<I>(disk: &dyn Disk, path: &Path, entries: I) -> Result<(), DiskError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    durable::replace(disk, path, &format(entries))
}

/// The entries of the checkpoint at `path`, or `None` where there is no such file.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<String>>, DiskError> {
    let bytes = match read_file(disk, path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    parse(&bytes).map(Some).map_err(|what| DiskError::malformed(path, what))
}

/// The entries in a checkpoint's bytes, or what is wrong with them.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
    let mut lines = text.lines();
    let mut number = |what: &str| -> Result<u64, String> {
        let line = lines.next().ok_or_else(|| format!("ends before its {what}"))?;
        line.trim().parse().map_err(|_| format!("its {what} is \"{line}\", not a number"))
    };
    let version = number("version")?;
    if version != u64::from(VERSION) {
        return Err(format!("version {version}, and only {VERSION} is known"));
    }
    let count = number("count")?;
    let entries: Vec<String> = lines.filter(|l| !l.trim().is_empty()).map(str::to_owned).collect();
    if entries.len() as u64 != count {
        return Err(format!("{} entries, where its count says {count}", entries.len()));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let bytes = format(["a 0 17", "b 3 0"]);
        assert_eq!(bytes, b"0\n2\na 0 17\nb 3 0\n");
        assert_eq!(parse(&bytes).unwrap(), ["a 0 17", "b 3 0"]);
    }

    #[test]
    fn damage_is_an_error() {
        for bad in ["", "1\n0\n", "0\n", "0\n2\na 0 1\n", "0\nx\n", "0\n0\nmore\n", "\u{0}\u{0}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(b"0\n1\n\xff\n").is_err());
    }
}
