//! The voters: who they are, what a majority of them is, and how the set is written. A change of the set at run
//! time (KIP-853's AddRaftVoter and RemoveRaftVoter) is not decided here yet; votes, records and messages name a
//! replica by node and directory, as it will need. Never enters: addresses in use (the shell's).

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{NodeId, Offset, Uuid};
use millstream_wire::record::data::VotersRecord;
use millstream_wire::record::data::voters_record;

use crate::message::ReplicaKey;

/// Where a voter listens: the listener's name, host and port.
pub type VoterEndpoint = (String, String, u16);

/// A voter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Voter {
    /// Its directory, [`Uuid::ZERO`] where a static set does not say.
    pub directory_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<VoterEndpoint>,
}

/// The set of voters, never empty in a running quorum.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VoterSet(BTreeMap<NodeId, Voter>);

impl VoterSet {
    /// A set of these.
    pub fn new(voters: impl IntoIterator<Item = (NodeId, Voter)>) -> VoterSet {
        VoterSet(voters.into_iter().collect())
    }

    /// A static set that knows ids alone.
    pub fn of_ids(ids: impl IntoIterator<Item = i32>) -> VoterSet {
        VoterSet::new(ids.into_iter().map(|id| (NodeId(id), Voter::default())))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many make a majority.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// The voters' ids, ascending.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.keys().copied()
    }

    /// A voter by id.
    pub fn get(&self, id: NodeId) -> Option<&Voter> {
        self.0.get(&id)
    }

    /// Whether this replica is a voter; a directory that either side does not know is not compared.
    pub fn contains(&self, key: ReplicaKey) -> bool {
        self.0.get(&key.id).is_some_and(|voter| {
            voter.directory_id.is_zero()
                || key.directory_id.is_zero()
                || voter.directory_id == key.directory_id
        })
    }

    /// A voter as a key.
    pub fn key(&self, id: NodeId) -> ReplicaKey {
        ReplicaKey { id, directory_id: self.0.get(&id).map_or(Uuid::ZERO, |voter| voter.directory_id) }
    }

    /// Whether these are a majority.
    pub fn is_majority(&self, ids: &BTreeSet<NodeId>) -> bool {
        ids.iter().filter(|id| self.0.contains_key(id)).count() >= self.majority()
    }

    /// The offset that a majority has reached, given each voter's end; a voter without one has nothing.
    pub(crate) fn majority_offset(&self, mut end: impl FnMut(NodeId) -> Option<Offset>) -> Offset {
        let mut ends: Vec<Offset> = self.ids().map(|id| end(id).unwrap_or(-1)).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(self.majority() - 1).copied().unwrap_or(-1)
    }

    /// As the control record of the metadata log (KIP-853).
    pub fn to_record(&self) -> VotersRecord {
        let voters = self.0.iter().map(|(id, voter)| voters_record::Voter {
            voter_id: id.0,
            voter_directory_id: voter.directory_id,
            endpoints: voter
                .endpoints
                .iter()
                .map(|(name, host, port)| voters_record::Endpoint {
                    name: name.clone(),
                    host: host.clone(),
                    port: *port,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        VotersRecord { version: 0, voters: voters.collect(), ..Default::default() }
    }

    /// From the control record.
    pub fn from_record(record: &VotersRecord) -> VoterSet {
        VoterSet::new(record.voters.iter().map(|voter| {
            let endpoints =
                voter.endpoints.iter().map(|e| (e.name.clone(), e.host.clone(), e.port)).collect();
            (NodeId(voter.voter_id), Voter { directory_id: voter.voter_directory_id, endpoints })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_more_than_half() {
        let five = VoterSet::of_ids(1..=5);
        assert_eq!(
            (VoterSet::of_ids([1]).majority(), VoterSet::of_ids(1..=4).majority(), five.majority()),
            (1, 3, 3)
        );
        assert!(five.is_majority(&[1, 2, 5].map(NodeId).into()));
        assert!(!five.is_majority(&[1, 2, 9].map(NodeId).into()));
        let ends = [(1, 10), (2, 7), (3, 9)];
        let end = |id: NodeId| ends.iter().find(|(node, _)| *node == id.0).map(|(_, end)| *end);
        assert_eq!(five.majority_offset(end), 7);
    }

    #[test]
    fn a_set_comes_back_from_its_record() {
        let voter = Voter { directory_id: Uuid([7; 16]), endpoints: vec![("C".into(), "h".into(), 9093)] };
        let set = VoterSet::new([(NodeId(1), voter), (NodeId(2), Voter::default())]);
        assert_eq!(VoterSet::from_record(&set.to_record()), set);
    }
}
