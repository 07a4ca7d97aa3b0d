//! From an optimised logical plan to operators: a chain of steps over one stream, with tables joined in and at most one
//! windowed aggregation.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Column, DFSchema, DataFusionError, JoinType, NullEquality};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{NullTreatment, WindowFunction};
use datafusion_expr::logical_plan::{Aggregate, Join, Projection, TableScan};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, LoweredAggregateBuilder};
use datafusion_physical_expr::window::WindowExpr;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr, create_physical_sort_exprs, expressions};
use datafusion_physical_plan::windows::create_window_expr;

use super::context::Source;
use super::problem::SqlProblem;
use super::window_node::{Cut, StreamWindow};
use super::{Query, Relation, Relations, SqlOptions};
use crate::op::Step;
use crate::op::aggregate::{AggregateColumn, AggregatePlan, Aggregation, OutputColumn};
use crate::op::join::{StreamSide, TableJoin, Unmatched};
use crate::op::over::{Function, OverStep};
use crate::op::row_key;
use crate::op::session::{HIDDEN, SessionAggregate};
use crate::op::window::{SessionStep, WindowStep};
use crate::op::windowed::WindowAggregate;
use millstream_model::{Sessions, Windows};

/// How often a row may come out of its windows.
const SPREAD_MAX: i64 = 100;

/// What a column is, as far as it matters to windows and to the placement of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    /// This column of the stream, unchanged.
    Stream(usize),
    WindowStart,
    WindowEnd,
    Other,
}

/// How a chain's rows are grouped by time.
#[derive(Clone, Debug)]
enum Grouped {
    Windows(Windows),
    /// By these columns of the stream.
    Sessions(Sessions, Vec<usize>),
}

/// A relation and what has been done to it so far.
struct Chain {
    name: String,
    relation: Relation,
    /// The columns that the scan reads.
    reads: Vec<usize>,
    steps: Vec<Step>,
    aggregate: Option<Aggregation>,
    after: Vec<Step>,
    trace: Vec<Trace>,
    window: Option<Grouped>,
    /// Whether something between the window and its aggregate computes with the window's bounds.
    bounds_used: bool,
    tables: BTreeSet<String>,
}

impl Chain {
    fn is_stream(&self) -> bool {
        matches!(self.relation, Relation::Stream { .. })
    }

    /// Whether its rows are in sessions that are not aggregated: what takes rows away would have to say whether before or
    /// behind the sessions are made.
    fn in_sessions(&self) -> bool {
        self.aggregate.is_none() && matches!(self.window, Some(Grouped::Sessions(..)))
    }

    fn push(&mut self, step: Step) {
        if self.aggregate.is_some() { self.after.push(step) } else { self.steps.push(step) }
    }

    /// Notes whether one of these expressions reads a window's bounds: then rows need them, and not only their slice.
    fn use_bounds<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>, input: &DFSchema) {
        let is_bound = |column: &Column| {
            let at = input.index_of_column(column);
            at.is_ok_and(|at| matches!(self.trace[at], Trace::WindowStart | Trace::WindowEnd))
        };
        self.bounds_used |= exprs.into_iter().any(|expr| expr.column_refs().into_iter().any(is_bound));
    }
}

struct Translator<'a> {
    sql: &'a str,
    options: &'a SqlOptions,
    props: ExecutionProps,
    context: PhysicalPlanningContext,
}

pub(super) fn translate(
    plan: &LogicalPlan,
    sql: &str,
    relations: &Relations,
    options: &SqlOptions,
) -> Result<Query, Vec<SqlProblem>> {
    let translator = Translator {
        sql,
        options,
        props: ExecutionProps::new(),
        context: PhysicalPlanningContext::default(),
    };
    let chain = translator.walk(plan).map_err(|p| vec![p])?;
    translator.check_spread(&chain, chain.aggregate.is_none()).map_err(|p| vec![p])?;
    if chain.in_sessions() {
        let text = "a session's bounds are known when it is over, and the query gives rows before";
        let help = "group by the session's keys, window_start and window_end";
        return Err(vec![translator.problem("session", text, Some(help))]);
    }
    if !chain.is_stream() {
        let streams: Vec<&str> = relations
            .iter()
            .filter(|(_, r)| matches!(r, Relation::Stream { .. }))
            .map(|(n, _)| n.as_str())
            .collect();
        let text = format!(
            "the query reads tables only and would never give a row; the streams here are: {}",
            streams.join(", ")
        );
        return Err(vec![SqlProblem::at_start(text)]);
    }
    translator.check_updates(&chain).map_err(|p| vec![p])?;
    let schema = output_schema(plan.schema(), sql)?;
    let passed = |trace: &Trace| match trace {
        Trace::Stream(column) if chain.aggregate.is_none() => Some(*column),
        _ => None,
    };
    let passes = chain.trace.iter().map(passed).collect();
    let mut reads = chain.reads.clone();
    reads.sort_unstable();
    Ok(Query {
        operator: options.operator.clone(),
        stream: chain.name,
        tables: chain.tables.into_iter().collect(),
        reads,
        before: chain.steps,
        aggregate: chain.aggregate,
        after: chain.after,
        schema,
        explain: plan.display_indent().to_string(),
        update_ms: options.update_ms,
        updated_at: None,
        passes,
    })
}

/// The columns that come out: each has a name that a sink can use, and no two have the same.
fn output_schema(schema: &DFSchema, sql: &str) -> Result<SchemaRef, Vec<SqlProblem>> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        let name = field.name();
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !plain {
            let function = name.split('(').next().unwrap_or(name);
            let text = format!("the column {name} has no name of its own");
            problems.push(SqlProblem::at(None, Some(function), sql, text, Some("give it one: … AS total")));
        } else if !names.insert(name.clone()) {
            let text = format!("two columns are called {name}");
            problems.push(SqlProblem::at(None, Some(name), sql, text, Some("give one another name with AS")));
        }
    }
    if problems.is_empty() { Ok(Arc::clone(schema.inner())) } else { Err(problems) }
}

impl Translator<'_> {
    fn problem(&self, word: &str, message: impl Into<String>, help: Option<&str>) -> SqlProblem {
        SqlProblem::at(None, Some(word), self.sql, message.into(), help)
    }

    fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, SqlProblem> {
        create_physical_expr(expr, schema, &self.props, &self.context).map_err(|e| self.explained(&e))
    }

    fn explained(&self, error: &DataFusionError) -> SqlProblem {
        SqlProblem::from_datafusion(error, self.sql)
    }

    fn walk(&self, plan: &LogicalPlan) -> Result<Chain, SqlProblem> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.walk(&alias.input),
            LogicalPlan::Filter(filter) => {
                let mut chain = self.walk(&filter.input)?;
                if chain.in_sessions() {
                    return Err(self.problem(
                        "where",
                        "the condition takes rows out of sessions that they belong to",
                        Some("filter first, FROM SESSION((SELECT … WHERE …), …), or count with FILTER (WHERE …)"),
                    ));
                }
                chain.use_bounds([&filter.predicate], filter.input.schema());
                chain.push(Step::Filter(self.expr(&filter.predicate, filter.input.schema())?));
                Ok(chain)
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<StreamWindow>()
            {
                Some(window) => self.window(window),
                None => {
                    Err(SqlProblem::at_start(format!("{} does not run on a stream", extension.node.name())))
                }
            },
            other => {
                let name = other.display().to_string();
                let name = name.split([':', ' ']).next().unwrap_or("this part of the query").to_owned();
                Err(SqlProblem::at_start(format!("{name} does not run on a stream")))
            }
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<Chain, SqlProblem> {
        let source = scan.source.downcast_ref::<Source>().expect("our context gives no other source");
        let schema = source.relation.schema();
        let reads: Vec<usize> = match &scan.projection {
            Some(columns) => columns.clone(),
            None => (0..schema.fields().len()).collect(),
        };
        let mut steps =
            vec![Step::Scan { columns: reads.clone(), schema: Arc::clone(scan.projected_schema.inner()) }];
        for filter in &scan.filters {
            steps.push(Step::Filter(self.expr(filter, &scan.projected_schema)?));
        }
        let trace = reads.iter().map(|i| Trace::Stream(*i)).collect();
        Ok(Chain {
            name: scan.table_name.table().to_owned(),
            relation: source.relation.clone(),
            reads,
            steps,
            aggregate: None,
            after: Vec::new(),
            trace,
            window: None,
            bounds_used: false,
            tables: BTreeSet::new(),
        })
    }

    fn projection(&self, projection: &Projection) -> Result<Chain, SqlProblem> {
        let mut chain = self.walk(&projection.input)?;
        let input = projection.input.schema();
        let exprs: Result<Vec<_>, _> = projection.expr.iter().map(|e| self.expr(e, input)).collect();
        let traces: Vec<Trace> = projection.expr.iter().map(|e| trace(e, input, &chain.trace)).collect();
        let computed = projection.expr.iter().zip(&traces).filter(|(_, t)| **t == Trace::Other);
        chain.use_bounds(computed.map(|(e, _)| e), input);
        chain.trace = traces;
        chain.push(Step::Project { exprs: exprs?, schema: Arc::clone(projection.schema.inner()) });
        Ok(chain)
    }

    fn window(&self, window: &StreamWindow) -> Result<Chain, SqlProblem> {
        use datafusion_expr::UserDefinedLogicalNodeCore;
        let mut chain = self.walk(&window.input)?;
        let word = &window.cut.word().to_ascii_lowercase();
        let Relation::Stream { event_time, schema, .. } = &chain.relation else {
            return Err(self.problem(word, format!("{} is a table and has no windows", chain.name), None));
        };
        if chain.window.is_some() {
            return Err(self.problem(
                word,
                "windows over windows do not run yet",
                Some("publish the first result to a topic and aggregate that"),
            ));
        }
        let time = window.time_index().map_err(|e| self.explained(&e))?;
        let declared = event_time.as_deref();
        let traced = match chain.trace[time] {
            Trace::Stream(i) => Some(schema.field(i).name().as_str()),
            _ => None,
        };
        if declared.is_none() || traced != declared {
            let help =
                declared.map(|column| format!("use {column}, or declare the watermark on the other column"));
            let text = format!("no watermark of {} is about column {}", chain.name, window.time.name);
            return Err(self.problem(word, text, help.as_deref()));
        }
        let schema = Arc::clone(UserDefinedLogicalNodeCore::schema(window).inner());
        match &window.cut {
            Cut::Windows(windows) => {
                // An aggregate over it says otherwise.
                let spread = true;
                chain.push(Step::Window(WindowStep { time, windows: *windows, late: None, spread, schema }));
                chain.window = Some(Grouped::Windows(*windows));
            }
            Cut::Sessions(sessions, keys) => {
                let keys: Result<Vec<usize>, SqlProblem> =
                    keys.iter().map(|key| self.session_key(key, window, &chain)).collect();
                chain.push(Step::Session(SessionStep { time, schema }));
                chain.window = Some(Grouped::Sessions(*sessions, keys?));
            }
        }
        chain.trace.extend([Trace::WindowStart, Trace::WindowEnd]);
        Ok(chain)
    }

    /// The column of the stream that is a session's key.
    fn session_key(&self, key: &Column, window: &StreamWindow, chain: &Chain) -> Result<usize, SqlProblem> {
        let input = window.input.schema();
        let at = input.index_of_column(key).map_err(|e| self.explained(&e))?;
        row_key::check_type(input.field(at)).map_err(|text| self.problem("session", text, None))?;
        match chain.trace[at] {
            Trace::Stream(column) => Ok(column),
            _ => {
                let text = format!("{} is no column of {} as it comes", key.name, chain.name);
                let help = "a session's key is a column of the stream itself";
                Err(self.problem("session", text, Some(help)))
            }
        }
    }

    /// Functions OVER the rows of closed windows.
    fn over(&self, over: &datafusion_expr::logical_plan::Window) -> Result<Chain, SqlProblem> {
        let mut chain = self.walk(&over.input)?;
        let input = over.input.schema();
        let refuse = |message: &str, help: &str| Err(self.problem("over", message, Some(help)));
        let windows = match (&chain.aggregate, &chain.window) {
            (Some(_), Some(Grouped::Windows(windows))) => *windows,
            (Some(_), Some(Grouped::Sessions(..))) => {
                return refuse(
                    "OVER (…) wants all rows of a window, and sessions end one by one",
                    "publish the sessions to a topic and aggregate them by TUMBLE there",
                );
            }
            _ => {
                return refuse(
                    "OVER (…) wants all rows of a window, and a stream's rows come one by one",
                    "rank what an aggregation gives: … OVER (PARTITION BY window_start, window_end ORDER BY …) FROM (SELECT … GROUP BY key, window_start, window_end)",
                );
            }
        };
        let mut functions = Vec::new();
        for expr in &over.window_expr {
            let Expr::WindowFunction(call) = strip_alias(expr) else {
                return Err(self.problem("over", format!("{expr} is no call of a function OVER (…)"), None));
            };
            let by: Vec<Trace> =
                call.params.partition_by.iter().map(|e| trace(e, input, &chain.trace)).collect();
            let whole = by.contains(&Trace::WindowEnd)
                || (windows.start_is_unique() && by.contains(&Trace::WindowStart));
            if !whole {
                return refuse(
                    "OVER (…) goes over rows of several windows, of which later ones have not ended",
                    "partition by the window too: OVER (PARTITION BY window_start, window_end …)",
                );
            }
            self.check_placed(&chain, &by, "over", "partition by")?;
            let equals_share =
                matches!(call.fun.name(), "rank" | "dense_rank" | "percent_rank" | "cume_dist");
            functions.push(Function { call: self.window_function(expr, call, input)?, equals_share });
        }
        chain.trace.extend(vec![Trace::Other; functions.len()]);
        chain.push(Step::Over(OverStep { functions, schema: Arc::clone(over.schema.inner()) }));
        Ok(chain)
    }

    fn window_function(
        &self,
        expr: &Expr,
        call: &WindowFunction,
        input: &DFSchema,
    ) -> Result<Arc<dyn WindowExpr>, SqlProblem> {
        let params = &call.params;
        let exprs = |exprs: &[Expr]| -> Result<Vec<Arc<dyn PhysicalExpr>>, SqlProblem> {
            exprs.iter().map(|e| self.expr(e, input)).collect()
        };
        let order = create_physical_sort_exprs(&params.order_by, input, &self.props, &self.context)
            .map_err(|e| self.explained(&e))?;
        let filter = params.filter.as_ref().map(|f| self.expr(f, input)).transpose()?;
        create_window_expr(
            &call.fun,
            expr.schema_name().to_string(),
            &exprs(&params.args)?,
            &exprs(&params.partition_by)?,
            &order,
            Arc::new(params.window_frame.clone()),
            Arc::clone(input.inner()),
            params.null_treatment == Some(NullTreatment::IgnoreNulls),
            params.distinct,
            filter,
        )
        .map_err(|e| self.explained(&e))
    }

    fn join(&self, join: &Join) -> Result<Chain, SqlProblem> {
        let (left, right) = (self.walk(&join.left)?, self.walk(&join.right)?);
        let (mut stream, table, side) = match (left.is_stream(), right.is_stream()) {
            (true, false) => (left, right, StreamSide::Left),
            (false, true) => (right, left, StreamSide::Right),
            (true, true) => {
                return Err(self.problem(
                    "join",
                    "two streams are joined; that does not run yet",
                    Some("join the stream with a table"),
                ));
            }
            (false, false) => {
                return Err(self.problem(
                    "join",
                    "two tables are joined",
                    Some("join each of them with the stream"),
                ));
            }
        };
        if stream.in_sessions() {
            return Err(self.problem(
                "join",
                "a join between a session and its GROUP BY could take rows out of sessions that they belong to",
                Some("join behind the GROUP BY, SELECT … FROM (SELECT … GROUP BY …) AS s JOIN …, or before, FROM SESSION((SELECT … JOIN …), …)"),
            ));
        }
        let unmatched = match (join.join_type, side) {
            (JoinType::Inner, _) => Unmatched::Drop,
            (JoinType::Left, StreamSide::Left) | (JoinType::Right, StreamSide::Right) => Unmatched::Keep,
            (kind, _) => {
                let text = format!(
                    "{kind} join of {} with table {}: it would have to know which table rows no row of the stream will ever match",
                    stream.name, table.name
                );
                return Err(self.problem(
                    "join",
                    text,
                    Some("JOIN, or a LEFT JOIN with the stream on the left, run"),
                ));
            }
        };
        if join.on.is_empty() {
            let text = format!(
                "the join of {} with table {} has no equality to look rows up by",
                stream.name, table.name
            );
            return Err(self.problem("join", text, Some("join ON stream.column = table.key")));
        }
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(self.problem(
                "join",
                "a join in which null equals null does not run yet",
                Some("use ="),
            ));
        }
        if join.filter.is_some() && unmatched == Unmatched::Keep {
            return Err(self.problem(
                "join",
                "an outer join takes equalities only",
                Some("filter the table in a subquery, or the result with WHERE"),
            ));
        }
        let (mut stream_keys, mut table_keys) = (Vec::new(), Vec::new());
        for (l, r) in &join.on {
            let (l, r) = (self.expr(l, join.left.schema())?, self.expr(r, join.right.schema())?);
            let (s, t) = if side == StreamSide::Left { (l, r) } else { (r, l) };
            stream_keys.push(s);
            table_keys.push(t);
        }
        let (table_plan, stream_plan) =
            if side == StreamSide::Left { (&join.right, &join.left) } else { (&join.left, &join.right) };
        for (keys, plan) in [(&stream_keys, stream_plan), (&table_keys, table_plan)] {
            self.check_keys(keys, plan.schema().inner(), "join")?;
        }
        let (left, right) = (join.left.schema(), join.right.schema());
        let (stream_schema, ours): (_, Vec<&Expr>) = match side {
            StreamSide::Left => (left, join.on.iter().map(|(l, _)| l).collect()),
            StreamSide::Right => (right, join.on.iter().map(|(_, r)| r).collect()),
        };
        stream.use_bounds(ours, stream_schema);
        let table_trace = vec![Trace::Other; table.trace.len()];
        stream.trace = match side {
            StreamSide::Left => [stream.trace, table_trace].concat(),
            StreamSide::Right => [table_trace, stream.trace].concat(),
        };
        stream.use_bounds(&join.filter, &join.schema);
        stream.tables.insert(table.name.clone());
        stream.push(Step::Join(TableJoin {
            operator: self.options.operator.clone(),
            table: table.name,
            table_schema: Arc::clone(table.relation.schema()),
            table_steps: table.steps,
            table_keys,
            stream_keys,
            unmatched,
            side,
            schema: Arc::clone(join.schema.inner()),
            loaded: None,
        }));
        if let Some(filter) = &join.filter {
            stream.push(Step::Filter(self.expr(filter, &join.schema)?));
        }
        Ok(stream)
    }

    fn check_keys(
        &self,
        keys: &[Arc<dyn PhysicalExpr>],
        schema: &Schema,
        word: &str,
    ) -> Result<(), SqlProblem> {
        for key in keys {
            let field = key.return_field(schema).map_err(|e| self.explained(&e))?;
            row_key::check_type(&field).map_err(|text| self.problem(word, text, None))?;
        }
        Ok(())
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Chain, SqlProblem> {
        let mut chain = self.walk(&aggregate.input)?;
        let input = aggregate.input.schema();
        if !chain.is_stream() {
            return Err(self.problem(
                "group",
                format!("table {} is grouped", chain.name),
                Some("join it with a stream first"),
            ));
        }
        if chain.aggregate.is_some() {
            return Err(self.problem(
                "group",
                "a second GROUP BY over the first does not run yet",
                Some("publish the first result to a topic and aggregate that"),
            ));
        }
        let traces: Vec<Trace> = aggregate.group_expr.iter().map(|e| trace(e, input, &chain.trace)).collect();
        let windowed = traces.iter().any(|t| matches!(t, Trace::WindowStart | Trace::WindowEnd));
        let (true, Some(grouped)) = (windowed, chain.window.clone()) else {
            let text = "the result of this aggregation is never final, since the stream has no end";
            let help = "read FROM TUMBLE(input, time_column, INTERVAL '5 minutes') and group by window_start, window_end too";
            let word = if self.sql.to_ascii_lowercase().contains("distinct") && aggregate.aggr_expr.is_empty()
            {
                "distinct"
            } else {
                "group"
            };
            return Err(self.problem(word, text, Some(help)));
        };
        self.check_placement(&chain, &traces)?;
        if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
            return Err(self.problem(
                "group",
                "GROUPING SETS, CUBE and ROLLUP do not run yet",
                Some("write one query for each"),
            ));
        }
        if let Grouped::Windows(windows) = &grouped
            && !windows.start_is_unique()
            && !traces.contains(&Trace::WindowEnd)
        {
            let text = "cumulating windows that start together differ by their ends, and the query does not group by window_end";
            return Err(self.problem("group", text, Some("group by window_start, window_end")));
        }
        let computed = aggregate.group_expr.iter().zip(&traces).filter(|(_, t)| **t == Trace::Other);
        chain.use_bounds(computed.map(|(e, _)| e).chain(&aggregate.aggr_expr), input);
        if chain.in_sessions() && chain.bounds_used {
            return Err(self.problem(
                "session",
                "a session's bounds are known when it is over, and the query computes with them before",
                Some("compute with window_start and window_end behind the GROUP BY"),
            ));
        }
        let mut keys = Vec::new();
        let mut output = Vec::new();
        for (expr, trace) in aggregate.group_expr.iter().zip(&traces) {
            output.push(match trace {
                Trace::WindowStart => OutputColumn::WindowStart,
                Trace::WindowEnd => OutputColumn::WindowEnd,
                _ => {
                    keys.push(self.expr(expr, input)?);
                    OutputColumn::Key(keys.len() - 1)
                }
            });
        }
        let mut aggregates = Vec::new();
        for expr in &aggregate.aggr_expr {
            output.push(OutputColumn::Aggregate(aggregates.len()));
            aggregates.push(self.aggregate_column(expr, input)?);
        }
        let session_keys = match &grouped {
            Grouped::Windows(_) => Vec::new(),
            Grouped::Sessions(_, columns) => {
                self.check_session_placement(&chain, columns)?;
                let grouped_by =
                    traces.iter().filter(|t| !matches!(t, Trace::WindowStart | Trace::WindowEnd));
                let place = |column: &usize| grouped_by.clone().position(|t| *t == Trace::Stream(*column));
                let places: Option<Vec<usize>> = columns.iter().map(place).collect();
                places.ok_or_else(|| {
                    let text = "the query does not group by all keys of its sessions, and would mix sessions that begin and end together";
                    self.problem("group", text, Some("group by the keys, window_start and window_end"))
                })?
            }
        };
        let sessions = matches!(grouped, Grouped::Sessions(..));
        let hidden = if sessions { self.session_columns()? } else { Vec::new() };
        let own_key = sessions.then(|| Field::new("session", DataType::Int64, false));
        let all: Vec<&AggregateColumn> = aggregates.iter().chain(&hidden).collect();
        let (group_schema, state_schema) =
            state_schemas(&keys, own_key, &all, input.inner()).map_err(|e| self.explained(&e))?;
        self.check_spread(&chain, chain.bounds_used)?;
        for step in &mut chain.steps {
            if let Step::Window(window) = step {
                window.late = Some(self.options.late.clone());
                window.spread = chain.bounds_used;
            }
        }
        chain.trace = traces;
        chain.trace.resize(output.len(), Trace::Other);
        let plan = AggregatePlan {
            late: self.options.late.clone(),
            keys,
            aggregates,
            hidden,
            group_schema,
            state_schema,
            output,
            schema: Arc::clone(aggregate.schema.inner()),
            key_groups: self.options.key_groups,
        };
        chain.aggregate = Some(match grouped {
            Grouped::Windows(windows) => {
                let notes = self.options.update_ms.is_some();
                Aggregation::Windows(WindowAggregate::new(plan, windows, notes))
            }
            Grouped::Sessions(sessions, _) => {
                Aggregation::Sessions(SessionAggregate::new(plan, sessions, session_keys))
            }
        });
        Ok(chain)
    }

    /// The aggregates that sessions keep for themselves. The operator gives their arguments itself.
    fn session_columns(&self) -> Result<Vec<AggregateColumn>, SqlProblem> {
        let input: SchemaRef = Arc::new(Schema::new(vec![Field::new("own", DataType::Int64, true)]));
        let column = |name: &str| {
            let function = if name == "min" { min_udaf() } else { max_udaf() };
            let argument: Arc<dyn PhysicalExpr> = Arc::new(expressions::Column::new("own", 0));
            let function = AggregateExprBuilder::new(function, vec![argument])
                .schema(Arc::clone(&input))
                .alias(name)
                .build()
                .map_err(|e| self.explained(&e))?;
            let state_columns = 1;
            Ok(AggregateColumn {
                function: Arc::new(function),
                arguments: Vec::new(),
                filter: None,
                state_columns,
            })
        };
        HIDDEN.into_iter().map(column).collect()
    }

    /// Rows that are sent again and again take the place of each other: so none may be taken back, and each has the same
    /// window each time.
    fn check_updates(&self, chain: &Chain) -> Result<(), SqlProblem> {
        if self.options.update_ms.is_none() || chain.aggregate.is_none() {
            return Ok(());
        }
        let refuse = |word: &str, message: &str, help: &str| Err(self.problem(word, message, Some(help)));
        if chain.in_sessions() || matches!(chain.window, Some(Grouped::Sessions(..))) {
            return refuse(
                "session",
                "emit: on_update sends rows that take the place of earlier ones, and a session's bounds change with each row",
                "emit: on_close",
            );
        }
        for step in &chain.after {
            match step {
                Step::Filter(_) => {
                    return refuse(
                        "having",
                        "emit: on_update sends rows that take the place of earlier ones, and a condition on the result would have to take rows back",
                        "filter where the result is read, or emit: on_close",
                    );
                }
                Step::Over(_) => {
                    return refuse(
                        "over",
                        "emit: on_update sends the rows that have changed, and a rank changes with those of others",
                        "emit: on_close",
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A row that comes out for each of its windows comes out so often.
    fn check_spread(&self, chain: &Chain, spreads: bool) -> Result<(), SqlProblem> {
        let Some(Grouped::Windows(windows)) = chain.window.as_ref().filter(|_| spreads) else {
            return Ok(());
        };
        let overlap = (windows.size_ms() - 1) / windows.every_ms() + 1;
        if overlap <= SPREAD_MAX {
            return Ok(());
        }
        let text = format!(
            "a row would come out {overlap} times, for each of its windows, since their bounds are computed with or there is no GROUP BY; at most {SPREAD_MAX} times are allowed"
        );
        let help =
            "group by window_start, window_end and compute with them behind it, or let windows overlap less";
        Err(self.problem(&windows.word().to_ascii_lowercase(), text, Some(help)))
    }

    /// Rows that a group needs must be in one partition, else each partition would give a part of its result.
    fn check_placement(&self, chain: &Chain, traces: &[Trace]) -> Result<(), SqlProblem> {
        self.check_placed(chain, traces, "group", "group by")
    }

    fn check_placed(
        &self,
        chain: &Chain,
        traces: &[Trace],
        word: &str,
        clause: &str,
    ) -> Result<(), SqlProblem> {
        let Relation::Stream { partitioned_by: Some(columns), schema, .. } = &chain.relation else {
            return Ok(());
        };
        for column in columns {
            let index = schema.index_of(column).ok();
            if !traces.iter().any(|t| matches!((t, index), (Trace::Stream(i), Some(j)) if *i == j)) {
                let text = format!(
                    "{} is partitioned by {column}, and the query does not {clause} it, so that each partition would give a part of the result",
                    chain.name
                );
                let help = format!(
                    "{clause} {column} too, or publish {} to a topic with another key, or with one partition",
                    chain.name
                );
                return Err(self.problem(word, text, Some(&help)));
            }
        }
        Ok(())
    }

    /// So must the rows of a session be.
    fn check_session_placement(&self, chain: &Chain, keys: &[usize]) -> Result<(), SqlProblem> {
        let Relation::Stream { partitioned_by: Some(columns), schema, .. } = &chain.relation else {
            return Ok(());
        };
        let is_key = |column: &&String| schema.index_of(column).is_ok_and(|at| keys.contains(&at));
        match columns.iter().find(|column| !is_key(column)) {
            None => Ok(()),
            Some(column) => {
                let text = format!(
                    "{} is partitioned by {column}, which is no key of the sessions, so that each partition would have sessions of its own",
                    chain.name
                );
                let help =
                    format!("write it behind the gap: SESSION({}, time_column, gap, {column})", chain.name);
                Err(self.problem("session", text, Some(&help)))
            }
        }
    }

    fn aggregate_column(&self, expr: &Expr, input: &DFSchema) -> Result<AggregateColumn, SqlProblem> {
        let lowered = LoweredAggregateBuilder::new(expr, input, input.as_arrow(), &self.props, &self.context)
            .build()
            .map_err(|e| self.explained(&e))?;
        let function = lowered.aggregate;
        let arguments = function
            .expressions()
            .into_iter()
            .chain(function.order_bys().iter().map(|s| Arc::clone(&s.expr)));
        let state_columns = function.state_fields().map_err(|e| self.explained(&e))?.len();
        let column = AggregateColumn {
            arguments: arguments.collect(),
            filter: lowered.filter,
            state_columns,
            function,
        };
        // Some functions are found out only when they are made; and the state that they promise must be what they give.
        let name = column.function.fun().name().to_owned();
        let refuse = |text: String| self.problem(&name, text, None);
        let mut probe = column
            .accumulator()
            .map_err(|e| refuse(format!("{name} does not run on these types: {}", e.strip_backtrace())))?;
        let nulls: Result<Vec<_>, _> =
            column.arguments.iter().map(|a| Ok(new_null_array(&a.data_type(input.as_arrow())?, 1))).collect();
        let state = nulls
            .and_then(|nulls| probe.update_batch(&nulls, &[0], None, 1))
            .and_then(|()| probe.state(datafusion_expr::EmitTo::All))
            .map_err(|e: DataFusionError| self.explained(&e))?;
        let promised = column.function.state_fields().map_err(|e| self.explained(&e))?;
        let kept = state.len() == promised.len()
            && state.iter().zip(&promised).all(|(s, p)| s.data_type() == p.data_type());
        if !kept {
            return Err(refuse(format!("{name} over these types cannot be kept in a changelog")));
        }
        Ok(column)
    }
}

fn strip_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip_alias(&alias.expr),
        other => other,
    }
}

/// What a column of a projection is.
fn trace(expr: &Expr, input: &DFSchema, traces: &[Trace]) -> Trace {
    match expr {
        Expr::Column(column) => input.index_of_column(column).map_or(Trace::Other, |i| traces[i]),
        Expr::Alias(alias) => trace(&alias.expr, input, traces),
        _ => Trace::Other,
    }
}

/// The schemas of groups and of state rows.
fn state_schemas(
    keys: &[Arc<dyn PhysicalExpr>],
    own_key: Option<Field>,
    aggregates: &[&AggregateColumn],
    input: &Schema,
) -> Result<(SchemaRef, SchemaRef), DataFusionError> {
    let group = Field::new("group", DataType::UInt32, false);
    let mut key_fields = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        key_fields.push(Field::new(format!("key_{i}"), key.data_type(input)?, true));
    }
    key_fields.extend(own_key);
    let group_fields = std::iter::once(group.clone()).chain(key_fields.iter().cloned());
    let mut fields = vec![group.clone(), Field::new("window", DataType::Int64, false)];
    fields.extend(key_fields.iter().cloned());
    for (i, aggregate) in aggregates.iter().enumerate() {
        for (j, state) in aggregate.function.state_fields()?.iter().enumerate() {
            let name = format!("{}_{i}_{j}", aggregate.function.fun().name());
            fields.push(state.as_ref().clone().with_name(name).with_nullable(true));
        }
    }
    Ok((Arc::new(Schema::new(group_fields.collect::<Vec<_>>())), Arc::new(Schema::new(fields))))
}
