//! A stage as it runs, for people: the columns that it decodes, and of each operator the plan that its query became, the
//! steps that rows go through, and what is kept of them for how long. Taken from the operators themselves, not from what
//! they were made of. Never enters: layout on a screen, topics.

mod joins;
mod over;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_physical_expr::PhysicalExpr;
use millstream_model::{LateRule, LateThen, Windows};

use super::{Running, Stage};
use crate::op::Step;
use crate::op::aggregate::{AggregateColumn, AggregatePlan, Aggregation};
use crate::op::dedupe::Dedupe;
use crate::op::grouping::GroupingSet;
use crate::op::interval::FOR_EVER;
use crate::op::unnest::UnnestColumn;
use crate::op::window::WindowStep;
use crate::sql::Query;
use joins::{closed_steps, join_text, updating_text};
use over::{over_state, over_text};

/// A stage as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageDescription {
    /// What it reads.
    pub sources: Vec<SourceDescription>,
    /// Its operators, each behind those that feed it.
    pub operators: Vec<OperatorDescription>,
}

/// A stream that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDescription {
    /// Its name.
    pub name: String,
    /// The columns that are decoded of it, with their types.
    pub columns: Vec<(String, String)>,
    /// The column of its event time.
    pub event_time: Option<String>,
}

/// An operator as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorDescription {
    /// Its stable id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What feeds it: sources, or other operators, by name.
    pub inputs: Vec<String>,
    /// The optimised logical plan of a query.
    pub logical_plan: Option<String>,
    /// What is done to rows, in order.
    pub steps: Vec<String>,
    /// What it keeps; of each stream that it joins.
    pub state: Vec<StateDescription>,
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
            let mut inputs: Vec<String> = Vec::new();
            for node in &operator.inputs {
                let feeder = self.operator_of(*node);
                let name = feeder.map_or_else(|| &self.sources[*node].name, |feeder| &feeder.name);
                if !inputs.iter().any(|known| known == name.as_ref()) {
                    inputs.push(name.to_string());
                }
            }
            let columns = columns(&self.node_schema(self.sources.len() + at));
            let (logical_plan, steps, state, late) = match &operator.running {
                Running::Dedupe(dedupe) => {
                    let (step, state, late) = dedupe_parts(dedupe, &self.node_schema(operator.inputs[0]));
                    (None, vec![step], vec![state], Some(late))
                }
                Running::Sql { query, late } => {
                    let endless = |a: &&Aggregation| match a {
                        Aggregation::Windows(windows) => windows.windows.is_endless(),
                        Aggregation::Latest(_) | Aggregation::Divide(_) | Aggregation::Updating(_) => true,
                        _ => false,
                    };
                    let rule = query.aggregates().next().filter(|a| !endless(a));
                    let rule = rule.map(|aggregate| late_text(aggregate, late));
                    let state = query.aggregates().map(state_of).collect();
                    let plan = (!query.divides()).then(|| readable(query.explain()));
                    (plan, query_steps(query), state, rule)
                }
            };
            let (id, name) = (operator.id.clone(), operator.name.to_string());
            OperatorDescription { id, name, inputs, logical_plan, steps, state, late, columns }
        });
        let sources = self.sources.iter().map(|source| SourceDescription {
            name: source.name.to_string(),
            columns: columns(&source.schema),
            event_time: source.time.map(|at| source.schema.field(at).name().clone()),
        });
        StageDescription { sources: sources.collect(), operators: operators.collect() }
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

/// The planner's names for what `unnest` gives, as they are written.
fn readable(text: &str) -> String {
    text.replace("__unnest_placeholder(", "unnest(").replace(",depth=1)", ")").replace("|depth=1", "")
}

fn query_steps(query: &Query) -> Vec<String> {
    let mut steps = Vec::new();
    for branch in query.branches() {
        let from = if query.branches().len() > 1 { format!("{}: ", branch.stream) } else { String::new() };
        let before = branch.before.iter().map(step).chain(branch.aggregate.as_ref().map(aggregate_text));
        steps.extend(before.map(|text| format!("{from}{text}")));
        if let Some((to, at)) = branch.into {
            let to = &query.branches()[to].stream;
            steps.push(format!("{from}union: goes on behind step {at} of {to}"));
        }
    }
    if let Some(every) = query.update_ms().filter(|_| query.is_windowed()) {
        steps.push(format!(
            "update: rows that have changed are sent before they are final, every {}",
            span(every)
        ));
    }
    if let Some(closed) = query.closed() {
        closed_steps(query, closed, &mut steps);
    }
    steps.iter().map(|step| readable(step)).collect()
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
            format!("over all rows of a partition: {}", calls.join(", "))
        }
        Step::Session(session) => {
            let time = session.schema.field(session.time).name();
            format!("session: rows of one key are one session while they come within a gap by {time}")
        }
        Step::Timed(_) => "time: of each row, for groups that are let go of".to_owned(),
        Step::Unnest(unnest) => {
            let items = unnest.columns.iter().zip(unnest.schema.fields());
            let items = items.filter(|(column, _)| !matches!(column, UnnestColumn::Beside(_)));
            let items: Vec<&str> = items.map(|(_, field)| field.name().as_str()).collect();
            format!("unnest: a row for each item of {}", items.join(", "))
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

fn aggregate_text(aggregate: &Aggregation) -> String {
    if let Aggregation::Near(side) = aggregate {
        if !side.plan.is_looked_up {
            return "keep: rows until the others' watermarks have passed their time".to_owned()
                + &allowance(aggregate.late());
        }
        let bound = |ms: i64, way: &str| match ms {
            FOR_EVER => format!("any time {way}"),
            ms => format!("{} {way}", span(ms)),
        };
        let (from, to) = (bound(-side.plan.from, "before"), bound(side.plan.to, "after"));
        return format!("keep: rows for those of the other side from {from} to {to} them");
    }
    if let Aggregation::Updating(side) = aggregate {
        return updating_text(side);
    }
    if let Aggregation::Over(over) = aggregate {
        return over_text(over);
    }
    if let Aggregation::Divide(divide) = aggregate {
        let (known, by) = divide.names();
        let known = known.join(", ");
        return match by.is_empty() {
            true => format!("divide: rows are known by {known}, and stay where they are"),
            false => format!(
                "divide: of each {known}, the row is taken away where it was when {} has changed",
                by.join(", ")
            ),
        };
    }
    if let Aggregation::Versions(versions) = aggregate {
        let by = sql(&versions.plan.keys).join(", ");
        return format!("keep: the versions of each {by}, by event time");
    }
    let Some(plan) = aggregate.plan() else {
        return "keep: rows as they are, until the watermark reaches window_end".to_owned()
            + &allowance(aggregate.late());
    };
    let aggregates: Vec<String> = plan.aggregates.iter().map(aggregate_column).collect();
    let computed =
        if aggregates.is_empty() { "nothing but the keys".to_owned() } else { aggregates.join(", ") };
    let by = keys_text(plan);
    let by = if by.is_empty() { "the window alone".to_owned() } else { format!("{by} and window") };
    if let Aggregation::Latest(latest) = aggregate {
        let by = if plan.keys.is_empty() { "nothing".to_owned() } else { keys_text(plan) };
        let known = latest.identity.iter().map(|at| latest.schema.field(*at).name().as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        return format!(
            "aggregate: {computed} by {by}, over the latest row of each {known}, kept up to date for ever"
        );
    }
    let wait = allowance(&plan.late);
    if let Aggregation::Windows(windows) = aggregate
        && windows.windows.is_endless()
    {
        let by = keys_text(plan);
        let by = if by.is_empty() { "nothing".to_owned() } else { by };
        return format!("aggregate: {computed} by {by}, kept up to date for ever");
    }
    if let Aggregation::Sessions(sessions) = aggregate
        && sessions.lets_go()
    {
        let by = if plan.keys.is_empty() { "nothing".to_owned() } else { keys_text(plan) };
        let kept = span(sessions.sessions.gap_ms());
        return format!("aggregate: {computed} by {by}, kept up to date while rows come within {kept}");
    }
    let passes = match aggregate {
        // A row just at the end of a session still belongs to it.
        Aggregation::Sessions(_) => "passes",
        _ => "reaches",
    };
    if plan.late.updates {
        return format!(
            "aggregate: {computed} by {by}; fires when the watermark {passes} window_end, and sends what changes again until window_end{wait}"
        );
    }
    format!("aggregate: {computed} by {by}; fires once, when the watermark {passes} window_end{wait}")
}

/// What rows are grouped by besides time.
fn keys_text(plan: &AggregatePlan) -> String {
    let keys = sql(&plan.keys);
    if plan.sets.sets.is_empty() {
        return keys.join(", ");
    }
    let set = |set: &GroupingSet| {
        let held = keys.iter().zip(&set.keys).filter(|(_, held)| **held);
        format!("({})", held.map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", "))
    };
    format!("the sets {}", plan.sets.sets.iter().map(set).collect::<Vec<_>>().join(", "))
}

fn allowance(late: &LateRule) -> String {
    match late.allow_ms {
        0 => String::new(),
        allow => format!(" + {}", span(allow)),
    }
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
    let late = aggregate.late();
    let computed = |plan: &AggregatePlan| {
        let state = plan.state_schema.fields().iter().skip(plan.state_from());
        let state: Vec<String> =
            state.map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        if state.is_empty() { "that it was seen".to_owned() } else { state.join(", ") }
    };
    let holds = match aggregate {
        Aggregation::Over(over) => return over_state(over),
        Aggregation::Divide(divide) => {
            let (known, by) = divide.names();
            let key = known.into_iter().map(str::to_owned).collect();
            let holds = match by.is_empty() {
                true => "nothing: rows stay where they are".to_owned(),
                false => format!("where its row lies: {}", by.join(", ")),
            };
            return StateDescription { key, holds, kept: "while the row is there".to_owned() };
        }
        Aggregation::Windows(windows) => computed(&windows.plan),
        Aggregation::Sessions(sessions) => computed(&sessions.plan),
        Aggregation::Rows(rows) => format!("each row: {}", rows.kept().collect::<Vec<_>>().join(", ")),
        Aggregation::Near(side) => format!("each row: {}", names(&side.plan.schema)),
        Aggregation::Versions(versions) => format!("each version: {}", names(&versions.plan.schema)),
        Aggregation::Latest(latest) => format!("the latest row of each: {}", names(&latest.schema)),
        Aggregation::Updating(side) => format!(
            "the latest row of each, and the one before it until what has changed is sent: {}",
            names(&side.plan.joined)
        ),
    };
    let mut key = aggregate.plan().map(|plan| sql(&plan.keys)).unwrap_or_default();
    match aggregate {
        Aggregation::Near(side) if !side.plan.is_looked_up => key.push("time".to_owned()),
        Aggregation::Near(side) => key.extend(sql(&side.plan.keys)),
        Aggregation::Versions(versions) => key.extend(sql(&versions.plan.keys)),
        Aggregation::Windows(windows) if windows.windows.is_endless() => {}
        Aggregation::Latest(latest) => {
            key = latest.identity.iter().map(|at| latest.schema.field(*at).name().clone()).collect();
        }
        Aggregation::Updating(side) => key = side.identity_names().map(str::to_owned).collect(),
        _ => key.push("window".to_owned()),
    }
    let kept = match aggregate {
        Aggregation::Windows(aggregate) => of_windows(aggregate.windows, late),
        Aggregation::Rows(rows) => of_windows(rows.plan.windows, late),
        Aggregation::Latest(_) | Aggregation::Divide(_) => "until it is gone".to_owned(),
        Aggregation::Updating(_) => "until it is gone".to_owned(),
        Aggregation::Near(side) if !side.plan.lets_go() => match side.plan.once {
            true => "until it has found a match".to_owned(),
            false => "for ever".to_owned(),
        },
        Aggregation::Near(side) => {
            let kept = side.plan.to + late.allow_ms;
            let (far, way) = (span(kept.abs()), if kept < 0 { "before" } else { "past" });
            match side.plan.is_looked_up {
                true => {
                    let matched = if side.plan.once { "it has found a match, or " } else { "" };
                    format!("until {matched}the other side's watermark is {far} {way} its time")
                }
                false => format!("until the watermarks of the others are {far} past what it asks for"),
            }
        }
        Aggregation::Versions(versions) => match versions.plan.within_ms {
            None => "until a later one counts for all rows that may come; the latest for ever".to_owned(),
            Some(within) => format!(
                "until a later one counts for all rows that may come; the latest for {}",
                span(within)
            ),
        },
        Aggregation::Sessions(aggregate) if aggregate.lets_go() => {
            let kept = span(aggregate.sessions.gap_ms() + late.allow_ms);
            format!("until the watermark is {kept} past the last row of the group")
        }
        Aggregation::Over(over) => over_state(over).kept,
        Aggregation::Sessions(aggregate) => {
            let kept = span(aggregate.sessions.gap_ms() + late.allow_ms);
            format!("until the session fires: the watermark is {kept} past its last row")
        }
    };
    StateDescription { key, holds, kept }
}

/// How long what is in windows is kept.
fn of_windows(windows: Windows, late: &LateRule) -> String {
    if windows.is_endless() {
        return "for ever".to_owned();
    }
    let kept = span(windows.size_ms() + late.allow_ms);
    let goes = if late.updates { "closes" } else { "fires" };
    if windows.is_tumbling() {
        return format!("until the window {goes}: the watermark is {kept} past its start");
    }
    format!(
        "in slices of {}, until the last window over a slice {goes}: the watermark is at most {kept} past the slice's start",
        span(windows.slice_ms())
    )
}

fn late_text(aggregate: &Aggregation, then: &LateThen) -> String {
    let rule = aggregate.late();
    let goes = match then {
        LateThen::Drop => "are dropped and counted".to_owned(),
        LateThen::DeadLetter => "go to the dead letters".to_owned(),
        LateThen::Topic(topic) => format!("go to topic {topic}"),
    };
    if matches!(aggregate, Aggregation::Near(_) | Aggregation::Versions(_) | Aggregation::Over(_)) {
        return format!("rows more than {} behind their own watermark {goes}", span(rule.allow_ms));
    }
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
