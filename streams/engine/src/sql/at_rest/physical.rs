//! From an optimised logical plan to DataFusion's own operators, in one partition: everything is in memory and small, and
//! nothing is gained by several. What an operator wants of its input, one partition or an order, is put before it here, since no
//! physical optimizer is linked. Never enters: operators of streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, HashMap, Result, ScalarValue, internal_err, not_impl_err, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{GroupingSet, NullTreatment, physical_name};
use datafusion_expr::logical_plan::{
    Aggregate, FetchType, Join, Limit, SkipType, Subquery, TableScan, Unnest, Values, Window,
};
use datafusion_expr::physical_planning_context::{
    PhysicalPlanningContext, ScalarSubqueryResults, SubqueryIndex,
};
use datafusion_expr::{Expr, JoinType, LogicalPlan};
use datafusion_physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_expr::window::WindowExpr;
use datafusion_physical_expr::{
    Distribution, LexOrdering, PhysicalExpr, PhysicalSortExpr, create_physical_expr,
    create_physical_sort_exprs,
};
use datafusion_physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion_physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion_physical_plan::coop::CooperativeExec;
use datafusion_physical_plan::empty::EmptyExec;
use datafusion_physical_plan::filter::FilterExec;
use datafusion_physical_plan::joins::utils::{JoinFilter, JoinOn};
use datafusion_physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion_physical_plan::limit::GlobalLimitExec;
use datafusion_physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion_physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion_physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use datafusion_physical_plan::sorts::sort::SortExec;
use datafusion_physical_plan::union::UnionExec;
use datafusion_physical_plan::unnest::{ListUnnest, UnnestExec};
use datafusion_physical_plan::windows::{WindowAggExec, create_window_expr};
use datafusion_physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};

use super::Rows;
use super::scan::Scan;

type Plan = Arc<dyn ExecutionPlan>;

/// Makes plans over these rows.
pub(super) struct Planner<'a> {
    pub(super) rows: &'a Rows,
    pub(super) props: ExecutionProps,
}

/// What expressions of a plan are made with.
struct Scope<'a> {
    props: &'a ExecutionProps,
    context: PhysicalPlanningContext,
}

impl Scope<'_> {
    fn expr(&self, expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(expr, input, self.props, &self.context)
    }

    fn exprs(&self, exprs: &[Expr], input: &DFSchema) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        exprs.iter().map(|expr| self.expr(expr, input)).collect()
    }

    fn sorts(&self, exprs: &[datafusion_expr::SortExpr], input: &DFSchema) -> Result<Vec<PhysicalSortExpr>> {
        create_physical_sort_exprs(exprs, input, self.props, &self.context)
    }
}

/// The subqueries of a plan's expressions that give one value and need nothing of the row; not those inside of them.
fn scalar_subqueries(plan: &LogicalPlan) -> Result<Vec<Subquery>> {
    let mut found: Vec<Subquery> = Vec::new();
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(subquery) = expr
                    && subquery.outer_ref_columns.is_empty()
                    && !found.contains(subquery)
                {
                    found.push(subquery.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// Puts before an operator what it wants of its inputs.
fn fitted(plan: Plan) -> Result<Plan> {
    let (orders, wanted) = (plan.required_input_ordering(), plan.input_distribution_requirements());
    let mut inputs: Vec<Plan> = Vec::new();
    let mut changed = false;
    for (at, input) in plan.children().into_iter().enumerate() {
        let mut input = Arc::clone(input);
        let any =
            wanted.child_distribution(at).is_some_and(|d| matches!(d, Distribution::UnspecifiedDistribution));
        if !any && input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
            changed = true;
        }
        if let Some(order) = orders.get(at).and_then(Option::as_ref) {
            let order = order.clone().into_single();
            if !input.equivalence_properties().ordering_satisfy_requirement(order.clone())? {
                input = Arc::new(SortExec::new(LexOrdering::from(order), input));
                changed = true;
            }
        }
        inputs.push(input);
    }
    let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    if changed { plan.replace_children(inputs, anew) } else { Ok(plan) }
}

impl Planner<'_> {
    /// The plan, with those of its subqueries, whose values are known before its first row.
    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<Plan> {
        let (mut links, mut places) = (Vec::new(), HashMap::default());
        for subquery in scalar_subqueries(plan)? {
            let index = SubqueryIndex::new(links.len());
            links.push(ScalarSubqueryLink { plan: self.plan(&subquery.subquery)?, index });
            places.insert(subquery, index);
        }
        let results = ScalarSubqueryResults::new(links.len());
        let context = PhysicalPlanningContext::new(places, results.clone());
        let planned = self.node(plan, &Scope { props: &self.props, context })?;
        // One partition comes out.
        let planned = match planned.output_partitioning().partition_count() {
            0 | 1 => planned,
            _ => Arc::new(CoalescePartitionsExec::new(planned)),
        };
        Ok(if links.is_empty() {
            planned
        } else {
            Arc::new(ScalarSubqueryExec::new(planned, links, results))
        })
    }

    fn node(&self, node: &LogicalPlan, scope: &Scope<'_>) -> Result<Plan> {
        let made: Plan = match node {
            LogicalPlan::TableScan(scan) => self.scan(scan)?,
            LogicalPlan::Values(values) => self.values(values, scope)?,
            LogicalPlan::EmptyRelation(empty) => {
                let schema = Arc::clone(empty.schema.inner());
                match empty.produce_one_row {
                    true => Arc::new(PlaceholderRowExec::new(schema)),
                    false => Arc::new(EmptyExec::new(schema)),
                }
            }
            LogicalPlan::Projection(projection) => {
                let input = self.node(&projection.input, scope)?;
                self.project(input, projection.input.schema(), &projection.expr, node.schema(), scope)?
            }
            LogicalPlan::Filter(filter) => {
                let input = self.node(&filter.input, scope)?;
                let condition = scope.expr(&filter.predicate, filter.input.schema())?;
                Arc::new(FilterExec::try_new(condition, input)?)
            }
            LogicalPlan::Sort(sort) => {
                let input = self.node(&sort.input, scope)?;
                let order = scope.sorts(&sort.expr, sort.input.schema())?;
                let Some(order) = LexOrdering::new(order) else {
                    return internal_err!("an ORDER BY of nothing");
                };
                Arc::new(SortExec::new(order, input).with_fetch(sort.fetch))
            }
            LogicalPlan::Limit(limit) => self.limit(limit, scope)?,
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input, scope)?,
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, scope)?,
            LogicalPlan::Window(window) => self.window(window, scope)?,
            // A few rows may become many: what is asked is interrupted there too.
            LogicalPlan::Join(join) => Arc::new(CooperativeExec::new(fitted(self.join(join, scope)?)?)),
            LogicalPlan::Union(union) => {
                let inputs: Result<Vec<Plan>> =
                    union.inputs.iter().map(|input| self.node(input, scope)).collect();
                UnionExec::try_new(inputs?)?
            }
            LogicalPlan::Unnest(unnest) => self.unnest(unnest, scope)?,
            LogicalPlan::Subquery(_) => {
                return not_impl_err!("a subquery that depends on the row around it in this way");
            }
            other => return not_impl_err!("{} is no part of a query", other.display()),
        };
        fitted(made)
    }

    fn scan(&self, scan: &TableScan) -> Result<Plan> {
        let name = scan.table_name.table();
        let Some(rows) = self.rows.get(name) else {
            return internal_err!("the rows of {name} were not handed in");
        };
        let schema = Arc::clone(scan.projected_schema.inner());
        Ok(Arc::new(Scan::new(name, rows, scan.projection.as_ref(), schema)?))
    }

    fn values(&self, values: &Values, scope: &Scope<'_>) -> Result<Plan> {
        let schema = values.schema.inner();
        let mut parts: Vec<Plan> = Vec::new();
        for row in &values.values {
            let one: Plan = Arc::new(PlaceholderRowExec::new(Arc::new(Schema::empty())));
            let of = |(expr, field): (&Expr, &arrow::datatypes::FieldRef)| -> Result<ProjectionExpr> {
                let expr = scope.expr(expr, &values.schema)?;
                let expr = datafusion_physical_expr::expressions::cast(
                    expr,
                    &Schema::empty(),
                    field.data_type().clone(),
                )?;
                Ok(ProjectionExpr { expr, alias: field.name().clone() })
            };
            let exprs: Result<Vec<ProjectionExpr>> = row.iter().zip(schema.fields()).map(of).collect();
            parts.push(Arc::new(ProjectionExec::try_new(exprs?, one)?));
        }
        UnionExec::try_new(parts)
    }

    fn project(
        &self,
        input: Plan,
        input_schema: &DFSchema,
        exprs: &[Expr],
        schema: &DFSchema,
        scope: &Scope<'_>,
    ) -> Result<Plan> {
        let found = input.schema();
        let of = |expr: &Expr| -> Result<ProjectionExpr> {
            // A column that was computed below has its name there.
            let at = match expr {
                Expr::Column(column) => input_schema.index_of_column(column).ok(),
                _ => None,
            };
            let alias = match at {
                Some(at) => found.field(at).name().clone(),
                None => physical_name(expr)?,
            };
            Ok(ProjectionExpr { expr: scope.expr(expr, input_schema)?, alias })
        };
        let exprs: Result<Vec<ProjectionExpr>> = exprs.iter().map(of).collect();
        Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(exprs?, input, schema.as_arrow())?))
    }

    fn limit(&self, limit: &Limit, scope: &Scope<'_>) -> Result<Plan> {
        let mut input = self.node(&limit.input, scope)?;
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return not_impl_err!("LIMIT and OFFSET are numbers, not computed");
        };
        if input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
        }
        Ok(Arc::new(GlobalLimitExec::new(input, skip, fetch)))
    }

    fn aggregate(&self, aggregate: &Aggregate, scope: &Scope<'_>) -> Result<Plan> {
        let mut input = self.node(&aggregate.input, scope)?;
        if input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
        }
        let (logical, physical) = (aggregate.input.schema(), input.schema());
        let (mut functions, mut filters) = (Vec::new(), Vec::new());
        for expr in &aggregate.aggr_expr {
            let lowered = LoweredAggregateBuilder::new(expr, logical, &physical, scope.props, &scope.context)
                .build()?;
            functions.push(lowered.aggregate);
            filters.push(lowered.filter);
        }
        let groups = self.groups(&aggregate.group_expr, logical, &physical, scope)?;
        let mode = AggregateMode::Single;
        Ok(Arc::new(AggregateExec::try_new(mode, groups, functions, filters, input, physical)?))
    }

    /// The keys of groups; of several sets, which keys each leaves out.
    fn groups(
        &self,
        exprs: &[Expr],
        logical: &DFSchema,
        physical: &Schema,
        scope: &Scope<'_>,
    ) -> Result<PhysicalGroupBy> {
        let pair = |expr: &Expr| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            Ok((scope.expr(expr, logical)?, physical_name(expr)?))
        };
        let [Expr::GroupingSet(set)] = exprs else {
            return Ok(match exprs.is_empty() {
                true => PhysicalGroupBy::new(Vec::new(), Vec::new(), Vec::new(), false),
                false => PhysicalGroupBy::new_single(exprs.iter().map(pair).collect::<Result<_>>()?),
            });
        };
        let (all, sets): (Vec<Expr>, Vec<Vec<bool>>) = match set {
            GroupingSet::Rollup(exprs) => {
                let left_out = |kept: usize| (0..exprs.len()).map(|at| at >= kept).collect();
                (exprs.clone(), (0..=exprs.len()).map(left_out).collect())
            }
            GroupingSet::Cube(exprs) if exprs.len() > 12 => {
                return plan_err!("a CUBE of {} keys; at most 12", exprs.len());
            }
            GroupingSet::Cube(exprs) => {
                let left_out = |bits: usize| (0..exprs.len()).map(|at| bits & 1 << at != 0).collect();
                (exprs.clone(), (0..1 << exprs.len()).map(left_out).collect())
            }
            GroupingSet::GroupingSets(sets) => {
                let mut all: Vec<Expr> = Vec::new();
                for expr in sets.iter().flatten() {
                    if !all.contains(expr) {
                        all.push(expr.clone());
                    }
                }
                let left_out = |set: &Vec<Expr>| all.iter().map(|expr| !set.contains(expr)).collect();
                let sets = sets.iter().map(left_out).collect();
                (all, sets)
            }
        };
        let null = |expr: &Expr| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            let kind = scope.expr(expr, logical)?.data_type(physical)?;
            let null: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::try_from(&kind)?));
            Ok((null, physical_name(expr)?))
        };
        let keys = all.iter().map(pair).collect::<Result<_>>()?;
        let nulls = all.iter().map(null).collect::<Result<_>>()?;
        Ok(PhysicalGroupBy::new(keys, nulls, sets, true))
    }

    /// Functions OVER sorted rows. That the rows are sorted as they want is seen to by [`fitted`].
    fn window(&self, window: &Window, scope: &Scope<'_>) -> Result<Plan> {
        let mut input = self.node(&window.input, scope)?;
        if input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
        }
        let schema = window.input.schema();
        let calls: Result<Vec<Arc<dyn WindowExpr>>> =
            window.window_expr.iter().map(|expr| self.call(expr, schema, scope)).collect();
        Ok(Arc::new(WindowAggExec::try_new(calls?, input, false)?))
    }

    fn call(&self, expr: &Expr, input: &DFSchema, scope: &Scope<'_>) -> Result<Arc<dyn WindowExpr>> {
        let (name, call) = match expr {
            Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref()),
            other => (physical_name(other)?, other),
        };
        let Expr::WindowFunction(call) = call else {
            return internal_err!("{call} is no call of a function OVER rows");
        };
        let params = &call.params;
        let filter = params.filter.as_ref().map(|filter| scope.expr(filter, input)).transpose()?;
        create_window_expr(
            &call.fun,
            name,
            &scope.exprs(&params.args, input)?,
            &scope.exprs(&params.partition_by, input)?,
            &scope.sorts(&params.order_by, input)?,
            Arc::new(params.window_frame.clone()),
            Arc::clone(input.inner()),
            params.null_treatment == Some(NullTreatment::IgnoreNulls),
            params.distinct,
            filter,
        )
    }

    fn unnest(&self, unnest: &Unnest, scope: &Scope<'_>) -> Result<Plan> {
        let input = self.node(&unnest.input, scope)?;
        let lists = unnest.list_type_columns.iter();
        let lists = lists.map(|(at, list)| ListUnnest { index_in_input_schema: *at, depth: list.depth });
        Ok(Arc::new(UnnestExec::new(
            input,
            lists.collect(),
            unnest.struct_type_columns.clone(),
            Arc::clone(unnest.schema.inner()),
            unnest.options.clone(),
        )?))
    }

    fn join(&self, join: &Join, scope: &Scope<'_>) -> Result<Plan> {
        let (mut left, mut right) = (self.node(&join.left, scope)?, self.node(&join.right, scope)?);
        for side in [&mut left, &mut right] {
            if side.output_partitioning().partition_count() > 1 {
                *side = Arc::new(CoalescePartitionsExec::new(Arc::clone(side)));
            }
        }
        let (of_left, of_right) = (join.left.schema(), join.right.schema());
        let pair = |(l, r): &(Expr, Expr)| Ok((scope.expr(l, of_left)?, scope.expr(r, of_right)?));
        let on: JoinOn = join.on.iter().map(pair).collect::<Result<_>>()?;
        let filter = join.filter.as_ref().map(|filter| self.condition(filter, join, (&left, &right), scope));
        let filter = filter.transpose()?;
        if on.is_empty() {
            return Ok(match filter {
                None if join.join_type == JoinType::Inner => Arc::new(CrossJoinExec::new(left, right)),
                filter => Arc::new(NestedLoopJoinExec::try_new(left, right, filter, &join.join_type, None)?),
            });
        }
        Ok(Arc::new(HashJoinExec::try_new(
            left,
            right,
            on,
            filter,
            &join.join_type,
            None,
            PartitionMode::CollectLeft,
            join.null_equality,
            join.null_aware,
        )?))
    }

    /// What rows of both sides have to meet besides equal keys, over the columns of both that it reads.
    fn condition(
        &self,
        condition: &Expr,
        join: &Join,
        (left, right): (&Plan, &Plan),
        scope: &Scope<'_>,
    ) -> Result<JoinFilter> {
        let columns = condition.column_refs();
        let places = |of: &DFSchema| -> Vec<usize> {
            let places: BTreeSet<usize> = columns.iter().filter_map(|c| of.index_of_column(c).ok()).collect();
            places.into_iter().collect()
        };
        let (of_left, of_right) = (join.left.schema(), join.right.schema());
        let (from_left, from_right) = (places(of_left), places(of_right));
        let sides = [(of_left, left, &from_left), (of_right, right, &from_right)];
        let (mut logical, mut physical) = (Vec::new(), Vec::new());
        for (schema, plan, places) in sides {
            for at in places {
                let (table, field) = schema.qualified_field(*at);
                logical.push((table.cloned(), Arc::clone(field)));
                physical.push(plan.schema().field(*at).clone());
            }
        }
        let metadata: std::collections::HashMap<String, String> = of_left
            .metadata()
            .iter()
            .chain(of_right.metadata())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let schema = DFSchema::new_with_metadata(logical, metadata.clone())?;
        let expr = scope.expr(condition, &schema)?;
        let places = JoinFilter::build_column_indices(from_left, from_right);
        Ok(JoinFilter::new(expr, places, Arc::new(Schema::new_with_metadata(physical, metadata))))
    }
}
