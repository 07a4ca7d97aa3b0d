//! What comes out of a commit all at once is handed out while it does, in portions, and is what a commit gives that collects it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use millstream_model::{KeyGroup, LateRule, WatermarkConfig};

use super::super::{OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec, TimeBounds};
use super::lines;
use super::spilling::{MemoryScratch, small};
use crate::batch_ipc::bytes_of;
use crate::error::StageError;

const ROWS: usize = 1_000;
/// Each holds all rows back until the end of input.
const QUERIES: [&str; 6] = [
    "SELECT store_id, window_start, COUNT(*) AS n FROM TUMBLE(sales, at, INTERVAL '1 minute') GROUP BY store_id, window_start, window_end",
    "SELECT store_id, window_start, COUNT(*) AS n FROM SESSION(sales, at, INTERVAL '1 minute', store_id) GROUP BY store_id, window_start, window_end",
    "SELECT id, LAG(id) OVER (PARTITION BY store_id ORDER BY at) AS before FROM sales",
    "SELECT s.id, r.id AS returned FROM sales AS s LEFT JOIN returns AS r ON s.store_id = r.store_id AND r.at BETWEEN s.at AND s.at + INTERVAL '1 minute'",
    "SELECT s.id, r.id AS returned FROM sales AS s ASOF JOIN returns AS r MATCH_CONDITION (s.at >= r.at) ON s.store_id = r.store_id",
    "SELECT s.id FROM sales AS s WHERE NOT EXISTS (SELECT 1 FROM returns AS r WHERE r.store_id = s.store_id AND r.at BETWEEN s.at AND s.at + INTERVAL '1 minute')",
];

fn build(query: &str) -> Stage {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let fields = [("id", DataType::Utf8), ("store_id", DataType::Utf8), ("at", time)];
    let schema = Schema::new(fields.map(|(name, kind)| Field::new(name, kind, false)).to_vec());
    let source = |name: &str| SourceSpec {
        name: name.into(),
        schema: Arc::new(schema.clone()),
        frozen: false,
        format: millstream_format::Format::Json,
        event_time: Some("at".into()),
        watermark: WatermarkConfig { delay_ms: 600_000, idle_after_ms: None, bounded: true },
        partitioned_by: Some(vec!["store_id".into()]),
        latest_by: None,
    };
    let names: Vec<&str> = ["sales", "returns"].into_iter().filter(|name| query.contains(name)).collect();
    let spec = StageSpec {
        id: "stage".into(),
        sources: names.iter().map(|name| source(name)).collect(),
        key_groups: 1,
        changelog_partitions: 1,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: names.iter().map(|name| (*name).to_owned()).collect(),
            kind: OperatorKind::Sql {
                sql: query.to_owned(),
                late: LateRule::default(),
                update_ms: None,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows: 256,
    };
    Stage::build(spec).unwrap_or_else(|problems| panic!("{query}: {problems:?}"))
}

/// A stage that has committed rows of as many keys, some in a scratch, and of which nothing has come out.
fn held(query: &str) -> Stage {
    let mut stage = build(query);
    stage.assign(KeyGroup(0), 0);
    let both = stage.schema("returns").is_some();
    for number in 0..ROWS {
        let text = format!(r#"{{"id":"r{number}","store_id":"S{number}","at":{}}}"#, 1_000 + number % 7);
        let at = (KeyGroup(0), number as i64);
        stage.push_record(0, at, Some(text.as_bytes()), TimeBounds::default()).expect("an owned group");
        if both && number == 0 {
            stage.push_record(1, at, Some(text.as_bytes()), TimeBounds::default()).expect("an owned group");
        }
    }
    stage.commit(0).expect("a commit");
    stage.take_outputs();
    stage.spill(&small(Arc::<MemoryScratch>::default()), usize::MAX).expect("room");
    for source in 0..=usize::from(both) {
        stage.finish(source, KeyGroup(0), 0).expect("an end");
    }
    stage
}

#[test]
fn what_comes_out_at_once_is_handed_out_in_portions() {
    for query in QUERIES {
        let mut collected = held(query);
        collected.commit(60_000).expect("a commit");
        let rows_of = |outputs: super::super::Outputs| -> Vec<String> {
            outputs.batches.iter().flat_map(|out| lines(&out.batch)).collect()
        };
        let mut wanted = rows_of(collected.take_outputs());
        assert!(wanted.len() >= ROWS - 1, "{query}: {} rows", wanted.len());
        let (mut stage, mut rows, mut sizes) = (held(query), Vec::new(), Vec::new());
        let taken = stage.commit_giving(60_000, |some| {
            sizes.push(some.batches.iter().map(|out| bytes_of(&out.batch)).sum::<usize>());
            rows.extend(rows_of(some));
            Ok(())
        });
        taken.expect("a commit");
        rows.extend(rows_of(stage.take_outputs()));
        wanted.sort();
        rows.sort();
        assert_eq!(rows, wanted, "{query}");
        assert!(sizes.len() > 3 && sizes.iter().all(|size| *size < 12_000), "{query}: {sizes:?}");
    }
}

#[test]
fn who_does_not_take_what_comes_out_ends_the_commit() {
    for query in QUERIES {
        let (mut stage, mut taken) = (held(query), 0);
        let ended = stage.commit_giving(60_000, |_| {
            taken += 1;
            if taken == 2 { Err(StageError::NotTaken) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(StageError::NotTaken)) && taken == 2, "{query}: {taken}");
    }
}

/// Rows of one key, each of which meets all of the other side.
#[test]
fn pairs_of_one_turn_are_handed_out_in_portions() {
    let mut stage = build(
        "SELECT s.id, r.id AS returned FROM sales AS s JOIN returns AS r ON s.store_id = r.store_id AND r.at BETWEEN s.at AND s.at + INTERVAL '1 minute'",
    );
    stage.assign(KeyGroup(0), 0);
    let push = |stage: &mut Stage, source: usize| {
        for number in 0..100 {
            let text = format!(r#"{{"id":"r{number}","store_id":"S","at":1000}}"#);
            let at = (KeyGroup(0), number);
            stage
                .push_record(source, at, Some(text.as_bytes()), TimeBounds::default())
                .expect("an owned group");
        }
    };
    push(&mut stage, 1);
    stage.turn(0).expect("a turn");
    push(&mut stage, 0);
    let (mut sizes, mut rows) = (Vec::new(), 0);
    let taken = stage.turn_giving(0, |some| {
        sizes.push(some.batches.iter().map(|out| bytes_of(&out.batch)).sum::<usize>());
        rows += some.batches.iter().map(|out| out.batch.num_rows()).sum::<usize>();
        Ok(())
    });
    taken.expect("a turn");
    rows += stage.take_outputs().batches.iter().map(|out| out.batch.num_rows()).sum::<usize>();
    assert_eq!(rows, 10_000);
    assert!(sizes.len() > 30 && sizes.iter().all(|size| *size < 12_000), "{sizes:?}");
}
