//! Rows that take the place of each other, on their way to a topic that is divided by a column which may change: where it does,
//! the earlier row is in another partition, and is taken away from there before the new one comes. So behind it a row is known by
//! that column too, and one that moves is two rows: one that is gone, and one that is new.
//!
//! Of each identity it is kept where its row lies. Never enters: partitions, which follow from the column; other columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use millstream_model::LateRule;

use super::chunk::Chunk;
use super::gone::{blank, none};
use super::row_key::RowKeys;
use crate::error::StageError;
use crate::state::Owned;

/// Where rows lie, by what they are known by.
pub(crate) struct Divide {
    schema: SchemaRef,
    /// The columns that rows are known by before, and those that they are divided by besides.
    known: Vec<usize>,
    by: Vec<usize>,
    pub(crate) state_schema: SchemaRef,
    /// No row is late.
    pub(crate) late: LateRule,
    /// The columns of state rows, but for whether they are gone, as rows.
    rows: RowConverter,
    /// By key group and identity: where its row lies, as a row of key group, identity and division.
    places: HashMap<Box<[u8]>, Place>,
    /// What has changed since the last commit, with the row that is gone where one was there.
    changed: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
}

struct Place {
    row: Box<[u8]>,
    group: u32,
}

impl Divide {
    /// Of rows with these columns, known by some of them, and divided by others.
    pub(crate) fn new(schema: SchemaRef, known: Vec<usize>, by: Vec<usize>) -> Result<Divide, StageError> {
        let group = Field::new("group", DataType::UInt32, false);
        let kept = known.iter().chain(&by).map(|at| schema.field(*at).clone());
        let kept: Vec<Field> = std::iter::once(group).chain(kept).collect();
        let rows = RowConverter::new(kept.iter().map(|f| SortField::new(f.data_type().clone())).collect())?;
        let gone = Field::new("gone", DataType::Boolean, false);
        let state_schema = Arc::new(Schema::new(kept.into_iter().chain([gone]).collect::<Vec<_>>()));
        let (places, changed) = (HashMap::new(), BTreeMap::new());
        Ok(Divide { schema, known, by, state_schema, late: LateRule::default(), rows, places, changed })
    }

    /// What it keeps of rows: key group, identity and division.
    fn kept(&self, batch: &RecordBatch, groups: &UInt32Array) -> Vec<ArrayRef> {
        let columns = self.known.iter().chain(&self.by).map(|at| Arc::clone(batch.column(*at)));
        std::iter::once(Arc::new(groups.clone()) as ArrayRef).chain(columns).collect()
    }

    /// Takes up rows, and gives them as they are, each behind the one that it takes the place of elsewhere, which is gone.
    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<Vec<Chunk>, StageError> {
        if chunk.rows() == 0 || self.by.is_empty() {
            // What they are divided by follows from what they are known by: none moves.
            return Ok(vec![chunk]);
        }
        let kept = self.kept(&chunk.batch, &chunk.groups);
        let identity = RowKeys::new(&kept[..=self.known.len()]);
        let rows = self.rows.convert_columns(&kept)?;
        let gone = chunk.gone.clone().unwrap_or_else(|| none(chunk.rows()));
        // What goes out: rows of the chunk, and earlier ones, which are gone.
        let (mut places, mut outs, mut earlier) = (Vec::new(), Vec::new(), Vec::new());
        let mut key = Vec::new();
        for row in 0..chunk.rows() {
            identity.write(row, &mut key);
            let is_gone = gone.value(row);
            let before = match is_gone {
                true => self.places.remove(key.as_slice()),
                false => {
                    let place = Place { row: rows.row(row).data().into(), group: chunk.groups.value(row) };
                    self.places.insert(key.as_slice().into(), place)
                }
            };
            if let Some(before) = &before {
                let moved = is_gone || *before.row != *rows.row(row).data();
                if !moved {
                    places.push((0, row));
                    outs.push(false);
                    continue;
                }
                places.push((1, earlier.len()));
                outs.push(true);
                earlier.push(before.row.clone());
            }
            if !is_gone {
                places.push((0, row));
                outs.push(false);
            }
            let was = before.map(|before| before.row);
            self.changed.entry(key.as_slice().into()).or_insert(was);
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let away = self.wide(&self.columns_of(earlier.iter().map(AsRef::as_ref))?, earlier.len())?;
        let away_groups = self.groups_of(&earlier)?;
        let batch = interleave_record_batch(&[&chunk.batch, &away], &places)?;
        let groups = places.iter().map(|(of, at)| match of {
            0 => chunk.groups.value(*at),
            _ => away_groups.value(*at),
        });
        let groups: UInt32Array = groups.collect::<Vec<u32>>().into();
        Ok(vec![Chunk { gone: Some(outs.into()), ..Chunk::made(batch, groups) }])
    }

    /// Kept rows as columns.
    fn columns_of<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, StageError> {
        let parser = self.rows.parser();
        Ok(self.rows.convert_rows(rows.map(|row| parser.parse(row)))?)
    }

    fn groups_of(&self, rows: &[Box<[u8]>]) -> Result<UInt32Array, StageError> {
        let columns = self.columns_of(rows.iter().map(AsRef::as_ref))?;
        Ok(columns[0].as_primitive::<UInt32Type>().clone())
    }

    /// Kept rows with the columns of all rows, blank where nothing is kept.
    fn wide(&self, kept: &[ArrayRef], rows: usize) -> Result<RecordBatch, StageError> {
        let column = |(at, field): (usize, &Arc<Field>)| {
            let place = self.known.iter().chain(&self.by).position(|known| *known == at);
            place.map_or_else(|| blank(field, rows), |place| Ok(Arc::clone(&kept[place + 1])))
        };
        let columns = self.schema.fields().iter().enumerate().map(column);
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, StageError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// State rows: those that are gone, and those that are there.
    fn state_rows(&self, gone: &[&[u8]], there: &[&[u8]]) -> Result<RecordBatch, StageError> {
        let mut columns = self.columns_of(gone.iter().chain(there).copied())?;
        let is_gone = std::iter::repeat_n(true, gone.len()).chain(std::iter::repeat_n(false, there.len()));
        columns.push(Arc::new(BooleanArray::from(is_gone.collect::<Vec<bool>>())));
        Ok(RecordBatch::try_new(Arc::clone(&self.state_schema), columns)?)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let changed = std::mem::take(&mut self.changed);
        let (mut gone, mut there): (Vec<&[u8]>, Vec<&[u8]>) = Default::default();
        for (key, was) in &changed {
            match (self.places.get(key), was) {
                (Some(place), _) => there.push(&place.row),
                (None, Some(was)) => gone.push(was),
                // It came and went.
                (None, None) => {}
            }
        }
        self.state_rows(&gone, &there)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let there = self.places.values().filter(|place| wanted.has(place.group));
        self.state_rows(&[], &there.map(|place| place.row.as_ref()).collect::<Vec<_>>())
    }

    /// Takes up state rows of the key groups that are owned here, later ones in place of earlier.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let state = super::pane::part(batch, |group| owned.has(group))?;
        let kept = &state.columns()[..state.num_columns() - 1];
        let gone = state.column(state.num_columns() - 1).as_boolean();
        let groups = state.column(0).as_primitive::<UInt32Type>();
        let identity = RowKeys::new(&kept[..=self.known.len()]);
        let rows = self.rows.convert_columns(kept)?;
        let mut key = Vec::new();
        for row in 0..state.num_rows() {
            identity.write(row, &mut key);
            match gone.value(row) {
                true => self.places.remove(key.as_slice()),
                false => {
                    let place = Place { row: rows.row(row).data().into(), group: groups.value(row) };
                    self.places.insert(key.as_slice().into(), place)
                }
            };
        }
        Ok(())
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) {
        self.places.retain(|_, place| !groups.has(place.group));
    }

    pub(crate) fn size(&self) -> usize {
        let row = self.places.values().next().map_or(0, |place| place.row.len() * 2);
        self.places.capacity() * 41 + self.places.len() * (row + 32)
    }

    /// Rows whose place is kept.
    pub(crate) fn entries(&self) -> usize {
        self.places.len()
    }

    /// The names of what a row is known by before, and of what it is divided by besides.
    pub(crate) fn names(&self) -> (Vec<&str>, Vec<&str>) {
        let names = |of: &[usize]| of.iter().map(|at| self.schema.field(*at).name().as_str()).collect();
        (names(&self.known), names(&self.by))
    }
}
