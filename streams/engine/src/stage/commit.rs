//! A stage's commit: windows that are over fire, and what changed goes into records for the changelog, in time
//! proportional to what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use millstream_model::{KeyGroup, Watermark};
use millstream_types::Millis;

use super::{OutputBatch, Running, Stage};
use crate::batch_ipc;
use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::state::{ChangelogEntry, ChangelogRecord, Owned, RECORD_BYTES_MAX};

impl Stage {
    /// Runs what waits, fires every window that is over, and gives the records for the changelog: what changed since
    /// the last commit. They and [`Stage::take_outputs`] belong to one transaction.
    pub fn commit(&mut self, now: Millis) -> Result<Vec<ChangelogRecord>, StageError> {
        self.turn(now)?;
        let mut watermarks = self.watermarks();
        self.promised.clone_from(&watermarks);
        self.fire(&mut watermarks)?;
        let mut records = Vec::new();
        let changed = |group: &usize| self.committed[*group] != watermarks[*group];
        let changed: Vec<usize> = (0..watermarks.len()).filter(changed).collect();
        self.watermark_records(&changed, &watermarks, &mut records);
        for i in 0..self.operators.len() {
            let rows = match &mut self.operators[i].running {
                Running::Dedupe(dedupe) => {
                    let delta = dedupe.delta();
                    dedupe.sweep(&watermarks);
                    Some(delta)
                }
                Running::Sql { query, .. } => query.aggregate_mut().map(|a| a.delta()).transpose()?,
            };
            if let Some(rows) = rows {
                self.state_records(&self.operators[i].id, &rows, &mut records)?;
            }
        }
        self.update(&watermarks, now)?;
        self.committed = watermarks;
        Ok(records)
    }

    /// How many key groups are assigned here.
    pub fn key_groups_assigned(&self) -> usize {
        self.clocks.partitions().count()
    }

    /// The key groups that are assigned here and write to this partition of changelogs.
    pub fn groups_of(&self, partition: u32) -> Vec<KeyGroup> {
        let all = self.clocks.partitions();
        all.filter(|group| group.0 % self.changelog_partitions == partition).collect()
    }

    /// What an operator, by its stable id, keeps for some key groups that are assigned here, all of one partition of its
    /// changelog, as records that void its earlier ones there: to be written behind those of the commit just before, in
    /// its transaction. They hold the groups' watermarks too. Nothing where there is no such operator or group.
    pub fn snapshot(
        &mut self,
        operator: &str,
        partition: u32,
        groups: Vec<KeyGroup>,
    ) -> Result<Vec<ChangelogRecord>, StageError> {
        let Some(at) = self.operators.iter().position(|o| o.id == operator) else { return Ok(Vec::new()) };
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = Owned::default();
        groups.iter().for_each(|group| wanted.add(*group));
        let pairs = groups.iter().map(|group| (*group, self.committed[group.0 as usize])).collect();
        let reset = ChangelogEntry::Reset { operator: operator.to_owned(), groups };
        let mut records = vec![
            ChangelogRecord { partition, entry: reset },
            ChangelogRecord { partition, entry: ChangelogEntry::Watermarks(pairs) },
        ];
        let rows = match &mut self.operators[at].running {
            Running::Dedupe(dedupe) => Some(dedupe.all(&self.committed, &wanted)),
            Running::Sql { query, .. } => query.aggregate_mut().map(|a| a.all(&wanted)).transpose()?,
        };
        if let Some(rows) = rows {
            self.state_records(operator, &rows, &mut records)?;
        }
        Ok(records)
    }

    /// Fires every window that is over. Where input has ended, the watermark to keep is not the end of time but the
    /// one at which the last window that fired was over: a later run over more input then finds later windows open,
    /// and those that fired stay so (SM-2).
    fn fire(&mut self, watermarks: &mut [i64]) -> Result<(), StageError> {
        let mut fired_at = vec![Watermark::NONE.to_raw(); watermarks.len()];
        for at in 0..self.operators.len() {
            if let Running::Sql { query, .. } = &mut self.operators[at].running {
                let fired = query.fire(&self.committed, watermarks, &mut fired_at)?;
                fired.into_iter().try_for_each(|chunk| self.hand_on(at, chunk))?;
            }
        }
        for group in self.clocks.partitions() {
            let at = group.0 as usize;
            if watermarks[at] == Watermark::END.to_raw() {
                watermarks[at] =
                    self.clocks.before_end(group).to_raw().max(fired_at[at]).max(self.committed[at]);
            }
        }
        Ok(())
    }

    /// Sends rows of windows that have not fired, of queries that want that and when it is time. Behind the deltas: what is
    /// sent is what has been noted as changed.
    fn update(&mut self, watermarks: &[i64], now: Millis) -> Result<(), StageError> {
        for at in 0..self.operators.len() {
            let Running::Sql { query, .. } = &mut self.operators[at].running else { continue };
            let changed = query.update(watermarks, now)?;
            changed.into_iter().try_for_each(|chunk| self.hand_on(at, chunk))?;
        }
        Ok(())
    }

    /// Rows that an operator gives with a commit: out, if wanted, and through the operators behind it.
    fn hand_on(&mut self, at: usize, chunk: Chunk) -> Result<(), StageError> {
        let operator = &mut self.operators[at];
        operator.counts.rows_out += chunk.rows() as u64;
        if operator.wanted && chunk.rows() > 0 {
            let output = Arc::clone(&operator.name);
            let (batch, groups) = (chunk.batch.clone(), chunk.groups.clone());
            self.out.batches.push(OutputBatch { output, batch, groups, offsets: None });
        }
        for behind in at + 1..self.operators.len() {
            let operator = &mut self.operators[behind];
            // Only queries without windows are behind one that has some.
            let Running::Sql { query, .. } = &mut operator.running else { continue };
            if operator.input != at + 1 || chunk.rows() == 0 {
                continue;
            }
            operator.counts.rows_in += chunk.rows() as u64;
            if let Some(given) = query.run(chunk.clone(), &mut Vec::new())? {
                self.hand_on(behind, given)?;
            }
        }
        Ok(())
    }

    /// Key groups by the changelog partition that they write to.
    fn by_partition(&self, groups: &[usize]) -> BTreeMap<u32, Vec<usize>> {
        let mut partitions: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for group in groups {
            partitions.entry(*group as u32 % self.changelog_partitions).or_default().push(*group);
        }
        partitions
    }

    fn watermark_records(&self, groups: &[usize], watermarks: &[i64], records: &mut Vec<ChangelogRecord>) {
        for (partition, groups) in self.by_partition(groups) {
            let pairs = groups.into_iter().map(|g| (KeyGroup(g as u32), watermarks[g])).collect();
            records.push(ChangelogRecord { partition, entry: ChangelogEntry::Watermarks(pairs) });
        }
    }

    fn state_records(
        &self,
        operator: &str,
        rows: &RecordBatch,
        records: &mut Vec<ChangelogRecord>,
    ) -> Result<(), StageError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut places: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (row, group) in rows.column(0).as_primitive::<UInt32Type>().values().iter().enumerate() {
            places.entry(group % self.changelog_partitions).or_default().push(row as u32);
        }
        for (partition, places) in places {
            let part = take_record_batch(rows, &UInt32Array::from(places))?;
            for rows in batch_ipc::encode(&part, RECORD_BYTES_MAX - 1_024)? {
                let entry = ChangelogEntry::State { operator: operator.to_owned(), rows };
                records.push(ChangelogRecord { partition, entry });
            }
        }
        Ok(())
    }
}
