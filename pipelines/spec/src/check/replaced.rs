//! Rows that take the place of each other, and may go: which sources bring them, and which transforms and sinks can read them. What
//! queries make of them and what their rows are known by the worker's `validate` says, which plans them.

use super::Check;
use crate::ast::{Operator, Sink, Target, Topic, Transform};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::replaced::{Replaced, reads_replaced, replaced};
use crate::span::{Span, Spanned};

pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    for source in pipeline.sources.values() {
        let Some(read) = &source.topic else { continue };
        if let (Some(said), Some(topic)) = (read.upsert, pipeline.topics.get(&read.topic.value)) {
            has_key(said, topic, out);
        }
    }
    for transform in pipeline.transforms.values().filter(|reader| !reads_replaced(pipeline, reader)) {
        for input in &transform.inputs {
            if let Some(of) = replaced(pipeline, &input.value) {
                out.push(unread(transform, input, of));
            }
        }
    }
    for sink in pipeline.sinks.values() {
        let rows = sink.inputs.iter().filter_map(|input| Some((input, replaced(pipeline, &input.value)?)));
        let found: Vec<(&Spanned<String>, Replaced)> = rows.collect();
        out.extend(found.iter().filter_map(|(input, of)| appended(sink, input, *of)));
        if let Some((input, of)) =
            found.iter().find(|(_, of)| of.goes && sink.inputs.len() > 1 && keeps_last(sink))
        {
            out.push(among_others(sink, input, *of));
        }
    }
}

/// Whether of the rows that a sink gets the last of each key counts.
fn keeps_last(sink: &Sink) -> bool {
    sink.upserts || matches!(sink.target, Target::Topic(_))
}

/// A sink of several streams, of which one would take rows of another away.
fn among_others(sink: &Sink, input: &Spanned<String>, of: Replaced) -> Diagnostic {
    let message = format!(
        "{}, and the sink {:?} has other rows too: one that goes here would take one of theirs away",
        rows_of(input, of),
        sink.id.value
    );
    let help = "give each stream a sink and a target of its own, or make one stream of them first: one query with a condition for both";
    Diagnostic::new(&code::NEEDS_UPSERT, input.span, message).related(of.said, "said here").help(help)
}

/// What rows are known by: one column, by which they lie in partitions.
fn has_key(said: Span, topic: &Topic, out: &mut Diagnostics) {
    let message = match topic.key.as_slice() {
        [_] => return,
        [] => format!(
            "`upsert` takes records of one key for each other, and the topic {:?} has no key",
            topic.id.value
        ),
        _ => format!(
            "`upsert` takes records of one key for each other, and the topic {:?} is keyed by several columns",
            topic.id.value
        ),
    };
    let help = "say the column that its records are keyed by, as `key: id`";
    out.push(
        Diagnostic::new(&code::CONTRADICTION, said, message).related(topic.id.span, "the topic").help(help),
    );
}

/// What happens to rows that take the place of each other, for a message.
fn rows_of(input: &Spanned<String>, of: Replaced) -> String {
    let go = if of.goes { ", or go" } else { "" };
    format!("rows of {:?} take the place of earlier ones{go}", input.value)
}

fn unread(reader: &Transform, input: &Spanned<String>, of: Replaced) -> Diagnostic {
    let (why, help) = match &reader.op {
        Operator::Topic(_) => (
            "would carry them among others",
            "let the topic carry these alone; several streams of them go to a topic each",
        ),
        Operator::Sql(query) if !query.windows.is_empty() || query.over_stream => (
            "would take each for another",
            "group them without windows, with `emit: { on_update: … }`; or read them as they come, from a source without `upsert`",
        ),
        Operator::Sql(_) => (
            "would take each for another",
            "group them, or join them with others that take the place of each other, with `emit: { on_update: … }`; or select from them, SELECT … WHERE …; a stream whose rows stand for themselves is joined with such rows as a table, `tables: { …: { type: topic } }`",
        ),
        Operator::Dedupe(_) => {
            ("would take each for another", "nothing has to be dropped: the last row of each key counts")
        }
        _ => (
            "would take each for another",
            "group them, with `emit: { on_update: … }`, or select from them, SELECT … WHERE …; or do it before they are told apart by a key",
        ),
    };
    let message = format!("{}, and {:?} {why}", rows_of(input, of), reader.id.value);
    let diagnostic = Diagnostic::new(&code::NEEDS_UPSERT, input.span, message);
    diagnostic.related(of.said, "said here").help(help)
}

/// A sink that adds each row.
fn appended(sink: &Sink, input: &Spanned<String>, of: Replaced) -> Option<Diagnostic> {
    // A topic's readers see each, the last one as the newest of its key.
    if sink.upserts || sink.target != Target::Foreign {
        return None;
    }
    let message = format!("{}, and the sink {:?} would add each", rows_of(input, of), sink.id.value);
    let help = match (sink.connector.as_str(), of.goes) {
        ("sqlite" | "postgres", _) => "say `mode: upsert` and what the rows are known by as `key`",
        (_, true) => "only a table, with `mode: upsert` and a `key`, or a topic lets rows go",
        (_, false) => "a table, with `mode: upsert` and a `key`, or a topic takes them",
    };
    let diagnostic = Diagnostic::new(&code::NEEDS_UPSERT, input.span, message);
    Some(diagnostic.related(of.said, "said here").help(help))
}
