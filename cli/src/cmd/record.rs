//! `millstream record`: what a topic holds, written as a recording that a pipeline's tests replay. Bounded by what was there
//! when it started, and read committed, since a pipeline sees nothing else. Never enters: the form of a line
//! (`millstream_spec::recording`), groups: nothing is committed.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use millstream_client::{ClientError, CommitPolicy, Consumer, ConsumerConfig, Isolation, OffsetReset};
use millstream_spec::recording::{Bytes, Record as Recorded};
use millstream_types::TopicPartition;

use super::consume::{POLL, chosen, has_reached, offsets};
use super::place::{self, Place};
use super::reach::Reach;
use crate::exit::Failure;
use crate::render::Stopped;

const ISOLATION: Isolation = Isolation::ReadCommitted;
/// The times by which Kafka's ListOffsets means the ends of a log.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Options of `record`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: millstream record sales --from 15m-ago --max-records 1000 > fixtures/sales.jsonl\n         millstream record sales --from 2026-11-21T10:00:00Z --to 2026-11-21T11:00:00Z --partitions 0,1 > sales.jsonl"
)]
pub struct Record {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// Where to start: beginning, an offset, a time (2026-11-21T10:00:00Z), an age (15m-ago)
    #[arg(long, value_name = "PLACE", default_value = "beginning", value_parser = place::place)]
    pub from: Place,
    /// Where to end, which is not taken any more: an offset, a time, an age; or end, what is there now
    #[arg(long, value_name = "PLACE", default_value = "end", value_parser = place::place)]
    pub to: Place,
    /// Only these partitions
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Vec<i32>,
    /// Stop after so many records, as they come from the partitions
    #[arg(long, value_name = "N")]
    pub max_records: Option<u64>,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Writes a recording.
pub fn command(options: Record) -> Result<(), Failure> {
    super::run(record(&options))
}

async fn record(options: &Record) -> Result<(), Stopped> {
    if options.from == Place::End || options.to == Place::Beginning {
        return Err(Stopped::usage(
            "nothing lies between: --from is beginning, an offset, a time or an age, and --to one of those behind it, or end",
        ));
    }
    let failure = |error| Stopped::from(options.reach.failure(error));
    let (cluster, admin) = options.reach.admin().await?;
    let count = options.reach.topic(&cluster, &options.topic).await?.partition_count();
    let partitions = chosen(&options.topic, count, &options.partitions)?;
    let at = |time: i64| offsets(&admin, ISOLATION, time, &partitions);
    let (mut starts, mut ends) = (at(EARLIEST).await.map_err(failure)?, at(LATEST).await.map_err(failure)?);
    match options.from {
        Place::Offset(from) => starts.values_mut().for_each(|start| *start = from.max(*start)),
        // Where no record is of that time or later, none is taken.
        Place::Time(time) => starts.extend(found(at(time).await.map_err(failure)?)),
        Place::Beginning | Place::End => {}
    }
    match options.to {
        Place::Offset(to) => ends.values_mut().for_each(|end| *end = to.min(*end)),
        Place::Time(time) => {
            for (partition, to) in found(at(time).await.map_err(failure)?) {
                ends.entry(partition).and_modify(|end| *end = to.min(*end));
            }
        }
        Place::Beginning | Place::End => {}
    }
    starts.retain(|partition, start| ends.get(partition).is_some_and(|end| *start < *end));
    if starts.is_empty() {
        return Ok(());
    }
    let config = ConsumerConfig {
        isolation: ISOLATION,
        commit: CommitPolicy::Manual,
        offset_reset: OffsetReset::Earliest,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(&cluster, config).map_err(failure)?;
    consumer.assign(starts.keys().cloned()).await.map_err(failure)?;
    for (partition, start) in &starts {
        consumer.seek(partition, *start).map_err(failure)?;
    }
    let result = write_all(options, &mut consumer, &ends).await;
    let closed = consumer.close().await;
    result?;
    closed.map_err(failure)
}

/// What a search by time found; behind all offsets where no record is of that time or later.
fn found(offsets: BTreeMap<TopicPartition, i64>) -> impl Iterator<Item = (TopicPartition, i64)> {
    offsets.into_iter().map(|(at, offset)| (at, if offset < 0 { i64::MAX } else { offset }))
}

async fn write_all(
    options: &Record,
    consumer: &mut Consumer,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Result<(), Stopped> {
    let failure = |error: ClientError| Stopped::from(options.reach.failure(error));
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout());
    let mut left = options.max_records.unwrap_or(u64::MAX);
    while left > 0 && !has_reached(consumer, ends) {
        let records = consumer.poll(POLL).await.map_err(failure)?;
        for part in &records.partitions {
            let at = &part.partition;
            let end = ends.get(at).copied().unwrap_or(i64::MAX);
            for record in part.records() {
                let record = record.map_err(failure)?;
                if left == 0 || record.offset >= end {
                    break;
                }
                let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
                let recorded = Recorded {
                    topic: at.topic.to_string(),
                    partition: at.partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(bytes),
                    value: record.value.map(bytes),
                    headers: record.headers.map(|h| (bytes(h.key), h.value.map(bytes))).collect(),
                };
                writeln!(out, "{}", recorded.to_line())?;
                left -= 1;
            }
        }
    }
    out.flush()?;
    Ok(())
}
