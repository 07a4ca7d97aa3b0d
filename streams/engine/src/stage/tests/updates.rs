//! Windows whose results are sent again, step by step: when a window fires, which rows go with which commit, what a restore and
//! a later run send, and what is refused. That the last row of each key is right is the rig's to show.

use super::*;
use crate::state::ChangelogRecord;

const QUERY: &str = "SELECT store_id, window_start, window_end, count(*) AS n FROM {cut}
    GROUP BY store_id, window_start, window_end";

/// A stage whose windows fire at their end and stay for [`ALLOW_MS`].
fn stage_of(partitions: u32, cut: usize, update_ms: Option<i64>) -> Stage {
    let mut spec = spec(partitions, 1, &QUERY.replace("{cut}", CUTS[cut].0), update_ms, 64);
    spec.operators[1].inputs = vec!["unique".into()];
    if let OperatorKind::Sql { late, .. } = &mut spec.operators[1].kind {
        late.updates = true;
    }
    Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn restored(mut stage: Stage, partitions: u32, changelog: &[Bytes]) -> Stage {
    let groups: Vec<u32> = (0..partitions).collect();
    super::copies::give(&mut stage, &groups, changelog.iter(), 0);
    stage
}

/// Rows at these times of a partition's store.
fn push(stage: &mut Stage, group: u32, times: &[i64], next: &mut usize) {
    for at in times {
        *next += 1;
        let invoice =
            Invoice { id: next.to_string(), store: format!("S{group}"), at: *at, qty: Some(1), cents: 100 };
        stage
            .push_record(0, (KeyGroup(group), *next as i64), Some(&invoice.json()), TimeBounds::default())
            .expect("an assigned partition");
    }
}

/// What a commit sends: the seconds of each window's bounds, and its count; late rows.
fn commit(stage: &mut Stage, changelog: &mut Vec<Bytes>, now: i64) -> (Vec<(i64, i64, i64)>, usize) {
    let records: Vec<ChangelogRecord> = stage.commit(now).expect("a commit");
    changelog.extend(records.iter().map(|record| record.entry.encode()));
    let (mut sent, mut late) = (Vec::new(), 0);
    for out in stage.take_outputs().batches {
        match out.output.as_ref() {
            "revenue" => {
                for line in lines(&out.batch) {
                    let cells: Vec<&str> = line.split('|').collect();
                    let second = |text: &str| -> i64 {
                        let clock = text.split(['T', 'Z']).nth(1).expect("an instant");
                        clock
                            .split(':')
                            .fold(0, |sum, part| sum * 60 + part.parse::<i64>().expect("a number"))
                    };
                    sent.push((second(cells[1]), second(cells[2]), cells[3].parse().expect("a count")));
                }
            }
            "revenue.late" => late += out.batch.num_rows(),
            _ => {}
        }
    }
    sent.sort_unstable();
    (sent, late)
}

#[test]
fn a_window_fires_at_its_end_and_again_for_what_changes_until_it_closes() {
    // The watermark is two seconds behind the latest row, windows have five seconds and are open three more.
    let (mut stage, mut log, mut id) = (restored(stage_of(1, 0, None), 1, &[]), Vec::new(), 0);
    let mut step = |times: &[i64]| {
        push(&mut stage, 0, times, &mut id);
        commit(&mut stage, &mut log, 0)
    };
    assert_eq!(step(&[1_000, 6_999]), (vec![], 0), "the watermark is just before the end");
    assert_eq!(step(&[7_000]), (vec![(0, 5, 1)], 0), "the window is over, and nobody waits for late rows");
    assert_eq!(step(&[8_000]), (vec![], 0), "nothing of it has changed");
    assert_eq!(step(&[4_000, 4_500]), (vec![(0, 5, 3)], 0), "rows that are in time for it");
    // The row is judged by the watermark just before it, and the window has closed by the commit: its last row goes now.
    assert_eq!(step(&[2_000, 10_000]), (vec![(0, 5, 4)], 0));
    assert_eq!(step(&[3_000]), (vec![], 1), "the window has closed");
    assert_eq!(step(&[12_000]), (vec![(5, 10, 3)], 0));
    // Both its end and its close pass with one commit: it fires once.
    assert_eq!(step(&[21_000]), (vec![(10, 15, 2)], 0));
    let open = stage.state_sizes().iter().find(|(name, _)| *name == "revenue").map(|(_, size)| size.entries);
    assert_eq!(open, Some(1), "what has closed is gone");
}

#[test]
fn an_interval_holds_changes_back_until_a_window_closes() {
    let (mut stage, mut log, mut id) = (restored(stage_of(1, 0, Some(1_000)), 1, &[]), Vec::new(), 0);
    let mut step = |times: &[i64], now: i64| {
        push(&mut stage, 0, times, &mut id);
        commit(&mut stage, &mut log, now).0
    };
    assert_eq!(step(&[1_000], 0), [(0, 5, 1)], "it is open, and sends early");
    assert_eq!(step(&[1_500], 500), [], "not so soon");
    assert_eq!(step(&[7_000], 600), [(0, 5, 2)], "it fires, whatever the interval");
    assert_eq!(step(&[2_000], 700), []);
    assert_eq!(step(&[], 1_000), [(0, 5, 3), (5, 10, 1)], "what has changed since it was sent");
    assert_eq!(step(&[2_500], 1_500), []);
    assert_eq!(step(&[10_000], 1_600), [(0, 5, 4)], "it closes, whatever the interval");
    assert_eq!(step(&[], 2_000), [(10, 15, 1)], "what has closed, or has not changed, is not sent again");
}

#[test]
fn slices_that_change_change_every_window_over_them_that_is_not_closed() {
    // Of six seconds, one each two.
    let (mut stage, mut log, mut id) = (restored(stage_of(1, 1, None), 1, &[]), Vec::new(), 0);
    let mut step = |times: &[i64]| {
        push(&mut stage, 0, times, &mut id);
        commit(&mut stage, &mut log, 0)
    };
    assert_eq!(step(&[60_500, 66_000]), (vec![(56, 62, 1), (58, 64, 1)], 0));
    // At a watermark of 64 seconds, windows that end at 62 and 64 are over and open for rows; the one to 66 is not over.
    assert_eq!(step(&[61_000]), (vec![(56, 62, 2), (58, 64, 2)], 0));
    assert_eq!(step(&[67_000]), (vec![], 0), "the one to 62 closes");
    // It takes this row no more, the one to 64 does.
    assert_eq!(step(&[61_500]), (vec![(58, 64, 3)], 0));
    assert_eq!(step(&[68_000]), (vec![(60, 66, 3)], 0));
}

/// A slice is part of a window that closes, and of others that wait for the interval.
#[test]
fn what_a_window_that_closes_sends_is_not_forgotten_for_the_others() {
    let (mut stage, mut log, mut id) = (restored(stage_of(1, 1, Some(1_000)), 1, &[]), Vec::new(), 0);
    let mut step = |times: &[i64], now: i64| {
        push(&mut stage, 0, times, &mut id);
        commit(&mut stage, &mut log, now).0
    };
    let early = |n: i64| [(62, 68, n), (64, 70, n), (66, 72, n)];
    assert_eq!(step(&[60_500, 66_000], 0), [[(56, 62, 1), (58, 64, 1), (60, 66, 1)], early(1)].concat());
    assert_eq!(step(&[61_000], 500), []);
    assert_eq!(step(&[67_000], 600), [(56, 62, 2)], "it closes");
    assert_eq!(step(&[], 1_000), [&[(58, 64, 2), (60, 66, 2)][..], &early(2)].concat());
}

#[test]
fn what_a_restore_brings_is_not_sent_again_and_what_is_due_is_not_missing() {
    let mut log = Vec::new();
    let (mut first, mut id) = (restored(stage_of(1, 0, None), 1, &[]), 0);
    push(&mut first, 0, &[1_000, 7_000], &mut id);
    assert_eq!(commit(&mut first, &mut log, 0).0, [(0, 5, 1)]);
    // Its transaction is aborted: what was sent is in no topic.
    push(&mut first, 0, &[12_000], &mut id);
    assert_eq!(commit(&mut first, &mut Vec::new(), 0).0, [(5, 10, 1)]);
    let mut second = restored(stage_of(1, 0, None), 1, &log);
    assert_eq!(commit(&mut second, &mut log, 0).0, [], "nothing has changed");
    push(&mut second, 0, &[2_000], &mut id);
    assert_eq!(commit(&mut second, &mut log, 0).0, [(0, 5, 2)], "with what was counted before");
    push(&mut second, 0, &[12_000], &mut id);
    assert_eq!(commit(&mut second, &mut log, 0).0, [(5, 10, 1)]);
    // With an interval nobody knows what was sent: all that may be sent again is.
    let mut early = restored(stage_of(1, 0, Some(1_000)), 1, &log);
    assert_eq!(commit(&mut early, &mut Vec::new(), 0).0, [(5, 10, 1), (10, 15, 1)]);
}

#[test]
fn a_run_that_ends_sends_all_once_and_a_later_one_goes_on() {
    let (mut stage, mut log, mut id) = (restored(stage_of(2, 0, None), 2, &[]), Vec::new(), 0);
    push(&mut stage, 0, &[1_000, 6_000], &mut id);
    stage.finish(0, KeyGroup(0), 0).expect("an end");
    assert_eq!(commit(&mut stage, &mut log, 0).0, [(0, 5, 1), (5, 10, 1)]);
    // The other partition goes on.
    push(&mut stage, 1, &[1_000], &mut id);
    assert_eq!(commit(&mut stage, &mut log, 0).0, [], "what has ended is not sent with each commit");
    stage.finish(0, KeyGroup(1), 0).expect("an end");
    assert_eq!(commit(&mut stage, &mut log, 0).0, [(0, 5, 1)]);
    let mut later = restored(stage_of(2, 0, None), 2, &log);
    push(&mut later, 0, &[2_000, 12_000], &mut id);
    assert_eq!(
        commit(&mut later, &mut log, 0),
        (vec![(0, 5, 2), (5, 10, 1)], 0),
        "no row is late by the end"
    );
}

/// One of two topics that are put together has ended, and the other goes on: by its watermark.
#[test]
fn a_topic_that_has_ended_lets_windows_fire_once() {
    let text = "SELECT store_id, window_start, window_end, count(*) AS n FROM
        TUMBLE((SELECT store_id, issued_at FROM invoices UNION ALL SELECT store_id, issued_at FROM more), issued_at, INTERVAL '5 seconds')
        GROUP BY store_id, window_start, window_end";
    let mut spec = spec(1, 1, text, None, 64);
    spec.operators.remove(0);
    spec.operators[0].inputs = vec!["invoices".into(), "more".into()];
    spec.outputs = BTreeSet::from(["revenue".to_owned()]);
    let mut more = spec.sources[0].clone();
    more.name = "more".into();
    spec.sources[0].watermark.bounded = false;
    spec.sources.push(more);
    if let OperatorKind::Sql { late, .. } = &mut spec.operators[0].kind {
        late.updates = true;
    }
    let stage = Stage::build(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (mut stage, mut log, mut id) = (restored(stage, 1, &[]), Vec::new(), 0);
    stage.finish(1, KeyGroup(0), 0).expect("an end");
    push(&mut stage, 0, &[1_000, 7_000], &mut id);
    assert_eq!(commit(&mut stage, &mut log, 0).0, [(0, 5, 1)]);
    assert_eq!(commit(&mut stage, &mut log, 0).0, [], "nothing has changed");
    push(&mut stage, 0, &[2_000], &mut id);
    assert_eq!(commit(&mut stage, &mut log, 0).0, [(0, 5, 2)]);
}

#[test]
fn what_would_take_rows_back_is_refused() {
    for (text, wanted) in [
        ("SELECT store_id, window_start, count(*) AS n FROM {cut} GROUP BY store_id, window_start HAVING count(*) > 1", "a condition on the result"),
        (
            "SELECT store_id, window_start, window_end, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '1 second', store_id)
             GROUP BY store_id, window_start, window_end",
            "a session's bounds change with each row",
        ),
        (
            "SELECT *, rank() OVER (PARTITION BY store_id, window_start ORDER BY n) AS place FROM
             (SELECT store_id, qty, window_start, count(*) AS n FROM {cut} GROUP BY store_id, qty, window_start)",
            "a rank changes with the rows of others",
        ),
        ("SELECT store_id, total FROM unique", "late: then: update is about windows"),
    ] {
        let mut spec = spec(1, 1, &text.replace("{cut}", CUTS[0].0), None, 64);
        spec.operators[1].inputs = vec!["unique".into()];
        if let OperatorKind::Sql { late, .. } = &mut spec.operators[1].kind {
            late.updates = true;
        }
        let problems = Stage::build(spec).err().unwrap_or_else(|| panic!("{text} runs"));
        assert!(format!("{problems:?}").contains(wanted), "{text}: {problems:?}");
    }
}
