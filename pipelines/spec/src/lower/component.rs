//! Sources, tables, transforms and sinks.
//!
//! Never enters: their relations (`check/`).

use super::{Lower, duration, integer, name, names, size, span_of, text, text_of, word};
use crate::ast::{
    Config, Dedupe, Emit, FieldType, Function, Keep, Late, LateThen, Operator, Sink, Source, Sql, Table,
    Target, TopicOp, TopicSource, Transform, Wasm, Watermark,
};
use crate::catalog::{ByScheme, Delivery, Scheme};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::node::{Data, Node, Origin};
use crate::shape::Section;
use crate::shape::walk::{normalised_fields, type_fields};
use crate::span::Spanned;
use crate::sql;

/// What an operator has where the file says nothing; `shape/core.rs` shows the same values.
const FUNCTION_MEMORY_BYTES: u64 = 64 << 20;
const FUNCTION_FUEL: u64 = 100_000_000;
const WATERMARK_IDLE_MS: u64 = 60_000;

impl Lower<'_> {
    pub(super) fn source(&mut self, id: &Spanned<String>, node: &Node) -> Source {
        Source {
            id: id.clone(),
            type_name: type_name(node),
            schema: name(node, "schema"),
            delivery: delivery(node),
            topic: (type_name(node).value == "topic").then(|| TopicSource {
                topic: named(node, "topic"),
                watermark: watermark(node),
                until_end: word(node, "until").is_some_and(|w| w == "end"),
                upsert: word(node, "upsert").is_some_and(|w| w == "true").then(|| span_of(node, "upsert")),
            }),
            config: self.config(Section::Sources, node),
        }
    }

    pub(super) fn table(&mut self, id: &Spanned<String>, node: &Node) -> Table {
        Table {
            id: id.clone(),
            type_name: type_name(node),
            key: names(node, "key"),
            schema: name(node, "schema"),
            topic: (type_name(node).value == "topic").then(|| named(node, "topic")),
            config: self.config(Section::Tables, node),
        }
    }

    pub(super) fn sink(&mut self, id: &Spanned<String>, node: &Node) -> Sink {
        let type_name = type_name(node);
        let schema = self.catalog.component(Section::Sinks, &type_name).copied();
        let mut config = self.config(Section::Sinks, node);
        let connector = match schema.and_then(|s| s.by_scheme) {
            Some(by_scheme) => match self.by_scheme(node, &by_scheme) {
                Some(scheme) => {
                    config = config.for_scheme(by_scheme.field, scheme);
                    scheme.connector.to_owned()
                }
                None => String::new(),
            },
            None => type_name.value.clone(),
        };
        let upserts = config
            .text("mode")
            .map(|t| t.value)
            .or_else(|| schema.and_then(|s| s.default_of("mode")).map(str::to_owned))
            .is_some_and(|mode| mode == "upsert");
        Sink {
            id: id.clone(),
            inputs: names(node, "inputs"),
            condition: node.get("where").filter(|n| n.scalar().is_some()).map(|n| self.sql(n)),
            delivery: delivery(node),
            writers: integer(Some(node), "writers")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_else(|| schema.map_or(1, |s| s.writers))
                .max(1),
            upserts,
            target: match connector.as_str() {
                "topic" => Target::Topic(named(node, "topic")),
                "blackhole" => Target::Blackhole,
                _ => Target::Foreign,
            },
            skips_gaps: word(node, "on_gap").is_some_and(|w| w == "skip"),
            config,
            connector,
            type_name,
        }
    }

    fn config(&mut self, section: Section, node: &Node) -> Config {
        let fields = type_fields(section, &type_name(node), self.catalog).unwrap_or(&[]);
        let data = normalised_fields(node, fields.iter());
        Config::new(Node { span: node.span, data })
    }

    /// The connector that a DSN's scheme chooses. The DSN is a secret: a message shows its scheme alone.
    fn by_scheme(&mut self, node: &Node, choice: &ByScheme) -> Option<&'static Scheme> {
        let value = node.get(choice.field)?;
        let scalar = value.scalar()?;
        let text = scalar.expose();
        if text.is_empty() && scalar.interpolated {
            return None;
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        if let Some(found) = choice.schemes.iter().find(|s| s.scheme == scheme) {
            return Some(found);
        }
        let known = choice.schemes.iter().map(|s| format!("{}:", s.scheme)).collect::<Vec<_>>().join(", ");
        // What does not come from the file is shown only where it surely is a scheme.
        let shown = scalar.origin == Origin::Literal || text[scheme.len()..].starts_with("://");
        let harmless = shown
            && !scheme.is_empty()
            && scheme.len() <= 16
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
        let message = if harmless {
            format!("`{}` starts with {scheme:?}, which chooses no connector; known: {known}", choice.field)
        } else {
            format!("`{}` starts with no scheme that chooses a connector; known: {known}", choice.field)
        };
        let near = harmless
            .then(|| crate::suggest::nearest(scheme, choice.schemes.iter().map(|s| s.scheme)))
            .flatten();
        self.diagnostics.push(Diagnostic::new(&code::UNKNOWN_SCHEME, value.span, message).suggest(near));
        None
    }

    pub(super) fn transform(&mut self, id: &Spanned<String>, node: &Node) -> Option<Transform> {
        let type_name = name(node, "type")?;
        let op = match type_name.as_str() {
            "sql" => Operator::Sql(self.query(node)),
            "wasm" => Operator::Wasm(function(node)),
            "topic" => Operator::Topic(TopicOp { topic: named(node, "topic"), watermark: watermark(node) }),
            "dedupe" => Operator::Dedupe(Dedupe {
                key: names(node, "key"),
                within_ms: duration(Some(node), "within").unwrap_or(0),
            }),
            "filter" => Operator::Filter(self.sql(node.get("where")?)),
            "map" => Operator::Map(self.expressions(node, "columns")),
            "route" => Operator::Route(self.expressions(node, "routes"), name(node, "otherwise")),
            "union" => Operator::Union,
            _ => return None,
        };
        let backfill = match word(node, "backfill").as_deref() {
            Some("true") => Some(0),
            _ => integer(Some(node), "backfill").and_then(|number| u64::try_from(number).ok()),
        };
        let backfill = backfill.map(|number| Spanned::new(number, span_of(node, "backfill")));
        Some(Transform { id: id.clone(), type_name, inputs: names(node, "inputs"), backfill, op })
    }

    pub(super) fn scalar_function(&mut self, id: &Spanned<String>, node: &Node) -> Function {
        let mut arguments = Vec::new();
        for argument in node.get("arguments").map_or(&[][..], Node::items) {
            arguments.extend(self.value_type(argument));
        }
        // One that cannot be read has been told.
        let returns = node.get("returns").and_then(|returns| self.value_type(returns));
        let returns = returns.unwrap_or(FieldType::String);
        Function { id: id.clone(), arguments, returns, wasm: function(node) }
    }

    /// A type, as a word or with its settings.
    fn value_type(&mut self, node: &Node) -> Option<FieldType> {
        let name = if node.scalar().is_some() { text_of(node) } else { text(node, "type") };
        self.data_type(&name?, node)
    }

    fn query(&mut self, node: &Node) -> Sql {
        let missing = Node { span: node.span, data: Data::Null };
        let sql = self.sql(node.get("sql").unwrap_or(&missing));
        let emit = node.get("emit").and_then(|emit| {
            let value = match emit.scalar() {
                Some(scalar) => (scalar.clear() == Some("on_close")).then_some(Emit::OnClose),
                None => self.not_final(emit),
            };
            Some(Spanned::new(value?, emit.span))
        });
        let late = node.get("late").and_then(|late| self.late(late));
        let keep = node.get("keep").and_then(|keep| {
            let value = match word(node, "keep").as_deref() {
                Some("forever") => Keep::ForEver,
                _ => Keep::For(duration(Some(node), "keep")?),
            };
            Some(Spanned::new(value, keep.span))
        });
        let windows = sql::windows(&sql);
        let over_stream = windows.is_empty() && sql::has_over(&sql.text);
        Sql { windows, over_stream, sql, emit, late, keep }
    }

    /// `emit` as a mapping, which has one key.
    fn not_final(&mut self, emit: &Node) -> Option<Emit> {
        let of = |key| emit.get(key).map(|_| duration(Some(emit), key));
        match (of("on_update"), of("early")) {
            (Some(every), None) => every.map(Emit::OnUpdate),
            (None, Some(every)) => every.map(Emit::Early),
            (Some(_), Some(_)) => {
                let message = "`on_update` and `early` both say how often rows that are not final are sent";
                let help = "they are the same of windows; groups without windows have `on_update` alone";
                self.diagnostics.push(Diagnostic::new(&code::CONTRADICTION, emit.span, message).help(help));
                None
            }
            (None, None) => {
                let message = "`emit` has neither `on_update` nor `early`";
                let help = "as `emit: { on_update: 5s }`, or `emit: on_close`";
                self.diagnostics.push(Diagnostic::new(&code::MISSING_KEY, emit.span, message).help(help));
                None
            }
        }
    }

    fn late(&mut self, late: &Node) -> Option<Spanned<Late>> {
        let (topic, beyond) = (name(late, "topic"), word(late, "beyond"));
        let then = word(late, "then")?;
        let updates = then == "update";
        if beyond.is_some() && !updates {
            let message =
                "`beyond` is only for `then: update`; the others say themselves what happens to late rows";
            self.diagnostics.push(Diagnostic::new(&code::CONTRADICTION, span_of(late, "beyond"), message));
        }
        let goes = match (updates, &beyond) {
            (true, Some(beyond)) => beyond.as_str(),
            (true, None) => "drop",
            (false, _) => then.as_str(),
        };
        let then = match goes {
            "drop" => LateThen::Drop,
            "dead_letter" => LateThen::DeadLetter,
            "topic" => LateThen::Topic(topic.clone()),
            _ => return None,
        };
        let allow_ms = duration(Some(late), "allow").unwrap_or(0);
        if let (Some(topic), false) = (&topic, matches!(then, LateThen::Topic(_))) {
            let message = "`topic` is only for `then: topic`, or `beyond: topic`";
            self.diagnostics.push(Diagnostic::new(&code::LATE_TOPIC, topic.span, message));
        }
        if updates && allow_ms == 0 {
            let message =
                "`then: update` sends a window's row again for rows that come within `allow`, and that is 0s";
            let help = "say how long a window stays, as `late: { allow: 10m, then: update }`";
            self.diagnostics.push(Diagnostic::new(&code::CONTRADICTION, late.span, message).help(help));
        }
        Some(Spanned::new(Late { allow_ms, updates, then }, late.span))
    }

    fn expressions(&self, node: &Node, key: &str) -> Vec<(Spanned<String>, sql::SqlText)> {
        let entries = node.get(key).map_or(&[][..], Node::entries);
        entries.iter().map(|e| (e.key.clone(), self.sql(&e.value))).collect()
    }
}

fn type_name(node: &Node) -> Spanned<String> {
    named(node, "type")
}

/// A name that lint has asked for; empty where it has reported it.
fn named(node: &Node, key: &str) -> Spanned<String> {
    name(node, key).unwrap_or_else(|| Spanned::new(String::new(), span_of(node, key)))
}

/// A text that lint has asked for; empty where it has reported it as missing.
fn required(node: &Node, key: &str) -> Spanned<String> {
    text(node, key).unwrap_or_else(|| Spanned::new(String::new(), span_of(node, key)))
}

fn delivery(node: &Node) -> Option<Spanned<Delivery>> {
    let written = text(node, "delivery")?;
    super::settings::delivery(&written).map(|d| Spanned::new(d, written.span))
}

fn watermark(node: &Node) -> Option<Watermark> {
    let node = node.get("watermark")?;
    Some(Watermark {
        column: named(node, "column"),
        delay_ms: duration(Some(node), "delay").unwrap_or(0),
        idle_ms: duration(Some(node), "idle").unwrap_or(WATERMARK_IDLE_MS),
        ahead_ms: duration(Some(node), "ahead"),
    })
}

fn function(node: &Node) -> Wasm {
    let limits = node.get("limits");
    let config = node.get("config").map_or(&[][..], Node::entries);
    Wasm {
        module: required(node, "module"),
        digest: None,
        lookup: names(node, "lookup"),
        output: name(node, "output"),
        memory_bytes: size(limits, "memory").unwrap_or(FUNCTION_MEMORY_BYTES),
        fuel: integer(limits, "fuel").and_then(|n| u64::try_from(n).ok()).unwrap_or(FUNCTION_FUEL),
        config: config.iter().filter_map(|e| Some((e.key.value.clone(), text_of(&e.value)?.value))).collect(),
    }
}
