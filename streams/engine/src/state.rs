//! State outside of operators: the records of a stage's changelog, and which key groups are owned.
//!
//! A changelog record holds state rows of one operator and many key groups, each row tagged with its group, so that a
//! commit writes a record for each operator and changelog partition that changed, not for each key group. A key group
//! writes to the changelog partition of its number modulo their count. Within a partition, order is the order of
//! writing; that order, and committed reads, are all that a restore needs:
//! - `State`: rows to add to an operator's;
//! - `Watermarks`: the key groups' watermarks as of the commit; every window over by then has fired in it;
//! - `Fired`: how far one operator has fired where input has ended, beyond the watermarks (SM-5);
//! - `Reset`: what came before of this operator for these key groups is void; its full state follows in the same
//!   transaction, after which what lies before it may be deleted ([`snapshots`]).
//!
//! A snapshot that is kept outside of the changelog counts as such records at the offset that it covers ([`layers`]).
//!
//! This serves the `changelog` mode. What memory has no room for is in a [`scratch`] besides.

pub mod copy;
pub mod held;
pub mod layers;
pub mod scratch;
pub mod snapshots;

use bytes::Bytes;
use millstream_model::KeyGroup;
use millstream_model::key_group::KEY_GROUPS_MAX;

/// The most bytes that one record of a changelog or of an exchange may have: Kafka's default `message.max.bytes` is
/// 1 MiB, and a batch has headers.
pub const RECORD_BYTES_MAX: usize = 900 << 10;

/// The version of the record's frame; the first byte of each.
const VERSION: u8 = 1;

/// What a changelog record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangelogEntry {
    /// State rows of an operator, as an Arrow IPC stream.
    State {
        /// The operator's stable id.
        operator: String,
        /// Which of the streams that it joins they are of; 0 where it joins none.
        branch: u8,
        /// The rows.
        rows: Bytes,
    },
    /// Watermarks of key groups, raw.
    Watermarks {
        /// The source that they are of, where the stage reads several.
        source: Option<String>,
        /// The watermarks.
        pairs: Vec<(KeyGroup, i64)>,
    },
    /// How far an operator has fired at the end of input, in watermarks of a source, raw: for it they count beside the
    /// source's own, and for no other.
    Fired {
        /// The operator's stable id.
        operator: String,
        /// The source whose rows they are about, where the stage reads several.
        source: Option<String>,
        /// The watermarks.
        pairs: Vec<(KeyGroup, i64)>,
    },
    /// The state that an operator has for these key groups starts anew behind this record. What it has fired stays.
    Reset {
        /// The operator's stable id.
        operator: String,
        /// Its key groups.
        groups: Vec<KeyGroup>,
    },
}

/// A record for a stage's changelog topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangelogRecord {
    /// The changelog partition that it goes to.
    pub partition: u32,
    /// What it says.
    pub entry: ChangelogEntry,
    /// The key groups that its rows are of; none where it has no rows. Of rows that take several records, each names those of all.
    pub groups: Vec<KeyGroup>,
}

impl ChangelogEntry {
    /// The stable id of the operator that it is about; none of what is the whole stage's.
    pub fn operator(&self) -> Option<&str> {
        match self {
            ChangelogEntry::State { operator, .. }
            | ChangelogEntry::Fired { operator, .. }
            | ChangelogEntry::Reset { operator, .. } => Some(operator),
            ChangelogEntry::Watermarks { .. } => None,
        }
    }

    /// The record's value. Layout, little endian: version, kind (0 state, 1 watermarks, 2 reset, 3 watermarks of a
    /// source, 4 state of another stream than the first, 5 fired); then for state the id's length (u16), the id, the stream's
    /// number (u8) where it is not the first, the rows; for watermarks pairs of u32 and i64, behind the
    /// source's name as for an id where it is of one; for what has fired the id as for state, then the source's name likewise,
    /// empty where there is none, and pairs as for watermarks; for a reset the id as for state, u32s.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            ChangelogEntry::State { operator, branch, rows } => {
                out.push(if *branch == 0 { 0 } else { 4 });
                put_id(&mut out, operator);
                out.extend((*branch > 0).then_some(*branch));
                out.extend_from_slice(rows);
            }
            ChangelogEntry::Watermarks { source, pairs } => {
                match source {
                    None => out.push(1),
                    Some(source) => {
                        out.push(3);
                        put_id(&mut out, source);
                    }
                }
                put_pairs(&mut out, pairs);
            }
            ChangelogEntry::Fired { operator, source, pairs } => {
                out.push(5);
                put_id(&mut out, operator);
                put_id(&mut out, source.as_deref().unwrap_or_default());
                put_pairs(&mut out, pairs);
            }
            ChangelogEntry::Reset { operator, groups } => {
                out.push(2);
                put_id(&mut out, operator);
                for group in groups {
                    out.extend_from_slice(&group.0.to_le_bytes());
                }
            }
        }
        out.into()
    }

    /// Reads a record's value. The error says what is wrong with it.
    pub fn decode(value: &Bytes) -> Result<ChangelogEntry, String> {
        let [version, kind, rest @ ..] = value.as_ref() else {
            return Err(format!("a changelog record of {} bytes is too short", value.len()));
        };
        if *version != VERSION {
            return Err(format!("a changelog record of version {version}; this build reads {VERSION}"));
        }
        match kind {
            0 => {
                let (operator, rows) = take_id(rest)?;
                Ok(ChangelogEntry::State { operator, branch: 0, rows: value.slice_ref(rows) })
            }
            4 => {
                let (operator, rest) = take_id(rest)?;
                let (branch, rows) =
                    rest.split_first().ok_or("state rows that do not say of which stream")?;
                Ok(ChangelogEntry::State { operator, branch: *branch, rows: value.slice_ref(rows) })
            }
            1 | 3 => {
                let (source, rest) = match kind {
                    1 => (None, rest),
                    _ => take_id(rest).map(|(source, rest)| (Some(source), rest))?,
                };
                Ok(ChangelogEntry::Watermarks { source, pairs: take_pairs(rest)? })
            }
            5 => {
                let (operator, rest) = take_id(rest)?;
                let (source, rest) = take_id(rest)?;
                let source = Some(source).filter(|name| !name.is_empty());
                Ok(ChangelogEntry::Fired { operator, source, pairs: take_pairs(rest)? })
            }
            2 => {
                let (operator, rest) = take_id(rest)?;
                if rest.len() % 4 != 0 {
                    return Err(format!("a reset of {operator} whose key groups have {} bytes", rest.len()));
                }
                let groups = rest.chunks_exact(4).map(|c| KeyGroup(number(c))).collect();
                Ok(ChangelogEntry::Reset { operator, groups })
            }
            kind => Err(format!("a changelog record of kind {kind} and {} bytes", value.len())),
        }
    }
}

/// The first four bytes.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

fn put_pairs(out: &mut Vec<u8>, pairs: &[(KeyGroup, i64)]) {
    for (group, watermark) in pairs {
        out.extend_from_slice(&group.0.to_le_bytes());
        out.extend_from_slice(&watermark.to_le_bytes());
    }
}

/// Watermarks of key groups.
fn take_pairs(bytes: &[u8]) -> Result<Vec<(KeyGroup, i64)>, String> {
    if !bytes.len().is_multiple_of(12) {
        return Err(format!("watermarks of {} bytes, which is no number of pairs", bytes.len()));
    }
    let pair = |c: &[u8]| {
        let watermark = i64::from_le_bytes(c[4..].try_into().expect("eight bytes"));
        (KeyGroup(number(c)), watermark)
    };
    Ok(bytes.chunks_exact(12).map(pair).collect())
}

fn put_id(out: &mut Vec<u8>, operator: &str) {
    let len = u16::try_from(operator.len()).expect("an operator id is at most 65,535 bytes");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(operator.as_bytes());
}

/// An operator's id, and what follows it.
fn take_id(bytes: &[u8]) -> Result<(String, &[u8]), String> {
    let (len, rest) = bytes.split_first_chunk::<2>().ok_or("a changelog record without operator id")?;
    let (id, rest) = rest
        .split_at_checked(usize::from(u16::from_le_bytes(*len)))
        .ok_or("a changelog record whose operator id is cut off")?;
    let id = std::str::from_utf8(id).map_err(|_| "an operator id that is not UTF-8")?;
    Ok((id.to_owned(), rest))
}

/// A set of key groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owned(Vec<bool>);

impl Owned {
    pub(crate) fn add(&mut self, group: KeyGroup) {
        assert!(group.0 < KEY_GROUPS_MAX, "key group {group}: the bound is {KEY_GROUPS_MAX}");
        if self.0.len() <= group.0 as usize {
            self.0.resize(group.0 as usize + 1, false);
        }
        self.0[group.0 as usize] = true;
    }

    pub(crate) fn has(&self, group: u32) -> bool {
        self.0.get(group as usize).copied().unwrap_or(false)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        self.0.iter().enumerate().filter(|(_, owned)| **owned).map(|(group, _)| KeyGroup(group as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_from_their_bytes() {
        for entry in [
            ChangelogEntry::State {
                operator: "unique-1".into(),
                branch: 0,
                rows: Bytes::from_static(b"rows"),
            },
            ChangelogEntry::State {
                operator: "joined-1".into(),
                branch: 2,
                rows: Bytes::from_static(b"rows"),
            },
            ChangelogEntry::Watermarks {
                source: None,
                pairs: vec![(KeyGroup(3), i64::MIN), (KeyGroup(599), 17)],
            },
            ChangelogEntry::Watermarks { source: Some("sales".into()), pairs: vec![(KeyGroup(3), 5)] },
            ChangelogEntry::Fired {
                operator: "sums-1".into(),
                source: None,
                pairs: vec![(KeyGroup(3), 7), (KeyGroup(4), -7)],
            },
            ChangelogEntry::Fired {
                operator: "joined-1".into(),
                source: Some("stage/sales".into()),
                pairs: Vec::new(),
            },
            ChangelogEntry::Reset { operator: "unique-1".into(), groups: vec![KeyGroup(0), KeyGroup(16)] },
        ] {
            assert_eq!(ChangelogEntry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        for bad in [
            &b""[..],
            b"\x01",
            b"\x02\x00",
            b"\x01\x09",
            b"\x01\x00\x05\x00abc",
            b"\x01\x01abc",
            b"\x01\x03\x01\x00aabc",
            b"\x01\x02abc",
            b"\x01\x04\x01\x00a",
            b"\x01\x02\x01\x00a\x00",
            b"\x01\x05\x01\x00a\x01\x00",
            b"\x01\x05\x01\x00a\x00\x00\x00",
        ] {
            assert!(ChangelogEntry::decode(&Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
        }
    }
}
