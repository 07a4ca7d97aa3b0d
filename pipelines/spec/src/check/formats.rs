//! What topics' formats need of the rest of the file: a registry, and topics whose records are nobody else's.

use super::Check;
use crate::ast::{FormatKind, LateThen, Operator, Transform};
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};

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
    let registered = pipeline.topics.values().any(|topic| topic.format.registry);
    if let Some(registry) = pipeline.schema_registry.as_ref().filter(|_| !registered) {
        let message = "no topic's format says `registry: true`".to_owned();
        out.push(Diagnostic::new(&code::UNUSED, registry.url.span, message));
    }
}
