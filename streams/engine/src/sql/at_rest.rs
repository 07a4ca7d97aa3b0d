//! SQL over relations at rest: what a query gives over rows that are all there, once. DataFusion parses, plans, optimises and
//! runs, with its own operators; so everything that it knows of SELECT is taken, and nothing that changes anything. Never
//! enters: streams and windows that are open, where rows come from.

mod physical;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::metadata::ScalarAndMetadata;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, ParamValues, ScalarValue};
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::GreedyMemoryPool;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::{Distinct, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::{Optimizer, OptimizerContext};
use datafusion_physical_plan::collect;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::context::Context;
use super::problem::advice;
use super::{Relation, SqlProblem};

/// The most bytes that one text may have.
pub const SQL_BYTES_MAX: usize = 256 << 10;
/// The most operators, set operations and joins in one text: plans are walked one call deep for each.
pub const OPERATORS_MAX: usize = 500;

/// The stack that a thread has to have that plans texts: what is refused as too deep is so by this.
pub const STACK_BYTES: usize = 32 << 20;

/// The value of a parameter.
pub use datafusion_common::ScalarValue as Parameter;

/// The rows of relations, by name.
pub type Rows = BTreeMap<String, Vec<RecordBatch>>;

/// One statement of a text.
#[derive(Debug)]
pub enum Statement {
    /// A query.
    Query(Box<Question>),
    /// `SHOW TABLES`.
    Tables,
    /// `DESCRIBE name`, `SHOW COLUMNS FROM name`.
    Columns(String),
    /// `SHOW name` of a setting.
    Setting(String),
    /// A setting of the session, which changes nothing here.
    Set,
    /// `BEGIN`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `DISCARD ALL`, `DEALLOCATE name`: what it names goes with the session.
    Discard(&'static str),
    /// Anything else, by its first word: it would change something.
    Other(String),
}

/// A query that is planned, over relations of which the columns are known.
#[derive(Clone, Debug)]
pub struct Question {
    sql: String,
    plan: LogicalPlan,
    reads: BTreeSet<String>,
    schema: SchemaRef,
    /// The types of `$1`, `$2` and so on, as far as they follow from where they stand.
    parameters: Vec<Option<DataType>>,
}

/// Why a query gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not as it should be, which was seen when it was run.
    #[error("{0}")]
    Problem(SqlProblem),
    /// It wants more memory than there is.
    #[error("the query wants more memory than the {0} MiB that are left for it: {1}")]
    Memory(usize, String),
    /// A row could not be computed, a division by zero for example.
    #[error("{0}")]
    Compute(String),
}

/// Reads a text of statements. Those of a text are about the same relations, whose columns these are.
pub fn statements(sql: &str, relations: &BTreeMap<String, SchemaRef>) -> Result<Vec<Statement>, SqlProblem> {
    check_size(sql)?;
    let parsed = Parser::parse_sql(&GenericDialect {}, sql)
        .map_err(|error| SqlProblem::from_parser(&error.to_string(), sql))?;
    let tables = relations.iter();
    let table = |schema: &SchemaRef| Relation::Table { schema: Arc::clone(schema), key: Vec::new() };
    let tables = tables.map(|(name, schema)| (name.clone(), table(schema)));
    let context = Context::at_rest(&tables.collect());
    parsed.into_iter().map(|statement| one(statement, sql, &context, relations)).collect()
}

/// Texts that would make a plan too deep to be walked are refused before they are one.
fn check_size(sql: &str) -> Result<(), SqlProblem> {
    if sql.len() > SQL_BYTES_MAX {
        let text = format!("a text of {} bytes; at most {SQL_BYTES_MAX}", sql.len());
        return Err(SqlProblem::at_start(text));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let words =
        ["AND", "OR", "NOT", "UNION", "EXCEPT", "INTERSECT", "JOIN", "WHEN", "WITH", "IS", "LIKE", "BETWEEN"];
    let is_operator = |token: &&Token| match token {
        Token::Word(word) => words.iter().any(|known| word.value.eq_ignore_ascii_case(known)),
        Token::Whitespace(_) | Token::Number(..) | Token::Comma | Token::Period | Token::Placeholder(_) => {
            false
        }
        Token::SingleQuotedString(_) | Token::RParen | Token::SemiColon => false,
        _ => true,
    };
    let operators = tokens.iter().filter(is_operator).count();
    match operators {
        ..=OPERATORS_MAX => Ok(()),
        _ => Err(SqlProblem::at_start(format!(
            "a text of {operators} operators, brackets and joins; at most {OPERATORS_MAX}: ask for less at once, or write `IN (…)` for many values"
        ))),
    }
}

fn one(
    statement: ast::Statement,
    sql: &str,
    context: &Context,
    relations: &BTreeMap<String, SchemaRef>,
) -> Result<Statement, SqlProblem> {
    use ast::Statement as Ast;
    let name = |name: &ast::ObjectName| {
        let last = name.0.last().and_then(|part| part.as_ident());
        last.map_or_else(
            || name.to_string(),
            |ident| match ident.quote_style {
                Some(_) => ident.value.clone(),
                None => ident.value.to_ascii_lowercase(),
            },
        )
    };
    Ok(match statement {
        Ast::Query(query) => {
            Statement::Query(Box::new(Question::plan(Ast::Query(query), sql, context, relations)?))
        }
        Ast::ShowTables { .. } => Statement::Tables,
        Ast::ExplainTable { table_name, .. } => Statement::Columns(name(&table_name)),
        Ast::ShowColumns { show_options, .. } => {
            let table = show_options.show_in.and_then(|place| place.parent_name);
            Statement::Columns(table.map(|table| name(&table)).unwrap_or_default())
        }
        Ast::ShowVariable { variable } => {
            let words = variable.iter().map(|ident| ident.value.to_ascii_lowercase());
            Statement::Setting(words.collect::<Vec<_>>().join("_"))
        }
        Ast::Set(_) => Statement::Set,
        Ast::StartTransaction { .. } => Statement::Begin,
        Ast::Commit { .. } => Statement::Commit,
        Ast::Rollback { .. } => Statement::Rollback,
        Ast::Discard { .. } => Statement::Discard("DISCARD ALL"),
        Ast::Deallocate { .. } => Statement::Discard("DEALLOCATE"),
        Ast::Close { .. } => Statement::Discard("CLOSE CURSOR"),
        other => {
            let text = other.to_string();
            let word = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty());
            Statement::Other(word.unwrap_or("this").to_ascii_uppercase())
        }
    })
}

impl Question {
    fn plan(
        statement: ast::Statement,
        sql: &str,
        context: &Context,
        relations: &BTreeMap<String, SchemaRef>,
    ) -> Result<Question, SqlProblem> {
        let problem = |error: DataFusionError| {
            let mut problem = SqlProblem::from_datafusion(&error, sql);
            if let Some(name) = problem.message.strip_prefix("there is no input ") {
                let names: Vec<&str> = relations.keys().map(String::as_str).collect();
                problem.message = format!("there is no relation {name}");
                problem.help = Some(format!("there are: {}", names.join(", ")));
            }
            if problem.message.starts_with("Invalid function ") {
                let own =
                    "functions of a pipeline's file are called by its own queries, as it runs, and not here";
                let help = problem.help.map_or_else(String::new, |help| format!("{help}; "));
                problem.help = Some(help + own);
            }
            problem
        };
        let planner = SqlToRel::new_with_options(context, ParserOptions::from(&context.config().sql_parser));
        let plan = planner.sql_statement_to_plan(statement).map_err(problem)?;
        let mut reads = BTreeSet::new();
        plan.apply_with_subqueries(|node| {
            match node {
                LogicalPlan::TableScan(scan) => drop(reads.insert(scan.table_name.table().to_owned())),
                LogicalPlan::Distinct(Distinct::On(_)) => {
                    return datafusion_common::plan_err!(
                        "DISTINCT ON is not taken; write SELECT … QUALIFY row_number() OVER (PARTITION BY … ORDER BY …) = 1"
                    );
                }
                LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
                    return datafusion_common::plan_err!("{} is no part of a query", node.display());
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(problem)?;
        let parameters = parameters(&plan).map_err(problem)?;
        let schema = match parameters.is_empty() {
            // Types are those of the plan as it is run.
            true => Arc::clone(optimized(plan.clone(), context.config()).map_err(problem)?.schema().inner()),
            false => Arc::clone(plan.schema().inner()),
        };
        Ok(Question { sql: sql.to_owned(), plan, reads, schema, parameters })
    }

    /// The relations that it reads.
    pub fn reads(&self) -> &BTreeSet<String> {
        &self.reads
    }

    /// The columns of its answer.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The types of its parameters.
    pub fn parameters(&self) -> &[Option<DataType>] {
        &self.parameters
    }

    /// The answer over these rows, in so many bytes of memory beside them. Runs on a runtime of tokio.
    pub async fn answer(
        &self,
        rows: &Rows,
        parameters: Vec<ScalarValue>,
        memory_bytes: usize,
    ) -> Result<Vec<RecordBatch>, AnswerError> {
        let told = |error: DataFusionError| told(&error, &self.sql, memory_bytes);
        let mut plan = self.plan.clone();
        if !parameters.is_empty() {
            let values = parameters.into_iter().map(ScalarAndMetadata::from).collect();
            plan = plan.with_param_values(ParamValues::List(values)).map_err(told)?;
        }
        let config = Context::at_rest(&BTreeMap::new()).config().clone();
        let plan = optimized(plan, &config).map_err(told)?;
        let planner = physical::Planner { rows, props: ExecutionProps::new() };
        let plan = planner.plan(&plan).map_err(told)?;
        // Nothing is written: what memory has no room for is refused.
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(told)?;
        let session = SessionConfig::from(config).with_target_partitions(1);
        let context = TaskContext::default().with_session_config(session).with_runtime(runtime);
        collect(plan, Arc::new(context)).await.map_err(told)
    }
}

/// The types of `$1` and on, in their order.
fn parameters(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, DataFusionError> {
    let mut found = Vec::new();
    for (name, kind) in plan.get_parameter_types()? {
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let Some(at) = number.filter(|number| (1..=1_000).contains(number)) else {
            return datafusion_common::plan_err!("parameter {name}: they are $1, $2 and on, to $1000");
        };
        if found.len() < at {
            found.resize(at, None);
        }
        found[at - 1] = kind;
    }
    Ok(found)
}

/// Types a plan and optimises it, by all rules.
fn optimized(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
    let plan = Analyzer::new().execute_and_check(plan, config, |_, _| {})?;
    let context = OptimizerContext::new_with_config_options(Arc::new(config.clone()));
    Optimizer::new().optimize(plan, &context, |_, _| {})
}

/// Why a row could not be computed, with what to do about it.
fn advised(text: &str) -> String {
    let text = text.strip_prefix("Cast error: ").unwrap_or(text);
    let advice = advice(text).map(|advice| format!("; {advice}"));
    format!("computing the answer: {text}{}", advice.unwrap_or_default())
}

fn told(error: &DataFusionError, sql: &str, memory_bytes: usize) -> AnswerError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => {
            let text = text.lines().next().unwrap_or_default().to_owned();
            AnswerError::Memory(memory_bytes >> 20, text)
        }
        DataFusionError::ArrowError(error, _) => AnswerError::Compute(advised(&error.to_string())),
        DataFusionError::Execution(text) => AnswerError::Compute(advised(text)),
        _ => AnswerError::Problem(SqlProblem::from_datafusion(error, sql)),
    }
}
