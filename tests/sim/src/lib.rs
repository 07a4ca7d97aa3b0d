//! A single-threaded, deterministic simulator of one node: the real quorum, metadata, replica, group and transaction
//! cores and the real log, on a disk that loses what was not synced. A seed is the whole of a run: the clocks, the order
//! of the node's actors, the clients, the faults and what a crash keeps all follow from it.
//!
//! Not here: more than one node (the simulations of `millstream-raft` and `millstream-replica` have those), the network,
//! the shell's own threads and locks (the process tests have those). What stands between the cores is written anew in
//! [`node`] after the server's files; a bug in the server's own order of steps is found only where both do the same.

pub mod clock;
pub mod members;
pub mod node;
pub mod oracle;
pub mod plant;
pub mod producers;
pub mod world;
