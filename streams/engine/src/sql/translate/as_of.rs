//! Rows of a stream joined with the latest versions that other streams have of their key, in a query's chain.

use std::sync::Arc;

use datafusion_common::DFSchema;
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{Expr, Operator, UserDefinedLogicalNodeCore};
use millstream_model::time::SPAN_MS_MAX;

use super::interval::{Bound, bound_of, instant, time_of};
use super::{Chain, Trace, Translator};
use crate::op::aggregate::Aggregation;
use crate::op::as_of::{AsOfJoin, Lookup, Versions, VersionsPlan};
use crate::op::interval::{Side, SidePlan};
use crate::sql::Relation;
use crate::sql::as_of::{AsOfJoin as AsOfNode, USE};
use crate::sql::problem::SqlProblem;
use crate::sql::query::{Closed, Origin};

/// How much event time the rows that wait have in one bucket.
const BUCKET_MS: i64 = 10_000;

impl Translator<'_> {
    pub(super) fn as_of(&self, node: &AsOfNode) -> Result<Chain, SqlProblem> {
        let refuse = |message: String, help: &str| Err(self.problem("asof", message, Some(help)));
        let (mut left, mut right) = (self.appended(&node.left, "asof")?, self.appended(&node.right, "asof")?);
        let (left_schema, right_schema) = (node.left.schema(), node.right.schema());
        let schema = UserDefinedLogicalNodeCore::schema(node);
        if let Some(grouped) = [&left, &right].into_iter().find(|c| c.window.is_some()) {
            let message = format!("the rows of {} in an ASOF JOIN are in windows", grouped.name);
            return refuse(
                message,
                "publish what comes of the windows to a topic with a watermark, and read that",
            );
        }
        let looks_up = |closed: &Closed| matches!(closed.from, Origin::AsOf(_));
        if right.closed.is_some() || left.closed.as_ref().is_some_and(|closed| !looks_up(closed)) {
            let message =
                "one side of an ASOF JOIN is itself a join or groups of streams, which does not run yet"
                    .to_owned();
            return refuse(
                message,
                "publish that to a topic with a watermark, and read that; a ASOF JOIN b … ASOF JOIN c … runs",
            );
        }
        if left.is_union() || right.is_union() {
            let message =
                "streams that are put together are in an ASOF JOIN, which does not run yet".to_owned();
            return refuse(message, "publish them to one topic with a watermark, and read that");
        }
        let (left_time, right_time) = (self.versioned_by(&left)?, self.versioned_by(&right)?);
        let Conditions { back_ms, within_ms, on } =
            self.conditions(node, left_schema.fields().len(), (left_time, right_time))?;
        let (keys, right_keys) =
            self.keys_that_meet(&on, (&left, left_schema), (&right, right_schema), "asof")?;
        right.branch().aggregate = Some(Aggregation::Versions(Box::new(Versions::new(VersionsPlan {
            late: self.options.late.clone(),
            schema: Arc::clone(right_schema.inner()),
            time: right_time,
            keys: right_keys,
            within_ms,
            state_schema: VersionsPlan::state_schema(right_schema.as_arrow()),
        }))));
        let lookup =
            Lookup { time: left_time, keys, back_ms, schema: Arc::clone(schema.inner()), then: Vec::new() };
        let mut join = match left.closed.take() {
            Some(Closed { from: Origin::AsOf(mut join), after }) => {
                if let Some(last) = join.lookups.last_mut() {
                    last.then.extend(after);
                }
                join
            }
            _ => {
                left.branch().aggregate = Some(Aggregation::Near(Side::new(SidePlan {
                    late: self.options.late.clone(),
                    schema: Arc::clone(left_schema.inner()),
                    time: Some(left_time),
                    keys: Vec::new(),
                    outer: true,
                    once: false,
                    is_looked_up: false,
                    from: 0,
                    to: 0,
                    bucket_ms: BUCKET_MS,
                    state_schema: SidePlan::state_schema(left_schema.as_arrow()),
                })));
                AsOfJoin { lookups: Vec::new() }
            }
        };
        join.lookups.push(lookup);
        left.trace.extend(vec![Trace::Other; right_schema.fields().len()]);
        left.branches.append(&mut right.branches);
        left.tables.extend(right.tables);
        left.closed = Some(Closed { from: Origin::AsOf(join), after: Vec::new() });
        Ok(left)
    }

    /// The event time's column of one side.
    fn versioned_by(&self, chain: &Chain) -> Result<usize, SqlProblem> {
        let name = &chain.name;
        let (message, help) = match &chain.relation {
            Relation::Table { .. } => (
                format!("table {name} has no versions: it is as it is when a row comes"),
                "JOIN it, or LEFT JOIN it".to_owned(),
            ),
            Relation::Stream { event_time: None, .. } => (
                format!("{name} is in an ASOF JOIN, and has no event time"),
                "give its topic a watermark".to_owned(),
            ),
            Relation::Stream { event_time: Some(time), .. } => match time_of(chain) {
                Some(at) => return Ok(at),
                None => (
                    format!("the ASOF JOIN does not compare {time}, the event time of {name}"),
                    format!("{USE}, over the columns that the watermarks are about"),
                ),
            },
        };
        Err(self.problem("asof", message, Some(&help)))
    }

    /// What the conditions say of times, and what they compare besides; `count` columns are the left side's.
    fn conditions(
        &self,
        node: &AsOfNode,
        count: usize,
        times: (usize, usize),
    ) -> Result<Conditions, SqlProblem> {
        let refuse = |message: String, help: &str| Err(self.problem("asof", message, Some(help)));
        let schema = UserDefinedLogicalNodeCore::schema(node);
        let place = |expr: &Expr| instant(expr, schema, count, (Some(times.0), Some(times.1)));
        let (mut back_ms, mut within, mut on) = (None, None, Vec::new());
        // The optimiser may have made one condition of BETWEEN's two.
        let conditions = node.conditions.iter().enumerate().flat_map(|(at, condition)| {
            let parts = split_conjunction_owned(condition.clone().unalias_nested().data);
            parts.into_iter().map(move |part| (at, part))
        });
        for (at, condition) in conditions {
            match bound_of(&condition, &place) {
                Some(Bound::AtLeast(ms)) if at == 0 || back_ms.is_some_and(|known| ms <= known) => {
                    back_ms = Some(back_ms.map_or(ms, |known: i64| known.max(ms)));
                }
                Some(Bound::AtLeast(_)) => {
                    return refuse(
                        "ON asks for an earlier version than the MATCH_CONDITION".to_owned(),
                        "put the interval into the MATCH_CONDITION",
                    );
                }
                Some(Bound::AtMost(ms)) if at > 0 => {
                    within = Some(within.map_or(ms, |known: i64| known.min(ms)));
                }
                Some(Bound::AtMost(_)) => {
                    let message = "the MATCH_CONDITION asks for the next version of a key, which may never come: rows would have to be kept for ever";
                    return refuse(message.to_owned(), "ask for the latest, a.time >= b.time, or join by time: a.time BETWEEN b.time - INTERVAL '5 minutes' AND b.time");
                }
                Some(Bound::Exactly(_)) => {
                    return refuse("the times of an ASOF JOIN are compared for equality".to_owned(), "use JOIN, or >=");
                }
                None if at == 0 => {
                    return refuse(
                        "the MATCH_CONDITION compares something else than the event times of both streams".to_owned(),
                        &format!("{USE}; an INTERVAL may be added to a time, or taken from it"),
                    );
                }
                None => on.push(equality(&condition, schema, count).ok_or_else(|| {
                    let message = format!("ON {condition} is no equality of columns of the two streams, by which versions are found");
                    self.problem("asof", message, Some("filter a stream in a subquery, or the result with WHERE; a bound on how old a version may be is b.time >= a.time - INTERVAL '1 day'"))
                })?),
            }
        }
        let Some(back_ms) = back_ms else {
            return refuse("an ASOF JOIN has no MATCH_CONDITION".to_owned(), USE);
        };
        if on.is_empty() {
            return refuse("an ASOF JOIN has no equality to find versions by".to_owned(), USE);
        }
        let within_ms = within.map(|most| most.saturating_sub(back_ms));
        if within_ms.is_some_and(|within| within < 0) {
            return refuse("no time lies in the bounds of the ASOF JOIN".to_owned(), USE);
        }
        let spans = [Some(back_ms), within_ms];
        if let Some(far) = spans.into_iter().flatten().find(|ms| ms.abs() > SPAN_MS_MAX) {
            return refuse(format!("times {far} ms apart: the bound is {SPAN_MS_MAX}"), USE);
        }
        Ok(Conditions { back_ms, within_ms, on })
    }
}

/// What an ASOF JOIN asks for.
struct Conditions {
    /// A row at `t` asks for the latest version at `t - back_ms` or before.
    back_ms: i64,
    /// How long before that it may be.
    within_ms: Option<i64>,
    /// What is equal, of the left side and of the right one.
    on: Vec<(Expr, Expr)>,
}

/// What is compared for equality, of the left side and of the right one.
fn equality(condition: &Expr, schema: &DFSchema, count: usize) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let of_left = |expr: &Expr| -> Option<bool> {
        let places: Result<Vec<usize>, _> =
            expr.column_refs().into_iter().map(|column| schema.index_of_column(column)).collect();
        let places = places.ok()?;
        let is_left = *places.first()? < count;
        places.iter().all(|at| (*at < count) == is_left).then_some(is_left)
    };
    match (of_left(left)?, of_left(right)?) {
        (true, false) => Some((left.as_ref().clone(), right.as_ref().clone())),
        (false, true) => Some((right.as_ref().clone(), left.as_ref().clone())),
        _ => None,
    }
}
