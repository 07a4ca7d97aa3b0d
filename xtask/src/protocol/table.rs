//! Reads the protocol's fact tables (`broker/wire/schema/*.txt`) into plain values, with the line of each error.
//! Never enters: what the facts become in Rust. The tests of `millstream-wire` include this file too, so that their
//! own encoder, written apart from the generator, starts from the same facts.

use std::collections::BTreeMap;

/// A closed range of versions; empty when `lo > hi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub lo: i16,
    /// The last version, `i16::MAX` where open.
    pub hi: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Versions = Versions { lo: 0, hi: -1 };

    fn parse(text: &str) -> Result<Versions, String> {
        let number = |t: &str| t.parse::<i16>().map_err(|_| format!("\"{text}\" is not a range of versions"));
        if text == "none" {
            return Ok(Versions::NONE);
        }
        if let Some(lo) = text.strip_suffix('+') {
            return Ok(Versions { lo: number(lo)?, hi: i16::MAX });
        }
        match text.split_once('-') {
            Some((lo, hi)) => Ok(Versions { lo: number(lo)?, hi: number(hi)? }),
            None => Ok(Versions { lo: number(text)?, hi: number(text)? }),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.lo > self.hi
    }

    /// Whether `version` is one of them.
    pub fn contains(self, version: i16) -> bool {
        self.lo <= version && version <= self.hi
    }

    /// The versions that are in both.
    pub fn and(self, other: Versions) -> Versions {
        Versions { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Request,
    Response,
    Header,
    Record,
    Key,
    Value,
    Data,
}

/// A field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Result<Type, String> {
        if let Some(element) = text.strip_prefix("[]") {
            return Ok(Type::Array(Box::new(Type::parse(element)?)));
        }
        Ok(match text {
            "bool" => Type::Bool,
            "int8" => Type::Int8,
            "int16" => Type::Int16,
            "uint16" => Type::Uint16,
            "int32" => Type::Int32,
            "uint32" => Type::Uint32,
            "int64" => Type::Int64,
            "float64" => Type::Float64,
            "uuid" => Type::Uuid,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "records" => Type::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Type::Struct(name.to_owned()),
            other => return Err(format!("\"{other}\" is not a type")),
        })
    }
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, as in Kafka.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which null may stand.
    pub nullable: Versions,
    /// The tag, where it is a tagged field.
    pub tag: Option<u32>,
    /// The default, as text, where it is not the type's own.
    pub default: Option<String>,
    /// Whether the field keeps the old length form in flexible versions.
    pub never_flexible: bool,
    /// Whether a version that lacks the field leaves it out in silence.
    pub ignorable: bool,
    /// What the value names.
    pub entity: Option<String>,
}

/// A structure inside a message.
#[derive(Clone, Debug)]
pub struct Struct {
    /// Its name, as in Kafka.
    pub name: String,
    /// The versions in which it may stand.
    pub versions: Versions,
    /// Its fields, in wire order.
    pub fields: Vec<Field>,
}

/// A message: the first structure is the message itself.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Its name, as in Kafka.
    pub name: String,
    /// The API key or record type.
    pub key: Option<i16>,
    /// The versions that are valid.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields.
    pub flexible: Versions,
    /// The listeners that serve it.
    pub listeners: Vec<String>,
    /// Whether the highest version is not released.
    pub unstable: bool,
    /// The message itself, then the structures that its fields name, in the order of first appearance.
    pub structs: Vec<Struct>,
}

impl Message {
    /// The structure called `name`, which the table's reader has checked to exist.
    pub fn structure(&self, name: &str) -> &Struct {
        self.structs.iter().find(|s| s.name == name).expect("the table's reader checks every name")
    }
}

/// Reads one table.
pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    // The structure that a line of each depth adds its fields to.
    let mut open: Vec<usize> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = |error: String| format!("line {}: {error}", number + 1);
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let depth = (line.len() - body.len()) / 2;
        let words: Vec<&str> = body.split_whitespace().collect();
        if depth == 0 {
            messages.push(header(&words).map_err(at)?);
            open = vec![0];
            continue;
        }
        let message = messages.last_mut().ok_or_else(|| at("a field before any message".to_owned()))?;
        if open.len() < depth {
            return Err(at(format!("{} levels of indentation under a line that opens none", depth)));
        }
        open.truncate(depth);
        if words[0] == "struct" {
            let [_, name, versions] = words[..] else {
                return Err(at("a structure is `struct Name versions`".to_owned()));
            };
            let versions = Versions::parse(versions).map_err(at)?.and(message.versions);
            open.push(declare(message, name, versions).map_err(at)?);
            continue;
        }
        let owner = open[depth - 1];
        let field = field(&words).map_err(at)?;
        let element = match &field.kind {
            Type::Array(element) => element,
            other => other,
        };
        if let Type::Struct(name) = element {
            let versions = field.versions.and(message.structs[owner].versions);
            // Shared structures are declared by their own line, which may come later.
            if next_is_deeper(text, number, depth) {
                let name = name.clone();
                open.push(declare(message, &name, versions).map_err(at)?);
            }
        }
        message.structs[owner].fields.push(field);
    }
    for message in &messages {
        check(message)?;
    }
    Ok(messages)
}

fn next_is_deeper(text: &str, line: usize, depth: usize) -> bool {
    text.lines().nth(line + 1).is_some_and(|next| {
        let body = next.trim_start();
        !body.is_empty() && (next.len() - body.len()) / 2 > depth
    })
}

fn declare(message: &mut Message, name: &str, versions: Versions) -> Result<usize, String> {
    if message.structs.iter().any(|s| s.name == name) {
        return Err(format!("structure {name} is declared twice in {}", message.name));
    }
    message.structs.push(Struct { name: name.to_owned(), versions, fields: Vec::new() });
    Ok(message.structs.len() - 1)
}

fn pairs<'a>(words: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
    words.iter().map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
}

fn header(words: &[&str]) -> Result<Message, String> {
    let kind = match words[0] {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "header" => Kind::Header,
        "record" => Kind::Record,
        "key" => Kind::Key,
        "value" => Kind::Value,
        "data" => Kind::Data,
        other => return Err(format!("\"{other}\" is not a kind of message")),
    };
    let name = words.get(1).ok_or("a message without a name")?.to_string();
    let mut pairs = pairs(&words[2..]);
    let mut take = |word: &str| pairs.remove(word);
    let versions = Versions::parse(take("versions").ok_or("a message without versions")?)?;
    let key = match take("key") {
        Some(text) => Some(text.parse().map_err(|_| format!("\"{text}\" is not an API key"))?),
        None => None,
    };
    let flexible = Versions::parse(take("flexible").unwrap_or("none"))?.and(versions);
    let listeners = take("listeners").map(|l| l.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let unstable = take("unstable").is_some();
    if let Some(word) = pairs.keys().next() {
        return Err(format!("\"{word}\" says nothing about a message"));
    }
    let structs = vec![Struct { name: name.clone(), versions, fields: Vec::new() }];
    Ok(Message { kind, name, key, versions, flexible, listeners, unstable, structs })
}

fn field(words: &[&str]) -> Result<Field, String> {
    let [name, kind, versions, rest @ ..] = words else {
        return Err("a field is `Name type versions`".to_owned());
    };
    let mut pairs = pairs(rest);
    let mut take = |word: &str| pairs.remove(word);
    let field = Field {
        name: (*name).to_owned(),
        kind: Type::parse(kind)?,
        versions: Versions::parse(versions)?,
        nullable: Versions::parse(take("nullable").unwrap_or("none"))?,
        tag: match take("tag") {
            Some(text) => Some(text.parse().map_err(|_| format!("\"{text}\" is not a tag"))?),
            None => None,
        },
        default: take("default").map(str::to_owned),
        never_flexible: match take("flexible") {
            None => false,
            Some("none") => true,
            Some(other) => return Err(format!("a field's flexible is `none` or nothing, not \"{other}\"")),
        },
        ignorable: take("ignorable").is_some(),
        entity: take("entity").map(str::to_owned),
    };
    match pairs.keys().next() {
        Some(word) => Err(format!("\"{word}\" says nothing about a field")),
        None => Ok(field),
    }
}

/// Every name exists, and no structure holds itself: so the depth of a message is fixed by its schema.
fn check(message: &Message) -> Result<(), String> {
    fn visit<'a>(message: &'a Message, name: &'a str, path: &mut Vec<&'a str>) -> Result<(), String> {
        if path.contains(&name) {
            return Err(format!("{}: structure {name} holds itself", message.name));
        }
        let Some(structure) = message.structs.iter().find(|s| s.name == name) else {
            return Err(format!("{}: structure {name} is declared nowhere", message.name));
        };
        path.push(name);
        for field in &structure.fields {
            let element = match &field.kind {
                Type::Array(element) => element,
                other => other,
            };
            if let Type::Struct(inner) = element {
                visit(message, inner, path)?;
            }
        }
        path.pop();
        Ok(())
    }
    visit(message, &message.name, &mut Vec::new())
}
