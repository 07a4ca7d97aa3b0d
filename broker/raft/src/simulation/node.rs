//! A simulated node: its quorum while it is up, and its disk, which a crash leaves with what was flushed and a part
//! of what was not. Never enters: the network, time.

use bytes::Bytes;
use millstream_types::{Millis, Offset};

use crate::*;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) epoch: i32,
    pub(super) value: u64,
}

pub(super) struct Node {
    pub(super) quorum: Option<Quorum>,
    pub(super) incarnation: u64,
    pub(super) tick_at: Option<Millis>,
    // The disk.
    pub(super) election: Election,
    pub(super) log_start: Offset,
    pub(super) log: Vec<Entry>,
    pub(super) flushed: Offset,
    pub(super) snapshot: Option<(SnapshotId, Vec<Entry>)>,
    download: Option<(SnapshotId, Vec<u8>)>,
}

impl Node {
    pub(super) fn new() -> Node {
        Node {
            quorum: None,
            incarnation: 0,
            tick_at: None,
            election: Election::default(),
            log_start: 0,
            log: Vec::new(),
            flushed: 0,
            snapshot: None,
            download: None,
        }
    }

    pub(super) fn log_end(&self) -> Offset {
        self.log_start + self.log.len() as Offset
    }

    /// The entry at an offset, from the log or from the snapshot.
    pub(super) fn entry(&self, offset: Offset) -> Option<&Entry> {
        if offset >= self.log_start {
            return self.log.get((offset - self.log_start) as usize);
        }
        self.snapshot.as_ref().and_then(|(_, entries)| entries.get(offset as usize))
    }

    pub(super) fn recovered(&self) -> Recovered {
        let mut epochs: Vec<EpochStart> = Vec::new();
        for (at, entry) in self.log.iter().enumerate() {
            if epochs.last().is_none_or(|last| last.epoch < entry.epoch) {
                let start_offset = self.log_start + at as Offset;
                epochs.push(EpochStart { epoch: entry.epoch, start_offset });
            }
        }
        Recovered {
            election: self.election,
            log_start: self.log_start,
            log_end: self.log_end(),
            epochs,
            snapshot: self.snapshot.as_ref().map(|(id, _)| *id),
        }
    }

    pub(super) fn crash(&mut self, lost: Offset) {
        self.quorum = None;
        self.download = None;
        self.log.truncate(self.log.len() - lost as usize);
        self.flushed = self.log_end();
    }

    /// Batches of one epoch each, at most `max` records.
    pub(super) fn read(&self, from: Offset, max: usize) -> Vec<Batch> {
        let mut out: Vec<Batch> = Vec::new();
        let entries = self.log.iter().enumerate().skip((from - self.log_start) as usize).take(max);
        for (at, entry) in entries {
            let base_offset = self.log_start + at as Offset;
            let bytes = entry.value.to_be_bytes();
            match out.last_mut() {
                Some(last) if last.epoch == entry.epoch && last.end_offset - last.base_offset < 4 => {
                    last.end_offset += 1;
                    last.bytes = Bytes::from([&last.bytes[..], &bytes].concat());
                }
                _ => out.push(Batch {
                    base_offset,
                    end_offset: base_offset + 1,
                    epoch: entry.epoch,
                    bytes: Bytes::copy_from_slice(&bytes),
                }),
            }
        }
        out
    }

    pub(super) fn append(&mut self, batch: &Batch) {
        for value in batch.bytes.chunks(8) {
            let value = u64::from_be_bytes(value.try_into().unwrap());
            self.log.push(Entry { epoch: batch.epoch, value });
        }
        assert_eq!(self.log_end(), batch.end_offset);
    }

    pub(super) fn truncate(&mut self, to: Offset) {
        self.log.truncate((to - self.log_start) as usize);
        self.flushed = self.flushed.min(to);
    }

    pub(super) fn make_snapshot(&mut self, id: SnapshotId) {
        let entries = (0..id.end_offset).map(|offset| self.entry(offset).unwrap().clone()).collect();
        self.snapshot = Some((id, entries));
    }

    pub(super) fn trim(&mut self, log_start: Offset) {
        self.log.drain(..(log_start - self.log_start) as usize);
        self.log_start = log_start;
        self.flushed = self.flushed.max(log_start);
    }

    pub(super) fn snapshot_bytes(&self, id: SnapshotId) -> Bytes {
        let (_, entries) =
            self.snapshot.as_ref().filter(|(have, _)| *have == id).expect("the snapshot is here");
        let bytes = entries.iter().flat_map(|e| [e.epoch as u64, e.value]).flat_map(u64::to_be_bytes);
        bytes.collect::<Vec<u8>>().into()
    }

    pub(super) fn write_snapshot(&mut self, id: SnapshotId, position: u64, bytes: &[u8]) {
        if position == 0 {
            self.download = Some((id, Vec::new()));
        }
        let (have, content) = self.download.as_mut().expect("a download begins at 0");
        assert_eq!((*have, content.len() as u64), (id, position));
        content.extend_from_slice(bytes);
    }

    pub(super) fn install_snapshot(&mut self, id: SnapshotId) {
        let (have, content) = self.download.take().expect("a download");
        assert_eq!(have, id);
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
        let entries: Vec<Entry> = content
            .chunks(16)
            .map(|pair| Entry { epoch: number(&pair[..8]) as i32, value: number(&pair[8..]) })
            .collect();
        assert_eq!(entries.len() as Offset, id.end_offset);
        self.snapshot = Some((id, entries));
        self.log.clear();
        self.log_start = id.end_offset;
        self.flushed = id.end_offset;
    }
}
