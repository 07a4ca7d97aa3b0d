//! Groups that are kept up to date without windows: what a reader has who keeps the last row of each key is, when the input has ended,
//! what DataFusion's batch engine gives; over crashes, commits at any time, and a later run over more input.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream_model::{KeyGroup, LateRule, LateThen, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, OperatorSpec, Restore, SourceSpec, Stage, StageSpec, TimeBounds};
use super::lists::{batch_answer, record, schema};
use super::{lines, stores};
use millstream_format::Decoder;

/// Queries, with how many of their first columns name a row.
const QUERIES: &[(&str, usize)] = &[
    ("SELECT store_id, count(*) AS n, max(id) AS last, min(at) AS first FROM sales GROUP BY store_id", 1),
    (
        "SELECT s.city, i.store_id, i.sku, sum(i.qty) AS qty, avg(i.qty) AS mean, count(DISTINCT i.qty) AS kinds FROM
         (SELECT store_id, get_field(line, 'sku') AS sku, get_field(line, 'qty') AS qty FROM (SELECT store_id, unnest(lines) AS line FROM sales)) i
         JOIN stores s ON s.store_id = i.store_id GROUP BY s.city, i.store_id, i.sku",
        3,
    ),
    ("SELECT DISTINCT store_id, id <> 'r4' AS other FROM sales WHERE id <> 'r7'", 2),
    ("SELECT store_id FROM sales UNION SELECT store_id FROM returns", 1),
    (
        "SELECT store_id, n * 2 AS twice FROM (SELECT store_id, count(*) AS n FROM
         (SELECT store_id FROM returns UNION ALL SELECT store_id FROM sales) GROUP BY store_id)",
        1,
    ),
    (
        "SELECT store_id, id <> 'r4' AS other, grouping(id <> 'r4') AS g, count(*) AS n, max(id) AS last FROM sales
         GROUP BY store_id, ROLLUP (id <> 'r4')",
        3,
    ),
];

const STREAMS: [&str; 2] = ["sales", "returns"];

pub(super) fn spec(query: &str, partitions: u32, update_ms: i64) -> StageSpec {
    let source = |name: &str| SourceSpec {
        name: name.into(),
        schema: schema(),
        format: millstream_format::Format::Json,
        event_time: None,
        watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
        partitioned_by: Some(vec!["store_id".into()]),
    };
    let reads = STREAMS.into_iter().filter(|name| query.contains(name));
    StageSpec {
        id: "stage".into(),
        sources: STREAMS.map(source).into(),
        key_groups: partitions,
        changelog_partitions: partitions,
        tables: BTreeMap::from([("stores".to_owned(), stores().schema())]),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: reads.chain(["stores"]).map(str::to_owned).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule { allow_ms: 0, updates: false, then: LateThen::DeadLetter },
                update_ms: Some(update_ms),
            },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows: 20,
    }
}

/// What is committed.
#[derive(Default)]
struct Broker {
    changelog: Vec<Bytes>,
    offsets: BTreeMap<(usize, u32), usize>,
    /// The last row of each key.
    kept: BTreeMap<String, String>,
    rows: usize,
}

fn check(seed: u64) -> usize {
    let mut rng = SeededRng::new(seed);
    let (query, keys) = QUERIES[rng.below(QUERIES.len() as u64) as usize];
    let partitions = 1 + rng.below(3) as u32;
    let spec = spec(query, partitions, 1 + rng.below(50) as i64);
    let mut logs: BTreeMap<(usize, u32), Vec<String>> = BTreeMap::new();
    for number in 0..rng.below(150) {
        let text = record(&mut rng, number);
        // The store says which partition it is in.
        let store = text.find("\"S").map_or(0, |at| u32::from(text.as_bytes()[at + 2] - b'0'));
        logs.entry((rng.below(2) as usize, store % partitions)).or_default().push(text);
    }
    let mut broker = Broker::default();
    let (mut now, ends) = (0, [rng.below(2), 1]);
    // Two runs: the first over a part of the input, as it may be.
    for end in ends {
        let of_run = |log: &Vec<String>| if end == 0 { log.len() / 2 } else { log.len() };
        let start = |broker: &Broker| {
            let mut stage =
                Stage::build(spec.clone()).unwrap_or_else(|problems| panic!("{query}: {problems:?}"));
            stage.load_table("stores", &stores()).expect("the table");
            let mut restore = Restore::new((0..partitions).map(KeyGroup));
            for value in &broker.changelog {
                restore.apply(&mut stage, value).expect("a record of ours");
            }
            restore.finish(&mut stage, 0).expect("a restore");
            (stage, broker.offsets.clone())
        };
        let (mut stage, mut at) = start(&broker);
        let commit = |stage: &mut Stage,
                      at: &BTreeMap<(usize, u32), usize>,
                      broker: &mut Broker,
                      now: i64,
                      rng: &mut SeededRng| {
            let records = stage.commit(now).expect("a commit");
            broker.changelog.extend(records.into_iter().map(|record| record.entry.encode()));
            broker.offsets.clone_from(at);
            for out in stage.take_outputs().batches {
                for line in lines(&out.batch) {
                    let key = line.split('|').take(keys).collect::<Vec<_>>().join("|");
                    broker.kept.insert(key, line);
                    broker.rows += 1;
                }
            }
            super::spilling::spill(stage, rng);
        };
        loop {
            now += rng.below(20) as i64;
            let left: Vec<(usize, u32)> = logs
                .iter()
                .filter(|(place, log)| at.get(*place).copied().unwrap_or(0) < of_run(log))
                .map(|(place, _)| *place)
                .collect();
            if left.is_empty() {
                break;
            }
            match rng.below(12) {
                0..=8 => {
                    let place = left[rng.below(left.len() as u64) as usize];
                    let offset = at.entry(place).or_default();
                    let text = &logs[&place][*offset];
                    let group = (KeyGroup(place.1), *offset as i64);
                    stage
                        .push_record(place.0, group, Some(text.as_bytes()), TimeBounds::default())
                        .expect("an owned group");
                    *offset += 1;
                }
                9 | 10 => commit(&mut stage, &at, &mut broker, now, &mut rng),
                _ => (stage, at) = start(&broker),
            }
        }
        for source in 0..STREAMS.len() {
            (0..partitions).for_each(|group| stage.finish(source, KeyGroup(group), now).expect("an end"));
        }
        commit(&mut stage, &at, &mut broker, now, &mut rng);
    }
    let tables: Vec<(&str, RecordBatch)> = STREAMS
        .iter()
        .enumerate()
        .map(|(source, name)| {
            let mut decoder = Decoder::json(&schema(), &[0, 1, 2, 3, 4, 5]).expect("a schema");
            for ((of, _), log) in &logs {
                let records = log.iter().filter(|_| *of == source);
                records.for_each(|text| decoder.push(text.as_bytes()).expect("a good record"));
            }
            (*name, decoder.finish())
        })
        .collect();
    let mut kept: Vec<String> = broker.kept.into_values().collect();
    kept.sort_unstable();
    assert_eq!(kept, batch_answer(query, &tables), "seed {seed}: {query}");
    broker.rows
}

#[test]
fn groups_end_as_the_batch_answer() {
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let rows: usize = (0..seeds).map(check).sum();
    assert!(rows > 1_000, "{rows} rows: the worlds are too tame");
}

/// Behind groups that are sent again, nothing that would have to take rows back.
#[test]
fn what_would_take_rows_back_is_refused() {
    let groups = "(SELECT store_id, count(*) AS n, last_value(tags ORDER BY at) AS ids FROM sales GROUP BY store_id) g";
    for (query, reason) in [
        (
            format!("SELECT g.store_id, s.city FROM {groups} JOIN stores s ON s.store_id = g.store_id"),
            "a table without a match",
        ),
        (
            format!(
                "SELECT g.store_id, s.city FROM {groups} LEFT JOIN stores s ON s.store_id = g.store_id AND s.city <> concat('city ', g.n)"
            ),
            "a table without a match",
        ),
        (format!("SELECT store_id, unnest(ids) AS id FROM {groups}"), "items that are gone"),
        (format!("SELECT store_id FROM {groups} WHERE n > 2"), "a condition on the result"),
        ("SELECT store_id FROM sales".to_owned(), "this query has neither"),
    ] {
        let problems = Stage::build(spec(&query, 1, 10)).err().unwrap_or_else(|| panic!("{query} runs"));
        assert!(format!("{problems:?}").contains(reason), "{query}: {problems:?}");
    }
}
