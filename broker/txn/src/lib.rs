//! The transaction coordinator, decided without being done. [`Coordinator::step`] takes an [`Input`] and returns
//! [`Outcome`]s: records for `__transaction_state`, and what is to happen once they are committed (answers, markers).
//!
//! What a shell must do, in this order:
//! 1. append an outcome's `append` to its shard's partition of `__transaction_state`, in the order of the outcomes;
//! 2. when the partition's high watermark has passed everything appended to that shard so far, carry out `then`
//!    (an outcome without records waits too: it may speak of state that is not yet committed);
//! 3. where an append fails, unload the shard ([`Input::Unload`]), answer what waits with
//!    COORDINATOR_NOT_AVAILABLE, and load it again from the log.
//!
//! Semantics are those of KIP-98, KIP-360 and KIP-890: with transaction version 2 the epoch rises with every
//! transaction, so that a marker that is late can never end the next one (TX-3). Never enters: partitions' own
//! state of transactions (`millstream-log`), sockets, clocks.

pub mod coordinator;
mod end;
mod init;
pub mod message;
pub mod state;
pub mod transaction;

pub use coordinator::Coordinator;
pub use message::{
    Answer, Config, Described, Input, Listed, MarkerOrder, Outcome, Partitions, Then, Token, Version,
};
pub use state::TxnState;
pub use transaction::Transaction;
