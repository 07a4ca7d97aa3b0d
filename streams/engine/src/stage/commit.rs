//! A stage's commit: windows that are over fire, and what changed goes into records for the changelog, in time
//! proportional to what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use millstream_model::{KeyGroup, Watermark};
use millstream_types::Millis;

use super::source::{self, Source};
use super::{OutputBatch, Running, Stage};
use crate::batch_ipc;
use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::sql::query::Progress;
use crate::state::{ChangelogEntry, ChangelogRecord, Owned, RECORD_BYTES_MAX};

/// Whose watermarks.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// The source's own.
    Own,
    /// Those of others that it followed while it was idle.
    Others,
}

impl Stage {
    /// Runs what waits, fires every window that is over, and gives the records for the changelog: what changed since
    /// the last commit. They and [`Stage::take_outputs`] belong to one transaction.
    pub fn commit(&mut self, now: Millis) -> Result<Vec<ChangelogRecord>, StageError> {
        self.turn(now)?;
        // Of each source.
        let mut watermarks: Vec<Vec<i64>> = self.sources.iter().map(Source::watermarks).collect();
        for (source, watermarks) in self.sources.iter_mut().zip(&watermarks) {
            source.promised.clone_from(watermarks);
        }
        self.fire(&mut watermarks, now)?;
        let mut records = Vec::new();
        for (at, watermarks) in watermarks.iter().enumerate() {
            let source = &self.sources[at];
            let own = (self.name_of(at, Of::Own), &source.committed, watermarks);
            let followed = (self.name_of(at, Of::Others), &source.followed_committed, &source.followed);
            for (name, before, now) in [own, followed] {
                self.watermark_records(&name, before, now, &mut records);
            }
        }
        // What is kept for a source that has ended, while others have no end, is kept for nothing.
        let over = |source: &Source| -> Vec<i64> {
            let ended = |group: u32| source.clocks.has_ended_for_ever(KeyGroup(group));
            let end = |group| if ended(group) { Watermark::END.to_raw() } else { Watermark::NONE.to_raw() };
            (0..self.key_groups).map(end).collect()
        };
        let joined = self.sources.iter().zip(&watermarks);
        let joined: Vec<Vec<i64>> = joined
            .map(|(source, own)| source::greater(&source::greater(own, &source.followed), &over(source)))
            .collect();
        for i in 0..self.operators.len() {
            let operator = &mut self.operators[i];
            let rows = match &mut operator.running {
                Running::Dedupe(dedupe) => {
                    let delta = dedupe.delta();
                    // It joins nothing.
                    dedupe.sweep(&Stage::least(&operator.sources, |at| &watermarks[at]));
                    vec![delta]
                }
                Running::Sql { query, .. } => {
                    let known = if operator.sources.len() > 1 { &joined } else { &watermarks };
                    let of = |of: &Vec<usize>| Stage::least(of, |at| &known[at]);
                    query.sweep(&operator.branches.iter().map(of).collect::<Vec<_>>())?;
                    query.aggregates_mut().map(|a| a.delta()).collect::<Result<_, _>>()?
                }
            };
            self.state_records(&self.operators[i].id, rows, &mut records)?;
        }
        for (source, watermarks) in self.sources.iter_mut().zip(watermarks) {
            source.committed = watermarks;
            source.followed_committed.clone_from(&source.followed);
        }
        Ok(records)
    }

    /// How many key groups are assigned here.
    pub fn key_groups_assigned(&self) -> usize {
        // All sources have the same.
        self.sources.first().map_or(0, |source| source.clocks.partitions().count())
    }

    /// The key groups that are assigned here and write to this partition of changelogs.
    pub fn groups_of(&self, partition: u32) -> Vec<KeyGroup> {
        let all = self.sources.iter().take(1).flat_map(|source| source.clocks.partitions());
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
        let reset = ChangelogEntry::Reset { operator: operator.to_owned(), groups: groups.clone() };
        let mut records = vec![ChangelogRecord { partition, entry: reset }];
        for (at, source) in self.sources.iter().enumerate() {
            let mut known = vec![(Of::Own, &source.committed)];
            if self.sources.len() > 1 {
                known.push((Of::Others, &source.followed_committed));
            }
            for (of, committed) in known {
                let pairs = groups.iter().map(|group| (*group, committed[group.0 as usize])).collect();
                let entry = ChangelogEntry::Watermarks { source: self.name_of(at, of), pairs };
                records.push(ChangelogRecord { partition, entry });
            }
        }
        let (sources, found) = (&self.sources, &mut self.operators[at]);
        let rows = match &mut found.running {
            Running::Dedupe(dedupe) => {
                let committed = Stage::least(&found.sources, |at| &sources[at].committed);
                vec![dedupe.all(&committed, &wanted)]
            }
            Running::Sql { query, .. } => {
                query.aggregates_mut().map(|a| a.all(&wanted)).collect::<Result<_, _>>()?
            }
        };
        self.state_records(operator, rows, &mut records)?;
        Ok(records)
    }

    /// Fires every window that is over, and sends again or early what has changed of others. Where input has ended, the watermark to keep is not the end of time but the
    /// one at which the last window that fired was over: a later run over more input then finds later windows open,
    /// and those that fired stay so (SM-2); windows whose rows are sent again raise it by nothing and go on. A window over several sources fires by the least of their watermarks.
    fn fire(&mut self, watermarks: &mut [Vec<i64>], clock: Millis) -> Result<(), StageError> {
        let mut fired_at = vec![vec![Watermark::NONE.to_raw(); self.key_groups as usize]; watermarks.len()];
        let (own, joined) = self.committed();
        let now_joined = self.sources.iter().zip(watermarks.iter());
        let now_joined: Vec<Vec<i64>> =
            now_joined.map(|(source, own)| source::greater(own, &source.followed)).collect();
        for at in 0..self.operators.len() {
            let known = Stage::progress(&self.operators[at], &own, &joined);
            let known_now = Stage::progress(&self.operators[at], watermarks, &now_joined);
            let operator = &mut self.operators[at];
            let Running::Sql { query, .. } = &mut operator.running else { continue };
            if !query.is_windowed() {
                continue;
            }
            let before = |of: &Vec<usize>| Stage::least(of, |at| &known[at]);
            let now = |of: &Vec<usize>| Stage::least(of, |at| &known_now[at]);
            let progress = Progress {
                before: operator.branches.iter().map(before).collect(),
                now: operator.branches.iter().map(now).collect(),
            };
            let none = vec![Watermark::NONE.to_raw(); self.key_groups as usize];
            let mut last = vec![none; operator.branches.len()];
            let is_last = operator.sources.iter().all(|at| self.sources[*at].clocks.all_finished());
            let updates = query.updates(clock, is_last);
            let fired = query.fire(&progress, &mut last, updates)?;
            for (of, last) in operator.branches.iter().zip(&last) {
                for source in of {
                    fired_at[*source].iter_mut().zip(last).for_each(|(at, last)| *at = (*at).max(*last));
                }
            }
            fired.into_iter().try_for_each(|chunk| self.hand_on(at, chunk))?;
        }
        for ((source, watermarks), fired_at) in self.sources.iter().zip(watermarks).zip(fired_at) {
            for group in source.clocks.partitions() {
                let at = group.0 as usize;
                if watermarks[at] == Watermark::END.to_raw() {
                    let kept = source.clocks.before_end(group).to_raw();
                    watermarks[at] = kept.max(fired_at[at]).max(source.committed[at]);
                }
            }
        }
        Ok(())
    }

    /// Rows that an operator gives with a commit: out, if wanted, and through the operators behind it.
    fn hand_on(&mut self, at: usize, chunk: Chunk) -> Result<(), StageError> {
        let node = self.sources.len() + at;
        let operator = &mut self.operators[at];
        operator.counts.rows_out += chunk.rows() as u64;
        if operator.wanted && chunk.rows() > 0 {
            self.out.batches.push(OutputBatch::made(Arc::clone(&operator.name), &chunk));
        }
        for behind in at + 1..self.operators.len() {
            let operator = &mut self.operators[behind];
            // Only queries without windows are behind one that has some.
            let Running::Sql { query, .. } = &mut operator.running else { continue };
            // A union may read it more than once.
            let inputs = operator.inputs.iter().enumerate().filter(|(_, input)| **input == node);
            let branches: Vec<usize> = inputs.map(|(branch, _)| branch).collect();
            let mut given = Vec::new();
            for branch in branches.into_iter().filter(|_| chunk.rows() > 0) {
                operator.counts.rows_in += chunk.rows() as u64;
                given.extend(query.run(branch, chunk.clone(), &mut Vec::new())?);
            }
            given.into_iter().try_for_each(|chunk| self.hand_on(behind, chunk))?;
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

    /// The name under which a source's watermarks are kept; nothing where there is only one. It says of which stage they are:
    /// with other sources it is another, which reads them anew.
    pub(super) fn name_of(&self, source: usize, of: Of) -> Option<String> {
        let mark = match of {
            Of::Own => "",
            Of::Others => " followed",
        };
        (self.sources.len() > 1).then(|| format!("{}/{}{mark}", self.id, self.sources[source].name))
    }

    fn watermark_records(
        &self,
        source: &Option<String>,
        before: &[i64],
        now: &[i64],
        records: &mut Vec<ChangelogRecord>,
    ) {
        let changed: Vec<usize> = (0..now.len()).filter(|group| before[*group] != now[*group]).collect();
        for (partition, groups) in self.by_partition(&changed) {
            let pairs = groups.into_iter().map(|g| (KeyGroup(g as u32), now[g])).collect();
            let entry = ChangelogEntry::Watermarks { source: source.clone(), pairs };
            records.push(ChangelogRecord { partition, entry });
        }
    }

    fn state_records(
        &self,
        operator: &str,
        branches: Vec<RecordBatch>,
        records: &mut Vec<ChangelogRecord>,
    ) -> Result<(), StageError> {
        for (rows, branch) in branches.iter().zip(0u8..) {
            if rows.num_rows() == 0 {
                continue;
            }
            let mut places: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (row, group) in rows.column(0).as_primitive::<UInt32Type>().values().iter().enumerate() {
                places.entry(group % self.changelog_partitions).or_default().push(row as u32);
            }
            for (partition, places) in places {
                let part = take_record_batch(rows, &UInt32Array::from(places))?;
                for rows in batch_ipc::encode(&part, RECORD_BYTES_MAX - 1_024)? {
                    let entry = ChangelogEntry::State { operator: operator.to_owned(), branch, rows };
                    records.push(ChangelogRecord { partition, entry });
                }
            }
        }
        Ok(())
    }
}
