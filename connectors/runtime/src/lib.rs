//! What runs around a connector, whichever it is: the delays between retries, dead letters and the rate at which they
//! may come, the bisection of a batch to its bad record, the egress guard, a schema registry, and where secrets come from.
//!
//! Decisions are values: time and chance come in. Never enters: a foreign system, the job graph, DataFusion.

pub mod bisect;
pub mod dead_letter;
pub mod egress;
pub mod rate;
pub mod registry;
pub mod retry;
pub mod secret;
