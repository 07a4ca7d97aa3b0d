//! One partition on disk, in Kafka's format byte for byte, so that Kafka's own tools read it: segments with their
//! offset, time and transaction indexes, producer snapshots, leader epochs; recovery, retention, compaction; and the
//! log directories that hold partitions.
//!
//! # How a broker uses it
//! A [`Log`] is one partition, driven by one owner: the server holds it behind a plain lock, for one call at a time. A
//! partition's directory and files are made at its first append.
//! - **Append** as the leader: check the bytes without the lock ([`CheckedBatch::check`] with [`LogConfig::limits`]),
//!   then [`Log::append_as_leader`], which patches offset, epoch and append time in place and writes inline; markers by
//!   [`Log::append_marker`]; as a follower [`Log::append_as_follower`]. A repeated batch is [`AppendInfo::duplicate`],
//!   with its old offsets: success.
//! - **Flush**: [`Log::begin_flush`] under the lock gives a [`FlushTicket`]; [`flush::flush_all`] flushes any number of
//!   tickets of one directory by one flush, without any lock; [`Log::complete_flush`] reports the result to each log.
//!   [`Log::flushed_end_offset`] is what acks=1 and the high watermark wait for under `flush.mode=before_ack`.
//! - **Read**: [`Log::read`] gives a [`FileSlice`] for sendfile (`file.fd()`, position, length) or for
//!   [`FileSlice::read`]; the caller gives the upper bound (high watermark, [`Log::last_stable_offset`], log end) and
//!   asks [`Log::aborted_transactions`] for read_committed readers.
//! - **Start and stop**: [`LogDir::open`] takes the lock and checks the identity, [`log_dir::load_all`] opens (and
//!   recovers) every partition of several directories in parallel, [`LogDir::open_log`] opens or begins one,
//!   [`log_dir::checkpoint_offsets`] writes the recovery points now and then, [`LogDir::delete_log`] renames for deletion,
//!   [`LogDir::close`] stops cleanly. The high watermarks' checkpoint is read and written by
//!   [`LogDir::checkpoints`] and [`LogDir::write_checkpoint`].
//! - **Look after**: [`Log::apply_retention`], [`Log::delete_due_files`], [`Log::roll_now`], [`Log::expire_producers`]; compaction in
//!   three steps: [`Log::plan_compaction`] under the lock, [`CompactionPlan::run`] without, [`Log::install_compaction`].
//!
//! # Guarantees
//! LG-1 offsets rise. LG-2 no batch is appended, or kept by recovery, whose checksum is wrong. LG-3 recovery yields a
//! prefix of what was appended that holds every flushed batch. LG-4 no file is unlinked before what replaces it is
//! durable. A failed append leaves the log as it was; a failed flush ends the log's service.
//! # Non-guarantees
//! Bits that rot in sealed segments below the recovery point are found by readers (CRC), not here. Nothing is fetched
//! from elsewhere. Truncation is for whoever knows the epochs.

pub mod compaction;
pub mod config;
pub mod epoch_file;
pub mod error;
pub mod flush;
pub mod log;
pub mod log_dir;
pub mod names;
pub mod offset_index;
pub mod producer_state;
mod scan;
mod segment;
mod sidecar;
pub mod time_index;
pub mod txn_index;

pub use compaction::{CompactionOutput, CompactionPlan, CompactionResult};
pub use config::{ConfigError, FlushMode, LogConfig};
pub use error::LogError;
pub use flush::flush_all;
pub use log::{
    AppendContext, AppendInfo, CheckedBatch, FileSlice, FlushTicket, Log, LogParams, LogRead, ReadBound,
    Retained, TimestampOffset,
};
pub use log_dir::{DirIdentity, LogDir, OffsetCheckpoint};
pub use producer_state::AppendOrigin;
pub use txn_index::AbortedTxn;
