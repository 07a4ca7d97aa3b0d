//! The tree of a YAML text: every node and key with its span. Scalars are text until a field says what it wants;
//! how a scalar was written and where its value came from stay with it.
//!
//! Never enters: YAML's syntax (`load.rs`), what keys mean (`shape.rs`). Invariant SP-2: text that came from a secret
//! or a file is a [`Secret`] from the moment it is read, and nothing here prints it.

use millstream_types::Secret;

use crate::span::{Span, Spanned};

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// A `|` block.
    Literal,
    /// A `>` block.
    Folded,
}

/// Where a scalar's text came from, the most sensitive part counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Written in the file (or given by `--set`).
    Literal,
    /// At least a part came from an environment variable.
    Variable,
    /// At least a part came from a secret or a file.
    Secret,
}

/// A scalar's text: in the clear, or not to be shown.
#[derive(Clone, Debug)]
pub enum Text {
    /// May be printed.
    Clear(String),
    /// Must not be printed (SP-2).
    Hidden(Secret),
}

/// A scalar.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The text after interpolation.
    pub text: Text,
    /// How it was written.
    pub style: Style,
    /// Where its text came from.
    pub origin: Origin,
    /// Whether `${…}` was replaced in it, whatever the replacement.
    pub interpolated: bool,
}

impl Scalar {
    /// A scalar as written in the file.
    pub fn literal(text: impl Into<String>, style: Style) -> Scalar {
        Scalar { text: Text::Clear(text.into()), style, origin: Origin::Literal, interpolated: false }
    }

    /// The text where it may be shown.
    pub fn clear(&self) -> Option<&str> {
        match &self.text {
            Text::Clear(text) => Some(text),
            Text::Hidden(_) => None,
        }
    }

    /// The text, secret or not, for whoever hands it to the place that it is for.
    pub fn expose(&self) -> &str {
        match &self.text {
            Text::Clear(text) => text,
            Text::Hidden(secret) => std::str::from_utf8(secret.expose()).unwrap_or(""),
        }
    }

    /// Whether a plain reading (number, boolean, null) may be taken: the scalar is plain, or its text is a variable's.
    pub fn is_typed_by_text(&self) -> bool {
        self.style == Style::Plain || self.interpolated
    }
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Spanned<String>,
    /// The value.
    pub value: Node,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Data {
    /// Nothing, `~` or `null`.
    Null,
    /// One value.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order written, its keys unique.
    Map(Vec<Entry>),
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it was written; a container's reaches from its first to its last child.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

impl Node {
    /// The entries of a mapping; none for another node.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for another node.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::Seq(items) => items,
            _ => &[],
        }
    }

    /// The scalar, where it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.data {
            Data::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The value under `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry under `key` of a mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.value == key)
    }

    /// Whether nothing was written.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// The node's kind in a person's words.
    pub fn describe(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Scalar(scalar) => match crate::scalar::plain(scalar) {
                crate::scalar::Plain::Bool(_) => "a boolean",
                crate::scalar::Plain::Int(_) => "an integer",
                crate::scalar::Plain::Number => "a number",
                crate::scalar::Plain::Text => "text",
            },
            Data::Seq(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }
}
