//! The simulator's runs: first that a seed is the whole of a run, then the default seeds (or `SEEDS=a..b`), then the
//! planted bugs, each of which must be caught.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use millstream_sim::plant::{ALL, Bug};
use millstream_sim::world::{EVENTS, Report, run};

/// The default seeds.
const SEEDS: Range<u64> = 0..100;
/// Within so many seeds a planted bug must be caught.
const PLANTED_SEEDS: u64 = 100;

/// What the default seeds, or more, must have come by: a simulator that does not get there proves nothing.
const REQUIRED: &[&str] = &[
    "a batch was sent again and known",
    "a classic generation began",
    "a commit was refused",
    "a crash could lose something",
    "a log was compacted",
    "a marker was there before",
    "a member was assigned partitions",
    "a member was fenced",
    "a new partition was pinned",
    "a produce was refused and sent again",
    "a producer was fenced",
    "a reader met an open transaction",
    "a reader passed over an aborted transaction",
    "a snapshot of the metadata was made",
    "a sync failed",
    "a topic grew",
    "a topic was deleted",
    "a transaction of several records was whole at the end",
    "a transaction was aborted",
    "a transaction was committed",
    "a zombie's commit was refused",
    "a zombie's write was refused",
    "an assignment changed",
    "an end that was in doubt was asked for again",
    "an end was refused",
    "an offset was committed",
    "an offset was not stable",
    "an open transaction was aborted by its successor",
    "markers were written",
    "offsets were committed in a transaction",
    "one flush served several partitions",
    "records were deleted",
    "retention took segments away",
    "the clock jumped",
    "the disk was full",
    "the groups were held against their log",
    "the metadata log's disk refused",
    "the node started",
    "the node stopped cleanly",
    "the power went during recovery",
    "the power went in the middle of a write",
    "the process was killed",
    "the transactions were held against their log",
];

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("SEEDS is a..b");
    from.parse().expect("SEEDS is a..b")..to.parse().expect("SEEDS is a..b")
}

fn try_run(seed: u64, plant: Option<Bug>) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, EVENTS, plant))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("seed={seed}: a panic: {}", text.unwrap_or_default()))
    })
}

#[test]
fn a_seed_is_the_whole_of_a_run() {
    for seed in [1, 2, 3] {
        let (a, b) = (try_run(seed, None), try_run(seed, None));
        let trace = |r: Result<Report, String>| r.map(|r| r.trace).unwrap_or_else(|e| e);
        assert!(trace(a) == trace(b), "seed={seed} gave two traces");
    }
}

#[test]
fn nothing_is_violated() {
    let mut marks: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut ms, mut faults, mut failed) = (0, 0, Vec::new());
    let seeds = seeds();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        match try_run(seed, None) {
            Ok(report) => {
                ms += report.simulated_ms;
                faults += report.faults;
                for (mark, n) in report.marks {
                    *marks.entry(mark).or_default() += n;
                }
            }
            Err(what) => failed.push(what),
        }
    }
    println!("{count} seeds, {} simulated hours, {faults} faults", ms / 3_600_000);
    marks.iter().for_each(|(mark, n)| println!("{n:>8} {mark}"));
    for what in failed.iter().take(10) {
        let what = if count > 1 { what.lines().next().unwrap_or_default() } else { what };
        println!("{what}\nrun it with: SEEDS=a..b cargo test -p millstream-sim nothing_is_violated");
    }
    let never: Vec<_> = REQUIRED.iter().filter(|mark| marks.get(*mark).is_none_or(|n| *n == 0)).collect();
    assert!(count < SEEDS.end - SEEDS.start || never.is_empty(), "never came by: {never:?}");
    assert!(failed.is_empty(), "{} of {count} seeds failed", failed.len());
}

#[test]
fn planted_bugs_are_caught() {
    let mut missed = Vec::new();
    for bug in ALL {
        match (0..PLANTED_SEEDS).find_map(|seed| try_run(seed, Some(*bug)).err()) {
            Some(what) => println!("{bug:?}: {}", what.lines().next().unwrap_or_default()),
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {PLANTED_SEEDS} seeds: {missed:?}");
}
