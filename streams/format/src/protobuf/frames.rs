//! Messages behind a registry's frame: which message of the schema's file a record is, and the plans by which records of
//! each are read. Compatible with Confluent's wire format: behind the schema's id stand the places of the message and of
//! those around it, as zig-zag varints behind their count; a single zero is the file's first message. Never enters:
//! talking to a registry, values.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{FileDescriptor, MessageDescriptor};

use super::DEPTH_MAX;
use super::plan::Plan;
use super::schema::compile;
use super::wire::{bad, push_varint, unzigzag, varint, zigzag};
use crate::object::Object;
use crate::registered::{FRAME_BYTES, unframed};
use crate::{BadReason, BadRecord, SchemaType, Schemas};

/// The most schemas, and the most messages of them, that a reader remembers.
const REMEMBERED_MAX: usize = 1_000;
/// Where a frame has its schema's id.
const ID_AT: usize = 1;

/// The messages that a message declares, as registries count them: without those of maps and groups, which no text
/// declares by themselves.
pub(super) fn nested(message: &MessageDescriptor) -> Vec<MessageDescriptor> {
    let is_group = |child: &MessageDescriptor| {
        message.fields().any(|f| f.is_group() && f.kind().as_message() == Some(child))
    };
    message.child_messages().filter(|child| !child.is_map_entry() && !is_group(child)).collect()
}

/// The part of a frame that says which message of its file a record is.
pub(super) fn indexes(message: &MessageDescriptor) -> Vec<u8> {
    let mut path = Vec::new();
    let mut inner = message.clone();
    while let Some(outer) = inner.parent_message() {
        path.push(nested(&outer).iter().position(|m| *m == inner));
        inner = outer;
    }
    path.push(inner.parent_file().messages().position(|m| m == inner));
    let path: Vec<i64> = path.into_iter().rev().flatten().map(|place| place as i64).collect();
    if path == [0] {
        return vec![0];
    }
    let mut out = Vec::new();
    push_varint(zigzag(path.len() as i64), &mut out);
    path.iter().for_each(|place| push_varint(zigzag(*place), &mut out));
    out
}

/// Reads that part, and says where it ends.
fn read_indexes(record: &[u8]) -> Result<(Vec<usize>, usize), BadRecord> {
    let mut at = FRAME_BYTES;
    let count = unzigzag(varint(record, &mut at)?);
    if count == 0 {
        return Ok((vec![0], at));
    }
    let Some(count) = usize::try_from(count).ok().filter(|count| *count <= DEPTH_MAX) else {
        return Err(bad(format!("{count} message indexes"), FRAME_BYTES));
    };
    let mut path = Vec::with_capacity(count);
    for _ in 0..count {
        let from = at;
        let index = unzigzag(varint(record, &mut at)?);
        path.push(usize::try_from(index).map_err(|_| bad(format!("message index {index}"), from))?);
    }
    Ok((path, at))
}

fn message_at(file: &FileDescriptor, path: &[usize]) -> Option<MessageDescriptor> {
    let (first, rest) = path.split_first()?;
    let top = file.messages().nth(*first)?;
    rest.iter().try_fold(top, |message, place| nested(&message).into_iter().nth(*place))
}

/// The schemas that records were written by, as far as they were met.
pub(super) struct Writers {
    schemas: Arc<Schemas>,
    /// Files by id; why there is none.
    files: HashMap<u32, Result<FileDescriptor, String>>,
    /// Plans by frame and indexes; why records with these are refused.
    plans: HashMap<Box<[u8]>, Result<Arc<Plan>, BadRecord>>,
    /// The last of them.
    last: Option<(Box<[u8]>, Arc<Plan>)>,
}

impl Writers {
    pub(super) fn new(schemas: &Arc<Schemas>) -> Writers {
        Writers { schemas: Arc::clone(schemas), files: HashMap::new(), plans: HashMap::new(), last: None }
    }

    /// By which plan a record is read, and where its message starts.
    pub(super) fn plan(&mut self, root: &Object, record: &[u8]) -> Result<(Arc<Plan>, usize), BadRecord> {
        if let Some((header, plan)) = &self.last
            && record.starts_with(header)
        {
            return Ok((Arc::clone(plan), header.len()));
        }
        let (id, _) = unframed(record)?;
        let (path, start) = read_indexes(record)?;
        let header = &record[..start];
        if !self.plans.contains_key(header) {
            let file = self.file(id)?;
            let plan = planned(id, &file, &path, root);
            if self.plans.len() >= REMEMBERED_MAX {
                self.plans.clear();
            }
            self.plans.insert(header.into(), plan);
        }
        let plan = self.plans[header].clone()?;
        self.last = Some((header.into(), Arc::clone(&plan)));
        Ok((plan, start))
    }

    /// The file of an id. What the registry has not said yet is not remembered.
    fn file(&mut self, id: u32) -> Result<FileDescriptor, BadRecord> {
        if !self.files.contains_key(&id) {
            let schema = match self.schemas.get(id) {
                None => return Err(refused(format!("its schema, id {id}, was not fetched"))),
                Some(Err(why)) => return Err(refused(format!("its schema, id {id}: {why}"))),
                Some(Ok(schema)) => schema,
            };
            let import = |name: &str| schema.references.iter().find(|r| r.0 == name).map(|r| r.1.clone());
            let file = match schema.kind {
                SchemaType::Protobuf => {
                    // A name that no reference has, so that the file cannot be taken for one that it imports.
                    compile(&format!("schema-{id}.proto"), &schema.text, &import)
                }
                kind => Err(format!("it is of {}, not of PROTOBUF", kind.name())),
            };
            if self.files.len() >= REMEMBERED_MAX {
                self.files.clear();
            }
            self.files.insert(id, file);
        }
        self.files[&id].clone().map_err(|why| refused(format!("its schema, id {id}: {why}")))
    }
}

fn planned(id: u32, file: &FileDescriptor, path: &[usize], root: &Object) -> Result<Arc<Plan>, BadRecord> {
    let Some(message) = message_at(file, path) else {
        let text = format!("its schema, id {id}, has no message with the indexes {path:?}");
        return Err(BadRecord { why: BadReason::Syntax(text), at: FRAME_BYTES });
    };
    match Plan::new(&message, root) {
        Ok(plan) => Ok(Arc::new(plan)),
        Err(misfit) => {
            let why = BadReason::WrongType { field: misfit.column, expected: misfit.expected };
            Err(BadRecord { why, at: FRAME_BYTES })
        }
    }
}

fn refused(text: String) -> BadRecord {
    BadRecord { why: BadReason::Syntax(text), at: ID_AT }
}
