//! What may be believed of the answers so far, and what the logs must therefore hold: every acknowledged record at its
//! offset (RP-1, RP-3), transactions whole or not at all (TX-1, TX-2), offsets as they were committed (GR-2), a committed
//! past that stays (RA-3). An answer that did not come is a maybe. Never enters: how the node works.

use std::collections::{BTreeMap, BTreeSet};

use millstream_batch::{ControlRecord, Decompressor, batches};
use millstream_log::ReadBound;
use millstream_replica::ReadAs;
use millstream_types::Offset;
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use crate::node::{Partition, Place, Waiter};

/// A transaction of a client.
pub type TxnId = u64;

/// What is known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Open.
    Open,
    /// Committed: the coordinator said so.
    Committed,
    /// It cannot have been committed.
    Aborted,
    /// Its commit was asked for and not answered.
    Unknown,
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Txn {
    /// What is known of its end.
    pub outcome: Outcome,
    /// Acknowledged records, and where.
    pub records: Vec<(Place, u64)>,
    /// Offsets: the key, and the value.
    pub offsets: Vec<(OffsetKey, i64)>,
}

/// A record that was sent.
#[derive(Clone, Debug)]
struct Sent {
    place: Place,
    txn: Option<TxnId>,
    key: u8,
    acked_at: Option<Offset>,
}

/// A committed offset: group, topic, partition.
pub type OffsetKey = (String, String, i32);

#[derive(Clone, Debug, Default)]
struct Committed {
    acked: Option<i64>,
    /// Sent and not answered, in order.
    doubts: Vec<i64>,
    /// The topic may have been deleted since.
    maybe_gone: bool,
}

/// See the module.
#[derive(Default)]
pub struct Oracle {
    sent: BTreeMap<u64, Sent>,
    /// What each offset below a high watermark was seen to hold.
    values: BTreeMap<Place, BTreeMap<Offset, String>>,
    high_watermarks: BTreeMap<Place, Offset>,
    /// Where a partition's start may have been moved by request.
    starts: BTreeMap<Place, Offset>,
    /// Flushed ends that were seen.
    flushed: BTreeMap<Place, Offset>,
    /// Every transaction.
    pub txns: BTreeMap<TxnId, Txn>,
    offsets: BTreeMap<OffsetKey, Committed>,
    metadata: BTreeMap<Offset, String>,
    /// Places whose topic may have been deleted.
    pub maybe_deleted: BTreeSet<millstream_types::Uuid>,
}

/// What a look at a partition found, for the marks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looked {
    /// Records of aborted transactions that a read_committed reader passed over.
    pub aborted_passed_over: usize,
    /// Whether a transaction was open.
    pub open_transaction: bool,
}

struct Row {
    offset: Offset,
    producer: i64,
    transactional: bool,
    marker: Option<bool>,
    value: String,
    id: Option<u64>,
    key: u8,
}

/// The id in a record's value.
pub fn id_of(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.get(..8)?.try_into().ok()?))
}

fn fault<T>(what: impl Into<String>) -> Result<T, String> {
    Err(what.into())
}

impl Oracle {
    /// A record is sent.
    pub fn send(&mut self, id: u64, place: Place, txn: Option<TxnId>, key: u8) {
        self.sent.insert(id, Sent { place, txn, key, acked_at: None });
    }

    /// It was acknowledged, at an offset.
    pub fn acked(&mut self, id: u64, offset: Offset) -> Result<(), String> {
        let Some(sent) = self.sent.get_mut(&id) else { return fault(format!("record {id} was never sent")) };
        if sent.acked_at.is_some_and(|at| at != offset) {
            return fault(format!(
                "RP-1: record {id} was acknowledged at {:?} and now at {offset}",
                sent.acked_at
            ));
        }
        sent.acked_at = Some(offset);
        if let Some(txn) = sent.txn {
            let place = sent.place;
            self.txns.entry(txn).and_modify(|t| t.records.push((place, id)));
        }
        Ok(())
    }

    /// A transaction begins.
    pub fn begin(&mut self, txn: TxnId) {
        let begun = Txn { outcome: Outcome::Open, records: Vec::new(), offsets: Vec::new() };
        self.txns.insert(txn, begun);
    }

    /// More is known of a transaction's end.
    pub fn end(&mut self, txn: TxnId, outcome: Outcome) -> Result<(), String> {
        let Some(t) = self.txns.get_mut(&txn) else { return Ok(()) };
        let contrary = matches!(
            (t.outcome, outcome),
            (Outcome::Committed, Outcome::Aborted) | (Outcome::Aborted, Outcome::Committed)
        );
        if contrary {
            return fault(format!("TX-2: transaction {txn} was {:?} and now is {outcome:?}", t.outcome));
        }
        if t.outcome == outcome {
            return Ok(());
        }
        t.outcome = outcome;
        for (key, value) in t.offsets.clone() {
            match outcome {
                Outcome::Committed => self.offset_acked(&key, value),
                Outcome::Aborted => self.offset_void(&key, value),
                Outcome::Open | Outcome::Unknown => {}
            }
        }
        Ok(())
    }

    /// An offset commit is sent.
    pub fn offset_sent(&mut self, key: &OffsetKey, value: i64) {
        self.offsets.entry(key.clone()).or_default().doubts.push(value);
    }

    /// It was refused, or can no longer be carried out.
    pub fn offset_void(&mut self, key: &OffsetKey, value: i64) {
        self.offsets.entry(key.clone()).or_default().doubts.retain(|v| *v != value);
    }

    /// It was acknowledged.
    pub fn offset_acked(&mut self, key: &OffsetKey, value: i64) {
        let c = self.offsets.entry(key.clone()).or_default();
        if let Some(at) = c.doubts.iter().position(|v| *v == value) {
            c.doubts.drain(..=at);
            c.acked = Some(value);
        }
    }

    /// A topic's deletion was asked for.
    pub fn topic_may_go(&mut self, topic: &str, id: millstream_types::Uuid) {
        self.maybe_deleted.insert(id);
        for (_, c) in self.offsets.iter_mut().filter(|((_, name, _), _)| name == topic) {
            c.maybe_gone = true;
        }
    }

    /// A committed offset was fetched; `None` where there is none.
    pub fn offset_fetched(&mut self, key: &OffsetKey, value: Option<i64>) -> Result<(), String> {
        let c = self.offsets.entry(key.clone()).or_default();
        let fits = match value {
            None => c.acked.is_none() || c.maybe_gone,
            Some(v) => c.acked == Some(v) || c.doubts.contains(&v),
        };
        if fits {
            return Ok(());
        }
        fault(format!("GR-2: {key:?} is {value:?}, and {c:?} is all that it may be"))
    }

    /// A partition's start may be at most here from now on.
    pub fn start_may_rise(&mut self, place: Place, to: Offset) {
        let start = self.starts.entry(place).or_default();
        *start = (*start).max(to);
    }

    /// A batch of metadata was committed (RA-3).
    pub fn metadata_committed(&mut self, end: Offset, records: String) -> Result<(), String> {
        if let Some(old) = self.metadata.get(&end) {
            return match *old == records {
                true => Ok(()),
                false => fault(format!("RA-3: before {end} stood {old}, and now {records}")),
            };
        }
        if let Some((last, _)) = self.metadata.last_key_value().filter(|(last, _)| **last > end) {
            return fault(format!("RA-3: a batch that ends at {end} is new, and {last} was committed"));
        }
        self.metadata.insert(end, records);
        Ok(())
    }

    /// Where the committed metadata ends.
    pub fn metadata_end(&self) -> Offset {
        self.metadata.last_key_value().map_or(0, |(end, _)| *end)
    }

    /// The cheap look, after every event.
    pub fn glance(&mut self, p: &Partition<Waiter>) -> Result<(), String> {
        let name = &p.name;
        let bounds = p.replica.bounds();
        if bounds.last_stable_offset > bounds.high_watermark || bounds.high_watermark > bounds.log_end {
            return fault(format!("RP-2: {name} stands at {bounds:?}"));
        }
        if p.log.producers().first_unstable_offset().is_some_and(|first| bounds.last_stable_offset > first) {
            return fault(format!("TX-4: {name} has a last stable offset of {}", bounds.last_stable_offset));
        }
        let flushed = self.flushed.entry(p.place).or_default();
        *flushed = (*flushed).max(p.log.flushed_end_offset());
        if p.log.log_end_offset() < *flushed {
            return fault(format!(
                "LG-3: {name} ends at {} and was flushed to {flushed}",
                p.log.log_end_offset()
            ));
        }
        if p.replica.check_serving(None).is_ok() {
            let seen = self.high_watermarks.entry(p.place).or_default();
            if bounds.high_watermark < *seen {
                return fault(format!(
                    "RP-2: {name}'s high watermark fell from {seen} to {}",
                    bounds.high_watermark
                ));
            }
            *seen = bounds.high_watermark;
        }
        Ok(())
    }

    fn rows(p: &Partition<Waiter>, compacted: bool) -> Result<Vec<Row>, String> {
        let name = &p.name;
        let mut rows: Vec<Row> = Vec::new();
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        let mut at = p.log.log_start_offset();
        let mut expected = None;
        loop {
            let bound =
                ReadBound { bytes_max: 1 << 22, upper_bound: p.log.log_end_offset(), min_one_batch: true };
            let read = p.log.read(at, &bound).map_err(|e| format!("{name} cannot be read at {at}: {e}"))?;
            let Some(slice) = read.slice else { break };
            let bytes = slice.read().map_err(|e| e.to_string())?;
            let before = at;
            for batch in batches(&bytes) {
                let Ok(batch) = batch else { break };
                let header = *batch.header();
                batch.check_crc().map_err(|e| format!("LG-2: {name} at {}: {e}", header.base_offset))?;
                let next = header.base_offset;
                if expected.is_some_and(|e| if compacted { next < e } else { next != e }) {
                    return fault(format!("LG-1: {name} has {next} where {expected:?} comes next"));
                }
                expected = Some(header.next_offset());
                for record in batch.records(&mut scratch).map_err(|e| e.to_string())? {
                    let record = record.map_err(|e| format!("LG-2: {name}: {e}"))?;
                    let marker = match header.attributes.is_control() {
                        false => None,
                        true => match ControlRecord::parse(&record).map_err(|e| e.to_string())? {
                            ControlRecord::Commit(_) => Some(true),
                            _ => Some(false),
                        },
                    };
                    let value = record.value.unwrap_or_default();
                    let fresh = record.offset >= p.log.log_start_offset();
                    if fresh {
                        rows.push(Row {
                            offset: record.offset,
                            producer: header.producer_id,
                            transactional: header.attributes.is_transactional(),
                            marker,
                            value: format!("{:?}={value:?} by {}", record.key, header.producer_id),
                            id: if marker.is_none() { id_of(value) } else { None },
                            key: record.key.and_then(|k| k.first()).copied().unwrap_or(0),
                        });
                    }
                }
                at = header.next_offset();
            }
            if at == before {
                break;
            }
        }
        Ok(rows)
    }

    /// What a partition's transactions look like, for whoever reads a failure.
    pub fn tell(p: &Partition<Waiter>) -> String {
        let rows = Self::rows(p, true).unwrap_or_default();
        let rows = rows.iter().filter(|r| r.transactional || r.marker.is_some());
        let told = rows.map(|r| format!("{}: {} {:?} {:?}", r.offset, r.producer, r.marker, r.id));
        let producers = p.log.producers().entries();
        format!("{:?}, producers {producers:?}", told.collect::<Vec<_>>())
    }

    /// The whole look at a partition of a client's topic that serves.
    pub fn look(&mut self, p: &Partition<Waiter>) -> Result<Looked, String> {
        let name = &p.name;
        let mut looked = Looked::default();
        if p.log.is_failed() || p.replica.check_serving(None).is_err() {
            return Ok(looked);
        }
        let config = p.log.config();
        let compacted = config.cleanup_policy.compact;
        let keeps = !compacted && config.retention_ms < 0 && config.retention_bytes < 0;
        let bounds = p.replica.bounds();
        let start = p.log.log_start_offset();
        if keeps && start > self.starts.get(&p.place).copied().unwrap_or(0) {
            return fault(format!("RP-3: {name} begins at {start}, and nobody asked for that"));
        }
        let rows = Self::rows(p, compacted)?;
        let mut open: BTreeMap<i64, Offset> = BTreeMap::new();
        let mut seen: BTreeMap<u64, Offset> = BTreeMap::new();
        let values = self.values.entry(p.place).or_default();
        for row in &rows {
            if row.offset < bounds.high_watermark {
                let old = values.entry(row.offset).or_insert_with(|| row.value.clone());
                if *old != row.value {
                    return fault(format!("RP-1: {name} at {} was {old} and is {}", row.offset, row.value));
                }
            }
            match row.marker {
                Some(_) => _ = open.remove(&row.producer),
                None if row.transactional => _ = open.entry(row.producer).or_insert(row.offset),
                None => {}
            }
            let Some(id) = row.id else { continue };
            if let Some(before) = seen.insert(id, row.offset) {
                return fault(format!("record {id} is twice in {name}: at {before} and {}", row.offset));
            }
            match self.sent.get(&id) {
                Some(sent) if sent.place == p.place => {}
                other => {
                    return fault(format!(
                        "{name} holds {id} at {}, which was sent as {other:?}",
                        row.offset
                    ));
                }
            }
        }
        looked.open_transaction = !open.is_empty();
        if let Some(first) = open.values().min().filter(|first| bounds.last_stable_offset > **first) {
            return fault(format!("TX-4: {name} has a transaction open at {first}, and {bounds:?}"));
        }
        self.check_acked(p, &rows, &seen, compacted)?;
        looked.aborted_passed_over = self.check_committed_view(p, &rows)?;
        Ok(looked)
    }

    fn check_acked(
        &self,
        p: &Partition<Waiter>,
        rows: &[Row],
        seen: &BTreeMap<u64, Offset>,
        compacted: bool,
    ) -> Result<(), String> {
        let name = &p.name;
        let start = p.log.log_start_offset();
        for (id, sent) in self.sent.iter().filter(|(_, s)| s.place == p.place) {
            let Some(at) = sent.acked_at.filter(|at| *at >= start) else { continue };
            if compacted {
                if !rows.iter().any(|r| r.marker.is_none() && r.key == sent.key && r.offset >= at) {
                    return fault(format!("RP-3: {name} has nothing of key {} from {at} on", sent.key));
                }
            } else if seen.get(id) != Some(&at) {
                return fault(format!(
                    "RP-3: {name} was acknowledged to hold {id} at {at}, and has it at {:?}",
                    seen.get(id)
                ));
            }
        }
        Ok(())
    }

    /// Reads as a read_committed client does: the ids that it is given, and how many it passed over.
    fn read_committed(p: &Partition<Waiter>, rows: &[Row]) -> Result<(BTreeSet<u64>, usize), String> {
        let fetched = p
            .read(p.log.log_start_offset(), 1 << 22, ReadAs::Committed)
            .map_err(|e| format!("{} cannot be read: {e}", p.name))?;
        let mut aborted: BTreeMap<i64, Vec<Offset>> = BTreeMap::new();
        for (producer, first) in fetched.aborted {
            aborted.entry(producer).or_default().push(first);
        }
        let mut inside: BTreeSet<i64> = BTreeSet::new();
        let (mut given, mut passed) = (BTreeSet::new(), 0);
        for row in rows.iter().take_while(|r| r.offset < fetched.upper_bound) {
            if let Some(firsts) = aborted.get_mut(&row.producer)
                && firsts.iter().any(|first| *first <= row.offset)
            {
                firsts.retain(|first| *first > row.offset);
                inside.insert(row.producer);
            }
            match (row.marker, row.id) {
                (Some(_), _) => _ = inside.remove(&row.producer),
                (None, Some(_)) if row.transactional && inside.contains(&row.producer) => passed += 1,
                (None, Some(id)) => _ = given.insert(id),
                (None, None) => {}
            }
        }
        Ok((given, passed))
    }

    fn check_committed_view(&mut self, p: &Partition<Waiter>, rows: &[Row]) -> Result<usize, String> {
        let (given, passed) = Self::read_committed(p, rows)?;
        for id in given {
            let Some(txn) = self.sent.get(&id).and_then(|s| s.txn) else { continue };
            match self.txns.get(&txn).map(|t| t.outcome) {
                Some(Outcome::Aborted | Outcome::Open) => {
                    let aborted =
                        p.log.aborted_transactions(p.log.log_start_offset(), p.log.log_end_offset());
                    return fault(format!(
                        "TX-1: {} gives {id} of transaction {txn}, which did not commit; aborted {aborted:?}, holds {}",
                        p.name,
                        Self::tell(p)
                    ));
                }
                Some(Outcome::Unknown) => self.end(txn, Outcome::Committed)?,
                Some(Outcome::Committed) | None => {}
            }
        }
        Ok(passed)
    }

    /// At the end, when every transaction has ended: those that committed are given whole, the others not at all (TX-2).
    pub fn whole_or_not_at_all<'a>(
        &mut self,
        partitions: impl Iterator<Item = &'a Partition<Waiter>>,
    ) -> Result<usize, String> {
        let mut given: BTreeMap<Place, (Offset, BTreeSet<u64>)> = BTreeMap::new();
        for p in partitions {
            let compacted = p.log.config().cleanup_policy.compact;
            let rows = Self::rows(p, compacted)?;
            given.insert(p.place, (p.log.log_start_offset(), Self::read_committed(p, &rows)?.0));
        }
        let mut whole = 0;
        for (id, txn) in self.txns.iter().filter(|(_, t)| t.outcome == Outcome::Committed) {
            for (place, record) in &txn.records {
                let Some((start, given)) = given.get(place) else { continue };
                let at = self.sent.get(record).and_then(|s| s.acked_at).unwrap_or(-1);
                if at >= *start && !given.contains(record) {
                    return fault(format!(
                        "TX-2: transaction {id} committed, and {record} at {at} of {place:?} is not given"
                    ));
                }
            }
            whole += usize::from(txn.records.len() > 1);
        }
        Ok(whole)
    }

    /// Every key that an offset was committed for.
    pub fn offset_keys(&self) -> Vec<OffsetKey> {
        self.offsets.keys().cloned().collect()
    }
}
