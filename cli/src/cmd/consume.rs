//! `millstream consume`: records of a topic, printed; as a member of a group or outside of any. Positions are committed when
//! what they stand behind has been printed. Never enters: fetching (`millstream-client`), what a record looks like
//! (`consume/line.rs`).

mod line;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::time::Duration;

use millstream_client::admin::Admin;
use millstream_client::retry::Action;
use millstream_client::{
    ClientError, Cluster, CommitPolicy, Consumer, ConsumerConfig, ConsumerRecords, Isolation,
    OffsetAndMetadata, OffsetReset,
};
use millstream_types::TopicPartition;

use super::place::{self, Place};
use super::reach::Reach;
use crate::exit::Failure;
use crate::render::Stopped;
use line::{Column, Line, Shape};

/// How long a poll waits. A consumer that reads until the end looks between polls whether it is there: the end of a
/// partition may be a transaction's marker, which no poll returns.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Options of `consume`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: millstream consume invoices --from 15m-ago --with key,timestamp --until-end\n         millstream consume invoices --group billing --from beginning --format json"
)]
pub struct Consume {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// Where to start: beginning, end, an offset, a time (2026-11-21T10:00:00Z), an age (15m-ago). In a group it counts
    /// where nothing is committed, and is beginning or end. [default: end, with --until-end beginning]
    #[arg(long, value_name = "PLACE", value_parser = place::place)]
    pub from: Option<Place>,
    /// Only this partition; may be given many times
    #[arg(long, value_name = "N", conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Vec<i32>,
    /// Read as a member of this group, and commit what was printed
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub group: Option<String>,
    /// What is seen of transactions
    #[arg(long, default_value = "read_uncommitted", value_parser = ["read_uncommitted", "read_committed"])]
    pub isolation: String,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Stop at what was the end of each partition at the start
    #[arg(long)]
    pub until_end: bool,
    /// text: a line each, with the columns of --with; json: an object a line, with everything; raw: the values' bytes and
    /// nothing between them
    #[arg(long, value_enum, default_value_t)]
    pub format: Shape,
    /// What stands before the value in a line of text, with tabs between
    #[arg(long, value_enum, value_name = "COLUMN,…", value_delimiter = ',')]
    pub with: Vec<Column>,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Prints records.
pub fn command(options: Consume) -> Result<(), Failure> {
    super::run(consume(&options))
}

async fn consume(options: &Consume) -> Result<(), Stopped> {
    let from = options.from.unwrap_or(if options.until_end { Place::Beginning } else { Place::End });
    if options.group.is_some() && matches!(from, Place::Offset(_) | Place::Time(_)) {
        return Err(Stopped::usage(
            "--from takes beginning or end in a group; `millstream group reset` sets what a group has committed",
        ));
    }
    let failure = |error| options.reach.failure(error);
    let (cluster, admin) = options.reach.admin().await?;
    let count = options.reach.topic(&cluster, &options.topic).await?.partition_count();
    let partitions = chosen(&options.topic, count, &options.partition)?;
    let isolation = match options.isolation.as_str() {
        "read_committed" => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    // Asked for before the first record is read, so that what comes meanwhile is no reason to go on.
    let ends = match options.until_end {
        true => Some(offsets(&admin, isolation, -1, &partitions).await.map_err(failure)?),
        false => None,
    };
    let mut consumer =
        start(options, from, isolation, &cluster, &admin, &partitions).await.map_err(failure)?;
    let result = print_all(options, &mut consumer, ends.as_ref()).await;
    // Whatever ended it, a member leaves its group, so that the others need not wait for its time-out.
    let left = consumer.close().await;
    result?;
    left.map_err(|error| failure(error).into())
}

/// The partitions of a topic of so many, or those of them that were asked for.
pub(super) fn chosen(topic: &str, count: i32, asked: &[i32]) -> Result<Vec<TopicPartition>, Stopped> {
    if let Some(beyond) = asked.iter().find(|at| **at >= count) {
        return Err(Stopped::usage(format!(
            "reading {topic}: there is no partition {beyond}, it has {count} (0 to {})",
            count - 1
        )));
    }
    let all = (0..count).filter(|at| asked.is_empty() || asked.contains(at));
    Ok(all.map(|at| TopicPartition::new(topic, at)).collect())
}

pub(super) async fn offsets(
    admin: &Admin,
    isolation: Isolation,
    timestamp: i64,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let found = admin.list_offsets(isolation, timestamp, partitions).await?;
    Ok(found.into_iter().map(|(at, listed)| (at, listed.offset)).collect())
}

async fn start(
    options: &Consume,
    from: Place,
    isolation: Isolation,
    cluster: &std::sync::Arc<Cluster>,
    admin: &Admin,
    partitions: &[TopicPartition],
) -> Result<Consumer, ClientError> {
    let config = ConsumerConfig {
        group_id: options.group.clone(),
        isolation,
        commit: CommitPolicy::Manual,
        offset_reset: if from == Place::Beginning { OffsetReset::Earliest } else { OffsetReset::Latest },
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(cluster, config)?;
    if options.group.is_some() {
        consumer.subscribe([options.topic.as_str()]).await?;
        return Ok(consumer);
    }
    let at_time = match from {
        Place::Time(time) => offsets(admin, isolation, time, partitions).await?,
        _ => BTreeMap::new(),
    };
    consumer.assign(partitions.iter().cloned()).await?;
    for partition in partitions {
        match (from, at_time.get(partition)) {
            (Place::Offset(offset), _) => consumer.seek(partition, offset)?,
            (Place::Time(_), Some(offset)) if *offset >= 0 => consumer.seek(partition, *offset)?,
            (Place::Beginning, _) => consumer.seek_to_beginning(partition)?,
            // No record is of that time or later: the next one will be.
            _ => consumer.seek_to_end(partition)?,
        }
    }
    Ok(consumer)
}

/// Prints until one of the reasons to end is there.
async fn print_all(
    options: &Consume,
    consumer: &mut Consumer,
    ends: Option<&BTreeMap<TopicPartition, i64>>,
) -> Result<(), Stopped> {
    use tokio::signal::unix::{SignalKind, signal};
    let listening = |error| Stopped::failure(format!("listening for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(listening)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(listening)?;
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout());
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut progress = Progress::default();
    while left > 0 && !ends.is_some_and(|ends| has_reached(consumer, ends)) {
        let polled = tokio::select! {
            polled = consumer.poll(POLL) => polled,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let records = polled.map_err(|error| options.reach.failure(error))?;
        let printed = print(options, &records, ends, &mut left, &mut out)?;
        out.flush()?;
        if options.group.is_some() {
            let kept = progress.commit(consumer, printed).await;
            kept.map_err(|error| options.reach.failure(error))?;
        }
    }
    // A place may have become known, or a commit met a rebalance, since the last one.
    if options.group.is_some() {
        let kept = progress.commit(consumer, BTreeMap::new()).await;
        kept.map_err(|error| options.reach.failure(error))?;
    }
    Ok(())
}

/// How far a member has printed, and what of it the group knows.
#[derive(Default)]
struct Progress {
    printed: BTreeMap<TopicPartition, OffsetAndMetadata>,
    committed: BTreeMap<TopicPartition, i64>,
}

impl Progress {
    /// Commits what was printed. Where a partition starts is committed too: without it, one that had nothing to print would
    /// start at its end again the next time, and what came meanwhile would be passed over.
    async fn commit(
        &mut self,
        consumer: &Consumer,
        printed: BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<(), ClientError> {
        self.printed.extend(printed);
        for (at, position) in consumer.positions() {
            self.printed.entry(at).or_insert_with(|| OffsetAndMetadata::new(position));
        }
        let assigned = consumer.assignment();
        self.printed.retain(|at, _| assigned.contains(at));
        self.committed.retain(|at, _| assigned.contains(at));
        let mut new = self.printed.clone();
        new.retain(|at, position| self.committed.get(at) != Some(&position.offset));
        if new.is_empty() {
            return Ok(());
        }
        match consumer.commit_offsets(&new).await {
            Ok(()) => self.committed.extend(new.into_iter().map(|(at, position)| (at, position.offset))),
            // The group rebalances: these go with the next commit, or another member reads them again.
            Err(error) if error.is_retriable() || error.action() == Action::Rejoin => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether every partition that this consumer has is read up to its end, and it has some.
pub(super) fn has_reached(consumer: &Consumer, ends: &BTreeMap<TopicPartition, i64>) -> bool {
    let assigned = consumer.assignment();
    let positions = consumer.positions();
    let is_there = |at: &TopicPartition| {
        positions.get(at).is_some_and(|position| ends.get(at).is_none_or(|end| position >= end))
    };
    !assigned.is_empty() && assigned.iter().all(is_there)
}

/// Prints what a poll returned, at most `left` records and none beyond the ends; returns what may be committed.
fn print(
    options: &Consume,
    records: &ConsumerRecords,
    ends: Option<&BTreeMap<TopicPartition, i64>>,
    left: &mut u64,
    out: &mut impl Write,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>, Stopped> {
    let mut printed = BTreeMap::new();
    for part in &records.partitions {
        let at = &part.partition;
        let end = ends.and_then(|ends| ends.get(at)).copied().unwrap_or(i64::MAX);
        let mut next = part.next_offset;
        for record in part.records() {
            let record = record.map_err(|error| options.reach.failure(error))?;
            if *left == 0 || record.offset >= end {
                next = record.offset;
                break;
            }
            let line = Line {
                topic: &at.topic,
                partition: at.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers.map(|header| (header.key, header.value)).collect(),
            };
            line.write(options.format, &options.with, out)?;
            *left -= 1;
        }
        let mut position = OffsetAndMetadata::new(next);
        position.leader_epoch = part.leader_epoch;
        printed.insert(at.clone(), position);
    }
    Ok(printed)
}
