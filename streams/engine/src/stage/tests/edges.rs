//! Single rules of a stage, each on its own: skewed replay, bounded state, a second run, refusals.

use arrow::array::{Array, AsArray};
use millstream_model::Watermark;
use millstream_model::watermark::CaughtUp;

use super::*;
use crate::error::StageError;
use crate::stage::{OperatorCounts, OutputBatch};
use crate::state::ChangelogRecord;
use crate::state::copy::StateCopy;

fn new_stage(partitions: u32, query: &str) -> Stage {
    let mut stage = Stage::build(spec(partitions, 1, query, None, 64)).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    for group in 0..partitions {
        stage.assign(KeyGroup(group), 0);
    }
    stage
}

fn invoice(id: usize, store: u32, at: i64) -> Invoice {
    Invoice { id: id.to_string(), store: format!("S{store}"), at, qty: Some(1), cents: 100 }
}

fn push(stage: &mut Stage, group: u32, invoice: &Invoice) {
    stage
        .push_record(0, (KeyGroup(group), 0), Some(&invoice.json()), TimeBounds::default())
        .expect("an assigned partition");
}

fn names(outputs: &Outputs) -> BTreeMap<&str, usize> {
    let mut rows = BTreeMap::new();
    for batch in &outputs.batches {
        *rows.entry(batch.output.as_ref()).or_insert(0) += batch.batch.num_rows();
    }
    rows
}

/// Two writers of one partition, of which one is an hour ahead: what it brings raises the watermark only as far as the
/// other has come, so that nothing of the other is late, and windows close as it comes forward.
#[test]
fn a_writer_ahead_makes_no_row_of_another_late() {
    const HOUR: i64 = 3_600_000;
    let late = |bounds: bool| {
        let mut stage = new_stage(1, &tumbling(0));
        for step in 0..120usize {
            let at = step as i64 * 60_000;
            let ahead = (invoice(step, 0, at + HOUR), at);
            let behind = (invoice(1_000 + step, 0, at), at + HOUR);
            for (row, others_at) in [ahead, behind] {
                let others_at = bounds.then_some(others_at);
                stage
                    .push_record(
                        0,
                        (KeyGroup(0), 0),
                        Some(&row.json()),
                        TimeBounds { others_at, latest: None },
                    )
                    .expect("an assigned partition");
            }
            stage.turn(0).expect("a turn");
        }
        let counts: Vec<_> = stage.counts().iter().map(|(_, counts)| counts.late).collect();
        (counts.iter().sum::<u64>(), stage.watermark(KeyGroup(0)))
    };
    assert_eq!(late(false).0, 120, "without bounds all rows of the second are late");
    assert_eq!(late(true), (0, Watermark::at(119 * 60_000 - DELAY_MS)));
}

/// Kafka Streams has one stream time for a task and drops most of these; here each partition has its own watermark.
/// Input that does not end, and partitions that are not caught up while they wait.
#[test]
fn a_skewed_replay_drops_no_row() {
    const ROWS: usize = 500;
    let mut spec = spec(4, 1, &tumbling(0), None, 64);
    spec.sources[0].watermark.bounded = false;
    let mut stage = Stage::build(spec).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    (0..4).for_each(|group| stage.assign(KeyGroup(group), 0));
    let mut rng = SeededRng::new(3);
    let mut next = [0usize; 4];
    let mut now = 0;
    while next.iter().any(|n| *n < ROWS) {
        now += 1_000;
        // The first partition is read ten times as fast as the last.
        let group = [0, 0, 0, 0, 0, 0, 1, 1, 2, 3][rng.below(10) as usize];
        for _ in 0..20 {
            if next[group] < ROWS {
                let at = 1_000_000 + next[group] as i64 * 1_000;
                push(&mut stage, group as u32, &invoice(next[group], group as u32, at));
                next[group] += 1;
            }
        }
        stage.turn(now).expect("a turn");
        stage.commit(now).expect("a commit");
    }
    for group in 0..4 {
        stage.finish(0, KeyGroup(group), now).expect("an end");
    }
    stage.commit(now).expect("a commit");
    let outputs = stage.take_outputs();
    let windows = (1_000_000 + ROWS as i64 * 1_000 - 1) / SIZE_MS - 1_000_000 / SIZE_MS + 1;
    assert_eq!(names(&outputs), BTreeMap::from([("unique", 4 * ROWS), ("revenue", 4 * windows as usize)]));
    assert!(stage.counts().iter().all(|(_, counts)| counts.late == 0), "{:?}", stage.counts());
}

#[test]
fn an_idle_partition_closes_its_windows_and_a_slow_one_does_not() {
    let mut spec = spec(2, 1, &tumbling(0), None, 64);
    spec.sources[0].watermark =
        WatermarkConfig { delay_ms: DELAY_MS, idle_after_ms: Some(30_000), bounded: false };
    let mut stage = Stage::build(spec).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    (0..2).for_each(|group| stage.assign(KeyGroup(group), 0));
    push(&mut stage, 1, &invoice(1, 1, 1_000_000));
    stage.turn(0).expect("a turn");
    push(&mut stage, 0, &invoice(2, 0, 1_100_000));
    stage.commit(60_000).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 2)]), "partition 1 has a lag");
    stage.caught_up(0, KeyGroup(1), millstream_model::watermark::CaughtUp::Yes);
    stage.commit(60_000).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("revenue", 1)]));
}

#[test]
fn what_no_row_can_meet_any_more_is_forgotten() {
    let mut stage = new_stage(1, &tumbling(0));
    let mut most = 0;
    for i in 0..5_000usize {
        push(&mut stage, 0, &invoice(i, 0, i as i64 * 1_000));
        if i % 50 == 0 {
            stage.commit(0).expect("a commit");
            let size = stage.state_sizes()[0].1;
            most = most.max(size.entries);
            if i > 1_000 {
                // Kept for the span and the lateness allowed: 120 rows, and what comes between two sweeps.
                assert!((120..200).contains(&size.entries) && size.bytes < 40_000, "{size:?} after {i} rows");
            }
        }
    }
    assert!(most >= 120);
}

fn restored(query: &str, changelog: &[ChangelogRecord]) -> Result<Stage, StageError> {
    let mut stage = Stage::build(spec(1, 1, query, None, 64)).expect("a stage");
    stage.load_table("stores", &stores())?;
    let mut restore = Restore::new([KeyGroup(0)]);
    for record in changelog {
        restore.apply(&mut stage, &record.entry.encode())?;
    }
    restore.finish(&mut stage, 0)?;
    Ok(stage)
}

/// A run over files ends, its windows fire; later a run over more files goes on from there.
#[test]
fn a_second_run_over_more_input_finds_later_windows_open() {
    let mut stage = new_stage(1, &tumbling(0));
    push(&mut stage, 0, &invoice(1, 0, 1_000_000));
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    let changelog = stage.commit(0).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 1), ("revenue", 1)]));
    let mut stage = restored(&tumbling(0), &changelog).expect("a restore");
    push(&mut stage, 0, &invoice(1, 0, 1_000_000));
    push(&mut stage, 0, &invoice(2, 0, 1_000_100));
    push(&mut stage, 0, &invoice(3, 0, 1_010_000));
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    stage.commit(0).expect("a commit");
    let wanted = BTreeMap::from([("unique", 2), ("revenue.late", 1), ("revenue", 1)]);
    assert_eq!(
        names(&stage.take_outputs()),
        wanted,
        "a repeat is known, a fired window stays so, a later one is open"
    );
}

/// The end of a run closes what it gave: a window whose only row finds nothing in an inner join gave none, and goes on.
#[test]
fn a_window_whose_rows_a_join_dropped_is_not_closed_by_the_end() {
    let mut stage = new_stage(1, &tumbling(0));
    push(&mut stage, 0, &invoice(1, 0, 1_000_000));
    push(&mut stage, 0, &invoice(2, STORES as u32, 1_006_000));
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    let changelog = stage.commit(0).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 2), ("revenue", 1)]));
    let mut stage = restored(&tumbling(0), &changelog).expect("a restore");
    // In the window that was given, and in that of the row which was dropped.
    for (id, at) in [(3, 1_000_100), (4, 1_007_000)] {
        push(&mut stage, 0, &invoice(id, 0, at));
    }
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    stage.commit(0).expect("a commit");
    let wanted = BTreeMap::from([("unique", 2), ("revenue.late", 1), ("revenue", 1)]);
    assert_eq!(names(&stage.take_outputs()), wanted);
}

/// A stage whose windows have five seconds, with a query of windows of a minute beside them that reads the same rows.
fn two_windows() -> Stage {
    let mut spec = spec(1, 1, &tumbling(0), None, 64);
    spec.operators.push(beside::operator("unique", "store_id", "issued_at"));
    spec.outputs.insert(beside::NAME.into());
    let mut stage = Stage::build(spec).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage
}

fn taken_up(mut stage: Stage, changelog: &[Bytes]) -> Stage {
    let mut restore = Restore::new([KeyGroup(0)]);
    changelog.iter().for_each(|value| restore.apply(&mut stage, value).expect("a record of ours"));
    restore.finish(&mut stage, 0).expect("a restore");
    stage
}

/// What a run over one row leaves: at 1,000,000 its windows end at 1,005,000 and 1,020,000.
fn ended_run() -> (Stage, Vec<Bytes>) {
    let mut stage = taken_up(two_windows(), &[]);
    push(&mut stage, 0, &invoice(1, 0, 1_000_000));
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    let records =
        stage.commit(0).expect("a commit").into_iter().map(|record| record.entry.encode()).collect();
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 1), ("revenue", 1), ("beside", 1)]));
    (stage, records)
}

/// What the end of a run closes is closed for the query that closed it, and the source's watermark is that of its rows (SM-5).
#[test]
fn what_the_end_of_a_run_closes_is_closed_for_one_query() {
    let (_, changelog) = ended_run();
    let mut stage = taken_up(two_windows(), &changelog);
    assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_000_000 - DELAY_MS));
    assert_eq!(stage.level_of("unique"), 1_000_000 - DELAY_MS);
    // In a window that has fired for both; for the query beside alone; for none.
    for (id, at) in [(2, 1_000_100), (3, 1_007_500), (4, 1_020_000)] {
        push(&mut stage, 0, &invoice(id, 0, at));
    }
    stage.commit(0).expect("a commit");
    let wanted = BTreeMap::from([("unique", 3), ("revenue.late", 1), ("revenue", 1), ("beside.late", 2)]);
    assert_eq!(names(&stage.take_outputs()), wanted, "the one at 1,007,500 fires by the watermark");
    let late: Vec<u64> = stage.counts().iter().map(|(_, counts)| counts.late).collect();
    assert_eq!(late, [0, 1, 2]);
}

/// A snapshot of an operator has what it has fired, and of no other; what an operator wrote is all that it needs. A key group that
/// goes takes it with it.
#[test]
fn what_has_fired_goes_with_an_operators_state_and_its_key_group() {
    let (mut stage, _) = ended_run();
    let snapshot = |stage: &mut Stage, operator: &str| -> Vec<Bytes> {
        let records = stage.snapshot(operator, 0, vec![KeyGroup(0)]).expect("a snapshot");
        records.into_iter().map(|record| record.entry.encode()).collect()
    };
    let all: Vec<Vec<Bytes>> = OPERATORS.iter().map(|operator| snapshot(&mut stage, operator)).collect();
    for (operator, records) in OPERATORS.iter().zip(&all) {
        let of = records.iter().map(|value| ChangelogEntry::decode(value).expect("a record of ours"));
        assert!(of.into_iter().all(|entry| entry.operator().is_none_or(|of| of == *operator)), "{operator}");
    }
    stage.revoke([KeyGroup(0)]).expect("a revocation");
    // The same stage takes it back, of some operators without what they wrote: those have fired nothing.
    for (known, wanted) in [
        (vec![], BTreeMap::from([("unique", 1)])),
        (vec![0, 1], BTreeMap::from([("unique", 1), ("revenue.late", 1)])),
        (vec![0, 2], BTreeMap::from([("unique", 1), ("beside.late", 1)])),
        (vec![0, 1, 2], BTreeMap::from([("unique", 1), ("revenue.late", 1), ("beside.late", 1)])),
    ] {
        let records: Vec<Bytes> = known.iter().flat_map(|at: &usize| all[*at].clone()).collect();
        stage = taken_up(stage, &records);
        push(&mut stage, 0, &invoice(2, 0, 1_000_100));
        stage.turn(0).expect("a turn");
        assert_eq!(names(&stage.take_outputs()), wanted, "{known:?}");
        stage.revoke([KeyGroup(0)]).expect("a revocation");
    }
}

/// Rows raise a watermark as far as their writers had come, and further when those are known to have: in the stage that read them, and
/// in whichever takes their key group over, by its changelog, by a snapshot, by a copy.
#[test]
fn what_writers_held_back_comes_when_they_have_come_further() {
    let mut stage = new_stage(1, &tumbling(0));
    for (id, at, level) in [(1, 1_000_000, i64::MIN), (2, 1_039_000, 1_004_000)] {
        let bounds = TimeBounds { others_at: Some(level), latest: None };
        let row = invoice(id, 0, at).json();
        stage.push_record(0, (KeyGroup(0), id as i64), Some(&row), bounds).expect("an assigned partition");
    }
    let mut records = stage.commit(0).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 2)]));
    let snapshot = stage.snapshot("revenue-1", 0, vec![KeyGroup(0)]).expect("a snapshot");
    let of_unique = stage.snapshot("unique-1", 0, vec![KeyGroup(0)]).expect("a snapshot");
    let mut copy = StateCopy::new(BTreeSet::from([0]));
    for record in &records {
        let operator = record.entry.operator().unwrap_or("revenue-1").to_owned();
        copy.apply((&operator, 0), &record.entry.encode()).expect("a record of ours");
    }
    let part = copy.take(&BTreeSet::from([0])).expect("a part");
    let mut copied = Stage::build(spec(1, 1, &tumbling(0), None, 64)).expect("a stage");
    copied.load_table("stores", &stores()).expect("the table");
    copied.take_up(part, 0).expect("a part");
    let again = restored(&tumbling(0), &records).expect("a stage");
    let snapshots = of_unique.into_iter().chain(snapshot).collect::<Vec<_>>();
    let stored = restored(&tumbling(0), &snapshots).expect("a stage");
    for mut stage in [stage, again, stored, copied] {
        assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_004_000 - DELAY_MS));
        assert!(!stage.can_lift(0, KeyGroup(0), 1_004_000) && stage.can_lift(0, KeyGroup(0), 1_004_001));
        stage.lift_watermarks(0, [(KeyGroup(0), 1_038_000)], 0).expect("a level");
        assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_038_000 - DELAY_MS));
        records = stage.commit(0).expect("a commit");
        assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("revenue", 1)]), "its window is over");
        // No further than the rows are.
        stage.lift_watermarks(0, [(KeyGroup(0), i64::MAX)], 0).expect("a level");
        assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_039_000 - DELAY_MS));
        assert!(!stage.can_lift(0, KeyGroup(0), i64::MAX));
    }
    assert!(!records.is_empty());
}

/// What a stage without state has come to is taken up from beside its positions.
#[test]
fn a_stage_without_state_goes_on_from_where_it_was() {
    let mut stage = new_stage(2, &tumbling(0));
    let bounds = TimeBounds { others_at: Some(990_000), latest: None };
    stage
        .push_record(0, (KeyGroup(0), 0), Some(&invoice(1, 0, 1_000_000).json()), bounds)
        .expect("an assigned partition");
    stage.commit(0).expect("a commit");
    let kept = stage.committed_of(0, KeyGroup(0));
    assert_eq!(kept, (Watermark::at(990_000 - DELAY_MS), 1_000_000));
    let mut next = new_stage(1, &tumbling(0));
    next.resume(0, KeyGroup(0), kept, 0);
    next.caught_up(0, KeyGroup(0), CaughtUp::Yes);
    assert_eq!(next.level_of("unique"), 990_000 - DELAY_MS);
    assert!(next.can_lift(0, KeyGroup(0), 1_000_000));
    assert_eq!(next.committed_of(0, KeyGroup(0)), kept);
}

/// What the furthest partition has come to stands for all when nothing holds anything back.
#[test]
fn where_all_are_idle_the_furthest_counts() {
    let mut spec = spec(2, 1, &tumbling(0), None, 64);
    spec.sources[0].watermark.bounded = false;
    let mut stage = Stage::build(spec).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    (0..2).for_each(|group| stage.assign(KeyGroup(group), 0));
    assert_eq!((stage.level_of("unique"), stage.reached_by("unique")), (i64::MIN, i64::MIN));
    // One that has had no record may have been anywhere, until it is idle.
    push(&mut stage, 0, &invoice(0, 0, 1_000_000));
    (0..2).for_each(|group| stage.caught_up(0, KeyGroup(group), CaughtUp::Yes));
    stage.commit(0).expect("a commit");
    assert_eq!(stage.level_of("unique"), i64::MIN);
    for (group, at) in [(0, 1_000_000), (1, 1_100_000)] {
        push(&mut stage, group, &invoice(group as usize, group, at));
        stage.caught_up(0, KeyGroup(group), CaughtUp::Yes);
    }
    stage.commit(0).expect("a commit");
    assert_eq!(stage.level_of("unique"), 1_000_000 - DELAY_MS);
    assert_eq!(stage.reached_by("unique"), 1_100_000 - DELAY_MS);
    stage.commit(1_000).expect("a commit");
    assert_eq!(stage.level_of("unique"), i64::MAX, "both are idle");
    assert_eq!(stage.reached_by("unique"), 1_100_000 - DELAY_MS);
}

/// A changelog from before marks were kept has the source's watermark raised by the end of a run: it counts for all.
#[test]
fn what_an_earlier_build_closed_is_closed_for_all() {
    let (_, changelog) = ended_run();
    let raised = ChangelogEntry::Watermarks { source: None, pairs: vec![(KeyGroup(0), 1_020_000)] };
    let is_old = |value: &&Bytes| {
        let entry = ChangelogEntry::decode(value).expect("a record of ours");
        !matches!(entry, ChangelogEntry::Fired { .. } | ChangelogEntry::Watermarks { .. })
    };
    let old: Vec<Bytes> = changelog.iter().filter(is_old).cloned().chain([raised.encode()]).collect();
    assert_eq!(changelog.len(), old.len() + 2, "the marks of two queries, and a watermark for another");
    let mut stage = taken_up(two_windows(), &old);
    assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_020_000));
    for (id, at) in [(2, 1_007_500), (3, 1_020_000)] {
        push(&mut stage, 0, &invoice(id, 0, at));
    }
    stage.turn(0).expect("a turn");
    let wanted = BTreeMap::from([("unique", 2), ("revenue.late", 1), ("beside.late", 1)]);
    assert_eq!(names(&stage.take_outputs()), wanted);
}

#[test]
fn state_of_another_query_is_refused() {
    let mut stage = new_stage(1, &tumbling(0));
    push(&mut stage, 0, &invoice(1, 0, 1_000_000));
    let changelog = stage.commit(0).expect("a commit");
    let error = restored(&tumbling(1), &changelog).err().expect("a refusal").to_string();
    assert!(error.starts_with("restoring operator revenue-1: the changelog has the columns"), "{error}");
    let mut cut = spec(1, 1, &tumbling(0), None, 64);
    cut.operators[0].id = "unique-2".into();
    let mut stage = Stage::build(cut).expect("a stage");
    let mut restore = Restore::new([KeyGroup(0)]);
    let refused = changelog.iter().find_map(|r| restore.apply(&mut stage, &r.entry.encode()).err());
    assert!(matches!(refused, Some(StageError::State { operator, .. }) if operator == "unique-1"));
}

#[test]
fn misuse_is_an_error_not_a_wrong_result() {
    let mut stage = Stage::build(spec(2, 1, &tumbling(0), None, 64)).expect("a stage");
    let value = invoice(1, 0, 1_000_000).json();
    assert!(matches!(
        stage.push_record(0, (KeyGroup(0), 0), Some(&value), TimeBounds::default()),
        Err(StageError::NotAssigned(KeyGroup(0)))
    ));
    stage.assign(KeyGroup(0), 0);
    stage
        .push_record(0, (KeyGroup(0), 0), Some(&value), TimeBounds::default())
        .expect("an assigned partition");
    assert!(matches!(stage.turn(0), Err(StageError::TableMissing { .. })));
    assert!(matches!(stage.load_table("shops", &stores()), Err(StageError::Unknown { .. })));
    let other = stores().project(&[1]).expect("a column");
    assert!(matches!(stage.load_table("stores", &other), Err(StageError::Schema { .. })));
}

#[test]
fn a_spec_is_refused_with_all_its_problems() {
    let mut bad = spec(2, 3, "SELECT * FROM unique ORDER BY total", None, 0);
    bad.outputs.insert("nothing".into());
    bad.sources[0].event_time = Some("total".into());
    if let OperatorKind::Dedupe { key, .. } = &mut bad.operators[0].kind {
        *key = vec!["invoice_id".into()];
    }
    let problems = Stage::build(bad).err().expect("problems");
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for part in [
        "3 changelog partitions",
        "batches of 0 rows",
        "the event time total is of type Decimal128(18, 2)",
        "unique: its key lacks store_id",
        "the stage gives no nothing",
    ] {
        assert!(texts.iter().any(|t| t.contains(part)), "{part} is not in {texts:#?}");
    }
}

/// Rows of a topic of Arrow batches, and watermarks from control records instead of from the rows.
#[test]
fn columns_and_control_records_do_what_json_does() {
    let mut decoder = decoder();
    for (i, at) in [1_000_000, 1_004_999, 1_005_000].into_iter().enumerate() {
        decoder.push(&invoice(i, 0, at).json()).expect("a good record");
    }
    let batch = decoder.finish();
    let mut stage = new_stage(1, &tumbling(0));
    stage.push_batch(0, (KeyGroup(0), 7), &batch).expect("an assigned partition");
    stage
        .raise_watermark(0, KeyGroup(0), millstream_model::Watermark::at(1_008_000), 0)
        .expect("a control record");
    stage.commit(0).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 3), ("revenue", 1)]));
    stage.push_batch(0, (KeyGroup(0), 8), &batch.slice(0, 1)).expect("an assigned partition");
    push(&mut stage, 0, &invoice(9, 0, 1_000_000));
    stage.commit(0).expect("a commit");
    assert_eq!(names(&stage.take_outputs()), BTreeMap::from([("unique", 1), ("revenue.late", 1)]));
    assert_eq!((stage.counts()[0].1.repeated, stage.counts()[1].1.late), (1, 1));
}

/// Rows, word of rows that are gone, and batches, all of one turn: they go on in their order, and what names no row is given back.
#[test]
fn rows_that_go_keep_their_place_among_others() {
    let mut spec = spec(2, 1, "SELECT invoice_id, store_id, total FROM invoices", None, 1_000);
    spec.operators.retain(|operator| operator.name == "revenue");
    spec.operators[0].inputs = vec!["invoices".into()];
    spec.outputs = BTreeSet::from(["revenue".to_owned()]);
    spec.sources[0].event_time = None;
    spec.sources[0].latest_by = Some(vec!["store_id".into(), "invoice_id".into()]);
    for seed in 0..50 {
        let mut rng = SeededRng::new(seed);
        let mut stage = Stage::build(spec.clone()).unwrap_or_else(|problems| panic!("{problems:?}"));
        (0..2).for_each(|group| stage.assign(KeyGroup(group), 0));
        let read = stage.read_schema(0);
        let mut columns =
            Decoder::json(&read, &(0..read.fields().len()).collect::<Vec<_>>()).expect("a schema");
        let mut wanted = Vec::new();
        for step in 0..rng.below(40) {
            let number = rng.below(9) as usize;
            let place = (KeyGroup(rng.below(2) as u32), step as i64);
            let text = invoice(number, 0, 1_000_000).json();
            let known = format!(r#"{{"invoice_id":"{number}","store_id":"S0"}}"#);
            let is_gone = match rng.below(4) {
                0 => {
                    stage.push_record(0, place, Some(&text), TimeBounds::default()).expect("a row");
                    false
                }
                1 => {
                    columns.push(&text).expect("a good record");
                    stage.push_batch(0, place, &columns.finish()).expect("a row");
                    false
                }
                2 => {
                    assert_eq!(stage.push_gone(0, place, known.as_bytes()).expect("one that is gone"), None);
                    true
                }
                _ => {
                    let bad = stage.push_gone(0, place, br#"{"store_id":"S0"}"#).expect("no row");
                    assert!(bad.is_some_and(|bad| bad.to_string().contains("invoice_id is missing")));
                    continue;
                }
            };
            wanted.push((number.to_string(), step as i64, is_gone));
            if rng.chance(1, 6) {
                stage.turn(0).expect("a turn");
            }
        }
        stage.turn(0).expect("a turn");
        let mut found = Vec::new();
        for out in stage.take_outputs().batches {
            let gone = out.gone.expect("rows that may go");
            let offsets = out.offsets.expect("they are of records");
            let ids = out.batch.column(0).as_string::<i32>().clone();
            let total = out.batch.column(2);
            for row in 0..ids.len() {
                assert!(gone.value(row) || !total.is_null(row), "seed {seed}");
                found.push((ids.value(row).to_owned(), offsets.value(row), gone.value(row)));
            }
        }
        assert_eq!(found, wanted, "seed {seed}");
    }
}

/// A row of the far future is no row: it closes nobody's windows. One just at the bound is one.
#[test]
fn a_time_far_ahead_closes_no_window() {
    let mut stage = new_stage(1, &tumbling(0));
    let rows = [
        (1, 1_000_000, 2_000_000),
        (2, 2_000_001, 2_000_000),
        (3, i64::MAX / 2, 3_000_000),
        (4, 1_001_000, 1_001_000),
    ];
    for (id, at, latest) in rows {
        let bounds = TimeBounds { others_at: None, latest: Some(latest) };
        let place = (KeyGroup(0), id as i64);
        stage.push_record(0, place, Some(&invoice(id, 0, at).json()), bounds).expect("an assigned partition");
    }
    stage.commit(0).expect("a commit");
    assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_001_000 - DELAY_MS));
    let outputs = stage.take_outputs();
    assert_eq!(names(&outputs), BTreeMap::from([("unique", 2)]));
    let mut rejected: Vec<(i64, String)> =
        outputs.rejected.iter().map(|record| (record.offset, record.why.to_string())).collect();
    rejected.sort();
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert_eq!(rejected[0].0, 2);
    assert!(rejected[0].1.starts_with("its event time, 2000001 ms since 1970, is 1 ms later than it may be"));
}

/// What has no time is no row; what has one of long ago is late, and holds nobody back.
#[test]
fn a_time_that_is_absent_or_of_long_ago_holds_nobody_back() {
    let mut stage = new_stage(1, &tumbling(0));
    push(&mut stage, 0, &invoice(0, 0, 1_000_000));
    stage.commit(0).expect("a commit");
    let of = |time: &str| format!(r#"{{"invoice_id":"x","store_id":"S0",{time}"total":1}}"#);
    let none = [
        "",
        r#""issued_at":null,"#,
        r#""issued_at":"","#,
        r#""issued_at":"yesterday","#,
        r#""issued_at":1e30,"#,
        r#""issued_at":1.5,"#,
    ];
    // The year 1, 1900, and the first day that is counted.
    let past = [-62_135_596_800_000i64, -2_208_988_800_000, 0];
    let times = none.iter().map(|time| of(time));
    let times = times.chain(past.iter().map(|at| of(&format!(r#""issued_at":{at},"#))));
    for (offset, record) in times.enumerate() {
        let place = (KeyGroup(0), 1 + offset as i64);
        stage
            .push_record(0, place, Some(record.as_bytes()), TimeBounds::default())
            .expect("an assigned partition");
    }
    stage.commit(0).expect("a commit");
    assert_eq!(stage.watermark(KeyGroup(0)), Watermark::at(1_000_000 - DELAY_MS));
    let outputs = stage.take_outputs();
    let mut rejected: Vec<i64> = outputs.rejected.iter().map(|record| record.offset).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, (1..=none.len() as i64).collect::<Vec<_>>());
    // One is new to the dedupe, which forgets what is so long ago; none is in a window.
    let late: usize =
        names(&outputs).iter().filter(|(name, _)| name.ends_with(".late")).map(|(_, rows)| rows).sum();
    assert_eq!(late, past.len(), "{:?}", names(&outputs));
}

/// Rows that come many in a record of Arrow give what they give one by one in JSON: each is late, a repeat, too far ahead or
/// raises the watermark alone.
#[test]
fn rows_of_records_of_arrow_are_rows_like_others() {
    for seed in 0..60 {
        let mut rng = SeededRng::new(seed);
        let mut single = new_stage(2, &tumbling(0));
        let mut spec = spec(2, 1, &tumbling(0), None, 64);
        spec.sources[0].format = millstream_format::Format::Arrow;
        let mut many = Stage::build(spec).expect("a stage");
        many.load_table("stores", &stores()).expect("the table");
        (0..2).for_each(|group| many.assign(KeyGroup(group), 0));
        let mut decoder = decoder();
        let mut now = 1_000_000;
        for offset in 0..30 {
            let place = (KeyGroup(rng.below(2) as u32), offset);
            let others_at = rng.chance(1, 3).then_some(now + 2_000);
            let bounds = TimeBounds { others_at, latest: Some(now + 20_000) };
            let before = many.rows_waiting();
            let count = rng.below(12);
            for _ in 0..count {
                now += rng.below(1_000) as i64;
                let at = now + rng.below(40_000) as i64 - 15_000;
                let row = invoice(rng.below(200) as usize, rng.below(3) as u32, at).json();
                single.push_record(0, place, Some(&row), bounds).expect("an owned group");
                decoder.push(&row).expect("a good record");
            }
            let mut record = Vec::new();
            millstream_format::ipc::write(&decoder.finish(), &mut record).expect("a record");
            many.push_record(0, place, Some(&record), bounds).expect("an owned group");
            assert_eq!(many.rows_waiting() - before, count as usize, "seed {seed}");
            if rng.chance(1, 4) {
                for stage in [&mut single, &mut many] {
                    stage.commit(0).expect("a commit");
                }
            }
        }
        let [one, other] = [single, many].map(|mut stage| {
            (0..2).for_each(|group| stage.finish(0, KeyGroup(group), 0).expect("an end"));
            stage.commit(0).expect("a commit");
            let outputs = stage.take_outputs();
            let of = |of: &OutputBatch| -> Vec<String> {
                lines(&of.batch).into_iter().map(|line| format!("{} {line}", of.output)).collect()
            };
            let mut rows: Vec<String> = outputs.batches.iter().flat_map(of).collect();
            rows.sort();
            let far = outputs.rejected.iter().map(|record| format!("{} {}", record.offset, record.why));
            let far: Vec<String> = far.collect();
            assert!(outputs.failed.is_empty() && !rows.is_empty() && !far.is_empty(), "seed {seed}");
            let counts = |(_, counts)| OperatorCounts { busy: std::time::Duration::ZERO, ..counts };
            let counts: Vec<OperatorCounts> = stage.counts().into_iter().map(counts).collect();
            (rows, far, counts)
        });
        assert_eq!(one, other, "seed {seed}");
    }
}

/// A query between the source and the windows: what it does to the key, and what windows before it wait for.
#[test]
fn a_query_in_between_hides_nothing() {
    let behind = |sql: &str| {
        let mut spec = chained(spec(2, 1, &tumbling(0), None, 64), None);
        if let OperatorKind::Sql { sql: kept, .. } = &mut spec.operators[1].kind {
            *kept = sql.to_owned();
        }
        Stage::build(spec)
    };
    let all = "total, issued_at, invoice_id, qty";
    let problems =
        behind(&format!("SELECT upper(store_id) AS store_id, {all} FROM unique")).err().expect("a problem");
    assert!(problems[0].message.contains("partitioned by store_id of unique"), "{problems:?}");
    let mut stage = behind(&format!("SELECT store_id, {all} FROM unique")).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    assert_eq!(stage.level_of("seen"), i64::MIN);
    for at in [100_000, 200_000] {
        let invoice = Invoice { id: at.to_string(), store: "S0".into(), at, qty: None, cents: 1 };
        stage
            .push_record(0, (KeyGroup(0), at), Some(&invoice.json()), TimeBounds::default())
            .expect("an assigned partition");
    }
    stage.commit(0).expect("a commit");
    assert_eq!(stage.level_of("unique"), 200_000 - DELAY_MS);
    for node in ["revenue", "seen"] {
        assert_eq!(stage.level_of(node), 200_000 - DELAY_MS - ALLOW_MS, "{node}");
    }
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    // What fires now had not been promised.
    assert_eq!(stage.level_of("seen"), 200_000 - DELAY_MS - ALLOW_MS);
    stage.commit(0).expect("a commit");
    assert_eq!(stage.level_of("seen"), i64::MAX);
}
