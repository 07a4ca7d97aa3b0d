//! A stream joined with a table, in a query's chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::{DFSchema, JoinType, NullEquality};
use datafusion_expr::logical_plan::Join;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::stream_join::{both, plain};
use super::{Chain, Trace, Translator, trace};
use crate::op::Step;
use crate::op::join::{StreamSide, TableJoin, Unmatched};
use crate::op::row_key;
use crate::sql::Relation;
use crate::sql::problem::SqlProblem;

impl Translator<'_> {
    pub(super) fn join(&self, join: &Join) -> Result<Chain, SqlProblem> {
        let (left, right) = (self.walk(&join.left)?, self.walk(&join.right)?);
        if self.is_of_latest(&left, &right)? {
            return self.join_latest(join, left, right);
        }
        if let Some(chain) = [&left, &right].into_iter().find(|chain| chain.latest.is_some()) {
            return Err(self.takes_places(chain, "join"));
        }
        let (mut stream, mut table, side) = match (left.is_stream(), right.is_stream()) {
            (true, false) => (left, right, StreamSide::Left),
            (false, true) => (right, left, StreamSide::Right),
            (true, true) => return self.join_streams(join, left, right),
            (false, false) => {
                return Err(self.problem(
                    "join",
                    "two tables are joined",
                    Some("join each of them with the stream"),
                ));
            }
        };
        if stream.in_sessions() {
            return Err(self.problem(
                "join",
                "a join between a session and its GROUP BY could take rows out of sessions that they belong to",
                Some("join behind the GROUP BY, SELECT … FROM (SELECT … GROUP BY …) AS s JOIN …, or before, FROM SESSION((SELECT … JOIN …), …)"),
            ));
        }
        let unmatched = match (join.join_type, side) {
            (JoinType::Inner, _) => Unmatched::Drop,
            (JoinType::Left, StreamSide::Left) | (JoinType::Right, StreamSide::Right) => Unmatched::Keep,
            (JoinType::LeftSemi, StreamSide::Left) | (JoinType::RightSemi, StreamSide::Right) => {
                Unmatched::DropOrPass
            }
            (JoinType::LeftAnti, StreamSide::Left) | (JoinType::RightAnti, StreamSide::Right) => {
                Unmatched::PassOrDrop
            }
            (JoinType::LeftMark | JoinType::RightMark, _) => {
                return Err(self.problem(
                    "in",
                    "IN and EXISTS as a part of a condition do not run yet",
                    Some("write them as conditions of their own, with AND between; or LEFT JOIN the table, and ask whether its key IS NULL"),
                ));
            }
            (kind, _) => {
                let text = format!(
                    "{kind} join of {} with table {}: it would have to know which table rows no row of the stream will ever match",
                    stream.name, table.name
                );
                return Err(self.problem(
                    "join",
                    text,
                    Some("JOIN, or a LEFT JOIN with the stream on the left, run"),
                ));
            }
        };
        if join.null_aware {
            return Err(self.problem(
                "not",
                "NOT IN over a column that may be null: one null in the table, and it is true of no row",
                Some("write NOT EXISTS (SELECT 1 FROM table WHERE table.key = stream.key)"),
            ));
        }
        if join.on.is_empty() {
            let text = format!(
                "the join of {} with table {} has no equality to look rows up by",
                stream.name, table.name
            );
            let word = self.join_word(join.join_type);
            return Err(self.problem(word, text, Some("join ON stream.column = table.key")));
        }
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(self.null_equals_null(self.join_word(join.join_type)));
        }
        let (mut stream_keys, mut table_keys) = (Vec::new(), Vec::new());
        for (l, r) in &join.on {
            let (l, r) = (self.expr(l, join.left.schema())?, self.expr(r, join.right.schema())?);
            let (s, t) = if side == StreamSide::Left { (l, r) } else { (r, l) };
            stream_keys.push(s);
            table_keys.push(t);
        }
        let (table_plan, stream_plan) =
            if side == StreamSide::Left { (&join.right, &join.left) } else { (&join.left, &join.right) };
        for (keys, plan) in [(&stream_keys, stream_plan), (&table_keys, table_plan)] {
            self.check_keys(keys, plan.schema().inner(), "join")?;
        }
        let (left, right) = (join.left.schema(), join.right.schema());
        let (of_left, of_right): (Vec<&Expr>, Vec<&Expr>) = join.on.iter().map(|(l, r)| (l, r)).unzip();
        let (stream_schema, ours, theirs) = match side {
            StreamSide::Left => (left, of_left, of_right),
            StreamSide::Right => (right, of_right, of_left),
        };
        stream.use_bounds(ours, stream_schema);
        let both = both(join).map_err(|e| self.explained(&e))?;
        stream.use_bounds(&join.filter, stream_schema);
        // What a row is only looked up for adds no columns.
        let only_asks = matches!(unmatched, Unmatched::DropOrPass | Unmatched::PassOrDrop);
        let table_trace = vec![Trace::Other; if only_asks { 0 } else { table.trace.len() }];
        let table_columns = table_trace.len();
        stream.trace = match side {
            StreamSide::Left => [stream.trace, table_trace].concat(),
            StreamSide::Right => [table_trace, stream.trace].concat(),
        };
        stream.tables.insert(table.name.clone());
        let not_compared = not_compared(&table, table_plan, &theirs);
        let table_steps = std::mem::take(&mut table.branch().before);
        let filter = join.filter.as_ref().map(|filter| self.expr(filter, &both)).transpose()?;
        stream.push(Step::Join(Box::new(TableJoin {
            operator: self.options.operator.clone(),
            table: table.name,
            table_schema: Arc::clone(table.relation.schema()),
            table_steps,
            table_keys,
            stream_keys,
            not_compared,
            unmatched,
            side,
            filter,
            both: Arc::clone(both.inner()),
            columns_before: if side == StreamSide::Right { table_columns } else { 0 },
            loaded: None,
            asked_by: Vec::new(),
            refused: HashMap::new(),
        })));
        if let (Some(updating), StreamSide::Right) = (&mut stream.updating, side) {
            updating.shift(table_columns);
        }
        Ok(stream)
    }

    pub(super) fn check_keys(
        &self,
        keys: &[Arc<dyn PhysicalExpr>],
        schema: &Schema,
        word: &str,
    ) -> Result<(), SqlProblem> {
        for key in keys {
            let field = key.return_field(schema).map_err(|e| self.explained(&e))?;
            row_key::check_type(&field).map_err(|text| self.problem(word, text, None))?;
        }
        Ok(())
    }
}

/// Of the columns by which a table's rows are told apart, those that none of these expressions over it is, and that no condition on it
/// fixes.
fn not_compared(table: &Chain, plan: &LogicalPlan, compared: &[&Expr]) -> Vec<String> {
    let Relation::Table { schema: columns, key } = &table.relation else { return Vec::new() };
    let schema: &DFSchema = plan.schema();
    let mut fixed = BTreeSet::new();
    note_fixed(plan, &mut fixed);
    let compared: Vec<Trace> =
        compared.iter().map(|expr| trace(plain(expr, schema), schema, &table.trace)).collect();
    let is_compared = |name: &String| {
        fixed.contains(name) || columns.index_of(name).is_ok_and(|at| compared.contains(&Trace::Stream(at)))
    };
    // Of one row several may be made.
    let unnested = table.branches.iter().flat_map(|branch| &branch.before);
    let is_one = !unnested.into_iter().any(|step| matches!(step, Step::Unnest(_)));
    key.iter().filter(|name| !is_one || !is_compared(name)).cloned().collect()
}

/// The columns of a table that are one value in all of its rows which a query reads.
fn note_fixed(plan: &LogicalPlan, fixed: &mut BTreeSet<String>) {
    let (conditions, schema): (&[Expr], _) = match plan {
        LogicalPlan::TableScan(scan) => (&scan.filters, &scan.projected_schema),
        LogicalPlan::Filter(filter) => match filter.input.as_ref() {
            // Its columns have the table's names.
            LogicalPlan::TableScan(scan) => (std::slice::from_ref(&filter.predicate), &scan.projected_schema),
            _ => (&[], plan.schema()),
        },
        _ => (&[], plan.schema()),
    };
    for condition in conditions.iter().flat_map(split_conjunction) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { continue };
        if let (Expr::Column(column), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(column)) =
            (plain(left, schema), plain(right, schema))
        {
            fixed.insert(column.name.clone());
        }
    }
    plan.inputs().into_iter().for_each(|input| note_fixed(input, fixed));
}
