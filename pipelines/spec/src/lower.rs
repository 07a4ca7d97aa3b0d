//! From a linted tree to the typed spec. What lint has refused reads as its default here, so that the checks of
//! relations still see the rest of the file; a spec made beside errors never leaves this crate.
//!
//! Never enters: diagnostics, but for the choice of a connector by a scheme.

mod component;
mod settings;

use millstream_types::Secret;

use crate::ast::{Limits, Operator, Pipeline, Transform};
use crate::catalog::Catalog;
use crate::diagnostic::Diagnostics;
use crate::node::Node;
use crate::scalar;
use crate::span::{SourceMap, Span, Spanned};
use crate::sql::SqlText;
use crate::text_map::TextMap;

pub(crate) struct Lower<'a> {
    pub sources: &'a SourceMap,
    pub catalog: &'a dyn Catalog,
    pub diagnostics: &'a mut Diagnostics,
}

impl Lower<'_> {
    /// The typed spec of a file.
    pub fn pipeline(&mut self, root: &Node, secrets: &crate::interpolate::Secrets) -> Pipeline {
        let name = name(root, "name").unwrap_or_else(|| Spanned::new(String::new(), root.span));
        Pipeline {
            name,
            broker: self.broker(root.get("broker")),
            defaults: self.defaults(root.get("defaults")),
            limits: Limits {
                memory_bytes: size(root.get("limits"), "memory"),
                millicores: parsed(root.get("limits"), "cpu", scalar::millicores),
            },
            secrets: secrets
                .values
                .iter()
                .filter_map(|(id, s)| Some((id.clone(), Spanned::new(s.value.clone()?, s.span))))
                .collect(),
            egress_allow: root.get("egress").map_or_else(Vec::new, |n| texts(n, "allow")),
            schemas: each(root, "schemas", |id, node| self.schema(id, node)),
            schema_registry: root.get("schema_registry").and_then(|node| self.schema_registry(node)),
            topics: each(root, "topics", |id, node| self.topic(id, node)),
            sources: each(root, "sources", |id, node| self.source(id, node)),
            tables: each(root, "tables", |id, node| self.table(id, node)),
            functions: each(root, "functions", |id, node| self.scalar_function(id, node)),
            transforms: root
                .get("transforms")
                .map_or(&[][..], Node::entries)
                .iter()
                .filter_map(|e| Some((e.key.value.clone(), self.transform(&e.key, &e.value)?)))
                .collect(),
            sinks: each(root, "sinks", |id, node| self.sink(id, node)),
            errors: self.errors(root.get("errors")),
            tests: root.get("tests").map_or(&[][..], Node::items).iter().map(|n| self.test(n)).collect(),
        }
    }

    fn sql(&self, node: &Node) -> SqlText {
        let scalar = node.scalar();
        let text = scalar.and_then(|s| s.clear()).unwrap_or("").to_owned();
        let style = scalar.map_or(crate::node::Style::Plain, |s| s.style);
        match self.sources.get(node.span.source) {
            Some(source) => {
                let map = TextMap::new(source, node.span, style, &text);
                SqlText::new(text, node.span, map)
            }
            None => unreachable!("SP-1: a node's source is in the map it was parsed from"),
        }
    }
}

fn each<T>(
    root: &Node,
    section: &str,
    mut one: impl FnMut(&Spanned<String>, &Node) -> T,
) -> std::collections::BTreeMap<String, T> {
    let entries = root.get(section).map_or(&[][..], Node::entries);
    entries.iter().map(|e| (e.key.value.clone(), one(&e.key, &e.value))).collect()
}

/// The text of a scalar that is text, or nothing.
fn text_of(node: &Node) -> Option<Spanned<String>> {
    let scalar = node.scalar()?;
    Some(Spanned::new(scalar.clear()?.to_owned(), node.span))
}

fn text(node: &Node, key: &str) -> Option<Spanned<String>> {
    text_of(node.get(key)?)
}

fn word(node: &Node, key: &str) -> Option<String> {
    text(node, key).map(|t| t.value)
}

fn secret(node: &Node, key: &str) -> Option<Secret> {
    Some(Secret::new(node.get(key)?.scalar()?.expose()))
}

/// The texts of a list; one text counts as a list of one where a field allows both.
fn texts(node: &Node, key: &str) -> Vec<Spanned<String>> {
    match node.get(key) {
        Some(value) if value.scalar().is_some() => text_of(value).into_iter().collect(),
        Some(value) => value.items().iter().filter_map(text_of).collect(),
        None => Vec::new(),
    }
}

/// A name: one that came from a variable has been refused, and is left out so that nothing shows it.
fn name(node: &Node, key: &str) -> Option<Spanned<String>> {
    name_of(node.get(key)?)
}

fn name_of(node: &Node) -> Option<Spanned<String>> {
    text_of(node).filter(|_| node.scalar().is_some_and(|s| !s.interpolated))
}

/// Names, as [`texts`].
fn names(node: &Node, key: &str) -> Vec<Spanned<String>> {
    match node.get(key) {
        Some(value) if value.scalar().is_some() => name_of(value).into_iter().collect(),
        Some(value) => value.items().iter().filter_map(name_of).collect(),
        None => Vec::new(),
    }
}

fn parsed<T>(node: Option<&Node>, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    parse(node?.get(key)?.scalar()?.expose()).ok()
}

fn duration(node: Option<&Node>, key: &str) -> Option<u64> {
    parsed(node, key, scalar::duration_ms)
}

fn size(node: Option<&Node>, key: &str) -> Option<u64> {
    parsed(node, key, scalar::size_bytes)
}

fn integer(node: Option<&Node>, key: &str) -> Option<i64> {
    parsed(node, key, scalar::integer)
}

fn span_of(node: &Node, key: &str) -> Span {
    node.get(key).map_or(node.span, |n| n.span)
}

/// Makes of each sink's condition a filter before the sink, under a name that no file can give: `alerts.where`, and with more
/// than one input `alerts.where.2` for the second.
pub(crate) fn conditions(pipeline: &mut Pipeline) {
    for (sink_id, sink) in &mut pipeline.sinks {
        let Some(condition) = sink.condition.take() else { continue };
        for (at, input) in sink.inputs.iter_mut().enumerate() {
            let number = if at > 0 { format!(".{}", at + 1) } else { String::new() };
            let id = Spanned::new(format!("{sink_id}.where{number}"), condition.span);
            let transform = Transform {
                id: id.clone(),
                type_name: Spanned::new("filter".to_owned(), condition.span),
                inputs: vec![input.clone()],
                backfill: None,
                op: Operator::Filter(condition.clone()),
            };
            input.value.clone_from(&id.value);
            pipeline.transforms.insert(id.value, transform);
        }
    }
}
