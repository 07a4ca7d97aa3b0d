//! Failing disks (T6 e and f): every flush site fails once, every write site meets a full disk. Sites are counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_disk::faulty::{Fault, Faults, Faulty, Site};
use millstream_disk::sim::SimDisk;
use millstream_disk::{Disk, DiskError, Guarded, Health, Op};
use millstream_log::*;
use millstream_types::ErrorCode;

use crate::world::*;

struct Bench {
    log: Log,
    faults: Faults,
    health: Arc<Health>,
    disk: SimDisk,
    acknowledged: Vec<String>,
    counter: usize,
}

impl Bench {
    fn new() -> Bench {
        let disk = disk();
        let faults = Faults::default();
        let health = Health::new();
        let faulty = Faulty::new(Arc::new(disk.clone()), faults.clone());
        let guarded: Arc<dyn Disk> = Arc::new(Guarded::new(Arc::new(faulty), health.clone()));
        let log = Log::open(params(&guarded, &config())).unwrap();
        Bench { log, faults, health, disk, acknowledged: Vec::new(), counter: 0 }
    }

    fn put(&mut self, epoch: i32) -> Result<(), LogError> {
        let value = format!("{}-{}", self.counter, "v".repeat(90));
        self.counter += 1;
        append_at(&mut self.log, &values(&[&value]), &context(epoch, NOW))?;
        self.acknowledged.push(value);
        Ok(())
    }
}

fn config() -> LogConfig {
    LogConfig { internal_segment_bytes: 700, ..small() }
}

/// What every site is passed by: creation, appends, rolls, an epoch, flushes, a cut, retention, a clean stop.
type BenchStep = fn(&mut Bench) -> Result<(), LogError>;

const STEPS: &[BenchStep] = &[
    |b| b.put(0),
    |b| b.log.flush(),
    |b| fill(b, 10, 0),
    |b| b.put(1),
    |b| b.log.flush(),
    |b| {
        b.log.truncate_to(10, NOW)?;
        b.acknowledged.truncate(10);
        Ok(())
    },
    |b| fill(b, 16, 2),
    |b| b.log.flush(),
    |b| b.log.close(NOW),
];

/// Appends until `count` are acknowledged.
fn fill(b: &mut Bench, count: usize, epoch: i32) -> Result<(), LogError> {
    while b.acknowledged.len() < count {
        b.put(epoch)?;
    }
    Ok(())
}

fn is_flush(op: Op) -> bool {
    matches!(op, Op::Sync | Op::SyncDir | Op::SyncGroup)
}

#[test]
fn a_flush_that_fails_is_the_last_one() {
    let mut sites: BTreeSet<Site> = BTreeSet::new();
    let mut all: BTreeSet<Site> = BTreeSet::new();
    for at in 0.. {
        let mut b = Bench::new();
        b.faults.fail_at(at, Fault::Eio);
        let failed = STEPS.iter().find_map(|step| step(&mut b).err());
        all.extend(b.faults.sites().into_keys());
        let Some(fired) = b.faults.fired().first().cloned() else { break };
        assert!(failed.is_some(), "{fired:?} failed and nobody was told");
        if !is_flush(fired.op) {
            continue;
        }
        sites.insert(fired.clone());
        assert!(!b.health.is_online(), "{fired:?}");
        let (seen, flushed) = (b.faults.seen(), b.log.flushed_end_offset());
        for _ in 0..2 {
            assert_eq!(b.put(9).unwrap_err().error_code(), ErrorCode::KafkaStorageError, "{fired:?}");
            let _ = b.log.flush().unwrap_err();
            let _ = b.log.close(NOW).unwrap_err();
        }
        assert_eq!((b.faults.seen(), b.log.flushed_end_offset()), (seen, flushed), "{fired:?}: tried again");
    }
    let expected: BTreeSet<Site> = all.into_iter().filter(|s| is_flush(s.op)).collect();
    assert_eq!(sites, expected, "every flush site failed once");
    assert!(sites.len() >= 2, "{sites:?}");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let mut sites: BTreeSet<Site> = BTreeSet::new();
    let mut all: BTreeSet<Site> = BTreeSet::new();
    for (at, short) in (0..).map(|n| (n / 3, [0, 30, 100][n as usize % 3])) {
        let mut b = Bench::new();
        b.faults.fail_from(at, Fault::ShortWrite(short));
        let mut refused = None;
        for (number, step) in STEPS.iter().enumerate() {
            let Err(error) = step(&mut b) else { continue };
            refused = Some(());
            let fired = b.faults.fired()[0].clone();
            sites.insert(fired.clone());
            assert_eq!(error.error_code(), ErrorCode::KafkaStorageError, "{fired:?}: {error}");
            if is_flush(fired.op) {
                // A flush that fails for want of space has lost pages all the same.
                assert!(!b.health.is_online());
                break;
            }
            assert!(
                b.health.is_online() || b.faults.fired().iter().any(|s| is_flush(s.op)),
                "{fired:?}: {error}"
            );
            if !b.health.is_online() {
                break;
            }
            assert_eq!(b.log.log_end_offset(), b.acknowledged.len() as i64, "{fired:?}");
            b.faults.clear();
            // There is space again: what was refused can be done, and what was acknowledged is all there is.
            step(&mut b).unwrap_or_else(|e| panic!("step {number} after {fired:?}: {e}"));
        }
        all.extend(b.faults.sites().into_keys());
        if b.health.is_online() {
            let log = open(&b.disk.copy_synced(), &config());
            assert_eq!(read_values(&log, 0), b.acknowledged, "change {at}, {short} bytes arrive");
        }
        if refused.is_none() {
            break;
        }
    }
    let writes = |s: &&Site| matches!(s.op, Op::Write | Op::Open | Op::CreateDir | Op::Rename);
    let expected: BTreeSet<&Site> = all.iter().filter(writes).collect();
    let met: BTreeSet<&Site> = sites.iter().filter(writes).collect();
    assert_eq!(met, expected, "every write site met a full disk");
}

#[test]
fn a_failed_ticket_closes_its_log() {
    let mut b = Bench::new();
    b.put(0).unwrap();
    let ticket = b.log.begin_flush().unwrap().unwrap();
    let result: Result<(), DiskError> = Err(DiskError::malformed(&parent(), "as if"));
    b.log.complete_flush(ticket, &result);
    assert!(b.put(0).unwrap_err().to_string().contains("an earlier change failed"));
    assert!(b.log.begin_flush().is_err());
}
