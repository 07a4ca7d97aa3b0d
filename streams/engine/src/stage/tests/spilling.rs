//! A scratch in memory for the rigs, and what is asked of spilling itself: that state in a scratch gives what state in memory
//! does is held by every rig, whose workers spill at random.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use millstream_model::KeyGroup;
use millstream_types::{Rng, SeededRng};

use super::super::{Stage, TimeBounds};
use super::groups::spec;
use super::lines;
use crate::error::StageError;
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
fn small(scratch: Arc<MemoryScratch>) -> Spill {
    Spill { scratch, block_bytes: 300, portion_bytes: 1_000, part_bytes_min: 1 }
}

/// Now and then moves state of a stage that has just committed to a scratch: all of it, or some.
pub(super) fn spill(stage: &mut Stage, rng: &mut SeededRng) {
    if rng.chance(1, 3) {
        let bytes = if rng.chance(1, 2) { usize::MAX } else { rng.below(20_000) as usize };
        let spill = small(Arc::default());
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
