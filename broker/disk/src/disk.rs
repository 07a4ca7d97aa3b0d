//! The [`Disk`] and [`DiskFile`] traits: every operation that the rooms above may do to a disk. Bytes that were
//! written and not synced may be lost, in 512-byte blocks and in any order, and so may directory entries; that is the
//! whole contract, and [`crate::sim`] holds callers to it. Never enters: retries, buffering, formats.

use std::fmt::Debug;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_types::Millis;

use crate::DiskError;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must be there; writes are refused.
    Read,
    /// It must be there.
    Write,
    /// It is made if it is not there. The new entry is durable only after its directory is synced.
    Create,
    /// It is made, or emptied if it is there.
    Truncate,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name in the directory. Names that are not UTF-8 are left out of listings: none of ours is.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// A file's length in bytes.
    pub len: u64,
    /// When it was last written, wall time; a hint.
    pub modified_ms: Millis,
}

/// What one flush is to make durable: the bytes and lengths of files, and the entries of directories.
#[derive(Clone, Debug, Default)]
pub struct SyncGroup {
    /// Files whose written bytes and lengths are to be durable.
    pub files: Vec<Arc<dyn DiskFile>>,
    /// Directories whose entries are to be durable.
    pub dirs: Vec<PathBuf>,
}

impl SyncGroup {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.dirs.is_empty()
    }

    /// Adds what another group holds.
    pub fn merge(&mut self, other: SyncGroup) {
        self.files.extend(other.files);
        self.dirs.extend(other.dirs);
    }
}

/// A file system, or a part of one. Paths are absolute, or relative to the process where the implementation is real.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// Makes one directory, whose parent is there. It is no error if it is there already.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;
    /// Renames a file or directory, replacing a file that is there.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes a file; it is no error if it is not there.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Removes a directory and the files in it (it holds no directories); it is no error if it is not there.
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;
    /// Makes everything in `group` durable by whatever is cheapest (docs/adr/0001-flush.md). On an error nothing may
    /// be taken to be durable, and it must not be tried again (the kernel may have dropped the pages).
    /// A directory that is gone was taken away with its partition: its parent's entries are made durable in its stead.
    fn sync_group(&self, group: &SyncGroup) -> Result<(), DiskError>;
    /// A directory's entries, sorted by name.
    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError>;
    /// The entry at a path, if there is one.
    fn lookup(&self, path: &Path) -> Result<Option<Entry>, DiskError>;
    /// Takes the lock of a lock file, made if it is not there, until the value is dropped. An error of kind
    /// `WouldBlock` means that another process holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn DirLock>, DiskError>;
    /// Bytes that may still be written, or `u64::MAX` where that is not known.
    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError>;
}

/// A lock that is held until it is dropped.
pub trait DirLock: Send + Sync + Debug {}

/// An open file. Reads and writes name their position, so that one file serves many threads.
pub trait DiskFile: Send + Sync + Debug {
    /// Where it was opened. A rename of its directory does not change this.
    fn path(&self) -> &Path;
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError>;
    /// Writes all of `bufs` at `offset`, one after another. After an error any part of it may be there.
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<(), DiskError>;
    /// Cuts the file, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> Result<(), DiskError>;
    /// The length in bytes.
    fn len(&self) -> Result<u64, DiskError>;
    /// Whether the file holds no bytes.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }
    /// Makes bytes and length durable (fdatasync). The directory entry is not part of it.
    fn sync_data(&self) -> Result<(), DiskError>;
    /// The descriptor, for sendfile, where the file is the machine's.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Reads exactly `buf.len()` bytes; whether they were there.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<bool, DiskError> {
        Ok(self.read_at(buf, offset)? == buf.len())
    }
    /// Writes one buffer.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.write_at(&[IoSlice::new(bytes)], offset)
    }
}

/// Syncs a directory of a [`SyncGroup`], or its parent where it was renamed or removed since the group was made (its
/// partition was deleted): it is no failure of the disk.
pub(crate) fn sync_dir_of_group(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    match disk.sync_dir(dir) {
        Err(e) if e.is_not_found() => disk.sync_dir(crate::durable::parent(dir)),
        done => done,
    }
}

/// Reads a whole file of at most `max` bytes; a longer one is an error, since nothing read from a disk may make us
/// allocate without a bound.
pub fn read_file(disk: &dyn Disk, path: &Path, max: u64) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path, Open::Read)?;
    let len = file.len()?;
    if len > max {
        return Err(DiskError::malformed(path, format!("{len} bytes, and at most {max} are expected")));
    }
    let mut bytes = vec![0; len as usize];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}
