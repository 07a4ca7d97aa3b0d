//! The states of a transaction, their numbers on disk, and which state may follow which.
//!
//! ```text
//! Empty            -> Ongoing (a partition is added)        | PrepareAbort (v2: abort of nothing) | Empty (InitProducerId)
//! Ongoing          -> Ongoing (a partition is added)        | PrepareCommit | PrepareAbort
//! PrepareCommit    -> CompleteCommit (every marker written)
//! PrepareAbort     -> CompleteAbort  (every marker written)
//! CompleteCommit   -> Ongoing | PrepareAbort (v2: abort of nothing) | Empty (InitProducerId)
//! CompleteAbort    -> Ongoing | PrepareAbort (v2: abort of nothing) | Empty (InitProducerId)
//! Empty, Complete* -> gone (the id expired)
//! ```

/// Where a transactional id's current transaction stands (source: Kafka's `TransactionState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TxnState {
    /// The id has a producer and no transaction yet.
    Empty,
    /// Partitions were added; records may be written.
    Ongoing,
    /// The commit is decided and being written to the partitions.
    PrepareCommit,
    /// The abort is decided and being written to the partitions.
    PrepareAbort,
    /// Every partition has the commit.
    CompleteCommit,
    /// Every partition has the abort.
    CompleteAbort,
}

impl TxnState {
    /// The number that `TransactionLogValue` holds.
    pub const fn id(self) -> i8 {
        match self {
            TxnState::Empty => 0,
            TxnState::Ongoing => 1,
            TxnState::PrepareCommit => 2,
            TxnState::PrepareAbort => 3,
            TxnState::CompleteCommit => 4,
            TxnState::CompleteAbort => 5,
        }
    }

    /// The state of a number in the log; `None` for one that is never written (6 Dead, 7 PrepareEpochFence).
    pub const fn from_id(id: i8) -> Option<TxnState> {
        Some(match id {
            0 => TxnState::Empty,
            1 => TxnState::Ongoing,
            2 => TxnState::PrepareCommit,
            3 => TxnState::PrepareAbort,
            4 => TxnState::CompleteCommit,
            5 => TxnState::CompleteAbort,
            _ => return None,
        })
    }

    /// Kafka's name, as ListTransactions shows it.
    pub const fn name(self) -> &'static str {
        match self {
            TxnState::Empty => "Empty",
            TxnState::Ongoing => "Ongoing",
            TxnState::PrepareCommit => "PrepareCommit",
            TxnState::PrepareAbort => "PrepareAbort",
            TxnState::CompleteCommit => "CompleteCommit",
            TxnState::CompleteAbort => "CompleteAbort",
        }
    }

    /// The state of a name that a client filters by.
    pub fn from_name(name: &str) -> Option<TxnState> {
        (0..6).filter_map(TxnState::from_id).find(|state| state.name() == name)
    }

    /// Whether `next` may follow.
    pub const fn may_become(self, next: TxnState) -> bool {
        use TxnState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        match self {
            Empty | CompleteCommit | CompleteAbort => matches!(next, Empty | Ongoing | PrepareAbort),
            Ongoing => matches!(next, Ongoing | PrepareCommit | PrepareAbort),
            PrepareCommit => matches!(next, CompleteCommit),
            PrepareAbort => matches!(next, CompleteAbort),
        }
    }

    /// Whether the outcome is decided and markers are being written.
    pub const fn is_preparing(self) -> bool {
        matches!(self, TxnState::PrepareCommit | TxnState::PrepareAbort)
    }
}
