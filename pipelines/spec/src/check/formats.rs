//! What topics' formats need of the rest of the file: a registry, topics whose records are nobody else's, and one row in a record
//! where a record stands for a row.

use super::Check;
use crate::ast::{FormatKind, LateThen, Operator, Pipeline, Target, Topic, Transform};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::replaced::{divides, replaced};
use crate::span::Span;

/// The most transforms between a topic and what reads its rows.
const DEPTH_MAX: usize = 64;

/// What a topic's format needs of the rest of the file.
pub(super) fn check(check: &Check<'_>, out: &mut Diagnostics) {
    let pipeline = check.pipeline;
    for topic in pipeline.topics.values() {
        let format = &topic.format;
        if format.registry && pipeline.schema_registry.is_none() {
            let message =
                format!("the records of {:?} name schemas of a registry, and there is none", topic.id.value);
            let help = "say `schema_registry: { url: … }` at the top of the file";
            out.push(Diagnostic::new(&code::FORMAT, format.kind.span, message).help(help));
        }
        let id = Some(topic.id.value.as_str());
        let dead = pipeline.errors.topic.as_ref().map(|t| t.value.as_str()) == id;
        let late = |t: &&Transform| match &t.op {
            Operator::Sql(sql) => match sql.late.as_ref().map(|late| &late.value.then) {
                Some(LateThen::Topic(to)) => to.as_ref().map(|t| t.value.as_str()) == id,
                _ => false,
            },
            _ => false,
        };
        if (dead || pipeline.transforms.values().any(|t| late(&t))) && format.kind.value != FormatKind::Json {
            let message =
                format!("{:?} takes records as they came, whatever they are written in", topic.id.value);
            out.push(
                Diagnostic::new(&code::FORMAT, format.kind.span, message).help("leave its `format` out"),
            );
        }
    }
    let sources = pipeline.sources.values();
    let sources = sources.filter_map(|s| Some((&s.topic.as_ref()?.topic, s.schema.as_ref()?)));
    let tables = pipeline.tables.values().filter_map(|t| Some((t.topic.as_ref()?, t.schema.as_ref()?)));
    for (topic, schema) in sources.chain(tables) {
        let frozen = pipeline.schemas.get(&schema.value).filter(|schema| schema.frozen);
        let topic = pipeline.topics.get(&topic.value);
        let (Some(declared), Some(topic)) = (frozen, topic) else { continue };
        if topic.format.kind.value != FormatKind::Json {
            let message = format!(
                "the contract of {:?} freezes its columns, and the records of {:?} are not JSON",
                declared.id.value, topic.id.value
            );
            let help = "leave the contract out: which fields such records have is their own schema's to say";
            let said = Diagnostic::new(&code::FORMAT, schema.span, message).help(help);
            out.push(said.related(topic.format.kind.span, "the format"));
        }
    }
    for topic in pipeline.topics.values().filter(|topic| is_arrow(topic)) {
        one_row_each(pipeline, topic, out);
    }
    for transform in pipeline.transforms.values() {
        late_rows(pipeline, transform, out);
    }
    let registered = pipeline.topics.values().any(|topic| topic.format.registry);
    if let Some(registry) = pipeline.schema_registry.as_ref().filter(|_| !registered) {
        let message = "no topic's format says `registry: true`".to_owned();
        out.push(Diagnostic::new(&code::UNUSED, registry.url.span, message));
    }
}

fn is_arrow(topic: &Topic) -> bool {
    topic.format.kind.value == FormatKind::Arrow
}

/// What takes a record of Arrow, which has many rows and no key, for one row.
fn one_row_each(pipeline: &Pipeline, topic: &Topic, out: &mut Diagnostics) {
    let id = topic.id.value.as_str();
    let mut refuse = |at: Span, why: String, help: String| {
        let message = format!("a record of {id:?}, which is Arrow, has many rows and no key: {why}");
        let diagnostic = Diagnostic::new(&code::FORMAT, at, message);
        out.push(diagnostic.related(topic.format.kind.span, "the format").help(help));
    };
    let another = "give the topic another format, such as avro".to_owned();
    if topic.compacted {
        let why = "of a compacted topic the latest record of each key stays".to_owned();
        refuse(
            topic.id.span,
            why,
            "take `cleanup: compact` away, or give the topic another format".to_owned(),
        );
    }
    for source in pipeline.sources.values() {
        let Some(read) = source.topic.as_ref().filter(|read| read.topic.value == id) else { continue };
        if let Some(said) = read.upsert {
            refuse(said, "with `upsert` each is the row of its key".to_owned(), another.clone());
        } else if let Some(key) = topic.key.first().filter(|_| topic.partitions.value > 1) {
            let why = format!(
                "that others keep rows of one {} in one partition cannot be seen of {:?}",
                key.value, source.id.value
            );
            let help = format!(
                "take `key` away here, and where rows of one {} have to meet, carry them by a transform of `type: topic` with a topic of that key",
                key.value
            );
            refuse(key.span, why, help);
        }
    }
    for table in pipeline.tables.values() {
        if let Some(of) = table.topic.as_ref().filter(|of| of.value == id) {
            let why = format!("the table {:?} takes each for one of its rows", table.id.value);
            refuse(of.span, why, another.clone());
        }
    }
    // A row that goes is a record without a value.
    let mut written = |input: &crate::span::Spanned<String>| {
        if replaced(pipeline, &input.value).is_some_and(|of| of.goes) {
            let why = format!("rows of {:?} may go, and each that goes is told by its record", input.value);
            refuse(input.span, why, another.clone());
        }
    };
    for sink in pipeline.sinks.values() {
        if matches!(&sink.target, Target::Topic(to) if to.value == id) {
            sink.inputs.iter().for_each(&mut written);
        }
    }
    for transform in pipeline.transforms.values() {
        if matches!(&transform.op, Operator::Topic(op) if op.topic.value == id) {
            transform.inputs.iter().for_each(&mut written);
        }
    }
    for transform in pipeline.transforms.values().filter(|transform| divides(pipeline, transform)) {
        if let Operator::Topic(op) = &transform.op
            && op.topic.value == id
        {
            let why = "a row whose key changes is taken away from where it was, by its record".to_owned();
            refuse(op.topic.span, why, another.clone());
        }
    }
}

/// Late rows that go to a topic as the records that they came in.
fn late_rows(pipeline: &Pipeline, transform: &Transform, out: &mut Diagnostics) {
    let Operator::Sql(query) = &transform.op else { return };
    let Some(late) = query.late.as_ref().filter(|late| matches!(late.value.then, LateThen::Topic(_))) else {
        return;
    };
    let Some(read) = transform.inputs.iter().find_map(|input| read_as_arrow(pipeline, &input.value, 0))
    else {
        return;
    };
    let message = format!(
        "late rows go to a topic as the records that they came in, and one of {:?}, which is Arrow, has others that are not late",
        read.id.value
    );
    let help = "say `late: { then: dead_letter }` or `drop`; or carry the rows by a transform of `type: topic` with a topic of JSON before";
    let diagnostic = Diagnostic::new(&code::FORMAT, late.span, message);
    out.push(diagnostic.related(read.format.kind.span, "the format").help(help));
}

/// The topic of Arrow from which a stage reads a stream.
fn read_as_arrow<'a>(pipeline: &'a Pipeline, stream: &str, depth: usize) -> Option<&'a Topic> {
    let topic = |id: &str| pipeline.topics.get(id).filter(|topic| is_arrow(topic));
    if let Some(source) = pipeline.sources.get(stream) {
        return topic(&source.topic.as_ref()?.topic.value);
    }
    let transform = pipeline.transforms.get(stream).filter(|_| depth < DEPTH_MAX)?;
    match &transform.op {
        Operator::Topic(op) => topic(&op.topic.value),
        _ => transform.inputs.iter().find_map(|input| read_as_arrow(pipeline, &input.value, depth + 1)),
    }
}
