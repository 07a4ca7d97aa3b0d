//! A copy of what changelogs hold of some key groups, kept beside whoever owns them and brought on by each record that is read. It is
//! no state of a running stage: nothing fires in it, and it gives its key groups to a stage as a [`CopiedPart`], once.
//!
//! What a `Reset` voids is let go of, watermarks and what has fired are the greatest that were said, so a copy is about as large as the state and
//! not as its changes. Never enters: reading changelogs, up to where a copy may be trusted (the worker's).

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt32Type;
use bytes::Bytes;
use millstream_model::KeyGroup;

use super::ChangelogEntry;
use crate::batch_ipc;
use crate::error::StageError;

/// About how much a batch takes beside its rows.
const BATCH_BYTES: usize = 512;
/// About how much is kept of a key group's watermark, and of how far an operator has fired there.
const WATERMARK_BYTES: usize = 48;

/// A partition of an operator's changelog: the operator's stable id, and the partition.
pub type Place = (String, u32);

/// See the module.
#[derive(Debug, Default)]
pub struct StateCopy {
    groups: BTreeSet<u32>,
    logs: BTreeMap<Place, Log>,
}

/// What one partition of a changelog says.
#[derive(Debug, Default)]
struct Log {
    batches: Vec<Batch>,
    /// By source and key group.
    watermarks: Marks,
    /// How far the operator has fired, likewise. A `Reset` leaves both.
    fired: Marks,
}

/// By source and key group; they only rise.
type Marks = BTreeMap<(Option<String>, u32), i64>;

/// State rows that came in one record.
#[derive(Debug)]
struct Batch {
    branch: u8,
    rows: RecordBatch,
    /// The key groups whose rows count, rising, with how many rows they have. Rows of others are of no meaning.
    live: Vec<(u32, usize)>,
    bytes: usize,
}

/// How far key groups have come.
type Pairs = Vec<(KeyGroup, i64)>;

/// The state of some key groups, on its way from a copy to a stage ([`super::super::stage::Stage::take_up`]). It cannot be copied, and
/// its rows are not in the copy any more: no stage can be given them twice.
#[derive(Debug)]
pub struct CopiedPart {
    pub(crate) groups: BTreeSet<u32>,
    pub(crate) batches: Vec<CopiedBatch>,
    pub(crate) watermarks: Vec<(Option<String>, Pairs)>,
    /// How far operators have fired, by their ids.
    pub(crate) fired: Vec<(String, Option<String>, Pairs)>,
    bytes: BTreeMap<Place, usize>,
    rows: BTreeMap<Place, usize>,
}

/// State rows of an operator, of which those of some key groups count.
#[derive(Debug)]
pub(crate) struct CopiedBatch {
    pub(crate) operator: String,
    pub(crate) branch: u8,
    pub(crate) rows: RecordBatch,
    pub(crate) groups: Vec<u32>,
}

impl Batch {
    /// Lets go of key groups; and of their rows, where they are most of what is kept.
    fn without(mut self, gone: impl Fn(u32) -> bool) -> Result<Option<Batch>, StageError> {
        let before = self.live.len();
        self.live.retain(|(group, _)| !gone(*group));
        if self.live.is_empty() || self.live.len() == before {
            return Ok(Some(self).filter(|batch| !batch.live.is_empty()));
        }
        let rows: usize = self.live.iter().map(|(_, rows)| rows).sum();
        let all = self.rows.num_rows();
        if rows * 2 <= all {
            let groups = self.rows.column(0).as_primitive::<UInt32Type>().values();
            let is_live = |group: &u32| self.live.binary_search_by_key(group, |(live, _)| *live).is_ok();
            let keep: BooleanArray = groups.iter().map(|group| Some(is_live(group))).collect();
            self.bytes = BATCH_BYTES + self.bytes.saturating_sub(BATCH_BYTES) * rows / all;
            self.rows = filter_record_batch(&self.rows, &keep)?;
        }
        Ok(Some(self))
    }
}

impl StateCopy {
    /// A copy of these key groups, of which nothing has been read.
    pub fn new(groups: BTreeSet<u32>) -> StateCopy {
        StateCopy { groups, logs: BTreeMap::new() }
    }

    /// The key groups that it is of.
    pub fn groups(&self) -> &BTreeSet<u32> {
        &self.groups
    }

    /// About how many bytes it has.
    pub fn size(&self) -> usize {
        self.logs.values().map(Log::size).sum()
    }

    /// Takes the value of the next record of a partition of a changelog.
    pub fn apply(&mut self, (operator, partition): (&str, u32), value: &Bytes) -> Result<(), StageError> {
        let bad = |what: String| StageError::State { operator: operator.to_owned(), what };
        let entry = ChangelogEntry::decode(value).map_err(bad)?;
        if let Some(of) = entry.operator().filter(|of| *of != operator) {
            return Err(bad(format!("its changelog has state of {of}")));
        }
        let log = self.logs.entry((operator.to_owned(), partition)).or_default();
        match entry {
            ChangelogEntry::Watermarks { source, pairs } => {
                raise(&mut log.watermarks, &self.groups, &source, pairs);
            }
            ChangelogEntry::Fired { source, pairs, .. } => {
                raise(&mut log.fired, &self.groups, &source, pairs);
            }
            ChangelogEntry::Reset { groups, .. } => {
                let void: BTreeSet<u32> = groups.into_iter().map(|group| group.0).collect();
                log.forget(|group| void.contains(&group))?;
            }
            ChangelogEntry::State { branch, rows, .. } => {
                let bytes = BATCH_BYTES + rows.len();
                let rows = batch_ipc::decode(&rows).map_err(|error| bad(error.to_string()))?;
                let groups =
                    rows.columns().first().and_then(|groups| groups.as_primitive_opt::<UInt32Type>());
                let Some(groups) = groups.filter(|groups| groups.null_count() == 0) else {
                    return Err(bad("rows without key group".to_owned()));
                };
                let mut live: BTreeMap<u32, usize> = BTreeMap::new();
                for group in groups.values() {
                    *live.entry(*group).or_default() += 1;
                }
                let batch = Batch { branch, rows, live: live.into_iter().collect(), bytes };
                log.batches.extend(batch.without(|group| !self.groups.contains(&group))?);
            }
        }
        Ok(())
    }

    /// What was read of a partition of a changelog is void: it begins anew.
    pub fn begin_anew(&mut self, (operator, partition): (&str, u32)) {
        self.logs.remove(&(operator.to_owned(), partition));
    }

    /// Keeps these key groups alone.
    pub fn keep(&mut self, groups: &BTreeSet<u32>) -> Result<(), StageError> {
        self.groups.retain(|group| groups.contains(group));
        let groups = &self.groups;
        for log in self.logs.values_mut() {
            for marks in [&mut log.watermarks, &mut log.fired] {
                marks.retain(|(_, group), _| groups.contains(group));
            }
            log.forget(|group| !groups.contains(&group))?;
        }
        Ok(())
    }

    /// Takes key groups out, with all that there is of them; those that are not here are passed over.
    pub fn take(&mut self, groups: &BTreeSet<u32>) -> Result<CopiedPart, StageError> {
        let groups: BTreeSet<u32> = self.groups.intersection(groups).copied().collect();
        let (mut batches, mut bytes, mut counts) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut watermarks: BTreeMap<Option<String>, Vec<(KeyGroup, i64)>> = BTreeMap::new();
        let mut fired = Vec::new();
        for (place, log) in &self.logs {
            for batch in &log.batches {
                let live = batch.live.iter().filter(|(group, _)| groups.contains(group));
                let (of, rows): (Vec<u32>, Vec<usize>) = live.copied().unzip();
                if of.is_empty() {
                    continue;
                }
                let count: usize = rows.iter().sum();
                let share = batch.bytes * count / batch.rows.num_rows().max(1);
                *counts.entry(place.clone()).or_default() += count;
                *bytes.entry(place.clone()).or_default() += share;
                batches.push(CopiedBatch {
                    operator: place.0.clone(),
                    branch: batch.branch,
                    rows: batch.rows.clone(),
                    groups: of,
                });
            }
            for (source, pairs) in of_groups(&log.watermarks, &groups) {
                watermarks.entry(source).or_default().extend(pairs);
            }
            let of = of_groups(&log.fired, &groups).into_iter();
            fired.extend(of.map(|(source, pairs)| (place.0.clone(), source, pairs)));
        }
        let left = self.groups.difference(&groups).copied().collect();
        self.keep(&left)?;
        let watermarks = watermarks.into_iter().collect();
        Ok(CopiedPart { groups, batches, watermarks, fired, bytes, rows: counts })
    }
}

/// Notes marks of key groups.
fn raise(marks: &mut Marks, groups: &BTreeSet<u32>, source: &Option<String>, pairs: Vec<(KeyGroup, i64)>) {
    for (group, mark) in pairs.into_iter().filter(|(group, _)| groups.contains(&group.0)) {
        let known = marks.entry((source.clone(), group.0)).or_insert(mark);
        *known = mark.max(*known);
    }
}

/// The marks of some key groups, by source.
fn of_groups(marks: &Marks, groups: &BTreeSet<u32>) -> BTreeMap<Option<String>, Vec<(KeyGroup, i64)>> {
    let mut found: BTreeMap<Option<String>, Vec<(KeyGroup, i64)>> = BTreeMap::new();
    for ((source, group), mark) in marks.iter().filter(|((_, group), _)| groups.contains(group)) {
        found.entry(source.clone()).or_default().push((KeyGroup(*group), *mark));
    }
    found
}

impl Log {
    fn forget(&mut self, gone: impl Fn(u32) -> bool) -> Result<(), StageError> {
        for batch in std::mem::take(&mut self.batches) {
            self.batches.extend(batch.without(&gone)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let batches: usize = self.batches.iter().map(|batch| batch.bytes).sum();
        batches + (self.watermarks.len() + self.fired.len()) * WATERMARK_BYTES
    }
}

impl CopiedPart {
    /// The key groups.
    pub fn groups(&self) -> &BTreeSet<u32> {
        &self.groups
    }

    /// Leaves out key groups that are not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&u32) -> bool) {
        self.groups.retain(|group| wanted(group));
        for batch in &mut self.batches {
            batch.groups.retain(|group| wanted(group));
        }
        self.batches.retain(|batch| !batch.groups.is_empty());
        // Watermarks of others are passed over, and how far operators have fired there.
    }

    /// How many rows count, by partition of a changelog.
    pub fn rows(&self) -> &BTreeMap<Place, usize> {
        &self.rows
    }

    /// About how many bytes of each partition of a changelog it has.
    pub fn bytes(&self) -> &BTreeMap<Place, usize> {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, UInt32Array};

    use super::*;

    const OF: (&str, u32) = ("sums", 0);

    fn rows(groups: &[u32], first: i64) -> Bytes {
        let groups: ArrayRef = Arc::new(UInt32Array::from(groups.to_vec()));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + groups.len() as i64));
        let batch = RecordBatch::try_from_iter([("group", groups), ("value", values)]).expect("rows");
        let rows = batch_ipc::encode(&batch, 1 << 20).expect("records").remove(0);
        ChangelogEntry::State { operator: OF.0.to_owned(), branch: 0, rows }.encode()
    }

    fn reset(groups: &[u32]) -> Bytes {
        let groups = groups.iter().map(|group| KeyGroup(*group)).collect();
        ChangelogEntry::Reset { operator: OF.0.to_owned(), groups }.encode()
    }

    fn watermarks(pairs: &[(u32, i64)]) -> Bytes {
        let pairs = pairs.iter().map(|(group, at)| (KeyGroup(*group), *at)).collect();
        ChangelogEntry::Watermarks { source: None, pairs }.encode()
    }

    fn fired(source: Option<&str>, pairs: &[(u32, i64)]) -> Bytes {
        let pairs = pairs.iter().map(|(group, at)| (KeyGroup(*group), *at)).collect();
        let source = source.map(str::to_owned);
        ChangelogEntry::Fired { operator: OF.0.to_owned(), source, pairs }.encode()
    }

    /// The values that count of these key groups, and their watermarks; both leave the copy.
    fn taken(copy: &mut StateCopy, groups: &[u32]) -> (Vec<i64>, Vec<(u32, i64)>) {
        let part = copy.take(&groups.iter().copied().collect()).expect("a part");
        let mut values = Vec::new();
        for batch in &part.batches {
            let of = batch.rows.column(0).as_primitive::<UInt32Type>().values().iter();
            let all = batch.rows.column(1).as_primitive::<arrow::datatypes::Int64Type>().values();
            values.extend(of.zip(all).filter(|(g, _)| batch.groups.contains(g)).map(|(_, value)| *value));
        }
        let watermarks = part.watermarks.into_iter().flat_map(|(_, pairs)| pairs);
        (values, watermarks.map(|(group, at)| (group.0, at)).collect())
    }

    #[test]
    fn what_is_void_is_let_go_of_and_what_is_given_is_given_once() {
        let mut copy = StateCopy::new([1, 2, 3].into());
        for value in [
            rows(&[1, 2, 9], 0),
            watermarks(&[(1, 50), (2, 5), (9, 7)]),
            rows(&[3, 2, 1], 10),
            reset(&[2]),
            watermarks(&[(1, 40), (2, 6)]),
            rows(&[2, 2], 20),
        ] {
            copy.apply(OF, &value).expect("a record of ours");
        }
        assert_eq!(taken(&mut copy, &[2, 7]), (vec![20, 21], vec![(2, 6)]));
        assert_eq!(taken(&mut copy, &[2]), (vec![], vec![]), "it was given");
        assert_eq!(copy.groups(), &[1, 3].into());
        // What comes for a key group that is not here any more is passed over.
        copy.apply(OF, &rows(&[2, 1], 30)).expect("a record of ours");
        assert_eq!(taken(&mut copy, &[1, 2, 3]), (vec![0, 10, 12, 31], vec![(1, 50)]));
        assert_eq!(copy.size(), 0);
    }

    /// As watermarks, by operator and source, and apart from them.
    #[test]
    fn how_far_an_operator_has_fired_only_rises() {
        let mut copy = StateCopy::new([1, 2].into());
        for value in [
            fired(None, &[(1, 50), (2, 5), (9, 7)]),
            fired(Some("sales"), &[(2, 8)]),
            watermarks(&[(1, 10)]),
            reset(&[1, 2]),
            fired(None, &[(1, 40), (2, 6)]),
        ] {
            copy.apply(OF, &value).expect("a record of ours");
        }
        let other = ChangelogEntry::Fired {
            operator: "days".to_owned(),
            source: None,
            pairs: vec![(KeyGroup(2), 3)],
        };
        copy.apply(("days", 0), &other.encode()).expect("a record of ours");
        let size = copy.size();
        let part = copy.take(&[2].into()).expect("a part");
        let pairs = |at| vec![(KeyGroup(2), at)];
        let of = |operator: &str, source: Option<&str>, at| {
            (operator.to_owned(), source.map(str::to_owned), pairs(at))
        };
        assert_eq!(part.fired, [of("days", None, 3), of(OF.0, None, 6), of(OF.0, Some("sales"), 8)]);
        assert!(part.watermarks.is_empty());
        assert!(copy.size() < size);
        let part = copy.take(&[1].into()).expect("a part");
        assert_eq!(part.fired, [(OF.0.to_owned(), None, vec![(KeyGroup(1), 50)])]);
        assert_eq!(part.watermarks, [(None, vec![(KeyGroup(1), 10)])]);
        assert_eq!(copy.size(), 0);
    }

    #[test]
    fn a_copy_is_as_large_as_what_counts() {
        let mut copy = StateCopy::new([1, 2].into());
        let groups = [1; 1_000];
        for first in 0..20 {
            copy.apply(OF, &rows(&groups, first)).expect("a record of ours");
        }
        let large = copy.size();
        for value in [reset(&[1]), rows(&groups, 7)] {
            copy.apply(OF, &value).expect("a record of ours");
        }
        assert!(copy.size() * 15 < large, "{} of {large}", copy.size());
        // Of a batch that is mostly of others little is kept.
        let mut mixed = vec![9; 10_000];
        mixed[5_000] = 2;
        copy.apply(OF, &rows(&mixed, 0)).expect("a record of ours");
        assert!(copy.size() < 4 * (12_000 + BATCH_BYTES), "{}", copy.size());
        copy.begin_anew(OF);
        assert_eq!((copy.size(), taken(&mut copy, &[1, 2])), (0, (vec![], vec![])));
    }

    #[test]
    fn records_that_are_not_its_own_are_refused() {
        let mut copy = StateCopy::new([1].into());
        let of_other = ChangelogEntry::Reset { operator: "other".to_owned(), groups: vec![] }.encode();
        let no_rows =
            ChangelogEntry::State { operator: OF.0.to_owned(), branch: 0, rows: Bytes::from_static(b"x") };
        let fired_by_other =
            ChangelogEntry::Fired { operator: "other".to_owned(), source: None, pairs: vec![] }.encode();
        for value in [of_other, fired_by_other, no_rows.encode(), Bytes::from_static(b"nonsense")] {
            assert!(copy.apply(OF, &value).is_err());
        }
        assert_eq!(copy.size(), 0);
    }
}
