//! Which aggregates run: those whose results do not depend on how rows were cut into batches, and whose state comes
//! back whole from a changelog. A list, not a test at run time: an aggregate is added when it has been shown equal to a
//! batch under re-splitting and restore.

use datafusion_expr::expr::AggregateFunction;

/// Aggregates that run, and whether they may be DISTINCT and may (or must) have an ORDER BY of their own.
const ALLOWED: &[(&str, Distinct, Ordered)] = &[
    ("count", Distinct::OneColumn, Ordered::No),
    ("sum", Distinct::OfGroups, Ordered::No),
    ("avg", Distinct::OfGroups, Ordered::No),
    ("min", Distinct::SameResult, Ordered::No),
    ("max", Distinct::SameResult, Ordered::No),
    ("stddev", Distinct::No, Ordered::No),
    ("stddev_pop", Distinct::No, Ordered::No),
    ("var", Distinct::No, Ordered::No),
    ("var_pop", Distinct::No, Ordered::No),
    ("corr", Distinct::No, Ordered::No),
    ("median", Distinct::OfGroups, Ordered::No),
    ("bit_and", Distinct::No, Ordered::No),
    ("bit_or", Distinct::No, Ordered::No),
    ("bit_xor", Distinct::No, Ordered::No),
    ("bool_and", Distinct::No, Ordered::No),
    ("bool_or", Distinct::No, Ordered::No),
    ("approx_distinct", Distinct::No, Ordered::No),
    ("first_value", Distinct::No, Ordered::Must),
    ("last_value", Distinct::No, Ordered::Must),
];

/// Aggregates that run over groups, and not OVER the rows of a key.
const OF_GROUPS: &[(&str, Distinct, Ordered)] = &[
    ("covar_samp", Distinct::No, Ordered::No),
    ("covar_pop", Distinct::No, Ordered::No),
    ("regr_slope", Distinct::No, Ordered::No),
    ("regr_intercept", Distinct::No, Ordered::No),
    ("regr_count", Distinct::No, Ordered::No),
    ("regr_r2", Distinct::No, Ordered::No),
    ("regr_avgx", Distinct::No, Ordered::No),
    ("regr_avgy", Distinct::No, Ordered::No),
    ("regr_sxx", Distinct::No, Ordered::No),
    ("regr_syy", Distinct::No, Ordered::No),
    ("regr_sxy", Distinct::No, Ordered::No),
    // Its order is its argument.
    ("percentile_cont", Distinct::No, Ordered::Must),
    ("array_agg", Distinct::OfGroups, Ordered::Must),
    ("string_agg", Distinct::OfGroups, Ordered::Must),
];

#[derive(Clone, Copy, PartialEq)]
enum Distinct {
    No,
    /// DISTINCT over one argument.
    OneColumn,
    /// DISTINCT over one argument, but not OVER the rows of a key.
    OfGroups,
    /// DISTINCT changes nothing.
    SameResult,
}

#[derive(Clone, Copy, PartialEq)]
enum Ordered {
    No,
    Must,
}

/// Why an aggregate does not run over groups, and what would.
pub(super) fn refusal(function: &AggregateFunction) -> Option<(String, Option<&'static str>)> {
    refused(function, &[ALLOWED, OF_GROUPS], |distinct| distinct != Distinct::No)
}

/// Why an aggregate does not run OVER the rows of a key, and what would.
pub(super) fn refusal_over(function: &AggregateFunction) -> Option<(String, Option<&'static str>)> {
    if OF_GROUPS.iter().any(|(name, ..)| *name == function.func.name()) {
        let message = format!("{} does not run OVER the rows of a key", function.func.name());
        return Some((
            message,
            Some("over the groups of a window it does: … GROUP BY key, window_start, window_end"),
        ));
    }
    refused(function, &[ALLOWED], |distinct| matches!(distinct, Distinct::OneColumn | Distinct::SameResult))
}

fn refused(
    function: &AggregateFunction,
    allowed: &[&[(&str, Distinct, Ordered)]],
    may_be_distinct: impl Fn(Distinct) -> bool,
) -> Option<(String, Option<&'static str>)> {
    let (name, params) = (function.func.name(), &function.params);
    let known = allowed.iter().copied().flatten().find(|(allowed, ..)| *allowed == name);
    let Some((_, distinct, ordered)) = known else {
        return Some(match name {
            "approx_median" | "approx_percentile_cont" | "approx_percentile_cont_with_weight" => (
                format!("{name} depends on how rows come in batches, so a replay would give other numbers"),
                Some("median and percentile_cont give exact results that do not"),
            ),
            "any_value" => (
                format!("{name} depends on the order of arrival"),
                Some("say which is meant: first_value(x ORDER BY at)"),
            ),
            _ => (
                format!("{name} has not been shown to give the same result after a restart"),
                Some(
                    "count, sum, avg, min, max, median, stddev, var, first_value and last_value with ORDER BY do",
                ),
            ),
        });
    };
    // What stands behind the first argument is how it is done.
    let one = params.args.len() == 1 || name == "string_agg";
    if params.distinct && !(*distinct == Distinct::SameResult || (may_be_distinct(*distinct) && one)) {
        return Some((
            format!("{name}(DISTINCT …) does not run on a stream"),
            Some("count(DISTINCT column) does"),
        ));
    }
    match (ordered, params.order_by.is_empty()) {
        (Ordered::Must, true) => Some((
            format!("{name} without an order depends on the order of arrival"),
            Some(match name {
                "array_agg" | "string_agg" => {
                    "say which: array_agg(x ORDER BY at), string_agg(x, ', ' ORDER BY at)"
                }
                "percentile_cont" => "say of what: percentile_cont(0.9) WITHIN GROUP (ORDER BY x)",
                _ => "say which is meant: first_value(x ORDER BY at)",
            }),
        )),
        (Ordered::No, false) => Some((
            format!("{name} takes no ORDER BY here"),
            Some("leave it out: the order changes nothing of the result"),
        )),
        _ => None,
    }
}
