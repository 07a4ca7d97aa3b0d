//! Tells most groups that are not among some from those that are, by the hashes of their keys: what is looked through whole for a few
//! groups need not all be looked up. Never enters: key groups, and what is kept for a group.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use datafusion_common::Result as DataFusionResult;
use datafusion_common::hash_utils::{RandomState, create_hashes};

/// Bits for each group: about so many of the others it takes for one to pass.
const BITS: usize = 8;

/// See the module.
pub(crate) struct GroupSieve {
    bits: Vec<u64>,
}

/// The hashes of groups' keys; of key groups, where groups have no keys.
fn hashes(columns: &[ArrayRef]) -> DataFusionResult<Vec<u64>> {
    let mut hashes = vec![0; columns[0].len()];
    let keys = &columns[usize::from(columns.len() > 1)..];
    create_hashes(keys, &RandomState::with_seed(0), &mut hashes)?;
    Ok(hashes)
}

impl GroupSieve {
    /// Of no groups yet, and so many later.
    pub(crate) fn new(groups: usize) -> GroupSieve {
        GroupSieve { bits: vec![0; (groups * BITS).div_ceil(64).next_power_of_two()] }
    }

    /// The word and the bit of a hash.
    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 6) as usize & (self.bits.len() - 1), 1 << (hash & 63))
    }

    /// Adds groups, by their columns.
    pub(crate) fn add(&mut self, columns: &[ArrayRef]) -> DataFusionResult<()> {
        for hash in hashes(columns)? {
            let (word, bit) = self.place(hash);
            self.bits[word] |= bit;
        }
        Ok(())
    }

    /// Which groups pass, by their columns: all that were added, and few others.
    pub(crate) fn pass(&self, columns: &[ArrayRef]) -> DataFusionResult<BooleanArray> {
        let hashes = hashes(columns)?;
        let passes = |row: usize| {
            let (word, bit) = self.place(hashes[row]);
            self.bits[word] & bit != 0
        };
        Ok(BooleanArray::new(BooleanBuffer::collect_bool(hashes.len(), passes), None))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array, UInt32Array};

    use super::*;

    #[test]
    fn all_that_were_added_pass_and_few_others() {
        let groups = |from: i64| -> [ArrayRef; 2] {
            let keys = (from..from + 1_000).map(|key| (key % 500 > 0).then_some(key));
            [Arc::new(UInt32Array::from(vec![3; 1_000])), Arc::new(keys.collect::<Int64Array>())]
        };
        let mut sieve = GroupSieve::new(2_000);
        sieve.add(&groups(0)).expect("hashes");
        sieve.add(&groups(1_000)).expect("hashes");
        assert_eq!(sieve.pass(&groups(500)).expect("hashes").true_count(), 1_000);
        // The nulls are known.
        let others = sieve.pass(&groups(10_000)).expect("hashes").true_count();
        assert!((2..250).contains(&others), "{others} of 1,000 others pass");
        assert!(sieve.pass(&groups(0).map(|column| column.slice(0, 0))).expect("hashes").is_empty());
    }
}
