//! The machine's own file systems. One value serves one log directory and what lies under it, since one flush of many
//! files is a `syncfs` of that directory's file system (docs/adr/0001-flush.md). Never enters: health, faults.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use millstream_types::Millis;

use crate::disk::sync_dir_of_group;
use crate::{DirLock, Disk, DiskError, DiskFile, Entry, Op, Open, SyncGroup};

/// Up to this many files and directories are synced one by one; more are synced by one `syncfs`. Where the two cross
/// was measured (docs/adr/0001-flush.md).
pub const SYNC_EACH_MAX: usize = 3;
/// Threads for syncing one by one where `syncfs` cannot be used.
const SYNC_THREADS_MAX: usize = 16;
/// Buffers handed to the kernel in one call (IOV_MAX of Linux).
const IOV_MAX: usize = 1024;

/// A directory of the machine and everything under it.
#[derive(Debug)]
pub struct RealDisk {
    root: File,
    device: u64,
    syncfs_reports_errors: bool,
}

impl RealDisk {
    /// A disk for everything under `root`, which is made if it is not there. `root` stays open from before the first
    /// write, because `syncfs` reports the write-back errors that came after its descriptor was opened.
    pub fn open(root: &Path) -> Result<RealDisk, DiskError> {
        fs::create_dir_all(root).map_err(|e| DiskError::io(Op::CreateDir, root, e))?;
        let file = File::open(root).map_err(|e| DiskError::io(Op::Open, root, e))?;
        let device = file.metadata().map_err(|e| DiskError::io(Op::Open, root, e))?.dev();
        Ok(RealDisk { root: file, device, syncfs_reports_errors: kernel_reports_syncfs_errors() })
    }

    fn sync_each(&self, group: &SyncGroup) -> Result<(), DiskError> {
        group.files.iter().try_for_each(|file| file.sync_data())?;
        group.dirs.iter().try_for_each(|dir| sync_dir_of_group(self, dir))
    }

    fn sync_each_in_parallel(&self, group: &SyncGroup) -> Result<(), DiskError> {
        let next = AtomicUsize::new(0);
        let all = group.files.len() + group.dirs.len();
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if let Some(file) = group.files.get(at) {
                    file.sync_data()?;
                } else if let Some(dir) = group.dirs.get(at - group.files.len()) {
                    sync_dir_of_group(self, dir)?;
                } else {
                    return Ok(());
                }
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..SYNC_THREADS_MAX.min(all)).map(|_| scope.spawn(work)).collect();
            let mut result = Ok(());
            for worker in workers {
                let one = worker.join().unwrap_or_else(|_| {
                    Err(DiskError::io(Op::SyncGroup, Path::new(""), io::Error::other("a sync thread died")))
                });
                result = result.and(one);
            }
            result
        })
    }

    /// Whether everything in `group` lies on the root's file system: a directory may be a link to another disk.
    fn is_all_on_root(&self, group: &SyncGroup) -> Result<bool, DiskError> {
        for file in &group.files {
            let Some(fd) = file.fd() else { return Ok(false) };
            let stat =
                rustix::fs::fstat(fd).map_err(|e| DiskError::io(Op::SyncGroup, file.path(), e.into()))?;
            if stat.st_dev != self.device {
                return Ok(false);
            }
        }
        for dir in &group.dirs {
            match fs::metadata(dir) {
                Ok(found) if found.dev() == self.device => {}
                Ok(_) => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(DiskError::io(Op::SyncGroup, dir, e)),
            }
        }
        Ok(true)
    }
}

/// Linux reports write-back errors from `syncfs` since 5.8; before that it always said that all was well.
fn kernel_reports_syncfs_errors() -> bool {
    let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") else { return false };
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= (5, 8)
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Read);
        options.create(matches!(how, Open::Create | Open::Truncate)).truncate(how == Open::Truncate);
        let file = options.open(path).map_err(|e| DiskError::io(Op::Open, path, e))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            done => done.map_err(|e| DiskError::io(Op::CreateDir, path, e)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|e| DiskError::io(Op::Rename, from, e))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|e| DiskError::io(Op::Remove, path, e)),
        }
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|e| DiskError::io(Op::RemoveDir, path, e)),
        }
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| DiskError::io(Op::SyncDir, path, e))
    }

    fn sync_group(&self, group: &SyncGroup) -> Result<(), DiskError> {
        if group.files.len() + group.dirs.len() <= SYNC_EACH_MAX {
            return self.sync_each(group);
        }
        if !self.syncfs_reports_errors || !self.is_all_on_root(group)? {
            return self.sync_each_in_parallel(group);
        }
        rustix::fs::syncfs(&self.root).map_err(|e| {
            let at = group.files.first().map_or(Path::new(""), |f| f.path());
            DiskError::io(Op::SyncGroup, at, e.into())
        })
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        let failed = |e| DiskError::io(Op::List, path, e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match fs::metadata(entry.path()) {
                Ok(metadata) => entries.push(entry_of(name, &metadata)),
                // Removed since it was listed.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn lookup(&self, path: &Path) -> Result<Option<Entry>, DiskError> {
        match fs::metadata(path) {
            Ok(metadata) => {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                Ok(Some(entry_of(name, &metadata)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DiskError::io(Op::List, path, e)),
        }
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DirLock>, DiskError> {
        let failed = |e| DiskError::io(Op::Lock, path, e);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        file.try_lock().map_err(|e| failed(e.into()))?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(path).map_err(|e| DiskError::io(Op::List, path, e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn entry_of(name: String, metadata: &fs::Metadata) -> Entry {
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    Entry {
        name,
        is_dir: metadata.is_dir(),
        len: if metadata.is_dir() { 0 } else { metadata.len() },
        modified_ms: modified.map_or(0, |t| t.as_millis() as Millis),
    }
}

#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DirLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(DiskError::io(Op::Read, &self.path, e)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], mut offset: u64) -> Result<(), DiskError> {
        let failed = |e| DiskError::io(Op::Write, &self.path, e);
        for some in bufs.chunks(IOV_MAX) {
            let want: usize = some.iter().map(|b| b.len()).sum();
            let written = match rustix::io::pwritev(&self.file, some, offset) {
                Ok(n) => n,
                Err(rustix::io::Errno::INTR) => 0,
                Err(e) => return Err(failed(e.into())),
            };
            // A short write is finished piece by piece: the rest either fits or says why it does not.
            let mut skip = written;
            let mut at = offset;
            if written < want {
                for buf in some {
                    let begin = skip.min(buf.len());
                    skip -= begin;
                    self.file.write_all_at(&buf[begin..], at + begin as u64).map_err(failed)?;
                    at += buf.len() as u64;
                }
            }
            offset += want as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(|e| DiskError::io(Op::SetLen, &self.path, e))
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.file.metadata().map(|m| m.len()).map_err(|e| DiskError::io(Op::Read, &self.path, e))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|e| DiskError::io(Op::Sync, &self.path, e))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
