//! Topics that are read together, at one pace in event time: a topic that is far ahead waits for one that has more to be read,
//! so that a replay does not keep all of the one for what the other has not come to. Never enters: what is joined.

use std::collections::BTreeSet;

use millstream_client::ConsumerHandle;
use millstream_types::TopicPartition;

use super::Driver;

/// How far ahead a topic may be, in milliseconds of event time.
const AHEAD_MS: i64 = 60_000;

impl Driver {
    /// Pauses topics that are ahead, and takes them up again.
    pub(super) fn align(&mut self, consumer: &ConsumerHandle) {
        let inputs = self.setup.inputs.len();
        if inputs < 2 {
            return;
        }
        let partitions = |input: usize| -> Vec<TopicPartition> {
            self.owned.iter().map(|group| self.setup.partition(input, *group)).collect()
        };
        let left = |input: usize| {
            let mut groups = self.owned.iter().filter(|group| !self.finished.contains(&(input, **group)));
            groups.any(|group| consumer.lag(&self.setup.partition(input, *group)).is_none_or(|lag| lag > 0))
        };
        let read_to = |input: usize| self.stage.least_watermark_of(input).to_raw();
        let slowest = (0..inputs).filter(|input| left(*input)).map(read_to).min();
        let is_ahead =
            |input: &usize| slowest.is_some_and(|at| read_to(*input) > at.saturating_add(AHEAD_MS));
        let ahead: BTreeSet<usize> = (0..inputs).filter(is_ahead).collect();
        // Those that came meanwhile wait too.
        ahead.iter().for_each(|input| consumer.pause(&partitions(*input)));
        self.ahead.difference(&ahead).for_each(|input| consumer.resume(&partitions(*input)));
        self.ahead = ahead;
    }
}
