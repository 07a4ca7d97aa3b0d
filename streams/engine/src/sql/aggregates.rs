//! Which aggregates run: those whose results do not depend on how rows were cut into batches, and whose state comes
//! back whole from a changelog. A list, not a test at run time: an aggregate is added when it has been shown equal to a
//! batch under re-splitting and restore.

use datafusion_expr::expr::AggregateFunction;

/// Aggregates that run, and whether they may be DISTINCT and may (or must) have an ORDER BY of their own.
const ALLOWED: &[(&str, Distinct, Ordered)] = &[
    ("count", Distinct::OneColumn, Ordered::No),
    ("sum", Distinct::No, Ordered::No),
    ("avg", Distinct::No, Ordered::No),
    ("min", Distinct::SameResult, Ordered::No),
    ("max", Distinct::SameResult, Ordered::No),
    ("stddev", Distinct::No, Ordered::No),
    ("stddev_pop", Distinct::No, Ordered::No),
    ("var", Distinct::No, Ordered::No),
    ("var_pop", Distinct::No, Ordered::No),
    ("corr", Distinct::No, Ordered::No),
    ("median", Distinct::No, Ordered::No),
    ("bit_and", Distinct::No, Ordered::No),
    ("bit_or", Distinct::No, Ordered::No),
    ("bit_xor", Distinct::No, Ordered::No),
    ("bool_and", Distinct::No, Ordered::No),
    ("bool_or", Distinct::No, Ordered::No),
    ("approx_distinct", Distinct::No, Ordered::No),
    ("first_value", Distinct::No, Ordered::Must),
    ("last_value", Distinct::No, Ordered::Must),
];

#[derive(Clone, Copy, PartialEq)]
enum Distinct {
    No,
    /// DISTINCT over one argument.
    OneColumn,
    /// DISTINCT changes nothing.
    SameResult,
}

#[derive(Clone, Copy, PartialEq)]
enum Ordered {
    No,
    Must,
}

/// Why an aggregate does not run here, and what would.
pub(super) fn refusal(function: &AggregateFunction) -> Option<(String, Option<&'static str>)> {
    let (name, params) = (function.func.name(), &function.params);
    let Some((_, distinct, ordered)) = ALLOWED.iter().find(|(allowed, ..)| *allowed == name) else {
        return Some(match name {
            "approx_median" | "approx_percentile_cont" | "approx_percentile_cont_with_weight" => (
                format!("{name} depends on how rows come in batches, so a replay would give other numbers"),
                Some("median gives an exact result that does not"),
            ),
            _ => (
                format!("{name} has not been shown to give the same result after a restart"),
                Some(
                    "count, sum, avg, min, max, median, stddev, var, first_value and last_value with ORDER BY do",
                ),
            ),
        });
    };
    let distinct_ok = !params.distinct
        || *distinct == Distinct::SameResult
        || (*distinct == Distinct::OneColumn && params.args.len() == 1);
    if !distinct_ok {
        return Some((
            format!("{name}(DISTINCT …) does not run on a stream"),
            Some("count(DISTINCT column) does"),
        ));
    }
    match (ordered, params.order_by.is_empty()) {
        (Ordered::Must, true) => Some((
            format!("{name} without an order depends on the order of arrival"),
            Some("say which is meant: first_value(x ORDER BY at)"),
        )),
        (Ordered::No, false) => Some((
            format!("{name} takes no ORDER BY here"),
            Some("leave it out: the order changes nothing of the result"),
        )),
        _ => None,
    }
}
