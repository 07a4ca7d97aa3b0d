//! Functions OVER a stream as they run, for people.

use super::{StateDescription, allowance, span};
use crate::op::over_time::{Frame, Function, OverTime, Past};

/// The columns that a part goes by.
fn keys(past: &Past) -> Vec<String> {
    past.plan.key_fields().map(|field| field.name().clone()).collect()
}

fn frame(function: &Function) -> String {
    if let Some(rows) = function.rows_back() {
        return match rows {
            1 => "the row before".to_owned(),
            rows => format!("{rows} rows before"),
        };
    }
    match function.frame() {
        Frame::Ever { .. } => "all rows before".to_owned(),
        Frame::Time { before_ms, after_ms } => {
            let at = |ms: i64| match ms {
                0 => "its time".to_owned(),
                ms if ms < 0 => format!("{} before", span(-ms)),
                ms => format!("{} after", span(ms)),
            };
            format!("from {} to {}", at(-before_ms), at(after_ms))
        }
        Frame::Rows { before, until: 0 } => format!("{before} rows before and the row"),
        Frame::Rows { before, until } => format!("from {before} to {until} rows before"),
    }
}

/// What is done.
pub(super) fn over_text(over: &OverTime) -> String {
    let time = over.plan.rows.field(over.plan.time).name();
    let parts = over.pasts.iter().map(|past| {
        let keys = keys(past);
        let by = if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
        let functions = past.plan.functions.iter().map(|function| {
            let name = function.name.split(" PARTITION BY").next().unwrap_or(&function.name);
            let name = name.split(" ORDER BY").next().unwrap_or(name);
            format!("{name} ({})", frame(function))
        });
        format!("{}{by}", functions.collect::<Vec<_>>().join(", "))
    });
    let ahead = if over.ahead_ms > 0 { format!(" + {}", span(over.ahead_ms)) } else { String::new() };
    format!(
        "over rows in the order of {time}: {}; each row comes once, when the watermark passes {time}{ahead}{}",
        parts.collect::<Vec<_>>().join("; "),
        allowance(&over.plan.late)
    )
}

/// What is kept for how long.
pub(super) fn over_state(over: &OverTime) -> StateDescription {
    let (mut key, mut holds, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    holds.push("each row until it comes out".to_owned());
    for past in &over.pasts {
        for name in keys(past) {
            if !key.contains(&name) {
                key.push(name);
            }
        }
        let (reach_ms, reach_rows) = past.plan.reach();
        let columns = past.plan.kept.iter().map(|at| past.plan.schema.field(*at).name().as_str());
        let columns = columns.collect::<Vec<_>>().join(", ");
        let of = keys(past).join(", ");
        let of = if of.is_empty() { String::new() } else { format!(" of each {of}") };
        if reach_ms > 0 || reach_rows > 0 {
            let columns =
                if columns.is_empty() { "the time".to_owned() } else { format!("the time, {columns}") };
            holds.push(format!("then {columns} of past rows"));
        }
        if reach_ms > 0 {
            kept.push(format!("until the watermark is {} further", span(reach_ms)));
        }
        if reach_rows > 0 {
            kept.push(format!("the last {reach_rows} rows{of} for ever"));
        }
        let ever = past.plan.functions.iter().filter(|function| function.is_ever());
        let ever: Vec<&str> =
            ever.map(|function| function.name.split('(').next().unwrap_or(&function.name)).collect();
        if !ever.is_empty() {
            holds.push(format!("the {} of all rows so far", ever.join(", ")));
            kept.push(format!("one state row{of} for ever"));
        }
    }
    let waits = over.ahead_ms + over.plan.late.allow_ms;
    let first = match waits {
        0 => "until the watermark passes a row's time".to_owned(),
        waits => format!("until the watermark is {} past a row's time", span(waits)),
    };
    kept.insert(0, first);
    holds.dedup();
    StateDescription { key, holds: holds.join("; "), kept: kept.join("; ") }
}
