//! What a function may use, with defaults and bounds, and the limiter that holds an instance to it. The limiter
//! remembers that it refused: a guest that runs out of memory and one that panics both trap with `unreachable`.

use crate::error::LoadError;
use std::time::Duration;
use wasmtime::ResourceLimiter;

/// The limits of one function. Fuel is wasmtime's: about one for each instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one instance in bytes, all its linear memories together. From 64 KiB to the engine's maximum.
    pub memory_bytes: u64,
    /// Fuel of one call, `init` included. At least 10,000.
    pub fuel: u64,
    /// Elements of one table of an instance. At most 100,000.
    pub table_elements: u64,
    /// Output of one call in bytes; a call with more than a quarter of this as its input may return four times its
    /// input. From 1 KiB to 1 GiB.
    pub output_bytes: u64,
    /// How long one call may take before it is given up as a transient failure, in milliseconds. Meant to be far
    /// beyond what the fuel takes. At least 100.
    pub deadline_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 64 << 20,
            fuel: 100_000_000,
            table_elements: 10_000,
            output_bytes: 16 << 20,
            deadline_ms: 10_000,
        }
    }
}

impl Limits {
    /// Checks the bounds. `memory_bytes_max` is the engine's.
    pub(crate) fn validate(&self, name: &str, memory_bytes_max: u64) -> Result<(), LoadError> {
        let bounds = [
            ("memory", self.memory_bytes, 64 << 10, memory_bytes_max),
            ("fuel", self.fuel, 10_000, u64::MAX >> 1),
            ("table elements", self.table_elements, 0, 100_000),
            ("output", self.output_bytes, 1 << 10, 1 << 30),
            ("deadline", self.deadline_ms, 100, 3_600_000),
        ];
        for (limit, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(LoadError::Limit { name: name.to_owned(), limit, value, least, most });
            }
        }
        Ok(())
    }

    /// The most bytes that a call with this much input may return.
    pub(crate) fn output_bytes_max(&self, input_bytes: usize) -> usize {
        usize::try_from(self.output_bytes).unwrap_or(usize::MAX).max(input_bytes.saturating_mul(4))
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was asked for, in bytes or elements.
    pub wanted: u64,
    /// What there is.
    pub limit: u64,
    /// `bytes of memory` or `elements of a table`.
    pub what: &'static str,
}

/// Holds one instance to its limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: u64,
    memory_bytes: u64,
    table_elements_max: u64,
    refused: Option<Refusal>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Limiter {
        Limiter {
            memory_bytes_max: limits.memory_bytes,
            memory_bytes: 0,
            table_elements_max: limits.table_elements,
            refused: None,
        }
    }

    /// What its linear memories have.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The refusal since this was last asked, if there was one.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refused.take()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        if wanted > self.memory_bytes_max {
            self.refused = Some(Refusal { wanted, limit: self.memory_bytes_max, what: "bytes of memory" });
            return Ok(false);
        }
        self.memory_bytes = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired as u64 > self.table_elements_max {
            let limit = self.table_elements_max;
            self.refused = Some(Refusal { wanted: desired as u64, limit, what: "elements of a table" });
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

/// Core instances of one component: its modules and the shims that `wasm-tools component new` adds.
pub(crate) const INSTANCES_MAX: usize = 16;
/// Tables of one instance.
pub(crate) const TABLES_MAX: usize = 16;
/// Linear memories of one instance.
pub(crate) const MEMORIES_MAX: usize = 4;
