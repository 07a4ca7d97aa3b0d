//! The one wasmtime configuration: proposals off but the needed, fuel and epochs on, a pool of instances. A thread of
//! the engine moves its epoch every 10 ms while it lives; a call looks at its deadline when it sees the epoch move.

use crate::error::{EngineError, LoadError};
use crate::function::{Function, FunctionConfig};
use crate::limits;
use crate::module_cache::ModuleCache;
use millstream_types::MemoryBudget;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How often a running call is interrupted to yield its thread and look at its deadline.
const EPOCH: Duration = Duration::from_millis(10);

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where compiled code is kept between runs; nowhere if none. Whoever can write there can run code as this
    /// process: a folder of the worker's own.
    pub cache_dir: Option<PathBuf>,
    /// The most instances alive at once, of all functions: threads times functions, and some.
    pub instances_max: u32,
    /// The most that any function's `memory` limit may be, in bytes. Address space of 4 GiB is reserved for each
    /// instance whatever it is.
    pub memory_bytes_max: u64,
    /// What instances hold is claimed of this; while it is short, none is kept for later.
    pub memory: MemoryBudget,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            cache_dir: None,
            instances_max: 128,
            memory_bytes_max: 1 << 30,
            memory: MemoryBudget::unlimited(),
        }
    }
}

/// The engine: one for each process. Clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    cache: Option<ModuleCache>,
    memory_bytes_max: u64,
    memory: MemoryBudget,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("memory_bytes_max", &self.shared.memory_bytes_max)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Reserves the pool and starts the thread that moves the epoch.
    pub fn new(config: EngineConfig) -> Result<Engine, EngineError> {
        let failed = |text: String| EngineError::Start {
            instances: config.instances_max,
            memory_bytes: config.memory_bytes_max,
            text,
        };
        let wasmtime =
            wasmtime::Engine::new(&wasmtime_config(&config)).map_err(|error| failed(format!("{error:#}")))?;
        let weak = wasmtime.weak();
        std::thread::Builder::new()
            .name("wasm-epoch".to_owned())
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(EPOCH);
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        let cache = config.cache_dir.map(|dir| ModuleCache::new(dir, &wasmtime));
        let (memory_bytes_max, memory) = (config.memory_bytes_max, config.memory);
        Ok(Engine { shared: Arc::new(Shared { wasmtime, cache, memory_bytes_max, memory }) })
    }

    /// Compiles a component or module, or takes it from the cache, checks its imports and exports, and starts a first
    /// instance.
    pub fn load(&self, wasm: &[u8], config: FunctionConfig) -> Result<Function, LoadError> {
        Function::load(self, wasm, config)
    }

    /// [`Engine::load`] of a file.
    pub fn load_file(&self, path: &Path, config: FunctionConfig) -> Result<Function, LoadError> {
        let wasm = std::fs::read(path)
            .map_err(|source| LoadError::Read { path: path.display().to_string(), source })?;
        self.load(&wasm, config)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.wasmtime
    }

    pub(crate) fn cache(&self) -> Option<&ModuleCache> {
        self.shared.cache.as_ref()
    }

    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.shared.memory
    }

    pub(crate) fn memory_bytes_max(&self) -> u64 {
        self.shared.memory_bytes_max
    }
}

fn wasmtime_config(settings: &EngineConfig) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // What compilers emit by default is on; the rest is off until someone needs it.
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_simd(true)
        .wasm_extended_const(true)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        // A replay gives the same bits on any machine.
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10);
    let instances = settings.instances_max;
    let memories = limits::MEMORIES_MAX as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(limits::INSTANCES_MAX as u32))
        .max_core_instances_per_component(limits::INSTANCES_MAX as u32)
        .max_memories_per_component(memories)
        .max_tables_per_component(limits::TABLES_MAX as u32)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20)
        // Nearly every component has one memory and two or three tables.
        .total_memories(instances)
        .total_tables(instances.saturating_mul(4))
        .table_elements(100_000)
        .max_memory_size(usize::try_from(settings.memory_bytes_max).unwrap_or(usize::MAX));
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
