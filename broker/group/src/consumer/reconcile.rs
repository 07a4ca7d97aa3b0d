//! How a member comes to its target: it first gives up what it must, then moves to the target's epoch with whatever
//! of the target nobody else owns, and gets the rest as it comes free. Pure of records: one member in, the same
//! member moved on.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::Uuid;

use super::{Member, MemberState};
use crate::assignor::Assignment;

/// Moves `member` on as far as it can go. `owned` is what the member says it owns, where it said so; `is_free` tells
/// whether a partition that it does not own belongs to nobody.
pub fn reconcile(
    member: &Member,
    target: &Assignment,
    target_epoch: i32,
    owned: Option<&Assignment>,
    is_free: impl Fn(Uuid, i32) -> bool,
) -> Member {
    let mut next = member.clone();
    match member.state {
        MemberState::Stable if member.epoch == target_epoch => return next,
        MemberState::Stable | MemberState::UnreleasedPartitions => {}
        MemberState::UnrevokedPartitions => {
            let given_up = owned.is_some_and(|owned| !intersects(owned, &member.revoking));
            if !given_up {
                return next;
            }
            next.revoking.clear();
            next.revoke_deadline = None;
        }
    }
    let assigned = next.assignment();
    let to_revoke = difference(&assigned, target);
    if !to_revoke.is_empty() {
        // The epoch stays until the partitions are given up: the member may still commit for them.
        next.assigned = keep(&next.assigned, target);
        next.revoking = to_revoke;
        next.state = MemberState::UnrevokedPartitions;
        return next;
    }
    let missing = difference(target, &assigned);
    let mut waits = false;
    for (topic, partitions) in &missing {
        for partition in partitions {
            if is_free(*topic, *partition) {
                next.assigned.entry(*topic).or_default().insert(*partition, target_epoch);
            } else {
                waits = true;
            }
        }
    }
    if next.epoch != target_epoch {
        next.previous_epoch = next.epoch;
        next.epoch = target_epoch;
    }
    next.state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
    next
}

fn intersects(a: &Assignment, b: &Assignment) -> bool {
    a.iter().any(|(topic, partitions)| b.get(topic).is_some_and(|other| !partitions.is_disjoint(other)))
}

/// What `a` has and `b` lacks.
pub fn difference(a: &Assignment, b: &Assignment) -> Assignment {
    let empty = BTreeSet::new();
    a.iter()
        .map(|(topic, partitions)| (*topic, partitions - b.get(topic).unwrap_or(&empty)))
        .filter(|(_, rest)| !rest.is_empty())
        .collect()
}

fn keep(
    assigned: &BTreeMap<Uuid, BTreeMap<i32, i32>>,
    target: &Assignment,
) -> BTreeMap<Uuid, BTreeMap<i32, i32>> {
    assigned
        .iter()
        .filter_map(|(topic, partitions)| {
            let wanted = target.get(topic)?;
            let kept: BTreeMap<i32, i32> =
                partitions.iter().filter(|(p, _)| wanted.contains(p)).map(|(p, e)| (*p, *e)).collect();
            (!kept.is_empty()).then_some((*topic, kept))
        })
        .collect()
}

/// Whether `a` has nothing that `b` lacks.
pub fn is_subset(a: &Assignment, b: &Assignment) -> bool {
    difference(a, b).is_empty()
}
