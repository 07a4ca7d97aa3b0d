//! The Wasm host: user functions as components (worlds `packed` and `transform` of `sdk/functions/wit`) or as plain
//! modules, under limits of memory, fuel, output and time. The only crate that links wasmtime.
//!
//! A [`Function`] is loaded once and takes batches from any number of threads; each call has an instance to itself. A
//! [`Caller`] is one thread's hold on it, behind the trait that the engine knows.
//! What a call can do to the host is bounded: it gets no WASI, no network, no file and no clock.
//!
//! Never enters: where records come from and go to, retries, dead-letter topics. This crate says what became of each
//! record; the engine acts on it.
//!
//! Invariants kept here:
//! - WA-1: the verdict on a record does not depend on the batch that it came in: fuel spent, a trap, a refused
//!   memory, too much or broken output is charged to a record only when it does so alone (`call.rs`).
//! - WA-2: an instance that trapped is never called again (`function.rs`).
//! - WA-3: what a guest makes the host allocate is bounded by its limits (`limits.rs`, `host.rs`, `packed.rs`).
//! - WA-4: a call that ran past its deadline is transient, never a data failure: a busy machine loses no record.

mod call;
mod caller;
mod component;
mod engine;
mod error;
mod function;
mod host;
mod limits;
mod module_cache;
mod packed;
mod plain;
mod table;

pub use call::{Failed, Outcome};
pub use caller::Caller;
pub use engine::{Engine, EngineConfig};
pub use error::{EngineError, LoadError, Transient};
pub use function::{Function, FunctionConfig, World};
pub use limits::Limits;
pub use module_cache::digest;
pub use packed::{Batch, Emit, Header, Record};
pub use table::Table;
