//! `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` in a FROM clause: planned here, as a window node over their input, with the
//! places of their arguments kept for errors.

use std::sync::Arc;

use datafusion_common::{
    DFSchema, DataFusionError, Diagnostic, Result, ScalarValue, Span, plan_datafusion_err,
};
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, Extension, LogicalPlan};
use datafusion_sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Spanned, TableFactor,
};

use millstream_model::{Sessions, WindowError, Windows};

use super::window_node::{Cut, StreamWindow};

/// Plans window functions in FROM clauses.
#[derive(Debug)]
pub(super) struct WindowFunctions;

fn error(text: String, at: &impl Spanned) -> DataFusionError {
    let span = Span::try_from_sqlparser_span(at.span());
    plan_datafusion_err!("{text}").with_diagnostic(Diagnostic::new_error(text, span))
}

const USE: &str = "write TUMBLE(input, time_column, INTERVAL '5 minutes')";
const USE_HOP: &str =
    "write HOP(input, time_column, INTERVAL '1 minute', INTERVAL '5 minutes'), the slide before the size";
const USE_SESSION: &str =
    "write SESSION(input, time_column, INTERVAL '10 minutes', key_column), the gap before the key";
const USE_CUMULATE: &str =
    "write CUMULATE(input, time_column, INTERVAL '1 hour', INTERVAL '1 day'), the step before the size";

impl RelationPlanner for WindowFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(args), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let function = name.to_string().to_ascii_lowercase();
        let usage = match function.as_str() {
            "tumble" => USE,
            "hop" => USE_HOP,
            "cumulate" => USE_CUMULATE,
            "session" => USE_SESSION,
            _ => return Err(error(format!("there is no table function {name}; {USE}"), name)),
        };
        let word = function.to_ascii_uppercase();
        let arguments: Option<Vec<&SqlExpr>> = args
            .args
            .iter()
            .map(|a| match a {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
                _ => None,
            })
            .collect();
        let (input, time, every, size, keys) = match (arguments.as_deref(), function.as_str()) {
            (Some(&[input, time, size]), "tumble") => (input, time, None, size, &[][..]),
            (Some(&[input, time, every, size]), "hop" | "cumulate") => {
                (input, time, Some(every), size, &[][..])
            }
            (Some([input, time, gap, keys @ ..]), "session") => (*input, *time, None, *gap, keys),
            _ => {
                let count = match function.as_str() {
                    "tumble" => "three",
                    "session" => "three or more",
                    _ => "four",
                };
                return Err(error(format!("{word} takes {count} arguments: {usage}"), name));
            }
        };
        let input = context.plan(input_relation(input, (&word, usage), &relation)?)?;
        let mut column = |what: &str, at: &SqlExpr| match context.sql_to_expr(at.clone(), input.schema())? {
            Expr::Column(column) => Ok(column),
            _ => Err(error(format!("{what} of {word} is a column of its input; {usage}"), at)),
        };
        let time_column = column("the time", time)?;
        let keys: Result<Vec<_>> = keys.iter().map(|key| column("a key", key)).collect();
        let keys = keys?;
        let mut span = |what: &str, at: &SqlExpr| -> Result<i64> {
            let span = context.sql_to_expr(at.clone(), &DFSchema::empty())?;
            interval_ms(what, usage, &span).map_err(|text| error(text, at))
        };
        let size_ms = span(if function == "session" { "gap" } else { "size" }, size)?;
        let cut = match every {
            None if function == "session" => {
                Sessions::new(size_ms).map(|sessions| Cut::Sessions(sessions, keys))
            }
            None => Windows::tumble(size_ms).map(Cut::Windows),
            Some(every) if function == "hop" => {
                Windows::hop(span("slide", every)?, size_ms).map(Cut::Windows)
            }
            Some(every) => Windows::cumulate(span("step", every)?, size_ms).map(Cut::Windows),
        };
        let cut = cut.map_err(|e| match (&e, every) {
            (WindowError::Every { .. }, Some(every)) => error(e.to_string(), every),
            _ => error(e.to_string(), size),
        })?;
        let node = StreamWindow::new(input, time_column, cut).map_err(|text| error(text, time))?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// The first argument as something that can stand in a FROM clause.
fn input_relation(
    input: &SqlExpr,
    (word, usage): (&str, &str),
    function: &TableFactor,
) -> Result<TableFactor> {
    let table = |parts: Vec<Ident>| {
        let mut table = function.clone();
        if let TableFactor::Table { name, args, alias, .. } = &mut table {
            *name = ObjectName(parts.into_iter().map(ObjectNamePart::Identifier).collect());
            *args = None;
            *alias = None;
        }
        table
    };
    match input {
        SqlExpr::Identifier(name) => Ok(table(vec![name.clone()])),
        SqlExpr::CompoundIdentifier(names) => Ok(table(names.clone())),
        SqlExpr::Subquery(query) => {
            Ok(TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None })
        }
        other => Err(error(
            format!("the first argument of {word} is an input or a query in brackets; {usage}"),
            other,
        )),
    }
}

/// An interval's length in milliseconds.
fn interval_ms(what: &str, usage: &str, span: &Expr) -> Result<i64, String> {
    const DAY_MS: i64 = 86_400_000;
    match span {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            if interval.months != 0 {
                return Err(format!(
                    "a window's {what} is not a number of months, whose length varies; give it in days"
                ));
            }
            if interval.nanoseconds % 1_000_000 != 0 {
                return Err(format!("a window's {what} is a whole number of milliseconds"));
            }
            Ok(i64::from(interval.days) * DAY_MS + interval.nanoseconds / 1_000_000)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => {
            Ok(i64::from(interval.days) * DAY_MS + i64::from(interval.milliseconds))
        }
        _ => Err(format!("a window's {what} is an interval; {usage}")),
    }
}
