//! What this crate must know of a connector: its keys, and what it can promise. Handed in, since a foreign system is
//! its connector's own: each connector describes its settings as data, and whoever knows the connectors (the worker)
//! makes [`ComponentSchema`]s of that with [`ComponentSchema::from_settings`].
//!
//! Never enters: how a connector works. `catalog/standard.rs` has the connectors of this version for those who lint
//! without linking them (editors' schema, tests).

pub mod standard;

use crate::shape::{DURATION_MS_MAX, Field, Kind, Section, Shape};

/// A promise about each record. At least and exactly once are ordered, the weaker first; at most once is another kind of
/// promise, which only what keeps exactly once can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// At most once: what is lost is not sent again.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
    /// Exactly once.
    ExactlyOnce,
}

impl Delivery {
    /// As written in YAML.
    pub fn word(self) -> &'static str {
        match self {
            Delivery::AtMostOnce => "at_most_once",
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
    /// Where one type stands for several connectors: the key whose scheme chooses.
    pub by_scheme: Option<ByScheme>,
}

/// A choice of the connector by a URL's or DSN's scheme.
#[derive(Clone, Copy, Debug)]
pub struct ByScheme {
    /// The key that holds the URL or DSN.
    pub field: &'static str,
    /// The schemes that are known.
    pub schemes: &'static [Scheme],
}

/// What a scheme chooses.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// The scheme, without its colon.
    pub scheme: &'static str,
    /// The connector's type.
    pub connector: &'static str,
    /// The connector's own key for the value.
    pub field: &'static str,
    /// Whether the connector gets what follows the scheme, or the whole.
    pub rest: bool,
}

/// One setting of a connector, as its own description has it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What it holds.
    pub kind: SettingKind,
    /// What it means.
    pub doc: String,
    /// The default as written in YAML.
    pub default: Option<String>,
    /// Whether leaving it out is an error.
    pub required: bool,
    /// The smallest and greatest value: the number, bytes of a size, milliseconds of a duration, items of a list.
    pub bounds: Option<(u64, u64)>,
}

/// What a setting holds.
#[derive(Clone, Debug)]
pub enum SettingKind {
    /// Text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// `64MiB`.
    Size,
    /// `10m`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list.
    List(Box<SettingKind>),
    /// A mapping with free keys.
    Map(Box<SettingKind>),
    /// A group of settings.
    Object(Vec<Setting>),
}

impl ComponentSchema {
    /// A connector by its settings. What is made here stays for the life of the process: a catalog is made once, and its
    /// few kilobytes are shared by every lint.
    pub fn from_settings(
        section: Section,
        type_name: &'static str,
        doc: &str,
        delivery: (Delivery, &'static str),
        writers: u32,
        settings: &[Setting],
    ) -> ComponentSchema {
        let doc = leak_text(doc);
        ComponentSchema {
            section,
            type_name,
            doc,
            fields: fields(settings),
            delivery,
            writers,
            by_scheme: None,
        }
    }

    /// The default of a setting, as written in YAML.
    pub fn default_of(&self, name: &str) -> Option<&'static str> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.default).filter(|d| !d.is_empty())
    }
}

fn leak_text(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn fields(settings: &[Setting]) -> &'static [Field] {
    let fields: Vec<Field> = settings
        .iter()
        .map(|setting| Field {
            name: setting.name,
            kind: kind(&setting.kind, setting.bounds),
            required: setting.required,
            default: setting.default.as_deref().map_or("", leak_text),
            doc: leak_text(&setting.doc),
        })
        .collect();
    Box::leak(fields.into_boxed_slice())
}

fn kind(setting: &SettingKind, bounds: Option<(u64, u64)>) -> Kind {
    let (low, high) = bounds.unwrap_or((0, DURATION_MS_MAX));
    let inner = |of: &SettingKind| -> &'static Kind { Box::leak(Box::new(kind(of, None))) };
    match setting {
        SettingKind::Text => Kind::Text,
        SettingKind::Secret => Kind::Secret,
        SettingKind::Integer => {
            Kind::Int(i64::try_from(low).unwrap_or(i64::MAX), i64::try_from(high).unwrap_or(i64::MAX))
        }
        SettingKind::Boolean => Kind::Bool,
        SettingKind::Size => Kind::Size(low, high),
        SettingKind::Duration => Kind::Duration(low, high),
        SettingKind::Choice(words) => Kind::Word(words),
        SettingKind::List(of) => Kind::List(inner(of), usize::try_from(low).unwrap_or(0)),
        SettingKind::Map(of) => Kind::Map(inner(of)),
        SettingKind::Object(settings) => {
            Kind::Struct(Box::leak(Box::new(Shape { what: "these settings", fields: fields(settings) })))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connectors_own_description_becomes_its_keys() {
        let setting = |name, kind, bounds| Setting {
            name,
            kind,
            doc: "a setting".to_owned(),
            default: Some("1s".to_owned()),
            required: false,
            bounds,
        };
        let group = vec![setting("every", SettingKind::Duration, Some((10, 20)))];
        let schema = ComponentSchema::from_settings(
            Section::Sinks,
            "made",
            "A sink.",
            (Delivery::ExactlyOnce, ""),
            4,
            &[
                setting("group", SettingKind::Object(group), None),
                setting("names", SettingKind::List(Box::new(SettingKind::Text)), Some((1, 8))),
            ],
        );
        let Kind::Struct(shape) = schema.fields[0].kind else { panic!("a group is a mapping") };
        assert!(matches!(shape.fields[0].kind, Kind::Duration(10, 20)));
        assert!(matches!(schema.fields[1].kind, Kind::List(Kind::Text, 1)));
        assert_eq!(schema.default_of("names"), Some("1s"));
    }
}
