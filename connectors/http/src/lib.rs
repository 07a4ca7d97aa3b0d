//! An HTTP endpoint as a source: records come in by POST and are answered when they are committed. A peer that asks again
//! with the same key gets the first answer again, also after a crash: what is remembered is committed with the records.
//!
//! Owns the protocol with the peer, the memory of keys, back-pressure. Never enters: what a record means, TLS (a proxy's),
//! the worker. Kept here: CN-1, with the peer's keys.

mod answer;
pub mod config;
mod desk;
mod error;
mod ledger;
mod request;
mod server;
mod source;

pub use config::{HttpSourceConfig, schema};
pub use source::HttpSource;
