//! The `tests` section: what it names is there, what it expects is something, its rows have the right form.

use std::collections::BTreeMap;

use super::Check;
use super::names::DEAD_LETTERS;
use crate::ast::{DataAction, Given, Pipeline};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::flow::{recorded_topic, section_of};
use crate::shape::Section;
use crate::shape::core::FAIL_POINTS;
use crate::span::{Span, Spanned};
use crate::suggest::nearest;
use crate::value::Value;

/// The most tests of one file.
const TESTS_MAX: usize = 1_000;

pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    if let Some(test) = pipeline.tests.get(TESTS_MAX) {
        let message = format!("the file has {} tests; it has at most {TESTS_MAX}", pipeline.tests.len());
        out.push(Diagnostic::new(&code::OUT_OF_BOUNDS, test.name.span, message));
    }
    for test in pipeline.tests.iter().take(TESTS_MAX) {
        if let Some(first) = names.insert(&test.name.value, test.name.span)
            && !test.name.value.is_empty()
        {
            let message = format!("another test is named {:?}", test.name.value);
            out.push(Diagnostic::new(&code::TEST_NAME, test.name.span, message).related(first, "the other"));
        }
        let mut topics: BTreeMap<&str, Span> = BTreeMap::new();
        for (id, given) in &test.inputs {
            let topic = recorded_topic(pipeline, &id.value);
            if let Some(first) = topic.and_then(|topic| topics.insert(topic, id.span)) {
                let message = format!("two inputs of this test give records to the topic of {:?}", id.value);
                out.push(Diagnostic::new(&code::TEST_RECORDED, id.span, message).related(first, "the other"));
            }
            let rows = match given {
                Given::Rows(rows) => rows,
                Given::Recording(_) => {
                    recorded(pipeline, id, out);
                    continue;
                }
            };
            let section = section_of(pipeline, &id.value);
            if !matches!(section, Some(Section::Sources | Section::Tables)) {
                let known = pipeline.sources.keys().chain(pipeline.tables.keys());
                reference(id, "source or table", near(&id.value, known, out), out);
            }
            let text = section != Some(Section::Tables);
            rows.iter().for_each(|row| self::row(row, text, out));
        }
        for (id, expect) in &test.expect {
            let section = section_of(pipeline, &id.value);
            let topic = pipeline.topics.contains_key(&id.value);
            let made = pipeline.errors.topic.is_none()
                && pipeline.errors.action == DataAction::DeadLetter
                && id.value == DEAD_LETTERS;
            if !topic && !made && !matches!(section, Some(Section::Transforms | Section::Sinks)) {
                let known =
                    pipeline.transforms.keys().chain(pipeline.sinks.keys()).chain(pipeline.topics.keys());
                reference(id, "transform, sink or topic", near(&id.value, known, out), out);
            }
            if expect.rows.is_none() && expect.count.is_none() && expect.unique_by.is_empty() {
                let message = format!("nothing is expected of {:?}", id.value);
                let help = "say `rows`, `count` or `unique_by`";
                out.push(Diagnostic::new(&code::TEST_EMPTY, id.span, message).help(help));
            }
            expect.rows.iter().flatten().for_each(|row| self::row(row, false, out));
        }
        if test.expect.is_empty() && !test.name.value.is_empty() {
            let message = format!("the test {:?} expects nothing", test.name.value);
            out.push(Diagnostic::new(&code::TEST_EMPTY, test.name.span, message));
        }
        if let Some(scenario) = &test.scenario {
            let section = section_of(pipeline, &scenario.component.value);
            let known = section.is_some_and(|section| section != Section::Tables);
            if !known || !FAIL_POINTS.contains(&scenario.point.as_str()) {
                let message = format!(
                    "`fail_at` is <component>.<point>, the point one of {}; this is {}.{}",
                    FAIL_POINTS.join(", "),
                    scenario.component.value,
                    scenario.point
                );
                let near = if known { nearest(&scenario.point, FAIL_POINTS.iter().copied()) } else { None };
                let near = near.map(|point| format!("{}.{point}", scenario.component.value));
                out.push(
                    Diagnostic::new(&code::TEST_FAIL_AT, scenario.component.span, message).suggest(near),
                );
            }
        }
    }
}

/// A recording stands for a topic that is read as a stream.
fn recorded(pipeline: &Pipeline, id: &Spanned<String>, out: &mut Diagnostics) {
    if recorded_topic(pipeline, &id.value).is_some() {
        return;
    }
    let known = pipeline.topics.contains_key(&id.value) || section_of(pipeline, &id.value).is_some();
    if known {
        let message = format!("{:?} is no topic that is read as a stream", id.value);
        let help = "a recording stands for a source of `type: topic`, for a `topic` transform, or for the topic of one; give others their rows";
        out.push(Diagnostic::new(&code::TEST_RECORDED, id.span, message).help(help));
        return;
    }
    let known = pipeline.sources.keys().chain(pipeline.transforms.keys()).chain(pipeline.topics.keys());
    reference(id, "source or topic", near(&id.value, known, out), out);
}

fn near<'a>(id: &str, known: impl Iterator<Item = &'a String>, out: &Diagnostics) -> Option<&'a str> {
    if out.is_full() { None } else { nearest(id, known.map(String::as_str)) }
}

fn reference(id: &Spanned<String>, what: &str, near: Option<&str>, out: &mut Diagnostics) {
    let message = format!("there is no {what} {:?}", id.value);
    out.push(Diagnostic::new(&code::TEST_REFERENCE, id.span, message).suggest(near));
}

fn row(row: &Spanned<Value>, text: bool, out: &mut Diagnostics) {
    let good = matches!((&row.value, text), (Value::Map(_), _) | (Value::Text(_), true));
    if !good {
        let wanted = if text { "text as it arrives, or a mapping" } else { "a mapping of columns" };
        out.push(Diagnostic::new(&code::TEST_ROWS, row.span, format!("a row here is {wanted}")));
    }
}
