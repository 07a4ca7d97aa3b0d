//! The records of `__transaction_state`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/txn.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use super::coordinator_records;

pub mod transaction_log_key;
pub mod transaction_log_value;

pub use transaction_log_key::TransactionLogKey;
pub use transaction_log_value::TransactionLogValue;

coordinator_records! {
TransactionKey TransactionValue;
0 TransactionLog TransactionLogKey TransactionLogValue 0 1;
}
