//! The one door for YAML: text to a tree with spans, and a component's tree to its own config struct.
//!
//! Never enters: what keys mean. Bounds: [`FILE_BYTES_MAX`], [`DEPTH_MAX`], [`ALIAS_FACTOR_MAX`]. Invariants: SP-6 a key
//! is in a mapping once; SP-7 nothing is included, tagged or merged; a tree has at most ten times the nodes written.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Number, Value};

use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Data, Entry, Node, Scalar, Style};
use crate::scalar::{self, Plain};
use crate::span::{SourceId, Span, Spanned};

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting.
pub const DEPTH_MAX: usize = 64;
/// How many times more nodes than written a tree may have, through aliases.
pub const ALIAS_FACTOR_MAX: usize = 10;

/// Parses one document. Without a tree the diagnostics say why; with one they may still hold refused keys.
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!(
            "the file has {} bytes, more than the {FILE_BYTES_MAX} that a pipeline may have",
            text.len()
        );
        diagnostics.push(Diagnostic::new(&code::FILE_TOO_LARGE, Span::new(source, 0, 0), message));
        return None;
    }
    // The parser counts characters; spans are in bytes.
    let mut bytes: Vec<u32> = text.char_indices().map(|(at, _)| at as u32).collect();
    bytes.push(text.len() as u32);
    let mut builder = Builder {
        source,
        text,
        bytes,
        diagnostics,
        anchors: BTreeMap::new(),
        written: 0,
        remembered: 0,
        stack: Vec::new(),
    };
    builder.run()
}

/// A container that is being read.
enum Open {
    Seq { start: u32, anchor: usize, items: Vec<Node> },
    Map { start: u32, anchor: usize, entries: Vec<Entry>, seen: BTreeMap<String, Span>, key: Option<Key> },
}

/// A key that waits for its value; a refused one drops it.
enum Key {
    Good(Spanned<String>),
    Refused,
}

struct Builder<'a> {
    source: SourceId,
    text: &'a str,
    bytes: Vec<u32>,
    diagnostics: &'a mut Diagnostics,
    /// Anchored nodes with their number of nodes; by the parser's own anchor ids, so redefinition is its business.
    anchors: BTreeMap<usize, (Node, usize)>,
    written: usize,
    /// Nodes kept for aliases.
    remembered: usize,
    stack: Vec<Open>,
}

impl Builder<'_> {
    fn span(&self, span: saphyr_parser::Span) -> Span {
        let byte = |index: usize| self.bytes.get(index).copied().unwrap_or(self.text.len() as u32);
        Span::new(self.source, byte(span.start.index()), byte(span.end.index()))
    }

    fn fail(&mut self, diagnostic: Diagnostic) -> Option<Node> {
        self.diagnostics.push(diagnostic);
        None
    }

    fn run(&mut self) -> Option<Node> {
        let mut root = None;
        let mut documents = 0;
        let mut expanded = 0usize;
        for event in Parser::new_from_str(self.text) {
            let (event, raw_span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at =
                        self.bytes.get(error.marker().index()).copied().unwrap_or(self.text.len() as u32);
                    let span = Span::new(self.source, at, at);
                    if error.info().contains("recursion limit") {
                        return self.fail(too_deep(span));
                    }
                    let message = format!("the text is not YAML here: {}", error.info());
                    let help = self.syntax_help(at);
                    let mut diagnostic = Diagnostic::new(&code::YAML_SYNTAX, span, message);
                    diagnostic.help = help;
                    return self.fail(diagnostic);
                }
            };
            let span = self.span(raw_span);
            let done = match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let message = "a second document starts here; a pipeline file is one document";
                        return self.fail(Diagnostic::new(&code::MORE_DOCUMENTS, span, message));
                    }
                    continue;
                }
                Event::Alias(id) => {
                    let Some((node, size)) = self.anchors.get(&id).cloned() else {
                        let message = "the alias stands inside the value that it names, or that value is too large to repeat";
                        return self.fail(Diagnostic::new(&code::ALIAS_EXPANSION, span, message));
                    };
                    expanded += size;
                    if expanded > ALIAS_FACTOR_MAX.saturating_mul(self.written.max(1)) {
                        let message = format!(
                            "aliases would make the file more than {ALIAS_FACTOR_MAX} times as large as it is written"
                        );
                        return self.fail(Diagnostic::new(&code::ALIAS_EXPANSION, span, message));
                    }
                    if self.stack.len() + depth(&node) > DEPTH_MAX {
                        return self.fail(too_deep(span));
                    }
                    // What an alias stands for is reported where it was written.
                    Some(node)
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.written += 1;
                    self.refuse_tag(tag.is_some(), span);
                    let node = Node { span, data: scalar_data(&text, style, span) };
                    self.remember(anchor, &node);
                    Some(node)
                }
                Event::SequenceStart(anchor, tag) => {
                    self.written += 1;
                    self.refuse_tag(tag.is_some(), span);
                    self.stack.push(Open::Seq { start: span.start, anchor, items: Vec::new() });
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    self.written += 1;
                    self.refuse_tag(tag.is_some(), span);
                    self.stack.push(Open::Map {
                        start: span.start,
                        anchor,
                        entries: Vec::new(),
                        seen: BTreeMap::new(),
                        key: None,
                    });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => Some(self.close(span)),
            };
            if self.stack.len() > DEPTH_MAX {
                return self.fail(too_deep(span));
            }
            if let Some(node) = done
                && let Some(node) = self.place(node)
            {
                root = Some(node);
            }
        }
        match root {
            Some(node) => Some(node),
            None => {
                let span = Span::new(self.source, 0, 0);
                self.fail(
                    Diagnostic::new(&code::NOT_A_MAPPING, span, "the file is empty")
                        .help("start it with `version: 1`"),
                )
            }
        }
    }

    /// A guess at the cause from the line where the parser stopped.
    fn syntax_help(&self, at: u32) -> Option<String> {
        let mut at = (at as usize).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let start = self.text[..at].rfind('\n').map_or(0, |i| i + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |i| at + i);
        let line = &self.text[start..end];
        if line.trim_start_matches(' ').starts_with('\t') {
            Some("indent with spaces: YAML does not allow tabs".to_owned())
        } else if line.contains("${") && !line.contains("\"${") {
            Some("inside { } and [ ], put quotes around a value with ${…}".to_owned())
        } else {
            None
        }
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let message = "a tag stands here; tags are not used in pipelines";
            self.diagnostics.push(Diagnostic::new(&code::TAG, span, message));
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            let size = size(node);
            self.remembered += size;
            // Anchors within anchors hold the same nodes again; what is beyond the bound is not kept, and an alias to it
            // is refused.
            if self.remembered <= ALIAS_FACTOR_MAX.saturating_mul(self.written) {
                self.anchors.insert(anchor, (node.clone(), size));
            }
        }
    }

    fn close(&mut self, end: Span) -> Node {
        let (start, anchor, data) = match self.stack.pop() {
            Some(Open::Seq { start, anchor, items }) => (start, anchor, Data::Seq(items)),
            Some(Open::Map { start, anchor, entries, .. }) => (start, anchor, Data::Map(entries)),
            None => unreachable!("SP-6: the parser closes only what it opened"),
        };
        // A block container's end marker stands at the next token: its last child's end is what a person sees.
        let last = match &data {
            Data::Seq(items) => items.last().map(|n| n.span.end),
            Data::Map(entries) => entries.last().map(|e| e.value.span.end.max(e.key.span.end)),
            _ => None,
        };
        let flow = self.text.as_bytes().get(start as usize).is_some_and(|b| matches!(b, b'{' | b'['));
        let end = if flow { end.end } else { last.unwrap_or(start) };
        let node = Node { span: Span::new(self.source, start, end), data };
        self.remember(anchor, &node);
        node
    }

    /// Puts a finished node into its parent; gives the root back.
    fn place(&mut self, node: Node) -> Option<Node> {
        let (refused, duplicate) = match self.stack.last_mut() {
            None => return Some(node),
            Some(Open::Seq { items, .. }) => {
                items.push(node);
                return None;
            }
            Some(Open::Map { entries, seen, key, .. }) => match key.take() {
                Some(Key::Good(key)) => {
                    entries.push(Entry { key, value: node });
                    return None;
                }
                Some(Key::Refused) => return None,
                None => match key_text(&node) {
                    Some(text) => match seen.get(&text).copied() {
                        Some(first) => {
                            *key = Some(Key::Refused);
                            (node.span, Some((text, first)))
                        }
                        None => {
                            seen.insert(text.clone(), node.span);
                            *key = Some(Key::Good(Spanned::new(text, node.span)));
                            return None;
                        }
                    },
                    None => {
                        *key = Some(Key::Refused);
                        (node.span, None)
                    }
                },
            },
        };
        self.diagnostics.push(match duplicate {
            Some((text, first)) => Diagnostic::new(
                &code::DUPLICATE_KEY,
                refused,
                format!("the key {text:?} is written twice here"),
            )
            .related(first, "first written here"),
            None if node.scalar().and_then(Scalar::clear) == Some("<<") => {
                Diagnostic::new(&code::BAD_KEY, refused, "the merge key << is not part of YAML 1.2")
                    .help("write the keys out, or use an alias for a whole value")
            }
            None => Diagnostic::new(
                &code::BAD_KEY,
                refused,
                format!("a key is a name; this is {}", node.describe()),
            ),
        });
        None
    }
}

fn key_text(node: &Node) -> Option<String> {
    node.scalar().and_then(Scalar::clear).filter(|text| *text != "<<").map(str::to_owned)
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(&code::TOO_DEEP, span, format!("lists and mappings nest more than {DEPTH_MAX} deep here"))
}

fn size(node: &Node) -> usize {
    1 + match &node.data {
        Data::Seq(items) => items.iter().map(size).sum(),
        Data::Map(entries) => entries.iter().map(|e| 1 + size(&e.value)).sum(),
        _ => 0,
    }
}

fn depth(node: &Node) -> usize {
    match &node.data {
        Data::Seq(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Data::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn scalar_data(text: &str, style: ScalarStyle, span: Span) -> Data {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    let nothing = style == Style::Plain
        && (span.start == span.end || matches!(text, "" | "~" | "null" | "Null" | "NULL"));
    if nothing { Data::Null } else { Data::Scalar(Scalar::literal(text, style)) }
}

/// Deserialises a tree into a component's own config struct. The error's path is looked up in the spans, so that it
/// points at the value and not at the component. A message about a secret's value is replaced.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, Box<Diagnostic>> {
    let value = to_value(node);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut at = node;
        let mut hidden = false;
        for segment in error.path().iter() {
            let next = match segment {
                serde_path_to_error::Segment::Map { key } => at.get(key),
                serde_path_to_error::Segment::Seq { index } => at.items().get(*index),
                _ => None,
            };
            let Some(next) = next else { break };
            at = next;
        }
        hidden |= contains_secret(at);
        let message = if hidden {
            "the component refuses this value, which is not shown since it holds a secret".to_owned()
        } else {
            format!("the component refuses its settings: {}", error.inner())
        };
        Box::new(Diagnostic::new(&code::CONFIG_REFUSED, at.span, message))
    })
}

fn contains_secret(node: &Node) -> bool {
    match &node.data {
        Data::Scalar(scalar) => scalar.clear().is_none(),
        Data::Seq(items) => items.iter().any(contains_secret),
        Data::Map(entries) => entries.iter().any(|e| contains_secret(&e.value)),
        Data::Null => false,
    }
}

fn to_value(node: &Node) -> Value {
    match &node.data {
        Data::Null => Value::Null,
        Data::Seq(items) => Value::Sequence(items.iter().map(to_value).collect()),
        Data::Map(entries) => Value::Mapping(
            entries
                .iter()
                .map(|e| (Value::String(e.key.value.clone()), to_value(&e.value)))
                .collect::<Mapping>(),
        ),
        Data::Scalar(scalar) => match scalar::plain(scalar) {
            Plain::Bool(value) => Value::Bool(value),
            Plain::Int(value) => Value::Number(Number::from(value)),
            Plain::Number => scalar.expose().parse::<f64>().map_or_else(
                |_| Value::String(scalar.expose().to_owned()),
                |v| Value::Number(Number::from(v)),
            ),
            Plain::Text => Value::String(scalar.expose().to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Roll {
        size: u64,
        parts: Vec<u8>,
    }

    #[test]
    fn a_refused_setting_points_at_its_value() {
        let text = "roll:\n  size: 5\n  parts: [1, 2, 300]\n";
        let mut diagnostics = Diagnostics::default();
        let node = parse(SourceId(0), text, &mut diagnostics).unwrap();
        let error = decode::<Roll>(node.get("roll").unwrap()).unwrap_err();
        assert_eq!(&text[error.span.start as usize..error.span.end as usize], "300");
        let text = "size: 5\nparts: [1]\n";
        let node = parse(SourceId(0), text, &mut diagnostics).unwrap();
        assert_eq!(decode::<Roll>(&node).unwrap(), Roll { size: 5, parts: vec![1] });
    }
}
