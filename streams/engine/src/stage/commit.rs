//! A stage's commit: windows that are over fire, and what changed goes into records for the changelog, in time
//! proportional to what changed.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use millstream_model::{KeyGroup, Watermark};
use millstream_types::Millis;

use super::fired::Pairs;
use super::leaving::{Giver, Leaving, Take};
use super::source::{self, Source};
use super::{Operator, Outputs, Running, Stage};
use crate::batch_ipc;
use crate::error::StageError;
use crate::op::faults::Faults;
use crate::sql::query::Progress;
use crate::state::{ChangelogEntry, ChangelogRecord, Owned, RECORD_BYTES_MAX};

/// Whose watermarks.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// The source's own.
    Own,
    /// Those of others that it followed while it was idle.
    Others,
    /// The event times that it holds back until those who write its partitions have come further.
    Held,
}

impl Stage {
    /// Runs what waits, fires every window that is over, and gives the records for the changelog: what changed since
    /// the last commit. They and [`Stage::take_outputs`] belong to one transaction.
    pub fn commit(&mut self, now: Millis) -> Result<Vec<ChangelogRecord>, StageError> {
        let mut given = Outputs::default();
        let records = self.commit_giving(now, |some| {
            given.extend(some);
            Ok(())
        });
        given.extend(self.take_outputs());
        self.out = given;
        records
    }

    /// The same, and hands out what comes out while it does, some at a time; the rest is in [`Stage::take_outputs`]. So what is due
    /// all at once is not in memory at once. Whoever cannot take it ends the commit, by [`StageError::NotTaken`] for one.
    pub fn commit_giving(
        &mut self,
        now: Millis,
        mut take: impl FnMut(Outputs) -> Result<(), StageError>,
    ) -> Result<Vec<ChangelogRecord>, StageError> {
        self.turn_giving(now, &mut take)?;
        // Of each source.
        let mut watermarks: Vec<Vec<i64>> = self.sources.iter().map(Source::watermarks).collect();
        for (source, watermarks) in self.sources.iter_mut().zip(&watermarks) {
            source.promised.clone_from(watermarks);
        }
        self.fire(&watermarks, now, &mut take)?;
        // What is kept is what was promised before the end.
        watermarks = self.before_ends(&watermarks);
        let mut records = Vec::new();
        let held: Vec<Vec<i64>> = self.sources.iter().map(Source::held).collect();
        for (at, watermarks) in watermarks.iter().enumerate() {
            let source = &self.sources[at];
            let own = (self.name_of(at, Of::Own), &source.committed, watermarks);
            let followed = (self.name_of(at, Of::Others), &source.followed_committed, &source.followed);
            let held = (self.name_of(at, Of::Held), &source.held_committed, &held[at]);
            for (name, before, now) in [own, followed, held] {
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
            let known = Stage::progress(&self.operators[i], &watermarks, &joined);
            let operator = &mut self.operators[i];
            let fired = operator.fired.take_changed();
            let rows = match &mut operator.running {
                Running::Dedupe(dedupe) => {
                    let delta = dedupe.delta();
                    // It joins nothing.
                    dedupe.sweep(&Stage::least(&operator.sources, |at| &watermarks[at]));
                    vec![delta]
                }
                Running::Sql { query, .. } => {
                    let of = |of: &Vec<usize>| Stage::least(of, |at| &known[at]);
                    query.sweep(&operator.branches.iter().map(of).collect::<Vec<_>>())?;
                    query.aggregates_mut().map(|a| a.delta()).collect::<Result<_, _>>()?
                }
            };
            let operator = &self.operators[i].id;
            self.state_records(operator, rows, &mut records)?;
            self.fired_records(operator, fired, &mut records);
        }
        for ((source, watermarks), held) in self.sources.iter_mut().zip(watermarks).zip(held) {
            source.committed = watermarks;
            source.held_committed = held;
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

    /// Every source's watermarks without the ends of input.
    fn before_ends(&self, watermarks: &[Vec<i64>]) -> Vec<Vec<i64>> {
        let all = self.sources.iter().zip(watermarks);
        all.map(|(source, watermarks)| source.before_ends(watermarks)).collect()
    }

    /// Fires every window that is over, and sends again or early what has changed of others. Where input has ended, an operator
    /// notes the watermark at which the last window that it fired was over: a later run over more input then finds its later windows
    /// open, and those that fired stay so (SM-2, SM-5); windows whose rows are sent again note nothing and go on. A window over
    /// several sources fires by the least of their watermarks.
    fn fire(&mut self, watermarks: &[Vec<i64>], clock: Millis, take: Take<'_>) -> Result<(), StageError> {
        let (own, joined) = self.committed();
        let now_joined = self.sources.iter().zip(watermarks.iter());
        let now_joined: Vec<Vec<i64>> =
            now_joined.map(|(source, own)| source::greater(own, &source.followed)).collect();
        let kept_own = self.before_ends(watermarks);
        let kept_joined = self.sources.iter().zip(&kept_own);
        let kept_joined: Vec<Vec<i64>> =
            kept_joined.map(|(source, own)| source::greater(own, &source.followed)).collect();
        let mut leaving = Leaving::new(&mut self.out, Some(take));
        for at in 0..self.operators.len() {
            let known = Stage::progress(&self.operators[at], &own, &joined);
            // The end of input ends no group that is let go of: those go by what will be kept.
            let lets_go =
                matches!(&self.operators[at].running, Running::Sql { query, .. } if query.lets_go());
            let known_now = match lets_go {
                true => Stage::progress(&self.operators[at], &kept_own, &kept_joined),
                false => Stage::progress(&self.operators[at], watermarks, &now_joined),
            };
            let Some((operator, behind)) = self.operators[at..].split_first_mut() else { continue };
            let Operator { running, name, wanted, counts, .. } = operator;
            let Running::Sql { query, .. } = running else { continue };
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
            let mut faults = Faults::new();
            let node = self.sources.len() + at;
            let mut giver = Giver { name, wanted: *wanted, counts, node, behind };
            giver.timed(&mut leaving, |give| query.fire(&progress, &mut last, updates, &mut faults, give))?;
            leaving.fail_rows(name, &mut faults)?;
            for (of, last) in operator.branches.iter().zip(&last) {
                for source in of {
                    for group in self.sources[*source].clocks.partitions() {
                        let place = group.0 as usize;
                        if watermarks[*source][place] == Watermark::END.to_raw() {
                            operator.fired.raise(self.key_groups, *source, group, last[place]);
                        }
                    }
                }
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

    /// The name under which a source's watermarks are kept; nothing for those of the only one. It says of which stage they are:
    /// with other sources it is another, which reads them anew.
    pub(super) fn name_of(&self, source: usize, of: Of) -> Option<String> {
        let mark = match of {
            Of::Own => "",
            Of::Others => " followed",
            Of::Held => " held",
        };
        (self.sources.len() > 1 || matches!(of, Of::Held))
            .then(|| format!("{}/{}{mark}", self.id, self.sources[source].name))
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
            records.push(ChangelogRecord { partition, entry, groups: Vec::new() });
        }
    }

    fn fired_records(&self, operator: &str, fired: Pairs, records: &mut Vec<ChangelogRecord>) {
        for (source, pairs) in fired {
            let mut partitions: BTreeMap<u32, Vec<(KeyGroup, i64)>> = BTreeMap::new();
            for (group, mark) in pairs {
                partitions.entry(group.0 % self.changelog_partitions).or_default().push((group, mark));
            }
            for (partition, pairs) in partitions {
                let (operator, source) = (operator.to_owned(), self.name_of(source, Of::Own));
                records.push(ChangelogRecord {
                    partition,
                    entry: ChangelogEntry::Fired { operator, source, pairs },
                    groups: Vec::new(),
                });
            }
        }
    }

    pub(super) fn state_records(
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
            let (mut has, mut row) = (Owned::default(), 0);
            for run in rows.column(0).as_primitive::<UInt32Type>().values().chunk_by(|a, b| a == b) {
                let behind = row + run.len() as u32;
                places.entry(run[0] % self.changelog_partitions).or_default().extend(row..behind);
                has.add(KeyGroup(run[0]));
                row = behind;
            }
            for (partition, places) in places {
                // Those that are all of one partition are not copied for it.
                let part = match places.len() == rows.num_rows() {
                    true => rows.clone(),
                    false => take_record_batch(rows, &UInt32Array::from(places))?,
                };
                let of = |group: &KeyGroup| group.0 % self.changelog_partitions == partition;
                let groups: Vec<KeyGroup> = has.iter().filter(of).collect();
                for rows in batch_ipc::encode(&part, RECORD_BYTES_MAX - 1_024)? {
                    let entry = ChangelogEntry::State { operator: operator.to_owned(), branch, rows };
                    records.push(ChangelogRecord { partition, entry, groups: groups.clone() });
                }
            }
        }
        Ok(())
    }
}
