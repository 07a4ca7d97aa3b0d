//! The last offset of each key in the dirty part of a log. Keys are kept whole: two keys are never taken for one. Never
//! enters: what becomes of the records.

use std::collections::HashMap;

use millstream_batch::{BatchView, Decompressor};
use millstream_types::Offset;
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use super::CompactionPlan;
use super::filter::Transactions;
use crate::error::LogError;
use crate::scan::HeaderScan;

/// What an entry costs beside its key, in bytes, about.
const ENTRY_BYTES: usize = 48;

/// Last offsets by key.
#[derive(Debug, Default)]
pub struct OffsetMap {
    offsets: HashMap<Box<[u8]>, Offset>,
    bytes: usize,
    /// The last offset that the map has seen.
    last: Offset,
}

impl OffsetMap {
    fn put(&mut self, key: &[u8], offset: Offset) {
        if let Some(known) = self.offsets.get_mut(key) {
            *known = offset;
            return;
        }
        self.bytes += key.len() + ENTRY_BYTES;
        self.offsets.insert(key.into(), offset);
    }

    /// The last offset of `key`, where the map has seen it.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        self.offsets.get(key).copied()
    }

    /// The last offset that the map has seen, or -1.
    pub fn last_offset(&self) -> Offset {
        self.last
    }
}

/// The map of the dirty part, and the end of the last segment that is wholly in it.
pub(super) fn build(plan: &CompactionPlan, bytes_max: usize) -> Result<(OffsetMap, Offset), LogError> {
    let mut map = OffsetMap { last: -1, ..OffsetMap::default() };
    let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
    let transactions = Transactions::new(&plan.aborted);
    let mut cleaned_to = plan.dirty_from;
    for source in plan.sources.iter().filter(|s| s.end > plan.dirty_from) {
        // At least one segment is taken, however large its keys, or no pass would ever get on.
        if map.bytes > bytes_max {
            break;
        }
        let mut scan = HeaderScan::new(source.file.clone(), 0, source.size);
        while let Some((position, header)) = scan.next_header()? {
            if header.attributes.is_control() || transactions.is_aborted(&header) {
                continue;
            }
            let bytes = scan.batch(position, &header)?;
            let view = BatchView::parse(&bytes)?;
            view.check_crc()?;
            for record in view.records(&mut scratch)? {
                let record = record?;
                if let Some(key) = record.key
                    && record.offset >= plan.dirty_from
                {
                    map.put(key, record.offset);
                }
            }
        }
        cleaned_to = source.end;
        map.last = source.end - 1;
    }
    Ok((map, cleaned_to))
}
