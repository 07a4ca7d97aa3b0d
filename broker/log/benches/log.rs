//! What a log costs over the bare file: append, read and recovery, each beside a loop that only writes or reads the same
//! bytes, in one process, in turn. `cargo bench -p millstream-log --bench log -- [--dir D] [--megabytes N]`.

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use millstream_batch::{BatchBuilder, BatchConfig, Decompressor, Limits, Origin, RecordRef, validate};
use millstream_log::*;
use millstream_types::{NodeId, TopicPartition, Uuid};

const NOW: i64 = 1_700_000_000_000;

fn batch(bytes: usize) -> Vec<u8> {
    let value = vec![0x5a; 900.min(bytes - 80)];
    let mut builder = BatchBuilder::new(BatchConfig { batch_bytes_max: bytes, ..BatchConfig::default() });
    while let Ok(millstream_batch::Append::Added { .. }) =
        builder.append(&RecordRef { timestamp: NOW, key: None, value: Some(&value), headers: &[] })
    {}
    builder.build().expect("a batch").to_vec()
}

fn limits(depth: validate::Depth) -> Limits {
    Limits { depth, ..LogConfig::default().limits(NOW, Origin::Client) }
}

fn open(dir: &Path) -> LogDir {
    let identity =
        DirIdentity { cluster_id: Some("b".into()), node_id: NodeId(1), new_directory_id: Uuid([1; 16]) };
    LogDir::open(dir, identity).expect("the log directory")
}

fn log_in(dir: &LogDir, partition: i32) -> Log {
    let config = LogConfig { internal_segment_bytes: 64 << 20, ..LogConfig::default() };
    dir.open_log(TopicPartition::new("bench", partition), Uuid([2; 16]), Arc::new(config), NOW)
        .expect("the log")
}

fn append(log: &mut Log, bytes: &mut [u8], limits: &Limits, scratch: &mut Decompressor) {
    let checked = CheckedBatch::check(bytes, limits, scratch).expect("a good batch");
    let cx = AppendContext { leader_epoch: 0, origin: AppendOrigin::Client, now: NOW };
    log.append_as_leader(checked, &cx).expect("an append");
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut dir, mut megabytes) = (std::env::temp_dir(), 256u64);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = args.next().expect("--dir takes a folder").into(),
            "--megabytes" => megabytes = args.next().and_then(|v| v.parse().ok()).expect("a number"),
            _ => {}
        }
    }
    let dir = dir.join(format!("millstream-log-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the folder");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{megabytes} MB each, load {}", load.trim());
    println!("batch      raw write MB/s  append MB/s (ratio)  header check only (ratio)   us/append");
    for size in [200, 16 << 10, 64 << 10, 1 << 20] {
        appends(&dir, size, megabytes << 20);
    }
    reads(&dir, megabytes << 20);
    many_partitions(&dir);
    std::fs::remove_dir_all(&dir).expect("the folder goes");
}

fn appends(dir: &Path, size: usize, total: u64) {
    let mut bytes = batch(size);
    let total = total.min(size as u64 * 200_000);
    let count = total / bytes.len() as u64;
    let (mut raw, mut full, mut header) = (f64::MAX, f64::MAX, f64::MAX);
    // The best of three, in turn.
    for round in 0..3 {
        let file = std::fs::File::create(dir.join("raw")).expect("a file");
        let begun = Instant::now();
        for i in 0..count {
            file.write_all_at(&bytes, i * bytes.len() as u64).expect("a write");
        }
        raw = raw.min(begun.elapsed().as_secs_f64());
        drop(file);
        std::fs::remove_file(dir.join("raw")).expect("removed");
        for (depth, best) in [(validate::Depth::Records, &mut full), (validate::Depth::Header, &mut header)] {
            let path = dir.join(format!("append-{size}-{round}-{depth:?}"));
            let log_dir = open(&path);
            let mut log = log_in(&log_dir, 0);
            let (limits, mut scratch) = (limits(depth), Decompressor::new(1 << 20));
            let begun = Instant::now();
            for _ in 0..count {
                append(&mut log, &mut bytes, &limits, &mut scratch);
            }
            *best = best.min(begun.elapsed().as_secs_f64());
            drop((log, log_dir));
            std::fs::remove_dir_all(path).expect("removed");
        }
    }
    let rate = |seconds: f64| count as f64 * bytes.len() as f64 / 1e6 / seconds;
    println!(
        "{:8} {:15.0} {:12.0} ({:.2}) {:19.0} ({:.2}) {:11.2}",
        bytes.len(),
        rate(raw),
        rate(full),
        raw / full,
        rate(header),
        raw / header,
        full / count as f64 * 1e6
    );
}

fn reads(dir: &Path, total: u64) {
    let path = dir.join("read");
    let log_dir = open(&path);
    let mut log = log_in(&log_dir, 0);
    let mut bytes = batch(16 << 10);
    let (limits, mut scratch) = (limits(validate::Depth::Header), Decompressor::new(1 << 20));
    while log.size() < total {
        append(&mut log, &mut bytes, &limits, &mut scratch);
    }
    let (end, size) = (log.log_end_offset(), log.size());
    let begun = Instant::now();
    let mut count = 0u64;
    for i in 0..200_000i64 {
        let offset = i.wrapping_mul(7_919_317).rem_euclid(end);
        let bound = ReadBound { bytes_max: 1 << 20, upper_bound: end, min_one_batch: true };
        black_box(log.read(offset, &bound).expect("a read"));
        count += 1;
    }
    println!("a read at a random offset {:.2} us", begun.elapsed().as_secs_f64() / count as f64 * 1e6);
    let begun = Instant::now();
    for _ in 0..200_000 {
        let bound = ReadBound { bytes_max: 1 << 20, upper_bound: end, min_one_batch: true };
        black_box(log.read(end - 1, &bound).expect("a read"));
    }
    println!("a read of the last batch {:.2} us", begun.elapsed().as_secs_f64() / 200_000.0 * 1e6);
    log.flush().expect("a flush");
    drop((log, log_dir));
    let begun = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(path.join("bench-0")).expect("the folder") {
        let file = std::fs::File::open(entry.expect("an entry").path()).expect("a file");
        let mut at = 0;
        while let Ok(n @ 1..) = file.read_at(&mut buffer, at) {
            at += n as u64;
        }
    }
    let raw = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let log_dir = open(&path);
    let log = log_in(&log_dir, 0);
    let recovery = begun.elapsed().as_secs_f64();
    assert_eq!(log.log_end_offset(), end);
    println!(
        "recovery {:.0} MB/s, reading alone {:.0} MB/s ({:.2})",
        size as f64 / 1e6 / recovery,
        size as f64 / 1e6 / raw,
        raw / recovery
    );
}

fn many_partitions(dir: &Path) {
    let path = dir.join("many");
    let log_dir = open(&path);
    let begun = Instant::now();
    let mut logs: Vec<Log> = (0..600).map(|i| log_in(&log_dir, i)).collect();
    let opened = begun.elapsed();
    let mut bytes = batch(1000);
    let (limits, mut scratch) = (limits(validate::Depth::Records), Decompressor::new(1 << 20));
    for round in 0..3 {
        let begun = Instant::now();
        for log in &mut logs {
            append(log, &mut bytes, &limits, &mut scratch);
        }
        let appended = begun.elapsed();
        let begun = Instant::now();
        let tickets: Vec<FlushTicket> =
            logs.iter_mut().filter_map(|l| l.begin_flush().expect("a ticket")).collect();
        let result = flush_all(&**log_dir.disk(), &tickets);
        for (log, ticket) in logs.iter_mut().zip(tickets) {
            log.complete_flush(ticket, &result);
        }
        println!(
            "600 partitions, round {round}: opened {opened:.1?}, appended {appended:.1?}, one flush {:.1?}",
            begun.elapsed()
        );
    }
    let begun = Instant::now();
    log_dir.close(&mut logs, 1, NOW).expect("a clean stop");
    println!("600 partitions: clean stop {:.1?}", begun.elapsed());
    drop(logs);
    let begun = Instant::now();
    let log_dir = open(&path);
    let logs: Vec<Log> = (0..600).map(|i| log_in(&log_dir, i)).collect();
    println!("600 partitions: opened after a clean stop in {:.1?}", begun.elapsed());
    drop((logs, log_dir));
    let begun = Instant::now();
    let log_dir = open(&path);
    let _logs: Vec<Log> = (0..600).map(|i| log_in(&log_dir, i)).collect();
    println!("600 partitions: recovered after an unclean stop in {:.1?}", begun.elapsed());
}
