//! The records of `__share_group_state`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/share.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use super::coordinator_records;

pub mod share_snapshot_key;
pub mod share_snapshot_value;
pub mod share_update_key;
pub mod share_update_value;

pub use share_snapshot_key::ShareSnapshotKey;
pub use share_snapshot_value::ShareSnapshotValue;
pub use share_update_key::ShareUpdateKey;
pub use share_update_value::ShareUpdateValue;

coordinator_records! {
ShareKey ShareValue;
0 ShareSnapshot ShareSnapshotKey ShareSnapshotValue 0 0;
1 ShareUpdate ShareUpdateKey ShareUpdateValue 0 0;
}
