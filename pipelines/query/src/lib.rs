//! Read-only SQL over what a pipeline has committed: questions in, answers out, as a table, JSON or CSV, or by PostgreSQL's
//! wire protocol. Never enters: reading topics (`millstream_worker::query`), planning and running a query
//! (`millstream_engine::sql::at_rest`), terminals and exit codes.

mod cell;
pub mod desk;
pub mod form;
pub mod serve;
mod session;
mod value;
mod wire;

pub use desk::{Answer, Desk, DeskError};
pub use millstream_engine::sql::at_rest::STACK_BYTES;
