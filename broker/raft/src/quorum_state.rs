//! What a member remembers through a crash, as Kafka's `quorum-state` (version 1 of QuorumStateData, a JSON object
//! with `data_version`; the shell writes the JSON). Never enters: files.

use millstream_types::NodeId;
use millstream_wire::record::data::QuorumStateData;

use crate::message::{Election, ReplicaKey};

impl From<&Election> for QuorumStateData {
    fn from(election: &Election) -> QuorumStateData {
        QuorumStateData {
            leader_id: election.leader.unwrap_or(NodeId::NONE).0,
            leader_epoch: election.epoch,
            voted_id: election.voted.map_or(NodeId::NONE, |key| key.id).0,
            voted_directory_id: election.voted.map(|key| key.directory_id).unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl From<&QuorumStateData> for Election {
    fn from(data: &QuorumStateData) -> Election {
        let node = |id: i32| (id >= 0).then_some(NodeId(id));
        Election {
            epoch: data.leader_epoch.max(0),
            leader: node(data.leader_id),
            voted: node(data.voted_id).map(|id| ReplicaKey { id, directory_id: data.voted_directory_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_comes_back_from_its_data() {
        let voted = Some(ReplicaKey { id: NodeId(3), directory_id: millstream_types::Uuid([9; 16]) });
        for election in [Election::default(), Election { epoch: 7, leader: Some(NodeId(1)), voted }] {
            assert_eq!(Election::from(&QuorumStateData::from(&election)), election);
        }
    }
}
