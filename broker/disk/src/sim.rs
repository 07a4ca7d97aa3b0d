//! A disk in memory that forgets like a real one. It keeps what was synced apart from what was not: bytes in blocks of
//! 512, lengths, and directory entries. [`SimDisk::crash`] yields the states that a power failure may leave: any subset
//! of the unsynced blocks (each at any version it had since the last sync), any length between the old and the new, any
//! subset of each directory's unsynced entries in which operations on one name keep their order.
//! [`SimDisk::stop_after`] ends the world at a chosen operation, so that a test can crash at every one.
//!
//! Harsher than Linux: a synced file whose directory entry was not synced is lost, and a rename may be lost though the
//! file's bytes are there. Not modelled: bits that rot, blocks that land elsewhere (tests flip bits themselves).

mod crash;
mod state;

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use crash::CrashStates;

use crate::disk::sync_dir_of_group;
use crate::{DirLock, Disk, DiskError, DiskFile, Entry, Op, Open, SyncGroup};
use state::{Change, InodeId, World};

/// The unit in which unsynced bytes are lost or kept, in bytes.
pub const BLOCK: usize = 512;

/// A disk in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk, on which only the directory `/` exists.
    pub fn new() -> SimDisk {
        SimDisk::with(World::new())
    }

    fn with(world: World) -> SimDisk {
        SimDisk { world: Arc::new(Mutex::new(world)) }
    }

    /// Operations so far that changed something or made something durable.
    pub fn changes(&self) -> u64 {
        self.world.lock().changes
    }

    /// Lets `changes` more changing operations happen and fails all after them, as if power had gone.
    pub fn stop_after(&self, changes: u64) {
        let mut world = self.world.lock();
        world.stop_at = Some(world.changes + changes);
    }

    /// The bytes that the disk holds at most; writes beyond fail with ENOSPC.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.lock().capacity = bytes;
    }

    /// The states that a crash now may leave. They are independent of this disk.
    pub fn crash(&self) -> CrashStates {
        CrashStates::of(&self.world.lock())
    }

    /// A disk with the same contents as this one has now, all of it durable: what a clean stop of the machine leaves.
    pub fn copy_synced(&self) -> SimDisk {
        SimDisk::with(self.world.lock().settled())
    }

    /// Flips one bit of a file, as a bad disk would.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let id = world.find_file(Op::Write, path)?;
        world.flip_bit(id, bit);
        Ok(())
    }
}

fn no_entry(op: Op, path: &Path) -> DiskError {
    DiskError::io(op, path, io::ErrorKind::NotFound.into())
}

/// Splits into the directory and the name in it.
fn split(op: Op, path: &Path) -> Result<(PathBuf, String), DiskError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(DiskError::io(op, path, io::ErrorKind::InvalidInput.into()));
    };
    Ok((parent.to_owned(), name.to_owned()))
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut world = self.world.lock();
        let (dir, name) = split(Op::Open, path)?;
        let id = match (world.find_file(Op::Open, path), how) {
            (Ok(id), Open::Truncate) => {
                world.begin(Op::Open, path)?;
                world.set_len(id, 0);
                id
            }
            (Ok(id), _) => id,
            (Err(e), Open::Create | Open::Truncate) if e.is_not_found() => {
                world.begin(Op::Open, path)?;
                let dir = world.find_dir(Op::Open, &dir)?;
                let id = world.new_file();
                world.change_dir(dir, Change::Link { name, inode: id });
                id
            }
            (Err(e), _) => return Err(e),
        };
        Ok(Arc::new(SimFile {
            world: self.world.clone(),
            id,
            path: path.to_owned(),
            writable: how != Open::Read,
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let (dir, name) = split(Op::CreateDir, path)?;
        let dir = world.find_dir(Op::CreateDir, &dir)?;
        if world.find_dir(Op::CreateDir, path).is_ok() {
            return Ok(());
        }
        world.begin(Op::CreateDir, path)?;
        let inode = world.new_dir();
        world.change_dir(dir, Change::Link { name, inode });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let (from_dir, from_name) = split(Op::Rename, from)?;
        let (to_dir, to_name) = split(Op::Rename, to)?;
        if from_dir != to_dir {
            return Err(DiskError::io(Op::Rename, from, io::ErrorKind::CrossesDevices.into()));
        }
        let dir = world.find_dir(Op::Rename, &from_dir)?;
        let inode = world.find(Op::Rename, from)?;
        world.begin(Op::Rename, from)?;
        world.change_dir(dir, Change::Rename { from: from_name, to: to_name, inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let (dir, name) = split(Op::Remove, path)?;
        match world.find_file(Op::Remove, path) {
            Ok(_) => {
                world.begin(Op::Remove, path)?;
                let dir = world.find_dir(Op::Remove, &dir)?;
                world.change_dir(dir, Change::Unlink { name });
                Ok(())
            }
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let (parent, name) = split(Op::RemoveDir, path)?;
        let id = match world.find_dir(Op::RemoveDir, path) {
            Ok(id) => id,
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(e),
        };
        for child in world.names(id) {
            world.begin(Op::RemoveDir, path)?;
            world.change_dir(id, Change::Unlink { name: child });
        }
        world.begin(Op::RemoveDir, path)?;
        let parent = world.find_dir(Op::RemoveDir, &parent)?;
        world.change_dir(parent, Change::Unlink { name });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let id = world.find_dir(Op::SyncDir, path)?;
        world.begin(Op::SyncDir, path)?;
        world.sync_dir(id);
        Ok(())
    }

    fn sync_group(&self, group: &SyncGroup) -> Result<(), DiskError> {
        // One by one: a crash in the middle of a flush may have kept any part of it.
        group.files.iter().try_for_each(|f| f.sync_data())?;
        group.dirs.iter().try_for_each(|d| sync_dir_of_group(self, d))
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        let world = self.world.lock();
        let id = world.find_dir(Op::List, path)?;
        Ok(world.names(id).into_iter().filter_map(|name| world.entry(id, &name)).collect())
    }

    fn lookup(&self, path: &Path) -> Result<Option<Entry>, DiskError> {
        let world = self.world.lock();
        let (dir, name) = split(Op::List, path)?;
        Ok(world.find_dir(Op::List, &dir).ok().and_then(|id| world.entry(id, &name)))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DirLock>, DiskError> {
        self.open(path, Open::Create)?;
        if !self.world.lock().locks.insert(path.to_owned()) {
            return Err(DiskError::io(Op::Lock, path, io::ErrorKind::WouldBlock.into()));
        }
        Ok(Box::new(SimLock { world: self.world.clone(), path: path.to_owned() }))
    }

    fn free_bytes(&self, _: &Path) -> Result<u64, DiskError> {
        let world = self.world.lock();
        Ok(world.capacity.saturating_sub(world.used()))
    }
}

#[derive(Debug)]
struct SimLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    id: InodeId,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self, op: Op) -> Result<(), DiskError> {
        match self.writable {
            true => Ok(()),
            false => Err(DiskError::io(op, &self.path, io::ErrorKind::PermissionDenied.into())),
        }
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let world = self.world.lock();
        let data = &world.file(self.id).data;
        let from = (offset.min(data.len() as u64)) as usize;
        let n = buf.len().min(data.len() - from);
        buf[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<(), DiskError> {
        self.check_writable(Op::Write)?;
        let mut world = self.world.lock();
        world.begin(Op::Write, &self.path)?;
        let bytes: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
        let end = offset + bytes.len() as u64;
        let room = world.capacity.saturating_sub(world.used());
        let len = world.file(self.id).data.len() as u64;
        let grows = end.saturating_sub(len);
        if grows > room {
            let fits = bytes.len() - ((grows - room) as usize).min(bytes.len());
            world.write(self.id, &bytes[..fits], offset);
            return Err(DiskError::io(Op::Write, &self.path, io::ErrorKind::StorageFull.into()));
        }
        world.write(self.id, &bytes, offset);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.check_writable(Op::SetLen)?;
        let mut world = self.world.lock();
        world.begin(Op::SetLen, &self.path)?;
        world.set_len(self.id, len as usize);
        Ok(())
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(self.world.lock().file(self.id).data.len() as u64)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        world.begin(Op::Sync, &self.path)?;
        world.sync_file(self.id);
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests;
