//! The broker over real sockets: with the client, and with frames written by hand. What a stock client does not ask
//! for is asked here. Never enters: what the crates below decide; their own tests hold that.

mod crash;
mod dirs;
mod disk_full;
mod fetch;
mod golden;
mod groups;
mod malformed;
mod offsets;
mod produce;
mod raw;
mod restart;
mod topics;
mod transactions;
mod txn;
mod txn_restart;
