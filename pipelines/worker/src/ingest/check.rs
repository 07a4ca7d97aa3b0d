//! Records through the pipeline's function, and from its verdicts to items and dead letters. What passes can go where it
//! has to: it has the fields that choose its partitions and, where no function has judged it, the columns of sinks. Never
//! enters: reading, writing.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::RecordRef;
use millstream_connect::dead_letter::{DeadLetter, Origin};
use millstream_connector::SourceBatch;
use millstream_format::{Decoder, Encoder};
use millstream_wasm::{Batch, Function, Record};
use serde_json::value::RawValue;

use crate::error::WorkerError;
use crate::json_key;
use crate::lanes::{Item, What};
use crate::outbox::{self, Fits};
use crate::records::{TOO_LARGE, UNWRITABLE, too_large};

/// Checks records of one pipeline.
pub struct Checker {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The function and its transform's id, where there is one.
    pub function: Option<(Arc<str>, Function)>,
    wanted: Wanted,
    batch: Batch,
}

/// What a record has to have for the topics that it goes to.
#[derive(Default)]
pub struct Wanted {
    /// Fields that choose its partition.
    pub keys: Vec<String>,
    /// The columns of sinks, where no function checks records: decoders that store none.
    pub columns: Vec<Decoder>,
    /// What a topic's format may refuse: decoders that store all, and what writes their rows.
    pub written: Vec<(Decoder, Encoder)>,
    /// The topics that take it as it is, and those of `written`, with the most bytes of their batches.
    topics: Vec<(Arc<str>, usize)>,
    written_to: Vec<(Arc<str>, usize)>,
}

/// What is wrong with the size of a record for a topic.
fn misfit(
    (topic, bytes_max): &(Arc<str>, usize),
    value: &[u8],
    beside: impl Fn() -> usize,
) -> Option<(&'static str, String)> {
    let record = RecordRef { value: Some(value), ..RecordRef::default() };
    // The key is in the value too, and a header says how far others have come.
    if let Ok(Fits::Yes) = outbox::fits(&RecordRef { key: Some(value), ..record }, *bytes_max) {
        return None;
    }
    let most = bytes_max.saturating_sub(beside() + 64);
    match outbox::fits(&record, most) {
        Ok(Fits::No { bytes, .. }) => Some((TOO_LARGE, too_large(topic, bytes, *bytes_max))),
        Ok(Fits::Yes) => None,
        Err(error) => Some((TOO_LARGE, error.to_string())),
    }
}

impl Wanted {
    /// What a record lacks: a reason and the error in full.
    fn missing(&mut self, record: &[u8]) -> Option<(Cow<'static, str>, String)> {
        let malformed = Cow::Borrowed("malformed_json");
        if let Some(key) = self.keys.iter().find(|key| json_key::field(record, key).is_none()) {
            return Some(match serde_json::from_slice::<&RawValue>(record) {
                Err(error) => (malformed, error.to_string()),
                Ok(_) => {
                    ("no_key".into(), format!("it has no plain field {key:?}, which chooses its partition"))
                }
            });
        }
        let unfit = self.columns.iter_mut().find_map(|decoder| decoder.push(record).err());
        if let Some(bad) = unfit {
            return Some((bad.word("json").into(), bad.to_string()));
        }
        let keys = &self.keys;
        let beside = || keys.iter().filter_map(|key| json_key::field(record, key)).map(<[u8]>::len).sum();
        let word = |(reason, error): (&'static str, String)| (reason.into(), error);
        if let Some(misfit) = self.topics.iter().find_map(|topic| misfit(topic, record, beside)) {
            return Some(word(misfit));
        }
        self.written.iter_mut().enumerate().find_map(|(at, (decoder, encoder))| {
            if let Err(bad) = decoder.push(record) {
                return Some((bad.word("json").into(), bad.to_string()));
            }
            let mut value = Vec::new();
            match encoder.rows(&decoder.finish()).write(0, &mut value) {
                Err(why) => Some((UNWRITABLE.into(), why)),
                Ok(_) => misfit(self.written_to.get(at)?, &value, beside).map(word),
            }
        })
    }
}

/// A batch that was read.
pub struct Unchecked {
    /// The lane.
    pub lane: usize,
    /// The source's id.
    pub source: Arc<str>,
    /// What was read.
    pub batch: SourceBatch,
}

impl Checker {
    /// A checker.
    pub fn new(pipeline: Arc<str>, function: Option<(Arc<str>, Function)>, wanted: Wanted) -> Checker {
        Checker { pipeline, function, wanted, batch: Batch::new() }
    }

    /// Where records go: topics that take them as they are, and those in whose format they are written, each with the most bytes
    /// that its batches have.
    pub fn goes_to(&mut self, topics: Vec<(Arc<str>, usize)>, written_to: Vec<(Arc<str>, usize)>) {
        (self.wanted.topics, self.wanted.written_to) = (topics, written_to);
    }

    fn letter(&self, from: &Unchecked, index: usize, step: &str, why: (&str, &str), now: i64) -> What {
        let record = &from.batch.records[index];
        What::Bad(
            from.batch.first_sequence + index as u64,
            Box::new(DeadLetter {
                reason: why.0.to_owned(),
                error: why.1.to_owned(),
                step: step.to_owned(),
                pipeline: self.pipeline.to_string(),
                origin: Origin::Source(from.batch.origin_of(index)),
                at_ms: now,
                key: record.key.clone(),
                // The payload is a slice of its chunk; a letter that waits must not keep the whole chunk.
                payload: Bytes::copy_from_slice(&record.value),
                headers: record.headers.iter().map(|h| (h.key.to_string(), h.value.clone())).collect(),
            }),
        )
    }

    /// The items of each batch; `clocks` are the lanes' clocks before, and after.
    pub fn check(
        &mut self,
        read: &[Unchecked],
        now: i64,
        mut clock_of: impl FnMut(usize) -> i64,
    ) -> Result<Vec<(Vec<Item>, i64)>, WorkerError> {
        let mut places: Vec<(u32, u32)> = Vec::new();
        let mut verdicts: Vec<Vec<(u32, Verdict)>> = read.iter().map(|_| Vec::new()).collect();
        self.batch.clear();
        for (at, from) in read.iter().enumerate() {
            for (index, record) in from.batch.records.iter().enumerate() {
                if let Some(fault) = from.batch.faults.iter().find(|fault| fault.index == index) {
                    let what = self.letter(from, index, &from.source, ("bad_record", &fault.reason), now);
                    verdicts[at].push((index as u32, Verdict { timestamp: None, what }));
                    continue;
                }
                if self.function.is_none() {
                    let timestamp = record.timestamp_ms;
                    let what = match self.wanted.missing(&record.value) {
                        Some((reason, text)) => self.letter(from, index, &from.source, (&reason, &text), now),
                        None => {
                            What::Good { value: record.value.clone(), timestamp: timestamp.unwrap_or(now) }
                        }
                    };
                    verdicts[at].push((index as u32, Verdict { timestamp, what }));
                    continue;
                }
                self.batch.push(&Record {
                    key: record.key.as_deref(),
                    value: Some(&record.value),
                    timestamp_ms: record.timestamp_ms.unwrap_or(now),
                    offset: record.place as i64,
                    ..Record::default()
                });
                places.push((at as u32, index as u32));
            }
        }
        // What they took in is checked and of no more use.
        self.wanted.columns.iter_mut().for_each(|decoder| drop(decoder.finish()));
        if let Some((step, function)) = &self.function
            && !self.batch.is_empty()
        {
            let step = Arc::clone(step);
            let outcome =
                function.process(&self.batch).map_err(|error| WorkerError::Transient(error.to_string()))?;
            for emit in outcome.emits {
                let (at, index) = places[emit.input as usize];
                let value = emit.value.unwrap_or_default();
                let fault = match emit.output {
                    None => self.wanted.missing(&value),
                    Some(name) => {
                        let text =
                            format!("the function sent a record to {name:?}; outputs by name do not run yet");
                        Some(("unknown_output".into(), text))
                    }
                };
                let what = match fault {
                    None => What::Good { value, timestamp: emit.timestamp_ms },
                    Some((reason, text)) => {
                        self.letter(&read[at as usize], index as usize, &step, (&reason, &text), now)
                    }
                };
                verdicts[at as usize].push((index, Verdict { timestamp: Some(emit.timestamp_ms), what }));
            }
            for failed in outcome.failed {
                let (at, index) = places[failed.input as usize];
                let why = (failed.code.as_ref(), failed.trap.as_deref().unwrap_or(&failed.reason));
                let what = self.letter(&read[at as usize], index as usize, &step, why, now);
                verdicts[at as usize].push((index, Verdict { timestamp: None, what }));
            }
        }
        let mut checked = Vec::with_capacity(read.len());
        for (from, mut verdicts) in read.iter().zip(verdicts) {
            // Emits and failures each come in order; a record has several emits or one failure.
            verdicts.sort_by_key(|(index, _)| *index);
            let mut clock = clock_of(from.lane);
            let mut items = Vec::with_capacity(verdicts.len());
            for (index, Verdict { timestamp, what }) in verdicts {
                clock = clock.max(timestamp.unwrap_or(i64::MIN));
                items.push(Item { clock, index, what });
            }
            together(&mut items);
            checked.push((items, clock));
        }
        Ok(checked)
    }
}

/// Gives all that became of one record the clock of the last of them: a position lies before a record or behind it, so they
/// are emitted together.
fn together(items: &mut [Item]) {
    for at in (1..items.len()).rev() {
        if items[at - 1].index == items[at].index {
            items[at - 1].clock = items[at].clock;
        }
    }
}

struct Verdict {
    timestamp: Option<i64>,
    what: What,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_one_record_goes_together() {
        let item = |(index, clock)| {
            let what = What::Good { value: bytes::Bytes::new(), timestamp: clock };
            Item { clock, index, what }
        };
        let mut items: Vec<Item> = [(0, 10), (1, 15), (1, 20), (1, 30), (2, 30)].map(item).into();
        together(&mut items);
        assert_eq!(items.iter().map(|i| i.clock).collect::<Vec<_>>(), [10, 30, 30, 30, 30]);
    }
}
