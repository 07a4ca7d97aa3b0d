//! Everything of a file that is not a component: broker, defaults, schemas, topics, errors, tests.
//!
//! Never enters: components (`lower/component.rs`).

use super::{Lower, duration, integer, name, names, parsed, secret, size, span_of, text, texts, word};
use crate::ast::{
    Broker, Cluster, DataAction, Defaults, EMBEDDED, Errors, Expect, FieldType, FormatKind, Given, OnExceed,
    Recording, S3, Sasl, Scenario, Schema, SchemaField, SchemaRegistry, Snapshots, TestCase, Tls, Topic,
    TopicFormat,
};
use crate::catalog::Delivery;
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::node::Node;
use crate::scalar::{self, Rate};
use crate::span::Spanned;
use crate::value::Value;

/// Defaults that `shape/core.rs` shows in YAML.
const COMMIT_INTERVAL_MS: u64 = 1_000;
const TRIM_INTERVAL_MS: u64 = 30_000;
const SNAPSHOT_AFTER_BYTES: u64 = 4 << 20;
const SNAPSHOTS_GRACE_MS: u64 = 3_600_000;
const RETENTION_MS: u64 = 7 * 86_400_000;
const MAX_RATE: Rate = Rate { basis_points: 500, per_ms: 60_000 };
const BACKOFF_INITIAL_MS: u64 = 200;
const BACKOFF_MAX_MS: u64 = 30_000;
const REGISTRY_TIMEOUT_MS: u64 = 10_000;

pub(super) fn delivery(word: &str) -> Option<Delivery> {
    [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::ExactlyOnce]
        .into_iter()
        .find(|d| d.word() == word)
}

/// `defaults.snapshots`; one without a place has been told.
fn snapshots(node: &Node) -> Option<Snapshots> {
    let flag = |node: &Node, key: &str| word(node, key).map(|word| word == "true");
    let s3 = |node: &Node| S3 {
        region: word(node, "region"),
        endpoint: word(node, "endpoint"),
        access_key_id: secret(node, "access_key_id"),
        secret_access_key: secret(node, "secret_access_key"),
        session_token: secret(node, "session_token"),
        allow_http: flag(node, "allow_http").unwrap_or(false),
    };
    Some(Snapshots {
        url: text(node, "url")?,
        take: flag(node, "take").unwrap_or(true),
        grace_ms: duration(Some(node), "grace").unwrap_or(SNAPSHOTS_GRACE_MS),
        s3: node.get("s3").map(s3).unwrap_or_default(),
    })
}

impl Lower<'_> {
    pub(super) fn broker(&mut self, node: Option<&Node>) -> Broker {
        if let Some(node) = node
            && let Some(hosts) = node.scalar().and_then(|s| s.clear()).filter(|text| *text != EMBEDDED)
        {
            let hosts = hosts.split(',').map(|host| Spanned::new(host.trim().to_owned(), node.span));
            return Broker::Cluster(Cluster { bootstrap: hosts.collect(), tls: None, sasl: None });
        }
        let Some(node) = node.filter(|n| n.get("bootstrap").is_some()) else { return Broker::Embedded };
        let path = |node: &Node, key: &str| word(node, key);
        Broker::Cluster(Cluster {
            bootstrap: texts(node, "bootstrap"),
            tls: node.get("tls").map(|n| Tls {
                ca: path(n, "ca"),
                cert: path(n, "cert"),
                key: path(n, "key"),
            }),
            sasl: node.get("sasl").map(|n| Sasl {
                mechanism: word(n, "mechanism").unwrap_or_default(),
                username: secret(n, "username").unwrap_or_default(),
                password: secret(n, "password").unwrap_or_default(),
            }),
        })
    }

    pub(super) fn defaults(&mut self, node: Option<&Node>) -> Defaults {
        Defaults {
            delivery: node
                .and_then(|n| word(n, "delivery"))
                .and_then(|w| delivery(&w))
                .unwrap_or(Delivery::ExactlyOnce),
            commit_interval_ms: duration(node, "commit_interval").unwrap_or(COMMIT_INTERVAL_MS),
            trim_interval_ms: duration(node, "trim_interval").unwrap_or(TRIM_INTERVAL_MS),
            snapshot_after_bytes: size(node, "snapshot_after").unwrap_or(SNAPSHOT_AFTER_BYTES),
            snapshots: node.and_then(|n| n.get("snapshots")).and_then(snapshots),
            standby: integer(node, "standby").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            warm_start: node.and_then(|n| word(n, "warm_start")).as_deref() != Some("false"),
        }
    }

    pub(super) fn schema(&mut self, id: &Spanned<String>, node: &Node) -> Schema {
        let columns = node.get("contract").and_then(|contract| word(contract, "columns"));
        Schema {
            id: id.clone(),
            frozen: columns.as_deref() == Some("freeze"),
            fields: self.schema_fields(node),
        }
    }

    fn schema_fields(&mut self, node: &Node) -> Vec<SchemaField> {
        let entries = node.get("fields").map_or(&[][..], Node::entries);
        entries.iter().filter_map(|e| self.schema_field(&e.key, &e.value)).collect()
    }

    fn schema_field(&mut self, name: &Spanned<String>, node: &Node) -> Option<SchemaField> {
        let data_type = self.data_type(&text(node, "type")?, node)?;
        let required = word(node, "required").as_deref() == Some("true");
        Some(SchemaField { name: name.clone(), data_type, required })
    }

    /// The type of a name, whose settings a node has.
    pub(super) fn data_type(&mut self, type_name: &Spanned<String>, node: &Node) -> Option<FieldType> {
        let mut takes: &[&str] = &[];
        let data_type = match type_name.as_str() {
            "string" => FieldType::String,
            "bool" => FieldType::Bool,
            "int8" => FieldType::Int(8),
            "int16" => FieldType::Int(16),
            "int32" => FieldType::Int(32),
            "int64" => FieldType::Int(64),
            "float32" => FieldType::Float(32),
            "float64" => FieldType::Float(64),
            "timestamp_ms" => FieldType::TimestampMs,
            "timestamp_us" => FieldType::TimestampUs,
            "date" => FieldType::Date,
            "bytes" => FieldType::Bytes,
            "decimal" => {
                takes = &["precision", "scale"];
                let digits = |key| integer(Some(node), key).and_then(|n| u8::try_from(n).ok());
                let (precision, scale) = (digits("precision"), digits("scale").unwrap_or(0));
                if precision.is_none() && node.get("precision").is_none() {
                    self.attributes(
                        type_name.span,
                        "a decimal needs `precision`, the number of its digits in all",
                    );
                } else if precision.is_some_and(|p| scale > p) {
                    let message =
                        format!("`scale` is {scale}, more than the precision {}", precision.unwrap_or(0));
                    self.attributes(span_of(node, "scale"), &message);
                }
                FieldType::Decimal { precision: precision.unwrap_or(38), scale }
            }
            "list" => {
                takes = &["items"];
                match node.entry("items") {
                    Some(e) => FieldType::List(Box::new(self.schema_field(&e.key, &e.value)?)),
                    None => {
                        self.attributes(type_name.span, "a list needs `items`, what it holds");
                        return None;
                    }
                }
            }
            "struct" => {
                takes = &["fields"];
                if node.get("fields").is_none() {
                    self.attributes(type_name.span, "a struct needs `fields`, what it holds");
                }
                FieldType::Struct(self.schema_fields(node))
            }
            _ => return None,
        };
        for entry in node.entries() {
            let key = entry.key.value.as_str();
            if ["precision", "scale", "items", "fields"].contains(&key) && !takes.contains(&key) {
                self.attributes(
                    entry.key.span,
                    &format!("a field of type {} takes no `{key}`", type_name.value),
                );
            }
        }
        Some(data_type)
    }

    fn attributes(&mut self, span: crate::span::Span, message: &str) {
        self.diagnostics.push(Diagnostic::new(&code::FIELD_ATTRIBUTES, span, message));
    }

    pub(super) fn topic(&mut self, id: &Spanned<String>, node: &Node) -> Topic {
        let forever = word(node, "retention").as_deref() == Some("forever");
        let compacted = word(node, "cleanup").as_deref() == Some("compact");
        for key in ["retention", "retention_size"].iter().filter(|key| compacted && node.get(key).is_some()) {
            let message = format!(
                "`cleanup: compact` keeps the latest record of each key for ever, and `{key}` bounds what is kept"
            );
            self.diagnostics.push(Diagnostic::new(&code::CONTRADICTION, span_of(node, key), message));
        }
        Topic {
            id: id.clone(),
            name: name(node, "name").unwrap_or_else(|| id.clone()),
            partitions: Spanned::new(
                integer(Some(node), "partitions").and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1),
                span_of(node, "partitions"),
            ),
            replication: integer(Some(node), "replication").and_then(|n| u16::try_from(n).ok()),
            key: names(node, "key"),
            compacted,
            retention_ms: (!forever && !compacted)
                .then(|| duration(Some(node), "retention").unwrap_or(RETENTION_MS)),
            retention_bytes: size(Some(node), "retention_size"),
            format: self.format(id, node),
        }
    }

    fn format(&mut self, id: &Spanned<String>, topic: &Node) -> TopicFormat {
        let node = topic.get("format");
        let settings = node.filter(|n| n.scalar().is_none());
        let named = node.and_then(|n| match n.scalar() {
            Some(_) => text(topic, "format"),
            None => text(n, "type"),
        });
        let all = [
            FormatKind::Json,
            FormatKind::Csv,
            FormatKind::Avro,
            FormatKind::Protobuf,
            FormatKind::Raw,
            FormatKind::Arrow,
        ];
        let kind = named.as_ref().and_then(|named| all.into_iter().find(|kind| kind.word() == named.value));
        let kind = kind.unwrap_or(FormatKind::Json);
        let registry = settings.and_then(|n| word(n, "registry")).as_deref() == Some("true");
        for entry in settings.map_or(&[][..], Node::entries) {
            let key = entry.key.value.as_str();
            let takes: &[FormatKind] = match key {
                "schema" => &[FormatKind::Avro, FormatKind::Protobuf],
                "message" => &[FormatKind::Protobuf],
                "registry" | "subject" => &[FormatKind::Json, FormatKind::Avro, FormatKind::Protobuf],
                "delimiter" | "null_text" => &[FormatKind::Csv],
                _ => continue,
            };
            if !takes.contains(&kind) {
                let message = format!("the format {} takes no `{key}`", kind.word());
                self.diagnostics.push(Diagnostic::new(&code::FORMAT, entry.key.span, message));
            } else if key == "subject" && !registry {
                let message =
                    "`subject` names what a schema registry keeps, and `registry: true` is not said"
                        .to_owned();
                self.diagnostics.push(Diagnostic::new(&code::FORMAT, entry.key.span, message));
            }
        }
        let delimiter = settings.and_then(|n| text(n, "delimiter"));
        if let Some(delimiter) = &delimiter
            && (delimiter.value.len() != 1 || matches!(delimiter.value.as_str(), "\"" | "\r" | "\n" | "\0"))
        {
            let message = format!(
                "`delimiter` is {:?}; it is one ASCII character, no quote and no line end",
                delimiter.value
            );
            self.diagnostics.push(Diagnostic::new(&code::FORMAT, delimiter.span, message));
        }
        let apart = delimiter.as_ref().map_or(",", |d| d.value.as_str());
        if let Some(null) = settings.and_then(|n| text(n, "null_text"))
            && (null.value.contains(['"', '\r', '\n']) || null.value.contains(apart))
        {
            let message =
                format!("`null_text` is {:?}; it has no delimiter, quote or line end in it", null.value);
            self.diagnostics.push(Diagnostic::new(&code::FORMAT, null.span, message));
        }
        let schema = settings.and_then(|n| text(n, "schema"));
        if kind == FormatKind::Protobuf && schema.is_none() && !registry {
            let span = named.as_ref().map_or(id.span, |named| named.span);
            let message = "records of protobuf say nothing of their fields' names".to_owned();
            let help = "say which message they are, as `schema: sale.proto`, or `registry: true`";
            self.diagnostics.push(Diagnostic::new(&code::FORMAT, span, message).help(help));
        }
        TopicFormat {
            kind: Spanned::new(kind, named.map_or(id.span, |named| named.span)),
            schema,
            message: settings.and_then(|n| text(n, "message")),
            registry,
            subject: settings.and_then(|n| text(n, "subject")),
            delimiter: delimiter.and_then(|d| d.value.bytes().next()).unwrap_or(b','),
            null: settings.and_then(|n| word(n, "null_text")).unwrap_or_default(),
        }
    }

    pub(super) fn schema_registry(&mut self, node: &Node) -> Option<SchemaRegistry> {
        let url = text(node, "url")?;
        let url_origin = node.get("url")?.scalar()?.origin;
        Some(SchemaRegistry {
            url,
            url_origin,
            username: secret(node, "username"),
            password: secret(node, "password"),
            timeout_ms: duration(Some(node), "timeout").unwrap_or(REGISTRY_TIMEOUT_MS),
        })
    }

    pub(super) fn errors(&mut self, node: Option<&Node>) -> Errors {
        let data = node.and_then(|n| n.get("data"));
        let backoff = node.and_then(|n| n.get("transient")).and_then(|n| n.get("backoff"));
        let errors = Errors {
            action: match data.and_then(|n| word(n, "action")).as_deref() {
                Some("drop") => DataAction::Drop,
                Some("stop") => DataAction::Stop,
                _ => DataAction::DeadLetter,
            },
            topic: data.and_then(|n| name(n, "topic")),
            max_rate: parsed(data, "max_rate", scalar::rate).unwrap_or(MAX_RATE),
            on_exceed: match data.and_then(|n| word(n, "on_exceed")).as_deref() {
                Some("stop") => OnExceed::Stop,
                Some("continue") => OnExceed::Continue,
                _ => OnExceed::Pause,
            },
            backoff_initial_ms: duration(backoff, "initial").unwrap_or(BACKOFF_INITIAL_MS),
            backoff_max_ms: duration(backoff, "max").unwrap_or(BACKOFF_MAX_MS),
        };
        if errors.backoff_initial_ms > errors.backoff_max_ms
            && let Some(backoff) = backoff
        {
            let message = format!(
                "`initial` is {}, longer than `max`, {}",
                scalar::format_duration(errors.backoff_initial_ms),
                scalar::format_duration(errors.backoff_max_ms)
            );
            let span = span_of(backoff, "initial");
            self.diagnostics.push(Diagnostic::new(&code::CONTRADICTION, span, message));
        }
        errors
    }

    pub(super) fn test(&mut self, node: &Node) -> TestCase {
        let rows =
            |node: &Node| node.items().iter().map(|n| Spanned::new(Value::of(n), n.span)).collect::<Vec<_>>();
        let given = |node: &Node| match text(node, "recording") {
            Some(path) => Given::Recording(Recording {
                path,
                from_ms: parsed(Some(node), "from", scalar::timestamp_ms),
                to_ms: parsed(Some(node), "to", scalar::timestamp_ms),
                limit: integer(Some(node), "limit").and_then(|n| u64::try_from(n).ok()),
            }),
            None => Given::Rows(rows(node)),
        };
        let entries = |key: &str| node.get(key).map_or(&[][..], Node::entries);
        TestCase {
            name: text(node, "name").unwrap_or_else(|| Spanned::new(String::new(), node.span)),
            inputs: entries("inputs").iter().map(|e| (e.key.clone(), given(&e.value))).collect(),
            advance_watermark_ms: parsed(Some(node), "advance_watermark", scalar::timestamp_ms),
            scenario: node.get("scenario").and_then(|scenario| {
                let fail_at = text(scenario, "fail_at")?;
                let (component, point) = fail_at.value.split_once('.').unwrap_or((&fail_at.value, ""));
                Some(Scenario {
                    component: Spanned::new(component.to_owned(), fail_at.span),
                    point: point.to_owned(),
                    restart: word(scenario, "restart").as_deref() != Some("false"),
                })
            }),
            expect: entries("expect")
                .iter()
                .map(|e| {
                    let expect = Expect {
                        rows: e.value.get("rows").map(rows),
                        subset: word(&e.value, "match").as_deref() == Some("subset"),
                        count: integer(Some(&e.value), "count").and_then(|n| u64::try_from(n).ok()),
                        unique_by: texts(&e.value, "unique_by"),
                    };
                    (e.key.clone(), expect)
                })
                .collect(),
        }
    }
}
