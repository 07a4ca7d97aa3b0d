//! The spec cut into stages at its topics.
//!
//! Invariants: PL-3 an operator and the inputs that it keeps state by are in one stage, and the stage's key groups are
//! cut by columns of the operator's key; PL-4 every external sink is a stage of its own reading topics; PL-5 the topics of a stage
//! with state have the same partitions: there are several where an operator joins their streams; PL-7 a stage that is filled is read from its
//! topics' beginning by a group, and with changelogs, that have its definition in their names.

use std::collections::{BTreeMap, BTreeSet};

use millstream_spec::ast::{
    DataAction, Function, LateThen, Operator as Op, Pipeline, Target, Topic, Transform,
};
use millstream_spec::catalog::{Catalog, Delivery};
use millstream_spec::flow::{Flow, Time, joins_streams, section_of};
use millstream_spec::replaced::divides;
use millstream_spec::shape::Section;
use millstream_spec::{Diagnostic, Diagnostics, code, sql};

use self::backfill::{Filled, filled};
use crate::graph::{
    Encoding, Foreign, FunctionPlan, Job, Operator, OperatorInput, Output, Partitioner, Stage, StageKind,
    State, TopicInput, TopicRole,
};
use crate::names;
use crate::stable_id::{OperatorId, definition, groups_of};
use crate::topics::{CHANGELOG_PARTITIONS_MAX, SPLIT_PARTITIONS, Topics};

mod backfill;

/// How far the event time of what comes from outside may lie ahead of when it was written, in milliseconds, where the file does
/// not say: a clock that is a zone wrong passes, one that is a year wrong closes nobody's windows.
const AHEAD_MS: u64 = 86_400_000;

/// Plans a checked pipeline. What this version cannot run is refused here, with positions in the file.
pub fn plan(pipeline: &Pipeline, catalog: &dyn Catalog) -> Result<Job, Diagnostics> {
    let flow = Flow::new(pipeline);
    let builder = Builder {
        pipeline,
        flow: &flow,
        topics: Topics::new(pipeline),
        stage_of: BTreeMap::new(),
        joined: joined(pipeline, &flow),
        filled: BTreeMap::new(),
        stages: BTreeMap::new(),
        order: Vec::new(),
        diagnostics: Diagnostics::default(),
    };
    let filled = filled(pipeline, &flow, |transform| builder.has_state(transform));
    Builder { filled, ..builder }.run(catalog)
}

fn function(function: &Function) -> FunctionPlan {
    FunctionPlan {
        signature: function.signature(),
        module: function.wasm.module.value.clone(),
        digest: function.wasm.digest.clone(),
    }
}

struct Builder<'a> {
    pipeline: &'a Pipeline,
    flow: &'a Flow<'a>,
    topics: Topics<'a>,
    /// The stage in which an operator runs; a topic transform's is the one that reads its topic.
    stage_of: BTreeMap<&'a str, String>,
    /// The stage that reads a topic together with others, by the stream that the topic is.
    joined: BTreeMap<&'a str, String>,
    /// The stages that are filled, by the transform that each begins with.
    filled: BTreeMap<&'a str, Filled>,
    stages: BTreeMap<String, Stage>,
    /// Stage ids, each after those whose topics it reads.
    order: Vec<String>,
    diagnostics: Diagnostics,
}

impl<'a> Builder<'a> {
    fn run(mut self, catalog: &dyn Catalog) -> Result<Job, Diagnostics> {
        let pipeline = self.pipeline;
        let dead_letters = self.declared_topics();
        self.ingest();
        for id in &self.flow.order {
            self.transform(&pipeline.transforms[*id]);
        }
        self.sinks();
        self.clashes();
        self.circles();
        self.sort();
        // A stage that only passes its topic on to sinks has nothing to run: the sinks read the topic.
        let idle = |s: &Stage| {
            let gives = !s.operators.is_empty() || !s.outputs.is_empty() || !s.discards.is_empty();
            s.kind == StageKind::Process && !gives
        };
        let stages: Vec<Stage> =
            self.order.iter().filter_map(|id| self.stages.remove(id)).filter(|s| !idle(s)).collect();
        if self.diagnostics.has_errors() {
            self.diagnostics.sort();
            return Err(self.diagnostics);
        }
        Ok(Job {
            pipeline: pipeline.name.value.clone(),
            commit_interval_ms: pipeline.defaults.commit_interval_ms,
            stages,
            functions: pipeline.functions.iter().map(|(name, f)| (name.clone(), function(f))).collect(),
            asked: pipeline.tables.values().filter(|t| t.is_asked()).map(|t| t.id.value.clone()).collect(),
            followed: pipeline
                .tables
                .values()
                .filter_map(|table| {
                    let topic = pipeline.topics.get(&table.topic.as_ref()?.value)?;
                    Some((table.id.value.clone(), topic.name.value.clone()))
                })
                .collect(),
            topics: self.topics.all,
            dead_letters,
            snapshots: pipeline.defaults.snapshots.as_ref().map(|of| (of.url.value.clone(), of.take)),
            paths: self.flow.paths(pipeline, catalog),
        })
    }

    /// The topics that the pipeline declares and uses, and its dead letters.
    fn declared_topics(&mut self) -> Option<String> {
        let pipeline = self.pipeline;
        let mut used: BTreeSet<&str> = pipeline.errors.topic.iter().map(|t| t.value.as_str()).collect();
        for transform in pipeline.transforms.values() {
            match &transform.op {
                Op::Topic(op) => {
                    used.insert(&op.topic.value);
                }
                Op::Sql(query) => {
                    if let Some(LateThen::Topic(Some(topic))) = query.late.as_ref().map(|l| &l.then) {
                        used.insert(&topic.value);
                    }
                }
                _ => {}
            }
        }
        used.extend(pipeline.sources.values().filter_map(|s| Some(s.topic.as_ref()?.topic.value.as_str())));
        used.extend(pipeline.tables.values().filter_map(|t| Some(t.topic.as_ref()?.value.as_str())));
        used.extend(pipeline.sinks.values().filter_map(|s| match &s.target {
            Target::Topic(topic) => Some(topic.value.as_str()),
            _ => None,
        }));
        for topic in pipeline.topics.values().filter(|t| used.contains(t.id.value.as_str())) {
            self.topics.declared(topic);
        }
        match (pipeline.errors.action, &pipeline.errors.topic) {
            (DataAction::DeadLetter, Some(id)) => {
                pipeline.topics.get(&id.value).map(|t| t.name.value.clone())
            }
            (DataAction::DeadLetter, None) => Some(self.topics.dead_letters()),
            _ => None,
        }
    }

    fn stage(&mut self, id: &str, kind: StageKind) -> &mut Stage {
        let pipeline = &self.pipeline.name.value;
        if !self.stages.contains_key(id) {
            self.order.push(id.to_owned());
        }
        self.stages.entry(id.to_owned()).or_insert_with(|| Stage {
            id: id.to_owned(),
            kind,
            group_id: names::group_id(pipeline, id),
            transactional_id_prefix: names::transactional_id_prefix(pipeline, id),
            sources: Vec::new(),
            inputs: Vec::new(),
            tables: Vec::new(),
            operators: Vec::new(),
            outputs: Vec::new(),
            sink: None,
            discards: Vec::new(),
            key_groups: SPLIT_PARTITIONS,
            backfill: false,
            broker_transaction: kind != StageKind::Sink,
        })
    }

    fn ingest(&mut self) {
        let pipeline = self.pipeline;
        self.topics.positions();
        let read: Vec<&'a String> =
            pipeline.sources.iter().filter(|(_, s)| s.topic.is_none()).map(|(id, _)| id).collect();
        if !read.is_empty() {
            let splits = self.topics.splits();
            let stage = self.stage(names::INGEST, StageKind::Ingest);
            stage.sources = read.iter().map(|id| (*id).clone()).collect();
            stage.inputs.push(TopicInput {
                topic: splits,
                stream: names::INGEST.to_owned(),
                encoding: Encoding::Internal,
                key: Vec::new(),
                watermark: None,
                ahead_ms: None,
                foreign: None,
            });
            self.stage_of.extend(read.into_iter().map(|id| (id.as_str(), names::INGEST.to_owned())));
        }
        for id in pipeline.sources.keys() {
            self.reader(id);
        }
    }

    /// The stage that reads the topic of a topic transform or of a source.
    fn reader(&mut self, id: &'a str) {
        let stage_id = self.joined.get(id).cloned().unwrap_or_else(|| id.to_owned());
        if self.read(&stage_id, id) {
            self.stage_of.insert(id, stage_id);
        }
    }

    /// Has a stage read the topic that a stream is; whether it is one.
    fn read(&mut self, stage_id: &str, id: &str) -> bool {
        let Some((topic, input)) = self.topic_of(id) else { return false };
        let stage = self.stage(stage_id, StageKind::Process);
        let other = stage.inputs.first().map(|other| (other.stream.clone(), stage.key_groups));
        stage.inputs.push(input);
        if other.is_none() {
            stage.key_groups = topic.partitions.value;
        }
        if let Some((other, partitions)) = other.filter(|(_, n)| *n != topic.partitions.value) {
            let message = format!(
                "{id:?} and {other:?} are joined, and their topics have {} and {partitions} partitions: rows that match would be read apart",
                topic.partitions.value
            );
            let help = "give both the same, or put a transform of type topic before the join";
            self.diagnostics
                .push(Diagnostic::new(&code::EXCHANGE_NEEDED, topic.partitions.span, message).help(help));
        }
        true
    }

    /// The stage of what a transform reads, which is one.
    fn stage_of_inputs(&mut self, transform: &Transform, streams: &[&str]) -> Option<String> {
        let id = &transform.id.value;
        let mut stages = streams.iter().filter_map(|stream| Some((self.stage_of.get(*stream)?, stream)));
        let stage_id = stages.next()?.0.clone();
        if let Some((_, other)) = stages.find(|(stage, _)| **stage != stage_id) {
            let (message, help) = match &transform.op {
                Op::Sql(_) => (
                    format!("{id:?} joins {other:?} and another stream, of which one comes by no topic"),
                    "put a transform of type topic before each of them",
                ),
                _ => (
                    format!("{id:?} reads {other:?} and another stream, which come by different topics"),
                    "put a transform of type topic before it, with both as inputs",
                ),
            };
            self.diagnostics
                .push(Diagnostic::new(&code::STAGE_INPUTS, transform.id.span, message).help(help));
        }
        Some(stage_id)
    }

    /// The topic that a stream is, of a topic transform or of a source, and how it is read.
    fn topic_of(&self, stream: &str) -> Option<(&'a Topic, TopicInput)> {
        let pipeline = self.pipeline;
        let of_transform = pipeline.transforms.get(stream).and_then(|t| match &t.op {
            Op::Topic(op) => Some((&op.topic, &op.watermark, None)),
            _ => None,
        });
        let of_source = || {
            let read = pipeline.sources.get(stream)?.topic.as_ref()?;
            let foreign = if read.until_end { Foreign::UntilEnd } else { Foreign::ForEver };
            Some((&read.topic, &read.watermark, Some(foreign)))
        };
        let (topic, watermark, foreign) = of_transform.or_else(of_source)?;
        let topic = pipeline.topics.get(&topic.value)?;
        let of_ingest = |input: &str| self.stage_of.get(input).is_some_and(|stage| stage == names::INGEST);
        let inputs = pipeline.transforms.get(stream).map_or(&[][..], |t| &t.inputs);
        let outside = foreign.is_some() || inputs.iter().any(|input| of_ingest(&input.value));
        let input = TopicInput {
            topic: topic.name.value.clone(),
            stream: stream.to_owned(),
            encoding: Encoding::Records,
            key: topic.key.iter().map(|k| k.value.clone()).collect(),
            watermark: watermark.clone(),
            // What queries of the pipeline make of rows has been looked at where they came in.
            ahead_ms: watermark.as_ref().and_then(|w| w.ahead_ms.or(outside.then_some(AHEAD_MS))),
            foreign,
        };
        Some((topic, input))
    }

    /// Writes a stream to a declared topic.
    fn publish(&mut self, stream: &str, topic: &Topic, delivery: Delivery) {
        let Some(stage_id) = self.stage_of.get(stream).cloned() else { return };
        let key: Vec<String> = topic.key.iter().map(|k| k.value.clone()).collect();
        let partitioner = if key.is_empty() { Partitioner::Sticky } else { Partitioner::Key(key) };
        let (from, topic) = (self.input(stream), topic.name.value.clone());
        let output = Output { from, topic, encoding: Encoding::Records, partitioner, delivery };
        self.stage(&stage_id, StageKind::Process).outputs.push(output);
    }

    /// How an operator reads `id`.
    fn input(&self, id: &str) -> OperatorInput {
        match section_of(self.pipeline, id) {
            _ if is_topic(self.pipeline, id) => OperatorInput::Topic(id.to_owned()),
            Some(Section::Sources) => OperatorInput::Source(id.to_owned()),
            Some(Section::Tables) => OperatorInput::Table(id.to_owned()),
            _ => OperatorInput::Operator(id.to_owned()),
        }
    }

    fn transform(&mut self, transform: &'a Transform) {
        let pipeline = self.pipeline;
        let id = transform.id.value.as_str();
        if let Op::Topic(op) = &transform.op {
            let topic = &pipeline.topics[&op.topic.value];
            match divides(pipeline, transform) {
                true => self.divide(transform, topic),
                false => transform
                    .inputs
                    .iter()
                    .for_each(|input| self.publish(&input.value, topic, Delivery::ExactlyOnce)),
            }
            self.reader(id);
            return;
        }
        let streams = transform.inputs.iter().map(|input| input.value.as_str());
        let streams: Vec<&'a str> = streams.filter(|input| !pipeline.tables.contains_key(*input)).collect();
        let stage_id = match &transform.backfill {
            Some(said) => self.filled_stage(transform, &streams, said.span),
            None => self.stage_of_inputs(transform, &streams),
        };
        let Some(stage_id) = stage_id else { return };
        let state = self.state(transform, &stage_id);
        let inputs: Vec<OperatorInput> = transform.inputs.iter().map(|i| self.input(&i.value)).collect();
        let mut tables: Vec<String> = inputs
            .iter()
            .filter_map(|i| match i {
                OperatorInput::Table(id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        if let Op::Wasm(wasm) = &transform.op {
            tables.extend(wasm.lookup.iter().map(|t| t.value.clone()));
        }
        let operator = Operator {
            id: OperatorId::new(id, &self.definition(transform, &stage_id)),
            type_name: transform.type_name.value.clone(),
            inputs,
            calls: pipeline.called(transform.op.texts()).iter().map(|f| f.id.value.clone()).collect(),
            state,
        };
        let stage = self.stage(&stage_id, StageKind::Process);
        stage.operators.push(operator);
        stage.tables.extend(tables);
        stage.tables.sort();
        stage.tables.dedup();
        self.stage_of.insert(id, stage_id);
    }

    /// Writes a stream to a topic by an operator that keeps where each row lies.
    fn divide(&mut self, transform: &'a Transform, topic: &Topic) {
        let Some(input) = transform.inputs.first() else { return };
        let Some(stage_id) = self.stage_of.get(input.value.as_str()).cloned() else { return };
        let id = transform.id.value.as_str();
        let Some(stage) = self.stages.get(&stage_id) else { return };
        let key = stage.inputs.first().map(|input| input.key.clone()).unwrap_or_default();
        let changelog_partitions = stage.key_groups.min(CHANGELOG_PARTITIONS_MAX);
        let changelog = self.changelog(id, &stage_id, changelog_partitions);
        let operator = Operator {
            id: OperatorId::new(id, &self.definition(transform, &stage_id)),
            type_name: transform.type_name.value.clone(),
            inputs: vec![self.input(&input.value)],
            calls: Vec::new(),
            state: Some(State { key, changelog, changelog_partitions }),
        };
        let key: Vec<String> = topic.key.iter().map(|k| k.value.clone()).collect();
        let output = Output {
            from: OperatorInput::Operator(id.to_owned()),
            topic: topic.name.value.clone(),
            encoding: Encoding::Records,
            partitioner: Partitioner::Key(key),
            delivery: Delivery::ExactlyOnce,
        };
        let stage = self.stage(&stage_id, StageKind::Process);
        stage.operators.push(operator);
        stage.outputs.push(output);
    }

    /// What an operator's state depends on. A stage reads the topics that it joins, or that it is filled from, from their beginning when it
    /// is new: state of its operators from before, which knows of other positions, is not theirs.
    fn definition(&self, transform: &Transform, stage_id: &str) -> String {
        let definition = definition(self.pipeline, self.flow, transform);
        let is_joined = |stage: &str| {
            let is_filled = self.filled.values().any(|filled| filled.stage == stage);
            is_filled || self.joined.values().any(|joined| joined == stage)
        };
        // And what groups of groups are made of begins anew with them.
        let of = groups_of(self.pipeline, transform)
            .into_iter()
            .filter_map(|groups| self.stage_of.get(groups.id.value.as_str()));
        let of = of.filter(|stage| is_joined(stage)).map(|stage| format!(" of-stage={stage}"));
        let definition = definition + &of.collect::<String>();
        match is_joined(stage_id) {
            true if self.has_state(transform) => format!("{definition} stage={stage_id}"),
            _ => definition,
        }
    }

    fn has_state(&self, transform: &Transform) -> bool {
        match &transform.op {
            Op::Dedupe(_) => true,
            Op::Sql(query) => {
                let waits = !query.windows.is_empty() || query.over_stream;
                waits || joins_streams(self.pipeline, transform) || query.keeps_groups()
            }
            Op::Topic(_) => divides(self.pipeline, transform),
            _ => false,
        }
    }

    /// An operator's state, where it has some; refused where its rows would not meet (PL-3).
    fn state(&mut self, transform: &'a Transform, stage_id: &str) -> Option<State> {
        let id = transform.id.value.as_str();
        // Of a query whose grouping is not plain to see, the engine says whether its rows meet.
        let computed = self.computes_rows_before(transform, stage_id);
        let (key, is_known): (Vec<String>, bool) = match &transform.op {
            Op::Dedupe(dedupe) => (dedupe.key.iter().map(|k| k.value.clone()).collect(), !computed),
            Op::Sql(query) if self.has_state(transform) => {
                let key = sql::group_by(&query.sql.text);
                let is_known = key.is_some() && !computed;
                let key = key.unwrap_or_default().into_iter();
                (key.filter(|c| c != "window_start" && c != "window_end").collect(), is_known)
            }
            _ => return None,
        };
        if stage_id == names::INGEST {
            let message = format!("{id:?} keeps state, and reads sources that no topic has divided");
            let help = "put a transform of type topic before it, keyed by one of its key columns";
            self.diagnostics
                .push(Diagnostic::new(&code::STATE_WITHOUT_TOPIC, transform.id.span, message).help(help));
            return None;
        }
        let stage = self.stages.get(stage_id)?;
        let key_groups = stage.key_groups;
        // Of the topics whose rows reach it.
        let read: BTreeSet<&str> = self.flow.upstream(id).collect();
        let inputs: Vec<&TopicInput> =
            stage.inputs.iter().filter(|input| read.contains(input.stream.as_str())).collect();
        let is_part = |input: &&&TopicInput| {
            !input.key.is_empty() && input.key.iter().all(|column| key.contains(column))
        };
        // Of a join the engine says it too.
        let is_known = is_known && inputs.len() == 1;
        let apart = inputs.iter().find(|input| is_known && !is_part(input));
        let stage_key = inputs.first().map(|input| input.key.clone()).unwrap_or_default();
        let stream = inputs.first().map_or(stage_id, |input| &input.stream);
        let decided = apart.is_none();
        let changed = self.changes_rows_before(transform, stage_id);
        if key_groups > 1 && (!decided || changed.is_some()) {
            let by = if key.is_empty() { "no column".to_owned() } else { key.join(", ") };
            let how = match (&changed, stage_key.is_empty()) {
                (Some(function), _) => format!("and {function:?} before it may change that column"),
                (None, true) => "which has no key".to_owned(),
                (None, false) => format!("which is keyed by {}", stage_key.join(", ")),
            };
            let message = format!("{id:?} keeps state by {by}, and reads the topic of {stream:?}, {how}");
            let help = "key the topic by one of those columns, or give it one partition";
            self.diagnostics
                .push(Diagnostic::new(&code::EXCHANGE_NEEDED, transform.id.span, message).help(help));
        }
        let partitions = key_groups.min(CHANGELOG_PARTITIONS_MAX);
        let changelog = self.changelog(id, stage_id, partitions);
        // What is joined has at least these in common.
        let key = if key.is_empty() && self.has_state(transform) { stage_key } else { key };
        Some(State { key, changelog, changelog_partitions: partitions })
    }

    /// The transforms of a stage whose rows reach an operator.
    fn before(&self, transform: &Transform, stage_id: &str) -> impl Iterator<Item = (&'a str, &'a Op)> {
        let here = move |id: &&str| self.stage_of.get(*id).is_some_and(|s| s == stage_id);
        let transforms = &self.pipeline.transforms;
        let before = self.flow.upstream(&transform.id.value).filter(here);
        before.filter_map(|id| transforms.get_key_value(id)).map(|(id, t)| (id.as_str(), &t.op))
    }

    /// Whether a query between the stage's topic and an operator may give columns other names.
    fn computes_rows_before(&self, transform: &Transform, stage_id: &str) -> bool {
        self.before(transform, stage_id).any(|(_, op)| matches!(op, Op::Map(_) | Op::Sql(_)))
    }

    /// A function between the stage's topic and an operator: after it, the topic's key says nothing.
    fn changes_rows_before(&self, transform: &Transform, stage_id: &str) -> Option<String> {
        let mut before = self.before(transform, stage_id);
        before.find(|(_, op)| matches!(op, Op::Wasm(_))).map(|(id, _)| id.to_owned())
    }

    fn sinks(&mut self) {
        let pipeline = self.pipeline;
        // Sinks that read one stream share its topic, which has the partitions of the one with the most writers.
        let mut writers: BTreeMap<&str, u32> = BTreeMap::new();
        for sink in pipeline.sinks.values().filter(|s| s.target == Target::Foreign) {
            for input in &sink.inputs {
                let most = writers.entry(&input.value).or_insert(0);
                *most = (*most).max(sink.writers);
            }
        }
        for sink in pipeline.sinks.values() {
            match &sink.target {
                Target::Foreign => {}
                Target::Topic(topic) => {
                    let topic = &pipeline.topics[&topic.value];
                    let said = sink.delivery.as_ref().map(|delivery| delivery.value);
                    let delivery = said.unwrap_or(pipeline.defaults.delivery);
                    sink.inputs.iter().for_each(|input| self.publish(&input.value, topic, delivery));
                    continue;
                }
                Target::Blackhole => {
                    sink.inputs.iter().for_each(|input| self.discard(&input.value));
                    continue;
                }
            }
            let mut inputs = Vec::new();
            for input in &sink.inputs {
                let stream = input.value.as_str();
                let Some(stage_id) = self.stage_of.get(stream).cloned() else { continue };
                if let Some((_, input)) = self.topic_of(stream) {
                    inputs.push(input);
                    continue;
                }
                let stage = self.stages.get(&stage_id).map(|s| (s.kind, s.key_groups));
                let (kind, key_groups) = stage.unwrap_or((StageKind::Ingest, SPLIT_PARTITIONS));
                let partitions = match kind {
                    StageKind::Process => writers[stream].min(key_groups),
                    _ => writers[stream],
                };
                let topic = self.topics.sink(stream, partitions);
                let from = self.input(stream);
                let partitioner = match kind {
                    StageKind::Process => Partitioner::KeyGroup,
                    _ => Partitioner::Sticky,
                };
                let stage = self.stage(&stage_id, StageKind::Process);
                if !stage.outputs.iter().any(|o| o.topic == topic) {
                    stage.outputs.push(Output {
                        from,
                        topic: topic.clone(),
                        encoding: Encoding::Arrow,
                        partitioner,
                        delivery: Delivery::ExactlyOnce,
                    });
                }
                let watermark = match self.flow.time(stream) {
                    Time::Watermark(watermark) => Some(watermark.clone()),
                    _ => None,
                };
                inputs.push(TopicInput {
                    topic,
                    stream: stream.to_owned(),
                    encoding: Encoding::Arrow,
                    key: Vec::new(),
                    watermark,
                    ahead_ms: None,
                    foreign: None,
                });
            }
            let partitions =
                inputs.iter().filter_map(|i| self.topics.all.get(&i.topic)).map(|t| t.partitions).max();
            let stage = self.stage(&sink.id.value, StageKind::Sink);
            stage.inputs = inputs;
            stage.sink = Some(sink.id.value.clone());
            stage.key_groups = partitions.unwrap_or(1);
        }
    }

    fn discard(&mut self, stream: &str) {
        let Some(stage_id) = self.stage_of.get(stream).cloned() else { return };
        let from = self.input(stream);
        self.stage(&stage_id, StageKind::Process).discards.push(from);
    }

    /// Topics that are read together though one is made of another: their stage would wait for itself.
    fn circles(&mut self) {
        for (topic, stage) in self.joined.iter().filter(|(topic, _)| is_topic(self.pipeline, topic)) {
            let with = |other: &&str| other != topic && self.joined.get(other) == Some(stage);
            let Some(other) = self.flow.upstream(topic).find(with) else { continue };
            let span = section_of(self.pipeline, topic)
                .and_then(|_| self.pipeline.transforms.get(*topic))
                .map_or(self.pipeline.name.span, |t| t.id.span);
            let message = format!("{topic:?} is made of {other:?}, and both are joined");
            let help = "join it with a second source that reads the same topic";
            self.diagnostics.push(Diagnostic::new(&code::STAGE_INPUTS, span, message).help(help));
        }
    }

    /// Puts stages behind those whose topics they read. A stage that reads several topics was begun with the first of them.
    fn sort(&mut self) {
        let mut left = std::mem::take(&mut self.order);
        while !left.is_empty() {
            let writes = |stage: &Stage, topic: &str| stage.outputs.iter().any(|o| o.topic == topic);
            let waits = |id: &String| {
                let inputs = &self.stages[id].inputs;
                let others = left.iter().filter(|other| *other != id).map(|other| &self.stages[other]);
                inputs.iter().any(|input| others.clone().any(|other| writes(other, &input.topic)))
            };
            let next = left.iter().position(|id| !waits(id));
            if next.is_none() && !self.diagnostics.has_errors() {
                let message = format!(
                    "the stages {} wait for each other: each joins a topic that is made of what another joins",
                    left.join(", ")
                );
                let help = "join with a second source that reads the same topic";
                let span = self.pipeline.name.span;
                self.diagnostics.push(Diagnostic::new(&code::STAGE_INPUTS, span, message).help(help));
            }
            let id = left.remove(next.unwrap_or(0));
            self.order.push(id);
        }
    }

    /// A declared topic under a name that the plan gives to another.
    fn clashes(&mut self) {
        for topic in self.pipeline.topics.values() {
            let Some(plan) = self.topics.all.get(&topic.name.value) else { continue };
            let ours = [
                names::positions_topic(&self.pipeline.name),
                names::splits_topic(&self.pipeline.name),
                names::dead_letter_topic(&self.pipeline.name),
            ];
            let mut ids = self.pipeline.transforms.keys().chain(self.pipeline.sources.keys());
            let of_operator = ids.any(|id| {
                let mut changelogs = vec![names::changelog_topic(&self.pipeline.name, id)];
                changelogs.extend(self.filled.values().map(|filled| {
                    names::changelog_topic(&self.pipeline.name, &names::filled(id, filled.definition))
                }));
                names::sink_topic(&self.pipeline.name, id) == plan.name || changelogs.contains(&plan.name)
            });
            if of_operator || ours.contains(&plan.name) || plan.role != TopicRole::Declared {
                let message =
                    format!("the topic is named {:?}, as one that the pipeline makes itself", plan.name);
                let help = "give it another name with `name:`";
                self.diagnostics
                    .push(Diagnostic::new(&code::NAME_CLASH, topic.name.span, message).help(help));
            }
        }
    }
}

/// Whether a stream is a topic: that of a topic transform, or of a source that is one.
fn is_topic(pipeline: &Pipeline, id: &str) -> bool {
    let of_transform = pipeline.transforms.get(id).is_some_and(|t| matches!(t.op, Op::Topic(_)));
    of_transform || pipeline.sources.get(id).is_some_and(|source| source.topic.is_some())
}

/// The topics that are read together, since an operator joins their streams: for each, the stage's id.
fn joined<'a>(pipeline: &'a Pipeline, flow: &Flow<'a>) -> BTreeMap<&'a str, String> {
    // The topics whose rows reach a stream without another topic between.
    let mut reach: BTreeMap<&str, BTreeSet<&'a str>> = BTreeMap::new();
    let mut sets: Vec<BTreeSet<&'a str>> = Vec::new();
    let sources = pipeline.sources.keys().map(String::as_str);
    for id in sources.chain(flow.order.iter().copied()) {
        let transform = pipeline.transforms.get(id);
        // What is filled is a reader of its own.
        if is_topic(pipeline, id) || transform.is_some_and(|transform| transform.backfill.is_some()) {
            reach.insert(id, BTreeSet::from([id]));
            continue;
        }
        let Some(transform) = transform else { continue };
        let inputs = transform.inputs.iter().filter_map(|input| reach.get(input.value.as_str()));
        let mut topics: BTreeSet<&'a str> = inputs.flatten().copied().collect();
        reach.insert(id, topics.clone());
        // Only a query joins.
        if topics.len() > 1 && matches!(transform.op, Op::Sql(_)) {
            let met: Vec<_> = sets.extract_if(.., |set| !set.is_disjoint(&topics)).collect();
            topics.extend(met.into_iter().flatten());
            sets.push(topics);
        }
    }
    let named = |set: BTreeSet<&'a str>| {
        let name = set.iter().copied().collect::<Vec<_>>().join("+");
        set.into_iter().map(move |topic| (topic, name.clone())).collect::<Vec<_>>()
    };
    sets.into_iter().flat_map(named).collect()
}
