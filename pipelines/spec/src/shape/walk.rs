//! Lint against the tables: unknown and missing keys, wrong types, bad scalars, words and bounds, `${…}` and secrets
//! where they may not stand. Every fault of the tree, not the first.
//!
//! Never enters: ids' relations (`check/`). What passes here reads without surprise in `lower/`.

use millstream_types::Secret;

use super::core::{OPERATORS, SCHEMA_FIELD, SINK, SOURCE, TABLE, TRANSFORM};
use super::{Field, Kind, Section, Shape};
use crate::capability::Capabilities;
use crate::catalog::Catalog;
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Data, Entry, Node, Origin, Scalar, Style, Text};
use crate::scalar::{self, Plain};
use crate::span::Span;
use crate::suggest::nearest;

/// The longest id.
pub const ID_CHARS_MAX: usize = 64;

/// The keys of every component of a section.
pub fn section_fields(section: Section) -> &'static [Field] {
    match section {
        Section::Sources => SOURCE.fields,
        Section::Tables => TABLE.fields,
        Section::Transforms => TRANSFORM.fields,
        Section::Sinks => SINK.fields,
    }
}

/// The keys that a component's type adds; nothing where the type is not known.
pub fn type_fields<'a>(section: Section, type_name: &str, catalog: &'a dyn Catalog) -> Option<&'a [Field]> {
    if section == Section::Transforms {
        return OPERATORS.iter().find(|(name, _)| *name == type_name).map(|(_, shape)| shape.fields);
    }
    catalog.component(section, type_name).map(|c| c.fields)
}

/// Whether an id can be read by SQL and be part of a topic's name.
pub fn is_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    id.len() <= ID_CHARS_MAX
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The walk.
pub struct Walk<'a> {
    pub catalog: &'a dyn Catalog,
    pub capabilities: &'a Capabilities,
    pub diagnostics: &'a mut Diagnostics,
}

impl Walk<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Lints `node`, the value of the key `name` at `at`, against `kind`. What is missing in it is reported at the key.
    pub fn value(&mut self, name: &str, at: Span, node: &Node, kind: &Kind) {
        match kind {
            Kind::Any => {}
            Kind::Either(kinds) => {
                let family = |k: &Kind| match k {
                    Kind::List(..) => 1,
                    Kind::Map(_) | Kind::Ids(_) | Kind::Struct(_) => 2,
                    _ => 0,
                };
                let of_node = match node.data {
                    Data::Null | Data::Scalar(_) => 0,
                    Data::Seq(_) => 1,
                    Data::Map(_) => 2,
                };
                let mut fitting = kinds.iter().filter(|k| family(k) == of_node);
                match (fitting.next(), fitting.next()) {
                    (None, _) => self.wrong_type(name, node, kind),
                    (Some(only), None) => self.value(name, at, node, only),
                    // Two scalars: a word, or something with a form of its own.
                    (Some(first), Some(second)) => {
                        let is_word = |kind: &Kind, text: &str| match kind {
                            Kind::Word(words) => words.contains(&text),
                            Kind::Bool => matches!(text, "true" | "false"),
                            _ => false,
                        };
                        let word = node.scalar().and_then(Scalar::clear);
                        let word = word.is_some_and(|text| is_word(first, text) || is_word(second, text));
                        if !word {
                            let other =
                                if matches!(first, Kind::Word(_) | Kind::Bool) { second } else { first };
                            let before = self.diagnostics.items().len();
                            self.value(name, at, node, other);
                            self.diagnostics.describe_alternatives(before, &kind.describe());
                        }
                    }
                }
            }
            Kind::List(of, fewest) => match &node.data {
                Data::Seq(items) => {
                    if items.len() < *fewest {
                        let message =
                            format!("`{name}` has {} items and needs at least {fewest}", items.len());
                        self.push(Diagnostic::new(&code::OUT_OF_BOUNDS, node.span, message));
                    }
                    items.iter().for_each(|item| self.value(name, item.span, item, of));
                }
                _ => self.wrong_type(name, node, kind),
            },
            Kind::Map(of) | Kind::Ids(of) => match &node.data {
                Data::Null => {}
                Data::Map(entries) => {
                    for entry in entries {
                        if matches!(kind, Kind::Ids(_)) {
                            self.id(entry);
                        }
                        self.value(&entry.key.value, entry.key.span, &entry.value, of);
                    }
                }
                _ => self.wrong_type(name, node, kind),
            },
            Kind::Struct(shape) => self.with_shape(name, at, node, shape, kind),
            Kind::SchemaField => self.with_shape(name, at, node, &SCHEMA_FIELD, kind),
            Kind::Component(section) => self.component(name, at, node, *section),
            _ => match &node.data {
                Data::Scalar(scalar) => self.scalar(name, node.span, scalar, kind),
                _ => self.wrong_type(name, node, kind),
            },
        }
    }

    fn id(&mut self, entry: &Entry) {
        let id = &entry.key.value;
        if !is_id(id) {
            let fixed: String = id
                .to_ascii_lowercase()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
                .take(ID_CHARS_MAX)
                .collect();
            let message = format!(
                "{id:?} cannot be an id: ids are [a-z_][a-z0-9_]*, at most {ID_CHARS_MAX} characters"
            );
            let suggestion = is_id(&fixed).then_some(fixed);
            self.push(Diagnostic::new(&code::BAD_ID, entry.key.span, message).suggest(suggestion));
        }
    }

    fn wrong_type(&mut self, name: &str, node: &Node, kind: &Kind) {
        let message = format!("`{name}` is {}; wanted {}", node.describe(), kind.describe());
        let mut diagnostic = Diagnostic::new(&code::WRONG_TYPE, node.span, message);
        if matches!(kind, Kind::List(..)) && matches!(node.data, Data::Scalar(_)) {
            diagnostic = diagnostic.help("a list of one is written in brackets: [item]");
        }
        self.push(diagnostic);
    }

    fn with_shape(&mut self, name: &str, at: Span, node: &Node, shape: &Shape, kind: &Kind) {
        match &node.data {
            Data::Map(_) | Data::Null => {
                self.fields(shape.what, at, node, &shape.fields.iter().collect::<Vec<_>>());
            }
            _ => self.wrong_type(name, node, kind),
        }
    }

    /// Lints a mapping against a list of keys.
    pub fn fields(&mut self, what: &str, at: Span, node: &Node, fields: &[&Field]) {
        let names = || fields.iter().map(|f| f.name);
        let free: Vec<&str> = names().filter(|n| node.get(n).is_none()).collect();
        let mut meant = Vec::new();
        for entry in node.entries() {
            match fields.iter().find(|f| f.name == entry.key.value) {
                Some(field) => self.value(field.name, entry.key.span, &entry.value, &field.kind),
                None => {
                    let full = self.diagnostics.is_full();
                    let near = if full { None } else { nearest(&entry.key.value, free.iter().copied()) };
                    meant.extend(near);
                    let message = format!("unknown key {:?} in {what}", entry.key.value);
                    // A connector may list a key that every component of the section has.
                    let mut known: Vec<&str> = Vec::new();
                    names().for_each(|n| {
                        if !known.contains(&n) {
                            known.push(n)
                        }
                    });
                    let known = known.join(", ");
                    let help = if known.is_empty() {
                        "it takes no keys".to_owned()
                    } else {
                        format!("its keys: {known}")
                    };
                    self.push(
                        Diagnostic::new(&code::UNKNOWN_KEY, entry.key.span, message).suggest(near).help(help),
                    );
                }
            }
        }
        for field in
            fields.iter().filter(|f| f.required && free.contains(&f.name) && !meant.contains(&f.name))
        {
            let message = format!("{what} needs `{}`: {}", field.name, field.kind.describe());
            self.push(Diagnostic::new(&code::MISSING_KEY, at, message).help(field.doc));
        }
    }

    fn component(&mut self, name: &str, at: Span, node: &Node, section: Section) {
        let what = section.one();
        if !matches!(node.data, Data::Map(_)) {
            return self.wrong_type(name, node, &Kind::Component(section));
        }
        let known: Vec<&str> = match section {
            Section::Transforms => OPERATORS.iter().map(|(name, _)| *name).collect(),
            _ => self.catalog.types(section),
        };
        let Some(entry) = node.entry("type") else {
            let message = format!("the {what} {name:?} needs `type`: one of {}", known.join(", "));
            return self.push(Diagnostic::new(&code::MISSING_KEY, at, message));
        };
        let Some(scalar) = entry.value.scalar() else {
            return self.wrong_type("type", &entry.value, &Kind::Name);
        };
        if scalar.interpolated {
            return self.no_interpolation("type", entry.value.span);
        }
        let type_name = scalar.expose();
        let Some(own) = type_fields(section, type_name, self.catalog) else {
            let message = format!("{type_name:?} is not a type of {what}");
            let near = nearest(type_name, known.iter().copied());
            let help = format!("known types: {}", known.join(", "));
            return self.push(
                Diagnostic::new(&code::UNKNOWN_TYPE, entry.value.span, message).suggest(near).help(help),
            );
        };
        if section == Section::Transforms && !self.capabilities.operators.contains(type_name) {
            let runs = self.capabilities.operators.iter().copied().collect::<Vec<_>>().join(", ");
            let message = format!("the operator {type_name} is not available in this version");
            let help = format!("this version runs {runs}; sql says most of what the others do");
            self.push(Diagnostic::new(&code::NOT_IN_THIS_VERSION, entry.value.span, message).help(help));
        }
        let what = format!("a {what} of type {type_name}");
        let fields: Vec<&Field> = section_fields(section).iter().chain(own).collect();
        self.fields(&what, at, node, &fields);
    }

    fn no_interpolation(&mut self, name: &str, span: Span) {
        let message = format!("`{name}` cannot come from a variable, a file or a secret");
        self.push(Diagnostic::new(&code::NO_INTERPOLATION_HERE, span, message));
    }

    /// A scalar against its kind. Whatever came from a variable is not shown: it may be a secret by mistake (SP-2).
    fn scalar(&mut self, name: &str, span: Span, scalar: &Scalar, kind: &Kind) {
        let before = self.diagnostics.items().len();
        self.clear_scalar(name, span, scalar, kind);
        if scalar.origin == Origin::Variable {
            let message = format!(
                "the value that `{name}` gets from a variable does not fit; wanted {}",
                kind.describe()
            );
            self.diagnostics.hide_values(before, &message);
        }
    }

    fn clear_scalar(&mut self, name: &str, span: Span, scalar: &Scalar, kind: &Kind) {
        if scalar.interpolated && !kind.interpolates() {
            return self.no_interpolation(name, span);
        }
        if scalar.origin == Origin::Secret && !matches!(kind, Kind::Secret) {
            let message = format!("`{name}` would show a secret: it appears in logs and plans");
            return self.push(Diagnostic::new(&code::SECRET_SHOWN, span, message));
        }
        let text = scalar.expose();
        let in_the_clear =
            matches!(kind, Kind::Secret) && scalar.origin == Origin::Literal && looks_secret(name, text);
        if in_the_clear {
            self.diagnostics.hide(span);
            let message = format!("`{name}` holds a password in the clear");
            let help = "use ${env:NAME}, or ${secret:name} with an entry of `secrets`";
            self.push(Diagnostic::new(&code::SECRET_IN_FILE, span, message).help(help));
        }
        // A variable that was refused or not set has been reported; its empty text is not another fault.
        if scalar.interpolated && text.is_empty() {
            return;
        }
        let shown = |text: &str| {
            if matches!(kind, Kind::Secret) { "the value".to_owned() } else { format!("{text:?}") }
        };
        match kind {
            Kind::Text
            | Kind::Verbatim
            | Kind::Secret
            | Kind::Name
            | Kind::Sql
            | Kind::Word(_)
            | Kind::Instant => {
                let plain = scalar::plain(scalar);
                // Booleans and numbers where text is wanted: YAML and the reader differ on what was meant.
                if plain != Plain::Text && !scalar.interpolated && !matches!(kind, Kind::Word(_)) {
                    let what = match plain {
                        Plain::Bool(_) => "a boolean",
                        _ => "a number",
                    };
                    let message = format!("`{name}` is {what}; wanted {}", kind.describe());
                    let quoted = if matches!(kind, Kind::Secret) { "…" } else { text };
                    let help = format!("put it in quotes: \"{quoted}\"");
                    return self.push(Diagnostic::new(&code::WRONG_TYPE, span, message).help(help));
                }
                if let Kind::Word(words) = kind
                    && !words.contains(&text)
                {
                    let message = format!("`{name}` is {text:?}; wanted one of {}", words.join(", "));
                    let near = nearest(text, words.iter().copied());
                    return self.push(Diagnostic::new(&code::NOT_ALLOWED_VALUE, span, message).suggest(near));
                }
                if matches!(kind, Kind::Instant) {
                    self.formed(name, span, scalar::timestamp_ms(text).err(), &shown(text));
                }
                if text.trim().is_empty() && !matches!(kind, Kind::Secret | Kind::Verbatim) {
                    let message = format!("`{name}` is empty");
                    self.push(Diagnostic::new(&code::OUT_OF_BOUNDS, span, message));
                }
            }
            Kind::Bool => match text {
                "true" | "false" if scalar.is_typed_by_text() => {}
                _ => {
                    let meant = match text.to_ascii_lowercase().as_str() {
                        "yes" | "on" | "y" | "true" => Some("true"),
                        "no" | "off" | "n" | "false" => Some("false"),
                        _ => None,
                    };
                    let message =
                        format!("`{name}` is {text:?}; a boolean is only true or false, without quotes");
                    self.push(Diagnostic::new(&code::WRONG_TYPE, span, message).suggest(meant));
                }
            },
            Kind::Int(low, high) => {
                if !scalar.is_typed_by_text() {
                    let message = format!("`{name}` is text; wanted an integer, without quotes");
                    return self.push(Diagnostic::new(&code::WRONG_TYPE, span, message));
                }
                match scalar::integer(text) {
                    Ok(value) if (*low..=*high).contains(&value) => {}
                    Ok(value) => {
                        let message = match *high {
                            i64::MAX => format!("`{name}` is {value}; it is at least {low}"),
                            _ => format!("`{name}` is {value}; it is {low} to {high}"),
                        };
                        self.push(Diagnostic::new(&code::OUT_OF_BOUNDS, span, message));
                    }
                    Err(error) if text.bytes().any(|b| b.is_ascii_digit()) => {
                        self.formed(name, span, Some(error), &shown(text));
                    }
                    Err(_) => {
                        let message = format!("`{name}` is {text:?}; wanted an integer");
                        self.push(Diagnostic::new(&code::WRONG_TYPE, span, message));
                    }
                }
            }
            Kind::Duration(low, high) => match scalar::duration_ms(text) {
                Ok(ms) => self.within(name, span, ms, (*low, *high), &scalar::format_duration),
                Err(error) => self.formed(name, span, Some(error), &shown(text)),
            },
            Kind::Size(low, high) => match scalar::size_bytes(text) {
                Ok(bytes) => self.within(name, span, bytes, (*low, *high), &scalar::format_size),
                Err(error) => self.formed(name, span, Some(error), &shown(text)),
            },
            Kind::Rate => self.formed(name, span, scalar::rate(text).err(), &shown(text)),
            Kind::Cores => self.formed(name, span, scalar::millicores(text).err(), &shown(text)),
            _ => {}
        }
    }

    fn formed(&mut self, name: &str, span: Span, error: Option<String>, shown: &str) {
        if let Some(error) = error {
            let message = format!("`{name}` is {shown}: {error}");
            self.push(Diagnostic::new(&code::BAD_SCALAR, span, message));
        }
    }

    fn within(
        &mut self,
        name: &str,
        span: Span,
        value: u64,
        bounds: (u64, u64),
        show: &dyn Fn(u64) -> String,
    ) {
        if value < bounds.0 || value > bounds.1 {
            let message =
                format!("`{name}` is {}; it is {} to {}", show(value), show(bounds.0), show(bounds.1));
            self.push(Diagnostic::new(&code::OUT_OF_BOUNDS, span, message));
        }
    }
}

/// Whether a literal in a secret's place holds a password, as against `sqlite:out.db`.
fn looks_secret(name: &str, text: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if ["password", "secret", "token", "authorization"].iter().any(|word| name.contains(word)) {
        return !text.is_empty();
    }
    let user_info = text.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(info, _)| info);
    text.contains("password=") || user_info.is_some_and(|info| info.contains(':'))
}

/// The tree as a config struct reads it: text (durations and sizes too, which it parses itself) is text even where a
/// variable brought digits, and secrets are hidden.
pub fn normalised(node: &Node, kind: &Kind) -> Node {
    let data = match (&node.data, kind) {
        (Data::Seq(items), Kind::List(of, _)) => Data::Seq(items.iter().map(|n| normalised(n, of)).collect()),
        (Data::Map(entries), Kind::Map(of) | Kind::Ids(of)) => Data::Map(
            entries.iter().map(|e| Entry { key: e.key.clone(), value: normalised(&e.value, of) }).collect(),
        ),
        (Data::Map(_), Kind::Struct(shape)) => normalised_fields(node, shape.fields.iter()),
        (Data::Scalar(scalar), Kind::Secret) => Data::Scalar(Scalar {
            // Whatever its origin, it is kept from sight from here on (SP-2).
            text: Text::Hidden(Secret::new(scalar.expose())),
            style: Style::Double,
            interpolated: false,
            ..*scalar
        }),
        (
            Data::Scalar(scalar),
            Kind::Text
            | Kind::Verbatim
            | Kind::Name
            | Kind::Sql
            | Kind::Word(_)
            | Kind::Duration(..)
            | Kind::Size(..),
        ) => Data::Scalar(Scalar { style: Style::Double, interpolated: false, ..scalar.clone() }),
        _ => node.data.clone(),
    };
    Node { span: node.span, data }
}

/// The entries of a mapping whose keys are among `fields`, normalised.
pub fn normalised_fields<'a>(node: &Node, fields: impl Iterator<Item = &'a Field> + Clone) -> Data {
    Data::Map(
        node.entries()
            .iter()
            .filter_map(|e| {
                let field = fields.clone().find(|f| f.name == e.key.value)?;
                Some(Entry { key: e.key.clone(), value: normalised(&e.value, &field.kind) })
            })
            .collect(),
    )
}
