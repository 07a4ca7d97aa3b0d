//! Server-side assignors of KIP-848: from members and topics to who reads what. Never enters: when it is computed,
//! and how members get there.

pub mod range;
pub mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::Uuid;

/// Partitions by topic.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub struct Member<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its `group.instance.id`.
    pub instance_id: Option<&'a str>,
    /// Topics it subscribed to that exist.
    pub topics: BTreeSet<Uuid>,
    /// What it had.
    pub current: Assignment,
}

/// The name of the assignor that a group uses where no member asks for one.
pub const DEFAULT: &str = "uniform";

/// Whether there is an assignor of this name.
pub fn is_known(name: &str) -> bool {
    matches!(name, "uniform" | "range")
}

/// Computes the target of every member by the assignor of that name ([`DEFAULT`] where it is unknown). `partitions`
/// has every topic that a member names, with how many partitions it has.
pub fn assign(name: &str, members: &[Member<'_>], partitions: &BTreeMap<Uuid, i32>) -> Vec<Assignment> {
    match name {
        "range" => range::assign(members, partitions),
        _ => uniform::assign(members, partitions),
    }
}

#[cfg(test)]
mod tests;
