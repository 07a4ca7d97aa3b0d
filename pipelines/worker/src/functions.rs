//! The pipeline's functions in WebAssembly: loaded from their files, those that SQL calls handed to the engine. Never enters:
//! what they are called with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_engine::sql::{ScalarFunction, has_function};
use millstream_plan::Job;
use millstream_spec::ast::{self, Operator};
use millstream_spec::{Diagnostic, Pipeline, Spanned, code};
use millstream_wasm::{Caller, Engine, EngineConfig, Function, FunctionConfig, Limits};

use crate::error::WorkerError;
use crate::schema::data_type;

/// How a function is loaded.
pub fn config(
    id: &str,
    wasm: &ast::Wasm,
    lookup: impl Fn(&str) -> Option<Arc<millstream_wasm::Table>>,
) -> FunctionConfig {
    let tables = wasm.lookup.iter().filter_map(|t| Some((t.value.clone(), lookup(&t.value)?)));
    FunctionConfig {
        name: id.to_owned(),
        limits: Limits { memory_bytes: wasm.memory_bytes, fuel: wasm.fuel, ..Limits::default() },
        config: wasm.config.clone(),
        tables: tables.collect(),
    }
}

/// The functions that SQL calls, as a stage is planned with them: none can be called.
pub fn declared(pipeline: &Pipeline) -> BTreeMap<String, ScalarFunction> {
    let of = |function: &ast::Function| ScalarFunction {
        arguments: function.arguments.iter().map(data_type).collect(),
        returns: data_type(&function.returns),
        make: None,
    };
    pipeline.functions.iter().map(|(name, function)| (name.clone(), of(function))).collect()
}

/// The functions that SQL calls, loaded.
#[derive(Debug, Default)]
pub struct Loaded(BTreeMap<String, Function>);

impl Loaded {
    /// Loads them. One that is another than the plan was made with is refused: state is kept by what it was then.
    pub fn load(pipeline: &Pipeline, root: &Path, engine: &Engine) -> Result<Loaded, WorkerError> {
        let mut loaded = BTreeMap::new();
        for (name, declared) in &pipeline.functions {
            let path = root.join(&declared.wasm.module.value);
            let function = engine.load_file(&path, config(name, &declared.wasm, |_| None));
            let function = function.map_err(|error| WorkerError::Setup(error.to_string()))?;
            if declared.wasm.digest.as_deref().is_some_and(|digest| digest != function.digest()) {
                return Err(WorkerError::Setup(format!(
                    "loading function {name}: {} has changed since the pipeline's file was read; run it again",
                    path.display()
                )));
            }
            loaded.insert(name.clone(), function);
        }
        Ok(Loaded(loaded))
    }

    /// Lets a stage call them, each by a hold of its own.
    pub fn give(&self, functions: &mut BTreeMap<String, ScalarFunction>) {
        for (name, function) in functions {
            if let Some(loaded) = self.0.get(name).cloned() {
                function.make = Some(Arc::new(move || Box::new(Caller::new(loaded.clone()))));
            }
        }
    }
}

/// The most instances that a run has at once: one for each stage and function, and some.
pub fn instances_max(pipeline: &Pipeline, job: &Job) -> u32 {
    let wanted = job.stages.len().saturating_mul(pipeline.functions.len()).saturating_add(32);
    u32::try_from(wanted).unwrap_or(u32::MAX).max(EngineConfig::default().instances_max)
}

/// Whether functions load, and have names of their own.
pub fn check(pipeline: &Pipeline, root: &Path, found: &mut Vec<Diagnostic>) {
    let transforms = pipeline.transforms.values().filter_map(|t| match &t.op {
        Operator::Wasm(wasm) => Some((&t.id, wasm)),
        _ => None,
    });
    let functions = pipeline.functions.values().map(|function| (&function.id, &function.wasm));
    let mut engine = None;
    for (id, wasm) in functions.chain(transforms) {
        if let Err(error) = load(&mut engine, root, id, wasm) {
            found.push(Diagnostic::new(&code::FUNCTION_LOAD, wasm.module.span, error));
        }
    }
    for id in pipeline.functions.values().map(|function| &function.id).filter(|id| has_function(&id.value)) {
        let message = format!("{:?} is the name of a function, or a form like one, that SQL has", id.value);
        let help = format!("for example: {}_of", id.value);
        found.push(Diagnostic::new(&code::FUNCTION_NAME, id.span, message).help(help));
    }
}

fn load(
    engine: &mut Option<Engine>,
    root: &Path,
    id: &Spanned<String>,
    wasm: &ast::Wasm,
) -> Result<(), String> {
    let engine = match engine {
        Some(engine) => engine,
        none => {
            let made = Engine::new(EngineConfig { instances_max: 8, ..EngineConfig::default() });
            none.insert(made.map_err(|error| error.to_string())?)
        }
    };
    let config = config(&id.value, wasm, |_| Some(Arc::default()));
    engine.load_file(&root.join(&wasm.module.value), config).map(drop).map_err(|error| error.to_string())
}
