//! Who reads whom: unknown inputs, circles, tables where streams belong, lookups, schemas and topics by name, what
//! nobody reads, and the promise of each path.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::ast::{Broker, DataAction, EMBEDDED, LateThen, Operator, Table, Target, Topic, Transform};
use crate::capability::Feature;
use crate::catalog::Delivery;
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::flow::{INPUTS_MAX, section_of};
use crate::shape::Section;
use crate::span::{Span, Spanned};
use crate::sql;
use crate::suggest::nearest;

pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    for transform in check.pipeline.transforms.values() {
        transform_inputs(check, transform, out);
    }
    for sink in check.pipeline.sinks.values() {
        inputs(check, &sink.inputs, false, "a sink", out);
        if let Some(condition) = &sink.condition {
            check.needs(Feature::SinkWhere, condition.span, out);
        }
    }
    cycles(check, out);
    references(check, out);
    unused(check, out);
    delivery(check, out);
    if let Broker::Cluster(cluster) = &check.pipeline.broker {
        let span = cluster.bootstrap.first().map_or(check.pipeline.name.span, |b| b.span);
        for host in cluster.bootstrap.iter().filter(|host| !is_address(&host.value)) {
            let message = format!("a broker is `{EMBEDDED}` or host:port; this is {:?}", host.value);
            let near = nearest(&host.value, [EMBEDDED]);
            out.push(Diagnostic::new(&code::NOT_ALLOWED_VALUE, host.span, message).suggest(near));
        }
        if cluster.tls.is_some() {
            check.needs(Feature::BrokerTls, span, out);
        }
        if cluster.sasl.is_some() {
            check.needs(Feature::BrokerSasl, span, out);
        }
    }
}

/// Whether text is host:port; an IPv6 address stands in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_good =
        bracketed.is_some_and(|h| h.contains(':')) || !(host.is_empty() || host.contains([':', '/', ' ']));
    host_good && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn inputs(check: &Check<'_>, inputs: &[Spanned<String>], tables: bool, what: &str, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    if let Some(input) = inputs.get(INPUTS_MAX) {
        let message = format!("{what} has {} inputs; one has at most {INPUTS_MAX}", inputs.len());
        out.push(Diagnostic::new(&code::OUT_OF_BOUNDS, input.span, message));
    }
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for input in inputs.iter().take(INPUTS_MAX) {
        if let Some(first) = seen.insert(&input.value, input.span) {
            let message = format!("the input {:?} is named twice", input.value);
            out.push(
                Diagnostic::new(&code::DUPLICATE_INPUT, input.span, message)
                    .related(first, "first named here"),
            );
            continue;
        }
        match section_of(pipeline, &input.value) {
            Some(Section::Sources | Section::Transforms) => {}
            Some(Section::Tables) if tables => {}
            Some(Section::Tables) => {
                let message = format!("{:?} is a table; {what} reads streams", input.value);
                let help = "a function looks tables up with `lookup`; sql joins them";
                out.push(Diagnostic::new(&code::WRONG_KIND_OF_INPUT, input.span, message).help(help));
            }
            Some(Section::Sinks) => {
                let message = format!("{:?} is a sink, which nothing can read", input.value);
                let read = pipeline.sinks.get(&input.value).map(|s| &s.inputs);
                let instead = read.and_then(|i| i.first()).map(|i| i.value.clone());
                out.push(Diagnostic::new(&code::WRONG_KIND_OF_INPUT, input.span, message).suggest(instead));
            }
            None => unknown_input(check, input, tables, out),
        }
    }
}

fn unknown_input(check: &Check<'_>, input: &Spanned<String>, tables: bool, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    // A component that lint could not read is there all the same, by its id; only its type was at fault.
    if check.unread.contains(input.value.as_str()) {
        return;
    }
    if pipeline.topics.contains_key(&input.value) {
        let writer = pipeline
            .transforms
            .values()
            .find(|t| matches!(&t.op, Operator::Topic(topic) if topic.topic.value == input.value));
        let message = format!("{:?} is a topic, not a component", input.value);
        let diagnostic = Diagnostic::new(&code::WRONG_KIND_OF_INPUT, input.span, message);
        out.push(match writer {
            Some(writer) => diagnostic.suggest(Some(writer.id.value.clone())),
            None => diagnostic.help("a transform of type topic writes it, and is what others read"),
        });
        return;
    }
    let names = pipeline.sources.keys().chain(pipeline.transforms.keys());
    let names = names.chain(pipeline.tables.keys().filter(|_| tables)).map(String::as_str);
    let near = nearest(&input.value, names);
    let message = format!("there is no source, table or transform {:?}", input.value);
    out.push(Diagnostic::new(&code::UNKNOWN_INPUT, input.span, message).suggest(near));
}

fn transform_inputs(check: &Check<'_>, transform: &Transform, out: &mut Diagnostics) {
    let what = format!("a {} transform", transform.type_name.value);
    inputs(check, &transform.inputs, matches!(transform.op, Operator::Sql(_)), &what, out);
    let Some(last) = transform.inputs.last() else { return };
    let streams = transform.inputs.iter().filter(|i| !check.pipeline.tables.contains_key(&i.value)).count();
    match &transform.op {
        Operator::Dedupe(_) if transform.inputs.len() > 1 => {
            let message = "dedupe reads one stream";
            let help = "write the streams into one topic first";
            out.push(Diagnostic::new(&code::NUMBER_OF_INPUTS, last.span, message).help(help));
        }
        Operator::Sql(_) if streams == 0 => {
            let message = "a query needs at least one stream among its inputs";
            out.push(Diagnostic::new(&code::NUMBER_OF_INPUTS, last.span, message));
        }
        Operator::Sql(_) if streams > 1 => check.needs(Feature::StreamJoin, last.span, out),
        _ => {}
    }
    if let Operator::Sql(query) = &transform.op {
        let names = sql::names(&query.sql.text);
        for input in transform.inputs.iter().filter(|i| !names.contains(&i.value)) {
            let message = format!("the query does not read its input {:?}", input.value);
            out.push(Diagnostic::new(&code::UNUSED, input.span, message));
        }
    }
}

fn cycles(check: &Check<'_>, out: &mut Diagnostics) {
    for cycle in &check.flow.cycles {
        let mut names: Vec<&str> = cycle.clone();
        let first = names.iter().enumerate().min_by_key(|(_, n)| **n).map_or(0, |(i, _)| i);
        names.rotate_left(first);
        let first = &check.pipeline.transforms[names[0]];
        let circle: Vec<&str> = names.iter().copied().chain([names[0]]).collect();
        let message = format!("these read each other in a circle: {}", circle.join(" <- "));
        out.push(Diagnostic::new(&code::CYCLE, first.id.span, message));
    }
}

/// Whether a topic can be followed as a table.
fn followed_topic(table: &Table, topic: &Topic, out: &mut Diagnostics) {
    let names = |key: &[Spanned<String>]| key.iter().map(|k| k.value.clone()).collect::<Vec<_>>();
    let (of_table, of_topic) = (names(&table.key), names(&topic.key));
    if !of_topic.is_empty() && of_table != of_topic {
        let message = format!(
            "the table {:?} has the key {}, and its topic is keyed by {}",
            table.id.value,
            of_table.join(", "),
            of_topic.join(", ")
        );
        let span = table.key.first().map_or(table.id.span, |k| k.span);
        let key = topic.key.first().map_or(topic.id.span, |k| k.span);
        out.push(Diagnostic::new(&code::TABLE_KEY, span, message).related(key, "the topic's key"));
    }
    let forgets = !topic.compacted && (topic.retention_ms.is_some() || topic.retention_bytes.is_some());
    if let Some(read) = table.topic.as_ref().filter(|_| forgets) {
        let message = format!(
            "rows of the table {:?} are gone when their records are: its topic forgets",
            table.id.value
        );
        let help = "say `cleanup: compact` of the topic, or `retention: forever`";
        out.push(Diagnostic::new(&code::TABLE_FORGETS, read.span, message).help(help));
    }
}

/// `lookup`, `output`, `schema`, `topic`: names of other sections.
fn references(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    let schema = |name: &Option<Spanned<String>>, out: &mut Diagnostics| {
        if let Some(name) = name.as_ref().filter(|n| !pipeline.schemas.contains_key(&n.value)) {
            let near = nearest(&name.value, pipeline.schemas.keys().map(String::as_str));
            let message = format!("there is no schema {:?}", name.value);
            out.push(Diagnostic::new(&code::UNKNOWN_SCHEMA, name.span, message).suggest(near));
        }
    };
    let topic = |name: &Spanned<String>, out: &mut Diagnostics| {
        if !name.value.is_empty() && !pipeline.topics.contains_key(&name.value) {
            let near = nearest(&name.value, pipeline.topics.keys().map(String::as_str));
            let message = format!("there is no topic {:?}", name.value);
            out.push(Diagnostic::new(&code::UNKNOWN_TOPIC, name.span, message).suggest(near));
        }
    };
    pipeline.sources.values().for_each(|s| schema(&s.schema, out));
    for source in pipeline.sources.values() {
        if let Some(read) = &source.topic {
            topic(&read.topic, out);
            if source.schema.is_none() {
                let message = format!("the topic that {:?} reads has no columns", source.id.value);
                let help = "name its schema: `schema: …`";
                out.push(Diagnostic::new(&code::MISSING_KEY, source.type_name.span, message).help(help));
            }
        }
    }
    pipeline.tables.values().for_each(|t| schema(&t.schema, out));
    for table in pipeline.tables.values() {
        if table.schema.is_none() && (table.topic.is_some() || table.is_asked()) {
            let what = if table.is_asked() { "is asked for rows and" } else { "follows a topic and" };
            let message = format!("the table {:?} {what} has no columns", table.id.value);
            let help = "name its schema: `schema: …`";
            out.push(Diagnostic::new(&code::MISSING_KEY, table.type_name.span, message).help(help));
        }
        let Some(read) = &table.topic else { continue };
        topic(read, out);
        if let Some(followed) = pipeline.topics.get(&read.value) {
            followed_topic(table, followed, out);
        }
    }
    let dead_letters = pipeline.errors.topic.as_ref();
    dead_letters.iter().for_each(|t| topic(t, out));
    let (mut writes, mut late): (Vec<&Spanned<String>>, Vec<&Spanned<String>>) = (Vec::new(), Vec::new());
    for transform in pipeline.transforms.values() {
        match &transform.op {
            Operator::Wasm(wasm) => {
                schema(&wasm.output, out);
                for table in wasm.lookup.iter().filter(|t| !pipeline.tables.contains_key(&t.value)) {
                    let near = nearest(&table.value, pipeline.tables.keys().map(String::as_str));
                    let message = format!("there is no table {:?}", table.value);
                    out.push(Diagnostic::new(&code::UNKNOWN_LOOKUP, table.span, message).suggest(near));
                }
                let is_asked =
                    |t: &&Spanned<String>| pipeline.tables.get(&t.value).is_some_and(Table::is_asked);
                for table in wasm.lookup.iter().filter(is_asked) {
                    let message = format!(
                        "{:?} is asked for the rows of keys, and functions look up tables that are read",
                        table.value
                    );
                    let help = "join it by sql before the function, or follow it as a topic";
                    out.push(Diagnostic::new(&code::WRONG_KIND_OF_INPUT, table.span, message).help(help));
                }
            }
            Operator::Topic(op) => {
                topic(&op.topic, out);
                writes.push(&op.topic);
            }
            Operator::Sql(query) => {
                if let Some(LateThen::Topic(Some(name))) = query.late.as_ref().map(|rule| &rule.then) {
                    topic(name, out);
                    late.push(name);
                }
            }
            _ => {}
        }
    }
    for sink in pipeline.sinks.values() {
        if let Target::Topic(name) = &sink.target {
            topic(name, out);
            writes.push(name);
        }
    }
    let mut writers: BTreeMap<&str, Span> = BTreeMap::new();
    let source = |name: &str| {
        let mut read = pipeline.sources.values().filter_map(|s| s.topic.as_ref().map(|t| &t.topic));
        read.find(|topic| topic.value == name).map(|topic| topic.span)
    };
    for written in writes {
        let other = writers.insert(&written.value, written.span);
        let topic = pipeline.topics.get(&written.value);
        if let Some(topic) = topic.filter(|topic| topic.compacted && topic.key.is_empty()) {
            let message = format!(
                "{:?} keeps the latest record of each key, and what is written to it has none",
                topic.id.value
            );
            let help = "give the topic a `key`, or take `cleanup: compact` away";
            out.push(Diagnostic::new(&code::CONTRADICTION, topic.id.span, message).help(help));
        }
        let dead = dead_letters.filter(|d| d.value == written.value).map(|d| d.span);
        let read = source(&written.value);
        if let Some(other) = other.or(dead) {
            let message = format!("the topic {:?} has another writer", written.value);
            let (first, last) = (other.min(written.span), other.max(written.span));
            out.push(
                Diagnostic::new(&code::TOPIC_WRITTEN_TWICE, last, message)
                    .related(first, "the other is named here"),
            );
        } else if let Some(read) = read {
            let message = format!("the topic {:?} is a source, which others write", written.value);
            out.push(
                Diagnostic::new(&code::TOPIC_WRITTEN_TWICE, written.span, message)
                    .related(read, "the source")
                    .help("what follows reads the transform of type topic that writes it"),
            );
        }
    }
    if let Some((dead, read)) = dead_letters.and_then(|dead| Some((dead, source(&dead.value)?))) {
        let message = format!("dead letters would go to {:?}, which is a source, and come again", dead.value);
        out.push(
            Diagnostic::new(&code::TOPIC_WRITTEN_TWICE, dead.span, message)
                .related(read, "the source")
                .help("read them in a pipeline of their own"),
        );
    }
    for written in late {
        // What is late would come again, and be late again.
        if let Some(read) = writers.get(written.value.as_str()).copied().or_else(|| source(&written.value)) {
            let message = format!("late rows would go to {:?}, which is not theirs alone", written.value);
            out.push(
                Diagnostic::new(&code::TOPIC_WRITTEN_TWICE, written.span, message)
                    .related(read, "named here too")
                    .help("declare a topic for late rows"),
            );
        }
    }
    let errors = &pipeline.errors;
    if let (DataAction::Drop | DataAction::Stop, Some(topic)) = (&errors.action, &errors.topic) {
        let message = "`topic` is only for `action: dead_letter`";
        out.push(Diagnostic::new(&code::CONTRADICTION, topic.span, message));
    }
    for sink in pipeline.sinks.values() {
        if sink.upserts && sink.config.texts("key").is_empty() {
            let message =
                "`mode: upsert` needs `key`, the columns that name a row; `mode: insert` adds each row";
            let span = sink.config.text("mode").map_or(sink.type_name.span, |m| m.span);
            out.push(Diagnostic::new(&code::CONTRADICTION, span, message));
        }
    }
}

fn unused(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    // After an error, what nobody reads may be read by what is at fault.
    if out.has_errors() {
        return;
    }
    let mut read: BTreeSet<&str> = BTreeSet::new();
    let (mut schemas, mut topics): (BTreeSet<&str>, BTreeSet<&str>) = (BTreeSet::new(), BTreeSet::new());
    for transform in pipeline.transforms.values() {
        read.extend(transform.inputs.iter().map(|i| i.value.as_str()));
        match &transform.op {
            Operator::Wasm(wasm) => {
                read.extend(wasm.lookup.iter().map(|i| i.value.as_str()));
                schemas.extend(wasm.output.iter().map(|s| s.value.as_str()));
            }
            Operator::Topic(op) => {
                topics.insert(&op.topic.value);
            }
            Operator::Sql(query) => {
                if let Some(LateThen::Topic(Some(topic))) = query.late.as_ref().map(|l| &l.then) {
                    topics.insert(&topic.value);
                }
            }
            _ => {}
        }
    }
    pipeline.sinks.values().for_each(|s| read.extend(s.inputs.iter().map(|i| i.value.as_str())));
    schemas.extend(pipeline.sources.values().filter_map(|s| Some(s.schema.as_ref()?.value.as_str())));
    schemas.extend(pipeline.tables.values().filter_map(|s| Some(s.schema.as_ref()?.value.as_str())));
    topics.extend(pipeline.errors.topic.iter().map(|t| t.value.as_str()));
    topics.extend(pipeline.tables.values().filter_map(|t| Some(t.topic.as_ref()?.value.as_str())));
    topics.extend(pipeline.sources.values().filter_map(|s| Some(s.topic.as_ref()?.topic.value.as_str())));
    topics.extend(pipeline.sinks.values().filter_map(|s| match &s.target {
        Target::Topic(topic) => Some(topic.value.as_str()),
        _ => None,
    }));
    let warn = |what: &str, id: &Spanned<String>, out: &mut Diagnostics| {
        let message = format!("nothing uses the {what} {:?}", id.value);
        out.push(Diagnostic::new(&code::UNUSED, id.span, message));
    };
    for source in pipeline.sources.values().filter(|s| !read.contains(s.id.value.as_str())) {
        warn("source", &source.id, out);
    }
    for table in pipeline.tables.values().filter(|t| !read.contains(t.id.value.as_str())) {
        warn("table", &table.id, out);
    }
    for transform in pipeline.transforms.values() {
        // A topic is an output of its own.
        if !read.contains(transform.id.value.as_str()) && !matches!(transform.op, Operator::Topic(_)) {
            warn("transform", &transform.id, out);
        }
    }
    let transforms = pipeline.transforms.values().flat_map(|t| t.op.texts());
    let conditions = pipeline.sinks.values().filter_map(|sink| sink.condition.as_ref());
    let called: BTreeSet<&str> =
        pipeline.called(transforms.chain(conditions)).iter().map(|f| f.id.value.as_str()).collect();
    for function in pipeline.functions.values().filter(|f| !called.contains(f.id.value.as_str())) {
        warn("function", &function.id, out);
    }
    for schema in pipeline.schemas.values().filter(|s| !schemas.contains(s.id.value.as_str())) {
        warn("schema", &schema.id, out);
    }
    for topic in pipeline.topics.values().filter(|t| !topics.contains(t.id.value.as_str())) {
        warn("topic", &topic.id, out);
    }
}

fn delivery(check: &Check<'_>, out: &mut Diagnostics) {
    for path in check.flow.paths(check.pipeline, check.catalog) {
        let broken = match path.wanted {
            Delivery::ExactlyOnce => path.kept < path.wanted,
            // What may come twice is not at most once either.
            Delivery::AtMostOnce => path.kept == Delivery::AtLeastOnce,
            Delivery::AtLeastOnce => false,
        };
        if broken {
            let Some((component, why)) = &path.limited_by else { continue };
            let sink = &check.pipeline.sinks[&path.sink];
            let span = sink.delivery.as_ref().map_or(sink.type_name.span, |d| d.span);
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            let message = format!(
                "the path {} -> {} cannot be {}, since {component} keeps at least once{why}",
                path.source,
                path.sink,
                path.wanted.word().replace('_', " ")
            );
            let help = format!("write `delivery: at_least_once` on the sink {}", path.sink);
            out.push(Diagnostic::new(&code::DELIVERY, span, message).help(help));
        }
    }
}
