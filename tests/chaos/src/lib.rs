//! Load on a cluster of real processes while they are killed and paused. Producers, transactions, readers and groups run
//! through our own client and write down what they asked and were told; `millstream-checker` judges it.
//!
//! Runs against any cluster that speaks Kafka's protocol (no faults then), or against a broker process of its own, which it
//! kills with -9, starts again on the same port and folder, and pauses with SIGSTOP. Never enters: judging, a broker's
//! insides. Not here yet: several brokers, cut and slow networks, full and failing disks.

pub mod broker;
mod copies;
mod draining;
pub mod faults;
mod group;
mod readers;
pub mod recorder;
pub mod run;
mod transactions;
mod workload;
mod writers;

pub use run::{Outcome, RunError, RunOptions, run};
