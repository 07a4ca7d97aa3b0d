//! Records of `__consumer_offsets`: Kafka's own, and one of ours beside them, the baseline, whose type is far from
//! any that Kafka gives out. Never enters: what a record does to a group.

use bytes::Bytes;
use millstream_types::Uuid;
use millstream_wire::record::group::{GroupKey, GroupValue};
use millstream_wire::{DecodeError, Reader, Writer};

use crate::baseline::Baseline;

/// The key type of a baseline record.
pub const BASELINE_TYPE: i16 = 10_001;
const BASELINE_VERSION: i16 = 0;

/// A record, decoded.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Entry {
    /// One of Kafka's.
    Kafka(GroupKey, Option<GroupValue>),
    /// A group's baseline; `None` forgets it.
    Baseline(String, Option<Baseline>),
}

impl Entry {
    /// Key and value as they stand in the log.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Entry::Kafka(key, value) => {
                let key = key.encode().unwrap_or_else(|e| panic!("a group's own key cannot be written: {e}"));
                let value = value.as_ref().map(|value| {
                    let version = match value {
                        // The one version that holds an expiry of the client's choice, as Kafka writes it.
                        GroupValue::OffsetCommit(v) if v.expire_timestamp >= 0 => 1,
                        value => value.max_version(),
                    };
                    let written = value.encode(version);
                    written.unwrap_or_else(|e| panic!("a group's own record cannot be written: {e}"))
                });
                (key, value)
            }
            Entry::Baseline(group, baseline) => (baseline_key(group), baseline.as_ref().map(baseline_value)),
        }
    }

    /// Reads a record; an unknown type or a value that does not decode is an error, which a load passes over and
    /// counts, as Kafka does with types from a newer version.
    pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Entry, DecodeError> {
        if key.first_chunk() == Some(&BASELINE_TYPE.to_be_bytes()) {
            let mut r = Reader::new(key);
            r.i16("type")?;
            let group = r.string(true, "group")?;
            let baseline = value.map(read_baseline).transpose()?;
            return Ok(Entry::Baseline(group, baseline));
        }
        let key = GroupKey::decode(key)?;
        let value = value.map(|value| GroupValue::decode(key.record_type(), value)).transpose()?;
        Ok(Entry::Kafka(key, value))
    }
}

fn finish(w: Writer) -> Bytes {
    w.into_bytes().unwrap_or_else(|e| panic!("a baseline record holds no file ranges: {e}"))
}

fn baseline_key(group: &str) -> Bytes {
    let mut w = Writer::new();
    w.i16(BASELINE_TYPE);
    let _ = w.string(true, group, "group");
    finish(w)
}

fn baseline_value(baseline: &Baseline) -> Bytes {
    let mut w = Writer::new();
    w.i16(BASELINE_VERSION);
    let _ = w.array_len(true, baseline.names.len(), "names");
    for name in &baseline.names {
        let _ = w.string(true, name, "name");
    }
    let _ = w.array_len(true, baseline.patterns.len(), "patterns");
    for pattern in &baseline.patterns {
        let _ = w.string(true, pattern, "pattern");
    }
    let _ = w.array_len(true, baseline.partitions.len(), "partitions");
    for (topic, partitions) in &baseline.partitions {
        w.uuid(*topic);
        w.i32(*partitions);
    }
    finish(w)
}

fn read_baseline(value: Bytes) -> Result<Baseline, DecodeError> {
    let mut r = Reader::new(value);
    r.i16("version")?;
    let names = r.array(true, 1, "names", 0, |r, _| r.string(true, "name"))?;
    let patterns = r.array(true, 1, "patterns", 0, |r, _| r.string(true, "pattern"))?;
    let partitions: Vec<(Uuid, i32)> =
        r.array(true, 20, "partitions", 0, |r, _| Ok((r.uuid("topic")?, r.i32("partitions")?)))?;
    Ok(Baseline {
        names: names.into_iter().collect(),
        patterns: patterns.into_iter().collect(),
        partitions: partitions.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_comes_back() {
        let baseline = Baseline {
            names: ["a".to_owned(), "b".to_owned()].into(),
            patterns: ["a.*".to_owned()].into(),
            partitions: [(Uuid([7; 16]), 600), (Uuid([8; 16]), 0)].into(),
        };
        for baseline in [Some(baseline), None] {
            let entry = Entry::Baseline("group".to_owned(), baseline);
            let (key, value) = entry.encode();
            assert_eq!(Entry::decode(key, value), Ok(entry));
        }
        assert!(Entry::decode(Bytes::from_static(&[0x55, 0x55]), None).is_err());
        assert!(Entry::decode(Bytes::new(), None).is_err());
    }
}
