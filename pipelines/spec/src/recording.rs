//! A recording: the records of a topic as lines of JSON, one each, with all that the topic holds of them. `millstream
//! record` writes it, a test's `{ recording: … }` is replayed from it. Owns the form of a line, what is refused, and the
//! order of a replay.
//!
//! ```text
//! {"topic":"t","partition":0,"offset":42,"timestamp":1772446530250,"key":"k","value":{"base64":"AP8="},"headers":[["h",null]]}
//! ```
//! Bytes are a string where they are UTF-8, else `{"base64": …}`; `{"hex": …}`, which `consume --format json` writes, is
//! read too. Never enters: files, topics; nothing in a recording is interpolated, `${…}` is text there. No text makes it
//! panic.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::ast::Recording;
use crate::code;
use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostic};
use crate::span::{SourceId, Span, Spanned};

/// The largest file of a recording, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// The greatest number of a partition that a recording may name.
const PARTITION_MAX: i32 = 1 << 20;

/// A record as its topic held it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The topic, for who reads the file; a replay goes by where the file is named.
    #[serde(default)]
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970; -1 for none.
    pub timestamp: i64,
    /// Its key.
    #[serde(default)]
    pub key: Option<Bytes>,
    /// Its value; nothing for a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in their order.
    #[serde(default)]
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Bytes of a record.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, {\"base64\": …} or {\"hex\": …}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
                let entry: Option<(String, String)> = map.next_entry()?;
                let entry = entry.as_ref().map(|(form, text)| (form.as_str(), text.as_str()));
                let bytes = match entry {
                    Some(("base64", text)) => {
                        STANDARD.decode(text).map_err(|error| A::Error::custom(format!("base64: {error}")))?
                    }
                    Some(("hex", text)) => hex(text).ok_or_else(|| {
                        A::Error::custom("hex: an even number of the digits 0 to 9 and a to f is wanted")
                    })?,
                    Some((other, _)) => return Err(A::Error::unknown_field(other, &["base64", "hex"])),
                    None => return Err(A::Error::missing_field("base64")),
                };
                match map.next_key::<String>()? {
                    None => Ok(Bytes(bytes)),
                    Some(_) => Err(A::Error::custom("bytes have one form, base64 or hex")),
                }
            }
        }
        from.deserialize_any(Form)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    let whole = digits.len() % 2 == 0;
    whole.then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

impl Record {
    /// The record as a line, without the line break.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a record is plain data")
    }

    fn fault(&self) -> Option<String> {
        let Record { partition, offset, timestamp, .. } = self;
        match (partition, offset, timestamp) {
            (partition, _, _) if !(0..PARTITION_MAX).contains(partition) => {
                Some(format!("the partition is {partition}; partitions are 0 to {}", PARTITION_MAX - 1))
            }
            (_, offset, _) if *offset < 0 => Some(format!("the offset is {offset}; offsets start at 0")),
            (_, _, time) if *time < -1 => {
                Some(format!("the timestamp is {time}; it is milliseconds since 1970, or -1 for none"))
            }
            _ => None,
        }
    }
}

/// Reads a recording, `source` in the map of texts. Every line that cannot be replayed is told, up to a bound.
pub fn parse(source: SourceId, text: &str) -> (Vec<Spanned<Record>>, Vec<Diagnostic>) {
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<(i32, i64), Span> = BTreeMap::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let begin = start;
        start += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() {
            continue;
        }
        if faults.len() >= DIAGNOSTICS_MAX {
            break;
        }
        let span = |from: usize, to: usize| Span::new(source, from as u32, to as u32);
        let whole = span(begin, begin + line.len());
        let record = match serde_json::from_str::<Record>(line) {
            Ok(record) => record,
            Err(error) => {
                faults.push(bad_line(&error, line, begin, whole));
                continue;
            }
        };
        if let Some(message) = record.fault() {
            faults.push(Diagnostic::new(&code::TEST_RECORDING, whole, message));
            continue;
        }
        if let Some(first) = seen.insert((record.partition, record.offset), whole) {
            let message = format!(
                "the record at partition {}, offset {} is in the recording twice",
                record.partition, record.offset
            );
            faults.push(
                Diagnostic::new(&code::TEST_RECORDING, whole, message)
                    .related(first, "the other")
                    .help("leave one of them out, or give it an offset of its own"),
            );
            continue;
        }
        records.push(Spanned::new(record, whole));
    }
    (records, faults)
}

/// Points at the place in the line that the reader of JSON stopped at.
fn bad_line(error: &serde_json::Error, line: &str, begin: usize, whole: Span) -> Diagnostic {
    let text = error.to_string();
    // The line and column are said by the place.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let mut at = error.column().saturating_sub(1).min(line.len());
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    let place = Span::new(whole.source, (begin + at) as u32, whole.end);
    let message = format!("the line is not a record: {text}");
    let help = "a line is an object with partition, offset, timestamp, key, value and headers, as `millstream record` writes it";
    Diagnostic::new(&code::TEST_RECORDING, place, message).help(help)
}

/// The records that are replayed, in their order: by timestamp, those of one time by partition and offset. A partition's
/// own order is kept in any case: a record whose timestamp is before that of an earlier one of its partition comes behind
/// it, as it did. `from` and `to` go by the record's own timestamp; `limit` counts what is left.
pub fn replayed(mut records: Vec<Spanned<Record>>, said: &Recording) -> Vec<Spanned<Record>> {
    records.sort_by_key(|record| (record.partition, record.offset));
    let mut reached: BTreeMap<i32, i64> = BTreeMap::new();
    let mut ordered: Vec<(i64, Spanned<Record>)> = Vec::with_capacity(records.len());
    for record in records {
        let reached = reached.entry(record.partition).or_insert(i64::MIN);
        *reached = record.timestamp.max(*reached);
        ordered.push((*reached, record));
    }
    // Stable: those of one time stay by partition and offset.
    ordered.sort_by_key(|(time, _)| *time);
    let within = |record: &Record| {
        said.from_ms.is_none_or(|from| record.timestamp >= from)
            && said.to_ms.is_none_or(|to| record.timestamp < to)
    };
    let limit = said.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    ordered.into_iter().map(|(_, record)| record).filter(|record| within(record)).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64, timestamp: i64) -> Record {
        Record { partition, offset, timestamp, ..empty() }
    }

    fn empty() -> Record {
        Record {
            topic: "t".to_owned(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_record_comes_back_from_its_line() {
        let bytes = |bytes: &[u8]| Some(Bytes(bytes.to_vec()));
        let all = Record {
            key: bytes(b"k\"\n\xe2\x82\xac"),
            value: bytes(b"\x00\xff"),
            headers: vec![(Bytes(b"h".to_vec()), bytes(b"")), (Bytes(b"\xfe".to_vec()), None)],
            ..record(3, 42, -1)
        };
        let line = r#"{"topic":"t","partition":3,"offset":42,"timestamp":-1,"key":"k\"\n€","value":{"base64":"AP8="},"headers":[["h",""],[{"base64":"/g=="},null]]}"#;
        assert_eq!(all.to_line(), line);
        let text = format!("{}\n\r\n{line}\r\n", empty().to_line());
        let (found, faults) = parse(SourceId(1), &text);
        let values: Vec<Record> = found.iter().map(|record| record.value.clone()).collect();
        assert_eq!((values, faults), (vec![empty(), all], Vec::new()));
        assert_eq!(&text[found[1].span.start as usize..found[1].span.end as usize], line);
        // As `consume --format json` writes bytes, and what may be left out.
        let short = r#"{"partition":0,"offset":0,"timestamp":0,"value":{"hex":"61fF"}}"#;
        let (found, faults) = parse(SourceId(1), short);
        assert_eq!((found[0].value.value.clone(), faults), (bytes(b"a\xff"), Vec::new()));
    }

    #[test]
    fn a_replay_goes_by_time_and_keeps_each_partition_in_order() {
        // Partition, offset, timestamp; 1@2 lies before 1@1 in time and comes behind it all the same.
        let given = [(1, 2, 10), (1, 1, 30), (0, 7, 30), (0, 8, 31), (1, 3, 31), (0, 6, 5), (2, 0, -1)];
        let order = |said: Recording| -> Vec<(i32, i64)> {
            let records = given.map(|(p, o, t)| Spanned::new(record(p, o, t), Span::default()));
            replayed(records.into(), &said).iter().map(|r| (r.partition, r.offset)).collect()
        };
        let said = |from_ms, to_ms, limit| Recording {
            path: Spanned::new(String::new(), Span::default()),
            from_ms,
            to_ms,
            limit,
        };
        assert_eq!(order(said(None, None, None)), [(2, 0), (0, 6), (0, 7), (1, 1), (1, 2), (0, 8), (1, 3)]);
        assert_eq!(order(said(Some(30), Some(31), None)), [(0, 7), (1, 1)]);
        assert_eq!(order(said(Some(6), None, Some(3))), [(0, 7), (1, 1), (1, 2)]);
    }
}
