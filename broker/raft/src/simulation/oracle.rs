//! What must hold over all nodes, whatever each of them believes. Never enters: the nodes' own asserts.

use std::collections::BTreeMap;

use millstream_types::{LeaderEpoch, Offset};

use crate::simulation::node::{Entry, Node};
use crate::*;

#[derive(Default)]
pub(super) struct Oracle {
    leaders: BTreeMap<LeaderEpoch, usize>,
    committed: Vec<Entry>,
    /// Up to where each node's committed records have been compared.
    seen: BTreeMap<usize, Offset>,
}

impl Oracle {
    pub(super) fn committed_len(&self) -> usize {
        self.committed.len()
    }

    pub(super) fn leads(&mut self, epoch: LeaderEpoch, node: usize) {
        let old = self.leaders.insert(epoch, node);
        assert!(old.is_none(), "RA-1: node {node} leads epoch {epoch}, and so did {old:?}");
    }

    pub(super) fn persisted(&self, node: usize, old: Election, new: Election) {
        assert!(new.epoch >= old.epoch, "RA-2: node {node} persists epoch {} after {}", new.epoch, old.epoch);
        let changed = new.epoch == old.epoch && old.voted.is_some() && new.voted != old.voted;
        assert!(!changed, "RA-4: node {node} votes twice in epoch {}: {old:?}, {new:?}", new.epoch);
    }

    pub(super) fn restarted(&mut self, at: usize, node: &Node) {
        let seen = self.seen.entry(at).or_insert(0);
        *seen = (*seen).min(node.log_start);
    }

    pub(super) fn committed(&mut self, at: usize, node: &Node, high_watermark: Offset) {
        let seen = self.seen.entry(at).or_insert(0);
        for offset in *seen..high_watermark {
            let entry = node
                .entry(offset)
                .unwrap_or_else(|| panic!("RA-3: node {at} has committed nothing at {offset}"));
            match self.committed.get(offset as usize) {
                Some(first) => {
                    assert_eq!(first, entry, "RA-3: node {at} commits another record at offset {offset}");
                }
                None => self.committed.push(entry.clone()),
            }
        }
        *seen = high_watermark;
    }

    pub(super) fn serves(&self, epoch: LeaderEpoch, high_watermark: Offset) {
        let committed = self.committed.len() as Offset;
        assert!(
            high_watermark >= committed,
            "RP-4: the leader of epoch {epoch} serves up to {high_watermark}, committed is {committed}"
        );
    }

    /// Log matching: where two logs have a record of one epoch at one offset, they are the same up to there.
    pub(super) fn logs_match(&self, nodes: &[Node]) {
        for (at, a) in nodes.iter().enumerate() {
            for b in &nodes[at + 1..] {
                let from = a.log_start.max(b.log_start);
                let both = from..a.log_end().min(b.log_end());
                let same_epoch = |o: &Offset| a.entry(*o).map(|e| e.epoch) == b.entry(*o).map(|e| e.epoch);
                let Some(last) = both.clone().rev().find(same_epoch) else { continue };
                for offset in from..=last {
                    assert!(
                        a.entry(offset) == b.entry(offset),
                        "log matching: offset {offset} differs below {last}"
                    );
                }
            }
        }
    }
}
