//! `a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.key = b.key`: planned here. DataFusion's planner knows the syntax and
//! has no plan for it; so the part of a FROM clause that ends in such a join is put into brackets, which makes it a relation,
//! and the relation is planned as a node of our own. Never enters: what the conditions may say.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion_common::{
    DFSchemaRef, DataFusionError, Diagnostic, JoinType, Result, Span, plan_datafusion_err,
};
use datafusion_expr::logical_plan::builder::build_join_schema;
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_sql::sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, Query, SetExpr, Spanned, Statement, TableFactor, TableWithJoins,
    VisitMut, VisitorMut,
};

/// How it is written.
pub(super) const USE: &str = "write a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.key = b.key";

/// Puts brackets around each part of a FROM clause that ends in an ASOF JOIN.
pub(super) fn bracket(statement: &mut Statement) {
    struct Brackets;
    impl VisitorMut for Brackets {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            in_body(&mut query.body);
            ControlFlow::Continue(())
        }
    }
    fn in_body(body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => select.from.iter_mut().for_each(in_from),
            SetExpr::SetOperation { left, right, .. } => {
                in_body(left);
                in_body(right);
            }
            // Queries in brackets are visited by themselves.
            _ => {}
        }
    }
    fn in_from(from: &mut TableWithJoins) {
        let parts = std::iter::once(&mut from.relation).chain(from.joins.iter_mut().map(|j| &mut j.relation));
        for part in parts {
            if let TableFactor::NestedJoin { table_with_joins, .. } = part {
                in_from(table_with_joins);
            }
        }
        while let Some(at) = from.joins.iter().position(is_as_of) {
            let behind = from.joins.split_off(at + 1);
            let joins = std::mem::replace(&mut from.joins, behind);
            let table_with_joins = Box::new(TableWithJoins { relation: from.relation.clone(), joins });
            from.relation = TableFactor::NestedJoin { table_with_joins, alias: None };
        }
    }
    let _ = VisitMut::visit(statement, &mut Brackets);
}

fn is_as_of(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

fn error(text: String, at: &impl Spanned) -> DataFusionError {
    let span = Span::try_from_sqlparser_span(at.span());
    plan_datafusion_err!("{text}").with_diagnostic(Diagnostic::new_error(text, span))
}

/// Plans what [`bracket`] has put into brackets.
#[derive(Debug)]
pub(super) struct AsOfJoins;

impl RelationPlanner for AsOfJoins {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { table_with_joins, alias } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if !table_with_joins.joins.last().is_some_and(is_as_of) {
            let relation = TableFactor::NestedJoin { table_with_joins, alias };
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let TableWithJoins { relation: left, mut joins } = *table_with_joins;
        let Some(Join {
            relation: right,
            join_operator: JoinOperator::AsOf { match_condition, constraint },
            ..
        }) = joins.pop()
        else {
            return Err(plan_datafusion_err!("an ASOF JOIN was there before it was taken"));
        };
        let left = if joins.is_empty() {
            left
        } else {
            let table_with_joins = Box::new(TableWithJoins { relation: left, joins });
            TableFactor::NestedJoin { table_with_joins, alias: None }
        };
        let on = match constraint {
            JoinConstraint::On(on) => on,
            _ => {
                let text = format!("an ASOF JOIN has an ON that says which rows belong together; {USE}");
                return Err(error(text, &right));
            }
        };
        let (left, right) = (context.plan(left)?, context.plan(right)?);
        let schema = build_join_schema(left.schema(), right.schema(), &JoinType::Left)?;
        let condition = context.sql_to_expr(match_condition, &schema)?;
        let on = split_conjunction_owned(context.sql_to_expr(on, &schema)?);
        let conditions = std::iter::once(condition).chain(on).collect();
        let node = AsOfJoin { left, right, conditions, schema: Arc::new(schema) };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// Each row of the left input with the row of the right one that is nearest before it in time, or with nulls.
#[derive(Clone, Debug)]
pub(super) struct AsOfJoin {
    pub(super) left: LogicalPlan,
    pub(super) right: LogicalPlan,
    /// The MATCH_CONDITION, then what ON says.
    pub(super) conditions: Vec<Expr>,
    schema: DFSchemaRef,
}

impl PartialEq for AsOfJoin {
    fn eq(&self, other: &AsOfJoin) -> bool {
        self.left == other.left && self.right == other.right && self.conditions == other.conditions
    }
}

impl Eq for AsOfJoin {}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &AsOfJoin) -> Option<Ordering> {
        (&self.left, &self.right, &self.conditions).partial_cmp(&(
            &other.left,
            &other.right,
            &other.conditions,
        ))
    }
}

impl Hash for AsOfJoin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.left, &self.right, &self.conditions).hash(state);
    }
}

/// A filter of the result stays above it: one on the right side's columns would choose among versions, and one on the left
/// side's would be handed to both inputs.
impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &'static str {
        "ASOF JOIN"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.conditions.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ASOF JOIN:")?;
        for (at, condition) in self.conditions.iter().enumerate() {
            write!(f, "{}{condition}", if at == 0 { " " } else { ", " })?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, conditions: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<AsOfJoin> {
        let (Some(right), Some(left)) = (inputs.pop(), inputs.pop()) else {
            return Err(plan_datafusion_err!("an ASOF JOIN has two inputs"));
        };
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &JoinType::Left)?);
        Ok(AsOfJoin { left, right, conditions, schema })
    }

    /// Without this every column of the inputs would be decoded.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let of_left = self.left.schema().fields().len();
        let mut needed: BTreeSet<usize> = output_columns.iter().copied().collect();
        for condition in &self.conditions {
            for column in condition.column_refs() {
                needed.insert(self.schema.index_of_column(column).ok()?);
            }
        }
        let (left, right) = needed.into_iter().partition::<Vec<_>, _>(|at| *at < of_left);
        Some(vec![left, right.into_iter().map(|at| at - of_left).collect()])
    }
}
