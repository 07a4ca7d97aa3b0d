//! Operator ids that survive edits elsewhere: the id in the file and a hash of what state depends on. Formatting, where
//! late rows go, delays, limits and everything up or down the stream leave it as it is.
//!
//! Invariant PL-2: the same definition gives the same id on every machine and in every version; golden values are tested.

use std::fmt;

use millstream_spec::Pipeline;
use millstream_spec::ast::{Late, Operator, Transform};
use millstream_spec::flow::Flow;
use millstream_spec::replaced::{divides, passes_rows};
use millstream_spec::span::Spanned;
use millstream_spec::sql::{self, SqlText};

/// The id of an operator in one definition. State is kept under it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperatorId {
    /// The id in the file.
    pub name: String,
    /// The hash of what its state depends on.
    pub definition: u64,
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.name, self.definition)
    }
}

impl OperatorId {
    /// The id of a name and a definition.
    pub fn new(name: &str, definition: &str) -> OperatorId {
        OperatorId { name: name.to_owned(), definition: hash(definition) }
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<OperatorId> {
        let (name, definition) = text.split_once(':')?;
        let definition = (definition.len() == 16).then(|| u64::from_str_radix(definition, 16).ok())??;
        Some(OperatorId { name: name.to_owned(), definition })
    }
}

/// FNV-1a over the text, mixed at the end (SplitMix64's finaliser): the name beside it makes chance collisions those of
/// two definitions of one operator.
fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A shorter one, for names.
pub(crate) fn short_hash(text: &str) -> u32 {
    (hash(text) >> 32) as u32
}

/// What the rows of a transform depend on that is filled, as text: its topics and their rows, and what it says of them, state or not.
pub(crate) fn filled_by(pipeline: &Pipeline, flow: &Flow<'_>, transform: &Transform) -> String {
    let inputs: String = transform.inputs.iter().map(|input| read_as(pipeline, flow, &input.value)).collect();
    let of = match &transform.op {
        Operator::Filter(condition) => text_of(pipeline, condition),
        Operator::Map(parts) | Operator::Route(parts, _) => {
            let parts =
                parts.iter().map(|(name, text)| format!("{}={}", name.value, text_of(pipeline, text)));
            parts.collect::<Vec<_>>().join(" ")
        }
        Operator::Wasm(wasm) => {
            let config: String = wasm.config.iter().map(|(key, value)| format!(" {key}={value:?}")).collect();
            let lookup: String = wasm.lookup.iter().map(|table| format!(" lookup={}", table.value)).collect();
            let output = wasm.output.as_ref().map_or("", |schema| &schema.value);
            format!("{}{config}{lookup} output={output}", wasm.digest.as_deref().unwrap_or("unread"))
        }
        Operator::Dedupe(dedupe) => format!("within={}", dedupe.within_ms),
        Operator::Sql(query) => format!("keep={:?}", query.keep.as_ref().map(|keep| keep.value)),
        Operator::Topic(_) | Operator::Union => String::new(),
    };
    let again = transform.backfill.as_ref().map_or(0, |again| again.value);
    let columns = columns(flow, transform, |_| true);
    format!("{inputs}{}{columns} {of} again={again}", definition(pipeline, flow, transform))
}

/// What a stream is, where that is a topic: which one, by which column its time goes, and what its rows take the place of. Where its
/// keys lie is no part of it: rows of before lie as they did then.
fn read_as(pipeline: &Pipeline, flow: &Flow<'_>, stream: &str) -> String {
    let of_source = || {
        let read = pipeline.sources.get(stream)?.topic.as_ref()?;
        Some((&read.topic, &read.watermark))
    };
    let of_transform = || match &pipeline.transforms.get(stream)?.op {
        Operator::Topic(op) => Some((&op.topic, &op.watermark)),
        _ => None,
    };
    let read = of_source().or_else(of_transform);
    let topic = read.and_then(|(topic, _)| pipeline.topics.get(&topic.value));
    let topic = topic.map_or("", |topic| &topic.name.value);
    let time = read.and_then(|(_, watermark)| watermark.as_ref()).map_or("", |w| &w.column.value);
    let replaced = replaced_by(pipeline, flow, stream).unwrap_or_default();
    format!("{stream} of {topic} at {time} replaced ({replaced}) ")
}

/// What an operator's state depends on, as text.
pub(crate) fn definition(pipeline: &Pipeline, flow: &Flow<'_>, transform: &Transform) -> String {
    match &transform.op {
        Operator::Dedupe(dedupe) => {
            let key: Vec<&str> = dedupe.key.iter().map(|k| k.value.as_str()).collect();
            format!("dedupe key={}{}", key.join(","), columns(flow, transform, |name| key.contains(&name)))
        }
        Operator::Sql(query) => {
            let names = sql::names(&query.sql.text);
            let columns = columns(flow, transform, |name| names.contains(name));
            // Which windows have fired follows from the watermark and the allowance: with another one, windows would fire
            // twice or never. So they would where they fire at their end now and did not before.
            let late = query.late.as_ref().map_or_else(Late::default_rule, |late| late.value.clone());
            let allow = match late.allow_ms {
                0 => String::new(),
                allow => format!(" allow={allow}"),
            };
            let updates = if late.updates { " update" } else { "" };
            // How long they are kept may change; whether it is known when their last row came may not.
            let kept = if query.lets_go() { " lets-go" } else { "" };
            // Rows of groups that are gone would stay in groups that are made of them.
            let of = transform.inputs.iter().filter_map(|input| replaced_by(pipeline, flow, &input.value));
            let of: String = of.map(|of| format!(" replaced ({of})")).collect();
            let text = text_of(pipeline, &query.sql);
            format!("sql {text}{columns}{allow}{updates}{kept}{of}")
        }
        // Where rows lie by.
        Operator::Topic(op) if divides(pipeline, transform) => {
            let key = pipeline.topics.get(&op.topic.value).into_iter().flat_map(|topic| &topic.key);
            let key: Vec<&str> = key.map(|key| key.value.as_str()).collect();
            let of = transform.inputs.iter().find_map(|input| replaced_by(pipeline, flow, &input.value));
            let of = of.unwrap_or_default();
            format!(
                "divide {} of ({of}){}",
                key.join(","),
                columns(flow, transform, |name| key.contains(&name))
            )
        }
        // No state: the kind is enough.
        _ => transform.type_name.value.clone(),
    }
}

/// SQL in its normal form, and what the functions are that it calls.
fn text_of(pipeline: &Pipeline, text: &SqlText) -> String {
    let called = pipeline.called([text]);
    let called: String =
        called.iter().map(|function| format!(" calls [{}]", function.definition())).collect();
    format!("{}{called}", sql::normal_form(&text.text))
}

/// What is kept up to date whose rows a query reads, for groups or a join: at once, or by topics and what hands rows on one by one.
pub(crate) fn groups_of<'a>(pipeline: &'a Pipeline, transform: &Transform) -> Vec<&'a Transform> {
    let of = |input: &Spanned<String>| -> Vec<&'a Transform> {
        match pipeline.transforms.get(&input.value).map(|found| (found, &found.op)) {
            Some((found, Operator::Sql(query))) if query.keeps_groups() => vec![found],
            Some((found, _)) if hands_on(pipeline, found) => groups_of(pipeline, found),
            _ => Vec::new(),
        }
    };
    transform.inputs.iter().flat_map(of).collect()
}

/// Whether a transform hands rows on one by one.
fn hands_on(pipeline: &Pipeline, transform: &Transform) -> bool {
    match &transform.op {
        Operator::Topic(_) | Operator::Filter(_) | Operator::Map(_) => true,
        _ => passes_rows(pipeline, transform),
    }
}

/// Where a stream's rows take the place of each other, and may go: what makes them. Of rows that have gone meanwhile, or that a
/// condition lets through no more, nothing would be told to what keeps them.
fn replaced_by(pipeline: &Pipeline, flow: &Flow<'_>, stream: &str) -> Option<String> {
    if let Some(source) = pipeline.sources.get(stream) {
        return source.topic.as_ref()?.upsert.map(|_| "upsert".to_owned());
    }
    let found = pipeline.transforms.get(stream)?;
    let text = match &found.op {
        Operator::Sql(query) if query.keeps_groups() => return Some(definition(pipeline, flow, found)),
        _ if !hands_on(pipeline, found) => return None,
        Operator::Sql(query) => Some(text_of(pipeline, &query.sql)),
        Operator::Filter(condition) => Some(text_of(pipeline, condition)),
        Operator::Map(columns) => {
            let columns =
                columns.iter().map(|(name, text)| format!("{}={}", name.value, text_of(pipeline, text)));
            Some(columns.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    let of = found.inputs.iter().find_map(|input| replaced_by(pipeline, flow, &input.value))?;
    Some(match text {
        Some(text) => format!("{text} of ({of})"),
        None => of,
    })
}

/// The types of the columns that matter, of every input whose schema is known: a type that changes changes state.
fn columns(flow: &Flow<'_>, transform: &Transform, matters: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for input in &transform.inputs {
        let Some(schema) = flow.schema(&input.value) else { continue };
        let mut fields: Vec<_> = schema.fields.iter().filter(|f| matters(&f.name.value)).collect();
        fields.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        for field in fields {
            out.push_str(&format!(" {}.{}={}", input.value, field.name.value, field.data_type.describe()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_for_ever() {
        let id = OperatorId::new("unique", "dedupe key=store_id,invoice_id");
        assert_eq!(id.to_string(), "unique:53fd22f6239558df");
        assert_eq!(OperatorId::parse(&id.to_string()), Some(id));
        for bad in ["unique", "unique:12", "unique:zzzzzzzzzzzzzzzz"] {
            assert_eq!(OperatorId::parse(bad), None);
        }
    }
}
