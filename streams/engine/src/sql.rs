//! SQL over streams: text in, a runnable query or a list of problems with their places out. DataFusion parses, plans
//! and optimises; what comes out is walked for whatever cannot run on an unbounded stream, which is refused with the
//! reason and the nearest form that can, and is then translated to operators of our own.
//!
//! What runs: a stream's rows filtered and projected; `TUMBLE(stream, time, size)`, `HOP(stream, time, slide, size)`,
//! `CUMULATE(stream, time, step, size)` and `SESSION(stream, time, gap, key…)`; inner and outer joins of the stream with
//! tables, as they are when a row comes; one aggregation for each key and window, or for each key for ever
//! (`emit: on_update`); streams put together (`UNION ALL`); items of lists (`unnest`); filters (HAVING), functions OVER the rows of
//! a window, joins and projections behind it; several groupings at once (`GROUPING SETS`); and joins of streams, of rows of the same
//! window, of rows whose times are near each other, or of rows with the versions that another stream has of their key (`ASOF
//! JOIN`); of the first two also rows that have a match, or none (`EXISTS`, `IN`).

mod aggregates;
mod as_of;
pub mod at_rest;
mod context;
mod divide;
mod function;
mod optimize;
mod problem;
pub(crate) mod query;
mod refuse;
mod relation;
mod translate;
mod window_node;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use millstream_model::LateRule;

pub(crate) use divide::divide;
pub use function::{Functions, MakeFunction, ScalarFunction};
pub use problem::SqlProblem;
pub use query::Query;

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
        /// The columns that a row is known by, where each takes the place of the one before it that has the same.
        latest_by: Option<Vec<String>>,
    },
    /// A table: read whole, and replaced when it changes.
    Table {
        /// Its columns.
        schema: SchemaRef,
        /// Those by which its rows are told apart; empty where that is not known.
        key: Vec<String>,
    },
}

impl Relation {
    pub(crate) fn schema(&self) -> &SchemaRef {
        match self {
            Relation::Stream { schema, .. } | Relation::Table { schema, .. } => schema,
        }
    }
}

/// The relations that a query may read, by name. Names are `[a-z_][a-z0-9_]*`, so that they need no quotes.
pub type Relations = BTreeMap<String, Relation>;

/// Whether SQL has a function, or a form like one, of this name: a pipeline's own cannot have it.
pub fn has_function(name: &str) -> bool {
    context::Context::new(&Relations::new(), &Functions::default()).has_function(name)
}

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
    /// How long rows of streams wait for matches where the query does not bound it.
    pub keep: Option<Keep>,
    /// The pipeline's functions, which it may call.
    pub functions: Functions,
}

/// How long rows of streams that are joined wait for a match that may come at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many milliseconds of event time: rows further apart do not meet.
    For(i64),
    /// For as long as there is the pipeline.
    ForEver,
}

impl Keep {
    /// Whether the time that is said is one, and at most so many milliseconds.
    pub(crate) fn is_within(self, most_ms: i64) -> bool {
        match self {
            Keep::For(span) => (1..=most_ms).contains(&span),
            Keep::ForEver => true,
        }
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
        let called = problem.message.strip_prefix("there is no ").and_then(|call| call.split_once('('));
        if let Some(takes) = called.and_then(|(name, _)| options.functions.takes(name)) {
            problem.help = Some(format!("{takes}; change a type with CAST(… AS …)"));
        }
        vec![problem]
    };
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql)
        .map_err(|e| vec![SqlProblem::from_parser(&e.to_string(), sql)])?;
    if statements.len() != 1 {
        return Err(vec![SqlProblem::at_start(format!("{} statements; write one SELECT", statements.len()))]);
    }
    let mut statement = statements.remove(0);
    as_of::bracket(&mut statement);
    if !matches!(statement, datafusion_sql::sqlparser::ast::Statement::Query(_)) {
        return Err(vec![SqlProblem::at_start("the statement is not a query; write one SELECT".to_owned())]);
    }
    let context = context::Context::new(relations, &options.functions);
    let planner = SqlToRel::new_with_options(&context, ParserOptions::from(&context.config().sql_parser));
    let plan = planner.sql_statement_to_plan(statement).map_err(one)?;
    let problems = refuse::before_optimizing(&plan, sql);
    if !problems.is_empty() {
        return Err(problems);
    }
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
