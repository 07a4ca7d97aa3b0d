//! Rows with the latest version of their key, in the worlds of `joins`: read at any pace, with crashes and moved key groups.
//! DataFusion has no ASOF JOIN; the batch engine is asked for the same in plain SQL.

use millstream_model::KeyGroup;

use super::super::{Restore, Stage, TimeBounds};
use super::joins::{ALLOW_MS, Case, Closes, DELAY_MS, Row, check_all, spec};
use super::{lines, stores};

/// Each with what it means. Of two versions of one time the one that is later in its partition counts: the last part of an id
/// is its place there.
const QUERIES: &[(&str, &str)] = &[
    (
        "SELECT a.store_id, a.id, b.id AS other, b.v FROM {sales} AS a
         ASOF JOIN {returns} AS b MATCH_CONDITION (a.at >= b.at) ON a.store_id = b.store_id",
        "SELECT store_id, id, other, v FROM (
           SELECT a.store_id, a.id, b.id AS other, b.v, row_number() OVER (PARTITION BY a.id
             ORDER BY b.at DESC, CAST(split_part(b.id, '-', 3) AS INT) DESC) AS place
           FROM sales a LEFT JOIN returns b ON a.store_id = b.store_id AND a.at >= b.at) WHERE place = 1",
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, s.city FROM (SELECT * FROM {sales} WHERE v < 80) AS a
         ASOF JOIN {returns} AS b MATCH_CONDITION (b.at < a.at - INTERVAL '1 second') ON b.store_id = a.store_id AND a.v % 3 = b.v % 3
         JOIN stores s ON s.store_id = a.store_id WHERE b.v > 10",
        "SELECT store_id, id, other, city FROM (
           SELECT a.store_id, a.id, b.id AS other, s.city, b.v, row_number() OVER (PARTITION BY a.id
             ORDER BY b.at DESC, CAST(split_part(b.id, '-', 3) AS INT) DESC) AS place
           FROM (SELECT * FROM sales WHERE v < 80) a LEFT JOIN returns b
           ON a.store_id = b.store_id AND a.v % 3 = b.v % 3 AND b.at < a.at - INTERVAL '1 second'
           JOIN stores s ON s.store_id = a.store_id) WHERE place = 1 AND v > 10",
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other, c.id AS before, a.v - c.v AS more FROM {sales} AS a
         ASOF JOIN {returns} AS b MATCH_CONDITION (a.at + INTERVAL '2 seconds' >= b.at)
           ON a.store_id = b.store_id AND b.at BETWEEN a.at - INTERVAL '3 seconds' AND a.at + INTERVAL '5 seconds'
         ASOF JOIN {sales} AS c MATCH_CONDITION (a.at > c.at) ON a.store_id = c.store_id",
        "SELECT x.store_id, x.id, x.other, y.before, y.more FROM (SELECT * FROM (
           SELECT a.store_id, a.id, b.id AS other, row_number() OVER (PARTITION BY a.id
             ORDER BY b.at DESC, CAST(split_part(b.id, '-', 3) AS INT) DESC) AS place
           FROM sales a LEFT JOIN returns b ON a.store_id = b.store_id AND b.at <= a.at + INTERVAL '2 seconds'
             AND b.at >= a.at - INTERVAL '3 seconds') WHERE place = 1) x
         JOIN (SELECT * FROM (
           SELECT a.id, c.id AS before, a.v - c.v AS more, row_number() OVER (PARTITION BY a.id
             ORDER BY c.at DESC, CAST(split_part(c.id, '-', 3) AS INT) DESC) AS place
           FROM sales a LEFT JOIN sales c ON a.store_id = c.store_id AND c.at < a.at) WHERE place = 1) y ON x.id = y.id",
    ),
    (
        "SELECT a.store_id, a.id, b.id AS other FROM {returns} AS a
         ASOF JOIN {sales} AS b MATCH_CONDITION (a.at >= b.at) ON a.store_id = b.store_id AND a.v = b.v",
        "SELECT store_id, id, other FROM (
           SELECT a.store_id, a.id, b.id AS other, row_number() OVER (PARTITION BY a.id
             ORDER BY b.at DESC, CAST(split_part(b.id, '-', 3) AS INT) DESC) AS place
           FROM returns a LEFT JOIN sales b ON a.store_id = b.store_id AND a.v = b.v AND a.at >= b.at) WHERE place = 1",
    ),
];

#[test]
fn as_of_joins_give_the_batch_answer_however_their_topics_are_read() {
    let case = |(query, batch): &(&'static str, &'static str)| Case {
        batch: Some(batch),
        closes: Closes::Known,
        ..Case::new(query)
    };
    check_all(&QUERIES.iter().map(case).collect::<Vec<_>>());
}

fn stage(query: &str) -> Stage {
    let query = query.replace("{sales}", "sales").replace("{returns}", "returns");
    let mut stage = Stage::build(spec(1, &query, 10)).unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    stage
}

/// A row comes out once no earlier version can come, with a version of exactly its time; and versions that nothing can ask for
/// are gone, but the latest of a key.
#[test]
fn a_row_waits_for_versions_of_its_time_and_old_versions_go() {
    let mut stage = stage(QUERIES[0].0);
    let mut offset = 0;
    let mut push = |source: usize, id: &str, at: i64| -> (Vec<String>, usize) {
        offset += 1;
        let row = Row { id: id.into(), store: "S0".into(), at, v: None };
        stage
            .push_record(source, (KeyGroup(0), offset), Some(&row.json()), TimeBounds::default())
            .expect("an owned group");
        stage.commit(0).expect("a commit");
        let out = stage.take_outputs().batches;
        (out.iter().flat_map(|out| lines(&out.batch)).collect(), stage.state_sizes()[0].1.entries)
    };
    let entries = |(lines, entries): (Vec<String>, usize)| {
        assert_eq!(lines, [""; 0]);
        entries
    };
    assert_eq!(entries(push(1, "first", 10_000)), 1);
    assert_eq!(entries(push(1, "second", 20_000)), 2);
    // The bucket of waiting rows counts too.
    assert_eq!(entries(push(0, "a", 25_000)), 3);
    // Both have come to 24,000, and sales of 22,500 may come: nothing asks for the first any more.
    assert_eq!(entries(push(1, "third", 25_000)), 3);
    let waits_to = 25_000 + ALLOW_MS + DELAY_MS;
    assert_eq!(entries(push(1, "fourth", waits_to)), 4);
    let (given, _) = push(1, "fifth", waits_to + 1);
    assert_eq!(given, ["S0|a|third|"]);
    let (given, left) = push(0, "b", 60_000);
    assert!(given.is_empty());
    let (given, after) = push(1, "last", 90_000);
    assert_eq!(given, ["S0|b|fifth|"]);
    assert!(after < left, "{after} of {left} are left");
    assert_eq!(push(0, "c", 200_000).1, 3, "two versions that it may ask for, and the row that waits");
}

/// What cannot run is refused with a reason.
#[test]
fn as_of_joins_that_cannot_run_are_refused() {
    let on = "ON a.store_id = b.store_id";
    for (query, reason) in [
        (format!("MATCH_CONDITION (a.at <= b.at) {on}"), "asks for the next version"),
        (format!("MATCH_CONDITION (a.at = b.at) {on}"), "compared for equality"),
        (format!("MATCH_CONDITION (a.v >= b.v) {on}"), "does not compare at, the event time of sales"),
        (format!("MATCH_CONDITION (a.at >= b.at) {on} AND a.v > b.v"), "no equality of columns"),
        ("MATCH_CONDITION (a.at >= b.at) ON a.v = b.v".to_owned(), "is partitioned by store_id"),
        ("MATCH_CONDITION (a.at >= b.at)".to_owned(), "has an ON"),
        (format!("MATCH_CONDITION (a.at >= b.at) {on} AND b.at >= a.at + INTERVAL '1 day'"), "no time lies"),
        (
            format!("MATCH_CONDITION (a.at >= b.at) {on} AND b.at <= a.at - INTERVAL '1 day'"),
            "earlier version",
        ),
    ] {
        let query = format!("SELECT a.store_id, a.id FROM sales AS a ASOF JOIN returns AS b {query}");
        let problems = Stage::build(spec(1, &query, 10)).err().unwrap_or_else(|| panic!("{query} runs"));
        assert!(format!("{problems:?}").contains(reason), "{query}: {problems:?}");
    }
}

/// The end of a bounded run gives what waits, once; and a version that the next run brings, in order in its own topic, is not late for that.
#[test]
fn a_later_run_takes_versions_up_where_their_topic_was() {
    let (mut changelog, mut given) = (Vec::new(), Vec::new());
    for (run, sale, version) in [(0, 50_000, 40_000), (1, 60_000, 45_000)] {
        let mut stage = stage(QUERIES[0].0);
        stage.revoke([KeyGroup(0)]).expect("a revocation");
        let mut restore = Restore::new([KeyGroup(0)]);
        for value in &changelog {
            restore.apply(&mut stage, value).expect("a record of ours");
        }
        restore.finish(&mut stage, 0).expect("a restore");
        for (source, id, at) in [(0, "sale", sale), (1, "version", version)] {
            let row = Row { id: format!("{id}{run}"), store: "S0".into(), at, v: None };
            stage
                .push_record(source, (KeyGroup(0), run), Some(&row.json()), TimeBounds::default())
                .expect("an owned group");
        }
        (0..2).for_each(|source| stage.finish(source, KeyGroup(0), 0).expect("an end"));
        changelog.extend(stage.commit(0).expect("a commit").into_iter().map(|record| record.entry.encode()));
        for out in stage.take_outputs().batches {
            assert_eq!(out.output.as_ref(), "joined");
            given.extend(lines(&out.batch));
        }
    }
    assert_eq!(given, ["S0|sale0|version0|", "S0|sale1|version1|"]);
}
