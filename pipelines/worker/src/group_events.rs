//! What the group decided within a poll, for a stage that has nothing to commit before it gives partitions up: what it had
//! read and not committed is dropped and read again by the next owner. A commit that is under way is waited for.
//! Never enters: commits.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_client::consumer::ListenerFuture;
use millstream_client::{ConsumerHandle, RebalanceListener};
use millstream_types::TopicPartition;
use parking_lot::Mutex;

/// Partitions that came and went, in order.
#[derive(Debug)]
pub enum GroupEvent {
    /// They are this member's from now on.
    Assigned(BTreeSet<TopicPartition>),
    /// They are not this member's any more.
    Gone(BTreeSet<TopicPartition>),
}

/// Collects events.
#[derive(Clone, Debug, Default)]
pub struct GroupEvents {
    events: Arc<Mutex<Vec<GroupEvent>>>,
    /// Held while a commit is under way.
    commit: Arc<tokio::sync::Mutex<()>>,
}

impl GroupEvents {
    /// What happened since the last call.
    pub fn take(&self) -> Vec<GroupEvent> {
        std::mem::take(&mut *self.events.lock())
    }

    /// While this lives, no partition is given up.
    pub async fn hold(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.commit).lock_owned().await
    }
}

impl RebalanceListener for GroupEvents {
    fn assigned<'a>(
        &'a mut self,
        _consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        self.events.lock().push(GroupEvent::Assigned(partitions.clone()));
        Box::pin(async {})
    }

    fn revoked<'a>(
        &'a mut self,
        _consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        Box::pin(async {
            drop(self.hold().await);
            self.events.lock().push(GroupEvent::Gone(partitions.clone()));
        })
    }

    fn lost<'a>(
        &'a mut self,
        _consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        // Who was taken out joins again only behind this: a commit under way never gets the new epoch.
        Box::pin(async {
            drop(self.hold().await);
            self.events.lock().push(GroupEvent::Gone(partitions.clone()));
        })
    }
}
