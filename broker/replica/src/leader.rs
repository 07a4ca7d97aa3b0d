//! A leader's side of one partition: where each follower is, what follows for the high watermark, and who should be
//! in the ISR. Brings a *candidate* for the high watermark; `watermark.rs` alone writes it. Keeps RP-2's minimum and
//! RP-4's epoch start. Never enters: records, the log's own ends (they come in with each call).

use std::collections::BTreeMap;

use millstream_types::{LeaderEpoch, Millis, NodeId, Offset};

use crate::invariant;
use crate::isr::Isr;
use crate::message::{
    AlterIsr, BrokerStanding, FlushMode, FollowerFetch, IsrMember, LeaderRecovery, LogEnds, PartitionMeta,
    ReplicaConfig,
};
use crate::planted::{Bug, planted};

/// What the leader knows of a follower.
#[derive(Clone, Copy, Debug)]
struct FollowerState {
    /// Its end: all before is in its log (flushed, under `before_ack`). `None` until it has fetched in this epoch.
    end: Option<Offset>,
    /// When it was last level with the leader; `None` for never in this epoch.
    caught_up_ms: Option<Millis>,
    /// Its last fetch, and where the leader's log ended then.
    last_fetch: Option<(Millis, Offset)>,
    /// The broker epoch of its last fetch.
    fetch_broker_epoch: i64,
    /// What the metadata says of it; `None` until told, which counts as in service.
    standing: Option<BrokerStanding>,
}

/// The leader's state for one leader epoch.
#[derive(Clone, Debug)]
pub struct Leader {
    epoch: LeaderEpoch,
    epoch_start: Offset,
    replicas: Vec<NodeId>,
    pub(crate) isr: Isr,
    recovery: LeaderRecovery,
    followers: BTreeMap<NodeId, FollowerState>,
}

impl Leader {
    /// Begins an epoch at `epoch_start`, the log end. Nothing that followers said in an earlier epoch counts.
    pub(crate) fn new(me: NodeId, now: Millis, meta: &PartitionMeta, epoch_start: Offset) -> Leader {
        let mut leader = Leader {
            epoch: meta.leader_epoch,
            epoch_start,
            replicas: Vec::new(),
            isr: Isr::new(meta),
            recovery: meta.leader_recovery,
            followers: BTreeMap::new(),
        };
        leader.set_replicas(me, now, meta);
        leader
    }

    /// The leader epoch.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The log end when the epoch began (RP-4).
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// The in-sync replicas that the controller is known to have, ascending.
    pub fn isr(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.isr.committed().iter().copied()
    }

    /// The partition epoch that the next change starts from.
    pub fn partition_epoch(&self) -> i32 {
        self.isr.partition_epoch()
    }

    /// A follower's end as of its last fetch in this epoch, and when it was last level (for DescribeQuorum-like
    /// views and metrics).
    pub fn follower(&self, node: NodeId) -> Option<(Option<Offset>, Option<Millis>)> {
        self.followers.get(&node).map(|state| (state.end, state.caught_up_ms))
    }

    /// Newer metadata of the same leader epoch.
    pub(crate) fn update(&mut self, me: NodeId, now: Millis, meta: &PartitionMeta) -> bool {
        if !self.isr.commit(meta) {
            return false;
        }
        self.recovery = meta.leader_recovery;
        self.set_replicas(me, now, meta);
        true
    }

    fn set_replicas(&mut self, me: NodeId, now: Millis, meta: &PartitionMeta) {
        self.replicas.clone_from(&meta.replicas);
        self.followers.retain(|node, _| meta.replicas.contains(node));
        for node in meta.replicas.iter().filter(|node| **node != me) {
            self.followers.entry(*node).or_insert(FollowerState {
                end: None,
                // A member of the ISR gets its lag time from the start of the epoch.
                caught_up_ms: meta.isr.contains(node).then_some(now),
                last_fetch: None,
                fetch_broker_epoch: -1,
                standing: None,
            });
        }
    }

    /// How many in-sync replicas `acks=all` needs here.
    pub(crate) fn effective_min_isr(&self, config: &ReplicaConfig) -> usize {
        config.min_insync_replicas.min(self.replicas.len()).max(1)
    }

    /// Whether the committed ISR is too small for `acks=all` and for the high watermark.
    pub(crate) fn under_min_isr(&self, config: &ReplicaConfig) -> bool {
        self.isr.committed().len() < self.effective_min_isr(config)
    }

    pub(crate) fn set_standing(&mut self, node: NodeId, standing: BrokerStanding) {
        if let Some(state) = self.followers.get_mut(&node) {
            state.standing = Some(standing);
        }
    }

    /// Whether `node` is a follower here, and its fetch not a zombie's.
    pub(crate) fn knows(&self, fetch: &FollowerFetch) -> bool {
        self.followers.get(&fetch.replica).is_some_and(|state| {
            fetch.broker_epoch == -1 || state.standing.is_none_or(|s| fetch.broker_epoch >= s.broker_epoch)
        })
    }

    /// Records a fetch that agreed with the leader's epochs.
    pub(crate) fn fetched(&mut self, now: Millis, fetch: &FollowerFetch, log_end: Offset) {
        let Some(state) = self.followers.get_mut(&fetch.replica) else { return };
        if fetch.fetch_offset >= log_end {
            state.caught_up_ms = state.caught_up_ms.max(Some(now));
        } else if let Some((then, end_then)) = state.last_fetch
            && fetch.fetch_offset >= end_then
        {
            state.caught_up_ms = state.caught_up_ms.max(Some(then));
        }
        state.end = Some(fetch.fetch_offset);
        state.last_fetch = Some((now, log_end));
        state.fetch_broker_epoch = fetch.broker_epoch;
    }

    fn caught_up(state: &FollowerState, now: Millis, log_end: Offset, config: &ReplicaConfig) -> bool {
        state.end == Some(log_end)
            || state.caught_up_ms.is_some_and(|then| now - then <= config.replica_lag_time_max_ms)
    }

    fn eligible(state: &FollowerState) -> bool {
        state.standing.is_none_or(|s| {
            s.in_service && (state.fetch_broker_epoch == -1 || state.fetch_broker_epoch == s.broker_epoch)
        })
    }

    fn own_end(ends: &LogEnds, config: &ReplicaConfig) -> Offset {
        match config.flush_mode {
            FlushMode::BeforeAck => ends.flushed_end,
            FlushMode::Interval => ends.log_end,
        }
    }

    /// The smallest end over the maximal ISR (RP-2), and over followers that are level and about to join it, or the
    /// high watermark would run ahead of them for ever. `None` holds it: the ISR is below its minimum (KIP-966), or a
    /// member has not fetched yet in this epoch.
    pub(crate) fn candidate(&self, now: Millis, ends: &LogEnds, config: &ReplicaConfig) -> Option<Offset> {
        if self.under_min_isr(config) && !planted(Bug::AckBeforeMinIsr) {
            return None;
        }
        let mut candidate = Self::own_end(ends, config);
        if planted(Bug::HighWatermarkFromOneFollower) {
            let furthest = self.followers.values().filter_map(|state| state.end).max()?;
            return Some(candidate.min(furthest));
        }
        for (node, state) in &self.followers {
            if self.isr.maybe_member(*node) {
                candidate = candidate.min(state.end?);
            } else if let Some(end) = state.end
                && Self::caught_up(state, now, ends.log_end, config)
                && Self::eligible(state)
            {
                candidate = candidate.min(end);
            }
        }
        Some(candidate)
    }

    /// RP-2 over the members as they stand, after the high watermark rose to `high_watermark`.
    pub(crate) fn check_members(&self, high_watermark: Offset, ends: &LogEnds, config: &ReplicaConfig) {
        invariant::high_watermark_below(high_watermark, Self::own_end(ends, config), -1);
        for node in self.isr.committed() {
            if let Some(end) = self.followers.get(node).and_then(|state| state.end) {
                invariant::high_watermark_below(high_watermark, end, node.0);
            }
        }
    }

    /// Followers that have been behind for too long leave the ISR.
    pub(crate) fn shrink(
        &mut self,
        me: NodeId,
        now: Millis,
        ends: &LogEnds,
        config: &ReplicaConfig,
    ) -> Option<AlterIsr> {
        if self.isr.is_pending() {
            return None;
        }
        let stays = |node: &NodeId| {
            *node == me
                || self.followers.get(node).is_some_and(|s| Self::caught_up(s, now, ends.log_end, config))
        };
        let staying: Vec<NodeId> = self.isr.committed().iter().copied().filter(stays).collect();
        (staying.len() < self.isr.committed().len()).then(|| self.propose(staying))
    }

    /// A follower that has all that is committed, and this epoch's start, joins the ISR.
    pub(crate) fn expand(&mut self, node: NodeId, high_watermark: Offset) -> Option<AlterIsr> {
        if self.isr.is_pending() || self.isr.committed().contains(&node) {
            return None;
        }
        let state = self.followers.get(&node)?;
        let level = state.end.is_some_and(|end| end >= high_watermark && end >= self.epoch_start);
        if !level || !Self::eligible(state) || self.recovery == LeaderRecovery::Recovering {
            return None;
        }
        let mut members: Vec<NodeId> = self.isr.committed().iter().copied().collect();
        members.push(node);
        members.sort_unstable();
        Some(self.propose(members))
    }

    /// After an unclean election: tell the controller that the loss is dealt with.
    pub(crate) fn recovered(&mut self) -> Option<AlterIsr> {
        if self.isr.is_pending() || self.recovery == LeaderRecovery::Recovered {
            return None;
        }
        let members = self.isr.committed().iter().copied().collect();
        Some(self.propose(members))
    }

    fn propose(&mut self, members: Vec<NodeId>) -> AlterIsr {
        let request = AlterIsr {
            leader_epoch: self.epoch,
            partition_epoch: self.isr.partition_epoch(),
            new_isr: members
                .into_iter()
                .map(|node| IsrMember {
                    node,
                    broker_epoch: self.followers.get(&node).map_or(-1, |state| state.fetch_broker_epoch),
                })
                .collect(),
            leader_recovery: LeaderRecovery::Recovered,
        };
        self.isr.propose(request.clone());
        request
    }

    /// When [`Self::shrink`] can next find someone: the earliest end of a member's lag time.
    pub(crate) fn next_deadline(&self, config: &ReplicaConfig) -> Option<Millis> {
        self.isr
            .committed()
            .iter()
            .filter_map(|node| self.followers.get(node))
            .map(|state| state.caught_up_ms.map_or(0, |then| then + config.replica_lag_time_max_ms + 1))
            .min()
    }
}
