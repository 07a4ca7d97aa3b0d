//! A pipeline as savepoints see it: which of its topics hold what it keeps, who writes them, who reads them, and what they are
//! called in another copy of it. Pure. Never enters: what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_plan::{Job, Stage, StageKind, TopicRole};
use millstream_spec::Pipeline;
use millstream_spec::ast::{LateThen, Operator};
use millstream_types::TopicPartition;

use super::manifest::{Kind, SavedTopic};

/// A pipeline and its plan.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The spec.
    pub pipeline: &'a Pipeline,
    /// The plan.
    pub job: &'a Job,
}

impl<'a> Subject<'a> {
    /// The positions topic; every pipeline has one.
    pub fn positions(&self) -> Arc<str> {
        self.job.topics_of(TopicRole::Positions).next().map_or("", |topic| &topic.name).into()
    }

    /// The operators with state, by their stable ids: changelogs with their partitions.
    pub fn changelogs(&self) -> BTreeMap<String, (Arc<str>, u32)> {
        let operators = self.job.stages.iter().flat_map(|stage| &stage.operators);
        let with_state = operators.filter_map(|operator| Some((operator, operator.state.as_ref()?)));
        with_state
            .map(|(operator, state)| {
                (operator.id.to_string(), (state.changelog.as_str().into(), state.changelog_partitions))
            })
            .collect()
    }

    /// How many key groups the stage of an operator has, by its stable id.
    pub fn key_groups_of(&self, operator: &str) -> u32 {
        let has = |stage: &&Stage| stage.operators.iter().any(|of| of.id.to_string() == operator);
        self.job.stages.iter().find(has).map_or(1, |stage| stage.key_groups)
    }

    /// Whether the pipeline writes a topic: rows, or late ones.
    fn is_written(&self, topic: &str) -> bool {
        let by_stage = self.job.stages.iter().any(|stage| stage.outputs.iter().any(|o| o.topic == topic));
        let late = self.pipeline.transforms.values().filter_map(|transform| match &transform.op {
            Operator::Sql(query) => match &query.late.as_ref()?.value.then {
                LateThen::Topic(Some(topic)) => self.pipeline.topics.get(&topic.value),
                _ => None,
            },
            _ => None,
        });
        by_stage || late.into_iter().any(|late| late.name.value == topic)
    }

    /// The stages that read a topic, other than that of sources.
    pub fn readers(&self, topic: &str) -> impl Iterator<Item = &'a Stage> {
        let reads = move |stage: &&Stage| stage.inputs.iter().any(|input| input.topic == topic);
        self.job.stages.iter().filter(|stage| stage.kind != StageKind::Ingest).filter(reads)
    }

    /// The topics that stages read: name, id, kind and partitions.
    pub fn read(&self) -> Vec<(Arc<str>, String, Kind, u32)> {
        let mut seen = BTreeSet::new();
        let stages = self.job.stages.iter().filter(|stage| stage.kind != StageKind::Ingest);
        let mut found = Vec::new();
        for input in stages.flat_map(|stage| &stage.inputs) {
            let Some(topic) = self.job.topics.get(&input.topic).filter(|_| seen.insert(&input.topic)) else {
                continue;
            };
            let (id, kind) = match topic.role {
                TopicRole::Sink => (input.stream.clone(), Kind::ToSinks),
                _ => {
                    let declared = self.pipeline.topics.values().find(|t| t.name.value == topic.name);
                    let id = declared.map_or_else(|| topic.name.clone(), |t| t.id.value.clone());
                    (id, if self.is_written(&topic.name) { Kind::Between } else { Kind::Outside })
                }
            };
            found.push((topic.name.as_str().into(), id, kind, topic.partitions));
        }
        found
    }

    /// What a topic of a savepoint is called in this pipeline, and its partitions; nothing where no stage reads such a one.
    pub fn now_called(&self, saved: &SavedTopic) -> Option<(Arc<str>, u32)> {
        let same = |kind: Kind| (kind == Kind::ToSinks) == (saved.kind == Kind::ToSinks);
        let found = self.read().into_iter().find(|(_, id, kind, _)| *id == saved.id && same(*kind));
        found.map(|(name, _, _, partitions)| (name, partitions))
    }

    /// The partitions of what a savepoint copies, of topics that are there.
    pub fn copied(&self, is_there: impl Fn(&str) -> bool) -> Vec<TopicPartition> {
        let positions = self.positions();
        let positions_partitions =
            self.job.topics.get(positions.as_ref()).map_or(1, |topic| topic.partitions);
        let read = self.read().into_iter().filter(|(_, _, kind, _)| *kind != Kind::Outside);
        let read = read.map(|(name, _, _, partitions)| (name, partitions));
        let all = self.changelogs().into_values().chain([(positions, positions_partitions)]).chain(read);
        all.filter(|(name, _)| is_there(name))
            .flat_map(|(name, partitions)| all_of(&name, partitions))
            .collect()
    }
}

/// The partitions of a topic.
pub fn all_of(topic: &Arc<str>, partitions: u32) -> Vec<TopicPartition> {
    (0..partitions as i32).map(|partition| TopicPartition::new(Arc::clone(topic), partition)).collect()
}
