//! What DataFusion's planner asks for while it plans: relations, functions, settings. All from values, nothing from a
//! session.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, Result, TableReference, plan_err};
use datafusion_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawFieldAccessExpr, RelationPlanner,
};
use datafusion_expr::{
    AggregateUDF, Expr, GetFieldAccess, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
};

use super::as_of::AsOfJoins;
use super::function::Functions;
use super::relation::WindowFunctions;
use super::{Relation, Relations};

/// A relation as a table of DataFusion's plans.
pub(super) struct Source {
    pub(super) relation: Relation,
}

impl TableSource for Source {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.relation.schema())
    }
}

/// `item['sku']`: a field of a struct. (DataFusion's own planner for it comes with functions over lists, which are not here.)
#[derive(Debug)]
struct Fields;

impl ExprPlanner for Fields {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        Ok(match access {
            RawFieldAccessExpr { expr, field_access: GetFieldAccess::NamedStructField { name } } => {
                let field = datafusion_functions::core::get_field();
                PlannerResult::Planned(field.call(vec![expr, Expr::Literal(name, None)]))
            }
            other => PlannerResult::Original(other),
        })
    }
}

/// Names before a bracket that the parser or the planner reads in its own way.
const FORMS: &[&str] = &[
    "array",
    "cast",
    "ceil",
    "convert",
    "cube",
    "cumulate",
    "exists",
    "extract",
    "filter",
    "floor",
    "grouping",
    "hop",
    "listagg",
    "map",
    "over",
    "overlay",
    "position",
    "rollup",
    "row",
    "session",
    "sets",
    "struct",
    "substr",
    "substring",
    "table",
    "trim",
    "try_cast",
    "tumble",
    "unnest",
    "values",
    "within",
];

pub(super) struct Context {
    config: ConfigOptions,
    sources: BTreeMap<String, Arc<Source>>,
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    windows: BTreeMap<String, Arc<WindowUDF>>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
}

impl Context {
    pub(super) fn new(relations: &Relations, functions: &Functions) -> Context {
        let mut config = ConfigOptions::default();
        config.sql_parser.collect_spans = true;
        // 1.18 is money, not a double.
        config.sql_parser.parse_float_as_decimal = true;
        config.sql_parser.map_string_types_to_utf8view = false;
        let sources = relations
            .iter()
            .map(|(name, relation)| (name.clone(), Arc::new(Source { relation: relation.clone() })));
        let mut scalars = BTreeMap::new();
        for function in datafusion_functions::all_default_functions() {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                scalars.insert(name, Arc::clone(&function));
            }
        }
        for (name, function) in functions.planned() {
            scalars.entry(name).or_insert(function);
        }
        let mut aggregates = BTreeMap::new();
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                aggregates.insert(name, Arc::clone(&function));
            }
        }
        let mut windows = BTreeMap::new();
        for function in datafusion_functions_window::all_default_window_functions() {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                windows.insert(name, Arc::clone(&function));
            }
        }
        Context {
            windows,
            sources: sources.collect(),
            scalars,
            aggregates,
            expr_planners: vec![
                Arc::new(Fields),
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
                Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
            ],
            relation_planners: vec![Arc::new(WindowFunctions), Arc::new(AsOfJoins)],
            config,
        }
    }

    /// For relations that are at rest: functions that cut streams are not there, nor are the pipeline's.
    pub(super) fn at_rest(relations: &Relations) -> Context {
        Context { relation_planners: Vec::new(), ..Context::new(relations, &Functions::default()) }
    }

    /// Whether a call of this name is SQL's own.
    pub(super) fn has_function(&self, name: &str) -> bool {
        self.scalars.contains_key(name)
            || self.aggregates.contains_key(name)
            || self.windows.contains_key(name)
            || FORMS.contains(&name)
    }

    pub(super) fn config(&self) -> &ConfigOptions {
        &self.config
    }
}

impl ContextProvider for Context {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        // The planner words the error, with the place, from the name.
        let source = match &name {
            TableReference::Bare { table } => self.sources.get(table.as_ref()),
            _ => None,
        };
        match source {
            Some(source) => Ok(Arc::clone(source) as Arc<dyn TableSource>),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.windows.keys().cloned().collect()
    }
}
