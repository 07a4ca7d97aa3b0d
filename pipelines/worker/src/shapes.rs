//! What a plan may ask for and this version's stages do not run: told as faults of the file, at their places, before
//! anything runs. Never enters: what the spec refuses by name, SQL.

use millstream_plan::{Encoding, Job, OperatorInput, Output, Partitioner, Stage, StageKind};
use millstream_spec::ast::{Operator, Sink, Target};
use millstream_spec::span::Span;
use millstream_spec::{Diagnostic, Pipeline, code};

/// Every fault of the plan's shape.
pub fn faults(pipeline: &Pipeline, job: &Job) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for stage in &job.stages {
        match stage.kind {
            StageKind::Ingest => ingest(pipeline, stage, &mut found),
            StageKind::Process => process(pipeline, stage, &mut found),
            StageKind::Sink => {}
        }
    }
    several_writers(pipeline, job, &mut found);
    found
}

/// How far rows have come is known of one stage: rows of two in a topic that keeps event time would make each other late.
fn several_writers(pipeline: &Pipeline, job: &Job, found: &mut Vec<Diagnostic>) {
    for stage in &job.stages {
        for input in stage.inputs.iter().filter(|i| i.watermark.is_some() && i.encoding == Encoding::Records)
        {
            let writes = |s: &&Stage| s.outputs.iter().any(|output| output.topic == input.topic);
            if job.stages.iter().filter(writes).count() > 1 {
                let what = format!("event time in {:?}, which several stages write,", input.stream);
                let help = "let one stage write it, or leave the watermark out";
                found.push(not_yet(span(pipeline, &input.stream), &what, help));
            }
        }
    }
}

fn span(pipeline: &Pipeline, id: &str) -> Span {
    let transform = pipeline.transforms.get(id).map(|t| t.id.span);
    let source = || pipeline.sources.get(id).map(|s| s.id.span);
    transform.or_else(source).unwrap_or(pipeline.name.span)
}

fn not_yet(at: Span, what: &str, help: &str) -> Diagnostic {
    Diagnostic::new(&code::NOT_IN_THIS_VERSION, at, format!("{what} does not run in this version")).help(help)
}

/// The transform that writes a topic, or the sink's place in the file.
pub fn writer(pipeline: &Pipeline, output: &Output) -> Span {
    let topic = pipeline.transforms.values().find(|t| match &t.op {
        Operator::Topic(topic) => {
            pipeline.topics.get(&topic.topic.value).is_some_and(|t| t.name.value == output.topic)
        }
        _ => false,
    });
    let sink = || {
        let writes = |s: &&Sink| match &s.target {
            Target::Topic(topic) => {
                pipeline.topics.get(&topic.value).is_some_and(|t| t.name.value == output.topic)
            }
            _ => false,
        };
        pipeline.sinks.values().find(writes).map(|s| s.id.span)
    };
    topic.map(|t| t.id.span).or_else(sink).unwrap_or_else(|| span(pipeline, output.from.id()))
}

fn ingest(pipeline: &Pipeline, stage: &Stage, found: &mut Vec<Diagnostic>) {
    let mut function: Option<&str> = None;
    for operator in &stage.operators {
        let id = operator.id.name.as_str();
        let at = span(pipeline, id);
        if operator.type_name != "wasm" {
            let what = format!("{id:?}, of type {}, before a topic", operator.type_name);
            found.push(not_yet(
                at,
                &what,
                "publish its input with a `topic` transform first, and let it read that",
            ));
            continue;
        }
        if let Some(first) = function {
            let what = format!("a function behind or beside another ({first:?}) before a topic");
            found.push(not_yet(at, &what, "do both in one component, or give each a pipeline of its own"));
        }
        let reads = |source: &String| operator.inputs.contains(&OperatorInput::Source(source.clone()));
        if let Some(other) = stage.sources.iter().find(|source| !reads(source)).filter(|_| function.is_none())
        {
            let what = format!("a function that does not read source {other:?} while others read it");
            found.push(not_yet(at, &what, "give the function every source, or each its own pipeline"));
        }
        function.get_or_insert(id);
    }
    for output in &stage.outputs {
        let from_source = matches!(output.from, OperatorInput::Source(_));
        if from_source && (function.is_some() || stage.sources.len() > 1) {
            let what =
                format!("a topic or sink that reads {:?} alone, while others read more", output.from.id());
            found.push(not_yet(writer(pipeline, output), &what, "let it read what the others read"));
        }
        one_key(pipeline, output, found);
    }
    for from in &stage.discards {
        let what = format!("a blackhole that reads {:?} before a topic", from.id());
        found.push(not_yet(span(pipeline, from.id()), &what, "publish it to a topic and read that"));
    }
}

fn one_key(pipeline: &Pipeline, output: &Output, found: &mut Vec<Diagnostic>) {
    if let (Encoding::Records, Partitioner::Key(columns)) = (output.encoding, &output.partitioner)
        && columns.len() > 1
    {
        let topic = pipeline.topics.values().find(|t| t.name.value == output.topic);
        let at = topic.and_then(|t| t.key.get(1)).map_or_else(|| writer(pipeline, output), |key| key.span);
        found.push(not_yet(at, "a topic with a key of several columns", "key it by one column"));
    }
}

fn process(pipeline: &Pipeline, stage: &Stage, found: &mut Vec<Diagnostic>) {
    // One of type topic keeps where rows lie that it divides anew.
    for operator in stage
        .operators
        .iter()
        .filter(|o| !matches!(o.type_name.as_str(), "dedupe" | "sql" | "filter" | "map" | "topic"))
    {
        let id = operator.id.name.as_str();
        let what = format!("{id:?}, of type {}, behind a topic", operator.type_name);
        found.push(not_yet(span(pipeline, id), &what, "do it before the topic"));
    }
    for output in &stage.outputs {
        one_key(pipeline, output, found);
    }
}
