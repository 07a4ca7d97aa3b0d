//! How a member comes to its target: it first gives up what it must, then moves to the target's epoch with whatever
//! of the target nobody else owns, and gets the rest as it comes free. Pure of records: one member in, the same
//! member moved on.

use std::collections::BTreeSet;

use millstream_types::Uuid;

use super::{Held, Member, MemberState};
use crate::assignor::Assignment;

/// Whether [`reconcile`] would leave the member as it is, told without looking at its partitions.
pub fn stands_still(member: &Member, target_epoch: i32, owned: Option<&Assignment>) -> bool {
    match member.state {
        MemberState::Stable => member.epoch == target_epoch,
        MemberState::UnrevokedPartitions => owned.is_none_or(|owned| overlaps(owned, &member.revoking)),
        MemberState::UnreleasedPartitions => false,
    }
}

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
    if stands_still(member, target_epoch, owned) {
        return next;
    }
    next.revoking.clear();
    next.revoke_deadline = None;
    let (kept, to_revoke) = split(&next.assigned, target);
    next.assigned = kept;
    // A member that says what it owns, and does not own what it is to give up, never heard that it had it (the answer
    // was lost): it will not speak of it again, so there is nothing to wait for.
    if !to_revoke.is_empty() && owned.is_none_or(|owned| overlaps(owned, &to_revoke)) {
        // The epoch stays until the partitions are given up: the member may still commit for them.
        next.revoking = to_revoke;
        next.state = MemberState::UnrevokedPartitions;
        return next;
    }
    let mut waits = false;
    for (topic, partitions) in target {
        for partition in partitions {
            if next.assigned.get(topic).is_some_and(|held| held.contains_key(partition)) {
                continue;
            }
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

fn overlaps(owned: &Assignment, held: &Held) -> bool {
    owned.iter().any(|(topic, partitions)| {
        held.get(topic).is_some_and(|held| partitions.iter().any(|p| held.contains_key(p)))
    })
}

/// What of `held` the target has, and what it lacks.
fn split(held: &Held, target: &Assignment) -> (Held, Held) {
    let (mut kept, mut rest) = (Held::new(), Held::new());
    let none = BTreeSet::new();
    for (topic, partitions) in held {
        let wanted = target.get(topic).unwrap_or(&none);
        for (partition, since) in partitions {
            let side = if wanted.contains(partition) { &mut kept } else { &mut rest };
            side.entry(*topic).or_default().insert(*partition, *since);
        }
    }
    (kept, rest)
}

/// Whether a member that says it owns `owned` owns nothing beside `held`.
pub fn owns_only(owned: &Assignment, held: &Held) -> bool {
    owned.iter().all(|(topic, partitions)| {
        let held = held.get(topic);
        partitions.iter().all(|p| held.is_some_and(|held| held.contains_key(p)))
    })
}
