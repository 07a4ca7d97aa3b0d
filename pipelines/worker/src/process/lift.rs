//! Watermarks behind topics that other stages of the pipeline write. A record raises its partition's watermark no further than its
//! writers had come at the commit before ([`crate::levels`]); when they have come further and no record follows, their levels say so.
//! A level is asked for first, then where the topic ends: what was written before the level was reached lies below that, so a partition
//! that has been read to there holds nothing earlier than the level that is not read. Never enters: how levels travel.

use std::collections::BTreeMap;

use millstream_client::ConsumerHandle;
use millstream_model::KeyGroup;

use super::Driver;
use crate::error::WorkerError;
use crate::restore;

/// A level that partitions of an input have to be read for.
pub(super) struct Lifting {
    level: i64,
    /// Where key groups' partitions ended when the level was known.
    ends: BTreeMap<u32, i64>,
}

impl Driver {
    /// Raises watermarks of what was held back, as far as that is known to be right.
    pub(super) async fn lift(&mut self, consumer: &ConsumerHandle) -> Result<(), WorkerError> {
        for input in 0..self.setup.inputs.len() {
            if !self.lifting.contains_key(&input) {
                let Some(lifting) = self.level_for(input).await? else { continue };
                self.lifting.insert(input, lifting);
            }
            let positions = consumer.positions();
            let Some(lifting) = self.lifting.get_mut(&input) else { continue };
            let (owned, setup, level) = (&self.owned, &self.setup, lifting.level);
            lifting.ends.retain(|group, _| owned.contains(group));
            let read_to = |group: u32| positions.get(&setup.partition(input, group)).copied().unwrap_or(-1);
            let come = lifting.ends.extract_if(.., |group, end| read_to(*group) >= *end);
            let come: Vec<u32> = come.map(|(group, _)| group).collect();
            if lifting.ends.is_empty() {
                self.lifting.remove(&input);
            }
            let now = self.now();
            for group in come.into_iter().filter(|group| !self.finished.contains(&(input, *group))) {
                self.stage.lift_watermark(input, KeyGroup(group), level, now)?;
            }
        }
        Ok(())
    }

    /// The level that an input's writers have come to, where it raises watermarks of key groups that are here.
    async fn level_for(&self, input: usize) -> Result<Option<Lifting>, WorkerError> {
        let topic = &self.setup.inputs[input].topic;
        let Some(level) = self.context.ends.level_behind(topic) else { return Ok(None) };
        let wanted = self.owned.iter().filter(|group| self.stage.can_lift(input, KeyGroup(**group), level));
        let wanted: Vec<_> = wanted.map(|group| self.setup.partition(input, *group)).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let ends = restore::ends(&self.context.cluster, &wanted).await?;
        let ends = ends.into_iter().map(|(partition, end)| (partition.partition as u32, end)).collect();
        Ok(Some(Lifting { level, ends }))
    }
}
