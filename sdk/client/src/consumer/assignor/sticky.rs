//! As balanced as can be, and then with as few moves as possible. Members keep what they had; those with more than their
//! share give up the excess; what is free goes to whoever has least. Where subscriptions differ, single partitions then move
//! from a member with more to one with at least two fewer, until none can. Never enters: protocols.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_types::TopicPartition;

use super::{Assignments, Member, all_partitions};

pub(super) fn assign(members: &[Member], counts: &BTreeMap<Arc<str>, i32>) -> Assignments {
    if members.is_empty() {
        return Assignments::new();
    }
    let all: BTreeSet<TopicPartition> = all_partitions(counts).collect();
    let mut kept = keep(members, &all);
    let uniform = members.iter().all(|member| member.topics == members[0].topics);
    if uniform {
        release_excess(&mut kept, subscribed(&all, &members[0]));
    }
    let taken: BTreeSet<&TopicPartition> = kept.iter().flatten().collect();
    let free: Vec<TopicPartition> =
        all.iter().filter(|partition| !taken.contains(partition)).cloned().collect();
    for partition in free {
        // The one that has least, of those that subscribe; the first of them by order.
        let least = (0..members.len())
            .filter(|i| members[*i].topics.contains(&partition.topic))
            .min_by_key(|i| kept[*i].len());
        if let Some(i) = least {
            kept[i].insert(partition);
        }
    }
    if !uniform {
        balance(members, &mut kept);
    }
    members.iter().map(|member| member.id.clone()).zip(kept).collect()
}

fn subscribed(all: &BTreeSet<TopicPartition>, member: &Member) -> usize {
    all.iter().filter(|partition| member.topics.contains(&partition.topic)).count()
}

/// What each member had and may keep. Of two that claim the same, the later generation is right.
fn keep(members: &[Member], all: &BTreeSet<TopicPartition>) -> Vec<BTreeSet<TopicPartition>> {
    let mut owner: BTreeMap<&TopicPartition, usize> = BTreeMap::new();
    for (i, member) in members.iter().enumerate() {
        for partition in &member.owned {
            if !all.contains(partition) || !member.topics.contains(&partition.topic) {
                continue;
            }
            let other = owner.entry(partition).or_insert(i);
            if members[*other].generation < member.generation {
                *other = i;
            }
        }
    }
    let mut kept = vec![BTreeSet::new(); members.len()];
    for (partition, i) in owner {
        kept[i].insert(partition.clone());
    }
    kept
}

/// Lets members give up what is more than their share: as many as the remainder keep one more than the others.
fn release_excess(kept: &mut [BTreeSet<TopicPartition>], total: usize) {
    let (each, mut extra) = (total / kept.len(), total % kept.len());
    for partitions in kept {
        let share = if partitions.len() > each && extra > 0 {
            extra -= 1;
            each + 1
        } else {
            each
        };
        while partitions.len() > share {
            partitions.pop_last();
        }
    }
}

/// Moves single partitions until no move evens out two members. Each move brings the sizes closer, so it ends.
fn balance(members: &[Member], kept: &mut [BTreeSet<TopicPartition>]) {
    loop {
        let mut best: Option<(usize, usize, TopicPartition)> = None;
        let mut gain = 1;
        for from in 0..kept.len() {
            for to in 0..kept.len() {
                let difference = kept[from].len().saturating_sub(kept[to].len());
                if difference <= gain {
                    continue;
                }
                if let Some(partition) =
                    kept[from].iter().rev().find(|partition| members[to].topics.contains(&partition.topic))
                {
                    gain = difference;
                    best = Some((from, to, partition.clone()));
                }
            }
        }
        let Some((from, to, partition)) = best else { return };
        kept[from].remove(&partition);
        kept[to].insert(partition);
    }
}
