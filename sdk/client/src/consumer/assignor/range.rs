//! Each topic's partitions in ranges, one for each of its subscribers, the first ones longer by one: the same index of
//! several topics goes to the same member. Never enters: what members had before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_types::TopicPartition;

use super::{Assignments, Member};

pub(super) fn assign(members: &[Member], counts: &BTreeMap<Arc<str>, i32>) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|m| (m.id.clone(), BTreeSet::new())).collect();
    for (topic, count) in counts {
        let subscribers: Vec<&Member> =
            members.iter().filter(|member| member.topics.contains(topic)).collect();
        let (count, among) = ((*count).max(0), subscribers.len() as i32);
        if among == 0 {
            continue;
        }
        let (each, extra) = (count / among, count % among);
        let mut next = 0;
        for (i, member) in (0i32..).zip(subscribers) {
            let end = next + each + i32::from(i < extra);
            let range = (next..end).map(|at| TopicPartition::new(topic.clone(), at));
            assignments.entry(member.id.clone()).or_default().extend(range);
            next = end;
        }
    }
    assignments
}
