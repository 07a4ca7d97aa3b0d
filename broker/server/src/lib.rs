//! The broker's shell: sockets, threads, files and timers around the pure crates. [`Node`] starts and stops one;
//! `connection.rs` serves a client, `dispatch.rs` finds the handler, `handler/` serves each API, `partition.rs` holds a
//! replica behind its lock, `flusher.rs` makes it durable, and `controller.rs`, `group_task.rs` and `txn_task.rs` run the
//! metadata quorum and the coordinators on threads of their own. Never enters: anything that could be decided without
//! waiting; that is in the crates it drives.

pub mod broker;
pub mod cleaner;
pub mod clock;
pub mod command;
pub mod config;
pub mod connection;
pub mod controller;
pub mod coordinator_log;
pub mod critical;
pub mod dispatch;
pub mod fetch_session;
pub mod flusher;
pub mod group_task;
pub mod handler;
pub mod housekeeping;
pub mod metadata_log;
pub mod metrics;
pub mod node;
pub mod partition;
pub mod replicas;
pub mod rules;
pub mod timer;
pub mod txn_task;
pub mod waiter;

pub use broker::Broker;
pub use config::{Config, ConfigError};
pub use node::{Node, NodeOptions, StartError};
