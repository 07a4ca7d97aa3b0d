//! What a running job left behind, as far as an edit must know it: operators with state, and topics. Written where the
//! pipeline runs and read at the next plan; the text is a contract.
//!
//! Form: a first line `millstream plan 1 <pipeline>`, then `state <operator id> <key groups> <key columns or ->`,
//! `topic <name> <partitions> <role>` and `stage <id> <topics that it reads>` lines, sorted; and `form <id>` for each stage that is filled
//! or once was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::graph::{Job, Stage, StageKind};
use crate::stable_id::OperatorId;

/// The most lines of a lock: far above what [`millstream_spec::flow::COMPONENTS_MAX`] components make.
const LINES_MAX: usize = 10_000;

/// What a job left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The pipeline's name.
    pub pipeline: String,
    /// Operators with state, by their id in the file.
    pub operators: BTreeMap<String, LockedOperator>,
    /// Topics by name: partitions and role.
    pub topics: BTreeMap<String, (u32, String)>,
    /// The stages that process, with the topics that they read; none in what was written before they were told.
    pub stages: BTreeMap<String, Vec<String>>,
    /// The stages that are filled, and those that were before: each goes on where it stood when it is there again.
    pub forms: BTreeSet<String>,
}

/// An operator with state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedOperator {
    /// Its id.
    pub id: OperatorId,
    /// The key groups of its stage.
    pub key_groups: u32,
    /// The columns that the key groups are cut by.
    pub stage_key: Vec<String>,
}

/// A lock that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockError {
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} of the plan that is kept with the pipeline cannot be read; was it written by a newer version?",
            self.line
        )
    }
}

impl std::error::Error for LockError {}

impl Lock {
    /// What `job` will leave behind.
    pub fn of(job: &Job) -> Lock {
        let mut operators = BTreeMap::new();
        for stage in &job.stages {
            for operator in stage.operators.iter().filter(|o| o.state.is_some()) {
                let locked = LockedOperator {
                    id: operator.id.clone(),
                    key_groups: stage.key_groups,
                    stage_key: stage.key().into_iter().map(str::to_owned).collect(),
                };
                operators.insert(operator.id.name.clone(), locked);
            }
        }
        let topics = job
            .topics
            .values()
            .map(|t| (t.name.clone(), (t.partitions, t.role.word().replace(' ', "_"))))
            .collect();
        let processes = job.stages.iter().filter(|stage| stage.kind == StageKind::Process);
        let reads = |stage: &Stage| stage.inputs.iter().map(|input| input.topic.clone()).collect();
        let stages = processes.map(|stage| (stage.id.clone(), reads(stage))).collect();
        let forms = job.stages.iter().filter(|stage| stage.backfill).map(|stage| stage.id.clone()).collect();
        Lock { pipeline: job.pipeline.clone(), operators, topics, stages, forms }
    }

    /// What `job` will leave behind where `before` has run.
    pub fn after(job: &Job, before: Option<&Lock>) -> Lock {
        let mut lock = Lock::of(job);
        let forms = before.filter(|before| before.pipeline == job.pipeline).map(|before| &before.forms);
        lock.forms.extend(forms.into_iter().flatten().cloned());
        lock
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Result<Lock, LockError> {
        let mut lock = Lock {
            pipeline: String::new(),
            operators: BTreeMap::new(),
            topics: BTreeMap::new(),
            stages: BTreeMap::new(),
            forms: BTreeSet::new(),
        };
        for (i, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let good = match (i, words.as_slice()) {
                (0, ["millstream", "plan", "1", name]) => {
                    (*name).clone_into(&mut lock.pipeline);
                    Some(())
                }
                (1..LINES_MAX, ["state", id, key_groups, key]) => (|| {
                    let id = OperatorId::parse(id)?;
                    let stage_key =
                        if *key == "-" { Vec::new() } else { key.split(',').map(str::to_owned).collect() };
                    let locked = LockedOperator { key_groups: key_groups.parse().ok()?, stage_key, id };
                    lock.operators.insert(locked.id.name.clone(), locked).is_none().then_some(())
                })(),
                (1..LINES_MAX, ["topic", name, partitions, role]) => (|| {
                    let value = (partitions.parse().ok()?, (*role).to_owned());
                    lock.topics.insert((*name).to_owned(), value).is_none().then_some(())
                })(),
                (1..LINES_MAX, ["stage", id, topics]) => {
                    let topics = topics.split(',').map(str::to_owned).collect();
                    lock.stages.insert((*id).to_owned(), topics).is_none().then_some(())
                }
                (1..LINES_MAX, ["form", id]) => lock.forms.insert((*id).to_owned()).then_some(()),
                _ => None,
            };
            good.ok_or(LockError { line: i + 1 })?;
        }
        if lock.pipeline.is_empty() { Err(LockError { line: 1 }) } else { Ok(lock) }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "millstream plan 1 {}", self.pipeline)?;
        for operator in self.operators.values() {
            let key =
                if operator.stage_key.is_empty() { "-".to_owned() } else { operator.stage_key.join(",") };
            writeln!(f, "state {} {} {key}", operator.id, operator.key_groups)?;
        }
        for (name, (partitions, role)) in &self.topics {
            writeln!(f, "topic {name} {partitions} {role}")?;
        }
        for (id, topics) in &self.stages {
            writeln!(f, "stage {id} {}", topics.join(","))?;
        }
        for id in &self.forms {
            writeln!(f, "form {id}")?;
        }
        Ok(())
    }
}
