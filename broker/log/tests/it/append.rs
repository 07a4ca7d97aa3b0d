//! Appending, reading, closing and opening.

use millstream_batch::control::TxnOutcome;
use millstream_types::ErrorCode;

use crate::world::*;
use millstream_disk::Disk;
use millstream_log::LogConfig;

#[test]
fn nothing_is_on_disk_before_the_first_append() {
    let disk = disk();
    let mut log = open(&disk, &small());
    assert!(disk.list(&parent()).unwrap().is_empty());
    assert!(log.read(0, &bound(&log, 10)).unwrap().slice.is_none());
    log.flush().unwrap();
    append(&mut log, &values(&["a"])).unwrap();
    let names: Vec<String> = disk.list(&parent().join("t-0")).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["00000000000000000000.log", "leader-epoch-checkpoint", "partition.metadata"]);
    let metadata =
        millstream_disk::disk::read_file(&disk, &parent().join("t-0/partition.metadata"), 100).unwrap();
    assert_eq!(metadata, b"version: 0\ntopic_id: BwcHBwcHBwcHBwcHBwcHBw");
}

#[test]
fn what_is_appended_is_read_over_many_segments() {
    let disk = disk();
    let mut log = open(&disk, &small());
    let mut expected = Vec::new();
    for i in 0..60 {
        let (a, b) = (format!("value-{i}-a"), format!("value-{i}-b"));
        let info = append(&mut log, &values(&[&a, &b])).unwrap();
        assert_eq!((info.first_offset, info.last_offset), (i * 2, i * 2 + 1));
        expected.extend([a, b]);
    }
    assert!(log.segment_count() > 4, "{}", log.segment_count());
    for offset in 0..120 {
        assert_eq!(read_values(&log, offset), expected[offset as usize..], "from {offset}");
    }
    assert_eq!(log.read(121, &bound(&log, 10)).unwrap_err().error_code(), ErrorCode::OffsetOutOfRange);
    // The same after a clean stop, and after none.
    let before = knowledge(&log);
    log.close(NOW).unwrap();
    assert_eq!(append(&mut log, &values(&["x"])).unwrap_err().error_code(), ErrorCode::KafkaStorageError);
    drop(log);
    assert_eq!(knowledge(&open_clean(&disk, &small())), before);
    assert_eq!(knowledge(&open(&disk, &small())), before);
}

#[test]
fn a_read_ends_at_its_bound() {
    let disk = disk();
    let mut log = open(&disk, &LogConfig::default());
    for i in 0..300 {
        append(&mut log, &values(&[&format!("{i}")])).unwrap();
    }
    for upper in [0, 1, 2, 150, 171, 172, 173, 299, 300, 1000] {
        for from in [0, 1, 100, 170, 200, 299, 300] {
            let bound =
                millstream_log::ReadBound { bytes_max: 1 << 20, upper_bound: upper, min_one_batch: true };
            let slice = log.read(from, &bound).unwrap().slice;
            let count = slice.map_or(0, |s| millstream_batch::batches(&s.read().unwrap()).count() as i64);
            assert_eq!(count, (upper.min(300) - from).max(0), "{from}..{upper}");
        }
    }
    let one = log.read(5, &bound(&log, 1)).unwrap().slice.unwrap();
    assert_eq!(millstream_batch::batches(&one.read().unwrap()).count(), 1);
    let none = millstream_log::ReadBound { bytes_max: 0, upper_bound: 300, min_one_batch: false };
    assert!(log.read(5, &none).unwrap().slice.is_none());
    // A first batch that does not fit is not begun; one behind it may be cut.
    let size = one.len;
    for (bytes_max, want) in [(size - 1, None), (size, Some(size)), (size + 5, Some(size + 5))] {
        let bound = millstream_log::ReadBound { bytes_max, ..none };
        assert_eq!(log.read(5, &bound).unwrap().slice.map(|s| s.len), want, "{bytes_max}");
    }
}

#[test]
fn a_repeated_batch_is_success_with_its_old_offset_also_after_a_restart() {
    let disk = disk();
    let mut log = open(&disk, &small());
    append(&mut log, &values(&["a"]).by(9, 0, 0)).unwrap();
    append(&mut log, &values(&["b", "c"]).by(9, 0, 1)).unwrap();
    append(&mut log, &values(&["d"])).unwrap();
    for round in 0..3 {
        let again = append(&mut log, &values(&["b", "c"]).by(9, 0, 1)).unwrap();
        assert_eq!((again.duplicate, again.first_offset, again.last_offset), (true, 1, 2), "{round}");
        let gap = append(&mut log, &values(&["z"]).by(9, 0, 7)).unwrap_err();
        assert_eq!(gap.error_code(), ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(log.log_end_offset(), 4);
        log = match round {
            0 => open(&disk, &small()),
            _ => {
                let mut closing = log;
                closing.close(NOW).unwrap();
                open_clean(&disk, &small())
            }
        };
    }
}

#[test]
fn transactions_end_and_are_indexed() {
    let disk = disk();
    let mut log = open(&disk, &small());
    append(&mut log, &values(&["a"]).by(1, 0, 0).in_txn()).unwrap();
    append(&mut log, &values(&["b"]).by(2, 0, 0).in_txn()).unwrap();
    assert_eq!(log.last_stable_offset(2), 0);
    marker(&mut log, 1, 1, TxnOutcome::Abort).unwrap();
    assert!(marker(&mut log, 1, 1, TxnOutcome::Abort).unwrap().duplicate);
    log.on_high_watermark(3);
    assert_eq!(log.last_stable_offset(3), 1);
    marker(&mut log, 2, 1, TxnOutcome::Commit).unwrap();
    log.on_high_watermark(4);
    assert_eq!(log.last_stable_offset(4), 4);
    for i in 0..20 {
        append(&mut log, &values(&[&"x".repeat(100)]).by(3, 0, i).in_txn()).unwrap();
    }
    marker(&mut log, 3, 1, TxnOutcome::Abort).unwrap();
    let aborted = |log: &millstream_log::Log, a, b| {
        log.aborted_transactions(a, b).iter().map(|t| (t.producer_id, t.first_offset)).collect::<Vec<_>>()
    };
    assert_eq!(aborted(&log, 0, 25), [(1, 0), (3, 4)]);
    assert_eq!(aborted(&log, 3, 25), [(3, 4)]);
    assert_eq!(aborted(&log, 0, 4), [(1, 0)]);
    let before = knowledge(&log);
    assert_eq!(knowledge(&open(&disk, &small())), before);
    log.close(NOW).unwrap();
    assert_eq!(knowledge(&open_clean(&disk, &small())), before);
}

#[test]
fn a_timestamp_is_found_in_every_segment() {
    let disk = disk();
    let mut log = open(&disk, &small());
    for i in 0..60 {
        append(&mut log, &keyed(&[("k", Some("v")), ("k", Some("w"))]).at(NOW + i * 10)).unwrap();
    }
    let before = |log: &millstream_log::Log| {
        let at =
            |t| log.offset_for_timestamp(t).unwrap().map(|f| (f.offset, f.timestamp - NOW, f.leader_epoch));
        for i in 0..60 {
            assert_eq!(at(NOW + i * 10 - 8), Some((i * 2, i * 10, 0)));
            assert_eq!(at(NOW + i * 10), Some((i * 2, i * 10, 0)));
            assert_eq!(at(NOW + i * 10 + 1), Some((i * 2 + 1, i * 10 + 1, 0)));
        }
        assert_eq!(at(NOW + 592), None);
        assert_eq!(log.offset_of_max_timestamp().unwrap().unwrap().offset, 119);
    };
    before(&log);
    before(&open(&disk, &small()));
    log.close(NOW).unwrap();
    before(&open_clean(&disk, &small()));
}
