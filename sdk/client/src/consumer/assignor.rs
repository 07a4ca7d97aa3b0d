//! Assignment on the client, for classic groups: the leader of a group divides the partitions among its members. Owns
//! what goes between members: subscriptions and assignments in Kafka's own form, so that other clients may share the group.
//! Never enters: requests.

mod range;
mod round_robin;
mod sticky;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millstream_types::TopicPartition;
use millstream_wire::record::data::consumer_protocol_assignment::{self, ConsumerProtocolAssignment};
use millstream_wire::record::data::consumer_protocol_subscription::{self, ConsumerProtocolSubscription};
use millstream_wire::{DecodeError, EncodeError, Reader, Writer};

use crate::config::Assignor;

/// A member, as its group's leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// A static member's name: members are ordered by it where they have one, so that a restart changes nothing.
    pub(crate) instance_id: Option<String>,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) owned: BTreeSet<TopicPartition>,
    pub(crate) generation: i32,
}

impl Member {
    fn order(&self) -> (bool, &str) {
        match &self.instance_id {
            Some(instance) => (false, instance),
            None => (true, &self.id),
        }
    }
}

/// What each member gets.
pub(crate) type Assignments = BTreeMap<String, BTreeSet<TopicPartition>>;

impl Assignor {
    /// Kafka's name, as in `JoinGroup`.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members keep what they have while the group rebalances.
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }

    /// Divides the partitions of `counts` (by topic) among the members.
    pub(crate) fn assign(self, members: &mut [Member], counts: &BTreeMap<Arc<str>, i32>) -> Assignments {
        members.sort_by(|a, b| a.order().cmp(&b.order()));
        match self {
            Assignor::Range => range::assign(members, counts),
            Assignor::RoundRobin => round_robin::assign(members, counts),
            Assignor::Sticky => sticky::assign(members, counts),
            Assignor::CooperativeSticky => {
                let mut assignments = sticky::assign(members, counts);
                // What moves is left out: its owner lets go of it first, and the rebalance that follows gives it away.
                for member in members.iter() {
                    for partition in &member.owned {
                        for (other, assigned) in &mut assignments {
                            if *other != member.id {
                                assigned.remove(partition);
                            }
                        }
                    }
                }
                assignments
            }
        }
    }
}

fn all_partitions(counts: &BTreeMap<Arc<str>, i32>) -> impl Iterator<Item = TopicPartition> + '_ {
    counts.iter().flat_map(|(topic, count)| (0..*count).map(|at| TopicPartition::new(topic.clone(), at)))
}

/// A member's subscription in the form of `ConsumerProtocolSubscription` version 3. An eager sticky member says in its user
/// data what it had, since it has let go of it.
pub(crate) fn encode_subscription(
    topics: &BTreeSet<Arc<str>>,
    owned: &BTreeSet<TopicPartition>,
    had: Option<&BTreeSet<TopicPartition>>,
    generation: i32,
) -> Result<Bytes, EncodeError> {
    let owned_partitions = by_topic(owned)
        .into_iter()
        .map(|(topic, partitions)| consumer_protocol_subscription::TopicPartition {
            topic: topic.to_string(),
            partitions,
        })
        .collect();
    let user_data = had.map(|had| encode_sticky_data(had, generation)).transpose()?;
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| topic.to_string()).collect(),
        user_data,
        owned_partitions,
        generation_id: generation,
        rack_id: None,
    };
    let mut w = Writer::new();
    w.i16(3);
    subscription.encode(&mut w, 3)?;
    w.into_bytes()
}

/// A member from its subscription, of whatever version.
pub(crate) fn decode_member(
    id: String,
    instance_id: Option<String>,
    metadata: Bytes,
) -> Result<Member, DecodeError> {
    let mut r = Reader::new(metadata);
    let version = r.i16("version")?.clamp(0, 3);
    let subscription = ConsumerProtocolSubscription::decode(&mut r, version)?;
    let mut owned = BTreeSet::new();
    for topic in subscription.owned_partitions {
        let name: Arc<str> = topic.topic.into();
        owned.extend(topic.partitions.into_iter().map(|at| TopicPartition::new(name.clone(), at)));
    }
    let mut generation = subscription.generation_id;
    if let Some(data) = subscription.user_data
        && owned.is_empty()
    {
        // Other clients may put something else there: then nothing is known of what the member had.
        if let Ok((had, of)) = decode_sticky_data(data) {
            owned = had;
            generation = generation.max(of);
        }
    }
    let topics = subscription.topics.into_iter().map(Arc::from).collect();
    Ok(Member { id, instance_id, topics, owned, generation })
}

/// What an eager sticky member had (Kafka's `StickyAssignor` user data, version 1): topics with partitions, a generation.
fn encode_sticky_data(had: &BTreeSet<TopicPartition>, generation: i32) -> Result<Bytes, EncodeError> {
    let topics = by_topic(had);
    let mut w = Writer::new();
    w.array_len(false, topics.len(), "previous assignment")?;
    for (topic, partitions) in topics {
        w.string(false, topic, "topic")?;
        w.array_len(false, partitions.len(), "partitions")?;
        for partition in partitions {
            w.i32(partition);
        }
    }
    w.i32(generation);
    w.into_bytes()
}

fn decode_sticky_data(data: Bytes) -> Result<(BTreeSet<TopicPartition>, i32), DecodeError> {
    let mut r = Reader::new(data);
    let topics = r.array(false, 6, "previous assignment", 0, |r, _| {
        let topic = r.string(false, "topic")?;
        let partitions = r.array(false, 4, "partitions", 0, |r, _| r.i32("partition"))?;
        Ok((topic, partitions))
    })?;
    let generation = if r.remaining() >= 4 { r.i32("generation")? } else { -1 };
    let mut had = BTreeSet::new();
    for (topic, partitions) in topics {
        let name: Arc<str> = topic.into();
        had.extend(partitions.into_iter().map(|at| TopicPartition::new(name.clone(), at)));
    }
    Ok((had, generation))
}

/// An assignment in the form of `ConsumerProtocolAssignment` version 3.
pub(crate) fn encode_assignment(partitions: &BTreeSet<TopicPartition>) -> Result<Bytes, EncodeError> {
    let assigned_partitions = by_topic(partitions)
        .into_iter()
        .map(|(topic, partitions)| consumer_protocol_assignment::TopicPartition {
            topic: topic.to_string(),
            partitions,
        })
        .collect();
    let mut w = Writer::new();
    w.i16(3);
    ConsumerProtocolAssignment { assigned_partitions, user_data: None }.encode(&mut w, 3)?;
    w.into_bytes()
}

/// The partitions of an assignment; none where the bytes are empty, as for a member that gets nothing.
pub(crate) fn decode_assignment(bytes: Bytes) -> Result<BTreeSet<TopicPartition>, DecodeError> {
    let mut partitions = BTreeSet::new();
    if bytes.is_empty() {
        return Ok(partitions);
    }
    let mut r = Reader::new(bytes);
    let version = r.i16("version")?.clamp(0, 3);
    for topic in ConsumerProtocolAssignment::decode(&mut r, version)?.assigned_partitions {
        let name: Arc<str> = topic.topic.into();
        partitions.extend(topic.partitions.into_iter().map(|at| TopicPartition::new(name.clone(), at)));
    }
    Ok(partitions)
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> BTreeMap<&Arc<str>, Vec<i32>> {
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_types::{Rng, SeededRng};

    fn member(id: &str, topics: &[&str], owned: &[(&str, i32)]) -> Member {
        Member {
            id: id.to_owned(),
            instance_id: None,
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            owned: owned.iter().map(|(topic, at)| TopicPartition::new(*topic, *at)).collect(),
            generation: 1,
        }
    }

    fn show(assignments: &Assignments) -> String {
        let each = |(id, partitions): (&String, &BTreeSet<TopicPartition>)| {
            let list: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{id}: {}", list.join(" "))
        };
        assignments.iter().map(each).collect::<Vec<_>>().join("; ")
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
        topics.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }

    #[test]
    fn each_assignor_divides_as_kafkas_does() {
        for (assignor, topics, expected) in [
            (Assignor::Range, &[("a", 3), ("b", 3)][..], "x: a-0 a-1 b-0 b-1; y: a-2 b-2"),
            (Assignor::RoundRobin, &[("a", 3), ("b", 3)], "x: a-0 a-2 b-1; y: a-1 b-0 b-2"),
            (Assignor::Range, &[("a", 1), ("b", 0)], "x: a-0; y: "),
            (Assignor::RoundRobin, &[("a", 1)], "x: a-0; y: "),
        ] {
            let mut members = vec![member("y", &["a", "b"], &[]), member("x", &["a", "b"], &[])];
            let assignments = assignor.assign(&mut members, &counts(topics));
            assert_eq!(show(&assignments), expected, "{assignor:?}");
        }
    }

    #[test]
    fn cooperative_leaves_out_what_moves() {
        let owned: &[(&str, i32)] = &[("a", 0), ("a", 1), ("a", 2), ("a", 3)];
        let mut members = vec![member("x", &["a"], owned), member("y", &["a"], &[])];
        let first = Assignor::CooperativeSticky.assign(&mut members, &counts(&[("a", 4)]));
        assert_eq!(first["x"].len(), 2);
        assert!(first["y"].is_empty());
        members[0].owned = first["x"].clone();
        let second = Assignor::CooperativeSticky.assign(&mut members, &counts(&[("a", 4)]));
        assert_eq!((second["x"].len(), second["y"].len()), (2, 2));
        assert_eq!(second["x"], first["x"]);
    }

    #[test]
    fn every_assignor_gives_each_partition_to_one_subscriber_and_sticky_ones_stay_put() {
        let mut rng = SeededRng::new(11);
        for round in 0..150 {
            let topics: Vec<String> = (0..1 + rng.below(4)).map(|i| format!("t{i}")).collect();
            let counts: BTreeMap<Arc<str>, i32> =
                topics.iter().map(|topic| (Arc::from(topic.as_str()), rng.below(20) as i32)).collect();
            let uniform = rng.chance(1, 2);
            let mut members: Vec<Member> = (0..1 + rng.below(12))
                .map(|i| {
                    let chosen: Vec<&str> =
                        topics.iter().filter(|_| uniform || rng.chance(2, 3)).map(String::as_str).collect();
                    member(&format!("m{i:02}"), &chosen, &[])
                })
                .collect();
            for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky] {
                let assignments = assignor.assign(&mut members, &counts);
                let mut seen = BTreeSet::new();
                for member in &members {
                    for partition in &assignments[&member.id] {
                        assert!(member.topics.contains(&partition.topic), "{round} {assignor:?}");
                        assert!(seen.insert(partition.clone()), "{round} {assignor:?}: {partition} twice");
                    }
                }
                let wanted: usize = all_partitions(&counts)
                    .filter(|partition| members.iter().any(|member| member.topics.contains(&partition.topic)))
                    .count();
                assert_eq!(seen.len(), wanted, "{round} {assignor:?}");
                let sizes: Vec<usize> = assignments.values().map(BTreeSet::len).collect();
                let spread = sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
                if uniform && assignor != Assignor::Range {
                    assert!(spread <= 1, "{round} {assignor:?}: {sizes:?}");
                }
                if assignor == Assignor::Sticky {
                    for member in &mut members {
                        member.owned = assignments[&member.id].clone();
                    }
                    assert_eq!(assignor.assign(&mut members, &counts), assignments, "{round}: it moved");
                    // One leaves: the others keep all they had.
                    if members.len() > 1 && uniform {
                        let gone = members.pop().unwrap();
                        let after = assignor.assign(&mut members, &counts);
                        for member in &members {
                            assert!(after[&member.id].is_superset(&member.owned), "{round}: {}", member.id);
                        }
                        members.push(gone);
                    }
                    for member in &mut members {
                        member.owned.clear();
                    }
                }
            }
        }
    }

    #[test]
    fn subscriptions_and_assignments_come_back() {
        let topics: BTreeSet<Arc<str>> = [Arc::from("a"), Arc::from("b")].into();
        let owned: BTreeSet<TopicPartition> =
            [TopicPartition::new("a", 3), TopicPartition::new("b", 0)].into();
        let bytes = encode_subscription(&topics, &owned, None, 7).unwrap();
        let member = decode_member("m".to_owned(), None, bytes).unwrap();
        assert_eq!((member.topics, member.owned, member.generation), (topics.clone(), owned.clone(), 7));
        // Eager: owned is empty, and what was had is in the user data.
        let bytes = encode_subscription(&topics, &BTreeSet::new(), Some(&owned), 8).unwrap();
        let member = decode_member("m".to_owned(), None, bytes).unwrap();
        assert_eq!((member.owned, member.generation), (owned.clone(), 8));
        assert_eq!(decode_assignment(encode_assignment(&owned).unwrap()).unwrap(), owned);
        assert!(decode_assignment(Bytes::new()).unwrap().is_empty());
        assert!(decode_assignment(Bytes::from_static(&[0])).is_err());
    }
}
