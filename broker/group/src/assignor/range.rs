//! Kafka's range assignor: of each topic, every subscriber gets a run of neighbouring partitions, and members that
//! subscribe to the same topics get the same runs of each, so that topics which are partitioned alike are read alike.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::Uuid;

use super::{Assignment, Member};

pub(super) fn assign(members: &[Member<'_>], partitions: &BTreeMap<Uuid, i32>) -> Vec<Assignment> {
    let mut targets = vec![Assignment::new(); members.len()];
    // Static members keep their place in the order over restarts.
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&i| (members[i].instance_id.is_none(), members[i].instance_id, members[i].id));
    for (topic, count) in partitions {
        let readers: Vec<usize> =
            order.iter().copied().filter(|&i| members[i].topics.contains(topic)).collect();
        if readers.is_empty() {
            continue;
        }
        let each = *count as usize / readers.len();
        let more = *count as usize % readers.len();
        let mut next = 0;
        for (i, reader) in readers.into_iter().enumerate() {
            let take = each + usize::from(i < more);
            if take > 0 {
                let run: BTreeSet<i32> = (next..next + take).map(|p| p as i32).collect();
                targets[reader].insert(*topic, run);
            }
            next += take;
        }
    }
    targets
}
