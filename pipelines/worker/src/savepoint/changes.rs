//! What putting a savepoint back does, decided before anything is touched: whose state is kept, where each stage goes on, which
//! records are written again, what is missing. Pure. Never enters: doing it (`put_back.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use millstream_plan::{Change, Job, Stage, StageKind, diff};
use millstream_types::TopicPartition;

use super::manifest::{Kind, Manifest, SavedTopic};
use super::subject::{Subject, all_of};
use crate::error::WorkerError;

/// What to do where a topic of others does not have what is to be read of it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// Refuse, and say what is missing.
    Stop,
    /// Go on from where the topic begins.
    Skip,
}

/// A topic as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The broker's id.
    pub broker_id: String,
    /// Where its partitions begin.
    pub starts: Vec<i64>,
    /// Where they end.
    pub ends: Vec<i64>,
}

/// Where a stage is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// At an offset.
    At(i64),
    /// So many records behind the first that is written again.
    Written(u64),
}

/// Records that are written again to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Which of the savepoint's topics.
    pub saved: usize,
    /// The topic's name now.
    pub topic: Arc<str>,
    /// How many of the first records of each partition are passed over: every reader has them.
    pub skip: BTreeMap<u32, u64>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// The operators that get their state, by their stable ids.
    pub kept: BTreeSet<String>,
    /// Where groups go on.
    pub go_on: BTreeMap<String, BTreeMap<TopicPartition, GoOn>>,
    /// What is written again.
    pub rewrites: Vec<Rewrite>,
    /// What to tell before it is done, a line each.
    pub told: Vec<String>,
}

/// Decides it. `now` are the topics that are there, by name; `waiting` how many records of its topics each sink's group has not
/// committed.
pub fn decide(
    subject: Subject<'_>,
    manifest: &Manifest,
    now: &BTreeMap<Arc<str>, Now>,
    waiting: &BTreeMap<String, i64>,
    on_gap: OnGap,
) -> Result<Plan, WorkerError> {
    let mut plan = Plan::default();
    let of_other = manifest.pipeline != subject.job.pipeline;
    if of_other {
        plan.told.push(format!(
            "savepoint of pipeline {}, put back into {}",
            manifest.pipeline, subject.job.pipeline
        ));
    }
    operators(subject.job, manifest, &mut plan)?;
    let mut gaps = Vec::new();
    for (name, _, kind, partitions) in subject.read() {
        let of =
            |topic: &(usize, &SavedTopic)| subject.now_called(topic.1).is_some_and(|(now, _)| now == name);
        let found = manifest.topics.iter().enumerate().find(of);
        let there = now.get(&name);
        let Some((at, saved)) = found else {
            // Nobody had read it then: who reads it now begins with what there is.
            for stage in subject.readers(&name).filter(|stage| stage.kind == StageKind::Process) {
                let starts =
                    |p: &TopicPartition| there.and_then(|now| now.starts.get(p.partition as usize)).copied();
                let begin = all_of(&name, partitions)
                    .into_iter()
                    .map(|p| (p.clone(), GoOn::At(starts(&p).unwrap_or(0))));
                plan.go_on.entry(stage.group_id.clone()).or_default().extend(begin);
                plan.told.push(format!(
                    "stage {} did not read {name} then: it begins with what there is",
                    stage.id
                ));
            }
            continue;
        };
        if saved.partitions.len() != partitions as usize {
            return Err(WorkerError::Setup(format!(
                "putting savepoint {} back: topic {name} has {partitions} partitions in the file, and had {}: keys are in others. Say {} \
                 in the file",
                manifest.name,
                saved.partitions.len(),
                saved.partitions.len()
            )));
        }
        let is_same = there.is_some_and(|now| now.broker_id == saved.broker_id);
        if of_other && is_same && kind == Kind::Between {
            return Err(WorkerError::Setup(format!(
                "putting savepoint {} back into {}: the topic {name} is that of pipeline {}, which would read what this one writes; give it \
                 another name, such as --set topics.{}.name={}-{name}",
                manifest.name, subject.job.pipeline, manifest.pipeline, saved.id, subject.job.pipeline
            )));
        }
        let topic = Topic { subject, name: &name, saved, at, there, is_same, is_now: kind };
        match saved.kind {
            Kind::Outside => gaps.extend(topic.outside(&mut plan, on_gap)),
            _ => topic.own(&mut plan),
        }
    }
    if !gaps.is_empty() {
        return Err(WorkerError::Setup(format!(
            "putting savepoint {} back: {}. Say --on-gap skip to go on with what there is",
            manifest.name,
            gaps.join("; ")
        )));
    }
    sinks(subject, now, waiting, &mut plan);
    Ok(plan)
}

/// Who keeps its state: what `plan` says of an edit, of operators alone.
fn operators(job: &Job, manifest: &Manifest, plan: &mut Plan) -> Result<(), WorkerError> {
    let lock = manifest.lock().map_err(WorkerError::Setup)?;
    for change in diff(&lock, job) {
        match &change {
            Change::Kept(id) => {
                plan.kept.extend(job.operator(id).map(|(_, operator)| operator.id.to_string()));
            }
            Change::Anew(..) | Change::AddedState(_) | Change::Filled(..) | Change::GoesOn(_) => {
                plan.told.push(change.to_string())
            }
            Change::RemovedState(id) => {
                plan.told
                    .push(format!("- {id} is in the savepoint and not in the file: its state is left out"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A topic then and now.
struct Topic<'a> {
    subject: Subject<'a>,
    name: &'a Arc<str>,
    saved: &'a SavedTopic,
    at: usize,
    there: Option<&'a Now>,
    is_same: bool,
    is_now: Kind,
}

impl Topic<'_> {
    /// The stages that go on where they stood: those that compute.
    fn processes(&self) -> Vec<&Stage> {
        self.subject.readers(self.name).filter(|stage| stage.kind == StageKind::Process).collect()
    }

    fn partition(&self, at: usize) -> TopicPartition {
        TopicPartition::new(Arc::clone(self.name), at as i32)
    }

    fn start(&self, at: usize) -> i64 {
        self.there.and_then(|now| now.starts.get(at)).copied().unwrap_or(0)
    }

    fn end(&self, at: usize) -> i64 {
        self.there.and_then(|now| now.ends.get(at)).copied().unwrap_or(0)
    }

    /// A topic that only others write: read on from the same offsets. What is missing of it.
    fn outside(&self, plan: &mut Plan, on_gap: OnGap) -> Vec<String> {
        let mut gaps = Vec::new();
        for stage in self.processes() {
            for (at, saved) in self.saved.partitions.iter().enumerate() {
                let (start, end) = (self.start(at), self.end(at));
                let offset = saved.readers.get(&stage.id).map_or(start, |reader| reader.offset);
                let place = self.partition(at);
                let gap = if !self.is_same && offset > 0 {
                    Some(format!(
                        "topic {} is not the one that it was: offset {offset} of {place} says nothing",
                        self.name
                    ))
                } else if offset < start {
                    Some(format!(
                        "{place} begins at {start}, and stage {} goes on at {offset}: the records between were deleted",
                        stage.id
                    ))
                } else if offset > end {
                    Some(format!("{place} ends at {end}, and stage {} goes on at {offset}", stage.id))
                } else {
                    None
                };
                let go_on = if gap.is_some() { start } else { offset };
                match (gap, on_gap) {
                    (Some(gap), OnGap::Skip) => plan.told.push(format!("{gap}; it goes on at {start}")),
                    (gap, _) => gaps.extend(gap),
                }
                plan.go_on.entry(stage.group_id.clone()).or_default().insert(place, GoOn::At(go_on));
            }
        }
        gaps
    }

    /// A topic that the pipeline writes. Where it has not moved, it is read on from the same offsets. Else what it has is left
    /// where it is and passed over, and what was in flight is written behind it. One that was made anew gets all that was in
    /// flight, for sinks too; sinks read others themselves.
    fn own(&self, plan: &mut Plan) {
        let is_new = self.there.is_none_or(|now| !self.is_same && now.ends.iter().all(|end| *end == 0));
        let readers: Vec<&Stage> = match is_new {
            true => self.subject.readers(self.name).collect(),
            false => self.processes(),
        };
        let mut skip = BTreeMap::new();
        let mut written = 0;
        for (at, saved) in self.saved.partitions.iter().enumerate() {
            let partition = at as u32;
            let all = self.saved.content.records.get(&partition).copied().unwrap_or(0);
            let stands = |stage: &&Stage| saved.readers.get(&stage.id).copied();
            let known: Vec<_> = readers.iter().filter_map(stands).collect();
            let first = known.iter().map(|reader| reader.offset).min().unwrap_or(saved.end);
            let is_as_it_was = self.is_same && self.end(at) == saved.end && self.start(at) <= first;
            let before = known.iter().map(|reader| reader.before.min(all)).min().unwrap_or(all);
            let again = if is_as_it_was { 0 } else { all - before };
            for stage in &readers {
                let go_on = match stands(stage) {
                    Some(reader) if is_as_it_was => GoOn::At(reader.offset),
                    // Who has read all of it goes on behind what others get again.
                    Some(reader) if again > 0 => GoOn::Written(reader.before.min(all) - before),
                    Some(_) => GoOn::At(self.end(at)),
                    // A stage that is new begins at the beginning, as it does without a savepoint.
                    None => GoOn::At(self.start(at)),
                };
                plan.go_on.entry(stage.group_id.clone()).or_default().insert(self.partition(at), go_on);
            }
            skip.insert(partition, all - again);
            written += again;
        }
        if written > 0 {
            let topic = Arc::clone(self.name);
            plan.rewrites.push(Rewrite { saved: self.at, topic, skip });
        }
        if !readers.is_empty() && (written > 0 || !is_new) && self.is_now != Kind::ToSinks {
            let mut text =
                format!("topic {}: what it holds stays, and its stages pass over what came since", self.name);
            if written > 0 {
                let _ = write!(text, "; {written} records that were on their way come again");
            }
            plan.told.push(text);
        }
    }
}

/// What becomes of what was handed to targets, which is not set back.
fn sinks(
    subject: Subject<'_>,
    now: &BTreeMap<Arc<str>, Now>,
    waiting: &BTreeMap<String, i64>,
    plan: &mut Plan,
) {
    for stage in subject.job.stages.iter().filter(|stage| stage.kind == StageKind::Sink) {
        let id = stage.sink.as_deref().unwrap_or(&stage.id);
        let is_there = stage.inputs.iter().any(|input| now.contains_key(input.topic.as_str()));
        plan.told.push(match is_there {
            true => format!(
                "sink {id} is not set back: {} records of its topics that it has not written yet still come, then rows since the savepoint \
                 come again; where rows replace rows by their key they are replaced, elsewhere they are there twice",
                waiting.get(&stage.group_id).copied().unwrap_or(0)
            ),
            false => format!(
                "sink {id} reads a topic that is made anew, with what was on its way then; its target must know nothing of a topic of \
                 this name, or the sink stops and says so"
            ),
        });
    }
    let read: BTreeSet<&str> =
        subject.job.stages.iter().flat_map(|stage| &stage.inputs).map(|input| input.topic.as_str()).collect();
    let outputs = subject.job.stages.iter().flat_map(|stage| &stage.outputs);
    let unread: BTreeSet<&str> =
        outputs.map(|output| output.topic.as_str()).filter(|topic| !read.contains(topic)).collect();
    for topic in unread.into_iter().filter(|topic| now.contains_key(*topic)) {
        plan.told
            .push(format!("topic {topic}: what it holds stays, and rows since the savepoint come again"));
    }
}

#[cfg(test)]
mod tests;
