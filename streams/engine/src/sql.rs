//! SQL over streams: text in, a runnable query or a list of problems with their places out. DataFusion parses, plans
//! and optimises; what comes out is walked for whatever cannot run on an unbounded stream, which is refused with the
//! reason and the nearest form that can, and is then translated to operators of our own.
//!
//! What runs: a stream's rows filtered and projected; `TUMBLE(stream, time, size)`, `HOP(stream, time, slide, size)`,
//! `CUMULATE(stream, time, step, size)` and `SESSION(stream, time, gap, key…)`; inner and outer joins of the stream with
//! tables, as they are when a row comes; one aggregation for each key and window; and filters (HAVING), functions OVER the
//! rows of a window, joins and projections behind it.

mod aggregates;
mod context;
mod optimize;
mod problem;
mod refuse;
mod relation;
mod translate;
mod window_node;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use millstream_model::LateRule;
use millstream_types::Millis;

use crate::error::StageError;
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::chunk::Chunk;
use crate::state::Owned;
pub use problem::SqlProblem;

/// What a query may read.
#[derive(Clone, Debug)]
pub enum Relation {
    /// A stream: the output of another operator of the stage.
    Stream {
        /// Its columns.
        schema: SchemaRef,
        /// The column of its event time, which its watermark is about. `None`: it has none, and no windows.
        event_time: Option<String>,
        /// The columns whose equality keeps rows in one partition. A query that groups must group by all of them,
        /// else its results would be parts. `None`: all rows are in one partition.
        partitioned_by: Option<Vec<String>>,
    },
    /// A table: read whole, and replaced when it changes.
    Table {
        /// Its columns.
        schema: SchemaRef,
    },
}

impl Relation {
    pub(crate) fn schema(&self) -> &SchemaRef {
        match self {
            Relation::Stream { schema, .. } | Relation::Table { schema } => schema,
        }
    }
}

/// The relations that a query may read, by name. Names are `[a-z_][a-z0-9_]*`, so that they need no quotes.
pub type Relations = BTreeMap<String, Relation>;

/// What a query's YAML says besides its text.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// The operator's stable id.
    pub operator: String,
    /// The rule for late rows.
    pub late: LateRule,
    /// The stage's number of key groups.
    pub key_groups: u32,
    /// Whether windows send their rows before they fire too, at most so often, in milliseconds.
    pub update_ms: Option<i64>,
}

/// A query that can run.
pub struct Query {
    pub(crate) operator: String,
    /// The stream that it reads.
    stream: String,
    tables: Vec<String>,
    reads: Vec<usize>,
    before: Vec<Step>,
    aggregate: Option<Aggregation>,
    after: Vec<Step>,
    schema: SchemaRef,
    explain: String,
    update_ms: Option<i64>,
    /// When open windows were last sent.
    updated_at: Option<Millis>,
    /// Of each column that comes out, the stream's column that it is, unchanged; all `None` behind an aggregation.
    passes: Vec<Option<usize>>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Query({}: {})", self.operator, self.explain)
    }
}

/// Plans a query. The problems are those that DataFusion finds, one at a time, or all of those that we find.
pub fn compile(sql: &str, relations: &Relations, options: &SqlOptions) -> Result<Query, Vec<SqlProblem>> {
    if let Err(text) = options.late.validate() {
        return Err(vec![SqlProblem::at_start(text)]);
    }
    let one = |e: datafusion_common::DataFusionError| {
        let mut problem = SqlProblem::from_datafusion(&e, sql);
        if problem.message.starts_with("there is no input ") {
            let names: Vec<&str> = relations.keys().map(String::as_str).collect();
            problem.help = Some(format!("the inputs of this step are: {}", names.join(", ")));
        }
        vec![problem]
    };
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql)
        .map_err(|e| vec![SqlProblem::from_parser(&e.to_string(), sql)])?;
    if statements.len() != 1 {
        return Err(vec![SqlProblem::at_start(format!("{} statements; write one SELECT", statements.len()))]);
    }
    let statement = statements.remove(0);
    if !matches!(statement, datafusion_sql::sqlparser::ast::Statement::Query(_)) {
        return Err(vec![SqlProblem::at_start("the statement is not a query; write one SELECT".to_owned())]);
    }
    let context = context::Context::new(relations);
    let planner = SqlToRel::new_with_options(&context, ParserOptions::from(&context.config().sql_parser));
    let plan = planner.sql_statement_to_plan(statement).map_err(one)?;
    let plan = optimize::optimize(plan, context.config()).map_err(one)?;
    let problems = refuse::problems(&plan, sql);
    if !problems.is_empty() {
        return Err(problems);
    }
    translate::translate(&plan, sql, relations, options)
}

/// Whether a column can be an event time.
pub(crate) fn is_event_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if zone.as_ref() == "UTC")
}

impl Query {
    /// The columns that come out.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The stream that it reads.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The tables that it joins; each is loaded before the first rows.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The columns of the stream that it reads, by rising index.
    pub fn reads(&self) -> &[usize] {
        &self.reads
    }

    /// Whether it has windows that fire, and so keeps state.
    pub fn is_windowed(&self) -> bool {
        self.aggregate.is_some()
    }

    /// The optimised logical plan, for people.
    pub fn explain(&self) -> &str {
        &self.explain
    }

    /// The stream's batches have only some of its columns: `place[i]` is where column `i` is.
    pub(crate) fn read_from(&mut self, place: &[Option<usize>]) {
        if let Some(Step::Scan { columns, .. }) = self.before.first_mut() {
            for column in columns {
                *column = place[*column].expect("a column that a query reads is decoded");
            }
        }
    }

    pub(crate) fn load_table(&mut self, name: &str, table: &RecordBatch) -> Result<(), StageError> {
        for step in self.before.iter_mut().chain(&mut self.after) {
            if let Step::Join(join) = step
                && join.table == name
            {
                join.load(table)?;
            }
        }
        Ok(())
    }

    /// Runs a chunk of the stream through. What comes out at once, and the places in the stage's input of late rows.
    pub(crate) fn run(&mut self, mut chunk: Chunk, late: &mut Vec<u32>) -> Result<Option<Chunk>, StageError> {
        for step in &self.before {
            chunk = step.run(chunk, late)?;
        }
        match &mut self.aggregate {
            None => Ok(Some(chunk)),
            Some(aggregate) => {
                aggregate.update(&chunk, late)?;
                Ok(None)
            }
        }
    }

    /// The results of windows that are over; the arguments are those of `Aggregation::fire`.
    pub(crate) fn fire(
        &mut self,
        before: &[i64],
        watermarks: &[i64],
        fired_at: &mut [i64],
    ) -> Result<Vec<Chunk>, StageError> {
        let Some(aggregate) = &mut self.aggregate else {
            return Ok(Vec::new());
        };
        let fired = aggregate.fire(before, watermarks, fired_at)?;
        self.behind(fired)
    }

    /// The rows of windows that have changed since they were last sent and have not fired at these watermarks, when it is
    /// time for them.
    pub(crate) fn update(&mut self, watermarks: &[i64], now: Millis) -> Result<Vec<Chunk>, StageError> {
        let (Some(every), Some(Aggregation::Windows(windows))) = (self.update_ms, &mut self.aggregate) else {
            return Ok(Vec::new());
        };
        if self.updated_at.is_some_and(|at| now.saturating_sub(at) < every) {
            return Ok(Vec::new());
        }
        self.updated_at = Some(now);
        let changed = windows.changed(watermarks)?;
        self.behind(changed)
    }

    /// What the steps behind the aggregation make of its rows.
    fn behind(&self, given: Vec<Chunk>) -> Result<Vec<Chunk>, StageError> {
        let mut results = Vec::new();
        for mut chunk in given {
            for step in &self.after {
                chunk = step.run(chunk, &mut Vec::new())?;
            }
            if chunk.rows() > 0 {
                results.push(chunk);
            }
        }
        Ok(results)
    }

    /// The name under which a column of the stream comes out unchanged.
    pub(crate) fn passes(&self, column: usize) -> Option<&str> {
        let at = self.passes.iter().position(|from| *from == Some(column))?;
        Some(self.schema.field(at).name())
    }

    /// How often windows send their rows before they fire, in milliseconds.
    pub(crate) fn update_ms(&self) -> Option<i64> {
        self.update_ms
    }

    /// What is done to rows before they are aggregated, and all that is done to them where they are not.
    pub(crate) fn before(&self) -> &[Step] {
        &self.before
    }

    /// What is done to the rows of windows that are over.
    pub(crate) fn after(&self) -> &[Step] {
        &self.after
    }

    pub(crate) fn aggregate_mut(&mut self) -> Option<&mut Aggregation> {
        self.aggregate.as_mut()
    }

    pub(crate) fn aggregate(&self) -> Option<&Aggregation> {
        self.aggregate.as_ref()
    }

    pub(crate) fn restore(&mut self, rows: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let Some(aggregate) = &mut self.aggregate else {
            let what = "the changelog has state for it, but the query keeps none".to_owned();
            return Err(StageError::State { operator: self.operator.clone(), what });
        };
        crate::stage::same_state(&self.operator, &aggregate.plan().state_schema, &rows.schema())?;
        aggregate.restore(rows, owned)
    }
}
