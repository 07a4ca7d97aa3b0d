//! The slow path, and the judge: `serde_json` reads the record's grammar and hands over the text of each declared
//! value, which the leaf rules turn into a row. It decides what the scanner gave up on, and words the refusals.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar;
use crate::column::Column;
use crate::object::Object;
use crate::{BadReason, BadRecord};

/// Reads a whole record into the columns of `root`. After an error the columns hold a part of it.
pub(super) fn record(root: &mut Object, text: &str) -> Result<(), BadRecord> {
    let Some(open) = text.find(|c: char| !matches!(c, ' ' | '\t' | '\n' | '\r')) else {
        return Err(BadRecord { why: BadReason::Syntax("an empty record".to_owned()), at: text.len() });
    };
    if !text[open..].starts_with('{') {
        // A wrong kind of value and something that is no JSON at all are told apart by the grammar.
        grammar(text, text)?;
        return Err(BadRecord {
            why: BadReason::Syntax("the record is not a JSON object".to_owned()),
            at: open,
        });
    }
    object(root, "", text, text)
}

/// Reads a text that is one value. After an error the column may hold a part of it.
pub(super) fn single(column: &mut Column, text: &str) -> Result<(), BadRecord> {
    grammar(text, text)?;
    match text.trim() {
        "null" => column.push_null(),
        trimmed => value(column, "value", trimmed, text)?,
    }
    Ok(())
}

/// Refuses text that is not one JSON value.
fn grammar(text: &str, record: &str) -> Result<(), BadRecord> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|e| syntax(&e, text, record))
}

fn syntax(error: &serde_json::Error, text: &str, record: &str) -> BadRecord {
    // serde_json counts lines from 1 and columns from 1 in bytes; 0 stands for the start of a line.
    let line = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let inside = if error.is_eof() { text.len() } else { line + error.column().saturating_sub(1) };
    let at = place(text, record) + inside;
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or("not JSON").to_owned();
    BadRecord { why: BadReason::Syntax(format!("not JSON: {what}")), at: at.min(record.len()) }
}

/// Where `part`, a slice of `record`, starts in it.
fn place(part: &str, record: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(record.as_ptr() as usize)
}

/// The texts of an object's declared fields, the last of equal keys; the first key that is not declared, with the text of its value,
/// where none may be.
struct Fields<'o>(&'o Object);

type Texts<'de> = (Vec<Option<&'de str>>, Option<(Cow<'de, str>, &'de str)>);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Texts<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut texts, mut unknown) = (vec![None; self.0.declared.len()], None);
        while let Some(Key(key)) = map.next_key()? {
            match self.0.declared.iter().position(|d| d.name.as_ref() == key.as_ref()) {
                Some(i) => texts[i] = Some(map.next_value::<&RawValue>()?.get()),
                None if self.0.frozen && unknown.is_none() => {
                    unknown = Some((key, map.next_value::<&RawValue>()?.get()));
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((texts, unknown))
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// The texts of a list's items.
struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            texts.push(raw.get());
        }
        Ok(texts)
    }
}

/// An object's declared fields; `path` is its own, empty at the record's root.
fn object(object: &mut Object, path: &str, text: &str, record: &str) -> Result<(), BadRecord> {
    let mut json = serde_json::Deserializer::from_str(text);
    let (texts, unknown) = Fields(object).deserialize(&mut json).map_err(|e| syntax(&e, text, record))?;
    json.end().map_err(|e| syntax(&e, text, record))?;
    if let Some((key, value)) = unknown {
        let field = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
        return Err(BadRecord { why: BadReason::Unknown(field), at: place(value, record) });
    }
    let end = place(text, record) + text.trim_end().len();
    for (declared, text) in object.declared.iter_mut().zip(texts) {
        match text {
            Some(text) if text != "null" => value(&mut declared.column, &declared.path, text, record)?,
            Some(text) if declared.required => {
                return Err(BadRecord {
                    why: BadReason::Missing(declared.path.to_string()),
                    at: place(text, record),
                });
            }
            None if declared.required => {
                return Err(BadRecord { why: BadReason::Missing(declared.path.to_string()), at: end });
            }
            _ => declared.column.push_null(),
        }
    }
    Ok(())
}

/// The text that an escaped body stands for.
fn plain(body: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    scalar::unescape(body.as_bytes(), &mut plain).map(|()| plain)
}

/// A value that is not null, into its column.
fn value(column: &mut Column, path: &str, text: &str, record: &str) -> Result<(), BadRecord> {
    let wrong = |column: &Column| BadRecord {
        why: BadReason::WrongType { field: path.to_owned(), expected: column.expected() },
        at: place(text, record),
    };
    // The grammar has been checked, so a first byte tells the kind of value, and a string ends in its quote.
    let body = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let done = match column {
        Column::Text(values) => body.and_then(|body| values.push_escaped(body.as_bytes())),
        Column::Bool(values) => match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
        .map(|v| values.push(v)),
        Column::Int32(values) => scalar::integer(text.as_bytes())
            .filter(|_| number)
            .and_then(|v| i32::try_from(v).ok())
            .map(|v| values.push(v)),
        Column::Int64(values) => scalar::integer(text.as_bytes()).filter(|_| number).map(|v| values.push(v)),
        Column::Float(values) => scalar::double(text).filter(|_| number).map(|v| values.push(v)),
        Column::Decimal { values, precision, scale } if number => {
            scalar::decimal(text.as_bytes(), *precision, *scale).map(|v| values.push(v))
        }
        Column::Instant(values) => match body {
            Some(body) => plain(body).and_then(|text| scalar::instant(&text)).map(|v| values.push(v)),
            None => scalar::integer(text.as_bytes())
                .filter(|v| number && millstream_model::time::in_range(*v))
                .map(|v| values.push(v)),
        },
        Column::Micros(values) => match body {
            Some(body) => plain(body).and_then(|text| scalar::instant_micros(&text)).map(|v| values.push(v)),
            None => scalar::integer(text.as_bytes())
                .filter(|v| number && scalar::micros_in_range(*v))
                .map(|v| values.push(v)),
        },
        Column::Date(values) => {
            body.and_then(plain).and_then(|text| scalar::date(&text)).map(|v| values.push(v))
        }
        Column::Bytes(values) => {
            body.and_then(plain).and_then(|text| scalar::base64(&text)).map(|v| values.push(&v))
        }
        Column::Struct { object: shape, rows, nulls, .. } if text.starts_with('{') => {
            object(shape, path, text, record)?;
            Column::struct_done(rows, nulls);
            Some(())
        }
        Column::List { item, item_nullable, items, ends, nulls, read, .. } if text.starts_with('[') => {
            let mut json = serde_json::Deserializer::from_str(text);
            let texts = json.deserialize_seq(Items).map_err(|e| syntax(&e, text, record))?;
            for text in texts {
                if text != "null" {
                    value(item, path, text, record)?;
                } else if *item_nullable {
                    item.push_null();
                } else {
                    let why = BadReason::Missing(path.to_owned());
                    return Err(BadRecord { why, at: place(text, record) });
                }
                *items += i32::from(*read);
            }
            if *read {
                Column::list_done(*items, ends, nulls);
            }
            Some(())
        }
        _ => None,
    };
    done.ok_or_else(|| wrong(column))
}
