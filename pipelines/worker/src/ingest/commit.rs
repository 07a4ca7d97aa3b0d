//! A commit of the ingest stage: what may go is put into one transaction, which is carried out while the stage reads on;
//! the next one waits for it. Never enters: what is read next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use millstream_client::{Consumer, HeaderView, OffsetAndMetadata, RecordRef};
use millstream_connect::rate::Verdict;
use millstream_connector::{Position, ReadLimit, ReadState, RecordEnd, Rejected};
use millstream_engine::batch_ipc;
use millstream_engine::state::RECORD_BYTES_MAX;
use millstream_format::BadRecord;
use millstream_format::json::JsonRows;
use millstream_types::TopicPartition;
use millstream_types::hash::partition_for_key;

use super::{Flight, Ingest, IngestOutput, ROUND_BYTES};
use crate::error::{WorkerError, over_rate};
use crate::json_key;
use crate::lanes::{self, Advance, Item, Lane, What};
use crate::levels::{self, Came};
use crate::outbox::{Fits, Outbox};
use crate::positions;
use crate::records::{NoRecord, Together, put_together, too_large};
use crate::transaction::Transaction;

impl Ingest<'_> {
    /// Begins to commit what may go, in one transaction. No other is under way.
    pub(super) async fn commit(&mut self, consumer: &Consumer) -> Result<(), WorkerError> {
        let level = lanes::level(self.lanes.iter());
        let bytes_of = |lanes: &[Lane]| lanes.iter().map(Lane::held_bytes).sum::<usize>();
        let held_before = bytes_of(&self.lanes);
        let (mut items, mut advances) = (Vec::new(), Vec::new());
        let mut rejected: BTreeMap<usize, Vec<Rejected>> = BTreeMap::new();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let before = items.len();
            lane.emit(at, level, &mut items, &mut advances);
            let Some(current) = lane.current.as_ref().filter(|_| !lane.bounded) else { continue };
            for item in &items[before..] {
                if let What::Bad(sequence, letter) = &item.what {
                    let reason = letter.reason.as_str().into();
                    rejected.entry(current.split).or_default().push(Rejected { sequence: *sequence, reason });
                }
            }
        }
        self.read_since = 0;
        if advances.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        self.watch_rate(&items)?;
        items.sort_by_key(|item: &Item| item.clock);
        let now = self.context.clock.wall_ms();
        let mut outbox = Outbox::default();
        let others = match self.has_levels() {
            true => self.context.ends.level_of_others(&self.context.stage, &self.owned),
            // Nobody says one, and a bound that never rises would keep every window open.
            false => None,
        };
        let others = others.map(i64::to_be_bytes);
        let others = others.as_ref().map(|at| HeaderView { key: levels::HEADER.as_bytes(), value: Some(at) });
        for item in &items {
            self.emit(&mut outbox, item, others.as_slice())?;
        }
        self.emit_columns(&mut outbox, now, others.as_slice())?;
        // The last position of each split; what lies in between was emitted too.
        let mut moved: BTreeMap<usize, Position> = BTreeMap::new();
        for advance in advances {
            match advance {
                Advance::To(split, position) => drop(moved.insert(split, position)),
                Advance::Part { lane, split, from, records, end } => {
                    let position = self.position_behind(split, from.as_ref(), records, end).await?;
                    if let Some(batch) = self.lanes[lane].held.front_mut() {
                        batch.start = Some(position.clone());
                    }
                    moved.insert(split, position);
                }
            }
        }
        let mut touched = BTreeSet::from([]);
        for (split, position) in &moved {
            let state = &self.splits[*split];
            let id = &self.stage.sources[state.source].0;
            let place = (id.as_ref(), &state.split.id);
            positions::write_position(
                &mut outbox,
                &self.stage.positions,
                state.partition,
                now,
                place,
                position,
            )?;
            touched.insert(state.partition);
        }
        for lane in &mut self.lanes {
            let Some(current) = &mut lane.current else { continue };
            let Some(position) = moved.get(&current.split) else { continue };
            let state = &self.splits[current.split];
            let id = &self.stage.sources[state.source].0;
            let rejected = rejected.remove(&current.split).unwrap_or_default();
            for entry in current.reader.delta(position, &rejected)? {
                let place = (id.as_ref(), &state.split.id);
                positions::write_state(
                    &mut outbox,
                    &self.stage.positions,
                    state.partition,
                    now,
                    place,
                    &entry,
                )?;
            }
        }
        let who = (self.context.stage.as_str(), self.context.instance.as_str());
        positions::write_counts(&mut outbox, &self.stage.positions, now, who, &self.counts)?;
        let offsets = touched.iter().map(|partition| {
            let partition = TopicPartition::new(Arc::clone(&self.stage.splits), *partition as i32);
            (partition, OffsetAndMetadata::new(0))
        });
        let transaction = Transaction {
            stage: self.context.stage.clone(),
            outbox,
            offsets: offsets.collect(),
            consumer: consumer.handle(),
            cluster: Arc::clone(&self.context.cluster),
            time: self.context.transaction_time.clone(),
        };
        tracing::debug!(stage = %self.context.stage, items = items.len(), build_ms = began.elapsed().as_millis(), "built");
        let held = self.group.hold().await;
        let producer = Arc::clone(&self.producer);
        let task = tokio::spawn(async move {
            let committed = transaction.commit(&producer).await;
            drop(held);
            committed
        });
        let bytes = held_before.saturating_sub(bytes_of(&self.lanes));
        self.flight = Some(Flight { task, moved, level: self.emitted_level(), bytes });
        self.note_memory();
        Ok(())
    }

    /// Waits for the commit that is under way, and tells those who wait for it.
    pub(super) async fn settle(&mut self) -> Result<(), WorkerError> {
        let Some(Flight { task, moved, level, .. }) = self.flight.take() else { return Ok(()) };
        task.await.map_err(|error| WorkerError::Fatal(format!("committing: {error}")))??;
        for lane in &mut self.lanes {
            let Some(current) = &mut lane.current else { continue };
            if let Some(position) = moved.get(&current.split) {
                current.reader.ack(position).await?;
            }
        }
        for (split, position) in moved {
            self.splits[split].position = Some(position);
        }
        self.note_memory();
        self.say_level(level).await?;
        self.context.progress.update(&self.context.stage, |figures| figures.commits += 1);
        self.show();
        Ok(())
    }

    /// Does not go on where too many records are bad: nothing of this commit is written, and the next run reads it again.
    fn watch_rate(&mut self, items: &[Item]) -> Result<(), WorkerError> {
        let Some(guard) = &mut self.stage.rate else { return Ok(()) };
        let bad = items.iter().filter(|item| matches!(item.what, What::Bad(..))).count() as u64;
        match guard.seen(self.context.clock.monotonic_ms(), items.len() as u64, bad) {
            Verdict::Go => Ok(()),
            Verdict::Over { bad, all } => {
                let text = over_rate(bad, all);
                let waits = self.stage.pauses && !self.stage.is_bounded();
                Err(if waits { WorkerError::Paused(text) } else { WorkerError::Fatal(text) })
            }
        }
    }

    /// Puts one record where it goes.
    fn emit(
        &mut self,
        outbox: &mut Outbox,
        item: &Item,
        headers: &[HeaderView<'_>],
    ) -> Result<(), WorkerError> {
        let mut count = |name: &str| match self.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(name.to_owned(), 1)),
        };
        count("read");
        let (value, timestamp) = match &item.what {
            What::Good { value, timestamp } => (value, *timestamp),
            What::Bad(_, letter) => {
                count(&format!("rejected.{}", letter.reason));
                if self.stage.stop_on_bad {
                    let text = format!(
                        "{}: {}; `errors: data: action: stop` says to stop",
                        letter.reason, letter.error
                    );
                    return Err(WorkerError::Fatal(text));
                }
                return match &self.stage.dead_letters {
                    Some(to) => outbox.append_dead_letter(to, letter),
                    None => Ok(()),
                };
            }
        };
        count("good");
        for output in &mut self.stage.outputs {
            match output {
                IngestOutput::Json { topic, partitions, key, bytes_max } => {
                    let (key, partition) = placed(value, (topic, *partitions), key.as_deref(), self.rounds)?;
                    let record = RecordRef { timestamp, key, value: Some(value), headers };
                    if let Fits::No { bytes, most } =
                        outbox.append_fitting((topic, partition), &record, *bytes_max)?
                    {
                        return Err(WorkerError::Fatal(too_large(topic, bytes, most)));
                    }
                }
                IngestOutput::Rows { topic, partitions, decoder, waiting, .. } => {
                    decoder.push(value).map_err(|bad| unfit(topic, &bad))?;
                    waiting.push((timestamp, self.rounds % *partitions));
                }
                // It passed every check, and a sink cannot take it: the schema or a check is wrong.
                IngestOutput::Arrow { topic, decoder, .. } => {
                    decoder.push(value).map_err(|bad| unfit(topic, &bad))?;
                }
            }
        }
        Ok(())
    }

    /// Puts the columns of this commit into the topics of sinks, and those of topics with a format of their own into
    /// records.
    fn emit_columns(
        &mut self,
        outbox: &mut Outbox,
        now: i64,
        headers: &[HeaderView<'_>],
    ) -> Result<(), WorkerError> {
        for output in &mut self.stage.outputs {
            if let IngestOutput::Rows {
                topic,
                partitions,
                key,
                bytes_max,
                decoder,
                encoder: Some(encoder),
                waiting,
                ..
            } = output
            {
                let batch = decoder.finish();
                let column = key.as_deref().and_then(|key| batch.schema().index_of(key).ok());
                let keys = column.map(|at| batch.project(&[at])).transpose()?;
                let keys = keys.as_ref().map(JsonRows::new);
                if encoder.is_of_many() {
                    let mut parts = vec![Vec::new(); *partitions as usize];
                    for (row, (_, partition)) in waiting.iter().enumerate() {
                        let mut text = Vec::new();
                        let has_key = keys.as_ref().is_some_and(|keys| keys.write_plain(0, row, &mut text));
                        let keyed = has_key.then(|| partition_for_key(&text, *partitions as i32) as u32);
                        parts[keyed.unwrap_or(*partition) as usize].push(row as u32);
                    }
                    let times: Vec<i64> = waiting.drain(..).map(|(timestamp, _)| timestamp).collect();
                    let latest =
                        |rows: &[u32]| rows.iter().map(|row| times[*row as usize]).max().unwrap_or(now);
                    let how = Together { bytes_max: *bytes_max, headers };
                    let left_out = put_together(outbox, topic, &how, &batch, &parts, latest)?;
                    if let Some(NoRecord { why, .. }) = left_out.into_iter().next() {
                        return Err(WorkerError::Fatal(why));
                    }
                    continue;
                }
                let rows = encoder.rows(&batch);
                let (mut value, mut text) = (Vec::new(), Vec::new());
                for (row, (timestamp, partition)) in waiting.drain(..).enumerate() {
                    value.clear();
                    text.clear();
                    let has_key = keys.as_ref().is_some_and(|keys| keys.write_plain(0, row, &mut text));
                    let key = has_key.then_some(text.as_slice());
                    let keyed = key.map(|key| partition_for_key(key, *partitions as i32) as u32);
                    let partition = keyed.unwrap_or(partition);
                    let written = rows.write(row, &mut value).map_err(|why| {
                        WorkerError::Fatal(format!(
                            "a record for topic {topic} passed its checks and has no form in the topic's format: {why}; \
                             nothing of this commit is written; correct the schema or the check and run again"
                        ))
                    })?;
                    let value = written.map(|()| value.as_slice());
                    outbox.append(topic, partition, &RecordRef { timestamp, key, value, headers })?;
                }
                continue;
            }
            let IngestOutput::Arrow { topic, partitions, decoder } = output else { continue };
            if decoder.rows() == 0 {
                continue;
            }
            let rows = decoder.finish();
            for (at, record) in batch_ipc::encode(&rows, RECORD_BYTES_MAX)?.iter().enumerate() {
                outbox.append_value(topic, (self.rounds + at as u32) % *partitions, now, record)?;
            }
        }
        Ok(())
    }

    /// The position some records behind another, the last of which ends at `end`; where the source cannot say it,
    /// found by reading them again.
    async fn position_behind(
        &mut self,
        split: usize,
        from: Option<&Position>,
        records: u32,
        end: RecordEnd,
    ) -> Result<Position, WorkerError> {
        let state = &self.splits[split];
        let (id, source) = &mut self.stage.sources[state.source];
        if let Some(position) = source.position_behind(&state.split.id, from, end).await? {
            return Ok(position);
        }
        let mut reader = source.open(&state.split.id, from, Vec::new()).await?;
        let mut left = records as usize;
        loop {
            let limit = ReadLimit { max_bytes: ROUND_BYTES, max_records: left, wait_ms: 0 };
            let batch = reader.read(limit).await?;
            let read = batch.records.len();
            if read > left || (read < left && batch.state != ReadState::More) {
                return Err(WorkerError::Transient(format!(
                    "reading {records} records of {id} {} again gave others; the input changed while it was read",
                    state.split.label
                )));
            }
            left -= read;
            if left == 0 {
                return Ok(batch.next_position);
            }
        }
    }

    /// Whether lanes' clocks are event times: a function gives those, and bounded input is read by them.
    fn has_levels(&self) -> bool {
        self.stage.checker.function.is_some()
            && self.stage.sources.iter().any(|(_, source)| source.capabilities().bounded)
    }

    /// Says how far this worker has come, where there are others.
    pub(super) async fn say_level(&self, level: i64) -> Result<(), WorkerError> {
        let (ends, stage) = (&self.context.ends, &self.context.stage);
        if !self.has_levels() || self.owned.len() as u32 >= ends.parts_of(stage) {
            return Ok(());
        }
        ends.say_level(stage, Came { level, reached: level }, &self.owned).await
    }

    /// What will be emitted lies at or behind this event time.
    pub(super) fn emitted_level(&self) -> i64 {
        let bounded = |at: usize| self.stage.sources[at].1.capabilities().bounded;
        if (0..self.complete.len()).any(|at| bounded(at) && !self.complete[at]) {
            return i64::MIN;
        }
        let held = self.lanes.iter().filter(|lane| lane.bounded).filter_map(Lane::first_held);
        held.min().unwrap_or(i64::MAX).min(lanes::level(self.lanes.iter()))
    }
}

/// A record's key and partition, by the topic's key.
fn placed<'a>(
    value: &'a [u8],
    (topic, partitions): (&str, u32),
    key: Option<&str>,
    round: u32,
) -> Result<(Option<&'a [u8]>, u32), WorkerError> {
    let Some(name) = key else { return Ok((None, round % partitions)) };
    let key = json_key::field(value, name).ok_or_else(|| {
        WorkerError::Fatal(format!(
            "a record for topic {topic} has no plain field {name:?}, which chooses its partition"
        ))
    })?;
    Ok((Some(key), partition_for_key(key, partitions as i32) as u32))
}

fn unfit(topic: &str, bad: &BadRecord) -> WorkerError {
    WorkerError::Fatal(format!(
        "a record for topic {topic} passed its checks and does not fit its columns: {bad}; nothing of this commit is \
         written; correct the columns or the check and run again"
    ))
}
