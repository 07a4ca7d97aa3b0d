//! Topics that are read together, at one pace in event time: a partition that is far ahead waits for that of another topic which it is
//! joined with and which has more to be read, so that a replay does not keep all of the one for what the other has not come to.
//! Never enters: what is joined.

use std::collections::BTreeSet;

use millstream_client::ConsumerHandle;
use millstream_model::KeyGroup;
use millstream_types::TopicPartition;

use super::Driver;

/// How far ahead a partition may be, in milliseconds of event time.
const AHEAD_MS: i64 = 60_000;

impl Driver {
    /// Pauses partitions that are ahead, and takes them up again.
    pub(super) fn align(&mut self, consumer: &ConsumerHandle) {
        let inputs = self.setup.inputs.len();
        if inputs < 2 {
            return;
        }
        let partition = |(input, group): &(usize, u32)| self.setup.partition(*input, *group);
        let mut ahead: BTreeSet<(usize, u32)> = BTreeSet::new();
        for group in &self.owned {
            let read_to = |input: &usize| self.stage.watermark_of(*input, KeyGroup(*group)).to_raw();
            let left = |input: &usize| {
                !self.finished.contains(&(*input, *group))
                    && consumer.lag(&partition(&(*input, *group))).is_none_or(|lag| lag > 0)
            };
            let of = far_ahead(inputs, read_to, left);
            ahead.extend(of.into_iter().map(|input| (input, *group)));
        }
        let all = |of: Vec<&(usize, u32)>| of.into_iter().map(partition).collect::<Vec<TopicPartition>>();
        // Those that came meanwhile wait too.
        consumer.pause(&all(ahead.iter().collect()));
        // One that left and is being restored has not come back yet.
        let is_owned = |of: &&(usize, u32)| self.owned.contains(&of.1);
        let again = all(self.ahead.difference(&ahead).filter(is_owned).collect());
        if !again.is_empty() {
            consumer.resume(&again);
        }
        self.ahead = ahead;
    }
}

/// Of the partitions of one key group, by their inputs, those that are further ahead than they may be of one that has more to be read.
fn far_ahead(inputs: usize, read_to: impl Fn(&usize) -> i64, left: impl Fn(&usize) -> bool) -> Vec<usize> {
    let furthest = (0..inputs).map(|input| read_to(&input)).max().unwrap_or(i64::MIN);
    let is_behind = |input: &usize| read_to(input).saturating_add(AHEAD_MS) < furthest;
    // Seldom is one behind, and only then is asked what it has left.
    let slowest =
        (0..inputs).filter(|input| is_behind(input) && left(input)).map(|input| read_to(&input)).min();
    let is_ahead = |input: &usize| slowest.is_some_and(|at| read_to(input) > at.saturating_add(AHEAD_MS));
    (0..inputs).filter(is_ahead).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_far_ahead_waits_for_who_has_more_to_read() {
        let ahead = |of: &[(i64, bool)]| far_ahead(of.len(), |input| of[*input].0, |input| of[*input].1);
        let none: Vec<usize> = Vec::new();
        assert_eq!(ahead(&[(0, true), (AHEAD_MS, true)]), none);
        assert_eq!(ahead(&[(0, true), (AHEAD_MS + 1, true)]), [1]);
        assert_eq!(ahead(&[(0, false), (AHEAD_MS + 1, true)]), none);
        // The one that was read to its end holds nobody up, the next one does.
        assert_eq!(ahead(&[(0, false), (10, true), (AHEAD_MS + 5, true), (i64::MAX, false)]), [3]);
        // Who says nothing of its time is read first.
        assert_eq!(ahead(&[(i64::MIN, true), (0, true), (i64::MIN, true)]), [1]);
        assert_eq!(ahead(&[(i64::MIN, true), (i64::MIN, true)]), none);
        assert_eq!(ahead(&[(i64::MAX, true), (i64::MAX, true)]), none);
    }
}
