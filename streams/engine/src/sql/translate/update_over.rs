//! Functions OVER rows that take the place of each other (ADR 0084): by which rows are computed together, and what is refused.

use std::sync::Arc;

use datafusion_common::DFSchema;
use datafusion_expr::logical_plan::Projection;
use datafusion_expr::{Expr, LogicalPlan};

use super::over::strip_alias;
use super::update_join::Updating;
use super::{Chain, Latest, Trace, Translator, trace};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::row_key;
use crate::op::update_join::{UpdateOver, UpdateSide, UpdateSidePlan};
use crate::sql::problem::SqlProblem;
use crate::sql::query::{Closed, Origin};

impl Translator<'_> {
    /// Functions OVER rows of which the latest counts, one behind the other, and what is selected between them.
    pub(super) fn over_latest(
        &self,
        mut chain: Chain,
        nodes: &[LogicalPlan],
        input: &DFSchema,
    ) -> Result<Chain, SqlProblem> {
        let refuse = |message: String, help: &str| Err(self.problem("over", message, Some(help)));
        if self.options.update_ms.is_none() {
            let text = format!(
                "rows of {} take the place of earlier ones, and what is computed OVER them changes",
                chain.name
            );
            return refuse(
                text,
                "say beside sql how often what has changed is sent: emit: { on_update: 1s }",
            );
        }
        let together = self.together(nodes)?;
        if !passes(nodes, &together) {
            let text = format!(
                "what OVER (…) gives of rows of {} is gone over by columns that are computed in between",
                chain.name
            );
            let help = "write what is inside as a transform of its own, and go OVER its rows in another";
            return refuse(text, help);
        }
        let by: Vec<Trace> = together.iter().map(|expr| trace(expr, input, &chain.trace)).collect();
        self.check_placed(&chain, &by, "over", "partition by")?;
        let keys = together.iter().map(|expr| self.expr(expr, input)).collect::<Result<Vec<_>, _>>()?;
        self.check_keys(&keys, input.inner(), "over")?;
        let updating = Updating::of_rows(&chain);
        let known = updating.columns_each();
        let Some(Latest { schema: wide, identity: known_by }) = chain.latest.take() else {
            return Err(self.takes_places(&chain, "over"));
        };
        for at in &known_by {
            row_key::check_type(wide.field(*at)).map_err(|text| self.problem("over", text, None))?;
        }
        let before = chain.branch().before.split_off(1);
        let row_wise =
            |step: &Step| matches!(step, Step::Scan { .. } | Step::Filter(_) | Step::Project { .. });
        if !before.iter().all(row_wise) {
            return Err(self.takes_places(&chain, "over"));
        }
        let given = (before, Arc::clone(input.inner()));
        let plan = UpdateSidePlan::new(self.options.late.clone(), given, keys, false);
        let side = UpdateSide::new(plan.known_by(&wide, known_by, &known).with_nulls());
        chain.branch().aggregate = Some(Aggregation::Updating(Box::new(side)));
        let over = UpdateOver { steps: Vec::new(), identity: Vec::new() };
        chain.closed = Some(Closed { from: Origin::Over(Box::new(over)), after: Vec::new() });
        chain.updating = Some(updating);
        nodes.iter().try_fold(chain, |mut chain, node| match node {
            LogicalPlan::Window(window) => {
                let step = self.over_step(window, |_, _| Ok(()))?;
                chain.trace.extend(vec![Trace::Other; step.functions.len()]);
                chain.push(Step::Over(step));
                Ok(chain)
            }
            LogicalPlan::Projection(projection) => self.project(chain, projection),
            _ => Ok(chain),
        })
    }

    /// What all functions divide rows by: rows that are equal in it are computed together.
    fn together(&self, nodes: &[LogicalPlan]) -> Result<Vec<Expr>, SqlProblem> {
        let windows = nodes.iter().filter_map(|node| match node {
            LogicalPlan::Window(window) => Some(window),
            _ => None,
        });
        let mut common: Option<Vec<Expr>> = None;
        for expr in windows.flat_map(|window| &window.window_expr) {
            let Expr::WindowFunction(call) = strip_alias(expr) else {
                return Err(self.problem("over", format!("{expr} is no call of a function OVER (…)"), None));
            };
            let by = &call.params.partition_by;
            match &mut common {
                None => common = Some(by.clone()),
                Some(common) => common.retain(|expr| by.contains(expr)),
            }
        }
        Ok(common.unwrap_or_default())
    }
}

/// Whether the columns of what rows are divided by are the same all along.
fn passes(nodes: &[LogicalPlan], by: &[Expr]) -> bool {
    let is_plain = |projection: &Projection| {
        let mut columns = by.iter().flat_map(Expr::column_refs);
        columns.all(|column| projection.expr.contains(&Expr::Column(column.clone())))
    };
    nodes.iter().all(|node| match node {
        LogicalPlan::Projection(projection) => is_plain(projection),
        _ => true,
    })
}
