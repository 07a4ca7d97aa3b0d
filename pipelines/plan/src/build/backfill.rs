//! Which transforms are filled from the beginning of their topics, and under which definition: a transform that says so is a stage of its own
//! with what reads it, and what that stage is called follows from all that its operators keep state by. So an edit makes it another
//! reader, whose group has no positions and whose changelogs are empty; and an edit that is undone goes on where it stood.
//! Never enters: stages of other kinds.

use std::collections::BTreeMap;

use millstream_spec::ast::{Operator as Op, Pipeline, Transform};
use millstream_spec::flow::Flow;
use millstream_spec::span::Span;
use millstream_spec::{Diagnostic, code};

use super::{Builder, is_topic};
use crate::graph::StageKind;
use crate::names;
use crate::stable_id::{definition, filled_by, short_hash};

/// A stage that is filled.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    /// Its id.
    pub stage: String,
    /// The definition that is in its name, and in those of its operators' changelogs.
    pub definition: u32,
}

/// By the id of each transform that is filled, its stage.
pub(super) fn filled<'a>(
    pipeline: &'a Pipeline,
    flow: &Flow<'a>,
    has_state: impl Fn(&Transform) -> bool,
) -> BTreeMap<&'a str, Filled> {
    // The one that a transform's rows come through without a topic between.
    let mut through: BTreeMap<&str, &'a str> = BTreeMap::new();
    // By id, whatever order the graph is gone through in.
    let mut definitions: BTreeMap<&'a str, BTreeMap<&str, String>> = BTreeMap::new();
    for id in &flow.order {
        let transform = &pipeline.transforms[*id];
        if transform.backfill.is_some() {
            through.insert(id, id);
            definitions.entry(id).or_default().insert(id, filled_by(pipeline, flow, transform));
            continue;
        }
        let first = transform.inputs.iter().find_map(|input| through.get(input.value.as_str()).copied());
        let Some(first) = first else { continue };
        if has_state(transform) {
            let of = definition(pipeline, flow, transform);
            definitions.entry(first).or_default().insert(id, of);
        }
        if !matches!(transform.op, Op::Topic(_)) {
            through.insert(id, first);
        }
    }
    let stage = |(id, of): (&'a str, BTreeMap<&str, String>)| {
        let lines: String = of.into_iter().map(|(id, of)| format!("{id} {of}\n")).collect();
        let definition = short_hash(&lines);
        (id, Filled { stage: names::filled(id, definition), definition })
    };
    definitions.into_iter().map(stage).collect()
}

impl<'a> Builder<'a> {
    /// The stage that begins with a transform that is filled, reading the topics that are its inputs.
    pub(super) fn filled_stage(
        &mut self,
        transform: &'a Transform,
        streams: &[&'a str],
        said: Span,
    ) -> Option<String> {
        let id = transform.id.value.as_str();
        let stage_id = self.filled.get(id)?.stage.clone();
        let several = streams.len() > 1 && !matches!(transform.op, Op::Sql(_));
        let not_read = match several {
            true => streams.first(),
            false => streams.iter().find(|stream| !is_topic(self.pipeline, stream)),
        };
        if let Some(stream) = not_read {
            let (message, help) = match several {
                true => (
                    format!("{id:?} is filled from the beginning of its topics, and reads several streams"),
                    "put `backfill` on a query that joins them or reads them by UNION ALL, or a transform of type topic before it".to_owned(),
                ),
                false => (
                    format!("{id:?} is filled from the beginning of its topics, and {stream:?} is no topic"),
                    match self.pipeline.transforms.contains_key(*stream) {
                        true => format!("put `backfill` on {stream:?}, if that reads a topic, or a transform of type topic between them"),
                        false => "put a transform of type topic before it".to_owned(),
                    },
                ),
            };
            self.diagnostics.push(Diagnostic::new(&code::STAGE_INPUTS, said, message).help(help));
            return None;
        }
        streams.iter().for_each(|stream| {
            self.read(&stage_id, stream);
        });
        self.stage(&stage_id, StageKind::Process).backfill = true;
        Some(stage_id)
    }

    /// The changelog of an operator.
    pub(super) fn changelog(&mut self, id: &str, stage_id: &str, partitions: u32) -> String {
        let filled = self.filled.values().find(|filled| filled.stage == stage_id);
        let name = filled.map_or_else(|| id.to_owned(), |filled| names::filled(id, filled.definition));
        self.topics.changelog(&name, partitions)
    }
}
