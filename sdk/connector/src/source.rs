//! Sources. A source finds splits; a split's one owner opens it at the last committed position and reads batches; each
//! commit stores the position, and what [`SplitReader::delta`] returns, in the broker transaction of the records, and
//! then acks. Invariant CN-1: a record is either before the committed position or read again, never both, never neither.
//!
//! The life of a reader, each arrow the worker's:
//! `open -> read* -> delta -> (transaction commits) -> ack -> read* …`; a transaction that fails drops the reader, and
//! the split is opened again at the committed position. A reader that is dropped has acked nothing since the last ack.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_types::Millis;

use crate::{Delivery, Position, SourceError, SplitId, StateEntry, async_trait};

/// What a source is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCapabilities {
    /// What it can promise.
    pub delivery: Delivery,
    /// Whether its splits end (a bounded input) or are watched for more.
    pub bounded: bool,
}

/// A part of the input that is read in order by one owner: a file, an HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its name.
    pub id: SplitId,
    /// What decides the owner: splits of one route have the same partition of the splits topic. Differs from the id
    /// where two names may turn out to be one thing (a renamed file).
    pub route: Bytes,
    /// What people call it, such as a path.
    pub label: Arc<str>,
    /// Bytes to read in all, as far as known; for progress bars.
    pub size_bytes: Option<u64>,
}

/// What a source has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// All splits, in name order, those that were found before too.
    pub splits: Vec<Split>,
    /// No other split will ever appear: the input is bounded and has been seen whole.
    pub complete: bool,
}

/// What may have changed since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// [`Source::discover`] may find something else than last time.
    pub discover: bool,
    /// These splits, whose readers were idle, may have more.
    pub readable: Vec<SplitId>,
}

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Stop after this many bytes of values; one record may exceed it.
    pub max_bytes: usize,
    /// Stop after this many records.
    pub max_records: usize,
    /// A reader that waits for its peers (HTTP) returns empty after this many milliseconds. A file returns at once.
    pub wait_ms: u64,
}

impl Default for ReadLimit {
    fn default() -> ReadLimit {
        ReadLimit { max_bytes: 1 << 20, max_records: 65_536, wait_ms: 100 }
    }
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub key: Arc<str>,
    /// Its value.
    pub value: Bytes,
}

/// A record as it came: raw bytes, not decoded, not even known to be UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// The key, where the source has one.
    pub key: Option<Bytes>,
    /// The payload; shares its chunk's memory.
    pub value: Bytes,
    /// Headers, where the source has them.
    pub headers: Vec<Header>,
    /// The time that the source itself gives, where it does.
    pub timestamp_ms: Option<Millis>,
    /// Where in the batch's origin: a line number from 1, or the source's own count.
    pub place: u64,
    /// Where its split goes on behind it, in the source's own count, such as the byte behind its line end. Says
    /// something to [`Source::position_behind`] only.
    pub end: u64,
}

impl SourceRecord {
    /// What [`Source::position_behind`] takes.
    pub fn record_end(&self) -> RecordEnd {
        RecordEnd { place: self.place, end: self.end }
    }
}

/// The end of a record in its split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordEnd {
    /// [`SourceRecord::place`].
    pub place: u64,
    /// [`SourceRecord::end`].
    pub end: u64,
}

/// A record that the source itself condemns, such as a line beyond the limit: to the dead letters with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Index in the batch.
    pub index: usize,
    /// Why, as the dead letter's reason.
    pub reason: String,
}

/// What comes after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// Read on.
    More,
    /// Nothing for now: wait for [`Source::changed`], or read again later.
    Idle,
    /// Nothing ever again.
    End,
}

/// Records, and the position after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceBatch {
    /// The records, in the split's order.
    pub records: Vec<SourceRecord>,
    /// The number of the first record, counted from the reader's opening; names records in [`Rejected`].
    pub first_sequence: u64,
    /// Where they come from, such as a path; `origin:place` is a record's origin.
    pub origin: Arc<str>,
    /// Those of them that must go to the dead letters.
    pub faults: Vec<RecordFault>,
    /// To be committed with them.
    pub next_position: Position,
    /// What comes after.
    pub state: ReadState,
}

impl SourceBatch {
    /// A record's origin for people and dead letters, such as `inbox/a.jsonl:17`.
    pub fn origin_of(&self, index: usize) -> String {
        format!("{}:{}", self.origin, self.records[index].place)
    }
}

/// A record that the pipeline sent to the dead letters, told to the source before the commit so that it can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// [`SourceBatch::first_sequence`] plus the record's index.
    pub sequence: u64,
    /// The dead letter's reason.
    pub reason: Arc<str>,
}

/// A foreign system that is read.
#[async_trait]
pub trait Source: Send {
    /// What it is like.
    fn capabilities(&self) -> SourceCapabilities;

    /// Finds the splits. `known` are the committed positions of this source's splits, at least of those whose route
    /// this worker owns; a file is recognised by them under a new name.
    async fn discover(&mut self, known: &BTreeMap<SplitId, Position>) -> Result<Discovery, SourceError>;

    /// Waits until something may have changed; for ever when nothing can. Cancel-safe.
    async fn changed(&mut self) -> Result<Changes, SourceError>;

    /// Opens a split that [`Source::discover`] found, after `from` (or at its beginning), with what was remembered.
    async fn open(
        &mut self,
        split: &SplitId,
        from: Option<&Position>,
        state: Vec<StateEntry>,
    ) -> Result<Box<dyn SplitReader>, SourceError>;

    /// The position behind a record in the midst of a batch that was read behind `from`: what [`SplitReader::read`]
    /// would have given, had it stopped there. `None` where the source cannot say it; the worker then reads the
    /// records again to learn it.
    async fn position_behind(
        &mut self,
        split: &SplitId,
        from: Option<&Position>,
        record: RecordEnd,
    ) -> Result<Option<Position>, SourceError> {
        let _ = (split, from, record);
        Ok(None)
    }
}

/// A split that is being read by its one owner.
#[async_trait]
pub trait SplitReader: Send {
    /// The next records. An empty batch is no end. Cancel-safe: what a dropped call had taken comes with the next one.
    async fn read(&mut self, limit: ReadLimit) -> Result<SourceBatch, SourceError>;

    /// What to remember with `position`, given which records were rejected since the last call. Called once before
    /// each commit; a source that remembers nothing returns nothing.
    fn delta(&mut self, position: &Position, rejected: &[Rejected]) -> Result<Vec<StateEntry>, SourceError> {
        let _ = (position, rejected);
        Ok(Vec::new())
    }

    /// `position` is durable: answers its peers, lets go of what was kept for it. Not called for a commit that failed.
    async fn ack(&mut self, position: &Position) -> Result<(), SourceError>;

    /// Takes nothing new from now on, so that what was read can be committed and acked before the reader is dropped.
    async fn stop(&mut self) {}
}
