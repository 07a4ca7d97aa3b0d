//! A scratch in memory for the rigs, and what is asked of spilling itself: that state in a scratch gives what state in memory
//! does is held by every rig, whose workers spill at random.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use millstream_model::KeyGroup;
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, Stage, TimeBounds};
use super::groups::spec;
use super::{joins, lines, stores};
use crate::error::StageError;
use crate::op::stored_rows::tests::READ;
use crate::sql::Keep;
use crate::state::scratch::{Kept, Scratch, Spill};

/// How many blocks have been put by all rigs of this process.
pub(super) static BLOCKS: AtomicUsize = AtomicUsize::new(0);

type Blocks = Mutex<BTreeMap<usize, Vec<u8>>>;

/// Keeps bytes in memory. It may be full, and may lose what it has.
#[derive(Debug, Default)]
pub(super) struct MemoryScratch {
    blocks: Arc<Blocks>,
    next: AtomicUsize,
    is_full: AtomicBool,
}

#[derive(Debug)]
struct KeptHere {
    blocks: Arc<Blocks>,
    at: usize,
    bytes: usize,
}

impl Scratch for MemoryScratch {
    fn put(&self, bytes: &[u8]) -> io::Result<Box<dyn Kept>> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        self.blocks.lock().expect("no panic while held").insert(at, bytes.to_vec());
        Ok(Box::new(KeptHere { blocks: Arc::clone(&self.blocks), at, bytes: bytes.len() }))
    }
}

impl Kept for KeptHere {
    fn read(&self) -> io::Result<Vec<u8>> {
        let blocks = self.blocks.lock().expect("no panic while held");
        blocks.get(&self.at).cloned().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn stored_bytes(&self) -> u64 {
        self.bytes as u64
    }
}

impl Drop for KeptHere {
    fn drop(&mut self) {
        self.blocks.lock().expect("no panic while held").remove(&self.at);
    }
}

/// Sizes so small that a few rows are many blocks.
pub(super) fn small(scratch: Arc<MemoryScratch>) -> Spill {
    Spill { scratch, block_bytes: 300, look_up_bytes: 300, portion_bytes: 1_000, part_bytes_min: 1 }
}

/// How many rows this thread has read by number from scratches until now.
pub(super) fn rows_read() -> usize {
    READ.with(std::cell::Cell::get)
}

/// Now and then moves state of a stage that has just committed to a scratch: all of it, or some.
pub(super) fn spill(stage: &mut Stage, rng: &mut SeededRng) {
    if rng.chance(1, 3) {
        let bytes = if rng.chance(1, 2) { usize::MAX } else { rng.below(20_000) as usize };
        // What is small goes alone, or is made one first.
        let part_bytes_min = if rng.chance(1, 2) { 1 } else { 2_000 };
        let spill = Spill { part_bytes_min, ..small(Arc::default()) };
        stage.spill(&spill, bytes).expect("room in the scratch");
    }
}

fn count(stage: &mut Stage, from: u64, to: u64) {
    for number in from..to {
        let text = format!(r#"{{"id":"r{number}","store_id":"S{}","at":1000}}"#, number % 1_000);
        let at = (KeyGroup(0), number as i64);
        stage.push_record(0, at, Some(text.as_bytes()), TimeBounds::default()).expect("an owned group");
    }
    stage.commit(0).expect("a commit");
}

/// A thousand groups that are counted for ever, with two commits behind them.
fn counting() -> Stage {
    let mut stage = Stage::build(spec("SELECT store_id, COUNT(*) AS n FROM sales GROUP BY store_id", 1, 1))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.assign(KeyGroup(0), 0);
    count(&mut stage, 0, 1_000);
    count(&mut stage, 1_000, 2_000);
    stage
}

fn disk_bytes(stage: &Stage) -> u64 {
    stage.state_sizes().iter().map(|(_, size)| size.disk_bytes).sum()
}

#[test]
fn state_goes_to_the_scratch_and_leaves_it_with_what_it_is_of() {
    let (scratch, mut stage) = (Arc::<MemoryScratch>::default(), counting());
    let before = stage.state_sizes()[0].1.bytes;
    stage.spill(&small(Arc::clone(&scratch)), usize::MAX).expect("room");
    let size = stage.state_sizes()[0].1;
    assert!(size.disk_bytes > 10_000 && size.bytes < before, "{before} {size:?}");
    let stored = || scratch.blocks.lock().expect("no panic while held").values().map(Vec::len).sum::<usize>();
    assert_eq!(stored() as u64, size.disk_bytes);
    stage.take_outputs();
    count(&mut stage, 0, 1);
    stage.commit(60_000).expect("a commit");
    let sent: Vec<String> = stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)).collect();
    assert!(sent.iter().any(|line| line == "S0|3"), "{sent:?}");
    stage.revoke([KeyGroup(0)]).expect("a revocation");
    assert_eq!((stored(), disk_bytes(&stage)), (0, 0));
}

#[test]
fn a_full_scratch_leaves_state_in_memory_and_a_broken_one_ends_the_stage() {
    let (scratch, mut stage) = (Arc::<MemoryScratch>::default(), counting());
    scratch.is_full.store(true, Ordering::Relaxed);
    let spill = small(Arc::clone(&scratch));
    assert!(matches!(stage.spill(&spill, usize::MAX), Err(StageError::Scratch(_))));
    assert_eq!(disk_bytes(&stage), 0);
    stage.take_outputs();
    count(&mut stage, 0, 1);
    assert!(stage.commit(60_000).is_ok());
    scratch.is_full.store(false, Ordering::Relaxed);
    stage.spill(&spill, usize::MAX).expect("room again");
    assert!(disk_bytes(&stage) > 0);
    scratch.blocks.lock().expect("no panic while held").clear();
    let error = (0..20).find_map(|turn| {
        let text = format!(r#"{{"id":"r","store_id":"S{turn}","at":1000}}"#);
        stage
            .push_record(0, (KeyGroup(0), turn), Some(text.as_bytes()), TimeBounds::default())
            .expect("owned");
        stage.commit(120_000 + turn * 60_000).err()
    });
    assert!(matches!(error, Some(StageError::Scratch(_))), "{error:?}");
}

/// Queries that look rows up one by one, and what is kept of them.
const LOOK_UPS: &[(&str, Option<Keep>)] = &[
    (
        "SELECT a.store_id, a.id, b.id AS other, a.v + b.v AS v FROM sales AS a LEFT JOIN returns AS b
         ON a.store_id = b.store_id AND a.v > b.v AND b.at BETWEEN a.at - INTERVAL '1 hour' AND a.at + INTERVAL '1 hour'",
        None,
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other FROM sales AS a JOIN returns AS b ON a.store_id = b.store_id AND a.v = b.v",
        Some(Keep::ForEver),
    ),
    (
        "SELECT a.store_id, a.id FROM sales AS a WHERE EXISTS (SELECT 1 FROM returns AS b
         WHERE b.store_id = a.store_id AND b.v > a.v AND b.at BETWEEN a.at - INTERVAL '1 hour' AND a.at + INTERVAL '1 hour')",
        None,
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, b.v FROM returns AS a
         ASOF JOIN sales AS b MATCH_CONDITION (a.at >= b.at) ON a.store_id = b.store_id",
        None,
    ),
];

/// Sales of two partitions that are there, and are looked up by returns after them.
struct LookUps {
    stage: Stage,
    offset: i64,
}

impl LookUps {
    fn new((query, keep): &(&str, Option<Keep>)) -> LookUps {
        let mut spec = joins::spec(2, query, 10_000);
        if let OperatorKind::Sql { keep: kept, .. } = &mut spec.operators[0].kind {
            *kept = *keep;
        }
        let mut stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{query}: {problems:?}"));
        stage.load_table("stores", &stores()).expect("the table");
        (0..2).for_each(|group| stage.assign(KeyGroup(group), 0));
        let mut made = LookUps { stage, offset: 0 };
        for part in 0..4 {
            (0..200).for_each(|n| made.push(0, part * 200 + n));
            made.stage.commit(0).expect("a commit");
        }
        made
    }

    fn push(&mut self, source: usize, n: i64) {
        let group = (n % 2) as u32;
        let row = joins::Row {
            id: format!("{source}-{n}"),
            store: format!("S{group}"),
            at: 1_000_000 + n,
            v: Some(n * 7 % 100),
        };
        self.offset += 1;
        let place = (KeyGroup(group), self.offset);
        self.stage.push_record(source, place, Some(&row.json()), TimeBounds::default()).expect("owned");
    }

    /// What comes out for some returns, and as much time that what waited for them comes out.
    fn looked_up(&mut self) -> Result<Vec<String>, StageError> {
        (0..100).for_each(|n| self.push(1, 350 + n));
        self.stage.commit(0)?;
        (0..2).for_each(|source| (0..2).for_each(|n| self.push(source, 20_000_000 + n)));
        self.stage.commit(0)?;
        let given = self.stage.take_outputs().batches;
        let mut given: Vec<String> = given.iter().flat_map(|out| lines(&out.batch)).collect();
        given.sort_unstable();
        Ok(given)
    }
}

/// What is looked up row by row is found in a scratch too; it leaves with its key groups, stays in memory where a scratch is full, and ends
/// the stage where it cannot be read.
#[test]
fn rows_that_are_looked_up_lie_in_the_scratch() {
    for asked in LOOK_UPS {
        let wanted = LookUps::new(asked).looked_up().expect("rows");
        assert!(wanted.len() > 50, "{asked:?}: {} rows", wanted.len());
        let scratch = Arc::<MemoryScratch>::default();
        let spill = small(Arc::clone(&scratch));
        let stored =
            || scratch.blocks.lock().expect("no panic while held").values().map(Vec::len).sum::<usize>();
        let mut full = LookUps::new(asked);
        scratch.is_full.store(true, Ordering::Relaxed);
        assert!(matches!(full.stage.spill(&spill, usize::MAX), Err(StageError::Scratch(_))));
        assert_eq!((disk_bytes(&full.stage), stored()), (0, 0), "{asked:?}");
        scratch.is_full.store(false, Ordering::Relaxed);
        let before = full.stage.state_sizes()[0].1.bytes;
        full.stage.spill(&spill, usize::MAX).expect("room again");
        let size = full.stage.state_sizes()[0].1;
        assert!(size.bytes < before && size.disk_bytes > 20_000, "{asked:?}: {before} {size:?}");
        assert_eq!(stored() as u64, size.disk_bytes, "{asked:?}");
        assert_eq!(full.looked_up().expect("rows"), wanted, "{asked:?}");
        drop(full);
        assert_eq!(stored(), 0, "{asked:?}");
        let mut moved = LookUps::new(asked);
        moved.stage.spill(&spill, usize::MAX).expect("room");
        let all = stored();
        moved.stage.revoke([KeyGroup(0)]).expect("a revocation");
        assert_eq!(stored() as u64, disk_bytes(&moved.stage), "{asked:?}");
        moved.stage.revoke([KeyGroup(1)]).expect("a revocation");
        assert!(all > 0 && stored() == 0, "{asked:?}: {all} {}", stored());
        let mut broken = LookUps::new(asked);
        broken.stage.spill(&spill, usize::MAX).expect("room");
        scratch.blocks.lock().expect("no panic while held").clear();
        assert!(matches!(broken.looked_up(), Err(StageError::Scratch(_))), "{asked:?}");
    }
}

/// Sums of slices are made when a window fires, also while the disk takes nothing.
#[test]
fn windows_fire_over_slices_in_a_scratch_that_has_become_full() {
    let query = "SELECT store_id, qty, window_end, count(*) AS n FROM HOP(unique, issued_at, INTERVAL '1 second', INTERVAL '16 seconds')
                 GROUP BY store_id, qty, window_start, window_end";
    let run = |fills_at: Option<i64>| {
        let mut stage = Stage::build(super::spec(1, 1, query, None, 64)).expect("a stage");
        stage.load_table("stores", &super::stores()).expect("the table");
        stage.assign(KeyGroup(0), 0);
        let scratch = Arc::<MemoryScratch>::default();
        let (mut rows, mut on_disk) = (Vec::new(), 0);
        for second in 0..120i64 {
            for n in 0..20i64 {
                let (id, at) = ((second * 20 + n).to_string(), second * 1_000 + n);
                let invoice =
                    super::Invoice { id, store: format!("S{}", n % 5), at, qty: Some(n % 4), cents: 100 };
                let at = (KeyGroup(0), second * 20 + n);
                stage
                    .push_record(0, at, Some(&invoice.json()), TimeBounds::default())
                    .expect("an owned group");
            }
            stage.commit(second).expect("a commit");
            rows.extend(stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)));
            scratch.is_full.store(fills_at.is_some_and(|at| second >= at), Ordering::Relaxed);
            if fills_at.is_some() {
                let spilled = stage.spill(&small(Arc::clone(&scratch)), usize::MAX);
                assert_eq!(spilled.is_err(), fills_at.is_some_and(|at| second >= at), "{second}");
            }
            on_disk = disk_bytes(&stage).max(on_disk);
        }
        rows.sort_unstable();
        (rows, on_disk)
    };
    let (wanted, _) = run(None);
    let (rows, on_disk) = run(Some(60));
    assert!(on_disk > 10_000 && wanted.len() > 1_000, "{on_disk} bytes, {} rows", wanted.len());
    assert_eq!(rows, wanted);
}
