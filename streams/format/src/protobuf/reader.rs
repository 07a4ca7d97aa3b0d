//! What reads records of Protobuf: by one declared message, or by the one that a registry's frame names. Never enters:
//! how messages are read.

use std::sync::Arc;

use super::ProtobufForm;
use super::decode::{Reading, Seen};
use super::frames::Writers;
use super::plan::Plan;
use super::wire::Span;
use crate::object::Object;
use crate::{BadRecord, FormatError};

/// Reads messages into columns.
pub(crate) struct ProtobufReader {
    plans: Plans,
    seen: Vec<Seen>,
    /// How many good records in a row were not in the usual order, and for how many none is tried.
    misses: u32,
    pause: u32,
}

/// After so many records in another order the next ones are not tried to be read in one go.
const MISSES_MAX: u32 = 4;
const PAUSE: u32 = 255;

enum Plans {
    Declared(Arc<Plan>),
    Registered(Writers),
}

impl ProtobufReader {
    pub(crate) fn new(form: &ProtobufForm, root: &Object) -> Result<ProtobufReader, FormatError> {
        let plans = match (&form.registry, &form.schema) {
            (Some(schemas), _) => Plans::Registered(Writers::new(schemas)),
            (None, Some(schema)) => {
                let message = schema.descriptor();
                let plan = Plan::new(message, root).map_err(|misfit| FormatError::Form(misfit.text))?;
                if let Some((column, message)) = plan.unfilled(message, root) {
                    let names: Vec<String> = message.fields().map(|f| f.name().to_owned()).collect();
                    return Err(FormatError::Form(format!(
                        "column {column} is required, and message {} has no such field; it has {}",
                        message.full_name(),
                        names.join(", ")
                    )));
                }
                Plans::Declared(Arc::new(plan))
            }
            (None, None) => {
                let text = "records of Protobuf are read by their message: give `schema: file.proto`, or a schema registry";
                return Err(FormatError::Form(text.to_owned()));
            }
        };
        Ok(ProtobufReader { plans, seen: Vec::new(), misses: 0, pause: 0 })
    }

    /// Reads a record into the columns of `root`, which hold `rows` rows; after an error they may hold a part of it. Gives
    /// the bytes of text that columns got without their being in the record: names of enums, defaults.
    pub(crate) fn read(&mut self, root: &mut Object, record: &[u8], rows: usize) -> Result<usize, BadRecord> {
        let (plan, start) = match &mut self.plans {
            Plans::Declared(plan) => (Arc::clone(plan), 0),
            Plans::Registered(writers) => writers.plan(root, record)?,
        };
        self.seen.clear();
        let mut reading = Reading { record, seen: &mut self.seen, grown: 0 };
        let whole = Span::new(start, record.len());
        let tried = self.pause == 0;
        if tried {
            if reading.in_order(&plan, root, whole).is_some() {
                self.misses = 0;
                return Ok(reading.grown);
            }
            root.truncate(rows);
            reading.grown = 0;
            reading.seen.clear();
        } else {
            self.pause -= 1;
        }
        reading.message(&plan, root, &[whole])?;
        if tried {
            self.misses += 1;
            if self.misses >= MISSES_MAX {
                (self.misses, self.pause) = (MISSES_MAX - 1, PAUSE);
            }
        }
        Ok(reading.grown)
    }
}
