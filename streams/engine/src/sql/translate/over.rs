//! Functions OVER the rows of closed windows, in a query's chain.

use std::sync::Arc;

use datafusion_common::DFSchema;
use datafusion_expr::expr::{Cast, NullTreatment, WindowFunction};
use datafusion_expr::logical_plan::Window;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion_physical_expr::window::WindowExpr;
use datafusion_physical_expr::{PhysicalExpr, create_physical_sort_exprs};
use datafusion_physical_plan::windows::create_window_expr;

use super::{Chain, Grouped, Trace, Translator, trace};
use crate::op::Step;
use crate::op::over::{Function, OverStep};
use crate::op::sum;
use crate::sql::problem::SqlProblem;

impl Translator<'_> {
    /// Functions OVER rows: of closed windows, or of a stream in the order of their times.
    pub(super) fn over(&self, over: &Window) -> Result<Chain, SqlProblem> {
        // All that are one behind the other, and what is selected between them.
        let mut nodes = vec![LogicalPlan::Window(over.clone())];
        let (mut at, mut input) = (&over.input, &over.input);
        loop {
            match at.as_ref() {
                LogicalPlan::Window(inner) => {
                    nodes.push(at.as_ref().clone());
                    (at, input) = (&inner.input, &inner.input);
                }
                LogicalPlan::Projection(inner) => {
                    nodes.push(at.as_ref().clone());
                    at = &inner.input;
                }
                _ => break,
            }
        }
        let windows = nodes.iter().rposition(|node| matches!(node, LogicalPlan::Window(_)));
        nodes.truncate(windows.map_or(0, |last| last + 1));
        nodes.reverse();
        let chain = self.walk(input)?;
        if chain.latest.is_some() {
            return self.over_latest(chain, &nodes, input.schema());
        }
        if chain.is_stream() && chain.closed.is_none() && chain.window.is_none() {
            return self.over_time(chain, &nodes, input.schema());
        }
        nodes.iter().try_fold(chain, |chain, node| match node {
            LogicalPlan::Window(over) => self.over_closed(chain, over),
            LogicalPlan::Projection(projection) => self.project(chain, projection),
            _ => Ok(chain),
        })
    }

    /// Functions OVER the rows of closed windows.
    fn over_closed(&self, mut chain: Chain, over: &Window) -> Result<Chain, SqlProblem> {
        let refuse = |message: &str, help: &str| Err(self.problem("over", message, Some(help)));
        let windows = match (&chain.closed, &chain.window) {
            (Some(_), Some(Grouped::Windows(windows))) => *windows,
            (Some(_), Some(Grouped::Sessions(..))) => {
                return refuse(
                    "OVER (…) wants all rows of a window, and sessions end one by one",
                    "publish the sessions to a topic and aggregate them by TUMBLE there",
                );
            }
            (Some(_), None) if chain.is_known() => {
                let what = if chain.updating.is_some() { "what is kept up to date" } else { "groups" };
                return refuse(
                    &format!(
                        "OVER (…) goes over {what} of {} in one query, which does not run yet",
                        chain.name
                    ),
                    "write what is inside as a transform of its own, with emit: { on_update: … }, and go OVER its rows in another",
                );
            }
            (Some(_), None) => {
                return refuse(
                    "OVER (…) goes over the rows of a join without windows, or over what another OVER (…) gives, which does not run yet",
                    "publish the first result to a topic with a watermark, and go on from that",
                );
            }
            (None, Some(_)) => {
                return refuse(
                    "OVER (…) goes over rows of windows that nothing has grouped, which come before their windows are over",
                    "go over the stream itself, by time; or rank what an aggregation gives: … OVER (PARTITION BY window_start, window_end ORDER BY …) FROM (SELECT … GROUP BY key, window_start, window_end)",
                );
            }
            (None, None) => {
                return refuse(
                    "OVER (…) goes over the rows of a table",
                    "a table is joined with a stream as it is when a row comes: JOIN it",
                );
            }
        };
        let step = self.over_step(over, |call, input| {
            let by: Vec<Trace> =
                call.params.partition_by.iter().map(|e| trace(e, input, &chain.trace)).collect();
            let whole = by.contains(&Trace::WindowEnd)
                || (windows.start_is_unique() && by.contains(&Trace::WindowStart));
            if !whole {
                let text = "OVER (…) goes over rows of several windows, of which later ones have not ended";
                let help = "partition by the window too: OVER (PARTITION BY window_start, window_end …)";
                return Err(self.problem("over", text, Some(help)));
            }
            self.check_placed(&chain, &by, "over", "partition by")
        })?;
        chain.trace.extend(vec![Trace::Other; step.functions.len()]);
        chain.push(Step::Over(step));
        Ok(chain)
    }

    /// The functions of a node, each of which a check lets pass.
    pub(super) fn over_step(
        &self,
        over: &Window,
        check: impl Fn(&WindowFunction, &DFSchema) -> Result<(), SqlProblem>,
    ) -> Result<OverStep, SqlProblem> {
        let input = over.input.schema();
        let mut functions = Vec::new();
        for expr in &over.window_expr {
            let Expr::WindowFunction(call) = strip_alias(expr) else {
                return Err(self.problem("over", format!("{expr} is no call of a function OVER (…)"), None));
            };
            check(call, input)?;
            let equals_share =
                matches!(call.fun.name(), "rank" | "dense_rank" | "percent_rank" | "cume_dist");
            let wide = match call.params.args.as_slice() {
                [argument] if call.fun.name() == "sum" && !call.params.distinct => {
                    let kind = argument.get_type(input).map_err(|e| self.explained(&e))?;
                    let cast = |wide| Expr::Cast(Cast::new(Box::new(argument.clone()), wide));
                    let wide =
                        sum::wide(&kind).map(|wide| self.window_function(expr, call, &[cast(wide)], input));
                    wide.transpose()?
                }
                _ => None,
            };
            let made = self.window_function(expr, call, &call.params.args, input)?;
            functions.push(Function { call: made, equals_share, wide });
        }
        Ok(OverStep { functions, schema: Arc::clone(over.schema.inner()) })
    }

    fn window_function(
        &self,
        expr: &Expr,
        call: &WindowFunction,
        arguments: &[Expr],
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
            &exprs(arguments)?,
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
}

pub(super) fn strip_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip_alias(&alias.expr),
        other => other,
    }
}
