//! Event time: windows and `within` need a watermark over the same column; `emit` and `late` need windows; updates need
//! sinks that replace rows.

use super::Check;
use crate::ast::{DataAction, Emit, Late, LateThen, Operator, Sql, Target, Transform};
use crate::capability::Feature;
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::flow::{Time, joins_streams, section_of};
use crate::shape::Section;
use crate::span::Span;
use crate::sql::{TokenKind, WindowCall, WindowKind, tokens};
use crate::suggest::nearest;

pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    for transform in check.pipeline.transforms.values() {
        match &transform.op {
            Operator::Dedupe(_) => dedupe(check, transform, out),
            Operator::Sql(query) => {
                for window in &query.windows {
                    one_window(check, transform, query, window, out);
                }
                rules(check, transform, query, out);
            }
            _ => {}
        }
    }
}

fn dedupe(check: &Check<'_>, transform: &Transform, out: &mut Diagnostics) {
    let Some(input) = transform.inputs.first() else { return };
    if known_stream(check, &input.value) && check.flow.time(&input.value) == Time::None {
        let message = format!("`within` is event time, and no watermark reaches {:?}", transform.id.value);
        out.push(no_watermark(check, &input.value, transform.type_name.span, message));
    }
}

fn known_stream(check: &Check<'_>, id: &str) -> bool {
    matches!(section_of(check.pipeline, id), Some(Section::Sources | Section::Transforms))
        && !check.flow.cycles.iter().any(|c| c.contains(&id))
}

/// The diagnostic with a pointer at the topic transform upstream that could have one.
fn no_watermark(check: &Check<'_>, input: &str, span: Span, message: String) -> Diagnostic {
    let upstream: Vec<&str> = std::iter::once(input).chain(check.flow.upstream(input)).collect();
    let topic = upstream
        .into_iter()
        .filter_map(|id| check.pipeline.transforms.get(id))
        .find(|t| matches!(t.op, Operator::Topic(_)));
    let diagnostic = Diagnostic::new(&code::NO_WATERMARK, span, message);
    let sources = std::iter::once(input).chain(check.flow.upstream(input));
    let mut sources = sources.filter_map(|id| check.pipeline.sources.get(id));
    if let Some(source) = sources.find(|s| s.topic.is_some()).filter(|_| topic.is_none()) {
        return diagnostic
            .related(source.id.span, "this topic could have it")
            .help("add `watermark: { column: …, delay: … }` to the source");
    }
    match topic {
        Some(topic) => diagnostic
            .related(topic.id.span, "this topic could have it")
            .help("add `watermark: { column: …, delay: … }` to the topic transform"),
        None => diagnostic.help("put a topic transform with `watermark: { column: …, delay: … }` before it"),
    }
}

fn one_window(
    check: &Check<'_>,
    transform: &Transform,
    query: &Sql,
    window: &WindowCall,
    out: &mut Diagnostics,
) {
    let feature = match window.kind {
        WindowKind::Tumble => Feature::Tumble,
        WindowKind::Hop => Feature::Hop,
        WindowKind::Cumulate => Feature::Cumulate,
        WindowKind::Session => Feature::Session,
    };
    check.needs(feature, window.span, out);
    let Some(input) = &window.input else { return };
    if !transform.inputs.iter().any(|i| i.value == input.value) {
        if is_cte(query, &input.value) {
            return;
        }
        let message =
            format!("{} reads {:?}, which is not among the inputs", window.kind.word(), input.value);
        let near = nearest(&input.value, transform.inputs.iter().map(|i| i.value.as_str()));
        out.push(Diagnostic::new(&code::WINDOW_INPUT, input.span, message).suggest(near));
        return;
    }
    if check.pipeline.tables.contains_key(&input.value) {
        let message = format!("{:?} is a table; a table has no windows", input.value);
        out.push(Diagnostic::new(&code::WINDOW_INPUT, input.span, message));
        return;
    }
    if !known_stream(check, &input.value) {
        return;
    }
    match (check.flow.time(&input.value), &window.time) {
        (Time::None, _) => {
            let message = format!(
                "{} needs event time, and no watermark reaches {:?}",
                window.kind.word(),
                input.value
            );
            out.push(no_watermark(check, &input.value, window.span, message));
        }
        (Time::Watermark(watermark), Some(time))
            if watermark.column.value != time.value && !watermark.column.value.is_empty() =>
        {
            let message = format!(
                "the window is over {:?}, and the watermark over {:?}",
                time.value, watermark.column.value
            );
            out.push(
                Diagnostic::new(&code::WATERMARK_COLUMN, time.span, message)
                    .suggest(Some(watermark.column.value.clone()))
                    .related(watermark.column.span, "the watermark"),
            );
        }
        (Time::Windowed, Some(time)) if !["window_start", "window_end"].contains(&time.value.as_str()) => {
            let message = format!(
                "the window is over {:?}; what comes from a window has window_start and window_end as its times",
                time.value
            );
            out.push(
                Diagnostic::new(&code::WATERMARK_COLUMN, time.span, message).suggest(Some("window_end")),
            );
        }
        _ => {}
    }
}

/// Whether a query defines a name itself: `name AS (`.
fn is_cte(query: &Sql, name: &str) -> bool {
    let is_word = |kind: &TokenKind, wanted: &str| matches!(kind, TokenKind::Word(word) if word == wanted);
    tokens(&query.sql.text)
        .windows(3)
        .any(|t| is_word(&t[0].kind, name) && is_word(&t[1].kind, "as") && t[2].kind == TokenKind::Punct('('))
}

fn rules(check: &Check<'_>, transform: &Transform, query: &Sql, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    if query.windows.is_empty() {
        // Rows that are joined may be late too, and those that functions OVER them put in order; not for what is never over.
        let joins = joins_streams(pipeline, transform) || query.over_stream;
        let may_be_late = if query.keeps_groups() { query.lets_go() } else { joins };
        let late = query.late.as_ref().filter(|_| !may_be_late);
        let emit = query.emit.as_ref().filter(|_| !query.keeps_groups());
        for (key, span) in [("emit", emit.map(|e| e.span)), ("late", late.map(|l| l.span))] {
            if let Some(span) = span {
                let message = format!("`{key}` is about windows, and this query has none");
                let found = Diagnostic::new(&code::LATE_WITHOUT_WINDOW, span, message);
                let early =
                    key == "emit" && matches!(query.emit.as_ref().map(|e| e.value), Some(Emit::Early(_)));
                out.push(match early {
                    true => {
                        found.help("groups without windows are kept up to date by `emit: { on_update: … }`")
                    }
                    false => found,
                });
            }
        }
        if !joins && !query.keeps_groups() {
            return;
        }
    }
    let late = query.late.as_ref().map_or_else(Late::default_rule, |l| l.value.clone());
    let span = query.late.as_ref().map_or(transform.type_name.span, |l| l.span);
    match &late.then {
        // No row is late for what is never over.
        _ if query.keeps_groups() && !query.lets_go() => {}
        LateThen::Topic(None) => {
            let message = "late rows go to a topic, and `topic` does not say which";
            out.push(Diagnostic::new(&code::LATE_TOPIC, span, message));
        }
        LateThen::Topic(Some(_)) => check.needs(Feature::LateTopic, span, out),
        LateThen::DeadLetter if pipeline.errors.action != DataAction::DeadLetter => {
            let message =
                "late rows go to the dead letters, and the pipeline keeps none: its bad records are not kept";
            let drop = if late.updates { "`beyond: drop`" } else { "`late: { then: drop }`" };
            let help = format!("say `errors: {{ data: {{ action: dead_letter }} }}`, or {drop}");
            out.push(Diagnostic::new(&code::NO_DEAD_LETTER, span, message).help(help));
        }
        _ => {}
    }
    if late.updates && query.lets_go() {
        let message =
            "`then: update` is about windows: groups without windows are sent again whenever they change";
        let help =
            "say what becomes of rows of groups that were let go of: `late: { allow: …, then: dead_letter }`";
        out.push(Diagnostic::new(&code::CONTRADICTION, span, message).help(help));
    }
    // No row comes late for groups that are never over.
    let again = late.updates && !query.keeps_groups();
    if again {
        check.needs(Feature::LateUpdate, span, out);
    }
    let early = query.emit.as_ref().filter(|emit| emit.value.every_ms().is_some());
    if let Some(emit) = early {
        check.needs(Feature::EmitOnUpdate, emit.span, out);
    }
    // Of groups without windows, check/replaced.rs says who reads them.
    if !query.keeps_groups() && (early.is_some() || again) {
        sent_again(check, transform, early.is_some(), again, out);
    }
}

/// Who reads rows of windows that are sent more than once.
fn sent_again(check: &Check<'_>, transform: &Transform, early: bool, again: bool, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    let once = match (early, again) {
        (true, false) => "`emit: on_close`",
        (false, _) => "another `then` than update",
        (true, true) => "`emit: on_close` and another `then` than update",
    };
    for sink in pipeline.sinks.values() {
        if !check.flow.upstream_of_inputs(&sink.inputs).contains(transform.id.value.as_str()) {
            continue;
        }
        if let Some(condition) = &sink.condition {
            let message = format!(
                "{:?} sends a window's row more than once, and a condition cannot take back what it let through before",
                transform.id.value
            );
            let help = format!("filter where the result is read; or send rows once, with {once}");
            out.push(Diagnostic::new(&code::NEEDS_UPSERT, condition.span, message).help(help));
        }
        // A topic's readers see each, the last one as the newest of its key.
        if !sink.upserts && sink.target == Target::Foreign {
            let message = format!(
                "{:?} sends a window's row more than once, and the sink {:?} would add it each time",
                transform.id.value, sink.id.value
            );
            let help =
                format!("a sink with `mode: upsert` and a `key` takes it; or send rows once, with {once}");
            let at = sink.inputs.first().map_or(sink.id.span, |i| i.span);
            out.push(Diagnostic::new(&code::NEEDS_UPSERT, at, message).help(help));
        }
    }
    for reader in pipeline.transforms.values() {
        let Some(input) = reader.inputs.iter().find(|i| i.value == transform.id.value) else { continue };
        let message = format!(
            "{:?} sends a window's row more than once, and {:?} would take each for another",
            transform.id.value, reader.id.value
        );
        let help = format!("send rows once, with {once}; or read the table that a sink keeps of them");
        out.push(Diagnostic::new(&code::NEEDS_UPSERT, input.span, message).help(help));
    }
}
