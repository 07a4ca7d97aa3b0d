//! Streams joined with each other, in a query's chain: rows of the same window.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, JoinType, NullEquality};
use datafusion_expr::logical_plan::Join;
use datafusion_expr::logical_plan::builder::build_join_schema;
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_physical_expr::PhysicalExpr;

use super::{Chain, Grouped, Trace, Translator, trace};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::join_kind::{JoinKind, JoinSide};
use crate::op::rows::{RowColumn, RowsPlan, WindowRows};
use crate::op::window_join::{Side, WindowJoin};
use crate::sql::Relation;
use crate::sql::problem::{SqlProblem, find_word};
use crate::sql::query::{Closed, Origin};

const SAME_WINDOW: &str = "join rows of the same window: FROM TUMBLE(a, …) AS a JOIN TUMBLE(b, …) AS b ON a.key = b.key AND a.window_start = b.window_start AND a.window_end = b.window_end";

const SAME_WINDOW_EXISTS: &str = "ask for rows of the same window: FROM TUMBLE(a, …) AS a WHERE EXISTS (SELECT 1 FROM TUMBLE(b, …) AS b WHERE b.key = a.key AND b.window_start = a.window_start AND b.window_end = a.window_end)";
const PART: &str = "write them as conditions of their own, with AND between; or LEFT JOIN (SELECT DISTINCT key, window_start, window_end FROM TUMBLE(b, …)) AS b, of which each row has one at most, and ask whether b.key IS NULL";
const NOT_EXISTS: &str = "write NOT EXISTS (SELECT 1 FROM b WHERE b.column = a.column AND …)";

/// What rows are looked up by.
pub(super) type Keys = Vec<Arc<dyn PhysicalExpr>>;

/// A column that puts rows in their partitions, and its place in the stream.
struct Placed {
    name: String,
    at: Option<usize>,
}

impl Translator<'_> {
    /// Rows of the same window of two streams.
    pub(super) fn join_streams(&self, join: &Join, left: Chain, right: Chain) -> Result<Chain, SqlProblem> {
        let word = self.join_word(join.join_type);
        let refuse = |message: String, help: &str| Err(self.problem(word, message, Some(help)));
        let kind = self.join_kind(join)?;
        let same_window = if kind.given().is_some() { SAME_WINDOW_EXISTS } else { SAME_WINDOW };
        if left.is_over_time() || right.is_over_time() {
            return refuse(
                "what OVER (…) gives is joined with another stream, which does not run yet".to_owned(),
                "publish it to a topic with a watermark and join that",
            );
        }
        let windows = match (&left.window, &right.window) {
            (Some(Grouped::Windows(a)), Some(Grouped::Windows(b))) if a == b => *a,
            (Some(Grouped::Windows(_)), Some(Grouped::Windows(_))) => {
                let message = format!("the windows of {} and of {} are not the same", left.name, right.name);
                return refuse(message, "give both the same size, and the same slide or step");
            }
            (Some(Grouped::Sessions(..)), _) | (_, Some(Grouped::Sessions(..))) => {
                return refuse(
                    "a session has bounds of its own, which those of no other stream meet".to_owned(),
                    same_window,
                );
            }
            (None, None) if left.is_union() || right.is_union() => {
                return refuse(
                    "streams that are put together are joined without windows, which does not run yet"
                        .to_owned(),
                    "publish them to one topic with a watermark, and join that",
                );
            }
            (None, None) if left.closed.is_none() && right.closed.is_none() => {
                return self.join_near(join, left, right);
            }
            _ if left.is_joined() || right.is_joined() => {
                return refuse(
                    "a join of streams without windows is joined with another stream, which does not run yet"
                        .to_owned(),
                    "publish the first join to a topic with a watermark and join that",
                );
            }
            (None, _) | (_, None) => {
                let without = if left.window.is_none() { &left.name } else { &right.name };
                let message = format!(
                    "two streams are joined, and a row of {without} could find its match at any later time: it would have to be kept for ever"
                );
                return refuse(message, same_window);
            }
        };
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let pairs = traces(&join.on, (&left, left_schema), (&right, right_schema));
        let is_same = pairs.contains(&(Trace::WindowEnd, Trace::WindowEnd))
            || windows.start_is_unique() && pairs.contains(&(Trace::WindowStart, Trace::WindowStart));
        if !is_same {
            let message = format!(
                "rows of {} and of {} are joined over different windows, of which later ones have not ended",
                left.name, right.name
            );
            return refuse(message, same_window);
        }
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(self.null_equals_null(word));
        }
        let (left_keys, right_keys) =
            self.keys_that_meet(&join.on, (&left, left_schema), (&right, right_schema), word)?;
        let both = both(join).map_err(|e| self.explained(&e))?;
        let filter = join.filter.as_ref().map(|f| self.expr(f, &both)).transpose()?;
        let trace = placed(&kind, &left, &right, &pairs);
        let (left, right) = (self.closed(left, left_schema)?, self.closed(right, right_schema)?);
        let (mut left, mut right) = (left, right);
        right.shift(left.branches.len());
        let (Some(left_rows), Some(right_rows)) = (left.closed.take(), right.closed) else {
            return Err(self.problem(word, "a side of the join has no windows", Some(same_window)));
        };
        left.branches.extend(right.branches);
        let side = |keys, schema: &DFSchema| Side { schema: Arc::clone(schema.inner()), keys };
        let join = WindowJoin {
            kind,
            left: side(left_keys, left_schema),
            right: side(right_keys, right_schema),
            filter,
            both: Arc::clone(both.inner()),
        };
        let (left_rows, right_rows, join) = (Box::new(left_rows), Box::new(right_rows), Box::new(join));
        let from = Origin::Join { left: left_rows, right: right_rows, join };
        left.closed = Some(Closed { from, after: Vec::new() });
        left.tables.extend(right.tables);
        if kind.given() == Some(JoinSide::Right) {
            left.name = right.name;
        }
        left.trace = trace;
        Ok(left)
    }

    /// What the join gives; what kinds do not run of streams is refused here.
    pub(super) fn join_kind(&self, join: &Join) -> Result<JoinKind, SqlProblem> {
        let pairs = |left_outer, right_outer| JoinKind::Pairs { left_outer, right_outer };
        let kind = match join.join_type {
            JoinType::Inner => pairs(false, false),
            JoinType::Left => pairs(true, false),
            JoinType::Right => pairs(false, true),
            JoinType::Full => pairs(true, true),
            JoinType::LeftSemi => JoinKind::Semi(JoinSide::Left),
            JoinType::RightSemi => JoinKind::Semi(JoinSide::Right),
            JoinType::LeftAnti => JoinKind::Anti(JoinSide::Left),
            JoinType::RightAnti => JoinKind::Anti(JoinSide::Right),
            JoinType::LeftMark | JoinType::RightMark => {
                return Err(self.problem(
                    self.join_word(join.join_type),
                    "IN and EXISTS over a stream as a part of a condition do not run yet",
                    Some(PART),
                ));
            }
        };
        if join.null_aware {
            return Err(self.problem(
                "not",
                "NOT IN over a column that may be null: one null among the rows of the other stream, and it is true of no row",
                Some(NOT_EXISTS),
            ));
        }
        Ok(kind)
    }

    /// A join by columns whose nulls are equal.
    pub(super) fn null_equals_null(&self, word: &str) -> SqlProblem {
        match self.set_operation() {
            Some(word) => self.problem(
                word,
                "INTERSECT and EXCEPT take nulls for equal, which does not run yet",
                Some("write WHERE EXISTS (SELECT 1 FROM … WHERE …), or NOT EXISTS, with = for each column"),
            ),
            None => self.problem(word, "a join in which null equals null does not run yet", Some("use =")),
        }
    }

    /// The word of an operation over whole results that the planner makes a join of.
    pub(super) fn set_operation(&self) -> Option<&'static str> {
        ["intersect", "except"].into_iter().find(|word| find_word(self.sql, word).is_some())
    }

    /// The word of the text at which a problem with a join is shown.
    pub(super) fn join_word(&self, kind: JoinType) -> &'static str {
        let words = match kind {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => ["join", "exists", "in"],
            _ if find_word(self.sql, "semi").or_else(|| find_word(self.sql, "anti")).is_some() => {
                ["join", "exists", "in"]
            }
            _ => ["exists", "in", "join"],
        };
        words.into_iter().find(|word| find_word(self.sql, word).is_some()).unwrap_or("join")
    }

    /// The keys of both sides, of which equal ones are in one key group.
    pub(super) fn keys_that_meet(
        &self,
        on: &[(Expr, Expr)],
        (left, left_schema): (&Chain, &DFSchema),
        (right, right_schema): (&Chain, &DFSchema),
        word: &str,
    ) -> Result<(Keys, Keys), SqlProblem> {
        self.check_meet(left, right, &traces(on, (left, left_schema), (right, right_schema)))?;
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for (l, r) in on {
            left_keys.push(self.expr(l, left_schema)?);
            right_keys.push(self.expr(r, right_schema)?);
        }
        self.check_keys(&left_keys, left_schema.inner(), word)?;
        self.check_keys(&right_keys, right_schema.inner(), word)?;
        Ok((left_keys, right_keys))
    }

    /// Rows that match must be in one key group.
    fn check_meet(&self, left: &Chain, right: &Chain, pairs: &[(Trace, Trace)]) -> Result<(), SqlProblem> {
        let place = |chain: &Chain| match &chain.relation {
            Relation::Stream { partitioned_by: Some(columns), schema, .. } => {
                let column = |name: &String| Placed { name: name.clone(), at: schema.index_of(name).ok() };
                Some(columns.iter().map(column).collect::<Vec<_>>())
            }
            _ => None,
        };
        let (Some(of_left), Some(of_right)) = (place(left), place(right)) else { return Ok(()) };
        for (chain, columns) in [(left, &of_left), (right, &of_right)] {
            if columns.is_empty() {
                return Err(self.keyless(chain, "join"));
            }
        }
        let is = |t: Trace, column: &Placed| column.at.is_some_and(|at| t == Trace::Stream(at));
        let meets = |(l, r): (&Placed, &Placed)| pairs.iter().any(|(a, b)| is(*a, l) && is(*b, r));
        if of_left.len() == of_right.len() && of_left.iter().zip(&of_right).all(meets) {
            return Ok(());
        }
        let names = |columns: &[Placed]| {
            columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (by_left, by_right) = (names(&of_left), names(&of_right));
        let text = format!(
            "{} is partitioned by {by_left} and {} by {by_right}, and the join does not compare those columns as they are: rows that match could be in two partitions",
            left.name, right.name
        );
        let help = "join ON those columns too, which are of one type, or publish one of the streams to a topic with another key";
        Err(self.problem("join", text, Some(help)))
    }

    /// A chain whose rows come when their windows are over: as an aggregation gives them, or all as they are.
    fn closed(&self, mut chain: Chain, schema: &DFSchema) -> Result<Chain, SqlProblem> {
        let Some(Grouped::Windows(windows)) = chain.window.clone().filter(|_| chain.closed.is_none()) else {
            return Ok(chain);
        };
        self.check_spread(&chain, chain.bounds_used)?;
        let spread = chain.bounds_used;
        let mut fields =
            vec![Field::new("group", DataType::UInt32, false), Field::new("window", DataType::Int64, false)];
        let output = chain.trace.iter().zip(schema.fields()).map(|(trace, field)| match trace {
            Trace::WindowStart => RowColumn::WindowStart,
            Trace::WindowEnd => RowColumn::WindowEnd,
            _ => {
                fields.push(field.as_ref().clone());
                RowColumn::Kept(fields.len() - 1)
            }
        });
        let output = output.collect();
        let branch = chain.branch();
        for step in &mut branch.before {
            if let Step::Window(window) = step {
                window.late = Some(self.options.late.clone());
                window.spread = spread;
            }
        }
        branch.aggregate = Some(Aggregation::Rows(WindowRows::new(RowsPlan {
            late: self.options.late.clone(),
            windows,
            key_groups: self.options.key_groups,
            state_schema: Arc::new(Schema::new(fields)),
            output,
            schema: Arc::clone(schema.inner()),
        })));
        chain.closed = Some(Closed { from: Origin::Branch(0), after: Vec::new() });
        Ok(chain)
    }
}

/// The columns of both sides of a join, whichever of them come out: what its condition is over.
pub(super) fn both(join: &Join) -> Result<DFSchemaRef, DataFusionError> {
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti => {
            let (left, right) = (join.left.schema(), join.right.schema());
            Ok(Arc::new(build_join_schema(left, right, &JoinType::Inner)?))
        }
        _ => Ok(Arc::clone(&join.schema)),
    }
}

/// What the columns of joined rows are.
pub(super) fn placed(kind: &JoinKind, left: &Chain, right: &Chain, pairs: &[(Trace, Trace)]) -> Vec<Trace> {
    // A side that may be null says nothing of where a row is, nor of its window.
    let is_outer = |side| kind.given().is_none() && kind.gives_unmatched(side);
    let null_left = is_outer(JoinSide::Right);
    let null_right = is_outer(JoinSide::Left);
    let of_left = left.trace.iter().map(|t| if null_left { Trace::Other } else { *t });
    // What places a row of the right side is what it is compared with, and lies where an equal one of the left would.
    let of_right = right.trace.iter().map(|t| match t {
        _ if null_right => Trace::Other,
        Trace::Stream(_) => pairs.iter().find(|(_, r)| r == t).map_or(Trace::Other, |(l, _)| *l),
        other => *other,
    });
    match kind.given() {
        None => of_left.chain(of_right).collect(),
        Some(JoinSide::Left) => of_left.collect(),
        Some(JoinSide::Right) => of_right.collect(),
    }
}

/// What is compared, of each side.
pub(super) fn traces(
    on: &[(Expr, Expr)],
    left: (&Chain, &DFSchema),
    right: (&Chain, &DFSchema),
) -> Vec<(Trace, Trace)> {
    let of = |expr, (chain, schema): (&Chain, &DFSchema)| trace(plain(expr, schema), schema, &chain.trace);
    on.iter().map(|(l, r)| (of(l, left), of(r, right))).collect()
}

/// A whole number that is only made a wider one: its text, and so its place, is the same.
pub(super) fn plain<'e>(expr: &'e Expr, schema: &DFSchema) -> &'e Expr {
    let is_integer = |expr: &Expr| expr.get_type(schema).is_ok_and(|kind| kind.is_integer());
    match expr {
        Expr::Cast(cast) if cast.field.data_type().is_integer() && is_integer(&cast.expr) => {
            plain(&cast.expr, schema)
        }
        other => other,
    }
}
