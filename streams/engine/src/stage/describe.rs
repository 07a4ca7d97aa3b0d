//! A stage as it runs, for people: the columns that it decodes, and of each operator the plan that its query became, the
//! steps that rows go through, and what is kept of them for how long. Taken from the operators themselves, not from what
//! they were made of. Never enters: layout on a screen, topics.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_physical_expr::PhysicalExpr;
use millstream_model::{LateRule, LateThen};

use super::{Running, Stage};
use crate::op::Step;
use crate::op::aggregate::{AggregateColumn, Aggregation};
use crate::op::dedupe::Dedupe;
use crate::op::join::{TableJoin, Unmatched};
use crate::op::window::WindowStep;
use crate::sql::Query;

/// A stage as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageDescription {
    /// What it reads.
    pub source: String,
    /// The columns that are decoded of it, with their types.
    pub columns: Vec<(String, String)>,
    /// The column of its event time.
    pub event_time: Option<String>,
    /// Its operators, each behind those that feed it.
    pub operators: Vec<OperatorDescription>,
}

/// An operator as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorDescription {
    /// Its stable id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What feeds it: the source, or another operator, by name.
    pub input: String,
    /// The optimised logical plan of a query.
    pub logical_plan: Option<String>,
    /// What is done to rows, in order.
    pub steps: Vec<String>,
    /// What it keeps.
    pub state: Option<StateDescription>,
    /// What happens to rows that come too late.
    pub late: Option<String>,
    /// The columns that come out, with their types.
    pub columns: Vec<(String, String)>,
}

/// What an operator keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDescription {
    /// The columns that it is kept by.
    pub key: Vec<String>,
    /// What is kept for each.
    pub holds: String,
    /// For how long.
    pub kept: String,
}

impl Stage {
    /// The stage as it runs.
    pub fn describe(&self) -> StageDescription {
        let operators = self.operators.iter().enumerate().map(|(at, operator)| {
            let input = match operator.input.checked_sub(1) {
                None => self.source.to_string(),
                Some(feeder) => self.operators[feeder].name.to_string(),
            };
            let columns = columns(&self.node_schema(at + 1));
            let (logical_plan, steps, state, late) = match &operator.running {
                Running::Dedupe(dedupe) => {
                    let (step, state, late) = dedupe_parts(dedupe, &self.node_schema(operator.input));
                    (None, vec![step], Some(state), Some(late))
                }
                Running::Sql { query, late } => {
                    let aggregate = query.aggregate();
                    let rule = aggregate.map(|aggregate| late_text(&aggregate.plan().late, late));
                    let state = aggregate.map(state_of);
                    (Some(query.explain().to_owned()), query_steps(query), state, rule)
                }
            };
            let (id, name) = (operator.id.clone(), operator.name.to_string());
            OperatorDescription { id, name, input, logical_plan, steps, state, late, columns }
        });
        StageDescription {
            source: self.source.to_string(),
            columns: columns(&self.schema),
            event_time: self.time.map(|at| self.schema.field(at).name().clone()),
            operators: operators.collect(),
        }
    }
}

fn columns(schema: &Schema) -> Vec<(String, String)> {
    let typed = |field: &Arc<arrow::datatypes::Field>| {
        let null = if field.is_nullable() { " or null" } else { "" };
        (field.name().clone(), format!("{}{null}", field.data_type()))
    };
    schema.fields().iter().map(typed).collect()
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// An expression as SQL.
struct Sql<'a>(&'a dyn PhysicalExpr);

impl fmt::Display for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}

fn sql(exprs: &[Arc<dyn PhysicalExpr>]) -> Vec<String> {
    exprs.iter().map(|expr| Sql(expr.as_ref()).to_string()).collect()
}

/// A span of time in the largest unit that holds it whole.
fn span(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms != 0 && ms % unit == 0) {
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}

fn dedupe_parts(dedupe: &Dedupe, input: &Schema) -> (String, StateDescription, String) {
    let key: Vec<String> = dedupe.key.iter().map(|i| input.field(*i).name().clone()).collect();
    let time = input.field(dedupe.time).name();
    let step = format!(
        "dedupe: drop rows whose {} came within {} of {time} before; put those with other content aside",
        key.join(", "),
        span(dedupe.within_ms)
    );
    let state = StateDescription {
        key,
        holds: format!("a hash of the key, a hash of the content, and {time}: 33 bytes a row"),
        kept: format!(
            "until the watermark is {} past {time} ({} + {} for late rows)",
            span(dedupe.within_ms + dedupe.late_by_ms),
            span(dedupe.within_ms),
            span(dedupe.late_by_ms)
        ),
    };
    let late = format!("rows more than {} behind the watermark are put aside", span(dedupe.late_by_ms));
    (step, state, late)
}

fn query_steps(query: &Query) -> Vec<String> {
    let mut steps: Vec<String> = query.before().iter().map(step).collect();
    if let Some(aggregate) = query.aggregate() {
        steps.push(aggregate_text(aggregate));
        if let Some(every) = query.update_ms() {
            steps.push(format!(
                "update: rows of open windows that have changed are sent too, every {}",
                span(every)
            ));
        }
    }
    steps.extend(query.after().iter().map(step));
    steps
}

fn step(step: &Step) -> String {
    match step {
        Step::Scan { schema, .. } => format!("scan: {}", names(schema)),
        Step::Filter(predicate) => format!("filter: {}", Sql(predicate.as_ref())),
        Step::Project { exprs, schema } => {
            let named = sql(exprs).into_iter().zip(schema.fields()).map(|(expr, field)| {
                if expr == *field.name() { expr } else { format!("{expr} AS {}", field.name()) }
            });
            format!("project: {}", named.collect::<Vec<_>>().join(", "))
        }
        Step::Window(window) => window_text(window),
        Step::Over(over) => {
            let calls: Vec<&str> = over.functions.iter().map(|f| f.call.name()).collect();
            format!("over the rows of a window that is over: {}", calls.join(", "))
        }
        Step::Session(session) => {
            let time = session.schema.field(session.time).name();
            format!("session: rows of one key are one session while they come within a gap by {time}")
        }
        Step::Join(join) => join_text(join),
    }
}

fn window_text(window: &WindowStep) -> String {
    let windows = window.windows;
    let (size, every) = (span(windows.size_ms()), span(windows.every_ms()));
    let cut = match (windows.is_tumbling(), windows.start_is_unique()) {
        (true, _) => format!("tumbling, {size}"),
        (false, true) => format!("hopping, {size} every {every}"),
        (false, false) => format!("cumulating, by {every} up to {size}"),
    };
    let kept = match (windows.is_tumbling(), window.spread) {
        (true, _) => String::new(),
        (false, false) => format!("; rows are kept once, in slices of {}", span(windows.slice_ms())),
        (false, true) => "; a row for each window, since its bounds are computed with".to_owned(),
    };
    format!("window: {cut}, by {}{kept}", window.schema.field(window.time).name())
}

fn join_text(join: &TableJoin) -> String {
    let kind = match join.unmatched {
        Unmatched::Drop => "inner",
        Unmatched::Keep => "outer, rows without a match go on",
    };
    let on: Vec<String> = sql(&join.stream_keys)
        .into_iter()
        .zip(sql(&join.table_keys))
        .map(|(stream, table)| format!("{stream} = {}.{table}", join.table))
        .collect();
    let mut text = format!(
        "join: table {} by hash ({kind}), as it is when a row comes, on {}",
        join.table,
        on.join(" and ")
    );
    // A scan that takes columns says nothing that the join does not.
    let before: Vec<String> =
        join.table_steps.iter().filter(|s| !matches!(s, Step::Scan { .. })).map(step).collect();
    if !before.is_empty() {
        text += &format!("; the table first: {}", before.join(", "));
    }
    text
}

fn aggregate_text(aggregate: &Aggregation) -> String {
    let plan = aggregate.plan();
    let aggregates: Vec<String> = plan.aggregates.iter().map(aggregate_column).collect();
    let computed =
        if aggregates.is_empty() { "nothing but the keys".to_owned() } else { aggregates.join(", ") };
    let by = sql(&plan.keys);
    let by =
        if by.is_empty() { "the window alone".to_owned() } else { format!("{} and window", by.join(", ")) };
    let wait = match plan.late.allow_ms {
        0 => String::new(),
        allow => format!(" + {}", span(allow)),
    };
    let passes = match aggregate {
        Aggregation::Windows(_) => "reaches",
        // A row just at the end of a session still belongs to it.
        Aggregation::Sessions(_) => "passes",
    };
    format!("aggregate: {computed} by {by}; fires once, when the watermark {passes} window_end{wait}")
}

fn aggregate_column(column: &AggregateColumn) -> String {
    let filter = column.filter.as_ref().map(|filter| format!(" where {}", Sql(filter.as_ref())));
    format!(
        "{}({}){}",
        column.function.fun().name(),
        sql(&column.arguments).join(", "),
        filter.unwrap_or_default()
    )
}

fn state_of(aggregate: &Aggregation) -> StateDescription {
    let plan = aggregate.plan();
    let mut key = sql(&plan.keys);
    key.push("window".to_owned());
    let state = plan.state_schema.fields().iter().skip(plan.state_from());
    let state: Vec<String> = state.map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    let holds = match state.is_empty() {
        true => "that it was seen".to_owned(),
        false => state.join(", "),
    };
    let kept = match aggregate {
        Aggregation::Windows(aggregate) => {
            let windows = aggregate.windows;
            let kept = span(windows.size_ms() + plan.late.allow_ms);
            match windows.is_tumbling() {
                true => format!("until the window fires: the watermark is {kept} past its start"),
                false => {
                    let slice = span(windows.slice_ms());
                    format!(
                        "in slices of {slice}, until the last window over a slice fires: the watermark is at most {kept} past the slice's start"
                    )
                }
            }
        }
        Aggregation::Sessions(aggregate) => {
            let kept = span(aggregate.sessions.gap_ms() + plan.late.allow_ms);
            format!("until the session fires: the watermark is {kept} past its last row")
        }
    };
    StateDescription { key, holds, kept }
}

fn late_text(rule: &LateRule, then: &LateThen) -> String {
    let goes = match then {
        LateThen::Drop => "are dropped and counted".to_owned(),
        LateThen::DeadLetter => "go to the dead letters".to_owned(),
        LateThen::Topic(topic) => format!("go to topic {topic}"),
    };
    match rule.allow_ms {
        0 => format!("rows of windows that have ended by the watermark {goes}"),
        allow => format!("rows of windows that ended {} or more before the watermark {goes}", span(allow)),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_in_whole_units() {
        for (ms, text) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (90_000, "90 s"),
            (300_000, "5 min"),
            (172_800_000, "2 d"),
            (5_400_000, "90 min"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
