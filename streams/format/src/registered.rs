//! A schema registry as seen from records: the frame that names a schema by its id, and the schemas that have been
//! fetched. Compatible with Confluent's wire format: a zero byte, the id in four bytes, big-endian, then the value.
//! Never enters: talking to a registry.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use crate::{BadReason, BadRecord};

/// Bytes of a frame before the value.
pub(crate) const FRAME_BYTES: usize = 5;

/// How many ids are kept: bytes that are no frames name any of four billion.
const KNOWN_MAX: usize = 10_000;

/// The languages of schemas that a registry knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaType {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaType {
    /// As a registry writes it.
    pub fn name(self) -> &'static str {
        match self {
            SchemaType::Avro => "AVRO",
            SchemaType::Protobuf => "PROTOBUF",
            SchemaType::Json => "JSON",
        }
    }
}

/// A schema as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its language.
    pub kind: SchemaType,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to, by the names by which it does, and those that they refer to; what is referred to
    /// comes before what refers to it.
    pub references: Vec<(String, String)>,
}

/// What a registry said of an id: its schema, or why there is none.
pub type Said = Result<Arc<Registered>, Arc<str>>;

/// What has been fetched of a registry, by id; shared by all decoders of a worker.
#[derive(Default)]
pub struct Schemas {
    known: RwLock<HashMap<u32, Said>>,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schemas({})", self.read().len())
    }
}

impl Schemas {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<u32, Said>> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether the schema of an id was fetched, or is known not to be there.
    pub fn has(&self, id: u32) -> bool {
        self.read().contains_key(&id)
    }

    /// The schema of an id; why there is none, where that is known.
    pub fn get(&self, id: u32) -> Option<Said> {
        self.read().get(&id).cloned()
    }

    /// Puts what the registry said of an id: its schema, or why there is none.
    pub fn put(&self, id: u32, said: Result<Registered, String>) {
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, said| said.is_ok());
        }
        known.insert(id, said.map(Arc::new).map_err(Arc::from));
    }
}

/// The schema id of a framed record; nothing where it has no frame.
pub fn frame_id(record: &[u8]) -> Option<u32> {
    match record.first_chunk::<FRAME_BYTES>() {
        Some([0, id @ ..]) => Some(u32::from_be_bytes(*id)),
        _ => None,
    }
}

/// The schema id of a framed record, and its value.
pub(crate) fn unframed(record: &[u8]) -> Result<(u32, &[u8]), BadRecord> {
    match frame_id(record) {
        Some(id) => Ok((id, &record[FRAME_BYTES..])),
        None => {
            let first = record.first().map_or("none".to_owned(), |byte| format!("{byte:#04x}"));
            let text = format!(
                "it has no frame of a schema registry (a zero byte and the schema's id in four; {} bytes, the first {first})",
                record.len()
            );
            Err(BadRecord { why: BadReason::Syntax(text), at: 0 })
        }
    }
}

/// Appends the frame of an id.
pub(crate) fn frame(id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
}
