//! Putting a savepoint back, in one transaction of the broker: where changelogs begin, state, positions, what was in flight, and where
//! groups go on. It counts whole or not at all; a process that dies leaves nothing of it. Before it, a mark in the positions topic says
//! that it was begun, and the transaction takes the mark away: what died in between is told by the next start, instead of going on
//! from before as if nothing had been asked. Never enters: what is to be done (`changes.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_client::{
    Admin, ClientError, Cluster, GroupMetadata, OffsetAndMetadata, Producer, ProducerConfig, ProducerRecord,
    RecordRef,
};
use millstream_plan::{StageKind, names};
use millstream_types::{ErrorCode, TopicPartition};

use super::changes::{self, GoOn, Now, OnGap, Plan, Rewrite};
use super::content::{self, Batch};
use super::manifest::{Content, Manifest};
use super::place::Place;
use super::subject::{Subject, all_of};
use super::{still, take};
use crate::error::WorkerError;
use crate::failpoint;
use crate::outbox::Outbox;
use crate::positions::{COUNTS_PARTITION, RESTORING};
use crate::restore::{self, BEGINS};
use crate::run::make_topics;

/// How long the transaction may take: the most that a broker allows where it is not told otherwise (`transaction.max.timeout.ms`).
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(900);
/// The name by which failpoints know this.
const COMPONENT: &str = "savepoint";

/// A savepoint that can be put back.
pub struct PutBack<'a> {
    subject: Subject<'a>,
    cluster: &'a Arc<Cluster>,
    place: &'a Place,
    manifest: Manifest,
    plan: Plan,
    /// Where the pipeline's own topics end now.
    ends: BTreeMap<TopicPartition, i64>,
    producer: Producer,
}

/// How a savepoint is put back.
#[derive(Clone, Copy, Debug)]
pub struct PutBackOptions {
    /// What to do where topics of others lack something.
    pub on_gap: OnGap,
    /// How long to wait for the pipeline to stand still.
    pub wait: Duration,
}

/// The producer of the transaction, which ends what an earlier one left open.
async fn transactional(cluster: &Arc<Cluster>, pipeline: &str) -> Result<Producer, WorkerError> {
    let config = ProducerConfig {
        transactional_id: Some(names::restore_transactional_id(pipeline)),
        transaction_timeout: TRANSACTION_TIMEOUT,
        linger: Duration::ZERO,
        buffer_bytes: 64 << 20,
        request_bytes_max: 4 << 20,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(cluster, config)?;
    let begun = producer.init_transactions().await;
    if let Err(ClientError::Broker { code: ErrorCode::InvalidTransactionTimeout, .. }) = begun {
        return Err(WorkerError::Setup(format!(
            "putting a savepoint back takes one transaction, of at most {} s, and the broker allows less: raise its \
             transaction.max.timeout.ms",
            TRANSACTION_TIMEOUT.as_secs()
        )));
    }
    begun?;
    Ok(producer)
}

/// Checks a savepoint whole, and what it would do; changes nothing.
pub async fn prepare<'a>(
    subject: Subject<'a>,
    cluster: &'a Arc<Cluster>,
    place: &'a Place,
    name: &str,
    options: PutBackOptions,
) -> Result<PutBack<'a>, WorkerError> {
    let manifest = place.read(name).await?;
    for content in manifest.contents() {
        content::check(place, name, content).await?;
    }
    let admin = Admin::new(cluster);
    // Topics that are there with other partitions are refused.
    crate::run::missing_topics(&admin, subject.job).await?;
    let there = admin.list_topics().await?;
    let producer = transactional(cluster, &subject.job.pipeline).await?;
    let copied = subject.copied(|topic| there.contains_key(topic));
    let ends = still::wait(cluster, subject.job, &copied, options.wait).await?;
    let mut now = BTreeMap::new();
    for (topic, _, _, partitions) in subject.read() {
        let Some(found) = there.get(&topic) else { continue };
        let all = all_of(&topic, partitions);
        let told = |of: BTreeMap<TopicPartition, i64>| all.iter().map(|at| of.get(at).copied()).collect();
        let starts: Option<Vec<i64>> = told(restore::starts(cluster, &all).await?);
        let ends: Option<Vec<i64>> = told(restore::ends(cluster, &all).await?);
        let (Some(starts), Some(ends)) = (starts, ends) else {
            let text = format!("asking where topic {topic} begins and ends: not all was told");
            return Err(WorkerError::Transient(text));
        };
        now.insert(topic, Now { broker_id: found.id.to_string(), starts, ends });
    }
    let waiting = waiting(subject, cluster, &now).await?;
    let plan = changes::decide(subject, &manifest, &now, &waiting, options.on_gap)?;
    Ok(PutBack { subject, cluster, place, manifest, plan, ends, producer })
}

/// How many offsets of its topics each sink's group has not committed.
async fn waiting(
    subject: Subject<'_>,
    cluster: &Arc<Cluster>,
    now: &BTreeMap<Arc<str>, Now>,
) -> Result<BTreeMap<String, i64>, WorkerError> {
    let admin = Admin::new(cluster);
    let mut waiting = BTreeMap::new();
    for stage in subject.job.stages.iter().filter(|stage| stage.kind == StageKind::Sink) {
        let mut count = 0;
        for input in &stage.inputs {
            let Some((topic, now)) = now.get_key_value(input.topic.as_str()) else { continue };
            let all = all_of(topic, now.ends.len() as u32);
            let committed = admin.list_group_offsets(&stage.group_id, Some(&all)).await?;
            for (at, (start, end)) in all.iter().zip(now.starts.iter().zip(&now.ends)) {
                let from = committed.get(at).map_or(*start, |committed| committed.offset.max(*start));
                count += (end - from).max(0);
            }
        }
        waiting.insert(stage.group_id.clone(), count);
    }
    Ok(waiting)
}

impl PutBack<'_> {
    /// The savepoint.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it does, a line each, to be told before.
    pub fn told(&self) -> &[String] {
        &self.plan.told
    }

    /// Leaves everything as it is.
    pub async fn leave(self) {
        self.producer.close(Duration::ZERO).await;
    }

    /// Does it.
    pub async fn carry_out(self) -> Result<Manifest, WorkerError> {
        make_topics(self.cluster, self.subject.job).await?;
        mark(self.cluster, &self.subject.positions(), Some(&self.manifest.name)).await?;
        failpoint::reach(COMPONENT, "marked");
        let done = self.transaction().await;
        if done.is_err() && self.producer.abort_transaction().await.is_err() {
            tracing::debug!("the broker ends the transaction itself, or the next one does");
        }
        done.map_err(|error| {
            let name = &self.manifest.name;
            error.doing(&format!(
                "putting savepoint {name} back, of which nothing counts until it is done again or given up"
            ))
        })?;
        failpoint::reach(COMPONENT, "committed");
        self.tidy().await;
        self.producer.close(Duration::from_secs(5)).await;
        Ok(self.manifest)
    }

    async fn transaction(&self) -> Result<(), WorkerError> {
        self.producer.begin_transaction()?;
        self.state().await?;
        self.positions().await?;
        let mut written = BTreeMap::new();
        for rewrite in &self.plan.rewrites {
            self.rewrite(rewrite, &mut written).await?;
        }
        self.producer.flush().await;
        failpoint::reach(COMPONENT, "written");
        for (group, places) in &self.plan.go_on {
            let mut offsets = BTreeMap::new();
            for (at, go_on) in places {
                let offset = match go_on {
                    GoOn::At(offset) => *offset,
                    GoOn::Written(before) => offset_of(&written, at, *before)?,
                };
                offsets.insert(at.clone(), OffsetAndMetadata::new(offset));
            }
            let nobody = GroupMetadata {
                group_id: group.as_str().into(),
                epoch: -1,
                member_id: "".into(),
                instance_id: None,
            };
            // Refused where somebody has joined meanwhile.
            self.producer.send_offsets_to_transaction(&offsets, &nobody).await?;
        }
        failpoint::reach(COMPONENT, "before_commit");
        self.producer.commit_transaction().await?;
        Ok(())
    }

    /// Each partition of each changelog begins anew, with what was kept of operators that are as they were.
    async fn state(&self) -> Result<(), WorkerError> {
        let changelogs = self.subject.changelogs();
        let mut outbox = Outbox::default();
        for (topic, partitions) in changelogs.values() {
            for partition in 0..*partitions {
                let record = RecordRef {
                    timestamp: self.manifest.taken_at_ms,
                    key: Some(BEGINS),
                    ..RecordRef::default()
                };
                outbox.append(topic, partition, &record)?;
            }
        }
        drop(outbox.send(&self.producer).await?);
        for (operator, (topic, partitions)) in &changelogs {
            if let Some(content) =
                self.manifest.state.get(operator).filter(|_| self.plan.kept.contains(operator))
            {
                self.write(topic, *partitions, content).await?;
            }
        }
        Ok(())
    }

    /// The positions topic keeps what it kept, and nothing that came since.
    async fn positions(&self) -> Result<(), WorkerError> {
        let topic = self.subject.positions();
        let partitions = self.subject.job.topics.get(topic.as_ref()).map_or(1, |topic| topic.partitions);
        // What the mark is in was written since.
        let ends = restore::ends(self.cluster, &all_of(&topic, partitions)).await?;
        let stored = take::all_kept(self.cluster, &self.before(&topic, &ends)).await?;
        let mut outbox = Outbox::default();
        let now = self.manifest.taken_at_ms;
        for (partition, key) in stored.keys() {
            let record = RecordRef { timestamp: now, key: Some(key), ..RecordRef::default() };
            outbox.append(&topic, *partition, &record)?;
        }
        let record = RecordRef { timestamp: now, key: Some(RESTORING), ..RecordRef::default() };
        outbox.append(&topic, COUNTS_PARTITION, &record)?;
        drop(outbox.send(&self.producer).await?);
        self.write(&topic, partitions, &self.manifest.positions).await
    }

    /// The ends of a topic's partitions before this transaction; of one that was made now, 0.
    fn before(&self, topic: &Arc<str>, now: &BTreeMap<TopicPartition, i64>) -> BTreeMap<TopicPartition, i64> {
        let of = now.keys().filter(|at| at.topic == *topic);
        of.map(|at| (at.clone(), self.ends.get(at).copied().unwrap_or(0))).collect()
    }

    async fn write(&self, topic: &Arc<str>, partitions: u32, content: &Content) -> Result<(), WorkerError> {
        for file in &content.files {
            for batch in content::read(self.place, &self.manifest.name, file).await? {
                let at = self.within(topic, partitions, &batch)?;
                drop(self.producer.send_batch(&at, batch.bytes).await?);
            }
        }
        Ok(())
    }

    fn within(
        &self,
        topic: &Arc<str>,
        partitions: u32,
        batch: &Batch,
    ) -> Result<TopicPartition, WorkerError> {
        match batch.partition < partitions {
            true => Ok(TopicPartition::new(Arc::clone(topic), batch.partition as i32)),
            false => Err(WorkerError::Setup(format!(
                "savepoint {} has records of partition {} of {topic}, which has {partitions} partitions",
                self.manifest.name, batch.partition
            ))),
        }
    }

    /// Writes what was in flight; where it is now.
    async fn rewrite(&self, rewrite: &Rewrite, written: &mut Written) -> Result<(), WorkerError> {
        let content = &self.manifest.topics[rewrite.saved].content;
        let partitions = self.manifest.topics[rewrite.saved].partitions.len() as u32;
        let mut passed: BTreeMap<u32, u64> = BTreeMap::new();
        for file in &content.files {
            let mut sent = Vec::new();
            for batch in content::read(self.place, &self.manifest.name, file).await? {
                let at = self.within(&rewrite.topic, partitions, &batch)?;
                let passed = passed.entry(batch.partition).or_default();
                let before = *passed;
                *passed += u64::from(batch.records);
                let skip = rewrite.skip.get(&batch.partition).copied().unwrap_or(0);
                if before < skip {
                    continue;
                }
                let delivery = self.producer.send_batch(&at, batch.bytes).await?;
                sent.push((at, before - skip, batch.records, delivery));
            }
            for (at, first, records, delivery) in sent {
                let offset = delivery.wait().await?.offset.ok_or_else(|| {
                    WorkerError::Transient(format!(
                        "writing to {at}: the broker did not say where it was written"
                    ))
                })?;
                written.entry(at).or_default().push((first, u64::from(records), offset));
            }
        }
        Ok(())
    }

    /// Deletes what lies before the beginnings of changelogs. A failure does no harm: it is void, and the next snapshot of a
    /// stage's state deletes it.
    async fn tidy(&self) {
        let changelogs = self.subject.changelogs();
        let is_void = |at: &&TopicPartition| changelogs.values().any(|(topic, _)| *topic == at.topic);
        let before: BTreeMap<TopicPartition, i64> = self
            .ends
            .iter()
            .filter(|(at, end)| is_void(at) && **end > 0)
            .map(|(at, end)| (at.clone(), *end))
            .collect();
        if !before.is_empty()
            && let Err(error) = Admin::new(self.cluster).delete_records(&before).await
        {
            tracing::warn!(%error, "what the savepoint has replaced could not be deleted; it means nothing any more");
        }
    }
}

/// By partition, of each batch: the number of its first record among those that were written, how many it has, and its offset.
type Written = BTreeMap<TopicPartition, Vec<(u64, u64, i64)>>;

/// The offset of the record behind so many that were written; of the end, behind all of them.
fn offset_of(written: &Written, at: &TopicPartition, before: u64) -> Result<i64, WorkerError> {
    let batches = written.get(at).map_or(&[][..], Vec::as_slice);
    let holds = |(first, records, _): &&(u64, u64, i64)| *first <= before && before <= first + records;
    // The last one: a record that begins a batch is not the end of the one before.
    let found = batches.iter().rev().find(holds);
    found.map(|(first, _, offset)| offset + (before - first) as i64).ok_or_else(|| {
        WorkerError::Setup(format!(
            "the savepoint's records of {at} do not reach to the place where a stage stood; it is damaged"
        ))
    })
}

/// Writes the mark of a savepoint that is being put back; or takes it away.
async fn mark(cluster: &Arc<Cluster>, positions: &Arc<str>, name: Option<&str>) -> Result<(), WorkerError> {
    let producer =
        Producer::new(cluster, ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() })?;
    let value = name.map(|name| Bytes::copy_from_slice(name.as_bytes()));
    let mut record = ProducerRecord::new(Arc::clone(positions), Some(Bytes::from_static(RESTORING)), value);
    record.partition = Some(COUNTS_PARTITION as i32);
    producer.send(record).await?.wait().await?;
    producer.close(Duration::from_secs(5)).await;
    Ok(())
}

/// Gives up what was begun to be put back: the pipeline is as it was before. The savepoint's name, where one was begun.
pub async fn give_up(subject: Subject<'_>, cluster: &Arc<Cluster>) -> Result<Option<String>, WorkerError> {
    let positions = subject.positions();
    if !Admin::new(cluster).list_topics().await?.contains_key(&positions) {
        return Ok(None);
    }
    let Some(name) = crate::positions::restoring(cluster, &positions).await? else { return Ok(None) };
    // A process that is still at it is fenced.
    let producer = match transactional(cluster, &subject.job.pipeline).await {
        Err(WorkerError::Transient(text)) => return Err(WorkerError::Setup(text)),
        other => other?,
    };
    producer.close(Duration::from_secs(5)).await;
    mark(cluster, &positions, None).await?;
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_what_was_written_is_an_offset() {
        let at = TopicPartition::new("sales", 3);
        let written = BTreeMap::from([(at.clone(), vec![(0, 2, 100), (2, 5, 110)])]);
        for (before, wanted) in [(0, 100), (1, 101), (2, 110), (4, 112), (7, 115)] {
            assert_eq!(offset_of(&written, &at, before).ok(), Some(wanted), "{before}");
        }
        assert!(offset_of(&written, &at, 8).is_err());
        assert!(offset_of(&written, &TopicPartition::new("sales", 4), 0).is_err());
    }
}
