//! Retention, deletion of records, sealing, cuts, and a follower's appends.

use std::sync::Arc;

use millstream_batch::header;
use millstream_disk::Disk;
use millstream_log::config::RetentionTimeSource;
use millstream_log::*;
use millstream_types::ErrorCode;

use crate::world::*;

/// Appends one batch of a hundred bytes at each of these times, by the clock and by the records.
fn filled(config: &LogConfig, times: &[(i64, i64)]) -> (millstream_disk::sim::SimDisk, Log) {
    let disk = disk();
    let mut log = open(&disk, config);
    for (now, timestamp) in times {
        let cx = context(0, NOW + now);
        append_at(&mut log, &values(&[&"v".repeat(100)]).at(NOW + timestamp), &cx).unwrap();
    }
    (disk, log)
}

#[test]
fn segments_go_by_age_size_and_start() {
    let times: Vec<(i64, i64)> = (0..30).map(|i| (i * 100, i * 100)).collect();
    // The setting, the clock, the high watermark, and the log start that is left.
    let cases: &[(&str, &str, i64, i64, i64)] = &[
        ("retention.ms", "1000", 0, 30, 0),
        ("retention.ms", "1000", 3000, 30, 20),
        ("retention.ms", "1000", 3000, 12, 10),
        ("retention.ms", "1000", 9000, 30, 30),
        ("retention.ms", "-1", 1 << 50, 30, 0),
        ("retention.bytes", "1000", 0, 30, 20),
        ("retention.bytes", "-1", 0, 30, 0),
        ("retention.bytes", "0", 0, 30, 30),
    ];
    for (name, value, now, high_watermark, start) in cases {
        let mut config = LogConfig { retention_ms: -1, ..small() };
        config.set(name, value).unwrap();
        let (disk, mut log) = filled(&config, &times);
        log.apply_retention(NOW + now, *high_watermark).unwrap();
        assert_eq!(log.log_start_offset(), *start, "{name}={value} at {now}, hw {high_watermark}");
        assert_eq!(read_values(&log, *start).len(), 30 - *start as usize);
        let left = |disk: &dyn Disk| disk.list(&parent().join("t-0")).unwrap();
        let doomed = left(&disk).iter().filter(|e| e.name.ends_with(".log.deleted")).count();
        assert_eq!(doomed as i64, (*start + 4) / 5, "files wait for their delay");
        assert_eq!(log.delete_due_files(NOW + now).unwrap().is_some(), doomed > 0);
        assert_eq!(log.delete_due_files(NOW + now + 60_000).unwrap(), None);
        assert!(!left(&disk).iter().any(|e| e.name.ends_with(".deleted")));
        log.close(NOW).unwrap();
        assert_eq!(open_clean(&disk, &config).log_start_offset(), *start);
    }
}

/// Input whose event time lies in the past goes at once by Kafka's rule, and stays under `append`, also after restarts.
#[test]
fn retention_can_measure_the_time_of_the_append() {
    for (source, start) in [(RetentionTimeSource::Record, 30), (RetentionTimeSource::Append, 15)] {
        let config = LogConfig { retention_ms: 1000, retention_time_source: source, ..small() };
        let times: Vec<(i64, i64)> = (0..30).map(|i| (i * 100, i * 100 - 1_000_000)).collect();
        for reopen in [false, true] {
            let (disk, mut log) = filled(&config, &times);
            if reopen {
                log.close(NOW).unwrap();
                log = open_clean(&disk, &config);
            }
            log.apply_retention(NOW + 2500, 30).unwrap();
            assert_eq!(log.log_start_offset(), start, "{source:?} reopened: {reopen}");
        }
    }
}

#[test]
fn segments_are_sealed_by_time_with_jitter() {
    let config = LogConfig { internal_segment_bytes: 1 << 20, segment_ms: 1000, retention_ms: -1, ..small() };
    let times: Vec<(i64, i64)> = (0..40).map(|i| (i * 100, i * 100)).collect();
    assert_eq!(filled(&config, &times).1.segment_count(), 4);
    let jitter = LogConfig { segment_jitter_ms: 600, ..config.clone() };
    assert!(filled(&jitter, &times).1.segment_count() > 4);
    let append = LogConfig { retention_time_source: RetentionTimeSource::Append, ..config };
    let still: Vec<(i64, i64)> = (0..40).map(|i| (i * 100, 5)).collect();
    assert_eq!(filled(&append, &still).1.segment_count(), 4);
}

#[test]
fn records_are_deleted_up_to_the_high_watermark() {
    let times: Vec<(i64, i64)> = (0..30).map(|i| (i, i)).collect();
    let config = LogConfig { retention_ms: -1, ..small() };
    let (_, mut log) = filled(&config, &times);
    assert_eq!(log.advance_log_start(21, 20).unwrap_err().error_code(), ErrorCode::OffsetOutOfRange);
    log.advance_log_start(12, 20).unwrap();
    assert_eq!(log.read(11, &bound(&log, 100)).unwrap_err().error_code(), ErrorCode::OffsetOutOfRange);
    assert_eq!(read_values(&log, 12).len(), 18);
    assert_eq!(log.apply_retention(NOW, 20).unwrap().segments, 2);
    assert_eq!((log.log_start_offset(), read_values(&log, 12).len()), (12, 18));
    assert_eq!(log.epochs().entries()[0].start_offset, 12);
}

#[test]
fn a_cut_log_is_as_if_it_had_never_been_longer() {
    for cut in [29, 17, 15, 14, 3, 0] {
        let disk = disk();
        let mut log = open(&disk, &small());
        let mut short = open(&crate::world::disk(), &small());
        for i in 0..30 {
            let make = values(&[&"v".repeat(100)]).by(i % 3, 0, (i / 3) as i32);
            append_at(&mut log, &make, &context(i as i32 / 10, NOW)).unwrap();
            if i < cut {
                append_at(&mut short, &make, &context(i as i32 / 10, NOW)).unwrap();
            }
        }
        log.flush().unwrap();
        assert!(!log.truncate_to(30, NOW).unwrap());
        assert!(log.truncate_to(cut, NOW).unwrap());
        assert_eq!(log.flushed_end_offset(), cut);
        assert_eq!(knowledge(&log), knowledge(&short), "cut at {cut}");
        assert_eq!(knowledge(&open(&disk, &small())), knowledge(&short), "cut at {cut}, opened again");
        append_at(&mut log, &values(&["after"]), &context(7, NOW)).unwrap();
        log.close(NOW).unwrap();
        assert_eq!(read_values(&open_clean(&disk, &small()), cut), ["after"]);
    }
}

#[test]
fn a_follower_takes_whole_good_batches_at_their_offsets() {
    let disk = disk();
    let mut log = open(&disk, &LogConfig { internal_segment_bytes: 1 << 20, ..small() });
    let batch = |offset: i64, epoch: i32| {
        let mut bytes = values(&["a", "b"]).bytes();
        header::set_base_offset(&mut bytes, offset);
        header::set_partition_leader_epoch(&mut bytes, epoch);
        bytes
    };
    let mut reply = [batch(10, 3), batch(12, 3), batch(20, 5)].concat();
    reply.extend(&batch(22, 5)[..40]);
    let info = log.append_as_follower(&reply, NOW).unwrap().unwrap();
    assert_eq!((info.first_offset, info.last_offset, log.log_end_offset()), (10, 21, 22));
    assert_eq!(log.end_offset_for_epoch(4), Some((3, 20)));
    assert!(
        log.append_as_follower(&batch(21, 5), NOW).unwrap_err().to_string().contains("offsets have to rise")
    );
    let mut bad = batch(22, 5);
    bad[70] ^= 1;
    assert_eq!(log.append_as_follower(&bad, NOW).unwrap_err().error_code(), ErrorCode::CorruptMessage);
    assert_eq!(log.append_as_follower(&[], NOW).unwrap(), None);
    assert_eq!(log.log_end_offset(), 22);
    let lower = append_at(&mut log, &values(&["c"]), &context(4, NOW)).unwrap_err();
    assert_eq!(lower.error_code(), ErrorCode::FencedLeaderEpoch);
    let before = knowledge(&log);
    assert_eq!(knowledge(&open(&disk, &small())), before);
    log.set_config(Arc::new(small()));
    assert_eq!(
        append_at(&mut log, &values(&[&"x".repeat(2000)]), &context(5, NOW)).unwrap_err().error_code(),
        ErrorCode::RecordListTooLarge
    );
}
