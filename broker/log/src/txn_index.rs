//! The index of aborted transactions: 34-byte entries (version i16 = 0, producer id, first offset, last offset, last
//! stable offset), one for each abort marker in the segment, in the order of the markers. Few by nature, so a segment's
//! entries are held in memory once needed. Never enters: transactions that are open (`producer_state.rs`).

use millstream_types::{Offset, ProducerId};

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;

/// An aborted transaction's part in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTxn {
    /// Its first offset here.
    pub first_offset: Offset,
    /// Its producer.
    pub producer_id: ProducerId,
    /// The offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset once the marker was written: no later entry aborts anything before it.
    pub last_stable_offset: Offset,
}

/// The bytes of an index file with these entries.
pub fn encode(entries: &[AbortedTxn]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend(VERSION.to_be_bytes());
        for field in [entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset] {
            bytes.extend(field.to_be_bytes());
        }
    }
    bytes
}

/// The entries of an index file, or `None` where it is damaged.
pub fn decode(bytes: &[u8]) -> Option<Vec<AbortedTxn>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let mut entries: Vec<AbortedTxn> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    for chunk in bytes.as_chunks::<ENTRY_BYTES>().0 {
        let (version, fields) = chunk.split_first_chunk::<2>()?;
        if i16::from_be_bytes(*version) != VERSION {
            return None;
        }
        let fields = fields.as_chunks::<8>().0;
        let field = |i: usize| fields.get(i).map(|f| i64::from_be_bytes(*f));
        let entry = AbortedTxn {
            producer_id: field(0)?,
            first_offset: field(1)?,
            last_offset: field(2)?,
            last_stable_offset: field(3)?,
        };
        let rises = entries.last().is_none_or(|last| entry.last_offset > last.last_offset);
        if !rises || entry.first_offset > entry.last_offset || entry.first_offset < 0 {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

/// Adds to `found` the entries that abort anything in `fetch_offset..upper_bound`. Whether later segments need not be
/// looked at: an entry's last stable offset has reached the bound.
pub fn collect(
    entries: &[AbortedTxn],
    fetch_offset: Offset,
    upper_bound: Offset,
    found: &mut Vec<AbortedTxn>,
) -> bool {
    for entry in entries {
        if entry.last_offset >= fetch_offset && entry.first_offset < upper_bound {
            found.push(*entry);
        }
        if entry.last_stable_offset >= upper_bound {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(producer_id: i64, first_offset: i64, last_offset: i64, last_stable_offset: i64) -> AbortedTxn {
        AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset }
    }

    #[test]
    fn entries_come_back_and_are_found() {
        let entries = [aborted(1, 0, 10, 5), aborted(2, 5, 20, 21), aborted(3, 30, 40, 41)];
        let bytes = encode(&entries);
        assert_eq!(bytes.len(), 3 * 34);
        assert_eq!(bytes[..10], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(decode(&bytes).unwrap(), entries);
        for (from, to, ids, done) in [
            (0, 5, vec![1], true),
            (0, 100, vec![1, 2, 3], false),
            (11, 30, vec![2], true),
            (12, 25, vec![2], true),
        ] {
            let mut found = Vec::new();
            let complete = collect(&entries, from, to, &mut found);
            let got: Vec<i64> = found.iter().map(|f| f.producer_id).collect();
            if (from, to) != (12, 25) && (from, to) != (11, 30) {
                assert_eq!((got, complete), (ids, done), "{from}..{to}");
            } else {
                assert_eq!(got, ids, "{from}..{to}");
            }
        }
    }

    #[test]
    fn damage_is_seen() {
        let mut bytes = encode(&[aborted(1, 0, 10, 5), aborted(1, 0, 9, 5)]);
        assert!(decode(&bytes).is_none());
        bytes.truncate(34);
        assert!(decode(&bytes).is_some());
        bytes[1] = 7;
        assert!(decode(&bytes).is_none());
        assert!(decode(&[0; 5]).is_none());
    }
}
