//! Watermarks behind topics that other stages of the pipeline write. A record raises its partition's watermark no further than its
//! writers had come at the commit before ([`crate::levels`]); when they have come further and no record follows, their levels say so.
//! A level is asked for first, then where the topic ends: what was written before the level was reached lies below that, so a partition
//! that has been read to there holds nothing earlier than the level that is not read.
//!
//! A stage that keeps state has its watermarks there. One without keeps them in the metadata of its positions, which are committed
//! together: it would not know how far its partitions had come, and a level without those that are silent would make their rows late.
//! Never enters: how levels travel.

use std::collections::{BTreeMap, BTreeSet};

use millstream_client::ConsumerHandle;
use millstream_model::{EventTime, KeyGroup, Watermark};
use millstream_types::TopicPartition;

use super::Driver;
use crate::error::WorkerError;
use crate::restore;

/// A level that a partition has to be read for.
pub(super) struct Lifting {
    level: i64,
    /// Where the partition ended when the level was known.
    end: i64,
}

/// A partition's watermark, and the event time that is held back.
pub(super) type Resumed = (Watermark, EventTime);

/// What the metadata of a position begins with.
const MARK: &str = "millstream";

impl Driver {
    /// Raises watermarks of what was held back, as far as that is known to be right.
    pub(super) async fn lift(&mut self, consumer: &ConsumerHandle) -> Result<(), WorkerError> {
        for input in 0..self.setup.inputs.len() {
            self.find_levels(input).await?;
            let is_here =
                |group: &u32| self.owned.contains(group) && !self.finished.contains(&(input, *group));
            self.lifting.retain(|(of, group), _| *of != input || is_here(group));
            let positions = consumer.positions();
            let setup = &self.setup;
            let read_to = |group: u32| positions.get(&setup.partition(input, group)).copied().unwrap_or(0);
            let come = self
                .lifting
                .extract_if(.., |(of, group), wanted| *of == input && read_to(*group) >= wanted.end);
            let come: Vec<_> = come.map(|((_, group), wanted)| (KeyGroup(group), wanted.level)).collect();
            if !come.is_empty() {
                let now = self.now();
                self.stage.lift_watermarks(input, come, now)?;
            }
        }
        Ok(())
    }

    /// The level that an input's writers have come to, where it raises watermarks of key groups that wait for none yet.
    async fn find_levels(&mut self, input: usize) -> Result<(), WorkerError> {
        let topic = &self.setup.inputs[input].topic;
        let Some(level) = self.context.ends.level_behind(topic) else { return Ok(()) };
        let is_wanted = |group: &&u32| {
            let place = (input, **group);
            let is_open = !self.finished.contains(&place) && !self.lifting.contains_key(&place);
            is_open && self.stage.can_lift(input, KeyGroup(**group), level)
        };
        let wanted: Vec<_> =
            self.owned.iter().filter(is_wanted).map(|group| self.setup.partition(input, *group)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let ends = restore::ends(&self.context.cluster, &wanted).await?;
        let found = ends.into_iter().map(|(at, end)| ((input, at.partition as u32), Lifting { level, end }));
        self.lifting.extend(found);
        Ok(())
    }

    /// Whether its watermarks go with its positions: nobody else keeps them, and somebody goes by them.
    pub(super) fn resumes(&self) -> bool {
        self.setup.changelogs.is_empty() && self.level_to_say().is_some()
    }

    /// What to keep of a partition, as of the commit that is made.
    pub(super) fn to_resume(&self, partition: &TopicPartition) -> String {
        let Some(input) = self.setup.input_of(&partition.topic) else { return String::new() };
        let (watermark, held) = self.stage.committed_of(input, KeyGroup(partition.partition as u32));
        format!("{MARK} {} {held}", watermark.to_raw())
    }

    /// Reads what was kept of partitions that are assigned.
    pub(super) async fn find_resumed(
        &mut self,
        consumer: &ConsumerHandle,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), WorkerError> {
        if !self.resumes() || partitions.is_empty() {
            return Ok(());
        }
        let wanted: Vec<TopicPartition> = partitions.iter().cloned().collect();
        let found: BTreeMap<_, _> = consumer.committed(&wanted).await?;
        self.resumed.extend(found.into_iter().filter_map(|(at, kept)| Some((at, resumed(&kept.metadata)?))));
        Ok(())
    }

    /// Takes up what was kept of key groups that have just been begun.
    pub(super) fn resume(&mut self, groups: &BTreeSet<u32>, now: i64) {
        let resumed =
            self.resumed.extract_if(.., |partition, _| groups.contains(&(partition.partition as u32)));
        for (partition, kept) in resumed.collect::<Vec<_>>() {
            if let Some(input) = self.setup.input_of(&partition.topic) {
                self.stage.resume(input, KeyGroup(partition.partition as u32), kept, now);
            }
        }
    }
}

/// What the metadata of a position says; nothing where it is of others.
fn resumed(metadata: &str) -> Option<Resumed> {
    let mut parts = metadata.split(' ');
    let (mark, watermark, held) = (parts.next()?, parts.next()?, parts.next()?);
    (mark == MARK).then_some(())?;
    Some((Watermark::from_raw(watermark.parse().ok()?), held.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_others_says_nothing() {
        assert_eq!(resumed("millstream 5 -7"), Some((Watermark::at(5), -7)));
        for other in ["", "5 7", "millstream", "millstream 5", "millstream x 7", "a b c"] {
            assert_eq!(resumed(other), None, "{other}");
        }
    }
}
