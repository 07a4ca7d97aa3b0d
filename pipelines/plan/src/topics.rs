//! The topics of a job with their partitions and configs.
//!
//! Retention counts from the append, never from a record's own time: Kafka's rule would delete input whose event time
//! lies in the past under its reader. Our broker says so with `retention.time.source=append`, Apache Kafka with
//! `message.timestamp.type=LogAppendTime`; event time stays in its column.

use std::collections::BTreeMap;

use millstream_spec::ast::{Broker, Pipeline, Topic};

use crate::graph::{TopicPlan, TopicRole};
use crate::names;

/// The most partitions of a changelog: records carry their key group and a restore filters.
pub const CHANGELOG_PARTITIONS_MAX: u32 = 16;
/// The partitions of the splits and positions topics: how many workers can read sources at once.
pub const SPLIT_PARTITIONS: u32 = 16;
/// The most bytes of a record there: more are not read by anybody.
const CHANGELOG_RECORD_BYTES_MAX: u64 = 16 << 20;
/// Segments of topics that the pipeline itself deletes from, in bytes.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Segments of the positions topic, in bytes.
const POSITIONS_SEGMENT_BYTES: u64 = 16 << 20;
/// The partitions of a dead-letter topic that is not declared.
const DEAD_LETTER_PARTITIONS: u32 = 12;
/// How long such a topic keeps its records.
const DEAD_LETTER_RETENTION_MS: u64 = 90 * 86_400_000;

pub(crate) struct Topics<'a> {
    pipeline: &'a Pipeline,
    pub all: BTreeMap<String, TopicPlan>,
}

impl<'a> Topics<'a> {
    pub fn new(pipeline: &'a Pipeline) -> Topics<'a> {
        Topics { pipeline, all: BTreeMap::new() }
    }

    fn add(
        &mut self,
        name: String,
        role: TopicRole,
        partitions: u32,
        replication: Option<u16>,
        own: &[(&str, String)],
    ) {
        let mut configs: BTreeMap<String, String> =
            own.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let (key, value) = match self.pipeline.broker {
            Broker::Embedded => ("retention.time.source", "append"),
            Broker::Cluster(_) => ("message.timestamp.type", "LogAppendTime"),
        };
        configs.insert(key.to_owned(), value.to_owned());
        let plan = TopicPlan { name: name.clone(), role, partitions, replication, format: None, configs };
        let topic = self.all.entry(name).or_insert(plan);
        topic.partitions = topic.partitions.max(partitions);
    }

    /// A declared topic.
    pub fn declared(&mut self, topic: &Topic) -> String {
        let retention = topic.retention_ms.map_or_else(|| "-1".to_owned(), |ms| ms.to_string());
        let mut own = match topic.compacted {
            true => vec![("cleanup.policy", "compact".to_owned())],
            false => vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", retention)],
        };
        own.extend(topic.retention_bytes.map(|b| ("retention.bytes", b.to_string())));
        let name = topic.name.value.clone();
        self.add(name.clone(), TopicRole::Declared, topic.partitions.value, topic.replication, &own);
        if let Some(plan) = self.all.get_mut(&name) {
            plan.format = Some(topic.format.describe());
        }
        name
    }

    /// Rows to sinks. Kept until the sinks delete what all of them have committed.
    pub fn sink(&mut self, operator: &str, partitions: u32) -> String {
        let name = names::sink_topic(&self.pipeline.name, operator);
        self.add(name.clone(), TopicRole::Sink, partitions, None, &kept());
        name
    }

    /// An operator's changelog. Not compacted: a record is a delta, and Kafka refuses DeleteRecords on compacted topics.
    pub fn changelog(&mut self, operator: &str, partitions: u32) -> String {
        let name = names::changelog_topic(&self.pipeline.name, operator);
        let mut own = kept().to_vec();
        // The state of one group may be large: a list, all its values.
        own.push(("max.message.bytes", CHANGELOG_RECORD_BYTES_MAX.to_string()));
        self.add(name.clone(), TopicRole::Changelog, partitions, None, &own);
        name
    }

    /// Where sources have come to, what stages have counted, and how far they are.
    pub fn positions(&mut self) {
        let positions = names::positions_topic(&self.pipeline.name);
        // A start reads it whole, and what lies in the last segment is not compacted.
        let compact = [
            ("cleanup.policy", "compact".to_owned()),
            ("segment.bytes", POSITIONS_SEGMENT_BYTES.to_string()),
        ];
        self.add(positions, TopicRole::Positions, SPLIT_PARTITIONS, None, &compact);
    }

    /// Who reads which split of the sources.
    pub fn splits(&mut self) -> String {
        let splits = names::splits_topic(&self.pipeline.name);
        self.add(splits.clone(), TopicRole::Splits, SPLIT_PARTITIONS, None, &kept());
        splits
    }

    /// The dead letters of a pipeline that declares no topic for them.
    pub fn dead_letters(&mut self) -> String {
        let name = names::dead_letter_topic(&self.pipeline.name);
        let own =
            [("cleanup.policy", "delete".to_owned()), ("retention.ms", DEAD_LETTER_RETENTION_MS.to_string())];
        self.add(name.clone(), TopicRole::DeadLetters, DEAD_LETTER_PARTITIONS, None, &own);
        name
    }
}

/// Kept until the pipeline deletes it. What it has deleted leaves the disk by whole segments, so they are small.
fn kept() -> [(&'static str, String); 3] {
    [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("segment.bytes", SEGMENT_BYTES.to_string()),
    ]
}
