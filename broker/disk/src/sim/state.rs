//! What the simulated disk holds: inodes with their current and their durable contents, and the changes between the
//! two. Never enters: which of the changes a crash keeps (`crash.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{BLOCK, no_entry};
use crate::{DiskError, Entry, Op};

pub(super) type InodeId = u64;
pub(super) const ROOT: InodeId = 0;

/// A change of a directory's entries.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Link { name: String, inode: InodeId },
    Unlink { name: String },
    Rename { from: String, to: String, inode: InodeId },
}

impl Change {
    pub(super) fn names(&self) -> [&str; 2] {
        match self {
            Change::Link { name, .. } | Change::Unlink { name } => [name, name],
            Change::Rename { from, to, .. } => [from, to],
        }
    }

    pub(super) fn apply(&self, entries: &mut BTreeMap<String, InodeId>) {
        match self {
            Change::Link { name, inode } => {
                entries.insert(name.clone(), *inode);
            }
            Change::Unlink { name } => {
                entries.remove(name);
            }
            Change::Rename { from, to, inode } => {
                entries.remove(from);
                entries.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Dir {
    pub(super) entries: BTreeMap<String, InodeId>,
    pub(super) synced: BTreeMap<String, InodeId>,
    pub(super) unsynced: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) data: Vec<u8>,
    pub(super) synced: Vec<u8>,
    /// The lengths that the file has had since the last sync, the present one last.
    pub(super) lengths: Vec<usize>,
    /// For each block touched since the last sync, its contents after each touch (512 bytes, zeros past the end).
    pub(super) blocks: BTreeMap<usize, Vec<Vec<u8>>>,
    pub(super) modified: i64,
}

#[derive(Clone, Debug)]
pub(super) enum Inode {
    Dir(Dir),
    File(File),
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) changes: u64,
    pub(super) stop_at: Option<u64>,
    pub(super) capacity: u64,
    next: InodeId,
}

pub(super) fn block_of(data: &[u8], block: usize) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    let from = (block * BLOCK).min(data.len());
    let to = (from + BLOCK).min(data.len());
    bytes[..to - from].copy_from_slice(&data[from..to]);
    bytes
}

impl World {
    pub(super) fn new() -> World {
        let inodes = BTreeMap::from([(ROOT, Inode::Dir(Dir::default()))]);
        World { inodes, locks: BTreeSet::new(), changes: 0, stop_at: None, capacity: u64::MAX, next: 1 }
    }

    /// Counts a changing operation, or refuses it when the world has ended.
    pub(super) fn begin(&mut self, op: Op, path: &Path) -> Result<(), DiskError> {
        if self.stop_at.is_some_and(|at| self.changes >= at) {
            return Err(DiskError::io(op, path, io::Error::other("the simulated machine has lost power")));
        }
        self.changes += 1;
        Ok(())
    }

    pub(super) fn find(&self, op: Op, path: &Path) -> Result<InodeId, DiskError> {
        let mut at = ROOT;
        for part in path.components().skip(1) {
            let name = part.as_os_str().to_str().ok_or_else(|| no_entry(op, path))?;
            let Some(Inode::Dir(dir)) = self.inodes.get(&at) else { return Err(no_entry(op, path)) };
            at = *dir.entries.get(name).ok_or_else(|| no_entry(op, path))?;
        }
        Ok(at)
    }

    pub(super) fn find_dir(&self, op: Op, path: &Path) -> Result<InodeId, DiskError> {
        let id = self.find(op, path)?;
        match self.inodes.get(&id) {
            Some(Inode::Dir(_)) => Ok(id),
            _ => Err(DiskError::io(op, path, io::ErrorKind::NotADirectory.into())),
        }
    }

    pub(super) fn find_file(&self, op: Op, path: &Path) -> Result<InodeId, DiskError> {
        let id = self.find(op, path)?;
        match self.inodes.get(&id) {
            Some(Inode::File(_)) => Ok(id),
            _ => Err(DiskError::io(op, path, io::ErrorKind::IsADirectory.into())),
        }
    }

    pub(super) fn file(&self, id: InodeId) -> &File {
        match self.inodes.get(&id) {
            Some(Inode::File(file)) => file,
            _ => unreachable!("an open file's inode is kept"),
        }
    }

    fn file_mut(&mut self, id: InodeId) -> &mut File {
        match self.inodes.get_mut(&id) {
            Some(Inode::File(file)) => file,
            _ => unreachable!("an open file's inode is kept"),
        }
    }

    fn dir_mut(&mut self, id: InodeId) -> &mut Dir {
        match self.inodes.get_mut(&id) {
            Some(Inode::Dir(dir)) => dir,
            _ => unreachable!("the caller found a directory here"),
        }
    }

    pub(super) fn names(&self, id: InodeId) -> Vec<String> {
        match self.inodes.get(&id) {
            Some(Inode::Dir(dir)) => dir.entries.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn entry(&self, dir: InodeId, name: &str) -> Option<Entry> {
        let Some(Inode::Dir(dir)) = self.inodes.get(&dir) else { return None };
        let (is_dir, len, modified_ms) = match self.inodes.get(dir.entries.get(name)?)? {
            Inode::Dir(_) => (true, 0, 0),
            Inode::File(file) => (false, file.data.len() as u64, file.modified),
        };
        Some(Entry { name: name.to_owned(), is_dir, len, modified_ms })
    }

    pub(super) fn used(&self) -> u64 {
        self.inodes.values().map(|i| if let Inode::File(f) = i { f.data.len() as u64 } else { 0 }).sum()
    }

    fn add(&mut self, inode: Inode) -> InodeId {
        let id = self.next;
        self.next += 1;
        self.inodes.insert(id, inode);
        id
    }

    pub(super) fn new_file(&mut self) -> InodeId {
        self.add(Inode::File(File { lengths: vec![0], ..File::default() }))
    }

    pub(super) fn new_dir(&mut self) -> InodeId {
        self.add(Inode::Dir(Dir::default()))
    }

    pub(super) fn change_dir(&mut self, id: InodeId, change: Change) {
        let dir = self.dir_mut(id);
        change.apply(&mut dir.entries);
        dir.unsynced.push(change);
    }

    pub(super) fn sync_dir(&mut self, id: InodeId) {
        let dir = self.dir_mut(id);
        dir.synced = dir.entries.clone();
        dir.unsynced.clear();
    }

    pub(super) fn write(&mut self, id: InodeId, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let now = self.changes as i64;
        let file = self.file_mut(id);
        let from = offset as usize;
        let to = from + bytes.len();
        if file.data.len() < to {
            file.data.resize(to, 0);
            file.lengths.push(to);
        }
        file.data[from..to].copy_from_slice(bytes);
        file.modified = now;
        for block in from / BLOCK..to.div_ceil(BLOCK) {
            let contents = block_of(&file.data, block);
            file.blocks.entry(block).or_default().push(contents);
        }
    }

    pub(super) fn set_len(&mut self, id: InodeId, len: usize) {
        let file = self.file_mut(id);
        let old = file.data.len();
        if len == old {
            return;
        }
        file.data.resize(len, 0);
        file.lengths.push(len);
        // The block that the cut goes through changes; blocks past a longer end read as zeros.
        let block = len.min(old) / BLOCK;
        let contents = block_of(&file.data, block);
        file.blocks.entry(block).or_default().push(contents);
    }

    pub(super) fn sync_file(&mut self, id: InodeId) {
        let file = self.file_mut(id);
        file.synced = file.data.clone();
        file.lengths = vec![file.data.len()];
        file.blocks.clear();
    }

    pub(super) fn flip_bit(&mut self, id: InodeId, bit: u64) {
        let file = self.file_mut(id);
        let at = (bit / 8) as usize;
        for data in [&mut file.data, &mut file.synced] {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// The same contents, all durable, with no locks and no end set.
    pub(super) fn settled(&self) -> World {
        let mut world = self.clone();
        world.locks.clear();
        world.stop_at = None;
        for inode in world.inodes.values_mut() {
            match inode {
                Inode::Dir(dir) => {
                    dir.synced = dir.entries.clone();
                    dir.unsynced.clear();
                }
                Inode::File(file) => {
                    file.synced = file.data.clone();
                    file.lengths = vec![file.data.len()];
                    file.blocks.clear();
                }
            }
        }
        world
    }
}
