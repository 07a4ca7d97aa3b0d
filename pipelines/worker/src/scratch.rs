//! The scratch of a stage: state that memory has no room for, in files of a local disk that have no name, so that nothing is left of
//! them when the process ends, however it does. Blocks are compressed (LZ4) and begin on a page; a block that is let go of
//! gives its pages back at once where the file system can do that, and with the last block of its file elsewhere. Nothing is
//! flushed: the changelog has all of it. Never enters: what is in a block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_engine::state::scratch::{Kept, Scratch};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// A file is written until it has so many bytes, holes with them.
const FILE_BYTES: u64 = 1 << 30;
/// Where blocks begin; what is given back is whole pages.
const PAGE: u64 = 4_096;
/// So much of a file system is left to others, such as the topics of a broker in this process; of a small one a twentieth.
const LEFT_FREE: u64 = 1 << 30;

/// See the module.
#[derive(Debug)]
pub struct FileScratch {
    folder: PathBuf,
    current: Mutex<Option<(Arc<File>, u64)>>,
}

impl FileScratch {
    /// A scratch in this folder, which is made when the first block comes.
    pub fn new(folder: PathBuf) -> FileScratch {
        FileScratch { folder, current: Mutex::new(None) }
    }

    /// Room for so many bytes: a file, and where in it.
    fn room(&self, bytes: u64) -> io::Result<(Arc<File>, u64)> {
        let mut current = self.current.lock();
        let (file, at) = match current.take() {
            Some((file, at)) if at + bytes <= FILE_BYTES => (file, at),
            _ => {
                let made =
                    std::fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempfile_in(&self.folder));
                let made = made.map_err(|error| {
                    let what = format!("making a file in {}: {error}", self.folder.display());
                    io::Error::new(error.kind(), what)
                });
                (Arc::new(made?), 0)
            }
        };
        *current = Some((Arc::clone(&file), (at + bytes).next_multiple_of(PAGE)));
        Ok((file, at))
    }
}

impl Scratch for FileScratch {
    fn put(&self, bytes: &[u8]) -> io::Result<Box<dyn Kept>> {
        let packed = lz4_flex::block::compress_prepend_size(bytes);
        let (file, at) = self.room(packed.len() as u64)?;
        let disk = fstatvfs(&file)?;
        let size = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        if !has_room(size(disk.f_bavail), size(disk.f_blocks), packed.len() as u64) {
            let what = format!(
                "{} has {} MiB free, which are left to others",
                self.folder.display(),
                size(disk.f_bavail) >> 20
            );
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        let block = Block { file, at, bytes: packed.len() };
        // What fails half way is given back with the block.
        block.file.write_all_at(&packed, at).map_err(|error| {
            let what = format!("writing {} bytes in {}: {error}", packed.len(), self.folder.display());
            io::Error::new(error.kind(), what)
        })?;
        Ok(Box::new(block))
    }
}

/// Whether a file system of which so many bytes are free takes so many more.
fn has_room(free: u64, total: u64, more: u64) -> bool {
    free >= more.saturating_add((total / 20).min(LEFT_FREE))
}

#[derive(Debug)]
struct Block {
    file: Arc<File>,
    at: u64,
    bytes: usize,
}

impl Kept for Block {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut packed = vec![0; self.bytes];
        self.file.read_exact_at(&mut packed, self.at)?;
        let unpacked = lz4_flex::block::decompress_size_prepended(&packed);
        unpacked.map_err(|error| {
            let what = format!("a block of {} bytes cannot be unpacked: {error}", self.bytes);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    fn stored_bytes(&self) -> u64 {
        (self.bytes as u64).next_multiple_of(PAGE)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Where that cannot be done, the file gives everything back when its last block goes.
        let _ = fallocate(&self.file, flags, self.at, self.stored_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn blocks_come_back_and_give_their_room_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = FileScratch::new(folder.path().join("state"));
        let text = |n: usize| (0..50_000).map(|i| (i * n % 251) as u8).collect::<Vec<u8>>();
        let mut blocks: Vec<Box<dyn Kept>> = (1..40).map(|n| scratch.put(&text(n)).expect("room")).collect();
        for (block, n) in blocks.iter().zip(1..) {
            assert_eq!(block.read().expect("a block"), text(n));
        }
        let file = Arc::clone(&scratch.current.lock().as_ref().expect("a file").0);
        let used = || file.metadata().expect("a file").blocks() * 512;
        let before = used();
        assert!(before > 0 && std::fs::read_dir(folder.path().join("state")).expect("a folder").count() == 0);
        blocks.drain(1..38);
        assert!(used() < before / 4, "{before} bytes before, {} behind", used());
        assert_eq!(blocks[0].read().expect("a block"), text(1));
        assert_eq!(blocks[1].read().expect("a block"), text(39));
        drop(blocks);
        assert_eq!(used(), 0);
    }

    #[test]
    fn a_disk_is_never_filled() {
        const GIB: u64 = 1 << 30;
        for (free, total, more, takes) in [
            (2 * GIB, 1_000 * GIB, GIB, true),
            (2 * GIB, 1_000 * GIB, GIB + 1, false),
            (6 << 20, 100 << 20, 1 << 20, true),
            (6 << 20, 100 << 20, (1 << 20) + 1, false),
            (0, 0, 1, false),
        ] {
            assert_eq!(has_room(free, total, more), takes, "{more} of {free} of {total}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("file");
        std::fs::write(&taken, "x").expect("a file");
        assert!(FileScratch::new(taken.join("state")).put(b"x").is_err());
    }
}
