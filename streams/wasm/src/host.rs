//! What a guest may import, and nothing else: `log`, `config`, `table-version`, `lookup`. Host work is charged to the
//! guest's fuel, and what it passes in one call is bounded.

use crate::call::cut;
use crate::limits::Limiter;
use crate::table::{Snapshot, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::{AsContextMut, StoreContextMut, Trap, UpdateDeadline};

/// Log lines kept of one call.
const LINES_MAX: u32 = 100;
/// A log line is cut to this many bytes.
const LINE_BYTES_MAX: usize = 4096;
/// Fuel of a host call, and of each key that is looked up in it.
const CALL_FUEL: u64 = 200;
const KEY_FUEL: u64 = 100;

/// The import names of components.
pub(crate) const HOST: &str = "millstream:functions/host@0.1.0";
/// The interface of types, which has no functions.
pub(crate) const TYPES: &str = "millstream:functions/types@0.1.0";
/// The functions of the host, in components and, with `_` for `-`, in plain modules.
pub(crate) const FUNCTIONS: [&str; 4] = ["log", "config", "table-version", "lookup"];

/// What belongs to one instance.
pub(crate) struct State {
    pub limiter: Limiter,
    name: Arc<str>,
    config: Arc<BTreeMap<String, String>>,
    tables: Arc<BTreeMap<String, Arc<Table>>>,
    /// The tables as they were when the call began.
    snapshots: BTreeMap<String, Arc<Snapshot>>,
    lines: u32,
    last_error: Option<String>,
    deadline: Option<Instant>,
}

impl State {
    pub(crate) fn new(
        limiter: Limiter,
        name: Arc<str>,
        config: Arc<BTreeMap<String, String>>,
        tables: Arc<BTreeMap<String, Arc<Table>>>,
    ) -> State {
        let snapshots = BTreeMap::new();
        State { limiter, name, config, tables, snapshots, lines: 0, last_error: None, deadline: None }
    }

    /// Before each call.
    pub(crate) fn start_call(&mut self, deadline: Instant) {
        for (name, table) in &*self.tables {
            match self.snapshots.get_mut(name) {
                Some(kept) if kept.version == table.version() => {}
                Some(kept) => *kept = table.snapshot(),
                None => _ = self.snapshots.insert(name.clone(), table.snapshot()),
            }
        }
        self.lines = 0;
        self.last_error = None;
        self.deadline = Some(deadline);
        self.limiter.take_refusal();
    }

    /// After each call: lines that were not kept are counted aloud.
    pub(crate) fn end_call(&mut self) {
        if let Some(dropped) = self.lines.checked_sub(LINES_MAX).filter(|dropped| *dropped > 0) {
            tracing::warn!(
                function = &*self.name,
                dropped,
                "log lines beyond the first 100 of a call were dropped"
            );
        }
    }

    /// What the function last logged as an error in this call.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// What happens at each epoch: the thread is yielded, and a call past its deadline ends.
    pub(crate) fn at_epoch(store: &StoreContextMut<'_, State>) -> UpdateDeadline {
        if store.data().deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return UpdateDeadline::Interrupt;
        }
        std::thread::yield_now();
        UpdateDeadline::Continue(1)
    }

    pub(crate) fn log(&mut self, level: Level, text: &str) {
        let text = cut(text, LINE_BYTES_MAX);
        self.lines = self.lines.saturating_add(1);
        if level == Level::Error {
            self.last_error = Some(text.to_owned());
        }
        if self.lines > LINES_MAX {
            return;
        }
        let function = &*self.name;
        match level {
            Level::Debug => tracing::debug!(function, "{text}"),
            Level::Info => tracing::info!(function, "{text}"),
            Level::Warn => tracing::warn!(function, "{text}"),
            // An error line of a guest is about its data; it does not call for a person by itself.
            Level::Error => tracing::warn!(function, guest_level = "error", "{text}"),
        }
    }

    pub(crate) fn config(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    pub(crate) fn table_version(&self, table: &str) -> u64 {
        self.snapshots.get(table).map_or(0, |snapshot| snapshot.version)
    }

    pub(crate) fn table(&self, table: &str) -> wasmtime::Result<Arc<Snapshot>> {
        match self.snapshots.get(table) {
            Some(snapshot) => Ok(snapshot.clone()),
            None => {
                let table = cut(table, 64);
                Err(wasmtime::format_err!("table `{table}` is not listed under the function's lookup"))
            }
        }
    }
}

/// How much a log line matters.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, wasmtime::component::ComponentType, wasmtime::component::Lift,
)]
#[component(enum)]
#[repr(u8)]
#[allow(missing_docs)]
pub(crate) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// Takes the fuel of a host call that looks up so many keys.
pub(crate) fn charge(mut store: impl AsContextMut<Data = State>, keys: usize) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let price = CALL_FUEL + KEY_FUEL.saturating_mul(keys as u64);
    match store.get_fuel()?.checked_sub(price) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}
