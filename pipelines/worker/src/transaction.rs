//! One broker transaction of a stage: its records, the positions of its group, the end.
//!
//! Invariant WK-4: the records are in their logs before the group takes the positions. A member that was replaced is
//! refused there; one that was not has its records where its successor, who reads to the end that a reader of
//! uncommitted records sees, waits for them. Were the order another, a successor could read positions or state without
//! those of a transaction that commits afterwards. Never enters: what is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream_client::admin::GroupMember;
use millstream_client::{Admin, Cluster, ConsumerHandle, OffsetAndMetadata, Producer};
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::failpoint;
use crate::outbox::Outbox;

/// What a transaction holds.
pub struct Transaction {
    /// The stage, for failpoints and the log.
    pub stage: String,
    /// Records.
    pub outbox: Outbox,
    /// Positions of the group.
    pub offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// The member whose positions they are.
    pub consumer: ConsumerHandle,
    /// Where its group is.
    pub cluster: Arc<Cluster>,
    /// How long it may take.
    pub time: TransactionTime,
}

/// How long a stage's transactions may take before the broker ends them. What a worker that died left open holds its successor, and who
/// reads its topics, that long: so it is short, and longer only where a commit has been seen to take longer.
#[derive(Clone, Debug)]
pub struct TransactionTime(Arc<Patience>);

#[derive(Debug)]
struct Patience {
    ms: AtomicU64,
    /// How many in a row somebody else has ended.
    fenced: AtomicU32,
}

impl TransactionTime {
    /// The longest that brokers allow unless they are told otherwise (`transaction.max.timeout.ms`).
    const MOST_MS: u64 = 900_000;
    /// Whose transactions are ended by others more often than this in a row, though it is in its group, shares its name with another
    /// worker: the two end each other's as often as they begin again.
    const FENCED_MAX: u32 = 5;

    /// So long.
    pub fn new(time: Duration) -> TransactionTime {
        let ms = AtomicU64::new(time.as_millis() as u64);
        TransactionTime(Arc::new(Patience { ms, fenced: AtomicU32::new(0) }))
    }

    /// The time, for the next producer.
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.ms.load(Ordering::Relaxed))
    }

    /// Four times as long from now on; nothing where it is as long as it may be.
    fn raise(&self) -> Option<Duration> {
        let now = self.0.ms.load(Ordering::Relaxed);
        let more = (now * 4).min(TransactionTime::MOST_MS);
        self.0.ms.store(more.max(now), Ordering::Relaxed);
        (more > now).then(|| Duration::from_millis(more))
    }

    /// Somebody else has ended a transaction: whether that may pass.
    fn may_pass(&self) -> bool {
        self.0.fenced.fetch_add(1, Ordering::Relaxed) < TransactionTime::FENCED_MAX
    }

    /// A transaction was committed.
    fn has_passed(&self) {
        self.0.fenced.store(0, Ordering::Relaxed);
    }
}

impl Transaction {
    /// Commits it. After an error its outcome may be unknown: begin again from what was committed.
    pub async fn commit(self, producer: &Producer) -> Result<(), WorkerError> {
        let (began, time) = (Instant::now(), self.time.clone());
        let had = time.get();
        let (cluster, consumer) = (Arc::clone(&self.cluster), self.consumer.clone());
        match self.commit_within(producer, began).await {
            Ok(()) => {
                time.has_passed();
                Ok(())
            }
            // A process that stood still longer than its group waits, and what it had open was ended (`left_open`).
            Err(WorkerError::Fenced(_)) if is_out(&cluster, &consumer).await => Err(WorkerError::Transient(
                "this worker was taken out of its group within a commit, which does not count".to_owned(),
            )),
            // The broker ended it, and nobody else has the name.
            Err(WorkerError::Fenced(text)) if began.elapsed() >= had => match time.raise() {
                Some(more) => Err(WorkerError::Transient(format!(
                    "a commit took longer than the {} s that its transaction may take, and the broker ended it; the next may take {} s",
                    had.as_secs(),
                    more.as_secs()
                ))),
                None => Err(WorkerError::Fenced(text)),
            },
            // It may have joined again before it was asked for.
            Err(WorkerError::Fenced(text)) if time.may_pass() => {
                Err(WorkerError::Transient(format!("{text}, or took this one for dead")))
            }
            done => done,
        }
    }

    async fn commit_within(mut self, producer: &Producer, began: Instant) -> Result<(), WorkerError> {
        producer.begin_transaction()?;
        failpoint::reach(&self.stage, "before_send");
        for delivery in self.outbox.send(producer).await? {
            delivery.wait().await?;
        }
        let sent = Instant::now();
        failpoint::reach(&self.stage, "before_offsets");
        let member = self.consumer.group_metadata()?;
        if member.epoch < 0 {
            // Positions without a member would be taken as set by hand, and fence nobody.
            let text = "this worker is not in its group any more, and its commit does not count".to_owned();
            return Err(WorkerError::Transient(text));
        }
        producer.send_offsets_to_transaction(&self.offsets, &member).await?;
        let positioned = Instant::now();
        failpoint::reach(&self.stage, "before_commit");
        producer.commit_transaction().await?;
        tracing::debug!(
            stage = %self.stage,
            send_ms = sent.duration_since(began).as_millis(),
            offsets_ms = positioned.duration_since(sent).as_millis(),
            commit_ms = positioned.elapsed().as_millis(),
            "committed"
        );
        failpoint::reach(&self.stage, "after_commit");
        Ok(())
    }
}

/// Whether a member is not in its group any more. What cannot be asked is not so.
async fn is_out(cluster: &Arc<Cluster>, consumer: &ConsumerHandle) -> bool {
    let Some(member) = consumer.group_metadata().ok().filter(|member| member.epoch >= 0) else { return true };
    let admin = Admin::new(cluster);
    let described =
        tokio::time::timeout(Duration::from_secs(5), admin.describe_group(&member.group_id)).await;
    let is_in = |members: &[GroupMember]| members.iter().any(|of| *of.member_id == *member.member_id);
    matches!(described, Ok(Ok(group)) if group.consumer_protocol && !is_in(&group.members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_fenced_now_and_then_goes_on_and_two_of_one_name_do_not() {
        let time = TransactionTime::new(Duration::from_secs(10));
        for _ in 0..20 {
            assert!((0..5).all(|_| time.may_pass()));
            time.has_passed();
        }
        assert_eq!((0..10).take_while(|_| time.may_pass()).count(), 5);
    }

    #[test]
    fn a_transaction_gets_four_times_as_long_up_to_what_brokers_allow() {
        let time = TransactionTime::new(Duration::from_secs(10));
        let raised: Vec<u64> = std::iter::from_fn(|| time.raise()).map(|time| time.as_secs()).collect();
        assert_eq!(raised, [40, 160, 640, 900]);
        assert_eq!(time.get(), Duration::from_secs(900));
    }
}
