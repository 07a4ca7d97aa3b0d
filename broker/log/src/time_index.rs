//! The sparse time index: 12-byte entries, a timestamp (i64) and the relative offset (i32) of the batch that has it;
//! each says that no batch up to that offset has a larger timestamp. The last entry of a sealed segment is its largest
//! timestamp. Kept in memory while a segment is active. Never enters: records.

use millstream_types::{Millis, Offset};

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 12;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Milliseconds since 1970.
    pub timestamp: Millis,
    /// The offset less the segment's base offset.
    pub relative: u32,
}

/// The bytes of an index file with these entries.
pub fn encode(entries: &[TimeEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend(entry.timestamp.to_be_bytes());
        bytes.extend(entry.relative.to_be_bytes());
    }
    bytes
}

/// The entries of an index file, or `None` where they do not rise: it is to be built anew. Zeros behind the entries
/// end it, as in the offset index.
pub fn decode(bytes: &[u8]) -> Option<Vec<TimeEntry>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let mut entries: Vec<TimeEntry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    for chunk in bytes.as_chunks::<ENTRY_BYTES>().0 {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *chunk;
        let entry = TimeEntry {
            timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            relative: u32::from_be_bytes([i, j, k, l]),
        };
        if entry.relative > i32::MAX as u32 {
            return None;
        }
        if let Some(last) = entries.last() {
            if entry == (TimeEntry { timestamp: 0, relative: 0 }) {
                break;
            }
            // Kafka repeats the last entry when it seals a segment.
            if entry == *last {
                continue;
            }
            if entry.timestamp <= last.timestamp || entry.relative < last.relative {
                return None;
            }
        }
        entries.push(entry);
    }
    Some(entries)
}

/// Adds an entry if its timestamp is larger than the last one's (`TimeIndex.maybeAppend`).
pub fn maybe_append(entries: &mut Vec<TimeEntry>, timestamp: Millis, offset: Offset, base: Offset) {
    let Ok(relative) = u32::try_from(offset - base) else { return };
    if timestamp >= 0
        && entries.last().is_none_or(|last| timestamp > last.timestamp && relative >= last.relative)
    {
        entries.push(TimeEntry { timestamp, relative });
    }
}

/// From where a search for the first record at or after `timestamp` may begin: the last entry below it.
pub fn offset_before(entries: &[TimeEntry], base: Offset, timestamp: Millis) -> Offset {
    let at = entries.partition_point(|e| e.timestamp < timestamp);
    at.checked_sub(1).map_or(base, |at| base + i64::from(entries[at].relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rising_timestamps_are_kept() {
        let mut entries = Vec::new();
        for (timestamp, offset) in [(5, 100), (5, 101), (3, 102), (9, 103), (-1, 104)] {
            maybe_append(&mut entries, timestamp, offset, 100);
        }
        let expected = [TimeEntry { timestamp: 5, relative: 0 }, TimeEntry { timestamp: 9, relative: 3 }];
        assert_eq!(entries, expected);
        assert_eq!(decode(&encode(&entries)).unwrap(), expected);
        for (timestamp, from) in [(0, 100), (5, 100), (6, 100), (9, 100), (10, 103)] {
            assert_eq!(offset_before(&entries, 100, timestamp), from, "{timestamp}");
        }
    }

    #[test]
    fn damage_is_seen() {
        let bytes =
            encode(&[TimeEntry { timestamp: 9, relative: 3 }, TimeEntry { timestamp: 5, relative: 4 }]);
        assert!(decode(&bytes).is_none());
        assert!(decode(&bytes[..13]).is_none());
    }
}
