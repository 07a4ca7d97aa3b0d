//! `decode` and `encode` of one structure. Owns which primitive of `millstream-wire`'s `Reader` and `Writer` a field
//! takes in each version, and which versions refuse it. Never enters: the types and their defaults.

use super::{Gen, When, scalar, text, when};
use crate::protocol::names;
use crate::protocol::table::{Field, Message, Type};
use std::fmt::Write;

/// The opposite of what [`when`] gives.
fn negated(condition: &str) -> String {
    for (word, opposite) in [(" == ", " != "), (" <= ", " > "), (" >= ", " < ")] {
        if condition.contains(word) {
            return condition.replace(word, opposite);
        }
    }
    format!("!{condition}")
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
    pub(super) fn codec(&self, out: &mut String) {
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
                // In a tagged field the mark is a varint, elsewhere a signed byte.
                let mark = if field.tag.is_some() { "tagged_is_present" } else { "is_present" };
                format!("if r.{mark}(\"{what}\")? {{ Some({name}::decode(r, version)?) }} else {{ None }}")
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
                let mark = if field.tag.is_some() { "tagged_presence" } else { "presence" };
                format!(
                    "{w}.{mark}(self.{name}.is_some());\nif let Some(v) = &self.{name} {{\nv.encode({w}, version)?;\n}}\n"
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
            Some(condition) => write!(
                out,
                "if {condition} {{\n{body}}} else if !self.unknown_tagged_fields.is_empty() {{\nreturn Err(EncodeError::absent(\"unknown_tagged_fields\", version));\n}}\n"
            )
            .unwrap(),
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

/// Whether this code uses its argument `version`, rather than a field or a text of that name.
fn names_version(code: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices("version").any(|(at, word)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = code[at + word.len()..].chars().next().unwrap_or(' ');
        !is_word(before) && !is_word(after) && before != '.' && before != '"'
    })
}
