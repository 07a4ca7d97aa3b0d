//! Taking key groups over: their records of the changelog, read committed and in order, are applied to a stage, which
//! may be running others meanwhile.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use bytes::Bytes;
use millstream_model::KeyGroup;
use millstream_types::Millis;

use super::commit::Of;
use super::{Operator, Running, Stage, same_state};
use crate::batch_ipc;
use crate::error::StageError;
use crate::op::dedupe::Dedupe;
use crate::state::copy::{CopiedBatch, CopiedPart};
use crate::state::{ChangelogEntry, Owned};

/// Batches of a copy of fewer bytes are made one with those behind them, until there are about as many bytes as this.
const GATHERED_BYTES_MAX: usize = 256 << 10;

/// A restore that is under way.
#[derive(Debug)]
pub struct Restore {
    groups: Owned,
    /// Whether it was looked that none of them is open in the stage.
    is_begun: bool,
    /// By source and key group; its own, and those of others that it followed.
    watermarks: BTreeMap<(usize, u32), i64>,
    followed: BTreeMap<(usize, u32), i64>,
    /// What was held back, likewise.
    held: BTreeMap<(usize, u32), i64>,
    /// By operator, source and key group.
    fired: BTreeMap<(usize, usize, u32), i64>,
}

impl Restore {
    /// Begins to restore these key groups, of which the stage has nothing.
    pub fn new(groups: impl IntoIterator<Item = KeyGroup>) -> Restore {
        let mut owned = Owned::default();
        groups.into_iter().for_each(|group| owned.add(group));
        Restore {
            groups: owned,
            is_begun: false,
            watermarks: BTreeMap::new(),
            followed: BTreeMap::new(),
            held: BTreeMap::new(),
            fired: BTreeMap::new(),
        }
    }

    /// Applies the value of one record. Records of a changelog partition come in its order; rows of other key groups
    /// are passed over.
    pub fn apply(&mut self, stage: &mut Stage, value: &Bytes) -> Result<(), StageError> {
        let bad = |operator: &str, what: String| StageError::State { operator: operator.to_owned(), what };
        self.begin(stage)?;
        match ChangelogEntry::decode(value).map_err(|what| bad("of the stage", what))? {
            ChangelogEntry::Watermarks { source, pairs } => self.note(stage, &source, pairs),
            ChangelogEntry::Fired { operator, source, pairs } => {
                let at = place_of(stage, &operator)?;
                self.note_fired(stage, at, &source, pairs);
            }
            ChangelogEntry::Reset { operator, groups } => {
                // Watermarks stay, and how far it has fired: they only rise.
                let found = find(stage, &operator)?;
                let mut void = Owned::default();
                groups.into_iter().filter(|group| self.groups.has(group.0)).for_each(|group| void.add(group));
                found.running.forget(&void)?;
            }
            ChangelogEntry::State { operator, branch, rows } => {
                let rows = batch_ipc::decode(&rows).map_err(|e| bad(&operator, e.to_string()))?;
                let groups_known = rows.num_columns() > 0 && rows.column(0).null_count() == 0;
                if !groups_known {
                    return Err(bad(&operator, "rows without key group".to_owned()));
                }
                add(find(stage, &operator)?, branch, &rows, &self.groups)?;
            }
        }
        Ok(())
    }

    /// A stage that runs these key groups already is given nothing of them.
    fn begin(&mut self, stage: &mut Stage) -> Result<(), StageError> {
        if std::mem::replace(&mut self.is_begun, true) {
            return Ok(());
        }
        stage.let_go()?;
        let is_open = |group: &KeyGroup| stage.sources.iter().any(|source| source.clocks.has(*group));
        match self.groups.iter().find(is_open) {
            None => Ok(()),
            Some(group) => Err(StageError::State {
                operator: "of the stage".to_owned(),
                what: format!("key group {group} is open here: its state would be there twice"),
            }),
        }
    }

    /// Notes watermarks of a source. Those of one that the stage does not read any more, or read alone before, say nothing of it now.
    fn note(&mut self, stage: &Stage, source: &Option<String>, pairs: Vec<(KeyGroup, i64)>) {
        let find = |of| (0..stage.sources.len()).find(|at| stage.name_of(*at, of) == *source);
        let (source, watermarks) = if let Some(own) = find(Of::Own) {
            (own, &mut self.watermarks)
        } else if source.is_none() {
            return;
        } else if let Some(other) = find(Of::Others) {
            (other, &mut self.followed)
        } else if let Some(held) = find(Of::Held) {
            (held, &mut self.held)
        } else {
            return;
        };
        for (group, watermark) in pairs.into_iter().filter(|(group, _)| self.groups.has(group.0)) {
            let known = watermarks.entry((source, group.0)).or_insert(watermark);
            *known = watermark.max(*known);
        }
    }

    /// Notes how far an operator has fired, likewise.
    fn note_fired(
        &mut self,
        stage: &Stage,
        operator: usize,
        source: &Option<String>,
        pairs: Vec<(KeyGroup, i64)>,
    ) {
        let own = (0..stage.sources.len()).find(|at| stage.name_of(*at, Of::Own) == *source);
        let Some(source) = own else { return };
        for (group, mark) in pairs.into_iter().filter(|(group, _)| self.groups.has(group.0)) {
            let known = self.fired.entry((operator, source, group.0)).or_insert(mark);
            *known = mark.max(*known);
        }
    }

    /// Ends the restore: windows that had fired are dropped, and the key groups are assigned.
    pub fn finish(mut self, stage: &mut Stage, now: Millis) -> Result<(), StageError> {
        self.begin(stage)?;
        self.settle(stage)?;
        for group in self.groups.iter() {
            stage.assign(group, now);
        }
        Ok(())
    }

    /// Windows that had fired are dropped.
    pub(super) fn settle(&self, stage: &mut Stage) -> Result<(), StageError> {
        for ((source, group), watermark) in &self.watermarks {
            stage.sources[*source].committed[*group as usize] = *watermark;
        }
        for ((source, group), watermark) in &self.followed {
            stage.sources[*source].followed_committed[*group as usize] = *watermark;
        }
        for ((source, group), held) in &self.held {
            stage.sources[*source].held_committed[*group as usize] = *held;
        }
        for ((operator, source, group), mark) in &self.fired {
            let fired = &mut stage.operators[*operator].fired;
            fired.take_up(stage.key_groups, *source, KeyGroup(*group), *mark);
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
        Ok(())
    }
}

impl Stage {
    /// Takes over the key groups of a copy, of which the stage has nothing, as a restore from the records that the copy was made of
    /// does.
    pub fn take_up(&mut self, part: CopiedPart, now: Millis) -> Result<(), StageError> {
        let mut restore = Restore::new(part.groups.iter().map(|group| KeyGroup(*group)));
        restore.begin(self)?;
        for (source, pairs) in part.watermarks {
            restore.note(self, &source, pairs);
        }
        for (operator, source, pairs) in part.fired {
            restore.note_fired(self, place_of(self, &operator)?, &source, pairs);
        }
        // Small batches are made fewer. Large ones are not copied: that is what a key group that moves would wait for.
        let mut gathered: Vec<RecordBatch> = Vec::new();
        let mut bytes = 0;
        let mut batches = part.batches.into_iter().peekable();
        while let Some(CopiedBatch { operator, branch, rows, groups }) = batches.next() {
            gathered.push(crate::op::pane::part(&rows, |group| groups.binary_search(&group).is_ok())?);
            bytes += rows.get_array_memory_size();
            let goes_on = batches.peek().is_some_and(|next| {
                next.operator == operator && next.branch == branch && next.rows.schema() == rows.schema()
            });
            if !goes_on || bytes > GATHERED_BYTES_MAX {
                let rows = match gathered.as_slice() {
                    [one] => one.clone(),
                    several => concat_batches(&rows.schema(), several)?,
                };
                add(find(self, &operator)?, branch, &rows, &restore.groups)?;
                gathered.clear();
                bytes = 0;
            }
        }
        restore.finish(self, now)
    }
}

/// Adds state rows of some key groups to an operator's.
fn add(operator: &mut Operator, branch: u8, rows: &RecordBatch, groups: &Owned) -> Result<(), StageError> {
    match &mut operator.running {
        Running::Dedupe(dedupe) => {
            same_state(&operator.id, &Dedupe::state_schema(), &rows.schema())?;
            dedupe.restore(rows, groups);
            Ok(())
        }
        Running::Sql { query, .. } => query.restore(usize::from(branch), rows, groups),
    }
}

fn find<'a>(stage: &'a mut Stage, operator: &str) -> Result<&'a mut Operator, StageError> {
    let at = place_of(stage, operator)?;
    Ok(&mut stage.operators[at])
}

fn place_of(stage: &Stage, operator: &str) -> Result<usize, StageError> {
    stage.operators.iter().position(|o| o.id == operator).ok_or_else(|| StageError::State {
        operator: operator.to_owned(),
        what: "the changelog has state for it, but the stage has no such operator".to_owned(),
    })
}
