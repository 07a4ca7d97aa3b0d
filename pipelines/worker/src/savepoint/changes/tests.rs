//! What is decided of a pipeline with two stages, a sink and a topic of others, as text.

use super::*;
use crate::savepoint::manifest::{Content, Reader, SavedPartition};

const FILE: &str = r#"version: 1
name: sums
broker: 127.0.0.1:9092
schemas:
  sale: { fields: { id: { type: string, required: true }, sku: { type: string, required: true }, at: { type: timestamp_ms, required: true } } }
topics:
  sales:    { partitions: 1, key: sku }
  by_id:    { partitions: 1, key: id, retention: forever }
  sums:     { partitions: 1, key: sku }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 2s } }
transforms:
  fresh:  { type: dedupe, inputs: [sales], key: [sku, id], within: 1d }
  moved:  { type: topic, inputs: [fresh], topic: by_id }
  counted: { type: sql, inputs: [moved], sql: "SELECT id, COUNT(*) AS n FROM moved GROUP BY id", emit: { on_update: 1s } }
sinks:
  sums: { type: topic, inputs: [counted], topic: sums }
  db:   { type: sqlite, inputs: [fresh], path: out.db, table: rows, mode: insert }
"#;

fn opened(sets: &[&str]) -> crate::Opened {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.yaml");
    std::fs::write(&file, FILE).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let opened = crate::open(&file, &sets).unwrap();
    assert!(opened.parts.is_some(), "{:?}", opened.diagnostics);
    opened
}

fn subject(opened: &crate::Opened) -> Subject<'_> {
    let (pipeline, job) = opened.parts.as_ref().unwrap();
    Subject { pipeline, job }
}

/// `by_id` ended at 20, of which its reader had 12 and 8 were in flight; the sink had read 15 of 20.
fn manifest(subject: Subject<'_>) -> Manifest {
    let saved = |id: &str, name: &str, kind: Kind, (stage, offset): (&str, i64), left: u64| SavedTopic {
        id: id.to_owned(),
        name: name.to_owned(),
        broker_id: format!("{name}-id"),
        kind,
        partitions: vec![SavedPartition {
            end: 20,
            readers: BTreeMap::from([(stage.to_owned(), Reader { offset, before: 0 })]),
        }],
        content: Content { records: BTreeMap::from([(0, left)]), files: Vec::new() },
    };
    Manifest {
        name: "monday".to_owned(),
        pipeline: "sums".to_owned(),
        taken_at_ms: 0,
        version: String::new(),
        plan: millstream_plan::Lock::of(subject.job).to_string(),
        state: BTreeMap::new(),
        positions: Content::default(),
        topics: vec![
            saved("sales", "sales", Kind::Outside, ("sales", 17), 0),
            saved("by_id", "by_id", Kind::Between, ("moved", 12), 8),
            saved("fresh", "sums-fresh", Kind::ToSinks, ("db", 15), 5),
        ],
    }
}

/// Topics as `NAME: START..END`, with `!` where they were made anew.
fn now(text: &str) -> BTreeMap<Arc<str>, Now> {
    let of = |word: &str| {
        let (name, range) = word.split_once(':').unwrap();
        let (start, end) = range.trim_end_matches('!').split_once("..").unwrap();
        let broker_id = format!("{name}-id{}", if range.ends_with('!') { "!" } else { "" });
        let (starts, ends) = (vec![start.parse().unwrap()], vec![end.parse().unwrap()]);
        (Arc::from(name), Now { broker_id, starts, ends })
    };
    text.split_whitespace().map(of).collect()
}

/// What is decided, as text: where groups go on, what is written again.
fn decided(sets: &[&str], topics: &str, on_gap: OnGap) -> Result<(String, Vec<String>), String> {
    let manifest = manifest(subject(&opened(&[])));
    let opened = opened(sets);
    let plan = decide(subject(&opened), &manifest, &now(topics), &BTreeMap::new(), on_gap);
    let plan = plan.map_err(|error| error.to_string())?;
    let mut text = String::new();
    for (group, places) in &plan.go_on {
        for (at, go_on) in places {
            let _ = write!(text, "{group} {at} {go_on:?}; ");
        }
    }
    for Rewrite { topic, skip, .. } in &plan.rewrites {
        let _ = write!(text, "again {topic} behind {}; ", skip[&0]);
    }
    Ok((text.trim_end_matches("; ").to_owned(), plan.told))
}

#[test]
fn where_stages_go_on() {
    let trial = ["name=trial", "topics.by_id.name=trial-by_id", "topics.sums.name=trial-sums"];
    for (sets, topics, wanted) in [
        // Nothing has moved.
        (
            &[][..],
            "sales:0..30 by_id:0..20 sums-fresh:0..20",
            "sums-moved by_id-0 At(12); sums-sales sales-0 At(17)",
        ),
        // The pipeline has gone on: what it wrote is passed over, what was in flight comes behind it.
        (
            &[],
            "sales:0..30 by_id:0..40 sums-fresh:0..40",
            "sums-moved by_id-0 Written(0); sums-sales sales-0 At(17); again by_id behind 0",
        ),
        // Nobody has written, and retention has deleted.
        (
            &[],
            "sales:0..30 by_id:15..20 sums-fresh:0..20",
            "sums-moved by_id-0 Written(0); sums-sales sales-0 At(17); again by_id behind 0",
        ),
        // Another cluster, or a copy: sinks get what was on its way too.
        (
            &[],
            "sales:0..30 by_id:0..0!",
            "sums-db sums-fresh-0 Written(0); sums-moved by_id-0 Written(0); sums-sales sales-0 At(17); again by_id behind 0; again sums-fresh behind 0",
        ),
        (
            &trial,
            "sales:0..30 by_id:0..40",
            "trial-db trial-fresh-0 Written(0); trial-moved trial-by_id-0 Written(0); trial-sales sales-0 At(17); again trial-by_id behind 0; again trial-fresh behind 0",
        ),
    ] {
        assert_eq!(decided(sets, topics, OnGap::Stop).unwrap().0, wanted, "{sets:?} {topics}");
    }
}

#[test]
fn what_is_missing_is_said() {
    for (sets, topics, words) in [
        (
            &[][..],
            "sales:18..30 by_id:0..20",
            "sales-0 begins at 18, and stage sales goes on at 17: the records between were deleted",
        ),
        (&[], "sales:0..16 by_id:0..20", "sales-0 ends at 16, and stage sales goes on at 17"),
        (&[], "sales:0..30! by_id:0..20", "topic sales is not the one that it was"),
        (&[], "by_id:0..20", "topic sales is not the one that it was"),
    ] {
        let refused = decided(sets, topics, OnGap::Stop).unwrap_err();
        assert!(refused.contains(words) && refused.contains("--on-gap skip"), "{refused}");
        let (go_on, told) = decided(sets, topics, OnGap::Skip).unwrap();
        let start = if topics.starts_with("sales:18") { 18 } else { 0 };
        assert!(go_on.contains(&format!("sums-sales sales-0 At({start})")), "{go_on}");
        assert!(told.iter().any(|line| line.contains(words)), "{told:?}");
    }
    // Partitions hold keys, and a copy has topics of its own.
    let grown = decided(&["topics.by_id.partitions=2"], "sales:0..30", OnGap::Skip).unwrap_err();
    assert!(grown.contains("topic by_id has 2 partitions in the file, and had 1"), "{grown}");
    let shared = decided(&["name=trial"], "sales:0..30 by_id:0..20", OnGap::Skip).unwrap_err();
    assert!(shared.contains("--set topics.by_id.name=trial-by_id"), "{shared}");
}

#[test]
fn an_edit_keeps_what_plan_says() {
    let before = opened(&[]);
    let manifest = manifest(subject(&before));
    let topics = now("sales:0..30 by_id:0..20 sums-fresh:0..20");
    for (sets, kept, told) in [
        (&[][..], 2, "sink db"),
        (&["transforms.fresh.within=2d"], 2, "sink db"),
        (&["schemas.sale.fields.id.type=int64"], 0, "~ fresh starts anew"),
        (
            &["transforms.counted.sql=SELECT id, MAX(sku) AS n FROM moved GROUP BY id"],
            1,
            "~ counted starts anew",
        ),
    ] {
        let after = opened(sets);
        let plan = decide(subject(&after), &manifest, &topics, &BTreeMap::new(), OnGap::Stop).unwrap();
        assert_eq!(plan.kept.len(), kept, "{sets:?}");
        assert!(plan.told.iter().any(|line| line.contains(told)), "{sets:?}: {:?}", plan.told);
    }
}

#[test]
fn readers_go_on_apart() {
    let opened = opened(&[]);
    let subject = subject(&opened);
    let mut manifest = manifest(subject);
    // Another stage of the savepoint had read it all; so had the one that reads it now, but for 3.
    let moved = &mut manifest.topics[1].partitions[0].readers;
    moved.insert("moved".to_owned(), Reader { offset: 17, before: 5 });
    let topics = now("sales:0..30 by_id:0..40 sums-fresh:0..40");
    let plan = decide(subject, &manifest, &topics, &BTreeMap::new(), OnGap::Stop).unwrap();
    assert_eq!(plan.rewrites[0].skip[&0], 5);
    assert!(plan.go_on["sums-moved"].values().all(|go_on| *go_on == GoOn::Written(0)));
    // All of it: it goes on behind what is there.
    manifest.topics[1].partitions[0].readers.insert("moved".to_owned(), Reader { offset: 20, before: 8 });
    let plan = decide(subject, &manifest, &topics, &BTreeMap::new(), OnGap::Stop).unwrap();
    assert!(plan.rewrites.is_empty());
    assert!(plan.go_on["sums-moved"].values().all(|go_on| *go_on == GoOn::At(40)));
}
