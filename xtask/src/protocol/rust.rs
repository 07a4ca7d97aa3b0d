//! One message's structures as Rust: the types, their defaults, `decode` and `encode`. Owns what a field's facts
//! mean in each version. Never enters: which file the text goes to, and the primitives that it calls
//! (`millstream-wire`'s `Reader` and `Writer`).

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

/// The opposite of what [`when`] gives.
fn negated(condition: &str) -> String {
    for (word, opposite) in [(" == ", " != "), (" <= ", " > "), (" >= ", " < ")] {
        if condition.contains(word) {
            return condition.replace(word, opposite);
        }
    }
    format!("!{condition}")
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

/// The fewest bytes that a value of this type takes in this version.
fn min_size(message: &Message, kind: &Type, version: i16, flexible: bool) -> usize {
    if let Some((_, _, size)) = scalar(kind) {
        return size;
    }
    match kind {
        Type::String => {
            if flexible {
                1
            } else {
                2
            }
        }
        Type::Struct(name) => {
            let mut size = usize::from(message.flexible.contains(version));
            for field in &message.structure(name).fields {
                if field.tag.is_none() && field.versions.contains(version) {
                    let flexible = flexible && !field.never_flexible;
                    size += match &field.kind {
                        Type::Struct(_) if field.nullable.contains(version) => 1,
                        kind => min_size(message, kind, version, flexible),
                    };
                }
            }
            size
        }
        _ => {
            if flexible {
                1
            } else {
                4
            }
        }
    }
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

    fn codec(&self, out: &mut String) {
        let top = self.structure.name == self.message.name;
        let name = &self.structure.name;
        let (mut decode, mut encode) = (String::new(), String::new());
        if top {
            let v = self.message.versions;
            let check = format!("(\"{name}\", version, {}, {})?;\n", v.lo, v.hi);
            write!(decode, "crate::error::check_decode_version{check}").unwrap();
            write!(encode, "crate::error::check_encode_version{check}").unwrap();
        }
        let flexible = when(self.message.flexible, self.versions());
        let mut body = String::new();
        for field in self.fields().filter(|f| f.tag.is_none()) {
            self.decode_field(field, &mut body);
        }
        self.decode_tags(&mut body);
        let mut writes = String::new();
        for field in self.fields().filter(|f| f.tag.is_none()) {
            self.encode_field(field, &mut writes);
        }
        self.encode_tags(&mut writes);
        if let When::If(condition) = &flexible {
            let line = format!("let flexible = {condition};\n");
            if body.contains("flexible") {
                decode.push_str(&line);
            }
            if writes.contains("flexible") {
                encode.push_str(&line);
            }
        }
        if body.is_empty() {
            writeln!(decode, "Ok({name}::default())").unwrap();
        } else {
            writeln!(decode, "let mut m = {name}::default();\n{body}Ok(m)").unwrap();
        }
        encode.push_str(&writes);
        encode.push_str("Ok(())\n");
        let r = if decode.contains("r.") || decode.contains("(r,") { "r" } else { "_r" };
        let w = if encode.contains("w.") || encode.contains("(w,") { "w" } else { "_w" };
        let argument = |body: &str| if names_version(body) { "version" } else { "_version" };
        writeln!(
            out,
            "\nimpl {name} {{\n/// Reads it in the form of `version`.\npub fn decode({r}: &mut Reader, {}: i16) -> Result<{name}, DecodeError> {{\n{decode}}}\n",
            argument(&decode)
        )
        .unwrap();
        writeln!(
            out,
            "/// Writes it in the form of `version`.\npub fn encode(&self, {w}: &mut Writer, {}: i16) -> Result<(), EncodeError> {{\n{encode}}}\n}}",
            argument(&encode)
        )
        .unwrap();
    }

    /// The argument that says whether lengths are compact.
    fn flexible(&self, field: &Field) -> String {
        if field.never_flexible {
            return "false".to_owned();
        }
        match when(self.message.flexible, self.versions()) {
            When::If(_) => match when(self.message.flexible, self.asked(field)) {
                When::If(_) => "flexible".to_owned(),
                fixed => text(fixed),
            },
            fixed => text(fixed),
        }
    }

    fn decode_field(&self, field: &Field, out: &mut String) {
        let name = names::field(&field.name);
        let value = self.decode_value(field);
        match when(self.asked(field), self.versions()) {
            When::Always => writeln!(out, "m.{name} = {value};").unwrap(),
            When::Never => {}
            When::If(condition) => writeln!(out, "if {condition} {{\nm.{name} = {value};\n}}").unwrap(),
        }
    }

    fn decode_value(&self, field: &Field) -> String {
        let what = names::snake(&field.name);
        let flexible = self.flexible(field);
        let nullable = self.is_nullable(field);
        let null_here = text(when(field.nullable, self.asked(field)));
        if let Some((_, method, _)) = scalar(&field.kind) {
            return format!("r.{method}(\"{what}\")?");
        }
        match &field.kind {
            Type::Records => format!("r.records({flexible}, {null_here}, \"{what}\")?"),
            Type::String | Type::Bytes => {
                let method = if field.kind == Type::String { "string" } else { "bytes" };
                if nullable {
                    format!("r.nullable_{method}({flexible}, {null_here}, \"{what}\")?")
                } else {
                    format!("r.{method}({flexible}, \"{what}\")?")
                }
            }
            Type::Struct(name) if nullable => {
                assert_eq!(
                    null_here, "true",
                    "{}: a structure that is nullable in some versions only",
                    field.name
                );
                format!(
                    "if r.is_present(\"{what}\")? {{ Some({name}::decode(r, version)?) }} else {{ None }}"
                )
            }
            Type::Struct(name) => format!("{name}::decode(r, version)?"),
            Type::Array(element) => {
                let asked = self.asked(field);
                let min = (asked.lo..=asked.hi)
                    .map(|v| {
                        let flexible = self.message.flexible.contains(v) && !field.never_flexible;
                        min_size(self.message, element, v, flexible)
                    })
                    .min()
                    .unwrap_or(1)
                    .max(1);
                let (version, read) = match (&**element, scalar(element)) {
                    (_, Some((_, method, _))) => ("0".to_owned(), format!("|r, _| r.{method}(\"{what}\")")),
                    (Type::Struct(name), _) => ("version".to_owned(), format!("{name}::decode")),
                    (Type::String, _) => match flexible.as_str() {
                        "true" | "false" => {
                            ("0".to_owned(), format!("|r, _| r.string({flexible}, \"{what}\")"))
                        }
                        _ => {
                            ("i16::from(flexible)".to_owned(), format!("|r, f| r.string(f != 0, \"{what}\")"))
                        }
                    },
                    (other, _) => panic!("{}: an array of {other:?}", field.name),
                };
                if nullable {
                    format!(
                        "r.nullable_array({flexible}, {null_here}, {min}, \"{what}\", {version}, {read})?"
                    )
                } else {
                    format!("r.array({flexible}, {min}, \"{what}\", {version}, {read})?")
                }
            }
            _ => unreachable!("every other type is a scalar"),
        }
    }

    fn decode_tags(&self, out: &mut String) {
        let condition = match when(self.message.flexible, self.versions()) {
            When::Never => return,
            When::Always => None,
            When::If(_) => Some("flexible"),
        };
        let mut body = String::new();
        let tagged = self.tagged();
        if tagged.is_empty() {
            body.push_str("m.unknown_tagged_fields = r.unknown_tagged_fields()?;\n");
        } else {
            body.push_str("m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {\nmatch tag {\n");
            for field in tagged {
                let guard = match when(self.asked(field), self.message.flexible.and(self.versions())) {
                    When::If(condition) => format!(" if {condition}"),
                    _ => String::new(),
                };
                let (tag, name, value) =
                    (field.tag.unwrap(), names::field(&field.name), self.decode_value(field));
                writeln!(body, "{tag}{guard} => m.{name} = {value},").unwrap();
            }
            body.push_str("_ => return Ok(false),\n}\nOk(true)\n})?;\n");
        }
        match condition {
            Some(condition) => write!(out, "if {condition} {{\n{body}}}\n").unwrap(),
            None => out.push_str(&body),
        }
    }

    fn encode_field(&self, field: &Field, out: &mut String) {
        let value = self.encode_value(field, "w");
        match when(self.asked(field), self.versions()) {
            When::Always => out.push_str(&value),
            When::Never => {}
            When::If(condition) => {
                write!(out, "if {condition} {{\n{value}}}").unwrap();
                if !field.ignorable {
                    write!(
                        out,
                        " else if {} {{\nreturn Err(EncodeError::absent(\"{}\", version));\n}}",
                        self.is_set(field),
                        names::snake(&field.name)
                    )
                    .unwrap();
                }
                out.push('\n');
            }
        }
    }

    fn encode_value(&self, field: &Field, w: &str) -> String {
        let name = names::field(&field.name);
        let what = names::snake(&field.name);
        let flexible = self.flexible(field);
        let nullable = self.is_nullable(field);
        let null_here = text(when(field.nullable, self.asked(field)));
        if let Some((_, method, _)) = scalar(&field.kind) {
            return format!("{w}.{method}(self.{name});\n");
        }
        match &field.kind {
            Type::Records => {
                format!("{w}.records({flexible}, self.{name}.as_ref(), {null_here}, \"{what}\")?;\n")
            }
            Type::String if nullable => format!(
                "{w}.nullable_string({flexible}, self.{name}.as_deref(), {null_here}, \"{what}\")?;\n"
            ),
            Type::Bytes if nullable => {
                format!("{w}.nullable_bytes({flexible}, self.{name}.as_ref(), {null_here}, \"{what}\")?;\n")
            }
            Type::String => format!("{w}.string({flexible}, &self.{name}, \"{what}\")?;\n"),
            Type::Bytes => format!("{w}.bytes({flexible}, &self.{name}, \"{what}\")?;\n"),
            Type::Struct(_) if nullable => {
                format!(
                    "{w}.presence(self.{name}.is_some());\nif let Some(v) = &self.{name} {{\nv.encode({w}, version)?;\n}}\n"
                )
            }
            Type::Struct(_) => format!("self.{name}.encode({w}, version)?;\n"),
            Type::Array(element) => {
                let each = match (&**element, scalar(element)) {
                    (_, Some((_, method, _))) => format!("{w}.{method}(*v);"),
                    (Type::String, _) => format!("{w}.string({flexible}, v, \"{what}\")?;"),
                    _ => format!("v.encode({w}, version)?;"),
                };
                if nullable {
                    format!(
                        "{w}.nullable_array_len({flexible}, self.{name}.as_ref().map(Vec::len), {null_here}, \"{what}\")?;\nfor v in self.{name}.iter().flatten() {{\n{each}\n}}\n"
                    )
                } else {
                    format!(
                        "{w}.array_len({flexible}, self.{name}.len(), \"{what}\")?;\nfor v in &self.{name} {{\n{each}\n}}\n"
                    )
                }
            }
            _ => unreachable!("every other type is a scalar"),
        }
    }

    fn encode_tags(&self, out: &mut String) {
        let condition = match when(self.message.flexible, self.versions()) {
            When::Never => return,
            When::Always => None,
            When::If(_) => Some("flexible"),
        };
        let mut body = String::new();
        let tagged = self.tagged();
        if tagged.is_empty() {
            body.push_str("w.unknown_tagged_fields(&self.unknown_tagged_fields)?;\n");
        } else {
            body.push_str("let mut tags = crate::tagged::TagSet::new();\n");
            for field in &tagged {
                let set = self.is_set(field);
                let condition = match when(self.asked(field), self.message.flexible.and(self.versions())) {
                    When::If(condition) => format!("{condition} && {set}"),
                    _ => set,
                };
                let value = self.encode_value(field, "w");
                writeln!(
                    body,
                    "if {condition} {{\ntags.add({}, |w| {{\n{value}Ok(())\n}})?;\n}}",
                    field.tag.unwrap()
                )
                .unwrap();
            }
            body.push_str("w.tagged_fields(tags, &self.unknown_tagged_fields)?;\n");
        }
        match condition {
            Some(condition) => write!(out, "if {condition} {{\n{body}}}\n").unwrap(),
            None => out.push_str(&body),
        }
        for field in tagged.iter().filter(|f| !f.ignorable) {
            let absent = match when(self.asked(field), self.versions()) {
                When::Always => continue,
                When::Never => "true".to_owned(),
                When::If(condition) => negated(&condition),
            };
            writeln!(
                out,
                "if {absent} && {} {{\nreturn Err(EncodeError::absent(\"{}\", version));\n}}",
                self.is_set(field),
                names::snake(&field.name)
            )
            .unwrap();
        }
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

/// Whether this code uses its argument `version`, rather than a field or a text of that name.
fn names_version(code: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices("version").any(|(at, word)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = code[at + word.len()..].chars().next().unwrap_or(' ');
        !is_word(before) && !is_word(after) && before != '.' && before != '"'
    })
}
