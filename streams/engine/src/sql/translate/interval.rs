//! Streams joined where their times are near each other, in a query's chain.

use std::sync::Arc;

use datafusion_common::{DFSchema, NullEquality, ScalarValue};
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::logical_plan::Join;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, Operator};
use millstream_model::time::SPAN_MS_MAX;

use super::stream_join::{placed, traces};
use super::{Chain, Trace, Translator};
use crate::op::aggregate::Aggregation;
use crate::op::interval::{FOR_EVER, IntervalJoin, Side, SidePlan};
use crate::op::join_kind::JoinSide;
use crate::sql::problem::SqlProblem;
use crate::sql::query::{Closed, Origin};
use crate::sql::{Keep, Relation};

const NEAR: &str = "join rows whose times are near each other: … AND a.time BETWEEN b.time - INTERVAL '5 minutes' AND b.time + INTERVAL '1 hour'; or rows of the same window: FROM TUMBLE(a, …) AS a JOIN TUMBLE(b, …) AS b ON a.key = b.key AND a.window_start = b.window_start AND a.window_end = b.window_end";

const NEAR_EXISTS: &str = "ask for rows whose times are near: EXISTS (SELECT 1 FROM b WHERE b.key = a.key AND b.time BETWEEN a.time - INTERVAL '5 minutes' AND a.time + INTERVAL '1 hour'); or for rows of the same window: FROM TUMBLE(a, …) AS a WHERE EXISTS (SELECT 1 FROM TUMBLE(b, …) AS b WHERE b.key = a.key AND b.window_start = a.window_start AND b.window_end = a.window_end)";

/// The event time of one side, and so many milliseconds.
pub(super) struct Instant {
    is_left: bool,
    plus_ms: i64,
}

/// What a condition says of times, of the left one less the right one.
pub(super) enum Bound {
    AtLeast(i64),
    AtMost(i64),
    Exactly(i64),
}

impl Translator<'_> {
    /// Two streams as they come, without windows.
    pub(super) fn join_near(
        &self,
        join: &Join,
        mut left: Chain,
        mut right: Chain,
    ) -> Result<Chain, SqlProblem> {
        let word = self.join_word(join.join_type);
        let refuse = |message: String, help: &str| Err(self.problem(word, message, Some(help)));
        let kind = self.join_kind(join)?;
        let near = if kind.given().is_some() { NEAR_EXISTS } else { NEAR };
        let both = super::stream_join::both(join).map_err(|e| self.explained(&e))?;
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let has_time =
            |chain: &&Chain| matches!(&chain.relation, Relation::Stream { event_time: Some(_), .. });
        let without = [&left, &right].into_iter().find(|chain| !has_time(chain));
        if let Some(without) = without.filter(|_| self.options.keep != Some(Keep::ForEver)) {
            let message = format!("{} is joined with a stream, and has no event time", without.name);
            return refuse(
                message,
                "give its topic a watermark; or say keep: forever beside sql, and its rows wait for matches for ever",
            );
        }
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(self.null_equals_null(word));
        }
        let times = (time_of(&left), time_of(&right));
        let [left_name, right_name] = [&left, &right].map(|chain| chain.name.clone());
        let (mut from, mut to, mut rest) = (i64::MIN, i64::MAX, Vec::new());
        let mut bound = |bound: Bound| match bound {
            Bound::AtLeast(ms) => from = from.max(ms),
            Bound::AtMost(ms) => to = to.min(ms),
            Bound::Exactly(ms) => (from, to) = (from.max(ms), to.min(ms)),
        };
        let place = |expr: &Expr| instant(expr, &both, left_schema.fields().len(), times);
        for condition in join.filter.iter().flat_map(split_conjunction) {
            match bound_of(condition, &place) {
                Some(found) => bound(found),
                None => rest.push(condition.clone()),
            }
        }
        let mut on = Vec::new();
        for (l, r) in &join.on {
            // An equality of times, whatever is added to them.
            let of = |expr, schema| side_instant(expr, schema);
            match (of(l, (left_schema, times.0)), of(r, (right_schema, times.1))) {
                (Some(l), Some(r)) => bound(Bound::Exactly(r - l)),
                _ => on.push((l.clone(), r.clone())),
            }
        }
        let bounded = (from > i64::MIN, to < i64::MAX);
        if bounded != (true, true) {
            let Some(keep) = self.options.keep else {
                let message = format!(
                    "two streams are joined, {left_name} and {right_name}, and a row could find its match at any {} time: it would have to be kept for ever",
                    if bounded == (false, false) { "other" } else { "later" }
                );
                let spans = "bounds are sums of the event time and intervals of days or less, in whole milliseconds; or say beside sql how long rows are kept, keep: 30d or keep: forever";
                return refuse(message, &format!("{near}; {spans}"));
            };
            self.keep_used.set(true);
            let most = match keep {
                Keep::For(span) => span,
                Keep::ForEver => FOR_EVER,
            };
            (from, to) = (if bounded.0 { from } else { -most }, if bounded.1 { to } else { most });
        }
        let for_ever = (from == -FOR_EVER, to == FOR_EVER);
        if for_ever != (true, true)
            && let Some(name) =
                [(&left_name, times.0), (&right_name, times.1)].iter().find(|of| of.1.is_none())
        {
            let message = format!(
                "how long rows are kept is said in event time, and the query does not read that of {}",
                name.0
            );
            return refuse(
                message,
                "let it come out of the query, or compare both times, as in AND a.time >= b.time - INTERVAL '30 days'",
            );
        }
        // Rows of the left side are kept by `from`.
        for (side, name, for_ever) in
            [(JoinSide::Left, &left_name, for_ever.0), (JoinSide::Right, &right_name, for_ever.1)]
        {
            if for_ever && kind.gives_unmatched(side) {
                let message = format!(
                    "a row of {name} could find its match at any later time, so that it is never known to have none"
                );
                return refuse(message, &format!("say keep: 30d in place of forever; or {near}"));
            }
        }
        if from > to {
            return refuse(
                format!("no time lies in the bounds, from {from} ms to {to} ms"),
                "write the earlier one first",
            );
        }
        let is_far = |bound: i64| bound.abs() != FOR_EVER && bound.abs() > SPAN_MS_MAX;
        if is_far(from) || is_far(to) {
            return refuse(format!("times of {from} ms to {to} ms apart: the bound is {SPAN_MS_MAX}"), near);
        }
        let (left_keys, right_keys) =
            self.keys_that_meet(&on, (&left, left_schema), (&right, right_schema), word)?;
        let pairs = traces(&on, (&left, left_schema), (&right, right_schema));
        let placed = placed(&kind, &left, &right, &pairs);
        let filter = conjunction(rest).map(|rest| self.expr(&rest, &both)).transpose()?;
        let side = |side: JoinSide, schema: &DFSchema, time, keys, from: i64, to: i64| {
            let span = to.saturating_sub(from).clamp(1_000, 86_400_000);
            Aggregation::Near(Side::new(SidePlan {
                late: self.options.late.clone(),
                schema: Arc::clone(schema.inner()),
                time,
                keys,
                outer: kind.gives_unmatched(side),
                once: kind.given() == Some(side),
                is_looked_up: true,
                from,
                to,
                // What is kept for ever is looked up in one place.
                bucket_ms: if to < FOR_EVER { span } else { FOR_EVER },
                state_schema: SidePlan::state_schema(schema.as_arrow()),
            }))
        };
        // A left row at t meets right ones from t - to to t - from.
        left.branch().aggregate = Some(side(JoinSide::Left, left_schema, times.0, left_keys, -to, -from));
        right.branch().aggregate = Some(side(JoinSide::Right, right_schema, times.1, right_keys, from, to));
        left.trace = placed;
        left.branches.append(&mut right.branches);
        left.tables.extend(right.tables);
        if kind.given() == Some(JoinSide::Right) {
            left.name = right.name;
        }
        let from = Origin::Near(IntervalJoin { kind, filter, both: Arc::clone(both.inner()) });
        left.closed = Some(Closed { from, after: Vec::new() });
        Ok(left)
    }
}

/// The column of a chain that is its stream's event time.
pub(super) fn time_of(chain: &Chain) -> Option<usize> {
    let Relation::Stream { event_time: Some(name), schema, .. } = &chain.relation else { return None };
    let column = schema.index_of(name).ok()?;
    chain.trace.iter().position(|trace| *trace == Trace::Stream(column))
}

fn index(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    let Expr::Column(column) = expr else { return None };
    schema.index_of_column(column).ok()
}

/// What is added to the event time of one side, in milliseconds, where an expression is that.
fn side_instant(expr: &Expr, (schema, time): (&DFSchema, Option<usize>)) -> Option<i64> {
    Some(instant(expr, schema, schema.fields().len(), (Some(time?), None))?.plus_ms)
}

/// An event time with something added to it or taken from it.
pub(super) fn instant(
    expr: &Expr,
    schema: &DFSchema,
    left: usize,
    times: (Option<usize>, Option<usize>),
) -> Option<Instant> {
    match expr {
        Expr::Column(_) => {
            let at = index(expr, schema)?;
            let is_left = Some(at) == times.0;
            (is_left || Some(at) == times.1.map(|time| left + time))
                .then_some(Instant { is_left, plus_ms: 0 })
        }
        Expr::BinaryExpr(BinaryExpr { left: of, op, right: span }) => {
            // The interval may stand first in a sum.
            let (of, span) = match (op, span_ms(of)) {
                (Operator::Plus, Some(_)) => (span, of),
                _ => (of, span),
            };
            let instant = instant(of, schema, left, times)?;
            let span = span_ms(span)?;
            let plus_ms = match op {
                Operator::Plus => instant.plus_ms.checked_add(span)?,
                Operator::Minus => instant.plus_ms.checked_sub(span)?,
                _ => return None,
            };
            Some(Instant { plus_ms, ..instant })
        }
        _ => None,
    }
}

fn span_ms(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => span_of(value),
        _ => None,
    }
}

/// An interval in milliseconds, where it is of days or less.
pub(super) fn span_of(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(span))
            if span.months == 0 && span.nanoseconds % 1_000_000 == 0 =>
        {
            Some(i64::from(span.days) * 86_400_000 + span.nanoseconds / 1_000_000)
        }
        ScalarValue::IntervalDayTime(Some(span)) => {
            Some(i64::from(span.days) * 86_400_000 + i64::from(span.milliseconds))
        }
        _ => None,
    }
}

pub(super) fn bound_of(condition: &Expr, place: &impl Fn(&Expr) -> Option<Instant>) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (a, b) = (place(left)?, place(right)?);
    let (left, right, op) = match (a.is_left, b.is_left) {
        (true, false) => (a, b, *op),
        (false, true) => (b, a, op.swap()?),
        _ => return None,
    };
    // left + l op right + r: left - right op r - l.
    let apart = right.plus_ms.checked_sub(left.plus_ms)?;
    match op {
        Operator::GtEq => Some(Bound::AtLeast(apart)),
        Operator::Gt => Some(Bound::AtLeast(apart.checked_add(1)?)),
        Operator::LtEq => Some(Bound::AtMost(apart)),
        Operator::Lt => Some(Bound::AtMost(apart.checked_sub(1)?)),
        Operator::Eq => Some(Bound::Exactly(apart)),
        _ => None,
    }
}
