//! The simulation's controller: it keeps the partition's metadata, fences brokers, elects from the ISR, and answers
//! AlterPartition by the epochs. Never enters: the network, the nodes' logs.

use millstream_types::{ErrorCode, Millis, NodeId, Rng};

use super::{Event, World, index, node_id};
use crate::{AlterIsr, AlterIsrAnswer, BrokerStanding, IsrMember};

impl World {
    /// The controller tells all nodes the metadata; each hears it at its own time.
    pub(super) fn publish(&mut self) {
        let standings: Vec<BrokerStanding> = (0..3)
            .map(|at| BrokerStanding {
                broker_epoch: self.nodes[at].broker_epoch,
                in_service: !self.fenced.contains(&at),
            })
            .collect();
        let leader = self.meta.leader;
        self.meta.leader_broker_epoch =
            if leader == NodeId::NONE { -1 } else { self.nodes[index(leader)].broker_epoch };
        self.seq += 1;
        let version = self.seq;
        for to in 0..3 {
            let delay = 1 + self.rng.below(if self.faults { 60 } else { 5 }) as Millis;
            self.after(
                delay,
                Event::Meta { to, version, meta: self.meta.clone(), standings: standings.clone() },
            );
        }
    }

    pub(super) fn elect(&mut self) {
        let alive = |node: &NodeId| !self.fenced.contains(&index(*node));
        self.meta.leader = self.meta.isr.iter().copied().find(alive).unwrap_or(NodeId::NONE);
        self.meta.leader_epoch += 1;
    }

    pub(super) fn fence(&mut self, node: usize) {
        self.fenced.insert(node);
        let id = node_id(node);
        if self.meta.isr.contains(&id) && self.meta.isr.len() > 1 {
            self.meta.isr.retain(|member| *member != id);
        }
        if self.meta.leader == id {
            self.elect();
        }
        self.meta.partition_epoch += 1;
        self.publish();
    }

    pub(super) fn unfence(&mut self, node: usize) {
        self.fenced.remove(&node);
        if self.meta.leader == NodeId::NONE {
            self.elect();
            self.meta.partition_epoch += 1;
        }
        self.publish();
    }

    pub(super) fn alter(&mut self, from: usize, broker_epoch: i64, alter: &AlterIsr) -> AlterIsrAnswer {
        if self.meta.leader != node_id(from) || alter.leader_epoch != self.meta.leader_epoch {
            return AlterIsrAnswer::Refused(ErrorCode::FencedLeaderEpoch);
        }
        if broker_epoch != self.nodes[from].broker_epoch {
            return AlterIsrAnswer::Refused(ErrorCode::StaleBrokerEpoch);
        }
        if alter.partition_epoch != self.meta.partition_epoch {
            return AlterIsrAnswer::Refused(ErrorCode::InvalidUpdateVersion);
        }
        let bad = |m: &IsrMember| {
            let at = index(m.node);
            self.fenced.contains(&at)
                || (m.broker_epoch != -1 && m.broker_epoch != self.nodes[at].broker_epoch)
        };
        if alter.new_isr.iter().any(bad) {
            return AlterIsrAnswer::Refused(ErrorCode::IneligibleReplica);
        }
        let shrinks = alter.new_isr.len() < self.meta.isr.len();
        self.mark(if shrinks { "isr shrank" } else { "isr grew" });
        self.meta.isr = alter.new_isr.iter().map(|m| m.node).collect();
        self.meta.partition_epoch += 1;
        self.publish();
        AlterIsrAnswer::Accepted(self.meta.clone())
    }
}
