//! Rows that take the place of each other and are divided by a column that changes: a reader who keeps the last row of each place
//! has, over all places, each row that there is once; over crashes, key groups that move, and rows that are gone.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use bytes::Bytes;
use millstream_model::{KeyGroup, LateRule, WatermarkConfig};
use millstream_types::{Rng, SeededRng};

use super::super::{OperatorKind, OperatorSpec, Restore, SourceSpec, Stage, StageSpec, TimeBounds};
use super::groups::decoded;
use super::lines;
use super::lists::{record, schema};

const PARTITIONS: u32 = 3;

/// Sales as they are, or what is grouped of them.
fn spec(grouped: bool) -> StageSpec {
    let groups = grouped.then(|| OperatorSpec {
        id: "last-1".into(),
        name: "last".into(),
        inputs: vec!["sales".into()],
        kind: OperatorKind::Sql {
            sql: "SELECT id, max(store_id) AS store_id, count(*) AS n FROM sales GROUP BY id HAVING count(*) % 5 <> 2"
                .to_owned(),
            late: LateRule::default(),
            update_ms: Some(15),
            keep: None,
        },
    });
    let read = if grouped { "last" } else { "sales" };
    let divide = OperatorSpec {
        id: "by_store-1".into(),
        name: "by_store".into(),
        inputs: vec![read.into()],
        kind: OperatorKind::Divide { by: vec!["store_id".into()] },
    };
    StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "sales".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: None,
            watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
            partitioned_by: Some(vec!["id".into()]),
            latest_by: (!grouped).then(|| vec!["id".into()]),
        }],
        key_groups: PARTITIONS,
        changelog_partitions: 2,
        tables: BTreeMap::new(),
        functions: BTreeMap::new(),
        operators: groups.into_iter().chain([divide]).collect(),
        outputs: BTreeSet::from(["by_store".to_owned()]),
        batch_rows: 7,
    }
}

#[derive(Default)]
struct Broker {
    changelog: Vec<Bytes>,
    offsets: BTreeMap<u32, usize>,
    /// Of each store, what a reader of its partition keeps, by id.
    kept: BTreeMap<String, BTreeMap<String, String>>,
    gone: usize,
}

impl Broker {
    fn take(&mut self, stage: &mut Stage) {
        for out in stage.take_outputs().batches {
            let text = |name: &str, row: usize| {
                out.batch.column_by_name(name).expect("it comes out").as_string::<i32>().value(row).to_owned()
            };
            let gone = out.gone.as_ref().expect("rows take the place of each other");
            for (row, line) in lines(&out.batch).into_iter().enumerate() {
                let kept = self.kept.entry(text("store_id", row)).or_default();
                match gone.value(row) {
                    true => {
                        assert!(kept.remove(&text("id", row)).is_some(), "what was not there is taken away");
                        self.gone += 1;
                    }
                    false => drop(kept.insert(text("id", row), line)),
                }
            }
        }
    }
}

fn check(seed: u64) -> usize {
    let mut rng = SeededRng::new(seed);
    let grouped = rng.chance(1, 2);
    let spec = spec(grouped);
    let mut logs: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for number in 0..rng.below(200) {
        let id = number % (5 + seed % 20);
        let text = record(&mut rng, id);
        let text = if !grouped && rng.chance(1, 5) { format!("-{text}") } else { text };
        logs.entry(id as u32 % PARTITIONS).or_default().push(text);
    }
    let start = |broker: &Broker| {
        let mut stage = Stage::build(spec.clone()).unwrap_or_else(|problems| panic!("{problems:?}"));
        let mut restore = Restore::new((0..PARTITIONS).map(KeyGroup));
        for value in &broker.changelog {
            restore.apply(&mut stage, value).expect("a record of ours");
        }
        restore.finish(&mut stage, 0).expect("a restore");
        (stage, broker.offsets.clone())
    };
    let mut broker = Broker::default();
    let (mut stage, mut at) = start(&broker);
    let mut now = 0;
    loop {
        now += rng.below(20) as i64;
        let left = |(place, log): (&u32, &Vec<String>)| {
            (at.get(place).copied().unwrap_or(0) < log.len()).then_some(*place)
        };
        let left: Vec<u32> = logs.iter().filter_map(left).collect();
        if left.is_empty() {
            break;
        }
        match rng.below(12) {
            0..=8 => {
                let place = left[rng.below(left.len() as u64) as usize];
                let offset = at.entry(place).or_default();
                let group = (KeyGroup(place), *offset as i64);
                let text = &logs[&place][*offset];
                *offset += 1;
                let given = match text.strip_prefix('-') {
                    Some(text) => stage.push_gone(0, group, text.as_bytes()).map(|bad| assert_eq!(bad, None)),
                    None => stage.push_record(0, group, Some(text.as_bytes()), TimeBounds::default()),
                };
                given.expect("an owned group");
            }
            9 | 10 => {
                let mut records = stage.commit(now).expect("a commit");
                if rng.chance(1, 4) {
                    let groups = stage.groups_of(0);
                    records.extend(stage.snapshot("by_store-1", 0, groups).expect("a snapshot"));
                }
                broker.changelog.extend(records.into_iter().map(|record| record.entry.encode()));
                broker.offsets.clone_from(&at);
                broker.take(&mut stage);
            }
            _ => (stage, at) = start(&broker),
        }
    }
    (0..PARTITIONS).for_each(|group| stage.finish(0, KeyGroup(group), now).expect("an end"));
    stage.commit(now).expect("a commit");
    broker.take(&mut stage);
    // Of each id its last row, or how many there were and the greatest store.
    let mut expected: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut counts: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for text in logs.values().flatten() {
        let row = decoded(text.trim_start_matches('-'));
        let of = |at: usize| row.column(at).as_string::<i32>().value(0).to_owned();
        let line = lines(&row).remove(0);
        expected.insert(of(0), (!text.starts_with('-')).then_some(line));
        let count = counts.entry(of(0)).or_default();
        *count = (count.0.clone().max(of(1)), count.1 + 1);
    }
    let expected: Vec<String> = match grouped {
        false => expected.into_values().flatten().collect(),
        true => counts
            .into_iter()
            .filter(|(_, (_, n))| n % 5 != 2)
            .map(|(id, (store, n))| format!("{id}|{store}|{n}"))
            .collect(),
    };
    let kept: BTreeMap<String, String> = {
        let all = broker.kept.values().flatten();
        let count = all.clone().count();
        let kept: BTreeMap<String, String> = all.map(|(id, line)| (id.clone(), line.clone())).collect();
        assert_eq!(kept.len(), count, "seed {seed}: a row is in two places");
        kept
    };
    assert_eq!(kept.into_values().collect::<Vec<_>>(), expected, "seed {seed}");
    broker.gone
}

#[test]
fn divided_rows_are_in_one_place() {
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let gone: usize = (0..seeds).map(check).sum();
    assert!(gone > 1_000, "{gone} rows were taken away: the worlds are too tame");
}
