//! The judge: reads the history of what clients asked of a cluster and what they were told, and finds answers that cannot
//! all be true. Histories are JSON lines ([`Line`]); anomalies carry Jepsen's names where Jepsen has one, so that reports
//! compare. The judge holds the cluster to these ids of `docs/internals` and says nothing about others: RP-1 (one value for
//! an offset), RP-3 (an acknowledged record stays), LG-1 (gaps come from control records), TX-1 (aborted data is not read),
//! TX-2 (all or nothing), GR-2 (a group's position does not pass what it was given).
//!
//! What it takes for granted: no retention, no compaction, no deletion of records during the run; values are unique; a
//! process does one thing after another. Deliberately absent: a cluster, a clock, any network. It can therefore judge
//! Apache Kafka and the simulator as well as Millstream.
//!
//! Not judged: cycles between transactions (G0, G1c, G2), two owners of a partition in one generation, latency.

pub mod anomaly;
pub mod history;
mod judge;
mod ledger;

pub use anomaly::{Anomaly, Found, Kind, Verdict};
pub use history::{Function, HistoryError, Line, Stage};
pub use judge::judge;
