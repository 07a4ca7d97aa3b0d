//! Rows that are never changed and are looked up by number, in memory or in a scratch: what joins keep row by row. In a scratch they
//! lie in blocks, of which those are read that hold a row that is wanted, each once in a call, and one at a time. Never enters:
//! what rows mean, how they are found, and which of them still count, all of which their keeper has in memory.

use std::io;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array, new_null_array,
};
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef};

use crate::batch_ipc::{self, bytes_of};
use crate::error::StageError;
use crate::state::scratch::{Kept, Spill};

/// Batches in one place, in memory or in a scratch, beyond which the smaller half is made one; few in tests, whose worlds are small.
const BATCHES_MAX: usize = if cfg!(test) { 4 } else { 64 };
/// How many parts of what is read are made one at once.
const PARTS_MAX: usize = 256;
/// A block of which not even one row in so many counts is written anew with others, where its rows are looked through.
pub(crate) const SPARSE: usize = 4;

/// Where a row is: the place of its store among several, and its number there.
pub(crate) type At = (u32, u32);

/// Neighbours in a scratch. Clones share what they hold; it goes with the last.
#[derive(Clone, Debug)]
struct Block {
    /// The number of its first row.
    first: usize,
    rows: usize,
    /// Nothing when no row of it counts any more.
    kept: Option<Arc<dyn Kept>>,
}

impl Block {
    fn read(&self) -> Result<RecordBatch, StageError> {
        let kept = self.kept.as_ref().expect("the block of a row that counts is there");
        let rows = batch_ipc::decode(&kept.read().map_err(StageError::Scratch)?).map_err(damaged)?;
        if rows.num_rows() != self.rows {
            let what = format!("a block of {} rows came back with {}", self.rows, rows.num_rows());
            return Err(StageError::Scratch(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Ok(rows)
    }

    fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.rows
    }
}

/// Rows in a scratch.
#[derive(Debug)]
pub(crate) struct DiskRows {
    schema: SchemaRef,
    blocks: Vec<Block>,
    spill: Spill,
}

impl DiskRows {
    /// Of blocks in this order: their rows are numbered anew.
    fn new(schema: &SchemaRef, blocks: impl IntoIterator<Item = Block>, spill: &Spill) -> DiskRows {
        let mut behind = 0;
        let renumbered = blocks.into_iter().map(|block| {
            let first = behind;
            behind += block.rows;
            Block { first, ..block }
        });
        DiskRows { schema: Arc::clone(schema), blocks: renumbered.collect(), spill: spill.clone() }
    }

    fn block_of(&self, row: usize) -> &Block {
        let behind = self.blocks.partition_point(|block| block.first <= row);
        let block =
            behind.checked_sub(1).map(|at| &self.blocks[at]).filter(|block| block.numbers().contains(&row));
        block.unwrap_or_else(|| panic!("row {row} is in no block"))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) enum StoredRows {
    Memory(RecordBatch),
    Disk(DiskRows),
}

impl StoredRows {
    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self, StoredRows::Disk(_))
    }

    /// The rows, where they are in memory.
    pub(crate) fn in_memory(&self) -> Option<&RecordBatch> {
        match self {
            StoredRows::Memory(rows) => Some(rows),
            StoredRows::Disk(_) => None,
        }
    }

    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        match self {
            StoredRows::Memory(rows) => bytes_of(rows),
            StoredRows::Disk(disk) => disk.blocks.len() * (size_of::<Block>() + 96),
        }
    }

    /// Bytes in the scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        match self {
            StoredRows::Memory(_) => 0,
            StoredRows::Disk(disk) => {
                disk.blocks.iter().flat_map(|block| &block.kept).map(|kept| kept.stored_bytes()).sum()
            }
        }
    }

    /// About how many bytes a row has in memory.
    pub(crate) fn row_bytes(&self) -> usize {
        match self {
            StoredRows::Memory(rows) => row_bytes(rows),
            StoredRows::Disk(disk) => {
                let rows = disk.blocks.last().map_or(0, |block| block.first + block.rows);
                disk.blocks.len() * disk.spill.look_up_bytes / rows.max(1)
            }
        }
    }

    /// Whether it is worth while to write anew the rows that count, of all that were there once.
    pub(crate) fn is_sparse(&self, counting: usize, all: usize) -> bool {
        let most = if self.is_on_disk() { SPARSE } else { 2 };
        counting * most < all
    }

    /// Moves rows from memory to a scratch; gives how many bytes of memory are free by that. After an error they are where they were.
    pub(crate) fn spill(&mut self, spill: &Spill) -> Result<usize, StageError> {
        let StoredRows::Memory(rows) = self else { return Ok(0) };
        if rows.num_rows() == 0 || rows.num_columns() == 0 {
            return Ok(0);
        }
        let (before, schema) = (bytes_of(rows), rows.schema());
        let mut writer = Writer::new(&schema, spill);
        writer.add(rows.clone())?;
        *self = StoredRows::Disk(DiskRows::new(&schema, writer.finish()?, spill));
        Ok(before.saturating_sub(self.size()))
    }

    /// Gives the rows that are wanted, some at a time, by rising numbers, which come with them.
    pub(crate) fn each(
        &self,
        is_wanted: impl Fn(usize) -> bool,
        mut give: impl FnMut(&[u32], &RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let wanted = |numbers: std::ops::Range<usize>| -> Vec<u32> {
            numbers.filter(|row| is_wanted(*row)).map(|row| row as u32).collect()
        };
        match self {
            StoredRows::Memory(rows) => {
                let wanted = wanted(0..rows.num_rows());
                if wanted.is_empty() { Ok(()) } else { give(&wanted, &picked(rows, 0, &wanted)?) }
            }
            StoredRows::Disk(disk) => disk.blocks.iter().try_for_each(|block| {
                let wanted = wanted(block.numbers());
                match wanted.is_empty() {
                    true => Ok(()),
                    false => give(&wanted, &picked(&block.read()?, block.first, &wanted)?),
                }
            }),
        }
    }

    /// Lets go of what is in the scratch of rows that count no more, where blocks hold nothing else. Numbers stay.
    pub(crate) fn let_go(&mut self, counts: impl Fn(usize) -> bool) {
        let StoredRows::Disk(disk) = self else { return };
        for block in &mut disk.blocks {
            if block.kept.is_some() && !block.numbers().any(&counts) {
                block.kept = None;
            }
        }
    }

    /// The rows that count, numbered anew, with the number that each had. What lies in a scratch stays there: blocks of which enough
    /// counts as they are, with the rows in them that do not count.
    pub(crate) fn compacted(
        &self,
        counts: impl Fn(usize) -> bool,
    ) -> Result<(StoredRows, Vec<u32>), StageError> {
        let counting = |numbers: std::ops::Range<usize>| -> Vec<u32> {
            numbers.filter(|row| counts(*row)).map(|row| row as u32).collect()
        };
        let disk = match self {
            StoredRows::Memory(rows) => {
                let left = counting(0..rows.num_rows());
                return Ok((StoredRows::Memory(picked(rows, 0, &left)?), left));
            }
            StoredRows::Disk(disk) => disk,
        };
        let (mut whole, mut numbers, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        let mut writer = Writer::new(&disk.schema, &disk.spill);
        for block in &disk.blocks {
            let left = counting(block.numbers());
            if left.is_empty() {
                continue;
            }
            if left.len() * SPARSE >= block.rows {
                whole.push(block.clone());
                numbers.extend(block.numbers().map(|row| row as u32));
            } else {
                writer.add(picked(&block.read()?, block.first, &left)?)?;
                moved.extend(left);
            }
        }
        let blocks = whole.into_iter().chain(writer.finish()?);
        numbers.extend(moved);
        Ok((StoredRows::Disk(DiskRows::new(&disk.schema, blocks, &disk.spill)), numbers))
    }

    /// Several as one, in their order: all in memory, or all in a scratch, where nothing is moved for it.
    pub(crate) fn together(schema: &SchemaRef, parts: Vec<StoredRows>) -> Result<StoredRows, StageError> {
        let (mut in_memory, mut on_disk) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                StoredRows::Memory(rows) => in_memory.push(rows),
                StoredRows::Disk(disk) => on_disk.push(disk),
            }
        }
        assert!(in_memory.is_empty() || on_disk.is_empty(), "rows that are made one are in one place");
        match on_disk.first().map(|disk| disk.spill.clone()) {
            None => Ok(StoredRows::Memory(concat_batches(schema, &in_memory)?)),
            Some(spill) => {
                let blocks = on_disk.into_iter().flat_map(|disk| disk.blocks);
                Ok(StoredRows::Disk(DiskRows::new(schema, blocks, &spill)))
            }
        }
    }
}

/// How a batch stands among the others of its keeper.
pub(crate) struct Standing {
    /// In no changelog yet.
    pub(crate) is_new: bool,
    pub(crate) on_disk: bool,
    /// How many rows count.
    pub(crate) counting: usize,
    /// [`StoredRows::is_sparse`].
    pub(crate) is_sparse: bool,
}

/// Batches that are to be made one.
pub(crate) struct Merging<T> {
    pub(crate) set: Vec<T>,
    /// Whether that is since there are many, and not alone since little of them counts.
    pub(crate) are_many: bool,
}

/// Which batches are to be made one, of those that lie in one place and are in the changelog or not: where there are many the smaller
/// half, so that each row is copied as often as its batch doubles, and those of which little counts.
pub(crate) fn merging<T: Copy>(batches: impl Iterator<Item = (T, Standing)>) -> Vec<Merging<T>> {
    let all: Vec<(T, Standing)> = batches.collect();
    if all.len() <= BATCHES_MAX && !all.iter().any(|(_, batch)| batch.is_sparse) {
        return Vec::new();
    }
    let of = |is_new: bool, on_disk: bool| {
        let like = all.iter().filter(|(_, batch)| batch.is_new == is_new && batch.on_disk == on_disk);
        let mut sizes: Vec<usize> = like.clone().map(|(_, batch)| batch.counting).collect();
        sizes.sort_unstable();
        let small = (sizes.len() > BATCHES_MAX).then(|| sizes[sizes.len() / 2]);
        let is_merged =
            |batch: &Standing| batch.is_sparse || small.is_some_and(|small| batch.counting <= small);
        let set = like.filter(|(_, batch)| is_merged(batch)).map(|(place, _)| *place).collect();
        Merging { set, are_many: small.is_some() }
    };
    // What is new is in memory.
    let sets = [of(false, false), of(false, true), of(true, false)];
    sets.into_iter().filter(|merging| !merging.set.is_empty()).collect()
}

/// How much comes out of kept rows at once, in rows and about in bytes; little in tests, whose worlds are small.
const PORTION_ROWS: usize = 65_536;
const PORTION_BYTES: usize = if cfg!(test) { 2 << 10 } else { 8 << 20 };

/// Counts what goes into a portion of rows, so that each is at most so large, or of one part.
#[derive(Default)]
pub(crate) struct Portion {
    rows: usize,
    bytes: usize,
}

impl Portion {
    /// Counts rows of about so many bytes each; whether they begin another portion.
    pub(crate) fn is_over(&mut self, rows: usize, row_bytes: usize) -> bool {
        let bytes = rows.saturating_mul(row_bytes);
        let is_over =
            self.rows > 0 && (self.rows + rows > PORTION_ROWS || self.bytes + bytes > PORTION_BYTES);
        if is_over {
            *self = Portion::default();
        }
        self.rows += rows;
        self.bytes = self.bytes.saturating_add(bytes);
        is_over
    }

    /// How many rows of so many bytes each it may have.
    pub(crate) fn rows_of(row_bytes: usize) -> usize {
        (PORTION_BYTES / row_bytes.max(1)).clamp(1, PORTION_ROWS)
    }
}

/// Which of several parts, by their bytes in memory, go to a scratch that is to free so many: large ones, the largest first; and small
/// ones, which are made one for it, where they are wanted too and are worth it together.
pub(crate) fn going<T: Copy + Ord>(
    parts: impl Iterator<Item = (usize, T)>,
    spill: &Spill,
    bytes: usize,
) -> (Vec<T>, Vec<T>) {
    let mut parts: Vec<(usize, T)> = parts.collect();
    parts.sort_unstable_by(|a, b| b.cmp(a));
    let is_large = |(size, _): &(usize, T)| *size >= spill.part_bytes_min;
    let (large, small) = parts.split_at(parts.partition_point(is_large));
    let sum = |of: &[(usize, T)]| of.iter().map(|(size, _)| size).sum::<usize>();
    let are_wanted = bytes > sum(large) && small.len() > 1 && sum(small) >= spill.part_bytes_min;
    let places = |of: &[(usize, T)]| of.iter().map(|(_, place)| *place).collect();
    (places(large), if are_wanted { places(small) } else { Vec::new() })
}

/// What cannot be decoded is the scratch's fault, not that of a row.
pub(crate) fn damaged(error: impl std::fmt::Display) -> StageError {
    let what = format!("a block came back damaged: {error}");
    StageError::Scratch(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Some rows, by their numbers, which rise; `first` is that of the first.
fn picked(rows: &RecordBatch, first: usize, numbers: &[u32]) -> Result<RecordBatch, StageError> {
    if numbers.len() == rows.num_rows() {
        return Ok(rows.clone());
    }
    let places = UInt32Array::from_iter_values(numbers.iter().map(|row| row - first as u32));
    let columns = rows.columns().iter().map(|column| take(column, &places, None));
    let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns.collect::<Result<_, _>>()?, &options)?)
}

/// About how many bytes a row has.
pub(crate) fn row_bytes(rows: &RecordBatch) -> usize {
    bytes_of(rows) / rows.num_rows().max(1)
}

/// Writes rows block by block.
struct Writer<'a> {
    schema: &'a SchemaRef,
    spill: &'a Spill,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    blocks: Vec<Block>,
}

impl<'a> Writer<'a> {
    fn new(schema: &'a SchemaRef, spill: &'a Spill) -> Writer<'a> {
        Writer { schema, spill, waiting: Vec::new(), waiting_bytes: 0, blocks: Vec::new() }
    }

    fn add(&mut self, rows: RecordBatch) -> Result<(), StageError> {
        self.waiting_bytes += bytes_of(&rows);
        self.waiting.push(rows);
        if self.waiting_bytes >= self.spill.look_up_bytes { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StageError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(self.schema, &self.waiting)?;
        let (count, bytes) = (rows.num_rows(), bytes_of(&rows));
        let most = (self.spill.look_up_bytes * count / bytes.max(1)).clamp(1, 65_536);
        // Cut evenly, so that no block is a crumb.
        let per_block = count.div_ceil(count.div_ceil(most).max(1)).max(1);
        for first in (0..count).step_by(per_block) {
            let part = rows.slice(first, per_block.min(count - first));
            let kept = match batch_ipc::encode(&part, usize::MAX >> 1)?.as_slice() {
                [bytes] => self.spill.scratch.put(bytes).map_err(StageError::Scratch)?,
                records => panic!("{} records of {} rows", records.len(), part.num_rows()),
            };
            self.blocks.push(Block { first: 0, rows: part.num_rows(), kept: Some(kept.into()) });
        }
        (self.waiting, self.waiting_bytes) = (Vec::new(), 0);
        Ok(())
    }

    /// The blocks, which are still to be numbered.
    fn finish(mut self) -> Result<Vec<Block>, StageError> {
        self.write()?;
        Ok(self.blocks)
    }
}

/// The values of these columns, the first ones of several stores, for some rows, in this order; a null for none. Of what lies in a
/// scratch no more is in memory at once than the rows that are wanted, twice, and a block.
pub(crate) fn gather(
    stores: &[&StoredRows],
    places: &[Option<At>],
    fields: &Fields,
) -> Result<Vec<ArrayRef>, StageError> {
    let is_on_disk = |at: &At| stores[at.0 as usize].is_on_disk();
    let mut wanted: Vec<At> = places.iter().flatten().copied().filter(is_on_disk).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let read = match wanted.is_empty() || fields.is_empty() {
        true => None,
        false => Some(read(stores, &wanted, fields)?),
    };
    // The sources of values: nulls, what is in memory, what was read.
    let has_none = places.contains(&None);
    let mut next = usize::from(has_none);
    let mut source_of = Vec::with_capacity(stores.len());
    for store in stores {
        source_of.push(next);
        next += usize::from(!store.is_on_disk());
    }
    let source = |place: &Option<At>| match place {
        None => (0, 0),
        Some(at) if is_on_disk(at) => (next, wanted.binary_search(at).expect("every row was read")),
        Some((store, row)) => (source_of[*store as usize], *row as usize),
    };
    let at: Vec<(usize, usize)> = places.iter().map(source).collect();
    let column = |(column, field): (usize, &FieldRef)| {
        let none = has_none.then(|| new_null_array(field.data_type(), 1));
        let in_memory = stores.iter().filter_map(|store| store.in_memory());
        let values = none.iter().chain(in_memory.chain(&read).map(|rows| rows.column(column)));
        let values: Vec<&dyn Array> = values.map(AsRef::as_ref).collect();
        if values.is_empty() { Ok(new_empty_array(field.data_type())) } else { Ok(interleave(&values, &at)?) }
    };
    fields.iter().enumerate().map(column).collect()
}

/// The first columns of rows that are in a scratch, which rise.
fn read(stores: &[&StoredRows], wanted: &[At], fields: &Fields) -> Result<RecordBatch, StageError> {
    #[cfg(test)]
    tests::READ.with(|read| read.set(read.get() + wanted.len()));
    let schema: SchemaRef = Arc::new(Schema::new(
        fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Fields>(),
    ));
    let columns: Vec<usize> = (0..fields.len()).collect();
    let mut parts: Vec<RecordBatch> = Vec::new();
    let mut from = 0;
    while let Some((store, row)) = wanted.get(from) {
        let StoredRows::Disk(disk) = stores[*store as usize] else {
            panic!("only what is in a scratch is read")
        };
        let block = disk.block_of(*row as usize);
        let is_in = |at: &&At| at.0 == *store && block.numbers().contains(&(at.1 as usize));
        let numbers: Vec<u32> = wanted[from..].iter().take_while(is_in).map(|at| at.1).collect();
        from += numbers.len();
        parts.push(picked(&block.read()?.project(&columns)?, block.first, &numbers)?);
        if parts.len() == PARTS_MAX {
            parts = vec![concat_batches(&schema, &parts)?];
        }
    }
    Ok(concat_batches(&schema, &parts)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::state::scratch::Scratch;

    thread_local! {
        /// How many rows were read from scratches by number, by this thread: a rig shows that it does.
        pub(crate) static READ: Cell<usize> = const { Cell::new(0) };
    }

    /// How often blocks were read, and how many there are.
    #[derive(Debug, Default)]
    struct Counts {
        reads: AtomicUsize,
        blocks: AtomicUsize,
        is_full: AtomicBool,
    }

    #[derive(Debug, Default)]
    struct Counting(Arc<Counts>);

    #[derive(Debug)]
    struct Block(Arc<Counts>, Mutex<Vec<u8>>);

    impl Scratch for Counting {
        fn put(&self, bytes: &[u8]) -> io::Result<Box<dyn Kept>> {
            if self.0.is_full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.blocks.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Block(Arc::clone(&self.0), Mutex::new(bytes.to_vec()))))
        }
    }

    impl Kept for Block {
        fn read(&self) -> io::Result<Vec<u8>> {
            self.0.reads.fetch_add(1, Ordering::Relaxed);
            Ok(self.1.lock().expect("no panic while held").clone())
        }

        fn stored_bytes(&self) -> u64 {
            self.1.lock().expect("no panic while held").len() as u64
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            self.0.blocks.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn rows(from: i64, count: usize) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count as i64));
        let texts = (from..from + count as i64).map(|n| (n % 3 != 0).then(|| format!("text {n}")));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).expect("rows")
    }

    fn scratch() -> (Arc<Counts>, Spill) {
        let scratch = Counting::default();
        let counts = Arc::clone(&scratch.0);
        (counts, Spill { look_up_bytes: 200, ..Spill::to(Arc::new(scratch)) })
    }

    /// A store in the scratch whose rows have these numbers as their values.
    fn stored(from: i64, count: usize, spill: &Spill) -> StoredRows {
        let mut stored = StoredRows::Memory(rows(from, count));
        stored.spill(spill).expect("room");
        assert!(stored.is_on_disk());
        stored
    }

    fn values(column: &ArrayRef) -> Vec<Option<i64>> {
        column.as_primitive::<Int64Type>().iter().collect()
    }

    fn all(stored: &StoredRows) -> Vec<i64> {
        let mut found = Vec::new();
        stored
            .each(
                |_| true,
                |_, rows| {
                    found.extend(values(rows.column(0)).into_iter().flatten());
                    Ok(())
                },
            )
            .expect("rows");
        found
    }

    #[test]
    fn rows_are_gathered_from_memory_and_the_scratch_and_each_block_is_read_once() {
        let (counts, spill) = scratch();
        let stores = [stored(0, 100, &spill), StoredRows::Memory(rows(1_000, 10)), stored(2_000, 50, &spill)];
        let stores: Vec<&StoredRows> = stores.iter().collect();
        let blocks = counts.blocks.load(Ordering::Relaxed);
        assert!(blocks > 10, "{blocks}");
        let fields = rows(0, 1).schema().fields().clone();
        for (places, wanted, reads) in [
            (vec![], vec![], 0),
            (vec![None], vec![None], 0),
            (vec![Some((1, 9)), None, Some((1, 0))], vec![Some(1_009), None, Some(1_000)], 0),
            // The first and the last of a store, and the same again.
            (
                vec![Some((2, 49)), Some((0, 0)), Some((0, 99)), Some((0, 0)), Some((1, 3))],
                vec![Some(2_049), Some(0), Some(99), Some(0), Some(1_003)],
                3,
            ),
            (
                (0..100).rev().map(|row| Some((0, row))).collect(),
                (0..100).rev().map(Some).collect(),
                match stores[0] {
                    StoredRows::Disk(disk) => disk.blocks.len(),
                    StoredRows::Memory(_) => 0,
                },
            ),
        ] {
            counts.reads.store(0, Ordering::Relaxed);
            let columns = gather(&stores, &places, &fields).expect("rows");
            assert_eq!(values(&columns[0]), wanted);
            let texts =
                wanted.iter().map(|n: &Option<i64>| n.filter(|n| n % 3 != 0).map(|n| format!("text {n}")));
            assert_eq!(columns[1].as_string::<i32>(), &texts.collect::<StringArray>());
            assert_eq!(counts.reads.load(Ordering::Relaxed), reads, "{places:?}");
        }
        assert!(gather(&[], &[], &fields).expect("no rows")[1].is_empty());
    }

    #[test]
    fn many_blocks_are_put_together_as_they_are_read() {
        let (_, spill) = scratch();
        let spill = Spill { look_up_bytes: 1, ..spill };
        let store = stored(0, 2 * PARTS_MAX + 3, &spill);
        let places: Vec<Option<At>> = (0..2 * PARTS_MAX as u32 + 3).rev().map(|row| Some((0, row))).collect();
        let columns = gather(&[&store], &places, rows(0, 1).schema().fields()).expect("rows");
        assert_eq!(values(&columns[0]), (0..2 * PARTS_MAX as i64 + 3).rev().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn what_counts_no_more_leaves_the_scratch_and_what_is_left_is_seldom_written_anew() {
        let (counts, spill) = scratch();
        let mut store = stored(0, 100, &spill);
        let StoredRows::Disk(disk) = &store else { panic!("in the scratch") };
        let per_block = disk.blocks[0].rows;
        assert!(per_block > SPARSE, "{per_block}");
        // Nothing of the first block, one row of the second, all of the others.
        let is_left = |row: usize| row == per_block || row >= 2 * per_block;
        let blocks = counts.blocks.load(Ordering::Relaxed);
        store.let_go(is_left);
        assert_eq!(counts.blocks.load(Ordering::Relaxed), blocks - 1);
        counts.reads.store(0, Ordering::Relaxed);
        let (left, numbers) = store.compacted(is_left).expect("room");
        assert_eq!(counts.reads.load(Ordering::Relaxed), 1, "only the second was read");
        let wanted: Vec<u32> = (2 * per_block as u32..100).chain([per_block as u32]).collect();
        assert_eq!(numbers, wanted);
        assert_eq!(all(&left), wanted.iter().map(|row| i64::from(*row)).collect::<Vec<_>>());
        drop(store);
        assert_eq!(counts.blocks.load(Ordering::Relaxed), blocks - 1, "one is gone, and one written anew");
        let more = stored(500, 7, &spill);
        let both = StoredRows::together(&rows(0, 1).schema(), vec![left, more]).expect("one");
        assert_eq!(all(&both).len(), numbers.len() + 7);
        let (_, none) = both.compacted(|_| false).expect("nothing is written");
        assert!(none.is_empty());
        drop(both);
        assert_eq!(counts.blocks.load(Ordering::Relaxed), 0);
        let (left, numbers) = StoredRows::Memory(rows(0, 4)).compacted(|row| row % 2 == 1).expect("rows");
        assert_eq!((all(&left), numbers, left.is_on_disk()), (vec![1, 3], vec![1, 3], false));
    }

    #[test]
    fn a_full_scratch_changes_nothing() {
        let (counts, spill) = scratch();
        let mut store = StoredRows::Memory(rows(0, 100));
        counts.is_full.store(true, Ordering::Relaxed);
        assert!(matches!(store.spill(&spill), Err(StageError::Scratch(_))));
        assert_eq!((all(&store).len(), store.is_on_disk(), store.disk_size()), (100, false, 0));
        counts.is_full.store(false, Ordering::Relaxed);
        let before = store.size();
        let freed = store.spill(&spill).expect("room");
        assert_eq!((store.size(), store.disk_size() > 1_000), (before - freed, true));
        counts.is_full.store(true, Ordering::Relaxed);
        assert!(matches!(store.compacted(|row| row % 10 == 0), Err(StageError::Scratch(_))));
        assert_eq!(all(&store).len(), 100);
    }
}
