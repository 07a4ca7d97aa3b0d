//! What this crate must know of a connector: its keys, and what it can promise. Handed in, since a foreign system is
//! its connector's own.
//!
//! Never enters: how a connector works. `catalog/standard.rs` lists the connectors that come with Millstream.

pub mod standard;

use crate::shape::{Field, Section};

/// A promise about each record, the weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// At least once.
    AtLeastOnce,
    /// Exactly once.
    ExactlyOnce,
}

impl Delivery {
    /// As written in YAML.
    pub fn word(self) -> &'static str {
        match self {
            Delivery::AtLeastOnce => "at_least_once",
            Delivery::ExactlyOnce => "exactly_once",
        }
    }
}

/// One connector in one role.
#[derive(Clone, Copy, Debug)]
pub struct ComponentSchema {
    /// The role.
    pub section: Section,
    /// The word after `type:`.
    pub type_name: &'static str,
    /// What it is, one sentence.
    pub doc: &'static str,
    /// Its keys, beside those of every component of the section.
    pub fields: &'static [Field],
    /// The strongest promise that it can keep, and why no stronger one.
    pub delivery: (Delivery, &'static str),
    /// How many writers a sink has where the file does not say.
    pub writers: u32,
    /// Whether a sink replaces rows by key when the settings say so (`mode: upsert`).
    pub upserts: bool,
    /// Where one type stands for several connectors: the key whose scheme chooses.
    pub by_scheme: Option<ByScheme>,
}

/// A choice of the connector by a URL's or DSN's scheme.
#[derive(Clone, Copy, Debug)]
pub struct ByScheme {
    /// The key that holds the URL or DSN.
    pub field: &'static str,
    /// Schemes and the connector's type that each chooses.
    pub schemes: &'static [(&'static str, &'static str)],
}

/// The connectors that a pipeline may name.
pub trait Catalog {
    /// The connector of a type in a section.
    fn component(&self, section: Section, type_name: &str) -> Option<&ComponentSchema>;
    /// The types of a section, in the order in which a message lists them.
    fn types(&self, section: Section) -> Vec<&str>;
}

/// A catalog over a list.
#[derive(Clone, Debug, Default)]
pub struct ListCatalog(pub Vec<ComponentSchema>);

impl Catalog for ListCatalog {
    fn component(&self, section: Section, type_name: &str) -> Option<&ComponentSchema> {
        self.0.iter().find(|c| c.section == section && c.type_name == type_name)
    }

    fn types(&self, section: Section) -> Vec<&str> {
        self.0.iter().filter(|c| c.section == section).map(|c| c.type_name).collect()
    }
}
