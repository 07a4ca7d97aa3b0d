//! The packed layout, version 1 (`sdk/functions/README.md`): a batch written once and given to the guest as it is,
//! and an outcome read back. The guest's bytes are not trusted: every length and count is checked against what is
//! left before anything is made of it.

use crate::call::{Failed, Outcome};
use bytes::Bytes;
use std::ops::Range;

/// Bytes of a record before its key.
const RECORD_HEAD: usize = 32;
/// Bytes of an emit before its output's name.
const EMIT_HEAD: usize = 32;
/// Bytes of a failure before its code.
const FAILURE_HEAD: usize = 12;
/// Bytes of a header before its name.
const HEADER_HEAD: usize = 8;

/// A header of a record that goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// A record that goes in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Its headers, in their order.
    pub headers: &'a [Header<'a>],
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// A message that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// The record that it came from: its place in the batch, from 0.
    pub input: u32,
    /// A named output; none is the default one.
    pub output: Option<String>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// Headers, in their order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The partition to write to; none leaves it to the key.
    pub partition: Option<i32>,
}

/// Records on their way to a function, in the layout that it gets. One batch can be cleared and filled again.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// No records.
    pub fn new() -> Batch {
        Batch { bytes: vec![0; 4], starts: Vec::new() }
    }

    /// Takes all records out and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(4);
        self.bytes.fill(0);
        self.starts.clear();
    }

    /// Appends a record. Its key, value and headers are each at most 2 GiB, which a record batch on the wire cannot
    /// reach (`millstream_types::limits`).
    pub fn push(&mut self, record: &Record<'_>) {
        self.starts.push(self.bytes.len());
        let mut head = [0; RECORD_HEAD];
        head[0..8].copy_from_slice(&record.offset.to_le_bytes());
        head[8..16].copy_from_slice(&record.timestamp_ms.to_le_bytes());
        head[16..20].copy_from_slice(&record.partition.to_le_bytes());
        head[20..24].copy_from_slice(&length(record.key).to_le_bytes());
        head[24..28].copy_from_slice(&length(record.value).to_le_bytes());
        head[28..32].copy_from_slice(&count(record.headers.len()).to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        for header in record.headers {
            self.bytes.extend_from_slice(&length(Some(header.name.as_bytes())).to_le_bytes());
            self.bytes.extend_from_slice(&length(header.value).to_le_bytes());
            self.bytes.extend_from_slice(header.name.as_bytes());
            self.bytes.extend_from_slice(header.value.unwrap_or_default());
        }
        let count = count(self.starts.len());
        self.bytes[0..4].copy_from_slice(&count.to_le_bytes());
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes of the batch in its layout.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Some of its records as a batch of their own.
    pub(crate) fn part(&self, range: Range<usize>) -> Batch {
        let start = self.starts[range.start];
        let end = self.starts.get(range.end).copied().unwrap_or(self.bytes.len());
        let mut bytes = Vec::with_capacity(4 + end - start);
        bytes.extend_from_slice(&count(range.len()).to_le_bytes());
        bytes.extend_from_slice(&self.bytes[start..end]);
        Batch { bytes, starts: self.starts[range].iter().map(|at| at - start + 4).collect() }
    }

    /// The records, read back: for the world that takes typed messages.
    pub(crate) fn records(&self) -> impl Iterator<Item = OwnedRecord<'_>> {
        self.starts.iter().map(|start| {
            let mut reader = Reader { rest: &self.bytes[*start..], whole: None };
            reader.record().expect("WA-3: the batch was written by push")
        })
    }
}

/// A record with headers of its own.
pub(crate) struct OwnedRecord<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<Header<'a>>,
    pub timestamp_ms: i64,
    pub partition: i32,
    pub offset: i64,
}

fn length(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).expect("WA-3: a record's parts are below 2 GiB"))
}

fn count(items: usize) -> u32 {
    u32::try_from(items).expect("WA-3: a batch has fewer than 2^32 records")
}

/// Reads an outcome of `inputs` records, or says what is wrong with it.
pub(crate) fn read_outcome(bytes: &Bytes, inputs: usize) -> Result<Outcome, String> {
    let mut reader = Reader { rest: bytes, whole: Some(bytes) };
    let emits = reader.count("emits", EMIT_HEAD, 4)?;
    let failures = reader.count("failures", FAILURE_HEAD, 0)?;
    let mut outcome = Outcome::default();
    outcome.emits.reserve(emits);
    for _ in 0..emits {
        outcome.emits.push(reader.emit()?);
    }
    for _ in 0..failures {
        outcome.failed.push(reader.failure()?);
    }
    if !reader.rest.is_empty() {
        return Err(format!("{} bytes are left over after the last failure", reader.rest.len()));
    }
    outcome.check(inputs)?;
    Ok(outcome)
}

struct Reader<'a> {
    rest: &'a [u8],
    /// What `rest` is the end of, so that a part can be shared and not copied.
    whole: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(format!("a part of {length} bytes where {} are left", self.rest.len())),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(*self.take(N)?.first_chunk().expect("WA-3: take gives what was asked"))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, String> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A count of items of at least `size` bytes each, with `after` more bytes before the first.
    fn count(&mut self, what: &str, size: usize, after: usize) -> Result<usize, String> {
        let count = self.u32()? as usize;
        if count.saturating_mul(size) > self.rest.len().saturating_sub(after) {
            return Err(format!("{count} {what} in {} bytes", self.rest.len()));
        }
        Ok(count)
    }

    fn nullable(&mut self, length: i32) -> Result<Option<&'a [u8]>, String> {
        match length {
            -1 => Ok(None),
            _ => match usize::try_from(length) {
                Ok(length) => self.take(length).map(Some),
                Err(_) => Err(format!("a length of {length}")),
            },
        }
    }

    fn shared(&mut self, length: i32) -> Result<Option<Bytes>, String> {
        let whole = self.whole.expect("WA-3: outcomes are read from shared bytes");
        Ok(self.nullable(length)?.map(|part| whole.slice_ref(part)))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, String> {
        std::str::from_utf8(self.take(length)?).map_err(|_| "a name or a reason that is not UTF-8".to_owned())
    }

    fn emit(&mut self) -> Result<Emit, String> {
        let timestamp_ms = self.i64()?;
        let input = self.u32()?;
        let partition = self.i32()?;
        let output_length = self.i32()?;
        let key_length = self.i32()?;
        let value_length = self.i32()?;
        let headers = self.u32()? as usize;
        let output = match self.nullable(output_length)? {
            None => None,
            Some(name) => match std::str::from_utf8(name) {
                Ok(name) => Some(name.to_owned()),
                Err(_) => return Err("an output's name that is not UTF-8".to_owned()),
            },
        };
        let key = self.shared(key_length)?;
        let value = self.shared(value_length)?;
        if headers.saturating_mul(HEADER_HEAD) > self.rest.len() {
            return Err(format!("{headers} headers in {} bytes", self.rest.len()));
        }
        let headers = (0..headers)
            .map(|_| {
                let name_length = self.u32()? as usize;
                let value_length = self.i32()?;
                let name = self.text(name_length)?.to_owned();
                Ok((name, self.shared(value_length)?))
            })
            .collect::<Result<_, String>>()?;
        let partition = match partition {
            -1 => None,
            0.. => Some(partition),
            _ => return Err(format!("a partition of {partition}")),
        };
        Ok(Emit { input, output, key, value, headers, timestamp_ms, partition })
    }

    fn failure(&mut self) -> Result<Failed, String> {
        let input = self.u32()?;
        let code_length = self.u32()? as usize;
        let reason_length = self.u32()? as usize;
        Ok(Failed::refused(input, self.text(code_length)?, self.text(reason_length)?))
    }

    fn record(&mut self) -> Result<OwnedRecord<'a>, String> {
        let offset = self.i64()?;
        let timestamp_ms = self.i64()?;
        let partition = self.i32()?;
        let key_length = self.i32()?;
        let value_length = self.i32()?;
        let header_count = self.u32()?;
        let key = self.nullable(key_length)?;
        let value = self.nullable(value_length)?;
        let headers = (0..header_count)
            .map(|_| {
                let name_length = self.u32()? as usize;
                let value_length = self.i32()?;
                Ok(Header { name: self.text(name_length)?, value: self.nullable(value_length)? })
            })
            .collect::<Result<_, String>>()?;
        Ok(OwnedRecord { key, value, headers, timestamp_ms, partition, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_batch_is_a_batch_of_its_records() {
        let headers = [Header { name: "trace", value: Some(b"1") }, Header { name: "none", value: None }];
        let mut batch = Batch::new();
        for n in 0..5_u8 {
            let value = vec![n; usize::from(n)];
            let headers: &[Header] = if n % 2 == 0 { &headers } else { &[] };
            batch.push(&Record { value: Some(&value), headers, offset: i64::from(n), ..Record::default() });
        }
        let part = batch.part(1..4);
        let read: Vec<_> =
            part.records().map(|r| (r.offset, r.value.map(<[u8]>::to_vec), r.key, r.headers)).collect();
        assert_eq!(
            read,
            vec![
                (1, Some(vec![1]), None, vec![]),
                (2, Some(vec![2, 2]), None, headers.to_vec()),
                (3, Some(vec![3, 3, 3]), None, vec![]),
            ]
        );
        let mut again = Batch::new();
        for r in part.records() {
            again.push(&Record {
                value: r.value,
                headers: &r.headers,
                offset: r.offset,
                ..Record::default()
            });
        }
        assert_eq!(again.bytes(), part.bytes());
    }

    #[test]
    fn any_cut_or_flipped_outcome_is_an_error_or_an_outcome_within_its_bytes() {
        let mut good = Vec::new();
        good.extend_from_slice(&1_u32.to_le_bytes());
        good.extend_from_slice(&1_u32.to_le_bytes());
        for word in [7_u32, 0, 0, u32::MAX, 3, 1, 2, 1] {
            good.extend_from_slice(&word.to_le_bytes());
        }
        good.extend_from_slice(b"outkvv");
        good.extend_from_slice(&[1, 0, 0, 0, 255, 255, 255, 255, b'h']);
        for word in [1_u32, 4, 3] {
            good.extend_from_slice(&word.to_le_bytes());
        }
        good.extend_from_slice(b"codewhy");
        let outcome = read_outcome(&Bytes::from(good.clone()), 2).expect("the outcome is well made");
        assert_eq!(outcome.emits[0].output.as_deref(), Some("out"));
        assert_eq!(outcome.emits[0].value.as_deref(), Some(&b"vv"[..]));
        assert_eq!(outcome.emits[0].headers, vec![("h".to_owned(), None)]);
        assert_eq!((outcome.failed[0].input, &*outcome.failed[0].code), (1, "code"));
        for cut in 0..good.len() {
            assert!(read_outcome(&Bytes::copy_from_slice(&good[..cut]), 2).is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = read_outcome(&Bytes::from(bad), 2);
            }
        }
    }
}
