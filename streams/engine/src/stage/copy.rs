//! What an operator keeps for some key groups, in full: as records that void its earlier ones, for its changelog, or as rows that are
//! kept elsewhere, by key group. Taken behind a commit, before anything else is run. Never enters: when, and where it goes.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use bytes::Bytes;
use millstream_model::{EventTime, KeyGroup};

use super::commit::Of;
use super::{Running, Stage};
use crate::batch_ipc;
use crate::error::StageError;
use crate::state::{ChangelogEntry, ChangelogRecord, Owned, RECORD_BYTES_MAX};

/// The rows that an operator keeps for some key groups, as of a commit: cheap to take, and encoded elsewhere.
#[derive(Clone, Debug)]
pub struct Copied {
    operator: String,
    /// Of each stream that it joins; the first column is the key group.
    branches: Vec<RecordBatch>,
}

impl Copied {
    /// How much the rows hold in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.branches.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// The rows of each key group, as values of a changelog's records, each within its bounds. A key group without rows has none.
    pub fn by_group(&self) -> Result<BTreeMap<u32, Vec<Bytes>>, StageError> {
        let mut found: BTreeMap<u32, Vec<Bytes>> = BTreeMap::new();
        for (rows, branch) in self.branches.iter().zip(0u8..).filter(|(rows, _)| rows.num_rows() > 0) {
            let mut places: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (row, group) in rows.column(0).as_primitive::<UInt32Type>().values().iter().enumerate() {
                places.entry(*group).or_default().push(row as u32);
            }
            for (group, places) in places {
                let part = take_record_batch(rows, &UInt32Array::from(places))?;
                for rows in batch_ipc::encode(&part, RECORD_BYTES_MAX - 1_024)? {
                    let entry = ChangelogEntry::State { operator: self.operator.clone(), branch, rows };
                    found.entry(group).or_default().push(entry.encode());
                }
            }
        }
        Ok(found)
    }
}

impl Stage {
    /// What an operator, by its stable id, keeps for some key groups that are assigned here, all of one partition of its
    /// changelog, as records that void its earlier ones there: to be written behind those of the commit just before, in
    /// its transaction. They hold the groups' watermarks too, and how far it has fired. Nothing where there is no such operator or group.
    pub fn snapshot(
        &mut self,
        operator: &str,
        partition: u32,
        groups: Vec<KeyGroup>,
    ) -> Result<Vec<ChangelogRecord>, StageError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let Some(copied) = self.copy(operator, &groups)? else { return Ok(Vec::new()) };
        let reset = ChangelogEntry::Reset { operator: operator.to_owned(), groups: groups.clone() };
        let entries = [reset].into_iter().chain(self.committed_marks(operator, &groups));
        let mut records: Vec<ChangelogRecord> =
            entries.map(|entry| ChangelogRecord { partition, entry, groups: Vec::new() }).collect();
        self.state_records(operator, copied.branches, &mut records)?;
        Ok(records)
    }

    /// What an operator, by its stable id, keeps for some key groups that are assigned here, as of the commit just before. Nothing where
    /// there is no such operator.
    pub fn copy(&mut self, operator: &str, groups: &[KeyGroup]) -> Result<Option<Copied>, StageError> {
        self.let_go()?;
        let Some(at) = self.operators.iter().position(|o| o.id == operator) else { return Ok(None) };
        let mut wanted = Owned::default();
        groups.iter().for_each(|group| wanted.add(*group));
        let (sources, found) = (&self.sources, &mut self.operators[at]);
        let branches = match &mut found.running {
            Running::Dedupe(dedupe) => {
                let committed = Stage::least(&found.sources, |at| &sources[at].committed);
                vec![dedupe.all(&committed, &wanted)]
            }
            Running::Sql { query, .. } => {
                query.aggregates_mut().map(|a| a.all(&wanted)).collect::<Result<_, _>>()?
            }
        };
        Ok(Some(Copied { operator: operator.to_owned(), branches }))
    }

    /// The watermarks of key groups, of all sources, and how far an operator has fired for them, as of the commit just before.
    pub fn committed_marks(&self, operator: &str, groups: &[KeyGroup]) -> Vec<ChangelogEntry> {
        let mut entries = Vec::new();
        for (at, source) in self.sources.iter().enumerate() {
            let mut known = vec![(Of::Own, &source.committed)];
            if groups.iter().any(|group| source.held_committed[group.0 as usize] > EventTime::MIN) {
                known.push((Of::Held, &source.held_committed));
            }
            if self.sources.len() > 1 {
                known.push((Of::Others, &source.followed_committed));
            }
            for (of, committed) in known {
                let pairs = groups.iter().map(|group| (*group, committed[group.0 as usize])).collect();
                entries.push(ChangelogEntry::Watermarks { source: self.name_of(at, of), pairs });
            }
        }
        let found = self.operators.iter().find(|found| found.id == operator);
        for (source, pairs) in found.into_iter().flat_map(|found| found.fired.of_groups(groups)) {
            let (operator, source) = (operator.to_owned(), self.name_of(source, Of::Own));
            entries.push(ChangelogEntry::Fired { operator, source, pairs });
        }
        entries
    }
}
