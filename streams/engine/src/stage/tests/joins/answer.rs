//! What a join has to give: the rows of each stream that are in time, by a walk over them, and DataFusion's batch engine over those.
//! Rows of a later run are late too for what the end of an earlier one closed, which is found from what the batch engine gives for
//! the rows until then. It knows no operator.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Field, Schema};
use millstream_model::{Window, Windows};

use super::super::beside::{Beside, Walk};

use super::super::lists;
use super::{ALLOW_MS, BOTH, Case, DELAY_MS, Ends, Logs, NAMES, Row, schema};

/// Of each source, which rows windows hold.
pub(in super::super) type Held = [fn(&Row) -> bool; 2];

pub(in super::super) fn all(_: &Row) -> bool {
    true
}

pub(in super::super) const ALL: Held = [all, all];

/// Rows that come out when they can have no match any more.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Alone {
    /// Their source, and that of their matches.
    of: usize,
    other: usize,
    /// The columns of the answer that their id and their match's are in; it has no other rows where there is none for a match.
    id: usize,
    matched: Option<usize>,
    /// How much later a match may be, in milliseconds.
    to_ms: i64,
}

/// Rows of an outer join.
pub(in super::super) const fn alone(of: usize, id: usize, matched: usize, to_ms: i64) -> Alone {
    Alone { of, other: 1 - of, id, matched: Some(matched), to_ms }
}

/// Rows of an anti join, with the source of their matches.
pub(in super::super) const fn alone_of(of: usize, other: usize, to_ms: i64) -> Alone {
    Alone { of, other, id: 1, matched: None, to_ms }
}

/// What the end of a run closes.
#[derive(Clone, Copy)]
pub(in super::super) enum Closes {
    Nothing,
    /// Nothing; and the rows that come out, which are known by the id in the second column, have what was known by then.
    Known,
    /// Windows that hold rows.
    Windows(Held),
    /// The times that matches could have had of what came without one.
    Matches(&'static [Alone]),
}

/// The rows of a source that are in time, each with a window that takes it; without windows an instant stands for one.
#[derive(Default)]
pub(super) struct InTime {
    pub(super) rows: Vec<(Row, Window)>,
    pub(super) late: BTreeSet<(String, u32, i64)>,
    /// How many are late by the end of an earlier run alone.
    pub(super) ended: usize,
}

/// Watermarks, by source and partition.
type Marks = [Vec<i64>; 2];

/// See the module.
pub(super) struct Answer<'a> {
    case: &'a Case,
    windows: Option<Windows>,
    /// Which of the sources are read.
    reads: [bool; 2],
    /// Of each source, the ids of the rows that come to the join, where that is known.
    coming: Option<[BTreeSet<String>; 2]>,
    /// Earlier runs: where they ended, and what they closed.
    runs: Vec<(Ends, Marks)>,
}

fn partition_of(row: &Row) -> usize {
    row.id.split('-').nth(1).and_then(|part| part.parse().ok()).expect("a partition")
}

impl<'a> Answer<'a> {
    pub(super) fn new(case: &'a Case, windows: Option<Windows>, reads: [bool; 2], logs: &Logs) -> Answer<'a> {
        let coming = case.below.map(|below| {
            [0, 1].map(|source: usize| {
                let instant = |row: &Row| (row.clone(), Window { start: row.at, end: row.at + 1 });
                let rows = table(&logs[source].iter().flatten().map(instant).collect::<Vec<_>>());
                let query = format!("SELECT id FROM of WHERE {}", below[source]);
                lists::batch_answer(&query, &[("of", rows)]).into_iter().collect()
            })
        });
        Answer { case, windows, reads, coming, runs: Vec::new() }
    }

    /// Where the last of the earlier runs ended.
    pub(super) fn last_ends(&self, partitions: usize) -> Ends {
        self.runs.last().map_or([vec![0; partitions], vec![0; partitions]], |(ends, _)| ends.clone())
    }

    /// A run has ended there.
    pub(super) fn end(&mut self, logs: &Logs, ends: Ends) {
        let partitions = ends[0].len();
        let so_far = [0, 1].map(|source| self.in_time(logs, &ends, source).rows);
        let mut marks: Marks = [vec![i64::MIN; partitions], vec![i64::MIN; partitions]];
        let mut raise = |source: usize, partition: usize, to: i64| {
            let mark = &mut marks[source][partition];
            *mark = to.max(*mark);
        };
        match self.case.closes {
            Closes::Nothing | Closes::Known => {}
            Closes::Windows(held) => {
                for source in (0..NAMES.len()).filter(|source| self.reads[*source]) {
                    for (row, window) in so_far[source].iter().filter(|(row, _)| held[source](row)) {
                        // What is joined goes by one time.
                        (0..NAMES.len()).for_each(|of| raise(of, partition_of(row), window.end + ALLOW_MS));
                    }
                }
            }
            Closes::Matches([]) => {}
            Closes::Matches(all) => {
                for line in self.given(&so_far.each_ref().map(|rows| table(rows))) {
                    let cells: Vec<&str> = line.split('|').collect();
                    for alone in
                        all.iter().filter(|alone| alone.matched.is_none_or(|at| cells[at].is_empty()))
                    {
                        let row = so_far[alone.of].iter().find(|(row, _)| row.id == cells[alone.id]);
                        let (row, _) =
                            row.unwrap_or_else(|| panic!("{line}: no row of it in {}", NAMES[alone.of]));
                        raise(alone.other, partition_of(row), row.at + alone.to_ms + ALLOW_MS + 1);
                    }
                }
            }
        }
        self.runs.push((ends, marks));
    }

    /// What is in time of a source up to some ends.
    pub(super) fn in_time(&self, logs: &Logs, ends: &Ends, source: usize) -> InTime {
        let mut found = InTime::default();
        for (partition, log) in logs[source].iter().enumerate() {
            let mut watermark = i64::MIN;
            for (offset, row) in log[..ends[source][partition]].iter().enumerate() {
                let ended = self.runs.iter().filter(|(ends, _)| ends[source][partition] <= offset);
                let closed = ended.map(|(_, marks)| marks[source][partition]).fold(watermark, i64::max);
                let takers: Vec<Window> = match self.windows {
                    Some(windows) => windows.of_slice(windows.slice_of(row.at), i64::MIN).collect(),
                    // It stands for the instant itself.
                    None => vec![Window { start: row.at, end: row.at + 1 }],
                };
                let takes = |window: &Window, watermark: i64| {
                    !self.case.judged[source] || window.end + ALLOW_MS > watermark
                };
                if self.coming.as_ref().is_some_and(|coming| !coming[source].contains(&row.id)) {
                    watermark = watermark.max(row.at - DELAY_MS);
                    continue;
                }
                if !takers.iter().any(|window| takes(window, closed)) {
                    found.ended += usize::from(takers.iter().any(|window| takes(window, watermark)));
                    if self.reads[source] {
                        found.late.insert((NAMES[source].to_owned(), partition as u32, offset as i64));
                    }
                }
                let takers = takers.into_iter().filter(|window| takes(window, closed));
                found.rows.extend(takers.map(|window| (row.clone(), window)));
                watermark = watermark.max(row.at - DELAY_MS);
            }
        }
        found
    }

    fn given(&self, tables: &[RecordBatch; 2]) -> Vec<String> {
        batch_answer(self.case.batch.unwrap_or(self.case.query), tables)
    }

    /// What comes out of all runs, of which the last ends there.
    pub(super) fn wanted(&self, logs: &Logs, whole: &Ends) -> Vec<String> {
        let tables = |ends: &Ends| [0, 1].map(|source| table(&self.in_time(logs, ends, source).rows));
        if !matches!(self.case.closes, Closes::Known) {
            return self.given(&tables(whole));
        }
        let mut before = [0, 1].map(|source: usize| vec![0; whole[source].len()]);
        let mut wanted = Vec::new();
        for ends in self.runs.iter().map(|(ends, _)| ends).chain([whole]) {
            let is_of_run = |line: &String| {
                let id = line.split('|').nth(1).unwrap_or_default();
                let place: Vec<usize> = id.split('-').filter_map(|part| part.parse().ok()).collect();
                place[2] >= before[place[0]][place[1]]
            };
            wanted.extend(self.given(&tables(ends)).into_iter().filter(is_of_run));
            before.clone_from(ends);
        }
        wanted.sort_unstable();
        wanted
    }

    /// What the query beside has to give for the rows of its stream.
    pub(super) fn beside(&self, logs: &[Vec<Row>]) -> Beside {
        let mut walk = Walk::default();
        for (partition, log) in logs.iter().enumerate() {
            let mut watermark = i64::MIN;
            for (offset, row) in log.iter().enumerate() {
                if self.runs.iter().any(|(ends, _)| ends[0][partition] == offset) {
                    walk.end(partition as u32);
                }
                walk.row((partition as u32, offset as i64), &row.store, row.at, watermark);
                watermark = watermark.max(row.at - DELAY_MS);
            }
        }
        walk.answer()
    }
}

/// Rows as a table, each with its window.
pub(super) fn table(rows: &[(Row, Window)]) -> RecordBatch {
    let times =
        |at: Vec<i64>| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(at).with_timezone("UTC")) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(row, _)| &row.id))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(row, _)| &row.store))),
        times(rows.iter().map(|(row, _)| row.at).collect()),
        Arc::new(rows.iter().map(|(row, _)| row.v).collect::<Int64Array>()),
        times(rows.iter().map(|(_, window)| window.start).collect()),
        times(rows.iter().map(|(_, window)| window.end).collect()),
    ];
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    for name in ["window_start", "window_end"] {
        fields.push(Field::new(name, schema().field(2).data_type().clone(), false));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("rows with windows")
}

/// What DataFusion gives for a query over the two streams.
fn batch_answer(query: &str, tables: &[RecordBatch; 2]) -> Vec<String> {
    let mut sql = query.to_owned();
    for name in NAMES {
        sql = sql.replace(&format!("{{{name}}}"), name);
    }
    let tables = [0, 1].map(|at| (NAMES[at], tables[at].clone()));
    lists::batch_answer(&sql.replace("{both}", BOTH), &tables)
}
