//! A window in a logical plan: its input's columns, then `window_start` and `window_end`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result, plan_datafusion_err};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use millstream_model::{Sessions, Windows};

/// The columns that a window adds.
pub(super) const WINDOW_COLUMNS: [&str; 2] = ["window_start", "window_end"];

/// How a window groups time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cut {
    Windows(Windows),
    /// By these columns of the input.
    Sessions(Sessions, Vec<Column>),
}

impl Cut {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Cut::Windows(windows) => windows.word(),
            Cut::Sessions(..) => "SESSION",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct StreamWindow {
    pub(super) input: LogicalPlan,
    pub(super) time: Column,
    pub(super) cut: Cut,
    schema: DFSchemaRef,
}

impl StreamWindow {
    /// The error is the text to show, at the time argument.
    pub(super) fn new(input: LogicalPlan, time: Column, cut: Cut) -> Result<StreamWindow, String> {
        let (_, field) = input
            .schema()
            .qualified_field_from_column(&time)
            .map_err(|_| format!("there is no column {} in the input of {}", time.name, cut.word()))?;
        if !super::is_event_time(field.data_type()) {
            return Err(format!(
                "column {} is of type {}; {} wants a timestamp_ms, in UTC",
                time.name,
                field.data_type(),
                cut.word()
            ));
        }
        if field.is_nullable() {
            return Err(format!(
                "column {} may be null, and a row without time has no window; declare it required",
                time.name
            ));
        }
        if let Some(taken) =
            WINDOW_COLUMNS.iter().find(|name| input.schema().has_column_with_unqualified_name(name))
        {
            return Err(format!(
                "the input of {} has a column {taken} already, and {} adds another; give it another name where it comes from: {taken} AS inner_{}",
                cut.word(),
                cut.word(),
                taken.trim_start_matches("window_")
            ));
        }
        let schema = window_schema(&input).map_err(|e| e.strip_backtrace())?;
        Ok(StreamWindow { input, time, cut, schema: Arc::new(schema) })
    }

    /// The columns of a session's key.
    pub(super) fn keys(&self) -> &[Column] {
        match &self.cut {
            Cut::Windows(_) => &[],
            Cut::Sessions(_, keys) => keys,
        }
    }

    /// The time's place among the input's columns.
    pub(super) fn time_index(&self) -> Result<usize> {
        self.input.schema().index_of_column(&self.time)
    }
}

/// The added columns have the qualifier of the input's, so that an alias covers them too.
fn window_schema(input: &LogicalPlan) -> Result<DFSchema> {
    let input = input.schema();
    let qualifier = input.iter().next().and_then(|(qualifier, _)| qualifier.cloned());
    let mut fields: Vec<_> = input.iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect();
    for name in WINDOW_COLUMNS {
        let kind = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        fields.push((qualifier.clone(), Arc::new(Field::new(name, kind, false))));
    }
    DFSchema::new_with_metadata(fields, input.metadata().clone())
}

impl PartialEq for StreamWindow {
    fn eq(&self, other: &StreamWindow) -> bool {
        self.input == other.input && self.time == other.time && self.cut == other.cut
    }
}

impl Eq for StreamWindow {}

impl PartialOrd for StreamWindow {
    fn partial_cmp(&self, other: &StreamWindow) -> Option<Ordering> {
        (&self.input, &self.time, &self.cut).partial_cmp(&(&other.input, &other.time, &other.cut))
    }
}

impl Hash for StreamWindow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.time, &self.cut).hash(state);
    }
}

impl UserDefinedLogicalNodeCore for StreamWindow {
    fn name(&self) -> &str {
        self.cut.word()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.time).chain(self.keys()).cloned().map(Expr::Column).collect()
    }

    /// A filter on the window's bounds cannot go below it; any other means the same there, unless it takes rows out of
    /// a session, which may end earlier then.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let mut kept: HashSet<String> = WINDOW_COLUMNS.map(str::to_owned).into();
        if let Cut::Sessions(_, keys) = &self.cut {
            let input = self.input.schema();
            let is_key = |at: usize| keys.iter().any(|key| input.index_of_column(key).ok() == Some(at));
            let others = input.fields().iter().enumerate().filter(|(at, _)| !is_key(*at));
            kept.extend(others.map(|(_, field)| field.name().clone()));
        }
        kept
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: time={}", self.cut.word(), self.time)?;
        match &self.cut {
            Cut::Windows(windows) => {
                write!(f, ", size={} ms", windows.size_ms())?;
                if !windows.is_tumbling() {
                    write!(f, ", every {} ms, slices of {} ms", windows.every_ms(), windows.slice_ms())?;
                }
            }
            Cut::Sessions(sessions, keys) => {
                write!(f, ", gap={} ms", sessions.gap_ms())?;
                for (i, key) in keys.iter().enumerate() {
                    write!(f, "{}{key}", if i == 0 { ", by " } else { ", " })?;
                }
            }
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<StreamWindow> {
        let columns: Option<Vec<Column>> = exprs
            .into_iter()
            .map(|expr| match expr {
                Expr::Column(column) => Some(column),
                _ => None,
            })
            .collect();
        match (columns.as_deref(), inputs.pop()) {
            (Some([time, keys @ ..]), Some(input)) if inputs.is_empty() => {
                let cut = match &self.cut {
                    Cut::Sessions(sessions, _) => Cut::Sessions(*sessions, keys.to_vec()),
                    windows => windows.clone(),
                };
                StreamWindow::new(input, time.clone(), cut).map_err(|text| plan_datafusion_err!("{text}"))
            }
            _ => Err(plan_datafusion_err!("a window has one input, and columns for its time and keys")),
        }
    }

    /// Without this every column of the input would be decoded.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|i| *i < inputs).collect();
        needed.push(self.time_index().ok()?);
        for key in self.keys() {
            needed.push(self.input.schema().index_of_column(key).ok()?);
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
