//! The refusal walk: what of an optimised plan cannot run on an unbounded stream, or would not give the same result
//! when it is replayed. Each refusal has its reason and the nearest form that runs. Shapes that only the translation
//! can judge (windows, joins) are refused there.

use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Distinct, Expr, LogicalPlan, Volatility};

use super::aggregates;
use super::problem::SqlProblem;

/// What the optimiser itself does not stand.
pub(super) fn before_optimizing(plan: &LogicalPlan, sql: &str) -> Vec<SqlProblem> {
    let mut found = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Distinct(Distinct::On(_)) = node {
            let text =
                "DISTINCT ON keeps a row of each key, and on a stream which one is never final".to_owned();
            let help = "drop repeats by type: dedupe, or take first_value(x ORDER BY at) by windows";
            found.push(SqlProblem::at(None, Some("distinct"), sql, text, Some(help)));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Every refusal of the plan.
pub(super) fn problems(plan: &LogicalPlan, sql: &str) -> Vec<SqlProblem> {
    let mut found = Vec::new();
    let mut refuse = |word: &str, message: &str, help: Option<&str>| {
        let problem = SqlProblem::at(None, Some(word), sql, message.to_owned(), help);
        if !found.contains(&problem) {
            found.push(problem);
        }
    };
    // Neither walk can fail: the closures return no errors.
    let _ = plan.apply_with_subqueries(|node| {
        node_refusal(node, &mut refuse);
        let _ = node.apply_expressions(|expr| {
            let _ = expr.apply(|e| {
                expr_refusal(e, &mut refuse);
                Ok(TreeNodeRecursion::Continue)
            });
            Ok(TreeNodeRecursion::Continue)
        });
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn node_refusal(node: &LogicalPlan, refuse: &mut impl FnMut(&str, &str, Option<&str>)) {
    match node {
        LogicalPlan::Sort(_) => refuse(
            "order",
            "ORDER BY waits for the last row, and a stream has none",
            Some(
                "sort where the result is read; to pick a first or last row for each key and window use first_value(x ORDER BY at)",
            ),
        ),
        LogicalPlan::Limit(_) => refuse(
            "limit",
            "LIMIT ends a result, and a stream's has no end",
            Some("filter with WHERE, or limit where the result is read"),
        ),
        LogicalPlan::RecursiveQuery(_) => {
            refuse("recursive", "recursive queries do not run on a stream", None)
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            refuse("select", "the query, or a part of it, reads no input", Some("name an input in FROM"));
        }
        LogicalPlan::Filter(filter) => {
            if let Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) = filter.predicate {
                refuse("where", "the condition is never true, so nothing would ever come out", None);
            }
        }
        _ => {}
    }
}

fn expr_refusal(expr: &Expr, refuse: &mut impl FnMut(&str, &str, Option<&str>)) {
    match expr {
        Expr::ScalarSubquery(_) => refuse(
            "(select",
            "a subquery as a value cannot follow a stream",
            Some("join with a table instead"),
        ),
        Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => refuse(
            if matches!(expr, Expr::Exists(_)) { "exists" } else { "in" },
            "IN and EXISTS over this query do not run yet",
            Some(
                "they do as conditions of WHERE, with AND between: column IN (SELECT column FROM table), EXISTS (SELECT 1 FROM table WHERE table.key = stream.key), and over a stream with its rows of the same window, or near in time",
            ),
        ),
        Expr::Like(like) | Expr::SimilarTo(like) if like.escape_char.is_some_and(|sign| sign != '\\') => {
            refuse(
                "escape",
                "ESCAPE takes no other character than the backslash, for which it need not be written",
                Some("write LIKE '100\\%' for what is 100%"),
            )
        }
        Expr::Placeholder(_) => refuse("$1", "there are no parameters to a pipeline's query", None),
        Expr::ScalarFunction(call) => match call.func.signature().volatility {
            Volatility::Immutable => {}
            _ => refuse(
                call.func.name(),
                &format!(
                    "{} gives another value when the stream is replayed after a crash",
                    call.func.name()
                ),
                Some("use the row's own time or a column"),
            ),
        },
        Expr::AggregateFunction(call) => {
            if let Some((message, help)) = aggregates::refusal(call) {
                refuse(call.func.name(), &message, help);
            }
        }
        _ => {}
    }
}
