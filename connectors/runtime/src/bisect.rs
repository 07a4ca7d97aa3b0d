//! Finding the bad records of a batch that fails as a whole, without knowing why: halves, until one record alone fails.
//! A state machine over ranges; the caller tries. Invariant: each record ends either in exactly one range that worked
//! or as one that failed alone, and ranges are tried in order, so that order is kept.
//!
//! Transitions: `next()` hands out the first range that is not settled; `worked()` settles it; `failed()` splits it in
//! halves, or, for a single record, condemns it. A failure that passes by itself is not reported here: try again.

use std::ops::Range;

/// What is left to try, first to last.
#[derive(Clone, Debug)]
pub struct Bisection {
    /// Ranges not settled, the next one at the end.
    open: Vec<Range<usize>>,
    bad: Vec<usize>,
    tries: usize,
}

impl Bisection {
    /// A batch of `records`, tried as a whole first.
    pub fn new(records: usize) -> Bisection {
        let open = Vec::from_iter((records > 0).then_some(0..records));
        Bisection { open, bad: Vec::new(), tries: 0 }
    }

    /// The next range to try; `None` when every record is settled.
    pub fn next(&self) -> Option<Range<usize>> {
        self.open.last().cloned()
    }

    /// The range that was handed out worked.
    pub fn worked(&mut self) {
        self.tries += 1;
        self.open.pop().expect("a range was handed out");
    }

    /// The range that was handed out failed for what it holds. The record's index when it is settled by that.
    pub fn failed(&mut self) -> Option<usize> {
        self.tries += 1;
        let range = self.open.pop().expect("a range was handed out");
        if range.len() == 1 {
            self.bad.push(range.start);
            return Some(range.start);
        }
        let middle = range.start + range.len() / 2;
        self.open.push(middle..range.end);
        self.open.push(range.start..middle);
        None
    }

    /// The condemned records so far, in order.
    pub fn bad(&self) -> &[usize] {
        &self.bad
    }

    /// How many tries it took so far. At most `1 + 2 * bad * ceil(log2(records))`.
    pub fn tries(&self) -> usize {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn exactly_the_bad_records_are_found(
            records in 0usize..300,
            bad in proptest::collection::btree_set(0usize..300, 0..12),
        ) {
            let bad: Vec<usize> = bad.into_iter().filter(|index| *index < records).collect();
            let mut bisection = Bisection::new(records);
            let mut settled = Vec::new();
            while let Some(range) = bisection.next() {
                if bad.iter().any(|index| range.contains(index)) {
                    settled.extend(bisection.failed());
                } else {
                    settled.extend(range);
                    bisection.worked();
                }
            }
            prop_assert_eq!(settled, (0..records).collect::<Vec<_>>(), "each once, in order");
            prop_assert_eq!(bisection.bad(), &bad[..]);
            let depth = (records.max(1)).next_power_of_two().trailing_zeros() as usize;
            prop_assert!(bisection.tries() <= 1 + 2 * bad.len() * depth.max(1));
        }
    }
}
