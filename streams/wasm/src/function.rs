//! A loaded function and its instances. An instance belongs to one call at a time and is used again afterwards,
//! unless the call trapped (WA-2).

use crate::call::{Fault, Outcome};
use crate::engine::Engine;
use crate::error::{LoadError, Transient};
use crate::host::State;
use crate::limits::{Limiter, Limits};
use crate::module_cache::{Compiled, ModuleDigest};
use crate::packed::Batch;
use crate::table::Table;
use crate::{component, plain};
use millstream_types::MemoryClaim;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use wasmtime::component::Component;
use wasmtime::{Module, Store, Trap, WasmBacktrace};

/// What wasmtime says when a guest passes more than the store's bound; it has no type that can be named.
const TOO_MUCH_DATA: &str = "fuel allocated for hostcalls has been exhausted";

/// What a function is loaded with.
#[derive(Clone, Debug, Default)]
pub struct FunctionConfig {
    /// The transform's id in the pipeline: what logs and errors call it.
    pub name: String,
    /// Its limits.
    pub limits: Limits,
    /// What the import `config` answers.
    pub config: BTreeMap<String, String>,
    /// What the import `lookup` may reach.
    pub tables: BTreeMap<String, Arc<Table>>,
}

/// The form of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// A component with bytes in and out.
    Packed,
    /// A component with typed messages.
    Transform,
    /// A plain module.
    Plain,
}

/// A loaded function. Clones share its code and its instances.
#[derive(Clone)]
pub struct Function {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    name: Arc<str>,
    limits: Limits,
    config: Arc<BTreeMap<String, String>>,
    tables: Arc<BTreeMap<String, Arc<Table>>>,
    digest: String,
    code: Code,
    idle: Mutex<Vec<Instance>>,
    fuel_spent: AtomicU64,
}

enum Code {
    Component { pre: wasmtime::component::InstancePre<State>, packed: bool },
    Plain(wasmtime::InstancePre<State>),
}

/// A function's memory and exports.
pub(crate) struct Instance {
    store: Store<State>,
    exports: Exports,
    memory: MemoryClaim,
}

enum Exports {
    Component(component::Exports),
    Plain(Box<plain::Exports>),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name())
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

impl Function {
    pub(crate) fn load(engine: &Engine, wasm: &[u8], config: FunctionConfig) -> Result<Function, LoadError> {
        let FunctionConfig { name, limits, config, tables } = config;
        limits.validate(&name, engine.memory_bytes_max())?;
        let digest = ModuleDigest::of(wasm);
        let code = compile(engine, &digest, wasm, &name)?;
        let function = Function {
            shared: Arc::new(Shared {
                engine: engine.clone(),
                name: name.into(),
                limits,
                config: Arc::new(config),
                tables: Arc::new(tables),
                digest: digest.hex(),
                code,
                idle: Mutex::new(Vec::new()),
                fuel_spent: AtomicU64::new(0),
            }),
        };
        let first = function.instantiate()?;
        function.give_back(first);
        Ok(function)
    }

    /// The transform's id.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// SHA-256 of the wasm, in hexadecimal digits: what a plan shows.
    pub fn digest(&self) -> &str {
        &self.shared.digest
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Fuel of all calls so far, those that were run again in halves included: a metric.
    pub fn fuel_spent(&self) -> u64 {
        self.shared.fuel_spent.load(Ordering::Relaxed)
    }

    /// Its form.
    pub fn world(&self) -> World {
        match self.shared.code {
            Code::Component { packed: true, .. } => World::Packed,
            Code::Component { packed: false, .. } => World::Transform,
            Code::Plain(_) => World::Plain,
        }
    }

    /// An idle instance, or a new one.
    pub(crate) fn take_instance(&self) -> Result<Instance, Transient> {
        if let Some(instance) = self.shared.idle.lock().pop() {
            return Ok(instance);
        }
        self.instantiate()
            .map_err(|error| Transient::Instance { name: self.name().to_owned(), text: error.to_string() })
    }

    /// For the next call, unless memory is short.
    pub(crate) fn give_back(&self, instance: Instance) {
        instance.memory.set(instance.store.data().limiter.memory_bytes());
        let mut idle = self.shared.idle.lock();
        // One stays: it is taken again at once.
        if idle.is_empty() || !instance.memory.is_short() {
            idle.push(instance);
        }
    }

    fn instantiate(&self) -> Result<Instance, LoadError> {
        let shared = &*self.shared;
        let failed = |error: &wasmtime::Error, store: &mut Store<State>| {
            let mut text = trap_text(error, store.data());
            if let Some(refusal) = store.data_mut().limiter.take_refusal() {
                text = format!(
                    "{} {} wanted, the limit is {}: {text}",
                    refusal.wanted, refusal.what, refusal.limit
                );
            }
            LoadError::Instantiate { name: shared.name.to_string(), text }
        };
        let limiter = Limiter::new(&shared.limits);
        let state = State::new(limiter, shared.name.clone(), shared.config.clone(), shared.tables.clone());
        let mut store = Store::new(shared.engine.wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_callback(|store| Ok(State::at_epoch(&store)));
        self.start_call(&mut store, 0).map_err(|error| failed(&error, &mut store))?;
        let exports = match &shared.code {
            Code::Component { pre, packed } => {
                let instance = pre.instantiate(&mut store).map_err(|error| failed(&error, &mut store))?;
                let export = |store: &mut Store<State>, name: &str| {
                    let text = format!("the export `{name}` is missing");
                    let found = instance.get_func(store, name);
                    found.ok_or_else(|| LoadError::Export { name: shared.name.to_string(), text })
                };
                let init = export(&mut store, "init")?;
                let process = export(&mut store, "process")?;
                let exports = component::Exports { init, process, packed: *packed };
                exports.check(&store).map_err(|error| LoadError::Export {
                    name: shared.name.to_string(),
                    text: format!("{error:#}"),
                })?;
                if let Err(why) = exports.init(&mut store).map_err(|error| failed(&error, &mut store))? {
                    let component::WitFailure { code, reason } = why;
                    return Err(LoadError::Init { name: shared.name.to_string(), code, reason });
                }
                Exports::Component(exports)
            }
            Code::Plain(pre) => {
                let instance = pre.instantiate(&mut store).map_err(|error| failed(&error, &mut store))?;
                let exports = plain::Exports::new(&instance, &mut store).map_err(|error| {
                    LoadError::Export { name: shared.name.to_string(), text: format!("{error:#}") }
                })?;
                exports.init(&mut store).map_err(|error| failed(&error, &mut store))?;
                Exports::Plain(Box::new(exports))
            }
        };
        store.data_mut().end_call();
        Ok(Instance { store, exports, memory: shared.engine.memory().claim("functions") })
    }

    /// Gives the store what a call may use.
    fn start_call(&self, store: &mut Store<State>, input_bytes: usize) -> wasmtime::Result<()> {
        let limits = &self.shared.limits;
        store.set_fuel(limits.fuel)?;
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(limits.output_bytes_max(input_bytes));
        store.data_mut().start_call(Instant::now() + limits.deadline());
        Ok(())
    }
}

impl Instance {
    /// One call. After any fault but a refusal the instance must not be called again.
    pub(crate) fn call(&mut self, function: &Function, batch: &Batch) -> Result<Outcome, Fault> {
        let Instance { store, exports, .. } = self;
        let output_bytes_max = function.limits().output_bytes_max(batch.size_bytes());
        let called = match function.start_call(store, batch.size_bytes()) {
            Err(error) => Err(error),
            Ok(()) => match exports {
                Exports::Component(exports) => exports.process(store, batch),
                Exports::Plain(exports) => exports.process(store, batch, output_bytes_max),
            },
        };
        let left = store.get_fuel().unwrap_or(0);
        let spent = function.limits().fuel.saturating_sub(left);
        function.shared.fuel_spent.fetch_add(spent, Ordering::Relaxed);
        store.data_mut().end_call();
        called.unwrap_or_else(|error| {
            let refusal = store.data_mut().limiter.take_refusal();
            let trap = trap_text(&error, store.data());
            Err(match error.downcast_ref::<Trap>() {
                Some(Trap::Interrupt) => Fault::Deadline,
                Some(Trap::OutOfFuel) => Fault::Fuel { trap },
                _ if error.root_cause().to_string().contains(TOO_MUCH_DATA) => {
                    Fault::OutputTooLarge { limit: output_bytes_max }
                }
                _ => match refusal {
                    Some(refusal) => Fault::Memory { refusal, trap },
                    None => Fault::Trap { trap },
                },
            })
        })
    }
}

/// The trap, the guest's frames, and what it said before.
fn trap_text(error: &wasmtime::Error, state: &State) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(said) = state.last_error() {
        text.push_str("\nlast logged error: ");
        text.push_str(said);
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        text.push('\n');
        text.push_str(&backtrace.to_string());
    }
    text
}

/// Code that is linked but not instantiated; imports and exports are checked.
fn compile(engine: &Engine, digest: &ModuleDigest, wasm: &[u8], name: &str) -> Result<Code, LoadError> {
    let wasmtime = engine.wasmtime();
    let unlinked =
        |error: wasmtime::Error| LoadError::Export { name: name.to_owned(), text: format!("{error:#}") };
    let refuse = |(imports, allowed): (Vec<String>, Vec<String>)| match imports.is_empty() {
        true => Ok(()),
        false => Err(LoadError::UnknownImport { name: name.to_owned(), imports, allowed }),
    };
    let no_export = |text: String| LoadError::Export { name: name.to_owned(), text };
    // Bytes 4 to 8 of a wasm file: version and layer.
    if wasm.get(4..8) == Some(&[1, 0, 0, 0]) {
        let module: Module = cached(engine, digest, wasm, name)?;
        refuse(plain::unknown_imports(&module))?;
        plain::check_exports(&module).map_err(no_export)?;
        let linker = plain::linker(wasmtime).map_err(unlinked)?;
        Ok(Code::Plain(linker.instantiate_pre(&module).map_err(unlinked)?))
    } else {
        let component: Component = cached(engine, digest, wasm, name)?;
        refuse(component::unknown_imports(wasmtime, &component))?;
        let packed = component::is_packed(wasmtime, &component).map_err(no_export)?;
        let linker = component::linker(wasmtime).map_err(unlinked)?;
        Ok(Code::Component { pre: linker.instantiate_pre(&component).map_err(unlinked)?, packed })
    }
}

fn cached<C: Compiled>(
    engine: &Engine,
    digest: &ModuleDigest,
    wasm: &[u8],
    name: &str,
) -> Result<C, LoadError> {
    let compiled = match engine.cache() {
        Some(cache) => cache.get(engine.wasmtime(), digest, wasm),
        None => C::compile(engine.wasmtime(), wasm),
    };
    compiled.map_err(|error| LoadError::Compile { name: name.to_owned(), text: format!("{error:#}") })
}
