//! Errors: what keeps an engine from starting, a function from loading, and a batch from being processed now.

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused its configuration, or the address space for its pool could not be reserved.
    #[error(
        "starting the wasm engine for {instances} instances of at most {memory_bytes} bytes: {text}; a limit on address space (ulimit -v) does this"
    )]
    Start {
        /// Instances that were asked for.
        instances: u32,
        /// Memory of one, at most.
        memory_bytes: u64,
        /// wasmtime's words.
        text: String,
    },
}

/// A function was refused when it was loaded: a fault of the pipeline or of the module, never of a record.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("reading the function {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A limit is out of its bounds.
    #[error("function {name}: limit {limit} is {value}, it must be from {least} to {most}")]
    Limit {
        /// The function.
        name: String,
        /// The limit's name.
        limit: &'static str,
        /// What was asked for.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// Not a module that can be compiled here: no wasm, or it uses a proposal that is off.
    #[error("function {name}: not a usable wasm module or component: {text}")]
    Compile {
        /// The function.
        name: String,
        /// wasmtime's words.
        text: String,
    },
    /// The module imports what the host does not offer.
    #[error("function {name} imports {}, which is not offered; allowed are {}", imports.join(", "), allowed.join(", "))]
    UnknownImport {
        /// The function.
        name: String,
        /// Every import that is not offered.
        imports: Vec<String>,
        /// Every import that is.
        allowed: Vec<String>,
    },
    /// The module does not export what a function must.
    #[error("function {name}: {text}; see the worlds in sdk/functions/wit")]
    Export {
        /// The function.
        name: String,
        /// What is missing or of another type.
        text: String,
    },
    /// It could not be instantiated, or `init` trapped.
    #[error("function {name}: starting an instance: {text}")]
    Instantiate {
        /// The function.
        name: String,
        /// wasmtime's words.
        text: String,
    },
    /// `init` returned a failure.
    #[error("function {name}: init refused: {code}: {reason}")]
    Init {
        /// The function.
        name: String,
        /// The function's own code.
        code: String,
        /// The function's own reason.
        reason: String,
    },
}

/// The batch could not be processed now, through no fault of its records: to be tried again, with backoff.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Transient {
    /// A call ran far past its deadline without spending its fuel: the machine is busy.
    #[error(
        "function {name}: a call of {records} records ran for more than {deadline_ms} ms; the batch is tried again"
    )]
    Deadline {
        /// The function.
        name: String,
        /// Records of the call.
        records: usize,
        /// The deadline.
        deadline_ms: u64,
    },
    /// A fresh instance could not be had.
    #[error("function {name}: starting an instance: {text}; the batch is tried again")]
    Instance {
        /// The function.
        name: String,
        /// Why.
        text: String,
    },
}
