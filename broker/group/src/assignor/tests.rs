//! Both assignors against their promises, over seeded crowds that come, go and subscribe anew: every partition has
//! one reader that subscribed to it, loads are even, and nothing moves that need not.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{Rng, SeededRng, Uuid};

use super::*;

fn topic(n: u8) -> Uuid {
    Uuid([n; 16])
}

fn count(assignment: &Assignment) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}

fn check(name: &str, seed: u64, same: bool) {
    let mut rng = SeededRng::new(seed);
    let mut ids: Vec<String> = Vec::new();
    let mut held: BTreeMap<String, Assignment> = BTreeMap::new();
    for round in 0..12 {
        for _ in 0..=rng.below(3) {
            ids.push(format!("m{}", rng.next_u64() % 1_000_000));
        }
        if ids.len() > 2 && rng.chance(1, 2) {
            let gone = ids.swap_remove(rng.below(ids.len() as u64) as usize);
            held.remove(&gone);
        }
        ids.sort();
        ids.dedup();
        let partitions: BTreeMap<Uuid, i32> = (1..=3).map(|n| (topic(n), 1 + rng.below(20) as i32)).collect();
        let members: Vec<Member<'_>> = ids
            .iter()
            .map(|id| Member {
                id,
                instance_id: None,
                topics: partitions.keys().copied().filter(|_| same || rng.chance(2, 3)).collect(),
                current: held.get(id).cloned().unwrap_or_default(),
            })
            .collect();
        let targets = assign(name, &members, &partitions);
        let told = format!("{name}, seed {seed}, round {round}");
        let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
        for (i, target) in targets.iter().enumerate() {
            for (topic, ps) in target {
                assert!(members[i].topics.contains(topic), "{told}: a topic that was not subscribed");
                for p in ps {
                    assert!(
                        owners.insert((*topic, *p), i).is_none(),
                        "GR-1: {told}: two owners of {topic} {p}"
                    );
                }
            }
        }
        for (t, n) in &partitions {
            let wanted = members.iter().any(|m| m.topics.contains(t));
            for p in 0..*n {
                assert_eq!(owners.contains_key(&(*t, p)), wanted, "{told}: {t} {p}");
            }
        }
        if same && name == "uniform" {
            let loads: Vec<usize> = targets.iter().map(count).collect();
            let (low, high) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            assert!(high - low <= 1, "{told}: {loads:?}");
            let again: Vec<Member<'_>> = members
                .iter()
                .zip(&targets)
                .map(|(m, t)| Member { current: t.clone(), ..m.clone() })
                .collect();
            assert_eq!(assign(name, &again, &partitions), targets, "{told}: what was even moved");
        }
        held = ids.iter().cloned().zip(targets).collect();
    }
}

#[test]
fn every_partition_has_one_reader() {
    for seed in 0..200 {
        for name in ["uniform", "range"] {
            check(name, seed, true);
            check(name, seed, false);
        }
    }
}

#[test]
fn a_member_that_comes_takes_only_its_share() {
    let ids: Vec<String> = (0..11).map(|i| format!("m{i:02}")).collect();
    let partitions = BTreeMap::from([(topic(1), 110)]);
    let member =
        |i: usize, current| Member { id: &ids[i], topics: [topic(1)].into(), current, ..Default::default() };
    let first: Vec<Member<'_>> = (0..10).map(|i| member(i, Assignment::new())).collect();
    let before = assign("uniform", &first, &partitions);
    let second: Vec<Member<'_>> =
        (0..11).map(|i| member(i, before.get(i).cloned().unwrap_or_default())).collect();
    let after = assign("uniform", &second, &partitions);
    let moved: usize = (0..10).map(|i| before[i][&topic(1)].difference(&after[i][&topic(1)]).count()).sum();
    assert_eq!(moved, 10);
    assert_eq!(count(&after[10]), 10);
}

#[test]
fn range_gives_runs_that_agree_over_topics() {
    let partitions = BTreeMap::from([(topic(1), 7), (topic(2), 7)]);
    let topics: BTreeSet<Uuid> = partitions.keys().copied().collect();
    let members: Vec<Member<'_>> = ["b", "a", "c"]
        .iter()
        .map(|id| Member { id, topics: topics.clone(), ..Default::default() })
        .collect();
    let targets = assign("range", &members, &partitions);
    for t in &topics {
        assert_eq!(targets[1][t], BTreeSet::from([0, 1, 2]));
        assert_eq!(targets[0][t], BTreeSet::from([3, 4]));
        assert_eq!(targets[2][t], BTreeSet::from([5, 6]));
    }
}
