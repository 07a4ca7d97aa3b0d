//! Choosing a codec, compressing, and decompressing into one buffer that never grows beyond its bound (BA-1). Owns the
//! codecs' numbers and the bound. Never enters: batches and their headers.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::BatchError;

/// How the records of a batch are compressed, with Kafka's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy: written in the block framing of Java's clients, read framed or raw.
    Snappy = 2,
    /// The lz4 frame format, in independent blocks of 64 KiB.
    Lz4 = 3,
    /// RFC 8878.
    Zstd = 4,
}

impl Codec {
    /// Every codec, by number.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this number.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    /// The number in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no codec's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compression \"{0}\" is unknown; use none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCodecName(pub String);

impl FromStr for Codec {
    type Err = UnknownCodecName;

    fn from_str(name: &str) -> Result<Codec, UnknownCodecName> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCodecName(name.to_owned()))
    }
}

/// How hard a codec tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// The codec's own default: 6 for gzip, 3 for zstd.
    #[default]
    Default,
    /// 1 to 9 for gzip, -7 to 22 for zstd; snappy and lz4 have one level.
    Of(i32),
}

/// Compresses, and keeps what a codec would else set up for each batch.
#[derive(Default)]
pub struct Compressor {
    zstd: Option<zstd::Encoder>,
    lz4: lz4::Encoder,
    snappy: snappy::Encoder,
}

impl Compressor {
    /// Appends `bytes`, compressed, to `out`.
    pub fn compress(
        &mut self,
        codec: Codec,
        level: Level,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        let result = match codec {
            Codec::None => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Codec::Gzip => gzip::compress(level, bytes, out),
            Codec::Snappy => self.snappy.compress(bytes, out),
            Codec::Lz4 => self.lz4.compress(bytes, out),
            Codec::Zstd => self.zstd.get_or_insert_default().compress(level, bytes, out),
        };
        result.map_err(|reason| BatchError::Compress { codec, reason })
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

/// Decompresses into a buffer of its own, up to a bound, and keeps both for the next batch.
pub struct Decompressor {
    bytes_max: usize,
    buffer: Vec<u8>,
    zstd: Option<zstd::Decoder>,
    snappy: snappy::Decoder,
}

impl Decompressor {
    /// A decompressor that gives up beyond `bytes_max` bytes of output. Nothing is allocated before it is needed.
    pub fn new(bytes_max: usize) -> Decompressor {
        Decompressor { bytes_max, buffer: Vec::new(), zstd: None, snappy: snappy::Decoder::default() }
    }

    /// The bound, in bytes.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Decompresses `bytes`; the result stays until the next call.
    ///
    /// # Errors
    /// `UncompressedTooLarge` at the bound, `Decompress` where the bytes are not the codec's.
    pub fn decompress<'s>(&'s mut self, codec: Codec, bytes: &[u8]) -> Result<&'s [u8], BatchError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.decompress_into(codec, bytes, &mut buffer);
        self.buffer = buffer;
        result?;
        Ok(&self.buffer)
    }

    /// Decompresses `bytes` into memory of their own, without more than a fifth of it unused.
    ///
    /// # Errors
    /// As [`Decompressor::decompress`].
    pub fn decompress_owned(&mut self, codec: Codec, bytes: &[u8]) -> Result<Bytes, BatchError> {
        // Text becomes three to six times as much; a first guess that is short is doubled.
        let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(self.bytes_max));
        self.decompress_into(codec, bytes, &mut out)?;
        if out.capacity() - out.len() > out.len() / 4 {
            out.shrink_to_fit();
        }
        Ok(Bytes::from(out))
    }

    /// Decompresses `bytes` into `out`, whose former content goes: for a caller that keeps the result.
    pub fn decompress_into(
        &mut self,
        codec: Codec,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        out.clear();
        let mut bounded = Bounded { out, max: self.bytes_max };
        let result = match codec {
            Codec::None => bounded.extend(bytes),
            Codec::Gzip => gzip::decompress(bytes, &mut bounded),
            Codec::Snappy => self.snappy.decompress(bytes, &mut bounded),
            Codec::Lz4 => lz4::decompress(bytes, &mut bounded),
            Codec::Zstd => self.zstd.get_or_insert_default().decompress(bytes, &mut bounded),
        };
        result.map_err(|fault| match fault {
            Fault::TooLarge => BatchError::UncompressedTooLarge { codec, max: self.bytes_max },
            Fault::Bad(reason) => BatchError::Decompress { codec, reason },
        })
    }

    /// Gives memory back if the buffer has grown beyond `keep` bytes.
    pub fn shrink(&mut self, keep: usize) {
        if self.buffer.capacity() > keep {
            self.buffer = Vec::new();
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

/// Why a codec gave up.
enum Fault {
    TooLarge,
    Bad(String),
}

impl Fault {
    fn bad(reason: impl ToString) -> Fault {
        Fault::Bad(reason.to_string())
    }
}

/// Output that refuses to grow beyond its bound, and whose capacity never exceeds it.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    max: usize,
}

impl Bounded<'_> {
    /// Bytes that may still come.
    fn room(&self) -> usize {
        self.max - self.out.len()
    }

    /// Appends `bytes`.
    fn extend(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let at = self.out.len();
        self.grow(bytes.len())?;
        self.out[at..].copy_from_slice(bytes);
        Ok(())
    }

    /// Appends `len` zero bytes.
    fn grow(&mut self, len: usize) -> Result<(), Fault> {
        if len > self.room() {
            return Err(Fault::TooLarge);
        }
        self.reserve(len);
        self.out.resize(self.out.len() + len, 0);
        Ok(())
    }

    /// Makes room for `len` more bytes, at most up to the bound: doubling, since every codec's first guess is short.
    fn reserve(&mut self, len: usize) {
        let need = self.out.len() + len.min(self.room());
        if need > self.out.capacity() {
            let target = need.max(self.out.capacity() * 2).min(self.max.max(need));
            self.out.reserve_exact(target - self.out.len());
        }
    }
}
