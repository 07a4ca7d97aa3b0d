//! From an optimised logical plan to operators: a chain of steps over one stream, or several that are joined or put together, with
//! tables joined in and at most one aggregation of each.

mod aggregate;
mod as_of;
mod interval;
mod join;
mod over;
mod over_time;
mod sets;
mod stream_join;
mod union;
mod unnest;
mod update_join;
mod update_over;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::logical_plan::{Projection, TableScan};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};

use super::as_of::AsOfJoin;
use super::context::Source;
use super::problem::SqlProblem;
use super::query::{Branch, Closed, Origin};
use super::window_node::{Cut, StreamWindow};
use super::{Keep, Query, Relation, Relations, SqlOptions};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::join::Unmatched;
use crate::op::row_key;
use crate::op::window::{SessionStep, WindowStep};
use millstream_model::{Sessions, Windows};
use update_join::Updating;

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
    branches: Vec<Branch>,
    /// Set once rows come when their windows are over.
    closed: Option<Closed>,
    trace: Vec<Trace>,
    window: Option<Grouped>,
    /// Whether something between the window and its aggregate computes with the window's bounds.
    bounds_used: bool,
    /// Of rows that take the place of earlier ones.
    latest: Option<Latest>,
    /// What those of a join that is kept up to date are known by.
    updating: Option<Updating>,
    tables: BTreeSet<String>,
}

/// Rows that take the place of earlier ones.
struct Latest {
    /// The columns that are read of them.
    schema: SchemaRef,
    /// Those of them that they are known by.
    identity: Vec<usize>,
}

impl Chain {
    fn is_stream(&self) -> bool {
        matches!(self.relation, Relation::Stream { .. })
    }

    /// Whether its rows are in sessions that are not aggregated: what takes rows away would have to say whether before or
    /// behind the sessions are made.
    fn in_sessions(&self) -> bool {
        self.closed.is_none() && matches!(self.window, Some(Grouped::Sessions(..)))
    }

    /// Whether its rows are groups without windows.
    fn keeps_groups(&self) -> bool {
        matches!(&self.closed, Some(Closed { from: Origin::Branch(_), .. })) && self.window.is_none()
    }

    /// Whether its rows are groups that are known by what they are grouped by: one that does not fulfil a condition is gone.
    fn replaces(&self) -> bool {
        let plan = self.branches.first().and_then(|branch| branch.aggregate.as_ref()?.plan());
        self.keeps_groups() && plan.is_some_and(|plan| plan.sets.sets.is_empty())
    }

    /// Whether its rows are known by columns of theirs, whatever a sink looks for them by.
    fn is_known(&self) -> bool {
        self.replaces() || self.updating.is_some()
    }

    /// Whether its rows are pairs of streams that meet as they come.
    fn is_near(&self) -> bool {
        matches!(&self.closed, Some(Closed { from: Origin::Near(_), .. }))
    }

    /// Whether its rows are those of streams that are joined without windows.
    fn is_joined(&self) -> bool {
        matches!(
            &self.closed,
            Some(Closed {
                from: Origin::Near(_) | Origin::AsOf(_) | Origin::Updating(_) | Origin::Over(_),
                ..
            })
        )
    }

    /// Whether its rows are those of functions OVER a stream.
    fn is_over_time(&self) -> bool {
        self.branches.iter().any(|branch| matches!(branch.aggregate, Some(Aggregation::Over(_))))
    }

    fn push(&mut self, step: Step) {
        let Some(step) = self.push_updating(step) else { return };
        match &mut self.closed {
            Some(closed) => closed.after.push(step),
            None => self.branch().before.push(step),
        }
    }

    /// Whether it is several streams put together.
    fn is_union(&self) -> bool {
        self.branches.iter().any(|branch| branch.into.is_some())
    }

    /// Counts its branches from `by` on.
    fn shift(&mut self, by: usize) {
        for branch in &mut self.branches {
            if let Some((to, _)) = &mut branch.into {
                *to += by;
            }
        }
        if let Some(closed) = &mut self.closed {
            closed.shift(by);
        }
    }

    /// The branch of a chain in which rows are that come as they are read; of several streams that are put together, the one in
    /// which all go on.
    fn branch(&mut self) -> &mut Branch {
        &mut self.branches[0]
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
    /// Whether `keep` has said how long rows of some join wait.
    keep_used: Cell<bool>,
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
        keep_used: Cell::new(false),
    };
    let mut chain = translator.walk(plan).map_err(|p| vec![p])?;
    if options.keep.is_some() && !translator.keep_used.get() {
        let text = "keep says how long rows of streams wait for a match that may come at any time, or groups without windows for another row, and this query has neither";
        return Err(vec![translator.problem("select", text, Some("take keep away"))]);
    }
    let row_wise = |step: &Step| matches!(step, Step::Scan { .. } | Step::Filter(_) | Step::Project { .. });
    if chain.latest.is_some() && !chain.branches.iter().flat_map(|branch| &branch.before).all(row_wise) {
        return Err(vec![translator.takes_places(&chain, "select")]);
    }
    translator.check_spread(&chain, chain.closed.is_none()).map_err(|p| vec![p])?;
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
    let joined_by = translator.finish_updating(&mut chain).map_err(|p| vec![p])?;
    let schema = output_schema(plan.schema(), sql)?;
    let names = |columns: Vec<usize>| columns.into_iter().map(|at| schema.field(at).name().clone()).collect();
    let joined_by = joined_by.map(names);
    let passed = |trace: &Trace| match trace {
        // Of streams that are joined row by row, those of the first; of groups that are kept, those that they are known by.
        Trace::Stream(column) if chain.closed.is_none() || chain.is_near() || chain.keeps_groups() => {
            Some(*column)
        }
        Trace::Stream(column) if chain.updating.is_some() => Some(*column),
        _ => None,
    };
    let passes = chain.trace.iter().map(passed).collect();
    let unknown = chain.latest.is_some().then(|| translator.unknown(&chain));
    let query = Query {
        operator: options.operator.clone(),
        tables: chain.tables.into_iter().collect(),
        branches: chain.branches,
        closed: chain.closed,
        schema,
        explain: plan.display_indent().to_string(),
        update_ms: options.update_ms,
        updated_at: None,
        passes,
        joined_by,
        known_by: chain.latest.map(|latest| latest.identity),
    };
    match unknown {
        Some(problem) if query.latest_by().is_none() => Err(vec![problem]),
        _ => Ok(query),
    }
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

/// The same, but a sum, a difference, a product or a negative that leaves its type fails, and does not go round.
pub(super) fn checked(
    expr: Arc<dyn PhysicalExpr>,
    input: &Schema,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let each = |expr: Arc<dyn PhysicalExpr>| {
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            let kind = negative.arg().data_type(input)?;
            if kind.is_signed_integer() {
                let zero = Arc::new(Literal::new(ScalarValue::new_zero(&kind)?));
                let made = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()));
                return Ok(Transformed::yes(
                    Arc::new(made.with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>
                ));
            }
        }
        Ok(match expr.downcast_ref::<BinaryExpr>() {
            Some(binary) if matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) => {
                Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>)
            }
            _ => Transformed::no(expr),
        })
    };
    Ok(expr.transform_up(each)?.data)
}

impl Translator<'_> {
    fn problem(&self, word: &str, message: impl Into<String>, help: Option<&str>) -> SqlProblem {
        SqlProblem::at(None, Some(word), self.sql, message.into(), help)
    }

    fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, SqlProblem> {
        let made = create_physical_expr(expr, schema, &self.props, &self.context);
        made.and_then(|made| checked(made, schema.as_arrow())).map_err(|e| self.explained(&e))
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
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                if let Some(window) = node.downcast_ref::<StreamWindow>() {
                    self.window(window)
                } else if let Some(join) = node.downcast_ref::<AsOfJoin>() {
                    self.as_of(join)
                } else {
                    Err(SqlProblem::at_start(format!("{} does not run on a stream", extension.node.name())))
                }
            }
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
        let name = scan.table_name.table().to_owned();
        let mut reads = reads;
        let count = reads.len();
        // What the operator has to know of rows, and the query need not read: it is read besides, and leaves with the next step.
        let known: Option<Vec<usize>> = match &source.relation {
            Relation::Stream { latest_by: Some(columns), .. } => {
                Some(columns.iter().filter_map(|name| schema.index_of(name).ok()).collect())
            }
            _ => None,
        };
        // Which groups are let go of is told by the time of their rows.
        let time = self.groups_for().and_then(|_| event_time_of(&source.relation));
        let time = time.filter(|_| known.is_none());
        let mut latest = None;
        if known.is_some() || time.is_some() {
            for at in known.iter().flatten().chain(&time) {
                if !reads.contains(at) {
                    reads.push(*at);
                }
            }
            let place = |at: &usize| reads.iter().position(|read| read == at);
            let wide = Arc::new(schema.project(&reads).map_err(|e| self.explained(&e.into()))?);
            let narrow = (0..count).collect();
            steps[0] = Step::Scan { columns: narrow, schema: Arc::clone(scan.projected_schema.inner()) };
            let timed = time.as_ref().and_then(place).map(Step::Timed);
            let scan = Step::Scan { columns: reads.clone(), schema: Arc::clone(&wide) };
            steps.splice(0..0, std::iter::once(scan).chain(timed));
            latest = known
                .map(|known| Latest { schema: wide, identity: known.iter().filter_map(place).collect() });
        }
        reads.sort_unstable();
        let chain = Chain {
            branches: vec![Branch {
                stream: name.clone(),
                reads,
                before: steps,
                into: None,
                aggregate: None,
            }],
            name,
            relation: source.relation.clone(),
            closed: None,
            trace,
            window: None,
            bounds_used: false,
            latest,
            updating: None,
            tables: BTreeSet::new(),
        };
        self.check_divided(&chain)?;
        Ok(chain)
    }

    /// Of groups that are kept up to date: how long each is kept when no row comes for it, in milliseconds, where not for ever.
    fn groups_for(&self) -> Option<i64> {
        match self.options.keep {
            Some(Keep::For(span)) if self.options.update_ms.is_some() => Some(span),
            _ => None,
        }
    }

    /// A chain whose rows stand for themselves.
    fn appended(&self, plan: &LogicalPlan, word: &str) -> Result<Chain, SqlProblem> {
        let chain = self.walk(plan)?;
        if chain.latest.is_some() { Err(self.takes_places(&chain, word)) } else { Ok(chain) }
    }

    /// Rows that take the place of earlier ones are read by what keeps none of them and could not take back what it made of one.
    fn takes_places(&self, chain: &Chain, word: &str) -> SqlProblem {
        let (reader, help) = match word {
            "tumble" | "hop" | "cumulate" | "session" => (
                "a window",
                "group them without windows, SELECT …, SUM(…) FROM it GROUP BY …, with emit: { on_update: 5s }; or read their topic by a source without `upsert`, where each record counts for itself",
            ),
            "over" => (
                "OVER (…) behind a table or a list",
                "go OVER the rows first, by a transform of its own, and join the table behind it",
            ),
            "union" => {
                ("UNION", "give each stream a sink and a target of its own, or group each by itself first")
            }
            "unnest" => (
                "unnest",
                "take lists apart before rows are grouped; or read their topic by a source without `upsert`, where each record counts for itself",
            ),
            "asof" => (
                "ASOF JOIN",
                "read their topic by a source without `upsert`, where each record is a version of its key",
            ),
            "join" | "exists" | "in" => (
                "a join with a table",
                "join the table before the GROUP BY that makes these rows; or read the table's topic by a source with `upsert: true`, and join both as streams, with emit: { on_update: 1s }",
            ),
            _ => (
                "this query",
                "group them, SELECT …, SUM(…) FROM it GROUP BY …, with emit: { on_update: 5s }; or read the table that a sink keeps of them",
            ),
        };
        let text = format!(
            "rows of {} take the place of earlier ones, and what {reader} makes of a row could not be taken back when it is replaced or goes",
            chain.name
        );
        self.problem(word, text, Some(help))
    }

    /// Rows that take the place of earlier ones go on, and what they are known by does not all come out.
    fn unknown(&self, chain: &Chain) -> SqlProblem {
        let Relation::Stream { latest_by: Some(known), .. } = &chain.relation else {
            return self.takes_places(chain, "select");
        };
        let known = known.join(", ");
        let text = format!(
            "rows of {} take the place of earlier ones with the same {known}, and what comes out does not have all of these as they are, so that nobody could tell which row takes the place of which",
            chain.name
        );
        self.problem("select", text, Some(&format!("select {known} too, as they are")))
    }

    /// Rows that take the place of earlier ones lie in the partition of the earlier ones: what they are divided by is among what
    /// they are known by.
    fn check_divided(&self, chain: &Chain) -> Result<(), SqlProblem> {
        let Relation::Stream { latest_by: Some(known), partitioned_by: Some(by), .. } = &chain.relation
        else {
            return Ok(());
        };
        let Some(column) = by.iter().find(|column| !known.contains(column)) else { return Ok(()) };
        let known = known.join(", ");
        let text = format!(
            "rows of {} take the place of earlier ones with the same {known}, and are divided by {column}: when that changes, the earlier one would stay behind in another partition",
            chain.name
        );
        let help = format!(
            "give the topic one of {known} as its key, or group by {column} too where these rows are made"
        );
        Err(self.problem(&chain.name, text, Some(&help)))
    }

    fn projection(&self, projection: &Projection) -> Result<Chain, SqlProblem> {
        self.project(self.walk(&projection.input)?, projection)
    }

    /// What a projection makes of a chain's rows.
    fn project(&self, mut chain: Chain, projection: &Projection) -> Result<Chain, SqlProblem> {
        let input = projection.input.schema();
        let exprs: Result<Vec<_>, _> = projection.expr.iter().map(|e| self.expr(e, input)).collect();
        let mut traces: Vec<Trace> = projection.expr.iter().map(|e| trace(e, input, &chain.trace)).collect();
        self.project_updating(&mut chain, projection, &mut traces);
        let computed = projection.expr.iter().zip(&traces).filter(|(_, t)| **t == Trace::Other);
        chain.use_bounds(computed.map(|(e, _)| e), input);
        chain.trace = traces;
        chain.push(Step::Project { exprs: exprs?, schema: Arc::clone(projection.schema.inner()) });
        Ok(chain)
    }

    fn window(&self, window: &StreamWindow) -> Result<Chain, SqlProblem> {
        use datafusion_expr::UserDefinedLogicalNodeCore;
        let word = &window.cut.word().to_ascii_lowercase();
        let mut chain = self.appended(&window.input, word)?;
        let Relation::Stream { event_time, schema, .. } = &chain.relation else {
            return Err(self.problem(word, format!("{} is a table and has no windows", chain.name), None));
        };
        if chain.window.is_some() || chain.closed.is_some() {
            return Err(self.problem(
                word,
                "windows over windows, over a join of streams or over what OVER (…) gives do not run yet",
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

    /// Rows that are sent again and again take the place of each other: so none may be taken back, and each has the same
    /// window each time.
    fn check_updates(&self, chain: &Chain) -> Result<(), SqlProblem> {
        let (early, again) = (self.options.update_ms.is_some(), self.options.late.updates);
        if !early && !again {
            return Ok(());
        }
        let refuse = |word: &str, why: &str, help: &str| {
            let text = format!("rows that are sent again take the place of earlier ones, and {why}");
            Err(self.problem(word, text, Some(help)))
        };
        // What to say instead, of what the file says.
        let once = match (early, again) {
            (true, false) => "emit: on_close",
            (false, true) => "another `then` of `late` than update",
            _ => "emit: on_close, and another `then` of `late` than update",
        };
        let Some(closed) = &chain.closed else {
            let what = if early { "emit: on_update" } else { "late: then: update" };
            let text = format!("{what} is about windows and groups, and this query has neither");
            let help = if early { "take emit away" } else { "take late away" };
            return Err(self.problem("select", text, Some(&format!("{help}: rows go on as they come"))));
        };
        if chain.is_over_time() {
            return refuse("over", "OVER (…) gives each row of a stream once", once);
        }
        if !matches!(closed.from, Origin::Branch(_) | Origin::Updating(_) | Origin::Over(_)) {
            return refuse("join", "what a row is joined with may change", once);
        }
        if chain.in_sessions() || matches!(chain.window, Some(Grouped::Sessions(..))) {
            return refuse("session", "a session's bounds change with each row", once);
        }
        for step in &closed.after {
            match step {
                Step::Filter(_) if !chain.replaces() => {
                    return refuse(
                        "having",
                        "a condition on the result would have to take rows back",
                        &format!("filter where the result is read, or {once}"),
                    );
                }
                // A condition may be true of a group's row at one time and not at another.
                Step::Join(join) if join.unmatched != Unmatched::Keep || join.filter.is_some() => {
                    return refuse(
                        "join",
                        "a table without a match would have to take rows back",
                        "LEFT JOIN it by equalities alone, or join it before the GROUP BY",
                    );
                }
                // Rows that are known by the same would come of one, and which of them stays is chance.
                Step::Join(join) if chain.is_known() && !join.not_compared.is_empty() => {
                    let (table, missing) = (&join.table, join.not_compared.join(", "));
                    let why = format!(
                        "several rows of {table} may match one of these: they are told apart by {missing} too, which the join does not compare, so that of what comes out only one row would stay"
                    );
                    let help = match chain.updating {
                        Some(_) => format!(
                            "compare {missing} too, or join {table} as a stream whose rows take the place of each other (upsert: true), by a transform of its own"
                        ),
                        None => format!(
                            "compare {missing} too, or join {table} before the GROUP BY and group by {missing} as well"
                        ),
                    };
                    return refuse("join", &why, &help);
                }
                Step::Unnest(_) => {
                    return refuse(
                        "unnest",
                        "items that are gone would have to be taken back",
                        &format!("unnest before the GROUP BY, or {once}"),
                    );
                }
                Step::Over(_) => {
                    return refuse("over", "a rank changes with the rows of others", once);
                }
                _ => {}
            }
        }
        Ok(())
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

/// The column of a stream's event time.
fn event_time_of(relation: &Relation) -> Option<usize> {
    match relation {
        Relation::Stream { event_time: Some(name), schema, .. } => schema.index_of(name).ok(),
        _ => None,
    }
}
