//! Transactions that workers left open when they died. Until one ends, who reads its topics waits behind it, and nobody is told
//! the positions that it holds; the broker ends it when its time is over, which may be a quarter of an hour where commits are
//! large. Whoever takes such a worker's partitions over, or waits behind it, ends it at once.
//!
//! Invariant WK-6: only the transaction of a worker that is not in its group is ended. Such a worker's positions would be
//! refused, so nothing of it could be committed any more; one that joins again meanwhile begins again from what was committed
//! ([`crate::transaction::TransactionTime`]). It is known since a member has the name of its transactional id
//! (`StageContext::member`). In groups of the classic protocol the broker makes the members' names: there the broker's time counts.
//! Never enters: a worker's own transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_client::{Admin, Cluster, Result};
use millstream_types::TopicPartition;

const OPEN: &[&str] = &["Ongoing"];
/// A transaction that was begun less than this ago is not looked at: most of those that are open at any moment are of workers that
/// commit, and one of a worker that its group has given up is older.
const YOUNG: Duration = Duration::from_millis(500);

/// Ends what workers of a stage left open that are not in its group any more. Where that cannot be done, the broker does it later.
pub async fn end_of_stage(cluster: &Arc<Cluster>, group_id: &str) {
    let admin = Admin::new(cluster);
    let ended = async {
        let listed = admin.list_transactions(OPEN, &[], YOUNG).await?;
        let of_stage = listed.into_iter().map(|listed| listed.transactional_id);
        end_dead(&admin, of_stage.filter(|id| is_of(id, group_id)).collect()).await
    };
    tell(group_id, ended.await);
}

/// The same of those that hold up who reads a partition. All who write to it have to be workers of a pipeline.
pub async fn end_in(cluster: &Arc<Cluster>, partition: &TopicPartition) {
    let admin = Admin::new(cluster);
    let ended = async {
        let active = admin.describe_producers(partition).await?;
        let open = active.iter().filter(|producer| producer.transaction_start.is_some());
        let open: Vec<i64> = open.map(|producer| producer.producer_id).collect();
        if open.is_empty() {
            return Ok(());
        }
        let listed = admin.list_transactions(OPEN, &open, YOUNG).await?;
        end_dead(&admin, listed.into_iter().map(|listed| listed.transactional_id).collect()).await
    };
    tell(&partition.to_string(), ended.await);
}

fn tell(of: &str, ended: Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%of, %error, "transactions that may have been left open wait for the broker");
    }
}

/// Whether a transactional id may be that of a member of the group.
fn is_of(id: &str, group_id: &str) -> bool {
    id.strip_prefix(group_id).is_some_and(|rest| rest.starts_with('-'))
}

/// Groups by name, with their members; nothing where the broker has named those.
type Living = BTreeMap<String, Option<BTreeSet<String>>>;

/// Whether the worker of a transactional id is in no group. Names alone do not say which group is the id's own, `a-b` or `a`: it is a
/// member of none of them, and one is there.
fn is_dead(id: &str, living: &Living) -> bool {
    let mut is_known = false;
    for (group, members) in living {
        if is_of(id, group) {
            is_known = true;
            if members.as_ref().is_none_or(|members| members.contains(id)) {
                return false;
            }
        }
    }
    is_known
}

async fn end_dead(admin: &Admin, ids: Vec<String>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut living = Living::new();
    for group in admin.list_groups().await? {
        if ids.iter().any(|id| is_of(id, &group.group_id)) {
            let found = admin.describe_group(&group.group_id).await?;
            let members = found.members.into_iter().map(|member| member.member_id).collect();
            living.insert(group.group_id, found.consumer_protocol.then_some(members));
        }
    }
    for id in ids.iter().filter(|id| is_dead(id, &living)) {
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

    async fn member(cluster: &Arc<Cluster>, (group, id): (&str, &str)) -> Consumer {
        let config = ConsumerConfig {
            member_id: Some(id.to_owned()),
            commit: CommitPolicy::Manual,
            offset_reset: OffsetReset::Earliest,
            ..ConsumerConfig::in_group(group)
        };
        let mut consumer = Consumer::new(cluster, config).expect("a good config");
        consumer.subscribe([Arc::from("p-input")]).await.expect("subscribed");
        while consumer.group_metadata().map_or(true, |member| member.epoch < 0) {
            consumer.poll(Duration::from_millis(20)).await.expect("polled");
        }
        consumer
    }

    /// A producer with a transaction that has a record in the topic.
    async fn open(cluster: &Arc<Cluster>, id: &str) -> Producer {
        let config = ProducerConfig {
            transactional_id: Some(id.to_owned()),
            transaction_timeout: Duration::from_secs(600),
            ..ProducerConfig::default()
        };
        let producer = Producer::new(cluster, config).expect("a good config");
        producer.init_transactions().await.expect("a producer id");
        producer.begin_transaction().expect("no other is open");
        write(&producer, id).await;
        producer
    }

    async fn write(producer: &Producer, text: &str) {
        let record = ProducerRecord::new("p-sums-state", None, Some(text.to_owned().into()));
        producer.send(record).await.expect("room").wait().await.expect("kept");
    }

    /// Waits until so many transactions are not young any more.
    async fn old(admin: &Admin, count: usize) {
        while admin.list_transactions(OPEN, &[], YOUNG).await.expect("listed").len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn open_ids(admin: &Admin) -> Vec<String> {
        let listed = admin.list_transactions(OPEN, &[], Duration::ZERO).await.expect("listed");
        listed.into_iter().map(|listed| listed.transactional_id).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_the_dead_left_open_is_ended_and_nothing_else() {
        let broker = InProcess::start(&[]).await;
        let cluster = broker.cluster();
        let admin = Admin::new(&cluster);
        admin
            .create_topics(&[NewTopic::new("p-sums-state", 1), NewTopic::new("p-input", 4)])
            .await
            .expect("topics");
        let place = TopicPartition::new("p-sums-state", 0);
        let alive = member(&cluster, ("p-sums", "p-sums-a")).await;
        let (of_alive, of_dead) = (open(&cluster, "p-sums-a").await, open(&cluster, "p-sums-b").await);
        // Of another pipeline, whose name begins as this one's group does; of a savepoint that is put back.
        let _other = member(&cluster, ("p-sums-x", "p-sums-x-b")).await;
        let (other, restore) = (open(&cluster, "p-sums-x-b").await, open(&cluster, "p--restore").await);
        old(&admin, 4).await;
        end_in(&cluster, &place).await;
        assert_eq!(open_ids(&admin).await, ["p--restore", "p-sums-a", "p-sums-x-b"]);
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
            write(&of_alive, "lost").await;
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
        let left = open(&cluster, "p-sums-c").await;
        old(&admin, 1).await;
        end_of_stage(&cluster, "p-other").await;
        assert_eq!(open_ids(&admin).await, ["p-sums-c"]);
        end_of_stage(&cluster, "p-sums").await;
        assert!(open_ids(&admin).await.is_empty());
        drop((left, alive_again));
    }
}
