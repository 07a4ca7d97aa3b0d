//! A dead letter as a record: the payload stays raw, what happened is in the headers, so that any client reads it and
//! `millstream dlq replay` can send the payload again. The header names are a contract. Never enters: the producing.

use std::fmt;

use bytes::Bytes;
use millstream_types::Millis;

use crate::rate::PAYLOAD_MAX;

/// Why, as one word for counting: `malformed_json`, `bad_total`, …
pub const REASON: &str = "millstream.reason";
/// The error in full, for people.
pub const ERROR: &str = "millstream.error";
/// The id of the component where it failed.
pub const STEP: &str = "millstream.step";
/// The pipeline's name.
pub const PIPELINE: &str = "millstream.pipeline";
/// Where the record came from: `topic-partition@offset`, or `file:line`.
pub const ORIGIN: &str = "millstream.origin";
/// When it failed, in milliseconds since 1970.
pub const AT: &str = "millstream.at";
/// The payload's full length, where it was cut.
pub const CUT_FROM: &str = "millstream.cut_from";
/// What comes before the name of each header that the record itself had.
pub const ORIGINAL: &str = "original.";

/// Error texts are cut beyond this many bytes.
pub const ERROR_BYTES_MAX: usize = 4_096;

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A record of a topic.
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// The row within the record's rows, where it has many.
        row: Option<u32>,
    },
    /// A source's own words, such as `inbox/a.jsonl:17`.
    Source(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Record { topic, partition, offset, row: None } => {
                write!(f, "{topic}-{partition}@{offset}")
            }
            Origin::Record { topic, partition, offset, row: Some(row) } => {
                write!(f, "{topic}-{partition}@{offset}#{row}")
            }
            Origin::Source(text) => f.write_str(text),
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Origin {
        let record = || {
            let (place, rest) = text.rsplit_once('@')?;
            let (topic, partition) = place.rsplit_once('-')?;
            let (offset, row) = match rest.split_once('#') {
                Some((offset, row)) => (offset, Some(row.parse().ok()?)),
                None => (rest, None),
            };
            Some(Origin::Record {
                topic: topic.to_owned(),
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
                row,
            })
        };
        record().unwrap_or_else(|| Origin::Source(text.to_owned()))
    }
}

/// A record that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why, as one word.
    pub reason: String,
    /// The error in full; empty where the reason says it all.
    pub error: String,
    /// The component where it failed.
    pub step: String,
    /// The pipeline.
    pub pipeline: String,
    /// Where it came from.
    pub origin: Origin,
    /// When it failed.
    pub at_ms: Millis,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's bytes, as they came.
    pub payload: Bytes,
    /// The record's own headers.
    pub headers: Vec<(String, Bytes)>,
}

/// A record to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRecord {
    /// The record's own key.
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Bytes,
    /// What happened, then the record's own headers.
    pub headers: Vec<(String, Bytes)>,
}

/// Cuts text at a character's boundary.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
}

impl DeadLetter {
    /// As a record.
    pub fn to_record(&self) -> LetterRecord {
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let mut headers = vec![
            (REASON.to_owned(), text(cut(&self.reason, ERROR_BYTES_MAX))),
            (STEP.to_owned(), text(&self.step)),
            (PIPELINE.to_owned(), text(&self.pipeline)),
            (ORIGIN.to_owned(), text(&self.origin.to_string())),
            (AT.to_owned(), text(&self.at_ms.to_string())),
        ];
        if !self.error.is_empty() {
            headers.push((ERROR.to_owned(), text(cut(&self.error, ERROR_BYTES_MAX))));
        }
        let mut value = self.payload.clone();
        let max = PAYLOAD_MAX.0 as usize;
        if value.len() > max {
            headers.push((CUT_FROM.to_owned(), text(&value.len().to_string())));
            value.truncate(max);
        }
        headers.extend(self.headers.iter().map(|(name, value)| (format!("{ORIGINAL}{name}"), value.clone())));
        LetterRecord { key: self.key.clone(), value, headers }
    }

    /// From a record; `None` when it is no dead letter of ours. Unknown headers of ours are passed over.
    pub fn from_record(record: &LetterRecord) -> Option<DeadLetter> {
        let find = |name: &str| {
            let header = record.headers.iter().find(|header| header.0 == name);
            header.map(|header| String::from_utf8_lossy(&header.1).into_owned())
        };
        let own = record
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(ORIGINAL)?.to_owned(), value.clone())));
        Some(DeadLetter {
            reason: find(REASON)?,
            error: find(ERROR).unwrap_or_default(),
            step: find(STEP)?,
            pipeline: find(PIPELINE)?,
            origin: Origin::parse(&find(ORIGIN)?),
            at_ms: find(AT)?.parse().ok()?,
            key: record.key.clone(),
            payload: record.value.clone(),
            headers: own.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: Bytes, origin: Origin) -> DeadLetter {
        DeadLetter {
            reason: "malformed_json".into(),
            error: "expected `,` at byte 17".into(),
            step: "checked".into(),
            pipeline: "store-invoices".into(),
            origin,
            at_ms: 1_772_446_530_250,
            key: Some(Bytes::from_static(b"S017")),
            payload,
            headers: vec![("trace".into(), Bytes::from_static(b"\xff\x00")), ("trace".into(), Bytes::new())],
        }
    }

    #[test]
    fn a_letter_comes_back_from_its_record() {
        let origins = [
            Origin::Source("stores/S1/inbox/a.jsonl:17".into()),
            Origin::Source("http://x/y@2:1".into()),
            Origin::Record { topic: "a-b".into(), partition: 3, offset: 42, row: None },
            Origin::Record { topic: "a".into(), partition: 0, offset: 0, row: Some(7) },
        ];
        for origin in origins {
            // Cut inside a UTF-8 character: the payload is bytes, never text.
            let letter = letter(Bytes::from_static(b"{\"a\":\"\xc3"), origin);
            assert_eq!(DeadLetter::from_record(&letter.to_record()), Some(letter));
        }
        let plain = LetterRecord { key: None, value: Bytes::new(), headers: Vec::new() };
        assert_eq!(DeadLetter::from_record(&plain), None);
    }

    #[test]
    fn what_has_no_bound_is_cut_and_says_so() {
        let mut big = letter(Bytes::from(vec![b'x'; 1_000_000]), Origin::Source("a:1".into()));
        big.error = "é".repeat(10_000);
        let record = big.to_record();
        assert_eq!(record.value.len(), 900 << 10);
        let header = |name: &str| record.headers.iter().find(|header| header.0 == name).unwrap().1.clone();
        assert_eq!(header(CUT_FROM), "1000000");
        assert!(header(ERROR).len() <= ERROR_BYTES_MAX && std::str::from_utf8(&header(ERROR)).is_ok());
    }
}
