//! Rows of a stream that another stream has a match for, or has none: semi and anti joins, `EXISTS` and `IN`, in the world of `joins`.

use millstream_model::KeyGroup;

use super::super::{Stage, TimeBounds};
use super::joins::{ALL, ALLOW_MS, Alone, Case, Closes, DELAY_MS, Held, Row, all, alone_of, check_all, spec};
use super::{lines, stores};

/// Rows of the same window, with those that windows hold.
const QUERIES: &[(&str, Held)] = &[
    (
        "SELECT a.store_id, a.id, a.window_end FROM {sales} AS a LEFT SEMI JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.v > b.v",
        ALL,
    ),
    (
        "SELECT a.store_id, a.id, a.window_start, a.v FROM {sales} AS a LEFT ANTI JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.v % 9 = b.v % 9",
        ALL,
    ),
    (
        "SELECT a.store_id, a.id, a.window_start, s.city FROM {sales} AS a LEFT JOIN stores s ON s.store_id = a.store_id WHERE EXISTS
     (SELECT 1 FROM {returns} AS b WHERE b.store_id = a.store_id AND b.window_start = a.window_start AND b.window_end = a.window_end)",
        ALL,
    ),
    (
        "SELECT a.store_id, a.window_end, a.id, row_number() OVER (PARTITION BY a.store_id, a.window_end ORDER BY a.id) AS place
     FROM {sales} AS a WHERE NOT EXISTS (SELECT 1 FROM {returns} AS b
     WHERE b.v < 15 AND b.store_id = a.store_id AND b.window_end = a.window_end)",
        [all, |row| row.v.is_some_and(|v| v < 15)],
    ),
    (
        "SELECT b.store_id, b.window_end, b.n FROM (SELECT store_id, window_end, id, v FROM {sales}) AS a RIGHT SEMI JOIN
     (SELECT store_id, window_end, count(*) AS n FROM {returns} GROUP BY store_id, window_end) AS b
     ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.v % 5 = b.n % 5",
        ALL,
    ),
    (
        "SELECT b.store_id, b.window_end, b.id, count(*) OVER (PARTITION BY b.window_end, b.store_id) AS alone
     FROM {sales} AS a RIGHT ANTI JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end AND a.v < b.v",
        ALL,
    ),
    (
        "SELECT b.store_id, b.id FROM {sales} AS a RIGHT SEMI JOIN {returns} AS b ON a.store_id = b.store_id AND a.window_end = b.window_end",
        ALL,
    ),
    (
        "SELECT a.store_id, a.window_end, a.id FROM {sales} AS a WHERE a.store_id IN
     (SELECT b.store_id FROM (SELECT store_id, window_end, count(*) AS n FROM {returns} GROUP BY store_id, window_end) AS b
      WHERE b.window_end = a.window_end AND b.n > 2)",
        ALL,
    ),
    (
        "SELECT a.store_id, a.window_end, count(*) AS n FROM {sales} AS a GROUP BY a.store_id, a.window_end HAVING a.store_id NOT IN
     (SELECT b.store_id FROM {returns} AS b WHERE b.window_end = a.window_end)",
        ALL,
    ),
    (
        "SELECT a.store_id, a.window_end, a.id FROM {sales} AS a
     WHERE EXISTS (SELECT 1 FROM {returns} AS b WHERE b.store_id = a.store_id AND b.window_end = a.window_end AND b.at > a.at)
     AND NOT EXISTS (SELECT 1 FROM {sales} AS c WHERE c.store_id = a.store_id AND c.window_end = a.window_end AND c.v > a.v)",
        ALL,
    ),
];

/// Rows whose times are near each other, with those that come without a match.
const NEAR: &[(&str, &[Alone])] = &[
    (
        "SELECT a.store_id, a.id, a.at FROM {sales} AS a LEFT SEMI JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.at BETWEEN b.at - INTERVAL '2 seconds' AND b.at + INTERVAL '1 second'",
        &[],
    ),
    (
        "SELECT a.store_id, a.id, a.at FROM {sales} AS a LEFT ANTI JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.at BETWEEN b.at - INTERVAL '2 seconds' AND b.at + INTERVAL '1 second'",
        &[alone_of(0, 1, 2_000)],
    ),
    (
        "SELECT a.store_id, a.id, s.city FROM {sales} AS a LEFT JOIN stores s ON s.store_id = a.store_id WHERE EXISTS (SELECT 1 FROM {returns} AS b
     WHERE b.store_id = a.store_id AND b.at >= a.at AND b.at < a.at + INTERVAL '3 seconds' AND a.v > b.v)",
        &[],
    ),
    (
        "SELECT a.store_id, a.id, a.v + 1 AS v FROM {sales} AS a WHERE NOT EXISTS (SELECT 1 FROM {returns} AS b
     WHERE b.store_id = a.store_id AND b.v = a.v AND b.at BETWEEN a.at - INTERVAL '1 minute' AND a.at - INTERVAL '1 second')",
        &[alone_of(0, 1, -1_000)],
    ),
    (
        "SELECT b.store_id, b.id FROM {sales} AS a RIGHT SEMI JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.v < b.v AND a.at BETWEEN b.at + INTERVAL '1 second' AND b.at + INTERVAL '4 seconds'",
        &[],
    ),
    (
        "SELECT b.store_id, b.id, b.at FROM {sales} AS a RIGHT ANTI JOIN {returns} AS b
     ON a.store_id = b.store_id AND a.v % 9 > b.v AND a.at <= b.at AND a.at >= b.at - INTERVAL '5 seconds'",
        &[alone_of(1, 0, 0)],
    ),
    (
        "SELECT a.store_id, a.id FROM {sales} AS a WHERE NOT EXISTS (SELECT 1 FROM {sales} AS b
     WHERE b.store_id = a.store_id AND b.at > a.at AND b.at <= a.at + INTERVAL '1 second')",
        &[alone_of(0, 0, 1_000)],
    ),
    (
        "SELECT a.store_id, a.id, a.at FROM {sales} AS a WHERE a.v IN (SELECT b.v FROM {returns} AS b
     WHERE b.store_id = a.store_id AND b.at BETWEEN a.at - INTERVAL '30 seconds' AND a.at + INTERVAL '30 seconds')",
        &[],
    ),
    (
        "SELECT a.store_id, a.id, a.at FROM {sales} AS a WHERE a.store_id NOT IN (SELECT b.store_id FROM {returns} AS b
     WHERE b.v < 80 AND b.at BETWEEN a.at - INTERVAL '1 second' AND a.at + INTERVAL '2 seconds')",
        &[alone_of(0, 1, 2_000)],
    ),
];

#[test]
fn semi_and_anti_joins_give_the_batch_answer_however_their_topics_are_read() {
    let windows = |(query, held): &(&'static str, Held)| Case::windows(query, *held);
    let near = |(query, alone): &(&'static str, &'static [Alone])| Case {
        closes: Closes::Matches(alone),
        ..Case::new(query)
    };
    check_all(&QUERIES.iter().map(windows).chain(NEAR.iter().map(near)).collect::<Vec<_>>());
}

/// A stage over one partition, and what comes out of it for one row after the other: source, id, time, value.
fn given(query: &str, rows: &[(usize, &str, i64, i64)]) -> Vec<Vec<String>> {
    let query = query.replace("{sales}", "sales").replace("{returns}", "returns");
    let mut stage = Stage::build(spec(1, &query, 10)).expect("a stage");
    stage.load_table("stores", &stores()).expect("the table");
    stage.assign(KeyGroup(0), 0);
    let push = |(source, id, at, v): &(usize, &str, i64, i64)| -> Vec<String> {
        let row = Row { id: (*id).into(), store: "S0".into(), at: *at, v: Some(*v) };
        let place = (KeyGroup(0), *at);
        stage.push_record(*source, place, Some(&row.json()), TimeBounds::default()).expect("an owned group");
        stage.commit(0).expect("a commit");
        stage.take_outputs().batches.iter().flat_map(|out| lines(&out.batch)).collect()
    };
    rows.iter().map(push).collect()
}

const NEXT: &str = "(SELECT 1 FROM {returns} AS b WHERE b.store_id = a.store_id AND b.at >= a.at AND b.at < a.at + INTERVAL '3 seconds' AND b.v > a.v)";

/// A row comes out with the first row that matches it, whichever of the two is read first, and never again.
#[test]
fn a_row_comes_with_its_first_match() {
    let query = format!("SELECT a.id FROM {{sales}} AS a WHERE EXISTS {NEXT}");
    let rows = [
        (0, "a", 10_000, 50),
        (1, "less", 10_100, 40),
        (1, "more", 10_200, 60),
        (1, "again", 10_300, 70),
        (0, "b", 10_050, 50),
        (0, "c", 10_310, 0),
        (1, "last", 10_400, 80),
    ];
    let none: &[&str] = &[];
    assert_eq!(given(&query, &rows), [none, none, &["a"], none, &["b"], none, &["c"]]);
}

/// A row without a match comes out when the other stream's watermark says that none within the allowance can come, and not before.
#[test]
fn a_row_without_a_match_comes_when_none_can_come_any_more() {
    let query = format!("SELECT a.id FROM {{sales}} AS a WHERE NOT EXISTS {NEXT}");
    // The last time that a match may have is 12,999; it may be late by the allowance.
    let last = 12_999 + ALLOW_MS + DELAY_MS;
    let rows = [
        (0, "a", 10_000, 50),
        (0, "b", 10_000, 60),
        (1, "later", last, 0),
        (1, "late", 12_999, 55),
        (1, "too late", last + 1, 0),
    ];
    let none: &[&str] = &[];
    assert_eq!(given(&query, &rows), [none, none, none, none, &["b"]]);
}
