//! A process stage's commit: rows, dead letters, changes of state, counts and offsets in one broker transaction (WK-1). Never
//! enters: when it is time for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_client::{ConsumerHandle, OffsetAndMetadata};
use millstream_connect::rate::Verdict;
use millstream_engine::state::ChangelogRecord;
use millstream_spec::catalog::Delivery;
use millstream_types::TopicPartition;

use super::Driver;
use super::outgoing::{Levels, giving};
use crate::error::{WorkerError, over_rate};
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
        if self.has_failed {
            let text = "a commit of this worker has failed: it begins again from the one before".to_owned();
            return Err(WorkerError::Transient(text));
        }
        let done = self.commit_all(consumer, may_snapshot).await;
        self.has_failed = done.is_err();
        done
    }

    async fn commit_all(
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
        let changes = self.fire(now, &levels)?;
        self.out.write(now, &levels, |_| true)?;
        let mut outbox = self.out.take_outbox();
        self.watch_rate()?;
        // Watermarks belong to the stage: each changelog has them, so that none misses another that is renamed or gone.
        for change in changes {
            self.changelogs.changed(&change);
            let value = change.entry.encode();
            for (operator, (topic, _)) in &self.setup.changelogs {
                if change.entry.operator().is_some_and(|of| of != operator) {
                    continue;
                }
                outbox.append_value(topic, change.partition, now, &value)?;
                self.changelogs.wrote(operator, change.partition, value.len());
            }
        }
        let wants_snapshot = matches!(may_snapshot, MaySnapshot::Yes) && self.changelogs.due() > 0;
        if outbox.is_empty() && late.is_empty() && self.moved.is_empty() && !wants_snapshot {
            return Ok(());
        }
        let cluster = Arc::clone(&self.context.cluster);
        let snapshot = match wants_snapshot {
            true => Some(self.changelogs.snapshot(&cluster, &mut self.stage, &mut outbox, now).await?),
            false => None,
        };
        self.count();
        let who = (self.context.stage.as_str(), self.context.instance.as_str());
        positions::write_counts(&mut outbox, &self.setup.positions, now, who, &self.out.counts)?;
        let offsets = self.moved.iter();
        let offsets = offsets.map(|(partition, offset)| (partition.clone(), OffsetAndMetadata::new(*offset)));
        let mut offsets: BTreeMap<TopicPartition, OffsetAndMetadata> = offsets.collect();
        if offsets.is_empty() {
            offsets.extend(fence);
        }
        if self.resumes() {
            offsets.iter_mut().for_each(|(partition, at)| at.metadata = self.to_resume(partition).into());
        }
        self.plain.arrived().await?;
        let name = self.context.stage.clone();
        let (consumer, time) = (consumer.clone(), self.context.transaction_time.clone());
        let transaction = Transaction {
            stage: name.clone(),
            outbox,
            offsets,
            consumer,
            cluster: Arc::clone(&cluster),
            time,
        };
        transaction.commit(&self.producer).await?;
        if let Some(taken) = snapshot {
            self.changelogs.was_committed(&cluster, taken).await;
        }
        self.send_late(late).await?;
        self.moved.clear();
        self.bytes_since = 0;
        self.read.set(0);
        self.note_state()?;
        self.context.progress.update(&name, |figures| {
            figures.commits += 1;
            figures.counts.clone_from(&self.out.counts);
            figures.taken = self.out.counts.get("read").copied().unwrap_or(0);
        });
        Ok(())
    }

    /// What changed in the engine; windows fire. What comes out does not wait as columns until all of it has come. Its levels are those
    /// of before the commit: nobody had been promised what fires now.
    fn fire(&mut self, now: i64, levels: &Levels) -> Result<Vec<ChangelogRecord>, WorkerError> {
        let clock = self.now();
        let Driver { stage, out, .. } = self;
        // Late rows were found in their own poll.
        let take = |given| out.take_some(None, given, (now, levels), |_| true);
        giving(stage, |stage, take| stage.commit_giving(clock, take), take)
    }

    /// Does not go on where too many records are bad: nothing of this commit is written, and the next run reads it again.
    fn watch_rate(&mut self) -> Result<(), WorkerError> {
        let out = &mut self.out;
        let counts = [&mut self.taken, &mut out.made, &mut out.bad, &mut out.results];
        let [taken, made, bad, results] = counts.map(std::mem::take);
        // Rows that were made and failed are held against those that were given, too.
        let made = if made > 0 { made + results } else { 0 };
        let now = self.now();
        let Some(guard) = &mut self.rate else { return Ok(()) };
        match guard.seen(now, taken + made, bad) {
            Verdict::Go => Ok(()),
            Verdict::Over { bad, all } => {
                let text = over_rate(bad, all);
                let is_bounded =
                    self.setup.inputs.iter().all(|input| self.context.ends.of(&input.topic).is_some());
                Err(match self.setup.pauses && !is_bounded {
                    true => WorkerError::Paused(text),
                    false => WorkerError::Fatal(text),
                })
            }
        }
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
            let into = if self.out.deduped.contains(name) { counts.rows_in } else { 0 };
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
                    *self.out.counts.entry(key).or_default() += count - before;
                }
            }
        }
    }
}
