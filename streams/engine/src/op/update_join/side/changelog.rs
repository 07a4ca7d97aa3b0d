//! A side of a join in its changelog, which is a history:
//! - UJ-1: the rows before the last `SENT` of a key group are what the last committed sending was made of; those behind it are what
//!   has changed since. So a restore has what a stage had that went on, and a row that went before a crash is taken back
//!   behind it, though it is in no state any more. `SENT` is written with the commit that sends;
//! - UJ-2: a snapshot is a history too: rows as they were sent, `SENT`, and what has changed since.
//!
//! Never enters: what rows mean, and what comes out of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int8Array, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{Int8Type, UInt32Type};

use super::{NONE, Row, UpdateSide, group_in, identity_of};
use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::op::pane::part;
use crate::op::row_key::RowKeys;
use crate::state::Owned;

/// State rows: the row of an identity, that it has none, and that all before was sent.
const ROW: i8 = 0;
const GONE: i8 = 1;
const SENT: i8 = 2;

/// Columns of state rows before those of the row: key group and what it says.
const OWN_COLUMNS: usize = 2;

impl UpdateSide {
    /// Notes, for the changelog, identities that have no row any more, by their places in a chunk.
    pub(super) fn note_gone(&mut self, chunk: &Chunk, gone: Vec<(Box<[u8]>, u32)>) -> Result<(), StageError> {
        if gone.is_empty() {
            return Ok(());
        }
        let places = UInt32Array::from_iter_values(gone.iter().map(|(_, row)| *row));
        let groups = take(&chunk.groups, &places, None)?;
        let columns = self.plan.known_by.iter().map(|at| Ok(take(chunk.batch.column(*at), &places, None)?));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, StageError>>()?;
        let of = self.plan.identity.iter().copied().zip(columns);
        let rows = self.marks(GONE, groups.as_primitive::<UInt32Type>().clone(), of)?;
        let batch = self.gone_batches.len() as u32;
        self.gone.extend(gone.into_iter().zip(0..).map(|((id, _), row)| (id, batch, row)));
        self.gone_batches.push(rows);
        Ok(())
    }

    /// State rows that are no rows: of the rows' columns they have only some.
    fn marks(
        &self,
        what: i8,
        groups: UInt32Array,
        columns: impl IntoIterator<Item = (usize, ArrayRef)>,
    ) -> Result<RecordBatch, StageError> {
        let count = groups.len();
        let fields = self.plan.schema.fields().iter();
        let mut all: Vec<ArrayRef> = fields.map(|field| new_null_array(field.data_type(), count)).collect();
        columns.into_iter().for_each(|(at, column)| all[at] = column);
        self.state_rows(Int8Array::from(vec![what; count]), groups, all)
    }

    fn state_rows(
        &self,
        what: Int8Array,
        groups: UInt32Array,
        columns: Vec<ArrayRef>,
    ) -> Result<RecordBatch, StageError> {
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        let own: [ArrayRef; OWN_COLUMNS] = [Arc::new(groups), Arc::new(what)];
        let columns = own.into_iter().chain(columns).collect();
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.plan.state_schema), columns, &options)?)
    }

    /// Some rows as state rows.
    fn rows_as_state(&self, numbers: &[u32]) -> Result<RecordBatch, StageError> {
        let columns = self.columns(numbers, self.plan.schema.fields().len())?;
        self.state_rows(Int8Array::from(vec![ROW; numbers.len()]), self.groups(numbers), columns)
    }

    /// What changed since the last call, as state rows; behind them that it was sent, where it was.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let is_current = |number: &u32| *number != NONE && self.rows[*number as usize].current;
        let new = self.batches.values().filter(|kept| kept.is_new).flat_map(|kept| &kept.numbers);
        let new: Vec<u32> = new.copied().filter(is_current).collect();
        let mut rows = vec![self.rows_as_state(&new)?];
        let batches = std::mem::take(&mut self.gone_batches);
        let has_row = |id: &[u8]| self.index.get(id).is_some_and(|known| known.current != NONE);
        let mut gone: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (id, batch, row) in std::mem::take(&mut self.gone) {
            if !has_row(&id) {
                gone.entry(batch).or_default().push(row);
            }
        }
        for (batch, at) in gone {
            rows.push(take_record_batch(&batches[batch as usize], &UInt32Array::from(at))?);
        }
        let told: UInt32Array = std::mem::take(&mut self.told).into_iter().collect::<Vec<_>>().into();
        rows.push(self.marks(SENT, told, [])?);
        self.batches.values_mut().for_each(|kept| kept.is_new = false);
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let is_wanted = |row: &Row| wanted.has(row.group);
        let all = self.batches.values().flat_map(|kept| &kept.numbers).filter(|number| **number != NONE);
        let all: Vec<u32> = all.copied().filter(|number| is_wanted(&self.rows[*number as usize])).collect();
        let of = |what: fn(&Row) -> bool| -> Vec<u32> {
            all.iter().copied().filter(|number| what(&self.rows[*number as usize])).collect()
        };
        let (sent, new) = (of(|row| row.sent), of(|row| row.current && !row.sent));
        let groups: BTreeSet<u32> = sent.iter().map(|number| self.group_of(*number)).collect();
        // What was sent and is gone.
        let gone = self.changed.iter().filter_map(|id| self.index.get(id));
        let gone = gone.filter(|known| known.current == NONE).map(|known| known.sent);
        let gone: BTreeSet<u32> = gone.filter(|number| is_wanted(&self.rows[*number as usize])).collect();
        let gone: Vec<u32> = gone.into_iter().collect();
        let columns = self.columns(&gone, self.plan.schema.fields().len())?;
        let known = self.plan.identity.iter().map(|at| (*at, Arc::clone(&columns[*at])));
        let rows = [
            self.rows_as_state(&sent)?,
            self.marks(SENT, groups.into_iter().collect::<Vec<_>>().into(), [])?,
            self.rows_as_state(&new)?,
            self.marks(GONE, self.groups(&gone), known)?,
        ];
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Takes up state rows of the key groups that are owned here, in their order.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let rows = part(batch, |group| owned.has(group))?;
        self.fresh.extend(rows.column(0).as_primitive::<UInt32Type>().values());
        let what = rows.column(1).as_primitive::<Int8Type>().values().clone();
        let mut from = 0;
        for run in what.chunk_by(|a, b| a == b) {
            let part = rows.slice(from, run.len());
            from += run.len();
            match run[0] {
                ROW => self.restore_rows(&part)?,
                GONE => self.restore_gone(&part),
                _ => self.restore_sent(part.column(0).as_primitive::<UInt32Type>()),
            }
        }
        // It is all in the changelog.
        self.told.clear();
        self.tidy()
    }

    fn restore_rows(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        let groups = rows.column(0).as_primitive::<UInt32Type>().clone();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = rows.columns()[OWN_COLUMNS..].to_vec();
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), columns, &options)?;
        let kept = Chunk::made(rows, groups);
        let known = identity_of(&kept.batch, &self.plan.identity, &kept.groups);
        let known = RowKeys::new(&known);
        let keys = self.keys_of(&kept)?;
        let keys = RowKeys::new(&keys);
        let batch = self.begin(kept.batch.clone(), false);
        let mut id = Vec::new();
        for row in 0..kept.rows() {
            known.write(row, &mut id);
            self.put(&id, (batch, row as u32), kept.groups.value(row), &keys);
        }
        self.finish(batch);
        Ok(())
    }

    fn restore_gone(&mut self, rows: &RecordBatch) {
        let groups = rows.column(0).as_primitive::<UInt32Type>();
        let columns: Vec<usize> = self.plan.identity.iter().map(|at| OWN_COLUMNS + at).collect();
        let known = identity_of(rows, &columns, groups);
        let known = RowKeys::new(&known);
        let mut id = Vec::new();
        for row in 0..rows.num_rows() {
            known.write(row, &mut id);
            self.take_away(&id);
        }
    }

    fn restore_sent(&mut self, groups: &UInt32Array) {
        let of: BTreeSet<u32> = groups.values().iter().copied().collect();
        let is_sent = |id: &[u8]| group_in(id).is_some_and(|group| of.contains(&group));
        let (sent, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changed).into_iter().partition(|id| is_sent(id));
        self.changed = others;
        sent.iter().for_each(|id| self.settle_one(id));
    }
}
