//! Plays workers over a sink. What a partition's record at an offset does is fixed by a script's own log, so what
//! readers must see follows from the target's offsets alone: the effect of each offset below, once, and of no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow_array::{
    Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millstream_types::{Offset, TopicPartition};

use super::sink_cases::SINK_CASES;
use super::{Need, Tally, number, steps};
use crate::{Change, CrashPoints, Offsets, Run, Sink, SinkBatch, SinkError, async_trait};

/// The foreign system of a sink, as the suite sees it. The target has the columns of [`schema`]; `id` is the key of a
/// keyed sink; a system that refuses rows refuses those with `n` below 0.
#[async_trait]
pub trait SinkFixture: Send {
    /// Makes an empty target; the one before is forgotten.
    async fn reset(&mut self);
    /// Whether the system can do this.
    fn can(&self, need: Need) -> bool;
    /// A new sink over the target.
    async fn sink(&mut self, crash: CrashPoints) -> Box<dyn Sink>;
    /// What a reader sees now, in any order.
    async fn rows(&mut self) -> Vec<SeenRow>;
}

/// A row as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenRow {
    /// Column `id`.
    pub id: String,
    /// Column `n`.
    pub n: i64,
    /// Column `amount` in hundredths.
    pub amount_cents: i64,
    /// Column `at`, in milliseconds since 1970.
    pub at_ms: i64,
    /// Column `note`.
    pub note: Option<String>,
}

/// The columns of the suite's rows: text, integers, an exact decimal, a time, a nullable text.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("part", DataType::Int32, false),
        Field::new("n", DataType::Int64, false),
        Field::new("amount", DataType::Decimal128(18, 2), false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("note", DataType::Utf8, true),
    ]))
}

/// Runs every case that the system can do; panics at the first that fails.
pub async fn check_sink(fixture: &mut dyn SinkFixture) -> Tally {
    let mut tally = Tally::default();
    let points = fixture.sink(CrashPoints::none()).await.capabilities().crash_points;
    for case in SINK_CASES {
        if !case.needs.iter().all(|need| fixture.can(*need)) {
            tally.left_out += 1;
            continue;
        }
        let at_points: &[&'static str] = if case.script.contains("POINT") { points } else { &[""] };
        for point in at_points {
            fixture.reset().await;
            let mut world = World::new(case.name, point);
            for step in steps(case.script) {
                world.step(fixture, &step).await;
            }
            tally.passed += 1;
        }
    }
    tally
}

/// What the record at an offset does.
#[derive(Clone, Debug)]
struct Entry {
    change: Change,
    rows: Vec<SeenRow>,
}

struct Owner {
    sink: Box<dyn Sink>,
    /// Where it writes next; the target's offset when it opened.
    cursor: BTreeMap<i32, Offset>,
    staged: Offsets,
    crash_at: Arc<Mutex<Option<&'static str>>>,
}

struct World {
    case: &'static str,
    point: &'static str,
    owners: BTreeMap<&'static str, Owner>,
    /// The input topic: fixed for ever once an offset was produced.
    topic: BTreeMap<i32, BTreeMap<Offset, Entry>>,
    /// At least this was committed.
    acked: BTreeMap<i32, Offset>,
}

impl World {
    fn new(case: &'static str, point: &'static str) -> World {
        World { case, point, owners: BTreeMap::new(), topic: BTreeMap::new(), acked: BTreeMap::new() }
    }

    fn at(&self) -> String {
        format!("case \"{}\"{}", self.case.replace("POINT", self.point), "")
    }

    async fn step(&mut self, fixture: &mut dyn SinkFixture, words: &[&'static str]) {
        match words {
            ["open", owner, partitions @ ..] => {
                self.open(fixture, owner, &partitions.iter().map(|p| number(p) as i32).collect::<Vec<_>>())
                    .await;
            }
            ["stage", owner, p, shape] => {
                let (records, rows) = shape.split_once('x').unwrap_or((shape, "1"));
                let error = self.stage(owner, number(p) as i32, number(records), number(rows)).await;
                assert!(error.is_none(), "{}: staging: {error:?}", self.at());
            }
            ["gap", owner, p, n] => {
                *self.cursor(owner, number(p) as i32) += number(n) as Offset;
            }
            ["commit", owner, partitions @ ..] => {
                let next = self.next(owner, partitions);
                let result = self.owner(owner).sink.commit(&next).await;
                assert!(result.is_ok(), "{}: committing {next:?}: {result:?}", self.at());
                self.committed(owner, &next);
            }
            ["fenced", owner, partitions @ ..] => {
                let next = self.next(owner, partitions);
                let result = self.owner(owner).sink.commit(&next).await;
                assert!(
                    matches!(result, Err(SinkError::Fenced { .. })),
                    "{}: a zombie's commit gave {result:?}",
                    self.at()
                );
            }
            ["die", owner, _] => {
                let (next, point) = (self.next(owner, &[]), self.point);
                *self.owner(owner).crash_at.lock().unwrap() = Some(point);
                match self.owner(owner).sink.commit(&next).await {
                    Err(SinkError::Crashed(crashed)) => assert_eq!(crashed.0, point),
                    // A point that staging passes or that this commit does not: the commit stands.
                    Ok(()) => self.committed_keeping(&next),
                    other => panic!("{}: dying at {point} gave {other:?}", self.at()),
                }
                *self.owner(owner).crash_at.lock().unwrap() = None;
            }
            ["again", owner] => {
                let next = self.next(owner, &[]);
                match self.owner(owner).sink.commit(&next).await {
                    Ok(()) => self.committed_keeping(&next),
                    Err(SinkError::Fenced { .. } | SinkError::Transient { .. }) => {}
                    other => panic!("{}: a commit made again gave {other:?}", self.at()),
                }
            }
            ["refuse", owner, p] => self.refuse(owner, number(p) as i32).await,
            ["close", owner, partitions @ ..] => {
                let gone: Vec<_> = partitions.iter().map(|p| tp(number(p) as i32)).collect();
                self.owner(owner).staged.retain(|partition, _| !gone.contains(partition));
                self.owner(owner).sink.close(&gone).await.expect("closing");
            }
            ["kill", owner] => {
                self.owners.remove(owner);
            }
            ["replace", owner, p, n] => {
                self.change_last(owner, number(p) as i32, number(n), Change::Upsert).await
            }
            ["delete", owner, p, n] => {
                self.change_last(owner, number(p) as i32, number(n), Change::Delete).await
            }
            ["expect"] => self.expect(fixture).await,
            ["finish", p, upto] => self.finish(fixture, number(p) as i32, number(upto) as Offset).await,
            other => panic!("{}: no such step: {other:?}", self.at()),
        }
    }

    fn owner(&mut self, name: &str) -> &mut Owner {
        self.owners.get_mut(name).expect("the script opens an owner first")
    }

    fn cursor(&mut self, name: &str, p: i32) -> &mut Offset {
        self.owner(name).cursor.get_mut(&p).expect("the script opens a partition first")
    }

    async fn open(&mut self, fixture: &mut dyn SinkFixture, name: &'static str, partitions: &[i32]) {
        if !self.owners.contains_key(name) {
            let crash_at: Arc<Mutex<Option<&'static str>>> = Arc::default();
            let asked = Arc::clone(&crash_at);
            let crash = CrashPoints::when(move |point| *asked.lock().unwrap() == Some(point));
            let sink = fixture.sink(crash).await;
            self.owners
                .insert(name, Owner { sink, cursor: BTreeMap::new(), staged: BTreeMap::new(), crash_at });
        }
        let at = self.at();
        let asked: Vec<_> = partitions.iter().map(|p| tp(*p)).collect();
        let owner = self.owner(name);
        let found = owner.sink.open(&asked).await.unwrap_or_else(|error| panic!("{at}: opening: {error}"));
        assert_eq!(found.keys().cloned().collect::<Vec<_>>(), asked, "{at}: the partitions that were opened");
        for (partition, next) in found {
            owner.cursor.insert(partition.partition, next.unwrap_or(0));
            owner.staged.remove(&partition);
        }
    }

    /// Stages the records from the cursor on; those that were never produced are now, with `rows` rows each.
    async fn stage(&mut self, name: &str, p: i32, records: usize, rows: usize) -> Option<SinkError> {
        let from = *self.cursor(name, p);
        let log = self.topic.entry(p).or_default();
        let mut offset = from;
        let mut taken = Vec::new();
        while taken.len() < records {
            // An offset that a gap skipped stays without a record: the next that has one, or a new one at the end.
            if log.keys().next_back().is_none_or(|last| *last < offset) {
                let made = (0..rows).map(|row| made_row(p, offset, row)).collect();
                log.insert(offset, Entry { change: Change::Upsert, rows: made });
            }
            if let Some(entry) = log.get(&offset) {
                taken.push((offset, entry.clone()));
            }
            offset += 1;
        }
        *self.cursor(name, p) = offset;
        for part in taken.chunk_by(|a, b| a.1.change == b.1.change) {
            let error = self.stage_entries(name, p, part).await;
            if error.is_some() {
                return error;
            }
        }
        None
    }

    async fn stage_entries(&mut self, name: &str, p: i32, entries: &[(Offset, Entry)]) -> Option<SinkError> {
        let batch = batch(p, entries);
        let next = entries.last().expect("a batch has a record").0 + 1;
        let owner = self.owner(name);
        let result = owner.sink.stage(&tp(p), batch).await;
        owner.staged.insert(tp(p), next);
        result.err()
    }

    fn next(&mut self, name: &str, partitions: &[&str]) -> Offsets {
        let wanted: Vec<i32> = partitions.iter().map(|p| number(p) as i32).collect();
        let owner = self.owner(name);
        let all = owner.staged.clone();
        all.into_iter()
            .filter(|(partition, _)| wanted.is_empty() || wanted.contains(&partition.partition))
            .map(|(partition, next)| {
                let cursor = owner.cursor[&partition.partition];
                (partition, next.max(cursor))
            })
            .collect()
    }

    fn committed(&mut self, name: &str, next: &Offsets) {
        self.owner(name).staged.retain(|partition, _| !next.contains_key(partition));
        self.committed_keeping(next);
    }

    fn committed_keeping(&mut self, next: &Offsets) {
        for (partition, offset) in next {
            let acked = self.acked.entry(partition.partition).or_default();
            *acked = (*acked).max(*offset);
        }
    }

    async fn refuse(&mut self, name: &str, p: i32) {
        let offset = *self.cursor(name, p);
        let mut entries: Vec<_> = (0..5)
            .map(|i| {
                let rows = (0..3).map(|row| made_row(p, offset + i, row)).collect();
                (offset + i, Entry { change: Change::Upsert, rows })
            })
            .collect();
        entries[2].1.rows[1].n = -1;
        let at = self.at();
        let mut error = self.stage_entries(name, p, &entries).await;
        if error.is_none() {
            let next = [(tp(p), offset + 5)].into();
            error = self.owner(name).sink.commit(&next).await.err();
        }
        let Some(SinkError::Data(faults)) = error else { panic!("{at}: a refused row gave {error:?}") };
        assert_eq!(faults.len(), 1, "{at}: {faults:?}");
        assert_eq!((faults[0].row.offset, faults[0].row.row), (offset + 2, 1), "{at}: the row that is named");
        assert!(!faults[0].reason.is_empty(), "{at}: a reason");
        self.owner(name).staged.clear();
    }

    async fn change_last(&mut self, name: &str, p: i32, n: usize, change: Change) {
        let offset = *self.cursor(name, p);
        let log = self.topic.entry(p).or_default();
        let mut rows: Vec<SeenRow> =
            log.values().flat_map(|entry| entry.rows.clone()).rev().take(n).collect();
        for row in &mut rows {
            row.n += 1_000 * (offset + 1);
            row.note = None;
        }
        log.insert(offset, Entry { change, rows });
        *self.cursor(name, p) = offset;
        let error = self.stage(name, p, 1, 1).await;
        assert!(error.is_none(), "{}: staging: {error:?}", self.at());
    }

    /// Readers see the effect of each offset below the target's own, once.
    async fn expect(&mut self, fixture: &mut dyn SinkFixture) {
        let at = self.at();
        let mut sink = fixture.sink(CrashPoints::none()).await;
        let mut partitions: Vec<_> = self.topic.keys().map(|p| tp(*p)).collect();
        if partitions.is_empty() {
            partitions.push(tp(0));
        }
        let found = sink.open(&partitions).await.unwrap_or_else(|error| panic!("{at}: opening: {error}"));
        let keyed = fixture.can(Need::Keyed);
        let mut expected: Vec<SeenRow> = Vec::new();
        for (partition, next) in &found {
            let acked = self.acked.get(&partition.partition).copied().unwrap_or(0);
            assert!(
                next.unwrap_or(0) >= acked,
                "{at}: {partition} stands at {next:?}; {acked} was committed"
            );
            for entry in self.topic.get(&partition.partition).into_iter().flatten() {
                if *entry.0 < next.unwrap_or(0) {
                    for row in &entry.1.rows {
                        if keyed {
                            expected.retain(|old| old.id != row.id);
                        }
                        if entry.1.change == Change::Upsert {
                            expected.push(row.clone());
                        }
                    }
                }
            }
        }
        drop(sink);
        expected.sort();
        let mut seen = fixture.rows().await;
        seen.sort();
        assert_eq!(seen, expected, "{at}: what readers see, with the target at {found:?}");
    }

    async fn finish(&mut self, fixture: &mut dyn SinkFixture, p: i32, upto: Offset) {
        self.open(fixture, "finisher", &[p]).await;
        let from = *self.cursor("finisher", p);
        for _ in from..upto {
            if *self.cursor("finisher", p) >= upto {
                break;
            }
            let error = self.stage("finisher", p, 1, 1).await;
            assert!(error.is_none(), "{}: staging: {error:?}", self.at());
        }
        let next = self.next("finisher", &[]);
        let result = self.owner("finisher").sink.commit(&next).await;
        assert!(result.is_ok(), "{}: committing {next:?}: {result:?}", self.at());
        self.committed("finisher", &next);
        self.owners.remove("finisher");
        self.expect(fixture).await;
    }
}

fn tp(p: i32) -> TopicPartition {
    TopicPartition::new("suite-input", p)
}

fn made_row(p: i32, offset: Offset, row: usize) -> SeenRow {
    SeenRow {
        id: format!("{p}-{offset}-{row}"),
        n: offset * 10 + row as i64,
        amount_cents: offset * 100 + 5,
        // A day for each third offset, so that files by day are several.
        at_ms: 1_772_400_000_250 + offset / 3 * 86_400_000,
        note: (offset % 2 == 0).then(|| format!("tab\there, \"quote\", back\\slash, é, line\n{offset}")),
    }
}

fn batch(p: i32, entries: &[(Offset, Entry)]) -> SinkBatch {
    let rows: Vec<&SeenRow> = entries.iter().flat_map(|(_, entry)| &entry.rows).collect();
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.id))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| p))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.n))),
        Arc::new(
            Decimal128Array::from_iter_values(rows.iter().map(|row| i128::from(row.amount_cents)))
                .with_precision_and_scale(18, 2)
                .expect("18 digits, 2 of them after the point"),
        ),
        Arc::new(
            TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.at_ms))
                .with_timezone("UTC"),
        ),
        Arc::new(rows.iter().map(|row| row.note.clone()).collect::<StringArray>()),
    ];
    let runs = entries
        .iter()
        .map(|(offset, entry)| Run { offset: *offset, first_row: 0, rows: entry.rows.len() as u32 })
        .collect();
    let rows = RecordBatch::try_new(schema(), columns).expect("columns as in the suite's schema");
    SinkBatch::new(rows, entries[0].1.change, runs)
}
