//! HTTP, both ways. As a source: records come in by POST and are answered when they are committed. A peer that asks again
//! with the same key gets the first answer again, also after a crash: what is remembered is committed with the records.
//! As a sink: each row is a request, sent until it is answered, with a key by which the server knows a repeat.
//!
//! Owns the protocol with the peer, the memory of keys, back-pressure. Never enters: what a record means, TLS of the source (a
//! proxy's), the worker. Kept here: CN-1 of the source, with the peer's keys; the sink is at least once.

mod answer;
pub mod body;
pub mod config;
mod desk;
mod error;
mod ledger;
mod request;
mod sender;
mod server;
mod sink;
pub mod sink_config;
mod source;

pub use config::{HttpSourceConfig, schema};
pub use sink::HttpSink;
pub use sink_config::HttpSinkConfig;
pub use source::HttpSource;
