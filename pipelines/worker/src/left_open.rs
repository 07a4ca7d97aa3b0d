//! Transactions that workers left open when they died. Until one ends, who reads its topics waits behind it, and nobody is told
//! the positions that it holds; the broker ends it when its time is over, which may be a quarter of an hour where commits are
//! large. Whoever takes such a worker's partitions over, or waits behind it, ends it at once.
//!
//! Invariant WK-6: what is ended is a transaction of a worker of the same pipeline, and that worker is not in its stage's group. The
//! first is known since it writes to the pipeline's positions topic, as each of theirs does and nobody else's; the second since a
//! member has the name of its transactional id (`StageContext::member`). Of groups of which the broker makes a member's name, as the
//! classic protocol has it, nothing is known, and nothing ended. A worker that is ended and was alive begins again from what was
//! committed ([`crate::transaction`]). Never enters: a worker's own transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_client::{Admin, Cluster};
use millstream_plan::names;
use millstream_types::TopicPartition;

use crate::error::WorkerError;

const OPEN: &str = "Ongoing";
/// A transaction that was begun less than this ago is not looked at: most of those that are open at any moment are of workers that
/// commit, and one of a worker that its group has given up is older.
const YOUNG: Duration = Duration::from_millis(500);
/// How long it may take: what has not been ended by then waits for the broker, or the next look.
const WITHIN: Duration = Duration::from_secs(5);

/// Ends what workers of a stage left open that are not in its group any more. Where that cannot be done, the broker does it later.
pub async fn end_of_stage(cluster: &Arc<Cluster>, (pipeline, group): (&str, &str)) {
    let admin = Admin::new(cluster);
    let ended = async {
        let listed = admin.list_transactions(&[OPEN], &[], YOUNG).await?;
        let ids = listed.into_iter().map(|listed| listed.transactional_id);
        let of_stage = |id: &String| names::group_of(pipeline, id) == Some(group);
        end_dead(&admin, pipeline, ids.filter(of_stage).collect()).await;
        Ok(())
    };
    let ended = tokio::time::timeout(WITHIN, ended).await;
    tell(group, ended.unwrap_or_else(|_| Err(late())));
}

/// The same of those that hold up who reads a partition of a pipeline's own topics.
pub async fn end_in(cluster: &Arc<Cluster>, partition: &TopicPartition) {
    let Some(pipeline) = names::pipeline_of(&partition.topic) else { return };
    let admin = Admin::new(cluster);
    let ended = async {
        let active = admin.describe_producers(partition).await?;
        let open = active.iter().filter(|producer| producer.transaction_start.is_some());
        let open: Vec<i64> = open.map(|producer| producer.producer_id).collect();
        if open.is_empty() {
            return Ok(());
        }
        let listed = admin.list_transactions(&[OPEN], &open, YOUNG).await?;
        let ids = listed.into_iter().map(|listed| listed.transactional_id);
        end_dead(&admin, pipeline, ids.collect()).await;
        Ok(())
    };
    let ended = tokio::time::timeout(WITHIN, ended).await;
    tell(&partition.topic, ended.unwrap_or_else(|_| Err(late())));
}

fn late() -> WorkerError {
    WorkerError::Transient(format!("it took longer than {} s", WITHIN.as_secs()))
}

fn tell(of: &str, ended: Result<(), WorkerError>) {
    if let Err(error) = ended {
        tracing::debug!(%of, %error, "what may have been left open waits for the broker");
    }
}

/// The members of a stage's group; nothing where they may have other names than their transactional ids.
async fn members(
    admin: &Admin,
    (pipeline, group): (&str, &str),
) -> Result<Option<BTreeSet<String>>, WorkerError> {
    let found = admin.describe_group(group).await?;
    let members: BTreeSet<String> = found.members.into_iter().map(|member| member.member_id).collect();
    let is_known =
        found.consumer_protocol && members.iter().all(|id| names::group_of(pipeline, id) == Some(group));
    Ok(is_known.then_some(members))
}

/// One that cannot be ended keeps no other from it.
async fn end_dead(admin: &Admin, pipeline: &str, ids: Vec<String>) {
    let mut by_group: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in ids {
        if let Some(group) = names::group_of(pipeline, &id) {
            by_group.entry(group.to_owned()).or_default().push(id);
        }
    }
    let positions = names::positions_topic(pipeline);
    for (group, ids) in by_group {
        match members(admin, (pipeline, &group)).await {
            Ok(Some(members)) => {
                for id in ids.iter().filter(|id| !members.contains(*id)) {
                    tell(id, end(admin, &positions, id).await);
                }
            }
            Ok(None) => {}
            Err(error) => tell(&group, Err(error)),
        }
    }
}

/// Ends the transaction of a worker that is not in its group. Another may have ended it, and it may be of anybody: asked for last.
async fn end(admin: &Admin, positions: &str, id: &str) -> Result<(), WorkerError> {
    let found = admin.describe_transaction(id).await?;
    if found.state == OPEN && found.partitions.iter().any(|at| *at.topic == *positions) {
        tracing::warn!(worker = %id, "a worker is not in its group any more: what it left open is ended");
        admin.fence_producer(id).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use millstream_client::admin::NewTopic;
    use millstream_client::{
        ClientError, CommitPolicy, Consumer, ConsumerConfig, OffsetReset, Producer, ProducerConfig,
        ProducerRecord,
    };
    use millstream_testkit::InProcess;

    use super::*;
    use crate::restore;

    const OWN: [&str; 2] = ["p-sums-state", "p-positions"];

    async fn member(cluster: &Arc<Cluster>, id: &str) -> Consumer {
        let config = ConsumerConfig {
            member_id: Some(id.to_owned()),
            commit: CommitPolicy::Manual,
            offset_reset: OffsetReset::Earliest,
            ..ConsumerConfig::in_group("p-sums")
        };
        let mut consumer = Consumer::new(cluster, config).expect("a good config");
        consumer.subscribe([Arc::from("p-input")]).await.expect("subscribed");
        while consumer.group_metadata().map_or(true, |member| member.epoch < 0) {
            consumer.poll(Duration::from_millis(20)).await.expect("polled");
        }
        consumer
    }

    /// A producer with a transaction that has a record in the topic.
    async fn open(cluster: &Arc<Cluster>, id: &str, topics: &[&str]) -> Producer {
        let config = ProducerConfig {
            transactional_id: Some(id.to_owned()),
            transaction_timeout: Duration::from_secs(600),
            ..ProducerConfig::default()
        };
        let producer = Producer::new(cluster, config).expect("a good config");
        producer.init_transactions().await.expect("a producer id");
        producer.begin_transaction().expect("no other is open");
        write(&producer, id, topics).await;
        producer
    }

    async fn write(producer: &Producer, text: &str, topics: &[&str]) {
        for topic in topics {
            let record = ProducerRecord::new(*topic, None, Some(text.to_owned().into()));
            producer.send(record).await.expect("room").wait().await.expect("kept");
        }
    }

    /// Waits until so many transactions are not young any more.
    async fn old(admin: &Admin, count: usize) {
        while admin.list_transactions(&[OPEN], &[], YOUNG).await.expect("listed").len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn open_ids(admin: &Admin) -> Vec<String> {
        let listed = admin.list_transactions(&[OPEN], &[], Duration::ZERO).await.expect("listed");
        listed.into_iter().map(|listed| listed.transactional_id).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_the_dead_left_open_is_ended_and_nothing_else() {
        let broker = InProcess::start(&[]).await;
        let cluster = broker.cluster();
        let admin = Admin::new(&cluster);
        let topics = [("p-sums-state", 1), ("p-positions", 1), ("p-sums-positions", 1), ("p-input", 4)];
        let topics = topics.map(|(name, partitions)| NewTopic::new(name, partitions));
        admin.create_topics(&topics).await.expect("topics");
        let place = TopicPartition::new("p-sums-state", 0);
        let alive = member(&cluster, "p-sums-a").await;
        let (of_alive, of_dead) =
            (open(&cluster, "p-sums-a", &OWN).await, open(&cluster, "p-sums-b", &OWN).await);
        // Of another pipeline's worker, whose name begins alike; of a savepoint that is put back; of somebody who took such a name.
        let other = open(&cluster, "p-sums-x-b", &["p-sums-state", "p-sums-positions"]).await;
        let restore = open(&cluster, "p--restore", &OWN).await;
        let foreign = open(&cluster, "p-sums-feeder", &["p-input"]).await;
        old(&admin, 5).await;
        end_in(&cluster, &place).await;
        assert_eq!(open_ids(&admin).await, ["p--restore", "p-sums-a", "p-sums-feeder", "p-sums-x-b"]);
        // It is told that it was replaced, and commits nothing.
        let fenced = of_dead.commit_transaction().await.expect_err("it was ended");
        assert!(matches!(fenced, ClientError::Fenced(_)), "{fenced}");
        of_alive.commit_transaction().await.expect("it was left alone");
        for producer in [other, restore] {
            producer.commit_transaction().await.expect("it was left alone");
        }
        // Who reads to the end ends what it waits for, once its worker is gone.
        let alive_again = {
            of_alive.begin_transaction().expect("no other is open");
            write(&of_alive, "lost", &OWN).await;
            of_alive
        };
        let reading = tokio::spawn({
            let (cluster, place) = (Arc::clone(&cluster), place.clone());
            async move {
                let mut found: BTreeMap<String, usize> = BTreeMap::new();
                let read = restore::read_committed(&cluster, std::slice::from_ref(&place), |_, _, value| {
                    let value = String::from_utf8_lossy(value.expect("text")).into_owned();
                    *found.entry(value).or_default() += 1;
                    Ok(())
                });
                read.await.map(|()| found)
            }
        });
        alive.close().await.expect("it leaves its group");
        let found = reading.await.expect("no panic").expect("read to the end");
        let expected = ["p--restore", "p-sums-a", "p-sums-x-b"].map(|id| (id.to_owned(), 1));
        assert_eq!(found, BTreeMap::from(expected));
        // A stage's own, by its group.
        let left = open(&cluster, "p-sums-c", &OWN).await;
        old(&admin, 2).await;
        end_of_stage(&cluster, ("p", "p-other")).await;
        assert_eq!(open_ids(&admin).await, ["p-sums-c", "p-sums-feeder"]);
        end_of_stage(&cluster, ("p", "p-sums")).await;
        assert_eq!(open_ids(&admin).await, ["p-sums-feeder"]);
        foreign.commit_transaction().await.expect("it was left alone");
        drop((left, alive_again));
    }
}
