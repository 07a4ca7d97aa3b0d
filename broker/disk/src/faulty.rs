//! A disk with planned faults, for tests: any operation can be made to fail with EIO or ENOSPC, and a write to be cut
//! short, at a chosen place or for as long as the plan stands. Every operation that changes the disk is a *site*, named
//! by the operation and the kind of file, and counted, so that a test can show that each site was made to fail once.
//! Never enters: crashes ([`crate::sim`]).

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{DirLock, Disk, DiskError, DiskFile, Entry, Op, Open, SyncGroup};

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device failed.
    Eio,
    /// The disk is full. Planned by number, it passes operations that need no space by.
    NoSpace,
    /// Of a write, this many bytes arrive, then the disk is full. Other operations fail as if it were full.
    ShortWrite(usize),
}

/// An operation on a kind of file: the extension, or the whole name where there is none; `dir` for directories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// What is done.
    pub op: Op,
    /// To what kind of file.
    pub kind: String,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    fault: Fault,
    lasting: bool,
}

#[derive(Debug, Default)]
struct Plan {
    /// Changing operations seen so far.
    seen: u64,
    at: Option<(u64, Planned)>,
    by_op: BTreeMap<Op, Planned>,
    sites: BTreeMap<Site, u64>,
    fired: Vec<Site>,
}

/// The plan and the counters of a [`Faulty`] disk; shared with the test.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

impl Faults {
    /// Makes the changing operation number `at` (from 0, counted since the disk was made) fail once.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        self.plan.lock().at = Some((at, Planned { fault, lasting: false }));
    }

    /// Makes every changing operation from number `at` on fail, until [`Faults::clear`].
    pub fn fail_from(&self, at: u64, fault: Fault) {
        self.plan.lock().at = Some((at, Planned { fault, lasting: true }));
    }

    /// Makes the next operation of this kind fail, once.
    pub fn fail_next(&self, op: Op, fault: Fault) {
        self.plan.lock().by_op.insert(op, Planned { fault, lasting: false });
    }

    /// Makes all operations of this kind fail, until [`Faults::clear`].
    pub fn fail_all(&self, op: Op, fault: Fault) {
        self.plan.lock().by_op.insert(op, Planned { fault, lasting: true });
    }

    /// No more faults.
    pub fn clear(&self) {
        let mut plan = self.plan.lock();
        plan.at = None;
        plan.by_op.clear();
    }

    /// Changing operations so far.
    pub fn seen(&self) -> u64 {
        self.plan.lock().seen
    }

    /// How often each site was passed.
    pub fn sites(&self) -> BTreeMap<Site, u64> {
        self.plan.lock().sites.clone()
    }

    /// The sites at which a fault was given, in order.
    pub fn fired(&self) -> Vec<Site> {
        self.plan.lock().fired.clone()
    }

    fn visit(&self, op: Op, path: &Path, is_dir: bool) -> Option<Fault> {
        let mut plan = self.plan.lock();
        let kind = if is_dir {
            "dir".to_owned()
        } else {
            let part = path.extension().or(path.file_name());
            part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let site = Site { op, kind };
        *plan.sites.entry(site.clone()).or_default() += 1;
        let number = plan.seen;
        plan.seen += 1;
        let by_place = match plan.at {
            Some((at, planned)) if number == at || (planned.lasting && number > at) => Some(planned.fault),
            _ => None,
        };
        // Removing and cutting need no space.
        let needs_space = !matches!(op, Op::Remove | Op::RemoveDir | Op::SetLen);
        let by_place = by_place.filter(|fault| *fault == Fault::Eio || needs_space);
        let fault = by_place.or_else(|| {
            let planned = plan.by_op.get(&op).copied()?;
            if !planned.lasting {
                plan.by_op.remove(&op);
            }
            Some(planned.fault)
        });
        if fault.is_some() {
            plan.fired.push(site);
        }
        fault
    }

    fn check(&self, op: Op, path: &Path, is_dir: bool) -> Result<(), DiskError> {
        match self.visit(op, path, is_dir) {
            None => Ok(()),
            Some(fault) => Err(error_of(fault, op, path)),
        }
    }
}

fn error_of(fault: Fault, op: Op, path: &Path) -> DiskError {
    let source = match fault {
        Fault::Eio => io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()),
        Fault::NoSpace | Fault::ShortWrite(_) => {
            io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
        }
    };
    DiskError::io(op, path, source)
}

/// A disk whose faults are planned by [`Faults`].
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Disk>,
    faults: Faults,
}

impl Faulty {
    /// `inner` with the faults of `faults`.
    pub fn new(inner: Arc<dyn Disk>, faults: Faults) -> Faulty {
        Faulty { inner, faults }
    }
}

impl Disk for Faulty {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn DiskFile>, DiskError> {
        if matches!(how, Open::Create | Open::Truncate) {
            self.faults.check(Op::Open, path, false)?;
        }
        let inner = self.inner.open(path, how)?;
        Ok(Arc::new(FaultyFile { inner, faults: self.faults.clone() }))
    }
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.faults.check(Op::CreateDir, path, true)?;
        self.inner.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.faults.check(Op::Rename, to, false)?;
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.faults.check(Op::Remove, path, false)?;
        self.inner.remove(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.faults.check(Op::RemoveDir, path, true)?;
        self.inner.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.faults.check(Op::SyncDir, path, true)?;
        self.inner.sync_dir(path)
    }
    fn sync_group(&self, group: &SyncGroup) -> Result<(), DiskError> {
        self.faults.check(Op::SyncGroup, Path::new("group"), false)?;
        self.inner.sync_group(group)
    }
    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        self.inner.list(path)
    }
    fn lookup(&self, path: &Path) -> Result<Option<Entry>, DiskError> {
        self.inner.lookup(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DirLock>, DiskError> {
        self.inner.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        self.inner.free_bytes(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    faults: Faults,
}

impl DiskFile for FaultyFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<(), DiskError> {
        let Some(fault) = self.faults.visit(Op::Write, self.path(), false) else {
            return self.inner.write_at(bufs, offset);
        };
        if let Fault::ShortWrite(keep) = fault {
            let all: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).take(keep).collect();
            self.inner.write_all_at(&all, offset)?;
        }
        Err(error_of(fault, Op::Write, self.path()))
    }
    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.faults.check(Op::SetLen, self.path(), false)?;
        self.inner.set_len(len)
    }
    fn len(&self) -> Result<u64, DiskError> {
        self.inner.len()
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.faults.check(Op::Sync, self.path(), false)?;
        self.inner.sync_data()
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.fd()
    }
}
