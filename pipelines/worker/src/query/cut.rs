//! Up to where changelogs are read: where what is committed ends, of all partitions as of one instant where one can be found. A
//! commit is in several partitions, and its markers land one after another: while none is under way anywhere, what is committed
//! of all of them is so at once. Never enters: reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::Cluster;
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::restore;

/// How long an instant without a commit is looked for.
const LOOK_FOR: Duration = Duration::from_millis(1_500);
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(15);

/// The ends of partitions.
pub(super) struct Cut {
    pub(super) ends: BTreeMap<TopicPartition, i64>,
    /// They are of one instant.
    pub(super) is_one_instant: bool,
}

/// The ends as of now.
pub(super) async fn cut(cluster: &Arc<Cluster>, parts: &[TopicPartition]) -> Result<Cut, WorkerError> {
    let began = Instant::now();
    loop {
        let ends = restore::stable_ends(cluster, parts).await?;
        if parts.len() < 2 {
            return Ok(Cut { ends, is_one_instant: true });
        }
        // Nothing that was open at the second look, and nothing that came between: at every instant between the looks, what was
        // there was committed, and was this.
        let all = restore::ends(cluster, parts).await?;
        let is_one_instant = is_settled(&ends, &all);
        if is_one_instant || began.elapsed() > LOOK_FOR {
            return Ok(Cut { ends, is_one_instant });
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Whether what was committed at a first look is all that is there at a later one.
fn is_settled(committed: &BTreeMap<TopicPartition, i64>, all: &BTreeMap<TopicPartition, i64>) -> bool {
    committed == all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_under_way_anywhere_is_no_instant() {
        let ends = |first: i64, second: i64| {
            let at = |partition: i32| TopicPartition::new("state", partition);
            BTreeMap::from([(at(0), first), (at(1), second)])
        };
        assert!(is_settled(&ends(5, 9), &ends(5, 9)));
        // Records of an open transaction, or of one that came between.
        assert!(!is_settled(&ends(5, 9), &ends(5, 12)));
        assert!(!is_settled(&ends(4, 9), &ends(5, 9)));
    }
}
