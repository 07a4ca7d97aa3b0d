//! A sink stage: reads its topics as a member of its group, read committed, and hands rows to the sink, which keeps the
//! next offsets beside them and moves both in one step of its target's own. The target decides where to go on; the
//! group's offsets follow it for people and for retention. Where a target keeps none, the group's offsets decide, and are
//! committed right behind the sink's own commit: what was done between the two is done again after a crash. No broker
//! transaction is open meanwhile. Never enters: the foreign system.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use millstream_client::{
    ClientError, CommitPolicy, Consumer, ConsumerConfig, ConsumerRecords, Isolation, OffsetAndMetadata,
    OffsetReset, OutOfRange, Producer, ProducerConfig, RecordView,
};
use millstream_connect::dead_letter::{DeadLetter, Origin};
use millstream_connector::SinkError;
use millstream_connector::sink::{Change, Offsets, RowFault, Run, Sink, SinkBatch};
use millstream_engine::batch_ipc;
use millstream_format::{BadRecord, Decoder, Encoder, Format};
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::failpoint;
use crate::formats::Fetcher;
use crate::gone::{self, GoneReader};
use crate::group_events::{GroupEvent, GroupEvents};
use crate::outbox::{DeadLetters, Outbox};
use crate::progress::thread_cpu_ms;
use crate::restore;
use crate::run::StageContext;
use crate::trim::{self, Trimmer};

const POLL_WAIT: Duration = Duration::from_millis(100);
/// What a target that keeps no offsets gets in one commit, about: a crash has it sent again.
const POLL_BYTES_WITHOUT_OFFSETS: usize = 64 << 10;
/// How often the group's offsets follow the target's.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How often offsets are committed behind which there were no rows.
const ROWLESS_EVERY: Duration = Duration::from_secs(60);

/// What the stage is made of.
pub struct SinkStage {
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// The topics that it reads.
    pub inputs: Vec<SinkInput>,
    /// Where rows go that can never be written.
    pub dead_letters: Option<DeadLetters>,
    /// Whether a row that can never be written stops the pipeline.
    pub stop_on_bad: bool,
    /// Deletes what was committed.
    pub trimmer: Trimmer,
    /// Whether it goes on where records that the target does not have were deleted.
    pub skips_gaps: bool,
    /// The pipeline's name.
    pub pipeline: String,
    /// Rows that are known to be bad, over begin-agains.
    pub bad: BTreeMap<(TopicPartition, i64, u32), Bad>,
}

/// A row that can never be written.
pub struct Bad {
    /// Why.
    reason: String,
    /// Whether it is in the dead letters.
    is_told: bool,
}

/// A topic that a sink reads.
pub struct SinkInput {
    /// Its name.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: u32,
    /// What makes columns of its records; nothing where they are columns.
    pub decoder: Option<Decoder>,
    /// What fetches the schemas that its records name, where they do.
    pub fetcher: Option<Arc<Fetcher>>,
    /// What reads which row a record without a value takes away, where rows take the place of each other.
    pub gone: Option<GoneReader>,
    /// Whether the sink finds a row that is gone again: its key is what rows are known by. Where it is not, one that it wrote before
    /// stays: that is only so of results that cannot be computed, of streams whose rows do not go otherwise.
    pub finds_gone: bool,
}

struct Running<'a> {
    stage: &'a mut SinkStage,
    context: &'a StageContext,
    owned: BTreeSet<TopicPartition>,
    /// Behind what was staged.
    staged: Offsets,
    /// Behind what was committed.
    committed: Offsets,
    rows: u64,
    /// Partitions of which rows were staged since their last commit.
    dirty: BTreeSet<TopicPartition>,
    /// When progress without rows was last committed.
    caught_up: Instant,
}

/// Runs the stage until its input has ended, or it is told to stop.
pub async fn run(stage: &mut SinkStage, context: &StageContext) -> Result<(), WorkerError> {
    while let Ended::WithoutBadRows = run_once(stage, context).await? {
        tracing::warn!(stage = %context.stage, "rows that cannot be written were put aside; the stage begins again without them");
    }
    Ok(())
}

/// How a run ended.
enum Ended {
    Done,
    /// Rows were put aside that cannot be written: it is to begin again without them, at once.
    WithoutBadRows,
}

async fn run_once(stage: &mut SinkStage, context: &StageContext) -> Result<Ended, WorkerError> {
    let keeps_offsets = stage.sink.capabilities().keeps_offsets;
    let config = ConsumerConfig {
        commit: CommitPolicy::Manual,
        // Where to go on is asked for at each assignment. A position that is gone meanwhile is a gap, found when the stage
        // begins again.
        offset_reset: OffsetReset::Earliest,
        out_of_range: OutOfRange::Fail,
        isolation: Isolation::ReadCommitted,
        prefetch_bytes: 12 << 20,
        poll_bytes_max: context.poll_bytes(if keeps_offsets { 4 << 20 } else { POLL_BYTES_WITHOUT_OFFSETS }),
        ..context.member()
    };
    let mut consumer = Consumer::new(&context.cluster, config)?;
    let events = GroupEvents::default();
    consumer.set_listener(Box::new(events.clone()));
    let topics: Vec<Arc<str>> = stage.inputs.iter().map(|input| Arc::clone(&input.topic)).collect();
    consumer.subscribe(topics).await?;
    let mut running = Running {
        stage,
        context,
        owned: BTreeSet::new(),
        staged: Offsets::new(),
        committed: Offsets::new(),
        rows: 0,
        dirty: BTreeSet::new(),
        caught_up: Instant::now(),
    };
    let result = running.work(&mut consumer, &events).await;
    if let Err(Stop::Rows(faults)) = result {
        running.put_aside(faults)?;
        return Ok(Ended::WithoutBadRows);
    }
    if let Err(Stop::Error(error)) = result {
        return Err(error);
    }
    running.follow(&consumer).await?;
    running.stage.trimmer.trim_now(&context.cluster, running.committed.keys()).await;
    consumer.close().await?;
    Ok(Ended::Done)
}

/// Why a row is in the dead letters that the target refused.
const REFUSED: &str = "sink_refused";

/// The bad rows of a record.
fn bad_of(partition: &TopicPartition, offset: i64) -> std::ops::RangeInclusive<(TopicPartition, i64, u32)> {
    (partition.clone(), offset, 0)..=(partition.clone(), offset, u32::MAX)
}

fn stopped_by(letter: &DeadLetter) -> WorkerError {
    let DeadLetter { origin, reason, error, .. } = letter;
    WorkerError::Fatal(format!("{origin}: {reason}: {error}; `errors: data: action: stop` says to stop"))
}

enum Stop {
    Error(WorkerError),
    Rows(Vec<RowFault>),
}

impl<E: Into<WorkerError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Error(error.into())
    }
}

/// A sink's failure.
fn stop(error: SinkError) -> Stop {
    match error {
        SinkError::Data(faults) => Stop::Rows(faults),
        other => Stop::Error(other.into()),
    }
}

/// The row of a record that others may read too, or what it takes away; or why it is neither.
fn rows_of(
    decoder: &mut Decoder,
    gone: &mut Option<GoneReader>,
    record: &RecordView<'_>,
) -> Result<(RecordBatch, Change), (String, String)> {
    if let (None, Some(gone)) = (record.value, gone) {
        let malformed = |error: String| (format!("malformed_{}", decoder.format()), error);
        let rows = gone.read(record).map_err(malformed)?;
        let rows = gone::with_all_columns(&decoder.schema(), &rows);
        return Ok((rows.map_err(|error| malformed(error.to_string()))?, Change::Delete));
    }
    let format = decoder.format();
    let bad = |bad: BadRecord| (bad.word(format), bad.to_string());
    decoder.push_value(record.value).map_err(bad)?;
    Ok((decoder.finish(), Change::Upsert))
}

impl Running<'_> {
    fn keeps_offsets(&self) -> bool {
        self.stage.sink.capabilities().keeps_offsets
    }

    async fn work(&mut self, consumer: &mut Consumer, events: &GroupEvents) -> Result<(), Stop> {
        let mut followed = Instant::now();
        loop {
            let polled = self.context.poll(consumer, POLL_WAIT).await;
            let is_throttled = matches!(polled, Ok(None));
            let mut moved = BTreeSet::new();
            let events = events.take();
            for (at, event) in events.iter().enumerate() {
                match event {
                    GroupEvent::Assigned(partitions) => {
                        // Those that are gone again already are somebody else's.
                        let gone = |p: &TopicPartition| {
                            let later = events[at + 1..].iter();
                            later.into_iter().any(|e| matches!(e, GroupEvent::Gone(gone) if gone.contains(p)))
                        };
                        let partitions: BTreeSet<TopicPartition> =
                            partitions.iter().filter(|p| !gone(p)).cloned().collect();
                        self.open(consumer, &partitions).await?;
                        moved.extend(partitions);
                    }
                    GroupEvent::Gone(partitions) => {
                        let gone: Vec<TopicPartition> = partitions.iter().cloned().collect();
                        self.stage.sink.close(&gone).await.map_err(stop)?;
                        for partition in &gone {
                            self.owned.remove(partition);
                            self.staged.remove(partition);
                            self.dirty.remove(partition);
                            self.committed.remove(partition);
                        }
                    }
                }
            }
            let records = match polled {
                Ok(records) => records.unwrap_or_default(),
                // The position was that of the group, before the target was asked.
                Err(ClientError::OffsetOutOfRange { partition, offset })
                    if consumer.positions().get(&partition) != Some(&offset) =>
                {
                    ConsumerRecords::default()
                }
                Err(error) => {
                    if matches!(error, ClientError::OffsetOutOfRange { .. }) {
                        // What was read before the gap is good.
                        let all = self.owned.clone();
                        self.commit(consumer, &all).await?;
                    }
                    return Err(error.into());
                }
            };
            for part in &records.partitions {
                // What came in the poll that brought the partition is from before its seek.
                if moved.contains(&part.partition) || !self.owned.contains(&part.partition) {
                    continue;
                }
                let input = self.stage.inputs.iter().find(|input| input.topic == part.partition.topic);
                if let Some(fetcher) = input.and_then(|input| input.fetcher.as_ref()) {
                    fetcher.fetch(part.records().filter_map(|record| record.ok()?.value)).await?;
                }
                for record in part.records() {
                    let record = record?;
                    self.stage(&part.partition, &record).await?;
                }
                self.staged.insert(part.partition.clone(), part.next_offset);
            }
            let stopping = self.context.is_stopping();
            let mut due: BTreeSet<TopicPartition> = match stopping {
                true => self.owned.clone(),
                false => self.stage.sink.due(self.context.clock.wall_ms()).into_iter().collect(),
            };
            if is_throttled
                && !stopping
                && due.is_empty()
                && events.is_empty()
                && followed.elapsed() <= FOLLOW_EVERY
            {
                // What is done while nothing is taken in has to cost less than the share, or it would never end.
                continue;
            }
            let ended = self.ended(consumer);
            due.extend(ended.values().cloned());
            if self.caught_up.elapsed() > ROWLESS_EVERY {
                // Without rows, too, the target keeps up with its topic, whose retention goes on.
                self.caught_up = Instant::now();
                // A poll that brings no records that are seen moves the position and says nothing.
                for (partition, at) in consumer.positions() {
                    if self.owned.contains(&partition) && !self.dirty.contains(&partition) {
                        self.staged.insert(partition.clone(), at);
                        due.insert(partition);
                    }
                }
            }
            let began = Instant::now();
            self.commit(consumer, &due).await?;
            let committing = began.elapsed();
            self.context.progress.update(&self.context.stage, |figures| figures.committing += committing);
            self.context.ends.mark(&self.context.stage, &ended.into_keys().collect()).await?;
            if followed.elapsed() > FOLLOW_EVERY {
                self.follow(consumer).await?;
                self.trim().await;
                followed = Instant::now();
            }
            self.show(consumer);
            if stopping || self.context.ends.is_whole(&self.context.stage) {
                return Ok(());
            }
        }
    }

    /// Asks the target where to go on.
    async fn open(&mut self, consumer: &Consumer, partitions: &BTreeSet<TopicPartition>) -> Result<(), Stop> {
        let list: Vec<TopicPartition> = partitions.iter().cloned().collect();
        let mut known = self.stage.sink.open(&list).await.map_err(stop)?;
        if !self.keeps_offsets() {
            let committed = consumer.committed(&list).await?;
            known = list.iter().map(|p| (p.clone(), committed.get(p).map(|at| at.offset))).collect();
        }
        // Others delete what all groups have committed. Where the target has less than its group says, it was replaced or
        // set back: the group says so before it is asked what there is.
        let ends = restore::ends(&self.context.cluster, &list).await?;
        let end = |p: &TopicPartition| ends.get(p).copied().unwrap_or(i64::MAX);
        // What was made anew has nothing yet that the target has.
        let stands =
            |p: &TopicPartition| known.get(p).copied().flatten().filter(|at| *at <= end(p)).unwrap_or(0);
        let stands: BTreeMap<TopicPartition, OffsetAndMetadata> =
            list.iter().map(|p| (p.clone(), OffsetAndMetadata::new(stands(p)))).collect();
        if !stands.is_empty() {
            consumer.commit_offsets(&stands).await?;
        }
        let starts = restore::starts(&self.context.cluster, &list).await?;
        let mut skipped = Offsets::new();
        for partition in list {
            let mut next = known.get(&partition).copied().flatten();
            let start = starts.get(&partition).copied().unwrap_or(0);
            if let Some(next) = next.filter(|next| *next > end(&partition)) {
                let places = (next, end(&partition));
                return Err(trim::beyond_error(&self.context.stage, &partition, places).into());
            }
            let ours = self.stage.trimmer.readers.contains_key(&partition.topic);
            if let Some(from) = trim::gap(next, start, ours) {
                if !self.stage.skips_gaps {
                    return Err(trim::gap_error(&self.context.stage, &partition, (from, start)).into());
                }
                tracing::warn!(%partition, from, start, "records that the target does not have were deleted; they are skipped");
                next = Some(start);
                skipped.insert(partition.clone(), start);
            }
            match next {
                Some(next) => {
                    consumer.seek(&partition, next)?;
                    self.committed.insert(partition.clone(), next);
                }
                // The group's offset never runs ahead of the target's; where the target knows nothing, begin.
                None => consumer.seek_to_beginning(&partition)?,
            }
            self.owned.insert(partition);
        }
        if !skipped.is_empty() {
            // From now on the target knows where it begins, and the group says the same.
            self.stage.sink.commit(&skipped).await.map_err(stop)?;
            let begin = skipped.into_iter().map(|(p, at)| (p, OffsetAndMetadata::new(at))).collect();
            consumer.commit_offsets(&begin).await?;
        }
        Ok(())
    }

    /// Hands a record's rows to the sink.
    async fn stage(&mut self, partition: &TopicPartition, record: &RecordView<'_>) -> Result<(), Stop> {
        let RecordView { offset, value, .. } = *record;
        let input = self.stage.inputs.iter_mut().find(|input| input.topic == partition.topic);
        let finds_gone = input.as_ref().is_some_and(|input| input.finds_gone);
        let (rows, change) = match input {
            Some(SinkInput { decoder: Some(decoder), gone, .. }) => match rows_of(decoder, gone, record) {
                Ok(found) => found,
                Err((reason, bad)) => {
                    tracing::warn!(%partition, offset, %bad, "a record does not fit the sink's columns");
                    let payload = bytes::Bytes::copy_from_slice(value.unwrap_or_default());
                    let letter = self.letter(&reason, partition, (offset, None), bad, payload);
                    return Ok(self.send_letters(&[letter]).await?);
                }
            },
            _ => (batch_ipc::decode(value.unwrap_or_default())?, gone::change_of(record)?),
        };
        if change == Change::Delete && !finds_gone {
            return Ok(());
        }
        if change == Change::Delete && !self.stage.sink.capabilities().deletes {
            return Err(Stop::Error(WorkerError::Fatal(format!(
                "{partition} has rows at offset {offset} that are gone, and the sink of stage {} deletes none",
                self.context.stage
            ))));
        }
        let letters = self.new_letters(partition, offset, &rows)?;
        if !letters.is_empty() {
            self.send_letters(&letters).await?;
            let told = self.stage.bad.range_mut(bad_of(partition, offset));
            told.for_each(|(_, bad)| bad.is_told = true);
        }
        let batch = self.without_bad(partition, offset, (rows, change))?;
        if batch.rows().num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.rows().num_rows() as u64;
        self.dirty.insert(partition.clone());
        failpoint::reach(&self.context.stage, "before_stage");
        self.stage.sink.stage(partition, batch).await.map_err(stop)?;
        failpoint::reach(&self.context.stage, "after_stage");
        Ok(())
    }

    /// A batch without the rows that are known to be bad.
    fn without_bad(
        &self,
        partition: &TopicPartition,
        offset: i64,
        (rows, change): (RecordBatch, Change),
    ) -> Result<SinkBatch, Stop> {
        let bad: Vec<u32> =
            self.stage.bad.range(bad_of(partition, offset)).map(|((_, _, row), _)| *row).collect();
        let count = rows.num_rows() as u32;
        if bad.is_empty() {
            let runs = if count == 0 { Vec::new() } else { vec![Run { offset, first_row: 0, rows: count }] };
            return Ok(SinkBatch::new(rows, change, runs));
        }
        let keep: Vec<bool> = (0..count).map(|row| !bad.contains(&row)).collect();
        let mut runs: Vec<Run> = Vec::new();
        for row in (0..count).filter(|row| keep[*row as usize]) {
            match runs.last_mut() {
                Some(run) if run.first_row + run.rows == row => run.rows += 1,
                _ => runs.push(Run { offset, first_row: row, rows: 1 }),
            }
        }
        let rows = filter_record_batch(&rows, &keep.into())?;
        Ok(SinkBatch::new(rows, change, runs))
    }

    async fn commit(
        &mut self,
        consumer: &Consumer,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), Stop> {
        let mut next = Offsets::new();
        for partition in partitions {
            if let Some(offset) = self.staged.get(partition)
                && self.committed.get(partition) != Some(offset)
            {
                next.insert(partition.clone(), *offset);
            }
        }
        if next.is_empty() {
            return Ok(());
        }
        self.stage.sink.commit(&next).await.map_err(stop)?;
        let is_over =
            |partition: &TopicPartition, offset: i64| next.get(partition).is_some_and(|at| offset < *at);
        self.stage.bad.retain(|(partition, offset, _), _| !is_over(partition, *offset));
        self.dirty.retain(|partition| !next.contains_key(partition));
        let follows: BTreeMap<TopicPartition, OffsetAndMetadata> =
            next.iter().map(|(p, at)| (p.clone(), OffsetAndMetadata::new(*at))).collect();
        self.committed.extend(next);
        if !self.keeps_offsets() {
            consumer.commit_offsets(&follows).await?;
        }
        let rows = self.rows;
        self.context.progress.update(&self.context.stage, |figures| {
            figures.commits += 1;
            figures.counts.insert("rows written by this run".to_owned(), rows);
        });
        Ok(())
    }

    /// Lets the group's offsets follow the target's.
    async fn follow(&mut self, consumer: &Consumer) -> Result<(), WorkerError> {
        let offsets: BTreeMap<TopicPartition, OffsetAndMetadata> =
            self.committed.iter().map(|(p, at)| (p.clone(), OffsetAndMetadata::new(*at))).collect();
        if !offsets.is_empty() {
            consumer.commit_offsets(&offsets).await?;
        }
        Ok(())
    }

    /// Deletes what all sinks have of the owned partitions, where it is time.
    async fn trim(&mut self) {
        self.stage.trimmer.trim(&self.context.cluster, self.committed.keys()).await;
    }

    /// The owned partitions of which everything that there will ever be has been staged (WK-3), by their part: their
    /// number among those of all inputs.
    fn ended(&self, consumer: &Consumer) -> BTreeMap<u32, TopicPartition> {
        let mut found = BTreeMap::new();
        let mut first = 0;
        let positions = consumer.positions();
        for SinkInput { topic, partitions, .. } in &self.stage.inputs {
            let ends = self.context.ends.of(topic).unwrap_or_default();
            for (at, end) in ends.into_iter().enumerate() {
                let partition = TopicPartition::new(Arc::clone(topic), at as i32);
                let read = end == 0 || positions.get(&partition).is_some_and(|p| *p >= end);
                if read && self.owned.contains(&partition) {
                    found.insert(first + at as u32, partition);
                }
            }
            first += partitions;
        }
        found
    }

    fn show(&self, consumer: &Consumer) {
        let lag: i64 = self.owned.iter().filter_map(|p| consumer.lag(p)).sum();
        let rows = self.rows;
        self.context.progress.update(&self.context.stage, |figures| {
            figures.taken = rows;
            figures.lag = Some(lag.max(0) as u64);
            figures.cpu_ms = thread_cpu_ms();
        });
    }

    /// Rows that can never be written go to the dead letters, when the stage has begun again and comes by them.
    fn put_aside(&mut self, faults: Vec<RowFault>) -> Result<(), WorkerError> {
        for RowFault { partition, row, reason } in faults {
            tracing::warn!(%partition, offset = row.offset, row = row.row, %reason, "a row cannot be written");
            if self.stage.stop_on_bad {
                let place = (row.offset, Some(row.row));
                return Err(stopped_by(&self.letter(
                    REFUSED,
                    &partition,
                    place,
                    reason,
                    bytes::Bytes::new(),
                )));
            }
            self.stage.bad.insert((partition, row.offset, row.row), Bad { reason, is_told: false });
        }
        Ok(())
    }

    /// The dead letters of a record's bad rows, as JSON, that were not sent yet. They are kept before anything behind them is
    /// committed; a crash between may send them again.
    fn new_letters(
        &self,
        partition: &TopicPartition,
        offset: i64,
        rows: &RecordBatch,
    ) -> Result<Vec<DeadLetter>, WorkerError> {
        let bad = self.stage.bad.range(bad_of(partition, offset)).filter(|(_, bad)| !bad.is_told);
        let mut bad = bad.peekable();
        if bad.peek().is_none() {
            return Ok(Vec::new());
        }
        // Columns without a form in JSON leave the payload empty; the place and the reason are told all the same.
        let encoder = Encoder::new(&Format::Json, "", rows.schema_ref()).ok();
        let payload = |row: u32| {
            let mut payload = Vec::new();
            let encoded = encoder.as_ref().filter(|_| (row as usize) < rows.num_rows());
            match encoded.map(|encoder| encoder.rows(rows).write(row as usize, &mut payload)) {
                Some(Ok(_)) => payload.into(),
                _ => bytes::Bytes::new(),
            }
        };
        let letter = |row: u32, bad: &Bad| {
            self.letter(REFUSED, partition, (offset, Some(row)), bad.reason.clone(), payload(row))
        };
        Ok(bad.map(|((_, _, row), bad)| letter(*row, bad)).collect())
    }

    fn letter(
        &self,
        reason: &str,
        partition: &TopicPartition,
        (offset, row): (i64, Option<u32>),
        error: String,
        payload: bytes::Bytes,
    ) -> DeadLetter {
        DeadLetter {
            reason: reason.to_owned(),
            error,
            step: self.context.stage.clone(),
            pipeline: self.stage.pipeline.clone(),
            origin: Origin::Record {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset,
                row,
            },
            at_ms: self.context.clock.wall_ms(),
            key: None,
            payload,
            headers: Vec::new(),
        }
    }

    /// Returns when all of them are kept.
    async fn send_letters(&self, letters: &[DeadLetter]) -> Result<(), WorkerError> {
        if let (true, Some(letter)) = (self.stage.stop_on_bad, letters.first()) {
            return Err(stopped_by(letter));
        }
        let Some(to) = &self.stage.dead_letters else { return Ok(()) };
        let mut outbox = Outbox::default();
        for letter in letters {
            outbox.append_dead_letter(to, letter)?;
        }
        let producer = Producer::new(&self.context.cluster, ProducerConfig::default())?;
        for delivery in outbox.send(&producer).await? {
            delivery.wait().await?;
        }
        producer.close(Duration::from_secs(5)).await;
        Ok(())
    }
}
