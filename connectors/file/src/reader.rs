//! One file being read. Each read takes a chunk at the position and gives out its whole lines; bytes after the last line
//! end are left for the next read, or, where the input is finite, are the last line. The file may be renamed meanwhile:
//! the descriptor, or the path that discovery last found, follows it. Blocks on the disk for at most one chunk.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use millstream_connector::{
    Position, ReadLimit, ReadState, RecordEnd, RecordFault, SourceBatch, SourceError, SourceRecord, SplitId,
    SplitReader, async_trait,
};

use crate::config::{FileSourceConfig, OnRewrite};
use crate::error::source_error;
use crate::fingerprint::{self, read_at};
use crate::found::{FilePosition, Heads};
use crate::lines::{Rest, split};

/// What discovery and the readers tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    /// Where each split's file was last found.
    pub places: Mutex<BTreeMap<SplitId, Place>>,
    /// Heads seen before, so that a look at many files opens only new ones.
    pub heads: Mutex<Heads>,
    /// Descriptors that readers keep between reads.
    pub open_files: AtomicUsize,
}

/// A split's file.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its path.
    pub path: PathBuf,
    /// What people call it.
    pub label: Arc<str>,
    /// How far a reader came, for telling whether there is more.
    pub read_to: Option<u64>,
}

/// A reader of one file.
pub struct FileReader {
    pub config: Arc<FileSourceConfig>,
    pub shared: Arc<Shared>,
    pub split: SplitId,
    pub offset: u64,
    pub lines: u64,
    /// The hash before `offset`; empty at the beginning of a file.
    pub tail: String,
    pub sequence: u64,
    pub file: Option<File>,
    /// Whether the head was compared since the file was opened.
    pub checked: bool,
    /// The file as it was when its bytes were last found to be those that were read.
    seen: Option<Seen>,
}

/// What tells a file that nobody wrote to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds: any write moves it, and so does setting the time of modification back.
    changed: (i64, i64),
}

/// A file that was changed so long ago, in seconds, has another time when it is changed again: the kernel's clock for
/// files moves in steps of some milliseconds.
const SETTLED_SECONDS: i64 = 2;

impl Seen {
    fn of(meta: &Metadata) -> Seen {
        let changed = (meta.ctime(), meta.ctime_nsec());
        Seen { device: meta.dev(), inode: meta.ino(), size: meta.len(), changed }
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        i64::try_from(now).unwrap_or(0) - self.changed.0 >= SETTLED_SECONDS
    }
}

impl FileReader {
    /// A reader at `from`.
    pub fn new(
        config: Arc<FileSourceConfig>,
        shared: Arc<Shared>,
        split: SplitId,
        from: Option<FilePosition>,
    ) -> FileReader {
        let (offset, lines, tail) =
            from.map_or((0, 0, String::new()), |from| (from.offset, from.lines, from.tail));
        FileReader {
            config,
            shared,
            split,
            offset,
            lines,
            tail,
            sequence: 0,
            file: None,
            checked: false,
            seen: None,
        }
    }

    fn place(&self) -> Result<Place, SourceError> {
        let places = self.shared.places.lock().expect("no panic while held");
        places.get(&self.split).cloned().ok_or_else(|| {
            SourceError::transient(format!(
                "reading {}: the file was not found again; looking for it",
                self.split
            ))
        })
    }

    /// The descriptor, kept or new; `None` when the file is gone.
    fn opened(&mut self, place: &Place) -> Result<Option<File>, SourceError> {
        if let Some(file) = self.file.take() {
            self.shared.open_files.fetch_sub(1, Ordering::Relaxed);
            return Ok(Some(file));
        }
        self.checked = false;
        match File::open(&place.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(source_error("opening", &place.path, &error)),
        }
    }

    /// The position behind a record that was read behind this one; nothing when the file is gone or another one.
    pub fn position_behind(mut self, record: RecordEnd) -> Result<Option<Position>, SourceError> {
        let place = self.place()?;
        let Some(file) = self.opened(&place)? else { return Ok(None) };
        let meta = file.metadata().map_err(|error| source_error("reading", &place.path, &error))?;
        let from = self.offset;
        if !self.check(&file, &meta, &place)? || self.offset != from {
            return Ok(None);
        }
        let tail = tail_at(&file, record.end, &place)?;
        let position = FilePosition { v: 1, offset: record.end, lines: record.place, tail };
        Ok(Some(Position::of(&position)))
    }

    /// Keeps the descriptor, unless enough are kept.
    fn keep(&mut self, file: File) {
        let limit = self.config.max_open_files as usize;
        let kept = self
            .shared
            .open_files
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open + 1));
        if kept.is_ok() {
            self.file = Some(file);
        }
    }

    fn batch(&self, place: &Place, records: Vec<SourceRecord>, state: ReadState) -> SourceBatch {
        SourceBatch {
            first_sequence: self.sequence - records.len() as u64,
            records,
            origin: Arc::clone(&place.label),
            faults: Vec::new(),
            next_position: Position::of(&FilePosition {
                v: 1,
                offset: self.offset,
                lines: self.lines,
                tail: self.tail.clone(),
            }),
            state,
        }
    }

    /// Whether the file is still this split's, and the bytes before the position are those that were read. Another
    /// file under the name is a split of its own; the same file with other bytes is read again, or stops the pipeline.
    fn check(&mut self, file: &File, meta: &Metadata, place: &Place) -> Result<bool, SourceError> {
        let seen = Seen::of(meta);
        if self.seen == Some(seen) {
            return Ok(true);
        }
        // Taken before the bytes are looked at: what is written meanwhile is looked at next time.
        self.seen = seen.is_settled().then_some(seen);
        let found = self.check_bytes(file, meta.len(), place);
        if !matches!(found, Ok(true)) {
            self.seen = None;
        }
        found
    }

    fn check_bytes(&mut self, file: &File, size: u64, place: &Place) -> Result<bool, SourceError> {
        let doing = |error: &io::Error| source_error("reading", &place.path, error);
        let in_place = std::mem::replace(&mut self.checked, true);
        let head = fingerprint::head(file, !self.config.watch).map_err(|error| doing(&error))?;
        let ours = head.is_some_and(|head| self.split.0.ends_with(&head));
        let same = self.offset == 0
            || fingerprint::tail(file, self.offset).map_err(|error| doing(&error))?.as_deref()
                == Some(&self.tail);
        if ours && same {
            return Ok(true);
        }
        let what = format!(
            "reading {} at byte {}: the file has {size} bytes, and not those that were read before that place; \
             it was cut or rewritten",
            place.label, self.offset
        );
        if (ours || in_place) && self.config.on_rewrite == OnRewrite::Stop {
            return Err(SourceError::Setup(format!("{what}; `on_rewrite: restart` would read it again")));
        }
        tracing::warn!(file = %place.label, offset = self.offset, size, "{what}");
        if ours {
            (self.offset, self.lines, self.tail) = (0, 0, String::new());
        }
        Ok(ours)
    }

    /// Reads at the position: records, whether the last one is a fault, and whether the end was reached.
    fn take(
        &mut self,
        file: &File,
        size: u64,
        limit: ReadLimit,
        place: &Place,
    ) -> Result<Taken, SourceError> {
        let doing = |error: &io::Error| source_error("reading", &place.path, error);
        let max_line = self.config.max_line.0 as usize;
        let mut want = limit.max_bytes.clamp(1, self.config.read_size.0 as usize);
        loop {
            let left = usize::try_from(size.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let mut buffer = vec![0; want.min(left)];
            let read = read_at(file, &mut buffer, self.offset).map_err(|error| doing(&error))?;
            buffer.truncate(read);
            let chunk = Bytes::from(buffer);
            let at_end = read >= left;
            let rest = if at_end && !self.config.watch { Rest::Take } else { Rest::Await };
            let lines = split(&chunk, self.lines + 1, rest, limit.max_records.max(1));
            if lines.used == 0 && read > 0 {
                // Not one whole line. More of it, up to the longest; then it is a fault.
                if read > max_line {
                    return self.skip_long_line(file, size, chunk, place);
                }
                if !at_end {
                    want = (want * 2).min(max_line + 1);
                    continue;
                }
            }
            let mut lines = lines;
            let start = self.offset;
            match lines.lines.iter().position(|line| line.bytes.len() > max_line) {
                Some(0) => {
                    // Lines without bytes may stand before it.
                    let at = lines.lines[0].bytes.as_ptr() as usize - chunk.as_ptr() as usize;
                    let start = memchr::memrchr(b'\n', &chunk[..at]).map_or(0, |end| end + 1);
                    self.offset += start as u64;
                    self.lines = lines.lines[0].number - 1;
                    return self.skip_long_line(file, size, chunk.slice(start..), place);
                }
                // Give out what stands before it; next time it comes first, and is a fault.
                Some(index) => lines = split(&chunk, self.lines + 1, rest, index),
                None => {}
            }
            self.offset += lines.used as u64;
            self.lines += lines.counted;
            let (taken, unread) = chunk.split_at(lines.used);
            let end = at_end
                && (unread.is_empty() || (self.config.watch && memchr::memchr(b'\n', unread).is_none()));
            let records = lines.lines.into_iter().map(|line| SourceRecord {
                value: line.bytes,
                place: line.number,
                end: start + line.end as u64,
                ..SourceRecord::default()
            });
            return Ok(Taken {
                records: records.collect(),
                fault: None,
                end,
                tail: fingerprint::tail_of(taken),
            });
        }
    }

    /// A line beyond the limit: its beginning as a record with a fault, and the position after its end, where there is
    /// one. A line that is still being written is left alone.
    fn skip_long_line(
        &mut self,
        file: &File,
        size: u64,
        begun: Bytes,
        place: &Place,
    ) -> Result<Taken, SourceError> {
        let max_line = self.config.max_line.0 as usize;
        let mut buffer = vec![0; self.config.read_size.0 as usize];
        let mut at = self.offset;
        let end = loop {
            let read = read_at(file, &mut buffer, at)
                .map_err(|error| source_error("reading", &place.path, &error))?;
            match memchr::memchr(b'\n', &buffer[..read]) {
                Some(end) => break at + end as u64 + 1,
                None if read == 0 && self.config.watch => {
                    return Ok(Taken { records: Vec::new(), fault: None, end: true, tail: None });
                }
                None if read == 0 => break size.max(at),
                None => at += read as u64,
            }
        };
        let fault = format!("a line of {} bytes; `max_line` is {}", end - self.offset, self.config.max_line);
        self.offset = end;
        self.lines += 1;
        let value = begun.slice(..begun.len().min(max_line));
        let record = SourceRecord { value, place: self.lines, end, ..SourceRecord::default() };
        Ok(Taken { records: vec![record], fault: Some(fault), end: end >= size, tail: None })
    }
}

/// The hash of what stands before a position.
fn tail_at(file: &File, offset: u64, place: &Place) -> Result<String, SourceError> {
    let tail =
        fingerprint::tail(file, offset).map_err(|error| source_error("reading", &place.path, &error))?;
    tail.ok_or_else(|| SourceError::transient(format!("reading {}: it shrank", place.label)))
}

struct Taken {
    records: Vec<SourceRecord>,
    /// Why the only record is a fault.
    fault: Option<String>,
    /// Nothing more for now.
    end: bool,
    /// The hash before the new position, where the chunk that was read reaches that far back.
    tail: Option<String>,
}

#[async_trait]
impl SplitReader for FileReader {
    async fn read(&mut self, limit: ReadLimit) -> Result<SourceBatch, SourceError> {
        let place = self.place()?;
        let Some(file) = self.opened(&place)? else {
            tracing::warn!(file = %place.label, offset = self.offset, "the file is gone; what was unread in it is not read");
            return Ok(self.batch(&place, Vec::new(), ReadState::End));
        };
        let meta = file.metadata().map_err(|error| source_error("reading", &place.path, &error))?;
        let size = meta.len();
        if !self.check(&file, &meta, &place)? {
            return Ok(self.batch(&place, Vec::new(), ReadState::End));
        }
        let from = self.offset;
        let taken = self.take(&file, size, limit, &place)?;
        // Lines without bytes are no records, and move the position all the same.
        if self.offset != from || self.tail.is_empty() {
            self.tail = match taken.tail {
                Some(tail) => tail,
                None => tail_at(&file, self.offset, &place)?,
            };
        }
        self.sequence += taken.records.len() as u64;
        let state = match (taken.end, self.config.watch) {
            (false, _) => ReadState::More,
            // Removed, and read to its end: nobody can add to it by name any more.
            (true, true) if meta.nlink() == 0 => ReadState::End,
            (true, true) => ReadState::Idle,
            (true, false) => ReadState::End,
        };
        if let Some(place) = self.shared.places.lock().expect("no panic while held").get_mut(&self.split) {
            place.read_to = Some(self.offset);
        }
        // A finished file is let go; an idle one is kept, so that its last lines are read even after a rename.
        if state != ReadState::End {
            self.keep(file);
        }
        let mut batch = self.batch(&place, taken.records, state);
        batch.faults = taken.fault.map(|reason| RecordFault { index: 0, reason }).into_iter().collect();
        Ok(batch)
    }

    async fn ack(&mut self, _position: &Position) -> Result<(), SourceError> {
        // Nothing is kept for a position: the file itself is the memory.
        Ok(())
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.shared.open_files.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
