//! Names: the pipeline's, ids across sections, reserved words, topics' names on the broker, and whether there is
//! anything to do.

use std::collections::BTreeMap;

use millstream_types::topic::validate_name;

use crate::ast::{Operator, Pipeline};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::Node;
use crate::shape::walk::ID_CHARS_MAX;
use crate::span::Span;
use crate::sql::RESERVED;

/// The dead-letter topic of a pipeline that names none is `<pipeline>-dead_letters`, and tests name it so.
pub const DEAD_LETTERS: &str = "dead_letters";

/// Ids that would make one pipeline's internal topics and groups collide with another's (`<pipeline>-<id>`,
/// `<pipeline>-<id>-state`), or with the ingest stage's.
pub const OURS: &[&str] = &["ingest", "positions", "splits", "state", "exchange", DEAD_LETTERS];

pub(super) fn check(root: &Node, pipeline: &Pipeline, out: &mut Diagnostics) {
    if let Some(version) = root.get("version").and_then(Node::scalar).and_then(|s| s.clear())
        && version != "1"
        && version.parse::<u64>().is_ok()
    {
        let message = format!("version {version} of the file format is not known; this Millstream reads 1");
        let span = root.get("version").map_or(root.span, |n| n.span);
        out.push(Diagnostic::new(&code::BAD_VERSION, span, message).suggest(Some("1")));
    }
    let name = &pipeline.name;
    let good = name.value.starts_with(|c: char| c.is_ascii_lowercase())
        && name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.value.ends_with('-')
        && name.value.len() <= ID_CHARS_MAX;
    if !name.value.is_empty() && !good {
        let message = format!(
            "{:?} cannot name a pipeline: names are [a-z][a-z0-9-]*, at most {ID_CHARS_MAX} characters, not ending in -",
            name.value
        );
        out.push(Diagnostic::new(&code::BAD_NAME, name.span, message));
    }
    let mut seen: BTreeMap<&str, (Span, &str)> = BTreeMap::new();
    for (section, span, id) in ids(pipeline) {
        if let Some((first, first_section)) = seen.get(id) {
            let message = format!("{id:?} is the id of a {first_section} already");
            out.push(Diagnostic::new(&code::DUPLICATE_ID, span, message).related(*first, "first used here"));
            continue;
        }
        seen.insert(id, (span, section));
        if RESERVED.contains(&id) {
            let message = format!("{id:?} is a word of SQL, which could not read it as an input");
            out.push(
                Diagnostic::new(&code::RESERVED_ID, span, message).help(format!("for example: {id}_rows")),
            );
        } else if OURS.contains(&id) {
            let message = format!("{id:?} is the name of something that every pipeline has");
            out.push(Diagnostic::new(&code::RESERVED_ID, span, message));
        }
    }
    let mut topics: BTreeMap<&str, Span> = BTreeMap::new();
    for topic in pipeline.topics.values() {
        let span = topic.name.span;
        if let Err(error) = validate_name(&topic.name.value) {
            out.push(Diagnostic::new(&code::BAD_NAME, span, format!("{:?}: {error}", topic.name.value)));
        }
        if let Some(first) = topics.insert(&topic.name.value, span) {
            let message = format!("two topics are named {:?} on the broker", topic.name.value);
            out.push(
                Diagnostic::new(&code::DUPLICATE_ID, span.max(first), message)
                    .related(first.min(span), "the other"),
            );
        }
    }
    let start = Span::new(root.span.source, root.span.start, root.span.start);
    if pipeline.sources.is_empty() && root.get("sources").is_some() {
        let span = root.entry("sources").map_or(start, |e| e.key.span);
        out.push(Diagnostic::new(&code::NOTHING_TO_DO, span, "the pipeline has no source"));
    }
    let writes_topic = pipeline.transforms.values().any(|t| matches!(t.op, Operator::Topic(_)));
    // A sink of a type that is not known has been reported; it is still a sink.
    if pipeline.sinks.is_empty() && !writes_topic && root.get("sources").is_some() {
        let message = "the pipeline writes nothing: it has no sink and no transform of type topic";
        out.push(Diagnostic::new(&code::NOTHING_TO_DO, start, message));
    }
}

/// Every component's id with its section's word, in the order of the file.
fn ids(pipeline: &Pipeline) -> Vec<(&'static str, Span, &str)> {
    let mut all: Vec<(&'static str, Span, &str)> = Vec::new();
    all.extend(pipeline.sources.values().map(|c| ("source", c.id.span, c.id.value.as_str())));
    all.extend(pipeline.tables.values().map(|c| ("table", c.id.span, c.id.value.as_str())));
    all.extend(pipeline.transforms.values().map(|c| ("transform", c.id.span, c.id.value.as_str())));
    all.extend(pipeline.sinks.values().map(|c| ("sink", c.id.span, c.id.value.as_str())));
    all.sort_by_key(|(_, span, _)| *span);
    all
}
