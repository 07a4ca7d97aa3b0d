//! A log directory's health. After a flush that failed, the kernel may have thrown the written pages away and say
//! "all is well" the next time; so the first failed flush takes the directory offline, every later write and flush is
//! refused, and nothing is tried again. A failed read or write takes it offline too, except where the disk is merely
//! full: then the caller refuses its request and may go on when there is space. Never enters: which partitions lie in
//! the directory.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;

use crate::{DirLock, Disk, DiskError, DiskFile, Entry, Op, Open, SyncGroup};

/// Whether a directory may be used. Shared by everything that uses it; goes from online to offline once and stays.
#[derive(Debug, Default)]
pub struct Health {
    cause: OnceLock<String>,
}

impl Health {
    /// A directory that is online.
    pub fn new() -> Arc<Health> {
        Arc::default()
    }

    /// Why the directory is offline, if it is.
    pub fn offline_cause(&self) -> Option<&str> {
        self.cause.get().map(String::as_str)
    }

    /// Whether the directory may be used.
    pub fn is_online(&self) -> bool {
        self.cause.get().is_none()
    }

    /// Takes the directory offline. The first cause stays.
    pub fn take_offline(&self, cause: impl Into<String>) {
        let _ = self.cause.set(cause.into());
    }

    fn check(&self, op: Op, path: &Path) -> Result<(), DiskError> {
        match self.cause.get() {
            None => Ok(()),
            Some(cause) => Err(DiskError::Offline { op, path: path.to_owned(), cause: cause.clone() }),
        }
    }

    /// Judges an error that the disk gave.
    fn observe<T>(&self, result: Result<T, DiskError>) -> Result<T, DiskError> {
        if let Err(error @ DiskError::Io { op, .. }) = &result {
            let fatal = match op {
                Op::Sync | Op::SyncDir | Op::SyncGroup => true,
                Op::Write
                | Op::SetLen
                | Op::Open
                | Op::CreateDir
                | Op::Rename
                | Op::Remove
                | Op::RemoveDir => !error.is_no_space() && !error.is_not_found() && !is_out_of_files(error),
                Op::Read => is_device_error(error),
                Op::List | Op::Lock => false,
            };
            if fatal {
                self.take_offline(error.to_string());
            }
        }
        result
    }
}

/// Too many open files says nothing about the disk.
fn is_out_of_files(error: &DiskError) -> bool {
    let DiskError::Io { source, .. } = error else { return false };
    let code = source.raw_os_error();
    code == Some(rustix::io::Errno::MFILE.raw_os_error())
        || code == Some(rustix::io::Errno::NFILE.raw_os_error())
}

fn is_device_error(error: &DiskError) -> bool {
    let DiskError::Io { source, .. } = error else { return false };
    source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// A disk behind a [`Health`]: what every log gets.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn Disk>,
    health: Arc<Health>,
}

impl Guarded {
    /// `inner`, for as long as `health` is online.
    pub fn new(inner: Arc<dyn Disk>, health: Arc<Health>) -> Guarded {
        Guarded { inner, health }
    }

    /// The health that this disk keeps.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

macro_rules! guarded {
    ($self:ident, $op:expr, $path:expr, $call:expr) => {{
        $self.health.check($op, $path)?;
        $self.health.observe($call)
    }};
}

impl Disk for Guarded {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn DiskFile>, DiskError> {
        let inner = guarded!(self, Op::Open, path, self.inner.open(path, how))?;
        Ok(Arc::new(GuardedFile { inner, health: self.health.clone() }))
    }
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        guarded!(self, Op::CreateDir, path, self.inner.create_dir(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        guarded!(self, Op::Rename, from, self.inner.rename(from, to))
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        guarded!(self, Op::Remove, path, self.inner.remove(path))
    }
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        guarded!(self, Op::RemoveDir, path, self.inner.remove_dir(path))
    }
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        guarded!(self, Op::SyncDir, path, self.inner.sync_dir(path))
    }
    fn sync_group(&self, group: &SyncGroup) -> Result<(), DiskError> {
        guarded!(self, Op::SyncGroup, Path::new(""), self.inner.sync_group(group))?;
        // Another thread's flush may have met the error that the kernel reports only once.
        self.health.check(Op::SyncGroup, Path::new(""))
    }
    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        guarded!(self, Op::List, path, self.inner.list(path))
    }
    fn lookup(&self, path: &Path) -> Result<Option<Entry>, DiskError> {
        guarded!(self, Op::List, path, self.inner.lookup(path))
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DirLock>, DiskError> {
        guarded!(self, Op::Lock, path, self.inner.lock(path))
    }
    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        guarded!(self, Op::List, path, self.inner.free_bytes(path))
    }
}

#[derive(Debug)]
struct GuardedFile {
    inner: Arc<dyn DiskFile>,
    health: Arc<Health>,
}

impl DiskFile for GuardedFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        guarded!(self, Op::Read, self.path(), self.inner.read_at(buf, offset))
    }
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<(), DiskError> {
        guarded!(self, Op::Write, self.path(), self.inner.write_at(bufs, offset))
    }
    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        guarded!(self, Op::SetLen, self.path(), self.inner.set_len(len))
    }
    fn len(&self) -> Result<u64, DiskError> {
        guarded!(self, Op::Read, self.path(), self.inner.len())
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        guarded!(self, Op::Sync, self.path(), self.inner.sync_data())?;
        self.health.check(Op::Sync, self.path())
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.fd()
    }
}
