//! What flows where: the order of the graph, its circles, and for each stream the schema and the event time that reach
//! it. Computed once, used by the checks and by the plan.
//!
//! Never enters: diagnostics. Ids that are not there are left out; circles are cut where they close.

use std::collections::{BTreeMap, BTreeSet};

use crate::ast::{Operator, Pipeline, Schema, Source, Transform, Watermark};
use crate::catalog::{Catalog, Delivery};
use crate::shape::Section;
use crate::span::Spanned;
use crate::sql;

/// The most components of one pipeline.
pub const COMPONENTS_MAX: usize = 300;
/// The most inputs of one component.
pub const INPUTS_MAX: usize = 100;
/// Circles that are looked for; the first ones tell enough.
const CYCLES_MAX: usize = 50;

/// The event time of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Time<'a> {
    /// None.
    None,
    /// By a watermark over a column.
    Watermark(&'a Watermark),
    /// Rows of closed windows, by `window_start` and `window_end`.
    Windowed,
}

/// The graph of a pipeline.
#[derive(Debug)]
pub struct Flow<'a> {
    /// Transforms, each after those that it reads.
    pub order: Vec<&'a str>,
    /// Circles, each as its ids in the order of reading.
    pub cycles: Vec<Vec<&'a str>>,
    schemas: BTreeMap<&'a str, &'a Schema>,
    times: BTreeMap<&'a str, Time<'a>>,
    upstream: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// A path from a source to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathDelivery {
    /// The source's id.
    pub source: String,
    /// The sink's id.
    pub sink: String,
    /// The transforms between them.
    pub via: Vec<String>,
    /// What the file promises.
    pub wanted: Delivery,
    /// What the components can keep.
    pub kept: Delivery,
    /// The component that keeps the least, and why.
    pub limited_by: Option<(String, String)>,
}

/// The section in which an id is declared, the first in the order of the file's shape.
pub fn section_of(pipeline: &Pipeline, id: &str) -> Option<Section> {
    Section::ALL.into_iter().find(|section| match section {
        Section::Sources => pipeline.sources.contains_key(id),
        Section::Tables => pipeline.tables.contains_key(id),
        Section::Transforms => pipeline.transforms.contains_key(id),
        Section::Sinks => pipeline.sinks.contains_key(id),
    })
}

/// The topic, by its id, that a test's recording for `id` stands for: that of a source, of a `topic` transform, or the one
/// of this id where one of them has it. Nothing where no stream is read from it.
pub fn recorded_topic<'a>(pipeline: &'a Pipeline, id: &str) -> Option<&'a str> {
    let of_source = |source: &'a Source| source.topic.as_ref().map(|t| t.topic.value.as_str());
    let of_transform = |transform: &'a Transform| match &transform.op {
        Operator::Topic(op) => Some(op.topic.value.as_str()),
        _ => None,
    };
    if section_of(pipeline, id).is_some() {
        let source = pipeline.sources.get(id).and_then(of_source);
        return source.or_else(|| pipeline.transforms.get(id).and_then(of_transform));
    }
    let sources = pipeline.sources.values().filter_map(of_source);
    sources.chain(pipeline.transforms.values().filter_map(of_transform)).find(|topic| *topic == id)
}

/// Whether a query joins streams, or one with itself, and so keeps rows of each for the others.
pub fn joins_streams(pipeline: &Pipeline, transform: &Transform) -> bool {
    let Operator::Sql(query) = &transform.op else { return false };
    let streams = transform.inputs.iter().filter(|input| !pipeline.tables.contains_key(&input.value));
    let streams: BTreeSet<&str> = streams.map(|input| input.value.as_str()).collect();
    let read = sql::relations(&query.sql.text);
    streams.len() > 1 || read.iter().filter(|name| streams.contains(name.as_str())).count() > 1
}

impl<'a> Flow<'a> {
    /// The graph of `pipeline`, which has at most [`COMPONENTS_MAX`] components.
    pub fn new(pipeline: &'a Pipeline) -> Flow<'a> {
        let mut flow = Flow {
            order: Vec::new(),
            cycles: Vec::new(),
            schemas: BTreeMap::new(),
            times: BTreeMap::new(),
            upstream: BTreeMap::new(),
        };
        flow.sort(pipeline);
        for (id, source) in &pipeline.sources {
            let schema = source.schema.as_ref().and_then(|s| pipeline.schemas.get(&s.value));
            schema.map(|s| flow.schemas.insert(id, s));
            let watermark = source.topic.as_ref().and_then(|topic| topic.watermark.as_ref());
            watermark.map(|w| flow.times.insert(id, Time::Watermark(w)));
        }
        for (id, table) in &pipeline.tables {
            let schema = table.schema.as_ref().and_then(|s| pipeline.schemas.get(&s.value));
            schema.map(|s| flow.schemas.insert(id, s));
        }
        for id in flow.order.clone() {
            let transform = &pipeline.transforms[id];
            let streams: Vec<&str> = transform
                .inputs
                .iter()
                .map(|i| i.value.as_str())
                .filter(|i| matches!(section_of(pipeline, i), Some(Section::Sources | Section::Transforms)))
                .collect();
            let mut upstream: BTreeSet<&str> = streams.iter().copied().collect();
            for stream in &streams {
                upstream.extend(flow.upstream.get(stream).into_iter().flatten());
            }
            flow.upstream.insert(id, upstream);
            let inherited = || -> Option<&'a Schema> {
                let mut all = streams.iter().map(|s| flow.schemas.get(s).copied());
                let first = all.next()??;
                all.all(|s| s.is_some_and(|s| s.id.value == first.id.value)).then_some(first)
            };
            let schema = match &transform.op {
                Operator::Wasm(wasm) => wasm.output.as_ref().and_then(|s| pipeline.schemas.get(&s.value)),
                Operator::Sql(_) | Operator::Map(_) => None,
                _ => inherited(),
            };
            let time_of_inputs = || -> Time<'a> {
                let mut all = streams.iter().map(|s| flow.times.get(s).copied().unwrap_or(Time::None));
                let Some(first) = all.next() else { return Time::None };
                if all.all(|t| t == first) { first } else { Time::None }
            };
            let time = match &transform.op {
                Operator::Topic(topic) => topic.watermark.as_ref().map_or(Time::None, Time::Watermark),
                Operator::Sql(sql) if !sql.windows.is_empty() => Time::Windowed,
                // What is joined comes when its match does.
                Operator::Sql(_) if joins_streams(pipeline, transform) => Time::None,
                Operator::Sql(sql) if sql.keeps_groups() || sql.over_stream => Time::None,
                _ => time_of_inputs(),
            };
            schema.map(|s| flow.schemas.insert(id, s));
            flow.times.insert(id, time);
        }
        flow
    }

    fn sort(&mut self, pipeline: &'a Pipeline) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            Open,
            Done,
        }
        let mut marks: BTreeMap<&str, Mark> = BTreeMap::new();
        for root in pipeline.transforms.keys() {
            if marks.contains_key(root.as_str()) {
                continue;
            }
            // (id, next input to look at): a walk in depth without recursion.
            let mut path: Vec<(&'a str, usize)> = vec![(root, 0)];
            marks.insert(root, Mark::Open);
            while let Some((id, next)) = path.last_mut() {
                let inputs = &pipeline.transforms[*id].inputs;
                let Some(input) = inputs.get(*next) else {
                    marks.insert(id, Mark::Done);
                    self.order.push(id);
                    path.pop();
                    continue;
                };
                *next += 1;
                let Some((input, _)) = pipeline.transforms.get_key_value(&input.value) else { continue };
                match marks.get(input.as_str()) {
                    Some(Mark::Done) => {}
                    Some(Mark::Open) if self.cycles.len() >= CYCLES_MAX => {}
                    Some(Mark::Open) => {
                        let from = path.iter().position(|(id, _)| id == input).unwrap_or(0);
                        self.cycles.push(path[from..].iter().map(|(id, _)| *id).collect());
                    }
                    None => {
                        marks.insert(input, Mark::Open);
                        path.push((input, 0));
                    }
                }
            }
        }
    }

    /// The schema of a stream or table, where the file says it.
    pub fn schema(&self, id: &str) -> Option<&'a Schema> {
        self.schemas.get(id).copied()
    }

    /// The event time of a stream.
    pub fn time(&self, id: &str) -> Time<'a> {
        self.times.get(id).copied().unwrap_or(Time::None)
    }

    /// The sources and transforms whose records reach a transform.
    pub fn upstream(&self, id: &str) -> impl Iterator<Item = &'a str> {
        self.upstream.get(id).into_iter().flatten().copied()
    }

    /// The sources and transforms whose records reach a sink.
    pub fn upstream_of_inputs(&self, inputs: &'a [Spanned<String>]) -> BTreeSet<&'a str> {
        let mut all: BTreeSet<&str> = inputs.iter().map(|i| i.value.as_str()).collect();
        for input in inputs {
            all.extend(self.upstream(&input.value));
        }
        all
    }

    /// Every path from a source to a sink, with its promise.
    pub fn paths(&self, pipeline: &'a Pipeline, catalog: &dyn Catalog) -> Vec<PathDelivery> {
        let mut paths = Vec::new();
        for (sink_id, sink) in &pipeline.sinks {
            let upstream = self.upstream_of_inputs(&sink.inputs);
            for (source_id, source) in
                pipeline.sources.iter().filter(|(id, _)| upstream.contains(id.as_str()))
            {
                let via = self.order.iter().filter(|id| {
                    upstream.contains(*id)
                        && self.upstream.get(*id).is_some_and(|above| above.contains(source_id.as_str()))
                });
                let said = [&source.delivery, &sink.delivery];
                let wanted = match (&source.delivery, &sink.delivery) {
                    // A sink's own promise is not weakened by a source's statement; lint reports the contradiction.
                    (_, Some(sink)) if sink.value == Delivery::ExactlyOnce => Delivery::ExactlyOnce,
                    _ => said
                        .into_iter()
                        .flatten()
                        .map(|d| d.value)
                        .min()
                        .unwrap_or(pipeline.defaults.delivery),
                };
                let mut limits: Vec<(Delivery, String, String)> = Vec::new();
                for (section, id, type_name) in [
                    (Section::Sources, source_id, source.type_name.value.as_str()),
                    (Section::Sinks, sink_id, sink.connector.as_str()),
                ] {
                    if let Some(component) = catalog.component(section, type_name) {
                        let (delivery, why) = component.delivery;
                        limits.push((delivery, id.clone(), why.to_owned()));
                    }
                }
                if let Some(said) = &source.delivery {
                    let why = format!("the source says delivery: {}", said.value.word());
                    limits.push((said.value, source_id.clone(), why));
                }
                let least = limits.into_iter().min_by_key(|(delivery, ..)| *delivery);
                paths.push(PathDelivery {
                    source: source_id.clone(),
                    sink: sink_id.clone(),
                    via: via.map(|id| (*id).to_owned()).collect(),
                    wanted,
                    kept: least.as_ref().map_or(wanted, |l| l.0),
                    limited_by: least.filter(|l| l.0 < Delivery::ExactlyOnce).map(|l| (l.1, l.2)),
                });
            }
        }
        paths
    }
}
