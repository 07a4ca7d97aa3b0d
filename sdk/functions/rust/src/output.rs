//! What a batch becomes, written straight into the right side of the packed layout. One buffer lives as long as the
//! instance and is used for every batch.

use crate::{Failure, Message};

/// A message that goes on, with its own copy of everything: for functions that do not count nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// A named output of the pipeline, or the default one.
    pub output: Option<String>,
    /// The key; it chooses the partition where `partition` is none.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The partition to write to.
    pub partition: Option<i32>,
}

impl NewMessage {
    /// A copy of a record's key, value, headers and time. Its partition is left to the key.
    pub fn same(message: &Message<'_>) -> NewMessage {
        NewMessage {
            output: None,
            key: message.key.map(<[u8]>::to_vec),
            value: message.value.map(<[u8]>::to_vec),
            headers: message.headers.map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
            timestamp_ms: message.timestamp_ms,
            partition: None,
        }
    }
}

/// What one record becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emit(Vec<NewMessage>);

impl Emit {
    /// Nothing: the record is filtered out.
    pub fn none() -> Emit {
        Emit::default()
    }

    /// One message.
    pub fn one(message: NewMessage) -> Emit {
        Emit(vec![message])
    }

    /// Any number of messages.
    pub fn many(messages: Vec<NewMessage>) -> Emit {
        Emit(messages)
    }

    pub(crate) fn into_messages(self) -> Vec<NewMessage> {
        self.0
    }
}

/// Where a [`crate::Function`] writes its messages.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    emits: u32,
    failures: Vec<u8>,
    failed: u32,
    input: u32,
}

impl Output {
    pub(crate) const fn new() -> Output {
        Output { bytes: Vec::new(), emits: 0, failures: Vec::new(), failed: 0, input: 0 }
    }

    /// Writes a message.
    pub fn emit(&mut self, message: &NewMessage) {
        let headers = u32::try_from(message.headers.len()).expect("fewer than 2^32 headers");
        self.head(
            message.timestamp_ms,
            message.partition.unwrap_or(-1),
            message.output.as_ref().map(|name| name.len()),
            message.key.as_ref().map(Vec::len),
            message.value.as_ref().map(Vec::len),
            headers,
        );
        self.bytes.extend_from_slice(message.output.as_deref().unwrap_or_default().as_bytes());
        self.bytes.extend_from_slice(message.key.as_deref().unwrap_or_default());
        self.bytes.extend_from_slice(message.value.as_deref().unwrap_or_default());
        for (name, value) in &message.headers {
            self.bytes.extend_from_slice(&length(Some(name.len())).to_le_bytes());
            self.bytes.extend_from_slice(&length(value.as_ref().map(Vec::len)).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(value.as_deref().unwrap_or_default());
        }
    }

    /// Writes a message to the default output whose value `write` appends to the buffer that it gets; it must not
    /// shorten or change what is there already.
    pub fn emit_with(&mut self, key: Option<&[u8]>, timestamp_ms: i64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.head(timestamp_ms, -1, None, key.map(<[u8]>::len), Some(0), 0);
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let value_start = self.bytes.len();
        write(&mut self.bytes);
        let value_length = length(Some(self.bytes.len() - value_start));
        self.bytes[start + 24..start + 28].copy_from_slice(&value_length.to_le_bytes());
    }

    fn head(
        &mut self,
        timestamp_ms: i64,
        partition: i32,
        output: Option<usize>,
        key: Option<usize>,
        value: Option<usize>,
        headers: u32,
    ) {
        let mut head = [0; 32];
        head[0..8].copy_from_slice(&timestamp_ms.to_le_bytes());
        head[8..12].copy_from_slice(&self.input.to_le_bytes());
        head[12..16].copy_from_slice(&partition.to_le_bytes());
        head[16..20].copy_from_slice(&length(output).to_le_bytes());
        head[20..24].copy_from_slice(&length(key).to_le_bytes());
        head[24..28].copy_from_slice(&length(value).to_le_bytes());
        head[28..32].copy_from_slice(&headers.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.emits += 1;
    }

    pub(crate) fn start(&mut self, batch_bytes: usize) {
        self.bytes.clear();
        self.bytes.reserve(batch_bytes + 1024);
        self.bytes.extend_from_slice(&[0; 8]);
        self.failures.clear();
        (self.emits, self.failed) = (0, 0);
    }

    pub(crate) fn start_record(&mut self, input: u32) -> Mark {
        self.input = input;
        Mark { bytes: self.bytes.len(), emits: self.emits }
    }

    pub(crate) fn fail(&mut self, mark: Mark, failure: &Failure) {
        self.bytes.truncate(mark.bytes);
        self.emits = mark.emits;
        self.failed += 1;
        self.failures.extend_from_slice(&self.input.to_le_bytes());
        self.failures.extend_from_slice(&length(Some(failure.code.len())).to_le_bytes());
        self.failures.extend_from_slice(&length(Some(failure.reason.len())).to_le_bytes());
        self.failures.extend_from_slice(failure.code.as_bytes());
        self.failures.extend_from_slice(failure.reason.as_bytes());
    }

    /// Key and value of every message, read back for a test.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn messages(&self) -> Vec<crate::testing::KeyAndValue> {
        let mut at = 8;
        let mut found = Vec::new();
        for _ in 0..self.emits {
            let int = |place: usize| {
                i32::from_le_bytes(*self.bytes[at + place..].first_chunk().expect("a whole head was written"))
            };
            let (name, key, value, headers) = (int(16), int(20), int(24), int(28));
            let mut start = at + 32 + usize::try_from(name).unwrap_or(0);
            let mut take = |length: i32| {
                let length = usize::try_from(length).ok()?;
                start += length;
                Some(self.bytes[start - length..start].to_vec())
            };
            found.push((take(key), take(value)));
            for _ in 0..headers {
                let int = |place: usize| {
                    i32::from_le_bytes(*self.bytes[place..].first_chunk().expect("a whole head was written"))
                };
                let lengths = int(start).max(0) + int(start + 4).max(0);
                start += 8 + usize::try_from(lengths).expect("lengths are at least 0");
            }
            at = start;
        }
        found
    }

    pub(crate) fn finish(&mut self) -> &[u8] {
        self.bytes.extend_from_slice(&self.failures);
        self.bytes[0..4].copy_from_slice(&self.emits.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&self.failed.to_le_bytes());
        &self.bytes
    }
}

/// A place to go back to when a record fails after it wrote.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    bytes: usize,
    emits: u32,
}

fn length(bytes: Option<usize>) -> i32 {
    bytes.map_or(-1, |bytes| i32::try_from(bytes).expect("a guest's memory holds less than 2 GiB"))
}
