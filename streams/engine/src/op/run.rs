//! Runs: committed state rows that are never changed, in memory or in a scratch. One in a scratch is in the order of its rows'
//! places, in blocks whose bounds are known, so that what is wanted of several runs can be taken portion by portion, in which
//! equal keys are together, and nothing has to be in memory whole. Never enters: what state rows mean.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type, UInt64Type};
use twox_hash::XxHash3_64;

use super::pane::part;
use super::row_key::RowKeys;
use super::stored_rows::damaged;
use crate::batch_ipc;
use crate::error::StageError;
use crate::state::scratch::{Kept, Spill};

/// Where a row lies among others: its key group, then 32 bits of a hash of its key.
pub(crate) type Place = u64;

/// Every place.
const EVERYWHERE: RangeInclusive<Place> = 0..=Place::MAX;

/// The place of each row, given the columns that rows of one key agree in; of a key group alone where there are none.
pub(crate) fn places(groups: &UInt32Array, keys: &[ArrayRef]) -> Vec<Place> {
    let groups = groups.values().iter().map(|group| Place::from(*group) << 32);
    if keys.is_empty() {
        return groups.collect();
    }
    let keys = RowKeys::new(keys);
    let mut bytes = Vec::new();
    let place = |(row, group): (usize, Place)| {
        keys.write(row, &mut bytes);
        group | XxHash3_64::oneshot(&bytes) >> 32
    };
    groups.enumerate().map(place).collect()
}

fn group_of(place: Place) -> u32 {
    (place >> 32) as u32
}

/// Neighbours of a run in a scratch.
#[derive(Debug)]
struct Block {
    first: Place,
    last: Place,
    /// In memory, when they are read.
    bytes: usize,
    kept: Box<dyn Kept>,
}

impl Block {
    /// The rows, and the place of each.
    fn read(&self) -> Result<(RecordBatch, Vec<Place>), StageError> {
        let bytes = self.kept.read().map_err(StageError::Scratch)?;
        let mut rows = batch_ipc::decode(&bytes).map_err(damaged)?;
        let places = rows.remove_column(rows.num_columns() - 1);
        Ok((rows, places.as_primitive::<UInt64Type>().values().to_vec()))
    }
}

/// A run that is in a scratch. Clones share its blocks; they go with the last.
#[derive(Clone, Debug)]
pub(crate) struct DiskRun {
    blocks: Vec<Arc<Block>>,
    /// A bit for each key group whose rows do not count any more.
    gone: Vec<u64>,
    rows: usize,
    spill: Spill,
}

impl DiskRun {
    fn has_gone(&self, group: u32) -> bool {
        is_in(&self.gone, group)
    }

    fn blocks_in(&self, range: &RangeInclusive<Place>) -> impl Iterator<Item = &Arc<Block>> {
        let from = self.blocks.partition_point(|block| block.last < *range.start());
        self.blocks[from..].iter().take_while(|block| block.first <= *range.end())
    }

    /// Gives the rows in a range of places, of key groups that are wanted.
    fn read(
        &self,
        range: &RangeInclusive<Place>,
        wanted: impl Fn(u32) -> bool,
        give: &mut impl FnMut(&RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        for block in self.blocks_in(range) {
            let (first, last) = (group_of(block.first), group_of(block.last));
            if !(first..=last).any(&wanted) {
                continue;
            }
            let (rows, places) = block.read()?;
            let rows = cut(&rows, &places, range);
            let rows = part(&rows, |group| wanted(group) && !self.has_gone(group))?;
            if rows.num_rows() > 0 {
                give(&rows)?;
            }
        }
        Ok(())
    }

    /// Gives the rows that lie at some places, which rise; with them, others that lie there by chance.
    fn read_at(
        &self,
        wanted: &[Place],
        give: &mut impl FnMut(&RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        for block in &self.blocks {
            let from = wanted.partition_point(|place| *place < block.first);
            if wanted.get(from).is_none_or(|place| *place > block.last) {
                continue;
            }
            let (rows, places) = block.read()?;
            let groups = rows.column(0).as_primitive::<UInt32Type>().values();
            let is_wanted = |place: &Place| wanted[from..].binary_search(place).is_ok();
            let keep = places.iter().zip(groups);
            let keep: BooleanArray =
                keep.map(|(place, group)| Some(is_wanted(place) && !self.has_gone(*group))).collect();
            if keep.true_count() > 0 {
                give(&filter_record_batch(&rows, &keep)?)?;
            }
        }
        Ok(())
    }
}

/// The rows of a range of places; rows rise by their places.
fn cut(rows: &RecordBatch, places: &[Place], range: &RangeInclusive<Place>) -> RecordBatch {
    let from = places.partition_point(|place| place < range.start());
    let to = places.partition_point(|place| place <= range.end());
    rows.slice(from, to - from)
}

/// Writes a run block by block. What it is given rises by place.
pub(crate) struct RunWriter {
    run: DiskRun,
}

impl RunWriter {
    pub(crate) fn new(spill: &Spill) -> RunWriter {
        RunWriter { run: DiskRun { blocks: Vec::new(), gone: Vec::new(), rows: 0, spill: spill.clone() } }
    }

    /// Adds rows in any order, whose places are all behind those of the rows before.
    pub(crate) fn add(&mut self, rows: &RecordBatch, placed_by: &[usize]) -> Result<(), StageError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let places = places_of(rows, placed_by);
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        // Rows of one place stay in their order.
        order.sort_by_key(|row| places[*row as usize]);
        let size = rows.get_array_memory_size();
        let per_block = (self.run.spill.block_bytes * rows.num_rows() / size.max(1)).clamp(1, 65_536);
        for order in order.chunks(per_block) {
            let sorted: UInt64Array = order.iter().map(|row| places[*row as usize]).collect();
            let (first, last) = (sorted.value(0), sorted.value(sorted.len() - 1));
            let block = take_record_batch(rows, &UInt32Array::from(order.to_vec()))?;
            let bytes = size * order.len() / rows.num_rows();
            let kept = self.put(&block, sorted)?;
            self.run.blocks.push(Arc::new(Block { first, last, bytes, kept }));
        }
        self.run.rows += rows.num_rows();
        Ok(())
    }

    fn put(&self, rows: &RecordBatch, places: UInt64Array) -> Result<Box<dyn Kept>, StageError> {
        let place = Arc::new(Field::new("place", DataType::UInt64, false));
        let fields = rows.schema().fields().iter().cloned().chain([place]).collect::<Vec<_>>();
        let columns = rows.columns().iter().cloned().chain([Arc::new(places) as ArrayRef]).collect();
        let whole = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let bytes = batch_ipc::encode(&whole, usize::MAX >> 1)?;
        self.run.spill.scratch.put(&bytes[0]).map_err(StageError::Scratch)
    }

    pub(crate) fn finish(self) -> Run {
        Run::Disk(self.run)
    }
}

/// The places of state rows, by the columns that their key lies in.
fn places_of(rows: &RecordBatch, placed_by: &[usize]) -> Vec<Place> {
    let keys: Vec<ArrayRef> = placed_by.iter().map(|column| Arc::clone(rows.column(*column))).collect();
    places(rows.column(0).as_primitive::<UInt32Type>(), &keys)
}

/// A run in memory, of which the rows of some key groups do not count any more. Clones share its rows.
#[derive(Clone, Debug)]
pub(crate) struct PartialRun {
    rows: RecordBatch,
    /// A bit for each key group that has gone.
    gone: Vec<u64>,
}

impl PartialRun {
    /// The rows that count, of key groups that are wanted.
    fn part(&self, wanted: impl Fn(u32) -> bool) -> Result<RecordBatch, StageError> {
        part(&self.rows, |group| wanted(group) && !is_in(&self.gone, group))
    }
}

/// Whether a key group is in a set of bits.
fn is_in(set: &[u64], group: u32) -> bool {
    set.get(group as usize / 64).is_some_and(|word| word & 1 << (group % 64) != 0)
}

/// Adds a set of bits to another.
pub(crate) fn add_to(all: &mut Vec<u64>, more: &[u64]) {
    all.resize(all.len().max(more.len()), 0);
    all.iter_mut().zip(more).for_each(|(all, more)| *all |= more);
}

/// See the module. Clones share their rows.
#[derive(Clone, Debug)]
pub(crate) enum Run {
    Memory(RecordBatch),
    Partial(PartialRun),
    Disk(DiskRun),
}

impl Run {
    /// How many rows it has, or had when it was written: key groups may have gone since.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Run::Memory(rows) => rows.num_rows(),
            Run::Partial(run) => run.rows.num_rows(),
            Run::Disk(run) => run.rows,
        }
    }

    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        match self {
            Run::Memory(rows) => rows.get_array_memory_size(),
            Run::Partial(run) => run.rows.get_array_memory_size(),
            Run::Disk(run) => run.blocks.len() * (size_of::<Block>() + 128) + run.gone.len() * 8,
        }
    }

    /// Bytes in the scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        match self {
            Run::Memory(_) | Run::Partial(_) => 0,
            Run::Disk(run) => run.blocks.iter().map(|block| block.kept.stored_bytes()).sum(),
        }
    }

    /// How it went to the scratch, if it is there.
    pub(crate) fn spilled(&self) -> Option<&Spill> {
        match self {
            Run::Memory(_) | Run::Partial(_) => None,
            Run::Disk(run) => Some(&run.spill),
        }
    }

    /// Lets go of the rows of some key groups, by a bit for each. Nothing is left if there were no others.
    pub(crate) fn without(self, gone: &[u64]) -> Result<Option<Run>, StageError> {
        Ok(match self {
            Run::Memory(rows) => {
                let rows = part(&rows, |group| !is_in(gone, group))?;
                (rows.num_rows() > 0).then_some(Run::Memory(rows))
            }
            Run::Partial(run) => {
                let rows = run.part(|group| !is_in(gone, group))?;
                (rows.num_rows() > 0).then_some(Run::Memory(rows))
            }
            Run::Disk(mut run) => {
                add_to(&mut run.gone, gone);
                let mut blocks = std::mem::take(&mut run.blocks);
                blocks.retain(|block| {
                    (group_of(block.first)..=group_of(block.last)).any(|group| !run.has_gone(group))
                });
                run.blocks = blocks;
                (!run.blocks.is_empty()).then_some(Run::Disk(run))
            }
        })
    }

    /// The same, but rows in memory stay where they are until they are [`Run::purged`]: that they do not count is noted.
    pub(crate) fn without_later(self, gone: &[u64]) -> Result<Option<Run>, StageError> {
        let (rows, gone) = match self {
            Run::Memory(rows) => (rows, gone.to_vec()),
            Run::Partial(PartialRun { rows, gone: mut all }) => {
                add_to(&mut all, gone);
                (rows, all)
            }
            Run::Disk(_) => return self.without(gone),
        };
        let groups = rows.column(0).as_primitive::<UInt32Type>().values();
        if groups.iter().all(|group| is_in(&gone, *group)) {
            return Ok(None);
        }
        let is_whole = !groups.iter().any(|group| is_in(&gone, *group));
        Ok(Some(if is_whole { Run::Memory(rows) } else { Run::Partial(PartialRun { rows, gone }) }))
    }

    /// Lets go of rows that do not count.
    pub(crate) fn purged(&self) -> Result<Run, StageError> {
        Ok(match self {
            Run::Partial(run) => Run::Memory(run.part(|_| true)?),
            _ => self.clone(),
        })
    }

    /// Gives every row of key groups that are wanted, some at a time.
    pub(crate) fn each(
        &self,
        wanted: impl Fn(u32) -> bool,
        mut give: impl FnMut(&RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        match self {
            Run::Memory(rows) => give(&part(rows, wanted)?),
            Run::Partial(run) => give(&run.part(wanted)?),
            Run::Disk(run) => run.read(&EVERYWHERE, wanted, &mut give),
        }
    }

    /// Gives the rows that may be of keys whose places, which rise, are these: all where they are in memory.
    pub(crate) fn each_at(
        &self,
        wanted: &[Place],
        mut give: impl FnMut(&RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        match self {
            Run::Memory(rows) => give(rows),
            Run::Partial(run) => give(&run.part(|_| true)?),
            Run::Disk(run) => run.read_at(wanted, &mut give),
        }
    }
}

/// A run as it is read portion by portion.
enum Source<'a> {
    Whole(&'a RecordBatch),
    Partial(&'a PartialRun),
    Sorted(RecordBatch, Vec<Place>),
    Disk(&'a DiskRun),
}

/// What several runs hold, cut into portions of which each has all rows of its keys.
pub(crate) struct Portions<'a> {
    sources: Vec<Source<'a>>,
    ranges: Vec<RangeInclusive<Place>>,
}

impl<'a> Portions<'a> {
    /// Over what is wanted of these runs, which is asked with a run's number and a key group; `placed_by` are the columns that a
    /// key's place goes by. One portion where all are in memory.
    pub(crate) fn new(
        runs: &'a [Run],
        placed_by: &[usize],
        wanted: impl Fn(usize, u32) -> bool,
    ) -> Result<Portions<'a>, StageError> {
        let mut blocks: Vec<(Place, usize)> = Vec::new();
        let mut portion_bytes = usize::MAX;
        for (at, run) in runs.iter().enumerate() {
            let Run::Disk(run) = run else { continue };
            portion_bytes = portion_bytes.min(run.spill.portion_bytes);
            let is_wanted = |block: &&Arc<Block>| {
                (group_of(block.first)..=group_of(block.last))
                    .any(|group| wanted(at, group) && !run.has_gone(group))
            };
            blocks.extend(run.blocks.iter().filter(is_wanted).map(|block| (block.first, block.bytes)));
        }
        blocks.sort_unstable();
        let (mut ranges, mut start, mut sum) = (Vec::new(), 0, 0usize);
        for (first, bytes) in blocks {
            sum = sum.saturating_add(bytes);
            if sum > portion_bytes && first > start {
                ranges.push(start..=first - 1);
                (start, sum) = (first, bytes);
            }
        }
        ranges.push(start..=Place::MAX);
        let cut_up = ranges.len() > 1;
        let sorted = |rows: RecordBatch| -> Result<Source<'a>, StageError> {
            let places = places_of(&rows, placed_by);
            let mut order: Vec<u32> = (0..places.len() as u32).collect();
            order.sort_by_key(|row| places[*row as usize]);
            let sorted = order.iter().map(|row| places[*row as usize]).collect();
            Ok(Source::Sorted(take_record_batch(&rows, &UInt32Array::from(order))?, sorted))
        };
        let source = |(at, run): (usize, &'a Run)| -> Result<Source<'a>, StageError> {
            match run {
                Run::Disk(run) => Ok(Source::Disk(run)),
                Run::Memory(rows) if !cut_up => Ok(Source::Whole(rows)),
                Run::Partial(run) if !cut_up => Ok(Source::Partial(run)),
                Run::Memory(rows) => sorted(part(rows, |group| wanted(at, group))?),
                Run::Partial(run) => sorted(run.part(|group| wanted(at, group))?),
            }
        };
        let sources: Result<_, _> = runs.iter().enumerate().map(source).collect();
        Ok(Portions { sources: sources?, ranges })
    }

    /// The portions, in the order of places.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = RangeInclusive<Place>> + use<> {
        self.ranges.clone().into_iter()
    }

    /// Gives the rows of a portion that are wanted, run by run in their order, with the run's number.
    pub(crate) fn each(
        &self,
        range: &RangeInclusive<Place>,
        wanted: impl Fn(usize, u32) -> bool,
        mut give: impl FnMut(usize, &RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        for (at, source) in self.sources.iter().enumerate() {
            let mut give = |rows: &RecordBatch| match rows.num_rows() {
                0 => Ok(()),
                _ => give(at, rows),
            };
            match source {
                Source::Whole(rows) => give(&part(rows, |group| wanted(at, group))?)?,
                Source::Partial(run) => give(&run.part(|group| wanted(at, group))?)?,
                Source::Sorted(rows, places) => give(&cut(rows, places, range))?,
                Source::Disk(run) => run.read(range, |group| wanted(at, group), &mut give)?,
            }
        }
        Ok(())
    }
}
