//! One segment: a `.log` file with its indexes and what is known of its batches. The last segment of a log is active:
//! its indexes are in memory and reach their files when it is sealed. Owns how a batch is found in a file, and when a
//! segment is full. Never enters: which segments a log has, offsets' meaning to producers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use millstream_batch::BatchHeader;
use millstream_batch::crc::crc32c;
use millstream_disk::disk::read_file;
use millstream_disk::{Disk, DiskError, DiskFile, Open};
use millstream_types::{Millis, Offset};

use crate::config::{LogConfig, RetentionTimeSource};
use crate::names;
use crate::offset_index::{self, OffsetEntry};
use crate::scan::HeaderScan;
use crate::sidecar::Sidecar;
use crate::time_index::{self, TimeEntry};
use crate::txn_index::{self, AbortedTxn};

/// The indexes of a segment.
#[derive(Debug)]
pub(crate) enum Indexes {
    /// In memory, of the active segment.
    Active { offsets: Vec<OffsetEntry>, times: Vec<TimeEntry> },
    /// In files: how many entries the offset index has.
    Sealed { offset_entries: u64 },
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub base: Offset,
    dir: PathBuf,
    file: OnceLock<Arc<dyn DiskFile>>,
    /// Bytes of whole batches in the `.log`.
    pub size: u64,
    /// Behind the last batch, or the base.
    pub next_offset: Offset,
    pub indexes: Indexes,
    bytes_since_index: u64,
    /// Entries of the `.txnindex`, in order.
    pub aborted: Vec<AbortedTxn>,
    /// The largest timestamp, or -1.
    pub max_timestamp: Millis,
    /// The last offset of the batch that has it.
    pub max_timestamp_offset: Offset,
    /// The first batch's largest timestamp: what `segment.ms` is measured from.
    pub first_timestamp: Option<Millis>,
    pub created_ms: Millis,
    pub first_append_ms: Millis,
    pub last_append_ms: Millis,
    /// Whether compaction wrote it, so that its last batch may lie before the next segment's base. Kept in the sidecar.
    pub compacted: bool,
    /// Whether offsets within it have gaps: compaction's, or those of a leader's compaction. Kept in the sidecar.
    pub gaps: bool,
    /// The checksum that the `.timeindex` of a sealed segment must have; `None` where it was made anew and not kept.
    time_index_crc: Option<u32>,
    /// The same for the `.txnindex`.
    txn_index_crc: Option<u32>,
    /// Whether the `.log` has bytes that no flush has covered.
    pub dirty: bool,
}

/// A batch in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub position: u64,
    pub size: u64,
    pub base_offset: Offset,
    pub last_offset: Offset,
}

impl Segment {
    /// An empty active segment whose file is there.
    pub fn create(disk: &dyn Disk, dir: &Path, base: Offset, now: Millis) -> Result<Segment, DiskError> {
        let file = disk.open(&names::segment_file(dir, base, names::LOG), Open::Truncate)?;
        let segment = Segment::at(dir, base, now);
        let _ = segment.file.set(file);
        Ok(segment)
    }

    /// A segment whose fields are to be filled from its files.
    pub fn at(dir: &Path, base: Offset, now: Millis) -> Segment {
        Segment {
            base,
            dir: dir.to_owned(),
            file: OnceLock::new(),
            size: 0,
            next_offset: base,
            indexes: Indexes::Active { offsets: Vec::new(), times: Vec::new() },
            bytes_since_index: 0,
            aborted: Vec::new(),
            max_timestamp: -1,
            max_timestamp_offset: base,
            first_timestamp: None,
            created_ms: now,
            first_append_ms: now,
            last_append_ms: now,
            compacted: false,
            gaps: false,
            time_index_crc: None,
            txn_index_crc: None,
            dirty: false,
        }
    }

    pub fn path(&self, extension: &str) -> PathBuf {
        names::segment_file(&self.dir, self.base, extension)
    }

    /// The `.log`, opened at first use.
    pub fn file(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, DiskError> {
        if let Some(file) = self.file.get() {
            return Ok(file.clone());
        }
        let file = disk.open(&self.path(names::LOG), Open::Write)?;
        Ok(self.file.get_or_init(|| file).clone())
    }

    pub fn is_active(&self) -> bool {
        matches!(self.indexes, Indexes::Active { .. })
    }

    /// Takes a batch in that lies at `position`.
    pub fn note_batch(&mut self, header: &BatchHeader, position: u64, interval: u64, append_ms: Millis) {
        let bytes = header.size_in_bytes() as u64;
        let last = header.last_offset();
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = last;
        }
        if self.size == 0 {
            self.first_append_ms = append_ms;
        }
        if self.first_timestamp.is_none() && header.max_timestamp >= 0 {
            self.first_timestamp = Some(header.max_timestamp);
        }
        self.last_append_ms = self.last_append_ms.max(append_ms);
        if self.bytes_since_index > interval
            && let Indexes::Active { offsets, times } = &mut self.indexes
            && let (Ok(relative), Ok(at)) = (u32::try_from(last - self.base), u32::try_from(position))
        {
            offsets.push(OffsetEntry { relative, position: at });
            time_index::maybe_append(times, self.max_timestamp, self.max_timestamp_offset, self.base);
            self.bytes_since_index = 0;
        }
        self.bytes_since_index += bytes;
        self.size = position + bytes;
        self.next_offset = last + 1;
    }

    /// Why a batch of `bytes` that ends at `last_offset` cannot go into this segment, if it cannot
    /// (`LogSegment.shouldRoll`).
    pub fn is_full_for(
        &self,
        bytes: u64,
        last_offset: Offset,
        timestamp: Millis,
        now: Millis,
        config: &LogConfig,
    ) -> bool {
        if self.size == 0 {
            return last_offset - self.base > i64::from(i32::MAX);
        }
        let Indexes::Active { offsets, times } = &self.indexes else { return true };
        let index_bytes = usize::try_from(config.segment_index_bytes).unwrap_or(0);
        self.size + bytes > config.segment_bytes_max()
            || self.is_old(timestamp, now, config)
            || (offsets.len() + 1) * offset_index::ENTRY_BYTES > index_bytes
            || (times.len() + 2) * time_index::ENTRY_BYTES > index_bytes
            || last_offset - self.base > i64::from(i32::MAX)
    }

    fn is_old(&self, timestamp: Millis, now: Millis, config: &LogConfig) -> bool {
        let waited = match (config.retention_time_source, self.first_timestamp) {
            (RetentionTimeSource::Append, _) => now - self.first_append_ms,
            (RetentionTimeSource::Record, Some(first)) => timestamp - first,
            (RetentionTimeSource::Record, None) => now - self.created_ms,
        };
        // A record of a compacted topic must be sealed before it can be compacted.
        let lag = if config.cleanup_policy.compact { config.max_compaction_lag_ms } else { i64::MAX };
        waited > config.segment_ms.min(lag) - self.jitter(config)
    }

    /// A number below `segment.jitter.ms`, fixed by the directory and the base offset: spread as well as chance would,
    /// and the same in a second run.
    fn jitter(&self, config: &LogConfig) -> i64 {
        let bound = config.segment_jitter_ms.min(config.segment_ms);
        if bound <= 0 {
            return 0;
        }
        let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ self.base as u64;
        for byte in self.dir.as_os_str().as_encoded_bytes() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (hash % bound as u64) as i64
    }

    /// The first batch whose last offset is at or behind `offset`; `None` where there is none.
    pub fn locate(&self, disk: &dyn Disk, offset: Offset) -> Result<Option<Located>, DiskError> {
        if offset >= self.next_offset || self.size == 0 {
            return Ok(None);
        }
        let file = self.file(disk)?;
        let mut scan = HeaderScan::new(file.clone(), 0, self.size);
        if let Some(entry) = self.index_floor(disk, offset)? {
            // An entry names the last offset of the batch at its position. One that does not is damaged, or of an old
            // Kafka: the segment is walked from its beginning.
            let from = u64::from(entry.position).min(self.size);
            let mut at_entry = HeaderScan::new(file, from, self.size);
            if let Some((_, header)) = at_entry.next_header()?
                && header.last_offset() == self.base + i64::from(entry.relative)
            {
                at_entry.rewind(from);
                scan = at_entry;
            }
        }
        while let Some((position, header)) = scan.next_header()? {
            if header.last_offset() >= offset {
                return Ok(Some(Located {
                    position,
                    size: header.size_in_bytes() as u64,
                    base_offset: header.base_offset,
                    last_offset: header.last_offset(),
                }));
            }
        }
        Ok(None)
    }

    fn index_floor(&self, disk: &dyn Disk, offset: Offset) -> Result<Option<OffsetEntry>, DiskError> {
        match &self.indexes {
            Indexes::Active { offsets, .. } => {
                Ok(u32::try_from(offset - self.base).ok().and_then(|r| offset_index::floor(offsets, r)))
            }
            Indexes::Sealed { offset_entries: 0 } => Ok(None),
            Indexes::Sealed { offset_entries } => {
                let file = disk.open(&self.path(names::INDEX), Open::Read)?;
                offset_index::floor_in_file(&*file, *offset_entries, self.base, offset)
            }
        }
    }

    /// The time index's entries; an index that is lost or damaged only makes a search longer.
    pub fn times(&self, disk: &dyn Disk) -> Result<Vec<TimeEntry>, DiskError> {
        if let Indexes::Active { times, .. } = &self.indexes {
            return Ok(times.clone());
        }
        match read_file(disk, &self.path(names::TIME_INDEX), INDEX_BYTES_MAX) {
            Ok(bytes) if self.time_index_crc.is_none_or(|crc| crc32c(&bytes) == crc) => {
                Ok(time_index::decode(&bytes).unwrap_or_default())
            }
            Ok(_) | Err(DiskError::Malformed { .. }) => Ok(Vec::new()),
            Err(e) if e.is_not_found() => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    /// When this segment's data was last written, by the source that retention measures. `None` where it has none.
    pub fn newest_ms(&self, config: &LogConfig) -> Option<Millis> {
        match config.retention_time_source {
            RetentionTimeSource::Append => Some(self.last_append_ms),
            // Kafka takes the file's time where no record has a timestamp.
            RetentionTimeSource::Record if self.max_timestamp < 0 => Some(self.last_append_ms),
            RetentionTimeSource::Record => Some(self.max_timestamp),
        }
    }

    /// Writes the index files of a segment that is no longer active, or is closed; returns the files to flush.
    pub fn write_indexes(&mut self, disk: &dyn Disk) -> Result<Vec<Arc<dyn DiskFile>>, DiskError> {
        self.write_indexes_as(disk, "")
    }

    /// As [`Segment::write_indexes`], with `suffix` behind the names.
    pub fn write_indexes_as(
        &mut self,
        disk: &dyn Disk,
        suffix: &str,
    ) -> Result<Vec<Arc<dyn DiskFile>>, DiskError> {
        let Indexes::Active { offsets, times } = &mut self.indexes else { return Ok(Vec::new()) };
        if self.size > 0 {
            time_index::maybe_append(times, self.max_timestamp, self.max_timestamp_offset, self.base);
        }
        let time_index = time_index::encode(times);
        let txn_index = txn_index::encode(&self.aborted);
        let sidecar = Sidecar {
            first_append_ms: self.first_append_ms,
            last_append_ms: self.last_append_ms,
            max_timestamp: self.max_timestamp,
            max_timestamp_offset: self.max_timestamp_offset,
            log_bytes: self.size,
            index_entries: offsets.len() as u32,
            time_index_crc: crc32c(&time_index),
            txn_index_crc: crc32c(&txn_index),
            compacted: self.compacted,
            gaps: self.gaps,
        };
        self.time_index_crc = Some(sidecar.time_index_crc);
        let mut contents =
            vec![(names::INDEX, offset_index::encode(offsets)), (names::TIME_INDEX, time_index)];
        if !self.aborted.is_empty() {
            contents.push((names::TXN_INDEX, txn_index));
        }
        if self.gaps || self.compacted {
            // That offsets have gaps is known from here alone: a crash must leave the old file or the new one.
            let path = names::with_suffix(&self.path(names::APPEND_TIMES), suffix);
            millstream_disk::durable::write_aside(disk, &path, &sidecar.encode())?;
        } else {
            contents.push((names::APPEND_TIMES, sidecar.encode()));
        }
        let mut files = Vec::with_capacity(contents.len());
        for (extension, bytes) in contents {
            let file = disk.open(&names::with_suffix(&self.path(extension), suffix), Open::Truncate)?;
            file.write_all_at(&bytes, 0)?;
            files.push(file);
        }
        Ok(files)
    }

    /// From now on the indexes are those in the files.
    pub fn seal(&mut self) {
        if let Indexes::Active { offsets, .. } = &self.indexes {
            self.indexes = Indexes::Sealed { offset_entries: offsets.len() as u64 };
        }
    }

    /// Reads the sidecar and takes from it what no other file has. Where it is lost or damaged, the append times are the
    /// `.log`'s own time.
    pub fn load_sidecar(
        &mut self,
        disk: &dyn Disk,
        modified_ms: Millis,
    ) -> Result<Option<Sidecar>, DiskError> {
        let sidecar = match read_file(disk, &self.path(names::APPEND_TIMES), 1024) {
            Ok(bytes) => Sidecar::decode(&bytes),
            Err(DiskError::Malformed { .. }) => None,
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e),
        };
        (self.first_append_ms, self.last_append_ms) = match &sidecar {
            Some(s) => (s.first_append_ms, s.last_append_ms),
            None => (modified_ms, modified_ms),
        };
        self.created_ms = self.first_append_ms;
        if let Some(sidecar) = &sidecar {
            (self.compacted, self.gaps) = (sidecar.compacted, sidecar.gaps);
        }
        Ok(sidecar)
    }

    /// Whether the entries of the `.txnindex` are those that were written.
    pub fn txn_index_fits(&self, aborted: &[AbortedTxn]) -> bool {
        self.txn_index_crc.is_none_or(|crc| crc32c(&txn_index::encode(aborted)) == crc)
    }

    /// Becomes a sealed segment of `len` bytes, if the sidecar speaks of just that and the index file has its length.
    pub fn seal_as(&mut self, disk: &dyn Disk, sidecar: &Sidecar, len: u64) -> Result<bool, DiskError> {
        let index = disk.lookup(&self.path(names::INDEX))?.map(|e| e.len);
        let entries = u64::from(sidecar.index_entries);
        if sidecar.log_bytes != len || index != Some(entries * offset_index::ENTRY_BYTES as u64) {
            return Ok(false);
        }
        self.size = len;
        self.indexes = Indexes::Sealed { offset_entries: entries };
        self.max_timestamp = sidecar.max_timestamp;
        self.max_timestamp_offset = sidecar.max_timestamp_offset;
        self.time_index_crc = Some(sidecar.time_index_crc);
        self.txn_index_crc = Some(sidecar.txn_index_crc);
        Ok(true)
    }
}

/// The largest index file that is read whole, in bytes: one of a 4 GiB segment with an entry for each 64 bytes.
pub(crate) const INDEX_BYTES_MAX: u64 = 1 << 30;
/// Every kind of file that belongs to one segment.
pub(crate) const EXTENSIONS: [&str; 5] =
    [names::LOG, names::INDEX, names::TIME_INDEX, names::TXN_INDEX, names::APPEND_TIMES];
