//! The one door to durability. Everything that Millstream keeps on a disk goes through a [`Disk`]: files are opened,
//! written, synced, renamed and removed here and nowhere else, so that every step which may fail or be torn by a crash
//! can be counted, made to fail ([`faulty`]), and simulated ([`sim`]).
//!
//! - [`disk`]: the traits. [`real`]: the machine's file systems, with one flush for many files (docs/adr/0001-flush.md).
//! - [`durable`]: replace a small file or make a directory so that a crash leaves the old or the new one;
//!   [`checkpoint`]: Kafka's small text files, written through it.
//! - [`health`]: a directory goes offline at its first failed flush and stays so.
//! - [`faulty`] and [`sim`]: the same disk with planned faults, and one in memory whose crash states can be enumerated.
//!
//! Non-guarantees: nothing here knows what a log is, retries anything, or repairs bytes.

pub mod checkpoint;
pub mod disk;
pub mod durable;
pub mod error;
pub mod faulty;
pub mod health;
pub mod real;
pub mod sim;

pub use disk::{DirLock, Disk, DiskFile, Entry, Open, SyncGroup};
pub use error::{DiskError, Op};
pub use health::{Guarded, Health};
pub use real::RealDisk;
