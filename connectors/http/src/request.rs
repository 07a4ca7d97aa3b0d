//! A request's body as units: records that share one key and are committed together. Pure. With a key in the header the
//! whole request is one unit; else each record is one, named by its own fields where the config says which.

use bytes::Bytes;
use millstream_connector::hash::fnv128;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How a unit is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// By the header.
    Header(u128),
    /// By the record's own fields.
    Fields(u128),
    /// Not at all: asked again, it is new.
    None,
}

/// Records that are committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub key: Key,
    /// What tells its content from another.
    pub content: u128,
    /// The records.
    pub records: Vec<Bytes>,
}

/// Splits a body. `lines` says that each line is a record (NDJSON); lines without bytes give none.
pub fn units(body: &Bytes, lines: bool, header_key: Option<&[u8]>, id_fields: &[String]) -> Vec<Unit> {
    let records: Vec<Bytes> = if lines {
        let lines = body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty()).map(|line| body.slice_ref(line)).collect()
    } else if body.is_empty() {
        Vec::new()
    } else {
        vec![body.clone()]
    };
    if records.is_empty() {
        return Vec::new();
    }
    if let Some(key) = header_key {
        let key = Key::Header(fnv128(&[b"header:", key].concat()));
        return vec![Unit { key, content: fnv128(body), records }];
    }
    let unit = |record: Bytes| {
        let key = name(&record, id_fields).map_or(Key::None, Key::Fields);
        Unit { key, content: fnv128(&record), records: vec![record] }
    };
    records.into_iter().map(unit).collect()
}

/// The name of a record by its fields; `None` where one is missing, null or repeated, or the record is not an object.
fn name(record: &[u8], id_fields: &[String]) -> Option<u128> {
    if id_fields.is_empty() {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(record);
    let values = deserializer.deserialize_map(Fields(id_fields)).ok()?;
    deserializer.end().ok()?;
    let mut text = b"fields:".to_vec();
    for value in values {
        let value = value.filter(|value| value.get() != "null")?;
        text.extend(value.get().as_bytes());
        // No JSON value holds this byte, so that ("ab", "c") is not ("a", "bc").
        text.push(0);
    }
    Some(fnv128(&text))
}

/// Picks top-level fields as they are written.
struct Fields<'a>(&'a [String]);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<Option<Box<RawValue>>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values: Self::Value = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<String>()? {
            match self.0.iter().position(|field| *field == key) {
                Some(at) if values[at].is_some() => {
                    return Err(serde::de::Error::custom("a field that names the record is there twice"));
                }
                Some(at) => values[at] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(body: &str, lines: bool, header: Option<&str>, fields: &[&str]) -> Vec<(Key, usize)> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let units =
            units(&Bytes::copy_from_slice(body.as_bytes()), lines, header.map(str::as_bytes), &fields);
        units.iter().map(|unit| (unit.key, unit.records.len())).collect()
    }

    #[test]
    fn units_follow_header_and_fields() {
        assert_eq!(keys("", false, Some("k"), &[]), []);
        assert_eq!(keys("\n\r\n", true, None, &[]), []);
        assert_eq!(keys("{}\n{}", false, None, &[]), [(Key::None, 1)]);
        assert_eq!(keys("{}\n{}\r\n", true, None, &[]), [(Key::None, 1), (Key::None, 1)]);
        assert!(matches!(keys("{}\n{}\n", true, Some("k"), &["id"])[..], [(Key::Header(_), 2)]));
        let one = |body: &str, fields: &[&str]| keys(body, false, None, fields)[0].0;
        let a = one(r#"{"id":"A","store":"S"}"#, &["store", "id"]);
        assert!(matches!(a, Key::Fields(_)));
        assert_eq!(a, one(r#"{"x":{"id":"B"},"store":"S" , "id":"A"}"#, &["store", "id"]));
        assert_ne!(a, one(r#"{"id":"S","store":"A"}"#, &["store", "id"]));
        let unnamed = [
            "{\"id\":\"A\"}",
            "{\"id\":null,\"store\":1}",
            "{\"id\":1,\"id\":2,\"store\":1}",
            "[]",
            "{\"id\":",
            "{\"id\":1,\"store\":1}x",
            "\u{1}",
        ];
        for body in unnamed {
            assert_eq!(one(body, &["store", "id"]), Key::None, "{body}");
        }
        // A header and a field of the same text are two names.
        assert_ne!(keys("{\"id\":1}", false, Some("1"), &["id"]), keys("{\"id\":1}", false, None, &["id"]));
    }
}
