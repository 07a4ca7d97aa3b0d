//! Key groups: the unit in which keyed state moves between workers. A pipeline fixes their number for its life, and a
//! key group is a partition of the stage's internal topic (of the input topic itself where a stage needs no exchange).

use std::fmt;

/// The most key groups that a pipeline may have.
pub const KEY_GROUPS_MAX: u32 = 4_096;

/// A key group's number, counted from 0; equal to the number of the partition that feeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyGroup(pub u32);

impl KeyGroup {
    /// The group of a key with this 64-bit hash, out of `groups`. The hash space is cut into equal ranges, so that the
    /// hash's high bits decide: hash tables, which use the low ones, stay evenly filled inside a group.
    pub fn of_hash(hash: u64, groups: u32) -> KeyGroup {
        assert!(
            (1..=KEY_GROUPS_MAX).contains(&groups),
            "{groups} key groups: the bounds are 1 and {KEY_GROUPS_MAX}"
        );
        KeyGroup(((u128::from(hash) * u128::from(groups)) >> 64) as u32)
    }
}

impl fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_hash_has_a_group_and_groups_follow_the_hash(a: u64, b: u64, groups in 1..=KEY_GROUPS_MAX) {
            let (low, high) = (a.min(b), a.max(b));
            let (g, h) = (KeyGroup::of_hash(low, groups), KeyGroup::of_hash(high, groups));
            prop_assert!(g <= h && h.0 < groups);
        }
    }
}
