//! The aggregation of a query: keys, aggregates, state and how time is grouped; and whether the rows of a group meet.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::Expr;
use datafusion_expr::expr::Alias;
use datafusion_expr::logical_plan::Aggregate;
use datafusion_functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, LoweredAggregateBuilder};
use datafusion_physical_expr::{PhysicalExpr, expressions};

use super::{Chain, Grouped, Latest, Trace, Translator, checked, event_time_of, trace};
use crate::op::Step;
use crate::op::aggregate::{AggregateColumn, AggregatePlan, Aggregation, OutputColumn};
use crate::op::latest::LatestGroups;
use crate::op::session::{HIDDEN, SessionAggregate};
use crate::op::windowed::WindowAggregate;
use crate::sql::Relation;
use crate::sql::problem::SqlProblem;
use crate::sql::query::{Branch, Closed, Origin};
use millstream_model::{Sessions, Windows};

/// How often a row may come out of its windows.
const SPREAD_MAX: i64 = 100;

impl Translator<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate) -> Result<Chain, SqlProblem> {
        let mut chain = self.walk(&aggregate.input)?;
        let input = aggregate.input.schema();
        if !chain.is_stream() {
            return Err(self.problem(
                "group",
                format!("table {} is grouped", chain.name),
                Some("join it with a stream first"),
            ));
        }
        if chain.is_over_time() {
            return Err(self.problem(
                "group",
                "what OVER (…) gives is grouped, which does not run yet",
                Some("publish it to a topic with a watermark and aggregate that by windows"),
            ));
        }
        if matches!(&chain.closed, Some(Closed { from: Origin::Over(_), .. })) {
            return Err(self.problem(
                "group",
                "what OVER (…) gives is grouped in the same query, which does not run yet",
                Some("write what is inside as a transform of its own, with emit: { on_update: … }, and group its rows in another"),
            ));
        }
        if chain.is_joined() {
            return Err(self.problem(
                "group",
                "the result of a join is grouped, whose rows come when they are found",
                Some("write the join as a transform of its own: groups without windows (emit: { on_update: 5s }) read it there, windows by a topic with a watermark"),
            ));
        }
        if matches!(&chain.closed, Some(Closed { from: Origin::Join { .. }, .. })) {
            return Err(self.problem(
                "group",
                "the rows of windows that are joined are grouped, which does not run yet",
                Some("group each side before they are joined, or publish the join to a topic with a watermark and aggregate that"),
            ));
        }
        if chain.closed.is_some() {
            return Err(self.problem(
                "group",
                "a second GROUP BY over the first does not run yet",
                Some("publish the first result to a topic and aggregate that"),
            ));
        }
        let by = self.group_by(aggregate)?;
        let traces: Vec<Trace> = by.exprs.iter().map(|e| trace(e, input, &chain.trace)).collect();
        let windowed = traces.iter().any(|t| matches!(t, Trace::WindowStart | Trace::WindowEnd));
        let kept = chain.window.is_none() && self.options.update_ms.is_some();
        let grouped = match chain.window.clone() {
            // Kept up to date, for a time or for ever.
            None if kept => Some(match self.groups_for() {
                Some(span) => self.kept_for(&chain, !by.sets.is_empty(), span)?,
                None => {
                    self.keep_used.set(true);
                    Grouped::Windows(Windows::endless())
                }
            }),
            grouped => grouped.filter(|_| windowed),
        };
        let Some(grouped) = grouped else {
            if chain.is_union() && aggregate.aggr_expr.is_empty() {
                let text = "UNION drops rows that are there already, and would have to remember all of them";
                return Err(self.problem(
                    "union",
                    text,
                    Some("write UNION ALL; repeats are dropped by type: dedupe, or remembered for ever with emit: { on_update: 5s }"),
                ));
            }
            if let Some(word) = self.set_operation().filter(|_| aggregate.aggr_expr.is_empty()) {
                let text = "INTERSECT and EXCEPT compare all rows that ever come, and drop repeats";
                let help = "ask for rows of the same window, or near in time: WHERE EXISTS (SELECT 1 FROM … WHERE …), or NOT EXISTS";
                return Err(self.problem(word, text, Some(help)));
            }
            let text = "the result of this aggregation is never final, since the stream has no end";
            let help = "read FROM TUMBLE(input, time_column, INTERVAL '5 minutes') and group by window_start, window_end too; or keep it up to date, emit: { on_update: 5s } beside sql";
            let word = if self.sql.to_ascii_lowercase().contains("distinct") && aggregate.aggr_expr.is_empty()
            {
                "distinct"
            } else {
                "group"
            };
            return Err(self.problem(word, text, Some(help)));
        };
        // Groups without windows are placed alike, whatever they are kept for.
        let placed = if kept { &Grouped::Windows(Windows::endless()) } else { &grouped };
        self.check_sets(&chain, placed, &by, &traces)?;
        if chain.latest.is_some() && !by.sets.is_empty() {
            let text =
                "several groupings at once over rows that take the place of earlier ones do not run yet";
            return Err(self.problem("group", text, Some("write a query for each")));
        }
        let computed = by.exprs.iter().zip(&traces).filter(|(_, t)| **t == Trace::Other);
        chain.use_bounds(computed.map(|(e, _)| *e).chain(&aggregate.aggr_expr), input);
        if chain.in_sessions() && chain.bounds_used {
            return Err(self.problem(
                "session",
                "a session's bounds are known when it is over, and the query computes with them before",
                Some("compute with window_start and window_end behind the GROUP BY"),
            ));
        }
        let mut keys = Vec::new();
        let mut output = Vec::new();
        for (expr, trace) in by.exprs.iter().zip(&traces) {
            output.push(match trace {
                Trace::WindowStart => OutputColumn::WindowStart,
                Trace::WindowEnd => OutputColumn::WindowEnd,
                _ => {
                    keys.push(self.expr(expr, input)?);
                    OutputColumn::Key(keys.len() - 1)
                }
            });
        }
        let sets = self.grouping_sets(aggregate, &by, &traces)?;
        // The number of the set is a key behind the others.
        output.extend(sets.field().map(|_| OutputColumn::Key(keys.len())));
        let mut aggregates = Vec::new();
        for expr in &aggregate.aggr_expr {
            output.push(OutputColumn::Aggregate(aggregates.len()));
            aggregates.push(self.aggregate_column(expr, input)?);
        }
        let session_keys = match &grouped {
            Grouped::Windows(_) => Vec::new(),
            Grouped::Sessions(..) if kept => (0..keys.len()).collect(),
            Grouped::Sessions(_, columns) => {
                self.check_session_placement(&chain, columns)?;
                let is_key = |t: &Trace| !matches!(t, Trace::WindowStart | Trace::WindowEnd);
                let in_all = |at: usize| if by.in_all(at) { traces[at] } else { Trace::Other };
                let grouped_by = (0..traces.len()).filter(|at| is_key(&traces[*at])).map(in_all);
                let place = |column: &usize| grouped_by.clone().position(|t| t == Trace::Stream(*column));
                let places: Option<Vec<usize>> = columns.iter().map(place).collect();
                places.ok_or_else(|| {
                    let text = "the query does not group by all keys of its sessions, and would mix sessions that begin and end together";
                    let help = "group by the keys, window_start and window_end, in every set where there are several";
                    self.problem("group", text, Some(help))
                })?
            }
        };
        let sessions = matches!(grouped, Grouped::Sessions(..));
        let hidden = if sessions { self.session_columns()? } else { Vec::new() };
        let own_key = sessions.then(|| Field::new("session", DataType::Int64, false));
        let all: Vec<&AggregateColumn> = aggregates.iter().chain(&hidden).collect();
        let (group_schema, state_schema) = state_schemas(&keys, [sets.field(), own_key], &all, input.inner())
            .map_err(|e| self.explained(&e))?;
        self.check_spread(&chain, chain.bounds_used)?;
        let spread = chain.bounds_used;
        for step in &mut chain.branch().before {
            if let Step::Window(window) = step {
                window.late = Some(self.options.late.clone());
                window.spread = spread;
            }
        }
        // What some sets do not hold is null there.
        chain.trace = traces;
        let in_some = (0..chain.trace.len()).filter(|at| !by.in_all(*at));
        in_some.for_each(|at| chain.trace[at] = Trace::Other);
        chain.trace.resize(output.len(), Trace::Other);
        let plan = AggregatePlan {
            late: self.options.late.clone(),
            keys,
            sets: Arc::new(sets),
            aggregates,
            hidden,
            group_schema,
            state_schema,
            output,
            schema: Arc::clone(aggregate.schema.inner()),
            key_groups: self.options.key_groups,
            placed_by: Vec::new(),
        };
        let latest = chain.latest.take();
        chain.branch().aggregate = Some(match grouped {
            Grouped::Windows(_) if let Some(Latest { schema, identity, .. }) = latest => {
                let steps = chain.branch().before.split_off(1);
                let row_wise =
                    |step: &Step| matches!(step, Step::Scan { .. } | Step::Filter(_) | Step::Project { .. });
                if !steps.iter().all(row_wise) {
                    return Err(self.takes_places(&chain, "select"));
                }
                Aggregation::Latest(Box::new(LatestGroups::new(plan, steps, schema, identity)))
            }
            Grouped::Windows(windows) => {
                let early = self.options.update_ms.is_some();
                Aggregation::Windows(WindowAggregate::new(plan, windows, early))
            }
            Grouped::Sessions(sessions, _) => {
                Aggregation::Sessions(SessionAggregate::new(plan, sessions, session_keys, kept))
            }
        });
        chain.closed = Some(Closed { from: Origin::Branch(0), after: Vec::new() });
        Ok(chain)
    }

    /// How groups without windows are kept that are let go of when no row has come for so many milliseconds.
    fn kept_for(&self, chain: &Chain, has_sets: bool, span: i64) -> Result<Grouped, SqlProblem> {
        self.keep_used.set(true);
        if has_sets {
            let text =
                "several groupings at once are kept for ever: when the last row of each came is not known";
            let help = "say keep: forever, or take keep away; or write a query for each";
            return Err(self.problem("group", text, Some(help)));
        }
        let is_timed = |branch: &Branch| branch.before.iter().any(|step| matches!(step, Step::Timed(_)));
        let mut read =
            chain.branches.iter().filter(|branch| matches!(branch.before.first(), Some(Step::Scan { .. })));
        if chain.is_union() && !read.all(is_timed) {
            let text =
                format!("how long groups are kept is said in event time, and one of {} has none", chain.name);
            let help = "give the topics of all of them a watermark; or say keep: forever";
            return Err(self.problem("group", text, Some(help)));
        }
        if chain.latest.is_some() {
            let text = format!(
                "groups of {}, whose rows take the place of each other, are kept for ever",
                chain.name
            );
            return Err(self.problem("group", text, Some("say keep: forever, or take keep away")));
        }
        if event_time_of(&chain.relation).is_none() {
            let text = format!("how long groups are kept is said in event time, and {} has none", chain.name);
            return Err(self.problem(
                "group",
                text,
                Some("give its topic a watermark; or say keep: forever"),
            ));
        }
        match Sessions::new(span) {
            Ok(sessions) => Ok(Grouped::Sessions(sessions, Vec::new())),
            Err(error) => Err(self.problem("group", format!("keep: {error}"), None)),
        }
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

    /// A row that comes out for each of its windows comes out so often.
    pub(super) fn check_spread(&self, chain: &Chain, spreads: bool) -> Result<(), SqlProblem> {
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
    pub(super) fn check_placed(
        &self,
        chain: &Chain,
        traces: &[Trace],
        word: &str,
        clause: &str,
    ) -> Result<(), SqlProblem> {
        let Relation::Stream { partitioned_by: Some(columns), schema, .. } = &chain.relation else {
            return Ok(());
        };
        if columns.is_empty() {
            return Err(self.keyless(chain, word));
        }
        for column in columns {
            let index = schema.index_of(column).ok();
            if !traces.iter().any(|t| matches!((t, index), (Trace::Stream(i), Some(j)) if *i == j)) {
                if chain.is_union() {
                    let text = format!(
                        "{} are put together, and the keys of their topics are not among what the query does {clause}, or not the same in each: equal rows could lie in several partitions",
                        chain.name
                    );
                    let help = format!(
                        "{clause} the columns of one key that all have, or publish them to one topic"
                    );
                    return Err(self.problem(word, text, Some(&help)));
                }
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

    /// A topic of several partitions whose rows may lie in any.
    pub(super) fn keyless(&self, chain: &Chain, word: &str) -> SqlProblem {
        let text = format!(
            "{} has several partitions and no key: rows that belong together lie anywhere",
            chain.name
        );
        self.problem(word, text, Some("give its topic a `key`, or one partition"))
    }

    /// So must the rows of a session be.
    fn check_session_placement(&self, chain: &Chain, keys: &[usize]) -> Result<(), SqlProblem> {
        let Relation::Stream { partitioned_by: Some(columns), schema, .. } = &chain.relation else {
            return Ok(());
        };
        if columns.is_empty() {
            return Err(self.keyless(chain, "session"));
        }
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
        let expr = &ordered_once(expr);
        let lowered = LoweredAggregateBuilder::new(expr, input, input.as_arrow(), &self.props, &self.context)
            .build()
            .map_err(|e| self.explained(&e))?;
        let function = lowered.aggregate;
        let arguments = function
            .expressions()
            .into_iter()
            .chain(function.order_bys().iter().map(|s| Arc::clone(&s.expr)));
        let state_columns = function.state_fields().map_err(|e| self.explained(&e))?.len();
        let arguments: Result<_, _> = arguments.map(|made| checked(made, input.as_arrow())).collect();
        let column = AggregateColumn {
            arguments: arguments.map_err(|e| self.explained(&e))?,
            filter: lowered
                .filter
                .map(|made| checked(made, input.as_arrow()))
                .transpose()
                .map_err(|e| self.explained(&e))?,
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

/// A call of an aggregate that is ordered by the same thing twice: what comes again changes nothing, and some accumulators count on
/// it that nothing does.
fn ordered_once(expr: &Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => {
            Expr::Alias(Alias { expr: Box::new(ordered_once(&alias.expr)), ..alias.clone() })
        }
        Expr::AggregateFunction(call) => {
            let mut call = call.clone();
            let mut seen = Vec::new();
            call.params.order_by.retain(|sort| {
                let is_new = !seen.contains(&sort.expr);
                seen.push(sort.expr.clone());
                is_new
            });
            Expr::AggregateFunction(call)
        }
        other => other.clone(),
    }
}

/// The schemas of groups and of state rows.
fn state_schemas(
    keys: &[Arc<dyn PhysicalExpr>],
    own_keys: [Option<Field>; 2],
    aggregates: &[&AggregateColumn],
    input: &Schema,
) -> Result<(SchemaRef, SchemaRef), DataFusionError> {
    let group = Field::new("group", DataType::UInt32, false);
    let mut key_fields = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        key_fields.push(Field::new(format!("key_{i}"), key.data_type(input)?, true));
    }
    key_fields.extend(own_keys.into_iter().flatten());
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
