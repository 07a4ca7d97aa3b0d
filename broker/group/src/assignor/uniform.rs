//! The uniform assignor: every member gets as many partitions as any other, to one, and keeps what it has wherever
//! that allows it. Where members subscribe to different topics, loads are evened out as far as subscriptions allow.

use std::collections::BTreeMap;

use millstream_types::Uuid;

use super::{Assignment, Member};

/// Moves that even out loads of members with different subscriptions stop after this many for each partition.
const MOVES_MAX: usize = 4;

pub(super) fn assign(members: &[Member<'_>], partitions: &BTreeMap<Uuid, i32>) -> Vec<Assignment> {
    if members.is_empty() {
        return Vec::new();
    }
    let mut plan = Plan::new(members, partitions);
    if members.iter().all(|m| m.topics == members[0].topics) {
        plan.same_subscriptions();
    } else {
        plan.different_subscriptions();
    }
    plan.into_assignments(members.len())
}

/// All partitions in one dense row: `owner[i]` reads `places[i]`.
struct Plan<'a> {
    members: &'a [Member<'a>],
    places: Vec<(Uuid, i32)>,
    owner: Vec<Option<usize>>,
    load: Vec<usize>,
}

impl<'a> Plan<'a> {
    fn new(members: &'a [Member<'a>], partitions: &BTreeMap<Uuid, i32>) -> Plan<'a> {
        let mut places = Vec::new();
        let mut first = BTreeMap::new();
        for (topic, count) in partitions {
            if members.iter().any(|m| m.topics.contains(topic)) {
                first.insert(*topic, (places.len(), *count));
                places.extend((0..*count).map(|p| (*topic, p)));
            }
        }
        let mut owner = vec![None; places.len()];
        for (i, member) in members.iter().enumerate() {
            for (topic, held) in &member.current {
                let Some((start, count)) = first.get(topic).filter(|_| member.topics.contains(topic)) else {
                    continue;
                };
                for p in held.iter().filter(|p| (0..*count).contains(*p)) {
                    // A partition that two claim (a revocation under way) stays with the first.
                    owner[start + *p as usize].get_or_insert(i);
                }
            }
        }
        Plan { members, places, owner, load: vec![0; members.len()] }
    }

    fn same_subscriptions(&mut self) {
        let each = self.places.len() / self.members.len();
        let mut more = self.places.len() % self.members.len();
        let mut held = vec![0; self.members.len()];
        self.owner.iter().flatten().for_each(|&m| held[m] += 1);
        let quota: Vec<usize> = held
            .iter()
            .map(|&held| {
                let extra = usize::from(held > each && more > 0);
                more -= extra;
                each + extra
            })
            .collect();
        for place in 0..self.places.len() {
            if let Some(m) = self.owner[place] {
                if self.load[m] < quota[m] {
                    self.load[m] += 1;
                } else {
                    self.owner[place] = None;
                }
            }
        }
        // What is free goes to who is short, the extra ones that nobody holds yet to the first who are.
        let mut m = 0;
        let mut limit: Vec<usize> = quota;
        for slot in &mut limit {
            if more > 0 && *slot == each {
                *slot += 1;
                more -= 1;
            }
        }
        for place in 0..self.places.len() {
            if self.owner[place].is_none() {
                while self.load[m] >= limit[m] {
                    m += 1;
                }
                self.owner[place] = Some(m);
                self.load[m] += 1;
            }
        }
    }

    fn different_subscriptions(&mut self) {
        self.owner.iter().flatten().for_each(|&m| self.load[m] += 1);
        let readers: BTreeMap<Uuid, Vec<usize>> = self
            .places
            .iter()
            .map(|(topic, _)| *topic)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|t| (t, (0..self.members.len()).filter(|&m| self.members[m].topics.contains(&t)).collect()))
            .collect();
        // Partitions that few can read are given first.
        let mut free: Vec<usize> = (0..self.places.len()).filter(|&p| self.owner[p].is_none()).collect();
        free.sort_by_key(|&p| (readers[&self.places[p].0].len(), p));
        for place in free {
            let reader = readers[&self.places[place].0].iter().copied().min_by_key(|&m| (self.load[m], m));
            if let Some(reader) = reader {
                self.owner[place] = Some(reader);
                self.load[reader] += 1;
            }
        }
        for _ in 0..MOVES_MAX {
            let mut moved = false;
            for place in 0..self.places.len() {
                let Some(from) = self.owner[place] else { continue };
                let to = readers[&self.places[place].0].iter().copied().min_by_key(|&m| (self.load[m], m));
                if let Some(to) = to.filter(|&to| self.load[to] + 1 < self.load[from]) {
                    self.owner[place] = Some(to);
                    self.load[from] -= 1;
                    self.load[to] += 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
    }

    fn into_assignments(self, members: usize) -> Vec<Assignment> {
        let mut targets = vec![Assignment::new(); members];
        for ((topic, partition), owner) in self.places.into_iter().zip(self.owner) {
            if let Some(owner) = owner {
                targets[owner].entry(topic).or_default().insert(partition);
            }
        }
        targets
    }
}
