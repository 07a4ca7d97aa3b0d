//! Streaming operators on Arrow: the only crate that links DataFusion (its parts, not its facade). Records are
//! decoded once into columns (`millstream-format`), SQL is planned by DataFusion and run by operators of our own, since DataFusion's emit at the end
//! of input and a stream has none. A [`stage::Stage`] runs a stage's operators over many partitions at once.
//!
//! Pure of I/O: records, tables and the time come in as values; outputs and changelog records go out as values; the
//! worker reads, writes and commits. Invariants: SM-1 to SM-3, see `millstream-model`, where the decisions are made; SM-4
//! in [`state::snapshots`], SM-5 (the end of input is an operator's, not a source's) in `stage::fired`.

pub mod batch_ipc;
pub mod error;
mod op;
pub mod sql;
pub mod stage;
pub mod state;
