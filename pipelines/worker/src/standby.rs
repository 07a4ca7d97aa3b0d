//! Standby copies of state, beside what a stage owns: changelogs of others' key groups, followed read committed, so that an assignment
//! restores only what has come since. There are two reasons to keep some: a worker that joins others reads them before it joins
//! (a warm start), and `defaults.standby` wants so many copies of each key group with workers that do not own it.
//!
//! Invariant WK-5: a copy is given to a stage only when it has been read to the end that a restore at that moment would read to,
//! of the same topic, without a gap, from where a restore would begin, with the snapshots that a store has; else the stage restores. Copies are in memory, count in its budget, and are the first to
//! go when it is short. Nothing is committed for them. Never enters: what state is, who owns what.

mod choice;
mod follower;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_client::Cluster;
use millstream_engine::state::copy::CopiedPart;
use millstream_types::MemoryBudget;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::progress::Progress;
use crate::run::StageContext;
use crate::snapshots::Snapshots;
use follower::{Follower, Others};

/// What copies are kept of, and by whom.
#[derive(Clone)]
pub struct Followed {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The stage's id.
    pub stage: String,
    /// Its consumer group.
    pub group_id: String,
    /// What the process may hold.
    pub memory: MemoryBudget,
    /// What people see.
    pub progress: Arc<Progress>,
    /// Changelogs by operator id: topics with their partitions.
    pub changelogs: BTreeMap<String, (Arc<str>, u32)>,
    /// The topic with the marks of snapshots, and the store that some of them name.
    pub positions: Arc<str>,
    /// The store.
    pub snapshots: Option<Arc<Snapshots>>,
    /// A topic that the stage reads: whose partition of it is whose tells who owns a key group.
    pub input: Arc<str>,
    /// How many key groups the stage has.
    pub key_groups: u32,
    /// How many copies each is to have.
    pub copies: u32,
    /// Whether a worker that comes to others reads before it joins them.
    pub warm_start: bool,
}

/// Whether the stage has run before in this process, and lost its partitions a moment ago: they wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It has not.
    First,
    /// It has.
    Again,
}

enum Order {
    /// Gives key groups, all of one class, when their copy has been read to the end.
    Give { groups: BTreeSet<u32>, reply: oneshot::Sender<CopiedPart> },
    /// Reads all there is, and says when that is done or cannot be.
    WarmUp(oneshot::Sender<()>),
}

/// What a stage has.
#[derive(Clone, Default)]
pub struct Held {
    /// Key groups that are here.
    pub owned: BTreeSet<u32>,
    /// Those that it is being given: copies of them stay until they are.
    pub coming: BTreeSet<u32>,
    /// The id of its member, once it is one.
    pub member: Option<String>,
}

/// What the follower and the stage know of each other.
#[derive(Default)]
struct Shared {
    /// The key groups of which there are copies.
    covered: Mutex<BTreeSet<u32>>,
    held: Mutex<Held>,
    give_way: Notify,
    has_any: AtomicBool,
}

/// The copies of a stage, followed in the background until this is dropped.
pub struct Standby(Option<Running>);

struct Running {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Standby {
    /// Begins to keep copies where the pipeline wants some. Where other workers run the stage and this one comes to them, their
    /// changelogs are read first: it returns when what it may be assigned is here, as far as there is memory for it.
    pub async fn open(followed: Followed, context: &StageContext, begins: Begins) -> Standby {
        if followed.changelogs.is_empty() {
            return Standby(None);
        }
        let others = match begins {
            Begins::First if followed.warm_start => {
                follower::others(&followed, context.member().member_id.as_deref()).await
            }
            // Nothing is won where this worker's own partitions wait for it.
            _ => Others::None,
        };
        if followed.copies == 0 && others != Others::Run {
            return Standby(None);
        }
        let shared = Arc::new(Shared::default());
        let (orders, taken) = mpsc::unbounded_channel();
        let (reply, warm) = oneshot::channel();
        if others == Others::Run {
            let _ = orders.send(Order::WarmUp(reply));
        }
        let follower = Follower::new(followed, Arc::clone(&shared), taken);
        let task = tokio::spawn(follower.run());
        let running = Running { orders, shared, task };
        if others == Others::Run {
            tokio::select! {
                // A follower that is gone has nothing to wait for.
                _ = warm => {}
                () = context.stopped() => {}
            }
        }
        Standby(Some(running))
    }

    /// The key groups of these that there is a copy of.
    pub fn covers(&self, groups: &BTreeSet<u32>) -> BTreeSet<u32> {
        let Some(running) = &self.0 else { return BTreeSet::new() };
        running.shared.covered.lock().intersection(groups).copied().collect()
    }

    /// Asks for the state of key groups that share partitions of changelogs. What is received is up to date; nothing is, where the
    /// copy cannot be trusted.
    pub fn take(&self, groups: BTreeSet<u32>) -> oneshot::Receiver<CopiedPart> {
        let (reply, part) = oneshot::channel();
        if let Some(running) = &self.0 {
            let _ = running.orders.send(Order::Give { groups, reply });
        }
        part
    }

    /// Notes what the stage has.
    pub fn holds(&self, held: Held) {
        if let Some(running) = &self.0 {
            *running.shared.held.lock() = held;
        }
    }

    /// Memory is short: copies go before anything else does. Whether there were any.
    pub fn gives_way(&self) -> bool {
        let Some(running) = &self.0 else { return false };
        let has_any = running.shared.has_any.load(Ordering::Relaxed);
        if has_any {
            running.shared.give_way.notify_one();
        }
        has_any
    }
}
