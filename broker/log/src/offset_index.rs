//! The sparse offset index: 8-byte entries, the offset relative to the segment's base (i32) and the position of its
//! batch in the `.log` (i32), about one for each `index.interval.bytes`. An entry's offset is the *last* offset of the
//! batch at its position, as in Kafka. The active segment's entries are in memory and reach the file when the segment is
//! sealed; a sealed segment's are searched in the file, its last 8 KiB first (Kafka's warm section: readers that keep
//! up touch nothing else). Never enters: what a batch is.

use millstream_disk::{DiskError, DiskFile};
use millstream_types::Offset;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 8;
/// Entries of the warm section.
const WARM_ENTRIES: u64 = 8192 / ENTRY_BYTES as u64;
/// Entries read at once in the search of the cold part.
const BLOCK_ENTRIES: u64 = 512;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// The offset less the segment's base offset.
    pub relative: u32,
    /// Where the batch begins in the `.log`, in bytes.
    pub position: u32,
}

impl OffsetEntry {
    fn parse(bytes: [u8; ENTRY_BYTES]) -> OffsetEntry {
        let [a, b, c, d, e, f, g, h] = bytes;
        OffsetEntry { relative: u32::from_be_bytes([a, b, c, d]), position: u32::from_be_bytes([e, f, g, h]) }
    }
}

/// The bytes of an index file with these entries.
pub fn encode(entries: &[OffsetEntry]) -> Vec<u8> {
    entries.iter().flat_map(|e| [e.relative.to_be_bytes(), e.position.to_be_bytes()]).flatten().collect()
}

/// The entries of an index file, or `None` where they do not rise or point behind `log_bytes`: it is to be built anew.
/// Kafka leaves zeros behind the entries of a segment that was active at a crash; they end the index.
pub fn decode(bytes: &[u8], log_bytes: u64) -> Option<Vec<OffsetEntry>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let mut entries: Vec<OffsetEntry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    for chunk in bytes.as_chunks::<ENTRY_BYTES>().0 {
        let entry = OffsetEntry::parse(*chunk);
        if let Some(last) = entries.last() {
            if entry == (OffsetEntry { relative: 0, position: 0 }) {
                break;
            }
            if entry.relative <= last.relative || entry.position <= last.position {
                return None;
            }
        }
        if u64::from(entry.position) >= log_bytes.max(1) || entry.relative > i32::MAX as u32 {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

/// The last entry at or before `relative`, among entries in memory.
pub fn floor(entries: &[OffsetEntry], relative: u32) -> Option<OffsetEntry> {
    let at = entries.partition_point(|e| e.relative <= relative);
    at.checked_sub(1).map(|at| entries[at])
}

/// The last entry at or before `offset` in an index file with `count` entries. Reads at most 8 KiB where the offset is
/// near the end, and a handful of entries and 4 KiB where it is not.
pub fn floor_in_file(
    file: &dyn DiskFile,
    count: u64,
    base: Offset,
    offset: Offset,
) -> Result<Option<OffsetEntry>, DiskError> {
    let Ok(relative) = u32::try_from((offset - base).min(i64::from(u32::MAX))) else { return Ok(None) };
    let warm_from = count.saturating_sub(WARM_ENTRIES);
    let warm = read(file, warm_from, count)?;
    match floor(&warm, relative) {
        Some(entry) => return Ok(Some(entry)),
        None if warm_from == 0 => return Ok(None),
        None => {}
    }
    // Which block of the cold part begins at or before the offset.
    let (mut low, mut high) = (0, warm_from.div_ceil(BLOCK_ENTRIES));
    while low < high {
        let middle = low + (high - low) / 2;
        let first = read(file, middle * BLOCK_ENTRIES, middle * BLOCK_ENTRIES + 1)?;
        match first.first() {
            Some(first) if first.relative <= relative => low = middle + 1,
            _ => high = middle,
        }
    }
    let Some(block) = low.checked_sub(1) else { return Ok(None) };
    let from = block * BLOCK_ENTRIES;
    Ok(floor(&read(file, from, (from + BLOCK_ENTRIES).min(warm_from))?, relative))
}

fn read(file: &dyn DiskFile, from: u64, to: u64) -> Result<Vec<OffsetEntry>, DiskError> {
    let mut bytes = vec![0; (to - from) as usize * ENTRY_BYTES];
    let n = file.read_at(&mut bytes, from * ENTRY_BYTES as u64)?;
    Ok(bytes[..n].as_chunks::<ENTRY_BYTES>().0.iter().map(|c| OffsetEntry::parse(*c)).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_disk::sim::SimDisk;
    use millstream_disk::{Disk, Open};

    use super::*;

    fn entries(n: u32) -> Vec<OffsetEntry> {
        (0..n).map(|i| OffsetEntry { relative: i * 10 + 5, position: i * 4096 }).collect()
    }

    #[test]
    fn a_file_answers_as_memory_does() {
        let disk = SimDisk::new();
        for n in [0u32, 1, 511, 512, 1024, 1025, 1536, 5000] {
            let entries = entries(n);
            let file = disk.open(Path::new("/i"), Open::Truncate).unwrap();
            file.write_all_at(&encode(&entries), 0).unwrap();
            for offset in (0..n * 10 + 20).step_by(7) {
                let found = floor_in_file(&*file, u64::from(n), 100, 100 + i64::from(offset)).unwrap();
                assert_eq!(found, floor(&entries, offset), "{n} entries, offset {offset}");
            }
            assert_eq!(floor_in_file(&*file, u64::from(n), 100, 3).unwrap(), None);
            assert_eq!(decode(&encode(&entries), u64::from(n) * 4096).unwrap(), entries);
        }
    }

    #[test]
    fn damage_is_seen() {
        let good = encode(&entries(10));
        assert!(decode(&good[..79], 1 << 20).is_none());
        assert!(decode(&good, 9 * 4096).is_none(), "points behind the log");
        let mut bad = good.clone();
        bad[8] = 0x40;
        assert!(decode(&bad, 1 << 20).is_none());
        let mut padded = good.clone();
        padded.extend([0; 64]);
        assert_eq!(decode(&padded, 1 << 20).unwrap().len(), 10);
    }
}
