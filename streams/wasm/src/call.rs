//! A batch through a function: the call, and, when it fails, its halves, down to the record that fails alone (WA-1).

use crate::error::Transient;
use crate::function::{Function, Instance};
use crate::limits::Refusal;
use crate::packed::{Batch, Emit};
use std::borrow::Cow;

/// A code is cut to this many bytes.
const CODE_BYTES_MAX: usize = 64;
/// A reason is cut to this many bytes.
const REASON_BYTES_MAX: usize = 1024;

/// What became of a batch. A record may have emits, or one failure, or neither: then the function filtered it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that go on, in the order of their inputs.
    pub emits: Vec<Emit>,
    /// Records for the dead letters, in their order.
    pub failed: Vec<Failed>,
}

/// A record that failed: a data failure, to be dead-lettered, which trying again does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its place in the batch, from 0.
    pub input: u32,
    /// The function's own code, or one of `function_fuel`, `function_memory`, `function_trap`, `function_output`.
    pub code: Cow<'static, str>,
    /// A sentence for a person.
    pub reason: String,
    /// The trap, the guest's frames and the last error that the function logged, where it ended in a trap.
    pub trap: Option<String>,
}

/// Why a call did not give an outcome.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The function refused the batch; its instance is well.
    Refused { code: String, reason: String },
    /// The fuel was spent.
    Fuel { trap: String },
    /// The guest trapped after it was refused memory or table elements.
    Memory { refusal: Refusal, trap: String },
    /// The guest trapped, or broke the ABI.
    Trap { trap: String },
    /// It returned more than it may.
    OutputTooLarge { limit: usize },
    /// What it returned is no outcome.
    BadOutput { text: String },
    /// It ran past its deadline.
    Deadline,
}

impl Fault {
    /// Whether the instance may be called again (WA-2).
    pub(crate) fn leaves_instance_well(&self) -> bool {
        matches!(self, Fault::Refused { .. })
    }

    fn failed(self, input: u32, fuel: u64) -> Failed {
        let (code, reason, trap) = match self {
            Fault::Refused { code, reason } => return Failed::refused(input, &code, &reason),
            Fault::Fuel { trap } => (
                "function_fuel",
                format!(
                    "the record alone spent the call's fuel of {fuel}; raise limits.fuel if it is well made"
                ),
                Some(trap),
            ),
            Fault::Memory { refusal: Refusal { wanted, limit, what }, trap } => (
                "function_memory",
                format!(
                    "the function asked for {wanted} {what}, the limit is {limit}; raise it if the record is well made"
                ),
                Some(trap),
            ),
            Fault::Trap { trap } => (
                "function_trap",
                format!("the function trapped: {}", trap.lines().next().unwrap_or_default()),
                Some(trap),
            ),
            Fault::OutputTooLarge { limit } => (
                "function_output",
                format!("the function returned more than its limit of {limit} bytes"),
                None,
            ),
            Fault::BadOutput { text } => {
                ("function_output", format!("the function returned a broken outcome: {text}"), None)
            }
            Fault::Deadline => unreachable!("WA-4: a deadline is never charged to a record"),
        };
        Failed { input, code: Cow::Borrowed(code), reason: cut(&reason, REASON_BYTES_MAX).to_owned(), trap }
    }
}

impl Failed {
    /// A failure with the function's own code and reason, cut to their bounds.
    pub(crate) fn refused(input: u32, code: &str, reason: &str) -> Failed {
        Failed {
            input,
            code: Cow::Owned(cut(code, CODE_BYTES_MAX).to_owned()),
            reason: cut(reason, REASON_BYTES_MAX).to_owned(),
            trap: None,
        }
    }
}

/// The start of a text, at most so many bytes, cut between two characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

impl Outcome {
    /// Whether inputs are in range and in order, and no record both goes on and fails.
    pub(crate) fn check(&self, inputs: usize) -> Result<(), String> {
        let mut failed = self.failed.iter().map(|failed| failed.input).peekable();
        let mut last = 0;
        for emit in &self.emits {
            if emit.input < last {
                return Err(format!("an emit of input {} after one of {last}", emit.input));
            }
            last = emit.input;
            while failed.next_if(|input| *input < last).is_some() {}
            if failed.peek() == Some(&last) {
                return Err(format!("input {last} both goes on and fails"));
            }
        }
        if !self.failed.is_sorted_by(|a, b| a.input < b.input) {
            return Err("failures that are not in the order of their inputs".to_owned());
        }
        let highest = self.failed.last().map_or(last, |failed| failed.input.max(last));
        if (highest as usize) < inputs || (self.emits.is_empty() && self.failed.is_empty()) {
            Ok(())
        } else {
            Err(format!("input {highest} of a batch of {inputs}"))
        }
    }

    fn append(&mut self, mut part: Outcome, first: u32) {
        part.emits.iter_mut().for_each(|emit| emit.input += first);
        part.failed.iter_mut().for_each(|failed| failed.input += first);
        self.emits.append(&mut part.emits);
        self.failed.append(&mut part.failed);
    }
}

impl Function {
    /// Processes a batch: the outcome of all its records, or a transient error and nothing done. May be called from
    /// many threads; each call has an instance to itself. Blocks its thread for as long as the function takes.
    pub fn process(&self, batch: &Batch) -> Result<Outcome, Transient> {
        if batch.is_empty() {
            return Ok(Outcome::default());
        }
        let mut instance = Some(self.take_instance()?);
        let outcome = self.halve(&mut instance, batch, None)?;
        if let Some(instance) = instance {
            self.give_back(instance);
        }
        Ok(outcome)
    }

    /// Calls with the batch, and with its halves when that fails. `instance` is gone after a trap and made anew when
    /// it is needed.
    fn halve(
        &self,
        instance: &mut Option<Instance>,
        whole: &Batch,
        part: Option<std::ops::Range<usize>>,
    ) -> Result<Outcome, Transient> {
        let range = part.clone().unwrap_or(0..whole.len());
        let copied = part.map(|range| whole.part(range));
        let batch = copied.as_ref().unwrap_or(whole);
        let mut running = match instance.take() {
            Some(instance) => instance,
            None => self.take_instance()?,
        };
        let fault = match running.call(self, batch) {
            Ok(outcome) => {
                *instance = Some(running);
                return Ok(outcome);
            }
            Err(fault) => fault,
        };
        if fault.leaves_instance_well() {
            *instance = Some(running);
        }
        if let Fault::Deadline = fault {
            let (name, deadline_ms) = (self.name().to_owned(), self.limits().deadline_ms);
            return Err(Transient::Deadline { name, records: batch.len(), deadline_ms });
        }
        if batch.len() == 1 {
            return Ok(Outcome { emits: Vec::new(), failed: vec![fault.failed(0, self.limits().fuel)] });
        }
        tracing::debug!(function = self.name(), records = batch.len(), ?fault, "a call failed and is halved");
        let middle = range.len() / 2;
        let mut outcome = self.halve(instance, whole, Some(range.start..range.start + middle))?;
        let second = self.halve(instance, whole, Some(range.start + middle..range.end))?;
        outcome.append(second, middle as u32);
        Ok(outcome)
    }
}
