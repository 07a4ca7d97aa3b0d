//! One thread's hold on a function, behind the trait `UserFunction` of the model: what the worker hands to the engine.
//! An emitted message carries partition and offset of the record that it came from; a trap stands in the reason of
//! its record's failure, after the sentence.

use crate::error::Transient;
use crate::function::Function;
use crate::packed::{Batch, Header, Record};
use millstream_model::{Bad, Emit, Failure, FunctionError, Message, Outcome, UserFunction};

/// A function and the buffer that its batches are written into.
#[derive(Clone, Debug)]
pub struct Caller {
    function: Function,
    batch: Batch,
}

impl Caller {
    /// A hold on this function. Callers share its code and its instances.
    pub fn new(function: Function) -> Caller {
        Caller { function, batch: Batch::new() }
    }

    /// The function itself: for callers that have their records as slices and write the [`Batch`] themselves.
    pub fn function(&self) -> &Function {
        &self.function
    }
}

impl UserFunction for Caller {
    fn process(&mut self, batch: &[Message]) -> Result<Outcome, FunctionError> {
        self.batch.clear();
        let mut headers = Vec::new();
        for message in batch {
            headers.clear();
            headers
                .extend(message.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() }));
            self.batch.push(&Record {
                key: message.key.as_deref(),
                value: message.value.as_deref(),
                headers: &headers,
                timestamp_ms: message.timestamp_ms,
                partition: message.partition,
                offset: message.offset,
            });
        }
        let outcome = self.function.process(&self.batch).map_err(|error| match error {
            Transient::Deadline { ref name, .. } | Transient::Instance { ref name, .. } => {
                FunctionError::Transient { function: name.clone(), reason: error.to_string() }
            }
        })?;
        let emits = outcome.emits.into_iter().map(|emit| {
            let origin = &batch[emit.input as usize];
            let header = |(key, value)| millstream_model::Header { key, value };
            Emit {
                output: emit.output,
                message: Message {
                    key: emit.key,
                    value: emit.value,
                    headers: emit.headers.into_iter().map(header).collect(),
                    timestamp_ms: emit.timestamp_ms,
                    partition: origin.partition,
                    offset: origin.offset,
                },
            }
        });
        let failed = outcome.failed.into_iter().map(|failed| {
            let mut reason = failed.reason;
            if let Some(trap) = failed.trap {
                reason.push('\n');
                reason.push_str(&trap);
            }
            Bad { index: failed.input, why: Failure { code: failed.code.into_owned(), reason } }
        });
        Ok(Outcome { emits: emits.collect(), failed: failed.collect() })
    }
}
