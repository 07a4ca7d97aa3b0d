//! What a stage is made of, as values: the worker fills these from a pipeline's plan.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use millstream_format::Format;
use millstream_model::{LateRule, WatermarkConfig};

use crate::sql::{Keep, ScalarFunction};

/// A stage.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// The stage's id. Where it reads several topics, watermarks are kept under it: those of another set of topics say nothing.
    pub id: String,
    /// What it reads, at least one: each has a partition for each key group, and rows that belong together are in
    /// partitions of the same number.
    pub sources: Vec<SourceSpec>,
    /// How many key groups there are: the partitions of what it reads. 1 to 4,096.
    pub key_groups: u32,
    /// How many partitions its changelog has: 1 to the number of key groups.
    pub changelog_partitions: u32,
    /// The tables that its queries may join, by name.
    pub tables: BTreeMap<String, TableSpec>,
    /// The pipeline's functions that its queries may call, by name.
    pub functions: BTreeMap<String, ScalarFunction>,
    /// Its operators, each behind those that feed it.
    pub operators: Vec<OperatorSpec>,
    /// The names whose rows leave the stage: the source's or operators'. Rows that operators put aside (`.late`,
    /// `.conflicting`) always do.
    pub outputs: BTreeSet<String>,
    /// How many rows are run together; 8,192 is good, below 1,000 each row costs more.
    pub batch_rows: usize,
}

/// A table.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// Those by which its rows are told apart: no two have the same in all of them. Empty where that is not known.
    pub key: Vec<String>,
}

impl TableSpec {
    /// A table with these columns, whose rows are told apart by `key`.
    pub fn new<K: Into<String>>(schema: SchemaRef, key: impl IntoIterator<Item = K>) -> TableSpec {
        TableSpec { schema, key: key.into_iter().map(Into::into).collect() }
    }
}

/// What a stage reads.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Its name, which operators read it by.
    pub name: String,
    /// The columns of its rows. A column that is not nullable is required.
    pub schema: SchemaRef,
    /// Whether records with other fields are bad. Of JSON only.
    pub frozen: bool,
    /// What its records are written in.
    pub format: Format,
    /// The column of the event time that the watermark is about.
    pub event_time: Option<String>,
    /// How the watermark of each partition is made.
    pub watermark: WatermarkConfig,
    /// The columns whose equality keeps rows in one partition; `None` if there is one partition only.
    pub partitioned_by: Option<Vec<String>>,
    /// The columns that a row is known by, where each takes the place of the one before it that has the same.
    pub latest_by: Option<Vec<String>>,
}

/// An operator.
#[derive(Clone, Debug)]
pub struct OperatorSpec {
    /// Its stable id, which its state is kept under.
    pub id: String,
    /// Its name: what operators and sinks behind it read it by.
    pub name: String,
    /// What it reads: one stream of the stage, or those that its query joins, and tables.
    pub inputs: Vec<String>,
    /// What it does.
    pub kind: OperatorKind,
}

/// What an operator does.
#[derive(Clone, Debug)]
pub enum OperatorKind {
    /// Drops repeats. Puts aside `.conflicting` (same key, other content) and `.late` (too late to be judged).
    Dedupe {
        /// The columns of the key. Those that the input is partitioned by are among them.
        key: Vec<String>,
        /// How far apart in event time two rows of one key are repeats, in milliseconds.
        within_ms: i64,
        /// How late a row may be and still be judged, in milliseconds of event time; `within_ms` where nothing is
        /// said. State is kept for the sum of both.
        late_by_ms: Option<i64>,
    },
    /// Runs a query. Puts aside `.late`, unless late rows are dropped.
    Sql {
        /// The query's text.
        sql: String,
        /// The rule for late rows.
        late: LateRule,
        /// Windows that have not fired send their rows too, when they have changed: at most this often, in milliseconds of
        /// the clock. `None`: each window sends its rows once, when it fires.
        update_ms: Option<i64>,
        /// How long rows of streams that it joins wait for matches, where the query has no bound of time.
        keep: Option<Keep>,
    },
    /// Hands rows on that take the place of each other, for a topic that is divided by other columns than they are known by:
    /// where these change, the earlier row is taken away from where it lies. Behind it rows are known by these columns too.
    Divide {
        /// The columns that the topic is divided by.
        by: Vec<String>,
    },
}
