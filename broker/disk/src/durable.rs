//! Small files and directories, changed so that a crash leaves the old or the new state and nothing between: write
//! aside, sync, rename, sync the directory. Never enters: what the files hold.

use std::path::{Path, PathBuf};

use crate::{Disk, DiskError, Open};

/// The suffix of a file that is being written aside. Whoever lists a directory at start may remove such files.
pub const ASIDE_SUFFIX: &str = ".tmp";

/// The directory that holds `path`.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where [`replace`] writes before it renames.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE_SUFFIX);
    name.into()
}

/// Makes `path` hold `bytes`, durable when this returns. After a crash or an error it holds all of the old or all of
/// the new.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    write_aside(disk, path, bytes)?;
    disk.sync_dir(parent(path))
}

/// As [`replace`], with the directory's entry left for a flush that comes later: until then a crash may bring back the
/// old file, whole.
pub fn write_aside(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let aside = aside(path);
    let file = disk.open(&aside, Open::Truncate)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&aside, path)
}

/// Makes a directory whose parent is there; durable when this returns.
pub fn create_dir(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    disk.create_dir(path)?;
    disk.sync_dir(parent(path))
}

/// Renames within one directory; durable when this returns.
pub fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), DiskError> {
    assert_eq!(parent(from), parent(to), "a durable rename stays in its directory");
    disk.rename(from, to)?;
    disk.sync_dir(parent(to))
}
