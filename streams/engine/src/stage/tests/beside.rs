//! A query of windows of a minute beside the one that a rig is about, over the same stream: where a run ends, its windows fire long
//! before their time. What it gives and puts aside is that of a walk over the rows, and what the other gives knows nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMillisecondArray};
use arrow::util::display::array_value_to_string;
use millstream_model::{LateRule, LateThen};

use super::super::{OperatorKind, OperatorSpec, OutputBatch};
use super::lines;

/// The operator's stable id.
pub(super) const ID: &str = "beside-1";
pub(super) const NAME: &str = "beside";
const SIZE_MS: i64 = 60_000;

/// Of a stream, with its key and its event time.
pub(super) fn operator(stream: &str, key: &str, time: &str) -> OperatorSpec {
    OperatorSpec {
        id: ID.into(),
        name: NAME.into(),
        inputs: vec![stream.into()],
        kind: OperatorKind::Sql {
            sql: format!(
                "SELECT {key}, window_end, count(*) AS n FROM TUMBLE({stream}, {time}, INTERVAL '1 minute') GROUP BY {key}, window_end"
            ),
            late: LateRule { allow_ms: 0, updates: false, then: LateThen::DeadLetter },
            update_ms: None,
            keep: None,
        },
    }
}

/// What came of it, or has to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) rows: BTreeSet<String>,
    /// Key group and offset.
    pub(super) late: BTreeSet<(u32, i64)>,
    /// What came more than once.
    again: Vec<String>,
}

impl Beside {
    /// Takes an output that is of it; whether it is.
    pub(super) fn take(&mut self, out: &OutputBatch) -> bool {
        if out.output.as_ref() == NAME {
            for line in lines(&out.batch) {
                if !self.rows.insert(line.clone()) {
                    self.again.push(line);
                }
            }
        } else if out.output.strip_prefix(NAME) == Some(".late") {
            let offsets = out.offsets.as_ref().expect("a late row has an origin").values();
            for origin in out.groups.values().iter().copied().zip(offsets.iter().copied()) {
                if !self.late.insert(origin) {
                    self.again.push(format!("{origin:?}"));
                }
            }
        } else {
            return false;
        }
        true
    }
}

/// A walk over the rows of its stream.
#[derive(Default)]
pub(super) struct Walk {
    counts: BTreeMap<(String, i64), u64>,
    late: BTreeSet<(u32, i64)>,
    /// The last end of a window with rows, of each partition; and what that was when a run ended.
    last: BTreeMap<u32, i64>,
    fired: BTreeMap<u32, i64>,
}

impl Walk {
    /// A row of a partition, with its offset, its key, its time, and the watermark before it; rows of a partition in order.
    pub(super) fn row(&mut self, (partition, offset): (u32, i64), key: &str, at: i64, watermark: i64) {
        let end = at.div_euclid(SIZE_MS) * SIZE_MS + SIZE_MS;
        let fired = self.fired.get(&partition).copied().unwrap_or(i64::MIN);
        if end <= watermark.max(fired) {
            self.late.insert((partition, offset));
            return;
        }
        *self.counts.entry((key.to_owned(), end)).or_default() += 1;
        let last = self.last.entry(partition).or_insert(end);
        *last = end.max(*last);
    }

    /// A run ends behind the rows of a partition.
    pub(super) fn end(&mut self, partition: u32) {
        if let Some(last) = self.last.get(&partition) {
            self.fired.insert(partition, *last);
        }
    }

    /// What has to come of it.
    pub(super) fn answer(self) -> Beside {
        let line = |((key, end), count): ((String, i64), u64)| {
            let end: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![end]).with_timezone("UTC"));
            format!("{key}|{}|{count}", array_value_to_string(&end, 0).expect("a printable value"))
        };
        Beside { rows: self.counts.into_iter().map(line).collect(), late: self.late, again: Vec::new() }
    }
}
