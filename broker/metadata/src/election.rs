//! Who leads a partition after a change, and what becomes of its ISR and its eligible leader replicas (KIP-966).
//! Gives a PartitionChangeRecord, or nothing if all stays. An order of choice, first to last: the leader it has, a
//! member of the ISR, an eligible leader replica, the last known leader if nobody else is known to have what was
//! committed, and, only where the topic allows it, any replica that is up. Never enters: when to look.

use millstream_types::{NodeId, Uuid};
use millstream_wire::record::metadata::PartitionChangeRecord;

use crate::delta::NO_LEADER_CHANGE;
use crate::image::PartitionImage;
use crate::snapshot::{ids, leader_id};

/// How hard to look for a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// Keep the leader if it can lead.
    Online,
    /// Take the first replica of the list if it can lead without loss.
    Preferred,
    /// As `Online`, and any replica that is up if there is no other way.
    Unclean,
}

/// What a change needs to know. Set the targets, then [`PartitionChange::build`].
pub(crate) struct PartitionChange<'a> {
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) image: &'a PartitionImage,
    /// Whether a broker may lead now.
    pub(crate) may_lead: &'a dyn Fn(NodeId) -> bool,
    pub(crate) election: Election,
    pub(crate) min_isr: usize,
    pub(crate) elr_enabled: bool,
    /// The ISR that is wished for.
    pub(crate) target_isr: Vec<NodeId>,
    /// A replica that came back without what it had not flushed.
    pub(crate) unclean_shutdown: Option<NodeId>,
    /// The leader has said that it has recovered.
    pub(crate) recovered: bool,
}

struct Choice {
    leader: Option<NodeId>,
    unclean: bool,
}

impl PartitionChange<'_> {
    fn choose(&self, isr: &[NodeId], elr: &[NodeId]) -> Choice {
        let clean = |node: &NodeId| (isr.contains(node) || elr.contains(node)) && (self.may_lead)(*node);
        let replicas = &self.image.replicas;
        if self.election == Election::Preferred
            && let Some(preferred) = replicas.first()
            && clean(preferred)
        {
            return Choice { leader: Some(*preferred), unclean: false };
        }
        if let Some(leader) = self.image.leader
            && clean(&leader)
        {
            return Choice { leader: Some(leader), unclean: false };
        }
        let in_isr = replicas.iter().find(|node| isr.contains(node) && (self.may_lead)(**node));
        if let Some(leader) = in_isr.or_else(|| replicas.iter().find(|node| clean(node))) {
            return Choice { leader: Some(*leader), unclean: false };
        }
        // Nobody is known to have all, but the last leader had whatever was committed when it went.
        if self.elr_enabled
            && isr.is_empty()
            && elr.is_empty()
            && let [last] = self.image.last_known_elr[..]
            && (self.may_lead)(last)
        {
            return Choice { leader: Some(last), unclean: true };
        }
        let any = replicas.iter().find(|node| (self.may_lead)(**node));
        match any {
            Some(leader) if self.election == Election::Unclean => {
                Choice { leader: Some(*leader), unclean: true }
            }
            _ => Choice { leader: None, unclean: false },
        }
    }

    /// The replicas that are electable though not in the ISR: once they were, and nothing was committed since
    /// without them, because the ISR is below its minimum.
    fn elr(&self, isr: &[NodeId]) -> Vec<NodeId> {
        if !self.elr_enabled || isr.len() >= self.min_isr.min(self.image.replicas.len()) {
            return Vec::new();
        }
        let was = |node: &&NodeId| {
            (self.image.eligible_leader_replicas.contains(node) || self.image.isr.contains(node))
                && !isr.contains(node)
                // An only replica has no other that could know more.
                && (self.unclean_shutdown != Some(**node) || self.image.replicas.len() == 1)
        };
        self.image.replicas.iter().filter(was).copied().collect()
    }

    /// The change, if there is any.
    pub(crate) fn build(mut self) -> Option<PartitionChangeRecord> {
        let old = self.image;
        let mut isr = std::mem::take(&mut self.target_isr);
        if isr.is_empty() && !self.elr_enabled {
            // Without eligible leader replicas the ISR keeps its last members, or nobody could ever lead again.
            isr.clone_from(&old.isr);
        }
        let mut elr = self.elr(&isr);
        let choice = self.choose(&isr, &elr);
        let mut record = PartitionChangeRecord {
            partition_id: self.partition,
            topic_id: self.topic_id,
            leader: NO_LEADER_CHANGE,
            leader_recovery_state: -1,
            ..Default::default()
        };
        if let Some(leader) = choice.leader
            && !isr.contains(&leader)
        {
            // From the eligible ones, or uncleanly: it alone is in sync with itself.
            if choice.unclean {
                isr = vec![leader];
                elr.clear();
            } else {
                isr.push(leader);
                elr.retain(|node| *node != leader);
            }
        }
        if choice.leader != old.leader {
            record.leader = leader_id(choice.leader);
        }
        if choice.unclean && !old.recovering {
            record.leader_recovery_state = 1;
        } else if self.recovered && old.recovering && !choice.unclean {
            record.leader_recovery_state = 0;
        }
        let mut last_known = old.last_known_elr.clone();
        if choice.leader.is_some() {
            last_known.clear();
        } else if self.elr_enabled
            && isr.is_empty()
            && let Some(leader) = old.leader
        {
            last_known = vec![leader];
        }
        let same = |a: &[NodeId], b: &[NodeId]| a.len() == b.len() && a.iter().all(|node| b.contains(node));
        if !same(&isr, &old.isr) {
            record.isr = Some(ids(&isr));
        }
        if !same(&elr, &old.eligible_leader_replicas) {
            record.eligible_leader_replicas = Some(ids(&elr));
        }
        if last_known != old.last_known_elr {
            record.last_known_elr = Some(ids(&last_known));
        }
        let unchanged = record.leader == NO_LEADER_CHANGE
            && record.leader_recovery_state == -1
            && record.isr.is_none()
            && record.eligible_leader_replicas.is_none()
            && record.last_known_elr.is_none();
        (!unchanged).then_some(record)
    }
}
