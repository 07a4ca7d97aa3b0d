//! DataFusion's analyzer, and those of its optimizer's rules that leave a streaming plan in a shape that we know. The
//! rules are listed by name, kept and dropped, so that an upgrade that brings new ones fails a test.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan, Operator};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::{Optimizer, OptimizerContext};
use datafusion_physical_expr::create_physical_expr;

use super::translate::checked;

/// Rules that run.
const KEPT: &[&str] = &[
    "simplify_expressions",
    "replace_distinct_aggregate",
    "decorrelate_predicate_subquery",
    "extract_equijoin_predicate",
    "eliminate_duplicated_expr",
    "eliminate_cross_join",
    "filter_null_join_keys",
    "push_down_filter",
    "eliminate_group_by_constant",
    "common_sub_expression_eliminate",
    "optimize_projections",
];

/// Rules that do not, each with the reason.
#[cfg(test)]
const DROPPED: &[(&str, &str)] = &[
    ("optimize_unions", "a union in a union is none to our walk already"),
    ("unions_to_filter", "it makes one reading of several, of which each has its own conditions"),
    ("eliminate_join", "it drops joins whose columns are unused, right only where the table's key is unique"),
    ("rewrite_set_comparison", "subqueries in expressions are refused by their place"),
    ("scalar_subquery_to_join", "it hides scalar subqueries, which are refused by their place"),
    ("decorrelate_lateral_join", "lateral joins are refused"),
    ("eliminate_filter", "WHERE FALSE would take the stream and its window with it"),
    ("eliminate_limit", "limits are refused by their place"),
    ("propagate_empty_relation", "it would take the stream and its window away"),
    ("eliminate_outer_join", "it changes what is emitted before a window closes"),
    ("push_down_limit", "limits are refused by their place"),
    (
        "single_distinct_aggregation_to_group_by",
        "it stacks two aggregates, the lower with a row for each value",
    ),
    ("extract_leaf_expressions", "it moves expressions below windows for the sake of file readers"),
    ("push_down_leaf_projections", "it moves expressions below windows for the sake of file readers"),
];

/// Types the plan and optimises it.
pub(super) fn optimize(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
    let plan = Analyzer::new().execute_and_check(plan, config, |_, _| {})?;
    check_constants(&plan)?;
    let rules = Optimizer::new().rules.into_iter().filter(|rule| KEPT.contains(&rule.name())).collect();
    // Without a start time, now() is not folded to the time of planning.
    let context = OptimizerContext::new_with_config_options(Arc::new(config.clone()))
        .without_query_execution_start_time();
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
}

/// What is computed of constants alone is computed while the query is planned, by operators that go round: one that leaves its type
/// is a fault of the query.
fn check_constants(plan: &LogicalPlan) -> Result<()> {
    let is_arithmetic = |expr: &Expr| match expr {
        Expr::BinaryExpr(binary) => {
            matches!(binary.op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide)
        }
        _ => false,
    };
    let is_constant = |expr: &Expr| -> Result<bool> {
        let of = |part: &Expr| {
            let plain = matches!(part, Expr::Literal(..) | Expr::Cast(_) | Expr::Negative(_));
            Ok(!plain && !is_arithmetic(part))
        };
        Ok(!expr.exists(of)?)
    };
    let row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &row)?;
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let mut each = |expr: &Expr| -> Result<TreeNodeRecursion> {
        if !is_arithmetic(expr) || !is_constant(expr)? {
            return Ok(TreeNodeRecursion::Continue);
        }
        let computed = create_physical_expr(expr, &DFSchema::empty(), &props, &context);
        let empty = Schema::empty();
        let computed = computed.and_then(|computed| checked(computed, &empty));
        match computed.and_then(|computed| computed.evaluate(&row)) {
            Ok(_) => Ok(TreeNodeRecursion::Jump),
            Err(error) => plan_err!("{expr} cannot be computed: {}", error.strip_backtrace()),
        }
    };
    let node = |node: &LogicalPlan| node.apply_expressions(|expr| expr.apply(&mut each));
    plan.apply_with_subqueries(node).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_optimizer_is_kept_or_dropped_on_purpose() {
        let mut all: Vec<String> = Optimizer::new().rules.iter().map(|r| r.name().to_owned()).collect();
        let mut known: Vec<&str> =
            KEPT.iter().copied().chain(DROPPED.iter().map(|(name, _)| *name)).collect();
        all.sort_unstable();
        known.sort_unstable();
        assert_eq!(all, known);
    }
}
