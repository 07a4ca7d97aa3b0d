//! Which streams carry rows that take the place of each other, and of which rows may go again without another in their place. Told by
//! the file alone; what such a row is known by the engine says, of the queries that it has planned. Never enters: windows whose rows are
//! sent more than once, which nothing but a sink reads.

use crate::ast::{Operator, Pipeline, Sql, Transform};
use crate::flow::joins_streams;
use crate::span::Span;
use crate::sql::{group_by, tokens};

/// The most transforms between a source and what reads its rows.
const DEPTH_MAX: usize = 64;

/// A stream whose rows take the place of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Whether a row may go: a source takes it away, its group becomes empty, or a condition does not hold of it any more.
    pub goes: bool,
    /// Where the file says that rows take the place of each other.
    pub said: Span,
}

/// How the rows of a stream take the place of each other; nothing where each stands for itself, and of what cannot be read so.
pub fn replaced(pipeline: &Pipeline, stream: &str) -> Option<Replaced> {
    find(pipeline, stream, 0)
}

fn find(pipeline: &Pipeline, stream: &str, depth: usize) -> Option<Replaced> {
    if depth > DEPTH_MAX {
        // A circle, which is told elsewhere.
        return None;
    }
    if let Some(source) = pipeline.sources.get(stream) {
        let said = source.topic.as_ref()?.upsert?;
        return Some(Replaced { goes: true, said });
    }
    let transform = pipeline.transforms.get(stream)?;
    let input = || transform.inputs.iter().find_map(|input| find(pipeline, &input.value, depth + 1));
    match &transform.op {
        Operator::Sql(query) if query.keeps_groups() => {
            let said = query.emit.as_ref().map_or(transform.id.span, |emit| emit.span);
            // A row that is replaced may leave its group, the only one that was in it; and the rows that it was joined with.
            let goes = input().is_some() || has_condition_on_groups(query);
            Some(Replaced { goes, said })
        }
        _ if transform.inputs.len() == 1 && matches!(transform.op, Operator::Topic(_) | Operator::Map(_)) => {
            input()
        }
        Operator::Filter(_) => input().map(|of| Replaced { goes: true, ..of }),
        Operator::Sql(_) if passes_rows(pipeline, transform) => {
            input().map(|of| Replaced { goes: true, ..of })
        }
        _ => None,
    }
}

/// Whether a condition on what a query's groups give, which may hold of a group's row and later not, stands in its text: HAVING, or
/// WHERE or a JOIN behind a GROUP BY.
fn has_condition_on_groups(query: &Sql) -> bool {
    let tokens = tokens(&query.sql.text);
    let behind = tokens.iter().skip_while(|token| !token.is_word("group"));
    let mut of_groups = behind
        .clone()
        .zip(behind.skip(1))
        .filter(|(before, _)| !before.is_word("left") && !before.is_word("outer"));
    tokens.iter().any(|token| token.is_word("having") || token.is_word("qualify"))
        || of_groups.any(|(_, token)| token.is_word("where") || token.is_word("join"))
}

/// Whether a query hands rows on one by one, without windows, groups or other streams.
pub fn passes_rows(pipeline: &Pipeline, transform: &Transform) -> bool {
    let Operator::Sql(query) = &transform.op else { return false };
    let alone = query.windows.is_empty() && !query.over_stream && query.emit.is_none();
    alone && !joins_streams(pipeline, transform)
}

/// Whether a transform of `type: topic` divides rows that take the place of each other by a column that may change, so that where
/// each lies has to be kept. What the file alone tells: the engine, which knows more, may find that none moves.
pub fn divides(pipeline: &Pipeline, transform: &Transform) -> bool {
    let (Operator::Topic(op), [input]) = (&transform.op, transform.inputs.as_slice()) else { return false };
    let Some(topic) = pipeline.topics.get(&op.topic.value) else { return false };
    let known = replaced(pipeline, &input.value).map(|_| known_by(pipeline, &input.value, 0));
    known.is_some_and(|known| topic.key.iter().any(|key| !known.contains(&key.value)))
}

/// The columns that rows of a stream are known by, as far as the file tells.
fn known_by(pipeline: &Pipeline, stream: &str, depth: usize) -> Vec<String> {
    if depth > DEPTH_MAX {
        return Vec::new();
    }
    let keys = |topic: &str| -> Vec<String> {
        pipeline.topics.get(topic).into_iter().flat_map(|t| &t.key).map(|key| key.value.clone()).collect()
    };
    if let Some(read) = pipeline.sources.get(stream).and_then(|source| source.topic.as_ref()) {
        return keys(&read.topic.value);
    }
    let Some(transform) = pipeline.transforms.get(stream) else { return Vec::new() };
    let before = transform.inputs.iter().take(1);
    let before = before.flat_map(|input| known_by(pipeline, &input.value, depth + 1));
    match &transform.op {
        Operator::Sql(query) if query.keeps_groups() => group_by(&query.sql.text).unwrap_or_default(),
        Operator::Topic(op) => before.chain(keys(&op.topic.value)).collect(),
        Operator::Sql(_) | Operator::Filter(_) => before.collect(),
        _ => Vec::new(),
    }
}

/// Whether a transform can read rows that take the place of each other. Of queries the engine says the rest.
pub fn reads_replaced(pipeline: &Pipeline, transform: &Transform) -> bool {
    match &transform.op {
        Operator::Sql(query) => query.keeps_groups() || passes_rows(pipeline, transform),
        Operator::Filter(_) => true,
        Operator::Topic(_) | Operator::Map(_) => transform.inputs.len() == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::standard;
    use crate::{Capabilities, NoReader, Policy, Request, load};

    #[test]
    fn what_rows_are_to_those_before_them() {
        let text = r#"
version: 1
name: shop
schemas: { product: { fields: { id: { type: string, required: true }, category: { type: string, required: true } } } }
topics: { products: { partitions: 1, key: id }, events: { partitions: 1, key: id }, counted: { partitions: 1, key: category }, moved: { partitions: 1, key: category }, stayed: { partitions: 1, key: category } }
sources:
  products: { type: topic, topic: products, schema: product, upsert: true }
  events: { type: topic, topic: events, schema: product }
transforms:
  sold:    { type: sql, inputs: [events], emit: { on_update: 1s }, sql: "SELECT category, COUNT(*) AS n FROM events WHERE id > '' GROUP BY category" }
  many:    { type: sql, inputs: [events], emit: { on_update: 1s }, sql: "SELECT category, COUNT(*) AS n FROM events GROUP BY category HAVING COUNT(*) > 1" }
  picked:  { type: sql, inputs: [events], emit: { on_update: 1s }, sql: "SELECT * FROM (SELECT category, COUNT(*) AS n FROM events GROUP BY category) WHERE n > 1" }
  named:   { type: sql, inputs: [events], emit: { on_update: 1s }, sql: "SELECT g.category FROM (SELECT category FROM events GROUP BY category) g LEFT JOIN t ON t.id = g.category" }
  counts:  { type: sql, inputs: [products], emit: { on_update: 1s }, sql: "SELECT category, COUNT(*) AS n FROM products GROUP BY category" }
  carried: { type: topic, inputs: [sold], topic: counted }
  shaped:  { type: map, inputs: [carried], columns: { category: category } }
  moved:   { type: topic, inputs: [products], topic: moved }
  stays:   { type: topic, inputs: [carried], topic: stayed }
  few:     { type: filter, inputs: [shaped], where: "category > ''" }
  chosen:  { type: sql, inputs: [products], sql: "SELECT id FROM products WHERE category = 'a'" }
  plain:   { type: sql, inputs: [events], sql: "SELECT id FROM events" }
"#;
        let catalog = standard::catalog();
        let capabilities = Capabilities::this_version();
        let (reader, policy) = (NoReader, Policy::default());
        let file = "shop.yaml";
        let overrides = &[];
        let request = Request {
            file,
            text,
            overrides,
            catalog: &catalog,
            capabilities: &capabilities,
            reader: &reader,
            policy: &policy,
        };
        let outcome = load(&request);
        let pipeline = outcome.pipeline.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
        let goes = |stream: &str| replaced(&pipeline, stream).map(|of| of.goes);
        for (stream, wanted) in [
            ("products", Some(true)),
            ("events", None),
            ("sold", Some(false)),
            ("many", Some(true)),
            ("picked", Some(true)),
            ("named", Some(false)),
            ("counts", Some(true)),
            ("carried", Some(false)),
            ("shaped", Some(false)),
            ("few", Some(true)),
            ("chosen", Some(true)),
            ("plain", None),
        ] {
            assert_eq!(goes(stream), wanted, "{stream}");
        }
        for (topic, wanted) in [("carried", false), ("moved", true), ("stays", false)] {
            assert_eq!(divides(&pipeline, &pipeline.transforms[topic]), wanted, "{topic}");
        }
    }
}
