//! Where bounded topics end, agreed among all workers of a pipeline. A stage that has done everything there is for some of
//! its parts (partitions of the splits topic, key groups, partitions of a sink's topics) says so in a mark, a record of the
//! positions topic; once the marks of all workers together name every part of a stage, the topics that it writes end where
//! they end then, and the stages behind it know that nothing more comes. A mark outlives its worker: what it names was
//! committed before.
//!
//! Marks of earlier runs must not count. A mark therefore carries the end of the positions topic's first partition from
//! before it was made (`as_of`), and a worker takes only those whose `as_of` is not below that end at its own start: a mark
//! that was there before has a lower one. Workers repeat their marks until the stage is whole, so that one who comes later
//! hears of it. No clock is asked.
//!
//! Levels of event time (`levels.rs`) travel with the marks by the same rule.
//!
//! Invariant WK-3: the ends are asked for after every writer's last commit, so that its markers lie below them.
//! Never enters: when a part is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{
    Cluster, CommitPolicy, Consumer, ConsumerConfig, Isolation, OffsetReset, Producer, ProducerConfig,
    ProducerRecord,
};
use millstream_types::TopicPartition;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::WorkerError;
use crate::levels::{Came, Level, Levels};
use crate::positions::COUNTS_PARTITION;
use crate::restore;

/// A mark is repeated this often while its stage is not whole.
const REPEAT_EVERY: Duration = Duration::from_millis(500);
/// How long one look for marks waits.
const POLL_WAIT: Duration = Duration::from_millis(500);
/// How long to wait where the topic could not be read.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// A stage as others see it.
#[derive(Clone, Debug)]
pub struct StageParts {
    /// How many parts it has.
    pub parts: u32,
    /// The topics that it writes for other stages, with their partitions.
    pub writes: Vec<(Arc<str>, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    as_of: i64,
    parts: BTreeSet<u32>,
}

#[derive(Default)]
struct Known {
    parts: BTreeMap<String, BTreeSet<u32>>,
    whole: BTreeSet<String>,
    topics: BTreeMap<String, Vec<i64>>,
    /// What this worker has said, and when.
    said: BTreeMap<String, (BTreeSet<u32>, Instant)>,
    levels: BTreeMap<String, Levels>,
}

/// The ends that are known.
pub struct Ends {
    cluster: Arc<Cluster>,
    /// Where marks are.
    place: TopicPartition,
    producer: Producer,
    instance: String,
    /// The end of that partition when this worker began.
    start: i64,
    stages: BTreeMap<String, StageParts>,
    known: Mutex<Known>,
}

fn key(what: &str, stage: &str, instance: &str) -> String {
    format!("{what}\0{stage}\0{instance}")
}

impl Ends {
    /// Nothing is known yet. `positions` is the pipeline's positions topic, which is there.
    pub async fn open(
        cluster: &Arc<Cluster>,
        positions: &Arc<str>,
        instance: &str,
        stages: BTreeMap<String, StageParts>,
    ) -> Result<Arc<Ends>, WorkerError> {
        let place = TopicPartition::new(Arc::clone(positions), COUNTS_PARTITION as i32);
        let start = end_of(cluster, &place).await?;
        let config = ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() };
        Ok(Arc::new(Ends {
            producer: Producer::new(cluster, config)?,
            cluster: Arc::clone(cluster),
            place,
            instance: instance.to_owned(),
            start,
            stages,
            known: Mutex::default(),
        }))
    }

    /// Says that `parts` of a stage are done and committed. Cheap where that has been said just now.
    pub async fn mark(&self, stage: &str, parts: &BTreeSet<u32>) -> Result<(), WorkerError> {
        if parts.is_empty() || self.is_whole(stage) {
            return Ok(());
        }
        if let Some((said, at)) = self.known.lock().said.get(stage)
            && said == parts
            && at.elapsed() < REPEAT_EVERY
        {
            return Ok(());
        }
        let as_of = end_of(&self.cluster, &self.place).await?;
        self.say("ended", stage, &Mark { as_of, parts: parts.clone() }).await?;
        self.known.lock().said.insert(stage.to_owned(), (parts.clone(), Instant::now()));
        Ok(())
    }

    /// Says how far this worker has come in its parts of a stage, by commits that are made. Cheap where that has been said just now.
    pub async fn say_level(&self, stage: &str, came: Came, owned: &BTreeSet<u32>) -> Result<(), WorkerError> {
        let all = self.parts_of(stage);
        if owned.is_empty()
            || !self.known.lock().levels.entry(stage.to_owned()).or_default().is_due(came, owned, all)
        {
            return Ok(());
        }
        let as_of = end_of(&self.cluster, &self.place).await?;
        let Came { level, reached } = came;
        self.say("level", stage, &Level { as_of, level, reached: Some(reached), parts: owned.clone() })
            .await?;
        self.known.lock().levels.entry(stage.to_owned()).or_default().was_said(came, owned);
        Ok(())
    }

    /// How many parts a stage has; 0 of one that is not known.
    pub fn parts_of(&self, stage: &str) -> u32 {
        self.stages.get(stage).map_or(0, |s| s.parts)
    }

    /// What all that write a topic have come to, by their commits; nothing while that is not known, or some do not say it. What they
    /// write from now on lies at or behind it.
    pub fn level_behind(&self, topic: &str) -> Option<i64> {
        let writes = |parts: &StageParts| parts.writes.iter().any(|(written, _)| written.as_ref() == topic);
        let known = self.known.lock();
        let writers = self.stages.iter().filter(|(_, parts)| writes(parts));
        let levels: Option<Vec<i64>> =
            writers.map(|(stage, of)| known.levels.get(stage)?.of_all(of.parts)).collect();
        levels?.into_iter().min()
    }

    /// What the workers that own a stage's other parts have come to; nothing where there are none, or where they bring
    /// nothing more.
    pub fn level_of_others(&self, stage: &str, owned: &BTreeSet<u32>) -> Option<i64> {
        let all = self.parts_of(stage);
        self.known.lock().levels.entry(stage.to_owned()).or_default().of_others(owned, all)
    }

    async fn say(&self, what: &str, stage: &str, value: &impl Serialize) -> Result<(), WorkerError> {
        let value = serde_json::to_vec(value).expect("a mark is plain data");
        let key = key(what, stage, &self.instance);
        let mut record =
            ProducerRecord::new(Arc::clone(&self.place.topic), Some(key.into()), Some(value.into()));
        record.partition = Some(self.place.partition);
        self.producer.send(record).await?.wait().await?;
        Ok(())
    }

    /// Whether every part of a stage is done, on whichever worker, and the ends of what it writes are known.
    pub fn is_whole(&self, stage: &str) -> bool {
        self.known.lock().whole.contains(stage)
    }

    /// The ends of a topic's partitions, once they are known.
    pub fn of(&self, topic: &str) -> Option<Vec<i64>> {
        self.known.lock().topics.get(topic).cloned()
    }

    /// Reads marks until it is dropped.
    pub async fn follow(&self) {
        loop {
            let Err(error) = self.read().await;
            tracing::warn!(place = %self.place, %error, "the marks of what is done could not be read; trying again");
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    async fn read(&self) -> Result<std::convert::Infallible, WorkerError> {
        // Marks are no part of a transaction, and do not wait for one of others.
        let config = ConsumerConfig {
            commit: CommitPolicy::Manual,
            offset_reset: OffsetReset::Earliest,
            isolation: Isolation::ReadUncommitted,
            prefetch_bytes: 1 << 20,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(&self.cluster, config)?;
        consumer.assign(vec![self.place.clone()]).await?;
        consumer.seek(&self.place, self.start)?;
        loop {
            let records = consumer.poll(POLL_WAIT).await?;
            let mut complete = BTreeSet::new();
            for part in &records.partitions {
                for record in part.records() {
                    let record = record?;
                    let stage = self.take(record.key.unwrap_or_default(), record.value.unwrap_or_default());
                    complete.extend(stage);
                }
            }
            for stage in complete {
                self.find_ends(&stage).await?;
            }
        }
    }

    /// Takes a mark; returns its stage where that has all parts now and had not before.
    fn take(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let mut key = std::str::from_utf8(key).ok()?.split('\0');
        let (what, stage) = (key.next()?, key.next()?);
        let wanted = self.stages.get(stage)?.parts;
        if what == "level" {
            let level: Level = self.parsed(stage, value)?;
            if level.as_of >= self.start {
                self.known.lock().levels.entry(stage.to_owned()).or_default().take(&level);
            }
            return None;
        }
        let mark: Mark = if what == "ended" { self.parsed(stage, value)? } else { return None };
        if mark.as_of < self.start {
            return None;
        }
        let mut known = self.known.lock();
        if known.whole.contains(stage) {
            return None;
        }
        let parts = known.parts.entry(stage.to_owned()).or_default();
        parts.extend(mark.parts.into_iter().filter(|part| *part < wanted));
        (parts.len() as u32 == wanted).then(|| stage.to_owned())
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, stage: &str, value: &[u8]) -> Option<T> {
        match serde_json::from_slice(value) {
            Ok(mark) => Some(mark),
            Err(error) => {
                tracing::warn!(place = %self.place, stage, %error, "a mark cannot be read and is passed over");
                None
            }
        }
    }

    /// A stage is whole: what it and no stage that is not whole writes ends where it ends now.
    async fn find_ends(&self, stage: &str) -> Result<(), WorkerError> {
        let whole = |other: &str| other == stage || self.is_whole(other);
        let is_last = |topic: &Arc<str>| {
            let writes = |parts: &StageParts| parts.writes.iter().any(|(written, _)| written == topic);
            self.stages.iter().filter(|(_, parts)| writes(parts)).all(|(other, _)| whole(other))
        };
        let ended: Vec<(Arc<str>, u32)> =
            self.stages[stage].writes.iter().filter(|(topic, _)| is_last(topic)).cloned().collect();
        let found = self.ends_now(&ended).await?;
        let mut known = self.known.lock();
        known.topics.extend(found);
        known.whole.insert(stage.to_owned());
        Ok(())
    }

    /// Takes it that topics, with their partitions, end where they end now: those that others write and that are read so
    /// far.
    pub async fn end(&self, topics: &[(Arc<str>, u32)]) -> Result<(), WorkerError> {
        let found = self.ends_now(topics).await?;
        self.known.lock().topics.extend(found);
        Ok(())
    }

    async fn ends_now(&self, topics: &[(Arc<str>, u32)]) -> Result<Vec<(String, Vec<i64>)>, WorkerError> {
        let mut found = Vec::new();
        for (topic, partitions) in topics {
            let all: Vec<TopicPartition> =
                (0..*partitions as i32).map(|p| TopicPartition::new(Arc::clone(topic), p)).collect();
            let ends = restore::ends(&self.cluster, &all).await?;
            let of = |p: &TopicPartition| ends.get(p).copied();
            let ends: Option<Vec<i64>> = all.iter().map(of).collect();
            let ends = ends.ok_or_else(|| {
                WorkerError::Transient(format!("asking for the ends of {topic}: not all were told"))
            })?;
            found.push((topic.to_string(), ends));
        }
        Ok(found)
    }
}

async fn end_of(cluster: &Arc<Cluster>, place: &TopicPartition) -> Result<i64, WorkerError> {
    let ends = restore::ends(cluster, std::slice::from_ref(place)).await?;
    ends.get(place)
        .copied()
        .ok_or_else(|| WorkerError::Transient(format!("asking for the end of {place}: it was not told")))
}
