//! The in-sync replicas as a leader knows them: the committed set, a change in flight, and the rules by which a
//! follower joins or leaves. Never enters: positions of the high watermark's own making, messages on the wire.
//!
//! States of a change: `None -> InFlight` (proposed) `-> None` (accepted, rolled back, or newer metadata came), or
//! `InFlight -> AwaitMetadata` (refused because the controller is ahead of us) `-> None` (metadata came). While a
//! change is not settled the *maximal* set counts for the high watermark: the controller may have accepted it already.

use std::collections::BTreeSet;

use millstream_types::{ErrorCode, NodeId};

use crate::message::{AlterIsr, PartitionMeta};

/// A proposed change that is not settled.
#[derive(Clone, Debug)]
struct Pending {
    proposed: BTreeSet<NodeId>,
    request: AlterIsr,
    /// The controller knows something newer; nothing is sent until metadata brings it.
    await_metadata: bool,
}

/// The ISR of a partition that this node leads.
#[derive(Clone, Debug)]
pub(crate) struct Isr {
    committed: BTreeSet<NodeId>,
    partition_epoch: i32,
    pending: Option<Pending>,
}

/// What a refusal leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterRefusal {
    /// The committed set stands again; a new proposal may follow.
    RolledBack,
    /// Send the same request once more.
    Again(AlterIsr),
    /// Metadata will tell.
    Wait,
}

impl Isr {
    pub(crate) fn new(meta: &PartitionMeta) -> Isr {
        Isr {
            committed: meta.isr.iter().copied().collect(),
            partition_epoch: meta.partition_epoch,
            pending: None,
        }
    }

    /// The set that the controller is known to have.
    pub(crate) fn committed(&self) -> &BTreeSet<NodeId> {
        &self.committed
    }

    pub(crate) fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// Whether `node` may be in the ISR for all that is known: in the committed set, or in a proposed one.
    pub(crate) fn maybe_member(&self, node: NodeId) -> bool {
        self.committed.contains(&node) || self.pending.as_ref().is_some_and(|p| p.proposed.contains(&node))
    }

    /// Whether a proposal waits to be settled.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes up a proposal. There is at most one.
    pub(crate) fn propose(&mut self, request: AlterIsr) {
        assert!(
            self.pending.is_none(),
            "RP-2: a second ISR change was proposed before the first was settled"
        );
        let proposed = request.new_isr.iter().map(|member| member.node).collect();
        self.pending = Some(Pending { proposed, request, await_metadata: false });
    }

    /// The controller's state, from metadata or from an answer. An older one changes nothing.
    pub(crate) fn commit(&mut self, meta: &PartitionMeta) -> bool {
        let settles_refused = self.pending.as_ref().is_some_and(|p| p.await_metadata);
        if meta.partition_epoch < self.partition_epoch
            || (meta.partition_epoch == self.partition_epoch && !settles_refused)
        {
            return false;
        }
        self.committed = meta.isr.iter().copied().collect();
        self.partition_epoch = meta.partition_epoch;
        self.pending = None;
        true
    }

    /// The controller said no.
    pub(crate) fn refused(&mut self, code: ErrorCode) -> AfterRefusal {
        let Some(pending) = &mut self.pending else { return AfterRefusal::Wait };
        match code {
            // The controller did not change anything, and would not.
            ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => {
                self.pending = None;
                AfterRefusal::RolledBack
            }
            // Our view is old; what is newer is on its way.
            ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::NewLeaderElected
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId => {
                pending.await_metadata = true;
                AfterRefusal::Wait
            }
            // Whether it was applied is not known: the same request again, which names the epochs it starts from.
            _ => AfterRefusal::Again(pending.request.clone()),
        }
    }
}
