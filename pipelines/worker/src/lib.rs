//! Runs a pipeline: opens its file, checks what only its parts can check (SQL, functions, connectors' settings), makes
//! its topics, and runs its stages, each a member of its own consumer group:
//!
//! ```text
//! ingest: sources -> function -> topics    one broker transaction for each commit: records, dead letters, positions, splits' offsets
//! process: topic -> dedupe, SQL -> topics  one broker transaction for each commit: rows, dead letters, state, offsets
//! sink: topic -> foreign system            the target's own transaction of rows and offsets
//! ```
//! Each stage has a thread of its own for its work; requests run on the runtime's. A stage that fails by something that
//! passes is begun again from what was committed, with backoff.
//!
//! Never enters: how a broker is started (the caller hands in a cluster to talk to), formats of foreign systems, SQL.
//!
//! Invariants: WK-1 what a stage took in, what it gave out and its state move in one transaction, or not at all; WK-2 a
//! bounded input's records reach a topic in the order of their lanes' clocks, however commits cut them (`lanes.rs`); WK-3
//! a partition is read as ended only at an offset that its writer gave after its last commit (`ends.rs`).

mod assemble;
pub mod bench;
mod changelog;
mod connectors;
pub mod describe;
mod ends;
pub mod error;
pub mod failpoint;
mod formats;
mod functions;
mod gone;
mod group_events;
mod ingest;
mod json_key;
mod lanes;
mod left_open;
mod levels;
mod load;
mod outbox;
mod polled;
mod positions;
mod process;
pub mod progress;
pub mod query;
mod records;
mod restore;
mod run;
pub mod savepoint;
mod schema;
mod schemas;
pub mod scratch;
mod shapes;
mod sink_stage;
pub mod snapshots;
mod standby;
mod tables;
mod transaction;
mod trim;
pub mod validate;

pub use error::WorkerError;
pub use load::{Opened, open};
pub use run::{Options, Report, run};
