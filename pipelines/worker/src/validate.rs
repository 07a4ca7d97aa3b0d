//! What only a pipeline's parts can say about its file: connectors refuse settings, functions load or do not, SQL is
//! planned; each with its place in the file. Never enters: running anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::stage::Stage;
use millstream_plan::{Job, StageKind};
use millstream_spec::ast::Operator;
use millstream_spec::span::Position;
use millstream_spec::{Diagnostic, Pipeline, code};
use millstream_wasm::{Engine, EngineConfig};

use crate::assemble::{function_config, stage_spec};
use crate::bench;
use crate::connectors::{Maker, WallClock};
use crate::load::Opened;
use crate::shapes;
use crate::tables;

/// Checks the parts, and adds what is found to the file's diagnostics.
pub async fn parts(opened: &mut Opened) {
    let Some((pipeline, job)) = &opened.parts else { return };
    let found = check(pipeline, job, &opened.root).await;
    opened.diagnostics.extend(found);
    opened.diagnostics.sort();
}

async fn check(pipeline: &Pipeline, job: &Job, root: &std::path::Path) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let maker = match Maker::new(pipeline, root, Arc::new(WallClock::new()), 0) {
        Ok(maker) => maker,
        Err(diagnostic) => return vec![*diagnostic],
    };
    let refusals = pipeline.sources.values().filter_map(|s| maker.source(s).err());
    found.extend(refusals.map(|d| *d));
    found.extend(pipeline.sinks.values().filter_map(|s| maker.sink(s).err()).map(|d| *d));
    let mut schemas: BTreeMap<String, SchemaRef> = BTreeMap::new();
    for (id, table) in &pipeline.tables {
        match tables::columns(pipeline, table, &maker).await {
            Ok(schema) => drop(schemas.insert(id.clone(), schema)),
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    functions(pipeline, root, &mut found);
    let shapes = shapes::faults(pipeline, job);
    let well_shaped = shapes.is_empty();
    found.extend(shapes);
    found.extend(bench::check::check(pipeline, job));
    for stage in job.stages.iter().filter(|s| s.kind == StageKind::Process) {
        let tables = stage.tables.iter().filter_map(|id| Some((id.clone(), schemas.get(id)?.clone())));
        let tables: BTreeMap<String, SchemaRef> = tables.collect();
        if well_shaped && tables.len() == stage.tables.len() {
            queries(pipeline, stage, tables, &mut found);
        }
    }
    found
}

fn functions(pipeline: &Pipeline, root: &std::path::Path, found: &mut Vec<Diagnostic>) {
    let functions = pipeline.transforms.values().filter_map(|t| match &t.op {
        Operator::Wasm(wasm) => Some((t, wasm)),
        _ => None,
    });
    let mut engine = None;
    for (transform, wasm) in functions {
        let engine = match &mut engine {
            Some(engine) => engine,
            none => match Engine::new(EngineConfig { instances_max: 8, ..EngineConfig::default() }) {
                Ok(made) => none.insert(made),
                Err(error) => {
                    found.push(Diagnostic::new(&code::FUNCTION_LOAD, wasm.module.span, error.to_string()));
                    return;
                }
            },
        };
        let config = function_config(&transform.id.value, wasm, |_| Some(Arc::default()));
        if let Err(error) = engine.load_file(&root.join(&wasm.module.value), config) {
            found.push(Diagnostic::new(&code::FUNCTION_LOAD, wasm.module.span, error.to_string()));
        }
    }
}

fn queries(
    pipeline: &Pipeline,
    stage: &millstream_plan::Stage,
    tables: BTreeMap<String, SchemaRef>,
    found: &mut Vec<Diagnostic>,
) {
    let id_span = |id: &str| pipeline.transforms.get(id).map(|t| t.id.span);
    let here = id_span(&stage.id).unwrap_or(pipeline.name.span);
    let spec = match stage_spec(pipeline, stage, true, tables) {
        Ok(spec) => spec,
        Err(error) => {
            found.push(Diagnostic::new(&code::CONFIG_REFUSED, here, error.to_string()));
            return;
        }
    };
    let Err(problems) = Stage::build(spec) else { return };
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
            _ => {
                let at = transform.map_or(here, |t| t.id.span);
                Diagnostic::new(&code::SQL_REFUSED, at, problem.message)
            }
        };
        found.push(diagnostic);
    }
}
