//! Compaction: what a reader of the last values sees never changes, and what may go, goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_batch::control::TxnOutcome;
use millstream_batch::{Codec, Decompressor, batches};
use millstream_disk::Disk;
use millstream_disk::sim::SimDisk;
use millstream_log::config::CleanupPolicy;
use millstream_log::*;
use millstream_types::{Rng, SeededRng};
use proptest::prelude::*;

use crate::world::*;

fn config() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy::COMPACT,
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: 1000,
        file_delete_delay_ms: 0,
        internal_segment_bytes: 400,
        ..small()
    }
}

/// The last value of each key, as a read_committed reader sees them; keys that were deleted are absent.
fn table(log: &Log) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    let aborted = log.aborted_transactions(0, i64::MAX);
    let mut offset = log.log_start_offset();
    while let Some(slice) = log.read(offset, &bound(log, 1 << 20)).unwrap().slice {
        let bytes = slice.read().unwrap();
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            let header = batch.header();
            offset = header.next_offset();
            let range = |t: &&AbortedTxn| {
                t.producer_id == header.producer_id
                    && (t.first_offset..t.last_offset).contains(&header.base_offset)
            };
            let is_aborted = header.attributes.is_transactional() && aborted.iter().find(range).is_some();
            if header.attributes.is_control() || is_aborted {
                continue;
            }
            for record in batch.records(&mut Decompressor::new(1 << 20)).unwrap() {
                let record = record.unwrap();
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                let key = text(record.key.unwrap());
                match record.value {
                    Some(value) => table.insert(key, text(value)),
                    None => table.remove(&key),
                };
            }
        }
    }
    table
}

fn compact(log: &mut Log, now: i64) -> Option<CompactionResult> {
    let end = log.log_end_offset();
    log.on_high_watermark(end);
    log.flush().unwrap();
    let plan = log.plan_compaction(now, end).unwrap()?;
    let output = plan.run(now, 1 << 20).unwrap();
    let result = log.install_compaction(output, now).unwrap();
    log.delete_due_files(now + 1).unwrap();
    result
}

#[test]
fn the_last_value_of_each_key_stays_and_tombstones_go_in_time() {
    let disk = disk();
    let mut log = open(&disk, &config());
    for i in 0..50 {
        append(&mut log, &keyed(&[("a", Some(&format!("a{i}"))), ("b", Some(&format!("b{i}")))])).unwrap();
    }
    append(&mut log, &keyed(&[("b", None), ("c", Some("c"))])).unwrap();
    log.roll_now(NOW).unwrap();
    let before = (table(&log), log.size(), log.segment_count());
    let result = compact(&mut log, NOW).unwrap();
    assert_eq!(table(&log), before.0);
    assert!(log.size() < 300 && log.segment_count() <= before.2, "{} {}", log.size(), log.segment_count());
    assert_eq!(result.bytes_before, before.1);
    assert_eq!(result.records_after, 3, "a's last value, b's tombstone, c");
    let all = read_all(&log, 0);
    assert_eq!(all.iter().map(|r| r.0).collect::<Vec<_>>(), [98, 100, 101], "offsets are kept");
    // Nothing new, nothing to do.
    assert_eq!(compact(&mut log, NOW), None);
    let reopened = open(&disk, &config());
    assert_eq!(knowledge(&reopened), knowledge(&log));
    let segments = log.segment_count();
    // The tombstone stays until its horizon, and goes with the next pass after it.
    for (now, records) in [(NOW + 500, 3), (NOW + 2000, 2)] {
        append(&mut log, &keyed(&[("a", Some("newest"))])).unwrap();
        log.roll_now(now).unwrap();
        compact(&mut log, now).unwrap();
        assert_eq!(read_all(&log, 0).len(), records, "{:?}", read_all(&log, 0));
    }
    assert!(segments > 5 && log.segment_count() <= 3, "small segments are merged");
    assert_eq!(table(&log), BTreeMap::from([("a".into(), "newest".into()), ("c".into(), "c".into())]));
    log.close(NOW).unwrap();
    assert_eq!(table(&open_clean(&disk, &config())).len(), 2);
}

#[test]
fn aborted_records_go_at_once_and_markers_when_nothing_is_left() {
    let disk = disk();
    let config = LogConfig { internal_segment_bytes: 4000, ..config() };
    let mut log = open(&disk, &config);
    append(&mut log, &keyed(&[("a", Some("kept"))])).unwrap();
    append(&mut log, &keyed(&[("a", Some("aborted"))]).by(1, 0, 0).in_txn()).unwrap();
    marker(&mut log, 1, 1, TxnOutcome::Abort).unwrap();
    append(&mut log, &keyed(&[("b", Some("committed"))]).by(2, 0, 0).in_txn()).unwrap();
    marker(&mut log, 2, 1, TxnOutcome::Commit).unwrap();
    append(&mut log, &keyed(&[("d", Some("open"))]).by(3, 0, 0).in_txn()).unwrap();
    log.roll_now(NOW).unwrap();
    append(&mut log, &keyed(&[("b", Some("later"))])).unwrap();
    log.roll_now(NOW).unwrap();
    assert_eq!(compact(&mut log, NOW), None, "a transaction is open in the first segment");
    marker(&mut log, 3, 1, TxnOutcome::Commit).unwrap();
    log.roll_now(NOW).unwrap();
    let before = table(&log);
    assert_eq!(before["a"], "kept");
    let mut now = NOW;
    let mut markers = Vec::new();
    for _ in 0..4 {
        compact(&mut log, now).unwrap();
        let mut now_seen = table(&log);
        now_seen.remove("z");
        assert_eq!(now_seen, before);
        let all = read_all(&log, 0);
        assert!(!all.iter().any(|(_, _, value)| value.as_deref() == Some("aborted")));
        markers.push(all.iter().filter(|(_, key, _)| key.as_ref().unwrap().starts_with('*')).count());
        now += 2000;
        append(&mut log, &keyed(&[("z", Some("z"))])).unwrap();
        log.roll_now(now).unwrap();
    }
    // Markers of 1 and 2 have nothing left after the first pass, get a horizon in the second, go in the third.
    assert_eq!(markers, [3, 3, 1, 1]);
}

#[test]
fn a_producers_sequence_outlives_its_records() {
    let disk = disk();
    let mut log = open(&disk, &config());
    append(&mut log, &keyed(&[("a", Some("1")), ("b", Some("2"))]).by(7, 0, 0)).unwrap();
    append(&mut log, &keyed(&[("a", Some("3")), ("b", Some("4"))])).unwrap();
    log.roll_now(NOW).unwrap();
    compact(&mut log, NOW).unwrap();
    assert_eq!(read_all(&log, 0).len(), 2);
    // No snapshot: the state comes from the batches.
    for entry in disk.list(&parent().join("t-0")).unwrap().iter().filter(|e| e.name.ends_with(".snapshot")) {
        disk.remove(&parent().join("t-0").join(&entry.name)).unwrap();
    }
    let mut log = open(&disk, &config());
    let again = append(&mut log, &keyed(&[("a", Some("1")), ("b", Some("2"))]).by(7, 0, 0)).unwrap();
    assert_eq!((again.duplicate, again.first_offset, again.last_offset), (true, 0, 1));
}

#[test]
fn a_compaction_of_a_log_that_was_cut_is_dropped() {
    let disk = disk();
    let mut log = open(&disk, &config());
    for i in 0..40 {
        append(&mut log, &keyed(&[("a", Some(&format!("{i}")))])).unwrap();
    }
    log.flush().unwrap();
    let output = log.plan_compaction(NOW, 40).unwrap().unwrap().run(NOW, 1 << 20).unwrap();
    log.truncate_to(3, NOW).unwrap();
    assert_eq!(log.install_compaction(output, NOW).unwrap(), None);
    assert_eq!(read_values(&log, 0), ["0", "1", "2"]);
    let left = disk.list(&parent().join("t-0")).unwrap();
    assert!(!left.iter().any(|e| e.name.ends_with(".cleaned")), "{left:?}");
}

/// T6 c for compaction: the power goes at every operation of it; the table is the same after each.
#[test]
fn every_crash_of_a_compaction_leaves_the_table() {
    let mut states = 0;
    for steps in 0.. {
        let disk = disk();
        let mut log = open(&disk, &config());
        for i in 0..24 {
            let (a, b) = (format!("a{i}"), format!("b{i}"));
            append(&mut log, &keyed(&[("a", Some(&a)), (&b, Some("x"))])).unwrap();
            if i % 2 == 0 {
                append(&mut log, &keyed(&[(&b, None)])).unwrap();
            }
        }
        log.roll_now(NOW).unwrap();
        compact(&mut log, NOW).unwrap();
        append(&mut log, &keyed(&[("a", Some("last"))])).unwrap();
        log.roll_now(NOW).unwrap();
        log.flush().unwrap();
        let before = table(&log);
        let end = log.log_end_offset();
        disk.stop_after(steps);
        // Late enough for the tombstones to go.
        let now = NOW + 5000;
        let plan = log.plan_compaction(now, end).unwrap().unwrap();
        let done = plan.run(now, 1 << 20).and_then(|output| log.install_compaction(output, now));
        let done = done.and_then(|_| log.delete_due_files(now + 1));
        let crash = disk.crash();
        let mut rng = SeededRng::new(steps);
        for n in 0..if std::env::var_os("MILLSTREAM_LONG").is_some() { 500 } else { 6 } {
            let state: SimDisk = match n {
                0 => crash.nth(0),
                1 => crash.all_kept(),
                _ => crash.sample(&mut rng),
            };
            if rng.chance(1, 3) {
                state.stop_after(rng.below(10));
                let disk: Arc<dyn Disk> = Arc::new(state.clone());
                let _ = Log::open(params(&disk, &config()));
            }
            let state = state.crash().sample(&mut rng);
            let log = open(&state, &config());
            assert_eq!(table(&log), before, "crash after {steps} changes, state {n}, seed {steps}");
            assert_eq!(log.log_end_offset(), end);
            states += 1;
        }
        if done.is_ok() {
            break;
        }
    }
    println!("{states} states");
    assert!(states > 300);
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8),
    Delete(u8),
    Txn(u8, u8, bool),
    Compact,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..8u8, any::<u8>()).prop_map(|(k, v)| Act::Put(k, v)),
        2 => (0..8u8).prop_map(Act::Delete),
        2 => (0..8u8, any::<u8>(), any::<bool>()).prop_map(|(k, v, commit)| Act::Txn(k, v, commit)),
        1 => Just(Act::Compact),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_compacted_log_is_a_map(acts in proptest::collection::vec(act(), 1..80)) {
        let disk = disk();
        let mut log = open(&disk, &config());
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        let mut epoch = 0;
        let mut now = NOW;
        for act in acts {
            now += 300;
            match act {
                Act::Put(k, v) => {
                    let (k, v) = (format!("k{k}"), format!("v{v}"));
                    let mut make = keyed(&[(&k, Some("first")), (&k, Some(&v))]);
                    make.codec = if v.len() % 2 == 0 { Codec::Lz4 } else { Codec::None };
                    append(&mut log, &make).unwrap();
                    model.insert(k, v);
                }
                Act::Delete(k) => {
                    let k = format!("k{k}");
                    append(&mut log, &keyed(&[(&k, None)])).unwrap();
                    model.remove(&k);
                }
                Act::Txn(k, v, commit) => {
                    let (k, v) = (format!("k{k}"), format!("t{v}"));
                    append(&mut log, &keyed(&[(&k, Some(&v))]).by(3, epoch, 0).in_txn()).unwrap();
                    epoch += 1;
                    let outcome = if commit { TxnOutcome::Commit } else { TxnOutcome::Abort };
                    marker(&mut log, 3, epoch, outcome).unwrap();
                    if commit {
                        model.insert(k, v);
                    }
                }
                Act::Compact => {
                    log.roll_now(now).unwrap();
                    compact(&mut log, now);
                }
                Act::Reopen => {
                    log.flush().unwrap();
                    log = open(&disk, &config());
                    // Where compaction had got to is the directory's to remember; from the start again is right too.
                }
            }
            prop_assert_eq!(&table(&log), &model);
        }
    }
}
