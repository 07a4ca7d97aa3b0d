//! Taking key groups over: their records of the changelog, read committed and in order, are applied to a stage, which
//! may be running others meanwhile.

use std::collections::BTreeMap;

use arrow::array::Array;
use bytes::Bytes;
use millstream_model::KeyGroup;
use millstream_types::Millis;

use super::commit::Of;
use super::{Operator, Running, Stage, same_state};
use crate::batch_ipc;
use crate::error::StageError;
use crate::op::dedupe::Dedupe;
use crate::state::{ChangelogEntry, Owned};

/// A restore that is under way.
#[derive(Debug)]
pub struct Restore {
    groups: Owned,
    /// By source and key group; its own, and those of others that it followed.
    watermarks: BTreeMap<(usize, u32), i64>,
    followed: BTreeMap<(usize, u32), i64>,
}

impl Restore {
    /// Begins to restore these key groups, of which the stage has nothing.
    pub fn new(groups: impl IntoIterator<Item = KeyGroup>) -> Restore {
        let mut owned = Owned::default();
        groups.into_iter().for_each(|group| owned.add(group));
        Restore { groups: owned, watermarks: BTreeMap::new(), followed: BTreeMap::new() }
    }

    /// Applies the value of one record. Records of a changelog partition come in its order; rows of other key groups
    /// are passed over.
    pub fn apply(&mut self, stage: &mut Stage, value: &Bytes) -> Result<(), StageError> {
        let bad = |operator: &str, what: String| StageError::State { operator: operator.to_owned(), what };
        match ChangelogEntry::decode(value).map_err(|what| bad("of the stage", what))? {
            ChangelogEntry::Watermarks { source, pairs } => {
                // Those of a source that the stage does not read any more, or read alone before, say nothing of it now.
                let all = 0..stage.sources.len();
                let own = all.clone().find(|at| stage.name_of(*at, Of::Own) == source);
                let other =
                    all.clone().find(|at| source.is_some() && stage.name_of(*at, Of::Others) == source);
                let (source, watermarks) = match (own, other) {
                    (Some(own), _) => (own, &mut self.watermarks),
                    (None, Some(other)) => (other, &mut self.followed),
                    (None, None) => return Ok(()),
                };
                for (group, watermark) in pairs.into_iter().filter(|(group, _)| self.groups.has(group.0)) {
                    let known = watermarks.entry((source, group.0)).or_insert(watermark);
                    *known = watermark.max(*known);
                }
            }
            ChangelogEntry::Reset { operator, groups } => {
                // Watermarks stay: they only rise.
                let found = find(stage, &operator)?;
                let mut void = Owned::default();
                groups.into_iter().filter(|group| self.groups.has(group.0)).for_each(|group| void.add(group));
                found.running.forget(&void)?;
            }
            ChangelogEntry::State { operator, branch, rows } => {
                let rows = batch_ipc::decode(&rows).map_err(|e| bad(&operator, e.to_string()))?;
                let found = find(stage, &operator)?;
                let groups_known = rows.num_columns() > 0 && rows.column(0).null_count() == 0;
                if !groups_known {
                    return Err(bad(&operator, "rows without key group".to_owned()));
                }
                match &mut found.running {
                    Running::Dedupe(dedupe) => {
                        same_state(&operator, &Dedupe::state_schema(), &rows.schema())?;
                        dedupe.restore(&rows, &self.groups);
                    }
                    Running::Sql { query, .. } => query.restore(usize::from(branch), &rows, &self.groups)?,
                }
            }
        }
        Ok(())
    }

    /// Ends the restore: windows that had fired are dropped, and the key groups are assigned.
    pub fn finish(self, stage: &mut Stage, now: Millis) -> Result<(), StageError> {
        for ((source, group), watermark) in &self.watermarks {
            stage.sources[*source].committed[*group as usize] = *watermark;
        }
        for ((source, group), watermark) in &self.followed {
            stage.sources[*source].followed_committed[*group as usize] = *watermark;
        }
        let (own, joined) = stage.committed();
        for operator in &mut stage.operators {
            let known = Stage::progress(operator, &own, &joined);
            let watermarks = Stage::least(&operator.sources, |at| &known[at]);
            match &mut operator.running {
                Running::Dedupe(_) => {}
                Running::Sql { query, .. } => query
                    .aggregates_mut()
                    .try_for_each(|aggregate| aggregate.finish_restore(&watermarks, &self.groups))?,
            }
        }
        for group in self.groups.iter() {
            stage.assign(group, now);
        }
        Ok(())
    }
}

fn find<'a>(stage: &'a mut Stage, operator: &str) -> Result<&'a mut Operator, StageError> {
    stage.operators.iter_mut().find(|o| o.id == operator).ok_or_else(|| StageError::State {
        operator: operator.to_owned(),
        what: "the changelog has state for it, but the stage has no such operator".to_owned(),
    })
}
