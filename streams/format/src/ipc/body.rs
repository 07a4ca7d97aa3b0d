//! The messages of a stream, and the lengths and buffers of a batch in them, each held against the bytes that are there;
//! bodies that are compressed. Never enters: what buffers mean.

use std::borrow::Cow;
use std::io::Read;

use arrow::ipc::{self, CompressionType, Message, MetadataVersion};
use flatbuffers::VerifierOptions;

/// Messages are nested so deep at most.
const DEPTH_MAX: usize = 64;
/// What stands before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// A record of this size may grow to as much, and a larger one to so many times its own: small integers become large ones,
/// compressed and repeated values are written out.
const GROWN_BYTES_MIN: usize = 16 << 20;
const GROWN_TIMES: usize = 16;
/// And none to more: columns have ends of 32 bits.
const GROWN_BYTES_MAX: usize = 512 << 20;

/// The messages of a record.
pub(super) struct Messages<'a> {
    record: &'a [u8],
    /// Where the next one begins.
    pub(super) at: usize,
}

impl<'a> Messages<'a> {
    pub(super) fn new(record: &'a [u8]) -> Messages<'a> {
        Messages { record, at: 0 }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let left = &self.record[self.at..];
        match left.get(..bytes) {
            Some(taken) => {
                self.at += bytes;
                Ok(taken)
            }
            None => {
                Err(format!("it is cut: {bytes} bytes of a message are wanted, and {} are left", left.len()))
            }
        }
    }

    fn take_length(&mut self) -> Result<[u8; 4], String> {
        Ok(*self.take(4)?.first_chunk().expect("four bytes"))
    }

    /// The next message and its body; nothing at the stream's end, behind which there is nothing.
    pub(super) fn next(&mut self) -> Result<Option<(Message<'a>, &'a [u8])>, String> {
        if self.at == self.record.len() {
            return Ok(None);
        }
        let mut length = self.take_length()?;
        let is_marked = length == CONTINUATION;
        if is_marked {
            length = self.take_length()?;
        }
        let length = usize::try_from(i32::from_le_bytes(length)).ok();
        // Streams of old have no mark.
        let length = length.filter(|length| is_marked || *length <= self.record.len() - self.at);
        let length =
            length.ok_or("no stream of Arrow: where a message should begin, there is no ff ff ff ff")?;
        if length == 0 {
            let behind = self.record.len() - self.at;
            return if behind == 0 {
                Ok(None)
            } else {
                Err(format!("{behind} bytes behind the end of the stream"))
            };
        }
        let metadata = self.take(length)?;
        // What is used twice is counted twice: a small message may stand for a tree of any size.
        let options = VerifierOptions {
            max_depth: DEPTH_MAX,
            max_tables: length / 4 + 64,
            max_apparent_size: length.saturating_mul(16) + 4_096,
            ignore_missing_null_terminator: false,
        };
        let message = ipc::root_as_message_with_opts(&options, metadata)
            .map_err(|error| format!("a message that is none of Arrow: {error}"))?;
        if !matches!(message.version(), MetadataVersion::V4 | MetadataVersion::V5) {
            return Err(format!("a message of version {:?}: 4 and 5 are read", message.version()));
        }
        let length =
            usize::try_from(message.bodyLength()).map_err(|_| "a body of negative length".to_owned())?;
        Ok(Some((message, self.take(length)?)))
    }
}

/// What a record grows to, in bytes of columns.
pub(super) struct Grown {
    pub(super) bytes: usize,
    /// Of them those that were compressed.
    pub(super) unpacked: usize,
    most: usize,
}

impl Grown {
    /// None so far, of a record of this size.
    pub(super) fn new(record_bytes: usize) -> Grown {
        let most = record_bytes.saturating_mul(GROWN_TIMES).clamp(GROWN_BYTES_MIN, GROWN_BYTES_MAX);
        Grown { bytes: 0, unpacked: 0, most }
    }

    /// As much more.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.most {
            return Err(format!(
                "it grows to more than {} bytes of columns: write fewer rows into a record",
                self.most
            ));
        }
        Ok(())
    }
}

/// A buffer, as it lies in the body or decompressed.
pub(super) type Bytes<'a> = Cow<'a, [u8]>;

/// The arrays of a batch, in the order in which they lie there.
pub(super) struct Body<'a> {
    batch: ipc::RecordBatch<'a>,
    bytes: &'a [u8],
    nodes: usize,
    buffers: usize,
    views: usize,
    /// Whether unions say which of their values are null.
    pub(super) is_v4: bool,
}

impl<'a> Body<'a> {
    pub(super) fn new(batch: ipc::RecordBatch<'a>, bytes: &'a [u8], version: MetadataVersion) -> Body<'a> {
        let is_v4 = version == MetadataVersion::V4;
        Body { batch, bytes, nodes: 0, buffers: 0, views: 0, is_v4 }
    }

    /// How many rows it says to have.
    pub(super) fn rows(&self) -> Result<usize, String> {
        usize::try_from(self.batch.length()).map_err(|_| "a batch of a negative number of rows".to_owned())
    }

    /// The next array's length, and whether there are nulls in it.
    pub(super) fn node(&mut self) -> Result<(usize, bool), String> {
        let nodes = self.batch.nodes().filter(|nodes| self.nodes < nodes.len());
        let node = nodes.ok_or("a batch with fewer columns than its schema")?.get(self.nodes);
        self.nodes += 1;
        match (usize::try_from(node.length()), usize::try_from(node.null_count())) {
            (Ok(length), Ok(nulls)) => Ok((length, nulls > 0)),
            _ => Err("a column of a negative number of rows".to_owned()),
        }
    }

    /// How many buffers the next array of views has beyond its views.
    pub(super) fn view_buffers(&mut self) -> Result<usize, String> {
        let counts = self.batch.variadicBufferCounts().filter(|counts| self.views < counts.len());
        let count = counts.ok_or("a batch that does not say what buffers its views have")?.get(self.views);
        self.views += 1;
        let left = self.batch.buffers().map_or(0, |buffers| buffers.len() - self.buffers);
        usize::try_from(count).ok().filter(|count| *count <= left).ok_or_else(|| missing().to_owned())
    }

    fn place(&mut self) -> Result<&'a [u8], String> {
        let buffers = self.batch.buffers().filter(|buffers| self.buffers < buffers.len());
        let of = buffers.ok_or(missing())?.get(self.buffers);
        self.buffers += 1;
        let (from, length) = (usize::try_from(of.offset()), usize::try_from(of.length()));
        let part =
            from.ok().zip(length.ok()).and_then(|(from, length)| self.bytes.get(from..)?.get(..length));
        part.ok_or_else(|| format!("a buffer that lies outside of its batch of {} bytes", self.bytes.len()))
    }

    /// Passes buffers over.
    pub(super) fn skip(&mut self, buffers: usize) -> Result<(), String> {
        (0..buffers).try_for_each(|_| self.place().map(drop))
    }

    /// The next buffer, decompressed.
    pub(super) fn buffer(&mut self, grown: &mut Grown) -> Result<Bytes<'a>, String> {
        let bytes = self.place()?;
        let Some(compression) = self.batch.compression().filter(|_| !bytes.is_empty()) else {
            return Ok(Cow::Borrowed(bytes));
        };
        let Some((length, packed)) = bytes.split_first_chunk::<8>() else {
            return Err("a compressed buffer without its length".to_owned());
        };
        let length = i64::from_le_bytes(*length);
        if length == -1 {
            return Ok(Cow::Borrowed(packed));
        }
        let length =
            usize::try_from(length).map_err(|_| "a compressed buffer of negative length".to_owned())?;
        grown.add(length)?;
        grown.unpacked += length;
        let unpacked = match compression.codec() {
            CompressionType::LZ4_FRAME => {
                let mut unpacked = Vec::new();
                let mut reader = lz4_flex::frame::FrameDecoder::new(packed).take(length as u64 + 1);
                reader.read_to_end(&mut unpacked).map(|_| unpacked).map_err(|error| error.to_string())
            }
            CompressionType::ZSTD => {
                zstd::bulk::decompress(packed, length).map_err(|error| error.to_string())
            }
            other => return Err(format!("its buffers are compressed by {other:?}: lz4 and zstd are read")),
        };
        let unpacked = unpacked.map_err(|error| format!("a buffer that cannot be decompressed: {error}"))?;
        if unpacked.len() != length {
            return Err(format!(
                "a compressed buffer of {} bytes, which says that it has {length}",
                unpacked.len()
            ));
        }
        Ok(Cow::Owned(unpacked))
    }
}

fn missing() -> &'static str {
    "a batch with fewer buffers than its columns have"
}
