//! Crash consistency (T6 of the test programme): torn tails, flipped bits, every crash state of recorded scenarios and
//! of the recovery that follows. `MILLSTREAM_LONG=1` widens each. A failure prints its seed, the scenario and the step.

use std::path::Path;
use std::sync::Arc;

use millstream_batch::control::TxnOutcome;
use millstream_disk::sim::SimDisk;
use millstream_disk::{Disk, Open};
use millstream_log::log_dir::checkpoint_offsets;
use millstream_log::*;
use millstream_types::{NodeId, Rng, SeededRng, TopicPartition, Uuid};

use crate::world::*;

fn is_long() -> bool {
    std::env::var_os("MILLSTREAM_LONG").is_some()
}

fn file_bytes(disk: &SimDisk, name: &str) -> Vec<u8> {
    millstream_disk::disk::read_file(disk, &parent().join("t-0").join(name), 1 << 20).unwrap()
}

fn write_file(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let file = disk.open(&parent().join("t-0").join(name), Open::Truncate).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// T6 a: a segment cut at each of its lengths. What is left is every batch that lies before the cut, and can be
/// appended to.
#[test]
fn a_segment_cut_anywhere_keeps_its_whole_batches() {
    let bytes_max = if is_long() { 64 << 10 } else { 8 << 10 };
    let config = LogConfig { internal_segment_bytes: 1 << 20, ..small() };
    let disk = disk();
    let mut log = open(&disk, &config);
    let mut ends = vec![0];
    let mut rng = SeededRng::new(1);
    while ends[ends.len() - 1] < bytes_max {
        let value = "x".repeat(rng.below(300) as usize);
        let info = append(&mut log, &values(&[&value, "y"])).unwrap();
        ends.push(ends[ends.len() - 1] + info.bytes);
    }
    log.flush().unwrap();
    drop(log);
    let name = "00000000000000000000.log";
    let whole = file_bytes(&disk, name);
    for cut in 0..=whole.len() {
        write_file(&disk, name, &whole[..cut]);
        let mut log = open(&disk, &config);
        let batches = ends.partition_point(|end| *end <= cut) - 1;
        assert_eq!(log.log_end_offset(), batches as i64 * 2, "cut at {cut}");
        if cut % 97 == 0 {
            assert_eq!(read_all(&log, 0).len(), batches * 2, "cut at {cut}");
            append(&mut log, &values(&["after"])).unwrap();
            assert_eq!(read_values(&open(&disk, &config), batches as i64 * 2), ["after"], "cut at {cut}");
        }
    }
}

/// T6 b: every bit of a 4 KiB batch, of the indexes, the snapshot and the small text files. Whatever is served is what
/// was appended, and nothing panics.
#[test]
fn flipped_bits_are_detected_or_harmless() {
    let config = LogConfig { internal_segment_bytes: 6000, index_interval_bytes: 400, ..small() };
    let disk = disk();
    let mut log = open(&disk, &config);
    for i in 0..4 {
        append(&mut log, &values(&[&format!("before-{i}")]).by(5, 0, i)).unwrap();
    }
    append(&mut log, &values(&["aborted"]).by(6, 0, 0).in_txn()).unwrap();
    marker(&mut log, 6, 1, TxnOutcome::Abort).unwrap();
    append(&mut log, &values(&["z".repeat(4096 - 61 - 12).as_str()])).unwrap();
    append(&mut log, &values(&["after"])).unwrap();
    for i in 0..60 {
        append(&mut log, &values(&[&format!("more-{i}"), &"m".repeat(60)])).unwrap();
    }
    assert!(log.segment_count() >= 2);
    let expected = read_all(&log, 0);
    let aborted = log.aborted_transactions(0, 100);
    let unclean = disk.copy_synced();
    log.close(NOW).unwrap();
    let names: Vec<String> = disk.list(&parent().join("t-0")).unwrap().into_iter().map(|e| e.name).collect();
    let mut tried = 0;
    for (disk, clean) in [(&disk, true), (&unclean, false)] {
        for name in &names {
            if disk.lookup(&parent().join("t-0").join(name)).unwrap().is_none() {
                continue;
            }
            let bits = file_bytes(disk, name).len() as u64 * 8;
            let is_log = name.ends_with(".log");
            // After a clean stop a batch is not read until a reader asks, and readers check it.
            let step = if is_long() {
                1
            } else if is_log && clean {
                211
            } else if is_log {
                7
            } else {
                1
            };
            for bit in (0..bits).step_by(step) {
                let damaged = disk.copy_synced();
                damaged.flip_bit(&parent().join("t-0").join(name), bit).unwrap();
                tried += 1;
                let disk: Arc<dyn Disk> = Arc::new(damaged);
                let log = match Log::open(LogParams { clean, ..params(&disk, &config) }) {
                    Ok(log) => log,
                    // Another topic's id: refused, nothing is touched.
                    Err(e) => {
                        assert!(name == "partition.metadata", "{name} bit {bit}: {e}");
                        continue;
                    }
                };
                if is_log && clean {
                    let _ = log.read(0, &bound(&log, 1 << 20)).map(|r| r.slice.map(|s| s.read()));
                    continue;
                }
                let found = read_all(&log, 0);
                assert!(expected.starts_with(&found), "{name} bit {bit} clean {clean}: wrong bytes served");
                if !is_log {
                    assert_eq!(
                        found.len(),
                        expected.len(),
                        "{name} bit {bit} clean {clean}: nothing is lost"
                    );
                    assert_eq!(log.aborted_transactions(0, 100), aborted, "{name} bit {bit} clean {clean}");
                }
                assert!(
                    log.epochs().entries().iter().all(|e| e.epoch == 0),
                    "{name} bit {bit} clean {clean}: epochs"
                );
            }
        }
    }
    println!("{tried} bits");
}

/// What a scenario has done, as far as a crash may show it.
#[derive(Clone, Default)]
struct Told {
    /// What each offset held, in each history that a crash may go back to.
    histories: Vec<Vec<(i64, String)>>,
    /// Nothing below this offset, and nothing at or behind `start`, may be missing.
    flushed: i64,
    /// The log may begin at or before this offset.
    start: i64,
    /// The partition may be gone.
    deleted: bool,
}

impl Told {
    fn history(&mut self) -> &mut Vec<(i64, String)> {
        if self.histories.is_empty() {
            self.histories.push(Vec::new());
        }
        self.histories.last_mut().unwrap()
    }
}

struct Run {
    dir: LogDir,
    log: Log,
    told: Told,
    counter: u64,
}

type Step = Result<(), LogError>;

impl Run {
    fn start(disk: &SimDisk) -> Result<Run, LogError> {
        let dir = open_dir(disk)?;
        let log = open_log(&dir)?;
        Ok(Run { dir, log, told: Told::default(), counter: 0 })
    }

    fn put(&mut self, count: usize, epoch: i32) -> Step {
        for _ in 0..count {
            let value = format!("{}-{}", self.counter, "v".repeat(self.counter as usize % 90));
            self.counter += 1;
            // Told before it is done: an append that fails may still be found.
            let end = self.log.log_end_offset();
            self.told.history().push((end, value.clone()));
            let known = self.log.producers().entries().get(&4);
            let make = values(&[&value]).by(4, 0, known.map_or(0, |p| p.last_sequence() + 1));
            append_at(&mut self.log, &make, &context(epoch, NOW))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Step {
        self.log.flush()?;
        self.told.flushed = self.log.flushed_end_offset();
        Ok(())
    }

    fn checkpoint(&mut self) -> Step {
        checkpoint_offsets(&self.dir, [&mut self.log]).map(|_| ())
    }

    /// Cuts the log at `offset`; a crash may show it uncut until the next flush.
    fn truncate(&mut self, offset: i64) -> Step {
        let kept = self.told.history().iter().filter(|(o, _)| *o < offset).cloned().collect();
        self.told.flushed = self.told.flushed.min(offset);
        self.told.histories.push(kept);
        self.log.truncate_to(offset, NOW).map(|_| ())
    }

    fn restart(&mut self, disk: &SimDisk) -> Step {
        self.log.close(NOW)?;
        let placeholder = Run { told: self.told.clone(), counter: self.counter, ..Run::placeholder() };
        let mut old = std::mem::replace(self, placeholder);
        old.dir.close([&mut old.log], 1, NOW)?;
        // The lock goes with the old directory.
        drop(old.dir);
        *self = Run { told: old.told, counter: old.counter, ..Run::start(disk)? };
        self.told.flushed = self.log.flushed_end_offset();
        Ok(())
    }

    fn placeholder() -> Run {
        Run::start(&disk()).unwrap()
    }
}

fn open_dir(disk: &SimDisk) -> Result<LogDir, LogError> {
    let identity =
        DirIdentity { cluster_id: Some("c".into()), node_id: NodeId(1), new_directory_id: Uuid([3; 16]) };
    LogDir::open_on(Arc::new(disk.clone()), &parent(), identity)
}

fn open_log(dir: &LogDir) -> Result<Log, LogError> {
    let config = LogConfig { internal_segment_bytes: 700, file_delete_delay_ms: 0, ..small() };
    dir.open_log(TopicPartition::new("t", 0), Uuid([7; 16]), Arc::new(config), NOW)
}

type Scenario = (&'static str, fn(&mut Run, &SimDisk) -> Step);

const SCENARIOS: &[Scenario] = &[
    ("first append", |run, _| {
        run.put(1, 0)?;
        run.flush()
    }),
    ("appends within a segment", |run, _| {
        for _ in 0..3 {
            run.put(2, 0)?;
            run.flush()?;
        }
        run.put(2, 0)
    }),
    ("roll", |run, _| {
        run.put(9, 0)?;
        run.flush()?;
        run.put(9, 0)?;
        run.flush()
    }),
    ("several rolls unflushed", |run, _| run.put(14, 0)),
    ("roll between flushes with checkpoints", |run, _| {
        for _ in 0..4 {
            run.put(4, 0)?;
            run.flush()?;
            run.checkpoint()?;
        }
        Ok(())
    }),
    ("epochs change", |run, _| {
        for epoch in 0..4 {
            run.put(2, epoch)?;
            if epoch % 2 == 0 {
                run.flush()?;
            }
        }
        Ok(())
    }),
    ("a cut within the segment", |run, _| {
        run.put(4, 0)?;
        run.flush()?;
        run.truncate(2)?;
        run.put(2, 1)?;
        run.flush()
    }),
    ("a cut over segments, checkpointed before", |run, _| {
        run.put(16, 0)?;
        run.flush()?;
        run.checkpoint()?;
        run.truncate(3)?;
        run.put(3, 1)?;
        run.flush()?;
        run.checkpoint()
    }),
    ("a clean stop", |run, disk| {
        run.put(10, 0)?;
        run.restart(disk)?;
        run.put(3, 0)?;
        run.flush()
    }),
    ("two clean stops with rolls", |run, disk| {
        run.put(5, 0)?;
        run.restart(disk)?;
        run.put(10, 1)?;
        run.flush()?;
        run.restart(disk)?;
        run.put(2, 1)
    }),
    ("retention by size", |run, _| {
        run.put(20, 0)?;
        run.flush()?;
        let config = LogConfig { retention_bytes: 900, internal_segment_bytes: 700, ..small() };
        run.log.set_config(Arc::new(LogConfig { file_delete_delay_ms: 0, ..config }));
        run.told.start = i64::MAX;
        let end = run.log.log_end_offset();
        run.log.apply_retention(NOW, end)?;
        run.log.delete_due_files(NOW + 1)?;
        run.told.start = run.log.log_start_offset();
        run.put(3, 0)?;
        run.flush()
    }),
    ("records deleted", |run, _| {
        run.put(20, 0)?;
        run.flush()?;
        run.told.start = 12;
        run.log.advance_log_start(12, 20)?;
        run.log.apply_retention(NOW, 20)?;
        run.checkpoint()?;
        run.log.delete_due_files(NOW + 1)?;
        run.put(3, 2)?;
        run.flush()
    }),
    ("begun again elsewhere", |run, _| {
        run.put(8, 0)?;
        run.flush()?;
        run.told.histories.push(Vec::new());
        (run.told.flushed, run.told.start) = (0, i64::MAX);
        run.log.truncate_fully(100, NOW)?;
        run.put(2, 3)?;
        run.flush()?;
        run.told.histories.remove(0);
        (run.told.flushed, run.told.start) = (102, 100);
        Ok(())
    }),
    ("transactions", |run, _| {
        for i in 0..4 {
            let end = run.log.log_end_offset();
            let value = format!("txn-{i}-{}", "t".repeat(80));
            run.told.history().push((end, value.clone()));
            append(&mut run.log, &values(&[&value]).by(9, i, 0).in_txn())?;
            marker(&mut run.log, 9, i + 1, if i % 2 == 0 { TxnOutcome::Abort } else { TxnOutcome::Commit })?;
            run.flush()?;
        }
        Ok(())
    }),
    ("a follower of a compacted leader", |run, _| {
        for (offset, count) in [(0, 2), (7, 2), (30, 2)] {
            for i in 0..count {
                let value = format!("follow-{offset}-{i}-{}", "f".repeat(120));
                let mut bytes = values(&[&value]).bytes();
                millstream_batch::header::set_base_offset(&mut bytes, offset + i);
                millstream_batch::header::set_partition_leader_epoch(&mut bytes, 2);
                run.told.history().push((offset + i, value));
                run.log.append_as_follower(&bytes, NOW)?;
            }
            run.flush()?;
        }
        Ok(())
    }),
    ("a partition deleted", |run, _| {
        run.put(8, 0)?;
        run.flush()?;
        run.told.deleted = true;
        let doomed = run.dir.delete_log(&mut run.log, Uuid([9; 16]))?;
        doomed.iter().try_for_each(|path| run.dir.remove_doomed(path))
    }),
];

/// Whether what a restart finds is what `told` allows.
fn judge(disk: &SimDisk, told: &Told) -> Result<(), String> {
    let dir = open_dir(disk).map_err(|e| format!("the directory does not open: {e}"))?;
    let mut log = open_log(&dir).map_err(|e| format!("the log does not open: {e}"))?;
    let start = log.log_start_offset();
    let found: Vec<(i64, String)> =
        read_all(&log, start).into_iter().filter_map(|(o, _, v)| Some((o, v?))).collect();
    if told.deleted && found.is_empty() {
        return Ok(());
    }
    let fits = |history: &Vec<(i64, String)>| {
        let from: Vec<_> = history.iter().filter(|(o, _)| *o >= start).cloned().collect();
        let must = from.iter().filter(|(o, _)| *o < told.flushed).count();
        from.starts_with(&found) && found.len() >= must
    };
    let empty = Vec::new();
    let may_be_empty = told.histories.iter().all(|h| h.is_empty()) || told.flushed == 0;
    let fits_one = told.histories.iter().any(fits) || (may_be_empty && fits(&empty));
    if !fits_one {
        return Err(format!(
            "found {found:?} from {start}, flushed to {}, told {:?}",
            told.flushed, told.histories
        ));
    }
    if start > told.start {
        return Err(format!("the log begins at {start}, and at {} at the latest", told.start));
    }
    if log.flushed_end_offset() > log.log_end_offset() {
        return Err("flushed beyond the end".into());
    }
    // It can be used, and its state is its own.
    let last = log.producers().entries().get(&4).map_or(0, |p| p.last_sequence() + 1);
    let end = log.log_end_offset();
    append_at(&mut log, &values(&["after"]).by(4, 0, last), &context(9, NOW))
        .map_err(|e| format!("appending: {e}"))?;
    log.flush().map_err(|e| format!("flushing: {e}"))?;
    let before = knowledge(&log);
    drop((log, dir));
    let dir = open_dir(disk).map_err(|e| e.to_string())?;
    let log = open_log(&dir).map_err(|e| e.to_string())?;
    if knowledge(&log) != before {
        return Err(format!("a second start finds {}, not {before}", knowledge(&log)));
    }
    if read_values(&log, end) != ["after"] {
        return Err("what was appended after the crash is not there".into());
    }
    Ok(())
}

/// A disk on which the log directory exists and belongs to the node.
fn formatted() -> SimDisk {
    let disk = disk();
    drop(open_dir(&disk).unwrap());
    disk.sync_dir(&parent()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// T6 c, and d: every operation of each scenario is the last one before the power goes. Of the states that the disk may
/// be in then, all are tried where they are few, else samples; after some, the power goes again during recovery.
#[test]
fn every_crash_of_every_scenario_is_recovered() {
    let samples = if is_long() { 1000 } else { 12 };
    let (mut states, mut points) = (0u64, 0u64);
    for (name, scenario) in SCENARIOS {
        let mut steps = 0;
        println!("{name}");
        loop {
            let disk = formatted();
            let mut run = Run::start(&disk).unwrap();
            disk.stop_after(steps);
            let done = scenario(&mut run, &disk);
            let Run { told, dir, log, .. } = run;
            let crash = disk.crash();
            drop((dir, log));
            let count = crash.count().unwrap_or(u64::MAX);
            let seed = steps * 1000 + 7;
            let mut rng = SeededRng::new(seed);
            points += 1;
            for n in 0..samples.min(count) {
                let state = match n {
                    0 => crash.nth(0),
                    1 => crash.all_kept(),
                    _ if count <= samples => crash.nth(n),
                    _ => crash.sample(&mut rng),
                };
                let state = if rng.chance(1, 4) { crash_again(state, &mut rng) } else { state };
                states += 1;
                if let Err(what) = judge(&state, &told) {
                    panic!(
                        "scenario \"{name}\", crash after {steps} changes, state {n}, seed {seed}: {what}"
                    );
                }
            }
            match done {
                Ok(()) => break,
                Err(e) if e.to_string().contains("lost power") || e.to_string().contains("offline") => {}
                Err(e) => panic!("scenario \"{name}\" with power for {steps} changes: {e}"),
            }
            steps += 1;
        }
    }
    println!("{states} states at {points} crash points of {} scenarios", SCENARIOS.len());
    assert!(points > 300);
}

/// Recovers, and lets the power go in the middle of it.
fn crash_again(disk: SimDisk, rng: &mut SeededRng) -> SimDisk {
    disk.stop_after(rng.below(12));
    if let Ok(dir) = open_dir(&disk) {
        let _ = open_log(&dir).and_then(|mut log| log.flush());
    }
    disk.crash().sample(rng)
}
