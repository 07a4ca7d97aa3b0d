//! The topics that bring rows to sinks do not grow for ever: what every sink that reads a partition has committed is
//! deleted from it. And what was deleted must not be missed: a sink whose target does not have it, since it was replaced
//! or set back, or the sink is new, is told what it lacks. Never enters: how a sink commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Admin, Cluster};
use millstream_types::TopicPartition;

use crate::error::WorkerError;

/// Deletes what the sinks of some topics have committed.
pub struct Trimmer {
    /// The topics that are the pipeline's own to delete from, with the groups of all sinks that read them.
    pub readers: BTreeMap<Arc<str>, Vec<String>>,
    /// How often.
    pub interval: Duration,
    last: Instant,
    below: BTreeMap<TopicPartition, i64>,
}

impl Trimmer {
    /// A trimmer that has done nothing yet.
    pub fn new(readers: BTreeMap<Arc<str>, Vec<String>>, interval: Duration) -> Trimmer {
        Trimmer { readers, interval, last: Instant::now(), below: BTreeMap::new() }
    }

    /// Deletes below the least offset that a group of the readers has committed, of these partitions; at most once in
    /// the interval. A failure does no harm: the next time does it too.
    pub async fn trim(&mut self, cluster: &Arc<Cluster>, owned: impl Iterator<Item = &TopicPartition>) {
        if self.last.elapsed() >= self.interval {
            self.trim_now(cluster, owned).await;
        }
    }

    /// Deletes it now: at the end of a run, which may be shorter than the interval.
    pub async fn trim_now(&mut self, cluster: &Arc<Cluster>, owned: impl Iterator<Item = &TopicPartition>) {
        self.last = Instant::now();
        let owned: Vec<TopicPartition> =
            owned.filter(|p| self.readers.contains_key(&p.topic)).cloned().collect();
        if let Err(error) = self.delete(cluster, &owned).await {
            tracing::warn!(%error, "what sinks have committed could not be deleted from their topics; it is tried again");
        }
    }

    async fn delete(&mut self, cluster: &Arc<Cluster>, owned: &[TopicPartition]) -> Result<(), WorkerError> {
        let admin = Admin::new(cluster);
        let mut groups: BTreeMap<&str, Vec<TopicPartition>> = BTreeMap::new();
        for partition in owned {
            for group in &self.readers[&partition.topic] {
                groups.entry(group).or_default().push(partition.clone());
            }
        }
        // Of each partition: how many groups have committed, and the least of what they have.
        let mut committed: BTreeMap<TopicPartition, (usize, i64)> = BTreeMap::new();
        for (group, partitions) in groups {
            for (partition, at) in admin.list_group_offsets(group, Some(&partitions)).await? {
                let known = committed.entry(partition).or_insert((0, i64::MAX));
                *known = (known.0 + 1, known.1.min(at.offset));
            }
        }
        committed.retain(|partition, (groups, below)| {
            *groups == self.readers[&partition.topic].len()
                && *below > self.below.get(partition).copied().unwrap_or(0)
        });
        if committed.is_empty() {
            return Ok(());
        }
        let before: BTreeMap<TopicPartition, i64> =
            committed.into_iter().map(|(partition, (_, below))| (partition, below)).collect();
        admin.delete_records(&before).await?;
        tracing::debug!(partitions = before.len(), "deleted what the sinks have");
        self.below.extend(before);
        Ok(())
    }
}

/// Offsets that a sink's target does not have and that are not there any more: from which, if any. `ours` says that the
/// topic is kept from its beginning for the pipeline's sinks; of any other one, a target that knows nothing begins with
/// what there is.
pub fn gap(next: Option<i64>, start: i64, ours: bool) -> Option<i64> {
    match next {
        Some(next) => (next < start).then_some(next),
        None => (ours && start > 0).then_some(0),
    }
}

/// What to tell and do about a gap.
pub fn gap_error(sink: &str, partition: &TopicPartition, (from, start): (i64, i64)) -> WorkerError {
    WorkerError::Setup(format!(
        "opening sink {sink}: its target has no offsets of {partition} from {from} on, and those below {start} were deleted \
         after every sink that there was had committed them. The target was replaced or set back, or the sink is new to \
         the pipeline. Restore the target, or run the pipeline over its input again under another name; or say \
         `on_gap: skip` at the sink to go on without them"
    ))
}

/// What to tell of a target that stands behind the end of its topic.
pub fn beyond_error(sink: &str, partition: &TopicPartition, (next, end): (i64, i64)) -> WorkerError {
    WorkerError::Setup(format!(
        "opening sink {sink}: its target has {partition} up to offset {next}, and the topic ends at {end}: the topic was made \
         anew, and the target would pass over what is in it. Give the sink another target, or run the pipeline under \
         another name"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_neither_the_target_nor_the_topic_has() {
        for (next, start, ours, wanted) in [
            (None, 0, true, None),
            (None, 5, true, Some(0)),
            (None, 5, false, None),
            (Some(4), 5, true, Some(4)),
            (Some(4), 5, false, Some(4)),
            (Some(5), 5, true, None),
            (Some(9), 5, false, None),
        ] {
            assert_eq!(gap(next, start, ours), wanted, "{next:?} {start} {ours}");
        }
    }
}
