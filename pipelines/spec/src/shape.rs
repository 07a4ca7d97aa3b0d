//! What keys a mapping has and what their values are, as data: the one table that lint, the typed reading, the JSON
//! schema for editors and the reference come from.
//!
//! Never enters: relations between components (`check/`). The walk is in `shape/walk.rs`, Millstream's own tables in
//! `shape/core.rs`, those of connectors in `catalog.rs`.

pub mod core;
pub(crate) mod walk;

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text.
    Text,
    /// Text that counts as it is, blanks and all; it may be empty.
    Verbatim,
    /// Text that may be a secret, and is kept from sight whether it is one or not.
    Secret,
    /// A name that others refer to or that refers to one: never interpolated.
    Name,
    /// An expression or a query: never interpolated, its lines mapped back to the file.
    Sql,
    /// An integer between two bounds, both included.
    Int(i64, i64),
    /// `true` or `false`.
    Bool,
    /// A duration between two bounds in milliseconds, both included.
    Duration(u64, u64),
    /// A size between two bounds in bytes, both included.
    Size(u64, u64),
    /// `5%/1m`.
    Rate,
    /// A number of processor cores, with up to three decimals.
    Cores,
    /// An instant.
    Instant,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list, with the fewest items that it may have.
    List(&'static Kind, usize),
    /// A mapping with free keys.
    Map(&'static Kind),
    /// A mapping with ids as its keys.
    Ids(&'static Kind),
    /// A mapping with given keys.
    Struct(&'static Shape),
    /// One of several, told apart by text, list or mapping.
    Either(&'static [Kind]),
    /// A component of a section: its `type` chooses the keys.
    Component(Section),
    /// A schema's field: the keys depend on its type.
    SchemaField,
    /// Anything.
    Any,
}

/// The longest duration of any setting: about 292 million years fit, Kafka's own times are below.
pub const DURATION_MS_MAX: u64 = i64::MAX as u64;

/// A duration of at least a millisecond.
pub const DURATION: Kind = Kind::Duration(1, DURATION_MS_MAX);
/// A duration, zero too.
pub const DURATION_OR_ZERO: Kind = Kind::Duration(0, DURATION_MS_MAX);
/// A size of at least a byte.
pub const SIZE: Kind = Kind::Size(1, i64::MAX as u64);

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What holds without it, in YAML; empty where nothing does.
    pub default: &'static str,
    /// What it is for, one sentence.
    pub doc: &'static str,
}

impl Field {
    /// A key that must be there.
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Field {
        Field { name, kind, required: true, default: "", doc }
    }

    /// A key that may be there.
    pub const fn optional(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
        Field { name, kind, required: false, default, doc }
    }
}

/// A mapping with given keys.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it is, for messages: "a topic".
    pub what: &'static str,
    /// Its keys.
    pub fields: &'static [Field],
}

/// A section whose entries are components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What a pipeline reads.
    Sources,
    /// What it looks up and joins with.
    Tables,
    /// What it does.
    Transforms,
    /// What it writes.
    Sinks,
}

impl Section {
    /// The key at the top of the file.
    pub fn key(self) -> &'static str {
        match self {
            Section::Sources => "sources",
            Section::Tables => "tables",
            Section::Transforms => "transforms",
            Section::Sinks => "sinks",
        }
    }

    /// One entry, for messages.
    pub fn one(self) -> &'static str {
        match self {
            Section::Sources => "source",
            Section::Tables => "table",
            Section::Transforms => "transform",
            Section::Sinks => "sink",
        }
    }

    /// All of them.
    pub const ALL: [Section; 4] = [Section::Sources, Section::Tables, Section::Transforms, Section::Sinks];
}

impl Kind {
    /// Whether `${…}` may stand in it.
    pub fn interpolates(&self) -> bool {
        !matches!(self, Kind::Name | Kind::Sql | Kind::Instant)
    }

    /// What a person writes there.
    pub fn describe(&self) -> String {
        match self {
            Kind::Text | Kind::Verbatim | Kind::Secret => "text".to_owned(),
            Kind::Name => "a name".to_owned(),
            Kind::Sql => "SQL text".to_owned(),
            Kind::Int(..) => "an integer".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Duration(..) => "a duration, as 200ms, 5s, 10m, 48h or 30d".to_owned(),
            Kind::Size(..) => "a size, as 64KiB or 128MiB".to_owned(),
            Kind::Rate => "a rate, as 5%/1m".to_owned(),
            Kind::Cores => "a number of cores, as 2 or 0.5".to_owned(),
            Kind::Instant => "an instant, as 2026-01-01T10:30:00Z".to_owned(),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::List(of, _) => format!("a list, each item {}", of.describe()),
            Kind::Map(_) | Kind::Ids(_) | Kind::Component(_) => "a mapping".to_owned(),
            Kind::Struct(shape) => format!("a mapping: {}", shape.what),
            Kind::Either(kinds) => kinds.iter().map(Kind::describe).collect::<Vec<_>>().join(", or "),
            Kind::SchemaField => "a field, as { type: string, required: true }".to_owned(),
            Kind::Any => "any value".to_owned(),
        }
    }
}
