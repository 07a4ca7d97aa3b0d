//! Tests of the watermarks: SM-1 under random histories, idleness, the end of bounded input, skewed replay.

use super::*;
use proptest::prelude::*;

const A: KeyGroup = KeyGroup(0);
const B: KeyGroup = KeyGroup(1);

fn source(idle_after_ms: Option<i64>, bounded: bool) -> SourceWatermarks {
    let mut source = SourceWatermarks::new(WatermarkConfig { delay_ms: 10, idle_after_ms, bounded });
    source.assign(A, Watermark::NONE, 0);
    source.assign(B, Watermark::NONE, 0);
    source
}

#[test]
fn the_least_waits_for_the_slowest_partition() {
    let mut s = source(Some(1_000), false);
    s.reading(A, 1).observe(500);
    s.tick(1);
    assert_eq!((s.of(A), s.of(B), s.least()), (Watermark::at(490), Watermark::NONE, Watermark::NONE));
    s.reading(B, 2).observe(300);
    s.tick(2);
    assert_eq!(s.least(), Watermark::at(290));
}

#[test]
fn a_partition_that_never_had_a_record_holds_nothing_back_once_caught_up() {
    let mut s = source(Some(1_000), false);
    s.reading(A, 1).observe(500);
    s.caught_up(B, CaughtUp::Yes);
    s.tick(1);
    assert_eq!((s.least(), s.of(B)), (Watermark::at(490), Watermark::NONE));
    s.tick(5_000);
    assert_eq!(
        s.of(B),
        Watermark::NONE,
        "it has nothing to close, so its first record is not judged by others"
    );
}

#[test]
fn idleness_needs_both_time_and_being_caught_up() {
    let mut s = source(Some(1_000), false);
    s.reading(B, 0).observe(100);
    s.reading(A, 900).observe(500);
    s.tick(1_500);
    assert_eq!(s.least(), Watermark::at(90), "B lags behind its end: it is slow, not idle");
    s.caught_up(B, CaughtUp::Yes);
    s.tick(1_500);
    assert_eq!((s.least(), s.of(B)), (Watermark::at(490), Watermark::at(490)));
    s.reading(B, 1_600).observe(200);
    s.reading(A, 1_600).observe(900);
    s.tick(1_600);
    assert_eq!((s.least(), s.of(B)), (Watermark::at(490), Watermark::at(490)), "awake again, nothing fell");
}

#[test]
fn when_all_are_idle_the_fastest_closes_the_windows_of_the_rest() {
    let mut s = source(Some(1_000), false);
    s.reading(A, 0).observe(500);
    s.reading(B, 0).observe(100);
    s.caught_up(A, CaughtUp::Yes);
    s.caught_up(B, CaughtUp::Yes);
    s.tick(2_000);
    assert_eq!((s.of(A), s.of(B), s.least()), (Watermark::at(490), Watermark::at(490), Watermark::at(490)));
}

#[test]
fn bounded_input_is_never_idle_and_ends() {
    let mut s = source(Some(1_000), true);
    s.reading(A, 0).observe(500);
    s.reading(B, 0).observe(100);
    s.caught_up(B, CaughtUp::Yes);
    s.tick(1_000_000);
    assert_eq!(s.of(B), Watermark::at(90));
    s.finish(B);
    s.tick(1_000_000);
    assert_eq!((s.of(B), s.least(), s.all_finished()), (Watermark::END, Watermark::at(490), false));
    s.finish(A);
    s.tick(1_000_000);
    assert_eq!((s.least(), s.all_finished()), (Watermark::END, true));
}

#[test]
fn an_ended_partition_does_not_end_an_idle_one() {
    let mut s = source(Some(1_000), false);
    s.reading(A, 0).observe(500);
    s.reading(B, 0).observe(100);
    s.caught_up(B, CaughtUp::Yes);
    s.finish(A);
    s.tick(5_000);
    assert_eq!((s.of(B), s.least()), (Watermark::at(90), Watermark::at(90)));
}

#[derive(Clone, Debug)]
enum Step {
    Record { partition: u32, time: i64 },
    Held { partition: u32, time: i64, most: i64 },
    Lift { partition: u32, level: i64 },
    CaughtUp { partition: u32, yes: bool },
    Finish { partition: u32 },
    Revoke { partition: u32 },
    Assign { partition: u32, restored: Option<i64> },
    Tick { after: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0u32..4;
    prop_oneof![
        6 => (partition.clone(), 0i64..10_000).prop_map(|(partition, time)| Step::Record { partition, time }),
        3 => (partition.clone(), 0i64..10_000, 0i64..10_000).prop_map(|(partition, time, most)| Step::Held { partition, time, most }),
        2 => (partition.clone(), 0i64..12_000).prop_map(|(partition, level)| Step::Lift { partition, level }),
        3 => (partition.clone(), any::<bool>()).prop_map(|(partition, yes)| Step::CaughtUp { partition, yes }),
        1 => partition.clone().prop_map(|partition| Step::Finish { partition }),
        1 => partition.clone().prop_map(|partition| Step::Revoke { partition }),
        2 => (partition, proptest::option::of(0i64..10_000)).prop_map(|(partition, restored)| Step::Assign { partition, restored }),
        4 => (0i64..2_000).prop_map(|after| Step::Tick { after }),
    ]
}

proptest! {
    /// SM-1: whatever happens, no partition's watermark falls; and the least one, as of a tick, is that of a partition which
    /// holds it back, where there is one.
    #[test]
    fn watermarks_never_fall(steps in proptest::collection::vec(step(), 1..80), bounded: bool) {
        let mut s = SourceWatermarks::new(WatermarkConfig { delay_ms: 50, idle_after_ms: Some(1_000), bounded });
        let mut now = 0;
        let mut seen: BTreeMap<u32, Watermark> = BTreeMap::new();
        let mut finished: Vec<u32> = Vec::new();
        for step in steps {
            match step {
                Step::Record { partition, time } => {
                    if s.partitions.contains_key(&KeyGroup(partition)) && !finished.contains(&partition) {
                        s.reading(KeyGroup(partition), now).observe(time);
                    }
                }
                Step::Held { partition, time, most } => {
                    if s.partitions.contains_key(&KeyGroup(partition)) && !finished.contains(&partition) {
                        let clock = s.reading(KeyGroup(partition), now);
                        let (mut one, before) = (*clock, clock.watermark());
                        clock.observe_all(&[time], most, &mut Vec::new());
                        one.observe_held(time, most);
                        prop_assert_eq!(one, *clock);
                        // Held back, a record counts for no more than its writers; lifted, for no more than itself.
                        prop_assert!(clock.watermark() <= before.max(Watermark::at(most - 50)));
                        let mut all = *clock;
                        all.lift(i64::MAX);
                        prop_assert!(all.watermark() >= Watermark::at(time - 50));
                    }
                }
                Step::Lift { partition, level } => {
                    let can = s.can_lift(KeyGroup(partition), level);
                    let before = s.before_end(KeyGroup(partition));
                    s.lift(KeyGroup(partition), level);
                    prop_assert_eq!(can, s.before_end(KeyGroup(partition)) > before);
                    prop_assert!(s.before_end(KeyGroup(partition)) <= before.max(Watermark::at(level - 50)));
                }
                Step::CaughtUp { partition, yes } => {
                    s.caught_up(KeyGroup(partition), if yes { CaughtUp::Yes } else { CaughtUp::No });
                }
                Step::Finish { partition } => {
                    s.finish(KeyGroup(partition));
                    if s.partitions.contains_key(&KeyGroup(partition)) { finished.push(partition); }
                }
                Step::Revoke { partition } => {
                    s.revoke(KeyGroup(partition));
                    finished.retain(|p| *p != partition);
                    seen.remove(&partition);
                }
                Step::Assign { partition, restored } => {
                    s.assign(KeyGroup(partition), restored.map_or(Watermark::NONE, Watermark::at), now);
                }
                Step::Tick { after } => {
                    now += after;
                    s.tick(now);
                    let holding = s.holding().map(|partition| s.of(partition)).min();
                    prop_assert!(holding.is_none_or(|holding| holding == s.least()));
                }
            }
            for partition in s.partitions().collect::<Vec<_>>() {
                let before = seen.insert(partition.0, s.of(partition)).unwrap_or(Watermark::NONE);
                prop_assert!(s.of(partition) >= before, "SM-1: partition {partition} fell from {before:?} to {:?}", s.of(partition));
            }
        }
    }

    /// A replay in which one partition is read to its end before the other starts: every row of both, in order within
    /// its partition up to the delay, is judged by its own partition's watermark and none is late.
    #[test]
    fn a_skewed_replay_makes_no_row_late(times in proptest::collection::vec(0i64..100_000, 1..200), size in 1i64..5_000) {
        let windows = crate::Windows::tumble(size).unwrap();
        let rule = crate::LateRule { allow_ms: 0, updates: false, then: crate::LateThen::Drop };
        let mut sorted = times;
        sorted.sort_unstable();
        let mut s = SourceWatermarks::new(WatermarkConfig { delay_ms: 0, idle_after_ms: Some(1), bounded: true });
        for partition in [A, B] { s.assign(partition, Watermark::NONE, 0); }
        for (i, partition) in [A, B].into_iter().enumerate() {
            for &time in &sorted {
                let clock = s.reading(partition, i as i64);
                prop_assert_eq!(rule.verdict(windows, time, clock.watermark()), crate::Verdict::OnTime);
                clock.observe(time);
                s.tick(i as i64 * 10_000);
            }
        }
    }
}
