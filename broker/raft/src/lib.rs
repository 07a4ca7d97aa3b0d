//! The metadata quorum: KRaft (KIP-595, KIP-630, KIP-996) decided without I/O. The metadata log is replicated by
//! pull: followers fetch, and the leader commits what a majority has flushed.
//!
//! # What a shell does
//! It owns the log (`__cluster_metadata-0`), the file `quorum-state`, snapshots, connections and a timer. All goes
//! through one [`Quorum`], on one thread:
//! 1. Open the log (recover, cut the torn tail, flush), read `quorum-state` if there is one ([`Election`] from
//!    QuorumStateData) and the name of the latest snapshot, and make a [`Quorum::new`] of these as [`Recovered`].
//!    A snapshot beyond the log's end means that a crash hit between its installation and the new log: begin the
//!    log anew at its end first.
//! 2. Call [`Quorum::step`] with [`Input::Tick`], and then for each thing that happens, and again with `Tick` at
//!    [`Quorum::next_deadline`].
//! 3. Do the outputs of each step in their order, each finished before the next: nothing may be sent before the
//!    [`Output::Persist`] in front of it is durable. Only a [`Output::Flush`] may run by itself; report it with
//!    [`Input::Flushed`].
//!
//! For a quorum of one that is, from an empty directory:
//! ```text
//! step(Tick)      -> Persist { epoch 1, voted me, leader me }   write aside, fsync, rename, fsync the directory
//!                    LeaderChanged { epoch 1, leader me }
//!                    AppendLeaderChange { offset 0, epoch 1 }  a control batch of one record
//!                    Flush { ticket 1, up to 1 }               fsync
//! step(Flushed 1) -> Committed { 1 }, Serving { epoch 1, epoch start 0 }
//! ```
//! On `Committed` read the log up to the new high watermark into `millstream_metadata::Loader`. On `Serving` begin a
//! `millstream_metadata::Controller` from the loader's image, which has read all that is committed by then. For a
//! decision: [`Input::Propose`] with its batch and the epoch of `Serving`; the step gives `Append` (patch base offset
//! and epoch into the batch, write) and `Flush`; replay the records into the controller with [`Quorum::log_end`]; keep
//! the response until `Committed` reaches that end. Several proposals may share one flush: a shell may do the
//! latest `Flush` alone and report its ticket, which stands for the earlier ones. On `Resigned` drop the controller and what it has not
//! committed; on `Refused` answer NOT_CONTROLLER.
//!
//! When the log has grown enough, write the loader's image as a snapshot named by [`Quorum::snapshot_id`], durably,
//! and report [`Input::SnapshotMade`]; the step answers with `Trim`.
//!
//! Other members' messages are [`Request`]s and [`Response`]s; the shell turns them into the wire's, and refuses
//! another cluster's id before they come here. `ReplyRecords` and `ReplySnapshot` are filled from the log and the
//! snapshot's file.
//!
//! # Not here yet
//! Changing the voter set at run time (KIP-853): messages, votes and [`VoterSet`] carry directories, and the Voters
//! record is read and written, but the set is fixed while a quorum lives.
//!
//! Never enters: sockets, files, clocks, the meaning of a metadata record.

mod election;
pub mod invariant;
pub mod log_view;
pub mod message;
mod planted;
pub mod quorum;
mod quorum_state;
mod state;
pub mod voters;

#[cfg(test)]
mod scripts;
#[cfg(test)]
mod simulation;

pub use log_view::{EpochEnd, EpochStart, SnapshotId};
pub use message::{
    Batch, Description, Election, Input, Output, Recovered, ReplicaKey, ReplicaState, Request, Response,
    ResponseBody,
};
pub use quorum::{Quorum, QuorumConfig};
pub use voters::{Voter, VoterEndpoint, VoterSet};
