//! One message's structures as Rust: the types and their defaults here, `decode` and `encode` in `codec.rs`. Owns
//! what a field's facts mean in each version. Never enters: which file the text goes to.

mod codec;

use super::names;
use super::table::{Field, Message, Struct, Type, Versions};
use std::fmt::Write;

/// The Rust of one message: every structure with its impls.
pub fn message(message: &Message) -> String {
    let mut out = String::new();
    for structure in &message.structs {
        let g = Gen { message, structure };
        g.definition(&mut out);
        g.default(&mut out);
        g.codec(&mut out);
    }
    out
}

/// What a module of these structures imports, of all that it might.
pub fn imports(code: &str) -> String {
    let mut out = String::from(
        "use crate::error::{DecodeError, EncodeError};\nuse crate::reader::Reader;\nuse crate::writer::Writer;\n",
    );
    for (name, line) in [
        ("Records", "use crate::records::Records;\n"),
        ("TaggedFields", "use crate::tagged::TaggedFields;\n"),
        ("Bytes", "use bytes::Bytes;\n"),
        ("Uuid", "use millstream_types::Uuid;\n"),
    ] {
        if [": ", "<"].iter().any(|before| code.contains(&format!("{before}{name}"))) {
            out.push_str(line);
        }
    }
    out
}

struct Gen<'a> {
    message: &'a Message,
    structure: &'a Struct,
}

/// How a condition on the version reads, given the versions in which it is asked.
enum When {
    Always,
    Never,
    If(String),
}

fn when(condition: Versions, asked: Versions) -> When {
    let both = condition.and(asked);
    if both.is_empty() {
        When::Never
    } else if both == asked {
        When::Always
    } else if both.lo == both.hi {
        When::If(format!("version == {}", both.lo))
    } else if both.lo == asked.lo {
        When::If(format!("version <= {}", both.hi))
    } else if both.hi == asked.hi {
        When::If(format!("version >= {}", both.lo))
    } else {
        When::If(format!("({}..={}).contains(&version)", both.lo, both.hi))
    }
}

fn text(condition: When) -> String {
    match condition {
        When::Always => "true".to_owned(),
        When::Never => "false".to_owned(),
        When::If(text) => text,
    }
}

fn scalar(kind: &Type) -> Option<(&'static str, &'static str, usize)> {
    Some(match kind {
        Type::Bool => ("bool", "bool", 1),
        Type::Int8 => ("i8", "i8", 1),
        Type::Int16 => ("i16", "i16", 2),
        Type::Uint16 => ("u16", "u16", 2),
        Type::Int32 => ("i32", "i32", 4),
        Type::Uint32 => ("u32", "u32", 4),
        Type::Int64 => ("i64", "i64", 8),
        Type::Float64 => ("f64", "f64", 8),
        Type::Uuid => ("Uuid", "uuid", 16),
        _ => return None,
    })
}

impl Gen<'_> {
    fn versions(&self) -> Versions {
        self.structure.versions
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        // A field whose versions have all gone (ShareFetch 0's) is no field any more.
        self.structure.fields.iter().filter(|f| !f.versions.and(self.versions()).is_empty())
    }

    fn tagged(&self) -> Vec<&Field> {
        let mut tagged: Vec<&Field> = self.fields().filter(|f| f.tag.is_some()).collect();
        tagged.sort_by_key(|f| f.tag);
        tagged
    }

    fn asked(&self, field: &Field) -> Versions {
        field.versions.and(self.versions())
    }

    fn is_nullable(&self, field: &Field) -> bool {
        field.kind == Type::Records || !field.nullable.and(self.asked(field)).is_empty()
    }

    fn has_tags(&self) -> bool {
        !self.message.flexible.and(self.versions()).is_empty()
    }

    fn base_type(kind: &Type) -> String {
        if let Some((rust, _, _)) = scalar(kind) {
            return rust.to_owned();
        }
        match kind {
            Type::String => "String".to_owned(),
            Type::Bytes => "Bytes".to_owned(),
            Type::Records => "Records".to_owned(),
            Type::Struct(name) => name.clone(),
            Type::Array(element) => format!("Vec<{}>", Gen::base_type(element)),
            _ => unreachable!("every other type is a scalar"),
        }
    }

    fn rust_type(&self, field: &Field) -> String {
        let base = Gen::base_type(&field.kind);
        if self.is_nullable(field) { format!("Option<{base}>") } else { base }
    }

    fn describe(&self, field: &Field) -> String {
        let range = |v: Versions| {
            let v = v.and(self.message.versions);
            if v.lo == v.hi { format!("version {}", v.lo) } else { format!("versions {} to {}", v.lo, v.hi) }
        };
        let mut words = format!("`{}`", field.name);
        let asked = self.asked(field);
        match when(asked, self.versions()) {
            When::Always => {}
            _ => write!(words, ", {}", range(asked)).unwrap(),
        }
        let nullable = field.nullable.and(asked);
        if !nullable.is_empty() {
            match when(nullable, asked) {
                When::Always => words.push_str(", may be null"),
                _ => write!(words, ", may be null in {}", range(nullable)).unwrap(),
            }
        }
        if let Some(tag) = field.tag {
            write!(words, ", tag {tag}").unwrap();
        }
        if field.ignorable {
            words.push_str(", ignorable");
        }
        if let Some(entity) = &field.entity {
            write!(words, "; a {}", names::snake(entity).replace('_', " ")).unwrap();
        }
        words
    }

    /// The value that a field has when nothing sets it: the Rust of it, and whether it is what `Default` gives.
    fn default_value(&self, field: &Field) -> (String, bool) {
        let given = field.default.as_deref();
        if self.is_nullable(field) {
            // Kafka's own rule: null only where the schema says so, except for records.
            if given == Some("null") || (given.is_none() && field.kind == Type::Records) {
                return ("None".to_owned(), true);
            }
            let inner = match &field.kind {
                Type::String => "String::new()".to_owned(),
                Type::Bytes => "Bytes::new()".to_owned(),
                Type::Array(_) => "Vec::new()".to_owned(),
                Type::Struct(name) => format!("{name}::default()"),
                other => panic!("{}: {other:?} may not be null", field.name),
            };
            return (format!("Some({inner})"), false);
        }
        match (&field.kind, given) {
            (Type::Bool, Some("true")) => ("true".to_owned(), false),
            (Type::Bool, None) => ("false".to_owned(), true),
            (Type::Float64, None) => ("0.0".to_owned(), true),
            (Type::Uuid, None) => ("Uuid::ZERO".to_owned(), true),
            (Type::String, None) => ("String::new()".to_owned(), true),
            (Type::Bytes, None) => ("Bytes::new()".to_owned(), true),
            (Type::Array(_), None) => ("Vec::new()".to_owned(), true),
            (Type::Struct(name), None) => (format!("{name}::default()"), true),
            (kind, given) if scalar(kind).is_some_and(|s| s.0.len() <= 3) => {
                (integer(given.unwrap_or("0")), given.is_none())
            }
            (kind, given) => panic!("{}: no default {given:?} for {kind:?}", field.name),
        }
    }

    /// An expression that is true when the field has a value of its own.
    fn is_set(&self, field: &Field) -> String {
        let name = names::field(&field.name);
        let (default, _) = self.default_value(field);
        if self.is_nullable(field) {
            return match (&field.kind, default.as_str()) {
                (_, "None") => format!("self.{name}.is_some()"),
                (Type::Struct(s), _) => format!("self.{name}.as_ref() != Some(&{s}::default())"),
                _ => format!("self.{name}.as_ref().is_none_or(|v| !v.is_empty())"),
            };
        }
        match (&field.kind, default.as_str()) {
            (Type::Bool, "false") => format!("self.{name}"),
            (Type::Bool, _) => format!("!self.{name}"),
            (Type::String | Type::Bytes | Type::Array(_), _) => format!("!self.{name}.is_empty()"),
            (_, default) => format!("self.{name} != {default}"),
        }
    }

    fn definition(&self, out: &mut String) {
        let top = self.structure.name == self.message.name;
        let v = self.versions();
        let versions =
            if v.lo == v.hi { format!("version {}", v.lo) } else { format!("versions {} to {}", v.lo, v.hi) };
        if top {
            writeln!(out, "\n/// Kafka's `{}`, {versions}.", self.structure.name).unwrap();
        } else {
            writeln!(out, "\n/// `{}` of [`{}`], {versions}.", self.structure.name, self.message.name)
                .unwrap();
        }
        let derive = if self.derives_default() { ", Default" } else { "" };
        writeln!(out, "#[derive(Clone, Debug, PartialEq{derive})]\npub struct {} {{", self.structure.name)
            .unwrap();
        for field in self.fields() {
            writeln!(
                out,
                "/// {}.\npub {}: {},",
                self.describe(field),
                names::field(&field.name),
                self.rust_type(field)
            )
            .unwrap();
        }
        if self.has_tags() {
            out.push_str("/// Tagged fields that this schema does not name, kept as they came.\npub unknown_tagged_fields: TaggedFields,\n");
        }
        out.push_str("}\n");
    }

    fn derives_default(&self) -> bool {
        self.fields().all(|f| self.default_value(f).1)
    }

    fn default(&self, out: &mut String) {
        if self.derives_default() {
            return;
        }
        let name = &self.structure.name;
        writeln!(out, "\nimpl Default for {name} {{\nfn default() -> {name} {{\n{name} {{").unwrap();
        for field in self.fields() {
            writeln!(out, "{}: {},", names::field(&field.name), self.default_value(field).0).unwrap();
        }
        if self.has_tags() {
            out.push_str("unknown_tagged_fields: TaggedFields::default(),\n");
        }
        out.push_str("}\n}\n}\n");
    }
}

/// A number as Rust writes it: hexadecimal stays, long decimals get their underscores.
fn integer(text: &str) -> String {
    if text.starts_with("0x") || text.trim_start_matches('-').len() < 6 {
        return text.to_owned();
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    format!("{sign}{out}")
}
