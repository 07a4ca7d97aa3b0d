//! What both group protocols share: the subscription, the member's identity, and the hand-over of a new assignment to the
//! application. A task of its own speaks with the coordinator (`next_gen`, `classic`), so that heartbeats do not depend on
//! polling; what changes for the application happens within its polls, and only then is told to the coordinator.
//! Owns: CL-5, a partition is given up to the group only after the application has let go of it.
//! Never enters: requests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{ClientError, Result};

/// What a consumer wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    Topics(BTreeSet<Arc<str>>),
    /// A regular expression, evaluated by the broker (KIP-848).
    Regex(Arc<str>),
}

/// Who a consumer is in its group; what a transaction needs to commit positions for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: Arc<str>,
    /// The member's epoch (KIP-848) or the group's generation (classic); -1 outside of it.
    pub epoch: i32,
    /// The member's id; empty outside of the group.
    pub member_id: Arc<str>,
    /// The static member's name.
    pub instance_id: Option<Arc<str>>,
}

/// An assignment that the application has not seen yet.
#[derive(Clone, Debug)]
pub(crate) struct Reconcile {
    pub(crate) target: BTreeSet<TopicPartition>,
    /// Whether the partitions are already somebody else's: nothing can be committed for them.
    pub(crate) lost: bool,
}

#[derive(Debug)]
struct State {
    subscription: Option<Subscription>,
    member_id: Arc<str>,
    epoch: i32,
    owned: BTreeSet<TopicPartition>,
    pending: Option<Reconcile>,
    last_poll: Instant,
    error: Option<ClientError>,
    closing: bool,
}

/// The member, as its task and its polls see it.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) group_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    poll_interval_max: Duration,
    state: Mutex<State>,
    /// Wakes the task: a subscription, an acknowledgement, a poll after a pause, the end.
    pub(crate) wake: Notify,
    /// Wakes the poll.
    pub(crate) changed: Notify,
}

impl Membership {
    pub(crate) fn new(
        group_id: Arc<str>,
        instance_id: Option<Arc<str>>,
        poll_interval_max: Duration,
    ) -> Membership {
        let state = State {
            subscription: None,
            member_id: "".into(),
            epoch: -1,
            owned: BTreeSet::new(),
            pending: None,
            last_poll: Instant::now(),
            error: None,
            closing: false,
        };
        Membership {
            group_id,
            instance_id,
            poll_interval_max,
            state: Mutex::new(state),
            wake: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn metadata(&self) -> GroupMetadata {
        let state = self.state.lock();
        GroupMetadata {
            group_id: self.group_id.clone(),
            epoch: state.epoch,
            member_id: if state.epoch >= 0 { state.member_id.clone() } else { "".into() },
            instance_id: self.instance_id.clone(),
        }
    }

    pub(crate) fn subscription(&self) -> Option<Subscription> {
        self.state.lock().subscription.clone()
    }

    pub(crate) fn subscribe(&self, subscription: Option<Subscription>) {
        let mut state = self.state.lock();
        state.subscription = subscription;
        state.last_poll = Instant::now();
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn set_member(&self, member_id: Arc<str>, epoch: i32) {
        let mut state = self.state.lock();
        state.member_id = member_id;
        state.epoch = epoch;
    }

    pub(crate) fn member_id(&self) -> Arc<str> {
        self.state.lock().member_id.clone()
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.state.lock().epoch
    }

    pub(crate) fn owned(&self) -> BTreeSet<TopicPartition> {
        self.state.lock().owned.clone()
    }

    pub(crate) fn polled(&self) {
        let mut state = self.state.lock();
        let late = state.last_poll.elapsed() > self.poll_interval_max;
        state.last_poll = Instant::now();
        drop(state);
        if late {
            self.wake.notify_one();
        }
    }

    /// When the member leaves if it is not polled before.
    pub(crate) fn poll_deadline(&self) -> Instant {
        self.state.lock().last_poll + self.poll_interval_max
    }

    pub(crate) fn is_late(&self) -> bool {
        self.poll_deadline() <= Instant::now()
    }

    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    pub(crate) fn fail(&self, error: ClientError) {
        self.state.lock().error.get_or_insert(error);
        self.changed.notify_one();
    }

    pub(crate) fn take_error(&self) -> Result<()> {
        self.state.lock().error.take().map_or(Ok(()), Err)
    }

    /// Hands an assignment to the next poll.
    pub(crate) fn reconcile(&self, target: BTreeSet<TopicPartition>, lost: bool) {
        let mut state = self.state.lock();
        if target == state.owned && (!lost || target.is_empty()) {
            state.pending = None;
            return;
        }
        state.pending = Some(Reconcile { target, lost });
        drop(state);
        self.changed.notify_one();
    }

    /// The application has let go of everything, on its own account.
    pub(crate) fn relinquish(&self) {
        let mut state = self.state.lock();
        state.owned.clear();
        state.pending = None;
    }

    /// Whether an assignment waits for a poll.
    pub(crate) fn is_pending(&self) -> bool {
        self.state.lock().pending.is_some()
    }

    pub(crate) fn take_pending(&self) -> Option<(Reconcile, BTreeSet<TopicPartition>)> {
        let state = self.state.lock();
        let owned = state.owned.clone();
        state.pending.clone().map(|pending| (pending, owned))
    }

    /// The application has let go of what it lost and taken over what it got (CL-5).
    pub(crate) fn acknowledge(&self, target: BTreeSet<TopicPartition>) {
        let mut state = self.state.lock();
        state.owned = target;
        // A newer one may have come meanwhile.
        if state.pending.as_ref().is_some_and(|pending| pending.target == state.owned) {
            state.pending = None;
        }
        drop(state);
        self.wake.notify_one();
    }
}
