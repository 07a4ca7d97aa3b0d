//! Drops repeats: rows with the key of an earlier one, within a span of event time. A repeat with the same content is
//! dropped and counted; one with other content is in conflict and goes to an output of its own.
//!
//! What is kept of a row is a 128-bit hash of its key, a 64-bit hash of its content and its event time: 33 bytes, or 66
//! just after a table has grown. Both hashes are XXH3 with a seed, over the bytes of `row_key`.
//!
//! For how long: a row may be late by `late_by_ms` and must still meet every row up to `within_ms` before it, so rows
//! are forgotten when the watermark is the sum of both past them. A row later than that cannot be judged and goes to
//! the late output. All of this looks at the watermark just before the row, never at when the table was swept or where
//! a batch ended (SM-3).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType, UInt32Type, UInt64Type,
};
use hashbrown::HashTable;
use millstream_model::Watermark;
use twox_hash::{XxHash3_64, XxHash3_128};

use super::chunk::Chunk;
use super::row_key::RowKeys;
use crate::error::StageError;
use crate::state::Owned;

#[derive(Clone, Copy, Debug)]
struct Seen {
    key: [u64; 2],
    content: u64,
    time: i64,
}

/// One key group's rows.
#[derive(Default)]
struct Group {
    seen: HashTable<Seen>,
    /// Rows since the last commit.
    fresh: Vec<Seen>,
    /// The watermark at which the table is swept next.
    sweep_at: Option<i64>,
}

pub(crate) struct Dedupe {
    /// Columns of the key, and the event time's.
    pub(crate) key: Vec<usize>,
    pub(crate) time: usize,
    pub(crate) within_ms: i64,
    pub(crate) late_by_ms: i64,
    pub(crate) seed: u64,
    groups: BTreeMap<u32, Group>,
    /// What the rows since the last [`Dedupe::accept`] found: key groups, with how many rows of theirs were fresh.
    tried: Vec<(u32, usize)>,
}

/// What became of a chunk.
pub(crate) struct Deduped {
    /// The rows seen for the first time.
    pub(crate) unique: Chunk,
    /// Places in the stage's input of rows in conflict with an earlier one.
    pub(crate) conflicting: Vec<u32>,
    /// Places in the stage's input of rows too late to be judged.
    pub(crate) late: Vec<u32>,
    /// Rows dropped as equal repeats.
    pub(crate) repeated: u64,
}

impl Dedupe {
    pub(crate) fn new(key: Vec<usize>, time: usize, within_ms: i64, late_by_ms: i64, seed: u64) -> Dedupe {
        Dedupe { key, time, within_ms, late_by_ms, seed, groups: BTreeMap::new(), tried: Vec::new() }
    }

    /// What has been run since the last time counts from now on.
    pub(crate) fn accept(&mut self) {
        self.tried.clear();
    }

    /// What has been run since the last [`Dedupe::accept`] was not.
    pub(crate) fn undo(&mut self) {
        for (group, fresh) in self.tried.drain(..).rev() {
            let Some(Group { seen, fresh: rows, .. }) = self.groups.get_mut(&group) else { continue };
            for row in rows.drain(fresh..) {
                let found = seen.find_entry(row.key[0], |s| s.key == row.key && s.time == row.time);
                found.expect("a fresh row is among those seen").remove();
            }
        }
    }

    /// Runs rows, until it is said whether they count.
    pub(crate) fn run(&mut self, chunk: Chunk) -> Result<Deduped, StageError> {
        let columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
        let key_columns: Vec<ArrayRef> = self.key.iter().map(|i| Arc::clone(&columns[*i])).collect();
        let (keys, contents) = (RowKeys::new(&key_columns), RowKeys::new(&columns));
        let times = columns[self.time].as_primitive::<TimestampMillisecondType>();
        let mut bytes = Vec::new();
        let mut unique = vec![false; chunk.rows()];
        let (mut conflicting, mut late, mut repeated) = (Vec::new(), Vec::new(), 0);
        let mut current: Option<(u32, &mut Group)> = None;
        for (row, is_unique) in unique.iter_mut().enumerate() {
            let (group, time) = (chunk.groups.value(row), times.value(row));
            let watermark = Watermark::from_raw(chunk.watermarks.value(row));
            if watermark.has_reached(time.saturating_add(self.late_by_ms).saturating_add(1)) {
                late.push(chunk.origin.value(row));
                continue;
            }
            if current.as_ref().is_none_or(|(at, _)| *at != group) {
                let table = self.groups.entry(group).or_default();
                self.tried.push((group, table.fresh.len()));
                current = Some((group, table));
            }
            let (_, table) = current.as_mut().expect("set just above");
            keys.write(row, &mut bytes);
            let wide = XxHash3_128::oneshot_with_seed(self.seed, &bytes);
            contents.write(row, &mut bytes);
            let content = XxHash3_64::oneshot_with_seed(self.seed, &bytes);
            let seen = Seen { key: [wide as u64, (wide >> 64) as u64], content, time };
            let within = self.within_ms;
            match table.seen.find(seen.key[0], |s| s.key == seen.key && (s.time - time).abs() <= within) {
                Some(first) if first.content == content => repeated += 1,
                Some(_) => conflicting.push(chunk.origin.value(row)),
                None => {
                    *is_unique = true;
                    table.seen.insert_unique(seen.key[0], seen, |s| s.key[0]);
                    table.fresh.push(seen);
                }
            }
        }
        let unique = chunk.filter(&BooleanArray::from(unique))?;
        Ok(Deduped { unique, conflicting, late, repeated })
    }

    /// Forgets what no row can meet any more at these watermarks (one for each key group).
    pub(crate) fn sweep(&mut self, watermarks: &[i64]) {
        let keep_ms = self.late_by_ms + self.within_ms;
        for (group, table) in &mut self.groups {
            let watermark = watermarks[*group as usize];
            if table.sweep_at.is_some_and(|at| watermark < at) || watermark == Watermark::NONE.to_raw() {
                continue;
            }
            let oldest = watermark.saturating_sub(keep_ms);
            if table.sweep_at.is_some() {
                table.seen.retain(|s| s.time >= oldest);
                table.seen.shrink_to(table.seen.len() * 2, |s| s.key[0]);
            }
            table.sweep_at = Some(watermark.saturating_add(1 + keep_ms / 16));
        }
    }

    pub(crate) fn state_schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("group", DataType::UInt32, false),
            Field::new("key_low", DataType::UInt64, false),
            Field::new("key_high", DataType::UInt64, false),
            Field::new("content", DataType::UInt64, false),
            Field::new("time", DataType::Int64, false),
        ]))
    }

    /// What came since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> RecordBatch {
        let rows = self.groups.iter_mut().flat_map(|(group, table)| {
            std::mem::take(&mut table.fresh).into_iter().map(|seen| (*group, seen))
        });
        state_batch(rows.collect())
    }

    /// Everything of these key groups that a row can still meet, as state rows.
    pub(crate) fn all(&mut self, watermarks: &[i64], wanted: &Owned) -> RecordBatch {
        let keep_ms = self.late_by_ms + self.within_ms;
        let mut rows = Vec::new();
        for (group, table) in self.groups.iter_mut().filter(|(group, _)| wanted.has(**group)) {
            table.fresh.clear();
            let oldest = watermarks[*group as usize].saturating_sub(keep_ms);
            let mut kept: Vec<Seen> = table.seen.iter().filter(|s| s.time >= oldest).copied().collect();
            // A hash table's order depends on its history; state does not.
            kept.sort_unstable_by_key(|s| (s.key, s.time));
            rows.extend(kept.into_iter().map(|seen| (*group, seen)));
        }
        state_batch(rows)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) {
        let groups = batch.column(0).as_primitive::<UInt32Type>();
        let [low, high, content] = [1, 2, 3].map(|i| batch.column(i).as_primitive::<UInt64Type>());
        let times = batch.column(4).as_primitive::<Int64Type>();
        for row in (0..batch.num_rows()).filter(|row| owned.has(groups.value(*row))) {
            let key = [low.value(row), high.value(row)];
            let seen = Seen { key, content: content.value(row), time: times.value(row) };
            let table = self.groups.entry(groups.value(row)).or_default();
            table.seen.insert_unique(key[0], seen, |s| s.key[0]);
        }
    }

    /// Lets go of a key group.
    pub(crate) fn forget(&mut self, group: u32) {
        self.groups.remove(&group);
    }

    pub(crate) fn size(&self) -> usize {
        self.groups.values().map(|g| g.seen.allocation_size() + g.fresh.capacity() * size_of::<Seen>()).sum()
    }

    pub(crate) fn rows(&self) -> usize {
        self.groups.values().map(|g| g.seen.len()).sum()
    }
}

fn state_batch(rows: Vec<(u32, Seen)>) -> RecordBatch {
    let number = |f: &dyn Fn(&Seen) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(_, s)| f(s))))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(group, _)| *group))),
        number(&|s| s.key[0]),
        number(&|s| s.key[1]),
        number(&|s| s.content),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, s)| s.time))),
    ];
    RecordBatch::try_new(Dedupe::state_schema(), columns).expect("state columns are as their schema says")
}
