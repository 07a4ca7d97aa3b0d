//! `TUMBLE(input, time, size)` in a FROM clause: planned here, as a window node over its input, with the places of its
//! arguments kept for errors.

use std::sync::Arc;

use datafusion_common::{
    DFSchema, DataFusionError, Diagnostic, Result, ScalarValue, Span, plan_datafusion_err,
};
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, Extension, LogicalPlan};
use datafusion_sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Spanned, TableFactor,
};

use super::window_node::StreamWindow;

/// Plans window functions in FROM clauses.
#[derive(Debug)]
pub(super) struct WindowFunctions;

fn error(text: String, at: &impl Spanned) -> DataFusionError {
    let span = Span::try_from_sqlparser_span(at.span());
    plan_datafusion_err!("{text}").with_diagnostic(Diagnostic::new_error(text, span))
}

const USE: &str = "write TUMBLE(input, time_column, INTERVAL '5 minutes')";

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
        match function.as_str() {
            "tumble" => {}
            "hop" | "cumulate" | "session" => {
                let text =
                    format!("{} windows do not run yet; TUMBLE does: {USE}", function.to_ascii_uppercase());
                return Err(error(text, name));
            }
            _ => return Err(error(format!("there is no table function {name}; {USE}"), name)),
        }
        let arguments: Option<Vec<&SqlExpr>> = args
            .args
            .iter()
            .map(|a| match a {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
                _ => None,
            })
            .collect();
        let Some(&[input, time, size]) = arguments.as_deref() else {
            return Err(error(format!("TUMBLE takes three arguments: {USE}"), name));
        };
        let input = context.plan(input_relation(input, &relation)?)?;
        let column = match context.sql_to_expr(time.clone(), input.schema())? {
            Expr::Column(column) => column,
            _ => return Err(error(format!("the time of TUMBLE is a column of its input; {USE}"), time)),
        };
        let size_ms = interval_ms(&context.sql_to_expr(size.clone(), &DFSchema::empty())?)
            .map_err(|text| error(text, size))?;
        let windows = millstream_model::Tumbling::new(size_ms).map_err(|e| error(e.to_string(), size))?;
        let node = StreamWindow::new(input, column, windows).map_err(|text| error(text, time))?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// The first argument as something that can stand in a FROM clause.
fn input_relation(input: &SqlExpr, function: &TableFactor) -> Result<TableFactor> {
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
            format!("the first argument of TUMBLE is an input or a query in brackets; {USE}"),
            other,
        )),
    }
}

/// An interval's length in milliseconds.
fn interval_ms(size: &Expr) -> Result<i64, String> {
    const DAY_MS: i64 = 86_400_000;
    match size {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            if interval.months != 0 {
                return Err(
                    "a window's size is not a number of months, whose length varies; give it in days"
                        .to_owned(),
                );
            }
            if interval.nanoseconds % 1_000_000 != 0 {
                return Err("a window's size is a whole number of milliseconds".to_owned());
            }
            Ok(i64::from(interval.days) * DAY_MS + interval.nanoseconds / 1_000_000)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => {
            Ok(i64::from(interval.days) * DAY_MS + i64::from(interval.milliseconds))
        }
        _ => Err(format!("a window's size is an interval; {USE}")),
    }
}
