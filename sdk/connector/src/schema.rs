//! What a component accepts, as plain data: lint, the manual, the editors' JSON schema and the console's forms read
//! it. Made by [`crate::component_config`] from the config struct itself, so that it cannot say something else.

/// What a component is in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads records from a foreign system.
    Source,
    /// Is read whole and looked up.
    Table,
    /// Writes rows to a foreign system.
    Sink,
}

/// What a component can promise on its side of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Each input has its effect once, over crashes, restarts and zombies.
    ExactlyOnce,
    /// An input's effect may be repeated after a failure; the text says why, for lint to quote.
    AtLeastOnce(&'static str),
}

/// One component: what follows `type:` and which settings it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentSchema {
    /// What follows `type:`.
    pub type_name: &'static str,
    /// Source, table or sink. One type may have several roles, with a schema for each.
    pub role: Role,
    /// What it does, in sentences.
    pub doc: String,
    /// What it can promise.
    pub delivery: Delivery,
    /// Its settings.
    pub fields: Vec<FieldSchema>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSchema {
    /// The key in YAML.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means, in sentences, with its unit.
    pub doc: String,
    /// The default as it would be written in YAML; `None` where there is none.
    pub default: Option<String>,
    /// Whether leaving it out is an error.
    pub required: bool,
    /// The smallest and greatest value, in the kind's own unit (bytes, milliseconds, items).
    pub bounds: Option<Bounds>,
}

/// Both ends included. Bytes for sizes, milliseconds for durations, elements for lists, bytes of UTF-8 for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest value.
    pub min: u64,
    /// The greatest value.
    pub max: u64,
}

/// What a setting holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text.
    Text,
    /// Text that is never printed, logged or shown.
    Secret,
    /// A whole number, at least 0.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// [`crate::ByteSize`].
    Size,
    /// [`crate::Period`].
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of these.
    List(Box<Kind>),
    /// A map from text to these.
    Map(Box<Kind>),
    /// A group of settings of its own.
    Object(Vec<FieldSchema>),
}
