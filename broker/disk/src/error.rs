//! What can go wrong at a disk, with the operation and the path. Never enters: what to do about it, except the two
//! questions that every caller asks (is there no space, is it not there).

use std::io;
use std::path::{Path, PathBuf};

/// The operations of a disk; what [`crate::faulty`] plans faults for, and what an error names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A file is opened or created.
    Open,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// A file's length is set.
    SetLen,
    /// A file's bytes and length are made durable.
    Sync,
    /// A directory's entries are made durable.
    SyncDir,
    /// Many files and directories are made durable at once.
    SyncGroup,
    /// A directory is made.
    CreateDir,
    /// A file or directory is renamed.
    Rename,
    /// A file is removed.
    Remove,
    /// A directory that holds no directories is removed with its files.
    RemoveDir,
    /// A directory is listed, or a path looked up.
    List,
    /// A lock file is taken.
    Lock,
}

impl Op {
    /// Whether this changes what the disk holds or makes it durable.
    pub fn is_write(self) -> bool {
        !matches!(self, Op::Read | Op::List)
    }

    fn what(self) -> &'static str {
        match self {
            Op::Open => "opening",
            Op::Read => "reading",
            Op::Write => "writing to",
            Op::SetLen => "setting the length of",
            Op::Sync => "syncing",
            Op::SyncDir => "syncing the directory",
            Op::SyncGroup => "syncing many files under",
            Op::CreateDir => "making the directory",
            Op::Rename => "renaming",
            Op::Remove => "removing",
            Op::RemoveDir => "removing the directory",
            Op::List => "listing",
            Op::Lock => "locking",
        }
    }
}

/// A disk operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refused.
    #[error("{} {}: {source}", op.what(), path.display())]
    Io {
        /// What was being done.
        op: Op,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The directory failed before (see [`crate::health`]); nothing is tried again until the process is restarted.
    #[error("{} {}: the directory is offline since an earlier failure ({cause}); check the disk and restart", op.what(), path.display())]
    Offline {
        /// What was asked for.
        op: Op,
        /// Of what.
        path: PathBuf,
        /// The failure that took the directory offline.
        cause: String,
    },
    /// A file does not hold what it should.
    #[error("reading {}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl DiskError {
    /// An error of the system at `op` on `path`.
    pub fn io(op: Op, path: &Path, source: io::Error) -> DiskError {
        DiskError::Io { op, path: path.to_owned(), source }
    }

    /// A file that does not hold what it should.
    pub fn malformed(path: &Path, what: impl Into<String>) -> DiskError {
        DiskError::Malformed { path: path.to_owned(), what: what.into() }
    }

    /// Whether the disk, or its user's share of it, is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, DiskError::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether the file or directory is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, DiskError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the directory is offline.
    pub fn is_offline(&self) -> bool {
        matches!(self, DiskError::Offline { .. })
    }
}
