//! Old against new: which operators keep their state, which start anew and why, and what happens to topics. Shown by
//! `millstream plan` before anything is done.
//!
//! Invariant PL-6: state is kept only where the operator's definition and the cut into key groups are the same.

use std::fmt;

use crate::graph::{Job, Stage};
use crate::lock::Lock;
use crate::names;

/// One consequence of an edit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The operator keeps its state.
    Kept(String),
    /// The operator starts with no state, for this reason: what it had kept means nothing to it any more.
    Anew(String, String),
    /// The operator's state is made anew from the beginning of these topics; for this reason, where it had kept some.
    Filled(String, Vec<String>, Option<String>),
    /// The operator is filled, in a form that ran before another one: it goes on where it stood then.
    GoesOn(String),
    /// An operator without state is not filled any more: it goes on with this stage.
    Unfilled(String, String),
    /// A new operator with state.
    AddedState(String),
    /// Its state is not used any more.
    RemovedState(String),
    /// Topics that other stages have read are read by this one, as a group of its own.
    OtherReader(String, Vec<String>),
    /// A topic that will be made.
    AddedTopic(String),
    /// A topic that is not used any more; it is left as it is.
    UnusedTopic(String),
    /// A topic gets more partitions: from, to.
    GrownTopic(String, u32, u32),
    /// A topic would get fewer partitions, which Kafka cannot do: from, to. The edit is refused.
    ShrunkTopic(String, u32, u32),
}

impl Change {
    /// Whether the edit cannot be done.
    pub fn is_refused(&self) -> bool {
        matches!(self, Change::ShrunkTopic(..))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Kept(id) => write!(f, "= {id} keeps its state"),
            Change::Anew(id, why) => write!(f, "~ {id} starts anew, with no state: {why}"),
            Change::Filled(id, topics, None) => {
                write!(f, "+ {id} is filled from the beginning of {}", topics.join(", "))
            }
            Change::Filled(id, topics, Some(why)) => write!(
                f,
                "~ {id} is filled anew, from the beginning of {}: {why}; what it gives comes again",
                topics.join(", ")
            ),
            Change::GoesOn(id) => write!(
                f,
                "~ {id} goes on where this form of it stood: what another one wrote since then stays; another number at `backfill` fills it anew"
            ),
            Change::Unfilled(id, stage) => write!(
                f,
                "~ {id} is not filled any more, and goes on where stage {stage} stands: what it had not come to yet it passes over"
            ),
            Change::AddedState(id) => write!(f, "+ {id} starts with no state"),
            Change::RemovedState(id) => write!(f, "- {id} goes, and its state with it"),
            Change::OtherReader(stage, topics) => write!(
                f,
                "~ stage {stage} reads {} as another group than before, from the beginning where that group has no positions: \
                 what it gives comes again",
                topics.join(", ")
            ),
            Change::AddedTopic(name) => write!(f, "+ topic {name}"),
            Change::UnusedTopic(name) => {
                write!(f, "- topic {name} is not used any more and is left as it is")
            }
            Change::GrownTopic(name, from, to) => {
                write!(f, "~ topic {name} grows from {from} to {to} partitions")
            }
            Change::ShrunkTopic(name, from, to) => write!(
                f,
                "! topic {name} cannot shrink from {from} to {to} partitions: give the new one another name"
            ),
        }
    }
}

/// What becomes of an operator whose stage is filled and did not run last.
fn filled_now(old: &Lock, stage: &Stage, id: &str, was: bool) -> Change {
    if old.forms.contains(&stage.id) {
        return Change::GoesOn(id.to_owned());
    }
    let topics = stage.inputs.iter().map(|input| input.topic.clone()).collect();
    let is_other_form = |other: &&String| names::unfilled(other) == names::unfilled(&stage.id);
    let why = match old.forms.iter().find(is_other_form) {
        Some(_) => Some("it was edited, or what it is filled through"),
        None if was => Some("it was not filled before"),
        None => None,
    };
    Change::Filled(id.to_owned(), topics, why.map(str::to_owned))
}

/// What becomes of what `old` left behind when `new` runs.
pub fn diff(old: &Lock, new: &Job) -> Vec<Change> {
    let next = Lock::of(new);
    let mut changes = Vec::new();
    // Stages that were not there, of topics that others read.
    let was_read = |topic: &&String| old.stages.values().any(|topics| topics.contains(topic));
    let is_filled = |id: &str| new.stage(id).is_some_and(|stage| stage.backfill);
    let others: Vec<(String, Vec<String>)> = next
        .stages
        .iter()
        .filter(|(stage, _)| !old.stages.contains_key(*stage))
        .filter(|(stage, _)| !is_filled(stage))
        .map(|(stage, topics)| (stage.clone(), topics.iter().filter(was_read).cloned().collect()))
        .filter(|(_, topics): &(String, Vec<String>)| !topics.is_empty())
        .collect();
    for (id, operator) in &next.operators {
        let stage = new.operator(id).map(|(stage, _)| stage);
        let filled = stage.filter(|stage| stage.backfill && !old.stages.contains_key(&stage.id));
        if let Some(stage) = filled {
            let was = old.operators.contains_key(id);
            changes.push(filled_now(old, stage, id, was));
            continue;
        }
        changes.push(match old.operators.get(id) {
            None => Change::AddedState(id.clone()),
            Some(before) if before.id != operator.id => {
                let moved = stage.is_some_and(|stage| others.iter().any(|(other, _)| *other == stage.id));
                let why = match moved {
                    true => "another stage reads its topics",
                    false => "its definition has changed",
                };
                Change::Anew(id.clone(), why.to_owned())
            }
            Some(before) if before.stage_key != operator.stage_key => {
                Change::Anew(id.clone(), "the key of the topic that it reads has changed".to_owned())
            }
            Some(before) if before.key_groups != operator.key_groups => Change::Anew(
                id.clone(),
                format!(
                    "the topic that it reads goes from {} to {} partitions, which moves keys",
                    before.key_groups, operator.key_groups
                ),
            ),
            Some(_) => Change::Kept(id.clone()),
        });
    }
    // Those that keep nothing are told of by what they are filled from.
    let is_plain = |stage: &&Stage| stage.operators.iter().all(|operator| operator.state.is_none());
    let new_forms = new.stages.iter().filter(|stage| stage.backfill && !old.stages.contains_key(&stage.id));
    let new_forms = new_forms.filter(is_plain);
    changes.extend(new_forms.map(|stage| filled_now(old, stage, names::unfilled(&stage.id), false)));
    let was_filled = old.stages.keys().filter(|stage| old.forms.contains(*stage)).map(|s| names::unfilled(s));
    let unfilled = was_filled
        .filter_map(|id| new.operator(id))
        .filter(|(stage, operator)| !stage.backfill && operator.state.is_none());
    changes.extend(unfilled.map(|(stage, o)| Change::Unfilled(o.id.name.clone(), stage.id.clone())));
    let gone = old.operators.keys().filter(|id| !next.operators.contains_key(*id));
    changes.extend(gone.map(|id| Change::RemovedState(id.clone())));
    changes.extend(others.into_iter().map(|(stage, topics)| Change::OtherReader(stage, topics)));
    for (name, (partitions, _)) in &next.topics {
        match old.topics.get(name) {
            None => changes.push(Change::AddedTopic(name.clone())),
            Some((before, _)) if before < partitions => {
                changes.push(Change::GrownTopic(name.clone(), *before, *partitions));
            }
            Some((before, _)) if before > partitions => {
                changes.push(Change::ShrunkTopic(name.clone(), *before, *partitions));
            }
            Some(_) => {}
        }
    }
    let unused = old.topics.keys().filter(|name| !next.topics.contains_key(*name));
    changes.extend(unused.map(|name| Change::UnusedTopic(name.clone())));
    changes
}
