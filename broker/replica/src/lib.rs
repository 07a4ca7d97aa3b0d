//! One partition's replication: who leads, who is in sync, what is committed, where a follower cuts its log, and
//! which waiting requests have become answerable. Decides and waits for nothing: the shell (`millstream-server`'s
//! `partition.rs`) owns the log, the lock and the sockets, and tells a [`Partition`] what happened.
//!
//! What a shell does for a partition, in this order:
//! 1. Open the log, read the high watermark's checkpoint, make a [`Partition::new`].
//! 2. For each metadata image that touches the partition call [`Partition::apply`], with the leader's broker epoch
//!    of the same image. On
//!    [`RoleChange::BecameLeader`] enter `(epoch, epoch_start)` in the log's leader-epoch file, durably, before the
//!    first append; on each role change fail what [`Purgatory::drain`] returns.
//! 3. Produce: [`Partition::check_append`], append with the leader epoch that it returns, [`Partition::appended`];
//!    then put the request into the [`Purgatory`] with [`Partition::wait_for`]'s answer. After each fsync call
//!    [`Partition::flushed`]. After each call that returns a [`Progress`], hand its bounds to
//!    [`Purgatory::advance`], answer what came out, and send its `alter_isr` to the controller, if any.
//! 4. Consumers read up to [`Partition::readable_end`]; followers' fetches go through [`Partition::fetched`].
//! 5. A follower asks [`Partition::next_fetch`], sends it, and gives the answer to [`Partition::fetch_answer`].
//! 6. [`Partition::tick`] at least each half of `replica_lag_time_max_ms`; [`Partition::checkpoint`] is what the
//!    high watermark's checkpoint file should hold.
//!
//! A replica set of one runs the same code: its ISR is itself, and its high watermark is its own flushed end (or its
//! log end with [`FlushMode::Interval`]).
//!
//! Kept here: RP-1 to RP-5 of the invariant register (see [`invariant`]). Never enters: records' bytes, files,
//! sockets, clocks.

pub mod epoch_cache;
pub mod follower;
pub mod invariant;
pub mod isr;
pub mod leader;
pub mod message;
pub mod partition;
mod planted;
pub mod purgatory;
pub mod watermark;

#[cfg(test)]
mod scripts;
#[cfg(test)]
mod simulation;

pub use epoch_cache::{EpochEnd, EpochStart};
pub use follower::{FetchAnswer, FollowerAction, NextFetch};
pub use message::{
    Acks, AlterIsr, AlterIsrAnswer, BrokerStanding, FetchOutcome, FlushMode, FollowerFetch, IsrMember,
    LeaderRecovery, LogEnds, PartitionMeta, Progress, ReadAs, ReplicaConfig, RoleChange,
};
pub use partition::Partition;
pub use purgatory::{Bounds, Purgatory, Satisfied, WaitFor};
pub use watermark::Watermarks;
