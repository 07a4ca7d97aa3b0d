//! A process stage's commit: rows, dead letters, changes of state, counts and offsets in one broker transaction (WK-1). Never
//! enters: when it is time for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_client::{ConsumerHandle, OffsetAndMetadata};
use millstream_engine::state::ChangelogEntry;
use millstream_spec::catalog::Delivery;
use millstream_types::TopicPartition;

use super::Driver;
use crate::error::WorkerError;
use crate::positions;
use crate::transaction::Transaction;

/// Whether a commit may write state anew: not one that others wait for.
#[derive(Clone, Copy)]
pub(super) enum MaySnapshot {
    Yes,
    No,
}

impl Driver {
    /// Commits everything that was processed.
    pub(super) async fn commit(
        &mut self,
        consumer: &ConsumerHandle,
        may_snapshot: MaySnapshot,
    ) -> Result<(), WorkerError> {
        let fence = self.fence(consumer);
        if self.moved.is_empty() && fence.is_none() {
            // Nothing is owned, or it is not known yet from where on.
            return Ok(());
        }
        let now = self.context.clock.wall_ms();
        let levels = self.levels();
        self.send_early().await?;
        let late = self.take_rows(Delivery::AtMostOnce)?;
        let changes = self.stage.commit(self.now())?;
        // Windows that fired just now; late rows were found in their own poll.
        self.drain(None)?;
        let mut outbox = std::mem::take(&mut self.letters);
        let unwritable = self.put_rows(&mut outbox, now, &levels, None)?;
        unwritable.into_iter().try_for_each(|found| self.unwritable(&mut outbox, found))?;
        // Watermarks belong to the stage: each changelog has them, so that none misses another that is renamed or gone.
        for change in changes {
            let value = change.entry.encode();
            for (operator, (topic, _)) in &self.setup.changelogs {
                if matches!(&change.entry, ChangelogEntry::State { operator: of, .. } if of != operator) {
                    continue;
                }
                outbox.append_value(topic, change.partition, now, &value)?;
                self.changelogs.wrote(operator, change.partition, value.len());
            }
        }
        let wants_snapshot = matches!(may_snapshot, MaySnapshot::Yes) && self.changelogs.is_due();
        if outbox.is_empty() && late.is_empty() && self.moved.is_empty() && !wants_snapshot {
            return Ok(());
        }
        let cluster = Arc::clone(&self.context.cluster);
        let snapshot = match wants_snapshot {
            true => self.changelogs.snapshot(&cluster, &mut self.stage, &mut outbox, now).await?,
            false => None,
        };
        self.count();
        let who = (self.context.stage.as_str(), self.context.instance.as_str());
        positions::write_counts(&mut outbox, &self.setup.positions, now, who, &self.counts)?;
        let offsets = self.moved.iter();
        let offsets = offsets.map(|(partition, offset)| (partition.clone(), OffsetAndMetadata::new(*offset)));
        let mut offsets: BTreeMap<TopicPartition, OffsetAndMetadata> = offsets.collect();
        if offsets.is_empty() {
            offsets.extend(fence);
        }
        self.plain.arrived().await?;
        let name = self.context.stage.clone();
        let transaction = Transaction { stage: name.clone(), outbox, offsets, consumer: consumer.clone() };
        transaction.commit(&self.producer).await?;
        if let Some(taken) = snapshot {
            self.changelogs.was_committed(&cluster, taken);
        }
        self.send_late(late).await?;
        self.moved.clear();
        self.bytes_since = 0;
        self.read.set(0);
        self.note_state()?;
        self.context.progress.update(&name, |figures| {
            figures.commits += 1;
            figures.counts.clone_from(&self.counts);
            figures.taken = self.counts.get("read").copied().unwrap_or(0);
        });
        Ok(())
    }

    /// A position that is committed where none has moved, since positions are what fences a worker that was replaced: time
    /// alone closes windows, and a worker that was away would write them behind its successor's.
    fn fence(&self, consumer: &ConsumerHandle) -> Option<(TopicPartition, OffsetAndMetadata)> {
        let positions = consumer.positions();
        let owned = self.owned.iter().flat_map(|group| self.setup.partitions(*group));
        let mut known = owned.filter_map(|p| positions.get(&p).map(|at| (p.clone(), *at)));
        known.next().map(|(partition, at)| (partition, OffsetAndMetadata::new(at)))
    }

    /// Adds what the engine has counted since the last time.
    fn count(&mut self) {
        for (name, counts) in self.stage.counts() {
            // Of a dedupe that everything goes through, how much did: what was read can be held against it.
            let into = if self.deduped.contains(name) { counts.rows_in } else { 0 };
            let discarded = self.setup.discards.iter().any(|of| of == name);
            let named = [
                ("into", into),
                ("discarded", if discarded { counts.rows_out } else { 0 }),
                ("repeated", counts.repeated),
                ("conflicting", counts.conflicting),
                ("late", counts.late),
            ];
            for (what, count) in named {
                let key = format!("{what}.{name}");
                let before = self.counted.insert(key.clone(), count).unwrap_or(0);
                if count > before {
                    *self.counts.entry(key).or_default() += count - before;
                }
            }
        }
    }
}
