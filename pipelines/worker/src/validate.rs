//! What only a pipeline's parts can say about its file: connectors refuse settings, functions load or do not, SQL is
//! planned; each with its place in the file. Never enters: running anything.

mod replaced;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::sql::SqlProblem;
use millstream_engine::stage::Stage;
use millstream_format::{Decoder, Format};
use millstream_plan::{Encoding, Job, OperatorInput, Partitioner, StageKind};
use millstream_spec::ast::{Operator, Target};
use millstream_spec::span::{Position, Span};
use millstream_spec::{Diagnostic, Pipeline, code};

use crate::assemble::{short_form, stage_spec};
use crate::bench;
use crate::connectors::{Maker, WallClock};
use crate::formats::Formats;
use crate::functions;
use crate::load::Opened;
use crate::schema::arrow_schema;
use crate::schemas::Columns;
use crate::shapes;
use crate::snapshots;
use crate::tables;

/// Checks the parts, and adds what is found to the file's diagnostics.
pub async fn parts(opened: &mut Opened) {
    let Some((pipeline, job)) = &opened.parts else { return };
    let mut found = check(pipeline, job, &opened.root).await;
    found.extend(bench::recorded::check((pipeline, job), &opened.root, &mut opened.sources));
    opened.diagnostics.extend(found);
    opened.diagnostics.sort();
}

async fn check(pipeline: &Pipeline, job: &Job, root: &std::path::Path) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let maker = match Maker::new(pipeline, root, Arc::new(WallClock::new()), 0) {
        Ok(maker) => maker,
        Err(diagnostic) => return vec![*diagnostic],
    };
    let connected = pipeline.sources.values().filter(|source| source.topic.is_none());
    found.extend(connected.filter_map(|s| maker.source(s).err()).map(|d| *d));
    let connected = pipeline.sinks.values().filter(|sink| sink.target == Target::Foreign);
    found.extend(connected.filter_map(|s| maker.sink(s).err()).map(|d| *d));
    if let (Some(named), Err(error)) = (&pipeline.defaults.snapshots, snapshots::open(pipeline, &maker)) {
        found.push(Diagnostic::new(&code::CONFIG_REFUSED, named.url.span, error.to_string()));
    }
    let formats = match maker.formats() {
        Ok(formats) => formats,
        Err(faults) => {
            found.extend(faults);
            return found;
        }
    };
    let mut schemas: BTreeMap<String, SchemaRef> = BTreeMap::new();
    for (id, table) in &pipeline.tables {
        match tables::columns(pipeline, table, &maker).await {
            Ok(schema) => {
                if table.is_asked() {
                    found.extend(maker.lookup(table, &schema).err().map(|diagnostic| *diagnostic));
                }
                schemas.insert(id.clone(), schema);
            }
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    functions::check(pipeline, root, &mut found);
    let shapes = shapes::faults(pipeline, job);
    let well_shaped = shapes.is_empty();
    found.extend(shapes);
    found.extend(bench::check::check(pipeline, job));
    read_topics(pipeline, &formats, &mut found);
    for stage in job.stages.iter().filter(|s| s.kind == StageKind::Ingest) {
        let columns = Columns::new((pipeline, job), &schemas, &formats);
        for output in stage.outputs.iter().filter(|output| output.encoding == Encoding::Records) {
            // JSON goes there as it comes.
            let format = formats.of(&output.topic);
            if matches!(format, Format::Json) {
                continue;
            }
            let at = shapes::writer(pipeline, output);
            match columns.of(output.from.id()) {
                Ok(schema) => writable(&formats, &output.topic, &schema, at, &mut found),
                Err(error) => found.push(Diagnostic::new(&code::CONFIG_REFUSED, at, error.to_string())),
            }
        }
    }
    for stage in job.stages.iter().filter(|s| s.kind == StageKind::Process) {
        let columns = Columns::new((pipeline, job), &schemas, &formats);
        if well_shaped && stage.tables.iter().all(|id| schemas.contains_key(id)) {
            queries(&columns, stage, &maker, &mut found);
        }
    }
    let columns = Columns::new((pipeline, job), &schemas, &formats);
    if well_shaped && found.is_empty() {
        let sinks = job.stages.iter().filter(|stage| stage.kind == StageKind::Sink);
        sinks.for_each(|stage| {
            replaced::check(&columns, stage, &mut found);
            taken(&columns, stage, &maker, &mut found);
        });
    }
    found
}

fn queries(
    columns: &Columns<'_>,
    stage: &millstream_plan::Stage,
    maker: &Maker<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let pipeline = columns.pipeline;
    let id_span = |id: &str| {
        let of_source = || pipeline.sources.get(id).map(|s| s.id.span);
        pipeline.transforms.get(id).map(|t| t.id.span).or_else(of_source)
    };
    let first = stage.inputs.first().and_then(|input| id_span(&input.stream));
    let here = first.unwrap_or(pipeline.name.span);
    let built = match stage_spec(columns, stage, true) {
        // What is at fault in a stage before this one is told there.
        Err(_) if !found.is_empty() => return,
        Err(error) => {
            found.push(Diagnostic::new(&code::CONFIG_REFUSED, here, error.to_string()));
            return;
        }
        Ok(spec) => Stage::build(spec),
    };
    let problems = match built {
        Err(problems) => problems,
        Ok(mut built) => {
            for id in &stage.tables {
                let Ok(Some(spec)) = maker.asks(&pipeline.tables[id]) else { continue };
                if let Err((operator, why)) = built.ask(id, spec) {
                    let at = pipeline.transforms.get(&operator).map_or(here, |transform| transform.id.span);
                    found.push(Diagnostic::new(&code::SQL_REFUSED, at, why));
                }
            }
            published((pipeline, columns.formats), stage, &built, found);
            replaced::check(columns, stage, found);
            unplanned(pipeline, stage, &built, found);
            return;
        }
    };
    for problem in problems {
        let transform = problem.operator.as_ref().and_then(|id| pipeline.transforms.get(id));
        let diagnostic = match (problem.sql, transform.map(|t| &t.op)) {
            (Some(sql), Some(Operator::Sql(query))) => {
                let at = Position { line: sql.line as u32, column: sql.column as u32 };
                let code =
                    if sql.message.starts_with("syntax") { &code::SQL_SYNTAX } else { &code::SQL_PLAN };
                let diagnostic = Diagnostic::new(code, query.sql.word_at(at), sql.message);
                match sql.help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
            (Some(sql), Some(op)) => in_short_form(op, &sql, transform.map_or(here, |t| t.id.span)),
            _ => {
                let at = transform.map_or(here, |t| t.id.span);
                Diagnostic::new(&code::SQL_REFUSED, at, problem.message)
            }
        };
        found.push(diagnostic);
    }
}

/// Whether a sink takes the columns of what it reads.
fn taken(
    columns: &Columns<'_>,
    stage: &millstream_plan::Stage,
    maker: &Maker<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(sink) = stage.sink.as_ref().and_then(|id| columns.pipeline.sinks.get(id)) else { return };
    // What is at fault in the sink itself, or in what gives its rows, is told there.
    let Ok(made) = maker.sink(sink) else { return };
    for input in &stage.inputs {
        let Ok(rows) = columns.of(&input.stream) else { continue };
        let at = sink.inputs.iter().find(|named| named.value == input.stream);
        if let Err(error) = made.check(&rows) {
            let at = at.map_or(sink.id.span, |named| named.span);
            found.push(Diagnostic::new(&code::CONFIG_REFUSED, at, error.to_string()));
        }
    }
}

/// Queries that keep state for which the plan has no changelog: what it reads by the text was not seen to be joined.
fn unplanned(
    pipeline: &Pipeline,
    stage: &millstream_plan::Stage,
    built: &Stage,
    found: &mut Vec<Diagnostic>,
) {
    for name in built.stateful() {
        let planned = stage.operators.iter().find(|operator| operator.id.name == name);
        let Some(transform) = pipeline.transforms.get(name) else { continue };
        if planned.is_some_and(|operator| operator.state.is_none()) {
            let message = format!("{name:?} joins a stream with itself, which its text does not show");
            let help = "write it as FROM a JOIN a AS b ON …";
            found.push(Diagnostic::new(&code::SQL_REFUSED, transform.id.span, message).help(help));
        }
    }
}

/// A problem of a filter's or a map's query, at the expression of the file that it is in.
fn in_short_form(op: &Operator, problem: &SqlProblem, id: Span) -> Diagnostic {
    // The input's name is no part of what is told.
    let form = short_form(op, &[OperatorInput::Operator(String::new())]);
    let part = form.as_ref().and_then(|form| form.parts.iter().rev().find(|(line, _)| *line <= problem.line));
    let at = part.map_or(id, |(line, text)| {
        let line = (problem.line - line + 1) as u32;
        text.word_at(Position { line, column: problem.column as u32 })
    });
    let code = if problem.message.starts_with("syntax") { &code::SQL_SYNTAX } else { &code::SQL_PLAN };
    let diagnostic = Diagnostic::new(code, at, problem.message.clone());
    match &problem.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// Whether the formats of topics that others write have the columns that are read of them.
fn read_topics(pipeline: &Pipeline, formats: &Formats, found: &mut Vec<Diagnostic>) {
    let sources = pipeline.sources.values();
    let sources = sources.filter_map(|s| Some((&s.topic.as_ref()?.topic, s.schema.as_ref()?)));
    let tables = pipeline.tables.values();
    let tables = tables.filter_map(|t| Some((t.topic.as_ref()?, t.schema.as_ref()?)));
    for (topic, schema) in sources.chain(tables) {
        let declared = pipeline.schemas.get(&schema.value).map(arrow_schema);
        let (Some(topic), Some(columns)) = (pipeline.topics.get(&topic.value), declared) else { continue };
        let format = formats.of(&topic.name.value);
        // Records of JSON are tried with the stage that reads them.
        if matches!(format, Format::Json) {
            continue;
        }
        if let Err(error) = Decoder::new(&format, &columns, &[]) {
            let message =
                format!("the records of {:?} cannot be read as {:?}: {error}", topic.id.value, schema.value);
            found.push(Diagnostic::new(&code::COLUMN_TYPE, schema.span, message));
        }
    }
}

/// Whether tables that follow a topic whose records do not name their columns have those that are written.
fn same_order(
    (pipeline, formats): (&Pipeline, &Formats),
    topic: &str,
    columns: &SchemaRef,
    found: &mut Vec<Diagnostic>,
) {
    if !formats.of(topic).is_positional() {
        return;
    }
    for table in pipeline.tables.values() {
        let followed = table.topic.as_ref().and_then(|of| pipeline.topics.get(&of.value));
        let schema = table.schema.as_ref();
        let read = schema.and_then(|schema| pipeline.schemas.get(&schema.value)).map(arrow_schema);
        let (Some(of), Some(schema), Some(read)) = (followed, schema, read) else { continue };
        let shown = |columns: &SchemaRef| {
            let columns = columns.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
            columns.collect::<Vec<_>>().join(", ")
        };
        let (written, read) = (shown(columns), shown(&read));
        if of.name.value == topic && written != read {
            let message = format!(
                "the records of {:?} do not name their columns: they are written as {written}, and read as {read}",
                of.id.value
            );
            let help = "write and read the same columns in the same order, or give the topic a format that names them";
            found.push(Diagnostic::new(&code::COLUMN_TYPE, schema.span, message).help(help));
        }
    }
}

fn writable(formats: &Formats, topic: &str, columns: &SchemaRef, at: Span, found: &mut Vec<Diagnostic>) {
    if let Err(text) = formats.written(topic, columns).check() {
        found.push(Diagnostic::new(&code::COLUMN_TYPE, at, text));
    }
}

/// The columns of rows that go to topics as records.
fn published(
    (pipeline, formats): (&Pipeline, &Formats),
    stage: &millstream_plan::Stage,
    built: &Stage,
    found: &mut Vec<Diagnostic>,
) {
    for output in stage.outputs.iter().filter(|output| output.encoding == Encoding::Records) {
        let Some(columns) = built.schema(output.from.id()) else { continue };
        let at = shapes::writer(pipeline, output);
        writable(formats, &output.topic, &columns, at, found);
        same_order((pipeline, formats), &output.topic, &columns, found);
        let Partitioner::Key(key) = &output.partitioner else { continue };
        for name in key {
            let topic = pipeline.topics.values().find(|t| t.name.value == output.topic);
            let span = topic.and_then(|t| t.key.iter().find(|k| k.value == *name)).map_or(at, |k| k.span);
            match columns.field_with_name(name) {
                Err(_) => {
                    let known: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
                    let message = format!(
                        "the topic's key names {name:?}, and the rows of {:?} have the columns {}",
                        output.from.id(),
                        known.join(", ")
                    );
                    found.push(Diagnostic::new(&code::UNKNOWN_COLUMN, span, message));
                }
                Ok(field) if field.data_type().is_nested() || field.data_type().is_floating() => {
                    let message = format!(
                        "the topic's key names {name:?}, of type {}, which cannot be a key",
                        field.data_type()
                    );
                    found.push(Diagnostic::new(&code::COLUMN_TYPE, span, message));
                }
                Ok(_) => {}
            }
        }
    }
}
