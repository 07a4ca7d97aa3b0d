//! Functions OVER the rows of a stream in the order of their event time, in a query's chain: which frames can move with a
//! stream, what is kept for them, and what is refused with the form that runs.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, NullTreatment, WindowFunction};
use datafusion_expr::{
    Expr, ExprSchemable, LogicalPlan, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion_physical_expr::aggregate::AggregateExprBuilder;
use datafusion_physical_expr::{PhysicalExpr, expressions};
use millstream_model::time::SPAN_MS_MAX;

use super::interval::{span_of, time_of};
use super::over::strip_alias;
use super::{Chain, Trace, Translator, trace};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::over_time::{
    Call, Frame, Function, KEYS_MAX, OverPlan, OverTime, PastPlan, Total, has_order, is_bounded, kept_as,
};
use crate::op::row_key;
use crate::sql::Relation;
use crate::sql::aggregates;
use crate::sql::problem::SqlProblem;
use crate::sql::query::{Closed, Origin};

/// How many rows back a function may look.
const ROWS_BACK_MAX: u64 = 100_000;

const FRAMES: &str = "frames that run: RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW (or AND INTERVAL … FOLLOWING), ROWS BETWEEN 9 PRECEDING AND CURRENT ROW, and from UNBOUNDED PRECEDING to CURRENT ROW";

/// The rows that go into the functions: the query's columns, and behind them what functions are computed from.
struct Rows<'a> {
    input: &'a DFSchema,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<Arc<Field>>,
}

impl Rows<'_> {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.clone()))
    }
}

/// What a column behind some of the functions is.
#[derive(Clone)]
enum Given {
    /// This of the rows that come.
    Rows(Expr),
    /// The value of this function.
    Value(usize),
}

/// A part whose functions are being gathered.
struct Part {
    keys: Vec<usize>,
    order: Vec<(usize, SortOptions)>,
    functions: Vec<Function>,
    kept: Vec<usize>,
    doubles: Vec<bool>,
}

impl Part {
    /// The place of a column among those that are kept.
    fn keep(&mut self, column: usize) -> usize {
        self.kept.iter().position(|kept| *kept == column).unwrap_or_else(|| {
            self.kept.push(column);
            self.kept.len() - 1
        })
    }
}

impl Translator<'_> {
    /// The functions of several nodes, the innermost first, over the rows of a stream; with what is selected between them.
    pub(super) fn over_time(
        &self,
        mut chain: Chain,
        nodes: &[LogicalPlan],
        input: &DFSchema,
    ) -> Result<Chain, SqlProblem> {
        let refuse = |message: String, help: &str| Err(self.problem("over", message, Some(help)));
        let Relation::Stream { event_time: Some(declared), .. } = &chain.relation else {
            let message = format!("OVER (…) goes by event time, and {} has none", chain.name);
            return refuse(message, "give its topic a watermark");
        };
        let Some(time) = time_of(&chain) else {
            // It is read by none of them, or is not as it came.
            let calls = nodes.iter().flat_map(|node| match node {
                LogicalPlan::Window(node) => node.window_expr.as_slice(),
                _ => &[],
            });
            let orders = calls.map(strip_alias).find_map(|expr| match expr {
                Expr::WindowFunction(call) => Some(self.other_order(call, declared)),
                _ => None,
            });
            return match orders {
                Some(problem) => Err(problem),
                None => {
                    refuse(format!("OVER (…) goes by {declared}, which is not selected"), "select it too")
                }
            };
        };
        let column = |(at, field): (usize, &Arc<Field>)| -> Arc<dyn PhysicalExpr> {
            Arc::new(expressions::Column::new(field.name(), at))
        };
        let fields = input.fields().iter().cloned().collect::<Vec<_>>();
        let exprs = fields.iter().enumerate().map(column).collect();
        let mut rows = Rows { input, exprs, fields };
        let passed = rows.fields.len();
        let mut parts: Vec<Part> = Vec::new();
        let mut values: Vec<Arc<Field>> = Vec::new();
        let mut columns: Vec<Given> =
            input.columns().into_iter().map(|column| Given::Rows(Expr::Column(column))).collect();
        for node in nodes {
            match node {
                LogicalPlan::Window(node) => {
                    let mut given = Vec::new();
                    for expr in &node.window_expr {
                        let of_rows = self.of_rows(strip_alias(expr), node.input.schema(), &columns)?;
                        let Expr::WindowFunction(call) = &of_rows else {
                            return refuse(format!("{expr} is no call of a function OVER (…)"), FRAMES);
                        };
                        let at = self.part(&mut parts, call, &mut rows, (&chain, time))?;
                        let name = expr.schema_name().to_string();
                        let kind = expr.get_type(node.input.schema()).map_err(|e| self.explained(&e))?;
                        let (call, frame, doubles) = self.over_call(call, &mut rows, &mut parts[at])?;
                        let output = values.len();
                        values.push(Arc::new(Field::new(&name, kind.clone(), true)));
                        parts[at].functions.push(Function { name, call, frame, kind, output });
                        parts[at].doubles.push(doubles);
                        given.push(Given::Value(output));
                    }
                    columns.extend(given);
                }
                LogicalPlan::Projection(node) => {
                    let given = |expr: &Expr| match strip_alias(expr) {
                        Expr::Column(column) => {
                            let at = node.input.schema().index_of_column(column);
                            at.map(|at| columns[at].clone()).map_err(|e| self.explained(&e))
                        }
                        other => self.of_rows(other, node.input.schema(), &columns).map(Given::Rows),
                    };
                    columns = node.expr.iter().map(given).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        if parts.len() > KEYS_MAX {
            let message = format!("rows are divided in {} ways; the bound is {KEYS_MAX}", parts.len());
            return refuse(message, "publish the result of some functions to a topic, and go on from that");
        }
        let schema = rows.schema();
        let ordered = |part: &Part| {
            !part.order.is_empty() || part.functions.iter().any(|function| !function.equals_share())
        };
        if parts.iter().any(ordered) && !has_order(schema.fields().iter().map(|f| f.data_type().clone())) {
            return refuse(
                "rows of equal times are told apart by their columns, and one of them is of a type that has no order".to_owned(),
                "select the columns that are wanted before: FROM (SELECT … FROM …)",
            );
        }
        if schema.fields().len() > passed {
            chain.push(Step::Project { exprs: rows.exprs, schema: Arc::clone(&schema) });
        }
        let is_as_given = |(at, given): (usize, &Given)| match given {
            Given::Rows(Expr::Column(column)) => input.index_of_column(column).is_ok_and(|row| row == at),
            Given::Rows(_) => false,
            Given::Value(value) => passed + value == at,
        };
        let as_given = columns.len() == passed + values.len() && columns.iter().enumerate().all(is_as_given);
        let last = nodes.last().map_or(&schema, |node| node.schema().inner());
        let given: Vec<Arc<Field>> = schema.fields().iter().take(passed).chain(&values).cloned().collect();
        let plan = OverPlan {
            late: self.options.late.clone(),
            time,
            rows: Arc::clone(&schema),
            passed,
            schema: if as_given { Arc::clone(last) } else { Arc::new(Schema::new(given)) },
            key_groups: self.options.key_groups,
        };
        let parts = parts.into_iter().map(|Part { keys, order, functions, kept, doubles }| PastPlan {
            keys,
            order,
            functions,
            kept,
            doubles,
            schema: Arc::clone(&schema),
        });
        let over = OverTime::new(plan, parts.collect())
            .map_err(|e| self.problem("over", format!("OVER (…) over these types: {e}"), None))?;
        let column = |given: &Given| -> Result<Arc<dyn PhysicalExpr>, SqlProblem> {
            match given {
                Given::Rows(expr) => self.expr(expr, input),
                Given::Value(at) => Ok(Arc::new(expressions::Column::new(values[*at].name(), passed + at))),
            }
        };
        let exprs = columns.iter().map(column).collect::<Result<_, _>>()?;
        chain.trace = vec![Trace::Other; columns.len()];
        chain.branch().aggregate = Some(Aggregation::Over(Box::new(over)));
        let project = Step::Project { exprs, schema: Arc::clone(last) };
        let after = if as_given { Vec::new() } else { vec![project] };
        chain.closed = Some(Closed { from: Origin::Branch(0), after });
        Ok(chain)
    }

    /// An expression over the rows that come, given what its columns are. A function is computed from those, and not from what
    /// another gives.
    fn of_rows(&self, expr: &Expr, schema: &DFSchema, columns: &[Given]) -> Result<Expr, SqlProblem> {
        let mut is_given = false;
        let replaced = expr.clone().transform(|expr| {
            let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
            match &columns[schema.index_of_column(column)?] {
                Given::Rows(expr) => Ok(Transformed::yes(expr.clone())),
                Given::Value(_) => {
                    is_given = true;
                    Ok(Transformed::no(expr))
                }
            }
        });
        if is_given {
            return Err(self.problem(
                "over",
                "OVER (…) goes over what another OVER (…) gives, which does not run yet",
                Some("publish the first result to a topic with a watermark, and go on from that"),
            ));
        }
        replaced.map(|found| found.data).map_err(|e| self.explained(&e))
    }

    /// The place of an expression among the columns that go in; a new column, where it is none of them.
    fn place(&self, expr: &Expr, rows: &mut Rows<'_>) -> Result<usize, SqlProblem> {
        if let Expr::Column(column) = expr
            && let Ok(at) = rows.input.index_of_column(column)
        {
            return Ok(at);
        }
        let physical = self.expr(expr, rows.input)?;
        let text = physical.to_string();
        if let Some(at) = rows.exprs.iter().position(|known| known.to_string() == text) {
            return Ok(at);
        }
        let kind = physical.data_type(rows.input.as_arrow()).map_err(|e| self.explained(&e))?;
        rows.fields.push(Arc::new(Field::new(format!("over_{}", rows.fields.len()), kind, true)));
        rows.exprs.push(physical);
        Ok(rows.fields.len() - 1)
    }

    /// The part that a function belongs to: by its PARTITION BY, and by what follows the time in its ORDER BY.
    fn part(
        &self,
        parts: &mut Vec<Part>,
        call: &WindowFunction,
        rows: &mut Rows<'_>,
        (chain, time): (&Chain, usize),
    ) -> Result<usize, SqlProblem> {
        let refuse = |message: String, help: &str| Err(self.problem("over", message, Some(help)));
        let by: Vec<Trace> =
            call.params.partition_by.iter().map(|e| trace(e, rows.input, &chain.trace)).collect();
        self.check_placed(chain, &by, "over", "partition by")?;
        let mut keys = Vec::new();
        for expr in &call.params.partition_by {
            let at = self.place(expr, rows)?;
            row_key::check_type(&rows.fields[at]).map_err(|text| self.problem("over", text, None))?;
            keys.push(at);
        }
        let name = rows.fields[time].name().clone();
        let Some((first, then)) = call.params.order_by.split_first() else {
            return Err(self.other_order(call, &name));
        };
        let is_time = matches!(&first.expr, Expr::Column(column) if rows.input.index_of_column(column).is_ok_and(|at| at == time));
        if !is_time {
            return Err(self.other_order(call, &name));
        }
        if !first.asc {
            let message =
                format!("{} begins with the latest row, and later ones are to come", call.fun.name());
            return refuse(message, &format!("ORDER BY {name}, the earliest first"));
        }
        let mut order = Vec::new();
        for sort in then {
            let options = SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first };
            order.push((self.place(&sort.expr, rows)?, options));
        }
        let known = parts.iter().position(|part| part.keys == keys && part.order == order);
        Ok(known.unwrap_or_else(|| {
            let (functions, kept, doubles) = (Vec::new(), Vec::new(), Vec::new());
            parts.push(Part { keys, order, functions, kept, doubles });
            parts.len() - 1
        }))
    }

    /// A function is not in the order of event time.
    fn other_order(&self, call: &WindowFunction, time: &str) -> SqlProblem {
        let name = call.fun.name();
        let (message, help) = match call.params.order_by.first() {
            None => (
                format!(
                    "{name} without ORDER BY goes over all rows of its key, of which later ones are to come"
                ),
                format!("OVER (PARTITION BY … ORDER BY {time} …) goes by time; {FRAMES}"),
            ),
            Some(first) => (
                format!(
                    "{name} is ordered by {}, and a stream's rows are in order by their event time alone",
                    first.expr
                ),
                format!(
                    "ORDER BY {time}, as it comes; or rank what an aggregation gives for a window: … OVER (PARTITION BY window_start, window_end ORDER BY …) FROM (SELECT … GROUP BY key, window_start, window_end)"
                ),
            ),
        };
        self.problem("over", message, Some(&help))
    }

    /// What a function computes, over which frame, and whether it adds up doubles.
    fn over_call(
        &self,
        call: &WindowFunction,
        rows: &mut Rows<'_>,
        part: &mut Part,
    ) -> Result<(Call, Frame, bool), SqlProblem> {
        let (name, params) = (call.fun.name().to_owned(), &call.params);
        let word = name.as_str();
        let refuse = |message: String, help: &str| Err(self.problem(word, message, Some(help)));
        if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
            return refuse(
                format!("{name} IGNORE NULLS could look at any earlier row"),
                "take such rows away before: FROM (SELECT … WHERE column IS NOT NULL)",
            );
        }
        let frame = || self.frame(call);
        let WindowFunctionDefinition::AggregateUDF(function) = &call.fun else {
            let column = |rows: &mut Rows<'_>, part: &mut Part| -> Result<usize, SqlProblem> {
                let nothing = || self.problem(word, format!("{name} of nothing"), None);
                let place = self.place(params.args.first().ok_or_else(nothing)?, rows)?;
                Ok(part.keep(place))
            };
            return Ok(match word {
                "row_number" => (Call::RowNumber, Frame::Ever { with_equals: false }, false),
                "rank" => (Call::Rank, Frame::Ever { with_equals: true }, false),
                "dense_rank" => (Call::DenseRank, Frame::Ever { with_equals: true }, false),
                "lag" => {
                    let wanted = self.whole(params.args.get(1), 1, word)?;
                    let back = u64::try_from(wanted).ok().filter(|back| *back <= ROWS_BACK_MAX);
                    let Some(back) = back else {
                        return refuse(
                            format!("lag looks {wanted} rows back; the bounds are 0 and {ROWS_BACK_MAX}"),
                            "ask for an earlier row, not too far back",
                        );
                    };
                    let value = column(rows, part)?;
                    let kind = rows.fields[part.kept[value]].data_type().clone();
                    let default = self.default_of(params.args.get(2), &kind, word)?;
                    (
                        Call::Lag { value, rows: back, default },
                        Frame::Rows { before: back, until: back },
                        false,
                    )
                }
                "first_value" => (Call::Nth { value: column(rows, part)?, number: 1 }, frame()?, false),
                "last_value" => (Call::Last { value: column(rows, part)? }, frame()?, false),
                "nth_value" => {
                    let number = self.whole(params.args.get(1), 1, word)?;
                    let Some(number) = u64::try_from(number).ok().filter(|number| *number > 0) else {
                        return refuse(
                            format!("nth_value of row {number}: rows are counted from 1"),
                            "nth_value(x, 1) is the first of the frame",
                        );
                    };
                    (Call::Nth { value: column(rows, part)?, number }, frame()?, false)
                }
                "lead" => {
                    return refuse(
                        "lead waits for a later row of its key, which may never come".to_owned(),
                        "look back from the later row with lag; or ask for what comes within a time: first_value(x) OVER (… RANGE BETWEEN INTERVAL '1 millisecond' FOLLOWING AND INTERVAL '1 hour' FOLLOWING)",
                    );
                }
                _ => {
                    return refuse(
                        format!("{name} goes over all rows of its key, of which later ones are to come"),
                        "over the rows of a window it runs: … OVER (PARTITION BY window_start, window_end ORDER BY …) FROM (SELECT … GROUP BY key, window_start, window_end); on a stream row_number, rank and dense_rank by time do",
                    );
                }
            });
        };
        let frame = frame()?;
        let as_aggregate = AggregateFunction::new_udf(
            Arc::clone(function),
            params.args.clone(),
            params.distinct,
            params.filter.clone(),
            Vec::new(),
            params.null_treatment,
        );
        if let Some((message, help)) = aggregates::refusal_over(&as_aggregate) {
            return Err(self.problem(word, message, help));
        }
        let is_ever = matches!(frame, Frame::Ever { .. });
        if is_ever && (!is_bounded(word) || (params.distinct && word == "count")) {
            let what = if params.distinct { format!("{name}(DISTINCT …)") } else { name.clone() };
            return refuse(
                format!("{what} from UNBOUNDED PRECEDING keeps all values of each key for ever"),
                "say how far back it goes: RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW",
            );
        }
        let filter = params.filter.as_ref().map(|filter| self.place(filter, rows)).transpose()?;
        let filter = filter.map(|at| part.keep(at));
        let total = match word {
            "count" if !params.distinct => Some(Total::Count),
            "sum" => Some(Total::Sum),
            "avg" => Some(Total::Mean),
            "min" => Some(Total::Least),
            "max" => Some(Total::Greatest),
            _ => None,
        };
        if let (Some(total), [argument]) = (total, params.args.as_slice()) {
            let kind = argument.get_type(rows.input).map_err(|e| self.explained(&e))?;
            let always = matches!(argument, Expr::Literal(value, _) if !value.is_null());
            if total == Total::Count {
                let value = if always { None } else { Some(self.place(argument, rows)?) };
                let value = value.map(|at| part.keep(at));
                return Ok((Call::Total { total, value, filter }, frame, false));
            }
            let adds = match total {
                Total::Sum => matches!(
                    kind,
                    DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Decimal128(..)
                ),
                Total::Mean => matches!(kind, DataType::Float64 | DataType::Decimal128(..)),
                _ => kept_as(&kind).is_some(),
            };
            if adds {
                let doubles = kept_as(&kind) == Some(DataType::Float64);
                let place = self.place(argument, rows)?;
                let value = Some(part.keep(place));
                return Ok((Call::Total { total, value, filter }, frame, doubles));
            }
        }
        let mut values = Vec::new();
        let mut arguments: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for argument in &params.args {
            let place = self.place(argument, rows)?;
            values.push(part.keep(place));
            arguments.push(Arc::new(expressions::Column::new(rows.fields[place].name(), place)));
        }
        let mut builder =
            AggregateExprBuilder::new(Arc::clone(function), arguments).schema(rows.schema()).alias(&name);
        if params.distinct {
            builder = builder.distinct();
        }
        let function = builder.build().map_err(|e| self.explained(&e))?;
        let made = function.create_accumulator();
        made.map_err(|e| {
            self.problem(word, format!("{name} does not run on these types: {}", e.strip_backtrace()), None)
        })?;
        Ok((Call::Aggregate { function: Arc::new(function), values, filter }, frame, false))
    }

    /// The frame of a function.
    fn frame(&self, call: &WindowFunction) -> Result<Frame, SqlProblem> {
        let (frame, name) = (&call.params.window_frame, call.fun.name());
        let refuse = |message: String, help: &str| Err(self.problem("over", message, Some(help)));
        let (start, end) = (&frame.start_bound, &frame.end_bound);
        let at_current = matches!(end, WindowFrameBound::CurrentRow);
        if matches!(end, WindowFrameBound::Following(to) if to.is_null()) {
            let message =
                format!("the frame of {name} reaches to UNBOUNDED FOLLOWING, and later rows are to come");
            return refuse(message, FRAMES);
        }
        if matches!(start, WindowFrameBound::Preceding(from) if from.is_null()) {
            let with_equals = frame.units != WindowFrameUnits::Rows;
            if at_current && frame.units != WindowFrameUnits::Groups {
                return Ok(Frame::Ever { with_equals });
            }
            let message = format!(
                "the frame of {name} begins with the first row of its key and ends elsewhere than at CURRENT ROW, so that rows would have to be kept for ever"
            );
            return refuse(message, "end it at CURRENT ROW, or say how far back it goes");
        }
        match frame.units {
            WindowFrameUnits::Range => {
                if call.params.order_by.len() > 1 {
                    let message =
                        format!("the frame of {name} goes by time, and its ORDER BY by more than that");
                    return refuse(message, "ORDER BY the event time alone, or say ROWS");
                }
                let ms = |bound: &WindowFrameBound| match bound {
                    WindowFrameBound::CurrentRow => Some(0),
                    WindowFrameBound::Preceding(span) => span_of(span).map(|ms| -ms),
                    WindowFrameBound::Following(span) => span_of(span),
                };
                match (ms(start), ms(end)) {
                    (Some(from), Some(to)) if from > to => refuse(
                        format!("the frame of {name} ends before it begins"),
                        "write the earlier bound first",
                    ),
                    (Some(from), Some(to)) if from.abs().max(to.abs()) <= SPAN_MS_MAX => {
                        Ok(Frame::Time { before_ms: -from, after_ms: to })
                    }
                    _ => refuse(
                        format!(
                            "the frame of {name} has a bound that is no interval of days or less in whole milliseconds"
                        ),
                        FRAMES,
                    ),
                }
            }
            WindowFrameUnits::Rows => {
                let back = |bound: &WindowFrameBound| match bound {
                    WindowFrameBound::CurrentRow => Some(0),
                    WindowFrameBound::Preceding(ScalarValue::UInt64(rows)) => *rows,
                    WindowFrameBound::Following(ScalarValue::UInt64(Some(0))) => Some(0),
                    _ => None,
                };
                match (back(start), back(end)) {
                    (Some(before), Some(until)) if until > before => refuse(
                        format!("the frame of {name} ends before it begins"),
                        "write the earlier bound first",
                    ),
                    (Some(before), Some(until)) if before <= ROWS_BACK_MAX => {
                        Ok(Frame::Rows { before, until })
                    }
                    (Some(before), Some(_)) => refuse(
                        format!(
                            "the frame of {name} begins {before} rows back; the bound is {ROWS_BACK_MAX}"
                        ),
                        "say how far back it goes in time: RANGE BETWEEN INTERVAL …",
                    ),
                    _ => refuse(
                        format!("the frame of {name} waits for later rows of its key, which may never come"),
                        "say for how long: RANGE BETWEEN … AND INTERVAL '1 hour' FOLLOWING",
                    ),
                }
            }
            WindowFrameUnits::Groups => {
                refuse(format!("the frame of {name} counts GROUPS, which does not run on a stream"), FRAMES)
            }
        }
    }

    /// A whole number among the arguments.
    fn whole(&self, argument: Option<&Expr>, otherwise: i64, word: &str) -> Result<i64, SqlProblem> {
        let Some(argument) = argument else { return Ok(otherwise) };
        let value = match strip_alias(argument) {
            Expr::Literal(value, _) => value.cast_to(&DataType::Int64).ok(),
            _ => None,
        };
        match value {
            Some(ScalarValue::Int64(Some(value))) => Ok(value),
            _ => Err(self.problem(
                word,
                format!("{word} counts rows by {argument}"),
                Some("write a whole number"),
            )),
        }
    }

    /// What stands where there is no row.
    fn default_of(
        &self,
        argument: Option<&Expr>,
        kind: &DataType,
        word: &str,
    ) -> Result<ScalarValue, SqlProblem> {
        let null = ScalarValue::Null;
        let value = match argument.map(strip_alias) {
            None => &null,
            Some(Expr::Literal(value, _)) => value,
            Some(other) => {
                let message =
                    format!("{word} has {other} where there is no row, which is no value by itself");
                return Err(self.problem(
                    word,
                    message,
                    Some("write a value, or coalesce(lag(x) OVER (…), …)"),
                ));
            }
        };
        if value.is_null() {
            return ScalarValue::try_from(kind).map_err(|e| self.explained(&e));
        }
        value.cast_to(kind).map_err(|e| self.explained(&e))
    }
}
