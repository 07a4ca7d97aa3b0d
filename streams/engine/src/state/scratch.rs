//! Where committed state goes that memory has no room for: a scratch, which the worker keeps on a local disk. What is there
//! is never the only copy, since the changelog has it too: it is not flushed, and a process that starts finds none of it.
//! Never enters: files, and when memory is short.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// Takes bytes and gives them back.
pub trait Scratch: Debug + Send + Sync {
    /// Keeps bytes until what it gives is dropped. The error is that of the disk, which may be full.
    fn put(&self, bytes: &[u8]) -> io::Result<Box<dyn Kept>>;
}

/// Bytes in a scratch.
pub trait Kept: Debug + Send + Sync {
    /// The bytes, as they were put.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// How many bytes they take where they are.
    fn stored_bytes(&self) -> u64;
}

/// How state goes to a scratch.
#[derive(Clone, Debug)]
pub struct Spill {
    /// Where it goes.
    pub scratch: Arc<dyn Scratch>,
    /// How many bytes of rows are put at once, about, that are read in the order of their keys.
    pub block_bytes: usize,
    /// And of rows that are looked up one by one: what is read to find one.
    pub look_up_bytes: usize,
    /// How many bytes of rows are taken together when windows fire, or when parts are made one, about.
    pub portion_bytes: usize,
    /// Parts of fewer bytes stay in memory.
    pub part_bytes_min: usize,
}

impl Spill {
    /// The usual sizes: blocks of 256 KiB, and of 32 KiB for look-ups, portions of 16 MiB, parts from 32 KiB on.
    pub fn to(scratch: Arc<dyn Scratch>) -> Spill {
        let (block_bytes, look_up_bytes) = (256 << 10, 32 << 10);
        Spill { scratch, block_bytes, look_up_bytes, portion_bytes: 16 << 20, part_bytes_min: 32 << 10 }
    }
}
