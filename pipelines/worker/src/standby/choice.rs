//! Who keeps copies of what: each worker decides it for itself, from what the broker says of the stage's group, and all come to the
//! same. Never enters: asking the broker, reading.

use std::collections::{BTreeMap, BTreeSet};

/// What the members of a stage's group have, by their ids.
pub(super) type Owners = BTreeMap<String, BTreeSet<u32>>;

/// How many key groups a stage has, and into how many classes they fall that share no partition of a changelog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) key_groups: u32,
    pub(super) classes: u32,
}

impl Split {
    pub(super) fn class(self, group: u32) -> u32 {
        group % self.classes
    }

    /// The key groups of a class.
    pub(super) fn groups(self, class: u32) -> impl Iterator<Item = u32> {
        (class..self.key_groups).step_by(self.classes as usize)
    }
}

/// A number of a member and a class, the same on every worker (FNV-1a, then the finalizer of MurmurHash3).
fn weight(member: &str, class: u32) -> u64 {
    let bytes = member.bytes().chain(class.to_le_bytes());
    let mut hash = bytes
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    for by in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(by);
    }
    hash ^ (hash >> 33)
}

/// The key groups that `me` keeps copies of, where each is to have so many: never those that it owns. The members stand in an order of
/// their own for each class (rendezvous), and the first of them keep its key groups, each passed over where it is the owner. So
/// a class is read by one worker more than there are copies, and a member that comes or goes changes little.
pub(super) fn wanted(owners: &Owners, me: &str, copies: u32, split: Split) -> BTreeSet<u32> {
    let mut wanted = BTreeSet::new();
    for class in 0..split.classes.min(split.key_groups) {
        let mut order: Vec<(&String, &BTreeSet<u32>)> = owners.iter().collect();
        order.sort_by_key(|(member, _)| (weight(member, class), *member));
        for group in split.groups(class) {
            let mut others = order.iter().filter(|(_, has)| !has.contains(&group)).take(copies as usize);
            if others.any(|(member, _)| *member == me) {
                wanted.insert(group);
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use millstream_types::{Rng, SeededRng};

    use super::*;

    fn drawn(rng: &mut SeededRng, members: u64, split: Split) -> Owners {
        let mut owners: Owners = (0..members).map(|at| (format!("stage-w{at}"), BTreeSet::new())).collect();
        for group in 0..split.key_groups {
            let at = rng.below(members);
            owners.get_mut(&format!("stage-w{at}")).expect("a member").insert(group);
        }
        owners
    }

    fn keepers(owners: &Owners, copies: u32, split: Split) -> BTreeMap<u32, BTreeSet<String>> {
        let mut keepers: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for me in owners.keys() {
            for group in wanted(owners, me, copies, split) {
                keepers.entry(group).or_default().insert(me.clone());
            }
        }
        keepers
    }

    #[test]
    fn each_key_group_has_its_copies_and_none_with_its_owner() {
        let mut rng = SeededRng::new(5);
        for _ in 0..200 {
            let split = Split { key_groups: 1 + rng.below(40) as u32, classes: 1 + rng.below(16) as u32 };
            let (members, copies) = (1 + rng.below(6), rng.below(4) as u32);
            let owners = drawn(&mut rng, members, split);
            let keepers = keepers(&owners, copies, split);
            for group in 0..split.key_groups {
                let none = BTreeSet::new();
                let kept = keepers.get(&group).unwrap_or(&none);
                assert_eq!(kept.len() as u64, u64::from(copies).min(members - 1), "{owners:?}");
                assert!(kept.iter().all(|member| !owners[member].contains(&group)), "{owners:?}");
            }
        }
    }

    #[test]
    fn a_member_that_goes_moves_few_copies_and_a_class_is_read_by_few() {
        let split = Split { key_groups: 256, classes: 16 };
        let mut owners = drawn(&mut SeededRng::new(9), 6, split);
        let before = keepers(&owners, 1, split);
        for class in 0..16 {
            let readers: BTreeSet<&String> = split.groups(class).flat_map(|group| &before[&group]).collect();
            assert!(readers.len() <= 2, "{readers:?}");
        }
        // What it owned goes to another; who kept copies goes on, but for those that were its own or are now with their owner.
        let gone = owners.remove("stage-w3").expect("a member");
        owners.get_mut("stage-w0").expect("a member").extend(&gone);
        let after = keepers(&owners, 1, split);
        for (group, kept) in before {
            let stays = !kept.contains("stage-w3") && !gone.contains(&group);
            assert!(!stays || after[&group] == kept, "key group {group}");
        }
    }
}
