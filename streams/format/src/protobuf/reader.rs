//! What reads records of Protobuf: by one declared message, or by the one that a registry's frame names. Never enters:
//! how messages are read.

use std::sync::Arc;

use super::ProtobufForm;
use super::decode::{Seen, read};
use super::frames::Writers;
use super::plan::Plan;
use crate::object::Object;
use crate::{BadRecord, FormatError};

/// Reads messages into columns.
pub(crate) struct ProtobufReader {
    plans: Plans,
    seen: Vec<Seen>,
}

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
        Ok(ProtobufReader { plans, seen: Vec::new() })
    }

    /// Reads a record into the columns of `root`; after an error they may hold a part of it. Gives the bytes of text that
    /// columns got without their being in the record: names of enums, defaults.
    pub(crate) fn read(&mut self, root: &mut Object, record: &[u8]) -> Result<usize, BadRecord> {
        let (plan, start) = match &mut self.plans {
            Plans::Declared(plan) => (Arc::clone(plan), 0),
            Plans::Registered(writers) => writers.plan(root, record)?,
        };
        read(&plan, root, record, start, &mut self.seen)
    }
}
