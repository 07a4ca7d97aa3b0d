//! A stage that is read and never run: its operators hold what its changelogs say, as far as they have been applied, and are
//! asked for the rows that they would give now. What is there stays; more records may come later. Never enters: reading
//! changelogs, what is asked of the rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, UInt64Type};
use bytes::Bytes;
use millstream_model::KeyGroup;

use super::{Restore, Running, Stage, StageProblem, StageSpec};
use crate::error::StageError;
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::dedupe::Dedupe;
use crate::sql::Query;
use crate::sql::query::Origin;
use crate::state::Owned;

/// What an operator keeps that can be read as rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The windows that have not closed.
    Windows,
    /// The sessions that are open.
    Sessions,
    /// Groups without windows.
    Groups,
    /// The pairs of a join that is kept up to date.
    Pairs,
    /// The keys that repeats are known by.
    Keys,
}

/// An operator, as it can be read.
#[derive(Clone, Debug)]
pub struct Readable {
    /// Its name.
    pub name: String,
    /// Its stable id.
    pub id: String,
    /// What it keeps, or why that is not read.
    pub kept: Result<Kept, &'static str>,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// The tables that its rows are joined with when they are sent.
    pub tables: BTreeSet<String>,
}

/// See the module.
pub struct View {
    stage: Stage,
    restore: Restore,
    /// Records have come since the operators were last settled.
    is_stale: bool,
}

impl View {
    /// Of a stage, with all of its key groups and nothing in them.
    pub fn new(spec: StageSpec) -> Result<View, Vec<StageProblem>> {
        let all = (0..spec.key_groups).map(KeyGroup);
        let restore = Restore::new(all);
        let mut stage = Stage::build(spec)?;
        for operator in &mut stage.operators {
            if let Running::Sql { query, .. } = &mut operator.running {
                query.aggregates_mut().for_each(Aggregation::only_read);
            }
        }
        Ok(View { stage, restore, is_stale: false })
    }

    /// Its operators.
    pub fn readable(&self) -> Vec<Readable> {
        let of = |(at, operator): (usize, &super::Operator)| {
            let (kept, schema, tables) = match &operator.running {
                Running::Dedupe(_) => (Ok(Kept::Keys), keys_schema(), BTreeSet::new()),
                Running::Sql { query, .. } => (kept(query), query.schema(), tables_behind(query)),
            };
            debug_assert_eq!(
                self.stage.operator_of(self.stage.sources.len() + at).map(|o| &o.id),
                Some(&operator.id)
            );
            Readable { name: operator.name.to_string(), id: operator.id.clone(), kept, schema, tables }
        };
        self.stage.operators.iter().enumerate().map(of).collect()
    }

    /// Applies the value of one record; those of a changelog partition come in its order.
    pub fn apply(&mut self, value: &Bytes) -> Result<(), StageError> {
        if !self.is_stale {
            self.is_stale = true;
            for operator in &mut self.stage.operators {
                if let Running::Sql { query, .. } = &mut operator.running {
                    query.aggregates_mut().try_for_each(Aggregation::reopen)?;
                }
            }
        }
        self.restore.apply(&mut self.stage, value)
    }

    /// Makes of the records that came what a stage would have that goes on from them.
    pub fn settle(&mut self) -> Result<(), StageError> {
        if !std::mem::take(&mut self.is_stale) {
            return Ok(());
        }
        self.restore.settle(&mut self.stage)?;
        let watermarks = self.watermarks();
        for (operator, watermarks) in self.stage.operators.iter_mut().zip(&watermarks) {
            match &mut operator.running {
                Running::Dedupe(dedupe) => dedupe.sweep(watermarks),
                Running::Sql { query, .. } => query.aggregates_mut().try_for_each(Aggregation::settle)?,
            }
        }
        Ok(())
    }

    /// The watermarks that each operator goes by, of each key group, as of the last commit.
    fn watermarks(&self) -> Vec<Vec<i64>> {
        let (own, joined) = self.stage.committed();
        let of = |operator: &super::Operator| {
            let known = Stage::progress(operator, &own, &joined);
            Stage::least(&operator.sources, |at| &known[at]).into_owned()
        };
        self.stage.operators.iter().map(of).collect()
    }

    /// The rows that an operator would give now; more bytes than these are refused.
    pub fn rows(&mut self, name: &str, bytes_max: usize) -> Result<Vec<RecordBatch>, StageError> {
        self.settle()?;
        let watermarks = self.watermarks();
        let Some(at) = self.stage.operators.iter().position(|o| o.name.as_ref() == name) else {
            let names = self.stage.operators.iter().map(|o| o.name.as_ref());
            let known = names.collect::<Vec<_>>().join(", ");
            return Err(StageError::Unknown { kind: "operator", name: name.to_owned(), known });
        };
        let too_large = || StageError::TooMuch { what: format!("what {name} keeps, as rows,"), bytes_max };
        match &mut self.stage.operators[at].running {
            Running::Dedupe(dedupe) => {
                let mut all = Owned::default();
                (0..self.stage.key_groups).for_each(|group| all.add(KeyGroup(group)));
                // A row is two texts and a time.
                if dedupe.rows().saturating_mul(96) > bytes_max {
                    return Err(too_large());
                }
                Ok(vec![keys(&dedupe.all(&watermarks[at], &all))?])
            }
            Running::Sql { query, .. } => {
                let mut held = 0usize;
                let chunks = query.open(&watermarks[at], |chunk| {
                    held = held.saturating_add(chunk.batch.get_array_memory_size());
                    if held > bytes_max { Err(too_large()) } else { Ok(()) }
                })?;
                Ok(chunks.into_iter().map(|chunk| chunk.batch).collect())
            }
        }
    }

    /// Loads a table that rows are joined with.
    pub fn load_table(&mut self, name: &str, rows: &RecordBatch) -> Result<(), StageError> {
        self.stage.load_table(name, rows)
    }

    /// How much the operators hold, in bytes.
    pub fn size(&self) -> usize {
        self.stage.state_sizes().into_iter().map(|(_, size)| size.bytes).sum()
    }
}

/// What a query keeps that can be read.
fn kept(query: &Query) -> Result<Kept, &'static str> {
    let Some(closed) = query.closed() else {
        return Err("it keeps nothing: its rows go on as they come");
    };
    if matches!(closed.from, Origin::Near(_) | Origin::AsOf(_)) {
        return Err("what it keeps are rows that wait for their match, and no results yet");
    }
    let mut found = Kept::Windows;
    for aggregate in query.aggregates() {
        match aggregate {
            Aggregation::Windows(windows) if windows.windows.is_endless() => found = Kept::Groups,
            Aggregation::Latest(_) => found = Kept::Groups,
            Aggregation::Updating(_) => found = Kept::Pairs,
            Aggregation::Windows(_) => {}
            Aggregation::Sessions(sessions) if sessions.lets_go() => found = Kept::Groups,
            Aggregation::Sessions(_) => found = Kept::Sessions,
            Aggregation::Divide(_) => {
                return Err("what it keeps is where rows lie, which its topic has");
            }
            Aggregation::Over(_) => {
                return Err("what it keeps are rows that wait for their time, and what later rows look at");
            }
            _ => return Err("what it keeps are rows as they came, until their windows are over"),
        }
    }
    Ok(found)
}

/// The tables that are joined behind what a query keeps.
fn tables_behind(query: &Query) -> BTreeSet<String> {
    let mut steps = Vec::new();
    query.closed().into_iter().for_each(|closed| closed.steps(&mut steps));
    let table = |step: &Step| match step {
        Step::Join(join) => Some(join.table.clone()),
        _ => None,
    };
    steps.into_iter().filter_map(table).collect()
}

/// The columns under which keys are read.
fn keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key_hash", DataType::Utf8, false),
        Field::new("content_hash", DataType::Utf8, false),
        Field::new("event_time", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
    ]))
}

/// Keys as rows: of a key and of a row's content there are hashes alone.
fn keys(state: &RecordBatch) -> Result<RecordBatch, StageError> {
    debug_assert_eq!(state.schema(), Dedupe::state_schema());
    let [low, high, content] = [1, 2, 3].map(|at| state.column(at).as_primitive::<UInt64Type>());
    let key = low.values().iter().zip(high.values()).map(|(low, high)| format!("{high:016x}{low:016x}"));
    let content = content.values().iter().map(|content| format!("{content:016x}"));
    let times = state.column(4).as_primitive::<Int64Type>().values().to_vec();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(key)),
        Arc::new(StringArray::from_iter_values(content)),
        Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(keys_schema(), columns)?)
}
