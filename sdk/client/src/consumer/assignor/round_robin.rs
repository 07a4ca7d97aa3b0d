//! All partitions of all topics in turn, one to each member that subscribes to the topic. Never enters: what members had
//! before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Assignments, Member, all_partitions};

pub(super) fn assign(members: &[Member], counts: &BTreeMap<Arc<str>, i32>) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|m| (m.id.clone(), BTreeSet::new())).collect();
    let mut turn = 0;
    for partition in all_partitions(counts) {
        // A member that does not subscribe is passed over, and its turn with it.
        let Some(step) = (0..members.len())
            .find(|i| members[(turn + i) % members.len()].topics.contains(&partition.topic))
        else {
            continue;
        };
        let at = (turn + step) % members.len();
        assignments.entry(members[at].id.clone()).or_default().insert(partition);
        turn = at + 1;
    }
    assignments
}
